r"""Chapter N: what the numbers of the course rest on.

A value that a computer gets wrong is compared with the same formula in fifty decimal digits, which none of the lines
below it shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.polynomial import hermite_e, polynomial
from scipy.special import gammaln, ndtr, roots_hermite, stdtr

from vaelib.derivation import derive
from vaelib.distributions import Normal, kl_divergence
from vaelib.formula import given, sampled, tex
from vaelib.formula.scope import Scope
from vaelib.models import LinearGaussian
from vaelib.montecarlo import sample_mean, z_score
from vaelib.quadrature import gauss_hermite, gauss_legendre, trapezoid
from vaelib.witnesses import (
    away_from_zero,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator
DIGITS = 50


def in_decimals(f: Callable[..., Decimal], *numbers: Any) -> float:
    """f of exact copies of the numbers, computed in fifty decimal digits and rounded once, at the end."""
    with localcontext() as context:
        context.prec = DIGITS
        return float(f(*(Decimal(float(number)) for number in numbers)))


# ----------------------------------------------------------------------------- N1: a KL that is nearly zero


@dataclass(frozen=True)
class NearlyPrior:
    """An encoder's answer that is nearly N(0, 1), as for a latent that carries almost nothing."""

    loc: float
    scale: float

    @classmethod
    def draw(cls, rng: Rng) -> NearlyPrior:
        loc, change = away_from_zero(rng, 0.5, 2.0, (2,)) * 1e-4
        return cls(float(loc), float(np.exp(change / 2)))

    @property
    def log_variance(self) -> float:
        return float(2 * np.log1p(self.scale - 1))

    def scope(self) -> Scope:
        """mu, and the log-variance l."""
        return Scope(values={r"\mu": self.loc, r"\ell": self.log_variance})


def two_squares(w: NearlyPrior, terms: int = 7, sign: float = 1.0) -> float:
    """mu^2 / 2 + (l^2 / 2! + l^3 / 3! + ...) / 2, with `terms` terms of the series; all of them are small."""
    log_variance = w.log_variance
    series, power = 0.0, log_variance
    for k in range(2, terms + 2):
        power *= log_variance / k
        series += power
    return (sign * w.loc**2 + series) / 2


def textbook(w: NearlyPrior, kind: type = np.float32, clip: bool = False, sign: float = 1.0) -> float:
    """-(1 + l - mu^2 - e^l) / 2 as it is typed, in the precision `kind`."""
    m, log_variance = kind(w.loc), kind(w.log_variance)
    kl = -kind(0.5) * (kind(1) + log_variance - kind(sign) * m * m - np.exp(log_variance))
    return float(max(kl, kind(0)) if clip else kl)


N1 = (
    derive(
        "N1",
        "a KL that is nearly zero keeps its digits",
        NearlyPrior.draw,
        assumptions="q = N(μ, e^ℓ), p = N(0, 1), |μ| and |ℓ| about 1e-4: the KL is about 1e-8",
        source="Kingma and Welling 2014, appendix B; Higham 2002, section 1.7, for the cancellation",
    )
    .start(tex(r"-\tfrac12\left(1 + \ell - \mu^2 - e^{\ell}\right)"), why="the textbook's form, in 50 decimal digits")
    .eq(
        given(r"\tfrac12 \mu^2 + \tfrac12\left(\tfrac{\ell^2}{2!} + \tfrac{\ell^3}{3!} + \cdots\right)", two_squares),
        "series of the exponential: 1 + ℓ cancels on paper",
        relative=True,
    )
    .slip(
        "textbook form in float32",
        given(r"-\tfrac12\left(1 + \ell - \mu^2 - e^{\ell}\right) \text{ in float32}", textbook),
        "the textbook's form was computed in single precision: near 1 it rounds by 6e-8, more than the whole KL.",
        real="the KL line of most VAE programs",
    )
    .slip(
        "clipped at zero",
        given(r"\max\left(0,\ \text{the float32 value}\right)", partial(textbook, clip=True)),
        "a KL below zero was clipped: the rounding error is still there, it only no longer shows.",
    )
    .slip(
        "plus for minus before the squared mean",
        tex(r"-\tfrac12\left(1 + \ell + \mu^2 - e^{\ell}\right)"),
        "the sign of μ² is wrong: moving the mean away from 0 must cost, not pay.",
        real="published notes: + mu^2 in the closed form and in the objective",
    )
    .slip(
        "leading terms only",
        tex(r"\tfrac12 \mu^2 + \tfrac14 \ell^2"),
        "the series was cut after its first term: right to four digits here, and to none when ℓ is not small.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(Normal(w.loc, w.scale), Normal(0.0, 1.0)),
        ),
        "the same idea in the package, for any two Gaussians",
        relative=True,
    )
    .slip(
        "log-variance taken for a log-scale",
        tex(r"\mathrm{KL}\left(N(\mu, e^{2 \ell}) \,\Vert\, N(0, 1)\right)"),
        "e^ℓ was used as the standard deviation; it is the variance.",
        real="public VAE programs: exp(log_var) as standard deviation",
    )
)


