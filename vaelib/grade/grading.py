"""A grading from the door to the shelf: collect everything, grade what is missing, and write it down in one step."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from vaelib.grade import tables
from vaelib.grade.collect import Collected, collect, with_student
from vaelib.grade.gradebook import Gradebook, changes, gradebook, is_ours
from vaelib.grade.journal import Earlier, Journal
from vaelib.grade.limits import Limits
from vaelib.grade.marks import Marks, grade_all
from vaelib.grade.pages import prepare
from vaelib.grade.pool import conditions
from vaelib.grade.roster import Listed, Roster, match, read_roster
from vaelib.grade.shelf import GradingError, claimed, require_out, require_own, write
from vaelib.tasks import FILES


@dataclass(frozen=True)
class Options:
    """How to grade.

    Attributes:
        exercises: numbers of exercise notebooks, "04"; all that were handed in if empty.
        seed: of the questions; that of the earlier grading in the same folder, or a new one, if None.
        keep: "best" or "last" of several notebooks with the same exercises.
        partial: the share of the points that a named mistake earns, from 0 to 1.
        resume: keep the results of the earlier grading for what has not changed since.
        assignment: the head of Canvas' column.
    """

    exercises: tuple[str, ...] = ()
    seed: int | None = None
    keep: str = "best"
    partial: float = 0.0
    resume: bool = False
    roster: Path | None = None
    assignment: str = ""
    at_once: int | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass
class Outcome:
    """What a grading came to: the gradebook, what has changed since the one before, how many results were kept."""

    book: Gradebook
    changed: list[str]
    kept: int
    before: bool


def exercise_numbers(given: Sequence[str]) -> tuple[str, ...]:
    """Numbers of exercise notebooks as they are typed, "4" or "04" or "04,05", as they are named here.

    Raises:
        GradingError: there is no such notebook.

    Example:
        >>> exercise_numbers(["4", "05,06"])
        ('04', '05', '06')
    """
    numbers = [part.strip().zfill(2) for text in given for part in text.split(",")]
    for number in numbers:
        if number not in FILES:
            raise GradingError(f"Expected --exercise to be one of {', '.join(sorted(FILES))}, but got {number!r}.")
    return tuple(dict.fromkeys(numbers))


def grade(
    submissions: Path,
    out: Path,
    options: Options,
    *,
    version: str,
    fresh_seed: Callable[[], int],
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Grades what lies in `submissions` and writes everything into `out`.

    Nothing runs before all that was handed in is read, the roster and the comments are understood, and the folder is
    found to be ours and writable. Results are kept in a journal as they come.

    Raises:
        GradingError, OSError: before anything runs. KeyboardInterrupt: passed on, with the results kept.
    """
    require_submissions(submissions)
    require_out(out, submissions)
    roster = None if options.roster is None else _roster(options.roster)
    comments = _comments(out)
    before, seed_before = _table_before(out)
    prepare()
    with claimed(out, submissions) as journal, _space() as space:
        collected = collect(submissions, space, options.exercises)
        if not collected.people and not collected.unread:
            raise GradingError(f"Expected notebooks, scripts or zips in {submissions}, but found none.")
        order, who, remarks = _on_the_roster(roster, collected)
        say(str(conditions(options.limits)))
        seed = _seed(options, journal.earlier, seed_before, fresh_seed)
        kept = _kept(options, journal.earlier, collected, seed, version, say)
        journal.begin(seed, version, kept)
        results = _graded(collected, kept, seed, options, journal, progress)
        matched, unknown = tables.matched_comments(comments, [*collected.people, *(one.shown for one in order or ())])
        book = gradebook(
            collected,
            results,
            order=order,
            who=who,
            exercises=options.exercises,
            keep=options.keep,
            partial=options.partial,
            comments=matched,
            remarks=[*remarks, *unknown],
            seed=seed,
            version=version,
            date=time.strftime("%Y-%m-%dT%H:%M:%S"),
        )
        changed = changes(book, before)
        write(book, changed, roster, out, options.assignment)
        journal.finish()
    return Outcome(book, changed, len(kept), bool(before))


# ------------------------------------------------------------------------------------------------- before anything runs


def require_submissions(submissions: Path) -> None:
    if not submissions.exists():
        raise GradingError(f"Expected a folder of submissions, a zip or a notebook, but {submissions} does not exist.")
    if not submissions.is_dir() and not submissions.is_file():
        raise GradingError(f"Expected a folder, a zip or a notebook, but {submissions} is something else.")


