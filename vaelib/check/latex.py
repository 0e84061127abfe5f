r"""LaTeX as signs with the rows in which they are found, groups in braces, and macros expanded.

Nothing here knows what a formula is. What it costs is bounded: a macro that calls itself is refused, and so is a text
that grows beyond `MOST` signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

MOST = 20_000  # signs in one block, macros expanded
LONGEST_BLOCK = 20_000  # characters in one block
LONGEST_ROW = 2_000  # signs in one row
MOST_MACROS, LONGEST_MACRO = 300, 800  # of a document, and characters of each
DEEPEST = 40  # braces inside each other, and macros that call each other

_LEXEME = re.compile(r"(?<!\\)%[^\n]*|\\[a-zA-Z]+\*?|\\.|\d+(?:\.\d+)?|\.\d+|\n|[^\S\n]+|.", re.DOTALL)
_DEFINES = re.compile(r"\\(?:newcommand|renewcommand|providecommand|DeclareMathOperator|def|let)\*?(?![a-zA-Z])")


class CannotRead(ValueError):
    """LaTeX that cannot be taken apart; the message says where and why in one sentence."""


Items = list[Any]  # signs and groups, one after the other


class Sign(NamedTuple):
    """One sign of a source: a command, a number, a character; blanks are one " "."""

    text: str
    row: int


@dataclass(frozen=True)
class Macro:
    """What a command stands for: its arguments are #1, #2, ... of the body; the first may have a default."""

    arguments: int
    body: tuple[str, ...]
    default: tuple[str, ...] | None = None


def signs(source: str, row: int = 1) -> list[Sign]:
    r"""The signs of a source whose first character belongs to this row; comments are left out.

    Example: [s.text for s in signs(r"\log p(x)")] is ["\\log", " ", "p", "(", "x", ")"]
    """
    found: list[Sign] = []
    for match in _LEXEME.finditer(source):
        text = match.group()
        if text[0] == "%":
            continue
        if text.isspace():
            if found and found[-1].text != " ":
                found.append(Sign(" ", row))
            row += text == "\n"
            continue
        found.append(Sign(text, row))
    return found


def macros_of(source: str) -> dict[str, Macro]:
    r"""The macros that a document defines by \newcommand, \renewcommand, \def, \let and \DeclareMathOperator."""
    found: dict[str, Macro] = {}
    for match in islice(_DEFINES.finditer(source), MOST_MACROS):
        read = _definition([sign.text for sign in signs(source[match.start() : match.start() + LONGEST_MACRO])], 0)
        if read is not None:
            name, macro, _ = read
            found[name] = macro
    return found


def _definition(texts: Sequence[str], at: int) -> tuple[str, Macro, int] | None:
    """The definition that begins here, and the place behind it."""
    kind, at = texts[at].rstrip("*"), _skip(texts, at + 1)
    if at < len(texts) and texts[at] == "*":
        at = _skip(texts, at + 1)
    name, at = _argument(texts, at)
    name = [text for text in name if text != " "]
    if len(name) != 1 or not name[0].startswith("\\"):
        return None
    count, default = 0, None
    if kind == r"\let":
        at = _skip(texts, at)
        at = _skip(texts, at + 1) if at < len(texts) and texts[at] == "=" else at
    elif kind == r"\def":
        while at + 1 < len(texts) and texts[at] == "#":
            count, at = count + 1, at + 2
    else:
        at = _skip(texts, at)
        while at < len(texts) and texts[at] == "[":
            end = next((i for i in range(at, len(texts)) if texts[i] == "]"), None)
            if end is None:
                return None
            inside = texts[at + 1 : end]
            if count == 0 and len(inside) == 1 and inside[0].isdigit():
                count = min(9, int(inside[0]))
            else:
                default = tuple(inside)
            at = _skip(texts, end + 1)
    body, at = _argument(texts, at)
    if kind == r"\DeclareMathOperator":
        body = [r"\operatorname", "{", *(text for text in body if text not in (r"\,", " ")), "}"]
    return name[0], Macro(count, tuple(body), default), at


def _skip(texts: Sequence[str], at: int) -> int:
    while at < len(texts) and texts[at] == " ":
        at += 1
    return at


def _argument(texts: Sequence[str], at: int) -> tuple[list[str], int]:
    """The argument that begins here, without its braces, and the place behind it."""
    at = _skip(texts, at)
    if at >= len(texts):
        return [], at
    if texts[at] != "{":
        return [texts[at]], at + 1
    depth, start = 0, at
    while at < len(texts):
        depth += (texts[at] == "{") - (texts[at] == "}")
        at += 1
        if depth == 0:
            return list(texts[start + 1 : at - 1]), at
    return list(texts[start + 1 :]), at


