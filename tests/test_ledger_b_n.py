"""Chapters B and N, with A9, A10 and E15, against numbers from elsewhere: SciPy, mpmath, and arithmetic by hand.

The toy is z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1: evidence N(0, 4.5), posterior N(4/9, 1/9).
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import integrate, stats

from vaelib.derivation import Derivation
from vaelib.distributions import MultivariateNormal, Normal
from vaelib.ledger import a_bayes, b_evidence, n_numerics
from vaelib.ledger.a_bayes import A9, A10, Population, TableAndLine, TwoObservations
from vaelib.ledger.b_evidence import B1, B2, B3, B5, B6, B8, E15, Scores, WidePair
from vaelib.ledger.n_numerics import (
    N1,
    N4,
    N5,
    N6,
    N7,
    N8,
    FewDraws,
    MisfitRule,
    NearlyPrior,
    NodesAndPolynomial,
    Scales,
    SmallSamples,
    golub_welsch,
)
from vaelib.models import CurvedGaussian, LinearGaussian
from vaelib.witnesses import CurvedWitness, LinearWitness

ALL = (A9, A10, *b_evidence.CHAPTER, *n_numerics.CHAPTER)

TOY = LinearGaussian(np.array([[2.0]]), np.array([0.0]), 0.5)
TOY_LINEAR = LinearWitness(TOY, np.array([1.0]), MultivariateNormal(np.array([0.3]), np.array([[0.16]])))
TOY_CURVED = CurvedWitness(
    CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5), np.array([1.0]), Normal(0.3, 0.4)
)
LOG_EVIDENCE = float(stats.norm(0, np.sqrt(4.5)).logpdf(1))


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness; a sample mean's from 100,000 samples."""
    return [line_value(line, witness) for line in derivation.lines]


def line_value(line: Any, witness: Any) -> Any:
    if line.samples is not None:
        return np.mean(line.samples(witness, np.random.default_rng(0), 100_000), axis=0)
    result = line.evaluate(witness)
    return np.asarray(getattr(result, "value", result))


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    (slip,) = (s for s in derivation.slips if s.name == name)
    return line_value(slip.apply(derivation.lines[slip.line]), witness)


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected_on_the_first_witness(derivation: Derivation) -> None:
    report = derivation.check(seed=11)
    assert report.holds, str(report)
    assert [result.slip.name for result in report.slips if not result.rejected or result.tried > 1] == []
    exact = [row.comparison.ratio for row in report.rows[1:] if not row.comparison.sampled and row.line.step is None]
    assert max(exact, default=0.0) < 0.5 or derivation is N8  # far from a false alarm


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_slips_and_sources_are_said_in_words(derivation: Derivation) -> None:
    assert derivation.assumptions and derivation.source
    assert len(derivation.slips) >= 3
    assert all(slip.says.startswith("It looks like ") and len(slip.says) < 150 for slip in derivation.slips)
    assert all(0 < len(line.reason) <= 60 for line in derivation.lines[1:])


# ------------------------------------------------------------------------------------------------ A9 and A10


def test_averaged_posterior_by_hand() -> None:
    w = TableAndLine(Population(np.array([[30, 10], [20, 40]]), x=0), TOY)
    for line in values(A9, w):  # a row for each z: p(z), and the variance of the Gaussian model's z
        np.testing.assert_allclose(line, [[0.4, 1.0], [0.6, 1.0]], rtol=1e-13)
    within = slip_value(A9, "means taken not to move", w)[0, 1]
    between = slip_value(A9, "posteriors taken to be points", w)[0, 1]
    np.testing.assert_allclose([within, between], [1 / 9, 8 / 9], rtol=1e-13)
    np.testing.assert_allclose(slip_value(A9, "another source of x", w)[:, 0], [0.4, 0.6], rtol=1e-13)  # 50 of each x
    uneven = TableAndLine(Population(np.array([[30, 10], [20, 90]]), x=0), TOY)
    np.testing.assert_allclose(slip_value(A9, "another source of x", uneven)[:, 0], [0.35, 0.65], rtol=1e-13)


