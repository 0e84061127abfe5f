"""What training maximizes: the loss, a pure function of model, minibatch and noise, and its terms.

It calls the same `kl_divergence`, `log_prob`, `elbo` and `importance_weighted_bound` that the derivations verify: the
formula that was verified is the formula that trains. For one objective `vaelib.train.fused` is a shorter way to the
same number and gradient, and tests hold it against the loss here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.distributions import DiagonalNormal, Normal, kl_divergence
from vaelib.elbo import elbo, importance_weighted_bound
from vaelib.gradients import leave_one_out
from vaelib.vae import VAE


@dataclass(frozen=True)
class Objective:
    """Which bound is maximized, and by which estimator of its gradient.

    Args:
        name: one of `OBJECTIVES`.
        beta: weight of the KL, a number or a tensor; only 1 maximizes a bound on log p(x). "iwae" and "dreg" have no KL
            to weigh: a number other than 1 is refused, a tensor is not looked at.
        free_bits: nats that the KL of each latent may take, as a mean over the minibatch, before it costs anything; for
            a KL in closed form, "elbo" and "elbo-exact".

    Raises:
        ValueError: there is no such objective, or it does not know what `beta` or `free_bits` asks for.
    """

    name: str = "elbo"
    beta: float | Tensor = 1.0
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise ValueError(f"Expected an objective out of {', '.join(OBJECTIVES)}, but got {self.name!r}.")
        if not 0 <= self.free_bits < float("inf"):
            raise ValueError(f"Expected `free_bits` to be finite and >= 0, but got {self.free_bits}.")
        if self.free_bits and self.name not in CLOSED_FORM_KL:
            raise ValueError(
                f"Expected `free_bits` with {' or '.join(CLOSED_FORM_KL)}, whose KL is in closed form, but got"
                f" {self.free_bits} with {self.name!r}."
            )
        if self.name in NO_KL and not isinstance(self.beta, Tensor) and self.beta != 1:
            raise ValueError(f"Expected `beta` to be 1 with {self.name!r}, which has no KL, but got {self.beta}.")


class Terms(NamedTuple):
    """What the loss is made of, in nats per example, shape (batch,)."""

    objective: Tensor  # what is maximized: the ELBO, the beta-weighted one, the importance-weighted bound, ...
    log_likelihood: Tensor  # E_q[log p(x | z)] by K samples, or in closed form; summed over pixels
    kl: Tensor  # KL(q(z | x) || p(z)) in closed form, summed over latents

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, whatever the objective was."""
        return elbo(self.log_likelihood, self.kl)


class Draws(NamedTuple):
    """A minibatch seen by the model: what every objective is made of."""

    model: VAE
    x: Tensor  # (batch, pixels), in the networks' unit
    noise: Tensor  # (K, batch, latent_dim)
    q: DiagonalNormal  # q(z | x), (batch, latent_dim)
    kl: Tensor  # KL(q(z | x) || p(z)) in closed form, (batch,)

    @property
    def z(self) -> Tensor:
        """loc + scale * noise, (K, batch, latent_dim): the reparameterization."""
        return self.q.transform(self.noise)

    def log_likelihood(self, z: Tensor) -> Tensor:
        """log p(x | z), (K, batch)."""
        return self.model.log_likelihood(self.x, z, standardized=True)

    def log_ratio(self, z: Tensor, q: DiagonalNormal) -> Tensor:
        """log p(z) - log q(z | x), (K, batch): its mean under q is minus the KL."""
        return self.model.prior.log_prob(z) - q.log_prob(z)

    @property
    def fixed_q(self) -> DiagonalNormal:
        """q(z | x) as a density whose parameters carry no gradient."""
        return DiagonalNormal(self.q.loc.detach(), self.q.scale.detach())


def loss(model: VAE, x: Tensor, noise: Tensor, objective: Objective | str = "elbo") -> tuple[Tensor, Terms]:
    """The number to minimize, -mean_x objective, and its terms for each example.

    Pure: the same arguments give the same result. Its value is minus the objective for every estimator; they differ in
    the gradient.

    Args:
        x: (batch, pixels), in the networks' unit. noise: (K, batch, latent_dim), standard normal; z_k = loc + scale *
            noise_k.
        objective: an `Objective`, or the name of one.

    Returns:
        A scalar in nats per example, and `Terms`.

    Raises:
        ValueError: no such objective, or too few samples for it. TypeError: no closed form for this decoder.
    """
    chosen = Objective(objective) if isinstance(objective, str) else objective
    q = model.encoder(x)
    draws = Draws(model, x, noise, q, model.kl(q))
    maximized, log_likelihood = OBJECTIVES[chosen.name](draws, chosen)
    return -maximized.mean(), Terms(maximized, log_likelihood, draws.kl)


# ---------------------------------------------------- one function for each: (objective, log-likelihood), both (batch,)

Maximized = tuple[Tensor, Tensor]


def closed_form_kl(draws: Draws, objective: Objective) -> Maximized:
    """1/K sum_k log p(x | z_k) - beta KL(q(z | x) || p(z)).

    Source: Kingma and Welling 2014, equation (10). beta: Higgins et al. 2017.
    """
    log_likelihood = draws.log_likelihood(draws.z).mean(0)
    return elbo(log_likelihood, charged_kl(draws, objective), objective.beta), log_likelihood


