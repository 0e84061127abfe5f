r"""Chapter G, continued: what is lost by not seeing z, how fast EM goes, and EM for other models.

The curvature of the evidence (G5) says how fast EM converges (G10). Ascent over several rounds (G3), and the M step of
factor analysis (G8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, Derivation, derive
from vaelib.em import GaussianMixture, mixture_bound, mixture_e_step, mixture_m_step
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.worlds import Decoder
from vaelib.ledger.g_em import MixtureData, evidence, free, labelled, later_evidence, rows
from vaelib.models import CurvedGaussian
from vaelib.witnesses import (
    CurvedWitness,
    away_from_zero,
    generic_loading,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator


# --------------------------------------------------------------------------------------------- Louis's identity, G5


@dataclass(frozen=True)
class Noise:
    """A model with a curved decoder and an observation; tau is the logarithm of the noise variance."""

    model: CurvedGaussian
    x: Array

    @classmethod
    def draw(cls, rng: Rng) -> Noise:
        w = CurvedWitness.draw(rng)
        return cls(w.model, w.x)

    def scope(self) -> Scope:
        """p(x, z) with noise variance c = e^tau, decoder f, and d pixels."""

        def moved(tau: Any) -> Scope:
            return replace(self, model=replace(self.model, noise_variance=float(np.exp(tau)))).scope()

        return Scope(
            worlds={"p": Decoder(self.model)},
            observed={"x": self.x},
            values={"c": self.model.noise_variance, "d": len(self.x)},
            maps={"f": Map(self.model.decoder, rank=1)},
            parameters={r"\tau": Parameter(np.log(self.model.noise_variance), moved)},
        )


AFTER_X = r"\mathbb{E}_{p(z \mid x)}"
SPREAD_AFTER_X = r"\mathrm{Var}_{p(z \mid x)}"

G5 = (
    derive(
        "G5",
        "Louis: the information in x is that in x and z, less what z would add",
        Noise.draw,
        assumptions="x | z ~ N(f(z), c I), tau = log c; two derivatives under the integral",
        source="Louis 1982; Orchard and Woodbury 1972",
    )
    .start(tex(r"-\partial_\tau^2 \log p(x)"), why="how sharply x tells tau: the curvature of the evidence")
    .eq(
        tex(r"\left(\partial_\tau \log p(x)\right)^2 - \frac{1}{p(x)} \int \partial_\tau^2\, p(x, z)\,dz"),
        "second derivative of a logarithm, under the integral",
        why="the joint comes in",
        needs="two derivatives with integrable bounds",
    )
    .slip(
        "square of the slope forgotten",
        tex(r"-\frac{1}{p(x)} \int \partial_\tau^2\, p(x, z)\,dz"),
        "(log p)'' is p''/p less the square of p'/p.",
    )
    .eq(
        tex(
            rf"\left({AFTER_X}[\partial_\tau \log p(x, z)]\right)^2"
            rf" - {AFTER_X}\left[\partial_\tau^2 \log p(x, z) + (\partial_\tau \log p(x, z))^2\right]"
        ),
        "Fisher's identity (G4); p'' = p ((log p)'' + (log p)'^2)",
        why="all of it means over the posterior",
    )
    .slip(
        "mean under the prior",
        tex(
            rf"\left({AFTER_X}[\partial_\tau \log p(x, z)]\right)^2"
            r" - \mathbb{E}_{p(z)}\left[\partial_\tau^2 \log p(x, z) + (\partial_\tau \log p(x, z))^2\right]"
        ),
        "z was drawn from the prior: it is what x says about z that counts.",
    )
    .eq(
        tex(rf"-{AFTER_X}[\partial_\tau^2 \log p(x, z)] - {SPREAD_AFTER_X}[\partial_\tau \log p(x, z)]"),
        "mean square less squared mean is a variance",
        why="complete information, less the missing one: not to see z can only cost",
    )
    .slip(
        "missing information added",
        tex(rf"-{AFTER_X}[\partial_\tau^2 \log p(x, z)] + {SPREAD_AFTER_X}[\partial_\tau \log p(x, z)]"),
        "the variance was added: that z is unknown makes tau less certain.",
    )
    .slip(
        "z taken as seen",
        tex(rf"-{AFTER_X}[\partial_\tau^2 \log p(x, z)]"),
        "the missing information was left out: that is the curvature of Q, as if z were seen.",
    )
    .slip(
        "not centered",
        tex(rf"-{AFTER_X}[\partial_\tau^2 \log p(x, z)] - {AFTER_X}\left[(\partial_\tau \log p(x, z))^2\right]"),
        "the mean square of the score was taken for its variance: away from the maximum its mean is not 0.",
    )
    .eq(
        tex(
            rf"\frac{{1}}{{2c}} {AFTER_X}\left[\|x - f(z)\|^2\right]"
            rf" - \frac{{1}}{{4c^2}} {SPREAD_AFTER_X}\left[\|x - f(z)\|^2\right]"
        ),
        "log p(x|z) = -(d/2) tau - |x - f|^2 e^-tau / 2 + const",
        why="the squared error, and how much it varies over the posterior",
    )
    .slip(
        "1/2 not squared",
        tex(
            rf"\frac{{1}}{{2c}} {AFTER_X}\left[\|x - f(z)\|^2\right]"
            rf" - \frac{{1}}{{2c^2}} {SPREAD_AFTER_X}\left[\|x - f(z)\|^2\right]"
        ),
        "the factor 1/(2c) of the score was not squared in the variance.",
    )
)


# ---------------------------------------------------------------------------------------- how fast EM converges, G10


@dataclass(frozen=True)
class OneWeight:
    """Two known clusters on the line, N = 30 observations, and one unknown: the weight of the first cluster."""

    loc: Array
    scale: Array
    x: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> OneWeight:
        """Where the best weight lies inside, and the order after the leading one does not vanish by chance."""
        while True:
            apart = {"near": 1.2, "far": 4.0}.get(kind, rng.uniform(1.6, 2.8))
            loc = np.array([0.0, apart]) + away_from_zero(rng, 0.3, 1.0)
            scale = generic_scale(rng, (2,)) ** 0.5
            first = rng.random(30) < rng.uniform(0.25, 0.75)
            x = np.where(first, loc[0], loc[1]) + np.where(first, scale[0], scale[1]) * rng.standard_normal(30)
            w = cls(loc, scale, x)
            if 0.1 < w.best < 0.9 and 1.6 < w.left(1 / 64) / w.left(1 / 128) < 2.5:
                return w

    def left(self, h: float) -> float:
        """What (M(a + h) - a) / h is off its limit, the mean of r (1 - r) over a (1 - a)."""
        a = self.best
        r = mixture_e_step(self.mixture(a), self.x[:, None])[:, 0]
        return float((self.round(a + h) - a) / h - np.mean(r * (1 - r)) / (a * (1 - a)))

    def mixture(self, weight: float) -> GaussianMixture:
        return GaussianMixture(np.array([weight, 1 - weight]), self.loc[:, None], self.scale)

    @property
    def densities(self) -> Array:
        """Of each point in each cluster, (N, 2)."""
        return np.exp(self.mixture(0.5).log_joint(self.x[:, None])) / 0.5

    @property
    def best(self) -> float:
        """The weight of maximum likelihood, by bisection of the slope, which falls."""
        f = self.densities
        low, high = 1e-9, 1 - 1e-9
        for _ in range(60):
            middle = (low + high) / 2
            slope = np.sum((f[:, 0] - f[:, 1]) / (middle * f[:, 0] + (1 - middle) * f[:, 1]))
            low, high = (middle, high) if slope > 0 else (low, middle)
        return (low + high) / 2

    def round(self, weight: Any) -> Any:
        """The weight after one round of EM, by the package's E step."""
        return mixture_e_step(self.mixture(float(weight)), self.x[:, None])[:, 0].mean()

    def scope(self) -> Scope:
        return self.at(0.0)

    def at(self, step: float) -> Scope:
        """The best weight a, densities f_i and g_i of point i in both clusters, and the round M of EM."""
        f, n = self.densities, len(self.x)
        return Scope(
            values={"a": self.best, "f": f[:, 0], "g": f[:, 1], "h": step, "N": n},
            ranges={"i": n},
            maps={"M": Map(np.vectorize(self.round, otypes=[float]), of=("a",))},
        )


