"""Special functions against 60 digits, on both sides of every switch between two formulas, for both kinds of array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import oracles
import pytest
import torch

from vaelib import _special

each_kind = pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])


def worst(value: Any, truth: Callable[[Any], Any], points: np.ndarray) -> float:
    high_precision = oracles.exact(truth, digits=400)  # x^2 beside x, for x = 1e-150
    return max(oracles.relative_error(float(v), high_precision(x)) for v, x in zip(value, points, strict=True))


@each_kind
def test_log_excess_matches_60_digits(make: Callable[..., Any]) -> None:
    switch = np.array([0.04 * (1 + e) * s for e in (-1e-9, 1e-9) for s in (1, -1)])
    small = np.concatenate([s * 10.0 ** np.arange(-150.0, 0.0, 3.7) for s in (1, -1)])
    growth = np.concatenate([switch, small, [-0.999, -0.5, 0.5, 20.0, 1e12]])
    value = _special.log_excess(make(growth), make(np.log1p(growth)))
    assert worst(value, lambda g: g - mp.log1p(g), growth) < 2e-13
    assert _special.log_excess(make(np.zeros(1)), make(np.zeros(1)))[0] == 0.0


@each_kind
def test_exp_excess_matches_60_digits(make: Callable[..., Any]) -> None:
    switch = np.array([0.1 * (1 + e) * s for e in (-1e-9, 1e-9) for s in (1, -1)])
    small = np.concatenate([s * 10.0 ** np.arange(-150.0, 0.0, 3.7) for s in (1, -1)])
    x = np.concatenate([switch, small, [-1e8, -40.0, -1.0, 1.0, 40.0, 700.0]])
    assert worst(_special.exp_excess(make(x)), lambda t: mp.expm1(t) - t, x) < 1e-14


@each_kind
def test_log_sigmoid_matches_60_digits(make: Callable[..., Any]) -> None:
    x = np.array([-1e4, -700.0, -40.0, -1.0, 0.0, 1e-12, 0.3, 20.0, 40.0, 700.0])
    assert worst(_special.log_sigmoid(make(x)), lambda t: -oracles.softplus(-t), x) < 1e-15


@each_kind
def test_gamma_remainders_match_60_digits(make: Callable[..., Any]) -> None:
    a = np.concatenate([10.0 ** np.arange(-8.0, 12.0, 0.9), [10 - 1e-9, 10 + 1e-9]])

    def remainder(t: Any) -> Any:
        return mp.loggamma(t) - (t - mp.mpf(1) / 2) * mp.log(t) + t - mp.log(2 * mp.pi) / 2

    assert worst(_special.stirling_remainder(make(a)), remainder, a) < 2e-12  # lgamma cancels just below 10
    large = a[a > 10]
    assert (
        worst(_special.stirling_remainder(make(large)), remainder, large) < 5e-15
    )  # the first term left out is 4e-15 at 10
    assert worst(_special.log_minus_digamma(make(a)), lambda t: mp.log(t) - mp.digamma(t), a) < 1e-13


@each_kind
def test_log_normalize_matches_60_digits(make: Callable[..., Any]) -> None:
    logits = np.array([[0.3, -1.2, 0.3], [900.0, -900.0, 880.0], [-1e4, -1e4 - 1.0, -1e4 + 0.5]])
    value = np.asarray(_special.log_normalize(make(logits)))
    for row, result in zip(logits, value, strict=True):
        truth = [oracles.categorical_log_prob(k, row) for k in range(3)]
        assert oracles.relative_error(result, truth) < 1e-14


@each_kind
def test_zero_weight_makes_nothing_of_infinity(make: Callable[..., Any]) -> None:
    weight, value = make(np.array([0.0, 0.0, 0.5])), make(np.array([-np.inf, np.inf, -np.inf]))
    assert np.asarray(_special.weighted(weight, value)).tolist() == [0.0, 0.0, -np.inf]


@pytest.mark.parametrize("function", [_special.exp_excess, _special.stirling_remainder, _special.log_minus_digamma])
def test_gradient_passes_gradcheck_on_both_sides_of_the_switch(function: Callable[..., Any]) -> None:
    x = torch.tensor([0.02, 0.09, 0.7, 9.9, 10.2, 300.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x[:3] if function is _special.exp_excess else x,))


def test_gradient_of_log_excess_has_its_digits_near_one() -> None:
    """d/dr (r - 1 - log r) = growth / r."""
    growth = torch.tensor([-0.9, -0.05, -1e-3, -1e-9, 0.0, 1e-12, 0.03, 0.05, 1e8], dtype=torch.float64)
    ratio = growth.requires_grad_() + 1.0
    (gradient,) = torch.autograd.grad(_special.log_excess(growth, ratio.log()).sum(), growth)
    torch.testing.assert_close(gradient, (growth / (1 + growth)).detach(), rtol=1e-13, atol=0)