def sampled_kl(draws: Draws, objective: Objective) -> Maximized:
    """1/K sum_k [ log p(x | z_k) + beta (log p(z_k) - log q(z_k | x)) ].

    Source: Kingma and Welling 2014, equation (6).
    """
    z = draws.z
    log_likelihood = draws.log_likelihood(z)
    return elbo(log_likelihood, -draws.log_ratio(z, draws.q), objective.beta).mean(0), log_likelihood.mean(0)


def no_sampling(draws: Draws, objective: Objective) -> Maximized:
    """E_q[log p(x | z)] - beta KL(q(z | x) || p(z)), both in closed form: for a linear Gaussian decoder."""
    log_likelihood = draws.model.expected_log_likelihood(draws.x, draws.q, standardized=True)
    return elbo(log_likelihood, charged_kl(draws, objective), objective.beta), log_likelihood


def sticking_the_landing(draws: Draws, objective: Objective) -> Maximized:
    """As `sampled_kl`, but the gradient passes through z alone, not through the parameters of the density q.

    What is left out, E_q[grad log q(z | x)], is zero; at q = p(z | x) the gradient then has no variance at all.

    Source: Roeder, Wu and Duvenaud 2017, the path derivative.
    """
    z = draws.z
    log_likelihood = draws.log_likelihood(z)
    return elbo(log_likelihood, -draws.log_ratio(z, draws.fixed_q), objective.beta).mean(0), log_likelihood.mean(0)


def importance_weighted(draws: Draws, objective: Objective) -> Maximized:
    """log 1/K sum_k w_k with w_k = p(x | z_k) p(z_k) / q(z_k | x).

    Source: Burda, Grosse and Salakhutdinov 2016, equation (8).
    """
    z = draws.z
    log_likelihood = draws.log_likelihood(z)
    return importance_weighted_bound(log_likelihood + draws.log_ratio(z, draws.q)), log_likelihood.mean(0)


def doubly_reparameterized(draws: Draws, objective: Objective) -> Maximized:
    """As `importance_weighted`; the encoder's gradient is sum_k v_k^2 d log w_k/dz_k dz_k/dphi, v_k = w_k / sum_j w_j.

    The bound alone weighs by v_k once. A second factor v_k on the way from z to the encoder makes the square, and the
    parameters of the density q carry no gradient.

    Source: Tucker, Lawson, Gu and Maddison 2019, the estimator IWAE-DReG.
    """
    z = draws.z
    with torch.no_grad():
        share = torch.softmax(draws.log_likelihood(z) + draws.log_ratio(z, draws.fixed_q), 0)  # v, (K, batch)
    z = z.detach() + share[..., None] * (z - z.detach())  # the same values
    log_likelihood = draws.log_likelihood(z)
    return importance_weighted_bound(log_likelihood + draws.log_ratio(z, draws.fixed_q)), log_likelihood.mean(0)


def score_function(draws: Draws, objective: Objective) -> Maximized:
    """As `sampled_kl`; the encoder's gradient is 1/K sum_k f_k grad log q(z_k | x), with f_k what is averaged there.

    Nothing is differentiated with respect to z: it would do for a discrete z as well.

    Source: Ranganath, Gerrish and Blei 2014, equation (2).
    """
    return _score_function(draws, objective, lambda f: torch.zeros_like(f))


def score_function_with_baseline(draws: Draws, objective: Objective) -> Maximized:
    """As `score_function`, with f_k less the mean of the other K - 1; the mean gradient stays, the variance falls.

    The baseline is the function that H16 of the ledger verifies.

    Source: Kool, van Hoof and Welling 2019; Mnih and Rezende 2016 for leaving one out.
    """
    return _score_function(draws, objective, leave_one_out)


def _score_function(draws: Draws, objective: Objective, baseline: Callable[[Tensor], Tensor]) -> Maximized:
    z = draws.z.detach()
    log_likelihood = draws.log_likelihood(z)
    f = elbo(log_likelihood, -draws.log_ratio(z, draws.fixed_q), objective.beta).detach()  # (K, batch)
    gradient = (f - baseline(f)) * draws.q.log_prob(z) + log_likelihood  # its gradient is right, its value is not
    return (f + gradient - gradient.detach()).mean(0), log_likelihood.mean(0)


def charged_kl(draws: Draws, objective: Objective) -> Tensor:
    """KL(q(z | x) || p(z)), (batch,); with free bits sum_j max(free_bits, mean_x KL_j), a number.

    Below the threshold a latent's KL has no gradient: using it a little is free, and it is not given up early.

    Source: Kingma et al. 2016, free bits.
    """
    if not objective.free_bits:
        return draws.kl
    prior = draws.model.prior
    of_each = kl_divergence(Normal(draws.q.loc, draws.q.scale), Normal(prior.loc, prior.scale))  # (batch, latent_dim)
    return of_each.mean(0).clamp(min=objective.free_bits).sum()


OBJECTIVES: dict[str, Callable[[Draws, Objective], Maximized]] = {
    "elbo": closed_form_kl,
    "elbo-sampled": sampled_kl,
    "elbo-exact": no_sampling,
    "stl": sticking_the_landing,
    "iwae": importance_weighted,
    "dreg": doubly_reparameterized,
    "score": score_function,
    "score-baseline": score_function_with_baseline,
}
CLOSED_FORM_KL = ("elbo", "elbo-exact")
NO_KL = ("iwae", "dreg")
