"""The evidence lower bound: its terms, its forms, and the importance-weighted bound. All in nats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib import _checks
from vaelib._arrays import is_tensor, namespace
from vaelib._door import as_arrays, as_numpy, count, described
from vaelib._quiet import quiet, settled
from vaelib.distributions import Distribution
from vaelib.estimate import Estimate


@quiet
def elbo(log_likelihood: Any, kl: Any, beta: Any = 1.0) -> Any:
    """E_q[log p(x | z)] - beta KL(q || p(z)), elementwise; only beta = 1 bounds log p(x) as tightly as q allows.

    Args:
        log_likelihood: E_q[log p(x | z)] or a sample of it, shape (batch,), summed over pixels; or an Estimate.
        kl: KL(q || p(z)), shape (batch,), summed over latents; a single number is taken off each.
        beta: a number, or one for each.

    Raises:
        ValueError: the shapes differ so that each log-likelihood would meet each KL: (batch,) and (batch, 1).

    Example:
        elbo(log_likelihood=[-90.0, -80.0], kl=[20.0, 15.0])    # [-110, -95]

    Source: Kingma and Welling 2014, equation (3); Higgins et al. 2017 for beta.
    """
    if not (settled() or isinstance(log_likelihood, Estimate) or isinstance(kl, Estimate)):
        log_likelihood, kl, beta = as_arrays(log_likelihood=log_likelihood, kl=kl, beta=beta)
        _checks.agree(log_likelihood=log_likelihood, kl=kl, beta=beta)
    return log_likelihood - beta * kl


@quiet
def importance_weighted_bound(log_weights: Any, axis: int = 0) -> Any:
    """log (1/K) sum_k w_k with w_k = p(x, z_k) / q(z_k), z_k ~ q: its mean is a lower bound on log p(x).

    Args:
        log_weights: log w_k, any shape; `axis` runs over the K samples. NumPy or torch.

    Raises:
        ValueError: there is no such axis, or no sample along it.

    Example:
        importance_weighted_bound([0.0, math.log(3.0)])    # log 2

    Source: Burda, Grosse and Salakhutdinov 2016, equation (8). The logarithm of the mean, not the mean of the
    logarithms: that would be the ELBO.
    """
    (log_weights,) = as_arrays(log_weights=log_weights)
    if not settled():
        axis = count("axis", axis, least=-log_weights.ndim)
        if not axis < log_weights.ndim or log_weights.shape[axis] == 0:
            raise ValueError(
                f"Expected `log_weights` to have samples along axis {axis}, but got shape {tuple(log_weights.shape)}."
            )
    if is_tensor(log_weights):
        return namespace(log_weights).logsumexp(log_weights, dim=axis) - float(np.log(log_weights.shape[axis]))
    largest = np.max(log_weights, axis=axis, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    return np.log(np.mean(np.exp(log_weights - largest), axis=axis)) + np.squeeze(largest, axis=axis)


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

    Raises:
        TypeError: `q` is not one of vaelib's distributions, or the model has no `integrate`.
    """
    if not isinstance(q, Distribution):
        raise TypeError(f"Expected `q` to be a distribution of vaelib, but got {described(q)}.")
    if not hasattr(model, "integrate"):
        raise TypeError(f"Expected `model` to be an exact model with `integrate`, but got {described(model)}.")

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


@quiet
def density_times(log_density: Any, f: Any) -> Any:
    """exp(log_density) f, and 0 where the density is 0 even if f is infinite there (0 log 0 = 0). NumPy.

    Args:
        log_density: at n points, (n,), or one number. f: at the same points, (n,), or one number.

    Raises:
        ValueError: the shapes differ so that each density would meet each value of f.
    """
    log_density, f = as_numpy(log_density=log_density, f=f)
    _checks.agree(log_density=log_density, f=f)
    density = np.exp(log_density)
    return np.where(density > 0, density, 0.0) * np.where(density > 0, f, 0.0)
