"""Chapters I and J against numbers from elsewhere: SciPy, mpmath, PyTorch, simulation, and arithmetic by hand.

The table is p(z) = (1/2, 1/2), p(x=0|z) = (4/5, 1/5), x = 0, q = (3/5, 2/5): weights 2/3 and 1/4, p(x) = 1/2, posterior
(4/5, 1/5). The toy is z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1, q = N(0.3, 0.16): posterior N(4/9, 1/9).
"""

from __future__ import annotations

from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import integrate, optimize, stats

from vaelib.derivation import Derivation
from vaelib.distributions import Categorical, DiagonalNormal, MultivariateNormal, Normal
from vaelib.ledger import i_gaps, j_importance
from vaelib.ledger.i_gaps import E12, F16, F20, I1, AmortizedWitness, FactorizedFamily, NearPosterior
from vaelib.ledger.j_importance import (
    B10,
    J1,
    J2,
    J3,
    J4,
    J5,
    J8,
    J10,
    J13,
    J14,
    J18,
    J20,
    AnnealedTable,
    LogWeights,
    NoisyGradient,
    Weighted,
    bound,
    exact_ratios,
    gradients,
    metropolis_hastings,
)
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian, ScalarBernoulli
from vaelib.witnesses import BernoulliWitness, CurvedWitness

ALL = i_gaps.CHAPTER + j_importance.CHAPTER
RATES = {"B10", "F20", "J3", "J8", "J10", "J20"}  # a difference that halves with the step is 2/3 of what is allowed

TABLE = Weighted(DiscreteLatent([0.5, 0.5], [[0.8, 0.2], [0.2, 0.8]]), 0, Categorical(np.log(np.array([0.6, 0.4]))))
WEIGHTS = np.array([2 / 3, 1 / 4])
TOY = CurvedWitness(
    CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5), np.array([1.0]), Normal(0.3, 0.4)
)
LOG_EVIDENCE = -1.782088343


