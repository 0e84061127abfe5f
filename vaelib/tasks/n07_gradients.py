r"""Exercises to notebook 07: gradients of expectations."""

from __future__ import annotations

from math import exp, pi, sqrt
from typing import Any

import numpy as np
from scipy.special import ndtr

from vaelib.distributions import Normal
from vaelib.gradients import pathwise, score_function
from vaelib.task import Compute, Law, Mistake, Rule, Sample
from vaelib.witnesses import away_from_zero, generic_scale

Array = np.ndarray
Rng = np.random.Generator


# ------------------------------------------------------------------------------------------------ f(z) = z, on paper


def _numbers(rng: Rng) -> dict[str, Any]:
    mu, b = away_from_zero(rng, 0.4, 1.5, (2,))
    return {"mu": float(mu), "sigma": float(generic_scale(rng)), "b": float(b)}


def _spread(mu: Any, sigma: Any, b: Any) -> Any:
    """Var[(z - b) eps / sigma] = E[(z - b)^2 eps^2] / sigma^2 - 1 with z = mu + sigma eps."""
    return ((mu - b) / sigma) ** 2 + 2


STRAIGHT_LINE = Compute(
    id="07.1",
    title="What a straight line costs",
    level="warm-up",
    minutes=8,
    name="variance",
    rough=True,
    truth=_spread,
    examples=(
        {"mu": 0.0, "sigma": 1.0, "b": 0.0},
        {"mu": 1.0, "sigma": 1.0, "b": 0.0},
        {"mu": 1.0, "sigma": 2.0, "b": -1.0},
    ),
    draw=_numbers,
    rules=(
        Rule(
            "It goes below zero here, and a variance never does: it is the mean of a square.",
            lambda value, **_: bool(np.all(value >= -1e-12)),
        ),
    ),
    mistakes=(
        Mistake(
            "mean not subtracted",
            "the second moment was taken for the variance.",
            lambda mu, sigma, b: _spread(mu, sigma, b) + 1,
            next="What is the mean of the gradient, and what is done with its square?",
        ),
        Mistake(
            "fourth moment",
            "E[eps^4] was taken to be 1, as E[eps^2] is: the fourth moment of N(0, 1) is larger.",
            lambda mu, sigma, b: ((mu - b) / sigma) ** 2,
            next="Integrate by parts: E[eps^4] = E[eps^3 eps], and the derivative of eps^3 takes over.",
        ),
        Mistake(
            "mixed term lost",
            "the mixed term of (mu - b)^2 was lost.",
            lambda mu, sigma, b: (mu**2 + b**2) / sigma**2 + 2,
        ),
        Mistake(
            "baseline left out",
            "b was left out: it keeps the mean, but the variance depends on it.",
            lambda mu, sigma, b: _spread(mu, sigma, 0 * b),
        ),
        Mistake(
            "mean shifted by b",
            "b was taken off the mean, too: E[b eps / sigma] = 0, so the mean stays.",
            lambda mu, sigma, b: _spread(mu, sigma, b) + 1 - (1 - b) ** 2,
        ),
        Mistake(
            "no 1/sigma",
            "the 1/sigma of the score is missing.",
            lambda mu, sigma, b: sigma**2 * _spread(mu, sigma, b),
            next="Write down log q(z) and differentiate it in mu, with z held fixed.",
        ),
        Mistake(
            "variance for scale",
            "sigma was taken for the variance: here it is the standard deviation.",
            lambda mu, sigma, b: _spread(mu, np.sqrt(sigma), b),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "standard deviation",
            "a standard deviation was given: the variance is asked for.",
            lambda mu, sigma, b: np.sqrt(_spread(mu, sigma, b)),
        ),
        Mistake(
            "pathwise",
            "the pathwise gradient was taken, which has no noise here: weigh the sample instead.",
            lambda mu, sigma, b: 0.0 * mu,
        ),
    ),
    hints=(
        "What is the derivative of log q(z) in mu, at fixed z? Write it with eps = (z - mu) / sigma.",
        "A variance is a second moment less the square of the mean. Which of the two contains b?",
        "Put z = mu + sigma eps into (z - b)^2 eps^2 and expand. Which powers of eps have mean zero?",
    ),
    next="Set mu = 1, sigma = 2, b = -1: then g is eps + eps^2. What is the variance of that?",
    tip=({"mu": 1.0, "sigma": 2.0, "b": -1.0},),
)


