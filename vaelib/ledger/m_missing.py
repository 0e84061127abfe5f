r"""Chapter M: inference about missing and noisy pixels: marginal inference, and Tweedie's formula (A11).

Of x = (x_o, x_m) the part x_o is seen and x_m is missing. Given z, the pixels are independent: this is what every step
rests on. The tables of M2 and M3 are small enough to write down the whole Markov chain, so its long-run law is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import lgamma
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation import derive
from vaelib.distributions import MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import density_times, elbo
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import States
from vaelib.formula.worlds import Either, JointGaussian, Mixture, Table
from vaelib.models import CurvedGaussian, LinearGaussian
from vaelib.quadrature import gauss_hermite_multivariate, gauss_legendre, trapezoid
from vaelib.witnesses import (
    CurvedWitness,
    LinearWitness,
    away_from_zero,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
    linear_world,
)

Array = np.ndarray
Rng = np.random.Generator
LOG_2PI = float(np.log(2 * np.pi))


# ------------------------------------------------------------------------------------------------ noisy pixels, A11


@dataclass(frozen=True)
class NoisyMixture:
    """z from a mixture of two Gaussians, x = z + noise of variance c, and a few observed x."""

    weights: Array  # (2,)
    locs: Array  # (2,)
    scales: Array  # (2,)
    noise_variance: float
    x: Array  # (points,)

    @classmethod
    def draw(cls, rng: Rng, points: int = 5) -> NoisyMixture:
        locs = np.array([-1.0, 1.0]) * rng.uniform(0.5, 1.8, 2) + 0.2
        return cls(
            generic_probabilities(rng, (2,)), locs, generic_scale(rng, (2,)), generic_noise_variance(rng), away_from_zero(rng, 0.3, 2.5, (points,))
        )  # fmt: skip

    def prior(self, z: Array) -> Array:
        """p(z), shape of z."""
        standard = (np.asarray(z)[..., None] - self.locs) / self.scales
        return np.sum(self.weights * np.exp(-0.5 * standard**2) / (self.scales * np.sqrt(2 * np.pi)), axis=-1)

    def log_evidence_parts(self, extra: float = 1.0) -> Array:
        """log of weight times N(x; m_k, s_k^2 + extra c), shape (points, 2)."""
        variance = self.scales**2 + extra * self.noise_variance
        square = (self.x[:, None] - self.locs) ** 2 / variance
        return np.log(self.weights) - 0.5 * (LOG_2PI + np.log(variance) + square)

    def score(self, extra: float = 1.0) -> Array:
        """d/dx log p(x) in closed form; with `extra` = 0 the score of p(z) at z = x."""
        parts = self.log_evidence_parts(extra)
        share = np.exp(parts - logsumexp(parts, axis=1, keepdims=True))
        return np.sum(share * (self.locs - self.x[:, None]) / (self.scales**2 + extra * self.noise_variance), axis=1)

    def members(self) -> list[Scope]:
        """p(x, z) with a noise of variance c, at each observed x."""
        low, high = np.min(self.locs - 12 * self.scales), np.max(self.locs + 12 * self.scales)
        prior = Mixture("z", self.weights, Normal(self.locs, self.scales), low, high).marginal("z")
        spread = np.sqrt(self.scales**2 + self.noise_variance)
        blurred = Mixture("x", self.weights, Normal(self.locs, spread), low - 20, high + 20).marginal("x")
        return [
            Scope(worlds={"p": Either(prior, blurred)}, observed={"x": x}, values={"c": self.noise_variance})
            for x in self.x
        ]


def over_clean(w: NoisyMixture, f: Callable[[Array, Array], Array], rule: Any = trapezoid) -> Estimate:
    """The integral of f(z, x) N(x; z, c) p(z) over z for each observed x."""

    def integrand(z: Array) -> Array:
        distance = w.x - z[:, None]
        likelihood = np.exp(-0.5 * distance**2 / w.noise_variance) / np.sqrt(2 * np.pi * w.noise_variance)
        return w.prior(z)[:, None] * likelihood * f(z[:, None], w.x)

    return rule(integrand, -16.0, 16.0)


def evidence_of_noisy(w: NoisyMixture) -> Array:
    return np.exp(logsumexp(w.log_evidence_parts(), axis=1))


def divided(w: NoisyMixture, numerator: Estimate, factor: float = 1.0) -> Estimate:
    evidence = evidence_of_noisy(w)
    return Estimate(factor * numerator.value / evidence, abs(factor) * numerator.error / evidence)


def mean_of_clean(w: NoisyMixture) -> Array:
    """Each component has a Gaussian posterior; its mean is weighted by the component's share at x."""
    parts = w.log_evidence_parts()
    share = np.exp(parts - logsumexp(parts, axis=1, keepdims=True))
    precision = 1 / w.scales**2 + 1 / w.noise_variance
    means = (w.locs / w.scales**2 + w.x[:, None] / w.noise_variance) / precision
    return np.sum(share * means, axis=1)


