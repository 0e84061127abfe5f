"""A number together with an honest statement of its own error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib._door import as_numpy, count
from vaelib._printable import printable
from vaelib._quiet import quiet


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
    multiples by a constant, and the logarithm (delta method). It is not a framework for the propagation of errors.
    """

    value: Any
    error: Any = 0.0
    num_samples: int | None = None

    def __post_init__(self) -> None:
        """What is a float stays one; anything else becomes an array of real numbers, or is refused."""
        for name in ("value", "error"):
            given = getattr(self, name)
            if not isinstance(given, float) and not (type(given) is np.ndarray and given.dtype == np.float64):
                (array,) = as_numpy(**{name: given})
                object.__setattr__(self, name, array[()])
        if self.num_samples is not None and not (type(self.num_samples) is int and self.num_samples >= 0):
            object.__setattr__(self, "num_samples", count("num_samples", self.num_samples))
        if np.ndim(self.error) and np.shape(self.error) != np.shape(self.value):
            raise ValueError(
                f"Expected `error` to be one number or of the shape of `value`, {np.shape(self.value)}, but got"
                f" {np.shape(self.error)}."
            )

    __array_ufunc__ = None  # `array + estimate` is this class's business, not NumPy's

    @quiet
    def __add__(self, other: Any) -> Estimate:
        other = _estimate(other)
        values = np.shape(self.value), np.shape(other.value)
        if values[0] != values[1] and np.broadcast_shapes(*values) not in values:
            raise ValueError(f"Expected two Estimates of one shape, but got {values[0]} and {values[1]}.")
        value, error = self.value + other.value, self.error + other.error
        return Estimate(value, error + np.zeros(np.shape(value)) if np.ndim(error) else error, _fewest(self, other))

    __radd__ = __add__

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, self.error, self.num_samples)

    def __sub__(self, other: Any) -> Estimate:
        return self + (-_estimate(other))

    def __rsub__(self, other: Any) -> Estimate:
        return (-self) + other

    @quiet
    def __mul__(self, constant: float) -> Estimate:
        if isinstance(constant, Estimate):
            raise TypeError("Expected a number to multiply an Estimate by, but got another. Products are not defined.")
        (factor,) = as_numpy(constant=constant)
        if factor.ndim and factor.shape != np.shape(self.value):
            raise ValueError(
                f"Expected `constant` to be a number, or of the shape of the Estimate, {np.shape(self.value)}, but got"
                f" {factor.shape}."
            )
        return Estimate(self.value * factor[()], self.error * abs(factor[()]), self.num_samples)

    __rmul__ = __mul__

    @quiet
    def __truediv__(self, constant: float) -> Estimate:
        if isinstance(constant, Estimate):
            raise TypeError("Expected a number to divide an Estimate by, but got another. Quotients are not defined.")
        (divisor,) = as_numpy(constant=constant)
        inverse: Any = 1.0 / divisor
        return self * inverse

    def __float__(self) -> float:
        """The value alone, where it is one number."""
        if np.ndim(self.value):
            raise TypeError(f"Expected an Estimate of one number, but got one of shape {np.shape(self.value)}.")
        return float(self.value)

    @quiet
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
        return printable(text if self.num_samples is None else f"{text} ({self.num_samples:,} samples)")


def _estimate(other: Any) -> Estimate:
    return other if isinstance(other, Estimate) else Estimate(other)


def _fewest(a: Estimate, b: Estimate) -> int | None:
    counts = [e.num_samples for e in (a, b) if e.num_samples is not None]
    return min(counts) if counts else None
