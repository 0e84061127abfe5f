"""What a check found: a table that a class can read, as Markdown with LaTeX and as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from vaelib._breaks import in_table
from vaelib._latex import aligned, bars, plain, prose, spoken
from vaelib._printable import printable
from vaelib.derivation.compare import Comparison, Verdict, worst_verdict
from vaelib.derivation.signs import SIGNS


@dataclass(frozen=True)
class Row:
    """One line of a report: verdict and worst comparison over all witnesses, and what the table shows of one."""

    line: Any  # the Line
    verdict: Verdict
    comparison: Comparison
    shown: Any = None  # the value on the witness that the table shows; None where the line could not be evaluated
    compared_with: int | None = None
    relation: str = ""
    note: str = ""
    here: Comparison | None = None  # the comparison on the witness that the table shows


@dataclass(frozen=True)
class Report:
    """What a check found: a table of one witness, if possible one that breaks; the verdicts are over all."""

    derivation: Any  # the Derivation
    rows: tuple[Row, ...]
    num_witnesses: int
    seed: int
    shown_witness: int
    _check: Any = field(repr=False, compare=False, default=None)

    def __bool__(self) -> bool:
        raise TypeError(
            f"Expected a comparison such as `report.holds`, but got the report of {self.derivation.id} used as true or "
            "false. A report is there even if the derivation is broken."
        )

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return tuple(row.verdict for row in self.rows)

    @property
    def verdict(self) -> Verdict:
        """Broken if a line is; otherwise inconclusive or not judged if a line is; and holds if every line does."""
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
    def entry(self) -> tuple[int, ...]:
        """The entry that the table shows of every array: where the first broken line is most wrong, or the first."""
        comparisons = (row.here for row in self.rows if row.here is not None)
        return next((here.index for here in comparisons if here.verdict is Verdict.BROKEN), ())

    @property
    def worst(self) -> Comparison:
        """The comparison with the largest ratio of error to allowance."""
        return max((row.comparison for row in self.rows), key=lambda comparison: comparison.ratio)

    @cached_property
    def slips(self) -> SlipTable:
        """Each slip tried on the same witnesses, until its line breaks."""
        return SlipTable(self._check.slip_results())

    @property
    def summary(self) -> str:
        """One line: that everything holds, and by how much; or the first line that does not."""
        count = _witnesses(self.num_witnesses)
        if self.holds:
            return "; ".join([f"{self.derivation.id} holds on {count}", *self._by_how_much()])
        index = self.verdicts.index(self.verdict)
        note = f": {self.rows[index].note}" if self.rows[index].note else ""
        return f"{self.derivation.id} is {self.verdict} at line {index}, on {count}{note}"

    def _by_how_much(self) -> Iterator[str]:
        """The comparison that comes nearest to its allowance, of exact lines and of sample means."""
        comparisons = [row.comparison for row in self.rows if row.compared_with is not None]
        exact = [c for c in comparisons if not c.sampled]
        if exact:
            worst = max(exact, key=lambda c: c.ratio)
            yield f"largest difference {worst.error:.1g}, allowed {worst.allowance:.2g}"
        if sampled := [c for c in comparisons if c.sampled]:
            worst = max(sampled, key=lambda c: c.ratio)
            yield f"largest |z| of a sample mean {worst.error:.2g}, allowed {worst.allowance:.2g}"

    @property
    def table(self) -> Table:
        """Every line with its value, its difference to the line above, and what is allowed."""
        return Table(self)

    def __repr__(self) -> str:
        return str(self)  # a notebook stores it beside the Markdown, so no addresses of functions

    def __str__(self) -> str:
        return printable(self.summary) if self.holds else str(self.table)

    def _repr_markdown_(self) -> str:
        if not self.holds:
            return self.table._repr_markdown_()
        verdict, on = self.summary.split(" on ", 1)
        return f"**{prose(verdict)}** on {prose(on)}"


@dataclass(frozen=True)
class Table:
    """Every line of a report with its value, its difference to the line above, and what is allowed."""

    report: Report

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        table: list[tuple[str, ...]] = [_HEAD]
        for index, verdict, sign, latex, reason, *rest in self._cells():
            shown = SIGNS.get(sign, (sign, ""))[0] + plain(latex)
            table.append(tuple(map(printable, (index, verdict, shown, spoken(reason), *rest))))
        notes = [f"Line {i}: {row.note}" for i, row in enumerate(self.report.rows) if row.note]
        return "\n".join([printable(self._title()), *aligned(table), *map(printable, notes)])

    def _repr_markdown_(self) -> str:
        lines = [f"**{prose(self._title())}**", "", bars(_HEAD), "|--:|:--|:--|:--|--:|--:|--:|"]
        for index, verdict, sign, latex, reason, value, difference, allowed in self._cells():
            verdict = verdict if verdict in ("holds", "start") else f"**{verdict.upper()}**"
            relation = SIGNS.get(sign, ("", ""))[1]  # inside the formula, or it wraps to a separate line
            formula = in_table(relation + latex)
            lines.append(bars((index, verdict, formula, prose(reason), value, prose(difference), allowed)))
        notes = [f"- Line {i}: {prose(row.note)}" for i, row in enumerate(self.report.rows) if row.note]
        return "\n".join([*lines, "", *notes])

    def _title(self) -> str:
        report = self.report
        count = _witnesses(report.num_witnesses)
        return f"{report.derivation.id} {report.derivation.title}: {report.verdict} ({count}, seed {report.seed})"

    def _difference(self, row: Row, here: Comparison, above: Row) -> str:
        """The difference to the line above; of an inequality that holds both values, and by how much it does."""
        if here.slack is None or here.error > 0:
            return ("z = " if here.sampled else "") + f"{here.error:.2g}"
        sides = (_short(above.shown, here.index), _short(row.shown, here.index))
        return f"{sides[0]} {SIGNS[row.relation][0]}{sides[1]}, slack {here.slack:.2g}"

    def _cells(self) -> Iterator[tuple[str, ...]]:
        """For each line its index, verdict, relation, LaTeX, reason, value, difference and allowance."""
        for index, row in enumerate(self.report.rows):
            sign = row.line.sign(self.report.rows[index - 1].line) if index else ""
            difference = allowed = ""
            if row.here is not None and row.compared_with is not None and row.verdict is not Verdict.NOT_JUDGED:
                above = self.report.rows[row.compared_with]
                difference, allowed = self._difference(row, row.here, above), f"{row.here.allowance:.2g}"
            verdict = "start" if index == 0 and row.verdict is Verdict.HOLDS else str(row.verdict)
            value = _number(row.shown, self.report.entry)
            yield (str(index), verdict, sign, row.line.latex, row.line.reason, value, difference, allowed)


@dataclass(frozen=True)
class SlipTable:
    """The slips of a derivation, each tried on the report's witnesses: a sequence of results that shows itself."""

    results: tuple[Any, ...]  # SlipResult

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def __repr__(self) -> str:
        lines = (f"line {line}, {outcome}: {name}. {says}" for line, outcome, name, says in self._cells())
        return printable("\n".join(lines))

    def _repr_markdown_(self) -> str:
        head = [bars(("line", "outcome", "slip", "what the check would say")), "|--:|:--|:--|:--|"]
        return "\n".join([*head, *(bars([prose(cell) for cell in cells]) for cells in self._cells())])

    def _cells(self) -> Iterator[tuple[str, str, str, str]]:
        for result in self.results:
            outcome = "rejected" if result.rejected else f"error: {result.error}" if result.error else "NOT REJECTED"
            name = result.slip.name + (f" ({result.slip.real})" if result.slip.real else "")
            yield str(result.slip.line), outcome, name, result.slip.says


_HEAD = ("line", "verdict", "formula", "reason", "value", "difference", "allowed")


def _witnesses(number: int) -> str:
    return f"{number} witness" + ("es" if number != 1 else "")


def _short(shown: Any, entry: tuple[int, ...]) -> str:
    array = np.asarray(shown, dtype=float)
    return f"{float(array[entry] if array.shape else array):.4g}"


def _number(shown: Any, entry: tuple[int, ...]) -> str:
    if shown is None:
        return ""
    array = np.asarray(shown, dtype=float)
    if array.ndim == 0:
        return f"{float(array):.6g}"
    if len(entry) != array.ndim or any(i >= n for i, n in zip(entry, array.shape, strict=True)):
        entry = (0,) * array.ndim
    return f"{float(array[entry]):.6g} at [{', '.join(map(str, entry))}]"
