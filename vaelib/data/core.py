"""What a data set is, and how its grey pixels become what a decoder is a density of: binary, or continuous."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vaelib._spoken import option

if TYPE_CHECKING:
    from vaelib.data.stream import Stream

Array = NDArray[Any]
Binarization = Literal["dynamic", "fixed", "none", "dequantized"]

TEST_SEED = 0  # draws a test set's pixels, once and for all: every result on it is about the same numbers
COLOURS = 3  # numbers of a pixel in colour: red, green, blue
ROUNDED = 1e-3  # of the spread, at most, may be lost to 32-bit floats
LARGEST = float(np.finfo(np.float32).max)
TRAIN_SEED = 1  # binarizes a training set where that is to be done once (`fixed`)


class DataError(ValueError):
    """The data cannot be used. The message says what was expected, what came, and what to do."""


def in_colour(image_shape: tuple[int, ...]) -> bool:
    """Is that the shape of an image in colour, (height, width, 3)?"""
    return len(image_shape) == 3 and image_shape[-1] == COLOURS


def require_colours_last(image_shape: tuple[int, ...], where: str) -> None:
    """Refuse (3, height, width): its numbers would be taken for those of other pixels."""
    if len(image_shape) == 3 and image_shape[0] == COLOURS and not in_colour(image_shape):
        height, width = image_shape[1:]
        raise DataError(
            f"Expected images of {where} in colour to have shape (height, width, {COLOURS}), but got {image_shape}: the"
            f" three colours come first. Move them to the end, array.transpose(0, 2, 3, 1); an image then has shape"
            f" ({height}, {width}, {COLOURS})."
        )


@dataclass(frozen=True)
class Data:
    """Examples to train on and examples to test on, one row each.

    Raises:
        DataError: the arrays are not what is said below. A file is read by `load`, which explains more.
    """

    name: str  # as `load` takes it, such as "digits", or the path of a file
    train: Array  # (examples, pixels), integers from 0 to white, or finite floats; at least one example
    test: Array  # (examples, pixels), of the same dtype
    image_shape: tuple[int, ...]  # of one example before it was flattened
    white: float  # the stored number that means 1.0: 255 in bytes, 16 in the digits, 1 in floats
    train_labels: Array | None = None  # (examples,), only to color pictures with
    test_labels: Array | None = None
    default_binarization: Binarization | None = None  # None: grey pixels are binarized only on request
    classes: tuple[str, ...] = ()  # what the labels 0, 1, ... mean, where it is not the number itself
    factor_names: tuple[str, ...] = ()  # what is known of each example, one name for each column of the factors
    train_factors: Array | None = None  # (examples, factors), where the data were made
    test_factors: Array | None = None
    stream: Stream | None = None  # all examples to train on, on disk; `train` is then a sample of them

    def __post_init__(self) -> None:
        require_colours_last(self.image_shape, self.name)
        for name, part in (("train", self.train), ("test", self.test)):
            if isinstance(part, np.ma.MaskedArray):
                raise DataError(
                    f"Expected `{name}` of {self.name} to be a plain array, but it is masked, and training does not"
                    " take masks. Fill the gaps: array.filled(value)."
                )
            if part.dtype.kind not in "iuf" or part.dtype != self.train.dtype:
                raise DataError(
                    f"Expected `train` and `test` of {self.name} to be integers or floats of one dtype, but `{name}` is"
                    f" {part.dtype}. Convert it with astype."
                )
            if part.ndim != 2 or part.shape[1] != self.pixels or part.size == 0:
                raise DataError(
                    f"Expected `{name}` of {self.name} to have shape (examples, pixels) with at least one example and"
                    f" {self.pixels} pixels, as in images of shape {self.image_shape}, but got {part.shape}. Were the"
                    " images not flattened?"
                )
            require_finite(part, f"`{name}` of {self.name}")
            if part.dtype.kind == "f" and not -LARGEST <= float(part.min()) <= float(part.max()) <= LARGEST:
                raise DataError(
                    f"Expected values in `{name}` of {self.name} that fit 32-bit floats, but got {part.min():g} to"
                    f" {part.max():g}. Rescale them."
                )
        for name, part in (("train", self.train), ("test", self.test)):
            factors = getattr(self, f"{name}_factors")
            if factors is not None and factors.shape != (len(part), len(self.factor_names)):
                raise DataError(
                    f"Expected `{name}_factors` of {self.name} to have shape {(len(part), len(self.factor_names))}, one"
                    f" row for each example and one column for each of `factor_names`, but got {factors.shape}."
                )
        if not 0 < self.white < math.inf:
            raise DataError(f"Expected `white` of {self.name} to be finite and > 0, but got {self.white}.")
        if self.levels is not None and not self.in_unit_interval:
            low, high = self.limits
            raise DataError(
                f"Expected integers of {self.name} between 0 and `white`, {self.white:g}, but got {low:g} to {high:g}."
                " Did they wrap around when they were made (200 + 100 = 44 in uint8), or is `white` another number?"
            )

    @property
    def examples(self) -> int:
        """How many there are to train on."""
        return len(self.train if self.stream is None else self.stream)

    @property
    def pixels(self) -> int:
        """Numbers in an example: in colour, three for each pixel."""
        return math.prod(self.image_shape)

    @property
    def binary(self) -> bool:
        """Is every pixel 0 or white?"""
        return all(bool(((part == 0) | (part == self.white)).all()) for part in (self.train, self.test))

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest number stored."""
        parts = (self.train, self.test)
        return float(min(part.min() for part in parts)), float(max(part.max() for part in parts))

    @property
    def in_unit_interval(self) -> bool:
        """Does every pixel lie between 0 and white, so that it can be read as a probability?"""
        low, high = self.limits
        return 0 <= low and high <= self.white

    @property
    def levels(self) -> int | None:
        """How many levels of grey there are, 0 to white, where they are stored as integers; None for floats."""
        return int(self.white) + 1 if self.train.dtype.kind in "iu" else None

    def intensities(self, part: Array) -> NDArray[np.float32]:
        """Stored numbers -> float32 with white = 1."""
        with np.errstate(all="ignore"):
            return part.astype(np.float32) / np.float32(self.white)

    def first(self, train: int, test: int) -> Data:
        """The first examples of each part, with their labels and factors; all where there are fewer.

        Of data that stream, the first ones of the sample in memory.
        """
        kept: dict[str, Any] = {"stream": None}
        for name, count in (("train", train), ("test", test)):
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
                raise DataError(f"Expected `{name}` to be a whole number of examples >= 1, but got {count!r}.")
            for field in (name, f"{name}_labels", f"{name}_factors"):
                part = getattr(self, field)
                kept[field] = None if part is None else part[:count]
        return replace(self, **kept)

    def fingerprint(self) -> str:
        """SHA-256 of shapes and contents, by which a run knows the data that it was trained on.

        Of data that stream: of their number, of the sample and of the test set, which are from all over the files.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(f"{part.dtype} {part.shape} {self.white}".encode())
            digest.update(np.ascontiguousarray(part).data)
        if self.stream is not None:
            digest.update(f"{self.examples} streamed".encode())
        return digest.hexdigest()


def rounds_away(array: Array) -> bool:
    """Would 32-bit floats lose what varies in these numbers, as in a small spread far from 0?"""
    if array.dtype.kind != "f" or array.dtype.itemsize <= 4:
        return False
    with np.errstate(all="ignore"):
        lost = np.abs(array - array.astype(np.float32)).max()
        return bool(lost > ROUNDED * array.std())


def require_finite(array: Array, where: str) -> None:
    """Refuse NaN and infinities."""
    finite = np.isfinite(array)
    if not finite.all():
        index = tuple(int(i) for i in np.unravel_index(int(finite.argmin()), array.shape))
        others = array.size - int(finite.sum()) - 1
        more = f", and {others:,} more that are not finite" if others else ""
        raise DataError(
            f"Expected {where} to be finite everywhere, but got {array[index]} at index {index}{more}."
            " Remove such examples or fill the gaps."
        )


def validation_split(data: Data, fraction: float, seed: int) -> tuple[Array, Array]:
    """Hold out a part of the training set, by a permutation whose stream NumPy has frozen.

    Returns:
        The rows of `data.train` that stay and those that are held out, `fraction` of them rounded to a whole number,
        each in the order of the file.

    Raises:
        DataError: one of the two would be empty.
    """
    examples = len(data.train)
    count = round(fraction * examples) if 0 < fraction < 1 else 0
    if not 0 < count < examples:
        raise DataError(
            f"Expected the share held out for validation to leave at least one of the {examples:,} training examples of"
            f" {data.name} on either side, but got {fraction:g}. 0.1 is usual."
        )
    order = np.random.RandomState(seed).permutation(examples)
    return data.train[np.sort(order[count:])], data.train[np.sort(order[:count])]


def binarize(intensities: Array, rng: np.random.RandomState | np.random.Generator) -> NDArray[np.uint8]:
    """One Bernoulli draw a pixel, P(1) = intensity: grey (n, pixels) in [0, 1] -> 0 or 1.

    Raises:
        DataError: a value is not a probability; bytes, for example, would all but black become white.

    Source: Salakhutdinov and Murray 2008, who so binarized MNIST.
    """
    if intensities.size and not (intensities.min() >= 0 and intensities.max() <= 1):  # NaN is refused, too
        raise DataError(
            f"Expected grey values between 0 and 1 to binarize, but got {intensities.min():g} to"
            f" {intensities.max():g}. Divide by the number that means white, or use Data.intensities."
        )
    return (rng.random(intensities.shape) < intensities).astype(np.uint8)


def binarize_once(data: Data, part: Array, seed: int = TEST_SEED) -> NDArray[np.uint8]:
    """`binarize` with a generator whose stream NumPy has frozen, so that the draw is the same everywhere and always."""
    return binarize(data.intensities(part), np.random.RandomState(seed))


def dequantize_once(data: Data, part: Array, seed: int = TEST_SEED) -> NDArray[np.float32]:
    """Uniform noise between the levels of grey: v in 0 ... white -> (v + u) / (white + 1), u ~ U[0, 1).

    The density of the result then bounds the probability of the levels, for one image of D pixels and L = white + 1:
    log P(v) >= E_u[log p((v + u) / L)] - D log L, by Jensen's inequality. The draw is the same everywhere and always.

    Returns:
        Shape of `part`, in [0, 1]; rounding to float32 may just reach the upper end.

    Source: Theis, van den Oord and Bethge 2016, section 3.1.
    """
    if data.levels is None:
        raise DataError(_no_levels(data))
    noise = np.random.RandomState(seed).random_sample(part.shape)
    return ((part + noise) / data.levels).astype(np.float32)


def _no_levels(data: Data) -> str:
    return (
        f"Expected integer levels of grey to dequantize, but {data.name} is stored as {data.train.dtype}: how wide a"
        " level is cannot be told. Save it as bytes from 0 to 255, or use"
        f" {option('binarization', 'none')}."
    )


def binarization(data: Data, decoder: str, requested: str = "auto") -> Binarization:
    """How the pixels become what the decoder is a density of; the answer is part of every result.

    - dynamic: a fresh Bernoulli draw at each visit of a training example; the test set is binarized once.
    - fixed: training and test set are binarized once.
    - none: pixels are used as they are, which a Bernoulli decoder takes only where they are binary.
    - none, with a discretized logistic decoder: it has probabilities for levels of grey or of a colour, and takes no
      other numbers.
    - dequantized: integers become real numbers by uniform noise between the levels (`dequantize_once`), afresh at each
      visit of a training example, once for the test set. For Gaussian decoders: a density on the bare levels has no
      upper bound, for it can grow without end at a pixel that never varies.

    "auto" is `none` where nothing needs to be done, the data's own default for digits and MNIST (dynamic), and an error
    for your own grey pixels: what they mean is not for us to guess.
    """
    if requested not in ("auto", *get_args(Binarization)):
        raise DataError(
            f"Expected `binarization` to be auto, dynamic, fixed, none or dequantized, but got {requested!r}."
        )
    if decoder == "discretized-logistic":
        if requested not in ("auto", "none"):
            raise DataError(
                f"Expected `binarization` to be none for a discretized logistic decoder, whose probabilities are those"
                f" of the levels as they are stored, but got {requested}. Leave it out."
            )
        if data.levels is None:
            raise DataError(
                f"Expected levels, whole numbers from 0 to 255 or fewer, for a discretized logistic decoder, but"
                f" {data.name} is stored as {data.train.dtype}. Save it as bytes, or use"
                f" {option('decoder', 'gaussian')}, which takes any real numbers."
            )
        return "none"
    if decoder != "bernoulli":
        if requested in ("dynamic", "fixed"):
            raise DataError(
                f"Expected `binarization` to be none or dequantized for a {decoder} decoder, which is a density on real"
                f" numbers, but got {requested}. Use {option('decoder', 'bernoulli')} with it."
            )
        if requested == "dequantized":
            if data.levels is None:
                raise DataError(_no_levels(data))
            return "dequantized"
        return "none"
    if requested == "dequantized":
        raise DataError(
            "Expected `binarization` to be dynamic, fixed or none for a Bernoulli decoder, whose pixels are 0 or 1, but"
            f" got dequantized, which makes real numbers of them. Use {option('decoder', 'gaussian')} with it."
        )
    if in_colour(data.image_shape):
        raise DataError(
            f"Expected grey or binary images for a Bernoulli decoder, but {data.name} is in colour, with images of"
            f" shape {data.image_shape}: drawn as 0 or 1, its colours would be lost. Use"
            f" {option('decoder', 'discretized-logistic')}, which takes bytes as they are, or"
            f" {option('decoder', 'gaussian')}."
        )
    if data.binary:
        return "none"
    if not data.in_unit_interval:
        low, high = (limit / data.white for limit in data.limits)
        hint = ""
        if low >= 0 and 1 < high <= 255:
            hint = " They look like bytes: divide by 255."
        elif low >= 0 and 255 < high <= 65535:
            hint = " They look like images of up to 16 bits: divide by the largest value that a pixel can have, 65535."
        raise DataError(
            f"Expected pixels between 0 and 1 for a Bernoulli decoder, but {data.name} has values from {low:g} to"
            f" {high:g}.{hint} Rescale them to [0, 1], or use {option('decoder', 'gaussian')}, which takes"
            " any real numbers."
        )
    chosen = data.default_binarization if requested == "auto" else requested
    if chosen not in ("dynamic", "fixed"):
        raise DataError(
            f"Expected binary pixels for a Bernoulli decoder, but {data.name} is grey: a Bernoulli density on grey"
            f" values is not a density. Say how to make them binary: {option('binarization', 'dynamic')} (a new draw at"
            f" each visit, P(1) = the grey value), {option('binarization', 'fixed')} (one draw); or use"
            f" {option('decoder', 'gaussian')}, which takes them as they are."
        )
    return chosen  # type: ignore[return-value]