def evidence_slope(w: NoisyMixture, h: float) -> Array:
    """dp/dx by the five-point rule, of order 4; p(x) by the trapezoid rule."""

    def evidence(shift: float) -> Array:
        moved = replace(w, x=w.x + shift)
        return np.asarray(over_clean(moved, lambda z, x: np.ones_like(x + z)).value)

    return (8 * (evidence(h) - evidence(-h)) - (evidence(2 * h) - evidence(-2 * h))) / (12 * h)


A11 = (
    derive(
        "A11",
        "Tweedie: the best guess at a clean pixel",
        NoisyMixture.draw,
        assumptions="x = z + noise, Gaussian of variance c > 0 and independent of z; any prior p(z)",
        source="Robbins 1956; Efron 2011, equation (1.4)",
    )
    .start(
        given(
            r"\mathbb{E}[z \mid x] = \frac{1}{p(x)} \int z\,N(x;\, z, c)\,p(z)\,dz",
            lambda w: divided(w, over_clean(w, lambda z, x: z + 0 * x)),
        )
    )
    .eq(
        tex(r"x + \frac{1}{p(x)} \int (z - x)\,N(x;\, z, c)\,p(z)\,dz"),
        "z = x + (z - x); the posterior integrates to one",
    )
    .eq(
        given(
            r"x + \frac{c}{p(x)} \frac{d}{dx} \int N(x;\, z, c)\,p(z)\,dz",
            lambda w, h: w.x + w.noise_variance * evidence_slope(w, h) / evidence_of_noisy(w),
        ),
        "(z - x) N(x; z, c) = c dN/dx; exchange d and integral",
        step=0.04,
        order=3,
        resolution=1e-4,
    )
    .eq(tex(r"x + c\,\frac{d}{dx} \log p(x)"), "derivative of a logarithm; here p is a mixture")
    .slip(
        "minus the slope",
        tex(r"x - c\,\frac{d}{dx} \log p(x)"),
        "the sign is turned: the guess moves uphill on log p(x), to where x is more common.",
    )
    .slip(
        "standard deviation",
        tex(r"x + \sqrt{c}\,\frac{d}{dx} \log p(x)"),
        "the standard deviation of the noise stands where its variance belongs.",
    )
    .slip(
        "no noise variance",
        tex(r"x + \frac{d}{dx} \log p(x)"),
        "the factor c is missing: the less noise, the less the guess moves.",
    )
    .slip(
        "slope of the clean density",
        given(
            r"x + c\,\frac{d}{dz} \log p(z) \text{ at } z = x", lambda w: w.x + w.noise_variance * w.score(extra=0.0)
        ),
        "the slope of log p(z) was taken: it is the slope of log p(x), the density of noisy pixels.",
    )
    .eq(
        given(r"\sum_k p(k \mid x)\,\mathbb{E}[z \mid x, k]", mean_of_clean),
        "each component of the prior has a Gaussian posterior",
    )
    .slip(
        "prior weights",
        given(
            r"\sum_k p(k)\,\mathbb{E}[z \mid x, k]",
            lambda w: (
                ((w.locs / w.scales**2 + w.x[:, None] / w.noise_variance) / (1 / w.scales**2 + 1 / w.noise_variance))
                @ w.weights
            ),
        ),
        "the components kept their prior weights: x itself says which one it came from.",
    )
)


# ------------------------------------------------------------------------------------------- the linear model, M1


@dataclass(frozen=True)
class HalfSeen:
    """A linear-Gaussian model of d = 5 pixels, of which three are seen, and values for the two that are missing."""

    model: LinearGaussian
    x: Array  # (5,): only the seen entries are used
    seen: Array  # whole numbers: the indices o
    missing: Array  # the indices m
    values: Array  # (6, 2): points x_m at which the lines must agree

    @classmethod
    def draw(cls, rng: Rng, k: int = 2, d: int = 5) -> HalfSeen:
        w = LinearWitness.draw(rng, k, d)
        order = rng.permutation(d)
        seen, missing = np.sort(order[:3]), np.sort(order[3:])
        return cls(w.model, w.x, seen, missing, w.x[missing] + rng.normal(0.0, 1.2, (6, d - 3)))

    def part(self, which: Array) -> LinearGaussian:
        """The model of some pixels alone: rows of loading and offset; the rest is integrated out by leaving it away."""
        return LinearGaussian(self.model.loading[which], self.model.offset[which], self.model.noise_variance)

    @property
    def completed(self) -> Array:
        """(6, 5): x with each of the values in place of the missing pixels."""
        x = np.tile(self.x, (len(self.values), 1))
        x[:, self.missing] = self.values
        return x

    def scope(self) -> Scope:
        """p(x_o, x_m, z), the seen x_o, and the points x_m at which the lines must agree."""
        m, joint = self.model, linear_world(self.model)
        k, order = m.latent_dim, np.concatenate([self.seen, self.missing])
        places = np.concatenate([np.arange(k), k + order])
        sizes = {"z": k, "x_o": len(self.seen), "x_m": len(self.missing)}
        spread, (o, u) = joint.covariance[k:, k:], (self.seen, self.missing)
        posterior = self.part(o).posterior(self.x[o])
        return Scope(
            worlds={"p": JointGaussian(sizes, joint.loc[places], joint.covariance[np.ix_(places, places)])},
            observed={"x_o": self.x[o]},
            spaces={"x_m": States(self.values)},
            values={"W_m": m.loading[u], "b_m": m.offset[u], "b_o": m.offset[o], "c": m.noise_variance}
            | {"m_o": posterior.loc, "S_o": posterior.covariance}
            | {r"\Sigma_{mo}": spread[np.ix_(u, o)], r"\Sigma_{oo}": spread[np.ix_(o, o)]}
            | {r"\Sigma_{mm}": spread[np.ix_(u, u)], r"\Sigma_{om}": spread[np.ix_(o, u)]},
        )


