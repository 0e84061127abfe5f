r"""Chapter D, continued: what a decoder's log-likelihood is, in nats and in bits.

With the identities that a real VAE needs beside it: the evidence of a Bernoulli decoder is a distribution (B7), the KL by
samples (C23), the variance of a minibatch (F13), and the best noise variance of a Gaussian decoder (K8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np
from scipy.special import expit, ndtr

from vaelib.derivation import Derivation, derive
from vaelib.distributions import Bernoulli, Categorical, Normal
from vaelib.elbo import density_times, elbo
from vaelib.estimate import Estimate
from vaelib.formula import given, sampled, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Interval, States
from vaelib.formula.worlds import Decoder, Law
from vaelib.ledger.f_elbo import DataSet, over_batches
from vaelib.models import CurvedGaussian, ScalarBernoulli
from vaelib.quadrature import gauss_hermite, gauss_legendre, trapezoid
from vaelib.witnesses import (
    CurvedWitness,
    NormalPair,
    away_from_zero,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator
EPS = float(np.finfo(float).eps)


# ----------------------------------------------------------------------------------------- one pixel, zero or one: D8


@dataclass(frozen=True)
class BinaryPixels:
    """Logits and binary pixels: both values of x at positive and at negative logits, small ones and large."""

    logits: Array
    x: Array  # whole numbers

    @classmethod
    def draw(cls, rng: Rng) -> BinaryPixels:
        size = np.concatenate([rng.uniform(0.3, 3.0, 4), rng.uniform(20.0, 100.0, 4)])
        return cls(size * np.tile([1.0, 1.0, -1.0, -1.0], 2), np.tile([1, 0], 4))

    def members(self) -> list[Scope]:
        """Each pixel x with its logit a and s = sigmoid(a)."""
        return [Scope(values={"a": a, "x": x, "s": expit(a)}) for a, x in zip(self.logits, self.x, strict=True)]


def log_of_probability(w: BinaryPixels) -> Array:
    """log P(x), from the probability of the other value where that is the smaller one: nothing rounds to 1."""
    agreement = (2 * w.x - 1) * w.logits
    smaller = 1 / (1 + np.exp(np.abs(agreement)))
    return np.where(agreement > 0, np.log1p(-smaller), np.log(smaller))


def log_s(a: Array) -> Array:
    """log sigmoid(a), without rounding sigmoid(a) to 1."""
    smaller = expit(-np.abs(a))
    return np.where(a > 0, np.log1p(-smaller), np.log(smaller))


def by_logits(w: BinaryPixels, *, x: float = 1.0, softplus: float = 1.0, of: float = 1.0) -> Estimate:
    """x a - softplus(a); the two cancel where the pixel is all but certain, and the error says so."""
    return Estimate(
        x * w.x * w.logits - softplus * np.logaddexp(0, of * w.logits), 4 * EPS * np.maximum(np.abs(w.logits), 1)
    )


def sigmoid_then_log(w: BinaryPixels) -> Array:
    """What is computed if s is rounded before its logarithm is taken: log 0 at a certain pixel that is wrong."""
    s = 1 / (1 + np.exp(-w.logits))
    return np.where(w.x == 1, np.log(s), np.log(1 - s))


D8 = (
    derive(
        "D8",
        "log-likelihood of a binary pixel, from its logit",
        BinaryPixels.draw,
        assumptions="x in {0, 1}, s = sigmoid(a)",
        source="Kingma and Welling 2014, appendix C.1",
    )
    .start(given(r"\log\left[s^{x} (1 - s)^{1 - x}\right]", log_of_probability))
    .eq(
        given(r"x \log s + (1 - x) \log(1 - s)", lambda w: w.x * log_s(w.logits) + (1 - w.x) * log_s(-w.logits)),
        "logarithm of a product; 1 - sigmoid(a) = sigmoid(-a)",
    )
    .slip(
        "sigmoid first, then the logarithm",
        given("TODO", sigmoid_then_log),
        "s was rounded to 0 or 1 before the logarithm: log 0 is minus infinity. Stay with logits.",
        real="log(0) in several VAE libraries",
    )
    .slip("ones only", tex(r"x \log s"), "the pixels that are 0 are left out: (1 - x) log(1 - s) is missing.")
    .eq(
        given(
            r"x \log\tfrac{s}{1 - s} + \log(1 - s)",
            lambda w: Estimate(
                w.x * (log_s(w.logits) - log_s(-w.logits)) + log_s(-w.logits),
                4 * EPS * np.maximum(np.abs(w.logits), 1),
            ),
        ),
        "collect what multiplies x: the log-odds",
    )
    .eq(tex(r"x a - \mathrm{softplus}(a)"), "the log-odds are the logit a; log(1 - s) = -softplus(a)")
    .slip("no softplus", tex(r"x a"), "softplus(a) is missing: without it the two probabilities do not sum to one.")
    .slip(
        "sign of the logit",
        tex(r"-x a - \mathrm{softplus}(-a)"),
        "the logit has the wrong sign: 0 and 1 are exchanged.",
    )
    .slip(
        "softplus of minus a",
        tex(r"x a - \mathrm{softplus}(-a)"),
        "softplus(-a) stands where softplus(a) belongs: that is -log s, not -log(1 - s).",
    )
    .eq(tex(r"-\left[\max(a, 0) - x a + \log(1 + e^{-|a|})\right]"), "take out max(a, 0): no exponential overflows")
    .slip(
        "cross-entropy without its minus",
        tex(r"\max(a, 0) - x a + \log(1 + e^{-|a|})"),
        "the cross-entropy itself: the log-likelihood is minus that.",
        real="a library whose test asserts that a negative log-likelihood is below zero",
    )
    .eq(
        given(r"\mathtt{Bernoulli(a).log\_prob(x)}", lambda w: Bernoulli(w.logits).log_prob(w.x)),
        "the package's own: this function trains a VAE",
    )
)


# ------------------------------------------------------------------------------------ an image of real numbers: D9


@dataclass(frozen=True)
class Reconstructions:
    """An image of five pixels, six attempts at reconstructing it, and the noise variance of the decoder."""

    x: Array  # (d,)
    f: Array  # (attempts, d)
    noise_variance: float

    @classmethod
    def draw(cls, rng: Rng) -> Reconstructions:
        x = away_from_zero(rng, 0.3, 1.5, (5,))
        return cls(x, x + away_from_zero(rng, 0.2, 1.0, (6, 5)), generic_noise_variance(rng))

    @property
    def squares(self) -> Array:
        return (self.x - self.f) ** 2

    def members(self) -> list[Scope]:
        """The image x with each attempt f."""
        return [
            Scope(
                values={"x": self.x, "f": f, "c": self.noise_variance, "d": self.x.size}
                | {r"\mathrm{MSE}": np.mean((self.x - f) ** 2)},
                ranges={"j": self.x.size},
            )
            for f in self.f
        ]


def gaussian_nll(
    w: Reconstructions, *, half: float = 0.5, power: float = 1, constant: float = 1.0, average: bool = False
) -> Array:
    """||x - f||^2 / (2 c) + d/2 log(2 pi c), for each attempt; the keywords make its slips."""
    square = w.squares.mean(axis=-1) if average else w.squares.sum(axis=-1)
    return half * square / w.noise_variance**power + constant * w.x.size / 2 * np.log(2 * np.pi * w.noise_variance)


D9 = (
    derive(
        "D9",
        "Gaussian decoder: negative log-likelihood and squared error",
        Reconstructions.draw,
        assumptions="x | z ~ N(f, c I_d); for the last line c is the same for every f",
        source="Bishop 2006, section 1.2.5",
    )
    .start(tex(r"-\log \prod_{j=1}^{d} \frac{1}{\sqrt{2\pi c}}\, e^{-(x_j - f_j)^2 / 2c}"))
    .eq(
        tex(r"\sum_{j=1}^{d} \left[\frac{(x_j - f_j)^2}{2c} + \tfrac12\log 2\pi c\right]"),
        "logarithm of a product, minus signs taken in",
    )
    .eq(tex(r"\frac{\|x - f\|^2}{2c} + \tfrac{d}{2}\log 2\pi c"), "the constant is the same for each of the d pixels")
    .slip(
        "mean over pixels",
        tex(r"\frac{\mathrm{MSE}}{2c} + \tfrac{d}{2}\log 2\pi c"),
        "the square was averaged over the d pixels; the logarithm of a product is a sum.",
        real="loss functions with reduction='mean', in many repositories",
    )
    .slip("no one half", tex(r"\frac{\|x - f\|^2}{c} + \tfrac{d}{2}\log 2\pi c"), "the 1/2 of the exponent is missing.")
    .slip(
        "variance for standard deviation",
        tex(r"\frac{\|x - f\|^2}{2c^2} + \tfrac{d}{2}\log 2\pi c"),
        "c was squared as if it were the standard deviation.",
        real="exp(log_var) used as a standard deviation, in several repositories",
    )
    .slip("no constant", tex(r"\frac{\|x - f\|^2}{2c}"), "d/2 log(2 pi c) was dropped under an equals sign.")
    .slip(
        "constant without 2 pi",
        tex(r"\frac{\|x - f\|^2}{2c} + \tfrac{d}{2}\log c"),
        "log(2 pi)/2 was left out, once for each pixel: the bound is then too high.",
        real="a well-known tutorial: its plotted bound is off by hundreds of nats",
    )
    .slip(
        "constant once, not d times",
        tex(r"\frac{\|x - f\|^2}{2c} + \tfrac12\log 2\pi c"),
        "the constant was counted for one pixel only.",
    )
    .eq(
        given(
            r"-\textstyle\sum_j \mathtt{Normal}(f_j, \sqrt{c})\mathtt{.log\_prob}(x_j)",
            lambda w: -Normal(w.f, np.sqrt(w.noise_variance)).log_prob(w.x).sum(axis=-1),
        ),
        "the package's own: its scale is sqrt(c)",
    )
    .eq(
        tex(r"\frac{d}{2c}\left(\mathrm{MSE} + c \log 2\pi c\right)"),
        "MSE is a mean over pixels: times d it is the sum",
    )
    .up_to_constant(tex(r"\frac{d}{2c}\,\mathrm{MSE}"), "c fixed: the constant moves no minimum in f")
    .slip(
        "mean squared error itself",
        tex(r"\mathrm{MSE}"),
        "MSE stands for the loss: beside a KL its weight d/(2c) cannot be left out.",
        real="MSE.mean() + weight * KL, in courses and repositories",
    )
)


# ---------------------------------------------------------------------------------------- a whole binary image: B7


@dataclass(frozen=True)
class BinaryDecoder:
    """A one-dimensional latent with a Bernoulli decoder of five pixels; lines sum over all 32 images."""

    model: ScalarBernoulli

    @classmethod
    def draw(cls, rng: Rng, d: int = 5) -> BinaryDecoder:
        return cls(ScalarBernoulli(away_from_zero(rng, 0.4, 1.6, (d,)), away_from_zero(rng, 0.3, 1.2, (d,))))

    def images(self, values: tuple[float, ...] = (0, 1)) -> Array:
        """All images whose pixels take these values, shape (values^d, 1, d)."""
        return np.array(list(product(values, repeat=self.model.slope.size)))[:, None]

    def ones(self, z: Array) -> Array:
        """s(z) = P(x_j = 1 | z), shape (n, d)."""
        return expit(self.model.slope * z[:, None] + self.model.bias)

    def scope(self) -> Scope:
        """p(x, z) with s_j = p(x_j = 1 | z); x runs over all images."""
        return Scope(
            worlds={"p": Decoder(self.model)},
            spaces={"x": States(self.images()[:, 0])},
            maps={"s": Map(lambda z: expit(self.model.logits(z)), rank=1)},
            ranges={"j": self.model.slope.size},
        )


def under_prior(f: Callable[[BinaryDecoder, Array], Array]) -> Callable[[BinaryDecoder], Estimate]:
    """Integral of p(z) f(z), by Gauss-Legendre panels; f takes z of shape (n,) and returns shape (n,)."""

    def value(w: BinaryDecoder) -> Estimate:
        return gauss_legendre(lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * f(w, z), -12.0, 12.0, 8, 16)

    return value


def mass_of_images(
    w: BinaryDecoder, z: Array, *, values: tuple[float, ...] = (0, 1), zeros: bool = True, average: bool = False
) -> Array:
    """sum_x prod_j s_j^x_j (1 - s_j)^(1 - x_j), spelled out, shape (n,); the keywords make its slips."""
    s, x = w.ones(z), w.images(values)
    per_pixel = s**x * ((1 - s) ** (1 - x) if zeros else 1.0)  # (images, n, d)
    probability = np.prod(per_pixel, axis=-1)  # (images, n)
    return np.sum(probability ** (1 / s.shape[-1] if average else 1), axis=0)


def sum_of_evidences(w: BinaryDecoder) -> Estimate:
    """sum_x p(x): the joint density of each image with z, by the package's Bernoulli, integrated by the trapezoid rule."""
    x = w.images()

    def joint(z: Array) -> Array:
        log_likelihood = Bernoulli(w.model.logits(z)).log_prob(x).sum(axis=-1)  # (images, n)
        return np.exp(w.model.log_prior(z) + log_likelihood).T

    each = trapezoid(joint, -12.0, 12.0, n=100)
    return Estimate(np.sum(each.value), np.sum(each.error))


