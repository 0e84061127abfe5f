"""Exercises 11: right answers written differently, and wrong ones that are no known mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vaelib import LinearGaussian, kl_divergence

# --------------------------------------------------------------------------------------------------------------- 11.2


def active_by_hand(loc: Any, scale: Any) -> list[bool]:
    rows = loc.tolist()
    found = []
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        found.append(sum((value - mean) ** 2 for value in column) / (len(column) - 1) > 0.01)
    return found


def active_by_deviation(loc: Any, scale: Any) -> Any:
    return (loc - loc.mean(0)).square().mean(0).sqrt().gt(0.1).to(torch.int64)


def active_in_numpy(loc: Any, scale: Any) -> Any:
    return np.where(np.cov(loc.numpy().T).reshape(loc.shape[1], -1).diagonal() > 0.01, 1.0, 0.0)


def active_in_float32(loc: Any, scale: Any) -> Any:
    return (loc.float().var(dim=0) > 0.01).float()


# --------------------------------------------------------------------------------------------------------------- 11.3


def prices_by_loops(data: Any, encoder: Any, decoder: Any, prior: Any) -> list[Any]:
    size, states = encoder.shape
    aggregate = [sum(data[x] * encoder[x, z] for x in range(size)) for z in range(states)]
    rate = distortion = information = mismatch = torch.zeros((), dtype=data.dtype)
    for z in range(states):
        mismatch = mismatch + aggregate[z] * (torch.log(aggregate[z]) - torch.log(prior[z]))
        for x in range(size):
            both = data[x] * encoder[x, z]
            rate = rate + both * torch.log(encoder[x, z] / prior[z])
            distortion = distortion - both * torch.log(decoder[z, x])
            information = information + both * torch.log(both / (data[x] * aggregate[z]))
    return [rate, distortion, information, mismatch]


def prices_by_entropies(data: Any, encoder: Any, decoder: Any, prior: Any) -> Any:
    data, encoder, decoder, prior = (table.numpy() for table in (data, encoder, decoder, prior))

    def entropy(p: Any) -> Any:
        return -np.sum(p * np.log(p))

    joint = data[:, None] * encoder
    aggregate = data @ encoder
    mismatch = -aggregate @ np.log(prior) - entropy(aggregate)
    information = entropy(data) + entropy(aggregate) - entropy(joint)
    return np.array([information + mismatch, -np.einsum("xz,zx->", joint, np.log(decoder)), information, mismatch])


def prices_by_torch_laws(data: Any, encoder: Any, decoder: Any, prior: Any) -> Any:
    code, law = torch.distributions.Categorical(encoder), torch.distributions.Categorical(prior)
    aggregate = torch.distributions.Categorical(data @ encoder)
    kl = torch.distributions.kl_divergence
    distortion = -(data @ (encoder * torch.log(decoder).T).sum(-1))
    return torch.stack([data @ kl(code, law), distortion, data @ kl(code, aggregate), kl(aggregate, law)])


def prices_in_float32(data: Any, encoder: Any, decoder: Any, prior: Any) -> Any:
    data, encoder, decoder, prior = (table.float() for table in (data, encoder, decoder, prior))
    log_aggregate = torch.logsumexp(data.log()[:, None] + encoder.log(), 0)
    rate = data @ (encoder * (encoder.log() - prior.log())).sum(1)
    mismatch = (log_aggregate.exp() * (log_aggregate - prior.log())).sum()
    distortion = data @ -(encoder * decoder.T.log()).sum(1)
    return torch.stack([rate, distortion, rate - mismatch, mismatch])


# --------------------------------------------------------------------------------------------------------------- 11.4


def predicted_by_loop(variances: Any, noise_variance: float, beta: float, latents: int) -> Any:
    rates, spreads = [], []
    for variance in variances:
        rank = sum(other > variance for other in variances)
        if rank < latents and variance > beta * noise_variance:
            weight = np.sqrt(variance - beta * noise_variance)
            factor = weight / (weight**2 + beta * noise_variance)
            code = beta * noise_variance / (weight**2 + beta * noise_variance)
            spread = factor**2 * variance
            rates.append((spread + code - 1 - np.log(code)) / 2)
            spreads.append(spread)
        else:
            rates.append(0.0)
            spreads.append(0.0)
    return [rates, spreads]


def predicted_by_the_package(variances: Any, noise_variance: float, beta: float, latents: int) -> Any:
    """Decoder and tempered posterior of the package; points on the axes have the source's covariance exactly."""
    d = len(variances)
    chosen = np.argsort(variances)[::-1][:latents]
    loading = np.zeros((d, latents))
    loading[chosen, np.arange(latents)] = np.sqrt(np.maximum(variances[chosen] - beta * noise_variance, 0))
    points = np.concatenate([np.diag(np.sqrt(d * variances)), -np.diag(np.sqrt(d * variances))])
    model = LinearGaussian(loading, np.zeros(d), beta * noise_variance)
    code = model.posterior(points)
    scale = np.sqrt(np.diagonal(code.covariance, axis1=-2, axis2=-1))
    kl = np.mean(0.5 * (code.loc**2 + scale**2 - 1) - np.log(scale), axis=0)
    assert np.isclose(kl.sum(), np.mean(kl_divergence(code, model.prior)))
    found = np.zeros((2, d))
    found[:, chosen] = kl, code.loc.var(axis=0)
    return found


