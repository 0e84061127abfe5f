"""Where a variable lives, and the nodes at which a sum or an integral over it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula.rules import FAR_REACH, REACH, Rule
from vaelib.formula.typed import Typed

Array = np.ndarray


class Space(Protocol):
    """Nodes along a new batch axis behind `depth` others, and the logarithms of their weights (axes: batch, node)."""

    @property
    def exact(self) -> bool:
        """Whether the sum over the nodes is not an approximation."""
        ...

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]: ...


MOST_NODES = 4_000_000  # ten times what any line of the ledger needs


def refuse_more_than_fit(size: int) -> None:
    """Sums and integrals inside each other are refused before their nodes fill the memory.

    Raises:
        IllTyped: for more than MOST_NODES combinations of nodes.
    """
    if size > MOST_NODES:
        raise IllTyped(
            f"Expected at most {MOST_NODES:,} combinations of nodes, but the sums and integrals inside each other "
            f"need {size:,}. Is a closed form known for one of them?"
        )


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
        light: fewer nodes, for what is as smooth as the law that it lies under.
    """

    low: Any
    high: Any
    hard_low: bool = False
    hard_high: bool = False
    light: bool = False

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        low, high = (np.asarray(side, dtype=float) for side in (self.low, self.high))
        if low.shape != high.shape:
            low, high = np.broadcast_arrays(low, high)
        low, high = (side.reshape((*side.shape, *[1] * (depth - side.ndim))) for side in (low, high))
        beyond = (high - low) * (rule.wide - 1) / 2
        low, high = low - (0 if self.hard_low else beyond), high + (0 if self.hard_high else beyond)
        ended = self.hard_low or self.hard_high
        unit, log_weights = rule.ended() if ended else rule.unit(self.light)
        width = (high - low)[..., None]
        refuse_more_than_fit(width.size * unit.size)
        return Typed(low[..., None] + width * unit), np.log(np.abs(width)) + log_weights


@dataclass(frozen=True, eq=False)
class Around:
    """All of the line, or of R^k, where what is integrated lies around here: a Gaussian's location and scale.

    Args:
        loc: shape (*batch,) on the line, (*batch, k) in R^k.
        scale: the standard deviation, or a lower Cholesky factor of shape (*batch, k, k).
        vector: whether this is R^k.
        law: whether it is integrated under this very Gaussian, or something else that lies nearby.
    """

    loc: Array
    scale: Array
    vector: bool = False
    law: bool = True

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        loc, scale = np.asarray(self.loc, dtype=float), np.asarray(self.scale, dtype=float)
        if not self.vector:
            reach = (FAR_REACH if self.law else REACH) * scale
            return Interval(loc - reach, loc + reach, light=self.law).nodes(rule, depth)
        k = loc.shape[-1]
        loc = loc.reshape((*loc.shape[:-1], *[1] * (depth - loc.ndim + 1), k))
        scale = scale.reshape((*scale.shape[:-2], *[1] * (depth - scale.ndim + 2), k, k))
        standard, log_weights = rule.normal(k) if self.law else rule.box(k)
        refuse_more_than_fit(max(loc[..., 0].size, scale[..., 0, 0].size) * len(standard))
        nodes = loc[..., None, :] + np.einsum("...ij,nj->...ni", scale, standard)
        log_det = np.log(np.diagonal(scale, axis1=-2, axis2=-1)).sum(-1)[..., None]
        return Typed(nodes, 1), log_weights + log_det


@dataclass(frozen=True, eq=False)
class Pieces:
    """A part of the line in pieces, with kinks or ends at `edges`, or where one of them holds what is narrow.

    Args:
        soft: whether the outermost edges stand for infinity.
    """

    edges: tuple[float, ...]
    soft: bool = False

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        beyond = (self.edges[-1] - self.edges[0]) * (rule.wide - 1) / 2 if self.soft else 0.0
        edges = (self.edges[0] - beyond, *self.edges[1:-1], self.edges[-1] + beyond)
        parts = [Interval(a, b, True, True).nodes(rule, depth) for a, b in pairwise(edges)]
        data = np.concatenate([nodes.data for nodes, _ in parts], axis=-1)
        return Typed(data), np.concatenate([log_weights for _, log_weights in parts], axis=-1)


@dataclass(frozen=True, eq=False)
class HalfLine:
    """All numbers y > 0, whatever their size: y = exp(pi/2 sinh t) (Takahasi and Mori 1974)."""

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        unit, log_weights = rule.unit()
        reach = 5.0 * (1 + (rule.wide - 1) / 6)  # so the range of log y widens as other ranges do
        t = (reach * (2 * unit - 1)).reshape((*[1] * depth, -1))
        log_y = np.pi / 2 * np.sinh(t)
        return Typed(np.exp(log_y)), log_weights + np.log(np.pi * reach * np.cosh(t)) + log_y


UNLIKE = 3.0  # scales that differ by more than this need separate pieces


def hull(spaces: list[Space]) -> Space:
    """A space that covers all of these, for an integral that is under none of the laws that they belong to."""
    around = [space for space in spaces if isinstance(space, Around)]
    if len(around) < len(spaces) or any(np.ndim(space.loc) > space.vector for space in around):
        return spaces[0]
    if around[0].vector:
        loc = np.mean([space.loc for space in around], axis=0)
        spread = [space.scale @ space.scale.T + np.outer(space.loc - loc, space.loc - loc) for space in around]
        return Around(loc, np.linalg.cholesky(np.mean(spread, axis=0)), vector=True, law=False)
    ends = [
        float(end) for space in around for end in (space.loc - REACH * space.scale, space.loc + REACH * space.scale)
    ]
    if unlike(around):
        return Pieces(tuple(sorted(ends)), soft=True)
    return Interval(min(ends), max(ends))


def unlike(around: list[Around]) -> bool:
    """Whether one of these laws of a number is so narrow that nodes for another may miss it."""
    scales = [float(space.scale) for space in around if not space.vector and not np.ndim(space.loc)]
    return bool(scales) and max(scales) > UNLIKE * min(scales)
