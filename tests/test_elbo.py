"""The bound: its forms, its numbers, and the importance-weighted bound in NumPy and torch."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vaelib.distributions import Normal, kl_divergence
from vaelib.elbo import bound_terms, density_times, elbo, importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.models import CurvedGaussian
from vaelib.witnesses import BernoulliWitness, CurvedWitness, DiscreteWitness

log_weights = npst.arrays(
    float, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6), elements=st.floats(-50, 50)
)


def test_elbo_is_log_likelihood_minus_beta_kl() -> None:
    log_likelihood, kl = np.array([-3.0, -5.0]), np.array([0.5, 2.0])
    np.testing.assert_array_equal(elbo(log_likelihood, kl), [-3.5, -7.0])
    np.testing.assert_array_equal(elbo(log_likelihood, kl, beta=4.0), [-5.0, -13.0])
    torch.testing.assert_close(elbo(torch.tensor([-3.0]), torch.tensor([0.5]), beta=2.0), torch.tensor([-4.0]))
    estimate = elbo(Estimate(-3.0, 0.1), Estimate(0.5, 0.2), beta=2.0)
    assert (estimate.value, estimate.error) == (-4.0, pytest.approx(0.5))


def test_elbo_is_differentiable() -> None:
    log_likelihood, kl = torch.tensor([-3.0, -1.0], requires_grad=True), torch.tensor([0.5, 1.0], requires_grad=True)
    elbo(log_likelihood, kl, beta=0.5).sum().backward()
    assert log_likelihood.grad is not None and kl.grad is not None
    torch.testing.assert_close(log_likelihood.grad, torch.ones(2))
    torch.testing.assert_close(kl.grad, torch.full((2,), -0.5))


# ------------------------------------------------------------------------------------------------- importance weighting


@given(log_weights)
def test_importance_weighted_bound_is_the_same_in_numpy_and_torch(a: np.ndarray) -> None:
    for axis in (0, 1, -1):
        by_numpy = importance_weighted_bound(a, axis=axis)
        by_torch = importance_weighted_bound(torch.as_tensor(a), axis=axis)
        assert by_numpy.shape == by_torch.shape == (a.shape[1 - axis if axis >= 0 else 0],)
        np.testing.assert_allclose(by_torch.numpy(), by_numpy, rtol=1e-13, atol=1e-13)


@given(log_weights)
def test_importance_weighted_bound_lies_between_mean_and_maximum(a: np.ndarray) -> None:
    """Jensen: the logarithm of the mean is at least the mean of the logarithms, the ELBO."""
    bound = importance_weighted_bound(a)
    slack = 1e-12 * (1 + np.abs(a).max())
    assert np.all(bound >= a.mean(axis=0) - slack)
    assert np.all(bound <= a.max(axis=0) + slack)
    assert np.all(bound >= a.max(axis=0) - np.log(len(a)) - slack)


def test_importance_weighted_bound_is_the_log_of_the_mean_and_not_the_mean_of_the_logs() -> None:
    a = np.array([-1e4, -1e4 + 3.0, -1e4 - 2.0])
    with mpmath.workdps(60):
        truth = mpmath.log(sum(mpmath.exp(mpmath.mpf(float(v))) for v in a) / 3)
    for bound in (importance_weighted_bound(a), importance_weighted_bound(torch.as_tensor(a)).item()):
        assert bound == pytest.approx(float(truth), rel=1e-15)
        assert bound - a.mean() > 1  # the mean of the logs is far below
        assert abs(bound - (float(truth) + np.log(3))) > 1  # and log K is not forgotten


def test_importance_weighted_bound_of_one_or_equal_weights_is_the_weight() -> None:
    assert importance_weighted_bound(np.array([-1e4])) == -1e4
    np.testing.assert_allclose(importance_weighted_bound(np.full((7, 2), -3.0)), -3.0, rtol=1e-15)


def test_importance_weighted_bound_with_weights_of_zero() -> None:
    a = np.array([[0.0, -np.inf], [-np.inf, -np.inf]])
    np.testing.assert_array_equal(importance_weighted_bound(a), [-np.log(2), -np.inf])
    np.testing.assert_allclose(importance_weighted_bound(torch.as_tensor(a)).numpy(), [-np.log(2), -np.inf])
    assert importance_weighted_bound(np.array([np.inf, 800.0])) == np.inf
    assert np.isnan(importance_weighted_bound(np.array([np.nan, 0.0])))
    assert importance_weighted_bound([0.0, np.log(3.0)]) == pytest.approx(np.log(2.0))


def test_importance_weighted_bound_has_the_gradient_of_normalized_weights() -> None:
    a = torch.tensor([[-3.0], [-1.0], [-2.0]], dtype=torch.float64, requires_grad=True)
    importance_weighted_bound(a).sum().backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad, torch.softmax(a.detach(), dim=0))
    assert torch.autograd.gradcheck(importance_weighted_bound, (a,))


def test_importance_weighted_bound_rises_to_the_evidence() -> None:
    """L_1 <= L_5 <= L_50 <= log p(x), each by many standard errors, on the toy whose evidence is known."""
    model, x, q = CurvedGaussian([2.0], [0.0], [0.0], 0.5), np.array([1.0]), Normal(0.3, 0.4)
    rng = np.random.default_rng(0)
    means, errors = [], []
    for k in (1, 5, 50):
        z = q.transform(rng.standard_normal((k, 20_000)))
        bounds = importance_weighted_bound(model.log_joint(x, z) - q.log_prob(z))
        means.append(bounds.mean())
        errors.append(bounds.std() / np.sqrt(bounds.size))
    assert abs(means[0] + 1.913655675) < 5 * errors[0]
    assert means[0] + 5 * errors[0] < means[1] and means[1] + 5 * errors[1] < means[2]
    assert means[2] < -1.782088343 < means[2] + 0.01


# --------------------------------------------------------------------------------------------------- terms of the bound


def test_bound_terms_of_the_toy() -> None:
    terms = bound_terms(CurvedGaussian([2.0], [0.0], [0.0], 0.5), np.array([1.0]), Normal(0.3, 0.4))
    numbers = {
        "log_evidence": -1.782088343,
        "log_likelihood": -1.372364943,
        "kl": 0.541290732,
        "elbo": -1.913655675,
        "gap": 0.131567332,
        "entropy": 0.5 * np.log(2 * np.pi * np.e * 0.16),
        "cross_entropy": 0.5 * np.log(2 * np.pi) + 0.5 * (0.16 + 0.09),
    }
    for name, number in numbers.items():
        estimate = getattr(terms, name)
        assert float(estimate.value) == pytest.approx(number, abs=5e-10), name
        assert estimate.error < 1e-12, name


@pytest.mark.parametrize("kind", [CurvedWitness, DiscreteWitness, BernoulliWitness])
def test_forms_of_the_bound_agree_and_lie_below_the_evidence(kind: Any) -> None:
    for seed in range(10):
        w = kind.draw(np.random.default_rng(seed))
        terms = bound_terms(w.model, w.x, w.q)
        forms = terms.forms()
        assert len(forms) == 5
        for name, estimate in forms.items():
            assert float(estimate.value) == pytest.approx(float(terms.elbo.value), rel=1e-11, abs=1e-12), name
        assert terms.elbo.value < terms.log_evidence.value
        assert terms.gap.value > 1e-3


def test_kl_of_the_terms_matches_the_closed_form() -> None:
    w = CurvedWitness.draw(np.random.default_rng(1))
    terms = bound_terms(w.model, w.x, w.q)
    assert float(terms.kl.value) == pytest.approx(float(kl_divergence(w.q, w.model.prior)), rel=1e-12)
    assert isinstance(bound_terms(*_discrete()).log_evidence, Estimate)


def _discrete() -> Any:
    w = DiscreteWitness.draw(np.random.default_rng(0))
    return w.model, w.x, w.q


def test_density_times_infinity_is_zero_where_the_density_is() -> None:
    with np.errstate(all="raise"):
        result = density_times(np.array([-np.inf, 0.0, -np.inf, np.log(0.5)]), np.array([np.inf, 2.0, np.nan, -np.inf]))
    np.testing.assert_array_equal(result, [0.0, 2.0, 0.0, -np.inf])
    np.testing.assert_allclose(density_times(np.log([0.25, 0.75]), 4.0), [1.0, 3.0])
