"""Integrals and expectations by deterministic rules; each returns an Estimate whose error is |Q_2n - Q_n|.

An integrand takes an array of n nodes, shape (n,) in one dimension or (n, k) in k, and returns shape (n, ...): the
first axis is summed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.special import logsumexp, roots_hermitenorm, roots_legendre

from vaelib import _checks
from vaelib._door import as_numpy, count, require_function
from vaelib._quiet import quiet
from vaelib.estimate import Estimate

Array = np.ndarray
Integrand = Callable[[Array], Array]
DECAYED = 1e-15  # of the integral: what the values at both ends, all along the range, may come to
_remembered = lru_cache(maxsize=128)  # rules, not results; perturbed intervals would pile up without a bound


class DoesNotConverge(ValueError):
    """An integral over the whole line that has no finite value, or none that the ranges tried would show."""


@quiet
def trapezoid(f: Integrand, a: float, b: float, n: int = 500) -> Estimate:
    """Integral of f over [a, b] with 2 n intervals of width h = (b - a) / (2 n).

    For a smooth integrand that has decayed at both ends the error falls faster than any power of h: the rule to take
    for a density that is not Gaussian. At a kink it falls like h^2 only.
    """
    nodes, weights = _trapezoid_rule(*_interval(a, b), count("n", n, least=1))
    values = _values(f, nodes)
    return _fine_and_coarse(_weighted(weights, values), _weighted(2 * weights[::2], values[::2]))


@quiet
def log_trapezoid(log_f: Integrand, a: float, b: float, n: int = 500) -> Estimate:
    """Logarithm of the integral of exp(log_f) over [a, b], by `trapezoid`, safe against underflow."""
    nodes, weights = _trapezoid_rule(*_interval(a, b), count("n", n, least=1))
    values = _values(log_f, nodes)
    fine = logsumexp(values, axis=0, b=_column(weights, values))
    coarse = logsumexp(values[::2], axis=0, b=_column(2 * weights[::2], values))
    return _fine_and_coarse(fine, coarse)


@quiet
def over_the_line(f: Integrand, a: float, b: float, n: int = 500) -> Estimate:
    """Integral of f over the whole line by `trapezoid` over [a, b], which should hold all of it.

    If f has not decayed at both ends, wider ranges are tried: what they add is the error of the result. Raises
    DoesNotConverge if they add more and more.
    """
    (a, b), n = _interval(a, b), count("n", n, least=1)
    nodes, weights = _trapezoid_rule(a, b, n)
    values = _values(f, nodes)
    fine = _weighted(weights, values)
    result = _fine_and_coarse(fine, _weighted(2 * weights[::2], values[::2]))
    ends = np.abs(values[0]) + np.abs(values[-1])
    if np.all((ends == 0) | (np.isfinite(fine) & (ends * (b - a) <= DECAYED * np.abs(fine)))):
        return result
    whole = _weighted(weights, np.abs(values))
    center, width = (a + b) / 2, (b - a) / 2
    ranges = [(center - more * width, center + more * width) for more in (1.5, 2.25)]
    with np.errstate(all="ignore"):
        wider = [trapezoid(f, *wide, n=round(n * (wide[1] - wide[0]) / (b - a))).value for wide in ranges]
        first, second = np.abs(wider[0] - fine), np.abs(wider[1] - wider[0])
        matters = ~(first + second <= 1e-9 * whole)
        grows = matters & ~(second <= 0.97 * first)  # 1/|z| adds the same again and again
    if np.any(grows):
        shown = [float(np.atleast_1d(np.asarray(v)[grows] if np.ndim(v) else v)[0]) for v in (fine, *wider)]
        found = ", ".join(
            f"{v:.4g} over [{low:g}, {high:g}]" for v, (low, high) in zip(shown, [(a, b), *ranges], strict=True)
        )
        raise DoesNotConverge(
            f"Expected an integral over the whole line that converges, but it does not: {found}. Does the integrand "
            "divide by a density that is narrower than the others?"
        )
    with np.errstate(all="ignore"):
        rest = np.where(
            matters, second / (1 - second / first), second
        )  # of a geometric series, or of a tail that falls
    return Estimate(result.value, result.error + 2 * (first + rest))  # twice, to be safe


@quiet
def gauss_legendre(f: Integrand, a: float, b: float, panels: int = 15, n: int = 24) -> Estimate:
    """Integral of f over [a, b]: n Gauss-Legendre nodes on each of 2 `panels` panels of equal width."""
    rules = _panel_rules(*_interval(a, b), *_counts(panels, n))
    return _fine_and_coarse(*(_weighted(w, _values(f, z)) for z, w in rules))


@quiet
def log_gauss_legendre(log_f: Integrand, a: float, b: float, panels: int = 15, n: int = 24) -> Estimate:
    """Logarithm of the integral of exp(log_f) over [a, b], by `gauss_legendre`."""

    def rule(nodes: Array, weights: Array) -> Array:
        values = _values(log_f, nodes)
        return logsumexp(values, axis=0, b=_column(weights, values))

    return _fine_and_coarse(*(rule(z, w) for z, w in _panel_rules(*_interval(a, b), *_counts(panels, n))))


@quiet
def gauss_hermite(f: Integrand, loc: float, scale: float, n: int = 32) -> Estimate:
    """E[f(z)] for z ~ N(loc, scale^2) with 2 n nodes: exact for polynomials of degree up to 4 n - 1.

    Trust it for integrands that are polynomial, or Gaussian of about this center and width; elsewhere `trapezoid`.
    """

    loc, scale = _checks.number("loc", loc), _checks.number("scale", scale)
    n = count("n", n, least=1)

    def rule(n: int) -> Array:
        nodes, weights = _hermite_rule(n)
        return _weighted(weights, _values(f, loc + scale * nodes))

    return _fine_and_coarse(rule(2 * n), rule(n))


@quiet
def gauss_hermite_multivariate(f: Integrand, loc: Array, scale_tril: Array, n: int = 4) -> Estimate:
    """E[f(z)] for z ~ N(loc, L L^T) on the product grid of 2 n nodes for each of the k coordinates of L^-1 (z - loc).

    Args:
        f: takes nodes of shape (m, k).
        loc: shape (k,). scale_tril: the lower Cholesky factor L, shape (k, k).
        n: the grid has (2 n)^k nodes; meant for k up to 4.
    """
    loc, scale_tril = as_numpy(loc=loc, scale_tril=scale_tril)
    if loc.ndim != 1 or scale_tril.shape != (loc.size, loc.size) or loc.size == 0:
        raise ValueError(
            "Expected `loc` of shape (k,) and `scale_tril` of shape (k, k), but got"
            f" {loc.shape} and {scale_tril.shape}."
        )
    n = count("n", n, least=1)

    def rule(n: int) -> Array:
        nodes, weights = _hermite_rule(n)
        grid = np.array(list(product(nodes, repeat=loc.size)))
        grid_weights = np.array(list(product(weights, repeat=loc.size))).prod(axis=1)
        return _weighted(grid_weights, _values(f, loc + grid @ scale_tril.T))

    return _fine_and_coarse(rule(2 * n), rule(n))


@quiet
def enumerate_states(f: Integrand, num_states: int) -> Estimate:
    """Sum of f over the states 0, ..., num_states - 1: exact, so the error is 0."""
    values = _values(f, np.arange(count("num_states", num_states, least=1)))
    return Estimate(values.sum(axis=0), np.zeros(values.shape[1:])[()])


def _values(f: Integrand, nodes: Array) -> Array:
    """The integrand at the nodes, one entry (or row) for each."""
    require_function("f", f)
    (values,) = as_numpy(**{"f(z)": f(nodes)})
    if values.shape[:1] != nodes.shape[:1]:
        raise ValueError(
            f"Expected the integrand to return shape ({len(nodes)}, ...), one entry for each node, but got "
            f"{values.shape}. For a constant return np.full(len(z), constant)."
        )
    return values


def _interval(a: float, b: float) -> tuple[float, float]:
    (start,), (end,) = as_numpy(a=a), as_numpy(b=b)
    if start.ndim or end.ndim or not (np.isfinite(start) and np.isfinite(end) and start < end):
        raise ValueError(f"Expected a finite interval with a < b, but got a = {a}, b = {b}.")
    return float(start), float(end)


def _counts(panels: int, n: int) -> tuple[int, int]:
    return count("panels", panels, least=1), count("n", n, least=1)


def _column(weights: Array, values: Array) -> Array:
    return weights.reshape(-1, *[1] * (values.ndim - 1))


def _weighted(weights: Array, values: Array) -> Array:
    return np.tensordot(weights, values, axes=1)


def _fine_and_coarse(fine: Array, coarse: Array) -> Estimate:
    """The error is the change from n to 2 n; none where both are the same infinity (log 0, a divergence)."""
    fine = np.asarray(fine)
    with np.errstate(invalid="ignore"):
        error = np.where(fine == coarse, 0.0, np.abs(fine - coarse))
    return Estimate(fine[()], error[()])


def _frozen(nodes: Array, weights: Array) -> tuple[Array, Array]:
    """Read-only: an integrand that works in place would spoil the remembered rule for all that come after it."""
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


@_remembered
def _trapezoid_rule(a: float, b: float, n: int) -> tuple[Array, Array]:
    nodes, width = np.linspace(a, b, 2 * n + 1, retstep=True)
    weights = np.full(nodes.size, width)
    weights[[0, -1]] /= 2
    return _frozen(nodes, weights)


@_remembered
def _panel_rules(a: float, b: float, panels: int, n: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    x, w = roots_legendre(n)

    def rule(panels: int) -> tuple[Array, Array]:
        half_width = (b - a) / (2 * panels)
        centers = a + half_width * (2 * np.arange(panels) + 1)
        return _frozen((centers[:, None] + half_width * x).ravel(), np.tile(half_width * w, panels))

    return rule(2 * panels), rule(panels)


@_remembered
def _hermite_rule(n: int) -> tuple[Array, Array]:
    """Nodes and weights for the standard normal density (the probabilists' polynomials, weights that sum to one)."""
    nodes, weights = roots_hermitenorm(n)
    return _frozen(nodes, weights / weights.sum())
