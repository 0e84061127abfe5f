r"""Chapter I, continued: what an encoder that is linear in x loses on average, where everything is Gaussian (I3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vaelib.derivation import GENERIC, Derivation, derive
from vaelib.distributions import MultivariateNormal, kl_divergence
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Law
from vaelib.models import LinearGaussian
from vaelib.quadrature import gauss_hermite_multivariate
from vaelib.witnesses import (
    away_from_zero,
    generic_covariance,
    generic_loading,
    generic_noise_variance,
)

Array = np.ndarray
Rng = np.random.Generator


@dataclass(frozen=True)
class LinearEncoder:
    """A linear-Gaussian model (k = 2, d = 3) and an encoder q(z|x) = N(V x + a, Sigma_q), with a full Sigma_q."""

    model: LinearGaussian
    weight: Array  # V, (k, d)
    bias: Array  # a, (k,)
    covariance: Array  # Sigma_q, (k, k)

    @classmethod
    def draw(cls, rng: Rng, k: int = 2, d: int = 3, *, kind: str = GENERIC) -> LinearEncoder:
        offset = away_from_zero(rng, 0.3, 1.0, (d,))
        model = LinearGaussian(generic_loading(rng, d, k), offset, generic_noise_variance(rng))
        weight, bias = away_from_zero(rng, 0.1, 0.6, (k, d)), away_from_zero(rng, 0.2, 0.9, (k,))
        w = cls(model, weight, bias, generic_covariance(rng, k))
        if kind == "near":
            best = w.at_best()
            slope = best.weight + 0.05 * weight
            return cls(model, slope, best.bias + 0.05 * bias, best.covariance * rng.uniform(1.05, 1.1))
        return replace(
            w,
            covariance=w.covariance * {"narrow": 0.02, "wide": 6.0}.get(kind, 1.0),
            bias=bias * {"far": 5.0}.get(kind, 1.0),
        )

    @classmethod
    def best(cls, rng: Rng) -> LinearEncoder:
        """The encoder is the posterior."""
        return cls.draw(rng).at_best()

    @property
    def moments(self) -> tuple[Array, Array]:
        """M = W^T W + c I, and M^-1 W^T."""
        loading = self.model.loading
        m = loading.T @ loading + self.model.noise_variance * np.eye(loading.shape[1])
        return m, np.linalg.solve(m, loading.T)

    def at_best(self) -> LinearEncoder:
        m, slope = self.moments
        return replace(
            self,
            weight=slope,
            bias=-slope @ self.model.offset,
            covariance=self.model.noise_variance * np.linalg.inv(m),
        )

    def averaged_gap(self) -> Estimate:
        """E[KL(q(z|x) || p(z|x))] over p(x): quadratic in a Gaussian x, so a few nodes are exact."""
        p = self.model.evidence

        def gap(x: Array) -> Array:
            loc = x @ self.weight.T + self.bias
            q = MultivariateNormal(loc, np.broadcast_to(self.covariance, (len(x), *self.covariance.shape)))
            return np.asarray(kl_divergence(q, self.model.posterior(x)))

        return gauss_hermite_multivariate(gap, p.loc, p.cholesky, n=2)

    def scope(self) -> Scope:
        """p(x) = N(b, Sigma); the decoder's W, b, c, M, and P = M / c; the encoder's V, a, Sigma_q."""
        model, (m, _) = self.model, self.moments
        return Scope(
            worlds={"p": Law("x", model.evidence)},
            values={"W": model.loading, "b": model.offset, "c": model.noise_variance, "M": m}
            | {"P": m / model.noise_variance, r"\Sigma": model.evidence.covariance, "k": len(m)}
            | {"V": self.weight, "a": self.bias, r"\Sigma_q": self.covariance},
        )


WIDTHS = r"\tfrac12 \left[\mathrm{tr}(P \Sigma_q) - k - \log\det(P \Sigma_q)\right]"
ERROR = r",\quad e = V x + a - M^{-1} W^\top (x - b)"
MEANING = r",\quad D = V - M^{-1} W^\top,\quad \delta = V b + a"
FOR_SLOPE, FOR_OFFSET = r"\tfrac12 \mathrm{tr}(P D \Sigma D^\top)", r"\tfrac12 \delta^\top P \delta"

I3 = (
    derive(
        "I3",
        "what a linear encoder loses, in three parts",
        LinearEncoder.draw,
        assumptions="x ~ p(x) = N(b, Sigma); p(z|x) = N(M^-1 W'(x - b), P^-1), P = M / c; q(z|x) = N(V x + a, Sigma_q)",
        source="E4, averaged; Cremer, Li and Duvenaud 2018, for the name of the gap",
    )
    .start(
        given(
            r"\mathbb{E}_{p(x)}\left[\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))\right]",
            lambda w: w.averaged_gap(),
        ),
        why="how far the bound stays below log p(x), on average; by the package",
    )
    .eq(
        tex(rf"{WIDTHS} + \tfrac12 \mathbb{{E}}_{{p(x)}}\left[e^\top P e\right]{ERROR}"),
        "KL of Gaussians (E4) at every x, then the mean",
        why="e is the encoder's error at x; the widths do not depend on x",
        needs="both laws Gaussian, Sigma_q the same for every x",
    )
    .slip(
        "plain distance",
        tex(rf"{WIDTHS} + \tfrac12 \mathbb{{E}}_{{p(x)}}\left[e^\top e\right]{ERROR}"),
        "the error was measured without P: where the posterior is narrow, it costs more.",
    )
    .slip(
        "distance in units of q",
        tex(rf"{WIDTHS} + \tfrac12 \mathbb{{E}}_{{p(x)}}\left[e^\top \Sigma_q^{{-1}} e\right]{ERROR}"),
        "the error was divided by the variance of q: in KL(q || p) it is that of p.",
    )
    .slip(
        "x not centered",
        tex(rf"{WIDTHS} + \tfrac12 \mathbb{{E}}_{{p(x)}}\left[e^\top P e\right],\quad e = V x + a - M^{{-1}} W^\top x"),
        "b was not subtracted in the posterior's mean.",
    )
    .eq(
        tex(f"{WIDTHS} + {FOR_SLOPE} + {FOR_OFFSET}{MEANING}"),
        "mean square = variance + square of the mean",
        why="widths, slope, and offset: three errors, three parts",
        needs="x ~ N(b, Sigma): the error e is linear in x",
    )
    .slip(
        "offset forgotten",
        tex(f"{WIDTHS} + {FOR_SLOPE}{MEANING}"),
        "the offset's error was left out: at x = b the encoder may be wrong, too.",
    )
    .slip(
        "spread of x forgotten",
        tex(rf"{WIDTHS} + \tfrac12 \mathrm{{tr}}(P D D^\top) + {FOR_OFFSET}{MEANING}"),
        "the spread of x was left out: a wrong slope costs more, the more x varies.",
    )
    .slip(
        "spread without the noise",
        tex(rf"{WIDTHS} + \tfrac12 \mathrm{{tr}}(P D W W^\top D^\top) + {FOR_OFFSET}{MEANING}"),
        "the covariance of W z was taken for that of x: the noise c I is part of it.",
    )
    .ge(
        tex(WIDTHS),
        "a square is never negative",
        why="a linear encoder can have the right mean for every x: here amortization need not cost anything",
        gap=tex(f"{FOR_SLOPE} + {FOR_OFFSET}{MEANING}"),
        equality=LinearEncoder.best,
    )
    .slip(
        "any slope as good",
        says="the errors of the mean were taken to cost nothing.",
        relation="=",
    )
    .slip(
        "no k",
        tex(r"\tfrac12 \left[\mathrm{tr}(P \Sigma_q) - \log\det(P \Sigma_q)\right]"),
        "k is missing: at Sigma_q = P^-1 the widths must cost nothing.",
    )
    .ge(
        tex("0"),
        "u - 1 - log u is never negative: at every eigenvalue",
        why="zero where Sigma_q = c M^-1: the same width for every x",
        gap=tex(WIDTHS),
        equality=LinearEncoder.best,
    )
    .slip("below zero", says="a KL was taken to be negative.", relation="<=")
)

CHAPTER: tuple[Derivation, ...] = (I3,)
