"""A formula on a witness: what its names mean, its value at two resolutions and over two ranges, and so its error."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from vaelib.derivation.compare import size_of
from vaelib.estimate import Estimate
from vaelib.formula.binders import Derivative, ForAll, Relation, Where
from vaelib.formula.definitions import define_all
from vaelib.formula.environment import Diverges, Env, NoValue
from vaelib.formula.reader import tex
from vaelib.formula.rules import TRAPEZOID, Rule
from vaelib.formula.run import Run
from vaelib.formula.scope import Scope
from vaelib.formula.slopes import STEP
from vaelib.formula.tree import Call, Items, Name, Node
from vaelib.formula.typed import Typed

Array = np.ndarray
DIVERGES = 1e-4  # a larger range that changes the value by more (relative to it) shows an integral that diverges
CLEAR = 1e-9  # another resolution over a larger range changes the value by less (relative to it): no more is asked
DECIDES = 1e-6  # a larger error (relative to the value) decides nothing: more nodes may state a smaller one
SMOOTH = 0.02  # so much less does the value change with more nodes than with fewer, where the integrand is smooth
AGREE = 1e-6  # two sides of one line
MOST_SCENES = 64
MOST_HELD = 2e8  # bytes of values that are remembered


class Scene:
    """A witness: its scope or its members, and the evaluations on it by several rules, whose parts lines share."""

    def __init__(self, witness: Any) -> None:
        self.witness = witness  # kept, so that nothing else gets its id
        self.members = witness.members() if hasattr(witness, "members") else None
        self.runs: dict[Rule, Run] = {}
        self.found: dict[tuple[Node, Rule], tuple[Any, bool]] = {}  # by a crowd, and whether its error was asked

    @cached_property
    def scope(self) -> Scope:
        return scope_of(self.witness)

    def knows(self, node: Node, rule: Rule, asked: bool) -> bool:
        """Whether a crowd has found the value of a line, and its error, if that is asked."""
        return (node, rule) in self.found and (self.found[node, rule][1] or not asked)

    def run(self, rule: Rule) -> Run:
        if rule not in self.runs:
            self.runs[rule] = Run(self.scope, rule)
        return self.runs[rule]

    @property
    def held(self) -> int:
        return sum(run.held for run in self.runs.values())


def scope_of(witness: Any) -> Scope:
    if isinstance(witness, Scope):
        return witness
    if not callable(getattr(witness, "scope", None)):
        raise TypeError(
            f"Expected a witness with a method scope(), which says what the names of a formula mean on it, or a "
            f"Scope, but got a {type(witness).__name__}."
        )
    scope: Scope = witness.scope()
    return scope


_scenes: OrderedDict[int, Scene] = OrderedDict()


def evaluate(node: Node, witness: Any, rule: Rule | None = None, bare: bool = False) -> Any:
    """The value of a formula on a witness, or on a Scope; see `Node.value`. `bare` leaves its error out."""
    with np.errstate(all="ignore"):  # an infinity is a value here, and NaN is seen by whoever compares
        return _evaluate(node, witness, rule or TRAPEZOID, bare)


def _evaluate(node: Node, witness: Any, rule: Rule, bare: bool) -> Any:
    scene = scene_of(witness)
    if scene.knows(node, rule, asked=not bare):
        found = scene.found[node, rule][0]
        return found.value if bare and isinstance(found, Estimate) else found
    if scene.members is not None:
        return side_by_side([_evaluate(node, member, rule, bare) for member in scene.members])
    fine = scene.run(rule)
    value = line_value(node, fine)
    if bare or not fine.approximate:
        return value[()] if np.ndim(value) == 0 else value
    return Estimate(value[()], error_of(node, value, scene.run, rule)[()])


def error_of(node: Node, value: Array, run: Callable[[Rule], Run], rule: Rule, axes: int = 0) -> Array:
    """The error of the value of an integral; each entry of the first `axes` axes is a witness."""
    other = line_value(node, run(rule.coarser().wider()))
    error = 2 * _apart(value, other)
    unclear = error > CLEAR * np.maximum(1, np.abs(value))
    if np.any(unclear):  # too coarse, or not wide enough?
        coarse, wide = line_value(node, run(rule.coarser())), line_value(node, run(rule.wider()))
        beyond = _apart(value, wide)
        where = np.any(unclear, axis=tuple(range(axes, value.ndim)), keepdims=True)
        if np.any(where & (beyond > DIVERGES * np.maximum(1, np.abs(value)))):
            raise Diverges(
                f"Expected an integral that converges, but over a larger range the value changes: from "
                f"{_first(value, beyond):.6g} to {_first(wide, beyond):.6g}.\nin {node.plain}"
            )
        error = np.where(where, _apart(value, coarse) + beyond, error)
        if np.any(error > DECIDES * np.maximum(1, np.abs(value))):  # of the coarse one, it may be: is the value better?
            dense = 4 * _apart(value, line_value(node, run(rule.denser()))) + beyond
            error = np.where(where & (dense < SMOOTH * error), dense, error)
    return np.asarray(error + of_differences(node) * size_of(value))


@lru_cache(maxsize=4096)
def of_differences(node: Node) -> float:
    """What rounding does to a derivative by differences, relative to max(1, |value|); 0 without one."""
    orders = [part.order for part in node.walk() if isinstance(part, Derivative)]
    return max((16 * np.finfo(float).eps / STEP[min(order, 2)] ** order for order in orders), default=0.0)


def _apart(a: Array, b: Array) -> Array:
    """|a - b|, and 0 where both are the same infinity."""
    return np.where(a == b, 0.0, np.abs(a - b))


def scene_of(witness: Any) -> Scene:
    """What is known of a witness; the last few are remembered, as long as their values take little room."""
    found = _scenes.get(id(witness))
    if found is None or found.witness is not witness:
        found = Scene(witness)
    remember(found)
    return found


def remember(scene: Scene) -> None:
    if _scenes.get(id(scene.witness)) is not scene:
        held = sum(other.held for other in _scenes.values())
        while len(_scenes) >= MOST_SCENES or (held > MOST_HELD and _scenes):
            held -= _scenes.popitem(last=False)[1].held
        _scenes[id(scene.witness)] = scene
    _scenes.move_to_end(id(scene.witness))


def side_by_side(values: list[Any]) -> Any:
    """One entry for each member of a family."""
    if not any(isinstance(value, Estimate) for value in values):
        return np.array(values)
    estimates = [value if isinstance(value, Estimate) else Estimate(value) for value in values]
    errors = [np.broadcast_to(e.error, np.shape(e.value)) for e in estimates]
    return Estimate(np.array([e.value for e in estimates]), np.array(errors))


def _first(values: Array, by: Array) -> float:
    return float(np.ravel(values)[int(np.argmax(np.ravel(by)))])


def line_value(node: Node, run: Run) -> Array:
    """The value of a line: its definitions put in, open indices and quantified variables along the first axes."""
    run.approximate = False
    whole = node
    clauses: tuple[Node, ...] = ()
    if isinstance(node, Where):
        clauses, node = node.clauses, node.body
    env = run.root
    definitions: list[Node] = []
    for clause in clauses:
        if isinstance(clause, ForAll):
            for name in clause.names:
                if run.is_density(name):
                    continue  # the line holds for every q: each witness has one
                if name.key in run.scope.ranges:
                    env = _each(run, name.key, env)
                    continue
                nodes, _ = _points(run, name, env)
                env = run.bind(env, name.key, nodes, from_zero=nodes.data.dtype.kind in "iu")
        elif variable := _observed(clause, run):
            assert isinstance(clause, Relation)
            env = env.replace(variable, run.value(clause.sides[1], env))
        elif not _known_density(clause, run):
            definitions.append(clause)
    if definitions:
        node = _defined(whole, tuple(definitions))
    for index in run.scope.every:
        if index not in env.bindings and _open(node, index):
            env = _each(run, index, env)
    if isinstance(node, Items):
        parts = [_side(entry, run, env) for entry in node.entries]
        return np.concatenate([part.reshape((*part.shape[: env.depth], -1)) for part in parts], axis=-1)
    return _side(node, run, env)


def _defined(whole: Node, clauses: tuple[Node, ...]) -> Node:
    """The body of a line with definitions put in, remembered with the line."""
    assert isinstance(whole, Where)
    known = whole.meanings
    if clauses not in known:
        known[clauses] = define_all(whole.body, clauses)
    return known[clauses]


def _each(run: Run, index: str, env: Env) -> Env:
    """With an index bound to each of its values."""
    return run.bind(env, index, Typed(run.index_values(index).reshape((*[1] * env.depth, -1))))


def _observed(clause: Node, run: Run) -> str:
    """The variable that a clause gives a value to, h = 1, if a density knows it."""
    if isinstance(clause, Relation) and clause.signs == ("=",) and isinstance(clause.sides[0], Name):
        key = clause.sides[0].key
        if any(key in getattr(world, "variables", ()) for world in run.scope.worlds.values()):
            return key
    return ""


def _known_density(clause: Node, run: Run) -> bool:
    """p(z | x) = N(m, S), where the scope knows p: said in passing."""
    side = clause.sides[0] if isinstance(clause, Relation) else clause
    return isinstance(side, Call) and run.is_density(side.name) and bool(side.givens)


def _side(node: Node, run: Run, env: Env) -> Array:
    return _sides(node, run, env) if isinstance(node, Relation) else _out(run.value(node, env), env)


def _out(value: Typed, env: Env) -> Array:
    if value.identity:
        raise NoValue("Expected a matrix of a known size, but got a multiple of the identity: nothing says its size.")
    value = value.lift(env.depth)
    batch = tuple(
        b.value.data.shape[b.axis] for b in sorted(env.bindings.values(), key=lambda b: b.axis) if b.axis >= 0
    )
    return np.broadcast_to(value.data, (*batch, *value.event)).astype(float)


def _sides(node: Relation, run: Run, env: Env) -> Array:
    """The value of a = b = c: the last; those before that have a value must agree."""
    if any(sign not in ("=", ":=") for sign in node.signs):
        raise NoValue(f"Expected a line with one value, but got a relation: {node.plain}.")
    sides = [side for side in node.sides if not _names_theline_value(side, run)] or list(node.sides)
    last = _out(run.value(sides[-1], env), env)
    for side in sides[:-1]:
        value = _out(run.value(side, env), env)
        if value.shape != last.shape or np.any(np.abs(value - last) > AGREE * np.maximum(1, np.abs(last))):
            raise NoValue(f"Expected the two sides of a line to agree, but {side.plain} does not: {node.plain}.")
    return last


def _names_theline_value(side: Node, run: Run) -> bool:
    """A name, or a call of one, that the scope does not know: it is there to be named."""
    name = side.name if isinstance(side, Call) else side
    if not isinstance(name, Name):
        return False
    tables = (run.scope.values, run.scope.observed, run.scope.worlds, run.scope.maps)
    return not any(name.key in table or name.stem.key in table for table in tables)


def _points(run: Run, name: Name, env: Env) -> tuple[Typed, Array]:
    """Where a line that holds at every z is looked at: the points of the scope, or the states or 25 nodes."""
    points = run.scope.values.get(name.key)
    if points is not None:
        if isinstance(points, Typed):  # of several witnesses
            data = points.data
            at = data.reshape((len(data), *[1] * (env.depth - 1), *data.shape[1:]))
            return Typed(at, points.rank - 1), np.zeros(data.shape[1])
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


Node.engine = staticmethod(evaluate)
