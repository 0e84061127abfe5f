r"""What a document's names mean: random tables, on which every density, mean and divergence is an exact finite sum.

A state of a variable has a *volume*, and a density is a probability divided by it: with volumes of 1 these are discrete
laws, with small ones they behave like densities, which may be larger than 1. What holds for all laws holds on both; an
inequality that needs discrete laws fails on the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.check.roles import LATENT
from vaelib.derivation import IllTyped
from vaelib.formula import Map, Parameter, Scope
from vaelib.formula.rules import Rule
from vaelib.formula.typed import Typed

Array = np.ndarray
Values = Mapping[str, Typed]
STATES = {LATENT: 4}
FEWER = 3  # states of the other variables
OF_MODEL, OF_GUIDE = (r"\theta", r"\Theta"), (r"\phi", r"\lambda", r"\varphi", r"\psi", r"\eta")
FAMILY = 7  # members over which a largest or least value is looked for
DATA, SAMPLES = 5, 4000


@dataclass(frozen=True, eq=False)
class Cell:
    """The states of a variable, each with its volume: shape (n,)."""

    volumes: Array

    exact = True

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        shape = (*[1] * depth, len(self.volumes))
        return Typed(np.arange(len(self.volumes)).reshape(shape)), np.log(self.volumes).reshape(shape)


@dataclass(frozen=True, eq=False)
class Cells:
    """A joint density over variables with finitely many states.

    Args:
        names: one for each axis.
        log: the logarithm of the density, in nats.
        volumes: of the states of each variable.
    """

    names: tuple[str, ...]
    log: Array
    volumes: Mapping[str, Array]

    @property
    def variables(self) -> tuple[str, ...]:
        return self.names

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        result = self._marginal({**givens, **targets})
        return result - self._marginal(givens) if givens else result

    def _marginal(self, known: Values) -> Array:
        table = self._without(tuple(name for name in self.names if name not in known))
        index = tuple(np.asarray(known[name].data).astype(int) for name in self.names if name in known)
        return np.asarray(table[index])

    @cached_property
    def _tables(self) -> dict[tuple[str, ...], Array]:
        return {(): self.log}

    def _without(self, gone: tuple[str, ...]) -> Array:
        if gone not in self._tables:
            table = self.log
            for name in gone:
                axis = self.names.index(name)
                shape = [1] * table.ndim
                shape[axis] = -1
                table = table + np.log(self.volumes[name]).reshape(shape)
            axes = tuple(self.names.index(name) for name in gone)
            self._tables[gone] = np.asarray(logsumexp(table, axis=axes))
        return self._tables[gone]

    def space(self, target: str, givens: Values) -> Cell:
        return Cell(self.volumes[target])


@dataclass(frozen=True, eq=False)
class Guide:
    """q(z), q(z | x) or q(z | x, y), one law of the latent variable: what it is not given is what was observed.

    Args:
        cells: the joint density whose conditional it is.
        observed: the states of the other variables.
    """

    cells: Cells
    observed: Mapping[str, int]

    @property
    def variables(self) -> tuple[str, ...]:
        return self.cells.names

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        if set(targets) != {LATENT}:
            raise IllTyped(f"Expected q to be a law of the latent variable, but got one of {', '.join(targets)}.")
        depth = max(value.depth for value in targets.values())
        filled = dict(givens)
        for name, state in self.observed.items():
            filled.setdefault(name, Typed(np.full((1,) * depth, state)))
        return self.cells.log_prob(targets, filled, rule)

    def space(self, target: str, givens: Values) -> Cell:
        return self.cells.space(target, givens)


@dataclass(frozen=True)
class Plan:
    """Which variables a document has, whether its guides are laws of several of them, and its prior has parameters."""

    names: tuple[str, ...]
    joint_guide: bool = False
    fixed_prior: bool = False


@dataclass(frozen=True)
class Setting:
    """Which member of the family of models and guides is taken.

    Args:
        seed: of all that is drawn.
        fine: whether volumes are small, so that densities exceed 1.
        model, guide: 0 is the model or the guide itself.
        drawn: the law that the samples of the latent variable are from, q or p.
        reached: of which model q is the posterior, p or o; of none if empty.
        moved: a variable that has another value than the observed one, and by how many states; nothing if empty.
    """

    seed: int
    fine: bool
    model: int = 0
    guide: int = 0
    reached: str = ""
    drawn: str = "q"
    moved: tuple[str, int] = ("", 0)


@lru_cache(maxsize=128)
def scope(plan: Plan, setting: Setting) -> Scope:
    """The names of a document on one random table."""
    return _scope(plan, setting, 0.0, 0.0)


def _scope(plan: Plan, setting: Setting, model: float, guide: float) -> Scope:
    """The same where the parameters of the model and of the guide have moved by so much."""
    names = plan.names
    sizes = [STATES.get(name, FEWER) for name in names]
    rng = np.random.default_rng([setting.seed, 11])
    volumes = {
        name: rng.uniform(0.05, 0.3, n) if setting.fine else np.ones(n) for name, n in zip(names, sizes, strict=True)
    }
    observed = {name: int(rng.integers(n)) for name, n in zip(names, sizes, strict=True)}
    if (name := setting.moved[0]) in observed:
        observed[name] = (observed[name] + setting.moved[1]) % len(volumes[name])

    def drawn(*key: int, moved: float = 0.0) -> Cells:
        chance = np.random.default_rng([setting.seed, *key])
        table = chance.normal(0, 1.0, sizes)
        if moved:
            table = table + moved * chance.normal(0, 1.0, sizes)
        table = table - logsumexp(table)
        for axis, name in enumerate(names):
            shape = [1] * len(names)
            shape[axis] = -1
            table = table - np.log(volumes[name]).reshape(shape)
        return Cells(names, table, volumes)

    seen = {name: state for name, state in observed.items() if name != LATENT}

    def as_guide(cells: Cells) -> Any:
        return cells if plan.joint_guide or LATENT not in names else Guide(cells, seen)

    p, old = drawn(1, setting.model, moved=model), drawn(2)
    if plan.fixed_prior and model and LATENT in names:
        p = _with_prior_of(drawn(1, setting.model), p)
    posterior = {"p": p, "o": old}.get(setting.reached)
    q = as_guide(posterior or (p if setting.guide == FAMILY - 1 else drawn(3, setting.guide, moved=guide)))
    worlds: dict[str, Any] = {
        **{"p": p, "p_o": old, "p_n": _updated(old, observed), "p_s": drawn(6)},
        **{
            "q": q,
            "q_o": as_guide(old if posterior else drawn(4)),
            "q_n": as_guide(drawn(5)),
            "q_s": as_guide(posterior or drawn(7)),
        },
    }
    values: dict[str, Any] = {"N": DATA, "L": SAMPLES}
    data = {}
    for name in names:
        states = rng.integers(len(volumes[name]), size=DATA)
        if name != LATENT and name.isalpha():
            values[rf"\tilde{{{name}}}"] = states
            data[name] = states
    if LATENT in names and not plan.joint_guide:
        values[rf"\tilde{{{LATENT}}}"] = _draws(q if setting.drawn == "q" else p, volumes[LATENT])
    worlds["p_d"] = _empirical(data, volumes) if data else p
    return Scope(
        worlds=worlds,
        values=values,
        observed=observed,
        spaces={name: Cell(volumes[name]) for name in names},
        ranges={"i": DATA, "l": SAMPLES},
        parameters={
            **dict.fromkeys(OF_MODEL, Parameter(model, lambda v: _scope(plan, setting, float(v), guide))),
            **dict.fromkeys(OF_GUIDE, Parameter(guide, lambda v: _scope(plan, setting, model, float(v)))),
        },
        maps={
            "Y": Map(lambda z: np.exp(np.sin(2.3 * z + setting.seed))),
            "f": Map(lambda z: np.sin(1.7 * z + setting.seed) + 0.4 * np.asarray(z)),
        },
    )


def _updated(old: Cells, observed: Mapping[str, int]) -> Cells:
    """What one step of EM makes of the prior of a model: the posterior of what was observed."""
    if LATENT not in old.names:
        return old
    index = tuple(slice(None) if name == LATENT else observed[name] for name in old.names)
    posterior = old.log[index] - logsumexp(old.log[index] + np.log(old.volumes[LATENT]))
    return _with_prior(old, posterior)


def _with_prior_of(other: Cells, cells: Cells) -> Cells:
    """The same decoder with the prior of another model."""
    return _with_prior(cells, other._without(_others(other)))


def _with_prior(cells: Cells, log_prior: Array) -> Cells:
    shape = [1] * cells.log.ndim
    shape[cells.names.index(LATENT)] = -1
    change = log_prior - cells._without(_others(cells))
    return Cells(cells.names, cells.log + change.reshape(shape), cells.volumes)


def _others(cells: Cells) -> tuple[str, ...]:
    return tuple(name for name in cells.names if name != LATENT)


def _empirical(data: Mapping[str, Array], volumes: Mapping[str, Array]) -> Cells:
    """The law of the data, which are the \\tilde{x}_i."""
    names = tuple(data)
    counts = np.zeros([len(volumes[name]) for name in names])
    np.add.at(counts, tuple(data[name] for name in names), 1.0)
    table = counts / counts.sum()
    for axis, name in enumerate(names):
        shape = [1] * len(names)
        shape[axis] = -1
        table = table / volumes[name].reshape(shape)
    with np.errstate(divide="ignore"):
        return Cells(names, np.log(table), volumes)


def _draws(q: Any, volumes: Array) -> Array:
    """States as often as their probability says, to within one."""
    states = Typed(np.arange(len(volumes)))
    log = q.log_prob({LATENT: Typed(states.data)}, {}, Rule("trapezoid"))
    probability = np.exp(log) * volumes
    return np.searchsorted(np.cumsum(probability / probability.sum()), (np.arange(SAMPLES) + 0.5) / SAMPLES)


def settings(fine: Sequence[bool] = (False, True), count: int = 4) -> list[Setting]:
    """The settings on which every line is looked at."""
    return [Setting(seed, fine[seed % len(fine)]) for seed in range(count)]
