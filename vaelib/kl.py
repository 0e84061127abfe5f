"""Closed forms of KL(q || p), in nats, as functions of the parameters (NumPy or torch arrays of one kind).

Each is arranged so that it keeps its digits as q nears p, where the textbook form is a small difference of large
numbers: as a sum of terms that are >= 0, or, for Gaussians in single precision, by taking the difference in double.
Two building blocks recur: r - 1 - log r (`log_excess`) and e^x - 1 - x (`exp_excess`), the distances of the logarithm
and of the exponential from their tangents.

For distributions, `vaelib.kl_divergence(q, p)` is the door.
"""

from __future__ import annotations

import math

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
from vaelib._special import (
    STIRLING,
    exp_excess,
    log_excess,
    log_minus_digamma,
    log_normalize,
    log_sigmoid,
    odd_series,
    stirling_remainder,
    weighted,
)

INFINITY = float("inf")


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
    log_ratio = namespace(scale_q).log(scale_q / scale_p)  # log r
    return log_excess(growth, log_ratio) + 0.5 * (growth * growth + standardized_gap * standardized_gap)


def multivariate_normal(
    loc_q: Array, covariance_q: Array, factor_q: Array, loc_p: Array, covariance_p: Array, factor_p: Array
) -> Array:
    r"""1/2 [tr(S_p^-1 S_q) - d - log det(S_p^-1 S_q)] + 1/2 |L_p^-1 (mu_q - mu_p)|^2, with covariances S = L L^T.

    With the lower-triangular L_p^-1 L_q = I + E and r_i = 1 + E_ii, the bracket is |E|^2 + 2 sum_i (r_i - 1 - log r_i).
    """
    change = _relative_change(covariance_q, factor_q, covariance_p, factor_p)  # E
    log_ratio = namespace(factor_q).log(diagonal(factor_q) / diagonal(factor_p))
    excess = log_excess(diagonal(change), log_ratio).sum(-1)
    standardized_gap = solve_lower_vector(factor_p, loc_q - loc_p)
    return excess + 0.5 * ((change**2).sum(-1).sum(-1) + (standardized_gap**2).sum(-1))


def _relative_change(covariance_q: Array, factor_q: Array, covariance_p: Array, factor_p: Array) -> Array:
    """E = L_p^-1 L_q - I, lower triangular.

    From the factors, E has an absolute error of rounding. Where q is near p that is much of E itself. There
    M = L_p^-1 (S_q - S_p) L_p^-T = E + E^T + E E^T has all its digits, and one step, E <- lower half of M - E E^T,
    gives them to E.
    """
    change = solve_lower(factor_p, factor_q - factor_p)
    left = solve_lower(factor_p, covariance_q - covariance_p)
    symmetric = solve_lower(factor_p, transpose(left))  # M
    near = (abs(symmetric) < 0.01).all(-1).all(-1)[..., None, None]
    small = where(near, change, 0.0)
    remainder = where(near, symmetric, 0.0) - small @ transpose(small)
    lower_half = namespace(change).tril(remainder)
    lower_half = lower_half - 0.5 * namespace(change).triu(lower_half)
    return where(near, lower_half, change)


def bernoulli(logits_q: Array, logits_p: Array) -> Array:
    r"""s log(s/t) + (1 - s) log((1 - s)/(1 - t)), with s = sigmoid(logits_q), t = sigmoid(logits_p).

    0 log 0 = 0, and infinite where p is certain of what q is not. Near p = q it is log E_q[e^c] for the centered change
    of the log-odds, c = (1 - s) d or -s d with d = logits_p - logits_q, whose E_q[c] is 0.
    """
    xp = namespace(logits_q)
    certain = xp.isinf(logits_p)
    if_certain = where(logits_q == logits_p, 0.0, INFINITY)
    logits_q, logits_p = where(certain, 0.0, logits_q), where(certain, 0.0, logits_p)
    s, complement = special(logits_q).expit(logits_q), special(logits_q).expit(-logits_q)

    near = abs(logits_p - logits_q) < 1.0
    d = where(near, logits_p - logits_q, 0.0)
    close = xp.log1p(s * exp_excess(complement * d) + complement * exp_excess(-s * d))
    log_ratio_of_one = log_sigmoid(logits_q) - log_sigmoid(logits_p)  # log(s / t)
    log_ratio_of_zero = log_sigmoid(-logits_q) - log_sigmoid(-logits_p)
    far = weighted(s, log_ratio_of_one) + weighted(complement, log_ratio_of_zero)
    return where(certain, if_certain, where(near, close, far))


def categorical(logits_q: Array, logits_p: Array) -> Array:
    r"""sum_i q_i log(q_i / p_i), with 0 log 0 = 0; infinite where p excludes (logit -inf) what q does not.

    Near p = q it is log E_q[e^c] for the centered change of the logits, c = d - E_q[d] with d = logits_p - logits_q,
    less the logarithm of the mass that p gives to what q allows.
    """
    xp = namespace(logits_q)
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


