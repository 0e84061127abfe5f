r"""Chapter C, continued: KL between laws that are nearly equal, and in families with natural parameters.

Jensen's gap (C3) and KL itself (C14) are quadratic for small differences; in an exponential family KL is what a tangent
leaves out (C19), and splits at the law with the right moments (C18).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Bernoulli, Exponential, Normal, kl_divergence
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import States
from vaelib.formula.worlds import Law, Table
from vaelib.ledger.c_geometry import MixtureAndGaussians
from vaelib.witnesses import NormalPair, away_from_zero, generic_probabilities, generic_scale

Array = np.ndarray
Rng = np.random.Generator

LIMIT = 0.05  # a limit is judged by how its error shrinks, not by its size


# ------------------------------------------------------------------------------------------- C3: a small Jensen gap


@dataclass(frozen=True)
class Spread:
    """Numbers g_i with probabilities pi_i, five of them; the weights are w_i = e^(h g_i) for a small h."""

    probability: Array
    g: Array

    @classmethod
    def draw(cls, rng: Rng) -> Spread:
        """The third central moment is not near 0: it is the next term."""
        while True:
            w = cls(
                generic_probabilities(rng, (5,)), away_from_zero(rng, 0.4, 1.6, (5,)) + away_from_zero(rng, 0.4, 0.8)
            )
            if abs(w.probability @ (w.g - w.probability @ w.g) ** 3) > 0.2:
                return w

    def at(self, step: float) -> Scope:
        """What the names mean for h = step."""
        w = np.exp(step * self.g)
        tilted = self.probability * w / (self.probability @ w)
        return Scope(
            worlds={r"\pi": Table(("i",), self.probability), r"\rho": Table(("i",), tilted)},
            maps={"g": Map(lambda i: self.g[i], of=("i",)), "w": Map(lambda i: w[i], of=("i",))},
            values={"h": step},
            laws={"": r"\pi"},
        )

    def scope(self) -> Scope:
        """That of h = 1."""
        return self.at(1.0)


C3 = (
    derive(
        "C3",
        "what Jensen loses is half a variance, if the spread is small",
        Spread.draw,
        assumptions="w = e^(h g) with h small; g has a finite third moment",
        source="Taylor series; the cumulants of log w",
    )
    .start(
        tex(r"\frac{1}{h^2} \left(\log \mathbb{E}[w] - \mathbb{E}[\log w]\right)"),
        why="the loss (C2), magnified: for small h the weights are nearly equal",
        step=1 / 64,
        order=1,
        resolution=LIMIT,
    )
    .eq(
        tex(r"\frac{1}{h^2}\,\mathrm{KL}(\pi \,\Vert\, \rho)"),
        "what Jensen loses is a KL (C2)",
        exact=True,
        why="ρ is π, weighted by w: the two are nearly equal (C14)",
        step=1 / 64,
        order=1,
        resolution=LIMIT,
    )
    .slip(
        "sign turned",
        tex(r"-\frac{1}{h^2}\,\mathrm{KL}(\pi \,\Vert\, \rho)"),
        "the sign is turned: log of the mean is above the mean of log.",
    )
    .eq(
        tex(r"\frac{1}{2 h^2}\,\mathrm{Var}_\pi(\log w)"),
        "second order of log E and of exp; the first cancels",
        why="the variance of log w is easily watched while a model trains",
        needs="h small: the difference must halve with h",
        step=1 / 64,
        order=1,
        resolution=LIMIT,
    )
    .slip(
        "no 1/2",
        tex(r"\frac{1}{h^2}\,\mathrm{Var}_\pi(\log w)"),
        "the 1/2 of the quadratic term was lost.",
    )
    .slip(
        "standard deviation",
        tex(r"\frac{1}{2 h^2} \sqrt{\mathrm{Var}_\pi(\log w)}"),
        "a standard deviation was taken for the variance: then the loss would fall with h only, not with its square.",
    )
    .slip(
        "not centered",
        tex(r"\frac{1}{2 h^2}\,\mathbb{E}[(\log w)^2]"),
        "the mean square was taken for the variance: a constant factor in w costs Jensen nothing.",
    )
    .eq(
        tex(r"\tfrac12\,\mathrm{Var}_\pi(g)"),
        "log w = h g: the variance has the factor h²",
        exact=True,
        why="h is gone: this is the limit",
    )
    .slip(
        "no loss",
        tex("0"),
        "the loss was taken to vanish in first order and left at that: divided by the square of h it has a limit.",
    )
)


# ----------------------------------------------------------------------------------------- C14: Fisher information


@dataclass(frozen=True)
class Step:
    """A Gaussian p, and a direction (a, b) in which its mean and its scale are moved."""

    p: Normal
    a: float
    b: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Step:
        law = NormalPair.draw(rng, kind=kind).q
        a, b = (law.scale * away_from_zero(rng, 0.4, 1.2) for _ in range(2))
        return cls(law, float(a), float(b))

    def moved(self, step: float) -> Normal:
        return Normal(self.p.loc + step * self.a, self.p.scale + step * self.b)

    def at(self, step: float) -> Scope:
        """What the names mean for h = step; p_h is the law that was moved."""
        values = {r"\mu": self.p.loc, r"\sigma": self.p.scale, "a": self.a, "b": self.b, "h": step}
        return Scope(worlds={"p": Law("z", self.p), "p_h": Law("z", self.moved(step))}, values=values)

    def scope(self) -> Scope:
        """Without a step; p_h is p."""
        return self.at(0.0)


C14 = (
    derive(
        "C14",
        "KL of a small step is half the square of the step, measured by Fisher's information",
        Step.draw,
        assumptions="p = N(mu, sigma^2), p_h = N(mu + h a, (sigma + h b)^2), h small",
        source="Kullback 1959, section 2.6; Amari 1998",
    )
    .start(
        tex(r"\frac{1}{h^2}\,\mathbb{E}_p\left[\log\frac{p(z)}{p_h(z)}\right]"),
        why="how far a small step in the parameters takes the law",
        step=1 / 512,
        order=1,
        resolution=LIMIT,
    )
    .eq(
        given(
            r"\tfrac{1}{h^2}\,\mathrm{KL}(p \,\Vert\, p_h) \text{ as computed by } \mathtt{kl\_divergence}",
            lambda w, h: kl_divergence(w.p, w.moved(h)) / h**2,
        ),
        "definition of KL, as computed by the package",
        exact=True,
        step=1 / 512,
        order=1,
        resolution=LIMIT,
    )
    .eq(
        tex(
            r"-\tfrac12\,\mathbb{E}_p\left[-\frac{a^2}{\sigma^2} - \frac{4 a b u}{\sigma^2}"
            r" + \frac{b^2 (1 - 3 u^2)}{\sigma^2}\right],\quad u = \frac{z - \mu}{\sigma}"
        ),
        "second order in h; the first averages to 0",
        why="half the mean curvature of log p along (a, b)",
        needs="a score with mean 0 (H3)",
    )
    .slip(
        "no 1/2",
        tex(
            r"-\mathbb{E}_p\left[-\frac{a^2}{\sigma^2} - \frac{4 a b u}{\sigma^2}"
            r" + \frac{b^2 (1 - 3 u^2)}{\sigma^2}\right],\quad u = \frac{z - \mu}{\sigma}"
        ),
        "the 1/2 of the quadratic term was lost.",
    )
    .eq(
        tex(
            r"\tfrac12\,\mathbb{E}_p\left[\left(\frac{a u}{\sigma} + \frac{b\,(u^2 - 1)}{\sigma}\right)^2\right],"
            r"\quad u = \frac{z - \mu}{\sigma}"
        ),
        "mean curvature = minus the mean square of the score (H3)",
        why="so it is never negative: the score along (a, b), squared",
    )
    .slip(
        "score not centered",
        tex(
            r"\tfrac12\,\mathbb{E}_p\left[\left(\frac{a u}{\sigma} + \frac{b\,u^2}{\sigma}\right)^2\right],"
            r"\quad u = \frac{z - \mu}{\sigma}"
        ),
        "the normalizer was not differentiated: the derivative of -log σ makes it u² - 1.",
    )
    .eq(
        tex(r"\tfrac12 \left(\frac{a^2}{\sigma^2} + \frac{2 b^2}{\sigma^2}\right)"),
        "E[u²] = 1, E[(u² - 1)²] = 2; the odd moments are 0",
        why="a step counts in units of σ; one of σ itself counts twice",
    )
    .slip(
        "scale like the mean",
        tex(r"\tfrac12 \left(\frac{a^2}{\sigma^2} + \frac{b^2}{\sigma^2}\right)"),
        "the scale was given the information of the mean: it is 2 / σ², since u² - 1 has the variance 2.",
    )
    .slip(
        "information of the variance",
        tex(r"\tfrac12 \left(\frac{a^2}{\sigma^2} + \frac{b^2}{2 \sigma^4}\right)"),
        "1 / (2 σ⁴) belongs to a step of the variance: this is one of the scale.",
    )
    .slip(
        "plain distance",
        tex(r"\tfrac12 \left(a^2 + b^2\right)"),
        "the step was measured without σ: what is a large step depends on how broad the law is.",
    )
)


# --------------------------------------------------------------------------------- C18: Pythagoras, at the right moments


C18 = (
    derive(
        "C18",
        "Pythagoras: KL splits at the Gaussian with the right moments",
        MixtureAndGaussians.draw,
        assumptions="p has a variance; p* is the Gaussian with mean m and variance v of p; q any Gaussian, here six",
        source="Csiszar 1975; Amari and Nagaoka 2000, chapter 3",
    )
    .start(
        tex(r"\int p(z) \log\frac{p(z)}{q_j(z)}\,dz \quad \forall j"),
        why="from p to q, two things differ: the shape, and the moments",
    )
    .eq(
        tex(r"\mathbb{E}_p\left[\log\frac{p(z)}{p^*(z)}\right] + \mathbb{E}_p\left[\log\frac{p^*(z)}{q_j(z)}\right]"),
        "insert p* above and below",
        why="a stop on the way: no Gaussian is nearer to p (C17)",
    )
    .eq(
        tex(
            r"\mathrm{KL}(p \,\Vert\, p^*)"
            r" + \mathbb{E}_{p^*}\left[\log\frac{p^*(z)}{q_j(z)}\right]"
        ),
        "log p*/q is quadratic in z: p and p* give it one mean",
        why="the second average moves to p*, and becomes a KL, too",
        needs="mean and variance of p* are those of p",
    )
    .slip(
        "heavier mode for p*",
        tex(r"\mathrm{KL}(p \,\Vert\, N(a_1, s_1^2)) + \mathrm{KL}(N(a_1, s_1^2) \,\Vert\, q_j)"),
        "any Gaussian was taken for a stop: KL splits only at the one with the moments of p.",
    )
    .slip(
        "mean alone matched",
        tex(r"\mathrm{KL}(p \,\Vert\, N(m, \sum_i w_i s_i^2)) + \mathrm{KL}(N(m, \sum_i w_i s_i^2) \,\Vert\, q_j)"),
        "only the mean was matched: the distance between the modes is part of the variance.",
    )
    .eq(
        tex(r"\mathrm{KL}(p \,\Vert\, p^*) + \mathrm{KL}(p^* \,\Vert\, q_j)"),
        "definition of KL",
        why="like squares at a right angle; compare the detours of C5",
    )
    .slip(
        "second KL swapped",
        tex(r"\mathrm{KL}(p \,\Vert\, p^*) + \mathrm{KL}(q_j \,\Vert\, p^*)"),
        "p* and q are swapped: the average was under p, so p* comes first.",
    )
    .eq(
        tex(
            r"\mathrm{KL}(p \,\Vert\, p^*)"
            r" + \log\frac{\sigma_j}{\sqrt{v}} + \frac{v + (m - \mu_j)^2}{2 \sigma_j^2} - \tfrac12"
        ),
        "E1 for the second part",
        why="the shape of p costs the same for every q",
    )
    .slip(
        "shape forgotten",
        tex(r"\log\frac{\sigma_j}{\sqrt{v}} + \frac{v + (m - \mu_j)^2}{2 \sigma_j^2} - \tfrac12"),
        "p was taken for a Gaussian: what its shape costs, KL(p || p*), is missing.",
    )
)


# -------------------------------------------------------------------------------------- C19: a Bregman divergence


@dataclass(frozen=True)
class NaturalPair:
    """Two natural parameters each for a coin, an exponential law and a Gaussian of width 1."""

    coin: Array  # (2,): log-odds of q, of p
    waiting: Array  # minus the rates
    mean: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> NaturalPair:
        first = np.array(
            [float(away_from_zero(rng, 0.4, 2.0)), -float(generic_scale(rng)), away_from_zero(rng, 0.3, 1.5)]
        )
        gaps = away_from_zero(rng, 0.4, 1.5, (3,)) * {"near": 0.05, "far": 3.0}.get(kind, 1.0)
        second = np.array([first[0] + gaps[0], first[1] * np.exp(gaps[1]), first[2] + gaps[2]])
        return cls(*np.stack([first, second], axis=-1))

    @property
    def laws(self) -> list[tuple[Any, Any]]:
        """(q, p) of each family."""
        coin, waiting, mean = (tuple(pair) for pair in (self.coin, self.waiting, self.mean))
        return [
            (Bernoulli(coin[0]), Bernoulli(coin[1])),
            (Exponential(-waiting[0]), Exponential(-waiting[1])),
            (Normal(mean[0], 1.0), Normal(mean[1], 1.0)),
        ]

    def members(self) -> list[Scope]:
        """q with eta, p with eta'; A and its first two derivatives."""
        spaces: list[dict[str, Any]] = [{"z": States(np.array([0.0, 1.0]))}, {}, {}]
        pairs = zip(self.laws, (self.coin, self.waiting, self.mean), LOG_NORMALIZERS, spaces, strict=True)
        return [
            Scope(
                worlds={"q": Law("z", q), "p": Law("z", p)},
                values={r"\eta": eta[0], r"\eta'": eta[1]},
                maps={"A" + "'" * order: Map(f, ("t",)) for order, f in enumerate(functions)},
                spaces=space,
            )
            for (q, p), eta, functions, space in pairs
        ]


