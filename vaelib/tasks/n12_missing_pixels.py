r"""Exercises to notebook 12: evidence of what is seen, completion, a clean pixel, a Metropolis step, a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from vaelib.ledger.m_missing import Chain, metropolis, move
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import (
    away_from_zero,
    generic_loading,
    generic_noise_variance,
    generic_probabilities,
)

Array = np.ndarray
Rng = np.random.Generator
SQUARES = "public issue threads: scale and variance mixed up"


def _mask(rng: Rng, seen: int, d: int) -> Array:
    """So many of d pixels are seen, which ones is drawn."""
    return np.isin(np.arange(d), rng.permutation(d)[:seen])


# ------------------------------------------------------------------------------------------------ what is seen


def _templates(rng: Rng) -> dict[str, Any]:
    """Seven pixels, of which five are seen, black and white ones; three templates."""
    seen = _mask(rng, 5, 7)
    pixels = np.zeros(7)
    pixels[seen] = rng.permutation([1.0, 0.0, 1.0, 0.0, float(rng.integers(2))])
    levels = (np.arange(3)[:, None] + rng.uniform(0.2, 0.8, (3, 7))) / 3
    ink = expit(4.0 * rng.permuted(levels, axis=0) - 2.0)
    return {"pixels": pixels, "seen": seen, "weights": generic_probabilities(rng, (3,)), "ink": ink}


def _of_each(pixels: Any, ink: Any, which: Any) -> Array:
    """log p(pixels of a kind | z), shape (K,): sums over `which`."""
    log_each = np.where(pixels == 1, np.log(ink), np.log1p(-ink))
    return np.asarray(np.sum(log_each[:, which], axis=1))


def _log_seen(pixels: Any, seen: Any, weights: Any, ink: Any) -> float:
    return float(logsumexp(np.log(weights) + _of_each(pixels, ink, seen)))


def _seen_alone(found: Callable[[Array, Array], float]) -> Any:
    """A mistake: found(log p(x_o | z), log p(z))."""
    return lambda pixels, seen, weights, ink: found(_of_each(pixels, ink, seen), np.log(weights))


def _independent(pixels: Any, seen: Any, weights: Any, ink: Any) -> float:
    black = weights @ ink
    return float(np.sum(np.where(pixels == 1, np.log(black), np.log1p(-black))[seen]))


EVIDENCE = Compute(
    id="12.1",
    title="Evidence of what is seen",
    level="warm-up",
    minutes=8,
    name="log_seen",
    rough=True,
    truth=_log_seen,
    examples=(
        {
            "pixels": np.array([1.0, 0.0]),
            "seen": np.array([True, False]),
            "weights": np.array([0.5, 0.5]),
            "ink": np.array([[0.8, 0.4], [0.2, 0.4]]),
        },
        {
            "pixels": np.array([1.0, 0.0, 0.0]),
            "seen": np.array([True, True, False]),
            "weights": np.array([0.25, 0.75]),
            "ink": np.array([[0.8, 0.4, 0.5], [0.1, 0.3, 0.6]]),
        },
    ),
    draw=_templates,
    rules=(
        Rule(
            "It is the log of a probability, and a probability is at most 1. Yours is above zero here.",
            lambda value, **_: bool(value <= 1e-12),
        ),
    ),
    mistakes=(
        Mistake(
            "zeros counted",
            "unseen pixels were counted as white: a 0 holds their place, and claims nothing.",
            lambda pixels, seen, weights, ink: _log_seen(pixels, np.ones_like(seen), weights, ink),
            next="Change the placeholders to 1: may the answer change?",
            real="common practice: zeros in the data, and in the loss",
        ),
        Mistake(
            "mask turned",
            "the mask is turned around: true is for pixels that are seen.",
            lambda pixels, seen, weights, ink: _log_seen(pixels, ~np.asarray(seen), weights, ink),
        ),
        Mistake(
            "scaled up",
            "the seen pixels were scaled up to all of them: what was not seen says nothing.",
            lambda pixels, seen, weights, ink: float(
                logsumexp(np.log(weights) + len(seen) / np.sum(seen) * _of_each(pixels, ink, seen))
            ),
        ),
        Mistake(
            "mean over pixels",
            "the pixels were averaged: the evidence of an image is one number of nats, not one a pixel.",
            lambda pixels, seen, weights, ink: _log_seen(pixels, seen, weights, ink) / np.sum(seen),
            real="several public repositories",
        ),
        Mistake(
            "mean of the logarithm",
            "the logarithm was taken inside the mean over z: that is a bound, and lies below (Jensen).",
            _seen_alone(lambda log_each, log_prior: float(np.exp(log_prior) @ log_each)),
        ),
        Mistake(
            "pixels independent",
            "every pixel got its own sum over z: all pixels of an image come from the same template.",
            _independent,
        ),
        Mistake(
            "no prior",
            "p(z) was left out of the sum over z.",
            _seen_alone(lambda log_each, log_prior: float(logsumexp(log_each))),
        ),
        Mistake(
            "templates weighted equally",
            "all templates were given the same weight: p(z) is in `weights`.",
            _seen_alone(lambda log_each, log_prior: float(logsumexp(log_each) - np.log(len(log_each)))),
        ),
        Mistake(
            "best template only",
            "only the most probable template was kept: all of them could have made the image.",
            _seen_alone(lambda log_each, log_prior: float(np.max(log_each + log_prior))),
        ),
        Mistake(
            "black pixels only",
            "only black pixels were counted: a white pixel is seen as well, with probability 1 - ink.",
            lambda pixels, seen, weights, ink: _log_seen(
                pixels, np.asarray(seen) & (np.asarray(pixels) == 1), weights, ink
            ),
        ),
        Mistake(
            "no logarithm",
            "the probability itself is returned: its logarithm is asked for.",
            lambda **question: np.exp(_log_seen(**question)),
        ),
        Mistake(
            "minus the logarithm",
            "there is a minus in front: that is a loss; log p itself was asked for.",
            lambda **question: -_log_seen(**question),
            real="a public library: the sign of its negative log-likelihood",
        ),
    ),
    hints=(
        "Given the template, which rule makes one number of the pixels' probabilities?",
        "Which pixels does that product run over, and what does it make of one that could be black or white?",
        "What comes first, the sum over z or the logarithm? Which of them keeps all pixels on one template?",
    ),
    next="Take pixels (1, 0, 0), the first two seen, two templates of weights 1/4 and 3/4; write it down by hand.",
    tip=(
        {
            "pixels": np.array([1.0, 0.0, 0.0]),
            "seen": np.array([True, True, False]),
            "weights": np.array([0.25, 0.75]),
            "ink": np.array([[0.8, 0.4, 0.5], [0.1, 0.3, 0.6]]),
        },
    ),
)


# ------------------------------------------------------------------------------------------------- completing it


def _half_seen(rng: Rng) -> dict[str, Any]:
    """Seven pixels, four of them seen; two latents; a noise variance for each pixel. Unseen pixels hold a 0."""
    d, k = 7, 2
    seen = _mask(rng, 4, d)
    loading, offset = generic_loading(rng, d, k), away_from_zero(rng, 0.3, 1.0, (d,))
    noise = np.array([generic_noise_variance(rng) for _ in range(d)])
    x = loading @ rng.standard_normal(k) + offset + np.sqrt(noise) * rng.standard_normal(d)
    return {
        "x": np.where(seen, x, 0.0),
        "seen": seen,
        "loading": loading,
        "offset": offset,
        "noise_variances": noise,
    }


def _completed(
    x: Any,
    seen: Any,
    loading: Any,
    offset: Any,
    noise_variances: Any,
    *,
    known: Any = None,
    spread: float = 1.0,
    noise: float = 1.0,
    prior: float = 1.0,
    offset_added: float = 1.0,
    offset_taken: float = 1.0,
) -> Array:
    """Mean and standard deviation of the unseen pixels, by way of p(z | x_o).

    The keywords say what a mistake does: `known` takes other pixels for seen, and a 0 drops a term.
    """
    seen = np.asarray(seen, dtype=bool)
    known = seen if known is None else known
    w, c = loading[known], noise_variances[known]
    covariance = np.linalg.inv(prior * np.eye(w.shape[1]) + w.T @ (w / c[:, None]))  # of z
    mean = covariance @ w.T @ ((x - offset_taken * offset)[known] / c)
    unseen = loading[~seen]
    variance = spread * np.einsum("ij,jk,ik->i", unseen, covariance, unseen) + noise * noise_variances[~seen]
    return np.stack([unseen @ mean + offset_added * offset[~seen], np.sqrt(variance)])


def _everything_seen(fill: Callable[[Array], Array]) -> Any:
    """A mistake: unseen pixels are filled, and taken for seen."""

    def value(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any) -> Array:
        filled = np.where(seen, x, fill(offset))
        return _completed(filled, seen, loading, offset, noise_variances, known=np.ones(len(x), dtype=bool))

    return value


def _not_looking(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any) -> Array:
    return np.stack([offset, np.sqrt(np.sum(loading**2, axis=1) + noise_variances)])[:, ~np.asarray(seen)]


def _covariance_added(**question: Any) -> Array:
    """Sigma_mm + Sigma_mo Sigma_oo^-1 Sigma_om, for Sigma_mm minus it."""
    mean, deviation = _completed(**question)
    before = _not_looking(**question)[1] ** 2
    return np.stack([mean, np.sqrt(2 * before - deviation**2)])


def _one_noise(noise_variances: Any, **question: Any) -> Array:
    return _completed(noise_variances=np.full(len(noise_variances), np.mean(noise_variances)), **question)


ONE_SEEN_OF_TWO = {  # the simplest question that there is
    "x": np.array([1.0, 0.0]),
    "seen": np.array([True, False]),
    "loading": np.array([[1.0], [1.0]]),
    "offset": np.array([0.0, 0.0]),
    "noise_variances": np.array([1.0, 1.0]),
}


COMPLETE = Compute(
    id="12.2",
    title="What is under the cover",
    level="core",
    minutes=15,
    name="complete",
    rough=True,
    truth=_completed,
    examples=(
        ONE_SEEN_OF_TWO,
        {
            "x": np.array([2.0, 0.0]),
            "seen": np.array([True, False]),
            "loading": np.array([[1.0], [2.0]]),
            "offset": np.array([1.0, 0.5]),
            "noise_variances": np.array([1.0, 0.25]),
        },
        {
            "x": np.array([0.0, 2.0, -1.0]),
            "seen": np.array([False, True, True]),
            "loading": np.array([[2.0], [1.0], [-1.0]]),
            "offset": np.array([0.5, 1.0, 0.0]),
            "noise_variances": np.array([0.25, 1.0, 0.5]),
        },
    ),
    draw=_half_seen,
    rules=(
        Rule(
            "A standard deviation is a width, never negative: row 1 of yours goes below zero here.",
            lambda value, **_: bool(np.all(value[1] >= 0)),
        ),
        Rule(
            "However much is seen, a pixel keeps its own noise: its deviation is at least root c. Yours is less.",
            lambda value, seen, noise_variances, **_: bool(
                np.all(value[1] >= np.sqrt(noise_variances[~seen]) * (1 - 1e-6))
            ),
        ),
        Rule(
            "Looking cannot make a Gaussian wider: row 1 is at most what it was before, and is more here.",
            lambda value, **question: bool(np.all(value[1] <= _not_looking(**question)[1] * (1 + 1e-6))),
        ),
    ),
    mistakes=(
        Mistake(
            "no pixel noise",
            "the noise of the unseen pixels was left out: that is how well their mean is known.",
            lambda **question: _completed(**question, noise=0.0),
        ),
        Mistake(
            "one z plugged in",
            "z was set to its posterior mean: row 1 must say, too, that z is not known.",
            lambda **question: _completed(**question, spread=0.0),
        ),
        Mistake(
            "zeros encoded",
            "the zeros were taken for pixels that were seen: z is told by what was seen alone.",
            _everything_seen(np.zeros_like),
            next="Which rows of W, b and c belong to pixels that were not seen? Leave them out of p(z | x_o).",
            real="common practice: an encoder is fed zeros",
        ),
        Mistake(
            "means encoded",
            "the cover was filled with mean pixels that then count as seen: it makes z too sure.",
            _everything_seen(lambda offset: offset),
            next="Which rows of W, b and c belong to pixels that were not seen? Leave them out of p(z | x_o).",
        ),
        Mistake(
            "not looking",
            "nothing was looked at: that is the law of the pixels before x_o is seen.",
            _not_looking,
        ),
        Mistake(
            "made more uncertain",
            "the term with the inverse is added: seeing takes variance away.",
            _covariance_added,
        ),
        Mistake(
            "not centered",
            "x_o was used as it is: only its distance from the offset is news.",
            lambda **question: _completed(**question, offset_taken=0.0),
        ),
        Mistake(
            "offset not added",
            "the unseen pixels' own offset was left out of row 0.",
            lambda **question: _completed(**question, offset_added=0.0),
        ),
        Mistake(
            "no prior on z",
            "z was fitted by least squares: its prior N(0, I) pulls it towards zero.",
            lambda **question: _completed(**question, prior=0.0),
        ),
        Mistake(
            "one noise for all",
            "all pixels got the mean noise: a pixel with little noise counts for more.",
            _one_noise,
        ),
        Mistake(
            "noise squared",
            "the noise was taken for a standard deviation: `noise_variances` are variances already.",
            lambda noise_variances, **question: _completed(noise_variances=noise_variances**2, **question),
            real=SQUARES,
        ),
        Mistake(
            "variance in row 1",
            "row 1 holds variances: standard deviations are asked for.",
            lambda **question: _completed(**question) ** np.array([[1.0], [2.0]]),
            real=SQUARES,
        ),
        Mistake(
            "all pixels",
            "there is a column for each pixel: only those that were not seen are asked for.",
            lambda x, **question: np.zeros((2, len(x))),
        ),
    ),
    hints=(
        "Once the seen pixels are known, what is known of z? Which rows of W, b and c take part in that?",
        "There are two roads, through z or by conditioning one big Gaussian: what is the covariance of two pixels?",
        "An unseen pixel is W z + b + noise, with z from p(z | x_o): which two variances add up?",
    ),
    next="Take W = (1, 2), b = (1, 1/2), c = (1, 1/4), see x = 3 at the first: 5/2 and 9/4 are mean and variance.",
    tip=(
        {
            "x": np.array([3.0, 0.0]),
            "seen": np.array([True, False]),
            "loading": np.array([[1.0], [2.0]]),
            "offset": np.array([1.0, 0.5]),
            "noise_variances": np.array([1.0, 0.25]),
        },
    ),
)


# ---------------------------------------------------------------------------------------------- a pixel, ink or paper


def _pixel(rng: Rng) -> dict[str, Any]:
    share = float(rng.uniform(0.15, 0.4))
    return {
        "x": float(away_from_zero(rng, 0.3, 1.6)),
        "a": float(rng.uniform(0.4, 0.9) * rng.choice([1.0, 1.7])),
        "c": generic_noise_variance(rng),
        "w": share if rng.random() < 0.5 else 1 - share,
    }


def _clean(x: float, a: float, c: float, w: float) -> float:
    """x + c d/dx log p(x), with p(x) = w N(x; a, c) + (1 - w) N(x; -a, c): a tanh(a x/c + 1/2 logit w)."""
    return float(a * np.tanh(a * x / c + 0.5 * _logit(w)))


def _logit(w: float) -> float:
    return float(np.log(w) - np.log1p(-w))


def _density(x: float, a: float, c: float, w: float) -> float:
    squares = np.exp(-0.5 * (x - np.array([a, -a])) ** 2 / c)
    return float(squares @ np.array([w, 1 - w]) / np.sqrt(2 * np.pi * c))


def _stepped(factor: Callable[..., float]) -> Any:
    """A mistake: x + factor(x, a, c, w) times c d/dx log p(x)."""
    return lambda x, a, c, w: x + factor(x, a, c, w) * (_clean(x, a, c, w) - x)


def _straight_line(x: float, a: float, c: float, w: float) -> float:
    mean, variance = a * (2 * w - 1), 4 * a**2 * w * (1 - w)
    return mean + variance / (variance + c) * (x - mean)


CLEAN = Compute(
    id="12.3",
    title="Ink or paper",
    level="core",
    minutes=15,
    name="clean",
    rough=True,
    truth=_clean,
    examples=(
        {"x": 1.0, "a": 1.0, "c": 1.0, "w": 0.5},
        {"x": 0.5, "a": 2.0, "c": 0.5, "w": 0.5},
        {"x": -0.5, "a": 2.0, "c": 0.5, "w": 0.25},
    ),
    draw=_pixel,
    rules=(
        Rule(
            "The clean pixel is a or -a, so its mean lies between the two. Yours lies outside here.",
            lambda value, a, **_: bool(abs(value) <= a * (1 + 1e-9)),
        ),
    ),
    mistakes=(
        Mistake(
            "minus the slope",
            "the step goes downhill on log p(x): the clean pixel is where noisy ones are more common.",
            _stepped(lambda x, a, c, w: -1.0),
        ),
        Mistake(
            "standard deviation",
            "the slope was multiplied by the noise's standard deviation: Tweedie takes the variance.",
            _stepped(lambda x, a, c, w: c**-0.5),
            real=SQUARES,
        ),
        Mistake(
            "no noise variance",
            "the factor c in front of the slope is missing: the less noise, the smaller the step.",
            _stepped(lambda x, a, c, w: 1 / c),
        ),
        Mistake(
            "slope of the density",
            "p(x) was differentiated, not log p(x).",
            _stepped(_density),
        ),
        Mistake(
            "slope alone",
            "the step itself is given: Tweedie adds it to x.",
            lambda x, a, c, w: _clean(x, a, c, w) - x,
        ),
        Mistake(
            "as much ink as paper",
            "ink and paper were taken to be equally common: w says how common ink is.",
            lambda x, a, c, w: _clean(x, a, c, 0.5),
        ),
        Mistake(
            "weights swapped",
            "the weights are swapped: ink, at a, has probability w.",
            lambda x, a, c, w: _clean(x, a, c, 1 - w),
        ),
        Mistake(
            "no one half",
            "the log-odds of w came in whole: a tanh needs half of them.",
            lambda x, a, c, w: a * np.tanh(a * x / c + _logit(w)),
            next="Write the quotient of sums with exponentials, and divide by their geometric mean.",
        ),
        Mistake(
            "noise squared",
            "c was taken for a standard deviation: here it is the variance of the noise.",
            lambda x, a, c, w: a * np.tanh(a * x / c**2 + 0.5 * _logit(w)),
            real=SQUARES,
        ),
        Mistake(
            "chance of ink",
            "the probability of ink is given: the mean of z weighs a and -a with it.",
            lambda x, a, c, w: expit(2 * a * x / c + _logit(w)),
        ),
        Mistake(
            "before looking",
            "x was not used: that is the mean of z before anything is seen.",
            lambda x, a, c, w: a * (2 * w - 1),
        ),
        Mistake(
            "the likelier of the two",
            "the likelier of the two values was taken: the mean does not choose, it weighs both.",
            lambda x, a, c, w: a * np.sign(2 * a * x / c + _logit(w)),
        ),
        Mistake(
            "straight line",
            "z was taken for Gaussian: that gives a straight line in x, and z has two values only.",
            _straight_line,
        ),
    ),
    hints=(
        "What is the density p(x) of a noisy pixel: which two bells, where, how wide, how high?",
        "What is left of c (log p)' + x, when each bell brings its own slope with it?",
        "With equal weights a hyperbolic function appears. Which shift in its argument comes from unequal ones?",
    ),
    next="Take a = 2, c = 1/2, w = 1/4, x = 1/2: ink to paper is e^4 to 3. Weigh 2 and -2 with that.",
    tip=({"x": 0.5, "a": 2.0, "c": 0.5, "w": 0.25},),
)


# -------------------------------------------------------------------------------------------- one Metropolis step


def _proposal(rng: Rng) -> dict[str, Any]:
    """p(x, z) at the seen x for four states, not normalized; an encoder that is not the posterior."""
    joint = generic_probabilities(rng, (4,)) * float(rng.uniform(0.05, 0.3))
    return {"joint": joint, "encoder": generic_probabilities(rng, (4,))}


def _kernel(joint: Any, encoder: Any, accept: Any = None, reject: bool = True) -> Array:
    """The ledger's Metropolis move, with p(x, z) for a prior, and nothing else to see."""
    one = np.ones((len(joint), 1))
    return move(Chain(joint, one, one, 0, np.asarray(encoder)[None]), accept, reject)[0]