def _roster(path: Path) -> Roster:
    if not path.is_file():
        raise GradingError(f"Expected --roster to be a file with the names of the class, but {path} is none.")
    try:
        return read_roster(path)
    except ValueError as error:
        raise GradingError(str(error)) from None


def _comments(out: Path) -> list[tuple[str, str, float]]:
    path = out / tables.COMMENTS
    if not os.path.lexists(path):
        return []
    require_own(path, stat.S_ISREG, "a file")
    try:
        return tables.read_comments(path)
    except ValueError as error:
        raise GradingError(str(error)) from None


def _table_before(out: Path) -> tuple[dict[str, dict[str, str]], int | None]:
    path = out / tables.GRADES
    if not os.path.lexists(path):
        return {}, None
    require_own(path, stat.S_ISREG, "a file")
    try:
        return tables.read_grades(path)
    except ValueError as error:
        raise GradingError(str(error)) from None


@contextmanager
def _space() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vaelib-handed-in-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


# -------------------------------------------------------------------------------------------------------- the grading


def _on_the_roster(
    roster: Roster | None, collected: Collected
) -> tuple[tuple[Listed, ...] | None, dict[str, Listed], list[str]]:
    """Gives everybody who is on the roster the name that is written there; two submissions may become one person's."""
    if roster is None:
        return None, {}, []
    matched = match(roster, collected.people)
    new = {shown: matched.who[shown].shown if shown in matched.who else shown for shown in collected.people}
    people = dict(collected.people)
    collected.people = {}
    for shown, person in people.items():
        known = collected.people.get(new[shown])
        collected.people[new[shown]] = person if known is None or not (known.moodle or known.canvas) else known
    collected.found = [
        found if new[student] == student else with_student(found, new[student])
        for found in collected.found
        for student in [found.handed_in.student]
    ]
    readable = {found.handed_in.student for found in collected.found}
    collected.unread = [replace(each, student=new.get(each.student, "")) for each in collected.unread]
    collected.unread = [u for u in collected.unread if u.source or u.student not in readable]
    notes: dict[str, list[str]] = {}
    for shown, said in collected.notes.items():
        notes.setdefault(new[shown], []).extend(said)
    collected.notes = notes
    return roster.people, {new[shown]: listed for shown, listed in matched.who.items()}, matched.remarks


def _seed(options: Options, earlier: Earlier | None, in_table: int | None, fresh_seed: Callable[[], int]) -> int:
    """The seed that was asked for, or that of the grading before, so that equal answers get equal grades."""
    known = in_table if earlier is None else earlier.seed
    if options.seed is None:
        return fresh_seed() if known is None else known
    if options.resume and known is not None and options.seed != known:
        raise GradingError(
            f"Expected to go on with seed {known}, that of the results that are there, but got --seed {options.seed}. "
            "Leave out one of --seed and --resume."
        )
    return options.seed


def _kept(
    options: Options,
    earlier: Earlier | None,
    collected: Collected,
    seed: int,
    version: str,
    say: Callable[[str], None],
) -> dict[str, Marks]:
    """Results from before that still hold: of the same content, seed and version."""
    if earlier is None:
        return {}
    if not options.resume:
        if not earlier.finished and earlier.results:
            say(f"{len(earlier.results)} results of an unfinished grading are not used; --resume would use them.")
        return {}
    if earlier.version != version:
        say(
            f"The results that are there are from vaelib {earlier.version}, and this is {version}: all is graded again."
        )
        return {}
    keys = {found.key for found in collected.found}
    return {key: marks for key, marks in earlier.results.items() if key in keys and earlier.seed == seed}


def _graded(
    collected: Collected,
    kept: Mapping[str, Marks],
    seed: int,
    options: Options,
    journal: Journal,
    progress: Callable[[int, int], None],
) -> dict[str, Marks]:
    """Results by key: those that were kept, and the others, which go into the journal as they come."""
    results = dict(kept)
    waiting = {(f.handed_in.student, f.handed_in.source): f for f in collected.found if f.key not in kept}
    total = len(collected.found)

    def done(marks: Marks) -> None:
        key = waiting[marks.student, marks.source].key
        results[key] = marks
        if not is_ours(marks):  # what the grader failed on is tried again
            journal.add(key, marks)
        progress(len(results), total)

    progress(len(results), total)
    grade_all([found.handed_in for found in waiting.values()], seed, options.limits, options.at_once, done)
    return results
