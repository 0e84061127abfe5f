r"""Chapter H, continued: what the score is, and what draws can be differentiated.

The mean and the spread of a score (H3), Stein's lemma (H6), when the score function beats the path (H8), draws of a
discrete law by Gumbel noise (H14), of a Gamma law without a formula for the draw (H15), and averages taken in closed
form (H17).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammainc

from vaelib.derivation import GENERIC, Derivation, derive
from vaelib.distributions import Categorical, Gamma, Normal
from vaelib.estimate import Estimate
from vaelib.formula import given, sampled, tex
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.spaces import Interval
from vaelib.formula.worlds import Law, Table
from vaelib.gradients import pathwise, score_function
from vaelib.ledger.h_gradients import Smooth
from vaelib.quadrature import trapezoid
from vaelib.witnesses import (
    STANDARD_NOISE,
    NormalPair,
    away_from_zero,
    generic_probabilities,
    generic_scale,
    moment_names,
    moment_parameters,
)

Array = np.ndarray
Rng = np.random.Generator


# --------------------------------------------------------------------------------------- the score of a Gaussian, H3


SCORE = r",\quad s = \frac{z - \mu}{\sigma^2},\quad t = \frac{(z - \mu)^2}{\sigma^3} - \frac{1}{\sigma}"
UNNORMALIZED = r",\quad s = \frac{z - \mu}{\sigma^2},\quad t = \frac{(z - \mu)^2}{\sigma^3}"
SLOPES = r"(\partial_\mu s,\ \partial_\sigma s,\ \partial_\sigma t)"

H3 = (
    derive(
        "H3",
        "the score has mean zero, and its spread is Fisher's information",
        lambda rng: NormalPair.draw(rng),  # generic ones alone: the steps suit scales of order one
        assumptions="q = N(mu, sigma^2); integral and derivative may be swapped, twice",
        source="Fisher 1925; Lehmann and Casella 1998, lemma 2.5.3",
    )
    .start(
        tex(
            r"\mathbb{E}_{q}\left[(s^2,\ s t,\ t^2)\right],"
            r"\quad s = \partial_\mu \log q(z),\quad t = \partial_\sigma \log q(z)"
        ),
        why="how strongly a draw pulls at mu and sigma, on average over what q draws",
        needs="z held fixed under the derivative",
    )
    .eq(
        tex(r"(\mathrm{Var}_{q}[s],\ \mathrm{Cov}_{q}(s, t),\ \mathrm{Var}_{q}[t])" + SCORE),
        "the mean is 0: the integral of grad q is grad of 1",
        why="second moments are variances",
        needs="q sums to 1 for every mu and sigma",
    )
    .slip(
        "normalizer forgotten",
        tex(r"\mathbb{E}_{q}\left[(s^2,\ s t,\ t^2)\right]" + UNNORMALIZED),
        "-1/sigma is missing: the normalizer of q depends on sigma; without it the score has mean 1/sigma.",
    )
    .eq(
        tex(rf"-\mathbb{{E}}_{{q}}\left[{SLOPES}\right]" + SCORE),
        "differentiate E[s] = 0: the density moves, too",
        why="by the product rule, the moving density gives the square of the score",
        needs="the second derivative may be taken under the integral",
    )
    .slip(
        "sign of the curvature",
        tex(rf"\mathbb{{E}}_{{q}}\left[{SLOPES}\right]" + SCORE),
        "the minus is missing: at its top a log-density bends downwards, and information is positive.",
    )
    .slip(
        "density held fixed",
        tex(r"(0,\ 0,\ 0)"),
        "the density was held fixed under the second derivative: then the mean of the curvature would be 0.",
    )
    .eq(
        tex(
            r"\mathbb{E}_{\varepsilon}\left[\left(\tfrac{1}{\sigma^2},\ \tfrac{2\varepsilon}{\sigma^2},"
            r"\ \tfrac{3\varepsilon^2 - 1}{\sigma^2}\right)\right]"
        ),
        "differentiate, then put in z = mu + sigma eps",
        why="moments of standard noise are known",
    )
    .eq(
        tex(r"\left(\tfrac{1}{\sigma^2},\ 0,\ \tfrac{2}{\sigma^2}\right)"),
        "E eps = 0, E eps^2 = 1",
        why="a narrow q has strong scores: this is the price of REINFORCE (H7)",
    )
    .slip(
        "scale like the mean",
        tex(r"\left(\tfrac{1}{\sigma^2},\ 0,\ \tfrac{1}{\sigma^2}\right)"),
        "mean and scale were given the same information: eps^2 - 1 has the variance 2.",
    )
    .slip(
        "information of the variance",
        tex(r"\left(\tfrac{1}{\sigma^2},\ 0,\ \tfrac{1}{2\sigma^4}\right)"),
        "1 / (2 sigma^4) belongs to the parameter sigma^2: here it is sigma.",
    )
)


# ------------------------------------------------------------------------------------------------- Stein's lemma, H6


H6 = (
    derive(
        "H6",
        "Stein's lemma: a Gaussian turns a product into a slope",
        Smooth.draw,
        assumptions="z ~ N(mu, sigma^2); f is differentiable and grows more slowly than exp(c z^2) for every c > 0",
        source="Stein 1981, lemma 1",
    )
    .start(tex(r"\mathrm{Cov}_{q}(z, f(z))"), why="how z and f(z) move together")
    .eq(
        tex(r"\mathbb{E}_{q}\left[(z - \mu)\, f(z)\right]"),
        "the mean of f is multiplied by E[z - mu] = 0",
        why="one of the two centered is enough",
    )
    .slip(
        "not centered",
        tex(r"\mathbb{E}_{q}\left[z\, f(z)\right]"),
        "mu was not subtracted: that adds mu E[f].",
    )
    .eq(
        tex(r"-\sigma^2 \int f(z)\, \partial_z q(z)\,dz"),
        "slope of the bell: q' = -(z - mu) q / sigma^2",
        why="ready for integration by parts",
    )
    .slip(
        "divided by the variance",
        tex(r"-\tfrac{1}{\sigma^2} \int f(z)\, \partial_z q(z)\,dz"),
        "sigma^2 is on the wrong side: (z - mu) q is -sigma^2 q'.",
    )
    .eq(
        tex(r"\sigma^2\, \mathbb{E}_{q}\left[f'(z)\right]"),
        "by parts: the derivative moves from q to f",
        why="so the score-function gradient in mu is the pathwise one (H1, H2)",
        needs="f q vanishes far out",
    )
    .slip(
        "sign of the parts",
        tex(r"-\sigma^2\, \mathbb{E}_{q}\left[f'(z)\right]"),
        "the minus of integration by parts was lost: a rising f moves along with z.",
    )
    .slip(
        "no variance",
        tex(r"\mathbb{E}_{q}\left[f'(z)\right]"),
        "sigma^2 was left out: the lemma in this form is for a standard normal z.",
    )
    .slip(
        "standard deviation",
        tex(r"\sigma\, \mathbb{E}_{q}\left[f'(z)\right]"),
        "the standard deviation was taken for the variance: that is E[eps f(mu + sigma eps)].",
    )
    .slip(
        "slope at the mean",
        tex(r"\sigma^2 f'(\mu)"),
        "the slope was taken at the mean: that is the first order for a small sigma (the delta method).",
    )
    .eq(
        tex(
            r"\sigma^2 \left(a_0\,\omega\, e^{-\omega^2\sigma^2/2} \cos(\omega\mu) + 2 a_2\,\mu"
            r" + 3 a_3 (\mu^2 + \sigma^2)\right)"
        ),
        "f = a_0 sin(wz) + a_2 z^2 + a_3 z^3: Gaussian moments",
        why="a check without an integral",
    )
)


# ------------------------------------------------------------------------------- where the score function wins, H8


@dataclass(frozen=True)
class Wave:
    """A Gaussian q and f(z) = cos(k z), of which q sees several periods: k sigma is at least two."""

    q: Normal
    k: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Wave:
        scale = generic_scale(rng) * {"narrow": 0.1, "wide": 5.0}.get(kind, 1.0)
        turns = rng.uniform(*{"near": (2.0, 2.3), "far": (3.6, 4.0)}.get(kind, (2.3, 3.6)))
        return cls(Normal(away_from_zero(rng, 0.3, 1.2), scale), float(turns / scale))

    def scope(self) -> Scope:
        """q = N(mu, sigma^2), the wave f and its slope; kappa = k sigma."""
        return Scope(
            worlds={"q": Law("z", self.q)},
            values={**moment_names(self.q), "k": self.k, r"\kappa": self.k * self.q.scale},
            maps={"f": Map(self.f), "f'": Map(self.slope)},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(self.q, lambda moved: replace(self, q=moved).scope()),
        )

    def f(self, z: Array) -> Array:
        return np.cos(self.k * z)

    def slope(self, z: Array) -> Array:
        return -self.k * np.sin(self.k * z)

    def spread(self, samples: Callable[[Array], Any]) -> Estimate:
        """The variance of a gradient in mu over the noise, by a fine grid."""

        def moments(e: Array) -> Array:
            g = samples(e).loc
            return np.exp(-(e**2) / 2)[:, None] / np.sqrt(2 * np.pi) * np.stack([g, g**2], axis=-1)

        found = trapezoid(moments, -9.5, 9.5, 400)
        mean, square = found.value
        return Estimate(square - mean**2, found.error[1] + 2 * abs(mean) * found.error[0])


ROOT_MEAN = r"k\,e^{-\kappa^2/2} \sin(k\mu)"
AGREED = rf"\left({ROOT_MEAN}\right)^2"
PATH_SPREAD = rf"\tfrac{{k^2}}{{2}} \left(1 - e^{{-2\kappa^2}} \cos(2k\mu)\right) - {AGREED}"
SCORE_SPREAD = rf"\tfrac{{1}}{{2\sigma^2}} \left(1 + (1 - 4\kappa^2)\, e^{{-2\kappa^2}} \cos(2k\mu)\right) - {AGREED}"

H8 = (
    derive(
        "H8",
        "where f oscillates, the score function has the smaller variance",
        Wave.draw,
        assumptions="f(z) = cos(k z); k sigma >= 2: q is wide enough to see several periods",
        source="Mohamed et al. 2020; Gal 2016",
    )
    .start(
        given(
            r"\mathrm{Var}\left[f'(\mu + \sigma\varepsilon)\right]",
            lambda w: w.spread(lambda e: pathwise(w.q, w.slope, e)),
        ),
        why="one pathwise sample of the gradient in mu, as the package computes it",
    )
    .eq(
        tex(PATH_SPREAD),
        "f' = -k sin(kz): E of sin and sin^2 of a Gaussian",
        why="the amplitude of f' grows with k, though that of f does not",
    )
    .slip(
        "slope of the same size as f",
        tex(rf"\tfrac12 \left(1 - e^{{-2\kappa^2}} \cos(2k\mu)\right) - {AGREED}"),
        "f' was taken to be as large as f: the chain rule brings the factor k.",
    )
    .gt(
        tex(SCORE_SPREAD),
        "the amplitude of f / sigma is smaller than that of f'",
        why="1/(2 sigma^2) against k^2/2, but for a remainder",
        needs="k sigma well above 1",
        gap=tex(r"\tfrac{\kappa^2 - 1}{2\sigma^2} - \tfrac{1 - 3\kappa^2}{2\sigma^2}\, e^{-2\kappa^2} \cos(2k\mu)"),
    )
    .slip(
        "pathwise always better",
        says="the pathwise estimator was taken to be better for every f: for an f that oscillates it is worse.",
        relation="<",
    )
    .slip(
        "same variance",
        says="two unbiased estimators were taken to have the same variance.",
        relation="=",
    )
    .eq(
        given(
            r"\mathrm{Var}\left[f(z)\, \partial_\mu \log q(z)\right]",
            lambda w: w.spread(lambda e: score_function(w.q, w.f, e)),
        ),
        "one sample of the score function, as the package computes it",
        why="values of f stay between -1 and 1, however large k is",
    )
    .slip(
        "score not divided by sigma",
        tex(rf"\tfrac12 \left(1 + (1 - 4\kappa^2)\, e^{{-2\kappa^2}} \cos(2k\mu)\right) - {AGREED}"),
        "the 1/sigma of the score was left out.",
    )
)


# ------------------------------------------------------------------------------------------------ Gumbel's noise, H14


@dataclass(frozen=True)
class Logits:
    """Five logits, of any level; to each, independent Gumbel noise is added, and the largest sum is chosen."""

    logits: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Logits:
        logits = np.log(generic_probabilities(rng, (5,)))
        logits *= {"narrow": 1.6, "wide": 0.2}.get(kind, 1.0)
        return cls(logits + {"far": 40.0}.get(kind, 1.0) * away_from_zero(rng, 0.3, 1.5))

    def scope(self) -> Scope:
        """Logits a; the line holds for each index k."""
        return Scope(
            values={"a": self.logits},
            ranges={"j": len(self.logits), "k": len(self.logits)},
            spaces={"t": Interval(-6.0, 50.0), "u": Interval(0.0, 45.0, hard_low=True)},
            every=("k",),
        )

    def chosen(self, noise: Array) -> Array:
        """One-hot of where logits + noise is largest, for noise of shape (n, K)."""
        return np.eye(len(self.logits))[np.argmax(self.logits + noise, axis=-1)]


def gumbel(rng: Rng, shape: tuple[int, ...]) -> Array:
    """-log(-log u) for uniform u."""
    return -np.log(rng.standard_exponential(shape))


COUNTED = r"\Pr\left(\operatorname{argmax}_j (a_j + g_j) = k\right)"

# A share of draws lies between 0 and 1: its variance is finite.
H14 = (
    derive(
        "H14",
        "Gumbel noise and a maximum draw from a softmax",
        Logits.draw,
        assumptions="independent g_j with P(g_j <= t) = exp(-e^-t), as -log(-log u) is for a uniform u",
        source="Gumbel 1954; Yellott 1977; Maddison, Tarlow and Minka 2014",
    )
    .start(
        sampled(COUNTED, lambda w, rng, n: w.chosen(gumbel(rng, (n, len(w.logits))))),
        why="noise, then a maximum; here counted in draws",
        needs="one noise for each j, independent",
        num_samples=40_000,
    )
    .eq(
        tex(r"\int e^{-t - e^{-t}} \prod_{j \ne k} e^{-e^{-(t + a_k - a_j)}}\,dt"),
        "given g_k = t, each other sum must stay below t + a_k",
        why="the density of one noise times the distribution functions of the rest",
    )
    .slip(
        "winner among its rivals",
        tex(r"\int e^{-t - e^{-t}} \prod_j e^{-e^{-(t + a_k - a_j)}}\,dt"),
        "k was compared with itself, too: the product runs over the others.",
    )
    .slip(
        "logits swapped",
        tex(r"\int e^{-t - e^{-t}} \prod_{j \ne k} e^{-e^{-(t + a_j - a_k)}}\,dt"),
        "a_j and a_k are swapped: a large a_k makes it easier for k to win.",
    )
    .slip(
        "Gaussian noise",
        sampled(COUNTED + r",\ g_j \sim N(0, 1)", lambda w, rng, n: w.chosen(rng.standard_normal((n, len(w.logits))))),
        "the noise was Gaussian: only Gumbel's gives the softmax.",
    )
    .slip(
        "one logarithm",
        sampled(
            COUNTED + r",\ g_j = -\log u_j",
            lambda w, rng, n: w.chosen(rng.standard_exponential((n, len(w.logits)))),
        ),
        "the noise was -log u: Gumbel's has one more logarithm, -log(-log u).",
    )
    .slip(
        "one noise for all",
        sampled(COUNTED + r",\ g_j = g", lambda w, rng, n: w.chosen(gumbel(rng, (n, 1)))),
        "all logits got the same noise: then the largest logit wins each time.",
    )
    .eq(
        tex(r"\int e^{-t} \exp\left(-e^{-t} \sum_j e^{a_j - a_k}\right) dt"),
        "collect the exponents; j = k is the noise itself",
        why="all logits in one sum",
    )
    .eq(
        tex(r"\frac{1}{\sum_j e^{a_j - a_k}} \int_0^\infty e^{-u}\,du"),
        "substitute u = e^-t times the sum",
        why="all that depends on the logits is outside",
    )
    .eq(
        tex(r"\frac{e^{a_k}}{\sum_j e^{a_j}}"),
        "the integral is 1; multiply above and below by e^(a_k)",
        why="the softmax: no normalizer was needed for the draw",
    )
    .slip(
        "not normalized",
        tex(r"\frac{e^{a_k}}{1 + \sum_j e^{a_j}}"),
        "1 was added to the sum: there is no further choice beside the j.",
    )
    .eq(
        given(r"q(k) \text{ of } \mathtt{Categorical}(a)", lambda w: Categorical(w.logits).probs),
        "the package's law with these logits",
    )
    .slip(
        "temperature two",
        tex(r"\frac{e^{a_k/2}}{\sum_j e^{a_j/2}}"),
        "logits at half their size: that is noise of twice the scale.",
    )
)


# ------------------------------------------------------------------------------- implicit reparameterization, H15


@dataclass(frozen=True)
class GammaDraw:
    """A Gamma law with shape a and rate 1, and f(z) = b z^2 + e^(-c z). At a >= 4 the density is smooth at 0, too."""

    a: float
    b: float
    c: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> GammaDraw:
        low, high = {"narrow": (4.0, 4.4), "wide": (9.0, 12.0), "far": (7.0, 9.0)}.get(kind, (4.4, 7.0))
        return cls(float(rng.uniform(low, high)), float(away_from_zero(rng, 0.3, 1.0)), float(rng.uniform(0.4, 0.9)))

    def scope(self) -> Scope:
        """The density p of z, its distribution function F, f and f'."""
        return Scope(
            worlds={"p": Law("z", Gamma(self.a, 1.0))},
            values={"a": self.a, "b": self.b, "c": self.c},
            maps={
                "f": Map(lambda z: self.b * z**2 + np.exp(-self.c * z)),
                "f'": Map(lambda z: 2 * self.b * z - self.c * np.exp(-self.c * z)),
                "F": Map(lambda z: gammainc(self.a, z)),
            },
            spaces={"z": Interval(1e-9, 70.0, hard_low=True)},
            parameters={"a": Parameter(self.a, lambda a: replace(self, a=float(a)).scope())},
        )


