"""Answers to the exercises of notebook 04: right ones written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy
import torch
from scipy.linalg import cho_solve, solve_triangular

# ---------------------------------------------------------------------------------------------------------- 04.1

LOC_Q, SCALE_Q, LOC_P, SCALE_P = sympy.symbols("loc_q scale_q loc_p scale_p", positive=True)
ON_PAPER = (
    sympy.log(SCALE_P)
    - sympy.log(SCALE_Q)
    + (SCALE_Q**2 + (LOC_Q - LOC_P) ** 2) / (2 * SCALE_P**2)
    - sympy.Rational(1, 2)
)


def in_variances(m: float, s: float, n: float, t: float) -> float:
    v, w = s * s, t * t
    return 0.5 * (math.log(w / v) + (v + (m - n) ** 2) / w - 1)


def in_precisions(loc_q: float, scale_q: float, loc_p: float, scale_p: float) -> float:
    precision = scale_p**-2.0
    return (
        -math.log(scale_q * math.sqrt(precision))
        + precision * (loc_q - loc_p) ** 2 / 2
        + math.expm1(2 * math.log(scale_q / scale_p)) / 2
    )


def by_quadrature(loc_q: float, scale_q: float, loc_p: float, scale_p: float) -> Any:
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    z = loc_q + scale_q * nodes
    log_ratio = ((z - loc_p) / scale_p) ** 2 / 2 - nodes**2 / 2 + np.log(scale_p / scale_q)
    return weights @ log_ratio / weights.sum()


def univariate_in_torch(loc_q: float, scale_q: float, loc_p: float, scale_p: float) -> Any:
    q = torch.distributions.Normal(torch.tensor(loc_q), torch.tensor(scale_q))
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(loc_p, scale_p))


# ---------------------------------------------------------------------------------------------------------- 04.2


def as_in_the_paper(loc: Any, log_scale: Any) -> Any:
    log_variance = 2 * log_scale
    return -0.5 * np.sum(1 + log_variance - loc**2 - np.exp(log_variance), axis=1)


def in_loops(means: Any, logs: Any) -> list[float]:
    return [
        sum((math.exp(s) ** 2 + m * m - 1) / 2 - s for m, s in zip(row, row_logs, strict=True))
        for row, row_logs in zip(means, logs, strict=True)
    ]


def in_single_precision(loc: Any, log_scale: Any) -> Any:
    loc, log_scale = np.float32(loc), np.float32(log_scale)
    return (np.expm1(2 * log_scale) / 2 + loc * loc / 2 - log_scale).sum(-1)


def encoder_in_torch(loc: Any, log_scale: Any) -> Any:
    loc, log_scale = torch.as_tensor(loc), torch.as_tensor(log_scale).requires_grad_()
    return torch.sum(0.5 * (log_scale.exp().square() + loc.square() - 1) - log_scale, dim=1)


# ---------------------------------------------------------------------------------------------------------- 04.3


def by_variance(loc_p: float, scale_p: float, nats: float) -> tuple[float, float]:
    return loc_p + math.sqrt(2 * nats * scale_p**2), scale_p


# ---------------------------------------------------------------------------------------------------------- 04.4


def by_traces(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    gap = loc_q - loc_p
    trace = np.trace(cho_solve((tril_p, True), tril_q @ tril_q.T))
    logs = np.log(np.diag(tril_p)).sum() - np.log(np.diag(tril_q)).sum()
    return (trace + gap @ cho_solve((tril_p, True), gap) - gap.size) / 2 + logs


def by_slogdet(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    covariance_q, covariance_p = tril_q @ tril_q.T, tril_p @ tril_p.T
    gap = loc_q - loc_p
    squares = np.trace(np.linalg.solve(covariance_p, covariance_q)) + gap @ np.linalg.solve(covariance_p, gap)
    logs = np.linalg.slogdet(covariance_p).logabsdet - np.linalg.slogdet(covariance_q).logabsdet
    return 0.5 * (squares - len(gap) + logs)


def by_inverse(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    whitening = np.linalg.inv(tril_p)
    spread, gap = whitening @ tril_q, whitening @ (loc_q - loc_p)
    return (np.square(spread).sum() + gap @ gap - gap.size) / 2 - np.log(np.diag(spread)).sum()


def one_system(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    seen = solve_triangular(tril_p, np.c_[tril_q, loc_q - loc_p], lower=True)
    return 0.5 * np.sum(seen**2) - 0.5 * len(loc_q) - np.sum(np.log(np.diag(seen[:, :-1])))


def full_in_torch(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    loc_q, tril_q, loc_p, tril_p = (torch.as_tensor(each) for each in (loc_q, tril_q, loc_p, tril_p))
    spread = torch.linalg.solve_triangular(tril_p, tril_q, upper=False)
    gap = torch.linalg.solve_triangular(tril_p, (loc_q - loc_p)[:, None], upper=False)
    return (spread.square().sum() + gap.square().sum() - len(loc_q)) / 2 - spread.diagonal().log().sum()


def full_in_single_precision(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    loc_q, tril_q, loc_p, tril_p = (np.float32(each) for each in (loc_q, tril_q, loc_p, tril_p))
    return one_system(loc_q, tril_q, loc_p, tril_p)


def determinant_first(loc_q: Any, tril_q: Any, loc_p: Any, tril_p: Any) -> Any:
    """Right, until the determinant is too small for a float."""
    with np.errstate(divide="ignore"):
        log_det = np.log(np.linalg.det(tril_p))
    return one_system(loc_q, tril_q, loc_p, tril_p) + log_det - np.sum(np.log(np.diag(tril_p)))


VARIANTS: dict[str, list[Any]] = {
    "04.1": [ON_PAPER, in_variances, in_precisions, by_quadrature, univariate_in_torch],
    "04.2": [as_in_the_paper, in_loops, in_single_precision, encoder_in_torch],
    "04.3": [by_variance, lambda m, s, n: np.array([m + s * np.exp(0.5 * np.log(2 * n)), s])],
    "04.4": [by_traces, by_slogdet, by_inverse, one_system, full_in_torch, full_in_single_precision],
}

WRONG: dict[str, list[Any]] = {
    "04.1": [
        lambda loc_q, scale_q, loc_p, scale_p: (loc_q - loc_p) ** 2,
        lambda loc_q, scale_q, loc_p, scale_p: 0.0,
        SCALE_Q / SCALE_P - 1,
    ],
    "04.2": [
        lambda loc, log_scale: 0.5 * np.sum(loc**2, axis=-1),
        lambda loc, log_scale: 0.5 * (np.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale),
        lambda loc, log_scale: as_in_the_paper(loc, np.exp(log_scale)),
    ],
    "04.3": [
        lambda loc_p, scale_p, nats: [loc_p, scale_p],
        lambda loc_p, scale_p, nats: loc_p + nats,
        lambda loc_p, scale_p, nats: [loc_p + 1.0, scale_p * np.exp(nats)],
    ],
    "04.4": [
        lambda loc_q, tril_q, loc_p, tril_p: np.sum((loc_q - loc_p) ** 2),
        determinant_first,
        lambda loc_q, tril_q, loc_p, tril_p: np.linalg.inv(tril_p) @ (loc_q - loc_p),
    ],
}
