r"""Exercises to notebook 03: KL and Jensen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import binom, xlogy

from vaelib.distributions import Categorical, kl_divergence
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_probabilities, generic_scale

Array = np.ndarray
Rng = np.random.Generator


# -------------------------------------------------------------------------------------------- predicted, then checked

# a: KL(fair || bent) = 0.830, b: KL(bent || fair) = 0.495, c: log 2 = 0.693, d: infinite, e: 0; bent is (0.95, 0.05)
ORDER = Compute(
    id="03.1",
    title="From cheap to expensive",
    level="warm-up",
    minutes=5,
    name="order",
    truth="ebcad",
    choices=tuple("abcde"),
    mistakes=(
        Mistake(
            "average under p",
            "each average was taken under p: in KL(q || p) it is q that draws, and p that is believed.",
            "eadbc",
        ),
        Mistake(
            "from expensive to cheap",
            "the order runs from expensive to cheap, or the quotients are upside down.",
            "dacbe",
        ),
        Mistake(
            "outside left out",
            "d became negative: the half of q where p has no mass was left out, and it decides.",
            "debca",
        ),
        Mistake(
            "d taken to be finite",
            "d was taken to be finite: half of what q draws is impossible under p.",
            "ebcda",
        ),
        Mistake(
            "KL taken for a distance",
            "d was taken to cost about what c costs: KL is not a distance, and the supports differ.",
            "ebdca",
            real="a published note: KL as a distance",
        ),
        Mistake(
            "coins swapped",
            "the two coins changed places: it costs much to believe that something hardly ever happens.",
            "eacbd",
        ),
        Mistake(
            "a bounded",
            "a was taken to be below log 2, as b must be: only one of the two has an upper bound.",
            "ebacd",
        ),
        Mistake(
            "a price for the truth",
            "e was given a price: there q and p are the same law.",
            "becad",
        ),
    ),
    hints=(
        "One of the five is zero, and one is infinite. Which ones, and why?",
        "Who believes in the fair coin is surprised by log 2 at each throw. So what is the most that b can cost?",
        "In a, the average of log(q/p) has two terms, of weight one half each. Which of them has no limit, and why?",
    ),
    next="For each line, ask: what does q draw, and what is the worst surprise for somebody who believes p?",
)


# ----------------------------------------------------------------------------------------------------- two tables


def _pairs(rng: Rng) -> dict[str, Any]:
    return {"q": generic_probabilities(rng, (3, 4)), "p": generic_probabilities(rng, (3, 4))}


def _kl(q: Array, p: Array) -> Any:
    return kl_divergence(Categorical.from_probs(q), Categorical.from_probs(p))


def _log_ratio(q: Array, p: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(q) - np.log(p)


def _without_empty_states(q: Array, p: Array) -> Any:
    return np.sum(np.where(p > 0, xlogy(q, q) - xlogy(q, np.where(p > 0, p, 1.0)), 0.0), axis=-1)


def _infinite_at_any_zero(q: Array, p: Array) -> Any:
    return np.where(np.any((q == 0) | (p == 0), axis=-1), np.inf, _kl(q, p))


def _is_infinite_where_it_must(value: Array, q: Array, p: Array) -> bool:
    return bool(np.all(np.isinf(value[np.any((q > 0) & (p == 0), axis=-1)])))


def _naive(q: Array, p: Array) -> Array:
    """The summands as NumPy gives them: 0 log 0 is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return q * np.log(q / p)


def _and_nan(mistake: Mistake, naive: Any) -> tuple[Mistake, Mistake]:
    """A mistake, and the same where 0 log 0 was not thought of either."""
    says = f"{mistake.says} And 0 log 0 became NaN: xlogy gives 0."
    return mistake, replace(mistake, name=f"{mistake.name}, and NaN", says=says, value=naive)


