r"""What no document in tests/documents can show: kinds of files, limits, macros alone, and who is blamed later."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vaelib.check import NotADocument, check, check_text
from vaelib.check.chains import chains, rows_of
from vaelib.check.documents import LARGEST, LONGEST, MOST, Block, cells, document, kind_of, latex_blocks, read
from vaelib.check.gaussians import STANDARD, Family, gaussian_scope
from vaelib.check.latex import (
    DEEPEST,
    LONGEST_BLOCK,
    LONGEST_MACRO,
    LONGEST_ROW,
    MOST_MACROS,
    CannotRead,
    Group,
    Macro,
    expanded,
    flat,
    grouped,
    macros_of,
    signs,
)
from vaelib.check.latex import MOST as MOST_SIGNS
from vaelib.check.surface import surface


def blocks(text: str, kind: str) -> list[tuple[int, str, bool]]:
    """Row, source and display of each block."""
    return [(block.row, block.source.strip(), block.display) for block in document("-", text, kind).blocks]


# ------------------------------------------------------------------------------------------------------------ limits


def test_limits_are_those_that_are_said():
    assert (LARGEST, LONGEST, MOST) == (2_000_000, 20_000, 2_000)
    assert (MOST_SIGNS, LONGEST_BLOCK, LONGEST_ROW, MOST_MACROS, LONGEST_MACRO, DEEPEST) == (
        *(20_000, 20_000, 2_000),
        *(300, 800, 40),
    )


@pytest.mark.parametrize(("length", "faults"), [(LONGEST_BLOCK, 0), (LONGEST_BLOCK + 1, 1)])
def test_block_may_have_so_many_characters_and_no_more(length, faults):
    rows = rows_of(Block("a" + " " * (length - 2) + "b", 7, cell=3), {})
    assert [(row.row, row.cell) for row in rows] == [(7, 3)]
    assert sum(row.fault != "" for row in rows) == faults
    if faults:
        assert rows[0].fault == "Expected a formula of at most 20,000 characters, but got more."
        assert rows[0].source == "a" + " " * 79


@pytest.mark.parametrize(("length", "faults"), [(LONGEST_ROW, 0), (LONGEST_ROW + 1, 1)])
def test_row_may_have_so_many_signs_and_no_more(length, faults):
    rows = rows_of(Block(("a+" * length)[:length].rstrip("+") + "b" * (length % 2 == 0), 7, cell=3), {})
    assert [(row.row, row.cell) for row in rows] == [(7, 3)]
    assert sum(row.fault != "" for row in rows) == faults
    if faults:
        assert rows[0].fault == "Expected a formula of at most 2,000 signs, but got 2,001."
        assert rows[0].source == "a+" * 40


def test_text_may_grow_by_its_macros_so_far_and_no_further():
    ten = {r"\m": Macro(0, ("a",) * 10)}
    assert len(expanded(signs(r"\m" * 2000), ten)) == MOST_SIGNS
    assert len(expanded(signs(r"\m" * 2000 + "1"), ten)) == MOST_SIGNS + 1  # seen where one more would come
    with pytest.raises(CannotRead, match="at most 20,000 signs, but with its macros put in it has more"):
        expanded(signs(r"\m" * 2001), ten)


def test_macros_of_a_document_are_so_many_and_so_long():
    def name(i: int) -> str:
        return "\\m" + "".join(chr(97 + int(digit)) for digit in str(i))

    many = "".join(rf"\newcommand{{{name(i)}}}{{a}}" for i in range(MOST_MACROS + 1))
    assert len(macros_of(many)) == MOST_MACROS
    start = r"\newcommand{\m}{"
    long = start + "a" * LONGEST_MACRO
    assert len(macros_of(long)[r"\m"].body) == LONGEST_MACRO - len(start)


@pytest.mark.parametrize(("depth", "refused"), [(DEEPEST, False), (DEEPEST + 1, True)])
def test_braces_may_be_so_deep_and_no_deeper(depth, refused):
    texts = ["{"] * depth + ["a"] + ["}"] * depth
    if refused:
        with pytest.raises(CannotRead, match="Expected at most 40 braces inside each other, but got more"):
            grouped(texts)
    else:
        assert flat(grouped(texts)) == texts


# ------------------------------------------------------------------------------------------------------------ signs


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a  b", [("a", 1), (" ", 1), ("b", 1)]),
        (" a", [("a", 1)]),
        ("a\n\nb", [("a", 1), (" ", 1), ("b", 3)]),
        ("a \n b", [("a", 1), (" ", 1), ("b", 2)]),
        ("a% c\nb", [("a", 1), (" ", 1), ("b", 2)]),
        (r"a\%b", [("a", 1), (r"\%", 1), ("b", 1)]),
        (r"\tag*{1}", [(r"\tag*", 1), ("{", 1), ("1", 1), ("}", 1)]),
        ("12.5.5 1.", [("12.5", 1), (".5", 1), (" ", 1), ("1", 1), (".", 1)]),
    ],
)
def test_signs_have_the_row_in_which_they_are(source, expected):
    assert [tuple(sign) for sign in signs(source)] == expected


def test_rows_of_signs_are_counted_from_the_first_one():
    assert [sign.row for sign in signs("a\nb", 5)] == [5, 5, 6]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a", "}", "b"], ["a", "b"]),
        (["{", "a", "{", "b"], [["a", ["b"]]]),
        (["{", "a", "}", "{", "}"], [["a"], []]),
    ],
)
def test_brace_too_many_is_left_out_and_one_that_lacks_is_added(texts, expected):
    assert grouped(texts) == expected


def test_group_may_be_looked_for_in_a_set_and_is_never_found():
    group = Group(["a"])
    assert group not in {"a", "b"} and hash(group) == object.__hash__(group)


# ----------------------------------------------------------------------------------------------------------- macros


@pytest.mark.parametrize(
    ("source", "name", "macro"),
    [
        (r"\newcommand{\a}{b}", r"\a", Macro(0, ("b",))),
        (r"\newcommand*{\a}{b}", r"\a", Macro(0, ("b",))),
        (r"\newcommand *{\a}{b}", r"\a", Macro(0, ("b",))),
        (r"\newcommand \a b", r"\a", Macro(0, ("b",))),
        (r"\newcommand{ \a } [2] {b{c}}", r"\a", Macro(2, ("b", "{", "c", "}"))),
        (r"\renewcommand{\a}[2][x y]{b}", r"\a", Macro(2, ("b",), ("x", " ", "y"))),
        (r"\newcommand{\a}[q]{b}", r"\a", Macro(0, ("b",), ("q",))),
        (r"\newcommand{\a}[1][3]{b}", r"\a", Macro(1, ("b",), ("3",))),
        (r"\newcommand{\a}[99]{b}", r"\a", Macro(9, ("b",))),
        (r"\providecommand{\a}{}", r"\a", Macro(0, ())),
        (r"\newcommand{\a}", r"\a", Macro(0, ())),
        (r"\newcommand{\a}{b{c", r"\a", Macro(0, ("b", "{", "c"))),
        (r"\def\a{b}", r"\a", Macro(0, ("b",))),
        (r"\def\a#1#2{b}", r"\a", Macro(2, ("b",))),
        (r"\def\a#", r"\a", Macro(0, ("#",))),
        (r"\let\a=\b", r"\a", Macro(0, (r"\b",))),
        (r"\let\a = \b", r"\a", Macro(0, (r"\b",))),
        (r"\let\a\b", r"\a", Macro(0, (r"\b",))),
        (r"\let\a", r"\a", Macro(0, ())),
        (r"\DeclareMathOperator{\a}{b\, c}", r"\a", Macro(0, (r"\operatorname", "{", "b", "c", "}"))),
        (r"\DeclareMathOperator*{\a}{b}", r"\a", Macro(0, (r"\operatorname", "{", "b", "}"))),
    ],
)
def test_definition_is_read(source, name, macro):
    assert macros_of(source) == {name: macro}


@pytest.mark.parametrize("source", [r"\newcommand{ab}{c}", r"\newcommand{a}{c}", r"\newcommand{\a}[1", r"\newcommand"])
def test_what_is_not_a_definition_is_left_alone(source):
    assert macros_of(source) == {}


def test_later_definition_of_a_macro_is_the_one_that_counts():
    assert macros_of(r"\newcommand{\a}{b}\newcommand{\a}{c}") == {r"\a": Macro(0, ("c",))}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"\two{a}{b}", "ba"),
        (r"\two ab", "ba"),
        (r"\two{a{c}}{b}", "ba{c}"),
        (r"\two{a", "a"),
        (r"\two", ""),
        (r"\opt{a}", "<q|a>"),
        (r"\opt[p]{a}", "<p|a>"),
        (r"\opt [p] {a}", "<p|a>"),
        (r"\opt[p", "<p|>"),
        (r"\opt", "<q|>"),
        (r"\three{a}", "a"),
        (r"\hash", "#"),
        (r"\newcommand{\two}{x} \two{a}{b}", " ba"),
        (r"\def\x#1{y}z", "z"),
        (r"\newcommand{ab}z", r"\newcommand{ab}z"),
    ],
)
def test_macro_is_put_in(source, expected):
    macros = {
        r"\two": Macro(2, ("#", "2", "#", "1")),
        r"\opt": Macro(2, ("<", "#", "1", "|", "#", "2", ">"), ("q",)),
        r"\three": Macro(1, ("#", "1", "#", "2")),
        r"\hash": Macro(0, ("#",)),
    }
    assert "".join(sign.text for sign in expanded(signs(source), macros)) == expected


def test_macro_has_the_row_in_which_it_is_called_and_its_argument_the_own():
    macros = {r"\m": Macro(2, ("a", "#", "1", "#", "2"), ("q",))}
    assert [(sign.text, sign.row) for sign in expanded(signs("b\n\\m\n{c}"), macros) if sign.text != " "] == [
        *[("b", 1), ("a", 2), ("q", 2), ("c", 3)]
    ]


# -------------------------------------------------------------------------------------------------------- documents

LATEX = r"""\documentclass{a} $p(x) = 0$
\begin{document}
\( p(x) = 1 \) and \verb+$p(x) = 2$+ and 3\$ and $p(x) = 3$
\verb*|$| % $p(x) = 4$
\begin{lstlisting}
\[ p(x) = 5 \]
\end{lstlisting}
$$
p(x) = 6
$$
\begin{gather}
p(x) = 7 \begin{aligned} a \end{aligned}
\end{gather}
a $ alone

