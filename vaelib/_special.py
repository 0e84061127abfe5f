"""Special functions that keep their digits, for NumPy arrays and torch tensors alike."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from vaelib._arrays import is_tensor, namespace, special, where


def log_excess(growth: Any, log_ratio: Any) -> Any:
    r"""r - 1 - log r >= 0, for r = 1 + growth and log_ratio = log r: how far the tangent at 1 lies above the logarithm.

    The caller computes `growth` without cancellation. Near r = 1 the difference growth - log_ratio would lose all its
    digits (its value is about growth^2 / 2). There, with u = growth / (2 + growth) and log r = 2 atanh u,

        r - 1 - log r = growth u - 2 (u^3/3 + u^5/5 + ...).
    """
    near = abs(growth) < 0.04
    small = where(near, growth, 0.0)  # zero on the branch not taken: no division by zero, no NaN gradient
    u = small / (2.0 + small)
    v = u * u
    series = small * u - 2.0 * u * v * (1 / 3 + v * (1 / 5 + v * (1 / 7 + v * (1 / 9 + v / 11))))
    return where(near, series, growth - log_ratio)


def exp_excess(x: Any) -> Any:
    r"""e^x - 1 - x >= 0: how far the exponential lies above its tangent at 0. Taylor series where |x| < 0.1."""
    xp = namespace(x)
    near = abs(x) < 0.1
    small = where(near, x, 0.0)
    tail = 1.0 + small / 11.0
    for k in range(10, 2, -1):
        tail = 1.0 + small / k * tail
    return where(near, 0.5 * small * small * tail, xp.expm1(x) - x)


def softplus(x: Any) -> Any:
    """log(1 + e^x), to full relative accuracy on both sides."""
    if is_tensor(x):
        return -sys.modules["torch"].nn.functional.logsigmoid(-x)  # softplus proper turns linear at x = 20
    return np.logaddexp(0.0, x)


def weighted(weight: Any, value: Any) -> Any:
    """weight * value with 0 * inf = 0 (and no NaN gradient)."""
    return weight * where(weight > 0, value, 0.0)


# B_2k / (2k (2k - 1)) of Stirling's series, m = 2k - 1 = 1, 3, 5, ...
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def stirling_remainder(a: Any) -> Any:
    r"""mu(a) = log Gamma(a) - (a - 1/2) log a + a - log(2 pi)/2 (Binet's function), for a > 0."""
    large = a > 10.0
    x = where(large, a, 10.0)
    inverse_square = 1.0 / (x * x)
    series = 0.0 * x
    for coefficient in reversed(_STIRLING):
        series = series * inverse_square + coefficient
    y = where(large, 1.0, a)
    direct = special(a).gammaln(y) - (y - 0.5) * namespace(a).log(y) + y - 0.5 * math.log(2 * math.pi)
    return where(large, series / x, direct)


def log_normalize(logits: Any) -> Any:
    """logits - log sum exp(logits) along the last axis, to full relative accuracy where one entry takes nearly all.

    The largest entry is left out of the sum, and enters through log1p.
    """
    xp = namespace(logits)
    top = logits.argmax(-1)[..., None]
    is_top = xp.arange(logits.shape[-1], **({"device": logits.device} if is_tensor(logits) else {})) == top
    largest = where(is_top, logits, 0.0).sum(-1)[..., None]
    shifted = logits - largest
    rest = where(is_top, 0.0, xp.exp(shifted)).sum(-1)[..., None]
    return shifted - xp.log1p(rest)
