"""Chapter P against numbers from elsewhere: SciPy's Gaussians, chains that are run, sums over all states, PyTorch."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import integrate, stats

from vaelib.derivation import Derivation
from vaelib.ledger import p_chains
from vaelib.ledger.p_chains import (
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    P8,
    P9,
    P10,
    P11,
    ChainTables,
    Denoising,
    Guesses,
    Hierarchy,
    NoisyData,
    Refinement,
    Steps,
    chain_law,
)

ALPHAS = np.array([0.8, 0.5, 0.9])


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness."""
    results = (line.evaluate(witness) for line in derivation.lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


@pytest.mark.parametrize("derivation", p_chains.CHAPTER, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    assert report.worst.ratio < 0.5 or settled(derivation, seed=3).worst.ratio < 0.5  # far from a false alarm
    assert [result.slip.name for result in report.slips if not result.rejected] == []


def test_law_of_the_chain_is_that_of_a_chain_that_was_run() -> None:
    rng = np.random.default_rng(0)
    x = 0.4 + np.sqrt(1.3) * rng.standard_normal(200_000)
    run = [x]
    for alpha in ALPHAS:
        run.append(np.sqrt(alpha) * run[-1] + np.sqrt(1 - alpha) * rng.standard_normal(x.size))
    loc, covariance = chain_law(ALPHAS, np.array([0.4]), np.array([[1.3]]))
    np.testing.assert_allclose(np.mean(run, axis=1), loc, atol=0.01)
    np.testing.assert_allclose(np.cov(run), covariance, atol=0.02)


def test_p1_and_p2_match_scipy() -> None:
    w = Steps(ALPHAS, np.array([0.7]), np.array([0.3]), np.array([-0.9]))
    for line in values(P1, w):
        np.testing.assert_allclose(line, stats.norm.pdf(-0.9, 0.6 * 0.7, 0.8), rtol=1e-10)  # 0.8 * 0.5 * 0.9 = 0.36
    _, covariance = chain_law(ALPHAS, np.array([0.4]), np.array([[1.3]]))
    joint = covariance[2:, 2:] - np.outer(covariance[2:, 0], covariance[0, 2:]) / 1.3  # given x_0
    whole = stats.multivariate_normal(np.sqrt([0.4, 0.36]) * 0.7, joint)
    for line in values(P2, w):
        np.testing.assert_allclose(line, whole.pdf([0.3, -0.9]) / stats.norm.pdf(-0.9, 0.42, 0.8), rtol=1e-10)


def test_p3_matches_a_sum_of_scipy_densities() -> None:
    w = Hierarchy(np.array([[0.8, 0.4, 0.6], [-0.7, 0.5, 0.8]]), np.array([0.5, 0.6, 0.5]), np.array([0.4, 0.7]), 1.1)

    a, b = np.meshgrid(np.linspace(-5, 6, 401), np.linspace(-6, 7, 401))
    q = stats.norm.logpdf(a, 0.5 * b + 0.6, 0.5) + stats.norm.logpdf(b, 0.4, 0.7)
    p = stats.norm.logpdf(1.1, 0.8 * a + 0.4, 0.6) + stats.norm.logpdf(a, -0.7 * b + 0.5, 0.8) + stats.norm.logpdf(b)
    expected = np.sum(np.exp(q) * (p - q)) * (11 / 400) * (13 / 400)  # smooth, and zero at the edges: nearly exact
    evidence, *bounds = values(P3, w)
    np.testing.assert_allclose(bounds, expected, rtol=1e-9)
    spread = np.sqrt(0.6**2 + 0.8**2 * (0.8**2 + 0.7**2))
    assert evidence == pytest.approx(stats.norm.logpdf(1.1, 0.8 * 0.5 + 0.4, spread), rel=1e-12) and evidence > expected
    np.testing.assert_allclose(values(P3, w.with_posterior()), evidence, rtol=1e-9)


def test_p4_p5_and_p6_match_pytorch_and_each_other() -> None:
    w = Denoising(ALPHAS, np.array([0.4, -1.1]), np.array([0.5, 0.9]), np.array([-0.2, 1.3]))
    x_t = 0.6 * w.x_0 + 0.8 * w.noise
    guess = (x_t - 0.8 * w.guess) / 0.6

    def back(x_0: Any) -> torch.distributions.Normal:
        mean, variance = np.sqrt(0.4) * x_0, 0.6  # before the step, then the step as what is observed
        gain = variance * np.sqrt(0.9) / (0.9 * variance + 0.1)
        mean = mean + gain * (x_t - np.sqrt(0.9) * mean)
        scale = np.sqrt(variance * (1 - gain * np.sqrt(0.9)))
        return torch.distributions.Normal(torch.tensor(mean), torch.full((2,), scale, dtype=torch.float64))

    expected = float(torch.distributions.kl_divergence(back(w.x_0), back(guess)).sum())
    np.testing.assert_allclose(values(P4, w), expected, rtol=1e-10)
    np.testing.assert_allclose(values(P6, w), expected, rtol=1e-10)
    np.testing.assert_allclose(values(P5, w), np.sum((w.x_0 - guess) ** 2), rtol=1e-7)
    assert (0.4 / 0.6 - 0.36 / 0.64) / 2 * np.sum((w.x_0 - guess) ** 2) == pytest.approx(expected, rel=1e-12)


DATA = NoisyData(
    np.array([0.3, 0.7]), np.array([-1.1, 0.9]), np.array([0.5, 0.8]), np.array([0.8, 0.45]), np.array([0.6, -1.2])
)


def test_p7_and_p8_match_integration_by_scipy() -> None:
    def moment(power: int, x_t: float) -> float:
        def integrand(x: float) -> float:
            prior = 0.3 * stats.norm.pdf(x, -1.1, 0.5) + 0.7 * stats.norm.pdf(x, 0.9, 0.8)
            return float(x**power * prior * stats.norm.pdf(x_t, 0.6 * x, 0.8))

        return float(integrate.quad(integrand, -9, 9, epsabs=1e-13)[0])

    guess = np.array([moment(1, x) / moment(0, x) for x in DATA.x_t])
    for line in values(P7, DATA):
        np.testing.assert_allclose(line, guess, rtol=1e-7)
    for line in values(P8, DATA):
        np.testing.assert_allclose(line, (0.6 * guess - DATA.x_t) / 0.64, rtol=1e-7)


def test_p9_matches_a_sum_over_all_states() -> None:
    w = ChainTables.draw(np.random.default_rng(4))
    states = list(product(range(3), range(2), range(3)))
    p = np.array([w.p[0][a, w.x] * w.p[1][b, a] * w.p[2][c, b] * w.p[3][c] for a, b, c in states])
    q = np.array([w.q[0][b, a] * w.q[1][c, b] * w.q[2][c] for a, b, c in states])
    np.testing.assert_allclose(values(P9, w), stats.entropy(q, p / p.sum()), rtol=1e-11)


def test_p10_matches_the_bound_of_a_chain_that_is_drawn() -> None:
    """E[log q(x_0)] minus the mean of log p(x_0, ..., x_T) - log q(x_1, ..., x_T | x_0) over chains that were drawn."""
    w = Refinement(1.4, np.array([4.0, 1.5, 0.4]), np.array([0.5, 0.5]))
    kept, rng, n = w.ratios / (1 + w.ratios), np.random.default_rng(1), 400_000
    alphas = kept / np.r_[1, kept[:-1]]
    x = [np.sqrt(1.4) * rng.standard_normal(n)]
    forward = np.zeros(n)
    for alpha in alphas:
        x.append(np.sqrt(alpha) * x[-1] + np.sqrt(1 - alpha) * rng.standard_normal(n))
        forward += stats.norm.logpdf(x[-1], np.sqrt(alpha) * x[-2], np.sqrt(1 - alpha))
    spread = kept * 1.4 + 1 - kept  # variance of x_t
    backward = stats.norm.logpdf(x[3], 0, np.sqrt(spread[2]))
    for t in (2, 1):  # from x_{t+1} to x_t: the denoised picture in place of x_0
        denoised = np.sqrt(kept[t]) * 1.4 / spread[t] * x[t + 1]
        mean = np.sqrt(kept[t - 1]) * (1 - alphas[t]) * denoised + np.sqrt(alphas[t]) * (1 - kept[t - 1]) * x[t + 1]
        scale = np.sqrt((1 - alphas[t]) * (1 - kept[t - 1]) / (1 - kept[t]))
        backward += stats.norm.logpdf(x[t], mean / (1 - kept[t]), scale)
    gain = np.sqrt(kept[0]) * 1.4 / spread[0]
    backward += stats.norm.logpdf(x[0], gain * x[1], np.sqrt(1.4 - gain * np.sqrt(kept[0]) * 1.4))
    lost = stats.norm.logpdf(x[0], 0, np.sqrt(1.4)) - (backward - forward)
    exact = values(P10, w)[0]
    assert abs(lost.mean() - exact) < 4 * lost.std() / np.sqrt(n) < 0.01
    assert exact > 0.05


def test_p10_gap_falls_as_one_over_the_number_of_steps() -> None:
    """Equal steps in log(1 + v SNR), from 100 to 0.01: the gap times T - 1 goes to the square of their sum over 4."""
    v, gaps = 0.7, {}
    for steps in (10, 50, 250):
        ratios = (np.exp(np.linspace(np.log1p(v * 100), np.log1p(v * 0.01), steps + 1)) - 1) / v
        gaps[steps] = float(values(P10, Refinement(v, ratios, np.full(steps, 0.5)))[1])
    limit = np.log((1 + v * 100) / (1 + v * 0.01)) ** 2 / 4
    assert gaps[10] > gaps[50] > gaps[250] > 0
    assert gaps[50] * 50 == pytest.approx(limit, rel=0.06) and gaps[250] * 250 == pytest.approx(limit, rel=0.015)


def test_p11_losses_differ_by_how_much_the_slopes_vary() -> None:
    w = Guesses(DATA, np.array([-0.5, -0.9]), np.array([0.3, -0.4]))
    meant, *_, trained = values(P11, w)
    assert trained[0] - meant[0] == pytest.approx(trained[1] - meant[1], rel=1e-9) and trained[0] > meant[0] + 0.1
    rng, n = np.random.default_rng(2), 400_000
    k = (rng.random(n) < 0.7).astype(int)
    x_0, noise = DATA.locs[k] + DATA.scales[k] * rng.standard_normal(n), rng.standard_normal(n)
    loss = (-0.5 * (0.6 * x_0 + 0.8 * noise) + 0.3 + noise / 0.8) ** 2
    assert abs(loss.mean() - trained[0]) < 4 * loss.std() / np.sqrt(n)