SHARE = r",\quad r_i = \frac{a f_i}{a f_i + (1 - a) g_i}"
OBSERVED = r"J = \sum_i \frac{(f_i - g_i)^2}{(a f_i + (1 - a) g_i)^2}"
COMPLETE = r"C = \frac{N}{a (1 - a)}"

G10 = (
    derive(
        "G10",
        "EM keeps the fraction of information that is missing",
        OneWeight.draw,
        assumptions="two known clusters with densities f and g; the weight a is at its maximum inside (0, 1); h small",
        source="Dempster, Laird and Rubin 1977, section 3; McLachlan and Krishnan 2008, section 3.9",
    )
    .start(
        tex(r"\frac{M(a + h) - a}{h}"),
        why="what one round of EM leaves of a small error h: M is the package's E step, averaged over the data",
        step=1 / 64,
        order=1,
        resolution=0.05,
    )
    .eq(
        tex(r"\frac{1}{N a (1 - a)} \sum_i r_i (1 - r_i)" + SHARE),
        "first order in h; a is a fixed point of EM",
        why="the slope of a share r is r (1 - r) / (a (1 - a))",
        needs="a the maximum, so M(a) = a",
    )
    .slip(
        "only one share",
        tex(r"\frac{1}{N a (1 - a)} \sum_i r_i^2" + SHARE),
        "r (1 - r) was taken for r^2: a point that is sure of its cluster does not move.",
    )
    .slip(
        "share not differentiated in full",
        tex(r"\frac{1}{N a} \sum_i r_i (1 - r_i)" + SHARE),
        "the odds a / (1 - a) hold a twice: their log has the slope 1 / (a (1 - a)).",
    )
    .eq(
        tex(rf"1 - \frac{{J}}{{C}},\quad {OBSERVED},\quad {COMPLETE}"),
        "Louis (G5): missing = complete less observed",
        why="J: information in x; C: information in x and z together",
    )
    .slip(
        "fraction that is seen",
        tex(rf"\frac{{J}}{{C}},\quad {OBSERVED},\quad {COMPLETE}"),
        "the fraction that x shows was taken for the one that is missing: that is what a round removes.",
    )
    .slip(
        "quadratic",
        tex("0"),
        "EM was taken to converge like Newton's method: each round keeps a fixed fraction of the error.",
    )
    .gt(
        tex("0"),
        "each r lies between 0 and 1",
        why="linear convergence: slow where clusters overlap, fast where they lie apart",
        gap=tex(r"\frac{1}{N a (1 - a)} \sum_i r_i (1 - r_i)" + SHARE),
    )
    .slip("overshooting", says="a round was taken to jump over the maximum: it stays on its side.", relation="<")
)


