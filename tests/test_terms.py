"""The algebra of lines: what is shown is what is evaluated, its laws hold, and what has no meaning is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.integrate
from hypothesis import given
from hypothesis import strategies as st

from vaelib.derivation import IllTyped
from vaelib.distributions import Categorical, Normal
from vaelib.estimate import Estimate
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian
from vaelib.terms import (
    KL,
    E,
    H,
    Term,
    for_all_z,
    lik,
    log_E,
    log_evidence,
    log_joint,
    log_lik,
    log_post,
    log_prior,
    log_q,
    parse,
    post,
    prior,
    q,
)
from vaelib.witnesses import CurvedFamily, CurvedWitness, DiscreteWitness

DISCRETE = DiscreteWitness.draw(np.random.default_rng(0))
CURVED = CurvedWitness.draw(np.random.default_rng(1))
TOY = CurvedWitness(CurvedGaussian([2.0], [0.0], [0.0], 0.5), np.array([1.0]), Normal(0.3, 0.4))
WITNESSES = (DISCRETE, CURVED, TOY)


def number(value: Any) -> float:
    return float(value.value if isinstance(value, Estimate) else value)


# ---------------------------------------------------------------------------------------------------------------- LaTeX


@pytest.mark.parametrize(
    ("term", "latex"),
    [
        (log_lik, r"\log p(x \mid z)"),
        (log_prior, r"\log p(z)"),
        (log_joint, r"\log p(x, z)"),
        (log_post, r"\log p(z \mid x)"),
        (log_evidence, r"\log p(x)"),
        (log_q, r"\log q(z)"),
        (-log_q, r"-\log q(z)"),
        (log_lik + log_prior - log_post, r"\log p(x \mid z) + \log p(z) - \log p(z \mid x)"),
        (2 * log_q - 0.5 * log_prior, r"2\,\log q(z) - 0.5\,\log p(z)"),
        (-(log_q - log_prior), r"-\log q(z) + \log p(z)"),
        (log_q / 2, r"0.5\,\log q(z)"),
        (E(q, log_lik), r"\mathbb{E}_{q}\left[\log p(x \mid z)\right]"),
        (E(prior, log_lik), r"\mathbb{E}_{p(z)}\left[\log p(x \mid z)\right]"),
        (
            E(q, log_lik) - KL(q, prior),
            r"\mathbb{E}_{q}\left[\log p(x \mid z)\right] - \mathrm{KL}\left(q \,\Vert\, p(z)\right)",
        ),
        (KL(post, q), r"\mathrm{KL}\left(p(z \mid x) \,\Vert\, q\right)"),
        (H(q), r"\mathrm{H}\left(q\right)"),
        (H(q, prior), r"\mathrm{H}\left(q, p(z)\right)"),
        (log_E(q, log_joint - log_q), r"\log \mathbb{E}_{q}\left[\frac{p(x, z)}{q(z)}\right]"),
        (log_E(prior, log_lik), r"\log \mathbb{E}_{p(z)}\left[p(x \mid z)\right]"),
        (log_E(q, log_lik + log_prior - log_q), r"\log \mathbb{E}_{q}\left[\frac{p(x \mid z)\,p(z)}{q(z)}\right]"),
        (log_E(q, -log_q), r"\log \mathbb{E}_{q}\left[\frac{1}{q(z)}\right]"),
        (log_E(q, 2 * log_q), r"\log \mathbb{E}_{q}\left[\exp\left(2\,\log q(z)\right)\right]"),
        (for_all_z(log_joint - log_lik), r"\log p(x, z) - \log p(x \mid z) \quad \forall z"),
        (-for_all_z(log_joint - log_lik), r"-\left(\log p(x, z) - \log p(x \mid z) \quad \forall z\right)"),
        (2 * for_all_z(-log_q), r"2\,\left(-\log q(z) \quad \forall z\right)"),
        (-for_all_z(log_q), r"-\log q(z) \quad \forall z"),
        (Term(()), "0"),
    ],
)
def test_term_is_written(term: Term, latex: str) -> None:
    assert term.latex == latex
    assert repr(term) == f"Term({latex})"
    assert term._repr_latex_() == f"${latex}$"


def test_distribution_is_shown_by_its_name() -> None:
    assert [repr(law) for law in (q, prior, post, lik)] == ["q", "prior", "post", "lik"]


def test_free_variables() -> None:
    for term in (log_lik, log_prior, log_joint, log_post, log_q, log_q - log_evidence, E(q, log_q) + log_q):
        assert term.free == {"z"}
    for term in (log_evidence, E(q, log_lik), KL(q, prior), H(q), log_E(q, log_lik), for_all_z(log_lik), Term(())):
        assert term.free == frozenset()


# ---------------------------------------------------------------------------------------------------------- the algebra

ATOMS = (log_lik, log_prior, log_joint, log_post, log_q, log_evidence)
terms = st.lists(
    st.tuples(st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0]), st.sampled_from(ATOMS)), min_size=1, max_size=4
).map(lambda parts: sum((c * atom for c, atom in parts[1:]), start=parts[0][0] * parts[0][1]))
Z = np.array([0, 2, 3])


def at(term: Term) -> np.ndarray:
    value = term.at(DISCRETE, Z)
    return np.asarray(value) + np.zeros(3)


@given(terms, terms, terms, st.floats(-5, 5))
def test_algebra_of_terms_is_that_of_their_values(a: Term, b: Term, c: Term, k: float) -> None:
    close: Callable[..., None] = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-11)  # noqa: E731
    close(at(a + b), at(a) + at(b))
    close(at(a - b), at(a) - at(b))
    close(at(-a), -at(a))
    close(at(k * a), k * at(a))
    close(at(a * k), k * at(a))
    close(at(a / 4), at(a) / 4)
    close(at(a + b), at(b + a))
    close(at((a + b) + c), at(a + (b + c)))
    close(at(k * (a + b)), at(k * a + k * b))
    close(at(a - a), 0.0)
    assert (a + b).free == a.free | b.free


@given(terms, terms, st.floats(-3, 3))
def test_expectation_is_linear(a: Term, b: Term, k: float) -> None:
    together = number(E(q, k * a + b).value(DISCRETE))
    apart = number((k * E(q, a) + E(q, b)).value(DISCRETE))
    assert together == pytest.approx(apart, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("w", WITNESSES)
def test_identities_of_the_algebra(w: Any) -> None:
    for left, right in (
        (E(q, log_evidence), log_evidence),
        (KL(q, prior), E(q, log_q - log_prior)),
        (H(q), -E(q, log_q)),
        (H(q, prior), KL(q, prior) + H(q)),
        (H(q, q), H(q)),
        (E(q, log_lik + log_prior), E(q, log_joint)),
        (E(q, log_joint - log_post), log_evidence),
        (log_E(q, log_joint - log_q), log_evidence),
        (log_E(prior, log_lik), log_evidence),
        (E(post, log_joint - log_post), log_evidence),
        (KL(q, q), Term(())),
        (E(q, E(prior, log_lik)), E(prior, log_lik)),
        (np.float64(2) * H(q), H(q) + H(q)),
    ):
        assert number(left.value(w)) == pytest.approx(number(right.value(w)), rel=1e-11, abs=1e-11), (left, right)
    assert number(KL(q, post).value(w)) > 0


# -------------------------------------------------------------------------------------------------- values, spelled out


def test_values_on_a_table_are_sums() -> None:
    w = DISCRETE
    weights, p, x = w.q.probs, w.model.prior, w.model.likelihood[:, w.x]
    posterior = p * x / (p @ x)
    for term, value in (
        (log_evidence, np.log(p @ x)),
        (E(q, log_lik), weights @ np.log(x)),
        (E(prior, log_lik), p @ np.log(x)),
        (E(post, log_q), posterior @ np.log(weights)),
        (KL(q, prior), weights @ np.log(weights / p)),
        (KL(q, post), weights @ np.log(weights / posterior)),
        (KL(post, q), posterior @ np.log(posterior / weights)),
        (H(q), -weights @ np.log(weights)),
        (H(q, prior), -weights @ np.log(p)),
        (H(post), -posterior @ np.log(posterior)),
        (log_E(q, log_lik), np.log(weights @ x)),
        (log_E(q, log_joint - log_q), np.log(p @ x)),
        (3 * E(q, log_lik) - log_evidence / 2, 3 * (weights @ np.log(x)) - np.log(p @ x) / 2),
    ):
        assert number(term.value(w)) == pytest.approx(value, rel=1e-13), term
    np.testing.assert_allclose(for_all_z(log_post).value(w), np.log(posterior), rtol=1e-13)


def test_values_on_a_curved_model_match_scipy_quadrature() -> None:
    w = CURVED

    def q_density(z: float) -> float:
        return float(np.exp(-((z - w.q.loc) ** 2) / (2 * w.q.scale**2)) / (w.q.scale * np.sqrt(2 * np.pi)))

    def prior_density(z: float) -> float:
        return float(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))

    def likelihood(z: float) -> float:
        c = w.model.noise_variance
        residual = w.x - (w.model.offset + w.model.loading * z + w.model.curvature * z**2 / 2)
        return float(np.exp(-residual @ residual / (2 * c)) / (2 * np.pi * c) ** (w.x.size / 2))

    def integral(f: Callable[[float], float], loc: float = 0.0, reach: float = 8.0) -> float:
        return float(scipy.integrate.quad(f, loc - reach, loc + reach, epsabs=0, epsrel=1e-11, limit=400)[0])

    def under_q(f: Callable[[float], float]) -> float:
        return integral(lambda z: q_density(z) * f(z), float(w.q.loc), 9 * float(w.q.scale))

    evidence = integral(lambda z: prior_density(z) * likelihood(z))
    for term, value in (
        (log_evidence, np.log(evidence)),
        (E(q, log_lik), under_q(lambda z: np.log(likelihood(z)))),
        (KL(q, prior), under_q(lambda z: np.log(q_density(z) / prior_density(z)))),
        (KL(q, post), under_q(lambda z: np.log(q_density(z) * evidence / (prior_density(z) * likelihood(z))))),
        (H(q), -under_q(lambda z: np.log(q_density(z)))),
        (log_E(q, log_lik), np.log(under_q(likelihood))),
    ):
        assert number(term.value(w)) == pytest.approx(value, rel=1e-9), term


def test_toy_numbers() -> None:
    for term, value in (
        (log_evidence, -1.782088343),
        (E(q, log_lik), -1.372364943),
        (KL(q, prior), 0.541290732),
        (E(q, log_lik) - KL(q, prior), -1.913655675),
        (E(q, log_joint - log_q), -1.913655675),
        (KL(q, post), 0.131567332),
        (E(q, log_q - log_lik), 0.869717142),
    ):
        assert number(term.value(TOY)) == pytest.approx(value, abs=5e-10), term


def test_value_carries_the_error_of_its_quadrature() -> None:
    value = (E(q, log_lik) - 2 * KL(q, prior)).value(CURVED)
    parts = [E(q, log_lik).value(CURVED), KL(q, prior).value(CURVED)]
    assert isinstance(value, Estimate)
    assert value.error == pytest.approx(parts[0].error + 2 * parts[1].error)


def test_family_has_one_entry_for_each_q() -> None:
    family = CurvedFamily.draw(np.random.default_rng(2))
    value = (E(q, log_lik) - KL(q, prior)).value(family)
    assert value.value.shape == value.error.shape == (len(family.qs),)
    for entry, member in zip(value.value, family.qs, strict=True):
        alone = (E(q, log_lik) - KL(q, prior)).value(CurvedWitness(family.model, family.x, member))
        assert entry == pytest.approx(float(alone.value), rel=1e-14)
    np.testing.assert_allclose(log_evidence.value(family).value, number(log_evidence.value(CURVED_OF(family))))


def CURVED_OF(family: CurvedFamily) -> CurvedWitness:
    return CurvedWitness(family.model, family.x, family.qs[0])


# ------------------------------------------------------------------------------------------------------------ for all z


@dataclass(frozen=True)
class Points:
    model: LinearGaussian
    x: np.ndarray
    z: np.ndarray


def test_for_all_z_takes_the_witness_points_the_states_or_a_grid() -> None:
    model = LinearGaussian([[0.7, -0.4], [0.3, 1.1], [-0.9, 0.5]], [0.3, -0.6, 0.8], 0.35)
    x, z = np.array([0.9, -1.3, 0.4]), np.random.default_rng(0).standard_normal((7, 2))
    points = Points(model, x, z)
    np.testing.assert_allclose(
        for_all_z(log_joint - log_post).value(points), np.full(7, model.log_evidence(x)), rtol=1e-12
    )
    assert for_all_z(log_evidence).value(points).shape == (7,)
    np.testing.assert_allclose(for_all_z(log_prior).value(DISCRETE), np.log(DISCRETE.model.prior))
    grid = np.linspace(-3, 3, 25)
    np.testing.assert_allclose(for_all_z(log_prior).value(CURVED), -(grid**2) / 2 - 0.5 * np.log(2 * np.pi))
    assert for_all_z(log_prior, points=4).value(CURVED).shape == (4,)


def test_for_all_z_keeps_the_error_of_the_evidence() -> None:
    value = for_all_z(log_joint - log_evidence).value(CURVED)
    assert isinstance(value, Estimate) and value.value.shape == value.error.shape == (25,)
    assert np.all(value.error == CURVED.model.log_evidence(CURVED.x).error)


# ------------------------------------------------------------------------------------------------------ where q is zero


def zero_at_one() -> DiscreteWitness:
    return replace(DISCRETE, q=Categorical(np.log([0.5, 1e-300, 0.2, 0.3]) + np.array([0, -np.inf, 0, 0])))


def test_zero_times_log_zero_is_zero() -> None:
    w = zero_at_one()
    kept = np.array([0.5, 0.2, 0.3])
    p = w.model.prior[[0, 2, 3]]
    assert number(H(q).value(w)) == pytest.approx(-(kept @ np.log(kept)), rel=1e-13)
    assert number(KL(q, prior).value(w)) == pytest.approx(kept @ np.log(kept / p), rel=1e-13)


def test_divergence_to_a_q_without_support_is_infinite() -> None:
    assert number(KL(post, q).value(zero_at_one())) == np.inf


def test_weight_where_q_is_zero_is_never_drawn() -> None:
    """log E_q[p/q] then lacks the mass of p there: it is below the evidence, not NaN."""
    w = zero_at_one()
    joint = w.model.joint[:, w.x]
    assert number(log_E(q, log_joint - log_q).value(w)) == pytest.approx(np.log(joint[[0, 2, 3]].sum()), rel=1e-13)
    assert number(log_E(q, log_joint - log_q).value(w)) < number(log_evidence.value(w)) - 1e-3


# -------------------------------------------------------------------------------------------------- what has no meaning


def test_term_with_z_left_free_has_no_value() -> None:
    with pytest.raises(
        IllTyped, match=r"z is left free in log p\(x\|z\), log q\(z\): put it inside an expectation, E\(q"
    ):
        (log_lik - log_q + log_evidence).value(CURVED)
    with pytest.raises(IllTyped, match="or say for_all_z"):
        (E(q, log_lik) - log_prior).value(DISCRETE)


@pytest.mark.parametrize(
    ("term", "where"),
    [
        (KL(q, lik), r"KL\(q, lik\)"),
        (KL(lik, q), r"KL\(lik, q\)"),
        (E(lik, log_q), r"E\(lik, \.\.\.\)"),
        (log_E(lik, log_q), r"log_E\(lik, \.\.\.\)"),
        (H(lik), r"H\(lik\)"),
        (H(q, lik), r"H\(q, lik\)"),
    ],
)
def test_likelihood_is_no_density_in_z(term: Term, where: str) -> None:
    with pytest.raises(IllTyped, match=where + r": p\(x\|z\) is not a density in z: here it integrates to 0\.5\. "):
        term.value(TOY)
    total = DISCRETE.model.likelihood[:, DISCRETE.x].sum()
    with pytest.raises(IllTyped, match=f"here it integrates to {total:.4g}"):
        term.value(DISCRETE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: log_lik + "1", r"a term such as log_lik, E\(q, \.\.\.\) or KL\(q, prior\), but got '1'"),
        (lambda: log_lik - q, r"but got the distribution q \(its logarithm is log_q\)"),
        (lambda: E(q, prior), r"but got the distribution prior \(its logarithm is log_prior\)"),
        (
            lambda: E(log_q, log_lik),
            r"Expected E\(\.\.\.\) to get a distribution .*a distribution is written without log_",
        ),
        (lambda: KL(q, "prior"), r"Expected KL\(\.\.\.\) to get a distribution \(q, prior, post\), but got 'prior'"),
        (lambda: H(log_q), r"Expected H\(\.\.\.\) to get a distribution"),
        (lambda: log_lik * log_prior, "Products of terms are not defined"),
        (lambda: log_joint / log_evidence, "the logarithm of a quotient is a difference"),
        (lambda: log_lik * "2", "a number to multiply a term by, but got '2'"),
        (lambda: np.ones(2) * log_lik, "a number to multiply a term by"),
        (lambda: log_lik * q, "a number to multiply a term by, but got the distribution q"),
        (lambda: log_lik / prior, "a number to divide a term by, but got the distribution prior"),
        (lambda: for_all_z("z"), "a term such as"),
    ],
)
def test_what_is_no_term_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_discrete_toy_is_not_a_density_by_accident() -> None:
    """Even where p(x|z) sums to one over z, it is refused: the type is wrong, not the number."""
    model = DiscreteLatent([0.4, 0.6], [[0.3, 0.7], [0.7, 0.3]])
    w = DiscreteWitness(model, 0, Categorical(np.log([0.5, 0.5])))
    with pytest.raises(IllTyped, match="here it integrates to 1"):
        KL(q, lik).value(w)


def test_numbers_are_terms_too() -> None:
    term = 1 - E(q, log_lik) + 2.5
    assert term.latex == r"1 - \mathbb{E}_{q}\left[\log p(x \mid z)\right] + 2.5"
    value = float(term.value(TOY))
    assert np.isclose(value, 3.5 - float(E(q, log_lik).value(TOY)), rtol=1e-14)
    assert np.isclose(float(E(q, log_lik + 1).value(TOY)), float(E(q, log_lik).value(TOY)) + 1, rtol=1e-12)


def test_witness_of_another_kind_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="Expected a witness with a model, an observation x and a distribution q"):
        KL(q, prior).value(3.0)


@pytest.mark.parametrize(
    "term",
    [
        E(q, log_lik) - KL(q, prior),
        -2 * E(q, log_joint - log_q / 3) + 0.1 * H(q, prior) + H(q) - 1.5,
        log_E(q, log_joint - log_q),
        for_all_z(log_lik + log_prior - log_post),
        log_evidence - (log_evidence - KL(q, post)),
        KL(q, lik),
        log_q - log_q * 1e-17,
    ],
    ids=lambda term: term.spelled,
)
def test_spelled_term_is_parsed_to_the_same_term(term: Term) -> None:
    again = parse(term.spelled)
    assert (again.latex, again.spelled, again.free) == (term.latex, term.spelled, term.free)
    assert [coefficient for coefficient, _ in again.parts] == [coefficient for coefficient, _ in term.parts]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "E(q, log_lik).value",
        "E(q, log_lik, 3, 4)",
        "E(lambda: 0, log_lik)",
        "E(term=log_lik, law=q)",
        "log_lik ** 2",
        "log_lik * log_q",
        "E(log_q, log_lik)",
        "[log_lik]",
        "True",
        "'log_lik'",
        "log_lik if 1 else log_q",
        "q",
        "x",
        "",
        "log_lik +",
        "(" * 300 + "1" + ")" * 300,
        "log_lik / 0",
    ],
)
def test_what_is_no_term_is_not_parsed(text: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        parse(text)


@pytest.mark.parametrize(
    "term",
    [E(q, for_all_z(log_lik)), log_E(q, log_prior + for_all_z(log_lik)), for_all_z(log_lik - E(q, for_all_z(log_q)))],
)
def test_expectation_of_a_line_at_every_z_is_ill_typed(term: Term) -> None:
    with pytest.raises(IllTyped, match=r"E\(q, \.\.\.\): for_all_z\(\.\.\.\) is inside an expectation"):
        term.value(CurvedWitness.draw(np.random.default_rng(0)))
