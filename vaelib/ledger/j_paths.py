r"""Chapter J, continued: bounds of other orders, and the path from q to the posterior.

Rényi's bounds (J11) and the bound from above by squared weights (J12); log p(x) as an integral along a path (J15), and as
sums that lie on either side of it (J16). All on a table, so that every mean is a sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vaelib.derivation import GENERIC, Derivation, derive
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import Interval, States
from vaelib.formula.typed import from_zero
from vaelib.ledger.j_importance import DRAWN, Unnormalized, Weighted, log_weights, states
from vaelib.quadrature import gauss_legendre
from vaelib.witnesses import DiscreteWitness

Array = np.ndarray
Rng = np.random.Generator


def exact(w: Weighted) -> Weighted:
    """The same model, with the posterior as q."""
    return replace(w, q=w.model.posterior(w.x))


# ---------------------------------------------------------------------------------------------- Rényi's bounds, J11


@dataclass(frozen=True)
class Orders(Weighted):
    """With two orders alpha < beta between 0 and 1."""

    alpha: float = 0.3
    beta: float = 0.7

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3, *, kind: str = GENERIC) -> Orders:
        w = Weighted.draw(rng, num_states, num_values, kind=kind)
        return cls(w.model, w.x, w.q, rng.uniform(0.15, 0.45), rng.uniform(0.55, 0.85))

    @classmethod
    def equal_weights(cls, rng: Rng) -> Orders:
        """q is the posterior."""
        w = cls.draw(rng)
        return replace(w, q=w.model.posterior(w.x))

    def at(self, step: float) -> Scope:
        """h = step."""
        plain = super().at(1 / 4)
        return replace(plain, values={**plain.values, r"\alpha": self.alpha, r"\beta": self.beta, "h": step})


def of_order(order: str) -> str:
    """The bound of this order, in LaTeX."""
    return rf"\frac{{1}}{{1 - {order}}} \log \mathbb{{E}}_{{q}}\left[w^{{1 - {order}}}\right]"


def renyi(order: str) -> str:
    """Rényi's divergence of this order from the posterior to q, in LaTeX."""
    return rf"\frac{{1}}{{{order} - 1}} \log \sum_z q(z)^{{{order}}}\,p(z \mid x)^{{1 - {order}}}"


SMALLER, LARGER = renyi(r"\alpha"), renyi(r"\beta")

J11 = (
    derive(
        "J11",
        "Rényi's bounds: between the evidence and the ELBO",
        Orders.draw,
        assumptions="q(z) > 0 wherever p(x,z) > 0; w = p(x,z) / q(z); orders 0 < alpha < beta < 1",
        source="Li and Turner 2016, theorem 1; van Erven and Harremoës 2014, theorem 3",
    )
    .start(tex(r"\log \mathbb{E}_{q}\left[w\right]"), why="the evidence (J1); this is the bound of order 0")
    .ge(
        tex(of_order(r"\alpha")),
        "Jensen: u^(1-alpha) is concave",
        why="the mean of a power lies below the power of the mean",
        needs="0 < alpha < 1",
        gap=tex(SMALLER),
        equality=Orders.equal_weights,
    )
    .slip(
        "factor forgotten",
        tex(r"\log \mathbb{E}_{q}\left[w^{1 - \alpha}\right]"),
        "1/(1 - alpha) is missing: it takes the power back.",
    )
    .slip(
        "power alpha",
        tex(r"\frac{1}{1 - \alpha} \log \mathbb{E}_{q}\left[w^{\alpha}\right]"),
        "the weights were raised to alpha: order 0 must give the weights themselves, so 1 - alpha.",
    )
    .slip(
        "nothing lost",
        says="a power and a mean were swapped: that is right only where all weights are equal.",
        relation="=",
    )
    .ge(
        tex(of_order(r"\beta")),
        "Jensen again: a higher order bends more",
        why="the larger the order, the lower the bound",
        needs="alpha < beta < 1",
        gap=tex(f"{LARGER} - {SMALLER}"),
    )
    .slip(
        "rising with the order",
        says="the bound was taken to rise with its order: it falls from the evidence to the ELBO.",
        relation="<=",
    )
    .ge(
        tex(r"\mathbb{E}_{q}\left[\log w\right]"),
        "Jensen once more: the logarithm bends most",
        why="the ELBO, the bound of order 1",
        gap=tex(rf"\mathrm{{KL}}(q \,\Vert\, p(z \mid x)) - {LARGER}"),
    )
    .slip(
        "below the ELBO",
        says="orders below 1 were taken to lie below the ELBO: they lie above it.",
        relation="<=",
    )
    .eq(
        tex(r"\frac1h \log \mathbb{E}_{q}\left[w^h\right]"),
        "the limit: order 1 - h with a small h",
        why="log E[1 + h log w + ...] is h E[log w] to first order",
        step=1 / 256,
        order=1,
        resolution=0.05,
    )
    .slip(
        "limit not magnified",
        tex(r"\log \mathbb{E}_{q}\left[w^h\right]"),
        "the factor 1/h was left out: what is left goes to 0.",
    )
    .slip(
        "mean under the posterior",
        tex(r"\frac1h \log \mathbb{E}_{p(z \mid x)}\left[w^h\right]"),
        "the mean was taken under the posterior: the draws are from q.",
    )
)


