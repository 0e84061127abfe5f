"""Closed forms of KL(q || p), in nats, as functions of the parameters. These are numbers, lists, NumPy or torch arrays.

Each is arranged so that it keeps its digits as q nears p, where the textbook form is a small difference of large
numbers: as a sum of terms that are >= 0, or, for Gaussians in single precision, by taking the difference in double.
Two building blocks recur: r - 1 - log r (`log_excess`) and e^x - 1 - x (`exp_excess`), the distances of the logarithm
and of the exponential from their tangents. Where the ratio r leaves the range of floats, its logarithm does not
(`log_ratio`): KL is infinite only where it is larger than every float, or q gives mass to what p excludes.

For distributions, `vaelib.kl_divergence(q, p)` is the door.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from vaelib import _checks
from vaelib._arrays import (
    Array,
    diagonal,
    is_single,
    namespace,
    positions,
    solve_lower,
    solve_lower_vector,
    special,
    to_double,
    transpose,
    where,
)
from vaelib._door import as_arrays
from vaelib._quiet import quiet
from vaelib._special import (
    INFINITY,
    STIRLING,
    exp_excess,
    finite_log,
    log_excess,
    log_minus_digamma,
    log_normalize,
    log_product_of_ratios,
    log_ratio,
    log_sigmoid,
    odd_series,
    stirling_remainder,
    weighted,
)

Formula = Callable[..., Array]
POSITIVE = ("scale", "rate", "concentration", "distance")
FINITE = ("loc", "covariance", "factor")
LARGE_LOG = 600.0  # of a ratio; beyond, the ratio itself is not formed


def of_parameters(formula: Formula) -> Formula:
    """A formula for arrays of one kind as a function that converts what comes, and checks it by its name.

    `__wrapped__` is the bare formula, for parameters that a distribution has checked already.
    """
    signature = inspect.signature(formula)

    @functools.wraps(formula)
    def checked(*args: Any, **kwargs: Any) -> Array:
        named = signature.bind(*args, **kwargs).arguments
        arrays = as_arrays(**named)
        for name, array in zip(named, arrays, strict=True):
            if name.startswith(POSITIVE):
                _checks.positive(name, array)
            elif name.startswith(FINITE):
                _checks.finite(name, array)
            else:
                _checks.not_nan(name, array)
        if "factor_q" not in named:  # matrices beside vectors
            _checks.broadcastable(**dict(zip(named, arrays, strict=True)))
        return formula(*arrays)

    quietly = quiet(checked)
    quietly.__wrapped__ = formula
    return quietly


def in_double(formula: Formula) -> Formula:
    """Single precision goes through double, where none of its ratios over- or underflows, and no digit is lost."""

    @functools.wraps(formula)
    def computed(*arrays: Array) -> Array:
        if not is_single(arrays[0]):
            return formula(*arrays)
        return formula(*(to_double(array) for array in arrays)).to(arrays[0].dtype)

    return computed


@of_parameters
def normal(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""(r - 1 - log r) + (r - 1)^2 / 2 + g^2 / 2, with r = sigma_q / sigma_p and g = (mu_q - mu_p) / sigma_p.

    The textbook's log(sigma_p/sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2 in another order. Single
    precision takes the textbook's own order, in double, which has digits to spare: half the operations of the series.
    """
    standardized_gap = (loc_q - loc_p) / scale_p
    if is_single(scale_q):
        ratio = to_double(scale_q) / scale_p
        scales = 0.5 * (ratio * ratio - 1.0) - namespace(ratio).log(ratio)
        return namespace(ratio).addcmul(scales.to(scale_q.dtype), standardized_gap, standardized_gap, value=0.5)
    growth = (scale_q - scale_p) / scale_p  # r - 1
    return _gaussians(growth, log_ratio(scale_q, scale_p), standardized_gap)


def _gaussians(growth: Array, log_r: Array, standardized_gap: Array) -> Array:
    return log_excess(growth, log_r) + 0.5 * (growth * growth + standardized_gap * standardized_gap)


