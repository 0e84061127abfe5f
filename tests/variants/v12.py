"""Exercises 12: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import sympy
import torch

from vaelib import LinearGaussian, MultivariateNormal

# --------------------------------------------------------------------------------------------------------------- 12.1


def summed_over_what_is_covered(pixels: Any, seen: Any, weights: Any, ink: Any) -> float:
    """Every way to fill in the covered pixels, added up: the sum rule, as slowly as it can be done."""
    total = 0.0
    for filling in product([0, 1], repeat=int((~seen).sum())):
        image = pixels.copy()
        image[~seen] = filling
        total += sum(
            p * np.prod(black**image * (1 - black) ** (1 - image)) for p, black in zip(weights, ink, strict=True)
        )
    return float(np.log(total))


def pixel_after_pixel(pixels: Any, seen: Any, weights: Any, ink: Any) -> Any:
    """log p(x_1) + log p(x_2 | x_1) + ...: Bayes' rule at each seen pixel."""
    belief, found = np.array(weights), 0.0
    for j in np.flatnonzero(seen):
        joint = belief * (ink[:, j] if pixels[j] else 1 - ink[:, j])
        found += np.log(joint.sum())
        belief = joint / joint.sum()
    return found


def seen_in_torch(pixels: Any, seen: Any, weights: Any, ink: Any) -> Any:
    pixels, seen, weights, ink = (torch.as_tensor(part) for part in (pixels, seen, weights, ink))
    log_each = torch.distributions.Bernoulli(ink.float()).log_prob(pixels.float()) * seen
    return torch.logsumexp(weights.float().log() + log_each.sum(1), 0)


# --------------------------------------------------------------------------------------------------------------- 12.2


def through_the_latents(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any) -> Any:
    w, unseen = loading[seen], loading[~seen]
    precision = np.eye(w.shape[1]) + w.T @ np.diag(1 / noise_variances[seen]) @ w
    mean = np.linalg.solve(precision, w.T @ ((x[seen] - offset[seen]) / noise_variances[seen]))
    variance = np.diag(unseen @ np.linalg.solve(precision, unseen.T)) + noise_variances[~seen]
    return [unseen @ mean + offset[~seen], np.sqrt(variance)]


def by_precisions(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any) -> Any:
    """The conditional of a Gaussian by blocks of its inverse covariance."""
    precision = np.linalg.inv(loading @ loading.T + np.diag(noise_variances))
    block = precision[~seen][:, ~seen]
    shift = np.linalg.solve(block, precision[~seen][:, seen] @ (x - offset)[seen])
    return np.array([offset[~seen] - shift, np.diag(np.linalg.inv(block)) ** 0.5])


def scaled_to_one_noise(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any) -> Any:
    """Each pixel in units of its own noise: then the package's model fits."""
    unit = np.sqrt(noise_variances)
    model = LinearGaussian(loading[seen] / unit[seen, None], offset[seen] / unit[seen], 1.0)
    code: MultivariateNormal = model.posterior(x[seen] / unit[seen])
    rows = []
    for row, b, c in zip(loading[~seen], offset[~seen], noise_variances[~seen], strict=True):
        rows.append([row @ code.loc + b, np.sqrt(row @ code.covariance @ row + c)])
    return np.array(rows).T


def one_seen_pixel_at_a_time(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any) -> Any:
    """A Kalman filter over the seen pixels."""
    k = loading.shape[1]
    mean, covariance = np.zeros(k), np.eye(k)
    for j in range(len(x)):
        if seen[j]:
            gain = covariance @ loading[j] / (loading[j] @ covariance @ loading[j] + noise_variances[j])
            mean = mean + gain * (x[j] - offset[j] - loading[j] @ mean)
            covariance = covariance - np.outer(gain, loading[j] @ covariance)
    unseen = np.where(~seen)[0]
    means = [loading[j] @ mean + offset[j] for j in unseen]
    return [means, [np.sqrt(loading[j] @ covariance @ loading[j] + noise_variances[j]) for j in unseen]]


def completed_in_float32(*question: Any) -> Any:
    x, seen, loading, offset, noise = (torch.as_tensor(part) for part in question)
    x, loading, offset, noise = x.float(), loading.float(), offset.float(), noise.float()
    whole = loading @ loading.T + torch.diag(noise)
    cross = whole[~seen][:, seen]
    gain = torch.linalg.solve(whole[seen][:, seen], cross.T).T
    return torch.stack(
        [offset[~seen] + gain @ (x - offset)[seen], (whole[~seen][:, ~seen] - gain @ cross.T).diagonal().sqrt()]
    )


