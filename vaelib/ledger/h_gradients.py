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

from vaelib.derivation import Derivation, Line, Slip
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
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


def moved_density(w: Any, f: Callable[[Array], Array]) -> Estimate:
    """Integral of f times the derivatives of (1 / sigma) phi((z - mu) / sigma), spelled without a logarithm."""

    def integrand(z: Array) -> Array:
        u = (z - w.q.loc) / w.q.scale
        bell = np.exp(-u * u / 2) / np.sqrt(2 * np.pi)
        by_mu = u * bell / w.q.scale**2  # -phi'(u) / sigma^2
        by_sigma = (u * u - 1) * bell / w.q.scale**2  # -(phi + u phi') / sigma^2
        return f(z)[:, None] * np.stack([by_mu, by_sigma], axis=-1)

    return trapezoid(integrand, *around(w))


def weighted_score(w: Smooth, weight: Callable[[Array], Array]) -> Estimate:
    """E_q[weight(z) grad log q(z)]."""

    def integrand(z: Array) -> Array:
        gap = z - w.q.loc
        scores = np.stack([gap / w.q.scale**2, gap**2 / w.q.scale**3 - 1 / w.q.scale], axis=-1)
        return (np.exp(w.q.log_prob(z)) * weight(z))[:, None] * scores

    return trapezoid(integrand, *around(w))


H1 = Derivation(
    "H1",
    "the pathwise gradient",
    draw=Smooth.draw,
    assumptions="f is differentiable, and |f'(mu + sigma eps)| (1 + |eps|) is dominated by an integrable function",
    source="Kingma and Welling 2014, section 2.4; Mohamed et al. 2020, section 5",
    lines=(
        Line(
            r"\nabla_{\mu,\sigma} \int N(z;\, \mu, \sigma^2)\, f(z)\,dz",
            differences(mean_over_z),
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"\nabla_{\mu,\sigma}\, \mathbb{E}_{\varepsilon}[f(\mu + \sigma\varepsilon)]",
            differences(mean_over_noise),
            reason="change of variables: z = mu + sigma eps, eps ~ N(0, 1)",
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]",
            lambda w: over_noise(lambda e: (w.slope(w.q.loc + w.q.scale * e), w.slope(w.q.loc + w.q.scale * e) * e)),
            reason="derivative under the integral; chain rule",
            resolution=1e-3,
        ),
        Line(
            r"\text{as computed by } \mathtt{vaelib.gradients.pathwise}",
            lambda w: over_noise(lambda e: pathwise(w.q, w.slope, e)),
            reason="the estimator, averaged over all noise",
        ),
        Line(
            r"\nabla_{\mu,\sigma} \left(a e^{-\omega^2\sigma^2/2} \sin\omega\mu + b(\mu^2 + \sigma^2) + c(\mu^3 + 3\mu\sigma^2)\right)",
            lambda w: w.closed_form,
            reason="here f = a sin(wz) + bz^2 + cz^3: moments of a Gaussian",
        ),
    ),
    slips=(
        Slip(
            2,
            "noise forgotten",
            "It looks like dz/dsigma = eps was forgotten: the chain rule ends with eps, not with 1.",
            lambda w: over_noise(lambda e: (w.slope(w.q.transform(e)), w.slope(w.q.transform(e)))),
            latex=r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ 1)\right]",
        ),
        Slip(
            2,
            "f for its derivative",
            "It looks like f stands where its derivative belongs.",
            lambda w: over_noise(lambda e: (w.f(w.q.transform(e)), w.f(w.q.transform(e)) * e)),
            latex=r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]",
        ),
        Slip(
            2,
            "sigma detached",
            "It looks like sigma was held fixed (detached) in z = mu + sigma eps: no gradient reaches it.",
            lambda w: over_noise(lambda e: (w.slope(w.q.transform(e)), 0 * e)),
            latex=r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ 0)\right]",
        ),
        Slip(
            2,
            "gradient at the mean",
            "It looks like the gradient was taken at the mean of z, not averaged over z.",
            lambda w: np.array([w.slope(w.q.loc), 0.0]),
            latex=r"f'(\mu)\,(1,\ 0)",
        ),
        Slip(
            2,
            "in log sigma",
            "It looks like the derivative in log sigma: it carries one more factor sigma than that in sigma.",
            lambda w: over_noise(lambda e: (w.slope(w.q.transform(e)), w.slope(w.q.transform(e)) * w.q.scale * e)),
            latex=r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \sigma\varepsilon)\right]",
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Slip(
            3,
            "noise scaled by the variance",
            "It looks like z = mu + sigma^2 eps: the noise is multiplied by the standard deviation.",
            lambda w: over_noise(lambda e: pathwise(Normal(w.q.loc, w.q.scale**2), w.slope, e)),
        ),
    ),
)

