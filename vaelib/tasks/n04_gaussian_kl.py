r"""Exercises to notebook 04: the KL between Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.distributions import MultivariateNormal, Normal, kl_divergence
from vaelib.formula import Scope
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import MultivariatePair, NormalPair, away_from_zero, generic_scale

Array = np.ndarray
Rng = np.random.Generator

NEVER_NEGATIVE = Rule(
    "A KL is never negative: E_q[log(q/p)] averages to zero or more. Yours is negative here.",
    lambda value, **_: bool(np.all(value >= -1e-12)),
)


# --------------------------------------------------------------------------------------------------- one dimension


def _one_pair(rng: Rng) -> dict[str, Any]:
    pair = NormalPair.draw(rng)
    names = ("loc_q", "scale_q", "loc_p", "scale_p")
    return dict(zip(names, map(float, (pair.q.loc, pair.q.scale, pair.p.loc, pair.p.scale)), strict=True))


def _kl(loc_q: Any, scale_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return kl_divergence(Normal(loc_q, scale_q), Normal(loc_p, scale_p))


def _shift(loc_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return (loc_q - loc_p) ** 2 / (2 * scale_p**2)


ONE_DIMENSION = Compute(
    id="04.1",
    title="KL between two univariate Gaussians",
    level="core",
    minutes=10,
    name="kl_normal",
    rough=True,
    truth=_kl,
    examples=(
        {"loc_q": 0.0, "scale_q": 1.0, "loc_p": 0.0, "scale_p": 1.0},
        {"loc_q": 1.0, "scale_q": 1.0, "loc_p": 0.0, "scale_p": 1.0},
        {"loc_q": 0.0, "scale_q": 2.0, "loc_p": 0.0, "scale_p": 1.0},
    ),
    draw=_one_pair,
    typeset=lambda loc_q, scale_q, loc_p, scale_p: Scope(
        {r"\mu_q": loc_q, r"\sigma_q": scale_q, r"\mu_p": loc_p, r"\sigma_p": scale_p}
    ),
    rules=(NEVER_NEGATIVE,),
    mistakes=(
        Mistake(
            "no logarithm",
            "the normalizers were taken to cancel: log(scale_p / scale_q) is missing.",
            lambda loc_q, scale_q, loc_p, scale_p: scale_q**2 / (2 * scale_p**2) + _shift(loc_q, loc_p, scale_p) - 0.5,
            real="a published note",
        ),
        Mistake(
            "KL swapped",
            "KL(p || q): the expectation is under the first argument, q.",
            lambda loc_q, scale_q, loc_p, scale_p: _kl(loc_p, scale_p, loc_q, scale_q),
        ),
        Mistake(
            "variance for scale",
            "the scales were taken for variances: here scale is the standard deviation.",
            lambda loc_q, scale_q, loc_p, scale_p: _kl(loc_q, np.sqrt(scale_q), loc_p, np.sqrt(scale_p)),
        ),
        Mistake(
            "scales not squared",
            "the scales in the fraction were not squared: above and below it are variances, scale^2.",
            lambda loc_q, scale_q, loc_p, scale_p: (
                np.log(scale_p / scale_q) + (scale_q + (loc_q - loc_p) ** 2) / (2 * scale_p) - 0.5
            ),
        ),
        Mistake(
            "minus the square of the means",
            "the squared distance of the means is subtracted: it makes the two differ more, so it adds.",
            lambda loc_q, scale_q, loc_p, scale_p: (
                _kl(loc_q, scale_q, loc_p, scale_p) - 2 * _shift(loc_q, loc_p, scale_p)
            ),
            real="a published note",
        ),
        Mistake(
            "no minus one half",
            "the entropy's 1/2 is missing: at q = p a KL is zero.",
            lambda **w: _kl(**w) + 0.5,
        ),
        Mistake(
            "minus KL",
            "the sign is turned: this is what an ELBO adds, and KL itself is never negative.",
            lambda **w: -_kl(**w),
        ),
        Mistake(
            "logarithm upside down",
            "the ratio in the logarithm is upside down: as it is, a narrow q costs less.",
            lambda loc_q, scale_q, loc_p, scale_p: _kl(loc_q, scale_q, loc_p, scale_p) - 2 * np.log(scale_p / scale_q),
        ),
        Mistake(
            "logarithm of the variances",
            "the logarithm of the variances was taken whole: log sigma is half of log sigma^2.",
            lambda loc_q, scale_q, loc_p, scale_p: _kl(loc_q, scale_q, loc_p, scale_p) + np.log(scale_p / scale_q),
        ),
        Mistake(
            "divided by the variance of q",
            "the squares are divided by the variance of q: which of the two densities do they come from?",
            lambda loc_q, scale_q, loc_p, scale_p: np.log(scale_p / scale_q) + _shift(loc_q, loc_p, scale_q),
        ),
        Mistake(
            "the means only",
            "only the means are compared: two Gaussians of unequal width differ, too.",
            lambda loc_q, scale_q, loc_p, scale_p: _shift(loc_q, loc_p, scale_p),
            real="a published note",
        ),
    ),
    hints=(
        "Which expectation is a KL, and under which of the two distributions is it taken?",
        "What is E_q[(z - loc_p)^2]? It has two parts: one from the spread of q, one from the distance of the means.",
        "Write log q(z) - log p(z) as three terms: normalizers, q's square, p's square. What is the mean of each?",
    ),
    next="Take q = N(1, 2^2), p = N(0, 3^2): log 3/2 + 5/18 - 1/2. Which of your terms is off?",
    tip=({"loc_q": 1.0, "scale_q": 2.0, "loc_p": 0.0, "scale_p": 3.0},),
    forbidden=("kl",),
)


# ------------------------------------------------------------------------------------------------------ to the prior


def _encoder(rng: Rng) -> dict[str, Any]:
    return {"loc": away_from_zero(rng, 0.3, 1.5, (3, 4)), "log_scale": np.log(generic_scale(rng, (3, 4)))}


def _to_standard(loc: Any, log_scale: Any) -> Any:
    return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale, axis=-1)


TO_THE_PRIOR = Compute(
    id="04.2",
    title="KL of an encoder's output to N(0, I)",
    level="core",
    minutes=10,
    name="kl_to_prior",
    rough=True,
    truth=_to_standard,
    examples=(
        {"loc": np.array([[0.0, 0.0]]), "log_scale": np.array([[0.0, 0.0]])},
        {"loc": np.array([[1.0, 2.0]]), "log_scale": np.array([[0.0, 0.0]])},
        {"loc": np.array([[0.0, 0.0]]), "log_scale": np.array([[0.5, -0.5]])},
    ),
    draw=_encoder,
    typeset=lambda loc, log_scale: [
        Scope({r"\mu": m, r"\sigma": np.exp(s), "k": len(m)}, ranges={"j": len(m), "i": len(m)})
        for m, s in zip(loc, log_scale, strict=True)
    ],
    rules=(NEVER_NEGATIVE,),
    mistakes=(
        Mistake(
            "plus the square of the mean, as printed",
            "loc^2 has the wrong sign, as in a published note: a mean farther from 0 must cost more.",
            lambda loc, log_scale: _to_standard(loc, log_scale) - np.sum(loc**2, axis=-1),
            real="a published note",
        ),
        Mistake(
            "log_scale taken for log_var",
            "log_scale was taken for the log-variance: the variance is exp(2 log_scale).",
            lambda loc, log_scale: _to_standard(loc, log_scale / 2),
            real="several public repositories",
        ),
        Mistake(
            "mean over latents",
            "the latents are averaged: a KL of independent coordinates is a sum, in nats per example.",
            lambda loc, log_scale: _to_standard(loc, log_scale) / loc.shape[-1],
            real="several public repositories",
        ),
        Mistake(
            "no one half",
            "the factor 1/2 is missing in front of the sum.",
            lambda loc, log_scale: 2 * _to_standard(loc, log_scale),
        ),
        Mistake(
            "summed over the examples, too",
            "the examples were added up, too: one number is asked for each of them.",
            lambda loc, log_scale: np.sum(_to_standard(loc, log_scale)),
        ),
        Mistake(
            "log of the scale for log of the variance",
            "log_scale was put where log var belongs, in the logarithm only: log var is twice that.",
            lambda loc, log_scale: _to_standard(loc, log_scale) + 0.5 * np.sum(log_scale, axis=-1),
            real="public issue threads: log-variance and log-scale mixed up",
        ),
        Mistake(
            "scale for variance",
            "exp(log_scale) was put where the variance belongs: that is the scale.",
            lambda loc, log_scale: (
                _to_standard(loc, log_scale) + 0.5 * np.sum(np.exp(log_scale) - np.exp(2 * log_scale), axis=-1)
            ),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "no minus one",
            "the 1 of each latent is missing: at loc = 0, log_scale = 0 a KL is zero.",
            lambda loc, log_scale: _to_standard(loc, log_scale) + loc.shape[-1] / 2,
        ),
        Mistake(
            "minus KL",
            "this is -KL, as the bound adds it: KL itself is never negative.",
            lambda loc, log_scale: -_to_standard(loc, log_scale),
            real="public issue threads: a sign that is turned",
        ),
    ),
    hints=(
        "Which of the two Gaussians has which mean and which scale here?",
        "What becomes of the formula in one dimension when p = N(0, 1)? What is the variance in terms of log_scale?",
        "The coordinates are independent: what does that do to the KL, and which axis holds the latents?",
    ),
    next="Take two latents, loc = (1, 2) and log_scale = (log 2, 0): half of 1 + 4 + 3, less log 2, must come out.",
    tip=({"loc": np.array([[1.0, 2.0]]), "log_scale": np.array([[np.log(2), 0.0]])},),
    forbidden=("kl",),
)


# ------------------------------------------------------------------------------------- where the missing term hides


def _level(rng: Rng) -> dict[str, Any]:
    loc_p, scale_p = float(away_from_zero(rng, 0.4, 1.5)), float(generic_scale(rng))
    return {"loc_p": loc_p, "scale_p": scale_p, "nats": float(rng.uniform(0.55, 1.6))}


def _meeting_point(loc_p: float, scale_p: float, nats: float) -> Array:
    """Both formulas agree where the scales do; then (loc_q - loc_p)^2 / (2 scale_p^2) = nats."""
    return np.array([loc_p + scale_p * np.sqrt(2 * nats), scale_p])


def _is_on_level(value: Array, loc_p: float, scale_p: float, nats: float) -> bool:
    return bool(value[1] > 0 and abs(_kl(value[0], value[1], loc_p, scale_p) - nats) < 1e-6)


def _formulas_agree(value: Array, loc_p: float, scale_p: float, nats: float) -> bool:
    return bool(value[1] > 0 and abs(np.log(scale_p / value[1])) < 1e-6)


HIDING_PLACE = Compute(
    id="04.3",
    title="Where the missing logarithm hides",
    level="warm-up",
    minutes=6,
    name="hiding_place",
    rough=True,
    truth=_meeting_point,
    examples=(
        {"loc_p": 0.0, "scale_p": 1.0, "nats": 2.0},
        {"loc_p": 1.0, "scale_p": 1.0, "nats": 2.0},
        {"loc_p": 0.0, "scale_p": 2.0, "nats": 0.5},
    ),
    draw=_level,
    rules=(
        Rule(
            "At your point the two formulas differ. What is their difference, and where is it zero?",
            _formulas_agree,
        ),
        Rule("At your point the formulas agree, but on another number than `nats`.", _is_on_level),
    ),
    mistakes=(
        Mistake(
            "equal means",
            "the mean of q was left at that of p: there the formula says `nats`, and the KL less.",
            lambda loc_p, scale_p, nats: np.array([loc_p, scale_p * np.sqrt(1 + 2 * nats)]),
            next="Subtract the two formulas: which of the four parameters are left?",
        ),
        Mistake(
            "no one half",
            "the square of the distance was set to nats: it enters with a factor 1/2.",
            lambda loc_p, scale_p, nats: np.array([loc_p + scale_p * np.sqrt(nats), scale_p]),
        ),
        Mistake(
            "root not taken",
            "the distance was not squared: it enters the formula as a square.",
            lambda loc_p, scale_p, nats: np.array([loc_p + 2 * nats * scale_p**2, scale_p]),
        ),
        Mistake(
            "variance for scale",
            "scale_p was taken for a variance: here it is the standard deviation.",
            lambda loc_p, scale_p, nats: np.array([loc_p + np.sqrt(2 * nats * scale_p), scale_p]),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "distance not in units of the scale",
            "the distance was measured as if p had scale 1.",
            lambda loc_p, scale_p, nats: np.array([loc_p + np.sqrt(2 * nats), scale_p]),
        ),
        Mistake(
            "variance returned",
            "the second number is the variance of q: its standard deviation is asked for.",
            lambda loc_p, scale_p, nats: _meeting_point(loc_p, scale_p, nats) * [1, 0] + [0, scale_p**2],
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "counted from zero",
            "the distance was counted from zero, not from the mean of p.",
            lambda loc_p, scale_p, nats: _meeting_point(0.0, scale_p, nats),
        ),
        Mistake(
            "to the left",
            "the point to the left of p was taken: it would do as well, but the right one is asked for.",
            lambda loc_p, scale_p, nats: _meeting_point(loc_p, scale_p, nats) - [2 * scale_p * np.sqrt(2 * nats), 0],
        ),
    ),
    hints=(
        "Subtract the two formulas. Which term is left, and for which q is it zero?",
        "In the picture of section 4, where does a dashed line meet the solid line of its level?",
        "With that scale of q put in, only one term of the KL is not yet zero: which one, and when is it `nats`?",
    ),
    next="Take p = N(1, 3^2) and two nats, and put your point into both formulas: are they equal, and two?",
    tip=({"loc_p": 1.0, "scale_p": 3.0, "nats": 2.0},),
    forbidden=("kl",),
)


# ------------------------------------------------------------------------------------------------- full covariances


def _triangles(rng: Rng, k: int = 3) -> dict[str, Any]:
    pair = MultivariatePair.draw(rng, k)
    return {
        "loc_q": pair.q.loc,
        "tril_q": np.linalg.cholesky(pair.q.covariance),
        "loc_p": pair.p.loc,
        "tril_p": np.linalg.cholesky(pair.p.covariance),
    }


def _many_narrow(k: int = 120) -> dict[str, Any]:
    """Determinants of the covariances underflow, their logarithms do not."""
    rng = np.random.default_rng(4)
    tril_q, tril_p = (1e-3 * (scale * np.eye(k) + np.tril(rng.normal(0, 0.02, (k, k)), -1)) for scale in (0.7, 1.3))
    return {"loc_q": np.full(k, 0.2), "tril_q": tril_q, "loc_p": np.full(k, 0.2005), "tril_p": tril_p}


def _full(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    return kl_divergence(MultivariateNormal(loc_q, tril_q @ tril_q.T), MultivariateNormal(loc_p, tril_p @ tril_p.T))


def _log_det(tril: Array) -> Any:
    return np.sum(np.log(np.diag(tril)))


def _half_squares(tril_q: Array, gap: Array, tril_p: Array) -> Any:
    """Half of trace and squared gap, as seen by p."""
    seen = np.linalg.solve(tril_p, np.column_stack([tril_q, gap]))
    return 0.5 * np.sum(seen**2)


def _from_parts(squares: Any, loc_q: Array, tril_q: Array, tril_p: Array) -> Any:
    return squares - 0.5 * len(loc_q) + _log_det(tril_p) - _log_det(tril_q)


def _changed(change: Any) -> Any:
    """A mistake: the truth plus change(loc_q, tril_q, loc_p, tril_p)."""
    return lambda **w: _full(**w) + change(**w)


def _logs(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    return _log_det(tril_p) - _log_det(tril_q)


def _factors_as_covariances(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    gap = loc_q - loc_p
    trace, square = np.trace(np.linalg.solve(tril_p, tril_q)), gap @ np.linalg.solve(tril_p, gap)
    return _from_parts(0, loc_q, tril_q, tril_p) / 2 - len(loc_q) / 4 + (trace + square) / 2


def _transposed(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    return _from_parts(_half_squares(tril_q, loc_q - loc_p, tril_p.T), loc_q, tril_q, tril_p)


def _seen_by_q(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    squares = _half_squares(tril_q, 0 * loc_q, tril_p) + _half_squares(0 * tril_q, loc_q - loc_p, tril_q)
    return _from_parts(squares, loc_q, tril_q, tril_p)


def _without_correlations(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    scale_q, scale_p = (np.diag(np.linalg.norm(tril, axis=1)) for tril in (tril_q, tril_p))
    return _full(loc_q, scale_q, loc_p, scale_p)


def _trace_of_the_factor(loc_q: Array, tril_q: Array, loc_p: Array, tril_p: Array) -> Any:
    squares = np.trace(np.linalg.solve(tril_p, tril_q)) / 2 + _half_squares(0 * tril_q, loc_q - loc_p, tril_p)
    return _from_parts(squares, loc_q, tril_q, tril_p)


FULL_COVARIANCES = Compute(
    id="04.4",
    title="Full covariances, from their Cholesky factors",
    level="stretch",
    minutes=18,
    name="kl_full",
    rough=True,
    truth=_full,
    examples=(
        {"loc_q": np.zeros(2), "tril_q": np.eye(2), "loc_p": np.zeros(2), "tril_p": np.eye(2)},
        {"loc_q": np.array([1.0, 2.0]), "tril_q": np.eye(2), "loc_p": np.zeros(2), "tril_p": np.eye(2)},
        {"loc_q": np.zeros(2), "tril_q": np.diag([2.0, 0.5]), "loc_p": np.zeros(2), "tril_p": np.diag([3.0, 1.0])},
        {
            "loc_q": np.zeros(2),
            "tril_q": np.array([[1.0, 0.0], [0.6, 0.8]]),
            "loc_p": np.zeros(2),
            "tril_p": np.eye(2),
        },
        _many_narrow(),
    ),
    draw=_triangles,
    typeset=lambda loc_q, tril_q, loc_p, tril_p: Scope(
        {
            **{r"\mu_q": loc_q, "L_q": tril_q, r"\Sigma_q": tril_q @ tril_q.T, "k": len(loc_q), "d": len(loc_q)},
            **{r"\mu_p": loc_p, "L_p": tril_p, r"\Sigma_p": tril_p @ tril_p.T},
        }
    ),
    rules=(
        Rule(
            "It is not finite here, and every KL of two Gaussians is. Was a determinant 0 before its logarithm?",
            lambda value, **_: bool(np.all(np.isfinite(value))),
        ),
        NEVER_NEGATIVE,
    ),
    mistakes=(
        Mistake(
            "no log-determinant",
            "the log-determinants are missing: then q may shrink, or be correlated, for free.",
            _changed(lambda **w: -_logs(**w)),
            real="a published note, in one dimension",
        ),
        Mistake(
            "determinant of the factor",
            "the determinant of L was taken for that of the covariance: det(L L^T) = det(L)^2.",
            _changed(lambda **w: -_logs(**w) / 2),
        ),
        Mistake(
            "log-determinant upside down",
            "the ratio of the determinants is upside down: as it is, a narrow q costs less.",
            _changed(lambda **w: -2 * _logs(**w)),
        ),
        Mistake(
            "minus one for minus k",
            "the 1 of one dimension was kept: each of the k coordinates has its own.",
            _changed(lambda loc_q, **_: (len(loc_q) - 1) / 2),
        ),
        Mistake(
            "k left out",
            "the -k is missing: at q = p a KL is zero.",
            _changed(lambda loc_q, **_: len(loc_q) / 2),
        ),
        Mistake(
            "no one half",
            "the factor 1/2 in front of the bracket is missing.",
            lambda **w: 2 * _full(**w),
        ),
        Mistake(
            "arguments swapped",
            "KL(p || q): the expectation is under the first argument, q.",
            lambda loc_q, tril_q, loc_p, tril_p: _full(loc_p, tril_p, loc_q, tril_q),
        ),
        Mistake(
            "gap measured by q",
            "the distance of the means is measured by the covariance of q: which density does it come from?",
            _seen_by_q,
        ),
        Mistake(
            "factors taken for covariances",
            "the factors were taken for the covariances themselves: a covariance is L L^T.",
            _factors_as_covariances,
        ),
        Mistake(
            "trace of the factor",
            "the trace of L_p^-1 L_q was taken: the formula has the trace of a product of covariances.",
            _trace_of_the_factor,
        ),
        Mistake(
            "transposed",
            "a system was solved with the transpose of L_p: here a covariance is L L^T, not L^T L.",
            _transposed,
        ),
        Mistake(
            "correlations left out",
            "only the diagonals of the covariances were used: a correlation costs, too.",
            _without_correlations,
        ),
        Mistake(
            "minus KL",
            "the sign is turned: this is what an ELBO adds, and KL itself is never negative.",
            lambda **w: -_full(**w),
            real="public issue threads: a sign that is turned",
        ),
    ),
    hints=(
        "Which four terms has the formula of section 6, and which of them only ask for the determinants?",
        "What is the determinant of a triangular matrix? And what is it for L L^T, in logarithms?",
        "With u = L_p^-1 v, what is the squared length of u? Put in the gap of the means, then the columns of L_q.",
    ),
    next="Take L_q = I, L_p = [[2, 0], [2, 1]], gap (1, 0): then |L_p| = 2, and L_p^-1 = [[1/2, 0], [-1, 1]]; by hand.",
    tip=(
        {
            "loc_q": np.array([1.0, 0.0]),
            "tril_q": np.eye(2),
            "loc_p": np.zeros(2),
            "tril_p": np.array([[2.0, 0.0], [2.0, 1.0]]),
        },
    ),
    forbidden=("kl",),
)

TASKS = (ONE_DIMENSION, TO_THE_PRIOR, HIDING_PLACE, FULL_COVARIANCES)


# ------------------------------------------------------------------------------------------------------------ in class


def _cross_entropy(mean_q: Any, scale_q: Any, mean_p: Any, scale_p: Any) -> Any:
    mean_square = scale_q**2 + (mean_q - mean_p) ** 2  # of z - mean_p, under q
    return np.log(2 * np.pi * scale_p**2) / 2 + mean_square / (2 * scale_p**2)


def _with_square(mean_square: Any, scale_p: Any) -> Any:
    return np.log(2 * np.pi * scale_p**2) / 2 + mean_square / (2 * scale_p**2)


CROSS_ENTROPY = Compute(
    id="04.a",
    title="The surprise of a wrong believer",
    minutes=5,
    name="cross_entropy",
    truth=_cross_entropy,
    examples=(
        {"mean_q": 0.0, "scale_q": 1.0, "mean_p": 0.0, "scale_p": 2.0},
        {"mean_q": 1.0, "scale_q": 0.5, "mean_p": 0.0, "scale_p": 2.0},
    ),
    draw=lambda rng: {
        "mean_q": float(away_from_zero(rng, 0.3, 1.5)),
        "scale_q": float(generic_scale(rng)),
        "mean_p": float(away_from_zero(rng, 0.3, 1.5)),
        "scale_p": float(generic_scale(rng)),
    },
    mistakes=(
        Mistake(
            "mean put in for z",
            "the mean of q was put in for z: how widely q spreads costs, too.",
            lambda mean_q, scale_q, mean_p, scale_p: _with_square((mean_q - mean_p) ** 2, scale_p),
        ),
        Mistake(
            "no distance",
            "the means were taken to be equal: their squared difference is part of the mean square.",
            lambda mean_q, scale_q, mean_p, scale_p: _with_square(scale_q**2, scale_p),
        ),
        Mistake(
            "entropy of q",
            "the scale of q is in the logarithm: it is p whose density is under the logarithm.",
            lambda mean_q, scale_q, mean_p, scale_p: (
                np.log(2 * np.pi * scale_q**2) / 2 + (scale_q**2 + (mean_q - mean_p) ** 2) / (2 * scale_p**2)
            ),
        ),
        Mistake(
            "scale for variance",
            "a scale was added to a square: the mean square holds the variance, `scale_q**2`.",
            lambda mean_q, scale_q, mean_p, scale_p: _with_square(scale_q + (mean_q - mean_p) ** 2, scale_p),
        ),
        Mistake(
            "no minus",
            "this is the mean of log p: a surprise is minus a logarithm.",
            lambda mean_q, scale_q, mean_p, scale_p: -_cross_entropy(mean_q, scale_q, mean_p, scale_p),
        ),
        Mistake(
            "no 2 pi",
            "2 pi was dropped: it cancels in a KL, and not before.",
            lambda mean_q, scale_q, mean_p, scale_p: (
                np.log(scale_p) + (scale_q**2 + (mean_q - mean_p) ** 2) / (2 * scale_p**2)
            ),
        ),
        Mistake(
            "q and p swapped",
            "q and p are swapped: q draws, and p is under the logarithm.",
            lambda mean_q, scale_q, mean_p, scale_p: _cross_entropy(mean_p, scale_p, mean_q, scale_q),
        ),
    ),
    hints=(
        "What is -log p(z), for a single z? Which part of it still has to be averaged?",
        "Under q, what is the mean of (z - mean_p)^2: of which two numbers is it the sum?",
        "Which scale divides that mean square, and which is in the logarithm?",
    ),
    next="Take both means 0, scale_q = 1 and scale_p = 2: log(2 pi 4)/2 + 1/8, about 1.737.",
    tip=({"mean_q": 0.0, "scale_q": 1.0, "mean_p": 0.0, "scale_p": 2.0},),
)

IN_CLASS = (CROSS_ENTROPY,)
