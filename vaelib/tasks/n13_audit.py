r"""Exercises to notebook 13: the audit. What is asked in tensors is the code of other people, and its repair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaelib.distributions import DiagonalNormal, kl_divergence
from vaelib.elbo import importance_weighted_bound
from vaelib.reply import Tensor
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_scale

Array = np.ndarray
Rng = np.random.Generator

# ------------------------------------------------------------------------------------- a number that cannot be right

THE_BUG = Compute(
    id="13.1",
    title="One number is wrong",
    level="warm-up",
    minutes=6,
    name="bug",
    truth="latents",
    choices=("pixels", "latents", "sign", "weights", "units", "collapse"),
    mistakes=(
        Mistake(
            "pixels blamed",
            "the pixels are suspected: a mean over 784 of them would be near -0.1, not -88.",
            "pixels",
        ),
        Mistake(
            "sign blamed",
            "a sign is suspected: with the KL added, row 3 would lie above row 1.",
            "sign",
        ),
        Mistake(
            "weights blamed",
            "row 4 is suspected: with a mean of logarithms it would be row 1 less all of the KL.",
            "weights",
        ),
        Mistake(
            "units blamed",
            "row 5 is suspected: divide row 4 by the pixels and by log 2, and compare.",
            "units",
        ),
        Mistake(
            "collapse blamed",
            "the idle latent is suspected: a latent may say nothing, and no row is wrong for that.",
            "collapse",
        ),
    ),
    hints=(
        "Which of the rows can be computed from others? Do they agree?",
        "In which order must rows 3 and 4 come, if both are what they are called?",
        "How far is row 3 from row 1, and what should that distance be, by row 2?",
    ),
    next="Compute each row that follows from others, on paper. Which one does not come out?",
)

# ------------------------------------------------------------------------------------------ an evaluation, to be mended

LOG_2PI = float(np.log(2 * np.pi))
ONE_MENDED = "one of the three bugs is mended, and two are still there."


def _log_weights(
    log_lik: Any,
    z: Any,
    loc: Any,
    log_var: Any,
    *,
    power: float = 0.5,
    share: float = 1.0,
    constant: float = 0.0,
) -> Array:
    """log p(x|z) + log p(z) - log q(z), (K, B), without the constant that both densities share.

    With a bug: scale = exp(power log_var), the log-scales count `share`, and `constant` for each latent is left over.
    """
    log_lik, z, loc, log_var = map(np.asarray, (log_lik, z, loc, log_var))
    log_scale = power * log_var
    log_prior = -0.5 * (z**2).sum(-1)
    log_q = -0.5 * (((z - loc) / np.exp(log_scale)) ** 2).sum(-1) - share * log_scale.sum(-1)
    return np.asarray(log_lik + log_prior - log_q + constant * z.shape[-1])


def _bound(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
    """By the package's densities; importance_weighted_bound takes the largest weight out first."""
    log_lik, z, loc, log_var = map(np.asarray, (log_lik, z, loc, log_var))
    q, prior = DiagonalNormal(loc, np.exp(log_var / 2)), DiagonalNormal(np.zeros_like(loc), np.ones_like(loc))
    return importance_weighted_bound(log_lik + prior.log_prob(z) - q.log_prob(z))


def _bug(in_the_mean: Callable[[Array], Any] = importance_weighted_bound, **bugs: float) -> Callable[..., Any]:
    """The bound as a function of the same arguments, with bugs left in."""
    return lambda log_lik, z, loc, log_var: in_the_mean(_log_weights(log_lik, z, loc, log_var, **bugs))


def _averaged_log_scale(in_the_mean: Callable[[Array], Any] = importance_weighted_bound, **bugs: float) -> Any:
    def bound(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
        share = 1 / np.shape(loc)[-1]
        return in_the_mean(_log_weights(log_lik, z, loc, log_var, share=share, **bugs))

    return bound


def _raw(log_weights: Array) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.exp(log_weights).mean(0))


def _evaluation(rng: Rng, samples: int = 5, images: int = 3, latents: int = 2) -> dict[str, Any]:
    """A few samples from q for each image; one image is small and easy, one larger, one much larger."""
    loc, scale = away_from_zero(rng, 0.3, 1.5, (images, latents)), generic_scale(rng, (images, latents))
    z = loc + scale * rng.standard_normal((samples, images, latents))
    level = rng.permutation([-6.0, -900.0, -2400.0]) + 1.5 * rng.standard_normal((samples, images))
    level[[0, -1], rng.integers(images)] -= rng.uniform(1500, 2500)  # only the largest of a column is a safe shift
    return _samples(level, z, loc, 2 * np.log(scale))


