"""A chain as it is shown: line, formula with the changed part underlined, rule, why here, what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vaelib._breaks import in_table
from vaelib._latex import aligned, bars, plain, prose, spoken
from vaelib._printable import printable
from vaelib.derivation.changes import underlined
from vaelib.derivation.lines import relation_between
from vaelib.derivation.signs import SIGNS


@dataclass(frozen=True)
class Chain:
    """Some lines of a derivation, to be shown at the end of a cell or on a terminal."""

    derivation: Any
    lines: tuple[int, ...]

    @classmethod
    def of(cls, derivation: Any, lines: Iterable[int] | slice | None) -> Chain:
        number = len(derivation.lines)
        everything = range(number)
        chosen = everything if lines is None else everything[lines] if isinstance(lines, slice) else lines
        if not hasattr(chosen, "__iter__"):
            raise TypeError(f"Expected lines as in `lines=range(3)` or `lines=(0, 2)`, but got {lines!r}.")
        chosen = tuple(chosen)
        if bad := [i for i in chosen if i not in everything]:
            raise IndexError(f"Expected lines of {derivation.id} from 0 to {number - 1}, but got {bad[0]!r}.")
        if back := [pair for pair in pairwise(chosen) if pair[0] >= pair[1]]:
            raise ValueError(
                f"Expected lines of {derivation.id} from top to bottom, each once, but got {back[0][1]} after"
                f" {back[0][0]}. A line is shown with its relation to the one above, which another order may break."
            )
        return cls(derivation, chosen)

    def __repr__(self) -> str:
        rows: list[tuple[str, ...]] = [tuple(map(printable, (str(i), *row))) for i, *row in self._rows(latex=False)]
        head, *rows = self._without_empty([_HEAD, *rows])
        return "\n".join([printable(spoken(self._title())), *aligned([head, *rows])])

    def _repr_markdown_(self) -> str:
        rows: list[tuple[str, ...]] = [
            (str(i), in_table(latex), prose(rule), prose(why), prose(needs))
            for i, latex, rule, why, needs in self._rows()
        ]
        head, *rows = self._without_empty([_HEAD, *rows])
        table = [head, ("--:", *[":--"] * (len(head) - 1)), *rows]
        return "\n".join([f"**{prose(self._title())}**", "", *map(bars, table)])

    def _title(self) -> str:
        about = self.derivation.assumptions
        return f"{self.derivation.id}: {self.derivation.title}" + (f" ({about})" if about else "")

    def _rows(self, latex: bool = True) -> Iterable[tuple[int, str, str, str, str]]:
        all_lines = self.derivation.lines
        for position, i in enumerate(self.lines):
            before = self.lines[position - 1] if position else None
            line, above = all_lines[i], all_lines[before] if before is not None else None
            sign = SIGNS.get(self._relation(before, i), ("", ""))
            follows = above is not None and before == i - 1
            if latex:
                text = sign[1] + (underlined(above.formula, line.formula) if follows and above else line.latex)
            else:
                text = sign[0] + plain(line.latex)
            words = (line.reason, line.why, line.needs)
            yield i, text, *(words if latex else map(spoken, words))

    def _relation(self, before: int | None, i: int) -> str:
        """Of line i to the one that is shown above it; nothing where the two together say nothing."""
        lines = self.derivation.lines
        if before is not None:
            return relation_between(lines, before, i)
        return lines[i].sign(lines[i - 1]) if i else ""

    @staticmethod
    def _without_empty(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Without the columns that say nothing."""
        kept = [c for c in range(len(rows[0])) if c < 2 or any(row[c] for row in rows[1:])]
        return [tuple(row[c] for c in kept) for row in rows]


_HEAD = ("line", "formula", "rule", "why here", "needs")
