r"""Exercises to notebook 09: a real VAE, its loss and its units. Where a program has tensors, so have the questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaelib.distributions import Bernoulli, DiagonalNormal, kl_divergence
from vaelib.reply import Tensor
from vaelib.task import Compute, Custom, Mistake, Rule
from vaelib.witnesses import away_from_zero, generic_noise_variance, generic_scale

Array = np.ndarray
Rng = np.random.Generator

# ------------------------------------------------------------------------------------------------- bits for a pixel


def _bits_of_levels(nll: float, pixels: int, levels: int) -> Any:
    """An upper bound on -log2 P(v) / pixels, with cells of volume levels^-pixels."""
    return nll / (pixels * np.log(2)) + np.log2(levels)


def _density_of_an_image(rng: Rng) -> dict[str, Any]:
    pixels, levels = int(rng.integers(100, 3000)), int(rng.choice([5, 17, 32, 100, 256]))
    bits = rng.uniform(0.3, 0.9) * np.log2(levels)  # for each pixel: the density is then above 1, and nll below 0
    return {"nll": float((bits - np.log2(levels)) * pixels * np.log(2)), "pixels": pixels, "levels": levels}


BITS = Compute(
    id="09.1",
    title="Nats of an image, bits of a pixel",
    level="warm-up",
    minutes=6,
    name="bits_per_pixel",
    rough=True,
    truth=_bits_of_levels,
    examples=(
        {"nll": 0.0, "pixels": 1, "levels": 2},
        {"nll": 0.0, "pixels": 784, "levels": 256},
        {"nll": -2400.0, "pixels": 784, "levels": 256},
    ),
    draw=_density_of_an_image,
    rules=(
        Rule(
            "A code is not shorter than nothing: bits per pixel are not negative. Which term is missing?",
            lambda value, **_: bool(np.all(value >= 0)),
        ),
    ),
    mistakes=(
        Mistake(
            "levels left out",
            "the density was taken for a probability: a level is a cell of width 1 / levels.",
            lambda nll, pixels, levels: nll / (pixels * np.log(2)),
        ),
        Mistake(
            "nats called bits",
            "the first term is still in nats: how many nats is one bit?",
            lambda nll, pixels, levels: nll / pixels + np.log2(levels),
        ),
        Mistake(
            "levels in nats",
            "log(levels) was added in nats to a number in bits.",
            lambda nll, pixels, levels: nll / (pixels * np.log(2)) + np.log(levels),
        ),
        Mistake(
            "multiplied by log 2",
            "nats were multiplied by log 2: a nat is more than a bit, so there are more bits than nats.",
            lambda nll, pixels, levels: nll * np.log(2) / pixels + np.log2(levels),
        ),
        Mistake(
            "levels subtracted",
            "the sign of the second term is turned: -log of a small cell is positive.",
            lambda nll, pixels, levels: nll / (pixels * np.log(2)) - np.log2(levels),
        ),
        Mistake(
            "levels counted once an image",
            "the levels count once for the image: each of its pixels has its own cell.",
            lambda nll, pixels, levels: (nll / np.log(2) + np.log2(levels)) / pixels,
        ),
        Mistake(
            "bits of the whole image",
            "these are bits for the whole image, and what was asked is one pixel.",
            lambda nll, pixels, levels: nll / np.log(2) + pixels * np.log2(levels),
        ),
        Mistake(
            "eight bits for any image",
            "8 bits were added, whatever the levels: not every image has 256 of them.",
            lambda nll, pixels, levels: nll / (pixels * np.log(2)) + 8,
        ),
    ),
    hints=(
        "What is the logarithm to base 2 in terms of the natural one?",
        "The density lives on [0, 1]. How large is the cell that one level of one pixel fills, and one whole image?",
        "Density times volume is a probability. What does minus its logarithm become, for one pixel, in bits?",
    ),
    next="Take 2 pixels of 4 levels, nll = 2 log 2, a density of 1/4. How likely is one image, in bits?",
    tip=({"nll": float(2 * np.log(2)), "pixels": 2, "levels": 4},),
    forbidden=("bits",),
)

# ----------------------------------------------------------------------------------------------- the loss of a batch


def _nll(x: Any, logits: Any) -> Any:
    """-log p(x | z), (B,); a tensor is taken as the array that it holds."""
    return -Bernoulli(np.asarray(logits)).log_prob(np.asarray(x)).sum(-1)


def _kl(loc: Any, log_scale: Any) -> Any:
    loc, scale = np.asarray(loc), np.exp(np.asarray(log_scale))
    return kl_divergence(DiagonalNormal(loc, scale), DiagonalNormal(np.zeros_like(loc), np.ones_like(loc)))


def _loss(x: Any, logits: Any, loc: Any, log_scale: Any) -> Any:
    return _nll(x, logits) + _kl(loc, log_scale)


def _from_sigmoid(log: Callable[[Array], Array]) -> Callable[..., Any]:
    """The loss with a sigmoid that is rounded before `log` sees it."""

    def loss(x: Any, logits: Any, loc: Any, log_scale: Any) -> Any:
        x, ink = np.asarray(x), 1 / (1 + np.exp(-np.asarray(logits)))
        with np.errstate(divide="ignore"):
            return -(x * log(ink) + (1 - x) * log(1 - ink)).sum(-1) + _kl(loc, log_scale)

    return loss


def _scale_not_squared(x: Any, logits: Any, loc: Any, log_scale: Any) -> Any:
    loc, log_scale = np.asarray(loc), np.asarray(log_scale)
    return _nll(x, logits) + 0.5 * (np.exp(log_scale) + loc**2 - 1 - 2 * log_scale).sum(-1)


def _batch(rng: Rng, images: int = 3, pixels: int = 5, latents: int = 2) -> dict[str, Any]:
    """Binary pixels with their logits; in each image one paper pixel where the decoder is sure of ink."""
    x = rng.permuted(np.tile([0.0, 0.0, 1.0, 1.0, 0.0], (images, 1)), axis=1)
    logits = away_from_zero(rng, 0.3, 2.5, (images, pixels))
    sure = np.argmin(x, axis=1)  # the first pixel that is paper
    logits[np.arange(images), sure] = rng.uniform(40, 60, images)
    log_scale = np.log(generic_scale(rng, (images, latents)))
    return _tensors(x, logits, away_from_zero(rng, 0.3, 1.5, (images, latents)), log_scale)


def _tensors(x: Any, logits: Any, loc: Any, log_scale: Any) -> dict[str, Any]:
    arrays = {"x": x, "logits": logits, "loc": loc, "log_scale": log_scale}
    return {name: Tensor(np.array(array, dtype=float)) for name, array in arrays.items()}


LOSS = Compute(
    id="09.2",
    title="The loss of a batch",
    level="core",
    minutes=12,
    name="loss_per_image",
    truth=_loss,
    examples=(
        _tensors([[1]], [[0]], [[0]], [[0]]),
        _tensors([[1, 0]], [[0, 0]], [[1]], [[0]]),
        _tensors([[0]], [[45]], [[0]], [[0]]),
        _tensors([[1, 0, 0]], [[0.7, -1.3, 2.1]], [[0.6, -1.1]], [[0.4, -0.3]]),  # no pixel is sure
    ),
    draw=_batch,
    rules=(
        Rule(
            "Pixels are binary, so -log p(x|z) is not negative, and a KL never is. Neither is their sum.",
            lambda value, **_: bool(np.all(value >= 0)),
        ),
    ),
    mistakes=(
        Mistake(
            "mean over pixels",
            "the pixels are averaged: a product of probabilities becomes a sum of logarithms.",
            lambda x, logits, loc, log_scale: _nll(x, logits) / x.shape[-1] + _kl(loc, log_scale),
            real="loss functions with reduction='mean', in many repositories",
        ),
        Mistake(
            "KL averaged over latents",
            "the KL is averaged over the latents: for independent coordinates it is a sum.",
            lambda x, logits, loc, log_scale: _nll(x, logits) + _kl(loc, log_scale) / loc.shape[-1],
            real="several public repositories",
        ),
        Mistake(
            "mean over pixels and latents",
            "both terms are means, one over pixels, one over latents: that changes how much the KL counts.",
            lambda x, logits, loc, log_scale: _nll(x, logits) / x.shape[-1] + _kl(loc, log_scale) / loc.shape[-1],
            real="issue threads of several VAE implementations",
        ),
        Mistake(
            "logarithm of a sigmoid, cut off",
            "the logarithm of a sigmoid is cut off at -100: a pixel that is sure and wrong then costs too little.",
            _from_sigmoid(lambda probability: np.maximum(np.log(probability), -100)),
            next="A pixel is paper, and its logit is 45. What should it cost, and what does yours say?",
        ),
        Mistake(
            "small number inside the logarithm",
            "1e-8 was added inside the logarithm: a sure and wrong pixel then costs 18 nats at most.",
            _from_sigmoid(lambda probability: np.log(probability + 1e-8)),
            next="A pixel is paper, and its logit is 45. What should it cost, and what does yours say?",
            real="code that adds a small number inside the logarithm",
        ),
        Mistake(
            "log_scale taken for log_var",
            "exp(log_scale) was taken for the variance; it is the standard deviation.",
            lambda x, logits, loc, log_scale: _nll(x, logits) + _kl(loc, log_scale / 2),
            real="issue threads: log-variance taken for log-deviation",
        ),
        Mistake(
            "scale not squared",
            "a scale was put where the KL has a variance; the logarithm beside it is right.",
            _scale_not_squared,
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "KL subtracted",
            "the KL is subtracted: the bound does that, and the loss is minus the bound.",
            lambda x, logits, loc, log_scale: _nll(x, logits) - _kl(loc, log_scale),
            real="public issue threads: the sign of the KL",
        ),
        Mistake(
            "the bound, not the loss",
            "this is the bound itself. An optimizer goes down: the loss is minus the bound.",
            lambda **batch: -_loss(**batch),
        ),
        Mistake(
            "one number for the batch",
            "the images were put together, too: each of them has its own loss here.",
            lambda **batch: np.mean(_loss(**batch)),
        ),
        Mistake(  # last: it is infinite where a pixel is sure, and equals the truth elsewhere
            "sigmoid first, then the logarithm",
            "the sigmoid comes before the logarithm: it is rounded to 1, and log(1 - 1) is infinite.",
            _from_sigmoid(np.log),
            next="A pixel is paper, and its logit is 45. What is its sigmoid in a computer? Is it needed at all?",
            real="log(0) in several VAE libraries",
        ),
    ),
    hints=(
        "Which two terms does the bound have, and what is the sign of each once you minimize?",
        "What is log p(x|z) of one pixel in terms of its logit? Which axis holds the pixels, which the latents?",
        "What is the variance in terms of log_scale? And what is log(1 - sigmoid(a)), written with softplus?",
    ),
    next="x = (1, 0), logits (0, 45), loc = (1, 0), log_scale = (log 2, 0) cost log 2 + 45; the KL is 2 - log 2.",
    tip=(_tensors([[1, 0]], [[0, 45]], [[1, 0]], [[np.log(2), 0]]),),
    forbidden=("kl",),
)

# --------------------------------------------------------------------------------------- the beta of a loss as found


def _effective_beta(
    pixels: int, latents: int, kl_weight: float, noise_variance: float, batch_size: int, num_examples: int
) -> float:
    """Price of one unit of summed KL, once one unit of summed squared error costs 1 / (2 noise_variance)."""
    price_of_error = num_examples / batch_size / pixels
    price_of_kl = kl_weight / latents
    return price_of_kl / (price_of_error * 2 * noise_variance)


def _found(rng: Rng) -> dict[str, Any]:
    batch_size = int(rng.integers(20, 200))
    return {
        "pixels": int(rng.integers(50, 3000)),
        "latents": int(rng.integers(3, 60)),
        "kl_weight": float(rng.uniform(0.02, 0.9)),
        "noise_variance": generic_noise_variance(rng),
        "batch_size": batch_size,
        "num_examples": int(batch_size * rng.uniform(3, 40)),
    }


def _case(
    pixels: int = 1, latents: int = 1, kl_weight: float = 1.0, noise_variance: float = 0.5, m: int = 1, n: int = 1
) -> dict[str, Any]:
    names = ("pixels", "latents", "kl_weight", "noise_variance", "batch_size", "num_examples")
    return dict(zip(names, (pixels, latents, kl_weight, noise_variance, m, n), strict=True))


BETA = Compute(
    id="09.3",
    title="The beta of a loss, as found",
    level="stretch",
    minutes=15,
    name="effective_beta",
    rough=True,
    truth=_effective_beta,
    examples=(
        _case(),
        _case(pixels=784),
        _case(pixels=784, latents=5, kl_weight=0.1, noise_variance=1.0),
        _case(m=100, n=5000),
    ),
    draw=_found,
    mistakes=(
        Mistake(
            "mean over pixels left as it is",
            "the mean over pixels was read as a sum: it makes each squared error cheaper.",
            lambda **found: _effective_beta(**found) / found["pixels"],
            real="a much-used repository, and a course: MSE.mean() + weight * KL",
        ),
        Mistake(
            "mean over latents left as it is",
            "the mean over latents was read as a sum: it makes each nat of KL cheaper.",
            lambda **found: _effective_beta(**found) * found["latents"],
            real="a well-known course: KL.mean()",
        ),
        Mistake(
            "N/M taken for both terms",
            "N/M was put before both terms: in this loss it multiplies the error alone.",
            lambda **found: _effective_beta(**found) * found["num_examples"] / found["batch_size"],
            real="a much-used repository calls its KL weight a minibatch correction",
        ),
        Mistake(
            "N/M on the wrong side",
            "N/M raises the price of the KL here: it raises that of the error, so the KL counts less beside it.",
            lambda **found: _effective_beta(**found) * (found["num_examples"] / found["batch_size"]) ** 2,
        ),
        Mistake(
            "no one half",
            "a squared error was taken to cost 1/c; in -log p(x|z) it costs half of that.",
            lambda **found: 2 * _effective_beta(**found),
        ),
        Mistake(
            "unit variance",
            "the noise variance was left at 1: the price of a squared error depends on it.",
            lambda **found: _effective_beta(**found) * found["noise_variance"],
            real="MSE losses, which fix c at 1 or 1/2 without saying so",
        ),
        Mistake(
            "variance for scale",
            "c was squared: it is the variance already, not the standard deviation.",
            lambda **found: _effective_beta(**found) / found["noise_variance"],
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Mistake(
            "upside down",
            "the quotient is upside down: a larger weight of the KL must give a larger beta.",
            lambda **found: 1 / _effective_beta(**found),
        ),
    ),
    hints=(
        "What does this loss charge for one unit of *summed* squared error, and what for one nat of *summed* KL?",
        "What does -log p(x|z) of a Gaussian decoder charge for one unit of summed squared error?",
        "By what do you multiply the loss so that its error has that price? What does the KL cost then?",
    ),
    next="Take d = 3, k = 2, w = 1, c = 2, M = 1, N = 5: what does one unit of squared error cost, and one nat of KL?",
    tip=(_case(pixels=3, latents=2, kl_weight=1.0, noise_variance=2.0, m=1, n=5),),
)

TASKS = (BITS, LOSS, BETA)

# ------------------------------------------------------------------------------- in class: a VAE, written in six steps

_OWN = "vaelib.tasks.in_class_vae:"  # answers and judges are in torch, and are imported when a class asks for them

ENCODER = Custom(
    id="09.a",
    title="The encoder: from an image to a distribution",
    minutes=6,
    name="Encoder",
    truth=_OWN + "Encoder",
    judge=_OWN + "judge_encoder",
    hints=(
        "q is a Gaussian for each latent. Which two numbers does a Gaussian need, and which of them may be negative?",
        "What goes between two `nn.Linear` layers, so that the two are more than one?",
        "The features h = body(x) are common. Which two layers turn h into loc and into log_scale?",
    ),
    next="Call it on `torch.zeros(5, 784)`: how many tensors come back, and of which shapes?",
    mistakes=(
        Mistake(
            "a scale, not its logarithm",
            "the second output is never negative: a logarithm of a scale may be.",
            _OWN + "ScaleItself",
        ),
        Mistake(
            "one output for both",
            "loc and log_scale come from one layer: then the width of q follows its place.",
            _OWN + "OneOutput",
        ),
        Mistake(
            "nothing between the layers",
            "there is nothing between the layers: two linear maps in a row are one.",
            _OWN + "StraightEncoder",
        ),
        Mistake(
            "layers that the optimizer does not see",
            "a layer is kept in a list: its weights are not in parameters(), and would never move.",
            _OWN + "HiddenFromTheOptimizer",
        ),
        Mistake(
            "loc is never negative",
            "loc ends with a ReLU: half of the latent space can then not be reached.",
            _OWN + "NeverNegative",
        ),
    ),
)

REPARAMETERIZE = Custom(
    id="09.b",
    title="The draw: noise in, a code out",
    minutes=3,
    name="reparameterize",
    truth=_OWN + "reparameterize",
    judge=_OWN + "judge_reparameterize",
    hints=(
        "How did notebook 07 write a Gaussian z with the help of noise that does not know mu and sigma?",
        "What is the scale in terms of log_scale?",
        "Which of the three numbers is multiplied by the noise, and which one is added?",
    ),
    next="With loc 0, log_scale 0.5 and noise 2, z is 3.2974. What is yours?",
    mistakes=(
        Mistake(
            "the logarithm used as it is",
            "log_scale itself was multiplied by the noise: a scale is positive.",
            lambda loc, log_scale, noise: loc + log_scale * noise,
        ),
        Mistake(
            "the variance for the scale",
            "the noise was multiplied by the variance, exp(2 log_scale).",
            lambda loc, log_scale, noise: loc + (2 * log_scale).exp() * noise,
        ),
        Mistake(
            "log_scale read as log_var",
            "log_scale was halved, as one does with the logarithm of a variance.",
            lambda loc, log_scale, noise: loc + (log_scale / 2).exp() * noise,
        ),
        Mistake(
            "no noise",
            "the noise is left out: z is then the middle of q each time.",
            lambda loc, log_scale, noise: loc + 0 * noise,
        ),
    ),
)

DECODER = Custom(
    id="09.c",
    title="The decoder: a logit for each pixel",
    minutes=5,
    name="Decoder",
    truth=_OWN + "Decoder",
    judge=_OWN + "judge_decoder",
    hints=(
        "It mirrors the encoder. How many numbers go in, and how many come out?",
        "A logit may be any real number. What must therefore not follow the last layer?",
        "Which three layers, put into `nn.Sequential`, lead from latents over hidden to 784?",
    ),
    next="Call it on `torch.zeros(5, latents)`: the result has shape (5, 784). Which values can it have?",
    mistakes=(
        Mistake(
            "probabilities, not logits",
            "a sigmoid follows the last layer: the log-likelihood below asks for logits.",
            _OWN + "Probabilities",
        ),
        Mistake(
            "logits are never negative",
            "the last layer ends with a ReLU: no pixel could be more likely paper than ink.",
            _OWN + "NeverPaper",
        ),
        Mistake(
            "nothing between the layers",
            "there is nothing between the layers: two linear maps in a row are one.",
            _OWN + "StraightDecoder",
        ),
    ),
)

LOG_LIKELIHOOD = Custom(
    id="09.d",
    title="The first term: how likely is this image?",
    minutes=5,
    name="log_likelihood",
    truth=_OWN + "log_likelihood",
    judge=_OWN + "judge_log_likelihood",
    hints=(
        "What is the log-probability of one binary pixel, written with its logit? (D8, line 3)",
        "The softplus log(1 + e^a) is `nn.functional.softplus`. Which pixels pay it: those of ink, or all?",
        "Pixels are independent given z. What does the logarithm make of their product, and along which axis?",
    ),
    next="One pixel of ink with logit 0 has log-likelihood -log 2 = -0.6931. What is yours?",
    mistakes=(
        Mistake(
            "mean over pixels",
            "the pixels are averaged: a product of probabilities becomes a sum of logarithms.",
            lambda x, logits: (x * logits - (1 + logits.exp()).log()).mean(-1),
        ),
        Mistake(
            "one number for the batch",
            "the images were added, too: each of them has its own log-likelihood here.",
            lambda x, logits: (x * logits - (1 + logits.exp()).log()).sum(),
        ),
        Mistake(
            "cross-entropy",
            "this is the cross-entropy, which is minus the log-likelihood.",
            lambda x, logits: ((1 + logits.exp()).log() - x * logits).sum(-1),
        ),
        Mistake(
            "ink alone",
            "only pixels of ink were counted: a pixel of paper has a probability as well.",
            lambda x, logits: (x * (logits - (1 + logits.exp()).log())).sum(-1),
        ),
        Mistake(
            "sigmoid first, then the logarithm",
            "the sigmoid comes before the logarithm: at a logit of 40 it is rounded to 1.",
            _OWN + "sigmoid_first",
            next="A pixel is paper, and its logit is 40. Is the sigmoid needed at all?",
        ),
    ),
)

KL = Custom(
    id="09.e",
    title="The second term: how far is q from the prior?",
    minutes=5,
    name="kl",
    truth=_OWN + "kl",
    judge=_OWN + "judge_kl",
    hints=(
        "What is KL(N(mu, sigma^2) || N(0, 1)) in closed form? (notebook 04, E2)",
        "What is the variance in terms of log_scale, and what is log sigma^2?",
        "The latents are independent under q and under the prior. What happens to their KLs?",
    ),
    next="With loc 1 and log_scale 0 the KL of one latent is 0.5. What is yours?",
    mistakes=(
        Mistake(
            "mean over latents",
            "the latents were averaged: for independent coordinates the KL is a sum.",
            lambda loc, log_scale: 0.5 * ((2 * log_scale).exp() + loc**2 - 1 - 2 * log_scale).mean(-1),
        ),
        Mistake(
            "a scale where the variance belongs",
            "exp(log_scale) was taken for the variance; it is the standard deviation.",
            _OWN + "scale_for_variance",
        ),
        Mistake(
            "the logarithm counted once",
            "log sigma^2 = 2 log sigma is counted once only.",
            lambda loc, log_scale: 0.5 * ((2 * log_scale).exp() + loc**2 - 1 - log_scale).sum(-1),
        ),
        Mistake(
            "sign of loc squared",
            "the square of loc is subtracted: a code far from 0 would then be cheap.",
            lambda loc, log_scale: 0.5 * ((2 * log_scale).exp() - loc**2 - 1 - 2 * log_scale).sum(-1),
        ),
        Mistake(
            "minus the KL",
            "the sign is turned: this is minus the KL.",
            lambda loc, log_scale: -0.5 * ((2 * log_scale).exp() + loc**2 - 1 - 2 * log_scale).sum(-1),
        ),
        Mistake(
            "one number for the batch",
            "the images were added, too: each of them has its own KL here.",
            lambda loc, log_scale: 0.5 * ((2 * log_scale).exp() + loc**2 - 1 - 2 * log_scale).sum(),
        ),
    ),
)

STEP = Custom(
    id="09.f",
    title="One step of training",
    minutes=7,
    name="step",
    truth=_OWN + "step",
    judge=_OWN + "judge_step",
    hints=(
        "Follow one image: through the encoder, the draw, the decoder. What does each of your five pieces return?",
        "The optimizer goes down. What has to go down, so that the bound goes up? What makes one number of a batch?",
        "Gradients add up until somebody clears them. In which order come backward, step and zero_grad?",
    ),
    next="Print the loss of one batch before and after a step, with the same noise: which should be the lower one?",
    mistakes=(
        Mistake(
            "gradients are never cleared",
            "zero_grad is missing: the gradient of the first step is still there in the second.",
            _OWN + "never_forgets",
        ),
        Mistake(
            "the weights do not move",
            "optimizer.step() is missing: the weights are where they were.",
            _OWN + "never_moves",
        ),
        Mistake(
            "the bound is minimized",
            "the optimizer goes down, and here it takes the bound with it: the sign is missing.",
            _OWN + "climbs_down",
        ),
        Mistake(
            "the KL has the other sign",
            "the KL is rewarded: it is the price that the bound subtracts.",
            _OWN + "pays_for_kl",
        ),
        Mistake(
            "no KL",
            "the KL is left out: that trains a noisy autoencoder, and no model of images.",
            _OWN + "plain_autoencoder",
        ),
        Mistake(
            "summed over the batch",
            "the images were added: the step is then longer, the more images a batch has.",
            _OWN + "sums_over_images",
        ),
    ),
)

IN_CLASS = (ENCODER, REPARAMETERIZE, DECODER, LOG_LIKELIHOOD, KL, STEP)
