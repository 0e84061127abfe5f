"""Probability distributions on NumPy arrays and torch tensors, and `kl_divergence(q, p)`.

Every distribution is a frozen dataclass of its parameters, broadcast against each other. `batch_shape` is the shape of
independent distributions held together, `event_shape` that of one draw. Log-probabilities, entropies and divergences
are in nats and have the batch shape. NumPy parameters become float64; tensors keep their dtype, device and gradient.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.special

from vaelib import _checks, kl
from vaelib._arrays import (
    as_arrays,
    as_integers,
    broadcast,
    broadcast_to,
    detached,
    diagonal,
    diagonal_matrix,
    is_tensor,
    namespace,
    solve_lower,
    special,
    take_along_last,
    transpose,
    where,
)
from vaelib._special import log_normalize, softplus, weighted

Array = Any
Shape = tuple[int, ...]

LOG_2PI = math.log(2.0 * math.pi)


class Distribution:
    """What every distribution can do. Not made by itself: use one of its subclasses."""

    noise: str  # what `transform` expects: "normal", "uniform" or "gumbel", independent and standard

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent distributions held together; log_prob, entropy and KL have it."""
        return tuple(self._parameter().shape)

    @property
    def event_shape(self) -> Shape:
        """Shape of one draw."""
        return ()

    def _parameter(self) -> Array:
        """A parameter of shape batch_shape + event_shape, whose kind, dtype and device the draws share."""
        raise NotImplementedError

    def log_prob(self, x: Array) -> Array:
        raise NotImplementedError

    def entropy(self) -> Array:
        raise NotImplementedError

    def transform(self, noise: Array) -> Array:
        raise NotImplementedError

    def _expected_nll(self, q: Distribution) -> Array:
        """-E_q log p for this p; NotImplemented where there is no closed form."""
        return NotImplemented

    def cross_entropy(self, p: Distribution) -> Array:
        """-E_q[log p(z)] in nats for this q; infinite where q puts mass where p has none."""
        result = p._expected_nll(self) if isinstance(p, Distribution) else NotImplemented
        if result is NotImplemented:
            raise _no_closed_form("cross_entropy", self, p)
        return result

    def draw_noise(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        """Independent standard noise of shape sample_shape + batch_shape + event_shape, as `transform` expects it."""
        like = self._parameter()
        _checks.generator(rng, like)
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        shape = shape + tuple(like.shape)
        if is_tensor(like):
            torch = sys.modules["torch"]
            draw = torch.randn if self.noise == "normal" else torch.rand
            noise = draw(shape, generator=rng, dtype=like.dtype, device=like.device)
        else:
            noise = rng.standard_normal(shape) if self.noise == "normal" else rng.random(shape)
        if self.noise == "normal":
            return noise
        # A generator returns multiples of eps/2, zero included; half a step keeps the logarithm of zero away.
        noise = noise.clip(float(namespace(noise).finfo(noise.dtype).eps) / 4)
        return -namespace(noise).log(-namespace(noise).log(noise)) if self.noise == "gumbel" else noise

    def sample(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        """Independent draws of shape sample_shape + batch_shape + event_shape; they carry no gradient.

        Args:
            sample_shape: how many draws, a number or a shape.
            rng: numpy.random.Generator for NumPy parameters, torch.Generator for tensors.
        """
        return detached(self.transform(self.draw_noise(sample_shape, rng=rng)))

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Normal(Distribution):
    r"""N(loc, scale^2): a batch of scalars."""

    loc: Array
    scale: Array

    noise = "normal"

    def __post_init__(self) -> None:
        loc, scale = _location_and_scale(self.loc, self.scale)
        self._set(loc=loc, scale=scale)

    def _parameter(self) -> Array:
        return self.loc

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def variance(self) -> Array:
        return self.scale**2

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x, self.loc, self.scale)
        _checks.broadcastable(x=x, loc=loc)
        return -0.5 * ((x - loc) / scale) ** 2 - namespace(scale).log(scale) - 0.5 * LOG_2PI

    def entropy(self) -> Array:
        return namespace(self.scale).log(self.scale) + 0.5 * (1.0 + LOG_2PI)

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise, self.loc, self.scale)
        _checks.broadcastable(noise=noise, loc=loc)
        return loc + scale * noise

    def _mean_distance(self, point: Array) -> Array:
        """E|z - point|, the mean of a folded normal."""
        loc, scale, point = as_arrays(self.loc, self.scale, point)
        gap = loc - point
        standardized = gap / scale
        bell = namespace(loc).exp(-0.5 * standardized**2)
        return scale * math.sqrt(2.0 / math.pi) * bell + gap * special(loc).erf(standardized / math.sqrt(2.0))

    def _expected_nll(self, q: Distribution) -> Array:
        if not isinstance(q, Normal | Laplace | Gamma):
            return NotImplemented
        mean, variance, loc, scale = as_arrays(q.mean, q.variance, self.loc, self.scale)
        return namespace(scale).log(scale) + 0.5 * (LOG_2PI + (variance + (mean - loc) ** 2) / scale**2)