def log_normal_density(x: Array, loc: Array, covariance: Array) -> Array:
    """log N(x; loc, covariance) for rows of x, spelled out."""
    residual = x - loc
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return -0.5 * (log_det + np.sum(residual * np.linalg.solve(covariance, residual.T).T, axis=-1))


def log_mean_over_codes(w: HalfSeen) -> Estimate:
    """log of the integral of p(x_m | z) p(z | x_o), for each value of x_m.

    Gauss-Hermite under a Gaussian 1.2 times as wide as p(z | x_o, x_m): under p(z | x_o) the nodes would miss it.
    """
    code, part = w.part(w.seen).posterior(w.x[w.seen]), w.part(w.missing)

    def one(full: Array, value: Array) -> Estimate:
        center = w.model.posterior(full)
        nodes = MultivariateNormal(center.loc, 1.44 * center.covariance)

        def weighted(z: Array) -> Array:
            return np.exp(part.log_likelihood(value, z) + code.log_prob(z) - nodes.log_prob(z))

        return gauss_hermite_multivariate(weighted, nodes.loc, np.linalg.cholesky(nodes.covariance), n=12).log()

    results = [one(full, value) for full, value in zip(w.completed, w.values, strict=True)]
    return Estimate(np.array([r.value for r in results]), np.array([r.error for r in results]))


def through_the_code(
    w: HalfSeen, code: MultivariateNormal | None = None, spread: float = 1.0, noise: float = 1.0
) -> Array:
    """log N(x_m; W_m m + b_m, spread W_m S W_m^T + noise c I), with p(z | x_o) = N(m, S)."""
    code = w.part(w.seen).posterior(w.x[w.seen]) if code is None else code
    part = w.part(w.missing)
    covariance = spread * part.loading @ code.covariance @ part.loading.T
    covariance = covariance + noise * part.noise_variance * np.eye(len(w.missing))
    return log_normal_density(w.values, part.loading @ code.loc + part.offset, covariance)


def by_conditioning(w: HalfSeen, sign: float = -1.0, center: bool = True, use: bool = True) -> Array:
    """log N(x_m; b_m + S_mo S_oo^-1 (x_o - b_o), S_mm + sign S_mo S_oo^-1 S_om) with S = W W^T + c I."""
    loading, offset = w.model.loading, w.model.offset
    covariance = loading @ loading.T + w.model.noise_variance * np.eye(w.model.data_dim)
    cross = covariance[np.ix_(w.missing, w.seen)]
    weights = np.linalg.solve(covariance[np.ix_(w.seen, w.seen)], cross.T).T  # S_mo S_oo^-1
    residual = w.x[w.seen] - (offset[w.seen] if center else 0.0)
    loc = offset[w.missing] + (weights @ residual if use else 0.0)
    reduced = covariance[np.ix_(w.missing, w.missing)] + (sign * weights @ cross.T if use else 0.0)
    return log_normal_density(w.values, loc, reduced)


def filled_in(w: HalfSeen, value: Array | float) -> MultivariateNormal:
    """The code of an image whose missing pixels were filled with a value, as if they had been seen."""
    x = w.x.copy()
    x[w.missing] = value
    return w.model.posterior(x)


