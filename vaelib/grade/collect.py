"""What was handed in: the exercise notebooks of the students, read before the first of them runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HandedIn:
    """One exercise notebook of one student, read and copied before the first submission runs."""

    student: str  # as shown
    source: str  # where it came from, as text
    notebook: str  # which exercises: "04"
    cells: tuple[str, ...]  # sources of its code cells, as typed
    files: Path | None = None  # a private copy of what lay beside the notebook (bounded); None if nothing did
    notes: tuple[str, ...] = ()  # what was odd about it, in words