def test_two_updates_match_scipy() -> None:
    z = np.array([[-1.0], [0.2], [1.5]])
    w = TwoObservations(TOY, np.array([1.0]), np.array([2.0]), z)
    # precision 1 + 8 + 8, mean (4 * 1 + 4 * 2) / 17
    expected = stats.norm(12 / 17, np.sqrt(1 / 17)).pdf(z[:, 0])
    batch, *between, twice = values(A10, w)
    np.testing.assert_allclose(batch, expected, rtol=1e-12)
    np.testing.assert_allclose(twice, expected, rtol=1e-12)
    for line in between:
        np.testing.assert_allclose(line / line[0], expected / expected[0], rtol=1e-12)
    twice_prior = slip_value(A10, "prior counted twice", w)
    law = stats.norm(12 / 18, np.sqrt(1 / 18)).pdf(z[:, 0])  # the prior's precision counted twice
    np.testing.assert_allclose(twice_prior / twice_prior[0], law / law[0], rtol=1e-12)


# ------------------------------------------------------------------------------------------------ chapter B


def test_log_sum_matches_mpmath() -> None:
    w = Scores(np.array([-12000.5, -12001.25, -12400.0]))
    with mpmath.workdps(60):
        expected = float(mpmath.log(sum(mpmath.exp(mpmath.mpf(float(a))) for a in w.scores)))
    np.testing.assert_allclose(values(B1, w), expected, rtol=1e-14)
    with np.errstate(divide="ignore", over="ignore"):
        assert slip_value(B1, "exponentials first", w) == -np.inf
    assert slip_value(B1, "mean for sum", w) == pytest.approx(expected - np.log(3), rel=1e-13)


def test_evidence_under_q_matches_scipy_and_its_slips_are_known() -> None:
    np.testing.assert_allclose(values(B2, TOY_CURVED), LOG_EVIDENCE, rtol=1e-12)
    bound = -1.913655675  # the ELBO of this q, from the closed form
    assert slip_value(B2, "mean of the logarithm", TOY_CURVED) == pytest.approx(bound, abs=1e-9)
    likelihood = stats.norm(0.6, np.sqrt(0.5 + 4 * 0.16)).logpdf(1)  # N(2 z, 0.5) averaged over N(0.3, 0.16)
    assert slip_value(B2, "likelihood alone", TOY_CURVED) == pytest.approx(likelihood, rel=1e-12)


def test_prior_sampling_matches_scipy() -> None:
    by_samples = values(B3, TOY_LINEAR)
    np.testing.assert_allclose([by_samples[i] for i in (0, 1, 4)], np.exp(LOG_EVIDENCE), rtol=1e-12)
    np.testing.assert_allclose(by_samples[2:4], np.exp(LOG_EVIDENCE), rtol=0.02)
    geometric = slip_value(B3, "mean of the logarithms", TOY_LINEAR)
    assert geometric < 0.5 * np.exp(LOG_EVIDENCE)


def test_second_moment_matches_scipy() -> None:
    expected = np.log(integrate.quad(lambda z: stats.norm(2 * z, 0.5**0.5).pdf(1) ** 2 * stats.norm.pdf(z), -10, 10)[0])
    np.testing.assert_allclose(values(B5, TOY_LINEAR), expected, rtol=1e-9)
    by_hand = -0.5 * np.log(2 * np.pi) + stats.norm(0, np.sqrt(4.25)).logpdf(1)  # 4 pi c = 2 pi
    np.testing.assert_allclose(values(B5, TOY_LINEAR), by_hand, rtol=1e-12)
    assert slip_value(B5, "the square of the mean", TOY_LINEAR) == pytest.approx(2 * LOG_EVIDENCE, rel=1e-12)


def test_second_moment_predicts_the_scatter_of_samples() -> None:
    rng = np.random.default_rng(2)
    density = np.exp(TOY.log_likelihood(np.array([1.0]), rng.standard_normal((400_000, 1))))
    second = values(B5, TOY_LINEAR)[2]
    relative = np.sqrt(np.exp(second - 2 * LOG_EVIDENCE) - 1)
    assert density.std() / density.mean() == pytest.approx(relative, rel=0.01)