TABLES = Compute(
    id="03.2",
    title="KL of two tables",
    level="core",
    minutes=10,
    name="kl_tables",
    rough=True,
    truth=_kl,
    examples=(
        {"q": np.array([[0.5, 0.5]]), "p": np.array([[0.2, 0.8]])},
        {"q": np.array([[0.5, 0.3, 0.2]]), "p": np.array([[0.25, 0.15, 0.6]])},
        {"q": np.array([[0.5, 0.5, 0.0]]), "p": np.array([[0.2, 0.2, 0.6]])},
        {"q": np.array([[0.2, 0.2, 0.6]]), "p": np.array([[0.5, 0.5, 0.0]])},
        {"q": np.array([[0.7, 0.3, 0.0]]), "p": np.array([[0.4, 0.6, 0.0]])},
    ),
    draw=_pairs,
    rules=(
        Rule(
            "Where q has mass and p has none, a KL is infinite, and yours is finite here.",
            _is_infinite_where_it_must,
        ),
        Rule(
            "A KL is never negative, and yours is here. Single summands may be, their sum may not.",
            lambda value, **_: bool(np.all(value >= -1e-12)),
        ),
    ),
    mistakes=(
        *_and_nan(
            Mistake(
                "arguments swapped",
                "KL(p || q): the weights are those of the first argument, q.",
                lambda q, p: _kl(p, q),
            ),
            lambda q, p: _naive(p, q).sum(axis=-1),
        ),
        *_and_nan(
            Mistake(
                "quotient upside down",
                "the quotient in the logarithm is upside down: this is minus the KL.",
                lambda q, p: -_kl(q, p),
                next="Which state costs more: one that p takes to be too likely, or too rare?",
            ),
            lambda q, p: -_naive(q, p).sum(axis=-1),
        ),
        Mistake(
            "mean instead of weighted sum",
            "every state was given the same weight: a state counts as often as q draws it.",
            lambda q, p: np.mean(_log_ratio(q, p), axis=-1),
            next="Write the expectation under q as a sum: what is in front of the logarithm?",
        ),
        Mistake(
            "sum without weights",
            "the logarithms were summed without weights: a state counts as often as q draws it.",
            lambda q, p: np.sum(_log_ratio(q, p), axis=-1),
            next="Write the expectation under q as a sum: what is in front of the logarithm?",
        ),
        *_and_nan(
            Mistake(
                "mean over states",
                "the weighted terms were averaged over the states: they are summed.",
                lambda q, p: _kl(q, p) / q.shape[-1],
                real="public issue threads: a mean where a sum belongs",
            ),
            lambda q, p: _naive(q, p).mean(axis=-1),
        ),
        *_and_nan(
            Mistake(
                "in bits",
                "the logarithm has base 2: nats are asked for.",
                lambda q, p: _kl(q, p) / np.log(2),
            ),
            lambda q, p: _naive(q, p).sum(axis=-1) / np.log(2),
        ),
        Mistake(
            "cross-entropy",
            "the cross-entropy: what somebody who knows q is surprised by is still to be subtracted.",
            lambda q, p: -np.sum(xlogy(q, p), axis=-1),
        ),
        Mistake(
            "both directions averaged",
            "both directions were averaged: KL has a direction, and only KL(q || p) is asked for.",
            lambda q, p: (_kl(q, p) + _kl(p, q)) / 2,
            real="a published note: KL as a distance",
        ),
        Mistake(
            "not infinite where p has no mass",
            "the states with p = 0 were left out: q visits them, and there the surprise has no limit.",
            _without_empty_states,
            next="Take q = (0.5, 0.5) and p = (1, 0): how surprised is somebody who believes p on every other day?",
        ),
        Mistake(
            "a small number inside the logarithm",
            "1e-8 was added inside the logarithm: where the KL is infinite, yours is set by that number.",
            lambda q, p: np.sum(xlogy(q, q) - xlogy(q, p + 1e-8), axis=-1),
            next="Leave the infinity in: it says that q must not go there.",
            real="code that adds a small number inside the logarithm",
        ),
        Mistake(
            "0 log 0",
            "0 log 0 became NaN: where q has no mass, nothing is drawn, and nothing is to be added.",
            lambda q, p: _naive(q, p).sum(axis=-1),
            next="Which of NumPy's factors is 0 there, and which is infinite? xlogy knows the product.",
            real="public issue threads: NaN from log(0)",
        ),
        Mistake(
            "infinite at every zero",
            "any zero makes yours infinite: where q is zero, nothing is drawn.",
            _infinite_at_any_zero,
            next="What is the limit of t log t as t goes to 0?",
        ),
        Mistake(
            "one number for all rows",
            "the rows were added up, too: one number is asked for each row.",
            lambda q, p: np.sum(_kl(q, p)),
        ),
    ),
    hints=(
        "Which of the two laws draws the state, and where is its probability in the sum?",
        "For one state the surprises are -log p and -log q. Which minus which is the extra cost?",
        "An empty state of q, and one of p: what does each contribute, and which of the two does xlogy take care of?",
    ),
    next="Take q = (1/2, 1/2, 0), p = (1/4, 1/2, 1/4) by hand: log(2)/2. Swap them: infinite.",
    tip=(
        {"q": np.array([[0.5, 0.5, 0.0]]), "p": np.array([[0.25, 0.5, 0.25]])},
        {"q": np.array([[0.25, 0.5, 0.25]]), "p": np.array([[0.5, 0.5, 0.0]])},
    ),
    forbidden=("kl",),
)


