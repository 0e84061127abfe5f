r"""People's documents: where their mathematics stands, of which kind they are, and what is refused in a sentence."""

from __future__ import annotations

import json
import time

import pytest

from vaelib.check import NotADocument, check, check_text
from vaelib.check.documents import LONGEST, cells, document, kind_of, read

MARKDOWN = r"""Words, and $p(x) = \int p(x, z)\,dz$ in line.
$$
\begin{aligned}
\log p(x) &= \log \int p(x, z)\,dz
\end{aligned}
$$

> $$
> p(x) = 1
> $$

```math
q(z) = 2
```

\begin{align}
p(z) &= 3
\end{align}

```python
x = "$p(z) = 4$"
```

<!-- $$ p(z) = 5 $$ -->
"""


def test_markdown_blocks_and_their_rows_are_found():
    found = [(block.row, block.display, block.source.strip()[:16]) for block in document("-", MARKDOWN).blocks]
    assert found == [
        (1, False, r"p(x) = \int p(x,"),
        (2, True, r"\begin{aligned}" + "\n"),
        (8, True, "p(x) = 1"),
        (13, True, "q(z) = 2"),
        (16, True, r"\begin{align}" + "\np("),
    ]


def test_line_of_markdown_that_is_far_too_long_is_passed_over():
    formula = " $p(x) = 1$"
    lines = ["a" * (LONGEST + more - len(formula)) + formula for more in (-1, 0, 1, 2)]
    assert [len(document("-", line).blocks) for line in lines] == [1, 1, 0, 0]
    assert len(document("-", "$$" + " " * LONGEST + "p(x) = 1$$").blocks) == 1  # a display is refused in words, later


def test_latex_blocks_leave_out_comments_and_verbatim():
    text = r"""\documentclass{article}
\begin{document}
% $p(x) = 1$
\verb|$p(x) = 2$| and $p(x) = 3$
\begin{verbatim}
$$p(x) = 4$$
\end{verbatim}
\[ p(x) = 5 \]
\begin{equation*}
p(x) = 6
\end{equation*}
"""
    found = document("-", text)
    assert found.kind == "latex"
    assert [(block.row, block.source.strip()) for block in found.blocks] == [
        (4, "p(x) = 3"),
        (8, "p(x) = 5"),
        (9, "p(x) = 6"),
    ]


def test_notebook_cells_are_markdown_and_those_that_begin_with_check():
    cells = [
        {"cell_type": "markdown", "source": ["$$p(x) = 1$$"]},
        {"cell_type": "code", "source": "print('$p(x) = 2$')"},
        {"cell_type": "code", "source": "%%check\np(x) = 3"},
    ]
    found = document("-", json.dumps({"cells": cells})).blocks
    assert [(block.cell, block.source.strip()) for block in found] == [(1, "p(x) = 1"), (3, "p(x) = 3")]


def test_script_cells_are_read_in_percent_format():
    found = document("-", "# %% [markdown]\n# $$p(x) = 1$$\n# %%\nx = '$p(x) = 2$'\n").blocks
    assert [(block.row, block.source) for block in found] == [(2, "p(x) = 1")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (r"\documentclass{a}", "latex"),
        ('{"cells": []}', "notebook"),
        ("# %% [markdown]\n# a", "percent"),
        ("# Title", "markdown"),
    ],
)
def test_kind_is_known_from_the_content(text, kind):
    assert kind_of(text) == kind


@pytest.mark.parametrize("raw", ["$$p(x) = \\int p(x,z)dz$$\r\n", "$$p(x) = \\int p(x,z)dz$$\rä"])
def test_line_ends_and_encodings_are_read(tmp_path, raw):
    for encoding in ("utf-8", "latin-1", "utf-16"):
        file = tmp_path / "a.txt"
        file.write_bytes(raw.encode(encoding))
        assert [judged.verdict for judged in check(str(file)).lines] == ["start", "follows"]


def test_what_is_no_document_is_refused_in_a_sentence(tmp_path):
    file = tmp_path / "a.md"
    file.write_bytes(b"\x00\x01\x02")
    with pytest.raises(NotADocument, match="binary"):
        read(str(file))
    file.write_bytes(b"a" * 2_000_001)
    with pytest.raises(NotADocument, match="at most 2 MB"):
        read(str(file))
    with pytest.raises(NotADocument, match=r"there is none\. Is the path right, seen from"):
        check(str(tmp_path / "nowhere.md"))
    with pytest.raises(NotADocument, match="folder"):
        read(str(tmp_path))
    with pytest.raises(NotADocument, match="JSON"):
        check_text('{"cells": 3}')


HOSTILE = {
    "brackets": "$$" + "(" * 300_000 + "$$",
    "braces": "$$" + "{" * 300_000 + "$$",
    "a macro of itself": r"\def\a{\a\a} $$p(x) = \a$$",
    "macros of each other": r"\newcommand{\a}{\b\b}\newcommand{\b}{\a} $$p(x) = \a$$",
    "an unclosed environment": r"\begin{align} p(x) &= \int p(x,z) dz \\ ",
    "dollars": "a $ b $$ c $ d" + "$" * 100_000,
    "unclosed environments": r"\documentclass{a}" + r"\begin{align}" * 50_000,
    "unclosed squares": r"\documentclass{a}" + r"\[" * 100_000,
    "nested scripts": "$$p" + "_{a" * 300 + "$$",
    "minus signs": "$$p(x) = " + "-" * 1500 + "$$",
    "no end of macros": r"\newcommand{\a}{x}" * 10_000,
    "sums of sums": r"$$p(x) = " + r"\sum_z" * 400 + "p(z)$$",
    "brackets and braces that overlap": r"$$\log{p(x) [ }\bigg] ) } = \{ ( ]$$",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_in_sentences_and_soon(name):
    start = time.perf_counter()
    checked = check_text(HOSTILE[name])
    assert not any(judged.verdict == "does not follow" for judged in checked.lines)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        r"\section{a} \begin{equation} \log p(x) = \log \int p(x,z) dz \end{equation}",
        "\\usepackage{b}\n\\begin{align}\n\\log p(x) &= \\log \\int p(x,z) dz",
        '{"cells": [{"cell_type": "markdown", "source": ["$$\\\\log p(x) = \\\\log \\\\int p(x,z) dz$$"]}]}',
        "# %% [markdown]\n# $$\\log p(x) = \\log \\int p(x,z) dz$$\n",
    ],
)
def test_a_text_is_known_by_its_content_and_an_environment_may_stay_open(tmp_path, text):
    (tmp_path / "notes.txt").write_text(text)
    checked = check(str(tmp_path / "notes.txt"))
    assert [judged.verdict for judged in checked.lines] == ["start", "follows"]


def test_of_a_script_with_cells_the_words_are_read_and_not_their_marks():
    ((number, text),) = cells(document("a.py", "# %% [markdown]\n# hello $p(x)$\n# %%\nx = 1\n", "percent"))
    assert number == 0 and text.split() == ["hello", "$p(x)$"]
    assert cells(document("a.md", "# hello", "markdown")) == [(0, "# hello")]
