r"""Chapter B: the evidence, why naive estimates of it fail, and what tames them. E15, what it costs, stands here too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import MultivariateNormal, Normal
from vaelib.elbo import importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.formula import given, sampled, tex
from vaelib.formula.scope import Scope
from vaelib.ledger.a_bayes import gaussian_log_density
from vaelib.models import LinearGaussian
from vaelib.quadrature import (
    gauss_hermite_multivariate,
    log_gauss_legendre,
    trapezoid,
)
from vaelib.terms import E, log_E, log_evidence, log_joint, log_lik, log_prior, log_q, post, q
from vaelib.witnesses import CurvedWitness, LinearWitness, NormalPair

Array = np.ndarray
Rng = np.random.Generator


# --------------------------------------------------------------------------------------- B1: the logarithm of a sum


@dataclass(frozen=True)
class Scores:
    """Logarithms of numbers too small for a computer, such as p(x, z_i) of an image; the largest two nearly agree."""

    scores: Array

    @classmethod
    def draw(cls, rng: Rng, n: int = 6) -> Scores:
        top = -rng.uniform(5e3, 2e4)
        below = np.concatenate([[0.0, rng.uniform(0.2, 1.5)], rng.uniform(2.0, 1500.0, n - 2)])
        return cls(top - rng.permutation(below))

    def scope(self) -> Scope:
        """The logarithms a_i."""
        return Scope(values={"a": self.scores, "n": self.scores.size}, ranges={"i": self.scores.size})


def shifted(w: Scores, by: Any = np.max, back: bool = True, average: bool = False) -> float:
    m = by(w.scores)
    total = np.sum(np.exp(w.scores - m)) / (w.scores.size if average else 1)
    return float(np.log(total) + (m if back else 0.0))


B1 = (
    derive(
        "B1",
        "the logarithm of a sum, without underflow",
        Scores.draw,
        assumptions="at least one a_i finite, none +∞",
        source="Blanchard, Higham and Higham 2021",
    )
    .start(tex(r"\log \sum_i e^{a_i}"), why="as it stands, in 50 decimal digits")
    .eq(
        tex(r"\log\left(e^{m} \sum_i e^{a_i - m}\right),\quad m = \max_i a_i"),
        "distributive law: eᵐ is a factor of every summand",
    )
    .eq(tex(r"m + \log \sum_i e^{a_i - m}"), "logarithm of a product; now every exponent is ≤ 0")
    .slip(
        "exponentials first",
        given(r"\log \sum_i e^{a_i} \text{ in float64}", lambda w: np.log(np.sum(np.exp(w.scores)))),
        "the exponentials were taken as they are: all of them underflow to 0, and log 0 is -∞.",
        real="public VAE programs: raw log-weights exponentiated; float32 ends near e^-103",
    )
    .slip("shift not added back", tex(r"\log \sum_i e^{a_i - m}"), "m was subtracted and not added again.")
    .slip(
        "shifted by the smallest",
        tex(r"m + \log \sum_i e^{a_i - m},\quad m = \min_i a_i"),
        "the smallest score was taken out: the exponents are now ≥ 0, and overflow instead.",
    )
    .slip(
        "largest only", tex(r"\max_i a_i"), "the largest summand was taken for the sum: others may be nearly as large."
    )
    .slip("mean for sum", tex(r"m + \log \tfrac1n \sum_i e^{a_i - m}"), "a mean was taken: it is smaller by log n.")
    .eq(
        given(
            r"\mathtt{importance\_weighted\_bound}(a) + \log n",
            lambda w: importance_weighted_bound(w.scores) + np.log(w.scores.size),
        ),
        "the package takes the mean; the sum is n times that",
    )
    .slip(
        "mean of the logarithms",
        tex(r"\tfrac1n \sum_i a_i + \log n"),
        "the logarithm was taken inside the mean: by Jensen that is less, here by hundreds of nats.",
    )
    .eq(tex(r"a_1 - \log \mathrm{softmax}(a)_1"), "softmax divides by this sum; Categorical of the package")
)


# -------------------------------------------------------------------------------- B2: the evidence as a mean under q


def over_noise(w: CurvedWitness, prior: float = 1.0, upside_down: bool = False) -> Estimate:
    """log E[p(x|z) p(z)^prior / q(z)] with z = loc + scale t over the range of the prior, by Gauss-Legendre."""
    loc, scale = float(w.q.loc), float(w.q.scale)

    def log_integrand(t: Array) -> Array:
        z = loc + scale * t
        log_weight = w.model.log_likelihood(w.x, z) + prior * w.model.log_prior(z) - w.q.log_prob(z)
        return Normal(0.0, 1.0).log_prob(t) + (-log_weight if upside_down else log_weight)

    low, high = w.model.latent_range
    return log_gauss_legendre(log_integrand, (low - loc) / scale, (high - loc) / scale, panels=40)


B2 = (
    derive(
        "B2",
        "the evidence is a mean under any q",
        CurvedWitness.draw,
        assumptions="q(z) > 0 wherever p(x, z) > 0",
        source="Kahn and Marshall 1953",
    )
    .start(log_evidence, why="what is wanted; by the trapezoid rule in z")
    .eq(tex(r"\log \int p(x, z)\,dz"), "sum rule; by another rule, Gauss-Legendre")
    .eq(tex(r"\log \int q(z)\,\frac{p(x, z)}{q(z)}\,dz"), "multiply by q/q = 1; needs q > 0 where p(x,z) > 0")
    .eq(log_E(q, log_joint - log_q), "an integral against q is a mean under q")
    .slip(
        "not divided by q",
        log_E(q, log_joint),
        "the joint was averaged under q as it is: points that q prefers then count twice.",
    )
    .slip(
        "no prior",
        log_E(q, log_lik - log_q),
        "the prior is missing from the weight: the joint is p(x|z) p(z).",
        real="a published note: p(z|x) = p(x|z) / p(x)",
    )
    .slip(
        "likelihood alone", log_E(q, log_lik), "p(x|z) was averaged under q: that gives p(x) only for z from the prior."
    )
    .slip(
        "mean of the logarithm",
        E(q, log_joint - log_q),
        "the logarithm was taken inside the mean: that is a lower bound (the ELBO), not the evidence.",
    )
    .eq(
        tex(r"\log \int N(t;\, 0, 1)\,\frac{p(x, m + s\,t)}{q(m + s\,t)}\,dt"),
        "z = m + s t, with q = N(m, s²): dz = s dt",
    )
    .slip(
        "weight upside down",
        given(r"\log \int N(t;\, 0, 1)\,\frac{q(m + s\,t)}{p(x, m + s\,t)}\,dt", partial(over_noise, upside_down=True)),
        "the weight is q/p: each sample must be paid for by the density that drew it.",
    )
)


# ------------------------------------------------------------------------------ B3 and B5: samples from the prior


def under_prior(w: LinearWitness, power: int = 1, noise_power: int = 1) -> Estimate:
    """E_{p(z)}[p(x|z)^power] on nodes of a Gaussian somewhat wider than the integrand (nearly all of it far from 0).

    `noise_power` 2 puts c^2 for c.
    """
    c = w.model.noise_variance**noise_power
    peaked = LinearGaussian(w.model.loading, w.model.offset, c / power).posterior(w.x)
    nodes = MultivariateNormal(peaked.loc, 1.44 * peaked.covariance)
    model = LinearGaussian(w.model.loading, w.model.offset, c)

    def weighted(z: Array) -> Array:
        return np.exp(power * model.log_likelihood(w.x, z) + model.log_prior(z) - nodes.log_prob(z))

    return gauss_hermite_multivariate(weighted, nodes.loc, np.linalg.cholesky(nodes.covariance), n=16)


PER_MEAN = 4  # samples in one estimate of the evidence


def prior_estimates(w: LinearWitness, rng: Rng, n: int, how: str = "mean") -> Array:
    """n estimates of p(x), each the mean of p(x|z_s) over a few z_s from the prior, or what a slip makes of it."""
    if how == "posterior":
        z = w.model.posterior(w.x).sample((PER_MEAN, n), rng=rng)
    else:
        z = rng.standard_normal((PER_MEAN, n, w.model.latent_dim))
    log_lik = w.model.log_likelihood(w.x, z)
    if how == "package":
        return np.exp(importance_weighted_bound(log_lik))
    if how == "geometric":
        return np.exp(log_lik.mean(axis=0))
    return np.exp(log_lik).sum(axis=0) / (1 if how == "sum" else PER_MEAN)


B3 = (
    derive(
        "B3",
        "sampling the prior is right on average",
        partial(LinearWitness.draw, k=1, d=2),
        assumptions="z_s ~ p(z); p(x|z) is bounded by (2πc)^(-d/2), so the variance is finite",
        source="Hammersley and Handscomb 1964, chapter 5",
    )
    .start(tex("p(x)"), why="A3: a Gaussian density, written out")
    .eq(tex(r"\int p(x \mid z)\,p(z)\,dz"), "sum rule and product rule; by Gauss-Hermite")
    .slip(
        "c squared",
        tex(r"\int N(x;\, W z + b,\, c^2 I)\,p(z)\,dz"),
        "c was taken for a standard deviation; here it is the variance already.",
    )
    .eq(
        sampled(r"\mathbb{E}_{p(z)}\left[\tfrac1S \textstyle\sum_s p(x \mid z_s)\right]", prior_estimates),
        "a mean of means: linear, at every S (here 4)",
        num_samples=40_000,
    )
    .slip(
        "mean of the logarithms",
        sampled(
            r"\mathbb{E}\left[\exp \tfrac1S \textstyle\sum_s \log p(x \mid z_s)\right]",
            partial(prior_estimates, how="geometric"),
        ),
        "log p(x|z) was averaged and then exponentiated: that is too small, always.",
    )
    .slip(
        "sum for mean",
        sampled(r"\mathbb{E}\left[\textstyle\sum_s p(x \mid z_s)\right]", partial(prior_estimates, how="sum")),
        "the sum was not divided by S: then more samples would mean more evidence.",
    )
    .slip(
        "samples of the posterior",
        sampled(
            r"\mathbb{E}_{p(z \mid x)}\left[\tfrac1S \textstyle\sum_s p(x \mid z_s)\right]",
            partial(prior_estimates, how="posterior"),
        ),
        "z came from the posterior: it knows x already, and p(x|z) comes out too large.",
    )
    .eq(
        sampled(
            r"\mathbb{E}\left[\exp\left(\mathtt{importance\_weighted\_bound}\right)\right]",
            partial(prior_estimates, how="package"),
        ),
        "the package, with q = prior: the weight is p(x|z)",
        num_samples=40_000,
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{LinearGaussian.log\_evidence}", lambda w: np.exp(w.model.log_evidence(w.x))
        ),
        "the closed form in the package",
    )
)


def second_moment(w: LinearWitness, part: float = 0.5, constant: float = 4.0, halves: float = 0.5) -> float:
    """log [(constant pi c)^(-halves d) N(x; b, W W^T + part c I)]."""
    m, c = w.model, w.model.noise_variance
    covariance = m.loading @ m.loading.T + part * c * np.eye(m.data_dim)
    factor = -halves * m.data_dim * np.log(constant * np.pi * c)
    return factor + gaussian_log_density(w.x, m.offset, covariance)


def second_moment_by_package(w: LinearWitness) -> Any:
    m = w.model
    half = LinearGaussian(m.loading, m.offset, m.noise_variance / 2)
    return half.log_evidence(w.x) - m.data_dim / 2 * np.log(4 * np.pi * m.noise_variance)


B5 = (
    derive(
        "B5",
        "second moment of p(x|z) under the prior",
        LinearWitness.draw,
        assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
        source="A3 with c/2 for c; its consequence: Chatterjee and Diaconis 2018",
    )
    .start(tex(r"\log \mathbb{E}_{p(z)}\left[p(x \mid z)^2\right]"), why="what decides the variance; by Gauss-Hermite")
    .eq(
        tex(r"\log\left[(4\pi c)^{-d/2} \int N(x;\, W z + b,\, \tfrac{c}{2} I)\,p(z)\,dz\right]"),
        "N(x; m, cI)² = (4πc)^(-d/2) N(x; m, cI/2), at every z",
    )
    .slip(
        "the square of the mean",
        given(r"\log\left(\mathbb{E}_{p(z)}\left[p(x \mid z)\right]\right)^2", lambda w: 2 * under_prior(w).log()),
        "the square went outside the mean: that is p(x)², as if p(x|z) did not vary.",
    )
    .eq(
        tex(r"\log\left[(4\pi c)^{-d/2}\,N(x;\, b,\, W W^\top + \tfrac{c}{2} I)\right]"),
        "A3 with half the noise variance",
    )
    .slip(
        "noise not halved",
        tex(r"\log\left[(4\pi c)^{-d/2}\,N(x;\, b,\, W W^\top + c I)\right]"),
        "c stayed c: squaring a Gaussian halves its variance.",
    )
    .slip(
        "2π for 4π",
        tex(r"\log\left[(2\pi c)^{-d/2}\,N(x;\, b,\, W W^\top + \tfrac{c}{2} I)\right]"),
        "the normalizer of one Gaussian was taken: two of them, divided by the new one, leave 4πc.",
    )
    .slip(
        "power d for d/2",
        tex(r"\log\left[(4\pi c)^{-d}\,N(x;\, b,\, W W^\top + \tfrac{c}{2} I)\right]"),
        "each dimension was charged twice: the factor is (4πc)^(-1/2) for each of them.",
    )
    .eq(
        given(
            r"\mathtt{LinearGaussian}(W, b, \tfrac{c}{2})\mathtt{.log\_evidence}(x) - \tfrac{d}{2} \log 4\pi c",
            second_moment_by_package,
        ),
        "the same in the package",
    )
)


# --------------------------------------------------------------------------------------------- B6: the harmonic mean

B6 = (
    derive(
        "B6",
        "the harmonic mean: true, and useless",
        CurvedWitness.draw,
        assumptions="p(x|z) > 0 for every z; as a sample mean it has, as a rule, infinite variance: never estimate with it",
        source="Newton and Raftery 1994; Neal 1994 in the discussion, on why not to use it",
    )
    .start(-log_evidence, why="what is wanted, with a minus")
    .eq(tex(r"\log \int \frac{p(z)}{p(x)}\,dz"), "the prior integrates to one")
    .eq(tex(r"\log \int \frac{p(z \mid x)}{p(x \mid z)}\,dz"), "Bayes: p(z)/p(x) = p(z|x)/p(x|z), if p(x|z) > 0")
    .eq(log_E(post, -log_lik), "a mean under the posterior")
    .slip(
        "inverse of the mean",
        -log_E(post, log_lik),
        "the inverse was taken outside the mean: 1/E is less than E of 1/.",
    )
    .slip(
        "not inverted",
        log_E(post, log_lik),
        "p(x|z) was averaged as it is: under the posterior only its inverse gives the evidence.",
    )
    .slip(
        "inverse of the joint",
        log_E(post, -log_lik - log_prior),
        "the prior was put in as well: it has cancelled in p(z|x)/p(x|z).",
    )
    .slip("mean of the logarithm", -E(post, log_lik), "the logarithm was taken inside the mean.")
)


# ------------------------------------------------------------------------------------------- B8: Laplace's method


def peak_and_curvature(w: LinearWitness) -> tuple[Array, Array]:
    """Mode of log p(x, z) in z, and P, minus its second derivatives: differences with step one are exact here."""
    steps, f = np.eye(w.model.latent_dim), partial(w.model.log_joint, w.x)
    slope = (f(steps) - f(-steps)) / 2
    precision = f(steps)[:, None] + f(steps)[None, :] - f(steps[:, None] + steps[None, :]) - f(0 * steps[0])
    return np.linalg.solve(precision, slope), precision


def laplace(
    w: LinearWitness,
    sign: float = -1.0,
    half: float = 0.5,
    volume: bool = True,
    prior: bool = True,
    at_mode: bool = True,
) -> float:
    """log p(x, mode) + k/2 log 2 pi - 1/2 log det P, with P = W^T W / c + I."""
    m, k = w.model, w.model.latent_dim
    mode = peak_and_curvature(w)[0] if at_mode else np.zeros(k)
    precision = m.loading.T @ m.loading / m.noise_variance + (1.0 if prior else 0.0) * np.eye(k)
    log_det = np.linalg.slogdet(precision)[1]
    return float(m.log_joint(w.x, mode) + (k / 2 * np.log(2 * np.pi) if volume else 0.0) + sign * half * log_det)


B8 = (
    derive(
        "B8",
        "Laplace's method is exact for a Gaussian posterior",
        partial(LinearWitness.draw, k=2, d=4),
        assumptions="log p(x, z) is a parabola in z; elsewhere this is an approximation",
        source="Laplace 1774; MacKay 2003, chapter 27",
    )
    .start(tex(r"\log N(x;\, b,\, W W^\top + c I)"), why="A3: the evidence")
    .eq(
        tex(r"\log \int p(x, \hat z)\,e^{-\frac12 (z - \hat z)^\top P (z - \hat z)}\,dz"),
        "Taylor at the mode ẑ; slope 0, no third order here",
    )
    .eq(tex(r"\log p(x, \hat z) + \tfrac{k}{2} \log 2\pi - \tfrac12 \log |P|"), "Gaussian integral; P = WᵀW/c + I")
    .slip(
        "plus the log-determinant",
        tex(r"\log p(x, \hat z) + \tfrac{k}{2} \log 2\pi + \tfrac12 \log |P|"),
        "the determinant went in upside down: a sharper peak encloses less.",
    )
    .slip(
        "no half",
        tex(r"\log p(x, \hat z) + \tfrac{k}{2} \log 2\pi - \log |P|"),
        "the square root of the determinant is missing.",
    )
    .slip(
        "no volume",
        tex(r"\log p(x, \hat z) - \tfrac12 \log |P|"),
        "(2π)^(k/2) is missing: the height of a peak is not the mass under it.",
        real="a public VAE tutorial omits log(2π)/2 for each dimension",
    )
    .slip(
        "curvature of the likelihood",
        given(r"\ldots - \tfrac12 \log |\tfrac{1}{c} W^\top W|", partial(laplace, prior=False)),
        "the prior's curvature was left out of P: precisions add.",
    )
    .slip(
        "expanded around zero",
        given(r"\log p(x, 0) + \tfrac{k}{2} \log 2\pi - \tfrac12 \log |P|", partial(laplace, at_mode=False)),
        "the joint was taken at z = 0: only at the mode does the linear term vanish.",
    )
    .eq(tex(r"\log p(x, \hat z) - \log p(\hat z \mid x)"), "N(ẑ, P⁻¹) at its peak; the package's posterior")
)


# ------------------------------------------------------------------------------ E15: what a badly chosen q costs


def wide_pair(rng: Rng) -> NormalPair:
    """Two Gaussians with v_q > 0.6 v_p; of a pair that is too far apart, the wider one is q."""
    pair = NormalPair.draw(rng)
    return pair if pair.q.variance > 0.6 * pair.p.variance else NormalPair(pair.p, pair.q)


def peak_of_ratio(w: NormalPair) -> tuple[Any, Any]:
    """Center and variance of p^2 / q, a multiple of a Gaussian: precisions subtract."""
    precision = 2 / w.p.variance - 1 / w.q.variance
    return (2 * w.p.loc / w.p.variance - w.q.loc / w.q.variance) / precision, 1 / precision


def ratio_range(w: NormalPair) -> tuple[float, float]:
    """Wide enough for p^2 / q, p and q."""
    center, variance = peak_of_ratio(w)
    reach = 12 * float(np.sqrt(variance))
    ends = [*(float(law.loc + side * 12 * law.scale) for law in (w.p, w.q) for side in (-1, 1))]
    return min(float(center) - reach, *ends), max(float(center) + reach, *ends)


def squared_over(w: NormalPair, swap: bool = False) -> Estimate:
    """The integral of p^2 / q, by the trapezoid rule."""
    first, second = (w.q, w.p) if swap else (w.p, w.q)
    return trapezoid(lambda z: np.exp(2 * first.log_prob(z) - second.log_prob(z)), *ratio_range(w), n=800)


def completed_square(w: NormalPair) -> float:
    """p(c)^2 / q(c) sqrt(2 pi v): the height of p^2 / q at its center c times the volume under a Gaussian."""
    center, variance = peak_of_ratio(w)
    return float(np.exp(2 * w.p.log_prob(center) - w.q.log_prob(center)) * np.sqrt(2 * np.pi * variance))


E15 = (
    derive(
        "E15",
        "second moment of the weights p/q; chi-squared divergence",
        wide_pair,
        assumptions="2 v_q > v_p; else the integral, and with it the variance of the weights, is infinite",
        source="Pearson 1900 for the divergence; Nielsen and Nock 2014 for Gaussians",
    )
    .start(
        tex(r"1 + \mathbb{E}_q\left[\left(\tfrac{p}{q} - 1\right)^2\right]"),
        why="1 + variance of the weights p/q, whose mean is 1",
    )
    .eq(tex(r"\int \frac{p(z)^2}{q(z)}\,dz"), "multiply out: 1 - 2 + 1 cancel, E_q[(p/q)²] stays")
    .slip(
        "p and q exchanged",
        given(r"\int \frac{q(z)^2}{p(z)}\,dz", partial(squared_over, swap=True)),
        "p and q were exchanged: the law that samples stands in the denominator.",
    )
    .eq(
        given(r"\frac{p(c)^2}{q(c)} \sqrt{2\pi v},\quad \frac1v = \frac{2}{v_p} - \frac{1}{v_q}", completed_square),
        "complete the square; needs 1/v > 0, or 2 v_q > v_p",
    )
    .eq(
        tex(r"\frac{v_q}{\sqrt{v_p\,(2 v_q - v_p)}}\,\exp\frac{(\mu_p - \mu_q)^2}{2 v_q - v_p}"),
        "insert the center c = v (2 μ_p/v_p - μ_q/v_q)",
    )
    .slip(
        "half the exponent",
        tex(r"\frac{v_q}{\sqrt{v_p\,(2 v_q - v_p)}}\,\exp\frac{(\mu_p - \mu_q)^2}{2\,(2 v_q - v_p)}"),
        "the ½ of a Gaussian was kept: p² has lost it.",
    )
    .slip(
        "no factor two",
        tex(r"\frac{v_q}{\sqrt{v_p\,(v_q - v_p)}}\,\exp\frac{(\mu_p - \mu_q)^2}{v_q - v_p}"),
        "the 2 was lost: p is squared, so its precision counts twice.",
    )
    .slip(
        "roles exchanged in the closed form",
        tex(r"\frac{v_p}{\sqrt{v_q\,(2 v_p - v_q)}}\,\exp\frac{(\mu_p - \mu_q)^2}{2 v_p - v_q}"),
        "the formula of the reverse divergence was used: chi-squared is not symmetric.",
    )
)

CHAPTER = (B1, B2, B3, B5, B6, B8, E15)
