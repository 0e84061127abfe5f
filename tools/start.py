"""The page on which JupyterLab opens, made of what the notebooks say themselves: START.ipynb in work/.

Only the standard library is used, so that students' copies of the course can make it, too.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ways import WAYS, Part, Way

NAME = "START.ipynb"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Chapter:
    """What the title cell of a notebook says. `needs` is its line "You need"; `after` the notebooks named in it."""

    number: str
    file: str
    title: str
    question: str
    minutes: str
    needs: str
    after: tuple[str, ...]


def chapter(path: Path) -> Chapter:
    """Reads a notebook's title cell.

    Raises:
        ValueError: the cell lacks one of its parts.
    """
    source = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    text = " ".join(source.split())

    def part(pattern: str, what: str) -> str:
        found = re.search(pattern, text)
        if found is None:
            raise ValueError(
                f"Expected the first cell of {path.name} to hold {what}, but it begins with {text[:60]!r}."
            )
        return found[1].strip()

    heading = source.splitlines()[0]
    needs = part(r"\*\*You need\*\* (.*)$", "a line **You need**")
    return Chapter(
        number=path.name[:2],
        file=path.name,
        title=re.sub(r"^# \d\d ", "", heading),
        question=part(r"\*\*Question\.\*\* (.*?) \*\*Afterwards", "**Question.** and **Afterwards you can**"),
        minutes=part(r"\*\*(?:In class|At home)\*\* (.*? minutes)", "its minutes, **In class** or **At home**"),
        needs=needs,
        after=tuple(re.findall(r"(?<!\d)[01]\d(?!\d)", needs)),
    )


def chapters(root: Path) -> list[Chapter]:
    return [chapter(path) for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))]


def link(one: Chapter) -> str:
    return f"[{one.number}](notebooks/{one.file})"


def table(course: list[Chapter]) -> str:
    """One row for each notebook: what it asks, how long it takes, which notebooks it builds on."""
    known = {one.number: one for one in course}
    rows = ["| no. | notebook | it asks | time | builds on | practice |", "|:--|:--|:--|:--|:--|:--|"]
    for one in course:
        after = ", ".join(link(known[number]) for number in one.after if number in known) or "nothing"
        exercises = f"[exercises {one.number}](exercises/{one.file})"
        question = one.question.replace("|", "\\|")
        rows.append(f"| {link(one)} | {one.title} | {question} | {one.minutes} | {after} | {exercises} |")
    return "\n".join(rows)


def assumed(path: list[str], course: list[Chapter]) -> dict[str, list[str]]:
    """Notebooks that a path leaves out -> those on the path that build on them; 00 is done by everybody."""
    missing: dict[str, list[str]] = {}
    for one in course:
        for number in one.after:
            if one.number in path and number not in path and number != course[0].number:
                missing.setdefault(number, []).append(one.number)
    return missing


def heading(path: Path, id: str) -> tuple[str, str]:
    """The section that holds the cell `id`: (id of the cell with its heading, the heading without its number).

    Raises:
        ValueError: the notebook has no such cell, or no heading above it.
    """
    above = None
    for each in json.loads(path.read_text(encoding="utf-8"))["cells"][1:]:
        source = "".join(each["source"]) if each["cell_type"] == "markdown" else ""
        found = re.findall(r"^#{1,2} (?:\d+\. )?(.+?)(?: \([^)]*\))?$", source, re.MULTILINE)
        above = (str(each["id"]), str(found[-1])) if found else above
        if each.get("id") == id and above:
            return above
    raise ValueError(f"Expected a cell {id!r} below a heading in {path.name}, since tools/ways.py names it.")


def step(part: Part, root: Path, course: dict[str, Chapter]) -> str:
    """What is done of one notebook, with links."""
    one = course[part.notebook]
    if part.half:
        return f"{link(one)} ({'first' if part.half == 1 else 'second'} session)"
    path = root / "notebooks" / one.file
    found = dict.fromkeys(heading(path, id) for id in part.sections)
    named = [f"[{title}](notebooks/{one.file}#cell-id={id})" for id, title in found]
    return link(one) + (f": {', '.join(named)}" if named else "")


def way(one: Way, root: Path, course: list[Chapter]) -> str:
    """A way through the course: for whom, and what is done in each of its sessions."""
    known = {each.number: each for each in course}
    lines = [f"**{one.name}**, for {one.whom}. {one.before}", ""]
    for number, session in enumerate(one.sessions, start=1):
        steps = "; ".join(step(part, root, known) for part in session.parts)
        first = f"; exercise {session.exercises[0]}" if session.exercises else ""
        lines.append(f"{number}. *{session.title}*: {steps}{first}.")
    if one.without:
        lines += ["", "Left out: " + ", ".join(link(known[number]) for number in one.without) + "."]
    return "\n".join(lines)


def cell(kind: str, source: str) -> dict[str, Any]:
    made = {"cell_type": kind, "id": hashlib.sha256(source.encode()).hexdigest()[:8], "metadata": {}, "source": source}
    return made | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def start_page(root: Path) -> dict[str, Any]:
    """The notebook START.ipynb, as plain data."""
    course = chapters(root)
    first = course[0]
    cells = [
        cell(
            "markdown",
            f"""# Begin here

Open [{first.number} {first.title}](notebooks/{first.file}): it shows whether everything runs on your machine. Then go
on in the order below, or along one of the three ways. In a notebook, **Shift-Enter** runs a cell and moves on to the
next one.

Each notebook has exercises. Write your answer into its cell, run that cell, then the cell with `check`, and read what
it says. If you are stuck, remove the first `#` in the cell below, `# hint(...)`, and run it: each exercise has three
hints.

These files are your own copies: write into them as you like. `make lab` never overwrites what you edited.""",
        ),
        cell("markdown", f"## The map\n\n{table(course)}"),
        cell("markdown", "## Three ways through it\n\nA click on a section opens its notebook there."),
        *(cell("markdown", way(one, root, course)) for one in WAYS),
        cell("markdown", "## How far you are\n\nRun the next cell. It reads what `check` has noted in `exercises/`."),
        cell(
            "code",
            """from contextlib import chdir

from vaelib.exercise import progress

with chdir("exercises"):
    noted = progress()
noted""",
        ),
    ]
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