@of_parameters
def multivariate_normal(
    loc_q: Array, covariance_q: Array, factor_q: Array, loc_p: Array, covariance_p: Array, factor_p: Array
) -> Array:
    r"""1/2 [tr(S_p^-1 S_q) - d - log det(S_p^-1 S_q)] + 1/2 |L_p^-1 (mu_q - mu_p)|^2, with covariances S = L L^T.

    With the lower-triangular L_p^-1 L_q = I + E and r_i = 1 + E_ii, the bracket is |E|^2 + 2 sum_i (r_i - 1 - log r_i).
    """
    _require_square(covariance_q, factor_q, covariance_p, factor_p)
    _checks.event_size("loc_q", loc_q, factor_q.shape[-1])
    _checks.event_size("loc_p", loc_p, factor_q.shape[-1])
    change = _relative_change(covariance_q, factor_q, covariance_p, factor_p)  # E
    log_r = log_ratio(diagonal(factor_q), diagonal(factor_p))
    excess = log_excess(diagonal(change), log_r).sum(-1)
    standardized_gap = solve_lower_vector(factor_p, loc_q - loc_p)
    return excess + 0.5 * ((change**2).sum(-1).sum(-1) + (standardized_gap**2).sum(-1))


def _require_square(*matrices: Array) -> None:
    shapes = [tuple(matrix.shape) for matrix in matrices]
    if any(len(shape) < 2 or shape[-2:] != shapes[0][-1:] * 2 for shape in shapes):
        raise ValueError(f"Expected covariances and factors of shape (..., d, d) with one d, but got {shapes}.")


def _relative_change(covariance_q: Array, factor_q: Array, covariance_p: Array, factor_p: Array) -> Array:
    """E = L_p^-1 L_q - I, lower triangular.

    From the factors, E has an absolute error of rounding. Where q is near p that is much of E itself. There
    M = L_p^-1 (S_q - S_p) L_p^-T = E + E^T + E E^T has all its digits, and one step, E <- lower half of M - E E^T,
    gives them to E.
    """
    change = solve_lower(factor_p, factor_q - factor_p)
    near = (abs(change) < 0.005).all(-1).all(-1)[..., None, None]
    left = solve_lower(factor_p, where(near, covariance_q - covariance_p, 0.0))
    symmetric = solve_lower(factor_p, transpose(left))  # M
    small = where(near, change, 0.0)
    remainder = symmetric - small @ transpose(small)
    lower_half = namespace(change).tril(remainder)
    lower_half = lower_half - 0.5 * namespace(change).triu(lower_half)
    return where(near, lower_half, change)


@of_parameters
def bernoulli(logits_q: Array, logits_p: Array) -> Array:
    r"""s log(s/t) + (1 - s) log((1 - s)/(1 - t)), with s = sigmoid(logits_q), t = sigmoid(logits_p).

    0 log 0 = 0, and infinite where p is certain of what q is not. Near p = q it is log E_q[e^c] for the centered change
    of the log-odds, c = (1 - s) d or -s d with d = logits_p - logits_q, whose E_q[c] is 0.
    """
    xp = namespace(logits_q)
    certain = xp.isinf(logits_p)
    if_certain = where(logits_q == logits_p, xp.zeros_like(logits_p), INFINITY)
    logits_q, logits_p = where(certain, 0.0, logits_q), where(certain, 0.0, logits_p)
    s, complement = special(logits_q).expit(logits_q), special(logits_q).expit(-logits_q)

    near = abs(logits_p - logits_q) < 1.0
    d = where(near, logits_p - logits_q, 0.0)
    close = xp.log1p(s * exp_excess(complement * d) + complement * exp_excess(-s * d))
    log_ratio_of_one = log_sigmoid(logits_q) - log_sigmoid(logits_p)  # log(s / t)
    log_ratio_of_zero = log_sigmoid(-logits_q) - log_sigmoid(-logits_p)
    far = weighted(s, log_ratio_of_one) + weighted(complement, log_ratio_of_zero)
    return where(certain, if_certain, where(near, close, far))


@of_parameters
def categorical(logits_q: Array, logits_p: Array) -> Array:
    r"""sum_i q_i log(q_i / p_i), with 0 log 0 = 0; infinite where p excludes (logit -inf) what q does not.

    Near p = q it is log E_q[e^c] for the centered change of the logits, c = d - E_q[d] with d = logits_p - logits_q,
    less the logarithm of the mass that p gives to what q allows.
    """
    xp = namespace(logits_q)
    _checks.last_axis("logits_q", logits_q, "the categories")
    _checks.event_size("logits_p", logits_p, logits_q.shape[-1])
    allowed, excluded = logits_q > -INFINITY, logits_p == -INFINITY
    impossible = (allowed & excluded).any(-1)
    logits_p = where(allowed & excluded, 0.0, logits_p)  # any number: such a row is infinite in the end
    log_q, log_p = log_normalize(logits_q), log_normalize(logits_p)
    q = xp.exp(log_q)
    log_ratio = where(allowed, log_q, 0.0) - where(allowed, log_p, 0.0)
    far = (q * log_ratio).sum(-1)

    near = far < 1.0
    in_reach = allowed & near[..., None]
    d = where(in_reach, logits_p, 0.0) - where(in_reach, logits_q, 0.0)
    c = d - (q * d).sum(-1)[..., None]
    large = abs(c) > 0.5
    # for large c in one exponential: e^c alone may overflow where q is tiny
    outlier = xp.exp(where(large & in_reach, log_q + c, 0.0)) - q * (1.0 + c)
    moment = where(large, outlier, q * exp_excess(where(large, 0.0, c)))
    mass_elsewhere = where(allowed | ~near[..., None], 0.0, xp.exp(log_p)).sum(-1)
    close = xp.log1p(where(in_reach, moment, 0.0).sum(-1)) - xp.log1p(-mass_elsewhere)
    return where(impossible, INFINITY, where(near, close, far))