LOG_NORMALIZERS: list[tuple[Callable[[Array], Array], ...]] = [  # A, A' and A''
    (lambda t: np.logaddexp(0.0, t), expit, lambda t: expit(t) * expit(-t)),
    (lambda t: -np.log(-t), lambda t: -1 / t, lambda t: 1 / t**2),
    (lambda t: t**2 / 2, lambda t: t, np.ones_like),
]


C19 = (
    derive(
        "C19",
        "in an exponential family, KL is what the tangent leaves out",
        NaturalPair.draw,
        assumptions="log q(z) = eta z - A(eta) + a function of z, and p with eta'; here a coin, an exponential law, a Gaussian of width 1",
        source="Wainwright and Jordan 2008, section 5.2.2; Banerjee et al. 2005",
    )
    .start(tex(r"\mathbb{E}_q\left[\log\frac{q(z)}{p(z)}\right]"), why="one derivation for many families")
    .eq(
        tex(r"(\eta - \eta')\,\mathbb{E}_q[z] - A(\eta) + A(\eta')"),
        "insert both; what depends on z alone cancels",
        why="one mean is left, whatever the family",
        needs="q and p from one family",
    )
    .slip(
        "signs of A",
        tex(r"(\eta - \eta')\,\mathbb{E}_q[z] + A(\eta) - A(\eta')"),
        "the two A have each other's sign: A is subtracted in log q, and log p is subtracted.",
    )
    .eq(
        tex(r"A(\eta') - A(\eta) - (\eta' - \eta)\,A'(\eta)"),
        "the mean is the slope of A: differentiate ∫ q = 1",
        why="A at the other end, less the tangent from this end",
    )
    .slip(
        "tangent from the other end",
        tex(r"A(\eta) - A(\eta') - (\eta - \eta')\,A'(\eta')"),
        "the tangent was laid at the parameter of p: that is KL(p || q).",
    )
    .slip(
        "slope at the wrong end",
        tex(r"A(\eta') - A(\eta) - (\eta' - \eta)\,A'(\eta')"),
        "the slope was taken where p is: the mean is under q.",
    )
    .slip(
        "plus the tangent",
        tex(r"A(\eta') - A(\eta) + (\eta' - \eta)\,A'(\eta)"),
        "the linear part was added: KL is what is left once it is taken away.",
    )
    .eq(
        tex(r"\int_{\eta}^{\eta'} (\eta' - t)\,A''(t)\,dt"),
        "remainder of the Taylor series",
        why="A'' is the variance of z: never negative, so neither is KL (C1)",
        needs="A is defined between the two",
    )
    .slip(
        "curvature of one end",
        tex(r"\tfrac12\,(\eta' - \eta)^2 A''(\eta)"),
        "the curvature was taken to be constant: that is right for Gaussians of one width, and for small steps (C14).",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: np.array([float(kl_divergence(q, p)) for q, p in w.laws]),
        ),
        "the package's kl_divergence(q, p), in each family",
    )
)

CHAPTER = (C3, C14, C18, C19)