B7 = (
    derive(
        "B7",
        "the evidence of a Bernoulli decoder is a distribution over images",
        BinaryDecoder.draw,
        assumptions="x in {0, 1}^d; pixels independent given z",
        source="Kingma and Welling 2014, appendix C.1",
    )
    .start(given(r"\sum_{x \in \{0,1\}^d} p(x)", sum_of_evidences))
    .eq(
        tex(r"\sum_{x} \int p(z) \prod_{j} s_j^{x_j} (1 - s_j)^{1 - x_j}\, dz"),
        "marginalization; pixels independent given z",
    )
    .slip(
        "grey pixels counted",
        given(
            r"\sum_{x \in \{0, \frac12, 1\}^d} \int p(z) \prod_{j} s_j^{x_j} (1 - s_j)^{1 - x_j}\, dz",
            under_prior(lambda w, z: mass_of_images(w, z, values=(0, 0.5, 1))),
        ),
        "grey values got a share too: on top of 0 and 1, the total exceeds one.",
        real="cross-entropy of grey pixels called a log-likelihood, in many repositories",
    )
    .slip(
        "mean over pixels",
        given(
            r"\sum_{x} \int p(z) \left[\prod_{j} s_j^{x_j} (1 - s_j)^{1 - x_j}\right]^{1/d} dz",
            under_prior(lambda w, z: mass_of_images(w, z, average=True)),
        ),
        "the logarithm was averaged over pixels: then its exponential sums to far more than one.",
        real="reduction='mean', in many repositories",
    )
    .slip(
        "ones only",
        tex(r"\sum_{x} \int p(z) \prod_{j} s_j^{x_j}\, dz"),
        "the pixels that are 0 are left out: the factor (1 - s)^(1 - x) is missing.",
    )
    .eq(
        tex(r"\int p(z) \prod_{j} \left[s_j + (1 - s_j)\right] dz"),
        "distributive law: sum of products = product of sums",
    )
    .slip(
        "product for sum",
        given(
            r"\int p(z) \prod_{j} s_j (1 - s_j)\, dz",
            under_prior(lambda w, z: np.prod(w.ones(z) * expit(-w.model.logits(z)), axis=-1)),
        ),
        "the two values of a pixel were multiplied: they exclude each other, so they add.",
    )
    .eq(tex(r"\int p(z)\, dz"), "each bracket is 1, whatever z")
    .slip(
        "number of images",
        given(r"2^d \int p(z)\, dz", under_prior(lambda w, z: np.full_like(z, 2.0**w.model.slope.size))),
        "each of the 2^d images was given the weight of all.",
    )
    .eq(tex("1"), "the prior is a density")
)


