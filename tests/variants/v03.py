"""Answers to the exercises of notebook 03: right ones written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from scipy.special import rel_entr, xlogy
from scipy.stats import binom

# ---------------------------------------------------------------------------------------------------------- 03.2


def in_loops(q: Any, p: Any) -> list[float]:
    totals = []
    for row_q, row_p in zip(q, p, strict=True):
        total = 0.0
        for a, b in zip(row_q, row_p, strict=True):
            if a > 0:
                total += a * math.log(a / b) if b > 0 else math.inf
        totals.append(total)
    return totals


def as_difference(q: Any, p: Any) -> Any:
    return -xlogy(q, p).sum(1) + xlogy(q, q).sum(1)


def with_where(q: Any, p: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(q > 0, q * np.log(q / p), 0).sum(axis=-1)


def as_mean_of_a_logarithm(q: Any, p: Any) -> Any:
    with np.errstate(all="ignore"):
        surprises = np.where(q == 0, 0.0, np.log(np.where(q == 0, 1.0, q)) - np.log(p))
        return np.einsum("bn,bn->b", q, np.where(q == 0, 0.0, surprises))


def in_bits_and_back(q: Any, p: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.nansum(q * np.log2(q / p), axis=-1) * np.log(2)


def in_torch(q: Any, p: Any) -> Any:
    q, p = torch.as_tensor(q), torch.as_tensor(p)
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


def in_single_precision(q: Any, p: Any) -> Any:
    q, p = np.float32(q), np.float32(p)
    return xlogy(q, q).sum(-1) - xlogy(q, p).sum(-1)


# ---------------------------------------------------------------------------------------------------------- 03.3


def second_moment(weights: Any, locs: Any, scales: Any) -> list[float]:
    mean = np.sum(weights * locs)
    return [mean, np.sqrt(np.sum(weights * (scales**2 + locs**2)) - mean**2)]


def by_pairs(weights: Any, locs: Any, scales: Any) -> tuple[float, float]:
    """The variance of the centers is half the mean squared distance of two of them."""
    between = 0.5 * sum(
        weights[i] * weights[j] * (locs[i] - locs[j]) ** 2 for i, j in itertools.product(range(len(weights)), repeat=2)
    )
    return float(np.dot(weights, locs)), math.sqrt(float(np.dot(weights, scales**2)) + between)


def by_average(weights: Any, locs: Any, scales: Any) -> Any:
    mean = np.average(locs, weights=weights)
    return np.array([mean, np.average(scales**2 + (locs - mean) ** 2, weights=weights) ** 0.5])


def mixture_in_torch(weights: Any, locs: Any, scales: Any) -> Any:
    weights, locs, scales = (torch.tensor(each, dtype=torch.float32) for each in (weights, locs, scales))
    mean = weights @ locs
    return torch.stack([mean, torch.hypot((weights @ scales**2).sqrt(), (weights @ (locs - mean) ** 2).sqrt())])


# ---------------------------------------------------------------------------------------------------------- 03.4


def all_orders(high: float, low: float, rate: float, draws: int) -> float:
    total = 0.0
    for order in itertools.product((True, False), repeat=draws):
        probability = math.prod(rate if is_high else 1 - rate for is_high in order)
        total += probability * math.log(sum(high if is_high else low for is_high in order) / draws)
    return math.log(rate * high + (1 - rate) * low) - total


def by_scipy(high: float, low: float, rate: float, draws: int) -> Any:
    k = np.arange(draws + 1)
    mean = rate * high + (1 - rate) * low
    return -binom(draws, rate).pmf(k) @ np.log((low + (high - low) * k / draws) / mean)


def by_factorials(high: float, low: float, rate: float, draws: int) -> float:
    lost = 0.0
    for k in range(draws + 1):
        probability = math.comb(draws, k) * rate**k * (1 - rate) ** (draws - k)
        lost -= probability * math.log(k * high + (draws - k) * low)
    return lost + math.log(draws) + math.log(low + rate * (high - low))


def in_fractions(high: float, low: float, rate: float, draws: int) -> float:
    r, h, w = Fraction(rate), Fraction(high), Fraction(low)
    values = [(math.comb(draws, k) * r**k * (1 - r) ** (draws - k), k * h + (draws - k) * w) for k in range(draws + 1)]
    mean = sum(chance * value for chance, value in values)
    return sum(float(chance) * -math.log(value / mean) for chance, value in values)


VARIANTS: dict[str, list[Any]] = {
    "03.1": [" EBCAD ", "ebcad", "e b c a d"],
    "03.2": [
        in_loops,
        as_difference,
        with_where,
        as_mean_of_a_logarithm,
        in_bits_and_back,
        in_torch,
        in_single_precision,
        lambda first, second: rel_entr(first, second).sum(axis=1),  # refused in grading, right in class
    ],
    "03.3": [second_moment, by_pairs, by_average, mixture_in_torch],
    "03.4": [all_orders, by_scipy, by_factorials, in_fractions],
}

WRONG: dict[str, list[Any]] = {
    "03.1": ["abcde", 5, "ebcdaf"],
    "03.2": [
        lambda q, p: np.sum(xlogy(q, q) - xlogy(q, p + 1e-12), axis=-1),
        lambda q, p: np.abs(q - p).sum(axis=-1) / 2,
        lambda q, p: np.zeros(len(q)),
        lambda q, p: rel_entr(q, p),
        lambda q, p: np.where(np.any((q > 0) & (p == 0), axis=-1), -np.inf, rel_entr(q, p).sum(axis=-1)),
    ],
    "03.3": [
        lambda weights, locs, scales: [np.median(locs), np.mean(scales)],
        lambda weights, locs, scales: [weights @ locs, np.std(locs)],
        lambda weights, locs, scales: np.append(locs, scales),
    ],
    "03.4": [
        lambda high, low, rate, draws: 0.0,
        lambda high, low, rate, draws: np.log(rate * high) - rate * np.log(high),
        lambda high, low, rate, draws: by_scipy(high, low, rate, draws + 1),
    ],
}
