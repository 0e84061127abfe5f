"""Grading a folder: each notebook in it is a submission; its answers are judged here, with a seed it never sees."""

from __future__ import annotations

import csv
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from vaelib.grade.submission import Asked, Limits, Submission
from vaelib.judge import NOT_ATTEMPTED, RIGHT, Feedback, judge
from vaelib.task import Task
from vaelib.tasks import FILES, all_tasks, tasks_of

POINTS = {"warm-up": 1, "core": 2, "stretch": 3}


@dataclass(frozen=True)
class Marks:
    """What one submission is worth."""

    student: str
    path: Path
    feedback: dict[str, Feedback] = field(default_factory=dict)  # by exercise
    errors: dict[int, str] = field(default_factory=dict)  # by cell
    damaged: str = ""
    output: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def points(self) -> int:
        tasks = all_tasks()
        return sum(POINTS[tasks[id].level] for id, feedback in self.feedback.items() if feedback.state == RIGHT)

    @property
    def possible(self) -> int:
        tasks = all_tasks()
        return sum(POINTS[tasks[id].level] for id in self.feedback)


def grade(
    folder: Path,
    *,
    seed: int,
    limits: Limits | None = None,
    at_once: int | None = None,
    done: Callable[[int], None] = lambda count: None,
) -> list[Marks]:
    """Grades every notebook below `folder`, several at a time, in the order of the students' names.

    Args:
        seed: of the questions; choose it after the submissions are in.
        done: called with the number of submissions that are graded.
    """
    found = sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    notebooks = [path for path in found if not path.name.startswith("._") and path.is_file()]  # macOS leaves such
    if not notebooks:
        raise ValueError(f"Expected notebooks (*.ipynb) in {folder}, but found none.")
    with ThreadPoolExecutor(at_once or os.cpu_count() or 1) as pool:
        futures = [pool.submit(grade_one, path, folder, seed, limits or Limits()) for path in notebooks]
        for count, _ in enumerate(as_completed(futures), start=1):
            done(count)
        return [future.result() for future in futures]


def grade_one(path: Path, folder: Path, seed: int, limits: Limits) -> Marks:
    """The marks of one submission; whatever it does ends here."""
    started = time.monotonic()
    tasks = tasks_in(path)
    marks = Marks(student_of(path, folder), path)
    try:
        with Submission(path, tasks, limits) as submission:
            feedback = {task.id: replace(judge(task, Asked(submission, task), seed), task=task.id) for task in tasks}
            errors = submission.errors | {
                cell: f"This cell was given up: {why}." for cell, why in submission.ended.items()
            }
            marks = replace(
                marks,
                feedback=feedback,
                errors=errors,
                damaged=submission.damaged,
                output=submission.output.decode(errors="replace"),
                megabytes=submission.peak_megabytes(),
            )
    except Exception as error:  # one submission must not end the grading of the others
        blank = Feedback(NOT_ATTEMPTED, ("Could not be graded.",))
        marks = replace(
            marks, feedback=dict.fromkeys((t.id for t in tasks), blank), damaged=f"{type(error).__name__}: {error}"
        )
    return replace(marks, seconds=time.monotonic() - started)


def tasks_in(path: Path) -> list[Task]:
    """The exercises of the notebook that this is a copy of: by ids in it and its name, else by its functions."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    numbers = [id[:2] for id in re.findall(r"check\(\s*\\?[\"'](\d\d\.\d)", text) if id[:2] in FILES]
    numbers += [number for number in re.findall(r"(?<!\d)(\d\d)_", path.name) if number in FILES]
    if not numbers:
        numbers = [task.id[:2] for task in all_tasks().values() if re.search(rf"\b{task.name}\b", text)]
    if not numbers:
        return []
    return list(tasks_of(max(sorted(set(numbers)), key=numbers.count)).values())


def student_of(path: Path, folder: Path) -> str:
    """The folder that the notebook lies in, seen from `folder`; or its own name if it lies in no other."""
    inside = path.relative_to(folder)
    return readable(str(inside.parent) if len(inside.parts) > 1 else inside.stem)


def readable(name: str) -> str:
    """A file's name as text, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "replace")


def write_csv(marks: list[Marks], path: Path) -> None:
    """One row a submission: points, then the state of each exercise and the mistake that was recognized."""
    ids = sorted({id for mark in marks for id in mark.feedback})
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # spreadsheets look for the mark
        writer = csv.writer(file)
        head = [part for id in ids for part in (id, f"{id} looks like")]
        writer.writerow(["student", "file", "points", "possible", *head, "note"])
        for mark in marks:
            cells = [cell for id in ids for cell in _cells(mark.feedback.get(id))]
            writer.writerow(
                [_safe(mark.student), _safe(readable(mark.path.name)), mark.points, mark.possible, *cells, mark.damaged]
            )


def _cells(feedback: Feedback | None) -> tuple[str, str]:
    return ("", "") if feedback is None else (feedback.state, feedback.mistake)


def _safe(text: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