def _samples(log_lik: Any, z: Any, loc: Any, log_var: Any) -> dict[str, Any]:
    arrays = {"log_lik": log_lik, "z": z, "loc": loc, "log_var": log_var}
    return {name: Tensor(np.array(array, dtype=float)) for name, array in arrays.items()}


REPAIR = Compute(
    id="13.2",
    title="Three bugs in an evaluation",
    level="core",
    minutes=14,
    name="bound",
    rough=True,
    truth=_bound,
    examples=(
        _samples([[-2]], [[[0]]], [[0]], [[0]]),
        _samples([[-2]], [[[0, 0]]], [[0, 0]], [[0.6, 1.4]]),
        _samples([[-2], [-3]], [[[1.5]], [[-0.5]]], [[0.5]], [[0.8]]),
        _samples([[-900]], [[[0]]], [[0]], [[0]]),
        _samples([[-900, -20]], [[[0], [0]]], [[0], [0]], [[0], [0]]),
    ),
    draw=_evaluation,
    mistakes=(
        Mistake(
            "variance for scale",
            "exp(log_var) still serves as a standard deviation; it is the variance.",
            _bug(power=1.0),
            real="exp(log_var) used as a standard deviation, in several repositories",
        ),
        Mistake(
            "latents averaged",
            "one term of log q is still a mean over latents: a product of densities has a sum.",
            _averaged_log_scale(),
            real="issue threads of several VAE implementations",
        ),
        Mistake(
            "mean of the logarithms",
            "the logarithms are averaged: that is the plain bound, which needs no weights.",
            _bug(lambda log_weights: log_weights.mean(0)),
        ),
        Mistake(
            "sum for mean",
            "the weights are summed, and log K is still to be subtracted.",
            _bug(lambda log_weights: importance_weighted_bound(log_weights) + np.log(len(log_weights))),
        ),
        Mistake(
            "constant in the prior alone",
            "log(2 pi) is now in log p(z) but not in log q(z): left out of both, it did no harm.",
            _bug(constant=-LOG_2PI / 2),
            real="a tutorial that omits log(2 pi)/2 from one density",
        ),
        Mistake(
            "constant in q alone",
            "log(2 pi) is now in log q(z) but not in log p(z): left out of both, it did no harm.",
            _bug(constant=LOG_2PI / 2),
        ),
        Mistake(
            "one number for all images",
            "the images were averaged, too: the mean over K samples leaves one number for each image.",
            lambda **evaluation: np.mean(_bound(**evaluation)),
        ),
        Mistake(
            "scale and latents left",
            ONE_MENDED,
            _averaged_log_scale(power=1.0),
        ),
        # What follows is infinite on large images, and comes last: on small ones it may equal what comes above.
        Mistake(
            "scale and exponentials left",
            ONE_MENDED,
            _bug(_raw, power=1.0),
        ),
        Mistake(
            "latents and exponentials left",
            ONE_MENDED,
            _averaged_log_scale(_raw),
        ),
        Mistake(
            "as found",
            "the code as it was found: all three bugs are still in it.",
            _averaged_log_scale(_raw, power=1.0),
            next="Put in one sample, one image, and numbers that you can follow by hand.",
        ),
        Mistake(
            "raw exponentials",
            "the weights are exponentiated as they are: e^-900 is 0 here, and log 0 is infinite.",
            _bug(_raw),
            next="One sample with log_lik = -900: what must come out? Which function never leaves the logarithms?",
            real="a public repository: its test loss exponentiates raw log-weights",
        ),
    ),
    hints=(
        "Which of the five lines would you check at loc = 0, log_var not 0? What should log q be there?",
        "Two lines leave out log(2 pi). What happens to it in log_prior - log_q?",
        "Which sums run over latents? And how is a mean of exponentials averaged without forming one of them?",
    ),
    next="Take log_lik = (-2, -3), z = (1, 0; 0, 1), loc = (1, 1), log_var = (log 4, log 9): two weights, by hand.",
    tip=(_samples([[-2], [-3]], [[[1, 0]], [[0, 1]]], [[1, 1]], [[np.log(4), np.log(9)]]),),
    forbidden=("importance",),
)

# ----------------------------------------------------------------------------------------- a small KL in seven digits

NANO = 1e9  # nanonats in a nat
SEVEN_DIGITS = "1 + log_var and exp(log_var) are subtracted in float32: they agree in all its digits."


def _kl(mean: Any, log_var: Any) -> Any:
    mean, log_var = np.asarray(mean, dtype=float), np.asarray(log_var, dtype=float)
    q, prior = DiagonalNormal(mean, np.exp(log_var / 2)), DiagonalNormal(np.zeros_like(mean), np.ones_like(mean))
    return NANO * kl_divergence(q, prior)