\[
p(x) = 8
\]
\begin{align*}
p(x) = 9

p(x) = 10
"""


def test_blocks_of_latex_have_their_rows():
    assert blocks(LATEX, "latex") == [
        (3, "p(x) = 1", False),
        (3, "p(x) = 3", False),
        (8, "p(x) = 6", True),
        (11, r"p(x) = 7 \begin{aligned} a \end{aligned}", True),
        (16, "p(x) = 8", True),
        (19, "p(x) = 9", True),
    ]


@pytest.mark.parametrize("text", ["$p(x) = 1", r"\( p(x) = 1", r"\begin{verbatim} $$ p(x) = 1 $$"])
def test_formula_in_line_that_never_ends_is_left_out(text):
    assert blocks(text, "latex") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n{% katex %}\np = 1\n{% endkatex %}", [(2, "p = 1", True)]),
        ("{%- mathjax -%}\np = 1\n{%- endmathjax -%}", [(1, "p = 1", True)]),
        ("```tex\np = 1\n```", [(2, "p = 1", True)]),
        ("``` math extra\np = 1\n```", [(2, "p = 1", True)]),
        ("```mathematica\np = 1\n```", []),
        ("a\n\\[\np = 1\n\\]", [(2, "p = 1", True)]),
        ("$$p = 1$$ (1)", [(1, "p = 1", True)]),
        ("$$\np = 1\n$$.\n\n$q = 2$", [(1, "p = 1", True), (5, "q = 2", False)]),
        ("a $$p = 1$$ b", [(1, "p = 1", False)]),
        ("a\nb $p = 1$\n$q = 2$", [(2, "p = 1", False), (3, "q = 2", False)]),
        ("$$\n\n$$p = 1$$\n\nb", [(3, "p = 1", True)]),
        ("a\n & = \\log p", [(2, r"& = \log p", True)]),
        ("a & = \\log p", []),
        ("words", []),
        ("a\n\nMathTex(r'p = 1', \"\\\\alpha\")", [(3, "p = 1 \\\\alpha", True)]),
        ("a\nTex('p = \\\\pi')", [(2, r"p = \\pi", True)]),
        ("a\nTex('p = \\\\pi') b", []),
        ("Text('p = 1')", []),
        ("- a\n\n      $$p = 1$$", [(3, "p = 1", True)]),
    ],
)
def test_blocks_of_markdown_have_their_rows(text, expected):
    assert blocks(text, "markdown") == expected


def test_document_has_so_many_blocks_and_blocks_are_cut():
    assert len(document("-", "$$p = 1$$\n\n" * (MOST + 1)).blocks) == MOST
    (block,) = document("-", r"\begin{align}" + "a" * (LONGEST + 5) + r"\end{align}", "latex").blocks
    assert len(block.source) == LONGEST + 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('  {"cells": []}', "notebook"),
        ('{"cell": []}', "markdown"),
        ('[{"cells": []}]', "markdown"),
        (r"\usepackage{b}", "latex"),
        (r"a \subsubsection*{b}", "latex"),
        (r"\chapter{b}", "latex"),
        (r"\item b", "latex"),
        (r"\items", "markdown"),
        (r"\begin{frame}", "latex"),
        (r"\begin{align}", "markdown"),
        ("a\n# %% b", "percent"),
        ("a # %% b", "markdown"),
    ],
)
def test_kind_of_a_text(text, kind):
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        *[
            (".md", "markdown"),
            (".markdown", "markdown"),
            (".mdx", "markdown"),
            (".qmd", "markdown"),
            (".Rmd", "markdown"),
        ],
        *[(".tex", "latex"), (".ltx", "latex"), (".py", "percent"), (".txt", "markdown")],
    ],
)
def test_kind_by_the_ending(tmp_path, ending, kind):
    file = tmp_path / f"a{ending}"
    file.write_text("words")
    assert read(str(file)).kind == kind
    notebook = tmp_path / "b.ipynb"
    notebook.write_text('{"nbformat": 4, "cells": []}')
    assert read(str(notebook)).kind == "notebook"


def test_document_of_the_largest_size_is_read_and_a_larger_one_is_not(tmp_path, monkeypatch):
    file = tmp_path / "a.md"
    file.write_bytes(b"a" * LARGEST)
    assert len(read(str(file)).text) == LARGEST
    for more, fits in ((0, True), (1, False)):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a" * (LARGEST + more))))
        if fits:
            assert read("-").name == "-"
        else:
            with pytest.raises(NotADocument, match="at most 2 MB, but standard input is larger"):
                read("-")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xef\xbb\xbfa\r\nb\rc", "a\nb\nc"),
        (b"\xff\xfea\x00", "a"),
        (b"\xfe\xff\x00a", "a"),
        (b"\xe4", "\xe4"),
    ],
)
def test_bytes_are_decoded(tmp_path, raw, text):
    file = tmp_path / "a.txt"
    file.write_bytes(raw)
    assert read(str(file)).text.removeprefix("\ufeff") == text


def test_cells_of_a_notebook_are_numbered_from_one_and_rows_count_in_them():
    parts = [
        {"cell_type": "markdown", "source": "a\n\n$$p(x) = 1$$"},
        {"cell_type": "raw", "source": "$$p(x) = 2$$"},
        {"cell_type": "code", "source": ["  %%check\n", "p(x) = 3"]},
        {"cell_type": "code", "source": "x = 1"},
        {"source": "$$p(x) = 4$$"},
        {"cell_type": "markdown"},
    ]
    found = document("-", json.dumps({"cells": parts}), "notebook")
    assert [(block.cell, block.row, block.source.strip()) for block in found.blocks] == [
        *[(1, 3, "p(x) = 1"), (3, 2, "p(x) = 3")]
    ]
    assert [number for number, _ in cells(found)] == [1, 3, 6]


@pytest.mark.parametrize("text", ["{", '{"cells": 3}', '{"cell": []}', '{"cells": [3]}', "[]"])
def test_notebook_without_cells_is_refused(text):
    with pytest.raises(NotADocument, match="Expected a notebook, but its JSON cannot be read: it has no list of cells"):
        document("-", text, "notebook")


SCRIPT = """# a $p(x) = 0$
# %% [md]
# b $p(x) = 1$
#$p(x) = 2$
x = "$p(x) = 3$"
# %% markdown
# $$p(x) = 4$$
# %%
# $p(x) = 5$
MathTex("p(x) = 6")
"""


def test_script_says_what_is_in_its_cells_of_words():
    assert blocks(SCRIPT, "percent") == [
        *[(3, "p(x) = 1", False), (4, "p(x) = 2", False), (7, "p(x) = 4", True), (10, "p(x) = 6", True)]
    ]
    assert cells(document("a.py", SCRIPT, "percent"))[0][1].split("\n")[2:5] == ["b $p(x) = 1$", "$p(x) = 2$", ""]


# ------------------------------------------------------------------------------------------------- who is to blame

DEFINED = r"$$\mathcal{L} = \mathbb{E}_{q(z)}[\log p(x|z)] + KL(q(z) \| p(z))$$"
USED = r"$$\log p(x) = \mathcal{L} + KL(q(z) \| p(z|x))$$"


def said(text: str) -> list[tuple[str, str]]:
    """Verdict and sentence of each line that has a relation."""
    return [(judged.verdict, judged.says) for judged in check_text(text).lines if judged.line.relation]


def test_definition_with_a_slip_is_blamed_by_the_row_that_uses_it():
    says = "With this meaning of L, row 3 does not hold; with the usual one it does."
    assert said(f"{DEFINED}\n\n{USED}\n\n" + r"$$\log p(x) \ge \mathcal{L}$$") == [
        *[("does not follow", says), ("follows", ""), ("follows", "")]
    ]


def test_definition_with_a_slip_is_blamed_by_the_cell_that_uses_it():
    notebook = {"cells": [{"cell_type": "markdown", "source": text} for text in (DEFINED, USED)]}
    assert "of L, row 1 of cell 2 does not hold" in said(json.dumps(notebook))[0][1]


def test_definition_with_a_slip_is_blamed_by_a_bound():
    says = "With this meaning of L, row 3 does not hold; with the usual one it does."
    assert said(f"{DEFINED}\n\n" + r"$$\log p(x) \ge \mathcal{L}$$") == [("does not follow", says), ("follows", "")]


def test_definition_that_no_one_change_puts_right_is_not_blamed():
    defined = DEFINED.replace(r"\log p(x|z)", r"3 \log p(z|x)")
    assert [verdict for verdict, _ in said(f"{defined}\n\n{USED}")] == ["definition", "does not follow"]


@pytest.mark.parametrize("defined", [r"\log p(x) - 2", r"3 \log p(z|x)"])
def test_usual_name_that_is_defined_further_down_is_taken_as_it_is_defined(defined):
    used = r"$$\log p(x) = \mathcal{L} + KL(q(z) \| p(z))$$"
    found = [each for each, _ in said(f"{used}\n\n$$\\mathcal{{L}} = {defined}$$")]
    assert found == ["does not follow", "definition"]


def test_bound_that_holds_by_accident_blames_nobody():
    used = r"$$\log p(x) + 100 \ge \mathcal{L} + 99$$"
    assert "definition" in [verdict for verdict, _ in said(f"{DEFINED}\n\n{used}")]


EXACT = r"$$\log p(x) = \mathbb{E}_{q(z)}[\log p(x,z)] + H(q(z))$$"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Let $q(z) = p(z | x)$.\n\n{EXACT}", "follows"),
        (f"Let $q(z) := p(z | x)$.\n\n{EXACT}", "follows"),
        (f"Let $p(z | x) = q(z)$.\n\n{EXACT}", "follows"),
        (f"Let $\\hat{{q}} = p(z | x)$ and $z = z$.\n\n{EXACT}", "follows"),
        (f"{EXACT}\n\nfor $q(z) = p(z | x)$.", "follows"),
        (f"{EXACT}\n\nThe bound is tight for $q(z) = p(z | x)$.", "does not follow"),
        (f"{EXACT}\n\nEquality\nfor $q(z) = p(z | x)$.", "follows"),
        (f"{EXACT}\n\nwith equality\nfor $q(z) = p(z | x)$.", "does not follow"),
        (f"Let $q(z) \\ge p(z | x)$.\n\n{EXACT}", "does not follow"),
        (f"Let $\\hat{{t}} = p(z | x)$ and $p(z | x) = \\hat{{t}}$.\n\n{EXACT}", "does not follow"),
        (EXACT, "does not follow"),
    ],
)
def test_guide_is_the_posterior_where_it_is_said(text, expected):
    found = [
        judged.verdict for judged in check_text(text).lines if "H(q" in judged.line.source and judged.line.relation
    ]
    assert found == [expected]


def test_lines_are_in_the_order_of_the_document_where_a_chain_was_interrupted():
    text = "$$p(x) = \\int p(x,z) dz$$\n\nand $p(x,z) = p(x|z) p(z)$\n\n$$= \\int p(x|z) p(z) dz$$"
    checked = check_text(text)
    assert [judged.line.block for judged in checked.lines] == [0, 0, 1, 1, 2]
    assert (checked.total, checked.judged, checked.follows) == (3, 3, True)
    assert [judged.line.row for judged in checked.lines] == [1, 1, 3, 3, 5]


def test_what_cannot_be_read_is_counted_and_not_judged():
    checked = check_text("$$p(x) = \\dots$$\n\n$$p(x) = 2 p(x)$$")
    assert (checked.total, checked.judged, checked.follows) == (2, 1, False)


@pytest.mark.parametrize(
    ("line", "latent"),
    [
        ("<!-- check: a=latent -->", "a"),
        ("% check: a=latent, b=data", "a"),
        ("# check: a=latent", "a"),
        ("  % check: a=latent", "a"),
        ("a check: a=latent", "b"),
        ("% a=latent", "b"),
        ("% check: a", "b"),
    ],
)
def test_roles_are_stated_in_comments_alone(line, latent):
    assert f"latent: {latent}" in check_text(f"{line}\n\n" + r"$$\log p(a) = \log \int p(a|b) p(b) db$$").reading


def test_file_is_checked_with_what_is_told(tmp_path):
    file = tmp_path / "a.md"
    file.write_text(r"$$\log p(a) = \log \int p(a|b) p(b) db$$")
    checked = check(str(file), ["a=latent"])
    assert checked.name == str(file) and "latent: a" in checked.reading


# ------------------------------------------------------------------------------------------------------- Gaussians


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_names_of_a_gaussian_agree_with_each_other(size, diagonal):
    where = gaussian_scope(Family(("p", ""), "p", STANDARD, size, diagonal, ("x", "z")), 1)
    names = {r"\mu", r"\Sigma", r"\mu_p", r"\Sigma_p"}
    scales = {r"\sigma", r"\sigma_p"} if diagonal or size == 0 else set()
    assert {name for name in where.values if name.startswith("\\")} - {r"\ell"} == names | scales
    covariance = np.asarray(where.values[r"\Sigma_p"], float)
    assert np.shape(where.values[r"\mu_p"]) == ((size,) if size else ())
    assert covariance.shape == ((size, size) if size else ())
    if size > 1:
        assert np.allclose(covariance, covariance.T) and np.all(np.linalg.eigvalsh(covariance) > 0.1)
        assert np.allclose(covariance, np.diag(np.diag(covariance))) == diagonal
    if scales:
        scale = np.asarray(where.values[r"\sigma_p"])
        assert np.allclose(scale**2, np.diag(covariance) if size else covariance)
    assert {where.values[letter] for letter in ("J", "d", "D", "k", "n", "K", r"\ell", "M", "m")} == {max(1, size)}
    assert where.ranges == {"j": max(1, size), "l": 1, "i": 1}
    assert set(where.worlds) == {"p", "q", "g_p", r"g_{\mathrm{none}}", r"g_{\mathrm{standard}}"}
    assert set(where.observed) == {"x", "z"}


def test_chains_of_a_document_know_their_block_and_whether_it_is_a_display():
    found = chains(document("-", "and $p(x,z) = p(x|z) p(z)$\n\n$$p(x) = 1$$"))
    assert [(chain.display, [line.block for line in chain.lines]) for chain in found] == [
        *[(False, [0, 0]), (True, [1, 1])]
    ]


ROWS = {
    "a name": (r"\log p(x) &= \log p(x,z) - \log p(z|x)", r"&=: V"),
    "a law": (r"p(z) &= p(z) + 0", r"&= \mathcal{N}(z; \mu_1, \sigma_1^2)"),
    "a law that is chosen": (r"q(z)", r"&= p(z) + 1"),
    "a law that is defined": (r"q(z)", r"&:= p(z) + 1"),
    "a law that is assumed": (r"p(z)", r"&= \mathcal{N}(\mu_1, 1)"),
    "a model": (r"p(x, y, z)", r"&= p(x|z) p(y|z) p(z)"),
    "a meaning": (r"\mathcal{A}", r"&= \log p(x)"),
    "a draw": (r"z", r"&= \mu + \sigma \epsilon"),
    "a draw with the variance": (r"z", r"&= \mu + \sigma^2 \epsilon"),
    "a draw of another mean": (r"z", r"&= 2 \mu + \sigma \epsilon"),
    "both sides": (r"a", r"&= a + 1"),
    "a claim": (r"p(x)", r"&= \int p(x, z)\,dz"),
    "a claim that is wrong": (r"p(x)", r"&= p(x, z)"),
}


@pytest.mark.parametrize("name", ROWS)
def test_line_says_with_which_it_was_compared(name):
    lines = check_text("\\begin{align}\n" + " \\\\\n".join(ROWS[name]) + "\n\\end{align}").lines
    assert (lines[-1].compared_with, lines[-1].line.row) == (lines[0].line.source, 3)
    assert lines[-1].line.source != lines[0].line.source


def test_values_are_of_the_line_above_and_of_this_one():
    (_, line) = check_text(r"$$\log 2 = 0.71$$").lines
    assert line.values == pytest.approx((np.log(2), 0.71))
    (_, drawn) = check_text(r"$$z = \mu + \sigma^2 \epsilon$$").lines
    assert drawn.values is not None and drawn.values[1] == pytest.approx(drawn.values[0] ** 2)


def test_end_of_nothing_opens_nothing():
    assert list(latex_blocks(r"\end{align} p(x) = p(x) + 1")) == []


@pytest.mark.parametrize("latex", [r"a\hat\mathbf x", r"aa\hat\mathbf x"])  # at an even and at an odd place
def test_argument_of_a_font_is_what_follows_it(latex):
    assert " ".join(flat(surface(grouped([sign.text for sign in signs(latex)])).items)).endswith(r"\hat { x }")
