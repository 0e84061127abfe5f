r"""Chapter H: gradients of expectations, pathwise and by the score function.

Each chain begins with a difference quotient, a closed form or a definition, and ends with what is computed in practice.
Expectations over standard normal noise are Gauss-Hermite sums, so an estimator of `vaelib.gradients` is evaluated at
the nodes, and its mean and variance are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from vaelib.derivation import Derivation, derive
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.formula import HALF, given, sampled, symbol, tex, where
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.worlds import Law
from vaelib.gradients import leave_one_out, pathwise, score_function
from vaelib.quadrature import gauss_hermite, gauss_hermite_multivariate, trapezoid
from vaelib.terms import KL, E, log_joint, log_lik, log_prior, log_q, prior, q
from vaelib.witnesses import (
    STANDARD_NOISE,
    CurvedWitness,
    LinearWitness,
    NormalPair,
    away_from_zero,
    generic_covariance,
    generic_probabilities,
    generic_scale,
    moment_names,
    moment_parameters,
)

Array = np.ndarray
Rng = np.random.Generator
EPS = float(np.finfo(float).eps)


# ----------------------------------------------------------------------------------- one dimension: H1, H2, H9, H20


@dataclass(frozen=True)
class Smooth:
    """A Gaussian q, f(z) = a_0 sin(w z) + a_2 z^2 + a_3 z^3, and a number to subtract from f as a baseline."""

    q: Normal
    amplitude: float
    frequency: float
    quadratic: float
    cubic: float
    baseline: float

    @classmethod
    def draw(cls, rng: Rng) -> Smooth:
        numbers = away_from_zero(rng, 0.3, 1.0, (4,))
        law = Normal(away_from_zero(rng, 0.3, 1.2), generic_scale(rng))
        return cls(law, numbers[0], rng.uniform(0.5, 1.3), numbers[1], numbers[2], 3 * numbers[3])

    def f(self, z: Array) -> Array:
        return self.amplitude * np.sin(self.frequency * z) + self.quadratic * z**2 + self.cubic * z**3

    def slope(self, z: Array) -> Array:
        """f'(z)."""
        wave = self.amplitude * self.frequency * np.cos(self.frequency * z)
        return wave + 2 * self.quadratic * z + 3 * self.cubic * z**2

    def scope(self) -> Scope:
        """q = N(mu, sigma^2), the function f with its four numbers, and the baseline b."""
        numbers = {"a_0": self.amplitude, r"\omega": self.frequency, "a_2": self.quadratic, "a_3": self.cubic}
        return Scope(
            worlds={"q": Law("z", self.q)},
            values={**moment_names(self.q), **numbers, "b": self.baseline},
            maps={"f": Map(self.f), "f'": Map(self.slope)},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(self.q, lambda moved: replace(self, q=moved).scope()),
        )


def over_noise(g: Callable[[Array], Any]) -> Estimate:
    """E[g(eps)] for standard normal eps; a pair (of gradients, say) becomes an array of two entries."""

    def integrand(noise: Array) -> Any:
        value = g(noise)
        return np.stack(value, axis=-1) if isinstance(value, tuple) else value

    return gauss_hermite(integrand, 0.0, 1.0, n=40)


H1 = (
    derive(
        "H1",
        "the pathwise gradient",
        Smooth.draw,
        assumptions="f holds no mu and no sigma; it is continuous, smooth but for single kinks; |f'(mu + sigma eps)| (1 + |eps|) has an integrable bound",
        source="Kingma and Welling 2014, section 2.4; Mohamed et al. 2020, section 5",
    )
    .start(tex(r"\nabla_{\mu,\sigma} \int N(z;\, \mu, \sigma^2)\, f(z)\,dz"), why="this is what we want")
    .eq(
        tex(r"\nabla_{\mu,\sigma}\, \mathbb{E}_{\varepsilon}[f(\mu + \sigma\varepsilon)]"),
        "change of variables: z = mu + sigma eps, eps ~ N(0, 1)",
        why="the law of eps is free of mu and sigma",
        needs="sigma > 0",
    )
    .eq(
        tex(r"\mathbb{E}_{\varepsilon}[\nabla_{\mu,\sigma} f(\mu + \sigma\varepsilon)]"),
        "derivative under the integral",
        why="an average of gradients",
        needs="f continuous, and a bound on f' with a finite mean",
    )
    .eq(
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]"),
        "chain rule: dz/dmu = 1, dz/dsigma = eps",
        why="ready to sample",
        needs="f' but for single points, which have no weight",
    )
    .slip(
        "noise forgotten",
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ 1)\right]"),
        "dz/dsigma = eps was forgotten: the chain rule ends with eps, not with 1.",
    )
    .slip(
        "f for its derivative",
        tex(r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]"),
        "f was written where its derivative belongs.",
    )
    .slip(
        "sigma detached",
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ 0)\right]"),
        "sigma was held fixed (detached) in z = mu + sigma eps: no gradient reaches it.",
    )
    .slip(
        "gradient at the mean",
        tex(r"f'(\mu)\,(1,\ 0)"),
        "the gradient was taken at the mean of z, not averaged over z.",
    )
    .slip(
        "in log sigma",
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \sigma\varepsilon)\right]"),
        "the derivative in log sigma: it carries one more factor sigma than that in sigma.",
        real="public issue threads: scale, variance and log-variance mixed up",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{vaelib.gradients.pathwise}",
            lambda w: over_noise(lambda e: pathwise(w.q, w.slope, e)),
        ),
        "the estimator, averaged over all noise",
    )
    .slip(
        "noise scaled by the variance",
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma^2\varepsilon)\,(1,\ \varepsilon)\right]"),
        "z = mu + sigma^2 eps: the noise is multiplied by the standard deviation.",
    )
    .eq(
        tex(
            r"\nabla_{\mu,\sigma} \left(a_0 e^{-\omega^2\sigma^2/2} \sin(\omega\mu) + a_2 (\mu^2 + \sigma^2) + a_3 (\mu^3 + 3\mu\sigma^2)\right)"
        ),
        "f = a_0 sin(wz) + a_2 z^2 + a_3 z^3: Gaussian moments",
        why="a check without any sampling",
    )
)

