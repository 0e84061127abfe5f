"""A formula on a witness: what its names mean, its value at two resolutions and two ranges, and so its error."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields, replace
from typing import Any

import numpy as np

from vaelib.derivation import IllTyped
from vaelib.estimate import Estimate
from vaelib.formula.binders import At, ForAll, Relation, Where
from vaelib.formula.environment import Env, NoValue
from vaelib.formula.reader import tex
from vaelib.formula.rules import TRAPEZOID, Rule
from vaelib.formula.run import Run
from vaelib.formula.scope import Scope
from vaelib.formula.tree import Bracket, Items, Name, Negative, Node, Sum
from vaelib.formula.typed import Typed

Array = np.ndarray
DIVERGES = 1e-4  # a larger range that changes the value by more (relative to it) shows an integral that diverges
AGREE = 1e-6  # two sides of one line
_remembered: OrderedDict[tuple[int, Rule], tuple[Any, Run]] = OrderedDict()


def evaluate(node: Node, witness: Any, rule: Rule | None = None) -> Any:
    """The value of a formula on a witness, or on a Scope; see `Node.value`."""
    rule = rule or TRAPEZOID
    fine = _run(witness, rule)
    value = _line(node, fine)
    if not fine.approximate:
        return value[()] if np.ndim(value) == 0 else value
    coarse, wide = _line(node, _run(witness, rule.coarser())), _line(node, _run(witness, rule.wider()))
    with np.errstate(invalid="ignore"):
        resolution = np.where(value == coarse, 0.0, np.abs(value - coarse))
        beyond = np.where(value == wide, 0.0, np.abs(value - wide))
        if np.any(beyond > DIVERGES * np.maximum(1, np.abs(value))):
            raise NoValue(
                f"Expected an integral that converges, but over a larger range the value changes: from "
                f"{_first(value, beyond):.6g} to {_first(wide, beyond):.6g}.\nin {node.plain}"
            )
    return Estimate(value[()], (resolution + beyond)[()])


def _first(values: Array, by: Array) -> float:
    return float(np.ravel(values)[int(np.argmax(np.ravel(by)))])


def _run(witness: Any, rule: Rule) -> Run:
    """The evaluation on a witness by a rule; the last ones are remembered, so that lines share their parts."""
    key = (id(witness), rule)
    if key in _remembered and _remembered[key][0] is witness:
        _remembered.move_to_end(key)
        return _remembered[key][1]
    if not isinstance(witness, Scope) and not callable(getattr(witness, "scope", None)):
        raise TypeError(
            f"Expected a witness with a method scope(), which says what the names of a formula mean on it, or a Scope, "
            f"but got a {type(witness).__name__}."
        )
    scope = witness if isinstance(witness, Scope) else witness.scope()
    run = Run(scope, rule)
    _remembered[key] = (witness, run)
    while len(_remembered) > 24:
        _remembered.popitem(last=False)
    return run


def _line(node: Node, run: Run) -> Array:
    """The value of a line: its definitions put in, open indices and quantified variables along the first axes."""
    clauses: tuple[Node, ...] = ()
    if isinstance(node, Where):
        clauses, node = node.clauses, node.body
    env = Env()
    for clause in clauses:
        if isinstance(clause, ForAll):
            for name in clause.names:
                nodes, _ = _points(run, name, env)
                env = env.bind(name.key, nodes, from_zero=nodes.data.dtype.kind in "iu")
        else:
            node = define(node, clause)
    for index in run.scope.every:
        if index not in env.bindings and _open(node, index):
            values = run.index_values(index).reshape((*[1] * env.depth, -1))
            env = env.bind(index, Typed(values))
    if isinstance(node, Relation):
        return _sides(node, run, env)
    return _out(_entries(node, run, env), env)


def _entries(node: Node, run: Run, env: Env) -> Typed:
    if isinstance(node, At):
        raise IllTyped(f"Expected a formula with a value, but {node.plain} has none here.")
    return run.value(node, env)


def _out(value: Typed, env: Env) -> Array:
    if value.identity:
        raise NoValue("Expected a matrix of a known size, but got a multiple of the identity: nothing says its size.")
    value = value.lift(env.depth)
    batch = tuple(b.value.data.shape[b.axis] for b in sorted(env.bindings.values(), key=lambda b: b.axis))
    return np.broadcast_to(value.data, (*batch, *value.event)).astype(float)


def _sides(node: Relation, run: Run, env: Env) -> Array:
    """The value of a = b = c: the last; those before that have a value must agree."""
    if any(sign not in ("=", ":=") for sign in node.signs):
        raise NoValue(f"Expected a line with one value, but got a relation: {node.plain}.")
    last = _out(run.value(node.sides[-1], env), env)
    for side in node.sides[:-1]:
        if isinstance(side, Name) and side.key not in {**run.scope.values, **run.scope.observed}:
            continue  # the name of what follows
        value = _out(run.value(side, env), env)
        if value.shape != last.shape or np.any(np.abs(value - last) > AGREE * np.maximum(1, np.abs(last))):
            raise NoValue(f"Expected the two sides of a line to agree, but {side.plain} does not: {node.plain}.")
    return last


def _points(run: Run, name: Name, env: Env) -> tuple[Typed, Array]:
    """Where a line that holds at every z is looked at: the points of the scope, else the states or 25 nodes."""
    points = run.scope.values.get(name.key)
    if points is not None:
        data = np.asarray(points)
        return Typed(data.reshape((*[1] * env.depth, *data.shape)), data.ndim - 1), np.zeros(len(data))
    space = run.space_of(name.key, env)
    if space.exact:
        return space.nodes(run.rule, env.depth)
    nodes, _ = space.nodes(Rule("trapezoid", fine=False), env.depth)
    n = nodes.data.shape[env.depth]
    chosen = np.linspace(0.3 * n, 0.7 * n, 25).astype(int)
    return replace(nodes, data=np.take(nodes.data, chosen, axis=env.depth)), np.zeros(25)


def _open(node: Node, index: str) -> bool:
    r"""Whether an index is used outside of any sum: \mu_i, or a bare i."""
    inside = node.open(frozenset())
    return any(index in _indices(key) for key in inside)


def _indices(key: str) -> frozenset[str]:
    name = tex(key)
    below = name.sub.mentioned if isinstance(name, Name) and name.sub is not None else frozenset()
    return frozenset({key}) | below


# ------------------------------------------------------------------------------------------------------- definitions


def define(node: Node, clause: Node) -> Node:
    """The formula with a definition put in: m = E[w] for m, and w_k = ... for w_1 and w_j too."""
    if not (isinstance(clause, Relation) and isinstance(clause.sides[0], Name)):
        raise NoValue(f"Expected a definition of a name, m = ..., but got {clause.plain}.")
    name, meaning = clause.sides[0], clause.sides[1]
    return substitute(node, name, meaning)


def substitute(node: Node, name: Name, meaning: Node) -> Node:
    """The node with every occurrence of a name replaced; of an indexed one, with its index renamed."""
    if isinstance(node, Name):
        if node == name:
            return _wrapped(meaning)
        if isinstance(name.sub, Name) and node.sub is not None and node.stem == name.stem:
            return _wrapped(substitute(meaning, name.sub, node.sub))
        if node.sub is None:
            return node
        return replace(node, sub=substitute(node.sub, name, meaning)) if name.sub is None else node
    changes: dict[str, Any] = {}
    for f in fields(node):
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


def _wrapped(meaning: Node) -> Node:
    return Bracket(meaning) if isinstance(meaning, Sum | Negative | Items) or meaning.trailing else meaning