def _in_float32(form: Callable[[Array, Array, Array], Array]) -> Callable[..., Any]:
    """A textbook form of (mean, log_var, exp(log_var)), summed over latents, all in single precision."""

    def kl(mean: Any, log_var: Any) -> Any:
        mean, log_var = np.asarray(mean), np.asarray(log_var)
        variance = np.exp(log_var.astype(float)).astype(np.float32)  # rounded once: the same on every machine
        return np.float32(NANO) * form(mean, log_var, variance).sum(-1)

    return kl


def _double(form: Callable[[Array, Array], Array]) -> Callable[..., Any]:
    """A form of (mean, log_var) in double precision, one number for each latent."""

    def kl(mean: Any, log_var: Any) -> Any:
        return NANO * form(np.asarray(mean, dtype=float), np.asarray(log_var, dtype=float)).sum(-1)

    return kl


def _excess(log_var: Array) -> Array:
    return np.expm1(log_var) - log_var


def _clipped(mean: Any, log_var: Any) -> Any:
    return np.maximum(0.0, _in_float32(lambda m, v, e: 0.5 * (m**2 + e - 1 - v))(mean, log_var))


def _near_a_step(about: Any, beyond: Any) -> Array:
    """log_var near `about`, with exp(log_var) this part of a step from a float32: every library rounds it alike."""
    about = np.asarray(about, dtype=float)
    step = np.where(about > 0, 2.0**-23, 2.0**-24)  # of float32 above 1, and below
    return np.log1p((np.trunc(np.expm1(about) / step) + beyond) * step)


def _quiet_latents(rng: Rng, images: int = 4, latents: int = 3) -> dict[str, Any]:
    """Most images have latents that say nearly nothing, |mean| and |log_var| about 1e-4; the last has ordinary ones."""
    shape = (images, latents)
    mean = away_from_zero(rng, 0.5e-4, 2e-4, shape)
    log_var = _near_a_step(away_from_zero(rng, 0.5e-4, 2e-4, shape), away_from_zero(rng, 0.2, 0.4, shape))
    mean[-1], log_var[-1] = away_from_zero(rng, 0.3, 1.5, (latents,)), 2 * np.log(generic_scale(rng, (latents,)))
    return _pair(mean, log_var)


def _pair(mean: Any, log_var: Any) -> dict[str, Any]:
    return {"mean": Tensor(np.array(mean, np.float32)), "log_var": Tensor(np.array(log_var, np.float32))}


SMALL_KL = Compute(
    id="13.3",
    title="A KL of a few nanonats",
    level="core",
    minutes=8,
    name="kl_nanonats",
    truth=_kl,
    tolerance=1e-6,  # double precision may cancel, too; single precision has two percent
    examples=(
        _pair([[0, 0]], [[0, 0]]),
        _pair([[1, 0]], [[0, 0]]),
        _pair([[0, 0]], [[1, 0]]),
        _pair([[1e-4, 0]], [[0, 0]]),
        _pair([[1e-4, 0]], [[1.5e-4, 0]]),
        # Between: for a series too far from 0, for a difference in float32 too near.
        _pair(np.zeros((3, 1)), [[0.09], [-0.09], [0.065]]),
        _pair(np.zeros((4, 1)), _near_a_step([[1.1e-3], [-1.1e-3], [1.4e-3], [-8e-4]], 0.4)),
    ),
    draw=_quiet_latents,
    rules=(
        Rule(
            "A KL is never negative, and yours is here. Rounding does that to tiny ones, a lost sign to any.",
            lambda value, **_: bool(np.all(value >= 0)),
        ),
    ),
    mistakes=(
        Mistake(
            "textbook form in float32",
            SEVEN_DIGITS,
            _in_float32(lambda m, v, e: -0.5 * (1 + v - m**2 - e)),
            real="the KL line of most VAE programs",
        ),
        Mistake(
            "textbook form in float32, minus 1 early",
            SEVEN_DIGITS,
            _in_float32(lambda m, v, e: 0.5 * (m**2 + e - 1 - v)),
        ),
        Mistake(
            "textbook form in float32, minus 1 last",
            SEVEN_DIGITS,
            _in_float32(lambda m, v, e: 0.5 * (m**2 + e - v - 1)),
        ),
        Mistake(
            "exp minus 1 by hand",
            "exp(log_var) - 1 is computed as it is typed: exp was rounded before the 1 went away.",
            _in_float32(lambda m, v, e: 0.5 * (e - 1 - v + m**2)),
        ),
        Mistake(
            "clipped at zero",
            "a KL below zero was clipped: the rounding error is still there, it only no longer shows.",
            _clipped,
        ),
        Mistake(
            "first term of the series",
            "the exponential was cut after its square: right for tiny latents, wrong for ordinary ones.",
            _double(lambda m, v: 0.5 * m**2 + 0.25 * v**2),
        ),
        Mistake(
            "log_var taken for log_scale",
            "exp(2 log_var) was taken for the variance; exp(log_var) is.",
            _double(lambda m, v: 0.5 * (m**2 + _excess(2 * v))),
            real="public VAE programs: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "plus for minus before the squared mean",
            "the sign of the squared mean is wrong: moving the mean away from 0 costs.",
            _double(lambda m, v: 0.5 * (_excess(v) - m**2)),
            real="published notes: + mu^2 in the closed form",
        ),
        Mistake(
            "mean over latents",
            "the latents are averaged: for independent coordinates a KL is a sum.",
            lambda mean, log_var: _kl(mean, log_var) / np.shape(mean)[-1],
            real="several public repositories",
        ),
        Mistake(
            "in nats",
            "these are nats: one nat is 1e9 nanonats.",
            lambda mean, log_var: _kl(mean, log_var) / NANO,
        ),
    ),
    hints=(
        "How many digits has float32? In how many do 1 + 0.0001 and exp(0.0001) agree?",
        "Which terms cancel on paper? Can you put them together before anything is rounded?",
        "torch has a function for exp(x) - 1 that never forms the exp. What is left to subtract from it?",
    ),
    next="Take one latent: mean = log_var = 1 gives (e - 1)/2 nats; mean = 0, log_var = 1e-4 gives 2.5 nanonats.",
    tip=(
        _pair([[1, 0]], [[1, 0]]),
        _pair([[0]], [[1e-4]]),
    ),
    forbidden=("kl",),
)

