r"""Exercises to notebook 08: the linear VAE, what it keeps and what it leaves to the noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.distributions import DiagonalNormal
from vaelib.models import LOG_2PI, LinearGaussian
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_loading, generic_noise_variance, generic_scale

Array = np.ndarray
Rng = np.random.Generator

# --------------------------------------------------------------------------------------- before training starts, 08.1

SPECTRUM = np.array([7.0, 4.5, 3.0, 2.0, 1.5, 1.0, 0.5])
LATENTS = 3


def _trained(noise_variance: float) -> Array:
    """The noise variance, and what it leaves of the kept eigenvalues."""
    return np.array([noise_variance, *(SPECTRUM[:LATENTS] - noise_variance)])


BEST_NOISE = float(SPECTRUM[LATENTS:].mean())

BEFORE_TRAINING = Compute(
    id="08.1",
    title="Before training starts",
    level="warm-up",
    minutes=5,
    name="trained",
    truth=_trained(BEST_NOISE),
    tolerance=0.01,
    mistakes=(
        Mistake(
            "loadings of PCA",
            "the kept eigenvalues themselves: the noise explains a part of each already.",
            np.array([BEST_NOISE, *SPECTRUM[:LATENTS]]),
        ),
        Mistake(
            "noise from all directions",
            "c is the mean of all eigenvalues: those that have a latent need not be explained by noise.",
            _trained(float(SPECTRUM.mean())),
        ),
        Mistake(
            "the smallest eigenvalue",
            "c was set to the last eigenvalue: the noise has to serve all directions without a latent.",
            _trained(float(SPECTRUM[-1])),
        ),
        Mistake(
            "the first discarded eigenvalue",
            "c was set to the first eigenvalue without a latent: there are others, and they are smaller.",
            _trained(float(SPECTRUM[LATENTS])),
        ),
        Mistake(
            "discarded sum over d",
            "the discarded eigenvalues were divided by d: they are d - k numbers.",
            _trained(float(SPECTRUM[LATENTS:].sum() / len(SPECTRUM))),
        ),
        Mistake(
            "lengths, not squared",
            "the last three are lengths: asked are squared lengths.",
            np.array([BEST_NOISE, *np.sqrt(SPECTRUM[:LATENTS] - BEST_NOISE)]),
        ),
        Mistake(
            "noise variance last",
            "the order is turned: the noise variance comes first.",
            np.roll(_trained(BEST_NOISE), -1),
        ),
    ),
    hints=(
        "How many directions get a latent, and which of the seven do they take?",
        "The noise has one variance for all the other directions. Which single number fits their eigenvalues best?",
        "In a direction with a latent, model and data have the same variance. Which two parts is the model's made of?",
    ),
    next="First c from the four directions without a latent; then what each kept eigenvalue has beyond c.",
)

# --------------------------------------------------------------------------------- the first term of the bound, 08.2


def _likelihood(x: Any, loc: Any, scale: Any, loading: Any, offset: Any, noise_variance: Any) -> Any:
    model = LinearGaussian(loading, offset, noise_variance)
    return model.expected_log_likelihood(x, DiagonalNormal(loc, scale))


def _parts(x: Array, loc: Array, scale: Array, loading: Array, offset: Array, noise_variance: float) -> Any:
    """d/2 log(2 pi c), the squared residual at the mean, tr(W S W^T)."""
    normalizer = x.shape[1] / 2 * (LOG_2PI + np.log(noise_variance))
    square = np.sum((x - loc @ loading.T - offset) ** 2, axis=1)
    return normalizer, square, np.sum(scale**2 * np.sum(loading**2, axis=0), axis=1)


def _with(formula: Any) -> Any:
    """A mistake as a formula of normalizer, square, trace, and c; the arguments are at hand as w."""
    return lambda **w: formula(*_parts(**w), w["noise_variance"], w)


def _linear_batch(rng: Rng) -> dict[str, Any]:
    return {
        "x": away_from_zero(rng, 0.3, 2.0, (4, 5)),
        "loc": away_from_zero(rng, 0.3, 1.2, (4, 2)),
        "scale": generic_scale(rng, (4, 2)),
        "loading": generic_loading(rng, 5, 2),
        "offset": away_from_zero(rng, 0.3, 1.0, (5,)),
        "noise_variance": generic_noise_variance(rng),
    }


WITH_THE_TRACE = Compute(
    id="08.2",
    title="What a wide q costs",
    level="core",
    minutes=12,
    name="expected_log_likelihood",
    rough=True,
    truth=_likelihood,
    examples=(
        {
            "x": np.array([[0.0, 0.0]]),
            "loc": np.array([[0.0]]),
            "scale": np.array([[1.0]]),
            "loading": np.array([[0.0], [0.0]]),
            "offset": np.array([0.0, 0.0]),
            "noise_variance": 1.0,
        },
        {
            "x": np.array([[1.0, 2.0]]),
            "loc": np.array([[1.0]]),
            "scale": np.array([[0.5]]),
            "loading": np.array([[1.0], [2.0]]),
            "offset": np.array([0.0, 0.0]),
            "noise_variance": 1.0,
        },
        {
            "x": np.array([[1.0, 2.0]]),
            "loc": np.array([[1.0]]),
            "scale": np.array([[0.5]]),
            "loading": np.array([[1.0], [1.0]]),
            "offset": np.array([0.0, 0.5]),
            "noise_variance": 0.25,
        },
    ),
    draw=_linear_batch,
    mistakes=(
        Mistake(
            "the mean of q in the decoder",
            "the mean of q was put into the decoder: the spread of q costs too.",
            _with(lambda normalizer, square, trace, c, w: -normalizer - square / (2 * c)),
        ),
        Mistake(
            "scale for variance in the trace",
            "the trace holds the scales of q: the covariance of q holds their squares.",
            _with(
                lambda normalizer, square, trace, c, w: (
                    -normalizer - (square + w["scale"] @ np.sum(w["loading"] ** 2, axis=0)) / (2 * c)
                )
            ),
        ),
        Mistake(
            "trace of S alone",
            "the loading is missing in the trace: the decoder stretches the spread of q.",
            _with(
                lambda normalizer, square, trace, c, w: (
                    -normalizer - (square + np.sum(w["scale"] ** 2, axis=1)) / (2 * c)
                )
            ),
        ),
        Mistake(
            "trace added",
            "the spread of q raises yours: the more z wanders, the worse x is explained.",
            _with(lambda normalizer, square, trace, c, w: -normalizer - (square - trace) / (2 * c)),
        ),
        Mistake(
            "noise variance squared",
            "noise_variance was squared, as if it were a standard deviation.",
            lambda noise_variance, **w: _likelihood(**w, noise_variance=noise_variance**2),
            real="exp(log_var) used as a standard deviation, in several repositories",
        ),
        Mistake(
            "mean over the pixels",
            "a mean over the d coordinates of x: the logarithm of a product is a sum.",
            lambda x, **w: _likelihood(x, **w) / x.shape[1],
            real="loss functions with reduction='mean', in many repositories",
        ),
        Mistake(
            "no 2 pi",
            "log(2 pi)/2 was left out, once for each coordinate of x.",
            lambda x, **w: _likelihood(x, **w) + x.shape[1] / 2 * LOG_2PI,
            real="a well-known tutorial: its plotted bound is off by hundreds of nats",
        ),
        Mistake(
            "normalizer once, not d times",
            "the normalizer was counted once: each of the d coordinates has one.",
            _with(lambda normalizer, square, trace, c, w: -normalizer / w["x"].shape[1] - (square + trace) / (2 * c)),
        ),
        Mistake(
            "no one half",
            "the factor 1/2 is missing in the Gaussian's exponent.",
            _with(lambda normalizer, square, trace, c, w: -normalizer - (square + trace) / c),
        ),
        Mistake(
            "averaged over the examples",
            "the examples were averaged: one number is asked for each of them.",
            lambda **w: np.mean(_likelihood(**w)),
        ),
    ),
    hints=(
        "What is log N(x; W z + b, c I) for one z? Which part of it contains z?",
        "u = x - W z - b is random, since z is. How does the mean of its squared length split into mean and spread?",
        "What is the covariance of W z, and what is its trace, if the latents of q are independent?",
    ),
    next="Take W = (2, 2), b = 0, c = 1/2, x = (3, 3), loc = 1, scale = 1/2: what are the square and the trace?",
    tip=(
        {
            "x": np.array([[3.0, 3.0]]),
            "loc": np.array([[1.0]]),
            "scale": np.array([[0.5]]),
            "loading": np.array([[2.0], [2.0]]),
            "offset": np.zeros(2),
            "noise_variance": 0.5,
        },
    ),
    forbidden=("linear",),
)

# ------------------------------------------------------------------------------------- what survives a loss, 08.3


def _kept(eigenvalues: Any, latents: int, noise_variance: float, beta: float) -> Array:
    """Squared lengths max(lambda_j - beta c, 0), and variances beta c / max(lambda_j, beta c)."""
    threshold = beta * noise_variance
    top = np.maximum(np.asarray(eigenvalues)[:latents], threshold)
    return np.array([top - threshold, threshold / top])


def _row(index: int, change: Any) -> Any:
    """The right table with one row replaced."""

    def value(**w: Any) -> Array:
        table = _kept(**w)
        table[index] = change(table[index], w)
        return table

    return value


def _no_threshold(eigenvalues: Array, latents: int, noise_variance: float, beta: float) -> Array:
    top, threshold = eigenvalues[:latents], beta * noise_variance
    return np.array([top - threshold, threshold / top])


def _some_collapse(rng: Rng) -> dict[str, Any]:
    """Four latents, six directions; one to three of the four stay above the threshold."""
    eigenvalues = np.exp(np.cumsum(rng.uniform(0.3, 0.7, 6))[::-1] - rng.uniform(0.8, 1.4))
    last = int(rng.integers(3))  # the last that is kept
    between = rng.uniform(0.25, 0.75)
    threshold = eigenvalues[last] ** between * eigenvalues[last + 1] ** (1 - between)
    beta = float(generic_scale(rng))
    return {"eigenvalues": eigenvalues, "latents": 4, "noise_variance": float(threshold / beta), "beta": beta}


WHAT_SURVIVES = Compute(
    id="08.3",
    title="Latents that survive a loss",
    level="core",
    minutes=10,
    name="survivors",
    rough=True,
    truth=_kept,
    examples=(
        {"eigenvalues": np.array([5.0, 3.0, 0.5]), "latents": 2, "noise_variance": 1.0, "beta": 1.0},
        {"eigenvalues": np.array([5.0, 3.0, 0.5]), "latents": 2, "noise_variance": 2.0, "beta": 2.0},
        {"eigenvalues": np.array([6.0, 2.0, 1.0, 0.5]), "latents": 3, "noise_variance": 0.5, "beta": 4.0},
    ),
    draw=_some_collapse,
    rules=(
        Rule(
            "Squared lengths are not negative, and variances lie above 0 and at most at the prior's 1.",
            lambda value, **_: bool(np.all(value >= 0) and np.all((value[1] > 0) & (value[1] <= 1 + 1e-6))),
        ),
    ),
    mistakes=(
        Mistake(
            "beta ignored",
            "the threshold is c: with beta the floor moves.",
            lambda beta, **w: _kept(**w, beta=1.0),
        ),
        Mistake(
            "c over beta",
            "beta divides the noise: where the KL costs more, fewer latents are worth it.",
            lambda beta, **w: _kept(**w, beta=1 / beta),
        ),
        Mistake(
            "no threshold",
            "the formula was used below the threshold, too: there it gives a negative squared length.",
            _no_threshold,
        ),
        Mistake(
            "loadings of PCA",
            "kept directions keep their whole eigenvalue: a part of it stays with the noise.",
            _row(0, lambda row, w: np.where(row > 0, w["eigenvalues"][: w["latents"]], 0.0)),
        ),
        Mistake(
            "KL averaged over latents",
            "the KL was averaged over the latents: beta is then divided by their number.",
            lambda latents, beta, **w: _kept(**w, latents=latents, beta=beta / latents),
            real="issue threads of several VAE implementations",
        ),
        Mistake(
            "encoder of beta = 1",
            "the variance of q is that of the posterior: with beta the best q is another.",
            _row(1, lambda row, w: w["noise_variance"] / (_kept(**w)[0] + w["noise_variance"])),
        ),
        Mistake(
            "scale for variance",
            "row 1 holds standard deviations: asked are variances.",
            _row(1, lambda row, w: np.sqrt(row)),
            real="issue threads of several VAE implementations",
        ),
        Mistake(
            "lengths, not squared",
            "row 0 holds lengths: asked are squared lengths.",
            _row(0, lambda row, w: np.sqrt(row)),
        ),
        Mistake(
            "all directions",
            "every direction got a latent: there are `latents` of them, and they take the largest.",
            lambda eigenvalues, latents, **w: _kept(eigenvalues, len(eigenvalues), **w),
        ),
    ),
    hints=(
        "Multiply the whole objective by 1/beta: which noise variance does it then seem to have?",
        "What does the best decoder do in a direction whose eigenvalue lies below the floor? And above it?",
        "A collapsed latent leaves its q at the prior. Which variance is that, and does your formula give it?",
    ),
    next="Take eigenvalues 6, 2, 1 and 1/2, three latents, c = 1/2, beta = 3: the floor is 3/2; what is left above it?",
    tip=({"eigenvalues": np.array([6.0, 2.0, 1.0, 0.5]), "latents": 3, "noise_variance": 0.5, "beta": 3.0},),
)

# --------------------------------------------------------------------------------------------- rotated latents, 08.4


def _ratio(lambda_1: float, lambda_2: float, angle: float, power: int = 2) -> float:
    """M_11 M_22 / |M| for M = R^T diag(lambda_1, lambda_2) R."""
    cosine, sine = np.cos(angle) ** power, np.sin(angle) ** power
    return float((lambda_1 * cosine + lambda_2 * sine) * (lambda_1 * sine + lambda_2 * cosine) / (lambda_1 * lambda_2))


def _of_ratio(formula: Any, **changes: Any) -> Any:
    return lambda noise_variance, **w: formula(_ratio(**w, **changes))


def _no_noise(lambda_1: float, lambda_2: float, noise_variance: float, angle: float) -> float:
    return 0.5 * float(np.log(_ratio(lambda_1 - noise_variance, lambda_2 - noise_variance, angle)))


def _turned(rng: Rng) -> dict[str, Any]:
    noise_variance = generic_noise_variance(rng)
    lambda_2 = noise_variance * float(rng.uniform(1.5, 2.5))
    return {
        "lambda_1": lambda_2 * float(rng.uniform(1.8, 4.0)),
        "lambda_2": lambda_2,
        "noise_variance": noise_variance,
        "angle": float(rng.uniform(0.2, 0.65)),
    }


ROTATED = Compute(
    id="08.4",
    title="What a rotation costs",
    level="stretch",
    minutes=18,
    name="rotation_gap",
    rough=True,
    truth=_of_ratio(lambda ratio: 0.5 * np.log(ratio)),
    examples=(
        {"lambda_1": 3.0, "lambda_2": 2.0, "noise_variance": 1.0, "angle": 0.0},
        {"lambda_1": 4.0, "lambda_2": 2.0, "noise_variance": 1.0, "angle": float(np.pi / 4)},
        {"lambda_1": 6.0, "lambda_2": 2.0, "noise_variance": 0.5, "angle": float(np.pi / 6)},
    ),
    draw=_turned,
    rules=(
        Rule(
            "A gap is a KL: it is never negative. Yours is negative here.",
            lambda value, **_: bool(value >= -1e-9),
        ),
    ),
    mistakes=(
        Mistake(
            "no gap",
            "a rotation was taken to cost nothing: the evidence does not see it, independent latents do.",
            lambda **w: 0.0,
        ),
        Mistake(
            "variances of the posterior",
            "q got the posterior's own variances, or the KL was turned round; the best q is narrower.",
            _of_ratio(lambda ratio: ratio - 1 - 0.5 * np.log(ratio)),
        ),
        Mistake(
            "no one half",
            "the factor 1/2 is missing: log-determinants enter a Gaussian's KL with it.",
            _of_ratio(np.log),
        ),
        Mistake(
            "minus the gap",
            "the sign is turned: this is what the bound loses, as a negative number.",
            _of_ratio(lambda ratio: -0.5 * np.log(ratio)),
        ),
        Mistake(
            "no noise in M",
            "M is W^T W alone: the prior adds c I, and the eigenvalues of M change.",
            _no_noise,
        ),
        Mistake(
            "cosine not squared",
            "cos and sin were not squared on the diagonal of R^T L R.",
            _of_ratio(lambda ratio: 0.5 * np.log(ratio), power=1),
        ),
    ),
    hints=(
        "What is M = W^T W + c I before the rotation? What does R do to it, and to its determinant?",
        "The best independent latents have the posterior's mean, and variances c / M_jj. Which terms of the KL remain?",
        "Which two numbers are on the diagonal of the rotated M? What must they be at 0 and at 90 degrees?",
    ),
    next="At 45 degrees, with eigenvalues 4 and 2 and c = 1, M has 3 on its diagonal and |M| = 8. And the gap?",
    tip=({"lambda_1": 4.0, "lambda_2": 2.0, "noise_variance": 1.0, "angle": float(np.pi / 4)},),
    forbidden=("linear", "kl"),
)

TASKS = (BEFORE_TRAINING, WITH_THE_TRACE, WHAT_SURVIVES, ROTATED)

# --------------------------------------------------------------------------------------------------------- in class


def encode(W: Array, c: float, x: Array) -> Any:
    """The mean of the best q(z | x) of a linear decoder with offset zero."""
    k = W.shape[1]
    M = W.T @ W + c * np.eye(k)
    return np.linalg.solve(M, W.T @ x)


def _encoded(W: Array, x: Array, noise: float, prior: float = 1.0) -> Any:
    return np.linalg.solve(prior * W.T @ W + noise * np.eye(W.shape[1]), W.T @ x)


def _one_image(rng: Rng) -> dict[str, Any]:
    return {
        "W": away_from_zero(rng, 0.3, 1.2, (4, 2)),
        "c": generic_noise_variance(rng),
        "x": away_from_zero(rng, 0.3, 1.5, (4,)),
    }


ENCODE = Compute(
    id="08.a",
    title="The best encoder",
    level="warm-up",
    minutes=5,
    name="encode",
    rough=True,
    truth=encode,
    examples=(
        {"W": np.array([[1.0], [1.0]]), "c": 2.0, "x": np.array([3.0, 1.0])},
        {"W": np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), "c": 0.5, "x": np.array([1.0, -1.0, 2.0])},
    ),
    draw=_one_image,
    mistakes=(
        Mistake(
            "no noise in M",
            "M is W^T W alone: that is least squares, which does not know the prior. What adds c I?",
            lambda W, c, x: _encoded(W, x, 0.0),
        ),
        Mistake(
            "noise one",
            "the identity was added without its factor c.",
            lambda W, c, x: _encoded(W, x, 1.0),
        ),
        Mistake(
            "c squared",
            "c was squared: here c is a variance already.",
            lambda W, c, x: _encoded(W, x, c**2),
        ),
        Mistake(
            "W^T alone",
            "W^T x came back: M has not been taken out.",
            lambda W, c, x: W.T @ x,
        ),
        Mistake(
            "M for its inverse",
            "W^T x was multiplied by M: it is M m = W^T x that has to be solved.",
            lambda W, c, x: (W.T @ W + c * np.eye(W.shape[1])) @ W.T @ x,
        ),
    ),
    hints=(
        "Which k-by-k matrix is M, and how does NumPy spell an identity of that size?",
        "M m = W^T x: which function of np.linalg solves it without an inverse?",
        "Which shapes have W.T @ W and W.T @ x, if W has the shape (d, k)?",
    ),
    next="Take W = (1, 1) as a column, c = 2 and x = (3, 1): M = 2 + 2, and m = 4/4 = 1.",
    tip=(
        {"W": np.array([[1.0], [1.0]]), "c": 2.0, "x": np.array([3.0, 1.0])},
        {"W": np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), "c": 0.5, "x": np.array([1.0, -1.0, 2.0])},
    ),
)

IN_CLASS = (ENCODE,)
