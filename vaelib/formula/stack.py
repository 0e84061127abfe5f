r"""Several witnesses at once: their scopes as one, in which whatever differs has an axis in front for the witnesses.

A formula is then walked through once for all of them. Where that cannot be (their shapes differ, an integral is taken
over ranges of different kinds, the arrays would be large), `Unlike` is raised, and each witness is taken by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from vaelib.distributions import Categorical, DiagonalNormal, Normal
from vaelib.formula import typed
from vaelib.formula.environment import Binding, Env
from vaelib.formula.laws import Gaussian
from vaelib.formula.reader import tex
from vaelib.formula.rules import Rule
from vaelib.formula.run import Run
from vaelib.formula.scope import Parameter, Scope, family
from vaelib.formula.spaces import Around, HalfLine, Interval, Space, States
from vaelib.formula.tree import Name
from vaelib.formula.typed import Typed
from vaelib.formula.worlds import Decoder, JointGaussian, Law, Table, Values, World

Array = np.ndarray
WITNESS = r"\text{witness}"  # what the axis in front is called
MOST_AT_ONCE = 400_000  # nodes of all witnesses together: larger arrays gain nothing
_BROADCAST = (Law, Table, JointGaussian, Decoder)  # densities that take any axes in front
_EVENTS: dict[type, tuple[int, ...]] = {
    Normal: (0, 0),
    DiagonalNormal: (1, 1),
    Categorical: (1,),
}  # axes of the parameters of one law


class Unlike(Exception):
    """Witnesses that cannot be taken together."""


def signature(scope: Scope) -> Any:
    """What scopes have in common that may be taken together."""

    def shape(value: Any) -> Any:
        value = value.data if isinstance(value, Typed) else np.asarray(value)
        return value.shape, value.dtype.kind

    tables = (scope.values, scope.observed)
    shapes = tuple((name, *shape(value)) for table in tables for name, value in table.items())
    homes = tuple((name, type(space)) for name, space in scope.spaces.items())
    laws = tuple((name, type(getattr(world, "distribution", None))) for name, world in scope.worlds.items())
    ranges = tuple((name, tuple(np.ravel(known).tolist())) for name, known in scope.ranges.items())
    return scope.structure, shapes, homes, laws, ranges, scope.every


def stacked(scopes: Sequence[Scope]) -> Scope:
    """One scope for several; where a variable lives is asked of each (`Stacked.space_of`)."""
    first = scopes[0]
    return replace(
        first,
        values={name: _one_of([s.values[name] for s in scopes]) for name in first.values},
        observed={name: _one_of([s.observed[name] for s in scopes]) for name in first.observed},
        worlds={name: _world([s.worlds[name] for s in scopes]) for name in first.worlds},
        parameters={
            name: Parameter(_one_of([s.parameters[name].value for s in scopes]), first.parameters[name].rebuild)
            for name in first.parameters
        },
    )


def _one_of(values: Sequence[Any]) -> Any:
    """What is the same for all as it is; what differs with an axis in front."""
    if all(_same(value, values[0]) for value in values):
        return values[0]
    several = [value if isinstance(value, Typed) else typed.constant(value) for value in values]
    one = several[0]
    kinds = {(value.rank, value.row, value.identity, value.first, value.data.shape) for value in several}
    if len(kinds) > 1 or one.identity:
        raise Unlike
    return Typed(np.stack([t.data for t in several]), one.rank, one.row, first=one.first)


def _same(a: Any, b: Any) -> bool:
    """Whether two inputs are surely the same; functions only if they are one."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, (int, float, str, np.generic)):
        return bool(a == b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if is_dataclass(a):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if not f.name.startswith("_"))
    return False


def _cut(value: Typed, i: int) -> Typed:
    """The part of one witness, without the axis in front."""
    if value.depth == 0:
        return value
    data = value.data[i if len(value.data) > 1 else 0]
    return Typed(data, value.rank, value.row, value.identity, value.first)


def _slice(value: Typed, start: int, stop: int) -> Typed:
    """The part of neighbors, with the axis in front."""
    lifted = value.lift(1)
    return replace(lifted, data=lifted.data[start:stop]) if len(lifted.data) > 1 else lifted


def _spans(worlds: Sequence[Any]) -> list[tuple[int, int]]:
    """Neighbors that are the same and may be asked together, as (start, stop)."""
    starts = [
        i
        for i, world in enumerate(worlds)
        if i == 0 or not isinstance(world, _BROADCAST) or not _same(world, worlds[i - 1])
    ]
    return list(zip(starts, [*starts[1:], len(worlds)], strict=True))


