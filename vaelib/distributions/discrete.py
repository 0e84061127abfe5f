"""Discrete distributions, held by their logits: stable for logits up to 1e4 and beyond, certainties included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib import _checks
from vaelib._arrays import (
    Array,
    Shape,
    as_arrays,
    as_integers,
    broadcast_to,
    is_tensor,
    namespace,
    special,
    take_along_last,
)
from vaelib._special import log_normalize, log_sigmoid, weighted
from vaelib.distributions.base import Distribution


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

    support = "binary"
    noise = "uniform"

    def __post_init__(self) -> None:
        (logits,) = as_arrays(self.logits)
        _checks.not_nan("logits", logits)
        self._store(logits=logits)

    @classmethod
    def from_probs(cls, probs: Array) -> Bernoulli:
        """From P(x = 1), between 0 and 1, both allowed."""
        (probs,) = as_arrays(probs)
        _checks.probability("probs", probs, "Did you pass logits?")
        return cls(_log(probs) - _log(1.0 - probs))

    @property
    def _like(self) -> Array:
        return self.logits

    @property
    def probs(self) -> Array:
        """P(x = 1)."""
        return special(self.logits).expit(self.logits)

    @property
    def mean(self) -> Array:
        return self.probs

    @property
    def variance(self) -> Array:
        return self.probs * special(self.logits).expit(-self.logits)

    def log_prob(self, x: Array) -> Array:
        x, logits = as_arrays(x, self.logits)
        _checks.broadcastable(x=x, logits=logits)
        _checks.binary("x", x, "Binarize grey values explicitly; on them this is not the density of anything.")
        sign = 2.0 * x
        sign -= 1.0  # in place: a pass over all pixels less
        return log_sigmoid(sign * logits)

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, logits = as_arrays(noise, self.logits)
        _checks.broadcastable(noise=noise, logits=logits)
        _checks.uniform_noise(noise)
        return namespace(logits).ones_like(logits) * (noise > special(logits).expit(-logits))

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, Bernoulli):
            return None
        logits_q, logits = as_arrays(q.logits, self.logits)
        _checks.broadcastable(q=logits_q, p=logits)
        expit = special(logits).expit
        return weighted(expit(logits_q), -log_sigmoid(logits)) + weighted(expit(-logits_q), -log_sigmoid(-logits))


@dataclass(frozen=True, eq=False)
class Categorical(Distribution):
    r"""A batch of indices 0 ... K-1, log p(k) = logits_k - log sum_j e^(logits_j).

    `transform` takes standard Gumbel noise of shape (..., K) and returns the index of the largest logits + noise (the
    Gumbel-max map). It has steps, so no gradient flows to the logits.

    Args:
        logits: (..., K), up to an additive constant a row; -inf excludes a value.
    """

    logits: Array

    support = "index"
    noise = "gumbel"

    def __post_init__(self) -> None:
        (logits,) = as_arrays(self.logits)
        _checks.last_axis("logits", logits, "the categories")
        _checks.categorical_logits("logits", logits)
        self._store(logits=logits)

    @classmethod
    def from_probs(cls, probs: Array) -> Categorical:
        """From a table (..., K) of probabilities, zeros allowed, each row summing to 1."""
        (probs,) = as_arrays(probs)
        _checks.simplex("probs", probs)
        return cls(_log(probs))

    @property
    def _like(self) -> Array:
        return self.logits

    @property
    def batch_shape(self) -> Shape:
        return tuple(self.logits.shape[:-1])

    @property
    def log_probs(self) -> Array:
        """log p(k) for every k, (..., K)."""
        return log_normalize(self.logits)

    @property
    def probs(self) -> Array:
        """p(k) for every k, (..., K)."""
        return namespace(self.logits).exp(self.log_probs)

    def log_prob(self, x: Array) -> Array:
        """log p(x) in nats, for integers x of shape (..., *batch_shape) or one that broadcasts with it."""
        x = as_integers(x, like=self.logits)
        size = self.logits.shape[-1]
        _checks.category("x", x, size)
        shape = _checks.broadcastable(**{"x": x, "logits[..., 0]": self.logits[..., 0]})
        return take_along_last(broadcast_to(self.log_probs, (*shape, size)), broadcast_to(x, shape))

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, logits = as_arrays(noise, self.logits)
        _checks.event_size("noise", noise, logits.shape[-1])
        _checks.broadcastable(noise=noise, logits=logits)
        return (logits + noise).argmax(-1)

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, Categorical):
            return None
        log_q, log_p = as_arrays(q.log_probs, self.log_probs)
        _checks.event_size("logits of q", log_q, log_p.shape[-1])
        _checks.broadcastable(q=log_q, p=log_p)
        return weighted(namespace(log_q).exp(log_q), -log_p).sum(-1)


def _log(probs: Array) -> Array:
    if is_tensor(probs):
        return probs.log()
    with np.errstate(divide="ignore"):  # log 0 = -inf is what excludes a value
        return np.log(probs)