# -------------------------------------------------------------------------------------- two gradients from one noise


def _noise(rng: Rng) -> dict[str, Any]:
    return {
        "loc": float(away_from_zero(rng, 0.4, 1.3)),
        "scale": float(generic_scale(rng)),
        "frequency": float(rng.uniform(1.3, 2.2)),
        "noise": away_from_zero(rng, 0.3, 1.8, (5,)),
    }


def _rows(loc: Any, scale: Any, frequency: Any, noise: Any) -> Array:
    q = Normal(loc, scale)
    noise = np.asarray(noise)
    moved = pathwise(q, lambda z: frequency * np.cos(frequency * z), noise)
    weighed = score_function(q, lambda z: np.sin(frequency * z), noise)
    return np.stack([*moved, *weighed])


def _changed(new: Any) -> Any:
    """A mistake: new(rows, f, slope, loc, scale, frequency, noise), with f and f' at z, gives the four rows."""

    def value(loc: Any, scale: Any, frequency: Any, noise: Any) -> Array:
        z = loc + scale * np.asarray(noise)
        f, slope = np.sin(frequency * z), frequency * np.cos(frequency * z)
        return np.stack(new(_rows(loc, scale, frequency, noise), f, slope, scale, frequency, np.asarray(noise)))

    return value


def _scaled_by_variance(loc: Any, scale: Any, frequency: Any, noise: Any) -> Array:
    z = loc + scale**2 * np.asarray(noise)
    f, slope = np.sin(frequency * z), frequency * np.cos(frequency * z)
    return np.stack([slope, slope * noise, f * noise / scale, f * (noise**2 - 1) / scale])


TWO_GRADIENTS = Compute(
    id="07.2",
    title="Two gradients from one noise",
    level="core",
    minutes=12,
    name="gradients",
    rough=True,
    truth=_rows,
    examples=(
        {"loc": 0.0, "scale": 1.0, "frequency": 1.0, "noise": np.array([0.5])},
        {"loc": 1.0, "scale": 0.5, "frequency": 1.0, "noise": np.array([0.5])},
        {"loc": 1.0, "scale": 0.5, "frequency": 2.0, "noise": np.array([-1.0, 0.5])},
    ),
    draw=_noise,
    mistakes=(
        Mistake(
            "averaged",
            "the samples were averaged: one gradient for each noise is asked for.",
            lambda loc, scale, frequency, noise: _rows(loc, scale, frequency, noise).mean(axis=-1),
            next="Leave the last axis alone: n noises in, n gradients out.",
        ),
        Mistake(
            "noise forgotten",
            "a factor is missing in row 1: the chain rule has dz/dscale, and that is not 1.",
            _changed(lambda rows, f, slope, scale, frequency, noise: [rows[0], rows[0], rows[2], rows[3]]),
        ),
        Mistake(
            "f for its derivative",
            "f was put into rows 0 and 1, where its derivative belongs.",
            _changed(lambda rows, f, slope, scale, frequency, noise: [f, f * noise, rows[2], rows[3]]),
        ),
        Mistake(
            "inner derivative forgotten",
            "f' = cos(frequency z): the inner derivative is missing.",
            _changed(lambda rows, f, slope, scale, frequency, noise: [*(rows[:2] / frequency), rows[2], rows[3]]),
        ),
        Mistake(
            "normalizer forgotten",
            "the normalizer of q was held fixed in row 3: it depends on scale, too.",
            _changed(lambda rows, f, slope, scale, frequency, noise: [*rows[:3], f * noise**2 / scale]),
            next="Write log q(z) with all its terms that contain scale, then differentiate.",
        ),
        Mistake(
            "in log scale",
            "rows 1 and 3 are derivatives in log scale: those carry one more factor scale.",
            _changed(
                lambda rows, f, slope, scale, frequency, noise: [rows[0], scale * rows[1], rows[2], scale * rows[3]]
            ),
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "scaled by the variance",
            "z = loc + scale^2 noise: the noise is multiplied by the standard deviation.",
            _scaled_by_variance,
            real="public issue threads: variance passed where a standard deviation is expected",
        ),
        Mistake(
            "no 1/scale",
            "the 1/scale of the score is missing in rows 2 and 3.",
            _changed(lambda rows, f, slope, scale, frequency, noise: [*rows[:2], *(scale * rows[2:])]),
            next="Differentiate (z - loc)^2 / (2 scale^2) at fixed z, and only then insert z.",
        ),
        Mistake(
            "along the path",
            "z was not held fixed in log q: rows 2 and 3 move the density, not the sample.",
            _changed(lambda rows, f, slope, scale, frequency, noise: [*rows[:2], 0 * f, -f / scale]),
            real="public issue threads: log-density of a sample that is not detached, no gradient in the mean",
        ),
        Mistake(
            "f differentiated",
            "f was differentiated in rows 2 and 3: there its values are enough.",
            _changed(
                lambda rows, f, slope, scale, frequency, noise: [
                    *rows[:2],
                    slope * noise / scale,
                    slope * (noise**2 - 1) / scale,
                ]
            ),
        ),
    ),
    hints=(
        "Which sample z belongs to a noise, and how does z change if loc, or scale, grows a little?",
        "Rows 0 and 1 differentiate f along z, rows 2 and 3 log q at fixed z: which terms of log q hold scale?",
        "With z held fixed, what is d/dscale of -log scale - (z - loc)^2 / (2 scale^2)? Insert z only after that.",
    ),
    next="Take loc = 1, scale = 2, frequency 2, noises -1/2 and 1/2, and write the numbers down by hand.",
    tip=({"loc": 1.0, "scale": 2.0, "frequency": 2.0, "noise": np.array([-0.5, 0.5])},),
    forbidden=("gradients",),
)


