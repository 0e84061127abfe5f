"""An array on disk that need not fit into memory: one .npy file, or a folder of them, read a few rows at a time.

All files count as one array, in the order of their names. Rows that are held out (a test set, a validation set) are
known by their places and passed over. Only the rows being read are mapped into memory, and let go at once; they are
judged as they are read, for nobody has looked at the whole file before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vaelib.data.arrays import checked, stored
from vaelib.data.core import Array, Data, DataError

HELD_OUT = 10  # one row in ten is kept for testing, as of an array in memory,
ASIDE = 2**23  # but at most so many bytes of float32
SHARE = 0.25  # of the memory; a file that is larger streams: work on an array takes several copies of it
Values = Literal["finite", "interval", "binary"]  # "interval": from 0 to white
WANTED = {"finite": "finite numbers that fit 32-bit floats", "interval": "numbers from 0 to {}", "binary": "0 or {}"}

SAMPLED = {
    "finite": "",
    "interval": " (A sample of the data had no number outside.)",
    "binary": " (A sample of the data had no other number.)",
}


@dataclass(frozen=True)
class Shard:
    """A .npy file whose header was read."""

    path: Path
    shape: tuple[int, ...]  # (rows, ...)
    dtype: np.dtype
    offset: int  # bytes before the first row

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def rows(self, start: int, stop: int) -> Array:
        """Rows from `start` to before `stop`, (rows, pixels), mapped into memory as long as the result is kept.

        Raises:
            DataError: the file has become shorter, or cannot be read any more.
        """
        try:
            there = (self.path.stat().st_size - self.offset) // self.row_bytes
            if there < stop:
                raise DataError(
                    f"Expected {self.shape[0]:,} rows in {self.path}, but it ends in row {there:,}, counted from 0. It"
                    " was cut off while it was in use: put it back."
                )
            size = (stop - start, self.row_bytes // self.dtype.itemsize)
            return np.memmap(self.path, self.dtype, "r", self.offset + start * self.row_bytes, size)
        except OSError as error:
            raise DataError(
                f"Could not read {self.path} from row {start:,} on: {error.strerror}. Was it moved, or is its disk"
                " gone?"
            ) from error


@dataclass(frozen=True)
class Stream:
    """Rows of the shards that are not held out, numbered from 0."""

    shards: tuple[Shard, ...]
    white: float = 1.0  # as in `Data`
    values: Values = "finite"  # what each number must be
    held: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # rows held out, in order

    def __len__(self) -> int:
        return int(self.ends[-1]) - len(self.held)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Behind the last row of each shard, in the numbers of all rows."""
        return np.cumsum([shard.shape[0] for shard in self.shards])

    @property
    def image_shape(self) -> tuple[int, ...]:
        return self.shards[0].shape[1:]

    @property
    def pixels(self) -> int:
        return math.prod(self.image_shape)

    def places(self, rows: Array) -> Array:
        """Numbers among the rows that are not held out -> numbers among all rows."""
        return rows + np.searchsorted(self.held - np.arange(len(self.held)), rows, side="right")

    def read(self, start: int, stop: int, out: Array) -> None:
        """Copy the rows from `start` to before `stop` into `out` (stop - start, pixels), in the dtype of `out`.

        Raises:
            DataError: a number is not what `values` says; the file and the row are named.
        """
        first, last = self.places(np.array([start, stop - 1])).tolist()
        done = 0
        for shard, before, begin, end in self._within(first, last + 1):
            block = shard.rows(begin, end)
            self._judge(block, shard, begin)
            held = self.held[slice(*np.searchsorted(self.held, [before + begin, before + end]))] - (before + begin)
            for a, b in zip([0, *(held + 1).tolist()], [*held.tolist(), end - begin], strict=True):
                with np.errstate(all="ignore"):
                    out[done : done + b - a] = block[a:b]
                done += b - a

    def pick(self, rows: Array) -> Array:
        """A copy of some rows, (rows, pixels), in the dtype of the file."""
        picked = np.empty((len(rows), self.pixels), self.shards[0].dtype)
        for row, out in zip(rows, picked, strict=True):
            self.read(int(row), int(row) + 1, out[None])
        return picked

    def spread_out(self, count: int, seed: int) -> Array:
        """Numbers of `count` rows from all over the file: one, at random, out of each of `count` equal stretches.

        Stretches are equal but for one row, and together they are the whole file.
        """
        ends = np.arange(count + 1) * len(self) // count
        return np.random.RandomState(seed).randint(ends[:-1], ends[1:])

    def without(self, rows: Array) -> Stream:
        """The same, with these rows held out, too."""
        return replace(self, held=np.sort(np.concatenate([self.held, self.places(rows)])))

    def aside(self, share: float) -> int:
        """How many rows make up that share, or fit into memory beside everything else."""
        return max(1, min(round(share * len(self)), ASIDE // (4 * self.pixels)))

    def _within(self, start: int, stop: int) -> Iterator[tuple[Shard, int, int, int]]:
        """The shards that hold rows from `start` to before `stop`: the rows before each, and which in it."""
        ends = self.ends
        for i in range(int(np.searchsorted(ends, start, side="right")), len(ends)):
            before = int(ends[i]) - self.shards[i].shape[0]
            if stop <= before:
                return
            begin, end = max(start - before, 0), min(stop - before, self.shards[i].shape[0])
            if begin < end:
                yield self.shards[i], before, begin, end

    def _judge(self, block: Array, shard: Shard, first: int) -> None:
        if self.values == "binary":
            good = (block == 0) | (block == self.white)
        elif self.values == "interval":
            if block.dtype == np.uint8 and self.white == 255:
                return
            good = (block >= 0) & (block <= self.white)
        elif block.dtype.kind == "f":
            with np.errstate(all="ignore"):
                good = np.isfinite(block if block.dtype.itemsize <= 4 else block.astype(np.float32))
        else:
            return
        if not good.all():
            row, column = divmod(int(good.argmin()), self.pixels)
            raise DataError(
                f"Expected {WANTED[self.values].format(f'{self.white:g}')} in {shard.path}, but row {first + row:,}"
                f" holds {block[row, column]} as its number {column:,}, both counted from 0. Is that example damaged?"
                f" Mend it or remove it.{SAMPLED[self.values]}"
            )


def shard(path: Path) -> Shard:
    """What the header of a .npy file says, compared with the size of the file.

    Raises:
        DataError: it is not a .npy file, is cut off, or cannot be read by rows.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(file)
            offset = file.tell()
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"Expected {path} to be a .npy file, but its header could not be read ({error}). It is cut off or damaged,"
            " or another kind of file: save it again with numpy.save."
        ) from error
    if dtype.kind not in "biuf":
        raise DataError(f"Expected {path} to hold numbers, but its dtype is {dtype}.")
    if len(shape) < 2 or 0 in shape:
        raise DataError(
            f"Expected {path} to have shape (examples, ...), with examples of many numbers, but got {shape}."
            + (" It holds no examples: remove it." if shape[:1] == (0,) else "")
        )
    expected = offset + math.prod(shape) * dtype.itemsize
    if size != expected:
        ends = "it is cut off" if size < expected else "more bytes follow"
        row = (size - offset) // (math.prod(shape[1:]) * dtype.itemsize)
        where = f" in row {row:,}, counted from 0" if size < expected else ""
        raise DataError(
            f"Expected {path} to have {expected:,} bytes, as its shape {shape} of {dtype} needs, but it has {size:,}:"
            f" {ends}{where}. Copy it again, or save it again with numpy.save."
        )
    if by_columns:
        raise DataError(
            f"Expected {path} to be saved row after row, so that it can be read a few rows at a time, but it is saved"
            " column after column (Fortran order). Save numpy.ascontiguousarray of the array."
        )
    return Shard(path.resolve(), shape, dtype, offset)


def shards(path: Path) -> tuple[Shard, ...]:
    """The .npy file at `path`, or all in the folder there, by name.

    Raises:
        DataError: there is none, or they do not make one array.
    """
    if path.suffix == ".npz":
        raise DataError(
            f"Expected a .npy file or a folder of them to stream, but {path} is a .npz: its arrays are packed, and"
            " cannot be read a few rows at a time. Save the images alone with numpy.save."
        )
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files:
        packed = " Its .npz files cannot be read a few rows at a time." if any(path.glob("*.npz")) else ""
        raise DataError(f"Expected .npy files in the folder {path}, but there is none.{packed} Is the path right?")
    found = tuple(map(shard, files))
    for other in found[1:]:
        ours, theirs = ((one.shape[1:], one.dtype) for one in (found[0], other))
        if ours != theirs:
            raise DataError(
                f"Expected the files in {path} to hold examples of one shape and dtype, but {found[0].path.name} has"
                f" {ours[0]} of {ours[1]}, and {other.path.name} has {theirs[0]} of {theirs[1]}. Do they belong"
                " together? Every .npy file in the folder is read."
            )
    return found


def from_disk(path: Path) -> Data:
    """Your own array, too large for memory: a .npy file, or a folder of them that count as one array.

    `test` holds rows from all over the file, one in ten of them and at most 8 MiB as 32-bit floats; `train` is a
    sample as large of the others, by which it is judged what kind of numbers they are; `stream` reads all of these.

    Raises:
        DataError: what `shards` and `from_file` say of files, and `Stream.read` of rows.
    """
    whole = Stream(shards(path))
    if len(whole) < 2:
        raise DataError(f"Expected {path} to have at least two examples, but it has {len(whole)}.")
    rows = whole.spread_out(whole.aside(1 / HELD_OUT), seed=0)
    rest = whole.without(rows)
    sample = checked(rest.pick(rest.spread_out(rest.aside(1.0), seed=1)), f"a sample of {path}")
    train, test, white = stored(sample, whole.pick(rows), path, whole.image_shape)
    rest = replace(rest, white=white, values="interval" if train.dtype.kind in "iu" else "finite")
    return Data(str(path.resolve()), train, test, whole.image_shape, white, stream=rest)


def too_large(path: Path) -> bool:
    """Is the .npy file at `path` so large that it should rather stream?"""
    return path.suffix == ".npy" and path.is_file() and path.stat().st_size > SHARE * memory()


def memory() -> float:
    """Bytes of memory that the machine has in all; infinity where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return math.inf
