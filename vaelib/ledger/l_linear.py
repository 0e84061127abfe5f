r"""Chapter L: the linear VAE, probabilistic PCA, and collapse; with I2 and I4, its best encoder and what the bound loses.

Notation: Sigma-bar is the sample covariance of x_1, ..., x_N (divided by N), with eigenvalues lambda_1 > lambda_2 > ...
and eigenvectors u_1, u_2, ...; the decoder is N(W z + b, c I), M = W^T W + c I, Sigma = W W^T + c I. A hat marks the
maximum of the likelihood. L(x; W, b, c, N(m, Sigma_q)) is the bound as the package computes it, and densities of x are
the package's.
All values are nats per example: means over the data set, sums over pixels and latents.
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
from vaelib.formula import given, sampled, symbol, tex, where
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.worlds import Law
from vaelib.models import CurvedGaussian, LinearGaussian
from vaelib.quadrature import gauss_hermite_multivariate
from vaelib.terms import KL, E, log_evidence, log_lik, prior, q
from vaelib.witnesses import CurvedFamily, away_from_zero, generic_loading, generic_noise_variance, generic_scale

Array = np.ndarray
Rng = np.random.Generator


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


def sample_covariance(x: Array) -> Array:
    """Mean of (x - m)(x - m)^T about the sample mean m; divided by N."""
    centered = x - x.mean(axis=0)
    return centered.T @ centered / len(x)


def spectrum(x: Array) -> tuple[Array, Array]:
    """Eigenvalues (descending) and eigenvectors, as columns, of the sample covariance; each column has a positive sum."""
    eigenvalues, directions = np.linalg.eigh(sample_covariance(x))
    directions = directions * np.sign(directions.sum(axis=0))
    return eigenvalues[::-1], directions[:, ::-1]


def rotation(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def maximum(x: Array, k: int = 2) -> LinearGaussian:
    """pPCA's maximum-likelihood model: U_k (Lambda_k - c I)^(1/2), sample mean, mean of the discarded eigenvalues."""
    eigenvalues, directions = spectrum(x)
    c = float(eigenvalues[k:].mean())
    return LinearGaussian(directions[:, :k] * np.sqrt(eigenvalues[:k] - c), x.mean(axis=0), c)


def names_of_data(x: Array) -> dict[str, Any]:
    """N, d, the sample mean and covariance Sigma-bar; eigenvalues lambda_j, eigenvectors u_j."""
    eigenvalues, directions = spectrum(x)
    n, d = x.shape
    moments = {r"\bar x": x.mean(axis=0), r"\bar\Sigma": sample_covariance(x)}
    return {"x": x, "N": n, "d": d, **moments, r"\lambda": eigenvalues, "u": directions.T}


def bound(x: Array, loading: Array, offset: Array, noise: Array, mean: Array, covariance: Array) -> Any:
    """The package's bound for q = N(mean, covariance); only x and the mean may differ from one example to the next."""
    (d, k), one = loading.shape[-2:], (noise.reshape(-1)[0], covariance.reshape(-1, *covariance.shape[-2:])[0])
    model = LinearGaussian(loading.reshape(-1, d, k)[0], offset.reshape(-1, d)[0], float(one[0]))
    return model.elbo(x, MultivariateNormal(mean, one[1]))


def mean_bound(mean: str, covariance: str, model: str = "W, b, c") -> str:
    r"""LaTeX of \frac1N \sum_i L(x_i; model, N(mean, covariance))."""
    return rf"\frac1N \sum_i \mathcal{{L}}\left(x_i;\ {model},\ N({mean},\ {covariance})\right)"


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

    @property
    def top(self) -> LinearGaussian:
        """The maximum of the likelihood, in the coordinates of the eigenvectors."""
        return maximum(self.x, self.model.latent_dim)

    def scope(self, w: float = 0.0) -> Scope:
        """The data, the model and its encoder, the best model; w is the size of a loading w u_j."""
        model, top, k = self.model, self.top, self.model.latent_dim
        eigenvalues, directions = spectrum(self.x)
        n, d = self.x.shape
        return Scope(
            worlds={
                "p": Law("x", model.evidence),
                r"p_\theta": Law("x", model.evidence),
                r"p_{\hat\theta}": Law("x", top.evidence),
            },
            values={
                **names_of_data(self.x),
                **{"W": model.loading, "b": model.offset, "c": model.noise_variance, "k": k},
                **{"V": self.weight, "a": self.bias, "s": self.scale, "R": rotation(self.angle)},
                **{r"\alpha": self.angle, r"\mathbf{e}": np.eye(k), "w": w},
                "M": model.loading.T @ model.loading + model.noise_variance * np.eye(k),
                r"\Sigma": model.evidence.covariance,
                **{r"\hat W": top.loading, r"\hat b": top.offset, r"\hat c": top.noise_variance},
                r"\hat\Sigma": top.evidence.covariance,
                **{"U_k": directions[:, :k], r"\Lambda_k": np.diag(eigenvalues[:k])},
            },
            ranges={"i": n, "j": d, "l": k},
            maps={r"\mathcal{L}": Map(bound, of=("x", "W", "b", "c", "m", r"\Sigma_q"))},
            parameters={"w": Parameter(w, self.scope)},
            every=("j",),
        )


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


# ------------------------------------------------------------------------------------------ the best encoder, I2 and I4

AFFINE = r"V x_i + a", r"\mathrm{diag}(s)^2"
POSTERIOR_MEAN, BEST_VARIANCES = r"M^{-1} W^\top (x_i - b)", r"c\,\mathrm{diag}(M)^{-1}"
mean_evidence = tex(r"\frac1N \sum_i \log p(x_i)")


def already_best(rng: Rng) -> LinearVAE:
    """The encoder is the best one."""
    w = LinearVAE.draw(rng, d=3)
    m = w.model.loading.T @ w.model.loading + w.model.noise_variance * np.eye(2)
    weight = np.linalg.solve(m, w.model.loading.T)
    return replace(w, weight=weight, bias=-weight @ w.model.offset, scale=np.sqrt(w.model.noise_variance / np.diag(m)))


