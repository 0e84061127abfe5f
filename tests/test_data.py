"""Data: what is loaded, what is refused and in which words, and that a failed download leaves nothing behind."""

from __future__ import annotations

import functools
import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaelib import data
from vaelib.data import Data, DataError, idx

RNG = np.random.default_rng(0)
GREY = RNG.random((20, 4, 3)).astype(np.float32)


def with_nan() -> Any:
    array = GREY.copy()
    array[3, 1, 2] = np.nan
    return array


def with_infinities() -> Any:
    array = GREY.astype(float)
    array[[2, 5, 5], 3, 0] = np.inf
    array[7, 0, 1] = -np.inf
    return array


def saved(path: Path, array: Any = None, **arrays: Any) -> Path:
    if arrays:
        np.savez(path, **arrays)
    else:
        np.save(path, array)
    return path


# ---------------------------------------------------------------------------------------------------------- digits


def test_digits_are_those_of_sklearn_in_the_order_of_the_file() -> None:
    from sklearn.datasets import load_digits

    digits = data.load("digits")
    assert (digits.train.shape, digits.test.shape, digits.image_shape) == ((1500, 64), (297, 64), (8, 8))
    np.testing.assert_array_equal(np.concatenate([digits.train, digits.test]), load_digits().data)
    assert digits.train_labels is not None and digits.test_labels is not None
    np.testing.assert_array_equal(np.concatenate([digits.train_labels, digits.test_labels]), load_digits().target)
    grey = digits.intensities(digits.train)
    assert (grey.min(), grey.max(), grey.dtype) == (0.0, 1.0, np.float32)
    assert not digits.binary and digits.in_unit_interval and digits.pixels == 64


def test_fingerprint_tells_data_apart() -> None:
    one = Data("x", GREY.reshape(20, 12), GREY.reshape(20, 12), (4, 3), 1.0)
    changed = one.train.copy()
    changed[3, 5] += 1e-3
    other = Data("x", changed, one.test, (4, 3), 1.0)
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint() == Data("renamed", one.train.copy(), one.test, (4, 3), 1.0).fingerprint()


def test_unknown_name_is_refused() -> None:
    with pytest.raises(
        DataError,
        match=r"digits, glyphs, glyphs62, mnist, patches, patches-rgb, a file that ends in \.npy or \.npz, or a folder"
        r" of \.npy files, but got 'cifar'",
    ):
        data.load("cifar")


# ---------------------------------------------------------------------------------------------------- binarization


def test_binarize_has_the_grey_value_as_its_mean() -> None:
    grey = np.tile([[0.0, 0.2, 0.7, 1.0]], (40_000, 1))
    x = data.binarize(grey, np.random.default_rng(0))
    assert set(np.unique(x)) == {0, 1}
    error = np.sqrt(grey[0] * (1 - grey[0]) / len(grey))
    assert (abs(x.mean(0) - grey[0]) <= 4.5 * error).all()


def test_test_set_is_binarized_the_same_everywhere_and_always() -> None:
    digits = data.load("digits")
    x = data.binarize_once(digits, digits.test)
    np.testing.assert_array_equal(x, data.binarize_once(digits, digits.test))
    assert hashlib.sha256(x.tobytes()).hexdigest()[:16] == "f42293a9afc6b0e3"
    assert (x != data.binarize_once(digits, digits.test, data.TRAIN_SEED)).any()


def own(values: Any) -> Data:
    values = np.asarray(values, np.float32)
    return Data("own.npy", values, values, values.shape[1:], 1.0)


def levels(values: Any, white: float) -> Data:
    values = np.asarray(values, np.uint8)
    return Data("own.npy", values, values, values.shape[1:], white)


@pytest.mark.parametrize(
    ("what", "decoder", "requested", "mode"),
    [
        (own(GREY.reshape(20, 12)), "bernoulli", "dynamic", "dynamic"),
        (own(GREY.reshape(20, 12)), "bernoulli", "fixed", "fixed"),
        (own(GREY.reshape(20, 12)), "gaussian", "auto", "none"),
        (own([[0, 1, 1], [1, 0, 1]]), "bernoulli", "auto", "none"),
        (own([[0, 1, 1], [1, 0, 1]]), "bernoulli", "dynamic", "none"),
        (own([[-3.0, 300.0]]), "gaussian", "none", "none"),
        (levels([[0, 7, 16]], 16.0), "gaussian", "dequantized", "dequantized"),
        (levels([[0, 7, 16]], 16.0), "gaussian", "auto", "none"),
    ],
)
def test_binarization_is_decided_by_data_decoder_and_request(
    what: Data, decoder: str, requested: str, mode: str
) -> None:
    assert data.binarization(what, decoder, requested) == mode


