"""How much of the ledger is read and evaluated as formulas, and whether its values are those of its functions.

    python tools/formula_coverage.py              counts
    python tools/formula_coverage.py --all        and every line that is not read, has no meaning or differs
    python tools/formula_coverage.py F1 H10       these identities

Every line and slip that shows LaTeX is read; where its witness has a scope it is evaluated on five witnesses, and
compared with the ledger's own function.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib.derivation import Derivation, IllTyped
from vaelib.estimate import Estimate
from vaelib.formula import GAUSS, TRAPEZOID, Node, Unreadable, tex
from vaelib.formula.binders import Relation, Where
from vaelib.ledger import LEDGER

WITNESSES = 5
TOLERANCE = 1e-7
OUTCOMES = ("agrees", "differs", "no meaning", "no scope", "not read")


NOT_WHAT_IS_SHOWN = {  # the function is right in what it says, the LaTeX shows something else
    "A3 slip 'no noise'": "the function keeps a noise of 0.001, so that the covariance can be inverted",
    "A10 line 4": "what stands behind the comma is a remark, which the function does not return",
    "K7 slip 'c divided by beta'": "the function changes c within M too, the formula keeps M",
    "K7 slip 'beta squared'": "the function changes beta c within M too, the formula keeps M",
}
LOSES_DIGITS = {  # the formula is right, but not in double precision: this is what the identity is about
    "D8 line 0": "at logits of 100 the probability of one value is rounded to 0",
    "D8 line 1": "as line 0",
    "D8 line 2": "as line 0",
    "E9 line 0": "in 50 digits, since in double precision its terms cancel to the last digit",
}
KNOWN = NOT_WHAT_IS_SHOWN | LOSES_DIGITS


@dataclass(frozen=True)
class Entry:
    """A line or a slip that shows LaTeX and has a value."""

    place: str
    latex: str
    value: Callable[..., Any]
    earlier: tuple[Node, ...]  # definitions of the lines above
    rule: Any
    step: float | None


@dataclass(frozen=True)
class Result:
    entry: Entry
    outcome: str
    why: str = ""


def entries(derivation: Derivation) -> Iterator[Entry]:
    """The lines, then the slips, of an identity."""
    known: list[Node] = []
    definitions: list[tuple[Node, ...]] = []
    for i, line in enumerate(derivation.lines):
        if line.samples is None:
            yield Entry(f"{derivation.id} line {i}", line.latex, line.evaluate, tuple(known), rule_of(i), line.step)
        read = read_or_none(line.latex)
        if isinstance(read, Where):
            known.extend(clause for clause in read.clauses if clause not in known)
        definitions.append(tuple(known))
    for slip in derivation.slips:
        shown = slip.latex or getattr(slip.value, "latex", "")
        if slip.value is not None and shown:
            line = slip.apply(derivation.lines[slip.line])
            place = f"{derivation.id} slip {slip.name!r}"
            yield Entry(place, shown, line.evaluate, definitions[slip.line], rule_of(slip.line), line.step)


def rule_of(line: int) -> Any:
    """Neighboring lines take different rules."""
    return GAUSS if line % 2 else TRAPEZOID


def read_or_none(latex: str) -> Node | None:
    try:
        return tex(latex)
    except Unreadable:
        return None


def judged(entry: Entry, witnesses: list[Any]) -> Result:
    try:
        formula = tex(entry.latex)
    except Unreadable as error:
        return Result(entry, "not read", str(error))
    for witness in witnesses:
        if not (callable(getattr(witness, "scope", None)) or hasattr(witness, "members")):
            return Result(entry, "no scope", type(witness).__name__)
        try:
            ours = formula_value(formula, entry, witness)
        except IllTyped as error:
            return Result(entry, "no meaning", str(error))
        theirs = value_of_line(entry, witness)
        difference = distance(ours, theirs)
        if difference:
            return Result(entry, "differs", difference)
    return Result(entry, "agrees")


def value_of_line(entry: Entry, witness: Any) -> Any:
    """The ledger's own value; of a difference quotient at half its step, with what halving it changed as its error."""
    if entry.step is None:
        return entry.value(witness)
    coarse, fine = (
        np.asarray(getattr(v, "value", v)) for v in (entry.value(witness), entry.value(witness, entry.step / 2))
    )
    return Estimate(fine, np.abs(fine - coarse))


def formula_value(formula: Node, entry: Entry, witness: Any) -> Any:
    """With the definitions of earlier lines, which hold for the whole chain."""
    clauses = formula.clauses if isinstance(formula, Where) else ()
    body = formula.body if isinstance(formula, Where) else formula
    own = {clause.sides[0] for clause in clauses if isinstance(clause, Relation)}
    inherited = tuple(c for c in entry.earlier if not isinstance(c, Relation) or c.sides[0] not in own)
    inherited = tuple(c for c in inherited if c not in clauses)
    every = tuple(sorted((*clauses, *inherited), key=lambda clause: isinstance(clause, Relation)))
    return (Where(body, every) if every else body).value(witness, entry.rule)


def distance(ours: Any, theirs: Any) -> str:
    """What separates two values, or nothing."""
    a, b = (
        value if isinstance(value, Estimate) else Estimate(np.asarray(value, dtype=float)) for value in (ours, theirs)
    )
    x, y = np.ravel(np.asarray(a.value, dtype=float)), np.ravel(np.asarray(b.value, dtype=float))
    if min(x.size, y.size) == 1:
        x, y = np.broadcast_arrays(x, y)  # the same at every point
    if np.ndim(a.value) == 2 and np.shape(a.value) == np.shape(b.value)[::-1]:
        x = np.ravel(np.transpose(a.value))  # \forall x, z and \forall z, x
    if x.shape != y.shape:
        return f"{np.shape(a.value)} and {np.shape(b.value)} entries"
    allowed = TOLERANCE * np.maximum(1, np.abs(y)) + np.ravel(a.error) + np.ravel(b.error)
    with np.errstate(invalid="ignore"):
        same = (np.abs(x - y) <= allowed) | (x == y) | (np.isnan(x) & np.isnan(y))
    if same.all():
        return ""
    i = int(np.argmax(~same))
    return f"formula {x[i]:.10g}, function {y[i]:.10g}"


def results(ids: list[str], witnesses: int = WITNESSES) -> Iterator[Result]:
    """Every entry of these identities, or of all, with what came of it."""
    np.seterr(all="ignore")  # slips overflow, as they should
    for id in ids or LEDGER:
        derivation = LEDGER[id]
        drawn = [derivation.draw(np.random.default_rng([7, i])) for i in range(witnesses)]
        for entry in entries(derivation):
            yield judged(entry, drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    found = list(results(asked.ids))
    for kind in ("line", "slip"):
        counts = Counter(result.outcome for result in found if f" {kind} " in result.entry.place)
        print(f"{kind}s: " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES))
    for result in found:
        if result.outcome == "differs" or ((asked.all or asked.ids) and result.outcome != "agrees"):
            print(
                f"\n{result.entry.place}: {result.outcome}\n  {result.entry.latex}\n  "
                + result.why.replace("\n", "\n  ")
            )


if __name__ == "__main__":
    main()
