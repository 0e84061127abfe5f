r"""Chapter E, continued: Gaussians in many dimensions made cheap, and divergences beside KL.

A covariance that is diagonal plus low rank (E5), a KL in whitened coordinates (E7), the symmetric KL (E13), the Renyi
divergence (E14), and how far mass has to be moved (E21).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import eigh

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.formula import KL, N, given, symbol, symbols, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Law
from vaelib.ledger.e_gaussian import Encoding
from vaelib.witnesses import MultivariatePair, NormalPair, away_from_zero, generic_loading, generic_scale

Array = np.ndarray
Rng = np.random.Generator

q, p = symbols("q p")


# --------------------------------------------------------------------------------------- E5: diagonal plus low rank


@dataclass(frozen=True)
class LowRank:
    """q = N(mu, D + U U^T) in three dimensions, D diagonal, U with two columns; the prior is N(0, I)."""

    loc: Array
    variances: Array  # the diagonal of D
    factor: Array  # U, shape (3, 2)

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> LowRank:
        loc, variances = away_from_zero(rng, 0.3, 1.5, (3,)), generic_scale(rng, (3,)) ** 2
        factor = generic_loading(rng, 3, 2)
        if kind == "near":
            return cls(0.1 * loc, variances**0.1, 0.2 * factor)
        size = {"narrow": 0.1, "wide": 2.0}.get(kind, 1.0)
        return cls(loc * (4 if kind == "far" else 1), size**2 * variances, size * factor)

    @property
    def q(self) -> MultivariateNormal:
        return MultivariateNormal(self.loc, np.diag(self.variances) + self.factor @ self.factor.T)

    @property
    def p(self) -> DiagonalNormal:
        return DiagonalNormal(np.zeros(3), np.ones(3))

    def scope(self) -> Scope:
        """q and p of z; mu, D, U and Sigma."""
        return Scope(
            worlds={"q": Law("z", self.q), "p": Law("z", self.p)},
            values={r"\mu": self.loc, "D": np.diag(self.variances), "U": self.factor, "k": 3}
            | {r"\Sigma": self.q.covariance},
        )


def low_rank(log_det: str, trace: str = r"\mathrm{tr}(D) + \mathrm{tr}(U^\top U)") -> Any:
    return tex(r"\tfrac12 \left[" + trace + r" + \mu^\top \mu - k - " + log_det + r"\right]")


E5 = (
    derive(
        "E5",
        "KL to N(0, I) of a covariance that is diagonal plus low rank",
        LowRank.draw,
        assumptions="q = N(mu, D + U U^T), D diagonal and positive, U with few columns; p = N(0, I)",
        source="E4; the matrix determinant lemma: Harville 1997, theorem 18.1.1",
    )
    .start(tex(r"\mathbb{E}_q\left[\log q(z) - \log p(z)\right]"), why="codes that are correlated, at little cost")
    .eq(
        tex(
            r"\tfrac12 \left[\mathrm{tr}(\Sigma) + \mu^\top \mu - k - \log\det \Sigma\right],\quad \Sigma = D + U U^\top"
        ),
        "E4 with p = N(0, I)",
        why="in this form the determinant costs k³ steps",
        needs=r"$\Sigma$ positive definite",
    )
    .slip(
        "sign of the log-determinant",
        tex(
            r"\tfrac12 \left[\mathrm{tr}(\Sigma) + \mu^\top \mu - k + \log\det \Sigma\right],\quad \Sigma = D + U U^\top"
        ),
        "the log-determinant was added: a broad q has more entropy, and costs less.",
    )
    .eq(
        low_rank(r"\log\det(D + U U^\top)"),
        "the trace is linear, and cyclic",
        why="the trace of UᵀU is the sum of the squares of U",
    )
    .slip(
        "trace of the diagonal alone",
        low_rank(r"\log\det(D + U U^\top)", r"\mathrm{tr}(D)"),
        "the low-rank part was left out of the trace: its variance counts as well.",
    )
    .eq(
        low_rank(r"\log\det D - \log\det(I + U^\top D^{-1} U)"),
        "det(D + UUᵀ) = det(D) det(I + UᵀD⁻¹U)",
        why="the second matrix has one row for each column of U: k³ steps are no longer needed",
        needs="D invertible",
    )
    .slip(
        "lemma forgotten",
        low_rank(r"\log\det D"),
        "the determinant was taken of D alone: the low-rank part widens q, too.",
    )
    .slip(
        "no inverse of D",
        low_rank(r"\log\det D - \log\det(I + U^\top U)"),
        "D was taken for I in the lemma: U is measured in units of D.",
    )
    .slip(
        "determinants added",
        low_rank(r"\log\left(\det D + \det(U^\top U)\right)"),
        "the determinant of a sum was taken for the sum of determinants.",
    )
    .eq(given(KL(q, N(0, symbol("I"))), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
)


# ------------------------------------------------------------------------------------------ E7: whitened coordinates


class Whitened(MultivariatePair):
    """Two full Gaussians, and what they look like where p is N(0, I)."""

    def scope(self) -> Scope:
        """As that of a pair, with L, Sigma_p = L L^T, and the eigenvalues lambda_i of Sigma_q against Sigma_p."""
        scope = super().scope()
        values = {r"\lambda": eigh(self.q.covariance, self.p.covariance, eigvals_only=True), "L": self.p.cholesky}
        worlds = {"q": Law("z", self.q), "p": Law("z", self.p)}
        return replace(scope, worlds=worlds, values={**scope.values, **values}, ranges={"i": self.q.loc.size})


WHITE_GAP = r"\tfrac12 \left\|L^{-1} (\mu_q - \mu_p)\right\|^2"

E7 = (
    derive(
        "E7",
        "KL between Gaussians, one eigenvalue at a time",
        Whitened.draw,
        assumptions="lambda_i are the eigenvalues of S_p^-1 S_q; S_p = L L^T with L lower triangular",
        source="Kullback 1959, chapter 9; E4 after E6",
    )
    .start(
        tex(r"\mathbb{E}_q\left[\log q(z) - \log p(z)\right]"),
        why="to be split into directions that do not mix",
    )
    .eq(
        tex(
            r"\tfrac12 \left[\mathrm{tr}(\Sigma_p^{-1} \Sigma_q) - k + \log\frac{\det \Sigma_p}{\det \Sigma_q}"
            r" + (\mu_q - \mu_p)^\top \Sigma_p^{-1} (\mu_q - \mu_p)\right]"
        ),
        "E4",
        why="trace and determinant hold all directions at once",
        needs=r"$\Sigma_q, \Sigma_p$ positive definite",
    )
    .eq(
        tex(
            r"\tfrac12 \left[\mathrm{tr}(M) - k - \log\det M\right] + "
            + WHITE_GAP
            + r",\quad M = L^{-1} \Sigma_q\,(L^{-1})^\top"
        ),
        "u = L⁻¹(z - μ_p): KL is the same in u (C8, E6)",
        why="in u the law p is N(0, I), and q has the covariance M",
        needs=r"$\Sigma_p = L L^\top$",
    )
    .slip(
        "gap not whitened",
        tex(
            r"\tfrac12 \left[\mathrm{tr}(M) - k - \log\det M\right] + \tfrac12 \left\|\mu_q - \mu_p\right\|^2"
            r",\quad M = L^{-1} \Sigma_q\,(L^{-1})^\top"
        ),
        "the distance of the means was left in z: in u it is measured in units of p.",
    )
    .slip(
        "factor without its transpose",
        tex(
            r"\tfrac12 \left[\mathrm{tr}(M) - k - \log\det M\right] + "
            + WHITE_GAP
            + r",\quad M = L^{-1} \Sigma_q L^{-1}"
        ),
        "the covariance became A S A: that of A z is A S A^T.",
    )
    .eq(
        tex(r"\tfrac12 \sum_i (\lambda_i - 1 - \log\lambda_i) + " + WHITE_GAP),
        "trace = sum, determinant = product of eigenvalues",
        why="λ is how many times broader q is than p, in each of k directions",
        needs="M is symmetric, with the eigenvalues of Σ_p⁻¹Σ_q",
    )
    .slip(
        "eigenvalues upside down",
        tex(r"\tfrac12 \sum_i \left(\frac{1}{\lambda_i} - 1 + \log\lambda_i\right) + " + WHITE_GAP),
        "the eigenvalues are those of S_q^-1 S_p: that is KL(p || q) in its covariance part.",
    )
    .slip(
        "plus the logarithm",
        tex(r"\tfrac12 \sum_i (\lambda_i - 1 + \log\lambda_i) + " + WHITE_GAP),
        "the logarithm was added: a narrow q has a small λ, and that costs -log λ.",
    )
    .slip(
        "means forgotten",
        tex(r"\tfrac12 \sum_i (\lambda_i - 1 - \log\lambda_i)"),
        "the means were taken to be equal.",
    )
    .slip(
        "standard deviations",
        tex(r"\tfrac12 \sum_i \left(\sqrt{\lambda_i} - 1 - \log\sqrt{\lambda_i}\right) + " + WHITE_GAP),
        "λ is a quotient of variances, and was taken for one of standard deviations.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
)


# ----------------------------------------------------------------------------------------------- E13: both directions


E13 = (
    derive(
        "E13",
        "the symmetric KL of two Gaussians has no logarithm",
        NormalPair.draw,
        assumptions="v_q, v_p > 0 are variances; d is the distance of the means",
        source="Jeffreys 1946; Kullback 1959, chapter 9",
    )
    .start(tex(r"\mathrm{KL}(q \,\Vert\, p) + \mathrm{KL}(p \,\Vert\, q)"), why="a number that is the same both ways")
    .eq(
        tex(r"\int \left(q(z) - p(z)\right) \log\frac{q(z)}{p(z)}\,dz"),
        "one quotient, once under q and once under p",
        why="the integrand is nowhere negative: both factors have one sign",
    )
    .slip(
        "sum of the densities",
        tex(r"\int \left(q(z) + p(z)\right) \log\frac{q(z)}{p(z)}\,dz"),
        "the second KL has its quotient upside down: log p/q is minus log q/p.",
    )
    .eq(
        tex(r"\frac{v_q + d^2}{2 v_p} - \tfrac12 + \frac{v_p + d^2}{2 v_q} - \tfrac12,\quad d = \mu_q - \mu_p"),
        "E1, twice; the two logarithms cancel",
        why="log of a quotient, and log of the same upside down",
        needs=r"$v_q, v_p > 0$",
    )
    .slip(
        "logarithm kept",
        tex(
            r"\log\frac{v_p}{v_q} + \frac{v_q + d^2}{2 v_p} - \tfrac12 + \frac{v_p + d^2}{2 v_q} - \tfrac12"
            r",\quad d = \mu_q - \mu_p"
        ),
        "the logarithms were added as if both had one sign: they cancel.",
    )
    .slip(
        "twice one way",
        tex(r"\log\frac{v_p}{v_q} + \frac{v_q + d^2}{v_p} - 1,\quad d = \mu_q - \mu_p"),
        "one direction was doubled: KL is not symmetric (C4).",
    )
    .eq(
        tex(
            r"\tfrac12 \left[\frac{v_q}{v_p} + \frac{v_p}{v_q} - 2"
            r" + d^2 \left(\frac{1}{v_q} + \frac{1}{v_p}\right)\right],\quad d = \mu_q - \mu_p"
        ),
        "sort: variances first, then means",
        why="rational: fast, and easy to differentiate",
    )
    .slip(
        "no -2",
        tex(
            r"\tfrac12 \left[\frac{v_q}{v_p} + \frac{v_p}{v_q} + d^2 \left(\frac{1}{v_q} + \frac{1}{v_p}\right)\right]"
            r",\quad d = \mu_q - \mu_p"
        ),
        "the -2 is missing: for q = p this must be 0.",
    )
    .slip(
        "one precision",
        tex(r"\tfrac12 \left[\frac{v_q}{v_p} + \frac{v_p}{v_q} - 2 + \frac{d^2}{v_p}\right],\quad d = \mu_q - \mu_p"),
        "the distance was measured by p only: the other direction measures it by q.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(w.q, w.p) + kl_divergence(w.p, w.q),
        ),
        "the package's kl_divergence, both ways",
    )
)


# --------------------------------------------------------------------------------------------------- E14: Renyi


@dataclass(frozen=True)
class Order:
    """Two Gaussians, and an order alpha between 0 and 1."""

    pair: NormalPair
    alpha: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Order:
        return cls(NormalPair.draw(rng, kind=kind), float(rng.choice([0.2, 0.65]) + rng.uniform(0, 0.2)))

    @classmethod
    def draw_equal(cls, rng: Rng) -> Order:
        """q is p."""
        w = cls.draw(rng)
        return replace(w, pair=NormalPair(w.pair.p, w.pair.p))

    @property
    def between(self) -> Normal:
        """The law in proportion to q^alpha p^(1 - alpha)."""
        (q, p), alpha = (self.pair.q, self.pair.p), self.alpha
        parts = alpha / q.scale**2, (1 - alpha) / p.scale**2
        variance = 1 / sum(parts)
        return Normal(variance * (parts[0] * q.loc + parts[1] * p.loc), np.sqrt(variance))

    def scope(self) -> Scope:
        """q and p by their moments, and r, which is between them."""
        scope = self.pair.scope()
        return replace(
            scope,
            worlds={**scope.worlds, "r": Law("z", self.between)},
            values={**scope.values, r"\alpha": self.alpha},
        )


STAR = r",\quad s = \sqrt{\alpha\,\sigma_p^2 + (1 - \alpha)\,\sigma_q^2}"

E14 = (
    derive(
        "E14",
        "the Renyi divergence of two Gaussians, and KL above it",
        Order.draw,
        assumptions="0 < alpha < 1; for alpha > 1 the formula holds as long as s^2 > 0",
        source="Gil, Alajaji and Linder 2013; van Erven and Harremoes 2014, theorem 3",
    )
    .start(
        tex(r"\frac{1}{\alpha - 1} \log \int q(z)^\alpha\,p(z)^{1 - \alpha}\,dz"),
        why="its limit for α to 1 is KL; other α see less of the tails, or more (J11)",
    )
    .eq(
        tex(
            r"\frac{1}{\alpha - 1} \log\left[\frac{\sigma_q^{1 - \alpha}\,\sigma_p^\alpha}{s}\,"
            r"\exp\left(-\frac{\alpha\,(1 - \alpha)\,(\mu_q - \mu_p)^2}{2 s^2}\right)\right]" + STAR
        ),
        "complete the square: powers of bells are bells (E10)",
        why="no integral is left",
        needs="s² > 0: sure for α between 0 and 1",
    )
    .slip(
        "powers as exponents of the variance",
        tex(
            r"\frac{1}{\alpha - 1} \log\left[\frac{\sigma_q^{1 - \alpha}\,\sigma_p^\alpha}{s}\,"
            r"\exp\left(-\frac{\alpha\,(1 - \alpha)\,(\mu_q - \mu_p)^2}{2 s^2}\right)\right]"
            r",\quad s = \sqrt{\alpha\,\sigma_q^2 + (1 - \alpha)\,\sigma_p^2}"
        ),
        "α was put with the variance of q: a density to the power α has its variance divided by α.",
    )
    .slip(
        "normalizers forgotten",
        tex(r"\frac{1}{\alpha - 1} \log\exp\left(-\frac{\alpha\,(1 - \alpha)\,(\mu_q - \mu_p)^2}{2 s^2}\right)" + STAR),
        "the normalizers were taken to cancel: they do only for equal scales.",
    )
    .eq(
        tex(
            r"\frac{\alpha\,(\mu_q - \mu_p)^2}{2 s^2}"
            r" + \frac{1}{1 - \alpha} \log\frac{s}{\sigma_q^{1 - \alpha}\,\sigma_p^\alpha}" + STAR
        ),
        "logarithm of the product; 1 - α cancels in the first term",
        why="means and scales apart, as in E1",
    )
    .slip(
        "sign of the logarithm",
        tex(
            r"\frac{\alpha\,(\mu_q - \mu_p)^2}{2 s^2}"
            r" + \frac{1}{\alpha - 1} \log\frac{s}{\sigma_q^{1 - \alpha}\,\sigma_p^\alpha}" + STAR
        ),
        "the sign of 1/(1 - α) is turned: the quotient of scales was turned already.",
    )
    .slip(
        "1 - α for α",
        tex(
            r"\frac{(1 - \alpha)\,(\mu_q - \mu_p)^2}{2 s^2}"
            r" + \frac{1}{1 - \alpha} \log\frac{s}{\sigma_q^{1 - \alpha}\,\sigma_p^\alpha}" + STAR
        ),
        "the wrong factor was cancelled: 1 - α goes, α stays.",
    )
    .slip(
        "KL for every order",
        tex(r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2 \sigma_p^2} - \tfrac12"),
        "the order was taken not to matter: this is the limit for α to 1.",
    )
    .le(
        given(
            r"\mathrm{KL}(q \,\Vert\, p) \text{ as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(w.pair.q, w.pair.p),
        ),
        "Jensen (C2); the order 1 is KL",
        why="a Renyi divergence grows with its order",
        needs="α < 1; equal only if q = p",
        gap=tex(r"\frac{1}{1 - \alpha}\,\mathrm{KL}(q \,\Vert\, r)"),
        equality=Order.draw_equal,
    )
    .slip(
        "falling with the order",
        says="the divergence was taken to fall with its order: it grows, and α = 1 is above all α < 1.",
        relation=">=",
    )
)


# --------------------------------------------------------------------------------------- E21: moving mass costs less


class MovedEncoding(Encoding):
    """An encoding; `shifted` has the scales of the prior."""

    @classmethod
    def shifted(cls, rng: Rng) -> MovedEncoding:
        w = cls.draw(rng)
        return cls(DiagonalNormal(w.q.loc, np.ones(4)))


E21 = (
    derive(
        "E21",
        "Talagrand's inequality: a small KL to N(0, I) means that little has to be moved",
        MovedEncoding.draw,
        assumptions="q = N(mu, diag sigma^2), p = N(0, I); the inequality holds for every q",
        source="Talagrand 1996; Gelbrich 1990 for the distance of Gaussians",
    )
    .start(
        tex(r"\sum_j \mathbb{E}_\varepsilon\left[(\mu_j + \sigma_j \varepsilon - \varepsilon)^2\right]"),
        why="the squared Wasserstein distance: z = μ + σε is the shortest way from ε to q",
    )
    .eq(
        tex(r"\sum_j \left[\mu_j^2 + (\sigma_j - 1)^2\right]"),
        "mean square = variance + square of the mean",
        why="a distance of means, and one of scales",
    )
    .slip(
        "noise drawn twice",
        tex(r"\sum_j \left[\mu_j^2 + \sigma_j^2 + 1\right]"),
        "z and ε were taken to be independent: the shortest way gives each ε the z that it becomes.",
    )
    .slip(
        "difference of variances",
        tex(r"\sum_j \left[\mu_j^2 + |\sigma_j^2 - 1|\right]"),
        "the variances were subtracted: what is moved is σε - ε, with the square (σ - 1)².",
    )
    .le(
        tex(r"\sum_j \left[\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2\right]"),
        "log σ ≤ σ - 1, in each coordinate",
        why="the distance of scales, against their cost in KL",
        needs="equal only if every σ = 1: then q is shifted, and no more",
        gap=tex(r"2 \sum_j \int_1^{\sigma_j} \left(1 - \frac1s\right) ds"),
        equality=MovedEncoding.shifted,
    )
    .slip(
        "log of the scale",
        tex(r"\sum_j \left[\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j\right]"),
        "log σ was taken for log σ², which is twice as large.",
    )
    .slip(
        "turned around",
        says="the bound was turned around: a narrow q is near in distance and far in KL.",
        relation=">=",
    )
    .slip(
        "strict",
        says="the case of equality was forgotten: a mere shift costs μ² in both.",
        relation="<",
    )
    .eq(
        tex(r"2 \sum_j \int q_j(z_j) \log\frac{q_j(z_j)}{p_j(z_j)}\,dz_j"),
        "E2, backwards",
        why="twice the KL of all coordinates together (C7)",
    )
    .slip(
        "no 2",
        tex(r"\sum_j \int q_j(z_j) \log\frac{q_j(z_j)}{p_j(z_j)}\,dz_j"),
        "the 2 is missing: for a mere shift the KL is half of the squared distance.",
    )
    .eq(
        given(r"2\,\mathrm{KL}(q \,\Vert\, N(0, I))", lambda w: 2 * kl_divergence(w.q, w.p)),
        "the package's kl_divergence(q, p)",
    )
)

CHAPTER = (E5, E7, E13, E14, E21)
