r"""Chapter L: the linear VAE, probabilistic PCA, and collapse; with I2 and I4, its best encoder and what the bound loses.

Notation: S is the sample covariance of x_1, ..., x_N (divided by N), with eigenvalues lambda_1 > lambda_2 > ... and
eigenvectors u_1, u_2, ...; the decoder is N(W z + b, c I), M = W^T W + c I, Sigma = W W^T + c I. All values are nats per
example: means over the data set, sums over pixels and latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import Derivation, derive
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.formula import given, sampled
from vaelib.models import CurvedGaussian, LinearGaussian
from vaelib.quadrature import gauss_hermite_multivariate
from vaelib.terms import KL, E, log_evidence, log_lik, prior, q
from vaelib.witnesses import CurvedFamily, away_from_zero, generic_loading, generic_noise_variance, generic_scale

Array = np.ndarray
Rng = np.random.Generator
LOG_2PI = float(np.log(2 * np.pi))


# ------------------------------------------------------------------------------------------------ data and what they hold


def generic_data(rng: Rng, n: int = 30, d: int = 5) -> Array:
    """n observations whose sample covariance has eigenvalues at ratios of 1.35 to 2, and generic eigenvectors."""
    noise = rng.standard_normal((n, d))
    noise -= noise.mean(axis=0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(noise.T @ noise / n)).T  # sample covariance I
    steps = rng.uniform(0.3, 0.7, d)
    eigenvalues = np.exp(np.cumsum(steps)[::-1] - rng.uniform(0.8, 1.4))
    directions = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return away_from_zero(rng, 0.3, 1.2, (d,)) + white * np.sqrt(eigenvalues) @ directions.T


def sample_covariance(x: Array, about: Array | None = None, lost: int = 0) -> Array:
    """Mean of (x - b)(x - b)^T, about the sample mean if no b is given; divided by N - `lost`."""
    centered = x - (x.mean(axis=0) if about is None else about)
    return centered.T @ centered / (len(x) - lost)


def spectrum(x: Array, lost: int = 0) -> tuple[Array, Array]:
    """Eigenvalues (descending) and eigenvectors, as columns, of the sample covariance; each column has a positive sum."""
    eigenvalues, directions = np.linalg.eigh(sample_covariance(x, lost=lost))
    directions = directions * np.sign(directions.sum(axis=0))
    return eigenvalues[::-1], directions[:, ::-1]


def rotation(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@dataclass(frozen=True)
class LinearVAE:
    """Observations, and a linear VAE (k = 2) that does not fit them: decoder, encoder N(V x + a, diag s^2), an angle."""

    x: Array  # (N, d)
    model: LinearGaussian
    weight: Array  # V, (k, d)
    bias: Array  # a, (k,)
    scale: Array  # s, (k,)
    angle: float  # of a rotation R of the latents

    @classmethod
    def draw(cls, rng: Rng, d: int = 5) -> LinearVAE:
        offset = away_from_zero(rng, 0.3, 1.0, (d,))
        return cls(
            generic_data(rng, d=d),
            LinearGaussian(generic_loading(rng, d, 2), offset, generic_noise_variance(rng)),
            away_from_zero(rng, 0.1, 0.5, (2, d)),
            away_from_zero(rng, 0.2, 0.8, (2,)),
            generic_scale(rng, (2,)),
            float(rng.uniform(0.3, 0.7)),
        )

    @property
    def q(self) -> DiagonalNormal:
        """q(z | x_i) for every i."""
        loc = self.x @ self.weight.T + self.bias
        return DiagonalNormal(loc, np.broadcast_to(self.scale, loc.shape))


_STENCILS = {1: np.array([1, -8, 0, 8, -1]) / 12, 2: np.array([-1, 16, -30, 16, -1]) / 12}


def difference(f: Callable[[float], float], h: float, order: int) -> Estimate:
    """f'(0) or f''(0) from five points, up to h^4; its error is what rounding f by 8 eps may do."""
    values = np.array([f(t) for t in (-2 * h, -h, 0.0, h, 2 * h)])
    rounding = 8 * np.finfo(float).eps * np.abs(_STENCILS[order]) @ np.abs(values)
    return Estimate(float(_STENCILS[order] @ values) / h**order, float(rounding) / h**order)


def together(estimates: Any) -> Estimate:
    """One Estimate of several."""
    estimates = list(estimates)
    return Estimate(np.array([e.value for e in estimates]), np.array([e.error for e in estimates]))


def mean_evidence(x: Array, model: LinearGaussian) -> float:
    """(1/N) sum_i log p(x_i), by the package."""
    return float(np.mean(model.log_evidence(x)))


def mean_bound(x: Array, model: LinearGaussian, q: DiagonalNormal | MultivariateNormal) -> float:
    """(1/N) sum_i of the bound, by the package."""
    return float(np.mean(model.elbo(x, q)))


def maximum(x: Array, k: int = 2, angle: float | None = None, lost: int = 0) -> LinearGaussian:
    """pPCA's maximum-likelihood model: U_k (Lambda_k - c I)^(1/2) R, sample mean, mean of the discarded eigenvalues."""
    eigenvalues, directions = spectrum(x, lost)
    c = float(eigenvalues[k:].mean())
    loading = directions[:, :k] * np.sqrt(eigenvalues[:k] - c)
    return LinearGaussian(loading if angle is None else loading @ rotation(angle), x.mean(axis=0), c)


def gram(model: LinearGaussian) -> Array:
    """M = W^T W + c I."""
    return model.loading.T @ model.loading + model.noise_variance * np.eye(model.latent_dim)


def off_diagonal_cost(model: LinearGaussian) -> float:
    """1/2 (sum_j log M_jj - log|M|) >= 0: what independent latents cost where the posterior is correlated."""
    m = gram(model)
    return 0.5 * float(np.log(np.diag(m)).sum() - np.linalg.slogdet(m)[1])


def best_diagonal(x: Array, model: LinearGaussian, **wrong: Any) -> DiagonalNormal:
    """N(M^-1 W^T (x - b), diag(c / M_jj)); the keywords make its slips."""
    m = wrong.get("gram", gram(model))
    offset = wrong.get("offset", model.offset)
    loc = np.linalg.solve(wrong.get("solve", m), model.loading.T @ (x - offset).T).T
    variance = wrong.get("variance", model.noise_variance / np.diag(m))
    return DiagonalNormal(loc, np.broadcast_to(np.sqrt(variance), loc.shape))


# ------------------------------------------------------------------------------------------ the best encoder, I2 and I4


def encoder_gap(w: LinearVAE) -> float:
    """Mean over i of 1/2 [sum_j (M_jj s_j^2 / c - 1 - log(M_jj s_j^2 / c)) + delta_i^T M delta_i / c]."""
    m, c = gram(w.model), w.model.noise_variance
    ratio = np.diag(m) * w.scale**2 / c
    miss = w.q.loc - np.linalg.solve(m, w.model.loading.T @ (w.x - w.model.offset).T).T
    return 0.5 * float(np.sum(ratio - 1 - np.log(ratio)) + np.einsum("ni,ij,nj->n", miss, m, miss).mean() / c)


