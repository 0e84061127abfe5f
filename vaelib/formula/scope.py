r"""What the names of a formula mean on a witness. A witness declares it in a method `scope()`:

    def scope(self) -> Scope:
        return Scope(
            worlds={"q": Law("z", self.q), "p": Law("z", self.p)},
            values={r"\mu_q": self.q.loc, r"\sigma_q": self.q.scale},
        )

Names are LaTeX, as they are written in the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any

from vaelib.formula.reader import tex
from vaelib.formula.tree import Name


@dataclass(frozen=True, eq=False)
class Map:
    """A function that a formula may call.

    Args:
        f: takes one array for each argument, shape (*batch, *event), and returns shape (*batch, *its own event).
        of: the variables that it is taken at where it is written without arguments. As many as f takes, if it is one
            of what comes after a semicolon, or of the mean and the variance of a law: L(x; N(m, S)).
        rank: 0 if it returns numbers, 1 for vectors, 2 for matrices.
    """

    f: Callable[..., Any]
    of: tuple[str, ...] = ("z",)
    rank: int = 0


@dataclass(frozen=True, eq=False)
class Parameter:
    """A quantity by which a formula may be differentiated.

    Args:
        value: where it is now.
        rebuild: another value -> the scope of the witness that has it.
    """

    value: Any
    rebuild: Callable[[Any], Scope]


@dataclass(frozen=True, eq=False)
class Scope:
    r"""What names mean.

    Args:
        values: numbers, vectors (one axis) and matrices (two axes).
        worlds: densities by name; "q_" stands for q_j with any index: a function of j (from 0) that returns the world.
        observed: variables that have a value: {"x": array}.
        spaces: where variables live, if no world says so; "z_" as above. An Interval or Pieces without hard ends hold
            in any case, also under a law: for kinks, and for what lies where the law does not look.
        ranges: of an index, how far it runs, {"i": 5}, or which values it takes, {"B": [1, 3]}.
        maps: functions.
        laws: the law of a variable as LaTeX, for \mathbb{E}_x; under "" that of an expectation without a law.
        definitions: names of formulas, as LaTeX: {"w": r"\frac{p(x, z)}{q(z)}"}.
        parameters: what can be differentiated by.
        every: indices that may stay open: the line then holds for each of their values.
        joint: the density of which H(x, z) and the like are taken.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    worlds: Mapping[str, Any] = field(default_factory=dict)
    observed: Mapping[str, Any] = field(default_factory=dict)
    spaces: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, int | Sequence[int]] = field(default_factory=dict)
    maps: Mapping[str, Map] = field(default_factory=dict)
    laws: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    every: tuple[str, ...] = ()
    joint: str = "p"

    def __post_init__(self) -> None:
        for part in fields(self):
            table = getattr(self, part.name)
            if isinstance(table, Mapping):
                object.__setattr__(self, part.name, {canonical(key): value for key, value in table.items()})

    @cached_property
    def structure(self) -> Any:
        """All but the values: of two scopes that agree in it, a formula depends on the same names."""
        tables = (self.values, self.observed, self.spaces, self.ranges, self.parameters)
        maps = frozenset((name, m.of, m.rank) for name, m in self.maps.items())
        worlds = frozenset((name, *_kind(world)) for name, world in self.worlds.items())
        texts = (frozenset(self.laws.items()), frozenset(self.definitions.items()), self.joint)
        return (*map(frozenset, tables), maps, worlds, *texts)

    def names(self) -> list[str]:
        """All that is known, to suggest from."""
        known = (self.values, self.observed, self.worlds, self.maps, self.ranges, self.definitions)
        return sorted({name for table in known for name in table})


@lru_cache(maxsize=4096)
def canonical(key: str) -> str:
    r"""One spelling of a name: \bar q and \bar{q} are the same."""
    if not key:
        return key
    stem = tex(key.removesuffix("_"))
    return stem.latex + "_" * key.endswith("_")


def _kind(world: Any) -> tuple[Any, ...]:
    """What a world is, whatever its parameters; of a family of them, the function that makes one."""
    if hasattr(world, "variables"):
        return type(world), tuple(world.variables)
    return type(world), getattr(world, "__code__", world)


def family(name: Name) -> str:
    """How a table of the scope knows all q_j at once."""
    return name.stem.key + "_"