H2 = Derivation(
    "H2",
    "the score-function gradient",
    draw=Smooth.draw,
    assumptions="q > 0 is differentiable in its parameters, f need not be; |f grad q| is dominated",
    source="Williams 1992; Mohamed et al. 2020, section 4",
    lines=(
        Line(
            r"\nabla_{\mu,\sigma} \int N(z;\, \mu, \sigma^2)\, f(z)\,dz",
            differences(mean_over_z),
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"\int f(z)\, \nabla_{\mu,\sigma} N(z;\, \mu, \sigma^2)\,dz",
            lambda w: moved_density(w, w.f),
            reason="derivative under the integral: only the density moves",
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}_{q}\left[f(z)\, \nabla_{\mu,\sigma} \log q(z)\right]",
            lambda w: weighted_score(w, w.f),
            reason="grad q = q grad log q: an expectation again",
        ),
        Line(
            r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\, \tfrac{1}{\sigma} (\varepsilon,\ \varepsilon^2 - 1)\right]",
            lambda w: over_noise(
                lambda e: (w.f(w.q.transform(e)) * e / w.q.scale, w.f(w.q.transform(e)) * (e**2 - 1) / w.q.scale)
            ),
            reason="insert the score, then z = mu + sigma eps",
        ),
        Line(
            r"\text{as computed by } \mathtt{vaelib.gradients.score\_function}",
            lambda w: over_noise(lambda e: score_function(w.q, w.f, e)),
            reason="the estimator, averaged over all noise",
        ),
        Line(
            r"\mathbb{E}_{\varepsilon}\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]",
            lambda w: over_noise(lambda e: pathwise(w.q, w.slope, e)),
            reason="H1: by parts, where f is differentiable",
        ),
    ),
    slips=(
        Slip(
            2,
            "minus",
            "It looks like the sign is wrong: grad log q enters with a plus.",
            lambda w: -weighted_score(w, w.f),
        ),
        Slip(
            2,
            "grad q for grad log q",
            "It looks like q was counted twice: grad q = q grad log q, and the expectation brings the q.",
            lambda w: weighted_score(w, lambda z: np.exp(w.q.log_prob(z)) * w.f(z)),
            latex=r"\mathbb{E}_{q}\left[f(z)\, \nabla_{\mu,\sigma} q(z)\right]",
        ),
        Slip(
            2,
            "f differentiated",
            "It looks like f was differentiated: the score function needs values of f only.",
            lambda w: weighted_score(w, w.slope),
            latex=r"\mathbb{E}_{q}\left[f'(z)\, \nabla_{\mu,\sigma} \log q(z)\right]",
        ),
        Slip(
            3,
            "no 1/sigma",
            "It looks like the 1/sigma of the score is missing.",
            lambda w: over_noise(lambda e: (w.f(w.q.transform(e)) * e, w.f(w.q.transform(e)) * (e**2 - 1))),
            latex=r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\,(\varepsilon,\ \varepsilon^2 - 1)\right]",
        ),
        Slip(
            3,
            "normalizer forgotten",
            "It looks like -1 is missing: the normalizer 1/sigma of the density depends on sigma too.",
            lambda w: over_noise(
                lambda e: (w.f(w.q.transform(e)) * e / w.q.scale, w.f(w.q.transform(e)) * e**2 / w.q.scale)
            ),
            latex=r"\mathbb{E}_{\varepsilon}\left[f(\mu + \sigma\varepsilon)\, \tfrac{1}{\sigma} (\varepsilon,\ \varepsilon^2)\right]",
        ),
        Slip(
            4,
            "differentiated along the path",
            "It looks like z was not held fixed: along z = mu + sigma eps, log q changes by -log sigma alone.",
            lambda w: over_noise(lambda e: (0 * e, -w.f(w.q.transform(e)) / w.q.scale)),
            latex=r"\mathbb{E}_{\varepsilon}\left[f(z)\, \nabla_{\mu,\sigma} \log q(\mu + \sigma\varepsilon)\right]",
        ),
    ),
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


H9 = Derivation(
    "H9",
    "a baseline: the mean stays, the variance is a parabola",
    draw=Smooth.draw,
    assumptions="b does not depend on the sample; s = d log q / d mu has a finite second moment",
    source="Greensmith, Bartlett and Baxter 2004; Mohamed et al. 2020, section 7.4",
    lines=(
        Line(
            r"\mathrm{Var}\left[(f - b)\,s\right], \quad s = \partial_\mu \log q(z)",
            lambda w: spread(b_times(w, w.baseline)),
            reason="the spread of the package's estimator with baseline b",
        ),
        Line(
            r"\mathbb{E}[(f - b)^2 s^2] - \mathbb{E}[f s]^2",
            lambda w: over_noise(lambda e: b_times(w, w.baseline)(e) ** 2) - over_noise(b_times(w, 0.0)).value ** 2,
            reason="E[s] = 0, so the mean is E[fs] whatever b is",
        ),
        Line(
            r"\mathbb{E}[f^2 s^2] - 2b\,\mathbb{E}[f s^2] + b^2\,\mathbb{E}[s^2] - \mathbb{E}[f s]^2",
            expanded,
            reason="expand the square: a parabola in b",
        ),
        Line(
            r"\mathbb{E}[s^2]\,(b - b^*)^2 + \mathbb{E}[f^2 s^2] - \frac{\mathbb{E}[f s^2]^2}{\mathbb{E}[s^2]} - \mathbb{E}[f s]^2, \quad b^* = \frac{\mathbb{E}[f s^2]}{\mathbb{E}[s^2]}",
            completed,
            reason="complete the square",
        ),
        Line(
            r"\mathrm{Var}[f s] - \frac{\mathrm{Cov}(f s, s)^2}{\mathrm{Var}[s]}",
            least,
            reason="a square is not negative; E[s] = 0",
            relation=">=",
            gap=lambda w: moments(w)[3] * (w.baseline - best_baseline(w)) ** 2,
        ),
        Line(
            r"\mathrm{Var}\left[(f - b^*)\,s\right]",
            lambda w: spread(b_times(w, best_baseline(w))),
            reason="attained at b = b*",
        ),
    ),
    slips=(
        Slip(
            1,
            "mean shifted by b",
            "It looks like b was subtracted from the mean: E[bs] = b E[s] = 0.",
            lambda w: (
                over_noise(lambda e: b_times(w, w.baseline)(e) ** 2)
                - (over_noise(b_times(w, 0.0)).value - w.baseline) ** 2
            ),
        ),
        Slip(
            1,
            "baseline from its own sample",
            "It looks like the baseline was computed from its own sample: with b = f nothing is left.",
            lambda w: over_noise(lambda e: (w.f(w.q.transform(e)) - w.f(w.q.transform(e))) * e),
        ),
        Slip(
            2,
            "factor 2 lost",
            "It looks like the mixed term lost its factor 2.",
            lambda w: expanded(w) + w.baseline * moments(w)[2],
        ),
        Slip(
            4,
            "variance raised",
            "It looks like the reduction was added: the best baseline lowers the variance.",
            lambda w: least(w) + 2 * moments(w)[2] ** 2 / moments(w)[3],
            latex=r"\mathrm{Var}[f s] + \frac{\mathrm{Cov}(f s, s)^2}{\mathrm{Var}[s]}",
        ),
        Slip(
            4,
            "covariance not squared",
            "It looks like the covariance was not squared.",
            lambda w: least(w) + (moments(w)[2] ** 2 - moments(w)[2]) / moments(w)[3],
            latex=r"\mathrm{Var}[f s] - \frac{\mathrm{Cov}(f s, s)}{\mathrm{Var}[s]}",
        ),
        Slip(
            5,
            "mean of f as the best",
            "It looks like b = E[f] was taken for the best: the best weighs f by s^2.",
            lambda w: spread(b_times(w, over_noise(lambda e: w.f(w.q.transform(e))).value)),
            latex=r"\mathrm{Var}\left[(f - \mathbb{E}f)\,s\right]",
        ),
    ),
)


