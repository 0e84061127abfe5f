"""A number together with an honest statement of its own error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A value (float or array) and its error, both in the same unit.

    Args:
        value: what was computed; a float or an array.
        error: >= 0, same shape as `value`. A deterministic rule states how much its value may be off; a sample mean
            states its standard error.
        num_samples: how many samples a mean was taken over; None for a deterministic rule. A check judges the first by
            a z-score, the second by the error itself.

    Only what the course needs is defined: sums and differences (errors add, which is safe whatever the correlation),
    multiples by a constant, and the logarithm (delta method). It is no framework for the propagation of errors.
    """

    value: Any
    error: Any = 0.0
    num_samples: int | None = None

    __array_ufunc__ = None  # `array + estimate` is this class's business, not NumPy's

    def __add__(self, other: Any) -> Estimate:
        if isinstance(other, Estimate):
            return Estimate(self.value + other.value, self.error + other.error, _fewest(self, other))
        return Estimate(self.value + other, self.error, self.num_samples)

    __radd__ = __add__

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, self.error, self.num_samples)

    def __sub__(self, other: Any) -> Estimate:
        return self + (-other)

    def __rsub__(self, other: Any) -> Estimate:
        return (-self) + other

    def __mul__(self, constant: float) -> Estimate:
        if isinstance(constant, Estimate):
            raise TypeError("Expected a number to multiply an Estimate by, but got another. Products are not defined.")
        return Estimate(self.value * constant, self.error * abs(constant), self.num_samples)

    __rmul__ = __mul__

    def __truediv__(self, constant: float) -> Estimate:
        if isinstance(constant, Estimate):
            raise TypeError("Expected a number to divide an Estimate by, but got another. Quotients are not defined.")
        return self * (1.0 / constant)

    def __float__(self) -> float:
        """The value alone, where it is one number."""
        return float(self.value)

    def log(self) -> Estimate:
        """Natural logarithm; the error becomes relative: error / value. NaN where the value is not positive."""
        value = np.asarray(self.value, dtype=float)
        positive = value > 0
        safe = np.where(positive, value, 1.0)
        logarithm = np.where(positive, np.log(safe), np.nan)
        error = np.where(positive, np.asarray(self.error) / safe, np.nan)
        return Estimate(logarithm[()], error[()], self.num_samples)

    def __str__(self) -> str:
        if np.ndim(self.value):
            return f"array of shape {np.shape(self.value)}, error at most {np.max(self.error):.1e}"
        text = f"{float(self.value):.10g} \N{PLUS-MINUS SIGN} {float(self.error):.1e}"
        return text if self.num_samples is None else f"{text} ({self.num_samples:,} samples)"


def _fewest(a: Estimate, b: Estimate) -> int | None:
    counts = [e.num_samples for e in (a, b) if e.num_samples is not None]
    return min(counts) if counts else None
