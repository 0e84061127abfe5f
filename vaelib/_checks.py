"""Argument checks, and the one place where their messages are worded.

Every message says what was expected, what came, where, and the likely cause. Shapes are always checked. Values are
checked for NumPy arrays and for tensors on the CPU in eager mode: under compilation a look at a value breaks the
graph, on a GPU it makes the host wait.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from vaelib._arrays import diagonal, is_tensor, namespace, transpose

Shape = tuple[int, ...]


# ---------------------------------------------------------------------------------------------------------- values


def can_look(array: Any) -> bool:
    """May a check look at the values of `array`?"""
    if not is_tensor(array):
        return True
    return array.device.type == "cpu" and not sys.modules["torch"].compiler.is_compiling()


def require(good: Any, array: Any, name: str, rule: str, hint: str = "") -> None:
    """Refuse `array` unless the mask `good` is True everywhere; the message points at the first bad entry."""
    try:
        if bool(good.all()):
            return
        mask = ~np.asarray(good)
        values = array.detach().numpy() if is_tensor(array) else np.asarray(array)
    except RuntimeError:  # under torch.func.vmap and the like a tensor has no values to look at
        return
    raise ValueError(f"Expected `{name}` to be {rule}, but got {_first(mask, values)}.{_cause(hint)}")


def _first(mask: Any, values: Any) -> str:
    if mask.ndim == 0:
        return f"{values.item()}"
    index = tuple(int(i) for i in np.argwhere(mask)[0])
    more = int(mask.sum()) - 1
    others = f" (and {more} more)" if more else ""
    return f"{values[index].item()} at index {index} of shape {mask.shape}{others}"


def _cause(hint: str) -> str:
    return f" {hint}" if hint else ""


def finite(name: str, array: Any, hint: str = "") -> None:
    """Every entry is a finite number."""
    if can_look(array):
        require(namespace(array).isfinite(array), array, name, "finite everywhere", hint)


def not_nan(name: str, array: Any, hint: str = "") -> None:
    """No entry is NaN; infinities pass."""
    if can_look(array):
        require(array == array, array, name, "a number everywhere", hint)


def positive(name: str, array: Any, hint: str = "") -> None:
    """Every entry is finite and > 0."""
    if can_look(array):
        require((array > 0) & (array < float("inf")), array, name, "finite and > 0 everywhere", hint)


def binary(name: str, array: Any, hint: str = "") -> None:
    """Every entry is 0 or 1."""
    if can_look(array):
        require((array == 0) | (array == 1), array, name, "0 or 1 everywhere", hint)


def in_unit_interval(name: str, array: Any, hint: str = "") -> None:
    """Every entry is strictly between 0 and 1."""
    if can_look(array):
        require((array > 0) & (array < 1), array, name, "strictly between 0 and 1", hint)


def simplex(name: str, array: Any) -> None:
    """Entries are >= 0 and sum to 1 along the last axis (to 1e-8, or to 100 eps in single precision)."""
    event_axis(name, array)
    if not can_look(array):
        return
    require((array >= 0) & (array <= 1.0 + 1e-4), array, name, "probabilities, between 0 and 1")
    tolerance = max(1e-8, 100 * float(namespace(array).finfo(array.dtype).eps))
    total = array.sum(-1)
    require(abs(total - 1.0) <= tolerance, total, f"{name}.sum(-1)", "1", "Divide the table by its sum.")


def some_finite(name: str, logits: Any) -> None:
    """Logits of a table: no NaN, no +inf, and not every entry -inf."""
    if not can_look(logits):
        return
    require(logits < float("inf"), logits, name, "a number below +inf everywhere", "An impossible value has -inf.")
    possible = (logits > -float("inf")).any(-1)
    require(possible, possible, f"any({name} > -inf)", "true in every row", "Some value must be possible.")


def covariance(name: str, matrix: Any) -> None:
    """Square in the last two axes, finite, symmetric to rounding."""
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(
            f"Expected `{name}` to be square in its last two axes, but got shape {tuple(matrix.shape)}."
            " Did you pass a scale? Use DiagonalNormal(loc, scale)."
        )
    if not can_look(matrix):
        return
    finite(name, matrix)
    require(diagonal(matrix) > 0, diagonal(matrix), f"{name}'s diagonal", "> 0 everywhere", "It holds variances.")
    eps = float(namespace(matrix).finfo(matrix.dtype).eps)
    scale = abs(diagonal(matrix)) ** 0.5
    gap = abs(matrix - transpose(matrix))
    tolerance = eps**0.5 * scale[..., :, None] * scale[..., None, :]
    require(gap <= tolerance, matrix, name, "symmetric", "Symmetrize it, (A + A.T) / 2, if rounding is the cause.")


# ---------------------------------------------------------------------------------------------------------- shapes


def broadcastable(**arrays: Any) -> Shape:
    """The common shape of the named arrays; an error names every shape."""
    shapes = [tuple(array.shape) for array in arrays.values()]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        names = " and ".join(f"`{name}`" for name in arrays)
        listed = " and ".join(str(shape) for shape in shapes)
        raise ValueError(
            f"Expected {names} to have shapes that broadcast, but got {listed}."
            " Axes are compared from the right; each pair must be equal, or one of them 1."
        ) from None


def event_axis(name: str, array: Any) -> None:
    """There is a last axis to hold the event."""
    if array.ndim < 1:
        raise ValueError(
            f"Expected `{name}` to have at least one axis (the last one is the event), but got a scalar."
            " For a batch of scalars use Normal."
        )


def event_size(name: str, array: Any, size: int) -> None:
    """The last axis of `array` has the size of the event."""
    if array.ndim < 1 or array.shape[-1] != size:
        raise ValueError(f"Expected `{name}` to have a last axis of size {size}, but got shape {tuple(array.shape)}.")


def integer(name: str, array: Any) -> None:
    """An array of integers."""
    kind = str(array.dtype).removeprefix("torch.")
    if not kind.startswith(("int", "uint")):
        raise TypeError(f"Expected `{name}` to hold integers (which category, from 0), but got dtype {kind}.")


def index_below(name: str, array: Any, size: int) -> None:
    """0 <= entry < size."""
    if can_look(array):
        require((array >= 0) & (array < size), array, name, f"between 0 and {size - 1}", "Categories count from 0.")


# ------------------------------------------------------------------------------------------------------ generators


def generator(rng: Any, parameters: Any) -> None:
    """A NumPy Generator for NumPy parameters, a torch Generator for tensors."""
    torch = sys.modules.get("torch")
    expected = torch.Generator if is_tensor(parameters) and torch is not None else np.random.Generator
    if not isinstance(rng, expected):
        kind = "torch.Generator" if is_tensor(parameters) else "numpy.random.Generator"
        how = "torch.Generator().manual_seed(0)" if is_tensor(parameters) else "numpy.random.default_rng(0)"
        raise TypeError(
            f"Expected `rng` to be a {kind}, as the parameters are {'tensors' if is_tensor(parameters) else 'NumPy arrays'},"
            f" but got {type(rng).__module__}.{type(rng).__qualname__}. Make one with {how}."
        )
