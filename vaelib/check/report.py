"""What is said of a document: a table for the terminal, and a dictionary for a JSON file."""

from __future__ import annotations

import math
from typing import Any

from vaelib.check.document import Checked
from vaelib.check.verdicts import Judged

MARKS = {
    **{"follows": "ok", "definition": "def", "start": "", "does not follow": "NO", "sloppy": "ok~"},
    **{"cannot be read": "??", "no meaning": "--"},
}
MARKED = {  # a sign and a word, where there is room for both
    "follows": ("✓", "follows"),
    "does not follow": ("✗", "does not follow"),
    "cannot be read": ("?", "not read"),
    "no meaning": ("–", "no meaning here"),
    "sloppy": ("≈", "follows, sloppily"),
    "definition": ("≔", "definition"),
    "start": ("", ""),
}
WIDE = 68  # characters of a source that are shown


def as_dict(checked: Checked) -> dict[str, Any]:
    """One entry of "files": the reading, the lines with their verdicts, how many were judged of how many."""
    return {
        "file": checked.name,
        "reading": checked.reading,
        "lines": [_line(judged) for judged in checked.lines],
        "judged": checked.judged,
        "total": checked.total,
    }


def _line(judged: Judged) -> dict[str, Any]:
    values = [v if math.isfinite(v) else None for v in judged.values] if judged.values is not None else None
    line = judged.line
    return {
        "source": line.source,
        "row": line.row,
        "relation": line.relation,
        "verdict": judged.verdict,
        "compared_with": judged.compared_with or None,
        "values": values,
        "repair": judged.repair or None,
        "says": f"Cell {line.cell}: {judged.says}".rstrip(": ") if line.cell else judged.says,
    }


def lines(checked: Checked) -> list[str]:
    """The table: the row, a mark, the line; below a line that does not follow what was compared."""
    found = [f"{checked.name}: {checked.reading}"]
    for judged in checked.lines:
        line = judged.line
        if judged.verdict == "start":
            continue
        place = f"{line.cell}:{line.row}" if line.cell else str(line.row)
        found.append(f"{place:>7} {MARKS[judged.verdict]:>4}  {_short(line.source)}")
        if judged.verdict == "does not follow":
            found.append(f"{'':13}{judged.says}")
            if judged.compared_with and judged.compared_with != line.source:
                found.append(f"{'':13}compared with: {_short(judged.compared_with)}")
            if judged.values is not None:
                found.append(f"{'':13}{judged.values[0]:.6g} there, {judged.values[1]:.6g} here")
            if judged.repair:
                found.append(f"{'':13}{named(judged)}: {judged.repair}")
        elif judged.verdict in ("cannot be read", "no meaning", "sloppy") and judged.says:
            found.append(f"{'':13}{judged.says}")
    return [*found, coverage(checked)]


def named(judged: Judged) -> str:
    """What is put in front of a repair."""
    return "nearest right line, in place of the one above" if judged.repairs_above else "nearest right line"


def coverage(checked: Checked) -> str:
    """How much was judged, and what came of it, in one sentence."""
    if not checked.total:
        return "No line to judge: no formula with a relation was found."
    if not checked.judged:
        return f"0 of {checked.total} lines judged: see above why."
    wrong = sum(judged.verdict == "does not follow" for judged in checked.lines)
    stated = sum(judged.verdict == "definition" for judged in checked.lines)
    one = "is a definition or an assumption, which claims nothing"
    several = "are definitions or assumptions, which claim nothing"
    of_these = f" ({stated} {one if stated == 1 else several})" if stated else ""
    outcome = f"{wrong} of them {'does' if wrong == 1 else 'do'} not follow" if wrong else "all that was read follows"
    return f"{checked.judged} of {checked.total} lines judged{of_these}; {outcome}."


def _short(source: str) -> str:
    return source if len(source) <= WIDE else source[: WIDE - 3] + "..."
