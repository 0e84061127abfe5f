"""Exercises 01: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy
import torch
from scipy.integrate import quad
from scipy.special import log_softmax
from scipy.stats import multivariate_normal, norm

Array = np.ndarray

# --------------------------------------------------------------------------------------------------- 01.1 a table


def by_counting(prior: Array, likelihood: Array, x: int) -> list[float]:
    shares = [p * row[x] for p, row in zip(prior, likelihood, strict=True)]
    return [share / sum(shares) for share in shares]


def in_logarithms(prior: Array, likelihood: Array, x: int) -> Array:
    return np.exp(log_softmax(np.log(prior) + np.log(likelihood[:, x])))


def by_torch(prior: Array, likelihood: Array, x: int) -> torch.Tensor:
    table = torch.as_tensor(prior)[:, None] * torch.as_tensor(likelihood)
    return (table / table.sum(dim=0))[:, x]


def published_and_mended(prior: Array, likelihood: Array, x: int) -> Array:
    return prior * (likelihood[:, x] / (likelihood.T @ prior)[x])


def largest_only(prior: Array, likelihood: Array, x: int) -> Array:
    joint = prior * likelihood[:, x]
    return (joint == joint.max()).astype(float)


def log_posterior(prior: Array, likelihood: Array, x: int) -> Array:
    return log_softmax(np.log(prior) + np.log(likelihood[:, x]))


def prior_twice(prior: Array, likelihood: Array, x: int) -> Array:
    joint = prior**2 * likelihood[:, x]
    return joint / joint.sum()


# ------------------------------------------------------------------------------------------- 01.2 one after the other


def all_at_once(x: Array, w: float, b: float, c: float, loc: float, scale: float) -> tuple[float, float]:
    precision = 1 / scale**2 + len(x) * w**2 / c
    return (loc / scale**2 + w * sum(x - b) / c) / precision, 1 / math.sqrt(precision)


def by_gain(x: Array, w: float, b: float, c: float, loc: float, scale: float) -> list[float]:
    """As Kalman's filter writes it, with variances."""
    variance = scale**2
    for value in x:
        gain = variance * w / (w * w * variance + c)
        loc, variance = loc + gain * (value - w * loc - b), (1 - gain * w) * variance
    return [loc, variance**0.5]


def by_conditioning(x: Array, w: float, b: float, c: float, loc: float, scale: float) -> Array:
    """The joint Gaussian of z and x_1, ..., x_N."""
    n = len(x)
    covariance = w**2 * scale**2 * np.ones((n, n)) + c * np.eye(n)
    gain = np.linalg.solve(covariance, np.full(n, w * scale**2))
    return np.array([loc + gain @ (x - w * loc - b), np.sqrt(scale**2 - gain.sum() * w * scale**2)])


def by_least_squares(x: Array, w: float, b: float, c: float, loc: float, scale: float) -> torch.Tensor:
    """The prior as one more row."""
    rows = torch.tensor([w / c**0.5] * len(x) + [1 / scale], dtype=torch.float64)
    targets = torch.cat([(torch.as_tensor(x) - b) / c**0.5, torch.tensor([loc / scale], dtype=torch.float64)])
    return torch.stack([rows @ targets / (rows @ rows), (rows @ rows) ** -0.5])


def in_float32(*given: Any) -> Array:
    return np.array(all_at_once(*given), dtype=np.float32)


def noise_of_the_mean(x: Array, w: float, b: float, c: float, loc: float, scale: float) -> tuple[float, float]:
    """c / sqrt(N) for c / N."""
    return all_at_once(x[:1] * 0 + x.mean(), w, b, c / np.sqrt(len(x)), loc, scale)


def first_only(x: Array, *given: float) -> Array:
    return by_conditioning(x[:1], *given)


def slope_lost(x: Array, w: float, *given: float) -> tuple[float, float]:
    return all_at_once(x, 1.0, *given)


# --------------------------------------------------------------------------------------------------- 01.3 one z for all


def as_a_vector(x: Array, w: float, b: float, c: float) -> Any:
    n = len(x)
    return multivariate_normal(np.full(n, b), w**2 * np.ones((n, n)) + c * np.eye(n)).logpdf(x)


def by_torch_gaussian(x: Array, w: float, b: float, c: float) -> torch.Tensor:
    loading = torch.full((len(x), 1), w, dtype=torch.float64)
    loc, diagonal = torch.full((len(x),), b, dtype=torch.float64), torch.full((len(x),), c, dtype=torch.float64)
    return torch.distributions.LowRankMultivariateNormal(loc, loading, diagonal).log_prob(torch.as_tensor(x))


def from_any_z(x: Array, w: float, b: float, c: float) -> float:
    """log p(x|z) + log p(z) - log p(z|x) at z = 0.7."""
    z, (loc, scale) = 0.7, all_at_once(x, w, b, c, 0.0, 1.0)
    return norm.logpdf(x, w * z + b, c**0.5).sum() + norm.logpdf(z) - norm.logpdf(z, loc, scale)


def by_integration(x: Array, w: float, b: float, c: float) -> float:
    loc, scale = all_at_once(x, w, b, c, 0.0, 1.0)

    def joint(z: float) -> float:
        return math.exp(norm.logpdf(x, w * z + b, c**0.5).sum() + norm.logpdf(z))

    return math.log(quad(joint, loc - 10 * scale, loc + 10 * scale, epsabs=0, epsrel=1e-11)[0])


def by_formula(x: Array, w: float, b: float, c: float) -> float:
    n, r = sympy.Integer(len(x)), [sympy.Float(value - b) for value in x]
    square = (sum(a**2 for a in r) - w**2 * sum(r) ** 2 / (c + n * w**2)) / c
    log_dets = n * sympy.log(2 * sympy.pi) + (n - 1) * sympy.log(c) + sympy.log(c + n * w**2)
    return float(-(log_dets + square) / 2)


def density(x: Array, w: float, b: float, c: float) -> Any:
    return np.exp(as_a_vector(x, w, b, c))


def slope_not_squared(x: Array, w: float, b: float, c: float) -> Any:
    n = len(x)
    return multivariate_normal(np.full(n, b), abs(w) * np.ones((n, n)) + c * np.eye(n)).logpdf(x)


def reversed_sign(x: Array, w: float, b: float, c: float) -> Any:
    return -as_a_vector(x, w, b, c)


def only_noise(x: Array, w: float, b: float, c: float) -> Any:
    return norm.logpdf(x, b, np.sqrt(c)).sum()


VARIANTS: dict[str, list[Any]] = {
    "01.1": [by_counting, in_logarithms, by_torch, published_and_mended],
    "01.2": [all_at_once, by_gain, by_conditioning, by_least_squares, in_float32],
    "01.3": [as_a_vector, by_torch_gaussian, from_any_z, by_integration, by_formula],
}
WRONG: dict[str, list[Any]] = {
    "01.1": [largest_only, log_posterior, prior_twice, lambda prior, likelihood, x: likelihood[x]],
    "01.2": [noise_of_the_mean, first_only, slope_lost, lambda *given: np.array([0.0, 9.0])],
    "01.3": [density, slope_not_squared, reversed_sign, only_noise],
}
