r"""Chapter J: importance-weighted and annealed bounds.

On a table, K draws from q are finitely many: a mean goes over all tuples (J1, J2, J4, J5), or over how often each state
occurs (B10, J3, J8), and the chains of annealed sampling are listed path by path (J13, J14). So the means over
samples are exact, and what is tested is the identity alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit, gammaln, logsumexp

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Categorical, Normal, kl_divergence
from vaelib.elbo import importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.formula import Scope, given, tex
from vaelib.formula.spaces import States
from vaelib.formula.worlds import Conditional, JointGaussian, Law, Table
from vaelib.models import DiscreteLatent
from vaelib.witnesses import (
    BernoulliWitness,
    DiscreteWitness,
    away_from_zero,
    generic_noise_variance,
    generic_probabilities,
    moment_names,
)

Array = np.ndarray
Rng = np.random.Generator


# --------------------------------------------------------------------------------------- the logarithm of a mean, J18


@dataclass(frozen=True)
class LogWeights:
    """K = 5 log-weights for each of three examples; their exponentials underflow, or overflow."""

    log_weights: Array  # (K, examples)

    @classmethod
    def draw(cls, rng: Rng) -> LogWeights:
        level = np.array([-1e4, -800.0, 900.0]) * rng.uniform(0.95, 1.05, 3)
        apart = np.arange(5)[:, None] + rng.uniform(0.2, 0.8, (5, 3))
        return cls(level + rng.permuted(apart, axis=0))

    @classmethod
    def equal(cls, rng: Rng) -> LogWeights:
        """All K log-weights of an example are the same."""
        return cls(np.tile(cls.draw(rng).log_weights[0], (5, 1)))

    def members(self) -> list[Scope]:
        """The log-weights a_k of each example."""
        k = len(self.log_weights)
        return [Scope(values={"a": a, "K": k}, ranges={"j": k, "k": k}) for a in self.log_weights.T]


J18 = (
    derive(
        "J18",
        "the logarithm of a mean of weights, without underflow",
        LogWeights.draw,
        assumptions="finite log-weights",
        source="Burda, Grosse and Salakhutdinov 2016, equation (8); the implementation",
    )
    .start(tex(r"\log \left[\tfrac1K \sum_k e^{a_k}\right]"), why="a photograph has log-weights near -10^4")
    .eq(
        tex(r"m + \log \left[\tfrac1K \sum_k e^{a_k - m}\right],\quad m = \max_k a_k"),
        "take the largest out: nothing overflows",
        why="the largest weight becomes 1",
    )
    .slip(
        "exponentials first",
        given(
            r"\log \left[\tfrac1K \sum_k e^{a_k}\right] \text{ in floating point, as it is written}",
            lambda w: np.log(np.mean(np.exp(w.log_weights), axis=0)),
        ),
        "the log-weights were exponentiated as they are: e^-800 is 0 in floating point, e^900 infinite.",
        real="a public repository: its test loss exponentiates raw log-weights",
    )
    .slip(
        "epsilon inside the logarithm",
        tex(r"\log \left[\tfrac1K \sum_k e^{a_k} + 10^{-12}\right]"),
        "a small constant was added so that log 0 is avoided: then it is all that is left.",
    )
    .slip(
        "largest not put back",
        tex(r"\log \left[\tfrac1K \sum_k e^{a_k - m}\right]"),
        "the largest log-weight was taken out and not added again.",
    )
    .eq(tex(r"\log \sum_k e^{a_k} - \log K"), "the logarithm of 1/K", why="log-sum-exp, as libraries have it")
    .slip(
        "no log K",
        tex(r"\log \sum_k e^{a_k}"),
        "the weights were added, not averaged: log K is missing.",
    )
    .eq(
        given(
            r"\mathcal{L}_K \text{ as the package computes it}",
            lambda w: importance_weighted_bound(w.log_weights, axis=0),
        ),
        "this function trains and evaluates a VAE",
        relative=True,
    )
    .slip(
        "mean of the logarithms",
        tex(r"\tfrac1K \sum_k a_k"),
        "the logarithms were averaged: that is the ELBO, not the bound with K weights.",
    )
    .slip(
        "single precision",
        given(
            r"\mathcal{L}_K \text{ of log-weights stored in single precision}",
            lambda w: importance_weighted_bound(w.log_weights.astype(np.float32).astype(float), axis=0),
        ),
        "the log-weights were stored in single precision: near -10000 that is good to 0.0005 nats only.",
    )
    .ge(
        tex(r"\tfrac1K \sum_k a_k"),
        "Jensen: the logarithm is concave",
        why="the ELBO lies below",
        gap=tex(r"\tfrac1K \sum_k \log \frac{\sum_j e^{a_j}}{K e^{a_k}}"),
        equality=LogWeights.equal,
    )
    .slip("Jensen turned around", says="Jensen is used for a convex function: log is concave.", relation="<=")
)


# --------------------------------------------------------------------------- K draws from a table: J1, J2, J4 and J5


@dataclass(frozen=True, eq=False)
class Draws:
    """K independent draws of a state: a world of z = (z_1, ..., z_K), all tuples listed."""

    law: Categorical
    number: int

    variables = ("z",)

    def log_prob(self, targets: Any, givens: Any, rule: Any) -> Array:
        return np.asarray(self.law.log_prob(targets["z"].data).sum(axis=-1))

    def space(self, target: str, givens: Any) -> States:
        return States(tuples(self.law.probs.size, self.number))


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each of three states occurs among K independent draws: a world of one vector of counts."""

    variable: str
    law: Categorical
    number: int

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.variable,)

    def log_prob(self, targets: Any, givens: Any, rule: Any) -> Array:
        n = targets[self.variable].data
        ways = gammaln(self.number + 1) - gammaln(n + 1).sum(axis=-1)  # log K! / (n_1! n_2! n_3!)
        return np.asarray(ways + n @ np.log(self.law.probs))

    def space(self, target: str, givens: Any) -> States:
        first, second = np.triu_indices(self.number + 1)  # first <= second
        return States(np.stack([first, second - first, self.number - second], axis=1))


@dataclass(frozen=True)
class Weighted(DiscreteWitness):
    r"""A table, an observation and a q, with what it takes to speak of K draws.

    q^{(K)} and p^{(K)} are the laws of K independent draws from q and from the prior; n and m count how often each state
    occurs among K of them. Q^{(K)} and P^{(K)} are the laws of J5 on the larger space.
    """

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3, *, kind: str = GENERIC) -> Weighted:
        w = DiscreteWitness.draw(rng, num_states, num_values, kind=kind)
        return cls(w.model, w.x, w.q)

    def scope(self) -> Scope:
        return self.at(1 / 64)

    def at(self, step: float) -> Scope:
        """K = 1 / step."""
        plain, draws, prior = super().scope(), round(1 / step), Categorical(np.log(self.model.prior))

        def family(make: Callable[[int], Any]) -> Callable[[Array], Any]:
            return lambda index: make(int(np.ravel(index)[0]) + 1)

        worlds = {
            "q_": family(lambda number: Draws(self.q, number)),
            "p_": family(lambda number: Draws(prior, number)),
            "Q_": family(lambda number: Law("s", extended(self, number)[0])),
            "P_": family(lambda number: Law("s", extended(self, number)[1])),
            "q_n": Counts("n", self.q, draws),
            "p_m": Counts("m", prior, draws),
        }
        states = States.count(prior.probs.size)
        return replace(
            plain,
            worlds={**plain.worlds, **worlds},
            values={"K": draws, "S": draws},
            spaces={"z": states, "s": states},
            laws={**plain.laws, "n": "q_n", "m": "p_m"},
            ranges={"i": 4, "j": 4},
        )


def states(w: DiscreteWitness) -> Array:
    return np.arange(w.model.prior.size)


