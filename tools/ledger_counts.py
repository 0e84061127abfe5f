"""What the lines and slips of the ledger are made of, and whether what they show reads as what they are.

    python tools/ledger_counts.py             counts
    python tools/ledger_counts.py --given     and every line and slip that is not a formula
    python tools/ledger_counts.py F1 H        these identities and chapters

A formula is typed once: what is shown is what is evaluated. What is not arithmetic is given by a function beside its
LaTeX: the mean of samples, a limit that is approached by steps, a call of the package, an algorithm.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vaelib.derivation import Derivation, Line
from vaelib.formula import tex
from vaelib.formula.arithmetic import Computed
from vaelib.formula.tree import ByRule
from vaelib.ledger import LEDGER
from vaelib.terms import Term

FORMULA, TERM = "formula", "term"
PACKAGE = r"\mathtt"  # "as computed by kl_divergence"


@dataclass(frozen=True)
class Entry:
    """A line or a slip, and what it is made of."""

    place: str
    kind: str
    line: Line
    latex: str
    instead_of: str = ""  # the LaTeX of the line that a slip spoils
    relation_only: bool = False


def kind(line: Line) -> str:
    """formula, term, or why it is none: samples, limit, package, algorithm."""
    if line.samples is not None:
        return "samples"
    if line.value is None and isinstance(line.formula, ByRule | Computed):
        return FORMULA
    if line.value is None and isinstance(line.formula, Term):
        return TERM
    if line.step is not None:
        return "limit"
    return "package" if PACKAGE in line.latex else "algorithm"


def entries(derivations: Iterable[Derivation]) -> Iterator[Entry]:
    """The lines, then the slips, of each identity."""
    for derivation in derivations:
        for i, line in enumerate(derivation.lines):
            yield Entry(f"{derivation.id} line {i}", kind(line), line, line.latex)
        for slip in derivation.slips:
            old = derivation.lines[slip.line]
            only = slip.value is None and slip.samples is None
            new = slip.apply(old)
            if not only and slip.value is not None and not callable(slip.value):
                new = Line(slip.value, relation=new.relation, step=new.step)
            place = f"{derivation.id} slip {slip.name!r}"
            yield Entry(place, kind(new), new, new.latex, old.latex, only)


def misread(entry: Entry, witnesses: Iterable[Any]) -> str:
    """How the LaTeX of a formula, read again, differs from the formula; empty if it does not."""
    formula = entry.line.formula
    if not isinstance(formula, ByRule | Computed):
        return ""
    again = tex(formula.formula.latex)
    if again == formula.formula:
        return ""
    for witness in witnesses:
        with np.errstate(all="ignore"):
            step = () if entry.line.step is None else (entry.line.step,)
            ours = _value(formula.value(witness, *step))
            theirs = _value(replace(formula, formula=again).value(witness, *step))
        if not np.allclose(ours, theirs, rtol=1e-9, atol=1e-12, equal_nan=True):
            return f"{formula.latex} is read as {again!r}: {theirs} for {ours}"
    return ""


def _value(found: Any) -> np.ndarray:
    return np.asarray(getattr(found, "value", found), dtype=float)


def chosen(asked: list[str]) -> list[Derivation]:
    return [d for d in LEDGER.values() if not asked or d.id in asked or d.chapter in asked]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--given", action="store_true")
    asked = parser.parse_args()
    found = list(entries(chosen(asked.ids)))
    for name in ("line", "slip"):
        these = [entry for entry in found if f" {name} " in entry.place]
        counts = Counter("relation alone" if entry.relation_only else entry.kind for entry in these)
        parts = ", ".join(f"{number} {what}" for what, number in counts.most_common())
        print(f"{len(these)} {name}s: {parts}")
    lines = [entry for entry in found if " line " in entry.place]
    share = sum(entry.kind not in (FORMULA, TERM) for entry in lines) / max(1, len(lines))
    print(f"{share:.1%} of the lines are given by a function")
    slips = [entry for entry in found if entry.instead_of and not entry.relation_only]
    same = [entry.place for entry in slips if entry.latex == entry.instead_of or "TODO" in entry.latex]
    print(f"{len(slips) - len(same)} of {len(slips)} slips with a wrong formula show it", *same, sep="\n  ")
    if asked.given:
        for entry in found:
            if entry.kind not in (FORMULA, TERM) and not entry.relation_only:
                print(f"{entry.place}: {entry.kind}\n    {entry.latex}")


if __name__ == "__main__":
    main()