# ------------------------------------------------------------------------------------------- several rounds of EM, G3


@dataclass(frozen=True)
class Rounds:
    """Points and a mixture to start from: a line has one entry for each of five rounds of EM."""

    start: MixtureData

    @classmethod
    def draw(cls, rng: Rng) -> Rounds:
        """Where no cluster shrinks to a single point: there the likelihood has no maximum."""
        while True:
            try:
                w = cls(MixtureData.draw(rng))
                if min(np.min(model.scale) for model in w.models) > 0.25:
                    return w
            except ValueError:
                continue

    @property
    def models(self) -> list[GaussianMixture]:
        """Before each of five rounds, and after the last; by the package's steps."""
        found = [self.start.model]
        for _ in range(5):
            found.append(mixture_m_step(self.start.x, mixture_e_step(found[-1], self.start.x)))
        return found

    def members(self) -> list[Scope]:
        """For each round: theta before it, theta' after it, and q*_i from its E step."""
        return [self.between(old, new) for old, new in zip(self.models[:-1], self.models[1:], strict=True)]

    def between(self, old: GaussianMixture, new: GaussianMixture) -> Scope:
        x = self.start.x
        shares = mixture_e_step(old, x)
        return Scope(
            worlds={r"p_\theta": labelled(old), r"p_{\theta'}": labelled(new), "q^*_": rows(shares)},
            values={"x": x, "r": shares, "N": len(x), "d": x.shape[1], "K": len(old.weights)},
            ranges={"i": len(x), "k": len(old.weights)},
        )

    def each(self, f: Any) -> Array:
        """f(model before, model after) of every round."""
        return np.array([f(old, new) for old, new in zip(self.models[:-1], self.models[1:], strict=True)])


MADE = r"v_k = \tfrac{1}{d N_k} \sum_i r_{ik} \|x_i - m_k\|^2,\ m_k = \tfrac{1}{N_k} \sum_i r_{ik} x_i,\ N_k = \sum_i r_{ik}"


def fitted(weight: str = r"\tfrac{N_k}{N}", variance: str = "v_k", mean: str = "m_k") -> str:
    """The evidence after an M step that is written out, in LaTeX."""
    return rf"\tfrac1N \sum_i \log \sum_k {weight}\,N(x_i; {mean}, {variance} I),\ {MADE}"