def test_harmonic_mean_matches_scipy_but_its_second_moment_diverges() -> None:
    np.testing.assert_allclose(values(B6, TOY_CURVED), -LOG_EVIDENCE, rtol=1e-11)
    posterior, likelihood = stats.norm(4 / 9, 1 / 3), lambda z: stats.norm(2 * z, 0.5**0.5).pdf(1)
    first, _ = integrate.quad(lambda z: posterior.pdf(z) / likelihood(z), -4, 4)
    assert first == pytest.approx(np.exp(-LOG_EVIDENCE), rel=1e-3)
    z = np.linspace(-4, 4, 8001)
    integrand = posterior.pdf(z) / likelihood(z) ** 2
    second = [integrate.trapezoid(integrand[abs(z) <= r], z[abs(z) <= r]) for r in (2, 3, 4)]
    assert second[2] > 1e3 * second[1] > 1e3 * second[0]


def test_laplace_matches_scipy() -> None:
    np.testing.assert_allclose(values(B8, TOY_LINEAR), LOG_EVIDENCE, rtol=1e-12)
    assert slip_value(B8, "no volume", TOY_LINEAR) == pytest.approx(LOG_EVIDENCE - 0.5 * np.log(2 * np.pi), rel=1e-12)
    assert slip_value(B8, "no half", TOY_LINEAR) == pytest.approx(LOG_EVIDENCE - 0.5 * np.log(9), rel=1e-12)


def test_second_moment_of_weights_matches_scipy() -> None:
    w = WidePair(Normal(-0.4, 1.1), Normal(0.7, 0.9))
    p, q = stats.norm(0.7, 0.9), stats.norm(-0.4, 1.1)
    expected, _ = integrate.quad(lambda z: p.pdf(z) ** 2 / q.pdf(z), -15, 20, epsabs=1e-13, limit=200)
    np.testing.assert_allclose(values(E15, w), expected, rtol=1e-9)
    same = WidePair(Normal(0.7, 0.9), Normal(0.7, 0.9))
    np.testing.assert_allclose(values(E15, same), 1.0, rtol=1e-12)  # equal laws: every weight is one


# ------------------------------------------------------------------------------------------------ chapter N


def test_small_kl_matches_mpmath() -> None:
    w = NearlyPrior(1e-4, 1 + 1e-4)
    with mpmath.workdps(60):
        m, s = mpmath.mpf(w.loc), mpmath.mpf(w.scale)
        expected = float(-(1 + 2 * mpmath.log(s) - m**2 - s**2) / 2)
    np.testing.assert_allclose(values(N1, w), expected, rtol=1e-11)
    in_float32 = slip_value(N1, "textbook form in float32", w)
    assert abs(in_float32 - expected) > expected / 2  # not one digit is left


def test_single_precision_makes_a_kl_negative() -> None:
    rng = np.random.default_rng(0)
    found = [slip_value(N1, "textbook form in float32", NearlyPrior.draw(rng)) for _ in range(50)]
    assert min(found) < 0


def test_gauss_hermite_by_hand_and_from_scipy() -> None:
    nodes, weights = golub_welsch(2)
    np.testing.assert_allclose([nodes, weights], [[-1, 1], [0.5, 0.5]], rtol=1e-14)  # u^2 - 1 has the zeros -1 and 1
    fourth = NodesAndPolynomial(4, np.array([1.0, 5.0, 0.0, -2.0, 2.0, 0.0, 0.0, 7.0]))  # 1 + 2 E[u^4] = 7
    np.testing.assert_allclose(values(N4, fourth), 7.0, rtol=1e-12)
    assert slip_value(N4, "one node too few", NodesAndPolynomial(2, np.array([0, 0, 1.0, 0]))) == 0.0  # at u = 0
    sixth = NodesAndPolynomial(4, np.eye(8)[6])
    assert values(N4, sixth)[4] == pytest.approx(stats.norm.moment(6), rel=1e-12)