# ------------------------------------------------------------------------------------- nats, bits, levels: D12 and D13


@dataclass(frozen=True)
class Levels:
    """An image of three pixels with five levels each, and the probability that a model gives to each level."""

    probabilities: Array  # (d, L)
    x: Array  # (d,), whole numbers

    @classmethod
    def draw(cls, rng: Rng, d: int = 3, num_levels: int = 5) -> Levels:
        return cls(generic_probabilities(rng, (d, num_levels)), rng.integers(num_levels, size=d))

    @property
    def shape(self) -> tuple[int, int]:
        return self.probabilities.shape

    @property
    def of_pixels(self) -> Array:
        """P(x_j), shape (d,)."""
        return self.probabilities[np.arange(len(self.x)), self.x]


def nats(w: Levels) -> float:
    return -float(np.sum(np.log(w.of_pixels)))


def log_density(w: Levels) -> float:
    """log p(y) at y = (x + u) / L: the density is L^d P(x), constant in each cell of volume L^-d."""
    d, num_levels = w.shape
    return float(np.log(np.prod(w.of_pixels) / (1 / num_levels) ** d))


D12 = (
    derive(
        "D12",
        "bits per dimension",
        Levels.draw,
        assumptions="x in {0, ..., L-1}^d; y = (x + u)/L with u in [0, 1)^d, p(y) constant in each cell",
        source="Theis, van den Oord and Bethge 2016, section 3.1",
    )
    .start(given(r"-\tfrac{1}{d} \log_2 P(x)", lambda w: -np.log2(np.prod(w.of_pixels)) / len(w.x)))
    .eq(
        given(r"\frac{-\log P(x)}{d \log 2}", lambda w: nats(w) / (len(w.x) * np.log(2))),
        "change of base: a bit is log 2 nats",
    )
    .slip(
        "nats called bits",
        given(r"\frac{-\log P(x)}{d}", lambda w: nats(w) / len(w.x)),
        "the number is in nats: log 2 is missing.",
    )
    .slip(
        "per image, not per dimension",
        given(r"\frac{-\log P(x)}{\log 2}", lambda w: nats(w) / np.log(2)),
        "d is missing: these are bits for the whole image.",
    )
    .slip(
        "logarithm to base ten",
        given(r"\frac{-\log P(x)}{d \log 10}", lambda w: nats(w) / (len(w.x) * np.log(10))),
        "the logarithm to base 10 was used; a bit is a logarithm to base 2.",
    )
    .slip(
        "multiplied by log 2",
        given(r"\frac{-\log P(x) \log 2}{d}", lambda w: nats(w) / len(w.x) * np.log(2)),
        "nats were multiplied by log 2: a nat is more than a bit, so bits are the larger number.",
    )
    .eq(
        given(
            r"-\tfrac{1}{d \log 2} \textstyle\sum_j \mathtt{Categorical.log\_prob}(x_j)",
            lambda w: -Categorical(np.log(w.probabilities)).log_prob(w.x).sum() / (len(w.x) * np.log(2)),
        ),
        "the same from the package's log-probabilities",
    )
    .eq(
        given(
            r"\frac{-\log\left[L^{-d}\, p(y)\right]}{d \log 2}",
            lambda w: -(log_density(w) - len(w.x) * np.log(w.shape[1])) / (len(w.x) * np.log(2)),
        ),
        "pixels scaled by 1/L: a level is a cell of volume L^-d",
    )
    .eq(
        given(
            r"\frac{-\log p(y)}{d \log 2} + \log_2 L",
            lambda w: -log_density(w) / (len(w.x) * np.log(2)) + np.log2(w.shape[1]),
        ),
        "logarithm of a product; 8 bits where L = 256",
    )
    .slip(
        "scaled pixels, no log2 L",
        given(r"\frac{-\log p(y)}{d \log 2}", lambda w: -log_density(w) / (len(w.x) * np.log(2))),
        "log2 L is missing: a density of pixels in [0, 1] is no probability of levels.",
    )
    .slip(
        "log L in nats",
        given(
            r"\frac{-\log p(y)}{d \log 2} + \log L",
            lambda w: -log_density(w) / (len(w.x) * np.log(2)) + np.log(w.shape[1]),
        ),
        "log L was added in nats to a number in bits.",
    )
)


