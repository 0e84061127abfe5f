"""Values: logarithms that do not underflow, kinds that do not fit, integrals that diverge, rules that err apart."""

from __future__ import annotations

import math
import sys
import tracemalloc

import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from vaelib import terms
from vaelib.derivation import Derivation, IllTyped, Line, Slip
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal
from vaelib.estimate import Estimate
from vaelib.formula import GAUSS, TRAPEZOID, Map, Parameter, Scope, given, in_decimals, in_floats, tex
from vaelib.formula import rules as rules_module
from vaelib.formula.environment import Binding, Env
from vaelib.formula.evaluate import MOST_SCENES
from vaelib.formula.evaluate import _scenes as remembered
from vaelib.formula.logs import _logsumexp as signed_log_sum
from vaelib.formula.spaces import Interval, States
from vaelib.formula.typed import Typed, from_zero
from vaelib.formula.worlds import Conditional, JointGaussian, Law, Mixture, Table
from vaelib.ledger import LEDGER
from vaelib.models import ScalarBernoulli
from vaelib.witnesses import (
    BernoulliWitness,
    CurvedFamily,
    CurvedWitness,
    DiagonalPair,
    DiscreteWitness,
    LinearPoints,
    LinearWitness,
    MultivariatePair,
    NormalPair,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def number(latex: str, witness: object, rule: object = None) -> float:
    value = tex(latex).value(witness, rule)
    return float(getattr(value, "value", value))


# --------------------------------------------------------------------------------------------------- the log domain


@pytest.mark.parametrize(
    ("latex", "exact"),
    [
        (r"\log \sum_i e^{a_i}", lambda a: mpmath.log(sum(mpmath.exp(v) for v in a))),
        (r"\log \frac{e^{a_1}}{e^{a_2}}", lambda a: a[0] - a[1]),
        (r"\log\left[e^{a_1} e^{a_2} e^{a_3}\right]", lambda a: sum(a)),
        (r"\log\left(e^{a_1} - e^{a_2}\right)", lambda a: mpmath.log(mpmath.exp(a[0]) - mpmath.exp(a[1]))),
        (r"\log \prod_i e^{2 a_i}", lambda a: 2 * sum(a)),
        (r"\log \left[(e^{a_1})^3\right]", lambda a: 3 * a[0]),
        (r"\log \sqrt{e^{a_1}}", lambda a: a[0] / 2),
        (r"\log \mathrm{sigmoid}(a_2)", lambda a: -mpmath.log(1 + mpmath.exp(-a[1]))),
        (r"\frac{e^{a_1}}{\sum_i e^{a_i}}", lambda a: 1 / sum(mpmath.exp(v - a[0]) for v in a)),
    ],
)
def test_logarithm_neither_underflows_nor_overflows(latex: str, exact: object) -> None:
    a = np.array([1200.0, -1340.0, 1198.5])
    with mpmath.workdps(50):
        expected = float(exact([mpmath.mpf(v) for v in a]))  # type: ignore[operator]
    scope = Scope(values={"a": a}, ranges={"i": 3})
    assert number(latex, scope) == pytest.approx(expected, rel=1e-13)


def test_log_of_an_integral_far_below_the_smallest_number() -> None:
    scope = Scope(worlds={"q": Law("z", Normal(0.2, 1.5))}, values={"b": 3000.0})
    value = number(r"\log \int q(z) e^{-b}\,dz", scope)
    assert value == pytest.approx(-3000.0, abs=1e-9)
    assert number(r"\log \mathbb{E}_q\left[e^{-b + z}\right]", scope) == pytest.approx(
        -3000 + 0.2 + 1.5**2 / 2, abs=1e-8
    )


def test_ratio_of_two_densities_that_both_underflow() -> None:
    scope = Scope(worlds={"q": Law("z", Normal(0.0, 1.0)), "p": Law("z", Normal(0.5, 1.0))}, values={"c": 60.0})
    assert number(r"\frac{q(c)}{p(c)}", scope) == pytest.approx(np.exp(-0.5 * 60**2 + 0.5 * 59.5**2), rel=1e-10)


def test_log_det_of_a_matrix_whose_determinant_underflows() -> None:
    scope = Scope(values={"A": 1e-9 * np.diag(np.arange(1.0, 41.0))})
    expected = 40 * np.log(1e-9) + np.log(np.arange(1.0, 41.0)).sum()
    assert number(r"\log\det A", scope) == pytest.approx(expected, rel=1e-13)
    assert number(r"\log|A|", scope) == pytest.approx(expected, rel=1e-13)


def test_weight_of_zero_ends_an_infinite_integrand() -> None:
    scope = Scope(worlds={"q": Table(("z",), np.array([0.0, 0.4, 0.6])), "p": Table(("z",), np.array([0.2, 0.3, 0.5]))})
    expected = 0.4 * np.log(0.4 / 0.3) + 0.6 * np.log(0.6 / 0.5)
    for latex in (
        r"\mathrm{KL}(q \Vert p)",
        r"\sum_z q(z) \log\frac{q(z)}{p(z)}",
        r"\mathbb{E}_q[\log q(z) - \log p(z)]",
    ):
        assert number(latex, scope) == pytest.approx(expected), latex
    assert number(r"\mathrm{KL}(p \Vert q)", scope) == np.inf


def test_logarithm_of_a_negative_number_is_not_a_number() -> None:
    assert np.isnan(number(r"\log(1 - a)", Scope(values={"a": 2.0})))


# ------------------------------------------------------------------------------------- integrals and their errors


@pytest.mark.parametrize(
    "latex",
    [
        r"\int \frac{1}{p(z)}\,dz",
        r"\int \frac{q(z)^2}{p(z)}\,dz",
        r"\mathbb{E}_q\left[\frac{q(z)}{p(z)}\right]",
        r"\int z^2\,dz",
    ],
)
@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=str)
def test_integral_that_diverges_says_so(latex: str, rule: rules_module.Rule) -> None:
    scope = Scope(worlds={"q": Law("z", Normal(0.0, 2.0)), "p": Law("z", Normal(0.3, 0.9))})
    with pytest.raises(IllTyped, match="converges"):
        tex(latex).value(scope, rule)


