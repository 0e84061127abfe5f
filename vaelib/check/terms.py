r"""A side as terms, each with the \max_\theta or \argmax_q in front of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from vaelib.check.latex import CannotRead, Items
from vaelib.check.roles import GUIDE, MODEL, Roles, text_of

BEST_PLACES = {"argmax", "argmin"}


@dataclass(frozen=True)
class Term:
    """A part of a sum, and what is taken of it over a family: "", max, min, argmax, argmin."""

    sign: float
    items: Items
    over: str = ""
    by: frozenset[str] = frozenset()
    head: Items = field(default_factory=list)  # the operator with what hangs on it


def terms(items: Items, roles: Roles) -> list[Term]:
    r"""A side as terms, each with the \max_\theta or \argmax_q in front of it; a side without one is a single term."""
    if not any(item in (r"\max", r"\min", r"\argmax", r"\argmin") for item in items if isinstance(item, str)):
        return [Term(1.0, items)]
    parts: list[tuple[float, Items]] = []
    current: Items = []
    depth, sign = 0, 1.0
    reach = False
    for i, item in enumerate(items):
        if isinstance(item, str):
            depth += (item in ("(", "[", r"\{")) - (item in (")", "]", r"\}"))
            if item in ("+", "-") and depth == 0 and not reach and (current or item == "-"):
                if current:
                    parts.append((sign, current))
                sign, current = (1.0 if item == "+" else -1.0), []
                continue
            if item in (r"\max", r"\min", r"\argmax", r"\argmin") and depth == 0:
                if current:
                    raise CannotRead(f"Expected {item} in front of a term, but got it behind {text_of(current)}.")
                reach = True  # what follows is all of it, unless it is in brackets
                if _bracketed(items[i + 1 :]):
                    reach = False
        current.append(item)
    if current:
        parts.append((sign, current))
    return [_term(sign, part, roles) for sign, part in parts]


def _bracketed(items: Items) -> bool:
    """Whether what an operator takes is one bracket, its script passed over, or one call."""
    at = 0
    while at + 1 < len(items) and items[at] in ("_", "^"):
        at += 2
    if at >= len(items):
        return False
    return items[at] in ("(", "[", r"\{", r"\KL")


def _term(sign: float, items: Items, roles: Roles) -> Term:
    if not items or items[0] not in (r"\max", r"\min", r"\argmax", r"\argmin"):
        return Term(sign, items)
    over, at = str(items[0])[1:], 1
    by: set[str] = set()
    while at + 1 < len(items) and items[at] in ("_", "^"):
        for item in items[at + 1] if isinstance(items[at + 1], list) else [items[at + 1]]:
            if isinstance(item, list):
                continue
            if item in (r"\theta", r"\Theta", r"\vartheta", "p", "P") and item not in roles.guiding:
                by.add(MODEL)
            elif item in roles.parameters or (item in roles.densities and roles.densities[str(item)] == GUIDE):
                by.add(GUIDE)
        at += 2
    rest = items[at:]
    if rest[:1] and rest[0] in (r"\max", r"\min", r"\argmax", r"\argmin"):
        inner = _term(1.0, rest, roles)
        if inner.over != over:
            raise CannotRead("A largest of a least value is not judged yet.")
        by |= inner.by
        rest = inner.items
    return Term(sign, rest, over, frozenset(by or {MODEL, GUIDE}), items[:at])
