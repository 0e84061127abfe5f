r"""Worlds: what densities are read from. Each answers log p(targets | givens) for any of its variables, and says where
a variable lives, so that every marginal, conditional and posterior of a formula comes from one place.

Variables are known by their LaTeX, as they are written in a call: "x", "z", "z_1".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation.lines import IllTyped
from vaelib.distributions import Categorical, DiagonalNormal, Exponential, MultivariateNormal, Normal
from vaelib.formula.rules import HALF_LOG_2PI, Rule
from vaelib.formula.spaces import Around, Interval, Space, States
from vaelib.formula.typed import Typed

Array = np.ndarray
Values = Mapping[str, Typed]  # all of one depth


class World(Protocol):
    """What a density is read from."""

    @property
    def variables(self) -> tuple[str, ...]: ...

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        """log p(targets | givens) in nats, of the batch shape."""
        ...

    def space(self, target: str, givens: Values) -> Space | None:
        """Where to integrate over a target; None if the scope must say."""
        ...


@dataclass(frozen=True, eq=False)
class Law:
    """One variable with a distribution of the package, or with anything that has `log_prob`."""

    variable: str
    distribution: Any

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.variable,)

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        if givens or set(targets) != {self.variable}:
            raise IllTyped(f"Expected a density of {self.variable} alone, but got {asked(targets, givens)}.")
        return np.asarray(self.distribution.log_prob(targets[self.variable].data))

    def space(self, target: str, givens: Values) -> Space | None:
        return space_of(self.distribution)


@dataclass(frozen=True, eq=False)
class Conditional:
    """A law that depends on other variables: `make(*given data)` returns the distribution of the target.

    Args:
        make: takes one array for each given, shape (*batch, *event), and returns a distribution of that batch.
    """

    target: str
    givens: tuple[str, ...]
    make: Callable[..., Any]

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.target, *self.givens)

    def _distribution(self, givens: Values) -> Any:
        missing = [name for name in self.givens if name not in givens]
        if missing:
            raise IllTyped(f"Expected {self.target} given {', '.join(self.givens)}, but {missing[0]} is not given.")
        return self.make(*(givens[name].data for name in self.givens))

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        if set(targets) != {self.target}:
            raise IllTyped(f"Expected a density of {self.target} alone, but got {asked(targets, givens)}.")
        return np.asarray(self._distribution(givens).log_prob(targets[self.target].data))

    def space(self, target: str, givens: Values) -> Space | None:
        return space_of(self._distribution(givens))


@dataclass(frozen=True, eq=False)
class Table:
    """A joint table over variables with finitely many values; a value of a variable is its index.

    Args:
        variables: one for each axis.
        joint: probabilities, summing to one.
    """

    variables: tuple[str, ...]
    joint: Array

    @cached_property
    def _log(self) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(self.joint, dtype=float))

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        known = {**givens, **targets}
        result = self._marginal(known)
        if givens:
            with np.errstate(invalid="ignore"):
                result = result - self._marginal(givens)
        return result

    def _marginal(self, known: Values) -> Array:
        gone = tuple(i for i, name in enumerate(self.variables) if name not in known)
        with np.errstate(divide="ignore"):
            table = logsumexp(self._log, axis=gone) if gone else self._log
        index = tuple(np.asarray(known[name].data).astype(int) for name in self.variables if name in known)
        return np.asarray(table[index])

    def space(self, target: str, givens: Values) -> Space | None:
        return States.count(self._log.shape[self.variables.index(target)])


@dataclass(frozen=True, eq=False)
class JointGaussian:
    """Vectors and numbers with a joint Gaussian law.

    Args:
        sizes: the length of each variable, 0 for a number.
        loc, covariance: of all of them in a row, numbers taking one place.
    """

    sizes: Mapping[str, int]
    loc: Array
    covariance: Array
    _known: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(self.sizes)

    def _places(self, names: Sequence[str]) -> Array:
        ends = np.cumsum([0, *(max(1, size) for size in self.sizes.values())])
        spans = dict(zip(self.sizes, pairwise(ends), strict=True))
        return np.concatenate([np.arange(*spans[name]) for name in names]) if names else np.arange(0)

    def _flat(self, values: Values, names: Sequence[str]) -> Array:
        values = {name: self._zero(name, value) for name, value in values.items()}
        for name in names:
            expected = (self.sizes[name],) if self.sizes[name] else ()
            if values[name].event != expected:
                what = f"a vector of {self.sizes[name]}" if expected else "a number"
                raise IllTyped(
                    f"Expected {name} to be {what}, but got {values[name].kind} of shape {values[name].event}."
                )
        parts = [values[n].data if self.sizes[n] else values[n].data[..., None] for n in names]
        batch = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(part, (*batch, part.shape[-1])) for part in parts], axis=-1)

    def _zero(self, name: str, value: Typed) -> Typed:
        """p(x, 0): the zero vector is written as a number."""
        if self.sizes.get(name) and value.rank == 0 and not np.any(value.data):
            return Typed(np.zeros((*value.data.shape, self.sizes[name])), 1)
        return value

    def _conditioned(self, targets: tuple[str, ...], givens: tuple[str, ...]) -> tuple[Array, Array]:
        """The regression of the targets on the givens, and the Cholesky factor of what remains."""
        if (targets, givens) not in self._known:
            t, g = self._places(targets), self._places(givens)
            s = np.asarray(self.covariance)
            slope = np.linalg.solve(s[np.ix_(g, g)], s[np.ix_(g, t)]).T if givens else np.zeros((t.size, 0))
            rest = s[np.ix_(t, t)] - slope @ s[np.ix_(g, t)]
            self._known[targets, givens] = slope, np.linalg.cholesky((rest + rest.T) / 2)
        result: tuple[Array, Array] = self._known[targets, givens]
        return result

    def _mean(self, targets: tuple[str, ...], given: tuple[str, ...], givens: Values) -> tuple[Array, Array]:
        slope, factor = self._conditioned(targets, given)
        loc = np.asarray(self.loc)
        mean = loc[self._places(targets)]
        if given:
            mean = mean + (self._flat(givens, given) - loc[self._places(given)]) @ slope.T
        return mean, factor

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        names, given = tuple(targets), tuple(givens)
        mean, factor = self._mean(names, given, givens)
        return gaussian_log_density(self._flat(targets, names) - mean, factor)

    def space(self, target: str, givens: Values) -> Space | None:
        mean, factor = self._mean((target,), tuple(givens), givens)
        if self.sizes[target]:
            return Around(mean, factor, vector=True)
        return Around(mean[..., 0], factor[..., 0, 0])


@dataclass(frozen=True, eq=False)
class Decoder:
    """A model of the package with one real latent: prior, likelihood, and the evidence by the rule of the line.

    Args:
        model: `log_prior(z)`, `log_likelihood(x, z)`, `latent_range`.
    """

    model: Any
    x: str = "x"
    z: str = "z"

    exact = False  # the evidence is an integral

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.x, self.z)

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        match set(targets), set(givens):
            case t, g if t == {self.z} and not g:
                return np.asarray(self.model.log_prior(targets[self.z].data))
            case t, g if t == {self.x} and g == {self.z}:
                return self._likelihood(targets[self.x].data, givens[self.z].data)
            case t, g if t == {self.x, self.z} and not g:
                return self._joint(targets[self.x].data, targets[self.z].data)
            case t, g if t == {self.x} and not g:
                return self._evidence(targets[self.x].data, rule)
            case t, g if t == {self.z} and g == {self.x}:
                joint = self._joint(givens[self.x].data, targets[self.z].data)
                return joint - self._evidence(givens[self.x].data, rule)
        raise IllTyped(f"Expected a density of {self.x} and {self.z}, but got {asked(targets, givens)}.")

    def _likelihood(self, x: Array, z: Array) -> Array:
        return np.asarray(self.model.log_likelihood(x, z))

    def _joint(self, x: Array, z: Array) -> Array:
        return np.asarray(self.model.log_prior(z)) + self._likelihood(x, z)

    def _evidence(self, x: Array, rule: Rule) -> Array:
        nodes, log_weights = Interval(*self.model.latent_range).nodes(rule, 0)
        shape = [1] * (x.ndim - 1)
        joint = self._joint(x[..., None, :], nodes.data.reshape((*shape, -1)))
        return np.asarray(logsumexp(joint + log_weights, axis=-1))

    def space(self, target: str, givens: Values) -> Space | None:
        return Interval(*self.model.latent_range) if target == self.z else None


@dataclass(frozen=True, eq=False)
class Mixture:
    """A label k = 0, ..., K-1 with weights, and a number or a vector drawn from the part that it names.

    Args:
        weights: shape (K,). parts: a batch of K distributions.
        low, high: where a number lies, for integrals over it.
    """

    variable: str
    weights: Array
    parts: Any
    low: float = -np.inf
    high: float = np.inf
    label: str = "k"

    def marginal(self, variable: str) -> Marginal:
        """One of its two variables as a law by itself."""
        return Marginal(self, variable)

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.label, self.variable)

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        joint = self._marginal({**givens, **targets})
        return joint - self._marginal(givens) if givens else joint

    def _marginal(self, known: Values) -> Array:
        log_weights = np.log(self.weights)
        label = np.asarray(known[self.label].data).astype(int) if self.label in known else None
        if self.variable not in known:
            return np.asarray(log_weights[label])
        drawn = known[self.variable]
        data = drawn.data[..., None, :] if drawn.rank else drawn.data[..., None]
        every = np.asarray(self.parts.log_prob(data)) + log_weights
        if label is None:
            return np.asarray(logsumexp(every, axis=-1))
        every, label = np.broadcast_arrays(every, label[..., None])
        return np.take_along_axis(every, label[..., :1], axis=-1)[..., 0]

    def space(self, target: str, givens: Values) -> Space | None:
        if target == self.label:
            return States.count(len(self.weights))
        return Interval(self.low, self.high) if np.isfinite(self.low) and np.isfinite(self.high) else None


@dataclass(frozen=True, eq=False)
class Marginal:
    """One variable of a world, as a law by itself."""

    whole: World
    variable: str

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.variable,)

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        return self.whole.log_prob(targets, givens, rule)

    def space(self, target: str, givens: Values) -> Space | None:
        return self.whole.space(target, givens)


class Either:
    """Laws of different variables under one name: p(z) and p(x)."""

    def __init__(self, *worlds: World) -> None:
        self.worlds = worlds

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(variable for world in self.worlds for variable in world.variables)

    def _one(self, names: Values) -> World:
        for world in self.worlds:
            if set(names) <= set(world.variables):
                return world
        raise IllTyped(f"Expected variables of one law, but got {', '.join(names)}.")

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        return self._one({**targets, **givens}).log_prob(targets, givens, rule)

    def space(self, target: str, givens: Values) -> Space | None:
        return next(world for world in self.worlds if target in world.variables).space(target, givens)


def asked(targets: Values, givens: Values) -> str:
    """p(x, y | z), as it was asked for."""
    return f"p({', '.join(targets)}{' | ' if givens else ''}{', '.join(givens)})"


def space_of(distribution: Any) -> Space | None:
    """Where to integrate under a distribution of the package; None if nothing is known."""
    match distribution:
        case Normal():
            return Around(distribution.loc, distribution.scale)
        case DiagonalNormal() | MultivariateNormal():
            return Around(distribution.loc, distribution.cholesky, vector=True)
        case Exponential():
            return Interval(0.0, 50 / float(np.min(distribution.rate)), hard_low=True)
        case Categorical():
            return States.count(distribution.logits.shape[-1])
    return None


def gaussian_log_density(gap: Array, factor: Array) -> Array:
    """log N(gap; 0, L L^T) for gap of shape (*batch, k) and L of shape (*batch or nothing, k, k)."""
    k = gap.shape[-1]
    if factor.size == k * k:  # one for the whole batch
        standard = gap @ np.linalg.inv(factor.reshape(k, k)).T
    elif factor.ndim == gap.ndim + 1 and factor.size == len(factor) * k * k:  # one along the first axis
        inverse = np.linalg.inv(factor.reshape(-1, k, k))
        standard = (gap.reshape(len(gap), -1, k) @ np.swapaxes(inverse, -1, -2)).reshape(
            (max(len(gap), len(factor)), *gap.shape[1:])
        )
    else:
        standard = np.linalg.solve(factor, gap[..., None])[..., 0]
    log_det = np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    return np.asarray(-0.5 * np.einsum("...i,...i->...", standard, standard) - log_det - k * HALF_LOG_2PI)