@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=str)
def test_integral_that_converges_has_an_error_that_covers_its_error(rule: rules_module.Rule) -> None:
    scope = Scope(worlds={"q": Law("z", Normal(0.4, 0.7)), "p": Law("z", Normal(-0.3, 1.1))}, values={"a": 0.9})
    exact = {
        r"\mathbb{E}_q[z^4]": 0.4**4 + 6 * 0.16 * 0.49 + 3 * 0.49**2,
        r"\int q(z) p(z)\,dz": stats.norm(0.7, np.sqrt(0.49 + 1.21)).pdf(0.0),
        r"\int_0^a s^{1/2}\,ds": 0.9**1.5 / 1.5,
        r"\int_0^1 \log s\,ds": -1.0,
        r"\mathbb{E}_q[e^z]": np.exp(0.4 + 0.245),
    }
    for latex, expected in exact.items():
        value = tex(latex).value(scope, rule)
        assert isinstance(value, Estimate)
        assert abs(value.value - expected) <= 10 * value.error + 1e-12, latex
        assert value.error < 1e-3, latex


@pytest.mark.parametrize("ratio", [1e-4, 1e-2, 0.3, 3.0, 1e2, 1e4])
@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=str)
def test_law_that_is_far_narrower_than_another_is_not_missed(ratio: float, rule: rules_module.Rule) -> None:
    w = NormalPair(Normal(0.8, 0.7 * ratio), Normal(-0.4, 0.7))
    expected = number(r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \tfrac12", w)
    for latex in (r"\int q(z) \log\frac{q(z)}{p(z)}\,dz", r"\mathrm{KL}(q \Vert p)"):
        assert number(latex, w, rule) == pytest.approx(expected, rel=1e-8)
    overlap = stats.norm(w.p.loc, np.sqrt(w.q.scale**2 + w.p.scale**2)).logpdf(w.q.loc)
    assert number(r"\log \mathbb{E}_p[q(z)]", w, rule) == pytest.approx(overlap, rel=1e-8)


def test_the_two_rules_share_no_node() -> None:
    for kind in ("unit", "ended"):
        first, second = (getattr(rule, kind)()[0] for rule in (TRAPEZOID, GAUSS))
        assert np.intersect1d(first.round(12), second.round(12)).size <= 1
    for kind in ("normal", "box"):
        first, second = (getattr(rule, kind)(2)[0][:, 0] for rule in (TRAPEZOID, GAUSS))
        assert np.intersect1d(first.round(12), second.round(12)).size <= 1


def test_error_planted_in_one_rule_is_seen_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    right = rules_module.Rule.unit

    def planted(self: rules_module.Rule, light: bool = False) -> tuple[np.ndarray, np.ndarray]:
        nodes, log_weights = right(self, light)
        return nodes, log_weights + (1e-3 if self.family == "trapezoid" else 0.0)

    monkeypatch.setattr(rules_module.Rule, "unit", planted)
    scope = Scope(worlds={"q": Law("z", Normal(0.4, 0.7))})
    first, second = (number(r"\mathbb{E}_q[z^2]", scope, rule) for rule in (TRAPEZOID, GAUSS))
    assert abs(first - second) > 1e-4


def test_finite_sum_is_exact_whatever_was_evaluated_before() -> None:
    witness = DiscreteWitness.draw(rng())
    assert isinstance(tex(r"\log \sum_z p(x, z)").value(witness), float)
    mixed = Scope(worlds={"p": Table(("h",), np.array([0.3, 0.7])), "q": Law("z", Normal(0.0, 1.0))})
    assert isinstance(tex(r"\mathbb{E}_q[z^2]").value(mixed), Estimate)
    assert isinstance(tex(r"\sum_h p(h)").value(mixed), float)


# -------------------------------------------------------------------------------------------------- batches of values


def test_expectation_within_an_expectation_needs_no_loop() -> None:
    law = np.array([0.2, 0.5, 0.3])
    scope = Scope(
        worlds={
            "D": Table(("n",), law),
            "q": Conditional("z", ("n",), lambda n: Normal(0.5 * n - 0.3, 0.4 + 0.3 * n)),
            "p": Law("z", Normal(0.2, 1.4)),
        }
    )
    inner = [
        np.log(1.4 / s) + (s**2 + (m - 0.2) ** 2) / (2 * 1.96) - 0.5 for m, s in [(-0.3, 0.4), (0.2, 0.7), (0.7, 1.0)]
    ]
    for latex in (
        r"\mathbb{E}_{D(n)}\left[\mathrm{KL}(q(z \mid n) \Vert p(z))\right]",
        r"\sum_n D(n) \int q(z \mid n) \log\frac{q(z \mid n)}{p(z)}\,dz",
    ):
        assert number(latex, scope) == pytest.approx(law @ inner, rel=1e-10), latex


def test_index_of_a_sum_reaches_into_an_integral() -> None:
    w = DiagonalPair.draw(rng(3))
    expected = [
        np.log(sp / sq) + (sq**2 + (mq - mp) ** 2) / (2 * sp**2) - 0.5
        for mq, sq, mp, sp in zip(w.q.loc, w.q.scale, w.p.loc, w.p.scale, strict=True)
    ]
    assert number(r"\sum_j \int q_j(z_j) \log\frac{q_j(z_j)}{p_j(z_j)}\,dz_j", w) == pytest.approx(
        sum(expected), rel=1e-9
    )


def test_memory_is_refused_before_it_runs_out() -> None:
    scope = Scope(spaces={"u": Interval(-3, 3), "v": Interval(-3, 3), "w": Interval(-3, 3)})
    with pytest.raises(IllTyped, match="combinations of nodes"):
        tex(r"\int\int\int e^{-u v w}\,du\,dv\,dw").value(scope)


@pytest.mark.parametrize("depth", [2, 3])
def test_nodes_that_vary_along_an_axis_whose_variable_is_not_seen_count_as_well(depth: int) -> None:
    names = "abc"[:depth]
    env = Env()
    for axis, name in enumerate(names):
        shape = [100] * (axis + 1)  # the nodes of each depend on those of all before it
        env = env.bind(name, Binding(Typed(np.zeros(shape)), axis))
    assert env.only(frozenset(names[-1])).size == env.size == 100**depth


def test_expectation_under_a_law_that_depends_on_two_others_is_refused_while_it_is_small() -> None:
    e11 = LEDGER["E11"]
    witness = e11.draw(np.random.default_rng(0))
    formula = tex(r"E_{q(z_2)}[E_{q(z_1 \mid z_2)}[KL(q(z_2 \mid z_1) \\| p(z_2 \mid z_1))]]")
    tracemalloc.start()
    with pytest.raises(IllTyped, match="combinations of nodes"):
        formula.value(witness)
    assert tracemalloc.get_traced_memory()[1] < 4e8
    tracemalloc.stop()


def test_equal_parts_are_evaluated_once() -> None:
    calls = []

    def counted(z: np.ndarray) -> np.ndarray:
        calls.append(z.shape)
        return z**2

    scope = Scope(worlds={"q": Law("z", Normal(0.1, 0.9))}, maps={"f": Map(counted)})
    tex(r"\mathbb{E}_q[f(z)] + \mathbb{E}_q[f(z)]^2 - \log \mathbb{E}_q[f(z)]").value(scope)
    assert len(calls) == 2  # once more for the error, at another resolution over a wider range
    tex(r"2\,\mathbb{E}_q[f(z)]").value(scope)
    assert len(calls) == 2


def test_error_that_is_not_clear_at_once_is_told_apart_into_resolution_and_range() -> None:
    """Where one more evaluation changes the value, two others say whether nodes are too few or the range too short.

    Where the error decides nothing, a fifth asks whether the value is better than that: at a kink it is not.
    """
    calls = []

    def kinked(z: np.ndarray) -> np.ndarray:
        calls.append(z.shape)
        return np.abs(z - 0.2345)

    scope = Scope(worlds={"q": Law("z", Normal(0.1, 0.9))}, maps={"f": Map(kinked)})
    value = tex(r"\mathbb{E}_q[f(z)]").value(scope)
    exact = float(Normal(0.1, 0.9).mean_distance(0.2345))
    assert len(calls) == 5 and 1e-9 < abs(value.value - exact) <= value.error < 1e-2


def test_bare_value_is_the_value_and_takes_one_evaluation() -> None:
    calls = []

    def counted(z: np.ndarray) -> np.ndarray:
        calls.append(z.shape)
        return np.exp(z)

    def scope() -> Scope:
        return Scope(worlds={"q": Law("z", Normal(0.1, 0.9))}, maps={"f": Map(counted)})

    line = tex(r"\mathbb{E}_q[f(z)]").for_line(1)
    bare = line.bare_value(scope())
    assert len(calls) == 1 and float(bare) == line.value(scope()).value


def test_scopes_of_one_shape_share_no_values_and_those_of_another_no_meaning() -> None:
    """What a name is is remembered for all scopes of one structure; p is a number here and a density there."""
    formula = tex(r"\log p(x) + a")
    half, fifth = (Scope({"a": a, "x": 1}, {"p": Table(("x",), np.array([1 - a, a]))}) for a in (0.5, 0.2))
    number_p = Scope({"a": 0.5, "x": 3.0, "p": 2.0})
    assert half.structure == fifth.structure != number_p.structure
    values = [float(formula.value(scope)) for scope in (half, fifth, number_p, half)]
    np.testing.assert_allclose(values, [np.log(0.5) + 0.5, np.log(0.2) + 0.2, np.log(6.0) + 0.5, np.log(0.5) + 0.5])


def test_what_is_remembered_of_witnesses_has_a_bound() -> None:
    for seed in range(3 * MOST_SCENES):
        tex(r"\mathbb{E}_q[z^2]").value(Scope(worlds={"q": Law("z", Normal(seed / 7, 0.9))}))
    assert len(remembered) <= MOST_SCENES


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_nodes_without_corners_integrate_a_gaussian_to_one(dimension: int) -> None:
    for rule in (TRAPEZOID, TRAPEZOID.coarser(), TRAPEZOID.coarser().wider(), GAUSS):
        nodes, log_weights = rule.normal(dimension)
        density = stats.multivariate_normal(np.zeros(dimension)).logpdf(nodes.reshape(-1, dimension))
        assert abs(np.sum(np.exp(density + log_weights)) - 1) < 1e-12


def test_logarithm_of_a_signed_sum_agrees_with_scipy() -> None:
    made = rng(3)
    total, sign = (
        made.normal(size=(200, 6)) * made.choice([1.0, 50.0, 500.0], (200, 1)),
        made.choice([-1.0, 1.0], (200, 6)),
    )
    total[:40, 2], total[50] = -np.inf, -np.inf
    expected = logsumexp(total, axis=-1, b=sign, return_sign=True)
    with np.errstate(all="ignore"):
        found = signed_log_sum(total, sign)
        small = signed_log_sum(np.array([0.0, -100.0]), np.ones(2))[0]
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-13, atol=1e-13)
    assert np.array_equal(found[1], expected[1])
    with np.errstate(all="ignore"):  # an array whose last axis is not the one that lies in a row
        cube = np.swapaxes(total[60:].reshape(7, 6, 20).copy(), 1, 2)
        turned = signed_log_sum(cube, np.ones(()))[0]
    np.testing.assert_allclose(turned, logsumexp(cube, axis=-1), rtol=1e-13, atol=1e-13)
    assert small == pytest.approx(np.exp(-100.0), rel=1e-14)


