r"""LaTeX as tokens: commands, letters, numbers and signs, each with its place; what only sets type is dropped.

Spaces and sizes carry no meaning, except that a space command keeps a name and the bracket behind it apart:
`\mu\,(x - y)` is a product, `f(x)` a call. What others define as macros is known by its usual names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vaelib.formula.tree import Span


class Unreadable(ValueError):
    """LaTeX that cannot be read as a formula: says where, what was expected, and how the part before was read."""

    def __init__(self, message: str, where: Span, before: str = "") -> None:
        self.message, self.where, self.before = message, where, before
        read = f"\nBefore that I read: {before}" if before else ""
        super().__init__(f"{message}\n{where.caret()}{read}")

    def __reduce__(self) -> tuple[type[Unreadable], tuple[str, Span, str]]:
        return type(self), (self.message, self.where, self.before)  # it may cross to another process


@dataclass(frozen=True)
class Token:
    """One sign.

    Args:
        kind: `letter`, `number`, `command`, `word` (an upright word), `sign`, or `end`.
        spaced: whether a space command or a line break is before it; `apart`: whether any blank does.
        side: "open" or "close" where `\\left`, `\\right` and their kin say so.
    """

    kind: str
    text: str
    start: int
    end: int
    spaced: str = ""
    apart: bool = False
    side: str = ""


LONGEST = 100_000  # characters
_LEXEME = re.compile(r"%[^\n]*|\\[a-zA-Z]+\*?|\\.|\d+(?:\.\d+)?|\.\d+|[^\W\d_]|\s+|.", re.DOTALL)
_SPACES = {r"\,", r"\;", r"\:", r"\!", r"\ ", r"\>", r"\quad", r"\qquad", "~", "&", r"\enspace", r"\thinspace"}
_IGNORED = set(
    r"\displaystyle \textstyle \scriptstyle \limits \nolimits \nonumber \notag \mathop \mathrel \mathbin \mathopen"
    r" \mathclose \mathstrut \strut \rm \it \bf \cal".split()
)
_DROPPED_WITH_ARGUMENT = {r"\label", r"\tag", r"\hspace", r"\hspace*", r"\phantom", r"\vspace", r"\color", r"\tag*"}
_SIZES = {
    **dict.fromkeys([r"\left", r"\bigl", r"\Bigl", r"\biggl", r"\Biggl"], "open"),
    **dict.fromkeys([r"\right", r"\bigr", r"\Bigr", r"\biggr", r"\Biggr"], "close"),
    **dict.fromkeys([r"\big", r"\Big", r"\bigg", r"\Bigg", r"\middle", r"\bigm", r"\Bigm", r"\biggm"], ""),
}
_SAME = {
    **{r"\vert": "|", r"\lvert": "|", r"\rvert": "|", r"\Vert": r"\|", r"\parallel": r"\|", r"\lVert": r"\|"},
    **{r"\rVert": r"\|", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\lbrack": "[", r"\rbrack": "]", r"\ast": "*"},
    **{r"\dfrac": r"\frac", r"\cfrac": r"\frac", r"\leqslant": r"\le", r"\geqslant": r"\ge", "−": "-", "·": r"\cdot"},
    **{r"\given": r"\mid", r"\giv": r"\mid", r"\Expect": r"\E", r"\cN": r"\mathcal{N}", r"\cL": r"\mathcal{L}"},
    **{r"\ln": r"\log", r"\intercal": r"\top", r"\prime": "'", r"\colon": ":", r"\to": r"\rightarrow"},
}
_UPRIGHT = {r"\mathrm", r"\text", r"\operatorname", r"\operatorname*", r"\textrm", r"\mathsf", r"\mbox", r"\textup"}
_BRACED_WORD = re.compile(
    r"\{\s*\\(?:rm|sf)\s+([a-zA-Z]+)\s*\}|\{\s*\\(?:mathrm|text|operatorname)\s*\{\s*([a-zA-Z]+)\s*\}\s*\}"
)
_BRACED_LETTER = re.compile(r"\s*(?P<open>\{)\s*\\[a-z]+\s*(?:\{\s*[a-zA-Z]+\s*\}|[a-zA-Z])\s*(?P<close>\})")
_SAID = {r"\text", r"\textrm", r"\mbox", r"\textup"}
_NAMED = {"log", "exp", "softplus", "sigmoid", "softmax", "tr", "det", "diag", "max", "min", "expm1", "log1p"}
_WORDS = re.compile(r"(log|ln|exp|det|max|min|KL|Var|Cov|ELBO|tr)(?![a-zA-Z])")  # typed without a backslash


def tokens(source: str) -> list[Token]:
    """All tokens of the source, an `end` last. Linear in its length."""
    if len(source) > LONGEST:
        raise Unreadable(f"Expected at most {LONGEST:,} characters, but got {len(source):,}.", Span(source[:80], 0, 0))
    found: list[Token] = []
    spaced, apart, side = "", False, ""
    dropped: set[int] = set()
    at = 0
    while at < len(source):
        match = _LEXEME.match(source, at)
        assert match is not None  # the last alternative takes any character
        text, start, at = match.group(), at, match.end()
        if text[0] == "%" or text.isspace():
            apart = True
            continue
        text = text if text in _IGNORED else _SAME.get(text, text)
        if text in _SPACES or text == r"\\":
            spaced, apart = spaced or text, True
            continue
        if text in _IGNORED:
            if text == r"\mathop" and (braced := _BRACED_LETTER.match(source, at)):  # \mathop{\mathbb{E}}
                dropped |= {braced.start("open"), braced.start("close")}
            continue
        if start in dropped:
            continue
        if text in _SIZES:
            side = _SIZES[text]
            continue
        if text in _DROPPED_WITH_ARGUMENT:
            at = _after_group(source, at)
            spaced = spaced or r"\,"
            continue
        if text == "{" and (braced := _BRACED_WORD.match(source, start)):  # {\rm KL}
            at = braced.end()
            word = next(group for group in braced.groups() if group)
            kind = "word" if len(word) > 1 else "letter"
            found.append(Token(kind, word.replace("ln", "log"), start, at, spaced, apart, side))
            spaced, apart, side = "", False, ""
            continue
        kind = "sign"
        if text in _UPRIGHT:
            said = text in _SAID
            text, at = _word(source, start, at)
            kind = "command" if text.startswith("\\") and "{" not in source[start:at] else "word"
            if said and len(text) > 1 and text.islower() and text not in _NAMED:
                text = f"{text} "  # words of a sentence have no value
        elif text.startswith("\\") and text[1:2].isalpha():
            kind = "command"
        elif text[0].isdigit() or (text[0] == "." and len(text) > 1):
            kind = "number"
        elif text.isalpha():
            kind = "letter"
            word = _WORDS.match(source, start)
            if word and not (found and found[-1].kind == "letter" and found[-1].end == start):
                kind, text, at = "word", word.group().replace("ln", "log"), word.end()
        found.append(Token(kind, text, start, at, spaced, apart, side))
        spaced, apart, side = "", False, ""
    found.append(Token("end", "", len(source), len(source), spaced, apart))
    return found


def _after_group(source: str, at: int) -> int:
    """The place behind a group in braces."""
    opening = re.compile(r"\s*\{").match(source, at)
    if not opening:
        return at
    closing = source.find("}", opening.end())
    return len(source) if closing < 0 else closing + 1


def _word(source: str, start: int, at: int) -> tuple[str, int]:
    r"""The word in \mathrm{word} and the place behind it."""
    match = re.compile(r"\s*(?:\{\s*([^{}]*?)\s*\}|(\\[a-zA-Z]+|[a-zA-Z]))").match(source, at)
    if not match:
        raise Unreadable("Expected a word in braces.", Span(source, start, at))
    word = match.group(1) if match.group(1) is not None else match.group(2)
    return word, match.end()
