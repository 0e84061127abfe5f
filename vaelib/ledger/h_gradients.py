r"""Chapter H: gradients of expectations, pathwise and by the score function.

Each chain begins with a difference quotient, a closed form or a definition, and ends with what is computed in practice.
Expectations over standard normal noise are Gauss-Hermite sums, so an estimator of `vaelib.gradients` is evaluated at
the nodes, and its mean and variance are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from vaelib.derivation import Derivation, derive
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.formula import given, sampled, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.worlds import Law, Table
from vaelib.gradients import leave_one_out, pathwise, score, score_function
from vaelib.quadrature import gauss_hermite, gauss_hermite_multivariate, gauss_legendre, trapezoid
from vaelib.terms import KL, E, log_joint, log_lik, log_prior, log_q, post, prior, q
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
    """A Gaussian q, a function f(z) = a sin(w z) + b z^2 + c z^3, and a number to subtract from it as a baseline."""

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

    @property
    def closed_form(self) -> Array:
        """The gradient in (mu, sigma) of a exp(-w^2 sigma^2 / 2) sin(w mu) + b (mu^2 + sigma^2) + c (mu^3 + 3 mu sigma^2)."""
        mu, sigma, w = self.q.loc, self.q.scale, self.frequency
        damped = self.amplitude * w * np.exp(-((w * sigma) ** 2) / 2)
        by_mu = damped * np.cos(w * mu) + 2 * self.quadratic * mu + 3 * self.cubic * (mu**2 + sigma**2)
        by_sigma = -damped * w * sigma * np.sin(w * mu) + 2 * self.quadratic * sigma + 6 * self.cubic * mu * sigma
        return np.array([by_mu, by_sigma])

    def scope(self) -> Scope:
        """q = N(mu, sigma^2), the function f, and the baseline b."""
        return Scope(
            worlds={"q": Law("z", self.q)},
            values={**moment_names(self.q), "b": self.baseline},
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


def spread(samples: Callable[[Array], Array]) -> Any:
    """Var[samples(eps)], as the mean square about the mean."""
    mean = over_noise(samples).value
    return over_noise(lambda noise: (samples(noise) - mean) ** 2)


def differences(expectation: Callable[[Any, Normal], Any]) -> Callable[[Any, float], Array]:
    """Central differences in (mu, sigma) of expectation(witness, q)."""

    def value(w: Any, h: float) -> Array:
        mu, sigma = w.q.loc, w.q.scale
        ends = [(Normal(mu + h, sigma), Normal(mu - h, sigma)), (Normal(mu, sigma + h), Normal(mu, sigma - h))]
        return np.array([(expectation(w, up) - expectation(w, down)) / (2 * h) for up, down in ends])

    return value


def around(w: Any) -> tuple[float, float]:
    """An interval outside of which q has no mass, whatever polynomial it is multiplied with."""
    return w.q.loc - 13 * w.q.scale, w.q.loc + 13 * w.q.scale


def mean_over_z(w: Smooth, law: Normal) -> Any:
    return trapezoid(lambda z: np.exp(law.log_prob(z)) * w.f(z), *around(w)).value


def mean_over_noise(w: Smooth, law: Normal) -> Any:
    return over_noise(lambda noise: w.f(law.transform(noise))).value


def weighted_score(w: Smooth, weight: Callable[[Array], Array]) -> Estimate:
    """E_q[weight(z) grad log q(z)]."""

    def integrand(z: Array) -> Array:
        gap = z - w.q.loc
        scores = np.stack([gap / w.q.scale**2, gap**2 / w.q.scale**3 - 1 / w.q.scale], axis=-1)
        return (np.exp(w.q.log_prob(z)) * weight(z))[:, None] * scores

    return trapezoid(integrand, *around(w))


H1 = (
    derive(
        "H1",
        "the pathwise gradient",
        Smooth.draw,
        assumptions="f is differentiable, and |f'(mu + sigma eps)| (1 + |eps|) is dominated by an integrable function",
        source="Kingma and Welling 2014, section 2.4; Mohamed et al. 2020, section 5",
    )
    .start(
        given(r"\nabla_{\mu,\sigma} \int N(z;\, \mu, \sigma^2)\, f(z)\,dz", differences(mean_over_z)),
        step=1e-2,
        resolution=1e-3,
    )
    .eq(
        given(
            r"\nabla_{\mu,\sigma}\, \mathbb{E}_{\varepsilon}[f(\mu + \sigma\varepsilon)]", differences(mean_over_noise)
        ),
        "change of variables: z = mu + sigma eps, eps ~ N(0, 1)",
        step=1e-2,
        resolution=1e-3,
    )
    .eq(
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]"),
        "derivative under the integral; chain rule",
        resolution=1e-3,
    )
    .slip(
        "noise forgotten",
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ 1)\right]"),
        "dz/dsigma = eps was forgotten: the chain rule ends with eps, not with 1.",
    )
    .slip(
        "f for its derivative",
        tex(r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]"),
        "f stands where its derivative belongs.",
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
        given("TODO", lambda w: over_noise(lambda e: pathwise(Normal(w.q.loc, w.q.scale**2), w.slope, e))),
        "z = mu + sigma^2 eps: the noise is multiplied by the standard deviation.",
    )
    .eq(
        given(
            r"\nabla_{\mu,\sigma} \left(a e^{-\omega^2\sigma^2/2} \sin\omega\mu + b(\mu^2 + \sigma^2) + c(\mu^3 + 3\mu\sigma^2)\right)",
            lambda w: w.closed_form,
        ),
        "here f = a sin(wz) + bz^2 + cz^3: moments of a Gaussian",
    )
)

H2 = (
    derive(
        "H2",
        "the score-function gradient",
        Smooth.draw,
        assumptions="q > 0 is differentiable in its parameters, f need not be; |f grad q| is dominated",
        source="Williams 1992; Mohamed et al. 2020, section 4",
    )
    .start(
        given(r"\nabla_{\mu,\sigma} \int N(z;\, \mu, \sigma^2)\, f(z)\,dz", differences(mean_over_z)),
        step=1e-2,
        resolution=1e-3,
    )
    .eq(
        tex(r"\int f(z)\, \nabla_{\mu,\sigma} N(z;\, \mu, \sigma^2)\,dz"),
        "derivative under the integral: only the density moves",
        resolution=1e-3,
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[f(z)\, \nabla_{\mu,\sigma} \log q(z)\right]"),
        "grad q = q grad log q: an expectation again",
    )
    .slip(
        "minus", given("TODO", lambda w: -weighted_score(w, w.f)), "the sign is wrong: grad log q enters with a plus."
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
        "insert the score, then z = mu + sigma eps",
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
        given(
            r"\mathbb{E}_{\varepsilon}\left[f(z)\, \nabla_{\mu,\sigma} \log q(\mu + \sigma\varepsilon)\right]",
            lambda w: over_noise(lambda e: (0 * e, -w.f(w.q.transform(e)) / w.q.scale)),
        ),
        "z was not held fixed: along z = mu + sigma eps, log q changes by -log sigma alone.",
    )
    .eq(
        tex(r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]"),
        "H1: by parts, where f is differentiable",
    )
)


def b_times(w: Smooth, b: Any) -> Callable[[Array], Array]:
    """(f - b) d log q / d mu, as a function of the noise."""
    return lambda noise: score_function(w.q, w.f, noise, b).loc


def moments(w: Smooth) -> tuple[float, float, float, float]:
    """E[f s], E[f^2 s^2], E[f s^2], E[s^2] with s = (z - mu) / sigma^2, by the trapezoid rule."""

    def integrand(z: Array) -> Array:
        s, f = (z - w.q.loc) / w.q.scale**2, w.f(z)
        return np.exp(w.q.log_prob(z))[:, None] * np.stack([f * s, (f * s) ** 2, f * s**2, s**2], axis=-1)

    return tuple(trapezoid(integrand, *around(w)).value)


def expanded(w: Smooth) -> Any:
    mean, square, mixed, size = moments(w)
    return square - 2 * w.baseline * mixed + w.baseline**2 * size - mean**2


def completed(w: Smooth) -> Any:
    mean, square, mixed, size = moments(w)
    return size * (w.baseline - mixed / size) ** 2 + square - mixed**2 / size - mean**2


def least(w: Smooth) -> Any:
    mean, square, mixed, size = moments(w)
    return square - mean**2 - mixed**2 / size


def best_baseline(w: Smooth) -> Any:
    _, _, mixed, size = moments(w)
    return mixed / size


H9 = (
    derive(
        "H9",
        "a baseline: the mean stays, the variance is a parabola",
        Smooth.draw,
        assumptions="b does not depend on the sample; s = d log q / d mu has a finite second moment",
        source="Greensmith, Bartlett and Baxter 2004; Mohamed et al. 2020, section 7.4",
    )
    .start(
        tex(r"\mathrm{Var}\left[(f - b)\,s\right], \quad s = \partial_\mu \log q(z)"),
        why="the spread of the package's estimator with baseline b",
    )
    .eq(tex(r"\mathbb{E}[(f - b)^2 s^2] - \mathbb{E}[f s]^2"), "E[s] = 0, so the mean is E[fs] whatever b is")
    .slip(
        "mean shifted by b",
        given(
            "TODO",
            lambda w: (
                over_noise(lambda e: b_times(w, w.baseline)(e) ** 2)
                - (over_noise(b_times(w, 0.0)).value - w.baseline) ** 2
            ),
        ),
        "b was subtracted from the mean: E[bs] = b E[s] = 0.",
    )
    .slip(
        "baseline from its own sample",
        given("TODO", lambda w: over_noise(lambda e: (w.f(w.q.transform(e)) - w.f(w.q.transform(e))) * e)),
        "the baseline was computed from its own sample: with b = f nothing is left.",
    )
    .eq(
        tex(r"\mathbb{E}[f^2 s^2] - 2b\,\mathbb{E}[f s^2] + b^2\,\mathbb{E}[s^2] - \mathbb{E}[f s]^2"),
        "expand the square: a parabola in b",
    )
    .slip(
        "factor 2 lost",
        given("TODO", lambda w: expanded(w) + w.baseline * moments(w)[2]),
        "the mixed term lost its factor 2.",
    )
    .eq(
        tex(
            r"\mathbb{E}[s^2]\,(b - b^*)^2 + \mathbb{E}[f^2 s^2] - \frac{\mathbb{E}[f s^2]^2}{\mathbb{E}[s^2]} - \mathbb{E}[f s]^2, \quad b^* = \frac{\mathbb{E}[f s^2]}{\mathbb{E}[s^2]}"
        ),
        "complete the square",
    )
    .ge(
        tex(r"\mathrm{Var}[f s] - \frac{\mathrm{Cov}(f s, s)^2}{\mathrm{Var}[s]}"),
        "a square is not negative; E[s] = 0",
        gap=lambda w: moments(w)[3] * (w.baseline - best_baseline(w)) ** 2,
    )
    .slip(
        "variance raised",
        tex(r"\mathrm{Var}[f s] + \frac{\mathrm{Cov}(f s, s)^2}{\mathrm{Var}[s]}"),
        "the reduction was added: the best baseline lowers the variance.",
    )
    .slip(
        "covariance not squared",
        tex(r"\mathrm{Var}[f s] - \frac{\mathrm{Cov}(f s, s)}{\mathrm{Var}[s]}"),
        "the covariance was not squared.",
    )
    .eq(
        given(r"\mathrm{Var}\left[(f - b^*)\,s\right]", lambda w: spread(b_times(w, best_baseline(w)))),
        "attained at b = b*",
    )
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
    .eq(tex(r"\partial_\sigma (\mu^2 + \sigma^2)"), "outside the integral: second moment of a Gaussian")
    .slip("no 2", given("TODO", lambda w: w.q.scale), "the derivative of sigma^2 lost its factor 2.")
    .slip(
        "in the variance",
        given("TODO", lambda w: 1.0 + 0 * w.q.scale),
        "the derivative in sigma^2: that is 1, and the one in sigma is 2 sigma.",
        real="public issue threads: scale, variance and log-variance mixed up",
    )
    .eq(
        sampled(
            r"\tfrac1S\textstyle\sum_s 2(\mu + \sigma\varepsilon_s)\,\varepsilon_s",
            lambda w, rng, n: pathwise(w.q, double, rng.standard_normal(n)).scale,
        ),
        "pathwise, H1; |z| is compared with 4.5",
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
        num_samples=100_000,
        resolution=4.0,
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


def length(z: Array) -> Array:
    """|z|^2, (n,) for z of shape (n, d)."""
    return (z**2).sum(axis=-1)


def over_vectors(w: Vector, g: Callable[[Array], Array]) -> Any:
    """E[g(eps)] for standard normal eps in d dimensions, g: (n, d) -> (n, ...); exact for these polynomials."""
    d = w.q.loc.size
    return gauss_hermite_multivariate(g, np.zeros(d), np.eye(d), n=4)


def spreads(w: Vector, samples: Callable[[Array], Array]) -> Any:
    """The variance of each coordinate of samples(eps)."""
    mean = over_vectors(w, samples).value
    return over_vectors(w, lambda noise: (samples(noise) - mean) ** 2)


def bare(w: Vector) -> Callable[[Array], Array]:
    return lambda noise: score_function(w.q, length, noise).loc


def mean_length(w: Vector) -> Any:
    """E|z|^2 = sum_j (mu_j^2 + sigma_j^2)."""
    return (w.q.loc**2 + w.q.scale**2).sum()


def others(w: Vector) -> tuple[Array, Array]:
    """Mean m_i and variance v_i of the sum of z_j^2 over all j but i."""
    m, v = w.q.loc**2 + w.q.scale**2, 4 * w.q.loc**2 * w.q.scale**2 + 2 * w.q.scale**4
    return m.sum() - m, v.sum() - v


def split(w: Vector) -> Array:
    """(E[z_i^4 e^2] + 2 m_i E[z_i^2 e^2] + v_i + m_i^2) / sigma_i^2 - 4 mu_i^2, with one-dimensional moments."""
    m, v = others(w)

    def moment(power: int) -> Array:
        return gauss_hermite(
            lambda e: (w.q.loc + w.q.scale * e[:, None]) ** power * e[:, None] ** 2, 0.0, 1.0, n=6
        ).value

    return (moment(4) + 2 * m * moment(2) + v + m**2) / w.q.scale**2 - 4 * w.q.loc**2


def bare_closed(w: Vector, dimension_one: bool = False) -> Array:
    mu2, sigma2 = w.q.loc**2, w.q.scale**2
    m, v = (0 * mu2, 0 * mu2) if dimension_one else others(w)
    return mu2**2 / sigma2 + 14 * mu2 + 15 * sigma2 + (2 * (mu2 + 3 * sigma2) * m + m**2 + v) / sigma2


def with_baseline(w: Vector) -> Array:
    return 8 * w.q.loc**2 + 10 * w.q.scale**2 + others(w)[1] / w.q.scale**2


H7 = (
    derive(
        "H7",
        "variance of three estimators, in d dimensions",
        Vector.draw,
        assumptions="f(z) = |z|^2, independent coordinates, one sample; m and v are mean and variance of the other z_j^2, summed",
        source="Mohamed et al. 2020, section 3; worked out here",
    )
    .start(
        given(r"\mathrm{Var}\left[f(z)\, \partial_{\mu_i} \log q(z)\right]", lambda w: spreads(w, bare(w))),
        why="score function; every coordinate i has its own",
    )
    .eq(
        given(
            r"\mathbb{E}\left[f^2 (\partial_{\mu_i} \log q)^2\right] - (2\mu_i)^2",
            lambda w: over_vectors(w, lambda e: bare(w)(e) ** 2) - 4 * w.q.loc**2,
        ),
        "second moment less the square of the mean 2 mu_i",
    )
    .slip(
        "mean not subtracted",
        given("TODO", lambda w: over_vectors(w, lambda e: bare(w)(e) ** 2)),
        "the second moment was taken for the variance.",
    )
    .eq(
        given(
            r"\tfrac{1}{\sigma_i^2} \left(\mathbb{E}[z_i^4 \varepsilon_i^2] + 2 m\, \mathbb{E}[z_i^2 \varepsilon_i^2] + m^2 + v\right) - 4\mu_i^2",
            split,
        ),
        "f = z_i^2 + the others, which are independent of it",
    )
    .eq(
        given(
            r"\frac{\mu_i^4}{\sigma_i^2} + 14\mu_i^2 + 15\sigma_i^2 + \frac{2(\mu_i^2 + 3\sigma_i^2)\,m + m^2 + v}{\sigma_i^2}",
            bare_closed,
        ),
        "E eps^2 = 1, E eps^4 = 3, E eps^6 = 15",
    )
    .slip(
        "mean subtracted twice",
        given("TODO", lambda w: bare_closed(w) - 4 * w.q.loc**2),
        "the square of the mean was subtracted twice: 18 - 4 = 14.",
    )
    .slip(
        "one dimension only",
        given(r"\frac{\mu_i^4}{\sigma_i^2} + 14\mu_i^2 + 15\sigma_i^2", lambda w: bare_closed(w, dimension_one=True)),
        "the formula for one dimension was used: the other coordinates are in f and add noise.",
    )
    .gt(
        given(
            r"\mathrm{Var}\left[(f(z) - \mathbb{E}f)\, \partial_{\mu_i} \log q(z)\right]",
            lambda w: spreads(w, lambda e: score_function(w.q, length, e, mean_length(w)).loc),
        ),
        "subtract the mean b = E[f] as a baseline, H9",
        gap=lambda w: mean_length(w) ** 2 / w.q.scale**2 + 4 * mean_length(w),
    )
    .eq(given(r"8\mu_i^2 + 10\sigma_i^2 + \frac{v}{\sigma_i^2}", with_baseline), "the same moments; m is gone")
    .slip(
        "baseline that removes the others",
        given(r"8\mu_i^2 + 10\sigma_i^2", lambda w: 8 * w.q.loc**2 + 10 * w.q.scale**2),
        "the baseline was taken to remove the other coordinates: it removes their mean, not their spread.",
    )
    .gt(
        given(
            r"\mathrm{Var}\left[\partial_{z_i} f(z)\right]",
            lambda w: spreads(w, lambda e: pathwise(w.q, double, e).loc),
        ),
        "pathwise: it does not see the other coordinates",
        gap=lambda w: 8 * w.q.loc**2 + 6 * w.q.scale**2 + others(w)[1] / w.q.scale**2,
    )
    .slip("equal variances", says="two unbiased estimators were taken to have the same variance.", relation="=")
    .eq(given(r"4\sigma_i^2", lambda w: 4 * w.q.scale**2), "the derivative is 2 z_i")
    .slip(
        "variance of z doubled",
        given(r"2\sigma_i^2", lambda w: 2 * w.q.scale**2),
        "the factor 2 of the derivative was not squared: Var[2z] = 4 Var[z].",
    )
)


# ------------------------------------------------------------------------------- full covariance: H4, H5, H13


@dataclass(frozen=True)
class Surface:
    """A Gaussian with correlated coordinates (k = 2) and f(z) = sin(a.z) + c (b.z)^4, whose mean is known."""

    q: MultivariateNormal
    a: Array
    b: Array
    c: float

    @classmethod
    def draw(cls, rng: Rng, k: int = 2) -> Surface:
        law = MultivariateNormal(away_from_zero(rng, 0.3, 1.0, (k,)), generic_covariance(rng, k))
        a, b = away_from_zero(rng, 0.3, 0.8, (2, k))
        return cls(law, a, b, float(away_from_zero(rng, 0.2, 0.6)))

    def mean(self, loc: Array, covariance: Array) -> Any:
        """E[f] under N(loc, covariance): exp(-a'Sa / 2) sin(a'm) + c (t^4 + 6 t^2 s + 3 s^2), t = b'm, s = b'Sb."""
        t, s = self.b @ loc, self.b @ covariance @ self.b
        return np.exp(-self.a @ covariance @ self.a / 2) * np.sin(self.a @ loc) + self.c * (
            t**4 + 6 * t**2 * s + 3 * s**2
        )

    def f(self, z: Array) -> Array:
        return np.sin(z @ self.a) + self.c * (z @ self.b) ** 4

    def gradient(self, z: Array) -> Array:
        """(n, k)."""
        return np.cos(z @ self.a)[:, None] * self.a + (4 * self.c * (z @ self.b) ** 3)[:, None] * self.b

    def curvature(self, z: Array) -> Array:
        """The matrix of second derivatives, (n, k, k)."""
        wave = -np.sin(z @ self.a)[:, None, None] * np.outer(self.a, self.a)
        return wave + (12 * self.c * (z @ self.b) ** 2)[:, None, None] * np.outer(self.b, self.b)


def over_plane(w: Surface, g: Callable[[Array, Array], Array]) -> Estimate:
    """E[g(z, eps)] with z = mu + L eps, by the package's `transform`."""
    k = w.q.loc.size
    return gauss_hermite_multivariate(lambda e: g(w.q.transform(e), e), np.zeros(k), np.eye(k), n=14)