def square(z: Array) -> Array:
    return z**2


def double(z: Array) -> Array:
    return 2 * z


# Variances are finite: each sample is a polynomial in Gaussian noise.
H20 = Derivation(
    "H20",
    "both estimators on average: a z-test",
    draw=NormalPair.draw,
    assumptions="f(z) = z^2: each sample is a polynomial in eps, so its variance is finite",
    source="Mohamed et al. 2020, section 3",
    lines=(
        Line(
            r"\int z^2\, \partial_\sigma N(z;\, \mu, \sigma^2)\,dz",
            lambda w: moved_density(w, square).value[1],
            reason="what is estimated",
        ),
        Line(
            r"\partial_\sigma (\mu^2 + \sigma^2)",
            lambda w: 2 * w.q.scale,
            reason="outside the integral: second moment of a Gaussian",
        ),
        Line(
            r"\tfrac1S\textstyle\sum_s 2(\mu + \sigma\varepsilon_s)\,\varepsilon_s",
            samples=lambda w, rng, n: pathwise(w.q, double, rng.standard_normal(n)).scale,
            num_samples=100_000,
            resolution=0.5,
            reason="pathwise, H1; |z| is compared with 4.5",
        ),
        Line(
            r"\tfrac1S\textstyle\sum_s (\mu + \sigma\varepsilon_s)^2\, \tfrac1\sigma (\varepsilon_s^2 - 1)",
            samples=lambda w, rng, n: score_function(w.q, square, rng.standard_normal(n)).scale,
            num_samples=100_000,
            resolution=4.0,  # the price of the score function where q is wide
            reason="score function, H2",
        ),
    ),
    slips=(
        Slip(1, "no 2", "It looks like the derivative of sigma^2 lost its factor 2.", lambda w: w.q.scale),
        Slip(
            1,
            "in the variance",
            "It looks like the derivative in sigma^2: that is 1, and the one in sigma is 2 sigma.",
            lambda w: 1.0 + 0 * w.q.scale,
            real="public issue threads: scale, variance and log-variance mixed up",
        ),
        Slip(
            2,
            "f itself along the path",
            "It looks like f was not differentiated: z^2 eps for 2z eps.",
            samples=lambda w, rng, n: pathwise(w.q, square, rng.standard_normal(n)).scale,
            latex=r"\tfrac1S\textstyle\sum_s (\mu + \sigma\varepsilon_s)^2\,\varepsilon_s",
        ),
        Slip(
            2,
            "noise forgotten",
            "It looks like eps is missing after the derivative of f: dz/dsigma = eps.",
            samples=lambda w, rng, n: pathwise(w.q, double, rng.standard_normal(n)).loc,
            latex=r"\tfrac1S\textstyle\sum_s 2(\mu + \sigma\varepsilon_s)",
        ),
        Slip(
            3,
            "normalizer forgotten",
            "It looks like -1 is missing: the normalizer 1/sigma of the density depends on sigma too.",
            samples=lambda w, rng, n: normalizer_forgotten(w, rng.standard_normal(n)),
            latex=r"\tfrac1S\textstyle\sum_s (\mu + \sigma\varepsilon_s)^2\, \tfrac1\sigma \varepsilon_s^2",
        ),
    ),
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


H7 = Derivation(
    "H7",
    "variance of three estimators, in d dimensions",
    draw=Vector.draw,
    assumptions="f(z) = |z|^2, independent coordinates, one sample; m and v are mean and variance of the other z_j^2, summed",
    source="Mohamed et al. 2020, section 3; worked out here",
    lines=(
        Line(
            r"\mathrm{Var}\left[f(z)\, \partial_{\mu_i} \log q(z)\right]",
            lambda w: spreads(w, bare(w)),
            reason="score function; every coordinate i has its own",
        ),
        Line(
            r"\mathbb{E}\left[f^2 (\partial_{\mu_i} \log q)^2\right] - (2\mu_i)^2",
            lambda w: over_vectors(w, lambda e: bare(w)(e) ** 2) - 4 * w.q.loc**2,
            reason="second moment less the square of the mean 2 mu_i",
        ),
        Line(
            r"\tfrac{1}{\sigma_i^2} \left(\mathbb{E}[z_i^4 \varepsilon_i^2] + 2 m\, \mathbb{E}[z_i^2 \varepsilon_i^2] + m^2 + v\right) - 4\mu_i^2",
            split,
            reason="f = z_i^2 + the others, which are independent of it",
        ),
        Line(
            r"\frac{\mu_i^4}{\sigma_i^2} + 14\mu_i^2 + 15\sigma_i^2 + \frac{2(\mu_i^2 + 3\sigma_i^2)\,m + m^2 + v}{\sigma_i^2}",
            bare_closed,
            reason="E eps^2 = 1, E eps^4 = 3, E eps^6 = 15",
        ),
        Line(
            r"\mathrm{Var}\left[(f(z) - \mathbb{E}f)\, \partial_{\mu_i} \log q(z)\right]",
            lambda w: spreads(w, lambda e: score_function(w.q, length, e, mean_length(w)).loc),
            reason="subtract the mean b = E[f] as a baseline, H9",
            relation=">",
            gap=lambda w: mean_length(w) ** 2 / w.q.scale**2 + 4 * mean_length(w),
        ),
        Line(
            r"8\mu_i^2 + 10\sigma_i^2 + \frac{v}{\sigma_i^2}",
            with_baseline,
            reason="the same moments; m is gone",
        ),
        Line(
            r"\mathrm{Var}\left[\partial_{z_i} f(z)\right]",
            lambda w: spreads(w, lambda e: pathwise(w.q, double, e).loc),
            reason="pathwise: it does not see the other coordinates",
            relation=">",
            gap=lambda w: 8 * w.q.loc**2 + 6 * w.q.scale**2 + others(w)[1] / w.q.scale**2,
        ),
        Line(r"4\sigma_i^2", lambda w: 4 * w.q.scale**2, reason="the derivative is 2 z_i"),
    ),
    slips=(
        Slip(
            1,
            "mean not subtracted",
            "It looks like the second moment was taken for the variance.",
            lambda w: over_vectors(w, lambda e: bare(w)(e) ** 2),
        ),
        Slip(
            3,
            "mean subtracted twice",
            "It looks like the square of the mean was subtracted twice: 18 - 4 = 14.",
            lambda w: bare_closed(w) - 4 * w.q.loc**2,
        ),
        Slip(
            3,
            "one dimension only",
            "It looks like the formula for one dimension was used: the other coordinates are in f and add noise.",
            lambda w: bare_closed(w, dimension_one=True),
            latex=r"\frac{\mu_i^4}{\sigma_i^2} + 14\mu_i^2 + 15\sigma_i^2",
        ),
        Slip(
            5,
            "baseline that removes the others",
            "It looks like the baseline was taken to remove the other coordinates: it removes their mean, not their spread.",
            lambda w: 8 * w.q.loc**2 + 10 * w.q.scale**2,
            latex=r"8\mu_i^2 + 10\sigma_i^2",
        ),
        Slip(
            6,
            "equal variances",
            "It looks like two unbiased estimators were taken to have the same variance.",
            relation="=",
        ),
        Slip(
            7,
            "variance of z doubled",
            "It looks like the factor 2 of the derivative was not squared: Var[2z] = 4 Var[z].",
            lambda w: 2 * w.q.scale**2,
            latex=r"2\sigma_i^2",
        ),
    ),
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


H4 = Derivation(
    "H4",
    "Bonnet: the gradient in the mean",
    draw=Surface.draw,
    assumptions="f is differentiable and grows more slowly than exp(c |z|^2) for every c > 0",
    source="Bonnet 1964; Rezende, Mohamed and Wierstra 2014, section 3",
    lines=(
        Line(
            r"\nabla_\mu\, \mathbb{E}_{N(\mu, \Sigma)}[f(z)]",
            slopes(lambda w, d, h: w.mean(w.q.loc + h * d, w.q.covariance), AXES),
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}\left[f(z)\, \Sigma^{-1}(z - \mu)\right]",
            lambda w: over_plane(w, lambda z, e: w.f(z)[:, None] * standardized(w, z)),
            reason="score function, H2",
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}\left[\nabla f(z)\right]",
            lambda w: over_plane(w, lambda z, e: w.gradient(z)),
            reason="grad_mu q = -grad_z q, then by parts",
        ),
    ),
    slips=(
        Slip(
            1,
            "precision forgotten",
            "It looks like the inverse covariance is missing in the score.",
            lambda w: over_plane(w, lambda z, e: w.f(z)[:, None] * (z - w.q.loc)),
            latex=r"\mathbb{E}\left[f(z)\,(z - \mu)\right]",
        ),
        Slip(
            2,
            "at the mean",
            "It looks like the gradient was taken at the mean: E[grad f(z)] is not grad f(E[z]).",
            lambda w: w.gradient(w.q.loc[None])[0],
            latex=r"\nabla f(\mu)",
        ),
        Slip(
            2,
            "precision left over",
            "It looks like the inverse covariance stayed behind: integration by parts uses it up.",
            lambda w: over_plane(w, lambda z, e: np.linalg.solve(w.q.covariance, w.gradient(z).T).T),
            latex=r"\mathbb{E}\left[\Sigma^{-1} \nabla f(z)\right]",
        ),
        Slip(
            2,
            "sign of the parts",
            "It looks like one of two minus signs was lost: grad_mu q = -grad_z q, and by parts brings the other.",
            lambda w: -over_plane(w, lambda z, e: w.gradient(z)),
            latex=r"-\mathbb{E}\left[\nabla f(z)\right]",
        ),
    ),
)


