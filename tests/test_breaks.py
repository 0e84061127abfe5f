"""Long formulas in tables are broken between statements and terms, nowhere else, and lose nothing."""

from __future__ import annotations

import re

import pytest

from vaelib._breaks import LETTERS, in_table, lines
from vaelib._latex import plain, width
from vaelib.check.mathml import as_mathml
from vaelib.ledger import LEDGER

ROWS = [(name, latex) for name, one in LEDGER.items() for _, latex, *_ in one.chain()._rows()]


@pytest.mark.parametrize(
    ("latex", "letters", "expected"),
    [
        ("a + b", 66, ["a + b"]),
        ("a + b", 3, ["a ", r"\quad {}+ b"]),
        (r"a,\quad b = c", 5, ["a,", "b = c"]),
        (r"aa,\quad b,\quad c = d", 8, [r"aa, \quad b,", "c = d"]),
        (r"f(a + b) - c", 8, ["f(a + b) ", r"\quad {}- c"]),
        (r"f(a + b)", 5, ["f(a ", r"\quad {}+ b)"]),
        (r"\left[aa + b\right]", 3, [r"\left[aa \right.", r"\quad {}\left. + b\right]"]),
        (r"\left[a + b\right] + c", 9, [r"\left[a + b\right] ", r"\quad {}+ c"]),
        (r"(aa,\ bb)", 3, ["(aa,", r"\quad {}\ bb)"]),
        (r"\frac{a + b}{c + d}", 3, [r"\frac{a + b}{c + d}"]),
        (r"\underline{a + b}", 3, [r"\underline{a + b}"]),
        (r"|a + b| + c", 6, ["|a + b| ", r"\quad {}+ c"]),
        (r"p(a | b) + c", 7, ["p(a | b) ", r"\quad {}+ c"]),
        (r"= -\log -a", 3, [r"= -\log -a"]),
        (r"p(a) \text{ as computed}", 8, ["p(a) ", r"\quad {}\text{ as computed}"]),
    ],
)
def test_formula_is_broken_where_a_statement_or_a_term_begins(latex: str, letters: int, expected: list[str]) -> None:
    assert lines(latex, letters) == expected


def test_pieces_of_every_line_of_the_ledger_are_formulas_and_together_the_line() -> None:
    added = re.compile(r"\\quad|\\ |\{\}|\\right\.|\\left\.|\s+")
    broken = 0
    for name, latex in ROWS:
        pieces = lines(latex)
        assert added.sub("", "".join(pieces)) == added.sub("", latex), name
        if len(pieces) > 1:
            broken += 1
            assert all(as_mathml(piece, display=False).startswith("<math") for piece in pieces), (name, pieces)
            assert all(
                len(re.findall(r"\\left\b", piece)) == len(re.findall(r"\\right\b", piece)) for piece in pieces
            ), (name, pieces)
    assert broken > 50


def test_few_lines_of_the_ledger_stay_wide() -> None:
    """One fraction, one product or one underlined part cannot be broken."""
    wide = [name for name, latex in ROWS if any(width(plain(piece)) > LETTERS for piece in lines(latex))]
    assert len(wide) < len(ROWS) / 30, wide


def test_cell_of_a_table_has_a_formula_on_each_line() -> None:
    assert in_table(r"p(a|b),\quad c", 7) == r"$p(a\vert b),$<br>$c$"
