r"""Chapter D, continued: what a decoder's log-likelihood is, in nats and in bits.

With the identities that a real VAE needs beside it: the evidence of a Bernoulli decoder is a distribution (B7), the KL by
samples (C23), the variance of a minibatch (F13), and the best noise variance of a Gaussian decoder (K8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import expit, ndtr

from vaelib.derivation import Derivation, derive
from vaelib.distributions import Bernoulli, Categorical, Normal
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.formula import KL, given, in_decimals, in_floats, sampled, symbols, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Interval, States
from vaelib.formula.worlds import Decoder, Law
from vaelib.ledger.f_elbo import DataSet, over_batches
from vaelib.models import CurvedGaussian, ScalarBernoulli
from vaelib.quadrature import gauss_hermite
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

q, p = symbols("q p")


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
        """Each pixel x with its logit a."""
        return [Scope(values={"a": a, "x": x}) for a, x in zip(self.logits, self.x, strict=True)]


sum_of_two = tex(r"x \log s + (1 - x) \log(1 - s)")  # s is the sigmoid of a, as line 0 says
DIGITS = 100  # at logits of 100 the probability of one value is 1e-44, and 1 - s has to know it

D8 = (
    derive(
        "D8",
        "log-likelihood of a binary pixel, from its logit",
        BinaryPixels.draw,
        assumptions="x in {0, 1}, s = sigmoid(a)",
        source="Kingma and Welling 2014, appendix C.1",
    )
    .start(
        in_decimals(tex(r"\log\left[s^x (1 - s)^{1 - x}\right],\quad s = \tfrac{1}{1 + e^{-a}}"), DIGITS),
        why="in 100 digits: s and 1 - s come close to 0 and to 1",
    )
    .eq(
        in_decimals(sum_of_two, DIGITS),
        "logarithm of a product",
        why="x is 0 or 1: one of the two terms is left",
        needs="0 < s < 1",
    )
    .slip(
        "sigmoid first, then the logarithm",
        in_floats(sum_of_two),
        "s was rounded to 0 or 1 before the logarithm: log 0 is minus infinity, 0 times that is NaN. Stay with logits.",
        real="log(0) in several VAE libraries",
    )
    .slip(
        "ones only",
        in_decimals(tex(r"x \log s"), DIGITS),
        "the pixels that are 0 are left out: (1 - x) log(1 - s) is missing.",
    )
    .eq(
        in_decimals(tex(r"x \log\tfrac{s}{1 - s} + \log(1 - s)"), DIGITS),
        "collect what multiplies x: the log-odds",
        why="the log-odds are what a decoder returns",
    )
    .eq(
        in_decimals(tex(r"x a - \mathrm{softplus}(a)"), DIGITS),
        "the log-odds are the logit a; log(1 - s) = -softplus(a)",
        why="s is gone, and nothing rounds to 0",
    )
    .slip("no softplus", tex(r"x a"), "softplus(a) is missing: without it the two probabilities do not sum to one.")
    .slip(
        "sign of the logit",
        tex(r"-x a - \mathrm{softplus}(-a)"),
        "the logit has the wrong sign: 0 and 1 are swapped.",
    )
    .slip(
        "softplus of minus a",
        tex(r"x a - \mathrm{softplus}(-a)"),
        "softplus(-a) is where softplus(a) belongs: that is -log s, not -log(1 - s).",
    )
    .eq(
        tex(r"-\left[\max(a, 0) - x a + \log(1 + e^{-|a|})\right]"),
        "take out max(a, 0): no exponential overflows",
        why="in float64 from here on",
    )
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

    def members(self) -> list[Scope]:
        """The image x with each attempt f."""
        return [
            Scope(
                values={"x": self.x, "f": f, "c": self.noise_variance, "d": self.x.size},
                definitions={r"\mathrm{MSE}": r"\tfrac{1}{d} \sum_j (x_j - f_j)^2"},
                ranges={"j": self.x.size},
            )
            for f in self.f
        ]


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
        why="each pixel has a term to itself",
        needs="pixels independent given z",
    )
    .eq(
        tex(r"\frac{\|x - f\|^2}{2c} + \tfrac{d}{2}\log 2\pi c"),
        "the constant is the same for each of the d pixels",
        why="the squares of all pixels add to one length",
    )
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
        why="this is what programs compute",
    )
    .up_to_constant(tex(r"\frac{d}{2c}\,\mathrm{MSE}"), "c fixed: the constant moves no minimum in f")
    .slip(
        "mean squared error itself",
        tex(r"\mathrm{MSE}"),
        "MSE was taken for the loss: beside a KL its weight d/(2c) cannot be left out.",
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
        """All images whose pixels take these values, shape (values^d, d)."""
        return np.array(list(product(values, repeat=self.model.slope.size)))

    def scope(self) -> Scope:
        """p(x, z) with s_j = p(x_j = 1 | z); x runs over all images."""
        d = self.model.slope.size
        grey = self.images((0, 0.5, 1))
        return Scope(
            worlds={"p": Decoder(self.model)},
            values={"d": d},
            spaces={"x": States(self.images())},
            maps={"s": Map(lambda z: expit(self.model.logits(z)), rank=1)},
            ranges={"j": d, r"\{0,1\}^d": self.images(), r"\{0, \tfrac12, 1\}^d": grey},  # type: ignore[dict-item]
        )


B7 = (
    derive(
        "B7",
        "the evidence of a Bernoulli decoder is a distribution over images",
        BinaryDecoder.draw,
        assumptions="x in {0, 1}^d; pixels independent given z",
        source="Kingma and Welling 2014, appendix C.1",
    )
    .start(tex(r"\sum_{x \in \{0,1\}^d} p(x)"))
    .eq(
        tex(r"\sum_{x} \int p(z) \prod_{j} s_j^{x_j} (1 - s_j)^{1 - x_j}\, dz"),
        "marginalization; pixels independent given z",
        why="every factor is known",
        needs="pixels independent given z",
    )
    .slip(
        "grey pixels counted",
        tex(r"\sum_{x \in \{0, \tfrac12, 1\}^d} \int p(z) \prod_{j} s_j^{x_j} (1 - s_j)^{1 - x_j}\, dz"),
        "grey values got a share too: on top of 0 and 1, the total exceeds one.",
        real="cross-entropy of grey pixels called a log-likelihood, in many repositories",
    )
    .slip(
        "mean over pixels",
        tex(r"\sum_{x} \int p(z) \left[\prod_{j} s_j^{x_j} (1 - s_j)^{1 - x_j}\right]^{1/d} dz"),
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
        why="2^d terms become d factors",
        needs="x in {0, 1}: a pixel has two values, no more",
    )
    .slip(
        "product for sum",
        tex(r"\int p(z) \prod_{j} s_j\,(1 - s_j)\, dz"),
        "the two values of a pixel were multiplied: they exclude each other, so they add.",
    )
    .eq(tex(r"\int p(z)\, dz"), "each bracket is 1, whatever z")
    .slip("number of images", tex(r"2^d \int p(z)\, dz"), "each of the 2^d images was given the weight of all.")
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

    def scope(self) -> Scope:
        """P(x) of the levels, and the density p(y) = L^d P(x) at the middle of their cell, pixels scaled by 1/L."""
        d, num_levels = self.shape

        def probability(x: Array) -> Array:
            return np.asarray(np.prod(self.probabilities[np.arange(d), x.astype(int)], axis=-1))

        return Scope(
            values={"x": self.x, "y": (self.x + 0.5) / num_levels, "L": num_levels, "d": d},
            maps={
                "P": Map(probability, ("x",)),
                "p": Map(lambda y: num_levels**d * probability(np.floor(num_levels * y)), ("y",)),
            },
        )


D12 = (
    derive(
        "D12",
        "bits per dimension",
        Levels.draw,
        assumptions="x in {0, ..., L-1}^d; y = (x + u)/L with u in [0, 1)^d, p(y) constant in each cell",
        source="Theis, van den Oord and Bethge 2016, section 3.1",
    )
    .start(tex(r"-\tfrac{1}{d} \log_2 P(x)"))
    .eq(
        tex(r"\frac{-\log P(x)}{d \log 2}"),
        "change of base: a bit is log 2 nats",
        why="a program reports nats for the whole image",
    )
    .slip("nats called bits", tex(r"\frac{-\log P(x)}{d}"), "the number is in nats: log 2 is missing.")
    .slip(
        "per image, not per dimension",
        tex(r"\frac{-\log P(x)}{\log 2}"),
        "d is missing: these are bits for the whole image.",
    )
    .slip(
        "logarithm to base ten",
        tex(r"\frac{-\log P(x)}{d \log 10}"),
        "the logarithm to base 10 was used; a bit is a logarithm to base 2.",
    )
    .slip(
        "multiplied by log 2",
        tex(r"\frac{-\log P(x) \log 2}{d}"),
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
        tex(r"\frac{-\log\left[L^{-d}\, p(y)\right]}{d \log 2}"),
        "pixels scaled by 1/L: a level is a cell of volume L^-d",
        why="a model of scaled pixels has a density, not probabilities",
        needs="the density is constant in each cell",
    )
    .eq(tex(r"\frac{-\log p(y)}{d \log 2} + \log_2 L"), "logarithm of a product; 8 bits where L = 256")
    .slip(
        "scaled pixels, no log2 L",
        tex(r"\frac{-\log p(y)}{d \log 2}"),
        "log2 L is missing: a density of pixels in [0, 1] is not a probability of levels.",
    )
    .slip(
        "log L in nats",
        tex(r"\frac{-\log p(y)}{d \log 2} + \log L"),
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
                maps={r"\Phi": Map(ndtr, ("t",))},
                spaces={"u": Interval(0.0, 1.0, hard_low=True, hard_high=True)},
                laws={"u": "U(u)"},
            )
            for v in self.v
        ]


D13 = (
    derive(
        "D13",
        "dequantization: uniform noise gives a lower bound on log P(v)",
        GaussianLevels.draw,
        assumptions="v whole, u uniform on [0, 1); p = N(m, s^2) in units of a level",
        source="Theis, van den Oord and Bethge 2016, equation (5)",
    )
    .start(
        tex(r"\log P(v),\quad P(v) = \Phi\left(\tfrac{v + 1 - m}{s}\right) - \Phi\left(\tfrac{v - m}{s}\right)"),
        why="from the distribution function of p",
    )
    .eq(
        tex(r"\log \int_0^1 p(v + u)\, du"),
        "the mass of a level is the integral over its cell",
        why="u uniform: the integral is a mean",
    )
    .ge(
        tex(r"\mathbb{E}_{u}\left[\log p(v + u)\right]"),
        "u has density 1 on [0, 1); Jensen: log is concave",
        gap=tex(
            r"\log\left[\Phi\left(\tfrac{v + 1 - m}{s}\right) - \Phi\left(\tfrac{v - m}{s}\right)\right]"
            r" + \tfrac12\log 2\pi s^2 + \frac{(v + \frac12 - m)^2 + \frac{1}{12}}{2s^2}"
        ),
    )
    .slip("an upper bound", says="Jensen is used for a convex function: log is concave, so noise loses.", relation="<=")
    .slip("equality", says="log and mean over u were swapped: that costs the gap.", relation="=")
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
        sampled(
            r"\log p(v + u) \text{ on random } u \sim N(0, 1)",
            lambda w, rng, n: w.p.log_prob(w.v + rng.standard_normal((n, 1))),
        ),
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


def excess(w: NormalPair, z: Array) -> Array:
    """r - 1 - log r at r = p(z) / q(z)."""
    log_r = w.p.log_prob(z) - w.q.log_prob(z)
    return np.exp(log_r) - 1 - log_r


C23 = (
    derive(
        "C23",
        "KL from samples, none of which is negative",
        narrower_prior,
        assumptions="q > 0 wherever p > 0; for the samples var(p) < 2 var(q), so that their variance is finite",
        source="J. Schulman, Approximating KL divergence, 2020 (k1 and k3)",
    )
    .start(KL(q, p))
    .eq(tex(r"\mathbb{E}_{q}\left[-\log r\right],\ r = \tfrac{p(z)}{q(z)}"), "definition of KL")
    .slip(
        "log r without its minus",
        tex(r"\mathbb{E}_{q}\left[\log r\right]"),
        "the minus is missing: KL averages log q/p, and r is p/q.",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[-\log r\right] + \mathbb{E}_{q}\left[r - 1\right]"),
        "the integral of q p/q is 1: the new term has mean 0",
        why="it moves against -log r, and takes away noise",
        needs="q > 0 wherever p > 0",
    )
    .eq(tex(r"\mathbb{E}_{q}\left[r - 1 - \log r\right]"), "expectation is linear", why="no value can be negative now")
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
        sampled(
            r"r - 1 - \log r \text{ on random } z \sim q",
            lambda w, rng, n: excess(w, w.q.transform(rng.standard_normal(n))),
        ),
        "a sample mean: r is bounded here, so its variance is finite",
        num_samples=20_000,
    )
    .slip(
        "samples from p",
        sampled(
            r"r - 1 - \log r \text{ on random } z \sim p",
            lambda w, rng, n: excess(w, w.p.transform(rng.standard_normal(n))),
        ),
        "z was drawn from p: KL(q || p) averages under q.",
    )
    .ge(tex("0"), "log r <= r - 1: no sample is negative", equality=equal_pair)
    .slip("never positive", says="the inequality is turned around.", relation="<=")
)


# ----------------------------------------------------------------------------------- the noise of a minibatch, F13


class Bounds(DataSet):
    """A data set with the bound L_i of each example."""

    def scope(self) -> Scope:
        """L_i, the numbers N of examples and M of a batch, and the mean of all L_i."""
        bounds = self.bounds
        return Scope(
            values={
                r"\mathcal{L}": bounds,
                "m": bounds.mean(),
                "N": len(bounds),
                "M": self.batch_size,
            },
            ranges={"i": len(bounds), "j": len(bounds)},
        )

    @property
    def bounds(self) -> Array:
        return elbo(self.log_likelihood, self.kl)


def variance_of_batches(w: Bounds) -> float:
    total = np.sum(w.bounds)
    return float(over_batches(lambda ll, kl, n, m: (n / m * np.sum(elbo(ll, kl)) - total) ** 2)(w))


def squared_deviation(w: Bounds, batches: Array) -> Array:
    """How far the estimate from each batch, a row of examples, is from the sum over the data set, squared."""
    return (len(w.x) / w.batch_size * w.bounds[batches].sum(axis=1) - w.bounds.sum()) ** 2


def without_replacement(w: Bounds, rng: Rng, n: int) -> Array:
    return rng.permuted(np.tile(np.arange(len(w.x)), (n, 1)), axis=1)[:, : w.batch_size]


of_one, of_two = (  # the variance of the bound of one example, and the covariance of those of two different ones
    r"V = \tfrac1N \sum_i (\mathcal{L}_i - m)^2",
    r"C = \tfrac{1}{N(N-1)} \sum_i \sum_{j \ne i} (\mathcal{L}_i - m)(\mathcal{L}_j - m)",
)
square = r"s^2 = \tfrac{1}{N-1} \sum_i (\mathcal{L}_i - m)^2"

F13 = (
    derive(
        "F13",
        "variance of the minibatch estimator",
        Bounds.draw,
        assumptions="the batch B of M examples uniform without replacement from N",
        source="Cochran 1977, theorem 2.2",
    )
    .start(
        given(r"\mathrm{Var}_{B}\left[\tfrac{N}{M} \textstyle\sum_{i \in B} \mathcal{L}_i\right]", variance_of_batches),
        why="all batches listed",
    )
    .eq(
        tex(rf"\tfrac{{N^2}}{{M^2}} \left[M V + M(M-1)\, C\right],\quad {of_one},\ {of_two}"),
        "variance of a sum: one example, and two different ones",
        why="what a batch shares with the next is in C alone",
        needs="each pair of examples with equal chances",
    )
    .slip(
        "examples taken as independent",
        tex(rf"\tfrac{{N^2}}{{M}}\, V,\quad {of_one}"),
        "the covariance is missing: without replacement, one example in makes the others rarer.",
    )
    .slip(
        "N/M not squared",
        tex(rf"\tfrac{{N}}{{M}} \left[M V + M(M-1)\, C\right],\quad {of_one},\ {of_two}"),
        "the factor N/M was not squared: a variance scales with the square.",
    )
    .eq(
        tex(
            rf"\tfrac{{N^2}}{{M^2}} \left[M\,\tfrac{{N-1}}{{N}}\,s^2 - M(M-1)\,\tfrac{{1}}{{N}}\,s^2\right],\quad {square}"
        ),
        "deviations sum to 0: C = -V/(N - 1)",
        why="one number, s^2, is left",
    )
    .eq(tex(rf"\tfrac{{N^2}}{{M}}\, s^2 \left(1 - \tfrac{{M}}{{N}}\right),\quad {square}"), "(N - 1) - (M - 1) = N - M")
    .slip(
        "no finite-population correction",
        tex(rf"\tfrac{{N^2}}{{M}}\, s^2,\quad {square}"),
        "1 - M/N is missing: a batch of all examples has no noise at all.",
    )
    .slip(
        "s^2 divided by N",
        tex(rf"\tfrac{{N^2}}{{M}}\, s^2 \left(1 - \tfrac{{M}}{{N}}\right),\quad {square.replace('N-1', 'N')}"),
        "s^2 was divided by N, not by N - 1.",
    )
    .slip(
        "N for N^2",
        tex(rf"\tfrac{{N}}{{M}}\, s^2 \left(1 - \tfrac{{M}}{{N}}\right),\quad {square}"),
        "the sum over the data set was scaled as a mean: N^2, not N.",
    )
    .eq(
        sampled(
            r"\left(\tfrac{N}{M} \textstyle\sum_{i \in B} \mathcal{L}_i - \sum_i \mathcal{L}_i\right)^2 \text{ on random batches}",
            lambda w, rng, n: squared_deviation(w, without_replacement(w, rng, n)),
        ),
        "a sample mean over batches: 35 values, finite variance",
        num_samples=20_000,
    )
    .slip(
        "with replacement",
        sampled(
            r"\left(\tfrac{N}{M} \textstyle\sum_{i \in B} \mathcal{L}_i - \sum_i \mathcal{L}_i\right)^2 \text{ on batches with repetitions}",
            lambda w, rng, n: squared_deviation(w, rng.integers(len(w.x), size=(n, w.batch_size))),
        ),
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
    def best_variance(self) -> float:
        """c* = 1/(N d) sum_n E_q ||x_n - f(z)||^2, by Gauss-Hermite: a polynomial of degree 4."""

        def square(x: Array, q: Normal) -> Estimate:
            return gauss_hermite(lambda z: ((x - self.model.decoder(z)) ** 2).sum(axis=-1), q.loc, q.scale)

        return float(sum(map(square, self.x, self.qs), Estimate(0.0))) / self.x.size

    def scope(self) -> Scope:
        """The decoder f with noise variance c and with others, the images x_n and their q_n; c^* is the best of them."""
        model, (n, d), best = self.model, self.x.shape, self.best_variance
        loc, scale = np.array([q.loc for q in self.qs]), np.array([q.scale for q in self.qs])
        variances = {"c": model.noise_variance, "c^*": best, r"\sqrt{c^*}": np.sqrt(best), "2c^*": 2 * best, "1": 1.0}
        decoders = {f"p_{{{name}}}": Decoder(replace(model, noise_variance=v)) for name, v in variances.items()}
        return Scope(
            worlds={"q_": lambda i: Law("z", Normal(loc[i], scale[i])), **decoders},
            values={"x": self.x, "c": model.noise_variance, "c^*": best, "N": n, "d": d},
            maps={"f": Map(model.decoder, rank=1)},
            ranges={"n": n},
        )


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
        why="c is in two places that can be seen",
        needs="one c for all pixels and examples",
    )
    .eq(
        tex(r"-\tfrac{Nd}{2}\left(\log 2\pi c + \tfrac{c^*}{c}\right)"),
        "c* := mean over N d pixels of the expected square",
        why="c is compared with one number",
        needs="encoder and f do not move",
    )
    .slip(
        "no 1/d",
        tex(r"-\tfrac{Nd}{2}\left(\log 2\pi c + \tfrac{d\,c^*}{c}\right)"),
        "the squares were averaged over examples but summed over pixels.",
    )
    .slip(
        "no 1/N",
        tex(r"-\tfrac{Nd}{2}\left(\log 2\pi c + \tfrac{N c^*}{c}\right)"),
        "the squares were averaged over pixels but summed over examples.",
    )
    .slip(
        "constant once, not N d times",
        tex(r"-\tfrac12\log 2\pi c - \tfrac{Nd}{2}\,\tfrac{c^*}{c}"),
        "log(2 pi c) was counted for one pixel only.",
    )
    .eq(
        tex(
            r"-\tfrac{Nd}{2}\left(\log 2\pi c^* + 1\right) - \tfrac{Nd}{2}\left(\tfrac{c^*}{c} - 1 - \log\tfrac{c^*}{c}\right)"
        ),
        "log c = log c* - log(c*/c); add and subtract 1",
        why="all that depends on c is in one bracket, which has a sign",
    )
    .le(
        tex(r"-\tfrac{Nd}{2}\left(\log 2\pi c^* + 1\right)"),
        "log r <= r - 1, with equality at r = c*/c = 1 only",
        gap=tex(r"\tfrac{Nd}{2}\left(\tfrac{c^*}{c} - 1 - \log\tfrac{c^*}{c}\right)"),
    )
    .slip("a lower bound", says="the inequality is turned around: no c gives more than c*.", relation=">=")
    .eq(
        tex(r"\sum_n \mathbb{E}_{q_n}\left[\log p_{c^*}(x_n \mid z)\right]"),
        "this value is reached: put c = c* into line 0",
    )
    .slip(
        "root mean square for mean square",
        tex(r"\sum_n \mathbb{E}_{q_n}\left[\log p_{\sqrt{c^*}}(x_n \mid z)\right]"),
        "the standard deviation was taken for the variance c*.",
        real="exp(log_var) used as a standard deviation, in several repositories",
    )
    .slip(
        "twice the best",
        tex(r"\sum_n \mathbb{E}_{q_n}\left[\log p_{2c^*}(x_n \mid z)\right]"),
        "the 2 of 2c was taken into c*.",
    )
    .slip(
        "variance fixed at one",
        tex(r"\sum_n \mathbb{E}_{q_n}\left[\log p_{1}(x_n \mid z)\right]"),
        "c was left at 1: the squared error alone does not choose it.",
        real="MSE losses, which fix c at 1 or 1/2 without saying so",
    )
)

CHAPTER: tuple[Derivation, ...] = (D8, D9, B7, D12, D13, C23, F13, K8)
