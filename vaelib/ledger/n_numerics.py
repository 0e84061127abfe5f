r"""Chapter N: what the numbers of the course rest on.

A value that a computer gets wrong is compared with the same formula in fifty decimal digits, which none of the lines
below it shares. Where a slip lies in the arithmetic and not in the formula, it says in which floats it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.polynomial import hermite_e, polynomial
from scipy.special import gammaln, ndtr, roots_hermite, stdtr

from vaelib._special import log_sigmoid
from vaelib.derivation import derive
from vaelib.distributions import Normal, kl_divergence
from vaelib.formula import given, in_decimals, in_floats, sampled, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Interval
from vaelib.formula.typed import from_zero
from vaelib.formula.worlds import Law, Table
from vaelib.models import LinearGaussian
from vaelib.montecarlo import sample_mean, z_score
from vaelib.quadrature import gauss_hermite
from vaelib.witnesses import (
    away_from_zero,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator


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


textbook = tex(r"-\tfrac12\left(1 + \ell - \mu^2 - e^{\ell}\right)")

N1 = (
    derive(
        "N1",
        "a KL that is nearly zero keeps its digits",
        NearlyPrior.draw,
        assumptions="q = N(μ, e^ℓ), p = N(0, 1), |μ| and |ℓ| about 1e-4: the KL is about 1e-8",
        source="Kingma and Welling 2014, appendix B; Higham 2002, section 1.7, for the cancellation",
    )
    .start(in_decimals(textbook), why="the textbook's form, in 50 decimal digits")
    .eq(
        tex(r"\tfrac12 \mu^2 + \tfrac12 \sum_{n=2}^{8} \tfrac{\ell^n}{n!}"),
        "series of the exponential: 1 + ℓ cancels on paper",
        why="all that is left is small, so nothing cancels any more",
        needs="ℓ small: up to n = 8 all digits are there",
        relative=True,
    )
    .slip(
        "textbook form in float32",
        in_floats(textbook, np.float32),
        "the textbook's form was computed in single precision: near 1 it rounds by 6e-8, more than the whole KL.",
        real="the KL line of most VAE programs",
    )
    .slip(
        "clipped at zero",
        in_floats(tex(rf"\max\left(0, {textbook.latex}\right)"), np.float32),
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

    def scope(self) -> Scope:
        """f with its coefficients a_k, its remainder r, and the nodes u_i and weights w_i; with a prime those of the
        rule with one node less, t_i and v_i those of the rule for exp(-t^2)."""
        n = self.num_nodes
        nodes, weights = golub_welsch(n)
        fewer, their_weights = golub_welsch(n - 1)
        physicists, theirs = roots_hermite(n)
        return Scope(
            values={"n": n, "a": from_zero(self.coefficients), "u": nodes, "w": weights}
            | {"u'": fewer, "w'": their_weights, "t": physicists, "v": theirs},
            maps={"f": Map(self, ("u",)), "r": Map(self.remainder, ("u",))},
        )

    def remainder(self, u: Array) -> Array:
        """r(u) of degree below n in the division: polynomial = quotient He_n + r."""
        hermite = hermite_e.herme2poly(np.eye(self.num_nodes + 1)[-1])
        return polynomial.polyval(u, polynomial.polydiv(self.coefficients, hermite)[1])


def golub_welsch(n: int) -> tuple[Array, Array]:
    """Nodes: eigenvalues of the matrix with sqrt(1), ..., sqrt(n - 1) beside the diagonal; weights from its vectors."""
    beside = np.sqrt(np.arange(1.0, n))
    nodes, vectors = np.linalg.eigh(np.diag(beside, 1) + np.diag(beside, -1))
    return nodes, vectors[0] ** 2


N4 = (
    derive(
        "N4",
        "n Gauss-Hermite nodes are exact to degree 2n - 1",
        NodesAndPolynomial.draw,
        assumptions="f a polynomial of degree at most 2n - 1, u ~ N(0, 1); the nodes u_i are the zeros of Heₙ",
        source="Gauss 1814; Golub and Welsch 1969, for nodes and weights",
    )
    .start(tex(r"\int f(u)\,N(u;\, 0, 1)\,du"), why="the expectation, on a fine grid")
    .eq(
        tex(r"\sum_{j=0}^{n-1} a_{2j}\,(2j-1)!!"),
        "moments: E[uᵏ] = (k-1) E[uᵏ⁻²], odd ones are 0",
        why="the same number without any grid",
    )
    .slip(
        "odd moments counted",
        tex(r"\sum_{k=0}^{2n-1} a_k\,(k-1)!!"),
        "odd powers were given a moment: by symmetry E[u], E[u³], ... are 0.",
    )
    .slip(
        "factorial for double factorial",
        tex(r"a_0 + \sum_{j=1}^{n-1} a_{2j}\,(2j-1)!"),
        "(k-1)! was taken for (k-1)!!: E[u⁴] is 3 · 1, not 3 · 2 · 1.",
    )
    .eq(
        tex(r"\int r(u)\,N(u;\, 0, 1)\,du"),
        "divide, f = g Heₙ + r; Heₙ is orthogonal to g",
        why="r is of degree below n, as few as there are nodes",
        needs="g of degree below n, so f of degree below 2n",
    )
    .eq(tex(r"\sum_{i=1}^{n} w_i\,r(u_i)"), "n weights make any degree below n exact")
    .eq(
        tex(r"\sum_{i=1}^{n} w_i\,f(u_i)"),
        "at a node Heₙ is zero, so r and f agree",
        needs="the nodes are the zeros of Heₙ",
    )
    .slip(
        "one node too few",
        tex(r"\sum_{i=1}^{n-1} w'_i\,f(u'_i)"),
        "n - 1 nodes were taken: they are exact to degree 2n - 3 only.",
    )
    .slip(
        "nodes of another weight function",
        tex(r"\tfrac{1}{\sqrt{\pi}} \sum_{i=1}^{n} v_i\,f(t_i)"),
        "the nodes belong to exp(-u²): for a standard normal they must be stretched by √2.",
    )
    .slip(
        "equal weights",
        tex(r"\tfrac1n \sum_{i=1}^{n} f(u_i)"),
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

    def scope(self) -> Scope:
        """t and n; R = S / sigma with its law h; Phi, and Student's distribution functions F with n - 1 and n degrees."""
        n = self.num_samples
        return Scope(
            values={"t": self.threshold, "n": n},
            worlds={"h": Law("R", RatioOfScales(n - 1))},
            spaces={"R": Interval(0.0, 6.0, hard_low=True)},
            maps={
                r"\Phi": Map(ndtr),
                "F_{n-1}": Map(lambda t: stdtr(n - 1, t)),
                "F_n": Map(lambda t: stdtr(n, t)),
            },
        )