def standardized(w: Surface, z: Array) -> Array:
    """Sigma^-1 (z - mu), (n, k)."""
    return np.linalg.solve(w.q.covariance, (z - w.q.loc).T).T


def slopes(
    change: Callable[[Surface, Array, float], Any], directions: list[Array]
) -> Callable[[Surface, float], Array]:
    """Central differences of change(w, direction, step)."""

    def value(w: Surface, h: float) -> Array:
        return np.array([(change(w, d, h) - change(w, d, -h)) / (2 * h) for d in directions])

    return value


AXES = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
ENTRIES = [np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])]
LOWER = ([0, 1, 1], [0, 0, 1])  # the entries 11, 21, 22 of a matrix


def lower(matrix: Array) -> Array:
    return matrix[(..., *LOWER)]


H4 = (
    derive(
        "H4",
        "Bonnet: the gradient in the mean",
        Surface.draw,
        assumptions="f is differentiable and grows more slowly than exp(c |z|^2) for every c > 0",
        source="Bonnet 1964; Rezende, Mohamed and Wierstra 2014, section 3",
    )
    .start(
        given(
            r"\nabla_\mu\, \mathbb{E}_{N(\mu, \Sigma)}[f(z)]",
            slopes(lambda w, d, h: w.mean(w.q.loc + h * d, w.q.covariance), AXES),
        ),
        step=1e-2,
        resolution=1e-3,
    )
    .eq(
        given(
            r"\mathbb{E}\left[f(z)\, \Sigma^{-1}(z - \mu)\right]",
            lambda w: over_plane(w, lambda z, e: w.f(z)[:, None] * standardized(w, z)),
        ),
        "score function, H2",
        resolution=1e-3,
    )
    .slip(
        "precision forgotten",
        given(
            r"\mathbb{E}\left[f(z)\,(z - \mu)\right]",
            lambda w: over_plane(w, lambda z, e: w.f(z)[:, None] * (z - w.q.loc)),
        ),
        "the inverse covariance is missing in the score.",
    )
    .eq(
        given(r"\mathbb{E}\left[\nabla f(z)\right]", lambda w: over_plane(w, lambda z, e: w.gradient(z))),
        "grad_mu q = -grad_z q, then by parts",
    )
    .slip(
        "at the mean",
        given(r"\nabla f(\mu)", lambda w: w.gradient(w.q.loc[None])[0]),
        "the gradient was taken at the mean: E[grad f(z)] is not grad f(E[z]).",
    )
    .slip(
        "precision left over",
        given(
            r"\mathbb{E}\left[\Sigma^{-1} \nabla f(z)\right]",
            lambda w: over_plane(w, lambda z, e: np.linalg.solve(w.q.covariance, w.gradient(z).T).T),
        ),
        "the inverse covariance stayed behind: integration by parts uses it up.",
    )
    .slip(
        "sign of the parts",
        given(r"-\mathbb{E}\left[\nabla f(z)\right]", lambda w: -over_plane(w, lambda z, e: w.gradient(z))),
        "one of two minus signs was lost: grad_mu q = -grad_z q, and by parts brings the other.",
    )
)


