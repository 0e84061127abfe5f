r"""Chapter C: the Kullback-Leibler divergence and Jensen's inequality.

Each divergence is summed or integrated from its definition; the package's `kl_divergence` stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, Derivation, Line, Slip
from vaelib.distributions import Categorical, Normal, kl_divergence
from vaelib.elbo import density_times
from vaelib.estimate import Estimate
from vaelib.formula.scope import Map, Scope
from vaelib.formula.worlds import Law, Table
from vaelib.quadrature import gauss_hermite, trapezoid
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


def divergence(first: Array, second: Array) -> Any:
    """sum first log(first / second) over the last axis, spelled out; the entries are positive."""
    return np.sum(first * np.log(first / second), axis=-1)


def package_divergence(first: Array, second: Array) -> Any:
    """The same by `kl_divergence`; leading axes are a batch."""
    return kl_divergence(Categorical(np.log(first)), Categorical(np.log(second)))


# ---------------------------------------------------------------------------------- C1 and C2: Gibbs and Jensen


def q_is_p(rng: Rng) -> DiscreteWitness:
    w = DiscreteWitness.draw(rng)
    return replace(w, q=Categorical(np.log(w.model.prior)))


C1 = Derivation(
    "C1",
    "Gibbs' inequality: KL is never negative",
    draw=DiscreteWitness.draw,
    assumptions="p and q are densities in z, p(z) > 0 wherever q(z) > 0; equality only for q = p",
    source="Cover and Thomas 2006, theorem 2.6.3",
    lines=(
        Line("0", lambda w: 0.0),
        Line(
            r"\sum_z q(z) \left(1 - \frac{p(z)}{q(z)}\right)",
            lambda w: np.sum(w.q.probs * (1 - w.model.prior / w.q.probs)),
            reason="both sum to one: 0 = 1 - 1",
        ),
        Line(
            E(q, log_q - log_prior),
            reason="1 - t ≤ -log t, and equal only at t = 1, where q = p",
            relation="<=",
            equality=q_is_p,
        ),
        Line(KL(q, prior), reason="definition of KL"),
        Line(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(w.q, Categorical(np.log(w.model.prior))),
            reason="the same in the package",
        ),
    ),
    slips=(
        Slip(
            2,
            "strictly positive",
            "It looks like KL was called positive: it is zero when q = p, and there the bound is tight.",
            relation="<",
            real="a published note: KL is always positive",
        ),
        Slip(
            2,
            "not a density",
            "It looks like p(x|z) stands where a density in z belongs: it need not sum to one, so this can be negative.",
            E(q, log_q - log_lik),
            real="a published note: KL(q(z|x) || p(x|z)) is positive by Jensen",
        ),
        Slip(
            2,
            "quotient turned around",
            "It looks like the quotient is upside down: E under q of log(p/q) is minus the KL.",
            E(q, log_prior - log_q),
        ),
        Slip(
            3,
            "expectation under p",
            "It looks like the average was taken under p: KL(q || p) averages under its first argument.",
            E(prior, log_q - log_prior),
        ),
    ),
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


C2 = Derivation(
    "C2",
    "Jensen's inequality for the logarithm",
    draw=Weights.draw,
    assumptions="w > 0; equality only if w is constant",
    source="Jensen 1906",
    lines=(
        Line(r"\log \mathbb{E}[w]", lambda w: np.log(w.mean)),
        Line(
            r"\mathbb{E}\left[\log m + \frac{w - m}{m}\right],\quad m = \mathbb{E}[w]",
            lambda w: w.probability @ (np.log(w.mean) + (w.value - w.mean) / w.mean),
            reason="the tangent of log at m; E[w - m] = 0",
        ),
        Line(
            r"\mathbb{E}[\log w]",
            lambda w: w.probability @ np.log(w.value),
            reason="the tangent lies above: log is concave",
            relation=">=",
            gap=lambda w: package_divergence(w.probability, w.reweighted),
            equality=Weights.draw_constant,
        ),
        Line(
            r"\log \mathbb{E}[w] - \mathrm{KL}(\pi \,\Vert\, \rho),\quad \rho_i = \pi_i w_i / \mathbb{E}[w]",
            lambda w: np.log(w.mean) - divergence(w.probability, w.reweighted),
            reason="what Jensen loses is a KL: never negative (C1)",
        ),
    ),
    slips=(
        Slip(
            2,
            "Jensen turned around",
            "It looks like Jensen was used for a convex function: log is concave, its average lies below.",
            relation="<=",
        ),
        Slip(
            2,
            "log and expectation exchanged",
            "It looks like log E and E log were taken to be the same: that holds only if w is constant.",
            relation="=",
        ),
        Slip(
            2,
            "strict",
            "It looks like the case of equality was forgotten: for a constant w nothing is lost.",
            relation=">",
        ),
        Slip(
            2,
            "a weaker bound",
            "It looks like the gap was counted twice: the bound holds, but more is lost than Jensen loses.",
            lambda w: 2 * (w.probability @ np.log(w.value)) - np.log(w.mean),
            latex=r"2\,\mathbb{E}[\log w] - \log \mathbb{E}[w]",
        ),
        Slip(
            3,
            "gap swapped",
            "It looks like the arguments of KL were exchanged: the average is under the law of w.",
            lambda w: np.log(w.mean) - divergence(w.reweighted, w.probability),
            latex=r"\log \mathbb{E}[w] - \mathrm{KL}(\rho \,\Vert\, \pi)",
        ),
    ),
)


# ---------------------------------------------------------------------------------- C4 and C5: KL is no distance


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
            values={"p": self.p, "q": self.q},
            ranges={"i": len(self.p)},
        )


TWO_COINS = TablePair(np.array([0.5, 0.5]), np.array([0.9, 0.1]))  # KL is 0.5108 one way, 0.3681 the other

C4 = Derivation(
    "C4",
    "KL is not symmetric",
    draw=TablePair.draw_far_apart,
    assumptions="p and q generic: for some pairs, such as two mirrored coins, both ways agree",
    source="Kullback and Leibler 1951",
    lines=(
        Line(r"\sum_z p(z) \log\frac{p(z)}{q(z)}", lambda w: divergence(w.p, w.q)),
        Line(
            r"\mathrm{KL}(p \,\Vert\, q)",
            lambda w: package_divergence(w.p, w.q),
            reason="definition; averaged under p",
        ),
        Line(
            r"\sum_z q(z) \log\frac{q(z)}{p(z)}",
            lambda w: divergence(w.q, w.p),
            reason="another average of another quotient",
            relation="!=",
        ),
        Line(
            r"\mathrm{KL}(q \,\Vert\, p)",
            lambda w: package_divergence(w.q, w.p),
            reason="definition; averaged under q",
        ),
    ),
    slips=(
        Slip(
            1,
            "arguments exchanged",
            "It looks like the arguments were exchanged: KL(p || q) averages under p.",
            lambda w: package_divergence(w.q, w.p),
            latex=r"\mathrm{KL}(q \,\Vert\, p)",
        ),
        Slip(
            2,
            "a distance",
            "It looks like KL was taken for a distance: from p to q is not as far as from q to p.",
            relation="=",
            real="a published note: KL as a distance",
        ),
        Slip(
            2,
            "both signs changed",
            "It looks like sign and quotient were both turned, and the average is still under p: that is KL(p || q) again.",
            lambda w: -np.sum(w.p * np.log(w.q / w.p)),
            latex=r"-\sum_z p(z) \log\frac{q(z)}{p(z)}",
        ),
    ),
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


def half_square(w: ThreeSteps, steps: int) -> float:
    """(steps delta)^2 / (2 sigma^2): KL between Gaussians of one width."""
    return (steps * w.step) ** 2 / (2 * w.scale**2)


def averaged_log_ratio(first: Normal, second: Normal) -> Estimate:
    """E under `first` of log(first / second) by Gauss-Hermite: exact, since the logarithm is quadratic."""
    return gauss_hermite(lambda z: first.log_prob(z) - second.log_prob(z), first.loc, first.scale, n=2)


C5 = Derivation(
    "C5",
    "a detour can cost less: no triangle inequality",
    draw=ThreeSteps.draw,
    assumptions="p, q, r Gaussians of width σ at distance δ from each to the next",
    source="counterexample: N(0, 1), N(1, 1) and N(2, 1) give 2 > 1/2 + 1/2",
    lines=(
        Line(
            r"\mathbb{E}_{p}\left[\log\frac{p(z)}{r(z)}\right]",
            lambda w: averaged_log_ratio(w.after(0), w.after(2)),
            reason="two steps at once, by Gauss-Hermite",
        ),
        Line(
            r"\mathrm{KL}(p \,\Vert\, r)",
            lambda w: kl_divergence(w.after(0), w.after(2)),
            reason="definition, as computed by the package",
        ),
        Line(
            r"\frac{(2\delta)^2}{2\sigma^2}",
            lambda w: half_square(w, 2),
            reason="one width: half the squared distance in units of σ",
        ),
        Line(
            r"\frac{\delta^2}{2\sigma^2} + \frac{\delta^2}{2\sigma^2}",
            lambda w: half_square(w, 1) + half_square(w, 1),
            reason="4 squares against 1 + 1: two are lost",
            relation=">",
            gap=lambda w: (w.step / w.scale) ** 2,
        ),
        Line(
            r"\mathrm{KL}(p \,\Vert\, q) + \mathrm{KL}(q \,\Vert\, r)",
            lambda w: kl_divergence(w.after(0), w.after(1)) + kl_divergence(w.after(1), w.after(2)),
            reason="the detour over q, one step at a time",
        ),
    ),
    slips=(
        Slip(
            2,
            "distances not squared",
            "It looks like KL was taken to grow with the distance: it grows with its square.",
            lambda w: abs(2 * w.step) / (2 * w.scale),
            latex=r"\frac{|2\delta|}{2\sigma}",
        ),
        Slip(
            3,
            "triangle inequality",
            "It looks like KL was taken for a distance: here the straight way costs more than the detour.",
            relation="<=",
            real="a published note: KL as a distance",
        ),
        Slip(
            3,
            "steps added before squaring",
            "It looks like the two steps were added and then squared: that is the straight way again.",
            lambda w: (w.step + w.step) ** 2 / (2 * w.scale**2),
            latex=r"\frac{(\delta + \delta)^2}{2\sigma^2}",
        ),
    ),
)


# ---------------------------------------------------------------------------------- C6 and C7: pairs and factors


def rows(table: Array) -> Array:
    """p(x), shape (n, 1), of a joint table p(x, y) of shape (n, m)."""
    return table.sum(axis=1, keepdims=True)


def given_row(table: Array) -> Array:
    """p(y | x), shape (n, m)."""
    return table / rows(table)


def by_chain_rule(weights: Callable[[TablePair], Array], conditional: float = 1.0) -> Any:
    """KL(p(x) || q(x)) + conditional * sum_x weights(x) KL(p(y|x) || q(y|x)), each by the package."""

    def value(w: TablePair) -> float:
        each = package_divergence(given_row(w.p), given_row(w.q))  # one for each x
        first = package_divergence(w.p.sum(axis=1), w.q.sum(axis=1))
        return float(first + conditional * weights(w) @ each)

    return value


C6 = Derivation(
    "C6",
    "chain rule of KL",
    draw=partial(TablePair.draw, shape=(3, 4)),
    assumptions="q(x, y) > 0 wherever p(x, y) > 0",
    source="Cover and Thomas 2006, theorem 2.5.3",
    lines=(
        Line(
            r"\sum_{x,y} p(x, y) \log\frac{p(x, y)}{q(x, y)}",
            lambda w: np.sum(w.p * np.log(w.p / w.q)),
        ),
        Line(
            r"\mathrm{KL}(p(x, y) \,\Vert\, q(x, y))",
            lambda w: package_divergence(w.p.ravel(), w.q.ravel()),
            reason="definition of KL; the pair (x, y) is one variable",
        ),
        Line(
            r"\sum_{x,y} p(x, y) \left[\log\frac{p(x)}{q(x)} + \log\frac{p(y \mid x)}{q(y \mid x)}\right]",
            lambda w: np.sum(w.p * (np.log(rows(w.p) / rows(w.q)) + np.log(given_row(w.p) / given_row(w.q)))),
            reason="product rule (A2), above and below",
        ),
        Line(
            r"\sum_{x} p(x) \log\frac{p(x)}{q(x)} + \sum_{x} p(x) \sum_{y} p(y \mid x) \log\frac{p(y \mid x)}{q(y \mid x)}",
            lambda w: (
                divergence(w.p.sum(axis=1), w.q.sum(axis=1))
                + w.p.sum(axis=1) @ divergence(given_row(w.p), given_row(w.q))
            ),
            reason="sum over y first: given x, p(y) sums to one",
        ),
        Line(
            r"\mathrm{KL}(p(x) \,\Vert\, q(x)) + \mathbb{E}_{p(x)}\left[\mathrm{KL}(p(y \mid x) \,\Vert\, q(y \mid x))\right]",
            by_chain_rule(lambda w: w.p.sum(axis=1)),
            reason="definition of KL, twice",
        ),
    ),
    slips=(
        Slip(
            4,
            "average under q",
            "It looks like the conditional part was averaged under q(x): all averages here are under p.",
            by_chain_rule(lambda w: w.q.sum(axis=1)),
            latex=r"\mathrm{KL}(p(x) \,\Vert\, q(x)) + \mathbb{E}_{q(x)}\left[\mathrm{KL}(p(y \mid x) \,\Vert\, q(y \mid x))\right]",
        ),
        Slip(
            4,
            "plain mean over x",
            "It looks like every x was given the same weight: a frequent x counts more, by p(x).",
            by_chain_rule(lambda w: np.full(len(w.p), 1 / len(w.p))),
            latex=r"\mathrm{KL}(p(x) \,\Vert\, q(x)) + \frac{1}{n} \sum_x \mathrm{KL}(p(y \mid x) \,\Vert\, q(y \mid x))",
        ),
        Slip(
            4,
            "no conditional part",
            "It looks like only x was compared: what y still adds, once x is known, is missing.",
            by_chain_rule(lambda w: w.p.sum(axis=1), conditional=0.0),
            latex=r"\mathrm{KL}(p(x) \,\Vert\, q(x))",
        ),
        Slip(
            3,
            "marginals of both",
            "It looks like x and y were taken to be independent: p(y|x) is not p(y).",
            lambda w: divergence(w.p.sum(axis=1), w.q.sum(axis=1)) + divergence(w.p.sum(axis=0), w.q.sum(axis=0)),
            latex=r"\mathrm{KL}(p(x) \,\Vert\, q(x)) + \mathrm{KL}(p(y) \,\Vert\, q(y))",
        ),
    ),
)


@dataclass(frozen=True)
class Factors:
    """q = q_1 q_2 q_3 and p = p_1 p_2 p_3 over independent coordinates with 2, 3 and 4 values."""

    q: tuple[Array, ...]
    p: tuple[Array, ...]

    @classmethod
    def draw(cls, rng: Rng) -> Factors:
        return cls(*(tuple(generic_probabilities(rng, (n,)) for n in (2, 3, 4)) for _ in range(2)))


def over_all(parts: tuple[Array, ...]) -> Array:
    """The product of the parts at every (z_1, z_2, z_3), shape (2, 3, 4)."""
    return np.einsum("i,j,k->ijk", *parts)


def sum_over_all(parts: tuple[Array, ...]) -> Array:
    """The sum of the parts at every (z_1, z_2, z_3), shape (2, 3, 4)."""
    one, two, three = parts
    return one[:, None, None] + two[:, None] + three


def each_factor(w: Factors) -> Array:
    """KL(q_j || p_j) for each j."""
    return np.array([package_divergence(a, b) for a, b in zip(w.q, w.p, strict=True)])


C7 = Derivation(
    "C7",
    "KL adds up over independent coordinates",
    draw=Factors.draw,
    assumptions="both q and p factorize",
    source="Cover and Thomas 2006, theorem 2.5.3",
    lines=(
        Line(
            r"\sum_z q(z) \log\frac{\prod_j q_j(z_j)}{\prod_j p_j(z_j)}",
            lambda w: np.sum(over_all(w.q) * np.log(over_all(w.q) / over_all(w.p))),
            reason="definition; q and p are products, z = (z₁, z₂, z₃)",
        ),
        Line(
            r"\sum_z q(z) \sum_j \log\frac{q_j(z_j)}{p_j(z_j)}",
            lambda w: np.sum(over_all(w.q) * sum_over_all(tuple(np.log(a / b) for a, b in zip(w.q, w.p, strict=True)))),
            reason="the logarithm of a product is a sum",
        ),
        Line(
            r"\sum_j \sum_{z_j} q_j(z_j) \log\frac{q_j(z_j)}{p_j(z_j)}",
            lambda w: sum(divergence(a, b) for a, b in zip(w.q, w.p, strict=True)),
            reason="the other coordinates sum to one",
        ),
        Line(
            r"\sum_j \mathrm{KL}(q_j \,\Vert\, p_j)",
            lambda w: np.sum(each_factor(w)),
            reason="definition of KL, as computed by the package",
        ),
    ),
    slips=(
        Slip(
            3,
            "mean over coordinates",
            "It looks like the coordinates were averaged: then the KL weighs too little, here by a factor of three.",
            lambda w: np.mean(each_factor(w)),
            latex=r"\frac{1}{k} \sum_j \mathrm{KL}(q_j \,\Vert\, p_j)",
        ),
        Slip(
            3,
            "largest coordinate",
            "It looks like only the worst coordinate was counted: each one costs.",
            lambda w: np.max(each_factor(w)),
            latex=r"\max_j \mathrm{KL}(q_j \,\Vert\, p_j)",
        ),
        Slip(
            2,
            "arguments exchanged",
            "It looks like q and p were exchanged: the sum is weighted by the first argument.",
            lambda w: sum(divergence(b, a) for a, b in zip(w.q, w.p, strict=True)),
            latex=r"\sum_j \sum_{z_j} p_j(z_j) \log\frac{p_j(z_j)}{q_j(z_j)}",
        ),
    ),
)


# ---------------------------------------------------------------------------------- C8: another coordinate


def half_line(f: Callable[[Array], Array]) -> Estimate:
    """The integral of f over y > 0: the trapezoid rule in t with y = exp(pi/2 sinh t) (Takahasi and Mori 1974)."""

    def integrand(t: Array) -> Array:
        y = np.exp(np.pi / 2 * np.sinh(t))
        return f(y) * y * np.pi / 2 * np.cosh(t)

    return trapezoid(integrand, -5.0, 5.0)


def log_density_of_exp(law: Normal, y: Array) -> Array:
    """log of q(log y) / y: the density of y = exp z, for z under the law."""
    return law.log_prob(np.log(y)) - np.log(y)


def integral_over_y(log_ratio: Callable[[NormalPair, Array], Array]) -> Any:
    """The integral of q_Y(y) log_ratio(y) over y > 0."""
    return lambda w: half_line(lambda y: density_times(log_density_of_exp(w.q, y), log_ratio(w, y)))


C8 = Derivation(
    "C8",
    "KL does not depend on the coordinate",
    draw=NormalPair.draw,
    assumptions="the same invertible map for q and p, here y = exp z: two log-normal laws",
    source="Kullback and Leibler 1951, section 4",
    lines=(
        Line(
            r"\int_0^\infty q_Y(y) \log\frac{q_Y(y)}{p_Y(y)}\,dy",
            integral_over_y(lambda w, y: log_density_of_exp(w.q, y) - log_density_of_exp(w.p, y)),
            reason="KL in y = exp z, where q_Y(y) = q(log y) / y",
        ),
        Line(
            r"\int_0^\infty q_Y(y) \log\frac{q(\log y)}{p(\log y)}\,dy",
            integral_over_y(lambda w, y: w.q.log_prob(np.log(y)) - w.p.log_prob(np.log(y))),
            reason="both have the same Jacobian 1/y: it cancels",
        ),
        Line(
            r"\int q(z) \log\frac{q(z)}{p(z)}\,dz",
            lambda w: averaged_log_ratio(w.q, w.p),
            reason="substitute z = log y, dz = dy / y",
        ),
        Line(
            r"\mathrm{KL}(q \,\Vert\, p)",
            lambda w: kl_divergence(w.q, w.p),
            reason="definition, as computed by the package",
        ),
    ),
    slips=(
        Slip(
            1,
            "Jacobian on one side",
            "It looks like only q got its Jacobian 1/y: p lives in the same coordinate and gets it too.",
            integral_over_y(lambda w, y: log_density_of_exp(w.q, y) - w.p.log_prob(np.log(y))),
            latex=r"\int_0^\infty q_Y(y) \log\frac{q_Y(y)}{p(\log y)}\,dy",
        ),
        Slip(
            1,
            "only q transformed",
            "It looks like only q was carried over to y: p is still a density of z, read at the number y.",
            integral_over_y(lambda w, y: log_density_of_exp(w.q, y) - w.p.log_prob(y)),
            latex=r"\int_0^\infty q_Y(y) \log\frac{q_Y(y)}{p(y)}\,dy",
        ),
        Slip(
            2,
            "weight not transformed back",
            "It looks like the Jacobian stayed in the weight: q_Y(y) dy = q(z) dz, nothing is left over.",
            lambda w: gauss_hermite(lambda z: np.exp(-z) * (w.q.log_prob(z) - w.p.log_prob(z)), w.q.loc, w.q.scale),
            latex=r"\int \frac{q(z)}{e^{z}} \log\frac{q(z)}{p(z)}\,dz",
        ),
    ),
)

CHAPTER = (C1, C2, C4, C5, C6, C7, C8)
