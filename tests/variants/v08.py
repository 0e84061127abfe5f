"""Other right answers to the exercises of notebook 08, and wrong ones that are no known mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from vaelib import DiagonalNormal, LinearGaussian

Array = np.ndarray

# ----------------------------------------------------------------------------------------------------- 08.2


def by_a_grid(x: Array, loc: Array, scale: Array, loading: Array, offset: Array, noise_variance: float) -> list[float]:
    """z at loc +- sqrt(k) scale, along each axis: exact, because log p(x | z) is quadratic in z."""
    k, result = loc.shape[1], []
    for point, m, s in zip(x, loc, scale, strict=True):
        corners = [m + sign * np.sqrt(k) * s * axis for axis in np.eye(k) for sign in (-1, 1)]
        law = [multivariate_normal(loading @ z + offset, noise_variance * np.eye(len(point))) for z in corners]
        result.append(float(np.mean([each.logpdf(point) for each in law])))
    return result


def by_moments(x: Array, loc: Array, scale: Array, loading: Array, offset: Array, noise_variance: float) -> Array:
    """Multiplied out: |r|^2 - 2 r W m + tr(W^T W E[z z^T]), r = x - b."""
    r = x - offset
    second = np.einsum("bi,bj->bij", loc, loc) + np.einsum("bi,ij->bij", scale**2, np.eye(loc.shape[1]))
    square = np.sum(r * r, axis=1) - 2 * np.einsum("bd,dk,bk->b", r, loading, loc)
    square = square + np.einsum("di,dj,bij->b", loading, loading, second)
    return -0.5 * (x.shape[1] * np.log(2 * np.pi * noise_variance) + square / noise_variance)


def in_torch(x: Array, loc: Array, scale: Array, loading: Array, offset: Array, noise_variance: float) -> torch.Tensor:
    x, loc, scale, loading, offset = (torch.as_tensor(part) for part in (x, loc, scale, loading, offset))
    noise = torch.distributions.Normal(loc @ loading.T + offset, noise_variance**0.5)
    trace = torch.einsum("dk,bk->b", loading**2, scale**2)
    return noise.log_prob(x).sum(-1) - trace / (2 * noise_variance)


def in_single_precision(*arguments: Any) -> Array:
    return np.float32(by_moments(*(np.float32(part) for part in arguments)))


# ----------------------------------------------------------------------------------------------------- 08.3


def by_cases(eigenvalues: Array, latents: int, noise_variance: float, beta: float) -> list[list[float]]:
    lengths, variances = [], []
    for value in eigenvalues[:latents]:
        used = value > beta * noise_variance
        lengths.append(float(value - beta * noise_variance) if used else 0.0)
        variances.append(float(beta * noise_variance / value) if used else 1.0)
    return [lengths, variances]


def by_encoder_formula(eigenvalues: Array, latents: int, noise_variance: float, beta: float) -> Array:
    squared = np.clip(eigenvalues[:latents] - beta * noise_variance, 0, None)
    return np.stack([squared, 1 / (1 + squared / (beta * noise_variance))])


def by_search(eigenvalues: Array, latents: int, noise_variance: float, beta: float) -> Array:
    """Each direction's own bound, climbed without its derivatives; the square of w and a flat top need care."""
    rows = []
    for value in eigenvalues[:latents]:

        def minus_bound(p: Array, value: float = float(value)) -> float:
            squared, variance = p[0] ** 2, np.exp(p[1])
            v = p[0] * value / (squared * value + beta * noise_variance * value)  # the best slope
            error = value * (1 - p[0] * v) ** 2 + squared * variance
            return float(error / (2 * noise_variance) + beta / 2 * (v**2 * value + variance - p[1]))

        found = minimize(minus_bound, [1.0, -0.5], method="BFGS", options={"gtol": 1e-12}).x
        rows.append([found[0] ** 2, np.exp(found[1])])
    return np.array(rows, dtype=np.float32).T


# ----------------------------------------------------------------------------------------------------- 08.4

L1, L2, C, A = sympy.symbols("lambda_1 lambda_2 noise_variance angle", positive=True)
TURN = sympy.Matrix([[sympy.cos(A), -sympy.sin(A)], [sympy.sin(A), sympy.cos(A)]])
W = sympy.diag(sympy.sqrt(L1 - C), sympy.sqrt(L2 - C)) * TURN
M = W.T * W + C * sympy.eye(2)
HADAMARD = (sympy.log(M[0, 0]) + sympy.log(M[1, 1]) - sympy.log(M.det())) / 2
DOUBLE_ANGLE = sympy.log(1 + (L1 - L2) ** 2 * sympy.sin(2 * A) ** 2 / (4 * L1 * L2)) / 2


def by_correlation(lambda_1: float, lambda_2: float, noise_variance: float, angle: float) -> float:
    """-1/2 log(1 - r^2), r the correlation of the posterior."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    covariance = np.linalg.inv(turn.T @ np.diag([lambda_1, lambda_2]) @ turn)
    r = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    return float(-0.5 * np.log1p(-(r**2)))


def by_the_package(lambda_1: float, lambda_2: float, noise_variance: float, angle: float) -> float:
    """log p(x) - L(x) at one x, with the best independent latents."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    top = np.diag(np.sqrt([lambda_1 - noise_variance, lambda_2 - noise_variance]))
    model = LinearGaussian(np.vstack([top, np.zeros(2)]) @ turn, np.zeros(3), noise_variance)
    x, gram = np.array([0.6, -0.4, 0.3]), model.loading.T @ model.loading + noise_variance * np.eye(2)
    q = DiagonalNormal(np.linalg.solve(gram, model.loading.T @ x), np.sqrt(noise_variance / np.diag(gram)))
    return float(model.log_evidence(x) - model.elbo(x, q))


VARIANTS: dict[str, list[Any]] = {
    "08.1": [(1.25, 5.75, 3.25, 1.75), np.array([5, 23, 13, 7]) / 4, torch.tensor([1.25, 5.75, 3.25, 1.75])],
    "08.2": [by_a_grid, by_moments, in_torch, in_single_precision],
    "08.3": [
        by_cases,
        by_encoder_formula,
        lambda eigenvalues, *rest: torch.as_tensor(by_encoder_formula(np.float32(eigenvalues), *rest)),
        by_search,
    ],
    "08.4": [HADAMARD, DOUBLE_ANGLE, by_the_package, by_correlation, lambda *a: np.float32(by_correlation(*a))],
}

WRONG: dict[str, list[Any]] = {
    "08.1": [[1.0, 6.0, 3.5, 2.0], [1.25, 5.75, 3.25], 1.25],
    "08.2": [
        lambda x, loc, *rest: by_moments(x, -loc, *rest),
        lambda x, loc, scale, loading, offset, noise_variance: by_moments(x, loc, scale, loading, 0, noise_variance),
        lambda *a: -by_moments(*a),
    ],
    "08.3": [
        lambda *a: by_encoder_formula(*a)[::-1],
        lambda *a: by_encoder_formula(*a)[:, ::-1],
        lambda e, *rest: by_encoder_formula(e**2, *rest),
    ],
    "08.4": [sympy.log(L1 / L2) / 2, sympy.sin(A) ** 2, lambda *a: 1 / 3 + by_correlation(*a)],
}
