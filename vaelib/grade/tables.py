"""The gradebook as tables: grades.csv to read, moodle.csv and canvas.csv to import, comments.csv to write in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from vaelib.derivation.lines import LOOKS_LIKE
from vaelib.grade.gradebook import Gradebook, Row
from vaelib.grade.names import Person, how_alike
from vaelib.grade.roster import Roster
from vaelib.grade.sheet import number, plain, read_sheet, safe, written

GRADES, COMMENTS, MOODLE, CANVAS = "grades.csv", "comments.csv", "moodle.csv", "canvas.csv"
MOODLE_HEADS = (
    "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
    "Last modified (submission)", "Last modified (grade)", "Feedback comments",
)  # fmt: skip
CANVAS_HEADS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def write_grades(book: Gradebook, path: Path) -> None:
    """One row for each student; below them, a row without a student for each file that is nobody's."""
    heads = [part for id in book.ids for part in (id, f"{id} looks like")]
    end = ["late", "files", "note", "worth a look", "comment", "points added", "keep", "seed", "version", "date"]
    made = [book.keep, str(book.seed), book.version, book.date]
    rows = [["student", "points", "possible", *heads, *end]]
    for row in book.rows:
        feedback = row.feedback
        states = [part for id in book.ids for part in (_state(row, id), feedback[id].mistake if id in feedback else "")]
        about = ["late" if row.late else "", "; ".join(row.files), " ".join(row.notes), " ".join(row.odd), row.comment]
        added = number(row.added) if row.added else ""
        possible = str(row.possible) if row.possible else ""
        rows.append([safe(row.student), number(row.points), possible, *states, *map(safe, about), added, *made])
    for unread in book.nobodys:
        blank = [""] * (2 + len(heads) + 1)
        rows.append(["", *blank, safe(unread.source), safe(unread.reason), "", "", "", *made])
    written(path, rows)


def _state(row: Row, id: str) -> str:
    if id not in row.feedback:
        return ""
    return "not graded" if row.counted[id[:2]].points is None else row.feedback[id].state


def read_grades(path: Path) -> tuple[dict[str, dict[str, str]], int | None]:
    """The states of an earlier table, by student and exercise, and its seed; raises ValueError if it is another one."""
    sheet = read_sheet(path)
    if not {"student", "points", "seed"} <= set(sheet.heads):
        raise ValueError(
            f"Expected {path} to be a table that `vaelib grade` wrote, but its columns are others. "
            "Was it saved by hand, or by an older version? Move it away, or choose another folder."
        )
    states = {
        plain(row["student"]): {
            head.zfill(4): value  # a spreadsheet makes 4.1 of 04.1
            for head, value in row.items()
            if re.fullmatch(r"\d?\d\.\d", head)
        }
        for row in sheet.rows
        if row["student"].strip()
    }
    seeds = {row["seed"].strip() for row in sheet.rows} - {""}
    if len(seeds) > 1 or not all(seed.isdigit() for seed in seeds):
        raise ValueError(f"Expected one seed in {path}, but found {', '.join(sorted(seeds))}. Say --seed yourself.")
    return states, int(seeds.pop()) if seeds else None


# -------------------------------------------------------------------------------------------------------- comments


def read_comments(path: Path) -> list[tuple[str, str, float]]:
    """What the teacher wrote: (student, comment, points to add); raises ValueError with what is not understood."""
    sheet = read_sheet(path)
    heads = {head.lower(): head for head in sheet.heads}
    if "student" not in heads or not {"comment", "points"} & set(heads):
        raise ValueError(
            f"Expected the columns student, comment, points in {path}, but got {', '.join(sheet.heads) or 'nothing'}."
        )
    found = []
    for at, row in enumerate(sheet.rows, start=2):
        student, points = plain(row[heads["student"]]), row.get(heads.get("points", ""), "").strip()
        try:
            added = float(plain(points).replace(",", ".").lstrip("+") or 0)
        except ValueError:
            added = math.nan
        if not math.isfinite(added):
            raise ValueError(f"Expected a number of points for {student} in {path}, row {at}, but got {points!r}.")
        found.append((student, plain(row.get(heads.get("comment", ""), "")), added))
    return found


