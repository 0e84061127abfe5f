r"""Expectation maximization as pure functions: E and M steps of a Gaussian mixture and of probabilistic PCA.

Both steps climb the bound F(q, theta) = E_q[log p(x, z)] + H(q) <= log p(x). The E step sets q to the posterior, where
the bound touches the evidence; the M step maximizes over theta with q held fixed (Neal and Hinton 1998). Values are in
nats and per example, shape (N,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from vaelib import _checks
from vaelib._door import as_numpy, count, described
from vaelib._quiet import quiet
from vaelib.distributions import MultivariateNormal
from vaelib.models import LOG_2PI, LinearGaussian

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    r"""p(z = k) = weights_k, x | z = k ~ N(loc_k, scale_k^2 I_d): round clusters, each with its own width.

    Args:
        weights: shape (K,), summing to one.
        loc: shape (K, d).
        scale: standard deviations > 0, shape (K,).
    """

    weights: Array
    loc: Array
    scale: Array

    def __post_init__(self) -> None:
        weights = self.weights
        for name, array in zip(
            ("weights", "loc", "scale"), as_numpy(weights=weights, loc=self.loc, scale=self.scale), strict=True
        ):
            object.__setattr__(self, name, array)
        if self.loc.ndim != 2 or not self.weights.shape == self.scale.shape == self.loc.shape[:1]:
            raise ValueError(
                "Expected `weights` and `scale` of shape (K,) and `loc` of shape (K, d), but got "
                f"{self.weights.shape}, {self.scale.shape} and {self.loc.shape}. For d = 1 write loc[:, None]."
            )
        object.__setattr__(self, "weights", np.asarray(_checks.table("weights", weights)))
        _checks.finite("loc", self.loc)
        _checks.positive("scale", self.scale)

    @quiet
    def log_joint(self, x: Array) -> Array:
        """log p(x_i, z = k), shape (N, K) for x of shape (N, d)."""
        x = _rows(x, self.loc.shape[1])
        square = np.sum((x[:, None, :] - self.loc) ** 2, axis=2)  # (N, K)
        log_normalizer = self.loc.shape[1] * (0.5 * LOG_2PI + np.log(self.scale))
        # a cluster that lost all its points has log weight -inf
        return np.log(self.weights) - log_normalizer - square / (2 * self.scale**2)

    @quiet
    def log_evidence(self, x: Array) -> Array:
        """log p(x_i), shape (N,)."""
        return np.asarray(logsumexp(self.log_joint(x), axis=1))

    def sample(self, n: int, *, rng: np.random.Generator) -> tuple[Array, Array]:
        """n pairs (z, x), shapes (n,) and (n, d)."""
        _checks.generator(rng, self.loc)
        n = count("n", n)
        z = rng.choice(self.weights.size, size=n, p=self.weights)
        return z, self.loc[z] + self.scale[z, None] * rng.standard_normal((n, self.loc.shape[1]))


@quiet
def mixture_e_step(model: GaussianMixture, x: Array) -> Array:
    r"""Responsibilities r_ik = p(z = k | x_i) = exp(log p(x_i, k) - log p(x_i)), shape (N, K); rows sum to one.

    Computed from logarithms, so a narrow cluster (scale 1e-3) gives zeros and ones, never 0/0.

    Source: Bishop 2006, equation (9.23).
    """
    _require_mixture(model)
    log_joint = model.log_joint(x)
    return np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))


@quiet
def mixture_m_step(x: Array, responsibilities: Array) -> GaussianMixture:
    r"""The mixture that maximizes sum_ik r_ik log p(x_i, k) for given r.

    With N_k = sum_i r_ik: weights_k = N_k / N, loc_k = sum_i r_ik x_i / N_k, and
    scale_k^2 = sum_i r_ik |x_i - loc_k|^2 / (d N_k).

    Args:
        x: shape (N, d). responsibilities: shape (N, K), rows summing to one.

    Raises:
        ValueError: if a cluster has no points (N_k = 0), or sits on a single one (scale 0, an unbounded likelihood).

    Source: Bishop 2006, equations (9.24) to (9.26), for spherical covariances.
    """
    table = responsibilities
    x, responsibilities = as_numpy(x=x, responsibilities=responsibilities)
    if responsibilities.ndim != 2 or x.ndim != 2 or len(x) != len(responsibilities) or x.size == 0:
        raise ValueError(
            "Expected `x` of shape (N, d) and `responsibilities` of shape (N, K), one row for each example, but got "
            f"{x.shape} and {responsibilities.shape}."
        )
    _checks.finite("x", x)
    responsibilities = np.asarray(_checks.table("responsibilities", table))
    mass = responsibilities.sum(axis=0)  # N_k
    _checks.positive("responsibilities.sum(0)", mass, "A cluster has lost all its points: start it elsewhere.")
    loc = responsibilities.T @ x / mass[:, None]
    square = np.sum((x[:, None, :] - loc) ** 2, axis=2)  # (N, K)
    variance = np.sum(responsibilities * square, axis=0) / (x.shape[1] * mass)
    _checks.positive("variance", variance, "A cluster sits on a single point: there the likelihood has no maximum.")
    return GaussianMixture(mass / len(x), loc, np.sqrt(variance))


@quiet
def mixture_bound(model: GaussianMixture, x: Array, responsibilities: Array) -> Array:
    r"""F(q_i, theta) = sum_k r_ik [log p(x_i, k) - log r_ik] for each example, shape (N,), with 0 log 0 = 0.

    Source: Neal and Hinton 1998, section 2, one term for each example.
    """
    _require_mixture(model)
    log_joint = model.log_joint(x)
    responsibilities = np.asarray(_checks.table("responsibilities", responsibilities))
    if responsibilities.shape != log_joint.shape:
        raise ValueError(
            f"Expected `responsibilities` of shape (N, K), here {log_joint.shape}, but got {responsibilities.shape}."
        )
    positive = responsibilities > 0
    log_q = np.log(np.where(positive, responsibilities, 1.0))
    log_ratio = np.where(positive, log_joint, 0.0) - log_q
    return np.sum(np.where(positive, responsibilities * log_ratio, 0.0), axis=1)


def ppca_e_step(model: LinearGaussian, x: Array) -> MultivariateNormal:
    """q(z_i) = p(z | x_i), with means of shape (N, k); the covariance is the same for every x.

    Source: Tipping and Bishop 1999, appendix B.
    """
    if not isinstance(model, LinearGaussian):
        raise TypeError(f"Expected `model` to be a LinearGaussian, but got {described(model)}.")
    return model.posterior(_rows(x, model.data_dim))


@quiet
def ppca_m_step(x: Array, q: MultivariateNormal) -> LinearGaussian:
    r"""The linear-Gaussian model that maximizes sum_i E_q[log p(x_i, z)], q_i = N(m_i, S_i) held fixed.

    W = C_xm (C_mm + S)^-1, b = x_bar - W m_bar, c = (1/Nd) sum_i [|x_i - W m_i - b|^2 + tr(W S W^T)], where C are the
    covariances (divided by N) of x and m, and S is the mean of the S_i: a regression of x on a z known with error.

    Args:
        x: shape (N, d). q: loc of shape (N, k), covariance of shape (N, k, k).

    Source: Tipping and Bishop 1999, appendix B, with the offset estimated along.
    """
    if not isinstance(q, MultivariateNormal):
        raise TypeError(f"Expected `q` to be a MultivariateNormal of vaelib, but got {described(q)}.")
    x, q_loc, q_covariance = as_numpy(x=x, loc=q.loc, covariance=q.covariance)
    if x.ndim != 2 or q_loc.ndim != 2 or len(x) != len(q_loc) or q_covariance.ndim != 3 or x.size == 0:
        raise ValueError(
            "Expected `x` of shape (N, d) and `q.loc` of shape (N, k), one row for each example, but got "
            f"{x.shape} and {q_loc.shape}. Was q computed from another batch?"
        )
    x_mean, m_mean = x.mean(axis=0), q_loc.mean(axis=0)
    centered_x, centered_m = x - x_mean, q_loc - m_mean
    covariance = np.mean(q_covariance, axis=0)  # S
    second_moment = centered_m.T @ centered_m / len(x) + covariance  # (k, k)
    loading = np.linalg.solve(second_moment, centered_m.T @ centered_x / len(x)).T  # (d, k)
    residual = centered_x - centered_m @ loading.T
    spread = np.trace(loading @ covariance @ loading.T)
    noise_variance = (np.mean(np.sum(residual**2, axis=1)) + spread) / x.shape[1]
    return LinearGaussian(loading, x_mean - loading @ m_mean, float(noise_variance))


@quiet
def ppca_maximum(x: Array, latent_dim: int) -> LinearGaussian:
    r"""Probabilistic PCA by eigenvalues, where EM ends: b = x_bar, c = mean of the d - k smallest, W = U (L - c I)^1/2.

    U and L hold the k leading eigenvectors and eigenvalues of the covariance (divided by N). W is unique up to a
    rotation of z: W R with any orthogonal R gives the same p(x).

    Args:
        x: shape (N, d). latent_dim: k, with 0 < k < d.

    Source: Tipping and Bishop 1999, equations (7) and (8).
    """
    (x,), latent_dim = as_numpy(x=x), count("latent_dim", latent_dim)
    _checks.finite("x", x)
    if x.ndim != 2 or not 0 < latent_dim < x.shape[1] or len(x) <= x.shape[1]:
        raise ValueError(
            f"Expected `x` of shape (N, d) with N > d and 0 < latent_dim < d, but got shape {x.shape} and latent_dim "
            f"{latent_dim}. At k = d nothing is left over for the noise."
        )
    centered = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(x))  # in ascending order
    noise_variance = float(values[:-latent_dim].mean())
    lengths = np.sqrt(values[-latent_dim:] - noise_variance)
    return LinearGaussian(vectors[:, -latent_dim:] * lengths, x.mean(axis=0), noise_variance)


def _rows(x: Array, size: int) -> Array:
    """x of shape (N, d), finite."""
    (x,) = as_numpy(x=x)
    _checks.event_size("x", x, size)
    if x.ndim != 2:
        raise ValueError(f"Expected `x` to have shape (N, {size}), one row for each example, but got {x.shape}.")
    _checks.finite("x", x)
    return x


def _require_mixture(model: GaussianMixture) -> None:
    if not isinstance(model, GaussianMixture):
        raise TypeError(f"Expected `model` to be a GaussianMixture, but got {described(model)}.")
