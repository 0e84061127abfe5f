r"""Exercises to notebook 00: error bars and z-scores, a logarithm of a product, a rule of three nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.task import Compute, Mistake, Rule

Rng = np.random.Generator

WHICH_IS_BROKEN = Compute(
    id="00.1",
    title="Which estimate is broken?",
    level="warm-up",
    minutes=4,
    name="broken",
    truth="d",
    choices=tuple("abcde"),
    mistakes=(
        Mistake(
            "the farthest",
            "distances were compared as they are: an error bar is the unit in which to measure them.",
            "b",
        ),
        Mistake(
            "beyond two bars",
            "two error bars were taken for the limit: this check rejects only beyond 4.5 of them.",
            "c",
        ),
        Mistake(
            "the shortest bar",
            "the shortest bar was suspected: a short bar is good news, as long as the truth is near it.",
            "e",
        ),
        Mistake(
            "just beside the truth",
            "a bar that just misses the truth was blamed: that happens about one time in three.",
            "a",
        ),
    ),
    hints=(
        "What does a z-score count?",
        "Take a bar's half-length as a ruler: how many times does it fit between the estimate and the dashed line?",
        "For which letters is that number near one or two, and for which is it beyond what the notebook allows?",
    ),
    next="Read off two numbers for each letter, distance and half-length of the bar, and divide.",
)


# ---------------------------------------------------------------------------------------------- a test set


def _test_set(rng: Rng) -> dict[str, Any]:
    """So many pixels that the product of their probabilities underflows; some images are harder than others."""
    shape = (int(rng.integers(5, 9)), int(rng.integers(180, 220)))
    return {"probabilities": np.exp(-rng.uniform(3.5, 8, shape) - rng.uniform(0, 1, (shape[0], 1)))}


def _mean_and_bar(probabilities: Any, ddof: int = 1) -> Any:
    scores = np.log(probabilities).sum(axis=1)
    return np.array([scores.mean(), scores.std(ddof=ddof) / np.sqrt(len(scores))])


def _product_first(probabilities: Any) -> Any:
    scores = np.log(np.prod(probabilities, axis=1))
    return np.array([scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores))])


def _pixels_as_draws(probabilities: Any) -> Any:
    n, d = probabilities.shape
    return np.array([_mean_and_bar(probabilities)[0], np.log(probabilities).std(ddof=1) * np.sqrt(d / n)])


TEST_SET = Compute(
    id="00.2",
    title="A test set's log-likelihood, with its error bar",
    level="core",
    minutes=10,
    name="mean_and_bar",
    rough=True,
    truth=_mean_and_bar,
    examples=(
        {"probabilities": np.array([[0.5], [0.25]])},
        {"probabilities": np.array([[0.5, 0.5, 0.25], [0.25, 0.125, 0.5]])},
        {"probabilities": np.array([[0.5, 0.2], [0.4, 0.9], [0.3, 0.7]])},
    ),
    draw=_test_set,
    rules=(
        Rule(
            "A probability is at most 1, so its logarithm is at most 0. The first of your numbers is positive here.",
            lambda value, **_: bool(value[0] <= 0),
        ),
        Rule(
            "An error bar is a width, never negative. The second of your numbers is negative here.",
            lambda value, **_: bool(value[1] >= 0),
        ),
    ),
    mistakes=(
        Mistake(
            "product first",
            "the product was taken before the logarithm: so many small factors are 0 in a computer.",
            _product_first,
            next="Take 400 pixels of probability 1/1000: what is their product in a computer, and its logarithm?",
        ),
        Mistake(
            "mean over pixels",
            "the pixels were averaged: the logarithm of a product is a sum, in nats per image.",
            lambda probabilities: _mean_and_bar(probabilities) / probabilities.shape[1],
            real="several public repositories",
        ),
        Mistake(
            "deviation for standard error",
            "the second number is how single images scatter: their mean scatters less.",
            lambda probabilities: _mean_and_bar(probabilities) * np.array([1, np.sqrt(len(probabilities))]),
        ),
        Mistake(
            "n for its root",
            "the deviation was divided by N: error bars shrink like one over the root of N.",
            lambda probabilities: _mean_and_bar(probabilities) / np.array([1, np.sqrt(len(probabilities))]),
        ),
        Mistake(
            "n for n - 1",
            "the variance was divided by N: around their own mean numbers scatter too little.",
            lambda probabilities: _mean_and_bar(probabilities, ddof=0),
            next="Look up what `ddof` is for in np.std.",
        ),
        Mistake(
            "pixels counted as draws",
            "every pixel was counted as an independent draw: what was drawn are the images, N of them.",
            _pixels_as_draws,
        ),
        Mistake(
            "bits",
            "the logarithm has base 2: that gives bits, and nats were asked.",
            lambda probabilities: _mean_and_bar(probabilities) / np.log(2),
        ),
        Mistake(
            "sign turned",
            "there is a minus in front: that is a loss, and the log-likelihood itself was asked.",
            lambda probabilities: _mean_and_bar(probabilities) * np.array([-1, 1]),
        ),
    ),
    hints=(
        "What is the logarithm of a product of d probabilities, and why not multiply them first?",
        "Which axis holds the pixels of one image? What is left after they are used up: how many numbers?",
        "These numbers are your draws. How far does one of them scatter, and how far the mean of N of them?",
    ),
    next="Take two images of two pixels, (1/2, 1/2) and (1/4, 1/8), and work both numbers out by hand.",
    tip=({"probabilities": np.array([[0.5, 0.5], [0.25, 0.125]])},),
    forbidden=("mean",),
)


# ---------------------------------------------------------------------------------------------- three nodes

ROOT = np.sqrt(3.0)  # 2 w a^2 = 1 and 2 w a^4 = 3


def _rule(loc: Any, scale: Any, reach: float = ROOT, outer: float = 1 / 6, total: float = 1.0) -> Any:
    """Nodes loc and loc +- reach scale; weights."""
    nodes = loc + reach * scale * np.array([-1.0, 0.0, 1.0])
    return np.array([nodes, total * np.array([outer, 1 - 2 * outer, outer])])


def _one_gaussian(rng: Rng) -> dict[str, Any]:
    loc = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 2)
    return {"loc": float(loc), "scale": float(np.exp(rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 0.9)))}


THREE_NODES = Compute(
    id="00.3",
    title="Three nodes, found by hand",
    level="stretch",
    minutes=15,
    name="three_nodes",
    rough=True,
    truth=_rule,
    examples=({"loc": 0.0, "scale": 1.0}, {"loc": 2.0, "scale": 1.0}, {"loc": 0.0, "scale": 3.0}),
    draw=_one_gaussian,
    secret=True,
    rules=(
        Rule(
            "The mean of a constant is that constant: the weights add up to 1. Yours do not.",
            lambda value, **_: bool(abs(value[1].sum() - 1) < 1e-6),
        ),
        Rule(
            "The mean of x itself must come out: the sum of weight times node is loc. Yours is not.",
            lambda value, loc, **_: bool(abs(value[0] @ value[1] - loc) < 1e-6),
        ),
    ),
    mistakes=(
        Mistake(
            "nodes of another weight function",
            "the nodes belong to exp(-u^2): for N(0, 1) they lie farther out.",
            lambda loc, scale: _rule(loc, scale, reach=np.sqrt(1.5)),
        ),
        Mistake(
            "equal weights",
            "the weights are equal: the variance fits, but look at the fourth moment.",
            lambda loc, scale: _rule(loc, scale, reach=np.sqrt(1.5), outer=1 / 3),
        ),
        Mistake(
            "equal weights at the right nodes",
            "the nodes are right and only the weights are equal: outer nodes weigh less.",
            lambda loc, scale: _rule(loc, scale, outer=1 / 3),
        ),
        Mistake(
            "fourth moment one",
            "E[u^4] was taken for 1: nodes at one deviation, and no weight in the middle.",
            lambda loc, scale: _rule(loc, scale, reach=1.0, outer=1 / 2),
        ),
        Mistake(
            "variance for scale",
            "the nodes were stretched by the variance: x = loc + scale u.",
            lambda loc, scale: _rule(loc, scale**2),
        ),
        Mistake(
            "not moved",
            "the nodes are those of N(0, 1): they have to move and stretch with the Gaussian.",
            lambda loc, scale: _rule(0.0, 1.0),
        ),
        Mistake(
            "weights stretched, too",
            "the weights were multiplied by scale: a density does that, but these are shares of one.",
            lambda loc, scale: _rule(loc, scale, total=scale),
        ),
        Mistake(
            "weights of an integral",
            "the weights are those of an integral against exp(-u^2): do they add up to one?",
            lambda loc, scale: _rule(loc, scale, total=np.sqrt(np.pi)),
        ),
    ),
    hints=(
        "By symmetry the nodes for N(0, 1) are -a, 0, a, with weights w, v, w. Which powers of u then come out right?",
        "Three unknowns, so three equations: which moments of N(0, 1) of even degree are at most of degree five?",
        "Divide the equation for the fourth moment by that for the second: what is left? And how does x come from u?",
    ),
    next="Put yours for loc = 0, scale = 2 into the means of 1, x^2 and x^4: 1, 4 and 48; then move loc to 1.",
    tip=(
        {"loc": 0.0, "scale": 2.0},
        {"loc": 1.0, "scale": 2.0},
    ),
    forbidden=("hermite",),
)

TASKS = (WHICH_IS_BROKEN, TEST_SET, THREE_NODES)
