r"""Chapter J: importance-weighted and annealed bounds.

On a table, K draws from q are finitely many: tuples are enumerated (J1, J2, J4, J5), or counted by how often each state
occurs (B10, J3, J8), and the chains of annealed sampling are enumerated path by path (J13, J14). So the means over
samples are exact, and what is tested is the identity alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import expit, gammaln, logsumexp

from vaelib.derivation import derive
from vaelib.distributions import Categorical, Normal, kl_divergence
from vaelib.elbo import importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.models import DiscreteLatent
from vaelib.witnesses import (
    BernoulliWitness,
    DiscreteWitness,
    away_from_zero,
    generic_noise_variance,
    generic_probabilities,
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
        return [Scope(values={"a": a, "K": k}, ranges={"k": k}) for a in self.log_weights.T]


def in_decimals(w: LogWeights) -> Array:
    """log 1/K sum_k e^(a_k) with 40 digits and exponents down to -10^5, where nothing underflows."""
    with localcontext() as context:
        context.prec = 40
        columns = ([Decimal(float(a)).exp() for a in column] for column in w.log_weights.T)
        return np.array([float((sum(column, Decimal(0)) / len(column)).ln()) for column in columns])


def shifted(w: LogWeights) -> Array:
    largest = w.log_weights.max(axis=0)
    return largest + np.log(np.mean(np.exp(w.log_weights - largest), axis=0))


J18 = (
    derive(
        "J18",
        "the logarithm of a mean of weights, without underflow",
        LogWeights.draw,
        assumptions="finite log-weights",
        source="Burda, Grosse and Salakhutdinov 2016, equation (8); the implementation",
    )
    .start(tex(r"\log \left[\tfrac1K \sum_k e^{a_k}\right]"))
    .eq(
        tex(r"m + \log \left[\tfrac1K \sum_k e^{a_k - m}\right],\quad m = \max_k a_k"),
        "take the largest out: nothing overflows",
    )
    .slip(
        "exponentials first",
        given("TODO", lambda w: np.log(np.mean(np.exp(w.log_weights), axis=0))),
        "the log-weights were exponentiated as they are: e^-800 is 0 in floating point, e^900 infinite.",
        real="a public repository: its test loss exponentiates raw log-weights",
    )
    .slip(
        "epsilon inside the logarithm",
        given("TODO", lambda w: np.log(np.minimum(np.mean(np.exp(w.log_weights), axis=0), 1e300) + 1e-12)),
        "a small constant was added so that log 0 is avoided: then it is all that is left.",
    )
    .slip(
        "largest not put back",
        given("TODO", lambda w: shifted(w) - w.log_weights.max(axis=0)),
        "the largest log-weight was taken out and not added again.",
    )
    .eq(
        given(r"\mathrm{LSE}(a) - \log K", lambda w: logsumexp(w.log_weights, axis=0) - np.log(len(w.log_weights))),
        "the logarithm of 1/K",
    )
    .slip(
        "no log K",
        given(r"\mathrm{LSE}(a)", lambda w: logsumexp(w.log_weights, axis=0)),
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
        given("TODO", lambda w: importance_weighted_bound(w.log_weights.astype(np.float32).astype(float), axis=0)),
        "the log-weights were stored in single precision: near -10000 that is good to 0.0005 nats only.",
    )
    .ge(
        tex(r"\tfrac1K \sum_k a_k"),
        "Jensen: the logarithm is concave",
        gap=lambda w: kl_divergence(Categorical(0 * w.log_weights.T), Categorical(w.log_weights.T)),
        equality=LogWeights.equal,
    )
    .slip("Jensen turned around", says="Jensen is used for a convex function: log is concave.", relation="<=")
)


# --------------------------------------------------------------------------- K draws from a table: J1, J2, J4 and J5


def states(w: DiscreteWitness) -> Array:
    return np.arange(w.model.prior.size)


def log_weights(w: DiscreteWitness) -> Array:
    """log w(z) = log p(x, z) - log q(z) of each state, (states,)."""
    return w.model.log_joint(w.x, states(w)) - w.q.log_prob(states(w))


def log_evidence(w: DiscreteWitness) -> Any:
    return w.model.log_evidence(w.x)


def relative_weights(w: DiscreteWitness) -> Array:
    """w(z) / p(x) of each state; their mean under q is one."""
    return np.exp(log_weights(w) - log_evidence(w))


def tuples(w: DiscreteWitness, draws: int) -> Array:
    """All (z_1, ..., z_K), (states^K, K)."""
    return np.indices((states(w).size,) * draws).reshape(draws, -1).T


def mean_over_tuples(
    w: DiscreteWitness, draws: int, f: Callable[[Array], Array], law: Categorical | None = None
) -> Any:
    """E[f(w_1, ..., w_K)] for independent z_k from q (or another law); f takes log-weights (tuples, K)."""
    z = tuples(w, draws)
    probabilities = np.exp((w.q if law is None else law).log_prob(z).sum(axis=1))
    return probabilities @ f(log_weights(w)[z])


def bound(draws: int) -> Callable[[DiscreteWitness], Any]:
    """L_K, by the function that trains and evaluates."""
    return lambda w: mean_over_tuples(w, draws, lambda a: importance_weighted_bound(a, axis=1))


def extended(w: DiscreteWitness, draws: int) -> tuple[Categorical, Categorical]:
    """Two laws of (z_1, ..., z_K, j). Q: all z_k from q, then j by weight. P: j at random, z_j from p(z|x), the rest from q."""
    z = tuples(w, draws)
    log_q = w.q.log_prob(z)
    all_from_q = log_q.sum(axis=1, keepdims=True)
    weights = log_weights(w)[z]
    log_share = weights - logsumexp(weights, axis=1, keepdims=True)
    log_p = all_from_q - log_q + w.model.log_posterior(w.x, z) - np.log(draws)
    return Categorical((all_from_q + log_share).ravel()), Categorical(log_p.ravel())


def extended_gap(draws: int, swapped: bool = False) -> Callable[[DiscreteWitness], Any]:
    """KL(Q || P) on the extended space."""

    def value(w: DiscreteWitness) -> Any:
        q, p = extended(w, draws)
        return kl_divergence(p, q) if swapped else kl_divergence(q, p)

    return value


def gap_of_one(w: DiscreteWitness) -> Any:
    """KL(q || p(z|x)) by its definition."""
    return np.sum(w.q.probs * (w.q.log_prob(states(w)) - w.model.log_posterior(w.x, states(w))))


def log_likelihood_under_q(w: DiscreteWitness) -> Any:
    return np.sum(w.q.probs * w.model.log_likelihood(w.x, states(w)))


DRAWN = "z_1, ..., z_K independent from q; q(z) > 0 wherever p(x,z) > 0"
MEAN_WEIGHT = r"\tfrac1K \sum_k w_k"
LOG_MEAN = rf"\log \left({MEAN_WEIGHT}\right)"

J1 = (
    derive(
        "J1",
        "K = 1 is the ELBO; under the logarithm the mean weight is unbiased",
        DiscreteWitness.draw,
        assumptions=DRAWN + "; w_k = p(x,z_k) / q(z_k)",
        source="Burda, Grosse and Salakhutdinov 2016, section 3",
    )
    .start(tex(r"\log p(x)"))
    .eq(tex(r"\log \sum_z q(z)\,\frac{p(x, z)}{q(z)}"), "sum rule; multiply and divide by q(z)")
    .eq(
        given(
            rf"\log \mathbb{{E}}_{{z_1, \ldots, z_K}}\left[{MEAN_WEIGHT}\right],\quad K = 3",
            lambda w: np.log(mean_over_tuples(w, 3, lambda a: np.exp(a).mean(axis=1))),
        ),
        "linear: each of the K weights has this mean",
    )
    .slip(
        "sum of weights",
        given("TODO", lambda w: np.log(mean_over_tuples(w, 3, lambda a: np.exp(a).sum(axis=1)))),
        "the weights were added, not averaged: that estimates K p(x).",
    )
    .slip(
        "drawn from the prior",
        given(
            "TODO",
            lambda w: np.log(
                mean_over_tuples(w, 3, lambda a: np.exp(a).mean(axis=1), Categorical(np.log(w.model.prior)))
            ),
        ),
        "z came from the prior, but was weighed as if from q.",
    )
    .slip(
        "weight without 1/q",
        given("TODO", lambda w: np.log(w.q.probs @ np.exp(w.model.log_joint(w.x, states(w))))),
        "p(x,z) was averaged under q without dividing by q(z).",
    )
    .slip(
        "logarithm inside",
        given("TODO", bound(3)),
        "the logarithm was taken before the mean: that estimate is biased downwards.",
    )
    .ge(
        given(r"\mathbb{E}_{z_1}\left[\log w_1\right] = \mathcal{L}_1", bound(1)),
        "Jensen with K = 1: the logarithm goes inside",
        gap=gap_of_one,
    )
    .slip(
        "unbiased logarithm",
        says="an unbiased p(x) was taken to give an unbiased log p(x): the logarithm is not linear.",
        relation="=",
    )
    .slip("three weights", given("TODO", bound(3)), "three weights were averaged where K is 1.")
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log p(x \mid z)\right] + \mathbb{E}_{q}\left[\log p(z) - \log q(z)\right]"),
        "product rule: log w = log p(x|z) + log p(z) - log q(z)",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log p(x \mid z)\right] - \mathrm{KL}(q \,\Vert\, p(z))"),
        "definition of KL: this is the ELBO",
    )
    .slip(
        "plus KL",
        given("TODO", lambda w: log_likelihood_under_q(w) + kl_divergence(w.q, Categorical(np.log(w.model.prior)))),
        "the KL to the prior is added: it is a price, so it is subtracted.",
    )
)


def over_subsets(inside: Callable[[Array], Array]) -> Callable[[DiscreteWitness], Any]:
    """E[inside(a)] for K = 4 draws, a[..., i] the log of the mean weight of the i-th of the six pairs."""
    pairs = np.array(list(combinations(range(4), 2)))

    def value(w: DiscreteWitness) -> Any:
        return mean_over_tuples(w, 4, lambda a: inside(logsumexp(a[:, pairs], axis=2) - np.log(2)))

    return value


def spread(a: Array) -> Array:
    """log mean e^a - mean a = KL(uniform || e^a / sum e^a), along the last axis: what Jensen loses (J18)."""
    return kl_divergence(Categorical(0 * a), Categorical(a))


J2 = (
    derive(
        "J2",
        "more weights, a tighter bound",
        DiscreteWitness.draw,
        assumptions=DRAWN + "; here K = 4, M = 2, for all M < K the same",
        source="Burda, Grosse and Salakhutdinov 2016, theorem 1",
    )
    .start(tex(r"\log p(x)"))
    .ge(
        given(rf"\mathbb{{E}}\left[{LOG_MEAN}\right] = \mathcal{{L}}_K", bound(4)),
        "Jensen: the mean weight is unbiased (J1)",
        gap=extended_gap(4),
    )
    .slip(
        "no log K",
        given("TODO", lambda w: bound(4)(w) + np.log(4)),
        "the weights were added: log K is missing, and the bound is none.",
    )
    .slip("below instead of above", says="Jensen is used for a convex function: log is concave.", relation="<=")
    .eq(
        given(
            r"\mathbb{E}\left[\log \mathbb{E}_{I}\left[\tfrac1M \sum_{i \in I} w_i\right]\right],\quad I \subset \{1, \ldots, K\},\ M \text{ of them}",
            over_subsets(lambda a: logsumexp(a, axis=1) - np.log(6)),
        ),
        "a random subset holds each k with probability M/K",
    )
    .slip(
        "sum over subsets",
        given("TODO", over_subsets(lambda a: logsumexp(a, axis=1))),
        "the subsets were added, not averaged: there are six of them.",
    )
    .ge(
        given(
            r"\mathbb{E}\,\mathbb{E}_{I}\left[\log \left(\tfrac1M \sum_{i \in I} w_i\right)\right]",
            over_subsets(lambda a: a.mean(axis=1)),
        ),
        "Jensen again, for the mean over subsets",
        gap=over_subsets(spread),
    )
    .slip(
        "more weights, a looser bound",
        says="the inequality is turned around: averaging before the logarithm raises the bound.",
        relation="<=",
    )
    .eq(given(r"\mathcal{L}_M", bound(2)), "M of K independent draws are M independent draws")
    .slip(
        "with replacement",
        given("TODO", lambda w: 0.5 * (bound(2)(w) * 1.5 + bound(1)(w) * 0.5)),
        "the same draw may enter twice: M draws with replacement are fewer independent ones.",
    )
    .ge(
        given(r"\mathcal{L}_1 = \mathrm{ELBO}", lambda w: log_evidence(w) - gap_of_one(w)),
        "the same with 1 for M and M for K",
        gap=lambda w: mean_over_tuples(w, 2, spread),
    )
    .slip(
        "all bounds equal", says="more weights were taken to change the noise only: they raise the mean.", relation="="
    )
)


def variance_of_mean(w: DiscreteWitness) -> Any:
    """Var of the mean of K = 3 weights, from its first two moments."""
    first = mean_over_tuples(w, 3, lambda a: np.exp(a).mean(axis=1))
    return mean_over_tuples(w, 3, lambda a: (np.exp(a).mean(axis=1) - first) ** 2)


def chi_square(w: DiscreteWitness, swapped: bool = False) -> Any:
    """sum_z (p(z|x) - q(z))^2 / q(z)."""
    posterior, q = np.exp(w.model.log_posterior(w.x, states(w))), w.q.probs
    return np.sum((posterior - q) ** 2 / (posterior if swapped else q))


def variance_of_weight(w: DiscreteWitness) -> Any:
    weights = np.exp(log_weights(w))
    return w.q.probs @ weights**2 - (w.q.probs @ weights) ** 2


def evidence(w: DiscreteWitness) -> Any:
    return np.exp(log_evidence(w))


J4 = (
    derive(
        "J4",
        "the variance of the mean weight",
        DiscreteWitness.draw,
        assumptions=DRAWN + "; E[w^2] finite; here K = 3",
        source="Owen 2013, Monte Carlo theory, section 9.1",
    )
    .start(given(rf"\mathrm{{Var}}\left({MEAN_WEIGHT}\right)", variance_of_mean))
    .eq(
        given(r"\tfrac{1}{K^2} \sum_k \mathrm{Var}(w_k)", lambda w: 3 * variance_of_weight(w) / 9),
        "independent draws: no covariances",
    )
    .slip(
        "1/K^2 for 1/K",
        given("TODO", lambda w: variance_of_weight(w) / 9),
        "1/K^2 stayed and the K equal terms were not added up.",
    )
    .slip(
        "not smaller for more draws",
        given("TODO", variance_of_weight),
        "the variance of one weight stands for that of the mean of K.",
    )
    .slip(
        "standard error",
        given("TODO", lambda w: np.sqrt(variance_of_weight(w) / 3)),
        "a standard deviation stands for a variance.",
    )
    .eq(
        given(
            r"\tfrac1K \left(\mathbb{E}_q[w^2] - p(x)^2\right)",
            lambda w: (np.sum(np.exp(2 * w.model.log_joint(w.x, states(w))) / w.q.probs) - evidence(w) ** 2) / 3,
        ),
        "all weights have one law, with mean p(x)",
    )
    .slip(
        "second moment",
        given("TODO", lambda w: np.sum(np.exp(2 * w.model.log_joint(w.x, states(w))) / w.q.probs) / 3),
        "p(x)^2 was not subtracted: that is the second moment.",
    )
    .eq(
        given(
            r"\tfrac{p(x)^2}{K}\left(\sum_z \frac{p(z \mid x)^2}{q(z)} - 1\right)",
            lambda w: (
                evidence(w) ** 2 / 3 * (np.sum(np.exp(2 * w.model.log_posterior(w.x, states(w))) / w.q.probs) - 1)
            ),
        ),
        "Bayes' rule: w = p(x) p(z|x) / q(z)",
    )
    .eq(
        given(r"\tfrac{p(x)^2}{K}\,\chi^2(p(z \mid x) \,\Vert\, q)", lambda w: evidence(w) ** 2 / 3 * chi_square(w)),
        "definition of the chi-square divergence",
    )
    .slip(
        "chi-square swapped",
        given("TODO", lambda w: evidence(w) ** 2 / 3 * chi_square(w, swapped=True)),
        "the divergence is divided by p(z|x); the draws are from q, so q stands below.",
    )
    .slip(
        "no p(x)^2",
        given("TODO", lambda w: chi_square(w) / 3),
        "the relative variance stands for the variance: p(x)^2 is missing.",
    )
)


def chosen(w: DiscreteWitness, draws: int) -> Array:
    """Law of z_j where j is chosen by weight among K draws from q, (states,)."""
    q, _ = extended(w, draws)
    z = tuples(w, draws).ravel()
    return np.array([q.probs[z == state].sum() for state in states(w)])


def gap_of_chosen(w: DiscreteWitness) -> Any:
    return kl_divergence(Categorical(np.log(chosen(w, 3))), w.model.posterior(w.x))


def gap_of_the_rest(w: DiscreteWitness) -> Any:
    """KL(Q || P) of all but z_j, given z_j: Q weighs the rest as well, P draws them from q."""
    q, p = extended(w, 3)
    z = tuples(w, 3).ravel()
    total = 0.0
    for state in states(w):
        here = z == state
        total += q.probs[here].sum() * kl_divergence(Categorical(q.logits[here]), Categorical(p.logits[here]))
    return total


def mean_log_ratio(w: DiscreteWitness) -> Any:
    """E_Q[log p(x) + log P - log Q], term by term."""
    q, p = extended(w, 3)
    return np.sum(np.exp(q.logits) * (log_evidence(w) + p.logits - q.logits))


J5 = (
    derive(
        "J5",
        "the bound with K weights is an ELBO on a larger space",
        DiscreteWitness.draw,
        assumptions=DRAWN + "; j is chosen with probability v_j = w_j / sum_k w_k; here K = 3",
        source="Domke and Sheldon 2018; Cremer, Morris and Duvenaud 2017",
    )
    .start(given(rf"\mathcal{{L}}_K = \mathbb{{E}}\left[{LOG_MEAN}\right]", bound(3)))
    .eq(
        given(
            r"\mathbb{E}\left[\sum_j v_j \log \frac{w_j}{K v_j}\right]",
            lambda w: mean_over_tuples(
                w,
                3,
                lambda a: (
                    np.exp(a - logsumexp(a, axis=1, keepdims=True)) * (logsumexp(a, axis=1, keepdims=True) - np.log(3))
                ).sum(axis=1),
            ),
        ),
        "the shares v sum to 1; the mean weight is w_j / (K v_j)",
    )
    .eq(
        given(
            r"\mathbb{E}_{Q}\left[\log p(x) + \log \frac{P}{Q}\right],\quad Q = \prod_k q(z_k)\,v_j,\ P = \tfrac1K\,p(z_j \mid x) \prod_{k \ne j} q(z_k)",
            mean_log_ratio,
        ),
        "w_j = p(x) p(z_j|x) / q(z_j); the other q cancel",
    )
    .eq(
        given(r"\log p(x) - \mathrm{KL}(Q \,\Vert\, P)", lambda w: log_evidence(w) - extended_gap(3)(w)),
        "definition of KL on the larger space",
    )
    .slip(
        "KL swapped",
        given("TODO", lambda w: log_evidence(w) - extended_gap(3, swapped=True)(w)),
        "KL(P || Q); the draws are from Q.",
    )
    .slip(
        "no 1/K",
        given("TODO", lambda w: log_evidence(w) - extended_gap(3)(w) + np.log(3)),
        "P lacks 1/K, the probability of each j: then it sums to K.",
    )
    .slip(
        "gap of a single draw",
        given("TODO", lambda w: log_evidence(w) - gap_of_one(w)),
        "KL(q || p(z|x)) stands for the gap: that is the case K = 1.",
    )
    .le(
        given(r"\log p(x) - \mathrm{KL}(Q_{z_j} \,\Vert\, p(z \mid x))", lambda w: log_evidence(w) - gap_of_chosen(w)),
        "chain rule of KL: z_j alone is closer than the whole",
        gap=gap_of_the_rest,
    )
    .slip(
        "equal for the chosen z",
        says="the law of z_j alone was taken for the whole: L_K is only a bound on that ELBO.",
        relation="=",
    )
    .slip(
        "chosen z is exact",
        given("TODO", log_evidence),
        "the chosen z was taken for a sample of the posterior: that is so for infinite K only.",
    )
)


# ------------------------------------------------------------------------------- many draws: the rates of B10, J3, J8


@lru_cache(maxsize=8)
def _counts(draws: int) -> tuple[Array, Array]:
    """How often each of three states occurs in K draws, (ways, 3), and log K! / (n_1! n_2! n_3!), (ways,)."""
    first, second = np.triu_indices(draws + 1)  # first <= second
    counts = np.stack([first, second - first, draws - second], axis=1)
    coefficients = gammaln(draws + 1) - gammaln(counts + 1).sum(axis=1)
    counts.flags.writeable = coefficients.flags.writeable = False
    return counts, coefficients


def mean_over_counts(log_law: Array, draws: int, f: Callable[[Array], Array]) -> Any:
    """E[f(shares)], shares (ways, 3) of the three states among K independent draws."""
    counts, coefficients = _counts(draws)
    return np.exp(coefficients + counts @ log_law) @ f(counts / draws)


def draws_at(step: float) -> int:
    """K = 1 / step."""
    return round(1 / step)


def relative_moments(probabilities: Array, ratios: Array) -> tuple[Any, Any]:
    """Second and third central moment of weights with mean one."""
    return probabilities @ (ratios - 1) ** 2, probabilities @ (ratios - 1) ** 3


def three_states(rng: Rng) -> DiscreteWitness:
    """Where the next order, 1/K of the leading one, does not vanish by chance, neither for q nor for the prior as q."""
    while True:
        w = DiscreteWitness.draw(rng, num_states=3, num_values=4)
        by_prior = np.exp(w.model.log_likelihood(w.x, states(w)) - log_evidence(w))
        found = [relative_moments(w.q.probs, relative_weights(w)), relative_moments(w.model.prior, by_prior)]
        if all(abs(0.75 * m2**2 - m3 / 3) >= max(0.1 * m2, 0.3 * m2**2) and 0.05 <= m2 <= 2 for m2, m3 in found):
            return w


def scaled_gap(w: DiscreteWitness, h: float) -> Any:
    """K (log p(x) - L_K)."""
    draws = draws_at(h)
    ratios = relative_weights(w)
    return -draws * mean_over_counts(w.q.log_prob(states(w)), draws, lambda shares: np.log(shares @ ratios))


def half_mean_square(w: DiscreteWitness, h: float) -> Any:
    """K/2 E[delta^2], delta the relative error of the mean weight."""
    draws = draws_at(h)
    ratios = relative_weights(w)
    return draws / 2 * mean_over_counts(w.q.log_prob(states(w)), draws, lambda shares: (shares @ ratios - 1) ** 2)


ASYMPTOTIC = 0.1  # K = 128 at best: a limit is judged by how its error shrinks, not by its size

J3 = (
    derive(
        "J3",
        "the gap falls like 1/K",
        three_states,
        assumptions=DRAWN + "; Var(w) finite, as for all weights that are bounded",
        source="Maddison et al. 2017, proposition 1; Nowozin 2018",
    )
    .start(given(r"K\left(\log p(x) - \mathcal{L}_K\right)", scaled_gap), step=1 / 64, order=1, resolution=ASYMPTOTIC)
    .eq(
        given(
            rf"\tfrac{{K}}{{2}}\,\mathbb{{E}}\left[\delta^2\right],\quad \delta = {MEAN_WEIGHT} / p(x) - 1",
            half_mean_square,
        ),
        "log(1 + d) = d - d^2/2 + O(d^3), and E[d] = 0",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .slip("no 1/2", given("TODO", lambda w, h: 2 * half_mean_square(w, h)), "the 1/2 of the quadratic term was lost.")
    .eq(tex(r"\tfrac{1}{2 p(x)^2}\,\mathrm{Var}_q(w)"), "J4: the variance of a mean of K")
    .slip(
        "no p(x)^2",
        given("TODO", lambda w: variance_of_weight(w) / 2),
        "the variance was not taken relative to p(x)^2.",
    )
    .slip(
        "standard deviation",
        given("TODO", lambda w: np.sqrt(variance_of_weight(w)) / (2 * evidence(w))),
        "a standard deviation stands for the variance: the bias is of second order.",
    )
    .slip(
        "variance of log w",
        given("TODO", lambda w: (w.q.probs @ log_weights(w) ** 2 - (w.q.probs @ log_weights(w)) ** 2) / 2),
        "the variance of the log-weight was taken: that is the rule near the posterior (F20).",
    )
    .eq(tex(r"\tfrac12\,\chi^2(p(z \mid x) \,\Vert\, q)"), "w = p(x) p(z|x) / q(z)")
    .slip(
        "chi-square swapped",
        given("TODO", lambda w: chi_square(w, swapped=True) / 2),
        "the divergence is divided by p(z|x); the draws are from q, so q stands below.",
    )
    .slip(
        "KL of a single draw",
        given("TODO", gap_of_one),
        "the gap of K = 1 was divided by K: the gap starts at KL, but falls towards chi-square / 2K.",
    )
)


def scaled_gap_of_prior(w: DiscreteWitness, h: float) -> Any:
    """S (log p(x) - E[log of the mean of S likelihoods, z from the prior])."""
    draws = draws_at(h)
    likelihood = w.model.likelihood[:, w.x]
    expected = mean_over_counts(np.log(w.model.prior), draws, lambda shares: np.log(shares @ likelihood))
    return draws * (log_evidence(w) - expected)


def variance_of_likelihood(w: DiscreteWitness) -> Any:
    likelihood = w.model.likelihood[:, w.x]
    return w.model.prior @ (likelihood - w.model.prior @ likelihood) ** 2


def chi_square_to_prior(w: DiscreteWitness) -> Any:
    posterior = np.exp(w.model.log_posterior(w.x, states(w)))
    return np.sum((posterior - w.model.prior) ** 2 / w.model.prior)


B10 = (
    derive(
        "B10",
        "the logarithm of naive Monte Carlo is too small",
        three_states,
        assumptions="z_1, ..., z_S independent from the prior; Var(p(x|z)) finite",
        source="the delta method; compare Burda et al. 2016, section 3",
    )
    .start(
        given(
            r"S\left(\log p(x) - \mathbb{E}\left[\log \hat p_S\right]\right),\quad \hat p_S = \tfrac1S \sum_s p(x \mid z_s)",
            scaled_gap_of_prior,
        ),
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .eq(
        given(
            r"\tfrac{S}{2}\,\mathrm{Var}(\hat p_S) / p(x)^2",
            lambda w, h: (
                draws_at(h)
                / 2
                * mean_over_counts(
                    np.log(w.model.prior),
                    draws_at(h),
                    lambda shares: (shares @ w.model.likelihood[:, w.x] / evidence(w) - 1) ** 2,
                )
            ),
        ),
        "delta method: the logarithm to second order",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .eq(tex(r"\tfrac{1}{2 p(x)^2}\,\mathrm{Var}_{p(z)}(p(x \mid z))"), "the variance of a mean of S independent terms")
    .slip(
        "no 1/2",
        given("TODO", lambda w: variance_of_likelihood(w) / evidence(w) ** 2),
        "the 1/2 of the quadratic term was lost.",
    )
    .slip(
        "no p(x)^2",
        given("TODO", lambda w: variance_of_likelihood(w) / 2),
        "the variance was not taken relative to p(x)^2.",
    )
    .slip(
        "standard deviation",
        given("TODO", lambda w: np.sqrt(variance_of_likelihood(w)) / (2 * evidence(w))),
        "a standard deviation stands for the variance.",
    )
    .slip("no bias", tex("0"), "an unbiased p(x) was taken to give an unbiased log p(x).")
    .eq(tex(r"\tfrac12\,\chi^2(p(z \mid x) \,\Vert\, p(z))"), "Bayes' rule: p(x|z) / p(x) = p(z|x) / p(z)")
    .slip(
        "too large",
        given("TODO", lambda w: -chi_square_to_prior(w) / 2),
        "the sign is turned: the logarithm of an unbiased estimate is too small on average.",
    )
)


def share_of_effective(w: DiscreteWitness, h: float) -> Any:
    """E[ESS / K] over K draws."""
    ratios = relative_weights(w)
    return mean_over_counts(
        w.q.log_prob(states(w)), draws_at(h), lambda shares: (shares @ ratios) ** 2 / (shares @ ratios**2)
    )


def by_variation(w: DiscreteWitness, h: float) -> Any:
    """E[1 / (1 + CV^2)], CV the deviation of the K weights, divisor K, relative to their mean."""
    ratios = relative_weights(w)

    def f(shares: Array) -> Array:
        mean = shares @ ratios
        variance = (shares * (ratios - mean[:, None]) ** 2).sum(axis=1)
        return 1 / (1 + variance / mean**2)

    return mean_over_counts(w.q.log_prob(states(w)), draws_at(h), f)


def for_effective_size(rng: Rng) -> DiscreteWitness:
    """Where the term of order 1/K of E[ESS / K] does not vanish by chance (second derivatives of m_1^2 / m_2)."""
    while True:
        w = DiscreteWitness.draw(rng, num_states=3, num_values=4)
        q, r = w.q.probs, relative_weights(w)
        second, third, fourth = (q @ r**n for n in (2, 3, 4))
        slope = (second - 1) / second - 2 * (third - second) / second**2 + (fourth - second**2) / second**3
        if second >= 1.1 and abs(slope) >= 0.05:
            return w


def at_posterior(rng: Rng) -> DiscreteWitness:
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
    .start(tex("1"))
    .ge(
        given(
            r"\mathbb{E}\left[\tfrac1K \mathrm{ESS}\right],\quad \mathrm{ESS} = \frac{(\sum_k w_k)^2}{\sum_k w_k^2}",
            share_of_effective,
        ),
        "Cauchy-Schwarz; equal if all weights are equal",
        equality=at_posterior,
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .slip(
        "sum of weights over sum of squares",
        given(
            "TODO",
            lambda w, h: mean_over_counts(
                w.q.log_prob(states(w)),
                draws_at(h),
                lambda shares: (shares @ relative_weights(w)) * 2 / (shares @ relative_weights(w) ** 2),
            ),
        ),
        "the numerator is not squared: then the value depends on the unit of the weights.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\frac{1}{1 + \mathrm{CV}^2}\right],\quad \mathrm{CV}^2 = \frac{\tfrac1K \sum_k (w_k - \bar w)^2}{\bar w^2}",
            by_variation,
        ),
        "mean square = variance + squared mean",
        step=1 / 64,
        order=1,
        resolution=ASYMPTOTIC,
    )
    .slip(
        "variation not squared",
        given(
            "TODO",
            lambda w, h: mean_over_counts(
                w.q.log_prob(states(w)),
                draws_at(h),
                lambda shares: (
                    1
                    / (
                        1
                        + np.sqrt(
                            np.maximum((shares @ relative_weights(w) ** 2) / (shares @ relative_weights(w)) ** 2 - 1, 0)
                        )
                    )
                ),
            ),
        ),
        "the coefficient of variation was not squared.",
    )
    .eq(tex(r"\frac{p(x)^2}{\mathbb{E}_q[w^2]}"), "law of large numbers: K grows")
    .slip("upside down", given("TODO", lambda w: w.q.probs @ relative_weights(w) ** 2), "K / ESS stands for ESS / K.")
    .eq(tex(r"\frac{1}{1 + \chi^2(p(z \mid x) \,\Vert\, q)}"), "w = p(x) p(z|x) / q(z), and E[w] = p(x)")
    .slip(
        "chi-square without the 1",
        given("TODO", lambda w: 1 / chi_square(w)),
        "the mean of squares was taken for the variance: 1 + chi-square is the second moment.",
    )
    .slip(
        "chi-square swapped",
        given("TODO", lambda w: 1 / (1 + chi_square(w, swapped=True))),
        "the divergence is divided by p(z|x); the draws are from q.",
    )
    .slip(
        "KL for chi-square",
        given("TODO", lambda w: 1 / (1 + gap_of_one(w))),
        "KL stands for chi-square: squared weights need the second power of the ratio.",
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


J10 = (
    derive(
        "J10",
        "the gradient of the bound, reparameterized twice",
        BernoulliWitness.draw,
        assumptions="z_k = mu + sigma e_k; log w is smooth in z, and its gradient has a second moment; here K = 2",
        source="Tucker, Lawson, Gu and Maddison 2019",
    )
    .start(given(r"\nabla_{\mu, \log\sigma}\,\mathcal{L}_K", gradient_of_bound), step=4e-3, resolution=1e-3)
    .eq(
        given(
            r"\mathbb{E}\left[\sum_k v_k\,\frac{d \log w_k}{d(\mu, \log\sigma)}\right],\quad v_k = \frac{w_k}{\sum_j w_j}",
            lambda w: both(w, 1, total),
        ),
        "differentiate through z_k = mu + sigma e_k: chain rule",
        resolution=1e-3,
    )
    .eq(
        given(
            r"\mathbb{E}\left[\sum_k v_k\,\frac{\partial \log w_k}{\partial z_k}\,\frac{d z_k}{d(\mu, \log\sigma)}\right] - \mathbb{E}\left[\sum_k v_k\,\frac{\partial \log q(z_k)}{\partial(\mu, \log\sigma)}\right]",
            lambda w: both(w, 1, in_z) - both(w, 1, in_parameters),
        ),
        "total derivative: through z, and of q itself",
        resolution=1e-3,
    )
    .slip(
        "score term added",
        given("TODO", lambda w: both(w, 1, in_z) + both(w, 1, in_parameters)),
        "the sign of log q is wrong: it stands below in the weight.",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\sum_k v_k^2\,\frac{\partial \log w_k}{\partial z_k}\,\frac{d z_k}{d(\mu, \log\sigma)}\right]",
            lambda w: both(w, 2, in_z),
        ),
        "score term, reparameterized once more: v turns into v^2",
    )
    .slip(
        "shares not squared",
        given("TODO", lambda w: both(w, 1, in_z)),
        "the score term was dropped and the shares kept: right for K = 1 only, biased here.",
        real="a published estimator for K > 1; Tucker et al. 2019 show its bias",
    )
    .slip(
        "equal shares",
        given("TODO", lambda w: both(w, 0, in_z) / 2),
        "each sample counts the same: that is the gradient of the ELBO.",
    )
    .slip(
        "shares cubed",
        given("TODO", lambda w: both(w, 3, in_z)),
        "the share entered three times: once in the bound, once from the score term.",
    )
    .slip(
        "score term kept",
        given("TODO", lambda w: both(w, 2, total)),
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
    draws, log_t = draws_at(h), np.linspace(-30.0, 20.0, 501)  # below, what is left out grows like K^2
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


def limits(w: NoisyGradient) -> Array:
    ratio, encoder, decoder = w.parts(NOISE)
    own = LAW @ (ratio * decoder)  # d log p(x) / d offset
    return np.array(
        [
            np.abs(LAW @ (ratio**2 * encoder)) / np.sqrt(LAW @ (ratio * encoder) ** 2),
            np.abs(own) / np.sqrt(LAW @ (ratio * (decoder - own)) ** 2),
        ]
    )


def closed_limits(w: NoisyGradient, sign: float = -1.0) -> Array:
    """p(z|x)^2 / q is a Gaussian of variance tau^2, up to 1 + chi^2."""
    (loc, scale), q = w.posterior, w.q
    shift, width = q.loc - loc, 2 * q.scale**2 + sign * scale**2
    second = q.scale**2 / (scale * np.sqrt(width)) * np.exp(shift**2 / width)  # 1 + chi^2
    square = second * ((q.scale * scale) ** 2 / width + (shift * scale**2 / width) ** 2)  # E[r^2 (z - m)^2]
    own = (w.x - w.offset) / (w.slope**2 + w.noise_variance)
    return np.array(
        [
            second * np.abs(shift) / width * scale**2 / np.sqrt(square),
            np.abs(own) * w.noise_variance / np.abs(w.slope) / np.sqrt(square),
        ]
    )


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
        step=1 / 256,
        order=1,
        resolution=0.2,
    )
    .slip(
        "ratios do not change with K",
        given("TODO", lambda w, h: exact_ratios(w, h) * np.array([h**0.5, h**-0.5])),
        "both ratios were taken to be the same for every K: the factors sqrt K are missing.",
    )
    .slip(
        "deviation does not fall",
        given("TODO", lambda w, h: exact_ratios(w, h) * np.array([h**-0.5, 1.0])),
        "only the mean of the encoder's gradient was taken to fall: its deviation falls like 1/sqrt K.",
    )
    .eq(
        given(
            r"\left(\frac{\lvert \mathbb{E}[r\,\partial_\varphi r] \rvert}{\sqrt{\mathbb{E}[(\partial_\varphi r)^2]}},\ \frac{\lvert \partial_\theta \log p(x) \rvert}{\sqrt{\mathbb{E}[r^2 (\partial_\theta \log w - \partial_\theta \log p(x))^2]}}\right),\quad r = w / p(x)",
            limits,
        ),
        "mean: gradient of J3, order 1/K; deviation: order 1/sqrt K",
    )
    .slip(
        "gradient of the variance, without 1/2",
        given("TODO", lambda w: limits(w) * np.array([2.0, 1.0])),
        "the 1/2 of the bias (J3) was lost on the way.",
    )
    .slip(
        "mean not taken off",
        given("TODO", lambda w: np.array([limits(w)[0], _without_centering(w)])),
        "the second moment of the decoder's gradient stands for its variance.",
    )
    .eq(
        given(
            r"\left(\tfrac12 \lvert \partial_\varphi \chi^2 \rvert\,s^2 / \sqrt{A},\ \lvert \partial_\theta \log p(x) \rvert\,\tfrac{c}{\lvert a \rvert} / \sqrt{A}\right),\quad A = \mathbb{E}_q[r^2 (z - m)^2]",
            closed_limits,
        ),
        "linear-Gaussian: posterior N(m, s^2), log w quadratic in z",
    )
    .slip(
        "widths added",
        given("TODO", lambda w: closed_limits(w, sign=1.0)),
        "2 sigma^2 + s^2 stands for 2 sigma^2 - s^2: p(z|x)^2 / q divides by q.",
    )
)


def _without_centering(w: NoisyGradient) -> Any:
    ratio, _, decoder = w.parts(NOISE)
    return np.abs(LAW @ (ratio * decoder)) / np.sqrt(LAW @ (ratio * decoder) ** 2)


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
        """All (z_0, ..., z_(T-1)), (states^T, T)."""
        steps = len(self.temperatures) - 1
        return np.indices((self.model.prior.size,) * steps).reshape(steps, -1).T

    @property
    def log_weights(self) -> Array:
        """log w = sum_t log f_t(z_(t-1)) / f_(t-1)(z_(t-1)) of each path."""
        ratios = np.diff(self.log_f, axis=0)  # (T, states)
        return sum(ratios[t][z] for t, z in enumerate(self.paths.T))

    @property
    def forward(self) -> Array:
        """log of the probability of each path, from the prior upwards."""
        z = self.paths.T
        moves = (np.log(self.moves(t)[z[t - 1], z[t]]) for t in range(1, len(z)))
        return self.model.log_prior(z[0]) + sum(moves)

    def backward(self, start: Array) -> Array:
        """The same from z_(T-1) drawn from `start`, (states,), downwards: each move reversed."""
        z = self.paths.T
        moves = (np.log(self.moves(t, reverse=True)[z[t], z[t - 1]]) for t in range(1, len(z)))
        return np.log(start)[z[-1]] + sum(moves)

    @property
    def posterior(self) -> Array:
        return self.model.posterior(self.x).probs


def metropolis_hastings(proposal: Array, log_f: Array) -> Array:
    """Propose a row's law, accept with min(1, f(z') g(z|z') / (f(z) g(z'|z))), else stay."""
    odds = np.exp(log_f[None, :] - log_f[:, None]) * proposal.T / proposal
    table = proposal * np.minimum(1.0, odds)
    np.fill_diagonal(table, 0.0)
    return table + np.diag(1 - table.sum(axis=1))


def step_by_step(w: AnnealedTable, start: Array | None = None, **kind: Any) -> Any:
    """E[w] as a product of tables: weigh, move, weigh, ..., weigh. `kind`: what is wrong with it."""
    mass = np.exp(w.log_f[0]) if start is None else start
    ratios = np.exp(np.diff(w.log_f, axis=0))
    first = 0 if start is None else 1
    late, accept, ahead = kind.get("late", False), kind.get("accept", True), kind.get("ahead", 0)
    for t in range(first, len(ratios)):
        move = w.moves(t + ahead, accept=accept)
        if late:
            mass = (mass @ w.moves(t + 1) if t + 1 < len(ratios) else mass) * ratios[t]
        else:
            mass = (mass @ move if t else mass) * ratios[t]
    return mass.sum()


def after_first(w: AnnealedTable) -> Any:
    """The same from f_1 on: the first weight has cancelled f_0."""
    return step_by_step(w, start=np.exp(w.log_f[1]))


J13 = (
    derive(
        "J13",
        "annealed importance sampling is unbiased",
        AnnealedTable.draw,
        assumptions="z_0 from f_0; the move T_t leaves f_t invariant; it need not mix",
        source="Neal 2001, section 2",
    )
    .start(
        given(
            r"\mathbb{E}\left[w\right],\quad w = \prod_{t=1}^{T} \frac{f_t(z_{t-1})}{f_{t-1}(z_{t-1})}",
            lambda w: np.exp(w.forward) @ np.exp(w.log_weights),
        )
    )
    .eq(
        given(
            r"\sum_{z_0, \ldots, z_{T-1}} f_0(z_0)\,\frac{f_1(z_0)}{f_0(z_0)}\,T_1(z_0, z_1)\,\frac{f_2(z_1)}{f_1(z_1)} \cdots",
            step_by_step,
        ),
        "write the mean out in the order of the walk",
    )
    .slip(
        "move before weighing",
        given("TODO", lambda w: step_by_step(w, late=True)),
        "the chain moved first and was weighed at its new place: f_t is then not what it came from.",
    )
    .slip(
        "no acceptance step",
        given("TODO", lambda w: step_by_step(w, accept=False)),
        "every proposal was accepted: the moves then do not leave f_t invariant.",
    )
    .slip(
        "move for the next temperature",
        given("TODO", lambda w: step_by_step(w, ahead=1)),
        "the move leaves f_(t+1) invariant, but the chain has been weighed up to f_t only.",
    )
    .slip(
        "step size tuned on the way",
        given("TODO", lambda w: _greedy(w)),
        "the kernel listened to the chain: here it moves only where that raises the weight.",
    )
    .eq(
        given(r"\sum_{z_0, \ldots, z_{T-1}} f_1(z_0)\,T_1(z_0, z_1)\,\frac{f_2(z_1)}{f_1(z_1)} \cdots", after_first),
        "the weight turns f_0 into f_1, where the chain stands",
    )
    .eq(
        given(r"\sum_{z_{T-1}} f_T(z_{T-1})", lambda w: np.exp(w.log_f[-1]).sum()),
        "T_1 keeps f_1, the weight makes it f_2, ..., f_T",
    )
    .slip("normalized f", given("1", lambda w: 1.0), "f_T was normalized: its sum is what is sought.")
    .eq(given(r"p(x)", lambda w: np.exp(w.model.log_evidence(w.x))), "sum rule: f_T(z) = p(x,z)")
)


def _greedy(w: AnnealedTable) -> Any:
    """E[w] with a kernel that stays where the next weight would fall."""
    mass = np.exp(w.log_f[0])
    ratios = np.exp(np.diff(w.log_f, axis=0))
    for t in range(len(ratios)):
        if t:
            better = ratios[t][None, :] > ratios[t][:, None]
            table = np.where(better, w.moves(t), 0.0)
            mass = mass @ (table + np.diag(1 - table.sum(axis=1)))
        mass = mass * ratios[t]
    return mass.sum()


def path_gap(w: AnnealedTable, upper: bool = False) -> Any:
    """KL between the laws of paths: forward to backward below log p(x), backward to forward above."""
    forward, backward = Categorical(w.forward), Categorical(w.backward(w.posterior))
    return kl_divergence(backward, forward) if upper else kl_divergence(forward, backward)


def evidence_of(w: AnnealedTable) -> Any:
    return w.model.log_evidence(w.x)


def temperature_by_temperature(w: AnnealedTable, late: bool = False) -> Any:
    """sum_t E[log f_t / f_(t-1)], with the law of the chain at each step."""
    law, total, ratios = w.model.prior, 0.0, np.diff(w.log_f, axis=0)
    for t, ratio in enumerate(ratios):
        if late:
            law = law @ w.moves(t + 1) if t + 1 < len(ratios) else law
        elif t:
            law = law @ w.moves(t)
        total += law @ ratio
    return total


def end_of_forward(w: AnnealedTable) -> Array:
    """Law of the last state of the forward chain."""
    last = w.paths[:, -1]
    return np.array([np.exp(w.forward)[last == z].sum() for z in range(w.model.prior.size)])


def mean_backward(start: Callable[[AnnealedTable], Array]) -> Callable[[AnnealedTable], Any]:
    return lambda w: np.exp(w.backward(start(w))) @ w.log_weights


J14 = (
    derive(
        "J14",
        "log p(x) between a forward and a backward chain",
        AnnealedTable.draw,
        assumptions="as J13; backward from an exact posterior sample, each move reversed",
        source="Grosse, Ghahramani and Adams 2015; Grosse, Ancha and Roy 2016",
    )
    .start(given(r"\mathbb{E}_{\text{forward}}\left[\log w\right]", lambda w: np.exp(w.forward) @ w.log_weights))
    .eq(
        given(
            r"\sum_t \mathbb{E}_{\text{forward}}\left[\log \frac{f_t(z_{t-1})}{f_{t-1}(z_{t-1})}\right]",
            temperature_by_temperature,
        ),
        "the logarithm of a product; expectation is linear",
    )
    .slip(
        "move before weighing",
        given("TODO", lambda w: temperature_by_temperature(w, late=True)),
        "the chain moved first and was weighed at its new place.",
    )
    .eq(
        given(
            r"\log p(x) - \mathrm{KL}(\text{forward} \,\Vert\, \text{backward})", lambda w: evidence_of(w) - path_gap(w)
        ),
        "on every path w = p(x) backward / forward",
    )
    .slip(
        "KL swapped",
        given("TODO", lambda w: evidence_of(w) - path_gap(w, upper=True)),
        "KL(backward || forward) stands below: the forward chain is averaged forward.",
    )
    .le(given(r"\log p(x)", evidence_of), "KL is never negative", gap=path_gap)
    .slip(
        "above instead of below",
        says="the forward chain was taken for an upper bound: its logarithm is too small on average.",
        relation=">=",
    )
    .le(
        given(
            r"\log p(x) + \mathrm{KL}(\text{backward} \,\Vert\, \text{forward})",
            lambda w: evidence_of(w) + path_gap(w, upper=True),
        ),
        "KL is never negative",
        gap=lambda w: path_gap(w, upper=True),
    )
    .eq(
        given(
            r"\mathbb{E}_{\text{backward}}\left[\log w\right],\quad z_{T-1} \sim p(z \mid x)",
            mean_backward(lambda w: w.posterior),
        ),
        "w = p(x) backward / forward, now averaged backward",
    )
    .slip(
        "backward from the prior",
        given("TODO", mean_backward(lambda w: w.model.prior)),
        "the backward chain started at the prior: it must start at an exact posterior sample.",
    )
    .slip(
        "backward from where the forward chain ended",
        given("TODO", mean_backward(end_of_forward)),
        "the end of a forward chain was taken for an exact posterior sample: no bound from above then.",
    )
    .slip(
        "logarithm outside",
        given("TODO", lambda w: -np.log(np.exp(w.backward(w.posterior)) @ np.exp(-w.log_weights))),
        "the mean of 1/w was taken before the logarithm: that gives log p(x), not what a chain reports.",
    )
)

CHAPTER = (B10, J1, J2, J3, J4, J5, J8, J10, J13, J14, J18, J20)
