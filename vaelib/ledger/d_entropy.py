r"""Chapter D: entropy and cross-entropy, and the KL divergence as their difference.

D1 holds in any number of dimensions, so a line has one entry for each of three Gaussians, with k = 1, 2 and 3. Every
formula is spelled out here from means and covariances; the package's own `entropy()` and `cross_entropy()` come at the
end of each chain, so that an error in either is seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Categorical, DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.estimate import Estimate
from vaelib.formula import KL, H, given, symbols, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Law, Table
from vaelib.quadrature import trapezoid
from vaelib.witnesses import DiagonalPair, MultivariatePair, NormalPair, generic_probabilities

Array = np.ndarray
Rng = np.random.Generator

q, p = symbols("q p")


def by_trapezoid(q: Normal | DiagonalNormal, f: Callable[[Array], Array]) -> Estimate:
    """E_q[f(z)], or its sum over coordinates if f is a sum of functions of one coordinate each.

    The trapezoid rule in u = (z - mu) / sigma: f takes z of shape (n,) or (n, k) and returns shape (n,).
    """

    def integrand(u: Array) -> Array:
        z = q.loc + q.scale * u.reshape(-1, *[1] * q.loc.ndim)
        return np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) * f(z)

    return trapezoid(integrand, -12.0, 12.0, n=100)


def side_by_side(values: list[Any]) -> Estimate:
    """Several numbers or estimates as one with an entry for each."""
    estimates = [v if isinstance(v, Estimate) else Estimate(v) for v in values]
    return Estimate(np.array([e.value for e in estimates]), np.array([e.error for e in estimates]))


# --------------------------------------------------------------------------------------------------------- entropy, D1


@dataclass(frozen=True)
class ThreeGaussians:
    """A scalar Gaussian, a diagonal one in two dimensions, and one with a full covariance in three."""

    scalar: Normal
    diagonal: DiagonalNormal
    full: MultivariateNormal

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> ThreeGaussians:
        scalar, diagonal = NormalPair.draw(rng, kind=kind), DiagonalPair.draw(rng, k=2, kind=kind)
        return cls(scalar.q, diagonal.q, MultivariatePair.draw(rng, k=3, kind=kind).q)

    def members(self) -> list[Scope]:
        """Each as a Gaussian vector, with mu, Sigma and k."""
        scalar = MultivariateNormal(self.scalar.loc[None], self.scalar.scale[None, None] ** 2)
        laws = (scalar, MultivariateNormal(self.diagonal.loc, self.diagonal.covariance), self.full)
        return [
            Scope(worlds={"q": Law("z", q)}, values={r"\mu": q.loc, r"\Sigma": q.covariance, "k": q.loc.size})
            for q in laws
        ]


D1 = (
    derive(
        "D1",
        "entropy of a Gaussian in k dimensions",
        ThreeGaussians.draw,
        assumptions="q = N(mu, S), S positive definite; k = 1, 2, 3",
        source="Cover and Thomas 2006, theorem 8.4.1",
    )
    .start(tex(r"-\mathbb{E}_{q}\left[\log q(z)\right]"))
    .eq(
        tex(r"\tfrac12\,\mathbb{E}_{q}\left[(z-\mu)^\top \Sigma^{-1} (z-\mu)\right] + \tfrac12\log\det(2\pi\Sigma)"),
        "insert the log-density; its constant leaves E",
        why="only a square is left to average",
        needs=r"$\Sigma$ positive definite",
    )
    .eq(
        tex(r"\tfrac{k}{2} + \tfrac12\log\det(2\pi\Sigma)"),
        "each standardized coordinate has mean square 1: k in all",
        why=r"with $u = L^{-1}(z-\mu)$, $\Sigma = LL^\top$, the square is $u^\top u$",
    )
    .slip(
        "missing k",
        tex(r"\tfrac12 + \tfrac12\log\det(2\pi\Sigma)"),
        "E[u^T u] was taken to be 1: in k dimensions it is k.",
    )
    .eq(
        tex(r"\tfrac12\log\det(2\pi e\,\Sigma)"),
        "k = log e^k: one factor e for each dimension",
        why=r"one logarithm says it all, since $\det(e\Sigma) = e^k \det\Sigma$",
    )
    .slip("no e", tex(r"\tfrac12\log\det(2\pi\,\Sigma)"), "the e is missing: the quadratic form costs k/2 on average.")
    .slip("no one half", tex(r"\log\det(2\pi e\,\Sigma)"), "the 1/2 in front of the log-determinant is missing.")
    .slip(
        "standard deviation for variance",
        tex(r"\tfrac12\log\left((2\pi e)^k \sqrt{\det\Sigma}\right)"),
        "the scale is where the variance belongs: half of log det S is log sigma.",
    )
    .slip(
        "sign",
        tex(r"-\tfrac12\log\det(2\pi e\,\Sigma)"),
        "the minus of -E[log q] was lost: a broad Gaussian has a large entropy.",
    )
    .eq(
        given(H(q), lambda w: np.array([law.entropy() for law in (w.scalar, w.diagonal, w.full)])),
        "the package's q.entropy()",
    )
)


# --------------------------------------------------------------------------------------------------- cross-entropy, D2


D2 = (
    derive(
        "D2",
        "cross-entropy of two Gaussians",
        NormalPair.draw,
        assumptions="q and p univariate Gaussians",
        source="Murphy 2022, section 6.1; moments of a Gaussian",
    )
    .start(tex(r"-\int q(z) \log p(z)\, dz"))
    .eq(
        tex(r"\tfrac12\log 2\pi\sigma_p^2 + \tfrac{1}{2\sigma_p^2}\,\mathbb{E}_{q}\left[(z - \mu_p)^2\right]"),
        "insert the log-density of p",
        why="everything with index p comes from here",
        needs=r"$\sigma_p > 0$",
    )
    .eq(
        tex(r"\tfrac12\log 2\pi\sigma_p^2 + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2}"),
        "mean square = variance + square of the mean",
        why="of q two numbers enter, no more",
        needs=r"$\sigma_q < \infty$",
    )
    .slip(
        "plug in the mean",
        tex(r"\tfrac12\log 2\pi\sigma_p^2 + \frac{(\mu_q - \mu_p)^2}{2\sigma_p^2}"),
        "the mean of q was put in for z: the spread of q costs too.",
    )
    .slip(
        "logarithm of the wrong variance",
        tex(r"\tfrac12\log 2\pi\sigma_q^2 + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2}"),
        "the variance of q is in the logarithm: the density inside the logarithm is p.",
    )
    .slip(
        "no mean term",
        tex(r"\tfrac12\log 2\pi\sigma_p^2 + \frac{\sigma_q^2}{2\sigma_p^2}"),
        "the means were taken to be equal.",
    )
    .slip(
        "no 2 pi",
        tex(r"\tfrac12\log \sigma_p^2 + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2}"),
        "2 pi was dropped: it cancels in a KL, not in a cross-entropy.",
    )
    .eq(given(H(q, p), lambda w: w.q.cross_entropy(w.p)), "the package's q.cross_entropy(p)")
    .slip(
        "swapped",
        given(H(p, q), lambda w: w.p.cross_entropy(w.q)),
        "q and p are swapped: the expectation is under the first, the logarithm of the second.",
    )
)


# ---------------------------------------------------------------------------------------- KL as their difference, D3


@dataclass(frozen=True)
class TablePair:
    """Two laws on five states, as positive weights that do not sum to one: logits are log-weights."""

    q_weights: Array
    p_weights: Array

    @classmethod
    def draw(cls, rng: Rng) -> TablePair:
        totals = np.exp(rng.uniform(0.3, 1.0, 2))
        return cls(*(total * generic_probabilities(rng, (5,)) for total in totals))

    @property
    def q(self) -> Categorical:
        return Categorical(np.log(self.q_weights))

    @property
    def p(self) -> Categorical:
        return Categorical(np.log(self.p_weights))

    def scope(self) -> Scope:
        """Laws p and q, and their entries."""
        q, p = (weights / weights.sum() for weights in (self.q_weights, self.p_weights))
        return Scope(
            worlds={"q": Table(("z",), q), "p": Table(("z",), p)}, values={"q": q, "p": p}, ranges={"i": len(q)}
        )


D3 = (
    derive(
        "D3",
        "KL = cross-entropy - entropy",
        TablePair.draw,
        assumptions="p_i > 0 wherever q_i > 0",
        source="Cover and Thomas 2006, section 2.3",
    )
    .start(tex(r"\sum_i q_i \log\frac{q_i}{p_i}"))
    .eq(
        tex(r"\sum_i q_i\,(\log q_i - \log p_i)"),
        "the logarithm of a quotient is a difference",
        why="each law gets a term to itself",
        needs="$p_i > 0$ where $q_i > 0$",
    )
    .slip(
        "quotient of logarithms",
        tex(r"\sum_i q_i\,\frac{\log q_i}{\log p_i}"),
        "log(a/b) became log a / log b; it is log a - log b.",
    )
    .eq(
        tex(r"-\sum_i q_i \log p_i - \left(-\sum_i q_i \log q_i\right)"),
        "split the sum: cross-entropy and entropy",
        why="both have a name, and for Gaussians a closed form",
        needs="both sums are finite",
    )
    .slip(
        "plus entropy",
        tex(r"-\sum_i q_i \log p_i - \sum_i q_i \log q_i"),
        "the entropy was added: log q comes with a plus, and H(q) is minus its mean.",
    )
    .slip(
        "entropy of p",
        tex(r"-\sum_i q_i \log p_i - \left(-\sum_i p_i \log p_i\right)"),
        "the entropy of p is subtracted: it is that of q, the law of the expectation.",
    )
    .slip(
        "cross-entropy swapped",
        tex(r"-\sum_i p_i \log q_i - \left(-\sum_i q_i \log q_i\right)"),
        "H(p, q) was written for H(q, p): the expectation is under q.",
    )
    .eq(
        given(H(q, p) - H(q), lambda w: w.q.cross_entropy(w.p) - w.q.entropy()),
        "the package's cross_entropy and entropy",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
    .slip(
        "KL swapped",
        given(KL(p, q), lambda w: kl_divergence(w.p, w.q)),
        "q and p are swapped: KL is not symmetric.",
    )
)

CHAPTER = (D1, D2, D3)
