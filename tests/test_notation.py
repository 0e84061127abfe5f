"""One letter, one meaning: the table of symbols is true of the notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import notation
import pytest
from notation import SYMBOLS, Symbol

from vaelib.ledger import LEDGER

# (notebook, symbol): the letter still means something else there, too; a list that gets shorter
NOT_YET = {
    ("09", r"\rho"),
}
by_symbol = pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.latex)


def other_meanings(symbol: Symbol, paths: list[Path]) -> set[tuple[str, str]]:
    """(notebook, symbol) for each notebook that uses the letter for something else."""
    return {
        (path.name[:2], symbol.latex)
        for path in paths
        for _, text in notation.texts(path)
        if any(re.search(pattern, text) for pattern in symbol.otherwise)
    }


@pytest.fixture(scope="module")
def first() -> dict[str, tuple[str, str]]:
    return notation.first_uses()


def test_page_is_written_from_the_list() -> None:
    assert notation.PAGE.read_text(encoding="utf-8") == notation.page(), "python tools/notation.py writes it"


@by_symbol
def test_symbol_is_first_used_where_the_table_says(symbol: Symbol, first: dict[str, tuple[str, str]]) -> None:
    """`python tools/notation.py --where` prints where each is first used."""
    assert symbol.latex in first, "it is used nowhere"
    number, cell = first[symbol.latex]
    assert number == symbol.first, f"first used in cell {cell}"


@by_symbol
def test_symbol_has_no_other_meaning_but_where_that_is_still_to_be_mended(symbol: Symbol) -> None:
    expected = {each for each in NOT_YET if each[1] == symbol.latex}
    assert other_meanings(symbol, notation.notebooks()) == expected


def test_no_line_of_the_ledger_takes_the_number_of_draws_for_a_matrix() -> None:
    matrix = re.compile(r"(?:\\mathrm\{tr\}|\\log\\left\||\^\{-1\}|\^\\top)[^,]*?(?<![\w\\])S(?!\w)")
    assert matrix.search(r"\mathrm{tr}(\Sigma^{-1} S)") and not matrix.search(r"\tfrac{1}{S}\, \mathrm{tr}(A)")
    found = [(d.id, i) for d in LEDGER.values() for i, line in enumerate(d.lines) if matrix.search(line.latex)]
    assert found == []


def test_symbols_differ_and_can_be_read_aloud() -> None:
    assert len({symbol.latex for symbol in SYMBOLS}) == len({symbol.means for symbol in SYMBOLS}) == len(SYMBOLS)
    assert all(symbol.say and symbol.means and symbol.code.startswith("`") for symbol in SYMBOLS)


def notebook(folder: Path, name: str, *cells: Any) -> Path:
    path = folder / name
    made = [nbformat.v4.new_markdown_cell(source, id=id) for id, source in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def test_first_use_is_that_of_a_formula_outside_of_tables(tmp_path: Path) -> None:
    symbol = Symbol("K", "K", "how many", "`n`", "02", r"(?<!\w)K(?!\w)", (r"\$K\$ clusters",))
    one = notebook(tmp_path, "01_a.ipynb", ("title", "$K$"), ("a", "Kelvin, K, and $L$\n| $K$ |"), ("notation", "$K$"))
    two = notebook(tmp_path, "02_b.ipynb", ("b", "Nothing."), ("c", "There are $K$ clusters."))
    assert notation.first_uses((symbol,), [one, two]) == {"K": ("02", "c")}
    assert other_meanings(symbol, [one, two]) == {("02", "K")}
