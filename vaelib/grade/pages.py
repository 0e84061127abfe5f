"""What is read after grading: a page for each student, one for the teacher, and one of the class, to be projected."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from vaelib.derivation.lines import LOOKS_LIKE
from vaelib.grade.gradebook import Gradebook, Row, tried
from vaelib.grade.sheet import number
from vaelib.judge import NOT_YET, RIGHT, Feedback
from vaelib.nearest.edits import KINDS as OF_FORMULAS
from vaelib.nearest.habits import KINDS as OF_FUNCTIONS
from vaelib.tasks import all_tasks

ASKS = OF_FORMULAS | OF_FUNCTIONS  # kinds of changes, of formulas and of functions, with what is asked of a place
STYLE = """
body { font: 17px/1.5 sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3em .6em; border-bottom: 1px solid #bbb; vertical-align: top }
h2 { margin-top: 2em }
svg { max-width: 100%; height: auto }
"""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows keeps these for devices
LONGEST = 120  # bytes of a page's name


def page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{body}</table>"


# ------------------------------------------------------------------------------------------------------ one student


def student_page(row: Row) -> str:
    """Feedback for one student, in the words that `check` uses, with the teacher's comment and what happened."""
    tasks = all_tasks()
    parts = []
    if row.points is not None:
        added = f", {number(row.added)} of them given by your teacher" if row.added else ""
        parts.append(f"<p><b>{number(row.points)} of {row.possible} points{added}.</b></p>")
    else:
        parts.append("<p><b>Nothing was graded.</b></p>")
    if row.comment:
        parts.append(f"<h2>A word from your teacher</h2><p>{escape(row.comment)}</p>")
    if row.late:
        parts.append("<p>It came late.</p>")
    if row.happened:
        parts.append("<h2>What happened</h2>" + _list(row.happened))
    for id, feedback in row.feedback.items():
        lines = "<br>".join(escape(line) for line in feedback.lines)
        parts.append(f"<h2>{id} {escape(tasks[id].title)}: {escape(feedback.state)}</h2>\n<p>{lines}</p>")
    if row.errors:
        parts.append("<h2>Cells that raised an error</h2>" + _list(row.errors))
    return page(f"Feedback for {row.student}", "\n".join(parts))


def page_names(students: Iterable[str]) -> dict[str, str]:
    """A file's name for each student's page, without its ending: short, allowed everywhere, and nobody else's.

    >>> page_names(["x/y", "x_y", "con"])
    {'x/y': 'x_y', 'x_y': 'x_y 2', 'con': '_con'}
    """
    taken: set[str] = set()
    names = {}
    for student in students:
        text = unicodedata.normalize("NFC", student)
        text = "".join(letter if letter.isalnum() or letter in "-_ ." else "_" for letter in text).strip(" .")
        text = text.encode()[:LONGEST].decode(errors="ignore").strip(" .") or "nameless"
        text = f"_{text}" if RESERVED.fullmatch(text) else text
        name, count = text, 1
        while unicodedata.normalize("NFKC", name).casefold() in taken:
            count += 1
            name = f"{text} {count}"
        taken.add(unicodedata.normalize("NFKC", name).casefold())
        names[student] = name
    return names


# -------------------------------------------------------------------------------------------------------- the class


def class_page(book: Gradebook) -> str:
    """Per exercise: who tried, who is right, which mistakes were made, how much was not graded; it names nobody."""
    tasks = all_tasks()
    given = {id: [row.feedback[id] for row in book.rows if id in row.feedback] for id in book.ids}
    counts = {id: Counter(feedback.state for feedback in given[id]) for id in book.ids}
    graded = sum(bool(row.counted) for row in book.rows)
    parts = [_picture({f"{id} {tasks[id].title}": counts[id] for id in book.ids})] if book.ids else []
    for id in book.ids:
        head = f"<h2>{id} {escape(tasks[id].title)}</h2>"
        parts.append(f"{head}<p>{tried(given[id])} tried, {counts[id][RIGHT]} right.</p>" + _mistakes(given[id]))
    parts += _not_graded(book)
    return page(f"The class: {graded} submissions", "\n".join(parts))


def _mistakes(given: Sequence[Feedback]) -> str:
    made = Counter(feedback.mistake for feedback in given if feedback.mistake)
    says = {f.mistake: line for f in given for line in f.lines if f.mistake and line.startswith(LOOKS_LIKE)}
    rows = [(str(count), name, says.get(name, "")) for name, count in made.most_common()]
    near = Counter(feedback.nearest for feedback in given if feedback.nearest and not feedback.mistake)
    rows += [(str(count), f"one change: {kind}", ASKS.get(kind, "")) for kind, count in near.most_common()]
    unknown = sum(f.state == NOT_YET and not f.mistake and not f.nearest for f in given)
    rows += [(str(unknown), "others", "")] if unknown else []
    return _table(("times", "mistake", "what it looks like"), rows) if rows else ""


def _not_graded(book: Gradebook) -> list[str]:
    missing = sum(row.missing for row in book.rows)
    reasons = Counter(_nameless(unread.reason) for row in book.rows for unread in row.unread)
    parts = []
    if reasons or missing:
        parts.append("<h2>Not graded</h2>")
    if missing:
        parts.append(f"<p>{missing} on the roster handed in nothing.</p>")
    if reasons:
        parts.append(_table(("times", "why"), [(str(count), why) for why, count in reasons.most_common()]))
    return parts


def _nameless(reason: str) -> str:
    """A reason without details, which may hold the names of files, and those may be people's."""
    return re.sub(r"The entry .* points", "An entry points", re.split(r"[.:](\s|$)", reason)[0])


def _picture(counts: dict[str, Counter[str]]) -> str:
    from vaelib import plots

    figure = plots.figure(9, 1.2 + 0.45 * len(counts))
    plots.states(figure.add_subplot(), counts)
    content = BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue().decode()
    return text[text.index("<svg") :]


def prepare() -> None:
    """Loads all that pages are drawn with: from then on no file on the disk decides what the grader runs."""
    _picture({"": Counter()})


# ------------------------------------------------------------------------------------------------------ the teacher


def teacher_page(book: Gradebook, changed: Sequence[str], names: dict[str, str]) -> str:
    """With names: points, what was not understood, who is missing, what is odd or nearly right, what has changed."""
    odd = [(row.student, note) for row in book.rows for note in row.odd]
    unread = _unread_rows(book)
    missing = [row.student for row in book.rows if row.missing]
    parts = [f"<p>Seed {book.seed}, vaelib {escape(book.version)}, {escape(book.date)}.</p>"]
    if book.failed:
        failed = [row.student for row in book.rows if row in book.failed]
        parts.append("<h2>No grade could be given to these</h2>" + _list(failed))
    if unread:
        parts.append("<h2>Not understood</h2>" + _table(("student", "file", "why"), unread))
    if odd:
        parts.append("<h2>Worth a look</h2>" + _table(("student", "what"), odd))
    if near := [(row.student, id, f.change) for row in book.rows for id, f in row.feedback.items() if f.change]:
        parts.append("<h2>Right but for one change</h2>" + _table(("student", "exercise", "the change"), near))
    lists = [("Missing", missing), ("Changed since the last time", changed), ("Remarks", book.remarks)]
    parts += [f"<h2>{title}</h2>" + _list(items) for title, items in lists if items]
    linked = "".join(
        f"<tr><td>{_link(row, names)}</td>"
        f"<td>{number(row.points)}</td><td>{row.possible or ''}</td><td>{'late' if row.late else ''}</td>"
        f"<td>{escape(' '.join(row.notes))}</td></tr>"
        for row in book.rows
    )
    heads = "".join(f"<th>{head}</th>" for head in ("student", "points", "possible", "late", "notes"))
    parts.append(f"<h2>Everybody</h2><table><tr>{heads}</tr>{linked}</table>")
    return page("For the teacher", "\n".join(parts))


def _link(row: Row, names: dict[str, str]) -> str:
    if not has_page(row):
        return escape(row.student)
    return f'<a href="feedback/{escape(quote(names[row.student]))}.html">{escape(row.student)}</a>'


def has_page(row: Row) -> bool:
    """Everybody has one who handed in something, or for whom the teacher wrote something."""
    return not row.missing or bool(row.comment)


def _unread_rows(book: Gradebook) -> list[tuple[str, str, str]]:
    everything = [unread for row in book.rows for unread in row.unread] + book.nobodys
    return [(unread.student, unread.source, unread.reason) for unread in everything]


# ---------------------------------------------------------------------------------------------------------- writing


def write_pages(book: Gradebook, changed: Sequence[str], out: Path) -> None:
    """feedback/STUDENT.html for everybody who handed in, teacher.html, class.html, and feedback_moodle.zip.

    The zip has the pages in the folders that Moodle named, for its "Upload multiple feedback files in a zip"; it is
    left out where nothing came from Moodle.
    """
    names = page_names(row.student for row in book.rows)
    pages = {row.student: student_page(row) for row in book.rows if has_page(row)}
    (out / "feedback").mkdir()
    for student, content in pages.items():
        (out / "feedback" / f"{names[student]}.html").write_text(content, encoding="utf-8")
    (out / "class.html").write_text(class_page(book), encoding="utf-8")
    (out / "teacher.html").write_text(teacher_page(book, changed, names), encoding="utf-8")
    theirs = [row for row in book.rows if row.person.folder and row.student in pages]
    if theirs:
        with zipfile.ZipFile(out / "feedback_moodle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for row in theirs:
                archive.writestr(f"{row.person.folder}/feedback.html", pages[row.student])
