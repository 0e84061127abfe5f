"""NumPy arrays and torch tensors alike: the namespace is resolved once, by the type of the arguments.

torch is never imported here. A tensor can only come from a caller who has imported it, so it is looked up among the
loaded modules.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import scipy.special


def is_tensor(value: Any) -> bool:
    """True for a torch tensor (parameters and subclasses too)."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def namespace(*values: Any) -> ModuleType:
    """torch if a value is a tensor, else NumPy. Only functions that both know by one name are called on it."""
    return sys.modules["torch"] if any(is_tensor(value) for value in values) else np


def special(*values: Any) -> ModuleType:
    """torch.special or scipy.special, which share the names gammaln, digamma, erf, xlogy, expit, ..."""
    return namespace(*values).special if any(is_tensor(value) for value in values) else scipy.special


def as_arrays(*values: Any) -> tuple[Any, ...]:
    """Floating-point arrays of one kind: float64 arrays, or tensors as soon as one value is a tensor.

    Numbers, lists and NumPy arrays beside a tensor take its dtype and device. Integer tensors become floating.
    """
    floating = None
    for value in values:
        if is_tensor(value) and (floating is None or not floating.is_floating_point()):
            floating = value
    if floating is None:
        return tuple(np.asarray(value, dtype=np.float64) for value in values)
    torch = sys.modules["torch"]
    dtype = floating.dtype if floating.is_floating_point() else torch.get_default_dtype()
    return tuple(_as_tensor(torch, value, dtype, floating.device) for value in values)


def _as_tensor(torch: Any, value: Any, dtype: Any, device: Any) -> Any:
    if is_tensor(value):
        return value if value.is_floating_point() else value.to(dtype)
    if isinstance(value, (int, float)):
        return torch.full((), value, dtype=dtype, device=device)  # filled on the device: nothing is copied to it
    return torch.as_tensor(value, dtype=dtype, device=device)


def as_integers(index: Any, like: Any) -> Any:
    """`index` as an array of integers of the kind (NumPy or torch) and on the device of `like`; the dtype is kept."""
    if is_tensor(like):
        return index if is_tensor(index) else sys.modules["torch"].as_tensor(index, device=like.device)
    return np.asarray(index)


def broadcast(*arrays: Any) -> tuple[Any, ...]:
    """Arrays of one kind, broadcast against each other (views, nothing is copied)."""
    if all(array.shape == arrays[0].shape for array in arrays):
        return arrays
    if is_tensor(arrays[0]):
        return tuple(sys.modules["torch"].broadcast_tensors(*arrays))
    return np.broadcast_arrays(*arrays)


def broadcast_to(array: Any, shape: tuple[int, ...]) -> Any:
    """`array` seen at `shape` (a view)."""
    return array if tuple(array.shape) == shape else namespace(array).broadcast_to(array, shape)


def take_along_last(array: Any, index: Any) -> Any:
    """array[..., index[...]] for an integer index of shape array.shape[:-1]."""
    if is_tensor(array):
        return array.gather(-1, index.long()[..., None])[..., 0]
    return np.take_along_axis(array, index[..., None], axis=-1)[..., 0]


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Elementwise choice. A number beside a tensor takes its dtype."""
    return namespace(condition, yes, no).where(condition, yes, no)


def transpose(matrix: Any) -> Any:
    """The last two axes exchanged."""
    return matrix.swapaxes(-1, -2)


def diagonal(matrix: Any) -> Any:
    """The diagonal of the last two axes."""
    return matrix.diagonal(0, -2, -1)


def diagonal_matrix(entries: Any) -> Any:
    """(..., d) -> (..., d, d) with `entries` on the diagonal and zeros elsewhere."""
    size = entries.shape[-1]
    if is_tensor(entries):
        return sys.modules["torch"].diag_embed(entries)
    return entries[..., None] * np.eye(size)


def solve_lower(factor: Any, right: Any) -> Any:
    """factor^-1 right for a lower-triangular `factor` (..., d, d) and `right` (..., d, k), batches broadcast.

    NumPy has no triangular solver; forward substitution is row-wise exact to rounding whatever the scales of the rows,
    which a general solver with pivoting is not.
    """
    if is_tensor(right):
        return sys.modules["torch"].linalg.solve_triangular(factor, right, upper=False)
    batch = np.broadcast_shapes(factor.shape[:-2], right.shape[:-2])
    solution = np.zeros(batch + right.shape[-2:])
    for i in range(factor.shape[-1]):
        known = factor[..., i : i + 1, :i] @ solution[..., :i, :]  # (..., 1, k)
        solution[..., i, :] = (right[..., i, :] - known[..., 0, :]) / factor[..., i, i, None]
    return solution


def detached(array: Any) -> Any:
    """`array` without its history, so that a sample is data and carries no gradient."""
    return array.detach() if is_tensor(array) else array
