"""Special functions that keep their digits, for NumPy arrays and torch tensors alike.

Each choice between two formulas is a `where` whose branch not taken is fed a harmless argument (`clip`, or another
`where`), so that it neither divides by zero nor sends a NaN into a gradient.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

import numpy as np

from vaelib._arrays import Array, is_largest, is_tensor, namespace, special, where

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
LOG_2 = math.log(2.0)
INFINITY = float("inf")


def log_excess(growth: Array, log_ratio: Array) -> Array:
    r"""r - 1 - log r >= 0, for r = 1 + growth and log_ratio = log r: how far the tangent at 1 lies above the logarithm.

    Both arguments come without cancellation from the caller. Near r = 1 their difference, about growth^2 / 2, would
    lose its digits; there, with u = growth / (2 + growth) and log r = 2 atanh u,

        r - 1 - log r = u (growth - 2 (u^2/3 + u^4/5 + ...)).
    """
    small = growth.clip(-0.04, 0.04)
    u = small / (2.0 + small)
    v = u * u
    series = u * (small - v * (2 / 3 + v * (2 / 5 + v * (2 / 7 + v * (2 / 9)))))
    return where(small == growth, series, growth - log_ratio)


def log_ratio(a: Array, b: Array) -> Array:
    """log(a / b) for a, b > 0, also where the quotient over- or underflows, and where its slope would.

    log a - log b, but where the two are within a factor of 1000: there their difference would lose digits.
    """
    log, quotient = namespace(a).log, a / b
    near = (quotient > 1e-3) & (quotient < 1e3)
    by_quotient = log(where(near, a, 1.0) / where(near, b, 1.0))
    return where(near, by_quotient, log(where(near, 1.0, a)) - log(where(near, 1.0, b)))


def log_product_of_ratios(a: Array, b: Array, c: Array, d: Array) -> Array:
    """log((a / b) (c / d)), as `log_ratio`."""
    first, second = a / b, c / d
    product = first * second
    near = (product > 1e-3) & (product < 1e3) & (first > 1e-100) & (first < 1e100)
    inside = [where(near, each, 1.0) for each in (a, b, c, d)]
    outside = [where(near, 1.0, each) for each in (a, b, c, d)]
    by_product = namespace(product).log(inside[0] / inside[1] * (inside[2] / inside[3]))
    return where(near, by_product, log_ratio(*outside[:2]) + log_ratio(*outside[2:]))


def log_slope(p: Array) -> Array:
    r"""log p for p >= 0, but finite at 0: log t + p / t with t the smallest normal number.

    It is there for its slope, 1 / t: the slope of log at the nearest p inside, huge and finite, so that what comes
    before it on the way of a gradient, such as a saturated sigmoid whose slope is 0, makes 0 of it and not NaN.
    """
    inside = p > 0.0
    t = _tiny(p)
    return where(inside, namespace(p).log(where(inside, p, 1.0)), math.log(t) + where(inside, 0.0, p) / t)


def log_of(p: Array) -> Array:
    """log p for p >= 0, -inf at 0; the slope there is that of `log_slope`."""
    return log_slope(p) + where(p > 0.0, 0.0 * p, -INFINITY)


def finite_log(log_p: Array) -> Array:
    """`log_p`, and in place of -inf the logarithm of the smallest normal number: for slopes."""
    return where(log_p > -INFINITY, log_p, math.log(_tiny(log_p)))


def _tiny(like: Array) -> float:
    return float(namespace(like).finfo(like.dtype).tiny)


def exp_excess(x: Array) -> Array:
    r"""e^x - 1 - x >= 0: how far the exponential lies above its tangent at 0. A Taylor series where |x| < 0.1."""
    small = x.clip(-0.1, 0.1)
    tail = 1.0 + small / 10.0
    for k in range(9, 2, -1):
        tail = 1.0 + small / k * tail
    return where(small == x, 0.5 * small * small * tail, namespace(x).expm1(x) - x)


def log_sigmoid(x: Array) -> Array:
    """-log(1 + e^-x), to full relative accuracy on both sides; fused in torch."""
    if is_tensor(x):
        return sys.modules["torch"].nn.functional.logsigmoid(x)
    return -np.logaddexp(0.0, -x)


def weighted(weight: Array, value: Array, slope: Array | float = 0.0) -> Array:
    """weight * value, where weight 0 makes nothing of an infinite value: 0 log 0 = 0.

    `slope` is the derivative in the weight where it is 0.
    """
    return weight * where(weight > 0, value, slope)


def log_normalize(logits: Array) -> Array:
    """logits - log sum exp(logits) along the last axis.

    The largest entry enters through log1p and not the sum, so that its log-probability keeps its digits near 0.
    """
    xp = namespace(logits)
    top = is_largest(logits)
    shifted = logits - where(top, logits, 0.0).sum(-1)[..., None]
    rest = where(top, 0.0, xp.exp(shifted)).sum(-1)[..., None]
    return shifted - xp.log1p(rest)


# ------------------------------------------------------------------------------ the logarithm of the gamma function

# Stirling's series, log Gamma(a) = (a - 1/2) log a - a + log(2 pi)/2 + sum_m c_m a^-m for m = 1, 3, 5, ...;
# c_m = B_{m+1} / (m (m + 1)). For a >= 10 the seven terms reach double precision.
STIRLING = {1: 1 / 12, 3: -1 / 360, 5: 1 / 1260, 7: -1 / 1680, 9: 1 / 1188, 11: -691 / 360360, 13: 1 / 156}


def odd_series(coefficients: Iterable[float], x: Array) -> Array:
    """c_1 / x + c_3 / x^3 + c_5 / x^5 + ... by Horner's rule."""
    inverse_square = 1.0 / (x * x)
    total = 0.0
    for coefficient in reversed(list(coefficients)):
        total = total * inverse_square + coefficient
    return total / x


def stirling_remainder(a: Array) -> Array:
    r"""log Gamma(a) - (a - 1/2) log a + a - log(2 pi)/2 for a > 0, which falls like 1 / (12 a)."""
    large = a > 10.0
    x, y = where(large, a, 10.0), where(large, 10.0, a)
    direct = special(a).gammaln(y) - (y - 0.5) * namespace(a).log(y) + y - HALF_LOG_2PI
    return where(large, odd_series(STIRLING.values(), x), direct)


def log_minus_digamma(a: Array) -> Array:
    r"""log a - psi(a) for a > 0, which falls like 1 / (2 a): how far E[log x] lies below log E[x] for a Gamma."""
    large = a > 10.0
    x, y = where(large, a, 10.0), where(large, 10.0, a)
    series = (0.5 + odd_series((m * c for m, c in STIRLING.items()), x)) / x
    return where(large, series, namespace(a).log(y) - special(a).digamma(y))