def test_digits_are_binarized_afresh_unless_asked_otherwise() -> None:
    assert data.binarization(data.load("digits"), "bernoulli") == "dynamic"
    assert data.binarization(data.load("digits"), "bernoulli", "fixed") == "fixed"
    assert data.binarization(data.load("digits"), "gaussian") == "none"


@pytest.mark.parametrize(
    ("what", "decoder", "requested", "message"),
    [
        (own(GREY.reshape(20, 12)), "bernoulli", "auto", "own.npy is grey.*binarization='dynamic'.*decoder='gaussian'"),
        (own(GREY.reshape(20, 12)), "bernoulli", "none", "is grey"),
        (own([[0.0, 200.0]]), "bernoulli", "dynamic", "from 0 to 200. They look like bytes: divide by 255"),
        (own([[-0.5, 1.0]]), "bernoulli", "dynamic", r"from -0\.5 to 1\. Rescale them to \[0, 1\], or use decoder="),
        (own(GREY.reshape(20, 12)), "gaussian", "dynamic", "`binarization` to be none or dequantized for a gaussian"),
        (own([[0, 1]]), "bernoulli", "static", "auto, dynamic, fixed, none or dequantized, but got 'static'"),
        (own(GREY.reshape(20, 12)), "gaussian", "dequantized", "own.npy is stored as float32: how wide a level is"),
        (levels([[0, 16]], 16.0), "bernoulli", "dequantized", "whose pixels are 0 or 1, but got dequantized"),
    ],
)
def test_binarization_that_makes_no_sense_is_refused(what: Data, decoder: str, requested: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.binarization(what, decoder, requested)


@pytest.mark.parametrize("wrong", [np.array([[0, 255]], np.uint8), np.array([[0.5, np.nan]]), np.array([[-0.1, 1.0]])])
def test_values_that_are_no_probabilities_are_not_binarized(wrong: Any) -> None:
    """Bytes would all but black become white, and NaN black."""
    with pytest.raises(DataError, match=r"grey values between 0 and 1 to binarize, but got .*Divide by the number"):
        data.binarize(wrong, np.random.default_rng(0))


# -------------------------------------------------------------------------------------------------- dequantization


def test_levels_are_counted_where_pixels_are_integers() -> None:
    assert data.load("digits").levels == 17 and levels([[0, 255]], 255.0).levels == 256
    assert levels([[0, 1]], 1.0).levels == 2 and own(GREY.reshape(20, 12)).levels is None


def test_dequantized_pixels_fill_their_level_uniformly() -> None:
    """v = 255 among them: sums of bytes that wrap around would land at 0."""
    what = levels(np.tile([[0, 7, 254, 255]], (20_000, 1)), 255.0)
    x = data.dequantize_once(what, what.train)
    assert x.dtype == np.float32 and x.shape == what.train.shape
    within = x.astype(np.float64) * 256 - what.train  # u
    assert within.min() >= -1e-4 and within.max() <= 1 + 1e-4
    for column in within.T:
        grid = np.linspace(0.05, 0.95, 19)
        shares = (column[:, None] < grid).mean(0)
        assert (abs(shares - grid) <= 5 * np.sqrt(grid * (1 - grid) / len(column))).all()
    assert abs(np.corrcoef(within.T) - np.eye(4)).max() < 5 / np.sqrt(len(within))


def test_dequantized_pixels_are_the_same_everywhere_and_always() -> None:
    digits = data.load("digits")
    x = data.dequantize_once(digits, digits.test)
    expected = (digits.test + np.random.RandomState(0).uniform(size=digits.test.shape)) / 17.0
    np.testing.assert_array_equal(x, expected.astype(np.float32))
    assert hashlib.sha256(x.astype("<f4").tobytes()).hexdigest()[:16] == "6da233d542399cb6"
    assert (x != data.dequantize_once(digits, digits.test, data.TRAIN_SEED)).any()


def test_dequantized_density_bounds_the_probability_of_a_level() -> None:
    """For a density that is constant within the levels the bound is met with equality; else it lies below."""
    what = levels(RNG.integers(0, 4, (200_000, 1)), 3.0)
    x = data.dequantize_once(what, what.train)[:, 0].astype(np.float64)
    v = what.train[:, 0]
    probs = np.array([0.4, 0.3, 0.2, 0.1])
    flat = np.log(4 * probs[np.minimum(x * 4, 3).astype(int)]) - np.log(4)
    np.testing.assert_allclose(flat, np.log(probs)[v], rtol=1e-12)
    slope = np.log(1.5 - x)  # a density on [0, 1]
    edges = np.arange(5) / 4
    exact = np.log(np.diff(1.5 * edges - edges**2 / 2))
    for level in range(4):
        bound = (slope[v == level] - np.log(4)).mean()
        assert exact[level] - 0.02 < bound < exact[level]


def test_dequantization_of_floats_is_refused() -> None:
    with pytest.raises(DataError, match=r"integer levels of grey to dequantize, but own.npy is stored as float32"):
        data.dequantize_once(own(GREY.reshape(20, 12)), GREY)


# ------------------------------------------------------------------------------------------------ validation split


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 3), (0.5, 16), (0.97, 32), (0.016, 1)])
def test_validation_split_parts_the_training_set_once(fraction: float, count: int) -> None:
    values = np.arange(99, dtype=np.uint8).reshape(33, 3)
    what = Data("own.npy", values, values[:2], (3,), 255.0)
    kept, held = data.validation_split(what, fraction, 7)
    assert len(held) == count and len(kept) == 33 - count
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])[:, 0]), values[:, 0])
    order = np.random.RandomState(7).permutation(33)
    assert set(held[:, 0] // 3) == set(order[:count])
    assert (np.diff(kept[:, 0].astype(int)) > 0).all() and (np.diff(held[:, 0].astype(int)) > 0).all()
    again, other = (data.validation_split(what, fraction, seed)[1] for seed in (7, 8))
    assert (held == again).all() and not (held == other).all()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), 0.01, 0.99])
