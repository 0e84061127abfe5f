r"""Chapter P: chains of latents, from two latents to the many of a diffusion.

The forward chain is x_t = sqrt(alpha_t) x_{t-1} + sqrt(1 - alpha_t) noise, for t = 1, ..., T, and bar alpha_t is the
product of alpha_1 to alpha_t. Each alpha_t lies between 0 and 1: it is the part of the variance that a step keeps, and
1 - alpha_t the variance of the noise that it adds. The signal-to-noise ratio at t is bar alpha_t / (1 - bar alpha_t).
Whatever holds for a number holds for each coordinate of a vector, since the noise is independent.

What the densities are read from is the joint Gaussian law of the whole chain, made from the steps alone: no formula of
this chapter enters it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import MultivariateNormal, Normal, kl_divergence
from vaelib.formula import given, tex
from vaelib.formula.rules import Rule
from vaelib.formula.scope import Map, Scope, canonical
from vaelib.formula.spaces import Interval, Space
from vaelib.formula.worlds import Conditional, JointGaussian, Table, Values
from vaelib.witnesses import away_from_zero, generic_noise_variance, generic_probabilities

Array = np.ndarray
Rng = np.random.Generator

BEFORE = canonical("x_{t-1}")
HO, KINGMA = "Ho et al. 2020", "Kingma et al. 2021"


# ------------------------------------------------------------------------------------------- the forward chain, P1 and P2


def chain_law(alphas: Array, loc: Array, covariance: Array) -> tuple[Array, Array]:
    """Mean and covariance of x_0, x_1, ..., x_T in one row, if x_0 has this mean and covariance; step by step."""
    d, n = len(loc), len(alphas) + 1
    means, roots = [loc], [np.kron(np.eye(n)[0], np.linalg.cholesky(covariance))]
    for t, alpha in enumerate(alphas, start=1):
        means.append(np.sqrt(alpha) * means[-1])
        roots.append(np.sqrt(alpha) * roots[-1] + np.sqrt(1 - alpha) * np.kron(np.eye(n)[t], np.eye(d)))
    root = np.concatenate(roots)
    return np.concatenate(means), root @ root.T


def draw_alphas(rng: Rng, steps: int = 3) -> Array:
    """What each step keeps: between 0.3 and 0.9, no two alike, none near 1/2."""
    return np.array([0.36, 0.64, 0.86])[rng.permutation(3)][:steps] + rng.uniform(-0.06, 0.04, steps)


def step_names(alphas: Array) -> dict[str, object]:
    r"""alpha, bar alpha and the signal-to-noise ratio of each step, and t, the last of them."""
    kept = np.cumprod(alphas)
    return {r"\alpha": alphas, r"\bar\alpha": kept, r"\mathrm{SNR}": kept / (1 - kept), "t": len(alphas)}


@dataclass(frozen=True)
class Steps:
    """Three steps of a chain of numbers: where it begins, and where it is before and after the last step, many times."""

    alphas: Array  # (3,)
    x_0: Array  # (points,)
    before: Array
    x_t: Array

    @classmethod
    def draw(cls, rng: Rng, points: int = 4) -> Steps:
        return cls(draw_alphas(rng), *(away_from_zero(rng, 0.3, 1.8, (points,)) for _ in range(3)))

    def members(self) -> list[Scope]:
        """q, the law of the chain, at each of the points; here t = 3."""
        loc, covariance = chain_law(self.alphas, np.array([0.4]), np.array([[1.3]]))
        world = JointGaussian(dict.fromkeys(["x_0", "x_1", BEFORE, "x_t"], 0), loc, covariance)
        return [
            Scope(
                worlds={"q": world},
                observed={"x_0": x_0, "x_t": x_t},
                values={**step_names(self.alphas), "x": before},
            )
            for x_0, before, x_t in zip(self.x_0, self.before, self.x_t, strict=True)
        ]


P1 = (
    derive(
        "P1",
        "many steps of noise are one",
        Steps.draw,
        assumptions=r"0 < alpha_t < 1; the noise of each step is independent of all before",
        source=f"Sohl-Dickstein et al. 2015; {HO}, equation (4)",
    )
    .start(tex(r"q(x_t \mid x_0)"), why="where t steps lead from x_0")
    .eq(
        tex(r"\int q(x_t \mid x_{t-1})\,q(x_{t-1} \mid x_0)\,dx_{t-1}"),
        "sum rule and product rule (A2): over the step before",
        why="one step is known, and t - 1 steps we take to be known",
        needs="x_t depends on x_{t-1} alone",
    )
    .eq(
        tex(
            r"\int N(x_t;\, \sqrt{\alpha_t}\,x_{t-1}, 1 - \alpha_t)\,"
            r"N(x_{t-1};\, \sqrt{\bar\alpha_{t-1}}\,x_0, 1 - \bar\alpha_{t-1})\,dx_{t-1}"
        ),
        "the step; for t - 1 steps the claim itself, by induction",
        why="two Gaussians, one inside the other",
        needs="for t = 1 the claim is the step",
    )
    .slip(
        "square root forgotten in the step",
        tex(
            r"\int N(x_t;\, \alpha_t\,x_{t-1}, 1 - \alpha_t)\,"
            r"N(x_{t-1};\, \sqrt{\bar\alpha_{t-1}}\,x_0, 1 - \bar\alpha_{t-1})\,dx_{t-1}"
        ),
        "x was multiplied by alpha: alpha is the part of the variance that is kept, so x is multiplied by its root.",
    )
    .eq(
        tex(
            r"N\left(x_t;\, \sqrt{\alpha_t}\,\sqrt{\bar\alpha_{t-1}}\,x_0,"
            r" \alpha_t\,(1 - \bar\alpha_{t-1}) + 1 - \alpha_t\right)"
        ),
        "Gaussian through Gaussian (A3): the step scales, then adds",
        why="a number that is multiplied by √α has α times the variance",
        needs="the two noises are independent",
    )
    .slip(
        "variances added without scaling",
        tex(
            r"N\left(x_t;\, \sqrt{\alpha_t}\,\sqrt{\bar\alpha_{t-1}}\,x_0,"
            r" 1 - \bar\alpha_{t-1} + 1 - \alpha_t\right)"
        ),
        "the variances were added as they are: the last step shrinks the noise of the steps before, too.",
    )
    .slip(
        "variance scaled by the root",
        tex(
            r"N\left(x_t;\, \sqrt{\alpha_t}\,\sqrt{\bar\alpha_{t-1}}\,x_0,"
            r" \sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1}) + 1 - \alpha_t\right)"
        ),
        "the variance was multiplied by √α, as the number is: a variance is multiplied by the square, α.",
    )
    .eq(
        tex(r"N(x_t;\, \sqrt{\bar\alpha_t}\,x_0, 1 - \bar\alpha_t),\quad \bar\alpha_t = \prod_{s=1}^{t} \alpha_s"),
        "α_t times the product before is the product up to t",
        why="any x_t in one step: no chain has to be run",
    )
    .slip(
        "square root forgotten",
        tex(r"N(x_t;\, \bar\alpha_t\,x_0, 1 - \bar\alpha_t),\quad \bar\alpha_t = \prod_{s=1}^{t} \alpha_s"),
        "the root is missing in the mean: then variances no longer add up to one.",
    )
    .slip(
        "only the last step",
        tex(r"N(x_t;\, \sqrt{\alpha_t}\,x_0, 1 - \alpha_t)"),
        "alpha was taken for its product: this is a single step from x_0.",
    )
    .slip(
        "sum of the noise variances",
        tex(
            r"N\left(x_t;\, \sqrt{\bar\alpha_t}\,x_0, \sum_{s=1}^{t} (1 - \alpha_s)\right),"
            r"\quad \bar\alpha_t = \prod_{s=1}^{t} \alpha_s"
        ),
        "the noise variances were summed: later steps shrink the noise of earlier ones.",
    )
)


P2 = (
    derive(
        "P2",
        "one step back, if both ends are known",
        Steps.draw,
        assumptions=r"0 < alpha_t < 1 and t > 1",
        source=f"{HO}, equations (6) and (7)",
    )
    .start(
        tex(r"\left.q(x_{t-1} \mid x_t, x_0)\right|_{x_{t-1} = x}"),
        why="what a step back would be if x_0 were known; x is any place",
    )
    .eq(
        tex(r"\left.\frac{q(x_t \mid x_{t-1})\,q(x_{t-1} \mid x_0)}{q(x_t \mid x_0)}\right|_{x_{t-1} = x}"),
        "Bayes' rule, with x_0 given throughout",
        why="all three are steps forward, and those we know (P1)",
        needs="given x_{t-1}, x_t does not depend on x_0",
    )
    .slip(
        "not given x_0",
        tex(r"\left.\frac{q(x_t \mid x_{t-1})\,q(x_{t-1})}{q(x_t)}\right|_{x_{t-1} = x}"),
        "x_0 was forgotten in the condition: this averages over all x_0, and needs the law of the data.",
    )
    .eq(
        tex(
            r"\frac{N(x_t;\, \sqrt{\alpha_t}\,x, 1 - \alpha_t)\,"
            r"N(x;\, \sqrt{\bar\alpha_{t-1}}\,x_0, 1 - \bar\alpha_{t-1})}"
            r"{N(x_t;\, \sqrt{\bar\alpha_t}\,x_0, 1 - \bar\alpha_t)}"
        ),
        "the step, and many steps as one (P1)",
        why="in x both factors above are bells",
    )
    .eq(
        tex(
            r"N(x;\, \tilde\mu, \tilde c),\quad"
            r" \tilde c = \left(\frac{\alpha_t}{1 - \alpha_t} + \frac{1}{1 - \bar\alpha_{t-1}}\right)^{-1},\quad"
            r" \tilde\mu = \tilde c\,\left(\frac{\sqrt{\alpha_t}\,x_t}{1 - \alpha_t}"
            r" + \frac{\sqrt{\bar\alpha_{t-1}}\,x_0}{1 - \bar\alpha_{t-1}}\right)"
        ),
        "complete the square (A7): precisions add",
        why="each end pulls with its precision; below the bar no x",
    )
    .slip(
        "variances added",
        tex(
            r"N(x;\, \tilde\mu, \tilde c),\quad"
            r" \tilde c = \frac{1 - \alpha_t}{\alpha_t} + 1 - \bar\alpha_{t-1},\quad"
            r" \tilde\mu = \tilde c\,\left(\frac{\sqrt{\alpha_t}\,x_t}{1 - \alpha_t}"
            r" + \frac{\sqrt{\bar\alpha_{t-1}}\,x_0}{1 - \bar\alpha_{t-1}}\right)"
        ),
        "the variances were added: where two bells are multiplied, their precisions add.",
    )
    .eq(
        tex(
            r"N(x;\, \tilde\mu, \tilde c),\quad"
            r" \tilde c = \frac{(1 - \alpha_t)\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t},\quad"
            r" \tilde\mu = \frac{\sqrt{\bar\alpha_{t-1}}\,(1 - \alpha_t)\,x_0"
            r" + \sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1})\,x_t}{1 - \bar\alpha_t}"
        ),
        "common denominator; it is 1 - α_t times the product before",
        why="no division by what may be small",
    )
    .slip(
        "weights swapped",
        tex(
            r"N(x;\, \tilde\mu, \tilde c),\quad"
            r" \tilde c = \frac{(1 - \alpha_t)\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t},\quad"
            r" \tilde\mu = \frac{\sqrt{\bar\alpha_{t-1}}\,(1 - \bar\alpha_{t-1})\,x_0"
            r" + \sqrt{\alpha_t}\,(1 - \alpha_t)\,x_t}{1 - \bar\alpha_t}"
        ),
        "the weights of the two ends are swapped: the end with less noise pulls more.",
    )
    .slip(
        "variance of the step forward",
        tex(
            r"N(x;\, \tilde\mu, 1 - \alpha_t),\quad"
            r" \tilde\mu = \frac{\sqrt{\bar\alpha_{t-1}}\,(1 - \alpha_t)\,x_0"
            r" + \sqrt{\alpha_t}\,(1 - \bar\alpha_{t-1})\,x_t}{1 - \bar\alpha_t}"
        ),
        "the variance of the step forward was taken: x_0 is known as well, and that narrows it.",
    )
    .slip(
        "square roots forgotten",
        tex(
            r"N(x;\, \tilde\mu, \tilde c),\quad"
            r" \tilde c = \frac{(1 - \alpha_t)\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t},\quad"
            r" \tilde\mu = \frac{\bar\alpha_{t-1}\,(1 - \alpha_t)\,x_0"
            r" + \alpha_t\,(1 - \bar\alpha_{t-1})\,x_t}{1 - \bar\alpha_t}"
        ),
        "the roots are missing in the mean: x is multiplied by √α, its variance by α.",
    )
)


# ------------------------------------------------------------------------------------------ the bound of a hierarchy, P3


@dataclass(frozen=True)
class Hierarchy:
    """Two latents above a number x, all Gaussian: p from z_2 down to x, and a q that goes down as well.

    A row is (slope, offset, scale): what is below is slope * what is above + offset + scale * noise. The top of p is
    N(0, 1), and `top` is (mean, scale) of the top of q.
    """

    p: Array  # (2, 3): x given z_1, z_1 given z_2
    q: Array  # (3,): z_1 given z_2
    top: Array  # (2,)
    x: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Hierarchy:
        slopes, offsets = away_from_zero(rng, 0.4, 1.2, (3,)), away_from_zero(rng, 0.3, 0.9, (3,))
        rows = np.stack([slopes, offsets, np.exp(-rng.uniform(0.2, 0.8, 3))], axis=-1)
        top = np.array([away_from_zero(rng, 0.3, 1.0), np.exp(-rng.uniform(0.2, 0.8))])
        w = cls(rows[:2], rows[2], top, float(away_from_zero(rng, 0.4, 1.6)))
        if kind == "near":
            exact = w.with_posterior()
            return cls(w.p, exact.q * rng.uniform(1.02, 1.05, 3), exact.top * 1.03, w.x)
        if kind == "far":
            return cls(w.p, w.q + np.array([0, 3, 0]), w.top + np.array([3, 0]), w.x)
        factor = {"narrow": 0.15, "wide": 2.5}.get(kind, 1.0)
        return cls(w.p, w.q * np.array([1, 1, factor]), w.top * np.array([1, factor]), w.x)

    @classmethod
    def draw_exact(cls, rng: Rng) -> Hierarchy:
        """q is the posterior."""
        return cls.draw(rng).with_posterior()

    def with_posterior(self) -> Hierarchy:
        """The same with p(z_1, z_2 | x) for q."""
        mean, covariance = downwards(self.p, 0.0, 1.0)
        gain = covariance[1:, 0] / covariance[0, 0]
        (a, b), left = mean[1:] + gain * (self.x - mean[0]), covariance[1:, 1:] - np.outer(gain, covariance[0, 1:])
        slope = left[0, 1] / left[1, 1]
        row = np.array([slope, a - slope * b, np.sqrt(left[0, 0] - slope * left[0, 1])])
        return Hierarchy(self.p, row, np.array([b, np.sqrt(left[1, 1])]), self.x)

    def price(self, above: Array) -> Array:
        """KL of q(z_1 | z_2) from p(z_1 | z_2) at each z_2, as the package computes it."""
        (a, b, s), (m, n, r) = self.q, self.p[1]
        return np.asarray(kl_divergence(Normal(a * above + b, s), Normal(m * above + n, r)))

    def scope(self) -> Scope:
        """p(x, z_1, z_2), q(z_1, z_2), and the two KLs: k_1 of z_2, and k_2."""
        names = dict.fromkeys(("x", "z_1", "z_2"), 0)
        top = Normal(*self.top)
        return Scope(
            worlds={
                "p": JointGaussian(names, *downwards(self.p, 0.0, 1.0)),
                "q": JointGaussian({"z_1": 0, "z_2": 0}, *downwards(self.q[None], *self.top)),
            },
            observed={"x": self.x},
            maps={"k_1": Map(self.price, of=("z_2",))},
            values={"k_2": kl_divergence(top, Normal(0.0, 1.0))},
        )


def downwards(rows: Array, mean: float, scale: float) -> tuple[Array, Array]:
    """Mean and covariance of a chain that comes down from N(mean, scale^2); from the bottom to the top."""
    means, roots = [mean], [scale * np.eye(len(rows) + 1)[-1]]
    for i, (slope, offset, noise) in reversed(list(enumerate(rows))):
        means.insert(0, slope * means[0] + offset)
        roots.insert(0, slope * roots[0] + noise * np.eye(len(rows) + 1)[i])
    root = np.array(roots)
    return np.array(means), root @ root.T


RECONSTRUCTION = r"\mathbb{E}_{q(z_1)}[\log p(x \mid z_1)]"
STEP = r"\mathbb{E}_{q(z_2)}\left[\mathrm{KL}(q(z_1 \mid z_2) \,\Vert\, p(z_1 \mid z_2))\right]"
TOP = r"\mathrm{KL}(q(z_2) \,\Vert\, p(z_2))"

P3 = (
    derive(
        "P3",
        "the bound of a hierarchy, term by term",
        Hierarchy.draw,
        assumptions="p(x, z_1, z_2) = p(x | z_1) p(z_1 | z_2) p(z_2); q depends on x throughout",
        source=f"Sohl-Dickstein et al. 2015; Sønderby et al. 2016; {HO}",
    )
    .start(tex(r"\log p(x)"), why="two latents above x, $z_2$ at the top; more of them add more steps")
    .ge(
        tex(r"\mathbb{E}_{q(z_1, z_2)}\left[\log\frac{p(x, z_1, z_2)}{q(z_1, z_2)}\right]"),
        "the bound (F1): both latents together are one",
        why="nothing new so far",
        needs="q > 0 only where p > 0; equal only if q is the posterior",
        gap=tex(r"\mathrm{KL}(q(z_1, z_2) \,\Vert\, p(z_1, z_2 \mid x))"),
        equality=Hierarchy.draw_exact,
    )
    .slip(
        "equal",
        says="the bound was taken for log p(x): it is less, by the KL of q from the posterior of both latents.",
        relation="=",
    )
    .slip(
        "no entropy",
        tex(r"\mathbb{E}_{q(z_1, z_2)}\left[\log p(x, z_1, z_2)\right]"),
        "log q was left out: then nothing is paid for a narrow q.",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q(z_1, z_2)}\left[\log p(x \mid z_1) + \log\frac{p(z_1 \mid z_2)}{q(z_1 \mid z_2)}"
            r" + \log\frac{p(z_2)}{q(z_2)}\right]"
        ),
        "product rule (A2) for p and for q, from the top down",
        why="one quotient for each latent, both parts under one condition",
        needs="given z_1, x does not depend on z_2",
    )
    .slip(
        "q taken to be a product",
        tex(
            r"\mathbb{E}_{q(z_1, z_2)}\left[\log p(x \mid z_1) + \log\frac{p(z_1 \mid z_2)}{q(z_1)}"
            r" + \log\frac{p(z_2)}{q(z_2)}\right]"
        ),
        "the latents were taken to be independent under q: q(z₁, z₂) is q(z₁|z₂) q(z₂).",
    )
    .eq(
        tex(f"{RECONSTRUCTION} - {STEP} - {TOP}"),
        "each mean over its own latents; definition of KL",
        why="reconstruction, a KL for each step, and the KL at the top",
    )
    .slip(
        "step forgotten",
        tex(f"{RECONSTRUCTION} - {TOP}"),
        "only the top was compared: every step below has its KL, too.",
    )
    .slip(
        "averaged under the prior",
        tex(f"{RECONSTRUCTION} - {STEP.replace('q(z_2)}', 'p(z_2)}')} - {TOP}"),
        "the KL of the step was averaged under p(z₂): in the bound every latent comes from q.",
    )
    .slip(
        "marginals compared",
        tex(rf"{RECONSTRUCTION} - \mathrm{{KL}}(q(z_1) \,\Vert\, p(z_1)) - {TOP}"),
        "z₁ was compared by itself: q(z₁|z₂) is held against p(z₁|z₂), at the same z₂.",
    )
    .slip(
        "KL added",
        tex(f"{RECONSTRUCTION} - {STEP} + {TOP}"),
        "the KL at the top was added: every KL is a cost.",
    )
    .eq(
        tex(rf"{RECONSTRUCTION} - \mathbb{{E}}_{{q(z_2)}}[k_1(z_2)] - k_2"),
        "each is a KL of two Gaussians (E1): k₁ and k₂",
        why="as the package computes them; $k_1$ depends on the $z_2$ above",
        needs="Gaussian steps",
    )
)


# ----------------------------------------------------------------------- a step as a squared error, P4; its weight, P6


@dataclass(frozen=True)
class Denoising:
    """The last of three steps of a chain of vectors: x_0, the noise that led to x_t, and a guess at this noise."""

    alphas: Array  # (3,)
    x_0: Array  # (d,)
    noise: Array  # (d,)
    guess: Array  # (d,)

    @classmethod
    def draw(cls, rng: Rng, d: int = 3) -> Denoising:
        noise = away_from_zero(rng, 0.3, 1.6, (d,))
        return cls(
            draw_alphas(rng), away_from_zero(rng, 0.3, 1.5, (d,)), noise, noise + away_from_zero(rng, 0.2, 0.8, (d,))
        )

    def scope(self) -> Scope:
        """q, the law of the chain; p, the step back that takes the denoised x_t for x_0."""
        d, kept = len(self.x_0), np.prod(self.alphas)
        x_t = np.sqrt(kept) * self.x_0 + np.sqrt(1 - kept) * self.noise
        denoised = (x_t - np.sqrt(1 - kept) * self.guess) / np.sqrt(kept)
        loc, covariance = chain_law(self.alphas, np.full(d, 0.4), 1.3 * np.eye(d))
        before, ends = np.arange(2 * d, 3 * d), np.r_[0:d, 3 * d : 4 * d]
        slope = np.linalg.solve(covariance[np.ix_(ends, ends)], covariance[np.ix_(ends, before)]).T
        left = covariance[np.ix_(before, before)] - slope @ covariance[np.ix_(ends, before)]

        def mean(x_0: Array, x_t: Array) -> Array:
            return loc[before] + (np.concatenate([np.broadcast_to(x_0, x_t.shape), x_t], -1) - loc[ends]) @ slope.T

        return Scope(
            worlds={
                "q": JointGaussian(dict.fromkeys(["x_0", "x_1", BEFORE, "x_t"], d), loc, covariance),
                "p": Conditional(BEFORE, ("x_t",), lambda x_t: MultivariateNormal(mean(denoised, x_t), left)),
            },
            observed={"x_0": self.x_0, "x_t": x_t},
            values={
                **step_names(self.alphas),
                **{r"\hat x_0": denoised, r"\varepsilon": self.noise, r"\hat\varepsilon": self.guess},
                **{r"\mu_q": mean(self.x_0, x_t), r"\mu_p": mean(denoised, x_t), r"\tilde c": left[0, 0]},
            },
        )


STEP_KL = r"\mathbb{E}_{q(x_{t-1} \mid x_t, x_0)}\left[\log\frac{q(x_{t-1} \mid x_t, x_0)}{p(x_{t-1} \mid x_t)}\right]"
STEP_SNR = r"\tfrac12 \left(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\right) \|x_0 - \hat x_0\|^2"
MEANS = r"\frac{\|\mu_q - \mu_p\|^2}{2 \tilde c}"

P4 = (
    derive(
        "P4",
        "one step of the bound is a squared error",
        Denoising.draw,
        assumptions=(
            "p(x_{t-1} | x_t) is q(x_{t-1} | x_t, x_0) with a guess for x_0: the same variance, another mean; t > 1"
        ),
        source=f"{HO}; {KINGMA} for the signal-to-noise ratios",
    )
    .start(
        tex(STEP_KL),
        why="the KL of a step in the bound (P3); no network is asked for q",
        needs="x_t known; p guesses x_0 from it",
    )
    .eq(
        tex(
            r"\frac{1}{2 \tilde c}\,\mathbb{E}_{q(x_{t-1} \mid x_t, x_0)}"
            r"\left[\|x_{t-1} - \mu_p\|^2 - \|x_{t-1} - \mu_q\|^2\right]"
        ),
        "both log-densities; one variance, so the constants cancel",
        why="μ_q and μ_p are the two means (P2), c̃ the variance of both",
        needs="equal variances",
    )
    .eq(tex(MEANS), "mean square = variance + square of the mean", why="E1, where only the means differ")
    .slip("no one half", tex(r"\frac{\|\mu_q - \mu_p\|^2}{\tilde c}"), "the 1/2 of the Gaussian's exponent is missing.")
    .slip(
        "divided by the standard deviation",
        tex(r"\frac{\|\mu_q - \mu_p\|^2}{2 \sqrt{\tilde c}}"),
        "the square was divided by a standard deviation: it belongs to a variance.",
    )
    .eq(
        tex(
            r"\frac{1}{2 \tilde c}\,\frac{\bar\alpha_{t-1}\,(1 - \alpha_t)^2}{(1 - \bar\alpha_t)^2}\,"
            r"\|x_0 - \hat x_0\|^2"
        ),
        "P2: x_t is the same in both means and cancels",
        why="the two means differ by their x_0 alone",
    )
    .slip(
        "weight of x_t",
        tex(
            r"\frac{1}{2 \tilde c}\,\frac{\alpha_t\,(1 - \bar\alpha_{t-1})^2}{(1 - \bar\alpha_t)^2}\,"
            r"\|x_0 - \hat x_0\|^2"
        ),
        "the weight of x_t was taken: that term cancels, the one of x_0 is left.",
    )
    .eq(
        tex(
            r"\frac{\bar\alpha_{t-1}\,(1 - \alpha_t)}{2\,(1 - \bar\alpha_{t-1})(1 - \bar\alpha_t)}\,\|x_0 - \hat x_0\|^2"
        ),
        "insert c̃ from P2",
        why="one factor 1 - α_t, and one of each product, cancels",
    )
    .eq(
        tex(STEP_SNR + r",\quad \mathrm{SNR}_t = \frac{\bar\alpha_t}{1 - \bar\alpha_t}"),
        "common denominator: the numerators leave the difference",
        why="half of what this step takes from the ratio, times the squared error",
        needs=r"$\alpha_t \bar\alpha_{t-1} = \bar\alpha_t$",
    )
    .slip(
        "no difference",
        tex(
            r"\tfrac12\,\mathrm{SNR}_t\,\|x_0 - \hat x_0\|^2,\quad \mathrm{SNR}_t = \frac{\bar\alpha_t}{1 - \bar\alpha_t}"
        ),
        "the ratio at t was taken: a step costs by the ratio that it takes away.",
    )
    .slip(
        "difference turned round",
        tex(
            r"\tfrac12 \left(\mathrm{SNR}_t - \mathrm{SNR}_{t-1}\right) \|x_0 - \hat x_0\|^2,"
            r"\quad \mathrm{SNR}_t = \frac{\bar\alpha_t}{1 - \bar\alpha_t}"
        ),
        "the difference is turned round: noise lowers the ratio, and a KL is never negative.",
    )
)


P5 = (
    derive(
        "P5",
        "three errors that are one: of x_0, of the noise, of the score",
        Denoising.draw,
        assumptions=r"x_t = sqrt(bar alpha_t) x_0 + sqrt(1 - bar alpha_t) ε; three outputs of a network, bound as here",
        source=f"{HO}; Vincent 2011; {KINGMA}",
    )
    .start(tex(r"\|x_0 - \hat x_0\|^2"), why="the error of a network that shows the clean picture")
    .eq(
        tex(r"\left\|x_0 - \frac{x_t - \sqrt{1 - \bar\alpha_t}\,\hat\varepsilon}{\sqrt{\bar\alpha_t}}\right\|^2"),
        "take the guessed noise off x_t, and scale back",
        why="a guess at the noise is a guess at x_0",
        needs=r"$\bar\alpha_t > 0$",
    )
    .slip(
        "noise not scaled",
        tex(r"\left\|x_0 - \frac{x_t - \hat\varepsilon}{\sqrt{\bar\alpha_t}}\right\|^2"),
        "the noise was taken off whole: x_t holds only sqrt(1 - ᾱ) times it.",
    )
    .eq(
        tex(r"\frac{1 - \bar\alpha_t}{\bar\alpha_t}\,\|\varepsilon - \hat\varepsilon\|^2"),
        "x_0 is the same with the true noise (P1)",
        why="the factor is one over the signal-to-noise ratio",
        needs="one and the same noise ε made x_t from x_0",
    )
    .slip(
        "upside down",
        tex(r"\frac{\bar\alpha_t}{1 - \bar\alpha_t}\,\|\varepsilon - \hat\varepsilon\|^2"),
        "the factor is upside down: with much noise a small error in it is a large one in x_0.",
    )
    .slip(
        "factor not squared",
        tex(r"\sqrt{\frac{1 - \bar\alpha_t}{\bar\alpha_t}}\,\|\varepsilon - \hat\varepsilon\|^2"),
        "the factor was not squared with the error.",
    )
    .slip(
        "no factor",
        tex(r"\|\varepsilon - \hat\varepsilon\|^2"),
        "the two errors were taken to be equal: they differ by a factor that depends on t.",
    )
    .eq(
        tex(
            r"\frac{(1 - \bar\alpha_t)^2}{\bar\alpha_t}\,\left\|\nabla_{x_t} \log q(x_t \mid x_0) - \hat s\right\|^2,"
            r"\quad \hat s = -\frac{\hat\varepsilon}{\sqrt{1 - \bar\alpha_t}}"
        ),
        "slope of log N(x_t; √ᾱ x_0, 1 - ᾱ): -ε / sqrt(1 - ᾱ)",
        why="a score is noise with the sign turned and another scale",
        needs="Gaussian noise",
    )
    .slip(
        "sign of the score",
        tex(
            r"\frac{(1 - \bar\alpha_t)^2}{\bar\alpha_t}\,\left\|\nabla_{x_t} \log q(x_t \mid x_0) - \hat s\right\|^2,"
            r"\quad \hat s = \frac{\hat\varepsilon}{\sqrt{1 - \bar\alpha_t}}"
        ),
        "the sign is missing: the noise led away from where log q is high, the score leads back.",
    )
    .slip(
        "noise divided by its variance",
        tex(
            r"\frac{(1 - \bar\alpha_t)^2}{\bar\alpha_t}\,\left\|\nabla_{x_t} \log q(x_t \mid x_0) - \hat s\right\|^2,"
            r"\quad \hat s = -\frac{\hat\varepsilon}{1 - \bar\alpha_t}"
        ),
        "ε was divided by the variance: ε is in units of the standard deviation already, so one root is left.",
    )
)


NOISE_LOSS = r"\|\varepsilon - \hat\varepsilon\|^2"

P6 = (
    derive(
        "P6",
        "what an error in the noise weighs in the bound",
        Denoising.draw,
        assumptions="as for P4 and P5",
        source=f"{HO}, equation (14) for weights of 1; {KINGMA}",
    )
    .start(tex(STEP_KL), why="the KL of a step in the bound, in nats")
    .eq(tex(STEP_SNR), "P4", why="in the guess at x_0", needs="equal variances")
    .eq(
        tex(
            r"\tfrac12 \left(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\right) \frac{1 - \bar\alpha_t}{\bar\alpha_t}\,"
            + NOISE_LOSS
        ),
        "P5",
        why="in the guess at the noise",
    )
    .slip(
        "factor upside down",
        tex(
            r"\tfrac12 \left(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\right) \frac{\bar\alpha_t}{1 - \bar\alpha_t}\,"
            + NOISE_LOSS
        ),
        "the factor of P5 is upside down: a squared error of x_0 is that of the noise divided by the ratio.",
    )
    .eq(
        tex(r"\tfrac12 \left(\frac{\mathrm{SNR}_{t-1}}{\mathrm{SNR}_t} - 1\right) " + NOISE_LOSS),
        "the factor is one over the ratio at t",
        why="what counts is by which factor a step lowers the ratio",
    )
    .eq(
        tex(r"\frac{1 - \alpha_t}{2\,\alpha_t\,(1 - \bar\alpha_{t-1})}\," + NOISE_LOSS),
        r"insert the ratios; the product is α_t times the one before",
        why="to be computed from the steps",
        needs="t > 1",
    )
    .slip(
        "product up to t",
        tex(r"\frac{1 - \alpha_t}{2\,\alpha_t\,(1 - \bar\alpha_t)}\," + NOISE_LOSS),
        "the product up to t was taken in the denominator: it is the one before the step.",
    )
    .eq(
        tex(
            r"\frac{(1 - \alpha_t)^2}{2\,\tilde c\,\alpha_t\,(1 - \bar\alpha_t)}\,"
            + NOISE_LOSS
            + r",\quad \tilde c = \frac{(1 - \alpha_t)\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}"
        ),
        "P2, multiplied above and below by c̃",
        why="the form in which it was published",
    )
    .slip(
        "weight dropped",
        tex(NOISE_LOSS),
        "every step was given the weight one: that is what many train, and it is no longer the bound in nats.",
    )
    .slip(
        "noise variance not squared",
        tex(
            r"\frac{1 - \alpha_t}{2\,\tilde c\,\alpha_t\,(1 - \bar\alpha_t)}\,"
            + NOISE_LOSS
            + r",\quad \tilde c = \frac{(1 - \alpha_t)\,(1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t}"
        ),
        "1 - α_t was not squared: it is the factor of the noise in the mean, and the loss is a square.",
    )
)


# ------------------------------------------------------------------------------------- denoisers and scores, P7, P8, P11


@dataclass(frozen=True, eq=False)
class MixtureOf:
    """Worlds of the same variables, one of which is drawn: their joint densities are averaged with weights.

    Args:
        weights: shape (K,). parts: K worlds.
        reach: where each variable lies, for integrals over it.
    """

    weights: Array
    parts: Sequence[JointGaussian]
    reach: Mapping[str, tuple[float, float]]

    @property
    def variables(self) -> tuple[str, ...]:
        return self.parts[0].variables

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        whole = self._marginal({**givens, **targets}, rule)
        return whole - self._marginal(givens, rule) if givens else whole

    def _marginal(self, known: Values, rule: Rule) -> Array:
        each = [np.log(w) + part.log_prob(known, {}, rule) for w, part in zip(self.weights, self.parts, strict=True)]
        return np.asarray(logsumexp(each, axis=0))

    def space(self, target: str, givens: Values) -> Space:
        return Interval(*self.reach[target], light=True)


@dataclass(frozen=True)
class NoisyData:
    """Numbers x_0 from a mixture of two Gaussians, the chain that adds noise to them, and a few x_t."""

    weights: Array  # (2,)
    locs: Array  # (2,)
    scales: Array  # (2,)
    alphas: Array  # (2,)
    x_t: Array  # (points,)

    @classmethod
    def draw(cls, rng: Rng, points: int = 4) -> NoisyData:
        locs, scales = np.array([-1.0, 1.0]) * rng.uniform(0.6, 1.8, 2) + 0.2, np.exp(-rng.uniform(0.2, 0.9, 2))
        weights, x_t = generic_probabilities(rng, (2,)), away_from_zero(rng, 0.3, 1.8, (points,))
        return cls(weights, locs, scales, draw_alphas(rng, 2), x_t)

    def world(self) -> MixtureOf:
        """q(x_0, x_t) after the steps."""
        laws = [
            chain_law(self.alphas, np.array([m]), np.array([[s**2]]))
            for m, s in zip(self.locs, self.scales, strict=True)
        ]
        parts = [JointGaussian({"x_0": 0, "x_t": 0}, m[[0, -1]], c[np.ix_([0, -1], [0, -1])]) for m, c in laws]
        low, high = float(np.min(self.locs - 11 * self.scales)), float(np.max(self.locs + 11 * self.scales))
        return MixtureOf(self.weights, parts, {"x_0": (low, high), "x_t": (min(low, -11.0), max(high, 11.0))})

    def members(self) -> list[Scope]:
        """q(x_0, x_t) with ᾱ_t, at each x_t; mean m and scale s of each part of the data."""
        world, values = (
            self.world(),
            {**step_names(self.alphas), "m": self.locs, "s": self.scales, r"\pi": self.weights},
        )
        return [
            Scope(worlds={"q": world}, observed={"x_t": x_t}, values=values, ranges={"k": len(self.locs)})
            for x_t in self.x_t
        ]


FORWARD = r"N(x_t;\, \sqrt{\bar\alpha_t}\,x_0, 1 - \bar\alpha_t)"

P7 = (
    derive(
        "P7",
        "Tweedie for a chain: the best guess at the clean picture",
        NoisyData.draw,
        assumptions="the noise of the chain is Gaussian; any law of x_0, here a mixture of two Gaussians",
        source="Robbins 1956; Efron 2011",
    )
    .start(
        tex(r"\mathbb{E}_{q(x_0 \mid x_t)}[x_0]"),
        why="the guess with the least squared error: what a denoiser learns",
    )
    .eq(
        tex(rf"\frac{{1}}{{q(x_t)}} \int x_0\,{FORWARD}\,q(x_0)\,dx_0"),
        "Bayes' rule; many steps as one (P1)",
        why="x_t is √ᾱ x_0 plus noise, as in A11",
    )
    .eq(
        tex(
            rf"\frac{{1}}{{\sqrt{{\bar\alpha_t}}}}\left(x_t + \frac{{1}}{{q(x_t)}}"
            rf" \int (\sqrt{{\bar\alpha_t}}\,x_0 - x_t)\,{FORWARD}\,q(x_0)\,dx_0\right)"
        ),
        "√ᾱ x_0 = x_t + (√ᾱ x_0 - x_t); q(x_0 | x_t) has mass one",
        why="the correction alone",
    )
    .eq(
        tex(
            rf"\frac{{1}}{{\sqrt{{\bar\alpha_t}}}}\left(x_t + \frac{{1 - \bar\alpha_t}}{{q(x_t)}}"
            rf"\,\frac{{d}}{{dx_t}}\left[\int {FORWARD}\,q(x_0)\,dx_0\right]\right)"
        ),
        "slope of a bell in x_t; derivative and integral swapped",
        why="x_0 disappears outside the integral",
        needs="Gaussian noise",
    )
    .eq(
        tex(r"\frac{x_t + (1 - \bar\alpha_t)\,\frac{d}{dx_t} \log q(x_t)}{\sqrt{\bar\alpha_t}}"),
        "sum rule; derivative of a logarithm",
        why="only the law of the noisy pictures is left",
    )
    .slip(
        "not scaled back",
        tex(r"x_t + (1 - \bar\alpha_t)\,\frac{d}{dx_t} \log q(x_t)"),
        "this is the guess at √ᾱ x_0: the chain has shrunk the picture, so divide by the root.",
    )
    .slip(
        "divided by the product",
        tex(r"\frac{x_t + (1 - \bar\alpha_t)\,\frac{d}{dx_t} \log q(x_t)}{\bar\alpha_t}"),
        "the root is missing: x_0 was multiplied by the root of ᾱ.",
    )
    .slip(
        "minus the score",
        tex(r"\frac{x_t - (1 - \bar\alpha_t)\,\frac{d}{dx_t} \log q(x_t)}{\sqrt{\bar\alpha_t}}"),
        "the sign is turned: the guess moves uphill on log q, to where x_t is more common.",
    )
    .slip(
        "standard deviation of the noise",
        tex(r"\frac{x_t + \sqrt{1 - \bar\alpha_t}\,\frac{d}{dx_t} \log q(x_t)}{\sqrt{\bar\alpha_t}}"),
        "the standard deviation of the noise was written where its variance belongs.",
    )
    .eq(
        tex(
            r"\frac{\sum_k \pi_k\,N(x_t;\, \sqrt{\bar\alpha_t}\,m_k, v_k)\,e_k}"
            r"{\sum_k \pi_k\,N(x_t;\, \sqrt{\bar\alpha_t}\,m_k, v_k)},"
            r"\quad v_k = \bar\alpha_t s_k^2 + 1 - \bar\alpha_t,"
            r"\quad e_k = m_k + \frac{\sqrt{\bar\alpha_t}\,s_k^2}{v_k}\,(x_t - \sqrt{\bar\alpha_t}\,m_k)"
        ),
        "each part is linear-Gaussian (A7); Bayes for the part",
        why="for a mixture the exact denoiser has a closed form",
        needs="a mixture of Gaussians",
    )
    .slip(
        "weights of the parts kept",
        tex(
            r"\sum_k \pi_k\,e_k,"
            r"\quad v_k = \bar\alpha_t s_k^2 + 1 - \bar\alpha_t,"
            r"\quad e_k = m_k + \frac{\sqrt{\bar\alpha_t}\,s_k^2}{v_k}\,(x_t - \sqrt{\bar\alpha_t}\,m_k)"
        ),
        "the parts kept their weights: x_t itself says which one it probably came from.",
    )
)


P8 = (
    derive(
        "P8",
        "the score is the mean of the scores given x_0",
        NoisyData.draw,
        assumptions="q(x_t | x_0) > 0 is smooth in x_t; any law of x_0, here a mixture",
        source="Vincent 2011",
    )
    .start(
        tex(r"\frac{d}{dx_t} \log q(x_t)"),
        why="the score: where to x_t gets more common. The law of the data is in it",
    )
    .eq(
        tex(r"\frac{1}{q(x_t)} \frac{d}{dx_t}\left[\int q(x_t \mid x_0)\,q(x_0)\,dx_0\right]"),
        "derivative of a logarithm; sum rule",
        why="what we know is q(x_t | x_0)",
        needs="q(x_t) > 0",
    )
    .slip(
        "not divided by the density",
        tex(r"\frac{d}{dx_t}\left[\int q(x_t \mid x_0)\,q(x_0)\,dx_0\right]"),
        "the slope of q was taken for that of log q: divide by q.",
    )
    .eq(
        tex(r"\int \frac{q(x_t \mid x_0)\,q(x_0)}{q(x_t)}\,\frac{d}{dx_t} \log q(x_t \mid x_0)\,dx_0"),
        "derivative and integral swapped; q' = q (log q)'",
        why="the density is there again, to average with",
        needs="the integral may be differentiated under its sign",
    )
    .eq(
        tex(r"\mathbb{E}_{q(x_0 \mid x_t)}\left[\frac{d}{dx_t} \log q(x_t \mid x_0)\right]"),
        "Bayes' rule",
        why="an average of slopes that need no law of the data",
    )
    .slip(
        "averaged over the data",
        tex(r"\mathbb{E}_{q(x_0)}\left[\frac{d}{dx_t} \log q(x_t \mid x_0)\right]"),
        "the slopes were averaged over all x_0 alike: only those that may have led to this x_t count.",
    )
    .slip(
        "score of the mean",
        tex(
            r"\frac{d}{dx_t} \log N(x_t;\, \sqrt{\bar\alpha_t}\,m, 1 - \bar\alpha_t),"
            r"\quad m = \mathbb{E}_{q(x_0)}[x_0]"
        ),
        "x_0 was replaced by its mean over the data: it is the mean given x_t that counts.",
    )
    .eq(
        tex(r"-\frac{x_t - \sqrt{\bar\alpha_t}\,\mathbb{E}_{q(x_0 \mid x_t)}[x_0]}{1 - \bar\alpha_t}"),
        "slope of the bell (P1); it is linear in x_0",
        why="so a denoiser is a score, and the other way round (P7)",
        needs="Gaussian noise",
    )
    .slip(
        "standard deviation of the noise",
        tex(r"-\frac{x_t - \sqrt{\bar\alpha_t}\,\mathbb{E}_{q(x_0 \mid x_t)}[x_0]}{\sqrt{1 - \bar\alpha_t}}"),
        "the gap was divided by the standard deviation: that is minus the noise; the score needs the variance.",
    )
)


@dataclass(frozen=True)
class Guesses:
    """Noisy data, and several guesses at the score: a line has one entry for each, a straight one in x_t."""

    data: NoisyData
    slopes: Array  # (guesses,)
    offsets: Array  # (guesses,)

    @classmethod
    def draw(cls, rng: Rng, guesses: int = 3) -> Guesses:
        return cls(NoisyData.draw(rng), -rng.uniform(0.2, 1.4, guesses), away_from_zero(rng, 0.2, 1.0, (guesses,)))

    def members(self) -> list[Scope]:
        """q(x_0, x_t) and s(x_t), for each guess."""
        world, values = self.data.world(), step_names(self.data.alphas)
        return [
            Scope(worlds={"q": world}, values={**values, "a": slope, "b": offset})
            for slope, offset in zip(self.slopes, self.offsets, strict=True)
        ]


SCORE = r"\frac{d}{dx_t} \log q(x_t)"
GUESS = r",\quad s = a x_t + b"
TARGET = GUESS + r",\quad g = -\frac{x_t - \sqrt{\bar\alpha_t}\,x_0}{1 - \bar\alpha_t}"

P11 = (
    derive(
        "P11",
        "denoising score matching is score matching",
        Guesses.draw,
        assumptions="as for P8; the guesses s differ, q does not",
        source="Vincent 2011",
    )
    .start(
        tex(rf"\mathbb{{E}}_{{q(x_t)}}\left[\left(s - {SCORE}\right)^2\right]" + GUESS),
        why="the error that we mean; here s is a straight line, with any a and b",
    )
    .up_to_constant(
        tex(rf"\mathbb{{E}}_{{q(x_t)}}\left[s^2 - 2 s\,{SCORE}\right]" + GUESS),
        "expand the square; what holds no s is left out",
        why="only what depends on s moves the best s",
        needs="finite mean square of the score",
    )
    .slip(
        "equal sign",
        says="the mean square of the score was left out: the two differ by it.",
        relation="=",
    )
    .up_to_constant(
        tex(r"\mathbb{E}_{q(x_0, x_t)}\left[s^2 - 2 s\,g\right]" + TARGET),
        "P8: the score is the mean of the scores given x_0",
        why="the same const; in place of the score the slope g of log q(x_t | x_0), which we know",
        needs="linear in the score",
    )
    .slip(
        "x_0 drawn by itself",
        tex(r"\mathbb{E}_{q(x_0)}\left[\mathbb{E}_{q(x_t)}\left[s^2 - 2 s\,g\right]\right]" + TARGET),
        "x_0 and x_t were drawn apart: x_t has to be this x_0 with noise.",
    )
    .up_to_constant(
        tex(r"\mathbb{E}_{q(x_0, x_t)}\left[\left(s - g\right)^2\right]" + TARGET),
        "complete the square; what is added holds no s",
        why="what is trained: no score of the data is asked for",
    )
    .slip(
        "equal",
        says="the losses were taken to be equal: the one with x_0 is larger, by how much its slopes vary.",
        relation="=",
    )
    .slip(
        "sign of the target",
        tex(r"\mathbb{E}_{q(x_0, x_t)}\left[\left(s + g\right)^2\right]" + TARGET),
        "the target has the wrong sign: this s would lead away from the data.",
    )
)


# ------------------------------------------------------------------------------------------------ the gap of a chain, P9


@dataclass(frozen=True)
class ChainTables:
    """Three latents with three, two and three values above an x with four: p from the top down, and q as well."""

    p: tuple[Array, ...]  # p(x | z_1), p(z_1 | z_2), p(z_2 | z_3), p(z_3)
    q: tuple[Array, ...]  # q(z_1 | z_2), q(z_2 | z_3), q(z_3)
    x: int

    @classmethod
    def draw(cls, rng: Rng) -> ChainTables:
        shapes = ((3, 4), (2, 3), (3, 2), (3,))
        p, q = ([generic_probabilities(rng, shape) for shape in which] for which in (shapes, shapes[1:]))
        return cls(tuple(p), tuple(q), int(rng.integers(4)))

    def scope(self) -> Scope:
        """p(x, z_1, z_2, z_3) and q(z_1, z_2, z_3)."""
        return Scope(
            worlds={
                "p": Table(("x", "z_1", "z_2", "z_3"), np.einsum("ax,ba,cb,c->xabc", *self.p)),
                "q": Table(("z_1", "z_2", "z_3"), np.einsum("ba,cb,c->abc", *self.q)),
            },
            observed={"x": self.x},
        )


LATENTS = "z_1, z_2, z_3"
GAP_TOP = r"\mathrm{KL}(q(z_3) \,\Vert\, p(z_3 \mid x))"


POSTERIOR, PRIOR_STEP = r"p(UP \mid x)", r"p(LOW \mid UP)"


def gap_of_step(t: int, law: str = "q(UP)", below: str = r"p(LOW \mid UP, x)") -> str:
    """The expected KL of the step from z_{t+1}, UP, to z_t, LOW, in LaTeX."""
    text = rf"\mathbb{{E}}_{{{law}}}\left[\mathrm{{KL}}(q(LOW \mid UP) \,\Vert\, {below})\right]"
    return text.replace("UP", f"z_{t + 1}").replace("LOW", f"z_{t}")


P9 = (
    derive(
        "P9",
        "the gap of a hierarchy, step by step",
        ChainTables.draw,
        assumptions="p and q are chains, z_3 at the top; given x, p is one as well",
        source="Cover and Thomas 2006, theorem 2.5.3; Sønderby et al. 2016 for q from the top down",
    )
    .start(
        tex(rf"\log p(x) - \mathbb{{E}}_{{q({LATENTS})}}\left[\log\frac{{p(x, {LATENTS})}}{{q({LATENTS})}}\right]"),
        why="what the bound loses (P3), with three latents",
    )
    .eq(
        tex(rf"\mathbb{{E}}_{{q({LATENTS})}}\left[\log\frac{{q({LATENTS})}}{{p({LATENTS} \mid x)}}\right]"),
        "product rule (A2): log p(x) holds no z",
        why="as for one latent (F2)",
        needs="p(x) > 0",
    )
    .slip(
        "compared with the prior",
        tex(rf"\mathbb{{E}}_{{q({LATENTS})}}\left[\log\frac{{q({LATENTS})}}{{p({LATENTS})}}\right]"),
        "q was compared with the prior: that is a part of the bound, the gap compares with the posterior.",
    )
    .eq(
        tex(
            rf"\mathbb{{E}}_{{q({LATENTS})}}\left[\log\frac{{q(z_3)}}{{p(z_3 \mid x)}}"
            r" + \log\frac{q(z_2 \mid z_3)}{p(z_2 \mid z_3, x)} + \log\frac{q(z_1 \mid z_2)}{p(z_1 \mid z_2, x)}\right]"
        ),
        "product rule for both; each is a chain",
        why="one quotient for each step",
        needs="given z_2 and x, z_3 says nothing about z_1, under q and p",
    )
    .eq(
        tex(f"{GAP_TOP} + {gap_of_step(2)} + {gap_of_step(1)}"),
        "chain rule of KL (C6): each mean over its own latents",
        why="the gap of the top, and of each step below it",
    )
    .slip(
        "averaged under the posterior",
        tex(f"{GAP_TOP} + {gap_of_step(2, law=POSTERIOR)} + {gap_of_step(1, law=POSTERIOR)}"),
        "the steps were averaged under p: the first argument, q, makes the latents above.",
    )
    .slip(
        "steps of the prior",
        tex(f"{GAP_TOP} + {gap_of_step(2, below=PRIOR_STEP)} + {gap_of_step(1, below=PRIOR_STEP)}"),
        "x is missing in the steps of p: that is the KL of a step in the bound, not in the gap.",
    )
    .slip(
        "marginals of both",
        tex(
            r"\mathrm{KL}(q(z_3) \,\Vert\, p(z_3 \mid x)) + \mathrm{KL}(q(z_2) \,\Vert\, p(z_2 \mid x))"
            r" + \mathrm{KL}(q(z_1) \,\Vert\, p(z_1 \mid x))"
        ),
        "each latent was compared by itself: that leaves out how they hang together.",
    )
    .slip(
        "only the top",
        tex(GAP_TOP),
        "only the top was counted: every step that q gets wrong adds to the gap.",
    )
)


# ---------------------------------------------------------------------------------------------- more and more steps, P10


@dataclass(frozen=True)
class Refinement:
    """Numbers x_0 of variance v, a chain with T = 5 signal-to-noise ratios, and ratios between them; exact denoiser."""

    variance: float
    ratios: Array  # (5,), falling
    parts: Array  # (4,): where between the two ratios of a step the new one lies

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Refinement:
        v, falls = generic_noise_variance(rng), rng.uniform(0.5, 1.3, 5)
        if kind == "near":
            falls[1:] *= 0.1
        elif kind == "far":
            falls[1:] *= 2.5
        elif kind != GENERIC:
            v *= {"narrow": 0.1, "wide": 8.0}[kind]
        return cls(v, 6 * np.exp(-np.cumsum(falls)), rng.uniform(0.3, 0.7, 4))

    @property
    def between(self) -> Array:
        """One ratio inside each step, shape (4,)."""
        return self.ratios[1:] + self.parts * (self.ratios[:-1] - self.ratios[1:])

    def joint_laws(self) -> tuple[MultivariateNormal, MultivariateNormal]:
        """q(x_1, ..., x_T), and what the chain makes of it: from x_T back, each step with the variance of P2."""
        kept = self.ratios / (1 + self.ratios)
        _, covariance = chain_law(kept / np.r_[1, kept[:-1]], np.zeros(1), np.array([[self.variance]]))
        after, given_x_0 = (
            covariance[1:, 1:],
            covariance[1:, 1:] - np.outer(covariance[1:, 0], covariance[0, 1:]) / covariance[0, 0],
        )
        size = len(kept)
        slopes = np.diag(after, 1) / np.diag(after)[1:]
        variances = np.diag(given_x_0)[:-1] - np.diag(given_x_0, 1) ** 2 / np.diag(given_x_0)[1:]
        roots = [np.sqrt(after[-1, -1]) * np.eye(size)[-1]]
        for t in range(size - 1)[::-1]:
            roots.insert(0, slopes[t] * roots[0] + np.sqrt(variances[t]) * np.eye(size)[t])
        root, zero = np.array(roots), np.zeros(size)
        return MultivariateNormal(zero, after), MultivariateNormal(zero, root @ root.T)

    def scope(self) -> Scope:
        """v, the ratios SNR_1 > ... > SNR_T, and SNR'_t between those of a step."""
        return Scope(
            values={"v": self.variance, r"\mathrm{SNR}": self.ratios, "T": len(self.ratios)}
            | {r"\mathrm{SNR}'": np.r_[2 * self.ratios[0], self.between]},  # the first belongs to no step
        )


