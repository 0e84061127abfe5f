r"""Chapter E: the KL divergence between Gaussians, its gradient, and its digits where the two are nearly equal.

Each closed form is spelled out, reached from the integral, and followed by the package's own `kl_divergence`: an error
in the formula on the board or in the one that trains a VAE is seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import DiagonalNormal, Normal, kl_divergence
from vaelib.estimate import Estimate
from vaelib.formula import (
    HALF,
    KL,
    E,
    H,
    Map,
    N,
    Scope,
    det,
    function,
    given,
    in_decimals,
    in_floats,
    integral,
    log,
    over,
    sampled,
    symbol,
    symbols,
    tex,
    tr,
    where,
)
from vaelib.formula.spaces import Around
from vaelib.formula.worlds import Law
from vaelib.ledger.d_entropy import side_by_side
from vaelib.witnesses import (
    STANDARD_NOISE,
    DiagonalPair,
    MultivariatePair,
    NormalPair,
    away_from_zero,
    coordinates,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator


# -------------------------------------------------------------------------------------------------- one dimension, E1


def log_ratio(w: NormalPair, z: Array) -> Array:
    """log q(z) / p(z)."""
    return w.q.log_prob(z) - w.p.log_prob(z)


MOMENTS = (r"\mu_q", r"\sigma_q", r"\mu_p", r"\sigma_p")
mu_q, sigma_q, mu_p, sigma_p = map(symbol, MOMENTS)
z, q, p = symbols("z q p")
square_q, square_p = (z - mu_q) ** 2 / (2 * sigma_q**2), (z - mu_p) ** 2 / (2 * sigma_p**2)
exponents = E(q, square_p - square_q)  # a published note takes this for the KL, and then `shift`
log_scales = log(sigma_p / sigma_q)
spread, shift = sigma_q**2 / (2 * sigma_p**2), (mu_q - mu_p) ** 2 / (2 * sigma_p**2)


sample_mean = r"\tfrac{1}{n} \sum_i \log\frac{q(z_i)}{p(z_i)},\quad z_i = "

E1 = (
    derive(
        "E1",
        "KL between two univariate Gaussians",
        NormalPair.draw,
        assumptions="sigma_q > 0 and sigma_p > 0",
        source="Kullback 1959, chapter 9; moments of a Gaussian",
    )
    .start(integral(q(z) * log(q(z) / p(z)), z))
    .eq(
        -E(q, log(p(z))) - (-E(q, log(q(z)))),
        "D3: cross-entropy minus entropy",
        why="two known quantities",
        needs="both are finite",
    )
    .eq(
        log_scales + exponents,
        "insert both log-densities; only log 2 pi cancels",
        why="the scales stay: each density has a constant that depends on its own",
        needs=r"$\sigma_q, \sigma_p > 0$",
    )
    .slip(
        "no logarithm",
        exponents,
        "the normalizing constants were taken to cancel: 2 pi does, sigma does not.",
        real="a published note",
    )
    .eq(
        log_scales + spread + shift - HALF,
        "mean square = variance + square of the mean, twice",
        why=r"around $\mu_p$ and around $\mu_q$; no expectation is left",
    )
    .slip(
        "only the mean term",
        shift,
        "the scales were taken to be equal: then only the means count.",
        real="a published note",
    )
    .slip(
        "no logarithm in the closed form",
        spread + shift - HALF,
        "log sigma_p / sigma_q is missing: then a narrow q costs nothing.",
        real="a published note, commented out",
    )
    .slip(
        "no -1/2",
        log_scales + spread + shift,
        "the -1/2 is missing: it is E[(z - mu_q)^2] / (2 sigma_q^2), and makes KL(q || q) = 0.",
    )
    .slip(
        "logarithm upside down",
        log(sigma_q / sigma_p) + spread + shift - HALF,
        "the ratio in the logarithm is upside down: a narrow q costs log sigma_p / sigma_q > 0.",
    )
    .slip(
        "standard deviation for variance",
        log_scales + (sigma_q + (mu_q - mu_p) ** 2) / (2 * sigma_p) - HALF,
        "the scales were not squared.",
    )
    .slip(
        "divided by the variance of q",
        log_scales + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_q**2) - HALF,
        "the square is divided by the variance of q: it comes from log p, so by that of p.",
    )
    .slip(
        "swapped",
        log(sigma_q / sigma_p) + (sigma_p**2 + (mu_p - mu_q) ** 2) / (2 * sigma_q**2) - HALF,
        "q and p are swapped: KL is not symmetric.",
    )
    .slip(
        "no 1/2 on the log of variances",
        log(sigma_p**2 / sigma_q**2) + spread + shift - HALF,
        "log sigma_p^2 / sigma_q^2 is taken whole: log sigma is half of log sigma^2.",
    )
    .slip(
        "minus the mean term",
        log_scales + spread - shift - HALF,
        "the means enter with a minus: moving q away from p makes KL larger.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
    .slip(
        "swapped in the call",
        given(KL(p, q), lambda w: kl_divergence(w.p, w.q)),
        "the arguments are swapped: kl_divergence(q, p) averages under q.",
    )
    .eq(
        sampled(
            sample_mean + r"\mu_q + \sigma_q \varepsilon_i",
            lambda w, rng, n: log_ratio(w, w.q.transform(rng.standard_normal(n))),
        ),
        "a sample mean; quadratic in z, so its variance is finite",
        num_samples=20_000,
    )
    .slip(
        "samples from p",
        sampled(
            sample_mean + r"\mu_p + \sigma_p \varepsilon_i",
            lambda w, rng, n: log_ratio(w, w.p.transform(rng.standard_normal(n))),
        ),
        "z was sampled from p: the average is under q, the first argument.",
    )
    .slip(
        "noise times the variance",
        sampled(
            sample_mean + r"\mu_q + \sigma_q^2 \varepsilon_i",
            lambda w, rng, n: log_ratio(w, w.q.loc + w.q.scale**2 * rng.standard_normal(n)),
        ),
        "the noise was multiplied by sigma^2: z = mu + sigma eps.",
    )
)


# ---------------------------------------------------------------------------- to the standard Gaussian: E2, and E8 below


@dataclass(frozen=True)
class Encoding:
    """What an encoder returns for one observation, N(mu, diag sigma^2) in four dimensions; the prior is N(0, I)."""

    q: DiagonalNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 4, *, kind: str = GENERIC) -> Encoding:
        loc, scale = away_from_zero(rng, 0.3, 1.5, (k,)), generic_scale(rng, (k,))
        if kind == "near":
            loc, scale = 0.1 * loc, scale**0.1
        elif kind != GENERIC:
            loc, scale = {"far": 4 * loc}.get(kind, loc), scale * {"narrow": 0.1, "wide": 4.0, "far": 1.0}[kind]
        return cls(DiagonalNormal(loc, scale))

    @property
    def p(self) -> DiagonalNormal:
        return DiagonalNormal(np.zeros(len(self.q.loc)), np.ones(len(self.q.loc)))

    @property
    def log_variance(self) -> Array:
        return 2 * np.log(self.q.scale)

    def scope(self) -> Scope:
        """q = N(mu, diag sigma^2) and p = N(0, I), whole and coordinate by coordinate."""
        q, k = self.q, self.q.loc.size
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", self.p), "q_": coordinates(q), "p_": coordinates(self.p)},
            values={r"\mu": q.loc, r"\sigma": q.scale, "k": k},
            spaces={"z_": lambda j: Around(q.loc[j], q.scale[j])},
            ranges={"j": k},
            laws=STANDARD_NOISE,
            every=("j",),
        )


mu, sigma, j, k = symbols(r"\mu \sigma j k")
q_j, p_j, z_j, mu_j, sigma_j = q[j], p[j], z[j], mu[j], sigma[j]
log_variance = log(sigma_j**2)
wrong_sign_of_the_mean = -HALF * over(j, 1 + log_variance + mu_j**2 - sigma_j**2)  # in a published note

E2 = (
    derive(
        "E2",
        "KL of a diagonal Gaussian to N(0, I), in log-variances",
        Encoding.draw,
        assumptions="q = N(mu, diag sigma^2), p = N(0, I)",
        source="Kingma and Welling 2014, appendix B",
    )
    .start(
        over(j, integral(q_j(z_j) * log(q_j(z_j) / p_j(z_j)), z_j)),
        why="one coordinate at a time: the KL of a product is the sum (C7)",
        needs="q and p both factorize",
    )
    .eq(
        HALF * E(q, over(j, z_j**2 - (z_j - mu_j) ** 2 / sigma_j**2 - log_variance)),
        "insert both log-densities; log 2 pi cancels",
        why="the prior has the scale 1, with logarithm 0",
        needs="p = N(0, I)",
    )
    .eq(
        -HALF * over(j, 1 + log_variance - mu_j**2 - sigma_j**2),
        "mean square = variance + square of the mean",
        why=r"$\log\sigma_j^2$ is what an encoder returns",
    )
    .slip(
        "sign of the mean",
        wrong_sign_of_the_mean,
        "mu^2 has the sign of log sigma^2: a mean away from 0 makes KL larger.",
        real="a published note",
    )
    .slip("no one half", -over(j, 1 + log_variance - mu_j**2 - sigma_j**2), "the 1/2 in front of the sum is missing.")
    .slip(
        "log sigma for log sigma^2",
        -HALF * over(j, 1 + log(sigma_j) - mu_j**2 - sigma_j**2),
        "the log of the scale was taken for the log of the variance, which is twice as large.",
    )
    .slip(
        "mean over dimensions",
        -1 / (2 * k) * over(j, 1 + log_variance - mu_j**2 - sigma_j**2),
        "the dimensions were averaged: the KL of a product is the sum.",
    )
    .slip(
        "sign of the variance",
        -HALF * over(j, 1 + log_variance - mu_j**2 + sigma_j**2),
        "sigma^2 has the wrong sign: a broad q costs sigma^2 / 2.",
    )
    .slip(
        "no 1",
        -HALF * over(j, log_variance - mu_j**2 - sigma_j**2),
        "the 1 is missing: at mu = 0, sigma = 1 the KL must be 0.",
    )
    .slip(
        "negative KL",
        HALF * over(j, 1 + log_variance - mu_j**2 - sigma_j**2),
        "the minus in front is missing: this is -KL, as it enters the bound.",
    )
    .slip(
        "sigma for sigma^2",
        -HALF * over(j, 1 + log_variance - mu_j**2 - sigma_j),
        "exp(log_scale) is where the variance belongs: exp(2 log_scale).",
    )
    .slip(
        "exp(2 log-variance)",
        -HALF * over(j, 1 + log_variance - mu_j**2 - sigma_j**4),
        "a log-variance was taken for a log-scale: exp(2 log_variance) is sigma^4.",
    )
    .eq(given(KL(q, N(0, symbol("I"))), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
)


# ----------------------------------------------------------------------------------------------- two diagonal ones, E3


v_j, s_j, m_j = symbols("v_j s_j m_j")  # variances of q and p, and the mean of p
squared_gap = (mu_j - m_j) ** 2


E3 = (
    derive(
        "E3",
        "KL between two diagonal Gaussians",
        partial(DiagonalPair.draw, k=3),
        assumptions="q = N(mu, diag v), p = N(m, diag s)",
        source="E1 in each coordinate",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log q(z) - \log p(z)\right]"))
    .eq(
        over(j, integral(q_j(z_j) * log(q_j(z_j) / p_j(z_j)), z_j)),
        "both factorize: the log of a product is a sum",
        why="E1 can be used once for each coordinate",
        needs="q and p both factorize",
    )
    .eq(HALF * over(j, log(s_j / v_j) + (v_j + squared_gap) / s_j - 1), "E1 for each coordinate")
    .slip(
        "swapped",
        HALF * over(j, log(v_j / s_j) + (s_j + squared_gap) / v_j - 1),
        "q and p are swapped: KL is not symmetric.",
    )
    .slip(
        "mean over dimensions",
        1 / (2 * k) * over(j, log(s_j / v_j) + (v_j + squared_gap) / s_j - 1),
        "the dimensions were averaged: the KL of a product is the sum.",
    )
    .slip(
        "logarithm upside down",
        HALF * over(j, log(v_j / s_j) + (v_j + squared_gap) / s_j - 1),
        "the ratio in the logarithm is upside down.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
    .slip(
        "variance passed as scale",
        given(
            r"\mathrm{KL}(N(\mu, \mathrm{diag}(v)^2) \,\Vert\, N(m, \mathrm{diag}(s)^2))",
            lambda w: kl_divergence(DiagonalNormal(w.q.loc, w.q.scale**2), DiagonalNormal(w.p.loc, w.p.scale**2)),
        ),
        "the variance was passed where a scale is expected.",
    )
    .slip(
        "not summed",
        given(
            KL(q[1], p[1]), lambda w: kl_divergence(Normal(w.q.loc[0], w.q.scale[0]), Normal(w.p.loc[0], w.p.scale[0]))
        ),
        "only the first coordinate was counted: the event is the whole vector.",
    )
    .eq(
        given(H(q, p) - H(q), lambda w: w.q.cross_entropy(w.p) - w.q.entropy()),
        "D3, with the package's cross_entropy and entropy",
    )
)


# --------------------------------------------------------------------------------------------------- full covariances, E4


@dataclass(frozen=True)
class CovariancePairs:
    """Two Gaussians with full covariances and one with a diagonal, in three dimensions: three ordered pairs (q, p)."""

    full: MultivariatePair
    diagonal: DiagonalNormal

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> CovariancePairs:
        return cls(MultivariatePair.draw(rng, k=3, kind=kind), DiagonalPair.draw(rng, k=3, kind=kind).q)

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """Full against full, full against diagonal, diagonal against full."""
        return [(self.full.q, self.full.p), (self.full.q, self.diagonal), (self.diagonal, self.full.p)]

    def members(self) -> list[Scope]:
        """q and p of each pair, and their distances d from the mean, in units of the standard deviation."""
        return [
            Scope(
                worlds={"q": Law("z", q), "p": Law("z", p)},
                values={r"\mu_q": q.loc, r"\Sigma_q": q.covariance, "k": q.loc.size}
                | {r"\mu_p": p.loc, r"\Sigma_p": p.covariance},
                maps={"d_q": distance_from(q), "d_p": distance_from(p)},
            )
            for q, p in self.pairs
        ]


def distance_from(p: Any) -> Map:
    """z -> sqrt of (z - mu)^T S^-1 (z - mu)."""
    precision = np.linalg.inv(p.covariance)
    return Map(lambda z: np.sqrt(np.einsum("...i,ij,...j->...", z - p.loc, precision, z - p.loc)))


def over_pairs(f: Callable[[Any, Any], Any]) -> Callable[[CovariancePairs], Estimate]:
    """f(q, p) of each pair, side by side."""
    return lambda w: side_by_side([f(q, p) for q, p in w.pairs])


Sigma_q, Sigma_p = symbols(r"\Sigma_q \Sigma_p")
trace, gap = tr(Sigma_p**-1 @ Sigma_q), mu_q - mu_p
mahalanobis = gap.T @ Sigma_p**-1 @ gap
log_dets = log(det(Sigma_p) / det(Sigma_q))
D_q, D_p = (function("diag", covariance) for covariance in (Sigma_q, Sigma_p))

E4 = (
    derive(
        "E4",
        "KL between Gaussians with full covariances",
        CovariancePairs.draw,
        assumptions="S_q, S_p positive definite; one of them may be diagonal",
        source="Kullback 1959, chapter 9, equation (1.4)",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log q(z) - \log p(z)\right]"))
    .eq(
        tex(
            r"\tfrac12\,\mathbb{E}_{q}\left[d_p(z)^2 - d_q(z)^2\right] + \tfrac12\log\frac{\det\Sigma_p}{\det\Sigma_q}"
        ),
        "insert both log-densities; d is the Mahalanobis distance",
        why=r"$(2\pi)^{k/2}$ cancels, the determinants stay",
        needs=r"$\Sigma_q, \Sigma_p$ positive definite",
    )
    .eq(
        HALF * (trace + mahalanobis - k + log_dets),
        "mean square = trace + square of the mean; for q it is k",
        why="no expectation is left",
    )
    .slip(
        "no log-determinant",
        HALF * (trace + mahalanobis - k),
        "the log-determinants are missing: then q may shrink for free.",
    )
    .slip(
        "log-determinant upside down",
        HALF * (trace + mahalanobis - k + log(det(Sigma_q) / det(Sigma_p))),
        "the ratio of determinants is upside down: |S_p| is above.",
    )
    .slip("no -k", HALF * (trace + mahalanobis + log_dets), "the -k is missing: it makes KL(q || q) = 0.")
    .slip(
        "-1 for -k",
        HALF * (trace + mahalanobis - 1 + log_dets),
        "the 1 of one dimension was kept: in k dimensions it is k.",
    )
    .slip(
        "gap measured by the covariance of q",
        HALF * (trace + gap.T @ Sigma_q**-1 @ gap - k + log_dets),
        "S_q^-1 is between the means: the square comes from log p, so it is S_p^-1.",
    )
    .slip(
        "trace upside down",
        HALF * (tr(Sigma_q**-1 @ Sigma_p) + mahalanobis - k + log_dets),
        "the trace is of S_q^-1 S_p: the inverse belongs to p.",
    )
    .slip(
        "swapped",
        HALF * (tr(Sigma_q**-1 @ Sigma_p) + gap.T @ Sigma_q**-1 @ gap - k + log(det(Sigma_q) / det(Sigma_p))),
        "q and p are swapped: KL is not symmetric.",
    )
    .slip("no one half", trace + mahalanobis - k + log_dets, "the 1/2 in front of the bracket is missing.")
    .slip(
        "diagonals only",
        HALF * (tr(D_p**-1 @ D_q) + gap.T @ D_p**-1 @ gap - k + log(det(D_p) / det(D_q))),
        "the correlations were dropped: only the diagonals of the covariances were used.",
    )
    .slip(
        "not inverted",
        HALF * (tr(Sigma_p @ Sigma_q) + gap.T @ Sigma_p @ gap - k + log_dets),
        "S_p was not inverted: a broad p makes a gap cheap, not expensive.",
    )
    .eq(given(KL(q, p), over_pairs(kl_divergence)), "the package's kl_divergence(q, p)")
    .eq(
        given(H(q, p) - H(q), over_pairs(lambda q, p: q.cross_entropy(p) - q.entropy())),
        "D3, with the package's cross_entropy and entropy",
    )
)


# ----------------------------------------------------------------------------------------------------- the gradient, E8


def by_differences(w: Encoding, h: float) -> Estimate:
    """Central differences of kl_divergence in mu_j and in log sigma_j^2, shape (k, 2), with their rounding error."""
    steps = h * np.eye(w.q.loc.size)  # row j moves coordinate j

    def kl(d_loc: Any = 0.0, d_log_variance: Any = 0.0) -> Array:
        scale = w.q.scale * np.exp(np.asarray(d_log_variance) / 2)
        return kl_divergence(DiagonalNormal(w.q.loc + d_loc, scale), w.p)

    above = np.stack([kl(d_loc=steps), kl(d_log_variance=steps)], axis=-1)
    below = np.stack([kl(d_loc=-steps), kl(d_log_variance=-steps)], axis=-1)
    rounding = 4 * np.finfo(float).eps * (above + below)  # a few units in the last place of either
    return Estimate((above - below) / (2 * h), rounding / (2 * h))


E8 = (
    derive(
        "E8",
        "gradient of the KL to N(0, I)",
        Encoding.draw,
        assumptions="q = N(mu, diag sigma^2), p = N(0, I)",
        source="Kingma and Welling 2014, appendix B, differentiated",
    )
    .start(
        given(r"\nabla_{\mu_j,\,\log\sigma_j^2}\,\mathrm{KL}(q \,\Vert\, N(0, I))", by_differences),
        why="by differences of the package's kl_divergence",
        step=1 / 1024,
        order=2,
    )
    .eq(
        tex(
            r"\mathbb{E}_{\varepsilon}\left[z_j\,(1, \tfrac12\sigma_j\varepsilon)\right] - (0, \tfrac12),"
            r"\quad z_j = \mu_j + \sigma_j\varepsilon"
        ),
        "differentiate -log p(z) through z; the entropy gives 1/2",
        exact=True,
        why="the way in which a sampled bound is differentiated",
        needs="z differentiable in both parameters",
    )
    .slip(
        "entropy's gradient dropped",
        tex(r"\mathbb{E}_{\varepsilon}\left[z_j\,(1, \tfrac12\sigma_j\varepsilon)\right]"),
        "the entropy was not differentiated: it is sum_j 1/2 log sigma_j^2 + const.",
    )
    .eq(
        tex(r"(\mu_j, \tfrac12(\sigma_j^2 - 1))"),
        "E[z] = mu, E[z eps] = sigma; or differentiate E2",
        why="means are pulled to 0, scales to 1",
    )
    .slip(
        "-mu",
        tex(r"(-\mu_j, \tfrac12(\sigma_j^2 - 1))"),
        "mu^2 had the wrong sign before differentiating: then descent drives the mean away from 0.",
        real="a published note, differentiated",
    )
    .slip(
        "no one half",
        tex(r"(\mu_j, \sigma_j^2 - 1)"),
        "the derivative is by log sigma: by log sigma^2 it is half of that.",
    )
    .slip(
        "derivative by sigma",
        tex(r"(\mu_j, \sigma_j - \tfrac{1}{\sigma_j})"),
        "the derivative is by sigma, not by log sigma^2.",
    )
    .slip("2 mu", tex(r"(2\mu_j, \tfrac12(\sigma_j^2 - 1))"), "the 1/2 in front of mu^2 was lost on the way.")
)


# ------------------------------------------------------------------------------------------------- nearly equal, E9


@dataclass(frozen=True)
class NearlyEqual:
    """Five pairs of Gaussians that differ by 1e-9 to 4e-2, held as whole numbers so that nothing is rounded.

    sigma_p = 2^exponent, sigma_q = sigma_p (1 + steps 2^-40), mu_p = eighths / 8, mu_q = mu_p + sigma_p shifts 2^-40: as
    float64 all of these are exact.
    """

    exponent: int
    eighths: int
    steps: Array  # whole numbers, shape (5,)
    shifts: Array  # whole numbers, shape (5,)

    @classmethod
    def draw(cls, rng: Rng) -> NearlyEqual:
        size = 2.0**40 * np.array([1e-9, 1e-7, 1e-5, 1e-3, 0.02]) * rng.uniform(1, 1.9, 5)
        steps = np.rint(size * rng.choice([-1, 1], 5)).astype(np.int64)
        shifts = np.rint(steps * away_from_zero(rng, 0.4, 1.6, (5,))).astype(np.int64)
        return cls(int(rng.choice([-2, -1, 1, 2])), int(rng.choice([-1, 1]) * rng.integers(3, 12)), steps, shifts)

    @property
    def growth(self) -> Array:
        """g = sigma_q / sigma_p - 1."""
        return self.steps * 2.0**-40

    @property
    def p(self) -> Normal:
        return Normal(self.eighths / 8, np.full(5, 2.0**self.exponent))

    @property
    def q(self) -> Normal:
        return Normal(self.p.loc + self.p.scale * (self.shifts * 2.0**-40), self.p.scale * (1 + self.growth))

    def members(self) -> list[Scope]:
        """The moments of each pair, and g."""
        rows = zip(self.q.loc, self.q.scale, self.p.loc, self.p.scale, self.growth, strict=True)
        return [Scope(values=dict(zip((*MOMENTS, "g"), row, strict=True))) for row in rows]


g, delta, u = symbols(r"g \delta u")
relative_to_g = 1 / g**2
textbook = relative_to_g * (log_scales + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - HALF)

E9 = (
    derive(
        "E9",
        "KL of nearly equal Gaussians, to all digits",
        NearlyEqual.draw,
        assumptions="sigma_q = (1 + g) sigma_p with |g| from 1e-9 to 4e-2; relative to g^2",
        source="the Taylor series of atanh",
    )
    .start(in_decimals(textbook), why="E1 in 50 digits, for it is a small difference of large terms")
    .eq(
        in_decimals(
            where(relative_to_g * (HALF * (delta - log(1 + delta)) + shift), (delta, sigma_q**2 / sigma_p**2 - 1))
        ),
        "sort the terms; both lines with 50 digits",
        why="what nearly cancels is now in one place",
    )
    .slip(
        "no one half",
        in_decimals(relative_to_g * (delta - log(1 + delta) + shift)),
        "the 1/2 in front of delta - log(1 + delta) is missing.",
    )
    .eq(
        tex(
            r"\tfrac{1}{g^2}\left(\tfrac12\delta u - \sum_{n=1}^{5} \tfrac{u^{2n+1}}{2n+1}"
            r" + \tfrac{(\mu_q-\mu_p)^2}{2\sigma_p^2}\right),\quad u = \tfrac{\delta}{2+\delta},\ \delta = g\,(2+g)"
        ),
        "log(1 + delta) = 2 atanh u: no cancellation in float64",
        needs="g known by itself, not as a difference of scales",
        relative=True,
    )
    .slip(
        "series cut after the first term",
        relative_to_g * (HALF * delta * u + shift),
        "u^3/3 was taken for small: it is of relative size |g|/3.",
    )
    .eq(
        given(relative_to_g * KL(q, p), lambda w: kl_divergence(w.q, w.p) / w.growth**2),
        "the package's kl_divergence(q, p) in float64",
        relative=True,
    )
    .slip(
        "textbook formula in float64",
        in_floats(textbook),
        "the textbook formula was typed as printed: near q = p its terms cancel to the last digit.",
    )
    .slip(
        "log1p only",
        relative_to_g * (HALF * (delta - function("log1p", delta)) + shift),
        "log1p was trusted with everything: delta - log1p(delta) still cancels.",
    )
)

CHAPTER = (E1, E2, E3, E4, E8, E9)
