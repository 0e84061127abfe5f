"""Several witnesses at once: what comes of it is what each gives by itself; what cannot be taken together is not."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vaelib.derivation import SPECIAL, IllTyped, derive, draw_witnesses
from vaelib.distributions import DiagonalNormal, Normal
from vaelib.estimate import Estimate
from vaelib.formula import GAUSS, TRAPEZOID, Map, Scope, evaluate_together, tex
from vaelib.formula import crowd as crowd_module
from vaelib.formula import stack as stack_module
from vaelib.formula.environment import Diverges
from vaelib.formula.rules import Rule
from vaelib.formula.spaces import Interval, Pieces
from vaelib.formula.stack import Stacked, Unlike, together
from vaelib.formula.tree import Node
from vaelib.formula.worlds import Conditional, Law, Table
from vaelib.witnesses import (
    CurvedFamily,
    CurvedWitness,
    DiagonalPair,
    DiscreteWitness,
    LinearPoints,
    LinearWitness,
    MultivariatePair,
    NormalPair,
)

engine = sys.modules["vaelib.formula.evaluate"]  # the package has a function of this name


def known(node: Node, witness: Any, rule: Rule) -> Any:
    """What is remembered of a formula on a witness, if it was evaluated on several at once."""
    scene = engine._scenes.get(id(witness))
    return None if scene is None else scene.found.get((node, rule), (None, False))[0]


def parts(value: Any) -> tuple[np.ndarray, np.ndarray]:
    value = value if isinstance(value, Estimate) else Estimate(value)
    return np.asarray(value.value), np.asarray(value.error)


CASES: list[tuple[Callable[..., Any], str]] = [
    (NormalPair.draw, r"\int q(z) \log\frac{q(z)}{p(z)}\,dz"),  # some of the ranges are in pieces
    (NormalPair.draw, r"\mathbb{E}_q\left[\frac{(z - \mu_p)^2}{2\sigma_p^2}\right] + \sigma_q^2"),
    (NormalPair.draw, r"\nabla_{\mu} \mathrm{KL}(q \,\Vert\, p)"),
    (DiagonalPair.draw, r"\sum_j \mathrm{KL}(q_j(z_j) \,\Vert\, p_j(z_j))"),
    (DiagonalPair.draw, r"\mathbb{E}_q[\mu^\top z] - \tfrac{k}{2} v_2"),
    (
        MultivariatePair.draw,
        r"\mathrm{KL}(q(z_2) \,\Vert\, p(z_2)) + \mathrm{tr}(\Sigma_p^{-1}\Sigma_q)",
    ),
    (DiscreteWitness.draw, r"\log \sum_z p(x, z)"),
    (DiscreteWitness.draw, r"q(z)\,p(x) \quad \forall z"),
    (LinearWitness.draw, r"\mathbb{E}_q[\log p(x, z)] - \log p(x) + \log N(x;\, b, \Sigma)"),
    (LinearPoints.draw, r"\log p(z \mid x) \quad \forall z"),
    (CurvedWitness.draw, r"\mathrm{KL}(q \,\Vert\, p(z \mid x)) + f(0.3)^\top f(0.3)"),
    (CurvedWitness.draw, r"\nabla_{\theta} \log p_\theta(x)"),
    (CurvedFamily.draw, r"\mathbb{E}_q[\log p(x, z) - \log q(z)]"),
]


@pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=["trapezoid", "gauss"])
@pytest.mark.parametrize(("draw", "latex"), CASES, ids=range(len(CASES)))
def test_values_at_once_agree_with_each_by_itself(draw: Callable[..., Any], latex: str, rule: Rule) -> None:
    node = tex(latex)
    number = 2 * len(SPECIAL) if draw == NormalPair.draw else 4
    everyone = draw_witnesses(draw, number, 5)
    witnesses, copies = everyone[: number // 2], everyone[number // 2 :]
    evaluate_together(node, witnesses, copies, rule)
    for i, witness in enumerate(everyone):
        found, alone = known(node, witness, rule), node.value(replace(witness), rule)
        assert found is not None
        value, error = parts(found)
        expected, its_error = parts(alone)
        assert value.shape == expected.shape
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-11)
        if i < len(witnesses):
            assert isinstance(found, Estimate) == isinstance(alone, Estimate)
            np.testing.assert_allclose(error, its_error, atol=2e-10)
            assert node.value(witness, rule) is found
        else:
            assert not isinstance(found, Estimate)  # on copies no error is asked


def test_a_function_is_called_for_one_witness_at_a_time() -> None:
    """It may take an axis in front for something else: here it takes the mean over it."""
    scopes = [Scope({"x": np.array([1.0, k, 2.0])}, maps={"f": Map(lambda v: np.mean(v))}) for k in (3.0, 9.0)]
    node = tex("f(x)")
    evaluate_together(node, scopes, [], TRAPEZOID)
    assert [float(known(node, scope, TRAPEZOID)) for scope in scopes] == [2.0, 4.0]


def test_a_law_with_givens_is_asked_for_one_witness_at_a_time() -> None:
    def scope(loc: float) -> Scope:
        law = Conditional("z", ("x",), lambda x: Normal(loc + np.mean(x), 0.8))
        return Scope({"a": loc}, {"q": law}, {"x": np.array(loc)})

    scopes = [scope(loc) for loc in (0.4, 1.7)]
    node = tex(r"\mathbb{E}_{q(z \mid x)}[z]")
    evaluate_together(node, scopes, [], TRAPEZOID)
    for scope_, loc in zip(scopes, (0.4, 1.7), strict=True):
        assert known(node, scope_, TRAPEZOID).value == pytest.approx(2 * loc, rel=1e-12)


def test_members_of_unlike_shapes_are_taken_in_groups() -> None:
    class Family:
        def __init__(self, shift: float) -> None:
            laws = [DiagonalNormal(np.full(k, shift), np.full(k, 0.7)) for k in (1, 2, 2)]
            self.scopes = [Scope({"m": q.loc}, {"q": Law("z", q)}) for q in laws]

        def members(self) -> list[Scope]:
            return self.scopes

    node = tex(r"\mathbb{E}_q[z^\top m]")
    families = [Family(0.3), Family(1.1)]
    evaluate_together(node, families, [], GAUSS)
    for family, shift in zip(families, (0.3, 1.1), strict=True):
        np.testing.assert_allclose(known(node, family, GAUSS).value, shift**2 * np.array([1, 2, 2]), rtol=1e-12)


def test_what_fails_on_one_is_left_to_each() -> None:
    def scope(scale: float) -> Scope:
        return Scope(worlds={"q": Law("z", Normal(0.0, scale)), "p": Law("z", Normal(0.1, 1.0))})

    good, bad = scope(1.2), scope(0.6)
    node = tex(r"\int \frac{p(z)^2}{q(z)}\,dz")  # finite only where q is not much narrower than p
    evaluate_together(node, [good, bad], [], TRAPEZOID)
    assert known(node, good, TRAPEZOID) is None
    assert node.value(good, TRAPEZOID).value > 0
    with pytest.raises(Diverges):
        node.value(bad, TRAPEZOID)


def test_a_name_that_is_not_known_is_refused_where_its_value_is_asked() -> None:
    witnesses = draw_witnesses(NormalPair.draw, 2, 0)
    evaluate_together(tex("a + b"), witnesses, [], TRAPEZOID)
    with pytest.raises(IllTyped, match="but got a"):
        tex("a + b").value(witnesses[0])
    evaluate_together(tex("a + b"), [object()], [], TRAPEZOID)  # no witness at all
    with pytest.raises(TypeError, match="scope"):
        tex("a + b").value(object())


def test_large_arrays_are_left_to_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "MOST_AT_ONCE", 100)
    node, witnesses = tex(r"\mathbb{E}_q[z^2]"), draw_witnesses(NormalPair.draw, 2, 1)
    evaluate_together(node, witnesses, [], TRAPEZOID)
    assert known(node, witnesses[0], TRAPEZOID) is None
    q = witnesses[0].q
    assert node.value(witnesses[0]).value == pytest.approx(q.loc**2 + q.scale**2, rel=1e-12)


def test_ranges_of_several_kinds_are_padded_with_nodes_of_no_weight() -> None:
    space = together([Interval(-8.0, 8.0), Pieces((-9.0, -1.0, 9.0), soft=True)])
    assert space is not None
    nodes, log_weights = space.nodes(TRAPEZOID, 1)
    assert nodes.data.shape == log_weights.shape and len(nodes.data) == 2
    np.testing.assert_allclose(np.exp(log_weights).sum(axis=-1), [16.0, 18.0], rtol=1e-12)
    assert np.isneginf(log_weights).any()
    with pytest.raises(Unlike):
        together([Interval(0.0, 1.0), None])


def test_values_that_cannot_be_laid_side_by_side_are_unlike() -> None:
    scopes = [Scope({"a": np.ones(n)}, {"p": Table(("x",), np.ones(2) / 2)}) for n in (2, 3)]
    with pytest.raises(Unlike):
        Stacked(scopes, TRAPEZOID)


def test_lines_share_what_depends_on_the_same_nodes() -> None:
    calls: list[int] = []

    def counted(z: np.ndarray) -> np.ndarray:
        calls.append(z.size)
        return np.tanh(z)

    scope = Scope(worlds={"q": Law("z", Normal(0.3, 0.9))}, maps={"f": Map(counted)})
    first = tex(r"\mathbb{E}_q[f(z)]").value(scope).value
    number = len(calls)
    assert tex(r"3\,\mathbb{E}_q[2 f(z)]").value(scope).value == pytest.approx(6 * first, rel=1e-13)
    assert len(calls) == number


def test_a_check_judges_alike_with_and_without_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2}"
    chain = (
        derive("X1", "KL of Gaussians", NormalPair.draw)
        .start(tex(r"\mathrm{KL}(q \,\Vert\, p)"))
        .eq(tex(closed + r" - \tfrac12"), "E1")
        .slip("no half", tex(closed), "the half is missing.")
        .ge(tex("0"), "Gibbs", gap=tex(r"\mathbb{E}_q\left[\log\frac{q(z)}{p(z)}\right]"))
    )

    def verdicts() -> list[Any]:
        report = chain.check(8, 3)
        return [row.verdict for row in report.rows] + [(t.rejections, t.tried) for t in report.slips]

    at_once = verdicts()
    monkeypatch.setattr(Node, "crowd", staticmethod(lambda *args: None))
    assert verdicts() == at_once
    assert chain.check(8, 3).holds


def test_a_witness_that_is_its_own_copy_keeps_its_error() -> None:
    """An object that cannot be perturbed is in a crowd twice."""
    witness, node = Scope(worlds={"q": Law("z", Normal(0.3, 0.9))}), tex(r"\mathbb{E}_q[z^2]")
    evaluate_together(node, [witness], [witness], TRAPEZOID)
    assert isinstance(node.value(witness), Estimate)
    evaluate_together(node, [], [witness, witness], GAUSS)
    assert isinstance(node.value(witness, GAUSS), Estimate)


def test_the_crowds_asked_about_last_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    crowds: OrderedDict[tuple[int, ...], Any] = OrderedDict()
    monkeypatch.setattr(crowd_module, "_crowds", crowds)
    most, node = crowd_module.MOST_CROWDS, tex(r"\mu + 1")
    several = [draw_witnesses(NormalPair.draw, 2, seed) for seed in range(most + 2)]
    for witnesses in [*several[: most + 1], several[1], several[-1]]:
        evaluate_together(node, witnesses, [], GAUSS)
    kept = [several[i] for i in (*range(3, most + 1), 1, most + 1)]
    assert list(crowds) == [tuple(map(id, witnesses)) for witnesses in kept] and len(kept) == most