# ------------------------------------------------------------------------------------------------------ where f jumps


def _best_baseline(loc: float, scale: float) -> float:
    """b* = E[f s^2] / E[s^2] = E[eps^2; eps > -a] = Phi(a) - a phi(a) by parts, a = loc / scale."""
    a = loc / scale
    return float(ndtr(a)) - a * _bell(a)


def _bell(u: float) -> float:
    return exp(-u * u / 2) / sqrt(2 * pi)


def _law(loc: float, scale: float, b: float, unit: float = 1.0) -> Law:
    """The exact law of g = (1[z > 0] - b) eps / scale, z = loc + scale eps, times `unit`.

    g is c eps with c = (1 - b) / scale where eps > t = -loc / scale, and with c = -b / scale elsewhere. The moments
    M_n = E[eps^n; eps > t] follow by parts: M_0 = Phi(-t), M_1 = phi(t), M_n = t^(n-1) phi(t) + (n - 1) M_(n-2);
    those of the other side are 1, 0, 1, 0, 3 less M_n. So E[g^n] is a sum of two terms, and then about the mean.
    """
    t = -loc / scale
    above = [float(ndtr(-t)), _bell(t)]
    for n in (2, 3, 4):
        above.append(t ** (n - 1) * _bell(t) + (n - 1) * above[n - 2])
    whole = (1.0, 0.0, 1.0, 0.0, 3.0)
    high, low = unit * (1 - b) / scale, -unit * b / scale
    m = [high**n * above[n] + low**n * (whole[n] - above[n]) for n in range(5)]
    variance = m[2] - m[1] ** 2
    fourth = m[4] - 4 * m[1] * m[3] + 6 * m[1] ** 2 * m[2] - 3 * m[1] ** 4
    return Law(m[1], sqrt(variance), fourth / variance**2)


def _weighed(baseline: Any, unit: Any = lambda scale: 1.0) -> Any:
    """The estimator with baseline(loc, scale)."""

    def estimator(loc: float, scale: float, rng: Rng) -> float:
        noise = rng.standard_normal()
        return ((loc + scale * noise > 0) - baseline(loc, scale)) * noise / scale * unit(scale)

    return estimator