M1 = (
    derive(
        "M1",
        "missing pixels in a linear-Gaussian model, two routes",
        HalfSeen.draw,
        assumptions="pixels independent given z; which pixels are missing says nothing about their values",
        source="Tipping and Bishop 1999; Rezende, Mohamed and Wierstra 2014, section 6",
    )
    .start(
        given(
            r"\log p(x_m \mid x_o) = \log p(x_o, x_m) - \log p(x_o)",
            lambda w: w.model.log_evidence(w.completed) - w.part(w.seen).log_evidence(w.x[w.seen]),
        )
    )
    .eq(
        given(r"\log \int p(x_m \mid z)\,p(z \mid x_o)\,dz", log_mean_over_codes),
        "sum rule over z; given z, x_o says no more of x_m",
    )
    .eq(
        given(
            r"\log N(x_m;\ W_m m_o + b_m,\ W_m S_o W_m^\top + c I), \quad p(z \mid x_o) = N(m_o, S_o)", through_the_code
        ),
        "x_m = W_m z + b_m + noise: means and variances add",
    )
    .slip(
        "no pixel noise",
        given(r"\log N(x_m;\ W_m m_o + b_m,\ W_m S_o W_m^\top)", lambda w: through_the_code(w, noise=1e-3)),
        "the noise of the missing pixels was left out: that is the law of their mean, not of pixels.",
    )
    .slip(
        "one z plugged in",
        given(r"\log N(x_m;\ W_m m_o + b_m,\ c I)", lambda w: through_the_code(w, spread=0.0)),
        "z was set to its posterior mean: its own uncertainty widens the answer by the term with S.",
    )
    .slip(
        "zeros encoded",
        given("TODO", lambda w: through_the_code(w, filled_in(w, 0.0))),
        "the missing pixels were filled with zeros and encoded as if they had been seen.",
        real="common practice: the encoder is fed zeros",
    )
    .slip(
        "means encoded",
        given("TODO", lambda w: through_the_code(w, filled_in(w, w.model.offset[w.missing]))),
        "the missing pixels were filled with their means and encoded as if they had been seen.",
    )
    .eq(
        given(
            r"\log N(x_m;\ b_m + \Sigma_{mo} \Sigma_{oo}^{-1} (x_o - b_o),\ \Sigma_{mm} - \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om})",
            by_conditioning,
        ),
        "conditioning of a Gaussian; Σ = W Wᵀ + c I",
    )
    .slip(
        "the marginal",
        given(r"\log N(x_m;\ b_m,\ \Sigma_{mm})", lambda w: by_conditioning(w, use=False)),
        "what was seen is not used: that is p(x_m), before looking.",
    )
    .slip(
        "covariance added",
        given("TODO", lambda w: by_conditioning(w, sign=1.0)),
        "seeing x_o made the missing pixels more uncertain: the term is subtracted.",
    )
    .slip(
        "not centered",
        given(
            r"\log N(x_m;\ b_m + \Sigma_{mo} \Sigma_{oo}^{-1} x_o,\ \ldots)", lambda w: by_conditioning(w, center=False)
        ),
        "x_o was not centered: only its distance from the mean b_o is news.",
    )
)


# --------------------------------------------------------------------------------------- Markov chains, M2 and M3


@dataclass(frozen=True)
class Chain:
    """Tables p(z), p(x_o | z) and p(x_m | z), one observed x_o, and an encoder that is not the posterior."""

    prior: Array  # (K,)
    of_seen: Array  # p(x_o | z), (K, O)
    of_missing: Array  # p(x_m | z), (K, M)
    seen: int  # the observed x_o
    encoder: Array  # q(z | x_o, x_m) at the observed x_o, (M, K), no entry zero

    @classmethod
    def draw(cls, rng: Rng, states: int = 4, seen: int = 3, missing: int = 5) -> Chain:
        return cls(
            generic_probabilities(rng, (states,)),
            generic_probabilities(rng, (states, seen)),
            generic_probabilities(rng, (states, missing)),
            int(rng.integers(seen)),
            generic_probabilities(rng, (missing, states)),
        )

    @property
    def joint(self) -> Array:
        """p(x_o, x_m, z) at the observed x_o, (K, M)."""
        return (self.prior * self.of_seen[:, self.seen])[:, None] * self.of_missing

    @property
    def target(self) -> Array:
        """p(z, x_m | x_o), (K, M)."""
        return self.joint / self.joint.sum()

    @property
    def posterior(self) -> Array:
        """p(z | x_o, x_m), (M, K), a row for each x_m."""
        return (self.joint / self.joint.sum(axis=0)).T

    @property
    def code_of_seen(self) -> Array:
        """p(z | x_o), (K,), from the seen part alone."""
        weights = self.prior * self.of_seen[:, self.seen]
        return weights / weights.sum()

    def scope(self) -> Scope:
        """p(z, x_o, x_m), and the x_o that is observed."""
        joint = self.prior[:, None, None] * self.of_seen[:, :, None] * self.of_missing[:, None, :]
        return Scope(worlds={"p": Table(("z", "x_o", "x_m"), joint)}, observed={"x_o": self.seen})


def transition(w: Chain, code: Array | None = None) -> Array:
    """T(x_m -> x_m') = sum_z code(z | x_o, x_m) p(x_m' | z), (M, M); the exact posterior if no code is given."""
    return (w.posterior if code is None else code) @ w.of_missing


def long_run(kernel: Array, start: int = 0) -> Array:
    """The law after 2^12 steps from one state, by repeated squaring; every kernel here forgets its start."""
    return np.linalg.matrix_power(kernel, 2**12)[start]


