"""Argument checks, and the one place where their messages are worded.

A message says what was expected, what came, where, and the likely cause. Shapes are always checked. Values are checked
for NumPy arrays and for tensors on the CPU in eager mode: under compilation a look at a value breaks the graph, on a
GPU it makes the host wait. Each asks one cheap question first, and looks for the culprit only when the answer is bad.
Training, which checks its data once and watches for numbers that are not finite by itself, does without (`unchecked`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vaelib._arrays import Array, Shape, diagonal, is_tensor, namespace, transpose
from vaelib._door import as_arrays, as_numpy, precision
from vaelib._quiet import settled, state

# ---------------------------------------------------------------------------------------------------------- values


@contextmanager
def unchecked() -> Iterator[None]:
    """Values are not looked at inside; shapes still are."""
    before, state.trusted = state.trusted, True
    try:
        yield
    finally:
        state.trusted = before


def can_look(array: Array) -> bool:
    """May a check look at the values of `array`? Not under compilation, on a GPU, inside torch.func, or `unchecked`."""
    if not is_tensor(array):
        return True
    torch = sys.modules["torch"]
    if settled() or not array.is_cpu:
        return False
    if type(array) not in (torch.Tensor, torch.nn.Parameter):  # a fake tensor, say
        return False
    try:
        array.data_ptr()
    except RuntimeError:  # torch.func wraps tensors that hold no values themselves
        return False
    return True


def finite(name: str, array: Array, hint: str = "") -> None:
    """Every entry is a finite number."""
    if can_look(array) and not _sums_up(array, math.isfinite, np.isfinite):
        _refuse_unless(namespace(array).isfinite(array), array, name, "finite everywhere", hint)


def not_nan(name: str, array: Array, hint: str = "") -> None:
    """No entry is NaN; infinities pass."""
    if can_look(array) and not _sums_up(array, lambda total: total == total, lambda entries: entries == entries):
        _refuse_unless(array == array, array, name, "a number everywhere", hint)


def positive(name: str, array: Array, hint: str = "") -> None:
    """Every entry is finite and > 0."""
    if can_look(array):
        low, high = _range(array)
        if not (low > 0 and high < math.inf):
            _refuse_unless((array > 0) & (array < math.inf), array, name, "finite and > 0 everywhere", hint)


def number(name: str, value: Any) -> float:
    """One finite real number."""
    (array,) = as_numpy(**{name: value})
    if array.ndim:
        raise ValueError(f"Expected `{name}` to be one number, but got shape {array.shape}.")
    finite(name, array)
    return float(array)


def binary(name: str, array: Array, hint: str = "") -> None:
    """Every entry is 0 or 1."""
    if can_look(array):
        if is_tensor(array):  # x - x^2 is zero at 0 and 1 alone; masks and all() take three times as long
            torch, flat = sys.modules["torch"], array.detach()
            if not torch.count_nonzero(torch.addcmul(flat, flat, flat, value=-1)):
                return
        _refuse_unless((array == 0) | (array == 1), array, name, "0 or 1 everywhere", hint)


def level(name: str, array: Array, nearest: Array, allowed: float, hint: str = "") -> None:
    """Every entry is a level from 0 to 1, up to rounding: `nearest` to it there is one within `allowed`."""
    if can_look(array):
        good = (abs(array - nearest) <= allowed) & (nearest >= 0) & (nearest <= 1)
        _refuse_unless(good, array, name, "a level from 0 to 1 everywhere", hint)


def probability(name: str, array: Array, hint: str = "") -> None:
    """Every entry is between 0 and 1, both allowed."""
    if can_look(array):
        _refuse_unless((array >= 0) & (array <= 1), array, name, "between 0 and 1", hint)


def strictly_between(name: str, array: Array, low: float, high: float, hint: str = "") -> None:
    """Every entry is > low and < high."""
    if can_look(array):
        rule = f"strictly between {low:g} and {high:g}"
        _refuse_unless((array > low) & (array < high), array, name, rule, hint)


def uniform_noise(array: Array) -> None:
    """Every entry is strictly between 0 and 1, as `transform` needs it where it inverts a distribution function."""
    hint = "It is uniform noise here, not normal; draw_noise(sample_shape, rng=rng) makes the right kind."
    strictly_between("noise", array, 0.0, 1.0, hint)


def table(name: str, value: Any) -> Array:
    """Rows of probabilities as an array: >= 0, with sums of 1 to within 1e-8.

    What comes in lower precision may be off by its rounding, and is divided by its sums.
    """
    (array,) = as_arrays(**{name: value})
    last_axis(name, array, "the probabilities of the values")
    not_empty(name, array, "the probabilities of the values")
    eps = precision(value)
    total = array.sum(-1)
    if can_look(array):
        _refuse_unless(array >= 0, array, name, ">= 0 everywhere", "Did you pass logits?")
        tolerance = 1e-8 if eps < 1e-8 else 1e-5 + 4 * eps
        _refuse_unless(abs(total - 1) <= tolerance, total, f"{name}.sum(-1)", "1", "Divide each row by its sum.")
    return array if eps < 1e-8 else array / total[..., None]


def categorical_logits(name: str, array: Array) -> None:
    """No NaN, no +inf, and some finite entry in every row."""
    not_empty(name, array, "the categories")
    not_nan(name, array)
    if can_look(array):
        hint = "An excluded value has logit -inf; for a certain value, exclude the others."
        _refuse_unless(array < math.inf, array, name, "below +inf everywhere", hint)
        largest = array.max(-1) if not is_tensor(array) else array.amax(-1)
        _refuse_unless(largest > -math.inf, largest, f"{name}.max(-1)", "finite", "Every value is excluded.")


def covariance(name: str, matrix: Array, eps: float | None = None) -> None:
    """Square in its last two axes, finite, symmetric to rounding, with variances > 0 on the diagonal.

    `eps` is that of the precision in which the matrix came; None: the one it has.
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(
            f"Expected `{name}` to be square in its last two axes, but got shape {tuple(matrix.shape)}."
            " For independent coordinates use DiagonalNormal(loc, scale)."
        )
    not_empty(name, matrix, "the coordinates")
    finite(name, matrix)
    if can_look(matrix):
        variances = diagonal(matrix)
        _refuse_unless(variances > 0, variances, f"diagonal of {name}", "> 0 everywhere", "These are variances.")
        scale = variances**0.5
        allowed = (_eps(matrix) if eps is None else eps) ** 0.5 * scale[..., :, None] * scale[..., None, :]
        hint = "If only rounding is to blame, pass (A + A.T) / 2."
        _refuse_unless(abs(matrix - transpose(matrix)) <= allowed, matrix, name, "symmetric", hint)


