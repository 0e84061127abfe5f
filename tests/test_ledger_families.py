"""Processing and mixing, other families, and other divergences against SciPy, PyTorch, and searches by brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import integrate, optimize, stats
from scipy.spatial.distance import jensenshannon

from vaelib.derivation import Derivation
from vaelib.distributions import DiagonalNormal, Exponential, Gamma, Laplace, MultivariateNormal, Normal
from vaelib.formula.rules import GAUSS, TRAPEZOID
from vaelib.formula.worlds import Law
from vaelib.ledger import c_bounds, c_local, d_families, e_divergences, e_families
from vaelib.ledger.c_bounds import (
    C9,
    C10,
    C12,
    C13,
    C15,
    C16,
    C20,
    C22,
    E22,
    Critic,
    JointAndLaw,
    Mixed,
    MixturePair,
    Overlap,
    Processed,
    TwoPairs,
)
from vaelib.ledger.c_divergence import TablePair
from vaelib.ledger.c_geometry import Joint, MixtureAndGaussians
from vaelib.ledger.c_local import C3, C14, C18, C19, NaturalPair, Spread, Step
from vaelib.ledger.d_families import D5, D6, D10, D11, Rescaled, ThreeFamilies
from vaelib.ledger.e_divergences import E5, E7, E13, E14, E21, LowRank, MovedEncoding, Order, Whitened
from vaelib.ledger.e_families import (
    B9,
    E17,
    E18,
    E19,
    E20,
    Beta,
    Count,
    GammaPair,
    GaussianAndLaplace,
    LaplacePair,
    Poisson,
    Shares,
    ThreePairs,
)
from vaelib.models import DiscreteLatent
from vaelib.witnesses import NormalPair

ALL = list(chain(*(module.CHAPTER for module in (c_bounds, c_local, d_families, e_families, e_divergences))))
P, Q = np.array([0.5, 0.2, 0.3]), np.array([0.1, 0.6, 0.3])
PAIR = TablePair(P, Q)


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness."""
    results = (line.evaluate(witness) for line in derivation.lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def at_step(derivation: Derivation, index: int, witness: Any, step: float) -> float:
    """The value of a line with a step, at another step."""
    result = derivation.lines[index].evaluate(witness, step)
    return float(getattr(result, "value", result))


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    slip = derivation.known_slip(name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return np.asarray(getattr(result, "value", result))


def torch_kl(q: Any, p: Any) -> float:
    return float(torch.distributions.kl_divergence(q, p).sum())


def tensors(*numbers: Any) -> list[torch.Tensor]:
    return [torch.tensor(np.asarray(number), dtype=torch.float64) for number in numbers]


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    assert (
        report.worst.ratio < 0.7 or settled(derivation, seed=3).worst.ratio < 0.7
    )  # far from a false alarm; 2/3 is what a limit of first order comes to
    assert [result.slip.name for result in report.slips if not result.rejected] == []


# --------------------------------------------------------------------------------------- processing and mixing


def test_processed_laws_match_scipy() -> None:
    w = Processed(PAIR, np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]))
    lines = values(C9, w)
    np.testing.assert_allclose(lines[:4], stats.entropy(Q, P), rtol=1e-12)
    np.testing.assert_allclose(lines[4:], stats.entropy(Q @ w.rule, P @ w.rule), rtol=1e-12)
    merged = Processed(PAIR, np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))  # a rule without chance: two values merged
    assert values(C9, merged)[4] == pytest.approx(stats.entropy([0.1, 0.9], [0.5, 0.5]), rel=1e-12)


def test_mixtures_of_tables_match_scipy() -> None:
    second = TablePair(np.array([0.2, 0.2, 0.6]), np.array([0.3, 0.3, 0.4]))
    lines = values(C10, TwoPairs(PAIR, second, 0.3))
    np.testing.assert_allclose(
        lines[:2], 0.3 * stats.entropy(Q, P) + 0.7 * stats.entropy(second.q, second.p), rtol=1e-12
    )
    mixed = stats.entropy(0.3 * Q + 0.7 * second.q, 0.3 * P + 0.7 * second.p)
    np.testing.assert_allclose(lines[2:], mixed, rtol=1e-12)
    assert mixed < lines[0]


