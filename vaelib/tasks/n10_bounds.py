r"""Exercises to notebook 10: how good is the bound?"""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi, sqrt
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.distributions import DiagonalNormal, MultivariateNormal, kl_divergence
from vaelib.elbo import importance_weighted_bound
from vaelib.reply import Tensor
from vaelib.task import Compute, Law, Mistake, Rule, Sample
from vaelib.witnesses import away_from_zero, generic_covariance, generic_scale

Array = np.ndarray
Rng = np.random.Generator


# ------------------------------------------------------------------------------------- the bound, from log-weights

SIZES = np.array([3.0, 140.0, 900.0])  # of log-weights: fine as weights, too small for float32, for float64 as well


def _log_weights(rng: Rng) -> dict[str, Any]:
    """Seven samples for each of three examples, in single precision as in training.

    In the lowest column the first sample, the last one and two others lie far below the rest: only its largest is a
    safe shift.
    """
    level = -rng.permutation(SIZES) * rng.uniform(0.9, 1.1, 3)
    found = level + 2 * rng.standard_normal((7, 3))
    found[[0, 6, *rng.choice(np.arange(1, 6), 2, replace=False)], np.argmin(level)] -= rng.uniform(1500, 2500)
    return {"log_weights": Tensor(found.astype(np.float32))}


def _double(log_weights: Any) -> Array:
    return np.asarray(log_weights, dtype=float)


def _exponentials_first(log_weights: Any, dtype: Any) -> Array:
    with np.errstate(divide="ignore", over="ignore"):
        return np.log(np.mean(np.exp(np.asarray(log_weights, dtype=dtype)), axis=0))


def _shifted(by: Callable[[Array], Any], dtype: Any) -> Callable[[Any], Array]:
    """The mean of exponentials with another shift than each column's largest."""

    def bound(log_weights: Any) -> Array:
        given = np.asarray(log_weights, dtype=dtype)
        return np.asarray(by(given) + _exponentials_first(given - by(given), dtype))

    return bound


AT_MOST_ONE = "Which number makes every exponential of a column at most 1, and one of them 1?"

BETWEEN = Rule(
    "The logarithm of a mean lies between the smallest and the largest log-weight. Yours does not, here.",
    lambda value, log_weights: bool(
        np.all(value >= _double(log_weights).min(axis=0) - 1e-3)
        and np.all(value <= _double(log_weights).max(axis=0) + 1e-3)
    ),
)