# --------------------------------------------------------------------------------------------------------------- 12.3

x, a, c, w = sympy.symbols("x a c w", real=True)


def by_tweedie() -> Any:
    density = w * sympy.exp(-((x - a) ** 2) / (2 * c)) + (1 - w) * sympy.exp(-((x + a) ** 2) / (2 * c))
    return x + c * sympy.diff(sympy.log(density), x)


def by_bayes(x: float, a: float, c: float, w: float) -> float:
    ink, paper = w * np.exp(-((x - a) ** 2) / (2 * c)), (1 - w) * np.exp(-((x + a) ** 2) / (2 * c))
    return a * (ink - paper) / (ink + paper)


def by_odds(x: float, a: float, c: float, w: float) -> float:
    return a * (2 / (1 + (1 - w) / w * np.exp(-2 * a * x / c)) - 1)


def by_autograd(x: float, a: float, c: float, w: float) -> Any:
    at = torch.tensor(x, requires_grad=True)
    bells = torch.stack([-((at - a) ** 2), -((at + a) ** 2)]) / (2 * c) + torch.tensor([w, 1 - w]).log()
    (slope,) = torch.autograd.grad(bells.logsumexp(0), at)
    return at + c * slope


odd = sympy.exp(a * x / c)
AS_A_QUOTIENT = a * (w * odd - (1 - w) / odd) / (w * odd + (1 - w) / odd)

# --------------------------------------------------------------------------------------------------------------- 12.4


def entry_by_entry(joint: Any, encoder: Any) -> list[list[float]]:
    size = len(joint)
    matrix = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            r = joint[j] * encoder[i] / (joint[i] * encoder[j])
            matrix[i][j] += encoder[j] * min(1.0, r)
            matrix[i][i] += encoder[j] * (1 - min(1.0, r))
    return matrix


def in_logarithms(joint: Any, encoder: Any) -> Any:
    log_weight = np.log(joint) - np.log(encoder)
    log_accept = np.minimum(0.0, log_weight - log_weight[:, None])
    matrix = np.exp(np.log(encoder) + log_accept)
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, 1 - matrix.sum(1))
    return matrix


def by_the_smaller_flow(joint: Any, encoder: Any) -> Any:
    """min(p_i q_j, p_j q_i) / p_i, in torch and single precision."""
    joint, encoder = torch.as_tensor(joint).float(), torch.as_tensor(encoder).float()
    flow = torch.minimum(torch.outer(joint, encoder), torch.outer(encoder, joint)) / joint[:, None]
    return flow + torch.diag(1 - flow.sum(1))


# --------------------------------------------------------------------------------------------------------------- 12.5


def through_the_package(
    x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any, loc: Any, scale: Any
) -> float:
    """Each pixel in units of its own noise: then the package's bound fits, but for the change of units."""
    unit = np.sqrt(noise_variances[seen])
    model = LinearGaussian(loading[seen] / unit[:, None], offset[seen] / unit, 1.0)
    return float(model.elbo(x[seen] / unit, MultivariateNormal(loc, np.diag(scale**2)))) - np.log(unit).sum()


def evidence_less_the_gap(
    x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any, loc: Any, scale: Any
) -> Any:
    """F2: log p(x_o) - KL(q || p(z | x_o)), both of Gaussians."""
    w, c, r = loading[seen], noise_variances[seen], (x - offset)[seen]
    covariance = w @ w.T + np.diag(c)
    log_evidence = -0.5 * (np.linalg.slogdet(2 * np.pi * covariance)[1] + r @ np.linalg.solve(covariance, r))
    precision = np.eye(len(loc)) + (w.T / c) @ w
    gap = np.linalg.solve(precision, (w.T / c) @ r) - loc
    kl = np.trace(precision @ np.diag(scale**2)) + gap @ precision @ gap - len(loc)
    return log_evidence - 0.5 * (kl - np.linalg.slogdet(precision)[1] - 2 * np.log(scale).sum())