# ------------------------------------------------------------------------------------------ squared weights, J12


SECOND = r"\sum_z \frac{p(z \mid x)^2}{q(z)}"
SQUARES = r"\mathbb{E}_{q^{(K)}}\left[\tfrac12 \log \left(\tfrac1K \sum_{k=1}^K w_k^2\right)\right]"
WEIGHTS = r",\quad w_k = \frac{p(x, z_k)}{q(z_k)},\quad K = 3"

J12 = (
    derive(
        "J12",
        "squared weights bound the evidence from above, their samples need not",
        Weighted.draw,
        assumptions=DRAWN + "; E[w^2] finite, for which q needs heavy tails",
        source="Dieng et al. 2017",
    )
    .start(
        tex(SQUARES + WEIGHTS),
        why="what K draws report; here K = 3",
    )
    .le(
        tex(r"\tfrac12 \log \mathbb{E}_{q}\left[w^2\right]"),
        "Jensen: the mean over draws goes inside the logarithm",
        why="CUBO; with few draws the report is too small, and may fall below log p(x)",
        gap=tex(
            r"-\mathbb{E}_{q^{(K)}}\left[\tfrac12 \log \frac{\tfrac1K \sum_{k=1}^K w_k^2}{\mathbb{E}_{q}[w^2]}\right]"
            + WEIGHTS
        ),
    )
    .slip(
        "report without bias",
        says="the logarithm of a sample mean was taken to be right on average: it is too small.",
        relation="=",
    )
    .slip(
        "report on the safe side",
        says="the report was taken to lie above what it estimates: its bias points down, towards log p(x).",
        relation=">=",
    )
    .slip(
        "no 1/2",
        tex(r"\log \mathbb{E}_{q}\left[w^2\right]"),
        "the 1/2 is missing: the square is taken back by a root.",
    )
    .eq(
        tex(rf"\log p(x) + \tfrac12 \log {SECOND}"),
        "Bayes' rule: w = p(x) p(z|x) / q(z)",
        why="log p(x) comes out",
        needs="p(x) > 0",
    )
    .slip(
        "ratio turned around",
        tex(r"\log p(x) + \tfrac12 \log \sum_z \frac{q(z)^2}{p(z \mid x)}"),
        "q and the posterior are swapped: the draws are from q, so q is below.",
    )
    .eq(
        tex(r"\log p(x) + \tfrac12 \log\left(1 + \chi^2(p(z \mid x) \,\Vert\, q)\right)"),
        "definition of the chi-square divergence",
        why="so it is made small by a q that covers the posterior",
    )
    .slip(
        "KL for chi-square",
        tex(r"\log p(x) + \tfrac12 \mathrm{KL}(p(z \mid x) \,\Vert\, q)"),
        "the mean of log w was taken for the log of the mean square.",
    )
    .slip(
        "sign turned",
        tex(r"\log p(x) - \tfrac12 \log\left(1 + \chi^2(p(z \mid x) \,\Vert\, q)\right)"),
        "the gap was subtracted: squaring favours large weights, so this bound is from above.",
    )
    .ge(
        tex(r"\log p(x)"),
        "chi-square is never negative",
        why="a ceiling; with the ELBO below, log p(x) lies between two numbers",
        gap=tex(r"\tfrac12 \log\left(1 + \chi^2(p(z \mid x) \,\Vert\, q)\right)"),
        equality=lambda rng: exact(Weighted.draw(rng)),
    )
    .slip("a lower bound", says="CUBO was taken for a lower bound.", relation="<=")
)


# ------------------------------------------------------------------- from the prior to the posterior, step by step: J15


@dataclass(frozen=True)
class Heated(DiscreteWitness):
    """A table and an observation; t runs from 0, the prior, to 1, the posterior."""

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3, *, kind: str = GENERIC) -> Heated:
        w = DiscreteWitness.draw(rng, num_states, num_values, kind=kind)
        return cls(w.model, w.x, w.q)

    def scope(self) -> Scope:
        return replace(super().scope(), spaces={"t": Interval(0.0, 1.0, hard_low=True, hard_high=True)})