I2 = (
    derive(
        "I2",
        "the best encoder of a linear decoder is linear, its variance constant",
        partial(LinearVAE.draw, d=3),
        assumptions="x | z ~ N(W z + b, c I), M = W'W + c I; q(z|x) with independent latents, any linear mean, any scale",
        source="Lucas et al. 2019, section 3; Dai et al. 2018",
    )
    .start(tex(mean_bound(*AFFINE)), why="any linear encoder")
    .le(
        tex(mean_bound(POSTERIOR_MEAN, BEST_VARIANCES)),
        "derivatives in the mean and in the variances vanish",
        why="linear in x; the same variances c / M_jj for every x",
        needs="c > 0, so that M can be inverted",
        gap=tex(
            r"\tfrac12 \sum_l \left(\frac{M_{ll}}{c} s_l^2 - 1 - \log\left(\frac{M_{ll}}{c} s_l^2\right)\right) + \frac{1}{2cN} \sum_i \delta_i^\top M \delta_i, \quad \delta_i = V x_i + a - M^{-1} W^\top (x_i - b)"
        ),
        equality=already_best,
    )
    .slip(
        "variances of the posterior",
        tex(mean_bound(POSTERIOR_MEAN, r"c\,\mathrm{diag}(M^{-1})")),
        "the diagonal of c M^-1 was taken; the best independent latents are narrower, c / M_jj.",
    )
    .slip(
        "no c in M",
        tex(mean_bound(r"(W^\top W)^{-1} W^\top (x_i - b)", BEST_VARIANCES)),
        "the prior was left out of the mean: M is W^T W + c I, not W^T W.",
    )
    .slip(
        "W transposed alone",
        tex(mean_bound(r"W^\top (x_i - b)", BEST_VARIANCES)),
        "the encoder was taken to be the decoder backwards: M^-1 is missing.",
    )
    .slip(
        "offset forgotten",
        tex(mean_bound(r"M^{-1} W^\top x_i", BEST_VARIANCES)),
        "x was not centered: the encoder needs x - b.",
    )
    .slip(
        "variance for the scale",
        tex(mean_bound(POSTERIOR_MEAN, r"c^2\,\mathrm{diag}(M)^{-2}")),
        "the variance c / M_jj was used as a standard deviation.",
        real="issue threads of several VAE implementations",
    )
    .le(
        tex(mean_bound(POSTERIOR_MEAN, "c M^{-1}")),
        "correlated latents: the posterior itself",
        why="equal if the columns of W are orthogonal",
        gap=tex(r"\tfrac12 \left(\sum_l \log M_{ll} - \log\det M\right)"),
    )
    .slip("independent beats correlated", says="the sign is turned: correlations help.", relation=">=")
    .eq(mean_evidence, "the bound is tight at the posterior (F7)", why="nothing is left to gain")
    .slip(
        "one example for the mean",
        tex(r"\log p(x_1)"),
        "the evidence of one example was taken for the mean over all.",
    )
)


def over_the_model(f: Callable[[LinearVAE], Any]) -> Callable[[LinearVAE], Any]:
    """E_{p(x)}[f(w)], w with that x, on a product grid: exact, because the integrand is quadratic in a Gaussian x."""

    def value(w: LinearVAE) -> Any:
        p = w.model.evidence
        return gauss_hermite_multivariate(lambda x: f(replace(w, x=x)), p.loc, p.cholesky, n=2)

    return value


def bounds_of_samples(w: LinearVAE, z: Array, noise: Array) -> Array:
    """The package's bound of each x = W z + b + sqrt(c) noise, and what it loses on average."""
    x = w.model.likelihood(z).transform(noise)
    return np.asarray(w.model.elbo(x, replace(w, x=x).q)) + loses.value(w)


minus_entropy = tex(r"-\tfrac12 \left[d \log(2\pi e) + \log\det\Sigma\right]")
for_variances = tex(r"\tfrac12 \left[\mathrm{tr}(P B) - k - \log\det(P B)\right]")
for_slope = tex(r"\tfrac12 \mathrm{tr}(P D \Sigma D^\top)")
for_bias = tex(r"\tfrac12 \delta^\top P \delta")
MEANING = (
    (symbol("P"), tex(r"\tfrac1c M")),
    (symbol("B"), tex(r"\mathrm{diag}(s)^2")),
    (symbol("D"), tex(r"V - M^{-1} W^\top")),
    (symbol(r"\delta"), tex("V b + a")),
)
loses = where(for_variances + for_slope + for_bias, *MEANING)

