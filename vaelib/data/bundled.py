"""The digits that come with scikit-learn: the embedded default, no network needed."""

from __future__ import annotations

import numpy as np

from vaelib.data.core import Data, DataError

DIGITS_TRAIN = 1500  # of 1,797


def digits() -> Data:
    """The 1,797 handwritten digits of 8 x 8 pixels and 17 levels of grey that come with scikit-learn.

    They keep the order of the file: the first 1,500 are for training, the last 297 for testing. The file goes roughly
    writer by writer, so the test digits were mostly written by other people, which is what a test should ask about.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise DataError(
            "The digits come with scikit-learn, which is missing. Install it: pip install scikit-learn"
        ) from error
    bunch = load_digits()
    images, labels = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    train, test = images[:DIGITS_TRAIN], images[DIGITS_TRAIN:]
    train_labels, test_labels = labels[:DIGITS_TRAIN], labels[DIGITS_TRAIN:]
    return Data("digits", train, test, (8, 8), 16.0, train_labels, test_labels, default_binarization="dynamic")
