r"""Chapter M: inference about missing and noisy pixels: marginal inference, and Tweedie's formula (A11).

Of x = (x_o, x_m) the part x_o is seen and x_m is missing. Given z, the pixels are independent: this is what every step
rests on. The tables of M2 and M3 are small enough to write down the whole Markov chain, so its long-run law is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import lgamma

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import Categorical, Normal
from vaelib.estimate import Estimate
from vaelib.formula import Scope, given, tex
from vaelib.formula.spaces import Interval, States
from vaelib.formula.worlds import Conditional, Decoder, Either, JointGaussian, Law, Mixture, Table
from vaelib.models import CurvedGaussian, LinearGaussian
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

    def members(self) -> list[Scope]:
        """p(x, z) with a noise of variance c, at each observed x."""
        low, high = np.min(self.locs - 12 * self.scales), np.max(self.locs + 12 * self.scales)
        prior = Mixture("z", self.weights, Normal(self.locs, self.scales), low, high).marginal("z")
        spread = np.sqrt(self.scales**2 + self.noise_variance)
        noisy = Mixture("x", self.weights, Normal(self.locs, spread), low - 20, high + 20)
        values = {"c": self.noise_variance, r"\mu": self.locs, "s": self.scales}
        return [Scope(worlds={"p": Either(prior, noisy)}, observed={"x": x}, values=values) for x in self.x]


A11 = (
    derive(
        "A11",
        "Tweedie: the best guess at a clean pixel",
        NoisyMixture.draw,
        assumptions="x = z + noise, Gaussian of variance c > 0 and independent of z; any prior p(z)",
        source="Robbins 1956; Efron 2011, equation (1.4)",
    )
    .start(
        tex(r"\frac{1}{p(x)} \int z\,N(x;\, z, c)\,p(z)\,dz"),
        why="$\\mathbb{E}[z \\mid x]$, the best guess in squared error, by Bayes' rule",
        needs="p(x) > 0",
    )
    .eq(
        tex(r"x + \frac{1}{p(x)} \int (z - x)\,N(x;\, z, c)\,p(z)\,dz"),
        "z = x + (z - x); the posterior integrates to one",
        why="the correction alone",
    )
    .eq(
        tex(r"x + \frac{c}{p(x)} \frac{d}{dx} \left[\int N(x;\, z, c)\,p(z)\,dz\right]"),
        "(z - x) N(x; z, c) = c dN/dx; swap d and integral",
        why="z disappears outside the integral",
        needs="Gaussian noise",
    )
    .eq(
        tex(r"x + c\,\frac{d}{dx} \log p(x)"),
        "derivative of a logarithm; here p is a mixture",
        why="Tweedie's formula: only the density of noisy pixels is left",
    )
    .slip(
        "minus the slope",
        tex(r"x - c\,\frac{d}{dx} \log p(x)"),
        "the sign is turned: the guess moves uphill on log p(x), to where x is more common.",
    )
    .slip(
        "standard deviation",
        tex(r"x + \sqrt{c}\,\frac{d}{dx} \log p(x)"),
        "the standard deviation of the noise was written where its variance belongs.",
    )
    .slip(
        "no noise variance",
        tex(r"x + \frac{d}{dx} \log p(x)"),
        "the factor c is missing: the less noise, the less the guess moves.",
    )
    .slip(
        "slope of the clean density",
        tex(r"x + c \left.\frac{d}{dz} \log p(z)\right|_{z = x}"),
        "the slope of log p(z) was taken: it is the slope of log p(x), the density of noisy pixels.",
    )
    .eq(
        tex(r"\sum_k p(k \mid x)\,e_k, \quad e_k = \frac{\mu_k / s_k^2 + x / c}{1 / s_k^2 + 1 / c}"),
        "each component of the prior has a Gaussian posterior",
        why="e_k is its mean, and k says which component z came from",
    )
    .slip(
        "prior weights",
        tex(r"\sum_k p(k)\,e_k"),
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
            values={
                "W_o": m.loading[o],
                "W_m": m.loading[u],
                "b_m": m.offset[u],
                "b_o": m.offset[o],
                "c": m.noise_variance,
            }
            | {"m_o": posterior.loc, "S_o": posterior.covariance}
            | {r"\Sigma_{mo}": spread[np.ix_(u, o)], r"\Sigma_{oo}": spread[np.ix_(o, o)]}
            | {r"\Sigma_{mm}": spread[np.ix_(u, u)], r"\Sigma_{om}": spread[np.ix_(o, u)]},
        )


M1 = (
    derive(
        "M1",
        "missing pixels in a linear-Gaussian model, two routes",
        HalfSeen.draw,
        assumptions="pixels independent given z; which pixels are missing says nothing about their values",
        source="Tipping and Bishop 1999; Rezende, Mohamed and Wierstra 2014, section 6",
    )
    .start(
        tex(r"\log p(x_o, x_m) - \log p(x_o) \quad \forall x_m"),
        why="$\\log p(x_m \\mid x_o)$ by its definition",
        needs="p(x_o) > 0",
    )
    .eq(
        tex(r"\log \int p(x_m \mid z)\,p(z \mid x_o)\,dz"),
        "sum rule over z; given z, x_o says no more of x_m",
        why="the way through the latents",
        needs="x_m and x_o independent given z",
    )
    .eq(
        tex(r"\log N(x_m;\ W_m m_o + b_m,\ W_m S_o W_m^\top + c I), \quad p(z \mid x_o) = N(m_o, S_o)"),
        "x_m = W_m z + b_m + noise: means and variances add",
        why="m_o and S_o come from the seen rows of W alone",
    )
    .slip(
        "no pixel noise",
        tex(r"\log N(x_m;\ W_m m_o + b_m,\ W_m S_o W_m^\top)"),
        "the noise of the missing pixels was left out: that is the law of their mean, not of pixels.",
    )
    .slip(
        "one z plugged in",
        tex(r"\log N(x_m;\ W_m m_o + b_m,\ c I)"),
        "z was set to its posterior mean: its own uncertainty widens the answer by the term with S.",
    )
    .slip(
        "zeros encoded",
        tex(
            r"\log N(x_m;\ W_m \tilde m + b_m,\ c\,W_m M^{-1} W_m^\top + c I), \quad \tilde m = M^{-1} \left[W_o^\top (x_o - b_o) - W_m^\top b_m\right], \quad M = W_o^\top W_o + W_m^\top W_m + c I"
        ),
        "the missing pixels were filled with zeros and encoded as if they had been seen.",
        real="common practice: the encoder is fed zeros",
    )
    .slip(
        "means encoded",
        tex(
            r"\log N(x_m;\ W_m \tilde m + b_m,\ c\,W_m M^{-1} W_m^\top + c I), \quad \tilde m = M^{-1} W_o^\top (x_o - b_o), \quad M = W_o^\top W_o + W_m^\top W_m + c I"
        ),
        "the missing pixels were filled with their means and encoded as if they had been seen.",
    )
    .eq(
        tex(
            r"\log N(x_m;\ b_m + \Sigma_{mo} \Sigma_{oo}^{-1} (x_o - b_o),\ \Sigma_{mm} - \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om})"
        ),
        "conditioning of a Gaussian; Σ = W Wᵀ + c I",
        why="no latents are needed",
    )
    .slip(
        "the marginal",
        tex(r"\log N(x_m;\ b_m,\ \Sigma_{mm})"),
        "what was seen is not used: that is p(x_m), before looking.",
    )
    .slip(
        "covariance added",
        tex(
            r"\log N(x_m;\ b_m + \Sigma_{mo} \Sigma_{oo}^{-1} (x_o - b_o),\ \Sigma_{mm} + \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om})"
        ),
        "seeing x_o made the missing pixels more uncertain: the term is subtracted.",
    )
    .slip(
        "not centered",
        tex(
            r"\log N(x_m;\ b_m + \Sigma_{mo} \Sigma_{oo}^{-1} x_o,\ \Sigma_{mm} - \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om})"
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

    def scope(self) -> Scope:
        """p(z, x_o, x_m), the encoder, and the x_o that is observed; u is another state of z."""
        joint = self.prior[:, None, None] * self.of_seen[:, :, None] * self.of_missing[:, None, :]
        encoder = Conditional("z", ("x_o", "x_m"), lambda _, x_m: Categorical(np.log(self.encoder[x_m])))
        return Scope(
            worlds={"p": Table(("z", "x_o", "x_m"), joint), "q": encoder},
            observed={"x_o": self.seen},
            spaces={"u": States.count(len(self.prior))},
        )


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
    .start(tex(r"p(x_m' \mid x_o) \quad \forall x_m'"), why="the law that we want")
    .eq(
        tex(r"\sum_z p(z \mid x_o)\,p(x_m' \mid z)"),
        "sum and product rule; given z, x_o says no more",
        why="decoding is the last step",
        needs="x_m and x_o independent given z",
    )
    .eq(
        tex(r"\sum_z \left[\sum_{x_m} p(x_m \mid x_o)\,p(z \mid x_o, x_m)\right] p(x_m' \mid z)"),
        "sum rule: average the posterior over x_m",
        why="encoding comes before it",
        needs="the exact posterior",
    )
    .eq(
        tex(
            r"\sum_{x_m} p(x_m \mid x_o)\,T(x_m, x_m'), \quad T(x_m, x_m') = \sum_z p(z \mid x_o, x_m)\,p(x_m' \mid z)"
        ),
        "swap the sums: T is one sweep, z then x_m",
        why="one sweep changes nothing",
    )
    .slip(
        "pseudo-Gibbs",
        tex(r"\sum_{x_m} p(x_m \mid x_o) \left[\sum_z q(z \mid x_o, x_m)\,p(x_m' \mid z)\right]"),
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
        given(r"\lim_{n \to \infty} T^n(x_m, x_m')", lambda w: long_run(transition(w))),
        "T > 0 forgets its start: one stationary law",
        why="so run it",
        needs="every entry of T > 0",
    )
    .slip(
        "pseudo-Gibbs in the long run",
        given(
            r"\lim_{n \to \infty} T^n(x_m, x_m') \text{ where } T(x_m, x_m') = \sum_z q(z \mid x_o, x_m)\,p(x_m' \mid z)",
            lambda w: long_run(transition(w, w.encoder)),
        ),
        "the encoder drives the chain: it settles, but on another law than the model's.",
        real="completions by an encoder, called samples of p(x_m|x_o)",
    )
    .slip(
        "one sweep is enough",
        tex(r"\sum_z p(z \mid x_o, x_m)\,p(x_m' \mid z), \quad x_m = 0"),
        "one sweep was taken for the long run: after it, the start still shows.",
    )
)


def move(w: Chain, accept: Callable[[Array], Array] | None = None, reject: bool = True) -> Array:
    """A(z -> z' | x_m), (M, K, K): propose z' from the encoder, accept with probability min(1, ratio), or stay.

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
    .start(tex(r"p(z', x_m \mid x_o) \quad \forall z', x_m"), why="the joint law of the latent and what is missing")
    .eq(
        tex(
            r"\sum_z p(z', x_m \mid x_o)\,A(z', z), \quad A(z, z') = a(z, z') + \mathbb{1}[z = z']\,(1 - \sum_u a(z, u)), \quad a(z, z') = q(z' \mid x_o, x_m)\,\min(1, r(z, z')), \quad r(z, z') = \tfrac{p(x_o, x_m, z')\,q(z \mid x_o, x_m)}{p(x_o, x_m, z)\,q(z' \mid x_o, x_m)}"
        ),
        "from z' the chain goes somewhere: A sums to one",
        why="all that flows out of z'; the move a proposes from q, what is rejected stays",
    )
    .eq(
        tex(r"\sum_z p(z, x_m \mid x_o)\,A(z, z')"),
        "detailed balance: as much flows back as forth",
        why="p(x, z) q(z') min(1, r) is the lesser of p(x, z) q(z') and p(x, z') q(z): the same from z' to z",
        needs="q > 0 wherever the posterior is",
    )
    .slip(
        "no proposal ratio",
        tex(r"\sum_z p(z, x_m \mid x_o)\,A(z, z'), \quad r(z, z') = \tfrac{p(x_o, x_m, z')}{p(x_o, x_m, z)}"),
        "q was left out of the acceptance: that is right only for proposals as likely back as forth.",
    )
    .slip(
        "accept always",
        tex(r"\sum_z p(z, x_m \mid x_o)\,q(z' \mid x_o, x_m)"),
        "every proposal was accepted: that is pseudo-Gibbs, and another law stays.",
    )
    .slip(
        "ratio upside down",
        tex(
            r"\sum_z p(z, x_m \mid x_o)\,A(z, z'), \quad r(z, z') = \tfrac{p(x_o, x_m, z)\,q(z' \mid x_o, x_m)}{p(x_o, x_m, z')\,q(z \mid x_o, x_m)}"
        ),
        "the ratio is upside down: it favors the less probable z.",
    )
    .slip(
        "rejected steps not counted",
        tex(r"\sum_z p(z, x_m \mid x_o)\,A(z, z'), \quad A(z, z') = \frac{a(z, z')}{\sum_u a(z, u)}"),
        "only accepted moves were kept: after a rejection, the old state counts once more.",
    )
    .eq(
        tex(r"p(z' \mid x_o)\,p(x_m \mid z')"),
        "then x_m is drawn again, given z': independent of x_o",
        why="the second half of the sweep changes nothing either",
        needs="x_m and x_o independent given z",
    )
    .eq(
        given(
            r"\lim_{n \to \infty} \text{of the law of } (z', x_m) \text{ after } n \text{ sweeps}",
            lambda w: settled(w, move(w)),
        ),
        "all states can be reached: one stationary law",
        why="so run it",
    )
    .slip(
        "pseudo-Gibbs in the long run",
        given(
            r"\lim_{n \to \infty} \text{of the law of } (z', x_m) \text{ after } n \text{ sweeps with } A(z, z') = q(z' \mid x_o, x_m)",
            lambda w: settled(w, move(w, lambda a: np.ones_like(a[0]))),
        ),
        "every proposal was accepted: the chain settles on the encoder's law, not the model's.",
    )
)


