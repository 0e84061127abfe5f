"""What is read after grading: a page for each student, and one of the class, to be projected."""

from __future__ import annotations

from collections import Counter
from html import escape
from io import BytesIO
from pathlib import Path

from vaelib.grade.marks import Marks
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT
from vaelib.tasks import all_tasks

STYLE = """
body { font: 17px/1.5 sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3em .6em; border-bottom: 1px solid #bbb; vertical-align: top }
h2 { margin-top: 2em }
svg { max-width: 100%; height: auto }
"""


def page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def student_page(mark: Marks) -> str:
    """Feedback for one student, in the words that `check` uses."""
    tasks = all_tasks()
    parts = [f"<p><b>{mark.points} of {mark.possible} points.</b></p>"]
    if mark.damaged:
        parts.append(f"<p>The notebook could not be run as it is: {escape(mark.damaged)}</p>")
    for id, feedback in mark.feedback.items():
        lines = "<br>".join(escape(line) for line in feedback.lines)
        parts.append(f"<h2>{id} {escape(tasks[id].title)}: {escape(feedback.state)}</h2>\n<p>{lines}</p>")
    if mark.errors:
        rows = "".join(f"<tr><td>{cell + 1}</td><td>{escape(error)}</td></tr>" for cell, error in mark.errors.items())
        parts.append(
            f"<h2>Cells that raised an error</h2><table><tr><th>code cell</th><th>error</th></tr>{rows}</table>"
        )
    return page(f"Feedback for {mark.student}", "\n".join(parts))


def class_page(marks: list[Marks]) -> str:
    """Per exercise: who tried, who is right, which mistakes were made; names of students are not on it."""
    tasks = all_tasks()
    ids = sorted({id for mark in marks for id in mark.feedback})
    counts = {id: Counter(mark.feedback[id].state for mark in marks if id in mark.feedback) for id in ids}
    parts = [_picture({f"{id} {tasks[id].title}": counts[id] for id in ids})] if ids else []
    for id in ids:
        told = [mark.feedback[id] for mark in marks if id in mark.feedback and mark.feedback[id].mistake]
        made = Counter(feedback.mistake for feedback in told)
        says = {f.mistake: line for f in told for line in f.lines if line.startswith("It looks like ")}
        rows = "".join(
            f"<tr><td>{count}</td><td>{escape(name)}</td><td>{escape(says.get(name, ''))}</td></tr>"
            for name, count in made.most_common()
        )
        unknown = sum(f.state == NOT_YET and not f.mistake for m in marks if (f := m.feedback.get(id)) is not None)
        rows += f"<tr><td>{unknown}</td><td>others</td><td></td></tr>" if unknown else ""
        tried = sum(counts[id].values()) - counts[id][NOT_ATTEMPTED]
        head = f"<h2>{id} {escape(tasks[id].title)}</h2><p>{tried} tried, {counts[id][RIGHT]} right.</p>"
        table = (
            f"<table><tr><th>times</th><th>mistake</th><th>what it looks like</th></tr>{rows}</table>" if rows else ""
        )
        parts.append(head + table)
    return page(f"The class: {len(marks)} submissions", "\n".join(parts))


def _picture(counts: dict[str, Counter[str]]) -> str:
    from vaelib import plots

    figure = plots.figure(9, 1.2 + 0.45 * len(counts))
    plots.states(figure.add_subplot(), counts)
    content = BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    text = content.getvalue().decode()
    return text[text.index("<svg") :]


def write_pages(marks: list[Marks], out: Path) -> None:
    """feedback/STUDENT.html for each submission, and class.html."""
    folder = out / "feedback"
    folder.mkdir(parents=True, exist_ok=True)
    taken: Counter[str] = Counter()
    for mark in marks:
        name = "".join(letter if letter.isalnum() or letter in "-_ ." else "_" for letter in mark.student) or "nameless"
        taken[name.lower()] += 1
        name += f" {taken[name.lower()]}" if taken[name.lower()] > 1 else ""
        (folder / f"{name}.html").write_text(student_page(mark), encoding="utf-8")
    (out / "class.html").write_text(class_page(marks), encoding="utf-8")