def covariance_score(w: Surface, factor: float = 0.5) -> Estimate:
    """E[f (u u' - Sigma^-1)] times the factor, u = Sigma^-1 (z - mu); the entries 11, 21, 22."""
    precision = np.linalg.inv(w.q.covariance)

    def integrand(z: Array, _: Array) -> Array:
        u = standardized(w, z)
        return factor * w.f(z)[:, None] * lower(u[:, :, None] * u[:, None, :] - precision)

    return over_plane(w, integrand)


H5 = (
    derive(
        "H5",
        "Price: the gradient in the covariance",
        Surface.draw,
        assumptions="f is twice differentiable; the gradient is symmetric, each entry moving with its mirror image",
        source="Price 1958; Rezende, Mohamed and Wierstra 2014, section 3",
    )
    .start(
        given(
            r"\nabla_\Sigma\, \mathbb{E}_{N(\mu, \Sigma)}[f(z)]",
            slopes(lambda w, d, h: w.mean(w.q.loc, w.q.covariance + h * (d + d.T) / 2), ENTRIES),
        ),
        step=1e-2,
        resolution=1e-3,
    )
    .eq(
        given(
            r"\tfrac12 \mathbb{E}\left[f(z) \left(\Sigma^{-1}(z - \mu)(z - \mu)^\top \Sigma^{-1} - \Sigma^{-1}\right)\right]",
            covariance_score,
        ),
        "score function, H2; the -1 is from the determinant",
        resolution=1e-3,
    )
    .slip(
        "determinant forgotten",
        given(
            "TODO",
            lambda w: (
                covariance_score(w)
                + over_plane(w, lambda z, e: w.f(z)[:, None] * lower(np.linalg.inv(w.q.covariance)) / 2)
            ),
        ),
        "the determinant in the density was not differentiated.",
    )
    .eq(
        given(
            r"\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right]",
            lambda w: over_plane(w, lambda z, e: lower(w.curvature(z)) / 2),
        ),
        "grad_Sigma q = half of grad_z^2 q; by parts, twice",
    )
    .slip(
        "no 1/2",
        given(r"\mathbb{E}\left[\nabla^2 f(z)\right]", lambda w: over_plane(w, lambda z, e: lower(w.curvature(z)))),
        "the factor 1/2 is missing.",
    )
    .slip(
        "minus",
        given(
            r"-\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right]",
            lambda w: -over_plane(w, lambda z, e: lower(w.curvature(z)) / 2),
        ),
        "a minus remained: by parts twice brings two of them.",
    )
    .slip(
        "in the scale",
        given(
            r"\mathbb{E}\left[\nabla^2 f(z)\right] L",
            lambda w: over_plane(w, lambda z, e: lower(w.curvature(z) @ w.q.cholesky)),
        ),
        "a derivative in the standard deviation: that carries one more factor, d sigma^2 / d sigma.",
    )
    .slip(
        "at the mean",
        given(r"\tfrac12 \nabla^2 f(\mu)", lambda w: lower(w.curvature(w.q.loc[None])[0]) / 2),
        "the curvature was taken at the mean, not averaged over z.",
    )
)