def test_validation_split_that_leaves_a_side_empty_is_refused(fraction: float) -> None:
    what = own(GREY.reshape(20, 12))
    with pytest.raises(DataError, match=r"at least one of the 20 training examples of own.npy on either side, but got"):
        data.validation_split(what, fraction, 0)


# ------------------------------------------------------------------------------------------------- data made by hand


def by_hand(**changes: Any) -> Data:
    parts = {"train": GREY[:15].reshape(15, 12), "test": GREY[15:].reshape(5, 12), "image_shape": (4, 3), "white": 1.0}
    return Data(**{"name": "hand", **parts, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": GREY[:15]}, r"`train` of hand to have shape \(examples, pixels\) .* 12 pixels.* got \(15, 4, 3\)"),
        ({"test": GREY[:5].reshape(5, 12)[:, :11]}, r"`test` of hand .*but got \(5, 11\)"),
        ({"test": GREY[:0].reshape(0, 12)}, r"at least one example.* but got \(0, 12\)"),
        ({"train": np.arange(9), "test": np.arange(9)}, r"but got \(9,\)"),
        ({"test": GREY[15:].reshape(5, 12) > 0.5}, "floats of one dtype, but `test` is bool"),
        ({"train": GREY[:15].reshape(15, 12).astype(object)}, "but `train` is object"),
        ({"train": GREY[:15].reshape(15, 12).astype(float)}, "but `test` is float32"),
        ({"train": with_nan()[:15].reshape(15, 12)}, r"`train` of hand .*got nan at index \(3, 5\)\. Remove"),
        ({"white": 0.0}, "`white` of hand to be finite and > 0, but got 0.0"),
        ({"white": float("inf")}, "`white` of hand to be finite"),
    ],
)
def test_data_made_by_hand_is_checked(changes: dict[str, Any], message: str) -> None:
    assert by_hand().pixels == 12
    with pytest.raises(DataError, match=message):
        by_hand(**changes)


def test_bytes_that_wrapped_around_are_noticed_where_white_tells() -> None:
    """Twice 150 is 44 in uint8: nothing shows that; but levels beyond white are caught, and so are negative ones."""
    digits = np.array([[0, 3, 16], [5, 16, 2]], np.uint8)
    with pytest.raises(DataError, match=r"between 0 and `white`, 16, but got 0 to 255\. Did they wrap around"):
        Data("d", digits - np.uint8(3), digits, (3,), 16.0)
    with pytest.raises(DataError, match=r"got -3 to 16\. Did they wrap"):
        Data("d", digits.astype(np.int64) - 3, digits.astype(np.int64), (3,), 16.0)


# ------------------------------------------------------------------------------------------------- your own array


def test_npy_is_split_by_a_fixed_permutation_and_flattened(tmp_path: Path) -> None:
    loaded = data.load(str(saved(tmp_path / "a.npy", GREY)))
    assert (loaded.train.shape, loaded.test.shape, loaded.image_shape) == ((18, 12), (2, 12), (4, 3))
    order = np.random.RandomState(0).permutation(20)
    np.testing.assert_array_equal(np.concatenate([loaded.train, loaded.test]), GREY.reshape(20, 12)[order])


def test_npz_keeps_labels_with_their_examples(tmp_path: Path) -> None:
    labels = np.arange(20)
    loaded = data.from_file(saved(tmp_path / "a.npz", pictures=GREY, labels=labels))
    assert loaded.train_labels is not None and loaded.test_labels is not None
    np.testing.assert_array_equal(loaded.train, GREY.reshape(20, 12)[loaded.train_labels])
    np.testing.assert_array_equal(loaded.test, GREY.reshape(20, 12)[loaded.test_labels])