def at_best_encoder(w: LinearVAE, **wrong: Any) -> float:
    return mean_bound(w.x, w.model, best_diagonal(w.x, w.model, **wrong))


def already_best(rng: Rng) -> LinearVAE:
    w = LinearVAE.draw(rng, d=3)
    m = gram(w.model)
    weight = np.linalg.solve(m, w.model.loading.T)
    return replace(w, weight=weight, bias=-weight @ w.model.offset, scale=np.sqrt(w.model.noise_variance / np.diag(m)))


I2 = (
    derive(
        "I2",
        "the best encoder of a linear decoder is linear, its variance constant",
        partial(LinearVAE.draw, d=3),
        assumptions="x | z ~ N(W z + b, c I); q(z|x) with independent latents, any linear mean, any scale",
        source="Lucas et al. 2019, section 3; Dai et al. 2018",
    )
    .start(
        given(
            r"\frac1N \sum_i \mathcal{L}\left(x_i;\ q_i = N(V x_i + a,\ \mathrm{diag}\,s^2)\right)",
            lambda w: mean_bound(w.x, w.model, w.q),
        )
    )
    .le(
        given(
            r"\frac1N \sum_i \mathcal{L}\left(x_i;\ q_i = N(M^{-1} W^\top (x_i - b),\ \mathrm{diag}(c / M_{jj}))\right)",
            at_best_encoder,
        ),
        "the posterior mean; precisions off the diagonal of M/c",
        gap=encoder_gap,
        equality=already_best,
    )
    .slip(
        "variances of the posterior",
        given(
            r"\ldots\ \mathrm{diag}\left((c M^{-1})_{jj}\right)",
            lambda w: at_best_encoder(w, variance=w.model.noise_variance * np.diag(np.linalg.inv(gram(w.model)))),
        ),
        "the diagonal of c M^-1 was taken; the best independent latents are narrower, c / M_jj.",
    )
    .slip(
        "no c in M",
        given(
            r"\ldots\ N\left((W^\top W)^{-1} W^\top (x_i - b),\ \ldots\right)",
            lambda w: at_best_encoder(w, solve=w.model.loading.T @ w.model.loading),
        ),
        "the prior was left out of the mean: M is W^T W + c I, not W^T W.",
    )
    .slip(
        "W transposed alone",
        given(r"\ldots\ N\left(W^\top (x_i - b),\ \ldots\right)", lambda w: at_best_encoder(w, solve=np.eye(2))),
        "the encoder was taken to be the decoder backwards: M^-1 is missing.",
    )
    .slip(
        "offset forgotten",
        given(r"\ldots\ N\left(M^{-1} W^\top x_i,\ \ldots\right)", lambda w: at_best_encoder(w, offset=0.0)),
        "x was not centered: the encoder needs x - b.",
    )
    .slip(
        "variance for the scale",
        given("TODO", lambda w: at_best_encoder(w, variance=(w.model.noise_variance / np.diag(gram(w.model))) ** 2)),
        "the variance c / M_jj was used as a standard deviation.",
        real="issue threads of several VAE implementations",
    )
    .le(
        given(
            r"\frac1N \sum_i \mathcal{L}\left(x_i;\ q_i = N(M^{-1} W^\top (x_i - b),\ c M^{-1})\right)",
            lambda w: mean_bound(w.x, w.model, w.model.posterior(w.x)),
        ),
        "correlated latents: the posterior itself",
        gap=lambda w: off_diagonal_cost(w.model),
    )
    .slip("independent beats correlated", says="the sign is turned: correlations help.", relation=">=")
    .eq(
        given(r"\frac1N \sum_i \log p(x_i)", lambda w: mean_evidence(w.x, w.model)),
        "the bound is tight at the posterior (F7)",
    )
    .slip(
        "one example for the mean",
        given("TODO", lambda w: float(w.model.log_evidence(w.x[0]))),
        "the evidence of one example stands for the mean over all.",
    )
)


def over_the_model(f: Callable[[LinearVAE], Any]) -> Callable[[LinearVAE], Any]:
    """E_{p(x)}[f(w)], w with that x, on a product grid: exact, because the integrand is quadratic in a Gaussian x."""

    def value(w: LinearVAE) -> Any:
        p = w.model.evidence
        return gauss_hermite_multivariate(lambda x: f(replace(w, x=x)), p.loc, p.cholesky, n=2)

    return value


def expected_kl(w: LinearVAE, *, spread: bool = True, bias: bool = True, covariance: bool = True) -> float:
    """1/2 [tr(P S) - k - log|P S|] + 1/2 tr(P D Sigma D^T) + 1/2 e^T P e for the affine encoder, P = M / c."""
    m, c = gram(w.model), w.model.noise_variance
    precision, variance = m / c, np.diag(w.scale**2)
    gain = np.linalg.solve(m, w.model.loading.T)
    miss = w.weight - gain  # D, (k, d)
    shift = w.weight @ w.model.offset + w.bias  # mean error at x = b
    sigma = w.model.loading @ w.model.loading.T + c * np.eye(w.model.data_dim)
    total = 0.0
    if covariance:
        product = precision @ variance
        total += np.trace(product) - len(m) - np.linalg.slogdet(product)[1]
    if spread:
        total += np.trace(precision @ miss @ sigma @ miss.T)
    if bias:
        total += shift @ precision @ shift
    return 0.5 * float(total)


def entropy_of_x(w: LinearVAE) -> float:
    """h(x) = 1/2 [d log 2 pi e + log|Sigma|] = 1/2 [d log 2 pi e + (d - k) log c + log|M|]."""
    d, k = w.model.loading.shape
    log_volume = (d - k) * np.log(w.model.noise_variance) + np.linalg.slogdet(gram(w.model))[1]
    return 0.5 * float(d * (LOG_2PI + 1) + log_volume)


def bounds_on_own_samples(w: LinearVAE, rng: Rng, n: int, noise: float = 1.0) -> Array:
    z = rng.standard_normal((n, w.model.latent_dim))
    x = w.model.likelihood(z).transform(noise * rng.standard_normal((n, w.model.data_dim)))
    return np.asarray(w.model.elbo(x, replace(w, x=x).q))


I4 = (
    derive(
        "I4",
        "the mean bound under the model's own p(x)",
        partial(LinearVAE.draw, d=3),
        assumptions="x ~ p(x) = N(b, Sigma), not the data; q(z|x) = N(V x + a, diag s^2)",
        source="F1, averaged; Cover and Thomas 2006, theorem 8.4.1, for the entropy",
    )
    .start(given(r"\mathbb{E}_{p(x)}\left[\mathcal{L}(x)\right]", over_the_model(lambda w: w.model.elbo(w.x, w.q))))
    .eq(
        given(
            r"\mathbb{E}_{p(x)}\left[\log p(x)\right] - \mathbb{E}_{p(x)}\left[\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))\right]",
            over_the_model(lambda w: w.model.log_evidence(w.x) - kl_divergence(w.q, w.model.posterior(w.x))),
        ),
        "F1 at every x, then the mean",
    )
    .eq(
        given(
            r"-\mathrm{h}(x) - \tfrac12\left[\mathrm{tr}(P S) - k - \log|P S|\right] - \tfrac12 \mathrm{tr}(P D \Sigma D^\top) - \tfrac12 e^\top P e",
            lambda w: -entropy_of_x(w) - expected_kl(w),
        ),
        "D = V - inv(M) W', e = V b + a, P = M/c, S = diag s^2",
    )
    .slip(
        "plus the entropy",
        given("TODO", lambda w: entropy_of_x(w) - expected_kl(w)),
        "the sign of h(x) is turned: E[log p(x)] is minus the entropy.",
    )
    .slip("no gap", given("TODO", lambda w: -entropy_of_x(w)), "the bound was taken to be tight.")
    .slip(
        "gap added",
        given("TODO", lambda w: -entropy_of_x(w) + expected_kl(w)),
        "the gap was added: the bound lies below the evidence.",
    )
    .slip(
        "error of the mean at x = b only",
        given("TODO", lambda w: -entropy_of_x(w) - expected_kl(w, spread=False)),
        "the slope of the encoder was taken to be right: its error grows with the spread of x.",
    )
    .slip(
        "width for free",
        given("TODO", lambda w: -entropy_of_x(w) - expected_kl(w, covariance=False)),
        "the variance of q was taken to be that of the posterior.",
    )
    .le(given(r"-\mathrm{h}(x)", lambda w: -entropy_of_x(w)), "KL is never negative", gap=expected_kl)
    .eq(
        sampled(
            r"\frac1n \sum_i \mathcal{L}(x_i) + \mathbb{E}\left[\mathrm{KL}\right],\quad x_i \sim p(x)",
            lambda w, rng, n: bounds_on_own_samples(w, rng, n) + expected_kl(w),
        ),
        "a sample mean; quadratic in a Gaussian: finite variance",
        num_samples=30_000,
        resolution=2.5,
    )
    .slip(
        "no noise on x",
        sampled("TODO", lambda w, rng, n: bounds_on_own_samples(w, rng, n, noise=0.0) + expected_kl(w)),
        "x was taken to be W z + b: the noise of the decoder was left out.",
    )
)


# --------------------------------------------------------------------------------------------- pPCA's maximum, L1 and L2


def gradient(x: Array, model: LinearGaussian, *, power: int = 2, one_half: float = 0.5) -> Array:
    """Of the mean log-likelihood in W, b and c, flattened: (Sigma^-1 S Sigma^-1 - Sigma^-1) W, Sigma^-1 (mean - b), ..."""
    sigma = model.loading @ model.loading.T + model.noise_variance * np.eye(model.data_dim)
    inverse = np.linalg.inv(sigma)
    second_moment = sample_covariance(x, about=model.offset)
    core = inverse @ second_moment @ (inverse if power == 2 else np.eye(len(inverse))) - inverse
    in_offset = inverse @ (x.mean(axis=0) - model.offset)
    return np.concatenate([(core @ model.loading).ravel(), in_offset, [one_half * np.trace(core)]])


@dataclass(frozen=True)
class Probed(LinearVAE):
    """The same with five directions in the space of (W, b, c), along which derivatives are taken."""

    moves: Array  # (5, d k + d + 1)

    @classmethod
    def draw(cls, rng: Rng, d: int = 5) -> Probed:
        base = LinearVAE.draw(rng, d)
        return cls(**vars(base), moves=away_from_zero(rng, 0.2, 1.0, (5, 3 * d + 1)))


def slopes_by_differences(w: Probed, model: LinearGaussian, step: float) -> Estimate:
    """Derivatives of the package's mean log_evidence along the moves, by five-point differences."""
    d, k = model.loading.shape
    at = np.concatenate([model.loading.ravel(), model.offset, [model.noise_variance]])

    def value(p: Array) -> float:
        return mean_evidence(w.x, LinearGaussian(p[: d * k].reshape(d, k), p[d * k : -1], float(p[-1])))

    return together(difference(partial(lambda u, t: value(at + t * u), move), step, 1) for move in w.moves)


def candidate(w: LinearVAE, shrink: Callable[[Array, float], Array], noise: Callable[[Array], Any]) -> LinearGaussian:
    """A loading U_k diag(shrink(lambda, c)) and a noise variance made from the discarded eigenvalues: the slips of L1."""
    eigenvalues, directions = spectrum(w.x)
    c = float(noise(eigenvalues))
    loading = directions[:, :2] * shrink(eigenvalues[:2], c)
    return LinearGaussian(loading @ rotation(w.angle), w.x.mean(axis=0), c)


def both_slopes(w: Probed, at: LinearGaussian | None = None, **wrong: Any) -> Array:
    """Along each move, at the model of the witness and at pPCA's maximum (or at `at`), shape (2, moves)."""
    top = maximum(w.x, angle=w.angle) if at is None else at
    return np.array([w.moves @ gradient(w.x, model, **wrong) for model in (w.model, top)])


def root_of_excess(eigenvalues: Array, c: float) -> Array:
    return np.sqrt(np.maximum(eigenvalues - c, 0.0))


def discarded(eigenvalues: Array) -> Any:
    return eigenvalues[2:].mean()