def covariance_score(w: Surface, factor: float = 0.5) -> Estimate:
    """E[f (u u' - Sigma^-1)] times the factor, u = Sigma^-1 (z - mu); the entries 11, 21, 22."""
    precision = np.linalg.inv(w.q.covariance)

    def integrand(z: Array, _: Array) -> Array:
        u = standardized(w, z)
        return factor * w.f(z)[:, None] * lower(u[:, :, None] * u[:, None, :] - precision)

    return over_plane(w, integrand)


H5 = Derivation(
    "H5",
    "Price: the gradient in the covariance",
    draw=Surface.draw,
    assumptions="f is twice differentiable; the gradient is symmetric, each entry moving with its mirror image",
    source="Price 1958; Rezende, Mohamed and Wierstra 2014, section 3",
    lines=(
        Line(
            r"\nabla_\Sigma\, \mathbb{E}_{N(\mu, \Sigma)}[f(z)]",
            slopes(lambda w, d, h: w.mean(w.q.loc, w.q.covariance + h * (d + d.T) / 2), ENTRIES),
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"\tfrac12 \mathbb{E}\left[f(z) \left(\Sigma^{-1}(z - \mu)(z - \mu)^\top \Sigma^{-1} - \Sigma^{-1}\right)\right]",
            covariance_score,
            reason="score function, H2; the -1 is from the determinant",
            resolution=1e-3,
        ),
        Line(
            r"\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right]",
            lambda w: over_plane(w, lambda z, e: lower(w.curvature(z)) / 2),
            reason="grad_Sigma q = half of grad_z^2 q; by parts, twice",
        ),
    ),
    slips=(
        Slip(
            1,
            "determinant forgotten",
            "It looks like the determinant in the density was not differentiated.",
            lambda w: (
                covariance_score(w)
                + over_plane(w, lambda z, e: w.f(z)[:, None] * lower(np.linalg.inv(w.q.covariance)) / 2)
            ),
        ),
        Slip(
            2,
            "no 1/2",
            "It looks like the factor 1/2 is missing.",
            lambda w: over_plane(w, lambda z, e: lower(w.curvature(z))),
            latex=r"\mathbb{E}\left[\nabla^2 f(z)\right]",
        ),
        Slip(
            2,
            "minus",
            "It looks like a minus remained: by parts twice brings two of them.",
            lambda w: -over_plane(w, lambda z, e: lower(w.curvature(z)) / 2),
            latex=r"-\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right]",
        ),
        Slip(
            2,
            "in the scale",
            "It looks like a derivative in the standard deviation: that carries one more factor, d sigma^2 / d sigma.",
            lambda w: over_plane(w, lambda z, e: lower(w.curvature(z) @ w.q.cholesky)),
            latex=r"\mathbb{E}\left[\nabla^2 f(z)\right] L",
        ),
        Slip(
            2,
            "at the mean",
            "It looks like the curvature was taken at the mean, not averaged over z.",
            lambda w: lower(w.curvature(w.q.loc[None])[0]) / 2,
            latex=r"\tfrac12 \nabla^2 f(\mu)",
        ),
    ),
)


