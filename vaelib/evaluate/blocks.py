"""Many latents cut into blocks: each CPU core takes the next block and computes it alone.

Of a small block, what is written between two matrix products stays in the core's cache. A core that another program
uses holds up its own block, where operations that are shared among cores would all wait for it. How z is cut does not
depend on the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from vaelib._cores import cores
from vaelib.train.surroundings import threads

PIXELS_IN_A_BLOCK = 2**18  # about: 1 MB of float32; twice as many cost page faults
BLOCKS = 16  # at least, so that there is one for each core; with fewer samples of z, nothing is cut


@torch.no_grad()
def in_blocks(function: Callable[[Tensor], Tensor], z: Tensor, pixels: int) -> Tensor:
    """`function` of z (samples, examples, latent_dim), (..., samples, examples), computed block by block of samples.

    It is called in several threads at once, without a gradient, and without what the caller has set for its own thread.
    On a GPU it is called once.

    Args:
        pixels: that each latent is decoded to.
    """
    samples, examples = len(z), z.shape[1]
    if z.device.type != "cpu" or samples < BLOCKS:
        return function(z)
    size = max(1, min(samples // BLOCKS, PIXELS_IN_A_BLOCK // (pixels * examples)))
    with threads(1), ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = [pool.submit(_without_gradient, function, block) for block in z.split(size)]
        try:
            return torch.cat([each.result() for each in found], -2)
        except BaseException:  # Ctrl-C, too: the blocks that nobody has begun are given up
            pool.shutdown(cancel_futures=True)
            raise


def _without_gradient(function: Callable[[Tensor], Tensor], block: Tensor) -> Tensor:
    with torch.no_grad():  # each thread has its own
        return function(block)
