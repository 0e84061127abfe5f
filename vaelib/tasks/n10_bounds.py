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
        "Where does a variance v_j occur in KL(q || p)? What is the derivative of Lambda_jj v_j - log v_j?",
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
    """(mean, variance) of z_0, ..., z_(T-1): where the chain is when it is weighed."""
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

# ------------------------------------------------------------------------------------------- the density of a flow


def _planar(
    u: Any, direction: Any, weights: Any, bias: float, slope: float = 1.0, sign: float = -1.0, size: bool = True
) -> Any:
    """log q(z), z = u + direction tanh(weights u + bias), by the determinant 1 + (weights direction) tanh'."""
    bend = slope * (1 - np.tanh(u @ weights + bias) ** 2)
    determinant = 1 + (weights @ direction) * bend
    of_noise = -0.5 * np.sum(u**2, axis=-1) - 0.5 * u.shape[-1] * log(2 * pi)
    return of_noise + sign * (np.log(determinant) if size else determinant)


def _bend(u: Any, direction: Any, weights: Any, bias: float) -> Array:
    return u + direction * np.tanh(u @ weights + bias)[..., None]


def _noise_and_flow(rng: Rng) -> dict[str, Any]:
    """Five draws in three dimensions, and a planar flow whose determinant stays above 0.2."""
    weights, direction = away_from_zero(rng, 0.4, 1.2, (3,)), away_from_zero(rng, 0.3, 1.2, (3,))
    if weights @ direction < -0.8 or abs(weights @ direction) < 0.3:
        direction = direction + (1.2 - weights @ direction) * weights / (weights @ weights)
    u = away_from_zero(rng, 0.2, 1.5, (5, 3))
    return {"u": u, "direction": direction, "weights": weights, "bias": float(away_from_zero(rng, 0.2, 0.8))}


def _flow_at(u: list[list[float]], direction: list[float], weights: list[float], bias: float = 0.0) -> dict[str, Any]:
    return {"u": np.array(u), "direction": np.array(direction), "weights": np.array(weights), "bias": bias}