MOVES = r",\quad \dot z = -\frac{\partial_a F(z)}{p(z)}"

H15 = (
    derive(
        "H15",
        "a path without a formula for the draw: implicit reparameterization",
        GammaDraw.draw,
        assumptions="z ~ Gamma(a, 1), F its distribution function, p its density; f is differentiable",
        source="Figurnov, Mohamed and Mnih 2018; Jankowiak and Obermeyer 2018",
    )
    .start(
        tex(r"\partial_a\, \mathbb{E}_{p}[f(z)]"),
        why="no z = g(a, noise) is at hand for a Gamma law",
    )
    .eq(
        tex(r"\int f(z)\, \partial_a p(z)\,dz"),
        "derivative under the integral",
        why="f does not hold a",
        needs="an integrable bound on |f dp/da|",
    )
    .eq(
        tex(r"-\int f'(z)\, \partial_a F(z)\,dz"),
        "by parts in z: p is the slope of F",
        why="the derivative moves to f",
        needs="f dF/da vanishes at 0 and far out",
    )
    .slip(
        "sign of the parts",
        tex(r"\int f'(z)\, \partial_a F(z)\,dz"),
        "the minus of integration by parts was lost: a larger a moves z to the right, so F falls.",
    )
    .eq(
        tex(r"\mathbb{E}_{p}\left[f'(z)\, \dot z\right]" + MOVES),
        "multiply and divide by p(z): an expectation",
        why="how far a draw moves with a while its rank F(z) stays",
        needs="p(z) > 0",
    )
    .slip(
        "density forgotten",
        tex(r"\mathbb{E}_{p}\left[f'(z)\, \dot z\right],\quad \dot z = -\partial_a F(z)"),
        "the density below was left out: F(z) = u fixed means p dz = -dF/da da.",
    )
    .slip(
        "scaled like a mean",
        tex(r"\mathbb{E}_{p}\left[f'(z)\, \tfrac{z}{a}\right]"),
        "z was taken to be proportional to a: its mean is a, but its width grows as the root of a.",
    )
    .slip(
        "rank not held fixed",
        tex(r"\mathbb{E}_{p}\left[f(z)\, \dot z\right]" + MOVES),
        "f itself was multiplied by the motion of z: it is the slope of f that counts.",
    )
    .eq(
        tex(r"b\,(2a + 1) - \log(1 + c)\,(1 + c)^{-a}"),
        "f = b z^2 + e^(-cz): E f = b a (a + 1) + (1 + c)^-a",
        why="a check without an integral",
    )
    .slip(
        "second moment alone",
        tex(r"2 a\,b - \log(1 + c)\,(1 + c)^{-a}"),
        "E z^2 = a^2 was taken: the variance of z is a, so it is a^2 + a.",
    )
)


