r"""Exercises to notebook 02: adding tiny numbers, an estimate of the evidence, and how many samples it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaelib.distributions import Normal
from vaelib.elbo import importance_weighted_bound
from vaelib.task import Compute, Law, Mistake, Rule, Sample
from vaelib.witnesses import away_from_zero, generic_covariance

Array = np.ndarray
Rng = np.random.Generator


# ------------------------------------------------------------------------------------------------ tiny numbers


def _scores(rng: Rng) -> dict[str, Any]:
    """Log-weights of seven samples for three examples: two far too small for any float, one too large.

    In one column the first, the last and two other samples lie far below the rest: only its largest is a safe shift.
    """
    tops = rng.permutation([-rng.uniform(8e2, 1e3), -rng.uniform(2e4, 4e4), rng.uniform(8e2, 1e3)])
    below = rng.uniform(0, 6, (7, 3))
    below[[0, 6, *rng.choice(np.arange(1, 6), 2, replace=False)], rng.integers(3)] += rng.uniform(2e3, 2e4)
    return {"scores": tops - below}


def _exponentials_first(scores: Array) -> Array:
    with np.errstate(over="ignore", divide="ignore"):
        return np.log(np.mean(np.exp(scores), axis=0))


def _shifted(scores: Array, shift: Any) -> Array:
    return shift + _exponentials_first(scores - shift)


def _lies_between(value: Any, scores: Any) -> bool:
    least, most = scores.min(axis=0) - 1e-6, scores.max(axis=0) + 1e-6
    return bool(np.all((least <= value) & (value <= most)))


TINY = Compute(
    id="02.1",
    title="The logarithm of a mean of tiny numbers",
    level="warm-up",
    minutes=6,
    name="log_mean_exp",
    rough=True,
    truth=lambda scores: importance_weighted_bound(scores),
    examples=(
        {"scores": np.array([[0.0], [1.0]])},
        {"scores": np.array([[0.0, 1.0], [2.0, -1.0], [1.0, 0.5]])},
        {"scores": np.array([[-1000.0, -800.0], [-1001.0, -802.0], [-1003.0, -801.0]])},
        {"scores": np.array([[-3000.0, 1.0], [0.0, -3000.0]])},
    ),
    draw=_scores,
    rules=(
        Rule(
            "A mean lies between the smallest and the largest number, and so does its logarithm. Yours does not here.",
            _lies_between,
        ),
    ),
    mistakes=(
        Mistake(
            "exponentials first",
            "the exponentials were taken as they are: they underflow to 0, or overflow.",
            _exponentials_first,
            next="Which number could be subtracted from all scores of a column first, and be added to the result?",
            real="public VAE programs: raw log-weights exponentiated",
        ),
        Mistake(
            "one largest for all",
            "one number was subtracted from the whole table: each column needs its own largest.",
            lambda scores: _shifted(scores, scores.max()),
        ),
        Mistake(
            "shifted by too little",
            "a number far below the largest score was subtracted: then the largest still overflows.",
            lambda scores: _shifted(scores, scores.min(axis=0)),
        ),
        Mistake(
            "shifted by the first",
            "the first score of a column was subtracted: if a later one is far larger, that overflows.",
            lambda scores: _shifted(scores, scores[0]),
        ),
        Mistake(
            "mean of the logarithms",
            "the scores themselves were averaged: a mean of logarithms is not the logarithm of a mean.",
            lambda scores: scores.mean(axis=0),
        ),
        Mistake(
            "sum for mean",
            "a sum was taken where a mean was asked: it is larger by log S.",
            lambda scores: importance_weighted_bound(scores) + np.log(len(scores)),
        ),
        Mistake(
            "shift not added back",
            "the largest score was subtracted and not added again.",
            lambda scores: importance_weighted_bound(scores) - scores.max(axis=0),
        ),
        Mistake(
            "largest only",
            "the largest score was taken for the sum: others may be nearly as large.",
            lambda scores: scores.max(axis=0) - np.log(len(scores)),
        ),
        Mistake(
            "over the examples",
            "the mean runs over the examples: average over the samples, one number for each example.",
            lambda scores: importance_weighted_bound(scores, axis=1),
        ),
    ),
    hints=(
        "What does your computer make of exp(-1000)? And of exp(-1000 + 1000)?",
        "If the same number is taken from every score of a column, what happens to the logarithm of the mean?",
        "Which number makes every exponential at most 1, and one of them 1? Must it be the same for all columns?",
    ),
    next="Take the columns (0, 1) and (-3000, -2000): one must give log((1 + e)/2), the other -2000 - log 2.",
    tip=({"scores": np.array([[0.0, -3000.0], [1.0, -2000.0]])},),
    forbidden=("importance",),
)


# ------------------------------------------------------------------------------------ an estimate of the evidence

# The model is the toy: z ~ N(0, 1), x | z ~ N(2 z, 1/2). A logarithm of a weight, and of a density it is drawn from, is
# a parabola A z^2 + B z + C, kept as the vector (A, B, C); so E[w^k] is a Gaussian integral, for every k that occurs.


def _log_normal(loc: float, variance: float) -> Array:
    """log N(z; loc, variance)."""
    return np.array([-0.5, loc, -0.5 * loc**2]) / variance - np.array([0, 0, 0.5 * np.log(2 * np.pi * variance)])


def _log_lik(x: float, variance: float = 0.5) -> Array:
    """log N(x; 2 z, variance) as a function of z: 2 z is x, up to noise."""
    return _log_normal(x / 2, variance / 4) - np.array([0, 0, np.log(2)])


PRIOR = _log_normal(0.0, 1.0)


def _moment(log_weight: Array, log_density: Array, k: float) -> float:
    """E[w^k] = integral of exp(k log w + log density) = exp(C - B^2 / 4A) sqrt(pi / -A); A < 0 wherever it is used."""
    a, b, c = k * log_weight + log_density
    return float(np.exp(c - b**2 / (4 * a)) * np.sqrt(np.pi / -a))


def _law_from(moments: list[float], n: int = 1) -> Law:
    """Of the mean of n independent numbers with E[w], ..., E[w^4]: the variance and the excess kurtosis fall by n."""
    m1, m2, m3, m4 = moments
    variance = m2 - m1**2
    kurtosis = (m4 - 4 * m3 * m1 + 6 * m2 * m1**2 - 3 * m1**4) / variance**2
    return Law(m1, float(np.sqrt(variance / n)), 3 + (kurtosis - 3) / n)


LogWeight = Callable[[float, float, float], Array]  # (x, loc, scale) -> the parabola log w


def _log_q(loc: float, scale: float) -> Array:
    return _log_normal(loc, scale**2)


def _log_weight(x: float, loc: float, scale: float) -> Array:
    return _log_lik(x) + PRIOR - _log_q(loc, scale)


def _no_prior(x: float, loc: float, scale: float) -> Array:
    return _log_lik(x) - _log_q(loc, scale)


def _not_divided(x: float, loc: float, scale: float) -> Array:
    return _log_lik(x) + PRIOR


def _likelihood_alone(x: float, loc: float, scale: float) -> Array:
    return _log_lik(x)


def _scale_as_variance(x: float, loc: float, scale: float) -> Array:
    return _log_lik(x) + PRIOR - _log_normal(loc, scale)


def _noise_as_deviation(x: float, loc: float, scale: float) -> Array:
    return _log_lik(x, 0.5**2) + PRIOR - _log_q(loc, scale)


def _law_of(log_weight: LogWeight, draws: Callable[[int], int] = int) -> Callable[..., Law]:
    """The law of the mean weight of draws(S) draws from q."""

    def law(x: float, loc: float, scale: float, num_samples: int) -> Law:
        parabola, q = log_weight(x, loc, scale), _log_q(loc, scale)
        return _law_from([_moment(parabola, q, k) for k in (1, 2, 3, 4)], draws(num_samples))

    return law


def _law_from_prior(x: float, loc: float, scale: float, num_samples: int) -> Law:
    return _law_from([_moment(_log_lik(x), PRIOR, k) for k in (1, 2, 3, 4)], num_samples)


def _law_of_sum(x: float, loc: float, scale: float, num_samples: int) -> Law:
    law = _law_of(_log_weight)(x, loc, scale, num_samples)
    return Law(num_samples * law.mean, num_samples * law.deviation, law.kurtosis)


def _law_of_geometric_mean(x: float, loc: float, scale: float, num_samples: int) -> Law:
    """exp of the mean of n logarithms: its k-th moment is E[w^(k/n)]^n."""
    parabola, q, n = _log_weight(x, loc, scale), _log_q(loc, scale), num_samples
    return _law_from([_moment(parabola, q, k / n) ** n for k in (1, 2, 3, 4)])


def _mean_exp(log_weights: Array) -> Any:
    return np.mean(np.exp(log_weights))


def _made(log_weight: LogWeight, how: Callable[[Array], Any] = _mean_exp) -> Callable[..., Any]:
    """The estimator that draws from q, uses this weight, and makes `how` of the log-weights."""

    def made(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
        z = loc + scale * rng.standard_normal(num_samples)
        return how(np.polyval(log_weight(x, loc, scale), z))

    return made


def _made_from_prior(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    return _mean_exp(np.polyval(_log_lik(x), rng.standard_normal(num_samples)))


def _made_of_one(x: float, loc: float, scale: float, num_samples: int, rng: Rng) -> Any:
    return _made(_log_weight)(x, loc, scale, 1, rng)


ESTIMATE = Sample(
    id="02.2",
    title="An estimate of the evidence",
    level="core",
    minutes=12,
    name="estimate_evidence",
    law=_law_of(_log_weight),
    examples=(
        {"x": 1.0, "loc": 0.5, "scale": 0.6, "num_samples": 20},
        {"x": -0.8, "loc": -0.1, "scale": 0.7, "num_samples": 12},
    ),
    repeats=2000,
    made=_made(_log_weight),
    mistakes=(
        Mistake(
            "no prior in the weight",
            "the prior is missing from the weight: the joint is p(x|z) p(z).",
            _law_of(_no_prior),
            real="a published note: p(z|x) = p(x|z) / p(x)",
            made=_made(_no_prior),
        ),
        Mistake(
            "not divided by q",
            "the joint was averaged as it is: each draw has to pay for how much q prefers it.",
            _law_of(_not_divided),
            made=_made(_not_divided),
        ),
        Mistake(
            "likelihood alone",
            "p(x|z) was averaged: that gives p(x) only for z from the prior, and these come from q.",
            _law_of(_likelihood_alone),
            made=_made(_likelihood_alone),
        ),
        Mistake(
            "drawn from the prior",
            "z came from the prior: right on average, but it scatters as the prior does, not as q.",
            _law_from_prior,
            made=_made_from_prior,
        ),
        Mistake(
            "one draw",
            "a single draw was used: right on average, but it scatters as if num_samples were 1.",
            _law_of(_log_weight, draws=lambda num_samples: 1),
            made=_made_of_one,
        ),
        Mistake(
            "mean of the logarithms",
            "log-weights were averaged before exp: that is too small, whatever the number of samples.",
            _law_of_geometric_mean,
            made=_made(_log_weight, how=lambda log_weights: np.exp(np.mean(log_weights))),
        ),
        Mistake(
            "sum for mean",
            "the weights were added and not averaged: then more samples would mean more evidence.",
            _law_of_sum,
            made=_made(_log_weight, how=lambda log_weights: np.sum(np.exp(log_weights))),
        ),
        Mistake(
            "scale for variance in q",
            "q was drawn with one width and divided out with another: scale is its standard deviation.",
            _law_of(_scale_as_variance),
            real="public issue threads: scale, variance and log-variance mixed up",
            made=_made(_scale_as_variance),
        ),
        Mistake(
            "noise variance as deviation",
            "1/2 was taken for the noise's standard deviation: it is the variance.",
            _law_of(_noise_as_deviation),
            real="public issue threads: scale, variance and log-variance mixed up",
            made=_made(_noise_as_deviation),
        ),
    ),
    hints=(
        "p(x) is an integral over z. Which density may be multiplied and divided by, to make it a mean under q?",
        "How is z ~ N(loc, scale^2) made from rng, and what are the three densities in the weight of a draw?",
        "The weights differ from draw to draw. What of them is p(x) on average: their sum, mean, or exp of a mean log?",
    ),
    next="Let q be the posterior, N(4/9, 1/9) at x = 1: then every weight is p(x), and nothing scatters.",
    forbidden=("importance",),
)


# --------------------------------------------------------------------------------------------- signal to noise


def _log_ratio(loc_p: Array, covariance_p: Array, loc_q: Array, covariance_q: Array, half: float = 1.0) -> float:
    """log rho = log integral of p^2 / q = log |Q| - log |P| / 2 - log |R| / 2 + d^T R^-1 d, R = 2 Q - P, or inf."""
    room, gap = 2 * covariance_q - covariance_p, loc_p - loc_q
    if np.linalg.eigvalsh(room).min() <= 0:
        return np.inf
    log_dets = [np.linalg.slogdet(m)[1] for m in (covariance_q, covariance_p, room)]
    return float(log_dets[0] - (log_dets[1] + log_dets[2]) / 2 + half * gap @ np.linalg.solve(room, gap))


def _ratio(
    loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int, half: float = 1.0
) -> float:
    """sqrt(S / (rho - 1)), and 0 where rho is infinite."""
    log_rho = _log_ratio(loc_p, covariance_p, loc_q, np.diag(scale_q**2), half)
    return float(np.sqrt(num_samples / np.expm1(log_rho)))


def _second_moment(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> float:
    log_rho = _log_ratio(loc_p, covariance_p, loc_q, np.diag(scale_q**2))
    return float(np.sqrt(num_samples * np.exp(-log_rho)))


def _roles_swapped(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> float:
    return float(np.sqrt(num_samples / np.expm1(_log_ratio(loc_q, np.diag(scale_q**2), loc_p, covariance_p))))


def _too_careful(loc_p: Array, covariance_p: Array, loc_q: Array, scale_q: Array, num_samples: int) -> float:
    narrower = bool(np.any(scale_q**2 < np.diag(covariance_p)))
    return 0.0 if narrower else _ratio(loc_p, covariance_p, loc_q, scale_q, num_samples)


def _proposal(rng: Rng) -> dict[str, Any]:
    """A posterior in three dimensions, a diagonal proposal; no eigenvalue of 2 Q - P, relative to P, is near zero."""
    while True:
        covariance = generic_covariance(rng, 3)
        deviation = np.sqrt(np.diag(covariance))
        narrow = rng.random(3) < rng.choice([0.0, 0.0, 0.6])
        scale = deviation * np.where(narrow, rng.uniform(0.4, 0.69, 3), rng.uniform(1.0, 1.7, 3))
        room = (2 * np.diag(scale**2) - covariance) / np.outer(deviation, deviation)
        if np.abs(np.linalg.eigvalsh(room)).min() > 0.05:
            break
    loc_p = away_from_zero(rng, 0.3, 1.5, (3,))
    loc_q = loc_p + deviation * away_from_zero(rng, 0.2, 0.7, (3,))
    law = {"loc_p": loc_p, "covariance_p": covariance, "loc_q": loc_q, "scale_q": scale}
    return {**law, "num_samples": int(rng.integers(20, 2000))}


def _one_dimension(scale: float, gap: float = 0.0, variance: float = 1.0) -> dict[str, Any]:
    law = {"loc_p": np.array([gap]), "covariance_p": np.array([[variance]]), "loc_q": np.array([0.0])}
    return {**law, "scale_q": np.array([scale]), "num_samples": 100}


def _equally_correlated(k: int, correlation: float, scale: float) -> dict[str, Any]:
    covariance = np.full((k, k), correlation) + (1 - correlation) * np.eye(k)
    law = {"loc_p": np.zeros(k), "covariance_p": covariance, "loc_q": np.zeros(k)}
    return {**law, "scale_q": np.full(k, scale), "num_samples": 100}


SIGNAL_TO_NOISE = Compute(
    id="02.3",
    title="Signal to noise, and when samples do not help",
    level="stretch",
    minutes=30,
    name="signal_to_noise",
    rough=True,
    truth=_ratio,
    examples=(
        _one_dimension(2.0),
        _one_dimension(0.8),
        _one_dimension(0.5),
        _one_dimension(1.0, variance=2.0),  # 2 v_q = v_p: infinite just there
        _one_dimension(1.0, gap=1.0),
        _equally_correlated(2, 0.0, 0.5),
        _equally_correlated(2, 0.0, 0.68),
        _equally_correlated(2, 0.8, 1.1),
        _equally_correlated(3, 0.8, 1.1),
        _equally_correlated(2, 0.9, 0.95),
    ),
    draw=_proposal,
    rules=(
        Rule(
            "A deviation is never negative, and neither is this ratio. Yours is negative here: look at rho - 1.",
            lambda value, **_: bool(value >= 0),
        ),
    ),
    mistakes=(
        Mistake(
            "correlation ignored",
            "only the diagonal of covariance_p was used: q does not know the correlation, but p has it.",
            lambda covariance_p, **given: _ratio(covariance_p=np.diag(np.diag(covariance_p)), **given),
        ),
        Mistake(
            "infinite too soon",
            "0 is returned wherever q is narrower than p: if it is only a little narrower, the variance is finite.",
            _too_careful,
        ),
        Mistake(
            "second moment for variance",
            "rho was taken for the variance: it is the second moment of a weight whose mean is 1.",
            _second_moment,
        ),
        Mistake(
            "variance for deviation",
            "the square root is missing: this is one over the variance, and the deviation was asked.",
            lambda **given: _ratio(**given) ** 2,
        ),
        Mistake(
            "a single weight",
            "one weight was looked at: a mean of num_samples of them scatters less.",
            lambda num_samples, **given: _ratio(num_samples=1, **given),
        ),
        Mistake(
            "scale for variance",
            "scale_q was taken for variances: they are standard deviations.",
            lambda scale_q, **given: _ratio(scale_q=np.sqrt(scale_q), **given),
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "roles swapped",
            "p and q were swapped: the draws come from q, so the integral is that of p^2 / q.",
            _roles_swapped,
        ),
        Mistake(
            "half the exponent",
            "the shift costs half as much: p is squared, which takes the 1/2 from its exponent.",
            lambda **given: _ratio(**given, half=0.5),
        ),
    ),
    hints=(
        "What is the variance of one weight p/q under q, given that its mean is 1? And that of a mean of S weights?",
        "The exponent of p^2 / q is quadratic in z: which matrix is in it, and what must hold for the integral?",
        "In one dimension it takes 2 v_q > v_p. What replaces > for matrices, and does a positive determinant show it?",
    ),
    next="Let covariance_p be diagonal first: what becomes of rho, one coordinate at a time?",
)

TASKS = (TINY, ESTIMATE, SIGNAL_TO_NOISE)


# ------------------------------------------------------------------------------------------ written in class


def log_mean(a: Any) -> Any:
    """log of the mean of exp(a), for logarithms a of any size."""
    m = a.max()
    return m + np.log(np.mean(np.exp(a - m)))


def _one_column(rng: Rng) -> dict[str, Any]:
    top = rng.choice([-1.0, 1.0]) * rng.uniform(8e2, 2e3)
    return {"a": rng.permutation(top - np.concatenate([[0.0], rng.uniform(0, 6, 4), rng.uniform(1e3, 3e3, 2)]))}


ONE_COLUMN = Compute(
    id="02.a",
    title="The logarithm of a mean",
    level="warm-up",
    minutes=5,
    name="log_mean",
    rough=True,
    truth=log_mean,
    examples=(
        {"a": np.array([0.0, 1.0])},
        {"a": np.array([-1.0, 0.5, 2.0])},
        {"a": np.array([-2000.0, -2001.0])},
    ),
    draw=_one_column,
    rules=(
        Rule(
            "A mean lies between the smallest and the largest number, and so does its logarithm. Yours does not here.",
            lambda value, a: bool(a.min() - 1e-6 <= value <= a.max() + 1e-6),
        ),
    ),
    mistakes=(
        Mistake(
            "exponentials first",
            "the exponentials were taken as they are: they underflow to 0, or overflow.",
            lambda a: _exponentials_first(a),
            next="Which number could be subtracted from all scores first, and be added to the result?",
        ),
        Mistake(
            "shift not added back",
            "the largest score was subtracted and not added again.",
            lambda a: log_mean(a) - a.max(),
        ),
        Mistake(
            "sum for mean",
            "a sum was taken where a mean was asked: it is larger by log S.",
            lambda a: log_mean(a) + np.log(len(a)),
        ),
        Mistake(
            "mean of the logarithms",
            "the scores themselves were averaged: a mean of logarithms is not the logarithm of a mean.",
            lambda a: a.mean(),
        ),
        Mistake(
            "shifted by the smallest",
            "the smallest score was subtracted: then the largest exponentials overflow.",
            lambda a: a.min() + _exponentials_first(a - a.min()),
        ),
    ),
    hints=(
        "What does your computer make of exp(-2000)? And of exp(-2000 + 2000)?",
        "Line 2 of the table above has a sum in it. What changes if it is a mean?",
        "The largest exponent should be 0. What is subtracted from `a`, and where is it added again?",
    ),
    next="Take a = (-2000, -2001): the result is -2000 + log((1 + 1/e)/2), about -2000.38.",
    tip=({"a": np.array([-2000.0, -2001.0])},),
    forbidden=("importance",),
)


def log_weight(x: float, z: Any, m: float, s: float) -> Any:
    """log p(x, z) / q(z) in the toy, for z drawn from q = N(m, s^2)."""
    log_lik = Normal(2 * z, np.sqrt(0.5)).log_prob(x)
    log_prior = Normal(0.0, 1.0).log_prob(z)
    return log_lik + log_prior - Normal(m, s).log_prob(z)


def _weight(x: Any, z: Any, m: Any, s: Any, noise: float = 0.5, prior: float = 1.0, q: float = -1.0) -> Any:
    """What is added to log p(x|z): so many times the log-prior, so many times log q."""
    log_lik = Normal(2 * z, np.sqrt(noise)).log_prob(x)
    return log_lik + prior * Normal(0.0, 1.0).log_prob(z) + q * Normal(m, s).log_prob(z)


def _drawn_from_q(rng: Rng) -> dict[str, Any]:
    m, s = float(away_from_zero(rng, 0.3, 1.2)), float(rng.uniform(0.3, 0.8))
    return {"x": float(away_from_zero(rng, 0.4, 1.6)), "z": m + s * rng.standard_normal(5), "m": m, "s": s}


WEIGHT = Compute(
    id="02.b",
    title="The weight of a sample",
    level="core",
    minutes=5,
    name="log_weight",
    rough=True,
    truth=log_weight,
    examples=(
        {"x": 1.0, "z": np.array([0.0]), "m": 0.0, "s": 1.0},
        {"x": 1.0, "z": np.array([0.5, -0.5]), "m": 0.5, "s": 0.5},
        {"x": -1.5, "z": np.array([-0.25, 0.75]), "m": -0.5, "s": 0.25},
    ),
    draw=_drawn_from_q,
    mistakes=(
        Mistake(
            "not divided by q",
            "log q(z) was not subtracted: what q prefers is then counted too often.",
            lambda x, z, m, s: _weight(x, z, m, s, q=0.0),
        ),
        Mistake(
            "no prior",
            "the log-prior is missing: the joint is p(x|z) p(z).",
            lambda x, z, m, s: _weight(x, z, m, s, prior=0.0),
        ),
        Mistake(
            "plus log q",
            "log q(z) was added: a sample is divided by the density that drew it.",
            lambda x, z, m, s: _weight(x, z, m, s, q=1.0),
        ),
        Mistake(
            "upside down",
            "this is q over p: the joint belongs on top, the density that drew z below.",
            lambda x, z, m, s: -_weight(x, z, m, s),
        ),
        Mistake(
            "variance for deviation",
            "the noise variance 1/2 was given as a standard deviation: `Normal` takes the root of it.",
            lambda x, z, m, s: _weight(x, z, m, s, noise=0.25),
        ),
        Mistake(
            "likelihood alone",
            "only log p(x|z) came back: that is the weight of a sample from the prior.",
            lambda x, z, m, s: _weight(x, z, m, s, prior=0.0, q=0.0),
        ),
    ),
    hints=(
        "The weight is p(x, z) / q(z). Which three densities are in it, once the joint is taken apart?",
        "What does the logarithm make of a product, and of a quotient?",
        "`Normal(mean, deviation).log_prob(value)` gives each of the three. Which is the value: x or z?",
    ),
    next="Take x = 1, z = 0, q = N(0, 1): prior and q cancel, and log N(1; 0, 1/2) is left, about -1.572.",
    tip=(
        {"x": 1.0, "z": np.array([0.0]), "m": 0.0, "s": 1.0},
        {"x": 1.0, "z": np.array([0.5, -0.5]), "m": 0.5, "s": 0.5},
    ),
    forbidden=("linear",),
)

IN_CLASS = (ONE_COLUMN, WEIGHT)
