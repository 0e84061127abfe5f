"""Text that the terminal can show: where its encoding has no sigma, `sigma` is written."""

from __future__ import annotations

import re
import sys
import unicodedata

_SPELLED = {
    **{"≥": ">=", "≤": "<=", "≠": "!=", "≈": "~=", "≡": "==", "∝": "proportional to ", "±": "+-", "∓": "-+"},
    **{"∑": "sum", "∏": "prod", "∫": "int", "√": "sqrt", "∂": "d", "∇": "grad ", "∞": "inf", "…": "...", "ℓ": "l"},
    **{"→": "->", "←": "<-", "↦": "|->", "⇒": "=>", "⇔": "<=>", "∈": "in", "∉": "not in", "⊂": "subset of"},
    **{"∀": "for all ", "∃": "exists ", "∅": "{}", "∪": "union", "∩": "and", "∖": "\\", "·": "*", "•": "*", "×": "x"},
    **{"‖": "||", "⟨": "<", "⟩": ">", "⌊": "floor(", "⌋": ")", "ᵀ": "T", "′": "'", "−": "-", "–": "-", "—": "-"},
    **{"⊙": "*", "⊗": "(x)", "⊕": "(+)", "∘": "o", "≪": "<<", "≫": ">>", "ℏ": "hbar", "“": '"', "”": '"', "’": "'"},
    **{"\u0302": "_hat", "\u0303": "_tilde", "\u0304": "_bar", "\u0307": "_dot", "\u2044": "/"},
}
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)")


def printable(text: str, encoding: str | None = None) -> str:
    """`text` as it is where the encoding (standard output's, unless one is named) has all of it, or spelled in ASCII.

    Example:
        printable("log σ² ≤ ½", "ascii") == "log sigma^2 <= (1/2)"
    """
    encoding = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        text = re.sub(r"[^\x00-\x7f]+", lambda found: "".join(_spelled(found.group())), text)
    return text


def _spelled(text: str) -> list[str]:
    """Each character in ASCII; a run of exponents gets one ^, a run of indices one _."""
    parts: list[str] = []
    before = ""
    for character in text:
        kind = unicodedata.decomposition(character).partition(">")[0].strip("<")
        mark = {"super": "^", "sub": "_"}.get(kind, "")
        if mark and mark != before:
            parts.append(mark)
        parts.append(_one(character))
        before = mark
    return parts


def _one(character: str) -> str:
    if character in _SPELLED:
        return _SPELLED[character]
    greek = _GREEK.match(unicodedata.name(character, ""))
    if greek:
        return greek[2].lower() if greek[1] == "SMALL" else greek[2].capitalize()
    pieces = unicodedata.normalize("NFKD", character)
    if pieces == character:
        return character if character.isascii() else "" if unicodedata.combining(character) else "?"
    written = "".join(_one(piece) for piece in pieces)
    return f"({written})" if unicodedata.decomposition(character).startswith("<fraction>") else written
