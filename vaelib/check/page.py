r"""A page that shows people their own document with a mark at each line that was judged. It needs nothing but itself:
no script, no network, mathematics as MathML. All that comes from the document is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from vaelib.check.document import Checked
from vaelib.check.documents import Block, cells
from vaelib.check.latex import Macro, macros_of
from vaelib.check.mathml import as_mathml
from vaelib.check.report import MARKED, coverage, named
from vaelib.check.spellings import HOUSE
from vaelib.check.verdicts import Judged
from vaelib.check.written import typed
from vaelib.formula.binders import WRITTEN
from vaelib.formula.rows import split

CONTROLS = (*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
UNSEEN = dict.fromkeys(CONTROLS, "�")
_INLINE = re.compile(r"\$\$(?P<a>[^$\n]+)\$\$|(?<![\\$])\$(?P<b>[^$\n]+)\$|\\\((?P<c>.+?)\\\)")
_ONLY_MARKS = re.compile(
    r"[\s>]*(?:\$\$|\\\\?[\[\]]|\\(?:begin|end)\{[a-zA-Z*]+\}(?:\{[^}]*\})?|```\w*|\{%[^%]*%\})?[\s.,;]*"
)
_HEADING = re.compile(r"(#{1,6})\s+(.*)")


def page(documents: Iterable[Checked]) -> str:
    """The page of one or several documents, as HTML."""
    documents = list(documents)
    title = "Derivations, checked" if len(documents) != 1 else f"{Path(documents[0].name).name}, checked"
    style = resources.files("vaelib.check").joinpath("page.css").read_text(encoding="utf-8")
    shown = (_Shown(checked, number, len(documents) > 1) for number, checked in enumerate(documents))
    body = "\n".join(each.html() for each in shown).translate(UNSEEN)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n{_legend()}\n</main>\n</body>\n</html>\n"
    )


def _legend() -> str:
    said = {
        "follows": "the line follows from the one above",
        "does not follow": "it does not; both values are shown",
        "sloppy": "it follows once a slip of the pen is mended",
        "definition": "it says what a name means",
        "cannot be read": "it was not understood, and is not blamed",
        "no meaning": "it speaks of something that no model here has",
    }
    entries = "".join(f"<li>{_mark(verdict)} {escape(text)}</li>" for verdict, text in said.items())
    return f'<footer>\n<h2>The marks</h2>\n<ul class="legend">{entries}</ul>\n</footer>'


def _mark(verdict: str) -> str:
    sign, word = MARKED[verdict]
    kind = verdict.replace(" ", "-")
    return f'<span class="mark {kind}"><span aria-hidden="true">{sign}</span> {word}</span>' if word else ""


class _Shown:
    """One document."""

    def __init__(self, checked: Checked, number: int, several: bool) -> None:
        self.checked, self.number, self.several = checked, number, several
        self.macros: dict[str, Macro] = {**HOUSE, **macros_of(checked.document.text)}
        self.lines: dict[int, list[Judged]] = {}
        for judged in checked.lines:
            self.lines.setdefault(judged.line.block, []).append(judged)
        self.wrong = [judged for judged in checked.lines if judged.verdict == "does not follow"]

    def html(self) -> str:
        links = ", ".join(f'<a href="#{self._id(judged)}">{_place(judged)}</a>' for judged in self.wrong)
        heading = f"<h2>{escape(Path(self.checked.name).name)}</h2>\n" if self.several else ""
        links = f"<p>Lines that do not follow: {links}.</p>\n" if links else ""
        body = "\n".join(part for cell, text in cells(self.checked.document) for part in self._cell(cell, text))
        return (
            f"<section>\n<header>\n{heading}<p>{escape(coverage(self.checked))}</p>\n"
            f'{links}<p class="reading">Read as: {escape(self.checked.reading)}.</p>\n</header>\n{body}\n</section>'
        )

    def _id(self, judged: Judged) -> str:
        return f"wrong-{self.number}-{self.wrong.index(judged)}"

    # ------------------------------------------------------------------------------------------- text and formulas

    def _cell(self, cell: int, text: str) -> Iterator[str]:
        """The text of a cell, with its formulas in their places."""
        rows = text.split("\n")
        hidden = set(_front_matter(rows))
        after: dict[int, list[int]] = {}
        for number, block in enumerate(self.checked.document.blocks):
            if block.cell != cell:
                continue
            taken = _rows_of(block, rows)
            hidden |= {row for row in taken if block.display and _is_all(block, rows[row])}
            if block.display or self._says_something(number):
                after.setdefault(max(taken, default=min(block.row, len(rows)) - 1), []).append(number)
        paragraph: list[str] = []
        for row, line in enumerate(rows):
            near = {row - 1, row + 1} & (hidden | set(after))
            if row not in hidden and not (near and _ONLY_MARKS.fullmatch(line)):
                paragraph.append(line)
            if row in after:
                yield from self._paragraphs(paragraph)
                paragraph = []
                for number in after[row]:
                    if not self._is_shown_in(number, line) or self._says_something(number):
                        yield self._block(number)
        yield from self._paragraphs(paragraph)

    def _says_something(self, number: int) -> bool:
        return any(judged.line.relation for judged in self.lines.get(number, []))

    def _is_shown_in(self, number: int, line: str) -> bool:
        """Whether a display is part of a line of text, where it is set already."""
        block = self.checked.document.blocks[number]
        return "\n" not in block.source.strip() and block.source.strip() in line and not _is_all(block, line)

    def _paragraphs(self, lines: Sequence[str]) -> Iterator[str]:
        text = re.sub(r"^(#{1,6}\s.*)$", r"\n\1\n", "\n".join(lines), flags=re.MULTILINE)
        for part in re.split(r"\n\s*\n", text):
            heading = _HEADING.fullmatch(part.strip())
            if heading:
                level = min(6, len(heading.group(1)) + 2)
                yield f"<h{level}>{self._text(heading.group(2))}</h{level}>"
            elif part.strip():
                yield f'<p class="text">{self._text(part.strip(chr(10)))}</p>'

    def _text(self, text: str) -> str:
        """Words, escaped, with the formulas among them set."""
        found, end = "", 0
        for match in _INLINE.finditer(text):
            latex = next(part for part in match.groups() if part is not None)
            found += escape(text[end : match.start()]) + as_mathml(latex, self.macros, display=False)
            end = match.end()
        return found + escape(text[end:])

    # ---------------------------------------------------------------------------------------------------- formulas

    def _block(self, number: int) -> str:
        """A formula as it is in the document, line by line, with a mark at each line that was judged."""
        lines = self.lines.get(number)
        if not lines:
            source = self.checked.document.blocks[number].source
            return f'<div class="block"><div class="row"><div class="formula">{self._set(source)}</div></div></div>'
        rows: list[list[Judged]] = []
        for judged in lines:
            if rows and rows[-1][0].line.source == judged.line.source and rows[-1][0].line.row == judged.line.row:
                rows[-1].append(judged)
            else:
                rows.append([judged])
        return f'<div class="block">{"".join(self._row(row) for row in rows)}</div>'

    def _row(self, row: Sequence[Judged]) -> str:
        """A row of a formula; one with several relations is cut in front of each."""
        parts = split(row[0].line.source)
        if len(row) == len(parts) > 2:
            return "".join(self._part(part, [judged], False) for part, judged in zip(parts, row, strict=True))
        return self._part(row[0].line.source, row, len(row) > 2)

    def _part(self, latex: str, row: Sequence[Judged], one_of_several: bool) -> str:
        claims = [judged for judged in row if judged.line.relation or judged.verdict == "cannot be read"]
        marks = " ".join(_mark(judged.verdict) for judged in claims)
        remarks = "".join(self._remark(judged, one_of_several) for judged in claims)
        wrong = " wrong" if any(judged.verdict == "does not follow" for judged in row) else ""
        formula = f'<div class="formula">{self._set(latex)}</div>'
        return f'<div class="row{wrong}">{formula}<div class="marks">{marks}</div>{remarks}</div>'

    def _remark(self, judged: Judged, one_of_several: bool) -> str:
        if judged.verdict == "does not follow":
            return self._accusation(judged, one_of_several)
        if judged.says and judged.verdict in ("cannot be read", "no meaning", "sloppy"):
            return f'<p class="says">{escape(judged.says)}</p>'
        return ""

    def _accusation(self, judged: Judged, one_of_several: bool) -> str:
        parts = [f"<p>{escape(judged.says)}</p>"]
        entries: list[tuple[str, str]] = []
        if one_of_several and judged.line.items:
            relation = WRITTEN.get(judged.line.relation, judged.line.relation)
            entries.append(("this part", self._set(f"{relation} {typed(judged.line.items)}")))
        if judged.compared_with and judged.compared_with != judged.line.source:
            entries.append(("compared with", self._set(judged.compared_with)))
        if judged.values is not None:
            there, here = (f"{value:.6g}".replace("-", "−") for value in judged.values)
            entries.append(("values", f"{there} there, {here} here"))
        if judged.repair:
            source = f"<code>{escape(judged.repair)}</code>"
            entries.append((named(judged), f"{self._set(judged.repair)}{source}"))
        parts.append("<dl>" + "".join(f"<dt>{term}</dt><dd>{content}</dd>" for term, content in entries) + "</dl>")
        return f'<div class="accusation" id="{self._id(judged)}">{"".join(parts)}</div>'

    def _set(self, latex: str) -> str:
        return as_mathml(latex, self.macros)


def _front_matter(rows: Sequence[str]) -> range:
    """The rows of a head in YAML, which is not a part of what is read."""
    if rows[0].strip() != "---":
        return range(0)
    return range(next((i + 1 for i, row in enumerate(rows) if i and row.strip() == "---"), 0))


def _place(judged: Judged) -> str:
    return f"cell {judged.line.cell}, row {judged.line.row}" if judged.line.cell else f"row {judged.line.row}"


def _rows_of(block: Block, rows: Sequence[str]) -> list[int]:
    """The rows of a cell, counted from 0, that a block takes."""
    parts = [part.strip() for part in block.source.split("\n") if part.strip()]
    found: list[int] = []
    for row in range(max(0, block.row - 1), min(len(rows), block.row + block.source.count("\n") + 3)):
        if parts and parts[0] in rows[row]:
            found.append(row)
            parts.pop(0)
    return list(range(found[0], found[-1] + 1)) if found else []


def _is_all(block: Block, row: str) -> bool:
    """Whether nothing but the block is in a row."""
    part = next((p.strip() for p in block.source.split("\n") if p.strip() and p.strip() in row), "")
    return bool(re.fullmatch(r"[\s>$.,;]*(?:\\\\?[\[\]])?[\s$.,;]*", row.replace(part, "", 1)))
