r"""Chapter E, continued: what Gaussians do under maps, products and conditioning.

With it stand two facts about their entropy (D4, D7), and the KL of discrete laws in logits (E16).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation import derive
from vaelib.distributions import (
    Categorical,
    Exponential,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib.elbo import density_times
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import Pieces
from vaelib.formula.worlds import Law, Table
from vaelib.ledger.c_geometry import MixtureAndGaussians, generic_matrix
from vaelib.ledger.d_entropy import by_gauss_hermite, side_by_side
from vaelib.ledger.e_gaussian import full_kl
from vaelib.quadrature import gauss_hermite_multivariate, gauss_legendre
from vaelib.witnesses import MultivariatePair, NormalPair, away_from_zero, generic_probabilities, generic_scale

Array = np.ndarray
Rng = np.random.Generator


# --------------------------------------------------------------------------------- D4: the Gaussian is the most uncertain


@dataclass(frozen=True)
class Box:
    """The uniform law on [low, low + width]."""

    low: float
    width: float

    def log_prob(self, z: Array) -> Array:
        return np.full(np.shape(z), -np.log(self.width))

    @property
    def mean(self) -> float:
        return self.low + self.width / 2

    @property
    def variance(self) -> float:
        return self.width**2 / 12


@dataclass(frozen=True)
class FourLaws:
    """A mixture of two Gaussians, a Laplace, an exponential and a uniform law; none of them is Gaussian."""

    mixture: MixtureAndGaussians
    laplace: Laplace
    exponential: Exponential
    box: Box

    @classmethod
    def draw(cls, rng: Rng) -> FourLaws:
        box = Box(float(away_from_zero(rng, 0.5, 2.0)), float(np.exp(rng.uniform(0.3, 1.5))))
        scale = generic_scale(rng)
        return cls(
            MixtureAndGaussians.draw(rng),
            Laplace(away_from_zero(rng, 0.3, 1.5), scale),
            Exponential(generic_scale(rng)),
            box,
        )

    @property
    def parts(self) -> list[tuple[Any, float, float]]:
        """(law, a, b): all but e^-45 of each law lies in [a, b]; the kink of the Laplace in the middle of it."""
        mixture, laplace, box = self.mixture, self.laplace, self.box
        reach = 9.5 * mixture.scale
        return [
            (mixture, float(np.min(mixture.loc - reach)), float(np.max(mixture.loc + reach))),
            (laplace, float(laplace.loc - 45 * laplace.scale), float(laplace.loc + 45 * laplace.scale)),
            (self.exponential, 0.0, float(45 / self.exponential.rate)),
            (box, box.low, box.low + box.width),
        ]

    def members(self) -> list[Scope]:
        """Each law p with its moments m and v, and the Gaussian g that has them."""
        return [
            Scope(
                worlds={"p": Law("z", law), "g": Law("z", with_same_moments(law))},
                values={"m": law.mean, "v": law.variance},
                spaces={"z": Pieces((low, *([law.loc] if isinstance(law, Laplace) else []), high))},
            )
            for law, low, high in self.parts
        ]


@dataclass(frozen=True)
class FourGaussians(FourLaws):
    """The case of equality: four Gaussians in place of the four laws."""

    @classmethod
    def draw(cls, rng: Rng) -> FourGaussians:
        laws = FourLaws.draw(rng)
        return cls(laws.mixture, laws.laplace, laws.exponential, laws.box)

    @property
    def parts(self) -> list[tuple[Any, float, float]]:
        laws = [Normal(loc, scale) for loc, scale in zip(self.mixture.q_loc, self.mixture.q_scale, strict=True)][:4]
        return [(q, float(q.loc - 9.5 * q.scale), float(q.loc + 9.5 * q.scale)) for q in laws]


def with_same_moments(law: Any) -> Normal:
    return Normal(law.mean, np.sqrt(law.variance))


def averaged(f: Callable[[Any, Array], Array]) -> Callable[[FourLaws], Estimate]:
    """E[f(law, z)] with z under the law, for each of the four: Gauss-Legendre on panels."""

    def value(w: FourLaws) -> Estimate:
        def one(law: Any, a: float, b: float) -> Estimate:
            def integrand(u: Array) -> Array:
                z = a + (b - a) * u
                return (b - a) * density_times(law.log_prob(z), f(law, z))

            return gauss_legendre(
                integrand, 0.0, 1.0, panels=14
            )  # one rule for all laws, remembered; a panel ends at the kink

        return side_by_side([one(*part) for part in w.parts])

    return value


def four(f: Callable[[Any], Any]) -> Callable[[FourLaws], Array]:
    """f of each of the four laws."""
    return lambda w: np.array([float(f(law)) for law, _, _ in w.parts])


kl_to_matched = averaged(lambda law, z: law.log_prob(z) - with_same_moments(law).log_prob(z))


D4 = (
    derive(
        "D4",
        "of all laws with one variance, the Gaussian has the most entropy",
        FourLaws.draw,
        assumptions="p has mean m and variance v; g = N(m, v); p a mixture, a Laplace, an exponential, a uniform law",
        source="Cover and Thomas 2006, theorem 8.6.5",
    )
    .start(tex(r"\mathrm{H}(p) = -\int p(z) \log p(z)\,dz"))
    .eq(
        tex(r"-\mathbb{E}_{p}[\log g(z)] - \mathrm{KL}(p \,\Vert\, g)"),
        "KL = cross-entropy - entropy (D3), solved for H(p)",
    )
    .le(
        tex(r"-\mathbb{E}_{p}[\log g(z)]"),
        "KL ≥ 0 (C1); equal only for p = g",
        gap=kl_to_matched,
        equality=FourGaussians.draw,
    )
    .slip(
        "least entropy",
        says="the inequality is turned around: H(p) lies below the cross-entropy, by KL.",
        relation=">=",
    )
    .slip("strictly less", says="the case of equality was forgotten: a Gaussian p reaches the bound.", relation="<")
    .eq(tex(r"\tfrac12\log 2\pi v + \tfrac{1}{2v}\,\mathbb{E}_{p}[(z - m)^2]"), "insert log g")
    .eq(tex(r"\tfrac12\log 2\pi e\,v"), "E[(z - m)²] = v: all that g asks of p")
    .slip(
        "no e",
        tex(r"\tfrac12\log 2\pi v"),
        "the quadratic form was dropped: its mean is 1/2 whatever p is, and that is log e / 2.",
    )
    .slip(
        "scale for variance",
        tex(r"\tfrac12\log 2\pi e \sqrt{v}"),
        "the standard deviation stands in the logarithm of the variance.",
    )
    .slip(
        "not centered",
        tex(r"\tfrac12\log 2\pi e\,\mathbb{E}_{p}[z^2]"),
        "E[z²] was taken for the variance: the square of the mean has to go.",
    )
    .eq(tex(r"\mathrm{H}(g)"), "the package's g.entropy(), as in D1")
)


# ---------------------------------------------------------------------------------------- D7: entropy below zero

NARROW = 1 / np.sqrt(2 * np.pi * np.e)  # the scale of a Gaussian with entropy zero


@dataclass(frozen=True)
class Widths:
    """Six Gaussians: three narrower than the one with entropy 0, three wider."""

    loc: Array
    scale: Array

    @classmethod
    def draw(cls, rng: Rng) -> Widths:
        size = np.concatenate([-rng.uniform(0.2, 2.5, 3), rng.uniform(0.2, 2.5, 3)])
        return cls(away_from_zero(rng, 0.3, 1.5, (6,)), NARROW * np.exp(size))

    @classmethod
    def draw_edge(cls, rng: Rng) -> Widths:
        w = cls.draw(rng)
        return cls(w.loc, np.full(6, NARROW))

    def each(self, f: Callable[[Normal], Any]) -> Estimate:
        return side_by_side([f(Normal(loc, scale)) for loc, scale in zip(self.loc, self.scale, strict=True)])

    def members(self) -> list[Scope]:
        """q of each width."""
        return [
            Scope(worlds={"q": Law("z", Normal(loc, scale))}, values={r"\sigma": scale})
            for loc, scale in zip(self.loc, self.scale, strict=True)
        ]


def slope_missing(w: Widths) -> Estimate:
    """The integral of 1 - 1/s for s from 1 to sigma / sigma_0: what log t <= t - 1 gives away."""

    def one(ratio: float) -> Estimate:
        low, high = sorted((1.0, ratio))
        integral = gauss_legendre(lambda s: 1 - 1 / s, low, high)
        return integral if ratio > 1 else -integral

    return side_by_side([one(float(ratio)) for ratio in w.scale / NARROW])


D7 = (
    derive(
        "D7",
        "a narrow Gaussian has negative entropy",
        Widths.draw,
        assumptions="natural logarithm; a density in units of z: other units move the entropy by a constant",
        source="Cover and Thomas 2006, section 8.1; D1 solved for entropy 0",
    )
    .start(tex(r"-\int q(z) \log q(z)\,dz"))
    .eq(tex(r"\tfrac12\log 2\pi e\,\sigma^2"), "D1 in one dimension")
    .slip(
        "scale for variance",
        tex(r"\tfrac12\log 2\pi e\,\sigma"),
        "the scale stands where the variance belongs: half of log sigma^2 is log sigma.",
    )
    .eq(
        tex(r"\log\frac{\sigma}{\sigma_0},\quad \sigma_0 = (2\pi e)^{-1/2}"),
        "half the log of a square is the log of its root",
    )
    .slip(
        "zero where the peak is 1",
        tex(r"\log\frac{\sigma}{\sigma_0},\quad \sigma_0 = (2\pi)^{-1/2}"),
        "the entropy was set to 0 where the highest density is 1: it is the mean of -log q that counts.",
    )
    .eq(tex(r"\mathrm{H}(q)"), "the package's q.entropy()")
    .slip(
        "never negative",
        tex(r"\max(\mathrm{H}(q), 0)"),
        "entropy was taken to be at least 0: true for probabilities, but a density can exceed 1.",
    )
    .le(
        tex(r"\frac{\sigma}{\sigma_0} - 1"),
        "log t ≤ t - 1: below zero where σ lies below σ₀",
        gap=slope_missing,
        equality=Widths.draw_edge,
    )
    .slip("strict", says="the point of contact was forgotten: at entropy 0 the tangent touches.", relation="<")
)


# ---------------------------------------------------------------------------------- E6: KL does not see an affine map


@dataclass(frozen=True)
class Mapped:
    """Two full Gaussians in three dimensions, and an invertible map y = A z + b."""

    pair: MultivariatePair
    matrix: Array  # (3, 3), not symmetric
    shift: Array

    @classmethod
    def draw(cls, rng: Rng) -> Mapped:
        return cls(MultivariatePair.draw(rng, 3), generic_matrix(rng, 3), away_from_zero(rng, 0.3, 1.0, (3,)))

    @property
    def gap(self) -> Array:
        return self.pair.q.loc - self.pair.p.loc

    def image(self, law: MultivariateNormal, *, shift: bool = True) -> MultivariateNormal:
        """N(A mu + b, A S A^T)."""
        loc = self.matrix @ law.loc + (self.shift if shift else 0.0)
        return MultivariateNormal(loc, self.matrix @ law.covariance @ self.matrix.T)

    def scope(self) -> Scope:
        """q and p of z, their images under y = A z + b."""
        q, p = self.pair.q, self.pair.p
        q_y, p_y = self.image(q), self.image(p)
        values = {r"\mu_q": q.loc, r"\Sigma_q": q.covariance, r"\mu_p": p.loc, r"\Sigma_p": p.covariance}
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", p), "q_y": Law("y", q_y), "p_y": Law("y", p_y)},
            values={**values, "A": self.matrix, "b": self.shift, "k": q.loc.size, r"\delta": self.gap}
            | {"S_q": q_y.covariance, "S_p": p_y.covariance},
        )


def log_det(matrix: Array) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def with_inserted_unit(w: Mapped, dets: float = 1.0) -> float:
    """The closed form with A^-1 A = I put between its factors, and det(A)^2 above and below in the logarithm."""
    q, p, A, gap = w.pair.q, w.pair.p, w.matrix, w.gap
    unit = np.linalg.inv(A) @ A
    precision = np.linalg.inv(p.covariance)
    trace = np.trace(precision @ unit @ q.covariance @ unit.T)
    square = gap @ unit.T @ precision @ unit @ gap
    log_ratio = log_det(p.covariance) + dets * 2 * log_det(A) - (log_det(q.covariance) + 2 * log_det(A))
    return float(0.5 * (trace + square - len(gap) + log_ratio))


def regrouped(w: Mapped) -> float:
    """The closed form in A S A^T and A (mu_q - mu_p)."""
    A, gap = w.matrix, w.matrix @ w.gap
    s_q, s_p = (A @ law.covariance @ A.T for law in (w.pair.q, w.pair.p))
    trace, square = np.trace(np.linalg.solve(s_p, s_q)), gap @ np.linalg.solve(s_p, gap)
    return float(0.5 * (trace + square - len(gap) + log_det(s_p) - log_det(s_q)))


def not_transposed(w: Mapped) -> float:
    """The closed form with A S A, made symmetric, for A S A^T."""
    A, gap = w.matrix, w.matrix @ w.gap
    s_q, s_p = (A @ law.covariance @ A for law in (w.pair.q, w.pair.p))
    trace, square = np.trace(np.linalg.solve(s_p, s_q)), gap @ np.linalg.solve(s_p, gap)
    return float(0.5 * (trace + square - len(gap) + log_det(s_p) - log_det(s_q)))


def mean_log_ratio(q: Any, p: Any) -> Estimate:
    return by_gauss_hermite(q, lambda z: q.log_prob(z) - p.log_prob(z))


E6 = (
    derive(
        "E6",
        "KL does not change under y = A z + b",
        Mapped.draw,
        assumptions="A invertible, the same map for q and p",
        source="Kullback 1959, chapter 2, section 4; C8 for any invertible map",
    )
    .start(tex(r"\mathrm{KL}(q \,\Vert\, p)"))
    .eq(
        tex(
            r"\tfrac12\left[\mathrm{tr}(\Sigma_p^{-1} I \Sigma_q I^\top) + (I\delta)^\top \Sigma_p^{-1} I\delta - k + \log\tfrac{\det(A)^2 \det\Sigma_p}{\det(A)^2 \det\Sigma_q}\right],\quad I = A^{-1}A,\ \delta = \mu_q - \mu_p"
        ),
        "E4; insert A⁻¹A, expand by det(A)²",
    )
    .slip(
        "determinant on one side",
        given("TODO", lambda w: with_inserted_unit(w, dets=0.0)),
        "det(A)^2 was kept below only: it stands above as well and cancels.",
    )
    .eq(
        tex(
            r"\tfrac12\left[\mathrm{tr}(S_p^{-1} S_q) + (A\delta)^\top S_p^{-1} A\delta - k + \log\tfrac{\det S_p}{\det S_q}\right],\quad S = A \Sigma A^\top"
        ),
        "trace: cyclic; S_p⁻¹ = A⁻ᵀ Σ_p⁻¹ A⁻¹; determinants multiply",
    )
    .slip(
        "no transpose",
        given(r"\ldots,\quad S = A \Sigma A", not_transposed),
        "the covariance became A S A: the covariance of A z is A S A^T.",
    )
    .eq(
        tex(r"\mathrm{KL}(N(A\mu_q + b, S_q) \,\Vert\, N(A\mu_p + b, S_p))"),
        "E4 again, by the package: b cancels in the difference",
    )
    .slip(
        "only q mapped",
        tex(r"\mathrm{KL}(N(A\mu_q + b, S_q) \,\Vert\, N(\mu_p, \Sigma_p))"),
        "p stayed behind: both laws have to be carried over to y.",
    )
    .slip(
        "shift on one side",
        tex(r"\mathrm{KL}(N(A\mu_q + b, S_q) \,\Vert\, N(A\mu_p, S_p))"),
        "b was added to one mean only: added to both it cancels.",
    )
    .eq(tex(r"\mathbb{E}_{q_y}[\log q_y(y) - \log p_y(y)]"), "definition of KL, by Gauss-Hermite in y")
)


# ------------------------------------------------------------------------------------------ E10: a product of two Gaussians


@dataclass(frozen=True)
class TwoFactors:
    """N(z; a, A) and N(z; b, B), and fifteen points z."""

    a: float
    A: float
    b: float
    B: float
    z: Array

    @classmethod
    def draw(cls, rng: Rng) -> TwoFactors:
        pair = NormalPair.draw(rng)
        a, b = float(pair.q.loc), float(pair.p.loc)
        points = np.linspace(min(a, b) - 1.2, max(a, b) + 1.2, 15) + rng.uniform(-0.03, 0.03, 15)
        return cls(a, float(pair.q.scale**2), b, float(pair.p.scale**2), points)

    @property
    def C(self) -> float:
        return 1 / (1 / self.A + 1 / self.B)

    @property
    def c(self) -> float:
        return self.C * (self.a / self.A + self.b / self.B)

    def scope(self) -> Scope:
        """The two laws by their moments, and the points z."""
        return Scope(values={name: getattr(self, name) for name in "aAbBcCz"})


def density(z: Any, loc: float, variance: float) -> Array:
    return np.exp(Normal(loc, np.sqrt(variance)).log_prob(z))


def two_squares(w: TwoFactors) -> Array:
    return (w.z - w.a) ** 2 / w.A + (w.z - w.b) ** 2 / w.B


def completed_square(w: TwoFactors, rest: float = 1.0) -> Array:
    return (w.z - w.c) ** 2 / w.C + rest * (w.a - w.b) ** 2 / (w.A + w.B)


E10 = (
    derive(
        "E10",
        "the product of two Gaussian densities",
        TwoFactors.draw,
        assumptions="A, B > 0 are variances; 1/C = 1/A + 1/B, c/C = a/A + b/B",
        source="Bishop 2006, exercise 2.37 and section 2.3.3; Rasmussen and Williams 2006, appendix A.2",
    )
    .start(tex(r"N(z; a, A)\,N(z; b, B) \quad \forall z"))
    .eq(
        tex(r"\tfrac{1}{2\pi\sqrt{AB}} \exp\left(-\tfrac12\left[\tfrac{(z-a)^2}{A} + \tfrac{(z-b)^2}{B}\right]\right)"),
        "write both out; exponents add",
    )
    .eq(
        tex(
            r"\tfrac{1}{2\pi\sqrt{AB}} \exp\left(-\tfrac12\left[\tfrac{(z-c)^2}{C} + \tfrac{(a-b)^2}{A+B}\right]\right)"
        ),
        "complete the square in z",
    )
    .slip(
        "no remainder",
        tex(r"\tfrac{1}{2\pi\sqrt{AB}} \exp\left(-\tfrac12 \tfrac{(z-c)^2}{C}\right)"),
        "the part without z was dropped when the square was completed: here it is wanted.",
    )
    .eq(tex(r"N(a; b, A + B)\,N(z; c, C)"), "AB = (A + B) C: the constants are those of two Gaussians")
    .slip(
        "factor forgotten",
        tex(r"N(z; c, C)"),
        "the product was taken for a density: its integral is N(a; b, A + B), not 1.",
    )
    .slip(
        "variances multiplied",
        tex(r"N(a; b, AB)\,N(z; c, C)"),
        "the variance in the factor is A B: a - b has the variance A + B.",
    )
    .slip(
        "plain average",
        tex(r"N(a; b, A + B)\,N(z; \tfrac{a+b}{2}, C)"),
        "the center is (a + b)/2: the more precise factor pulls more.",
    )
    .slip(
        "variances added",
        tex(r"N(a; b, A + B)\,N(z; c, A + B)"),
        "the variances were added: that is the sum of two variables; in a product precisions add.",
    )
)


# ------------------------------------------------------------------------------------------ E11: the chain rule, Gaussian


@dataclass(frozen=True)
class Conditional:
    """Of a Gaussian over (z_1, z_2), z_1 in two dimensions: the law of z_1, and of z_2 given z_1."""

    loc: Array  # of z_1, (2,)
    covariance: Array  # of z_1, (2, 2)
    loc2: float
    slope: Array  # of the mean of z_2 in z_1, (2,)
    variance: float  # of z_2 given z_1: the Schur complement

    @classmethod
    def of(cls, law: MultivariateNormal) -> Conditional:
        block, across = law.covariance[:2, :2], law.covariance[:2, 2]
        slope = np.linalg.solve(block, across)
        return cls(law.loc[:2], block, law.loc[2], slope, law.covariance[2, 2] - across @ slope)

    @property
    def first(self) -> MultivariateNormal:
        return MultivariateNormal(self.loc, self.covariance)

    def second(self, z1: Array) -> Normal:
        """p(z_2 | z_1) at each z_1, shape (n, 2)."""
        return Normal(self.loc2 + (z1 - self.loc) @ self.slope, np.sqrt(self.variance))


def both(w: MultivariatePair) -> tuple[Conditional, Conditional]:
    return Conditional.of(w.q), Conditional.of(w.p)


def chain(w: MultivariatePair, under: str = "q") -> Estimate:
    """KL(q(z_1) || p(z_1)) + E[KL(q(z_2|z_1) || p(z_2|z_1))], the mean under q(z_1) or p(z_1)."""
    q, p = both(w)
    law = q.first if under == "q" else p.first
    inner = gauss_hermite_multivariate(
        lambda z1: kl_divergence(q.second(z1), p.second(z1)), law.loc, np.linalg.cholesky(law.covariance), n=2
    )
    return inner + kl_divergence(q.first, p.first)


def in_closed_form(w: MultivariatePair, *, spread: float = 1.0, schur: bool = True) -> float:
    """E1 for z_2, its squared gap averaged: the gap at the mean of q, and its variance over z_1."""
    q, p = both(w)
    v, s = (q.variance, p.variance) if schur else (w.q.covariance[2, 2], w.p.covariance[2, 2])
    change = q.slope - p.slope
    at_mean = q.loc2 - (p.loc2 + (q.loc - p.loc) @ p.slope)
    square = at_mean**2 + spread * change @ q.covariance @ change
    conditional = 0.5 * (np.log(s / v) + (v + square) / s - 1)
    return float(full_kl(q.first, p.first) + conditional)


E11 = (
    derive(
        "E11",
        "chain rule of the Gaussian KL, by Schur complements",
        MultivariatePair.draw,
        assumptions="z = (z_1, z_2) with z_1 in two dimensions; covariances positive definite",
        source="C6; Bishop 2006, section 2.3.1 for the conditional law",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log\frac{q(z_1, z_2)}{p(z_1, z_2)}\right]"))
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log\frac{q(z_1)}{p(z_1)} + \log\frac{q(z_2 \mid z_1)}{p(z_2 \mid z_1)}\right]"),
        "product rule (A2); conditionals by Schur complement",
    )
    .eq(
        tex(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \mathbb{E}_{q(z_1)}\left[\mathrm{KL}(q(z_2 \mid z_1) \,\Vert\, p(z_2 \mid z_1))\right]"
        ),
        "average over z_2 first: definition of KL, twice",
    )
    .slip(
        "average under p",
        given(r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \mathbb{E}_{p(z_1)}[\ldots]", lambda w: chain(w, under="p")),
        "the conditional part was averaged under p(z_1): all averages in KL(q || p) are under q.",
    )
    .slip(
        "marginals only",
        tex(r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \mathrm{KL}(q(z_2) \,\Vert\, p(z_2))"),
        "z_1 and z_2 were taken to be independent: the correlation is lost.",
    )
    .eq(
        given(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \tfrac12\left[\log\tfrac{V_p}{V_q} + \tfrac{V_q + d^2 + \Delta^\top \Sigma_{q,11} \Delta}{V_p} - 1\right]",
            in_closed_form,
        ),
        "E1; the mean gap is d + Δᵀ(z₁ - μ), squared and averaged",
    )
    .slip(
        "mean put in for z_1",
        given("TODO", lambda w: in_closed_form(w, spread=0.0)),
        "z_1 was replaced by its mean: where the two slopes differ, its spread costs too.",
    )
    .slip(
        "variance not reduced",
        given("TODO", lambda w: in_closed_form(w, schur=False)),
        "the variance of z_2 was left as it is: knowing z_1 reduces it, to the Schur complement.",
    )
    .eq(tex(r"\mathrm{KL}(q \,\Vert\, p)"), "the package's kl_divergence(q, p), of the whole")
)


# ------------------------------------------------------------------------------------------- E16: discrete laws in logits


@dataclass(frozen=True)
class Logits:
    """Log-odds a of q and b of p for a coin, and for a law on five states; neither set sums to anything."""

    coin: Array  # (2,): of q, of p
    table_q: Array  # (5,)
    table_p: Array  # (5,)

    @classmethod
    def draw(cls, rng: Rng) -> Logits:
        coin = away_from_zero(rng, 0.4, 2.0) * np.array([1.0, -rng.uniform(0.3, 0.7)])
        tables = (np.log(generic_probabilities(rng, (5,))) + away_from_zero(rng, 0.5, 2.0) for _ in range(2))
        return cls(coin, *tables)

    @property
    def logits(self) -> list[tuple[Array, Array]]:
        """(a, b) of the coin as a table (0, a), of the table, and of the table with a state that q excludes."""
        a, b = (np.array([0.0, logit]) for logit in self.coin)
        return [(a, b), (self.table_q, self.table_p), (np.append(self.table_q[:4], -np.inf), self.table_p)]

    def members(self) -> list[Scope]:
        """q and p as tables and by their logits."""
        return [
            Scope(
                worlds={"q": Table(("z",), probabilities(a)), "p": Table(("z",), probabilities(b))},
                values={"q": probabilities(a), "p": probabilities(b), "a": a, "b": b},
                ranges={"i": len(a)},
            )
            for a, b in self.logits
        ]


def probabilities(logits: Array) -> Array:
    weights = np.exp(logits)
    return weights / weights.sum()


def over_logits(f: Callable[[Array, Array], Any]) -> Callable[[Logits], Array]:
    """f(a, b) of the three pairs."""
    return lambda w: np.array([float(f(a, b)) for a, b in w.logits])


def spelled(q: Array, p: Array) -> float:
    """sum q log q/p over the states that q has; 0 log 0 = 0."""
    seen = q > 0
    return float(np.sum(q[seen] * np.log(q[seen] / p[seen])))


def by_logits(a: Array, b: Array, *, normalizers: float = 1.0) -> float:
    """E_q[a - b] - (log sum e^a - log sum e^b)."""
    q = probabilities(a)
    seen = q > 0
    mean = float(np.sum(q[seen] * (a[seen] - b[seen])))
    return mean - normalizers * float(logsumexp(a) - logsumexp(b))


def heads_only(a: Array, b: Array) -> float:
    """The last state's term alone."""
    q, p = probabilities(a), probabilities(b)
    return float(q[1] * np.log(q[1] / p[1]))