def log_weights(w: DiscreteWitness) -> Array:
    """log w(z) = log p(x, z) - log q(z) of each state, (states,)."""
    return w.model.log_joint(w.x, states(w)) - w.q.log_prob(states(w))


def tuples(number: int, draws: int) -> Array:
    """All (z_1, ..., z_K) of a number of states, (number^K, K)."""
    return np.indices((number,) * draws).reshape(draws, -1).T


def bound(draws: int) -> Callable[[DiscreteWitness], Any]:
    """L_K, by the function that trains and evaluates: a mean over all tuples of draws."""

    def value(w: DiscreteWitness) -> Any:
        z = tuples(states(w).size, draws)
        probabilities = np.exp(w.q.log_prob(z).sum(axis=1))
        return probabilities @ importance_weighted_bound(log_weights(w)[z], axis=1)

    return value


def extended(w: DiscreteWitness, draws: int) -> tuple[Categorical, Categorical]:
    """Two laws of (z_1, ..., z_K, j). Q: all z_k from q, then j by weight. P: j at random, z_j from p(z|x), the rest from q."""
    z = tuples(states(w).size, draws)
    log_q = w.q.log_prob(z)
    all_from_q = log_q.sum(axis=1, keepdims=True)
    weights = log_weights(w)[z]
    log_share = weights - logsumexp(weights, axis=1, keepdims=True)
    log_p = all_from_q - log_q + w.model.log_posterior(w.x, z) - np.log(draws)
    return Categorical((all_from_q + log_share).ravel()), Categorical(log_p.ravel())


DRAWN = "z_1, ..., z_K independent from q; q(z) > 0 wherever p(x,z) > 0"

J1 = (
    derive(
        "J1",
        "K = 1 is the ELBO; under the logarithm the mean weight is unbiased",
        Weighted.draw,
        assumptions=DRAWN + "; w_k = p(x,z_k) / q(z_k)",
        source="Burda, Grosse and Salakhutdinov 2016, section 3",
    )
    .start(tex(r"\log p(x)"), why="what is to be bounded")
    .eq(
        tex(r"\log \sum_z q(z)\,\frac{p(x, z)}{q(z)}"),
        "sum rule; multiply and divide by q(z)",
        why="a mean under q",
        needs="q(z) > 0 wherever p(x,z) > 0",
    )
    .eq(
        tex(
            r"\log \mathbb{E}_{q^{(K)}}\left[\tfrac1K \sum_{k=1}^K w_k\right],\quad w_k = \frac{p(x, z_k)}{q(z_k)},\quad K = 3"
        ),
        "linear: each of the K weights has this mean",
        why="unbiased for every K",
        needs="each z_k from q",
    )
    .slip(
        "sum of weights",
        tex(r"\log \mathbb{E}_{q^{(K)}}\left[\sum_{k=1}^K w_k\right]"),
        "the weights were added, not averaged: that estimates K p(x).",
    )
    .slip(
        "drawn from the prior",
        tex(r"\log \mathbb{E}_{p^{(K)}}\left[\tfrac1K \sum_{k=1}^K w_k\right]"),
        "z came from the prior, but was weighed as if from q.",
    )
    .slip(
        "weight without 1/q",
        tex(r"\log \mathbb{E}_{q^{(K)}}\left[\tfrac1K \sum_{k=1}^K w_k\right],\quad w_k = p(x, z_k)"),
        "p(x,z) was averaged under q without dividing by q(z).",
    )
    .slip(
        "logarithm inside",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\log \left(\tfrac1K \sum_{k=1}^K w_k\right)\right]"),
        "the logarithm was taken before the mean: that estimate is biased downwards.",
    )
    .ge(
        tex(r"\mathbb{E}_{q(z_1)}\left[\log w_1\right]"),
        "Jensen with K = 1: the logarithm goes inside",
        why="the bound with one weight",
        gap=tex(r"\mathrm{KL}(q \,\Vert\, p(z \mid x))"),
    )
    .slip(
        "unbiased logarithm",
        says="an unbiased p(x) was taken to give an unbiased log p(x): the logarithm is not linear.",
        relation="=",
    )
    .slip(
        "three weights",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\log \left(\tfrac1K \sum_{k=1}^K w_k\right)\right]"),
        "three weights were averaged where K is 1.",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log p(x \mid z)\right] + \mathbb{E}_{q}\left[\log p(z) - \log q(z)\right]"),
        "product rule: log w = log p(x|z) + log p(z) - log q(z)",
        why="the prior and q form a KL",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log p(x \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "definition of KL: this is the ELBO",
    )
    .slip(
        "plus KL",
        tex(r"\mathbb{E}_{q}\left[\log p(x \mid z)\right] + \mathrm{KL}(q \,\Vert\, p(z))"),
        "the KL to the prior is added: it is a price, so it is subtracted.",
    )
)


J2 = (
    derive(
        "J2",
        "more weights, a tighter bound",
        Weighted.draw,
        assumptions=DRAWN + "; here K = 4 draws and subsets of M = 2, for all M < K the same",
        source="Burda, Grosse and Salakhutdinov 2016, theorem 1",
    )
    .start(tex(r"\log p(x)"), why="the top of the ladder")
    .ge(
        tex(
            r"\mathbb{E}_{q^{(K)}}\left[\log \left(\tfrac1K \sum_{k=1}^K w_k\right)\right],\quad w_k = \frac{p(x, z_k)}{q(z_k)},\quad K = 4"
        ),
        "Jensen: the mean weight is unbiased (J1)",
        why="a bound for every K",
        gap=tex(r"\mathrm{KL}(Q^{(4)} \,\Vert\, P^{(4)})"),
    )
    .slip(
        "no log K",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\log \sum_{k=1}^K w_k\right]"),
        "the weights were added: log K is missing, and nothing is bounded.",
    )
    .slip("below instead of above", says="Jensen is used for a convex function: log is concave.", relation="<=")
    .eq(
        tex(r"\mathbb{E}_{q^{(K)}}\left[\log \left(\tfrac16 \sum_i \sum_{j > i} \tfrac{w_i + w_j}{2}\right)\right]"),
        "a random subset holds each k with probability M/K",
        why="it brings M in: the mean over all six pairs is the mean of all",
        needs="subsets without repetition",
    )
    .slip(
        "sum over subsets",
        tex(r"\mathbb{E}_{q^{(K)}}\left[\log \sum_i \sum_{j > i} \tfrac{w_i + w_j}{2}\right]"),
        "the subsets were added, not averaged: there are six of them.",
    )
    .ge(
        tex(r"\mathbb{E}_{q^{(K)}}\left[\tfrac16 \sum_i \sum_{j > i} \log \tfrac{w_i + w_j}{2}\right]"),
        "Jensen again, for the mean over subsets",
        why="the logarithm goes inside",
        gap=tex(
            r"\mathbb{E}_{q^{(4)}}\left[\tfrac16 \sum_i \sum_{j > i} \log \frac{\sum_{k=1}^4 w_k}{2\,(w_i + w_j)}\right],\quad w_k = \frac{p(x, z_k)}{q(z_k)}"
        ),
    )
    .slip(
        "more weights, a looser bound",
        says="the inequality is turned around: averaging before the logarithm raises the bound.",
        relation="<=",
    )
    .eq(
        tex(r"\mathbb{E}_{q(z_1)\,q(z_2)}\left[\log \tfrac{w_1 + w_2}{2}\right]"),
        "M of K independent draws are M independent draws",
        why="which subset it is no longer matters: the bound with M weights",
    )
    .slip(
        "with replacement",
        tex(
            r"\tfrac34\,\mathbb{E}_{q(z_1)\,q(z_2)}\left[\log \tfrac{w_1 + w_2}{2}\right] + \tfrac14\,\mathbb{E}_{q(z_1)}\left[\log w_1\right]"
        ),
        "the same draw may enter twice: M draws with replacement are fewer independent ones.",
    )
    .ge(
        tex(r"\log p(x) - \mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        "the same with 1 for M and M for K",
        why="the ELBO is the lowest rung",
        gap=tex(
            r"\mathbb{E}_{q^{(2)}}\left[\tfrac12 \sum_{k=1}^2 \log \frac{w_1 + w_2}{2 w_k}\right],\quad w_k = \frac{p(x, z_k)}{q(z_k)}"
        ),
    )
    .slip(
        "all bounds equal", says="more weights were taken to change the noise only: they raise the mean.", relation="="
    )
)