M2 = (
    derive(
        "M2",
        "Gibbs sampling leaves the law of the missing pixels as it is",
        Chain.draw,
        assumptions="x_m and x_o independent given z; z is drawn from the exact posterior; every entry of T is > 0",
        source="Geman and Geman 1984; Rezende, Mohamed and Wierstra 2014, appendix F",
    )
    .start(tex(r"p(x_m' \mid x_o) \quad \forall x_m'"))
    .eq(tex(r"\sum_z p(z \mid x_o)\,p(x_m' \mid z)"), "sum and product rule; given z, x_o says no more")
    .eq(
        tex(r"\sum_z \left[\sum_{x_m} p(x_m \mid x_o)\,p(z \mid x_o, x_m)\right] p(x_m' \mid z)"),
        "sum rule: average the posterior over x_m",
    )
    .eq(
        given(
            r"\sum_{x_m} p(x_m \mid x_o)\,T(x_m \to x_m'), \quad T = \sum_z p(z \mid x_o, x_m)\,p(x_m' \mid z)",
            lambda w: w.target.sum(axis=0) @ transition(w),
        ),
        "exchange the sums: one sweep, z then x_m",
    )
    .slip(
        "pseudo-Gibbs",
        given(
            r"\sum_{x_m} p(x_m \mid x_o) \sum_z q(z \mid x_o, x_m)\,p(x_m' \mid z)",
            lambda w: w.target.sum(axis=0) @ transition(w, w.encoder),
        ),
        "z was drawn from the encoder, which is only near the posterior: then another law stays.",
    )
    .slip(
        "x_o forgotten",
        tex(r"\sum_{x_m} p(x_m \mid x_o) \sum_z p(z \mid x_m)\,p(x_m' \mid z)"),
        "z was drawn given x_m alone: the seen part must enter at each sweep.",
    )
    .slip(
        "z from the prior",
        tex(r"\sum_z p(z)\,p(x_m' \mid z)"),
        "z was drawn from the prior: then nothing that is seen matters.",
    )
    .eq(
        given(r"\lim_{n \to \infty} T^n(x_m \to x_m')", lambda w: long_run(transition(w))),
        "T > 0 forgets its start: one stationary law",
    )
    .slip(
        "pseudo-Gibbs in the long run",
        given("TODO", lambda w: long_run(transition(w, w.encoder))),
        "the encoder drives the chain: it settles, but on a law of its own.",
        real="completions by an encoder, called samples of p(x_m|x_o)",
    )
    .slip(
        "one sweep is enough",
        given(r"T(x_m \to x_m') \text{ from one start}", lambda w: transition(w)[0]),
        "one sweep was taken for the long run: after it, the start still shows.",
    )
)


def move(w: Chain, accept: Callable[[Array], Array] | None = None, reject: bool = True) -> Array:
    """A(z -> z' | x_m), (M, K, K): propose z' from the encoder, accept with probability min(1, ratio), else stay.

    Args:
        accept: ratio from (joint', joint, q', q), each (M, K, K). reject: False renormalizes the accepted moves.
    """
    joint, q = w.joint.T, w.encoder  # (M, K), (M, K)
    new, old = joint[:, None, :], joint[:, :, None]
    ratio = (accept or metropolis)(np.stack(np.broadcast_arrays(new, old, q[:, None, :], q[:, :, None])))
    moves = q[:, None, :] * np.minimum(1.0, ratio)  # (M, from, to)
    diagonal = np.eye(len(w.prior), dtype=bool)
    moves = np.where(diagonal, 0.0 if reject else moves, moves)
    if reject:
        return moves + np.where(diagonal, 1 - moves.sum(axis=2, keepdims=True), 0.0)
    return moves / moves.sum(axis=2, keepdims=True)


def metropolis(parts: Array) -> Array:
    """p(x, z') q(z) / (p(x, z) q(z'))."""
    new, old, q_new, q_old = parts
    return new * q_old / (old * q_new)


def target_times(kernel: Array, w: Chain) -> Array:
    """sum_z p(z, x_m | x_o) A(z -> z' | x_m), (K, M)."""
    return np.einsum("zm,mzu->um", w.target, kernel)


def sweep(w: Chain, kernel: Array) -> Array:
    """One sweep of the pair (z, x_m): move z by A, then draw x_m' from p(x_m' | z'); (K M, K M)."""
    full = np.einsum("mzu,un->zmun", kernel, w.of_missing)
    size = w.target.size
    return full.reshape(size, size)


def settled(w: Chain, kernel: Array) -> Array:
    return long_run(sweep(w, kernel)).reshape(w.target.shape)


M3 = (
    derive(
        "M3",
        "a Metropolis step makes the encoder's proposals exact",
        Chain.draw,
        assumptions="q(z | x) > 0 wherever p(z | x) > 0; a rejected proposal counts as a step",
        source="Metropolis et al. 1953; Hastings 1970; Mattei and Frellsen 2018, section 3",
    )
    .start(tex(r"p(z', x_m \mid x_o) \quad \forall z', x_m"))
    .eq(
        given(
            r"\sum_z p(z', x_m \mid x_o)\,A(z' \to z \mid x_m)", lambda w: np.einsum("um,muz->um", w.target, move(w))
        ),
        "from z' the chain goes somewhere: A sums to one",
    )
    .eq(
        given(
            r"\sum_z p(z, x_m \mid x_o)\,A(z \to z' \mid x_m), \quad A = q(z')\,\min\left(1, \tfrac{p(x, z')\,q(z)}{p(x, z)\,q(z')}\right)",
            lambda w: target_times(move(w), w),
        ),
        "detailed balance: as much flows back as forth",
    )
    .slip(
        "no proposal ratio",
        given(
            r"\sum_z p(z, x_m \mid x_o)\,q(z')\,\min\left(1, \tfrac{p(x, z')}{p(x, z)}\right) + \ldots",
            lambda w: target_times(move(w, lambda a: a[0] / a[1]), w),
        ),
        "q was left out of the acceptance: that is right only for proposals as likely back as forth.",
    )
    .slip(
        "accept always",
        given(
            r"\sum_z p(z, x_m \mid x_o)\,q(z' \mid x)", lambda w: target_times(move(w, lambda a: np.ones_like(a[0])), w)
        ),
        "every proposal was accepted: that is pseudo-Gibbs, with a law of its own.",
    )
    .slip(
        "ratio upside down",
        given("TODO", lambda w: target_times(move(w, lambda a: 1 / metropolis(a)), w)),
        "the ratio is upside down: it favors the less probable z.",
    )
    .slip(
        "rejected steps not counted",
        given("TODO", lambda w: target_times(move(w, reject=False), w)),
        "only accepted moves were kept: after a rejection, the old state counts once more.",
    )
    .eq(
        given(
            r"p(z' \mid x_o)\,p(x_m' \mid z')", lambda w: target_times(move(w), w).sum(axis=1)[:, None] * w.of_missing
        ),
        "then draw x_m' given z': independent of x_o",
    )
    .eq(
        given(r"\lim_{n \to \infty} \text{of the pair } (z, x_m)", lambda w: settled(w, move(w))),
        "all states can be reached: one stationary law",
    )
    .slip(
        "pseudo-Gibbs in the long run",
        given("TODO", lambda w: settled(w, move(w, lambda a: np.ones_like(a[0])))),
        "every proposal was accepted: the chain settles on the encoder's law, not the model's.",
    )
)