PLANAR = Compute(
    id="10.4",
    title="The density of a flow",
    level="core",
    minutes=12,
    name="flow_log_density",
    rough=True,
    truth=_planar,
    examples=(
        _flow_at([[0.0]], [0.0], [1.0]),
        _flow_at([[0.0, 0.0]], [0.0, 0.0], [1.0, 0.0]),
        _flow_at([[0.0]], [1.0], [1.0]),
        _flow_at([[0.0], [1.0]], [1.5], [2.0]),
        _flow_at([[0.5, -1.0], [1.0, 0.3]], [1.0, 0.5], [0.8, -0.4], 0.3),
    ),
    draw=_noise_and_flow,
    mistakes=(
        Mistake(
            "no determinant",
            "the density of u was returned: z is u, bent, and where it is stretched its density is thinner.",
            lambda u, direction, weights, bias: _planar(u, direction, weights, bias, sign=0.0),
        ),
        Mistake(
            "sign of the determinant",
            "the logarithm of the determinant was added: where the flow stretches, log q(z) falls.",
            lambda u, direction, weights, bias: _planar(u, direction, weights, bias, sign=1.0),
            next="Take one dimension, direction = weights = 1, u = 0: the line is stretched by 2. Is q halved?",
        ),
        Mistake(
            "determinant without its logarithm",
            "the determinant was subtracted without its logarithm.",
            lambda u, direction, weights, bias: _planar(u, direction, weights, bias, size=False),
        ),
        Mistake(
            "tanh not differentiated",
            "the determinant holds tanh itself: it needs its derivative, 1 - tanh^2.",
            lambda u, direction, weights, bias: (
                _planar(u, direction, weights, bias, sign=0.0)
                - np.log(np.abs(1 + (weights @ direction) * np.tanh(u @ weights + bias)))
            ),
        ),
        Mistake(
            "product of the diagonal",
            "the diagonal of the matrix of derivatives was multiplied: the others count, too.",
            lambda u, direction, weights, bias: (
                _planar(u, direction, weights, bias, sign=0.0)
                - np.log(np.abs(1 + (weights * direction) * (1 - np.tanh(u @ weights + bias) ** 2)[..., None])).sum(-1)
            ),
            next="With direction (1, 0) and weights (0, 1) every diagonal entry is 1. With (1, 1) and (1, -1)?",
        ),
        Mistake(
            "base density at z",
            "the Gaussian was asked at z: it is the density of u.",
            lambda u, direction, weights, bias: (
                _planar(u, direction, weights, bias)
                + 0.5 * np.sum(u**2, axis=-1)
                - 0.5 * np.sum(_bend(u, direction, weights, bias) ** 2, axis=-1)
            ),
        ),
        Mistake(
            "no normalizing constant",
            "log sqrt(2 pi) of each coordinate is missing.",
            lambda u, direction, weights, bias: _planar(u, direction, weights, bias) + 0.5 * u.shape[-1] * log(2 * pi),
        ),
        Mistake(
            "log 2 pi once",
            "log sqrt(2 pi) was subtracted once: each of the k coordinates of u has its own.",
            lambda u, direction, weights, bias: (
                _planar(u, direction, weights, bias) + 0.5 * (u.shape[-1] - 1) * log(2 * pi)
            ),
            next="Take two dimensions, u = 0 and direction 0: -log(2 pi) = -1.838 must come out.",
        ),
        Mistake(
            "no base density",
            "the density of u was left out: log q(z) is log N(u; 0, I) less the logarithm of the determinant.",
            lambda u, direction, weights, bias: (
                _planar(u, direction, weights, bias) - _planar(u, direction, weights, bias, sign=0.0)
            ),
        ),
        Mistake(
            "one number for all draws",
            "the draws were put together: each of them has its own log q(z).",
            lambda u, direction, weights, bias: np.mean(_planar(u, direction, weights, bias)),
        ),
    ),
    hints=(
        "What is the density of z = g(u) in terms of that of u, in one dimension? And in several?",
        "What is the matrix of derivatives of z? It is the identity plus a column times a row: which ones?",
        "det(I + a b^T) = 1 + b^T a. What are a and b here, and what is the derivative of tanh?",
    ),
    next="Take one dimension, u = 0, direction = weights = 1, bias 0: -0.919 - log 2 = -1.612 must come out.",
    tip=(_flow_at([[0.0]], [1.0], [1.0]), _flow_at([[0.5, -1.0], [1.0, 0.3]], [1.0, 0.5], [0.8, -0.4], 0.3)),
)

TASKS = (WEIGHTED_BOUND, TWO_GAPS, ANNEALED, PLANAR)

# ------------------------------------------------------------------------------------------------------- in class


def _half_chi_square(log_p: Any, log_q: Any, cell: float) -> Any:
    ratio_squared_under_q = np.exp(2 * log_p - log_q)
    return (np.sum(ratio_squared_under_q) * cell - 1) / 2


def _two_densities(rng: Rng) -> dict[str, Any]:
    """Two Gaussians on a grid, q the wider one."""
    z = np.linspace(-6, 6, 61)
    loc, scale = rng.uniform(-0.5, 0.5, 2), np.array([rng.uniform(0.6, 0.9), rng.uniform(1.0, 1.4)])
    log_p, log_q = (-0.5 * ((z - m) / s) ** 2 - log(s) - 0.5 * log(2 * pi) for m, s in zip(loc, scale, strict=True))
    return {"log_p": log_p, "log_q": log_q, "cell": float(z[1] - z[0])}


def _on_two_cells(p: tuple[float, float], q: tuple[float, float], cell: float) -> dict[str, Any]:
    return {"log_p": np.log(p), "log_q": np.log(q), "cell": cell}


