r"""The page of `vaelib check --html`: the person's own document, marked, well-formed, and nothing in it runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vaelib._files import write
from vaelib.check import check_text, report
from vaelib.check.mathml import as_mathml
from vaelib.check.page import page
from vaelib.cli import app

TEXT = r"""# Notes

The bound, with $q(z)$ any law:

$$
\begin{aligned}
\log p(x) &= \mathbb{E}_{q(z)}[\log p(x|z)] + KL(q(z) \| p(z)) + KL(q(z) \| p(z|x)) \\
&\ge \mathbb{E}_{q(z)}[\log p(x|z)] - KL(q(z) \| p(z))
\end{aligned}
$$

It is 5 < 6 & <b>bold</b>.
"""
EMPTY = ("meta", "br", "img", "link", "input", "hr")


class Reader(HTMLParser):
    """Reads a page strictly: each element is closed, in order; what it is made of is kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.elements}


def shown(text: str, kind: str = "") -> Reader:
    return Reader(page([check_text(text, kind)]))


def harmless(read: Reader) -> bool:
    """Nothing runs, and nothing is loaded."""
    attributes = [(name, value or "") for _, found in read.elements for name, value in found.items()]
    links = [value for name, value in attributes if name in ("href", "src")]
    return (
        not read.names & {"script", "img", "iframe", "object", "embed", "link", "form", "svg"}
        and not any(name.startswith("on") or name == "style" for name, _ in attributes)
        and all(link.startswith("#") for link in links)
    )


def test_a_page_shows_the_document_with_a_mark_at_each_line() -> None:
    read = shown(TEXT)
    classes = [found.get("class") or "" for name, found in read.elements if name == "span"]
    assert "mark does-not-follow" in classes and "mark follows" in classes
    assert "Notes" in read.words and "It is 5 < 6 & <b>bold</b>." in read.words
    assert "nearest right line" in read.words and "there" in read.words and "1 of 2" not in read.words
    assert "2 of 2 lines judged; 1 of them does not follow." in read.words
    assert "✗" in read.words and "does not follow" in read.words  # a sign and a word beside the colour
    assert read.words.index("Notes") < read.words.index("The bound") < read.words.index("It is 5")


def test_a_page_has_a_title_a_language_and_formulas_with_their_source() -> None:
    read = shown(TEXT)
    assert ("html", {"lang": "en"}) in read.elements and "title" in read.names
    formulas = [found for name, found in read.elements if name == "math"]
    assert formulas and all(found["alttext"] for found in formulas)
    text = page([check_text(TEXT)])
    assert (
        "prefers-color-scheme: dark" in text
        and "width=device-width" in text
        and "http" not in re.sub(r'xmlns="[^"]*"', "", text)
    )


EVIL = [
    r"<script>alert(1)</script> and $\text{<script>alert(2)</script>} = \href{javascript:alert(3)}{x}$",
    r"$$\style{background:url(https://a.b)}{x} = \class{a}{x} \cssId{b}{y} \unicode{x3c}$$",
    r"$$\color{red;}{x} = \text{&lt;script&gt;} <img src=x onerror=alert(1)>$$",
    r'$$p(x) = "onmouseover="alert(1)$$',
    r"$$\text{</math><script>alert(1)</script>} = p(x)$$",
    "$$\\log p(x) = \\text{\x00\x1b[31m}$$",
]


@pytest.mark.parametrize("text", EVIL)
def test_nothing_of_a_document_is_markup(text: str) -> None:
    read = shown(text)
    assert harmless(read)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", page([check_text(text)]))


@pytest.mark.parametrize("above", range(12))
def test_rows_of_a_formula_are_set_and_not_shown_as_typed_too(above: int) -> None:
    formula = [
        "$$",
        r"\begin{aligned}",
        r"\log p(x)",
        r"&= \log \int p(x, z)\,dz \\",
        r"&= \log \int p(z) p(x|z)\,dz \\",
    ]
    formula += [r"&= \log E_{p(z)}[p(x|z)]", r"\end{aligned}", "$$"]
    words = shown("\n".join([*["word"] * above, *formula, "the end"]), "markdown").words
    assert "the end" in words and not any(row in words for row in formula[1:-1])


def test_what_a_document_hides_is_not_shown() -> None:
    shown = page([check_text(TEXT + "\n<!-- $$\np(x) = 7\n$$ -->\n\nthe end")])
    assert "p(x) = 7" not in shown and "the end" in shown


def test_the_test_for_harm_sees_harm() -> None:
    assert not harmless(Reader("<p><script>a</script></p>"))
    assert not harmless(Reader('<p onclick="a">a</p>'))
    assert not harmless(Reader('<a href="javascript:a">a</a>'))


@pytest.mark.parametrize("latex", [r"\left( a", "x _", r"\frac{a", "a" * 5000, r"{" * 300 + "}" * 300])
def test_what_cannot_be_set_is_shown_as_its_source(latex: str) -> None:
    read = Reader(as_mathml(latex))
    assert read.names & {"code", "math"}
    if "code" in read.names:
        assert latex[:100] in read.words