def expanded(source: Sequence[Sign], macros: Mapping[str, Macro]) -> list[Sign]:
    """The signs with all macros put in; definitions are left out.

    Raises CannotRead for a macro that calls itself, and where the text grows beyond all measure.
    """
    result: list[Sign] = []
    waiting: list[tuple[Sign, int]] = [(sign, 0) for sign in reversed(source)]
    steps = 0
    while waiting:
        sign, depth = waiting.pop()
        steps += 1
        if steps > 10 * MOST or len(result) > MOST or len(waiting) > 10 * MOST:
            raise CannotRead(f"Expected a formula of at most {MOST:,} signs, but with its macros put in it has more.")
        if _DEFINES.fullmatch(sign.text):
            ahead = [s.text for s, _ in reversed(waiting[-2000:])]
            read = _definition([sign.text, *ahead], 0)
            if read is not None:
                del waiting[len(waiting) - (read[2] - 1) :]
                continue
        macro = macros.get(sign.text)
        if macro is None:
            result.append(sign)
            continue
        if depth >= DEEPEST:
            raise CannotRead(f"Expected a macro that ends, but {sign.text} calls itself, directly or by others.")
        given: list[list[Sign]] = []
        for i in range(macro.arguments):
            if i == 0 and macro.default is not None:
                given.append(_optional(waiting, macro.default, sign.row))
            else:
                given.append(_taken(waiting))
        for text in _filled(reversed(list(_pairs(macro.body))), given, sign.row):
            waiting.append((text, depth + 1))
    return result


def _pairs(body: Sequence[str]) -> Iterable[str]:
    """The body with #1 as one sign."""
    at = 0
    while at < len(body):
        if body[at] == "#" and at + 1 < len(body) and body[at + 1].isdigit():
            yield "#" + body[at + 1]
            at += 2
        else:
            yield body[at]
            at += 1


def _filled(body: Iterable[str], given: Sequence[Sequence[Sign]], row: int) -> Iterable[Sign]:
    for text in body:
        if text[0] == "#" and len(text) == 2 and text[1].isdigit():
            index = int(text[1]) - 1
            yield from reversed(given[index]) if index < len(given) else ()
        else:
            yield Sign(text, row)


def _taken(waiting: list[tuple[Sign, int]]) -> list[Sign]:
    """The next argument, taken from the signs that wait (the next one is the last)."""
    while waiting and waiting[-1][0].text == " ":
        waiting.pop()
    if not waiting:
        return []
    first = waiting.pop()[0]
    if first.text != "{":
        return [first]
    found: list[Sign] = []
    depth = 1
    while waiting:
        sign = waiting.pop()[0]
        depth += (sign.text == "{") - (sign.text == "}")
        if depth == 0:
            break
        found.append(sign)
    return found


def _optional(waiting: list[tuple[Sign, int]], default: Sequence[str], row: int) -> list[Sign]:
    while waiting and waiting[-1][0].text == " ":
        waiting.pop()
    if not waiting or waiting[-1][0].text != "[":
        return [Sign(text, row) for text in default]
    waiting.pop()
    found: list[Sign] = []
    while waiting and waiting[-1][0].text != "]":
        found.append(waiting.pop()[0])
    if waiting:
        waiting.pop()
    return found


class Group(list[Any]):
    """A group in braces: signs and groups. It may be looked for in a set of signs, where it is never found."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def grouped(texts: Sequence[str]) -> Items:
    """The signs with each group in braces as a list; a brace too many is left out, one that lacks is added."""
    stack: list[Items] = [Group()]
    for text in texts:
        if text == "{":
            if len(stack) > DEEPEST:
                raise CannotRead(f"Expected at most {DEEPEST} braces inside each other, but got more.")
            stack.append(Group())
        elif text == "}":
            if len(stack) > 1:
                inner = stack.pop()
                stack[-1].append(inner)
        else:
            stack[-1].append(text)
    while len(stack) > 1:
        inner = stack.pop()
        stack[-1].append(inner)
    return stack[0]


def flat(items: Items) -> list[str]:
    """The signs of groups, with their braces."""
    found: list[str] = []
    for item in items:
        if isinstance(item, list):
            found += ["{", *flat(item), "}"]
        else:
            found.append(item)
    return found