@dataclass(frozen=True)
class RatioOfScales:
    """The law of R = S / sigma: nu R^2 is chi-squared with nu degrees of freedom."""

    nu: int

    def log_prob(self, ratio: Array) -> Array:
        nu = self.nu
        constant = np.log(2) + nu / 2 * np.log(nu / 2) - gammaln(nu / 2)
        with np.errstate(divide="ignore"):
            return np.asarray(constant + (nu - 1) * np.log(ratio) - nu * ratio**2 / 2)


def numbers(w: SmallSamples, rng: Rng, n: int) -> Array:
    """n samples of `num_samples` Gaussian numbers, one in each column."""
    return w.loc + w.scale * rng.standard_normal((w.num_samples, n))


def share_beyond(w: SmallSamples, draws: Array, error: Any) -> Array:
    """1 where the mean of a column is further off than t of these errors."""
    return (np.abs(draws.mean(axis=0) - w.loc) > w.threshold * error).astype(float)


def by_package(w: SmallSamples, draws: Array, loc: Any) -> Array:
    """1 where the z-score of the package exceeds t."""
    return (np.abs(z_score(sample_mean(draws), loc)) > w.threshold).astype(float)


def without_root(w: SmallSamples, rng: Rng, n: int) -> Array:
    draws = numbers(w, rng, n)
    return share_beyond(w, draws, draws.std(axis=0, ddof=1))


def over_n(w: SmallSamples, rng: Rng, n: int) -> Array:
    draws = numbers(w, rng, n)
    return share_beyond(w, draws, draws.std(axis=0) / np.sqrt(w.num_samples))


def log_normal(w: SmallSamples, rng: Rng, n: int) -> Array:
    return by_package(w, np.exp(2.2 * rng.standard_normal((w.num_samples, n))), np.exp(2.2**2 / 2))