def test_z_scores_match_student() -> None:
    w = SmallSamples(8, 2.0, 0.7, 1.4)
    over_s, student, counted, normal = values(N5, w)
    expected = 2 * stats.t(7).sf(2.0)
    np.testing.assert_allclose([over_s, student], expected, rtol=1e-12)
    assert counted == pytest.approx(expected, abs=0.004)
    assert normal == pytest.approx(0.04550026, abs=1e-8)
    assert slip_value(N5, "standard deviation for standard error", w) < 0.001
    assert slip_value(N5, "heavy-tailed numbers", w) > 0.3


def test_error_of_a_mean_by_hand() -> None:
    w = FewDraws(np.array([0.5, 0.25, 0.125, 0.125]), np.array([0.0, 4.0, 8.0, 8.0]), 3)  # mean 3, variance 11
    exact = values(N6, w)
    np.testing.assert_allclose(exact[:3], 11 / 3, rtol=1e-13)
    np.testing.assert_allclose(exact[3:], 11 / 3, rtol=0.02)
    assert slip_value(N6, "error falls like 1/S", w) == pytest.approx(11 / 9, rel=1e-13)


def test_softplus_and_back_matches_mpmath() -> None:
    w = Scales(np.array([1e-12, 0.5, np.log(2.0), 50.0]))
    for line in values(N7, w):
        np.testing.assert_allclose(line, w.scale, rtol=1e-13)
    parameters = n_numerics.stable_parameter(w.scale)
    assert parameters[2] == pytest.approx(0.0, abs=1e-15)  # softplus(0) = log 2
    with mpmath.workdps(40):
        expected = [float(mpmath.log(mpmath.expm1(mpmath.mpf(float(s))))) for s in w.scale]
    np.testing.assert_allclose(parameters, expected, rtol=1e-13, atol=1e-15)
    naive = slip_value(N7, "one plus a tiny exponential", w)
    assert abs(naive[0] / 1e-12 - 1) > 1e-5


@pytest.mark.parametrize(("ratio", "per_node"), [(4.0, np.log(5 / 3)), (0.25, np.log(5 / 3)), (2.5, np.log(3.5 / 1.5))])
def test_rate_of_gauss_hermite_matches_numpys_rule(ratio: float, per_node: float) -> None:
    errors = []
    for n in (40, 44) if ratio != 2.5 else (20, 24):
        nodes, weights = np.polynomial.hermite_e.hermegauss(n)
        weights = weights / weights.sum()
        errors.append(abs(weights @ np.exp(-(ratio - 1) / 2 * nodes**2) * np.sqrt(ratio) - 1))
    assert np.log(errors[0] / errors[1]) / 4 == pytest.approx(per_node, rel=0.02)
    w = MisfitRule(TOY, np.array([1.0]), ratio)
    assert values(N8, w)[1] == pytest.approx(per_node, rel=1e-12)
    assert n_numerics.digits_per_node(w, 1 / 20) == pytest.approx(per_node, rel=0.03)


# --------------------------------------------------------------------------------- an error in the package is seen


@pytest.mark.parametrize(
    ("owner", "name", "derivation", "broken"),
    [
        (n_numerics, "kl_divergence", N1, (2,)),
        (n_numerics, "log_sigmoid", N7, (4,)),
        (n_numerics, "z_score", N5, (2,)),
        (b_evidence, "importance_weighted_bound", B1, (3,)),
        (LinearGaussian, "log_evidence", B5, (3,)),
        (b_evidence, "importance_weighted_bound", B3, (3,)),
    ],
)
def test_error_in_the_package_breaks_the_derivation(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, derivation: Derivation, broken: Any
) -> None:
    factor = 1.2 if name == "z_score" else 1.01
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **named: factor * original(*args, **named))
    report = derivation.check(witnesses=3)
    assert report.broken == broken, str(report)


def test_chapter_a_holds_them_too() -> None:
    assert {A9, A10} <= set(a_bayes.CHAPTER)
