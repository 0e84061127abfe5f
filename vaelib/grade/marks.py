"""Grading what was handed in: answers of submissions are judged here, with a seed that no submission sees."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

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
        at_once: how many are graded at a time; by default as many as there are cores.
        done: called with the marks of each as soon as they are there.

    Raises:
        CannotGrade: no submission can be run here; that is nobody's mark.
    """
    pool = Pool(submissions, seed, limits or Limits(), at_once or os.cpu_count() or 1)
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
<<<<<<< HEAD
=======


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
                [
                    _safe(mark.student),
                    _safe(readable(Path(mark.source).name)),
                    mark.points,
                    mark.possible,
                    *cells,
                    mark.damaged,
                ]
            )


def _cells(feedback: Feedback | None) -> tuple[str, str]:
    return ("", "") if feedback is None else (feedback.state, feedback.mistake)


def _safe(text: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
>>>>>>> engine