# ------------------------------------------------------------------------------------------------ Rao-Blackwell, H17


@dataclass(frozen=True)
class TwoStages:
    """A joint table of y (three values) and z (four), and f(y, z): an estimator that draws y, then z."""

    joint: Array
    values: Array  # f(y, z), (3, 4)

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> TwoStages:
        joint = generic_probabilities(rng, (12,)).reshape(3, 4)
        values = away_from_zero(rng, 0.4, 1.5) + away_from_zero(rng, 0.3, 2.0, (3, 4))
        if kind == "near":  # hardly any spread given y
            values = values.mean(axis=1, keepdims=True) + 0.05 * values
        elif kind != GENERIC:
            values = values * {"narrow": 0.1, "wide": 5.0, "far": 1.0}[kind] + {"far": 30.0}.get(kind, 0.0)
        return cls(joint, values)

    @classmethod
    def known_given_y(cls, rng: Rng) -> TwoStages:
        """f does not depend on z."""
        w = cls.draw(rng)
        return replace(w, values=np.tile(w.values[:, :1], (1, 4)))

    def scope(self) -> Scope:
        """p(y, z), and f."""
        return Scope(
            worlds={"p": Table(("y", "z"), self.joint)},
            maps={"f": Map(lambda y, z: self.values[y.astype(int), z.astype(int)], of=("y", "z"))},
        )


