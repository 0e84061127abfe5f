"""Make the students' notebooks from exercises/source: python tools/make_exercises.py [SOURCE ...], all unless given.

A source holds statement and solution (jupytext's percent format, with nbgrader's metadata and marks); both are
written only there. nbgrader's own preprocessors take solutions and hidden tests out. Cell ids come from nbgrader's
ids, or from the cell's content, so that equal sources make equal notebooks.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbgrader.preprocessors import ClearHiddenTests, ClearOutput, ClearSolutions, LockCells
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
STUB = "...  # your code here"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def with_solutions(source: Path) -> nbformat.NotebookNode:
    """The notebook as its source has it, with stable cell ids."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    taken: set[str] = set()
    for cell in notebook.cells:
        cell.id = cell_id(cell, taken)
        taken.add(cell.id)
    return notebook


def cell_id(cell: Any, taken: set[str]) -> str:
    graded = cell.metadata.get("nbgrader", {}).get("grade_id")
    name = f"cell-{graded or hashlib.sha256(cell.source.encode()).hexdigest()[:8]}"
    return name if name not in taken else f"{name}-{len(taken)}"


def for_students(source: Path) -> nbformat.NotebookNode:
    """The same without solutions and hidden tests."""
    settings = Config()
    settings.ClearSolutions.code_stub = {"python": STUB}
    notebook = with_solutions(source)
    resources: dict[str, Any] = {}
    for preprocessor in (ClearSolutions, ClearHiddenTests, LockCells, ClearOutput):
        notebook, resources = preprocessor(config=settings).preprocess(notebook, resources)
    for cell in notebook.cells:  # a variable has its own `...` above the solution
        cell.source = cell.source.removesuffix(f"\n{STUB}").rstrip()
    nbformat.validate(notebook)
    return notebook


def target(source: Path) -> Path:
    return source.parent.parent / f"{source.stem}.ipynb"


def sources() -> list[Path]:
    return sorted((ROOT / "exercises" / "source").glob("[0-9][0-9]_*.py"))


if __name__ == "__main__":
    for source in [Path(name).resolve() for name in sys.argv[1:]] or sources():
        nbformat.write(for_students(source), target(source))
        print(target(source).relative_to(ROOT))