JUMP = Sample(
    id="07.3",
    title="Where f jumps: choose, and defend the choice",
    level="stretch",
    minutes=20,
    name="jump_gradient",
    law=lambda loc, scale: _law(loc, scale, _best_baseline(loc, scale)),
    examples=({"loc": 0.56, "scale": 0.8}, {"loc": -0.6, "scale": 0.5}),
    repeats=5000,
    made=_weighed(_best_baseline),
    mistakes=(
        Mistake(
            "pathwise",
            "f was differentiated: f' = 0 almost everywhere, and the jump carries the whole gradient.",
            lambda loc, scale: Law(0.0, 0.0),
            next="Which of the two gradients asks nothing of f but its values?",
            made=lambda loc, scale, rng: 0.0 * (loc + scale * rng.standard_normal()),
        ),
        Mistake(
            "straight through",
            "f' = 1 was put in: that is the gradient of E[z], not of P(z > 0).",
            lambda loc, scale: Law(1.0, 0.0),
            next="Which of the two gradients asks nothing of f but its values?",
            made=lambda loc, scale, rng: 1.0 + 0.0 * rng.standard_normal(),
        ),
        Mistake(
            "no baseline",
            "there is no baseline: the mean is right, and the variance larger than it need be.",
            lambda loc, scale: _law(loc, scale, 0.0),
            next="Write the variance as a parabola in b, and find its lowest point.",
            made=_weighed(lambda loc, scale: 0.0),
        ),
        Mistake(
            "mean of f as the best",
            "b = E[f] was taken for the best: the best weighs f by the square of the score.",
            lambda loc, scale: _law(loc, scale, float(ndtr(loc / scale))),
            next="Go back to the parabola: which two expectations does its lowest point divide?",
            made=_weighed(lambda loc, scale: float(ndtr(loc / scale))),
        ),
        Mistake(
            "one half",
            "b = 1/2 was taken, halfway between the values of f: that is best for loc = 0 only.",
            lambda loc, scale: _law(loc, scale, 0.5),
            made=_weighed(lambda loc, scale: 0.5),
        ),
        Mistake(
            "baseline added",
            "the baseline is added: it is subtracted from f.",
            lambda loc, scale: _law(loc, scale, -_best_baseline(loc, scale)),
            made=_weighed(lambda loc, scale: -_best_baseline(loc, scale)),
        ),
        Mistake(
            "no 1/scale",
            "the score lacks a factor 1/scale.",
            lambda loc, scale: _law(loc, scale, _best_baseline(loc, scale), scale),
            next="Differentiate log q(z) in loc at fixed z, and write it with the noise.",
            made=_weighed(_best_baseline, lambda scale: scale),
        ),
        Mistake(
            "score divided twice",
            "the noise was divided by the variance: (z - loc) / scale^2 is noise / scale.",
            lambda loc, scale: _law(loc, scale, _best_baseline(loc, scale), 1 / scale),
            made=_weighed(_best_baseline, lambda scale: 1 / scale),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "closed form",
            "the exact gradient is returned: a good check, but one draw of z is asked for.",
            lambda loc, scale: Law(_bell(loc / scale) / scale, 0.0),
            next="Keep it: the mean of your estimator must come out like this.",
            made=lambda loc, scale, rng: _bell(loc / scale) / scale + 0.0 * rng.standard_normal(),
        ),
    ),
    hints=(
        "What is f' on either side of the jump? Which gradient never asks for it?",
        "For every b the mean is the same. Which b makes E[(f - b)^2 s^2] smallest, with s the score in loc?",
        "What is the integral of noise^2 phi(noise) over the noises with z > 0? By parts: what stays at the edge?",
    ),
    next="Call it 10,000 times; compare the mean with the density of z at the jump, then try two values of b.",
)

TASKS = (STRAIGHT_LINE, TWO_GRADIENTS, JUMP)

# --------------------------------------------------------------------------------------------------------- in class


def score_of(z: Array, mu: float, sigma: float) -> Any:
    """The derivatives of log N(z; mu, sigma^2) in mu and in sigma, with z held fixed; two rows."""
    eps = (z - mu) / sigma
    in_mu = eps / sigma
    in_sigma = (eps**2 - 1) / sigma
    return np.stack([in_mu, in_sigma])


def _wrong_score(in_mu: Any, in_sigma: Any) -> Any:
    """A wrong score from its two rows, as functions of eps and sigma."""

    def wrong(z: Array, mu: float, sigma: float) -> Array:
        eps = (z - mu) / sigma
        return np.stack([in_mu(eps, sigma), in_sigma(eps, sigma)])

    return wrong


def _first(eps: Array, sigma: float) -> Array:
    return eps / sigma


def _second(eps: Array, sigma: float) -> Array:
    return (eps**2 - 1) / sigma


THREE_DRAWS = {"z": np.array([1.0, 3.0, -1.0]), "mu": 1.0, "sigma": 2.0}
A_FEW_DRAWS = {"z": np.array([0.5, 2.0]), "mu": -1.0, "sigma": 0.5}

