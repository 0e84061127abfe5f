"""Scalars that are not Gaussian: Laplace, Gamma, Exponential. Parameters as in torch.distributions."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import scipy.special

from vaelib import _checks
from vaelib._arrays import Array, Shape, broadcast, broadcast_to, is_tensor, namespace, special, where
from vaelib._door import as_arrays, as_shape
from vaelib._special import (
    HALF_LOG_2PI,
    INFINITY,
    LOG_2,
    log_excess,
    log_minus_digamma,
    log_product_of_ratios,
    log_ratio,
    log_slope,
    stirling_remainder,
)
from vaelib.distributions.base import Distribution
from vaelib.distributions.gaussian import LocationScale
from vaelib.kl import gamma_means


@dataclass(frozen=True, eq=False)
class Laplace(LocationScale):
    r"""A batch of scalars, log p(x) = -|x - loc| / scale - log(2 scale).

    `transform` takes uniform noise u and inverts the distribution function: x = loc + scale log(2 u) for u < 1/2, and
    the mirror image above.

    Args:
        loc: median and mean; any shape that broadcasts with scale.
        scale: mean distance from loc, > 0.
    """

    noise = "uniform"

    @property
    def variance(self) -> Array:
        return 2.0 * self.scale**2

    @property
    def _deviation(self) -> Array:
        return math.sqrt(2.0) * self.scale

    def mean_distance(self, point: Array) -> Array:
        """E|x - point|."""
        loc, scale, point = as_arrays(loc=self.loc, scale=self.scale, point=point)
        _checks.broadcastable(point=point, loc=loc)
        gap = abs(loc - point)
        near = gap < 1e3 * scale  # beyond, the exponential is less than any float
        u = where(near, gap, 0.0) / where(near, scale, 1.0)
        return gap + where(near, scale * namespace(u).exp(-u), 0.0)

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x=x, loc=self.loc, scale=self.scale)
        _checks.broadcastable(x=x, loc=loc)
        return -abs(x - loc) / scale - namespace(scale).log(scale) - LOG_2

    def entropy(self) -> Array:
        return namespace(self.scale).log(self.scale) + (LOG_2 + 1.0)

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise=noise, loc=self.loc, scale=self.scale)
        _checks.broadcastable(noise=noise, loc=loc)
        _checks.uniform_noise(noise)
        lower = noise < 0.5
        log_tail = namespace(noise).log(2.0 * where(lower, noise, 1.0 - noise))
        return loc + scale * where(lower, log_tail, -log_tail)

    def _expected_surprise(self, q: Any) -> Array | None:
        if q.support != "real":
            return None
        distance, scale = as_arrays(q=q.mean_distance(self.loc), scale=self.scale)
        return distance / scale + namespace(scale).log(scale) + LOG_2


@dataclass(frozen=True, eq=False)
class Gamma(Distribution):
    r"""A batch of scalars > 0, p(x) = rate^a x^(a-1) e^(-rate x) / Gamma(a), with a = concentration.

    It is computed as log p(x) = log(a / 2 pi) / 2 - (Stirling's remainder at a) - log x - a (r - 1 - log r), with
    r = rate x / a, in which nothing cancels for large a. Outside the support log p(x) = -inf.
    `transform` takes uniform noise and inverts the distribution function (NumPy only; torch has no such inverse).

    Args:
        concentration: shape parameter a > 0; broadcast against rate.
        rate: 1 / scale, > 0; the mean is concentration / rate.
    """

    concentration: Array
    rate: Array

    support = "positive"
    noise = "uniform"

    def __post_init__(self) -> None:
        concentration, rate = as_arrays(concentration=self.concentration, rate=self.rate)
        _checks.broadcastable(concentration=concentration, rate=rate)
        _checks.positive("concentration", concentration)
        _checks.positive("rate", rate, "It is 1 / scale.")
        concentration, rate = broadcast(concentration, rate)
        self._store(concentration=concentration, rate=rate)

    @property
    def _like(self) -> Array:
        return self.rate

    @property
    def mean(self) -> Array:
        return self.concentration / self.rate

    @property
    def variance(self) -> Array:
        return self.concentration / self.rate**2

    @property
    def _deviation(self) -> Array:
        return namespace(self.rate).sqrt(self.concentration) / self.rate

    def log_prob(self, x: Array) -> Array:
        x, a, rate = as_arrays(x=x, concentration=self.concentration, rate=self.rate)
        _checks.broadcastable(x=x, rate=rate)
        inside = ~(x <= 0.0)  # NaN stays NaN
        y = where(inside, x, 1.0)
        log_r = log_product_of_ratios(rate, a, y, namespace(y).ones_like(y))
        density = self._log_height(a) - namespace(y).log(y) - a * log_excess((rate * y - a) / a, log_r)
        at_zero = self._log_prob_at_zero(where(x == 0.0, x, 0.0), a, rate)
        return where(inside, density, where(x == 0.0, at_zero, -INFINITY))

    @staticmethod
    def _log_prob_at_zero(x: Array, a: Array, rate: Array) -> Array:
        """log p(0), which is finite for a = 1 alone. Where a slope is infinite, it is that at the smallest float."""
        slope = a * namespace(a).log(rate) + (a - 1.0) * log_slope(x) - rate * x - special(a).gammaln(a)
        return where(a < 1.0, INFINITY, where(a > 1.0, -INFINITY, slope))

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, concentration, rate = as_arrays(noise=noise, concentration=self.concentration, rate=self.rate)
        _checks.broadcastable(noise=noise, rate=rate)
        if is_tensor(noise):
            raise NotImplementedError(
                "Expected a Gamma of NumPy parameters to transform noise, but got tensors: torch has no inverse of the"
                " incomplete gamma function. sample(rng=...) draws without a gradient; an Exponential transforms."
            )
        _checks.uniform_noise(noise)
        return scipy.special.gammaincinv(concentration, noise) / rate

    def sample(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        _checks.generator(rng, self.rate)
        shape = as_shape("sample_shape", sample_shape) + self.batch_shape
        if is_tensor(self.rate):
            concentration, rate = self.concentration.detach(), self.rate.detach()
            # what torch.distributions draws with; nothing public takes a generator
            return sys.modules["torch"]._standard_gamma(broadcast_to(concentration, shape), generator=rng) / rate
        return rng.standard_gamma(self.concentration, shape) / self.rate

    @staticmethod
    def _log_height(a: Array) -> Array:
        """log of x p(x) at the mean of x."""
        return 0.5 * namespace(a).log(a) - HALF_LOG_2PI - stirling_remainder(a)

    def _expected_surprise(self, q: Any) -> Array | None:
        if q.support == "real":  # mass below zero, where p has none
            mean, rate = as_arrays(q=q.mean, rate=self.rate)
            _checks.broadcastable(q=mean, p=rate)
            return 0.0 * (mean + rate) + INFINITY
        if not isinstance(q, Gamma):
            return None
        a_q, rate_q, a, rate = as_arrays(
            concentration_q=q.concentration, rate_q=q.rate, concentration=self.concentration, rate=self.rate
        )
        _checks.broadcastable(q=rate_q, p=rate)
        # log_prob, with E log x = log(mean) - shortfall
        shortfall = log_minus_digamma(a_q)
        log_mean = log_ratio(a_q, rate_q)
        return log_mean - shortfall - self._log_height(a) + gamma_means(a_q, rate_q, a, rate) + a * shortfall


@dataclass(frozen=True, eq=False)
class Exponential(Gamma):
    r"""A batch of scalars > 0, log p(x) = log rate - rate x: the Gamma of concentration 1.

    `transform` takes uniform noise u: x = -log(1 - u) / rate, for NumPy and torch.

    Args:
        rate: 1 / mean, > 0.
    """

    concentration: Array = field(init=False, repr=False)
    rate: Array

    def __post_init__(self) -> None:
        (rate,) = as_arrays(rate=self.rate)
        _checks.positive("rate", rate, "It is 1 / mean.")
        self._store(concentration=namespace(rate).ones_like(rate), rate=rate)

    def log_prob(self, x: Array) -> Array:
        x, rate = as_arrays(x=x, rate=self.rate)
        _checks.broadcastable(x=x, rate=rate)
        return where(x < 0.0, -INFINITY, namespace(rate).log(rate) - rate * x)

    def entropy(self) -> Array:
        return 1.0 - namespace(self.rate).log(self.rate)

    def transform(self, noise: Array) -> Array:
        noise, rate = as_arrays(noise=noise, rate=self.rate)
        _checks.broadcastable(noise=noise, rate=rate)
        _checks.uniform_noise(noise)
        return -namespace(noise).log1p(-noise) / rate

    def sample(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        return Distribution.sample(self, sample_shape, rng=rng)