I4 = (
    derive(
        "I4",
        "the mean bound under the model's own p(x)",
        partial(LinearVAE.draw, d=3),
        assumptions="x ~ p(x) = N(b, Sigma), not the data; q(z|x) = N(V x + a, diag s^2)",
        source="F1, averaged; Cover and Thomas 2006, theorem 8.4.1, for the entropy",
    )
    .start(
        given(r"\mathbb{E}_{p(x)}\left[\mathcal{L}(x)\right]", over_the_model(lambda w: w.model.elbo(w.x, w.q))),
        why="the package's bound, on samples of the model",
    )
    .eq(
        given(
            r"\mathbb{E}_{p(x)}\left[\log p(x)\right] - \mathbb{E}_{p(x)}\left[\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))\right]",
            over_the_model(lambda w: w.model.log_evidence(w.x) - kl_divergence(w.q, w.model.posterior(w.x))),
        ),
        "F1 at every x, then the mean",
        why="minus an entropy, minus a gap; by the package",
    )
    .eq(
        where(minus_entropy - for_variances - for_slope - for_bias, *MEANING),
        "entropy and KL of Gaussians; means of quadratics in x",
        why="D and delta are the encoder's errors",
        needs="q(z|x) Gaussian, with a mean linear in x",
    )
    .slip(
        "plus the entropy",
        where(-minus_entropy - for_variances - for_slope - for_bias, *MEANING),
        "the sign of h(x) is turned: E[log p(x)] is minus the entropy.",
    )
    .slip("no gap", minus_entropy, "the bound was taken to be tight.")
    .slip(
        "gap added",
        where(minus_entropy + for_variances + for_slope + for_bias, *MEANING),
        "the gap was added: the bound lies below the evidence.",
    )
    .slip(
        "error of the mean at x = b only",
        where(minus_entropy - for_variances - for_bias, *MEANING),
        "the slope of the encoder was taken to be right: its error grows with the spread of x.",
    )
    .slip(
        "width for free",
        where(minus_entropy - for_slope - for_bias, *MEANING),
        "the variance of q was taken to be that of the posterior.",
    )
    .le(
        minus_entropy,
        "KL is never negative",
        why="minus h(x): the data do not occur",
        gap=loses,
    )
    .eq(
        sampled(
            r"\frac1n \sum_i \mathcal{L}(x_i) + \mathbb{E}\left[\mathrm{KL}\right],\quad x_i \sim p(x)",
            lambda w, rng, n: bounds_of_samples(w, rng.standard_normal((n, 2)), rng.standard_normal((n, 3))),
        ),
        "a sample mean; quadratic in a Gaussian: finite variance",
        num_samples=30_000,
        resolution=2.5,
    )
    .slip(
        "no noise on x",
        sampled(
            r"\frac1n \sum_i \mathcal{L}(x_i) + \mathbb{E}\left[\mathrm{KL}\right],\quad x_i = W z_i + b",
            lambda w, rng, n: bounds_of_samples(w, rng.standard_normal((n, 2)), np.zeros((n, 3))),
        ),
        "x was taken to be W z + b: the noise of the decoder was left out.",
    )
)


# --------------------------------------------------------------------------------------------- pPCA's maximum, L1 and L2


@dataclass(frozen=True)
class Turned(LinearVAE):
    """The same with the best loading in other coordinates of the latents, W-hat R."""

    @property
    def top(self) -> LinearGaussian:
        top = maximum(self.x, self.model.latent_dim)
        return replace(top, loading=top.loading @ rotation(self.angle))


def gradient_by_differences(w: LinearVAE, step: float) -> Estimate:
    """Of the package's mean log_evidence in the entries of W, b, c: at the model, then at the maximum."""

    def slope(at: LinearGaussian, unit: Array) -> Estimate:
        d, k = at.loading.shape
        start = np.concatenate([at.loading.ravel(), at.offset, [at.noise_variance]])

        def value(t: float) -> float:
            p = start + t * unit
            moved = LinearGaussian(p[: d * k].reshape(d, k), p[d * k : -1], float(p[-1]))
            return float(np.mean(moved.log_evidence(w.x)))

        return difference(value, step, 1)

    size = w.model.loading.size + w.x.shape[1] + 1
    return together(slope(at, unit) for at in (w.model, w.top) for unit in np.eye(size))


HERE = r"G W,\ \Sigma^{-1}(\bar x - b)"
THERE = r"\hat G \hat W,\ \hat\Sigma^{-1}(\bar x - \hat b)"
SCATTER = r"\bar\Sigma_b = \bar\Sigma + (\bar x - b)(\bar x - b)^\top"
G_HERE, G_THERE = (
    r"G = \Sigma^{-1} \bar\Sigma_b \Sigma^{-1} - \Sigma^{-1}",
    r"\hat G = \hat\Sigma^{-1} \bar\Sigma \hat\Sigma^{-1} - \hat\Sigma^{-1}",
)
COVARIANCE = r"\hat\Sigma = \hat W \hat W^\top + \hat c I"
LOADING = r"\hat W = U_k (\Lambda_k - \hat c I)^{1/2} R"


def slope(parts: str, *meaning: str) -> Any:
    """The gradient at theta and at theta-hat, with what its names mean."""
    return tex(r",\quad ".join([parts, *meaning]))


BOTH = rf"{HERE},\ \tfrac12 \mathrm{{tr}}(G),\ {THERE},\ \tfrac12 \mathrm{{tr}}(\hat G)"

