"""Discrete distributions, held by their logits: stable for logits up to 1e4 and beyond, certainties included.

Made by `from_probs`, one also remembers its probabilities, and computes with them: at 0 and 1, where logits are
infinite, values are right and gradients are one-sided derivatives. A slope that is infinite there, that of log p or of
p log p at p = 0, is that of the nearest positive float: huge and finite, so that a saturated sigmoid or softmax before
it, whose own slope is 0, makes 0 of it, and not NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vaelib import _checks
from vaelib._arrays import Array, Shape, broadcast_to, is_tensor, namespace, special, take_along_last, to_double, where
from vaelib._door import as_arrays, as_integers
from vaelib._quiet import quiet
from vaelib._special import finite_log, log_normalize, log_of, log_sigmoid, weighted
from vaelib.distributions.base import Distribution

GREY = "Binarize grey values explicitly; on them this is not the density of anything."


@dataclass(frozen=True, eq=False)
class Bernoulli(Distribution):
    r"""A batch of bits, P(x = 1) = sigmoid(logits); log p(x) = -log(1 + e^((1 - 2x) logits)) for x in {0, 1}.

    x holds 0 and 1 alone: the formula would also give a number for a grey pixel, but it is not a density there.
    `transform` takes uniform noise u and inverts the distribution function: x = 1 where u > 1 - P(1), as a float. It
    has steps, so no gradient flows to the logits.

    Args:
        logits: log(P(1) / P(0)), any shape; -inf and +inf are certainties.
    """

    logits: Array
    _given: Array | None = field(init=False, repr=False, default=None)  # P(1), where that was what was known

    support = "binary"
    noise = "uniform"

    def __post_init__(self) -> None:
        (logits,) = as_arrays(logits=self.logits)
        _checks.not_nan("logits", logits)
        self._store(logits=logits)

    @classmethod
    @quiet
    def from_probs(cls, probs: Array) -> Bernoulli:
        """From P(x = 1), between 0 and 1, both allowed.

        Example:
            Bernoulli.from_probs([0.0, 0.3, 1.0]).log_prob([0.0, 1.0, 1.0])    # [0, log 0.3, 0]
        """
        (probs,) = as_arrays(probs=probs)
        _checks.probability("probs", probs, "Did you pass logits?")
        q = cls(log_of(probs) - _log_complement(probs))
        q._store(_given=probs)
        return q

    @property
    def knows_logits(self) -> bool:
        """Are the logits what it was made from?"""
        return self._given is None

    @property
    def _like(self) -> Array:
        return self.logits

    @property
    def outcomes(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """(P(0), log P(0)) and (P(1), log P(1)), each to its own full accuracy."""
        if self._given is None:
            expit = special(self.logits).expit
            return (expit(-self.logits), log_sigmoid(-self.logits)), (expit(self.logits), log_sigmoid(self.logits))
        return (1.0 - self._given, _log_complement(self._given)), (self._given, log_of(self._given))

    @property
    def probs(self) -> Array:
        """P(x = 1)."""
        return special(self.logits).expit(self.logits) if self._given is None else self._given

    @property
    def mean(self) -> Array:
        return self.probs

    @property
    def variance(self) -> Array:
        (zero, _), (one, _) = self.outcomes
        return one * zero

    def log_prob(self, x: Array) -> Array:
        given = x
        if self._given is not None:
            x, probs = as_arrays(x=x, probs=self._given)
            _checks.broadcastable(x=x, probs=probs)
            _checks.binary("x", x, GREY)
            _require_exact_bits(given, x)
            return where(x == 1.0, log_of(probs), _log_complement(probs))
        x, logits = as_arrays(x=x, logits=self.logits)
        _checks.broadcastable(x=x, logits=logits)
        _checks.binary("x", x, GREY)
        if given is not x:
            _require_exact_bits(given, x)
        sign = 2.0 * x
        sign -= 1.0  # in place: a pass over all pixels less
        return log_sigmoid(sign * logits)

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, zero = as_arrays(noise=noise, probs=self.outcomes[0][0])
        _checks.broadcastable(noise=noise, logits=zero)
        _checks.uniform_noise(noise)
        return namespace(zero).ones_like(zero) * (noise > zero)

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, Bernoulli):
            return None
        _checks.broadcastable(q=q.logits, p=self.logits)
        terms = [
            _weigh(*as_arrays(q=q_x, log_p=log_p_x))
            for (q_x, _), (_, log_p_x) in zip(q.outcomes, self.outcomes, strict=True)
        ]
        return terms[0] + terms[1]


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    r"""A batch of indices 0 ... K-1, log p(k) = logits_k - log sum_j e^(logits_j).

    `transform` takes standard Gumbel noise of shape (..., K) and returns the index of the largest logits + noise (the
    Gumbel-max map). It has steps, so no gradient flows to the logits.

    Args:
        logits: (..., K), up to an additive constant a row; -inf excludes a value.
    """

    logits: Array
    _given: Array | None = field(init=False, repr=False, default=None)  # the table, where that was what was known

    support = "index"
    noise = "gumbel"

    def __post_init__(self) -> None:
        (logits,) = as_arrays(logits=self.logits)
        _checks.last_axis("logits", logits, "the categories")
        _checks.categorical_logits("logits", logits)
        self._store(logits=logits)

    @classmethod
    @quiet
    def from_probs(cls, probs: Array) -> Categorical:
        """From a table (..., K) of probabilities, zeros allowed, each row summing to 1.

        A row is divided by its sum, and so is differentiated: what a gradient does along the row itself is nothing.

        Example:
            Categorical.from_probs([0.5, 0.5, 0.0]).entropy()    # log 2
        """
        table = _checks.table("probs", probs)
        table = table / table.sum(-1)[..., None]
        q = cls(log_of(table))
        q._store(_given=table)
        return q

    @property
    def knows_logits(self) -> bool:
        """Are the logits what it was made from?"""
        return self._given is None

    @property
    def _like(self) -> Array:
        return self.logits

    @property
    def batch_shape(self) -> Shape:
        return tuple(self.logits.shape[:-1])

    @property
    def log_probs(self) -> Array:
        """log p(k) for every k, (..., K)."""
        return log_normalize(self.logits) if self._given is None else log_of(self._given)

    @property
    def probs(self) -> Array:
        """p(k) for every k, (..., K)."""
        return namespace(self.logits).exp(self.log_probs) if self._given is None else self._given

    def log_prob(self, x: Array) -> Array:
        """log p(x) in nats, for integers x of shape (..., *batch_shape) or one that broadcasts with it."""
        log_probs = self.log_probs
        x = as_integers("x", x, like=log_probs if is_tensor(log_probs) else x)
        if is_tensor(x) and not is_tensor(log_probs):
            log_probs, _ = as_arrays(logits=log_probs, x=to_double(x))
        size = log_probs.shape[-1]
        _checks.category("x", x, size)
        shape = _checks.broadcastable(**{"x": x, "logits[..., 0]": log_probs[..., 0]})
        return take_along_last(broadcast_to(log_probs, (*shape, size)), broadcast_to(x, shape))

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, logits = as_arrays(noise=noise, logits=self.logits)
        _checks.event_size("noise", noise, logits.shape[-1])
        _checks.broadcastable(noise=noise, logits=logits)
        return (logits + noise).argmax(-1)

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, Categorical):
            return None
        probs_q, log_p = as_arrays(q=q.probs, p=self.log_probs)
        _checks.event_size("logits of q", probs_q, log_p.shape[-1])
        _checks.broadcastable(q=probs_q, p=log_p)
        return _weigh(probs_q, log_p).sum(-1)


def _weigh(probability: Array, log_p: Array) -> Array:
    """-probability * log_p, 0 where the probability is 0; the slope there is -log_p, or finite in its place."""
    return weighted(probability, -log_p, -finite_log(log_p))


def _log_complement(p: Array) -> Array:
    """log(1 - p), to full accuracy on both sides."""
    small = p < 0.5
    return where(small, namespace(p).log1p(-where(small, p, 0.0)), log_of(1.0 - where(small, 0.0, p)))


def _require_exact_bits(given: Array, x: Array) -> None:
    """0 or 1 in the precision in which it came, too: a grey 1e-50 becomes 0 in float32."""
    if is_tensor(x) and not is_tensor(given):
        (exact,) = as_arrays(x=given)
        _checks.binary("x", exact, GREY)