# ---------------------------------------------------------------------------------------- one Gaussian for a mixture


def _mixture(rng: Rng) -> dict[str, Any]:
    return {
        "weights": generic_probabilities(rng, (3,)),
        "locs": away_from_zero(rng, 0.4, 2.5, (3,)),
        "scales": generic_scale(rng, (3,)),
    }


def _moments(weights: Array, locs: Array, scales: Array) -> Array:
    """Mean and standard deviation of a mixture: variance = mean of the variances + variance of the means."""
    mean = weights @ locs
    return np.array([mean, np.sqrt(weights @ scales**2 + weights @ (locs - mean) ** 2)])


def _with_scale(scale: Any) -> Any:
    """A mistake in the second number only."""
    return lambda weights, locs, scales: np.array([weights @ locs, scale(weights, locs, scales)])


def _heavier(weights: Array, locs: Array, scales: Array) -> Array:
    heavier = np.argmax(weights)
    return np.array([locs[heavier], scales[heavier]])


def _logs_averaged(weights: Array, locs: Array, scales: Array) -> Array:
    precision = weights / scales**2
    return np.array([precision @ locs / precision.sum(), precision.sum() ** -0.5])


NEAREST_GAUSSIAN = Compute(
    id="03.3",
    title="The Gaussian nearest to a mixture",
    level="core",
    minutes=10,
    name="nearest_gaussian",
    rough=True,
    truth=_moments,
    examples=(
        {"weights": np.array([1.0]), "locs": np.array([2.0]), "scales": np.array([0.5])},
        {"weights": np.array([0.5, 0.5]), "locs": np.array([1.0, 3.0]), "scales": np.array([0.5, 0.5])},
        {"weights": np.array([0.6, 0.4]), "locs": np.array([-2.0, 2.0]), "scales": np.array([0.7, 0.5])},
    ),
    draw=_mixture,
    rules=(
        Rule(
            "The variance of a mixture is at least the mean of its variances, and yours is below that here.",
            lambda value, weights, scales, **_: bool(value[1] ** 2 >= weights @ scales**2 - 1e-9),
        ),
        Rule(
            "The mean of a mixture lies between its outermost centers, and yours does not here.",
            lambda value, locs, **_: bool(locs.min() - 1e-9 <= value[0] <= locs.max() + 1e-9),
        ),
    ),
    mistakes=(
        Mistake(
            "mean of the variances",
            "the variances were averaged, and no more: how far the centers lie apart counts, too.",
            _with_scale(lambda weights, locs, scales: np.sqrt(weights @ scales**2)),
        ),
        Mistake(
            "spread of the centers only",
            "each component was taken for a point: the spread inside the components counts, too.",
            _with_scale(lambda weights, locs, scales: np.sqrt(weights @ (locs - weights @ locs) ** 2)),
        ),
        Mistake(
            "the heavier mode",
            "the Gaussian sits on one component: KL(p || q) makes q pay for every mode that it misses.",
            _heavier,
            next="Under which law is the average of KL(p || q) taken? What does it meet in the other mode?",
        ),
        Mistake(
            "variance for scale",
            "the second number is the variance: the standard deviation is asked for.",
            _with_scale(lambda weights, locs, scales: _moments(weights, locs, scales)[1] ** 2),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "weighted sum of variables",
            "z was taken for a weighted sum of Gaussians: a mixture draws one component, then z from it.",
            _with_scale(lambda weights, locs, scales: np.sqrt(weights**2 @ scales**2)),
        ),
        Mistake(
            "scales averaged",
            "the scales were averaged: it is variances that add up.",
            _with_scale(lambda weights, locs, scales: np.hypot(weights @ scales, _between(weights, locs))),
        ),
        Mistake(
            "mean not subtracted",
            "the second moment about 0 was taken for the variance: the mean is not 0.",
            _with_scale(lambda weights, locs, scales: np.sqrt(weights @ (scales**2 + locs**2))),
        ),
        Mistake(
            "equal weights",
            "all components were given the same weight.",
            lambda weights, locs, scales: _moments(np.full(len(locs), 1 / len(locs)), locs, scales),
        ),
        Mistake(
            "logarithms averaged",
            "the log-densities were averaged: a mixture averages the densities themselves.",
            _logs_averaged,
        ),
        Mistake(
            "order",
            "the two numbers changed places: the mean comes first.",
            lambda **w: _moments(**w)[::-1],
        ),
    ),
    hints=(
        "Which two numbers of p are all that KL(p || q) sees, when q is a Gaussian?",
        "Draw a component first, then z from it. What is the mean square of z, given the component?",
        "A variance is a mean square less the square of the mean: which two parts does it have in a mixture?",
    ),
    next="Take weights 1/4 and 3/4, centers 0 and 4, scales 1 and 3: the mean is 3, the variance 10.",
    tip=({"weights": np.array([0.25, 0.75]), "locs": np.array([0.0, 4.0]), "scales": np.array([1.0, 3.0])},),
)