# ------------------------------------------------------------------------------------- N4: Gauss-Hermite quadrature


@dataclass(frozen=True)
class NodesAndPolynomial:
    """A number of nodes n and a polynomial of degree 2 n - 1: the highest that n nodes integrate exactly."""

    num_nodes: int
    coefficients: Array  # of 1, u, u^2, ..., u^(2n - 1)

    @classmethod
    def draw(cls, rng: Rng) -> NodesAndPolynomial:
        n = 2 * int(rng.integers(2, 4))  # 4 or 6 nodes
        degrees = np.arange(2 * n)
        return cls(n, away_from_zero(rng, 0.4, 1.2, (2 * n,)) / np.exp(gammaln(1 + degrees / 2)))

    def __call__(self, u: Array) -> Array:
        return polynomial.polyval(u, self.coefficients)

    def remainder(self, u: Array) -> Array:
        """r(u) of degree below n in the division: polynomial = quotient He_n + r."""
        hermite = hermite_e.herme2poly(np.eye(self.num_nodes + 1)[-1])
        return polynomial.polyval(u, polynomial.polydiv(self.coefficients, hermite)[1])


def odd_factorial(k: int) -> float:
    """(k - 1)!! = (k - 1)(k - 3) ... 1: E[u^k] for even k."""
    return float(np.prod(np.arange(1, k, 2)))


def from_moments(w: NodesAndPolynomial, odd: bool = False, factorial: Callable[[int], float] = odd_factorial) -> float:
    """sum_k a_k E[u^k]; with `odd`, odd powers are given a moment, too."""
    degrees = range(w.coefficients.size)
    return float(sum(a * factorial(k) for k, a in zip(degrees, w.coefficients, strict=True) if odd or k % 2 == 0))


def golub_welsch(n: int) -> tuple[Array, Array]:
    """Nodes: eigenvalues of the matrix with sqrt(1), ..., sqrt(n - 1) beside the diagonal; weights from its vectors."""
    beside = np.sqrt(np.arange(1.0, n))
    nodes, vectors = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
    return nodes, vectors[0] ** 2


def on_nodes(f: Any, n: int) -> float:
    nodes, weights = golub_welsch(n)
    return float(weights @ f(nodes))


def physicists_nodes(w: NodesAndPolynomial) -> float:
    """The rule for exp(-u^2), taken for the one of the density exp(-u^2 / 2) / sqrt(2 pi)."""
    nodes, weights = roots_hermite(w.num_nodes)
    return float(weights @ w(nodes)) / float(np.sqrt(np.pi))


