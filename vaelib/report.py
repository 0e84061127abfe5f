"""What a check found: a table that a class can read, as Markdown with LaTeX and as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vaelib._compare import Comparison, Verdict, worst_verdict
from vaelib._latex import for_table, plain
from vaelib.estimate import Estimate


@dataclass(frozen=True)
class Row:
    """One line of a report: the verdict over all witnesses, and the worst comparison on them."""

    line: Any  # the Line
    verdict: Verdict
    comparison: Comparison
    shown: Any  # the value on the witness that the report shows; None where the line could not be evaluated
    compared_with: int | None = None
    relation: str = ""
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What a check found: a table of one witness (the first that breaks, else the first); the verdicts are over all."""

    derivation: Any  # the Derivation
    rows: tuple[Row, ...]
    num_witnesses: int
    seed: int
    shown_witness: int
    _check: Any = field(repr=False, compare=False, default=None)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(row.verdict for row in self.rows)

    @property
    def verdict(self) -> Verdict:
        """Broken if a line is; else inconclusive or not judged if a line is; else holds."""
        return worst_verdict(list(self.verdicts))

    @property
    def holds(self) -> bool:
        """True if every line holds on every witness."""
        return self.verdict is Verdict.HOLDS

    @property
    def broken(self) -> tuple[int, ...]:
        """Indices of the lines that do not follow."""
        return tuple(i for i, row in enumerate(self.rows) if row.verdict is Verdict.BROKEN)

    @property
    def as_expected(self) -> bool:
        """True if exactly the lines of `breaks_at` break and every other line holds."""
        others = [row.verdict for i, row in enumerate(self.rows) if i not in self.derivation.breaks_at]
        return self.broken == tuple(self.derivation.breaks_at) and worst_verdict(others) is Verdict.HOLDS

    @property
    def worst(self) -> Comparison:
        """The comparison with the largest ratio of error to allowance."""
        return max((row.comparison for row in self.rows), key=lambda comparison: comparison.ratio)

    @cached_property
    def slips(self) -> tuple[Any, ...]:
        """Each slip tried on the same witnesses, until its line breaks."""
        return self._check.slip_results()

    def __str__(self) -> str:
        cells = [_cells(i, row, plain) for i, row in enumerate(self.rows)]
        widths = [max(len(line[k]) for line in [_HEAD, *cells]) for k in range(len(_HEAD))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in [_HEAD, *cells]]
        return "\n".join([self._title(), *lines, *self._notes()])

    def _repr_markdown_(self) -> str:
        def markdown(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cells) + " |"

        rows = [markdown(_cells(i, row, for_table, bold=True)) for i, row in enumerate(self.rows)]
        rule = "|--:|:--|:--|--:|--:|--:|:--|"
        return "\n".join([f"**{self._title()}**", "", markdown(_HEAD), rule, *rows, "", *self._notes()])

    def _title(self) -> str:
        count = f"{self.num_witnesses} witness" + ("es" if self.num_witnesses != 1 else "")
        return f"{self.derivation.id} {self.derivation.title}: {self.verdict} ({count}, seed {self.seed})"

    def _notes(self) -> list[str]:
        return [f"Line {i}: {row.note}" for i, row in enumerate(self.rows) if row.note]


_HEAD = ("line", "formula", "reason", "value", "difference", "allowed", "verdict")
_SIGNS = {">=": "≥ ", "<=": "≤ ", "!=": "≠ ", "proportional": "∝ ", "same_argmin": "same argmin: "}


def _cells(index: int, row: Row, render: Callable[[str], str], bold: bool = False) -> tuple[str, ...]:
    sign = "" if index == 0 else _SIGNS.get(row.line.relation, row.line.relation + " ")
    if sign == "< " and bold:
        sign = r"\< "
    compared = index > 0 and row.verdict is not Verdict.NOT_JUDGED and row.shown is not None
    unit = "z = " if row.line.samples is not None and compared else ""
    difference = f"{unit}{row.comparison.error:.2g}" if compared else ""
    allowed = f"{row.comparison.allowance:.2g}" if compared else ""
    verdict = "start" if index == 0 and row.verdict is Verdict.HOLDS else str(row.verdict)
    if bold and row.verdict is not Verdict.HOLDS:
        verdict = f"**{verdict.upper()}**"
    formula = sign + render(row.line.latex)
    value = _number(row.shown, row.comparison.index)
    return (str(index), formula, row.line.reason, value, difference, allowed, verdict)


def _number(shown: Any, index: tuple[int, ...]) -> str:
    if shown is None:
        return ""
    value = shown.value if isinstance(shown, Estimate) else shown
    array = np.asarray(value, dtype=float)
    if array.ndim == 0:
        return f"{float(array):.6g}"
    entry = array[index] if len(index) == array.ndim else array.reshape(-1)[0]
    return f"{float(entry):.6g} (one of {array.size})"