def _accepting(accept: Callable[[Array], Array]) -> Any:
    """A mistake: accept(new, old, q_new, q_old) for the ratio."""
    return lambda joint, encoder: _kernel(joint, encoder, accept)


def _never_stays(joint: Any, encoder: Any) -> Array:
    """q(z') min(1, r) alone: what was rejected is lost."""
    moves = _kernel(joint, encoder)
    np.fill_diagonal(moves, encoder)
    return moves


def _not_clipped(joint: Any, encoder: Any) -> Array:
    moves = joint[None, :] * encoder[:, None] / joint[:, None]  # q(z') r
    np.fill_diagonal(moves, 0.0)
    return moves + np.diag(1 - moves.sum(axis=1))


def _acceptance_alone(joint: Any, encoder: Any) -> Array:
    ratio = joint / encoder
    return np.minimum(1.0, ratio[None, :] / ratio[:, None])


STEP = Compute(
    id="12.4",
    title="One Metropolis step",
    level="stretch",
    minutes=15,
    name="step_matrix",
    rough=True,
    truth=_kernel,
    examples=(
        {"joint": np.array([0.2, 0.1]), "encoder": np.array([0.5, 0.5])},
        {"joint": np.array([0.1, 0.1]), "encoder": np.array([0.8, 0.2])},
        {"joint": np.array([0.3, 0.1, 0.2]), "encoder": np.array([0.2, 0.3, 0.5])},
    ),
    draw=_proposal,
    rules=(
        Rule(
            "From every state the chain goes somewhere, be it to itself: each row adds up to 1. Yours do not.",
            lambda value, **_: bool(np.allclose(value.sum(axis=1), 1, atol=1e-3)),
        ),
        Rule(
            "The entries are probabilities. One of yours is below 0 or above 1 here.",
            lambda value, **_: bool(np.all((value >= -1e-9) & (value <= 1 + 1e-9))),
        ),
        Rule(
            "A chain with the law p(z | x) must keep it: joint @ your matrix should be joint again, and is not.",
            lambda value, joint, **_: bool(np.allclose(joint @ value, joint, rtol=1e-3)),
        ),
    ),
    mistakes=(
        Mistake(
            "no proposal ratio",
            "q was left out of r: that is right only where proposals are as likely back as forth.",
            _accepting(lambda parts: parts[0] / parts[1]),
            next="From i to j and back: how often is each proposed?",
        ),
        Mistake(
            "proposal ratio upside down",
            "the q of r are swapped: what the encoder likes too much must be accepted less often.",
            _accepting(lambda parts: parts[0] * parts[2] / (parts[1] * parts[3])),
        ),
        Mistake(
            "accept always",
            "every proposal is accepted: that is pseudo-Gibbs, and settles on the encoder's law.",
            _accepting(lambda parts: np.ones_like(parts[0])),
        ),
        Mistake(
            "ratio upside down",
            "r is upside down: it sends the chain to where p(z | x) is small.",
            _accepting(lambda parts: 1 / metropolis(parts)),
        ),
        Mistake(
            "rejected steps not counted",
            "rejected proposals were drawn again: a rejection counts, the old z once more.",
            lambda joint, encoder: _kernel(joint, encoder, reject=False),
            next="Where does the probability of a rejection go? Look at the diagonal.",
        ),
        Mistake(
            "the rejected lost",
            "the diagonal holds proposals of i itself only: whatever was rejected stays at i, too.",
            _never_stays,
            next="Add up a row: what is missing from 1, and where is the chain then?",
        ),
        Mistake(
            "not clipped",
            "r was not cut off at 1: it is meant as a probability of acceptance.",
            _not_clipped,
        ),
        Mistake(
            "acceptance alone",
            "the chance of acceptance is given: before that, j must be proposed.",
            _acceptance_alone,
        ),
        Mistake(
            "rows for columns",
            "rows and columns are swapped: a row belongs to the state that the chain leaves.",
            lambda joint, encoder: _kernel(joint, encoder).T,
        ),
    ),
    hints=(
        "To go from i to another state j, which two things must happen, one after the other?",
        "The encoder proposes j far too often. Which quotient of q makes r small then?",
        "What do the other entries leave of each row, and in which two ways can the chain be at i again?",
    ),
    next="Take joint (1/5, 1/10), encoder (1/3, 2/3): fill in the four entries by hand; each row adds up to 1.",
    tip=({"joint": np.array([0.2, 0.1]), "encoder": np.array([1 / 3, 2 / 3])},),
    forbidden=("chain",),
)

