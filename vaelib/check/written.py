r"""Back into the letters of the document: p(x \mid z) of a witness is P_\theta(X \mid Z) again.

A reading notes how the document spells each name that it meets; what it never spelled is put together from its letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vaelib.check.latex import Items
from vaelib.check.options import DATA, NEW, OLD, STAR
from vaelib.check.roles import Called, Roles
from vaelib.formula.binders import Integral
from vaelib.formula.tree import Call, Name, Node

_MARKS = {OLD: r"^{\text{old}}", NEW: r"^{\text{new}}", STAR: "^*", DATA: r"_{\text{data}}"}
INDICES = ("i", "j", "l")
_FONTS = {r"\cal.": "mathcal", r"\bb.": "mathbb", r"\word.": "text"}
_SIGNS = {"E": r"\mathbb{E}", "KL": r"\mathrm{KL}", "H": r"\mathrm{H}", "Var": r"\mathrm{Var}", "Cov": r"\mathrm{Cov}"}
_SIGNS |= {"argmax": r"\arg\max", "argmin": r"\arg\min"}


@dataclass(frozen=True, eq=False, repr=False)
class AsWritten(Node):
    """A name of the document, as it is spelled there."""

    single: ClassVar[bool] = True
    text: str

    @property
    def latex(self) -> str:
        return self.text


def key(latex: str) -> str:
    """One spelling of a name of the witnesses, however it was spaced and braced."""
    return re.sub(r"[\s{}]", "", latex)


def in_letters(formula: Node, written: Mapping[str, str], roles: Roles) -> str:
    r"""The LaTeX of a formula in the letters of a document; its \int is a sum if `written` says so."""
    letters = {name: letter for letter, name in reversed(list(roles.variables.items()))}
    return _renamed(formula, {**letters, **written}).latex


def _renamed(node: Node, written: Mapping[str, str]) -> Node:
    if isinstance(node, Call | Name) and key(node.latex) in written:
        return AsWritten(written[key(node.latex)])
    if isinstance(node, Call) and isinstance(node.name, Name) and node.name.base in ("p", "q"):
        head = written.get(key(node.name.latex) + "(") or _head(node.name, written)
        parts = [", ".join(_renamed(part, written).latex for part in parts) for parts in (node.targets, node.givens)]
        return AsWritten(head + "(" + r" \mid ".join(part for part in parts if part) + ")")
    if isinstance(node, Integral) and r"\int" in written:
        below = ", ".join(_renamed(name, written).latex for name in node.variables)
        return AsWritten(rf"\sum_{{{below}}} {_renamed(node.body, written).latex}")
    if isinstance(node, Name) and node.sub is not None and key(node.sub.latex) not in INDICES:
        return node  # what hangs on it is a part of the name
    return node.mapped(lambda part: _renamed(part, written))


def _head(name: Name, written: Mapping[str, str]) -> str:
    """The letter of a density that the document never calls in this way: of the old model, or of the data."""
    mark = name.sub.latex if name.sub is not None else ""
    return written.get(name.base + "(", name.base).partition("^")[0] + _MARKS.get(mark, "")


def spelled(call: Called) -> str:
    r"""A density as it is in the document: P_\theta(X \mid Z)."""
    inside = ", ".join(typed(entry) for entry in call.targets)
    inside += r" \mid " + ", ".join(typed(entry) for entry in call.givens) if call.givens else ""
    inside += "; " + ", ".join(typed(entry) for entry in call.parameters) if call.parameters else ""
    return f"{typed([call.letter, *call.scripts])}({inside})"


def typed(items: Items) -> str:
    """Items as LaTeX again."""
    found = ""
    for item in items:
        text = f"{{{typed(item)}}}" if isinstance(item, list) else _sign(str(item))
        glue = " " if re.search(r"\\[a-zA-Z]+$", found) and text[:1].isalpha() else ""
        found += glue + text
    return found


def _sign(item: str) -> str:
    for prefix, font in _FONTS.items():
        if item.startswith(prefix):
            return rf"\{font}{{{item.removeprefix(prefix)}}}"
    return _SIGNS.get(item[1:], item) if item.startswith("\\") else item
