"""Grading what was handed in: answers of submissions are judged here, with a seed that no submission sees."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace

from vaelib.grade.collect import HandedIn
from vaelib.grade.submission import Asked, Limits, Submission
from vaelib.judge import NOT_ATTEMPTED, Feedback, judge
from vaelib.tasks import tasks_of

POINTS = {"warm-up": 1, "core": 2, "stretch": 3}


class CannotGrade(Exception):
    """The grader itself failed: no student is to blame, and none gets a 0 for it."""


@dataclass(frozen=True)
class Marks:
    """What came of one submission."""

    student: str
    source: str
    feedback: dict[str, Feedback] = field(default_factory=dict)  # by exercise
    errors: dict[int, str] = field(default_factory=dict)  # by cell
    damaged: str = ""
    output: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    notes: tuple[str, ...] = ()  # what happened, in words
    odd: tuple[str, ...] = ()  # what looked odd


def grade_all(
    handed_in: Sequence[HandedIn],
    seed: int,
    limits: Limits,
    at_once: int | None = None,
    done: Callable[[Marks], None] = lambda marks: None,
) -> list[Marks]:
    """Grades them all, several at a time; `done` is called with each result as it comes."""
    pool = ThreadPoolExecutor(at_once or os.cpu_count() or 1)
    try:
        futures = [pool.submit(grade_one, each, seed, limits) for each in handed_in]
        for future in as_completed(futures):
            done(future.result())
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)


def grade_one(handed_in: HandedIn, seed: int, limits: Limits) -> Marks:
    """The marks of one submission; whatever it does ends here."""
    started = time.monotonic()
    tasks = list(tasks_of(handed_in.notebook).values())
    marks = Marks(handed_in.student, handed_in.source, notes=handed_in.notes)
    try:
        with Submission(handed_in, tasks, limits) as submission:
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
