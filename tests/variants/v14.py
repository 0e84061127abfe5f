"""Exercises 14: right answers written differently, and wrong ones that nobody foresaw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import integrate, stats

Array = np.ndarray

# ------------------------------------------------------------------------------------------------------------ 14.1


def by_the_closed_form(x_t: float, x_0: float, alpha: float, before: float) -> list[float]:
    kept = alpha * before
    mean = (before**0.5 * (1 - alpha) * x_0 + alpha**0.5 * (1 - before) * x_t) / (1 - kept)
    return [mean, (1 - alpha) * (1 - before) / (1 - kept)]


def by_regression(x_t: float, x_0: float, alpha: float, before: float) -> Array:
    """x_{t-1} has mean sqrt(before) x_0 and variance 1 - before; x_t is then seen."""
    mean, variance = np.sqrt(before) * x_0, 1 - before
    gain = np.sqrt(alpha) * variance / (alpha * variance + 1 - alpha)
    return np.array([mean + gain * (x_t - np.sqrt(alpha) * mean), variance * (1 - gain * np.sqrt(alpha))])


def on_a_grid(x_t: float, x_0: float, alpha: float, before: float) -> Array:
    x = np.linspace(-12, 12, 20_001)
    density = stats.norm.pdf(x_t, np.sqrt(alpha) * x, np.sqrt(1 - alpha))
    density = density * stats.norm.pdf(x, np.sqrt(before) * x_0, np.sqrt(1 - before))
    density /= density.sum()
    mean = density @ x
    return np.array([mean, density @ (x - mean) ** 2])


# ------------------------------------------------------------------------------------------------------------ 14.2


def by_ho(alpha: float, before: float) -> float:
    kept = alpha * before
    variance = (1 - alpha) * (1 - before) / (1 - kept)
    return (1 - alpha) ** 2 / (2 * variance * alpha * (1 - kept))


def by_kl(alpha: float, before: float) -> torch.Tensor:
    """The KL of two steps back whose noises differ by one."""
    kept = alpha * before
    gap = before**0.5 * (1 - alpha) / (1 - kept) * ((1 - kept) / kept) ** 0.5
    scale = ((1 - alpha) * (1 - before) / (1 - kept)) ** 0.5
    q, p = torch.distributions.Normal(gap, scale), torch.distributions.Normal(0.0, scale)
    return torch.distributions.kl_divergence(q, p)


# ------------------------------------------------------------------------------------------------------------ 14.3


def by_bayes(x_t: Array, kept: float, weights: Array, locs: Array, scales: Array) -> Array:
    spread = np.sqrt(kept * scales**2 + 1 - kept)
    given = weights * stats.norm.pdf(x_t[:, None], np.sqrt(kept) * locs, spread)
    means = locs + np.sqrt(kept) * scales**2 / spread**2 * (x_t[:, None] - np.sqrt(kept) * locs)
    return np.asarray((given * means).sum(1) / given.sum(1))


def by_integration(x_t: Array, kept: float, weights: Array, locs: Array, scales: Array) -> list[float]:
    x = np.linspace(-14, 14, 40_001)
    prior = (weights * stats.norm.pdf(x[:, None], locs, scales)).sum(1)
    each = [prior * stats.norm.pdf(y, np.sqrt(kept) * x, np.sqrt(1 - kept)) for y in x_t]
    return [float(integrate.trapezoid(d * x, x) / integrate.trapezoid(d, x)) for d in each]


def by_autograd(x_t: Array, kept: float, weights: Array, locs: Array, scales: Array) -> torch.Tensor:
    x = torch.tensor(x_t, requires_grad=True)
    spread = torch.as_tensor(kept * scales**2 + 1 - kept).sqrt()
    parts = torch.distributions.Normal(kept**0.5 * torch.as_tensor(locs), spread)
    log_q = torch.logsumexp(torch.as_tensor(weights).log() + parts.log_prob(x[:, None]), dim=1)
    (score,) = torch.autograd.grad(log_q.sum(), x)
    return (x.detach() + (1 - kept) * score) / kept**0.5


VARIANTS: dict[str, list[Any]] = {
    "14.1": [by_the_closed_form, by_regression, on_a_grid],
    "14.2": [
        by_ho,
        by_kl,
        r"\frac{1 - \alpha_t}{2 \alpha_t (1 - \bar\alpha_{t-1})}",
        r"\frac{\beta_t}{2 \alpha_t (1 - \bar\alpha_{t-1})}",
        r"\frac12 \left(\frac{\bar\alpha_{t-1}(1 - \bar\alpha_t)}{\bar\alpha_t (1 - \bar\alpha_{t-1})} - 1\right)",
    ],
    "14.3": [by_bayes, by_integration, by_autograd],
}


def a_third(x_t: float, x_0: float, alpha: float, before: float) -> Array:
    return np.array([(x_t + x_0) / 3, (1 - alpha) * (1 - before)])


def shifted(x_t: float, x_0: float, alpha: float, before: float) -> Array:
    return by_regression(x_t + 0.1, x_0, alpha, before)


def off_by_a_power(alpha: float, before: float) -> float:
    return (1 - alpha) ** 3 / (2 * alpha * (1 - before))


def softened(x_t: Array, kept: float, weights: Array, locs: Array, scales: Array) -> Array:
    """A little too wide in each part."""
    return by_bayes(x_t, kept, weights, locs, 1.1 * scales)


def moved(x_t: Array, kept: float, weights: Array, locs: Array, scales: Array) -> Array:
    """The parts lie a little to the right."""
    return by_bayes(x_t, kept, weights, locs + 0.07, scales)


WRONG: dict[str, list[Any]] = {
    "14.1": [a_third, shifted],
    "14.2": [off_by_a_power, r"\frac{1 - \alpha_t}{7 \alpha_t (1 - \bar\alpha_{t-1})}"],
    "14.3": [softened, moved],
}


def sum_of_precisions(towards: Any) -> Any:
    """An answer to 14.1 in which x_t gives the precision 1/(1 - alpha); `towards` is what it pulls to."""

    def back(x_t: float, x_0: float, alpha: float, before: float) -> list[float]:
        precision = 1 / (1 - alpha) + 1 / (1 - before)
        pull = towards(x_t, alpha) / (1 - alpha) + before**0.5 * x_0 / (1 - before)
        return [pull / precision, 1 / precision]

    return back


def by_ho_with_the_step_forward(alpha: float, before: float) -> float:
    """Ho's weight with sigma^2 = beta."""
    kept, beta = alpha * before, 1 - alpha
    return beta**2 / (2 * beta * alpha * (1 - kept))


def without_heights(x_t: Array, kept: float, weights: Array, locs: Array, scales: Array) -> Array:
    variance = kept * scales**2 + 1 - kept
    gap = x_t[:, None] - np.sqrt(kept) * locs
    given = weights * np.exp(-(gap**2) / (2 * variance))
    return np.asarray((given * (locs + np.sqrt(kept) * scales**2 / variance * gap)).sum(1) / given.sum(1))


KNOWN: dict[str, list[tuple[str, Any]]] = {
    "14.1": [
        ("precision without alpha", sum_of_precisions(lambda x_t, alpha: alpha**0.5 * x_t)),
        ("x_t for x_{t-1} plus noise", sum_of_precisions(lambda x_t, alpha: x_t)),
        ("x_t scaled back, its noise not", sum_of_precisions(lambda x_t, alpha: x_t / alpha**0.5)),
    ],
    "14.2": [
        ("product up to t", by_ho_with_the_step_forward),
        ("product up to t", r"\frac{1 - \alpha_t}{2 \alpha_t (1 - \bar\alpha_t)}"),
    ],
    "14.3": [
        ("parts without their height", without_heights),
        ("scale for variance", lambda *question: by_bayes(*question[:4], np.sqrt(question[4]))),
    ],
}
