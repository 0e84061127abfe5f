r"""%%check: a cell of LaTeX, typeset with verdicts; nothing that is typed there ends in a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from vaelib.formula import Scope
from vaelib.formula.rows import LONGEST, rows, split
from vaelib.magic import said
from vaelib.witnesses import NormalPair

BOUND = r"""\log p(x) = \log \int p(x, z)\,dz
\ge \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]
= \mathbb{E}_{q(z)}[\log p(x|z)] - KL(q(z) \| p(z))"""
WRONG = BOUND.replace("- KL", "+ KL")
IN_THE_LEDGER = r"""
\begin{aligned}
\log p(x) &= \mathbb{E}_{q}[\log p(x \mid z)] - \mathrm{KL}(q \Vert p(z)) + \mathrm{KL}(q \Vert p(z \mid x)) \\
&\ge \mathbb{E}_{q}[\log p(x \mid z)] - \mathrm{KL}(q \Vert p(z))
\end{aligned}
"""


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    made = InteractiveShell.instance()
    made.run_line_magic("load_ext", "vaelib")
    yield made
    InteractiveShell.clear_instance()


def shown(shell: InteractiveShell, cell: str) -> tuple[str, str]:
    """What a cell shows, in Markdown and in plain text."""
    with capture_output() as captured:
        result = shell.run_cell(cell)
    assert result.success and not captured.stderr
    (output,) = captured.outputs
    return output.data["text/markdown"], output.data["text/plain"]


def test_a_cell_shows_its_lines_typeset_with_their_verdicts(shell: InteractiveShell) -> None:
    markdown, plain = shown(shell, f"%%check\n{BOUND}")
    assert markdown.count("✓ follows") == 3 and "✗" not in markdown
    assert r"$\displaystyle \ge \mathbb{E}_{q(z)}[\log p(x, z) - \log q(z)]$" in markdown
    assert "3 of 3 lines judged; all that was read follows." in markdown and plain.count("ok") == 3
    assert "<" not in markdown


def test_a_line_that_does_not_follow_has_both_values_and_the_nearest_right_line(shell: InteractiveShell) -> None:
    markdown, plain = shown(shell, f"%%check\n{WRONG}")
    right = r"= \mathbb{E}_{q(z)}[\log p(x \mid z)] - \mathrm{KL}(q(z) \,\Vert\, p(z))"
    assert f"nearest right line: $\\displaystyle {right}$" in markdown and right in plain
    assert "**✗ does not follow**" in markdown and "there" in markdown


def test_a_derivation_is_checked_on_the_witnesses_of_an_identity_that_it_should_reach(shell: InteractiveShell) -> None:
    markdown, plain = shown(shell, f"%%check F2\n{IN_THE_LEDGER}")
    assert "The first line is that of F2." in plain and "The last line is that of F2." in plain
    assert "holds" in markdown and "BROKEN" not in markdown
    markdown, plain = shown(shell, f"%%check F2\n{IN_THE_LEDGER.replace('- ', '+ ')}")
    assert "BROKEN" in markdown and "The last line is not that of F2." in plain
    assert "nearest right line 1: = E_q[log p(x|z)] - KL(q ‖ p(z)) + KL(q ‖ p(z|x))" in plain


def test_a_chapter_gives_its_witnesses_and_no_goal(shell: InteractiveShell) -> None:
    markdown, plain = shown(shell, f"%%check F\n{IN_THE_LEDGER}")
    assert "holds" in markdown and "The last line" not in plain


def test_a_scope_or_a_witness_of_the_user_is_taken(shell: InteractiveShell) -> None:
    shell.user_ns["mine"] = Scope(values={"a": 2.0, "b": 3.0, "c": 5.0})
    assert "holds" in shown(shell, "%%check scope=mine\nc = a + b")[0]
    assert "BROKEN" in shown(shell, "%%check scope=mine\nc = a b")[0]
    shell.user_ns["pair"] = NormalPair
    right = shown(shell, "%%check scope=pair\n" r"\log\frac{\sigma_p}{\sigma_q} = \log\sigma_p + \log\sigma_q")[1]
    assert "nearest right line 1: = log σ_p - log σ_q" in right
    shell.user_ns["odd"] = 3
    assert "Scope, a witness or a function" in shown(shell, "%%check scope=odd\nc = a")[1]


def test_roles_may_be_stated(shell: InteractiveShell) -> None:
    plain = shown(shell, "%%check --let x=latent --let z=data\n" r"\log p(z) = \log \int p(x, z)\,dx")[1]
    assert "latent: x" in plain and "1 of 1 lines judged" in plain


SENTENCES = {
    "": "Expected LaTeX below %%check",
    "Q9": "Expected an identity or a chapter of the ledger",
    "scope=nothing": "there is no 'nothing'",
    "F2 E1": "but got 'F2 E1'",
    "--let": "but got '--let'",
    "--let x=cat": "Expected a letter and its role",
}


@pytest.mark.parametrize("line, sentence", SENTENCES.items())
def test_what_cannot_be_done_is_said_in_a_sentence(line: str, sentence: str) -> None:
    assert sentence in said(line, "" if not line else "a = b", {}).text


@pytest.mark.parametrize("cell", ["a", r"a = \frac", "= b", "a = b\nc = d", "a" * (LONGEST + 1), "(" * 5000 + "= a"])
def test_what_cannot_be_read_is_said_in_a_sentence(cell: str) -> None:
    for line in ("", "F2", "F"):
        text = said(line, cell, {}).text
        assert text and "Traceback" not in text


class Hostile:
    def scope(self) -> Any:
        raise RuntimeError("no")


def test_an_object_that_raises_is_named() -> None:
    assert (
        "It could not be checked" in said("scope=it", "a = b", {"it": Hostile()}).text
        or "no value" in said("scope=it", "a = b", {"it": Hostile()}).text
    )


WORDS = r"= \le \\ & { } [ ( ) ] $ $$ \frac \log p(x) p(z|x) q \int dz ^ _ \mathbb{E}_q[".split()


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["", "F2", "E1", "--let x=latent"]), st.lists(st.sampled_from([*WORDS, "\n"]), max_size=20))
def test_mutilated_cells_are_answered(line: str, words: list[str]) -> None:
    assert said(line, " ".join(words), {}).text


ROWS = {
    r"a = b \\ \ge c": [("", "a"), ("=", "b"), (">=", "c")],
    "a\n= b + c\n+ d\n\\le e.": [("", "a"), ("=", "b + c + d"), ("<=", "e")],
    r"$$\begin{aligned} a &= b, \\[2pt] &= f(x = c) \end{aligned}$$": [("", "a"), ("=", "b"), ("=", "f(x = c)")],
    "a =\nb": [("", "a"), ("=", "b")],
    r"a = (b + c) \\ d = f(e \\ + g)": [("", "a"), ("=", "(b + c)"), ("", "d"), ("=", "f(e + g)")],
    r"x \in A := \sum_{i=1}^n x_i": [("", r"x \in A"), ("=", r"\sum_{i=1}^n x_i")],
    "": [],
}


@pytest.mark.parametrize("latex, lines", ROWS.items())
def test_latex_is_cut_into_the_lines_of_a_chain(latex: str, lines: list[tuple[str, str]]) -> None:
    assert rows(latex) == lines


def test_a_row_is_cut_in_front_of_its_relations() -> None:
    assert split(r"p(x) = \sum_{z=1}^2 p(x, z) \le f(a = b)") == ["p(x) ", r"= \sum_{z=1}^2 p(x, z) ", r"\le f(a = b)"]


def test_latex_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        rows("a" * (LONGEST + 1))
    with pytest.raises(ValueError, match="at most"):
        rows("a = " * 300)
