"""Likelihoods in nats and bits against numbers from elsewhere: scipy.stats, torch.distributions, arithmetic by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from vaelib.derivation import Derivation
from vaelib.distributions import Normal
from vaelib.estimate import Estimate
from vaelib.evaluate import bits_per_dimension
from vaelib.ledger.d_likelihood import (
    B7,
    C23,
    CHAPTER,
    D8,
    D9,
    D12,
    D13,
    F13,
    K8,
    BinaryDecoder,
    BinaryPixels,
    Bounds,
    GaussianLevels,
    Levels,
    NoisyImages,
    Reconstructions,
)
from vaelib.models import CurvedGaussian, LinearGaussian, ScalarBernoulli
from vaelib.witnesses import NormalPair


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness, but for lines by samples."""
    results = (line.evaluate(witness) for line in derivation.lines if line.samples is None)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return getattr(result, "value", result)


@pytest.mark.parametrize("derivation", CHAPTER, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected_on_each_draw(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    for i in range(4):
        found = derivation.check([derivation.draw(np.random.default_rng([5, i]))], seed=i)
        assert [result.slip.name for result in found.slips if not result.rejected] == []


# ------------------------------------------------------------------------------------------------ pixels


def test_binary_pixel_matches_torch_and_scipy() -> None:
    logits = np.array([-80.0, -30.0, -2.0, 0.7, 2.0, 30.0, 80.0])
    for x in (0, 1):
        w = BinaryPixels(logits, np.full(logits.shape, x))
        law = torch.distributions.Bernoulli(logits=torch.tensor(logits))
        expected = law.log_prob(torch.full(logits.shape, float(x), dtype=torch.float64)).numpy()
        for line in values(D8, w):
            np.testing.assert_allclose(line, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(values(D8, w)[5], special.log_expit((2 * x - 1) * logits), rtol=1e-14)


def test_slips_of_a_binary_pixel_by_hand() -> None:
    w = BinaryPixels(np.array([np.log(3.0), 50.0]), np.array([1, 0]))  # P(1) = 3/4, and all but certain
    np.testing.assert_allclose(values(D8, w)[0], [np.log(0.75), -50.0], rtol=1e-13)
    with np.errstate(divide="ignore"):
        assert slip_value(D8, "sigmoid first, then the logarithm", w)[1] == -np.inf
    np.testing.assert_allclose(slip_value(D8, "no softplus", w), [np.log(3.0), 0.0], rtol=1e-13)
    np.testing.assert_allclose(slip_value(D8, "cross-entropy without its minus", w)[0], np.log(4 / 3), rtol=1e-13)


def test_gaussian_pixels_match_scipy() -> None:
    w = D9.draw(np.random.default_rng(2))
    law = stats.multivariate_normal(w.x, w.noise_variance * np.eye(5))
    for line in values(D9, w)[:5]:
        np.testing.assert_allclose(line, -law.logpdf(w.f), rtol=1e-12)


def test_gaussian_pixels_by_hand() -> None:
    """Two pixels, squares 1 and 9, c = 1/2: 10 + log pi; the tutorial without 2 pi reports log 2 pi less."""
    w = Reconstructions(np.array([1.0, 0.0]), np.array([[0.0, 3.0]]), 0.5)
    np.testing.assert_allclose(values(D9, w)[:5], 10 + np.log(np.pi), rtol=1e-13)
    np.testing.assert_allclose(values(D9, w)[5], 10, rtol=1e-13)
    np.testing.assert_allclose(slip_value(D9, "mean over pixels", w), 5 + np.log(np.pi), rtol=1e-13)
    without = slip_value(D9, "constant without 2 pi", w)
    np.testing.assert_allclose(10 + np.log(np.pi) - without, np.log(2 * np.pi), rtol=1e-13)
    assert 784 * np.log(2 * np.pi) / 2 == pytest.approx(720, abs=0.5)  # what it amounts to on 28 x 28 pixels


# ------------------------------------------------------------------------------------------------ images


def test_images_sum_to_one_and_slips_by_hand() -> None:
    """Slope near 0, bias log 3: independent pixels of probability 3/4."""
    d = 3
    w = BinaryDecoder(ScalarBernoulli(np.zeros(d), np.full(d, np.log(3.0))))
    np.testing.assert_allclose(values(B7, w), 1.0, rtol=1e-12)
    grey = 1 + np.sqrt(3) / 4  # s + (1 - s) + sqrt(s (1 - s))
    assert slip_value(B7, "grey pixels counted", w) == pytest.approx(grey**d, rel=1e-12)
    averaged = (0.75 ** (1 / d) + 0.25 ** (1 / d)) ** d
    assert slip_value(B7, "mean over pixels", w) == pytest.approx(averaged, rel=1e-12)
    assert slip_value(B7, "ones only", w) == pytest.approx(1.75**d, rel=1e-12)
    assert slip_value(B7, "product for sum", w) == pytest.approx((3 / 16) ** d, rel=1e-12)


def test_evidence_of_an_image_matches_scipy() -> None:
    w = BinaryDecoder.draw(np.random.default_rng(4))
    total = 0.0
    for x in w.images():

        def joint(z: float, x: Any = x) -> float:
            return float(stats.norm.pdf(z) * stats.bernoulli.pmf(x, special.expit(w.model.logits(z))).prod())

        total += integrate.quad(joint, -12, 12, epsabs=1e-12)[0]
    assert total == pytest.approx(float(values(B7, w)[0]), rel=1e-9)


def test_bits_of_uniform_levels_by_hand() -> None:
    w = Levels(np.full((3, 256), 1 / 256), np.array([0, 17, 255]))
    np.testing.assert_allclose(values(D12, w), 8.0, rtol=1e-13)
    assert slip_value(D12, "scaled pixels, no log2 L", w) == pytest.approx(0.0, abs=1e-12)
    assert slip_value(D12, "nats called bits", w) == pytest.approx(8 * np.log(2), rel=1e-13)
    assert slip_value(D12, "per image, not per dimension", w) == pytest.approx(24, rel=1e-13)


def test_bits_match_the_evaluation_of_a_run() -> None:
    """`vaelib evaluate` uses the formula of the ledger: from probabilities of levels, and from a density."""
    w = D12.draw(np.random.default_rng(0))
    d, levels = w.shape
    nll = float(-np.log(w.probabilities[np.arange(d), w.x]).sum())
    expected = values(D12, w)[0]
    assert bits_per_dimension(Estimate(nll), d).value == pytest.approx(expected, rel=1e-13)
    of_density = Estimate(nll - d * np.log(levels))
    assert bits_per_dimension(of_density, d, levels).value == pytest.approx(expected, rel=1e-12)


def test_dequantization_matches_scipy() -> None:
    w = D13.draw(np.random.default_rng(6))
    law = stats.norm(w.p.loc, w.p.scale)
    exact, integral, bound, closed = values(D13, w)
    np.testing.assert_allclose(exact, np.log(law.cdf(w.v + 1) - law.cdf(w.v)), rtol=1e-11)
    np.testing.assert_allclose(integral, exact, rtol=1e-11)
    expected = [integrate.quad(lambda u, v=v: law.logpdf(v + u), 0, 1)[0] for v in w.v]
    np.testing.assert_allclose(bound, expected, rtol=1e-12)
    np.testing.assert_allclose(closed, expected, rtol=1e-12)
    assert (bound < exact).all()


def test_density_of_a_bare_level_bounds_nothing() -> None:
    """A narrow density on the level: log p(v) exceeds every log-probability, which is at most 0."""
    w = GaussianLevels(Normal(2.0, 0.01), np.array([2]))
    assert values(D13, w)[0] <= 0 < slip_value(D13, "no noise", w)[0]


# ------------------------------------------------------------------------------------------------ estimators


def test_kl_from_samples_matches_torch() -> None:
    w = C23.draw(np.random.default_rng(8))
    q, p = (torch.distributions.Normal(float(law.loc), float(law.scale)) for law in (w.q, w.p))
    expected = float(torch.distributions.kl_divergence(q, p))
    np.testing.assert_allclose(values(C23, w)[:4], expected, rtol=1e-5)
    np.testing.assert_allclose(values(C23, w)[:4], stats_kl(w), rtol=1e-12)


def stats_kl(w: NormalPair) -> float:
    ratio = (w.q.scale / w.p.scale) ** 2
    return float(0.5 * (ratio + ((w.q.loc - w.p.loc) / w.p.scale) ** 2 - 1 - np.log(ratio)))


def test_two_log_ratio_estimators_by_hand() -> None:
    """Equal widths s = 1, means 1 apart: log r is N(-1/2, 1), so k2 is (1 + 1/4)/2 and KL 1/2."""
    w = NormalPair(Normal(1.0, 1.0), Normal(0.0, 1.0))
    np.testing.assert_allclose(values(C23, w)[:4], 0.5, rtol=1e-12)
    assert slip_value(C23, "half the squared log-ratio", w) == pytest.approx(0.625, rel=1e-12)
    assert slip_value(C23, "no minus one", w) == pytest.approx(1.5, rel=1e-12)
    assert slip_value(C23, "ratio upside down", w) == pytest.approx(np.e - 1.5, rel=1e-12)


def test_minibatch_variance_by_hand() -> None:
    """N = 3, M = 2 and bounds L: the batch sums are total - L_i, so the variance is (9/4) Var(L)."""
    model = LinearGaussian(np.array([[0.5]]), np.array([0.2]), 0.7)
    w = Bounds(model, np.array([[0.3], [1.1], [-2.0]]), np.array([[0.4], [-0.3], [0.9]]), np.full((3, 1), 0.6), 2)
    bounds = w.log_likelihood - w.kl
    np.testing.assert_allclose(w.bounds, bounds, rtol=1e-14)
    expected = 9 / 4 * np.var(bounds)
    np.testing.assert_allclose(values(F13, w), expected, rtol=1e-12)
    uncorrected = slip_value(F13, "no finite-population correction", w)
    assert uncorrected == pytest.approx(3 * expected, rel=1e-12)  # 1 - M/N = 1/3


def test_best_noise_variance_by_hand() -> None:
    """f(z) = z, q = N(1, 1/2) for x = 2 and N(0, 1/2) for x = -2: mean square (1 + 4)/2 + 1/2 = 3."""
    model = CurvedGaussian(np.array([1.0]), np.array([0.0]), np.array([0.0]), 0.8)
    qs = (Normal(1.0, np.sqrt(0.5)), Normal(0.0, np.sqrt(0.5)))
    w = NoisyImages(model, np.array([[2.0], [-2.0]]), qs)
    lines = values(K8, w)
    np.testing.assert_allclose(lines[:4], -(np.log(2 * np.pi * 0.8) + 3 / 0.8), rtol=1e-11)
    np.testing.assert_allclose(lines[4:], -(np.log(6 * np.pi) + 1), rtol=1e-11)
    fixed = slip_value(K8, "variance fixed at one", w)
    assert fixed == pytest.approx(-(np.log(2 * np.pi) + 3), rel=1e-11)
