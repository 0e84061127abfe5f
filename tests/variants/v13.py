"""Exercises 13: right answers written differently, and wrong ones that nobody foresaw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

# ------------------------------------------------------------------------------------------------------------ bound


def by_distributions(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
    q = torch.distributions.Normal(loc, (0.5 * log_var).exp())
    prior = torch.distributions.Normal(torch.zeros_like(loc), torch.ones_like(loc))
    log_w = log_lik + prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
    return torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])


def as_found_but_mended(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
    scale = log_var.exp().sqrt()
    log_prior = -0.5 * (z**2).sum(-1)
    log_q = -0.5 * (((z - loc) / scale) ** 2).sum(-1) - scale.log().sum(-1)
    log_weights = log_lik + log_prior - log_q
    largest = log_weights.max(0).values
    return (log_weights - largest).exp().mean(0).log() + largest


def in_single(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
    log_lik, z, loc, log_var = (part.float() for part in (log_lik, z, loc, log_var))
    log_ratio = 0.5 * ((z - loc) ** 2 / log_var.exp() + log_var - z**2).sum(-1)
    return torch.logsumexp(log_lik + log_ratio - math.log(len(z)), dim=0)


def by_loops(log_lik: Any, z: Any, loc: Any, log_var: Any) -> list[float]:
    samples, images = log_lik.shape
    bounds = []
    for i in range(images):
        total = -math.inf
        for k in range(samples):
            log_w = log_lik[k, i].item()
            for value, mean, log_variance in zip(z[k, i].tolist(), loc[i].tolist(), log_var[i].tolist(), strict=True):
                log_w += -(value**2) / 2 + (value - mean) ** 2 / (2 * math.exp(log_variance)) + log_variance / 2
            total = float(np.logaddexp(total, log_w))
        bounds.append(total - math.log(samples))
    return bounds


# --------------------------------------------------------------------------------------------------------- small KL


def in_double(mean: Any, log_var: Any) -> Any:
    mean, log_var = mean.double(), log_var.double()
    return -0.5e9 * (1 + log_var - mean**2 - log_var.exp()).sum(-1)


def in_double_and_back(mean: Any, log_var: Any) -> Any:
    return (in_double(mean, log_var)).float()


def in_numpy(mean: Any, log_var: Any) -> Any:
    mean, log_var = mean.numpy(), log_var.numpy()
    return np.sum(5e8 * (np.expm1(log_var) - log_var) + 5e8 * mean**2, axis=-1)


def by_a_series(mean: Any, log_var: Any) -> Any:
    term, excess = log_var.clone(), torch.zeros_like(log_var)
    for order in range(2, 20):
        term = term * log_var / order
        excess = excess + term
    return (5e8 * (mean**2 + excess)).sum(-1)


def by_hyperbolic_sine(mean: Any, log_var: Any) -> Any:
    """exp(v) - 1 - v = 2 sinh(v/2)^2 + sinh(v) - v, with the last in double precision."""
    v = log_var.double()
    return 1e9 * (0.5 * mean.double() ** 2 + torch.sinh(v / 2) ** 2 + 0.5 * (torch.sinh(v) - v)).sum(-1)


VARIANTS: dict[str, list[Any]] = {
    "13.1": ["latents", " Latents "],
    "13.2": [by_distributions, as_found_but_mended, in_single, by_loops],
    "13.3": [in_double, in_double_and_back, in_numpy, by_a_series, by_hyperbolic_sine],
}


def log_var_twice(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
    """The scale is right, and its logarithm is not."""
    log_ratio = 0.5 * ((z - loc) ** 2 / log_var.exp() - z**2).sum(-1) + log_var.sum(-1)
    return torch.logsumexp(log_lik + log_ratio, 0) - math.log(len(z))


def with_a_bonus(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
    return by_distributions(log_lik, z, loc, log_var) + log_lik.std(0, correction=0)


def shifted_by(number: Any) -> Any:
    """All three bugs are mended, but the shift is no column's largest."""

    def bound(log_lik: Any, z: Any, loc: Any, log_var: Any) -> Any:
        log_weights = log_lik + 0.5 * ((z - loc) ** 2 / log_var.exp() - z**2 + log_var).sum(-1)
        shift = number(log_weights)
        return shift + (log_weights - shift).exp().mean(0).log()

    return bound


def series_below(threshold: float) -> Any:
    """In single precision: the square of log_var up to the threshold, a difference beyond it."""

    def kl(mean: Any, log_var: Any) -> Any:
        excess = torch.where(log_var.abs() < threshold, log_var**2 / 2, log_var.exp() - 1 - log_var)
        return 5e8 * (mean**2 + excess).sum(-1)

    return kl


def rounded(mean: Any, log_var: Any) -> Any:
    """The textbook's form in half precision."""
    mean, log_var = mean.half(), log_var.half()
    return 1e9 * (-0.5 * (1 + log_var - mean**2 - log_var.exp())).sum(-1).float()


def mean_alone(mean: Any, log_var: Any) -> Any:
    return 5e8 * (mean**2).sum(-1)


def by_distributions_in_single(mean: Any, log_var: Any) -> Any:
    q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return 1e9 * torch.distributions.kl_divergence(q, prior).sum(-1)


WRONG: dict[str, list[Any]] = {
    "13.1": ["elbo", "kl", 3],
    "13.2": [
        log_var_twice,
        with_a_bonus,
        lambda log_lik, z, loc, log_var: log_lik.mean(0),
        shifted_by(lambda log_weights: log_weights.max()),
        shifted_by(lambda log_weights: log_weights.mean(0)),
        shifted_by(lambda log_weights: log_weights[0]),
    ],
    "13.3": [rounded, mean_alone, by_distributions_in_single, series_below(1e-3), series_below(0.1)],
}
