"""Exercises 07: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy
import torch
from scipy.special import ndtr
from scipy.stats import norm

from vaelib.quadrature import gauss_legendre

mu, sigma, b = sympy.symbols("mu sigma b", real=True)
eps = sympy.Symbol("eps", real=True)


def by_sympy() -> Any:
    """E[g^2] - E[g]^2 by integration."""
    density = sympy.exp(-(eps**2) / 2) / sympy.sqrt(2 * sympy.pi)
    g = sympy.expand((mu + sigma * eps - b) * eps / sigma)
    first, second = (sympy.integrate(sympy.expand(g**n) * density, (eps, -sympy.oo, sympy.oo)) for n in (1, 2))
    return second - first**2


def one_by_one(loc: float, scale: float, frequency: float, noise: Any) -> Any:
    rows: list[list[float]] = [[], [], [], []]
    for e in noise:
        z = loc + scale * float(e)
        slope = frequency * np.cos(frequency * z)
        rows[0].append(slope)
        rows[1].append(slope * (z - loc) / scale)
        rows[2].append(np.sin(frequency * z) * (z - loc) / scale**2)
        rows[3].append(np.sin(frequency * z) * ((z - loc) ** 2 / scale**3 - 1 / scale))
    return rows


def by_autograd(loc: float, scale: float, frequency: float, noise: Any, dtype: Any = torch.float64) -> Any:
    rows = []
    for weigh in (False, True):
        at = [torch.full((len(noise),), value, dtype=dtype, requires_grad=True) for value in (loc, scale)]
        q = torch.distributions.Normal(*at)
        z = at[0] + at[1] * torch.as_tensor(noise, dtype=dtype)
        f = torch.sin(frequency * (z.detach() if weigh else z))
        each = f * q.log_prob(z.detach()) if weigh else f
        rows += torch.autograd.grad(each.sum(), at)
    return torch.stack(rows)


def by_complex_step(loc: float, scale: float, frequency: float, noise: Any) -> Any:
    h = 1e-30

    def log_q(z: Any, m: Any, s: Any) -> Any:
        return -np.log(s) - ((z - m) / s) ** 2 / 2

    z = loc + scale * noise
    f = np.sin(frequency * z)
    return np.array(
        [
            np.sin(frequency * (z + 1j * h)).imag / h,
            np.sin(frequency * (loc + (scale + 1j * h) * noise)).imag / h,
            f * log_q(z, loc + 1j * h, scale).imag / h,
            f * log_q(z, loc, scale + 1j * h).imag / h,
        ]
    )


def single(loc: float, scale: float, frequency: float, noise: Any) -> Any:
    return by_autograd(loc, scale, frequency, noise, torch.float32)


def jump_by_distribution(loc: float, scale: float, rng: Any) -> Any:
    z = rng.normal(loc, scale)
    edge = loc / scale
    best = norm.cdf(edge) - edge * norm.pdf(edge)
    return (np.heaviside(z, 0) - best) * (z - loc) / scale**2


def jump_mirrored(loc: float, scale: float, rng: Any) -> Any:
    """The other indicator: 1 - f has minus the gradient of f, and the best baseline 1 - b*."""
    noise = -rng.standard_normal()
    edge = loc / scale
    other = ndtr(-edge) + edge * np.exp(-(edge**2) / 2) / np.sqrt(2 * np.pi)
    below = 1.0 if loc + scale * noise <= 0 else 0.0
    return np.float32(-(below - other) * noise / scale)


@cache
def best_by_quadrature(loc: float, scale: float) -> Any:
    return gauss_legendre(lambda e: e**2 * np.exp(-(e**2) / 2) / np.sqrt(2 * np.pi), -loc / scale, 12.0, n=80).value


def jump_with_sums(loc: float, scale: float, rng: Any) -> Any:
    (noise,) = rng.standard_normal(1)
    best = best_by_quadrature(loc, scale)
    return torch.tensor(((1 - best) if loc + scale * noise > 0 else -best) * noise / scale)


def with_jump(weigh: Any) -> Any:
    return lambda loc, scale, rng: weigh(loc, scale, rng.standard_normal())


VARIANTS: dict[str, list[Any]] = {
    "07.1": [
        by_sympy(),
        sympy.expand((mu**2 - 2 * mu * b + b**2 + 2 * sigma**2) / sigma**2),
        lambda mu, sigma, b: 2 + ((b - mu) / sigma) ** 2,
    ],
    "07.2": [one_by_one, by_autograd, by_complex_step, single],
    "07.3": [jump_by_distribution, jump_mirrored, jump_with_sums],
}

WRONG: dict[str, list[Any]] = {
    "07.1": [(mu - b) ** 2 / sigma**2 + 1, (mu + b) ** 2 / sigma**2 + 2, sympy.Integer(2)],
    "07.2": [
        lambda loc, scale, frequency, noise: one_by_one(loc, scale, frequency, noise)[::-1],
        lambda loc, scale, frequency, noise: -np.array(one_by_one(loc, scale, frequency, noise)),
        lambda loc, scale, frequency, noise: np.array(one_by_one(loc, scale, frequency, noise)) / len(noise),
        lambda loc, scale, frequency, noise: np.zeros((4, len(noise), 1)),
    ],
    "07.3": [
        with_jump(lambda loc, scale, e: -((loc + scale * e > 0) - 0.3) * e / scale),
        with_jump(lambda loc, scale, e: ((loc + scale * e > 0) - 2.0) * e / scale),
        with_jump(lambda loc, scale, e: e),
    ],
}