def mean_along_the_path(w: Heated) -> Estimate:
    """The same integral, by nodes of Gauss and Legendre and the package's densities."""
    log_prior, log_likelihood = w.model.log_prior(states(w)), w.model.log_likelihood(w.x, states(w))

    def mean(t: Array) -> Array:
        law = np.exp(log_prior + np.multiply.outer(t, log_likelihood))
        return (law @ log_likelihood) / law.sum(axis=-1)

    return gauss_legendre(mean, 0.0, 1.0, 1, 16)


MIXED = r"p(z)\,p(x \mid z)^t"
BETWEEN = rf",\quad r(z) = \frac{{{MIXED}}}{{\sum_{{z'}} p(z')\,p(x \mid z')^t}}"

J15 = (
    derive(
        "J15",
        "the evidence as an integral from the prior to the posterior",
        Heated.draw,
        assumptions="p(x|z) > 0; r is the law between prior (t = 0) and posterior (t = 1), proportional to p(z) p(x|z)^t",
        source="Gelman and Meng 1998; Lartillot and Philippe 2006",
    )
    .start(tex(r"\log p(x)"), why="the logarithm of a normalizer")
    .eq(
        tex(r"\log \sum_z p(z)\,p(x \mid z) - \log \sum_z p(z)"),
        "sum rule; the second logarithm is 0",
        why="one expression at t = 1 and at t = 0",
    )
    .eq(
        tex(rf"\int_0^1 \frac{{d}}{{dt}} \log \sum_z {MIXED}\,dt"),
        "a difference is the integral of a slope",
        why="a path from one normalizer to the other",
        needs="p(x|z) > 0",
    )
    .slip(
        "power outside the sum",
        tex(r"\int_0^1 \frac{d}{dt} \log \sum_z p(z)^t\,p(x \mid z)^t\,dt"),
        "the prior was raised to the power, too: then t = 0 is not the prior but counts the states.",
    )
    .eq(
        tex(rf"\int_0^1 \sum_z r(z)\,\log p(x \mid z)\,dt{BETWEEN}"),
        "chain rule: the slope of a log-normalizer is a mean",
        why="no normalizer in it: draws from r are enough",
    )
    .slip(
        "prior all the way",
        tex(r"\mathbb{E}_{p(z)}\left[\log p(x \mid z)\right]"),
        "the mean was taken under the prior alone: that is too small.",
    )
    .slip(
        "posterior all the way",
        tex(r"\mathbb{E}_{p(z \mid x)}\left[\log p(x \mid z)\right]"),
        "the mean was taken under the posterior alone: that leaves out the KL to the prior.",
    )
    .slip(
        "ends averaged",
        tex(
            r"\tfrac12 \mathbb{E}_{p(z)}\left[\log p(x \mid z)\right] + \tfrac12 \mathbb{E}_{p(z \mid x)}\left[\log p(x \mid z)\right]"
        ),
        "the two ends were averaged: the mean does not rise along a straight line, but steeply at first.",
    )
    .slip(
        "temperature counted twice",
        tex(rf"\int_0^1 \sum_z r(z)\,t \log p(x \mid z)\,dt{BETWEEN}"),
        "t was multiplied once more: the slope of t log p(x|z) in t has no t.",
    )
    .eq(
        given(
            r"\int_0^1 \mathbb{E}_{r}\left[\log p(x \mid z)\right] dt \text{ by 16 nodes, densities by the package}",
            mean_along_the_path,
        ),
        "as it is computed: a few temperatures, with weights",
    )
    .le(
        tex(r"\mathbb{E}_{p(z \mid x)}\left[\log p(x \mid z)\right]"),
        "the mean rises with t: its slope is a variance",
        why="most at t = 1, least at t = 0; from this J16 makes two bounds",
        gap=tex(r"\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))"),
    )
    .slip(
        "falling along the path",
        says="the mean was taken to fall on the way to the posterior: there log p(x|z) is largest.",
        relation=">=",
    )
)


# -------------------------------------------------------------------------------------------- sums on either side, J16