N4 = (
    derive(
        "N4",
        "n Gauss-Hermite nodes are exact to degree 2n - 1",
        NodesAndPolynomial.draw,
        assumptions="f a polynomial of degree at most 2n - 1, u ~ N(0, 1); the nodes u_i are the zeros of Heₙ",
        source="Gauss 1814; Golub and Welsch 1969, for nodes and weights",
    )
    .start(
        given(
            r"\int f(u)\,N(u;\, 0, 1)\,du",
            lambda w: trapezoid(lambda u: w(u) * np.exp(Normal(0.0, 1.0).log_prob(u)), -16, 16),
        ),
        why="the expectation, on a fine grid",
    )
    .eq(given(r"\sum_{k \text{ even}} a_k\,(k-1)!!", from_moments), "moments: E[uᵏ] = (k-1) E[uᵏ⁻²], odd ones are 0")
    .slip(
        "odd moments counted",
        given(r"\sum_{k} a_k\,(k-1)!!", partial(from_moments, odd=True)),
        "odd powers were given a moment: by symmetry E[u], E[u³], ... are 0.",
    )
    .slip(
        "factorial for double factorial",
        given(
            r"\sum_{k \text{ even}} a_k\,(k-1)!",
            partial(from_moments, factorial=lambda k: float(np.exp(gammaln(max(k, 1))))),
        ),
        "(k-1)! stands for (k-1)!!: E[u⁴] is 3 · 1, not 3 · 2 · 1.",
    )
    .eq(
        given(
            r"\int r(u)\,N(u;\, 0, 1)\,du,\quad f = g\,\mathrm{He}_n + r",
            lambda w: trapezoid(lambda u: w.remainder(u) * np.exp(Normal(0.0, 1.0).log_prob(u)), -16, 16),
        ),
        "divide; Heₙ is orthogonal to g, of degree below n",
    )
    .eq(
        given(r"\sum_{i=1}^{n} w_i\,r(u_i)", lambda w: on_nodes(w.remainder, w.num_nodes)),
        "n weights make any degree below n exact",
    )
    .eq(
        given(r"\sum_{i=1}^{n} w_i\,f(u_i)", lambda w: on_nodes(w, w.num_nodes)),
        "at a node Heₙ is zero, so r and f agree",
    )
    .slip(
        "one node too few",
        given(r"\sum_{i=1}^{n-1} w_i\,f(u_i)", lambda w: on_nodes(w, w.num_nodes - 1)),
        "n - 1 nodes were taken: they are exact to degree 2n - 3 only.",
    )
    .slip(
        "nodes of another weight function",
        given(r"\tfrac{1}{\sqrt{\pi}} \sum_{i=1}^{n} v_i\,f(t_i)", physicists_nodes),
        "the nodes belong to exp(-u²): for a standard normal they must be stretched by √2.",
    )
    .slip(
        "equal weights",
        given(r"\tfrac1n \sum_{i=1}^{n} f(u_i)", lambda w: float(np.mean(w(golub_welsch(w.num_nodes)[0])))),
        "a plain mean over the nodes: outer nodes must weigh as little as the density there.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{gauss\_hermite}",
            lambda w: gauss_hermite(w, 0.0, 1.0, n=w.num_nodes // 2).value,
        ),
        "the rule of the package, with as many nodes",
    )
)


# ------------------------------------------------------------------------------------- N5: z-scores of sample means


@dataclass(frozen=True)
class SmallSamples:
    """n Gaussian numbers at a time, and a threshold t for the z-score of their mean. n is small, so that it matters."""

    num_samples: int
    threshold: float
    loc: float
    scale: float

    @classmethod
    def draw(cls, rng: Rng) -> SmallSamples:
        loc, scale = away_from_zero(rng, 0.3, 1.5), generic_scale(rng)
        return cls(int(rng.integers(6, 13)), float(rng.uniform(1.7, 2.4)), float(loc), float(scale))


def averaged_over_scale(w: SmallSamples, lost: bool = False) -> Any:
    """E[2 Phi(-t S / sigma)], with (n - 1) S^2 / sigma^2 chi-squared with n - 1 degrees of freedom.

    With `lost`, by how much this exceeds 2 Phi(-t).
    """
    nu = w.num_samples - 1

    def weighted(ratio: Array) -> Array:  # ratio = S / sigma; its density is the chi density, rescaled
        log_density = np.log(2) + nu / 2 * np.log(nu / 2) - gammaln(nu / 2) + (nu - 1) * np.log(ratio)
        tails = 2 * (ndtr(-w.threshold * ratio) - (ndtr(-w.threshold) if lost else 0.0))
        return tails * np.exp(log_density - nu * ratio**2 / 2)

    return gauss_legendre(weighted, 0.0, 6.0)