def _between(weights: Array, locs: Array) -> Any:
    return np.sqrt(weights @ (locs - weights @ locs) ** 2)


# -------------------------------------------------------------------------------------------------- what Jensen loses


def _weights(rng: Rng) -> dict[str, Any]:
    low = float(rng.uniform(0.2, 0.8))
    return {
        "high": low * float(rng.uniform(3.0, 8.0)),
        "low": low,
        "rate": float(rng.uniform(0.15, 0.4)),
        "draws": int(rng.integers(2, 7)),
    }


def _mean_log(high: float, low: float, rate: float, draws: int) -> float:
    """E[log p_hat]: k of the draws are high with binomial probability."""
    k = np.arange(draws + 1)
    probability = binom(draws, k) * rate**k * (1 - rate) ** (draws - k)
    return float(probability @ np.log((k * high + (draws - k) * low) / draws))


def _log_mean(high: float, low: float, rate: float) -> float:
    return float(np.log(rate * high + (1 - rate) * low))


def _gap(high: float, low: float, rate: float, draws: int) -> float:
    return _log_mean(high, low, rate) - _mean_log(high, low, rate, draws)


def _second_order(high: float, low: float, rate: float, draws: int) -> float:
    mean = rate * high + (1 - rate) * low
    return rate * (1 - rate) * (high - low) ** 2 / (2 * draws * mean**2)


def _without_binomial(high: float, low: float, rate: float, draws: int) -> float:
    k = np.arange(draws + 1)
    values = np.log((k * high + (draws - k) * low) / draws)
    return _log_mean(high, low, rate) - float((rate**k * (1 - rate) ** (draws - k)) @ values)


def _equally_likely(high: float, low: float, rate: float, draws: int) -> float:
    k = np.arange(draws + 1)
    return _log_mean(high, low, rate) - float(np.mean(np.log((k * high + (draws - k) * low) / draws)))


JENSEN_GAP = Compute(
    id="03.4",
    title="What the logarithm of an average loses",
    level="stretch",
    minutes=15,
    name="jensen_gap",
    rough=True,
    truth=_gap,
    examples=(
        {"high": 5.0, "low": 1.0, "rate": 0.25, "draws": 1},
        {"high": 5.0, "low": 1.0, "rate": 0.25, "draws": 2},
        {"high": 4.0, "low": 0.5, "rate": 0.4, "draws": 3},
    ),
    draw=_weights,
    rules=(
        Rule(
            "By Jensen the logarithm of a mean is at least the mean of the logarithm: the gap is never negative.",
            lambda value, **_: bool(value >= -1e-12),
        ),
        Rule(
            "No number of draws loses more than one draw does: yours is above that here.",
            lambda value, high, low, rate, draws: draws == 1 or bool(value <= _gap(high, low, rate, 1) + 1e-12),
        ),
    ),
    mistakes=(
        Mistake(
            "one draw",
            "the logarithms of single draws were averaged: the average comes first, then the logarithm.",
            lambda high, low, rate, draws: _gap(high, low, rate, 1),
            next="List all values that the average of two draws can take, and how likely each is.",
        ),
        Mistake(
            "gap of one draw over S",
            "the gap of one draw was divided by S: it shrinks with S, but not in that proportion.",
            lambda high, low, rate, draws: _gap(high, low, rate, 1) / draws,
            next="List all values that the average of two draws can take, and how likely each is.",
        ),
        Mistake(
            "second order only",
            "the logarithm was replaced by its parabola: good for many draws, not exact.",
            _second_order,
            next="How many values can the average take? Sum over them.",
        ),
        Mistake(
            "sign",
            "the difference was turned around: the logarithm of the mean is the larger of the two.",
            lambda **w: -_gap(**w),
        ),
        Mistake(
            "log E missing",
            "only the mean of the logarithm is returned: how far is it below the logarithm of the mean?",
            lambda **w: _mean_log(**w),
        ),
        Mistake(
            "draws summed, not averaged",
            "the draws were summed, not averaged, inside the logarithm: that is off by log S.",
            lambda high, low, rate, draws: _gap(high, low, rate, draws) - np.log(draws),
            real="public issue threads: sum and mean mixed up",
        ),
        Mistake(
            "orders not counted",
            "each number of high draws was counted once: several orders lead to the same number.",
            _without_binomial,
            next="Do your probabilities sum to one?",
        ),
        Mistake(
            "all counts equally likely",
            "every number of high draws was taken to be equally likely.",
            _equally_likely,
            next="With two draws: how likely is one high and one low?",
        ),
        Mistake(
            "rate of the low value",
            "rate was taken for the probability of low: it is that of high.",
            lambda high, low, rate, draws: _gap(high, low, 1 - rate, draws),
        ),
    ),
    hints=(
        "One of the two terms does not depend on S at all. Which one, and why?",
        "If k of S draws are high, what is their average? And how likely is it that exactly k are?",
        "Two draws have four orders and three averages: can you write the mean of the logarithm as three terms?",
    ),
    next="Take high = 5, low = 1, rate = 1/4 with S = 1, two values; then with S = 2, three of them, by hand.",
    tip=(
        {"high": 5.0, "low": 1.0, "rate": 0.25, "draws": 1},
        {"high": 5.0, "low": 1.0, "rate": 0.25, "draws": 2},
    ),
)

