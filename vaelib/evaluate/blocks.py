"""Many latents cut into blocks: each CPU core takes the next block and computes it alone, inside its own cache.

What is read and written between two matrix products is then not fetched from memory each time; a core that another
program uses delays nobody but its own block; and the numbers do not depend on how many cores there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

import torch
from torch import Tensor

from vaelib.train.surroundings import cores, threads

NUMBERS = 2**19  # pixels that are decoded in one block: 2 MB of float32
Function = Callable[[Tensor], Tensor]


@torch.no_grad()
def in_blocks(function: Function, z: Tensor, pixels: int) -> Tensor:
    """`function` of z (samples, examples, latent_dim), block by block along the samples: its results, (..., samples,
    examples), joined along the samples.

    It is called in several threads at once, and without a gradient. On a GPU z is one block.

    Args:
        pixels: that each latent is decoded to.
    """
    if z.device.type != "cpu":
        return function(z)
    size = max(1, NUMBERS // (pixels * z.shape[1]))
    with threads(1), ThreadPoolExecutor(cores()) as pool:
        found = [
            pool.submit(copy_context().run, partial(_without_gradient, function, block)) for block in z.split(size)
        ]
        return torch.cat([each.result() for each in found], -2)


def _without_gradient(function: Function, block: Tensor) -> Tensor:
    with torch.no_grad():  # each thread has its own
        return function(block)
