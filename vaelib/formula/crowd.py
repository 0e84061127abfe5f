"""A formula on several witnesses at once: those of a check and their first copies, or a walk away from one of them.

What comes of it is remembered with each witness, where `evaluate` finds it. Witnesses whose scopes have one shape are
taken together; if something fails on one of them, each is left to be evaluated by itself, where the error is seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from vaelib.estimate import Estimate
from vaelib.formula.evaluate import error_of, line_value, remember, scene_of, scope_of, side_by_side
from vaelib.formula.rules import Rule
from vaelib.formula.run import Run
from vaelib.formula.scope import Scope
from vaelib.formula.stack import Stacked, signature
from vaelib.formula.tree import Node

MOST_CROWDS = 4  # that are remembered
MOST_HELD = 5e7  # bytes that a group goes on to hold between two lines


class Group:
    """Scopes of one shape, those of witnesses first and then those of copies, on which no error is asked."""

    def __init__(self, scopes: Sequence[Scope], asked: int) -> None:
        self.scopes, self.asked = scopes, asked
        self.runs: dict[tuple[Rule, int], Stacked] = {}

    def run(self, rule: Rule, number: int) -> Run:
        if (rule, number) not in self.runs:
            self.runs[rule, number] = Stacked(self.scopes[:number], rule)
        return self.runs[rule, number]

    def evaluate(self, node: Node, rule: Rule) -> list[Any]:
        """The value on each scope."""
        fine = self.run(rule, len(self.scopes))
        values = line_value(node, fine)
        found: list[Any] = [value[()] if np.ndim(value) == 0 else value for value in values]
        if fine.approximate and self.asked:
            asked = values[: self.asked]
            errors = error_of(node, asked, lambda rule: self.run(rule, self.asked), rule, axes=1)
            found[: self.asked] = [Estimate(value[()], error[()]) for value, error in zip(asked, errors, strict=True)]
        if sum(run.held for run in self.runs.values()) > MOST_HELD:
            self.runs.clear()
        return found


class Crowd:
    """Witnesses and copies of them, taken together as far as they are alike."""

    def __init__(self, witnesses: Sequence[Any], copies: Sequence[Any]) -> None:
        self.asked = len(witnesses)
        self.scenes = [scene_of(witness) for witness in (*witnesses, *copies)]
        groups: dict[Any, list[tuple[int, int, Scope]]] = {}
        for i, scene in enumerate(self.scenes):
            scopes = [scene.scope] if scene.members is None else [scope_of(member) for member in scene.members]
            for j, scope in enumerate(scopes):
                groups.setdefault(signature(scope), []).append((i, j, scope))
        self.places = [[(i, j) for i, j, _ in group] for group in groups.values()]
        self.groups = [
            Group([scope for _, _, scope in group], sum(i < self.asked for i, _, _ in group))
            for group in groups.values()
        ]

    def evaluate(self, node: Node, rule: Rule) -> None:
        if all(scene.knows(node, rule, i < self.asked) for i, scene in enumerate(self.scenes)):
            return
        found: dict[tuple[int, int], Any] = {}
        for places, group in zip(self.places, self.groups, strict=True):
            try:
                found |= zip(places, group.evaluate(node, rule), strict=True)
            except Exception:
                continue  # each by itself, then: it has a value there, or the error is raised where it is seen
        for i, scene in enumerate(self.scenes):
            number = 1 if scene.members is None else len(scene.members)
            if scene.knows(node, rule, i < self.asked) or any((i, j) not in found for j in range(number)):
                continue
            values = [found[i, j] for j in range(number)]
            scene.found[node, rule] = values[0] if scene.members is None else side_by_side(values), i < self.asked


_crowds: OrderedDict[tuple[int, ...], Crowd] = OrderedDict()


def evaluate_together(node: Node, witnesses: Sequence[Any], copies: Sequence[Any], rule: Rule) -> None:
    """Evaluate a formula on witnesses and copies at once; `evaluate` then finds what came of it."""
    key = tuple(map(id, (*witnesses, *copies)))
    with np.errstate(all="ignore"):
        try:
            crowd = _crowds.get(key) or Crowd(witnesses, copies)
        except Exception:  # what is no witness is refused where its value is asked for
            return
        if witnesses:  # asked about line after line
            _crowds[key] = crowd
            _crowds.move_to_end(key)
            if len(_crowds) > MOST_CROWDS:
                _crowds.popitem(last=False)
        for scene in crowd.scenes:
            remember(scene)
        crowd.evaluate(node, rule)


Node.crowd = staticmethod(evaluate_together)