TASKS = (ORDER, TABLES, NEAREST_GAUSSIAN, JENSEN_GAP)


# --------------------------------------------------------------------------------------------------------- in class


def _kl_of_two(q: Array, p: Array) -> Any:
    log_quotient = np.log(q) - np.log(p)  # what the wrong belief costs in each state
    return np.sum(q * log_quotient)  # averaged under q


KL_OF_TWO = Compute(
    id="03.a",
    title="The cost of a wrong forecast",
    minutes=5,
    name="kl",
    truth=_kl_of_two,
    examples=(
        {"q": np.array([0.5, 0.5]), "p": np.array([0.25, 0.75])},
        {"q": np.array([0.5, 0.3, 0.2]), "p": np.array([0.2, 0.3, 0.5])},
    ),
    draw=lambda rng: {"q": generic_probabilities(rng, (4,)), "p": generic_probabilities(rng, (4,))},
    rules=(
        Rule(
            "A KL is never negative, and yours is negative here: do q and p each sum to one in your formula?",
            lambda value, **_: bool(value >= -1e-12),
        ),
    ),
    mistakes=(
        Mistake(
            "average under p",
            "the average was taken under p: it is q that decides how often a state turns up.",
            lambda q, p: np.sum(p * (np.log(q) - np.log(p))),
        ),
        Mistake(
            "arguments swapped",
            "this is KL(p || q), the other direction: the law that draws is the first one.",
            lambda q, p: np.sum(p * (np.log(p) - np.log(q))),
        ),
        Mistake(
            "quotient upside down",
            "p was divided by q: what you return is minus the KL.",
            lambda q, p: np.sum(q * (np.log(p) - np.log(q))),
        ),
        Mistake(
            "summands not summed",
            "you return the summands, one for each state: their sum is asked for.",
            lambda q, p: q * (np.log(q) - np.log(p)),
        ),
        Mistake(
            "mean of the summands",
            "the weighted summands were averaged once more: q has weighted them already, so they are summed.",
            lambda q, p: np.mean(q * (np.log(q) - np.log(p))),
        ),
        Mistake(
            "mean without weights",
            "every state was given the same weight: a state counts as often as q draws it.",
            lambda q, p: np.mean(np.log(q) - np.log(p)),
        ),
        Mistake(
            "in bits",
            "the logarithm has base 2: nats are asked for.",
            lambda q, p: np.sum(q * (np.log2(q) - np.log2(p))),
        ),
    ),
    hints=(
        "For one state, the surprises are -log p and -log q. Which one minus the other is the extra cost?",
        "How often does each state turn up, and so with which weight does its cost enter the average?",
        "Two arrays are at hand, the logarithm of the quotient and its weights: what do `*` and `np.sum` make of them?",
    ),
    next="Try q = (1/2, 1/2) and p = (1/4, 3/4): the KL is log(2) - log(3)/2, about 0.144.",
    tip=({"q": np.array([0.5, 0.5]), "p": np.array([0.25, 0.75])},),
)

IN_CLASS = (KL_OF_TWO,)