@of_parameters
def of_probabilities(q: Array, p: Array, log_q: Array, log_p: Array) -> Array:
    r"""q log(q/p) + p - q >= 0, elementwise: summed over all values, KL(q || p), since q and p sum to one.

    For probabilities that are known as such, zeros among them: 0 log 0 = 0, and infinite where p excludes what q does
    not. The slope in q is log(q/p); where q or p is 0, that of the nearest positive float in its place.
    """
    near = abs(p - q) < 0.5 * q
    growth = where(near, p - q, 0.0) / where(near, q, 1.0)
    close = q * log_excess(growth, namespace(q).log1p(growth))
    slope = finite_log(log_q) - finite_log(log_p)
    far = weighted(q, finite_log(log_q) - log_p, slope) + (p - q)
    return where(near, close, far)


@of_parameters
@in_double
def laplace(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""(r - 1 - log r) + r (e^-t - 1 + t), with r = b_q / b_p and t = |mu_q - mu_p| / b_q.

    For t > 0.1 the last term is |mu_q - mu_p| / b_p + r (e^-t - 1), which neither a large t nor a small r harms.
    """
    gap, ratio = abs(loc_q - loc_p), scale_q / scale_p
    in_range = (ratio > 0.0) & (ratio < INFINITY)  # beyond it the rest alone is what counts
    r = where(in_range, where(in_range, scale_q, 0.0) / where(in_range, scale_p, 1.0), 0.0)
    near, moderate = gap < 0.1 * scale_q, gap < 1e3 * scale_q
    t = where(moderate, gap, 0.0) / where(moderate, scale_q, 1.0)
    series = exp_excess(where(near, -t, 0.0))
    decay = where(moderate, namespace(t).expm1(-t), -1.0)
    kinked = where(near, r * series, gap / scale_p + r * decay)
    return log_excess((scale_q - scale_p) / scale_p, log_ratio(scale_q, scale_p)) + kinked


@of_parameters
@in_double
def exponential(rate_q: Array, rate_p: Array) -> Array:
    r"""r - 1 - log r, with r = rate_p / rate_q, the ratio of the means."""
    return log_excess((rate_p - rate_q) / rate_q, log_ratio(rate_p, rate_q))


@of_parameters
@in_double
def gamma(concentration_q: Array, rate_q: Array, concentration_p: Array, rate_p: Array) -> Array:
    r"""a_p (r - 1 - log r) + KL(Gamma(a_q, a_q) || Gamma(a_p, a_p)), with r the ratio of the means.

    The textbook's (a_q - a_p) psi(a_q) - log Gamma(a_q) + log Gamma(a_p) + a_p log(b_q/b_p) + a_q (b_p - b_q)/b_q,
    split into what the means and what the concentrations contribute.
    """
    means = _gamma_means(concentration_q, rate_q, concentration_p, rate_p)
    return means + _gamma_of_mean_one(concentration_q, concentration_p)


def _gamma_means(concentration_q: Array, rate_q: Array, concentration_p: Array, rate_p: Array) -> Array:
    change_of_concentration = (concentration_q - concentration_p) / concentration_p
    change_of_rate = (rate_p - rate_q) / rate_q
    small_changes = change_of_concentration + (1.0 + change_of_concentration) * change_of_rate
    log_r = log_product_of_ratios(concentration_q, concentration_p, rate_p, rate_q)
    xp, large = namespace(log_r), log_r > LARGE_LOG
    growth = where(abs(change_of_concentration) < 0.5, small_changes, xp.expm1(where(large, 0.0, log_r)))
    excess = log_excess(where(large, 0.0, growth), where(large, 0.0, log_r))
    beyond = xp.exp(where(large, log_r + xp.log(concentration_p), 0.0)) - concentration_p * (1.0 + log_r)
    return where(large, beyond, concentration_p * excess)


@of_parameters
@in_double
def gamma_means(concentration_q: Array, rate_q: Array, concentration_p: Array, rate_p: Array) -> Array:
    r"""a_p (r - 1 - log r), with r = (a_q / b_q) / (a_p / b_p): what the means of two Gammas contribute to their KL."""
    return _gamma_means(concentration_q, rate_q, concentration_p, rate_p)


def _gamma_of_mean_one(a_q: Array, a_p: Array, shift: int = 10) -> Array:
    r"""KL(Gamma(a_q, a_q) || Gamma(a_p, a_p)).

    It is F(a_p) - F(a_q) - F'(a_q) (a_p - a_q) for the convex F(a) = log Gamma(a) - a log a + a. With
    Gamma(a) = Gamma(a + n) / (a (a + 1) ... (a + n - 1)) and Stirling's series at x = a + n, every term is the distance
    of a logarithm or of a power of x from its tangent at a_q.
    """
    change = a_p - a_q
    x_q, x_p = a_q + shift, a_p + shift
    growth = change / x_q
    total = (0.5 - shift) * log_excess(growth, log_ratio(x_p, x_q))
    total = total - a_p * log_excess(-shift * growth / a_p, log_product_of_ratios(x_p, x_q, a_q, a_p))
    k = positions(shift, like=a_q)
    steps_q, steps_p = a_q[..., None] + k, a_p[..., None] + k  # (..., n)
    total = total + log_excess(change[..., None] / steps_q, log_ratio(steps_p, steps_q)).sum(-1)
    return total + growth * (growth * _stirling_curvature(1.0 / x_q, 1.0 / x_p))


def _stirling_curvature(w: Array, u: Array) -> Array:
    """[mu(x_p) - mu(x_q) - mu'(x_q) (x_p - x_q)] / (x_p / x_q - 1)^2 for Stirling's mu, w = 1 / x_q, u = 1 / x_p.

    For the power x^-m the quotient is sum_{j<m} (m - j) u^(j+1) w^(m-1-j), built up here from m to m + 1.
    """
    power = plain = weighted_sum = u
    total = STIRLING[1] * weighted_sum
    for m in range(2, max(STIRLING) + 1):
        power = power * u
        plain = plain * w + power
        weighted_sum = weighted_sum * w + plain
        total = total + STIRLING.get(m, 0.0) * weighted_sum
    return total


# Against another family: what no parameter of p can remove, and the distance of q's moments from those of the best p.


@of_parameters
@in_double
def laplace_normal(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""(log pi - 1)/2, the KL to the Gaussian of equal mean and variance, + the KL from that Gaussian to p."""
    deviation = math.sqrt(2.0) * scale_q
    to_p = _gaussians((deviation - scale_p) / scale_p, log_ratio(deviation, scale_p), (loc_q - loc_p) / scale_p)
    return 0.5 * (math.log(math.pi) - 1.0) + to_p


@of_parameters
@in_double
def gamma_normal(concentration: Array, rate: Array, loc: Array, scale: Array) -> Array:
    r"""The KL to the Gaussian of equal mean and variance, about 1 / (3 a), + the KL from that Gaussian to p."""
    xp = namespace(rate)
    root = xp.sqrt(concentration)
    log_r = log_product_of_ratios(root, rate, xp.ones_like(scale), scale)
    to_p = _gaussians((root / rate - scale) / scale, log_r, (concentration / rate - loc) / scale)
    return _gamma_non_normality(concentration) + to_p


def _gamma_non_normality(a: Array) -> Array:
    r"""1/2 - (a - 1) (log a - psi(a)) - (Stirling's remainder at a); its series where a > 10."""
    large = a > 10.0
    x, y = where(large, a, 10.0), where(large, 10.0, a)
    slope = odd_series((m * c for m, c in STIRLING.items()), x)
    series = (0.5 + slope) / x - slope - odd_series(STIRLING.values(), x)
    return where(large, series, 0.5 - (y - 1.0) * log_minus_digamma(y) - stirling_remainder(y))


@of_parameters
@in_double
def normal_laplace(distance: Array, scale_q: Array, scale_p: Array) -> Array:
    r"""log(2/pi) + 1/2 + log(D / (sigma_q sqrt(2/pi))) + (r - 1 - log r), with D = E_q|x - mu_p| and r = D / b_p.

    The logarithm of D is >= 0, since the mean distance is least from q's own mean.
    """
    floor = math.log(2.0 / math.pi) + 0.5
    off_center = log_ratio(distance, math.sqrt(2.0 / math.pi) * scale_q)
    return floor + off_center + log_excess((distance - scale_p) / scale_p, log_ratio(distance, scale_p))