def values(derivation: Derivation, witness: Any, step: float | None = None) -> list[Any]:
    """The value of every line on one witness, at one step."""
    results = (line.evaluate(witness, step) for line in derivation.lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return getattr(result, "value", result)


def bound_by_binomial(draws: int) -> float:
    """L_K of the table: of K draws n are in state 0."""
    n = np.arange(draws + 1)
    return float(stats.binom(draws, 0.6).pmf(n) @ np.log((n * WEIGHTS[0] + (draws - n) * WEIGHTS[1]) / draws))


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    limit = 0.9 if derivation.id in RATES else 0.5
    assert report.worst.ratio < limit or settled(derivation, seed=3).worst.ratio < limit
    assert [result.slip.name for result in report.slips if not result.rejected] == []


# ------------------------------------------------------------------------------------------------ K draws from a table


def test_bounds_on_a_table_match_the_binomial_law() -> None:
    for draws in (1, 2, 3, 4):
        assert bound(draws)(TABLE) == pytest.approx(bound_by_binomial(draws), rel=1e-13)
    assert bound_by_binomial(1) == pytest.approx(0.6 * np.log(2 / 3) + 0.4 * np.log(1 / 4), rel=1e-13)


def test_one_weight_is_the_elbo_by_hand() -> None:
    *evidence, one, parts, elbo = values(J1, TABLE)
    np.testing.assert_allclose(evidence, np.log(0.5), rtol=1e-13)
    kl = stats.entropy([0.6, 0.4], [0.5, 0.5])
    expected = 0.6 * np.log(0.8) + 0.4 * np.log(0.2) - kl
    np.testing.assert_allclose([one, parts, elbo], expected, rtol=1e-13)
    assert slip_value(J1, "sum of weights", TABLE) == pytest.approx(np.log(1.5), rel=1e-13)
    assert slip_value(J1, "drawn from the prior", TABLE) == pytest.approx(np.log((2 / 3 + 1 / 4) / 2), rel=1e-13)


def test_bounds_rise_with_the_number_of_weights() -> None:
    expected = [np.log(0.5), *(bound_by_binomial(k) for k in (4, 4, 2, 2, 1))]
    np.testing.assert_allclose(values(J2, TABLE), expected, rtol=1e-13)
    assert slip_value(J2, "no log K", TABLE) == pytest.approx(bound_by_binomial(4) + np.log(4), rel=1e-13)


def test_rate_of_the_gap_by_hand() -> None:
    variance = 0.24 * (2 / 3 - 1 / 4) ** 2  # of a weight with two values
    spelled, second_order, by_variance, by_chi_square = values(J3, TABLE_OF_THREE, 1 / 100)
    np.testing.assert_allclose([by_variance, by_chi_square], variance / (2 * 0.25), rtol=1e-13)
    assert second_order == pytest.approx(variance / (2 * 0.25), rel=1e-10)  # exact at every K
    assert spelled == pytest.approx(100 * (np.log(0.5) - bound_by_binomial(100)), rel=1e-9)


TABLE_OF_THREE = Weighted(  # the same, state 1 cut into two
    DiscreteLatent([0.5, 0.25, 0.25], [[0.8, 0.2], [0.2, 0.8], [0.2, 0.8]]),
    0,
    Categorical(np.log(np.array([0.6, 0.2, 0.2]))),
)


def test_bias_of_naive_monte_carlo_by_hand() -> None:
    at_hundred = values(B10, TABLE_OF_THREE, 1 / 100)
    n = np.arange(101)
    expected = stats.binom(100, 0.5).pmf(n) @ np.log((0.8 * n + 0.2 * (100 - n)) / 100)
    assert at_hundred[0] == pytest.approx(100 * (np.log(0.5) - expected), rel=1e-9)
    np.testing.assert_allclose(at_hundred[1:], 0.09 / (2 * 0.25), rtol=1e-10)  # likelihoods 0.8 and 0.2, variance 0.09


def test_variance_of_the_mean_weight_by_hand() -> None:
    np.testing.assert_allclose(values(J4, TABLE), 0.24 * (5 / 12) ** 2 / 3, rtol=1e-12)
    assert slip_value(J4, "no p(x)^2", TABLE) == pytest.approx(0.24 * (5 / 12) ** 2 / 3 / 0.25, rel=1e-12)


def test_larger_space_by_hand() -> None:
    *bounds, of_chosen = values(J5, TABLE)
    np.testing.assert_allclose(bounds, bound_by_binomial(3), rtol=1e-12)
    n = np.arange(4)
    share = n * WEIGHTS[0] / (n * WEIGHTS[0] + (3 - n) * WEIGHTS[1])
    first = stats.binom(3, 0.6).pmf(n) @ share  # the chosen one is in state 0
    assert of_chosen == pytest.approx(np.log(0.5) - stats.entropy([first, 1 - first], [0.8, 0.2]), rel=1e-12)


def test_effective_size_by_hand() -> None:
    n = np.arange(101)
    total, squares = n * WEIGHTS[0] + (100 - n) * WEIGHTS[1], n * WEIGHTS[0] ** 2 + (100 - n) * WEIGHTS[1] ** 2
    expected = stats.binom(100, 0.6).pmf(n) @ (total**2 / squares) / 100
    one, share, variation, limit, by_chi_square = values(J8, TABLE_OF_THREE, 1 / 100)
    assert one == 1
    np.testing.assert_allclose([share, variation], expected, rtol=1e-10)
    np.testing.assert_allclose([limit, by_chi_square], 1 / (0.64 / 0.6 + 0.04 / 0.4), rtol=1e-12)


def test_logarithm_of_a_mean_matches_mpmath() -> None:
    w = LogWeights(np.array([[-9000.0, 850.0], [-9001.5, 848.0], [-8998.25, 853.5]]))
    with mpmath.workdps(40):
        expected = [
            float(mpmath.log(mpmath.fsum(mpmath.exp(float(a)) for a in column) / 3)) for column in w.log_weights.T
        ]
    *same, mean = values(J18, w)
    for line in same:
        np.testing.assert_allclose(line, expected, rtol=1e-14)
    np.testing.assert_allclose(mean, [-8999.916667, 850.5], rtol=1e-9)
    with np.errstate(over="ignore", divide="ignore"):
        assert np.all(np.isinf(slip_value(J18, "exponentials first", w)))


# ------------------------------------------------------------------------------------------------ gradients


def test_gradient_of_two_weights_matches_scipy_and_torch() -> None:
    model = ScalarBernoulli(np.array([1.2, -0.7]), np.array([0.4, 0.5]))
    w = BernoulliWitness(model, np.array([1, 0]), Normal(0.6, 0.7))

    def integrand(a: float, b: float) -> float:
        log_weights = j_importance.log_weight_at(w, np.array([a, b]))
        return float(stats.norm.pdf(a) * stats.norm.pdf(b) * np.log(np.exp(log_weights).mean()))

    expected, _ = integrate.dblquad(integrand, -8, 8, -8, 8, epsabs=1e-7)
    assert j_importance.bound_of_two(w) == pytest.approx(expected, abs=1e-6)

    at = torch.tensor([0.6, np.log(0.7)], dtype=torch.float64, requires_grad=True)
    e = torch.linspace(-9, 9, 181, dtype=torch.float64)
    z = at[0] + at[1].exp() * e
    logits = torch.tensor([1.2, -0.7]) * z[:, None] + torch.tensor([0.4, 0.5])
    likelihood = torch.distributions.Bernoulli(logits=logits).log_prob(torch.tensor([1.0, 0.0])).sum(-1)
    log_weight = likelihood - z**2 / 2 + e**2 / 2 + at[1]
    law = torch.softmax(-(e**2) / 2, 0)
    of_two = law @ (torch.logaddexp(log_weight[:, None], log_weight) - np.log(2)) @ law
    (gradient,) = torch.autograd.grad(of_two, at)
    for line in values(J10, w)[1:]:
        np.testing.assert_allclose(line, gradient.numpy(), atol=1e-7)


def test_ratios_match_a_simulation_and_scipy() -> None:
    w = NoisyGradient(1.3, -0.4, 0.5, 1.1, Normal(0.5, 0.7), seed=5)
    g = gradients(w, 16, 200_000)
    snr = np.abs(g.mean(axis=0)) / g.std(axis=0)
    np.testing.assert_allclose(exact_ratios(w, 1 / 16), snr * [4, 1 / 4], rtol=0.04)

    loc, scale = w.posterior
    assert (loc, scale**2) == pytest.approx((1.3 * 1.5 / (1.3**2 + 0.5), 0.5 / (1.3**2 + 0.5)), rel=1e-12)

    def mean(f: Any) -> float:  # E_q[r^2 f(z)]
        def integrand(z: float) -> float:
            return float(stats.norm(loc, scale).pdf(z) ** 2 / stats.norm(0.5, 0.7).pdf(z) * f(z))

        return float(integrate.quad(integrand, -6, 7, epsabs=1e-12)[0])

    spread = mean(lambda z: ((z - loc) / scale**2) ** 2)
    encoder = abs(mean(lambda z: (z - loc) / scale**2)) / np.sqrt(spread)
    decoder = 1.5 / (1.3**2 + 0.5) / np.sqrt(mean(lambda z: (1.3 * (z - loc) / 0.5) ** 2))
    for line in values(J20, w)[2:]:
        np.testing.assert_allclose(line, [encoder, decoder], rtol=1e-8)


# ------------------------------------------------------------------------------------------------ annealing


ANNEALED = AnnealedTable(
    DiscreteLatent([0.5, 0.5], [[0.8, 0.2], [0.2, 0.8]]),
    0,
    np.array([0.0, 0.5, 1.0]),
    np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.25, 0.75], [0.75, 0.25]]]),
)


