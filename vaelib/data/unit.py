"""The unit of the pixels: one offset and one scale, between the numbers of a file and those that the networks see.

Scales of a model are bounded (see `vaelib.vae`), and weights start near 1. Data whose spread is far from 1, or that lie
far from 0 for their spread, would be misfitted in silence; they are standardized, x -> (x - offset) / scale. Whatever a
model is asked for is in the unit of the data all the same: `encode` takes it, `decode` and `sample` return it, and
log-likelihoods are densities in it, log p(x) = log p(x') - D log scale for D pixels, x' the standardized ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

FITTING = (0.1, 50.0)  # root mean squared distances from the mean image that networks take as they are
FAR = 10.0  # distances from 0, in these, from which on an offset is taken off


@dataclass(frozen=True)
class Unit:
    """x' = (x - offset) / scale.

    >>> Unit(10.0, 2.0).inward(np.array([12.0])), Unit().trivial
    (array([1.]), True)
    """

    offset: float = 0.0
    scale: float = 1.0

    @property
    def trivial(self) -> bool:
        """Does it leave everything as it is?"""
        return self.offset == 0.0 and self.scale == 1.0

    def inward(self, x: Any) -> Any:
        """From the data's unit to that of the networks: an array or a tensor, in its own precision."""
        return x if self.trivial else (x - self.offset) / self.scale

    def outward(self, x: Any) -> Any:
        """From the networks' unit to that of the data."""
        return x if self.trivial else x * self.scale + self.offset

    def log_jacobian(self, pixels: int) -> float:
        """What a log-density of so many pixels gains on its way to the data's unit, in nats."""
        return -pixels * math.log(self.scale)


def suited_to(offset: float, deviation: float) -> Unit:
    """The unit for pixels with that mean and that root mean squared distance from their mean image.

    Both are numbers over all pixels of the training set. Within `FITTING`, and no further than `FAR` deviations from 0,
    pixels stay as they are. Pixels that never vary (deviation 0) have no unit; at most an offset is taken off.
    """
    spread = deviation or 1.0
    if FITTING[0] <= spread <= FITTING[1] and abs(offset) <= FAR * spread:
        return Unit()
    return Unit(offset, spread)


def center_and_spread(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean image of rows (examples, pixels), and the root mean squared distance of the pixels from it.

    Both in double precision, and free of overflow: numbers near 1e30 have squares that float32 cannot hold.
    """
    mean = rows.mean(0, dtype=np.float64)
    parts = np.array_split(rows, -(-len(rows) // 1000))
    return mean, math.sqrt(float(np.mean([np.mean((part - mean) ** 2) for part in parts])))
