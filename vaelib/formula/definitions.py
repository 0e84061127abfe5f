"""What a line says about its names, put into the formula: m = E[w], w_k = p(x, z_k) / q(z_k), q(z) = p(z | x)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vaelib.formula.binders import Big, Derivative, Expectation, Integral, Relation, law_variables
from vaelib.formula.environment import NoValue
from vaelib.formula.tree import Bracket, Call, Items, Name, Negative, Node, Product, Sum


def define_all(node: Node, clauses: tuple[Node, ...]) -> Node:
    """The formula with all definitions put in, in whichever order they were said: a meaning may use other names.

    Where both s_a and s_b are defined, neither index is a running one: each stands for itself alone.
    """
    indexed = {name for clause in clauses if (name := _with_index(clause))}
    for _ in clauses:
        before = node
        for clause in clauses:
            name = _with_index(clause)
            if name and any(other.stem == name.stem for other in indexed - {name}):
                node = _put(node, name, clause)
            else:
                node = define(node, clause)
        if node == before or any(_of_itself(clause) for clause in clauses):
            break
    return node


def _with_index(clause: Node) -> Name | None:
    """The w_k that it defines, with a name for an index; nothing if it defines something else."""
    if not (isinstance(clause, Relation) and clause.signs[0] in ("=", ":=")):
        return None
    name = clause.sides[0]
    return name if isinstance(name, Name) and isinstance(name.sub, Name) else None


def _put(node: Node, name: Name, clause: Node) -> Node:
    """The node with this very name replaced by what the clause says."""
    assert isinstance(clause, Relation)
    return wrapped(clause.sides[1]) if node == name else _each(node, lambda part: _put(part, name, clause))


def _of_itself(clause: Node) -> bool:
    """z = z - m: what is put in once."""
    assert isinstance(clause, Relation)
    return clause.sides[0] in clause.sides[1].walk()


def define(node: Node, clause: Node) -> Node:
    """The formula with a definition put in: m = E[w] for m, and w_k = ... for w_1 and w_j too."""
    if not (isinstance(clause, Relation) and clause.signs[0] in ("=", ":=")):
        raise NoValue(f"Expected a definition of a name, m = ..., but got {clause.plain}.")
    name, meaning = clause.sides[0], clause.sides[1]
    if isinstance(name, Call) and isinstance(meaning, Call) and name.targets == meaning.targets:
        name = name.name  # q(z) = p(z | x)
    return substitute(node, name, meaning)


def substitute(node: Node, name: Node, meaning: Node) -> Node:
    """The node with every occurrence of a name, or of c(s), replaced; an index or an argument is renamed with it."""
    if node == name:
        return wrapped(meaning)
    if isinstance(node, Name):
        if not isinstance(name, Name):
            return node
        if isinstance(name.sub, Name) and node.sub is not None and node.stem == name.stem:
            return wrapped(substitute(meaning, name.sub, node.sub))
        if name.sub is not None:
            return node
        return _each(node, lambda part: substitute(part, name, meaning))
    if isinstance(node, Call) and node.name == name:
        return _called(node, name, meaning)
    new = _each(node, lambda part: substitute(part, name, meaning))
    if isinstance(name, Call) and isinstance(new, Call) and new.name == name.name:
        return _applied(new, name, meaning)
    return new


def _each(node: Node, f: Callable[[Node], Node]) -> Node:
    """The node with f of each part; what a sum or an integral runs over is nobody's to define."""
    return node.mapped(f, without=() if isinstance(node, Derivative) else ("names", "variables"))


def _applied(call: Call, name: Call, meaning: Node) -> Node:
    """a(u, v) where a(z, z') = ... was said: its arguments are put in for z and z', all at once."""
    shape = [(len(side.targets), len(side.givens), len(side.parameters)) for side in (call, name)]
    says, asked = ((*side.targets, *side.givens, *side.parameters) for side in (name, call))
    if shape[0] != shape[1] or not all(isinstance(argument, Name) for argument in says):
        return call
    table = {old: new for old, new in zip(says, asked, strict=True) if old != new}
    bound = frozenset().union(*(_bound(part) for part in meaning.walk()))
    if any(new.mentioned & bound for new in table.values()):
        raise NoValue(f"Expected {name.plain} = {meaning.plain} to bind no name of {call.plain}: rename what it binds.")

    def put(part: Node) -> Node:
        return wrapped(table[part]) if part in table else _each(part, put)

    return wrapped(put(meaning)) if table else wrapped(meaning)


def _bound(node: Node) -> frozenset[str]:
    """The names that a sum, an integral or an expectation binds."""
    if isinstance(node, Big):
        return node.over.bound
    if isinstance(node, Integral):
        return frozenset(variable.key for variable in node.variables)
    return law_variables(node.law) if isinstance(node, Expectation) else frozenset()


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