L1 = (
    derive(
        "L1",
        "pPCA's maximum-likelihood solution is stationary",
        Probed.draw,
        assumptions="S divided by N; theta any model, theta-hat = (U (Lambda - c I)^(1/2) R, mean of x, mean discarded eigenvalue)",
        source="Tipping and Bishop 1999, equations (7) and (8), appendix A",
    )
    .start(
        given(
            r"\left(\nabla \ell(\theta),\ \nabla \ell(\hat\theta)\right),\quad \ell = \frac1N \sum_i \log p(x_i)",
            lambda w, h: together(slopes_by_differences(w, m, h) for m in (w.model, maximum(w.x, angle=w.angle))),
        ),
        step=5e-4,
        order=4,
        resolution=1e-4,
    )
    .eq(
        given(
            r"\left(\nabla \ell(\theta),\ \nabla \ell(\hat\theta)\right),\quad \partial_W \ell = \left(\Sigma^{-1} S \Sigma^{-1} - \Sigma^{-1}\right) W",
            both_slopes,
        ),
        "derivative of the log-determinant and of tr(inv(Sigma) S)",
    )
    .slip(
        "loadings of PCA",
        given(
            r"\hat W = U_k \Lambda_k^{1/2}", lambda w: both_slopes(w, candidate(w, lambda s, c: np.sqrt(s), discarded))
        ),
        "W was taken to be U Lambda^(1/2): the noise already explains c of each eigenvalue.",
    )
    .slip(
        "noise from all directions",
        given("TODO", lambda w: both_slopes(w, candidate(w, root_of_excess, np.mean))),
        "c was taken to be the mean of all eigenvalues; only the discarded ones are noise.",
    )
    .slip(
        "sum of the discarded",
        given("TODO", lambda w: both_slopes(w, candidate(w, root_of_excess, lambda s: s[2:].sum()))),
        "the discarded eigenvalues were added up; c is their mean.",
    )
    .slip(
        "no square root",
        given("TODO", lambda w: both_slopes(w, candidate(w, lambda s, c: s - c, discarded))),
        "W was taken to be U (Lambda - c I): a loading is a square root of a variance.",
    )
    .slip(
        "divided by N - 1",
        given("TODO", lambda w: both_slopes(w, maximum(w.x, angle=w.angle, lost=1))),
        "S was divided by N - 1; the likelihood's maximum has N.",
        real="a well-known library's PCA, which estimates without bias",
    )
    .slip(
        "Sigma inverted once",
        given("TODO", lambda w: both_slopes(w, power=1)),
        "tr(inv(Sigma) S) was differentiated as if it were linear: inv(Sigma) stands on both sides.",
    )
    .slip(
        "no one half",
        given("TODO", lambda w: both_slopes(w, one_half=1.0)),
        "the factor 1/2 is missing in the derivative with respect to c.",
    )
    .eq(
        given(r"\left(\nabla \ell(\theta),\ 0\right)", lambda w: both_slopes(w) * np.array([[1.0], [0.0]])),
        "S inv(Sigma) W = W, and c is the mean of the discarded",
    )
)


def by_trace(w: LinearVAE, lost: int = 0) -> float:
    """-1/2 [d log 2 pi + log|Sigma| + tr(Sigma^-1 S)] at the maximum."""
    top = maximum(w.x)
    sigma = top.loading @ top.loading.T + top.noise_variance * np.eye(top.data_dim)
    trace = np.trace(np.linalg.solve(sigma, sample_covariance(w.x, lost=lost)))
    return -0.5 * float(top.data_dim * LOG_2PI + np.linalg.slogdet(sigma)[1] + trace)


def by_eigenvalues(
    w: LinearVAE, *, k: int = 2, left: int | None = None, trace: float | None = None, minus_noise: float = 0.0
) -> float:
    """-1/2 [d log 2 pi + sum_{j <= k} log lambda_j + (d - k) log c + d]; the keywords make its slips."""
    eigenvalues, _ = spectrum(w.x)
    d, c = len(eigenvalues), eigenvalues[k:].mean()
    log_volume = np.log(eigenvalues[:k] - minus_noise * c).sum() + (d - k if left is None else left) * np.log(c)
    return -0.5 * float(d * LOG_2PI + log_volume + (d if trace is None else trace))


def distance_from_maximum(w: LinearVAE) -> float:
    """l(theta-hat) - l(theta) as a difference of two KL from the Gaussian with the moments of the data."""
    data = MultivariateNormal(w.x.mean(axis=0), sample_covariance(w.x))
    return float(kl_divergence(data, w.model.evidence) - kl_divergence(data, maximum(w.x).evidence))


L2 = (
    derive(
        "L2",
        "the maximum of pPCA, from eigenvalues alone",
        LinearVAE.draw,
        assumptions="k < d, S divided by N, lambda_k > c = mean of the discarded eigenvalues",
        source="Tipping and Bishop 1999, section 3",
    )
    .start(given(r"\frac1N \sum_i \log p(x_i \mid \hat\theta)", lambda w: mean_evidence(w.x, maximum(w.x))))
    .eq(
        given(r"-\tfrac12\left[d \log 2\pi + \log|\Sigma| + \mathrm{tr}(\Sigma^{-1} S)\right]", by_trace),
        "a mean of quadratic forms is a trace",
    )
    .slip(
        "divided by N - 1",
        given("TODO", partial(by_trace, lost=1)),
        "S was divided by N - 1; a mean over the data divides by N.",
        real="a test against a well-known library's PCA",
    )
    .eq(
        given(
            r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log \lambda_j + (d - k) \log c + d\right]", by_eigenvalues
        ),
        "Sigma has eigenvalues lambda_1 to lambda_k, and c",
    )
    .slip(
        "d for d - k",
        given("TODO", lambda w: by_eigenvalues(w, left=5)),
        "log c was counted in all d directions; k of them have lambda_j already.",
    )
    .slip(
        "trace forgotten",
        given("TODO", lambda w: by_eigenvalues(w, trace=0.0)),
        "the last d was dropped: it is tr(inv(Sigma) S), the mean of the exponents.",
    )
    .slip(
        "trace of the kept directions",
        given("TODO", lambda w: by_eigenvalues(w, trace=2.0)),
        "the exponent was summed over k latents; it has d directions.",
    )
    .slip(
        "noise taken off",
        given("TODO", lambda w: by_eigenvalues(w, minus_noise=1.0)),
        "log(lambda_j - c) stands for log lambda_j: Sigma holds the noise again.",
    )
    .ge(
        given(r"\frac1N \sum_i \log p(x_i \mid \theta)", lambda w: mean_evidence(w.x, w.model)),
        "no other W, b, c does better",
        gap=distance_from_maximum,
    )
    .slip("another model is better", says="the sign is turned: a maximum lies above.", relation="<=")
)


# ------------------------------------------------------------------------------- the linear VAE at beta = 1, L3 and L7


def aligned_bound(w: LinearVAE, angle: float | None = None) -> float:
    """The bound at pPCA's maximum with the best encoder of independent latents, by the package."""
    top = maximum(w.x, angle=angle)
    return mean_bound(w.x, top, best_diagonal(w.x, top))