def test_mixtures_of_gaussians_match_integration_by_scipy() -> None:
    w = MixturePair(
        np.array([0.2, 0.3, 0.5]), Normal([-1.0, 0.5, 2.0], [0.7, 1.2, 0.8]), Normal([0.4, -0.6, 1.0], [1.1, 0.9, 1.4])
    )

    def density(law: Normal, z: float) -> float:
        return float(w.weights @ stats.norm.pdf(z, law.loc, law.scale))

    def by_quad(f: Any) -> float:
        return float(integrate.quad(f, -12, 14, epsabs=1e-12, limit=200)[0])

    parts = [torch_kl(torch.distributions.Normal(*tensors(w.q.loc[i], w.q.scale[i])),
                      torch.distributions.Normal(*tensors(w.p.loc[i], w.p.scale[i]))) for i in range(3)]  # fmt: skip
    lines = values(E22, w)
    np.testing.assert_allclose(lines[:3], w.weights @ parts, rtol=1e-10)
    expected = by_quad(lambda z: density(w.q, z) * np.log(density(w.q, z) / density(w.p, z)))
    assert lines[3] == pytest.approx(expected, rel=1e-9) and lines[3] < lines[0]

    low, low_again, middle, middle_again, high = values(D10, w)
    entropy = by_quad(lambda z: -density(w.q, z) * np.log(density(w.q, z)))
    np.testing.assert_allclose([middle, middle_again], entropy, rtol=1e-9)
    np.testing.assert_allclose([low, low_again], w.weights @ stats.norm(w.q.loc, w.q.scale).entropy(), rtol=1e-12)
    assert high == pytest.approx(low + stats.entropy(w.weights), rel=1e-12) and low < entropy < high


def test_average_kl_is_least_for_the_average_of_the_codes() -> None:
    joint = Joint(DiscreteLatent(np.array([0.3, 0.7]), np.array([[0.6, 0.4], [0.1, 0.9]])))
    table = joint.table
    codes, weights = table / table.sum(axis=0), table.sum(axis=0)
    r = np.array([0.8, 0.2])
    lines = values(C22, JointAndLaw(joint, r))
    np.testing.assert_allclose(lines[:5], sum(w * stats.entropy(c, r) for w, c in zip(weights, codes.T, strict=True)))
    best = optimize.minimize_scalar(
        lambda s: float(values(C22, JointAndLaw(joint, np.array([s, 1 - s])))[1]), bounds=(0.01, 0.99), method="bounded"
    )
    assert best.x == pytest.approx(0.3, abs=1e-4) and best.fun == pytest.approx(float(lines[5]), rel=1e-7)


# ------------------------------------------------------------------------------------------- bounds and relatives


def test_total_variation_is_the_largest_difference_of_any_event() -> None:
    events = chain(*(combinations(range(3), n) for n in range(4)))
    largest = max(abs(P[list(e)].sum() - Q[list(e)].sum()) for e in events)
    lines = values(C12, Overlap(P, Q))
    np.testing.assert_allclose(lines[:2], 1 - largest**2, rtol=1e-12)
    assert lines[2] == pytest.approx(np.sum(np.sqrt(P * Q)) ** 2, rel=1e-12)
    np.testing.assert_allclose(lines[3:], np.exp(-stats.entropy(P, Q)), rtol=1e-12)


def test_chi_squared_by_hand() -> None:
    chi2 = 0.25 / 0.1 + 0.04 / 0.6 + 0.3 - 1
    expected = [stats.entropy(P, Q)] * 2 + [np.log(1 + chi2)] * 2 + [chi2]
    np.testing.assert_allclose(values(C13, Overlap(P, Q)), expected, rtol=1e-12)
    near = Overlap(P, P + np.array([1e-3, -2e-3, 1e-3]))  # where half of chi squared is about right
    assert slip_value(C13, "half of chi squared", near) == pytest.approx(float(values(C13, near)[1]), rel=0.02)


@pytest.mark.parametrize("derivation, index", [(C15, 4), (C16, 2)])
def test_best_function_reaches_the_kl(derivation: Derivation, index: int) -> None:
    found = optimize.minimize(lambda T: -float(values(derivation, Critic(PAIR, T))[index]), np.zeros(3), tol=1e-10)
    assert -found.fun == pytest.approx(stats.entropy(P, Q), rel=1e-6)
    best = found.x - np.log(P / Q)
    np.testing.assert_allclose(best, best[0] if derivation is C15 else 1.0, atol=1e-3)


