r"""Chapter E, continued: what Gaussians do under maps, products and conditioning.

Here are also two facts about their entropy (D4, D7), and the KL of discrete laws in logits (E16).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import (
    Bernoulli,
    Categorical,
    Exponential,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib.formula import HALF, KL, H, det, given, log, symbols, tex, tr, where
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import Pieces
from vaelib.formula.worlds import Law, Table
from vaelib.ledger.c_geometry import MixtureAndGaussians, generic_matrix
from vaelib.ledger.e_gaussian import Sigma_p, Sigma_q, k, mu_p, mu_q, p, q
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
    def parts(self) -> list[tuple[Any, tuple[float, ...]]]:
        """Each law and where to integrate: all but e^-45 of it lies between the ends; peaks and kinks are edges."""
        mixture, laplace, box = self.mixture, self.laplace, self.box
        reach = 9.5 * mixture.scale
        low, high = np.min(mixture.loc - reach), np.max(mixture.loc + reach)
        return [
            (mixture, (low, *sorted(mixture.loc), high)),
            (laplace, (laplace.loc - 45 * laplace.scale, laplace.loc, laplace.loc + 45 * laplace.scale)),
            (self.exponential, (0.0, 45 / self.exponential.rate)),
            (box, (box.low, box.low + box.width)),
        ]

    def members(self) -> list[Scope]:
        """Each law p with its moments m and v, and the Gaussian g that has them."""
        return [
            Scope(
                worlds={"p": Law("z", law), "g": Law("z", with_same_moments(law))},
                values={"m": law.mean, "v": law.variance},
                spaces={"z": Pieces(tuple(map(float, edges)))},
            )
            for law, edges in self.parts
        ]


@dataclass(frozen=True)
class FourGaussians(FourLaws):
    """The case of equality: four Gaussians in place of the four laws."""

    @classmethod
    def draw(cls, rng: Rng) -> FourGaussians:
        laws = FourLaws.draw(rng)
        return cls(laws.mixture, laws.laplace, laws.exponential, laws.box)

    @property
    def parts(self) -> list[tuple[Any, tuple[float, ...]]]:
        laws = [Normal(loc, scale) for loc, scale in zip(self.mixture.q_loc, self.mixture.q_scale, strict=True)][:4]
        return [(q, (q.loc - 9.5 * q.scale, q.loc, q.loc + 9.5 * q.scale)) for q in laws]


def with_same_moments(law: Any) -> Normal:
    return Normal(law.mean, np.sqrt(law.variance))


D4 = (
    derive(
        "D4",
        "of all laws with a given variance, the Gaussian has the most entropy",
        FourLaws.draw,
        assumptions="p has mean m and variance v; g = N(m, v); p a mixture, a Laplace, an exponential, a uniform law",
        source="Cover and Thomas 2006, theorem 8.6.5",
    )
    .start(tex(r"-\int p(z) \log p(z)\,dz"), why="the entropy H(p)")
    .eq(
        tex(r"-\mathbb{E}_{p}[\log g(z)] - \mathrm{KL}(p \,\Vert\, g)"),
        "KL = cross-entropy - entropy (D3), solved for H(p)",
        why="a term that has a sign splits off",
        needs="finite mean and variance, so that there is a g",
    )
    .le(
        tex(r"-\mathbb{E}_{p}[\log g(z)]"),
        "KL ≥ 0 (C1); equal only for p = g",
        gap=tex(r"\mathrm{KL}(p \,\Vert\, g)"),
        equality=FourGaussians.draw,
    )
    .slip(
        "least entropy",
        says="the inequality is turned around: H(p) lies below the cross-entropy, by KL.",
        relation=">=",
    )
    .slip("strictly less", says="the case of equality was forgotten: a Gaussian p reaches the bound.", relation="<")
    .eq(
        tex(r"\tfrac12\log 2\pi v + \tfrac{1}{2v}\,\mathbb{E}_{p}[(z - m)^2]"),
        "insert log g",
        why="log g is quadratic: only two moments of p are left",
    )
    .eq(tex(r"\tfrac12\log 2\pi e\,v"), "E[(z - m)²] = v: all that g asks of p")
    .slip(
        "no e",
        tex(r"\tfrac12\log 2\pi v"),
        "the quadratic form was dropped: its mean is 1/2 whatever p is, and that is log e / 2.",
    )
    .slip(
        "scale for variance",
        tex(r"\tfrac12\log 2\pi e \sqrt{v}"),
        "the standard deviation is in the logarithm where the variance belongs.",
    )
    .slip(
        "not centered",
        tex(r"\tfrac12\log 2\pi e\,\mathbb{E}_{p}[z^2]"),
        "E[z²] was taken for the variance: the square of the mean has to go.",
    )
    .eq(
        given(r"\mathrm{H}(g)", lambda w: np.array([with_same_moments(law).entropy() for law, _ in w.parts])),
        "the package's g.entropy(), as in D1",
    )
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

    @property
    def laws(self) -> list[Normal]:
        return [Normal(loc, scale) for loc, scale in zip(self.loc, self.scale, strict=True)]

    def members(self) -> list[Scope]:
        """q of each width."""
        return [
            Scope(worlds={"q": Law("z", law)}, values={r"\sigma": law.scale, r"\sigma_0": NARROW}) for law in self.laws
        ]


D7 = (
    derive(
        "D7",
        "a narrow Gaussian has negative entropy",
        Widths.draw,
        assumptions="natural logarithm; a density in units of z: other units move the entropy by a constant",
        source="Cover and Thomas 2006, section 8.1; D1 solved for entropy 0",
    )
    .start(tex(r"-\int q(z) \log q(z)\,dz"))
    .eq(
        tex(r"\tfrac12\log 2\pi e\,\sigma^2"),
        "D1 in one dimension",
        needs="z has a unit: another one shifts the entropy",
    )
    .slip(
        "scale for variance",
        tex(r"\tfrac12\log 2\pi e\,\sigma"),
        "the scale is where the variance belongs: half of log sigma^2 is log sigma.",
    )
    .eq(
        tex(r"\log\frac{\sigma}{\sigma_0},\quad \sigma_0 = (2\pi e)^{-1/2}"),
        "half the log of a square is the log of its root",
        why=r"the sign can be read off: negative where $\sigma < \sigma_0$",
    )
    .slip(
        "zero where the peak is 1",
        tex(r"\log\frac{\sigma}{\sigma_0},\quad \sigma_0 = (2\pi)^{-1/2}"),
        "the entropy was set to 0 where the highest density is 1: it is the mean of -log q that counts.",
    )
    .eq(given(H(q), lambda w: np.array([law.entropy() for law in w.laws])), "the package's q.entropy()")
    .slip(
        "never negative",
        tex(r"\max(\mathrm{H}(q), 0)"),
        "entropy was taken to be at least 0: true for probabilities, but a density can exceed 1.",
    )
    .le(
        tex(r"\frac{\sigma}{\sigma_0} - 1"),
        "log t ≤ t - 1: below zero where σ lies below σ₀",
        gap=tex(r"\int_1^{\sigma/\sigma_0} \left(1 - \tfrac1s\right) ds"),
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

    def image(self, law: MultivariateNormal) -> MultivariateNormal:
        """N(A mu + b, A S A^T)."""
        return MultivariateNormal(self.matrix @ law.loc + self.shift, self.matrix @ law.covariance @ self.matrix.T)

    def scope(self) -> Scope:
        """q and p of z, their images under y = A z + b."""
        q, p = self.pair.q, self.pair.p
        images = {"q_y": Law("y", self.image(q)), "p_y": Law("y", self.image(p))}
        values = {r"\mu_q": q.loc, r"\Sigma_q": q.covariance, r"\mu_p": p.loc, r"\Sigma_p": p.covariance}
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", p), **images},
            values={**values, "A": self.matrix, "b": self.shift, "k": q.loc.size},
        )


A, unit, S_q, S_p, delta = symbols(r"A I S_q S_p \delta")
inserted = tr(Sigma_p**-1 @ unit @ Sigma_q @ unit.T) + (unit @ delta).T @ Sigma_p**-1 @ unit @ delta
unit_and_gap = ((unit, A**-1 @ A), (delta, mu_q - mu_p))
regrouped = HALF * (tr(S_p**-1 @ S_q) + (A @ delta).T @ S_p**-1 @ A @ delta - k + log(det(S_p) / det(S_q)))

E6 = (
    derive(
        "E6",
        "KL does not change under y = A z + b",
        Mapped.draw,
        assumptions="A invertible, the same map for q and p",
        source="Kullback 1959, chapter 2, section 4; C8 for any invertible map",
    )
    .start(KL(q, p))
    .eq(
        where(
            HALF * (inserted - k + log(det(A) ** 2 * det(Sigma_p) / (det(A) ** 2 * det(Sigma_q)))),
            *unit_and_gap,
        ),
        "E4; insert A⁻¹A, expand by det(A)²",
        why="the map can then move to either side of it",
        needs="A invertible",
    )
    .slip(
        "determinant on one side",
        where(HALF * (inserted - k + log(det(Sigma_p) / (det(A) ** 2 * det(Sigma_q)))), *unit_and_gap),
        "det(A)^2 was kept below only: it belongs above as well and cancels.",
    )
    .eq(
        where(regrouped, (S_q, A @ Sigma_q @ A.T), (S_p, A @ Sigma_p @ A.T)),
        "trace: cyclic; S_p⁻¹ = A⁻ᵀ Σ_p⁻¹ A⁻¹; determinants multiply",
        why="these are the mean and the covariances of y",
        needs="the same A for both laws",
    )
    .slip(
        "no transpose",
        where(regrouped, (S_q, A @ Sigma_q @ A), (S_p, A @ Sigma_p @ A)),
        "the covariance became A S A: the covariance of A z is A S A^T.",
    )
    .eq(
        given(
            r"\mathrm{KL}(N(A\mu_q + b, S_q) \,\Vert\, N(A\mu_p + b, S_p))",
            lambda w: kl_divergence(w.image(w.pair.q), w.image(w.pair.p)),
        ),
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
    def m(self) -> float:
        return self.C * (self.a / self.A + self.b / self.B)

    def scope(self) -> Scope:
        """The two laws by their moments, and the points z."""
        return Scope(values={name: getattr(self, name) for name in "aAbBmCz"})


E10 = (
    derive(
        "E10",
        "the product of two Gaussian densities",
        TwoFactors.draw,
        assumptions="A, B > 0 are variances; 1/C = 1/A + 1/B, m/C = a/A + b/B",
        source="Bishop 2006, exercise 2.37 and section 2.3.3; Rasmussen and Williams 2006, appendix A.2",
    )
    .start(tex(r"N(z; a, A)\,N(z; b, B) \quad \forall z"))
    .eq(
        tex(r"\tfrac{1}{2\pi\sqrt{AB}} \exp\left(-\tfrac12\left[\tfrac{(z-a)^2}{A} + \tfrac{(z-b)^2}{B}\right]\right)"),
        "write both out; exponents add",
        why="z is then in one exponent only",
    )
    .eq(
        tex(
            r"\tfrac{1}{2\pi\sqrt{AB}} \exp\left(-\tfrac12\left[\tfrac{(z-m)^2}{C} + \tfrac{(a-b)^2}{A+B}\right]\right)"
        ),
        "complete the square in z",
        why=r"what is left, $\tfrac{a^2}{A} + \tfrac{b^2}{B} - \tfrac{m^2}{C}$, is put over $AB(A+B)$",
    )
    .slip(
        "no remainder",
        tex(r"\tfrac{1}{2\pi\sqrt{AB}} \exp\left(-\tfrac12 \tfrac{(z-m)^2}{C}\right)"),
        "the part without z was dropped when the square was completed: here it is wanted.",
    )
    .eq(
        tex(r"N(a; b, A + B)\,N(z; m, C)"),
        "AB = (A + B) C: the constants are those of two Gaussians",
        why="of prior times likelihood, the factor without z is the evidence",
    )
    .slip(
        "factor forgotten",
        tex(r"N(z; m, C)"),
        "the product was taken for a density: its integral is N(a; b, A + B), not 1.",
    )
    .slip(
        "variances multiplied",
        tex(r"N(a; b, AB)\,N(z; m, C)"),
        "the variance in the factor is A B: a - b has the variance A + B.",
    )
    .slip(
        "plain average",
        tex(r"N(a; b, A + B)\,N(z; \tfrac{a+b}{2}, C)"),
        "the center is (a + b)/2: the more precise factor pulls more.",
    )
    .slip(
        "variances added",
        tex(r"N(a; b, A + B)\,N(z; m, A + B)"),
        "the variances were added: that is the sum of two variables; in a product precisions add.",
    )
)


# ------------------------------------------------------------------------------------------ E11: the chain rule, Gaussian


class Blocks(MultivariatePair):
    """A pair of Gaussians over (z_1, z_2), z_1 in two dimensions, with the blocks of their moments."""

    def scope(self) -> Scope:
        """Of q and p the blocks of mean and covariance; of z_2 given z_1 the slope b of its mean, and its variance V."""
        values: dict[str, Any] = {}
        for name, law in (("q", self.q), ("p", self.p)):
            values |= {rf"\mu_{{{name},1}}": law.loc[:2], rf"\mu_{{{name},2}}": law.loc[2]}
            values |= {
                rf"\Sigma_{{{name},11}}": law.covariance[:2, :2],
                rf"\Sigma_{{{name},12}}": law.covariance[:2, 2],
                rf"\Sigma_{{{name},22}}": law.covariance[2, 2],
            }
        definitions = {
            r"\Delta": r"\Sigma_{q,11}^{-1} \Sigma_{q,12} - \Sigma_{p,11}^{-1} \Sigma_{p,12}",
            "V_q": r"\Sigma_{q,22} - \Sigma_{q,12}^\top \Sigma_{q,11}^{-1} \Sigma_{q,12}",
            "V_p": r"\Sigma_{p,22} - \Sigma_{p,12}^\top \Sigma_{p,11}^{-1} \Sigma_{p,12}",
            "d": r"\mu_{q,2} - \mu_{p,2} - \Sigma_{p,12}^\top \Sigma_{p,11}^{-1} (\mu_{q,1} - \mu_{p,1})",
        }
        scope = super().scope()
        return replace(scope, values={**scope.values, **values}, definitions=definitions)


E11 = (
    derive(
        "E11",
        "chain rule of the Gaussian KL, by Schur complements",
        Blocks.draw,
        assumptions="z = (z_1, z_2) with z_1 in two dimensions; covariances positive definite",
        source="C6; Bishop 2006, section 2.3.1 for the conditional law",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log\frac{q(z_1, z_2)}{p(z_1, z_2)}\right]"))
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log\frac{q(z_1)}{p(z_1)} + \log\frac{q(z_2 \mid z_1)}{p(z_2 \mid z_1)}\right]"),
        "product rule (A2); conditionals by Schur complement",
        why="given z₁ only a Gaussian of one number is left",
    )
    .eq(
        tex(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \mathbb{E}_{q(z_1)}\left[\mathrm{KL}(q(z_2 \mid z_1) \,\Vert\, p(z_2 \mid z_1))\right]"
        ),
        "average over z_2 first: definition of KL, twice",
        why="E1 can be used at each z₁",
        needs="the average over z₁ is under q",
    )
    .slip(
        "average under p",
        tex(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \mathbb{E}_{p(z_1)}\left[\mathrm{KL}(q(z_2 \mid z_1) \,\Vert\, p(z_2 \mid z_1))\right]"
        ),
        "the conditional part was averaged under p(z_1): all averages in KL(q || p) are under q.",
    )
    .slip(
        "marginals only",
        tex(r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \mathrm{KL}(q(z_2) \,\Vert\, p(z_2))"),
        "z_1 and z_2 were taken to be independent: the correlation is lost.",
    )
    .eq(
        tex(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \tfrac12\left[\log\tfrac{V_p}{V_q} + \tfrac{V_q + d^2 + \Delta^\top \Sigma_{q,11} \Delta}{V_p} - 1\right]"
        ),
        "E1; the mean gap is d + Δᵀ(z₁ - μ), squared and averaged",
        why="V is the variance of z₂ given z₁, the Schur complement; Δ the difference of slopes",
    )
    .slip(
        "mean put in for z_1",
        tex(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \tfrac12\left[\log\tfrac{V_p}{V_q} + \tfrac{V_q + d^2}{V_p} - 1\right]"
        ),
        "z_1 was replaced by its mean: where the two slopes differ, its spread costs too.",
    )
    .slip(
        "variance not reduced",
        tex(
            r"\mathrm{KL}(q(z_1) \,\Vert\, p(z_1)) + \tfrac12\left[\log\tfrac{\Sigma_{p,22}}{\Sigma_{q,22}} + \tfrac{\Sigma_{q,22} + d^2 + \Delta^\top \Sigma_{q,11} \Delta}{\Sigma_{p,22}} - 1\right]"
        ),
        "the variance of z_2 was left as it is: knowing z_1 reduces it, to the Schur complement.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p), of the whole")
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


def coin_and_tables(w: Logits) -> Array:
    """The package's kl_divergence: of the coin as a coin, of the others as tables."""
    coin = kl_divergence(*(Bernoulli(logit) for logit in w.coin))
    return np.array([coin, *(kl_divergence(Categorical(a), Categorical(b)) for a, b in w.logits[1:])])


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
        why="no probability has to be computed",
        needs="a state with q = 0 counts as 0",
    )
    .slip(
        "not normalized",
        tex(r"\sum_i q_i\,(a_i - b_i)"),
        "the logits were taken for log-probabilities: they lack log of the sum of their exponentials.",
    )
    .slip(
        "heads only",
        tex(r"q_2 \log\frac{q_2}{p_2}"),
        "one state was counted: tails cost as well, (1 - q) log (1 - q)/(1 - p).",
    )
    .eq(given(KL(q, p), coin_and_tables), "the package's kl_divergence of logits")
    .slip(
        "swapped",
        given(
            KL(p, q),
            lambda w: np.array([kl_divergence(Categorical(b), Categorical(a)) for a, b in w.logits]),
        ),
        "q and p are swapped: KL is not symmetric, and here one way is infinite.",
    )
    .slip(
        "probabilities for logits",
        given(
            r"\mathrm{KL}(\mathrm{softmax}(q) \,\Vert\, \mathrm{softmax}(p))",
            lambda w: np.array(
                [kl_divergence(Categorical(probabilities(a)), Categorical(probabilities(b))) for a, b in w.logits]
            ),
        ),
        "probabilities were passed where logits are expected: 0.9 as a logit is a probability of 0.71.",
    )
)

CHAPTER = (D4, D7, E6, E10, E11, E16)
