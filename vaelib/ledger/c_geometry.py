r"""Chapter C, continued: what KL measures, what it does not, and when it is infinite.

With it stand two neighbors that the same notebook needs: the change of variables (A12), and Jensen's inequality for the
logarithm of an estimator (B4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr

from vaelib.derivation import derive
from vaelib.distributions import Categorical, Exponential, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import density_times, importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import Pieces
from vaelib.formula.worlds import Law, Mixture, Table
from vaelib.ledger.c_divergence import TablePair, divergence, half_line, package_divergence
from vaelib.ledger.d_entropy import by_trapezoid, side_by_side
from vaelib.models import DiscreteLatent
from vaelib.quadrature import gauss_legendre, trapezoid
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

    @property
    def log_density_of_z(self) -> Array:
        """log p_z at all ten points."""
        return np.concatenate([self.law.log_prob(self.z), self.law3.log_prob(self.z3)])

    @property
    def log_det(self) -> Array:
        """log |det J_g(z)| at all ten points, from the derivatives on paper."""
        return np.concatenate([np.log(abs(self.slope) * self.y), np.full(5, np.linalg.slogdet(self.matrix)[1])])


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
    return np.concatenate([np.log(slope), law_of_y.log_prob(w.z3 @ w.matrix.T + w.shift3)])


def through_the_inverse(w: TwoMaps, sign: float = 1.0) -> Array:
    """log p_z(g^-1(y)) + log |det J of g^-1 at y|."""
    z = (np.log(w.y) - w.shift) / w.slope
    inverse = np.linalg.inv(w.matrix)
    z3 = ((w.z3 @ w.matrix.T + w.shift3) - w.shift3) @ inverse.T
    log_det = np.concatenate([-np.log(abs(w.slope) * w.y), np.full(5, np.linalg.slogdet(inverse)[1])])
    return np.concatenate([w.law.log_prob(z), w.law3.log_prob(z3)]) + sign * log_det


def small_cubes(w: TwoMaps, h: float) -> Array:
    """log p_z(z) - log |det| of the Jacobian by central differences."""
    rise = (np.exp(w.slope * (w.z + h) + w.shift) - np.exp(w.slope * (w.z - h) + w.shift)) / (2 * h)
    steps = h * np.eye(3)
    columns = [((w.z3 + e) @ w.matrix.T - (w.z3 - e) @ w.matrix.T) / (2 * h) for e in steps]  # one for each coordinate
    return w.log_density_of_z - np.concatenate([np.log(np.abs(rise)), np.linalg.slogdet(np.stack(columns, axis=-1))[1]])


def wrong_determinant(w: TwoMaps) -> Array:
    """The product of the diagonal of A for its determinant."""
    diagonal = np.log(np.abs(np.prod(np.diag(w.matrix))))
    return w.log_density_of_z - np.concatenate([w.log_det[:5], np.full(5, diagonal)])


A12 = (
    derive(
        "A12",
        "change of variables",
        TwoMaps.draw,
        assumptions="g smooth and invertible; here y = exp(a z + b) in one dimension, y = A z + b in three",
        source="Bishop 2006, section 1.2.1; Rezende and Mohamed 2015, equation (5)",
    )
    .start(given(r"\log p_y(y),\quad y = g(z)", log_density_of_y), step=1e-4, order=2)
    .eq(
        given(r"\log p_z(g^{-1}(y)) + \log|\det J_{g^{-1}}(y)|", through_the_inverse),
        "mass is kept: p_y(y) |dy| = p_z(z) |dz|",
    )
    .slip(
        "minus with the inverse",
        given(r"\log p_z(g^{-1}(y)) - \log|\det J_{g^{-1}}(y)|", lambda w: through_the_inverse(w, sign=-1.0)),
        "the minus of log |det J of g| was kept for the inverse map, whose Jacobian enters with a plus.",
    )
    .eq(
        given(r"\log p_z(z) - \log|\det J_g(z)|", lambda w: w.log_density_of_z - w.log_det),
        "Jacobian of the inverse = inverse of the Jacobian",
    )
    .slip(
        "Jacobian forgotten",
        given(r"\log p_z(z)", lambda w: w.log_density_of_z),
        "the density was carried over like a height: where g stretches, the density gets thinner.",
    )
    .slip(
        "plus the log-determinant",
        given(r"\log p_z(z) + \log|\det J_g(z)|", lambda w: w.log_density_of_z + w.log_det),
        "the sign belongs to the inverse map: with the Jacobian of g it is a minus.",
    )
    .slip(
        "diagonal for the determinant",
        given(r"\log p_z(z) - \sum_j \log|(J_g)_{jj}|", wrong_determinant),
        "the diagonal entries were multiplied: that is the determinant of a triangular matrix only.",
    )
    .eq(
        given(r"\log p_z(z) - \log|\det \tfrac{1}{2h}(g(z + h e_j) - g(z - h e_j))_j|", small_cubes),
        "the Jacobian says how g stretches a small cube",
        step=1e-4,
        order=2,
    )
)


# ----------------------------------------------------------------- B4: the logarithm of an estimate is too small on average


def tuples(w: DiscreteWitness, size: int = 3) -> tuple[Array, Array]:
    """Every draw z_1 ... z_size from the prior: its probability, shape (n,), and p(x|z_s), shape (n, size)."""
    states = np.array(list(product(range(len(w.model.prior)), repeat=size)))
    return w.model.prior[states].prod(axis=1), w.model.likelihood[states, w.x]


def expected_log(w: DiscreteWitness, size: int = 3) -> float:
    """E[log of the mean of `size` values of p(x|z)], over all tuples."""
    probability, likelihoods = tuples(w, size)
    return float(probability @ np.log(likelihoods.mean(axis=1)))


def likelihood_without_z(rng: Rng) -> DiscreteWitness:
    """A model whose z says nothing about x: the estimate is exact after one draw."""
    w = DiscreteWitness.draw(rng)
    return replace(w, model=DiscreteLatent(w.model.prior, np.tile(w.model.likelihood[:1], (4, 1))))


def unequal_weights(w: DiscreteWitness) -> float:
    """E[KL(uniform || weights)] for the weights p(x|z_s) / sum_t p(x|z_t) of a draw."""
    probability, likelihoods = tuples(w)
    weights = likelihoods / likelihoods.sum(axis=1, keepdims=True)
    return float(probability @ divergence(np.full(weights.shape, 1 / 3), weights))


def reweighted_draws(w: DiscreteWitness) -> float:
    """KL(pi || rho) with pi the law of the tuples and rho proportional to pi times the estimate (C2)."""
    probability, likelihoods = tuples(w)
    estimate = likelihoods.mean(axis=1)
    return float(package_divergence(probability, probability * estimate / (probability @ estimate)))


B4 = (
    derive(
        "B4",
        "the logarithm of an unbiased estimate is biased down",
        DiscreteWitness.draw,
        assumptions="z_1, z_2, z_3 drawn from p(z), p(x|z) > 0; equal only if p(x|z) is the same for every z",
        source="Jensen 1906; Burda, Grosse and Salakhutdinov 2016, theorem 1",
    )
    .start(tex(r"\log p(x)"), why="by the package")
    .eq(
        given(
            r"\log \mathbb{E}[\hat p],\quad \hat p = \tfrac13 \sum_{s=1}^{3} p(x \mid z_s)",
            lambda w: np.log(tuples(w)[0] @ tuples(w)[1].mean(axis=1)),
        ),
        "unbiased: each p(x|z) has the mean p(x)",
    )
    .ge(
        given(r"\mathbb{E}[\log \hat p]", expected_log),
        "Jensen (C2): the mean of log is at most the log of the mean",
        gap=reweighted_draws,
        equality=likelihood_without_z,
    )
    .slip(
        "unbiased logarithm",
        says="E and log were exchanged: the estimate is unbiased, its logarithm is not.",
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
        given(
            r"\mathbb{E}\left[\tfrac13 \sum_s \log p(x \mid z_s)\right]",
            lambda w: tuples(w)[0] @ np.log(tuples(w)[1]).mean(axis=1),
        ),
        "the logarithms were averaged: log of the mean of three weights is not the mean of three logs.",
    )
    .eq(
        given(
            r"\mathbb{E}[\text{what } \mathtt{importance\_weighted\_bound} \text{ returns}],\quad q = p(z)",
            lambda w: tuples(w)[0] @ importance_weighted_bound(np.log(tuples(w)[1]), axis=1),
        ),
        "the same in the package",
    )
    .slip(
        "sum for the mean",
        given(
            r"\mathbb{E}\left[\log \sum_s p(x \mid z_s)\right]",
            lambda w: tuples(w)[0] @ logsumexp(np.log(tuples(w)[1]), axis=1),
        ),
        "the three weights were added and not averaged: that is off by log 3.",
    )
    .ge(
        tex(r"\mathbb{E}_{p(z)}[\log p(x \mid z)]"),
        "Jensen inside each draw: one sample is worse than three",
        gap=unequal_weights,
        equality=likelihood_without_z,
    )
)


# ------------------------------------------------------------------------------------------------------ C11: Pinsker


def leads(w: TablePair) -> Array:
    """The states of A = {p > q}."""
    return w.p > w.q


def ahead(w: TablePair) -> tuple[float, float]:
    """a = P(A) and b = Q(A): a > b."""
    return float(w.p[leads(w)].sum()), float(w.q[leads(w)].sum())


def along(f: Callable[[Array, float], Array]) -> Callable[[TablePair], Estimate]:
    """The integral of f(t, a) over t from b to a."""

    def value(w: TablePair) -> Estimate:
        a, b = ahead(w)
        return gauss_legendre(lambda t: f(t, a), b, a)

    return value


def two_way(a: float, b: float) -> float:
    """KL between two coins, a log a/b + (1 - a) log (1 - a)/(1 - b)."""
    return float(a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b)))


def inside_the_groups(w: TablePair) -> float:
    """P(A) KL(p given A || q given A) + the same outside A."""
    parts = ((w.p[group], w.q[group]) for group in (leads(w), ~leads(w)))
    return float(sum(p.sum() * divergence(p / p.sum(), q / q.sum()) for p, q in parts))


C11 = (
    derive(
        "C11",
        "Pinsker's inequality: a small KL means a small difference",
        partial(TablePair.draw, shape=(5,)),
        assumptions="TV is half the sum of |p - q|; KL in nats; q > 0 wherever p > 0",
        source="Pinsker 1964; Cover and Thomas 2006, lemma 11.6.1",
    )
    .start(tex(r"2\,\mathrm{TV}^2,\quad \mathrm{TV} = \tfrac12 \sum_i |p_i - q_i|"))
    .eq(
        given(
            r"2\,(a - b)^2,\quad a = P(A),\ b = Q(A),\ A = \{p \gt q\}", lambda w: 2 * (ahead(w)[0] - ahead(w)[1]) ** 2
        ),
        "p - q sums to 0: as much above as below",
    )
    .slip(
        "TV without 1/2",
        tex(r"2 \left(\sum_i |p_i - q_i|\right)^2"),
        "the sum of |p - q| was taken whole: it counts each difference twice, above and below.",
    )
    .eq(given(r"\int_b^a 4\,(a - t)\,dt", along(lambda t, a: 4 * (a - t))), "the integral of a straight line")
    .le(
        given(r"\int_b^a \frac{a - t}{t\,(1 - t)}\,dt", along(lambda t, a: (a - t) / (t * (1 - t)))),
        "t (1 - t) is at most 1/4",
        gap=along(lambda t, a: (a - t) * (1 - 2 * t) ** 2 / (t * (1 - t))),
    )
    .slip(
        "at most 1/2",
        given(r"\int_b^a 2\,(a - t)\,dt", along(lambda t, a: 2 * (a - t))),
        "t (1 - t) was bounded by 1/2: its largest value is 1/4, and then half of the bound is given away.",
    )
    .eq(
        given(r"a \log\frac{a}{b} + (1 - a) \log\frac{1 - a}{1 - b}", lambda w: two_way(*ahead(w))),
        "integrate: (a - t)/(t (1 - t)) = a/t - (1 - a)/(1 - t)",
    )
    .le(
        tex(r"\sum_i p_i \log\frac{p_i}{q_i}"),
        "chain rule (C6): what is lost inside A and outside",
        gap=inside_the_groups,
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
    .eq(tex(r"\mathrm{KL}(p \,\Vert\, q)"), "as computed by the package")
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
        one, two = (Normal(loc, scale).log_prob(z) for loc, scale in zip(self.loc, self.scale, strict=True))
        return np.logaddexp(np.log(self.weight) + one, np.log1p(-self.weight) + two)

    def expect(self, f: Callable[[Array], Array]) -> Estimate:
        """E_p[f(z)]; f may return several columns."""
        low, high = np.min(self.loc - 9.5 * self.scale), np.max(self.loc + 9.5 * self.scale)

        def integrand(z: Array) -> Array:
            values = np.asarray(f(z))
            return np.exp(self.log_prob(z)).reshape(-1, *[1] * (values.ndim - 1)) * values

        return trapezoid(integrand, low, high, n=300)

    def kl_to(self, loc: Any, scale: Any) -> Estimate:
        """KL(p || N(loc, scale^2)) by its definition; one entry for each loc."""
        law = Normal(np.atleast_1d(loc), np.atleast_1d(scale))
        return self.expect(lambda z: self.log_prob(z)[:, None] - law.log_prob(z[:, None]))

    def members(self) -> list[Scope]:
        """For each q the mixture p, its moments m and v, and p^*, the Gaussian that has them."""
        low, high = np.min(self.loc - 12 * self.scale), np.max(self.loc + 12 * self.scale)
        p, best = Mixture("z", self.weights, Normal(self.loc, self.scale), low, high), self.matched
        return [
            Scope(
                worlds={"p": p.marginal("z"), "q": Law("z", Normal(loc, scale)), "p^*": Law("z", best)},
                values={"m": self.mean, "v": self.variance, r"\mu_q": loc, r"\sigma_q": scale},
            )
            for loc, scale in zip(self.q_loc, self.q_scale, strict=True)
        ]


def minus_entropy(w: MixtureAndGaussians) -> Estimate:
    """E_p[log p(z)]."""
    return w.expect(w.log_prob)


C17 = (
    derive(
        "C17",
        "the nearest Gaussian in KL(p || q) has the moments of p",
        MixtureAndGaussians.draw,
        assumptions="p has a variance; q any Gaussian, here six; p* is the Gaussian with mean and variance of p",
        source="Bishop 2006, section 10.7",
    )
    .start(tex(r"\mathrm{KL}(p \,\Vert\, q) = \int p(z) \log\frac{p(z)}{q(z)}\,dz \quad \forall q"))
    .eq(
        tex(r"-\mathrm{H}(p) + \tfrac12\log 2\pi\sigma_q^2 + \tfrac{1}{2\sigma_q^2}\,\mathbb{E}_{p}[(z-\mu_q)^2]"),
        "KL = cross-entropy - entropy (D3); insert log q",
    )
    .eq(
        tex(r"-\mathrm{H}(p) + \tfrac12\log 2\pi\sigma_q^2 + \frac{v + (m-\mu_q)^2}{2\sigma_q^2}"),
        "mean square = variance + square of the mean",
    )
    .slip(
        "mean put in for z",
        tex(r"-\mathrm{H}(p) + \tfrac12\log 2\pi\sigma_q^2 + \frac{(m-\mu_q)^2}{2\sigma_q^2}"),
        "z was replaced by its mean: the spread of p costs v / (2 sigma^2) more.",
    )
    .eq(
        tex(r"-\mathrm{H}(p) + \mathrm{H}(p^*) + \mathrm{KL}(p^* \,\Vert\, q),\quad p^* = N(m, v)"),
        "only m and v of p entered: put p* in its place (D3)",
    )
    .slip(
        "KL exchanged",
        tex(r"-\mathrm{H}(p) + \mathrm{H}(p^*) + \mathrm{KL}(q \,\Vert\, p^*)"),
        "q and p* are exchanged: the average was under p, so p* comes first.",
    )
    .ge(
        tex(r"-\mathrm{H}(p) + \mathrm{H}(p^*)"),
        "KL ≥ 0 (C1), and 0 only for q = p*",
        gap=lambda w: kl_divergence(w.matched, Normal(w.q_loc, w.q_scale)),
    )
    .eq(tex(r"\mathrm{KL}(p \,\Vert\, p^*)"), "line 3 for q = p*: the bound is reached")
    .slip(
        "mean of the variances",
        given(
            r"\mathrm{KL}(p \,\Vert\, N(m, \textstyle\sum_i w_i \sigma_i^2))",
            lambda w: first(w.kl_to(w.mean, np.sqrt(w.weights @ w.scale**2))),
        ),
        "the variances were averaged: the distance between the modes is part of the variance.",
    )
    .slip(
        "the heavier mode",
        given(
            r"\mathrm{KL}(p \,\Vert\, N(\mu_1, \sigma_1^2))",
            lambda w: first(w.kl_to(w.loc[np.argmax(w.weights)], w.scale[np.argmax(w.weights)])),
        ),
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

    @property
    def evidence(self) -> Array:
        return self.table.sum(axis=0)

    @property
    def posteriors(self) -> list[Categorical]:
        """p(z | x) for each x, by the package."""
        return [self.model.posterior(x) for x in range(self.table.shape[1])]

    def scope(self) -> Scope:
        """p(x, z), neither observed."""
        return Scope(worlds={"p": Table(("z", "x"), self.table)})


def uncertainty(probability: Array) -> float:
    """-sum p log p over all entries."""
    return float(-np.sum(probability * np.log(probability)))


def mean_information(weights: Callable[[Joint], Array], turned: bool = False) -> Callable[[Joint], float]:
    """sum_x weight(x) KL(p(z|x) || p(z)), or the KL turned around, by the package."""

    def value(w: Joint) -> float:
        prior = Categorical(np.log(w.model.prior))
        each = [kl_divergence(prior, q) if turned else kl_divergence(q, prior) for q in w.posteriors]
        return float(weights(w) @ np.array(each))

    return value


def remaining(w: Joint) -> float:
    """H(z | x): the mean over x of the entropy of p(z | x)."""
    return float(w.evidence @ np.array([uncertainty(q.probs) for q in w.posteriors]))


C21 = (
    derive(
        "C21",
        "mutual information, in five forms",
        Joint.draw,
        assumptions="p(x, z) > 0; the sums are over all values of x and z",
        source="Cover and Thomas 2006, section 2.4",
    )
    .start(tex(r"\sum_{x,z} p(x, z) \log\frac{p(x, z)}{p(x)\,p(z)}"))
    .eq(tex(r"\mathrm{KL}(p(x, z) \,\Vert\, p(x)\,p(z))"), "definition of KL: how far from independent")
    .eq(
        tex(r"\mathbb{E}_{p(x)}\left[\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))\right]"),
        "product rule; p(x) cancels in the quotient",
    )
    .slip(
        "KL exchanged",
        tex(r"\mathbb{E}_{p(x)}\left[\mathrm{KL}(p(z) \,\Vert\, p(z \mid x))\right]"),
        "prior and posterior are exchanged: the average is under the joint, so p(z|x) comes first.",
    )
    .slip(
        "plain mean over x",
        given(
            r"\tfrac{1}{n} \sum_x \mathrm{KL}(p(z \mid x) \,\Vert\, p(z))",
            mean_information(lambda w: np.full(3, 1 / 3)),
        ),
        "every x was given the same weight: a frequent x counts more, by p(x).",
    )
    .eq(
        tex(r"\mathrm{H}(z) - \mathbb{E}_{p(x)}\left[\mathrm{H}(p(z \mid x))\right]"),
        "D3, averaged: the mean of p(z|x) over x is p(z)",
    )
    .slip(
        "entropy of the mean",
        given(
            r"\mathrm{H}(z) - \mathrm{H}\left(\mathbb{E}_{p(x)}[p(z \mid x)]\right)",
            lambda w: uncertainty(w.model.prior) - uncertainty(w.evidence @ np.stack([q.probs for q in w.posteriors])),
        ),
        "the entropy of the averaged p(z|x) was taken: that is H(z) again, and nothing would be left.",
    )
    .slip(
        "what remains",
        tex(r"\mathbb{E}_{p(x)}\left[\mathrm{H}(p(z \mid x))\right]"),
        "H(z given x) was taken for the information: that is what stays unknown, not what is learned.",
    )
    .eq(tex(r"\mathrm{H}(x) + \mathrm{H}(z) - \mathrm{H}(x, z)"), "H(x, z) = H(x) + H(z given x)")
    .slip(
        "sign of the joint entropy",
        tex(r"\mathrm{H}(x) + \mathrm{H}(z) + \mathrm{H}(x, z)"),
        "the joint entropy was added: x and z together are subtracted, for what they share counts twice.",
    )
    .eq(
        tex(r"\mathbb{E}_{p(z)}\left[\mathrm{KL}(p(x \mid z) \,\Vert\, p(x))\right]"), "the same with x and z exchanged"
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
        return [
            Scope(worlds={"q": Law("z", q), "p": Law("z", p)}),
            Scope(
                worlds={"q": Law("z", self.q_line), "p": Law("z", self.p_line)},
                spaces={"z": Pieces((-40.0, 0.0, 60.0))},
            ),
        ]


def inside_the_support(w: Uncovered) -> tuple[Array, Array]:
    """E_q[log q - log p; p > 0] and Q(p = 0), both pairs."""
    table = divergence(w.q_table[:3], w.p_table)
    line = half_line(lambda z: density_times(w.q_line.log_prob(z), w.q_line.log_prob(z) - w.p_line.log_prob(z)))
    return np.array([table, line.value]), np.array([w.q_table[3], ndtr(-w.q_line.loc / w.q_line.scale)])


def clipped(floor: float) -> Callable[[Uncovered], Estimate]:
    """E_q[log q - log(p + floor)]: finite, whatever p excludes."""

    def value(w: Uncovered) -> Estimate:
        p_table = np.append(w.p_table, 0.0)

        def log_ratio(z: Array) -> Array:
            return w.q_line.log_prob(z) - np.log(np.exp(w.p_line.log_prob(z)) + floor)

        return side_by_side(
            [np.sum(w.q_table * np.log(w.q_table / (p_table + floor))), by_trapezoid(w.q_line, log_ratio)]
        )

    return value


def split_at_the_edge(w: Uncovered) -> Array:
    """The finite part inside the support of p, and Q(p = 0) times infinity."""
    inside, outside = inside_the_support(w)
    return inside + np.where(outside > 0, np.inf, 0.0)


C24 = (
    derive(
        "C24",
        "KL is infinite where q has mass and p has none",
        Uncovered.draw,
        assumptions="a pair of tables with one p_i = 0, and q Gaussian against an exponential p; q > 0 everywhere",
        source="Cover and Thomas 2006, section 2.3: 0 log 0/q = 0 and p log p/0 = infinity",
    )
    .start(tex(r"\mathbb{E}_{p}[\log p(z) - \log q(z)]"))
    .eq(tex(r"\mathrm{KL}(p \,\Vert\, q)"), "p lies inside q: finite, as the package says")
    .slip(
        "infinite the other way",
        tex(r"\infty"),
        "a zero of p was taken to hurt when p comes first: 0 log 0 = 0, nothing is drawn there.",
    )
    .lt(tex(r"\mathbb{E}_{q}[\log q(z) - \log p(z)]"), "the other way q meets p = 0, where log p = -∞")
    .slip(
        "finite both ways",
        says="KL was taken to be finite both ways once it is finite one way: the supports decide.",
        relation="=",
    )
    .eq(
        given(r"\mathbb{E}_{q}[\log q - \log p;\ p \gt 0] + Q(p = 0) \cdot \infty", split_at_the_edge),
        "split at the edge of p: the second part has mass",
        infinite=True,
    )
    .slip(
        "clipped",
        given(r"\mathbb{E}_{q}[\log q - \log(p + 10^{-8})]", clipped(1e-8)),
        "1e-8 was added to p before the logarithm: the answer is then finite, and set by that number.",
        real="code that adds a small number inside the logarithm",
    )
    .slip(
        "outside dropped",
        given(r"\mathbb{E}_{q}[\log q - \log p;\ p \gt 0]", lambda w: inside_the_support(w)[0]),
        "the points with p = 0 were left out: those are the points that q should not have visited.",
    )
    .eq(tex(r"\mathrm{KL}(q \,\Vert\, p) = \infty"), "definition of KL, as computed by the package", infinite=True)
)


def first(estimate: Estimate) -> Estimate:
    """The only entry of an estimate of shape (1,)."""
    return Estimate(estimate.value[0], estimate.error[0])


CHAPTER = (A12, B4, C11, C17, C21, C24)