def exceedances(
    w: SmallSamples,
    rng: Rng,
    n: int,
    *,
    known: bool = False,
    root: bool = True,
    ddof: int = 1,
    heavy: bool = False,
) -> Array:
    """1 where |z| > t, for n samples of `num_samples` numbers, with the z-score of the package.

    With a slip, z is spelled out: `known` puts sigma for S, not `root` S for S / sqrt(n), `heavy` draws numbers of a
    nearly infinite variance.
    """
    noise = rng.standard_normal((w.num_samples, n))
    if heavy:
        draws, mean = np.exp(2.2 * noise), np.exp(2.2**2 / 2)
    else:
        draws, mean = w.loc + w.scale * noise, w.loc
    if not known and root and ddof == 1:
        z = z_score(sample_mean(draws), mean)
    else:
        deviation = w.scale if known else draws.std(axis=0, ddof=ddof)
        z = (draws.mean(axis=0) - mean) / (deviation / np.sqrt(w.num_samples if root else 1))
    return (np.abs(z) > w.threshold).astype(float)


N5 = (
    derive(
        "N5",
        "how often a z-score exceeds a threshold",
        SmallSamples.draw,
        assumptions="n independent Gaussian numbers; for others with a finite variance, as n grows",
        source="Student 1908; Fisher 1925",
    )
    .start(
        given(r"\mathbb{E}\left[2\,\Phi(-t\,S / \sigma)\right]", averaged_over_scale),
        why="given S the mean is Gaussian: mean, S independent",
    )
    .eq(
        given(r"\Pr\left(|T_{n-1}| > t\right)", lambda w: 2 * stdtr(w.num_samples - 1, -w.threshold)),
        "a Gaussian over an independent S is Student's T",
    )
    .slip(
        "n degrees of freedom",
        given(r"\Pr\left(|T_n| > t\right)", lambda w: 2 * stdtr(w.num_samples, -w.threshold)),
        "the estimated mean was not counted: n numbers leave n - 1 degrees of freedom for S.",
    )
    .slip(
        "one tail",
        given(r"\Pr\left(T_{n-1} > t\right)", lambda w: stdtr(w.num_samples - 1, -w.threshold)),
        "only one side was counted: |z| > t on both sides.",
    )
    .eq(
        sampled(r"\Pr\left(|z| > t\right),\quad z = \frac{\bar f - \mu}{S / \sqrt{n}}", exceedances),
        "counted, with sample_mean and z_score of the package",
        num_samples=40_000,
    )
    .slip(
        "standard deviation for standard error",
        sampled(r"z = \frac{\bar f - \mu}{S}", partial(exceedances, root=False)),
        "the error bar lacks 1/√n: it shows how numbers scatter, not how their mean does.",
    )
    .slip(
        "n for n - 1 in the variance",
        sampled(r"S^2 = \tfrac1n \sum_i (f_i - \bar f)^2", partial(exceedances, ddof=0)),
        "S was divided by n: around their own mean numbers scatter too little, so use n - 1.",
    )
    .slip(
        "true deviation for S",
        sampled(r"z = \frac{\bar f - \mu}{\sigma / \sqrt{n}}", partial(exceedances, known=True)),
        "σ was put for S: only a known σ makes z exactly Gaussian.",
    )
    .slip(
        "heavy-tailed numbers",
        sampled(r"\Pr(|z| > t),\ f \text{ log-normal, } \log f \sim N(0,\, 2.2^2)", partial(exceedances, heavy=True)),
        "the numbers have heavy tails: rare huge ones carry the mean, and S does not know of them.",
    )
    .gt(
        given(r"2\,\Phi(-t)", lambda w: 2 * ndtr(-w.threshold)),
        "S too small is worse than S too large; large n: =",
        gap=partial(averaged_over_scale, lost=True),
    )
    .slip(
        "equal at every n",
        says="z was taken to be exactly Gaussian: with few samples S is uncertain, and |z| is large more often.",
        relation="=",
    )
)


