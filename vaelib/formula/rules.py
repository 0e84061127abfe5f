"""Two families of quadrature, each at several resolutions, as nodes and weights.

TRAPEZOID is equidistant, in one dimension and (whitened) in several. GAUSS is Gauss-Legendre on panels in one
dimension and Gauss-Hermite in several. Neighboring lines of a derivation use different families, so that an error of
one does not cancel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import expit, roots_hermitenorm, roots_legendre

Array = np.ndarray
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
REACH = 11.0  # in scales to either side: beyond lies 4e-28 of a Gaussian
FAR_REACH = 20.0  # under a law: what its density is divided by may lie elsewhere


@dataclass(frozen=True)
class Rule:
    """A family at a resolution.

    Args:
        family: "trapezoid" or "gauss".
        fine: the resolution of the value; the coarse one is there to state an error.
        wide: over a range larger by this factor, at the same spacing: an integral that then changes does not converge.
        dense: with so many times as many nodes in each direction.
    """

    family: str
    fine: bool = True
    wide: float = 1.0
    dense: float = 1.0

    def coarser(self) -> Rule:
        return replace(self, fine=False)

    def wider(self) -> Rule:
        return replace(self, wide=1.3)

    def denser(self) -> Rule:
        return replace(self, dense=1.5)

    def finest(self) -> Rule:
        return Rule(self.family)

    def unit(self, light: bool = False) -> tuple[Array, Array]:
        """Nodes and log-weights on [0, 1]."""
        return _unit(self.family, self.fine, self.wide * self.dense, 0.45 if light else 1.0)

    def ended(self) -> tuple[Array, Array]:
        """Nodes and log-weights on [0, 1] for an integrand that does not decay at the ends; the trapezoid is bent."""
        return _bent(self.fine, self.wide, self.dense) if self.family == "trapezoid" else self.unit()

    def normal(self, dimension: int) -> tuple[Array, Array]:
        """Nodes of shape (n, dimension) and log-weights for an integral over R^dimension of what lies under N(0, I)."""
        return _normal(self.family, self.fine, self.wide, self.dense, dimension)

    def box(self, dimension: int) -> tuple[Array, Array]:
        """Nodes and log-weights for an integral of what lies near N(0, I), but may be narrower or wider."""
        return _box(self.family, self.fine, self.wide, self.dense, dimension)


TRAPEZOID, GAUSS = Rule("trapezoid"), Rule("gauss")


@lru_cache(maxsize=64)
def _unit(family: str, fine: bool, wide: float, share: float) -> tuple[Array, Array]:
    if family == "trapezoid":
        n = round((640 if fine else 460) * wide * share)
        weights = np.full(n + 1, 1 / n)
        weights[[0, -1]] /= 2
        return _frozen(np.linspace(0, 1, n + 1), np.log(weights))
    panels = round((40 if fine else 29) * wide * share)
    x, w = roots_legendre(16)
    nodes = (np.arange(panels)[:, None] + (x + 1) / 2) / panels
    return _frozen(nodes.ravel(), np.log(np.tile(w / 2 / panels, panels)))


@lru_cache(maxsize=32)
def _bent(fine: bool, wide: float, dense: float) -> tuple[Array, Array]:
    """Tanh-sinh: Takahasi and Mori 1974. Ends need not be smooth."""
    step = (0.02 if fine else 0.03) / dense
    t = step * np.arange(-round(3.4 * wide / step), round(3.4 * wide / step) + 1)
    u = np.pi / 2 * np.sinh(t)
    weights = step * np.pi / 4 * np.cosh(t) / np.cosh(u) ** 2
    inside = (weights > 1e-300) & (expit(2 * u) < 1)
    return _frozen(expit(2 * u[inside]), np.log(weights[inside]))


@lru_cache(maxsize=32)
def _normal(family: str, fine: bool, wide: float, dense: float, dimension: int) -> tuple[Array, Array]:
    if family == "trapezoid":
        reach, step = {1: (9.0, 0.2), 2: (8.5, 0.4), 3: (8.0, 0.6)}.get(dimension, (7.2, 0.9))
        coarser = 1.25 if dimension < 4 else 1.1
        nodes = step * (1.0 if fine else coarser) / dense * np.arange(-90, 91)
        nodes = nodes[np.abs(nodes) <= reach * wide]
        return _ball(*_product(nodes, np.full(nodes.size, np.log(nodes[1] - nodes[0])), dimension))
    count = {1: 64, 2: 30, 3: 14}.get(dimension, 8)  # its range grows with its number
    n = round(count * dense * (wide if fine else 0.75))
    nodes, weights = roots_hermitenorm(n)
    return _product(nodes, np.log(weights / weights.sum()) + nodes**2 / 2 + HALF_LOG_2PI, dimension)


@lru_cache(maxsize=32)
def _box(family: str, fine: bool, wide: float, dense: float, dimension: int) -> tuple[Array, Array]:
    reach = 9.0 * wide
    share = {1: 1.0, 2: 0.24}.get(dimension, 0.08)
    unit, log_weights = _unit(family, fine, wide * dense, share)
    return _product(reach * (2 * unit - 1), np.log(2 * reach) + log_weights, dimension)


def _product(nodes: Array, log_weights: Array, dimension: int) -> tuple[Array, Array]:
    """All combinations of the nodes in each coordinate."""
    grids = np.meshgrid(*[nodes] * dimension, indexing="ij")
    logs = np.meshgrid(*[log_weights] * dimension, indexing="ij")
    return _frozen(np.stack(grids, axis=-1).reshape(-1, dimension), np.sum(logs, axis=0).reshape(-1))


def _ball(nodes: Array, log_weights: Array) -> tuple[Array, Array]:
    """Without the corners, in which N(0, I) is smaller than where the grid ends on its axes: 1e-15 of it at most."""
    reach = np.max(nodes) + 0.5 * (nodes.shape[1] - 1)
    inside = np.sum(nodes**2, axis=1) <= (1 + 1e-12) * reach**2
    return _frozen(nodes[inside], log_weights[inside])


def _frozen(nodes: Array, weights: Array) -> tuple[Array, Array]:
    """Read-only: they are remembered."""
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights
