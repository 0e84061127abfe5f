"""What is said on the terminal after a grading: counts, what was not understood, who is missing, what has changed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from vaelib.grade.grading import Outcome
from vaelib.grade.shelf import MADE
from vaelib.grade.tables import COMMENTS

SHOWN = 20  # lines of one kind; the rest is in teacher.html


def lines(outcome: Outcome, out: Path) -> list[str]:
    """The report, short: each list only if there is something in it."""
    book = outcome.book
    graded = [row for row in book.rows if row.counted and row not in book.failed]
    unread = [unread for row in book.rows for unread in row.unread] + book.nobodys
    nothing = [row for row in book.rows if not row.counted and not row.missing]
    missing = [row.student for row in book.rows if row.missing]
    late = sum(row.late for row in book.rows)
    parts = [_count(len(graded), "student graded", "students graded")]
    parts += [f"{len(nothing)} handed in nothing that could be graded"] if nothing else []
    parts += [f"{len(missing)} missing"] if missing else []
    parts += [f"{late} late"] if late else []
    parts += [f"{outcome.kept} results kept from before"] if outcome.kept else []
    said = [f"{', '.join(parts)}; seed {book.seed}."]
    if len(book.numbers) > 1:
        each = {n: sum(n in row.counted for row in book.rows) for n in book.numbers}
        said.append(f"Exercises handed in: {', '.join(f'{n} by {count}' for n, count in each.items())}.")
    told = [(each.student or "(nobody)", each.source, each.reason) for each in unread]
    said += _listed("Not understood:", [": ".join(filter(None, parts)) for parts in told])
    said += _listed("Missing:", [", ".join(missing)] if missing else [])
    said += _listed("Remarks:", book.remarks)
    said += _listed("Worth a look:", [f"{row.student}: {note}" for row in book.rows for note in row.odd])
    if outcome.before:
        said += _listed("Changed:", outcome.changed) or ["Nothing has changed since the last time."]
    if book.failed:
        names = ", ".join(row.student for row in book.failed)
        said.append(f"NO GRADE could be given to these, and none got a 0 for it: {names}. Try again with --resume.")
    here = [name for name in (*MADE, COMMENTS) if (out / name).exists()]
    said.append(f"In {shlex.quote(str(out))}: {', '.join(here)}.")
    return said


def _listed(head: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = [f"  and {len(items) - SHOWN} more, in teacher.html"] if len(items) > SHOWN else []
    return [head, *(f"  {item}" for item in items[:SHOWN]), *more]


def _count(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
