r"""Chapter B: the evidence, why naive estimates of it fail, and what tames them. E15, what it costs, is here too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import partial

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import Categorical
from vaelib.elbo import importance_weighted_bound
from vaelib.formula import given, sampled, tex
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import Interval
from vaelib.models import LinearGaussian
from vaelib.terms import E, log_E, log_evidence, log_joint, log_lik, log_q, post, q
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


def in_decimals(w: Scores) -> float:
    """log sum e^a in fifty digits, whose exponents reach far enough."""
    with localcontext() as context:
        context.prec = 50
        return float(sum((Decimal(float(a)).exp() for a in w.scores), Decimal(0)).ln())


def in_floats(w: Scores, m: float) -> float:
    """m + log sum e^(a - m), the exponentials taken as they are in double precision."""
    return float(m + np.log(np.sum(np.exp(w.scores - m))))


B1 = (
    derive(
        "B1",
        "the logarithm of a sum, without underflow",
        Scores.draw,
        assumptions="at least one a_i finite, none +∞",
        source="Blanchard, Higham and Higham 2021",
    )
    .start(given(r"\log \sum_i e^{a_i}", in_decimals), why="what we want; as written, in 50 decimal digits")
    .eq(
        tex(r"\log\left(e^{m} \sum_i e^{a_i - m}\right),\quad m = \max_i a_i"),
        "distributive law: eᵐ is a factor of every summand",
        why="the largest exponent becomes 0",
        needs="m finite",
    )
    .eq(
        tex(r"m + \log \sum_i e^{a_i - m}"),
        "logarithm of a product; now every exponent is ≤ 0",
        why="eᵐ is never computed; what still underflows is too small to matter",
    )
    .slip(
        "exponentials first",
        given(r"\log \sum_i e^{a_i} \text{ in float64}", lambda w: in_floats(w, 0.0)),
        "the exponentials were taken as they are: all of them underflow to 0, and log 0 is -∞.",
        real="public VAE programs: raw log-weights exponentiated; float32 ends near e^-103",
    )
    .slip("shift not added back", tex(r"\log \sum_i e^{a_i - m}"), "m was subtracted and not added again.")
    .slip(
        "shifted by the smallest",
        given(
            r"m + \log \sum_i e^{a_i - m},\quad m = \min_i a_i \quad\text{in float64}",
            lambda w: in_floats(w, w.scores.min()),
        ),
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
    .eq(
        given(tex(r"a_1 - \log \mathrm{softmax}(a)_1"), lambda w: w.scores[0] - Categorical(w.scores).log_prob(0)),
        "softmax divides by this sum; Categorical of the package",
    )
)


# -------------------------------------------------------------------------------- B2: the evidence as a mean under q


class AnyProposal(CurvedWitness):
    """A curved model and a q that may be far narrower than what is averaged under it."""

    def scope(self) -> Scope:
        """As that of the model; z is looked for wherever the joint density lies, or q; t = (z - m) / s."""
        q, (low, high) = self.q, self.model.latent_range
        low, high = min(low, float(q.loc - 12 * q.scale)), max(high, float(q.loc + 12 * q.scale))
        of_noise = Interval((low - q.loc) / q.scale, (high - q.loc) / q.scale)
        return replace(super().scope(), spaces={"z": Interval(low, high), "t": of_noise})


B2 = (
    derive(
        "B2",
        "the evidence is a mean under any q",
        AnyProposal.draw,
        assumptions="q(z) > 0 wherever p(x, z) > 0",
        source="Kahn and Marshall 1953",
    )
    .start(log_evidence, why="what we want; by the trapezoid rule in z")
    .eq(tex(r"\log \int p(x, z)\,dz"), "sum rule; by another rule, Gauss-Legendre", why="an integral over z")
    .eq(
        tex(r"\log \int q(z)\,\frac{p(x, z)}{q(z)}\,dz"),
        "multiply by q/q = 1",
        why="brings q in",
        needs="q(z) > 0 wherever p(x, z) > 0",
    )
    .eq(
        log_E(q, log_joint - log_q),
        "an integral against q is a mean under q",
        why="sample where we want; the ratio pays back what q prefers",
    )
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
        why="the randomness t no longer depends on q",
        needs="s > 0",
    )
    .slip(
        "weight upside down",
        tex(r"\log \int N(t;\, 0, 1)\,\frac{q(m + s\,t)}{p(x, m + s\,t)}\,dt"),
        "the weight is q/p: a sample is divided by the density that drew it. Here the mean of q/p does not even exist.",
    )
)


# ------------------------------------------------------------------------------ B3 and B5: samples from the prior


PER_MEAN = 4  # samples in one estimate of the evidence


def likelihoods(w: LinearWitness, z: Array) -> Array:
    """log p(x|z_s), one row for each of the samples in an estimate."""
    return np.asarray(w.model.log_likelihood(w.x, z.reshape(PER_MEAN, -1, w.model.latent_dim)))


def from_prior(w: LinearWitness, rng: Rng, n: int) -> Array:
    """log p(x|z_s) for n estimates with samples of the prior, shape (PER_MEAN, n)."""
    return likelihoods(w, rng.standard_normal((PER_MEAN, n, w.model.latent_dim)))


def from_posterior(w: LinearWitness, rng: Rng, n: int) -> Array:
    return likelihoods(w, w.model.posterior(w.x).sample((PER_MEAN, n), rng=rng))


B3 = (
    derive(
        "B3",
        "sampling the prior is right on average",
        partial(LinearWitness.draw, k=1, d=2),
        assumptions="z_s ~ p(z); p(x|z) is bounded by (2πc)^(-d/2), so the variance is finite",
        source="Hammersley and Handscomb 1964, chapter 5",
    )
    .start(tex("p(x)"), why="what we want; here a Gaussian density (A3)")
    .eq(
        tex(r"\int p(x \mid z)\,p(z)\,dz"),
        "sum rule and product rule",
        why="an integral against a density",
    )
    .slip(
        "c squared",
        tex(r"\int N(x;\, W z + b,\, c^2 I)\,p(z)\,dz"),
        "c was taken for a standard deviation; here it is the variance already.",
    )
    .eq(
        sampled(
            r"\mathbb{E}_{p(z)}\left[\tfrac1S \textstyle\sum_s p(x \mid z_s)\right]",
            lambda w, rng, n: np.exp(from_prior(w, rng, n)).mean(axis=0),
        ),
        "a mean of means: linear, at every S (here 4)",
        exact=True,
        why="an integral against a density is a mean, and can be sampled",
        needs="every sample from p(z)",
        num_samples=40_000,
    )
    .slip(
        "mean of the logarithms",
        sampled(
            r"\mathbb{E}\left[\exp \tfrac1S \textstyle\sum_s \log p(x \mid z_s)\right]",
            lambda w, rng, n: np.exp(from_prior(w, rng, n).mean(axis=0)),
        ),
        "log p(x|z) was averaged and then exponentiated: that is too small, wherever p(x|z) varies.",
    )
    .slip(
        "sum for mean",
        sampled(
            r"\mathbb{E}\left[\textstyle\sum_s p(x \mid z_s)\right]",
            lambda w, rng, n: np.exp(from_prior(w, rng, n)).sum(axis=0),
        ),
        "the sum was not divided by S: then more samples would mean more evidence.",
    )
    .slip(
        "samples of the posterior",
        sampled(
            r"\mathbb{E}_{p(z \mid x)}\left[\tfrac1S \textstyle\sum_s p(x \mid z_s)\right]",
            lambda w, rng, n: np.exp(from_posterior(w, rng, n)).mean(axis=0),
        ),
        "z came from the posterior: it knows x already, and p(x|z) comes out too large.",
    )
    .eq(
        sampled(
            r"\mathbb{E}\left[\exp\left(\mathtt{importance\_weighted\_bound}\right)\right]",
            lambda w, rng, n: np.exp(importance_weighted_bound(from_prior(w, rng, n))),
        ),
        "the package, with q = prior: the weight is p(x|z)",
        exact=True,
        num_samples=40_000,
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{LinearGaussian.log\_evidence}", lambda w: np.exp(w.model.log_evidence(w.x))
        ),
        "the closed form in the package",
        exact=True,
    )
)


def half_the_noise(m: LinearGaussian) -> LinearGaussian:
    return LinearGaussian(m.loading, m.offset, m.noise_variance / 2)


B5 = (
    derive(
        "B5",
        "second moment of p(x|z) under the prior",
        LinearWitness.draw,
        assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
        source="A3 with c/2 for c; its consequence: Chatterjee and Diaconis 2018",
    )
    .start(
        tex(r"\log \int p(x \mid z)^2\,p(z)\,dz"),
        why="the definition, and what the variance of a sample needs",
    )
    .eq(
        tex(r"\log\left[(4\pi c)^{-d/2} \int N(x;\, W z + b,\, \tfrac{c}{2} I)\,p(z)\,dz\right]"),
        "N(x; m, cI)² = (4πc)^(-d/2) N(x; m, cI/2), at every z",
        why="a Gaussian squared is a Gaussian of half the variance: one Gaussian again",
    )
    .slip(
        "the square of the mean",
        tex(r"\log\left[\left(\int p(x \mid z)\,p(z)\,dz\right)^2\right]"),
        "the square went outside the mean: that is p(x)², as if p(x|z) did not vary.",
    )
    .eq(
        tex(r"\log\left[(4\pi c)^{-d/2}\,N(x;\, b,\, W W^\top + \tfrac{c}{2} I)\right]"),
        "A3 with half the noise variance",
        why="no integral left",
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
            lambda w: (
                half_the_noise(w.model).log_evidence(w.x)
                - w.model.data_dim / 2 * np.log(4 * np.pi * w.model.noise_variance)
            ),
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
    .start(-log_evidence, why="what we want, with a minus")
    .eq(tex(r"\log \int \frac{p(z)}{p(x)}\,dz"), "the prior integrates to one", why="an integral over z")
    .eq(
        tex(r"\log \int \frac{p(z \mid x)}{p(x \mid z)}\,dz"),
        "Bayes' rule: p(z)/p(x) = p(z|x)/p(x|z)",
        why="brings the posterior in",
        needs="p(x|z) > 0",
    )
    .eq(
        log_E(post, -log_lik),
        "an integral against a density is a mean",
        why="with samples of the posterior, no proposal is needed: tempting",
        needs="p(x|z) > 0; a sample mean would also need a finite variance",
    )
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
        tex(r"\log \mathbb{E}_{p(z \mid x)}\left[\frac{1}{p(x \mid z)\,p(z)}\right]"),
        "the prior was put in as well: it has cancelled in p(z|x)/p(x|z). This integrand is 1/p(x) at every z: infinite.",
    )
    .slip("mean of the logarithm", -E(post, log_lik), "the logarithm was taken inside the mean.")
)


# ------------------------------------------------------------------------------------------- B8: Laplace's method


B8 = (
    derive(
        "B8",
        "Laplace's method is exact for a Gaussian posterior",
        partial(LinearWitness.draw, k=2, d=4),
        assumptions="log p(x, z) is a parabola in z; elsewhere this is an approximation",
        source="Laplace 1774; MacKay 2003, chapter 27",
    )
    .start(tex(r"\log N(x;\, b,\, W W^\top + c I)"), why="what we want: the evidence (A3)")
    .eq(
        tex(r"\log \int p(x, \hat z)\,e^{-\frac12 (z - \hat z)^\top P (z - \hat z)}\,dz"),
        "Taylor at the mode ẑ; slope 0, no third order here",
        why="the height of the peak and its curvature P are easy to find",
        needs="log p(x, z) a parabola in z; otherwise an approximation, blind to other peaks",
    )
    .eq(
        tex(r"\log p(x, \hat z) + \tfrac{k}{2} \log 2\pi - \tfrac12 \log |P|"),
        "Gaussian integral; P = WᵀW/c + I",
        why="height times volume",
        needs="P positive definite: a peak",
    )
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
        tex(r"\log p(x, \hat z) + \tfrac{k}{2} \log 2\pi - \tfrac12 \log |\tfrac{1}{c} W^\top W|"),
        "the prior's curvature was left out of P: precisions add.",
    )
    .slip(
        "expanded around zero",
        tex(r"\log p(x, 0) + \tfrac{k}{2} \log 2\pi - \tfrac12 \log |P|"),
        "the joint was taken at z = 0: only at the mode does the linear term vanish.",
    )
    .eq(tex(r"\log p(x, \hat z) - \log p(\hat z \mid x)"), "N(ẑ, P⁻¹) at its peak")
)


# ------------------------------------------------------------------------------ E15: what a badly chosen q costs


class WidePair(NormalPair):
    """Two Gaussians with v_q > 0.6 v_p; of a pair that is too far apart, the wider one is q."""

    @classmethod
    def generic(cls, rng: Rng) -> WidePair:
        pair = NormalPair.draw(rng)
        return cls(pair.q, pair.p) if pair.q.variance > 0.6 * pair.p.variance else cls(pair.p, pair.q)

    def scope(self) -> Scope:
        """As that of the pair; z is looked for wherever p, q or p^2 / q lies."""
        v = 1 / (2 / self.p.variance - 1 / self.q.variance)
        center = v * (2 * self.p.loc / self.p.variance - self.q.loc / self.q.variance)
        around = [(self.p.loc, self.p.scale), (self.q.loc, self.q.scale), (center, np.sqrt(v))]
        ends = [float(loc + 12 * side * scale) for loc, scale in around for side in (-1, 1)]
        return replace(super().scope(), spaces={"z": Interval(min(ends), max(ends))})


E15 = (
    derive(
        "E15",
        "second moment of the weights p/q; chi-squared divergence",
        WidePair.generic,
        assumptions="2 v_q > v_p; otherwise the integral, and with it the variance of the weights, is infinite",
        source="Pearson 1900 for the divergence; Nielsen and Nock 2014 for Gaussians",
    )
    .start(
        tex(r"1 + \mathbb{E}_q\left[\left(\tfrac{p}{q} - 1\right)^2\right]"),
        why="1 + variance of the weights p/q, whose mean is 1",
    )
    .eq(
        tex(r"\int \frac{p(z)^2}{q(z)}\,dz"),
        "multiply out: 1 - 2 + 1 cancel, E_q[(p/q)²] stays",
        why="one integral",
        needs="E_q[p/q] = 1: q > 0 wherever p > 0",
    )
    .slip(
        "p and q swapped",
        tex(r"\int \frac{q(z)^2}{p(z)}\,dz"),
        "p and q were swapped: the law that samples belongs in the denominator. This one is infinite if v_q ≥ 2 v_p.",
    )
    .eq(
        tex(
            r"\frac{p(a)^2}{q(a)} \sqrt{2\pi v},\quad a = v\,\left(\frac{2\mu_p}{v_p} - \frac{\mu_q}{v_q}\right),"
            r"\quad v = \left(\frac{2}{v_p} - \frac{1}{v_q}\right)^{-1}"
        ),
        "complete the square: height times volume",
        why="a Gaussian integral, centered at a",
        needs="1/v > 0, that is 2 v_q > v_p",
    )
    .eq(
        tex(r"\frac{v_q}{\sqrt{v_p\,(2 v_q - v_p)}}\,\exp\frac{(\mu_p - \mu_q)^2}{2 v_q - v_p}"),
        "insert the center a",
        why="the price, in numbers",
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
        "roles swapped in the closed form",
        tex(r"\frac{v_p}{\sqrt{v_q\,(2 v_p - v_q)}}\,\exp\frac{(\mu_p - \mu_q)^2}{2 v_p - v_q}"),
        "the formula of the reverse divergence was used: chi-squared is not symmetric.",
    )
)

CHAPTER = (B1, B2, B3, B5, B6, B8, E15)