def along_factor(w: Surface, direction: Array, h: float) -> Any:
    moved = w.q.cholesky + h * direction
    return w.mean(w.q.loc, moved @ moved.T)


H13 = Derivation(
    "H13",
    "the pathwise gradient through a Cholesky factor",
    draw=Surface.draw,
    assumptions="f is twice differentiable; L is lower triangular with a positive diagonal",
    source="Kingma and Welling 2019, section 2.5; Rezende, Mohamed and Wierstra 2014, section 3",
    lines=(
        Line(
            r"\nabla_L\, \mathbb{E}_{N(\mu, L L^\top)}[f(z)] \quad (i \ge j)",
            slopes(along_factor, ENTRIES),
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}_\varepsilon\left[\nabla f(\mu + L\varepsilon)\, \varepsilon^\top\right] \quad (i \ge j)",
            lambda w: over_plane(w, lambda z, e: lower(w.gradient(z)[:, :, None] * e[:, None, :])),
            reason="pathwise: dz_i / dL_ij = eps_j",
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}\left[\nabla^2 f(z)\right] L \quad (i \ge j)",
            lambda w: lower(over_plane(w, lambda z, e: w.curvature(z)).value @ w.q.cholesky),
            reason="chain rule through Sigma = L L', with Price, H5",
        ),
    ),
    slips=(
        Slip(
            1,
            "transposed",
            "It looks like gradient and noise were exchanged: row i belongs to z_i, column j to eps_j.",
            lambda w: over_plane(w, lambda z, e: lower(e[:, :, None] * w.gradient(z)[:, None, :])),
            latex=r"\mathbb{E}_\varepsilon\left[\varepsilon\, \nabla f(\mu + L\varepsilon)^\top\right]",
        ),
        Slip(
            1,
            "covariance for its factor",
            "It looks like z = mu + Sigma eps: the noise is multiplied by the factor L.",
            lambda w: over_plane(
                w, lambda z, e: lower(w.gradient(w.q.loc + e @ w.q.covariance)[:, :, None] * e[:, None, :])
            ),
            latex=r"\mathbb{E}_\varepsilon\left[\nabla f(\mu + \Sigma\varepsilon)\, \varepsilon^\top\right]",
        ),
        Slip(
            1,
            "diagonal only",
            "It looks like the coordinates were taken to be independent: L has an entry below the diagonal.",
            lambda w: over_plane(w, lambda z, e: lower(w.gradient(z)[:, :, None] * e[:, None, :] * np.eye(2))),
        ),
        Slip(
            2,
            "half left over",
            "It looks like the 1/2 of Price's theorem stayed: Sigma = L L' holds L twice.",
            lambda w: lower(over_plane(w, lambda z, e: w.curvature(z)).value @ w.q.cholesky) / 2,
            latex=r"\tfrac12 \mathbb{E}\left[\nabla^2 f(z)\right] L",
        ),
    ),
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
H10 = Derivation(
    "H10",
    "two estimators of the bound, one expectation",
    draw=CurvedWitness.draw,
    assumptions="KL(q || p(z)) in closed form; z = mu + sigma eps, eps ~ N(0, 1)",
    source="Kingma and Welling 2014, equations (6) and (7)",
    lines=(
        Line(E(q, log_joint - log_q), reason="estimator A, all of it sampled: its expectation"),
        Line(E(q, log_lik + log_prior - log_q), reason="product rule: p(x,z) = p(x|z) p(z)"),
        Line(E(q, log_lik) - E(q, log_q - log_prior), reason="expectation is linear; both parts are finite"),
        Line(E(q, log_lik) - KL(q, prior), reason="definition of KL"),
        Line(
            r"\mathbb{E}_{q}[\log p(x \mid z)] - \log\tfrac{1}{\sigma} - \tfrac12(\sigma^2 + \mu^2 - 1)",
            lambda w: elbo(E(q, log_lik).value(w), kl_divergence(w.q, w.model.prior)),
            reason="estimator B: KL of Gaussians in closed form",
        ),
        Line(
            r"\tfrac1S\textstyle\sum_s \left(\log p(x, z_s) - \log q(z_s)\right)",
            samples=sampled_a,
            num_samples=40_000,
            reason="A as it is computed, z_s = mu + sigma eps_s",
        ),
        Line(
            r"\tfrac1S\textstyle\sum_s \log p(x \mid z_s) - \mathrm{KL}(q \,\Vert\, p(z))",
            samples=sampled_b,
            num_samples=40_000,
            reason="B as it is computed: only the likelihood is sampled",
        ),
    ),
    slips=(
        Slip(1, "no prior", "It looks like log p(z) is missing from the joint.", E(q, log_lik - log_q)),
        Slip(
            2,
            "A without log q",
            "It looks like log q(z) was left out: then nothing pays for a narrow q, and it shrinks to a point.",
            E(q, log_lik) + E(q, log_prior),
        ),
        Slip(
            3,
            "plus KL",
            "It looks like the KL is added: it is a price, so it is subtracted.",
            E(q, log_lik) + KL(q, prior),
            real="public issue threads: the sign of the reported KL",
        ),
        Slip(
            3,
            "KL swapped",
            "It looks like KL(p(z) || q): A samples z from q, so the expectation of the ratio is under q.",
            E(q, log_lik) - KL(prior, q),
        ),
        Slip(
            4,
            "prior counted twice",
            "It looks like A and B were mixed: log p(x,z) holds the prior, and KL(q || p(z)) holds it again.",
            lambda w: elbo(E(q, log_joint).value(w), kl_divergence(w.q, w.model.prior)),
            latex=r"\mathbb{E}_{q}[\log p(x, z)] - \mathrm{KL}(q \,\Vert\, p(z))",
        ),
        Slip(
            4,
            "entropy counted twice",
            "It looks like log q(z) is sampled and stands in the KL as well.",
            lambda w: elbo(E(q, log_lik - log_q).value(w), kl_divergence(w.q, w.model.prior)),
            latex=r"\mathbb{E}_{q}[\log p(x \mid z) - \log q(z)] - \mathrm{KL}(q \,\Vert\, p(z))",
        ),
        Slip(
            5,
            "noise without its scale",
            "It looks like z = mu + eps: the noise was not multiplied by sigma.",
            samples=lambda w, rng, n: log_weight(w, w.q.loc + rng.standard_normal(n)),
            latex=r"\tfrac1S\textstyle\sum_s \left(\log p(x, z_s) - \log q(z_s)\right), \quad z_s = \mu + \varepsilon_s",
        ),
        Slip(
            6,
            "sampled plus KL",
            "It looks like the KL is added to the sampled likelihood: it is subtracted.",
            samples=lambda w, rng, n: sampled_b(w, rng, n) + 2 * kl_divergence(w.q, w.model.prior),
            latex=r"\tfrac1S\textstyle\sum_s \log p(x \mid z_s) + \mathrm{KL}(q \,\Vert\, p(z))",
        ),
    ),
)