class Noise:
    """The uniform law on [0, 1)."""

    def log_prob(self, u: Array) -> Array:
        return np.zeros(np.shape(u))


@dataclass(frozen=True)
class GaussianLevels:
    """A Gaussian density of a pixel in units of its levels, and three levels near its mean."""

    p: Normal
    v: Array  # (3,), whole numbers

    @classmethod
    def draw(cls, rng: Rng) -> GaussianLevels:
        p = Normal(away_from_zero(rng, 1.2, 3.4), generic_scale(rng))
        return cls(p, np.floor(p.loc).astype(int) + np.array([-1, 0, 1]))

    def members(self) -> list[Scope]:
        """Each level v with P(v), the density p of a number, and uniform noise u."""
        law = self.p
        return [
            Scope(
                worlds={"p": Law("t", law), "U": Law("u", Noise())},
                values={"v": v, "m": law.loc, "s": law.scale},
                spaces={"u": Interval(0.0, 1.0, hard_low=True, hard_high=True)},
                laws={"u": "U(u)"},
            )
            for v in self.v
        ]


def over_noise(f: Callable[[GaussianLevels, Array], Array]) -> Callable[[GaussianLevels], Estimate]:
    """E_u[f(v + u)] for u uniform on [0, 1), for each level, by Gauss-Legendre."""

    def value(w: GaussianLevels) -> Estimate:
        return gauss_legendre(lambda u: f(w, w.v + u[:, None]), 0.0, 1.0, 2, 16)

    return value


