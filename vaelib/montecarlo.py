"""Sample means that carry their standard error, z-scores, and how many samples a test needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from vaelib import _checks
from vaelib._door import as_numpy, described
from vaelib._quiet import quiet
from vaelib.derivation.compare import Z_THRESHOLD
from vaelib.estimate import Estimate


@quiet
def sample_mean(samples: Any) -> Estimate:
    """Mean over the first axis with its standard error s / sqrt(n), s^2 with n - 1 in the denominator.

    The standard error means something only if the variance is finite: argue that first (a heavy importance weight has
    none, and its sample variance does not tell).
    """
    (samples,) = as_numpy(samples=samples)
    n = samples.shape[0] if samples.ndim else 0
    if n < 2:
        raise ValueError(f"Expected at least two samples along the first axis, but got shape {samples.shape}.")
    return Estimate(samples.mean(axis=0), samples.std(axis=0, ddof=1) / np.sqrt(n), n)


@quiet
def largest_share(samples: Any) -> Any:
    """The share of the sample variance that a single sample carries, between 1/n and 1 (0 if nothing varies).

    It tends to zero where the variance is finite. Where it is not, as for a Cauchy variable, it stays near one half or
    more however many samples are drawn, and a standard error says nothing.
    """
    (samples,) = as_numpy(samples=samples)
    if not samples.ndim or not len(samples):
        raise ValueError(f"Expected samples along the first axis, but got shape {samples.shape}.")
    squares = (samples - samples.mean(axis=0)) ** 2
    total = squares.sum(axis=0)
    return squares.max(axis=0) / np.where(total > 0, total, 1.0)


@quiet
def z_score(estimate: Estimate, reference: Any) -> Any:
    """(estimate - reference) / standard error; about N(0, 1) if the reference is right and n is large.

    Args:
        reference: one number, or of the shape of the estimate.
    """
    if not isinstance(estimate, Estimate):
        raise TypeError(f"Expected `estimate` to be an Estimate, from sample_mean, say, but got {described(estimate)}.")
    value, reference = as_numpy(estimate=estimate.value, reference=reference)
    _checks.agree(estimate=value, reference=reference)
    return (estimate.value - reference) / estimate.error


@quiet
def samples_for_power(effect: float, deviation: float, power: float = 0.99, threshold: float = Z_THRESHOLD) -> int:
    """The number of samples at which a shift of the mean by `effect` gives |z| > threshold with probability `power`.

    Args:
        effect: size of the shift. deviation: standard deviation of one sample.
    """
    effect, deviation, power, threshold = (
        _checks.number(name, value)
        for name, value in {
            "effect": effect,
            "deviation": deviation,
            "power": power,
            "threshold": threshold,
        }.items()
    )
    if not (effect > 0 and deviation > 0):
        raise ValueError(f"Expected `effect` and `deviation` to be > 0, but got {effect} and {deviation}.")
    if not 0.5 <= power < 1:
        raise ValueError(f"Expected `power` to be at least 0.5 and below 1, but got {power}.")
    return max(2, int(np.ceil(((threshold + ndtri(power)) * deviation / effect) ** 2)))