def positive_definite(name: str, smallest_eigenvalue: float) -> ValueError:
    """The error for a covariance without a Cholesky factor; the caller has tried and raises it."""
    return ValueError(
        f"Expected `{name}` to be positive definite, but got a smallest eigenvalue of {smallest_eigenvalue:.3g}."
        " Are two coordinates the same up to a linear map? Add the noise's variance to the diagonal."
    )


def category(name: str, array: Array, size: int) -> None:
    """Integers from 0 to size - 1."""
    if can_look(array):
        low, high = _range(array)
        if not (low >= 0 and high < size) and 0 not in array.shape:
            _refuse_unless(
                (array >= 0) & (array < size), array, name, f"between 0 and {size - 1}", "Categories count from 0."
            )


def _refuse_unless(good: Array, array: Array, name: str, rule: str, hint: str) -> None:
    """Raise unless the mask `good` is True everywhere; point at the first entry of `array` where it is not."""
    if bool(good.all()):
        return
    bad = ~np.asarray(good)
    if bad.ndim == 0:
        got = _number(array)
    else:
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        more = f", and {int(bad.sum()) - 1} more such" if bad.sum() > 1 else ""
        got = f"{_number(array[index])} at index {index} of shape {bad.shape}{more}"
    raise ValueError(f"Expected `{name}` to be {rule}, but got {got}.{' ' if hint else ''}{hint}")


