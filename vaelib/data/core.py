"""What a data set is, and how its grey pixels become binary ones."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Binarization = Literal["dynamic", "fixed", "none"]

TEST_SEED = 0  # binarizes a test set, once and for all: every result on it is about the same pixels
TRAIN_SEED = 1  # binarizes a training set where that is to be done once (`fixed`)


class DataError(ValueError):
    """The data cannot be used. The message says what was expected, what came, and what to do."""


@dataclass(frozen=True)
class Data:
    """Examples to train on and examples to test on, one row each."""

    name: str  # "digits", "mnist", or the path of a file
    train: Array  # (examples, pixels), uint8 or float32
    test: Array  # (examples, pixels), of the same dtype
    image_shape: tuple[int, ...]  # of one example before it was flattened
    white: float  # the stored number that means 1.0: 255 in bytes, 16 in the digits, 1 in floats
    train_labels: Array | None = None  # (examples,), only to color pictures with
    test_labels: Array | None = None
    default_binarization: Binarization | None = None  # None: grey pixels are binarized only on request

    @property
    def pixels(self) -> int:
        return math.prod(self.image_shape)

    @property
    def binary(self) -> bool:
        """Is every pixel 0 or white?"""
        return all(bool(((part == 0) | (part == self.white)).all()) for part in (self.train, self.test))

    @property
    def in_unit_interval(self) -> bool:
        """Does every pixel lie between 0 and white, so that it can be read as a probability?"""
        return all(bool(part.min() >= 0 and part.max() <= self.white) for part in (self.train, self.test))

    def intensities(self, part: Array) -> NDArray[np.float32]:
        """Stored numbers -> float32 with white = 1."""
        return part.astype(np.float32) / np.float32(self.white)

    def fingerprint(self) -> str:
        """SHA-256 of shapes and contents, by which a run knows the data that it was trained on."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(f"{part.dtype} {part.shape} {self.white}".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def binarize(intensities: Array, rng: np.random.RandomState | np.random.Generator) -> NDArray[np.uint8]:
    """One Bernoulli draw a pixel, P(1) = intensity: grey (n, pixels) in [0, 1] -> 0 or 1.

    Source: Salakhutdinov and Murray 2008, who so binarized MNIST.
    """
    return (rng.random(intensities.shape) < intensities).astype(np.uint8)


def binarize_once(data: Data, part: Array, seed: int = TEST_SEED) -> NDArray[np.uint8]:
    """`binarize` with a generator whose stream NumPy has frozen, so that the draw is the same everywhere and always."""
    return binarize(data.intensities(part), np.random.RandomState(seed))


def binarization(data: Data, decoder: str, requested: str = "auto") -> Binarization:
    """How the pixels become what the decoder is a density of; the answer stands in every result.

    - dynamic: a fresh Bernoulli draw at each visit of a training example; the test set is binarized once.
    - fixed: training and test set are binarized once.
    - none: pixels are used as they are, which a Bernoulli decoder takes only where they are binary.

    "auto" is `none` where nothing needs to be done, the data's own default for digits and MNIST (dynamic), and an error
    for your own grey pixels: what they mean is not for us to guess.
    """
    if requested not in ("auto", "dynamic", "fixed", "none"):
        raise DataError(f"Expected `binarization` to be auto, dynamic, fixed or none, but got {requested!r}.")
    if decoder != "bernoulli":
        if requested in ("dynamic", "fixed"):
            raise DataError(
                f"Expected `binarization` to be none for a {decoder} decoder, which is a density on real numbers, but"
                f" got {requested}. Use --decoder bernoulli with it."
            )
        return "none"
    if data.binary:
        return "none"
    if not data.in_unit_interval:
        low = min(part.min() for part in (data.train, data.test)) / data.white
        high = max(part.max() for part in (data.train, data.test)) / data.white
        hint = " They look like bytes: divide by 255." if low >= 0 and 1 < high <= 255 else ""
        raise DataError(
            f"Expected pixels between 0 and 1 for a Bernoulli decoder, but {data.name} has values from {low:g} to"
            f" {high:g}.{hint} Rescale them to [0, 1], or use --decoder gaussian, which takes any real numbers."
        )
    chosen = data.default_binarization if requested == "auto" else requested
    if chosen not in ("dynamic", "fixed"):
        raise DataError(
            f"Expected binary pixels for a Bernoulli decoder, but {data.name} is grey: a Bernoulli density on grey"
            " values is no density. Say how to make them binary: --binarization dynamic (a fresh draw at each visit,"
            " P(1) = the grey value), --binarization fixed (one draw); or use --decoder gaussian, which takes them as"
            " they are."
        )
    return chosen  # type: ignore[return-value]
