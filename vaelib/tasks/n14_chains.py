r"""Exercises to notebook 14: chains of latents, one step back, its weight in the bound, and a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaelib.formula import Scope
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_probabilities

Array = np.ndarray
Rng = np.random.Generator


def _kept(rng: Rng) -> tuple[float, float]:
    """What one step keeps of the variance, and what the steps before have kept: neither near 1/2 nor like the other."""
    alpha, before = rng.permutation([rng.uniform(0.25, 0.42), rng.uniform(0.62, 0.85)])
    return float(alpha), float(before)


# ------------------------------------------------------------------------------------------------ one step back, 14.1


def _back(x_t: Any, x_0: Any, alpha: Any, before: Any) -> Array:
    precision = alpha / (1 - alpha) + 1 / (1 - before)
    mean = (np.sqrt(alpha) * x_t / (1 - alpha) + np.sqrt(before) * x_0 / (1 - before)) / precision
    return np.array([mean, 1 / precision])


def _ends(rng: Rng) -> dict[str, Any]:
    alpha, before = _kept(rng)
    x_t, x_0 = map(float, away_from_zero(rng, 0.3, 1.8, (2,)))
    return {"x_t": x_t, "x_0": x_0, "alpha": alpha, "before": before}


def _other_row(index: int, change: Callable[..., Any]) -> Callable[..., Array]:
    """The right answer with one of its numbers replaced."""

    def value(**w: Any) -> Array:
        answer = _back(**w)
        answer[index] = change(answer, **w)
        return answer

    return value


def _without_alpha(towards: Callable[..., Any]) -> Callable[..., Array]:
    """Both numbers if x_t gives the precision 1/(1 - alpha), and pulls towards `towards` with it."""

    def value(x_t: Any, x_0: Any, alpha: Any, before: Any) -> Array:
        precision = 1 / (1 - alpha) + 1 / (1 - before)
        pull = towards(x_t, alpha) / (1 - alpha) + np.sqrt(before) * x_0 / (1 - before)
        return np.array([pull / precision, 1 / precision])

    return value


ONE_STEP_BACK = Compute(
    id="14.1",
    title="One step back, if both ends are known",
    level="core",
    minutes=12,
    name="step_back",
    rough=True,
    truth=_back,
    examples=(
        {"x_t": 0.0, "x_0": 1.0, "alpha": 0.64, "before": 0.36},
        {"x_t": 1.0, "x_0": 0.0, "alpha": 0.64, "before": 0.36},
        {"x_t": 1.0, "x_0": 2.0, "alpha": 0.81, "before": 0.25},
    ),
    draw=_ends,
    rules=(
        Rule(
            "Knowing x_t narrows: the variance lies above 0 and below the 1 - before that it had without x_t.",
            lambda value, before, **_: bool(0 < value[1] < 1 - before),
        ),
    ),
    mistakes=(
        Mistake(
            "variance of the step forward",
            "the variance is that of the step forward, 1 - alpha: x_0 is known as well.",
            _other_row(1, lambda answer, alpha, **_: 1 - alpha),
        ),
        Mistake(
            "standard deviation for variance",
            "the second number is a standard deviation: asked is the variance.",
            _other_row(1, lambda answer, **_: np.sqrt(answer[1])),
        ),
        Mistake(
            "precision for variance",
            "the second number is the precision: one over it is asked.",
            _other_row(1, lambda answer, **_: 1 / answer[1]),
        ),
        Mistake(
            "x_0 alone",
            "x_t was not used: the mean is that of a step forward from x_0.",
            _other_row(0, lambda answer, x_0, before, **_: np.sqrt(before) * x_0),
        ),
        Mistake(
            "x_t scaled back",
            "x_t was divided by the root of alpha: that undoes the shrinking, and knows nothing of x_0.",
            _other_row(0, lambda answer, x_t, alpha, **_: x_t / np.sqrt(alpha)),
        ),
        Mistake(
            "roots forgotten",
            "alpha and before multiply x in the mean: the chain multiplies x by their roots.",
            _other_row(
                0,
                lambda answer, x_t, x_0, alpha, before: (
                    answer[1] * (alpha * x_t / (1 - alpha) + before * x_0 / (1 - before))
                ),
            ),
        ),
        Mistake(
            "precisions of the two ends swapped",
            "the weights of the two ends are swapped: each end pulls with its own precision.",
            _other_row(
                0,
                lambda answer, x_t, x_0, alpha, before: (
                    answer[1] * (np.sqrt(alpha) * x_t / (1 - before) + np.sqrt(before) * x_0 / (1 - alpha))
                ),
            ),
        ),
        Mistake(
            "precision without alpha",
            "x_t gave the precision 1/(1 - alpha): it holds sqrt(alpha) x_{t-1}, which makes it alpha/(1 - alpha).",
            _without_alpha(lambda x_t, alpha: np.sqrt(alpha) * x_t),
        ),
        Mistake(
            "x_t for x_{t-1} plus noise",
            "x_t was taken for x_{t-1} plus noise: it is sqrt(alpha) x_{t-1} plus noise.",
            _without_alpha(lambda x_t, alpha: x_t),
        ),
        Mistake(
            "x_t scaled back, its noise not",
            "x_t was divided by sqrt(alpha) and its noise was not: divided, that has the variance (1 - alpha)/alpha.",
            _without_alpha(lambda x_t, alpha: x_t / np.sqrt(alpha)),
        ),
        Mistake(
            "the product up to t for the one before",
            "`before` was multiplied by alpha: it is the product of the steps before, as it is given.",
            lambda before, alpha, **w: _back(**w, alpha=alpha, before=alpha * before),
        ),
    ),
    hints=(
        "Which two densities, both steps forward, does Bayes' rule multiply here? Both are bells in x_{t-1}.",
        "What is the factor of the square of x_{t-1} in each exponent? What do two bells do when they are multiplied?",
        "Each end gives a precision and a pull. How does the mean follow from the sum of the pulls?",
    ),
    next="Take alpha = 3/4, before = 1/4: the precisions are 3 and 4/3. Which numbers come out at x_t = 1, x_0 = 2?",
    tip=({"x_t": 1.0, "x_0": 2.0, "alpha": 0.75, "before": 0.25},),
)


# ------------------------------------------------------------------------------ what an error in the noise weighs, 14.2


def _weight(alpha: Any, before: Any) -> Any:
    return (1 - alpha) / (2 * alpha * (1 - before))


def _steps(rng: Rng) -> dict[str, Any]:
    return dict(zip(("alpha", "before"), _kept(rng), strict=True))


def _names(alpha: float, before: float) -> Scope:
    names = {r"\alpha_t": alpha, r"\bar\alpha_{t-1}": before, r"\bar\alpha_t": alpha * before}
    return Scope({**names, r"\beta_t": 1 - alpha})  # as many write it


NOISE_WEIGHT = Compute(
    id="14.2",
    title="What an error in the noise weighs in the bound",
    level="core",
    minutes=12,
    name="noise_weight",
    rough=True,
    truth=_weight,
    examples=(
        {"alpha": 0.5, "before": 0.5},
        {"alpha": 0.8, "before": 0.5},
        {"alpha": 0.5, "before": 0.2},
    ),
    draw=_steps,
    typeset=_names,
    rules=(
        Rule(
            "A KL is never negative, and neither is the weight of a squared error in it.",
            lambda value, **_: bool(np.all(value >= 0)),
        ),
    ),
    mistakes=(
        Mistake(
            "weight of x_0",
            "this is the weight of a squared error in x_0: one in the noise is another.",
            lambda alpha, before: 0.5 * (before / (1 - before) - alpha * before / (1 - alpha * before)),
        ),
        Mistake(
            "factor upside down",
            "the weight of x_0 was divided by (1 - product)/product: a small error in the noise is a large one in x_0.",
            lambda alpha, before: _weight(alpha, before) * (alpha * before / (1 - alpha * before)) ** 2,
        ),
        Mistake(
            "no one half",
            "the 1/2 is missing: two bells of one width differ by half the square, in units of the variance.",
            lambda alpha, before: 2 * _weight(alpha, before),
        ),
        Mistake(
            "every weight is one",
            "each step counts the same: many train this way, and it is no longer the bound in nats.",
            lambda alpha, before: 1.0,
        ),
        Mistake(
            "product up to t",
            "1 less the product up to t is in the denominator: right if p had variance 1 - alpha_t; it has that of q.",
            lambda alpha, before: (1 - alpha) / (2 * alpha * (1 - alpha * before)),
        ),
        Mistake(
            "alpha forgotten",
            "the alpha in the denominator is missing: the mean is divided by its root.",
            lambda alpha, before: (1 - alpha) / (2 * (1 - before)),
        ),
    ),
    hints=(
        "What is the KL of two Gaussians that differ in the mean alone? Which variance do both have here?",
        "By how much do the two means differ, if the guesses at x_0 differ by some d? And what is d, in the noise?",
        "Half a difference of signal-to-noise ratios, before and after the step, times one over the ratio after it?",
    ),
    next="Take alpha = 4/5, before = 1/2: the ratios are 1 before and 2/3 after. Half of 1/3, divided by 2/3, is 1/4.",
    tip=({"alpha": 0.8, "before": 0.5},),
)


# ---------------------------------------------------------------------------------- a denoiser without a network, 14.3


def _parts(
    x_t: Any, kept: float, weights: Any, locs: Any, scales: Any, height: float = 1.0
) -> tuple[Array, Array, Array]:
    """Of each part of the mixture, (B, K): its weight given x_t, the mean of x_0 in it, and the variance of x_t."""
    x_t = np.asarray(x_t)[:, None]
    variance = kept * scales**2 + 1 - kept
    gap = x_t - np.sqrt(kept) * locs
    log_weight = np.log(weights) - 0.5 * height * np.log(variance) - 0.5 * gap**2 / variance
    given = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    mean = locs + np.sqrt(kept) * scales**2 / variance * gap
    return given / given.sum(axis=1, keepdims=True), mean, variance


def _denoised(x_t: Any, kept: float, weights: Any, locs: Any, scales: Any, height: float = 1.0) -> Array:
    given, mean, _ = _parts(x_t, kept, weights, locs, scales, height)
    return np.asarray((given * mean).sum(axis=1))


def _score(**w: Any) -> Array:
    return np.asarray((np.sqrt(w["kept"]) * _denoised(**w) - w["x_t"]) / (1 - w["kept"]))


def _by_score(formula: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong way from x_t, the score s and `kept` to x_0."""
    return lambda **w: formula(np.asarray(w["x_t"]), _score(**w), w["kept"])


