r"""Chapter J, continued: what K weighted draws are good for beside the bound.

The law of the draw that is chosen by weight (J6), means by weights that sum to one (J7), the gradient of the model (J9),
and two ways to remove the bias of the bound: the jackknife (J17), and a random number of terms (J19).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammaln, softmax

from vaelib.derivation import GENERIC, Derivation, derive
from vaelib.elbo import importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.ledger.j_importance import (
    ASYMPTOTIC,
    DRAWN,
    Counts,
    Weighted,
    gap_of_the_rest,
    log_weights,
    relative_moments,
    relative_weights,
    three_states,
    tuples,
)
from vaelib.models import DiscreteLatent
from vaelib.witnesses import away_from_zero

Array = np.ndarray
Rng = np.random.Generator
LATE: dict[str, Any] = {"step": 1 / 32, "order": 1, "resolution": ASYMPTOTIC}
EPS = float(np.finfo(float).eps)

WEIGHTS = r"w_k = \frac{p(x, z_k)}{q(z_k)},\quad K = 3"
SHARES = r",\quad v_k = \frac{w_k}{\sum_{j=1}^K w_j},\quad " + WEIGHTS
CHOSEN = (
    r"c(s) = \mathbb{E}_{q^{(K)}}\left[\sum_{j=1}^K v_j\,\mathbb{1}[z_j = s]\right],\quad v_j = \frac{w_j}{\sum_{k=1}^K w_k},\quad "
    + WEIGHTS
)
BOUND = r"\mathbb{E}_{q^{(K)}}\left[\log \left(\tfrac1K \sum_{k=1}^K w_k\right)\right]"


# --------------------------------------------------------------------------------------------- the chosen draw, J6


J6 = (
    derive(
        "J6",
        "a draw chosen by weight is nearer to the posterior than the bound tells",
        Weighted.draw,
        assumptions=DRAWN + "; one of them is chosen with probability v_k; c is its law; here K = 3",
        source="Cremer, Morris and Duvenaud 2017; Domke and Sheldon 2018",
    )
    .start(
        tex(r"\sum_s c(s) \log \frac{c(s)}{p(s \mid x)},\quad " + CHOSEN),
        why="KL from the chosen draw to the posterior: K draws, then one of them by weight",
    )
    .le(
        tex(r"\mathrm{KL}(Q^{(3)} \,\Vert\, P^{(3)})"),
        "chain rule of KL (C6): all variables, not z_j alone",
        why="the others, and which one was chosen, add to it (J5)",
        gap=gap_of_the_rest,
    )
    .slip(
        "nothing added",
        says="the law of the chosen draw was taken for that of all K: the others differ, too.",
        relation="=",
    )
    .slip(
        "less for the whole",
        says="the KL of the whole was taken to be smaller than that of a part.",
        relation=">=",
    )
    .eq(
        tex(rf"\log p(x) - {BOUND},\quad {WEIGHTS}"),
        "J5: the gap of the bound with K weights",
        why="a number that a program can estimate",
        needs="q(z) > 0 wherever p(x,z) > 0",
    )
    .slip(
        "weights added",
        tex(r"\log p(x) - \mathbb{E}_{q^{(K)}}\left[\log \sum_{k=1}^K w_k\right],\quad " + WEIGHTS),
        "the weights were added, not averaged: log K is missing.",
    )
    .slip(
        "gap of the ELBO",
        tex(rf"\log p(x) - \mathbb{{E}}_{{q^{{(K)}}}}\left[\tfrac1K \sum_{{k=1}}^K \log w_k\right],\quad {WEIGHTS}"),
        "the logarithms were averaged: that is the gap of the ELBO, which K does not change.",
    )
    .le(
        tex(r"\mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        "J2: more weights, a smaller gap",
        why="so choosing by weight always helps, whatever K",
        gap=tex(
            r"\mathbb{E}_{q^{(K)}}\left[\tfrac1K \sum_{k=1}^K \log \frac{\sum_{j=1}^K w_j}{K w_k}\right],\quad "
            + WEIGHTS
        ),
        equality=lambda rng: at_posterior(Weighted.draw(rng)),
    )
    .slip(
        "choosing does not help",
        says="a draw chosen among K was taken to follow q: it follows the weights.",
        relation="=",
    )
    .slip("more draws, worse", says="the inequality is turned around.", relation=">=")
)


def at_posterior(w: Weighted) -> Weighted:
    return replace(w, q=w.model.posterior(w.x))


# -------------------------------------------------------------------------------- means by weights that sum to one, J7


@dataclass(frozen=True)
class Averaged(Weighted):
    """With a function f of the state, whose posterior mean is sought."""

    f: Array = ()  # type: ignore[assignment]

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 3, num_values: int = 4, *, kind: str = GENERIC) -> Averaged:
        """Where the bias is not small by chance, and its next order small from K = 32 on and falling by half."""
        while True:
            w = Weighted.draw(rng, num_states, num_values)
            found = cls(w.model, w.x, w.q, away_from_zero(rng, 0.4, 1.0) + away_from_zero(rng, 0.5, 2.0, (num_states,)))
            r, after_x = relative_weights(found), found.model.posterior(found.x).probs
            limit = -after_x @ (r * (found.f - after_x @ found.f))
            rest = np.array([found.bias(k) for k in (32, 64)]) - limit
            small = 0.01 < abs(rest[0]) < 0.08 * max(1, abs(limit))
            if abs(limit) > 0.4 and small and 1.8 < rest[0] / rest[1] < 2.3:
                return found

    def bias(self, draws: int) -> float:
        """K times the bias of the estimate from K draws, over all counts."""
        n = Counts("n", self.q, draws).space("n", {}).values
        ways = gammaln(draws + 1) - gammaln(n + 1).sum(axis=1) + n @ np.log(self.q.probs)
        r = relative_weights(self)
        mean = (n @ (r * self.f)) / (n @ r)
        return float(draws * (np.exp(ways) @ mean - self.model.posterior(self.x).probs @ self.f))

    def at(self, step: float) -> Scope:
        plain = super().at(step)
        return replace(plain, maps={"f": Map(lambda z: self.f[z.astype(int)])})


RATIO = r"\frac{\sum_z n_z\,w(z)\,f(z)}{\sum_z n_z\,w(z)},\quad w(z) = \frac{p(x, z)}{q(z)}"
R_IS = r",\quad r(z) = \frac{p(z \mid x)}{q(z)},\quad m = \mathbb{E}_{p(z \mid x)}[f(z)]"
WHAT_D_IS = r",\quad d = \tfrac1K \sum_z n_z\,r(z) - 1,\quad e = \tfrac1K \sum_z n_z\,r(z)\,(f(z) - m)" + R_IS

J7 = (
    derive(
        "J7",
        "a mean by weights that sum to one has a bias of order 1/K",
        lambda rng: Averaged.draw(rng),  # generic ones alone: the next order must be small
        assumptions=DRAWN + "; n_z of the K draws are in state z; E[w^2 f^2] finite",
        source="Owen 2013, section 9.2; Liu 2001, section 2.5",
    )
    .start(
        tex(rf"K\,\mathbb{{E}}_n\left[F - m\right],\quad F = {RATIO},\quad m = \mathbb{{E}}_{{p(z \mid x)}}[f(z)]"),
        why="the bias, magnified: sum of weights times f, over sum of weights",
        **LATE,
    )
    .eq(
        tex(r"K\,\mathbb{E}_n\left[\frac{e}{1 + d}\right]" + WHAT_D_IS),
        "bring m over the sum; divide by p(x) above and below",
        exact=True,
        why="d and e have mean 0: errors of a weight and of a weighted f",
        **LATE,
    )
    .eq(
        tex(r"-K\,\mathbb{E}_n\left[d\,e\right]" + WHAT_D_IS),
        "1/(1 + d) = 1 - d + O(d^2), and E[e] = 0",
        why="the first order has mean 0: the second is left",
        needs="K large: the difference must halve with 1/K",
        **LATE,
    )
    .slip(
        "sign of the expansion",
        tex(r"K\,\mathbb{E}_n\left[d\,e\right]" + WHAT_D_IS),
        "1/(1 + d) was expanded as 1 + d.",
    )
    .slip(
        "1/2 of a logarithm",
        tex(r"-\tfrac{K}{2}\,\mathbb{E}_n\left[d\,e\right]" + WHAT_D_IS),
        "the 1/2 of the logarithm's expansion (J3) was taken: 1/(1 + d) has none.",
    )
    .eq(
        tex(r"-\mathbb{E}_{q}\left[r(z)^2\,(f(z) - m)\right]" + R_IS),
        "covariance of two means of K draws: 1/K of one draw's",
        exact=True,
        why="K cancels",
        needs="independent draws",
    )
    .slip(
        "weight not squared",
        tex(r"-\mathbb{E}_{q}\left[r(z)\,(f(z) - m)\right]" + R_IS),
        "the weight enters once: then nothing is left. Above and below hold a weight each.",
    )
    .slip(
        "mean under q",
        tex(
            r"-\mathbb{E}_{q}\left[r(z)^2\,(f(z) - m)\right],\quad r(z) = \frac{p(z \mid x)}{q(z)},\quad m = \mathbb{E}_{q}[f(z)]"
        ),
        "f was compared with its mean under q: what is sought is the mean under the posterior.",
    )
    .slip(
        "weights in another unit",
        tex(
            r"-\mathbb{E}_{q}\left[w(z)^2\,(f(z) - m)\right],\quad w(z) = \frac{p(x, z)}{q(z)},\quad m = \mathbb{E}_{p(z \mid x)}[f(z)]"
        ),
        "p(x)^2 below was left out: the result must not depend on the unit of the weights.",
    )
    .eq(
        tex(r"-\mathrm{Cov}_{p(z \mid x)}(r(z), f(z)),\quad r(z) = \frac{p(z \mid x)}{q(z)}"),
        "one r turns q into the posterior",
        why="no bias, to this order, if f is not larger where q is too small",
    )
    .slip(
        "towards large weights",
        tex(r"\mathrm{Cov}_{p(z \mid x)}(r(z), f(z)),\quad r(z) = \frac{p(z \mid x)}{q(z)}"),
        "the sign is turned: the mean is drawn towards q, away from states with large weights.",
    )
)


# ------------------------------------------------------------------------------------------ gradient of the model, J9


@dataclass(frozen=True)
class PriorLogits(Weighted):
    """The logits a of the prior are what the model can change: p_a(x, z) = softmax(a)_z p(x | z)."""

    a: Array = ()  # type: ignore[assignment]

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3, *, kind: str = GENERIC) -> PriorLogits:
        w = Weighted.draw(rng, num_states, num_values, kind=kind)
        return cls(w.model, w.x, w.q, np.log(w.model.prior) + float(away_from_zero(rng, 0.2, 0.8)))

    def moved(self, a: Array) -> PriorLogits:
        return replace(self, a=a, model=DiscreteLatent(softmax(a), self.model.likelihood))

    def at(self, step: float) -> Scope:
        """pi is the prior, e(z) the one-hot vector of a state."""
        w = self.moved(self.a)
        plain = super(PriorLogits, w).at(1 / 4)
        size = len(self.a)
        return replace(
            plain,
            values={r"\pi": w.model.prior, "a": self.a},
            maps={"e": Map(lambda z: np.eye(size)[z.astype(int)], rank=1)},
            parameters={"a": Parameter(self.a, lambda a: self.moved(a).scope())},
        )


def by_differences(w: PriorLogits, h: float) -> Array:
    """Central differences in a of L_3, by the function that trains and evaluates."""
    z = tuples(len(w.a), 3)

    def bound(a: Array) -> Any:
        there = w.moved(a)
        return np.exp(w.q.log_prob(z).sum(axis=1)) @ importance_weighted_bound(log_weights(there)[z], axis=1)

    return np.array([(bound(w.a + h * unit) - bound(w.a - h * unit)) / (2 * h) for unit in np.eye(len(w.a))])


J9 = (
    derive(
        "J9",
        "the gradient of the model weighs each draw by its share",
        PriorLogits.draw,
        assumptions=DRAWN
        + "; q is fixed; p_a(z) = softmax(a)_z, here the only part that a moves; e(z) is one-hot; K = 3",
        source="Burda, Grosse and Salakhutdinov 2016; Bornschein and Bengio 2015",
    )
    .start(
        tex(rf"\nabla_a {BOUND},\quad {WEIGHTS}"),
        why="what trains the model; the draws do not depend on it",
    )
    .eq(
        tex(r"\mathbb{E}_{q^{(K)}}\left[\frac{\nabla_a \sum_{k=1}^K w_k}{\sum_{k=1}^K w_k}\right],\quad " + WEIGHTS),
        "derivative under the mean; chain rule for the logarithm",
        why="the logarithm puts the sum of weights below",
        needs="q is free of a",
    )
    .slip(
        "ratio of the means",
        tex(r"\nabla_a \log p(x)"),
        "the means above and below were taken one by one: that is the gradient of log p(x), reached as K grows.",
    )
    .eq(
        tex(r"\mathbb{E}_{q^{(K)}}\left[\sum_{k=1}^K v_k\,\nabla_a \log w_k\right]" + SHARES),
        "grad w = w grad log w; shares v_k = w_k / sum of w",
        why="a mean by shares: a softmax of log-weights, which cannot overflow",
    )
    .slip(
        "equal shares",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\tfrac1K \sum_{k=1}^K \nabla_a \log w_k\right],\quad " + WEIGHTS),
        "each draw counts the same: that is the gradient of the ELBO.",
    )
    .slip(
        "shares squared",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\sum_{k=1}^K v_k^2\,\nabla_a \log w_k\right]" + SHARES),
        "the squares belong to the encoder's gradient (J10); the model has no score term to remove.",
    )
    .slip(
        "weights for shares",
        tex(
            r"\mathbb{E}_{q^{(K)}}\left[\sum_{k=1}^K u_k\,\nabla_a \log w_k\right],\quad u_k = \tfrac1K w_k,\quad "
            + WEIGHTS
        ),
        "the weights were not divided by their sum: that is the gradient of p(x), not of its logarithm.",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q^{(K)}}\left[\sum_{k=1}^K v_k\,(e(z_k) - \pi)\right],\quad \pi = \mathrm{softmax}(a)"
            + SHARES
        ),
        "only log p(z_k) holds a: derivative of a softmax (H16)",
        why="draw by draw: towards the state drawn, away from the prior",
    )
    .slip(
        "normalizer held fixed",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\sum_{k=1}^K v_k\,e(z_k)\right]" + SHARES),
        "the normalizer of the softmax was not differentiated: then all logits would rise.",
    )
    .eq(
        tex(r"\sum_s c(s)\,e(s) - \mathrm{softmax}(a),\quad " + CHOSEN),
        "c: law of a draw chosen by its share (J6)",
        why="the prior moves towards what the chosen draws look like: as in EM, but with c for the posterior",
    )
    .eq(
        given(r"\nabla_a \mathcal{L}_K \text{ by differences of the package's bound}", by_differences),
        "as the package computes the bound",
        exact=True,
        step=1 / 256,
        resolution=1e-3,
    )
)


# ----------------------------------------------------------------------------------------------- the jackknife, J17


@dataclass(frozen=True)
class Fewer(Weighted):
    """K draws, and K - 1 of them: l counts the latter."""

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 3, num_values: int = 4, *, kind: str = GENERIC) -> Fewer:
        """Where the orders 1/K and 1/K^2 of the bias lead from K = 16 on, and neither vanishes by chance."""
        while True:
            w = three_states(rng)
            found = cls(w.model, w.x, w.q)
            gap = found.model.log_evidence(found.x) - np.array([float(found.jackknife(k)) for k in (16, 32, 64)])
            ratios = gap[:-1] / gap[1:]
            if np.all(np.abs(gap) > 1e-6) and np.all((ratios > 3.5) & (ratios < 4.5)):
                return found

    def of_counts(self, draws: int) -> tuple[Array, Array, Array]:
        """Counts, their probabilities, and K times the mean weight."""
        n = np.asarray(Counts("n", self.q, draws).space("n", {}).values)
        ways = gammaln(draws + 1) - gammaln(n + 1).sum(axis=1) + n @ np.log(self.q.probs)
        return n, np.exp(ways), n @ np.exp(log_weights(self))

    def bound(self, draws: int) -> Any:
        _, probability, total = self.of_counts(draws)
        return probability @ np.log(total / draws)

    def jackknife(self, draws: int) -> Any:
        return draws * self.bound(draws) - (draws - 1) * self.bound(draws - 1)

    def leave_one_out(self, draws: int) -> Estimate:
        """The mean of K log mean w - (K - 1) times the mean of the logarithms without one draw; K log K! digits round."""
        n, probability, total = self.of_counts(draws)
        rest = np.where(n > 0, total[:, None] - np.exp(log_weights(self)), 1.0)
        without = (n / draws * np.log(rest / (draws - 1))).sum(axis=1)
        value = probability @ (draws * np.log(total / draws) - (draws - 1) * without)
        return Estimate(value, EPS * draws * gammaln(draws + 1))

    def at(self, step: float) -> Scope:
        plain, draws = super().at(step), round(1 / step)
        return replace(
            plain,
            worlds={**plain.worlds, "q_l": Counts("l", self.q, draws - 1)},
            laws={**plain.laws, "l": "q_l"},
        )


OF_K = r"\mathbb{E}_n\left[\log \left(\tfrac1K \sum_z n_z\,w(z)\right)\right]"
OF_ONE_LESS = r"\mathbb{E}_l\left[\log \left(\tfrac{1}{K - 1} \sum_z l_z\,w(z)\right)\right]"
RELATIVE = r"\tfrac{1}{2 K p(x)^2}\,\mathrm{Var}_q(w)"
W_IS = r",\quad w(z) = \frac{p(x, z)}{q(z)}"
QUADRATIC: dict[str, Any] = {"step": 1 / 16, "order": 2, "resolution": 0.05}

J17 = (
    derive(
        "J17",
        "the jackknife removes the bias of order 1/K",
        lambda rng: Fewer.draw(rng),  # generic ones alone: two orders must be seen
        assumptions=DRAWN + "; w bounded; n_z of K draws, l_z of K - 1 draws are in state z",
        source="Nowozin 2018; Quenouille 1956",
    )
    .start(tex(r"\log p(x)"), why="what the bound with K weights misses by c/K (J3)")
    .eq(
        tex(rf"{OF_K} + {RELATIVE}{W_IS}"),
        "J3: add the leading term of the gap",
        why="what is left falls like 1/K^2: twice the draws, a quarter of the error",
        needs="Var(w) finite",
        **QUADRATIC,
    )
    .slip(
        "bound as it is",
        tex(OF_K + W_IS),
        "the bias was not removed: it only halves when K is doubled.",
    )
    .slip(
        "bias subtracted",
        tex(rf"{OF_K} - {RELATIVE}{W_IS}"),
        "the correction has the wrong sign: the bound is too small, so the term is added.",
    )
    .slip(
        "no 1/2",
        tex(rf"{OF_K} + \tfrac{{1}}{{K p(x)^2}}\,\mathrm{{Var}}_q(w){W_IS}"),
        "the 1/2 of the bias was lost: then as much is left as before, with the other sign.",
    )
    .eq(
        tex(rf"K\,{OF_K} - (K - 1)\,{OF_ONE_LESS}{W_IS}"),
        "c/K times K less c/(K - 1) times (K - 1) is 0",
        why="two bounds tell the bias: neither p(x) nor a variance is needed",
        **QUADRATIC,
    )
    .slip(
        "factors swapped",
        tex(rf"K\,{OF_ONE_LESS} - (K - 1)\,{OF_K}{W_IS}"),
        "K and K - 1 are swapped: that adds the bias once more.",
    )
    .slip(
        "plain difference",
        tex(rf"2\,{OF_K} - {OF_ONE_LESS}{W_IS}"),
        "the difference was taken once: the bias is K - 1 times as large as it.",
    )
    .eq(
        given(
            r"\mathbb{E}_n\left[K \log \bar w - \tfrac{K - 1}{K} \sum_k \log \bar w_{-k}\right],"
            r"\quad \bar w_{-k}: \text{mean weight without the } k\text{th}",
            lambda w, h: w.leave_one_out(round(1 / h)),
        ),
        "each K - 1 of K draws are K - 1 independent ones",
        exact=True,
        why="as it is computed, from one set of K draws",
        **QUADRATIC,
    )
    .slip(
        "logarithms averaged",
        given(
            r"\mathbb{E}_n\left[K \log \bar w - \tfrac{K - 1}{K} \sum_k \log w_k\right]",
            lambda w, h: round(1 / h) * w.bound(round(1 / h)) - (round(1 / h) - 1) * (w.q.probs @ log_weights(w)),
        ),
        "the logarithms of single weights were averaged: one draw is left out at a time, not all but one.",
    )
)


# --------------------------------------------------------------------------------------- a random number of terms, J19


@dataclass(frozen=True)
class Ladder(Weighted):
    """Two states: the bounds L_1, L_2, ... with 1, 2, ... weights are sums over how often the first state occurs."""

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 2, num_values: int = 3, *, kind: str = GENERIC) -> Ladder:
        """Where the second order of the bias does not vanish by chance."""
        while True:
            w = Weighted.draw(rng, num_states, num_values)
            m2, m3 = relative_moments(w.q.probs, relative_weights(w))
            if abs(0.75 * m2**2 - m3 / 3) >= max(0.1 * m2, 0.3 * m2**2) and 0.05 <= m2 <= 2:
                return cls(w.model, w.x, w.q)

    def bounds(self, most: int) -> Array:
        """L_1, ..., L_most."""
        weights, log_q = np.exp(log_weights(self)), np.log(self.q.probs)
        k, n = np.arange(1, most + 1)[:, None], np.arange(most + 1)
        rest = np.maximum(k - n, 0)
        ways = gammaln(k + 1) - gammaln(n + 1) - gammaln(rest + 1) + n * log_q[0] + rest * log_q[1]
        return (np.where(n <= k, np.exp(ways), 0.0) * np.log((n * weights[0] + rest * weights[1]) / k)).sum(axis=1)

    def at(self, step: float) -> Scope:
        """L_1, ..., L_(K+1), the chances c_k = P(T >= k) = 1/k, and t_k = P(T = k), T cut off at K."""
        plain, draws = super().at(step), round(1 / step)
        k = np.arange(1, draws + 1)
        at_least = 1 / k
        return replace(
            plain,
            values={
                "K": draws,
                "L": self.bounds(draws + 1),
                "c": at_least,
                "t": at_least - np.append(at_least[1:], 0.0),
            },
        )


FIRST = r"\mathbb{E}_{q}\left[\log \frac{p(x, z)}{q(z)}\right]"

J19 = (
    derive(
        "J19",
        "an unbiased log p(x) from a random number of terms",
        lambda rng: Ladder.draw(rng),  # generic ones alone: the next order must be small
        assumptions=DRAWN
        + "; L_k is the bound with k weights; T random, P(T >= k) = c_k > 0, P(T = k) = t_k; here cut off at a large K",
        source="Luo et al. 2020",
    )
    .start(tex(r"\log p(x)"), why="no bound, but the number itself")
    .eq(
        tex(rf"{FIRST} + \sum_{{k=1}}^K (L_{{k+1}} - L_k)"),
        "the differences telescope to L_{K+1}; J3",
        why="the ELBO, and what each further weight adds; K may grow without end",
        needs="K large: what is left must halve with 1/K",
        **LATE,
    )
    .slip(
        "stopped at ten",
        tex(rf"{FIRST} + \sum_{{k=1}}^{{9}} (L_{{k+1}} - L_k)"),
        "the sum was cut at a fixed number: that is the bound with ten weights again.",
    )
    .eq(
        tex(rf"{FIRST} + \sum_{{k=1}}^K c_k\,\frac{{L_{{k+1}} - L_k}}{{c_k}}"),
        "multiply and divide by P(T >= k)",
        exact=True,
        why="a term that is there with this chance counts for more when it is there",
        needs="every term may occur: c_k > 0",
        **LATE,
    )
    .eq(
        tex(
            rf"\sum_{{m=1}}^K t_m \left[{FIRST} + \sum_{{k=1}}^K \mathbb{{1}}[k \le m]\,\frac{{L_{{k+1}} - L_k}}{{c_k}}\right]"
        ),
        "c_k is the sum of t_m over m >= k: swap the sums",
        exact=True,
        why="draw T, take T + 1 weights, and no more",
        needs="the t_m sum to 1",
        **LATE,
    )
    .slip(
        "not divided by the chance",
        tex(rf"\sum_{{m=1}}^K t_m \left[{FIRST} + \sum_{{k=1}}^K \mathbb{{1}}[k \le m]\,(L_{{k+1}} - L_k)\right]"),
        "late terms are rare: each must be divided by its chance, or the result is a mean of bounds.",
    )
    .slip(
        "chance of stopping there",
        tex(
            rf"\sum_{{m=1}}^K t_m \left[{FIRST} + \sum_{{k=1}}^K \mathbb{{1}}[k \le m]\,\frac{{L_{{k+1}} - L_k}}{{t_k}}\right]"
        ),
        "the terms were divided by P(T = k): a term is there whenever T is at least k.",
    )
    .slip(
        "last term alone",
        tex(rf"\sum_{{m=1}}^K t_m \left[{FIRST} + \frac{{L_{{m+1}} - L_m}}{{c_m}}\right]"),
        "only the last term was kept and divided by P(T >= k): a single term needs P(T = k) below.",
    )
)

CHAPTER: tuple[Derivation, ...] = (J6, J7, J9, J17, J19)
