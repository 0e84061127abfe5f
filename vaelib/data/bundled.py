"""What comes with scikit-learn, and needs no network: the digits, the default, and patches of two photographs.

The photographs are china.jpg and flower.jpg of sklearn.datasets.load_sample_images, 427 x 640 pixels each. Patches to
train on come from the left three quarters of a photograph, patches to test on from the right quarter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.data.core import Array, Data, DataError

DIGITS_TRAIN = 1500  # of 1,797
LARGEST_SIDE = 100  # pixels of a patch: a quarter of a photograph is 160 wide
SEEDS = 2**32 - 1
SUBJECTS = ("temple", "flower")


def digits() -> Data:
    """The 1,797 handwritten digits of 8 x 8 pixels and 17 levels of grey that come with scikit-learn.

    They keep the order of the file: the first 1,500 are for training, the last 297 for testing. The file goes roughly
    writer by writer, so the test digits were mostly written by other people, which is what a test should ask about.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """
    bunch = _datasets("The digits").load_digits()
    images, labels = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    train, test = images[:DIGITS_TRAIN], images[DIGITS_TRAIN:]
    train_labels, test_labels = labels[:DIGITS_TRAIN], labels[DIGITS_TRAIN:]
    return Data("digits", train, test, (8, 8), 16.0, train_labels, test_labels, default_binarization="dynamic")


def patches(side: int = 12, *, train: int = 20_000, test: int = 2_000, seed: int = 0) -> Data:
    """Square pieces of natural images: grey, `side` x `side` bytes, from the two photographs that scikit-learn ships.

    Half of them are of a temple, half of a flower (the labels, 0 and 1), cut at random places. Grey is 0.299 red +
    0.587 green + 0.114 blue. They suit a Gaussian decoder.

    Args:
        side: pixels, 2 to 100. train, test: how many of each. seed: of the places.

    Raises:
        DataError: a number is out of its range, or scikit-learn or Pillow, which reads the photographs, is missing.

    >>> patches(12, train=1000, test=100).image_shape
    (12, 12)

    Source: the weights of grey are those of ITU-R BT.601.
    """
    _require_whole(side=(side, 2, LARGEST_SIDE), train=(train, 2, 10**6), test=(test, 2, 10**6), seed=(seed, 0, SEEDS))
    rng = np.random.RandomState(seed)
    grey = [np.round(photograph @ [0.299, 0.587, 0.114]).astype(np.uint8) for photograph in _photographs()]
    pieces, labels = _pieces(grey, "train", side, train, rng)
    test_pieces, test_labels = _pieces(grey, "test", side, test, rng)
    return Data("patches", pieces, test_pieces, (side, side), 255.0, labels, test_labels, classes=SUBJECTS)


def patches_rgb(side: int = 32, *, train: int = 20_000, seed: int = 0) -> Data:
    """Square pieces of natural images in colour: `side` x `side` x 3 bytes, from the same two photographs.

    Those to train on are cut at random places, half of them of a temple, half of a flower (the labels, 0 and 1). Those
    to test on lie side by side, as many as fit, 130 of them at 32 pixels: a mean over them has an honest standard
    error, while pieces that overlap would tell the same pixels several times. They suit a discretized logistic decoder,
    or a Gaussian one and dequantized pixels.

    Args:
        side: pixels, 2 to 100. train: how many. seed: of the places.

    Raises:
        DataError: as from `patches`.

    >>> patches_rgb(32, train=1000).image_shape
    (32, 32, 3)
    """
    _require_whole(side=(side, 2, LARGEST_SIDE), train=(train, 2, 10**6), seed=(seed, 0, SEEDS))
    rng = np.random.RandomState(seed)
    photographs = _photographs()
    pieces, labels = _pieces(photographs, "train", side, train, rng)
    tiles = [_tiles(_side_of(photograph, "test"), side) for photograph in photographs]
    test_labels = np.repeat(np.arange(len(tiles)), [len(some) for some in tiles])
    test = np.concatenate(tiles)
    return Data("patches-rgb", pieces, test, (side, side, 3), 255.0, labels, test_labels, classes=SUBJECTS)


def _require_whole(**named: tuple[Any, int, int]) -> None:
    """Each a value, the least and the most that it may be."""
    for name, (value, least, most) in named.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise DataError(f"Expected `{name}` to be a whole number from {least} to {most:,}, but got {value!r}.")


def _photographs() -> list[Array]:
    """Of a temple and of a flower, bytes (height, width, 3) each."""
    try:
        photographs: list[Array] = _datasets("The photographs").load_sample_images().images
    except ImportError as error:
        raise DataError(
            "The photographs are read by Pillow, which is missing. Install it: pip install pillow"
        ) from error
    return photographs


def _tiles(photograph: Array, side: int) -> Array:
    """(tiles, pixels): squares side by side, row after row, as many as fit."""
    height, width = (size // side * side for size in photograph.shape[:2])
    rows = photograph[:height, :width].reshape(height // side, side, width // side, side, -1)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(-1, side * side * rows.shape[-1])


def _side_of(photograph: Array, part: str) -> Array:
    cut = 3 * photograph.shape[1] // 4
    return photograph[:, :cut] if part == "train" else photograph[:, cut:]


def _pieces(
    photographs: list[Array], part: str, side: int, count: int, rng: np.random.RandomState
) -> tuple[Array, Array]:
    """(count, pixels), cut at random places, as many of each photograph; and of which they are."""
    labels = rng.permutation(np.arange(count) % len(photographs))
    return np.stack([_piece(_side_of(photographs[i], part), side, rng) for i in labels]), labels


def _piece(photograph: Array, side: int, rng: np.random.RandomState) -> Array:
    top, left = (rng.randint(size - side + 1) for size in photograph.shape[:2])
    return photograph[top : top + side, left : left + side].ravel()


def _datasets(what: str) -> Any:
    try:
        import sklearn.datasets
    except ModuleNotFoundError as error:
        raise DataError(
            f"{what} come with scikit-learn, which is missing. Install it: pip install scikit-learn"
        ) from error
    return sklearn.datasets