WEIGHTED_BOUND = Compute(
    id="10.1",
    title="A bound that survives small weights",
    level="warm-up",
    minutes=7,
    name="weighted_bound",
    rough=True,
    truth=lambda log_weights: importance_weighted_bound(_double(log_weights), axis=0),
    examples=(
        {"log_weights": Tensor(np.array([[-2.0, -3.0]], dtype=np.float32))},
        {"log_weights": Tensor(np.array([[-2.0, -3.0], [-2.0, -3.0], [-2.0, -3.0]], dtype=np.float32))},
        {"log_weights": Tensor(np.array([[-1.0, -3.0], [-2.0, -3.0], [-4.0, -3.0]], dtype=np.float32))},
        {"log_weights": Tensor(np.array([[-2900.0, -800.0], [-801.0, -2900.0]], dtype=np.float32))},
    ),
    draw=_log_weights,
    rules=(BETWEEN,),
    mistakes=(
        Mistake(
            "mean of the logarithms",
            "the logarithms were averaged: that estimates the ELBO, not the bound with K weights.",
            lambda log_weights: _double(log_weights).mean(axis=0),
            next="Which comes first in the bound, the logarithm or the mean?",
            real="a public issue thread: a weighted bound that averages the logarithms",
        ),
        Mistake(
            "no log K",
            "the weights were added, not averaged: with equal weights the bound must be that weight.",
            lambda log_weights: logsumexp(_double(log_weights), axis=0),
            next="Put in three equal log-weights: what must come out?",
            real="a public issue thread: log-sum-exp used as it is",
        ),
        Mistake(
            "one largest for all, in single precision",
            "one number was taken out of the whole table: each column needs its own largest.",
            _shifted(lambda given: given.max(), np.float32),
            next=AT_MOST_ONE,
        ),
        Mistake(
            "one largest for all, in double precision",
            "one number was taken out of the whole table: each column needs its own largest.",
            _shifted(lambda given: given.max(), np.float64),
            next=AT_MOST_ONE,
        ),
        Mistake(
            "shifted by too little",
            "a number far below the largest log-weight was taken out: then the largest still overflows.",
            _shifted(lambda given: given.min(axis=0), np.float64),
            next=AT_MOST_ONE,
        ),
        Mistake(
            "shifted by the first",
            "the first log-weight of a column was taken out: if a later one is far larger, that overflows.",
            _shifted(lambda given: given[0], np.float64),
            next=AT_MOST_ONE,
        ),
        Mistake(
            "exponentials first, in double precision",
            "the log-weights were exponentiated as they are: in double precision that is 0 below -745.",
            lambda log_weights: _exponentials_first(log_weights, np.float64),
            next="Take the largest log-weight out before you exponentiate, or find the function that does.",
            real="a public repository survives by double precision alone",
        ),
        Mistake(
            "exponentials first, in single precision",
            "the log-weights were exponentiated as they are: in single precision that is 0 below -104.",
            lambda log_weights: _exponentials_first(log_weights, np.float32),
            next="Take the largest log-weight out before you exponentiate, or find the function that does.",
            real="a public repository: its test loss exponentiates raw log-weights",
        ),
        Mistake(
            "largest not put back",
            "the largest log-weight was taken out and not added again.",
            lambda log_weights: (
                importance_weighted_bound(_double(log_weights), axis=0) - _double(log_weights).max(axis=0)
            ),
        ),
        Mistake(
            "minus the bound",
            "the sign is turned: that is a loss, and the bound itself is asked for.",
            lambda log_weights: -importance_weighted_bound(_double(log_weights), axis=0),
        ),
        Mistake(
            "log K twice",
            "log K was subtracted although the mean was taken, or subtracted twice.",
            lambda log_weights: importance_weighted_bound(_double(log_weights), axis=0) - np.log(len(log_weights)),
            next="Put in three equal log-weights: what must come out?",
        ),
        Mistake(
            "over the examples",
            "the mean runs over the examples: rows are the K samples, columns the examples.",
            lambda log_weights: importance_weighted_bound(_double(log_weights), axis=1),
        ),
        Mistake(
            "over everything",
            "one number was made of all: each example has its own bound.",
            lambda log_weights: importance_weighted_bound(_double(log_weights).ravel(), axis=0),
        ),
    ),
    hints=(
        "Which comes first, the logarithm or the mean? And what is the mean over?",
        "What is the logarithm of the mean of e^a, if every a is lowered by the same number m?",
        "Which PyTorch function adds up exponentials in the logarithm? What does a mean do that a sum does not?",
    ),
    next="Take the columns (-1, -2), (-2000, -900), (-800, -800): -1.38, -900 - log 2 and -800 must come out.",
    tip=({"log_weights": Tensor(np.array([[-1.0, -2000.0, -800.0], [-2.0, -900.0, -800.0]], dtype=np.float32))},),
    forbidden=("importance",),
)


# ----------------------------------------------------------------------------------------------- whose fault is it?


def _posterior_and_q(rng: Rng) -> dict[str, Any]:
    mean = away_from_zero(rng, 0.4, 1.5, (3,))
    return {
        "mean": mean,
        "covariance": generic_covariance(rng, 3),
        "loc": mean + away_from_zero(rng, 0.2, 0.8, (3,)),
        "scale": generic_scale(rng, (3,)),
    }