SCORE_OF = Compute(
    id="07.a",
    title="The score of a Gaussian",
    level="warm-up",
    minutes=5,
    name="score_of",
    rough=True,
    truth=score_of,
    examples=(THREE_DRAWS, A_FEW_DRAWS),
    draw=lambda rng: {
        "z": away_from_zero(rng, 0.3, 2.0, (4,)),
        "mu": float(away_from_zero(rng, 0.3, 1.0)),
        "sigma": float(rng.uniform(1.3, 2.2)),
    },
    mistakes=(
        Mistake(
            "no -1",
            "the derivative of -log(sigma) is missing: it is the -1 in the second row.",
            _wrong_score(_first, lambda eps, sigma: eps**2 / sigma),
        ),
        Mistake(
            "one sigma short",
            "eps itself is in the first row: the derivative of eps in mu is -1/sigma.",
            _wrong_score(lambda eps, sigma: eps, _second),
        ),
        Mistake(
            "sign of the first row",
            "the sign of the first row is turned: a z above the mean wants a larger mean.",
            _wrong_score(lambda eps, sigma: -_first(eps, sigma), _second),
        ),
        Mistake(
            "z moves along",
            "z = mu + sigma eps was inserted before the derivative: here z is held fixed.",
            _wrong_score(lambda eps, sigma: 0 * eps, lambda eps, sigma: 0 * eps - 1 / sigma),
        ),
        Mistake(
            "in log sigma",
            "the second row is the derivative in log(sigma): it is sigma times too large.",
            _wrong_score(_first, lambda eps, sigma: eps**2 - 1),
        ),
        Mistake(
            "in the variance",
            "the second row is the derivative in sigma^2: asked is the one in sigma.",
            _wrong_score(_first, lambda eps, sigma: (eps**2 - 1) / (2 * sigma**2)),
        ),
        Mistake(
            "rows swapped",
            "the two rows are swapped: the derivative in mu comes first.",
            _wrong_score(_second, _first),
        ),
    ),
    hints=(
        "log q = -eps^2/2 - log(sigma) + a constant, with eps = (z - mu)/sigma. How does eps move with mu? With sigma?",
        "Which term of log q holds sigma but no eps? What is its derivative?",
        "What must both rows average to, over draws from q?",
    ),
    next="Take mu = 1, sigma = 2, z = 3: eps = 1, so the two derivatives are 1/2 and 0.",
    tip=(THREE_DRAWS, A_FEW_DRAWS),
)


def others_mean(f: Array) -> Any:
    """For each draw, the mean of f over all other draws."""
    n = len(f)
    others = f.sum() - f
    return others / (n - 1)


FOUR_VALUES = {"f": np.array([1.0, 2.0, 4.0, 9.0])}

OTHERS = Compute(
    id="07.b",
    title="A baseline from the other draws",
    level="warm-up",
    minutes=4,
    name="others_mean",
    rough=True,
    truth=others_mean,
    examples=({"f": np.array([1.0, 3.0])}, FOUR_VALUES),
    draw=lambda rng: {"f": away_from_zero(rng, 0.3, 3.0, (5,))},
    mistakes=(
        Mistake(
            "its own value included",
            "the mean of all draws came back: then a draw is weighed by a baseline that knows it.",
            lambda f: np.full(len(f), np.mean(f)),
        ),
        Mistake(
            "divided by n",
            "the sum of the others was divided by n: there are n - 1 of them.",
            lambda f: (np.sum(f) - f) / len(f),
        ),
        Mistake(
            "what is left",
            "this is f less the mean of the others: asked is that mean alone.",
            lambda f: f - (np.sum(f) - f) / (len(f) - 1),
        ),
        Mistake(
            "sum of the others",
            "the sum of the others came back: asked is their mean.",
            lambda f: np.sum(f) - f,
        ),
        Mistake(
            "sum of all over n - 1",
            "its own value was not taken out of the sum.",
            lambda f: np.full(len(f), np.sum(f) / (len(f) - 1)),
        ),
    ),
    hints=(
        "How many others has each of n draws?",
        "If you have the sum of all, how do you get the sum of all but one, for every draw at once?",
        "Does your result have one number for each draw?",
    ),
    next="Take f = (1, 2, 4, 9): the others of the first have the mean 15/3 = 5.",
    tip=(FOUR_VALUES,),
)

IN_CLASS = (SCORE_OF, OTHERS)