# -------------------------------------------------------------------------------------------------------- worlds


def test_joint_gaussian_agrees_with_scipy_for_every_marginal_and_conditional() -> None:
    w = LinearWitness.draw(rng(5))
    model, x, z = w.model, w.x, w.model.posterior(w.x).loc
    prior, evidence = (
        stats.multivariate_normal(np.zeros(2)),
        stats.multivariate_normal(model.evidence.loc, model.evidence.covariance),
    )
    noise = stats.multivariate_normal(model.loading @ z + model.offset, model.noise_variance * np.eye(3))
    assert number(r"\log p(x)", w) == pytest.approx(evidence.logpdf(x))
    assert number(r"\log p(\hat z)", w) == pytest.approx(prior.logpdf(z))
    assert number(r"\log p(x \mid \hat z)", w) == pytest.approx(noise.logpdf(x))
    assert number(r"\log p(\hat z \mid x)", w) == pytest.approx(prior.logpdf(z) + noise.logpdf(x) - evidence.logpdf(x))
    assert number(r"\log p(x, \hat z)", w) == pytest.approx(prior.logpdf(z) + noise.logpdf(x))


def test_table_agrees_with_sums_by_hand() -> None:
    joint = rng(2).dirichlet(np.ones(24)).reshape(2, 3, 4)
    scope = Scope(worlds={"p": Table(("a", "b", "c"), joint)}, observed={"a": 1, "c": 2})
    assert number(r"p(a)", scope) == pytest.approx(joint[1].sum())
    assert number(r"p(a \mid c)", scope) == pytest.approx(joint[1, :, 2].sum() / joint[:, :, 2].sum())
    assert number(r"\sum_b p(b \mid a, c)", scope) == pytest.approx(1)
    assert number(r"\mathrm{H}(b, a, c)", Scope(worlds=scope.worlds)) == pytest.approx(-(joint * np.log(joint)).sum())


