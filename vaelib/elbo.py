"""The evidence lower bound: its terms, its forms, and the importance-weighted bound. All in nats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib._arrays import namespace
from vaelib.estimate import Estimate


def elbo(log_likelihood: Any, kl: Any, beta: Any = 1.0) -> Any:
    """E_q[log p(x | z)] - beta KL(q || p(z)), elementwise; only beta = 1 bounds log p(x) as tightly as q allows.

    Args:
        log_likelihood: E_q[log p(x | z)] or a sample of it, shape (batch,), summed over pixels.
        kl: KL(q || p(z)), shape (batch,), summed over latents.

    Source: Kingma and Welling 2014, equation (3); Higgins et al. 2017 for beta.
    """
    return log_likelihood - beta * kl


def importance_weighted_bound(log_weights: Any, axis: int = 0) -> Any:
    """log (1/K) sum_k w_k with w_k = p(x, z_k) / q(z_k), z_k ~ q: its mean is a lower bound on log p(x).

    Args:
        log_weights: log w_k, any shape; `axis` runs over the K samples. NumPy or torch.

    Source: Burda, Grosse and Salakhutdinov 2016, equation (8). The logarithm of the mean, not the mean of the
    logarithms: that would be the ELBO.
    """
    xp = namespace(log_weights)
    if xp is np:
        log_weights = np.asarray(log_weights, dtype=float)
        largest = np.max(log_weights, axis=axis, keepdims=True)
        largest = np.where(np.isfinite(largest), largest, 0.0)
        with np.errstate(divide="ignore", over="ignore"):  # all weights zero, or one of them infinite
            return np.log(np.mean(np.exp(log_weights - largest), axis=axis)) + np.squeeze(largest, axis=axis)
    return xp.logsumexp(log_weights, dim=axis) - float(np.log(log_weights.shape[axis]))


@dataclass(frozen=True)
class BoundTerms:
    """What the bound is made of for one x on an exact model; each an Estimate in nats."""

    log_evidence: Estimate
    log_likelihood: Estimate  # E_q[log p(x | z)]
    log_joint: Estimate  # E_q[log p(x, z)]
    cross_entropy: Estimate  # -E_q[log p(z)]
    entropy: Estimate  # -E_q[log q(z)]
    gap: Estimate  # KL(q || p(z | x))

    @property
    def kl(self) -> Estimate:
        """KL(q || p(z)) = cross-entropy - entropy."""
        return self.cross_entropy - self.entropy

    @property
    def elbo(self) -> Estimate:
        return self.log_likelihood - self.kl

    def forms(self) -> dict[str, Estimate]:
        """The forms of the bound, by name; on one model they all have the same value."""
        return {
            "log-likelihood - KL": self.elbo,
            "log-joint + entropy": self.log_joint + self.entropy,
            "log-likelihood - cross-entropy + entropy": self.log_likelihood - self.cross_entropy + self.entropy,
            "log-evidence - gap": self.log_evidence - self.gap,
            "minus free energy": -(-self.entropy - self.log_joint),
        }


def bound_terms(model: Any, x: Any, q: Any) -> BoundTerms:
    """Every term of the bound by summation or quadrature on an exact model with `integrate`.

    Args:
        model: DiscreteLatent or CurvedGaussian. x: one observation. q: a distribution over z with `log_prob`.
    """

    def under_q(f: Any) -> Estimate:
        return model.integrate(lambda z: density_times(q.log_prob(z), f(z)))

    evidence = model.log_evidence(x)
    return BoundTerms(
        log_evidence=evidence if isinstance(evidence, Estimate) else Estimate(evidence),
        log_likelihood=under_q(lambda z: model.log_likelihood(x, z)),
        log_joint=under_q(lambda z: model.log_joint(x, z)),
        cross_entropy=-under_q(model.log_prior),
        entropy=-under_q(q.log_prob),
        gap=under_q(lambda z: q.log_prob(z) - model.log_posterior(x, z)),
    )


def density_times(log_density: Any, f: Any) -> Any:
    """exp(log_density) f, and 0 where the density is 0 even if f is infinite there (0 log 0 = 0)."""
    density = np.exp(log_density)
    return np.where(density > 0, density, 0.0) * np.where(density > 0, f, 0.0)