# ------------------------------------------------------------------------ the bound's estimators: H11 and H12


def exact_law(w: LinearWitness) -> MultivariateNormal:
    return w.model.posterior(w.x)


def spread_under_posterior(w: LinearWitness, g: Callable[[Array], Array]) -> Any:
    """Variance of g(z) for z drawn from the exact posterior; g is quadratic, so the grid is exact."""
    law = exact_law(w)

    def mean(h: Callable[[Array], Array]) -> Any:
        return gauss_hermite_multivariate(h, law.loc, law.cholesky, n=4)

    center = mean(g).value
    return mean(lambda z: (g(z) - center) ** 2)


def quadratic_spread(w: LinearWitness, linear: float = 1.0, half: float = 0.5) -> Any:
    """g' S g + tr((A S)^2) / 2: log p(x | z) has gradient g and curvature -A at the posterior mean."""
    m, law = w.model, exact_law(w)
    gradient = m.loading.T @ (w.x - m.offset - m.loading @ law.loc) / m.noise_variance
    change = m.loading.T @ m.loading @ law.covariance / m.noise_variance
    return linear * gradient @ law.covariance @ gradient + half * np.trace(change @ change)


def likelihood_spread(w: LinearWitness) -> Any:
    return spread_under_posterior(w, lambda z: w.model.log_likelihood(w.x, z))