# ------------------------------------------------------------------------------ N6: the error of a mean falls like 1/√S


@dataclass(frozen=True)
class FewDraws:
    """A quantity with four values, of known probabilities, of which S are drawn: so few that all cases can be listed."""

    probabilities: Array
    values: Array
    num_samples: int

    @classmethod
    def draw(cls, rng: Rng) -> FewDraws:
        values = away_from_zero(rng, 0.3, 3.0, (4,))
        return cls(generic_probabilities(rng, (4,)), values, int(rng.integers(3, 6)))

    @property
    def centered(self) -> Array:
        return self.values - self.probabilities @ self.values

    @property
    def variance(self) -> float:
        return float(self.probabilities @ self.centered**2)


def over_all_cases(w: FewDraws) -> float:
    """E[(mean of S - mu)^2] over all 4^S sequences of draws."""
    cases = np.array(list(product(range(w.values.size), repeat=w.num_samples)))
    return float(np.prod(w.probabilities[cases], axis=1) @ np.mean(w.centered[cases], axis=1) ** 2)


def over_pairs(w: FewDraws, repeated: bool = False) -> float:
    """S^-2 sum_s sum_t E[(f_s - mu)(f_t - mu)]; `repeated` takes one draw for all."""
    diagonal = w.variance
    crossed = diagonal if repeated else (w.probabilities @ w.centered) ** 2
    s = w.num_samples
    return (s * diagonal + s * (s - 1) * crossed) / s**2


def squared_error(w: FewDraws, rng: Rng, n: int, *, more: int = 4, factor: float = 4.0) -> Array:
    """factor (mean of `more` S draws - mu)^2, n times."""
    counts = rng.multinomial(more * w.num_samples, w.probabilities, size=n)
    return factor * (counts @ w.centered / (more * w.num_samples)) ** 2


def stated_error(w: FewDraws, rng: Rng, n: int, *, power: int = 2, root: bool = True) -> Array:
    """The square of the error bar that sample_mean puts beside a mean of S draws, n times."""
    draws = rng.choice(w.values, (w.num_samples, n), p=w.probabilities)
    error = sample_mean(draws).error * (1.0 if root else np.sqrt(w.num_samples))
    return error**power


N6 = (
    derive(
        "N6",
        "four times the samples, half the error",
        FewDraws.draw,
        assumptions="draws independent, Var f finite",
        source="Metropolis and Ulam 1949, for the method; the variance of a mean is much older",
    )
    .start(
        given(
            r"\mathbb{E}\left[(\bar f_S - \mu)^2\right],\quad \bar f_S = \tfrac1S \textstyle\sum_s f_s", over_all_cases
        ),
        why="all 4^S cases listed, with their probabilities",
    )
    .eq(
        given(r"\frac{1}{S^2} \sum_{s,t} \mathbb{E}\left[(f_s - \mu)(f_t - \mu)\right]", over_pairs),
        "multiply out; the expectation is linear",
    )
    .slip(
        "one draw used S times",
        given(r"\mathbb{E}\left[(f_1 - \mu)^2\right]", partial(over_pairs, repeated=True)),
        "all S draws are the same one: repeated, a draw says nothing new, and the error does not fall.",
    )
    .eq(
        given(r"\frac{\mathrm{Var}\,f}{S}", lambda w: w.variance / w.num_samples),
        "independence: only the S pairs with s = t remain",
    )
    .slip(
        "error falls like 1/S",
        given(r"\frac{\mathrm{Var}\,f}{S^2}", lambda w: w.variance / w.num_samples**2),
        "the error itself was taken to fall like 1/S; its square does.",
    )
    .slip(
        "variance not divided",
        given(r"\mathrm{Var}\,f", lambda w: w.variance),
        "the scatter of one draw stands for the error of the mean of S.",
    )
    .eq(
        sampled(r"4\,\mathbb{E}\left[(\bar f_{4S} - \mu)^2\right]", squared_error),
        "4S for S: a quarter of the square, half the error",
    )
    .slip(
        "twice the samples",
        sampled(r"4\,\mathbb{E}\left[(\bar f_{2S} - \mu)^2\right]", partial(squared_error, more=2)),
        "doubling the samples should halve the error; it takes four times as many.",
    )
    .eq(
        sampled(r"\mathbb{E}\left[\mathtt{sample\_mean}(f_1, \ldots, f_S).\mathtt{error}^2\right]", stated_error),
        "the error bar estimates it, on average without bias",
        num_samples=40_000,
    )
    .slip(
        "deviation for standard error",
        sampled(r"\mathbb{E}\left[S^2\right]", partial(stated_error, root=False)),
        "the error bar lacks 1/√S: it shows how single draws scatter.",
    )
)