def test_moves_keep_their_law_and_reverse_it() -> None:
    w = AnnealedTable.draw(np.random.default_rng(1))
    for t in range(1, len(w.temperatures)):
        law = np.exp(w.log_f[t])
        np.testing.assert_allclose(law @ w.moves(t), law, rtol=1e-13)
        joint = law[:, None] * w.moves(t)
        np.testing.assert_allclose((law[:, None] * w.moves(t, reverse=True)).T, joint, rtol=1e-12)
        assert not np.allclose(joint, joint.T, rtol=1e-3)  # so forward and backward differ
    table = metropolis_hastings(np.array([[0.5, 0.5], [0.5, 0.5]]), np.log([0.8, 0.2]))
    np.testing.assert_allclose(table, [[0.875, 0.125], [0.5, 0.5]], rtol=1e-14)


def test_annealing_by_hand() -> None:
    """Two temperatures: w = sqrt(p(x|z_0) p(x|z_1)); between them one move that keeps (2/3, 1/3)."""
    likelihood, law = np.array([0.8, 0.2]), np.array([2 / 3, 1 / 3])  # f_1 ~ sqrt(0.8) : sqrt(0.2)
    first = np.array([[0.75, 0.25], [0.5, 0.5]])  # proposals of 1/2, accepted with 1/2 downwards
    second = np.array([[0.625, 0.375], [0.75, 0.25]])
    move = first @ second
    np.testing.assert_allclose(law @ move, law, rtol=1e-14)
    unbiased = lower = upper = 0.0
    for a, b in product(range(2), range(2)):
        weight = np.sqrt(likelihood[a] * likelihood[b])
        unbiased += 0.5 * move[a, b] * weight
        lower += 0.5 * move[a, b] * np.log(weight)
        upper += [0.8, 0.2][b] * (second @ first)[b, a] * np.log(weight)
    np.testing.assert_allclose(values(J13, ANNEALED), 0.5, rtol=1e-13)
    assert unbiased == pytest.approx(0.5, rel=1e-13)
    spelled, by_step, forward, evidence, backward, mean = values(J14, ANNEALED)
    np.testing.assert_allclose([spelled, by_step, forward], lower, rtol=1e-12)
    assert evidence == pytest.approx(np.log(0.5), rel=1e-13)
    np.testing.assert_allclose([backward, mean], upper, rtol=1e-12)
    assert lower < np.log(0.5) < upper
    no_acceptance = 0.5 * np.sqrt(likelihood) @ (np.full((2, 2), 0.5) @ ANNEALED.proposals[1]) @ np.sqrt(likelihood)
    assert slip_value(J13, "no acceptance step", ANNEALED) == pytest.approx(no_acceptance, rel=1e-12)


