"""The smallest edit that makes a line right: tried on a few witnesses, and confirmed on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula.binders import among
from vaelib.formula.rules import GAUSS, TRAPEZOID, Rule
from vaelib.formula.tree import Bracket, Node
from vaelib.nearest.edits import Edit, Path, Vocabulary, edits, is_odd
from vaelib.quadrature import DoesNotConverge

ACCURACY = 1e-8  # relative to max(1, |value|), beside the errors of the two values
COARSE = 1e-5  # a value that is known no better than this decides nothing
WEAK = ("missing term", "missing factor", "number")  # they fit where something else was meant
FIRST = 3  # witnesses on which an edit is tried; then on all that there are


@dataclass(frozen=True)
class Repairs:
    """The edits that make a line right, the most plausible kind first."""

    edits: tuple[Edit, ...]
    tried: int
    known: frozenset[Node] = frozenset()  # the parts of the other lines

    @property
    def only(self) -> Edit | None:
        """The edit that is meant: the one that fits, or the most plausible of several at one place.

        Of several places, it is the one where an edit leaves no quotient of densities of different variables, and makes
        a larger part what it is in another line.
        """
        strong = [edit for edit in self.edits if edit.kind not in WEAK] or list(self.edits)
        if not strong:
            return None
        first = max(strong, key=self._sense)  # the first of several
        near = [edit for edit in strong if self._sense(edit) == self._sense(first)]
        return first if all(_at_one_place(first.path, edit.path) for edit in near) else None

    def _sense(self, edit: Edit) -> tuple[int, int]:
        """How much sense the formula makes after an edit."""
        return -sum(is_odd(part) for part in edit.formula.walk()), self._found_elsewhere(edit)

    def _found_elsewhere(self, edit: Edit) -> int:
        """The size of the largest part around an edit that is a part of another line, too."""
        part: Any = edit.formula
        sizes = [0]
        for name, i in edit.path:
            if part in self.known:
                sizes.append(sum(1 for _ in part.walk()))
            if isinstance(part, Bracket) and name != "body":  # which the edit put there
                part = part.body
            child = getattr(part, name, None)
            part = child[min(i, len(child) - 1)] if isinstance(child, tuple) and child else child
            if not isinstance(part, Node):
                break
        return max(sizes)

    @property
    def hint(self) -> str:
        """Where to look, without the answer; empty where several different edits fit."""
        return "" if self.only is None else f"It would follow with one change: {self.only.says}."


def _at_one_place(a: Path, b: Path) -> bool:
    """Whether one of two places lies in the other."""
    return a[: len(b)] == b or b[: len(a)] == a


def repairs(
    wrong: Node,
    target: Callable[[Any], Any],
    witnesses: Sequence[Any],
    chain: Iterable[Node] = (),
    said: tuple[Node, ...] = (),
) -> Repairs:
    """The single edits of a formula that give it the value of `target` on every witness.

    Args:
        wrong: the formula as it was typed.
        target: witness -> the value that it should have.
        witnesses: at least four, drawn generically; all must agree.
        chain: the other lines, whose densities, names and terms may be put in.
        said: what the chain says of its names.

    Nothing is found where the target is the same on all witnesses: then nearly every edit that gives a constant fits.
    """
    goals = [_value(target, witness) for witness in witnesses]
    if len(goals) <= FIRST or any(goal is None for goal in goals) or not _varies(goals):
        return Repairs((), 0)
    rules = (TRAPEZOID, GAUSS)
    tests = [
        partial(_agrees, said=said, witness=witness, rule=rules[i % 2], goal=goal)
        for i, (witness, goal) in enumerate(zip(witnesses, goals, strict=True))
    ]
    return sifted(wrong, chain, tests)


def sifted(
    wrong: Node, chain: Iterable[Node], tests: Iterable[Callable[[Node], bool]], known: Iterable[Node] = ()
) -> Repairs:
    """The single edits of a formula that pass every test; the cheapest test is best the first.

    Args:
        chain: other lines, whose parts may be put in.
        known: still other lines: of several places, the one is meant where a change makes a part what it is there.
    """
    chain = tuple(chain)
    candidates = edits(wrong, Vocabulary.of([wrong, *chain]))
    tried = len(candidates)
    for passes in tests:
        candidates = [edit for edit in candidates if passes(edit.formula)]
        if not candidates:
            break
    parts = frozenset(part for line in (*chain, *known) for part in line.walk() if line != wrong)
    return Repairs(tuple(candidates), tried, parts)


def _value(target: Callable[[Any], Any], witness: Any) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        found = target(witness)
    except (IllTyped, DoesNotConverge, ArithmeticError, ValueError, TypeError):
        return None
    value = np.asarray(getattr(found, "value", found), dtype=float)
    error = np.asarray(getattr(found, "error", 0.0), dtype=float)
    return (value, error) if np.all(np.isfinite(value)) else None


def _agrees(formula: Node, said: tuple[Node, ...], witness: Any, rule: Rule, goal: Any) -> bool:
    with np.errstate(all="ignore"):
        found = _value(lambda w: among(formula, said).value(w, rule), witness)
    if found is None or found[0].shape != goal[0].shape:
        return False
    size = np.maximum(1.0, np.abs(goal[0]))
    error = found[1] + goal[1]
    return bool(np.all(error <= COARSE * size) and np.all(np.abs(found[0] - goal[0]) <= ACCURACY * size + error))


def _varies(goals: list[Any]) -> bool:
    first = goals[0][0]
    return any(
        goal[0].shape != first.shape or np.any(np.abs(goal[0] - first) > 1e-6 * np.maximum(1, np.abs(first)))
        for goal in goals[1:]
    )
