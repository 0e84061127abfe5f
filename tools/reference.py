"""The ledger as pages of a reference: one for each identity, one for each chapter, an index by name and one by formula.

Where an identity is taught, used and exercised is read from the notebooks and the exercises themselves.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from vaelib._breaks import in_table
from vaelib._latex import bars, prose, spoken
from vaelib.derivation import Derivation
from vaelib.ledger import LEDGER
from vaelib.verify import CHAPTERS

NAME = re.compile(r"\b[A-P]\d{1,2}\b")


class Place(NamedTuple):
    """Where something is found: the title of a page, and its address."""

    title: str
    page: str

    @property
    def link(self) -> str:
        return f"[{self.title}]({self.page})"


def taught(root: Path) -> dict[str, list[Place]]:
    """identity -> notebooks whose code shows or checks it, each with the first cell that does."""
    found: dict[str, list[Place]] = defaultdict(list)
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
        for cell in cells:
            source = "".join(cell["source"])
            if cell["cell_type"] != "code" or "setup" in cell["metadata"].get("tags", []):
                continue
            for name in dict.fromkeys(NAME.findall(source)):
                if name in LEDGER and all(place.title != title for place in found[name]):
                    found[name].append(Place(title, f"/notebooks/{path.name}"))
    return found


def exercised(root: Path) -> dict[str, list[Place]]:
    """identity -> exercises that are made of it."""
    found: dict[str, list[Place]] = defaultdict(list)
    for path in sorted((root / "vaelib" / "tasks").glob("n[0-9][0-9]_*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
                continue
            said = {word.arg: word.value for word in statement.value.keywords}
            name, title = said.get("id"), said.get("title")
            if not isinstance(name, ast.Constant) or not isinstance(title, ast.Constant):
                continue
            place = Place(f"{name.value!s} {title.value!s}", f"/exercises/{path.stem[1:]}.ipynb")
            for part in ast.walk(statement.value):
                if isinstance(part, ast.Name) and part.id in LEDGER and place not in found[part.id]:
                    found[part.id].append(place)
    return found


@cache
def _assignments(path: Path) -> dict[str, str]:
    """name -> the source of its assignment, in a file of the ledger."""
    text = path.read_text(encoding="utf-8")
    made = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            made[statement.targets[0].id] = ast.get_source_segment(text, statement) or ""
    return made


def source_of(root: Path, identity: str) -> tuple[Path, str]:
    """The file of the ledger that holds an identity, and the lines that define it."""
    for path in sorted((root / "vaelib" / "ledger").glob("[a-z]_*.py")):
        if identity in _assignments(path):
            return path, _assignments(path)[identity]
    raise KeyError(identity)


def rejected(slips: int) -> str:
    return "The mistake below was rejected." if slips == 1 else f"Each of the {slips} mistakes below was rejected."


def page(root: Path, derivation: Derivation, places: Mapping[str, list[Place]], work: Mapping[str, list[Place]]) -> str:
    """The page of one identity."""
    path, code = source_of(root, derivation.id)
    letter = derivation.id[0]
    lines = [f"# {derivation.id} {prose(derivation.title)}", ""]
    lines += [f"[The ledger](index.md), chapter [{letter} {prose(CHAPTERS[letter])}]({letter}.md)", ""]
    if derivation.assumptions:
        lines += [f"*It holds if:* {prose(derivation.assumptions)}", ""]
    lines += ["## The derivation", "", *derivation.chain()._repr_markdown_().splitlines()[2:], ""]
    lines += [
        f"Each line was evaluated on random models, and holds there. {rejected(len(derivation.slips))} To see it, type",
        "",
    ]
    lines += ["```console", f"vaelib verify {derivation.id}", "```", ""]
    lines += ["## Mistakes that the check knows", ""]
    for slip in derivation.slips:
        latex = getattr(slip.value, "latex", "")
        shown = in_table(latex) if latex else ""
        lines += [
            f'<details class="slip"><summary>{escape(spoken(slip.name))}, in line {slip.line}</summary>',
            "",
            shown,
            "",
            prose(slip.says) + (f" *Found in {prose(slip.real)}.*" if slip.real else ""),
            "",
            "</details>",
            "",
        ]
    lines += ["## Where it is found", ""]
    if places.get(derivation.id):
        lines.append("- Taught or used in " + ", ".join(place.link for place in places[derivation.id]))
    if work.get(derivation.id):
        lines.append("- Exercised in " + ", ".join(place.link for place in work[derivation.id]))
    if derivation.source:
        lines.append(f"- Source: {prose(derivation.source)}")
    lines += [
        f"- Check it yourself: `vaelib verify {derivation.id}`, or `from vaelib.ledger import {derivation.id}` and "
        f"`{derivation.id}.check().table`",
        "",
        f"## What is evaluated\n\nFrom `vaelib/ledger/{path.name}`:",
        "",
        "```python",
        code,
        "```",
        "",
    ]
    return "\n".join(lines)


def ledger_pages(root: Path) -> dict[str, str]:
    """path of a page -> its text, for the whole ledger."""
    places, work = taught(root), exercised(root)
    pages = {f"ledger/{name}.md": page(root, derivation, places, work) for name, derivation in LEDGER.items()}
    pages |= {f"ledger/{letter}.md": chapter(letter, names) for letter, names in by_chapter().items()}
    return pages | {"ledger/index.md": contents(), "ledger/names.md": by_name(), "ledger/formulas.md": by_formula()}


def ends(derivation: Derivation) -> list[str]:
    """The formulas that a chain leads from and to."""
    return [in_table(derivation.lines[0].latex), in_table(derivation.lines[-1].latex)]


def by_chapter() -> dict[str, list[str]]:
    """Letter of a chapter -> its identities, in the order of the ledger."""
    found = defaultdict(list)
    for name in LEDGER:
        found[name[0]].append(name)
    return found


def contents() -> str:
    """The chapters, with the titles of what is in them."""
    lines = [
        "# The ledger",
        "",
        f"{len(LEDGER)} identities, each checked line by line. The page of a chapter shows which formulas each of them "
        "begins and ends with. They are also listed [by name](names.md) and [by formula](formulas.md).",
        "",
    ]
    for letter, names in by_chapter().items():
        lines += [f"## [{letter} {prose(CHAPTERS[letter])}]({letter}.md)", ""]
        lines += [*(f"- [{name}]({name}.md) {prose(LEDGER[name].title)}" for name in names), ""]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *by_chapter(), "```", ""])


def chapter(letter: str, names: list[str]) -> str:
    """The identities of a chapter, each with the formulas that it leads from and to."""
    lines = [f"# {letter} {prose(CHAPTERS[letter])}", "", "| no. | statement | from | to |", "|:--|:--|:--|:--|"]
    lines += [bars([f"[{name}]({name}.md)", prose(LEDGER[name].title), *ends(LEDGER[name])]) for name in names]
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *names, "```", ""])


def by_name() -> str:
    """The identities in the order of the alphabet, as their titles begin without an article."""
    titles = sorted((re.sub(r"^([Tt]he|An|an|a) ", "", derivation.title), name) for name, derivation in LEDGER.items())
    groups = defaultdict(list)
    for title, name in sorted(titles, key=lambda row: re.sub(r"\W", "", row[0]).lower()):
        groups[next(c for c in title if c.isalnum()).upper()].append(f"- {prose(title)}: [{name}]({name}.md)")
    lines = ["# Identities by name", ""]
    for letter, rows in groups.items():
        lines += [f"## {letter}", "", *rows, ""]
    return "\n".join(lines)


def by_formula() -> str:
    """The identities that begin with the same formula, together."""
    groups = defaultdict(list)
    for name, derivation in LEDGER.items():
        groups[ends(derivation)[0]].append(name)
    lines = ["# Identities by formula", "", "What a formula becomes: each row is one way.", ""]
    lines += ["| identity | from | to |", "|:--|:--|:--|"]
    for formula, names in sorted(groups.items(), key=lambda group: (-len(group[1]), len(group[0]))):
        for name in names:
            goal = ends(LEDGER[name])[1]
            lines.append(bars([f"[{name}]({name}.md) {prose(LEDGER[name].title)}", formula, goal]))
    return "\n".join([*lines, ""])
