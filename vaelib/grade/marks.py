"""Grading what was handed in: answers of submissions are judged here, with a seed that no submission sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vaelib._cores import given
from vaelib.grade.collect import HandedIn
from vaelib.grade.limits import Limits
from vaelib.grade.pool import Graded, Pool
from vaelib.judge import Feedback

POINTS = {"warm-up": 1, "core": 2, "stretch": 3}


@dataclass(frozen=True)
class Marks:
    """What one submission is worth."""

    student: str
    source: str
    feedback: dict[str, Feedback] = field(default_factory=dict)  # by exercise
    errors: dict[int, str] = field(default_factory=dict)  # by cell
    damaged: str = ""
    output: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    notes: tuple[str, ...] = ()  # what happened, in words
    odd: tuple[str, ...] = ()  # what is worth a look, in words


def grade_all(
    submissions: list[HandedIn],
    seed: int,
    limits: Limits | None = None,
    at_once: int | None = None,
    done: Callable[[Marks], None] = lambda marks: None,
) -> list[Marks]:
    """The marks of all submissions, in their order.

    Args:
        seed: of the questions; choose it after the submissions are in.
        at_once: how many are graded at a time; by default as many as there are cores for this process.
        done: called with the marks of each as soon as they are there.

    Raises:
        CannotGrade: no submission can be run here; that is nobody's mark.
    """
    pool = Pool(submissions, seed, limits or Limits(), at_once or given())
    marks: dict[int, Marks] = {}
    for index, graded in pool.results():
        marks[index] = _marks(submissions[index], graded)
        done(marks[index])
    return [marks[index] for index in range(len(submissions))]


def grade_one(handed_in: HandedIn, seed: int, limits: Limits | None = None) -> Marks:
    """The marks of one submission; whatever it does ends here."""
    (marks,) = grade_all([handed_in], seed, limits, at_once=1)
    return marks


def _marks(handed_in: HandedIn, graded: Graded) -> Marks:
    story = graded.story
    given_up = {cell: f"This cell was given up: {why}." for cell, why in story.ended.items()}
    return Marks(
        handed_in.student,
        handed_in.source,
        graded.feedback,
        errors=dict(sorted((story.errors | given_up).items())),
        damaged=story.damaged,
        output=story.output.decode(errors="replace"),
        seconds=graded.seconds,
        megabytes=story.megabytes,
        notes=(*handed_in.notes, *graded.notes, *story.forbidden),
        odd=tuple(story.odd),
    )
