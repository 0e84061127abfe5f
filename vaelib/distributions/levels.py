"""Levels of grey or of a colour: probabilities of the numbers that a pixel is stored as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vaelib import _checks
from vaelib._arrays import Array, namespace, special, where
from vaelib._door import as_arrays, count, precision
from vaelib._special import log_sigmoid
from vaelib.distributions.base import Distribution
from vaelib.distributions.gaussian import location_and_scale

HINT = "Levels are v / (levels - 1) for v = 0, 1, ..., such as bytes / 255; between them there is no probability."


@dataclass(frozen=True, eq=False)
class DiscretizedLogistic(Distribution):
    r"""A batch of scalars on L levels from 0 to 1: how much of a logistic lies nearest to each level.

    A draw is one of 0, w, 2w, ..., 1 with w = 1 / (L - 1). With F the distribution function of the logistic,
    F(y) = sigmoid((y - loc) / scale),

        P(x) = F(x + w/2) - F(x - w/2),   P(0) = F(w/2),   P(1) = 1 - F(1 - w/2):

    the outermost levels take the tails, and the L probabilities sum to 1. As a difference, P would lose its digits; it
    is computed as sigmoid(b) sigmoid(-a) (1 - e^(a - b)), with a and b the two ends in units of the scale, where
    nothing cancels. `transform` takes uniform noise, inverts F and goes to the nearest level; it has steps, so no
    gradient flows to the parameters.

    Args:
        loc: median of the logistic; any shape that broadcasts with scale. It may lie outside [0, 1].
        scale: of the logistic, > 0: its standard deviation is scale * pi / sqrt(3).
        levels: L, at least 2; of bytes there are 256.

    Raises:
        ValueError: `levels` is less than 2; or, from `log_prob`, x is not a level.

    Example:
        DiscretizedLogistic(0.5, 0.1).log_prob([0, 100 / 255, 1])    # [-4.987, -4.903, -4.987]

    Source: Kingma et al. 2016, appendix C; Salimans et al. 2017, section 2.1, for the tails.
    """

    loc: Array
    scale: Array
    levels: int = 256

    support = "level"
    noise = "uniform"

    def __post_init__(self) -> None:
        loc, scale = location_and_scale(self.loc, self.scale)
        self._store(loc=loc, scale=scale)
        object.__setattr__(self, "levels", count("levels", self.levels, least=2))

    @property
    def _like(self) -> Array:
        return self.loc

    @property
    def mean(self) -> Array:
        """E[x], the sum over all steps of width w of the probability to lie above; `loc` is not quite it."""
        return sum(self._above()) / (self.levels - 1.0)

    @property
    def variance(self) -> Array:
        """E[(x - E[x])^2], summed as it is written: of a narrow law, a difference of squares has no digits."""
        mean, exp, last = self.mean, namespace(self.loc).exp, self.levels - 1.0
        return sum(exp(log_p) * (v / last - mean) ** 2 for v, log_p in enumerate(self._log_probs()))

    def log_prob(self, x: Array) -> Array:
        rounding = precision(x)
        x, loc, scale = as_arrays(x=x, loc=self.loc, scale=self.scale)
        _checks.broadcastable(x=x, loc=loc)
        last = self.levels - 1.0
        v = namespace(x).round(x * last)  # exactly a number of steps, so that neighbours share an end
        _checks.level("x", x, v / last, 0.01 / last + rounding, HINT)
        return self._log_prob(v, loc, scale)

    def entropy(self) -> Array:
        return self._expected_surprise(self)

    def transform(self, noise: Array) -> Array:
        noise, loc, scale = as_arrays(noise=noise, loc=self.loc, scale=self.scale)
        _checks.broadcastable(noise=noise, loc=loc)
        _checks.uniform_noise(noise)
        xp, last = namespace(noise), self.levels - 1.0
        y = loc + scale * (xp.log(noise) - xp.log1p(-noise))
        return xp.round(y * last).clip(0.0, last) / last

    def _log_probs(self) -> Iterator[Array]:
        """log P of each level in turn, from 0 to 1, of the batch shape: all at once would be L times as large."""
        for v in range(self.levels):
            yield self._log_prob(0.0 * self.loc + v, self.loc, self.scale)

    def _log_prob(self, v: Array, loc: Array, scale: Array) -> Array:
        """log P of the level v / (L - 1)."""
        last = self.levels - 1.0
        width = 1.0 / (scale * last)  # of a step, in units of the scale
        distance = (v - loc * last) * width
        xp, lowest, highest = namespace(v), v == 0, v == last
        below_upper = where(highest, 0.0, log_sigmoid(distance + 0.5 * width))
        above_lower = where(lowest, 0.0, log_sigmoid(0.5 * width - distance))
        both_ends = where(lowest | highest, 0.0, xp.log(-xp.expm1(-width)))
        return below_upper + above_lower + both_ends

    def _above(self) -> Iterator[Array]:
        """P(x >= v / (L - 1)) for v = 1, ..., L - 1."""
        last = self.levels - 1.0
        for v in range(1, self.levels):
            yield special(self.loc).expit((self.loc - (v - 0.5) / last) / self.scale)

    def _expected_surprise(self, q: Any) -> Array | None:
        if not isinstance(q, DiscretizedLogistic) or q.levels != self.levels:
            return None
        _checks.broadcastable(q=q.loc, p=self.loc)
        terms = (as_arrays(q=log_q, p=log_p) for log_q, log_p in zip(q._log_probs(), self._log_probs(), strict=True))
        return sum(-namespace(log_q).exp(log_q) * log_p for log_q, log_p in terms)
