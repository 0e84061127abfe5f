"""Write notebooks/teach/mistakes/NN.md, the common wrong answers to each notebook: python tools/mistakes.py

They come from the slips of the identities that the notebook checks, and from the mistakes that its exercises know.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from vaelib._latex import for_table, prose
from vaelib.ledger import LEDGER
from vaelib.tasks import FILES, tasks_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks" / "teach" / "mistakes"


def checked_in(notebook: Path) -> list[str]:
    """Identities of the ledger that the notebook's cells check, in the order of the notebook."""
    source = "\n".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code")
    return [id for id in dict.fromkeys(re.findall(r"\b([A-P]\d{1,2})\b", source)) if id in LEDGER]


def sheet(notebook: Path) -> str:
    """The page for one notebook."""
    number = notebook.name[:2]
    lines = [f"# Common wrong answers to notebook {number}", ""]
    lines += [
        "Written by `tools/mistakes.py` from the slips that the checks reject. **Published** means: seen in print.",
        "",
    ]
    if number in FILES:
        lines += ["## In the exercises", "", "| exercise | mistake | what to say |", "|:--|:--|:--|"]
        for id, task in tasks_of(number).items():
            for mistake in task.mistakes:
                lines.append(
                    f"| {id} {prose(task.title)} | {prose(mistake.name)}{_seen(mistake.real)} | {prose(mistake.says)} |"
                )
        lines.append("")
    lines += ["## In the derivations", "", "| line | mistake | what to say |", "|:--|:--|:--|"]
    for id in checked_in(notebook):
        for slip in LEDGER[id].slips:
            shown = f" {for_table(slip.latex)}" if slip.latex else ""
            lines.append(
                f"| {id}, line {slip.line} | {prose(slip.name)}{_seen(slip.real)}{shown} | {prose(slip.says)} |"
            )
    return "\n".join(lines) + "\n"


def _seen(real: str) -> str:
    return " **published**" if real else ""


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for notebook in notebooks():
        (FOLDER / f"{notebook.name[:2]}.md").write_text(sheet(notebook), encoding="utf-8")
        print(f"{notebook.name[:2]}.md: {len(checked_in(notebook))} identities")
