r"""Documents people write: a file -> its blocks of mathematics, each with the row in which it begins.

Markdown is taken apart by markdown-it with its plugins for dollars and for LaTeX environments; .tex by a scan that
knows comments, verbatim and \begin{document}; a notebook is its Markdown cells and the code cells that begin with
%%check; a .py file its Markdown cells in percent format. Where the ending does not say, the content does. Nothing is
executed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.dollarmath.index import math_block_dollar

LARGEST = 2_000_000  # bytes
LONGEST = 20_000  # characters in one block
MOST = 2_000  # blocks
ENDINGS = {".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".qmd": "markdown", ".rmd": "markdown"}
ENDINGS |= {".tex": "latex", ".ltx": "latex", ".ipynb": "notebook", ".py": "percent"}


class NotADocument(ValueError):
    """A file that holds no text to be read; the message says what it is."""


@dataclass(frozen=True)
class Block:
    """A piece of mathematics.

    Args:
        source: its LaTeX, without the dollars around it.
        row: the row of the file in which it begins, counted from 1.
        display: whether it is set on lines by itself.
        cell: of a notebook, the number of its cell, counted from 1, and `row` is the row in it; otherwise 0.
    """

    source: str
    row: int
    display: bool = True
    cell: int = 0


@dataclass(frozen=True)
class Document:
    """What was read: the name of the file, its kind, all its text, and its blocks in order."""

    name: str
    kind: str
    text: str
    blocks: tuple[Block, ...]


def read(path: str) -> Document:
    """The document in this file; `-` is standard input.

    Raises NotADocument where there is no file, for a folder, a binary file or one that is too large, and OSError where
    it cannot be opened.
    """
    if path == "-":
        raw = sys.stdin.buffer.read(LARGEST + 1)
        return document("-", _decoded(raw, "standard input"))
    file = Path(path)
    if not file.exists():
        raise NotADocument(
            f"Expected a document at {path}, but there is none. Is the path right, seen from {Path.cwd()}?"
        )
    if file.is_dir():
        raise NotADocument(f"Expected a file, but {path} is a folder.")
    with file.open("rb") as opened:
        raw = opened.read(LARGEST + 1)
    return document(path, _decoded(raw, path), ENDINGS.get(file.suffix.lower(), ""))


def _decoded(raw: bytes, name: str) -> str:
    if len(raw) > LARGEST:
        raise NotADocument(f"Expected a document of at most {LARGEST // 1_000_000} MB, but {name} is larger.")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    if b"\x00" in raw:
        raise NotADocument(f"Expected a text, but {name} is a binary file: it holds a zero byte.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def document(name: str, text: str, kind: str = "") -> Document:
    """The document that this text is; its kind is known from the content if it is not given."""
    kind = kind or kind_of(text)
    found: list[Block] = []
    for block in _BLOCKS[kind](text):
        if len(found) >= MOST:
            break
        if block.source.strip():
            found.append(replace(block, source=block.source[: LONGEST + 1]))
    return Document(name, kind, text, tuple(found))


def cells(read: Document) -> list[tuple[int, str]]:
    """The text that a person reads, with the number of its cell: that of a notebook cell by cell, any other as 0."""
    if read.kind != "notebook":
        return [(0, _spoken(read.text) if read.kind == "percent" else read.text)]
    return [(number, source) for number, kind, source in _of_notebook(read.text) if _has_mathematics(kind, source)]


_OF_LATEX = re.compile(
    r"\\(?:documentclass|usepackage|(?:sub)*section\*?|chapter\*?|item\b)|\\begin\{(?:document|frame|itemize|abstract)\}"
)


def kind_of(text: str) -> str:
    """The kind of a document by its content."""
    start = text.lstrip()[:400]
    if start.startswith("{") and '"cells"' in text:
        return "notebook"
    if _OF_LATEX.search(text):
        return "latex"
    if re.search(r"^# %%", text, re.MULTILINE):
        return "percent"
    return "markdown"


# ------------------------------------------------------------------------------------------------------------ Markdown

_LIQUID = re.compile(r"\{%-?\s*(?:end)?(?:math|katex|mathjax)\b.*?%\}")
_MANIM = re.compile(r"\b(?:MathTex|Tex)\(((?:[^\n]*\n){0,12}?[^\n]*)\)\s*$", re.MULTILINE)
_RAW = re.compile(r"""r?"((?:[^"\\]|\\.)*)"|r?'((?:[^'\\]|\\.)*)'""", re.DOTALL)
_LOOSE = re.compile(r"^\s*&.*\\[a-zA-Z]")
_MATH_FENCES = ("math", "latex", "tex", "katex")


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 20}).use(
        dollarmath_plugin, allow_space=True, allow_digits=True, double_inline=True, allow_blank_lines=True
    )
    of_plugin = math_block_dollar(True, None, True)

    def display(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        """A display, which needs no empty line before it; asked whether one begins here, it pushes nothing."""
        if silent:
            return state.src.startswith("$$", state.bMarks[start] + state.tShift[start])
        return of_plugin(state, start, end, silent)

    parser.block.ruler.at("math_block", display, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.use(amsmath_plugin)
    parser.disable(["code", "link", "image", "autolink", "emphasis", "html_inline", "entity", "reference", "lheading"])
    return parser


def markdown_blocks(text: str) -> Iterator[Block]:
    r"""The mathematics of Markdown: $..$, $$..$$, LaTeX environments, \[..\], fenced ```math and {% math %}."""
    text = "\n".join(line if len(line) <= LONGEST or "$$" in line[:9] else "" for line in text.split("\n"))
    text = _LIQUID.sub("$$", text)
    text = re.sub(r"\\\\\[(?=[ \t]*\n)|^([ \t]*)\\\[", r"\1$$", text, flags=re.MULTILINE)
    text = re.sub(r"\\\\\](?=[ \t]*$)|\\\](?=[ \t]*$)", "$$", text, flags=re.MULTILINE)
    text = _without_strays(text)
    text = re.sub(r"^([ \t]*>?[ \t]*\$\$)[.,;:][ \t]*$", r"\1", text, flags=re.MULTILINE)
    if "$" not in text and "\\" not in text and "```" not in text:
        return
    for token in _parser().parse(text):
        row = token.map[0] + 1 if token.map else 1
        if token.type in ("math_block", "math_block_label"):
            yield Block(token.content, row)
        elif token.type == "amsmath":
            yield Block(token.content, row)
        elif token.type == "fence" and token.info.strip().split(" ")[0] in _MATH_FENCES:
            yield Block(token.content, row + 1)
        elif token.type == "inline" and token.children is not None:
            alone = token.content.lstrip().startswith("$$") and token.content.rstrip(" .,;").endswith("$$")
            for child in token.children:
                if child.type in ("math_inline", "math_inline_double"):
                    yield Block(child.content, row, alone and child.type == "math_inline_double")
                elif child.type == "text" and _LOOSE.match(child.content):
                    yield Block(child.content, row)
                row += (child.type in ("softbreak", "hardbreak")) + child.content.count("\n")
            yield from _spoken_by_manim(token.content, token.map[0] + 1 if token.map else 1)


def _without_strays(text: str) -> str:
    """Without dollars that close nothing: alone on a line, and the next ones are around a formula on one line."""
    lines = text.split("\n")
    marked = [i for i, line in enumerate(lines) if "$$" in line]
    opened = False
    for i, after in pairwise([*marked, len(lines)]):
        following = lines[after].strip() if after < len(lines) else ""
        whole = following.startswith("$$") and following.count("$$") == 2
        if not opened and lines[i].strip() == "$$" and whole:
            lines[i] = ""
        elif lines[i].count("$$") % 2:
            opened = not opened
    return "\n".join(lines)


def _spoken_by_manim(text: str, row: int) -> Iterator[Block]:
    """The strings of MathTex(r"..", r".."), joined."""
    if "Tex(" not in text:
        return
    for match in _MANIM.finditer(text):
        parts = ["".join(part) for part in _RAW.findall(match.group(1))]
        if parts:
            yield Block(" ".join(parts), row + text.count("\n", 0, match.start()))


# -------------------------------------------------------------------------------------------------------------- LaTeX

_DISPLAYS = "equation align alignat gather multline eqnarray flalign displaymath math dmath".split()
_VERBATIM = "verbatim lstlisting minted comment".split()
_MARK = re.compile(
    r"(?<!\\)%[^\n]*"
    r"|\\verb\*?(?P<bar>[^\sa-zA-Z*])[^\n]*?(?P=bar)"
    r"|\\(?P<side>begin|end)\{(?P<name>" + "|".join(_DISPLAYS + _VERBATIM) + r")\*?\}"
    r"|(?<!\\)\$\$?|\\[\[\]()]|\n[^\S\n]*\n"
)
_CLOSES = {"$": "$", "$$": "$$", r"\[": r"\]", r"\(": r"\)"}


def latex_blocks(text: str) -> Iterator[Block]:
    """The mathematics of a LaTeX file, displays and what is written in line, found in one pass from mark to mark."""
    opened, start = "", 0  # what is open, and where its content begins
    row = seen = 0
    for match in _MARK.finditer(text, max(0, text.find(r"\begin{document}"))):
        sign, name = match.group(), match.group("name")
        if name in _VERBATIM:
            opened = name if match.group("side") == "begin" else ""
        elif opened in _VERBATIM or sign[0] == "%" or sign.startswith(r"\verb"):
            continue
        elif (name and match.group("side") == "end" and opened == name) or sign == _CLOSES.get(opened):
            row, seen = row + text.count("\n", seen, start), start
            yield Block(text[start : match.start()], row + 1, opened not in ("$", r"\("))
            opened = ""
        elif name and match.group("side") == "begin":
            opened, start = name, match.end()
        elif sign in _CLOSES:
            opened, start = sign, match.end()
        elif sign[0] == "\n" and opened == "$":  # a dollar alone
            opened = ""
    if opened and opened not in ("$", r"\(", *_VERBATIM):  # never closed: up to the next empty line
        yield Block(re.split(r"\n\s*\n", text[start:], maxsplit=1)[0], row + 1 + text.count("\n", seen, start))


# ---------------------------------------------------------------------------------------------- notebooks and scripts


def notebook_blocks(text: str) -> Iterator[Block]:
    """The Markdown cells of a notebook, and code cells that begin with %%check."""
    for number, kind, source in _of_notebook(text):
        if kind == "markdown":
            blocks: Iterator[Block] = markdown_blocks(source)
        elif _has_mathematics(kind, source):
            blocks = iter([Block(source.partition("\n")[2], 2)])
        else:
            continue
        yield from (replace(block, cell=number) for block in blocks)


def _has_mathematics(kind: str, source: str) -> bool:
    return kind == "markdown" or (kind == "code" and source.lstrip().startswith("%%check"))


def _of_notebook(text: str) -> list[tuple[int, str, str]]:
    """The number, the kind and the source of each cell."""
    try:
        found = json.loads(text)["cells"]
        parts = [(str(cell.get("cell_type", "")), "".join(cell.get("source", ""))) for cell in found]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotADocument("Expected a notebook, but its JSON cannot be read: it has no list of cells.") from None
    return [(number, kind, source) for number, (kind, source) in enumerate(parts, 1)]


def percent_blocks(text: str) -> Iterator[Block]:
    """The Markdown cells of a script in percent format, and MathTex(...) of an animation."""
    yield from markdown_blocks(_spoken(text))
    yield from _spoken_by_manim(text, 1)


def _spoken(text: str) -> str:
    """What a script in percent format says in its Markdown cells, row by row."""
    inside, lines = False, []
    for line in text.split("\n"):
        if line.startswith("# %%"):
            inside = "markdown" in line or "[md]" in line
            lines.append("")
        else:
            lines.append(re.sub(r"^# ?", "", line) if inside and line.startswith("#") else "")
    return "\n".join(lines)


_BLOCKS = {"markdown": markdown_blocks, "latex": latex_blocks, "notebook": notebook_blocks, "percent": percent_blocks}
