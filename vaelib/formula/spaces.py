"""Where a variable lives, and the nodes at which a sum or an integral over it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vaelib.formula.rules import HALF_LOG_2PI, REACH, Rule
from vaelib.formula.typed import Typed

Array = np.ndarray


class Space(Protocol):
    """Nodes along a new batch axis behind `depth` others, and the logarithms of their weights (axes: batch, node)."""

    @property
    def exact(self) -> bool:
        """Whether the sum over the nodes is no approximation."""
        ...

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]: ...


@dataclass(frozen=True, eq=False)
class States:
    """Finitely many values: numbers, shape (n,), or vectors, shape (n, d)."""

    values: Array

    exact = True

    @classmethod
    def count(cls, n: int) -> States:
        """0, ..., n - 1."""
        return cls(np.arange(n))

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        values = np.asarray(self.values)
        data = values.reshape((*[1] * depth, *values.shape))
        return Typed(data, values.ndim - 1), np.zeros((*[1] * depth, len(values)))


@dataclass(frozen=True, eq=False)
class Interval:
    """A part of the line; an end that is not hard stands for infinity, and moves out to see what lies beyond.

    Args:
        low, high: numbers, or one for each batch entry.
    """

    low: Any
    high: Any
    hard_low: bool = False
    hard_high: bool = False

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        low, high = np.broadcast_arrays(np.asarray(self.low, dtype=float), np.asarray(self.high, dtype=float))
        low, high = (side.reshape((*side.shape, *[1] * (depth - side.ndim))) for side in (low, high))
        beyond = (high - low) * (rule.wide - 1) / 2
        low, high = low - (0 if self.hard_low else beyond), high + (0 if self.hard_high else beyond)
        unit, weights = rule.unit()
        width = (high - low)[..., None]
        with np.errstate(divide="ignore"):
            log_weights = np.log(np.abs(width)) + np.log(weights)
        return Typed(low[..., None] + width * unit), log_weights


@dataclass(frozen=True, eq=False)
class Around:
    """All of the line, or of R^k, where what is integrated lies around here: a Gaussian's location and scale.

    Args:
        loc: shape (*batch,) on the line, (*batch, k) in R^k.
        scale: the standard deviation, or a lower Cholesky factor of shape (*batch, k, k).
        vector: whether this is R^k.
    """

    loc: Array
    scale: Array
    vector: bool = False

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        loc, scale = np.asarray(self.loc, dtype=float), np.asarray(self.scale, dtype=float)
        if not self.vector:
            return Interval(loc - REACH * scale, loc + REACH * scale).nodes(rule, depth)
        k = loc.shape[-1]
        loc = loc.reshape((*loc.shape[:-1], *[1] * (depth - loc.ndim + 1), k))
        scale = scale.reshape((*scale.shape[:-2], *[1] * (depth - scale.ndim + 2), k, k))
        standard, log_weights = rule.normal(k)
        nodes = loc[..., None, :] + np.einsum("...ij,nj->...ni", scale, standard)
        log_det = np.log(np.diagonal(scale, axis1=-2, axis2=-1)).sum(-1)[..., None]
        return Typed(nodes, 1), log_weights + 0.5 * np.sum(standard**2, axis=-1) + k * HALF_LOG_2PI + log_det
