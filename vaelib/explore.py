"""What a trained model has learned, as images: from one image to another, along one latent, beside the training set."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaelib.distributions import Normal, kl_divergence
from vaelib.train.surroundings import ordinary
from vaelib.vae import VAE

Array = NDArray[Any]
AT_ONCE = 16 * 2**20  # distances that are held at a time, at most


@ordinary()
@torch.no_grad()
def between(model: VAE, first: Any, last: Any, steps: int = 9) -> Array:
    """Images on the way from some images to others: means of p(x | z), z on the line from one code to the other.

    A code is the posterior mean of z. Both ends are reconstructions.

    Args:
        first, last: (n, pixels), as the model was trained on them. steps: of each way, both ends counted, at least 2.

    Returns:
        (n, steps, pixels).

    Raises:
        ValueError: the shapes differ, or `steps` is less than 2.

    >>> from vaelib.vae import VAE
    >>> model = VAE(pixels=4, latent_dim=2, hidden=(3,), rng=torch.Generator().manual_seed(0))
    >>> between(model, np.zeros((5, 4)), np.ones((5, 4)), steps=3).shape
    (5, 3, 4)
    """
    if np.shape(first) != np.shape(last) or np.ndim(first) != 2:
        raise ValueError(
            f"Expected `first` and `last` to have the same shape (n, pixels), but got {tuple(np.shape(first))} and"
            f" {tuple(np.shape(last))}. A single image is x[None]."
        )
    if steps < 2:
        raise ValueError(f"Expected `steps` to be at least 2, the two ends, but got {steps}.")
    start, end = model.encode(first).loc, model.encode(last).loc
    share = torch.linspace(0.0, 1.0, steps, dtype=start.dtype, device=start.device)[:, None]
    return _means(model, torch.lerp(start[:, None], end[:, None], share))


@ordinary()
@torch.no_grad()
def walk(model: VAE, x: Any, latents: Any, values: Any) -> Array:
    """Images along each of some latents: means of p(x | z), where that latent takes the values and the others stay.

    Args:
        x: (pixels,), an image whose posterior mean is where the walk starts. latents: (n,), their indices.
        values: (steps,), of the latent; under the prior, 95 % lie between -1.96 and 1.96.

    Returns:
        (n, steps, pixels).

    Raises:
        ValueError: there is no such latent, or `x` is not a single image.

    >>> from vaelib.vae import VAE
    >>> model = VAE(pixels=4, latent_dim=2, hidden=(3,), rng=torch.Generator().manual_seed(0))
    >>> walk(model, np.zeros(4), [0, 1], [-2.0, 0.0, 2.0]).shape
    (2, 3, 4)
    """
    loc = model.encode(x).loc
    if loc.ndim != 1:
        raise ValueError(f"Expected `x` to be a single image (pixels,), but got shape {tuple(np.shape(x))}.")
    chosen = [int(latent) for latent in latents]
    if not all(0 <= latent < len(loc) for latent in chosen):
        raise ValueError(f"Expected `latents` to be from 0 to {len(loc) - 1}, but got {chosen}.")
    z = loc.repeat(len(chosen), len(values), 1)
    for row, latent in enumerate(chosen):
        z[row, :, latent] = torch.as_tensor(values, dtype=z.dtype, device=z.device)
    return _means(model, z)


@ordinary()
@torch.no_grad()
def most_active(model: VAE, x: Any, count: int) -> list[int]:
    """The latents that tell most about x, (n, pixels): those with the largest KL to the prior on average, first.

    >>> from vaelib.vae import VAE
    >>> model = VAE(pixels=4, latent_dim=3, hidden=(3,), rng=torch.Generator().manual_seed(0))
    >>> len(most_active(model, np.eye(4), 2))
    2
    """
    q = model.encode(x)
    kl = kl_divergence(Normal(q.loc, q.scale), Normal(model.prior.loc, model.prior.scale))  # (n, latent_dim), in nats
    return [int(latent) for latent in kl.mean(0).argsort(descending=True, stable=True)[:count]]


@ordinary()
@torch.no_grad()
def nearest(images: Any, train: Any) -> tuple[NDArray[np.int64], Array]:
    """For each image the training image that is closest to it, to see whether a model has copied it.

    Close is sqrt(sum over pixels of (x - y)^2). What is close for one that was *not* copied is said by test images: ask
    for their nearest training images, too.

    Args:
        images: (n, pixels). train: (m, pixels), in the same unit.

    Returns:
        The rows of `train`, (n,), and the distances to them, (n,).

    Raises:
        ValueError: the shapes do not fit.

    >>> index, distance = nearest([[0.0, 0.9]], [[0.0, 0.0], [0.0, 1.0]])
    >>> int(index[0]), round(float(distance[0]), 3)
    (1, 0.1)
    """
    x, y = (torch.as_tensor(np.asarray(part, np.float32)) for part in (images, train))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or len(y) == 0:
        raise ValueError(
            f"Expected `images` (n, pixels) and `train` (m, pixels) with the same pixels and m >= 1, but got"
            f" {tuple(x.shape)} and {tuple(y.shape)}."
        )
    length = (y**2).sum(1)
    rows = max(1, AT_ONCE // len(y))
    found = [(length - 2.0 * part @ y.T).argmin(1) for part in x.split(rows)]  # |x - y|^2, but for |x|^2
    index = torch.cat(found) if found else torch.empty(0, dtype=torch.int64)
    return index.numpy(), (x - y[index]).double().norm(dim=1).numpy()


def _means(model: VAE, z: torch.Tensor) -> Array:
    return model.decode(z).mean.cpu().numpy()