def test_mixture_gives_marginal_label_and_part() -> None:
    parts = Normal(np.array([-1.0, 0.8]), np.array([0.5, 1.2]))
    scope = Scope(worlds={"p": Mixture("z", np.array([0.3, 0.7]), parts, -9.0, 12.0)}, observed={"z": 0.4})
    density = 0.3 * stats.norm(-1, 0.5).pdf(0.4) + 0.7 * stats.norm(0.8, 1.2).pdf(0.4)
    assert number("p(z)", scope) == pytest.approx(density)
    assert number(r"\sum_k p(z \mid k) p(k)", scope) == pytest.approx(density)
    assert number(r"\sum_k p(k \mid z)", scope) == pytest.approx(1)
    assert number(r"\int p(z)\,dz", Scope(worlds=scope.worlds)) == pytest.approx(1)


def test_unknown_variable_and_wrong_size_are_refused() -> None:
    w = LinearWitness.draw(rng(1))
    for latex, says in [
        (r"p(x, z, m)", "cannot tell"),
        (r"p(c)", "p(c)"),
        (r"N(x; b, c)", "identity missing"),
        (r"N(m, S)", "with the place"),
    ]:
        with pytest.raises(IllTyped) as caught:
            tex(latex).value(w)
        assert says in str(caught.value) or "Expected" in str(caught.value)


# ----------------------------------------------------------------------------------------------------- derivatives


def test_gradients_agree_with_closed_forms() -> None:
    w = NormalPair.draw(rng(4))
    (m, s), (mp, sp) = (w.q.loc, w.q.scale), (w.p.loc, w.p.scale)
    value = tex(r"\nabla_{\mu, \sigma}\,\mathrm{KL}(q \Vert p)").value(w)
    np.testing.assert_allclose(value.value, [(m - mp) / sp**2, s / sp**2 - 1 / s], rtol=1e-8)
    value = tex(r"\nabla_{\mu, \log\sigma}\,\mathrm{KL}(q \Vert p)").value(w)
    np.testing.assert_allclose(value.value, [(m - mp) / sp**2, s**2 / sp**2 - 1], rtol=1e-8)
    assert number(r"\partial_\mu^2\,\mathrm{KL}(q \Vert p)", w) == pytest.approx(1 / sp**2, rel=1e-6)
    assert number(r"\mathbb{E}_q\left[\left(\partial_z \log q(z)\right)^2\right]", w) == pytest.approx(
        1 / s**2, rel=1e-8
    )
    assert number(r"\mathbb{E}_q\left[z^2\, \partial_\mu \log q(z)\right]", w) == pytest.approx(2 * m, rel=1e-7)
    assert number(r"\frac{d}{d\mu} \mathbb{E}_q[z^2]", w) == pytest.approx(2 * m, rel=1e-8)
    assert number(r"\frac{\partial \mathbb{E}_q[z^2]}{\partial \sigma}", w) == pytest.approx(2 * s, rel=1e-8)