def predicted_in_torch(variances: Any, noise_variance: float, beta: float, latents: int) -> Any:
    variances = torch.as_tensor(variances, dtype=torch.float32)
    share = torch.zeros_like(variances)
    top = torch.topk(variances, latents).indices
    share[top] = torch.relu(1 - beta * noise_variance / variances[top])
    return torch.stack([-0.5 * torch.log1p(-share), share])


def predicted_sorted(variances: Any, noise_variance: float, beta: float, latents: int) -> Any:
    order = np.argsort(-variances)
    head = np.maximum(variances[order[:latents]], beta * noise_variance)
    found = np.zeros((2, len(variances)))
    found[0, order[:latents]] = np.log(np.sqrt(head / (beta * noise_variance)))
    found[1, order[:latents]] = (head - beta * noise_variance) / head
    return found


# --------------------------------------------------------------------------------------------------------------- 11.5


def least_by_entropies(data: Any, encoder: Any, prior: Any) -> list[float]:
    def entropy(p: Any) -> float:
        return float(-np.sum(p * np.log(p)))

    joint = data[:, :, None] * encoder
    z, one, two = joint.sum((0, 1)), joint.sum(1), joint.sum(0)
    mismatch = float(z @ (np.log(z) - np.log(prior)))
    strong = entropy(data) + mismatch
    return [strong, strong + entropy(one) + entropy(two) - entropy(z) - entropy(joint)]


def least_by_loops(data: Any, encoder: Any, prior: Any) -> Any:
    first, second, states = encoder.shape
    q = {(i, j, k): data[i, j] * encoder[i, j, k] for i in range(first) for j in range(second) for k in range(states)}
    strong = weak = 0.0
    for (i, j, k), p in q.items():
        z = sum(value for (_, _, c), value in q.items() if c == k)
        one = sum(q[i, b, k] for b in range(second))
        two = sum(q[a, j, k] for a in range(first))
        paid = np.log(encoder[i, j, k] / prior[k])
        strong += p * (paid - np.log(one / z) - np.log(p / one))
        weak += p * (paid - np.log(one / z) - np.log(two / z))
    return np.array([strong, weak])


def least_in_torch(data: Any, encoder: Any, prior: Any) -> Any:
    data, encoder, prior = (torch.as_tensor(table) for table in (data, encoder, prior))
    joint = data.unsqueeze(-1) * encoder
    given_z = joint / joint.sum((0, 1))
    apart = given_z.sum(1, keepdim=True) * given_z.sum(0, keepdim=True)
    code = (joint * (encoder / prior).log()).sum()
    return torch.stack([code - (joint * given_z.log()).sum(), code - (joint * apart.log()).sum()])


VARIANTS: dict[str, list[Any]] = {
    "11.1": ["EBGACF", "ebgacf", " EbGaCf "],
    "11.2": [active_by_hand, active_by_deviation, active_in_numpy, active_in_float32],
    "11.3": [prices_by_loops, prices_by_entropies, prices_by_torch_laws, prices_in_float32],
    "11.4": [predicted_by_loop, predicted_by_the_package, predicted_in_torch, predicted_sorted],
    "11.5": [least_by_entropies, least_by_loops, least_in_torch],
}

WRONG: dict[str, list[Any]] = {
    "11.1": ["EBGCAF", "E", 24, "none"],
    "11.2": [
        lambda loc, scale: loc.abs().mean(0) > 0.1,
        lambda loc, scale: scale.mean(0) < 0.5,
        lambda loc, scale: torch.full((loc.shape[1],), torch.nan),
    ],
    "11.3": [
        lambda data, encoder, decoder, prior: 0.5 * prices_by_torch_laws(data, encoder, decoder, prior),
        lambda data, encoder, decoder, prior: prices_by_torch_laws(data, encoder, decoder, prior)[[0, 1, 3, 2]],
        lambda data, encoder, decoder, prior: prices_by_torch_laws(data, encoder, decoder, prior)[:3],
    ],
    "11.4": [
        lambda variances, noise_variance, beta, latents: predicted_by_loop(variances, noise_variance, beta, 1),
        lambda variances, noise_variance, beta, latents: np.array(
            predicted_by_loop(variances, noise_variance, beta, latents)
        )[::-1],
        lambda variances, noise_variance, beta, latents: np.zeros((2, len(variances))),
    ],
    "11.5": [
        lambda data, encoder, prior: least_by_loops(data, encoder, prior)[:1],
        lambda data, encoder, prior: -least_by_loops(data, encoder, prior),
        lambda data, encoder, prior: [1.0, 2.0],
    ],
}