H2 = (
    derive(
        "H2",
        "the score-function gradient",
        Smooth.draw,
        assumptions="q > 0 is differentiable in its parameters, f need not be; |f grad q| has an integrable bound",
        source="Williams 1992; Mohamed et al. 2020, section 4",
    )
    .start(tex(r"\nabla_{\mu,\sigma} \int N(z;\, \mu, \sigma^2)\, f(z)\,dz"), why="as before")
    .eq(
        tex(r"\int f(z)\, \nabla_{\mu,\sigma} N(z;\, \mu, \sigma^2)\,dz"),
        "derivative under the integral: only the density moves",
        why="f does not hold mu and sigma",
        needs="an integrable bound on |f grad q|",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[f(z)\, \nabla_{\mu,\sigma} \log q(z)\right]"),
        "grad q = q grad log q",
        why="an expectation again: it can be sampled",
        needs="q(z) > 0",
    )
    .slip(
        "minus",
        tex(r"-\mathbb{E}_{q}\left[f(z)\, \nabla_{\mu,\sigma} \log q(z)\right]"),
        "the sign is wrong: grad log q enters with a plus.",
    )
    .slip(
        "grad q for grad log q",
        tex(r"\mathbb{E}_{q}\left[f(z)\, \nabla_{\mu,\sigma} q(z)\right]"),
        "q was counted twice: grad q = q grad log q, and the expectation brings the q.",
    )
    .slip(
        "f differentiated",
        tex(r"\mathbb{E}_{q}\left[f'(z)\, \nabla_{\mu,\sigma} \log q(z)\right]"),
        "f was differentiated: the score function needs values of f only.",
    )
    .eq(
        tex(
            r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\, \tfrac{1}{\sigma} (\varepsilon,\ \varepsilon^2 - 1)\right]"
        ),
        "the score of a Gaussian, then z = mu + sigma eps",
        why="insert z only now",
        needs="z held fixed before",
    )
    .slip(
        "no 1/sigma",
        tex(r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\,(\varepsilon,\ \varepsilon^2 - 1)\right]"),
        "the 1/sigma of the score is missing.",
    )
    .slip(
        "normalizer forgotten",
        tex(
            r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\, \tfrac{1}{\sigma} (\varepsilon,\ \varepsilon^2)\right]"
        ),
        "-1 is missing: the normalizer 1/sigma of the density depends on sigma too.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{vaelib.gradients.score\_function}",
            lambda w: over_noise(lambda e: score_function(w.q, w.f, e)),
        ),
        "the estimator, averaged over all noise",
    )
    .slip(
        "differentiated along the path",
        tex(
            r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\, \nabla_{\mu,\sigma} \log q(\mu + \sigma\varepsilon)\right]"
        ),
        "z was not held fixed: along z = mu + sigma eps, log q changes by -log sigma alone.",
    )
    .eq(
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]"),
        "by parts, where f is differentiable: H1",
        why="both ways give one gradient",
    )
)


def at_best_baseline(w: Smooth) -> Estimate:
    """Var[(f - b*) s] of the package's estimator, with b* = E[f s^2] / E[s^2]."""

    def weights(noise: Array) -> Array:
        return np.stack([w.f(w.q.transform(noise)) * noise**2, noise**2], axis=-1)

    mixed, size = over_noise(weights).value
    samples = partial(score_function, w.q, w.f, baseline=mixed / size)
    mean = over_noise(lambda e: samples(e).loc).value
    return over_noise(lambda e: (samples(e).loc - mean) ** 2)


squared_mean = tex(r"\mathbb{E}[f s]^2")
above_the_best = tex(r"\mathbb{E}[s^2]\,(b - b^*)^2")
saved = tex(r"\frac{\mathrm{Cov}(f s, s)^2}{\mathrm{Var}[s]}")
all_of_it = tex(r"\mathrm{Var}[f s]")

H9 = (
    derive(
        "H9",
        "a baseline: the mean stays, the variance is a parabola",
        Smooth.draw,
        assumptions="b does not depend on the sample; s = d log q / d mu, and f s, have a finite second moment",
        source="Greensmith, Bartlett and Baxter 2004; Mohamed et al. 2020, section 7.4",
    )
    .start(tex(r"\mathrm{Var}\left[(f - b)\,s\right], \quad s = \partial_\mu \log q(z)"), why="which b is best?")
    .eq(
        tex(r"\mathbb{E}[(f - b)^2 s^2]") - squared_mean,
        "second moment less squared mean; E[s] = 0",
        why="the mean is free of b",
    )
    .slip(
        "mean shifted by b",
        tex(r"\mathbb{E}[(f - b)^2 s^2] - (\mathbb{E}[f s] - b)^2"),
        "b was subtracted from the mean: E[bs] = b E[s] = 0.",
    )
    .slip(
        "baseline from its own sample",
        tex(r"\mathrm{Var}\left[(f - f)\,s\right]"),
        "the baseline was computed from its own sample: with b = f nothing is left.",
    )
    .eq(
        tex(r"\mathbb{E}[f^2 s^2] - 2b\,\mathbb{E}[f s^2] + b^2\,\mathbb{E}[s^2]") - squared_mean,
        "expand the square",
        why="a parabola in b",
        needs="E[s^2] and E[f^2 s^2] finite",
    )
    .slip(
        "factor 2 lost",
        tex(r"\mathbb{E}[f^2 s^2] - b\,\mathbb{E}[f s^2] + b^2\,\mathbb{E}[s^2]") - squared_mean,
        "the mixed term lost its factor 2.",
    )
    .eq(
        where(
            above_the_best + tex(r"\mathbb{E}[f^2 s^2] - \frac{\mathbb{E}[f s^2]^2}{\mathbb{E}[s^2]}") - squared_mean,
            (symbol("b^*"), tex(r"\frac{\mathbb{E}[f s^2]}{\mathbb{E}[s^2]}")),
        ),
        "complete the square",
        why="its lowest point is seen",
    )
    .ge(
        all_of_it - saved,
        "a square is not negative; E[s] = 0",
        why="what a baseline can save",
        gap=above_the_best,
    )
    .slip(
        "variance raised",
        all_of_it + saved,
        "the reduction was added: the best baseline lowers the variance.",
    )
    .slip(
        "covariance not squared",
        all_of_it - tex(r"\frac{\mathrm{Cov}(f s, s)}{\mathrm{Var}[s]}"),
        "the covariance was not squared.",
    )
    .eq(given(r"\mathrm{Var}\left[(f - b^*)\,s\right]", at_best_baseline), "attained at b = b*, by the package")
    .slip(
        "mean of f as the best",
        tex(r"\mathrm{Var}\left[(f - \mathbb{E}f)\,s\right]"),
        "b = E[f] was taken for the best: the best weighs f by s^2.",
    )
)


def square(z: Array) -> Array:
    return z**2


def double(z: Array) -> Array:
    return 2 * z