CHI_SQUARE = Compute(
    id="10.a",
    title="How bad is the worst place?",
    minutes=5,
    name="half_chi_square",
    truth=_half_chi_square,
    examples=(_on_two_cells((0.5, 0.5), (0.25, 0.75), 1.0), _on_two_cells((1.0, 3.0), (2.5, 1.5), 0.25)),
    draw=_two_densities,
    mistakes=(
        Mistake(
            "not minus 1",
            "the 1 was not subtracted: chi-square is 0 where the two agree.",
            lambda log_p, log_q, cell: np.sum(np.exp(2 * log_p - log_q)) * cell / 2,
        ),
        Mistake(
            "not halved",
            "this is chi-square itself: half of it was asked for.",
            lambda log_p, log_q, cell: np.sum(np.exp(2 * log_p - log_q)) * cell - 1,
        ),
        Mistake(
            "the two swapped",
            "p and q are swapped: the mean is under q, so q is below the bar.",
            lambda log_p, log_q, cell: (np.sum(np.exp(2 * log_q - log_p)) * cell - 1) / 2,
        ),
        Mistake(
            "no spacing",
            "the sum was not multiplied by the spacing of the grid: an integral is wanted.",
            lambda log_p, log_q, cell: (np.sum(np.exp(2 * log_p - log_q)) - 1) / 2,
        ),
        Mistake(
            "the mean of p / q under q",
            "the quotient was not squared: its mean under q is 1 whatever q is.",
            lambda log_p, log_q, cell: (np.sum(np.exp(log_p)) * cell - 1) / 2,
        ),
    ),
    hints=(
        "Chi-square is E_q[(p/q)^2] - 1. What is the integrand once the density q of the mean is multiplied in?",
        "What is log(p^2 / q) in terms of log p and log q?",
        "A sum over the grid times what is an integral? What is then subtracted, and what halved?",
    ),
    next="Two cells of width 1, p = (1/2, 1/2), q = (1/4, 3/4): half of chi-square is 1/6. What is yours?",
    tip=(_on_two_cells((0.5, 0.5), (0.25, 0.75), 1.0),),
)


def _metropolis(z: Any, proposal: Any, log_f_z: Any, log_f_proposal: Any, uniform: Any) -> Any:
    accepted = np.log(uniform) < log_f_proposal - log_f_z
    return np.where(accepted, proposal, z)


def _walkers(rng: Rng) -> dict[str, Any]:
    names = ("z", "proposal", "log_f_z", "log_f_proposal")
    found = {name: rng.standard_normal(9) for name in names}
    found["log_f_z"] += 3.0  # an f that is not normalized, and often larger than 1
    found["log_f_proposal"] += 3.0
    return found | {"uniform": rng.uniform(0.02, 0.98, 9)}


def _walker(log_f_z: float, log_f_proposal: float, uniform: float) -> dict[str, Any]:
    values = {"z": 1.0, "proposal": 2.0, "log_f_z": log_f_z, "log_f_proposal": log_f_proposal, "uniform": uniform}
    return {name: np.array([value]) for name, value in values.items()}


METROPOLIS = Compute(
    id="10.b",
    title="Go or stay",
    minutes=5,
    name="metropolis",
    truth=_metropolis,
    examples=(_walker(0.0, 1.0, 0.5), _walker(0.0, -1.0, 0.1), _walker(0.0, -1.0, 0.6), _walker(5.0, 4.0, 0.9)),
    draw=_walkers,
    mistakes=(
        Mistake(
            "always go",
            "every proposal was accepted: the walk then keeps no density.",
            lambda z, proposal, log_f_z, log_f_proposal, uniform: proposal + 0 * z,
        ),
        Mistake(
            "uphill only",
            "only uphill moves were accepted: such a walk climbs to a hilltop and stays.",
            lambda z, proposal, log_f_z, log_f_proposal, uniform: np.where(log_f_proposal > log_f_z, proposal, z),
        ),
        Mistake(
            "the test the wrong way round",
            "the walker went where it should have stayed, and stayed where it should have gone.",
            lambda z, proposal, log_f_z, log_f_proposal, uniform: np.where(
                np.log(uniform) < log_f_proposal - log_f_z, z, proposal
            ),
        ),
        Mistake(
            "no logarithm of the uniform number",
            "the uniform number was compared with a difference of logarithms: take its logarithm, too.",
            lambda z, proposal, log_f_z, log_f_proposal, uniform: np.where(
                uniform < log_f_proposal - log_f_z, proposal, z
            ),
        ),
        Mistake(
            "quotient of the logarithms",
            "the logarithms were divided: the quotient of two f has the difference of their logarithms.",
            lambda z, proposal, log_f_z, log_f_proposal, uniform: np.where(
                uniform * log_f_z < log_f_proposal, proposal, z
            ),
        ),
    ),
    hints=(
        "With which probability does a walker go? What is the chance that a uniform number is below it?",
        "What is `uniform < f' / f` after taking logarithms on both sides? Is the minimum with 1 still needed?",
        "Which function of NumPy takes one value where a condition holds and another one elsewhere?",
    ),
    next="From log f = 0 to -1 one goes with probability e^-1 = 0.37: with a uniform number of 0.1, do you go?",
    tip=(_walker(0.0, -1.0, 0.1), _walker(0.0, -1.0, 0.6), _walker(0.0, 1.0, 0.5), _walker(5.0, 4.0, 0.9)),
)


