"""Other right answers to the exercises of notebook 06, and wrong ones that are no known mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

from vaelib import LinearGaussian, MultivariateNormal, kl_divergence

Array = np.ndarray


def log_joint(x: Array, weights: Array, loc: Array, scale: Array) -> Array:
    d = x.shape[1]
    columns = [
        np.log(w) + np.reshape(multivariate_normal(m, s**2 * np.eye(d)).logpdf(x), len(x))
        for w, m, s in zip(weights, loc, scale, strict=True)
    ]
    return np.stack(columns, axis=1)


def e_by_loops(x: Array, weights: Array, loc: Array, scale: Array) -> list[list[float]]:
    rows = []
    for point in x:
        scores = [
            np.log(w) - len(point) * np.log(s) - sum((a - b) ** 2 for a, b in zip(point, m, strict=True)) / 2 / s / s
            for w, m, s in zip(weights, loc, scale, strict=True)
        ]
        rows.append([1 / sum(np.exp(min(other - score, 700)) for other in scores) for score in scores])
    return rows


def e_from_densities(*arguments: Array) -> Array:
    """0 / 0 where the clusters are narrow."""
    joint = np.exp(log_joint(*arguments))
    with np.errstate(invalid="ignore"):
        return joint / joint.sum(axis=1, keepdims=True)


def e_in_torch(x: Array, weights: Array, loc: Array, scale: Array) -> torch.Tensor:
    x, weights, loc, scale = (torch.as_tensor(part) for part in (x, weights, loc, scale))
    log_prob = torch.distributions.Normal(loc, scale[:, None]).log_prob(x[:, None]).sum(-1)
    return torch.softmax(log_prob + weights.log(), dim=1)


def m_by_loops(x: Array, responsibilities: Array) -> list[list[float]]:
    rows = []
    for r in responsibilities.T:
        loc = np.average(x, axis=0, weights=r)
        rows.append([np.mean(r), *loc, np.average(np.mean((x - loc) ** 2, axis=1), weights=r)])
    return rows


def m_by_moments(x: Array, responsibilities: Array) -> Array:
    share = responsibilities / responsibilities.sum(axis=0)
    loc = share.T @ x
    second = share.T @ (x**2).mean(axis=1)
    return np.hstack([responsibilities.mean(axis=0)[:, None], loc, (second - (loc**2).mean(axis=1))[:, None]])


def vertex(f: Any) -> float:
    """Where a parabola is highest, from three of its values."""
    low, middle, high = f(-1.0), f(0.0), f(1.0)
    return float((low - high) / (2 * (low - 2 * middle + high)))


def by_the_package(x: float, theta: float, loc: float, loading: float, noise_variance: float) -> Array:
    """The bound and the KL of the package, with any s: both are parabolas."""
    point, s = np.array([x]), 0.37

    def model(t: float) -> LinearGaussian:
        return LinearGaussian(np.array([[loading]]), np.array([t]), noise_variance)

    def q(m: float) -> MultivariateNormal:
        return MultivariateNormal(np.array([m]), np.array([[s**2]]))

    def minus_kl(m: float, t: float) -> float:
        return -float(kl_divergence(q(m), model(t).posterior(point)))

    return np.array(
        [
            [vertex(lambda m: float(model(theta).elbo(point, q(m)))), vertex(lambda m: minus_kl(m, theta))],
            [vertex(lambda t: float(model(t).elbo(point, q(loc)))), vertex(lambda t: minus_kl(loc, t))],
        ]
    )


def by_precisions(x: float, theta: float, loc: float, loading: float, noise_variance: float) -> list[list[float]]:
    precision = 1 + loading**2 / noise_variance
    gain = loading / noise_variance / precision
    best = gain * (x - theta)
    return [[best, best], [x - loading * loc, x - loc / gain]]


VARIANTS: dict[str, list[Any]] = {
    "06.1": [
        lambda joint, q: logsumexp(np.log(joint)),
        lambda joint, q: float(joint / joint.sum() @ np.log(joint) - joint / joint.sum() @ np.log(joint / joint.sum())),
        lambda joint, q: float(q @ (np.log(joint) - np.log(joint / joint.sum()))),
        lambda joint, q: torch.as_tensor(joint, dtype=torch.float32).sum().log(),
    ],
    "06.2": ["c", " C "],
    "06.3": [
        lambda x, weights, loc, scale: softmax(log_joint(x, weights, loc, scale), axis=1),
        lambda *a: np.exp(log_joint(*a) - logsumexp(log_joint(*a), axis=1)[:, None]),
        e_by_loops,
        e_in_torch,
        lambda x, *a: e_in_torch(np.float32(x), *(np.float32(part) for part in a)),
    ],
    "06.4": [
        m_by_loops,
        m_by_moments,
        lambda x, responsibilities: m_by_moments(np.float32(x), np.float32(responsibilities)),
        lambda x, responsibilities: torch.as_tensor(m_by_moments(x, responsibilities)),
    ],
    "06.5": [
        by_the_package,
        by_precisions,
        lambda *a: torch.tensor(by_precisions(*a)),
        lambda *a: np.float32(by_precisions(*a)),
    ],
}

WRONG: dict[str, list[Any]] = {
    "06.1": [
        lambda joint, q: float(np.log(q @ joint)),
        lambda joint, q: float(np.log(joint).sum()),
        lambda joint, q: 0.0,
    ],
    "06.2": ["f", 3],
    "06.3": [
        lambda x, weights, loc, scale: np.full((len(x), len(weights)), 1 / len(weights)),
        lambda x, weights, loc, scale: np.repeat(weights[None], len(x), axis=0),
        lambda x, weights, loc, scale: softmax(2 * log_joint(x, weights, loc, scale), axis=1),
        e_from_densities,
    ],
    "06.4": [
        lambda x, responsibilities: m_by_moments(x, responsibilities**2),
        lambda x, responsibilities: m_by_moments(x, responsibilities)[::-1],
        lambda x, responsibilities: m_by_moments(x, responsibilities)[:, ::-1],
    ],
    "06.5": [
        lambda x, theta, loc, loading, noise_variance: [[loc, loc], [theta, theta]],
        lambda *a: [[2 * t for t in row] for row in by_precisions(*a)],
    ],
}
