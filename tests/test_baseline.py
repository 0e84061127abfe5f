"""The baselines: against the formula summed by hand, against scipy, and EM by its law: it never goes down."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bernoulli

from vaelib import data
from vaelib.evaluate import BernoulliMixture, fit_mixture, independent_pixels
from vaelib.evaluate.baseline import em_step


def two_kinds(n: int, rng: np.random.Generator) -> np.ndarray:
    """A known mixture: three quarters like the first row, one quarter like the second."""
    probs = np.array([[0.9, 0.8, 0.1, 0.2, 0.5], [0.1, 0.3, 0.9, 0.7, 0.6]])
    return data.binarize(probs[(rng.random(n) < 0.25).astype(int)], rng)


def test_log_prob_equals_the_sum_over_components() -> None:
    rng = np.random.default_rng(0)
    probs, weights = rng.uniform(0.05, 0.95, (3, 5)), np.array([0.2, 0.5, 0.3])
    x = two_kinds(11, rng)
    expected = np.log(sum(w * bernoulli(p).pmf(x).prod(1) for w, p in zip(weights, probs, strict=True)))
    np.testing.assert_allclose(BernoulliMixture(np.log(weights), probs).log_prob(x), expected, rtol=1e-12)


def test_mixture_is_normalized() -> None:
    x = np.array([[(i >> b) & 1 for b in range(5)] for i in range(32)])
    mixture = fit_mixture(two_kinds(200, np.random.default_rng(1)), 4, rng=np.random.default_rng(2))
    assert np.exp(mixture.log_prob(x).astype(float)).sum() == pytest.approx(1.0, rel=1e-5)


def test_independent_pixels_are_smoothed_means() -> None:
    x = two_kinds(50, np.random.default_rng(0))
    baseline = independent_pixels(x, smoothing=2.0)
    np.testing.assert_allclose(baseline.probs[0], (x.sum(0) + 1.0) / 52)
    assert independent_pixels(np.zeros((9, 2))).log_prob(np.ones((1, 2)))[0] == pytest.approx(2 * math.log(0.05))


def test_em_never_decreases_its_objective() -> None:
    """The log-likelihood plus the log of the prior: `smoothing` imaginary examples in each component."""
    rng, smoothing = np.random.default_rng(0), 3.0
    x = two_kinds(300, rng).astype(np.float64)
    mean = independent_pixels(x).probs[0]
    mixture = BernoulliMixture(np.log(np.full(4, 0.25)), rng.uniform(0.2, 0.8, (4, 5)))

    def objective(m: BernoulliMixture) -> float:
        p = m.probs.astype(float)
        prior = smoothing * (m.log_weights.sum() + (mean * np.log(p) + (1 - mean) * np.log1p(-p)).sum())
        return float(m.log_prob(x).astype(float).sum() + prior)

    values = []
    for _ in range(30):
        values.append(objective(mixture))
        mixture = em_step(mixture, x, mean, smoothing)
        mixture = BernoulliMixture(mixture.log_weights, mixture.probs.astype(np.float64))
    assert (np.diff(values) > -1e-3).all() and values[-1] - values[0] > 10


def test_em_recovers_a_known_mixture() -> None:
    x = two_kinds(20_000, np.random.default_rng(3))
    fitted = fit_mixture(x, 2, rng=np.random.default_rng(0), iterations=200, smoothing=1.0)
    first = int(fitted.log_weights.argmax())
    assert math.exp(fitted.log_weights[first]) == pytest.approx(0.75, abs=0.03)
    np.testing.assert_allclose(fitted.probs[first], [0.9, 0.8, 0.1, 0.2, 0.5], atol=0.03)


def test_one_iteration_of_the_fit_is_one_step_of_em() -> None:
    x = two_kinds(300, np.random.default_rng(0))
    begun, gone = (fit_mixture(x, 3, rng=np.random.default_rng(1), iterations=number) for number in (0, 1))
    step = em_step(begun, x, independent_pixels(x.astype(np.float32)).probs[0], 8.0)
    np.testing.assert_array_equal(gone.probs, step.probs)
    np.testing.assert_array_equal(gone.log_weights, step.log_weights)


def test_no_probability_becomes_zero_or_one() -> None:
    x = np.tile([[0, 1, 0], [1, 0, 0]], (20, 1))
    fitted = fit_mixture(x, 2, rng=np.random.default_rng(0), iterations=500)
    assert fitted.probs.min() > 0 and fitted.probs.max() < 1
    assert np.isfinite(fitted.log_prob(np.ones((1, 3)))).all()


def test_mixture_beats_independent_pixels_on_the_digits() -> None:
    digits = data.load("digits")
    train = data.binarize(digits.intensities(digits.train), np.random.default_rng(0))
    test = data.binarize_once(digits, digits.test)
    mixture = fit_mixture(train, 30, rng=np.random.default_rng(0))
    nll, independent = -mixture.log_prob(test).mean(), -independent_pixels(train).log_prob(test).mean()
    assert 26.5 < independent < 27.2 and nll < independent - 2.5


def test_single_precision_is_precise_enough() -> None:
    rng = np.random.default_rng(0)
    x = two_kinds(500, rng)
    fitted = fit_mixture(x, 3, rng=rng)
    exact = BernoulliMixture(fitted.log_weights, fitted.probs.astype(np.float64))
    np.testing.assert_allclose(fitted.log_prob(x), exact.log_prob(x), rtol=1e-5)


def test_what_cannot_be_fitted_is_refused() -> None:
    x = two_kinds(10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="between 1 and the 10 examples, but got 11"):
        fit_mixture(x, 11, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"0 or 1 everywhere.*Binarize grey pixels first"):
        independent_pixels(x * 0.5)
    with pytest.raises(ValueError, match=r"shape \(examples, pixels\), but got \(10,\)"):
        fit_mixture(x[:, 0], 2, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"shape \(examples, 5\), but got \(10, 4\)"):
        independent_pixels(x).log_prob(x[:, :4])
