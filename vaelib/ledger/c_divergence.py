r"""Chapter C: the Kullback-Leibler divergence and Jensen's inequality.

Each divergence is summed or integrated from its definition; the package's `kl_divergence` is compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Categorical, Normal, kl_divergence
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import HalfLine, States
from vaelib.formula.tables import Independent
from vaelib.formula.worlds import Law, Table
from vaelib.terms import KL, E, log_lik, log_prior, log_q, prior, q
from vaelib.witnesses import (
    DiscreteWitness,
    NormalPair,
    away_from_zero,
    generic_probabilities,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator


def package_divergence(first: Array, second: Array) -> Any:
    """KL of tables by `kl_divergence`, over the last axis; leading axes are a batch."""
    return kl_divergence(Categorical(np.log(first)), Categorical(np.log(second)))


# ---------------------------------------------------------------------------------- C1 and C2: Gibbs and Jensen


def q_is_p(rng: Rng) -> DiscreteWitness:
    w = DiscreteWitness.draw(rng)
    return replace(w, q=Categorical(np.log(w.model.prior)))


C1 = (
    derive(
        "C1",
        "Gibbs' inequality: KL is never negative",
        DiscreteWitness.draw,
        assumptions="p and q are densities in z, p(z) > 0 wherever q(z) > 0; equality only for q = p",
        source="Cover and Thomas 2006, theorem 2.6.3",
    )
    .start(tex("0"), why="the claim: KL is at least this")
    .eq(
        tex(r"\sum_z q(z) \left(1 - \frac{p(z)}{q(z)}\right)"),
        "both sum to one: 0 = 1 - 1",
        why="brings in the quotient t = p/q",
        needs="q(z) > 0 wherever p(z) > 0; otherwise this is above 0",
    )
    .le(
        E(q, log_q - log_prior),
        "1 - t ≤ -log t, and equal only at t = 1, where q = p",
        why="a sum of bounds bounds the sum",
        needs="q(z) ≥ 0; equal only if every t = 1",
        equality=q_is_p,
    )
    .slip(
        "strictly positive",
        says="KL was called positive: it is zero when q = p, and there the bound is tight.",
        relation="<",
        real="a published note: KL is always positive",
    )
    .slip(
        "not a density",
        E(q, log_q - log_lik),
        "p(x|z) was put where a density in z belongs: it need not sum to one, so this can be negative.",
        real="a published note: KL(q(z|x) || p(x|z)) is positive by Jensen",
    )
    .slip(
        "quotient turned around",
        E(q, log_prior - log_q),
        "the quotient is upside down: E under q of log(p/q) is minus the KL.",
    )
    .eq(KL(q, prior), "definition of KL", why="what was to be shown")
    .slip(
        "expectation under p",
        E(prior, log_q - log_prior),
        "the average was taken under p: KL(q || p) averages under its first argument.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(w.q, Categorical(np.log(w.model.prior))),
        ),
        "the same in the package",
    )
)


@dataclass(frozen=True)
class Weights:
    """A positive random variable: value w_i with probability pi_i, five of them."""

    probability: Array
    value: Array

    @classmethod
    def draw(cls, rng: Rng) -> Weights:
        return cls(generic_probabilities(rng, (5,)), np.exp(rng.uniform(-1.5, 1.5, 5)))

    @classmethod
    def draw_constant(cls, rng: Rng) -> Weights:
        w = cls.draw(rng)
        return replace(w, value=np.full(5, w.value[0]))

    @property
    def mean(self) -> float:
        return float(self.probability @ self.value)

    @property
    def reweighted(self) -> Array:
        """rho_i = pi_i w_i / E[w]: what the weights make of pi."""
        return self.probability * self.value / self.mean

    def scope(self) -> Scope:
        """w_i with probability pi_i."""
        return Scope(
            values={r"\pi": self.probability, r"\rho": self.reweighted},
            worlds={r"\pi": Table(("i",), self.probability), r"\rho": Table(("i",), self.reweighted)},
            maps={"w": Map(lambda i: self.value[i], of=("i",))},
            ranges={"i": self.value.size},
            laws={"": r"\pi"},
        )


C2 = (
    derive(
        "C2",
        "Jensen's inequality for the logarithm",
        Weights.draw,
        assumptions="w > 0; equality only if w is constant",
        source="Jensen 1906",
    )
    .start(
        tex(r"\log \mathbb{E}[w]"), why="the logarithm of a mean is what gets in our way", needs="a finite mean of w"
    )
    .eq(
        tex(r"\mathbb{E}\left[\log m + \frac{w - m}{m}\right],\quad m = \mathbb{E}[w]"),
        "the tangent of log at m; E[w - m] = 0",
        why="at m the tangent touches",
        needs="m > 0",
    )
    .ge(
        tex(r"\mathbb{E}[\log w]"),
        "the tangent lies above: log is concave",
        why="inside the mean, log splits products",
        needs="equal only if w is constant",
        gap=tex(r"\mathrm{KL}(\pi \,\Vert\, \rho)"),
        equality=Weights.draw_constant,
    )
    .slip(
        "Jensen turned around",
        says="Jensen was used for a convex function: log is concave, its average lies below.",
        relation="<=",
    )
    .slip(
        "log and expectation swapped",
        says="log E and E log were taken to be the same: that holds only if w is constant.",
        relation="=",
    )
    .slip("strict", says="the case of equality was forgotten: for a constant w nothing is lost.", relation=">")
    .slip(
        "a weaker bound",
        tex(r"2\,\mathbb{E}[\log w] - \log \mathbb{E}[w]"),
        "the gap was counted twice: the bound holds, but more is lost than Jensen loses.",
    )
    .eq(
        tex(r"\log \mathbb{E}[w] - \mathrm{KL}(\pi \,\Vert\, \rho),\quad \rho_i = \pi_i w_i / \mathbb{E}[w]"),
        "what Jensen loses is a KL: never negative (C1)",
        why="names what is lost: -log ρ/π = log m - log w, averaged under π",
    )
    .slip(
        "gap swapped",
        tex(r"\log \mathbb{E}[w] - \mathrm{KL}(\rho \,\Vert\, \pi)"),
        "the arguments of KL were swapped: the average is under the law of w.",
    )
)


# ---------------------------------------------------------------------------------- C4 and C5: KL is not a distance


@dataclass(frozen=True)
class TablePair:
    """Two probability tables of one shape: vectors, or p(x, y) with a row for each x."""

    p: Array
    q: Array

    @classmethod
    def draw(cls, rng: Rng, shape: tuple[int, ...] = (3,), *, kind: str = GENERIC) -> TablePair:
        size = int(np.prod(shape))
        p, q = (generic_probabilities(rng, (size,)) for _ in range(2))
        if kind == "near":
            q = p * np.exp(away_from_zero(rng, 0.03, 0.1, (size,)))
        elif kind == "wide":
            q = q**0.1
        elif kind != GENERIC:  # q puts nearly all on one entry, and p next to nothing, for `far`
            favourite = np.arange(size) == rng.integers(size)
            q = np.where(favourite, 60 * q.max(), q)
            p = np.where(favourite & (kind == "far"), 0.02 * p, p)
        return cls(p.reshape(shape) / p.sum(), q.reshape(shape) / q.sum())

    @classmethod
    def draw_far_apart(cls, rng: Rng) -> TablePair:
        """Three values, more unequal than elsewhere: a divergence of several nats occurs, and one of a tenth too."""
        weights = np.exp(rng.uniform(-2.5, 2.5, (2, 3)))
        return cls(*weights / weights.sum(axis=1, keepdims=True))

    def scope(self) -> Scope:
        """Laws p and q of z, or of x and y; their entries p_i and q_i."""
        variables = ("z",) if self.p.ndim == 1 else ("x", "y")
        return Scope(
            worlds={"p": Table(variables, self.p), "q": Table(variables, self.q)},
            values={"p": self.p, "q": self.q, "n": len(self.p)},
            ranges={"i": len(self.p)},
        )


TWO_COINS = TablePair(np.array([0.5, 0.5]), np.array([0.9, 0.1]))  # KL is 0.5108 one way, 0.3681 the other

C4 = (
    derive(
        "C4",
        "KL is not symmetric",
        TablePair.draw_far_apart,
        assumptions="p and q generic: for some pairs, such as two mirrored coins, both ways agree",
        source="Kullback and Leibler 1951",
    )
    .start(tex(r"\sum_z p(z) \log\frac{p(z)}{q(z)}"), why="what believing q costs where p is true")
    .eq(tex(r"\mathrm{KL}(p \,\Vert\, q)"), "definition; averaged under p")
    .slip(
        "arguments swapped",
        tex(r"\mathrm{KL}(q \,\Vert\, p)"),
        "the arguments were swapped: KL(p || q) averages under p.",
    )
    .ne(
        tex(r"\sum_z q(z) \log\frac{q(z)}{p(z)}"),
        "another average of another quotient",
        why="the roles of the two swapped",
        needs="p and q generic: mirrored coins agree both ways",
    )
    .slip(
        "a distance",
        says="KL was taken for a distance: from p to q is not as far as from q to p.",
        relation="=",
        real="a published note: KL as a distance",
    )
    .slip(
        "both signs changed",
        tex(r"-\sum_z p(z) \log\frac{q(z)}{p(z)}"),
        "sign and quotient were both turned, and the average is still under p: that is KL(p || q) again.",
    )
    .eq(
        given(r"\mathrm{KL}(q \,\Vert\, p)", lambda w: package_divergence(w.q, w.p)),
        "definition, averaged under q; as the package computes it",
    )
)


@dataclass(frozen=True)
class ThreeSteps:
    """Three Gaussians of one width in a row: p at `start`, q one `step` on, r two steps on."""

    start: float
    step: float
    scale: float

    @classmethod
    def draw(cls, rng: Rng) -> ThreeSteps:
        return cls(
            float(away_from_zero(rng, 0.3, 1.5)), float(away_from_zero(rng, 0.4, 1.6)), float(generic_scale(rng))
        )

    def after(self, steps: int) -> Normal:
        return Normal(self.start + steps * self.step, self.scale)

    def scope(self) -> Scope:
        """p, q and r of z, one step delta after the other."""
        return Scope(
            worlds={name: Law("z", self.after(i)) for i, name in enumerate("pqr")},
            values={r"\delta": self.step, r"\sigma": self.scale},
        )


UNIT_STEPS = ThreeSteps(0.0, 1.0, 1.0)  # N(0, 1), N(1, 1), N(2, 1): 2 > 1/2 + 1/2


C5 = (
    derive(
        "C5",
        "a detour can cost less: no triangle inequality",
        ThreeSteps.draw,
        assumptions="p, q, r Gaussians of width σ at distance δ from each to the next",
        source="counterexample: N(0, 1), N(1, 1) and N(2, 1) give 2 > 1/2 + 1/2",
    )
    .start(tex(r"\mathbb{E}_{p}\left[\log\frac{p(z)}{r(z)}\right]"), why="two steps at once: the straight way")
    .eq(tex(r"\mathrm{KL}(p \,\Vert\, r)"), "definition of KL")
    .eq(
        tex(r"\frac{(2\delta)^2}{2\sigma^2}"),
        "half the squared distance in units of σ (E1)",
        why="the straight way in closed form",
        needs="one width for all",
    )
    .slip(
        "distances not squared",
        tex(r"\frac{|2\delta|}{2\sigma}"),
        "KL was taken to grow with the distance: it grows with its square.",
    )
    .gt(
        tex(r"\frac{\delta^2}{2\sigma^2} + \frac{\delta^2}{2\sigma^2}"),
        "4 squares against 1 + 1: two are lost",
        why="squares grow faster than sums",
        needs="δ ≠ 0",
        gap=tex(r"\frac{\delta^2}{\sigma^2}"),
    )
    .slip(
        "triangle inequality",
        says="KL was taken for a distance: here the straight way costs more than the detour.",
        relation="<=",
        real="a published note: KL as a distance",
    )
    .slip(
        "steps added before squaring",
        tex(r"\frac{(\delta + \delta)^2}{2\sigma^2}"),
        "the two steps were added and then squared: that is the straight way again.",
    )
    .eq(tex(r"\mathrm{KL}(p \,\Vert\, q) + \mathrm{KL}(q \,\Vert\, r)"), "the detour over q, one step at a time")
)


# ---------------------------------------------------------------------------------- C6 and C7: pairs and factors


C6 = (
    derive(
        "C6",
        "chain rule of KL",
        partial(TablePair.draw, shape=(3, 4)),
        assumptions="p(x, y) > 0 wherever q(x, y) > 0",
        source="Cover and Thomas 2006, theorem 2.5.3",
    )
    .start(tex(r"\sum_{x,y} q(x, y) \log\frac{q(x, y)}{p(x, y)}"), why="the pair (x, y) is one variable")
    .eq(
        given(r"\mathrm{KL}(q(x, y) \,\Vert\, p(x, y))", lambda w: package_divergence(w.q.ravel(), w.p.ravel())),
        "definition of KL; as computed by the package",
        needs="p(x, y) > 0 wherever q(x, y) > 0",
    )
    .eq(
        tex(r"\sum_{x,y} q(x, y) \left[\log\frac{q(x)}{p(x)} + \log\frac{q(y \mid x)}{p(y \mid x)}\right]"),
        "product rule (A2), above and below",
        why="separates x",
    )
    .eq(
        tex(
            r"\sum_{x} q(x) \log\frac{q(x)}{p(x)} + \sum_{x} q(x) \sum_{y} q(y \mid x) \log\frac{q(y \mid x)}{p(y \mid x)}"
        ),
        "sum over y first; linear",
        why="in the first part nothing depends on y",
        needs="given x, q(y|x) sums to one",
    )
    .slip(
        "marginals of both",
        tex(r"\mathrm{KL}(q(x) \,\Vert\, p(x)) + \mathrm{KL}(q(y) \,\Vert\, p(y))"),
        "x and y were taken to be independent: q(y|x) is not q(y).",
    )
    .eq(
        tex(
            r"\mathrm{KL}(q(x) \,\Vert\, p(x)) + \mathbb{E}_{q(x)}\left[\mathrm{KL}(q(y \mid x) \,\Vert\, p(y \mid x))\right]"
        ),
        "definition of KL, twice",
        why="one KL for x, and one for y at each x, averaged under q",
    )
    .slip(
        "average under p",
        tex(
            r"\mathrm{KL}(q(x) \,\Vert\, p(x)) + \mathbb{E}_{p(x)}\left[\mathrm{KL}(q(y \mid x) \,\Vert\, p(y \mid x))\right]"
        ),
        "the conditional part was averaged under p(x): all averages here are under q.",
    )
    .slip(
        "plain mean over x",
        tex(r"\mathrm{KL}(q(x) \,\Vert\, p(x)) + \frac{1}{n} \sum_x \mathrm{KL}(q(y \mid x) \,\Vert\, p(y \mid x))"),
        "every x was given the same weight: a frequent x counts more, by q(x).",
    )
    .slip(
        "no conditional part",
        tex(r"\mathrm{KL}(q(x) \,\Vert\, p(x))"),
        "only x was compared: what y still adds, once x is known, is missing.",
    )
)


@dataclass(frozen=True)
class Factors:
    """q = q_1 q_2 q_3 and p = p_1 p_2 p_3 over three independent coordinates with four values each; shape (3, 4)."""

    q: Array
    p: Array

    @classmethod
    def draw(cls, rng: Rng) -> Factors:
        return cls(generic_probabilities(rng, (3, 4)), generic_probabilities(rng, (3, 4)))

    def scope(self) -> Scope:
        """q and p of z = (z_1, z_2, z_3), and q_j, p_j of z_j."""
        q, p = Independent("z", self.q), Independent("z", self.p)
        k, n = self.q.shape
        return Scope(
            worlds={"q": q, "p": p, "q_": q.coordinate, "p_": p.coordinate},
            values={"k": k},
            spaces={"z_": lambda j: States.count(n)},
            ranges={"j": k},
        )


C7 = (
    derive(
        "C7",
        "KL adds up over independent coordinates",
        Factors.draw,
        assumptions="both q and p factorize",
        source="Cover and Thomas 2006, theorem 2.5.3",
    )
    .start(
        tex(r"\sum_z q(z) \log\frac{\prod_j q_j(z_j)}{\prod_j p_j(z_j)}"),
        why="the definition; q and p are products, z = (z₁, z₂, z₃)",
        needs="independence under both laws",
    )
    .eq(
        tex(r"\sum_z q(z) \sum_j \log\frac{q_j(z_j)}{p_j(z_j)}"),
        "the logarithm of a product is a sum",
        why="one term for each coordinate",
    )
    .eq(
        tex(r"\sum_j \sum_{z_j} q_j(z_j) \log\frac{q_j(z_j)}{p_j(z_j)}"),
        "the other coordinates sum to one",
        why="each term needs its own coordinate only",
    )
    .slip(
        "arguments swapped",
        tex(r"\sum_j \sum_{z_j} p_j(z_j) \log\frac{p_j(z_j)}{q_j(z_j)}"),
        "q and p were swapped: the sum is weighted by the first argument.",
    )
    .eq(
        given(r"\sum_j \mathrm{KL}(q_j \,\Vert\, p_j)", lambda w: np.sum(package_divergence(w.q, w.p))),
        "definition of KL, as computed by the package",
        why="one price for each coordinate",
    )
    .slip(
        "mean over coordinates",
        tex(r"\frac{1}{k} \sum_j \mathrm{KL}(q_j \,\Vert\, p_j)"),
        "the coordinates were averaged: then the KL weighs too little, here by a factor of three.",
    )
    .slip(
        "largest coordinate",
        tex(r"\max_j \mathrm{KL}(q_j \,\Vert\, p_j)"),
        "only the worst coordinate was counted: each one costs.",
    )
)


# ---------------------------------------------------------------------------------- C8: another coordinate


@dataclass(frozen=True)
class OfExp:
    """The law of y = exp z for z under a law: its density is q(log y) / y."""

    law: Normal

    def log_prob(self, y: Array) -> Array:
        return self.law.log_prob(np.log(y)) - np.log(y)


class LogNormals(NormalPair):
    """Two Gaussians q and p of z, and the laws that they give to y = exp z."""

    def scope(self) -> Scope:
        """As that of the pair, with q_Y and p_Y of y > 0."""
        scope = super().scope()
        worlds = {**scope.worlds, "q_Y": Law("y", OfExp(self.q)), "p_Y": Law("y", OfExp(self.p))}
        return replace(scope, worlds=worlds, spaces={"y": HalfLine()})


C8 = (
    derive(
        "C8",
        "KL does not depend on the coordinate",
        LogNormals.draw,
        assumptions="the same invertible map for q and p, here y = exp z: two log-normal laws",
        source="Kullback and Leibler 1951, section 4",
    )
    .start(
        tex(r"\int_0^\infty q_Y(y) \log\frac{q_Y(y)}{p_Y(y)}\,dy"),
        why="KL in the coordinate y = exp z, where $q_Y(y) = q(\\log y) / y$",
    )
    .eq(
        tex(r"\int_0^\infty q_Y(y) \log\frac{q(\log y)}{p(\log y)}\,dy"),
        "both have the same Jacobian 1/y: it cancels",
        why="in the quotient the coordinate no longer shows",
        needs="the same map for q and p (A12)",
    )
    .slip(
        "Jacobian on one side",
        tex(r"\int_0^\infty q_Y(y) \log\frac{q_Y(y)}{p(\log y)}\,dy"),
        "only q got its Jacobian 1/y: p lives in the same coordinate and gets it too.",
    )
    .slip(
        "only q transformed",
        tex(r"\int_0^\infty q_Y(y) \log\frac{q_Y(y)}{p(y)}\,dy"),
        "only q was carried over to y: p is still a density of z, read at the number y.",
    )
    .eq(
        tex(r"\int q(z) \log\frac{q(z)}{p(z)}\,dz"),
        "substitute z = log y, dz = dy / y",
        why="carries the average back: $q_Y(y)\\,dy = q(z)\\,dz$",
    )
    .slip(
        "weight not transformed back",
        tex(r"\int \frac{q(z)}{e^{z}} \log\frac{q(z)}{p(z)}\,dz"),
        "the Jacobian stayed in the weight: q_Y(y) dy = q(z) dz, nothing is left over.",
    )
    .eq(
        given(r"\mathrm{KL}(q \,\Vert\, p)", lambda w: kl_divergence(w.q, w.p)),
        "definition, as computed by the package",
    )
)

CHAPTER = (C1, C2, C4, C5, C6, C7, C8)