def test_backward_chain_from_a_wrong_start_may_fall_below() -> None:
    """The pitfall: on real data there is no exact posterior sample, and no bound from above."""
    below = 0
    for seed in range(20):
        w = AnnealedTable.draw(np.random.default_rng(seed))
        below += slip_value(J14, "backward from the prior", w) < w.model.log_evidence(w.x)
    assert below >= 1


# ------------------------------------------------------------------------------------------------ chapter I


def test_best_factorized_gaussian_matches_a_search() -> None:
    covariance = np.array([[1.0, 0.6], [0.6, 0.8]])
    p = MultivariateNormal(np.array([0.5, -1.0]), covariance)
    w = FactorizedFamily(p, np.array([[0.1, 0.2], [1.0, -2.0]]), np.array([[0.7, 0.9], [1.3, 0.5]]))
    law = torch.distributions.MultivariateNormal(*map(torch.tensor, (p.loc, covariance)))

    def divergence(at: Any, forward: bool) -> float:
        scale = torch.diag(torch.tensor(np.exp(at[2:])) ** 2)
        q = torch.distributions.MultivariateNormal(torch.tensor(at[:2]), scale)
        pair = (law, q) if forward else (q, law)
        return float(torch.distributions.kl_divergence(*pair))

    found = [optimize.minimize(divergence, np.zeros(4), args=(forward,)) for forward in (False, True)]
    expected = -0.5 * np.log(1 - 0.36 / 0.8)  # both ways the same in two dimensions
    np.testing.assert_allclose([result.fun for result in found], expected, atol=1e-8)
    np.testing.assert_allclose(np.exp(2 * found[0].x[2:]), [1 - 0.36 / 0.8, 0.8 - 0.36], rtol=1e-3)  # 1 / Lambda_jj
    np.testing.assert_allclose(np.exp(2 * found[1].x[2:]), [1.0, 0.8], rtol=1e-3)
    start, sorted_terms, bound_, optima = values(E12, w)
    each = [
        [divergence(np.r_[m, np.log(s)], way) for m, s in zip(w.loc, w.scale, strict=True)] for way in (False, True)
    ]
    np.testing.assert_allclose(start, np.transpose(each), rtol=1e-12)
    np.testing.assert_allclose(sorted_terms, np.transpose(each), rtol=1e-12)
    np.testing.assert_allclose([bound_, optima], expected, rtol=1e-12)