def along_factor(w: Surface, direction: Array, h: float) -> Any:
    moved = w.q.cholesky + h * direction
    return w.mean(w.q.loc, moved @ moved.T)


H13 = (
    derive(
        "H13",
        "the pathwise gradient through a Cholesky factor",
        Surface.draw,
        assumptions="f is twice differentiable; L is lower triangular with a positive diagonal",
        source="Kingma and Welling 2019, section 2.5; Rezende, Mohamed and Wierstra 2014, section 3",
    )
    .start(
        given(r"\nabla_L\, \mathbb{E}_{N(\mu, L L^\top)}[f(z)] \quad (i \ge j)", slopes(along_factor, ENTRIES)),
        step=1e-2,
        resolution=1e-3,
    )
    .eq(
        given(
            r"\mathbb{E}_\varepsilon\left[\nabla f(\mu + L\varepsilon)\, \varepsilon^\top\right] \quad (i \ge j)",
            lambda w: over_plane(w, lambda z, e: lower(w.gradient(z)[:, :, None] * e[:, None, :])),
        ),
        "pathwise: dz_i / dL_ij = eps_j",
        resolution=1e-3,
    )
    .slip(
        "transposed",
        given(
            r"\mathbb{E}_\varepsilon\left[\varepsilon\, \nabla f(\mu + L\varepsilon)^\top\right]",
            lambda w: over_plane(w, lambda z, e: lower(e[:, :, None] * w.gradient(z)[:, None, :])),
        ),
        "gradient and noise were exchanged: row i belongs to z_i, column j to eps_j.",
    )
    .slip(
        "covariance for its factor",
        given(
            r"\mathbb{E}_\varepsilon\left[\nabla f(\mu + \Sigma\varepsilon)\, \varepsilon^\top\right]",
            lambda w: over_plane(
                w, lambda z, e: lower(w.gradient(w.q.loc + e @ w.q.covariance)[:, :, None] * e[:, None, :])
            ),
        ),
        "z = mu + Sigma eps: the noise is multiplied by the factor L.",
    )
    .slip(
        "diagonal only",
        given(
            "TODO", lambda w: over_plane(w, lambda z, e: lower(w.gradient(z)[:, :, None] * e[:, None, :] * np.eye(2)))
        ),
        "the coordinates were taken to be independent: L has an entry below the diagonal.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\nabla^2 f(z)\right] L \quad (i \ge j)",
            lambda w: lower(over_plane(w, lambda z, e: w.curvature(z)).value @ w.q.cholesky),
        ),
        "chain rule through Sigma = L L', with Price, H5",
    )
    .slip(
        "half left over",
        given(
            r"\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right] L",
            lambda w: lower(over_plane(w, lambda z, e: w.curvature(z)).value @ w.q.cholesky) / 2,
        ),
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


def sampled_a(w: CurvedWitness, rng: Rng, n: int) -> Array:
    return log_weight(w, drawn(w, rng, n))


def sampled_b(w: CurvedWitness, rng: Rng, n: int) -> Array:
    """log p(x | z_s) - KL(q || p(z)), the KL in closed form."""
    return elbo(w.model.log_likelihood(w.x, drawn(w, rng, n)), kl_divergence(w.q, w.model.prior))


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
    .eq(E(q, log_lik + log_prior - log_q), "product rule: p(x,z) = p(x|z) p(z)")
    .slip("no prior", E(q, log_lik - log_q), "log p(z) is missing from the joint.")
    .eq(E(q, log_lik) - E(q, log_q - log_prior), "expectation is linear; both parts are finite")
    .slip(
        "A without log q",
        E(q, log_lik) + E(q, log_prior),
        "log q(z) was left out: then nothing pays for a narrow q, and it shrinks to a point.",
    )
    .eq(E(q, log_lik) - KL(q, prior), "definition of KL")
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
        "estimator B: KL of Gaussians in closed form",
    )
    .slip(
        "prior counted twice",
        tex(r"\mathbb{E}_{q}[\log p(x, z)] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "A and B were mixed: log p(x,z) holds the prior, and KL(q || p(z)) holds it again.",
    )
    .slip(
        "entropy counted twice",
        tex(r"\mathbb{E}_{q}[\log p(x \mid z) - \log q(z)] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "log q(z) is sampled and stands in the KL as well.",
    )
    .eq(
        sampled(r"\tfrac1S\textstyle\sum_s \left(\log p(x, z_s) - \log q(z_s)\right)", sampled_a),
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
        sampled(r"\tfrac1S\textstyle\sum_s \log p(x \mid z_s) - \mathrm{KL}(q \,\Vert\, p(z))", sampled_b),
        "B as it is computed: only the likelihood is sampled",
        num_samples=40_000,
    )
    .slip(
        "sampled plus KL",
        sampled(
            r"\tfrac1S\textstyle\sum_s \log p(x \mid z_s) + \mathrm{KL}(q \,\Vert\, p(z))",
            lambda w, rng, n: sampled_b(w, rng, n) + 2 * kl_divergence(w.q, w.model.prior),
        ),
        "the KL is added to the sampled likelihood: it is subtracted.",
    )
)

# ------------------------------------------------------------------------ the bound's estimators: H11 and H12


def exact_law(w: LinearWitness) -> MultivariateNormal:
    return w.model.posterior(w.x)


def quadratic_spread(w: LinearWitness, linear: float = 1.0, half: float = 0.5) -> Any:
    """g' S g + tr((A S)^2) / 2: log p(x | z) has gradient g and curvature -A at the posterior mean."""
    m, law = w.model, exact_law(w)
    gradient = m.loading.T @ (w.x - m.offset - m.loading @ law.loc) / m.noise_variance
    change = m.loading.T @ m.loading @ law.covariance / m.noise_variance
    return linear * gradient @ law.covariance @ gradient + half * np.trace(change @ change)


H11 = (
    derive(
        "H11",
        "at the posterior, estimator A has no variance",
        LinearWitness.draw,
        assumptions="q = p(z|x) exactly",
        source="Roeder, Wu and Duvenaud 2017; names A and B: Kingma and Welling 2014",
    )
    .start(tex(r"\mathrm{Var}_{q}\left[\log p(x, z) - \log q(z)\right], \quad q = p(z \mid x)"), why="estimator A")
    .eq(tex(r"\mathrm{Var}_{q}\left[\log p(x)\right] = 0"), "Bayes' rule: log p(x, z) - log p(z|x) is log p(x)")
    .lt(
        tex(r"\mathrm{Var}_{q}\left[\log p(x \mid z) - \mathrm{KL}(q \,\Vert\, p(z))\right]"),
        "estimator B: the likelihood still varies with z",
        gap=quadratic_spread,
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
        given(r"g^\top S g + \tfrac12 \mathrm{tr}\left((AS)^2\right)", quadratic_spread),
        "a quadratic in Gaussian z; S its covariance",
    )
    .slip(
        "linear term only",
        given(r"g^\top S g", lambda w: quadratic_spread(w, half=0.0)),
        "the curvature of log p(x|z) was left out.",
    )
    .slip(
        "no 1/2",
        given(r"g^\top S g + \mathrm{tr}\left((AS)^2\right)", lambda w: quadratic_spread(w, half=1.0)),
        "the 1/2 before the trace is missing: the variance of u^2 / 2 is 1/2.",
    )
)


def slope_of_joint(w: CurvedWitness, z: Array) -> Array:
    """d/dz log p(x, z), (n,)."""
    m = w.model
    through_decoder = ((w.x - m.decoder(z)) * (m.loading + m.curvature * z[:, None])).sum(axis=1)
    return through_decoder / m.noise_variance - z


def path_terms(w: CurvedWitness, joint: float = 1.0, density: float = -1.0, direct: float = 0.0) -> Estimate:
    """E[(joint d_z log p + density d_z log q) (1, eps) + direct grad log q], grad in (mu, sigma) at fixed z."""

    def integrand(noise: Array) -> Array:
        z = w.q.transform(noise)
        slope = joint * slope_of_joint(w, z) - density * (z - w.q.loc) / w.q.scale**2
        return np.stack([slope, slope * noise], axis=-1) + direct * np.stack(score(w.q, z), axis=-1)

    return gauss_hermite(integrand, 0.0, 1.0, n=16)


def bound_of(w: CurvedWitness, law: Normal) -> Any:
    moved = replace(w, q=law)
    return E(q, log_joint - log_q).value(moved).value


H12 = (
    derive(
        "H12",
        "sticking the landing: the score term may go",
        lambda rng: CurvedWitness.draw(rng),
        assumptions="q is reparameterized, z = mu + sigma eps; log p(x, z) is differentiable in z",
        source="Roeder, Wu and Duvenaud 2017",
    )
    .start(
        given(r"\nabla_{\mu,\sigma}\, \mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]", differences(bound_of)),
        step=4e-3,
        resolution=1e-3,
    )
    .eq(
        given(
            r"\mathbb{E}_\varepsilon\left[\partial_z (\log p(x, z) - \log q(z))\,(1,\ \varepsilon) - \nabla_{\mu,\sigma} \log q(z)\right]",
            lambda w: path_terms(w, direct=-1.0),
        ),
        "total derivative: through z, and through the density",
        resolution=1e-3,
    )
    .slip(
        "score doubled",
        given("TODO", lambda w: path_terms(w, direct=-1.0) + np.array([0.0, 1 / w.q.scale])),
        "the parameters of the density were differentiated twice.",
    )
    .eq(
        given(
            r"\mathbb{E}_\varepsilon\left[\partial_z (\log p(x, z) - \log q(z))\,(1,\ \varepsilon)\right]", path_terms
        ),
        "the mean of the score is zero",
    )
    .slip(
        "path of log q dropped",
        given(
            r"\mathbb{E}_\varepsilon\left[\partial_z \log p(x, z)\,(1,\ \varepsilon)\right]",
            lambda w: path_terms(w, density=0.0),
        ),
        "log q was dropped altogether: its path is the gradient of the entropy, which keeps q wide.",
    )
    .slip(
        "score kept, path dropped",
        given(
            r"\mathbb{E}_\varepsilon\left[\partial_z \log p(x, z)\,(1,\ \varepsilon) - \nabla_{\mu,\sigma} \log q(z)\right]",
            lambda w: path_terms(w, density=0.0, direct=-1.0),
        ),
        "the wrong half of log q was kept: its score has mean zero, its path has not.",
    )
    .slip(
        "log q added",
        given(
            r"\mathbb{E}_\varepsilon\left[\partial_z (\log p(x, z) + \log q(z))\,(1,\ \varepsilon)\right]",
            lambda w: path_terms(w, density=1.0),
        ),
        "log q has the wrong sign: the bound subtracts it.",
    )
    .eq(
        given(
            r"-\nabla_{\mu,\sigma}\, \mathrm{KL}(q \,\Vert\, p(z \mid x))",
            differences(lambda w, law: -KL(q, post).value(replace(w, q=law)).value),
        ),
        "F1: gap + bound = log p(x), free of q",
        step=4e-3,
        resolution=1e-3,
    )
    .slip(
        "sign of the gap",
        given("TODO", lambda w, h: differences(lambda v, law: KL(q, post).value(replace(v, q=law)).value)(w, h)),
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
        """q as a table of logits a, and the value f of each state."""
        return Scope(
            worlds={"q": Table(("z",), self.probs)},
            values={"p": self.probs, "f": self.values, "a": self.logits},
            ranges={"j": len(self.values), "i": len(self.values)},
            every=("i",),
        )


NUM_DRAWS = 3


def mean_of_choice(w: Choice, h: float) -> Array:
    """Central differences of sum_k p_k f_k in the logits."""

    def mean(logits: Array) -> Any:
        return replace(w, logits=logits).probs @ w.values

    steps = h * np.eye(w.logits.size)
    return np.array([(mean(w.logits + step) - mean(w.logits - step)) / (2 * h) for step in steps])


def over_draws(w: Choice, weight: Callable[[Array], Array], centered: bool = True, average: bool = True) -> Array:
    """E[1/K sum_k weight(f)_k grad log q(z_k)] over all 4^3 outcomes of K = 3 draws; `weight` maps (K, n) to (K, n)."""
    outcomes = np.array(list(product(range(w.logits.size), repeat=NUM_DRAWS))).T  # (K, n)
    probability = w.probs[outcomes].prod(axis=0)
    scores = np.eye(w.logits.size)[outcomes] - centered * w.probs  # (K, n, states)
    total = (weight(w.values[outcomes])[..., None] * scores).sum(axis=0)
    return probability @ total / (NUM_DRAWS if average else 1)


def minus_mean(values: Array) -> Array:
    return values - values.mean(axis=0)


H16 = (
    derive(
        "H16",
        "leave-one-out baselines are unbiased",
        Choice.draw,
        assumptions="K >= 2 independent draws; f is not differentiated, z may be discrete",
        source="Kool, van Hoof and Welling 2019; Mnih and Rezende 2016",
    )
    .start(
        given(r"\nabla_{a} \textstyle\sum_j p_j f_j, \quad p = \mathrm{softmax}(a)", mean_of_choice),
        step=2e-2,
        resolution=1e-3,
    )
    .eq(tex(r"p_i \left(f_i - \textstyle\sum_j p_j f_j\right)"), "derivative of the softmax", resolution=1e-3)
    .slip("mean not subtracted", tex(r"p_i f_i"), "the normalizer of the softmax was held fixed.")
    .eq(
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k f_k\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f: f),
        ),
        "score function, H2, averaged over K = 3 draws",
    )
    .slip(
        "score not normalized",
        given("TODO", lambda w: over_draws(w, lambda f: f, centered=False)),
        "the softmax's normalizer was not differentiated: the score is one-hot minus p.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k \left(f_k - \tfrac{1}{K-1} \sum_{j \ne k} f_j\right) \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f: f - leave_one_out(f)),
        ),
        "H9: the mean of the others is independent of z_k",
    )
    .slip(
        "own sample included",
        given(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, minus_mean),
        ),
        "the baseline contains its own sample: the gradient shrinks by (K - 1) / K.",
    )
    .slip(
        "sum over K",
        given("TODO", lambda w: over_draws(w, lambda f: f - leave_one_out(f), average=False)),
        "the draws were summed, not averaged.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\tfrac{1}{K-1} \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, minus_mean) * NUM_DRAWS / (NUM_DRAWS - 1),
        ),
        "f_k less the others' mean is K/(K-1) times f_k less all",
    )
    .slip(
        "K for K - 1",
        given(
            r"\mathbb{E}\left[\tfrac{1}{K} \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, minus_mean),
        ),
        "K stands for K - 1: the sum is one degree of freedom short.",
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
    def third(self) -> float:
        """The third derivative in sigma, -2 / sigma^3, by size; in mu it is zero."""
        return float(2 / self.q.scale**3)


def quotient(w: Hundredths, h: float, forward: bool = False) -> Array:
    """Difference quotients in (mu, sigma) of the package's KL: central, or forward."""
    mu, sigma, p = w.q.loc, w.q.scale, w.p
    up = np.array([kl_divergence(Normal(mu + h, sigma), p), kl_divergence(Normal(mu, sigma + h), p)])
    if forward:
        return (up - kl_divergence(w.q, p)) / h
    down = np.array([kl_divergence(Normal(mu - h, sigma), p), kl_divergence(Normal(mu, sigma - h), p)])
    return (up - down) / (2 * h)


def with_law(w: Hundredths, h: float, forward: bool = False) -> Estimate:
    """A quotient with the error that the law promises at the best step: truncation h^2, rounding eps / h."""
    best = EPS ** (1 / 3)
    promised = 2 * (w.third * best**2 / 6 + 2 * EPS * max(1.0, float(w.kl(w.q.loc, w.q.scale))) / best)
    return Estimate(quotient(w, h, forward), np.full(2, promised))


def with_rounding(w: Hundredths, h: float) -> Estimate:
    """A quotient with its rounding error; the truncation error is what shrinks with the step."""
    return Estimate(quotient(w, h), np.full(2, 4 * EPS * max(1.0, float(w.kl(w.q.loc, w.q.scale))) / h))


def without_subtraction(w: Hundredths) -> Array:
    """Im KL(mu + ih) / h: nothing cancels, so h may be tiny."""
    h = 1e-30
    return np.array([w.kl(w.q.loc + 1j * h, w.q.scale).imag, w.kl(w.q.loc, w.q.scale + 1j * h).imag]) / h


H18 = (
    derive(
        "H18",
        "difference quotients: how exact, at which step",
        Hundredths.draw,
        assumptions="double precision, eps = 2.2e-16; f is three times differentiable, f and its third derivative of order one",
        source="Press et al., Numerical Recipes, section 5.7; Squire and Trapp 1998 for line 1",
    )
    .start(
        given(
            r"\nabla_{\mu,\sigma}\, \mathrm{KL} = \left(\frac{\mu - \mu_p}{\sigma_p^2},\ \frac{\sigma}{\sigma_p^2} - \frac1\sigma\right)",
            lambda w: np.array([(w.q.loc - w.p.loc) / w.p.scale**2, w.q.scale / w.p.scale**2 - 1 / w.q.scale]),
        ),
        why="by hand",
    )
    .eq(
        given(r"\tfrac1h\, \mathrm{Im}\, \mathrm{KL}(\mu + ih, \sigma + ih) \quad (h = 10^{-30})", without_subtraction),
        "exact to rounding: nothing is subtracted, as in autodiff",
    )
    .eq(
        given(
            r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h} + O(\epsilon^{2/3}), \quad h = \epsilon^{1/3}",
            lambda w: with_law(w, EPS ** (1 / 3)),
        ),
        "best step: truncation h^2 meets rounding eps / h",
    )
    .slip(
        "step too small",
        given(r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h}, \quad h = 10^{-13}", lambda w: with_law(w, 1e-13)),
        "the step is too small: nearly all digits of the difference cancel.",
    )
    .slip(
        "step too large",
        given(r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h}, \quad h = 0.3", lambda w: with_law(w, 0.3)),
        "the step is too large: the curve bends between the two points.",
    )
    .slip(
        "one-sided",
        given(
            r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(0)}{h}, \quad h = 10^{-4}", lambda w: with_law(w, 1e-4, forward=True)
        ),
        "a forward difference: its error is h f'' / 2, of first order.",
    )
    .eq(
        given(r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h} + O(h^2), \quad h = 0.02", with_rounding),
        "Taylor: the even powers of h cancel",
        step=0.02,
        resolution=1e-3,
    )
    .slip(
        "first order called second",
        given(r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(0)}{h}", lambda w, h: quotient(w, h, forward=True)),
        "a forward difference, whose error is only halved when the step is halved.",
    )
)


