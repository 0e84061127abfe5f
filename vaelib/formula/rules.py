"""Two families of quadrature, each at several resolutions, as nodes and weights.

TRAPEZOID is equidistant, in one dimension and (whitened) in several. GAUSS is Gauss-Legendre on panels in one
dimension and Gauss-Hermite in several. Neighboring lines of a derivation use different families, so that an error of
one does not cancel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import roots_hermitenorm, roots_legendre

Array = np.ndarray
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
REACH = 11.0  # in scales to either side: beyond lies 4e-28 of a Gaussian


@dataclass(frozen=True)
class Rule:
    """A family at a resolution.

    Args:
        family: "trapezoid" or "gauss".
        fine: the resolution of the value; the coarse one is there to state an error.
        wide: over a range larger by this factor, at the same spacing: an integral that then changes does not converge.
    """

    family: str
    fine: bool = True
    wide: float = 1.0

    def coarser(self) -> Rule:
        return replace(self, fine=False)

    def wider(self) -> Rule:
        return replace(self, wide=1.3)

    def unit(self) -> tuple[Array, Array]:
        """Nodes and weights on [0, 1]."""
        return _unit(self.family, self.fine, self.wide)

    def normal(self, dimension: int) -> tuple[Array, Array]:
        """Nodes of shape (n, dimension) and log-weights for the mean under N(0, I)."""
        return _normal(self.family, self.fine, self.wide, dimension)


TRAPEZOID, GAUSS = Rule("trapezoid"), Rule("gauss")


@lru_cache(maxsize=32)
def _unit(family: str, fine: bool, wide: float) -> tuple[Array, Array]:
    if family == "trapezoid":
        n = round((560 if fine else 400) * wide)
        weights = np.full(n + 1, 1 / n)
        weights[[0, -1]] /= 2
        return _frozen(np.linspace(0, 1, n + 1), weights)
    panels = round((24 if fine else 17) * wide)
    x, w = roots_legendre(24)
    nodes = (np.arange(panels)[:, None] + (x + 1) / 2) / panels
    return _frozen(nodes.ravel(), np.tile(w / 2 / panels, panels))


@lru_cache(maxsize=32)
def _normal(family: str, fine: bool, wide: float, dimension: int) -> tuple[Array, Array]:
    if family == "trapezoid":
        reach = 8.0 * wide
        step = {1: 0.2, 2: 0.35, 3: 0.5}.get(dimension, 0.75) * (1.0 if fine else 1.3)
        nodes = step * np.arange(-round(reach / step), round(reach / step) + 1)
        log_weights = np.log(step) - nodes**2 / 2 - HALF_LOG_2PI
    else:
        n = round({1: 64, 2: 30, 3: 14}.get(dimension, 8) * (1.0 if fine else 0.75) * wide)
        nodes, weights = roots_hermitenorm(n)
        log_weights = np.log(weights / weights.sum())
    grids = np.meshgrid(*[nodes] * dimension, indexing="ij")
    logs = np.meshgrid(*[log_weights] * dimension, indexing="ij")
    return _frozen(np.stack(grids, axis=-1).reshape(-1, dimension), np.sum(logs, axis=0).reshape(-1))


def _frozen(nodes: Array, weights: Array) -> tuple[Array, Array]:
    """Read-only: they are remembered."""
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights
