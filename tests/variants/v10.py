"""Exercises 10: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vaelib import DiagonalNormal, MultivariateNormal, Normal, kl_divergence

# ------------------------------------------------------------------------------------------------------------- 10.1


def by_softmax(log_weights: Any) -> Any:
    """log mean w = a_k - log(K share_k) for every k; any row will do, here the first."""
    return log_weights[0] - torch.log_softmax(log_weights, dim=0)[0] - np.log(log_weights.shape[0])


def shifted_by(number: Any) -> Any:
    """Unsafe, but for numbers near the largest of each column."""
    return lambda log_weights: number(log_weights) + (log_weights - number(log_weights)).exp().mean(0).log()


def one_after_another(log_weights: Any) -> Any:
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.log(torch.tensor(float(len(log_weights))))


def in_double(log_weights: Any) -> Any:
    return torch.logsumexp(log_weights.double() - np.log(len(log_weights)), 0)


# ------------------------------------------------------------------------------------------------------------- 10.2


def in_closed_form(mean: Any, covariance: Any, loc: Any, scale: Any) -> Any:
    precision = np.linalg.inv(covariance)
    diagonal, shift = np.diag(precision), loc - mean
    family = 0.5 * (np.log(diagonal).sum() + np.linalg.slogdet(covariance)[1])
    u = diagonal * scale**2
    return family, 0.5 * np.sum(u - 1 - np.log(u)) + 0.5 * shift @ precision @ shift


def by_conditionals(mean: Any, covariance: Any, loc: Any, scale: Any) -> Any:
    """The best variance of a coordinate is that given all others, by Schur's complement."""
    k, variances = len(mean), []
    for j in range(k):
        rest = [i for i in range(k) if i != j]
        pull = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, j])
        variances.append(covariance[j, j] - covariance[j, rest] @ pull)
    post = MultivariateNormal(mean, covariance)
    family = float(kl_divergence(DiagonalNormal(mean, np.sqrt(variances)), post))
    return [family, float(kl_divergence(DiagonalNormal(loc, scale), post)) - family]


def by_torch(mean: Any, covariance: Any, loc: Any, scale: Any) -> Any:
    mean, covariance, loc, scale = (torch.as_tensor(a) for a in (mean, covariance, loc, scale))
    post = torch.distributions.MultivariateNormal(mean, covariance)

    def kl(loc: Any, scale: Any) -> Any:
        q = torch.distributions.MultivariateNormal(loc, torch.diag(scale**2))
        return torch.distributions.kl_divergence(q, post)

    family = kl(mean, torch.linalg.inv(covariance).diagonal() ** -0.5)
    return torch.stack([family, kl(loc, scale) - family])


def in_single(mean: Any, covariance: Any, loc: Any, scale: Any) -> Any:
    return np.array(in_closed_form(mean, covariance, loc, scale), dtype=np.float32)


# ------------------------------------------------------------------------------------------------------------- 10.3


def log_f(z: Any, b: float, q: Normal) -> Any:
    log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(2 * z, 0.5**0.5).log_prob(1.0)
    return (1 - b) * q.log_prob(z) + b * log_joint


def by_differences(loc: float, scale: float, steps: int, rng: Any) -> Any:
    """Weighs by log f itself; reads mean and variance of a move off two differences of log f."""
    q = Normal(loc, scale)
    z, log_w = loc + scale * rng.standard_normal(), 0.0
    for t in range(steps):
        log_w = log_w + log_f(z, (t + 1) / steps, q) - log_f(z, t / steps, q)
        low, middle, high = (log_f(at, (t + 1) / steps, q) for at in (-1.0, 0.0, 1.0))
        precision = 2 * middle - low - high
        z = (high - low) / (2 * precision) + rng.standard_normal() / np.sqrt(precision)
    return log_w


def all_at_once(loc: float, scale: float, steps: int, rng: Any) -> Any:
    """Moves that forget where they came from: all places can be drawn together."""
    b = np.arange(steps) / steps
    precision = (1 - b) / scale**2 + 9 * b
    z = rng.normal(((1 - b) * loc / scale**2 + 4 * b) / precision, 1 / np.sqrt(precision))
    log_joint = -4.5 * z**2 + 4 * z - 1 - np.log(np.pi) - 0.5 * np.log(2)
    log_q = -((z - loc) ** 2) / (2 * scale**2) - np.log(scale) - 0.5 * np.log(2 * np.pi)
    return np.mean(log_joint - log_q)


def in_torch(loc: float, scale: float, steps: int, rng: Any) -> Any:
    """With the evidence and the posterior N(4/9, 1/9): log p(x, z) = log p(x) + log p(z | x)."""
    normal = Normal(4 / 9, 1 / 3)
    q, evidence = Normal(loc, scale), -0.5 * np.log(2 * np.pi * 4.5) - 1 / 9
    z, log_w = q.transform(rng.standard_normal()), 0.0
    for b in np.linspace(0, 1, steps + 1)[1:]:
        log_w += (evidence + normal.log_prob(z) - q.log_prob(z)) / steps
        precision = b / normal.scale**2 + (1 - b) / q.scale**2
        mean = (b * normal.loc / normal.scale**2 + (1 - b) * q.loc / q.scale**2) / precision
        z = mean + rng.standard_normal() / precision**0.5
    return torch.tensor(float(log_w), dtype=torch.float32)