def test_npz_with_a_test_set_is_not_split(tmp_path: Path) -> None:
    parts = {"x_train": GREY[:15], "x_test": GREY[15:], "y_train": np.arange(15), "y_test": np.arange(5)}
    loaded = data.from_file(saved(tmp_path / "a.npz", **parts))
    np.testing.assert_array_equal(loaded.test, GREY[15:].reshape(5, 12))
    assert loaded.test_labels is not None and list(loaded.test_labels) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "names",
    [
        ("X_train", "X_test", "Y_train", "Y_test"),
        ("Train", "Test", "Train_Labels", "Test_Labels"),
        ("train_images", "test_images", "train_labels", "test_labels"),
    ],
)
def test_names_of_others_are_understood_in_capitals_too(tmp_path: Path, names: tuple[str, ...]) -> None:
    parts = (GREY[:15], GREY[15:], np.arange(15), np.arange(5))
    loaded = data.from_file(saved(tmp_path / "a.npz", **dict(zip(names, parts, strict=True))))
    assert (len(loaded.train), len(loaded.test)) == (15, 5)
    assert loaded.train_labels is not None and list(loaded.train_labels) == list(range(15))


def test_medmnist_is_read_as_it_is_published(tmp_path: Path) -> None:
    parts: dict[str, Any] = {}
    for part, n in (("train", 12), ("val", 4), ("test", 6)):
        parts[f"{part}_images"] = RNG.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        parts[f"{part}_labels"] = RNG.integers(0, 9, (n, 1)).astype(np.uint8)
    with pytest.warns(UserWarning, match=r"Left out of .*: val_images, val_labels\. The images are `train_images`"):
        loaded = data.from_file(saved(tmp_path / "a.npz", **parts))
    np.testing.assert_array_equal(loaded.train, parts["train_images"].reshape(12, 784))
    np.testing.assert_array_equal(loaded.test_labels, parts["test_labels"][:, 0])


def test_dsprites_is_read_as_it_is_published_and_its_pickle_is_not_opened(tmp_path: Path) -> None:
    images = (RNG.random((30, 8, 8)) < 0.3).astype(np.uint8)
    parts = {"metadata": np.array({"title": Harmful()}, dtype=object), "imgs": images}
    parts |= {"latents_values": RNG.random((30, 6)), "latents_classes": RNG.integers(0, 3, (30, 6))}
    with pytest.warns(
        UserWarning, match=r"Left out of .*: metadata, latents_values, latents_classes\. The images are `imgs`"
    ):
        loaded = data.from_file(saved(tmp_path / "a.npz", **parts))
    assert loaded.image_shape == (8, 8) and loaded.binary and not Harmful.called


class Harmful:
    called = False

    def __reduce__(self) -> Any:
        return Harmful._call, ()

    @staticmethod
    def _call() -> Any:
        Harmful.called = True


@pytest.mark.filterwarnings("ignore:Left out of")
def test_array_of_objects_is_named_where_it_is_the_one_that_is_needed(tmp_path: Path) -> None:
    objects = np.array([{}, []], dtype=object)
    with pytest.raises(DataError, match=r"holds images \(Python objects, which are not opened\)"):
        data.from_file(saved(tmp_path / "a.npz", images=objects))
    loaded = data.from_file(saved(tmp_path / "b.npz", pictures=GREY, names=objects))
    assert loaded.image_shape == (4, 3)


@pytest.mark.parametrize(
    "labels", [np.arange(20.0), np.arange(20)[:, None], np.arange(20.0)[:, None], np.arange(20) > 9]
)
def test_labels_are_whole_numbers_in_a_row_or_a_column(tmp_path: Path, labels: Any) -> None:
    loaded = data.from_file(saved(tmp_path / "a.npz", images=GREY, labels=labels))
    order = np.random.RandomState(0).permutation(20)
    assert loaded.train_labels is not None and loaded.train_labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.train_labels, labels.ravel().astype(int)[order][:18])


@pytest.mark.parametrize("labels", [np.arange(20) + 0.5, np.full(20, np.nan), np.zeros((20, 2)), np.array(["a"] * 20)])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(DataError, match="one integer for each of 20 examples"):
        data.from_file(saved(tmp_path / "a.npz", images=GREY, labels=labels))


@pytest.mark.parametrize("high", [1023, 4095, 65535])
def test_images_of_more_than_eight_bits_as_floats_get_the_right_advice(tmp_path: Path, high: int) -> None:
    loaded = data.from_file(saved(tmp_path / "a.npy", np.round(GREY * high)))
    with pytest.raises(DataError, match=r"up to 16 bits: divide by the largest value .* 65535\. .*decoder='gaussian'"):
        data.binarization(loaded, "bernoulli", "dynamic")


def test_masked_array_is_refused() -> None:
    with pytest.raises(DataError, match=r"`train` of hand to be a plain array, but it is masked.*filled\(value\)"):
        by_hand(train=np.ma.masked_less(GREY[:15].reshape(15, 12), 0.5))