def test_gaps_by_hand() -> None:
    """Loadings (1, 0), (1, 1), noise 1: Lambda = ((3, 1), (1, 2)), and x - b = (1, 3) pulls with (4, 3)."""
    model = LinearGaussian(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([0.5, -1.0]), 1.0)
    q = DiagonalNormal(np.array([0.5, 0.5]), np.array([0.6, 0.8]))
    w = AmortizedWitness(model, np.array([1.5, 2.0]), q)
    mean = np.array([1.0, 1.0])
    approximation = 0.5 * np.log(6 / 5)
    ratios = np.array([3 * 0.36, 2 * 0.64])
    amortization = 0.5 * np.sum(ratios - 1 - np.log(ratios)) + 0.5 * (0.25 * 3 + 0.25 * 2 + 2 * 0.25)
    np.testing.assert_allclose(w.mean, mean, rtol=1e-13)
    *total, first, zero = values(I1, w)
    np.testing.assert_allclose(total, approximation + amortization, rtol=1e-12)
    assert (first, zero) == (pytest.approx(approximation, rel=1e-12), 0)
    wide = torch.distributions.MultivariateNormal(
        torch.tensor(mean), torch.tensor([[0.4, 0.0], [0.0, 0.6]], dtype=torch.float64)
    )
    posterior = torch.distributions.MultivariateNormal(
        torch.tensor(mean), precision_matrix=torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    )
    expected = float(torch.distributions.kl_divergence(wide, posterior))
    assert slip_value(I1, "marginal variances as the best", w) == pytest.approx(expected, rel=1e-9)


def test_gap_near_the_posterior_by_hand() -> None:
    w = NearPosterior(DiscreteLatent([0.5, 0.5], [[0.8, 0.2], [0.2, 0.8]]), 0, np.array([1.0, -1.0]))
    np.testing.assert_allclose(w.g, [0.4, -1.6], rtol=1e-13)  # centered under (4/5, 1/5)
    h = 1e-3
    q = np.array([0.8, 0.2]) * (1 + h * w.g)
    spelled, kl, expanded, half, variance = values(F20, w, h)
    np.testing.assert_allclose([spelled, kl, expanded], stats.entropy(q, [0.8, 0.2]) / h**2, rtol=1e-7)
    assert half == pytest.approx(0.5 * (0.8 * 0.16 + 0.2 * 2.56), rel=1e-13)
    assert variance == pytest.approx(half, rel=1e-5)


def test_sandwich_by_hand() -> None:
    """KL(N(4/9, 1/9) || N(0.3, 0.16)) and back, in closed form."""
    above = np.log(0.4 * 3) + (1 / 9 + (4 / 9 - 0.3) ** 2) / 0.32 - 0.5
    lower, evidence, *upper = values(F16, TOY)
    assert lower == pytest.approx(-1.913655675, abs=1e-9)
    assert evidence == pytest.approx(LOG_EVIDENCE, abs=1e-9)
    np.testing.assert_allclose(upper, LOG_EVIDENCE + above, rtol=1e-8)
    assert slip_value(F16, "averaged under q", TOY).item() == pytest.approx(-1.913655675, abs=1e-9)