# ------------------------------------------------------------------------------------------ where f jumps: H19


@dataclass(frozen=True)
class Jump:
    """A Gaussian q; f(z) = 1 where z > 0, else 0."""

    q: Normal

    @classmethod
    def draw(cls, rng: Rng) -> Jump:
        """mu / sigma away from 0, 1 and sqrt(3): there the leading error of the smoothed jump vanishes."""
        low, high = [(0.35, 0.75), (1.25, 1.45)][rng.integers(2)]
        scale = generic_scale(rng)
        return cls(Normal(away_from_zero(rng, low, high) * scale, scale))

    def scope(self) -> Scope:
        """q = N(mu, sigma^2)."""
        return Scope(
            worlds={"q": Law("z", self.q)},
            values=moment_names(self.q),
            maps={r"\Phi": Map(ndtr, of=("t",))},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(self.q, lambda moved: replace(self, q=moved).scope()),
        )


def above_zero(w: Jump) -> Estimate:
    """E[1[z > 0] grad log q], integrated over z > 0 only: the integrand is smooth there."""
    end = max(w.q.loc, 0.0) + 13 * w.q.scale
    return gauss_legendre(
        lambda z: np.exp(w.q.log_prob(z))[:, None] * np.stack(score(w.q, z), axis=-1), 0.0, end, panels=20
    )