# Variances are finite: each sample is a polynomial in Gaussian noise.
H20 = (
    derive(
        "H20",
        "both estimators on average: a z-test",
        NormalPair.draw,
        assumptions="f(z) = z^2: each sample is a polynomial in eps, so its variance is finite",
        source="Mohamed et al. 2020, section 3",
    )
    .start(tex(r"\int z^2\, \partial_\sigma N(z;\, \mu, \sigma^2)\,dz"), why="what is estimated")
    .eq(
        tex(r"\partial_\sigma (\mu^2 + \sigma^2)"),
        "outside the integral: second moment of a Gaussian",
        why="the exact value",
    )
    .slip("no 2", tex(r"\sigma"), "the derivative of sigma^2 lost its factor 2.")
    .slip(
        "in the variance",
        tex("1"),
        "the derivative in sigma^2: that is 1, and the one in sigma is 2 sigma.",
        real="public issue threads: scale, variance and log-variance mixed up",
    )
    .eq(
        sampled(
            r"\tfrac1S\textstyle\sum_s 2(\mu + \sigma\varepsilon_s)\,\varepsilon_s",
            lambda w, rng, n: pathwise(w.q, double, rng.standard_normal(n)).scale,
        ),
        "pathwise, H1; |z| is compared with 4.5",
        why="an error in units of its standard error",
        needs="a finite variance: a polynomial in eps has one",
        num_samples=100_000,
        resolution=0.5,
    )
    .slip(
        "f itself along the path",
        sampled(
            r"\tfrac1S\textstyle\sum_s (\mu + \sigma\varepsilon_s)^2\,\varepsilon_s",
            lambda w, rng, n: pathwise(w.q, square, rng.standard_normal(n)).scale,
        ),
        "f was not differentiated: z^2 eps for 2z eps.",
    )
    .slip(
        "noise forgotten",
        sampled(
            r"\tfrac1S\textstyle\sum_s 2(\mu + \sigma\varepsilon_s)",
            lambda w, rng, n: pathwise(w.q, double, rng.standard_normal(n)).loc,
        ),
        "eps is missing after the derivative of f: dz/dsigma = eps.",
    )
    .eq(
        sampled(
            r"\tfrac1S\textstyle\sum_s (\mu + \sigma\varepsilon_s)^2\, \tfrac1\sigma (\varepsilon_s^2 - 1)",
            lambda w, rng, n: score_function(w.q, square, rng.standard_normal(n)).scale,
        ),
        "score function, H2",
        why="f is not differentiated",
        num_samples=100_000,
        resolution=4.0,  # the price of the score function where q is wide
    )
    .slip(
        "normalizer forgotten",
        sampled(
            r"\tfrac1S\textstyle\sum_s (\mu + \sigma\varepsilon_s)^2\, \tfrac1\sigma \varepsilon_s^2",
            lambda w, rng, n: normalizer_forgotten(w, rng.standard_normal(n)),
        ),
        "-1 is missing: the normalizer 1/sigma of the density depends on sigma too.",
    )
)


def normalizer_forgotten(w: NormalPair, noise: Array) -> Array:
    return w.q.transform(noise) ** 2 * noise**2 / w.q.scale


# ------------------------------------------------------------------------------------------- many dimensions: H7


@dataclass(frozen=True)
class Vector:
    """A Gaussian with three independent coordinates, no two alike; f(z) = |z|^2."""

    q: DiagonalNormal

    @classmethod
    def draw(cls, rng: Rng, d: int = 3) -> Vector:
        return cls(DiagonalNormal(away_from_zero(rng, 0.3, 1.3, (d,)), generic_scale(rng, (d,))))

    def scope(self) -> Scope:
        """q(z) with means mu_i and scales sigma_i; a line holds for each coordinate i."""
        d = self.q.loc.size
        return Scope(
            worlds={"q": Law("z", self.q)},
            values={r"\mu": self.q.loc, r"\sigma": self.q.scale},
            ranges={"i": d, "j": d},
            maps={"f": Map(length)},
            laws={"": "q", **STANDARD_NOISE},
            every=("i",),
        )


def length(z: Array) -> Array:
    """|z|^2, (n,) for z of shape (n, d)."""
    return (z**2).sum(axis=-1)


def spreads(w: Vector, samples: Callable[[Array], Any]) -> Any:
    """The variance of an estimator of the gradient in each mean, over all noise; exact, for these are polynomials."""
    d = w.q.loc.size
    over = partial(gauss_hermite_multivariate, loc=np.zeros(d), scale_tril=np.eye(d), n=4)
    mean = over(lambda noise: samples(noise).loc).value
    return over(lambda noise: (samples(noise).loc - mean) ** 2)


second_moment, square_of_mean = tex(r"\mathbb{E}\left[f(z)^2 s_i^2\right]"), tex(r"4\mu_i^2")
score_of_i = symbol("s_i"), tex(r"\frac{z_i - \mu_i}{\sigma_i^2}")
moment_4, moment_2 = (
    tex(rf"\mathbb{{E}}_{{\varepsilon}}[(\mu_i + \sigma_i\varepsilon)^{n} \varepsilon^2]") for n in (4, 2)
)
one_coordinate = tex(r"\frac{\mu_i^4}{\sigma_i^2} + 14\mu_i^2 + 15\sigma_i^2")
the_others = tex(r"\frac{2(\mu_i^2 + 3\sigma_i^2)\,m_i + m_i^2 + v_i}{\sigma_i^2}")
spread_of_others = tex(r"\frac{v_i}{\sigma_i^2}")

H7 = (
    derive(
        "H7",
        "variance of three estimators, in d dimensions",
        Vector.draw,
        assumptions="f(z) = |z|^2, independent coordinates, one sample; m_i and v_i are mean and variance of the other z_j^2, summed",
        source="Mohamed et al. 2020, section 3; worked out here",
    )
    .start(
        given(
            r"\mathrm{Var}\left[f(z)\, \partial_{\mu_i} \log q(z)\right]",
            lambda w: spreads(w, lambda e: score_function(w.q, length, e)),
        ),
        why="score function, as the package computes it; every coordinate i has its own",
    )
    .eq(
        where(second_moment - square_of_mean, score_of_i),
        "second moment less the square of the mean 2 mu_i",
        why="the mean is known",
    )
    .slip(
        "mean not subtracted",
        where(second_moment, score_of_i),
        "the second moment was taken for the variance.",
    )
    .eq(
        where(
            (moment_4 + tex("2 m_i") * moment_2 + tex("m_i^2 + v_i")) / tex(r"\sigma_i^2") - square_of_mean,
            (symbol("m_i"), tex(r"\sum_{j \ne i} (\mu_j^2 + \sigma_j^2)")),
            (symbol("v_i"), tex(r"\sum_{j \ne i} (4\mu_j^2\sigma_j^2 + 2\sigma_j^4)")),
        ),
        "f = z_i^2 + the others, which are independent of it",
        why="one-dimensional moments",
        needs="independent coordinates",
    )
    .eq(
        one_coordinate + the_others,
        "E eps^2 = 1, E eps^4 = 3, E eps^6 = 15; odd moments are zero",
        why="18 - 4 = 14",
    )
    .slip(
        "mean subtracted twice",
        one_coordinate + the_others - square_of_mean,
        "the square of the mean was subtracted twice: 18 - 4 = 14.",
    )
    .slip(
        "one dimension only",
        one_coordinate,
        "the formula for one dimension was used: the other coordinates are in f and add noise.",
    )
    .gt(
        given(
            r"\mathrm{Var}\left[(f(z) - \mathbb{E}f)\, \partial_{\mu_i} \log q(z)\right]",
            lambda w: spreads(w, lambda e: score_function(w.q, length, e, (w.q.loc**2 + w.q.scale**2).sum())),
        ),
        "subtract the mean b = E[f] as a baseline, H9",
        why="as the package computes it",
        gap=tex(r"\frac{a^2}{\sigma_i^2} + 4a, \quad a = \sum_j (\mu_j^2 + \sigma_j^2)"),
    )
    .eq(
        tex(r"8\mu_i^2 + 10\sigma_i^2") + spread_of_others,
        "the same moments with f - E[f] for f",
        why="m_i is gone, v_i is not",
    )
    .slip(
        "baseline that removes the others",
        tex(r"8\mu_i^2 + 10\sigma_i^2"),
        "the baseline was taken to remove the other coordinates: it removes their mean, not their spread.",
    )
    .gt(
        given(
            r"\mathrm{Var}\left[\partial_{z_i} f(z)\right]", lambda w: spreads(w, lambda e: pathwise(w.q, double, e))
        ),
        "pathwise, as the package computes it",
        why="it does not see the other coordinates",
        gap=tex(r"8\mu_i^2 + 6\sigma_i^2") + spread_of_others,
    )
    .slip("equal variances", says="two unbiased estimators were taken to have the same variance.", relation="=")
    .eq(tex(r"4\sigma_i^2"), "the derivative is 2 z_i, and Var[z_i] is sigma_i^2")
    .slip(
        "variance of z doubled",
        tex(r"2\sigma_i^2"),
        "the factor 2 of the derivative was not squared: Var[2z] = 4 Var[z].",
    )
)