# ------------------------------------------------------------------------------- what is seen is enough, M4


@dataclass(frozen=True)
class PartSeen:
    """A curved decoder with three pixels, of which two are seen; a q that is no posterior."""

    model: CurvedGaussian
    x: Array
    q: Normal
    missing: int

    @classmethod
    def draw(cls, rng: Rng) -> PartSeen:
        w = CurvedWitness.draw(rng)
        return cls(w.model, w.x, w.q, int(rng.integers(w.x.size)))

    @property
    def seen(self) -> list[int]:
        return [j for j in range(self.x.size) if j != self.missing]

    @property
    def seen_model(self) -> CurvedGaussian:
        m, o = self.model, self.seen
        return CurvedGaussian(m.loading[o], m.curvature[o], m.offset[o], m.noise_variance)

    def pixel(self, j: int, value: Array, z: Array) -> Array:
        """log p(x_j | z) at a value, spelled out; broadcast over value and z."""
        m = self.model
        mean = m.offset[j] + m.loading[j] * z + m.curvature[j] * z**2 / 2
        return -0.5 * (LOG_2PI + np.log(m.noise_variance) + (value - mean) ** 2 / m.noise_variance)

    def log_seen(self, z: Array) -> Array:
        return sum((self.pixel(j, self.x[j], z) for j in self.seen), np.zeros_like(z))


def log_prior(z: Array) -> Array:
    return -0.5 * (LOG_2PI + z**2)


def integral_over_missing(w: PartSeen) -> Estimate:
    """log of the double integral of p(z) p(x_o, x_m | z): x_m outside, by panels; z inside, by the trapezoid rule.

    The range of x_m reaches eight noise scales beyond the decoder's on the z that p(z) p(x_o | z) leaves.
    """
    z = np.linspace(-9.0, 9.0, 241)
    inner = log_prior(z) + w.log_seen(z)
    kept = z[inner > inner.max() - 45]
    m, j = w.model, w.missing
    path = m.offset[j] + m.loading[j] * kept + m.curvature[j] * kept**2 / 2
    reach = 8 * np.sqrt(m.noise_variance)

    def log_joint(x_m: Array) -> Array:
        both = inner + w.pixel(j, x_m[:, None], z)
        return np.exp(logsumexp(both, axis=1) + np.log(z[1] - z[0]))

    return gauss_legendre(log_joint, float(path.min() - reach), float(path.max() + reach), panels=8, n=16).log()


def log_over_codes(w: PartSeen, extra: Callable[[Array], Array]) -> Estimate:
    """log of the integral of p(z) p(x_o | z) exp(extra(z)), by Gauss-Legendre panels."""
    low, high = w.model.latent_range
    return gauss_legendre(lambda z: np.exp(log_prior(z) + w.log_seen(z) + extra(z)), low, high).log()


def mass_of_missing(w: PartSeen, z: Array) -> Array:
    """log of the integral of p(x_m | z) over x_m, for each z: zero, and here computed."""
    m = w.model
    mean = m.offset[w.missing] + m.loading[w.missing] * z + m.curvature[w.missing] * z**2 / 2
    steps = np.linspace(-9, 9, 61) * np.sqrt(m.noise_variance)
    density = np.exp(w.pixel(w.missing, mean[:, None] + steps, z[:, None]))
    return np.log(density.sum(axis=1) * (steps[1] - steps[0]))


def seen_bound(w: PartSeen, share: float = 1.0) -> Estimate:
    """E_q[sum over the seen j of log p(x_j | z)] - KL(q || p(z)), by the trapezoid rule and the package's functions."""

    def integrand(z: Array) -> Array:
        return density_times(w.q.log_prob(z), w.log_seen(z))

    log_likelihood = trapezoid(integrand, *w.model.latent_range)
    return elbo(share * log_likelihood, kl_divergence(w.q, w.model.prior))