H11 = Derivation(
    "H11",
    "at the posterior, estimator A has no variance",
    draw=LinearWitness.draw,
    assumptions="q = p(z|x) exactly",
    source="Roeder, Wu and Duvenaud 2017; names A and B: Kingma and Welling 2014",
    lines=(
        Line(
            r"\mathrm{Var}_{q}\left[\log p(x, z) - \log q(z)\right], \quad q = p(z \mid x)",
            lambda w: spread_under_posterior(w, lambda z: w.model.log_joint(w.x, z) - exact_law(w).log_prob(z)),
            reason="estimator A",
        ),
        Line(
            r"\mathrm{Var}_{q}\left[\log p(x)\right] = 0",
            lambda w: 0.0,
            reason="Bayes' rule: log p(x, z) - log p(z|x) is log p(x)",
        ),
        Line(
            r"\mathrm{Var}_{q}\left[\log p(x \mid z) - \mathrm{KL}(q \,\Vert\, p(z))\right]",
            likelihood_spread,
            reason="estimator B: the likelihood still varies with z",
            relation="<",
            gap=quadratic_spread,
        ),
        Line(
            r"g^\top S g + \tfrac12 \mathrm{tr}\left((AS)^2\right)",
            quadratic_spread,
            reason="a quadratic in Gaussian z; S its covariance",
        ),
    ),
    slips=(
        Slip(
            2,
            "B always better",
            "It looks like the closed-form KL was taken to lower the variance always: at the posterior it raises it.",
            relation=">",
        ),
        Slip(
            2,
            "no noise left in B",
            "It looks like the closed-form KL was taken to remove all noise: the likelihood is still sampled.",
            relation="=",
        ),
        Slip(
            3,
            "linear term only",
            "It looks like the curvature of log p(x|z) was left out.",
            lambda w: quadratic_spread(w, half=0.0),
            latex=r"g^\top S g",
        ),
        Slip(
            3,
            "no 1/2",
            "It looks like the 1/2 before the trace is missing: the variance of u^2 / 2 is 1/2.",
            lambda w: quadratic_spread(w, half=1.0),
            latex=r"g^\top S g + \mathrm{tr}\left((AS)^2\right)",
        ),
    ),
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


H12 = Derivation(
    "H12",
    "sticking the landing: the score term may go",
    draw=lambda rng: CurvedWitness.draw(rng),  # generic ones alone: the step is a small part of their widths
    assumptions="q is reparameterized, z = mu + sigma eps; log p(x, z) is differentiable in z",
    source="Roeder, Wu and Duvenaud 2017",
    lines=(
        Line(
            r"\nabla_{\mu,\sigma}\, \mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]",
            differences(bound_of),
            step=4e-3,
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}_\varepsilon\left[\partial_z (\log p(x, z) - \log q(z))\,(1,\ \varepsilon) - \nabla_{\mu,\sigma} \log q(z)\right]",
            lambda w: path_terms(w, direct=-1.0),
            reason="total derivative: through z, and through the density",
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}_\varepsilon\left[\partial_z (\log p(x, z) - \log q(z))\,(1,\ \varepsilon)\right]",
            path_terms,
            reason="the mean of the score is zero",
        ),
        Line(
            r"-\nabla_{\mu,\sigma}\, \mathrm{KL}(q \,\Vert\, p(z \mid x))",
            differences(lambda w, law: -KL(q, post).value(replace(w, q=law)).value),
            reason="F1: gap + bound = log p(x), free of q",
            step=4e-3,
            resolution=1e-3,
        ),
    ),
    slips=(
        Slip(
            1,
            "score doubled",
            "It looks like the parameters of the density were differentiated twice.",
            lambda w: path_terms(w, direct=-1.0) + np.array([0.0, 1 / w.q.scale]),
        ),
        Slip(
            2,
            "path of log q dropped",
            "It looks like log q was dropped altogether: its path is the gradient of the entropy, which keeps q wide.",
            lambda w: path_terms(w, density=0.0),
            latex=r"\mathbb{E}_\varepsilon\left[\partial_z \log p(x, z)\,(1,\ \varepsilon)\right]",
        ),
        Slip(
            2,
            "score kept, path dropped",
            "It looks like the wrong half of log q was kept: its score has mean zero, its path has not.",
            lambda w: path_terms(w, density=0.0, direct=-1.0),
            latex=r"\mathbb{E}_\varepsilon\left[\partial_z \log p(x, z)\,(1,\ \varepsilon) - \nabla_{\mu,\sigma} \log q(z)\right]",
        ),
        Slip(
            2,
            "log q added",
            "It looks like log q has the wrong sign: the bound subtracts it.",
            lambda w: path_terms(w, density=1.0),
            latex=r"\mathbb{E}_\varepsilon\left[\partial_z (\log p(x, z) + \log q(z))\,(1,\ \varepsilon)\right]",
        ),
        Slip(
            3,
            "sign of the gap",
            "It looks like bound and gap were taken to rise together: their sum is fixed.",
            lambda w, h: differences(lambda v, law: KL(q, post).value(replace(v, q=law)).value)(w, h),
        ),
    ),
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


H16 = Derivation(
    "H16",
    "leave-one-out baselines are unbiased",
    draw=Choice.draw,
    assumptions="K >= 2 independent draws; f is not differentiated, z may be discrete",
    source="Kool, van Hoof and Welling 2019; Mnih and Rezende 2016",
    lines=(
        Line(
            r"\nabla_{a} \textstyle\sum_j p_j f_j, \quad p = \mathrm{softmax}(a)",
            mean_of_choice,
            step=2e-2,
            resolution=1e-3,
        ),
        Line(
            r"p_i \left(f_i - \textstyle\sum_j p_j f_j\right)",
            lambda w: w.probs * (w.values - w.probs @ w.values),
            reason="derivative of the softmax",
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k f_k\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f: f),
            reason="score function, H2, averaged over K = 3 draws",
        ),
        Line(
            r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k \left(f_k - \tfrac{1}{K-1} \sum_{j \ne k} f_j\right) \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, lambda f: f - leave_one_out(f)),
            reason="H9: the mean of the others is independent of z_k",
        ),
        Line(
            r"\mathbb{E}\left[\tfrac{1}{K-1} \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
            lambda w: over_draws(w, minus_mean) * NUM_DRAWS / (NUM_DRAWS - 1),
            reason="f_k less the others' mean is K/(K-1) times f_k less all",
        ),
    ),
    slips=(
        Slip(
            3,
            "own sample included",
            "It looks like the baseline contains its own sample: the gradient shrinks by (K - 1) / K.",
            lambda w: over_draws(w, minus_mean),
            latex=r"\mathbb{E}\left[\tfrac1K \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
        ),
        Slip(
            3,
            "sum over K",
            "It looks like the draws were summed, not averaged.",
            lambda w: over_draws(w, lambda f: f - leave_one_out(f), average=False),
        ),
        Slip(
            2,
            "score not normalized",
            "It looks like the softmax's normalizer was not differentiated: the score is one-hot minus p.",
            lambda w: over_draws(w, lambda f: f, centered=False),
        ),
        Slip(
            1,
            "mean not subtracted",
            "It looks like the normalizer of the softmax was held fixed.",
            lambda w: w.probs * w.values,
            latex=r"p_i f_i",
        ),
        Slip(
            4,
            "K for K - 1",
            "It looks like K stands for K - 1: the sum is one degree of freedom short.",
            lambda w: over_draws(w, minus_mean),
            latex=r"\mathbb{E}\left[\tfrac{1}{K} \textstyle\sum_k (f_k - \bar f)\, \nabla_{a} \log q(z_k)\right]",
        ),
    ),
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


