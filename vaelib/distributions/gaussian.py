"""Gaussians: scalars, independent coordinates, full covariance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from vaelib import _checks
from vaelib._arrays import (
    Array,
    Shape,
    broadcast,
    broadcast_to,
    detach,
    diagonal,
    diagonal_matrix,
    matvec,
    namespace,
    solve_lower,
    solve_lower_vector,
    special,
    transpose,
    where,
)
from vaelib._door import as_arrays, precision
from vaelib._quiet import quiet
from vaelib._special import HALF_LOG_2PI
from vaelib.distributions.base import Distribution


def location_and_scale(loc: Array, scale: Array) -> tuple[Array, Array]:
    """Both as arrays of one kind and shape; loc finite, scale finite and > 0."""
    loc, scale = as_arrays(loc=loc, scale=scale)
    _checks.broadcastable(loc=loc, scale=scale)
    _checks.finite("loc", loc)
    _checks.positive("scale", scale, "Did you pass log_scale?")
    loc, scale = broadcast(loc, scale)
    return loc, scale


@dataclass(frozen=True, eq=False)
class LocationScale(Distribution):
    """What Normal and Laplace share: a batch of scalars on the real line, symmetric around `loc`."""

    loc: Array
    scale: Array

    support = "real"

    def __post_init__(self) -> None:
        loc, scale = location_and_scale(self.loc, self.scale)
        self._store(loc=loc, scale=scale)

    @property
    def _like(self) -> Array:
        return self.loc

    @property
    def mean(self) -> Array:
        return self.loc


@dataclass(frozen=True, eq=False)
class Normal(LocationScale):
    r"""A batch of scalars, log p(x) = -((x - loc) / scale)^2 / 2 - log scale - log(2 pi) / 2.

    `transform` takes standard normal noise: x = loc + scale noise.

    Args:
        loc: mean; any shape that broadcasts with scale.
        scale: standard deviation, > 0.
    """

    noise = "normal"

    @property
    def variance(self) -> Array:
        return self.scale**2

    @property
    def _deviation(self) -> Array:
        return self.scale

    def mean_distance(self, point: Array) -> Array:
        """E|x - point|, the mean of a folded normal."""
        loc, scale, point = as_arrays(loc=self.loc, scale=self.scale, point=point)
        _checks.broadcastable(point=point, loc=loc)
        gap = loc - point
        near = abs(gap) < 40.0 * scale  # beyond, the folded side has less mass than any float
        u = where(near, gap, 0.0) / where(near, scale, 1.0)
        folded = math.sqrt(2.0 / math.pi) * scale * namespace(u).exp(-0.5 * u * u)
        return where(near, folded + gap * special(u).erf(u * math.sqrt(0.5)), abs(gap))

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x=x, loc=self.loc, scale=self.scale)
        _checks.broadcastable(x=x, loc=loc)
        return -0.5 * ((x - loc) / scale) ** 2 - namespace(scale).log(scale) - HALF_LOG_2PI

    def entropy(self) -> Array:
        return namespace(self.scale).log(self.scale) + HALF_LOG_2PI + 0.5

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise=noise, loc=self.loc, scale=self.scale)
        _checks.broadcastable(noise=noise, loc=loc)
        return loc + scale * noise

    def _expected_surprise(self, q: Any) -> Array | None:
        if q.support not in ("real", "positive"):
            return None
        mean, deviation, loc, scale = as_arrays(q=q.mean, scale_of_q=q._deviation, loc=self.loc, scale=self.scale)
        _checks.broadcastable(q=mean, p=loc)
        return namespace(scale).log(scale) + HALF_LOG_2PI + _half_square(mean, deviation, loc, scale)


@dataclass(frozen=True, eq=False)
class DiagonalNormal(Distribution):
    r"""Independent Gaussian coordinates; the event is the last axis, and results are summed over it.

    log p(x) = -1/2 sum_j ((x_j - loc_j) / scale_j)^2 - sum_j log scale_j - d log(2 pi) / 2.
    `transform` takes standard normal noise: x = loc + scale noise.

    Args:
        loc: mean, (..., d).
        scale: standard deviations, > 0; broadcast against loc.
    """

    loc: Array
    scale: Array

    support = "vector"
    noise = "normal"

    def __post_init__(self) -> None:
        loc, scale = location_and_scale(self.loc, self.scale)
        _checks.last_axis("loc", loc, "the coordinates (a batch of scalars is a Normal)")
        self._store(loc=loc, scale=scale)

    @property
    def _like(self) -> Array:
        return self.loc

    @property
    def batch_shape(self) -> Shape:
        return tuple(self.loc.shape[:-1])

    @property
    def event_shape(self) -> Shape:
        return tuple(self.loc.shape[-1:])

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def variance(self) -> Array:
        return self.scale**2

    @property
    def covariance(self) -> Array:
        """diag(scale^2), (..., d, d)."""
        return diagonal_matrix(self.scale**2)

    @property
    def cholesky(self) -> Array:
        """diag(scale), (..., d, d)."""
        return diagonal_matrix(self.scale)

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x=x, loc=self.loc, scale=self.scale)
        check_vector("x", x, loc)
        standardized = (x - loc) / scale
        return -0.5 * (standardized**2).sum(-1) - namespace(scale).log(scale).sum(-1) - HALF_LOG_2PI * loc.shape[-1]

    def entropy(self) -> Array:
        return namespace(self.scale).log(self.scale).sum(-1) + (HALF_LOG_2PI + 0.5) * self.loc.shape[-1]

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise=noise, loc=self.loc, scale=self.scale)
        check_vector("noise", noise, loc)
        return loc + scale * noise

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, DiagonalNormal | MultivariateNormal):
            return None
        deviation = q.scale if isinstance(q, DiagonalNormal) else q.variance**0.5
        mean, deviation, loc, scale = as_arrays(q=q.mean, scale_of_q=deviation, loc=self.loc, scale=self.scale)
        check_vector("loc of q", mean, loc)
        surprise = namespace(scale).log(scale) + _half_square(mean, deviation, loc, scale)
        return surprise.sum(-1) + HALF_LOG_2PI * loc.shape[-1]


@dataclass(frozen=True, eq=False)
class MultivariateNormal(Distribution):
    r"""A Gaussian vector; the event is the last axis.

    log p(x) = -1/2 |L^-1 (x - loc)|^2 - log det L - d log(2 pi) / 2, with covariance = L L^T. The Cholesky factor L is
    computed once, and nothing is ever inverted. `transform` takes standard normal noise: x = loc + L noise.

    Args:
        loc: mean, (..., d).
        covariance: (..., d, d), positive definite, symmetric to rounding (and made symmetric); batches broadcast.
    """

    loc: Array
    covariance: Array
    cholesky: Array = field(init=False, repr=False)

    support = "vector"
    noise = "normal"

    @quiet
    def __post_init__(self) -> None:
        eps = precision(self.covariance)
        loc, covariance = as_arrays(loc=self.loc, covariance=self.covariance)
        _checks.last_axis("loc", loc, "the coordinates (a batch of scalars is a Normal)")
        _checks.finite("loc", loc)
        _checks.covariance("covariance", covariance, max(eps, precision(covariance)))
        _checks.event_size("loc", loc, covariance.shape[-1])
        batch = _checks.broadcastable(**{"loc[..., 0]": loc[..., 0], "covariance[..., 0, 0]": covariance[..., 0, 0]})
        covariance = 0.5 * (covariance + transpose(covariance))
        self._store(
            loc=broadcast_to(loc, (*batch, *loc.shape[-1:])),
            covariance=broadcast_to(covariance, (*batch, *covariance.shape[-2:])),
            cholesky=broadcast_to(_cholesky(covariance), (*batch, *covariance.shape[-2:])),
        )

    @property
    def _like(self) -> Array:
        return self.loc

    @property
    def batch_shape(self) -> Shape:
        return tuple(self.loc.shape[:-1])

    @property
    def event_shape(self) -> Shape:
        return tuple(self.loc.shape[-1:])

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def variance(self) -> Array:
        """Of each coordinate, (..., d)."""
        return diagonal(self.covariance)

    def log_prob(self, x: Array) -> Array:
        x, loc, factor = as_arrays(x=x, loc=self.loc, cholesky=self.cholesky)
        check_vector("x", x, loc)
        standardized = solve_lower_vector(factor, x - loc)
        return -0.5 * (standardized**2).sum(-1) - _log_det(factor) - HALF_LOG_2PI * loc.shape[-1]

    def entropy(self) -> Array:
        return _log_det(self.cholesky) + (HALF_LOG_2PI + 0.5) * self.loc.shape[-1]

    def transform(self, noise: Array) -> Array:
        noise, loc, factor = as_arrays(noise=noise, loc=self.loc, cholesky=self.cholesky)
        check_vector("noise", noise, loc)
        return loc + matvec(factor, noise)

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, DiagonalNormal | MultivariateNormal):
            return None
        mean, factor_q, loc, factor = as_arrays(q=q.mean, factor_of_q=q.cholesky, loc=self.loc, factor=self.cholesky)
        check_vector("loc of q", mean, loc)
        spread = (solve_lower(factor, factor_q) ** 2).sum(-1).sum(-1)  # tr(S_p^-1 S_q)
        gap = (solve_lower_vector(factor, mean - loc) ** 2).sum(-1)
        return 0.5 * (spread + gap) + _log_det(factor) + HALF_LOG_2PI * loc.shape[-1]


def _half_square(mean: Array, deviation: Array, loc: Array, scale: Array) -> Array:
    """E[(x - loc)^2] / (2 scale^2); squared last, since the square of a small scale may be 0."""
    return 0.5 * ((deviation / scale) ** 2 + ((mean - loc) / scale) ** 2)


def check_vector(name: str, x: Array, loc: Array) -> None:
    """x ends in an event of the size of loc's, and its batch broadcasts with loc's."""
    _checks.event_size(name, x, loc.shape[-1])
    _checks.broadcastable(**{name: x, "loc": loc})


def _log_det(factor: Array) -> Array:
    return namespace(factor).log(diagonal(factor)).sum(-1)


def _cholesky(covariance: Array) -> Array:
    linalg = namespace(covariance).linalg
    if not _checks.can_look(covariance):
        return linalg.cholesky(covariance)
    try:
        return linalg.cholesky(covariance)
    except linalg.LinAlgError:
        smallest = float(linalg.eigvalsh(detach(covariance)).min())
    raise _checks.positive_definite("covariance", smallest)
