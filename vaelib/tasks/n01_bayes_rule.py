r"""Exercises to notebook 01: Bayes' rule on a table, in a Gaussian model, and for several observations of one z."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.distributions import Normal
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_noise_variance, generic_probabilities, generic_scale

Rng = np.random.Generator


# ----------------------------------------------------------------------------------------------- a table


def _table(rng: Rng) -> dict[str, Any]:
    prior, likelihood = generic_probabilities(rng, (4,)), generic_probabilities(rng, (4, 3))
    return {"prior": prior, "likelihood": likelihood, "x": int(rng.integers(3))}


def _joint(prior: Any, likelihood: Any, x: int) -> Any:
    return prior * likelihood[:, x]


REPAIRED = Compute(
    id="01.1",
    title="Repair the published rule",
    level="warm-up",
    minutes=6,
    name="posterior",
    rough=True,
    truth=lambda prior, likelihood, x: DiscreteLatent(prior, likelihood).posterior(x).probs,
    examples=(
        {"prior": np.array([0.5, 0.5]), "likelihood": np.array([[0.9, 0.1], [0.3, 0.7]]), "x": 0},
        {"prior": np.array([0.9, 0.1]), "likelihood": np.array([[0.5, 0.5], [0.1, 0.9]]), "x": 1},
        {"prior": np.array([0.8, 0.2]), "likelihood": np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]), "x": 2},
    ),
    draw=_table,
    rules=(
        Rule("A probability is never negative. One of yours is.", lambda value, **_: bool(np.all(value >= 0))),
        Rule(
            "Over all z, probabilities add up to 1. Yours do not.", lambda value, **_: bool(abs(value.sum() - 1) < 1e-6)
        ),
    ),
    mistakes=(
        Mistake(
            "as published",
            "the rule as printed: the prior is missing, and the numbers do not add up to 1 over z.",
            lambda prior, likelihood, x: likelihood[:, x] / (prior @ likelihood[:, x]),
            real="a published note: p(z|x) = p(x|z) / p(x)",
        ),
        Mistake(
            "likelihood, rescaled",
            "the likelihood was rescaled to 1 by force: every z was then taken to be equally common.",
            lambda prior, likelihood, x: likelihood[:, x] / likelihood[:, x].sum(),
        ),
        Mistake(
            "joint",
            "the joint p(x, z) was returned: over z it adds up to p(x), not to 1.",
            _joint,
        ),
        Mistake(
            "evidence without the prior",
            "p(x) was summed without the prior: each z counts there as often as it occurs.",
            lambda prior, likelihood, x: _joint(prior, likelihood, x) / likelihood[:, x].sum(),
        ),
        Mistake(
            "the condition the other way round",
            "p(x|z) came back: the share of x among those with z. Asked was the other way round.",
            lambda prior, likelihood, x: likelihood[:, x],
        ),
    ),
    hints=(
        "Add up over z what the published rule gives: what should come out, whatever the table holds?",
        "How common is each z before anything is seen? Where in the published rule does that enter?",
        "Which two numbers multiply to p(x, z)? And what do these products add up to over z?",
    ),
    next="Take priors 0.9 and 0.1, with shares 0.5 and 0.9 of x: of 1,000 cases, how many have which z and show x?",
    tip=({"prior": np.array([0.9, 0.1]), "likelihood": np.array([[0.5, 0.5], [0.1, 0.9]]), "x": 1},),
    forbidden=("table",),
)


# ------------------------------------------------------------------- several observations, one after the other


def _observations(rng: Rng) -> dict[str, Any]:
    """x_i = w z + b + noise, with one z for all of them."""
    slope, offset = float(away_from_zero(rng, 0.4, 1.6)), float(away_from_zero(rng, 0.4, 1.5))
    c = generic_noise_variance(rng)
    loc, scale = float(away_from_zero(rng, 0.4, 1.5)), float(generic_scale(rng))
    z = loc + scale * rng.standard_normal()
    x = slope * z + offset + np.sqrt(c) * rng.standard_normal(int(rng.integers(3, 6)))
    return {"x": x, "slope": slope, "offset": offset, "noise_variance": c, "prior_loc": loc, "prior_scale": scale}


def _stacked(x: Any, slope: Any, offset: Any, noise_variance: Any, prior_loc: Any, prior_scale: Any) -> LinearGaussian:
    """All observations as one vector, with z = prior_loc + prior_scale u and u ~ N(0, 1)."""
    ones = np.ones(len(x))
    return LinearGaussian(slope * prior_scale * ones[:, None], (offset + slope * prior_loc) * ones, noise_variance)


def _after_all(**given: Any) -> Any:
    """By the package: the posterior of u, carried over to z."""
    law, loc, scale = _stacked(**given).posterior(given["x"]), given["prior_loc"], given["prior_scale"]
    return np.array([loc + scale * law.loc[0], scale * np.sqrt(law.covariance[0, 0])])


def _by_precisions(given: dict[str, Any], priors: float = 1.0, count: float | None = None) -> Any:
    """Mean and deviation where the prior counts `priors` times and the mean of x counts `count` times."""
    pull, residuals = given["slope"] / given["noise_variance"], given["x"] - given["offset"]
    count = len(residuals) if count is None else count
    own = priors / given["prior_scale"] ** 2
    precision = own + count * given["slope"] * pull
    return np.array([(own * given["prior_loc"] + count * pull * residuals.mean()) / precision, precision**-0.5])


STANDARD = {"slope": 1.0, "offset": 0.0, "noise_variance": 1.0}

AFTER_ALL = Compute(
    id="01.2",
    title="One observation after the other",
    level="core",
    minutes=12,
    name="after_all",
    rough=True,
    truth=_after_all,
    examples=(
        {"x": np.array([2.0]), **STANDARD, "prior_loc": 0.0, "prior_scale": 1.0},
        {"x": np.array([2.0, 1.0]), **STANDARD, "prior_loc": 0.0, "prior_scale": 1.0},
        {"x": np.array([2.0, -1.0])}
        | {"slope": 2.0, "offset": 1.0, "noise_variance": 0.5, "prior_loc": 3.0, "prior_scale": 2.0},
    ),
    draw=_observations,
    rules=(
        Rule(
            "An observation takes uncertainty away: after it the deviation is below prior_scale. Yours is not.",
            lambda value, prior_scale, **_: bool(0 < value[1] < prior_scale),
        ),
    ),
    mistakes=(
        Mistake(
            "prior counted again and again",
            "the prior was counted once for each observation: yesterday's posterior holds it already.",
            lambda **given: _by_precisions(given, priors=len(given["x"])),
        ),
        Mistake(
            "c squared",
            "noise_variance was squared: it is the variance already.",
            lambda **given: _by_precisions(given | {"noise_variance": given["noise_variance"] ** 2}),
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "variance of the prior not squared",
            "prior_scale was taken for the prior's variance: it is the standard deviation.",
            lambda **given: _by_precisions(given | {"prior_scale": np.sqrt(given["prior_scale"])}),
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "variance returned",
            "the second number is a variance: the standard deviation was asked.",
            lambda **given: _after_all(**given) ** np.array([1, 2]),
        ),
        Mistake(
            "precision returned",
            "the second number is a precision: one over the variance, not the standard deviation.",
            lambda **given: _after_all(**given) ** np.array([1, -2]),
        ),
        Mistake(
            "no offset",
            "the offset was not subtracted: z explains only how x differs from b.",
            lambda **given: _by_precisions(given | {"offset": 0.0}),
        ),
        Mistake(
            "no prior",
            "the prior is missing: this is least squares, which is not pulled towards prior_loc.",
            lambda **given: _by_precisions(given, priors=0.0),
        ),
        Mistake(
            "prior mean at zero",
            "the prior was centered at zero: here its mean is prior_loc.",
            lambda **given: _by_precisions(given | {"prior_loc": 0.0}),
        ),
        Mistake(
            "the mean counted once",
            "the observations were averaged and counted as one: each of them adds to the precision.",
            lambda **given: _by_precisions(given, count=1),
        ),
    ),
    hints=(
        "One observation first: which two precisions add up, and what does each pull the mean towards?",
        "The posterior is Gaussian again. Which role does it play when the next observation comes?",
        "Complete the square in z: what is the factor of z^2, what that of z, and how do mean and width follow?",
    ),
    next="Take x = (3, 5), slope 2, offset 1, c = 1/2, m0 = 1, s0 = 1/2: the mean is 7/5, the variance 1/20.",
    tip=(
        {
            "x": np.array([3.0, 5.0]),
            "slope": 2.0,
            "offset": 1.0,
            "noise_variance": 0.5,
            "prior_loc": 1.0,
            "prior_scale": 0.5,
        },
    ),
    forbidden=("linear",),
)


# --------------------------------------------------------------------------------------------------- one z for all


def _together(x: Any, slope: Any, offset: Any, noise_variance: Any) -> Any:
    return _stacked(x, slope, offset, noise_variance, 0.0, 1.0).log_evidence(x)


def _one_by_one(
    x: Any, slope: Any, offset: Any, noise_variance: Any, noise: float = 1.0, learn: bool = True, late: bool = False
) -> Any:
    """sum_i log p(x_i | those before): what is known about z, carried along.

    noise: how much of the noise a prediction counts. learn: is z updated? late: before it predicts?
    """
    total, loc, precision = 0.0, 0.0, 1.0
    for value in x:
        before = loc, precision
        if learn:
            pulled = precision * loc + slope * (value - offset) / noise_variance
            precision = precision + slope**2 / noise_variance
            loc = pulled / precision
        known, sharp = (loc, precision) if late else before
        variance = slope**2 / sharp + noise * noise_variance
        total = total + Normal(slope * known + offset, np.sqrt(variance)).log_prob(value)
    return total


def _best_z(x: Any, slope: Any, offset: Any, noise_variance: Any) -> Any:
    """log p(x_1, ..., x_N | z) at the posterior mean."""
    z = _after_all(x=x, slope=slope, offset=offset, noise_variance=noise_variance, prior_loc=0.0, prior_scale=1.0)[0]
    return Normal(slope * z + offset, np.sqrt(noise_variance)).log_prob(x).sum()


def _same_z(rng: Rng) -> dict[str, Any]:
    given = _observations(rng)
    return {name: given[name] for name in ("x", "slope", "offset", "noise_variance")}


TOGETHER = Compute(
    id="01.3",
    title="One z for all",
    level="stretch",
    minutes=15,
    name="log_density_together",
    rough=True,
    truth=_together,
    examples=(
        {"x": np.array([1.0]), **STANDARD},
        {"x": np.array([1.0, 1.0]), **STANDARD},
        {"x": np.array([1.0, 2.0]), "slope": 2.0, "offset": 1.0, "noise_variance": 0.5},
    ),
    draw=_same_z,
    mistakes=(
        Mistake(
            "independence",
            "single log-densities were added: but these x share z, and one tells about another.",
            lambda **given: _one_by_one(**given, learn=False),
            real="a published note: the product, without the word independent",
        ),
        Mistake(
            "prediction without noise",
            "a prediction counts only how uncertain z is: the noise of the next x adds to it.",
            lambda **given: _one_by_one(**given, noise=0.0),
        ),
        Mistake(
            "updated before predicting",
            "each x was predicted by a posterior that has seen it: predict first, then update.",
            lambda **given: _one_by_one(**given, late=True),
        ),
        Mistake(
            "one z put in",
            "the posterior mean was put in for z: a density of x averages over every z.",
            _best_z,
            real="a published note: compute z given x, as if it were one number",
        ),
        Mistake(
            "c squared",
            "noise_variance was squared: it is the variance already.",
            lambda x, slope, offset, noise_variance: _together(x, slope, offset, noise_variance**2),
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "mean for sum",
            "a mean over the observations was taken: one number was asked for all of them together.",
            lambda **given: _together(**given) / len(given["x"]),
        ),
        Mistake(
            "no offset",
            "the offset was not subtracted: the mean of x is b, since the prior's mean is 0.",
            lambda **given: _together(**given | {"offset": 0.0}),
        ),
    ),
    hints=(
        "Are two observations of the same z independent? What does x_1 tell about x_2, and through what?",
        "p(x_1, x_2) = p(x_1) p(x_2|x_1): what is known about z when x_2 is to be predicted?",
        "What are mean, variances and covariances of x_1, ..., x_N? The noises are independent: what is shared?",
    ),
    next="Take x = (1, 2), slope 2, offset 1, c = 1/2: which means and which 2 by 2 covariance have x_1 and x_2?",
    tip=({"x": np.array([1.0, 2.0]), "slope": 2.0, "offset": 1.0, "noise_variance": 0.5},),
    forbidden=("linear",),
)

TASKS = (REPAIRED, AFTER_ALL, TOGETHER)
