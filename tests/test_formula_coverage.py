"""What the ledger shows as LaTeX is what it computes, as far as formulas are read and evaluated today."""

from __future__ import annotations

from collections import Counter

import formula_coverage
import numpy as np
import pytest

from vaelib.derivation import Derivation, Line, Slip
from vaelib.distributions import kl_divergence
from vaelib.formula import tex
from vaelib.ledger import LEDGER
from vaelib.witnesses import NormalPair

READ = {"line": 500, "slip": 300}
AGREE = {"line": 325, "slip": 205}


@pytest.fixture(scope="module")
def found() -> list[formula_coverage.Result]:
    with np.errstate(all="ignore"):
        return list(formula_coverage.results([], witnesses=1))


def counts(found: list[formula_coverage.Result], kind: str) -> Counter[str]:
    return Counter(result.outcome for result in found if f" {kind}" in result.entry.place)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["line", "slip"])
def test_as_much_of_the_ledger_is_read_and_agrees_as_before(found: list[formula_coverage.Result], kind: str) -> None:
    outcome = counts(found, kind)
    assert outcome.total() - outcome["not read"] >= READ[kind], outcome
    assert outcome["agrees"] >= AGREE[kind], outcome


@pytest.mark.slow
def test_every_line_that_is_evaluated_agrees_but_for_a_short_list(found: list[formula_coverage.Result]) -> None:
    differing = {result.entry.place: result.why for result in found if result.outcome == "differs"}
    assert differing.keys() <= formula_coverage.KNOWN.keys(), differing
    assert len(formula_coverage.KNOWN) <= 8


@pytest.mark.slow
def test_what_diverges_is_told_and_mended_brackets_stay(found: list[formula_coverage.Result]) -> None:
    why = {result.entry.place: result.why for result in found if result.outcome == "no meaning"}
    assert "converges" in why["B6 slip 'inverse of the joint'"]
    assert "converges" in why["E15 slip 'p and q exchanged'"]
    outcomes = {result.entry.place: result.outcome for result in found}
    assert outcomes["E2 line 1"] == outcomes["F11 line 2"] == "agrees"


def kl(w: NormalPair) -> float:
    return float(kl_divergence(w.q, w.p))


def test_line_whose_value_is_not_its_formula_is_found() -> None:
    right = LEDGER["E1"].lines[3].latex
    planted = Derivation(
        "E1",
        "planted",
        NormalPair.draw,
        lines=(Line(right, kl), Line(right.replace(r"- \tfrac12", ""), kl), Line(right, kl)),
        slips=(Slip(1, "right formula, wrong value", "It looks like ...", lambda w: 0.0, latex=right),),
    )
    drawn = [NormalPair.draw(np.random.default_rng(0))]
    outcomes = [formula_coverage.judged(entry, drawn).outcome for entry in formula_coverage.entries(planted)]
    assert outcomes == ["agrees", "differs", "agrees", "differs"]


def test_values_are_told_apart() -> None:
    assert formula_coverage.distance(1.0, 1.0 + 1e-6)
    assert not formula_coverage.distance(1.0, 1.0 + 1e-9)
    assert not formula_coverage.distance(np.inf, np.inf)
    assert formula_coverage.distance(np.zeros(3), np.zeros(2))
    assert formula_coverage.distance(1.0, np.nan)
    assert formula_coverage.read_or_none(r"\foo") is None
    assert formula_coverage.read_or_none("a") == tex("a")