# ------------------------------------------------------------------------------------- N7: scales that stay positive


@dataclass(frozen=True)
class Scales:
    """Standard deviations between 1e-12 and 50, as a decoder may be asked for."""

    scale: Array

    @classmethod
    def draw(cls, rng: Rng) -> Scales:
        edges = np.log([1e-12, 1e-8, 1e-4, 0.05, 0.8, 3.0, 20.0, 50.0])
        return cls(np.exp(rng.uniform(edges[:-1], edges[1:])))

    def members(self) -> list[Scope]:
        """Each scale sigma."""
        return [Scope(values={r"\sigma": scale, r"\rho": np.log(np.expm1(scale))}) for scale in self.scale]


def stable_parameter(scale: Array) -> Array:
    return scale + np.log(-np.expm1(-scale))


def exact_softplus(parameter: float) -> float:
    return in_decimals(lambda r: (1 + r.exp()).ln(), parameter)


N7 = (
    derive(
        "N7",
        "a positive scale from any real number, and back",
        Scales.draw,
        assumptions="σ > 0",
        source="Dugas et al. 2001 for softplus; Mächler 2012 for log(1 - e^-a)",
    )
    .start(tex(r"\sigma"))
    .eq(
        tex(r"\log\left(1 + e^{\rho}\right),\quad \rho = \log\left(e^{\sigma} - 1\right)"),
        "softplus, and its inverse solved for ρ; in 50 digits",
    )
    .eq(
        tex(r"\log\left(1 + e^{\rho}\right),\quad \rho = \sigma + \log\left(1 - e^{-\sigma}\right)"),
        "e^σ factored out; 1 - e^-σ is -expm1(-σ): no digit lost",
        relative=True,
    )
    .slip(
        "exponential, then minus one",
        given(
            r"\rho = \log(e^{\sigma} - 1) \text{ in float64}",
            lambda w: np.array([exact_softplus(r) for r in np.log(np.exp(w.scale) - 1)]),
        ),
        "e^σ was rounded before 1 was subtracted: a σ of 1e-12 keeps four digits, a smaller one none.",
    )
    .slip(
        "inverse of the exponential",
        given(r"\rho = \log \sigma", lambda w: np.array([exact_softplus(r) for r in np.log(w.scale)])),
        "ρ = log σ: that undoes an exponential, not a softplus.",
    )
    .slip(
        "factor lost",
        given(
            r"\rho = \log\left(1 - e^{-\sigma}\right)",
            lambda w: np.array([exact_softplus(r) for r in np.log(-np.expm1(-w.scale))]),
        ),
        "the factor e^σ was lost when it was taken out of the logarithm: it leaves a summand σ.",
    )
    .eq(
        tex(r"\max(\rho, 0) + \log\left(1 + e^{-|\rho|}\right)"),
        "the larger exponential factored out: no overflow",
        relative=True,
    )
    .slip(
        "one plus a tiny exponential",
        given(r"\log(1 + e^{\rho}) \text{ in float64}", lambda w: np.log(1 + np.exp(stable_parameter(w.scale)))),
        "1 + e^ρ was rounded to 1 and a few digits: use log1p, or logaddexp.",
    )
    .slip(
        "exponential for softplus",
        tex(r"e^{\rho}"),
        "the exponential was applied to a parameter that was made for softplus.",
        real="public VAE programs: log-variance, log-scale and softplus mixed up",
    )
    .eq(tex(r"-\log \mathrm{sigmoid}(-\rho)"), "1 + e^ρ is 1 / sigmoid(-ρ); log_sigmoid of the package", relative=True)
)