def test_gradient_by_a_vector_parameter_has_one_entry_for_each_coordinate() -> None:
    def scope(loc: np.ndarray) -> Scope:
        law = DiagonalNormal(loc, np.array([0.5, 1.5]))
        return Scope(worlds={"q": Law("z", law)}, parameters={"m": Parameter(loc, scope)}, ranges={"i": 2})

    at = scope(np.array([0.3, -0.8]))
    value = tex(r"\nabla_m \mathbb{E}_q[z^\top z]").value(at)
    np.testing.assert_allclose(value.value, [0.6, -1.6], rtol=1e-7)
    assert number(r"\sum_i \left(\partial_{m_i} \mathbb{E}_q[z^\top z]\right)^2", at) == pytest.approx(
        0.36 + 2.56, rel=1e-7
    )


# ---------------------------------------------------------------------------------------------------- the witnesses

IDENTITIES = {
    NormalPair: (r"\mathrm{KL}(q \Vert p)", r"\mathrm{H}(q, p) - \mathrm{H}(q)"),
    DiagonalPair: (
        r"\mathrm{KL}(q \Vert p)",
        r"\tfrac12 \sum_j \left[\log\frac{s_j}{v_j} + \frac{v_j + (\mu_j - m_j)^2}{s_j} - 1\right]",
    ),
    MultivariatePair: (r"\mathrm{H}(q)", r"\tfrac12 \log\det(2\pi e \Sigma_q)"),
    DiscreteWitness: (r"\log p(x)", r"\mathbb{E}_q[\log p(x, z) - \log q(z)] + \mathrm{KL}(q \Vert p(z \mid x))"),
    LinearWitness: (r"\log p(x)", r"\log N(x; b, W W^\top + c I)"),
    CurvedWitness: (r"\log p(x)", r"\log \mathbb{E}_q\left[\frac{p(x, z)}{q(z)}\right]"),
    CurvedFamily: (r"\log p(x)", r"\mathbb{E}_q[\log p(x, z) - \log q(z)] + \mathrm{KL}(q \Vert p(z \mid x))"),
    BernoulliWitness: (
        r"\log p(x \mid z) \quad \forall z",
        r"\sum_j \left(x_j a_j - \mathrm{softplus}(a_j)\right) \quad \forall z",
    ),
    LinearPoints: (r"\log p(x) + 0\,p(z) \quad \forall z", r"\log p(x, z) - \log p(z \mid x) \quad \forall z"),
}


@pytest.mark.parametrize("kind", IDENTITIES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=str)
def test_every_witness_has_a_scope_on_which_an_identity_holds(kind: type, rule: rules_module.Rule) -> None:
    for seed in range(3):
        witness = kind.draw(rng(seed))  # type: ignore[attr-defined]
        left, right = (tex(latex).value(witness, rule) for latex in IDENTITIES[kind])
        np.testing.assert_allclose(getattr(left, "value", left), getattr(right, "value", right), rtol=3e-8, atol=1e-9)


ROUTES = (
    terms.log_evidence,
    terms.E(terms.q, terms.log_lik) - terms.KL(terms.q, terms.prior),
    terms.E(terms.q, terms.log_joint - terms.log_q) + terms.KL(terms.q, terms.post),
    terms.log_E(terms.q, terms.log_joint - terms.log_q),
    terms.log_E(terms.prior, terms.log_lik),
    2 * terms.H(terms.q, terms.prior) - terms.H(terms.q) / 4 + 1,
    terms.KL(terms.post, terms.q),
)


@pytest.mark.parametrize("term", ROUTES, ids=lambda term: term.spelled)
@pytest.mark.parametrize("kind", [CurvedWitness, DiscreteWitness, BernoulliWitness])
def test_term_and_its_formula_have_one_value(term: terms.Term, kind: type) -> None:
    assert tex(term.formula.latex) == term.formula
    for seed in range(5):
        w = kind.draw(rng(seed))  # type: ignore[attr-defined]
        theirs, ours = term.value(w), term.formula.value(w)
        theirs, ours = (float(getattr(value, "value", value)) for value in (theirs, ours))
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-10)


def test_term_combines_with_a_formula() -> None:
    w = CurvedWitness.draw(rng(2))
    gap = terms.log_evidence - tex(r"\mathbb{E}_q[\log p(x, z) - \log q(z)]")
    assert gap.latex.startswith(r"\log p(x) - ")
    assert float(gap.value(w).value) == pytest.approx(float(terms.KL(terms.q, terms.post).value(w)), rel=1e-9)
    for mixed in (tex("a") + terms.log_q, terms.log_q + tex("a"), 2 * tex("a") * terms.log_q, terms.log_q * tex("a")):
        assert mixed == tex(mixed.latex)


def test_neighboring_lines_are_computed_by_different_rules() -> None:
    line = tex(r"\log p(x)")
    chain = Derivation(
        "X1", "three lines", CurvedWitness.draw, (Line(line), Line(line), Line(line)), (Slip(1, "s", "x", line),)
    )
    rules = [entry.formula.rule for entry in chain.lines]  # type: ignore[union-attr]
    assert rules == [TRAPEZOID, GAUSS, TRAPEZOID] and chain.slips[0].value.rule == GAUSS  # type: ignore[union-attr]
    again = chain.with_line(2, line)
    assert again.lines[2].formula.rule == TRAPEZOID  # type: ignore[union-attr]
    assert chain.check(2).holds