def _split(mean: Any, covariance: Any, loc: Any, scale: Any, best: Any = None, reverse: bool = False) -> Array:
    """KL of the best q, and what the given q has more; `best` are other variances for it."""
    post = MultivariateNormal(mean, covariance)
    if best is None:
        best = 1 / np.diag(np.linalg.inv(covariance))
    laws = DiagonalNormal(mean, np.sqrt(best)), DiagonalNormal(loc, scale)
    family, whole = (kl_divergence(post, law) if reverse else kl_divergence(law, post) for law in laws)
    return np.array([family, whole - family])


def _error_of_mean(mean: Any, covariance: Any, loc: Any) -> tuple[Any, Any]:
    """1/2 d^T Lambda d, and the same with the diagonal of Lambda only."""
    precision, shift = np.linalg.inv(covariance), loc - mean
    return 0.5 * shift @ precision @ shift, 0.5 * np.sum(np.diag(precision) * shift**2)


def _whole_for_encoder(mean: Any, covariance: Any, loc: Any, scale: Any) -> Array:
    family, encoder = _split(mean, covariance, loc, scale)
    return np.array([family, family + encoder])


def _without_error_of_mean(mean: Any, covariance: Any, loc: Any, scale: Any) -> Array:
    return _split(mean, covariance, loc, scale) - np.array([0.0, _error_of_mean(mean, covariance, loc)[0]])


def _error_on_diagonal(mean: Any, covariance: Any, loc: Any, scale: Any) -> Array:
    full, diagonal = _error_of_mean(mean, covariance, loc)
    return _split(mean, covariance, loc, scale) + np.array([0.0, diagonal - full])


TWO_GAPS = Compute(
    id="10.2",
    title="Whose fault is the gap?",
    level="core",
    minutes=12,
    name="two_gaps",
    rough=True,
    truth=lambda **w: _split(**w),
    examples=(
        {"mean": np.zeros(2), "covariance": np.eye(2), "loc": np.array([1.0, 0.0]), "scale": np.ones(2)},
        {
            "mean": np.zeros(2),
            "covariance": np.array([[1.0, 0.8], [0.8, 1.0]]),
            "loc": np.zeros(2),
            "scale": np.array([0.6, 0.6]),
        },
        {
            "mean": np.zeros(2),
            "covariance": np.array([[1.0, 0.8], [0.8, 1.0]]),
            "loc": np.zeros(2),
            "scale": np.ones(2),
        },
    ),
    draw=_posterior_and_q,
    rules=(
        Rule(
            "A gap below zero: no q beats the best of its family, and none beats the posterior.",
            lambda value, **_: bool(np.all(value >= -1e-9)),
        ),
    ),
    mistakes=(
        Mistake(
            "marginal variances as the best",
            "Sigma_jj was taken for the best variance: that is best for KL(p || q), not for the bound.",
            lambda mean, covariance, loc, scale: _split(mean, covariance, loc, scale, np.diag(covariance)),
            next="Write KL(q || p) as a function of one variance v_j, and set its derivative to zero.",
        ),
        Mistake(
            "variance for scale",
            "a variance was passed where DiagonalNormal takes a standard deviation.",
            lambda mean, covariance, loc, scale: _split(
                mean, covariance, loc, scale, np.diag(np.linalg.inv(covariance)) ** -2.0
            ),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "precision for variance",
            "Lambda_jj was taken for the best variance: a precision is one over a variance.",
            lambda mean, covariance, loc, scale: _split(
                mean, covariance, loc, scale, np.diag(np.linalg.inv(covariance))
            ),
        ),
        Mistake(
            "KL swapped",
            "KL(p || q): the gap of the bound is averaged under q.",
            lambda **w: _split(**w, reverse=True),
        ),
        Mistake(
            "the whole gap for the encoder",
            "the whole gap is charged to the encoder: part of it no member of the family escapes.",
            _whole_for_encoder,
        ),
        Mistake(
            "swapped",
            "the two gaps are swapped: first what the family costs, then what the encoder adds.",
            lambda **w: _split(**w)[::-1],
        ),
        Mistake(
            "no error of the mean",
            "the encoder's mean was taken to be right: an encoder errs in mean and in scale.",
            _without_error_of_mean,
        ),
        Mistake(
            "diagonal of the precision only",
            "q was compared with the best factorized q, or with the diagonal of Lambda: compare it with the posterior.",
            _error_on_diagonal,
        ),
        Mistake(
            "no 1/2",
            "the 1/2 of the Gaussian's exponent was lost.",
            lambda **w: 2 * _split(**w),
        ),
    ),
    hints=(
        "Which KL is the whole gap between log p(x) and the bound? Which of its two laws may you still choose?",
        "Which q of the family would the encoder give for this x, if it made no error? What is its mean?",
        "Where does a variance v_j stand in KL(q || p)? What is the derivative of Lambda_jj v_j - log v_j?",
    ),
    next="Take variances 1, correlation 0.8, loc one off in both, scale = (1, 2): what does Lambda look like?",
    tip=(
        {
            "mean": np.zeros(2),
            "covariance": np.array([[1.0, 0.8], [0.8, 1.0]]),
            "loc": np.ones(2),
            "scale": np.array([1.0, 2.0]),
        },
    ),
)