L1 = (
    derive(
        "L1",
        "pPCA's maximum-likelihood solution is stationary",
        Turned.draw,
        assumptions="Sigma-bar divided by N; gradients in W, b, c at any theta, then at theta-hat = (U (Lambda - c I)^(1/2) R, mean of x, mean discarded eigenvalue)",
        source="Tipping and Bishop 1999, equations (7) and (8), appendix A",
    )
    .start(
        given(
            r"\nabla_{W, b, c}\, \ell(\theta),\ \nabla_{W, b, c}\, \ell(\hat\theta),\quad \ell = \frac1N \sum_i \log p(x_i)",
            gradient_by_differences,
        ),
        why="by differences of the package's evidence",
        step=1 / 2048,
        order=4,
        resolution=1e-4,
    )
    .eq(
        slope(BOTH, G_HERE, G_THERE, SCATTER),
        "derivative of log det Sigma and tr(inv(Sigma) Sigma-bar)",
        exact=True,
        why="set it to zero",
        needs="Sigma-bar divided by N",
    )
    .slip(
        "loadings of PCA",
        slope(BOTH, G_HERE, G_THERE, SCATTER, COVARIANCE, r"\hat W = U_k \Lambda_k^{1/2} R"),
        "W was taken to be U Lambda^(1/2): the noise already explains c of each eigenvalue.",
    )
    .slip(
        "noise from all directions",
        slope(BOTH, G_HERE, G_THERE, SCATTER, COVARIANCE, LOADING, r"\hat c = \tfrac1d \sum_j \lambda_j"),
        "c was taken to be the mean of all eigenvalues; only the discarded ones are noise.",
    )
    .slip(
        "sum of the discarded",
        slope(BOTH, G_HERE, G_THERE, SCATTER, COVARIANCE, LOADING, r"\hat c = \sum_{j > k} \lambda_j"),
        "the discarded eigenvalues were added up; c is their mean.",
    )
    .slip(
        "no square root",
        slope(BOTH, G_HERE, G_THERE, SCATTER, COVARIANCE, r"\hat W = U_k (\Lambda_k - \hat c I) R"),
        "W was taken to be U (Lambda - c I): a loading is a square root of a variance.",
    )
    .slip(
        "divided by N - 1",
        slope(
            BOTH,
            G_HERE,
            G_THERE,
            SCATTER,
            COVARIANCE,
            r"\hat W = \sqrt{\tfrac{N}{N - 1}}\,U_k (\Lambda_k - C I)^{1/2} R",
            r"\hat c = \tfrac{N}{N - 1} C",
            r"C = \tfrac{1}{d - k} \sum_{j > k} \lambda_j",
        ),
        "Sigma-bar was divided by N - 1; the likelihood's maximum has N.",
        real="a well-known library's PCA, which estimates without bias",
    )
    .slip(
        "Sigma inverted once",
        slope(
            BOTH,
            r"G = \Sigma^{-1} \bar\Sigma_b - \Sigma^{-1}",
            r"\hat G = \hat\Sigma^{-1} \bar\Sigma - \hat\Sigma^{-1}",
            SCATTER,
        ),
        "tr(inv(Sigma) Sigma-bar) was differentiated as if it were linear: inv(Sigma) belongs on both sides.",
    )
    .slip(
        "no one half",
        slope(BOTH.replace(r"\tfrac12 ", ""), G_HERE, G_THERE, SCATTER),
        "the factor 1/2 is missing in the derivative with respect to c.",
    )
    .eq(
        tex(rf"{HERE},\ \tfrac12 \mathrm{{tr}}(G),\ 0\,\hat W,\ 0\,\hat b,\ 0"),
        "Sigma-bar inv(Sigma) W = W; c is the mean of the discarded",
        why="each column of W is an eigenvector, with w^2 = lambda - c",
        needs="W-hat from eigenvectors, R free",
    )
)


def distance_from_maximum(w: LinearVAE) -> float:
    """l(theta-hat) - l(theta) as a difference of two KL from the Gaussian with the moments of the data."""
    data = MultivariateNormal(w.x.mean(axis=0), sample_covariance(w.x))
    return float(kl_divergence(data, w.model.evidence) - kl_divergence(data, w.top.evidence))


at_maximum = tex(r"\frac1N \sum_i \log p_{\hat\theta}(x_i)")
at_theta = tex(r"\frac1N \sum_i \log p_\theta(x_i)")
by_eigenvalues = tex(r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log \lambda_j + (d - k) \log \hat c + d\right]")

L2 = (
    derive(
        "L2",
        "the maximum of pPCA, from eigenvalues alone",
        LinearVAE.draw,
        assumptions="k < d, Sigma-bar divided by N, lambda_k > c-hat = mean of the discarded eigenvalues",
        source="Tipping and Bishop 1999, section 3",
    )
    .start(at_maximum, why="what training aims at")
    .eq(
        tex(r"-\tfrac12\left[d \log 2\pi + \log\det\hat\Sigma + \mathrm{tr}(\hat\Sigma^{-1} \bar\Sigma)\right]"),
        "a mean of quadratic forms is a trace",
        why="data enter by Sigma-bar alone",
        needs="b at the sample mean, Sigma-bar divided by N",
    )
    .slip(
        "divided by N - 1",
        tex(
            r"-\tfrac12\left[d \log 2\pi + \log\det\hat\Sigma + \tfrac{N}{N - 1} \mathrm{tr}(\hat\Sigma^{-1} \bar\Sigma)\right]"
        ),
        "Sigma-bar was divided by N - 1; a mean over the data divides by N.",
        real="a test against a well-known library's PCA",
    )
    .eq(
        by_eigenvalues,
        "Sigma-hat has eigenvalues lambda_1 to lambda_k, and c-hat",
        why="eigenvalues alone; the trace is k + (d - k)",
        needs="lambda_k > c-hat, k < d",
    )
    .slip(
        "d for d - k",
        tex(r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log \lambda_j + d \log \hat c + d\right]"),
        "log c was counted in all d directions; k of them have lambda_j already.",
    )
    .slip(
        "trace forgotten",
        tex(r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log \lambda_j + (d - k) \log \hat c\right]"),
        "the last d was dropped: it is tr(inv(Sigma) Sigma-bar), the mean of the exponents.",
    )
    .slip(
        "trace of the kept directions",
        tex(r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log \lambda_j + (d - k) \log \hat c + k\right]"),
        "the exponent was summed over k latents; it has d directions.",
    )
    .slip(
        "noise taken off",
        tex(r"-\tfrac12\left[d \log 2\pi + \sum_{j \le k} \log(\lambda_j - \hat c) + (d - k) \log \hat c + d\right]"),
        "log(lambda_j - c) was taken for log lambda_j: Sigma holds the noise again.",
    )
    .ge(
        at_theta,
        "no other W, b, c does better: L1, L8, Tipping and Bishop",
        why="checked is what another model loses, on each witness",
        gap=distance_from_maximum,
    )
    .slip("another model is better", says="the sign is turned: a maximum lies above.", relation="<=")
)


# ------------------------------------------------------------------------------- the linear VAE at beta = 1, L3 and L7

BEST_MODEL = r"\hat W, \hat b, \hat c"
HAT_MEAN, HAT_VARIANCES = r"\hat M^{-1} \hat W^\top (x_i - \hat b)", r"\hat c\,\mathrm{diag}(\hat M)^{-1}"
HAT_M = r",\quad \hat M = \hat W^\top \hat W + \hat c I"
aligned = mean_bound(HAT_MEAN, HAT_VARIANCES, BEST_MODEL) + HAT_M

L3 = (
    derive(
        "L3",
        "the best linear VAE is pPCA (beta = 1)",
        LinearVAE.draw,
        assumptions="beta = 1; linear decoder and encoder; q with independent latents, columns of W-hat orthogonal (R = I)",
        source="Lucas et al. 2019, theorem 1; Dai et al. 2018",
    )
    .start(by_eigenvalues, why="the number of L2: the ceiling")
    .eq(at_maximum, "the maximum of pPCA (L2)", why="an evidence")
    .eq(
        tex(aligned),
        "M-hat is diagonal, so the encoder of I2 is the posterior",
        why="independent latents lose nothing here",
        needs="columns of W-hat orthogonal",
    )
    .slip(
        "rotated latents",
        tex(aligned.replace(r"\hat W", r"(\hat W R)")),
        "W was rotated: the posterior is then correlated, and independent latents miss it.",
    )
    .slip(
        "loadings of PCA",
        tex(aligned + r",\quad \hat W = U_k \Lambda_k^{1/2}"),
        "W was taken to be U Lambda^(1/2), without subtracting the noise.",
    )
    .slip(
        "bound above the evidence",
        where(
            tex(mean_bound(HAT_MEAN, HAT_VARIANCES, BEST_MODEL))
            + tex(
                r"\tfrac1N \sum_i \left[\mathrm{tr}(\hat c \hat M^{-1}) + m_i^\top m_i - k - \log\det(\hat c \hat M^{-1})\right]"
            ),
            (symbol("m_i"), tex(HAT_MEAN)),
            (symbol(r"\hat{M}"), tex(r"\hat W^\top \hat W + \hat c I")),
        ),
        "the KL was added: the bound would exceed the evidence.",
    )
    .ge(
        tex(mean_bound(*AFFINE)),
        "any other linear VAE: evidence no higher, bound below it",
        why="nothing better exists",
        needs="beta = 1",
        gap=lambda w: distance_from_maximum(w) + float(np.mean(kl_divergence(w.q, w.model.posterior(w.x)))),
    )
    .slip(
        "any linear VAE is as good",
        says="training was taken to be over: this encoder and decoder have not been fitted.",
        relation="=",
    )
)


def aligned_witness(rng: Rng) -> LinearVAE:
    """Orthogonal columns, and no rotation: independent latents lose nothing."""
    w = LinearVAE.draw(rng)
    return replace(w, model=w.top, angle=0.0)


def evidence_with(loading: str) -> Any:
    """The mean evidence of a model with another loading."""
    return tex(rf"\frac1N \sum_i \log N(x_i;\ b,\ T T^\top + c I), \quad T = {loading}")


def turned_bound(mean: str, covariance: str) -> Any:
    """The bound at W R, with m_i the mean of the posterior at W."""
    return tex(mean_bound(mean, covariance, "W R, b, c") + r", \quad m_i = M^{-1} W^\top (x_i - b)")


