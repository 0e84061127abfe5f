r"""Chapter C, continued: what KL measures, what it does not, and when it is infinite.

Here are also two neighbors that the same notebook needs: the change of variables (A12), and Jensen's inequality for the
logarithm of an estimator (B4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import logsumexp, ndtr

from vaelib.derivation import derive
from vaelib.distributions import Categorical, Exponential, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import importance_weighted_bound
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Pieces
from vaelib.formula.tables import Independent
from vaelib.formula.worlds import Law, Mixture, Table
from vaelib.ledger.c_divergence import TablePair, package_divergence
from vaelib.ledger.d_entropy import side_by_side
from vaelib.models import DiscreteLatent
from vaelib.witnesses import (
    DiscreteWitness,
    MultivariatePair,
    NormalPair,
    away_from_zero,
    generic_probabilities,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator


# ------------------------------------------------------------------------------------------- A12: change of variables


@dataclass(frozen=True)
class TwoMaps:
    """y = exp(a z + b) of one Gaussian z, and y = A z + b of three; at five points z each."""

    law: Normal
    slope: float
    shift: float
    z: Array  # (5,)
    law3: MultivariateNormal
    matrix: Array  # (3, 3), not symmetric; its determinant has either sign
    shift3: Array
    z3: Array  # (5, 3)

    @classmethod
    def draw(cls, rng: Rng) -> TwoMaps:
        law, law3 = NormalPair.draw(rng).q, MultivariatePair.draw(rng, 3).q
        z = law.loc + law.scale * np.sort(rng.uniform(-1.6, 1.6, 5))
        z3 = law3.loc + rng.uniform(-1.5, 1.5, (5, 3))
        slope, shift = (float(away_from_zero(rng, low, high)) for low, high in ((0.4, 0.8), (0.3, 1.0)))
        return cls(law, slope, shift, z, law3, generic_matrix(rng, 3), away_from_zero(rng, 0.3, 1.0, (3,)), z3)

    @property
    def y(self) -> Array:
        return np.exp(self.slope * self.z + self.shift)

    def members(self) -> list[Scope]:
        """Of each map the density p_z, the points z, g with its Jacobian J_g, and h, the inverse of g, with J_h."""
        inverse = np.linalg.inv(self.matrix)

        def slope(z: Array) -> Array:
            return (self.slope * np.exp(self.slope * z + self.shift))[..., None, None]

        one = {
            "g": Map(lambda z: np.exp(self.slope * z + self.shift)),
            "h": Map(lambda y: (np.log(y) - self.shift) / self.slope),
            "J_g": Map(slope, rank=2),
            "J_h": Map(lambda y: (1 / (self.slope * y))[..., None, None], rank=2),
        }
        three = {
            "g": Map(lambda z: z @ self.matrix.T + self.shift3, rank=1),
            "h": Map(lambda y: (y - self.shift3) @ inverse.T, rank=1),
            "J_g": Map(lambda z: np.broadcast_to(self.matrix, (*z.shape, 3)), rank=2),
            "J_h": Map(lambda y: np.broadcast_to(inverse, (*y.shape, 3)), rank=2),
        }
        return [
            Scope(worlds={"p_z": Law("z", self.law)}, values={"z": self.z}, maps=one, ranges={"j": 1}),
            Scope(worlds={"p_z": Law("z", self.law3)}, values={"z": self.z3}, maps=three, ranges={"j": 3}),
        ]


def generic_matrix(rng: Rng, k: int) -> Array:
    """A square matrix, not symmetric, with singular values between 0.45 and 2.2 and no entry near zero."""
    while True:
        left, right = (np.linalg.qr(rng.standard_normal((k, k)))[0] for _ in range(2))
        matrix = left @ np.diag(np.exp(np.linspace(-0.8, 0.8, k) + rng.uniform(-0.1, 0.1, k))) @ right
        if np.all(np.abs(matrix) > 0.1) and np.abs(np.prod(np.diag(matrix))) < 0.5:
            return matrix


def log_density_of_y(w: TwoMaps, h: float) -> Array:
    """One dimension: log of the slope of P(Y <= y). Three: the Gaussian with mean A m + b and covariance A S A^T."""

    def at_most(y: Array) -> Array:
        z = (np.log(y) - w.shift) / w.slope
        below = ndtr((z - w.law.loc) / w.law.scale)
        return below if w.slope > 0 else 1 - below  # a falling map turns the order around

    slope = (at_most(w.y * (1 + h)) - at_most(w.y * (1 - h))) / (2 * h * w.y)
    law_of_y = MultivariateNormal(w.matrix @ w.law3.loc + w.shift3, w.matrix @ w.law3.covariance @ w.matrix.T)
    return np.array([np.log(slope), law_of_y.log_prob(w.z3 @ w.matrix.T + w.shift3)])


def small_cubes(w: TwoMaps, h: float) -> Array:
    """log p_z(z) - log |det| of the Jacobian by central differences."""
    rise = (np.exp(w.slope * (w.z + h) + w.shift) - np.exp(w.slope * (w.z - h) + w.shift)) / (2 * h)
    steps = h * np.eye(3)
    columns = [((w.z3 + e) @ w.matrix.T - (w.z3 - e) @ w.matrix.T) / (2 * h) for e in steps]  # one for each coordinate
    stretch = np.array([np.log(np.abs(rise)), np.linalg.slogdet(np.stack(columns, axis=-1))[1]])
    return np.array([w.law.log_prob(w.z), w.law3.log_prob(w.z3)]) - stretch


A12 = (
    derive(
        "A12",
        "change of variables",
        TwoMaps.draw,
        assumptions="g smooth and invertible; here y = exp(a z + b) in one dimension, y = A z + b in three",
        source="Bishop 2006, section 1.2.1; Rezende and Mohamed 2015, equation (5)",
    )
    .start(
        given(r"\log p_y(y),\quad y = g(z)", log_density_of_y),
        why="the slope of P(Y ≤ y), by differences; in three dimensions a Gaussian",
        step=1 / 8192,
        order=2,
    )
    .eq(
        tex(r"\log p_z(h(y)) + \log|\det J_h(y)|,\quad y = g(z) \quad \forall z"),
        "mass is kept: p_y(y) |dy| = p_z(z) |dz|",
        exact=True,
        why="differentiate P(Y ≤ y) by the chain rule; h is the inverse of g",
        needs="g smooth and invertible",
    )
    .slip(
        "minus with the inverse",
        tex(r"\log p_z(h(y)) - \log|\det J_h(y)|"),
        "the minus of log |det J of g| was kept for the inverse map, whose Jacobian enters with a plus.",
    )
    .eq(
        tex(r"\log p_z(z) - \log|\det J_g(z)|"),
        "Jacobian of the inverse = inverse of the Jacobian",
        why="no inverse map needed: $\\det A^{-1} = 1 / \\det A$",
        needs="det J of g is not 0",
    )
    .slip(
        "Jacobian forgotten",
        tex(r"\log p_z(z)"),
        "the density was carried over like a height: where g stretches, the density gets thinner.",
    )
    .slip(
        "plus the log-determinant",
        tex(r"\log p_z(z) + \log|\det J_g(z)|"),
        "the sign belongs to the inverse map: with the Jacobian of g it is a minus.",
    )
    .slip(
        "diagonal for the determinant",
        tex(r"\log p_z(z) - \sum_j \log|(J_g(z))_{jj}|"),
        "the diagonal entries were multiplied: that is the determinant of a triangular matrix only.",
    )
    .eq(
        given(r"\log p_z(z) - \log|\det \tfrac{1}{2h}(g(z + h e_j) - g(z - h e_j))_j|", small_cubes),
        "the Jacobian says how g stretches a small cube",
        step=1 / 8192,
        order=2,
    )
)


# ----------------------------------------------------------------- B4: the logarithm of an estimate is too small on average


class ThreeDraws(DiscreteWitness):
    """A model with tables and an observation; a line averages over three draws z_1, z_2, z_3 of the prior."""

    @classmethod
    def without_z(cls, rng: Rng) -> ThreeDraws:
        """A model whose z says nothing about x: the estimate is exact after one draw."""
        w = cls.draw(rng)
        return cls(DiscreteLatent(w.model.prior, np.tile(w.model.likelihood[:1], (4, 1))), w.x, w.q)

    @property
    def draws(self) -> Independent:
        """The law of z = (z_1, z_2, z_3)."""
        return Independent("z", np.tile(self.model.prior, (3, 1)))

    def scope(self) -> Scope:
        """As that of a model with tables; a mean without a law is over the three draws, pi(z) = p(z_1) p(z_2) p(z_3)."""
        scope = super().scope()
        return replace(scope, worlds={**scope.worlds, r"\pi": self.draws}, laws={"": r"\pi(z)"}, ranges={"s": 3})


def expected_bound(w: ThreeDraws) -> float:
    """The mean of what the package makes of three draws, over all of them."""
    states = w.draws.states
    return float(
        w.model.prior[states].prod(axis=1) @ importance_weighted_bound(np.log(w.model.likelihood[states, w.x]), axis=1)
    )


ESTIMATE = r",\quad \hat p = \tfrac13 \sum_s p(x \mid z_s)"


B4 = (
    derive(
        "B4",
        "the logarithm of an unbiased estimate is biased down",
        ThreeDraws.draw,
        assumptions="z_1, z_2, z_3 drawn from p(z), p(x|z) > 0; equal only if p(x|z) is the same for every z",
        source="Jensen 1906; Burda, Grosse and Salakhutdinov 2016, theorem 1",
    )
    .start(tex(r"\log p(x)"), why="what we want")
    .eq(
        tex(r"\log \mathbb{E}[\hat p]" + ESTIMATE),
        "unbiased: each p(x|z) has the mean p(x)",
        why="what three draws of the prior estimate",
        needs="every draw from p(z)",
    )
    .ge(
        tex(r"\mathbb{E}[\log \hat p]"),
        "Jensen (C2): the mean of log is at most the log of the mean",
        why="what one sees when the logarithm is reported",
        needs="equal only if p(x|z) is the same for every z",
        gap=tex(r"\mathbb{E}\left[\frac{\hat p}{p(x)} - 1 - \log\frac{\hat p}{p(x)}\right]" + ESTIMATE),
        equality=ThreeDraws.without_z,
    )
    .slip(
        "unbiased logarithm",
        says="E and log were swapped: the estimate is unbiased, its logarithm is not.",
        relation="=",
    )
    .slip(
        "biased upwards",
        says="Jensen was used for a convex function: the logarithm is concave, so the bias points down.",
        relation="<=",
    )
    .slip(
        "always biased",
        says="the case of equality was forgotten: where z says nothing about x, one draw is exact.",
        relation=">",
    )
    .slip(
        "mean of the logarithms",
        tex(r"\mathbb{E}\left[\tfrac13 \sum_s \log p(x \mid z_s)\right]"),
        "the logarithms were averaged: log of the mean of three weights is not the mean of three logs.",
    )
    .eq(
        given(
            r"\mathbb{E}[\text{what } \mathtt{importance\_weighted\_bound} \text{ returns}],\quad q = p(z)",
            expected_bound,
        ),
        "the same in the package",
    )
    .slip(
        "sum for the mean",
        tex(r"\mathbb{E}\left[\log \sum_s p(x \mid z_s)\right]"),
        "the three weights were added and not averaged: that is off by log 3.",
    )
    .ge(
        tex(r"\mathbb{E}_{p(z)}[\log p(x \mid z)]"),
        "Jensen inside each draw: one sample is worse than three",
        why="the bound of a single draw",
        needs="equal only if p(x|z) is the same for every z",
        gap=tex(r"\mathbb{E}\left[\tfrac13 \sum_s \log\frac{\hat p}{p(x \mid z_s)}\right]" + ESTIMATE),
        equality=ThreeDraws.without_z,
    )
)


# ------------------------------------------------------------------------------------------------------ C11: Pinsker


AHEAD = (  # the mass of A = {p > q} under p and under q
    r",\quad a = \sum_i \mathbb{1}[p_i > q_i]\,p_i,\quad b = \sum_i \mathbb{1}[p_i > q_i]\,q_i"
)


C11 = (
    derive(
        "C11",
        "Pinsker's inequality: a small KL means a small difference",
        partial(TablePair.draw, shape=(5,)),
        assumptions="TV is half the sum of |p - q|; KL in nats; q > 0 wherever p > 0",
        source="Pinsker 1964; Cover and Thomas 2006, lemma 11.6.1",
    )
    .start(
        tex(r"2\,\mathrm{TV}^2,\quad \mathrm{TV} = \tfrac12 \sum_i |p_i - q_i|"),
        why="TV is the largest difference in the probability of any event",
    )
    .eq(
        tex(r"2\,(a - b)^2" + AHEAD),
        "p - q sums to 0: as much above as below",
        why="two groups are enough: A, where p > q, and the rest",
    )
    .slip(
        "TV without 1/2",
        tex(r"2 \left(\sum_i |p_i - q_i|\right)^2"),
        "the sum of |p - q| was taken whole: it counts each difference twice, above and below.",
    )
    .eq(
        tex(r"\int_b^a 4\,(a - t)\,dt"),
        "area of a triangle",
        why="an integrand to compare with",
    )
    .le(
        tex(r"\int_b^a \frac{a - t}{t\,(1 - t)}\,dt"),
        "t (1 - t) is at most 1/4",
        why="this one has a known integral",
        needs="0 < b < a < 1",
        gap=tex(r"\int_b^a \frac{(a - t)\,(1 - 2t)^2}{t\,(1 - t)}\,dt" + AHEAD),
    )
    .slip(
        "at most 1/2",
        tex(r"\int_b^a 2\,(a - t)\,dt"),
        "t (1 - t) was bounded by 1/2: its largest value is 1/4, and then half of the bound is given away.",
    )
    .eq(
        tex(r"a \log\frac{a}{b} + (1 - a) \log\frac{1 - a}{1 - b}"),
        "integrate: (a - t)/(t (1 - t)) = a/t - (1 - a)/(1 - t)",
        why="the KL of two coins",
    )
    .le(
        tex(r"\sum_i p_i \log\frac{p_i}{q_i}"),
        "chain rule (C6): what is lost inside A and outside",
        why="the KL inside each group is not negative (C1)",
        needs="q > 0 wherever p > 0",
        gap=tex(
            r"\sum_i \mathbb{1}[p_i > q_i]\,p_i \log\frac{p_i / a}{q_i / b} "
            r"+ \sum_i \mathbb{1}[p_i \le q_i]\,p_i \log\frac{p_i / (1 - a)}{q_i / (1 - b)}" + AHEAD
        ),
    )
    .slip(
        "grouping loses nothing",
        says="two groups were taken for the whole: inside each group p and q still differ.",
        relation="=",
    )
    .slip(
        "grouping gains",
        says="merging states was taken to add information: what is merged can only look more alike.",
        relation=">=",
    )
    .eq(
        given(r"\mathrm{KL}(p \,\Vert\, q)", lambda w: package_divergence(w.p, w.q)),
        "definition of KL, as computed by the package",
        needs="nats: in bits the constant is another",
    )
    .slip(
        "bits for nats",
        tex(r"\sum_i p_i \log_2\frac{p_i}{q_i}"),
        "KL is in bits: Pinsker's 2 goes with nats, a bit is log 2 = 0.69 nats.",
    )
)


# ------------------------------------------------------------------------------------- C17: the best Gaussian, forward


@dataclass(frozen=True)
class MixtureAndGaussians:
    """A mixture p of two Gaussians, and six Gaussians q that are to approximate it; none of them is the best one."""

    weight: float  # of the first component
    loc: Array  # (2,)
    scale: Array  # (2,)
    q_loc: Array  # (6,)
    q_scale: Array  # (6,)

    @classmethod
    def draw(cls, rng: Rng) -> MixtureAndGaussians:
        weight = float(rng.choice([0.3, 0.7]) + rng.uniform(-0.1, 0.1))
        loc = np.array([-1.0, 1.0]) * rng.uniform(0.9, 1.8, 2) + away_from_zero(rng, 0.3, 0.6)
        q_loc, q_scale = away_from_zero(rng, 0.3, 1.5, (6,)), np.exp(rng.uniform(0.2, 0.9, 6))
        return cls(weight, loc, generic_scale(rng, (2,)), q_loc, q_scale)

    @property
    def weights(self) -> Array:
        return np.array([self.weight, 1 - self.weight])

    @property
    def mean(self) -> float:
        return float(self.weights @ self.loc)

    @property
    def variance(self) -> float:
        """Mean of the variances + variance of the means."""
        return float(self.weights @ (self.scale**2 + (self.loc - self.mean) ** 2))

    @property
    def matched(self) -> Normal:
        return Normal(self.mean, np.sqrt(self.variance))

    def log_prob(self, z: Array) -> Array:
        parts = Normal(self.loc, self.scale).log_prob(np.asarray(z)[..., None])
        return np.asarray(logsumexp(np.log(self.weights) + parts, axis=-1))

    def scope(self) -> Scope:
        """The mixture p with its moments m and v; q_j = N(mu_j, sigma_j^2), a line for each; p^* = N(m, v).

        The parts of p have the weights w_i, centers a_i and scales s_i, the heavier part first.
        """
        low, high = np.min(self.loc - 12 * self.scale), np.max(self.loc + 12 * self.scale)
        p = Mixture("z", self.weights, Normal(self.loc, self.scale), low, high)
        order = np.argsort(-self.weights)
        return Scope(
            worlds={
                "p": p.marginal("z"),
                "q_": lambda j: Law("z", Normal(self.q_loc[j], self.q_scale[j])),
                "p^*": Law("z", self.matched),
            },
            values={"m": self.mean, "v": self.variance, r"\mu": self.q_loc, r"\sigma": self.q_scale}
            | {"w": self.weights[order], "a": self.loc[order], "s": self.scale[order]},
            ranges={"i": 2, "j": len(self.q_loc)},
        )


C17 = (
    derive(
        "C17",
        "the nearest Gaussian in KL(p || q) has the moments of p",
        MixtureAndGaussians.draw,
        assumptions="p has a variance and a finite entropy; q any Gaussian, here six; p* is the Gaussian with mean and variance of p",
        source="Bishop 2006, section 10.7",
    )
    .start(
        tex(r"\mathrm{KL}(p \,\Vert\, q_j) = \int p(z) \log\frac{p(z)}{q_j(z)}\,dz \quad \forall j"),
        why="to be made small over q",
    )
    .eq(
        tex(r"-\mathrm{H}(p) + \tfrac12\log 2\pi\sigma_j^2 + \tfrac{1}{2\sigma_j^2}\,\mathbb{E}_{p}[(z-\mu_j)^2]"),
        "KL = cross-entropy - entropy (D3); insert log q",
        why="the entropy of p holds no q",
    )
    .eq(
        tex(r"-\mathrm{H}(p) + \tfrac12\log 2\pi\sigma_j^2 + \frac{v + (m-\mu_j)^2}{2\sigma_j^2}"),
        "mean square = variance + square of the mean",
        why="p enters by two numbers only: $z - \\mu_j = (z - m) + (m - \\mu_j)$, squared",
        needs="v finite",
    )
    .slip(
        "mean put in for z",
        tex(r"-\mathrm{H}(p) + \tfrac12\log 2\pi\sigma_j^2 + \frac{(m-\mu_j)^2}{2\sigma_j^2}"),
        "z was replaced by its mean: the spread of p costs v / (2 sigma^2) more.",
    )
    .eq(
        tex(r"-\mathrm{H}(p) + \mathrm{H}(p^*) + \mathrm{KL}(p^* \,\Vert\, q_j),\quad p^* = N(m, v)"),
        "only m and v of p entered: put p* in its place (D3)",
        why="a KL between Gaussians appears: lines 0 to 2 for p*",
    )
    .slip(
        "KL swapped",
        tex(r"-\mathrm{H}(p) + \mathrm{H}(p^*) + \mathrm{KL}(q_j \,\Vert\, p^*)"),
        "q and p* are swapped: the average was under p, so p* comes first.",
    )
    .ge(
        tex(r"-\mathrm{H}(p) + \mathrm{H}(p^*)"),
        "KL ≥ 0 (C1), and 0 only for q = p*",
        why="free of q",
        gap=tex(r"\mathrm{KL}(p^* \,\Vert\, q_j) \quad \forall j"),
    )
    .eq(
        tex(r"\mathrm{KL}(p \,\Vert\, p^*)"),
        "line 3 for q = p*: the bound is reached",
        why="so the nearest Gaussian has the moments of p",
    )
    .slip(
        "mean of the variances",
        tex(r"\mathrm{KL}(p \,\Vert\, N(m, \sum_i w_i s_i^2))"),
        "the variances were averaged: the distance between the modes is part of the variance.",
    )
    .slip(
        "the heavier mode",
        tex(r"\mathrm{KL}(p \,\Vert\, N(a_1, s_1^2))"),
        "q was put on one mode: that is what KL(q || p) likes; KL(p || q) pays for all that q misses.",
    )
    .slip(
        "variance for the scale",
        tex(r"\mathrm{KL}(p \,\Vert\, N(m, v^2))"),
        "the variance was passed as the scale: the scale is its square root.",
    )
)


# ------------------------------------------------------------------------------- C21: mutual information, four forms


@dataclass(frozen=True)
class Joint:
    """A joint table p(x, z): prior over four z, likelihood of three x."""

    model: DiscreteLatent

    @classmethod
    def draw(cls, rng: Rng) -> Joint:
        return cls(DiscreteWitness.draw(rng).model)

    @property
    def table(self) -> Array:
        """p(x, z) with a row for each z, shape (4, 3)."""
        return self.model.prior[:, None] * self.model.likelihood

    def scope(self) -> Scope:
        """p(x, z), neither observed."""
        return Scope(worlds={"p": Table(("z", "x"), self.table)}, values={"n": self.table.shape[1]})


C21 = (
    derive(
        "C21",
        "mutual information, in five forms",
        Joint.draw,
        assumptions="p(x, z) > 0; the sums are over all values of x and z",
        source="Cover and Thomas 2006, section 2.4",
    )
    .start(tex(r"\sum_{x,z} p(x, z) \log\frac{p(x, z)}{p(x)\,p(z)}"), why="how much x tells about z, on average")
    .eq(
        given(
            r"\mathrm{KL}(p(x, z) \,\Vert\, p(x)\,p(z))",
            lambda w: package_divergence(w.table.ravel(), np.outer(w.table.sum(axis=1), w.table.sum(axis=0)).ravel()),
        ),
        "definition of KL, as computed by the package",
        why="how far from independent",
    )
    .eq(
        tex(r"\mathbb{E}_{p(x)}\left[\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))\right]"),
        "product rule; p(x) cancels in the quotient",
        why="what one observation tells, averaged over x",
        needs="p(x) > 0",
    )
    .slip(
        "KL swapped",
        tex(r"\mathbb{E}_{p(x)}\left[\mathrm{KL}(p(z) \,\Vert\, p(z \mid x))\right]"),
        "prior and posterior are swapped: the average is under the joint, so p(z|x) comes first.",
    )
    .slip(
        "plain mean over x",
        tex(r"\tfrac{1}{n} \sum_x \mathrm{KL}(p(z \mid x) \,\Vert\, p(z))"),
        "every x was given the same weight: a frequent x counts more, by p(x).",
    )
    .eq(
        tex(r"\mathrm{H}(z) - \mathbb{E}_{p(x)}\left[\mathrm{H}(p(z \mid x))\right]"),
        "D3, averaged: the mean of p(z|x) over x is p(z)",
        why="split the logarithm: uncertainty before less uncertainty after",
    )
    .slip(
        "entropy of the mean",
        tex(r"\mathrm{H}(z) + \sum_z \bar p \log \bar p,\quad \bar p = \sum_x p(x)\,p(z \mid x)"),
        "the entropy of the averaged p(z|x) was taken: that is H(z) again, and nothing would be left.",
    )
    .slip(
        "what remains",
        tex(r"\mathbb{E}_{p(x)}\left[\mathrm{H}(p(z \mid x))\right]"),
        "H(z given x) was taken for the information: that is what stays unknown, not what is learned.",
    )
    .eq(
        tex(r"\mathrm{H}(x) + \mathrm{H}(z) - \mathrm{H}(x, z)"),
        "H(x, z) = H(x) + H(z given x)",
        why="the same for x and z: what they share",
    )
    .slip(
        "sign of the joint entropy",
        tex(r"\mathrm{H}(x) + \mathrm{H}(z) + \mathrm{H}(x, z)"),
        "the joint entropy was added: x and z together are subtracted, for what they share counts twice.",
    )
    .eq(
        tex(r"\mathbb{E}_{p(z)}\left[\mathrm{KL}(p(x \mid z) \,\Vert\, p(x))\right]"),
        "the same with x and z swapped",
        why="line 0 is symmetric",
    )
)


# --------------------------------------------------------------------------------------------- C24: when KL is infinite


@dataclass(frozen=True)
class Uncovered:
    """Two pairs in which q gives mass to what p excludes: tables, the last p_i zero; a Gaussian q, an exponential p."""

    q_table: Array  # (4,)
    p_table: Array  # (3,): the probabilities of the first three states; the fourth has none
    q_line: Normal
    p_line: Exponential

    @classmethod
    def draw(cls, rng: Rng) -> Uncovered:
        tables = generic_probabilities(rng, (4,)), generic_probabilities(rng, (3,))
        return cls(*tables, NormalPair.draw(rng).q, Exponential(generic_scale(rng)))

    @property
    def tables(self) -> tuple[Categorical, Categorical]:
        """q and p, p with a logit of minus infinity."""
        return Categorical(np.log(self.q_table)), Categorical(np.append(np.log(self.p_table), -np.inf))

    def members(self) -> list[Scope]:
        """The tables, then the line."""
        q, p = self.tables
        low, high = (float(self.q_line.loc + 12 * side * self.q_line.scale) for side in (-1, 1))
        edges = (min(low, -1.0), 0.0, max(high, 50 / float(self.p_line.rate)))
        return [
            Scope(worlds={"q": Law("z", q), "p": Law("z", p)}),
            Scope(
                worlds={"q": Law("z", self.q_line), "p": Law("z", self.p_line)},
                spaces={"z": Pieces(edges, soft=True)},
            ),
        ]


C24 = (
    derive(
        "C24",
        "KL is infinite where q has mass and p has none",
        Uncovered.draw,
        assumptions="a pair of tables with one p_i = 0, and q Gaussian against an exponential p; q > 0 everywhere",
        source="Cover and Thomas 2006, section 2.3: 0 log 0/q = 0 and p log p/0 = infinity",
    )
    .start(
        tex(r"\mathbb{E}_{p}[\log p(z) - \log q(z)]"),
        why="where p = 0 nothing is drawn: 0 log 0 = 0",
        needs="q > 0 wherever p > 0",
    )
    .eq(
        given(
            r"\mathrm{KL}(p \,\Vert\, q)",
            lambda w: side_by_side([kl_divergence(*reversed(w.tables)), kl_divergence(w.p_line, w.q_line)]),
        ),
        "p lies inside q, and here the package finds it finite",
    )
    .slip(
        "infinite the other way",
        tex(r"\infty"),
        "a zero of p was taken to hurt when p comes first: 0 log 0 = 0, nothing is drawn there.",
    )
    .lt(
        tex(r"\mathbb{E}_{q}[\log q(z) - \log p(z)]"),
        "the other way q meets p = 0, where log p = -∞",
        why="the average moves to q: now z visits points with p(z) = 0",
    )
    .slip(
        "finite both ways",
        says="KL was taken to be finite both ways once it is finite one way, but q has mass where p has none.",
        relation="=",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q}[\mathbb{1}[p(z) > 0]\,(\log q(z) - \log p(z))]"
            r" + \infty \cdot \mathbb{E}_{q}[\mathbb{1}[p(z) = 0]]"
        ),
        "split at the edge of p: the second part has mass",
        why="a positive share of infinity is infinite",
        needs="q has mass where p = 0",
        infinite=True,
    )
    .slip(
        "clipped",
        tex(r"\mathbb{E}_{q}[\log q(z) - \log(p(z) + 10^{-8})]"),
        "1e-8 was added to p before the logarithm: the answer is then finite, and set by that number.",
        real="code that adds a small number inside the logarithm",
    )
    .slip(
        "outside dropped",
        tex(r"\mathbb{E}_{q}[\mathbb{1}[p(z) > 0]\,(\log q(z) - \log p(z))]"),
        "the points with p = 0 were left out: those are the points that q should not have visited.",
    )
    .eq(
        given(
            r"\mathrm{KL}(q \,\Vert\, p) = \infty",
            lambda w: side_by_side([kl_divergence(*w.tables), kl_divergence(w.q_line, w.p_line)]),
        ),
        "definition of KL, as computed by the package",
        why="mass of q where p has none is enough: q is not absolutely continuous with respect to p, written $q \\not\\ll p$",
        infinite=True,
    )
)


CHAPTER = (A12, B4, C11, C17, C21, C24)