@dataclass(frozen=True, eq=False)
class DiagonalNormal(Distribution):
    r"""N(loc, diag(scale^2)): independent coordinates; the event is the last axis."""

    loc: Array
    scale: Array

    noise = "normal"

    def __post_init__(self) -> None:
        loc, scale = _location_and_scale(self.loc, self.scale)
        _checks.event_axis("loc", loc)
        self._set(loc=loc, scale=scale)

    def _parameter(self) -> Array:
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

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x, self.loc, self.scale)
        _checks.event_size("x", x, loc.shape[-1])
        _checks.broadcastable(x=x, loc=loc)
        standardized = (x - loc) / scale
        log_volume = namespace(scale).log(scale).sum(-1) + 0.5 * loc.shape[-1] * LOG_2PI
        return -0.5 * (standardized**2).sum(-1) - log_volume

    def entropy(self) -> Array:
        return namespace(self.scale).log(self.scale).sum(-1) + 0.5 * self.loc.shape[-1] * (1.0 + LOG_2PI)

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise, self.loc, self.scale)
        _checks.event_size("noise", noise, loc.shape[-1])
        _checks.broadcastable(noise=noise, loc=loc)
        return loc + scale * noise

    def _factor(self) -> tuple[Array, Array, Array]:
        return self.loc, diagonal_matrix(self.scale), diagonal_matrix(self.scale**2)

    def _expected_nll(self, q: Distribution) -> Array:
        if not isinstance(q, DiagonalNormal | MultivariateNormal):
            return NotImplemented
        variance_q = q.variance if isinstance(q, DiagonalNormal) else diagonal(q.covariance)
        mean, variance, loc, scale = as_arrays(q.loc, variance_q, self.loc, self.scale)
        _same_event(q, self)
        terms = namespace(scale).log(scale) + 0.5 * (LOG_2PI + (variance + (mean - loc) ** 2) / scale**2)
        return terms.sum(-1)


