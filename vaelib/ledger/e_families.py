r"""Chapter E, continued: KL divergences between laws that are not Gaussian, and the evidence of a count (B9).

Each is integrated or summed from its definition; where the package knows the family, its `kl_divergence` is the last
line. Rates are rates: b is 1 / scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import beta, betaln, expit, gammaln, log_expit, ndtr

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Exponential, Gamma, Laplace, Normal, kl_divergence
from vaelib.formula import KL, given, symbols, tex
from vaelib.formula.rules import Rule
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import HalfLine, Pieces, States
from vaelib.formula.typed import Typed
from vaelib.formula.worlds import Conditional, Either, Law
from vaelib.ledger.d_families import GAMMA_FUNCTIONS, around_peaks
from vaelib.witnesses import NormalPair, away_from_zero, generic_scale

Array = np.ndarray
Rng = np.random.Generator

q, p = symbols("q p")


# ----------------------------------------------------------------------------------------------- E17: two Laplace laws


@dataclass(frozen=True)
class LaplacePair:
    """Two Laplace laws that differ in location and in scale."""

    q: Laplace
    p: Laplace

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> LaplacePair:
        pair = NormalPair.draw(rng, kind=kind)
        return cls(*(Laplace(law.loc, law.scale) for law in (pair.q, pair.p)))

    def scope(self) -> Scope:
        """q and p of z by their locations mu and scales b."""
        q, p = self.q, self.p
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", p)},
            values={r"\mu_q": q.loc, "b_q": q.scale, r"\mu_p": p.loc, "b_p": p.scale},
            spaces={"z": around_peaks(q, p)},
        )


GAP = r",\quad d = |\mu_q - \mu_p|"

E17 = (
    derive(
        "E17",
        "KL between two Laplace laws",
        LaplacePair.draw,
        assumptions="b_q, b_p > 0 are scales: the mean distance from the peak",
        source="compare Gil, Alajaji and Linder 2013",
    )
    .start(
        tex(r"\int q(z) \log\frac{q(z)}{p(z)}\,dz"),
        why="densities with a peak, and with longer tails than a Gaussian",
    )
    .eq(
        tex(
            r"\log\frac{b_p}{b_q} + \frac{1}{b_p}\,\mathbb{E}_q[|z - \mu_p|] - \frac{1}{b_q}\,\mathbb{E}_q[|z - \mu_q|]"
        ),
        "insert both log-densities; the 2 cancels",
        why="two mean distances are left",
        needs=r"$b_q, b_p > 0$",
    )
    .slip(
        "no logarithm",
        tex(r"\frac{1}{b_p}\,\mathbb{E}_q[|z - \mu_p|] - \frac{1}{b_q}\,\mathbb{E}_q[|z - \mu_q|]"),
        "the normalizing constants were taken to cancel: the 2 does, the scales do not.",
    )
    .eq(
        tex(r"\log\frac{b_p}{b_q} + \frac{1}{b_p}\,\mathbb{E}_q[|z - \mu_p|] - 1"),
        "a Laplace variable is b away from its peak, on average",
        why="the distance from the other peak remains",
    )
    .slip(
        "distance of the peaks",
        tex(r"\log\frac{b_p}{b_q} + \frac{|\mu_q - \mu_p|}{b_p} - 1"),
        "the mean of q was put in for z: the distance of z is more, on average, than that of the mean.",
    )
    .eq(
        tex(r"\log\frac{b_p}{b_q} + \frac{d + b_q\,e^{-d / b_q}}{b_p} - 1" + GAP),
        "integrate by pieces: beyond the other peak the sign turns",
        why="no expectation is left",
    )
    .slip(
        "no exponential",
        tex(r"\log\frac{b_p}{b_q} + \frac{d + b_q}{b_p} - 1" + GAP),
        "distance and scale were added: with equal peaks that is right, far apart the distance alone counts.",
    )
    .slip(
        "scale of p in the exponent",
        tex(r"\log\frac{b_p}{b_q} + \frac{d + b_q\,e^{-d / b_p}}{b_p} - 1" + GAP),
        "the mass beyond the other peak was taken from p: the average is under q.",
    )
    .slip(
        "squares as for a Gaussian",
        tex(r"\log\frac{b_p}{b_q} + \frac{b_q^2 + d^2}{2 b_p^2} - \tfrac12" + GAP),
        "this is the formula for Gaussians: a Laplace density falls with the distance, not with its square.",
    )
    .slip(
        "q and p swapped",
        tex(r"\log\frac{b_q}{b_p} + \frac{d + b_p\,e^{-d / b_p}}{b_q} - 1" + GAP),
        "q and p are swapped: KL is not symmetric.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
)


# ------------------------------------------------------------------------------------------------ E18: two Gamma laws


@dataclass(frozen=True)
class GammaPair:
    """Two Gamma laws that differ in shape and in rate."""

    q: Gamma
    p: Gamma

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> GammaPair:
        a_p = rng.choice([1.3, 3.4]) * np.exp(rng.uniform(-0.2, 0.4))
        a_q, b_p = a_p * generic_scale(rng), generic_scale(rng)
        b_q = b_p * generic_scale(rng)
        if kind == "near":
            a_q, b_q = (x * np.exp(away_from_zero(rng, 0.03, 0.08)) for x in (a_p, b_p))
        elif kind != GENERIC:  # large shapes make a narrow law
            a_q = a_q * {"narrow": 5.0, "wide": 0.9, "far": 1.0}[kind]
            b_q = b_q * {"narrow": 5.0, "wide": 0.2, "far": 0.1}[kind]
        return cls(Gamma(a_q, b_q), Gamma(a_p, b_p))

    def scope(self) -> Scope:
        """q and p of y > 0 by their shapes a and rates b."""
        q, p = self.q, self.p
        return Scope(
            worlds={"q": Law("y", q), "p": Law("y", p)},
            values={"a_q": q.concentration, "b_q": q.rate, "a_p": p.concentration, "b_p": p.rate},
            maps={**GAMMA_FUNCTIONS, r"\ell": Map(gammaln, ("a",))},
            spaces={"y": HalfLine()},
        )


E18 = (
    derive(
        "E18",
        "KL between two Gamma laws, in shape and rate",
        GammaPair.draw,
        assumptions="shapes a > 0 and rates b > 0; the mean is a/b; psi is the slope of log Gamma",
        source="moments of a Gamma law; compare Gil, Alajaji and Linder 2013",
    )
    .start(
        tex(r"\int_0^\infty q(y) \log\frac{q(y)}{p(y)}\,dy"),
        why="laws of what is positive: rates, precisions, waiting times",
    )
    .eq(
        tex(
            r"\log\frac{\Gamma(a_p)\,b_q^{a_q}}{\Gamma(a_q)\,b_p^{a_p}}"
            r" + (a_q - a_p)\,\mathbb{E}_q[\log y] + (b_p - b_q)\,\mathbb{E}_q[y]"
        ),
        "insert both log-densities; constants leave E",
        why="two means are left, of log y and of y",
        needs="a, b > 0",
    )
    .slip(
        "constants cancelled",
        tex(r"(a_q - a_p)\,\mathbb{E}_q[\log y] + (b_p - b_q)\,\mathbb{E}_q[y]"),
        "the normalizing constants were taken to cancel: each law has its own.",
    )
    .eq(
        tex(
            r"\log\frac{\Gamma(a_p)\,b_q^{a_q}}{\Gamma(a_q)\,b_p^{a_p}}"
            r" + (a_q - a_p) \left(\psi(a_q) - \log b_q\right) + (b_p - b_q)\,\frac{a_q}{b_q}"
        ),
        "E[log y] = ψ(a) - log b and E[y] = a/b",
        why="the slope of log Γ is what the mean of log y is made of",
    )
    .slip(
        "logarithm of the mean",
        tex(
            r"\log\frac{\Gamma(a_p)\,b_q^{a_q}}{\Gamma(a_q)\,b_p^{a_p}}"
            r" + (a_q - a_p) \left(\log a_q - \log b_q\right) + (b_p - b_q)\,\frac{a_q}{b_q}"
        ),
        "the mean of log y was taken for the logarithm of its mean: by Jensen (C2) it is less, ψ(a) for log a.",
    )
    .eq(
        tex(
            r"(a_q - a_p)\,\psi(a_q) - \log\Gamma(a_q) + \log\Gamma(a_p)"
            r" + a_p \log\frac{b_q}{b_p} + a_q\,\frac{b_p - b_q}{b_q}"
        ),
        "sort by logarithms of rates",
        why="the rates enter only by their quotient: the unit of y does not matter (C8)",
    )
    .slip(
        "scale for rate",
        tex(
            r"(a_q - a_p)\,\psi(a_q) - \log\Gamma(a_q) + \log\Gamma(a_p)"
            r" + a_p \log\frac{b_p}{b_q} + a_q\,\frac{b_q - b_p}{b_p}"
        ),
        "the rates were read as scales: then each quotient of rates is upside down.",
    )
    .slip(
        "signs of log Gamma",
        tex(
            r"(a_q - a_p)\,\psi(a_q) + \log\Gamma(a_q) - \log\Gamma(a_p)"
            r" + a_p \log\frac{b_q}{b_p} + a_q\,\frac{b_p - b_q}{b_q}"
        ),
        "the two log Γ have each other's sign: Γ(a) is below in a density.",
    )
    .slip(
        "shape of q at the logarithm",
        tex(
            r"(a_q - a_p)\,\psi(a_q) - \log\Gamma(a_q) + \log\Gamma(a_p)"
            r" + a_q \log\frac{b_q}{b_p} + a_q\,\frac{b_p - b_q}{b_q}"
        ),
        "log of the rates is multiplied by the shape of q: what is left after sorting is that of p.",
    )
    .slip(
        "q and p swapped",
        tex(
            r"(a_p - a_q)\,\psi(a_p) - \log\Gamma(a_p) + \log\Gamma(a_q)"
            r" + a_q \log\frac{b_p}{b_q} + a_p\,\frac{b_q - b_p}{b_p}"
        ),
        "q and p are swapped: KL is not symmetric.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
)


# --------------------------------------------------------------------------- E19: exponential, Poisson and Beta laws


@dataclass(frozen=True)
class Poisson:
    """Counts 0, 1, 2, ... with mean `rate`."""

    rate: Any

    def log_prob(self, x: Array) -> Array:
        return np.asarray(x * np.log(self.rate) - self.rate - gammaln(x + 1.0))


@dataclass(frozen=True)
class Beta:
    """The law of a share z between 0 and 1, proportional to z^(a - 1) (1 - z)^(b - 1)."""

    a: float
    b: float

    def log_prob(self, z: Array) -> Array:
        return np.asarray((self.a - 1) * np.log(z) + (self.b - 1) * np.log1p(-z) - betaln(self.a, self.b))


@dataclass(frozen=True)
class Shares:
    """All numbers between 0 and 1, near either end as well: z = 1 / (1 + e^-t)."""

    exact = False

    def nodes(self, rule: Rule, depth: int) -> tuple[Typed, Array]:
        unit, log_weights = rule.unit()
        reach = 36.0  # the last at which 1 - z is not rounded to 0
        t = (reach * (2 * unit - 1)).reshape((*[1] * depth, -1))
        return Typed(expit(t)), log_weights + np.log(2 * reach) + log_expit(t) + log_expit(-t)


MOST_COUNTS = 80  # more than that occurs with a probability below 1e-40


@dataclass(frozen=True)
class ThreePairs:
    """Two exponential laws of x, two Poisson laws of a count n, two Beta laws of a share z."""

    rates: Array  # (2,): of q, of p
    means: Array
    first: Array  # a of q and of p
    second: Array  # b of q and of p

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> ThreePairs:
        ratio = {"near": np.exp(away_from_zero(rng, 0.03, 0.08, (4,)))}.get(kind, generic_scale(rng, (4,)))
        p = np.array([1.0, 2.5, 4.0, 4.0]) * generic_scale(rng, (4,)) ** np.array([1, 1, 0.5, 0.5])
        q = p * ratio * np.array({"narrow": [5, 0.2, 3, 3], "far": [0.2, 3, 3, 1]}.get(kind, [1, 1, 1, 1]))
        return cls(*np.stack([q, np.minimum(p, 10)], axis=-1))

    def scope(self) -> Scope:
        """The laws q_i and p_i: rates r, means l, and the parameters a and b."""
        worlds: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for i, name in enumerate("qp"):
            worlds |= {
                f"{name}_1": Law("x", Exponential(self.rates[i])),
                f"{name}_2": Law("n", Poisson(self.means[i])),
                f"{name}_3": Law("z", Beta(self.first[i], self.second[i])),
            }
            values |= {f"r_{name}": self.rates[i], rf"\lambda_{name}": self.means[i]}
            values |= {f"a_{name}": self.first[i], f"b_{name}": self.second[i]}
        return Scope(
            worlds=worlds,
            values=values,
            maps={r"\psi": GAMMA_FUNCTIONS[r"\psi"], r"\mathrm{B}": Map(beta, ("a", "b"))},
            spaces={"n": States.count(MOST_COUNTS), "z": Shares()},
        )


BETA = (
    r"\log\frac{\mathrm{B}(a_p, b_p)}{\mathrm{B}(a_q, b_q)} + (a_q - a_p)\,\psi(a_q) + (b_q - b_p)\,\psi(b_q)"
    r" - (a_q + b_q - a_p - b_p)\,\psi(a_q + b_q)"
)

E19 = (
    derive(
        "E19",
        "KL between exponential, between Poisson and between Beta laws",
        ThreePairs.draw,
        assumptions="r are rates, lambda means of counts, a and b the parameters of a Beta law; all > 0",
        source="moments of the three laws; compare Gil, Alajaji and Linder 2013",
    )
    .start(
        tex(
            r"\int_0^\infty q_1(x) \log\frac{q_1(x)}{p_1(x)}\,dx,\ \sum_n q_2(n) \log\frac{q_2(n)}{p_2(n)},"
            r"\ \int q_3(z) \log\frac{q_3(z)}{p_3(z)}\,dz"
        ),
        why="a waiting time, a count, a share",
    )
    .eq(
        tex(
            r"\log\frac{r_q}{r_p} + (r_p - r_q)\,\mathbb{E}_{q_1}[x],"
            r"\ \log\frac{\lambda_q}{\lambda_p}\,\mathbb{E}_{q_2}[n] - \lambda_q + \lambda_p,"
            r"\ \log\frac{\mathrm{B}(a_p, b_p)}{\mathrm{B}(a_q, b_q)} + (a_q - a_p)\,\mathbb{E}_{q_3}[\log z]"
            r" + (b_q - b_p)\,\mathbb{E}_{q_3}[\log(1 - z)]"
        ),
        "insert the log-densities; n! cancels",
        why="each exponent holds one or two functions of the variable: their means are left",
    )
    .slip(
        "normalizers forgotten",
        tex(
            r"(r_p - r_q)\,\mathbb{E}_{q_1}[x],"
            r"\ \log\frac{\lambda_q}{\lambda_p}\,\mathbb{E}_{q_2}[n],"
            r"\ (a_q - a_p)\,\mathbb{E}_{q_3}[\log z] + (b_q - b_p)\,\mathbb{E}_{q_3}[\log(1 - z)]"
        ),
        "the normalizing constants were taken to cancel: n! does, the rest does not.",
    )
    .eq(
        tex(
            r"\log\frac{r_q}{r_p} + \frac{r_p}{r_q} - 1,"
            r"\ \lambda_q \log\frac{\lambda_q}{\lambda_p} - \lambda_q + \lambda_p,\ " + BETA
        ),
        "E[x] = 1/r, E[n] = λ, E[log z] = ψ(a) - ψ(a + b)",
        why="for the share 1 - z the same with b",
    )
    .slip(
        "Poisson like a table",
        tex(r"\log\frac{r_q}{r_p} + \frac{r_p}{r_q} - 1,\ \lambda_q \log\frac{\lambda_q}{\lambda_p},\ " + BETA),
        "the means were treated like probabilities: they do not sum to one, so their difference is left.",
    )
    .slip(
        "rates swapped",
        tex(
            r"\log\frac{r_p}{r_q} + \frac{r_q}{r_p} - 1,"
            r"\ \lambda_q \log\frac{\lambda_q}{\lambda_p} - \lambda_q + \lambda_p,\ " + BETA
        ),
        "q and p of the exponential law are swapped, or the rates were read as means.",
    )
    .slip(
        "Beta without the sum",
        tex(
            r"\log\frac{r_q}{r_p} + \frac{r_p}{r_q} - 1,"
            r"\ \lambda_q \log\frac{\lambda_q}{\lambda_p} - \lambda_q + \lambda_p,"
            r"\ \log\frac{\mathrm{B}(a_p, b_p)}{\mathrm{B}(a_q, b_q)} + (a_q - a_p)\,\psi(a_q)"
            r" + (b_q - b_p)\,\psi(b_q)"
        ),
        "the mean of log z was taken to be ψ(a): z is a share of the whole, and the whole takes ψ(a + b) away.",
    )
)


# ----------------------------------------------------------------------------- E20: a Gaussian against a Laplace prior


@dataclass(frozen=True)
class GaussianAndLaplace:
    """A Gaussian q and a Laplace p."""

    q: Normal
    p: Laplace

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> GaussianAndLaplace:
        pair = NormalPair.draw(rng, kind=kind)
        return cls(pair.q, Laplace(pair.p.loc, pair.p.scale))

    def scope(self) -> Scope:
        """q by mu and sigma, p by its peak m and its scale b; the line has an edge at m, or at mu if m is far away."""
        q, p = self.q, self.p
        low, high = (float(q.loc + sign * 12 * q.scale) for sign in (-1, 1))
        peak = float(p.loc)
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", p)},
            values={r"\mu": q.loc, r"\sigma": q.scale, "m": p.loc, "b": p.scale},
            maps={r"\Phi": Map(ndtr, ("t",))},
            spaces={"z": Pieces((low, peak if low < peak < high else float(q.loc), high), soft=True)},
        )


ENTROPY = r"-\tfrac12 \log 2\pi e\,\sigma^2 + \log 2b"

E20 = (
    derive(
        "E20",
        "KL of a Gaussian to a Laplace prior",
        GaussianAndLaplace.draw,
        assumptions="q = N(mu, sigma^2), p a Laplace law with peak m and scale b; Phi is the distribution function of N(0, 1)",
        source="D2 for a Laplace p; the mean of a folded Gaussian: Leone, Nelson and Nottingham 1961",
    )
    .start(tex(r"\int q(z) \log\frac{q(z)}{p(z)}\,dz"), why="a prior with a peak favors codes at its peak")
    .eq(
        tex(r"\mathbb{E}_q\left[\log 2b + \frac{|z - m|}{b}\right] - \tfrac12 \log 2\pi e\,\sigma^2"),
        "cross-entropy minus entropy (D3, D1)",
        why="only a mean distance is unknown",
        needs=r"$\sigma, b > 0$",
    )
    .slip(
        "entropy added",
        tex(r"\mathbb{E}_q\left[\log 2b + \frac{|z - m|}{b}\right] + \tfrac12 \log 2\pi e\,\sigma^2"),
        "the entropy was added: a broad q costs less.",
    )
    .eq(
        tex(
            ENTROPY + r" + \frac1b \left[\sigma \sqrt{\tfrac{2}{\pi}}\,e^{-d^2 / 2\sigma^2}"
            r" + d\,\left(1 - 2\,\Phi\left(-\tfrac{d}{\sigma}\right)\right)\right],\quad d = \mu - m"
        ),
        "mean of a folded Gaussian, by pieces",
        why="no expectation is left",
    )
    .slip(
        "distance of the means",
        tex(ENTROPY + r" + \frac{|d|}{b},\quad d = \mu - m"),
        "the mean of q was put in for z: z is further away than its mean, on average.",
    )
    .slip(
        "as if centered",
        tex(ENTROPY + r" + \frac1b\,\sigma \sqrt{\tfrac{2}{\pi}}"),
        "q was taken to be centered at the peak: there the mean distance is σ √(2/π).",
    )
    .slip(
        "no normalizer of p",
        tex(
            r"-\tfrac12 \log 2\pi e\,\sigma^2 + \frac1b \left[\sigma \sqrt{\tfrac{2}{\pi}}\,e^{-d^2 / 2\sigma^2}"
            r" + d\,\left(1 - 2\,\Phi\left(-\tfrac{d}{\sigma}\right)\right)\right],\quad d = \mu - m"
        ),
        "log 2b is missing: the normalizer of the prior belongs to the KL.",
    )
    .slip(
        "squares as for a Gaussian prior",
        tex(ENTROPY + r" + \frac{\sigma^2 + d^2}{2 b^2},\quad d = \mu - m"),
        "the prior was taken for a Gaussian: the log-density of a Laplace law falls with the distance.",
    )
    .eq(given(KL(q, p), lambda w: kl_divergence(w.q, w.p)), "the package's kl_divergence(q, p)")
    .slip(
        "swapped in the call",
        given(KL(p, q), lambda w: kl_divergence(w.p, w.q)),
        "the arguments are swapped: kl_divergence(q, p) averages under q.",
    )
)


# ------------------------------------------------------------------------------------------- B9: evidence of a count


@dataclass(frozen=True)
class Count:
    """A count x that is Poisson with mean z, a Gamma prior of z, and seven values of z."""

    prior: Gamma
    x: int
    z: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Count:
        a = rng.choice([0.7, 2.4]) * np.exp(rng.uniform(-0.2, 0.4))
        factor = {"narrow": 8.0, "wide": 0.2}.get(kind, 1.0)
        x = int(rng.integers(9, 14)) if kind == "far" else int(rng.integers(1, 7))
        return cls(Gamma(a * max(factor, 1.0), factor * generic_scale(rng)), x, np.exp(rng.uniform(-1.5, 2.5, 7)))

    @property
    def posterior(self) -> Gamma:
        return Gamma(self.prior.concentration + self.x, self.prior.rate + 1)

    def scope(self) -> Scope:
        """p(z), p(x | z), and r, the Gamma law with x more and 1 more."""
        prior = self.prior
        return Scope(
            worlds={"p": Either(Law("z", prior), Conditional("x", ("z",), Poisson)), "r": Law("z", self.posterior)},
            observed={"x": self.x},
            values={"a": prior.concentration, "b": prior.rate, "z": self.z},
            maps=GAMMA_FUNCTIONS,
            spaces={"z": HalfLine()},
        )


B9 = (
    derive(
        "B9",
        "evidence of a count: Gamma prior, Poisson likelihood",
        Count.draw,
        assumptions="p(x|z) Poisson with mean z, p(z) = Gamma(a, b) with the rate b; x = 0, 1, 2, ...",
        source="Gelman et al. 2013, section 2.6",
    )
    .start(
        tex(r"\log \int_0^\infty p(x \mid z)\,p(z)\,dz"),
        why="sum rule; one of the few evidences that are known without Gaussians",
    )
    .eq(
        tex(r"\log\left[\frac{b^a}{\Gamma(a)\,x!} \int_0^\infty e^{(a + x - 1) \log z - (b + 1)\,z}\,dz\right]"),
        "insert both; exponents add up",
        why="the integrand has the shape of a Gamma density again",
        needs="a, b > 0",
    )
    .slip(
        "x! forgotten",
        tex(r"\log\left[\frac{b^a}{\Gamma(a)} \int_0^\infty e^{(a + x - 1) \log z - (b + 1)\,z}\,dz\right]"),
        "x! is missing: without it the Poisson probabilities do not sum to one.",
    )
    .slip(
        "likelihood's exponential forgotten",
        tex(r"\log\left[\frac{b^a}{\Gamma(a)\,x!} \int_0^\infty e^{(a + x - 1) \log z - b z}\,dz\right]"),
        "the e^-z of the likelihood is missing: it makes the rate b + 1.",
    )
    .eq(
        tex(r"\log\left[\frac{\Gamma(a + x)}{\Gamma(a)\,x!}\,\frac{b^a}{(b + 1)^{a + x}}\right]"),
        "the integral is Γ(a + x) over (b + 1) to the a + x",
        why="no integral is left: a negative binomial law of x",
    )
    .slip(
        "rate not updated",
        tex(r"\log\left[\frac{\Gamma(a + x)}{\Gamma(a)\,x!}\,\frac{b^a}{b^{a + x}}\right]"),
        "the rate of the integrand is b + 1, not b.",
    )
    .slip(
        "scale for rate",
        tex(r"\log\left[\frac{\Gamma(a + x)}{\Gamma(a)\,x!}\,\frac{b^x}{(b + 1)^{a + x}}\right]"),
        "b was read as a scale: then 1/b belongs in its place.",
    )
    .slip(
        "mean put in for z",
        tex(r"\log\left[\frac{(a / b)^x\,e^{-a / b}}{x!}\right]"),
        "the prior mean was put in for z: that forgets that z is uncertain, and x varies less.",
    )
    .eq(
        tex(r"\log p(x \mid z) + \log p(z) - \log r(z) \quad \forall z"),
        "A5; r = Gamma(a + x, b + 1) is the posterior",
        why="likelihood, prior and posterior by the package, at every z",
    )
    .slip(
        "posterior forgotten",
        tex(r"\log p(x \mid z) + \log p(z) \quad \forall z"),
        "the posterior is missing: the joint density depends on z, the evidence does not.",
    )
)

CHAPTER = (B9, E17, E18, E19, E20)