def _joined(found: Sequence[Array], spans: Sequence[tuple[int, int]]) -> Array:
    shape = np.broadcast_shapes(*(part.shape[1:] for part in found))
    wide = [np.broadcast_to(f, (b - a, *shape)) for f, (a, b) in zip(found, spans, strict=True)]
    return np.concatenate(wide) if len(wide) > 1 else np.array(wide[0])


# ---------------------------------------------------------------------------------------------- worlds and functions


@dataclass(frozen=True, eq=False)
class Worlds:
    """One density of several witnesses."""

    each: tuple[Any, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(self.each[0].variables)

    @property
    def exact(self) -> bool:
        return all(getattr(part, "exact", True) for part in self.each)

    @cached_property
    def _spans(self) -> list[tuple[int, int]]:
        return _spans(self.each)

    @cached_property
    def _laws(self) -> dict[int, Any]:
        """The laws of all witnesses as one, by the number of axes of what it is asked about."""
        return {}

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        depth = max((value.depth for value in (*targets.values(), *givens.values())), default=1)
        law = self._law(max(1, depth))
        if law is not None:
            return Law(self.each[0].variable, law).log_prob({k: v.lift(1) for k, v in targets.items()}, givens, rule)
        found = []
        for start, stop in self._spans:
            if stop - start == 1:
                asked = [_cuts(side, start) for side in (targets, givens)]
                found.append(np.asarray(self.each[start].log_prob(*asked, rule))[None])
            else:
                asked = [
                    {name: _slice(value, start, stop) for name, value in side.items()} for side in (targets, givens)
                ]
                found.append(np.asarray(self.each[start].log_prob(*asked, rule)))
        return _joined(found, self._spans)

    def _law(self, depth: int) -> Any:
        if depth not in self._laws:
            self._laws[depth] = self._together(depth)
        return self._laws[depth]

    def _together(self, depth: int) -> Any:
        laws = [part.distribution if isinstance(part, Law) else None for part in self.each]
        kind: Any = type(laws[0])
        if kind not in _EVENTS or any(type(law) is not kind for law in laws):
            return None
        names = [f.name for f in fields(kind) if f.init]
        parameters = []
        for name, rank in zip(names, _EVENTS[kind], strict=True):
            values = [np.asarray(getattr(law, name)) for law in laws]
            if any(value.ndim != rank or value.shape != values[0].shape for value in values):
                return None
            parameters.append(np.stack(values).reshape((len(laws), *[1] * (depth - 1), *values[0].shape)))
        return kind(*parameters)

    def space(self, target: str, givens: Values) -> Space | None:
        return together([part.space(target, _cuts(givens, i)) for i, part in enumerate(self.each)])


def _cuts(values: Values, i: int) -> dict[str, Typed]:
    return {name: _cut(value, i) for name, value in values.items()}


def _world(worlds: Sequence[Any]) -> Any:
    if isinstance(worlds[0], _BROADCAST) and all(_same(world, worlds[0]) for world in worlds):
        return worlds[0]
    if hasattr(worlds[0], "variables"):
        return Worlds(tuple(worlds))

    def made(*positions: Array) -> Worlds:
        def at(p: Array, i: int) -> Array:
            return p[i if len(p) > 1 else 0] if np.ndim(p) else p

        return Worlds(tuple(world(*(at(p, i) for p in positions)) for i, world in enumerate(worlds)))

    return made


@dataclass(frozen=True, eq=False)
class Several:
    """Where a variable lives on each of several witnesses, in whatever way: nodes that one lacks have the weight 0."""

    spaces: tuple[Space, ...]
    _known: dict[Any, tuple[Typed, Array]] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        return all(space.exact for space in self.spaces)

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        if (rule, depth) not in self._known:
            self._known[rule, depth] = self._nodes(rule, depth)
        return self._known[rule, depth]

    def _nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        parts = [space.nodes(rule, depth - 1) for space in self.spaces]
        one = parts[0][0]
        if any((nodes.rank, nodes.data.dtype.kind) != (one.rank, one.data.dtype.kind) for nodes, _ in parts):
            raise Unlike
        most = max(weights.shape[-1] for _, weights in parts)
        axis = depth - 1
        data = [_longer(nodes.data, axis, most, "edge") for nodes, _ in parts]
        weights = [_longer(w.reshape((*[1] * (depth - w.ndim), *w.shape)), axis, most, "constant") for _, w in parts]
        return Typed(_stack(data), one.rank), _stack(weights)


def _longer(data: Array, axis: int, most: int, mode: Any) -> Array:
    widths = [(0, most - data.shape[axis] if i == axis else 0) for i in range(data.ndim)]
    return np.pad(data, widths, mode, **({"constant_values": -np.inf} if mode == "constant" else {}))


def _stack(data: Sequence[Array]) -> Array:
    return np.stack(np.broadcast_arrays(*data))


def together(spaces: Sequence[Space | None]) -> Space | None:
    """Where a variable lives on each of several witnesses, as one range with an axis in front."""
    first = spaces[0]
    kinds = {type(space) for space in spaces}
    if kinds <= {type(None)} or kinds == {HalfLine}:
        return first
    known = [space for space in spaces if space is not None]
    if len(known) < len(spaces):
        raise Unlike
    if kinds == {States} and all(_same(space.values, first.values) for space in spaces):  # type: ignore[union-attr]
        return first
    differs = {Around: ("loc", "scale"), Interval: ("low", "high")}.get(type(first), ())
    if len(kinds) > 1 or not differs:
        return Several(tuple(known))
    parts: dict[str, Any] = {}
    for part in fields(first):  # type: ignore[arg-type]
        values = [np.asarray(getattr(space, part.name)) for space in spaces]
        if part.name in differs and len({value.shape for value in values}) == 1:
            parts[part.name] = np.stack(values)
        elif any(value.shape or value != values[0] for value in values):
            return Several(tuple(known))
    if not getattr(first, "vector", False):  # both numbers of each batch entry, with as many axes
        axes = max(value.ndim for value in parts.values())
        parts = {name: v.reshape((*v.shape, *[1] * (axes - v.ndim))) for name, v in parts.items()}
    return replace(first, **parts)  # type: ignore[type-var]


# ------------------------------------------------------------------------------------------------------------- a run


class Stacked(Run):
    """One evaluation of formulas on several scopes by one rule."""

    def __init__(self, scopes: Sequence[Scope], rule: Rule) -> None:
        self.parts = [Run(scope, rule) for scope in scopes]
        super().__init__(stacked(scopes), rule)
        self.shares(self.parts[0])
        self._homes: dict[Any, Space | None] = {}
        self.root = Env().bind(WITNESS, Binding(typed.number(np.arange(len(scopes))), 0, everywhere=True))

    def bind(self, env: Env, name: str, value: Typed, from_zero: bool = False) -> Env:
        if env.size * value.data.shape[env.depth] > MOST_AT_ONCE:
            raise Unlike
        return super().bind(env, name, value, from_zero)

    def moved(self, key: str, value: Typed) -> Run:
        known = self._moved.get((key, value.data.tobytes()))
        if known is None:
            scopes = [run.scope.parameters[key].rebuild(_cut(value, i).data[()]) for i, run in enumerate(self.parts)]
            known = self._moved[key, value.data.tobytes()] = Stacked(scopes, self.rule)
        return known

    def mapped(self, key: str, arguments: list[Typed]) -> Typed:
        parts = [run.mapped(key, [_cut(argument, i) for argument in arguments]) for i, run in enumerate(self.parts)]
        return Typed(_stack([part.data for part in parts]), parts[0].rank)

    def _said_space(self, name: str) -> Space | None:
        key = ("said", name)
        if key not in self._homes:
            self._homes[key] = together([run._said_space(name) for run in self.parts])
        return self._homes[key]

    def _asked_space(self, world: World, variable: str, known: Values) -> Space | None:
        key = ("asked", id(world), variable)
        if not known and not isinstance(world, Gaussian) and key in self._homes:
            return self._homes[key]
        spaces = []
        for i, run in enumerate(self.parts):
            part: Any = world.each[i] if isinstance(world, Worlds) else world
            if isinstance(world, Gaussian):
                part = Gaussian(_cut(world.mean, i), _cut(world.variance, i))
            spaces.append(run._asked_space(part, variable, _cuts(known, i)))
        space = together(spaces)
        if not known and any(world is held for held in self.scope.worlds.values()):
            self._homes[key] = space
        return space

    def space_of(self, name: str, env: Env, of: frozenset[str] = frozenset()) -> Space:
        read = tex(name)
        indexed = isinstance(read, Name) and family(read) in self.scope.spaces
        key = (name, of)
        if indexed or key not in self._homes:
            every = [run.space_of(name, _part(env, i) if indexed else Env(), of) for i, run in enumerate(self.parts)]
            self._homes[key] = together(every)
        found = self._homes[key]
        assert found is not None
        return found


def _part(env: Env, i: int) -> Env:
    """What is bound, for one witness."""
    bindings = {
        name: Binding(_cut(b.value, i), max(-1, b.axis - 1), b.from_zero)
        for name, b in env.bindings.items()
        if not b.everywhere
    }
    return Env(bindings, env.depth - 1, env.size)
