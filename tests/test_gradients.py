"""vaelib.gradients against PyTorch's autograd, arithmetic by hand, and exact means and variances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vaelib.distributions import DiagonalNormal, Normal
from vaelib.gradients import (
    leave_one_out,
    optimal_baseline,
    pathwise,
    score,
    score_function,
    total_variance,
)
from vaelib.montecarlo import sample_mean, z_score

LOC, SCALE = np.array([0.7, -1.2, 0.4]), np.array([0.5, 1.4, 0.8])
LAW = DiagonalNormal(LOC, SCALE)


def f(z: Any) -> Any:
    """sum_j z_j^3 + z_1 z_2, (n,) for z of shape (n, 3)."""
    return (z**3).sum(-1) + z[..., 0] * z[..., 1]


def slope(z: Any) -> Any:
    """Its gradient, (n, 3)."""
    neighbors = z[..., [1, 0, 2]]
    neighbors[..., 2] = 0.0
    return 3 * z**2 + neighbors


def noise(n: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 3))


def parameters() -> tuple[torch.Tensor, torch.Tensor]:
    """loc and scale, one row for each of seven samples, so that autograd keeps the samples apart."""
    loc, scale = (torch.tensor(np.tile(value, (7, 1)), requires_grad=True) for value in (LOC, SCALE))
    return loc, scale


def test_pathwise_matches_autograd_sample_by_sample() -> None:
    loc, scale = parameters()
    expected = torch.autograd.grad(f(loc + scale * torch.tensor(noise())).sum(), (loc, scale))
    for part, other in zip(pathwise(LAW, slope, noise()), expected, strict=True):
        np.testing.assert_allclose(part, other.numpy(), rtol=1e-12)


def test_score_matches_autograd_of_log_prob() -> None:
    loc, scale = parameters()
    z = LOC + SCALE * noise()
    log_prob = torch.distributions.Normal(loc, scale).log_prob(torch.tensor(z))
    expected = torch.autograd.grad(log_prob.sum(), (loc, scale))
    for part, other in zip(score(LAW, z), expected, strict=True):
        np.testing.assert_allclose(part, other.numpy(), rtol=1e-12, atol=1e-14)


def test_score_function_matches_arithmetic_by_hand() -> None:
    # z = 1 + 0.5 * 2 = 2, f = 4: the score is (2 / 0.5, (4 - 1) / 0.5) = (4, 6)
    law, drawn = Normal(1.0, 0.5), np.array([2.0])
    np.testing.assert_allclose(score_function(law, np.square, drawn), [[16.0], [24.0]], rtol=1e-15)
    np.testing.assert_allclose(score_function(law, np.square, drawn, baseline=3.0), [[4.0], [6.0]], rtol=1e-15)
    np.testing.assert_allclose(pathwise(law, lambda z: 2 * z, drawn), [[4.0], [8.0]], rtol=1e-15)


def test_tensors_and_arrays_give_the_same() -> None:
    law = DiagonalNormal(torch.tensor(LOC), torch.tensor(SCALE))
    eps = torch.tensor(noise())
    for ours, theirs in (
        (pathwise(law, slope, eps), pathwise(LAW, slope, noise())),
        (score_function(law, f, eps, 0.3), score_function(LAW, f, noise(), 0.3)),
    ):
        for tensor, array in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(tensor, array, rtol=1e-13)
    values = f(LOC + SCALE * noise())
    np.testing.assert_allclose(leave_one_out(torch.tensor(values)), leave_one_out(values), rtol=1e-13)
    z = LOC + SCALE * noise()
    best = optimal_baseline(torch.tensor(values), score(law, torch.tensor(z)))
    np.testing.assert_allclose(best, optimal_baseline(values, score(LAW, z)), rtol=1e-13)


def test_both_means_match_the_exact_gradient() -> None:
    # E[sum z^3 + z1 z2] = sum (m^3 + 3 m s^2) + m1 m2; polynomials of Gaussians, so all variances are finite
    by_loc = 3 * LOC**2 + 3 * SCALE**2 + np.array([LOC[1], LOC[0], 0.0])
    by_scale = 6 * LOC * SCALE
    eps = noise(100_000, seed=3)
    baseline = leave_one_out(f(LOC + SCALE * eps))
    for gradients in (pathwise(LAW, slope, eps), score_function(LAW, f, eps), score_function(LAW, f, eps, baseline)):
        assert np.abs(z_score(sample_mean(gradients.loc), by_loc)).max() < 4.5
        assert np.abs(z_score(sample_mean(gradients.scale), by_scale)).max() < 4.5


def test_leave_one_out_matches_a_loop() -> None:
    values = np.array([1.0, 4.0, -2.0, 7.0])
    expected = [np.delete(values, i).mean() for i in range(4)]
    np.testing.assert_allclose(leave_one_out(values), expected, rtol=1e-15)
    np.testing.assert_allclose(leave_one_out(np.array([1.0, 4.0])), [4.0, 1.0])


def test_optimal_baseline_matches_the_least_of_a_parabola() -> None:
    eps = noise(500)
    z = LOC + SCALE * eps
    values, scores = f(z), score(LAW, z)

    def second_moment(b: float) -> float:
        parts = score_function(LAW, f, eps, b)
        return float(sum((part**2).sum() for part in parts))

    grid = np.array([-1.0, 0.0, 1.0])
    a, b, _ = np.polyfit(grid, [second_moment(at) for at in grid], 2)
    np.testing.assert_allclose(optimal_baseline(values, scores), -b / (2 * a), rtol=1e-10)
    law, scalar = Normal(0.3, 0.8), 0.3 + 0.8 * eps[:, 0]  # scalars: two parameters
    weight = sum(part**2 for part in score(law, scalar))
    best = optimal_baseline(np.square(scalar), score(law, scalar))
    np.testing.assert_allclose(best, (weight * scalar**2).sum() / weight.sum(), rtol=1e-13)


def test_total_variance_matches_numpy_and_covers_the_truth() -> None:
    samples = noise(50_000, seed=5) * SCALE
    estimate = total_variance(samples)
    np.testing.assert_allclose(estimate.value, np.trace(np.cov(samples.T)), rtol=1e-12)
    truth = (SCALE**2).sum()
    deviation = np.sqrt(2 * (SCALE**4).sum() / 50_000)  # Var of a square of a Gaussian is 2 sigma^4
    np.testing.assert_allclose(estimate.error, deviation, rtol=0.03)
    assert abs(z_score(estimate, truth)) < 4.5
    known = total_variance(samples, mean=np.zeros(3))
    np.testing.assert_allclose(known.value, (samples**2).sum(1).mean(), rtol=1e-13)
    np.testing.assert_allclose(total_variance(samples[:, 0]).value, samples[:, 0].var(ddof=1), rtol=1e-12)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`slope` to return shape \(7, 3\).*got \(7,\). Is it f itself"):
        pathwise(LAW, f, noise())
    with pytest.raises(ValueError, match=r"`f` to return shape \(7,\).*got \(7, 3\). Was the last axis not summed"):
        score_function(LAW, np.square, noise())
    with pytest.raises(ValueError, match="at least 2 samples"):
        leave_one_out(np.array([1.0]))
    with pytest.raises(ValueError, match="at least 2 samples"):
        leave_one_out(np.array(1.0))
    with pytest.raises(ValueError, match="noise"):
        pathwise(LAW, slope, noise()[:, :2])
    with pytest.raises(ValueError, match="at least two samples"):
        total_variance(np.ones((1, 3)))
