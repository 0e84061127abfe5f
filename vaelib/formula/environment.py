"""What is bound while a formula is evaluated, and what every part of the evaluation shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula.binders import At, Big, Derivative, Divergence, Entropy, Expectation, Integral
from vaelib.formula.reader import tex
from vaelib.formula.rules import Rule
from vaelib.formula.scope import Scope, family
from vaelib.formula.spaces import refuse_more_than_fit
from vaelib.formula.tree import Call, Function, Name, Node, Power, Product
from vaelib.formula.typed import Typed
from vaelib.quadrature import DoesNotConverge

Array = np.ndarray
_serial = count()


class NotANumber(IllTyped):
    """A vector or a matrix, where a number was expected."""


class NoValue(IllTyped):
    """A formula that has no value here; says where in the formula."""

    vector = False  # whether it has one, but not as a number


class Diverges(NoValue, DoesNotConverge):
    """An integral that has no finite value."""


@dataclass(frozen=True)
class Binding:
    """A bound variable: its nodes, and the batch axis along which they lie."""

    value: Typed
    axis: int
    from_zero: bool = False  # states are counted from 0, indices from 1
    everywhere: bool = False  # whether all depends on it, mentioned or not
    serial: int = field(default_factory=lambda: next(_serial))


@dataclass(frozen=True)
class Env:
    """The variables that are bound, and the number of batch axes."""

    bindings: Mapping[str, Binding] = field(default_factory=dict)
    depth: int = 0
    size: int = 1

    def bind(self, name: str, binding: Binding) -> Env:
        """With one more variable, along a new axis, which is the last of its value."""
        size = self.size * binding.value.data.shape[self.depth]
        refuse_more_than_fit(size)
        return Env({**self.bindings, name: binding}, self.depth + 1, size)

    def replace(self, name: str, value: Typed) -> Env:
        """With other values of a bound variable, or with a value for one that is not bound."""
        old = self.bindings.get(name)
        changed = Binding(value, old.axis if old else -1, old.from_zero if old else False)
        return Env({**self.bindings, name: changed}, self.depth, self.size)

    def only(self, names: frozenset[str]) -> Env:
        """What a part of the formula can see, so that equal parts are evaluated once."""
        kept = {name: b for name, b in self.bindings.items() if name in names or b.everywhere}
        depth = max((b.axis + 1 for b in kept.values()), default=0)
        sizes = [1] * depth
        for binding in kept.values():  # nodes may vary along axes whose own variable is not kept
            for axis, length in enumerate(binding.value.data.shape[: binding.axis + 1]):
                sizes[axis] = max(sizes[axis], length)
        return Env(kept, depth, math.prod(sizes))


@dataclass(frozen=True, eq=False)
class Log:
    """The logarithm of the absolute value of numbers, and their sign."""

    data: Array
    sign: Array | float = 1.0


@lru_cache(maxsize=256)
def _known_of(structure: Any) -> tuple[dict[Node, frozenset[str]], dict[Node, bool]]:
    """For the scopes of one structure, what each node depends on, and whether it is a logarithm: empty at first."""
    return {}, {}


class Base:
    """One evaluation of formulas on a scope by one rule; parts that are equal are evaluated once."""

    def __init__(self, scope: Scope, rule: Rule) -> None:
        self.scope = scope
        self.rule = rule
        self.approximate = False  # whether anything was more than a finite sum
        self.held = 0  # bytes of what is remembered
        self._values: dict[Any, tuple[Typed, bool]] = {}
        self._logs: dict[Any, tuple[Log, bool]] = {}
        self._nodes: dict[Any, Binding] = {}
        self.root = Env()
        self._depends, self._logish = _known_of(scope.structure)

    def shares(self, other: Base) -> None:
        """What is known of formulas, not of their values: the scopes of both have the same names."""
        self._depends, self._logish = other._depends, other._logish

    def value(self, node: Node, env: Env) -> Typed:
        """What a node is worth."""
        found: Typed = self._remembered(self._values, self.find_value, node, env)
        return found

    def log(self, node: Node, env: Env) -> Log:
        """The logarithm of what a node is worth, without the detour over its value where there is a way."""
        found: Log = self._remembered(self._logs, self.find_log, node, env)
        return found

    def bind(self, env: Env, name: str, value: Typed, from_zero: bool = False) -> Env:
        """With a variable bound to nodes; the same nodes are one binding, so lines share what depends on it."""
        data = value.data
        key = (name, env.depth, from_zero, value.rank, data.shape, data.dtype.char, data.tobytes())
        if key not in self._nodes:
            self._nodes[key] = Binding(value, env.depth, from_zero)
            self.held += data.nbytes
        return env.bind(name, self._nodes[key])

    def _remembered(self, memory: dict[Any, Any], find: Callable[[Node, Env], Any], node: Node, env: Env) -> Any:
        """What was found for an equal part in the same environment, and whether that was approximate."""
        names = self.depends(node)
        key = (node, *[b.serial for name, b in env.bindings.items() if name in names])
        known = memory.get(key)
        if known is None:
            outside, self.approximate = self.approximate, False
            found = self._placed(find, node, env.only(names) if env.bindings else env)
            known = memory[key] = found, self.approximate
            self.held += found.data.nbytes
            self.approximate = outside
        self.approximate = self.approximate or known[1]
        return known[0]

    def find_value(self, node: Node, env: Env) -> Typed:
        raise NotImplementedError

    def find_log(self, node: Node, env: Env) -> Log:
        raise NotImplementedError

    def _placed(self, find: Callable[[Node, Env], Any], node: Node, env: Env) -> Any:
        """An error says where in the formula it arose."""
        try:
            return find(node, env)
        except NoValue:
            raise
        except IllTyped as error:
            place = node.where.caret() if node.where is not None else f"in {node.plain}"
            found = NoValue(f"{error}\n{place}")
            found.vector = isinstance(error, NotANumber)
            raise found from None

    # ------------------------------------------------------------------------------------------- what depends on what

    def depends(self, node: Node) -> frozenset[str]:
        """The names whose binding may change the value of a node."""
        found = self._depends.get(node)
        if found is None:
            found = self._depends[node] = self._find_depends(node)
        return found

    def _find_depends(self, node: Node) -> frozenset[str]:
        match node:
            case Name():
                indices = [i for i in (node.sub, node.upper) if i is not None]
                found = frozenset({node.key, node.stem.key}).union(*(self.depends(i) for i in indices))
                if self.is_density(node):
                    found |= frozenset(self.variables_of(node))
                if node.key in self.scope.definitions:
                    found |= self.depends(tex(self.scope.definitions[node.key]))
                for key in {node.key, node.stem.key} & set(self.scope.maps):
                    found |= frozenset(self.scope.maps[key].of)
                return found
            case Call() if isinstance(node.name, Name):
                parts = [*node.targets, *node.givens, *node.parameters]
                parts += [i for i in (node.name.sub, node.name.upper) if i is not None]
                names = frozenset() if self.is_density(node.name) else frozenset({node.name.key, node.name.stem.key})
                return names.union(*(self.depends(part) for part in parts))
            case Integral():
                limits = [self.depends(side) for side in (node.lower, node.upper) if side is not None]
                return (self.depends(node.body) - {v.key for v in node.variables}).union(*limits)
            case Big():
                below = [self.depends(child) for child in node.over.children() if child not in node.over.names]
                return self.depends(node.body).union(*below) - node.over.bound
            case At():
                name, place = node.place()
                return (self.depends(node.body) - {name.key}) | self.depends(place)
            case Expectation() | Divergence() | Entropy():
                inside = frozenset().union(*(self.depends(child) for child in node.children()))
                bound, outside = self.law_scope(node)
                return (inside - bound) | outside
        return frozenset().union(*(self.depends(child) for child in node.children()))

    def law_scope(self, node: Expectation | Divergence | Entropy) -> tuple[frozenset[str], frozenset[str]]:
        """The names that the laws of a node bind, and those that they are given."""
        raise NotImplementedError

    def variables_of(self, name: Name) -> tuple[str, ...]:
        known = self.scope.worlds.get(name.key, None)
        if known is None:
            known = self.scope.worlds.get(family(name))
        return tuple(getattr(known, "variables", ("z",)))

    def is_density(self, name: Node) -> bool:
        return isinstance(name, Name) and (name.key in self.scope.worlds or family(name) in self.scope.worlds)

    # ------------------------------------------------------------------------------------------- what is a logarithm

    def logish(self, node: Node) -> bool:
        """Whether a node is made of densities or exponentials, so that its logarithm comes before its value."""
        found = self._logish.get(node)
        if found is None:
            found = self._logish[node] = self._find_logish(node)
        return found

    def _find_logish(self, node: Node) -> bool:
        match node:
            case Call():
                return self.is_density(node.name) or is_normal(node)
            case Name() if node.key in self.scope.definitions:
                return self.logish(tex(self.scope.definitions[node.key]))
            case Name():
                return node.key not in self.scope.values and self.is_density(node)
            case Function():
                return node.name in ("exp", "sigmoid") and node.power is None
            case Power(base=Name(base="e", sub=None)):
                return "e" not in self.scope.values
            case Power():
                return self.logish(node.base)
            case Expectation():
                return node.kind == "E" and self.logish(node.body) and not _has_slope(node.body)
            case Integral():
                return self.logish(node.body) and not _has_slope(node.body)
            case Big():
                return self.logish(node.body)
            case Divergence() | Entropy():
                return False
        return type(node).__name__ in _THROUGH and any(self.logish(child) for child in node.children())


_THROUGH = {"Sum", "Negative", "Product", "Quotient", "Root", "Bracket", "Mark"}


def _has_slope(node: Node) -> bool:
    """Whether a product has a derivative for a factor, p grad log p: it may be a vector, which has no logarithm."""
    return isinstance(node, Product) and any(isinstance(factor, Derivative) for factor in node.factors)


def is_normal(node: Node) -> bool:
    """N(x; m, S) or N(m, S)."""
    if not (isinstance(node, Call) and isinstance(node.name, Name)):
        return False
    plain = node.name.base == "N" and node.name.sub is None and set(node.name.accents) <= {r"\mathcal", r"\mathrm"}
    return plain and not node.givens and len(node.targets) + len(node.parameters) in (2, 3)