def test_jensen_shannon_matches_scipy_and_ends_at_log_2() -> None:
    np.testing.assert_allclose(values(C20, Mixed(P, Q))[1:5], jensenshannon(P, Q) ** 2, rtol=1e-12)
    apart = Mixed(np.array([0.4, 0.6, 0.0]), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(values(C20, apart)[1:], np.log(2), rtol=1e-12)


# -------------------------------------------------------------------------------------- small steps and families


def test_small_jensen_gap_goes_to_half_of_numpys_variance() -> None:
    w = Spread(np.array([0.1, 0.2, 0.3, 0.25, 0.15]), np.array([0.5, -1.0, 1.5, 0.2, -0.7]))
    half = float(np.cov(w.g, aweights=w.probability, ddof=0)) / 2
    assert values(C3, w)[3] == pytest.approx(half, rel=1e-12)
    errors = [abs(at_step(C3, 0, w, h) - half) for h in (0.02, 0.01, 0.005)]
    assert errors[0] > 1.9 * errors[1] > 3.6 * errors[2] > 0


def test_small_step_matches_the_hessian_of_pytorchs_kl() -> None:
    w = Step(Normal(0.4, 0.7), 0.5, -0.3)
    theta, direction = tensors([0.4, 0.7], [0.5, -0.3])

    def kl(moved: torch.Tensor) -> torch.Tensor:
        return torch.distributions.kl_divergence(torch.distributions.Normal(*theta), torch.distributions.Normal(*moved))

    hessian = torch.autograd.functional.hessian(kl, theta)
    expected = float(direction @ hessian @ direction) / 2
    np.testing.assert_allclose(values(C14, w)[2:], expected, rtol=1e-9)
    for index in (0, 1):
        assert at_step(C14, index, w, 1e-3) == pytest.approx(expected, rel=5e-3)


def test_curvature_is_that_of_pytorch_under_another_law_too() -> None:
    """Under p itself the mixed term averages to 0, whatever its factor."""
    w, other = Step(Normal(0.4, 0.7), 0.5, -0.3), Normal(1.1, 0.6)
    z, weights = np.polynomial.hermite_e.hermegauss(5)  # exact, since the curvature is a polynomial in z
    theta, direction, at, weight = tensors([0.4, 0.7], [0.5, -0.3], 1.1 + 0.6 * z, weights / weights.sum())

    def mean_log_density(theta: torch.Tensor) -> torch.Tensor:
        return weight @ torch.distributions.Normal(*theta).log_prob(at)

    curvature = float(direction @ torch.autograd.functional.hessian(mean_log_density, theta) @ direction)
    scope = replace(w.scope(), worlds={"p": Law("z", other)})
    found = C14.lines[2].formula.value(scope)  # type: ignore[union-attr]
    assert float(found.value) == pytest.approx(-curvature / 2, rel=1e-9)


def test_kl_splits_at_the_matched_gaussian_by_scipys_integration() -> None:
    w = MixtureAndGaussians(
        0.3, np.array([-1.2, 1.5]), np.array([0.6, 0.9]), np.array([0.5, -1.0]), np.array([1.8, 2.4])
    )

    def density(z: float) -> float:
        return float(w.weights @ stats.norm.pdf(z, w.loc, w.scale))

    expected = [
        integrate.quad(lambda z: density(z) * np.log(density(z) / stats.norm.pdf(z, m, s)), -9, 10, epsabs=1e-12)[0]  # noqa: B023
        for m, s in zip(w.q_loc, w.q_scale, strict=True)
    ]
    for line in values(C18, w):
        np.testing.assert_allclose(line, expected, rtol=1e-9)
    assert np.all(slip_value(C18, "heavier mode for p*", w) > expected)


def test_tangents_match_pytorch() -> None:
    w = NaturalPair(np.array([0.8, -0.5]), np.array([-0.4, -1.7]), np.array([0.6, -1.1]))
    d = torch.distributions
    expected = [
        torch_kl(*(d.Bernoulli(logits=t) for t in tensors(*w.coin))),
        torch_kl(*(d.Exponential(-t) for t in tensors(*w.waiting))),
        torch_kl(*(d.Normal(t, torch.ones_like(t)) for t in tensors(*w.mean))),
    ]
    for line in values(C19, w):
        np.testing.assert_allclose(line, expected, rtol=1e-10)


# ------------------------------------------------------------------------------------------------ entropies


def test_entropy_of_a_scaled_variable_matches_scipy() -> None:
    w = Rescaled(Laplace(0.4, 0.7), -1.6, 0.9)
    np.testing.assert_allclose(values(D5, w), stats.laplace(-1.6 * 0.4 + 0.9, 1.6 * 0.7).entropy(), rtol=1e-11)


def test_three_entropies_match_scipy_and_pytorch() -> None:
    w = ThreeFamilies(Laplace(0.4, 0.7), Gamma(2.3, 1.6), Exponential(0.6))
    expected = [
        stats.laplace(0.4, 0.7).entropy(),
        stats.gamma(2.3, scale=1 / 1.6).entropy(),
        stats.expon(scale=1 / 0.6).entropy(),
    ]
    d = torch.distributions
    laws = (d.Laplace(*tensors(0.4, 0.7)), d.Gamma(*tensors(2.3, 1.6)), d.Exponential(*tensors(0.6)))
    np.testing.assert_allclose([float(law.entropy()) for law in laws], expected, rtol=1e-10)
    for line in values(D6, w):
        np.testing.assert_allclose(line, expected, rtol=1e-11)


def test_entropy_of_a_pair_matches_scipy() -> None:
    w = Joint(DiscreteLatent(np.array([0.2, 0.3, 0.1, 0.4]), stats.dirichlet([1.0, 2.0, 3.0]).rvs(4, random_state=0)))
    *equal, bound = values(D11, w)
    np.testing.assert_allclose(equal, stats.entropy(w.table.ravel()), rtol=1e-12)
    assert bound == pytest.approx(stats.entropy(w.table.sum(axis=0)) + stats.entropy(w.table.sum(axis=1)), rel=1e-12)


# ------------------------------------------------------------------------------------------ KL of other families


def test_laws_that_the_package_lacks_match_scipy() -> None:
    z, n = np.linspace(0.02, 0.98, 9), np.arange(12)
    np.testing.assert_allclose(Beta(2.3, 0.8).log_prob(z), stats.beta(2.3, 0.8).logpdf(z), rtol=1e-12)
    np.testing.assert_allclose(Poisson(2.7).log_prob(n), stats.poisson(2.7).logpmf(n), rtol=1e-12)


@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS])
def test_nodes_between_0_and_1_integrate_what_is_steep_at_either_end(rule: Any) -> None:
    nodes, log_weights = Shares().nodes(rule, 0)
    density = np.exp(Beta(1.2, 3.4).log_prob(nodes.data) + log_weights)
    assert density.sum() == pytest.approx(1, rel=1e-12)
    assert density @ np.log(nodes.data) == pytest.approx(stats.beta(1.2, 3.4).expect(np.log), rel=1e-9)


