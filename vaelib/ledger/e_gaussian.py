r"""Chapter E: the KL divergence between Gaussians, its gradient, and its digits where the two are nearly equal.

Each closed form is spelled out, reached from the integral, and followed by the package's own `kl_divergence`: an error
in the formula on the board or in the one that trains a VAE is seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.estimate import Estimate
from vaelib.formula import HALF, KL, E, N, given, integral, log, over, sampled, symbol, symbols, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Around
from vaelib.formula.worlds import Law
from vaelib.ledger.d_entropy import by_gauss_hermite, by_trapezoid, covariance_of, side_by_side
from vaelib.witnesses import DiagonalPair, MultivariatePair, NormalPair, away_from_zero, coordinates, generic_scale

Array = np.ndarray
Rng = np.random.Generator


# -------------------------------------------------------------------------------------------------- one dimension, E1


def log_ratio(w: Any) -> Callable[[Array], Array]:
    """z -> log q(z) / p(z)."""
    return lambda z: w.q.log_prob(z) - w.p.log_prob(z)


mu_q, sigma_q, mu_p, sigma_p = symbols(r"\mu_q \sigma_q \mu_p \sigma_p")
z, q, p = symbols("z q p")
square_q, square_p = (z - mu_q) ** 2 / (2 * sigma_q**2), (z - mu_p) ** 2 / (2 * sigma_p**2)
exponents = E(q, square_p - square_q)  # a published note takes this for the KL, and then `shift`
log_scales = log(sigma_p / sigma_q)
spread, shift = sigma_q**2 / (2 * sigma_p**2), (mu_q - mu_p) ** 2 / (2 * sigma_p**2)


def sampled_log_ratio(w: NormalPair, rng: Rng, n: int) -> Array:
    z = w.q.transform(rng.standard_normal(n))
    return log_ratio(w)(z)


E1 = (
    derive(
        "E1",
        "KL between two univariate Gaussians",
        NormalPair.draw,
        assumptions="sigma_q > 0 and sigma_p > 0",
        source="Kullback 1959, chapter 9; moments of a Gaussian",
    )
    .start(integral(q(z) * log(q(z) / p(z)), z))
    .eq(-E(q, log(p(z))) - (-E(q, log(q(z)))), "D3: cross-entropy minus entropy")
    .eq(log_scales + exponents, "insert both log-densities; only log 2 pi cancels")
    .slip(
        "no logarithm",
        exponents,
        "the normalizing constants were taken to cancel: 2 pi does, sigma does not.",
        real="a published note",
    )
    .eq(log_scales + spread + shift - HALF, "mean square = variance + square of the mean, twice")
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
        "exchanged",
        log(sigma_q / sigma_p) + (sigma_p**2 + (mu_p - mu_q) ** 2) / (2 * sigma_q**2) - HALF,
        "q and p are exchanged: KL is not symmetric.",
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
        "exchanged in the call",
        given(KL(p, q).latex, lambda w: kl_divergence(w.p, w.q)),
        "the arguments are exchanged: kl_divergence(q, p) averages under q.",
    )
    .eq(
        sampled(
            r"\tfrac{1}{n} \sum_i \log\frac{q(z_i)}{p(z_i)},\quad z_i = \mu_q + \sigma_q \varepsilon_i",
            sampled_log_ratio,
        ),
        "a sample mean; quadratic in z, so its variance is finite",
        num_samples=20_000,
    )
    .slip(
        "samples from p",
        sampled(
            r"\tfrac{1}{n} \sum_i \log\frac{q(z_i)}{p(z_i)},\quad z_i = \mu_p + \sigma_p \varepsilon_i",
            lambda w, rng, n: log_ratio(w)(w.p.transform(rng.standard_normal(n))),
        ),
        "z was sampled from p: the average is under q, the first argument.",
    )
    .slip(
        "noise times the variance",
        sampled(
            r"\tfrac{1}{n} \sum_i \log\frac{q(z_i)}{p(z_i)},\quad z_i = \mu_q + \sigma_q^2 \varepsilon_i",
            lambda w, rng, n: log_ratio(w)(w.q.loc + w.q.scale**2 * rng.standard_normal(n)),
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
        )


def sum_of_integrals(w: Any) -> Estimate:
    """sum_j int q_j log(q_j / p_j) dz_j for diagonal q and p, each integral in one dimension."""
    q, p = Normal(w.q.loc, w.q.scale), Normal(w.p.loc, w.p.scale)
    return by_trapezoid(w.q, lambda z: (q.log_prob(z) - p.log_prob(z)).sum(axis=-1))


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
    .start(over(j, integral(q_j(z_j) * log(q_j(z_j) / p_j(z_j)), z_j)))
    .eq(
        HALF * E(q, over(j, z_j**2 - (z_j - mu_j) ** 2 / sigma_j**2 - log_variance)),
        "insert both log-densities; log 2 pi cancels",
    )
    .eq(-HALF * over(j, 1 + log_variance - mu_j**2 - sigma_j**2), "mean square = variance + square of the mean")
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
        "the log of the scale stands for the log of the variance: that is twice as large.",
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
        "exp(log_scale) stands where the variance belongs: exp(2 log_scale).",
    )
    .slip(
        "exp(2 log-variance)",
        -HALF * over(j, 1 + log_variance - mu_j**2 - sigma_j**4),
        "a log-variance was taken for a log-scale: exp(2 log_variance) is sigma^4.",
    )
    .eq(given(KL(q, N(0, symbol("I"))), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
)


# ----------------------------------------------------------------------------------------------- two diagonal ones, E3


def diagonal_kl(w: DiagonalPair) -> float:
    """1/2 sum_j [log s_j / v_j + (v_j + (mu_j - m_j)^2) / s_j - 1] with v = var q, s = var p."""
    v, s = w.q.scale**2, w.p.scale**2
    return 0.5 * np.sum(np.log(s / v) + (v + (w.q.loc - w.p.loc) ** 2) / s - 1)


E3 = (
    derive(
        "E3",
        "KL between two diagonal Gaussians",
        DiagonalPair.draw,
        assumptions="q = N(mu, diag v), p = N(m, diag s)",
        source="E1 in each coordinate",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log q(z) - \log p(z)\right]"))
    .eq(
        tex(r"\sum_j \int q_j(z_j) \log\frac{q_j(z_j)}{p_j(z_j)}\, dz_j"),
        "both factorize: the log of a product is a sum",
    )
    .eq(
        tex(r"\tfrac12 \sum_j \left[\log\frac{s_j}{v_j} + \frac{v_j + (\mu_j-m_j)^2}{s_j} - 1\right]"),
        "E1 for each coordinate",
    )
    .slip(
        "exchanged",
        given("TODO", lambda w: diagonal_kl(DiagonalPair(w.p, w.q))),
        "q and p are exchanged: KL is not symmetric.",
    )
    .slip(
        "mean over dimensions",
        given("TODO", lambda w: diagonal_kl(w) / w.q.loc.size),
        "the dimensions were averaged: the KL of a product is the sum.",
    )
    .slip(
        "logarithm upside down",
        given("TODO", lambda w: diagonal_kl(w) - np.sum(np.log(w.p.scale**2 / w.q.scale**2))),
        "the ratio in the logarithm is upside down.",
    )
    .eq(tex(r"\mathrm{KL}(q \,\Vert\, p)"), "the package's kl_divergence(q, p)")
    .slip(
        "variance passed as scale",
        given(
            "TODO",
            lambda w: kl_divergence(DiagonalNormal(w.q.loc, w.q.scale**2), DiagonalNormal(w.p.loc, w.p.scale**2)),
        ),
        "the variance was passed where a scale is expected.",
    )
    .slip(
        "not summed",
        given("TODO", lambda w: kl_divergence(Normal(w.q.loc, w.q.scale), Normal(w.p.loc, w.p.scale))[0]),
        "only the first coordinate was counted: the event is the whole vector.",
    )
    .eq(tex(r"\mathrm{H}(q, p) - \mathrm{H}(q)"), "D3, with the package's cross_entropy and entropy")
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
        """q and p of each pair, and their squared distances d^2 from the mean."""
        return [
            Scope(
                worlds={"q": Law("z", q), "p": Law("z", p)},
                values={r"\mu_q": q.loc, r"\Sigma_q": covariance_of(q), "k": q.loc.size}
                | {r"\mu_p": p.loc, r"\Sigma_p": covariance_of(p)},
                maps={"d_q": distance_from(q), "d_p": distance_from(p)},
            )
            for q, p in self.pairs
        ]


def distance_from(p: Any) -> Map:
    """z -> sqrt of (z - mu)^T S^-1 (z - mu)."""
    precision = np.linalg.inv(covariance_of(p))
    return Map(lambda z: np.sqrt(np.einsum("...i,ij,...j->...", z - p.loc, precision, z - p.loc)))


def over_pairs(f: Callable[[Any, Any], Any]) -> Callable[[CovariancePairs], Estimate]:
    """f(q, p) of each pair, side by side."""
    return lambda w: side_by_side([f(q, p) for q, p in w.pairs])


def trace(q: Any, p: Any) -> float:
    """tr(S_p^-1 S_q)."""
    return float(np.trace(np.linalg.solve(covariance_of(p), covariance_of(q))))


def squared_gap(q: Any, p: Any, covariance: Array | None = None) -> float:
    """(mu_q - mu_p)^T S^-1 (mu_q - mu_p), with S = S_p unless given."""
    gap = q.loc - p.loc
    return float(gap @ np.linalg.solve(covariance_of(p) if covariance is None else covariance, gap))


def log_det_ratio(q: Any, p: Any) -> float:
    """log |S_p| / |S_q|."""
    return float(np.linalg.slogdet(covariance_of(p))[1] - np.linalg.slogdet(covariance_of(q))[1])


def full_kl(q: Any, p: Any) -> float:
    """1/2 [tr(S_p^-1 S_q) + (mu_q - mu_p)^T S_p^-1 (mu_q - mu_p) - k + log |S_p| / |S_q|]."""
    return 0.5 * (trace(q, p) + squared_gap(q, p) - q.loc.size + log_det_ratio(q, p))


def half_square(z: Array, p: Any) -> Array:
    """1/2 (z - mu_p)^T S_p^-1 (z - mu_p), shape (n,) for z of shape (n, k)."""
    gap = z - p.loc
    return 0.5 * np.sum(gap * np.linalg.solve(covariance_of(p), gap.T).T, axis=1)


def diagonal_part(p: Any) -> MultivariateNormal:
    return MultivariateNormal(p.loc, np.diag(np.diag(covariance_of(p))))


def not_inverted(q: Any, p: Any) -> float:
    """The closed form with S_p where its inverse belongs."""
    gap, covariance = q.loc - p.loc, covariance_of(p)
    return 0.5 * (
        float(np.trace(covariance @ covariance_of(q)) + gap @ covariance @ gap) - q.loc.size + log_det_ratio(q, p)
    )


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
            r"\tfrac12\,\mathbb{E}_{q}\left[d_p(z)^2 - d_q(z)^2\right] + \tfrac12\log\tfrac{\det\Sigma_p}{\det\Sigma_q}"
        ),
        "insert both log-densities; d is the Mahalanobis distance",
    )
    .eq(
        tex(
            r"\tfrac12\left[\mathrm{tr}(\Sigma_p^{-1}\Sigma_q) + (\mu_q-\mu_p)^\top\Sigma_p^{-1}(\mu_q-\mu_p) - k + \log\tfrac{\det\Sigma_p}{\det\Sigma_q}\right]"
        ),
        "mean square = trace + square of the mean; for q it is k",
    )
    .slip(
        "no log-determinant",
        given("TODO", over_pairs(lambda q, p: full_kl(q, p) - log_det_ratio(q, p) / 2)),
        "the log-determinants are missing: then q may shrink for free.",
    )
    .slip(
        "log-determinant upside down",
        given("TODO", over_pairs(lambda q, p: full_kl(q, p) - log_det_ratio(q, p))),
        "the ratio of determinants is upside down: |S_p| is above.",
    )
    .slip(
        "no -k",
        given("TODO", over_pairs(lambda q, p: full_kl(q, p) + q.loc.size / 2)),
        "the -k is missing: it makes KL(q || q) = 0.",
    )
    .slip(
        "-1 for -k",
        given("TODO", over_pairs(lambda q, p: full_kl(q, p) + (q.loc.size - 1) / 2)),
        "the 1 of one dimension was kept: in k dimensions it is k.",
    )
    .slip(
        "gap measured by the covariance of q",
        given(
            "TODO",
            over_pairs(lambda q, p: full_kl(q, p) + (squared_gap(q, p, covariance_of(q)) - squared_gap(q, p)) / 2),
        ),
        "S_q^-1 stands between the means: the square comes from log p, so it is S_p^-1.",
    )
    .slip(
        "trace upside down",
        given("TODO", over_pairs(lambda q, p: full_kl(q, p) + (trace(p, q) - trace(q, p)) / 2)),
        "the trace is of S_q^-1 S_p: the inverse belongs to p.",
    )
    .slip(
        "exchanged",
        given("TODO", over_pairs(lambda q, p: full_kl(p, q))),
        "q and p are exchanged: KL is not symmetric.",
    )
    .slip(
        "no one half",
        given("TODO", over_pairs(lambda q, p: 2 * full_kl(q, p))),
        "the 1/2 in front of the bracket is missing.",
    )
    .slip(
        "diagonals only",
        given("TODO", over_pairs(lambda q, p: full_kl(diagonal_part(q), diagonal_part(p)))),
        "the correlations were dropped: only the diagonals of the covariances were used.",
    )
    .slip(
        "not inverted",
        given("TODO", over_pairs(not_inverted)),
        "S_p was not inverted: a broad p makes a gap cheap, not dear.",
    )
    .eq(tex(r"\mathrm{KL}(q \,\Vert\, p)"), "the package's kl_divergence(q, p)")
    .eq(tex(r"\mathrm{H}(q, p) - \mathrm{H}(q)"), "D3, with the package's cross_entropy and entropy")
)


# ----------------------------------------------------------------------------------------------------- the gradient, E8


def by_differences(w: Encoding, h: float) -> Estimate:
    """Central differences of kl_divergence in mu_j and in log sigma_j^2, shape (2, k), with their rounding error."""
    steps = h * np.eye(w.q.loc.size)  # row j moves coordinate j

    def kl(d_loc: Any = 0.0, d_log_variance: Any = 0.0) -> Array:
        scale = w.q.scale * np.exp(np.asarray(d_log_variance) / 2)
        return kl_divergence(DiagonalNormal(w.q.loc + d_loc, scale), w.p)

    above = np.stack([kl(d_loc=steps), kl(d_log_variance=steps)])
    below = np.stack([kl(d_loc=-steps), kl(d_log_variance=-steps)])
    rounding = 4 * np.finfo(float).eps * (above + below)  # a few units in the last place of either
    return Estimate((above - below) / (2 * h), rounding / (2 * h))


def through_the_noise(w: Encoding) -> Estimate:
    """E[z_j (1, sigma_j eps_j / 2)] - (0, 1/2) for z = mu + sigma eps, shape (2, k)."""

    def integrand(z: Array) -> Array:
        return np.stack([z, z * (z - w.q.loc) / 2], axis=1)

    return by_gauss_hermite(w.q, integrand) - np.array([[0.0], [0.5]])


def closed_gradient(w: Encoding, *, mean: float = 1.0, half: float = 0.5) -> Array:
    """(mean mu, half (sigma^2 - 1)), shape (2, k)."""
    return np.stack([mean * w.q.loc, half * (w.q.scale**2 - 1)])


E8 = (
    derive(
        "E8",
        "gradient of the KL to N(0, I)",
        Encoding.draw,
        assumptions="q = N(mu, diag sigma^2), p = N(0, I)",
        source="Kingma and Welling 2014, appendix B, differentiated",
    )
    .start(
        given(r"\nabla_{\mu_j,\,\log\sigma_j^2}\,\mathrm{KL}(q \,\Vert\, N(0, I))", by_differences), step=1e-3, order=2
    )
    .eq(
        given(
            r"\mathbb{E}_{\varepsilon}\left[z_j\,(1, \tfrac12\sigma_j\varepsilon_j)\right] - (0, \tfrac12),\quad z = \mu + \sigma\varepsilon",
            through_the_noise,
        ),
        "differentiate -log p(z) through z; the entropy gives 1/2",
    )
    .slip(
        "entropy's gradient dropped",
        given("TODO", lambda w: through_the_noise(w) + np.array([[0.0], [0.5]])),
        "the entropy was not differentiated: it is sum_j 1/2 log sigma_j^2 + const.",
    )
    .eq(
        given(r"\left(\mu_j, \tfrac12(\sigma_j^2 - 1)\right)", closed_gradient),
        "E[z] = mu, E[z eps] = sigma; or differentiate E2",
    )
    .slip(
        "-mu",
        given(r"\left(-\mu_j, \tfrac12(\sigma_j^2 - 1)\right)", lambda w: closed_gradient(w, mean=-1)),
        "mu^2 had the wrong sign before differentiating: then descent drives the mean away from 0.",
        real="a published note, differentiated",
    )
    .slip(
        "no one half",
        given(r"\left(\mu_j, \sigma_j^2 - 1\right)", lambda w: closed_gradient(w, half=1)),
        "the derivative is by log sigma: by log sigma^2 it is half of that.",
    )
    .slip(
        "derivative by sigma",
        given(r"\left(\mu_j, \sigma_j - 1/\sigma_j\right)", lambda w: np.stack([w.q.loc, w.q.scale - 1 / w.q.scale])),
        "the derivative is by sigma, not by log sigma^2.",
    )
    .slip(
        "2 mu",
        given(r"\left(2\mu_j, \tfrac12(\sigma_j^2 - 1)\right)", lambda w: closed_gradient(w, mean=2)),
        "the 1/2 in front of mu^2 was lost on the way.",
    )
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


def in_fifty_digits(kl: Callable[..., Decimal]) -> Callable[[NearlyEqual], Array]:
    """kl(mu_q, sigma_q, mu_p, sigma_p) / g^2 in decimal arithmetic on the very numbers that float64 holds."""

    def value(w: NearlyEqual) -> Array:
        arguments = zip(w.q.loc, w.q.scale, w.p.loc, w.p.scale, w.growth, strict=True)
        with localcontext() as context:
            context.prec = 50
            rows = [[Decimal(float(number)) for number in row] for row in arguments]
            return np.array([float(kl(*row[:4]) / row[4] ** 2) for row in rows])

    return value


def textbook(
    mu_q: Any, sigma_q: Any, mu_p: Any, sigma_p: Any, log: Callable[[Any], Any] = Decimal.ln, half: Any = Decimal("0.5")
) -> Any:
    """log(sigma_p / sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2, term by term."""
    return log(sigma_p / sigma_q) + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - half


def with_delta(mu_q: Decimal, sigma_q: Decimal, mu_p: Decimal, sigma_p: Decimal) -> Decimal:
    """1/2 (delta - log(1 + delta)) + (mu_q - mu_p)^2 / (2 sigma_p^2), delta = sigma_q^2 / sigma_p^2 - 1."""
    delta = (sigma_q**2 - sigma_p**2) / sigma_p**2
    return (delta - (1 + delta).ln()) / 2 + (mu_q - mu_p) ** 2 / (2 * sigma_p**2)


def delta_and_gap(w: NearlyEqual) -> tuple[Array, Array]:
    """delta = g (g + 2) and 1/2 ((mu_q - mu_p) / sigma_p)^2, in float64 without cancellation."""
    return w.growth * (w.growth + 2), 0.5 * ((w.q.loc - w.p.loc) / w.p.scale) ** 2


def series(w: NearlyEqual, terms: int = 5) -> Array:
    """[delta u / 2 - (u^3/3 + u^5/5 + ... + u^11/11) + gap^2 / 2] / g^2 with u = delta / (2 + delta), in float64."""
    delta, half_gap_square = delta_and_gap(w)
    u = delta / (2 + delta)
    tail = sum((u**n / n for n in range(3, 3 + 2 * terms, 2)), start=np.zeros(5))
    return (delta * u / 2 - tail + half_gap_square) / w.growth**2


def log1p_only(w: NearlyEqual) -> Array:
    delta, half_gap_square = delta_and_gap(w)
    return (0.5 * (delta - np.log1p(delta)) + half_gap_square) / w.growth**2


E9 = (
    derive(
        "E9",
        "KL of nearly equal Gaussians, to all digits",
        NearlyEqual.draw,
        assumptions="sigma_q = (1 + g) sigma_p with |g| from 1e-9 to 4e-2; relative to g^2",
        source="the Taylor series of atanh",
    )
    .start(
        given(
            r"\tfrac{1}{g^2}\left[\log\tfrac{\sigma_p}{\sigma_q} + \tfrac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \tfrac12\right]",
            in_fifty_digits(textbook),
        )
    )
    .eq(
        given(
            r"\tfrac{1}{g^2}\left[\tfrac12(\delta - \log(1+\delta)) + \tfrac{(\mu_q-\mu_p)^2}{2\sigma_p^2}\right],\quad \delta = \tfrac{\sigma_q^2}{\sigma_p^2} - 1",
            in_fifty_digits(with_delta),
        ),
        "sort the terms; both lines with 50 digits",
    )
    .slip(
        "no one half",
        given(
            "TODO", in_fifty_digits(lambda *args: 2 * with_delta(*args) - (args[0] - args[2]) ** 2 / (2 * args[3] ** 2))
        ),
        "the 1/2 in front of delta - log(1 + delta) is missing.",
    )
    .eq(
        given(
            r"\tfrac{1}{g^2}\left[\tfrac12\delta u - \tfrac{u^3}{3} - \tfrac{u^5}{5} - \cdots + \tfrac{(\mu_q-\mu_p)^2}{2\sigma_p^2}\right],\quad u = \tfrac{\delta}{2+\delta}",
            series,
        ),
        "log(1 + delta) = 2 atanh u: no cancellation in float64",
        relative=True,
    )
    .slip(
        "series cut after the first term",
        given("TODO", lambda w: series(w, terms=0)),
        "u^3/3 was taken for small: it is of relative size |g|/3.",
    )
    .eq(
        given(r"\tfrac{1}{g^2}\,\mathrm{KL}(q \,\Vert\, p)", lambda w: kl_divergence(w.q, w.p) / w.growth**2),
        "the package's kl_divergence(q, p) in float64",
        relative=True,
    )
    .slip(
        "textbook formula in float64",
        given("TODO", lambda w: textbook(w.q.loc, w.q.scale, w.p.loc, w.p.scale, np.log, 0.5) / w.growth**2),
        "the textbook formula was typed as it stands: near q = p its terms cancel to the last digit.",
    )
    .slip(
        "log1p only",
        given("TODO", log1p_only),
        "log1p was trusted with everything: delta - log1p(delta) still cancels.",
    )
)

CHAPTER = (E1, E2, E3, E4, E8, E9)