# ------------------------------------------------------------------------------------------- the bound on what is seen


def _half_seen_with_a_code(rng: Rng) -> dict[str, Any]:
    """As for 12.2, and q(z | x_o) with independent coordinates; it is not the posterior."""
    return {
        **_half_seen(rng),
        "loc": away_from_zero(rng, 0.3, 1.2, (2,)),
        "scale": rng.uniform(0.3, 0.5, 2) * rng.permutation([1.0, 1.7]),
    }


def _bound_of_seen(
    x: Any,
    seen: Any,
    loading: Any,
    offset: Any,
    noise_variances: Any,
    loc: Any,
    scale: Any,
    *,
    fit: float = 1.0,
    constant: float = 1.0,
    spread: float = 1.0,
    spread_over: Any = None,
    price: float = 1.0,
) -> float:
    """E_q[log p(x_o | z)] - KL(q || N(0, I)), in closed form. The keywords say what a mistake does."""
    seen = np.asarray(seen, dtype=bool)
    noise, residual = noise_variances[seen], (x - offset - loading @ loc)[seen]
    uncertain = (loading**2 @ scale**2 / noise_variances)[
        seen if spread_over is None else spread_over
    ]  # from z's width
    squares = np.sum(residual**2 / noise) + spread * np.sum(uncertain)
    log_likelihood = -0.5 * (constant * np.sum(np.log(2 * np.pi * noise)) + squares)
    return float(fit * log_likelihood - price * _kl_of_code(loc, scale))


