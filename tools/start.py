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

NAME = "START.ipynb"
PATHS = {
    "The whole course": [f"{number:02d}" for number in range(14)],
    "Three sessions, on the bound (of 05, the first half)": ["01", "03", "05"],
    "Five sessions, up to a VAE that trains (of 05, the first half)": ["01", "03", "04", "05", "09"],
}
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
    rows = ["| | notebook | it asks | time | builds on | practice |", "|:--|:--|:--|:--|:--|:--|"]
    for one in course:
        after = ", ".join(link(known[number]) for number in one.after if number in known) or "nothing"
        exercises = f"[exercises {one.number}](exercises/{one.file})"
        question = one.question.replace("|", "\\|")
        rows.append(f"| {link(one)} | {one.title} | {question} | {one.minutes} | {after} | {exercises} |")
    return "\n".join(rows)


def assumed(path: list[str], course: list[Chapter]) -> dict[str, list[str]]:
    """Notebooks that a path leaves out -> those on the path that build on them."""
    missing: dict[str, list[str]] = {}
    for one in course:
        for number in one.after:
            if one.number in path and number not in path:
                missing.setdefault(number, []).append(one.number)
    return missing


def paths(course: list[Chapter]) -> str:
    """The ways through the course, each with what it takes for granted."""
    known = {one.number: one for one in course}
    lines = []
    for name, path in PATHS.items():
        way = ", ".join(link(known[number]) for number in path)
        left_out = [f"{link(known[n])} (for {', '.join(of)})" for n, of in sorted(assumed(path, course).items())]
        lines.append(f"- **{name}:** {way}." + (f" At home before: {', '.join(left_out)}." if left_out else ""))
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
on in the order below, or along one of the paths. In a notebook, **Shift-Enter** runs a cell and moves on to the next
one.

Each notebook has exercises. Write your answer into its cell, run that cell, then the cell with `check`, and read what
it says. If you are stuck, remove the first `#` in the cell below, `# hint(...)`, and run it: each exercise has three
hints.

These files are your own copies: write into them as you like. `make lab` never overwrites what you edited.""",
        ),
        cell("markdown", f"## The map\n\n{table(course)}"),
        cell("markdown", f"## Paths\n\n{paths(course)}"),
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
