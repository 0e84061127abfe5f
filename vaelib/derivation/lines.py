"""A line of a derivation, and a slip: what a person may write in its place by mistake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from vaelib._latex import plain
from vaelib._printable import printable
from vaelib.derivation.compare import INEQUALITIES, RELATIONS, Value, compose, measure


class IllTyped(TypeError):
    """A line that has no value: a variable left free, or something that is not a density where one is needed."""


class Formula(Protocol):
    """What a line may be made of besides LaTeX: it knows how it is written and what it is worth on a witness."""

    @property
    def latex(self) -> str: ...
    def value(self, witness: Any) -> Any: ...


Evaluator = Callable[..., Any]
LOOKS_LIKE = "It looks like "


def looks_like(says: str) -> str:
    """What a teacher says of a slip, with the words with which it begins."""
    return says if says.startswith(LOOKS_LIKE) else LOOKS_LIKE + says


@dataclass(frozen=True)
class Line:
    r"""One line of a derivation.

    Args:
        formula: LaTeX, or an object with `latex` and `value(witness)` such as a term.
        value: witness -> float, array or Estimate. Not needed if the formula has a value. An array means "at every
            entry": for all z, for each iteration, for each component of a gradient. If `step` is given, it is called
            as value(witness, step).
        reason: the rule that leads from the line above to this one.
        why: why one takes this step here.
        needs: what it takes for the step to be allowed.
        relation: `line above  relation  this line`, one of =, >=, <=, >, <, !=; or, over the entries of an array,
            `proportional` (densities whose log-difference is constant), `up_to_constant` (the difference is constant),
            `same_argmin` and `same_argmax` (the same of at least five candidates is the least, the largest: a constant
            difference shows it, another best candidate refutes it, and anything between shows nothing).
        gap: for an inequality, the value of what is lost (|above - below|), so that a weakened bound is caught too.
        equality: for an inequality, rng -> a witness on which both sides are equal.
        samples: (witness, rng, n) -> n samples whose mean is the line; replaces `value`. Judged by |z| <= 4.5, with one
            retry at 4 n.
        num_samples: n of `samples`, fixed beforehand so that each slip is rejected with 99 % power.
        step, order: for a numerical derivative, a limit or a rate. The difference to the neighbor must shrink like
            step^order when the step is halved. A power of two is best: adding it to a number near one rounds
            nothing away.
        resolution: an allowance beyond this (relative to max(1, |value|)) makes the line inconclusive; of two lines
            that are compared, the larger counts. 1e-6 unless given; 1e-3 for a line in single precision, and 0.1 for
            the 4.5 standard errors of a sample mean.
        relative: the line claims accuracy relative to its own size, however small that is: then a difference that
            looks like rounding is a mistake, too.
        exact: of an equation with a rough side: it is an equation all the same, and shown as one. Either it holds at
            each step, before the limit is taken; or what is written is exact (a derivative, an expectation, a limit)
            and only its value is not.
        infinite: the line claims that its values are infinite, where they are. Without it the same infinity on both
            sides decides nothing: 2 * inf is inf, and so is inf + 1.
    """

    formula: str | Formula
    value: Evaluator | Formula | None = None
    reason: str = ""
    relation: str = "="
    gap: Evaluator | Formula | None = None
    equality: Callable[[np.random.Generator], Any] | None = None
    samples: Callable[[Any, np.random.Generator, int], Any] | None = None
    num_samples: int = 20_000
    step: float | None = None
    order: int = 2
    resolution: float | None = None
    relative: bool = False
    exact: bool = False
    infinite: bool = False
    why: str = ""
    needs: str = ""

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS:
            known = ", ".join(RELATIONS)
            raise ValueError(f"Expected `relation` to be one of {known}, but got {self.relation!r}.")
        sources = [self.value is not None or not isinstance(self.formula, str), self.samples is not None]
        if not any(sources):
            raise ValueError(
                f"Expected line {self.formula!r} to have a `value` (a function of the witness) or `samples`, but got "
                "neither. LaTeX alone cannot be evaluated."
            )
        if self.value is not None and self.samples is not None:
            raise ValueError(f"Expected either `value` or `samples` for line {self.latex!r}, but got both.")
        if (self.gap is not None or self.equality is not None) and self.relation not in INEQUALITIES:
            raise ValueError(
                f"Expected `gap` and `equality` on an inequality only, but got relation {self.relation!r}."
            )
        if self.exact and self.relation != "=":
            raise ValueError(f"Expected `exact` on an equation only, but got relation {self.relation!r}.")
        if self.equality is not None and self.samples is not None:
            raise ValueError(f"Expected `equality` on a line with a value, but {self.latex!r} has samples. Use `gap`.")

    def __repr__(self) -> str:
        return printable(f"Line({self.relation} {plain(self.latex)})")

    @property
    def latex(self) -> str:
        return self.formula if isinstance(self.formula, str) else self.formula.latex

    @property
    def rough(self) -> bool:
        """Is its value a mean of samples, or a limit that is not taken, and so only near what is meant?"""
        return self.samples is not None or self.step is not None

    def sign(self, above: Line) -> str:
        """The relation to the line above it, as it is shown: an equation is "≈" where one side is only near."""
        return "≈" if self.relation == "=" and not self.exact and (self.rough or above.rough) else self.relation

    def evaluate(self, witness: Any, step: float | None = None) -> Any:
        """The line's value on a witness; `step` replaces the line's own."""
        return call(self._source, witness, *self._steps(step))

    def measured(self, witness: Any, copies: Sequence[Any], step: float | None = None) -> Value:
        """The line's value on a witness with its allowance; no more copies are looked at than are needed."""
        return measured(self._source, witness, copies, *self._steps(step))

    def prepare(self, witnesses: Sequence[Any], copies: Sequence[Any]) -> None:
        """Compute the line and its gap on all of these at once, if they are formulas: it is then known on each."""
        for formula in (self.formula if self.value is None else self.value, self.gap):
            if self.step is None and (prepare := getattr(formula, "prepare", None)) is not None:
                prepare(witnesses, copies)

    @property
    def _source(self) -> Any:
        if self.samples is not None:
            raise TypeError(
                f"Expected a line with a value, but {self.latex!r} is a sample mean; it needs an rng and an n."
            )
        return self.value if self.value is not None else self.formula

    def _steps(self, step: float | None) -> tuple[float, ...]:
        """The further arguments of a value: none, or a step."""
        return () if self.step is None else (self.step if step is None else step,)


