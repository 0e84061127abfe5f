"""Scalars that are not Gaussian: Laplace, Gamma, Exponential. Parameters as in torch.distributions."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import scipy.special

from vaelib import _checks
from vaelib._arrays import Array, Shape, as_arrays, broadcast, broadcast_to, is_tensor, namespace, where
from vaelib._special import HALF_LOG_2PI, log_excess, log_minus_digamma, stirling_remainder
from vaelib.distributions.base import INFINITY, Distribution, as_shape
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

    def mean_distance(self, point: Array) -> Array:
        """E|x - point|."""
        loc, scale, point = as_arrays(self.loc, self.scale, point)
        _checks.broadcastable(point=point, loc=loc)
        gap = abs(loc - point)
        return gap + scale * namespace(gap).exp(-gap / scale)

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x, self.loc, self.scale)
        _checks.broadcastable(x=x, loc=loc)
        return -abs(x - loc) / scale - namespace(scale).log(2.0 * scale)

    def entropy(self) -> Array:
        return namespace(self.scale).log(2.0 * self.scale) + 1.0

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise, self.loc, self.scale)
        _checks.broadcastable(noise=noise, loc=loc)
        _checks.uniform_noise(noise)
        lower = noise < 0.5
        log_tail = namespace(noise).log(2.0 * where(lower, noise, 1.0 - noise))
        return loc + scale * where(lower, log_tail, -log_tail)

    def _expected_surprise(self, q: Any) -> Array | None:
        if q.support != "real":
            return None
        distance, scale = as_arrays(q.mean_distance(self.loc), self.scale)
        return distance / scale + namespace(scale).log(2.0 * scale)


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
        concentration, rate = as_arrays(self.concentration, self.rate)
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

    def log_prob(self, x: Array) -> Array:
        x, a, rate = as_arrays(x, self.concentration, self.rate)
        _checks.broadcastable(x=x, rate=rate)
        log = namespace(x).log
        inside = ~(x <= 0.0)  # NaN stays NaN
        y = where(inside, x, 1.0)
        ratio = rate * y / a
        density = self._log_height(a) - log(y) - a * log_excess((rate * y - a) / a, log(ratio))
        at_zero = where(a < 1.0, INFINITY, where(a > 1.0, -INFINITY, log(rate)))
        return where(inside, density, where(x == 0.0, at_zero, -INFINITY))

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, concentration, rate = as_arrays(noise, self.concentration, self.rate)
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
        shape = as_shape(sample_shape) + self.batch_shape
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
            mean, rate = as_arrays(q.mean, self.rate)
            _checks.broadcastable(q=mean, p=rate)
            return 0.0 * (mean + rate) + INFINITY
        if not isinstance(q, Gamma):
            return None
        a_q, rate_q, a, rate = as_arrays(q.concentration, q.rate, self.concentration, self.rate)
        _checks.broadcastable(q=rate_q, p=rate)
        log = namespace(a).log
        # log_prob, with E log x = log(mean) - shortfall
        shortfall = log_minus_digamma(a_q)
        return log(a_q / rate_q) - shortfall - self._log_height(a) + a * (gamma_means(a_q, rate_q, a, rate) + shortfall)


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
        (rate,) = as_arrays(self.rate)
        _checks.positive("rate", rate, "It is 1 / mean.")
        self._store(concentration=namespace(rate).ones_like(rate), rate=rate)

    def log_prob(self, x: Array) -> Array:
        x, rate = as_arrays(x, self.rate)
        _checks.broadcastable(x=x, rate=rate)
        return where(x < 0.0, -INFINITY, namespace(rate).log(rate) - rate * x)

    def entropy(self) -> Array:
        return 1.0 - namespace(self.rate).log(self.rate)

    def transform(self, noise: Array) -> Array:
        noise, rate = as_arrays(noise, self.rate)
        _checks.broadcastable(noise=noise, rate=rate)
        _checks.uniform_noise(noise)
        return -namespace(noise).log1p(-noise) / rate

    def sample(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        return Distribution.sample(self, sample_shape, rng=rng)