@dataclass(frozen=True, eq=False)
class MultivariateNormal(Distribution):
    r"""N(loc, covariance); the event is the last axis. The Cholesky factor is computed once; nothing is inverted."""

    loc: Array
    covariance: Array
    cholesky: Array = field(init=False, repr=False)

    noise = "normal"

    def __post_init__(self) -> None:
        loc, covariance = as_arrays(self.loc, self.covariance)
        _checks.event_axis("loc", loc)
        _checks.finite("loc", loc)
        _checks.covariance("covariance", covariance)
        size = covariance.shape[-1]
        if loc.shape[-1] not in (1, size):
            raise ValueError(
                f"Expected `loc` and `covariance` to agree on the size of the event, but got shapes {tuple(loc.shape)}"
                f" and {tuple(covariance.shape)}."
            )
        batch = _checks.broadcastable(loc=loc[..., 0], covariance=covariance[..., 0, 0])
        loc = broadcast_to(loc, (*batch, size))
        covariance = broadcast_to(covariance, (*batch, size, size))
        self._set(loc=loc, covariance=covariance, cholesky=_cholesky(covariance))

    def _parameter(self) -> Array:
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

    def log_prob(self, x: Array) -> Array:
        x, loc, factor = as_arrays(x, self.loc, self.cholesky)
        _checks.event_size("x", x, loc.shape[-1])
        _checks.broadcastable(x=x, loc=loc)
        standardized = solve_lower(factor, (x - loc)[..., None])[..., 0]
        return -0.5 * (standardized**2).sum(-1) - _log_volume(factor)

    def entropy(self) -> Array:
        return _log_volume(self.cholesky) + 0.5 * self.loc.shape[-1]

    def transform(self, noise: Array) -> Array:
        noise, loc, factor = as_arrays(noise, self.loc, self.cholesky)
        _checks.event_size("noise", noise, loc.shape[-1])
        _checks.broadcastable(noise=noise, loc=loc)
        return loc + (factor @ noise[..., None])[..., 0]

    def _factor(self) -> tuple[Array, Array, Array]:
        return self.loc, self.cholesky, self.covariance

    def _expected_nll(self, q: Distribution) -> Array:
        if not isinstance(q, DiagonalNormal | MultivariateNormal):
            return NotImplemented
        _same_event(q, self)
        loc_q, factor_q, loc, factor = as_arrays(*q._factor()[:2], self.loc, self.cholesky)
        spread = solve_lower(factor, factor_q)
        gap = solve_lower(factor, (loc_q - loc)[..., None])[..., 0]
        return _log_volume(factor) + 0.5 * ((spread**2).sum(-1).sum(-1) + (gap**2).sum(-1))


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    r"""x in {0, 1} with P(x = 1) = sigmoid(logits): a batch of scalars. Logits of -inf and +inf are certainties."""

    logits: Array

    noise = "uniform"

    def __post_init__(self) -> None:
        (logits,) = as_arrays(self.logits)
        _checks.not_nan("logits", logits)
        self._set(logits=logits)

    @classmethod
    def from_probs(cls, probs: Array) -> Bernoulli:
        (probs,) = as_arrays(probs)
        if _checks.can_look(probs):
            _checks.require((probs >= 0) & (probs <= 1), probs, "probs", "between 0 and 1", "Did you pass logits?")
        return cls(_log(probs) - _log(1.0 - probs))

    def _parameter(self) -> Array:
        return self.logits

    @property
    def probs(self) -> Array:
        return special(self.logits).expit(self.logits)

    @property
    def mean(self) -> Array:
        return self.probs

    def log_prob(self, x: Array) -> Array:
        x, logits = as_arrays(x, self.logits)
        _checks.broadcastable(x=x, logits=logits)
        _checks.binary("x", x, "Binarize grey pixels explicitly; a Bernoulli density on grey values is no density.")
        return bernoulli_log_prob(x, logits)

    def entropy(self) -> Array:
        probs, complement = special(self.logits).expit(self.logits), special(self.logits).expit(-self.logits)
        return weighted(probs, softplus(-self.logits)) + weighted(complement, softplus(self.logits))

    def transform(self, noise: Array) -> Array:
        noise, logits = as_arrays(noise, self.logits)
        _checks.broadcastable(noise=noise, logits=logits)
        _checks.in_unit_interval("noise", noise, "transform expects uniform noise here.")
        return 1.0 * where(noise < special(logits).expit(logits), 1.0, 0.0 * noise)

    def _expected_nll(self, q: Distribution) -> Array:
        if not isinstance(q, Bernoulli):
            return NotImplemented
        logits_q, logits = as_arrays(q.logits, self.logits)
        probs, complement = special(logits).expit(logits_q), special(logits).expit(-logits_q)
        return weighted(probs, softplus(-logits)) + weighted(complement, softplus(logits))


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    r"""An index 0 ... K-1 with P(k) = softmax(logits)_k along the last axis. A logit of -inf excludes a value."""

    logits: Array

    noise = "gumbel"

    def __post_init__(self) -> None:
        (logits,) = as_arrays(self.logits)
        _checks.event_axis("logits", logits)
        _checks.not_nan("logits", logits)
        _checks.some_finite("logits", logits)
        self._set(logits=logits)

    @classmethod
    def from_probs(cls, probs: Array) -> Categorical:
        (probs,) = as_arrays(probs)
        _checks.simplex("probs", probs)
        return cls(_log(probs))

    def _parameter(self) -> Array:
        return self.logits

    @property
    def batch_shape(self) -> Shape:
        return tuple(self.logits.shape[:-1])

    @property
    def probs(self) -> Array:
        return namespace(self.logits).exp(log_normalize(self.logits))

    def log_prob(self, index: Array) -> Array:
        index = as_integers(index, like=self.logits)
        _checks.integer("index", index)
        _checks.index_below("index", index, self.logits.shape[-1])
        shape = _checks.broadcastable(index=index, logits=self.logits[..., 0])
        table = broadcast_to(log_normalize(self.logits), (*shape, self.logits.shape[-1]))
        return take_along_last(table, broadcast_to(index, shape))

    def entropy(self) -> Array:
        log_probs = log_normalize(self.logits)
        return -weighted(namespace(log_probs).exp(log_probs), log_probs).sum(-1)

    def transform(self, noise: Array) -> Array:
        noise, logits = as_arrays(noise, self.logits)
        _checks.event_size("noise", noise, logits.shape[-1])
        _checks.broadcastable(noise=noise, logits=logits)
        return (logits + noise).argmax(-1)

    def _expected_nll(self, q: Distribution) -> Array:
        if not isinstance(q, Categorical):
            return NotImplemented
        logits_q, logits = as_arrays(q.logits, self.logits)
        _checks.event_size("logits of p", logits, logits_q.shape[-1])
        probs = namespace(logits_q).exp(log_normalize(logits_q))
        return -weighted(probs, log_normalize(logits)).sum(-1)


