"""A person's own array, from a .npy or .npz file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vaelib._spoken import remark
from vaelib.data.core import LARGEST, Array, Data, DataError, in_colour, require_finite, rounds_away

HELD_OUT = 10  # one in ten of your own examples is kept for testing, unless the file has a test set
TRAIN_KEYS = ("train", "x_train", "train_images", "imgs", "images")
TEST_KEYS = ("test", "x_test", "test_images")
TRAIN_LABEL_KEYS = ("train_labels", "y_train", "labels", "y")
TEST_LABEL_KEYS = ("test_labels", "y_test")
ALONE = "the array"  # the key of one that came without
OTHER_KEYS = ("val", "x_val", "val_images", "validation", "y_val", "val_labels")  # of a third part, that is left out
KNOWN_KEYS = (*TRAIN_KEYS, *TEST_KEYS, *TRAIN_LABEL_KEYS, *TEST_LABEL_KEYS, *OTHER_KEYS)


@np.errstate(all="ignore")
def from_file(path: Path) -> Data:
    """Your own array: (examples, ...) in a .npy file, or in a .npz file under a name of your choice.

    A .npz file may also hold `train` and `test` (or x_train and x_test, or train_images and test_images), and `labels`,
    or `train_labels` and `test_labels` (or y_train and y_test), in capitals or not. Without a test set, one example in
    ten is held out: the last tenth of a permutation that is always the same, since files are often sorted by class.

    A validation set beside them, arrays with fewer axes than the images (what was measured of each), and Python objects
    are left out, and a warning names them: of validation sets, training draws its own.

    Values are binary (0 and 1), bytes (integers from 0 to 255, divided by 255), or floats, taken as they are.
    """
    arrays, left_out = _read(path)
    train_key, test_key = _find(arrays, TRAIN_KEYS), _find(arrays, TEST_KEYS)
    label_key, test_label_key = _find(arrays, TRAIN_LABEL_KEYS), _find(arrays, TEST_LABEL_KEYS)
    known = {test_key, label_key, test_label_key, *(key for key in arrays if key.lower() in OTHER_KEYS)}
    if train_key is None:
        others = [key for key in arrays if key not in known]
        if len(others) != 1 or test_key is not None:
            listed = ", ".join([f"{key} {array.shape}" for key, array in arrays.items()] + [*map(_objects, left_out)])
            raise DataError(
                f"Expected {path} to hold one array, or `train` and `test`, but it holds {listed or 'nothing'}. Save"
                " one of them."
            )
        train_key = others[0]
    for key in arrays:  # a misspelled `test` would otherwise be left out in silence, and the training set be split
        if key.lower() in OTHER_KEYS or (key not in {train_key, *known} and _is_beside(key, arrays, train_key)):
            left_out.append(key)
        elif key not in {train_key, *known}:
            near = difflib.get_close_matches(key.lower(), KNOWN_KEYS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(
                f"Expected {path} to hold nothing beside `{train_key}` but a test set and labels, but it also holds"
                f" {key!r} {arrays[key].shape}.{hint} Rename it, or save the file without it."
            )
    called = train_key if train_key == ALONE else f"`{train_key}`"
    train = checked(arrays[train_key], f"{called} in {path}")
    labels = _labels(arrays, label_key, len(train), path)
    if test_key is None:
        order = np.random.RandomState(0).permutation(len(train))
        count = max(1, len(train) // HELD_OUT)
        kept, held = order[:-count], order[-count:]
        train, test = train[kept], train[held]
        train_labels, test_labels = (None, None) if labels is None else (labels[kept], labels[held])
    else:
        test = checked(arrays[test_key], f"`{test_key}` in {path}")
        if test.shape[1:] != train.shape[1:]:
            raise DataError(
                f"Expected `{train_key}` and `{test_key}` in {path} to hold examples of one shape, but got"
                f" {train.shape[1:]} and {test.shape[1:]}."
            )
        train_labels, test_labels = labels, _labels(arrays, test_label_key, len(test), path)
    train, test, white = stored(train, test, path, train.shape[1:])
    data = Data(str(path.resolve()), _flat(train), _flat(test), train.shape[1:], white, train_labels, test_labels)
    if left_out:
        remark(f"Left out of {path}: {', '.join(left_out)}. The images are `{train_key}`.")
    return data


def _read(path: Path) -> tuple[dict[str, Array], list[str]]:
    """The arrays in the file, and the names of those that hold Python objects: pickles run code, and are not opened."""
    if not path.is_file():
        raise DataError(f"Expected a file at {path}, but there is none. Is the path right, seen from {_here()}?")
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            if not start.startswith((b"\x93NUMPY", b"PK")):  # NumPy would speak of pickles
                raise ValueError(f"it begins with {start!r}")
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                if file.read(1):  # NumPy would read a part in silence
                    raise ValueError(f"more bytes follow than shape {loaded.shape} needs")
                return {ALONE: loaded}, []
            arrays: dict[str, Array] = {}
            objects = []
            for key in loaded.files:
                try:
                    arrays[key] = loaded[key]
                except ValueError as error:
                    if not _of_objects(error):
                        raise
                    objects.append(key)
            return arrays, objects
    except Exception as error:  # what is damaged makes NumPy's readers raise anything, from zlib.error to TokenError
        likely = (
            "It holds Python objects: save a plain array of numbers."
            if _of_objects(error)
            else "It is cut off or damaged, or no NumPy file: save it again with numpy.save or numpy.savez."
        )
        raise DataError(f"Expected {path} to be a NumPy file, but could not read it ({error}). {likely}") from error


def _of_objects(error: Exception) -> bool:
    return str(error).startswith("Object arrays")


def _objects(key: str) -> str:
    return f"{key} (Python objects, which are not opened)"


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "a folder that is gone"


def _find(arrays: dict[str, Array], names: Iterable[str]) -> str | None:
    return next((key for name in names for key in arrays if key.lower() == name), None)


def _is_beside(key: str, arrays: dict[str, Array], train_key: str) -> bool:
    """Is that array something measured of each example, not images? Nor may its name be a known one misspelled."""
    array, train = arrays[key], arrays[train_key]
    one_each = array.ndim > 0 and array.ndim < train.ndim and len(array) == len(train)
    return one_each and not difflib.get_close_matches(key.lower(), KNOWN_KEYS, 1, 0.75)


def _labels(arrays: dict[str, Array], key: str | None, examples: int, path: Path) -> Array | None:
    """(examples,), from one whole number for each, whether kept as integers or floats, in a row or a column."""
    if key is None:
        return None
    labels = arrays[key]
    column = labels.shape == (examples, 1)
    numbers = labels.dtype.kind in "iub" or (
        labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.round(labels))).all())
    )
    if not (labels.shape == (examples,) or column) or not numbers:
        raise DataError(
            f"Expected `{key}` in {path} to hold one integer for each of {examples} examples, but got shape"
            f" {labels.shape} of {labels.dtype}."
        )
    return labels.reshape(examples).astype(np.int64)


def checked(array: Array, where: str) -> Array:
    """Numbers, finite, at least two examples of at least one pixel, and no labels."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"Expected {where} to hold numbers, but its dtype is {array.dtype}.")
    if array.size == 0 or len(np.atleast_1d(array)) < 2:
        raise DataError(
            f"Expected {where} to have shape (examples, ...) with at least two examples, but got {array.shape}."
        )
    if array.size == len(array):
        values = array.ravel()
        distinct = len(np.unique(values))
        integers = bool((values == np.round(values)).all()) if array.dtype.kind == "f" else True
        looks = (
            f"With {distinct} different integers these look like labels, not images: pass the array of the images."
            if integers and distinct < max(3, len(values))
            else "One number an example leaves nothing to encode: add an axis of pixels or features."
        )
        raise DataError(f"Expected {where} to hold examples of more than one number, but got {array.shape}. {looks}")
    if array.ndim == 2 and bool(((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all()):
        raise DataError(
            f"Expected {where} to hold images, but each of its rows has a single 1: these look like one-hot labels. If"
            " they are images, save them as (examples, height, width)."
        )
    require_finite(array, where)
    if (array == array.flat[0]).all():
        raise DataError(
            f"Expected {where} to vary, but every value is {array.flat[0]}. Was it saved before it was filled?"
        )
    return array


def stored(train: Array, test: Array, path: Path, image_shape: tuple[int, ...]) -> tuple[Array, Array, float]:
    """Both parts in one dtype, and the number that means white."""
    low, high = min(train.min(), test.min()), max(train.max(), test.max())
    if train.dtype.kind == test.dtype.kind == "f":
        if not -LARGEST <= float(low) <= float(high) <= LARGEST:
            raise DataError(
                f"Expected values in {path} that fit 32-bit floats, but got {low:g} to {high:g}. Rescale them."
            )
        kept = np.float64 if rounds_away(train) else np.float32
        return train.astype(kept), test.astype(kept), 1.0
    if "f" in (train.dtype.kind, test.dtype.kind):
        raise DataError(
            f"Expected both parts of {path} to be integers or both floats, but got {train.dtype} and {test.dtype}."
        )
    if low >= 0 and high <= 1:
        return train.astype(np.uint8), test.astype(np.uint8), 1.0
    dark = train.dtype == test.dtype == np.uint8 and in_colour(image_shape)  # of whose bytes 255 is white
    if low < 0 or not (dark or 128 <= high <= 255):
        raise DataError(
            f"Expected integers in {path} to be 0 and 1, or bytes from 0 to 255, but got {low} to {high}: what means"
            " white cannot be told. Save them as floats, divided by the largest value that a pixel can have; or, in"
            " colour, as bytes of shape (examples, height, width, 3), of which 255 is white."
        )
    return train.astype(np.uint8), test.astype(np.uint8), 255.0


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array.reshape(len(array), -1))