def relation_between(lines: Sequence[Line], first: int, last: int) -> str:
    """The relation of one line to one further down, as it is shown; nothing where nothing follows."""
    steps = range(first + 1, last + 1)
    relation = compose([lines[i].relation for i in steps]) or ""
    near = any(lines[i].sign(lines[i - 1]) == "≈" for i in steps) and (lines[first].rough or lines[last].rough)
    return "≈" if relation == "=" and near else relation


def call(source: Any, *args: Any) -> Any:
    return source(*args) if callable(source) else source.value(*args)


def measured(source: Any, witness: Any, copies: Sequence[Any], *args: float) -> Value:
    """A source on a witness; on copies, where its own error is not asked, a formula need not compute it."""
    bare = getattr(source, "bare_value", None)
    short = None if bare is None else lambda w: bare(w, *args)
    prepare = None if bare is None or args else lambda walk: source.prepare([], walk)
    return measure(lambda w: call(source, w, *args), witness, copies, short, hasty=True, prepare=prepare)


def for_line(formula: Any, index: int, said: tuple[Any, ...] = ()) -> Any:
    """A formula that can be computed by several rules, by that of its line: neighbors share none.

    `said` is what the lines above it, and itself, say of its names.
    """
    return formula.for_line(index, said) if hasattr(formula, "for_line") else formula


def said_by(formula: Any) -> tuple[Any, ...]:
    r"""What a formula says of its names after its commas: f, \quad m = E[w]."""
    return tuple(getattr(formula, "said", ()))


@dataclass(frozen=True)
class Slip:
    """A named, plausible wrong version of one line: another value or another relation.

    Args:
        line: index of the line it replaces (the first line, 0, is the start and cannot slip).
        name: a few words ("no logarithm").
        says: what a teacher would say, without the "It looks like" with which the class lets every such sentence begin.
        value: the wrong value, a function of the witness or a term; or `samples` for a Monte Carlo line.
        relation: the wrong relation.
        latex: the wrong line, where it is worth showing.
        real: where it was found, if it was published.
    """

    line: int
    name: str
    says: str
    value: Evaluator | Formula | None = None
    relation: str | None = None
    samples: Callable[[Any, np.random.Generator, int], Any] | None = None
    latex: str = ""
    real: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.says, str) or isinstance(self.value, str):
            raise TypeError(
                f"Expected slip {self.name!r} to say a sentence and to have a function or a term as its value, but got "
                f"{type(self.says).__name__} and {type(self.value).__name__}. Are the two swapped?"
            )
        object.__setattr__(self, "says", looks_like(self.says))
        if self.value is None and self.samples is None and self.relation is None:
            raise ValueError(f"Expected slip {self.name!r} to change the value or the relation, but got neither.")
        if self.value is not None and self.samples is not None:
            raise ValueError(f"Expected slip {self.name!r} to have either `value` or `samples`, but got both.")

    def __repr__(self) -> str:
        return f"Slip(line {self.line}: {self.name})"

    def apply(self, line: Line) -> Line:
        """The line with this slip in it."""
        changes: dict[str, Any] = {}
        if self.value is not None:
            changes["value"] = self.value
            changes["samples"] = None
        if self.samples is not None:
            changes["samples"] = self.samples
            changes["value"] = None
        if self.relation is not None:
            changes["relation"] = self.relation
            if self.relation not in INEQUALITIES:
                changes |= {"gap": None, "equality": None}
        latex = self.latex or (self.value.latex if not callable(self.value) and self.value is not None else line.latex)
        return replace(line, formula=latex if "value" in changes or "samples" in changes else line.formula, **changes)
