"""The data: digits, glyphs, MNIST, or your own array; and what turns grey pixels into binary or continuous ones.

A `Data` holds numbers as they are stored (bytes stay bytes) and says which of them means white. Whatever is wrong with
a file is said here, before anything is trained, as a `DataError` that says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vaelib.data.arrays import from_file
from vaelib.data.bundled import digits, patches, patches_rgb
from vaelib.data.core import (
    TEST_SEED,
    TRAIN_SEED,
    Binarization,
    Data,
    DataError,
    binarization,
    binarize,
    binarize_once,
    dequantize_once,
    rounds_away,
    validation_split,
)
from vaelib.data.idx import mnist, mnist_is_here
from vaelib.data.lettering import glyphs
from vaelib.data.stream import Stream, from_disk, too_large

__all__ = [
    "NAMED",
    "TEST_SEED",
    "TRAIN_SEED",
    "Binarization",
    "Data",
    "DataError",
    "Stream",
    "binarization",
    "binarize",
    "binarize_once",
    "dequantize_once",
    "digits",
    "from_disk",
    "from_file",
    "glyphs",
    "images",
    "load",
    "mnist",
    "patches",
    "patches_rgb",
    "rounds_away",
    "validation_split",
]


NAMED: dict[str, Callable[[], Data]] = {
    "digits": digits,
    "glyphs": glyphs,
    "glyphs62": partial(glyphs, "glyphs62"),
    "mnist": mnist,
    "patches": patches,
    "patches-rgb": patches_rgb,
}


def load(name: str, stream: bool | None = None) -> Data:
    """The data of that name, one of `NAMED`, or of a .npy or .npz file, or a folder of .npy files.

    Args:
        stream: leave the training set on disk, and read it a few rows at a time while training. None: a folder
            streams, and so does a .npy file larger than a quarter of the memory.

    Raises:
        DataError: there is no such data, something is wrong with it, or it cannot be read in this way.
    """
    path = Path(name)
    if name not in NAMED and not path.is_dir() and path.suffix not in (".npy", ".npz"):
        there = "." if path.exists() else f", and seen from {Path.cwd()} there is no such file or folder."
        raise DataError(
            f"Expected `data` to be {', '.join(NAMED)}, a file that ends in .npy or .npz, or a folder of .npy files,"
            f" but got {name!r}{there}"
        )
    if name in NAMED and stream:
        raise DataError(f"Expected a .npy file or a folder of them to stream, but {name} is made in memory.")
    if name in NAMED:
        return NAMED[name]()
    if path.is_dir() and stream is False:
        raise DataError(f"Expected one file to read into memory, but {path} is a folder, whose files stream.")
    if path.is_dir() or stream or (stream is None and too_large(path)):
        return from_disk(path)
    return from_file(path)


def images(*, train: int = 60_000, test: int = 10_000) -> Data:
    """28 x 28 images that are here without a network: MNIST where its files are found, and the glyphs where not.

    Both have the same shapes, bytes and binarization, so that what is written for one runs on the other; the field
    `name` says which of them came. MNIST is never downloaded here (`mnist` does that).

    Args:
        train, test: how many images of each part, the first ones.

    Raises:
        DataError: as `mnist` where its files are found, and as `glyphs` where not.

    >>> images(train=1000, test=100).train.shape
    (1000, 784)
    """
    return mnist().first(train, test) if mnist_is_here() else glyphs(train=train, test=test)