# ------------------------------------------------------------------------------- what is seen is enough, M4


@dataclass(frozen=True)
class PartSeen:
    """A curved decoder with three pixels, of which two are seen; a q that is not a posterior."""

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

    def scope(self) -> Scope:
        """p(z), p_j(x_j | z) of each pixel j, p_m of the missing one; o: the seen pixels, and their model p_o; q(z)."""
        m, missing = self.model, self.missing

        def pixel(j: Array) -> Conditional:
            def law(z: Array) -> Normal:
                return Normal(m.offset[j] + m.loading[j] * z + m.curvature[j] * z**2 / 2, np.sqrt(m.noise_variance))

            return Conditional("x", ("z",), law)

        reach = self.reach
        return Scope(
            worlds={
                "p": Law("z", m.prior),
                "p_": pixel,
                "p_m": Conditional(
                    "x_m", ("z",), lambda z: Normal(m.decoder(z)[..., missing], np.sqrt(m.noise_variance))
                ),
                "p_o": Decoder(self.seen_model, "x_o"),
                "q": Law("z", self.q),
            },
            observed={"x_o": self.x[self.seen]},
            values={
                "x": self.x,
                "d": self.x.size,
                "n_o": len(self.seen),
                "a_m": m.curvature[missing],
                "b_m": m.offset[missing],
            },
            ranges={"o": [j + 1 for j in self.seen]},
            spaces={"z": Interval(*m.latent_range), "x_m": Interval(*reach)},
        )

    @property
    def reach(self) -> tuple[float, float]:
        """Where x_m lies: eight noise scales beyond the decoder's on the z that p(z) p(x_o | z) leaves."""
        z = np.linspace(-9.0, 9.0, 241)
        log_weight = self.seen_model.log_joint(self.x[self.seen], z)
        path = self.model.decoder(z[log_weight > log_weight.max() - 45])[..., self.missing]
        beyond = 8 * np.sqrt(self.model.noise_variance)
        return float(path.min() - beyond), float(path.max() + beyond)