MEAN_GIVEN_Y = r"\mathbb{E}_{p(z \mid y)}[f(y, z)]"
OVERALL = r"\left(\mathbb{E}_{p(y, z)}[f(y, z)]\right)^2"
WITHIN = r"\mathbb{E}_{p(y)}\left[\mathrm{Var}_{p(z \mid y)}[f(y, z)]\right]"
BETWEEN = rf"\mathrm{{Var}}_{{p(y)}}\left[{MEAN_GIVEN_Y}\right]"

H17 = (
    derive(
        "H17",
        "an average in closed form lowers the variance: Rao-Blackwell",
        TwoStages.draw,
        assumptions="f has a second moment; the mean of f given y can be computed",
        source="Blackwell 1947; Casella and Robert 1996; Ranganath, Gerrish and Blei 2014 for gradients",
    )
    .start(tex(r"\mathrm{Var}_{p(y, z)}[f(y, z)]"), why="an estimator that draws y, and then z given y")
    .eq(
        tex(rf"\mathbb{{E}}_{{p(y)}}\left[\mathbb{{E}}_{{p(z \mid y)}}[f(y, z)^2]\right] - {OVERALL}"),
        "mean square less squared mean; first over z given y",
        why="the inner mean is one for each y",
    )
    .slip(
        "z drawn by itself",
        tex(rf"\mathbb{{E}}_{{p(y)}}\left[\mathbb{{E}}_{{p(z)}}[f(y, z)^2]\right] - {OVERALL}"),
        "z was drawn without regard to y: the inner mean is given y.",
    )
    .eq(
        tex(rf"{WITHIN} + \mathbb{{E}}_{{p(y)}}\left[\left({MEAN_GIVEN_Y}\right)^2\right] - {OVERALL}"),
        "mean square = variance + squared mean, for each y",
        why="the spread given y comes out",
    )
    .eq(
        tex(f"{WITHIN} + {BETWEEN}"),
        "the mean of the means is the mean of all",
        why="the law of total variance: within, and between",
    )
    .slip("only within", tex(WITHIN), "the means given y differ from y to y: their variance was left out.")
    .slip(
        "between subtracted",
        tex(f"{WITHIN} - {BETWEEN}"),
        "the variance of the means was subtracted: both parts add to the whole.",
    )
    .slip(
        "every y counted alike",
        tex(rf"\tfrac13 \sum_y \mathrm{{Var}}_{{p(z \mid y)}}[f(y, z)] + {BETWEEN}"),
        "the y were counted alike: each counts by its probability.",
    )
    .ge(
        tex(BETWEEN),
        "a variance is never negative",
        why="in place of f, its mean given y: same mean, less noise. The KL in closed form (H10) is such a step",
        needs="the mean given y is exact",
        gap=tex(WITHIN),
        equality=TwoStages.known_given_y,
    )
    .slip(
        "nothing gained",
        says="averaging over z was taken to change nothing: the spread of f given y is gone.",
        relation="=",
    )
    .slip(
        "more noise",
        says="the mean given y was taken to be noisier than f: it is f without the noise of z.",
        relation="<=",
    )
)

CHAPTER: tuple[Derivation, ...] = (H3, H6, H8, H14, H15, H17)
