"""Write the numbers of the cells into the session plans: python tools/plans.py

A plan names a cell by its id, which no program shows, and by the number that JupyterLab, VS Code and Colab show beside
it after all cells were run once: `f1-check` [8]. A cell of text has no number: there, the code below it counts.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from lab import LATE

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = re.compile(r" (?:\[\d+\]|\(above \[\d+\]\)|\(at the end\))")


def places(notebook: Path) -> dict[str, str]:
    """Id of a cell -> its number as shown, or for a cell of text, where it is."""
    found: dict[str, str] = {}
    waiting: list[str] = []
    number = 0
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type != "code":
            waiting.append(cell.id)
            continue
        number += 1
        found[cell.id] = f"[{number}]"
        found |= {above: f"(above [{number}])" for above in waiting}
        waiting = []
    return found | {last: "(at the end)" for last in waiting}


def numbered(text: str, place: dict[str, str]) -> str:
    """The names of cells in `text`, each code cell with its number; if none has one, the last name with its place."""
    text = WRITTEN.sub("", text)
    names = [name for name in re.findall(r"`([^`]+)`", text) if name in place]
    shown = [name for name in names if place[name].startswith("[")] or names[-1:]
    for name in dict.fromkeys(shown):
        text = text.replace(f"`{name}`", f"`{name}` {place[name]}")
    return text


def plan(text: str, place: dict[str, str]) -> str:
    """A session plan with the numbers of now: in the second column of its tables, and in what may be skipped."""
    lines = []
    for line in text.split("\n"):
        columns = re.split(r"(?<!\\)\|", line)
        if len(columns) > 2:
            columns[2] = numbered(columns[2], place)
            line = "|".join(columns)
        elif line.startswith(LATE):
            line = re.sub(r"`[^`]+`" + f"(?:{WRITTEN.pattern})?", lambda name: numbered(name[0], place), line)
        lines.append(line)
    return "\n".join(lines)


def path_of(notebook: Path) -> Path:
    return notebook.parent / "teach" / f"{notebook.name[:2]}.md"


def update(notebook: Path) -> bool:
    """Bring the plan of a notebook up to date; whether it had to be changed."""
    path = path_of(notebook)
    before = path.read_text(encoding="utf-8")
    after = plan(before, places(notebook))
    if after != before:
        path.write_text(after, encoding="utf-8")
    return after != before


if __name__ == "__main__":
    for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if update(notebook):
            print(f"{path_of(notebook).relative_to(ROOT)}: numbers of its cells updated")