@dataclass(frozen=True)
class Stations(Weighted):
    """With T = 4 steps b_0 = 0 < b_1 < ... < b_T = 1 from q to the posterior."""

    b: Array = ()  # type: ignore[assignment]

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3, *, kind: str = GENERIC) -> Stations:
        w = Weighted.draw(rng, num_states, num_values, kind=kind)
        inner = (np.arange(1, 4) + rng.uniform(-0.35, 0.35, 3)) / 4
        return cls(w.model, w.x, w.q, np.concatenate([[0.0], inner, [1.0]]))

    def at(self, step: float) -> Scope:
        """b_t, and the laws of the path, proportional to q(z)^(1 - b_t) p(x, z)^(b_t)."""
        plain = super().at(step)
        log_f = self.q.log_prob(states(self)) + self.b[:, None] * log_weights(self)
        log_pi = log_f - np.logaddexp.reduce(log_f, axis=1, keepdims=True)
        return replace(
            plain,
            worlds={**plain.worlds, r"\pi_": lambda t: Unnormalized(log_pi, t + 1)},
            values={"b": from_zero(self.b), "T": len(self.b) - 1},
            spaces={**plain.spaces, "s": States.count(len(log_pi[0]))},
            definitions={"w": r"\frac{p(x, s)}{q(s)}"},
        )


def mean_at(station: str) -> str:
    """The mean of log w at a station, in LaTeX."""
    return rf"\mathbb{{E}}_{{\pi_{{{station}}}}}\left[\log w\right]"


STEP = r"(b_t - b_{t-1})"
LEFT_GAP = r"\sum_{t=1}^T \mathrm{KL}(\pi_{t-1} \,\Vert\, \pi_t)"
RIGHT_GAP = r"\sum_{t=1}^T \mathrm{KL}(\pi_t \,\Vert\, \pi_{t-1})"


def left_sum(station: str = "t-1") -> str:
    return rf"\sum_{{t=1}}^T {STEP}\,{mean_at(station)}"


J16 = (
    derive(
        "J16",
        "two sums with log p(x) between them",
        Stations.draw,
        assumptions="pi_t proportional to q^(1 - b_t) p(x,z)^(b_t), 0 = b_0 < ... < b_T = 1; w = p(x,z) / q(z)",
        source="Masrani, Le and Wood 2019",
    )
    .start(tex(mean_at("0")), why="the ELBO: all of the path at its lowest point")
    .le(
        tex(left_sum()),
        "the mean of log w rises along the path",
        why="each step is weighed where it begins",
        needs="b_t rising",
        gap=tex(rf"\sum_{{t=1}}^T {STEP}\,({mean_at('t-1')} - {mean_at('0')})"),
    )
    .slip(
        "never more than the ELBO",
        says="the left sum was taken to lie below the ELBO: with one step it is the ELBO, with more it is above.",
        relation=">=",
    )
    .eq(
        tex(rf"\log p(x) - {LEFT_GAP}"),
        "for each step, KL = log-normalizers less mean of log w",
        why="the log-normalizers telescope to log p(x)",
    )
    .slip(
        "one step lost",
        tex(r"\log p(x) - \sum_{t=2}^T \mathrm{KL}(\pi_{t-1} \,\Vert\, \pi_t)"),
        "the first step was left out, the one from q.",
    )
    .slip(
        "KL the other way",
        tex(rf"\log p(x) - {RIGHT_GAP}"),
        "the laws are swapped: what is weighed at the beginning is averaged there.",
    )
    .slip(
        "one KL for the whole path",
        tex(r"\log p(x) - \mathrm{KL}(\pi_0 \,\Vert\, \pi_T)"),
        "the gap of the ELBO was taken: short steps lose less than one long one.",
    )
    .le(
        tex(r"\log p(x)"),
        "KL is never negative",
        why="the lower side",
        gap=tex(LEFT_GAP),
        equality=lambda rng: exact(Stations.draw(rng)),
    )
    .slip(
        "left sum above",
        says="the left sum was taken for an upper bound: the mean rises, so it is weighed too low.",
        relation=">=",
    )
    .le(
        tex(rf"\log p(x) + {RIGHT_GAP}"),
        "KL is never negative",
        why="the upper side",
        gap=tex(RIGHT_GAP),
    )
    .eq(
        tex(left_sum("t")),
        "the same, averaged where each step ends",
        why="its last term needs draws from the posterior",
    )
    .slip(
        "weighed where the step begins",
        tex(left_sum()),
        "each step was weighed where it begins: that is the lower sum.",
    )
    .slip(
        "trapezoids",
        tex(rf"\sum_{{t=1}}^T {STEP}\,\tfrac12 ({mean_at('t-1')} + {mean_at('t')})"),
        "the two sums were averaged: that comes nearer to log p(x), but bounds nothing.",
    )
)

CHAPTER: tuple[Derivation, ...] = (J11, J12, J15, J16)
