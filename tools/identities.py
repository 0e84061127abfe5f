"""Write notebooks/teach/identities.md, the index of all identities of the ledger: python tools/identities.py

Name and statement come from the ledger, the places from the cells of the notebooks, and only which exercise practises
which identity is written here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from minutes import ROOT
from plans import places

from vaelib._latex import for_table, prose
from vaelib.derivation import Derivation
from vaelib.derivation.compare import compose
from vaelib.derivation.lines import relation_between
from vaelib.derivation.signs import SIGNS
from vaelib.ledger import LEDGER
from vaelib.task import Task
from vaelib.tasks import all_in_class, all_tasks

PAGE = Path("notebooks") / "teach" / "identities.md"
CHAPTERS = {
    "A": "Bayes' rule",
    "B": "The evidence",
    "C": "Divergence",
    "D": "Entropy and likelihoods",
    "E": "Gaussians",
    "F": "The bound",
    "G": "EM",
    "H": "Gradients",
    "I": "Gaps",
    "J": "Importance weights",
    "K": "Rate and distortion",
    "L": "Linear VAEs",
    "M": "Missing pixels",
    "N": "Numerics",
    "P": "Chains of latents",
}
# Identity: the two lines that state it, where these are not the first line and the last that is neither code nor a
# sample mean.
STATED = {
    **dict.fromkeys(("A12", "D2", "D7", "E2", "E3", "E4", "E9", "E11", "F11", "F17", "H2", "K4", "N7"), (0, 2)),
    **dict.fromkeys(("B2", "D1", "D3", "E1", "F3", "H1", "H10", "K1", "E6"), (0, 3)),
    **dict.fromkeys(("A8", "E16", "F8"), (0, 1)),
    **{"A2": (1, 2), "B4": (0, 2), "C2": (0, 2), "C4": (1, 3), "C24": (1, 4), "D4": (0, 4), "F2": (0, 6)},
    **{
        "F21": (3, 4),
        "J2": (1, 4),
        "H20": (0, 3),
        "F12": (0, 1),
        "D13": (0, 2),
        "I1": (0, 2),
        "B3": (0, 2),
        "A1": (0, 2),
    },
    **dict.fromkeys(("B9", "C16", "C19", "D5", "D11", "E20"), (0, 2)),
    **dict.fromkeys(("C13", "C18", "C22", "E5", "E7", "E17", "E18"), (0, 3)),
    **{"C20": (1, 5), "D10": (2, 4)},
    **dict.fromkeys(("G10", "I3", "J9", "J17"), (0, 2)),
    **dict.fromkeys(("G3", "G5", "H6", "H15", "J15"), (0, 3)),
    **{"G8": (3, 4), "J11": (1, 2), "J12": (1, 4), "J16": (1, 5)},
}
# Exercise, or task in class: the identities that it practises; empty where it practises a skill that no line states.
PRACTISED = {
    "00.1": "N6",
    "00.2": "N6 A6",
    "00.3": "N4",
    "01.a": "A1",
    "01.b": "A7",
    "01.1": "A1",
    "01.2": "A10 A7",
    "01.3": "A10",
    "02.a": "B1",
    "02.b": "B2",
    "02.1": "B1",
    "02.2": "B3 B2",
    "02.3": "B5 E15",
    "03.a": "C1",
    "03.1": "C4 C24",
    "03.2": "C1 C24",
    "03.3": "C17",
    "03.4": "C2",
    "04.a": "D2",
    "04.1": "E1",
    "04.2": "E2",
    "04.3": "E1",
    "04.4": "E4",
    "05.a": "F2",
    "05.b": "F5",
    "05.1": "F2 F1",
    "05.2": "F2",
    "05.3": "F4",
    "06.a": "F6",
    "06.b": "G6",
    "06.1": "G1 F7",
    "06.2": "G1",
    "06.3": "G1",
    "06.4": "G6",
    "06.5": "F4",
    "07.a": "H2",
    "07.b": "H16",
    "07.1": "H7",
    "07.2": "H1 H2",
    "07.3": "H19 H2",
    "08.a": "I2",
    "08.1": "F9",
    "08.2": "F8",
    "08.3": "L4",
    "08.4": "L7",
    "09.a": "",
    "09.b": "H1",
    "09.c": "",
    "09.d": "F11 D8",
    "09.e": "E2",
    "09.f": "",
    "09.1": "D12",
    "09.2": "F11 D8",
    "09.3": "F10",
    "10.a": "J3",
    "10.b": "M3",
    "10.c": "F24",
    "10.1": "J18",
    "10.2": "I1",
    "10.3": "J13",
    "10.4": "F24 A12",
    "11.a": "K1",
    "11.b": "K11",
    "11.1": "K4",
    "11.2": "K9",
    "11.3": "K1 K4",
    "11.4": "K7 L4",
    "11.5": "K11 K12",
    "12.a": "M4",
    "12.b": "M4",
    "12.1": "M4 M1",
    "12.2": "M1",
    "12.3": "A11 M1",
    "12.4": "M3",
    "12.5": "M4",
    "13.a": "D9",
    "13.1": "",
    "13.2": "J18 F12",
    "13.3": "N1 E9",
    "14.a": "P1",
    "14.b": "P2 P5",
    "14.1": "P2",
    "14.2": "P6",
    "14.3": "P7",
}


@dataclass(frozen=True)
class Place:
    """A code cell that names an identity. `kind` is class or optional; `shown` is the cell's number, "[8]"."""

    notebook: str
    file: str
    cell: str
    kind: str
    shown: str

    @property
    def link(self) -> str:
        optional = ", optional" if self.kind == "optional" else ""
        return f"[{self.notebook} {self.shown.strip('[]')}](../{self.file}#cell-id={self.cell}){optional}"