def _number(entry: Array) -> str:
    value = entry.item()
    return repr(float(f"{value:.7g}")) if isinstance(value, float) else repr(value)


def _sums_up(array: Array, right: Callable[[float], bool], each: Callable[[Array], Array]) -> bool:
    """Is the sum of a tensor `right`, or `each` entry of an array?

    A NaN or an infinity makes the sum one too; a sum that merely overflows is cleared by the mask.
    """
    if is_tensor(array):
        return right(float(array.detach().sum()))
    return bool(np.logical_and.reduce(each(array), axis=None))


def _range(array: Array) -> tuple[float, float]:
    """The least and the largest entry, both NaN if one is NaN; (1, 1) of an empty array."""
    if 0 in array.shape:
        return 1.0, 1.0
    if is_tensor(array):
        low, high = array.detach().aminmax()
    else:
        low, high = np.minimum.reduce(array, axis=None), np.maximum.reduce(array, axis=None)
    return float(low), float(high)


def _eps(array: Array) -> float:
    return float(namespace(array).finfo(array.dtype).eps)


# ---------------------------------------------------------------------------------------------------------- shapes


def broadcastable(**arrays: Array) -> Shape:
    """The common shape of the named arrays."""
    shapes = [tuple(array.shape) for array in arrays.values()]
    if shapes.count(shapes[0]) == len(shapes):
        return shapes[0]
    longest = max(shapes, key=len)
    if all(shape == longest[len(longest) - len(shape) :] for shape in shapes):  # most often; NumPy takes its time
        return longest
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        names = " and ".join(f"`{name}`" for name in arrays)
        listed = " and ".join(str(shape) for shape in shapes)
        raise ValueError(
            f"Expected {names} to have shapes that broadcast, but got {listed}."
            " Axes are matched from the right; two sizes must agree, or one of them be 1."
        ) from None


def last_axis(name: str, array: Array, holds: str) -> None:
    """There is a last axis, which holds the event or the categories."""
    if array.ndim == 0:
        raise ValueError(f"Expected `{name}` to have a last axis, which holds {holds}, but got a single number.")


def not_empty(name: str, array: Array, holds: str) -> None:
    """The last axis, which holds the event or the categories, has at least one entry."""
    if array.shape[-1] == 0:
        raise ValueError(
            f"Expected `{name}` to have a last axis of at least one entry, which holds {holds}, but got shape"
            f" {tuple(array.shape)}. Is a mask empty?"
        )


def agree(**arrays: Array) -> None:
    """One of the named arrays has the common shape of all: none is spread against another, (n,) against (n, 1)."""
    shapes = [tuple(array.shape) for array in arrays.values()]
    if all(shape == shapes[0] for shape in shapes):
        return
    common = broadcastable(**arrays)
    if common not in shapes:
        names = " and ".join(f"`{name}`" for name in arrays)
        raise ValueError(
            f"Expected {names} to have one shape, but got {' and '.join(map(str, shapes))}, which would make {common}."
            " Drop or add an axis of size 1: a[:, 0] or a[:, None]."
        )


def event_size(name: str, array: Array, size: int) -> None:
    """The last axis is as long as the event."""
    if array.ndim == 0 or array.shape[-1] != size:
        raise ValueError(f"Expected `{name}` to have a last axis of size {size}, but got shape {tuple(array.shape)}.")


# ------------------------------------------------------------------------------------------------------ generators


def generator(rng: Any, parameter: Array) -> None:
    """A NumPy Generator beside NumPy parameters, a torch Generator beside tensors."""
    if is_tensor(parameter):
        expected: Any = sys.modules["torch"].Generator
        kind, make, parameters = "torch.Generator", "torch.Generator().manual_seed(0)", "tensors"
    else:
        expected = np.random.Generator
        kind, make, parameters = "numpy.random.Generator", "numpy.random.default_rng(0)", "NumPy arrays"
    if not isinstance(rng, expected):
        raise TypeError(
            f"Expected `rng` to be a {kind}, since the parameters are {parameters}, but got"
            f" {type(rng).__module__}.{type(rng).__qualname__}. Make one with {make}."
        )