def matched_comments(
    found: Iterable[tuple[str, str, float]], students: Iterable[str]
) -> tuple[dict[str, tuple[str, float]], list[str]]:
    """Comments by the students' names; and a remark for each name that is nobody's, if anything was written there."""
    names = list(dict.fromkeys(students))  # whoever handed in is on the roster, too
    matched: dict[str, tuple[str, float]] = {}
    remarks = []
    for student, comment, added in found:
        fit = [name for name in names if name == student] or [n for n in names if how_alike(student, n) >= 2]
        if len(fit) == 1:
            old, points = matched.get(fit[0], ("", 0.0))
            matched[fit[0]] = (f"{old} {comment}".strip(), points + added)
        elif comment or added:
            remarks.append(f"{COMMENTS} has a comment for {student or 'nobody'}, who is not in the table.")
    return matched, remarks


def write_comments(book: Gradebook, path: Path) -> None:
    """The file for the teacher's comments, with the names and nothing else."""
    written(path, [["student", "comment", "points"], *([safe(row.student), "", ""] for row in book.rows)])


# ------------------------------------------------------------------------------------------------------- platforms


def feedback_text(row: Row) -> str:
    """A student's feedback in one line: the states, what wrong answers look like, the teacher's comment."""
    parts = [f"{number(row.points)} of {row.possible} points."] if row.points is not None else []
    for id, feedback in row.feedback.items():
        means = next((line for line in feedback.lines if line.startswith(LOOKS_LIKE)), "")
        parts.append(f"{id} {feedback.state}." + (f" {means}" if means else ""))
    return " ".join([*parts, row.comment]).strip()


def write_moodle(book: Gradebook, roster: Roster | None, path: Path) -> None:
    """Moodle's offline grading worksheet; columns of a worksheet that was given as the roster are kept as they are."""
    given = roster is not None and roster.kind == "moodle"
    heads = roster.heads if given and roster is not None else MOODLE_HEADS
    rows = [list(heads)]
    for row in book.rows:
        cells = dict(row.listed.row) if given and row.listed is not None else {}
        person = _participant(row.person)
        cells.setdefault("Identifier", person)
        cells.setdefault("Full name", row.student)
        cells.setdefault("Email address", row.listed.get("email address", "email", "e-mail") if row.listed else "")
        cells.setdefault("Maximum Grade", str(book.possible))
        cells.setdefault("Grade can be changed", "Yes")
        if row.points is not None:
            cells["Grade"] = number(_scaled(row.points, book.possible, cells["Maximum Grade"]))
            cells["Feedback comments"] = feedback_text(row)
        rows.append(
            [safe(cells.get(head, "")) if not _is_number(cells.get(head, "")) else cells[head] for head in heads]
        )
    written(path, rows)


def _scaled(points: float, possible: float, maximum: str) -> float:
    """Points on the scale of the worksheet: Moodle has a maximum grade for an assignment, 100 unless it was changed."""
    if not _is_number(maximum) or float(maximum) <= 0 or not possible:
        return points
    return round(points * float(maximum) / possible, 2)


def _participant(person: Person) -> str:
    return f"Participant {person.moodle}" if person.moodle else ""


def write_canvas(book: Gradebook, roster: Roster | None, path: Path, assignment: str = "") -> None:
    """Canvas' gradebook for import: a column for the assignment, and the row with the points that are possible."""
    title = assignment or f"Exercises {', '.join(book.numbers)}"
    rows = [[*CANVAS_HEADS, title], ["    Points Possible", "", "", "", "", str(book.possible)]]
    for row in book.rows:
        listed = row.listed
        about = [listed.get(head.lower()) if listed is not None else "" for head in CANVAS_HEADS[1:]]
        if roster is None or roster.kind != "canvas":
            about[0] = row.person.canvas
        about[0] = about[0] or row.person.canvas
        rows.append([safe(row.student), *(safe(text) for text in about), number(row.points)])
    written(path, rows)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