L3 = (
    derive(
        "L3",
        "the best linear VAE is pPCA (beta = 1)",
        LinearVAE.draw,
        assumptions="beta = 1; linear decoder and encoder; q with independent latents, columns of W-hat orthogonal (R = I)",
        source="Lucas et al. 2019, theorem 1; Dai et al. 2018",
    )
    .start(
        given(r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log \lambda_j + (d - k) \log c + d\right]", by_eigenvalues)
    )
    .eq(
        given(r"\frac1N \sum_i \log p(x_i \mid \hat\theta)", lambda w: mean_evidence(w.x, maximum(w.x))),
        "the maximum of pPCA (L2)",
    )
    .eq(
        given(
            r"\frac1N \sum_i \mathcal{L}\left(x_i;\ \hat\theta,\ q_i = N(M^{-1} \hat W^\top (x_i - b),\ \mathrm{diag}(c / M_{jj}))\right)",
            aligned_bound,
        ),
        "columns orthogonal: M diagonal, so q is the posterior",
    )
    .slip(
        "rotated latents",
        given(r"\ldots\ \hat W R", lambda w: aligned_bound(w, angle=w.angle)),
        "W was rotated: the posterior is then correlated, and independent latents miss it.",
    )
    .slip(
        "loadings of PCA",
        given(
            "TODO",
            lambda w: (lambda m: mean_bound(w.x, m, best_diagonal(w.x, m)))(
                candidate(replace(w, angle=0.0), lambda s, c: np.sqrt(s), discarded)
            ),
        ),
        "W was taken to be U Lambda^(1/2), without subtracting the noise.",
    )
    .slip(
        "bound above the evidence",
        given(
            "TODO",
            lambda w: (lambda m: 2 * float(np.mean(kl_divergence(best_diagonal(w.x, m), m.prior))) + aligned_bound(w))(
                maximum(w.x)
            ),
        ),
        "the KL was added: the bound would exceed the evidence.",
    )
    .ge(
        given(
            r"\frac1N \sum_i \mathcal{L}\left(x_i;\ W, b, c,\ q_i = N(V x_i + a,\ \mathrm{diag}\,s^2)\right)",
            lambda w: mean_bound(w.x, w.model, w.q),
        ),
        "any other linear VAE: evidence no higher, bound below it",
        gap=lambda w: distance_from_maximum(w) + float(np.mean(kl_divergence(w.q, w.model.posterior(w.x)))),
    )
    .slip(
        "any linear VAE is as good",
        says="training was taken to be over: this encoder and decoder have not been fitted.",
        relation="=",
    )
)


def rotated(w: LinearVAE, mixing: Array) -> LinearGaussian:
    return replace(w.model, loading=w.model.loading @ mixing)


def bound_after_turning(w: LinearVAE, turn: Array) -> float:
    """The bound at W R with the old posterior's mean and covariance turned: N(T m, T C T^T); right for T = R^T."""
    old = w.model.posterior(w.x)
    turned = MultivariateNormal(old.loc @ turn.T, turn @ old.covariance @ turn.T)
    return mean_bound(w.x, rotated(w, rotation(w.angle)), turned)


def aligned_witness(rng: Rng) -> LinearVAE:
    """Orthogonal columns, and no rotation: independent latents lose nothing."""
    w = LinearVAE.draw(rng)
    return replace(w, model=maximum(w.x), angle=0.0)


L7 = (
    derive(
        "L7",
        "the evidence does not see a rotation of the latents; independent latents do",
        LinearVAE.draw,
        assumptions="R orthogonal; any W, b, c",
        source="Tipping and Bishop 1999, section 3.2; Dai et al. 2018, for the second half",
    )
    .start(given(r"\frac1N \sum_i \log p(x_i \mid W)", lambda w: mean_evidence(w.x, w.model)))
    .eq(
        given(r"\frac1N \sum_i \log p(x_i \mid W R)", lambda w: mean_evidence(w.x, rotated(w, rotation(w.angle)))),
        "(W R)(W R)' = W R R' W' = W W'",
    )
    .slip(
        "not a rotation",
        given("TODO", lambda w: mean_evidence(w.x, rotated(w, np.array([[1.0, w.angle], [0.0, 1.0]])))),
        "R is not orthogonal: a shear changes W W^T.",
    )
    .slip(
        "columns rescaled",
        given("TODO", lambda w: mean_evidence(w.x, rotated(w, np.diag([1.0 + w.angle, 1.0])))),
        "the columns of W were rescaled: the prior has variance one, so the scale counts.",
    )
    .eq(
        given(
            r"\frac1N \sum_i \mathcal{L}\left(x_i;\ W R,\ q_i = N(R^\top m_i,\ R^\top C R)\right)",
            lambda w: bound_after_turning(w, rotation(w.angle).T),
        ),
        "the posterior N(m, C) turns with the latents",
    )
    .slip(
        "latents turned the wrong way",
        given("TODO", lambda w: bound_after_turning(w, rotation(w.angle))),
        "z was turned by R; where W becomes W R, z becomes R^T z.",
    )
    .ge(
        given(
            r"\max_{V, a, s} \frac1N \sum_i \mathcal{L}\left(x_i;\ W R,\ q_i = N(V x_i + a,\ \mathrm{diag}\,s^2)\right)",
            lambda w: (lambda m: mean_bound(w.x, m, best_diagonal(w.x, m)))(rotated(w, rotation(w.angle))),
        ),
        "independent latents cannot follow",
        gap=lambda w: off_diagonal_cost(rotated(w, rotation(w.angle))),
        equality=aligned_witness,
    )
    .slip("rotation is free", says="the bound was taken to be as blind to rotations as the evidence.", relation="=")
    .slip(
        "variances of the posterior",
        given(
            "TODO",
            lambda w: (
                lambda m: mean_bound(
                    w.x, m, best_diagonal(w.x, m, variance=m.noise_variance * np.diag(np.linalg.inv(gram(m))))
                )
            )(rotated(w, rotation(w.angle))),
        ),
        "the diagonal of c M^-1 was taken; the best independent latents are narrower, c / M_jj.",
    )
)


# ------------------------------------------------------------------------------------------------ the threshold, L4 and L5


@dataclass(frozen=True)
class Directions:
    """Observations, a fixed noise variance and beta, and a linear VAE along the first three eigenvectors.

    Of the three directions one or two have an eigenvalue above beta c.
    """

    x: Array  # (N, d)
    noise_variance: float
    beta: float
    loading: Array  # w_j, (k,)
    slope: Array  # v_j, (k,)
    scale: Array  # s_j, (k,)
    start: Array  # (d, k), where the alternating maximization begins

    @classmethod
    def draw(cls, rng: Rng) -> Directions:
        x = generic_data(rng)
        eigenvalues, _ = spectrum(x)
        alive = int(rng.integers(1, 3))
        threshold = float(np.sqrt(eigenvalues[alive - 1] * eigenvalues[alive]))
        beta = float(generic_scale(rng))
        return cls(
            x,
            threshold / beta,
            beta,
            away_from_zero(rng, 0.3, 1.2, (3,)),
            away_from_zero(rng, 0.1, 0.6, (3,)),
            np.exp(-rng.uniform(0.2, 0.9, 3)),
            generic_loading(rng, 5, 3),
        )

    @property
    def threshold(self) -> float:
        return self.beta * self.noise_variance


def beta_bound(
    w: Directions, loading: Array, q: DiagonalNormal | MultivariateNormal, beta: float | None = None
) -> float:
    """(1/N) sum_i E_q[log p(x_i | z)] - beta KL(q_i || p(z)), offset at the sample mean, by the package."""
    model = LinearGaussian(loading, w.x.mean(axis=0), w.noise_variance)
    beta = w.beta if beta is None else beta
    return float(np.mean(elbo(model.expected_log_likelihood(w.x, q), kl_divergence(q, model.prior), beta)))


def along_eigenvectors(w: Directions) -> tuple[Array, Array]:
    """U_k diag(w), and the coordinates of the centered data, (N, k)."""
    directions = spectrum(w.x)[1][:, :3]
    return directions * w.loading, (w.x - w.x.mean(axis=0)) @ directions


