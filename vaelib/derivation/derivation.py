"""A derivation is a chain of lines; each line can be evaluated; a check finds the first step that does not follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from vaelib.derivation.board import Board, written
from vaelib.derivation.chain import Chain
from vaelib.derivation.checking import Check
from vaelib.derivation.lines import Evaluator, Formula, Line, Slip, for_line, said_by
from vaelib.derivation.report import Report
from vaelib.derivation.reveal import Steps
from vaelib.formula.given import Sampled


def _latest_last(clauses: Iterable[Any]) -> tuple[Any, ...]:
    """Each clause once, where it was said last: a name that is defined twice has its latest meaning."""
    return tuple(reversed(dict.fromkeys(reversed(tuple(clauses)))))


@dataclass(frozen=True)
class Derivation(Board):
    """A chain of lines with the witnesses on which they are evaluated.

    Args:
        id: number in the ledger ("F1").
        title: a few words.
        draw: rng -> witness, a frozen dataclass of inputs only (never of results). If it takes an argument `kind`,
            every second witness is a special one: narrow, wide, near, far (see `vaelib.witnesses`).
        lines: at least two; each is related to the line above it.
        slips: wrong versions that the check must reject.
        assumptions: what must hold for the chain to be true.
        source: paper and equation, or note.
        breaks_at: for a published chain with mistakes, the lines (from 0) at which it is known to break.
    """

    id: str
    title: str
    draw: Callable[[np.random.Generator], Any]
    lines: tuple[Line, ...]
    slips: tuple[Slip, ...] = ()
    assumptions: str = ""
    source: str = ""
    breaks_at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        said = [said_by(line.formula) for line in self.lines]  # what a line says of its names holds below it, too
        above = [_latest_last(chain.from_iterable(said[: i + 1])) for i in range(len(said))]
        lines = tuple(
            replace(line, formula=for_line(line.formula, i, above[i]), gap=for_line(line.gap, i, above[max(i - 1, 0)]))
            for i, line in enumerate(self.lines)
        )
        object.__setattr__(self, "lines", lines)
        slips = tuple(
            replace(slip, value=for_line(slip.value, slip.line, above[slip.line])) if slip.line < len(lines) else slip
            for slip in self.slips
        )
        object.__setattr__(self, "slips", slips)
        object.__setattr__(self, "breaks_at", tuple(sorted(self.breaks_at)))
        if len(self.lines) < 2:
            raise ValueError(f"Expected at least two lines in {self.id}, but got {len(self.lines)}.")
        if any(not 0 <= index < len(self.lines) for index in self.breaks_at):
            raise ValueError(
                f"Expected `breaks_at` of {self.id} to be among 0 to {len(self.lines) - 1}, but got {self.breaks_at}."
            )
        for slip in self.slips:
            if not 1 <= slip.line < len(self.lines):
                raise ValueError(
                    f"Expected slip {slip.name!r} of {self.id} to replace one of the lines 1 to {len(self.lines) - 1}, "
                    f"but got line {slip.line}. Line 0 is the start: there is nothing above it."
                )

    def __repr__(self) -> str:
        return str(self.chain())

    def _repr_markdown_(self) -> str:
        return self.chain()._repr_markdown_()

    def chain(self, lines: Iterable[int] | slice | None = None) -> Chain:
        """The lines with their rules, as on the board, to be shown at the end of a cell.

        Args:
            lines: which of them, from top to bottom, such as `range(3)` or `(0, 2, 3)`; all of them unless given.

        Raises:
            IndexError, ValueError: there is no such line; they do not go from top to bottom, each once.
            TypeError: this is a number, and no collection of them.
        """
        return Chain.of(self, lines)

    def steps(self, lines: Iterable[int] | slice | None = None) -> Steps:
        """The same, uncovered line by line by a click: first the rule is asked for, then told, then the line is shown.

        Example: F1.steps(), F1.steps(lines=range(4))
        """
        return Steps(self.chain(lines))

    def with_next(self, line: Line, breaks: bool = False) -> Derivation:
        """The chain with one line more; `breaks` if it is known not to follow."""
        where = (*self.breaks_at, len(self.lines)) if breaks else self.breaks_at
        return replace(self, lines=(*self.lines, line), breaks_at=where)

    def slip(
        self,
        name: str,
        formula: Any = None,
        says: str = "",
        *,
        relation: str | None = None,
        real: str = "",
    ) -> Derivation:
        """A wrong version of the last line, which the check must reject.

        Args:
            name: a few words ("no logarithm").
            formula: what takes its place, wrong: a tree, a term, `given(...)`, or `sampled(...)`.
            says: what a teacher would say, without the "It looks like" with which every such sentence begins.
            relation: the wrong relation, where that is what is wrong.
            real: where it was found, if it was published.
        """
        drawn, value = (formula, None) if isinstance(formula, Sampled) else (None, formula)
        slip = Slip(
            len(self.lines) - 1,
            name,
            says,
            value,
            relation,
            None if drawn is None else drawn.function,
            "" if drawn is None else drawn.latex,
            real,
        )
        return replace(self, slips=(*self.slips, slip))

    def slip_of(self, other: Derivation, name: str) -> Derivation:
        """A slip that another chain knows by this name, made in the last line of this one."""
        return replace(self, slips=(*self.slips, replace(other.known_slip(name), line=len(self.lines) - 1)))

    def known_slip(self, name: str) -> Slip:
        """One of the slips of this chain, by its name."""
        found = [slip for slip in self.slips if slip.name == name]
        if not found:
            names = ", ".join(repr(slip.name) for slip in self.slips)
            raise ValueError(f"Expected one of the slips of {self.id} ({names}), but got {name!r}.")
        return found[0]

    @property
    def chapter(self) -> str:
        return self.id[:1]

    def check(self, witnesses: int | Sequence[Any] = 8, seed: int = 0) -> Report:
        """Evaluate every line on the witnesses (a number to draw, or a sequence) and judge each step."""
        return Check(self, witnesses, seed).report()

    def with_line(self, index: int, line: Line | Formula | Evaluator, latex: str = "") -> Derivation:
        """The same chain with your own line at `index`; relation and gap stay as they are, unless you give a Line.

        Args:
            line: a term, a function of the witness (shown as `latex`), or a whole Line.
        """
        if not 0 <= index < len(self.lines):
            raise IndexError(f"Expected a line from 0 to {len(self.lines) - 1}, but got {index}.")
        if not (callable(line) or isinstance(line, Line) or hasattr(line, "latex")):
            raise TypeError(
                f"Expected a term, a function of the witness or a Line, but got {line!r}. "
                "Is it a value that was computed already?"
            )
        old = self.lines[index]
        if not isinstance(line, Line):
            formula = (latex or r"\ldots") if callable(line) else line
            value = line if callable(line) else None
            line = Line(formula, value, "your line", old.relation, old.gap, old.equality, resolution=old.resolution)
            line = replace(line, relative=old.relative)
        return replace(self, lines=(*self.lines[:index], line, *self.lines[index + 1 :]))

    def with_slip(self, name: str) -> Derivation:
        """The same chain with one of its slips put in, by the slip's name."""
        slip = self.known_slip(name)
        return self.with_line(slip.line, slip.apply(self.lines[slip.line]))


@dataclass(frozen=True)
class Beginning(Board):
    """A derivation of which only the head, or the head and the start, are written."""

    about: dict[str, Any]
    first: Line | None = None

    def start(self, formula: Any, *, why: str = "", needs: str = "", **about: Any) -> Beginning:
        """The line from which the chain starts."""
        return replace(self, first=written(formula, why=why, needs=needs, **about))

    def with_next(self, line: Line, breaks: bool = False) -> Derivation:
        if self.first is None:
            raise ValueError(f"Expected {self.about['id']} to begin with `.start(...)`, but got a line that follows.")
        return Derivation(**self.about, lines=(self.first, line), breaks_at=(1,) if breaks else ())


def derive(id: str, title: str, draw: Callable[..., Any], *, assumptions: str = "", source: str = "") -> Beginning:
    """The head of a derivation; go on with `.start(formula)`, then `.eq(formula, rule)`, `.ge(...)`, `.slip(...)`.

    Args:
        id: number in the ledger ("F1").
        title: a few words.
        draw: rng -> witness, a frozen dataclass of inputs.
        assumptions: what must hold for the chain to be true.
        source: paper and equation, or note.
    """
    return Beginning({"id": id, "title": title, "draw": draw, "assumptions": assumptions, "source": source})