def mass(w: GaussianLevels) -> Array:
    """P(v), from the distribution function."""
    return ndtr((w.v + 1 - w.p.loc) / w.p.scale) - ndtr((w.v - w.p.loc) / w.p.scale)


def mean_log_density(w: GaussianLevels, *, center: float = 0.5, variance: float = 1 / 12) -> Array:
    """-1/2 log(2 pi s^2) - ((v + 1/2 - m)^2 + 1/12) / (2 s^2)."""
    square = (w.v + center - w.p.loc) ** 2 + variance
    return -0.5 * np.log(2 * np.pi * w.p.scale**2) - square / (2 * w.p.scale**2)


D13 = (
    derive(
        "D13",
        "dequantization: uniform noise gives a lower bound on log P(v)",
        GaussianLevels.draw,
        assumptions="v whole, u uniform on [0, 1); p = N(m, s^2) in units of a level",
        source="Theis, van den Oord and Bethge 2016, equation (5)",
    )
    .start(given(r"\log P(v)", lambda w: np.log(mass(w))))
    .eq(tex(r"\log \int_0^1 p(v + u)\, du"), "the mass of a level is the integral over its cell")
    .ge(
        tex(r"\mathbb{E}_{u}\left[\log p(v + u)\right]"),
        "u has density 1 on [0, 1); Jensen: log is concave",
        gap=lambda w: np.log(mass(w)) - mean_log_density(w),
    )
    .slip("an upper bound", says="Jensen is used for a convex function: log is concave, so noise loses.", relation="<=")
    .slip("equality", says="log and mean over u were exchanged: that costs the gap.", relation="=")
    .slip(
        "no noise",
        tex(r"\log p(v)"),
        "the density at the bare level was taken: it bounds nothing, and can grow without end.",
        real="Gaussian decoders trained on bare bytes",
    )
    .eq(
        tex(r"-\tfrac12\log 2\pi s^2 - \frac{(v + \frac12 - m)^2 + \frac{1}{12}}{2s^2}"),
        "a uniform u has mean 1/2 and variance 1/12",
    )
    .slip(
        "noise around the level",
        tex(r"-\tfrac12\log 2\pi s^2 - \frac{(v - m)^2 + \frac{1}{12}}{2s^2}"),
        "u has mean 0: the cell of level v runs from v to v + 1.",
    )
    .slip(
        "no variance of the noise",
        tex(r"-\tfrac12\log 2\pi s^2 - \frac{(v + \frac12 - m)^2}{2s^2}"),
        "E[u^2] was taken for E[u]^2: the variance 1/12 is missing.",
    )
    .eq(
        sampled(r"\log p(v + u) \text{ on random } u", lambda w, rng, n: w.p.log_prob(w.v + rng.random((n, 1)))),
        "a sample mean: bounded, so its variance is finite",
        num_samples=4_000,
    )
    .slip(
        "Gaussian noise",
        sampled("TODO", lambda w, rng, n: w.p.log_prob(w.v + rng.standard_normal((n, 1)))),
        "u is Gaussian: it then leaves the cell of its level.",
    )
)


# ----------------------------------------------------------------------------------------------- KL from samples, C23


def narrower_prior(rng: Rng) -> NormalPair:
    """p narrower than q, but 2 var(p) > var(q): p/q is bounded, and q/p, which a slip takes, still has a mean."""
    p_scale = generic_scale(rng)
    q_scale = p_scale * np.exp(rng.uniform(0.2, 0.3))
    p_loc = away_from_zero(rng, 0.3, 1.2)
    return NormalPair(Normal(p_loc + away_from_zero(rng, 0.3, 0.7) * p_scale, q_scale), Normal(p_loc, p_scale))


def equal_pair(rng: Rng) -> NormalPair:
    w = narrower_prior(rng)
    return NormalPair(w.p, w.p)