def laplace(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""(r - 1 - log r) + r (e^-t - 1 + t), with r = b_q / b_p and t = |mu_q - mu_p| / b_q."""
    ratio = scale_q / scale_p
    distance = abs(loc_q - loc_p) / scale_q
    return log_excess((scale_q - scale_p) / scale_p, namespace(ratio).log(ratio)) + ratio * exp_excess(-distance)


def exponential(rate_q: Array, rate_p: Array) -> Array:
    r"""r - 1 - log r, with r = rate_p / rate_q, the ratio of the means."""
    return log_excess((rate_p - rate_q) / rate_q, namespace(rate_q).log(rate_p / rate_q))


def gamma(concentration_q: Array, rate_q: Array, concentration_p: Array, rate_p: Array) -> Array:
    r"""a_p (r - 1 - log r) + KL(Gamma(a_q, a_q) || Gamma(a_p, a_p)), with r the ratio of the means.

    The textbook's (a_q - a_p) psi(a_q) - log Gamma(a_q) + log Gamma(a_p) + a_p log(b_q/b_p) + a_q (b_p - b_q)/b_q,
    split into what the means and what the concentrations contribute.
    """
    means = gamma_means(concentration_q, rate_q, concentration_p, rate_p)
    return concentration_p * means + _gamma_of_mean_one(concentration_q, concentration_p)


def gamma_means(concentration_q: Array, rate_q: Array, concentration_p: Array, rate_p: Array) -> Array:
    r"""r - 1 - log r, with r = (a_q / b_q) / (a_p / b_p), the ratio of the means of two Gammas."""
    ratio = concentration_q / concentration_p * (rate_p / rate_q)
    change_of_concentration = (concentration_q - concentration_p) / concentration_p
    change_of_rate = (rate_p - rate_q) / rate_q
    small_changes = change_of_concentration + (1.0 + change_of_concentration) * change_of_rate
    growth = where(abs(change_of_concentration) < 0.5, small_changes, ratio - 1.0)
    return log_excess(growth, namespace(ratio).log(ratio))


def _gamma_of_mean_one(a_q: Array, a_p: Array, shift: int = 10) -> Array:
    r"""KL(Gamma(a_q, a_q) || Gamma(a_p, a_p)).

    It is F(a_p) - F(a_q) - F'(a_q) (a_p - a_q) for the convex F(a) = log Gamma(a) - a log a + a. With
    Gamma(a) = Gamma(a + n) / (a (a + 1) ... (a + n - 1)) and Stirling's series at x = a + n, every term is the distance
    of a logarithm or of a power of x from its tangent at a_q.
    """
    log, change = namespace(a_q).log, a_p - a_q
    x_q, x_p = a_q + shift, a_p + shift
    growth = change / x_q
    total = (0.5 - shift) * log_excess(growth, log(x_p / x_q))
    total = total - a_p * log_excess(-shift * growth / a_p, log(x_p / x_q * (a_q / a_p)))
    k = positions(shift, like=a_q)
    steps_q, steps_p = a_q[..., None] + k, a_p[..., None] + k  # (..., n)
    total = total + log_excess(change[..., None] / steps_q, log(steps_p / steps_q)).sum(-1)
    return total + growth**2 * _stirling_curvature(1.0 / x_q, 1.0 / x_p)


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


def laplace_normal(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""(log pi - 1)/2, the KL to the Gaussian of equal mean and variance, + the KL from that Gaussian to p."""
    return 0.5 * (math.log(math.pi) - 1.0) + normal(loc_q, math.sqrt(2.0) * scale_q, loc_p, scale_p)


def gamma_normal(concentration: Array, rate: Array, loc: Array, scale: Array) -> Array:
    r"""The KL to the Gaussian of equal mean and variance, about 1 / (3 a), + the KL from that Gaussian to p."""
    deviation = namespace(rate).sqrt(concentration) / rate
    return _gamma_non_normality(concentration) + normal(concentration / rate, deviation, loc, scale)


def _gamma_non_normality(a: Array) -> Array:
    r"""1/2 - (a - 1) (log a - psi(a)) - (Stirling's remainder at a); its series where a > 10."""
    large = a > 10.0
    x, y = where(large, a, 10.0), where(large, 10.0, a)
    slope = odd_series((m * c for m, c in STIRLING.items()), x)
    series = (0.5 + slope) / x - slope - odd_series(STIRLING.values(), x)
    return where(large, series, 0.5 - (y - 1.0) * log_minus_digamma(y) - stirling_remainder(y))


def normal_laplace(distance: Array, scale_q: Array, scale_p: Array) -> Array:
    r"""log(2/pi) + 1/2 + log(D / (sigma_q sqrt(2/pi))) + (r - 1 - log r), with D = E_q|x - mu_p| and r = D / b_p.

    The logarithm of D is >= 0, since the mean distance is least from q's own mean.
    """
    log = namespace(scale_q).log
    floor = math.log(2.0 / math.pi) + 0.5
    off_center = log(distance / (math.sqrt(2.0 / math.pi) * scale_q))
    return floor + off_center + log_excess((distance - scale_p) / scale_p, log(distance / scale_p))