def test_numpy_that_raises_does_not_change_what_is_read(tmp_path: Path) -> None:
    tiny = np.where(GREY < 0.5, 1e-300, GREY.astype(float))
    with np.errstate(all="raise"):
        loaded = data.from_file(saved(tmp_path / "a.npy", tiny))
        assert loaded.intensities(loaded.train).min() == 0.0


@pytest.mark.parametrize(
    ("array", "white", "binary"),
    [
        (np.array([[0, 255, 3], [128, 7, 9]], np.uint8), 255.0, False),
        (np.array([[0, 255, 3], [128, 7, 9]], np.int64), 255.0, False),
        (np.array([[0, 1, 1], [1, 0, 1]], np.int32), 1.0, True),
        (np.array([[False, True, True], [True, False, True]]), 1.0, True),
        (np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]), 1.0, True),
        (np.array([[0.25, 1.0, 1.0], [1.0, 0.0, -2.0]]), 1.0, False),
    ],
)
def test_white_is_told_from_the_dtype(tmp_path: Path, array: Any, white: float, binary: bool) -> None:
    loaded = data.from_file(saved(tmp_path / "a.npz", train=array, test=array))
    assert (loaded.white, loaded.binary) == (white, binary)
    np.testing.assert_allclose(loaded.intensities(loaded.train), array.astype(float) / white, rtol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": RNG.integers(0, 10, 200)},
            r"examples of more than one number, but got \(200,\)\. With 10 different integers .*labels",
        ),
        ({"a": RNG.integers(0, 10, (200, 1))}, "look like labels"),
        ({"a": RNG.integers(0, 10, 200).astype(float)}, "look like labels"),
        ({"a": RNG.random(200)}, "One number an example leaves nothing to encode"),
        ({"a": np.eye(4)[RNG.integers(0, 4, 50)]}, "one-hot labels"),
        ({"a": with_nan()}, r"finite everywhere, but got nan at index \(3, 1, 2\)\. Remove"),
        ({"a": with_infinities()}, r"finite everywhere, but got inf at index \(2, 3, 0\), and 2 more that"),
        ({"train": GREY, "test": with_nan()}, r"`test` in .*finite everywhere, but got nan"),
        ({"a": RNG.integers(0, 10, (200, 1, 1))}, "look like labels"),
        ({"a": RNG.integers(0, 10, 200, np.uint8)}, "look like labels"),
        (
            {"train": GREY, "tset": GREY},
            r"nothing beside `train` .* it also holds 'tset' \(20, 4, 3\)\. Did you mean 'test'",
        ),
        ({"train": GREY, "x_train": GREY}, "it also holds 'x_train'"),
        ({"trian": GREY, "test": GREY}, "one array, or `train` and `test`, but it holds trian"),
        ({"images": GREY, "lables": np.arange(20)}, r"it also holds 'lables' .*Did you mean 'labels'"),
        ({"pictures": GREY, "lables": np.arange(20)}, "one array, or `train` and `test`"),
        ({"train": GREY, "mean": GREY.mean(0)}, r"it also holds 'mean' \(4, 3\)\. Rename it, or save the file without"),
        ({"a": np.zeros(20, [("x", float)])}, "to hold numbers, but its dtype is"),
        ({"a": np.full((5, 3), "2026-01-01", "datetime64[D]")}, "to hold numbers"),
        ({"a": np.zeros((5, 0))}, r"at least two examples, but got \(5, 0\)"),
        ({"a": np.full((5, 3), 1e300)}, "vary|fit 32-bit"),
        ({"a": np.array([[1e300, 0.0], [0.0, 1.0]])}, "fit 32-bit floats"),
        ({"a": np.zeros((0, 3))}, r"at least two examples, but got \(0, 3\)"),
        ({"a": np.zeros((1, 3))}, "at least two examples"),
        ({"a": np.float64(3.0)}, "at least two examples"),
        ({"a": np.zeros((9, 3))}, "to vary, but every value is 0.0. Was it saved before it was filled"),
        ({"a": np.array([["a", "b"], ["c", "d"]])}, "to hold numbers, but its dtype is <U1"),
        ({"a": np.array([[1 + 2j, 1], [0, 1]])}, "its dtype is complex128"),
        ({"a": np.array([[0, 16], [3, 4]])}, "but got 0 to 16: what means white cannot be told. Save them as floats"),
        ({"a": np.array([[-1, 200], [3, 4]])}, "but got -1 to 200"),
        ({"a": GREY, "b": GREY}, r"one array, or `train` and `test`, but it holds a \(20, 4, 3\), b \(20, 4, 3\)"),
        ({"test": GREY}, "one array, or `train` and `test`"),
        ({"train": GREY, "test": GREY[:, :2]}, r"of one shape, but got \(4, 3\) and \(2, 3\)"),
        ({"train": GREY, "test": (GREY > 0.5)}, "both floats, but got float32 and bool"),
        (
            {"a": GREY, "labels": np.arange(19)},
            r"`labels` .* one integer for each of 20 examples, but got shape \(19,\)",
        ),
        ({"a": GREY, "labels": GREY[:, 0, 0]}, "one integer for each of 20 examples"),
    ],
)
def test_arrays_that_cannot_be_images_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.from_file(saved(tmp_path / "a.npz", **arrays))


