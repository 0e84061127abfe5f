"""The rows in memory of a training set that streams from disk: a window, filled again and again during an epoch.

An epoch cuts the rows into blocks, beginning at a random one; the blocks come in random order, 64 of them at a time
fill the window, and the rows in it come in random order. So rows are shuffled over 64 blocks from all over the files,
and rows of one block stay within one window. All of this follows from the seed, the epoch and the number of the window:
nothing else needs to be kept to go on in the middle of an epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vaelib.data import Data, DataError, Stream
from vaelib.data.unit import Unit

BYTES = 2**26  # of a window
BLOCKS = 64  # in a window


@dataclass
class Window:
    """What of `stream` lies in `rows` now, in which order."""

    stream: Stream
    rows: Tensor  # (window, pixels), on the CPU, in the networks' unit
    unit: Unit
    seed: int
    block: int  # rows in a block
    held: tuple[int, int] | None = None  # the epoch and the window of it that lie in `rows`

    def order(self, epoch: int, number: int) -> Tensor:
        """Bring that window of that epoch into `rows`, and return the order of its rows, (rows in it,)."""
        count = 0
        for start, stop in self.blocks(epoch, number):
            self.read(start, stop, self.rows.numpy()[count : count + stop - start])
            count += stop - start
        self.held = (epoch, number)
        return torch.from_numpy(np.random.RandomState([self.seed, epoch, number]).permutation(count))

    def blocks(self, epoch: int, number: int) -> list[tuple[int, int]]:
        """Where the blocks of a window begin and end in the stream; one that runs over its end goes on at row 0."""
        examples, rng = len(self.stream), np.random.RandomState([self.seed, epoch])
        first, whole = int(rng.randint(examples)), examples // self.block
        order = np.append(rng.permutation(whole), np.arange(whole, -(-examples // self.block)))  # a shorter one is last
        found = []
        for i in order[number * BLOCKS : (number + 1) * BLOCKS].tolist():
            start, size = (first + i * self.block) % examples, min(self.block, examples - i * self.block)
            stop = min(start + size, examples)
            found += [(start, stop)] + ([(0, start + size - stop)] if start + size > stop else [])
        return found

    def read(self, start: int, stop: int, out: np.ndarray) -> None:
        if self.unit.trivial:
            self.stream.read(start, stop, out)
        else:
            block = np.empty(out.shape)
            self.stream.read(start, stop, block)
            out[:] = self.unit.inward(block / self.stream.white)


def opened(data: Data, stream: Stream, mode: str, unit: Unit, seed: int, batch: int) -> tuple[Window, float]:
    """An empty window on `stream`, and the number in it that means 1.0, as `state.as_trained` does it in memory.

    Raises:
        DataError: the pixels are to be treated in a way that needs all of them at once.
    """
    if mode == "fixed":
        raise DataError(
            "Expected `binarization` to be dynamic, none or dequantized for data that stream from disk, but got fixed:"
            " one draw for all of the training set would have to be kept. Use dynamic."
        )
    dtype, white = data.train.dtype, data.white
    if mode == "none" and data.binary:
        stream = replace(stream, values="binary")
    elif mode == "dynamic":
        stream = replace(stream, values="interval")
    elif mode == "dequantized":
        white += 1.0
    if not unit.trivial:
        dtype, white = np.dtype(np.float32), 1.0
    block = rows_in_block(data.pixels * dtype.itemsize, batch)
    size = min(BLOCKS * block, len(stream))
    rows = torch.from_numpy(np.empty((size, data.pixels), dtype))
    return Window(stream, rows, unit, seed, block), white


def rows_in_block(row_bytes: int, batch: int) -> int:
    """So many that a window has about `BYTES` and a whole number of minibatches: none of these needs two windows."""
    whole = batch // math.gcd(batch, BLOCKS)
    return whole * -(-BYTES // (BLOCKS * row_bytes * whole))