def test_witness_without_a_scope_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a method scope\(\)"):
        tex("a").value(ScalarBernoulli(np.ones(2), np.ones(2)))


def test_given_has_the_interface_of_a_formula() -> None:
    line = given(r"\text{as computed by } \mathtt{f}", lambda w: 3.0)
    assert line.latex.startswith(r"\text") and line.value(None) == 3.0 and line.free == frozenset()
    assert "f" in line.plain
    with pytest.raises(TypeError, match="two swapped"):
        given(lambda w: 3.0, "x")  # type: ignore[arg-type]
    for half in (("x", 3.0), (3.0, lambda w: 3.0)):
        with pytest.raises(TypeError, match="Expected LaTeX and a function of the witness, but got"):
            given(*half)  # type: ignore[arg-type]


def test_law_of_several_variables_goes_over_all_of_them() -> None:
    loc, covariance = np.array([0.3, -0.2, 0.5]), np.array([[1.0, 0.4, 0.2], [0.4, 0.8, -0.1], [0.2, -0.1, 0.6]])
    scope = Scope(worlds={"q": JointGaussian({"u": 2, "v": 0}, loc, covariance)})
    assert number(r"\mathbb{E}_q[v^2]", scope) == pytest.approx(0.25 + 0.6)
    assert number(r"\mathbb{E}_{q(u)}\mathbb{E}_{q(v \mid u)}[v]", scope) == pytest.approx(0.5)
    assert number(r"\mathrm{H}(q)", scope) == pytest.approx(MultivariateNormal(loc, covariance).entropy())
    expected = covariance[:2, :2] + np.outer(loc[:2], loc[:2])
    np.testing.assert_allclose(tex(r"\mathbb{E}_{q(u)}[u u^\top]").value(scope).value, expected, atol=1e-9)
    np.testing.assert_allclose(tex(r"\mathrm{Cov}_{q(u)}(u)").value(scope).value, covariance[:2, :2], atol=1e-9)


def test_states_may_be_vectors() -> None:
    pairs = np.array([[0, 1], [1, 1], [2, 0]])
    scope = Scope(spaces={"z": States(pairs)}, values={"a": 2.0})
    assert number(r"\sum_z \left(z_1 + a z_2\right)", scope) == 3 + 2 * 2


def test_gradient_by_a_matrix_is_laid_out_like_it() -> None:
    def scope(factor: np.ndarray) -> Scope:
        return Scope(values={"L": factor, "a": np.array([1.0, -2.0])}, parameters={"L": Parameter(factor, scope)})

    at = scope(np.array([[0.5, 0.3], [0.2, 1.1]]))
    value = tex(r"\nabla_L \left(a^\top L L^\top a\right)").value(at)
    a = np.array([1.0, -2.0])
    np.testing.assert_allclose(value.value, 2 * np.outer(a, a) @ at.values["L"], rtol=1e-9)


def test_gradient_is_read_from_the_scope_where_it_knows_it() -> None:
    maps = {"f": Map(lambda z: np.sum(z**3, axis=-1)), "f'": Map(lambda z: 3 * z**2, rank=1)}
    maps["f''"] = Map(lambda z: 6 * z[..., None] * np.eye(2), rank=2)
    at = Scope(values={"m": np.array([0.5, -2.0])}, maps=maps)
    np.testing.assert_array_equal(tex(r"\nabla f(m)").value(at), [0.75, 12.0])
    np.testing.assert_array_equal(tex(r"\nabla^2 f(m)").value(at), [[3.0, 0.0], [0.0, -12.0]])


def test_function_of_a_law_takes_its_mean_and_its_variance() -> None:
    at = Scope(
        values={"x": 3.0, "m": 1.0, "s": 0.25},
        maps={r"\mathcal{L}": Map(lambda x, m, s: x - m + 8 * s, of=("x", "m", "s")), "g": Map(lambda x: x, of=("x",))},
    )
    assert number(r"\mathcal{L}(x;\, N(m, 2s))", at) == 6.0
    assert number(r"\mathcal{L}(x, N(m, s))", at) == 4.0
    assert number(r"g(x;\, m)", at) == 3.0  # what a function depends on is no argument of it


def test_root_and_diagonal_of_a_matrix() -> None:
    matrix = np.array([[2.0, 0.6], [0.6, 1.0]])
    at = Scope(values={"A": matrix, "B": np.array([[1.0, 0.2], [0.0, 1.0]])})
    root = tex("A^{1/2}").value(at)
    np.testing.assert_allclose(root @ root, matrix, rtol=1e-14)
    np.testing.assert_array_equal(tex(r"\mathrm{diag}(A)").value(at), np.diag([2.0, 1.0]))
    assert np.isnan(tex(r"(A - 2 I)^{1/2}").value(at)).all()
    with pytest.raises(IllTyped, match="symmetric"):
        tex("B^{1/2}").value(at)


def test_line_for_every_index_has_an_entry_for_each_of_its_values() -> None:
    at = Scope(values={"a": np.array([2.0, 3.0, 5.0]), "c": 1.5}, ranges={"i": 3})
    np.testing.assert_array_equal(tex(r"c a_i \quad \forall i").value(at), [3.0, 4.5, 7.5])
    np.testing.assert_array_equal(tex(r"c \quad \forall i").value(at), [1.5] * 3)


# ---------------------------------------------------------------------------------------------- other arithmetics