def seen_gap(w: PartSeen) -> Estimate:
    """KL(q || p(z | x_o))."""
    m = w.seen_model

    def integrand(z: Array) -> Array:
        return density_times(w.q.log_prob(z), w.q.log_prob(z) - m.log_posterior(w.x[w.seen], z))

    return m.integrate(integrand)


def filled(w: PartSeen, value: float) -> Estimate:
    x = w.x.copy()
    x[w.missing] = value
    return w.model.log_evidence(x)


def mean_of_missing(w: PartSeen) -> float:
    """The prior mean of the missing pixel: E[b + w z + a z^2 / 2] = b + a / 2."""
    return float(w.model.offset[w.missing] + w.model.curvature[w.missing] / 2)


def bound_with_filled(w: PartSeen) -> Estimate:
    """The bound with a zero in the place of the missing pixel, counted as if it had been seen."""

    def integrand(z: Array) -> Array:
        return density_times(w.q.log_prob(z), w.log_seen(z) + w.pixel(w.missing, np.zeros(1), z))

    return elbo(trapezoid(integrand, *w.model.latent_range), kl_divergence(w.q, w.model.prior))


M4 = (
    derive(
        "M4",
        "missing pixels drop out of the evidence and of the bound",
        PartSeen.draw,
        assumptions="pixels independent given z; missing at random: why a pixel is missing does not depend on its value",
        source="Rubin 1976; Mattei and Frellsen 2019, section 2; Nazabal et al. 2020",
    )
    .start(given(r"\log p(x_o) = \log \int p(x_o, x_m)\,dx_m", integral_over_missing))
    .eq(
        given(
            r"\log \int p(z) \prod_{j \in o} p(x_j \mid z) \left[\int p(x_m \mid z)\,dx_m\right] dz",
            lambda w: log_over_codes(w, lambda z: mass_of_missing(w, z)),
        ),
        "sum rule over z; exchange the integrals; factorize",
    )
    .eq(
        given(r"\log \int p(z) \prod_{j \in o} p(x_j \mid z)\,dz", lambda w: log_over_codes(w, np.zeros_like)),
        "the bracket is one: a density integrates to one",
    )
    .slip(
        "filled with zero",
        given(r"\log p(x_o, x_m = 0)", lambda w: filled(w, 0.0)),
        "the missing pixel was set to zero and counted: it was not seen, so it has no density to pay.",
        real="common practice: zeros in the data, and in the loss",
    )
    .slip(
        "filled with the mean",
        given(r"\log p(x_o, x_m = \bar x_m)", lambda w: filled(w, mean_of_missing(w))),
        "the missing pixel was set to its mean and counted as if it had been seen.",
    )
    .slip(
        "scaled up",
        given(
            r"\log \int p(z) \prod_{j \in o} p(x_j \mid z)^{d / |o|}\,dz",
            lambda w: log_over_codes(w, lambda z: w.log_seen(z) / len(w.seen)),
        ),
        "the sum over seen pixels was scaled to all pixels: missing pixels say nothing, not the same again.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{CurvedGaussian.log\_evidence} \text{ of the seen pixels}",
            lambda w: w.seen_model.log_evidence(w.x[w.seen]),
        ),
        "the model without the rows of the missing pixels",
    )
    .ge(
        given(
            r"\mathbb{E}_q\left[\sum_{j \in o} \log p(x_j \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))", seen_bound
        ),
        "the bound, with x_o for x: it trains on what is seen",
        gap=seen_gap,
    )
    .slip(
        "zeros in the loss",
        given(
            r"\mathbb{E}_q\left[\sum_{j} \log p(x_j \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z)), \quad x_m = 0",
            bound_with_filled,
        ),
        "the missing pixel stayed in the sum, as a zero: leave it out of the log-likelihood.",
    )
    .slip(
        "loss scaled up",
        given(
            r"\tfrac{d}{|o|}\,\mathbb{E}_q\left[\sum_{j \in o} \log p(x_j \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))",
            lambda w: seen_bound(w, share=w.x.size / len(w.seen)),
        ),
        "the log-likelihood of the seen pixels was scaled to all pixels, but the KL was not.",
    )
)


# ------------------------------------------------------------------------------------ importance resampling, M5


@dataclass(frozen=True)
class Resampling:
    """A target p(z | x_o) and a proposal q(z) over three states."""

    target: Array
    proposal: Array

    @classmethod
    def draw(cls, rng: Rng) -> Resampling:
        mild = [0.5 / 3 + 0.5 * generic_probabilities(rng, (3,)) for _ in range(2)]  # weights between 0.3 and 3
        return cls(mild[0], mild[1])

    @property
    def weights(self) -> Array:
        return self.target / self.proposal

    @property
    def chi_square(self) -> float:
        """Variance of the weight under q: sum_z p(z)^2 / q(z) - 1."""
        return float(np.sum(self.target**2 / self.proposal) - 1)


