"""From results to a gradebook: one row for each student, which of several notebooks counts, and what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vaelib.grade.collect import Collected, Found, Unread
from vaelib.grade.marks import POINTS, Marks
from vaelib.grade.names import Person, how_alike
from vaelib.grade.roster import Listed
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, Feedback
from vaelib.tasks import all_tasks, tasks_of

OURS = "Could not be graded."  # the line of feedback on an exercise of which nothing was learned


@dataclass(frozen=True)
class Scored:
    """One notebook that was graded. `points` is None where nothing could be graded, for that is not a zero."""

    found: Found
    marks: Marks
    points: float | None

    @property
    def number(self) -> str:
        return self.found.handed_in.notebook


@dataclass
class Row:
    """What one student gets.

    Attributes:
        counted: the notebook that counts, for each set of exercises. others: those that do not.
        possible: points of the exercises that were handed in, or asked for. added: points that the teacher gave.
    """

    student: str
    person: Person
    listed: Listed | None = None
    counted: dict[str, Scored] = field(default_factory=dict)
    others: list[Scored] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    possible: int = 0
    late: bool = False
    missing: bool = False
    comment: str = ""
    added: float = 0.0

    @property
    def points(self) -> float | None:
        """None if nothing could be graded."""
        each = [scored.points for scored in self.counted.values()]
        if not each or None in each:
            return self.added if self.added else None
        return sum(points for points in each if points is not None) + self.added

    @property
    def feedback(self) -> dict[str, Feedback]:
        return {id: feedback for scored in self.counted.values() for id, feedback in scored.marks.feedback.items()}

    @property
    def odd(self) -> list[str]:
        return list(dict.fromkeys(note for scored in self._all() for note in scored.marks.odd))

    @property
    def files(self) -> list[str]:
        """Where what counts came from; what was graded and does not count is marked."""
        counted = [scored.found.handed_in.source for scored in self.counted.values()]
        return [*counted, *(f"{scored.found.handed_in.source} (does not count)" for scored in self.others)]

    @property
    def notes(self) -> list[str]:
        """All that is to be known about this row, in words, and the first errors of what counts."""
        errors = self.errors
        more = [f"{len(errors) - 3} more cells raised errors."] if len(errors) > 3 else []
        return [*self.happened, *errors[:3], *more]

    @property
    def errors(self) -> list[str]:
        """What failed in which cell of what counts."""
        return [
            f"Code cell {_place(scored.found.handed_in.cells, at)} {text}"
            for scored in self.counted.values()
            for at, text in scored.marks.errors.items()
        ]

    @property
    def happened(self) -> list[str]:
        """What happened to this row, but for errors in cells."""
        said: list[str] = []
        if self.missing:
            said.append("Nothing was handed in.")
        for scored in self.counted.values():
            marks = scored.marks
            if marks.damaged:
                said.append(f"Could not be run as it is: {marks.damaged}")
            said += [*scored.found.handed_in.notes, *marks.notes]
        said += [f"{each.source}: {each.reason}" if each.source else each.reason for each in self.unread]
        return list(dict.fromkeys([*said, *self.remarks]))

    def _all(self) -> list[Scored]:
        return [*self.counted.values(), *self.others]


@dataclass
class Gradebook:
    """Everything that is written down: rows in the order of the roster, or of the alphabet; how they came about."""

    rows: list[Row]
    numbers: list[str]  # of the sets of exercises
    nobodys: list[Unread]
    remarks: list[str]
    seed: int
    version: str
    date: str
    keep: str = "best"
    partial: float = 0.0

    @property
    def ids(self) -> list[str]:
        return [id for number in self.numbers for id in tasks_of(number)]

    @property
    def possible(self) -> int:
        return points_in(self.numbers)

    @property
    def failed(self) -> list[Row]:
        """Rows to which no grade could be given, although a notebook was read."""
        return [row for row in self.rows if any(scored.points is None for scored in row.counted.values())]


def _place(cells: Sequence[str], at: int) -> str:
    """Which cell that is: its number among the code cells, and how it begins."""
    lines = cells[at].strip().splitlines() if 0 <= at < len(cells) else []
    return f"{at + 1} (`{lines[0][:60]}`):" if lines else f"{at + 1}:"


def points_in(numbers: Iterable[str]) -> int:
    """Points of all exercises of these notebooks."""
    return sum(POINTS[task.level] for number in numbers for task in tasks_of(number).values())


def points_of(marks: Marks, partial: float = 0.0) -> float | None:
    """Points of a notebook: all for what is right, a share for a mistake with a name; None if none can be given.

    Args:
        partial: the share of an exercise's points, from 0 to 1, that a named mistake earns.
    """
    if is_ours(marks):
        return None
    tasks = all_tasks()
    total = 0.0
    for id, feedback in marks.feedback.items():
        share = 1.0 if feedback.state == RIGHT else partial if feedback.state == NOT_YET and feedback.mistake else 0.0
        total += share * POINTS[tasks[id].level]
    return total


def is_ours(marks: Marks) -> bool:
    """Was the grading itself what failed, as far as one can tell?"""
    return any(feedback.lines == (OURS,) for feedback in marks.feedback.values())


def gradebook(
    collected: Collected,
    results: Mapping[str, Marks],
    *,
    order: Sequence[Listed] | None,
    who: Mapping[str, Listed],
    exercises: Sequence[str],
    keep: str,
    partial: float,
    comments: Mapping[str, tuple[str, float]],
    remarks: Sequence[str] = (),
    seed: int,
    version: str,
    date: str,
) -> Gradebook:
    """Puts results together.

    Args:
        results: by the key of what was handed in. who: the student's name -> the person on the roster.
        order: of the roster; None without one. exercises: those asked for; those handed in if empty.
        keep: "best" or "last" of several notebooks with the same exercises.
        comments: by the student's name: the teacher's comment, and points to add.
    """
    rows = {student: Row(student, person, who.get(student)) for student, person in collected.people.items()}
    for listed in order or ():
        if listed.shown not in rows:
            rows[listed.shown] = Row(listed.shown, Person(listed.name), listed, missing=True)
    for found in collected.found:
        marks = results[found.key]
        rows[found.handed_in.student].others.append(Scored(found, marks, points_of(marks, partial)))
    numbers = sorted(set(exercises) or {found.handed_in.notebook for found in collected.found})
    for row in rows.values():
        _choose(row, keep)
        row.possible = points_in(exercises or row.counted)
        row.late = any(scored.found.late for scored in row.counted.values())
        row.unread = [unread for unread in collected.unread if unread.student == row.student]
        row.remarks += collected.notes.get(row.student, [])
        if order is not None and row.listed is None:
            row.remarks.append("Not on the roster.")
        row.comment, row.added = comments.get(row.student, ("", 0.0))
    place = {listed.shown: at for at, listed in enumerate(order or ())}
    ordered = sorted(rows.values(), key=lambda row: (place.get(row.student, len(place)), row.student.casefold()))
    nobodys = [unread for unread in collected.unread if not unread.student]
    return Gradebook(ordered, numbers, nobodys, list(remarks), seed, version, date, keep, partial)


def _choose(row: Row, keep: str) -> None:
    """Of several notebooks with the same exercises one counts: the best, of equals the last; or simply the last."""
    candidates, row.others = row.others, []
    for number in sorted({scored.number for scored in candidates}):
        several = sorted((s for s in candidates if s.number == number), key=lambda scored: scored.found.when)
        if keep == "best":
            several.sort(key=lambda scored: -1.0 if scored.points is None else scored.points)
        row.counted[number] = several[-1]
        row.others += several[:-1]
        if len(several) > 1:
            row.remarks.append(f"{len(several)} notebooks with exercises {number}; the {keep} one counts.")


def changes(book: Gradebook, before: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What is different from the table before, in words: "Ada: 04.2 not yet -> right"."""
    said = []
    old = {row.student: _same_name(row.student, before) for row in book.rows}
    for row in book.rows:
        states = before.get(old[row.student])
        if states is None:
            if before and not row.missing:
                said.append(f"{row.student}: new")
            continue
        moved = [
            f"{id} {states.get(id) or 'nothing'} -> {feedback.state}"
            for id, feedback in row.feedback.items()
            if states.get(id, "") != feedback.state
        ]
        gone = [f"{id} {states[id]} -> nothing" for id in book.ids if states.get(id) and id not in row.feedback]
        if moved or gone:
            said.append(f"{row.student}: {', '.join([*moved, *gone])}")
    return said + [f"{student}: not here any more" for student in before if student not in old.values()]


def _same_name(student: str, names: Iterable[str]) -> str:
    """The name among these, or the only one that is spelled in another way."""
    listed = list(names)
    alike = [name for name in listed if how_alike(student, name) >= 2]
    return student if student in listed or len(alike) != 1 else alike[0]


def tried(feedback: Iterable[Feedback]) -> int:
    """How many of these are an attempt."""
    return sum(each.state != NOT_ATTEMPTED for each in feedback)