def test_laplace_gamma_and_gaussian_divergences_match_pytorch() -> None:
    d = torch.distributions
    laplace = LaplacePair(Laplace(0.4, 0.7), Laplace(-0.8, 1.3))
    expected = torch_kl(d.Laplace(*tensors(0.4, 0.7)), d.Laplace(*tensors(-0.8, 1.3)))
    np.testing.assert_allclose(values(E17, laplace), expected, rtol=1e-10)
    gamma = GammaPair(Gamma(2.3, 1.6), Gamma(1.2, 0.7))
    expected = torch_kl(d.Gamma(*tensors(2.3, 1.6)), d.Gamma(*tensors(1.2, 0.7)))
    np.testing.assert_allclose(values(E18, gamma), expected, rtol=1e-10)
    expected = torch_kl(d.Normal(*tensors(0.4, 0.7)), d.Laplace(*tensors(-0.8, 1.3)))
    np.testing.assert_allclose(values(E20, GaussianAndLaplace(Normal(0.4, 0.7), laplace.p)), expected, rtol=1e-10)


def test_exponential_poisson_and_beta_divergences_match_pytorch() -> None:
    d = torch.distributions
    w = ThreePairs(np.array([0.6, 1.7]), np.array([2.4, 3.9]), np.array([2.3, 4.1]), np.array([1.6, 2.8]))
    expected = [
        torch_kl(*(d.Exponential(t) for t in tensors(*w.rates))),
        torch_kl(*(d.Poisson(t) for t in tensors(*w.means))),
        torch_kl(*(d.Beta(a, b) for a, b in zip(tensors(*w.first), tensors(*w.second), strict=True))),
    ]
    for line in values(E19, w):
        np.testing.assert_allclose(line, expected, rtol=1e-10)


def test_evidence_of_a_count_is_scipys_negative_binomial() -> None:
    for x in (0, 3, 11):
        w = Count(Gamma(2.3, 0.7), x, np.array([0.5, 2.0]))
        for line in values(B9, w):
            np.testing.assert_allclose(line, stats.nbinom(2.3, 0.7 / 1.7).logpmf(x), rtol=1e-10)
    assert slip_value(B9, "mean put in for z", w) == pytest.approx(stats.poisson(2.3 / 0.7).logpmf(11), rel=1e-12)


