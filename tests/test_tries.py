"""Everything that a notebook invites to try can be done as it is written: the cells run with the change made.

Each notebook is run once, and every try is made in it as a student makes it: where all above has been run.
"""

from __future__ import annotations

import copy
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


def changed(notebook: nbformat.NotebookNode, wanted: Try) -> list[nbformat.NotebookNode]:
    """The code cells from the one that is changed to `until`; raises ValueError where the change does not fit."""
    ids = [cell.id for cell in notebook.cells]
    for name in (wanted.cell, wanted.until):
        if name not in ids:
            raise ValueError(f"Expected the id of a cell, but got {name!r}.")
    first, last = ids.index(wanted.cell), ids.index(wanted.until)
    if last < first:
        raise ValueError(f"Expected {wanted.until} not to be above {wanted.cell}, which is changed.")
    found, *below = copy.deepcopy(notebook.cells[first : last + 1])
    if wanted.old and found.source.count(wanted.old) != 1:
        raise ValueError(
            f"Expected {wanted.old!r} once in {wanted.cell}, but got it {found.source.count(wanted.old)} times."
        )
    found.source = found.source.replace(wanted.old, wanted.new) if wanted.old else f"{found.source}\n{wanted.new}"
    return [found, *(cell for cell in below if cell.cell_type == "code")]


# Names as they were before the cell of a try: a try finds none that a cell below or another try has set. Objects that
# these change in place, such as a generator of random numbers, stay changed, as they do for a student.
KEEP = "_kept = {**globals().get('_kept', {}), %r: dict(globals())}"
PUT_BACK = """
for _name in set(globals()) - set(_kept[%r]):
    if not _name.startswith("_"):
        del globals()[_name]
globals().update((_name, _value) for _name, _value in _kept[%r].items() if not _name.startswith("_"))
"""


def run(notebook: nbformat.NotebookNode, tries: list[Try], folder: Path) -> list[str]:
    """What fails: a line for each try that does not run to its end. The lowest in the notebook comes first.

    Raises CellExecutionError where the notebook itself fails, and CellTimeoutError where a cell takes too long.
    """
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=120, kernel_name="python3", resources=resources)
    client.comm_open_handlers.clear()  # of widgets; with them it may hang
    ids, failed = [cell.id for cell in notebook.cells], []
    lowest_first = sorted(tries, key=lambda wanted: ids.index(wanted.cell), reverse=True)

    def execute(cells: list[nbformat.NotebookNode]) -> None:
        for cell in cells:
            client.nb.cells.append(cell)
            client.execute_cell(cell, len(client.nb.cells) - 1)

    def typed(source: str) -> None:
        execute([nbformat.v4.new_code_cell(source)])

    with client.setup_kernel():
        for cell in copy.deepcopy(notebook.cells[: ids.index(lowest_first[0].cell) + 1]):
            if cell.id in {wanted.cell for wanted in tries}:
                typed(KEEP % cell.id)
            if cell.cell_type == "code" and cell.id != lowest_first[0].cell:
                execute([cell])
        for wanted in lowest_first:
            typed(PUT_BACK % (wanted.cell, wanted.cell))
            try:
                execute(changed(notebook, wanted))
            except CellExecutionError as error:
                failed.append(f"{wanted}: {error}")
    return failed


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
@pytest.mark.parametrize("number", sorted(TRIES))
def test_tries_run_without_an_error(number: str) -> None:
    path = NOTEBOOKS[number]
    assert run(nbformat.read(path, as_version=4), TRIES[number], path.parent) == []


# ------------------------------------------------------------------------------------------------ the tests themselves


def small() -> nbformat.NotebookNode:
    cells: list[Any] = [
        nbformat.v4.new_code_cell(source, id=id)
        for id, source in (("numbers", "a = 2\nb = 3"), ("sum", "assert a + b < 10"), ("later", "1 / 0"))
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 42", id="title"), *cells])


def test_change_is_made_in_one_place_and_cells_below_are_left_out() -> None:
    cells = changed(small(), Try("numbers", "b = 3", "b = 4", "sum", "It is larger."))
    assert [cell.source for cell in cells] == ["a = 2\nb = 4", "assert a + b < 10"]
    added = changed(small(), Try("numbers", "", "b = 5", "numbers", "It is larger."))
    assert [cell.source for cell in added] == ["a = 2\nb = 3\nb = 5"]


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
def test_try_that_fails_is_noticed_and_the_others_are_made(tmp_path: Path) -> None:
    """From below, and each with the names that there were above it: `below` alone finds (2, 3)."""
    fine, fails = Try("numbers", "b = 3", "b = 4", "sum", ""), Try("numbers", "b = 3", "b = 40", "sum", "")
    below = Try("sum", "a + b < 10", "(a, b) == (2, 3); a = 90", "sum", "")
    (told,) = run(small(), [fine, fails, below], tmp_path)
    assert "b = 40" in told and "AssertionError" in told
    renamed = Try("numbers", "a = 2", "c = 2", "sum", "")  # `a`, which the cells above had set once, is gone
    (told,) = run(small(), [renamed, Try("sum", "< 10", "< 11", "sum", "")], tmp_path)
    assert "c = 2" in told and "NameError" in told
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebook = small()
        notebook.cells.append(nbformat.v4.new_code_cell("", id="last"))
        run(notebook, [Try("last", "", "a", "last", "")], tmp_path)


def test_tries_are_counted_in_a_list_and_in_a_line() -> None:
    listed = (
        "## Summary\n\n1. not this\n\n**Try** (5 minutes each)\n\n1. One.\n2. Two (2 of them).\n\n**Exercises** 1. x"
    )
    in_line = "**Try** (5 minutes each): (1) One, $f(2)$. (2) Two\n(3) Three.\n\n**Exercises** (4) x"
    assert (asked(listed), asked(in_line)) == (2, 3)