def generic_encoder(w: Directions) -> DiagonalNormal:
    _, coordinates = along_eigenvectors(w)
    return DiagonalNormal(coordinates * w.slope, np.broadcast_to(w.scale, coordinates.shape))


def tempered_encoder(w: Directions, noise: float | None = None) -> DiagonalNormal:
    """N(w_j t_j / (w_j^2 + beta c), beta c / (w_j^2 + beta c)): the posterior of a decoder with noise beta c."""
    noise = w.threshold if noise is None else noise
    _, coordinates = along_eigenvectors(w)
    m = w.loading**2 + noise
    return DiagonalNormal(coordinates * w.loading / m, np.broadcast_to(np.sqrt(noise / m), coordinates.shape))


def profile(w: Directions, m: Array, threshold: float | None = None) -> float:
    """-d/2 log 2 pi c - beta/2 sum_j [lambda_j / m_j + log(m_j / beta c)], with m_j = beta c where there is no latent."""
    threshold = w.threshold if threshold is None else threshold
    eigenvalues, _ = spectrum(w.x)
    m = np.concatenate([m, np.full(len(eigenvalues) - len(m), w.threshold)])
    cost = np.sum(eigenvalues / m + np.log(m / threshold))
    return -0.5 * float(len(eigenvalues) * (LOG_2PI + np.log(w.noise_variance)) + w.beta * cost)


def best_m(w: Directions, threshold: float | None = None) -> Array:
    return np.maximum(spectrum(w.x)[0][:3], w.threshold if threshold is None else threshold)


def loading_gap(w: Directions) -> float:
    """beta/2 sum_j [lambda_j / m_j - lambda_j / m*_j + log(m_j / m*_j)]."""
    eigenvalues, m, best = spectrum(w.x)[0][:3], w.loading**2 + w.threshold, best_m(w)
    return 0.5 * w.beta * float(np.sum(eigenvalues / m - eigenvalues / best + np.log(m / best)))


def with_best_loading(rng: Rng) -> Directions:
    w = Directions.draw(rng)
    return replace(w, loading=np.sqrt(np.maximum(spectrum(w.x)[0][:3] - w.threshold, 0.0)))


def alternating(w: Directions, noise: float | None = None, rounds: int = 200) -> float:
    """Encoder step and decoder step in turns, each exact, from a generic start; then the objective, by the package."""
    noise = w.threshold if noise is None else noise
    covariance, loading, eye = sample_covariance(w.x), w.start, np.eye(3)
    for _ in range(rounds):
        gain = np.linalg.solve(loading.T @ loading + noise * eye, loading.T)  # encoder: mean gain (x - b), (k, d)
        spread = noise * np.linalg.inv(loading.T @ loading + noise * eye)
        cross = covariance @ gain.T  # mean of (x - b) z^T
        loading = np.linalg.solve(gain @ cross + spread, cross.T).T  # decoder: regression of x on z
    gain = np.linalg.solve(loading.T @ loading + noise * eye, loading.T)
    spread = noise * np.linalg.inv(loading.T @ loading + noise * eye)
    q = MultivariateNormal((w.x - w.x.mean(axis=0)) @ gain.T, (spread + spread.T) / 2)
    return beta_bound(w, loading, q)


L4 = (
    derive(
        "L4",
        "which directions a linear VAE keeps: w_j^2 = max(lambda_j - beta c, 0)",
        Directions.draw,
        assumptions="c fixed, decoder U diag(w) along eigenvectors, offset at the sample mean",
        source="Lucas et al. 2019, section 4, for beta = 1; with beta c for c: chapter K",
    )
    .start(
        given(
            r"\frac1N \sum_i \mathcal{L}_\beta\left(x_i;\ w,\ q_i = N(v_j u_j^\top(x_i - b),\ s_j^2)\right)",
            lambda w: beta_bound(w, along_eigenvectors(w)[0], generic_encoder(w)),
        )
    )
    .le(
        given(
            r"-\tfrac{d}{2} \log 2\pi c - \tfrac{\beta}{2} \sum_j \left[\frac{\lambda_j}{m_j} + \log \frac{m_j}{\beta c}\right],\quad m_j = w_j^2 + \beta c",
            lambda w: profile(w, w.loading**2 + w.threshold),
        ),
        "best encoder: the posterior for a noise of beta c",
        gap=lambda w: w.beta * float(np.mean(kl_divergence(generic_encoder(w), tempered_encoder(w)))),
    )
    .slip(
        "posterior of beta = 1",
        given("TODO", lambda w: beta_bound(w, along_eigenvectors(w)[0], tempered_encoder(w, w.noise_variance))),
        "the plain posterior was taken: with beta, the best encoder is that of a noise beta c.",
    )
    .slip(
        "log m over c",
        given("TODO", lambda w: profile(w, w.loading**2 + w.threshold, threshold=w.noise_variance)),
        "log(m/c) stands for log(m/(beta c)): at w = 0 the KL would not vanish.",
    )
    .slip(
        "KL averaged over latents",
        given("TODO", lambda w: beta_bound(w, along_eigenvectors(w)[0], tempered_encoder(w), beta=w.beta / 3)),
        "the KL was averaged over the latents: beta is then divided by k.",
        real="issue threads of several VAE implementations",
    )
    .le(
        given(
            r"\text{the same at } m_j = \max(\lambda_j, \beta c),\ \text{that is}\ w_j^2 = \max(\lambda_j - \beta c, 0)",
            lambda w: profile(w, best_m(w)),
        ),
        "lambda/m + log m falls up to m = lambda, then rises",
        gap=loading_gap,
        equality=with_best_loading,
    )
    .slip(
        "beta ignored",
        given(r"w_j^2 = \max(\lambda_j - c, 0)", lambda w: profile(w, best_m(w, w.noise_variance))),
        "the threshold is c: with beta the noise floor is beta c.",
    )
    .slip(
        "c over beta",
        given(r"w_j^2 = \max(\lambda_j - c/\beta, 0)", lambda w: profile(w, best_m(w, w.noise_variance / w.beta))),
        "beta divides the noise; it multiplies it.",
    )
    .slip(
        "no threshold",
        given(r"w_j^2 = \lambda_j - \beta c", lambda w: profile(w, spectrum(w.x)[0][:3])),
        "w_j^2 = lambda_j - beta c was used below the threshold, where it is negative.",
    )
    .slip(
        "loadings of PCA",
        given(r"w_j^2 = \lambda_j", lambda w: profile(w, spectrum(w.x)[0][:3] + w.threshold)),
        "w_j^2 = lambda_j: what the noise explains was not subtracted.",
    )
    .eq(
        given(r"\max_{W, q}\ \frac1N \sum_i \mathcal{L}_\beta(x_i)", alternating),
        "encoder and decoder steps in turns, from any start",
    )
    .slip(
        "encoder of beta = 1",
        given("TODO", lambda w: alternating(w, w.noise_variance)),
        "the encoder step used the plain posterior: it must know beta.",
    )
)


