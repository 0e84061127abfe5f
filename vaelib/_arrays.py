"""NumPy arrays and torch tensors alike: the namespace is resolved once, by the type of the arguments.

torch is never imported here. A tensor can only come from a caller who has imported torch, so torch is looked up among
the loaded modules. Where NumPy and torch know a function by one name, callers take it from `namespace` (or `special`);
the few that differ are bridged below. How values become arrays is the business of `vaelib._door`.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import scipy.special

Array = Any  # a NumPy array or a torch tensor
Shape = tuple[int, ...]


def is_tensor(value: Any) -> bool:
    """True for a torch tensor, a parameter of a network included."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def namespace(*values: Any) -> Any:
    """torch if any value is a tensor, otherwise NumPy."""
    return sys.modules["torch"] if any(is_tensor(value) for value in values) else np


def special(*values: Any) -> Any:
    """torch.special or scipy.special, which share the names gammaln, digamma, erf, expit and more."""
    return sys.modules["torch"].special if any(is_tensor(value) for value in values) else scipy.special


def is_single(array: Array) -> bool:
    """True for a tensor of less than double precision. NumPy arrays are double here, always."""
    return is_tensor(array) and array.dtype != sys.modules["torch"].float64


def to_double(array: Array) -> Array:
    """A tensor in double precision."""
    return array.to(sys.modules["torch"].float64)


def broadcast(*arrays: Array) -> tuple[Array, ...]:
    """Arrays of one kind, broadcast against each other: views, nothing is copied."""
    if all(array.shape == arrays[0].shape for array in arrays):
        return arrays
    if is_tensor(arrays[0]):
        return tuple(sys.modules["torch"].broadcast_tensors(*arrays))
    return tuple(np.broadcast_arrays(*arrays))


def broadcast_to(array: Array, shape: Shape) -> Array:
    """`array` seen at `shape`: a view."""
    return array if tuple(array.shape) == shape else namespace(array).broadcast_to(array, shape)


def where(condition: Array, yes: Any, no: Any) -> Array:
    """Elementwise choice; a NumPy scalar where everything is a scalar."""
    if is_tensor(condition):
        return sys.modules["torch"].where(condition, yes, no)
    return np.where(condition, yes, no)[()]


def detach(array: Array) -> Array:
    """`array` without its history: data, which carries no gradient."""
    return array.detach() if is_tensor(array) else array


# --------------------------------------------------------------------------------------------- along the last axes


def take_along_last(array: Array, index: Array) -> Array:
    """array[..., index[...]], for an integer `index` of shape array.shape[:-1]."""
    if is_tensor(array):
        return array.gather(-1, index.long()[..., None])[..., 0]
    return np.take_along_axis(array, index[..., None], axis=-1)[..., 0]


def positions(size: int, like: Array) -> Array:
    """0, 1, ..., size - 1, integers of the kind and on the device of `like`."""
    return sys.modules["torch"].arange(size, device=like.device) if is_tensor(like) else np.arange(size)


def is_largest(array: Array) -> Array:
    """One-hot mask of the largest entry along the last axis; the first of several equal ones."""
    return positions(array.shape[-1], like=array) == array.argmax(-1)[..., None]


def transpose(matrix: Array) -> Array:
    """The last two axes swapped."""
    return matrix.swapaxes(-1, -2)


def diagonal(matrix: Array) -> Array:
    """(..., d, d) -> (..., d)."""
    return matrix.diagonal(0, -2, -1)


def diagonal_matrix(entries: Array) -> Array:
    """(..., d) -> (..., d, d), zero off the diagonal."""
    if is_tensor(entries):
        return sys.modules["torch"].diag_embed(entries)
    return entries[..., None] * np.eye(entries.shape[-1])


def matvec(matrix: Array, vector: Array) -> Array:
    """(..., m, d), (..., d) -> (..., m), batches broadcast."""
    if matrix.ndim == 2:
        return vector @ matrix.T  # one product for the whole batch
    return (matrix @ vector[..., None])[..., 0]


def solve_lower(factor: Array, right: Array) -> Array:
    """factor^-1 right, for a lower-triangular `factor` (..., d, d) and `right` (..., d, k), batches broadcast.

    NumPy has no triangular solver. Forward substitution is as accurate as the rows are, whatever their scales; a
    general solver exchanges rows, and a wide range of scales then costs digits.
    """
    if is_tensor(right):
        return sys.modules["torch"].linalg.solve_triangular(factor, right, upper=False)
    solution = np.zeros((*np.broadcast_shapes(factor.shape[:-2], right.shape[:-2]), *right.shape[-2:]))
    for i in range(factor.shape[-1]):
        known = factor[..., i : i + 1, :i] @ solution[..., :i, :]  # (..., 1, k)
        solution[..., i, :] = (right[..., i, :] - known[..., 0, :]) / factor[..., i, i, None]
    return solution


def solve_lower_vector(factor: Array, vector: Array) -> Array:
    """factor^-1 vector, for (..., d, d) and (..., d), batches broadcast."""
    if factor.ndim == 2:  # one factor for the whole batch: its vectors are the columns of one right-hand side
        columns = vector.reshape(-1, vector.shape[-1]).T
        return solve_lower(factor, columns).T.reshape(vector.shape)
    return solve_lower(factor, vector[..., None])[..., 0]
