"""What comes with scikit-learn, and needs no network: the digits, the default, and patches of two photographs."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.data.core import Array, Data, DataError

DIGITS_TRAIN = 1500  # of 1,797
LARGEST_SIDE = 100  # pixels of a patch: a quarter of a photograph is 160 wide


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

    Half of them are of a temple, half of a flower (the labels, 0 and 1). They are cut at random places: those to train
    on from the left three quarters of a photograph, those to test on from the right quarter, so that none overlap.
    Grey is 0.299 red + 0.587 green + 0.114 blue. They suit a Gaussian decoder.

    Args:
        side: pixels, 2 to 100. train, test: how many of each. seed: of the places.

    Raises:
        DataError: a number is out of its range, or scikit-learn or Pillow, which reads the photographs, is missing.

    >>> patches(12, train=1000, test=100).image_shape
    (12, 12)

    Source: the photographs china.jpg and flower.jpg of sklearn.datasets.load_sample_images; the weights of grey are
    those of ITU-R BT.601.
    """
    for name, value, least, most in (
        ("side", side, 2, LARGEST_SIDE),
        ("train", train, 2, 10**6),
        ("test", test, 2, 10**6),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= most:
            raise DataError(f"Expected `{name}` to be a whole number from {least} to {most:,}, but got {value!r}.")
    try:
        photographs = _datasets("The photographs").load_sample_images().images  # (height, width, 3) each
    except ImportError as error:
        raise DataError(
            "The photographs are read by Pillow, which is missing. Install it: pip install pillow"
        ) from error
    rng = np.random.RandomState(seed)
    grey = [np.round(photograph @ [0.299, 0.587, 0.114]).astype(np.uint8) for photograph in photographs]
    parts, labels = {}, {}
    for name, count in (("train", train), ("test", test)):
        labels[name] = rng.permutation(np.arange(count) % len(grey))
        parts[name] = np.stack([_piece(_side_of(grey[i], name), side, rng) for i in labels[name]])
    return Data(
        "patches",
        parts["train"],
        parts["test"],
        (side, side),
        255.0,
        labels["train"],
        labels["test"],
        classes=("temple", "flower"),
    )


def _side_of(photograph: Array, part: str) -> Array:
    cut = 3 * photograph.shape[1] // 4
    return photograph[:, :cut] if part == "train" else photograph[:, cut:]


def _piece(photograph: Array, side: int, rng: np.random.RandomState) -> Array:
    top, left = (rng.randint(size - side + 1) for size in photograph.shape)
    return photograph[top : top + side, left : left + side].ravel()


def _datasets(what: str) -> Any:
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise DataError(
            f"{what} come with scikit-learn, which is missing. Install it: pip install scikit-learn"
        ) from error
    return datasets