# -------------------------------------------------------------------------------------- Gaussians, other divergences


def test_low_rank_covariance_matches_pytorchs() -> None:
    w = LowRank(np.array([0.4, -0.9, 0.6]), np.array([0.5, 1.3, 0.8]), np.array([[0.6, -0.4], [0.9, 0.3], [-0.5, 0.7]]))
    d = torch.distributions
    loc, factor, variances = tensors(w.loc, w.factor, w.variances)
    q = d.LowRankMultivariateNormal(loc, factor, variances)
    p = d.MultivariateNormal(torch.zeros_like(loc), torch.eye(3, dtype=torch.float64))
    np.testing.assert_allclose(values(E5, w), torch_kl(q, p), rtol=1e-10)


def test_whitened_form_matches_pytorch() -> None:
    first, second = np.array([[1.2, 0.3], [0.3, 0.7]]), np.array([[0.8, -0.4], [-0.4, 1.5]])
    w = Whitened(MultivariateNormal(np.array([0.4, -0.3]), first), MultivariateNormal(np.array([-0.6, 0.9]), second))
    q, p = (torch.distributions.MultivariateNormal(*tensors(law.loc, law.covariance)) for law in (w.q, w.p))
    np.testing.assert_allclose(values(E7, w), torch_kl(q, p), rtol=1e-10)


def test_symmetric_and_renyi_divergences_match_scipys_integration() -> None:
    pair = NormalPair(Normal(0.4, 0.7), Normal(-0.5, 1.3))
    q, p = stats.norm(0.4, 0.7), stats.norm(-0.5, 1.3)
    both, _ = integrate.quad(lambda z: (q.pdf(z) - p.pdf(z)) * (q.logpdf(z) - p.logpdf(z)), -12, 12, epsabs=1e-12)
    np.testing.assert_allclose(values(E13, pair), both, rtol=1e-10)
    renyi = [
        np.log(integrate.quad(lambda z: q.pdf(z) ** a * p.pdf(z) ** (1 - a), -15, 15, epsabs=1e-13)[0]) / (a - 1)  # noqa: B023
        for a in (0.3, 0.8)
    ]
    for alpha, expected in zip((0.3, 0.8), renyi, strict=True):
        *lines, kl = values(E14, Order(pair, alpha))
        np.testing.assert_allclose(lines, expected, rtol=1e-10)
        assert expected < kl
    assert renyi[0] < renyi[1]


def test_shortest_way_matches_quantiles_by_scipy() -> None:
    w = MovedEncoding(DiagonalNormal(np.array([0.4, -0.9]), np.array([0.6, 1.7])))
    squares = [
        integrate.quad(lambda u: (stats.norm.ppf(u, m, s) - stats.norm.ppf(u)) ** 2, 0, 1, epsabs=1e-10)[0]  # noqa: B023
        for m, s in zip(w.q.loc, w.q.scale, strict=True)
    ]
    lines = values(E21, w)
    np.testing.assert_allclose(lines[:2], sum(squares), rtol=1e-7)
    kl = sum(
        torch_kl(torch.distributions.Normal(*tensors(m, s)), torch.distributions.Normal(*tensors(0.0, 1.0)))
        for m, s in zip(w.q.loc, w.q.scale, strict=True)
    )
    np.testing.assert_allclose(lines[2:], 2 * kl, rtol=1e-10)


# --------------------------------------------------------------------------------- an error in the package is seen


@pytest.mark.parametrize(
    ("owner", "name", "derivation", "broken"),
    [
        (c_bounds, "package_divergence", C9, (5,)),
        (c_bounds, "package_divergence", C22, (1,)),
        (c_local, "kl_divergence", C19, (4,)),
        (Laplace, "entropy", D5, (4,)),
        (Gamma, "entropy", D6, (3,)),
        (e_families, "kl_divergence", E17, (4,)),
        (e_families, "kl_divergence", E18, (4,)),
        (e_families, "kl_divergence", E20, (3,)),
        (e_divergences, "kl_divergence", E5, (4,)),
        (e_divergences, "kl_divergence", E7, (4,)),
    ],
)
def test_error_in_the_package_breaks_the_derivation(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, derivation: Derivation, broken: Any
) -> None:
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **named: 1.01 * original(*args, **named))
    report = derivation.check(witnesses=3)
    assert report.broken == broken, str(report)
