"""Textbook formulas at 60 digits, where nothing is lost to cancellation. Arguments are floats, taken as exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any

import mpmath as mp
import numpy as np
import torch

Number = Any
DIGITS = 60


def exact(function: Callable[..., Number], digits: int = DIGITS) -> Callable[..., Number]:
    """Run at so many digits, on arguments (numbers, vectors, matrices) taken to be exactly what they are as doubles."""

    @wraps(function)
    def high_precision(*arguments: Any) -> Number:
        with mp.workdps(digits):
            return function(*(_convert(argument) for argument in arguments))

    return high_precision


def _convert(argument: Any) -> Any:
    array = np.asarray(argument, dtype=float)
    if array.ndim == 0:
        return mp.mpf(float(array))
    if array.ndim == 1:
        return [mp.mpf(float(entry)) for entry in array]
    return mp.matrix(array.tolist())


def relative_error(value: Any, truth: Iterable[Number] | Number) -> float:
    """The largest |value - truth| / |truth| over the entries; the difference is taken at 60 digits."""
    values = np.ravel(np.asarray(value, dtype=float))
    truths = list(truth) if isinstance(truth, Sequence) else [truth]
    assert len(values) == len(truths)
    with mp.workdps(DIGITS):
        return max(_relative(mp.mpf(float(v)), t) for v, t in zip(values, truths, strict=True))


def _relative(value: Number, truth: Number) -> float:
    if value == truth:  # infinities and zeros too
        return 0.0
    return float(abs(value - truth) / abs(truth)) if truth != 0 else float("inf")


def levels_of_a_logistic(x: Any, loc: Any, scale: Any, levels: int = 256) -> np.ndarray:
    """log of the difference of the logistic's distribution function at the ends of the cell of each level, elementwise.

    At so many digits that a difference of numbers near 1 keeps enough of them.
    """

    def log_prob(x: float, loc: float, scale: float) -> float:
        with mp.workdps(2000):
            v, last = round(float(x) * (levels - 1)), levels - 1

            def below(step: Number) -> Number:
                return 1 / (1 + mp.exp(-(step / last - mp.mpf(float(loc))) / mp.mpf(float(scale))))

            low = mp.mpf(0) if v == 0 else below(v - mp.mpf(1) / 2)
            high = mp.mpf(1) if v == last else below(v + mp.mpf(1) / 2)
            return float(mp.log(high - low))

    return np.vectorize(log_prob, otypes=[float])(x, loc, scale)


class LevelsOfALogistic(torch.distributions.Distribution):
    """The 256 probabilities as a table, by differences of torch's own sigmoid, or of what is left of 1 above loc."""

    def __init__(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__(validate_args=False)
        ends = (torch.arange(1, 256, dtype=torch.float64) - 0.5) / 255
        standardized = (ends - loc[..., None]) / scale[..., None]
        below, above = torch.sigmoid(standardized), torch.sigmoid(-standardized)
        zero, one = torch.zeros_like(below[..., :1]), torch.ones_like(below[..., :1])
        left, right = torch.cat([zero, below, one], -1), torch.cat([one, above, zero], -1)
        self.probs = torch.where(left[..., 1:] < 0.5, left.diff(), -right.diff())
        self.levels = torch.arange(256, dtype=torch.float64) / 255

    @property
    def table(self) -> torch.distributions.Categorical:
        return torch.distributions.Categorical(self.probs)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        value = (255 * value).round().long()
        log_probs = self.probs.log().expand(*value.shape, -1)  # a Categorical would clip them
        return log_probs.gather(-1, value[..., None])[..., 0]

    def entropy(self) -> torch.Tensor:
        return self.table.entropy()

    @property
    def mean(self) -> torch.Tensor:
        return (self.probs * self.levels).sum(-1)

    @property
    def variance(self) -> torch.Tensor:
        return (self.probs * (self.levels - self.mean[..., None]) ** 2).sum(-1)


def softplus(x: Number) -> Number:
    return max(x, mp.mpf(0)) + mp.log1p(mp.exp(-abs(x)))


def sigmoid(x: Number) -> Number:
    return 1 / (1 + mp.exp(-x))


def log_sum_exp(logits: Sequence[Number]) -> Number:
    return mp.log(sum(mp.exp(entry) for entry in logits))


# ------------------------------------------------------------------------------------------------- log p(x), entropy


@exact
def normal_log_prob(x: Number, loc: Number, scale: Number) -> Number:
    return -(((x - loc) / scale) ** 2) / 2 - mp.log(scale) - mp.log(2 * mp.pi) / 2


@exact
def normal_entropy(loc: Number, scale: Number) -> Number:
    return mp.log(2 * mp.pi * mp.e * scale**2) / 2


@exact
def laplace_log_prob(x: Number, loc: Number, scale: Number) -> Number:
    return -abs(x - loc) / scale - mp.log(2 * scale)


@exact
def laplace_entropy(loc: Number, scale: Number) -> Number:
    return 1 + mp.log(2 * scale)


@exact
def gamma_log_prob(x: Number, a: Number, rate: Number) -> Number:
    return a * mp.log(rate) + (a - 1) * mp.log(x) - rate * x - mp.loggamma(a)


@exact
def gamma_entropy(a: Number, rate: Number) -> Number:
    return a - mp.log(rate) + mp.loggamma(a) + (1 - a) * mp.digamma(a)


@exact
def exponential_log_prob(x: Number, rate: Number) -> Number:
    return mp.log(rate) - rate * x


@exact
def exponential_entropy(rate: Number) -> Number:
    return 1 - mp.log(rate)


@exact
def bernoulli_log_prob(x: Number, logits: Number) -> Number:
    return -softplus((1 - 2 * x) * logits)


@exact
def bernoulli_entropy(logits: Number) -> Number:
    return sigmoid(logits) * softplus(-logits) + sigmoid(-logits) * softplus(logits)


@exact
def categorical_log_prob(x: Number, logits: Sequence[Number]) -> Number:
    others = [entry - logits[int(x)] for j, entry in enumerate(logits) if j != int(x)]
    return -mp.log1p(sum(mp.exp(entry) for entry in others))


@partial(exact, digits=500)  # e^-1000 beside 1
def categorical_entropy(logits: Sequence[Number]) -> Number:
    log_probs = [entry - log_sum_exp(logits) for entry in logits]
    return -sum(mp.exp(entry) * entry for entry in log_probs)


@exact
def multivariate_normal_log_prob(x: Sequence[Number], loc: Sequence[Number], covariance: Number) -> Number:
    factor = mp.cholesky(covariance)
    white = solve_lower(factor, [a - b for a, b in zip(x, loc, strict=True)])
    return -sum(entry**2 for entry in white) / 2 - log_det(factor) - len(loc) * mp.log(2 * mp.pi) / 2


@exact
def multivariate_normal_entropy(loc: Sequence[Number], covariance: Number) -> Number:
    return log_det(mp.cholesky(covariance)) + len(loc) * mp.log(2 * mp.pi * mp.e) / 2


def log_det(factor: Number) -> Number:
    return sum(mp.log(factor[i, i]) for i in range(factor.rows))


def solve_lower(factor: Number, right: Sequence[Number]) -> list[Number]:
    solution: list[Number] = []
    for i, entry in enumerate(right):
        known = mp.fdot((factor[i, j], solution[j]) for j in range(i))
        solution.append((entry - known) / factor[i, i])
    return solution


# ------------------------------------------------------------------------------------------------------- KL(q || p)


@exact
def normal_normal(m1: Number, s1: Number, m2: Number, s2: Number) -> Number:
    return mp.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - mp.mpf(1) / 2


@exact
def laplace_laplace(m1: Number, b1: Number, m2: Number, b2: Number) -> Number:
    distance = abs(m1 - m2)
    return mp.log(b2 / b1) + (distance + b1 * mp.exp(-distance / b1)) / b2 - 1


@exact
def gamma_gamma(a1: Number, b1: Number, a2: Number, b2: Number) -> Number:
    shape = (a1 - a2) * mp.digamma(a1) - mp.loggamma(a1) + mp.loggamma(a2)
    return shape + a2 * mp.log(b1 / b2) + a1 * (b2 - b1) / b1


@exact
def exponential_exponential(rate1: Number, rate2: Number) -> Number:
    return mp.log(rate1 / rate2) + rate2 / rate1 - 1


@exact
def bernoulli_bernoulli(a: Number, b: Number) -> Number:
    return sigmoid(a) * (softplus(-b) - softplus(-a)) + sigmoid(-a) * (softplus(b) - softplus(a))


@partial(exact, digits=500)  # e^-1000 beside 1
def categorical_categorical(a: Sequence[Number], b: Sequence[Number]) -> Number:
    total_a, total_b = log_sum_exp(a), log_sum_exp(b)
    return sum(mp.exp(s - total_a) * ((s - total_a) - (t - total_b)) for s, t in zip(a, b, strict=True) if s != -mp.inf)


@exact
def normal_laplace(m: Number, s: Number, loc: Number, scale: Number) -> Number:
    gap = m - loc
    distance = s * mp.sqrt(2 / mp.pi) * mp.exp(-(gap**2) / (2 * s**2)) + gap * mp.erf(gap / (s * mp.sqrt(2)))
    return -mp.log(2 * mp.pi * mp.e * s**2) / 2 + mp.log(2 * scale) + distance / scale


@exact
def laplace_normal(m: Number, b: Number, loc: Number, scale: Number) -> Number:
    return -1 - mp.log(2 * b) + mp.log(2 * mp.pi * scale**2) / 2 + (2 * b**2 + (m - loc) ** 2) / (2 * scale**2)


@exact
def gamma_normal(a: Number, rate: Number, loc: Number, scale: Number) -> Number:
    entropy = a - mp.log(rate) + mp.loggamma(a) + (1 - a) * mp.digamma(a)
    square = a / rate**2 + (a / rate - loc) ** 2
    return -entropy + mp.log(2 * mp.pi * scale**2) / 2 + square / (2 * scale**2)


@exact
def multivariate_normal_kl(m1: Sequence[Number], S1: Number, m2: Sequence[Number], S2: Number) -> Number:
    d = len(m1)
    factor1, factor2 = mp.cholesky(S1), mp.cholesky(S2)
    columns = [solve_lower(factor2, [factor1[i, j] for i in range(d)]) for j in range(d)]
    trace = mp.fsum(entry**2 for column in columns for entry in column)
    gap = solve_lower(factor2, [a - b for a, b in zip(m1, m2, strict=True)])
    return (trace + mp.fsum(entry**2 for entry in gap) - d) / 2 + log_det(factor2) - log_det(factor1)