def _noisy(rng: Rng, points: int = 5, parts: int = 3) -> dict[str, Any]:
    return {
        "x_t": away_from_zero(rng, 0.3, 1.8, (points,)),
        "kept": float(rng.choice([rng.uniform(0.25, 0.42), rng.uniform(0.6, 0.8)])),
        "weights": generic_probabilities(rng, (parts,)),
        "locs": np.array([-1.6, 0.3, 1.4]) + rng.uniform(-0.2, 0.2, parts),
        "scales": np.exp(-rng.uniform(0.3, 1.2, parts)),
    }


DENOISER = Compute(
    id="14.3",
    title="A denoiser without a network",
    level="stretch",
    minutes=16,
    name="denoise",
    rough=True,
    truth=_denoised,
    examples=(
        {"x_t": np.array([1.0]), "kept": 0.5, "weights": np.ones(1), "locs": np.zeros(1), "scales": np.ones(1)},
        {"x_t": np.array([1.0]), "kept": 0.36, "weights": np.ones(1), "locs": np.array([2.0]), "scales": np.ones(1)},
        {
            "x_t": np.array([1.0]),
            "kept": 0.36,
            "weights": np.array([0.5, 0.5]),
            "locs": np.array([0.0, 0.0]),
            "scales": np.array([0.5, 2.0]),
        },
        {
            "x_t": np.array([0.0, 0.6]),
            "kept": 0.36,
            "weights": np.array([0.5, 0.5]),
            "locs": np.array([-1.0, 1.0]),
            "scales": np.array([0.5, 0.5]),
        },
    ),
    draw=_noisy,
    mistakes=(
        Mistake(
            "weights of the parts kept",
            "the parts have their weights from before x_t was seen: x_t says which of them it may come from.",
            lambda weights, **w: (_parts(weights=weights, **w)[1] * weights).sum(axis=1),
        ),
        Mistake(
            "parts without their height",
            "the parts were compared without 1 over the root of their variance: a wide bell is lower.",
            lambda **w: _denoised(**w, height=0.0),
            next="Take two parts at 0, scales 1/2 and 2, and x_t = 0: which of them is likelier there?",
        ),
        Mistake(
            "scale for variance",
            "`scales` were taken for variances: they are standard deviations, and their squares are wanted.",
            lambda scales, **w: _denoised(scales=np.sqrt(scales), **w),
        ),
        Mistake(
            "the likeliest part alone",
            "only the likeliest part was used: the mean is over all of them.",
            lambda **w: np.take_along_axis(_parts(**w)[1], np.argmax(_parts(**w)[0], axis=1)[:, None], axis=1)[:, 0],
        ),
        Mistake(
            "not scaled back",
            "this is the mean of sqrt(kept) x_0: the chain has shrunk x_0, so divide by the root.",
            _by_score(lambda x, s, kept: x + (1 - kept) * s),
        ),
        Mistake(
            "divided by kept",
            "x was divided by kept: x_0 was multiplied by its root.",
            _by_score(lambda x, s, kept: (x + (1 - kept) * s) / kept),
        ),
        Mistake(
            "minus the score",
            "the score was subtracted: the guess moves uphill on log q, to where x_t is more common.",
            _by_score(lambda x, s, kept: (x - (1 - kept) * s) / np.sqrt(kept)),
        ),
        Mistake(
            "standard deviation of the noise",
            "the score was multiplied by the standard deviation of the noise: it takes the variance.",
            _by_score(lambda x, s, kept: (x + np.sqrt(1 - kept) * s) / np.sqrt(kept)),
        ),
        Mistake(
            "no denoising",
            "x_t was only scaled back: its noise is still in it.",
            _by_score(lambda x, s, kept: x / np.sqrt(kept)),
        ),
        Mistake(
            "means of the parts",
            "each part gave its mean before x_t was seen: within a part x_t still moves the guess.",
            lambda locs, **w: (_parts(locs=locs, **w)[0] * locs).sum(axis=1),
        ),
    ),
    hints=(
        "If the part were known, what would be the mean of x_0 given x_t? It is a linear-Gaussian model.",
        "Under each part x_t is Gaussian. With which mean and variance, and so how probable is the part given x_t?",
        "Or by Tweedie: of which density is the slope of the logarithm needed, and what is it for a mixture?",
    ),
    next="At kept = 9/25, x_t = 2 the part N(2, 1) gives 2 + 3/5 (2 - 6/5) = 2.48. Of two, which is likelier at x_t?",
    tip=(
        {"x_t": np.array([2.0]), "kept": 0.36, "weights": np.ones(1), "locs": np.array([2.0]), "scales": np.ones(1)},
        {
            "x_t": np.array([0.6]),
            "kept": 0.36,
            "weights": np.array([0.25, 0.75]),
            "locs": np.array([-1.0, 1.0]),
            "scales": np.array([0.5, 0.5]),
        },
    ),
)