def _kl_of_code(loc: Any, scale: Any) -> float:
    return float(0.5 * np.sum(scale**2 + loc**2 - 1 - 2 * np.log(scale)))


def _log_evidence_of_seen(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any, **code: Any) -> float:
    """log N(x_o; b_o, W_o W_o' + diag c_o): what no code lifts the bound above."""
    seen = np.asarray(seen, dtype=bool)
    covariance = loading[seen] @ loading[seen].T + np.diag(noise_variances[seen])
    residual = (x - offset)[seen]
    squares = residual @ np.linalg.solve(covariance, residual)
    return float(-0.5 * (np.linalg.slogdet(2 * np.pi * covariance)[1] + squares))


def _share(seen: Any) -> float:
    return float(np.mean(seen))


def _standard_deviations_added(**question: Any) -> float:
    spread = (question["loading"] @ question["scale"]) ** 2 / question["noise_variances"]
    return float(_bound_of_seen(**question, spread=0.0) - 0.5 * np.sum(spread[question["seen"]]))


TWO_LATENTS = {
    "x": np.array([2.0, 0.0]),
    "seen": np.array([True, False]),
    "loading": np.array([[1.0, 1.0], [2.0, 1.0]]),
    "offset": np.array([0.0, 0.5]),
    "noise_variances": np.array([0.5, 1.0]),
    "loc": np.array([1.0, 0.0]),
    "scale": np.array([0.5, 0.5]),
}


