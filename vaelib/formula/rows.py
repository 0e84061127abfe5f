r"""LaTeX of several lines as the lines of a chain: \log p(x) \\ &= \log \int p(x, z)\,dz is a start and an equation."""

from __future__ import annotations

import re

from vaelib.formula.binders import RELATIONS

LONGEST = 20_000  # characters
MOST = 200  # lines
CUTS = frozenset(RELATIONS) - {r"\in", r"\sim"}
_WORD = re.compile(r"\\[a-zA-Z]+|\\.|:=|[<>]=|\s+|.", re.DOTALL)
_AROUND = re.compile(
    r"\$\$?|\\\[|\\\]|\\\(|\\\)|\\(?:begin|end)\{(?:align|aligned|equation|gather|gathered|split|eqnarray|multline)\*?\}"
    r"|\\(?:nonumber|notag|displaystyle)(?![a-zA-Z])|\\label\{[^{}]*\}|(?<!\\)&|(?<!\\)%[^\n]*"
)
_BREAK = re.compile(r"\\\\(?:\[[^\]\n]*\])?")
_SIGNS = {":=": "=", "<=": "<=", ">=": ">="}
_OPEN, _CLOSE = ("{", "(", "[", r"\{", r"\left"), ("}", ")", "]", r"\}", r"\right")


def rows(latex: str) -> list[tuple[str, str]]:
    r"""The lines of a chain, each with its relation to the line above it; "" for a start.

    Args:
        latex: rows end with \\, or with the line where there is no \\. Dollars and environments do not matter.

    Raises ValueError for a text that is too long.

    >>> rows(r"\log p(x) &= \log \int p(x, z)\,dz \\ &\ge \mathbb{E}_q[f]")
    [('', '\\log p(x)'), ('=', '\\log \\int p(x, z)\\,dz'), ('>=', '\\mathbb{E}_q[f]')]
    """
    if len(latex) > LONGEST:
        raise ValueError(f"Expected LaTeX of at most {LONGEST:,} characters, but got {len(latex):,}.")
    parts = _BREAK.split(latex) if r"\\" in latex else latex.split("\n")
    found: list[tuple[str, str]] = []
    for part in _joined([_AROUND.sub(" ", part) for part in parts]):
        found += _cut(part)
        if len(found) > MOST:
            raise ValueError(f"Expected at most {MOST} lines, but got more.")
    return found


def split(latex: str) -> list[str]:
    """A row in front of each of its relations, those in brackets left out."""
    parts, depth = [""], 0
    for word in _WORD.findall(latex):
        depth += (word in _OPEN) - (word in _CLOSE)
        if (word in CUTS or word in _SIGNS) and depth <= 0 and parts[-1].strip():
            parts.append("")
        parts[-1] += word
    return parts


def _joined(parts: list[str]) -> list[str]:
    """Rows, with those that only go on with the one above."""
    found: list[str] = []
    for part in (" ".join(part.split()) for part in parts):
        if not part:
            continue
        words = [word for word in _WORD.findall(found[-1])] if found else []
        is_open = sum((word in _OPEN) - (word in _CLOSE) for word in words) > 0
        ends = [word for word in words if word.strip()][-1:]
        if found and (is_open or part[0] in "+-" or (ends and (ends[0] in CUTS or ends[0] in ("+", "-", r"\cdot")))):
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def _cut(row: str) -> list[tuple[str, str]]:
    found = []
    for part in split(row):
        first = _WORD.match(part.strip())
        word = first.group() if first else ""
        relation = RELATIONS.get(word, _SIGNS.get(word, "")) if word in CUTS or word in _SIGNS else ""
        body = part.strip()[len(word) :] if relation else part
        body = body.strip().rstrip(".,;").strip()
        if body:
            found.append(("=" if relation == ":=" else relation, body))
    return found
