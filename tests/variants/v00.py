"""Exercises 00: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import roots_hermite
from scipy.stats import sem

Array = np.ndarray

# ------------------------------------------------------------------------------------------------- 00.2 a test set


def by_statistics(probabilities: Array) -> list[float]:
    scores = [math.fsum(map(math.log, row)) for row in probabilities]
    return [fmean(scores), stdev(scores) / math.sqrt(len(scores))]


def by_blocks(probabilities: Array) -> tuple[Any, Any]:
    """A product of fifty pixels does not underflow yet."""
    parts = np.array_split(probabilities, max(1, probabilities.shape[1] // 50), axis=1)
    scores = sum(np.log(part.prod(axis=1)) for part in parts)
    return scores.mean(), sem(scores)


def in_torch(probabilities: Array) -> torch.Tensor:
    scores = torch.as_tensor(probabilities).log().sum(dim=1)
    return torch.stack([scores.mean(), scores.std() / len(scores) ** 0.5])


def in_single_precision(probabilities: Array) -> Array:
    scores = np.log2(probabilities.astype(np.float32)).sum(axis=1, dtype=np.float32) * np.float32(np.log(2))
    return np.array([scores.mean(), sem(scores)], dtype=np.float32)


def by_two_moments(probabilities: Array) -> Array:
    scores = np.log(probabilities).sum(axis=1)
    n = len(scores)
    return np.array([scores.sum() / n, np.sqrt(((scores - scores.mean()) ** 2).sum() / (n * (n - 1)))])


def variance_of_the_mean(probabilities: Array) -> Array:
    scores = np.log(probabilities).sum(axis=1)
    return np.array([scores.mean(), scores.var(ddof=1) / len(scores)])


def log_of_mean(probabilities: Array) -> Array:
    scores = np.log(probabilities).sum(axis=1)
    return np.array([np.logaddexp.reduce(scores) - np.log(len(scores)), sem(scores)])


# ------------------------------------------------------------------------------------------------- 00.3 three nodes


def by_numpy(loc: float, scale: float) -> Array:
    nodes, weights = hermegauss(3)
    return np.stack([loc + scale * nodes, weights / np.sqrt(2 * np.pi)])


def by_scipy(loc: float, scale: float) -> tuple[Array, Array]:
    nodes, weights = roots_hermite(3)
    return loc + np.sqrt(2) * scale * nodes, weights / weights.sum()


def by_eigenvalues(loc: float, scale: float) -> list[Array]:
    beside = np.sqrt([1.0, 2.0])
    nodes, vectors = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
    return [loc + scale * nodes, vectors[0] ** 2]


def by_moments(loc: float, scale: float) -> torch.Tensor:
    """Nodes given, the weights solve three linear equations."""
    nodes = torch.tensor([-(3**0.5), 0.0, 3**0.5], dtype=torch.float64)
    moments = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    weights = torch.linalg.solve(torch.stack([nodes**0, nodes, nodes**2]), moments)
    return torch.stack([loc + scale * nodes, weights])


def single(loc: float, scale: float) -> Array:
    reach = np.float32(scale) * np.sqrt(np.float32(3))
    return np.array([[loc - reach, loc, loc + reach], [1 / 6, 2 / 3, 1 / 6]], dtype=np.float32)


def simpson_one_deviation(loc: float, scale: float) -> list[list[float]]:
    return [[loc - scale, loc, loc + scale], [1 / 6, 4 / 6, 1 / 6]]


def descending(loc: float, scale: float) -> Array:
    return by_numpy(loc, scale)[:, ::-1]


def weights_of_a_density(loc: float, scale: float) -> Array:
    rule = by_numpy(loc, scale)
    return np.stack([rule[0], rule[1] * np.sqrt(2 * np.pi)])


VARIANTS: dict[str, list[Any]] = {
    "00.1": ["d", " D ", "D"],
    "00.2": [by_statistics, by_blocks, in_torch, in_single_precision, by_two_moments],
    "00.3": [by_numpy, by_scipy, by_eigenvalues, by_moments, single],
}
WRONG: dict[str, list[Any]] = {
    "00.1": ["f", 4, "all"],
    "00.2": [variance_of_the_mean, log_of_mean, lambda p: np.array([1.0, -1.0])],
    "00.3": [simpson_one_deviation, descending, weights_of_a_density, lambda loc, scale: by_numpy(loc, scale).T],
}
