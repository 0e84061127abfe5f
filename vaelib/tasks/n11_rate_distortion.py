r"""Exercises to notebook 11: rate and distortion, active latents, surgery on the rate, what beta drowns, decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.ledger.k_rate import Channel, TwoPixels, entropy_table, kl_table
from vaelib.reply import Tensor
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import generic_noise_variance

Array = np.ndarray
Rng = np.random.Generator

# ------------------------------------------------------------------------------------------------------ the plane

# Of the picture, rate + distortion: A 2 + 25, B 11 + 14, C 19 + 11, D 6 + 13 < H = 21, E 4 + 20, F 0 + 31, G 14 + 12.
PLANE = Compute(
    id="11.1",
    title="Read the plane",
    level="warm-up",
    minutes=5,
    name="best_first",
    truth="ebgacf",
    choices=tuple("abcdefg"),
    mistakes=(
        Mistake(
            "lowest distortion first",
            "the lowest distortion came first: what it costs, the rate, is paid in the same unit.",
            "cgbeaf",
            next="Read off both numbers of each point. What does the bound make of them?",
        ),
        Mistake(
            "lowest rate first",
            "the lowest rate came first: a code that spends nothing leaves everything to say.",
            "faebgc",
            next="Read off both numbers of each point. What does the bound make of them?",
        ),
        Mistake(
            "worst first",
            "the worst comes first: a bound on log p(x) is best where it is largest.",
            "fcagbe",
        ),
        Mistake(
            "nearest to the corner",
            "distances to the corner were compared, along a circle: equal bounds lie on a straight line.",
            "bgecaf",
        ),
        Mistake(
            "the impossible one kept",
            "all seven are in order: yet one promises more than any model of this source can reach.",
            "debgacf",
            next="What does the dashed line forbid, and on which side of it?",
        ),
        *(
            Mistake(
                f"{other.upper()} left out",
                f"the report {other.upper()} was left out, which can be true, and one was kept that cannot.",
                "debgacf".replace(other, ""),
                next="What does the dashed line forbid, and on which side of it?",
            )
            for other in "fc"  # without a rate, and the farthest to the right
        ),
    ),
    hints=(
        "How is the mean bound put together from the two axes, and with which signs?",
        "Which shape do all points with the same bound lie on? Hold a ruler along the dashed line, then shift it.",
        "Write the sum of both numbers beside each letter. Which sum cannot be, and how does the rest sort?",
    ),
    next="Write both numbers of each point beside its letter: what does the bound make of the two?",
)


# --------------------------------------------------------------------------------------------------- active latents

THRESHOLD = 0.01
# (shift of the means, variance of the means, posterior scale) of six latents, the first four inactive
KINDS = (
    ((0.0, 0.001), (4e-6, 1.4e-5), (0.99, 1.01)),  # collapsed: nothing moves
    ((0.4, 0.9), (2e-4, 8e-4), (0.85, 0.95)),  # shifted, the same for every x: a KL, and no news
    ((0.0, 0.02), (1e-3, 3e-3), (0.4, 0.6)),  # narrow, but always at the same place
    ((0.0, 0.01), (2e-3, 5e-3), (0.985, 0.995)),  # moves, too little
    ((0.0, 0.01), (0.013, 0.016), (0.985, 0.995)),  # just active; its KL is below 0.01
    ((0.1, 0.4), (0.3, 0.8), (0.2, 0.5)),  # active, as one imagines it
)


def _codes(rng: Rng) -> dict[str, Any]:
    """Six latents, one of each kind and shuffled; means and variances over the examples are exact."""
    n, k = 41, len(KINDS)
    noise = rng.standard_normal((n, k))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    low, high = np.moveaxis(np.array(KINDS), -1, 0)  # (6, 3) each
    shift, variance, scale = rng.uniform(low, high).T
    shift = shift * rng.choice([-1.0, 1.0], k)
    order = rng.permutation(k)
    loc = (shift + np.sqrt(variance) * noise)[:, order]
    scales = (scale * np.exp(rng.uniform(-0.004, 0.004, (n, k))))[:, order]
    return {"loc": Tensor(loc), "scale": Tensor(scales)}


def _judged_by(held: Callable[[Array, Array], Any]) -> Any:
    """What held(loc, scale), of arrays, says against the threshold."""
    return lambda loc, scale: held(np.asarray(loc), np.asarray(scale)) > THRESHOLD


def _activity(loc: Array, scale: Array) -> Array:
    return loc.var(axis=0)


def _unit_kl(loc: Array, scale: Array) -> Any:
    return np.mean(0.5 * (loc**2 + scale**2 - 1) - np.log(scale), axis=0)


ACTIVE = Compute(
    id="11.2",
    title="Who is active?",
    level="warm-up",
    minutes=4,
    name="active",
    rough=True,
    truth=_judged_by(_activity),
    examples=(
        {"loc": Tensor(np.array([[-1.0], [1.0]])), "scale": Tensor(np.array([[0.5], [0.5]]))},
        {"loc": Tensor(np.array([[0.0], [0.0], [0.0]])), "scale": Tensor(np.array([[1.0], [1.0], [1.0]]))},
        {
            "loc": Tensor(np.array([[0.9, 0.05], [0.9, -0.05], [0.9, 0.0]])),
            "scale": Tensor(np.array([[0.9, 1.0], [0.9, 1.0], [0.9, 1.0]])),
        },
    ),
    draw=_codes,
    mistakes=(
        Mistake(
            "variance of samples",
            "samples of z were used, not means: a collapsed latent varies, too, like the prior.",
            _judged_by(lambda loc, scale: loc.var(axis=0) + np.mean(scale**2, axis=0)),
            next="What does a sample from a latent with loc = 0 and scale = 1 tell about x?",
        ),
        Mistake(
            "deviation for variance",
            "the standard deviation was held against 0.01: the rule speaks of the variance.",
            _judged_by(lambda loc, scale: loc.std(axis=0)),
        ),
        Mistake(
            "mean square",
            "the mean of the squares was taken: a mean that is the same for every x carries no news.",
            _judged_by(lambda loc, scale: np.mean(loc**2, axis=0)),
        ),
        Mistake(
            "KL above 0.01",
            "the KL was held against 0.01: a latent can pay a KL and say the same for every x.",
            _judged_by(_unit_kl),
        ),
        Mistake(
            "the collapsed ones",
            "the collapsed latents are marked: true is for those that are active.",
            lambda loc, scale: ~_judged_by(_activity)(loc, scale),
        ),
        Mistake(
            "over the latents",
            "the variance runs over the latents of one example: it runs over the examples.",
            _judged_by(lambda loc, scale: loc.var(axis=1)),
        ),
        Mistake(
            "counted",
            "the active latents were counted: asked is which ones, one entry for each.",
            lambda loc, scale: np.sum(_judged_by(_activity)(loc, scale)),
        ),
        Mistake(
            "listed by number",
            "the active latents were listed by their numbers: one entry is asked for each latent, true or false.",
            lambda loc, scale: np.flatnonzero(_judged_by(_activity)(loc, scale)),
        ),
    ),
    hints=(
        "If a latent carries news of x, what changes from example to example?",
        "Which of the two tensors holds that, and which of its axes are the examples?",
        "Take a collapsed latent, loc = 0 and scale = 1 for all x: on which side of 0.01 is your number for it?",
    ),
    next="Take two examples and three latents: means 0 and 1/2; 1/2 and 1/2; 0 and 1/10; all scales are 1/2.",
    tip=({"loc": Tensor(np.array([[0.0, 0.5, 0.0], [0.5, 0.5, 0.1]])), "scale": Tensor(np.full((2, 3), 0.5))},),
)


# ------------------------------------------------------------------------------------------- surgery on the rate


def _tables(rng: Rng) -> dict[str, Any]:
    w = Channel.draw(rng, values=5, states=3)
    return {name: Tensor(getattr(w, name)) for name in ("data", "encoder", "decoder", "prior")}


def _two_by_two(data: list[float], prior: list[float]) -> dict[str, Any]:
    encoder, decoder = [[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.2, 0.8]]
    return {
        "data": Tensor(np.array(data)),
        "encoder": Tensor(np.array(encoder)),
        "decoder": Tensor(np.array(decoder)),
        "prior": Tensor(np.array(prior)),
    }


def _channel(**tables: Any) -> Channel:
    return Channel(**{name: np.asarray(table) for name, table in tables.items()})


def _prices(**tables: Any) -> Array:
    w = _channel(**tables)
    return np.array([w.rate, w.distortion, w.information, kl_table(w.aggregate, w.prior)])


def _replaced(new: Callable[[Channel], dict[int, Any]]) -> Any:
    """A mistake: new(w) gives the entries that come out differently."""

    def value(**tables: Any) -> Array:
        w, values = _channel(**tables), _prices(**tables)
        for entry, number in new(w).items():
            values[entry] = number
        return values

    return value


def _equal_examples(**tables: Any) -> Array:
    size = len(tables["data"])
    return _prices(**(tables | {"data": np.full(size, 1 / size)}))


def _split_at(w: Channel, log_aggregate: Array, aggregate: Array) -> dict[int, Any]:
    """Information and mismatch with another log q̄(z) in between, the second mean under `aggregate`."""
    inside = np.sum(w.joint * (np.log(w.encoder) - log_aggregate))
    return {2: inside, 3: np.sum(aggregate * (log_aggregate - np.log(w.prior)))}


def _log_of_mean(w: Channel) -> float:
    return float(-w.data @ np.log(np.sum(w.encoder * w.decoder.T, axis=1)))


SURGERY = Compute(
    id="11.3",
    title="Two prices, and what the rate pays for",
    level="core",
    minutes=15,
    name="prices",
    rough=True,
    truth=_prices,
    examples=(
        _two_by_two([0.5, 0.5], [0.5, 0.5]),
        _two_by_two([0.25, 0.75], [0.5, 0.5]),
        _two_by_two([0.25, 0.75], [0.4, 0.6]),
    ),
    draw=_tables,
    rules=(
        Rule(
            "None of the four is negative: three are means of a KL, one is -log of a probability. One of yours is.",
            lambda value, **_: bool(np.all(value >= -1e-9)),
        ),
        Rule(
            "Information and mismatch add up to the rate. Here your entries 2 and 3 do not add up to your entry 0.",
            lambda value, **_: bool(abs(value[0] - value[2] - value[3]) < 1e-3),
        ),
    ),
    mistakes=(
        Mistake(
            "logarithms averaged",
            "the logarithms of the codes were averaged: q̄(z) averages the codes, then comes the log.",
            _replaced(lambda w: _split_at(w, w.data @ np.log(w.encoder), w.aggregate)),
        ),
        Mistake(
            "examples weighted equally",
            "every x counts the same: their probabilities are in `data`.",
            _equal_examples,
        ),
        Mistake(
            "codes mixed equally",
            "q̄(z) mixes the codes with equal weights: how often is each x coded?",
            _replaced(lambda w: _split_at(w, np.log(w.encoder.mean(axis=0)), w.encoder.mean(axis=0))),
        ),
        Mistake(
            "mean over z",
            "sums over z were replaced by means over its states: a KL weighs them by q, and adds.",
            lambda **tables: _prices(**tables) / len(tables["prior"]),
            real="several public repositories: a mean where the KL is a sum",
        ),
        Mistake(
            "logarithm of the mean",
            "the distortion is the log of a mean: it is the mean of a log, and by Jensen larger.",
            _replaced(lambda w: {1: _log_of_mean(w)}),
        ),
        Mistake(
            "z from the prior",
            "the distortion draws z from the prior: the decoder meets codes, z from q(z | x).",
            _replaced(lambda w: {1: -w.data @ (np.log(w.decoder.T) @ w.prior)}),
        ),
        Mistake(
            "log-likelihood for distortion",
            "entry 1 is the mean log-likelihood: the distortion is minus that.",
            _replaced(lambda w: {1: -w.distortion}),
            real="a public library: the sign of its negative log-likelihood",
        ),
        Mistake(
            "mismatch swapped",
            "KL(p || q̄): the mean is over codes, so their mixture comes first.",
            _replaced(lambda w: {3: kl_table(w.prior, w.aggregate)}),
        ),
        Mistake(
            "mismatch under the prior",
            "log(q̄/p) was averaged under the prior: z is drawn from codes, so under their mixture.",
            _replaced(lambda w: {3: np.sum(w.prior * np.log(w.aggregate / w.prior))}),
        ),
        Mistake(
            "rate is information",
            "the whole rate was taken for information: part of it pays for a prior that does not fit.",
            _replaced(lambda w: {2: w.rate}),
            real="a common reading of the KL term",
        ),
        Mistake(
            "entropy of the mixture alone",
            "H(q̄) was taken for the information: the mean entropy of the codes is subtracted from it.",
            _replaced(lambda w: {2: entropy_table(w.aggregate)}),
        ),
        Mistake(
            "bits",
            "the logarithm has base 2: that gives bits, and nats were asked.",
            lambda **tables: _prices(**tables) / np.log(2),
        ),
    ),
    hints=(
        "Which z does the decoder meet? Write down the table of q(x, z) first: how is it made from two of the four?",
        "Which law does z follow when x is not known? The logarithm of that law, or a mean of logarithms: which is it?",
        "Into log q(z|x)/p(z), put the aggregate twice, once above and once below: what do the two means say?",
    ),
    next="Take data (1/4, 3/4), prior (1/5, 4/5), codes (3/4, 1/4), (1/4, 3/4), and fill in the tables by hand.",
    tip=(_two_by_two([0.25, 0.75], [0.2, 0.8]),),
    forbidden=("kl",),
)


# --------------------------------------------------------------------------------------------------- what beta drowns


def _spectrum(rng: Rng) -> dict[str, Any]:
    """Six variances in no order; now the latents are too few, now the level lies in the middle of them."""
    level = generic_noise_variance(rng)
    d, latents = 6, int(rng.integers(2, 5))
    above = latents + 1 if rng.random() < 0.5 else latents - 1  # directions that stand out of the water
    steps = np.concatenate([rng.uniform(0.25, 0.7, above), -rng.uniform(0.25, 0.7, d - above)])
    log_ratio = np.concatenate([np.cumsum(steps[:above]), np.cumsum(steps[above:])])  # log(lambda / level)
    beta = float(np.exp(rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.1)))
    return {
        "variances": level * np.exp(rng.permutation(log_ratio)),
        "noise_variance": level / beta,
        "beta": beta,
        "latents": latents,
    }


def _latents_of(
    variances: Any,
    noise_variance: float,
    beta: float,
    latents: int,
    level: Callable[[float, float], float] = lambda c, beta: beta * c,
    largest: bool = True,
    clip: bool = True,
) -> Array:
    """Rates and variances of the posterior means of the best linear VAE; how a mistake differs is said in words."""
    variances = np.asarray(variances, dtype=float)
    order = np.argsort(-variances) if largest else np.arange(variances.size)
    has_latent = np.isin(np.arange(variances.size), order[:latents])
    ratio = level(noise_variance, beta) / variances
    ratio = np.where(has_latent, np.minimum(ratio, 1.0) if clip else ratio, 1.0)
    return np.stack([-0.5 * np.log(ratio), 1 - ratio])


def _exact_posterior(variances: Any, noise_variance: float, beta: float, latents: int) -> Array:
    """The right decoder, w^2 = lambda - beta c, with the posterior for noise c as the code."""
    found = _latents_of(variances, noise_variance, beta, latents)
    squares = found[1] * variances  # w^2
    scale_squared = noise_variance / (squares + noise_variance)
    activity = squares * variances / (squares + noise_variance) ** 2
    return np.stack([0.5 * (activity + scale_squared - 1 - np.log(scale_squared)), activity])


def _second_row(new: Callable[[Array, Array], Array]) -> Any:
    """A mistake: new(variance of the posterior means, eigenvalues) is in row 1."""

    def value(**question: Any) -> Array:
        rate, activity = _latents_of(**question)
        return np.stack([rate, new(activity, np.asarray(question["variances"]))])

    return value


DROWNED = Compute(
    id="11.4",
    title="What beta drowns",
    level="stretch",
    minutes=18,
    name="predicted",
    rough=True,
    truth=_latents_of,
    examples=(
        {"variances": np.array([2.0, 0.5]), "noise_variance": 1.0, "beta": 1.0, "latents": 2},
        {"variances": np.array([4.0, 2.0]), "noise_variance": 0.5, "beta": 2.0, "latents": 1},
        {"variances": np.array([0.3, 4.0, 2.0]), "noise_variance": 0.25, "beta": 2.0, "latents": 2},
    ),
    draw=_spectrum,
    rules=(
        Rule(
            "A rate is a mean of KLs, and a variance a mean of squares: never negative. Yours is here.",
            lambda value, **_: bool(np.all(value >= -1e-12)),
        ),
        Rule(
            "The prior has variance 1, and the best codes fit it: the means vary by less. Yours vary more.",
            lambda value, **_: bool(np.all(value[1] <= 1 + 1e-9)),
        ),
    ),
    mistakes=(
        Mistake(
            "beta ignored",
            "the threshold is c: with beta it is beta c.",
            lambda **question: _latents_of(**question, level=lambda c, beta: c),
        ),
        Mistake(
            "c over beta",
            "beta makes the noise smaller: where the code costs more, it is as if the pixels were noisier.",
            lambda **question: _latents_of(**question, level=lambda c, beta: c / beta),
        ),
        Mistake(
            "beta squared",
            "beta multiplies the noise's standard deviation: it multiplies the variance.",
            lambda **question: _latents_of(**question, level=lambda c, beta: beta**2 * c),
        ),
        Mistake(
            "noise squared",
            "c was taken for a standard deviation: it is the noise variance already.",
            lambda **question: _latents_of(**question, level=lambda c, beta: beta * c**2),
            real="public issue threads: scale and variance mixed up",
        ),
        Mistake(
            "the exact posterior as code",
            "the encoder is the posterior for noise c: under beta the best code is another one (K7).",
            _exact_posterior,
            next="Put the best weights into K7: what are mean and scale of the code of one direction?",
        ),
        Mistake(
            "no limit on latents",
            "every direction above beta c got a latent: there are only `latents` of them.",
            lambda **question: _latents_of(**(question | {"latents": len(question["variances"])})),
        ),
        Mistake(
            "the first, not the largest",
            "the first directions of the list got the latents: they are in no order; the largest win.",
            lambda **question: _latents_of(**question, largest=False),
        ),
        Mistake(
            "below zero",
            "directions below beta c were given a negative rate: their latents collapse, and the rate is 0.",
            lambda **question: _latents_of(**question, clip=False),
        ),
        Mistake(
            "no one half",
            "the 1/2 of the rate is missing.",
            lambda **question: _latents_of(**question) * np.array([[2.0], [1.0]]),
        ),
        Mistake(
            "bits",
            "the logarithm has base 2: that gives bits, and nats were asked.",
            lambda **question: _latents_of(**question) / np.array([[np.log(2)], [1.0]]),
        ),
        Mistake(
            "variance of samples",
            "row 1 is the variance of samples of z, 1 for every kept latent: asked is that of the means.",
            _second_row(lambda activity, variances: np.where(activity > 0, 1.0, 0.0)),
        ),
        Mistake(
            "squared weight",
            "row 1 is the squared decoder weight: the encoder's own factor is missing.",
            _second_row(lambda activity, variances: activity * variances),
        ),
        Mistake(
            "spread of the code",
            "row 1 is each code's variance around its mean: asked is how far the means spread over x.",
            _second_row(lambda activity, variances: 1 - activity),
        ),
        Mistake(
            "deviation of the means",
            "row 1 is a standard deviation: the variance is asked for.",
            _second_row(lambda activity, variances: np.sqrt(activity)),
        ),
    ),
    hints=(
        "Below which variance is a direction drowned, and which directions have a latent?",
        "One direction, the best weight: which factor times x - b is the code's mean in K7, and what is its variance?",
        "If a number of variance lambda is multiplied by a factor, what is its variance then? M of K7 is w^2 + level.",
    ),
    next="Take variances 1, 8 and 4, c = 1/2, beta = 4: code, KL and variance with one latent, and with three.",
    tip=(
        {"variances": np.array([1.0, 8.0, 4.0]), "noise_variance": 0.5, "beta": 4.0, "latents": 1},
        {"variances": np.array([1.0, 8.0, 4.0]), "noise_variance": 0.5, "beta": 4.0, "latents": 3},
    ),
)

# ------------------------------------------------------------------------------------- a code and two kinds of decoder


def _two_pixels(rng: Rng) -> dict[str, Any]:
    w = TwoPixels.draw(rng)
    return {"data": w.data, "encoder": w.encoder, "prior": w.prior}


def _least_parts(data: Array, encoder: Array, prior: Array) -> tuple[float, float, float]:
    """Entropy of the pixels, what they still share when z is known, and KL(q̄ || p)."""
    joint = data[..., None] * encoder
    aggregate = joint.sum(axis=(0, 1))
    of_first, of_second = joint.sum(axis=1), joint.sum(axis=0)
    shared = np.sum(joint * (np.log(joint) + np.log(aggregate)))
    shared -= np.sum(of_first * np.log(of_first)) + np.sum(of_second * np.log(of_second))
    return float(entropy_table(data.ravel())), float(shared), float(kl_table(aggregate, prior))


def _least(data: Array, encoder: Array, prior: Array) -> Array:
    entropy, shared, mismatch = _least_parts(data, encoder, prior)
    return np.array([entropy + mismatch, entropy + shared + mismatch])


def _shared_without_code(data: Array) -> float:
    return float(np.sum(data * np.log(data / np.outer(data.sum(axis=1), data.sum(axis=0)))))


def _rate(data: Array, encoder: Array, prior: Array) -> float:
    return float(np.sum(data * kl_table(encoder, prior)))


COIN = np.array([[0.4, 0.1], [0.1, 0.4]])  # two pixels that mostly agree
NAMES_FIRST = np.array([[[0.8, 0.2], [0.8, 0.2]], [[0.2, 0.8], [0.2, 0.8]]])  # a code that says something about x1

WORTH = Compute(
    id="11.5",
    title="What two decoders pay at least",
    level="stretch",
    minutes=15,
    name="least",
    rough=True,
    truth=_least,
    examples=(
        {"data": COIN, "encoder": np.full((2, 2, 2), 0.5), "prior": np.array([0.5, 0.5])},
        {"data": COIN, "encoder": NAMES_FIRST, "prior": np.array([0.5, 0.5])},
        {"data": COIN, "encoder": NAMES_FIRST, "prior": np.array([0.3, 0.7])},
    ),
    draw=_two_pixels,
    rules=(
        Rule(
            "Whoever may look at the first pixel can also leave it: entry 0 is at most entry 1. Yours is larger.",
            lambda value, **_: bool(value[0] <= value[1] + 1e-9),
        ),
    ),
    mistakes=(
        Mistake(
            "rate added to the entropy",
            "the whole rate was added to the entropy of x: what the code says is saved in D again.",
            lambda data, encoder, prior: (
                _least(data, encoder, prior) + _rate(data, encoder, prior) - _least_parts(data, encoder, prior)[2]
            ),
        ),
        Mistake(
            "rate left out",
            "only D is here: the rate, which the code costs, is to be added.",
            lambda data, encoder, prior: _least(data, encoder, prior) - _rate(data, encoder, prior),
        ),
        Mistake(
            "a prior that fits",
            "the prior was taken to be the mean of the codes: where it is not, KL(q̄ || p) is paid, too.",
            lambda data, encoder, prior: _least(data, encoder, prior) - _least_parts(data, encoder, prior)[2],
        ),
        Mistake(
            "shared without the code",
            "what the pixels share was taken without z: the code may have said some of it.",
            lambda data, encoder, prior: (
                _least(data, encoder, prior)
                + np.array([0.0, _shared_without_code(data) - _least_parts(data, encoder, prior)[1]])
            ),
        ),
        Mistake(
            "the strong decoder twice",
            "both entries are the strong decoder's: the weak one cannot look at the first pixel.",
            lambda data, encoder, prior: np.full(2, _least(data, encoder, prior)[0]),
        ),
        Mistake(
            "mismatch swapped",
            "KL(p || q̄): the mean is over codes, so their mixture comes first.",
            lambda data, encoder, prior: (
                _least(data, encoder, prior)
                - _least_parts(data, encoder, prior)[2]
                + kl_table(prior, np.einsum("ij,ijk->k", data, encoder))
            ),
        ),
        Mistake(
            "images weighted equally",
            "every image counts the same: their probabilities are in `data`.",
            lambda data, encoder, prior: _least(np.full_like(data, 1 / data.size), encoder, prior),
        ),
        Mistake(
            "bits",
            "the logarithm has base 2: that gives bits, and nats were asked.",
            lambda data, encoder, prior: _least(data, encoder, prior) / np.log(2),
        ),
    ),
    hints=(
        "If the decoder may be any law of its kind, which one makes D least, given the table of q(x1, x2, z)?",
        "In D, the second pixel is a mean of -log q(x2 | x1, z), or of -log q(x2 | z). Which tables does each need?",
        "Line 3 of K11 has two terms and line 2 of K12 has three: which do they have in common?",
    ),
    next="Take the data 0.4, 0.1; 0.2, 0.3, the prior (0.3, 0.7) and a z that is x1 in four of five cases.",
    tip=({"data": np.array([[0.4, 0.1], [0.2, 0.3]]), "encoder": NAMES_FIRST, "prior": np.array([0.3, 0.7])},),
    forbidden=("kl",),
)

TASKS = (PLANE, ACTIVE, SURGERY, DROWNED, WORTH)


# --------------------------------------------------------------------------------------------------------- in class


def _information_of_codes(log_q: Array) -> Any:
    own = np.diag(log_q)  # how likely z_n is under the code of its image
    of_all = logsumexp(log_q, axis=1) - np.log(len(log_q))  # and under the mean of all codes
    return np.mean(own - of_all)


def _gaussian_codes(loc: Any, scale: Any, z: Any) -> dict[str, Any]:
    """log q(z_n | x_m) in row n and column m, of Gaussian codes with one latent."""
    loc, scale, z = (np.array(values, dtype=float) for values in (loc, scale, z))
    return {"log_q": -0.5 * ((z[:, None] - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)}


def _drawn_codes(rng: Rng) -> dict[str, Any]:
    loc, scale = rng.uniform(-2, 2, 5), rng.uniform(0.3, 1.2, 5)
    return _gaussian_codes(loc, scale, loc + scale * rng.standard_normal(5))


INFORMATION = Compute(
    id="11.a",
    title="How much the codes say",
    minutes=6,
    name="information_of_codes",
    rough=True,
    truth=_information_of_codes,
    examples=(
        {"log_q": np.log(np.array([[0.8, 0.2], [0.4, 0.6]]))},
        {"log_q": np.log(np.array([[0.7, 0.1, 0.2], [0.3, 0.3, 0.9], [0.2, 0.5, 1.5]]))},
        _gaussian_codes([-40.0, 0.0, 40.0], [0.5, 0.4, 0.6], [-40.2, 0.1, 40.3]),
    ),
    draw=_drawn_codes,
    mistakes=(
        Mistake(
            "mean of logarithms",
            "the logarithms of all codes were averaged: take the logarithm of the mean code.",
            lambda log_q: np.mean(np.diag(log_q) - np.mean(log_q, axis=1)),
        ),
        Mistake(
            "log N forgotten",
            "the codes were summed and not averaged: log N is missing.",
            lambda log_q: np.mean(np.diag(log_q) - logsumexp(log_q, axis=1)),
        ),
        Mistake(
            "mean over the wrong axis",
            "the mean is taken down a column: keep z_n, in row n, and go through the codes.",
            lambda log_q: np.mean(np.diag(log_q) - logsumexp(log_q, axis=0) + np.log(len(log_q))),
        ),
        Mistake(
            "sum over images",
            "the images are summed: the mean over them is asked for, in nats for each image.",
            lambda log_q: len(log_q) * _information_of_codes(log_q),
        ),
        Mistake(
            "upside down",
            "the mean code was divided by the image's own: what you return is minus the information.",
            lambda log_q: -_information_of_codes(log_q),
        ),
        Mistake(
            "the mean code alone",
            "only the mean code is here: how much likelier z_n is under its own code is asked for.",
            lambda log_q: -np.mean(logsumexp(log_q, axis=1) - np.log(len(log_q))),
        ),
    ),
    hints=(
        "z_n was drawn from the code of image n. Where in the table is log q(z_n | x_n)?",
        "The mean code at z_n is the mean of a row, but of q and not of log q. What does `logsumexp` do?",
        "`logsumexp(log_q, axis=1)` is the logarithm of a sum of N numbers. What makes a mean of it?",
    ),
    next="Two codes that are the same say nothing: a table of equal numbers gives 0.",
    tip=({"log_q": np.zeros((2, 2))},),
)


def _pixel_by_pixel(x: Array, offset: Array, look: Array) -> Any:
    logits = offset + x @ np.triu(look, 1)  # pixel j looks at the pixels i < j
    return np.sum(x * logits - np.logaddexp(0, logits), axis=-1)


def _with_sight(sight: Callable[[Array], Array]) -> Any:
    """A mistake: what pixel j sees is x @ sight(look)."""

    def value(x: Array, offset: Array, look: Array) -> Any:
        logits = offset + x @ sight(look)
        return np.sum(x * logits - np.logaddexp(0, logits), axis=-1)

    return value


def _drawn_pixels(rng: Rng) -> dict[str, Any]:
    d = 5
    x = rng.permutation(np.array([1.0, 1.0, 1.0, 0.0, 0.0]))
    return {
        "x": x,
        "offset": rng.uniform(-1.5, 1.5, d),
        "look": rng.uniform(0.3, 1.5, (d, d)) * rng.choice([-1, 1], (d, d)),
    }


PIXELS = Compute(
    id="11.b",
    title="One pixel after the other",
    minutes=6,
    name="pixel_by_pixel",
    rough=True,
    truth=_pixel_by_pixel,
    examples=(
        {"x": np.array([1.0, 1.0]), "offset": np.array([0.0, 0.0]), "look": np.array([[5.0, 2.0], [7.0, 3.0]])},
        {"x": np.array([1.0, 0.0]), "offset": np.array([-1.0, 0.5]), "look": np.array([[0.0, 1.5], [0.0, 0.0]])},
        {
            "x": np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]),
            "offset": np.array([0.5, -0.5, 1.0]),
            "look": np.array([[1.0, -2.0, 3.0], [0.5, 2.0, -1.0], [1.5, 0.7, -3.0]]),
        },
    ),
    draw=_drawn_pixels,
    mistakes=(
        Mistake(
            "looks at itself",
            "pixel j looks at pixel j: it may see only those before it, so the diagonal goes, too.",
            _with_sight(np.triu),
        ),
        Mistake(
            "sees all pixels",
            "every pixel sees all the others: only those before it are known when its turn comes.",
            _with_sight(lambda look: look),
        ),
        Mistake(
            "sees those after it",
            "pixel j sees the pixels after it: keep look[i, j] where i comes before j.",
            _with_sight(lambda look: np.tril(look, -1)),
        ),
        Mistake(
            "rows and columns swapped",
            "rows and columns of `look` are swapped: look[i, j] goes from pixel i to pixel j.",
            _with_sight(lambda look: np.triu(look.T, 1)),
        ),
        Mistake(
            "no look back",
            "the pixels before were left out: these are independent pixels.",
            _with_sight(np.zeros_like),
        ),
        Mistake(
            "mean over pixels",
            "the pixels were averaged: an image is one number of nats, the sum over its pixels.",
            lambda x, offset, look: _pixel_by_pixel(x, offset, look) / x.shape[-1],
        ),
        Mistake(
            "not normalized",
            "x times the logit alone is not a log-probability: log(1 + exp(logit)) is subtracted.",
            lambda x, offset, look: np.sum(x * (offset + x @ np.triu(look, 1)), axis=-1),
        ),
    ),
    hints=(
        "Which entries look[i, j] may pixel j use, if it has seen only the pixels i < j?",
        "`np.triu(look, 1)` keeps what lies above the diagonal. How do x and it give all the logits?",
        "A pixel with logit l is 1 with probability 1 / (1 + exp(-l)). What is log p of x = 1, and of x = 0?",
    ),
    next="Two pixels, both 1, offsets 0, look[0, 1] = 2: the first costs log 2, the second sees a logit of 2.",
    tip=({"x": np.array([1.0, 1.0]), "offset": np.zeros(2), "look": np.array([[0.0, 2.0], [0.0, 0.0]])},),
)

IN_CLASS = (INFORMATION, PIXELS)
