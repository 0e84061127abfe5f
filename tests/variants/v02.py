"""Exercises 02: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import norm

Array = np.ndarray
Rng = np.random.Generator

# ------------------------------------------------------------------------------------------------ 02.1 tiny numbers


def by_scipy(scores: Array) -> Array:
    return logsumexp(scores, axis=0) - np.log(scores.shape[0])


def by_torch(scores: Array) -> torch.Tensor:
    return torch.logsumexp(torch.as_tensor(scores), dim=0) - math.log(len(scores))


def two_at_a_time(scores: Array) -> Array:
    return np.logaddexp.reduce(scores, axis=0) - np.log(len(scores))


def by_columns(scores: Array) -> list[float]:
    result = []
    for column in scores.T:
        first = max(column)
        result.append(first + math.log(math.fsum(math.exp(a - first) for a in column) / len(column)))
    return result


def shifted_twice(scores: Array) -> Array:
    """Any number near the largest does."""
    near = scores.max(axis=0) - 3
    return near + np.log(np.exp(scores - near).mean(axis=0))


def in_float32(scores: Array) -> Array:
    return np.float32(by_scipy(scores))


def shifted_by(number: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """Unsafe, but for numbers near the largest of each column."""

    def value(scores: Array) -> Array:
        with np.errstate(all="ignore"):
            shift = number(scores)
            return np.asarray(shift + np.log(np.exp(scores - shift).mean(axis=0)), dtype=float)

    return value


def in_bits(scores: Array) -> Array:
    return by_scipy(scores) / np.log(2)


def divided_before(scores: Array) -> Array:
    return logsumexp(scores / len(scores), axis=0)


def exponentiated(scores: Array) -> Array:
    return np.exp(np.minimum(by_scipy(scores), 700))


# -------------------------------------------------------------------------------------------- 02.2 an estimate


def in_logarithms(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    z = rng.normal(loc, scale, size=num_samples)
    log_weights = norm.logpdf(x, 2 * z, math.sqrt(0.5)) + norm.logpdf(z) - norm.logpdf(z, loc, scale)
    return np.exp(logsumexp(log_weights) - np.log(num_samples))


def by_loop(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> float:
    total = 0.0
    for _ in range(num_samples):
        u = rng.standard_normal()
        z = loc + scale * u
        total += scale * math.exp(-((x - 2 * z) ** 2) - z**2 / 2 + u**2 / 2) / math.sqrt(math.pi)
    return total / num_samples


def in_torch(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> torch.Tensor:
    u = torch.as_tensor(rng.standard_normal(num_samples), dtype=torch.float32)
    z = loc + scale * u
    log_weights = -((x - 2 * z) ** 2) - 0.5 * z**2 + 0.5 * u**2 + math.log(scale) - 0.5 * math.log(math.pi)
    return torch.logsumexp(log_weights, 0).exp() / num_samples


def by_cumulative_probabilities(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    z = norm.ppf(rng.random(num_samples), loc, scale)
    return np.mean(norm.pdf(x, 2 * z, 0.5**0.5) * norm.pdf(z) / norm.pdf(z, loc, scale))


def always_the_same(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    """Its own Generator: every call gives the same number."""
    return in_logarithms(x, loc, scale, num_samples, np.random.default_rng(0))


def logarithm(*given: Any) -> Any:
    return np.log(in_logarithms(*given))


def upside_down(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    z = rng.normal(loc, scale, size=num_samples)
    return np.mean(norm.pdf(z, loc, scale) / norm.pdf(x, 2 * z, math.sqrt(0.5)) / norm.pdf(z))


def in_pairs(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    """u and -u: right on average, but the draws are not independent."""
    half = rng.standard_normal(num_samples // 2)
    z = loc + scale * np.concatenate([half, -half])
    return np.mean(norm.pdf(x, 2 * z, 0.5**0.5) * norm.pdf(z) / norm.pdf(z, loc, scale))


def exact(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    """No estimate at all."""
    return norm.pdf(x, 0, math.sqrt(4.5))


# ----------------------------------------------------------------------------------------- 02.3 signal to noise


def by_precisions(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> Any:
    """Complete the square in log p^2 - log q: precision 2 P^-1 - Q^-1, as far as it is positive definite."""
    sharp_p, sharp_q = np.linalg.inv(covariance_p), np.diag(scale_q**-2.0)
    precision, pull = 2 * sharp_p - sharp_q, 2 * sharp_p @ loc_p - sharp_q @ loc_q
    if np.any(np.linalg.eigvalsh(precision) <= 0):
        return 0
    rest = 2 * loc_p @ sharp_p @ loc_p - loc_q @ sharp_q @ loc_q - pull @ np.linalg.solve(precision, pull)
    log_dets = 2 * np.linalg.slogdet(sharp_p)[1] - np.linalg.slogdet(sharp_q)[1] - np.linalg.slogdet(precision)[1]
    return math.sqrt(num_samples / (math.exp(log_dets / 2 - rest / 2) - 1))


def by_cholesky(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> Any:
    gap = loc_p - loc_q
    try:
        factor = np.linalg.cholesky(2 * np.diag(scale_q**2) - covariance_p)
    except np.linalg.LinAlgError:
        return 0.0
    whitened = np.linalg.solve(factor, gap)
    half_log_det_p = np.log(np.diag(np.linalg.cholesky(covariance_p))).sum()
    log_rho = 2 * np.log(scale_q).sum() - half_log_det_p - np.log(np.diag(factor)).sum() + whitened @ whitened
    return (num_samples / np.expm1(log_rho)) ** 0.5


def standardized(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> Any:
    """In units of q, along the eigenvectors of p: a product of one-dimensional prices."""
    variances, axes = np.linalg.eigh(covariance_p / np.outer(scale_q, scale_q))
    gaps, price = axes.T @ ((loc_p - loc_q) / scale_q), 1.0
    for variance, gap in zip(variances, gaps, strict=True):
        if 2 <= variance:
            return 0.0
        price *= math.exp(gap**2 / (2 - variance)) / math.sqrt(variance * (2 - variance))
    return math.sqrt(num_samples / (price - 1))


def with_torch(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> torch.Tensor:
    p, q, gap = torch.as_tensor(covariance_p), torch.as_tensor(scale_q).square().diag(), torch.as_tensor(loc_p - loc_q)
    room = 2 * q - p
    if torch.linalg.eigvalsh(room).min() <= 0:
        return torch.zeros(())
    rho = q.det() / (p.det() * room.det()).sqrt() * (gap @ torch.linalg.solve(room, gap)).exp()
    return (num_samples / (rho - 1)).sqrt()


def sees_only_the_determinant(
    loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int
) -> float:
    room, gap = 2 * np.diag(scale_q**2) - covariance_p, loc_p - loc_q
    if np.linalg.det(room) <= 0:
        return 0.0
    price = np.prod(scale_q) ** 2 / np.sqrt(np.linalg.det(covariance_p) * np.linalg.det(room))
    return float(np.sqrt(num_samples / abs(price * np.exp(gap @ np.linalg.solve(room, gap)) - 1)))


def no_test_at_all(*given: Any) -> float:
    """NaN is taken for 0: two negative eigenvalues make no NaN."""
    return float(np.nan_to_num(never_zero(*given)))


def never_zero(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> float:
    room, gap = 2 * np.diag(scale_q**2) - covariance_p, loc_p - loc_q
    with np.errstate(invalid="ignore"):
        price = np.prod(scale_q) ** 2 / np.sqrt(np.linalg.det(covariance_p) * np.linalg.det(room))
        return float(np.sqrt(num_samples / (price * np.exp(gap @ np.linalg.solve(room, gap)) - 1)))


def checks_each_coordinate(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> float:
    """2 v_q > v_p in every coordinate is not enough where p has correlations."""
    if np.any(2 * scale_q**2 <= np.diag(covariance_p)):
        return 0.0
    return never_zero(loc_p, covariance_p, loc_q, scale_q, num_samples)


def noise_to_signal(*given: Any) -> float:
    ratio = by_cholesky(*given)
    return 1 / ratio if ratio else 1e9


VARIANTS: dict[str, list[Any]] = {
    "02.1": [by_scipy, by_torch, two_at_a_time, by_columns, shifted_twice, in_float32],
    "02.2": [in_logarithms, by_loop, in_torch, by_cumulative_probabilities],
    "02.3": [by_precisions, by_cholesky, standardized, with_torch],
}
WRONG: dict[str, list[Any]] = {
    "02.1": [
        in_bits,
        divided_before,
        exponentiated,
        shifted_by(lambda scores: scores[-1]),
        shifted_by(lambda scores: (scores.max() + scores.min(axis=0)) / 2),
        shifted_by(lambda scores: np.longdouble(0)),
    ],
    "02.2": [always_the_same, logarithm, upside_down, in_pairs, exact],
    "02.3": [sees_only_the_determinant, no_test_at_all, never_zero, checks_each_coordinate, noise_to_signal],
}