def under_q(f: Callable[[Array], Array]) -> Callable[[NormalPair], Estimate]:
    """E_q[f(log r)] with r = p/q, by the trapezoid rule."""

    def value(w: NormalPair) -> Estimate:
        def integrand(u: Array) -> Array:
            z = w.q.loc + w.q.scale * u
            return density_times(-(u**2) / 2 - 0.5 * np.log(2 * np.pi), f(w.p.log_prob(z) - w.q.log_prob(z)))

        return trapezoid(integrand, -18.0, 18.0, n=150)

    return value


def excess(log_r: Array) -> Array:
    return np.exp(log_r) - 1 - log_r


def sampled_excess(w: NormalPair, rng: Rng, n: int, *, law: str = "q", sign: float = 1.0) -> Array:
    z = getattr(w, law).transform(rng.standard_normal(n))
    return excess(sign * (w.p.log_prob(z) - w.q.log_prob(z)))


C23 = (
    derive(
        "C23",
        "KL from samples, none of which is negative",
        narrower_prior,
        assumptions="q > 0 wherever p > 0; for the samples var(p) < 2 var(q), so that their variance is finite",
        source="J. Schulman, Approximating KL divergence, 2020 (k1 and k3)",
    )
    .start(tex(r"\mathrm{KL}(q \,\Vert\, p)"))
    .eq(tex(r"\mathbb{E}_{q}\left[-\log r\right],\ r = p/q"), "definition of KL")
    .slip(
        "log r without its minus",
        tex(r"\mathbb{E}_{q}\left[\log r\right]"),
        "the minus is missing: KL averages log q/p, and r is p/q.",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[-\log r\right] + \mathbb{E}_{q}\left[r - 1\right]"),
        "the integral of q p/q is 1: the new term has mean 0",
    )
    .eq(tex(r"\mathbb{E}_{q}\left[r - 1 - \log r\right]"), "expectation is linear")
    .slip(
        "half the squared log-ratio",
        tex(r"\mathbb{E}_{q}\left[\tfrac12 (\log r)^2\right]"),
        "(log r)^2/2 was averaged: close to KL where q is near p, but biased.",
        real="the estimator k2 of a widely used note, which says so",
    )
    .slip("no minus one", tex(r"\mathbb{E}_{q}\left[r - \log r\right]"), "the -1 is missing: E[r] is 1, not 0.")
    .slip(
        "ratio upside down",
        tex(r"\mathbb{E}_{q}\left[\tfrac1r - 1 + \log r\right]"),
        "r is q/p: under q it is p/q that has mean 1.",
    )
    .eq(
        sampled(r"r - 1 - \log r \text{ on random } z \sim q", sampled_excess),
        "a sample mean: r is bounded here, so its variance is finite",
        num_samples=20_000,
    )
    .slip(
        "samples from p",
        sampled("TODO", lambda w, rng, n: sampled_excess(w, rng, n, law="p")),
        "z was drawn from p: KL(q || p) averages under q.",
    )
    .ge(tex("0"), "log r <= r - 1: no sample is negative", equality=equal_pair)
    .slip("never positive", says="the inequality is turned around.", relation="<=")
)


# ----------------------------------------------------------------------------------- the noise of a minibatch, F13


def bounds_of(w: DataSet) -> Array:
    """The bound of each example, shape (N,)."""
    return elbo(w.log_likelihood, w.kl)


def spread_of(bounds: Array, ddof: int = 1) -> float:
    """s^2 = sum_i (L_i - mean)^2 / (N - 1)."""
    return float(np.sum((bounds - bounds.mean()) ** 2) / (len(bounds) - ddof))


def from_moments(w: DataSet, *, covariance: bool = True, power: int = 2) -> float:
    """(N/M)^2 [M Var(L_I) + M (M-1) Cov(L_I, L_J)], with mean products over examples and over pairs of them."""
    bounds, n, m = bounds_of(w), len(w.x), w.batch_size
    centered = bounds - bounds.mean()
    variance = np.mean(centered**2)
    pairs = np.mean([centered[i] * centered[j] for i, j in combinations(range(n), 2)])
    return float((n / m) ** power * (m * variance + covariance * m * (m - 1) * pairs))


def variance_of_batches(w: DataSet) -> float:
    total = np.sum(bounds_of(w))
    return over_batches(lambda ll, kl, n, m: (n / m * np.sum(elbo(ll, kl)) - total) ** 2)(w)


def squared_deviations(w: DataSet, rng: Rng, n: int, *, replacement: bool = False) -> Array:
    bounds, size, m = bounds_of(w), len(w.x), w.batch_size
    shuffled = rng.permuted(np.tile(np.arange(size), (n, 1)), axis=1)[:, :m]
    batches = rng.integers(size, size=(n, m)) if replacement else shuffled
    return (size / m * bounds[batches].sum(axis=1) - bounds.sum()) ** 2


def closed_variance(w: DataSet, *, correction: bool = True, ddof: int = 1, power: int = 2) -> float:
    n, m = len(w.x), w.batch_size
    return n**power / m * spread_of(bounds_of(w), ddof) * (1 - m / n if correction else 1)