TASKS = (ONE_STEP_BACK, NOISE_WEIGHT, DENOISER)


# --------------------------------------------------------------------------------------------------------- in class


def _noised(x_0: Any, kept: Any, noise: Any) -> Any:
    signal = kept**0.5 * x_0
    return signal + (1 - kept) ** 0.5 * noise


def _image(rng: Rng) -> dict[str, Any]:
    """Three images of four pixels, each at another place of the chain."""
    kept = rng.permutation([rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.7), rng.uniform(0.75, 0.9)])
    return {"x_0": away_from_zero(rng, 0.3, 1.5, (3, 4)), "kept": kept[:, None], "noise": rng.standard_normal((3, 4))}


NOISED = Compute(
    id="14.a",
    title="Any number of steps at once",
    minutes=4,
    name="noised",
    rough=True,
    truth=_noised,
    examples=(
        {"x_0": np.array([1.0, 2.0]), "kept": 0.36, "noise": np.array([0.0, 0.0])},
        {"x_0": np.array([0.0, 0.0]), "kept": 0.36, "noise": np.array([1.0, -1.0])},
        {"x_0": np.array([[1.0, 2.0]]), "kept": np.array([[0.64]]), "noise": np.array([[1.0, -1.0]])},
    ),
    draw=_image,
    mistakes=(
        Mistake(
            "roots forgotten",
            "both roots are missing: `kept` is the part of the variance, and x is multiplied by its root.",
            lambda x_0, kept, noise: kept * x_0 + (1 - kept) * noise,
        ),
        Mistake(
            "root of the signal forgotten",
            "the image was multiplied by `kept` itself: its root belongs there.",
            lambda x_0, kept, noise: kept * x_0 + (1 - kept) ** 0.5 * noise,
        ),
        Mistake(
            "variance for standard deviation",
            "the noise was multiplied by its variance: by the root, it gets this variance.",
            lambda x_0, kept, noise: kept**0.5 * x_0 + (1 - kept) * noise,
        ),
        Mistake(
            "noise whole",
            "the noise was added as it is: then the variances no longer add up to one.",
            lambda x_0, kept, noise: kept**0.5 * x_0 + noise,
        ),
        Mistake(
            "swapped",
            "the two factors are swapped: `kept` says how much of the image is left.",
            lambda x_0, kept, noise: (1 - kept) ** 0.5 * x_0 + kept**0.5 * noise,
        ),
        Mistake(
            "one less the root",
            "the noise was multiplied by 1 - sqrt(kept): it is the variances that add up to one.",
            lambda x_0, kept, noise: kept**0.5 * x_0 + (1 - kept**0.5) * noise,
        ),
    ),
    hints=(
        "What are mean and variance of x_t given x_0, for all steps at once?",
        "Standard normal noise times which number has the variance 1 - kept?",
        "x_t is a mean plus a scale times noise, as in the reparameterization of notebook 07. Which mean, which scale?",
    ),
    next="Take kept = 0.36, x_0 = 1 and noise 1: 0.6 + 0.8 = 1.4.",
    tip=({"x_0": np.array([1.0]), "kept": 0.36, "noise": np.array([1.0])},),
)