M4 = (
    derive(
        "M4",
        "missing pixels drop out of the evidence and of the bound",
        PartSeen.draw,
        assumptions="pixels independent given z; missing at random: given what is seen, "
        "why a pixel is missing does not depend on its value",
        source="Rubin 1976; Mattei and Frellsen 2019, section 2; Nazabal et al. 2020",
    )
    .start(
        tex(r"\log \int \left[\int p(z)\,p_m(x_m \mid z) \prod_{j \in o} p_j(x_j \mid z)\,dz\right] dx_m"),
        why="$\\log p(x_o)$: the sum rule over x_m defines the evidence of a part",
        needs="pixels independent given z",
    )
    .eq(
        tex(r"\log \int p(z) \left[\int p_m(x_m \mid z)\,dx_m\right] \prod_{j \in o} p_j(x_j \mid z)\,dz"),
        "swap the integrals; the seen pixels do not depend on x_m",
        why="nothing is negative, so the integrals may be swapped",
    )
    .eq(
        tex(r"\log \int p(z) \prod_{j \in o} p_j(x_j \mid z)\,dz"),
        "the bracket is one: a density integrates to one",
        why="x_m has dropped out",
    )
    .slip(
        "filled with zero",
        tex(r"\log \int p(z)\,p_m(0 \mid z) \prod_{j \in o} p_j(x_j \mid z)\,dz"),
        "the missing pixel was set to zero and counted: it was not seen, so it has no density to pay.",
        real="common practice: zeros in the data, and in the loss",
    )
    .slip(
        "filled with the mean",
        tex(r"\log \int p(z)\,p_m(b_m + \tfrac12 a_m \mid z) \prod_{j \in o} p_j(x_j \mid z)\,dz"),
        "the missing pixel was set to its mean and counted as if it had been seen.",
    )
    .slip(
        "scaled up",
        tex(r"\log \int p(z) \prod_{j \in o} p_j(x_j \mid z)^{d / n_o}\,dz"),
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
        tex(r"\mathbb{E}_q\left[\sum_{j \in o} \log p_j(x_j \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "the bound, with x_o for x",
        why="it trains on what is seen",
        needs="q = 0 wherever p(z | x_o) = 0",
        gap=tex(r"\mathrm{KL}(q \,\Vert\, p_o(z \mid x_o))"),
    )
    .slip(
        "zeros in the loss",
        tex(
            r"\mathbb{E}_q\left[\sum_{j \in o} \log p_j(x_j \mid z) + \log p_m(0 \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))"
        ),
        "the missing pixel stayed in the sum, as a zero: leave it out of the log-likelihood.",
    )
    .slip(
        "loss scaled up",
        tex(
            r"\tfrac{d}{n_o}\,\mathbb{E}_q\left[\sum_{j \in o} \log p_j(x_j \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))"
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

    def scope(self) -> Scope:
        return Scope(worlds={"p": Table(("z",), self.target), "q": Table(("z",), self.proposal)})

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
        why="the error of the law of the kept draw, magnified",
    )
    .eq(
        given(
            r"\lim_{K \to \infty} K\,p(z) \left(\mathbb{E}\left[\tfrac{1}{1 + u}\right] - 1\right), \quad 1 + u = \tfrac{1}{K}\left(w(z) + \sum_{i \ge 2} w_i\right)",
            limit(first_draw_kept),
        ),
        "all draws are alike: K times the first; q w = p",
        why="1 + u is the mean weight when the first draw is z",
        needs="independent draws",
        resolution=1e-3,
    )
    .eq(
        given(
            r"\lim_{K \to \infty} p(z) \left(1 - w(z) + K\,\mathbb{E}\left[\tfrac{u^2}{1 + u}\right]\right)",
            limit(squares_kept),
        ),
        "1/(1 + u) = 1 - u + u²/(1 + u); E[u] = (w(z) - 1)/K",
        why="the first order has a mean that is known",
        resolution=1e-3,
    )
    .eq(
        tex(r"p(z) \left[1 - w(z) + \chi^2(p \,\Vert\, q)\right] \quad \forall z, \quad w(z) = \tfrac{p(z)}{q(z)}"),
        "K E[u²] tends to the variance of a weight, and u to 0",
        needs="bounded weights",
        resolution=1e-3,
    )
    .slip(
        "no error",
        tex(r"0"),
        "resampling was taken to be exact: for finite K the largest weights come too seldom.",
    )
    .slip(
        "sign turned",
        tex(r"p(z) \left[w(z) - 1 - \chi^2(p \,\Vert\, q)\right]"),
        "large weights were thought to come too often: their own draw raises the sum they are divided by.",
    )
    .slip(
        "own weight left out",
        tex(r"p(z)\,\chi^2(p \,\Vert\, q)"),
        "the state's own draw was left out of the sum: then the errors do not add up to zero.",
    )
    .slip(
        "error under the proposal",
        tex(r"q(z) \left[1 - w(z) + \chi^2(p \,\Vert\, q)\right]"),
        "the error was weighted by q: what is resampled follows p up to order 1/K.",
    )
)

CHAPTER = (A11, M1, M2, M3, M4, M5)