# ------------------------------------------------------------------------------- full covariance: H4, H5, H13


@dataclass(frozen=True)
class Surface:
    """A Gaussian with correlated coordinates (k = 2) and f(z) = sin(a.z) + c (b.z)^4."""

    q: MultivariateNormal
    a: Array
    b: Array
    c: float

    @classmethod
    def draw(cls, rng: Rng, k: int = 2) -> Surface:
        """Generic ones alone: the steps of the derivatives are as large as for parameters of order one."""
        law = MultivariateNormal(away_from_zero(rng, 0.3, 1.0, (k,)), generic_covariance(rng, k))
        a, b = away_from_zero(rng, 0.3, 0.8, (2, k))
        return cls(law, a, b, float(away_from_zero(rng, 0.2, 0.6)))

    def f(self, z: Array) -> Array:
        return np.sin(z @ self.a) + self.c * (z @ self.b) ** 4

    def gradient(self, z: Array) -> Array:
        """(n, k)."""
        return np.cos(z @ self.a)[..., None] * self.a + (4 * self.c * (z @ self.b) ** 3)[..., None] * self.b

    def curvature(self, z: Array) -> Array:
        """The matrix of second derivatives, (n, k, k)."""
        wave = -np.sin(z @ self.a)[..., None, None] * np.outer(self.a, self.a)
        return wave + (12 * self.c * (z @ self.b) ** 2)[..., None, None] * np.outer(self.b, self.b)

    def scope(self) -> Scope:
        """q = N(mu, Sigma), Sigma = L L^T; f and its derivatives."""
        q, k = self.q, self.q.loc.size

        def moved(loc: Array, covariance: Array) -> Scope:
            return replace(self, q=MultivariateNormal(loc, (covariance + covariance.T) / 2)).scope()

        return Scope(
            worlds={"q": Law("z", q), "n": Law(r"\varepsilon", DiagonalNormal(np.zeros(k), np.ones(k)))},
            values={r"\mu": q.loc, r"\Sigma": q.covariance, "L": q.cholesky},
            maps={"f": Map(self.f), "f'": Map(self.gradient, rank=1), "f''": Map(self.curvature, rank=2)},
            laws={"": "q", r"\varepsilon": r"n(\varepsilon)"},
            parameters={
                r"\mu": Parameter(q.loc, lambda loc: moved(loc, q.covariance)),
                r"\Sigma": Parameter(q.covariance, lambda covariance: moved(q.loc, covariance)),
                "L": Parameter(q.cholesky, lambda factor: moved(q.loc, factor @ factor.T)),
            },
        )


H4 = (
    derive(
        "H4",
        "Bonnet: the gradient in the mean",
        Surface.draw,
        assumptions="f is differentiable and grows more slowly than exp(c |z|^2) for every c > 0",
        source="Bonnet 1964; Rezende, Mohamed and Wierstra 2014, section 3",
    )
    .start(tex(r"\nabla_\mu\, \mathbb{E}_{N(\mu, \Sigma)}[f(z)]"), why="this is what we want")
    .eq(
        tex(r"\mathbb{E}\left[f(z)\, \Sigma^{-1}(z - \mu)\right]"),
        "score function, H2",
        why="an expectation, with values of f",
    )
    .slip(
        "precision forgotten",
        tex(r"\mathbb{E}\left[f(z)\,(z - \mu)\right]"),
        "the inverse covariance is missing in the score.",
    )
    .eq(
        tex(r"\mathbb{E}\left[\nabla f(z)\right]"),
        "grad_mu q = -grad_z q, then by parts once",
        why="the derivative moves from q to f",
        needs="f q vanishes far out",
    )
    .slip(
        "at the mean",
        tex(r"\nabla f(\mu)"),
        "the gradient was taken at the mean: E[grad f(z)] is not grad f(E[z]).",
    )
    .slip(
        "precision left over",
        tex(r"\mathbb{E}\left[\Sigma^{-1}\, \nabla f(z)\right]"),
        "the inverse covariance stayed behind: integration by parts uses it up.",
    )
    .slip(
        "sign of the parts",
        tex(r"-\mathbb{E}\left[\nabla f(z)\right]"),
        "one of two minus signs was lost: grad_mu q = -grad_z q, and by parts brings the other.",
    )
)

H5 = (
    derive(
        "H5",
        "Price: the gradient in the covariance",
        Surface.draw,
        assumptions="f is twice differentiable; the gradient is symmetric, each entry and its mirror image moving by half each",
        source="Price 1958; Rezende, Mohamed and Wierstra 2014, section 3",
    )
    .start(tex(r"\nabla_\Sigma\, \mathbb{E}_{N(\mu, \Sigma)}[f(z)]"), why="this is what we want")
    .eq(
        tex(
            r"\tfrac12 \mathbb{E}\left[f(z) \left(\Sigma^{-1}(z - \mu)(z - \mu)^\top \Sigma^{-1} - \Sigma^{-1}\right)\right]"
        ),
        "score function, H2; the last term is from the determinant",
        why="an expectation, with values of f",
    )
    .slip(
        "determinant forgotten",
        tex(r"\tfrac12 \mathbb{E}\left[f(z)\, \Sigma^{-1}(z - \mu)(z - \mu)^\top \Sigma^{-1}\right]"),
        "the determinant in the density was not differentiated.",
    )
    .eq(
        tex(r"\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right]"),
        "grad_Sigma q = half of grad_z^2 q; by parts, twice",
        why="the derivatives move from q to f",
        needs="f q and q grad f vanish far out",
    )
    .slip("no 1/2", tex(r"\mathbb{E}\left[\nabla^2 f(z)\right]"), "the factor 1/2 is missing.")
    .slip(
        "minus",
        tex(r"-\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right]"),
        "a minus remained: by parts twice brings two of them.",
    )
    .slip(
        "in the scale",
        tex(r"\mathbb{E}\left[\nabla^2 f(z)\right] L"),
        "a derivative in the standard deviation: that carries one more factor, d sigma^2 / d sigma.",
    )
    .slip(
        "at the mean",
        tex(r"\tfrac12 \nabla^2 f(\mu)"),
        "the curvature was taken at the mean, not averaged over z.",
    )
)

