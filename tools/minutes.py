"""How long a class needs for each notebook, by a rule: python tools/minutes.py [--write] [NOTEBOOK ...]

Counted are the cells with the tag `class`, as they are stored: 120 words of prose a minute, 20 s for a row of a
displayed derivation and 10 s for one of a report, 3 s for a line of code that is not folded, a minute for a prediction
and for a picture, what a task in class takes for its cell, and 15 minutes for exercises in each session. `--write`
puts the result into the title cells.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from vaelib.solution import as_typed
from vaelib.tasks import task

ROOT = Path(__file__).resolve().parent.parent
AT_HOME = "00"
SESSIONS = {"05": 2, "09": 2, "10": 2}  # all others: one
EXERCISES = 15  # minutes in a session
LONGEST = {AT_HOME: 25}  # minutes; in class 90 a session
STATED = re.compile(r"\*\*(?:In class|At home)\*\*[^*]*?(?=\s\*\*)")
REPORT = re.compile(r"^\*\*\S+ (?:holds|is broken|is inconclusive)\*\* on ", re.MULTILINE)


def words_of_prose(source: str) -> int:
    """Words outside of tables, a formula counting as one."""
    source = "\n".join(line for line in source.splitlines() if not line.startswith("|"))
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " formula ", source, flags=re.DOTALL)
    return len(re.findall(r"[A-Za-z0-9][\w'’.-]*", text))


def lines_of_code(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def rows_of_tables(text: str) -> tuple[int, int]:
    """(rows of derivations, rows of reports) in Markdown; a report that holds is one row, and other tables have none.

    Example: rows_of_tables("| line | formula |\n|--:|:--|\n| 0 | $1$ |") == (1, 0)
    """
    derivation = report = 0
    kind = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            kind = ""
        elif not kind:
            judged = cells[0] == "line" and cells[1] in ("verdict", "outcome")
            kind = "report" if judged else "derivation" if cells[0] == "line" else "other"
        elif not set(cells[0]) <= set("-:"):
            derivation += kind == "derivation"
            report += kind == "report"
    return derivation, report + len(REPORT.findall(text))


@dataclass(frozen=True)
class Count:
    """What the class part of a notebook is made of; `sessions` of 90 minutes, none for the one that is read at home."""

    number: str
    cells: int = 0
    words: int = 0
    rows: int = 0  # of derivations
    reports: int = 0  # rows of them
    code: int = 0  # lines that are not folded
    predictions: int = 0
    pictures: int = 0
    tasks: tuple[str, ...] = ()

    @property
    def sessions(self) -> int:
        return SESSIONS.get(self.number, 1)

    @property
    def notebook(self) -> int:
        """Minutes with the notebook."""
        seconds = self.words / 2 + 20 * self.rows + 10 * self.reports + 3 * self.code
        minutes = self.predictions + self.pictures + sum(task(id).minutes for id in self.tasks)
        return round(seconds / 60 + minutes)

    @property
    def exercises(self) -> int:
        return 0 if self.number == AT_HOME else EXERCISES * self.sessions

    @property
    def fits(self) -> bool:
        return self.notebook + self.exercises <= LONGEST.get(self.number, 90 * self.sessions)

    @property
    def sentence(self) -> str:
        """What the title cell says."""
        if self.number == AT_HOME:
            return f"**At home** about {self.notebook} minutes."
        each = -(-(self.notebook + self.exercises) // self.sessions)
        sessions, plural = ("", "") if self.sessions == 1 else ("two sessions of ", "s")
        parts = f"{self.notebook} with the notebook, {self.exercises} for the exercise{plural}"
        return f"**In class** {sessions}about {each} minutes: {parts}."

    @property
    def written(self) -> int:
        """Lines of code that the student writes: those of the solutions, without their heads."""
        return sum(lines_of_code(as_typed(task(id))) - 1 for id in self.tasks)


def count(path: Path) -> Count:
    """What the class part of a notebook is made of, as it is stored."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if "class" in cell.metadata.get("tags", [])]
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    code = [cell for cell in cells if cell.cell_type == "code"]
    shown = [output.get("data", {}) for cell in code for output in cell.outputs]
    tables = [rows_of_tables(text) for text in [*texts, *(data.get("text/markdown", "") for data in shown)]]
    tasks = [id for cell in code for id in re.findall(r'\byours\("([^"]+)"', cell.source)]
    open_code = [
        cell.source
        for cell in code
        if not cell.metadata.get("jupyter", {}).get("source_hidden") and not re.search(r"\byours\(", cell.source)
    ]
    return Count(
        number=path.name[:2],
        cells=len(cells),
        words=sum(map(words_of_prose, texts)),
        rows=sum(rows for rows, _ in tables),
        reports=sum(rows for _, rows in tables),
        code=sum(map(lines_of_code, open_code)),
        predictions=sum(len(re.findall(r"^prediction\w* = \.\.\.", cell.source, re.MULTILINE)) for cell in code),
        pictures=sum("image/png" in data for data in shown),
        tasks=tuple(tasks),
    )


def stated(path: Path) -> str:
    """The sentence in the title cell, on one line."""
    found = STATED.search(nbformat.read(path, as_version=4).cells[0].source)
    if found is None:
        raise ValueError(f"Expected **In class** or **At home** with minutes in the first cell of {path.name}.")
    return " ".join(found[0].split())


def write(path: Path) -> bool:
    """Bring the sentence in the title cell up to date; whether it had to be changed."""
    wanted = count(path).sentence
    if stated(path) == wanted:
        return False
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = STATED.sub(wanted, notebook.cells[0].source, count=1)
    nbformat.write(notebook, path)
    return True


COLUMNS = ("minutes", "cells", "words", "rows", "reports", "code", "predictions", "images", "tasks", "written")


def row(found: Count) -> tuple[str, ...]:
    minutes = f"{found.notebook + found.exercises}{'' if found.fits else ' too long'}"
    numbers = (found.cells, found.words, found.rows, found.reports, found.code, found.predictions, found.pictures)
    return (minutes, *map(str, numbers), " ".join(found.tasks), str(found.written))


def main(arguments: list[str]) -> None:
    chosen = [Path(name) for name in arguments if name != "--write"]
    paths = chosen or sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    table = [("notebook", *COLUMNS), *((path.stem, *row(count(path))) for path in paths)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    if "--write" in arguments:
        for path in paths:
            if write(path):
                print(f"{path.name}: minutes of its title updated")


if __name__ == "__main__":
    main(sys.argv[1:])
