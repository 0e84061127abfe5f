r"""Chains: what follows from what, over rows and blocks.

A block is cut into rows, rows that only continue are joined to the one above, and each row is cut at its relations. A
block that begins with a relation goes on with the chain of the block before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vaelib.check.documents import Block, Document
from vaelib.check.latex import (
    LONGEST_BLOCK,
    LONGEST_ROW,
    CannotRead,
    Items,
    Macro,
    Sign,
    expanded,
    grouped,
    macros_of,
    signs,
)
from vaelib.check.spellings import HOUSE
from vaelib.check.surface import Surface, surface

RELATIONS = {
    **{"=": "=", r"\equiv": ":=", ":=": ":=", r"\le": "<=", r"\ge": ">=", "<": "<", ">": ">", r"\ne": "!="},
    **{r"\neq": "!=", r"\approx": "approx", r"\propto": "proportional", r"\sim": "~", r"\in": "in"},
    r"\eqc": "up_to_constant",  # \overset{c}{=}
}
ARROWS = {r"\Rightarrow", r"\Leftrightarrow", r"\Leftarrow", r"\rightarrow", r"\leftarrow", r"\because", r"\leadsto"}
SHORT = frozenset(r"\alpha \beta \gamma \kappa \lambda \rho \tau \sigma".split())
_OPEN, _CLOSE = {"(", "[", r"\{", r"\langle"}, {")", "]", r"\}", r"\rangle"}
_ENVIRONMENTS_WITH_ARGUMENT = {"array", "alignat", "alignat*", "alignedat", "tabular"}
_SKIPPED = {"cases", "array", "matrix", "pmatrix", "bmatrix", "vmatrix", "tabular", "dcases", "rcases", "algorithm"}


@dataclass(frozen=True)
class Line:
    """One side of a chain, and the relation to the side above it.

    Args:
        source: what is in the document.
        row, cell: where.
        relation: "" for a start, otherwise =, :=, <=, >=, <, >, !=, approx, proportional, ~, in.
        items: the formula, its surface taken off.
        named: what braces gave names to: (name, meaning).
        mended: what was mended on the way.
        fault: why it cannot be read, or nothing.
        block: which block of the document it is from, counted from 0.
        premise: whether an arrow follows in its row: then it may be a condition.
    """

    source: str
    row: int
    relation: str
    items: Items
    cell: int = 0
    named: tuple[tuple[Items, Items], ...] = ()
    mended: tuple[str, ...] = ()
    fault: str = ""
    premise: bool = False
    block: int = -1


@dataclass
class Chain:
    """Lines that follow one another."""

    lines: list[Line] = field(default_factory=list)
    display: bool = True


def chains(document: Document) -> list[Chain]:
    """The chains of a document, in order. What cannot be taken apart is a line with a fault."""
    macros = {**HOUSE, **macros_of(document.text)}
    found: list[Chain] = []
    for number, block in enumerate(document.blocks):
        rows = rows_of(block, macros)
        parts = [replace(part, block=number) for row in rows for part in _cut(row)]
        if not block.display and not _says_something(parts):
            continue
        for i, part in enumerate(parts):
            if (not part.items and not part.fault) or part.relation == "in":
                continue
            if part.relation and found:
                goes_on = _interrupted(found) if i == 0 and block.display else found[-1]
                goes_on.lines.append(part)
            else:
                found.append(Chain([replace(part, relation="")], block.display))
    return found


def _interrupted(found: Sequence[Chain]) -> Chain:
    """The chain that a display goes on with: that of the last display, over what the text between them says."""
    return next((chain for chain in reversed(found) if chain.display), found[-1])


def _says_something(parts: Sequence[Line]) -> bool:
    """Whether mathematics in line is a statement, and not a name in passing."""
    if any(part.fault for part in parts):
        return any("=" in part.source for part in parts)
    if any(part.relation == "~" and part.items[:1] in (["N"], [r"\cal.N"]) for part in parts):
        return True  # z \sim N(0, 1)
    judged = [part for part in parts if part.relation not in ("", "~", "in")]
    signs_ = sum(len(_flat(part.items)) for part in parts)
    return bool(judged) and (signs_ >= 8 or _is_a_short_name(parts))


def _is_a_short_name(parts: Sequence[Line]) -> bool:
    r"""k = v / (v + r), \rho = 1 / \sigma^2: what a letter stands for, in other letters."""
    if [part.relation for part in parts] != ["", "="] or len(parts[0].items) != 1:
        return False
    letter = parts[0].items[0]
    others = {sign for sign in _flat(parts[1].items) if (sign.isalpha() and len(sign) == 1) or sign in SHORT}
    return (letter in SHORT or letter in "abckmrsvwKMCGA") and bool(others) and len(_flat(parts[1].items)) > 2


# ------------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True)
class _Row:
    source: str
    row: int
    cell: int
    surface: Surface
    fault: str = ""


def rows_of(block: Block, macros: Mapping[str, Macro]) -> list[_Row]:
    r"""The rows of a block, cut at \\ outside of braces; rows that continue joined."""
    if len(block.source) > LONGEST_BLOCK:
        fault = f"Expected a formula of at most {LONGEST_BLOCK:,} characters, but got more."
        return [_Row(block.source[:80], block.row, block.cell, Surface(), fault)]
    found: list[_Row] = []
    for part, skipped in _split(signs(block.source, block.row)):
        if not any(sign.text.strip(" &") for sign in part):
            continue
        row = next(sign.row for sign in part if sign.text.strip(" &"))
        source = _shown(part)
        if len(part) > LONGEST_ROW:
            fault = f"Expected a formula of at most {LONGEST_ROW:,} signs, but got {len(part):,}."
            found.append(_Row(source[:80], row, block.cell, Surface(), fault))
            continue
        if skipped:
            fault = "Expected one formula, but got several cases, which are not read."
            found.append(_Row(source, row, block.cell, Surface(), fault))
            continue
        try:
            texts = [sign.text for sign in expanded(part, macros)]
            read = surface(grouped(texts))
        except CannotRead as error:
            found.append(_Row(source, row, block.cell, Surface(), str(error)))
            continue
        read.items = _without_remarks(read)
        if not read.items:
            continue
        if found and _continues(found[-1].surface.items, read.items) and not found[-1].fault:
            before = found[-1]
            joined = Surface(
                before.surface.items + read.items,
                before.surface.named + read.named,
                before.surface.mended + read.mended,
            )
            found[-1] = replace(before, surface=joined, source=f"{before.source} {source}")
        else:
            found.append(_Row(source, row, block.cell, read))
    return found


def _split(source: Sequence[Sign]) -> list[tuple[list[Sign], bool]]:
    r"""The signs between \\, and whether there is an environment that is not read."""
    parts: list[tuple[list[Sign], bool]] = []
    current: list[Sign] = []
    depth = inside = 0
    skipped = False
    at = 0
    while at < len(source):
        sign = source[at]
        depth = max(0, depth + (sign.text == "{") - (sign.text == "}"))
        if sign.text in (r"\begin", r"\end"):
            name, after = _environment(source, at)
            kind = name.rstrip("*")
            if kind in _SKIPPED:
                inside = max(0, inside + (1 if sign.text == r"\begin" else -1))
                skipped = True
            if sign.text == r"\begin" and name in _ENVIRONMENTS_WITH_ARGUMENT:
                _, after = _braced(source, after)
            current.append(Sign(" ", sign.row))
            at = after
            continue
        if sign.text in (r"\\", r"\cr", r"\newline", r"\tabularnewline") and depth == 0 and not inside:
            parts.append((current, skipped))
            current, skipped = [], False
            at = _after_space(source, at + 1)
            continue
        current.append(sign)
        at += 1
    parts.append((current, skipped))
    return parts


def _environment(source: Sequence[Sign], at: int) -> tuple[str, int]:
    return _braced(source, at + 1)


def _braced(source: Sequence[Sign], at: int) -> tuple[str, int]:
    while at < len(source) and source[at].text == " ":
        at += 1
    if at >= len(source) or source[at].text != "{":
        return "", at
    end = next((i for i in range(at, min(len(source), at + 60)) if source[i].text == "}"), at)
    return "".join(sign.text for sign in source[at + 1 : end]), end + 1


def _after_space(source: Sequence[Sign], at: int) -> int:
    r"""Behind the [10pt] of \\[10pt]."""
    if at < len(source) and source[at].text == "[":
        inside = "".join(sign.text for sign in source[at + 1 : at + 8])
        match = re.match(r"-?[\d.]+\s?[a-z]{2}\]", inside)
        if match:
            end = next(i for i in range(at, len(source)) if source[i].text == "]")
            return end + 1
    return at


def _shown(part: Sequence[Sign]) -> str:
    text = ""
    for sign in part:
        glue = " " if text and re.search(r"\\[a-zA-Z]+$", text) and sign.text[0].isalpha() else ""
        text += glue + sign.text
    return " ".join(text.replace("&", " ").split())


def _without_remarks(read: Surface) -> Items:
    """The row without the words beside it, and without what is punctuation at its end."""
    items = list(read.items)
    for sign in (r"\forall", r"\because"):
        if sign in items[1:]:
            cut = items.index(sign)
            items = items[: cut - 1] if items[cut - 1] in ("(", ",") else items[:cut]
    for i, item in enumerate(items):
        if isinstance(item, str) and item.startswith(r"\word.") and not _is_value(items, i):
            read.remarks.append(item.removeprefix(r"\word."))
            before, after = items[:i], items[i + 1 :]
            if before[-1:] == ["("]:
                before = before[:-1]
            items = before if before and before[-1:] != ["="] else after[after[:1] == [":"] :]
            break
    while items and items[-1] in (",", ".", ";", ":", "!", "'", r"\quad", "?"):
        items.pop()
    while items and items[0] in (",", ".", ";", ":"):
        items.pop(0)
    return items


_NEIGHBOURS = {"+", "-", "(", ")", "[", "]", r"\cdot", *RELATIONS, *ARROWS, ",", "."}


def _is_value(items: Items, at: int) -> bool:
    r"""Whether a word is worth something: \text{evidence} between signs, and ELBO anywhere."""
    word = str(items[at]).removeprefix(r"\word.")
    if word in ("ELBO", "data", "old", "new"):
        return True
    before = items[at - 1] if at else "="
    after = items[at + 1] if at + 1 < len(items) else "="
    if before in (")", "]") or word.startswith("(") or (before == "(" and at > 1 and items[at - 2] in (")", "]")):
        return False  # a remark behind a formula: (Bayes)
    return " " not in word and before in _NEIGHBOURS and (after in _NEIGHBOURS or after == "_") and len(items) > 1


def _continues(above: Items, below: Items) -> bool:
    """Whether a row only goes on with the one above."""
    first, last = below[0], above[-1] if above else ""
    if isinstance(last, str) and (last in RELATIONS or last in ("+", "-", r"\cdot", r"\times", "/", r"\pm")):
        return not (isinstance(first, str) and first in RELATIONS)
    if isinstance(first, str) and first in ("+", "-", r"\cdot", r"\times", r"\pm"):
        return True
    return _depth(above) > 0 and first not in RELATIONS


def _depth(items: Items) -> int:
    return sum((item in _OPEN) - (item in _CLOSE) for item in items if isinstance(item, str))


def _cut(row: _Row) -> list[Line]:
    """A row at its relations."""
    if row.fault:
        return [Line(row.source, row.row, "", [], row.cell, fault=row.fault)]
    found: list[Line] = []
    current: Items = []
    relation, depth = "", 0
    items = row.surface.items
    for i, item in enumerate(items):
        if isinstance(item, str):
            depth = max(0, depth + (item in _OPEN) - (item in _CLOSE))
            cuts = item in RELATIONS or item in ARROWS
            if (
                item == ","
                and depth == 0
                and _flat(items[i + 1 :])
                and _relates(items[i + 1 :])
                and (found or relation)
            ):
                if current:
                    found.append(Line(row.source, row.row, relation, current, row.cell))
                current, relation = [], ""
                continue
            if cuts and (depth == 0 or (item in ("=", r"\ge", r"\le") and _never_closes(items, i))):
                if current or not (found or relation):
                    if current:
                        found.append(Line(row.source, row.row, relation, current, row.cell))
                    current = []
                depth = 0
                relation = RELATIONS.get(item, "")
                continue
        current.append(item)
    if current:
        found.append(Line(row.source, row.row, relation, current, row.cell))
    found = [line for line in found if not _is_aim(line.items)]
    if found:
        arrows = [i for i, item in enumerate(items) if item in (r"\Leftrightarrow", r"\Rightarrow")]
        if arrows and arrows[0] > 0:
            found = [replace(line, premise=True) for line in found]
        found[-1] = replace(found[-1], named=tuple(row.surface.named), mended=tuple(row.surface.mended))
    return found


def _relates(items: Items) -> bool:
    """Whether another statement begins here."""
    return any(isinstance(item, str) and item in RELATIONS for item in items)


def _is_aim(items: Items) -> bool:
    r"""\to \max_\theta: what is to be done, after which nothing comes."""
    return bool(items) and items[0] in (r"\max", r"\min") and len(items) in (1, 3)


def _never_closes(items: Items, at: int) -> bool:
    """Whether a bracket before this place is never closed: then it holds no relation."""
    return _depth(items[at:]) >= 0 and _depth(items[:at]) > 0


def _flat(items: Items) -> list[str]:
    found: list[str] = []
    for item in items:
        found += _flat(item) if isinstance(item, list) else [item]
    return found