FINE = (
    r"\left(\mathrm{SNR}_{t-1} - \mathrm{SNR}'_t\right) \frac{v}{1 + v\,\mathrm{SNR}'_t}"
    r" + \left(\mathrm{SNR}'_t - \mathrm{SNR}_t\right) \frac{v}{1 + v\,\mathrm{SNR}_t}"
)
COARSE = r"\tfrac12 \sum_{t=2}^{T} \left(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\right) \frac{v}{1 + v\,\mathrm{SNR}_t}"
LOGS = r"\tfrac12 \log\frac{1 + v\,\mathrm{SNR}_1}{1 + v\,\mathrm{SNR}_T}"
RATIO = r",\quad h_t = \frac{1 + v\,\mathrm{SNR}_{t-1}}{1 + v\,\mathrm{SNR}_t}"

P10 = (
    derive(
        "P10",
        "the gap shrinks with every step that is split",
        Refinement.draw,
        assumptions=(
            "x_0 Gaussian of variance v; exact denoiser; p(x_T) and p(x_0 | x_1) exact; the variance of a step back as in P2"
        ),
        source=f"{KINGMA}; Guo, Shamai and Verdú 2005 for the area under the error",
    )
    .start(
        given(
            r"\mathrm{KL}(q(x_1, \ldots, x_T) \,\Vert\, p(x_1, \ldots, x_T))", lambda w: kl_divergence(*w.joint_laws())
        ),
        why="how far the bound stays below log q(x_0), on average over the data",
    )
    .eq(
        tex(r"\tfrac12 \sum_{t=2}^{T} \left(h_t - 1 - \log h_t\right)" + RATIO),
        "a KL for each step (P9); E1 with equal means",
        why="h_t: the true variance of the step back, in units of c̃ of P2",
        needs="x_0 Gaussian, so that the true step back is Gaussian",
    )
    .slip(
        "no logarithm",
        tex(r"\tfrac12 \sum_{t=2}^{T} \left(h_t - 1\right)" + RATIO),
        "only the variances were compared: KL has the logarithm of their ratio, too (E1).",
    )
    .slip(
        "ratio upside down",
        tex(
            r"\tfrac12 \sum_{t=2}^{T} \left(h_t - 1 - \log h_t\right),"
            r"\quad h_t = \frac{1 + v\,\mathrm{SNR}_t}{1 + v\,\mathrm{SNR}_{t-1}}"
        ),
        "the ratio is upside down: the true step back is the wider one, for x_0 is not known.",
    )
    .eq(
        tex(f"{COARSE} - {LOGS}"),
        "h_t - 1 is ratio lost times error; the logarithms telescope",
        why="v / (1 + v SNR) is the mean square error of the exact denoiser (A7)",
    )
    .slip(
        "error at the cleaner end",
        tex(
            r"\tfrac12 \sum_{t=2}^{T} \left(\mathrm{SNR}_{t-1} - \mathrm{SNR}_t\right)"
            rf" \frac{{v}}{{1 + v\,\mathrm{{SNR}}_{{t-1}}}} - {LOGS}"
        ),
        "the error at t - 1 was taken: the denoiser of this step sees x_t, which is noisier.",
    )
    .gt(
        tex(rf"\tfrac12 \sum_{{t=2}}^{{T}} \left({FINE}\right) - {LOGS}"),
        "each step split: less noise, so the error is smaller there",
        why="SNR' lies between the two ratios of its step",
        needs="v > 0; the error falls as the ratio grows",
        gap=tex(
            r"\tfrac12 \sum_{t=2}^{T} \left(\mathrm{SNR}_{t-1} - \mathrm{SNR}'_t\right)"
            r" \frac{v^2\,(\mathrm{SNR}'_t - \mathrm{SNR}_t)}{(1 + v\,\mathrm{SNR}_t)(1 + v\,\mathrm{SNR}'_t)}"
        ),
    )
    .slip(
        "more steps, more loss",
        says="each step was taken to add its loss: two short steps together lose less than a long one.",
        relation="<",
    )
    .slip(
        "steps do not matter",
        says="the sum was taken not to depend on the steps: that is true of its limit alone.",
        relation="=",
    )
    .gt(
        tex(rf"\tfrac12 \int_{{\mathrm{{SNR}}_T}}^{{\mathrm{{SNR}}_1}} \frac{{v}}{{1 + v u}}\,du - {LOGS}"),
        "a sum of rectangles from above; the limit is the area",
        why="steps split again and again",
        needs="finitely many steps",
        gap=tex(rf"\tfrac12 \sum_{{t=2}}^{{T}} \left({FINE}\right) - {LOGS}"),
    )
    .slip(
        "no one half",
        tex(rf"\int_{{\mathrm{{SNR}}_T}}^{{\mathrm{{SNR}}_1}} \frac{{v}}{{1 + v u}}\,du - {LOGS}"),
        "the 1/2 of every step is missing in the area.",
    )
    .eq(tex("0"), "the area is the logarithm: no gap is left", why="in the limit of many steps the bound is tight")
)

CHAPTER = (P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11)
