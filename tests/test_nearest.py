"""The nearest right line: one edit, where it is, and silence where nothing can be said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vaelib.derivation import IllTyped
from vaelib.formula import tex
from vaelib.formula.tree import Node
from vaelib.ledger import E1, F2
from vaelib.nearest import Repairs, Vocabulary, edits, repairs
from vaelib.nearest.edits import KINDS, is_odd, places, put
from vaelib.witnesses import CurvedWitness, MultivariatePair, NormalPair

CLOSED = r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2} - \tfrac12"
BOUND = r"\mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\Vert\, p(z))"


def witnesses(kind: Any, number: int = 5) -> list[Any]:
    return [kind.draw(np.random.default_rng([11, i])) for i in range(number)]


def found(wrong: str, right: str, kind: Any, chain: tuple[str, ...] = ()) -> Repairs:
    return repairs(tex(wrong), tex(right).value, witnesses(kind), [tex(line) for line in chain])


CASES = [
    (CLOSED.replace(r"- \tfrac12", r"+ \tfrac12"), CLOSED, NormalPair, "sign", CLOSED),
    (CLOSED.replace(r"\frac{\sigma_p}{\sigma_q}", r"\frac{\sigma_q}{\sigma_p}"), CLOSED, NormalPair, "sign", None),
    (CLOSED.replace(r"(\mu_q - \mu_p)^2", r"(\mu_q - \mu_p)"), CLOSED, NormalPair, "square", None),
    (CLOSED.replace(r"2\sigma_p^2", r"2\sigma_q^2"), CLOSED, NormalPair, "name", CLOSED),
    (CLOSED.replace(r"2\sigma_p^2", r"\sigma_p^2"), CLOSED, NormalPair, "half or two", None),
    (CLOSED.replace(r"\log\frac", r"\frac"), CLOSED, NormalPair, "logarithm", CLOSED),
    (CLOSED.replace(r" - \tfrac12", ""), CLOSED, NormalPair, "missing term", CLOSED),
    (BOUND.replace(r"x \mid z", r"z \mid x"), BOUND, CurvedWitness, "density", BOUND),
    (BOUND.replace(r"q \,\Vert\, p(z)", r"p(z) \,\Vert\, q"), BOUND, CurvedWitness, "KL swapped", BOUND),
    (BOUND.replace("- ", "+ "), BOUND, CurvedWitness, "sign", BOUND),
    (BOUND.replace("_q", "_{p(z)}"), BOUND, CurvedWitness, "law", BOUND),
    (
        r"\mathbb{E}_q\left[\log \frac{p(x \mid z)}{q(z)}\right]",
        r"\log \mathbb{E}_q\left[\frac{p(x \mid z)}{q(z)}\right]",
        CurvedWitness,
        "logarithm's end",
        None,
    ),
    (r"\frac{\log \sigma_q}{\log \sigma_p}", r"\log\frac{\sigma_q}{\sigma_p}", NormalPair, "logarithm's end", None),
    (
        r"\sigma_q \mu_q + \frac{\sigma_q}{\sigma_p^2}",
        r"\sigma_q \mu_q + \frac{\sigma_p}{\sigma_q^2}",
        NormalPair,
        "swapped here",
        None,
    ),
    (r"\mathbb{E}_p[\log q(z)]", r"\mathbb{E}_q[\log p(z)]", CurvedWitness, "swapped throughout", None),
    (r"\log \sigma_q^2", r"\log(2 \pi \sigma_q^2)", NormalPair, "missing factor", None),
    (r"\sigma_q \mu_q", r"\sigma_q (1 - \mu_q)", NormalPair, "complement", None),
    (r"m + m \mu_q, \quad m = \sigma_p", r"\sigma_p^2 + \sigma_p^2 \mu_q", NormalPair, "square", None),
]


@pytest.mark.parametrize("wrong, right, kind, edit, repaired", CASES)
def test_one_slip_is_named_by_its_kind(wrong: str, right: str, kind: Any, edit: str, repaired: str | None) -> None:
    only = found(wrong, right, kind).only
    assert only is not None and only.kind == edit
    if repaired is not None:
        assert only.formula == tex(repaired)


@pytest.mark.parametrize("wrong, right, kind, edit, repaired", CASES[:3])
def test_the_hint_says_where_and_not_what(wrong: str, right: str, kind: Any, edit: str, repaired: str | None) -> None:
    repair = found(wrong, right, kind)
    assert repair.only is not None and KINDS[edit] in repair.hint and repair.only.old.plain in repair.hint
    assert repair.only.formula.plain not in repair.hint


def test_a_term_of_another_line_may_be_what_is_missing() -> None:
    shorter = r"\frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2} - \tfrac12"
    assert found(shorter, CLOSED, NormalPair).only is None
    only = found(shorter, CLOSED, NormalPair, (r"\log\frac{\sigma_p}{\sigma_q} + \sigma_q",)).only
    assert only is not None and only.kind == "missing term"


def test_nothing_is_said_of_two_slips_or_of_a_right_line() -> None:
    two = CLOSED.replace(r"- \tfrac12", r"+ \tfrac12").replace(r"2\sigma_p^2", r"\sigma_q^2")
    assert found(two, CLOSED, NormalPair).edits == ()
    assert found(two, CLOSED, NormalPair).hint == ""


def test_nothing_is_said_where_the_goal_is_the_same_everywhere() -> None:
    assert found(r"\sigma_q", "1", NormalPair).edits == ()


def test_two_places_that_fit_are_not_named() -> None:
    both = repairs(tex(r"\sigma_q \mu_q + \sigma_q \mu_q"), tex("0").value, witnesses(NormalPair))
    assert both.only is None and both.hint == ""
    several = found(r"\mu_q + \mu_q", r"\mu_p - \mu_p + \mu_q \cdot 0 + \sigma_q", NormalPair)
    assert several.only is None


def test_every_repair_holds_on_witnesses_that_were_not_asked() -> None:
    others = [NormalPair.draw(np.random.default_rng([12, i])) for i in range(10)]
    for wrong, right, kind, *_ in CASES[:7]:
        for edit in found(wrong, right, kind).edits:
            for witness in others:
                assert edit.formula.value(witness) == pytest.approx(tex(right).value(witness), rel=1e-9)


def test_every_edit_prints_as_what_it_is() -> None:
    """What is shown is what was tried: read again, its LaTeX has the same value."""
    words = Vocabulary.of([tex(CLOSED), tex(r"\sigma_q - \mu_p")])
    witness = NormalPair.draw(np.random.default_rng(3))
    for edit in edits(tex(CLOSED), words):
        with np.errstate(all="ignore"):
            try:
                value = edit.formula.value(witness)
            except IllTyped:  # a length for a number
                continue
            assert tex(edit.formula.latex).value(witness) == pytest.approx(value, rel=1e-12, nan_ok=True), (
                edit.formula.latex
            )


def test_a_part_is_put_where_it_was_taken() -> None:
    formula: Node = tex(BOUND)
    for path, part in places(formula):
        assert put(formula, path, part) == formula


@pytest.mark.parametrize("derivation", [E1, F2], ids=lambda d: d.id)
def test_slips_of_the_ledger_are_found_without_their_list(derivation: Any) -> None:
    named = 0
    for slip in derivation.slips:
        formula = getattr(slip.value, "formula", None)
        if isinstance(formula, Node):
            above = derivation.lines[slip.line - 1]
            drawn = [derivation.draw(np.random.default_rng([3, i])) for i in range(5)]
            chain = [getattr(line.formula, "formula", None) for line in derivation.lines]
            others = [f for i, f in enumerate(chain) if isinstance(f, Node) and i != slip.line]
            named += repairs(formula, above.evaluate, drawn, others).only is not None
    assert named >= 3


EVERYWHERE = r"\int q(z) \left(\log p(x \mid z) + \log\frac{p(z)}{q(z)} + \log\frac{q(z)}{p(z \mid x)}\right)\,dz"


def test_a_quotient_is_one_of_densities_of_one_variable() -> None:
    """Three densities could be put right; only one of the three leaves no p(x) / q(z) behind."""
    wrong = EVERYWHERE.replace(r"\frac{p(z)}", r"\frac{p(x)}")
    several = found(wrong, r"\log p(x)", CurvedWitness)
    assert len(several.edits) > 1 and several.only is not None
    assert several.only.formula == tex(EVERYWHERE)
    assert is_odd(tex(r"\frac{p(x)}{q(z)}")) and not is_odd(tex(r"\frac{p(x, z)}{q(z)}"))


def test_of_several_places_the_one_that_stands_elsewhere_is_meant() -> None:
    wrong = tex(r"\mathrm{KL}(q \Vert p(z \mid x)) + \mathbb{E}_q[\log p(x \mid z) + \log p(x) - \log q(z)]")
    goal = tex(r"\log p(x)").value
    known = [tex(r"\mathbb{E}_q[\log p(x \mid z) + \log p(z) - \log q(z)]")]
    assert repairs(wrong, goal, witnesses(CurvedWitness)).only is None
    only = repairs(wrong, goal, witnesses(CurvedWitness), known).only
    assert only is not None and only.formula == tex(known[0].latex).__radd__(wrong.terms[0])  # type: ignore[attr-defined]


def test_a_bracket_that_should_be_multiplied_is_multiplied() -> None:
    only = found(r"\mu_q - (\sigma_q + \mu_p)", r"-\mu_q (\sigma_q + \mu_p)", NormalPair).only
    assert only is not None and only.kind == "brackets" and only.formula.plain == "-μ_q (σ_q + μ_p)"


def test_a_density_may_be_an_importance_weight() -> None:
    only = found(
        r"\mathbb{E}_q[\log p(x \mid z)]", r"\mathbb{E}_q[\log \frac{p(x, z)}{q(z)}]", CurvedWitness, ("q(z)",)
    ).only
    assert only is not None and only.formula == tex(r"\mathbb{E}_q\left[\log \frac{p(x, z)}{q(z)}\right]")


def test_a_swap_keeps_the_places_of_a_formula() -> None:
    """A name that is swapped still knows where it was read, so that an error in it can be pointed at."""
    words = Vocabulary.of([tex(CLOSED)])
    for edit in edits(tex(CLOSED), words):
        for part in edit.formula.walk():
            assert part.where is None or part.where.caret()


def changed(formula: str, kind: str) -> set[str]:
    """What edits of one kind make of it, as it reads."""
    node = tex(formula)
    return {edit.formula.plain for edit in edits(node, Vocabulary.of([node])) if edit.kind == kind}


def test_neighbors_in_a_product_of_matrices_change_places() -> None:
    orders = {r"A v^\top B w", r"v^\top B A w", r"v^\top A w B"}
    assert {tex(order).plain for order in orders} <= changed(r"v^\top A B w", "transposed")


def test_brackets_come_where_they_are_needed() -> None:
    """A sum over i goes as far as it can: in front of a factor it is put in brackets, at the end it is not."""
    product, running = tex("a b c"), tex(r"\sum_i a_i")
    for i, right in enumerate((r"(\sum_i a_i) b c", r"a\, (\sum_i a_i) c", r"a b \sum_i a_i")):
        assert put(product, (("factors", i),), running) == tex(right)


def test_line_of_vectors_is_mended_too() -> None:
    only = found(r"\mu_q - \mu_p", r"\mu_q + \mu_p", MultivariatePair).only
    assert only is not None and (only.kind, only.formula) == ("sign", tex(r"\mu_q + \mu_p"))
