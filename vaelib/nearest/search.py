"""The smallest edit that makes a line right: tried on a few witnesses, and confirmed on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib.formula.binders import among
from vaelib.formula.rules import GAUSS, TRAPEZOID, Rule
from vaelib.formula.tree import Node
from vaelib.lines import IllTyped
from vaelib.nearest.edits import Edit, Path, Vocabulary, edits
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

    @property
    def only(self) -> Edit | None:
        """The edit that is meant: the one that fits, or the most plausible of several at one place."""
        strong = [edit for edit in self.edits if edit.kind not in WEAK] or list(self.edits)
        if not strong:
            return None
        first = strong[0]
        return first if all(_at_one_place(first.path, edit.path) for edit in strong) else None

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
    candidates = edits(wrong, Vocabulary.of([wrong, *chain]))
    tried = len(candidates)
    for i, (witness, goal) in enumerate(zip(witnesses, goals, strict=True)):
        rule = GAUSS if i % 2 else TRAPEZOID
        candidates = [edit for edit in candidates if _agrees(edit.formula, said, witness, rule, goal)]
        if not candidates:
            break
    return Repairs(tuple(candidates), tried)


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
