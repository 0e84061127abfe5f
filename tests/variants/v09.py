"""Exercises 09: right answers written differently, and wrong ones that nobody foresaw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

# ------------------------------------------------------------------------------------------------------------- bits

nll, pixels, levels = sympy.symbols("nll pixels levels", real=True)
in_bits = nll / (pixels * sympy.log(2)) + sympy.log(levels, 2)


def bits_in_numpy(nll: float, d: int, count: int) -> Any:
    return -np.log2(np.e) * (-nll / d - np.log(count))


# ------------------------------------------------------------------------------------------------------------- loss


def by_torch(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    cross_entropy = binary_cross_entropy_with_logits(a, x, reduction="none").sum(dim=1)
    log_var = 2 * log_scale
    return cross_entropy - 0.5 * torch.sum(1 + log_var - loc.pow(2) - log_var.exp(), dim=1)


def by_distributions(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    q = torch.distributions.Normal(loc, log_scale.exp())
    prior = torch.distributions.Normal(torch.zeros_like(loc), torch.ones_like(loc))
    kl = torch.distributions.kl_divergence(q, prior).sum(-1)
    return kl - torch.distributions.Bernoulli(logits=a).log_prob(x).sum(-1)


def by_softplus(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    signed = torch.where(x > 0.5, -a, a)
    return softplus(signed).sum(-1) + (torch.expm1(2 * log_scale) / 2 - log_scale + loc**2 / 2).sum(-1)


def in_single(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    x, a, loc, log_scale = (part.float() for part in (x, a, loc, log_scale))
    log_lik = x * logsigmoid(a) + (1 - x) * logsigmoid(-a)
    return (0.5 * ((2 * log_scale).exp() + loc**2 - 1) - log_scale).sum(-1) - log_lik.sum(-1)


def by_loops(x: Any, a: Any, loc: Any, log_scale: Any) -> list[float]:
    losses = []
    for i in range(len(x)):
        loss = 0.0
        for pixel, logit in zip(x[i].tolist(), a[i].tolist(), strict=True):
            loss += max(logit, 0) - pixel * logit + math.log1p(math.exp(-abs(logit)))
        for m, s in zip(loc[i].tolist(), log_scale[i].exp().tolist(), strict=True):
            loss += (m * m + s * s - 1) / 2 - math.log(s)
        losses.append(loss)
    return losses


def in_numpy(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    x, a, loc, log_scale = (part.numpy() for part in (x, a, loc, log_scale))
    variance = np.exp(log_scale) ** 2
    return np.sum(np.logaddexp(0, a) - x * a, -1) + 0.5 * np.sum(variance + loc**2 - 1 - np.log(variance), -1)


# ------------------------------------------------------------------------------------------------------------- beta

d, k, w, c, m, n = sympy.symbols("pixels latents kl_weight noise_variance batch_size num_examples", positive=True)


def in_logarithms(d: int, k: int, w: float, c: float, m: int, n: int) -> float:
    return math.exp(math.log(w * d / k) - math.log(2 * c) + math.log(m / n))


def from_two_prices(d: int, k: int, w: float, c: float, m: int, n: int) -> Any:
    error, kl = np.array([n / (m * d), w / k])
    return np.array(kl / error) / (2 * c)


VARIANTS: dict[str, list[Any]] = {
    "09.1": [in_bits, bits_in_numpy, lambda nll, d, count: math.log2(count) + nll * math.log2(math.e) / d],
    "09.2": [by_torch, by_distributions, by_softplus, in_single, by_loops, in_numpy],
    "09.3": [w * d * m / (2 * c * k * n), in_logarithms, from_two_prices],
}


def gray_loss(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    """A squared error of the decoder's means."""
    return ((torch.sigmoid(a) - x) ** 2).sum(-1) + 0.5 * (torch.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale).sum(-1)


def beta_of_four(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    kl = 0.5 * (torch.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale).sum(-1)
    return by_torch(x, a, loc, log_scale) + 3 * kl


def rounded_to_nan(x: Any, a: Any, loc: Any, log_scale: Any) -> Any:
    s = torch.exp(20 * a) / (1 + torch.exp(20 * a))  # infinite over infinite
    return -(x * torch.log(s) + (1 - x) * torch.log(1 - s)).sum(-1) + 0 * loc.sum(-1)


WRONG: dict[str, list[Any]] = {
    "09.1": [lambda nll, d, count: nll / d, lambda nll, d, count: nll / (d * math.log(10)) + math.log10(count)],
    "09.2": [gray_loss, beta_of_four, rounded_to_nan, lambda x, a, loc, log_scale: x.sum(-1)],
    "09.3": [lambda d, k, w, c, m, n: w, w * d / (2 * c * k) * m, lambda d, k, w, c, m, n: float("nan")],
}