def without_prior(loc: float, scale: float, steps: int, rng: Any) -> Any:
    """Weighs with p(x | z) in place of p(x, z)."""
    z = rng.normal(loc, scale)
    return Normal(2 * z, 0.5**0.5).log_prob(1.0) - Normal(loc, scale).log_prob(z)


# ------------------------------------------------------------------------------------------------------------- 10.4


def by_jacobians(u: Any, direction: Any, weights: Any, bias: float) -> Any:
    """The determinant of the whole matrix of derivatives, draw by draw."""
    bend = 1 / np.cosh(u @ weights + bias) ** 2
    matrices = np.eye(u.shape[1]) + bend[:, None, None] * np.outer(direction, weights)
    return Normal(0.0, 1.0).log_prob(u).sum(axis=1) - np.log(np.abs(np.linalg.det(matrices)))


def by_autograd(u: Any, direction: Any, weights: Any, bias: float) -> Any:
    direction, weights = torch.as_tensor(direction), torch.as_tensor(weights)
    found = []
    for row in torch.as_tensor(u):
        matrix = torch.autograd.functional.jacobian(
            lambda at: at + direction * torch.tanh(at @ weights + bias), row, vectorize=False
        )
        found.append(torch.distributions.Normal(0.0, 1.0).log_prob(row).sum() - torch.linalg.slogdet(matrix)[1])
    return torch.stack(found)


def draw_by_draw(u: Any, direction: Any, weights: Any, bias: float) -> Any:
    found = []
    for row in u:
        t = np.tanh(sum(w * each for w, each in zip(weights, row, strict=True)) + bias)
        stretch = 1 + sum(w * a for w, a in zip(weights, direction, strict=True)) * (1 - t) * (1 + t)
        found.append(-np.log(stretch * (2 * np.pi) ** (len(row) / 2)) - sum(each**2 for each in row) / 2)
    return found


VARIANTS: dict[str, list[Any]] = {
    "10.1": [
        by_softmax,
        one_after_another,
        in_double,
        lambda log_weights: [torch.logsumexp(column, 0) - np.log(len(column)) for column in log_weights.T],
    ],
    "10.2": [in_closed_form, by_conditionals, by_torch, in_single],
    "10.3": [by_differences, all_at_once, in_torch],
    "10.4": [by_jacobians, by_autograd, draw_by_draw],
}

WRONG: dict[str, list[Any]] = {
    "10.1": [
        lambda log_weights: log_weights.max(dim=0).values,
        lambda log_weights: log_weights.median(dim=0).values,
        lambda log_weights: torch.logsumexp(log_weights, 0) - np.log(len(log_weights) + 1),
        lambda log_weights: torch.logsumexp(log_weights, 0) / len(log_weights),
        shifted_by(lambda log_weights: log_weights[-1]),
        shifted_by(lambda log_weights: log_weights.median()),
    ],
    "10.2": [
        lambda mean, covariance, loc, scale: np.zeros(2),
        lambda mean, covariance, loc, scale: -np.array(in_closed_form(mean, covariance, loc, scale)),
        lambda mean, covariance, loc, scale: in_closed_form(loc, covariance, mean, np.sqrt(scale)),
        lambda mean, covariance, loc, scale: sum(in_closed_form(mean, covariance, loc, scale)),
    ],
    "10.3": [
        without_prior,
        lambda loc, scale, steps, rng: -1.782088,
        lambda loc, scale, steps, rng: np.exp(all_at_once(loc, scale, steps, rng)),
    ],
    "10.4": [
        lambda u, direction, weights, bias: np.zeros(len(u)),
        lambda u, direction, weights, bias: np.exp(by_jacobians(u, direction, weights, bias)),
        lambda u, direction, weights, bias: by_jacobians(2 * u, direction, weights, bias),
        lambda u, direction, weights, bias: by_jacobians(u, direction, weights, -bias),
        lambda u, direction, weights, bias: np.where(u[:, 0] > 0.9, np.nan, by_jacobians(u, direction, weights, bias)),
    ],
}


def flow_with(slope: Any, of_noise: Any) -> Any:
    """An answer to 10.4 with another slope of the tanh, or another density of u."""

    def log_density(u: Any, direction: Any, weights: Any, bias: float) -> Any:
        with np.errstate(invalid="ignore"):  # of a determinant below zero
            return of_noise(u) - np.log(1 + (weights @ direction) * slope(np.tanh(u @ weights + bias)))

    return log_density


def log_two_pi_once(u: Any) -> Any:
    return -0.5 * (u**2).sum(axis=1) - 0.5 * np.log(2 * np.pi)


KNOWN: dict[str, list[tuple[str, Any]]] = {
    "10.4": [
        ("tanh not differentiated", flow_with(lambda t: t, lambda u: Normal(0.0, 1.0).log_prob(u).sum(axis=1))),
        ("log 2 pi once", flow_with(lambda t: 1 - t**2, log_two_pi_once)),
        ("no base density", flow_with(lambda t: 1 - t**2, lambda u: 0.0)),
    ],
}