# --------------------------------------------------------------------------------------- weigh first, then move
#
# The toy: z ~ N(0, 1), x | z ~ N(2 z, 1/2), x = 1, and q = N(loc, scale^2). Then the log-ratio
# r(z) = log p(x, z) - log q(z) is a parabola A z^2 + B z + C, and f_b = q^(1-b) p(x, .)^b is a Gaussian of precision
# (1 - b) / scale^2 + 9 b and mean ((1 - b) loc / scale^2 + 4 b) / precision, since p(x, z) has precision 1 + 4 / (1/2)
# = 9 and 2 (1) / (1/2) = 4 in front of z.


def _parabola(loc: float, scale: float) -> tuple[float, float, float]:
    a = -4.5 + 1 / (2 * scale**2)
    b = 4 - loc / scale**2
    c = -1 - 0.5 * log(pi) + log(scale) + loc**2 / (2 * scale**2)
    return a, b, c


def _tempered(loc: float, scale: float, b: float) -> tuple[float, float]:
    """Mean and variance of f_b, normalized."""
    precision = (1 - b) / scale**2 + 9 * b
    return ((1 - b) * loc / scale**2 + 4 * b) / precision, 1 / precision


def _sum_law(parabola: tuple[float, float, float], places: list[tuple[float, float]], weight: float) -> Law:
    """Law of weight * sum_t r(z_t), z_t independent N(m_t, v_t), r(z) = A z^2 + B z + C.

    With z = m + sqrt(v) eps, r is a constant + u eps + s eps^2, s = A v and u = (2 A m + B) sqrt(v). Its cumulants are
    s + r(m), 2 s^2 + u^2, the fourth 48 s^4 + 48 s^2 u^2; those of a sum add up. Kurtosis: 3 + fourth / variance^2.
    """
    a, b, c = parabola
    mean = variance = fourth = 0.0
    for m, v in places:
        s, u2 = a * v, (2 * a * m + b) ** 2 * v
        mean += weight * (a * (m * m + v) + b * m + c)
        variance += weight**2 * (2 * s * s + u2)
        fourth += weight**4 * 48 * (s**4 + s * s * u2)
    return Law(mean, sqrt(variance), 3 + fourth / variance**2)


def _places(loc: float, scale: float, steps: int) -> list[tuple[float, float]]:
    """(mean, variance) of z_0, ..., z_(T-1): where the chain stands when it is weighed."""
    return [_tempered(loc, scale, t / steps) for t in range(steps)]


def _moved_first(loc: float, scale: float, steps: int) -> list[tuple[float, float]]:
    return [_tempered(loc, scale, t / steps) for t in range(1, steps + 1)]