def test_a_formula_in_decimals_keeps_the_digits_that_floats_lose() -> None:
    scope = Scope(values={"l": 1e-9})
    kl = tex(r"\tfrac12\left(e^{l} - 1 - l\right)")
    with mpmath.workdps(60):
        right = float((mpmath.exp(mpmath.mpf(1e-9)) - 1 - mpmath.mpf(1e-9)) / 2)
    assert in_decimals(kl).value(scope) == pytest.approx(right, rel=1e-15, abs=0)
    assert in_floats(kl).value(scope) == 0.5 * (np.exp(1e-9) - 1 - 1e-9) != pytest.approx(right, rel=0.1, abs=0)
    assert in_floats(kl, np.float32).latex == kl.latex + r" \text{ in float32}"


def test_floats_take_no_detour() -> None:
    """As typed, log(1 + e^a) rounds 1 + e^a; evaluated as a formula it is log-sum-exp."""
    scope = Scope(values={"a": -40.0})
    softplus = tex(r"\log(1 + e^a)")
    assert in_floats(softplus).value(scope) == 0.0
    assert softplus.value(scope) == pytest.approx(np.exp(-40), rel=1e-15)
    assert in_floats(tex(r"\max(0, a) + \sqrt{4} - |a|")).value(scope) == -38.0


OF_NUMBERS = {
    r"\log a": math.log,
    r"\exp a": math.exp,
    "e^a": math.exp,
    r"\sqrt a": math.sqrt,
    r"\mathrm{softplus}(a)": lambda a: math.log1p(math.exp(a)),
    r"\mathrm{expm1}(a)": math.expm1,
    r"\mathrm{log1p}(a)": math.log1p,
}


@pytest.mark.parametrize("latex", OF_NUMBERS)
@pytest.mark.parametrize("a", [0.3, 2.0])
def test_other_arithmetics_know_the_functions_of_numbers(latex: str, a: float) -> None:
    scope, right = Scope(values={"a": a}), OF_NUMBERS[latex](a)
    assert in_floats(tex(latex)).value(scope) == pytest.approx(right, rel=1e-15, abs=0)
    assert in_floats(tex(latex), np.float32).value(scope) == pytest.approx(right, rel=3e-7, abs=0)
    assert in_decimals(tex(latex)).value(scope) == pytest.approx(right, rel=1e-15, abs=0)


def test_other_arithmetics_hear_definitions_and_refuse_what_is_no_arithmetic() -> None:
    scope = Scope(values={"a": 3.0}, worlds={"q": Law("z", Normal(0.0, 1.0))})
    line = in_decimals(tex(r"\log s")).for_line(1, tex(r"s,\ s = a^2").said)
    assert line.value(scope) == pytest.approx(2 * np.log(3), rel=1e-15)
    with pytest.raises(IllTyped, match="arithmetic of numbers"):
        in_decimals(tex(r"\mathbb{E}_q[z]")).value(scope)


def test_a_vector_may_be_counted_from_zero() -> None:
    scope = Scope(values={"a": from_zero([5.0, 7.0, 9.0])})
    assert tex(r"a_0 + \sum_{j=0}^{1} a_{2j}").value(scope) == 5 + 5 + 9
    with pytest.raises(IllTyped, match="from 0 to 2, but got 3"):
        tex("a_3").value(scope)


def test_a_name_that_is_defined_twice_has_its_latest_meaning() -> None:
    scope = Scope(values={"a": 3.0})
    said = (*tex(r"b,\ b = 2 a").said, *tex(r"b,\ b = 5 a").said)
    assert tex("b + a").among(said).value(scope) == 18.0
    assert tex(r"b + a,\ b = a").among(said).value(scope) == 6.0


def test_a_square_may_be_what_is_defined() -> None:
    scope = Scope(values={"a": 3.0, "c": 2.0})
    assert tex(r"a s^2 - s^2,\ s^2 = c + 1").value(scope) == 6.0


def test_factorials_are_of_whole_numbers_and_diag_keeps_a_diagonal() -> None:
    with pytest.raises(IllTyped, match="Expected whole numbers from 0 before !, but got -1"):
        tex("n!").value(Scope(values={"n": -1}))
    assert tex("n!!").value(Scope(values={"n": -1})) == 1
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    scope = Scope(values={"A": matrix})
    assert np.array_equal(tex(r"\mathrm{diag}(A)").value(scope), np.diag([2.0, 3.0]))


# ------------------------------------------------------------------------- definitions, places, and steps of a limit


def test_definitions_may_come_in_any_order_and_use_each_other() -> None:
    scope = Scope(values={"a": 3.0})
    assert number(r"b + c, \quad b = 2 c, \quad c = a + 1", scope) == 12
    assert number(r"b + c, \quad c = a + 1, \quad b = 2 c", scope) == 12
    assert number(r"b, \quad b = 2 a - b_0, \quad b_0 = a", scope) == 3


def test_defined_function_takes_its_arguments_all_at_once() -> None:
    scope = Scope(values={"a": 3.0, "b": 5.0}, ranges={"i": 2})
    assert number(r"f(a, b) + f(b, a), \quad f(u, v) = u - 2 v", scope) == (3 - 10) + (5 - 6)
    assert number(r"f(u, v), \quad f(v, u) = v - 2 u, \quad u = a, \quad v = b", scope) == 3 - 10
    assert number(r"f(a) + f(f(a)), \quad f(u) = u^2", scope) == 9 + 81
    with pytest.raises(IllTyped, match="rename what it binds"):
        number(r"\sum_i f(i), \quad f(u) = \sum_i u", scope)


def test_index_above_is_defined_too() -> None:
    scope = Scope(worlds={"q_": lambda k: Law("z", Normal(k + 1.0, 0.5))})
    assert number(r"\mathbb{E}_{q^{(K)}}[z], \quad K = 3", scope) == pytest.approx(3.0)