def _step_mean(x_t: Any, noise: Any, alpha: Any, before: Any) -> Any:
    kept = alpha * before
    x_0 = (x_t - (1 - kept) ** 0.5 * noise) / kept**0.5  # the guess, with the noise taken off
    of_x_0, of_x_t = before**0.5 * (1 - alpha), alpha**0.5 * (1 - before)
    return (of_x_0 * x_0 + of_x_t * x_t) / (1 - kept)


def _by_guess(formula: Callable[..., Any]) -> Callable[..., Any]:
    """A wrong mean of x_t, the guess at x_0, alpha, and the products before the step and after it."""

    def value(x_t: Any, noise: Any, alpha: float, before: float) -> Any:
        kept = alpha * before
        return formula(x_t, (x_t - (1 - kept) ** 0.5 * noise) / kept**0.5, alpha, before, kept)

    return value


def _noisy_image(rng: Rng) -> dict[str, Any]:
    alpha, before = _kept(rng)
    x_t, noise = away_from_zero(rng, 0.3, 1.5, (2, 3, 4))
    return {"x_t": x_t, "noise": noise, "alpha": alpha, "before": before}


STEP_MEAN = Compute(
    id="14.b",
    title="One step back, by the predicted noise",
    minutes=6,
    name="step_mean",
    rough=True,
    truth=_step_mean,
    examples=(
        {"x_t": np.array([1.0, -2.0]), "noise": np.array([0.0, 0.0]), "alpha": 0.64, "before": 0.25},
        {"x_t": np.array([0.0, 0.0]), "noise": np.array([1.0, -1.0]), "alpha": 0.64, "before": 0.25},
        {"x_t": np.array([[1.0, 0.5]]), "noise": np.array([[0.5, 1.0]]), "alpha": 0.64, "before": 0.5625},
    ),
    draw=_noisy_image,
    mistakes=(
        Mistake(
            "guess at x_0",
            "this is the guess at x_0: a single step goes only a part of that way.",
            _by_guess(lambda x_t, x_0, alpha, before, kept: x_0),
        ),
        Mistake(
            "guess noised again",
            "x_t was forgotten after the guess: the step back is held by both ends.",
            _by_guess(lambda x_t, x_0, alpha, before, kept: before**0.5 * x_0),
        ),
        Mistake(
            "weights swapped",
            "the weights of the guess and of x_t are swapped.",
            _by_guess(
                lambda x_t, x_0, alpha, before, kept: (
                    (alpha**0.5 * (1 - before) * x_0 + before**0.5 * (1 - alpha) * x_t) / (1 - kept)
                )
            ),
        ),
        Mistake(
            "all noise of the step",
            "the noise was taken off with the scale of this step: its part in x_t has another factor.",
            lambda x_t, noise, alpha, before: (x_t - (1 - alpha) ** 0.5 * noise) / alpha**0.5,
        ),
        Mistake(
            "not scaled back",
            "the division by the root of alpha is missing: the step forward has shrunk x.",
            lambda x_t, noise, alpha, before: alpha**0.5 * _step_mean(x_t, noise, alpha, before),
        ),
        Mistake(
            "noise added",
            "the noise was added: a step back takes it off.",
            lambda x_t, noise, alpha, before: _step_mean(x_t, -noise, alpha, before),
        ),
        Mistake(
            "roots forgotten",
            "the roots are missing in the weights of the two ends.",
            _by_guess(
                lambda x_t, x_0, alpha, before, kept: (
                    (before * (1 - alpha) * x_0 + alpha * (1 - before) * x_t) / (1 - kept)
                )
            ),
        ),
    ),
    hints=(
        "x_t is sqrt(kept) x_0 + sqrt(1 - kept) noise, with kept = alpha * before. Which x_0 belongs to this noise?",
        "P2 gives the mean if x_0 is known. What stands in for x_0 here?",
        "Which weight has x_0 and which has x_t? Each is a root times the noise variance of the other side.",
    ),
    next="Take alpha = 0.64, before = 0.5625, so kept = 0.36: at x_t = 1 and noise 0 the mean is 1/0.8 = 1.25.",
    tip=(
        {"x_t": np.array([1.0]), "noise": np.array([0.0]), "alpha": 0.64, "before": 0.5625},
        {"x_t": np.array([1.0]), "noise": np.array([0.5]), "alpha": 0.64, "before": 0.5625},
    ),
)

IN_CLASS = (NOISED, STEP_MEAN)
