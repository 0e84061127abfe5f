"""The values of lines on every setting, and whether a relation holds between them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vaelib.check.chains import Line
from vaelib.check.gaussians import moved
from vaelib.check.latex import Items
from vaelib.check.options import Definition, Formula, Options
from vaelib.check.reading import read
from vaelib.check.roles import GUIDE, LATENT, MODEL, Roles
from vaelib.check.stated import DECODER, PRIOR, Shape
from vaelib.check.surface import resolved
from vaelib.check.terms import Term, terms
from vaelib.check.verdicts import Idle, Judged, Unfit
from vaelib.check.worlds import FAMILY, FEWER, STATES, Plan, Setting, scope, settings
from vaelib.derivation.compare import Value, Verdict
from vaelib.derivation.judging import judge
from vaelib.formula import Node, Scope, tex

MOST_VARIABLES = 7
LOOSE = ("up_to_constant", "proportional")
Side = list[tuple[Term, Formula, Node]]
Outcome = tuple[str, tuple[float, float] | None]  # holds, broken, open, ..., and two values that tell


@dataclass
class Bench:
    """What is known of a document while its lines are read."""

    roles: Roles
    definitions: dict[str, Definition] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)  # names taken in their usual meaning, and its sign
    later: dict[str, Definition] = field(default_factory=dict)  # what names will mean
    foreseen: dict[str, Definition] = field(default_factory=dict)  # the same, of names with a usual meaning
    labels: set[str] = field(default_factory=set)  # of the document's Gaussians
    scales: set[str] = field(default_factory=set)  # \\sigma, \\Sigma
    assigned: dict[str, str] = field(default_factory=dict)  # the label of p and of q, where it is said
    shapes: dict[str, Shape] = field(default_factory=dict)  # laws N(m, S) that it states, by their place
    tied: set[str] = field(default_factory=set)  # labels of means and scales that it says more of
    particular: bool = False  # whether it gives numbers to letters
    laws: set[str] = field(default_factory=set)  # densities of which it is said that they are N(m, S)
    model: bool = False  # whether a joint of three variables or more was said to be a product, which no setting has
    independent: list[set[str]] = field(default_factory=list)  # variables that were said to be so
    averaged: bool = False  # whether q(z) was said to be a mean of q(z | x), which no setting has
    wrong: set[int] = field(default_factory=set)  # lines that do not follow
    origins: dict[str, tuple[Judged, Line]] = field(default_factory=dict)  # where a name was defined, and its line
    tainted: set[str] = field(default_factory=set)  # names that were defined by a line that does not follow
    measured: set[str] = field(default_factory=set)  # variables of integrals that were wrong, and said to be so
    reached: float = math.inf  # the block from which on q may be a posterior of p
    summed_only: bool = False
    settings: list[Setting] = field(default_factory=settings)
    spent: float = 0.0  # seconds, on looking for repairs
    sound: list[Line] = field(default_factory=list)  # lines that follow, and starts
    written: dict[str, str] = field(default_factory=dict)  # how the document spells the names of the witnesses

    @property
    def stated(self) -> bool:
        """Whether the document states a model of which every density follows: p(z) and p(x | z) are N(m, S)."""
        return {PRIOR, DECODER} <= set(self.shapes)

    @property
    def in_letters(self) -> bool:
        """Whether it states a law of a formula: then no law is a random one."""
        return any(shape.of_formula for shape in self.shapes.values())

    def _formulas(self, items: Items, options: Options) -> list[Formula]:
        return [formula for _, formula, _ in self._terms(items, options)]

    def _terms(self, items: Items, options: Options) -> Side:
        found = []
        items = resolved(items, options.brackets)
        for term in terms(items, self.roles):
            formula = read(term.items, self.roles, {**self.later, **self.definitions}, options)
            self.written = {**formula.facts.written, **self.written}
            if formula.facts.unknown:
                found.append((term, formula, tex("0")))
                continue
            found.append((term, formula, tex(formula.latex)))
        return found

    def _values(
        self, sides: Sequence[Side], options: Options, count: int = 0, plan: Plan | None = None
    ) -> list[np.ndarray]:
        """The values of both sides: one row for each setting, one column for each member of a family, if there is one,
        or for each place along which a constant may not change.

        With a count, on so many settings only: most readings that do not fit are gone then.
        """
        plan = plan or self._plan(sides)
        by = frozenset().union(*(term.by for side in sides for term, _, _ in side))
        extremes = any(term.over for side in sides for term, _, _ in side)
        chosen = [s for s in self.settings if not (self.summed_only and s.fine)] or self.settings
        rows: list[list[np.ndarray]] = [[] for _ in sides]
        if options.family is not None:
            if extremes and any(len(side) != 1 or side[0][0].over != sides[0][0][0].over for side in sides):
                raise Unfit("Largest and least values of Gaussians are not judged yet.")
            for seed in range(count or 3):
                places = moved(options.family, seed, options.along, FAMILY)
                for side, kept in zip(sides, rows, strict=True):
                    kept.append(np.array([sum(t.sign * number_of(node, at) for t, _, node in side) for at in places]))
            return [np.array(side) for side in rows]
        for setting in chosen[: count or None]:
            setting = replace(setting, reached=options.reached, drawn=options.drawn)
            members = [setting]
            if options.along:
                members = _along(setting, options.along)
            elif extremes:
                members = [
                    replace(setting, model=k if MODEL in by else 0, guide=k if GUIDE in by else 0)
                    for k in range(FAMILY)
                ]
            for side, kept in zip(sides, rows, strict=True):
                total = np.zeros(len(members))
                for term, _, node in side:
                    column = np.array([number_of(node, scope(plan, member)) for member in members])
                    if term.over in ("max", "min"):
                        column = np.full(len(members), getattr(np, term.over)(column))
                    total = total + term.sign * column
                kept.append(total)
        return [np.array(side) for side in rows]

    def _differ_by_constants(self, relation: str, above: np.ndarray, below: np.ndarray) -> Outcome:
        """Whether the difference of two sides, or their ratio, is the same in each row."""
        if max(_spread(above), _spread(below)) < 1e-9:
            raise Idle("Neither side depends on what the constant may not depend on.")
        if relation == "proportional" and not (np.all(above > 0) and np.all(below > 0)):
            return "open", None
        found = [judge(relation, as_value(a), as_value(b)).verdict for a, b in zip(above, below, strict=True)]
        if all(verdict is Verdict.HOLDS for verdict in found):
            return "holds", None
        if Verdict.BROKEN not in found:
            return "open", None
        row = found.index(Verdict.BROKEN)
        apart = above[row] / below[row] if relation == "proportional" else above[row] - below[row]
        return "broken", (float(apart.min()), float(apart.max()))

    def _plan(self, sides: Sequence[Side]) -> Plan:
        """The variables of two lines."""
        names = {LATENT} | {name for side in sides for _, formula, _ in side for name in formula.facts.variables}
        names |= set(self.roles.observed[:1])
        if len(names) > MOST_VARIABLES:
            raise Unfit(f"Expected at most {MOST_VARIABLES} variables in a line, but got {len(names)}.")
        joint_guide = any("joint" in used_in(side) for side in sides)
        return Plan(tuple(sorted(names)), joint_guide, self.roles.fixed_prior)

    @staticmethod
    def _speaks(side: Side) -> bool:
        """Whether a side speaks of laws, and not of numbers alone."""
        return any(re.search("[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", f.latex)) for _, f, _ in side)

    def _judged(
        self,
        relation: str,
        values: list[np.ndarray],
        tolerance: float,
        over: set[str],
        sides: list,
        relative: bool = True,
    ) -> Outcome:
        above, below = values
        best = over & {"argmax", "argmin"}
        if best:
            if relation != "=":
                raise Unfit("Where something is largest or least is compared by = alone.")
            kinds = [{term.over for term, _, _ in side} & {"argmax", "argmin"} for side in sides]
            if not (kinds[0] and kinds[1]):
                return "place", None
            for side in values:
                if np.all(np.ptp(side, axis=1) < 1e-12):
                    return "constant", None
            flip = [(-1.0 if kind == {"argmin"} else 1.0) for kind in kinds]
            verdicts = [
                judge("same_argmax", as_value(flip[0] * a), as_value(flip[1] * b)).verdict
                for a, b in zip(above, below, strict=True)
            ]
            if all(v is Verdict.HOLDS for v in verdicts):
                return "holds", None
            if any(v is Verdict.BROKEN for v in verdicts):
                i = next(i for i, v in enumerate(verdicts) if v is Verdict.BROKEN)
                return "broken", (float(np.argmax(flip[0] * above[i])), float(np.argmax(flip[1] * below[i])))
            return "open", None
        if not np.all(np.isfinite(above)) or not np.all(np.isfinite(below)):
            return "open", None
        if relation in LOOSE:
            return self._differ_by_constants(relation, above, below)
        if relation == "approx" or (tolerance and relation == "="):
            size = np.maximum(1.0, np.maximum(np.abs(above), np.abs(below)))
            near = np.abs(above - below) <= ((tolerance or 1e-9) * size if relative else tolerance)
            if near.all():
                return "holds", None
            return ("open" if relation == "approx" and tolerance == 0 else "broken"), _first(above, below, ~near)
        result = judge(relation, as_value(above, tolerance), as_value(below, tolerance))
        if result.verdict is Verdict.HOLDS:
            return "holds", None
        if result.verdict is Verdict.BROKEN:
            index = result.index
            return "broken", (float(above[index]), float(below[index]))
        return "open", None


def moments(where: Scope, end: str) -> tuple[float, float]:
    """The mean and the variance of a Gaussian of a number, by the names of its scope."""
    known = {key.replace("{", "").replace("}", ""): value for key, value in where.values.items()}
    end = end.replace("{", "").replace("}", "")
    return float(known[rf"\mu{end}"]), float(known[rf"\Sigma{end}"])


def _along(setting: Setting, name: str) -> list[Setting]:
    """Settings that differ in one thing: the value of a variable, the guide or the model."""
    if name == GUIDE:
        return [replace(setting, guide=k) for k in range(FAMILY)]
    if name == MODEL:
        return [replace(setting, model=k) for k in range(FAMILY)]
    return [replace(setting, moved=(name, k)) for k in range(STATES.get(name, FEWER))]


def _spread(values: np.ndarray) -> float:
    """By how much a side changes along a row, relative to its size."""
    return float(np.max(np.ptp(values, axis=1) / np.maximum(1.0, np.abs(values).max(axis=1))))


def exponentiates(items: Items) -> bool:
    r"""Whether \exp(\Sigma) or e^{\sigma} occurs here: then the letter may stand for a logarithm."""
    return r"\exp" in letters_in(items) and bool(letters_in(items) & {r"\Sigma", r"\sigma"})


def used_in(side: Side) -> set[str]:
    return {word for _, formula, _ in side for word in formula.facts.used}


def text_of_side(side: Side) -> str:
    return " ".join(formula.latex for _, formula, _ in side).replace("{", "").replace("}", "")


def number_of(node: Node, where: Scope) -> float:
    value: Any = node.value(where)
    value = getattr(value, "value", value)
    if np.ndim(value):
        raise Unfit("Expected a number, but the line has several values.")
    return float(value)


def as_value(values: np.ndarray, tolerance: float = 0.0) -> Value:
    size = np.maximum(1.0, np.abs(values))
    return Value(values, (1e-8 + tolerance) * size)


def _first(above: np.ndarray, below: np.ndarray, bad: np.ndarray) -> tuple[float, float]:
    index = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return float(above[index]), float(below[index])


def typed(numbers: Sequence[str]) -> float:
    """How far rounded numbers may be off: three halves of the last digit of each."""
    return sum(1.5 * 10.0 ** -len(number.partition(".")[2]) for number in numbers)


def letters_in(items: Items) -> set[str]:
    found: set[str] = set()
    for item in items:
        found |= letters_in(item) if isinstance(item, list) else {item}
    return found
