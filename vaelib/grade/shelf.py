"""The folder that a grading writes into: looked at and locked before anything runs, filled in one step at the end.

Nothing of an earlier grading is lost: its table and its pages get the time they were written at into their names.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vaelib.grade import tables
from vaelib.grade.gradebook import Gradebook
from vaelib.grade.journal import NAME as JOURNAL
from vaelib.grade.journal import Journal
from vaelib.grade.pages import write_pages
from vaelib.grade.roster import Roster

FILES_WRITTEN = ("class.html", "teacher.html", "feedback_moodle.zip", tables.MOODLE, tables.CANVAS)
MADE = (tables.GRADES, *FILES_WRITTEN, "feedback")


class GradingError(ValueError):
    """What the teacher can mend, in words."""


# ---------------------------------------------------------------------------------------------- before anything runs


def require_own(path: Path, wanted: Callable[[int], bool], what: str) -> None:
    mode = os.lstat(path).st_mode
    if not wanted(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "something else"
        raise GradingError(f"Expected {path} to be {what} that `vaelib grade` wrote, but it is {kind}. Move it away.")


@contextmanager
def claimed(out: Path, submissions: Path) -> Iterator[Journal]:
    """The folder, made if need be, looked at and locked."""
    require_out(out, submissions)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with Journal(out) as journal:
            if journal.foreign:
                raise GradingError(f"Expected {journal.path} to be from an earlier grading, but it is something else.")
            _require_writable(out)
            yield journal
    finally:
        if (out / JOURNAL).stat().st_size == 0:
            (out / JOURNAL).unlink()
        for folder in made:  # a grading that never began leaves nothing
            try:
                folder.rmdir()
            except OSError:
                break


def require_out(out: Path, submissions: Path) -> None:
    """Refuses a folder that is a link, lies among the submissions, or holds files of these names that are not ours.

    Raises:
        GradingError.
    """
    if out.is_symlink():
        raise GradingError(f"Expected --out to be a folder, but {out} is a link. Give the folder that it leads to.")
    if out.exists() and not out.is_dir():
        raise GradingError(f"Expected --out to be a folder, but {out} is a file.")
    inside, around = out.resolve(), submissions.resolve()
    if inside == around or around in inside.parents:
        raise GradingError(f"Expected --out to lie outside the submissions, but {out} is inside {submissions}.")
    if any(around == inside / name or inside / name in around.parents for name in MADE):
        raise GradingError(f"Expected submissions that --out does not hold, but {submissions} would be written over.")
    if not out.exists():
        return
    ours = os.path.lexists(out / JOURNAL)
    for name in (*MADE, JOURNAL, tables.COMMENTS):
        path = out / name
        if os.path.lexists(path):
            require_own(path, stat.S_ISDIR if name == "feedback" else stat.S_ISREG, "what")
            if not ours and name not in (tables.GRADES, tables.COMMENTS):
                raise GradingError(
                    f"Expected {out} to be free or from an earlier grading, but {path} is there without {JOURNAL}. "
                    "Choose another folder."
                )


def _require_writable(out: Path) -> None:
    with tempfile.TemporaryDirectory(dir=out, prefix=".writing-"):
        pass


# ---------------------------------------------------------------------------------------------------------- at the end


def write(book: Gradebook, changed: Sequence[str], roster: Roster | None, out: Path, assignment: str) -> None:
    """Everything into a fresh folder first; then each file takes its place, and the table before is kept beside it."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as name:
        fresh = Path(name)
        tables.write_grades(book, fresh / tables.GRADES)
        tables.write_moodle(book, roster, fresh / tables.MOODLE)
        tables.write_canvas(book, roster, fresh / tables.CANVAS, assignment)
        write_pages(book, changed, fresh)
        tables.write_comments(book, fresh / tables.COMMENTS)
        _put_aside(out)
        for made in MADE:
            if (fresh / made).exists():
                os.replace(fresh / made, out / made)
            elif (out / made).exists():
                (out / made).unlink()
        if not os.path.lexists(out / tables.COMMENTS):  # from then on it is the teacher's
            os.replace(fresh / tables.COMMENTS, out / tables.COMMENTS)


def _put_aside(out: Path) -> None:
    """The earlier table and pages get the time they were written at into their names."""
    table = out / tables.GRADES
    written = table.stat().st_mtime if table.exists() else time.time()
    stamp = time.strftime("%Y-%m-%dT%H%M", time.localtime(written))
    count = 1
    while any(os.path.lexists(out / name) for name in _aside(stamp, count)):
        count += 1
    kept, pages = _aside(stamp, count)
    if table.exists():
        shutil.copy2(table, out / kept)
    if (out / "feedback").exists():
        os.rename(out / "feedback", out / pages)


def _aside(stamp: str, count: int) -> tuple[str, str]:
    text = stamp if count == 1 else f"{stamp}-{count}"
    return f"grades.{text}.csv", f"feedback.{text}"