L7 = (
    derive(
        "L7",
        "the evidence does not see a rotation of the latents; independent latents do",
        LinearVAE.draw,
        assumptions="R orthogonal; any W, b, c; posterior N(m_i, c M^-1)",
        source="Tipping and Bishop 1999, section 3.2; Dai et al. 2018, for the second half",
    )
    .start(mean_evidence, why="with the loading W")
    .eq(
        evidence_with("W R"),
        "(W R)(W R)' = W R R' W' = W W'",
        why="the prior is round",
        needs="R orthogonal",
    )
    .slip(
        "not a rotation",
        evidence_with(r"W (I + \alpha\,\mathbf{e}_1 \mathbf{e}_2^\top)"),
        "R is not orthogonal: a shear changes W W^T.",
    )
    .slip(
        "columns rescaled",
        evidence_with(r"W\,\mathrm{diag}(1 + \alpha, 1)"),
        "the columns of W were rescaled: the prior has variance one, so the scale counts.",
    )
    .eq(
        turned_bound(r"R^\top m_i", r"c R^\top M^{-1} R"),
        "the posterior N(m, c inv(M)) turns with the latents",
        why="the bound is tight there",
    )
    .slip(
        "latents turned the wrong way",
        turned_bound(r"R m_i", r"c R M^{-1} R^\top"),
        "z was turned by R; where W becomes W R, z becomes R^T z.",
    )
    .ge(
        turned_bound(r"R^\top m_i", r"c\,\mathrm{diag}(R^\top M R)^{-1}"),
        "the best independent latents (I2) at W R",
        why="they cannot follow",
        gap=tex(r"\tfrac12 \left(\sum_l \log\left((R^\top M R)_{ll}\right) - \log\det M\right)"),
        equality=aligned_witness,
    )
    .slip("rotation is free", says="the bound was taken to be as blind to rotations as the evidence.", relation="=")
    .slip(
        "variances of the posterior",
        turned_bound(r"R^\top m_i", r"c\,\mathrm{diag}(R^\top M^{-1} R)"),
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

    @property
    def directions(self) -> Array:
        """The first eigenvectors, (d, k)."""
        return spectrum(self.x)[1][:, : len(self.loading)]

    def bound(self, beta: float, x: Array, mean: Array, covariance: Array) -> Any:
        """E_q[log p(x | z)] - beta KL(q || p(z)) for q = N(mean, covariance), by the package."""
        model = LinearGaussian(self.directions * self.loading, self.x.mean(axis=0), self.noise_variance)
        q = MultivariateNormal(mean, covariance.reshape(-1, *covariance.shape[-2:])[0])
        return elbo(model.expected_log_likelihood(x, q), kl_divergence(q, model.prior), beta)

    def scope(self) -> Scope:
        """The data; decoder U_k diag(w), encoder diag(v) U_k^T and diag(s)^2, each latent along an eigenvector."""
        of, k = ("x", "m", r"\Sigma_q"), len(self.loading)
        return Scope(
            values={
                **names_of_data(self.x),
                **{"c": self.noise_variance, r"\beta": self.beta, "k": k, "U_k": self.directions},
                **{"w": self.loading, "v": self.slope, "s": self.scale},
            },
            ranges={"i": len(self.x), "j": self.x.shape[1], "l": k},
            maps={
                r"\mathcal{L}_\beta": Map(partial(self.bound, self.beta), of=of),
                r"\mathcal{L}_{\beta/k}": Map(partial(self.bound, self.beta / k), of=of),
            },
        )


def encoders(w: Directions) -> tuple[DiagonalNormal, DiagonalNormal]:
    """The encoder of the witness, and the best one: the posterior of a decoder with noise beta c."""
    coordinates = (w.x - w.x.mean(axis=0)) @ w.directions
    m = w.loading**2 + w.threshold
    pairs = (w.slope, w.scale), (w.loading / m, np.sqrt(w.threshold / m))
    generic, best = (DiagonalNormal(coordinates * v, np.broadcast_to(s, coordinates.shape)) for v, s in pairs)
    return generic, best


def with_best_loading(rng: Rng) -> Directions:
    w = Directions.draw(rng)
    return replace(w, loading=np.sqrt(np.maximum(spectrum(w.x)[0][:3] - w.threshold, 0.0)))


def alternating(w: Directions, noise: float, rounds: int = 200) -> float:
    """Encoder step and decoder step in turns, each exact, from a generic start; then the objective, by the package."""
    covariance, loading, eye = sample_covariance(w.x), w.start, np.eye(w.start.shape[1])
    for _ in range(rounds):
        gain = np.linalg.solve(loading.T @ loading + noise * eye, loading.T)  # encoder: mean gain (x - b), (k, d)
        spread = noise * np.linalg.inv(loading.T @ loading + noise * eye)
        cross = covariance @ gain.T  # mean of (x - b) z^T
        loading = np.linalg.solve(gain @ cross + spread, cross.T).T  # decoder: regression of x on z
    gain = np.linalg.solve(loading.T @ loading + noise * eye, loading.T)
    spread = noise * np.linalg.inv(loading.T @ loading + noise * eye)
    q = MultivariateNormal((w.x - w.x.mean(axis=0)) @ gain.T, (spread + spread.T) / 2)
    model = LinearGaussian(loading, w.x.mean(axis=0), w.noise_variance)
    return float(np.mean(elbo(model.expected_log_likelihood(w.x, q), kl_divergence(q, model.prior), w.beta)))


def beta_bound(mean: str, covariance: str, beta: str = r"\beta") -> str:
    r"""LaTeX of \frac1N \sum_i L_beta(x_i; N(mean, covariance))."""
    return rf"\frac1N \sum_i \mathcal{{L}}_{{{beta}}}\left(x_i;\ N({mean},\ {covariance})\right)"


def profile(m: str, below: str = r"\beta c") -> Any:
    """The bound at the best encoder; t_j for the directions with a latent."""
    return tex(
        r"-\tfrac{d}{2} \log 2\pi c - \tfrac{\beta}{2} \left[\sum_{j=1}^{k} \left(\frac{\lambda_j}{t_j} + \log\frac{t_j}{"
        + below
        + r"}\right) + \sum_{j=k+1}^{d} \frac{\lambda_j}{\beta c}\right],\quad t_j = "
        + m
    )


MADE, POSTERIOR = r"w_j^2 + \beta c", r"M^{-1} W^\top (x_i - \bar x)"
DECODER = r",\quad W = U_k\,\mathrm{diag}(w)"

# Line 3 is an algorithm.
L4 = (
    derive(
        "L4",
        "which directions a linear VAE keeps: w_j^2 = max(lambda_j - beta c, 0)",
        Directions.draw,
        assumptions="c fixed, decoder U_k diag(w) along eigenvectors, offset at the sample mean",
        source="Lucas et al. 2019, section 4, for beta = 1; with beta c for c: chapter K",
    )
    .start(
        tex(beta_bound(r"\mathrm{diag}(v)\,U_k^\top (x_i - \bar x)", r"\mathrm{diag}(s)^2")),
        why="decoder w_j u_j, encoder N(v_j u_j'(x - b), s_j^2)",
    )
    .le(
        profile(MADE),
        "best encoder: v_j = w_j / t_j and s_j^2 = beta c / t_j",
        why="only t is left; it is I2 with beta c for c",
        gap=lambda w: w.beta * float(np.mean(kl_divergence(*encoders(w)))),
    )
    .slip(
        "posterior of beta = 1",
        tex(beta_bound(POSTERIOR, "c M^{-1}") + r",\quad M = W^\top W + c I" + DECODER),
        "the plain posterior was taken: with beta, the best encoder is that of a noise beta c.",
    )
    .slip(
        "log m over c",
        profile(MADE, "c"),
        "log(m/c) was written for log(m/(beta c)): at w = 0 the KL would not vanish.",
    )
    .slip(
        "KL averaged over latents",
        tex(beta_bound(POSTERIOR, r"\beta c\,M^{-1}", r"\beta/k") + r",\quad M = W^\top W + \beta c I" + DECODER),
        "the KL was averaged over the latents: beta is then divided by k.",
        real="issue threads of several VAE implementations",
    )
    .le(
        profile(r"\max(\lambda_j,\ \beta c)"),
        "lambda/t + log t falls up to t = lambda, then rises",
        why="t = w^2 + beta c is at least beta c: the peak may be out of reach",
        needs="w real, w_j^2 = max(lambda_j - beta c, 0)",
        gap=tex(
            r"\tfrac{\beta}{2} \sum_l \left(\frac{\lambda_l}{t_l} - \frac{\lambda_l}{n_l} + \log\frac{t_l}{n_l}\right),\quad t_l = w_l^2 + \beta c,\ n_l = \max(\lambda_l,\ \beta c)"
        ),
        equality=with_best_loading,
    )
    .slip(
        "beta ignored",
        profile(r"\max(\lambda_j - c,\ 0) + \beta c"),
        "the threshold is c: with beta the noise floor is beta c.",
    )
    .slip(
        "c over beta",
        profile(r"\max(\lambda_j - \tfrac{c}{\beta},\ 0) + \beta c"),
        "beta divides the noise; it multiplies it.",
    )
    .slip(
        "no threshold",
        profile(r"(\lambda_j - \beta c) + \beta c"),
        "w_j^2 = lambda_j - beta c was used below the threshold, where it is negative.",
    )
    .slip(
        "loadings of PCA",
        profile(r"\lambda_j + \beta c"),
        "w_j^2 = lambda_j: what the noise explains was not subtracted.",
    )
    .eq(
        given(r"\max_{W, q}\ \frac1N \sum_i \mathcal{L}_\beta(x_i)", lambda w: alternating(w, w.threshold)),
        "encoder and decoder steps in turns, from a generic start",
        why="other W gain nothing; from W = 0 the steps stay there",
    )
    .slip(
        "encoder of beta = 1",
        given(
            r"\max_{W}\ \frac1N \sum_i \mathcal{L}_\beta(x_i), \quad q_i = p(z \mid x_i)",
            lambda w: alternating(w, w.noise_variance),
        ),
        "the encoder step used the plain posterior: it must know beta.",
    )
)


def with_fixed_noise(rng: Rng) -> LinearVAE:
    """A noise variance among the eigenvalues of the data."""
    w = LinearVAE.draw(rng, d=3)
    return replace(w, model=replace(w.model, noise_variance=1.2 * w.model.noise_variance))


def second_derivatives(w: LinearVAE, step: float) -> list[tuple[Estimate, Estimate, Estimate]]:
    """L_ww, L_vv, L_wv at w = v = 0, s = 1, by differences of the package's bound, for every direction j."""
    directions, mean = spectrum(w.x)[1].T, w.x.mean(axis=0)

    def value(u: Array, size: float, slope: float) -> float:
        q = DiagonalNormal(slope * (w.x - mean) @ u, np.ones((len(w.x), 1)))
        return float(np.mean(LinearGaussian(size * u, mean, w.model.noise_variance).elbo(w.x, q)))

    def along(u: Array) -> tuple[Estimate, Estimate, Estimate]:
        ways = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)
        ww, vv, both = (difference(partial(lambda a, b, t: value(u, a * t, b * t), *way), step, 2) for way in ways)
        return ww, vv, 0.5 * (both - ww - vv)  # along (1, 1): ww + 2 wv + vv

    return [along(u[:, None]) for u in directions]


def encoder_follows(w: LinearVAE, step: float) -> Estimate:
    """L_ww - L_wv^2 / L_vv."""

    def schur(ww: Estimate, vv: Estimate, wv: Estimate) -> Estimate:
        follow = wv.value / vv.value
        error = ww.error + 2 * abs(follow) * wv.error + follow**2 * vv.error
        return Estimate(ww.value - follow * wv.value, error)

    return together(schur(*parts) for parts in second_derivatives(w, step))


def encoder_frozen(w: LinearVAE, step: float) -> Estimate:
    """L_ww alone."""
    return together(ww for ww, _, _ in second_derivatives(w, step))


# Line 1 is a difference quotient of the package's bound.
L5 = (
    derive(
        "L5",
        "curvature at the collapsed point: a direction escapes if lambda_j > c",
        with_fixed_noise,
        assumptions="c fixed; one latent, W = w u_j, offset at the sample mean, w = 0; with beta read beta c for c in the sign",
        source="Lucas et al. 2019, section 4; Tipping and Bishop 1999, appendix A",
    )
    .start(
        tex(r"\partial_w^2 \left[\frac1N \sum_i \log N(x_i;\ \bar x,\ c I + w^2 u_j u_j^\top)\right]"),
        why="at w = 0: does the evidence rise?",
        resolution=1e-4,
    )
    .eq(
        given(
            r"\partial_w^2 \mathcal{L} - \frac{(\partial_w \partial_v \mathcal{L})^2}{\partial_v^2 \mathcal{L}},\quad q_i = N(v\,u_j^\top(x_i - \bar x),\ 1)",
            encoder_follows,
        ),
        "the encoder follows: maximize the bound over v",
        exact=True,
        why="at w = v = 0, by differences of the package's bound",
        step=1 / 256,
        order=4,
        resolution=1e-4,
    )
    .slip(
        "encoder frozen",
        given(r"\partial_w^2 \mathcal{L}", encoder_frozen),
        "the encoder was held at the prior: then every decoder is pulled back to zero.",
    )
    .eq(
        tex(r"-\frac1c + \frac{(\lambda_j / c)^2}{\lambda_j}"),
        "L holds -w^2/2c, w v lambda/c and -v^2 lambda/2",
        exact=True,
        why="three second derivatives",
    )
    .slip(
        "coupling not squared",
        tex(r"-\frac1c + \frac{\lambda_j / c}{\lambda_j}"),
        "the mixed derivative was not squared.",
    )
    .eq(
        tex(r"\frac{\lambda_j - c}{c^2}"),
        "one fraction: negative exactly if lambda_j < c",
        why="its sign decides",
    )
    .slip(
        "sign",
        tex(r"-\frac{\lambda_j - c}{c^2}"),
        "the sign is turned: a large eigenvalue makes the direction escape.",
    )
    .slip("c once", tex(r"\frac{\lambda_j - c}{c}"), "1/c was written for 1/c^2.")
    .slip("no scale", tex(r"\lambda_j - c"), "1/c^2 was dropped: the sign survives, the number does not.")
)


# ------------------------------------------------------------------------------------ a decoder that ignores z, L6


def constant_decoder(rng: Rng) -> CurvedFamily:
    """p(x | z) = N(b, c I) for every z, an x that it may have drawn, and five q that are not the prior."""
    family = CurvedFamily.draw(rng)
    flat = np.zeros(family.model.data_dim)
    return replace(family, model=CurvedGaussian(flat, flat, family.model.offset, family.model.noise_variance))


def all_collapsed(rng: Rng) -> CurvedFamily:
    return replace(constant_decoder(rng), qs=(Normal(0.0, 1.0),) * 5)


of_the_noise = tex(r"\log N(x;\, b,\, c I)")

L6 = (
    derive(
        "L6",
        "a decoder that ignores z sends every q to the prior",
        constant_decoder,
        assumptions="p(x|z) = N(x; b, c I) for every z; z ~ N(0, 1), q = N(mu, sigma^2)",
        source="Chen et al. 2017; Lucas et al. 2019, section 2",
    )
    .start(E(q, log_lik) - KL(q, prior), why="the bound, for many q")
    .eq(
        log_evidence - KL(q, prior),
        "the likelihood holds no z: it leaves the mean, as p(x)",
        why="only the KL is left to q",
    )
    .slip("KL added", log_evidence + KL(q, prior), "the KL is rewarded: then q would flee the prior.")
    .eq(of_the_noise - tex(r"\tfrac12\left(\mu^2 + \sigma^2 - 1 - \log \sigma^2\right)"), "KL of two Gaussians (E1)")
    .slip(
        "sign of the mean",
        of_the_noise + tex(r"\tfrac12\left(1 + \log \sigma^2 + \mu^2 - \sigma^2\right)"),
        "mu^2 has the wrong sign: the bound would grow without end as q moves away.",
        real="a published note on the VAE objective",
    )
    .slip(
        "collapse at sigma = 0",
        of_the_noise - tex(r"\tfrac12\left(\mu^2 + \sigma^2\right)"),
        "collapse was taken to mean a point: without log sigma^2 the KL is least at sigma = 0.",
    )
    .slip(
        "log sigma for log sigma squared",
        of_the_noise - tex(r"\tfrac12\left(\mu^2 + \sigma^2 - 1 - \log \sigma\right)"),
        "log sigma was written for log sigma^2: sigma = 1 would not be the best.",
        real="issue threads: log-variance taken for log-deviation",
    )
    .le(
        log_evidence,
        "KL is never negative, and zero at mu = 0, sigma = 1 only",
        why="the best q is the prior",
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

    def scope(self, e: float = 0.0) -> Scope:
        """The data, c, and Sigma_A = W W^T + c I; a line holds for i of the set A that is kept and j left out."""
        kept = [i + 1 for i in self.kept]
        eigenvalues, directions = spectrum(self.x)
        loading = directions[:, self.kept] * np.sqrt(eigenvalues[list(self.kept)] - self.noise_variance)
        covariance = loading @ loading.T + self.noise_variance * np.eye(self.x.shape[1])
        left = [j for j in range(1, self.x.shape[1] + 1) if j not in kept]
        return Scope(
            values={**names_of_data(self.x), "c": self.noise_variance, "e": e, r"\Sigma_A": covariance},
            ranges={"n": len(self.x), "A": kept, "i": kept, "j": left},
            parameters={"e": Parameter(e, self.scope)},
            every=("i", "j"),
        )


TOWARDS = r"B = \sqrt{\lambda_i - c}\,(u_j u_i^\top + u_i u_j^\top)"
FACTORS = r"G = \Sigma_A^{-1} B", r"H = \Sigma_A^{-1} u_j u_j^\top", r"T = \Sigma_A^{-1} \bar\Sigma"
FIRST, SECOND = (
    r"-\tfrac12 \mathrm{tr}\left(G - G T\right)",
    r"-\tfrac12 \mathrm{tr}\left(2H - G G + 2 G G T - 2 H T\right)",
)


def twice(second: str, *meaning: str) -> Any:
    """The first derivative of the mean evidence along a move, and the second."""
    return tex(r",\quad ".join([FIRST, second, *FACTORS, *meaning]))


L8 = (
    derive(
        "L8",
        "every other choice of eigenvectors is a saddle",
        WrongChoice.draw,
        assumptions="W = U_A (Lambda_A - c I)^(1/2), A any set of k directions, c fixed below their eigenvalues; i kept, j left out, column i moved by e u_j",
        source="Tipping and Bishop 1999, appendix A; Lucas et al. 2019, section 4",
    )
    .start(
        tex(
            r"\partial_e \ell,\quad \partial_e^2 \ell,\quad \ell = \frac1N \sum_n \log N(x_n;\ \bar x,\ \Sigma_A + e B + e^2 u_j u_j^\top),\quad "
            + TOWARDS
        ),
        why="at e = 0: is this point a maximum?",
        resolution=1e-4,
    )
    .eq(
        twice(SECOND),
        "differentiate log det Sigma and inv(Sigma) twice",
        why="matrices instead of data",
    )
    .slip(
        "noise not subtracted",
        twice(
            SECOND,
            r"B = \sqrt{\lambda_i}\,(u_j u_i^\top + u_i u_j^\top)",
            r"\Sigma_A = c I + \sum_{k \in A} \lambda_k u_k u_k^\top",
        ),
        "W was taken to be U Lambda^(1/2): there the gradient vanishes, but the curvature differs.",
    )
    .slip(
        "inverse differentiated once",
        twice(SECOND.replace("+ 2 G G T", "+ G G T")),
        "the second derivative of inv(Sigma) was taken with one term only.",
    )
    .eq(
        tex(r"0,\quad \frac{\lambda_j - \lambda_i}{c\,\lambda_i}"),
        "in the plane of u_i and u_j all matrices are 2 x 2",
        why="upward exactly if the larger eigenvalue was left out",
        needs="u_i and u_j orthogonal eigenvectors of Sigma-bar",
    )
    .slip(
        "sign",
        tex(r"0,\quad \frac{\lambda_i - \lambda_j}{c\,\lambda_i}"),
        "the sign is turned: it pays to move towards the larger eigenvalue.",
    )
    .slip(
        "not over the kept eigenvalue",
        tex(r"0,\quad \frac{\lambda_j - \lambda_i}{c}"),
        "the curvature was not divided by the eigenvalue that is kept.",
    )
    .slip(
        "flat",
        tex(r"0,\quad 0\,(\lambda_j - \lambda_i)"),
        "the points were taken to be flat in these directions: the gradient vanishes, the curvature not.",
    )
)

CHAPTER: tuple[Derivation, ...] = (I2, I4, L1, L2, L3, L4, L5, L6, L7, L8)
