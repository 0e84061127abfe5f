r"""Exercises to notebook 05: the evidence lower bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.ledger import F1, F2, F4, F6
from vaelib.task import Compute, Derive, Mistake
from vaelib.terms import KL, E, log_evidence, log_joint, log_lik, log_q, post, prior, q
from vaelib.witnesses import CurvedWitness

BOUND = E(q, log_lik) - KL(q, prior)

TO_THE_BOUND = Derive(
    id="05.1",
    title="From the evidence to the bound",
    level="core",
    minutes=15,
    name="to_the_bound",
    start=log_evidence,
    goal=BOUND,
    relation=">=",
    draw=CurvedWitness.draw,
    known=(F1, F2, F6),
    mistakes=(
        Mistake.of(
            F1,
            "KL to p(x|z)",
            next="Go back to Bayes' rule: which density is in the denominator, and does it stay there?",
        ),
        Mistake.of(
            F2,
            "plus KL to the prior",
            E(q, log_lik) + KL(q, prior),
            next="Write out the minus in front of the bracket, logarithm by logarithm.",
        ),
        Mistake.of(F1, "no prior in the joint"),
    ),
    hints=(
        "log p(x) does not depend on z. Under which law may you take its expectation without changing it?",
        "Which rule writes log p(x) with the joint and the posterior? What may be added and subtracted next?",
        "Sort the terms into two KLs and an expectation. Which KL contains the posterior, and what is its sign?",
    ),
    next="Which terms do this line and the one above it not share? Change one of them at a time.",
)

FIND_THE_SLIP = Compute(
    id="05.2",
    title="Which line is the first that is broken?",
    level="warm-up",
    minutes=5,
    name="broken_line",
    truth=3,
    choices=(1, 2, 3, 4),
    mistakes=(
        Mistake(
            "the conclusion",
            "the conclusion was blamed: it does not follow, but it is not the first line that fails.",
            4,
            next="Go up from there, and compare each pair of lines, term by term.",
        ),
        Mistake(
            "Bayes' rule",
            "Bayes' rule was blamed: p(x) = p(x|z) p(z) / p(z|x) holds at every z.",
            1,
        ),
        Mistake(
            "adding zero",
            "the added and subtracted log q(z) was blamed: together they are zero.",
            2,
        ),
    ),
    hints=(
        "Which of the lines could be checked with numbers?",
        "Bayes' rule put a density into a denominator. Which one, and does it stay there?",
        "Take the terms of each line one by one: which of them has no partner in the line above?",
    ),
    next='Type the lines as terms, and give the list to `check("05.1", lines)`: where does it stop?',
)

REPAIR = Derive(
    id="05.3",
    title="Repair a published derivation, and finish it",
    level="stretch",
    minutes=18,
    name="repaired",
    start=KL(q, post),
    goal=log_evidence - BOUND,
    relation="=",
    draw=CurvedWitness.draw,
    least=5,
    known=(F4, F1),
    mistakes=(
        Mistake(
            "minus log p(x)",
            "log p(x) has the wrong sign: Bayes' rule divides by p(x), and the minus before that makes a plus.",
            E(q, log_q) - E(q, log_joint) - log_evidence,
            next="Write the bracket out, log p(x,z) - log p(x), and then take it away, term by term.",
            real="a published note",
        ),
        Mistake(
            "no prior",
            "the prior is missing: Bayes' rule has p(x|z) p(z) above.",
            E(q, log_q) - E(q, log_lik) + log_evidence,
            real="a published note",
        ),
        Mistake(
            "p(x|z) for the posterior",
            "p(x|z) was put where the posterior p(z|x) belongs: that is not a KL to a density in z.",
            E(q, log_q - log_lik),
            real="a published note, third term",
        ),
        Mistake(
            "log p(x) dropped",
            "log p(x) was dropped: a search over q does not notice, but the value does.",
            E(q, log_q - log_joint),
            next="Keep it to the end: it is half of the goal.",
        ),
        Mistake(
            "average under the posterior",
            "KL(p(z|x) || q): here the average is under q, the first argument.",
            KL(post, q),
        ),
        Mistake(
            "minus did not reach the price",
            "the minus in front of the bound reached its first term only.",
            log_evidence - E(q, log_lik) - KL(q, prior),
            next="Put the bound in brackets, and subtract both of its terms.",
        ),
        Mistake(
            "bound minus evidence",
            "the difference is turned around: log p(x) lies above the bound, and a KL is not negative.",
            BOUND - log_evidence,
        ),
        Mistake(
            "log q added",
            "log q(z) has the wrong sign: KL(q || p) averages log q - log p.",
            -E(q, log_q) - E(q, log_joint) + log_evidence,
        ),
    ),
    hints=(
        "Where does the logarithm of the published line 2 end, and where should it end?",
        "The logarithm of a quotient is a difference, and it has a minus in front. Which sign has log p(x) then?",
        "Split log p(x,z) by the product rule. Which two terms make a KL to the prior, and what is left?",
    ),
    next="By which terms do this line and the one above it differ, and which rule makes one of the other?",
)

TASKS = (TO_THE_BOUND, FIND_THE_SLIP, REPAIR)


# ------------------------------------------------------------------------------------------------------------ in class
# The model of the notebook: z ~ N(0, 1), x | z ~ N(2 z, 0.5).


def log_normal(value: Any, mean: Any, variance: Any) -> Any:
    """The logarithm of the density of N(mean, variance), in nats."""
    return -0.5 * np.log(2 * np.pi * variance) - (value - mean) ** 2 / (2 * variance)


def _sampled_bound(z: Any, x: Any, mean: Any, scale: Any) -> Any:
    log_joint = log_normal(z, 0, 1) + log_normal(x, 2 * z, 0.5)
    log_weight = log_joint - log_normal(z, mean, scale**2)
    return np.mean(log_weight), np.std(log_weight, ddof=1) / np.sqrt(len(z))


def _from_log_weights(log_joint: Any, log_q: Any) -> Any:
    log_weight = log_joint - log_q
    return np.mean(log_weight), np.std(log_weight, ddof=1) / np.sqrt(len(log_weight))


def _joint(z: Any, x: Any) -> Any:
    return log_normal(z, 0, 1) + log_normal(x, 2 * z, 0.5)


def _log_q(z: Any, mean: Any, scale: Any) -> Any:
    return log_normal(z, mean, scale**2)


def _without_root(z: Any, x: Any, mean: Any, scale: Any) -> Any:
    bound, error = _sampled_bound(z, x, mean, scale)
    return bound, error * np.sqrt(len(z))


def _log_of_mean(z: Any, x: Any, mean: Any, scale: Any) -> Any:
    _, error = _sampled_bound(z, x, mean, scale)
    return np.log(np.mean(np.exp(_joint(z, x) - _log_q(z, mean, scale)))), error


SAMPLED_BOUND = Compute(
    id="05.a",
    title="The bound from samples",
    minutes=6,
    name="sampled_bound",
    truth=_sampled_bound,
    examples=(
        {"z": np.array([0.0, 1.0]), "x": 1.0, "mean": 0.5, "scale": 0.5},
        {"z": np.array([0.2, 0.4, -0.1, 0.9]), "x": 1.0, "mean": 0.3, "scale": 0.4},
    ),
    draw=lambda rng: {
        "z": rng.normal(0.3, 0.6, 5),
        "x": float(rng.uniform(0.5, 2.0)),
        "mean": float(rng.uniform(0.2, 0.8)),
        "scale": float(rng.uniform(0.3, 0.9)),
    },
    mistakes=(
        Mistake(
            "no prior",
            "the prior is missing: the joint is p(x|z) times p(z).",
            lambda z, x, mean, scale: _from_log_weights(log_normal(x, 2 * z, 0.5), _log_q(z, mean, scale)),
        ),
        Mistake(
            "no log q",
            "log q(z) was not subtracted: what you average is the joint alone.",
            lambda z, x, mean, scale: _from_log_weights(_joint(z, x), np.zeros(len(z))),
        ),
        Mistake(
            "log q added",
            "log q(z) has the wrong sign: a wide q has a small density, and the bound rewards that.",
            lambda z, x, mean, scale: _from_log_weights(_joint(z, x), -_log_q(z, mean, scale)),
        ),
        Mistake(
            "scale for variance",
            "the scale of q was taken for its variance: `log_normal` wants scale**2.",
            lambda z, x, mean, scale: _from_log_weights(_joint(z, x), log_normal(z, mean, scale)),
        ),
        Mistake(
            "noise squared",
            "0.5 was squared: it is the variance of the noise already.",
            lambda z, x, mean, scale: _from_log_weights(
                log_normal(z, 0, 1) + log_normal(x, 2 * z, 0.25), _log_q(z, mean, scale)
            ),
        ),
        Mistake(
            "logarithm of the mean",
            "the logarithm was taken after the average: the bound is the mean of the logarithms.",
            _log_of_mean,
        ),
        Mistake(
            "no root",
            "the second number is a standard deviation: the error of a mean is smaller, by the root of S.",
            _without_root,
        ),
    ),
    hints=(
        "The bound is a mean under q. Of which difference of logarithms, one number for each z?",
        "The joint is a product of two densities. Which two calls of `log_normal` give its logarithm?",
        "By what must the standard deviation of S numbers be divided to be the error of their mean?",
    ),
    next="Take two draws, z = 0 and z = 1, with x = 1 and q = N(0.5, 0.5^2): by symmetry, both have the same log q.",
    tip=({"z": np.array([0.0, 1.0]), "x": 1.0, "mean": 0.5, "scale": 0.5},),
)


def _slope(noise: Any, x: Any, mean: Any, log_scale: Any) -> Any:
    z = mean + np.exp(log_scale) * noise
    pull = 2 * (x - 2 * z) / 0.5 - z  # the derivative of log p(x, z) in z
    return np.array([np.mean(pull), np.mean(pull * (z - mean)) + 1])


def _pull(z: Any, x: Any) -> Any:
    return 2 * (x - 2 * z) / 0.5 - z


def _of(pull: Any, step: Any, entropy: float = 1.0) -> Any:
    return np.array([np.mean(pull), np.mean(pull * step) + entropy])


SLOPE = Compute(
    id="05.b",
    title="The slope of the bound",
    minutes=6,
    name="slope",
    truth=_slope,
    examples=(
        {"noise": np.array([-1.0, 1.0]), "x": 1.0, "mean": 0.0, "log_scale": 0.0},
        {"noise": np.array([-1.0, 0.5, 2.0]), "x": 1.0, "mean": 0.3, "log_scale": -1.0},
    ),
    draw=lambda rng: {
        "noise": rng.normal(size=5),
        "x": float(rng.uniform(0.5, 2.0)),
        "mean": float(rng.uniform(0.2, 0.8)),
        "log_scale": float(rng.uniform(-1.5, -0.5)),
    },
    mistakes=(
        Mistake(
            "entropy forgotten",
            "the entropy was forgotten: log of the scale is a part of it, and its slope is 1.",
            lambda noise, x, mean, log_scale: _of(
                _pull(z := mean + np.exp(log_scale) * noise, x), z - mean, entropy=0.0
            ),
        ),
        Mistake(
            "slope of the loss",
            "this is the slope of minus the bound: the class climbs, and a loss descends.",
            lambda noise, x, mean, log_scale: -_slope(noise, x, mean, log_scale),
        ),
        Mistake(
            "no prior",
            "the prior does not pull: the derivative of log p(z) is -z.",
            lambda noise, x, mean, log_scale: _of(_pull(z := mean + np.exp(log_scale) * noise, x) + z, z - mean),
        ),
        Mistake(
            "inner derivative",
            "the inner derivative is missing: the decoder is 2 z, so its square gives one more factor 2.",
            lambda noise, x, mean, log_scale: _of(
                (x - 2 * (z := mean + np.exp(log_scale) * noise)) / 0.5 - z, z - mean
            ),
        ),
        Mistake(
            "slope in the scale",
            "the second number is taken in the scale, not in its logarithm: dz is (z - mean) for a step in log scale.",
            lambda noise, x, mean, log_scale: _of(_pull(mean + np.exp(log_scale) * noise, x), noise),
        ),
        Mistake(
            "logarithm for the scale",
            "the noise was multiplied by the logarithm of the scale: `np.exp` gives the scale.",
            lambda noise, x, mean, log_scale: _of(_pull(z := mean + log_scale * noise, x), z - mean),
        ),
    ),
    hints=(
        "Where does the noise put z, if q has this mean and this scale?",
        "log p(x, z) is a sum of two squares: what are their derivatives in z?",
        "How far does z move for a small step in the mean, and how far for one in log scale?",
    ),
    next="Take noise (-1, 1) with mean 0 and scale 1: then z is -1 and 1, and the pull can be computed by hand.",
    tip=({"noise": np.array([-1.0, 1.0]), "x": 1.0, "mean": 0.0, "log_scale": 0.0},),
)

IN_CLASS = (SAMPLED_BOUND, SLOPE)