H18 = Derivation(
    "H18",
    "difference quotients: how exact, at which step",
    draw=Hundredths.draw,
    assumptions="double precision, eps = 2.2e-16; f is three times differentiable, f and its third derivative of order one",
    source="Press et al., Numerical Recipes, section 5.7; Squire and Trapp 1998 for line 1",
    lines=(
        Line(
            r"\nabla_{\mu,\sigma}\, \mathrm{KL} = \left(\frac{\mu - \mu_p}{\sigma_p^2},\ \frac{\sigma}{\sigma_p^2} - \frac1\sigma\right)",
            lambda w: np.array([(w.q.loc - w.p.loc) / w.p.scale**2, w.q.scale / w.p.scale**2 - 1 / w.q.scale]),
            reason="by hand",
        ),
        Line(
            r"\tfrac1h\, \mathrm{Im}\, \mathrm{KL}(\mu + ih, \sigma + ih) \quad (h = 10^{-30})",
            without_subtraction,
            reason="exact to rounding: nothing is subtracted, as in autodiff",
        ),
        Line(
            r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h} + O(\epsilon^{2/3}), \quad h = \epsilon^{1/3}",
            lambda w: with_law(w, EPS ** (1 / 3)),
            reason="best step: truncation h^2 meets rounding eps / h",
        ),
        Line(
            r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h} + O(h^2), \quad h = 0.02",
            with_rounding,
            reason="Taylor: the even powers of h cancel",
            step=0.02,
            resolution=1e-3,
        ),
    ),
    slips=(
        Slip(
            2,
            "step too small",
            "It looks like the step is too small: nearly all digits of the difference cancel.",
            lambda w: with_law(w, 1e-13),
            latex=r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h}, \quad h = 10^{-13}",
        ),
        Slip(
            2,
            "step too large",
            "It looks like the step is too large: the curve bends between the two points.",
            lambda w: with_law(w, 0.3),
            latex=r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(-h)}{2h}, \quad h = 0.3",
        ),
        Slip(
            2,
            "one-sided",
            "It looks like a forward difference: its error is h f'' / 2, of first order.",
            lambda w: with_law(w, 1e-4, forward=True),
            latex=r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(0)}{h}, \quad h = 10^{-4}",
        ),
        Slip(
            3,
            "first order called second",
            "It looks like a forward difference, whose error is only halved when the step is halved.",
            lambda w, h: quotient(w, h, forward=True),
            latex=r"\frac{\mathrm{KL}(+h) - \mathrm{KL}(0)}{h}",
        ),
    ),
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


H19 = Derivation(
    "H19",
    "where f jumps, the pathwise gradient is wrong",
    draw=Jump.draw,
    assumptions="f(z) = 1[z > 0]; mu is not 0",
    source="Lee, Yu and Yang 2018; Mohamed et al. 2020, section 5",
    lines=(
        Line(
            r"\nabla_{\mu,\sigma}\, P(z > 0) = \nabla_{\mu,\sigma}\, \Phi(\mu / \sigma)",
            differences(lambda w, law: ndtr(law.loc / law.scale)),
            step=1e-2,
            resolution=1e-3,
        ),
        Line(
            r"N(0;\, \mu, \sigma^2)\,(1,\ -\mu / \sigma)",
            at_the_jump,
            reason="chain rule: the density at the jump",
            resolution=1e-3,
        ),
        Line(
            r"\mathbb{E}_{q}\left[1[z > 0]\, \nabla_{\mu,\sigma} \log q(z)\right]",
            above_zero,
            reason="score function, H2: f is not differentiated",
        ),
        Line(
            r"\lim_{\tau \to 0} \mathbb{E}_\varepsilon\left[\partial_z\, \mathrm{sigmoid}(z / \tau)\,(1,\ \varepsilon)\right]",
            smoothed,
            reason="smooth the jump, then pathwise, H1; error tau^2",
            step=0.02,
            resolution=1e-2,
        ),
        Line(
            r"\mathbb{E}_\varepsilon\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right] = (0,\ 0)",
            lambda w: np.zeros(2),
            reason="f' = 0 almost everywhere: the jump is not seen",
            relation="!=",
        ),
    ),
    slips=(
        Slip(
            4,
            "pathwise all the same",
            "It looks like the pathwise gradient was used where f jumps: the derivative misses the jump.",
            relation="=",
        ),
        Slip(
            1,
            "no 1/sigma",
            "It looks like the standard normal density was taken: that of z carries 1/sigma.",
            lambda w: at_the_jump(w) * w.q.scale,
        ),
        Slip(
            1,
            "sign of the scale's part",
            "It looks like widening q was taken to help: it moves mass over the jump away from the mean.",
            lambda w: at_the_jump(w) * np.array([1.0, -1.0]),
            latex=r"N(0;\, \mu, \sigma^2)\,(1,\ \mu / \sigma)",
        ),
        Slip(
            2,
            "pathwise",
            "It looks like f was differentiated: f' = 0 almost everywhere, and the jump carries the whole gradient.",
            lambda w: np.zeros(2),
            latex=r"\mathbb{E}_\varepsilon\left[f'(\mu + \sigma\varepsilon)\,(1,\ \varepsilon)\right]",
        ),
        Slip(
            3,
            "straight through",
            "It looks like f' = 1 was put in (straight through): that is the gradient of E[z], not of P(z > 0).",
            lambda w, tau: over_noise(lambda e: (1 + 0 * e, e)).value,
            latex=r"\mathbb{E}_\varepsilon\left[(1,\ \varepsilon)\right]",
        ),
    ),
)

CHAPTER: tuple[Derivation, ...] = (H1, H2, H4, H5, H7, H9, H10, H11, H12, H13, H16, H18, H19, H20)