BOUND = Compute(
    id="12.5",
    title="The bound on what is seen",
    level="core",
    minutes=15,
    name="bound_of_seen",
    rough=True,
    truth=_bound_of_seen,
    examples=(
        ONE_SEEN_OF_TWO | {"loc": np.array([0.0]), "scale": np.array([1.0])},
        {
            "x": np.array([2.0, 0.0]),
            "seen": np.array([True, False]),
            "loading": np.array([[1.0], [2.0]]),
            "offset": np.array([0.0, 0.5]),
            "noise_variances": np.array([0.5, 1.0]),
            "loc": np.array([1.0]),
            "scale": np.array([0.5]),
        },
        TWO_LATENTS,
    ),
    draw=_half_seen_with_a_code,
    rules=(
        Rule(
            "No code lifts the bound above log p(x_o). Yours is above it here.",
            lambda value, **question: bool(value <= _log_evidence_of_seen(**question) + 1e-3),
        ),
    ),
    mistakes=(
        Mistake(
            "zeros counted",
            "unseen pixels are in the sum: a 0 holds their place, and claims nothing.",
            lambda seen, **question: _bound_of_seen(seen=np.ones_like(seen), **question),
            next="Change the placeholders to 5: may the answer change?",
            real="common practice: zeros in the data, and in the loss",
        ),
        Mistake(
            "mask turned",
            "the mask is turned around: true is for pixels that are seen.",
            lambda seen, **question: _bound_of_seen(seen=~np.asarray(seen), **question),
        ),
        Mistake(
            "scaled up",
            "the seen pixels were scaled up to all of them: what was not seen says nothing.",
            lambda seen, **question: _bound_of_seen(seen=seen, fit=1 / _share(seen), **question),
        ),
        Mistake(
            "the KL scaled down",
            "the KL was scaled by the share of pixels seen: a code is paid for whole, however little was seen.",
            lambda seen, **question: _bound_of_seen(seen=seen, price=_share(seen), **question),
        ),
        Mistake(
            "mean over pixels",
            "the pixels were averaged: independent pixels multiply, so their logarithms add up.",
            lambda seen, **question: _bound_of_seen(seen=seen, fit=1 / np.sum(seen), **question),
            next="See every pixel twice: which of the two terms doubles?",
        ),
        Mistake(
            "at the mean code",
            "the decoder was asked at the mean of q only: z varies, and each pixel pays for its share of that.",
            lambda **question: _bound_of_seen(**question, spread=0.0),
            next="What is the mean of (x - w z - b)^2 under q: which two squares add up?",
        ),
        Mistake(
            "the spread of all pixels",
            "the width of q was charged to all pixels: one that was not seen cannot be missed by a decoder.",
            lambda **question: _bound_of_seen(**question, spread_over=slice(None)),
        ),
        Mistake(
            "square of the sum",
            "the variance of w^T z was taken as (w^T s)^2: variances of independent coordinates add up, w^2 s^2 each.",
            _standard_deviations_added,
        ),
        Mistake(
            "scale for variance",
            "`scale` was taken for a variance: it is a standard deviation, and its square is wanted.",
            lambda scale, **question: _bound_of_seen(scale=np.sqrt(scale), **question),
            real=SQUARES,
        ),
        Mistake(
            "noise squared",
            "the noise was taken for a standard deviation: `noise_variances` are variances already.",
            lambda noise_variances, **question: _bound_of_seen(noise_variances=noise_variances**2, **question),
            real=SQUARES,
        ),
        Mistake(
            "no constant",
            "the logarithm of 2 pi c was left out, once for each seen pixel: it belongs to the density.",
            lambda **question: _bound_of_seen(**question, constant=0.0),
        ),
        Mistake(
            "no log 2 pi",
            "log 2 pi was left out, once for each seen pixel: the density has log(2 pi c), not log c.",
            lambda seen, **question: (
                _bound_of_seen(seen=seen, **question) + 0.5 * np.count_nonzero(seen) * np.log(2 * np.pi)
            ),
        ),
        Mistake(
            "no KL",
            "the KL was left out: without its price the best code is a single point.",
            lambda **question: _bound_of_seen(**question, price=0.0),
        ),
        Mistake(
            "KL added",
            "the KL was added: it is the price of the code, and is subtracted.",
            lambda **question: _bound_of_seen(**question, price=-1.0),
        ),
        Mistake(
            "KL the other way round",
            "the KL goes from the prior to q: in the bound q comes first.",
            lambda loc, scale, **question: float(
                _bound_of_seen(loc=loc, scale=scale, price=0.0, **question)
                - np.sum(np.log(scale) + (1 + loc**2) / (2 * scale**2) - 0.5)
            ),
        ),
        Mistake(
            "the loss",
            "there is a minus in front: that is the loss; the bound itself was asked for.",
            lambda **question: -_bound_of_seen(**question),
        ),
        Mistake(
            "the evidence",
            "this is log p(x_o), which does not depend on q: the bound lies below it, by a KL.",
            _log_evidence_of_seen,
            next="Change `scale` and nothing else: may the bound stay as it is?",
        ),
    ),
    hints=(
        "Line 4 of M4 has two terms. Which of them knows that pixels are missing?",
        "Under q, what are the mean and the variance of w z + b in one pixel? What is then the mean of a square?",
        "Which pixels pay for the width of q in the first term, and who pays for it in the KL?",
    ),
    next="Take one seen pixel, W = (1, 1), b = 0, c = 1/2, x = 2, m = (1, 0), s = (1/2, 1/2): -2.0724 - 1.1363.",
    tip=(TWO_LATENTS,),
)

