"""What a line says about its names, put into the formula: m = E[w], w_k = p(x, z_k) / q(z_k), q(z) = p(z | x)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from vaelib.formula.binders import Derivative, Relation
from vaelib.formula.environment import NoValue
from vaelib.formula.tree import Bracket, Call, Items, Name, Negative, Node, Product, Sum


def define(node: Node, clause: Node) -> Node:
    """The formula with a definition put in: m = E[w] for m, and w_k = ... for w_1 and w_j too."""
    if not (isinstance(clause, Relation) and clause.signs[0] in ("=", ":=")):
        raise NoValue(f"Expected a definition of a name, m = ..., but got {clause.plain}.")
    name, meaning = clause.sides[0], clause.sides[1]
    if isinstance(name, Call) and isinstance(meaning, Call) and name.targets == meaning.targets:
        name = name.name  # q(z) = p(z | x)
    return substitute(node, name, meaning)


def substitute(node: Node, name: Node, meaning: Node) -> Node:
    """The node with every occurrence of a name, or of I(n; z), replaced; of an indexed name, with its index renamed."""
    if node == name:
        return wrapped(meaning)
    if isinstance(node, Name):
        if not isinstance(name, Name):
            return node
        if isinstance(name.sub, Name) and node.sub is not None and node.stem == name.stem:
            return wrapped(substitute(meaning, name.sub, node.sub))
        if node.sub is None:
            return node
        return replace(node, sub=substitute(node.sub, name, meaning)) if name.sub is None else node
    if isinstance(node, Call) and node.name == name:
        return _called(node, name, meaning)
    changes: dict[str, Any] = {}
    for f in fields(node):
        if f.name in ("names", "variables") and not isinstance(node, Derivative):
            continue  # what a sum or an integral runs over is nobody's to define
        part = getattr(node, f.name)
        if isinstance(part, Node):
            new: Any = substitute(part, name, meaning)
        elif isinstance(part, tuple) and any(isinstance(item, Node) for item in part):
            new = tuple(substitute(item, name, meaning) if isinstance(item, Node) else item for item in part)
        else:
            continue
        if new != part:
            changes[f.name] = new
    return replace(node, **changes) if changes else node


def _called(call: Call, name: Node, meaning: Node) -> Node:
    """q(z) where q is p(z | x); and m (a - b) where m is a value."""
    targets = tuple(substitute(target, name, meaning) for target in call.targets)
    if isinstance(meaning, Call) and len(meaning.targets) == len(targets) and not call.givens:
        return replace(meaning, targets=targets)
    if len(targets) == 1 and not call.givens and not call.parameters:
        return Product((wrapped(meaning), Bracket(targets[0])))
    raise NoValue(f"Expected {call.plain} to be what {name.plain} = {meaning.plain} says, but cannot put that in.")


def wrapped(meaning: Node) -> Node:
    return Bracket(meaning) if isinstance(meaning, Sum | Negative | Items) or meaning.trailing else meaning