def pixel_by_pixel_in_torch(*question: Any) -> Any:
    x, seen, loading, offset, noise, loc, scale = (torch.as_tensor(part) for part in question)
    total = -torch.distributions.kl_divergence(
        torch.distributions.Normal(loc.float(), scale.float()), torch.distributions.Normal(0.0, 1.0)
    ).sum()
    for j in range(len(x)):
        if seen[j]:
            at_mean = torch.distributions.Normal(offset[j] + loading[j] @ loc, noise[j].sqrt()).log_prob(x[j])
            total = total + at_mean - (loading[j] ** 2 @ scale**2) / (2 * noise[j])
    return total


def by_quadrature(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any, loc: Any, scale: Any) -> float:
    """Both terms under one integral over q, by Gauss and Hermite in each coordinate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    total = 0.0
    for indices in product(range(12), repeat=len(loc)):
        e = nodes[list(indices)]
        z, weight = loc + scale * e, np.prod(weights[list(indices)]) / (2 * np.pi) ** (len(loc) / 2)
        residual = (x - offset - loading @ z)[seen]
        log_lik = -0.5 * np.sum(np.log(2 * np.pi * noise_variances[seen]) + residual**2 / noise_variances[seen])
        total += weight * (log_lik + np.sum(-0.5 * z**2 + 0.5 * e**2 + np.log(scale)))
    return float(total)


VARIANTS: dict[str, list[Any]] = {
    "12.1": [summed_over_what_is_covered, pixel_after_pixel, seen_in_torch],
    "12.2": [
        through_the_latents,
        by_precisions,
        scaled_to_one_noise,
        one_seen_pixel_at_a_time,
        completed_in_float32,
    ],
    "12.3": [by_tweedie(), AS_A_QUOTIENT, by_bayes, by_odds, by_autograd],
    "12.4": [entry_by_entry, in_logarithms, by_the_smaller_flow],
    "12.5": [through_the_package, evidence_less_the_gap, pixel_by_pixel_in_torch, by_quadrature],
}


def barker(joint: Any, encoder: Any) -> Any:
    """Another acceptance that keeps p(z | x): r / (1 + r). Not the one that was asked for."""
    weight = joint / encoder
    moves = encoder * weight / (weight + weight[:, None])
    np.fill_diagonal(moves, 0)
    return moves + np.diag(1 - moves.sum(axis=1))


WRONG: dict[str, list[Any]] = {
    "12.1": [
        lambda pixels, seen, weights, ink: 0.9 * pixel_after_pixel(pixels, seen, weights, ink),
        lambda pixels, seen, weights, ink: float(np.sum(seen)),
        lambda pixels, seen, weights, ink: pixel_after_pixel(np.where(seen, pixels, 0.5), seen | True, weights, ink),
    ],
    "12.2": [
        lambda *question: np.array(through_the_latents(*question))[::-1],
        lambda *question: np.array(through_the_latents(*question)) + np.array([[0.1], [0.0]]),
        lambda *question: np.array(through_the_latents(*question))[:, ::-1] * 1.01,
        lambda *question: np.array(through_the_latents(*question))[0],
    ],
    "12.3": [a * sympy.tanh(x), x / 2, lambda x, a, c, w: np.nan, sympy.tanh(a * x / c + sympy.log(w / (1 - w)) / 2)],
    "12.4": [
        barker,
        lambda joint, encoder: np.tile(joint / joint.sum(), (len(joint), 1)),
        lambda joint, encoder: np.eye(len(joint)),
    ],
    "12.5": [
        lambda *question: 0.9 * evidence_less_the_gap(*question),
        lambda *question: evidence_less_the_gap(*question) - 0.05,
        lambda x, seen, *rest: float(np.sum(x[seen])),
        lambda *question: np.array([evidence_less_the_gap(*question)] * 2),
    ],
}


def bound_with(spread: Any, log_of: Any) -> Any:
    """An answer to 12.5 with another mean of (w z)^2 - (w m)^2, or another constant of the density."""

    def bound(x: Any, seen: Any, loading: Any, offset: Any, noise_variances: Any, loc: Any, scale: Any) -> Any:
        w, c = loading[seen], noise_variances[seen]
        square = ((x - offset)[seen] - w @ loc) ** 2 + spread(w, scale)
        kl = 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum()
        return -0.5 * (log_of(c) + square / c).sum() - kl

    return bound


KNOWN: dict[str, list[tuple[str, Any]]] = {
    "12.5": [
        ("square of the sum", bound_with(lambda w, scale: (w @ scale) ** 2, lambda c: np.log(2 * np.pi * c))),
        ("no log 2 pi", bound_with(lambda w, scale: w**2 @ scale**2, np.log)),
    ],
}