TASKS = (EVIDENCE, COMPLETE, CLEAN, STEP, BOUND)


# --------------------------------------------------------------------------------------------------------- in class


def _seen_log_likelihood(x: Array, ink: Array, seen: Array) -> Any:
    log_each = np.where(x == 1, np.log(ink), np.log(1 - ink))  # each pixel: the probability of what it is
    return np.sum(log_each[..., seen], axis=-1)  # a missing pixel leaves the sum


def _partly_seen(rng: Rng) -> dict[str, Any]:
    """Seven pixels, four of them seen; four proposals of how likely ink is."""
    x = rng.permutation([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    return {"x": x, "ink": rng.uniform(0.1, 0.9, (4, 7)), "seen": _mask(rng, 4, 7)}


def _image(x: Any, ink: Any, seen: Any) -> dict[str, Any]:
    return {"x": np.array(x, dtype=float), "ink": np.array(ink, dtype=float), "seen": np.array(seen, dtype=bool)}


SEEN = Compute(
    id="12.a",
    title="The likelihood of what is seen",
    minutes=5,
    name="seen_log_likelihood",
    rough=True,
    truth=_seen_log_likelihood,
    examples=(
        _image([1, 0], [[0.25, 0.5]], [True, False]),
        _image([1, 0, 1], [[0.25, 0.4, 0.5], [0.9, 0.1, 0.2]], [True, True, False]),
    ),
    draw=_partly_seen,
    mistakes=(
        Mistake(
            "all pixels",
            "all pixels are in the sum, the missing ones, too: only what was seen may count.",
            lambda x, ink, seen: np.sum(np.where(x == 1, np.log(ink), np.log(1 - ink)), axis=-1),
        ),
        Mistake(
            "zeros filled in",
            "the missing pixels count as zeros: that claims that they are white, and nobody saw them.",
            lambda x, ink, seen: np.sum(np.where(seen * x == 1, np.log(ink), np.log(1 - ink)), axis=-1),
        ),
        Mistake(
            "mask upside down",
            "the missing pixels are counted and the seen ones left out: is the mask the wrong way round?",
            lambda x, ink, seen: _seen_log_likelihood(x, ink, ~seen),
        ),
        Mistake(
            "black pixels only",
            "only pixels with ink are counted: a white pixel has the probability 1 - ink.",
            lambda x, ink, seen: np.sum((x * np.log(ink))[..., seen], axis=-1),
        ),
        Mistake(
            "mean over pixels",
            "the seen pixels were averaged: the logarithm of a product is a sum.",
            lambda x, ink, seen: _seen_log_likelihood(x, ink, seen) / np.sum(seen),
        ),
        Mistake(
            "probability",
            "this is the probability: its logarithm is asked for, which does not underflow with 784 pixels.",
            lambda x, ink, seen: np.exp(_seen_log_likelihood(x, ink, seen)),
        ),
    ),
    hints=(
        "One pixel: if it is black, its probability is ink. What is it if the pixel is white?",
        "The pixels are independent given z. What becomes of a product when you take the logarithm?",
        "`seen` is an array of True and False: what does `log_each[..., seen]` leave?",
    ),
    next="Try x = (1, 0), ink = (1/4, 1/2), only the first pixel seen: log(1/4), about -1.386.",
    tip=(_image([1, 0], [[0.25, 0.5]], [True, False]),),
)


def _loss_of_seen(log_each: Any, seen: Any, kl: Any) -> Any:
    log_seen = (log_each * seen).sum(-1)  # a missing pixel leaves the sum, in each image another one
    return (kl - log_seen).mean()  # the KL is paid whole


def _minibatch(rng: Rng) -> dict[str, Any]:
    """Three images of five pixels, of which two, three and four are seen."""
    seen = np.array([_mask(rng, int(count), 5) for count in rng.permutation([2, 3, 4])], dtype=float)
    return {"log_each": np.log(rng.uniform(0.1, 0.9, (3, 5))), "seen": seen, "kl": rng.uniform(0.5, 2.5, 3)}


def _batch(log_each: Any, seen: Any, kl: Any) -> dict[str, Any]:
    return {name: np.array(part, dtype=float) for name, part in (("log_each", log_each), ("seen", seen), ("kl", kl))}


LOSS = Compute(
    id="12.b",
    title="A loss for incomplete images",
    minutes=5,
    name="loss_of_seen",
    rough=True,
    truth=_loss_of_seen,
    examples=(
        _batch([[-1.0, -2.0]], [[1, 0]], [0.5]),
        _batch([[-1.0, -2.0], [-0.5, -3.0]], [[1, 0], [1, 1]], [0.5, 1.0]),
    ),
    draw=_minibatch,
    mistakes=(
        Mistake(
            "all pixels",
            "all pixels are in the sum, the missing ones, too: only what was seen may count.",
            lambda log_each, seen, kl: (kl - log_each.sum(-1)).mean(),
        ),
        Mistake(
            "mask upside down",
            "the missing pixels are counted and the seen ones left out: is the mask the wrong way round?",
            lambda log_each, seen, kl: _loss_of_seen(log_each, 1 - seen, kl),
        ),
        Mistake(
            "the KL scaled down",
            "the KL was scaled by the share of pixels seen: a code is paid for whole, however little was seen.",
            lambda log_each, seen, kl: _loss_of_seen(log_each, seen, kl * seen.mean(-1)),
        ),
        Mistake(
            "scaled up",
            "the seen pixels were scaled up to all of them: what was not seen says nothing.",
            lambda log_each, seen, kl: _loss_of_seen(log_each / seen.mean(-1)[:, None], seen, kl),
        ),
        Mistake(
            "mean over pixels",
            "the seen pixels of an image were averaged: the logarithm of a product is a sum.",
            lambda log_each, seen, kl: _loss_of_seen(log_each / seen.sum(-1)[:, None], seen, kl),
        ),
        Mistake(
            "no KL",
            "the KL is left out: the code would cost nothing.",
            lambda log_each, seen, kl: _loss_of_seen(log_each, seen, 0 * kl),
        ),
        Mistake(
            "the KL rewarded",
            "the KL has the sign of a reward: in a loss it is a cost.",
            lambda log_each, seen, kl: _loss_of_seen(log_each, seen, -kl),
        ),
        Mistake(
            "the bound itself",
            "this is the mean bound: the loss is minus that, for optimizers go down.",
            lambda log_each, seen, kl: -_loss_of_seen(log_each, seen, kl),
        ),
        Mistake(
            "summed over the batch",
            "the images were added: their mean is asked for.",
            lambda log_each, seen, kl: (kl - (log_each * seen).sum(-1)).sum(),
        ),
    ),
    hints=(
        "One image: which of its log-probabilities may count? What does multiplying by a mask of 1 and 0 do?",
        "Along which axis lie the pixels, and along which the images? Which of the two is added up?",
        "The loss is minus the mean bound. What sign has the KL in it, and does it know of the mask?",
    ),
    next="Try log_each = ((-1, -2),), the first pixel seen, and a KL of 1/2: the loss is 1.5.",
    tip=(_batch([[-1.0, -2.0]], [[1, 0]], [0.5]),),
)

IN_CLASS = (SEEN, LOSS)