def test_single_vertical_lines_are_images_if_they_have_two_axes(tmp_path: Path) -> None:
    """What would pass for one-hot labels flat is accepted as (examples, height, width)."""
    assert data.from_file(saved(tmp_path / "a.npy", np.eye(6).reshape(6, 2, 3))).image_shape == (2, 3)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_file_that_is_missing_cut_off_or_garbage_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(DataError, match=r"there is none. Is the path right"):
        data.load(str(path))
    saved(path, **{"a": GREY}) if name == "a.npz" else saved(path, GREY)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:40], b"", b"GIF89a" * 30):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cut off or damaged, or no NumPy file"):
            data.load(str(path))


def test_altered_npz_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", a=GREY)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="CRC"):
        data.from_file(path)


def read_back(path: Path, array: Any) -> tuple[Any, float]:
    loaded = data.from_file(saved(path, train=array, test=array))
    assert loaded.train.flags.c_contiguous and loaded.train.dtype.isnative
    return loaded.train.reshape(array.shape), loaded.white


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda a: np.repeat(np.repeat(a, 2, 0), 3, 2)[::2, :, ::3],
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
    ],
    ids=["fortran", "strided", "reversed", "transposed"],
)
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "<f2", ">u2", ">i8", "<i8", "u1", "?"])
def test_memory_layout_and_byte_order_do_not_change_the_pixels(tmp_path: Path, change: Any, dtype: str) -> None:
    kind = np.dtype(dtype).kind
    plain = (GREY > 0.5) if kind == "b" else np.round(255 * GREY) if kind in "iu" else GREY
    array = change(plain.astype(dtype))
    assert array.shape == GREY.shape
    back, white = read_back(tmp_path / "a.npz", array)
    np.testing.assert_array_equal(back, plain.astype(dtype).astype(float))
    assert white == (255.0 if kind in "iu" else 1.0) and back.dtype == (np.float32 if kind == "f" else np.uint8)


def test_layout_does_not_change_a_fingerprint() -> None:
    rows = GREY.reshape(20, 12)
    assert (
        by_hand(train=np.asfortranarray(rows[:15])).fingerprint()
        == by_hand(train=np.repeat(rows[:15], 2, 0)[::2]).fingerprint()
        == by_hand().fingerprint()
    )


def test_floats_up_to_255_and_negative_ones_are_for_gaussian_decoders_alone(tmp_path: Path) -> None:
    for array, message in ((255 * GREY, "divide by 255"), (GREY - 0.5, r"Rescale them to \[0, 1\]")):
        loaded = data.from_file(saved(tmp_path / "a.npy", array))
        assert loaded.levels is None and data.binarization(loaded, "gaussian") == "none"
        with pytest.raises(DataError, match=message):
            data.binarization(loaded, "bernoulli", "dynamic")


def test_pixels_that_never_vary_are_accepted_beside_others(tmp_path: Path) -> None:
    array = GREY.copy()
    array[:, 0], array[:, 2] = 0.0, 1.0
    loaded = data.from_file(saved(tmp_path / "a.npy", array))
    np.testing.assert_array_equal(loaded.train.std(0).reshape(4, 3)[[0, 2]], 0.0)


@pytest.mark.parametrize(
    "content", [b"1,2,3\n4,5,6\n" * 9, b"\x80\x04\x95" + b"x" * 90, b"{}", b"N", b"\x93NUMPZ" + b"0" * 90]
)
def test_text_or_a_pickle_under_the_name_of_an_array_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"\(it begins with b.*no NumPy file: save it again") as caught:
        data.load(str(tmp_path / "a.npy"))
    assert repr(content[:6]) in str(caught.value)


def test_altered_header_is_refused_in_words_or_does_no_harm(tmp_path: Path) -> None:
    """Such as a shape of a trillion rows. Among the pixels a flip goes unnoticed: a .npy file has no checksum."""
    path = saved(tmp_path / "a.npy", GREY)
    whole = path.read_bytes()
    refused = 0
    for at in range(len(whole) - GREY.nbytes):
        for bit in (0, 3, 6):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
            try:
                assert data.from_file(path).train.shape == (18, 12)
            except DataError:
                refused += 1
    assert refused > 150


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="holds Python objects: save a plain array of numbers"):
        data.from_file(tmp_path / "a.npy")


