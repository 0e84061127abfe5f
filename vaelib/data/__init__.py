"""The data: the bundled digits, MNIST, or your own array; and what turns grey pixels into binary or continuous ones.

A `Data` holds numbers as they are stored (bytes stay bytes) and says which of them means white. Whatever is wrong with
a file is said here, before anything is trained, as a `DataError` that says what to do.
"""

from __future__ import annotations

from pathlib import Path

from vaelib.data.arrays import from_file
from vaelib.data.bundled import digits
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
from vaelib.data.idx import mnist

__all__ = [
    "TEST_SEED",
    "TRAIN_SEED",
    "Binarization",
    "Data",
    "DataError",
    "binarization",
    "binarize",
    "binarize_once",
    "dequantize_once",
    "digits",
    "from_file",
    "load",
    "mnist",
    "rounds_away",
    "validation_split",
]


def load(name: str) -> Data:
    """The data of that name: "digits", "mnist", or the path of a .npy or .npz file.

    Raises:
        DataError: there is no such data, or something is wrong with it.
    """
    if name == "digits":
        return digits()
    if name == "mnist":
        return mnist()
    if Path(name).suffix in (".npy", ".npz"):
        return from_file(Path(name))
    raise DataError(f"Expected `data` to be digits, mnist, or a file that ends in .npy or .npz, but got {name!r}.")