@dataclass(frozen=True, eq=False)
class Laplace(Distribution):
    r"""exp(-|x - loc| / scale) / (2 scale): a batch of scalars."""

    loc: Array
    scale: Array

    noise = "uniform"

    def __post_init__(self) -> None:
        loc, scale = _location_and_scale(self.loc, self.scale)
        self._set(loc=loc, scale=scale)

    def _parameter(self) -> Array:
        return self.loc

    @property
    def mean(self) -> Array:
        return self.loc

    @property
    def variance(self) -> Array:
        return 2.0 * self.scale**2

    def log_prob(self, x: Array) -> Array:
        x, loc, scale = as_arrays(x, self.loc, self.scale)
        _checks.broadcastable(x=x, loc=loc)
        return -abs(x - loc) / scale - namespace(scale).log(2.0 * scale)

    def entropy(self) -> Array:
        return 1.0 + namespace(self.scale).log(2.0 * self.scale)

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise, self.loc, self.scale)
        _checks.broadcastable(noise=noise, loc=loc)
        _checks.in_unit_interval("noise", noise, "transform expects uniform noise here.")
        below = noise < 0.5
        tail = namespace(noise).log(2.0 * where(below, noise, 1.0 - noise))  # log(2 u) below the median
        return loc + scale * where(below, tail, -tail)

    def _mean_distance(self, point: Array) -> Array:
        """E|z - point|."""
        loc, scale, point = as_arrays(self.loc, self.scale, point)
        gap = abs(loc - point)
        return gap + scale * namespace(loc).exp(-gap / scale)

    def _expected_nll(self, q: Distribution) -> Array:
        if not isinstance(q, Normal | Laplace):
            return NotImplemented
        distance, scale = as_arrays(q._mean_distance(self.loc), self.scale)
        return namespace(scale).log(2.0 * scale) + distance / scale