J4 = (
    derive(
        "J4",
        "the variance of the mean weight",
        Weighted.draw,
        assumptions=DRAWN + "; E[w^2] finite; here K = 3",
        source="Owen 2013, Monte Carlo theory, section 9.1",
    )
    .start(
        tex(
            r"\mathrm{Var}_{q^{(K)}}\left[\tfrac1K \sum_{k=1}^K w_k\right],\quad w_k = \frac{p(x, z_k)}{q(z_k)},\quad K = 3"
        ),
        why="how far one estimate of p(x) lies from the next",
    )
    .eq(
        tex(r"\tfrac{1}{K^2} \sum_{k=1}^K \mathrm{Var}_{q(z_k)}[w_k]"),
        "independent draws: no covariances",
        needs="independent draws",
    )
    .slip(
        "1/K^2 for 1/K",
        tex(r"\tfrac{1}{K^2}\,\mathrm{Var}_q[w]"),
        "1/K^2 stayed and the K equal terms were not added up.",
    )
    .slip(
        "not smaller for more draws",
        tex(r"\mathrm{Var}_q[w]"),
        "the variance of one weight was taken for that of the mean of K.",
    )
    .slip(
        "standard error",
        tex(r"\sqrt{\tfrac1K\,\mathrm{Var}_q[w]}"),
        "a standard deviation was taken for a variance.",
    )
    .eq(
        tex(r"\tfrac1K \left[\mathbb{E}_q[w^2] - p(x)^2\right]"),
        "all weights have one law, with mean p(x)",
        why="the K equal terms add up",
    )
    .slip(
        "second moment",
        tex(r"\tfrac1K\,\mathbb{E}_q[w^2]"),
        "p(x)^2 was not subtracted: that is the second moment.",
    )
    .eq(
        tex(r"\tfrac{p(x)^2}{K}\left[\sum_z \frac{p(z \mid x)^2}{q(z)} - 1\right]"),
        "Bayes' rule: w = p(x) p(z|x) / q(z)",
        why="the posterior comes in",
    )
    .eq(
        tex(r"\tfrac{p(x)^2}{K}\,\chi^2(p(z \mid x) \,\Vert\, q)"),
        "definition of the chi-square divergence",
    )
    .slip(
        "chi-square swapped",
        tex(r"\tfrac{p(x)^2}{K}\,\chi^2(q \,\Vert\, p(z \mid x))"),
        "the divergence is divided by p(z|x); the draws are from q, so q is in the denominator.",
    )
    .slip(
        "no p(x)^2",
        tex(r"\tfrac1K\,\chi^2(p(z \mid x) \,\Vert\, q)"),
        "the relative variance was taken for the variance: p(x)^2 is missing.",
    )
)


def gap_of_the_rest(w: DiscreteWitness) -> Any:
    """KL(Q || P) of all but z_j, given z_j: Q weighs the rest as well, P draws them from q."""
    q, p = extended(w, 3)
    z = tuples(states(w).size, 3).ravel()
    total = 0.0
    for state in states(w):
        here = z == state
        total += q.probs[here].sum() * kl_divergence(Categorical(q.logits[here]), Categorical(p.logits[here]))
    return total


J5 = (
    derive(
        "J5",
        "the bound with K weights is an ELBO on a larger space",
        Weighted.draw,
        assumptions=DRAWN
        + "; Q^(K): draw them, then choose j with probability v_j; P^(K): j at random, z_j from p(z|x), the rest from q",
        source="Domke and Sheldon 2018; Cremer, Morris and Duvenaud 2017",
    )
    .start(
        given(r"\mathbb{E}_{q^{(K)}}\left[\log \left(\tfrac1K \sum_{k=1}^K w_k\right)\right]", bound(3)),
        why="the bound, by the package's function",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q^{(K)}}\left[\sum_{j=1}^K v_j \log \frac{w_j}{K v_j}\right],\quad v_j = \frac{w_j}{\sum_{k=1}^K w_k},\quad w_k = \frac{p(x, z_k)}{q(z_k)},\quad K = 3"
        ),
        "the shares v sum to 1; the mean weight is w_j / (K v_j)",
        why="a mean over the chosen j comes in",
        needs="Σ_j v_j = 1",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q^{(K)}}\left[\sum_{j=1}^K v_j\,\left[\log p(x) + \log \frac{p(z_j \mid x)}{K\,v_j\,q(z_j)}\right]\right]"
        ),
        "w_j = p(x) p(z_j|x) / q(z_j); the other q cancel in P / Q",
        why="the fraction is P / Q",
    )
    .eq(
        tex(r"\log p(x) - \mathrm{KL}(Q^{(K)} \,\Vert\, P^{(K)})"),
        "definition of KL on the larger space",
        why="an ordinary ELBO, its latent being (z_1, ..., z_K, j)",
    )
    .slip(
        "KL swapped",
        tex(r"\log p(x) - \mathrm{KL}(P^{(K)} \,\Vert\, Q^{(K)})"),
        "KL(P || Q); the draws are from Q.",
    )
    .slip(
        "no 1/K",
        tex(r"\log p(x) - \mathrm{KL}(Q^{(K)} \,\Vert\, P^{(K)}) + \log K"),
        "P lacks 1/K, the probability of each j: then it sums to K.",
    )
    .slip(
        "gap of a single draw",
        tex(r"\log p(x) - \mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        "KL(q || p(z|x)) was taken for the gap: that is the case K = 1.",
    )
    .le(
        tex(
            r"\log p(x) - \sum_s c(s) \log \frac{c(s)}{p(s \mid x)},\quad c(s) = \mathbb{E}_{q^{(K)}}\left[\sum_{j=1}^K v_j\,\mathbb{1}[z_j = s]\right]"
        ),
        "chain rule of KL: z_j alone is closer than the whole",
        why="c is the law of the chosen z_j; the rest is dropped",
        gap=gap_of_the_rest,
    )
    .slip(
        "equal for the chosen z",
        says="the law of z_j alone was taken for the whole: L_K is only a bound on that ELBO.",
        relation="=",
    )
    .slip(
        "chosen z is exact",
        tex(r"\log p(x)"),
        "the chosen z was taken for a sample of the posterior: that is so for infinite K only.",
    )
)


# ------------------------------------------------------------------------------- many draws: the rates of B10, J3, J8


def relative_weights(w: DiscreteWitness) -> Array:
    """w(z) / p(x) of each state; their mean under q is one."""
    return np.exp(log_weights(w) - w.model.log_evidence(w.x))


def relative_moments(probabilities: Array, ratios: Array) -> tuple[Any, Any]:
    """Second and third central moment of weights with mean one."""
    return probabilities @ (ratios - 1) ** 2, probabilities @ (ratios - 1) ** 3


def three_states(rng: Rng) -> Weighted:
    """Where the next order, 1/K of the leading one, does not vanish by chance, neither for q nor for the prior as q."""
    while True:
        w = Weighted.draw(rng, num_states=3, num_values=4)
        by_prior = np.exp(w.model.log_likelihood(w.x, states(w)) - w.model.log_evidence(w.x))
        found = [relative_moments(w.q.probs, relative_weights(w)), relative_moments(w.model.prior, by_prior)]
        if all(abs(0.75 * m2**2 - m3 / 3) >= max(0.1 * m2, 0.3 * m2**2) and 0.05 <= m2 <= 2 for m2, m3 in found):
            return w


