"""Exact models: everything about them can be computed, so everything about the bound can be checked.

Each model has a prior p(z) and a likelihood p(x | z) and answers with log-densities in nats: `log_prior(z)`,
`log_likelihood(x, z)`, `log_joint(x, z)`, `log_evidence(x)`, `log_posterior(x, z)`, `sample(n, rng=...)`.
`integrate(f)` is the integral (the sum) of f over the latent space.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib import _checks
from vaelib._door import as_integers, as_numpy, count, described
from vaelib._quiet import quiet
from vaelib.distributions import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib.estimate import Estimate
from vaelib.quadrature import enumerate_states, log_gauss_legendre, log_trapezoid, over_the_line

Array = np.ndarray
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class DiscreteLatent:
    """A latent variable with K states and an observation with M values: tables, and sums instead of integrals.

    Args:
        prior: p(z), shape (K,).
        likelihood: p(x | z), shape (K, M); each row sums to one.
    """

    prior: Array
    likelihood: Array

    def __post_init__(self) -> None:
        for name in ("prior", "likelihood"):
            given = getattr(self, name)
            as_numpy(**{name: given})
            object.__setattr__(self, name, np.asarray(_checks.table(name, given)))
        if self.prior.ndim != 1 or self.likelihood.ndim != 2 or len(self.likelihood) != len(self.prior):
            raise ValueError(
                "Expected `prior` of shape (K,) and `likelihood` of shape (K, M), one row for each state of z, but got "
                f"{self.prior.shape} and {self.likelihood.shape}. Is the table transposed?"
            )

    @property
    def joint(self) -> Array:
        """p(x, z) as a table of shape (K, M)."""
        return self.prior[:, None] * self.likelihood

    def log_prior(self, z: Any) -> Any:
        return _log(self.prior[self._state(z)])

    def log_likelihood(self, x: Any, z: Any) -> Any:
        x, z = self._value(x), self._state(z)
        _checks.agree(x=x, z=z)
        return _log(self.likelihood[z, x])

    def log_joint(self, x: Any, z: Any) -> Any:
        return self.log_prior(z) + self.log_likelihood(x, z)

    def log_evidence(self, x: int) -> Any:
        """log p(x) = log sum_z p(z) p(x | z)."""
        return _log(self.prior @ self.likelihood[:, self._value(x)])

    def log_posterior(self, x: int, z: Any) -> Any:
        """log p(z | x), read off the column of the joint table: the evidence does not enter."""
        column = self.log_joint(self._one(x), np.arange(self.prior.size))
        return self.log_joint(x, z) - logsumexp(column)

    def posterior(self, x: int) -> Categorical:
        return Categorical(self.log_joint(self._one(x), np.arange(self.prior.size)))

    def _state(self, z: Any) -> Array:
        z = as_integers("z", z, like=self.prior)
        _checks.category("z", z, self.prior.size)
        return z

    def _value(self, x: Any) -> Array:
        x = as_integers("x", x, like=self.prior)
        _checks.category("x", x, self.likelihood.shape[1])
        return x

    def _one(self, x: Any) -> Array:
        x = self._value(x)
        if x.ndim:
            raise ValueError(f"Expected `x` to be one observation, a whole number, but got shape {x.shape}.")
        return x

    def integrate(self, f: Callable[[Array], Array]) -> Estimate:
        return enumerate_states(f, self.prior.size)

    def sample(self, n: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
        """n pairs (z, x), each of shape (n,)."""
        _checks.generator(rng, self.prior)
        n = count("n", n)
        z = rng.choice(self.prior.size, size=n, p=self.prior)
        uniform = rng.random(n)
        x = (np.cumsum(self.likelihood, axis=1)[z] <= uniform[:, None]).sum(axis=1)
        return z, np.minimum(x, self.likelihood.shape[1] - 1)


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """z ~ N(0, I_k), x | z ~ N(W z + b, c I_d): probabilistic PCA (Tipping and Bishop 1999). All in closed form.

    Args:
        loading: W, shape (d, k).
        offset: b, shape (d,).
        noise_variance: c > 0.
    """

    loading: Array
    offset: Array
    noise_variance: float

    def __post_init__(self) -> None:
        _keep(self, "loading", "offset")
        _keep_variance(self)
        if self.loading.ndim != 2 or self.offset.shape != self.loading.shape[:1]:
            raise ValueError(
                "Expected `loading` of shape (d, k) and `offset` of shape (d,), but got "
                f"{self.loading.shape} and {self.offset.shape}. Is the loading transposed?"
            )

    @property
    def latent_dim(self) -> int:
        return self.loading.shape[1]

    @property
    def data_dim(self) -> int:
        return self.loading.shape[0]

    @property
    def prior(self) -> DiagonalNormal:
        return DiagonalNormal(np.zeros(self.latent_dim), np.ones(self.latent_dim))

    @cached_property
    @quiet
    def evidence(self) -> MultivariateNormal:
        """p(x) = N(b, W W^T + c I)."""
        covariance = self.loading @ self.loading.T + self.noise_variance * np.eye(self.data_dim)
        return MultivariateNormal(self.offset, covariance)

    def likelihood(self, z: Array) -> DiagonalNormal:
        """p(x | z) for z of shape (..., k)."""
        (z,) = as_numpy(z=z)
        _checks.event_size("z", z, self.latent_dim)
        loc = z @ self.loading.T + self.offset
        return DiagonalNormal(loc, np.full(loc.shape, np.sqrt(self.noise_variance)))

    def log_prior(self, z: Array) -> Any:
        return self.prior.log_prob(*as_numpy(z=z))

    def log_likelihood(self, x: Array, z: Array) -> Any:
        return self.likelihood(z).log_prob(*as_numpy(x=x))

    def log_joint(self, x: Array, z: Array) -> Any:
        return self.log_prior(z) + self.log_likelihood(x, z)

    def log_evidence(self, x: Array) -> Any:
        """log p(x), shape (...) for x of shape (..., d)."""
        return self.evidence.log_prob(*as_numpy(x=x))

    @quiet
    def posterior(self, x: Array) -> MultivariateNormal:
        """p(z | x) = N(M^-1 W^T (x - b), c M^-1) with M = W^T W + c I, for x of shape (..., d)."""
        precision_like = self.loading.T @ self.loading + self.noise_variance * np.eye(self.latent_dim)
        residual = self._residual(x)
        loc = np.linalg.solve(precision_like, (residual @ self.loading)[..., None])[..., 0]
        covariance = np.linalg.solve(precision_like, self.noise_variance * np.eye(self.latent_dim))
        return MultivariateNormal(loc, (covariance + covariance.T) / 2)

    def log_posterior(self, x: Array, z: Array) -> Any:
        return self.posterior(x).log_prob(*as_numpy(z=z))

    @quiet
    def expected_log_likelihood(self, x: Array, q: DiagonalNormal | MultivariateNormal) -> Any:
        """E_q[log p(x | z)] = -d/2 log(2 pi c) - (||x - W m - b||^2 + tr(W S W^T)) / (2 c), q with moments m, S."""
        covariance = _covariance(q, self.latent_dim)
        residual = self._residual(x) - as_numpy(loc=q.loc)[0] @ self.loading.T
        spread = np.sum((self.loading.T @ self.loading) * covariance, axis=(-2, -1))
        square = np.sum(residual**2, axis=-1) + spread
        return -self.data_dim / 2 * (LOG_2PI + np.log(self.noise_variance)) - square / (2 * self.noise_variance)

    def elbo(self, x: Array, q: DiagonalNormal | MultivariateNormal) -> Any:
        """E_q[log p(x | z)] - KL(q || p(z)), in closed form."""
        return self.expected_log_likelihood(x, q) - kl_divergence(q, self.prior)

    def _residual(self, x: Array) -> Array:
        """x - b; an x of the wrong size is refused, not broadcast."""
        (x,) = as_numpy(x=x)
        _checks.event_size("x", x, self.data_dim)
        _checks.finite("x", x)
        return x - self.offset

    def sample(self, n: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
        """n pairs (z, x), shapes (n, k) and (n, d)."""
        _checks.generator(rng, self.loading)
        n = count("n", n)
        z = rng.standard_normal((n, self.latent_dim))
        noise = rng.standard_normal((n, self.data_dim))
        return z, self.likelihood(z).transform(noise)


class _ScalarLatent:
    """z ~ N(0, 1) with any likelihood: one latent dimension, so quadrature gives everything."""

    latent_range = (-14.0, 14.0)  # beyond it lies 1.6e-44 of the prior

    def log_likelihood(self, x: Any, z: Any) -> Any:
        raise NotImplementedError

    @property
    def prior(self) -> Normal:
        return Normal(0.0, 1.0)

    def log_prior(self, z: Any) -> Any:
        return self.prior.log_prob(*as_numpy(z=z))

    def log_joint(self, x: Array, z: Any) -> Any:
        return self.log_prior(z) + self.log_likelihood(x, z)

    def log_evidence(self, x: Array) -> Estimate:
        """log p(x), by the trapezoid rule over the range of the prior."""
        return self._remembered(log_trapezoid, x)

    def log_posterior(self, x: Array, z: Any) -> Any:
        """log p(z | x); the normalizer comes from Gauss-Legendre panels, not from the rule of the evidence."""
        return self.log_joint(x, z) - self._remembered(log_gauss_legendre, x).value

    def _remembered(self, rule: Callable[..., Estimate], x: Array) -> Estimate:
        """log of the integral of p(x, z) by a rule; the last few observations are remembered."""
        (x,) = as_numpy(x=x)
        key = (rule, x.shape, x.tobytes())
        if key not in self._evidences:
            if len(self._evidences) >= 16:
                self._evidences.clear()
            self._evidences[key] = rule(lambda z: self.log_joint(x, z), *self.latent_range)
        return self._evidences[key]

    @cached_property
    def _evidences(self) -> dict[Any, Estimate]:
        return {}

    def integrate(self, f: Callable[[Array], Array]) -> Estimate:
        """Integral of f over the line. Raises DoesNotConverge if f does not decay."""
        return over_the_line(f, *self.latent_range)


@dataclass(frozen=True, eq=False)
class CurvedGaussian(_ScalarLatent):
    """z ~ N(0, 1), x | z ~ N(b + w z + a z^2 / 2, c I_d): a parabola in data space, blurred by noise.

    The posterior is not Gaussian and can have two modes. With zero curvature the model is a LinearGaussian.

    Args:
        loading: w, shape (d,).
        curvature: a, shape (d,).
        offset: b, shape (d,).
        noise_variance: c > 0.
    """

    loading: Array
    curvature: Array
    offset: Array
    noise_variance: float

    def __post_init__(self) -> None:
        _keep(self, "loading", "curvature", "offset")
        _keep_variance(self)
        shapes = {self.loading.shape, self.curvature.shape, self.offset.shape}
        if len(shapes) != 1 or self.loading.ndim != 1:
            raise ValueError(
                "Expected `loading`, `curvature` and `offset` of one shape (d,), but got "
                f"{self.loading.shape}, {self.curvature.shape} and {self.offset.shape}."
            )

    @property
    def data_dim(self) -> int:
        return self.loading.size

    def decoder(self, z: Any) -> Any:
        """f(z) = b + w z + a z^2 / 2, shape (..., d) for z of shape (...)."""
        z = as_numpy(z=z)[0][..., None]
        return self.offset + self.loading * z + self.curvature * z**2 / 2

    def likelihood(self, z: Any) -> DiagonalNormal:
        loc = self.decoder(z)
        return DiagonalNormal(loc, np.full(loc.shape, np.sqrt(self.noise_variance)))

    def log_likelihood(self, x: Array, z: Any) -> Any:
        """log p(x | z), shape (...) for z of shape (...) and one x of shape (d,)."""
        x = _one_observation(x, self.data_dim)
        return self.likelihood(z).log_prob(x)

    def sample(self, n: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
        """n pairs (z, x), shapes (n,) and (n, d)."""
        _checks.generator(rng, self.offset)
        n = count("n", n)
        z = rng.standard_normal(n)
        return z, self.likelihood(z).transform(rng.standard_normal((n, self.data_dim)))


@dataclass(frozen=True, eq=False)
class ScalarBernoulli(_ScalarLatent):
    """z ~ N(0, 1), x_j | z ~ Bernoulli with logits a_j(z) = slope_j z + bias_j: a VAE's decoder in miniature.

    Args:
        slope, bias: shape (d,).
    """

    slope: Array
    bias: Array

    def __post_init__(self) -> None:
        _keep(self, "slope", "bias")
        if self.slope.shape != self.bias.shape or self.slope.ndim != 1:
            raise ValueError(
                f"Expected `slope` and `bias` of one shape (d,), but got {self.slope.shape} and {self.bias.shape}."
            )

    def logits(self, z: Any) -> Any:
        """a(z), shape (..., d) for z of shape (...)."""
        return self.slope * as_numpy(z=z)[0][..., None] + self.bias

    def log_likelihood(self, x: Array, z: Any) -> Any:
        """log p(x | z), summed over the d pixels; x in {0, 1}, shape (d,)."""
        return Bernoulli(self.logits(z)).log_prob(_one_observation(x, self.slope.size)).sum(axis=-1)

    def sample(self, n: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
        """n pairs (z, x), shapes (n,) and (n, d)."""
        _checks.generator(rng, self.bias)
        n = count("n", n)
        z = rng.standard_normal(n)
        return z, Bernoulli(self.logits(z)).sample((), rng=rng)


def _keep(model: Any, *names: str) -> None:
    """The named fields as finite float64 arrays, set once, while the model is made."""
    for name in names:
        (array,) = as_numpy(**{name: getattr(model, name)})
        _checks.finite(name, array)
        object.__setattr__(model, name, array)


def _keep_variance(model: Any) -> None:
    variance = _checks.number("noise_variance", model.noise_variance)
    _checks.positive("noise_variance", np.asarray(variance))
    object.__setattr__(model, "noise_variance", variance)


def _one_observation(x: Any, size: int) -> Array:
    (x,) = as_numpy(x=x)
    _checks.event_size("x", x, size)
    return x


def _covariance(q: DiagonalNormal | MultivariateNormal, size: int) -> Array:
    """Of q, (..., size, size); q itself is looked at first."""
    if not isinstance(q, DiagonalNormal | MultivariateNormal):
        raise TypeError(f"Expected `q` to be a DiagonalNormal or MultivariateNormal of vaelib, but got {described(q)}.")
    (covariance,) = as_numpy(covariance=q.covariance)
    _checks.event_size("covariance of q", covariance, size)
    return covariance


@quiet
def _log(p: Any) -> Any:
    return np.log(p)