def named(root: Path = ROOT) -> dict[str, list[Place]]:
    """Identity -> where code names it: in each notebook the first cell of the class, otherwise an optional one."""
    found: dict[str, list[Place]] = {id: [] for id in LEDGER}
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        place = places(path)
        here: dict[str, Place] = {}
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        for kind in ("class", "optional"):
            for cell in (cell for cell in cells if kind in cell.metadata.get("tags", [])):
                for id in re.findall(r"(?<![\w.])[A-P]\d{1,2}\b", cell.source):
                    if id in LEDGER:
                        here.setdefault(id, Place(path.name[:2], path.name, cell.id, kind, place[cell.id]))
        for id, first in here.items():
            found[id].append(first)
    return found


def taught(at: list[Place]) -> Place:
    """The first place in class; for what is optional everywhere, the first."""
    return next((place for place in at if place.kind == "class"), at[0])


def parted(latex: str) -> tuple[str, str]:
    r"""A line without what it says of its names, and that: ("S^2", r",\quad S = a + b"), or with "for all z".

    Example: parted(r"p(z) \quad \forall z") == ("p(z)", r" \quad \forall z")
    """
    found = re.search(r",\\quad (?=[^=]*?=)(?!.*,\\quad [^=]*$)| \\quad \\forall", latex)
    return (latex[: found.start()], latex[found.start() :]) if found else (latex, "")


def statement(derivation: Derivation) -> str:
    r"""The identity in a line of LaTeX: \log p(x) \ge \mathbb{E}_{q}[...] - ...

    Raises:
        ValueError: nothing follows between the lines that are to state it.
    """
    lines = derivation.lines

    def follows(first: int, last: int) -> str | None:
        return compose([line.relation for line in lines[first + 1 : last + 1]])

    plain = [i for i in range(1, len(lines)) if r"\mathtt" not in lines[i].latex and lines[i].samples is None]
    last = max([i for i in plain if follows(0, i)], default=len(lines) - 1)
    first, last = STATED.get(derivation.id, (0, last))
    relation = follows(first, last)
    if relation is None or first >= last:
        raise ValueError(f"Expected line {last} of {derivation.id} to follow from line {first}, but nothing follows.")
    sign = SIGNS[relation_between(lines, first, last)][1]
    if relation.startswith("same"):
        sign = rf"\ \text{{has the same {relation[5:]} as}}\ "
    (left, of_left), (right, of_right) = parted(lines[first].latex), parted(lines[last].latex)
    return f"{left} {sign}{right}{of_right}{of_left if of_left != of_right else ''}"


def known() -> dict[str, Task]:
    """Every exercise and every task in class, in the order of the course."""
    return dict(sorted({**all_in_class(), **all_tasks()}.items()))


def practised(id: str) -> list[str]:
    """The exercises and tasks in class that practise an identity."""
    return [exercise for exercise, ids in PRACTISED.items() if id in ids.split() and exercise in known()]


def row(id: str, at: list[Place]) -> str:
    first = taught(at).link if at else "in no notebook"
    others = ", ".join(place.link for place in at if place.link != first)
    exercises = ", ".join(practised(id))
    derivation = LEDGER[id]
    name = prose(derivation.title)
    return f"| {id} | {name} | {for_table(statement(derivation))} | {first} | {others} | {exercises} |"


def page(root: Path = ROOT) -> str:
    """The index, in Markdown, a table for each chapter."""
    places_of = named(root)
    lines = [
        "# Index of the identities",
        "",
        f"These are all {len(LEDGER)} identities that the course checks.",
        "After `from vaelib.ledger import F2`, the name `F2` shows the whole chain with its assumptions, and",
        "`F2.check()` checks it.",
        "*Taught* and *used* name notebook and cell, as the cell is numbered after all cells were run once.",
        "What is in no notebook is checked by `vaelib verify` alone.",
    ]
    for letter, chapter in CHAPTERS.items():
        lines += ["", f"## {letter}. {chapter}", ""]
        lines += ["| no. | name | statement | taught | used | practised |", "|:--|:--|:--|:--|:--|:--|"]
        lines += [row(id, places_of[id]) for id in LEDGER if id[0] == letter]
    lines += ["", "## Practised", "", "| exercise | title | identities |", "|:--|:--|:--|"]
    lines += [
        f"| {id} | {prose(each.title)} | {', '.join(PRACTISED.get(id, '').split())} |" for id, each in known().items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / PAGE).write_text(page(), encoding="utf-8")
    print(f"{PAGE.as_posix()}: written")