@cache
def counts_of(draws: int) -> tuple[Array, Array]:
    """All ways to distribute the draws over three states, (ways, 3), and the log of their multinomial coefficients."""
    first, second = np.meshgrid(np.arange(draws + 1), np.arange(draws + 1), indexing="ij")
    fits = first + second <= draws
    counts = np.stack([first[fits], second[fits], draws - first[fits] - second[fits]], axis=1)
    log_factorial = np.array([lgamma(n + 1) for n in range(draws + 1)])
    return counts, log_factorial[draws] - log_factorial[counts].sum(axis=1)


def resampled(w: Resampling, draws: int) -> Array:
    """K (P_K(z) - p(z)): z drawn from K proposals in proportion to their weights, all cases enumerated."""
    counts, log_ways = counts_of(draws)
    probability = np.exp(log_ways + counts @ np.log(w.proposal))
    share = counts * w.weights  # (ways, 3)
    return draws * (probability @ (share / share.sum(axis=1, keepdims=True)) - w.target)


def first_draw_kept(w: Resampling, draws: int) -> Array:
    """K p(z) (E[K / (w(z) + sum of K - 1 other weights)] - 1): by symmetry, K times the chance of the first draw."""
    counts, log_ways = counts_of(draws - 1)
    probability = np.exp(log_ways + counts @ np.log(w.proposal))
    others = counts @ w.weights  # (ways,)
    return draws * w.target * (probability @ (draws / (w.weights + others[:, None])) - 1)


def squares_kept(w: Resampling, draws: int) -> Array:
    """p(z) (1 - w(z) + K E[u^2 / (1 + u)]) with 1 + u the mean weight when the first draw is z."""
    counts, log_ways = counts_of(draws - 1)
    probability = np.exp(log_ways + counts @ np.log(w.proposal))
    u = (w.weights + (counts @ w.weights)[:, None]) / draws - 1  # (ways, 3)
    return w.target * (1 - w.weights + draws * (probability @ (u**2 / (1 + u))))


def limit(f: Callable[[Resampling, int], Array]) -> Callable[[Resampling], Estimate]:
    """The limit for large K, from K = 64, 128 and 256 by Richardson: f(K) is off by order 1/K, 2 f(2K) - f(K) by 1/K^2.

    The error is the largest change over z: that of a single z may pass through zero by chance.
    """

    def value(w: Resampling) -> Estimate:
        at = [f(w, draws) for draws in (64, 128, 256)]
        coarse, fine = 2 * at[1] - at[0], 2 * at[2] - at[1]
        return Estimate(fine, np.full(fine.shape, np.abs(fine - coarse).max()))

    return value


M5 = (
    derive(
        "M5",
        "importance resampling is wrong by order 1/K",
        Resampling.draw,
        assumptions="weights w = p/q bounded (so chi-square is finite); K independent proposals",
        source="Rubin 1988; Smith and Gelfand 1992",
    )
    .start(
        given(
            r"\lim_{K \to \infty} K\left(P_K(z) - p(z)\right), \quad P_K(z) = \mathbb{E}\left[\tfrac{\sum_i w_i\,[z_i = z]}{\sum_i w_i}\right]",
            limit(resampled),
        ),
        resolution=1e-3,
    )
    .eq(
        given(
            r"\lim_{K \to \infty} K\,p(z) \left(\mathbb{E}\left[\tfrac{1}{1 + u}\right] - 1\right), \quad 1 + u = \tfrac{1}{K}\left(w(z) + \sum_{i \ge 2} w_i\right)",
            limit(first_draw_kept),
        ),
        "all draws are alike: K times the first; q w = p",
        resolution=1e-3,
    )
    .eq(
        given(
            r"\lim_{K \to \infty} p(z) \left(1 - w(z) + K\,\mathbb{E}\left[\tfrac{u^2}{1 + u}\right]\right)",
            limit(squares_kept),
        ),
        "1/(1 + u) = 1 - u + u²/(1 + u); E[u] = (w(z) - 1)/K",
        resolution=1e-3,
    )
    .eq(
        given(
            r"p(z) \left(1 - w(z) + \chi^2(p \,\Vert\, q)\right)", lambda w: w.target * (w.chi_square + 1 - w.weights)
        ),
        "K E[u²] tends to the variance of a weight, and u to 0",
        resolution=1e-3,
    )
    .slip(
        "no error",
        given("0", lambda w: 0 * w.target),
        "resampling was taken to be exact: for finite K the largest weights come too seldom.",
    )
    .slip(
        "sign turned",
        given(
            r"p(z) \left(w(z) - 1 - \chi^2(p \,\Vert\, q)\right)", lambda w: -w.target * (w.chi_square + 1 - w.weights)
        ),
        "large weights were thought to come too often: their own draw raises the sum they are divided by.",
    )
    .slip(
        "own weight left out",
        given(r"p(z)\,\chi^2(p \,\Vert\, q)", lambda w: w.target * w.chi_square),
        "the state's own draw was left out of the sum: then the errors do not add up to zero.",
    )
    .slip(
        "error under the proposal",
        given(
            r"q(z) \left(\chi^2(p \,\Vert\, q) + 1 - w(z)\right)", lambda w: w.proposal * (w.chi_square + 1 - w.weights)
        ),
        "the error was weighted by q: what is resampled follows p up to order 1/K.",
    )
)

CHAPTER = (A11, M1, M2, M3, M4, M5)
