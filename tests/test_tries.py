"""Everything that a notebook invites to try can be done as it is written: the notebook runs with the change made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tries import TRIES, Try

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
CASES = [pytest.param(n, each, id=f"{n}-{i}") for n, tries in TRIES.items() for i, each in enumerate(tries, start=1)]


def changed(notebook: nbformat.NotebookNode, wanted: Try) -> nbformat.NotebookNode:
    """The notebook up to `until` with the change in it; raises ValueError where the change does not fit."""
    ids = [cell.id for cell in notebook.cells]
    for name in (wanted.cell, wanted.until):
        if name not in ids:
            raise ValueError(f"Expected the id of a cell, but got {name!r}.")
    if ids.index(wanted.until) < ids.index(wanted.cell):
        raise ValueError(f"Expected {wanted.until} not to be above {wanted.cell}, which is changed.")
    cell = notebook.cells[ids.index(wanted.cell)]
    if wanted.old and cell.source.count(wanted.old) != 1:
        raise ValueError(
            f"Expected {wanted.old!r} once in {wanted.cell}, but got it {cell.source.count(wanted.old)} times."
        )
    cell.source = cell.source.replace(wanted.old, wanted.new) if wanted.old else f"{cell.source}\n{wanted.new}"
    kept = [each for each in notebook.cells[: ids.index(wanted.until) + 1] if each.cell_type == "code"]
    return nbformat.v4.new_notebook(cells=kept, metadata=notebook.metadata)


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Runs every cell; raises CellExecutionError at the first that fails."""
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.comm_open_handlers.clear()  # of widgets; with them it may hang
    client.execute()


def asked(summary: str) -> int:
    """How many things a summary invites to try: the numbers 1. or (1) between **Try** and the exercises."""
    part = summary.partition("**Try**")[2].partition("**Exercise")[0]
    return len(re.findall(r"^\d\. |\(\d\) ", part, re.MULTILINE))


@pytest.mark.parametrize("number", sorted(TRIES))
def test_every_try_of_a_summary_is_tried(number: str) -> None:
    summary = nbformat.read(NOTEBOOKS[number], as_version=4).cells[-1].source
    assert asked(summary) == len(TRIES[number]) > 0


@pytest.mark.parametrize(("number", "wanted"), CASES)
def test_try_fits_its_notebook_and_says_what_is_seen(number: str, wanted: Try) -> None:
    changed(nbformat.read(NOTEBOOKS[number], as_version=4), wanted)
    assert len(wanted.sees.split()) >= 4 and wanted.sees.endswith(".")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("number", "wanted"), CASES)
def test_try_runs_without_an_error(number: str, wanted: Try) -> None:
    run(changed(nbformat.read(NOTEBOOKS[number], as_version=4), wanted), NOTEBOOKS[number].parent)


# ------------------------------------------------------------------------------------------------ the tests themselves


def small() -> nbformat.NotebookNode:
    cells: list[Any] = [
        nbformat.v4.new_code_cell(source, id=id)
        for id, source in (("numbers", "a = 2\nb = 3"), ("sum", "assert a + b < 10"), ("later", "1 / 0"))
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 42", id="title"), *cells])


def test_change_is_made_in_one_place_and_cells_below_are_left_out() -> None:
    notebook = changed(small(), Try("numbers", "b = 3", "b = 4", "sum", "It is larger."))
    assert [cell.source for cell in notebook.cells] == ["a = 2\nb = 4", "assert a + b < 10"]
    added = changed(small(), Try("numbers", "", "b = 5", "numbers", "It is larger."))
    assert [cell.source for cell in added.cells] == ["a = 2\nb = 3\nb = 5"]


@pytest.mark.parametrize(
    ("cell", "old", "until", "says"),
    [
        ("gone", "b", "sum", "Expected the id"),
        ("numbers", "c = 3", "sum", "it 0 times"),
        ("numbers", " = ", "sum", "it 2 times"),
        ("sum", "a", "numbers", "not to be above"),
    ],
)
def test_change_that_does_not_fit_is_refused(cell: str, old: str, until: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        changed(small(), Try(cell, old, "x", until, ""))


@pytest.mark.slow
def test_try_that_fails_is_noticed(tmp_path: Path) -> None:
    run(changed(small(), Try("numbers", "b = 3", "b = 4", "sum", "")), tmp_path)
    with pytest.raises(CellExecutionError, match="AssertionError"):
        run(changed(small(), Try("numbers", "b = 3", "b = 40", "sum", "")), tmp_path)


def test_tries_are_counted_in_a_list_and_in_a_line() -> None:
    listed = (
        "## Summary\n\n1. not this\n\n**Try** (5 minutes each)\n\n1. One.\n2. Two (2 of them).\n\n**Exercises** 1. x"
    )
    in_line = "**Try** (5 minutes each): (1) One, $f(2)$. (2) Two\n(3) Three.\n\n**Exercises** (4) x"
    assert (asked(listed), asked(in_line)) == (2, 3)
