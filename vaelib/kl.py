"""Closed forms of KL(q || p) on parameters, each a sum of terms that are >= 0 and keep their digits as q nears p.

The functions take arrays (NumPy or torch, of one kind) and return nats. `vaelib.distributions.kl_divergence` is the
door for distributions.
"""

from __future__ import annotations

from typing import Any

from vaelib._arrays import diagonal, namespace, solve_lower, transpose, where
from vaelib._special import _STIRLING, exp_excess, log_excess, log_normalize, softplus, weighted
from vaelib._arrays import special

Array = Any


def normal(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""1/2 (r^2 - 1 - log r^2) + 1/2 ((mu_q - mu_p) / sigma_p)^2, with r = sigma_q / sigma_p.

    It is log(sigma_p/sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2, arranged so that nothing cancels.
    """
    growth = (scale_q - scale_p) / scale_p  # r - 1
    standardized_gap = (loc_q - loc_p) / scale_p
    log_ratio = namespace(scale_q).log(scale_q / scale_p)
    return 0.5 * log_excess(growth * (growth + 2.0), 2.0 * log_ratio) + 0.5 * standardized_gap**2


def multivariate_normal(
    loc_q: Array, factor_q: Array, covariance_q: Array, loc_p: Array, factor_p: Array, covariance_p: Array
) -> Array:
    r"""1/2 [tr(S_p^-1 S_q) - d - log det(S_p^-1 S_q)] + 1/2 |L_p^-1 (mu_q - mu_p)|^2, with S = L L^T.

    With I + E = L_p^-1 L_q, lower triangular, the bracket is a sum of squares and of excesses:
    sum_i ((1 + E_ii)^2 - 1 - log (1 + E_ii)^2) + sum_{i>j} E_ij^2.
    """
    xp = namespace(loc_q, factor_q)
    change = solve_lower(factor_p, factor_q - factor_p)  # E, with an absolute error of eps
    # Where q is near p, E is refined from M = L_p^-1 (S_q - S_p) L_p^-T = E + E^T + E E^T, which has all its digits.
    half = solve_lower(factor_p, covariance_q - covariance_p)
    relative_change = solve_lower(factor_p, transpose(half))
    near = abs(relative_change).max(-1).max(-1) if xp.__name__ == "numpy" else abs(relative_change).amax((-1, -2))
    near = (near < 0.01)[..., None, None]
    small = where(near, change, 0.0)
    symmetric = where(near, relative_change, 0.0) - small @ transpose(small)
    lower = xp.tril(symmetric) - 0.5 * xp.tril(xp.triu(symmetric))
    change = where(near, lower, change)

    growth = diagonal(change)
    log_ratio = xp.log(diagonal(factor_q) / diagonal(factor_p))
    below = xp.tril(change, -1)
    gap = solve_lower(factor_p, (loc_q - loc_p)[..., None])[..., 0]
    excess = log_excess(growth * (growth + 2.0), 2.0 * log_ratio).sum(-1)
    return 0.5 * (excess + (below**2).sum(-1).sum(-1) + (gap**2).sum(-1))


def bernoulli(logits_q: Array, logits_p: Array) -> Array:
    r"""s log(s/t) + (1 - s) log((1 - s)/(1 - t)), with s = sigmoid(logits_q), t = sigmoid(logits_p), 0 log 0 = 0."""
    one, zero = special(logits_q).expit(logits_q), special(logits_q).expit(-logits_q)
    log_ratio_one = softplus(-logits_p) - softplus(-logits_q)  # log(s / t)
    log_ratio_zero = softplus(logits_p) - softplus(logits_q)
    xp = namespace(logits_q)
    impossible = xp.isinf(logits_p) & (logits_q != logits_p)
    inside = xp.isfinite(logits_q) & xp.isfinite(logits_p)
    far = weighted(one, where(inside | (one > 0), log_ratio_one, 0.0)) + weighted(zero, log_ratio_zero)
    near = inside & (far < 1.0)
    # log E_q[e^d] - E_q[d] for the change d of the log odds: centered, it keeps all its digits
    d = where(near, logits_p, 0.0) - where(near, logits_q, 0.0)
    d = where(abs(d) < 1.0, d, 0.0)
    near = near & (abs(logits_p - logits_q) < 1.0)
    close = xp.log1p(one * exp_excess(zero * d) + zero * exp_excess(-one * d))
    return where(impossible, float("inf"), where(near, close, far))


def categorical(logits_q: Array, logits_p: Array) -> Array:
    r"""sum_i q_i log(q_i / p_i), with 0 log 0 = 0; infinite where some q_i > 0 has p_i = 0."""
    xp = namespace(logits_q)
    log_q, log_p = log_normalize(logits_q), log_normalize(logits_p)
    q = xp.exp(log_q)
    possible = log_q > -float("inf")
    impossible = (possible & (log_p == -float("inf"))).any(-1)
    safe_p = where(possible & (log_p > -float("inf")), log_p, 0.0)
    safe_q = where(possible & (log_p > -float("inf")), log_q, 0.0)
    far = (q * (safe_q - safe_p)).sum(-1)
    return where(impossible, float("inf"), where(far > 0, far, 0.0 * far))


def laplace(loc_q: Array, scale_q: Array, loc_p: Array, scale_p: Array) -> Array:
    r"""(r - 1 - log r) + r (e^-t - 1 + t), with r = b_q / b_p and t = |mu_q - mu_p| / b_q."""
    ratio = scale_q / scale_p
    distance = abs(loc_q - loc_p) / scale_q
    excess = log_excess((scale_q - scale_p) / scale_p, namespace(ratio).log(ratio))
    return excess + ratio * exp_excess(-distance)


def exponential(rate_q: Array, rate_p: Array) -> Array:
    r"""r - 1 - log r, with r = rate_p / rate_q, the ratio of the means."""
    return log_excess((rate_p - rate_q) / rate_q, namespace(rate_q).log(rate_p / rate_q))


def gamma(concentration_q: Array, rate_q: Array, concentration_p: Array, rate_p: Array) -> Array:
    r"""KL at equal means, for the concentrations alone, + a_p (r - 1 - log r) for the ratio r of the means."""
    a_q, a_p = concentration_q, concentration_p
    growth = (a_q - a_p) / a_p + a_q / a_p * ((rate_p - rate_q) / rate_q)
    log_ratio = namespace(a_q).log(a_q / a_p * (rate_p / rate_q))
    return _gamma_shape(a_q, a_p) + a_p * log_excess(growth, log_ratio)


def _gamma_shape(a_q: Array, a_p: Array) -> Array:
    r"""KL(Gamma(a_q, a_q) || Gamma(a_p, a_p)): both have mean 1.

    It is the Bregman divergence of F(a) = log Gamma(a) - a log a + a. With Gamma(a) = Gamma(a + n) / (a (a+1) ... (a+n-1))
    and Stirling's series at x = a + n it becomes a sum of excesses.
    """
    n = 10
    x_q, x_p = a_q + n, a_p + n
    change = a_p - a_q
    log = namespace(a_q).log
    h = change / x_q
    s = x_q / x_p
    total = (0.5 - n) * log_excess(h, log(x_p / x_q))
    for k in range(n):
        total = total + log_excess(change / (a_q + k), log((a_p + k) / (a_q + k)))
    g = -n * change / (x_q * a_p)
    total = total - a_p * log_excess(g, log(x_p / x_q * (a_q / a_p)))
    for i, coefficient in enumerate(_STIRLING):
        m = 2 * i + 1
        polynomial = sum((m - j) * s**j for j in range(m))  # ((1 + h)^-m - 1 + m h) / (h^2 s)
        total = total + coefficient * x_q ** (-m) * h * h * s * polynomial
    return total