# ----------------------------------------------------------------------------------------------------------- mnist


def idx_content(array: Any) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """A data set of four files like MNIST's, only smaller; its gzipped files by name. The cache is in tmp_path."""
    contents, files = {}, {}
    for key, file in idx.MNIST.items():
        shape = ((7 if "train" in key else 3), *file.shape[1:])
        array = np.random.default_rng(len(key)).integers(0, 256, shape).astype(np.uint8)
        content = idx_content(array)
        files[key] = idx.IdxFile(file.name, shape, hashlib.sha256(content).hexdigest())
        contents[file.name] = content
    monkeypatch.setattr(idx, "MNIST", files)
    monkeypatch.delenv("VAELIB_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    return contents


def put(folder: Path, contents: dict[str, bytes], compress: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = folder / (name + ".gz" if compress else name)
        path.write_bytes(gzip.compress(content) if compress else content)
    return folder


def test_known_files_are_those_of_mnist() -> None:
    assert idx.MNIST["train"].size == 47_040_016 and idx.MNIST["test_labels"].size == 10_008
    assert idx.MNIST["test"].sha256.startswith("0fa7898d") and idx.MNIST["train"].sha256.endswith("5776db")
    assert idx.MNIST["train"].header == b"\x00\x00\x08\x03\x00\x00\xea\x60\x00\x00\x00\x1c\x00\x00\x00\x1c"


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("where", ["own", "cache"])
def test_files_are_found_compressed_or_not(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool, where: str
) -> None:
    if where == "own":
        monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "own"))
    put(tmp_path / where / "mnist", tiny, compress)
    mnist = data.load("mnist")
    assert (mnist.train.shape, mnist.test.shape, mnist.image_shape, mnist.white) == (
        (7, 784),
        (3, 784),
        (28, 28),
        255.0,
    )
    assert mnist.train.tobytes() == tiny["train-images-idx3-ubyte"][16:]
    assert (
        mnist.test_labels is not None
        and bytes(mnist.test_labels.astype(np.uint8)) == tiny["t10k-labels-idx1-ubyte"][8:]
    )


@pytest.mark.parametrize("layout", ["mnist", "MNIST/raw", "mnist/MNIST/raw", "raw", "."])
def test_files_are_found_in_every_layout_of_the_folder_that_is_named(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, recwarn: Any
) -> None:
    put(tmp_path / "own" / layout, tiny)
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "own"))
    assert data.load("mnist").train.shape == (7, 784) and not recwarn.list


def test_tilde_in_the_name_of_the_folder_is_the_home(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: Any
) -> None:
    put(tmp_path / "shared" / "mnist", tiny)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("VAELIB_DATA", "~/shared")
    assert data.load("mnist").train.shape == (7, 784) and not recwarn.list


def test_folder_that_does_not_hold_the_data_is_named(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "cache" / "mnist", tiny)
    (tmp_path / "empty").mkdir()
    some = {name: content for name, content in tiny.items() if "train" in name}
    put(tmp_path / "half" / "mnist", some)
    for named, message in (
        ("empty", r"VAELIB_DATA=.*empty does not hold the files of MNIST, neither in mnist"),
        ("half", r"VAELIB_DATA=.*half does not hold t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, neither"),
        ("nowhere", r"VAELIB_DATA=.*nowhere is not a folder that exists"),
    ):
        monkeypatch.setenv("VAELIB_DATA", str(tmp_path / named))
        with pytest.warns(UserWarning, match=message):
            assert data.load("mnist").train.shape == (7, 784)


@pytest.mark.filterwarnings("ignore:VAELIB_DATA")
def test_folder_is_named_where_there_is_no_network_either(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "MIRRORS", ("http://127.0.0.1:1/",))
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"could not be downloaded .*VAELIB_DATA=.*nowhere is not a folder that exists"):
        data.load("mnist")


def damaged(content: bytes, how: str) -> bytes:
    altered = bytearray(content)
    altered[100] ^= 1
    zipped = gzip.compress(content)
    return {
        "cut off compressed": zipped[: len(zipped) // 2],
        "not compressed": b"<html>Sign in</html>",
        "cut off": gzip.compress(content[:-5]),
        "appended": gzip.compress(content + b"x"),
        "altered": gzip.compress(bytes(altered)),
    }[how]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut off compressed", "a whole gzip file, but it is cut off or damaged"),
        ("not compressed", "a whole gzip file, but it is cut off or damaged"),
        ("cut off", r"to hold 5,504 bytes uncompressed, for shape \(7, 28, 28\), but it holds 5,499: it is cut off"),
        ("appended", "another file, or has something appended"),
        ("altered", "to have SHA-256 .* its content was altered"),
    ],
)
def test_damaged_file_is_refused(tiny: dict[str, bytes], tmp_path: Path, how: str, message: str) -> None:
    folder = put(tmp_path / "cache" / "mnist", tiny)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damaged(tiny["train-images-idx3-ubyte"], how))
    with pytest.raises(DataError, match=message) as caught:
        data.load("mnist")
    assert f"Delete {path} and run again" in str(caught.value)