# -------------------------------------------------------------------- N8: a quadrature rule that is too narrow or too wide


@dataclass(frozen=True)
class MisfitRule:
    """A linear-Gaussian model with one latent, and a rule whose variance is r times that of the posterior."""

    model: LinearGaussian
    x: Array
    ratio: float

    @classmethod
    def draw(cls, rng: Rng) -> MisfitRule:
        model = LinearGaussian(
            away_from_zero(rng, 0.5, 1.3, (2, 1)), away_from_zero(rng, 0.3, 1.0, (2,)), generic_noise_variance(rng)
        )
        ratio = float(np.exp(away_from_zero(rng, 1.1, 1.9)))
        return cls(model, model.sample(1, rng=rng)[1][0], ratio)

    def relative_error(self, num_nodes: int) -> float:
        """Of the evidence as E_q[p(x, z) / q(z)], by a rule for q with an even number of nodes."""
        center = self.model.posterior(self.x)
        q = Normal(center.loc[0], np.sqrt(self.ratio * center.covariance[0, 0]))

        def log_weight(z: Array) -> Array:
            return self.model.log_joint(self.x, z[:, None]) - q.log_prob(z) - self.model.log_evidence(self.x)

        rule = gauss_hermite(lambda z: np.exp(log_weight(z)), float(q.loc), float(q.scale), n=num_nodes // 2)
        return float(rule.value) - 1


def digits_per_node(w: MisfitRule, step: float) -> float:
    """How fast -log |relative error| grows between n = 1 / step nodes and four more, for each node."""
    n = round(1 / step)
    return float(np.log(abs(w.relative_error(n) / w.relative_error(n + 4)))) / 4


N8 = (
    derive(
        "N8",
        "how fast Gauss-Hermite converges under a misfit",
        MisfitRule.draw,
        assumptions="Gaussian posterior; the rule sits on its mean with r = v_q / v_post times its variance, r not 1",
        source="measured here; Trefethen 2022 on what Gauss-Hermite quadrature can and cannot do",
    )
    .start(
        given(
            r"\tfrac14 \log\frac{|\epsilon_n|}{|\epsilon_{n+4}|},\quad \epsilon_n = \frac{1}{p(x)} \sum_{i=1}^{n} w_i\,\frac{p(x, z_i)}{q(z_i)} - 1",
            digits_per_node,
        ),
        why="measured on the errors of gauss_hermite, n = 16 to 36",
        step=1 / 16,
        order=1,
        resolution=0.05,
    )
    .eq(
        given(r"\log\frac{1 + r}{|1 - r|}", lambda w: np.log((1 + w.ratio) / abs(1 - w.ratio))),
        "errors shrink by (1 - r)/(1 + r) a node, as n grows",
    )
    .slip(
        "ratio of scales",
        given(
            r"\log\frac{1 + \sqrt{r}}{|1 - \sqrt{r}|}",
            lambda w: np.log((1 + np.sqrt(w.ratio)) / abs(1 - np.sqrt(w.ratio))),
        ),
        "r was taken to be a ratio of standard deviations; it is one of variances.",
    )
    .slip(
        "first neglected term only",
        given(r"\log\frac{2 r}{|1 - r|}", lambda w: np.log(2 * w.ratio / abs(1 - w.ratio))),
        "only the first term that the rule gets wrong was counted; all later ones are as large.",
    )
    .slip(
        "two powers a node",
        given(r"2 \log\frac{1 + r}{|1 - r|}", lambda w: 2 * np.log((1 + w.ratio) / abs(1 - w.ratio))),
        "each node was credited with two factors, one for each power that it makes exact.",
    )
)

CHAPTER = (N1, N4, N5, N6, N7, N8)
