r"""Exercises to notebook 06: EM as two half-steps up one bound."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.em import GaussianMixture, mixture_e_step, mixture_m_step
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_noise_variance, generic_probabilities, generic_scale

Array = np.ndarray
Rng = np.random.Generator

# ------------------------------------------------------------------------------------- the bound after an E step, 06.1


def _bound(joint: Array, q: Array, entropy: float = 1.0) -> float:
    return float(q @ np.log(joint) - entropy * q @ np.log(q))


def _evidence(joint: Array) -> float:
    return float(np.log(joint.sum()))


def _one_observation(rng: Rng) -> dict[str, Any]:
    joint = float(rng.uniform(0.05, 0.4)) * generic_probabilities(rng, (3,))
    return {"joint": joint, "q": generic_probabilities(rng, (3,))}


AFTER_AN_E_STEP = Compute(
    id="06.1",
    title="The bound after an E step",
    level="warm-up",
    minutes=4,
    name="bound_after",
    rough=True,
    truth=lambda joint, q: _evidence(joint),
    examples=(
        {"joint": np.array([0.02, 0.06]), "q": np.array([0.5, 0.5])},
        {"joint": np.array([0.1, 0.05, 0.25]), "q": np.array([0.2, 0.5, 0.3])},
    ),
    draw=_one_observation,
    rules=(
        Rule(
            "An E step never lowers the bound: yours ends below E_q[log p(x, z)] + H(q), where it began.",
            lambda value, joint, q: bool(value >= _bound(joint, q) - 1e-9),
        ),
    ),
    mistakes=(
        Mistake(
            "the bound from before",
            "the bound for the old q: the E step moves q, and the bound rises.",
            _bound,
        ),
        Mistake(
            "the likeliest state, for certain",
            "all of q was put on the likeliest state: the posterior leaves some for the others.",
            lambda joint, q: np.log(joint.max()),
        ),
        Mistake(
            "no entropy",
            "E_q[log p(x, z)] alone: the entropy of q belongs to the bound, too.",
            lambda joint, q: _bound(joint, joint / joint.sum(), entropy=0.0),
        ),
        Mistake(
            "entropy subtracted",
            "the entropy was subtracted: H(q) = -E_q[log q] is added to E_q[log p(x, z)].",
            lambda joint, q: _bound(joint, joint / joint.sum(), entropy=-1.0),
        ),
        Mistake(
            "the rise",
            "the amount by which the bound rises; asked is where it ends.",
            lambda joint, q: _evidence(joint) - _bound(joint, q),
        ),
        Mistake(
            "no logarithm",
            "a probability: the bound is a logarithm, in nats.",
            lambda joint, q: joint.sum(),
        ),
        Mistake(
            "mean over z for the sum",
            "the joint was averaged over z: a marginal is its sum.",
            lambda joint, q: np.log(joint.mean()),
        ),
        Mistake(
            "minus the bound",
            "the sign is turned: this is the free energy, minus the bound.",
            lambda joint, q: -_evidence(joint),
        ),
    ),
    hints=(
        "Which q does an E step choose, and how large is the gap for that q?",
        "If there is no gap, which number does the bound equal? Does it still depend on q?",
        "How does one get p(x) from the numbers p(x, z)? And what is its logarithm?",
    ),
    next="Write evidence = bound + gap for p(x, z) = (1/8, 3/8), q = (1/2, 1/2): which of the three moves?",
    tip=({"joint": np.array([0.125, 0.375]), "q": np.array([0.5, 0.5])},),
)

# --------------------------------------------------------------------------------------------- find the slip, 06.2

WHICH_LINE = Compute(
    id="06.2",
    title="An E step that any q would pass",
    level="warm-up",
    minutes=5,
    name="broken_line",
    truth="c",
    choices=tuple("abcde"),
    mistakes=(
        Mistake(
            "the mean of a constant",
            "line A was blamed: log p(x) has no z, so its mean under any q is itself.",
            "a",
            next="Line A is true. Ask what it says about q.",
        ),
        Mistake(
            "Bayes' rule",
            "line B was blamed: log p(x) = log p(x, z) - log p(z|x) at every z, so in the mean as well.",
            "b",
            next="Line B is true. Is there a q inside a logarithm?",
        ),
        Mistake(
            "the M step",
            "the M step was blamed: H(q) has no theta, so raising E_q[log p(x, z)] raises F.",
            "d",
            next="Line D is true for any fixed q. What does it start from?",
        ),
        Mistake(
            "the conclusion",
            "the conclusion was blamed: it follows from the lines above it, one of which is false.",
            "e",
            next="Line E needs that bound and evidence touch. Who said that they do?",
        ),
    ),
    hints=(
        "Which of the lines can be checked with numbers, for a q of your choice?",
        "In line B, what is in the second logarithm? What is there in the bound F?",
        "Take a q that ignores x: which of the equations can you still believe?",
    ),
    next="Try each line on a q that is clearly not the posterior.",
)

# ------------------------------------------------------------------------------------------------------ E step, 06.3


def _soft(
    x: Array, weights: Array, loc: Array, scale: Array, *, prior: float = 1.0, volume: float | None = None
) -> Array:
    """log weights_k + log N(x_i; loc_k, scale_k^2 I) up to a constant, (N, K); the keywords make mistakes."""
    square = np.sum((x[:, None, :] - loc) ** 2, axis=2)
    power = x.shape[1] if volume is None else volume
    return prior * np.log(weights) - power * np.log(scale) - square / (2 * scale**2)


def _normalized(scores: Array, axis: int = 1) -> Array:
    return np.asarray(np.exp(scores - logsumexp(scores, axis=axis, keepdims=True)))


def _mixture(rng: Rng) -> dict[str, Any]:
    loc = np.array([[-1.5, 0.4], [1.2, 1.6], [0.8, -1.7]]) + rng.uniform(-0.4, 0.4, (3, 2))
    weights, scale = generic_probabilities(rng, (3,)), generic_scale(rng, (3,))
    _, x = GaussianMixture(weights, loc, scale).sample(5, rng=rng)
    return {"x": x, "weights": weights, "loc": loc, "scale": scale}


E_STEP = Compute(
    id="06.3",
    title="One E step of a mixture",
    level="core",
    minutes=10,
    name="e_step",
    rough=True,
    truth=lambda x, weights, loc, scale: mixture_e_step(GaussianMixture(weights, loc, scale), x),
    examples=(
        {
            "x": np.array([[0.5]]),
            "weights": np.array([0.5, 0.5]),
            "loc": np.array([[-1.0], [1.0]]),
            "scale": np.array([1.0, 1.0]),
        },
        {
            "x": np.array([[0.5]]),
            "weights": np.array([0.2, 0.8]),
            "loc": np.array([[-1.0], [1.0]]),
            "scale": np.array([2.0, 0.5]),
        },
        {  # narrow: the densities are 0 in double precision
            "x": np.array([[0.4], [0.9]]),
            "weights": np.array([0.3, 0.7]),
            "loc": np.array([[0.0], [1.0]]),
            "scale": np.array([1e-3, 2e-3]),
        },
    ),
    draw=_mixture,
    rules=(
        Rule(
            "Each row is a distribution over the clusters: its entries are not negative and sum to one.",
            lambda value, **_: bool(np.all(value >= 0) and np.allclose(value.sum(axis=1), 1, atol=1e-3)),
        ),
    ),
    mistakes=(
        Mistake(
            "no weights",
            "p(x|z) was normalized by itself: Bayes' rule multiplies it by the weight p(z) first.",
            lambda **w: _normalized(_soft(**w, prior=0.0)),
        ),
        Mistake(
            "no normalizer of the Gaussian",
            "exp(-|x - loc|^2 / 2 scale^2) was taken for the density: its normalizer differs by cluster.",
            lambda **w: _normalized(_soft(**w, volume=0.0)),
        ),
        Mistake(
            "scale once, not d times",
            "the Gaussian was divided by its scale once: in d dimensions it is divided d times.",
            lambda **w: _normalized(_soft(**w, volume=1.0)),
        ),
        Mistake(
            "scale for variance",
            "the scales were taken for variances: here scale is the standard deviation.",
            lambda x, weights, loc, scale: _normalized(_soft(x, weights, loc, np.sqrt(scale))),
            real="several public repositories",
        ),
        Mistake(
            "normalized over the examples",
            "the columns sum to one: it is the clusters that share an example, so the rows do.",
            lambda **w: _normalized(_soft(**w), axis=0),
        ),
        Mistake(
            "hard assignments",
            "each example went to its likeliest cluster alone: that is k-means, not the posterior.",
            lambda weights, **w: np.eye(len(weights))[_soft(weights=weights, **w).argmax(axis=1)],
        ),
        Mistake(
            "the joint, not normalized",
            "p(x, z): divide by p(x), its sum over the clusters.",
            lambda x, **w: np.exp(_soft(x, **w) - x.shape[1] / 2 * np.log(2 * np.pi)),
        ),
        Mistake(
            "one half missing",
            "the factor 1/2 is missing in the Gaussian's exponent.",
            lambda x, weights, loc, scale: _normalized(
                _soft(x, weights, loc, scale / np.sqrt(2)),
            ),
        ),
    ),
    hints=(
        "Which rule gives p(z | x) from p(z) and p(x | z)? What does it divide by?",
        "Which factors of a Gaussian's density depend on the cluster, and so do not cancel?",
        "With logarithms: what may be subtracted from a whole row before the exponential, and why is its maximum good?",
    ),
    next="Take x = (0, 0), weights 1/5 and 4/5, centers (1, 1) and (0, 0), scales 1 and 2: e^-1 to 1, by hand.",
    tip=(
        {
            "x": np.array([[0.0, 0.0]]),
            "weights": np.array([0.2, 0.8]),
            "loc": np.array([[1.0, 1.0], [0.0, 0.0]]),
            "scale": np.array([1.0, 2.0]),
        },
    ),
    forbidden=("mixture",),
)

# ------------------------------------------------------------------------------------------------------ M step, 06.4


def _table(x: Array, responsibilities: Array) -> Array:
    new = mixture_m_step(x, responsibilities)
    return np.column_stack([new.weights, new.loc, new.scale**2])


def _means(x: Array, r: Array) -> Array:
    return np.asarray(r.T @ x / r.sum(axis=0)[:, None])


def _variances(x: Array, r: Array, around: Array) -> Array:
    square = np.sum((x[:, None, :] - around) ** 2, axis=2)
    return np.asarray(np.sum(r * square, axis=0) / (x.shape[1] * r.sum(axis=0)))


def _rows(x: Array, r: Array, *, weights: Any = None, loc: Any = None, variance: Any = None) -> Array:
    """The table; parts that are given replace the right ones."""
    loc = _means(x, r) if loc is None else loc
    variance = _variances(x, r, loc) if variance is None else variance
    return np.column_stack([r.mean(axis=0) if weights is None else weights, loc, variance])


def _all_by_n(x: Array, responsibilities: Array) -> Array:
    """Every sum divided by N."""
    loc = responsibilities.T @ x / len(x)
    variance = _variances(x, responsibilities, loc) * responsibilities.mean(axis=0)
    return _rows(x, responsibilities, loc=loc, variance=variance)


def _right_variance(x: Array, r: Array) -> Array:
    return _variances(x, r, _means(x, r))


def _points(rng: Rng) -> dict[str, Any]:
    r = np.sort(generic_probabilities(rng, (7, 2)), axis=1)
    r[::2] = r[::2, ::-1]  # both clusters are the likelier one of several points
    return {"x": away_from_zero(rng, 0.3, 2.0, (7, 3)), "responsibilities": r}


M_STEP = Compute(
    id="06.4",
    title="One M step of a mixture",
    level="core",
    minutes=12,
    name="m_step",
    rough=True,
    truth=_table,
    examples=(
        {
            "x": np.array([[0.0], [2.0], [5.0], [8.0], [8.0]]),
            "responsibilities": np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]),
        },
        {
            "x": np.array([[0.0, 1.0], [2.0, 0.0], [5.0, 3.0]]),
            "responsibilities": np.array([[0.9, 0.1], [0.75, 0.25], [0.2, 0.8]]),
        },
    ),
    draw=_points,
    rules=(
        Rule("The weights, in column 0, sum to one.", lambda value, **_: bool(abs(value[:, 0].sum() - 1) < 1e-3)),
        Rule("A variance, in the last column, is never negative.", lambda value, **_: bool(np.all(value[:, -1] >= 0))),
    ),
    mistakes=(
        Mistake(
            "variance not divided by d",
            "the squared distance was summed over the d coordinates, but not divided by d.",
            lambda x, responsibilities: _rows(
                x, responsibilities, variance=x.shape[1] * _right_variance(x, responsibilities)
            ),
        ),
        Mistake(
            "scale for variance",
            "the last column is the standard deviation: asked is the variance.",
            lambda x, responsibilities: _rows(
                x, responsibilities, variance=np.sqrt(_right_variance(x, responsibilities))
            ),
        ),
        Mistake(
            "all divided by N",
            "means and variances were divided by N: a cluster's own total is N_k.",
            _all_by_n,
        ),
        Mistake(
            "means divided by N",
            "the means were divided by all N points: a cluster's own total is N_k.",
            lambda x, responsibilities: _rows(x, responsibilities, loc=responsibilities.T @ x / len(x)),
        ),
        Mistake(
            "hard assignments",
            "each point was counted for its likeliest cluster alone: that is k-means.",
            lambda x, responsibilities: _rows(x, np.eye(2)[responsibilities.argmax(axis=1)]),
        ),
        Mistake(
            "equal weights",
            "the weights stayed equal: they are the shares N_k / N.",
            lambda x, responsibilities: _rows(x, responsibilities, weights=np.full(2, 0.5)),
        ),
        Mistake(
            "counts for weights",
            "the weights are the counts N_k: they have to sum to one.",
            lambda x, responsibilities: _rows(x, responsibilities, weights=responsibilities.sum(axis=0)),
        ),
        Mistake(
            "unbiased variance",
            "the sums were divided by N_k - 1, not N_k: unbiased, but not the maximum.",
            lambda x, responsibilities: _rows(
                x,
                responsibilities,
                variance=_right_variance(x, responsibilities) / (1 - 1 / responsibilities.sum(axis=0)),
            ),
        ),
        Mistake(
            "variance around the common mean",
            "the spread was taken around the mean of all points: each cluster has its own mean.",
            lambda x, responsibilities: _rows(
                x, responsibilities, variance=_variances(x, responsibilities, x.mean(axis=0))
            ),
        ),
    ),
    hints=(
        "If the responsibilities were zeros and ones, what would the best weight, mean and variance of a cluster be?",
        "With fractions, how many points does cluster k own in total, and which sums must be divided by that?",
        "How many squared numbers enter the variance of a round cluster in d dimensions?",
    ),
    next="Take x = (0, 0), (4, 2) with shares (3/4, 1/4), (1/2, 1/2), and work out one cluster by hand.",
    tip=({"x": np.array([[0.0, 0.0], [4.0, 2.0]]), "responsibilities": np.array([[0.75, 0.25], [0.5, 0.5]])},),
    forbidden=("mixture",),
)

# ---------------------------------------------------------------------------------------- what a search may drop, 06.5


def _tops(x: float, theta: float, loc: float, loading: float, noise_variance: float) -> Array:
    """Over loc with theta fixed, over theta with loc fixed; each for F and for -KL."""
    total = loading**2 + noise_variance
    posterior_mean = loading * (x - theta) / total
    return np.array([[posterior_mean, posterior_mean], [x - loading * loc, x - loc * total / loading]])


def _no_prior(x: float, theta: float, loc: float, loading: float, noise_variance: float) -> Array:
    """As if p(z) were flat: p(z | x) = N((x - theta) / loading, noise_variance / loading^2)."""
    return _tops(x, theta, loc, loading, 0.0)


def _one_theta(column: int) -> Any:
    """Both tops over theta at the one of this column."""

    def value(**w: float) -> Array:
        tops = _tops(**w)
        tops[1] = tops[1, column]
        return tops

    return value


def _evidence_for_the_bound(**w: float) -> Array:
    tops = _tops(**w)
    tops[1, 0] = w["x"]
    return tops


def _loading_added(**w: float) -> Array:
    tops = _tops(**w)
    tops[1] = 2 * w["x"] - tops[1]
    return tops


def _small_model(rng: Rng) -> dict[str, Any]:
    return {
        "x": float(away_from_zero(rng, 1.2, 3.0)),
        "theta": float(away_from_zero(rng, 0.3, 1.1)),
        "loc": float(away_from_zero(rng, 0.3, 0.9)),
        "loading": float(away_from_zero(rng, 0.4, 1.6)),
        "noise_variance": generic_noise_variance(rng),
    }


TWO_SEARCHES = Compute(
    id="06.5",
    title="What a search may drop",
    level="stretch",
    minutes=15,
    name="tops",
    rough=True,
    truth=_tops,
    examples=(
        {"x": 2.0, "theta": 0.0, "loc": 0.5, "loading": 1.0, "noise_variance": 1.0},
        {"x": 1.0, "theta": -1.0, "loc": 0.5, "loading": 2.0, "noise_variance": 0.5},
    ),
    draw=_small_model,
    mistakes=(
        Mistake(
            "log p(x) dropped over theta",
            "log p(x) was dropped over theta, too: there it moves, and shifts the top of F.",
            _one_theta(1),
        ),
        Mistake(
            "one top for both over theta",
            "-KL was given the top of F over theta: the two differ by log p(x), which moves with theta.",
            _one_theta(0),
        ),
        Mistake(
            "the prior left out",
            "the prior of z was left out: it pulls the posterior mean toward 0.",
            _no_prior,
        ),
        Mistake(
            "noise variance squared",
            "noise_variance was squared: it is a variance already.",
            lambda noise_variance, **w: _tops(**w, noise_variance=noise_variance**2),
            real="several public repositories",
        ),
        Mistake(
            "the evidence for the bound",
            "log p(x) was maximized in place of F: in an M step q stays, with its mean loc.",
            _evidence_for_the_bound,
        ),
        Mistake(
            "columns swapped",
            "the columns are swapped: F first, then -KL.",
            lambda **w: _tops(**w)[:, ::-1],
        ),
        Mistake(
            "rows and columns swapped",
            "the table is transposed: a row is a search, over loc and then over theta.",
            lambda **w: _tops(**w).T,
        ),
        Mistake(
            "sign of the loading",
            "loading * loc was added: theta is what is left of x after that.",
            _loading_added,
        ),
    ),
    hints=(
        "What is p(z | x) in this model, its mean and its variance? Which q makes the KL smallest?",
        "Over theta, which terms of E_q[log p(x, z)] contain theta at all? Where is their square smallest?",
        "For -KL, the mean of the posterior moves with theta. Which theta brings it to the mean of q?",
    ),
    next="Take x = 2, theta = 0, m = 1/2, w = 2, c = 1/2: write F as a function of m, then theta. Where is each top?",
    tip=({"x": 2.0, "theta": 0.0, "loc": 0.5, "loading": 2.0, "noise_variance": 0.5},),
    forbidden=("linear", "kl"),
)

TASKS = (AFTER_AN_E_STEP, WHICH_LINE, E_STEP, M_STEP, TWO_SEARCHES)