def test_value_at_a_place_and_a_derivative_by_what_it_binds() -> None:
    scope = Scope(values={"a": 3.0}, maps={"f": Map(np.exp)})
    assert number(r"\left. b^2 + a \right|_{b = a}", scope) == 12
    slope = number(r"\left.\frac{\partial}{\partial b}\left[b\,f(a) + b^2\right]\right|_{b = a}", scope)
    assert slope == pytest.approx(np.exp(3.0) + 6, rel=1e-9)
    assert tex(r"\left. b^2 + a \right|_{b = a}").free == {"a"}
    with pytest.raises(IllTyped, match="a place such as"):
        number(r"\left. a \right|_{a > 1}", scope)


def test_line_with_a_step_says_what_its_names_mean_there() -> None:
    class Shrinking:
        def at(self, step: float) -> Scope:
            return Scope(values={"K": 1 / step})

    line = Line(tex(r"K + 1"), step=1 / 4)
    formula = line.formula.for_line(0)  # type: ignore[union-attr]
    assert [formula.value(Shrinking(), step) for step in (1 / 4, 1 / 8)] == [5, 9]


def test_other_arithmetics_take_definitions_in_any_order_and_the_latest_one() -> None:
    """As a tree does: the same functions put them in."""
    scope = Scope(values={"a": 3.0})
    for said in (r"b, \quad b = 2 c, \quad c = a + 1", r"b, \quad c = a + 1, \quad b = 2 c"):
        assert in_decimals(tex(said)).value(scope) == number(said, scope) == 8
    first, second = tex(r"s,\ s = 2 a").said, tex(r"s,\ s = 5 a").said
    for line in (in_decimals(tex("s")), tex("s")):
        assert line.for_line(1, first).for_line(1, second).value(scope) == 15


def test_an_infinite_value_has_no_error_that_is_not_a_number() -> None:
    """0 times infinity is not a number: of a formula without a derivative nothing is added."""
    scope = Scope(worlds={"q": Law("z", Normal(0.0, 1.0))}, values={"a": np.inf})
    found = tex(r"a\, \mathbb{E}_q[z^2]").value(scope)
    assert found.value == np.inf and not np.isnan(found.error)


@pytest.mark.parametrize("latex", ["2_{0.3}", r"\sum_{j=1}^2 z_{1.5}", "z_{2.0}"])
def test_index_that_is_not_a_whole_number_is_refused(latex: str) -> None:
    with pytest.raises(IllTyped, match="whole number, counted from 1, as an index"):
        tex(latex).value(Scope(observed={"z": np.array([1.0, 2.0])}))


@pytest.mark.parametrize("law", [r"q", r"q(z)", r"p(z \mid x)"])
def test_divergence_from_a_joint_law_is_not_read_as_one_from_a_part_of_it(law: str) -> None:
    with pytest.raises(IllTyped, match="two laws over the same variable, but x is bound by none"):
        tex(rf"\mathrm{{KL}}({law} \Vert p(z, x))").value(DiscreteWitness.draw(np.random.default_rng(0)))


def test_what_may_hold_arrays_is_itself_and_nothing_more() -> None:
    """`==` of two arrays has no truth value, and no array can be hashed."""
    for made in (
        lambda: Parameter(np.zeros(2), lambda value: Scope({"a": value})),
        lambda: Scope({"a": np.zeros(2)}),
        lambda: Map(np.exp),
        lambda: States(np.zeros(2)),
    ):
        one = made()
        assert one == one and one != made() and len({one, made()}) == 2


@pytest.mark.parametrize(("name", "seed"), [("A3", 5), ("A3", 7), ("B5", 18), ("C8", 10), ("C8", 15)])
def test_integral_that_is_better_than_its_coarse_one_says_so(name: str, seed: int) -> None:
    """On one of these witnesses the coarse rule is off by 1e-4, and the value by 1e-7."""
    assert LEDGER[name].check(5, seed).holds


@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=["trapezoid", "gauss"])
def test_error_of_a_smooth_integrand_is_not_less_than_it_is(rule: rules_module.Rule) -> None:
    """Also where a range is prescribed, and the rule resolves a density worse and worse."""
    for scale in np.geomspace(1.0, 0.018, 25):
        worlds = {"q": Law("z", Normal(-0.2, 2.0)), "d": Law("z", Normal(0.37, float(scale)))}
        right = stats.norm(-0.2, np.hypot(2.0, scale)).pdf(0.37)
        for spaces in ({}, {"z": Interval(-25.0, 25.0)}):
            scope = Scope(worlds=worlds, spaces=spaces)
            for latex in (r"\int q(z)\,d(z)\,dz", r"\mathbb{E}_q[d(z)]"):
                found = tex(latex).value(scope, rule)
                value, error = getattr(found, "value", found), getattr(found, "error", 0.0)
                assert abs(value - right) <= error + 1e-12, (latex, scale)


def test_error_at_a_kink_is_that_of_the_coarse_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """There more nodes change the value by about as much as fewer, which says little of how good it is."""
    worlds = {"q": Law("z", Normal(-0.2, 2.0))}
    kink, module = tex(r"\mathbb{E}_q[|z - c|]"), sys.modules["vaelib.formula.evaluate"]
    error = kink.value(Scope({"c": 0.37}, worlds=worlds), TRAPEZOID).error
    assert error > module.DECIDES
    monkeypatch.setattr(module, "SMOOTH", 0.0)
    assert kink.value(Scope({"c": 0.37}, worlds=worlds), TRAPEZOID).error == error
