"""The sections of a notebook's class part, each with its cells, its minutes, and a link that opens it in JupyterLab."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
from minutes import ROOT, Count, count_cells
from plans import places

HEADING = re.compile(r"^(#{1,2}) (.+)$", re.MULTILINE)
SECOND_SESSION = re.compile(r"^# Session 2\b", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A heading of the class part, and what belongs to it until the next one.

    Args:
        id: the id of the cell with the heading. title: the heading, without its number.
        cells: the ids of its cells, all of the class. numbers: those of its code cells, as the programs show them.
        count: what they are made of. second: does the second session of its notebook begin here?
    """

    notebook: str
    file: str
    id: str
    title: str
    cells: tuple[str, ...]
    numbers: tuple[int, ...]
    count: Count
    second: bool = False

    def link(self, to: str = "../") -> str:
        """The heading as a link from a page; `to` leads from that page to the folder of the notebooks."""
        return f"[{self.title}]({to}{self.file}#cell-id={self.id})"

    @property
    def shown(self) -> str:
        """The numbers of its cells in short: "[3] to [9]"."""
        if not self.numbers:
            return ""
        first, last = self.numbers[0], self.numbers[-1]
        return f"[{first}]" if first == last else f"[{first}] to [{last}]"


def notebook(number: str, root: Path = ROOT) -> Path:
    """The file of the notebook with this number."""
    found = sorted((root / "notebooks").glob(f"{number}_*.ipynb"))
    if len(found) != 1:
        raise ValueError(f"Expected one notebook with the number {number}, but got {[path.name for path in found]}.")
    return found[0]


def short(heading: str) -> str:
    """A heading without its number, the ids of identities and minutes.

    Example: short("3. Jensen (F3, 7 min)") == "Jensen"
    """
    without = re.sub(r"^(?:\d+\. |Session \d: )", "", heading)
    return re.sub(r"\s*\((?:[A-P]\d+|\d+ min)(?:, (?:[A-P]\d+|\d+ min))*\)$", "", without)


@cache
def sections(path: Path) -> tuple[Section, ...]:
    """The sections of the class part, in order; the title cell, the set-up and the summary belong to none."""
    every = nbformat.read(path, as_version=4).cells
    place = places(path)
    groups: list[tuple[str, bool, list[nbformat.NotebookNode]]] = []
    inside = False
    second = False
    for cell in every[1:-1]:
        kinds = cell.metadata.get("tags", [])
        heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        if heading:
            inside = "class" in kinds
            second = second or bool(SECOND_SESSION.search(cell.source))
            if inside:
                last = HEADING.findall(cell.source)[-1][1]
                groups.append((short(last), second, []))
                second = False
        if inside and "class" in kinds:
            groups[-1][2].append(cell)
    made = []
    for title, begins, cells in groups:
        shown = [place[cell.id] for cell in cells if cell.cell_type == "code"]
        made.append(
            Section(
                notebook=path.name[:2],
                file=path.name,
                id=cells[0].id,
                title=title,
                cells=tuple(cell.id for cell in cells),
                numbers=tuple(int(number.strip("[]")) for number in shown),
                count=count_cells(path.name[:2], cells),
                second=begins,
            )
        )
    return tuple(made)


def find(number: str, id: str, root: Path = ROOT) -> Section:
    """The section that holds the cell `id`, which is that of its heading as a rule.

    Raises:
        ValueError: there is none; the sentence names the headings there are.
    """
    known = sections(notebook(number, root))
    for section in known:
        if id in section.cells:
            return section
    raise ValueError(
        f"Expected a class cell of notebook {number}, such as one of the headings "
        f"{', '.join(section.id for section in known)}, but got {id!r}."
    )


def halves(number: str, root: Path = ROOT) -> tuple[tuple[Section, ...], tuple[Section, ...]]:
    """The sections of a notebook's two sessions: parted by its heading "# Session 2", otherwise at half the time."""
    found = sections(notebook(number, root))
    at = next((i for i, section in enumerate(found) if section.second), 0)
    if not at:
        spent = [sum(s.count.notebook for s in found[:i]) for i in range(len(found) + 1)]
        at = min(range(1, len(found)), key=lambda i: abs(spent[i] - spent[-1] / 2))
    return found[:at], found[at:]


if __name__ == "__main__":
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        for section in sections(path):
            print(
                section.notebook, f"{section.count.notebook:3d} min", section.id, section.title, section.shown, sep="  "
            )