G3 = (
    derive(
        "G3",
        "the evidence never falls, round after round",
        Rounds.draw,
        assumptions="exact E and M steps of a Gaussian mixture; five rounds, one entry for each; values per example",
        source="Dempster, Laird and Rubin 1977, theorem 1; Wu 1983",
    )
    .start(tex(evidence), why="the evidence before the round")
    .eq(
        tex(free("q^*_i", r"\theta")),
        "E step: bound and evidence touch (G1)",
        why="q* is the posterior of this round",
    )
    .le(
        given(
            r"\tfrac1N \sum_i \mathcal{L}_i(q^*, \theta') \text{ by } \mathtt{mixture\_m\_step},\ \mathtt{mixture\_bound}",
            lambda w: w.each(lambda old, new: np.mean(mixture_bound(new, w.start.x, mixture_e_step(old, w.start.x)))),
        ),
        "M step: the best theta for this q* (G6)",
        why="the floor rises",
        gap=tex(r"\tfrac1N \sum_i \mathbb{E}_{q^*_i}\left[\log p_{\theta'}(x_i, z) - \log p_\theta(x_i, z)\right]"),
    )
    .slip("falling bound", says="the M step was taken to lower the bound: it maximizes it.", relation=">=")
    .le(
        tex(later_evidence),
        "KL is never negative",
        why="under the new theta the old q* is no longer the posterior: the evidence has risen at least as much",
        gap=tex(r"\tfrac1N \sum_i \mathrm{KL}(q^*_i \,\Vert\, p_{\theta'}(z \mid x_i))"),
    )
    .slip(
        "still touching",
        says="bound and evidence were taken to touch after the M step: q* has not been updated yet.",
        relation="=",
    )
    .eq(
        tex(fitted()),
        "theta', written out: shares, means, variances (G6)",
        why="this is the evidence that the next round starts from",
    )
    .slip(
        "variance not per dimension",
        tex(fitted(variance=r"d\,v_k")),
        "the squared distances were not divided by d: such a step can lower the evidence.",
    )
    .slip(
        "standard deviation for variance",
        tex(fitted(variance=r"\sqrt{v_k}")),
        "the standard deviation was put where the variance belongs.",
    )
    .slip(
        "weights left equal",
        tex(fitted(weight=r"\tfrac1K")),
        "the weights were not updated: they are the shares N_k / N.",
    )
)


# ------------------------------------------------------------------------------------------------ factor analysis, G8


@dataclass(frozen=True)
class Factors:
    """x = W z + noise with a variance for each pixel; N = 15 centered points (d = 4), and W, psi to start from (k = 2)."""

    x: Array  # (N, d)
    loading: Array  # (d, k)
    psi: Array  # (d,)

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Factors:
        raw = rng.standard_normal((15, 2)) @ generic_loading(rng, 4, 2).T
        raw = raw + generic_scale(rng, (4,)) * rng.standard_normal((15, 4))
        unit = {"narrow": 0.2, "wide": 5.0}.get(kind, 1.0)
        x = unit * (raw - raw.mean(axis=0))
        return cls(x, unit * generic_loading(rng, 4, 2), unit**2 * generic_scale(rng, (4,)))

    @property
    def moments(self) -> tuple[Array, Array]:
        """Of the posterior at the start: means of z for each point, (N, k), and their common covariance."""
        precision = np.eye(2) + self.loading.T @ (self.loading / self.psi[:, None])
        covariance = np.linalg.inv(precision)
        return self.x @ (self.loading / self.psi[:, None]) @ covariance, covariance

    def scope(self) -> Scope:
        """W and psi; Sigma-bar = mean of x x^T; m_i and V, the posterior's means and covariance."""
        means, covariance = self.moments
        n, d = self.x.shape
        return Scope(
            values={"x": self.x, "W": self.loading, r"\psi": self.psi, r"\bar\Sigma": self.x.T @ self.x / n}
            | {"m": means, "V": covariance, "N": n, "d": d, "k": means.shape[1]}
            | {r"\Psi": np.diag(self.psi)},
            ranges={"i": n, "j": d},
        )


STATISTICS = r"A = \tfrac1N \sum_i x_i m_i^\top,\ B = V + \tfrac1N \sum_i m_i m_i^\top"
WITHOUT_V = STATISTICS.replace("V + ", "")
NEW_W = r"W' = A B^{-1}"
ERROR = r"\bar\Sigma - 2 A W'^\top + W' B W'^\top"


def q_of(error: str, noise: str = r"\Psi", names: str = STATISTICS) -> Any:
    """Q up to a constant, in LaTeX: the errors R of a regression, each in units of its pixel's noise."""
    return tex(rf"-\tfrac12 \left[\log\det {noise} + \mathrm{{tr}}(({noise})^{{-1}} R)\right],\ R = {error},\ {names}")