H13 = (
    derive(
        "H13",
        "the pathwise gradient through a Cholesky factor",
        Surface.draw,
        assumptions="f is twice differentiable; Sigma = L L^T for any square L; of a Cholesky factor take the entries i >= j",
        source="Kingma and Welling 2019, section 2.5; Rezende, Mohamed and Wierstra 2014, section 3",
    )
    .start(tex(r"\nabla_L\, \mathbb{E}_{N(\mu, L L^\top)}[f(z)]"), why="this is what we want")
    .eq(
        tex(r"\mathbb{E}_\varepsilon\left[\nabla f(\mu + L\varepsilon)\, \varepsilon^\top\right]"),
        "pathwise: dz_i / dL_ij = eps_j",
        why="ready to sample",
    )
    .slip(
        "transposed",
        tex(r"\mathbb{E}_\varepsilon\left[\varepsilon\,\left(\nabla f(\mu + L\varepsilon)\right)^\top\right]"),
        "gradient and noise were swapped: row i belongs to z_i, column j to eps_j.",
    )
    .slip(
        "covariance for its factor",
        tex(r"\mathbb{E}_\varepsilon\left[\nabla f(\mu + \Sigma\varepsilon)\, \varepsilon^\top\right]"),
        "z = mu + Sigma eps: the noise is multiplied by the factor L.",
    )
    .slip(
        "diagonal only",
        tex(
            r"\mathrm{diag}\left(\mathbb{E}_\varepsilon\left[\nabla f(\mu + L\varepsilon)\, \varepsilon^\top\right]\right)"
        ),
        "the coordinates were taken to be independent: L has an entry below the diagonal.",
    )
    .eq(
        tex(r"\mathbb{E}\left[\nabla^2 f(z)\right] L"),
        "chain rule through Sigma = L L', with Price, H5",
        why="twice one half, times L",
    )
    .slip(
        "half left over",
        tex(r"\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right] L"),
        "the 1/2 of Price's theorem stayed: Sigma = L L' holds L twice.",
    )
)


# ------------------------------------------------------------------------------- two estimators of the bound, H10


def drawn(w: Any, rng: Rng, n: int) -> Array:
    """n draws of q, by its reparameterization."""
    return w.q.transform(rng.standard_normal(n))


def log_weight(w: CurvedWitness, z: Array) -> Array:
    """log p(x, z) - log q(z)."""
    return w.model.log_joint(w.x, z) - w.q.log_prob(z)


def log_likelihood(w: CurvedWitness, rng: Rng, n: int) -> Array:
    """log p(x | z) at draws of q."""
    return w.model.log_likelihood(w.x, drawn(w, rng, n))


def kl_to_prior(w: CurvedWitness) -> Any:
    """In closed form."""
    return kl_divergence(w.q, w.model.prior)