F13 = (
    derive(
        "F13",
        "variance of the minibatch estimator",
        DataSet.draw,
        assumptions="the batch B of M examples uniform without replacement from N",
        source="Cochran 1977, theorem 2.2",
    )
    .start(
        given(r"\mathrm{Var}_{B}\left[\tfrac{N}{M} \textstyle\sum_{i \in B} \mathcal{L}_i\right]", variance_of_batches)
    )
    .eq(
        given(
            r"\tfrac{N^2}{M^2} \left[M\,\mathrm{Var}(\mathcal{L}_I) + M(M-1)\,\mathrm{Cov}(\mathcal{L}_I, \mathcal{L}_J)\right]",
            from_moments,
        ),
        "variance of a sum; I, J two different examples",
    )
    .slip(
        "examples taken as independent",
        given(r"\tfrac{N^2}{M}\,\mathrm{Var}(\mathcal{L}_I)", lambda w: from_moments(w, covariance=False)),
        "the covariance is missing: without replacement, one example in makes the others rarer.",
    )
    .slip(
        "N/M not squared",
        given("TODO", lambda w: from_moments(w, power=1)),
        "the factor N/M was not squared: a variance scales with the square.",
    )
    .eq(
        given(
            r"\tfrac{N^2}{M^2} \left[M\,\tfrac{N-1}{N}\,s^2 - M(M-1)\,\tfrac{1}{N}\,s^2\right]",
            lambda w: (
                (len(w.x) / w.batch_size) ** 2
                * spread_of(bounds_of(w))
                * (w.batch_size * (len(w.x) - 1) - w.batch_size * (w.batch_size - 1))
                / len(w.x)
            ),
        ),
        "deviations sum to 0: Cov = -Var/(N - 1)",
    )
    .eq(given(r"\tfrac{N^2}{M}\, s^2 \left(1 - \tfrac{M}{N}\right)", closed_variance), "(N - 1) - (M - 1) = N - M")
    .slip(
        "no finite-population correction",
        given(r"\tfrac{N^2}{M}\, s^2", lambda w: closed_variance(w, correction=False)),
        "1 - M/N is missing: a batch of all examples has no noise at all.",
    )
    .slip(
        "s^2 divided by N", given("TODO", lambda w: closed_variance(w, ddof=0)), "s^2 was divided by N, not by N - 1."
    )
    .slip(
        "N for N^2",
        given(r"\tfrac{N}{M}\, s^2 \left(1 - \tfrac{M}{N}\right)", lambda w: closed_variance(w, power=1)),
        "the sum over the data set was scaled as a mean: N^2, not N.",
    )
    .eq(
        sampled(
            r"\left(\tfrac{N}{M} \textstyle\sum_{i \in B} \mathcal{L}_i - \sum_i \mathcal{L}_i\right)^2 \text{ on random batches}",
            squared_deviations,
        ),
        "a sample mean over batches: 35 values, finite variance",
        num_samples=20_000,
    )
    .slip(
        "with replacement",
        sampled("TODO", lambda w, rng, n: squared_deviations(w, rng, n, replacement=True)),
        "batches were drawn with replacement: the same example may come twice.",
    )
)


# ------------------------------------------------------------------------- the best noise of a Gaussian decoder, K8


@dataclass(frozen=True)
class NoisyImages:
    """A curved decoder (d = 3) with some noise variance c, N = 4 observations and a q for each."""

    model: CurvedGaussian
    x: Array  # (N, d)
    qs: tuple[Normal, ...]

    @classmethod
    def draw(cls, rng: Rng) -> NoisyImages:
        model = CurvedWitness.draw(rng).model
        _, x = model.sample(4, rng=rng)
        qs = tuple(Normal(away_from_zero(rng, 0.3, 1.0), np.exp(-rng.uniform(0.2, 0.9))) for _ in x)
        return cls(model, x, qs)

    @property
    def size(self) -> int:
        """N d, the number of pixels in all."""
        return self.x.size

    @property
    def squares(self) -> Estimate:
        """sum_n E_q ||x_n - f(z)||^2, by Gauss-Hermite: a polynomial of degree 4."""

        def square(x: Array, q: Normal) -> Estimate:
            return gauss_hermite(lambda z: ((x - self.model.decoder(z)) ** 2).sum(axis=-1), q.loc, q.scale)

        return sum(map(square, self.x, self.qs), Estimate(0.0))

    def scope(self) -> Scope:
        """The decoder f with noise variance c, the images x_n and their q_n; c^* is the mean squared error."""
        model, (n, d) = self.model, self.x.shape
        loc, scale = np.array([q.loc for q in self.qs]), np.array([q.scale for q in self.qs])
        best = best_variance(self)
        changed = replace(model, noise_variance=best)
        return Scope(
            worlds={
                "q_": lambda i: Law("z", Normal(loc[i], scale[i])),
                "p_c": Decoder(model),
                "p_{c^*}": Decoder(changed),
            },
            values={"x": self.x, "c": model.noise_variance, "c^*": best, "N": n, "d": d},
            maps={"f": Map(model.decoder, rank=1)},
            ranges={"n": n},
        )


