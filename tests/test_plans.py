"""The session plans name cells by the numbers that a teacher sees."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import plans
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
by_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@by_notebook
def test_numbers_in_a_plan_are_those_stored_with_the_cells(notebook: Path) -> None:
    """The stored numbers are those of a run from top to bottom in a fresh kernel."""
    cells = nbformat.read(notebook, as_version=4).cells
    stored = {cell.id: cell.execution_count for cell in cells if cell.cell_type == "code"}
    text = plans.path_of(notebook).read_text(encoding="utf-8")
    told = re.findall(r"`([a-z0-9-]+)` \[(\d+)\]", text)
    assert len(told) > 10
    assert [(name, int(number)) for name, number in told if stored[name] != int(number)] == []


@by_notebook
def test_plan_is_in_step_with_its_notebook(notebook: Path) -> None:
    text = plans.path_of(notebook).read_text(encoding="utf-8")
    assert text == plans.plan(text, plans.places(notebook)), "run tools/plans.py"


def test_every_row_of_a_plan_leads_to_a_place() -> None:
    for notebook in NOTEBOOKS:
        for line in plans.path_of(notebook).read_text(encoding="utf-8").splitlines():
            if re.match(r"\| \d+ \|", line) and "`" in (cells := line.split("|")[2]):
                assert plans.WRITTEN.search(cells), line


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    new = nbformat.v4
    cells = [
        new.new_markdown_cell("# A", id="title"),
        new.new_code_cell("1", id="setup"),
        new.new_markdown_cell("## B", id="f1"),
        new.new_markdown_cell("text", id="f1-text"),
        new.new_code_cell("2", id="f1-check"),
        new.new_markdown_cell("end", id="summary"),
    ]
    nbformat.write(new.new_notebook(cells=cells), tmp_path / "01_a.ipynb")
    return plans.places(tmp_path / "01_a.ipynb")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("| 5 | `f1`, `f1-check` | `setup` |", "| 5 | `f1`, `f1-check` [2] | `setup` |"),
        ("| 5 | `f1`, `f1-check` [7] | x |", "| 5 | `f1`, `f1-check` [2] | x |"),
        ("| 5 | `title`, `f1-text` | x |", "| 5 | `title`, `f1-text` (above [2]) | x |"),
        ("| 5 | `summary` (above [3]) | x |", "| 5 | `summary` (at the end) | x |"),
        ("| min | cells | on the board |", "| min | cells | on the board |"),
        ("|--:|:--|:--|", "|--:|:--|:--|"),
        ("| 5 | the opening | $p(x \\| z)$ |", "| 5 | the opening | $p(x \\| z)$ |"),
        (f"{plans.LATE} `f1`, `setup` [9].", f"{plans.LATE} `f1` (above [2]), `setup` [1]."),
        ("**Homework.** `setup` on paper.", "**Homework.** `setup` on paper."),
    ],
)
def test_numbers_are_written_where_cells_are_named_and_replaced(place: dict[str, str], before: str, after: str) -> None:
    assert plans.plan(before, place) == after
    assert plans.plan(after, place) == after