@pytest.mark.parametrize("dropped", [r"\label{eq:a}", r"\tag {1}", r"\footnote{a {b} c}", r"\cite{"])
def test_what_a_page_does_not_show_goes_with_its_argument(dropped: str) -> None:
    places = [rf"a = b {dropped}", rf"a {dropped} = b"][: 2 if dropped.endswith("}") else 1]  # or all that follows
    for latex in places:
        assert Reader(as_mathml(latex)).words == Reader(as_mathml("a = b")).words


def test_letters_in_script_and_bold_are_letters() -> None:
    assert (
        "ℒ" in as_mathml(r"\mathcal{L}") and "𝐱" in as_mathml(r"\mathbf{x}") and "𝝁" in as_mathml(r"\boldsymbol{\mu}")
    )


def test_a_page_of_several_documents_names_them(tmp_path: Path) -> None:
    for name in ("a.md", "b.tex"):
        (tmp_path / name).write_text(TEXT if name == "a.md" else r"\[\log p(x) = \log \int p(x, z)\,dz\]")
    out = tmp_path / "page.html"
    run = CliRunner().invoke(app, ["check", str(tmp_path / "a.md"), str(tmp_path / "b.tex"), "--html", str(out)])
    assert run.exit_code == 1
    read = Reader(out.read_text(encoding="utf-8"))
    assert "a.md" in read.words and "b.tex" in read.words and harmless(read)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "b.tex", "page.html"]


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "page.html"
    out.write_text("before")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="disk full"):
        write(out, b"after")
    assert out.read_text() == "before" and len(list(tmp_path.iterdir())) == 1
    run = CliRunner().invoke(app, ["check", "-", "--html", str(tmp_path / "none" / "page.html")], input="$x$")
    assert run.exit_code != 0 and "existing folder" in run.output


def test_a_notebook_is_shown_by_its_cells() -> None:
    import json

    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", r"$$\log p(x) = \log \int p(x, z)\,dz$$"]},
        {"cell_type": "code", "source": ["secret = 1"]},
        {"cell_type": "code", "source": ["%%check\n", r"KL(q(z) \| p(z|x)) = KL(p(z|x) \| q(z))"]},
    ]
    read = shown(json.dumps({"cells": cells}))
    assert "Title" in read.words and "secret" not in read.words
    assert "cell 3, row 2" in read.words


PIECES = st.sampled_from(
    [
        *r"$$ $ \[ \] \( \) \begin{aligned} \end{aligned} & \\ \left( \right) \frac { } _ ^ = \le \text{".split(),
        *["<b>", "</p>", "&amp;", '"', "<!--", "-->"],
        *["\n", "\n\n", " ", "# ", "---", "```math\n", "```", "\x00", "\u202e", "%", r"\log p(x)", r"\mathbb{E}_q["],
        *[r"\int p(x, z)\,dz", r"KL(q(z) \| p(z|x))", r"\href{javascript:a}{b}", "<script>", r"\def\a{\a\a}\a", "]"],
    ]
)


@settings(deadline=None, max_examples=40)
@given(st.lists(PIECES, max_size=25).map(" ".join), st.sampled_from(["markdown", "latex"]))
@example(r"$$ \begin{aligned} \log p(x) = <script> \\ & \frac \end{aligned} $$", "markdown")
def test_mutilated_documents_make_harmless_pages(text: str, kind: str) -> None:
    assert harmless(shown(text, kind))


def test_line_below_or_above_is_as_wide_as_what_it_marks() -> None:
    """A browser does not stretch the dash that would be the line: the border of the marked part draws it."""
    for latex, side in ((r"\underline{a + b}", "under"), (r"\overline{a + b}", "over")):
        read = Reader(as_mathml(latex))
        assert ("mrow", {"class": side}) in read.elements and "―" not in read.words
        assert f"math .{side} {{ border-" in page([check_text(TEXT)])
    assert "mover" in Reader(as_mathml(r"\bar{x}")).names


def test_table_of_a_terminal_shows_the_beginning_of_a_long_line() -> None:
    evidence = r"\log p(x) = \log \int p(x, z)\,dz"
    for zeros, ends in ((0, "dz"), (11, "+ 0"), (12, "...")):
        _, row, _ = report.lines(check_text(f"$${evidence}{'+ 0' * zeros}$$"))
        source = row.removeprefix("      1   ok  ")
        assert source.startswith(evidence) and source.endswith(ends) and len(source) <= report.WIDE


@pytest.mark.parametrize("command", ["sqrt", "overline"])
def test_source_is_shown_where_a_formula_is_nested_too_deeply(command: str) -> None:
    """So deeply that a browser, or this program, might fail on it. Each level is two elements of the 150."""
    whole, source = (as_mathml(rf"\{command}{{" * depth + "x" + "}" * depth) for depth in (74, 75))
    assert whole.startswith("<math") and source.startswith(rf"<code>\{command}{{\{command}{{")
