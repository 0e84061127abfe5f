"""What changed from one line to the next, found by comparing the two trees."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from vaelib.formula.binders import Big, Expectation, Integral, Mark, Where
from vaelib.formula.reader import tex
from vaelib.formula.tokens import Unreadable
from vaelib.formula.tree import Bracket, Function, Negative, Node, Product, Quotient, Sum

_WHOLE = {"law", "over"}  # where this has changed, all of it has
_ENTERED = (Big, Bracket, Expectation, Function, Integral, Negative, Quotient)  # a change inside is marked inside


def underlined(above: Any, below: Any) -> str:
    """The LaTeX of the line below with what is new in it underlined; as it is where all of it is new."""
    latex: str = below if isinstance(below, str) else below.latex
    old, new = _tree(above), _tree(below)
    if old is None or new is None or any(isinstance(part, Mark) for part in new.walk()):
        return latex
    tail = replace(new, body=Mark(new.body)).latex[len(Mark(new.body).latex) :] if isinstance(new, Where) else ""
    old, new = (side.body if isinstance(side, Where) else side for side in (old, new))
    found = _marked(old, new)
    return latex if found == new or isinstance(found, Mark) else found.latex + tail


def _tree(formula: Any) -> Node | None:
    formula = getattr(formula, "formula", formula)
    if isinstance(formula, Node):
        return formula
    try:
        return tex(formula if isinstance(formula, str) else formula.latex)
    except Unreadable:
        return None


def _marked(old: Node, new: Node) -> Node:
    if old == new:
        return new
    if isinstance(new, Sum | Product):
        return _marked_parts(old, new)
    if type(old) is type(new) and isinstance(new, _ENTERED):
        parts = {f.name: (getattr(old, f.name), getattr(new, f.name)) for f in fields(new) if f.compare}
        changed = {name: pair for name, pair in parts.items() if pair[0] != pair[1]}
        if all(isinstance(part, Node) for pair in changed.values() for part in pair) and not changed.keys() & _WHOLE:
            inside: dict[str, Any] = {name: _marked(*pair) for name, pair in changed.items()}
            return replace(new, **inside)
    return Mark(new)


def _marked_parts(old: Node, new: Sum | Product) -> Node:
    """Of a sum or a product, the terms or factors that were not there; one that has changed, where it did."""
    name = "terms" if isinstance(new, Sum) else "factors"
    here: tuple[Node, ...] = getattr(new, name)
    there = list(getattr(old, name) if type(old) is type(new) else (old,))
    rest = list(there)
    fresh = []
    for part in here:
        if part in rest:
            rest.remove(part)
        else:
            fresh.append(part)
    if len(fresh) == len(here) and not (len(here) == len(there) and all(map(_alike, there, here))):
        return Mark(new)
    pairs = dict(zip(fresh, rest, strict=True)) if len(fresh) == len(rest) else {}
    marked = tuple((_changed(pairs[p], p) if p in pairs else _mark(p)) if p in fresh else p for p in here)
    return replace(new, terms=marked) if isinstance(new, Sum) else replace(new, factors=marked)


def _changed(old: Node, new: Node) -> Node:
    found = _marked(old, new)
    return _mark(new) if isinstance(found, Mark) else found


def _alike(old: Node, new: Node) -> bool:
    return type(old) is type(new) and isinstance(new, _ENTERED)


def _mark(part: Node) -> Node:
    """A term that is new; its sign is left outside."""
    return replace(part, body=Mark(part.body)) if isinstance(part, Negative) else Mark(part)