ASYMPTOTIC = 0.1  # K = 128 at best: a limit is judged by how its error shrinks, not by its size

J3 = (
    derive(
        "J3",
        "the gap falls like 1/K",
        three_states,
        assumptions=DRAWN + "; Var(w) finite, as for all weights that are bounded",
        source="Maddison et al. 2017, proposition 1; Nowozin 2018",
    )
    .start(
        tex(
            r"K\,\left[\log p(x) - \mathbb{E}_n\left[\log \left(\tfrac1K \sum_z n_z\,w(z)\right)\right]\right],\quad w(z) = \frac{p(x, z)}{q(z)}"
        ),
        why="the gap, magnified; n_z counts how often z occurs among the K draws",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .eq(
        tex(r"\tfrac{K}{2}\,\mathbb{E}_n\left[\delta^2\right],\quad \delta = \frac{1}{K\,p(x)} \sum_z n_z\,w(z) - 1"),
        "log(1 + δ) = δ - δ^2/2 + O(δ^3), and E[δ] = 0",
        why="δ is the relative error of the mean weight: its first order has mean 0",
        needs="K large: the difference must halve from K = 64 to 128",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .slip("no 1/2", tex(r"K\,\mathbb{E}_n\left[\delta^2\right]"), "the 1/2 of the quadratic term was lost.")
    .eq(
        tex(r"\tfrac{1}{2 p(x)^2}\,\mathrm{Var}_q(w)"),
        "J4: the variance of a mean of K",
        exact=True,
        why="K cancels",
        needs="Var(w) finite",
    )
    .slip(
        "no p(x)^2",
        tex(r"\tfrac12\,\mathrm{Var}_q(w)"),
        "the variance was not taken relative to p(x)^2.",
    )
    .slip(
        "standard deviation",
        tex(r"\tfrac{1}{2 p(x)} \sqrt{\mathrm{Var}_q(w)}"),
        "a standard deviation was taken for the variance: the bias is of second order.",
    )
    .slip(
        "variance of log w",
        tex(r"\tfrac12\,\mathrm{Var}_q(\log w)"),
        "the variance of the log-weight was taken: that is the rule near the posterior (F20).",
    )
    .eq(
        tex(r"\tfrac12\,\chi^2(p(z \mid x) \,\Vert\, q)"),
        "w = p(x) p(z|x) / q(z)",
        why="a distance between q and the posterior",
    )
    .slip(
        "chi-square swapped",
        tex(r"\tfrac12\,\chi^2(q \,\Vert\, p(z \mid x))"),
        "the divergence is divided by p(z|x); the draws are from q, so q is in the denominator.",
    )
    .slip(
        "KL of a single draw",
        tex(r"\mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        "the gap of K = 1 was divided by K: the gap starts at KL, but falls towards chi-square / 2K.",
    )
)


B10 = (
    derive(
        "B10",
        "the logarithm of naive Monte Carlo is too small",
        three_states,
        assumptions="z_1, ..., z_S independent from the prior; Var(p(x|z)) finite",
        source="the delta method; compare Burda et al. 2016, section 3",
    )
    .start(
        tex(
            r"S\,\left[\log p(x) - \mathbb{E}_m\left[\log \hat p\right]\right],\quad \hat p = \tfrac1S \sum_z m_z\,p(x \mid z)"
        ),
        why="the bias, magnified; m_z counts how often z occurs among S draws from the prior",
        needs="z_s from the prior",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .eq(
        tex(r"\tfrac{S}{2 p(x)^2}\,\mathrm{Var}_m(\hat p)"),
        "delta method: the logarithm to second order",
        needs="S large: the difference must halve from S = 64 to 128",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .eq(
        tex(r"\tfrac{1}{2 p(x)^2}\,\mathrm{Var}_{p(z)}(p(x \mid z))"),
        "the variance of a mean of S independent terms",
        exact=True,
        why="S cancels",
        needs="independent draws",
    )
    .slip(
        "no 1/2",
        tex(r"\tfrac{1}{p(x)^2}\,\mathrm{Var}_{p(z)}(p(x \mid z))"),
        "the 1/2 of the quadratic term was lost.",
    )
    .slip(
        "no p(x)^2",
        tex(r"\tfrac12\,\mathrm{Var}_{p(z)}(p(x \mid z))"),
        "the variance was not taken relative to p(x)^2.",
    )
    .slip(
        "standard deviation",
        tex(r"\tfrac{1}{2 p(x)} \sqrt{\mathrm{Var}_{p(z)}(p(x \mid z))}"),
        "a standard deviation was taken for the variance.",
    )
    .slip("no bias", tex("0"), "an unbiased p(x) was taken to give an unbiased log p(x).")
    .eq(
        tex(r"\tfrac12\,\chi^2(p(z \mid x) \,\Vert\, p(z))"),
        "Bayes' rule: p(x|z) / p(x) = p(z|x) / p(z)",
        why="the rule of J3, with the prior for q",
    )
    .slip(
        "too large",
        tex(r"-\tfrac12\,\chi^2(p(z \mid x) \,\Vert\, p(z))"),
        "the sign is turned: the logarithm of an unbiased estimate is too small on average.",
    )
)


def for_effective_size(rng: Rng) -> Weighted:
    """Where the term of order 1/K of E[ESS / K] does not vanish by chance (second derivatives of m_1^2 / m_2)."""
    while True:
        w = Weighted.draw(rng, num_states=3, num_values=4)
        q, r = w.q.probs, relative_weights(w)
        second, third, fourth = (q @ r**n for n in (2, 3, 4))
        slope = (second - 1) / second - 2 * (third - second) / second**2 + (fourth - second**2) / second**3
        if second >= 1.1 and abs(slope) >= 0.05:
            return w


def at_posterior(rng: Rng) -> Weighted:
    w = for_effective_size(rng)
    return replace(w, q=w.model.posterior(w.x))


J8 = (
    derive(
        "J8",
        "the effective sample size",
        for_effective_size,
        assumptions=DRAWN + "; E[w^2] finite for the limit",
        source="Kong, Liu and Wong 1994; Owen 2013, section 9.3",
    )
    .start(tex("1"), why="all K draws count in full")
    .ge(
        tex(
            r"\mathbb{E}_n\left[\frac{\left(\sum_z n_z\,w(z)\right)^2}{K \sum_z n_z\,w(z)^2}\right],\quad w(z) = \frac{p(x, z)}{q(z)}"
        ),
        "Cauchy-Schwarz; equal if all weights are equal",
        why="ESS / K, where n_z of the K draws are in state z",
        needs="some weight is not zero",
        equality=at_posterior,
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .slip(
        "sum of weights over sum of squares",
        tex(r"\mathbb{E}_n\left[\frac{\sum_z n_z\,w(z)}{\sum_z n_z\,w(z)^2}\right]"),
        "the numerator is not squared: then the value depends on the unit of the weights.",
    )
    .eq(
        tex(
            r"\mathbb{E}_n\left[\frac{1}{1 + V}\right],\quad V = \frac{\tfrac1K \sum_z n_z\,(w(z) - \bar w)^2}{\bar w^2},\quad \bar w = \tfrac1K \sum_z n_z\,w(z)"
        ),
        "mean square = variance + squared mean",
        exact=True,
        why="V is the squared coefficient of variation of the K weights",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .slip(
        "variation not squared",
        tex(r"\mathbb{E}_n\left[\frac{1}{1 + \sqrt{V}}\right]"),
        "the coefficient of variation was not squared.",
    )
    .eq(
        tex(r"\frac{p(x)^2}{\mathbb{E}_q[w^2]}"),
        "law of large numbers, top and bottom: K grows",
        needs="$\\mathbb{E}_q[w^2]$ finite",
    )
    .slip("upside down", tex(r"\frac{\mathbb{E}_q[w^2]}{p(x)^2}"), "K / ESS was written for ESS / K.")
    .eq(tex(r"\frac{1}{1 + \chi^2(p(z \mid x) \,\Vert\, q)}"), "w = p(x) p(z|x) / q(z), and E[w] = p(x)")
    .slip(
        "chi-square without the 1",
        tex(r"\frac{1}{\chi^2(p(z \mid x) \,\Vert\, q)}"),
        "the mean of squares was taken for the variance: 1 + chi-square is the second moment.",
    )
    .slip(
        "chi-square swapped",
        tex(r"\frac{1}{1 + \chi^2(q \,\Vert\, p(z \mid x))}"),
        "the divergence is divided by p(z|x); the draws are from q.",
    )
    .slip(
        "KL for chi-square",
        tex(r"\frac{1}{1 + \mathrm{KL}(q \,\Vert\, p(z \mid x))}"),
        "KL was taken for chi-square: squared weights need the second power of the ratio.",
    )
)


# ------------------------------------------------------------------- gradients of the bound with K weights: J10, J20


GRID = np.linspace(-9.5, 9.5, 153)  # of the noise, in each direction


def normal_law(e: Array) -> Array:
    """Weights of the trapezoid rule for a standard normal; both ends are far out."""
    law = np.exp(-(e**2) / 2)
    return law / law.sum()


def with_coarse(rule: Callable[[Array], Array]) -> Estimate:
    fine, coarse = rule(GRID), rule(GRID[::2])
    return Estimate(fine, np.abs(fine - coarse))


def log_weight_at(w: BernoulliWitness, e: Array) -> Array:
    """log w at z = mu + sigma e."""
    z = w.q.transform(e)
    return w.model.log_joint(w.x, z) - w.q.log_prob(z)


def in_z(w: BernoulliWitness, e: Array) -> Array:
    """d log w / dz at fixed parameters of q, times dz / d(mu, log sigma) = (1, sigma e); shape (..., 2)."""
    z = w.q.transform(e)
    fit = ((w.x - expit(w.model.logits(z))) * w.model.slope).sum(axis=-1)  # d log p(x|z) / dz
    slope = fit - z + e / w.q.scale  # and of log p(z) and -log q(z)
    return slope[..., None] * np.stack([np.ones_like(e), w.q.scale * e], axis=-1)


def in_parameters(w: BernoulliWitness, e: Array) -> Array:
    """d log q(z) / d(mu, log sigma) at fixed z; shape (..., 2)."""
    return np.stack([e / w.q.scale, e**2 - 1], axis=-1)


def total(w: BernoulliWitness, e: Array) -> Array:
    """d log w / d(mu, log sigma) along z = mu + sigma e."""
    return in_z(w, e) - in_parameters(w, e)


def both(w: BernoulliWitness, power: int, slope: Callable[[BernoulliWitness, Array], Array]) -> Estimate:
    """E[sum_k v_k^power slope(e_k)], v_k the shares of the K = 2 weights."""

    def rule(e: Array) -> Array:
        law, log_weight = normal_law(e), log_weight_at(w, e)
        share = expit(log_weight[:, None] - log_weight)  # v_1, (n, n)
        mean_share = (share**power) @ law + law @ ((1 - share) ** power)  # given e_1; given e_2
        return (law * mean_share) @ slope(w, e)

    return with_coarse(rule)


def bound_of_two(w: BernoulliWitness) -> Any:
    """L_2, by the function that trains and evaluates."""
    law, log_weight = normal_law(GRID), log_weight_at(w, GRID)
    pairs = np.stack(np.broadcast_arrays(log_weight[:, None], log_weight))  # (2, n, n)
    return law @ importance_weighted_bound(pairs, axis=0) @ law


def gradient_of_bound(w: BernoulliWitness, h: float) -> Array:
    """Central differences of L_2 in (mu, log sigma)."""

    def moved(loc: float, log_scale: float) -> Any:
        return bound_of_two(replace(w, q=Normal(w.q.loc + loc, w.q.scale * np.exp(log_scale))))

    return np.array([moved(h, 0) - moved(-h, 0), moved(0, h) - moved(0, -h)]) / (2 * h)


# Means over two noises in sums of 153^2 terms: a tree would take a third of a second for each of them.
PATH = r"\frac{\partial \log w_k}{\partial z_k}\,\frac{d z_k}{d(\mu, \log\sigma)}"
SCORE = r"\frac{\partial \log q(z_k)}{\partial(\mu, \log\sigma)}"

J10 = (
    derive(
        "J10",
        "the gradient of the bound, reparameterized twice",
        BernoulliWitness.draw,
        assumptions="z_k = mu + sigma e_k; log w is smooth in z, and its gradient has a second moment; here K = 2",
        source="Tucker, Lawson, Gu and Maddison 2019",
    )
    .start(
        given(r"\nabla_{\mu, \log\sigma}\,\mathcal{L}_K", gradient_of_bound),
        why="what trains the encoder; here by differences of the package's bound",
        step=1 / 256,
        resolution=1e-3,
    )
    .eq(
        given(
            r"\mathbb{E}\left[\sum_k v_k\,\frac{d \log w_k}{d(\mu, \log\sigma)}\right],\quad v_k = \frac{w_k}{\sum_j w_j}",
            lambda w: both(w, 1, total),
        ),
        "differentiate through z_k = mu + sigma e_k: chain rule",
        exact=True,
        why="each weight counts by its share v_k",
        needs="log w smooth in z",
        resolution=1e-3,
    )
    .eq(
        given(
            rf"\mathbb{{E}}\left[\sum_k v_k\,{PATH}\right] - \mathbb{{E}}\left[\sum_k v_k\,{SCORE}\right]",
            lambda w: both(w, 1, in_z) - both(w, 1, in_parameters),
        ),
        "total derivative: through z, and of q itself",
        why="the first holds the parameters of q fixed, the second z",
        resolution=1e-3,
    )
    .slip(
        "score term added",
        given(
            rf"\mathbb{{E}}\left[\sum_k v_k\,{PATH}\right] + \mathbb{{E}}\left[\sum_k v_k\,{SCORE}\right]",
            lambda w: both(w, 1, in_z) + both(w, 1, in_parameters),
        ),
        "the sign of log q is wrong: q is in the denominator of the weight.",
    )
    .eq(
        given(rf"\mathbb{{E}}\left[\sum_k v_k^2\,{PATH}\right]", lambda w: both(w, 2, in_z)),
        "score term, reparameterized once more: v turns into v^2",
        why="the score term is the mean of v (1 - v) times the path: subtracting it leaves the square",
        needs="q a location-scale law",
    )
    .slip(
        "shares not squared",
        given(rf"\mathbb{{E}}\left[\sum_k v_k\,{PATH}\right]", lambda w: both(w, 1, in_z)),
        "the score term was dropped and the shares kept: right for K = 1 only, biased here.",
        real="a published estimator for K > 1; Tucker et al. 2019 show its bias",
    )
    .slip(
        "equal shares",
        given(rf"\mathbb{{E}}\left[\sum_k \tfrac1K\,{PATH}\right]", lambda w: both(w, 0, in_z) / 2),
        "each sample counts the same: that is the gradient of the ELBO.",
    )
    .slip(
        "shares cubed",
        given(rf"\mathbb{{E}}\left[\sum_k v_k^3\,{PATH}\right]", lambda w: both(w, 3, in_z)),
        "the share entered three times: once in the bound, once from the score term.",
    )
    .slip(
        "score term kept",
        given(
            rf"\mathbb{{E}}\left[\sum_k v_k^2\,\left({PATH} - {SCORE}\right)\right]",
            lambda w: both(w, 2, total),
        ),
        "the score of q was counted again: the square already holds it.",
    )
)


@dataclass(frozen=True)
class NoisyGradient:
    """x | z ~ N(slope z + offset, noise_variance), one x, and a q that is off the posterior and wider than it."""

    slope: float
    offset: float
    noise_variance: float
    x: float
    q: Normal
    seed: int  # of the measured line

    @classmethod
    def draw(cls, rng: Rng) -> NoisyGradient:
        for _ in range(30):
            slope, offset = float(away_from_zero(rng, 0.5, 1.5)), float(away_from_zero(rng, 0.3, 1.0))
            noise_variance = generic_noise_variance(rng)
            x = slope * float(away_from_zero(rng, 0.3, 1.5)) + offset + float(away_from_zero(rng, 0.2, 0.8))
            w = cls(slope, offset, noise_variance, x, Normal(0.0, 1.0), int(rng.integers(2**31)))
            loc, scale = w.posterior
            q = Normal(loc + float(away_from_zero(rng, 0.5, 1.0)) * scale, scale * rng.uniform(1.2, 1.7))
            w = replace(w, q=q)
            at = [exact_ratios(w, 1 / draws) for draws in (64, 128, 256)]
            falls = (at[0] - at[1]) / (at[1] - at[2])  # 2 where the term of order 1/K leads
            if np.all((falls > 1.6) & (falls < 2.6)):
                break
        return w

    def scope(self) -> Scope:
        """p(x, z) with slope a, offset b and noise c; q = N(mu, sigma^2); the posterior N(m, s^2)."""
        (loc, scale), variance = self.posterior, self.slope**2 + self.noise_variance
        joint = JointGaussian(
            {"z": 0, "x": 0}, np.array([0.0, self.offset]), np.array([[1.0, self.slope], [self.slope, variance]])
        )
        return Scope(
            worlds={"p": joint, "q": Law("z", self.q)},
            observed={"x": self.x},
            values={"a": self.slope, "b": self.offset, "c": self.noise_variance, "m": loc, "s": scale}
            | moment_names(self.q),
        )

    @property
    def posterior(self) -> tuple[float, float]:
        """Mean and standard deviation of p(z | x)."""
        variance = 1 / (1 + self.slope**2 / self.noise_variance)
        return variance * self.slope * (self.x - self.offset) / self.noise_variance, np.sqrt(variance)

    def parts(self, e: Array) -> tuple[Array, Array, Array]:
        """At z = mu + sigma e: w / p(x), d log w / d mu, and d log w / d offset."""
        z = self.q.transform(e)
        error = self.x - self.slope * z - self.offset
        log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(0.0, np.sqrt(self.noise_variance)).log_prob(error)
        evidence = Normal(self.offset, np.sqrt(self.slope**2 + self.noise_variance)).log_prob(self.x)
        ratio = np.exp(log_joint - self.q.log_prob(z) - evidence)
        return ratio, self.slope * error / self.noise_variance - z, error / self.noise_variance


NOISE = np.linspace(-9.0, 9.0, 241)
LAW = np.exp(-(NOISE**2) / 2) / np.exp(-(NOISE**2) / 2).sum()


def exact_ratios(w: NoisyGradient, h: float) -> Array:
    """sqrt(K) SNR of the encoder, SNR / sqrt(K) of the decoder, by 1 / S = int e^(-tS) dt with S = sum_k w_k."""
    draws, log_t = round(1 / h), np.linspace(-30.0, 20.0, 501)  # below, what is left out grows like K^2
    t = np.exp(log_t)
    ratio, *slopes = w.parts(NOISE)
    decay = np.exp(-np.outer(t, ratio))
    measure = t * (log_t[1] - log_t[0])  # dt

    phi = decay @ LAW
    found = []
    for slope in slopes:
        once = decay @ (LAW * ratio * slope)  # E[w s e^(-tw)]
        twice = decay @ (LAW * (ratio * slope) ** 2)
        mean = draws * measure @ (once * phi ** (draws - 1))
        square = draws * measure @ (t * (twice * phi ** (draws - 1) + (draws - 1) * once**2 * phi ** (draws - 2)))
        found.append(np.abs(mean) / np.sqrt(square - mean**2))
    return np.array([found[0] * np.sqrt(draws), found[1] / np.sqrt(draws)])


def gradients(w: NoisyGradient, draws: int, n: int) -> Array:
    """n gradients of the bound with K weights, (n, 2): in mu of the encoder, in the offset of the decoder."""
    ratio, *slopes = w.parts(np.random.default_rng(w.seed).standard_normal((n, draws)))
    share = ratio / ratio.sum(axis=1, keepdims=True)
    return np.stack([(share * slope).sum(axis=1) for slope in slopes], axis=1)


def measured_ratios(w: NoisyGradient, draws: int = 64, n: int = 20_000) -> Estimate:
    """The same from n gradients, with the standard error of mean / deviation by the delta method.

    A gradient is a mean, by shares, of slopes linear in the noise: all its moments are finite.
    """
    g = gradients(w, draws, n)
    mean, deviation = g.mean(axis=0), g.std(axis=0)
    standard = (g - mean) / deviation
    snr = mean / deviation
    error = (standard - snr / 2 * (standard**2 - 1)).std(axis=0) / np.sqrt(n)
    scale = np.array([np.sqrt(draws), 1 / np.sqrt(draws)])
    return Estimate(np.abs(snr) * scale, error * scale, n)


PAIR = r"\left(\sqrt{K}\,\mathrm{SNR}_\varphi,\ \mathrm{SNR}_\theta / \sqrt{K}\right)"

J20 = (
    derive(
        "J20",
        "more weights, a noisier gradient of the encoder",
        NoisyGradient.draw,
        assumptions="w and its gradient have third moments (q wider than the posterior); K grows",
        source="Rainforth et al. 2018, theorem 1",
    )
    .start(
        given(
            PAIR + r" \text{ of 20,000 gradients},\quad \mathrm{SNR} = \lvert \text{mean} \rvert / \text{deviation}",
            measured_ratios,
        ),
        resolution=0.5,
    )
    .eq(
        given(PAIR + r" \text{ by } \tfrac{1}{S} = \int_0^\infty e^{-tS}\,dt,\quad S = \sum_k w_k", exact_ratios),
        "the e^(-t w_k) are independent: two integrals are left",
        why="exact for every K",
        step=1 / 256,  # so large a K that terms of order 1/K^2 do not cancel those of order 1/K
        order=1,
        resolution=0.2,
    )
    .slip(
        "ratios do not change with K",
        given(
            r"\left(\mathrm{SNR}_\varphi,\ \mathrm{SNR}_\theta\right) \text{ by the same two integrals}",
            lambda w, h: exact_ratios(w, h) * np.array([h**0.5, h**-0.5]),
        ),
        "both ratios were taken to be the same for every K: the factors sqrt K are missing.",
    )
    .slip(
        "deviation does not fall",
        given(
            r"\left(K\,\mathrm{SNR}_\varphi,\ \mathrm{SNR}_\theta / \sqrt{K}\right) \text{ by the same two integrals}",
            lambda w, h: exact_ratios(w, h) * np.array([h**-0.5, 1.0]),
        ),
        "only the mean of the encoder's gradient was taken to fall: its deviation falls like 1/sqrt K.",
    )
    .eq(
        tex(
            r"\left(\frac{|\mathbb{E}_q[r^2 g]|}{\sqrt{\mathbb{E}_q[r^2 g^2]}},\ \frac{|t|}{\sqrt{\mathbb{E}_q[r^2\,(h - t)^2]}}\right),\quad r = \frac{p(z \mid x)}{q(z)},\quad g = \tfrac{a}{c}\,(x - a z - b) - z,\quad t = \mathbb{E}_q[r h],\quad h = \tfrac1c\,(x - a z - b)"
        ),
        "mean: gradient of J3, order 1/K; deviation: order 1/sqrt K",
        why="g and h are the slopes of log w for encoder and decoder, t that of log p(x)",
        needs="r and its gradient have third moments",
    )
    .slip(
        "gradient of the variance, without 1/2",
        tex(
            r"\left(\frac{2\,|\mathbb{E}_q[r^2 g]|}{\sqrt{\mathbb{E}_q[r^2 g^2]}},\ \frac{|t|}{\sqrt{\mathbb{E}_q[r^2\,(h - t)^2]}}\right)"
        ),
        "the 1/2 of the bias (J3) was lost on the way.",
    )
    .slip(
        "mean not taken off",
        tex(
            r"\left(\frac{|\mathbb{E}_q[r^2 g]|}{\sqrt{\mathbb{E}_q[r^2 g^2]}},\ \frac{|t|}{\sqrt{\mathbb{E}_q[r^2 h^2]}}\right)"
        ),
        "the second moment of the decoder's gradient was taken for its variance.",
    )
    .eq(
        tex(
            r"\left(\frac{C\,|\mu - m|\,s^2}{v \sqrt{A}},\ \frac{|x - b|\,c}{(a^2 + c)\,|a| \sqrt{A}}\right),\quad A = C\,\left[\frac{\sigma^2 s^2}{v} + \frac{(\mu - m)^2 s^4}{v^2}\right],\quad C = \frac{\sigma^2}{s \sqrt{v}} e^{(\mu - m)^2 / v},\quad v = 2\sigma^2 - s^2"
        ),
        "linear-Gaussian: posterior N(m, s^2), log w quadratic in z",
        why="p(z|x)^2 / q is C times a Gaussian; C = 1 + chi-square, and A is its second moment about m",
        needs="v > 0",
    )
    .slip(
        "widths added",
        tex(
            r"\left(\frac{C\,|\mu - m|\,s^2}{v \sqrt{A}},\ \frac{|x - b|\,c}{(a^2 + c)\,|a| \sqrt{A}}\right),\quad v = 2\sigma^2 + s^2"
        ),
        "2 sigma^2 + s^2 was taken for 2 sigma^2 - s^2: p(z|x)^2 / q divides by q.",
    )
)


# ------------------------------------------------------------------------------ annealed importance sampling, J13, J14


@dataclass(frozen=True)
class AnnealedTable:
    """A table with four states, an observation, five temperatures, and proposals for two Metropolis-Hastings moves."""

    model: DiscreteLatent
    x: int
    temperatures: Array  # (T + 1,), from 0 to 1
    proposals: Array  # (2, states, states), each row a law

    @classmethod
    def draw(cls, rng: Rng) -> AnnealedTable:
        w = DiscreteWitness.draw(rng)
        inner = (np.arange(1, 5) + rng.uniform(-0.3, 0.3, 4)) / 5
        proposals = np.stack([generic_probabilities(rng, (4, 4)) for _ in range(2)])
        return cls(w.model, w.x, np.concatenate([[0.0], inner, [1.0]]), proposals)

    @property
    def log_f(self) -> Array:
        """log f_t(z) = log p(z) + b_t log p(x | z), (T + 1, states): the path from the prior to the joint."""
        z = np.arange(self.model.prior.size)
        return self.model.log_prior(z) + self.temperatures[:, None] * self.model.log_likelihood(self.x, z)

    def moves(self, t: int, reverse: bool = False, accept: bool = True) -> Array:
        """Transition table that leaves f_t invariant, (states, states): two moves, one after the other."""
        tables = [metropolis_hastings(p, self.log_f[t]) if accept else p for p in self.proposals]
        return tables[1] @ tables[0] if reverse else tables[0] @ tables[1]

    @property
    def paths(self) -> Array:
        """All (z_1, ..., z_T), (states^T, T); z_t is where the chain is weighed for the t-th time."""
        return tuples(self.model.prior.size, len(self.temperatures) - 1)

    @property
    def log_weights(self) -> Array:
        """log w = sum_t log f_t(z_t) / f_(t-1)(z_t) of each path."""
        ratios = np.diff(self.log_f, axis=0)  # (T, states)
        return sum(ratios[t][z] for t, z in enumerate(self.paths.T))

    @property
    def forward(self) -> Array:
        """log of the probability of each path, from the prior upwards."""
        z = self.paths.T
        moves = (np.log(self.moves(t)[z[t - 1], z[t]]) for t in range(1, len(z)))
        return self.model.log_prior(z[0]) + sum(moves)

    def backward(self, start: Array) -> Array:
        """The same from z_T drawn from `start`, (states,), downwards: each move reversed."""
        z = self.paths.T
        moves = (np.log(self.moves(t, reverse=True)[z[t], z[t - 1]]) for t in range(1, len(z)))
        return np.log(start)[z[-1]] + sum(moves)

    def scope(self) -> Scope:
        """f_t(z); the move M_t(z' | z), its reverse R_t(z' | z), and G(z' | z), which accepts every proposal; paths
        z = (z_1, ..., z_T) with their laws F, forward, and B, backward from the posterior.
        """
        steps, number = len(self.temperatures) - 1, self.model.prior.size
        states, paths = States.count(number), States(self.paths)

        def move(tables: Array) -> Conditional:
            return Conditional("new", ("old",), lambda old: Categorical(np.log(tables)[old.astype(int)]))

        tables = np.stack([self.moves(t) for t in range(1, steps + 1)])
        reversed_tables = np.stack([self.moves(t, reverse=True) for t in range(1, steps + 1)])
        return Scope(
            worlds={
                "p": Table(("s", "x"), self.model.joint),
                "f_": lambda t: Unnormalized(self.log_f, t + 1),
                "M_": lambda t: Moves(tables, t),
                "R_": lambda t: Moves(reversed_tables, t),
                "G": move(self.proposals[0] @ self.proposals[1]),
                "F": Paths(self.forward, paths, number),
                "B": Paths(self.backward(self.model.posterior(self.x).probs), paths, number),
            },
            observed={"x": self.x},
            values={"T": steps},
            spaces={"z": paths, "s": states},
        )


@dataclass(frozen=True, eq=False)
class Unnormalized:
    """f_t(z) for t of any shape; log_f of shape (T + 1, states)."""

    log_f: Array
    t: Array
    variables = ("s",)

    def log_prob(self, targets: Any, givens: Any, rule: Any) -> Array:
        return self.log_f[self.t, targets["s"].data.astype(int)]

    def space(self, target: str, givens: Any) -> States:
        return States.count(self.log_f.shape[1])


@dataclass(frozen=True, eq=False)
class Moves:
    """The law of the next state under the t-th of several transition tables, (T, states, states)."""

    tables: Array
    t: Array
    variables = ("new", "old")

    def log_prob(self, targets: Any, givens: Any, rule: Any) -> Array:
        return np.log(self.tables[self.t, givens["old"].data.astype(int), targets["new"].data.astype(int)])

    def space(self, target: str, givens: Any) -> States:
        return States.count(self.tables.shape[1])


@dataclass(frozen=True, eq=False)
class Paths:
    """A law of the path z = (z_1, ..., z_T): one log-probability for each of all paths."""

    log_probs: Array
    every: States
    number: int  # of states
    variables = ("z",)

    def log_prob(self, targets: Any, givens: Any, rule: Any) -> Array:
        z = np.moveaxis(targets["z"].data.astype(int), -1, 0)
        return self.log_probs[np.ravel_multi_index(tuple(z), (self.number,) * len(z))]

    def space(self, target: str, givens: Any) -> States:
        return self.every


def metropolis_hastings(proposal: Array, log_f: Array) -> Array:
    """Propose a row's law, accept with min(1, f(z') g(z|z') / (f(z) g(z'|z))), or stay."""
    odds = np.exp(log_f[None, :] - log_f[:, None]) * proposal.T / proposal
    table = proposal * np.minimum(1.0, odds)
    np.fill_diagonal(table, 0.0)
    return table + np.diag(1 - table.sum(axis=1))


def greedy(w: AnnealedTable) -> Any:
    """E[w] with a kernel that stays where the next weight would fall."""
    ratios = np.exp(np.diff(w.log_f, axis=0))
    mass = np.exp(w.log_f[0]) * ratios[0]
    for t in range(1, len(ratios)):
        table = np.where(ratios[t][None, :] > ratios[t][:, None], w.moves(t), 0.0)
        mass = (mass @ (table + np.diag(1 - table.sum(axis=1)))) * ratios[t]
    return mass.sum()


J13 = (
    derive(
        "J13",
        "annealed importance sampling is unbiased",
        AnnealedTable.draw,
        assumptions="z_1 from f_0; the move M_t leaves f_t invariant; it need not mix",
        source="Neal 2001, section 2",
    )
    .start(
        tex(r"\mathbb{E}_F\left[w\right],\quad w = \prod_{t=1}^T \frac{f_t(z_t)}{f_{t-1}(z_t)}"),
        why="what a run estimates; F is the law of its path",
        needs="z_1 from f_0",
    )
    .eq(
        tex(
            r"\sum_z f_0(z_1) \left[\prod_{t=1}^{T-1} M_t(z_{t+1} \mid z_t)\right] \prod_{t=1}^T \frac{f_t(z_t)}{f_{t-1}(z_t)}"
        ),
        "write the mean out: a sum over all paths",
        why="weigh at z_t, then move from z_t to z_{t+1}",
    )
    .slip(
        "move before weighing",
        tex(
            r"\sum_z f_0(z_1) \left[\prod_{t=1}^{T-1} M_t(z_{t+1} \mid z_t)\,\frac{f_t(z_{t+1})}{f_{t-1}(z_{t+1})}\right] \frac{f_T(z_T)}{f_{T-1}(z_T)}"
        ),
        "the chain moved first and was weighed at its new place: f_t is then not what it came from.",
    )
    .slip(
        "no acceptance step",
        tex(
            r"\sum_z f_0(z_1) \left[\prod_{t=1}^{T-1} G(z_{t+1} \mid z_t)\right] \prod_{t=1}^T \frac{f_t(z_t)}{f_{t-1}(z_t)}"
        ),
        "every proposal was accepted: the moves G then do not leave f_t invariant.",
    )
    .slip(
        "move for the next temperature",
        tex(
            r"\sum_z f_0(z_1) \left[\prod_{t=1}^{T-1} M_{t+1}(z_{t+1} \mid z_t)\right] \prod_{t=1}^T \frac{f_t(z_t)}{f_{t-1}(z_t)}"
        ),
        "the move leaves f_(t+1) invariant, but the chain has been weighed up to f_t only.",
    )
    .slip(
        "step size tuned on the way",
        given(r"\mathbb{E}\left[w\right] \text{ of chains that move only where that raises the next weight}", greedy),
        "the kernel listened to the chain: here it moves only where that raises the weight.",
    )
    .eq(
        tex(r"\sum_z f_1(z_1) \prod_{t=1}^{T-1} M_t(z_{t+1} \mid z_t)\,\frac{f_{t+1}(z_{t+1})}{f_t(z_{t+1})}"),
        "the weight turns f_0 into f_1, where the chain is now",
        why="f_0 cancels",
        needs="weigh before the move",
    )
    .eq(
        tex(r"\sum_s f_T(s)"),
        "M_1 keeps f_1, the weight makes it f_2, ..., f_T",
        why="the sums are taken from the left: those over z_1, then z_2, ...",
        needs="each M_t keeps f_t",
    )
    .slip("normalized f", tex("1"), "f_T was normalized: its sum is what is sought.")
    .eq(tex(r"p(x)"), "sum rule: f_T(z) = p(x,z)")
)


J14 = (
    derive(
        "J14",
        "log p(x) between a forward and a backward chain",
        AnnealedTable.draw,
        assumptions="as J13; F: forward; B: backward from an exact posterior sample, each move reversed",
        source="Grosse, Ghahramani and Adams 2015; Grosse, Ancha and Roy 2016",
    )
    .start(
        tex(r"\mathbb{E}_F\left[\log w\right],\quad w = \prod_{t=1}^T \frac{f_t(z_t)}{f_{t-1}(z_t)}"),
        why="what a forward run reports",
    )
    .eq(
        tex(r"\sum_{t=1}^T \mathbb{E}_F\left[\log \frac{f_t(z_t)}{f_{t-1}(z_t)}\right]"),
        "the logarithm of a product; expectation is linear",
        why="one number for each temperature",
    )
    .slip(
        "move before weighing",
        tex(
            r"\sum_{t=1}^{T-1} \mathbb{E}_F\left[\log \frac{f_t(z_{t+1})}{f_{t-1}(z_{t+1})}\right] + \mathbb{E}_F\left[\log \frac{f_T(z_T)}{f_{T-1}(z_T)}\right]"
        ),
        "the chain moved first and was weighed at its new place.",
    )
    .eq(
        tex(r"\log p(x) - \mathrm{KL}(F \,\Vert\, B)"),
        "on every path w = p(x) B / F",
        why="an ELBO over paths",
        needs="each move keeps its f_t, and is reversed on the way back",
    )
    .slip(
        "KL swapped",
        tex(r"\log p(x) - \mathrm{KL}(B \,\Vert\, F)"),
        "KL(backward || forward) was subtracted: the forward chain is averaged forward.",
    )
    .le(
        tex(r"\log p(x)"),
        "KL is never negative",
        why="the lower side",
        gap=tex(r"\mathrm{KL}(F \,\Vert\, B)"),
    )
    .slip(
        "above instead of below",
        says="the forward chain was taken for an upper bound: its logarithm is too small on average.",
        relation=">=",
    )
    .le(
        tex(r"\log p(x) + \mathrm{KL}(B \,\Vert\, F)"),
        "KL is never negative",
        why="the upper side",
        gap=tex(r"\mathrm{KL}(B \,\Vert\, F)"),
    )
    .eq(
        tex(r"\mathbb{E}_B\left[\log w\right]"),
        "w = p(x) B / F, now averaged backward",
        why="what a backward run reports",
        needs="z_T an exact sample of p(z | x)",
    )
    .slip(
        "backward from the prior",
        tex(r"\sum_z f_0(z_T) \left[\prod_{t=1}^{T-1} R_t(z_t \mid z_{t+1})\right] \log w"),
        "the backward chain started at the prior: it must start at an exact posterior sample.",
    )
    .slip(
        "backward from where the forward chain ended",
        tex(
            r"\sum_s \mathbb{E}_F\left[\mathbb{1}[z_T = s]\right] \sum_z \mathbb{1}[z_T = s] \left[\prod_{t=1}^{T-1} R_t(z_t \mid z_{t+1})\right] \log w"
        ),
        "the end of a forward chain was taken for an exact posterior sample: no bound from above then.",
    )
    .slip(
        "logarithm outside",
        tex(r"-\log \mathbb{E}_B\left[\tfrac1w\right]"),
        "the mean of 1/w was taken before the logarithm: that gives log p(x), not what a chain reports.",
    )
)

CHAPTER = (B10, J1, J2, J3, J4, J5, J8, J10, J13, J14, J18, J20)
