"""Chapters A and C against numbers from elsewhere: scipy.stats, scipy.integrate, and arithmetic by hand.

The toy is z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1: evidence N(0, 4.5), posterior N(4/9, 1/9).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from false_alarm import settled
from scipy import integrate, stats

from vaelib.derivation import Derivation, Line
from vaelib.distributions import Categorical, MultivariateNormal, Normal
from vaelib.ledger import a_bayes, c_divergence
from vaelib.ledger.a_bayes import A1, A2, A3, A4, A5, A6, A7, A8, Observations, Population
from vaelib.ledger.c_divergence import (
    C1,
    C2,
    C4,
    C5,
    C6,
    C7,
    C8,
    TWO_COINS,
    UNIT_STEPS,
    Factors,
    LogNormals,
    TablePair,
    Weights,
)
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian
from vaelib.terms import KL, E, lik, log_lik, log_q, q
from vaelib.witnesses import CurvedWitness, DiscreteWitness, LinearPoints, LinearWitness

ALL = a_bayes.CHAPTER + c_divergence.CHAPTER

TOY = LinearGaussian(np.array([[2.0]]), np.array([0.0]), 0.5)
TOY_X = np.array([1.0])
TOY_Q = MultivariateNormal(np.array([0.3]), np.array([[0.16]]))
TOY_CURVED = CurvedWitness(
    CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5), TOY_X, Normal(0.3, 0.4)
)
LOG_EVIDENCE = -1.782088343


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness."""
    results = (line.evaluate(witness) for line in derivation.lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return getattr(result, "value", result)


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    assert report.worst.ratio < 0.5 or settled(derivation, seed=3).worst.ratio < 0.5  # far from a false alarm
    assert [result.slip.name for result in report.slips if not result.rejected] == []


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_table_is_readable(derivation: Derivation) -> None:
    report = derivation.check(witnesses=1)
    bars = {line.count("|") for line in report.table._repr_markdown_().splitlines() if line.startswith("|")}
    assert bars == {8}  # no bar of a formula or a reason ends a cell
    assert all(len(line.reason) <= 60 for line in derivation.lines)
    assert all(slip.says.startswith("It looks like ") for slip in derivation.slips)


# ------------------------------------------------------------------------------------------------ chapter A


def test_a1_counts_by_hand() -> None:
    town = Population(np.array([[30, 10], [20, 40]]), x=1)  # of 50 with x = 1, 10 have z = 0
    *posterior, joint = values(A1, town)
    for line in posterior:
        np.testing.assert_allclose(line, [0.2, 0.8], rtol=1e-14)
    np.testing.assert_allclose(joint, [0.1, 0.4], rtol=1e-14)
    np.testing.assert_allclose(slip_value(A1, "no prior", town), [0.5, 4 / 3], rtol=1e-14)  # adds up to 11/6
    np.testing.assert_allclose(slip_value(A1, "divided by p(z)", town), [1 / 4, 2 / 3], rtol=1e-14)


def test_a2_lines_give_the_counted_table() -> None:
    town = Population(np.array([[30, 10], [20, 40]]), x=0)
    for line in values(A2, town):
        np.testing.assert_allclose(line, [[0.3, 0.1], [0.2, 0.4]], rtol=1e-14)


def test_evidence_matches_scipy_on_the_toy() -> None:
    assert stats.norm(0, np.sqrt(4.5)).logpdf(1) == pytest.approx(LOG_EVIDENCE, abs=1e-9)
    expected = stats.norm(0, np.sqrt(4.5)).logpdf(1)
    np.testing.assert_allclose(values(A3, LinearWitness(TOY, TOY_X, TOY_Q)), expected, rtol=1e-12)
    for line in values(A5, LinearPoints(TOY, TOY_X, np.array([[-8.0], [0.0], [0.5], [9.0]]))):
        np.testing.assert_allclose(line, expected, rtol=1e-11)


def test_evidence_matches_scipy_in_three_dimensions() -> None:
    w = LinearWitness.draw(np.random.default_rng(5))
    m = w.model
    law = stats.multivariate_normal(m.offset, m.loading @ m.loading.T + m.noise_variance * np.eye(3))
    np.testing.assert_allclose(values(A3, w), law.logpdf(w.x), rtol=1e-12)


def test_posterior_integrates_to_one_and_its_slips_do_not() -> None:
    for line in values(A4, TOY_CURVED):
        np.testing.assert_allclose(line, 1.0, rtol=1e-12)
    assert slip_value(A4, "no prior", TOY_CURVED) == pytest.approx(2.971126, abs=1e-6)
    assert slip_value(A4, "p(x|z) for p(z|x)", TOY_CURVED) == pytest.approx(0.5, rel=1e-12)
    assert slip_value(A4, "not divided by the evidence", TOY_CURVED) == pytest.approx(np.exp(LOG_EVIDENCE), rel=1e-9)


def test_log_likelihood_of_a_data_set_matches_scipy() -> None:
    x = np.array([[0.0], [4.0]])
    for theta, expected in ((0.0, -9.837877), (2.0, -5.837877)):
        data = Observations(LinearGaussian(np.array([[0.0]]), np.array([theta]), 1.0), x)
        np.testing.assert_allclose(values(A6, data), stats.norm(theta, 1).logpdf(x).sum(), rtol=1e-12)
        assert values(A6, data)[0] == pytest.approx(expected, abs=1e-6)
    at_zero, at_two = (
        slip_value(A6, "a single term", Observations(LinearGaussian(np.array([[0.0]]), np.array([t]), 1.0), x))
        for t in (0.0, 2.0)
    )
    assert at_zero > at_two  # one term alone prefers the worse parameter


def test_posterior_by_hand_on_the_toy() -> None:
    for line in values(A7, LinearWitness(TOY, TOY_X, TOY_Q)):
        np.testing.assert_allclose(line, [4 / 9, 1 / 9], rtol=1e-12)


def test_total_covariance_by_hand() -> None:
    model = CurvedGaussian(np.array([1.0, 0.0]), np.array([0.0, 2.0]), np.array([3.0, -1.0]), 0.5)
    w = CurvedWitness(model, np.zeros(2), Normal(0.0, 1.0))  # x = (3 + z, -1 + z^2) + noise
    for line in values(A8, w):
        np.testing.assert_allclose(line, [[1.5, 0.0], [0.0, 2.5]], atol=1e-13)


# ------------------------------------------------------------------------------------------------ chapter C


def test_kl_of_two_coins_matches_scipy() -> None:
    forward, backward = stats.entropy([0.5, 0.5], [0.9, 0.1]), stats.entropy([0.9, 0.1], [0.5, 0.5])
    assert (round(forward, 4), round(backward, 4)) == (0.5108, 0.3681)
    assert C4.check([TWO_COINS]).holds
    np.testing.assert_allclose(values(C4, TWO_COINS), [forward, forward, backward, backward], rtol=1e-13)
    mirrored = TablePair(np.array([0.8, 0.2]), np.array([0.2, 0.8]))
    assert C4.check([mirrored]).broken == (2, 3)  # here both ways do agree


def test_gibbs_lines_match_scipy() -> None:
    w = DiscreteWitness(DiscreteLatent([0.5, 0.5], [[0.3, 0.7], [0.6, 0.4]]), 0, Categorical(np.log([0.9, 0.1])))
    expected = stats.entropy([0.9, 0.1], [0.5, 0.5])
    np.testing.assert_allclose(values(C1, w), [0, 0, expected, expected, expected], rtol=1e-13, atol=1e-15)


def test_gibbs_refuses_a_strict_sign_because_q_may_be_p() -> None:
    (slip,) = (s for s in C1.slips if s.name == "strictly positive")
    report = C1.with_line(2, slip.apply(C1.lines[2])).check()
    assert report.broken == (2,)
    assert "in the case of equality" in str(report)


def test_divergence_to_a_likelihood_can_be_negative() -> None:
    """Decoder N(0.1 z, 0.5), q proportional to p(x|z) = N(z; 10 x, 50) up to a factor: the term is -log 10."""
    model = LinearGaussian(np.array([[0.1]]), np.array([0.0]), 0.5)
    q_like = MultivariateNormal(np.array([10.0]), np.array([[50.0]]))
    term = -q_like.entropy() - model.expected_log_likelihood(np.array([1.0]), q_like)
    assert term == pytest.approx(-np.log(10), rel=1e-12)

    report = C1.with_line(2, E(q, log_q - log_lik)).check()
    assert report.broken == (2,)
    assert "need not sum to one" in str(report)
    report = C1.with_line(3, KL(q, lik)).check()
    assert report.broken == (3,)
    assert "not a density in z" in str(report)


def test_jensen_by_hand() -> None:
    w = Weights(np.array([0.5, 0.5]), np.array([1.0, 4.0]))
    np.testing.assert_allclose(values(C2, w), [np.log(2.5), np.log(2.5), np.log(2), np.log(2)], rtol=1e-14)
    assert C2.lines[2].gap.value(w) == pytest.approx(np.log(1.25), rel=1e-13)


def test_triangle_of_three_gaussians_by_hand() -> None:
    assert C5.check([UNIT_STEPS]).holds
    np.testing.assert_allclose(values(C5, UNIT_STEPS), [2, 2, 2, 1, 1], rtol=1e-13)


def test_chain_rule_matches_scipy() -> None:
    w = C6.draw(np.random.default_rng(1))
    np.testing.assert_allclose(values(C6, w), stats.entropy(w.q.ravel(), w.p.ravel()), rtol=1e-12)
    same_rows = TablePair(np.outer([0.2, 0.8], [0.3, 0.7]), np.outer([0.5, 0.5], [0.3, 0.7]))
    np.testing.assert_allclose(values(C6, same_rows), stats.entropy([0.5, 0.5], [0.2, 0.8]), rtol=1e-12)


def test_additivity_matches_scipy() -> None:
    w = Factors.draw(np.random.default_rng(1))
    expected = sum(stats.entropy(a, b) for a, b in zip(w.q, w.p, strict=True))
    np.testing.assert_allclose(values(C7, w), expected, rtol=1e-12)


def test_log_normal_pair_matches_scipy() -> None:
    w = LogNormals(Normal(0.4, 0.7), Normal(-0.3, 1.2))
    one, two = stats.lognorm(s=0.7, scale=np.exp(0.4)), stats.lognorm(s=1.2, scale=np.exp(-0.3))
    expected, _ = integrate.quad(lambda y: one.pdf(y) * (one.logpdf(y) - two.logpdf(y)), 0, np.inf, epsabs=1e-11)
    np.testing.assert_allclose(values(C8, w), expected, rtol=1e-9)


# ------------------------------------------------------------------------- an error in the package is seen, and blamed


def scaled(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: 1.01 * function(*args)


def swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda q, p: function(p, q)


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "derivation", "broken"),
    [
        (DiscreteLatent, "posterior", lambda m, x: Categorical(np.log(m.likelihood[:, x])), A1, (4,)),
        (DiscreteLatent, "log_posterior", lambda m, x, z: m.log_likelihood(x, z), A2, (4,)),
        (DiscreteLatent, "log_evidence", scaled(DiscreteLatent.log_evidence), A2, (4,)),
        (LinearGaussian, "log_evidence", scaled(LinearGaussian.log_evidence), A3, (3,)),
        (LinearGaussian, "log_posterior", scaled(LinearGaussian.log_posterior), A5, (1, 2)),
        (LinearGaussian, "posterior", lambda m, x: MultivariateNormal(0 * x[:2], np.eye(2)), A7, (4,)),
        (CurvedGaussian, "decoder", scaled(CurvedGaussian.decoder), A8, (2,)),
        (c_divergence, "kl_divergence", swapped(c_divergence.kl_divergence), C1, (4,)),
        (c_divergence, "kl_divergence", swapped(c_divergence.kl_divergence), C4, (3,)),
        (c_divergence, "kl_divergence", scaled(c_divergence.kl_divergence), C6, (1,)),
        (c_divergence, "kl_divergence", scaled(c_divergence.kl_divergence), C7, (3,)),
        (c_divergence, "kl_divergence", scaled(c_divergence.kl_divergence), C8, (3,)),
    ],
)
def test_error_in_the_package_breaks_the_derivation(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, wrong: Any, derivation: Derivation, broken: Any
) -> None:
    monkeypatch.setattr(owner, name, wrong)
    report = derivation.check()
    assert report.broken == broken, str(report)


def test_a_known_slip_is_named() -> None:
    def no_prior(w: Population) -> Any:
        return (w.likelihood / w.evidence)[:, w.x]

    report = A1.with_line(2, no_prior).check()
    assert report.broken == (2,)
    assert "It looks like the prior is missing" in str(report)
    assert report.verdicts[3].value == "holds"  # the right line after it is not blamed


def test_equal_sign_for_proportional_is_refused() -> None:
    line = A1.lines[5]
    report = A1.with_line(5, Line(line.formula, line.value, relation="=")).check()
    assert report.broken == (5,)