def smoothed(w: Jump, tau: float) -> Array:
    """Pathwise gradient of E[sigmoid(z / tau)], over t = z / tau."""

    def integrand(t: Array) -> Array:
        rise = expit(t) * expit(-t)
        noise = (tau * t - w.q.loc) / w.q.scale
        return (rise * np.exp(w.q.log_prob(tau * t)))[:, None] * np.stack([np.ones_like(t), noise], axis=-1)

    return trapezoid(integrand, -45.0, 45.0).value


def at_the_jump(w: Jump) -> Array:
    return np.exp(w.q.log_prob(0.0)) * np.array([1.0, -w.q.loc / w.q.scale])


H19 = (
    derive(
        "H19",
        "where f jumps, the pathwise gradient is wrong",
        Jump.draw,
        assumptions="f(z) = 1[z > 0]; mu is not 0",
        source="Lee, Yu and Yang 2018; Mohamed et al. 2020, section 5",
    )
    .start(
        given(
            r"\nabla_{\mu,\sigma}\, P(z > 0) = \nabla_{\mu,\sigma}\, \Phi(\mu / \sigma)",
            differences(lambda w, law: ndtr(law.loc / law.scale)),
        ),
        step=1e-2,
        resolution=1e-3,
    )
    .eq(tex(r"N(0;\, \mu, \sigma^2)\,(1,\ -\mu / \sigma)"), "chain rule: the density at the jump", resolution=1e-3)
    .slip(
        "no 1/sigma",
        given("TODO", lambda w: at_the_jump(w) * w.q.scale),
        "the standard normal density was taken: that of z carries 1/sigma.",
    )
    .slip(
        "sign of the scale's part",
        tex(r"N(0;\, \mu, \sigma^2)\,(1,\ \mu / \sigma)"),
        "widening q was taken to help: it moves mass over the jump away from the mean.",
    )
    .eq(
        given(r"\mathbb{E}_{q}\left[1[z > 0]\, \nabla_{\mu,\sigma} \log q(z)\right]", above_zero),
        "score function, H2: f is not differentiated",
    )
    .slip(
        "pathwise",
        given(
            r"\mathbb{E}_\varepsilon\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]", lambda w: np.zeros(2)
        ),
        "f was differentiated: f' = 0 almost everywhere, and the jump carries the whole gradient.",
    )
    .eq(
        given(
            r"\lim_{\tau \to 0} \mathbb{E}_\varepsilon\left[\partial_z\, \mathrm{sigmoid}(z / \tau)\,(1,\ \varepsilon)\right]",
            smoothed,
        ),
        "smooth the jump, then pathwise, H1; error tau^2",
        step=0.02,
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
        given(
            r"\mathbb{E}_\varepsilon\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right] = (0,\ 0)",
            lambda w: np.zeros(2),
        ),
        "f' = 0 almost everywhere: the jump is not seen",
    )
    .slip(
        "pathwise all the same",
        says="the pathwise gradient was used where f jumps: the derivative misses the jump.",
        relation="=",
    )
)

CHAPTER: tuple[Derivation, ...] = (H1, H2, H4, H5, H7, H9, H10, H11, H12, H13, H16, H18, H19, H20)