def evidence_along(w: LinearVAE, step: float) -> Estimate:
    """Second difference at w = 0 of the mean log-likelihood with one latent, loading w u_j, for every j."""
    eigenvalues, directions = spectrum(w.x)
    c = float(1.2 * w.model.noise_variance)

    def value(j: int, size: float) -> float:
        return mean_evidence(w.x, LinearGaussian(size * directions[:, j : j + 1], w.x.mean(axis=0), c))

    return together(difference(partial(value, j), step, 2) for j in range(len(eigenvalues)))


def bound_hessian(w: LinearVAE, step: float, couple: bool = True) -> Estimate:
    """L_ww - L_wv^2 / L_vv at w = v = 0, s = 1, by differences of the package's bound, for every direction j."""
    _, directions = spectrum(w.x)
    mean, c = w.x.mean(axis=0), float(1.2 * w.model.noise_variance)

    def value(j: int, size: float, slope: float) -> float:
        u = directions[:, j : j + 1]
        q = DiagonalNormal(slope * (w.x - mean) @ u, np.ones((len(w.x), 1)))
        return mean_bound(w.x, LinearGaussian(size * u, mean, c), q)

    def schur(j: int) -> Estimate:
        ww = difference(lambda t: value(j, t, 0.0), step, 2)
        if not couple:
            return ww
        vv = difference(lambda t: value(j, 0.0, t), step, 2)
        wv = 0.5 * (difference(lambda t: value(j, t, t), step, 2) - ww - vv)  # along (1, 1): ww + 2 wv + vv
        follow = wv.value / vv.value
        return Estimate(ww.value - follow * wv.value, ww.error + 2 * abs(follow) * wv.error + follow**2 * vv.error)

    return together(schur(j) for j in range(directions.shape[1]))


def curvature(w: LinearVAE, *, sign: float = 1.0, power: int = 2) -> Array:
    """(lambda_j - c) / c^2 for every j."""
    c = 1.2 * w.model.noise_variance
    return sign * (spectrum(w.x)[0] - c) / c**power


L5 = (
    derive(
        "L5",
        "curvature at the collapsed point: a direction escapes if lambda_j > c",
        partial(LinearVAE.draw, d=3),
        assumptions="c fixed; one latent, W = w u_j, offset at the sample mean, w = 0; with beta read beta c for c in the sign",
        source="Lucas et al. 2019, section 4; Tipping and Bishop 1999, appendix A",
    )
    .start(
        given(r"\partial_w^2\, \frac1N \sum_i \log p(x_i) \text{ at } W = w u_j,\ w = 0", evidence_along),
        step=4e-3,
        order=4,
        resolution=1e-4,
    )
    .eq(
        given(
            r"\partial_w^2 \mathcal{L} - \frac{(\partial_w \partial_v \mathcal{L})^2}{\partial_v^2 \mathcal{L}} \text{ at } w = v = 0,\quad q_i = N(v\,u_j^\top(x_i - b),\ 1)",
            bound_hessian,
        ),
        "the encoder follows: maximize the bound over v",
        step=4e-3,
        order=4,
        resolution=1e-4,
    )
    .slip(
        "encoder frozen",
        given(r"\partial_w^2 \mathcal{L}", lambda w, h: bound_hessian(w, h, couple=False)),
        "the encoder was held at the prior: then every decoder is pulled back to zero.",
    )
    .eq(
        given(
            r"-\frac1c + \frac{(\lambda_j / c)^2}{\lambda_j}",
            lambda w: (
                -1 / (1.2 * w.model.noise_variance)
                + (spectrum(w.x)[0] / (1.2 * w.model.noise_variance)) ** 2 / spectrum(w.x)[0]
            ),
        ),
        "L holds -w^2/2c, w v lambda/c and -v^2 lambda/2",
    )
    .slip(
        "coupling not squared",
        given("TODO", lambda w: -1 / (1.2 * w.model.noise_variance) + 1 / (1.2 * w.model.noise_variance)),
        "the mixed derivative was not squared.",
    )
    .eq(given(r"\frac{\lambda_j - c}{c^2}", curvature), "one fraction: negative exactly if lambda_j < c")
    .slip(
        "sign",
        given("TODO", partial(curvature, sign=-1.0)),
        "the sign is turned: a large eigenvalue makes the direction escape.",
    )
    .slip("c once", given("TODO", partial(curvature, power=1)), "1/c stands for 1/c^2.")
    .slip(
        "no scale",
        given("TODO", partial(curvature, power=0)),
        "1/c^2 was dropped: the sign survives, the number does not.",
    )
)


# ------------------------------------------------------------------------------------ a decoder that ignores z, L6


def constant_decoder(rng: Rng) -> CurvedFamily:
    """p(x | z) = N(b, c I) for every z, an x that it may have drawn, and five q that are not the prior."""
    family = CurvedFamily.draw(rng)
    flat = np.zeros(family.model.data_dim)
    return replace(family, model=CurvedGaussian(flat, flat, family.model.offset, family.model.noise_variance))


def all_collapsed(rng: Rng) -> CurvedFamily:
    return replace(constant_decoder(rng), qs=(Normal(0.0, 1.0),) * 5)


def minus_kl_to_prior(w: CurvedFamily, *, mean: float = 1.0, logarithm: float = 1.0, one: float = 1.0) -> Array:
    """log N(x; b, c I) - 1/2 [mu^2 + sigma^2 - 1 - log sigma^2] for each q; the keywords make its slips."""
    c = w.model.noise_variance
    log_p = -0.5 * np.sum((w.x - w.model.offset) ** 2 / c + LOG_2PI + np.log(c))
    loc, scale = np.array([g.loc for g in w.qs]), np.array([g.scale for g in w.qs])
    return log_p - 0.5 * (mean * loc**2 + scale**2 - one - logarithm * np.log(scale**2))