def _from_prior(loc: float, scale: float, steps: int) -> list[tuple[float, float]]:
    return [(0.0, 1.0), *_places(loc, scale, steps)[1:]]


def _ahead(loc: float, scale: float, steps: int) -> list[tuple[float, float]]:
    return [(loc, scale**2), *(_tempered(loc, scale, (t + 1) / steps) for t in range(1, steps))]


def _variance_for_scale(loc: float, scale: float, steps: int) -> list[tuple[float, float]]:
    return [(loc, scale**2), *((m, v**2) for m, v in _places(loc, scale, steps)[1:])]


def _law(places: Any, weight: Any = lambda steps: 1 / steps) -> Any:
    return lambda loc, scale, steps: _sum_law(_parabola(loc, scale), places(loc, scale, steps), weight(steps))


def _walk(places: Any, weight: Any = lambda steps: 1 / steps) -> Any:
    """The same as an estimator."""

    def chain(loc: float, scale: float, steps: int, rng: Rng) -> float:
        a, b, c = _parabola(loc, scale)
        z = [m + sqrt(v) * rng.standard_normal() for m, v in places(loc, scale, steps)]
        return weight(steps) * sum(a * at**2 + b * at + c for at in z)

    return chain


def _stays(loc: float, scale: float, steps: int) -> list[tuple[float, float]]:
    return [(loc, scale**2)]


ANNEALED = Sample(
    id="10.3",
    title="Weigh, then move",
    level="stretch",
    minutes=20,
    name="annealed_log_weight",
    law=_law(_places),
    examples=({"loc": -0.3, "scale": 0.7, "steps": 2}, {"loc": 1.0, "scale": 0.4, "steps": 4}),
    repeats=3000,
    made=_walk(_places),
    mistakes=(
        Mistake(
            "move before weighing",
            "the chain moved first and was weighed at its new place: its mean is then no lower bound.",
            _law(_moved_first),
            next="Take T = 1: which z is weighed then, and which known bound is its mean?",
            made=_walk(_moved_first),
        ),
        Mistake(
            "never moved",
            "the chain never moved: its steps then add up to the log-weight of one z from q, an ELBO.",
            _law(_stays, lambda steps: 1.0),
            made=_walk(_stays, lambda steps: 1.0),
        ),
        Mistake(
            "move for the next temperature",
            "each move runs ahead: it keeps f at the temperature up to which the chain has been weighed.",
            _law(_ahead),
            made=_walk(_ahead),
        ),
        Mistake(
            "started at the prior",
            "the chain started at the prior, but was weighed as if from q.",
            _law(_from_prior),
            made=_walk(_from_prior),
        ),
        Mistake(
            "steps not weighed",
            "each log-ratio counts in full: it counts by the step of the temperature.",
            _law(_places, lambda steps: 1.0),
            made=_walk(_places, lambda steps: 1.0),
        ),
        Mistake(
            "variance for scale",
            "a variance was passed to a move as the standard deviation.",
            _law(_variance_for_scale),
            next="Print the standard deviation of the draws of one move, and compare it with f.",
            made=_walk(_variance_for_scale),
            real="public issue threads: variance passed where a standard deviation is expected",
        ),
        Mistake(
            "minus the log-weight",
            "the sign is turned: each step adds log f_next - log f_b.",
            _law(_places, lambda steps: -1 / steps),
            made=_walk(_places, lambda steps: -1 / steps),
        ),
    ),
    hints=(
        "With T = 1 nothing moves. Which z is weighed, and against which two densities?",
        "log f_b is a parabola in z. What is the factor of z^2, and that of z? What mean and variance does that give?",
        "Up to which temperature is the chain weighed before it moves? From which f does that move draw?",
    ),
    next="Average many log-weights for T = 1, 4 and 64: they should climb towards log p(x) = -1.782 from below.",
)

TASKS = (WEIGHTED_BOUND, TWO_GAPS, ANNEALED)
