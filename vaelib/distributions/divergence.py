"""KL(q || p) between two distributions: which closed form, on which parameters."""

from __future__ import annotations

from collections.abc import Callable

from vaelib import _checks, kl
from vaelib._arrays import Array, as_arrays
from vaelib.distributions.base import Distribution
from vaelib.distributions.discrete import Bernoulli, Categorical
from vaelib.distributions.gaussian import DiagonalNormal, MultivariateNormal, Normal, check_vector
from vaelib.distributions.scalar import Exponential, Gamma, Laplace


def _elementwise(closed_form: Callable[..., Array], *names: str) -> Callable[[Distribution, Distribution], Array]:
    """`closed_form` on the named parameters of q, then of p."""

    def divergence(q: Distribution, p: Distribution) -> Array:
        arrays = as_arrays(*(getattr(q, name) for name in names), *(getattr(p, name) for name in names))
        _checks.broadcastable(q=arrays[0], p=arrays[len(names)])
        return closed_form(*arrays)

    return divergence


def _categorical(q: Categorical, p: Categorical) -> Array:
    logits_q, logits_p = as_arrays(q.logits, p.logits)
    _checks.event_size("logits of q", logits_q, logits_p.shape[-1])
    _checks.broadcastable(q=logits_q, p=logits_p)
    return kl.categorical(logits_q, logits_p)


def _independent_coordinates(q: DiagonalNormal, p: DiagonalNormal) -> Array:
    arrays = as_arrays(q.loc, q.scale, p.loc, p.scale)
    check_vector("loc of q", arrays[0], arrays[2])
    return kl.normal(*arrays).sum(-1)


def _full_covariance(q: DiagonalNormal | MultivariateNormal, p: DiagonalNormal | MultivariateNormal) -> Array:
    arrays = as_arrays(q.loc, q.covariance, q.cholesky, p.loc, p.covariance, p.cholesky)
    check_vector("loc of q", arrays[0], arrays[3])
    return kl.multivariate_normal(*arrays)


def _normal_laplace(q: Normal, p: Laplace) -> Array:
    distance, scale_q, scale_p = as_arrays(q.mean_distance(p.loc), q.scale, p.scale)
    return kl.normal_laplace(distance, scale_q, scale_p)


def _gamma_normal(q: Gamma, p: Normal) -> Array:
    concentration, rate, loc, scale = as_arrays(q.concentration, q.rate, p.loc, p.scale)
    _checks.broadcastable(q=rate, p=loc)
    return kl.gamma_normal(concentration, rate, loc, scale)


def _infinite(q: Distribution, p: Distribution) -> Array:
    """q gives mass to x < 0, where p has none: the cross-entropy is infinite, and so is the KL."""
    return q.cross_entropy(p)


_gamma = _elementwise(kl.gamma, "concentration", "rate")

CLOSED_FORMS: dict[tuple[type, type], Callable[..., Array]] = {
    (Normal, Normal): _elementwise(kl.normal, "loc", "scale"),
    (DiagonalNormal, DiagonalNormal): _independent_coordinates,
    (DiagonalNormal, MultivariateNormal): _full_covariance,
    (MultivariateNormal, DiagonalNormal): _full_covariance,
    (MultivariateNormal, MultivariateNormal): _full_covariance,
    (Bernoulli, Bernoulli): _elementwise(kl.bernoulli, "logits"),
    (Categorical, Categorical): _categorical,
    (Laplace, Laplace): _elementwise(kl.laplace, "loc", "scale"),
    (Gamma, Gamma): _gamma,
    (Gamma, Exponential): _gamma,
    (Exponential, Gamma): _gamma,
    (Exponential, Exponential): _elementwise(kl.exponential, "rate"),
    (Normal, Laplace): _normal_laplace,
    (Laplace, Normal): _elementwise(kl.laplace_normal, "loc", "scale"),
    (Gamma, Normal): _gamma_normal,
    (Exponential, Normal): _gamma_normal,
    (Normal, Gamma): _infinite,
    (Normal, Exponential): _infinite,
    (Laplace, Gamma): _infinite,
    (Laplace, Exponential): _infinite,
}


def kl_divergence(q: Distribution, p: Distribution) -> Array:
    r"""KL(q || p) = E_q[log q(x) - log p(x)], in nats.

    Gaussians as in Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), appendix B, for any p; all forms are
    derived in `vaelib.kl`, and arranged so that they are never negative and keep their digits as q nears p.

    Args:
        q: the distribution that the expectation is taken under.
        p: of the same family, or of one that has a closed form with q's; batch shapes broadcast.

    Returns:
        Array of the batch shape, >= 0; 0 where q = p, infinite where q gives mass to what p excludes.

    Raises:
        TypeError: this pair has no closed form here; the message lists those that have.
        ValueError: the shapes do not fit.
    """
    closed_form = CLOSED_FORMS.get((type(q), type(p)))
    if closed_form is None:
        pairs = ", ".join(f"{a.__name__}-{b.__name__}" for a, b in CLOSED_FORMS)
        raise TypeError(
            f"Expected a pair (q, p) with a closed-form KL, but got q = {type(q).__name__} and p = {type(p).__name__}."
            f" These have one: {pairs}. Normal is a batch of scalars; DiagonalNormal has its event on the last axis."
        )
    return closed_form(q, p)