# Variances are finite: log p(x, z) is a polynomial of degree 4 in z, log q one of degree 2, and q is Gaussian.
H10 = (
    derive(
        "H10",
        "two estimators of the bound, one expectation",
        CurvedWitness.draw,
        assumptions="KL(q || p(z)) in closed form; z = mu + sigma eps, eps ~ N(0, 1)",
        source="Kingma and Welling 2014, equations (6) and (7)",
    )
    .start(E(q, log_joint - log_q), why="estimator A, all of it sampled: its expectation")
    .eq(
        E(q, log_lik + log_prior - log_q),
        "product rule: p(x,z) = p(x|z) p(z)",
        why="the prior is known, and so is q",
    )
    .slip("no prior", E(q, log_lik - log_q), "log p(z) is missing from the joint.")
    .eq(
        E(q, log_lik) - E(q, log_q - log_prior),
        "expectation is linear",
        why="what is known has its own mean",
        needs="both means are finite",
    )
    .slip(
        "A without log q",
        E(q, log_lik) + E(q, log_prior),
        "log q(z) was left out: then nothing pays for a narrow q, and it shrinks to a point.",
    )
    .eq(E(q, log_lik) - KL(q, prior), "definition of KL", why="of Gaussians it has a closed form")
    .slip(
        "plus KL",
        E(q, log_lik) + KL(q, prior),
        "the KL is added: it is a price, so it is subtracted.",
        real="public issue threads: the sign of the reported KL",
    )
    .slip(
        "KL swapped",
        E(q, log_lik) - KL(prior, q),
        "KL(p(z) || q): A samples z from q, so the expectation of the ratio is under q.",
    )
    .eq(
        tex(r"\mathbb{E}_{q}[\log p(x \mid z)] - \log\tfrac{1}{\sigma} - \tfrac12(\sigma^2 + \mu^2 - 1)"),
        "KL of Gaussians in closed form",
        why="estimator B: its expectation",
        needs="q and the prior Gaussian",
    )
    .slip(
        "prior counted twice",
        tex(r"\mathbb{E}_{q}[\log p(x, z)] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "A and B were mixed: log p(x,z) holds the prior, and KL(q || p(z)) holds it again.",
    )
    .slip(
        "entropy counted twice",
        tex(r"\mathbb{E}_{q}[\log p(x \mid z) - \log q(z)] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "log q(z) is sampled, and the KL holds it as well.",
    )
    .eq(
        sampled(
            r"\tfrac1S\textstyle\sum_s \left(\log p(x, z_s) - \log q(z_s)\right)",
            lambda w, rng, n: log_weight(w, drawn(w, rng, n)),
        ),
        "A as it is computed, z_s = mu + sigma eps_s",
        num_samples=40_000,
    )
    .slip(
        "noise without its scale",
        sampled(
            r"\tfrac1S\textstyle\sum_s \left(\log p(x, z_s) - \log q(z_s)\right), \quad z_s = \mu + \varepsilon_s",
            lambda w, rng, n: log_weight(w, w.q.loc + rng.standard_normal(n)),
        ),
        "z = mu + eps: the noise was not multiplied by sigma.",
    )
    .eq(
        sampled(
            r"\tfrac1S\textstyle\sum_s \log p(x \mid z_s) - \mathrm{KL}(q \,\Vert\, p(z))",
            lambda w, rng, n: elbo(log_likelihood(w, rng, n), kl_to_prior(w)),
        ),
        "B as it is computed: only the likelihood is sampled",
        num_samples=40_000,
    )
    .slip(
        "sampled plus KL",
        sampled(
            r"\tfrac1S\textstyle\sum_s \log p(x \mid z_s) + \mathrm{KL}(q \,\Vert\, p(z))",
            lambda w, rng, n: log_likelihood(w, rng, n) + kl_to_prior(w),
        ),
        "the KL is added to the sampled likelihood: it is subtracted.",
    )
)

# ------------------------------------------------------------------------ the bound's estimators: H11 and H12

by_slope, by_curvature = tex(r"g^\top \Sigma_q g"), tex(r"\mathrm{tr}\left((A \Sigma_q)^2\right)")
gradient, hessian = tex(r"\tfrac1c W^\top (r - W \hat z)"), tex(r"\tfrac1c W^\top W")
at_the_posterior = (symbol("g"), gradient), (symbol("A"), hessian), (symbol(r"\Sigma_q"), tex("c M^{-1}"))
spread_of_b = where(by_slope + HALF * by_curvature, *at_the_posterior)

H11 = (
    derive(
        "H11",
        "at the posterior, estimator A has no variance",
        LinearWitness.draw,
        assumptions="q = p(z|x) exactly; r = x - b, and z-hat is the posterior mean",
        source="Roeder, Wu and Duvenaud 2017; names A and B: Kingma and Welling 2014",
    )
    .start(tex(r"\mathrm{Var}_{q}\left[\log p(x, z) - \log q(z)\right], \quad q = p(z \mid x)"), why="estimator A")
    .eq(
        tex(r"\mathrm{Var}_{q}\left[\log p(x)\right] = 0"),
        "Bayes' rule: log p(x, z) - log p(z|x) is log p(x)",
        why="the same number at every z",
        needs="q is the posterior",
    )
    .lt(
        tex(r"\mathrm{Var}_{q}\left[\log p(x \mid z) - \mathrm{KL}(q \,\Vert\, p(z))\right]"),
        "estimator B: the likelihood still varies with z",
        why="the closed form does not always help",
        gap=spread_of_b,
    )
    .slip(
        "B always better",
        says="the closed-form KL was taken to lower the variance always: at the posterior it raises it.",
        relation=">",
    )
    .slip(
        "no noise left in B",
        says="the closed-form KL was taken to remove all noise: the likelihood is still sampled.",
        relation="=",
    )
    .eq(
        spread_of_b,
        "variance of a quadratic in a Gaussian z",
        why="log p(x|z) has slope g and curvature -A at the mean",
        needs="Sigma_q the covariance of q",
    )
    .slip("linear term only", where(by_slope, *at_the_posterior), "the curvature of log p(x|z) was left out.")
    .slip(
        "no 1/2",
        where(by_slope + by_curvature, *at_the_posterior),
        "the 1/2 before the trace is missing: the variance of u^2 / 2 is 1/2.",
    )
)


def over_q(body: str) -> Any:
    r"""E_q of this, with the noise \varepsilon that led to z."""
    return tex(rf"\mathbb{{E}}_{{q}}\left[{body}\right], \quad \varepsilon = \tfrac{{z - \mu}}{{\sigma}}")


BOTH = r"\partial_z (\log p(x, z) - \log q(z))\,(1,\ \varepsilon)"
JOINT = r"\partial_z \log p(x, z)\,(1,\ \varepsilon)"
SCORE = r"\nabla_{\mu,\sigma} \log q(z)"

H12 = (
    derive(
        "H12",
        "sticking the landing: the score term may go",
        lambda rng: CurvedWitness.draw(rng),  # generic ones alone: the step is a small part of their widths
        assumptions="q is reparameterized, z = mu + sigma eps; log p(x, z) is differentiable in z",
        source="Roeder, Wu and Duvenaud 2017",
    )
    .start(
        tex(r"\nabla_{\mu,\sigma}\, \mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]"),
        why="the gradient that trains an encoder",
    )
    .eq(
        over_q(f"{BOTH} - {SCORE}"),
        "total derivative: through z, and through the density",
        why="two ways in which q enters",
        needs="z reparameterized",
    )
    .slip(
        "score doubled",
        tex(
            rf"\mathbb{{E}}_{{q}}\left[{BOTH} - {SCORE}\right] + \nabla_{{\mu,\sigma}}\, \mathrm{{H}}(q), \quad \varepsilon = \tfrac{{z - \mu}}{{\sigma}}"
        ),
        "the parameters of the density were differentiated twice: -log q is in the mean already.",
    )
    .eq(
        over_q(BOTH),
        "the mean of the score is zero",
        why="at the posterior nothing is left, not even noise",
        needs="a fixed z under the derivative of the density",
    )
    .slip(
        "path of log q dropped",
        over_q(JOINT),
        "log q was dropped altogether: its path is the gradient of the entropy, which keeps q wide.",
    )
    .slip(
        "score kept, path dropped",
        over_q(f"{JOINT} - {SCORE}"),
        "the wrong half of log q was kept: its score has mean zero, its path has not.",
    )
    .slip(
        "log q added",
        over_q(BOTH.replace("- \\log q", "+ \\log q")),
        "log q has the wrong sign: the bound subtracts it.",
    )
    .eq(
        tex(r"-\nabla_{\mu,\sigma}\, \mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        "F1: gap + bound = log p(x), free of q",
        why="climbing the bound is closing the gap",
    )
    .slip(
        "sign of the gap",
        tex(r"\nabla_{\mu,\sigma}\, \mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        "bound and gap were taken to rise together: their sum is fixed.",
    )
)


# -------------------------------------------------------------------------------------------- a discrete z: H16


@dataclass(frozen=True)
class Choice:
    """A categorical q with four states, given by logits, and the value of f at each state."""

    logits: Array
    values: Array

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4) -> Choice:
        values = away_from_zero(rng, 0.5, 2.5) + away_from_zero(rng, 0.3, 1.5, (num_states,))
        return cls(np.log(generic_probabilities(rng, (num_states,))) + 0.4, values)

    @property
    def probs(self) -> Array:
        weights = np.exp(self.logits - self.logits.max())
        return weights / weights.sum()

    def scope(self) -> Scope:
        """Probabilities p = softmax(a), and the value f of each state."""
        return Scope(
            values={"p": self.probs, "f": self.values, "a": self.logits},
            ranges={"j": len(self.values), "i": len(self.values)},
            every=("i",),
            parameters={"a": Parameter(self.logits, lambda logits: replace(self, logits=logits).scope())},
        )


NUM_DRAWS = 3


def over_draws(w: Choice, gradient: Callable[[Array, Array], Array]) -> Array:
    """The mean of gradient(f, z) over all 4^3 outcomes of K = 3 draws: values f and one-hot states z, k first."""
    outcomes = np.array(list(product(range(w.logits.size), repeat=NUM_DRAWS))).T  # (K, n)
    probability = w.probs[outcomes].prod(axis=0)
    return probability @ gradient(w.values[outcomes][..., None], np.eye(w.logits.size)[outcomes])


# Lines 2 to 4 enumerate all outcomes of the draws.
H16 = (
    derive(
        "H16",
        "leave-one-out baselines are unbiased",
        Choice.draw,
        assumptions="K >= 2 independent draws, here 3; f is not differentiated, z may be discrete",
        source="Kool, van Hoof and Welling 2019; Mnih and Rezende 2016",
    )
    .start(tex(r"\nabla_{a} \textstyle\sum_j \mathrm{softmax}(a)_j\, f_j"), why="no path leads from state to state")
    .eq(
        tex(r"p_i \left(f_i - \textstyle\sum_j p_j f_j\right)"),
        "derivative of the softmax",
        why="exact, to compare with",
        needs="p = softmax(a)",
    )
    .slip("mean not subtracted", tex(r"p_i f_i"), "the normalizer of the softmax was held fixed.")
    .eq(
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k f_k\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: (f * (z - w.probs)).mean(axis=0)),
        ),
        "score function, H2, averaged over K draws",
        why="values of f are enough",
        needs="independent draws",
    )
    .slip(
        "score not normalized",
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k f_k\, \mathrm{onehot}(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: (f * z).mean(axis=0)),
        ),
        "the softmax's normalizer was not differentiated: the score is one-hot minus p.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k \left(f_k - \tfrac{1}{K-1} \sum_{j \ne k} f_j\right) \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: ((f - leave_one_out(f)) * (z - w.probs)).mean(axis=0)),
        ),
        "H9: E[f_j s_k] = E[f_j] E[s_k] = 0 for the others",
        why="a baseline for nothing",
        needs="K >= 2",
    )
    .slip(
        "own sample included",
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: ((f - f.mean(axis=0)) * (z - w.probs)).mean(axis=0)),
        ),
        "the baseline contains its own sample: the gradient shrinks by (K - 1) / K.",
    )
    .slip(
        "sum over K",
        given(
            r"\mathbb{E}\left[\textstyle\sum_k \left(f_k - \tfrac{1}{K-1} \sum_{j \ne k} f_j\right) \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: ((f - leave_one_out(f)) * (z - w.probs)).sum(axis=0)),
        ),
        "the draws were summed, not averaged.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\tfrac{1}{K-1} \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: ((f - f.mean(axis=0)) * (z - w.probs)).sum(axis=0) / (NUM_DRAWS - 1)),
        ),
        "f_k less the others' mean is K/(K-1) times f_k less all",
        why="one mean instead of K",
    )
    .slip(
        "K for K - 1",
        given(
            r"\mathbb{E}\left[\tfrac{1}{K} \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f, z: ((f - f.mean(axis=0)) * (z - w.probs)).mean(axis=0)),
        ),
        "K was written for K - 1: the sum is one degree of freedom short.",
    )
)