BEST_ERROR = rf"\bar\Sigma - A W'^\top,\ {NEW_W}"
ANY_W = r"\bar\Sigma - 2 A W^\top + W B W^\top"
SHIFT = rf"(W - W')\,B\,(W - W')^\top,\ {NEW_W}"
BEST_NOISE = r"\mathrm{diag}(R)"

G8 = (
    derive(
        "G8",
        "M step of factor analysis: a noise variance for each pixel",
        Factors.draw,
        assumptions="x = W z + noise, z ~ N(0, I), noise N(0, Psi), Psi diagonal; x centered; m_i and V from the E step; constants left out",
        source="Rubin and Thayer 1982; Ghahramani and Hinton 1996",
    )
    .start(
        tex(
            r"-\tfrac12 \sum_j \left[\log\psi_j + \frac{1}{N \psi_j} \sum_i"
            r" \left((x_{ij} - (W m_i)_j)^2 + (W V W^\top)_{jj}\right)\right]"
        ),
        why="E[log p(x|z)] under the posteriors of the E step, per example: m_i is the mean of z, V its covariance",
    )
    .eq(
        q_of(ANY_W),
        "multiply out: three moments are left",
        why="A: x with z; B: z with z, which holds V",
        needs="E[z z'] = V + m m'",
    )
    .slip(
        "posterior covariance dropped",
        q_of(ANY_W, names=WITHOUT_V),
        "the posterior mean was taken for z itself: its uncertainty V belongs into E[z z'].",
    )
    .slip(
        "mixed term once",
        q_of(r"\bar\Sigma - A W^\top + W B W^\top"),
        "the mixed term lost its factor 2.",
    )
    .le(
        q_of(f"{ERROR},\\ {NEW_W}"),
        "a square is smallest at zero",
        why="the best W is the regression of x on z, whatever Psi",
        gap=tex(rf"\tfrac12 \mathrm{{tr}}(\Psi^{{-1}} R),\ R = {SHIFT},\ {STATISTICS}"),
    )
    .slip(
        "any loading as good",
        says="W was taken to be at its best before the step.",
        relation="=",
    )
    .eq(
        q_of(BEST_ERROR),
        "at W' = A B^-1 the last two terms are one",
        why="what the regression does not explain",
    )
    .slip(
        "old loading kept",
        q_of(r"\bar\Sigma - A W^\top"),
        "the old W was put in: the short form holds at the new one only.",
    )
    .le(
        q_of(BEST_ERROR, noise=BEST_NOISE),
        "u - 1 - log u is never negative, zero at u = 1",
        why="each pixel gets its own noise; EM for PCA (G7) gives all of them one",
        needs="no pixel is explained in full: it would have no best variance",
        gap=tex(
            r"\tfrac12 \left(\mathrm{tr}(U) - d - \log\det U\right),\ U = \Psi^{-1} \mathrm{diag}(R),"
            rf"\ R = {BEST_ERROR},\ {STATISTICS}"
        ),
    )
    .slip(
        "one variance for all pixels",
        tex(
            r"-\tfrac12 \left[d \log c + \tfrac1c \mathrm{tr}(R)\right],\ c = \tfrac1d \mathrm{tr}(R),"
            rf"\ R = {BEST_ERROR},\ {STATISTICS}"
        ),
        "one variance was given to all pixels: that is probabilistic PCA.",
    )
    .slip(
        "residuals of the mean alone",
        q_of(BEST_ERROR, noise=r"\mathrm{diag}(\bar\Sigma - 2 A W'^\top + W' (B - V) W'^\top)"),
        "the noise was fitted to x - W m: z is not m, so W V W' belongs to it.",
    )
    .slip("worse by a best variance", says="the update was taken to lower Q.", relation=">=")
    .eq(
        tex(rf"-\tfrac12 \log\det \mathrm{{diag}}(R) - \tfrac{{d}}{{2}},\ R = {BEST_ERROR},\ {STATISTICS}"),
        "each of the d quotients is 1",
        why="what is left to compare between rounds",
    )
    .slip(
        "no d",
        tex(rf"-\tfrac12 \log\det \mathrm{{diag}}(R) - \tfrac12,\ R = {BEST_ERROR},\ {STATISTICS}"),
        "the d ones were counted once.",
    )
    .slip(
        "full covariance of the noise",
        tex(rf"-\tfrac12 \log\det R - \tfrac{{d}}{{2}},\ R = {BEST_ERROR},\ {STATISTICS}"),
        "the noise was given a full covariance: then z has nothing left to explain.",
    )
)

CHAPTER: tuple[Derivation, ...] = (G3, G5, G8, G10)