def test_wrong_shape_under_a_matching_hash_is_refused(tiny: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(tmp_path / "cache" / "mnist", tiny)
    file = idx.MNIST["train"]
    reshaped = idx_content(np.zeros((7, 14, 56), np.uint8))
    (folder / (file.name + ".gz")).write_bytes(gzip.compress(reshaped))
    idx.MNIST["train"] = idx.IdxFile(file.name, file.shape, hashlib.sha256(reshaped).hexdigest())
    with pytest.raises(DataError, match=r"header of an IDX file of shape \(7, 28, 28\)"):
        data.load("mnist")


def test_unreadable_file_is_refused(tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "cache" / "mnist", tiny)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"Could not read .*Permission denied"):
        data.load("mnist")


Answer = Callable[[str], tuple[int, bytes, int]]  # name -> status, content, the length that is promised


class Mirror(BaseHTTPRequestHandler):
    def __init__(self, answer: Answer, asked: list[str], *args: Any) -> None:
        self.answer, self.asked = answer, asked
        super().__init__(*args)

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.asked.append(name)
        status, content, length = self.answer(name)
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """serve(answer) makes a server on this machine the next mirror; returns the list of what it is asked for."""
    servers = []
    monkeypatch.setattr(idx, "MIRRORS", ())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def start(answer: Answer) -> list[str]:
        asked: list[str] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Mirror, answer, asked))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(idx, "MIRRORS", (*idx.MIRRORS, f"http://127.0.0.1:{server.server_port}/"))
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sound(contents: dict[str, bytes]) -> Answer:
    def answer(name: str) -> tuple[int, bytes, int]:
        content = gzip.compress(contents[name.removesuffix(".gz")])
        return 200, content, len(content)

    return answer


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_download_fetches_once_and_then_finds(
    tiny: dict[str, bytes], serve: Callable[[Answer], list[str]], tmp_path: Path
) -> None:
    asked = serve(sound(tiny))
    first = data.load("mnist")
    assert sorted(asked) == sorted(name + ".gz" for name in tiny)
    assert files_in(tmp_path / "cache") == sorted(f"mnist/{name}.gz" for name in tiny)
    assert data.load("mnist").fingerprint() == first.fingerprint()
    assert len(asked) == 4


def test_download_goes_on_with_the_next_mirror(
    tiny: dict[str, bytes], serve: Callable[[Answer], list[str]], tmp_path: Path
) -> None:
    serve(lambda name: (404, b"", 0))
    serve(lambda name: (200, gzip.compress(b"something else"), len(gzip.compress(b"something else"))))
    serve(sound(tiny))
    assert data.load("mnist").train.shape == (7, 784)


@pytest.mark.parametrize("how", ["missing", "promised more", "cut off", "altered", "a page"])
def test_failed_download_leaves_nothing_behind(
    tiny: dict[str, bytes], serve: Callable[[Answer], list[str]], tmp_path: Path, how: str
) -> None:
    def answer(name: str) -> tuple[int, bytes, int]:
        content = gzip.compress(tiny[name.removesuffix(".gz")])
        if how == "missing":
            return 404, b"", 0
        if how == "promised more":
            return 200, content[:50], len(content)
        kinds = {"cut off": "cut off compressed", "altered": "altered", "a page": "not compressed"}
        content = damaged(tiny[name.removesuffix(".gz")], kinds[how])
        return 200, content, len(content)

    serve(answer)
    with pytest.raises(DataError, match=r"could not be downloaded .*Is there a network.*VAELIB_DATA=FOLDER") as caught:
        data.load("mnist")
    assert ("arrived cut off or altered" in str(caught.value)) == (how in ("cut off", "altered", "a page"))
    assert files_in(tmp_path / "cache") == []
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_missing_network_says_what_to_do(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "MIRRORS", ("http://127.0.0.1:1/",))
    with pytest.raises(DataError, match=r"ConnectionError.*data='digits' needs no network"):
        data.load("mnist")
    assert files_in(tmp_path) == []


def test_full_disk_is_said_and_leaves_nothing_behind(
    tiny: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*args: Any, **kwargs: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.retrieve", fill)
    with pytest.raises(DataError, match=r"Could not write to .*No space left on device. Make room"):
        data.load("mnist")
    assert files_in(tmp_path) == []


def test_download_bar_counts_bytes() -> None:
    with idx.DownloadBar("file.gz") as bar:
        bar.total = 100
        bar.update(40)
        bar.update(60)
        assert bar._progress.tasks[0].completed == 100
        bar.reset()
        assert bar._progress.tasks[0].completed == 0
        bar.close()