L6 = (
    derive(
        "L6",
        "a decoder that ignores z sends every q to the prior",
        constant_decoder,
        assumptions="p(x|z) does not depend on z; z ~ N(0, 1), q = N(mu, sigma^2)",
        source="Chen et al. 2017, section 2; Lucas et al. 2019, section 2",
    )
    .start(E(q, log_lik) - KL(q, prior))
    .eq(log_evidence - KL(q, prior), "the likelihood holds no z: it leaves the mean, as p(x)")
    .slip("KL added", log_evidence + KL(q, prior), "the KL is rewarded: then q would flee the prior.")
    .eq(
        given(r"\log N(x; f, c I) - \tfrac12\left(\mu^2 + \sigma^2 - 1 - \log \sigma^2\right)", minus_kl_to_prior),
        "KL of two Gaussians (E1)",
    )
    .slip(
        "sign of the mean",
        given(
            r"\log N(x; f, c I) + \tfrac12\left(1 + \log \sigma^2 + \mu^2 - \sigma^2\right)",
            partial(minus_kl_to_prior, mean=-1.0),
        ),
        "mu^2 has the wrong sign: the bound would grow without end as q moves away.",
        real="a published note on the VAE objective",
    )
    .slip(
        "collapse at sigma = 0",
        given(
            r"\log N(x; f, c I) - \tfrac12\left(\mu^2 + \sigma^2\right)",
            partial(minus_kl_to_prior, logarithm=0.0, one=0.0),
        ),
        "collapse was taken to mean a point: without log sigma^2 the KL is least at sigma = 0.",
    )
    .slip(
        "log sigma for log sigma squared",
        given("TODO", partial(minus_kl_to_prior, logarithm=0.5)),
        "log sigma stands for log sigma^2: sigma = 1 would not be the best.",
        real="issue threads: log-variance taken for log-deviation",
    )
    .le(
        log_evidence,
        "KL is never negative, and zero at mu = 0, sigma = 1 only",
        gap=lambda w: np.array([kl_divergence(g, w.model.prior) for g in w.qs]),
        equality=all_collapsed,
    )
    .slip("bound above the evidence", says="the sign is turned: no q beats log p(x).", relation=">=")
)


# ------------------------------------------------------------------------------------------ the other stationary points, L8


@dataclass(frozen=True)
class WrongChoice:
    """Observations, a fixed noise variance below every eigenvalue, and two eigenvectors that are not the top two."""

    x: Array  # (N, d)
    kept: tuple[int, int]
    noise_variance: float

    @classmethod
    def draw(cls, rng: Rng) -> WrongChoice:
        x = generic_data(rng)
        kept = [(0, 2), (0, 3), (1, 2), (1, 4), (2, 3), (3, 4)][rng.integers(6)]
        return cls(x, kept, float(spectrum(x)[0][-1] * rng.uniform(0.4, 0.8)))


def at_choice(w: WrongChoice, noise: float = 1.0) -> tuple[LinearGaussian, list[tuple[int, Array]]]:
    """The model with W = U_A (Lambda_A - c I)^(1/2), and the moves (column, u_j) towards each direction left out."""
    eigenvalues, directions = spectrum(w.x)
    kept = list(w.kept)
    loading = directions[:, kept] * np.sqrt(eigenvalues[kept] - noise * w.noise_variance)
    moves = [(i, directions[:, j]) for i in range(2) for j in range(len(eigenvalues)) if j not in kept]
    return LinearGaussian(loading, w.x.mean(axis=0), w.noise_variance), moves


def moved(model: LinearGaussian, column: int, direction: Array, size: float) -> LinearGaussian:
    step = np.zeros_like(model.loading)
    step[:, column] = size * direction
    return replace(model, loading=model.loading + step)


def slope_and_curvature(w: WrongChoice, h: float) -> Estimate:
    """First and second differences of the mean log-likelihood along every move, shape (2, moves)."""
    model, moves = at_choice(w)
    along = [partial(lambda i, u, t: mean_evidence(w.x, moved(model, i, u, t)), i, u) for i, u in moves]
    return together(together(difference(f, h, order) for f in along) for order in (1, 2))


def from_matrices(w: WrongChoice, noise: float = 1.0, fourth: float = 1.0) -> Array:
    """The same by differentiating -1/2 [log|Sigma| + tr(Sigma^-1 S)] along W + e D twice."""
    model, moves = at_choice(w, noise)
    inverse = np.linalg.inv(model.loading @ model.loading.T + w.noise_variance * np.eye(model.data_dim))
    weighted = inverse @ sample_covariance(w.x)
    slopes, curvatures = [], []
    for i, u in moves:
        change = np.outer(u, model.loading[:, i])  # D W^T
        first = inverse @ (change + change.T)
        second = inverse @ (2 * np.outer(u, u))
        slopes.append(-0.5 * (np.trace(first) - np.trace(first @ weighted)))
        bent = np.trace(second) - np.trace(first @ first)
        curvatures.append(-0.5 * (bent + 2 * fourth * np.trace(first @ first @ weighted) - np.trace(second @ weighted)))
    return np.array([slopes, curvatures])


def saddle(w: WrongChoice, *, sign: float = 1.0, over_kept: bool = True) -> Array:
    eigenvalues = spectrum(w.x)[0]
    left = [j for j in range(len(eigenvalues)) if j not in w.kept]
    pairs = [(eigenvalues[i], eigenvalues[j]) for i in w.kept for j in left]
    curvatures = [sign * (out - kept) / (w.noise_variance * (kept if over_kept else 1.0)) for kept, out in pairs]
    return np.array([np.zeros(len(pairs)), curvatures])


L8 = (
    derive(
        "L8",
        "every other choice of eigenvectors is a saddle",
        WrongChoice.draw,
        assumptions="c fixed below the kept eigenvalues; A any set of k directions, i kept, j left out, column i moved by e u_j",
        source="Tipping and Bishop 1999, appendix A; Lucas et al. 2019, section 4",
    )
    .start(
        given(
            r"\left(\partial_e \ell,\ \partial_e^2 \ell\right) \text{ at } W = U_A(\Lambda_A - c I)^{1/2} \text{, column } i \text{ moved by } e\,u_j",
            slope_and_curvature,
        ),
        step=4e-3,
        order=4,
        resolution=1e-4,
    )
    .eq(
        given(
            r"-\tfrac12\left(\partial_e,\ \partial_e^2\right)\left[\log|\Sigma| + \mathrm{tr}(\Sigma^{-1} S)\right]",
            from_matrices,
        ),
        "differentiate Sigma and its inverse twice",
    )
    .slip(
        "noise not subtracted",
        given("TODO", partial(from_matrices, noise=0.0)),
        "W was taken to be U Lambda^(1/2): there the gradient vanishes, but the curvature differs.",
    )
    .slip(
        "inverse differentiated once",
        given("TODO", partial(from_matrices, fourth=0.5)),
        "the second derivative of inv(Sigma) was taken with one term only.",
    )
    .eq(
        given(r"\left(0,\ \frac{\lambda_j - \lambda_i}{c\,\lambda_i}\right)", saddle),
        "in the plane of u_i and u_j all matrices are 2 x 2",
    )
    .slip(
        "sign",
        given("TODO", partial(saddle, sign=-1.0)),
        "the sign is turned: it pays to move towards the larger eigenvalue.",
    )
    .slip(
        "not over the kept eigenvalue",
        given("TODO", partial(saddle, over_kept=False)),
        "the curvature was not divided by the eigenvalue that is kept.",
    )
    .slip(
        "flat",
        given("TODO", lambda w: 0 * saddle(w)),
        "the points were taken to be flat in these directions: the gradient vanishes, the curvature not.",
    )
)

CHAPTER: tuple[Derivation, ...] = (I2, I4, L1, L2, L3, L4, L5, L6, L7, L8)