@dataclass(frozen=True, eq=False)
class Gamma(Distribution):
    r"""rate^a x^(a-1) e^(-rate x) / Gamma(a) for x > 0, with a = concentration: a batch of scalars."""

    concentration: Array
    rate: Array

    noise = "uniform"

    def __post_init__(self) -> None:
        concentration, rate = as_arrays(self.concentration, self.rate)
        _checks.broadcastable(concentration=concentration, rate=rate)
        _checks.positive("concentration", concentration)
        _checks.positive("rate", rate, "The second parameter is a rate, 1 / scale.")
        concentration, rate = broadcast(concentration, rate)
        self._set(concentration=concentration, rate=rate)

    def _parameter(self) -> Array:
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
        log, xlogy = namespace(x).log, special(x).xlogy
        inside = x >= 0
        x = where(inside, x, 1.0)
        density = a * log(rate) + xlogy(a - 1.0, x) - rate * x - special(a).gammaln(a)
        return where(inside, density, -float("inf"))

    def entropy(self) -> Array:
        a, log = self.concentration, namespace(self.rate).log
        return a - log(self.rate) + special(a).gammaln(a) + (1.0 - a) * special(a).digamma(a)

    def transform(self, noise: Array) -> Array:
        noise, concentration, rate = as_arrays(noise, self.concentration, self.rate)
        _checks.broadcastable(noise=noise, rate=rate)
        if is_tensor(noise):
            raise NotImplementedError(
                "Expected NumPy parameters for Gamma.transform, but got tensors: torch has no inverse of the"
                " incomplete gamma function. Use sample(rng=...) for draws without a gradient, or NumPy."
            )
        _checks.in_unit_interval("noise", noise, "transform expects uniform noise here.")
        return scipy.special.gammaincinv(concentration, noise) / rate

    def sample(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        _checks.generator(rng, self.rate)
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        concentration = broadcast_to(self.concentration, shape + tuple(self.rate.shape))
        if is_tensor(concentration):
            return detached(sys.modules["torch"]._standard_gamma(concentration, generator=rng) / self.rate)
        return rng.standard_gamma(concentration) / self.rate

    def _expected_nll(self, q: Distribution) -> Array:
        if isinstance(q, Normal | Laplace):
            mean, rate = as_arrays(q.mean, self.rate)
            return 0.0 * (mean + rate) + float("inf")
        if not isinstance(q, Gamma):
            return NotImplemented
        a_q, rate_q, a, rate = as_arrays(q.concentration, q.rate, self.concentration, self.rate)
        log, gammaln = namespace(a).log, special(a).gammaln
        mean_log = special(a).digamma(a_q) - log(rate_q)
        return gammaln(a) - a * log(rate) - (a - 1.0) * mean_log + rate * a_q / rate_q


@dataclass(frozen=True, eq=False)
class Exponential(Gamma):
    r"""rate e^(-rate x) for x > 0, a Gamma of concentration 1: a batch of scalars."""

    concentration: Array = field(init=False, repr=False, default=1.0)
    rate: Array

    def __post_init__(self) -> None:
        (rate,) = as_arrays(self.rate)
        _checks.positive("rate", rate, "The parameter is a rate, 1 / mean.")
        self._set(concentration=0.0 * rate + 1.0, rate=rate)


def kl_divergence(q: Distribution, p: Distribution) -> Array:
    r"""KL(q || p) = E_q[log q(z) - log p(z)] in nats: >= 0, of the batch shape, infinite where q is not << p."""
    scalar_families = (Normal, Laplace, Gamma)
    match q, p:
        case (Normal(), Normal()) | (Laplace(), Laplace()):
            closed_form = kl.normal if isinstance(q, Normal) else kl.laplace
            arrays = as_arrays(q.loc, q.scale, p.loc, p.scale)
            _checks.broadcastable(q=arrays[0], p=arrays[2])
            return closed_form(*arrays)
        case Gamma(), Gamma():
            arrays = as_arrays(q.concentration, q.rate, p.concentration, p.rate)
            _checks.broadcastable(q=arrays[1], p=arrays[3])
            if isinstance(q, Exponential) and isinstance(p, Exponential):
                return kl.exponential(arrays[1], arrays[3])
            return kl.gamma(*arrays)
        case DiagonalNormal(), DiagonalNormal():
            _same_event(q, p)
            return kl.normal(*as_arrays(q.loc, q.scale, p.loc, p.scale)).sum(-1)
        case (DiagonalNormal() | MultivariateNormal()), (DiagonalNormal() | MultivariateNormal()):
            _same_event(q, p)
            return kl.multivariate_normal(*as_arrays(*q._factor(), *p._factor()))
        case (Bernoulli(), Bernoulli()) | (Categorical(), Categorical()):
            closed_form = kl.bernoulli if isinstance(q, Bernoulli) else kl.categorical
            arrays = as_arrays(q.logits, p.logits)
            if isinstance(q, Categorical):
                _same_event(q, p)
            _checks.broadcastable(q=arrays[0], p=arrays[1])
            return closed_form(*arrays)
    if isinstance(q, scalar_families) and isinstance(p, scalar_families):
        nll = p._expected_nll(q)
        if nll is not NotImplemented:
            entropy, nll = as_arrays(q.entropy(), nll)
            return nll - entropy
    raise _no_closed_form("kl_divergence", q, p)


def _no_closed_form(what: str, q: Any, p: Any) -> TypeError:
    return TypeError(
        f"{what}(q, p) has no closed form here for q = {type(q).__name__}, p = {type(p).__name__}. It knows any two of the"
        " same family; DiagonalNormal with MultivariateNormal; Exponential with Gamma; Normal, Laplace, Gamma or"
        " Exponential against Normal; Normal against Laplace; and the infinite ones, Normal or Laplace against Gamma or"
        " Exponential. Normal is a batch of scalars, DiagonalNormal has its event on the last axis."
    )


def _same_event(q: Any, p: Any) -> None:
    size_q, size_p = q._parameter().shape[-1], p._parameter().shape[-1]
    if size_q != size_p:
        raise ValueError(
            f"Expected q and p to have events of one size, but got {size_q} for q = {type(q).__name__} and {size_p} for"
            f" p = {type(p).__name__}."
        )


def bernoulli_log_prob(x: Array, logits: Array) -> Array:
    """x logits - log(1 + e^logits), elementwise; torch has it fused."""
    if is_tensor(logits):
        loss = sys.modules["torch"].nn.functional.binary_cross_entropy_with_logits
        return -loss(logits, x, reduction="none")
    return -softplus((1.0 - 2.0 * x) * logits)


def _log_volume(factor: Array) -> Array:
    """log sqrt(det(2 pi S)) for S = factor factor^T."""
    return namespace(factor).log(diagonal(factor)).sum(-1) + 0.5 * factor.shape[-1] * LOG_2PI


def _cholesky(covariance: Array) -> Array:
    symmetric = 0.5 * (covariance + transpose(covariance))
    linalg = namespace(covariance).linalg
    if not _checks.can_look(covariance):
        return linalg.cholesky(symmetric)
    try:
        return linalg.cholesky(symmetric)
    except linalg.LinAlgError:
        smallest = float(linalg.eigvalsh(detached(symmetric)).min())
        raise ValueError(
            f"Expected `covariance` to be positive definite, but its smallest eigenvalue is {smallest:.3g}."
        ) from None


def _location_and_scale(loc: Array, scale: Array) -> tuple[Array, Array]:
    loc, scale = as_arrays(loc, scale)
    _checks.broadcastable(loc=loc, scale=scale)
    _checks.finite("loc", loc)
    _checks.positive("scale", scale, "Did you pass log_scale?")
    loc, scale = broadcast(loc, scale)
    return loc, scale


def _log(probs: Array) -> Array:
    if is_tensor(probs):
        return probs.log()
    with np.errstate(divide="ignore"):
        return np.log(probs)