TASKS = (THE_BUG, REPAIR, SMALL_KL)


# --------------------------------------------------------------------------------------------------------- in class


def _nll(x: Array, f: Array, c: float) -> Any:
    squared_error = np.sum((x - f) ** 2, axis=-1)  # over the pixels of an image
    constant = x.shape[-1] / 2 * np.log(2 * np.pi * c)  # once for each pixel
    return squared_error / (2 * c) + constant


def _error_and(constant: Callable[[int, float], Any]) -> Callable[..., Any]:
    """A mistake: the right squared error, and this in place of the constant, of the pixels and c."""
    return lambda x, f, c: np.sum((x - f) ** 2, axis=-1) / (2 * c) + constant(x.shape[-1], c)


def _pixels(x: Any, f: Any, c: float) -> dict[str, Any]:
    return {"x": np.array(x, dtype=float), "f": np.array(f, dtype=float), "c": c}


NLL = Compute(
    id="13.a",
    title="The whole Gaussian",
    minutes=5,
    name="nll",
    rough=True,
    truth=_nll,
    examples=(
        _pixels([[0.0]], [[0.0]], 1.0),
        _pixels([[1.0, 0.0]], [[0.0, 0.0]], 0.5),
        _pixels([[1.0, 0.0, 2.0], [0.5, 0.5, 0.5]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.25]], 0.2),
    ),
    draw=lambda rng: _pixels(rng.uniform(0, 1, (4, 5)), rng.uniform(0, 1, (4, 5)), float(rng.uniform(0.05, 0.6))),
    mistakes=(
        Mistake(
            "2 pi left out",
            "log(2 pi)/2 is missing, once for each pixel: the density does not integrate to one.",
            _error_and(lambda d, c: d / 2 * np.log(c)),
        ),
        Mistake(
            "constant left out",
            "only the squared error is left: -log N has a constant, too, and it depends on c.",
            _error_and(lambda d, c: 0.0),
        ),
        Mistake(
            "constant once",
            "the constant was counted once for an image: each pixel has its own density, and so a constant.",
            _error_and(lambda d, c: 0.5 * np.log(2 * np.pi * c)),
        ),
        Mistake(
            "mean over pixels",
            "the pixels were averaged: the logarithm of a product is a sum.",
            lambda x, f, c: np.mean((x - f) ** 2, axis=-1) / (2 * c) + 0.5 * np.log(2 * np.pi * c),
        ),
        Mistake(
            "c taken for a standard deviation",
            "c was squared: it is the variance already.",
            lambda x, f, c: _nll(x, f, c**2),
        ),
        Mistake(
            "sign",
            "this is the log-density itself: what is asked for is its negative.",
            lambda x, f, c: -_nll(x, f, c),
        ),
    ),
    hints=(
        "What is -log of the density of one pixel, N(x; f, c), written out with its constant?",
        "Pixels are independent given f: what does that make of the densities, and what of their logarithms?",
        "How many constants does an image of d pixels have? `x.shape[-1]` is d.",
    ),
    next="Try one pixel that fits, x = f = 0, with c = 1: log(2 pi)/2 is left, about 0.919.",
    tip=(_pixels([[0.0]], [[0.0]], 1.0),),
)

IN_CLASS = (NLL,)