N5 = (
    derive(
        "N5",
        "how often a z-score exceeds a threshold",
        SmallSamples.draw,
        assumptions="n independent Gaussian numbers; for others with a finite variance, as n grows",
        source="Student 1908; Fisher 1925",
    )
    .start(
        tex(r"\mathbb{E}_{R \sim h}\left[2\,\Phi(-t R)\right]"),
        why="given R = S/σ, with its density h, the mean is Gaussian",
        needs="mean and S independent: the numbers are Gaussian",
    )
    .eq(
        tex(r"2\,F_{n-1}(-t)"),
        "a Gaussian over an independent S is Student's T",
        why="F with n - 1 degrees of freedom is in every library",
    )
    .slip(
        "n degrees of freedom",
        tex(r"2\,F_n(-t)"),
        "the estimated mean was not counted: n numbers leave n - 1 degrees of freedom for S.",
    )
    .slip("one tail", tex(r"F_{n-1}(-t)"), "only one side was counted: |z| > t on both sides.")
    .eq(
        sampled(
            r"\Pr\left(|z| > t\right),\quad z = \frac{\bar f - \mu}{S / \sqrt{n}}",
            lambda w, rng, n: by_package(w, numbers(w, rng, n), w.loc),
        ),
        "counted, with sample_mean and z_score of the package",
        exact=True,
        num_samples=40_000,
    )
    .slip(
        "standard deviation for standard error",
        sampled(r"\Pr\left(|z| > t\right),\quad z = \frac{\bar f - \mu}{S}", without_root),
        "the error bar lacks 1/√n: it shows how numbers scatter, not how their mean does.",
    )
    .slip(
        "n for n - 1 in the variance",
        sampled(r"\Pr\left(|z| > t\right),\quad S^2 = \tfrac1n \sum_i (f_i - \bar f)^2", over_n),
        "S was divided by n: around their own mean numbers scatter too little, so use n - 1.",
    )
    .slip(
        "true deviation for S",
        sampled(
            r"\Pr\left(|z| > t\right),\quad z = \frac{\bar f - \mu}{\sigma / \sqrt{n}}",
            lambda w, rng, n: share_beyond(w, numbers(w, rng, n), w.scale / np.sqrt(w.num_samples)),
        ),
        "σ was put for S: only a known σ makes z exactly Gaussian.",
    )
    .slip(
        "heavy-tailed numbers",
        sampled(r"\Pr\left(|z| > t\right),\quad f \text{ log-normal, } \log f \sim N(0,\, 2.2^2)", log_normal),
        "the numbers have heavy tails: rare huge ones carry the mean, and S does not know of them.",
    )
    .gt(
        tex(r"2\,\Phi(-t)"),
        "Jensen: R² has mean 1, and 2 Φ(-t √v) is convex in v",
        why="so a Gaussian threshold raises more false alarms than it says, until n is large",
        gap=tex(r"\mathbb{E}_{R \sim h}\left[2\,\Phi(-t R) - 2\,\Phi(-t)\right]"),
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

    def scope(self) -> Scope:
        """The values f_i with their law p(i), the mean mu, and the number S of draws."""
        return Scope(
            worlds={"p": Table(("i",), self.probabilities)},
            values={"f": self.values, r"\mu": self.probabilities @ self.values, "S": self.num_samples},
        )


def over_all_cases(w: FewDraws) -> float:
    """E[(mean of S - mu)^2] over all 4^S sequences of draws."""
    cases = np.array(list(product(range(w.values.size), repeat=w.num_samples)))
    return float(np.prod(w.probabilities[cases], axis=1) @ np.mean(w.centered[cases], axis=1) ** 2)


def squared_error(w: FewDraws, rng: Rng, n: int, more: int) -> Array:
    """(mean of `more` S draws - mu)^2, n times."""
    counts = rng.multinomial(more * w.num_samples, w.probabilities, size=n)
    return (counts @ w.centered / (more * w.num_samples)) ** 2


def stated_error(w: FewDraws, rng: Rng, n: int) -> Array:
    """The error bar that sample_mean puts beside a mean of S draws, n times."""
    return sample_mean(rng.choice(w.values, (w.num_samples, n), p=w.probabilities)).error


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
        tex(
            r"\tfrac{1}{S^2} \left[S\,\mathbb{E}_{i \sim p}\left[(f_i - \mu)^2\right]"
            r" + S(S-1) \left(\mathbb{E}_{i \sim p}\left[f_i - \mu\right]\right)^2\right]"
        ),
        "multiply out: S squares, S(S - 1) products",
        why="of two different draws only a product of means is left",
        needs="draws independent",
    )
    .slip(
        "one draw used S times",
        tex(r"\mathbb{E}_{i \sim p}\left[(f_i - \mu)^2\right]"),
        "all S draws are the same one: repeated, a draw says nothing new, and the error does not fall.",
    )
    .eq(
        tex(r"\tfrac{1}{S}\,\mathrm{Var}_{i \sim p}[f_i]"),
        "a deviation has mean 0: only the S squares remain",
        needs="Var f finite",
    )
    .slip(
        "error falls like 1/S",
        tex(r"\tfrac{1}{S^2}\,\mathrm{Var}_{i \sim p}[f_i]"),
        "the error itself was taken to fall like 1/S; its square does.",
    )
    .slip(
        "variance not divided",
        tex(r"\mathrm{Var}_{i \sim p}[f_i]"),
        "the scatter of one draw was taken for the error of the mean of S.",
    )
    .eq(
        sampled(
            r"4\,\mathbb{E}\left[(\bar f_{4S} - \mu)^2\right]", lambda w, rng, n: 4 * squared_error(w, rng, n, more=4)
        ),
        "4S for S: a quarter of the square, half the error",
        exact=True,
    )
    .slip(
        "twice the samples",
        sampled(
            r"4\,\mathbb{E}\left[(\bar f_{2S} - \mu)^2\right]", lambda w, rng, n: 4 * squared_error(w, rng, n, more=2)
        ),
        "doubling the samples should halve the error; it takes four times as many.",
    )
    .eq(
        sampled(
            r"\mathbb{E}\left[\mathtt{sample\_mean}(f_1, \ldots, f_S).\mathtt{error}^2\right]",
            lambda w, rng, n: stated_error(w, rng, n) ** 2,
        ),
        "the error bar estimates it, on average without bias",
        exact=True,
        num_samples=40_000,
    )
    .slip(
        "deviation for standard error",
        sampled(
            r"\mathbb{E}\left[S\,\mathtt{sample\_mean}(f_1, \ldots, f_S).\mathtt{error}^2\right]",
            lambda w, rng, n: w.num_samples * stated_error(w, rng, n) ** 2,
        ),
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
        return [Scope(values={r"\sigma": scale}) for scale in self.scale]


def stable_parameter(scale: Array) -> Array:
    return scale + np.log(-np.expm1(-scale))


inverse = r",\quad \rho = "

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
        in_decimals(tex(rf"\log\left(1 + e^{{\rho}}\right){inverse}\log\left(e^{{\sigma}} - 1\right)")),
        "softplus, and its inverse solved for ρ; in 50 digits",
        why="a network returns any real number ρ",
        needs="σ > 0",
    )
    .eq(
        tex(rf"\mathrm{{softplus}}(\rho){inverse}\sigma + \log\left(-\mathrm{{expm1}}(-\sigma)\right)"),
        "e^σ factored out; 1 - e^-σ is -expm1(-σ): no digit lost",
        why="in float64 from here on",
        relative=True,
    )
    .slip(
        "exponential, then minus one",
        in_floats(tex(rf"\mathrm{{softplus}}(\rho){inverse}\log(e^{{\sigma}} - 1)")),
        "e^σ was rounded before 1 was subtracted: a σ of 1e-12 keeps four digits, a smaller one none.",
    )
    .slip(
        "inverse of the exponential",
        tex(rf"\mathrm{{softplus}}(\rho){inverse}\log\sigma"),
        "ρ = log σ: that undoes an exponential, not a softplus.",
    )
    .slip(
        "factor lost",
        tex(rf"\mathrm{{softplus}}(\rho){inverse}\log\left(-\mathrm{{expm1}}(-\sigma)\right)"),
        "the factor e^σ was lost when it was taken out of the logarithm: it leaves a summand σ.",
    )
    .eq(
        tex(r"\max(\rho, 0) + \mathrm{log1p}(e^{-|\rho|})"),
        "the larger exponential factored out: no overflow",
        why="log1p keeps the digits of a tiny exponential",
        relative=True,
    )
    .slip(
        "one plus a tiny exponential",
        in_floats(tex(r"\log(1 + e^{\rho})")),
        "1 + e^ρ was rounded to 1 and a few digits: use log1p, or logaddexp.",
    )
    .slip(
        "exponential for softplus",
        tex(r"e^{\rho}"),
        "the exponential was applied to a parameter that was made for softplus.",
        real="public VAE programs: log-variance, log-scale and softplus mixed up",
    )
    .eq(
        given(r"-\log \mathrm{sigmoid}(-\rho)", lambda w: -log_sigmoid(-stable_parameter(w.scale))),
        "1 + e^ρ is 1 / sigmoid(-ρ); log_sigmoid of the package",
        relative=True,
    )
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

    def scope(self) -> Scope:
        """r."""
        return Scope(values={"r": self.ratio})

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
        tex(r"\log\frac{1 + r}{|1 - r|}"),
        "errors shrink by |1 - r|/(1 + r) a node, as n grows",
        why="so the rule should be about as wide as what it integrates",
        needs="a Gaussian posterior, and r not 1",
    )
    .slip(
        "ratio of scales",
        tex(r"\log\frac{1 + \sqrt{r}}{|1 - \sqrt{r}|}"),
        "r was taken to be a ratio of standard deviations; it is one of variances.",
    )
    .slip(
        "first neglected term only",
        tex(r"\log\frac{2 r}{|1 - r|}"),
        "only the first term that the rule gets wrong was counted; all later ones are as large.",
    )
    .slip(
        "two powers a node",
        tex(r"2 \log\frac{1 + r}{|1 - r|}"),
        "each node was credited with two factors, one for each power that it makes exact.",
    )
)

CHAPTER = (N1, N4, N5, N6, N7, N8)