def best_variance(w: NoisyImages) -> float:
    """c* = 1/(N d) sum_n E_q ||x_n - f(z)||^2."""
    return float(w.squares) / w.size


def expected_log_likelihoods(w: NoisyImages) -> Estimate:
    """sum_n E_q[log p(x_n | z)], by the trapezoid rule and the model's own density."""

    def expected(x: Array, q: Normal) -> Estimate:
        return w.model.integrate(lambda z: density_times(q.log_prob(z), w.model.log_likelihood(x, z)))

    return sum(map(expected, w.x, w.qs), Estimate(0.0))


def with_variance(variance: Callable[[NoisyImages], float]) -> Callable[[NoisyImages], Estimate]:
    """sum_n E_q[log p(x_n | z)] for the same decoder and q, but another noise variance."""
    return lambda w: expected_log_likelihoods(replace(w, model=replace(w.model, noise_variance=variance(w))))


def profile(w: NoisyImages) -> float:
    """-(N d / 2) (log 2 pi c* + 1)."""
    return -w.size / 2 * float(np.log(2 * np.pi * best_variance(w)) + 1)


def in_ratio(w: NoisyImages, best: float, constant: float = 1.0) -> float:
    """-(N d / 2) (log 2 pi c + c*/c), with `best` for c*."""
    c = w.model.noise_variance
    return -w.size / 2 * float(constant * np.log(2 * np.pi * c) + best / c)


def lost(w: NoisyImages) -> float:
    """(N d / 2) (r - 1 - log r), r = c*/c."""
    ratio = best_variance(w) / w.model.noise_variance
    return w.size / 2 * float(ratio - 1 - np.log(ratio))


K8 = (
    derive(
        "K8",
        "the best noise variance of a Gaussian decoder",
        NoisyImages.draw,
        assumptions="x | z ~ N(f(z), c I), one c for all pixels and examples; encoder and f stay as they are",
        source="Rybkin, Daniilidis and Levine 2021, section 3",
    )
    .start(tex(r"\sum_n \mathbb{E}_{q_n}\left[\log p_c(x_n \mid z)\right]"))
    .eq(
        tex(r"-\tfrac{Nd}{2}\log 2\pi c - \tfrac{1}{2c} \sum_n \mathbb{E}_{q_n}\|x_n - f(z)\|^2"),
        "the logarithm of a Gaussian density (D9)",
    )
    .eq(
        tex(r"-\tfrac{Nd}{2}\left(\log 2\pi c + \tfrac{c^*}{c}\right)"),
        "c* := mean over N d pixels of the expected square",
    )
    .slip(
        "no 1/d",
        given("TODO", lambda w: in_ratio(w, best_variance(w) * w.x.shape[1])),
        "the squares were averaged over examples but summed over pixels.",
    )
    .slip(
        "no 1/N",
        given("TODO", lambda w: in_ratio(w, best_variance(w) * len(w.x))),
        "the squares were averaged over pixels but summed over examples.",
    )
    .slip(
        "constant once, not N d times",
        given("TODO", lambda w: in_ratio(w, best_variance(w), 1 / w.size)),
        "log(2 pi c) was counted for one pixel only.",
    )
    .eq(
        tex(
            r"-\tfrac{Nd}{2}\left(\log 2\pi c^* + 1\right) - \tfrac{Nd}{2}\left(\tfrac{c^*}{c} - 1 - \log\tfrac{c^*}{c}\right)"
        ),
        "log c = log c* - log(c*/c); add and subtract 1",
    )
    .le(
        tex(r"-\tfrac{Nd}{2}\left(\log 2\pi c^* + 1\right)"),
        "log r <= r - 1, with equality at r = c*/c = 1 only",
        gap=lost,
    )
    .slip("a lower bound", says="the inequality is turned around: no c gives more than c*.", relation=">=")
    .eq(
        tex(r"\sum_n \mathbb{E}_{q_n}\left[\log p_{c^*}(x_n \mid z)\right]"),
        "this value is reached: put c = c* into line 0",
    )
    .slip(
        "root mean square for mean square",
        given(
            r"\sum_n \mathbb{E}_{q_n}\left[\log p_{\sqrt{c^*}}(x_n \mid z)\right]",
            with_variance(lambda w: np.sqrt(best_variance(w))),
        ),
        "the standard deviation stands for the variance c*.",
        real="exp(log_var) used as a standard deviation, in several repositories",
    )
    .slip(
        "twice the best",
        given(
            r"\sum_n \mathbb{E}_{q_n}\left[\log p_{2c^*}(x_n \mid z)\right]",
            with_variance(lambda w: 2 * best_variance(w)),
        ),
        "the 2 of 2c was taken into c*.",
    )
    .slip(
        "variance fixed at one",
        given(r"\sum_n \mathbb{E}_{q_n}\left[\log p_{1}(x_n \mid z)\right]", with_variance(lambda w: 1.0)),
        "c was left at 1: the squared error alone does not choose it.",
        real="MSE losses, which fix c at 1 or 1/2 without saying so",
    )
)

CHAPTER: tuple[Derivation, ...] = (D8, D9, B7, D12, D13, C23, F13, K8)