# --------------------------------------------------------------------------------- how derivatives are checked: H18


@dataclass(frozen=True)
class Hundredths:
    """Two Gaussians in whole hundredths: rounding is the subject here, so a check must not perturb the inputs."""

    loc_q: int
    scale_q: int
    loc_p: int
    scale_p: int

    @classmethod
    def draw(cls, rng: Rng) -> Hundredths:
        loc_q, loc_p = rng.choice([-1, 1]) * rng.integers(30, 70), rng.choice([-1, 1]) * rng.integers(80, 130)
        return cls(int(loc_q), int(rng.integers(45, 80)), int(loc_p), int(rng.integers(130, 180)))

    @property
    def q(self) -> Normal:
        return Normal(self.loc_q / 100, self.scale_q / 100)

    @property
    def p(self) -> Normal:
        return Normal(self.loc_p / 100, self.scale_p / 100)

    def kl(self, loc: Any, scale: Any) -> Any:
        """KL(N(loc, scale^2) || p), spelled with operations that know complex numbers."""
        gap = loc - self.p.loc
        return np.log(self.p.scale / scale) + (scale**2 + gap**2) / (2 * self.p.scale**2) - 0.5

    @property
    def size(self) -> float:
        """Of the KL, of order one at least: what rounding is measured by."""
        return max(1.0, float(self.kl(self.q.loc, self.q.scale)))

    def scope(self) -> Scope:
        """The moments of q, and of p."""
        return Scope(values={**moment_names(self.q), r"\mu_p": self.p.loc, r"\sigma_p": self.p.scale})


def shifted(w: Hundredths, h: float) -> Array:
    """The package's KL to p with mu moved by h, and with sigma."""
    mu, sigma = w.q.loc, w.q.scale
    return np.array([kl_divergence(Normal(mu + h, sigma), w.p), kl_divergence(Normal(mu, sigma + h), w.p)])


def central(w: Hundredths, h: float) -> Array:
    return (shifted(w, h) - shifted(w, -h)) / (2 * h)


def forward(w: Hundredths, h: float) -> Array:
    return (shifted(w, h) - shifted(w, 0.0)) / h


BEST_STEP = EPS ** (1 / 3)


def as_promised(w: Hundredths, quotient: Array) -> Estimate:
    """A quotient with the error that the law promises at the best step: truncation h^2 f''' / 6, rounding eps / h."""
    third = 2 / w.q.scale**3  # in sigma, by size; in mu it is zero
    promised = 2 * (third * BEST_STEP**2 / 6 + 2 * EPS * w.size / BEST_STEP)
    return Estimate(quotient, np.full(2, promised))


def without_subtraction(w: Hundredths) -> Array:
    """Im KL(mu + ih) / h: nothing cancels, so h may be tiny."""
    h = 1e-30
    return np.array([w.kl(w.q.loc + 1j * h, w.q.scale).imag, w.kl(w.q.loc, w.q.scale + 1j * h).imag]) / h


# In mu, with sigma held; and in sigma, with mu held.
CENTRAL = r"\left(\tfrac{\mathrm{KL}(\mu + h, \sigma) - \mathrm{KL}(\mu - h, \sigma)}{2h},\ \tfrac{\mathrm{KL}(\mu, \sigma + h) - \mathrm{KL}(\mu, \sigma - h)}{2h}\right)"
FORWARD = r"\left(\tfrac{\mathrm{KL}(\mu + h, \sigma) - \mathrm{KL}(\mu, \sigma)}{h},\ \tfrac{\mathrm{KL}(\mu, \sigma + h) - \mathrm{KL}(\mu, \sigma)}{h}\right)"

