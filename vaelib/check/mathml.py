r"""LaTeX as MathML, which browsers set without a network; what cannot be set is shown as its source.

The tree that latex2mathml makes is taken over element by element, by name: a document that says \href{javascript:..} or
\text{<script>} puts nothing into a page but letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from html import escape, unescape
from xml.etree.ElementTree import Element, tostring

from vaelib.check.latex import CannotRead, Macro, expanded, signs

LONGEST = 4_000  # characters that are set
KEPT = frozenset(
    "math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mstyle"
    " mpadded mphantom merror menclose".split()
)
ATTRIBUTES = frozenset(
    "display stretchy fence form separator lspace rspace minsize maxsize accent accentunder linethickness columnalign"
    " rowspacing columnspacing width height depth voffset movablelimits largeop displaystyle scriptlevel symmetric"
    " mathvariant".split()
)
LINED = {"munder": "under", "mover": "over"}  # a line below or above, which no browser stretches: a class draws it
LINE = "\N{HORIZONTAL BAR}"
SIMPLE = re.compile(r"[\w .%+-]{0,40}")  # what an attribute may say
DROPPED = set(r"\label \tag \tag* \hspace \hspace* \vspace \color \ref \eqref \cite \footnote \cssId \class".split())
SILENT = set(r"\nonumber \notag \noindent \hfill \allowbreak \strut \limits \nolimits \displaystyle &".split())
NAMES = {
    **dict.fromkeys([r"\E", r"\EE", r"\Ex"], r"\mathbb{E}"),
    **dict.fromkeys([r"\KL", r"\DKL", r"\kl"], r"\mathrm{KL}"),
    **{
        r"\given": r"\mid",
        r"\ELBO": r"\mathrm{ELBO}",
        r"\N": r"\mathcal{N}",
        r"\d": "d",
        r"\dd": "d",
        r"\mbox": r"\text",
    },
    **{rf"\b{letter}": rf"\mathbf{{{letter}}}" for letter in "xyzhuvwabct"},
    **{r"\bm": r"\mathbf", r"\pmb": r"\mathbf", r"\mathlarger": "", r"\dbsp": r"\quad", r"\const": r"\mathrm{const}"},
}
VARIANTS = {"script": "SCRIPT", "bold": "BOLD", "bold-italic": "BOLD ITALIC", "fraktur": "FRAKTUR"}
VARIANTS |= {"double-struck": "DOUBLE-STRUCK", "bold-script": "BOLD SCRIPT", "sans-serif": "SANS-SERIF"}
VARIANTS |= {"monospace": "MONOSPACE"}


@lru_cache(maxsize=4096)
def _set(latex: str, display: str) -> str:
    from latex2mathml.converter import convert_to_element  # of the extra `check`

    root = _clean(convert_to_element(latex, display=display))
    root.set("xmlns", "http://www.w3.org/1998/Math/MathML")
    root.set("display", display)
    root.set("alttext", latex)
    return tostring(root, encoding="unicode")


def as_mathml(latex: str, macros: Mapping[str, Macro] | None = None, display: bool = True) -> str:
    r"""A formula as MathML, or its source in <code> where it cannot be set. None of it is read as markup.

    Args:
        latex: without dollars, one row.
        macros: of the document.

    Example: as_mathml(r"\log p(x)") begins with <math.
    """
    try:
        if len(latex) > LONGEST:
            raise ValueError("too long")
        return _set(prepared(latex, macros or {}), "block" if display else "inline")
    except Exception:  # whatever the library stumbles over: the source is shown
        return f"<code>{escape(_printable(latex[:LONGEST]))}</code>"


def prepared(latex: str, macros: Mapping[str, Macro]) -> str:
    """The LaTeX that is set: macros put in, without labels, with \\left and \\right in pairs."""
    try:
        words = [sign.text for sign in expanded(signs(latex), macros)]
    except CannotRead:
        words = [sign.text for sign in signs(latex)]
    kept: list[str] = []
    at = 0
    paired = words.count(r"\left") == words.count(r"\right")
    while at < len(words):
        word = words[at]
        at += 1
        if word in DROPPED:
            at = _behind_group(words, at)
        elif word in SILENT or (word in (r"\left", r"\right", r"\middle") and not paired):
            continue
        else:
            kept.append(NAMES.get(word, word))
    text = ""
    for word in kept:
        text += (" " if re.search(r"\\[a-zA-Z]+$", text) and word[:1].isalpha() else "") + word
    return _printable(text).strip()


def _behind_group(words: list[str], at: int) -> int:
    """The place behind the group that begins here."""
    while at < len(words) and words[at] == " ":
        at += 1
    if at >= len(words) or words[at] != "{":
        return at
    depth = 0
    for i in range(at, len(words)):
        depth += (words[i] == "{") - (words[i] == "}")
        if depth == 0:
            return i + 1
    return len(words)


def _printable(text: str) -> str:
    """Without control characters, which no page may hold."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def _clean(element: Element, depth: int = 0) -> Element:
    """The same element with what may be in a page, and nothing else."""
    if depth > 150:
        raise ValueError("too deep")
    name = str(element.tag)
    if name in LINED and len(element) == 2 and element[1].text and unescape(element[1].text) == LINE:
        lined = Element("mrow", {"class": LINED[name]})
        lined.append(_clean(element[0], depth + 1))
        return lined
    found = Element(name if name in KEPT else "mrow")
    for attribute, value in element.attrib.items():
        if attribute in ATTRIBUTES and SIMPLE.fullmatch(value):
            found.set(attribute, value)
    variant = found.attrib.get("mathvariant", "")
    if element.text:
        found.text = _lettered(unescape(element.text), variant)
    if variant in VARIANTS:
        del found.attrib["mathvariant"]  # browsers know it no longer: the letters say it
    for child in element:
        copy = _clean(child, depth + 1)
        copy.tail = unescape(child.tail) if child.tail else None
        if len(found) and _is_function(found[-1]) and not _opens(copy):
            found.append(Element("mspace", {"width": "0.17em"}))
        found.append(copy)
    return found


def _is_function(element: Element) -> bool:
    return element.tag == "mi" and len(element.text or "") > 1 and str(element.text).isalpha()


def _opens(element: Element) -> bool:
    """Whether a bracket begins here, or a script."""
    first = next((part.text for part in element.iter() if part.text), "")
    return first[:1] in "([{|"


def _lettered(text: str, variant: str) -> str:
    """Letters in script, in bold and so on."""
    kind = VARIANTS.get(variant)
    return "".join(_letter(c, kind) for c in text) if kind and len(text) <= 4 else text


def _letter(c: str, kind: str) -> str:
    """A letter in script, in bold and so on; the signs that Unicode had before, such as ℒ and ℂ, have shorter names."""
    name = unicodedata.name(c, "").replace("GREEK ", "").replace("LETTER ", "").replace("LATIN ", "")
    for full in (f"MATHEMATICAL {kind} {name}", f"{kind} {name}"):
        with suppress(KeyError):
            return unicodedata.lookup(full)
    return c