E16 = (
    derive(
        "E16",
        "KL between coins and between tables, in logits",
        Logits.draw,
        assumptions="q = softmax(a), p = softmax(b), a coin as logits (0, a); 0 log 0 = 0; p > 0 wherever q > 0",
        source="Cover and Thomas 2006, section 2.3",
    )
    .start(tex(r"\sum_i q_i \log\frac{q_i}{p_i}"))
    .eq(
        tex(r"\sum_i q_i\,(a_i - b_i) - \left(\log\sum_i e^{a_i} - \log\sum_i e^{b_i}\right)"),
        "log q = a - log sum exp(a): the weights sum to 1",
    )
    .slip(
        "not normalized",
        tex(r"\sum_i q_i\,(a_i - b_i)"),
        "the logits were taken for log-probabilities: they lack log of the sum of their exponentials.",
    )
    .slip(
        "heads only",
        given(r"q_1 \log\frac{q_1}{p_1}", over_logits(heads_only)),
        "one state was counted: tails cost as well, (1 - q) log (1 - q)/(1 - p).",
    )
    .eq(tex(r"\mathrm{KL}(q \,\Vert\, p)"), "the package's kl_divergence of logits")
    .slip(
        "exchanged",
        tex(r"\mathrm{KL}(p \,\Vert\, q)"),
        "q and p are exchanged: KL is not symmetric, and here one way is infinite.",
    )
    .slip(
        "probabilities for logits",
        given(
            "TODO",
            over_logits(lambda a, b: kl_divergence(Categorical(probabilities(a)), Categorical(probabilities(b)))),
        ),
        "probabilities were passed where logits are expected: 0.9 as a logit is a probability of 0.71.",
    )
)

CHAPTER = (D4, D7, E6, E10, E11, E16)