# Lines 1 to 3 are algorithms: what is claimed is how many of their digits are right.
H18 = (
    derive(
        "H18",
        "difference quotients: how exact, at which step",
        Hundredths.draw,
        assumptions="double precision, eps = 2.2e-16; f is three times differentiable, f and its third derivative of order one",
        source="Press et al., Numerical Recipes, section 5.7; Squire and Trapp 1998 for line 1",
    )
    .start(
        tex(r"\left(\frac{\mu - \mu_p}{\sigma_p^2},\ \frac{\sigma}{\sigma_p^2} - \frac1\sigma\right)"),
        why="the gradient of KL(q || p) in mu and sigma, by hand",
    )
    .eq(
        given(
            r"\tfrac1h\, \mathrm{Im}\,(\mathrm{KL}(\mu + ih, \sigma),\ \mathrm{KL}(\mu, \sigma + ih)) \quad (h = 10^{-30})",
            without_subtraction,
        ),
        "a complex step: no two values of the KL are subtracted",
        why="h may be tiny",
        needs="operations that know complex numbers",
    )
    .eq(
        given(
            CENTRAL + r" + O(\epsilon^{2/3}), \quad h = \epsilon^{1/3}",
            lambda w: as_promised(w, central(w, BEST_STEP)),
        ),
        "best step: truncation h^2 meets rounding eps / h",
        why="h^2 + eps / h is least at h of order eps^(1/3)",
        needs="f and f''' of order one",
    )
    .slip(
        "step too small",
        given(CENTRAL + r", \quad h = 10^{-13}", lambda w: as_promised(w, central(w, 1e-13))),
        "the step is too small: nearly all digits of the difference cancel.",
    )
    .slip(
        "step too large",
        given(CENTRAL + r", \quad h = 0.3", lambda w: as_promised(w, central(w, 0.3))),
        "the step is too large: the curve bends between the two points.",
    )
    .slip(
        "one-sided",
        given(FORWARD + r", \quad h = 10^{-4}", lambda w: as_promised(w, forward(w, 1e-4))),
        "a forward difference: its error is h f'' / 2, of first order.",
    )
    .eq(
        given(
            CENTRAL + r" + O(h^2), \quad h = 0.02",
            lambda w, h: Estimate(central(w, h), np.full(2, 4 * EPS * w.size / h)),
        ),
        "Taylor: the even powers of h cancel",
        why="half the step, a quarter of the error",
        needs="f''' continuous",
        step=1 / 64,
        resolution=1e-3,
    )
    .slip(
        "first order called second",
        given(FORWARD, forward),
        "a forward difference, whose error is only halved when the step is halved.",
    )
)


# ------------------------------------------------------------------------------------------ where f jumps: H19


@dataclass(frozen=True)
class Jump:
    """A Gaussian q; f(z) = 1 where z > 0, and 0 where it is not."""

    q: Normal

    @classmethod
    def draw(cls, rng: Rng) -> Jump:
        """mu / sigma away from 0, 1 and sqrt(3): there the leading error of the smoothed jump vanishes."""
        low, high = [(0.35, 0.75), (1.25, 1.45)][rng.integers(2)]
        scale = generic_scale(rng)
        return cls(Normal(away_from_zero(rng, low, high) * scale, scale))

    def scope(self) -> Scope:
        """q = N(mu, sigma^2), and f' = 0 wherever it exists."""
        return Scope(
            worlds={"q": Law("z", self.q)},
            values=moment_names(self.q),
            maps={r"\Phi": Map(ndtr, of=("t",)), "f'": Map(np.zeros_like)},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(self.q, lambda moved: replace(self, q=moved).scope()),
        )


def smoothed(w: Jump, tau: float) -> Array:
    """Pathwise gradient of E[sigmoid(z / tau)], over t = z / tau."""

    def integrand(t: Array) -> Array:
        rise = expit(t) * expit(-t)
        noise = (tau * t - w.q.loc) / w.q.scale
        return (rise * np.exp(w.q.log_prob(tau * t)))[:, None] * np.stack([np.ones_like(t), noise], axis=-1)

    return trapezoid(integrand, -45.0, 45.0).value


blind = tex(r"\mathbb{E}_\varepsilon\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]")
at_the_jump = tex(r"N(0;\, \mu, \sigma^2)")

H19 = (
    derive(
        "H19",
        "where f jumps, the pathwise gradient is wrong",
        Jump.draw,
        assumptions="f(z) = 1[z > 0]; at mu = 0 only the first of the two entries differs, so the check takes other mu",
        source="Lee, Yu and Yang 2018; Mohamed et al. 2020, section 5",
    )
    .start(tex(r"\nabla_{\mu,\sigma}\, \Phi(\mu / \sigma)"), why="P(z > 0), standardized: exact")
    .eq(
        at_the_jump * tex(r"(1,\ -\mu / \sigma)"),
        "chain rule: the derivative of Phi is the normal density",
        why="the density at the jump",
    )
    .slip(
        "no 1/sigma",
        tex(r"N(\mu / \sigma;\, 0, 1)\,(1,\ -\mu / \sigma)"),
        "the standard normal density was taken: that of z carries 1/sigma.",
    )
    .slip(
        "sign of the scale's part",
        at_the_jump * tex(r"(1,\ \mu / \sigma)"),
        "widening q was taken to help: it moves mass over the jump away from the mean.",
    )
    .eq(
        tex(r"\int_0^\infty \nabla_{\mu,\sigma} q(z)\,dz"),
        "H2: the density is differentiated, f is not",
        why="the mean of the score, where f = 1",
        needs="nothing of f but E|f s| finite",
    )
    .slip("pathwise", blind, "f was differentiated: f' = 0 almost everywhere, and the jump carries the whole gradient.")
    .eq(
        given(
            r"\lim_{\tau \to 0} \mathbb{E}_\varepsilon\left[\partial_z\, \mathrm{sigmoid}(z / \tau)\,(1,\ \varepsilon)\right]",
            smoothed,
        ),
        "smooth the jump, then pathwise, H1; error tau^2",
        exact=True,
        why="pathwise again, with a bias",
        needs="tau > 0",
        step=1 / 64,
        resolution=1e-2,
    )
    .slip(
        "straight through",
        given(
            r"\mathbb{E}_\varepsilon\left[(1,\ \varepsilon)\right]",
            lambda w, tau: over_noise(lambda e: (1 + 0 * e, e)).value,
        ),
        "f' = 1 was put in (straight through): that is the gradient of E[z], not of P(z > 0).",
    )
    .ne(
        tex(blind.latex + r" = (0,\ 0)"),
        "f' = 0 almost everywhere",
        why="the jump is not seen",
    )
    .slip(
        "pathwise all the same",
        says="the pathwise gradient was used where f jumps: the derivative misses the jump.",
        relation="=",
    )
)

CHAPTER: tuple[Derivation, ...] = (H1, H2, H4, H5, H7, H9, H10, H11, H12, H13, H16, H18, H19, H20)