def _flow_bound(log_joint: Any, log_u: Any, slope: Any, cell: float) -> Any:
    log_q = log_u - np.log(slope)
    return np.sum(np.exp(log_u) * (log_joint - log_q)) * cell


def _bent_line(rng: Rng) -> dict[str, Any]:
    """Noise on a grid, a map with slopes on both sides of 1, and some log p(x, z) along it."""
    u = np.linspace(-5, 5, 51)
    push = float(away_from_zero(rng, 0.8, 1.6))
    z = np.arcsinh(np.sinh(u) + push) + 0.3 * u
    slope = np.cosh(u) / np.hypot(1, np.sinh(u) + push) + 0.3
    log_joint = -0.5 * z**2 - (rng.uniform(0.4, 0.9) - z) ** 2 - rng.uniform(0.5, 2.0)
    return {"log_joint": log_joint, "log_u": -0.5 * u**2 - 0.5 * log(2 * pi), "slope": slope, "cell": 0.2}


def _line(log_joint: tuple[float, float], u: tuple[float, float], slope: tuple[float, float]) -> dict[str, Any]:
    return {"log_joint": np.array(log_joint), "log_u": np.log(u), "slope": np.array(slope), "cell": 0.5}


FLOW_BOUND = Compute(
    id="10.c",
    title="The bound of a flow",
    minutes=5,
    name="flow_bound",
    truth=_flow_bound,
    examples=(
        _line((0.0, 0.0), (1.0, 1.0), (1.0, 1.0)),
        _line((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)),
        _line((-1.0, -3.0), (1.5, 0.5), (0.5, 3.0)),
    ),
    draw=_bent_line,
    mistakes=(
        Mistake(
            "no slope",
            "the density of u was taken for that of z: where the line is stretched, z is thinner.",
            lambda log_joint, log_u, slope, cell: np.sum(np.exp(log_u) * (log_joint - log_u)) * cell,
        ),
        Mistake(
            "sign of the log of the slope",
            "log slope has the wrong sign: a stretched density is thinner, so -log q gains log slope.",
            lambda log_joint, log_u, slope, cell: np.sum(np.exp(log_u) * (log_joint - log_u - np.log(slope))) * cell,
        ),
        Mistake(
            "slope without its logarithm",
            "the slope was added without its logarithm.",
            lambda log_joint, log_u, slope, cell: np.sum(np.exp(log_u) * (log_joint - log_u + slope)) * cell,
        ),
        Mistake(
            "mean under z's density on the grid of u",
            "the mean was taken with the density of z, but the cells are those of u: weigh by exp(log_u).",
            lambda log_joint, log_u, slope, cell: (
                np.sum(np.exp(log_u) / slope * (log_joint - log_u + np.log(slope))) * cell
            ),
        ),
        Mistake(
            "no spacing",
            "the sum was not multiplied by the spacing of the grid: an integral is wanted.",
            lambda log_joint, log_u, slope, cell: np.sum(np.exp(log_u) * (log_joint - log_u + np.log(slope))),
        ),
        Mistake(
            "minus the bound",
            "the sign is turned: that is a loss, and the bound itself is asked for.",
            lambda log_joint, log_u, slope, cell: -_flow_bound(log_joint, log_u, slope, cell),
        ),
    ),
    hints=(
        "The bound is a mean of log p(x, z) - log q(z). Under which density is the mean, if the grid is one of u?",
        "What is the density of z, if u has density e^log_u and the line is stretched by `slope` there?",
        "What is log q then, in terms of log_u and the slope? A sum times what is an integral?",
    ),
    next="Two cells of width 1/2, u uniform, log p(x, z) = 0, slope 2: the bound is log 2 = 0.693. What is yours?",
    tip=(_line((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)), _line((-1.0, -3.0), (1.5, 0.5), (0.5, 3.0))),
)

IN_CLASS = (CHI_SQUARE, METROPOLIS, FLOW_BOUND)
