"""KL(q || p) between two distributions: which closed form, on which parameters."""

from __future__ import annotations

from collections.abc import Callable

from vaelib import _checks, kl
from vaelib._arrays import Array, namespace
from vaelib._door import as_arrays, described
from vaelib._quiet import quiet
from vaelib.distributions.base import Distribution
from vaelib.distributions.discrete import Bernoulli, Categorical
from vaelib.distributions.gaussian import DiagonalNormal, MultivariateNormal, Normal, check_vector
from vaelib.distributions.levels import DiscretizedLogistic
from vaelib.distributions.scalar import Exponential, Gamma, Laplace


def _bare(closed_form: Callable[..., Array]) -> Callable[..., Array]:
    """The formula without its checks: a distribution has checked its parameters."""
    return closed_form.__wrapped__  # type: ignore[attr-defined]


def _elementwise(closed_form: Callable[..., Array], *names: str) -> Callable[[Distribution, Distribution], Array]:
    """`closed_form` on the named parameters of q, then of p."""
    formula = _bare(closed_form)

    def divergence(q: Distribution, p: Distribution) -> Array:
        of_q, of_p = ({f"{name} of {d}": getattr(at, name) for name in names} for d, at in (("q", q), ("p", p)))
        arrays = as_arrays(**of_q, **of_p)
        _checks.broadcastable(q=arrays[0], p=arrays[len(names)])
        return formula(*arrays)

    return divergence


def _bernoulli(q: Bernoulli, p: Bernoulli) -> Array:
    if q.knows_logits and p.knows_logits:
        return _of_logits(q, p)
    terms = [
        _bare(kl.of_probabilities)(*_alike(q=q_x, p=p_x, log_q=log_q_x, log_p=log_p_x))
        for (q_x, log_q_x), (p_x, log_p_x) in zip(q.outcomes, p.outcomes, strict=True)
    ]
    return terms[0] + terms[1]


def _categorical(q: Categorical, p: Categorical) -> Array:
    _checks.event_size("logits of q", q.logits, p.logits.shape[-1])
    if q.knows_logits and p.knows_logits:
        return _bare(kl.categorical)(*_alike(q=q.logits, p=p.logits))
    arrays = _alike(q=q.probs, p=p.probs, log_q=q.log_probs, log_p=p.log_probs)
    return _bare(kl.of_probabilities)(*arrays).sum(-1)


def _of_levels(q: DiscretizedLogistic, p: DiscretizedLogistic) -> Array:
    if q.levels != p.levels:
        raise ValueError(f"Expected `q` and `p` to have the same levels, but got {q.levels} and {p.levels}.")
    total: Array = 0.0
    for of_q, of_p in zip(q._log_probs(), p._log_probs(), strict=True):
        log_q, log_p = _alike(q=of_q, p=of_p)
        exp = namespace(log_q).exp
        total = total + _bare(kl.of_probabilities)(exp(log_q), exp(log_p), log_q, log_p)
    return total


def _alike(**named: Array) -> tuple[Array, ...]:
    """Arrays of one kind, the first of q and the second of p."""
    arrays = as_arrays(**named)
    _checks.broadcastable(q=arrays[0], p=arrays[1])
    return arrays


def _independent_coordinates(q: DiagonalNormal, p: DiagonalNormal) -> Array:
    arrays = as_arrays(loc_q=q.loc, scale_q=q.scale, loc_p=p.loc, scale_p=p.scale)
    check_vector("loc of q", arrays[0], arrays[2])
    return _normal(*arrays).sum(-1)


def _full_covariance(q: DiagonalNormal | MultivariateNormal, p: DiagonalNormal | MultivariateNormal) -> Array:
    of_q = {"loc_q": q.loc, "covariance_q": q.covariance, "factor_q": q.cholesky}
    arrays = as_arrays(**of_q, loc_p=p.loc, covariance_p=p.covariance, factor_p=p.cholesky)
    check_vector("loc of q", arrays[0], arrays[3])
    return _bare(kl.multivariate_normal)(*arrays)


def _normal_laplace(q: Normal, p: Laplace) -> Array:
    return _bare(kl.normal_laplace)(*as_arrays(distance=q.mean_distance(p.loc), scale_q=q.scale, scale_p=p.scale))


def _gamma_normal(q: Gamma, p: Normal) -> Array:
    rate, loc, concentration, scale = _alike(
        rate_q=q.rate, loc_p=p.loc, concentration_q=q.concentration, scale_p=p.scale
    )
    return _bare(kl.gamma_normal)(concentration, rate, loc, scale)


def _infinite(q: Distribution, p: Distribution) -> Array:
    """q gives mass to x < 0, where p has none: the cross-entropy is infinite, and so is the KL."""
    return q.cross_entropy(p)


_normal = _bare(kl.normal)
_of_logits = _elementwise(kl.bernoulli, "logits")
_gamma = _elementwise(kl.gamma, "concentration", "rate")

CLOSED_FORMS: dict[tuple[type, type], Callable[..., Array]] = {
    (Normal, Normal): _elementwise(kl.normal, "loc", "scale"),
    (DiagonalNormal, DiagonalNormal): _independent_coordinates,
    (DiagonalNormal, MultivariateNormal): _full_covariance,
    (MultivariateNormal, DiagonalNormal): _full_covariance,
    (MultivariateNormal, MultivariateNormal): _full_covariance,
    (Bernoulli, Bernoulli): _bernoulli,
    (Categorical, Categorical): _categorical,
    (DiscretizedLogistic, DiscretizedLogistic): _of_levels,
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


@quiet
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
        kinds = [type(d).__name__ if isinstance(d, Distribution) else described(d) for d in (q, p)]
        raise TypeError(
            f"Expected a pair (q, p) with a closed-form KL, but got q = {kinds[0]} and p = {kinds[1]}."
            f" These have one: {pairs}. Normal is a batch of scalars; DiagonalNormal has its event on the last axis."
        )
    return closed_form(q, p)
