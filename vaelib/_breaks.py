r"""Long formulas in a table, on several lines: broken where a new statement or a new term begins.

A table gives its formulas all the width that they ask for, and its words what is left; a formula of 100 letters then
leaves one word a line, or runs out of the window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vaelib._latex import TOKEN, for_table, plain, width

LETTERS = 66  # about half of a page at 1280 pixels with a sidebar
_OPEN, _CLOSE = {"{", "(", "[", r"\{", r"\lfloor"}, {"}", ")", "]", r"\}", r"\rfloor"}
_BARS = {"|", r"\|"}
_NO_TERM = {r"\log", r"\quad"}  # a sign behind these belongs to what follows
_LEFT_OPEN, _GOES_ON = r"\right.", r"\left. "  # a bracket that the next line closes, and that line
_SPACES = {r"\quad", r"\qquad", r"\ ", r"\,", r"\;"}


def in_table(latex: str, letters: int = LETTERS) -> str:
    """The formula for a cell of a Markdown table, on as many lines as it needs.

    Example: in_table(r"a,\\quad b", letters=1) == "$a,$<br>$b$"
    """
    return "<br>".join(map(for_table, lines(latex, letters)))


def lines(latex: str, letters: int = LETTERS) -> list[str]:
    """The formula in pieces of at most so many letters, if it has enough places where it can be broken."""
    if _wide(latex) <= letters:
        return [latex]
    found = [""]
    for statement in _statements(latex):
        begun = f"{found[-1]} \\quad {statement}" if found[-1] else statement
        if _wide(begun) <= letters:
            found[-1] = begun
            continue
        found.append("")
        for term in _terms(statement, letters):
            if found[-1] and _wide(found[-1] + term) > letters:
                found.append(rf"\quad {{}}{term}")  # the braces make its sign one between two terms
            elif term.startswith(_GOES_ON):
                found[-1] = found[-1].removesuffix(_LEFT_OPEN) + term.removeprefix(_GOES_ON)
            else:
                found[-1] += term
    return [line for line in found if line]


def _wide(latex: str) -> int:
    return width(plain(latex))


def _places(latex: str) -> Iterator[tuple[int, int, str, str, list[str]]]:
    """Each token: begin, end, its text, the last token before it that is not a space, and the brackets around it."""
    around: list[str] = []
    before, bracket = "", ""
    for token in TOKEN.finditer(latex):
        text = token[0]
        if text.isspace():
            continue
        if bracket:  # what belongs to \left or \right
            around, before, bracket = (around[:-1], ")", "") if bracket == r"\right" else ([*around, r"\left"], "(", "")
        elif text in (r"\left", r"\right"):
            bracket = text
        elif text in _BARS and text in around[-1:]:
            around, before = around[:-1], text
        elif text in _CLOSE:
            around, before = around[: -2 if around[-1:] and around[-1] in _BARS else -1], text  # with a lone bar
        elif text in _OPEN or text in _BARS:
            around, before = [*around, text], "("
        else:
            yield token.start(), token.end(), text, before, around
            before = text


def _statements(latex: str) -> list[str]:
    """What a comma and a space, or a wide space, divides; the comma stays with what it ends."""
    found, begin = [], 0
    for start, end, token, before, around in _places(latex):
        if token in _SPACES and not around and (before == "," or token.endswith("quad")):
            found.append(latex[begin:start].strip())
            begin = end
    return [part for part in (*found, latex[begin:].strip()) if part]


def _terms(latex: str, letters: int, inside: int = 0) -> list[str]:
    r"""What begins with a plus or a minus between two terms, or with words; if one is too long, what is in its bracket.

    Of a bracket of \left and \right, each piece gets an invisible half, so that it is a formula by itself.
    """
    found, begin, goes_on = [], 0, ""
    for start, _, token, before, around in _places(latex):
        if len(around) != inside or not {*around} <= {"(", "[", r"\left"}:
            continue
        sign = token in "+-" and re.fullmatch(r"[\w)\]}'*|]|\\[a-zA-Z]{2,}", before) and before not in _NO_TERM
        item = inside and token in _SPACES and before == ","
        if sign or item or (token == r"\text" and before):
            open_left = r"\left" in around
            found.append(goes_on + latex[begin:start] + _LEFT_OPEN * open_left)
            begin, goes_on = start, _GOES_ON * open_left
    found.append(goes_on + latex[begin:])
    if inside:
        return found
    return [part for one in found for part in (_terms(one, letters, 1) if _wide(one) > letters else [one])]
