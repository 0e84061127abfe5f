r"""Numbers, vectors and matrices with batch axes in front: what a part of a formula is worth.

Each enclosing sum or integral adds one batch axis, of length 1 where a value does not depend on it. So
`r^\top W M^{-1} W^\top r` and an expectation within an expectation are array operations, and what makes no sense is
refused in words: a number added to a vector, the logarithm of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gamma

from vaelib.derivation.lines import IllTyped

Array = np.ndarray
_KIND = {0: "a number", 1: "a vector", 2: "a matrix"}


@dataclass(frozen=True, eq=False)
class Typed:
    """A value.

    Args:
        data: shape (*batch, *event); the event has `rank` axes.
        rank: 0 for a number, 1 for a vector, 2 for a matrix.
        row: a vector that was transposed.
        identity: a multiple of the identity, whose size is that of what it meets; `data` is the multiple.
        first: the index of its first entry.
    """

    data: Array
    rank: int = 0
    row: bool = False
    identity: bool = False
    first: int = 1

    @property
    def depth(self) -> int:
        """How many batch axes there are."""
        return self.data.ndim - (0 if self.identity else self.rank)

    @property
    def event(self) -> tuple[int, ...]:
        return self.data.shape[self.depth :]

    @property
    def kind(self) -> str:
        return "a row vector" if self.row else _KIND[self.rank]

    def lift(self, depth: int) -> Typed:
        """With axes of length 1 for the sums and integrals inside which it is used."""
        missing = depth - self.depth
        if missing <= 0:
            return self
        shape = self.data.shape
        lifted = self.data.reshape((*shape[: self.depth], *[1] * missing, *shape[self.depth :]))
        return Typed(lifted, self.rank, self.row, self.identity, self.first)


def constant(value: Any) -> Typed:
    """A number, a vector or a matrix without batch axes, as its number of axes says; what is typed stays as it is."""
    if isinstance(value, Typed):
        return value
    data = np.asarray(value, dtype=float) if np.asarray(value).dtype.kind not in "iu" else np.asarray(value)
    if data.ndim > 2:
        raise TypeError(f"Expected a number, a vector or a matrix, but got an array of shape {data.shape}.")
    return Typed(data, data.ndim)


def from_zero(entries: Any) -> Typed:
    """A vector whose entries are counted from 0, such as the coefficients of a polynomial."""
    return Typed(np.asarray(entries), 1, first=0)


def number(data: Any) -> Typed:
    """Numbers, one for each batch entry."""
    return Typed(np.asarray(data))


IDENTITY = Typed(np.asarray(1.0), 2, identity=True)


def same_depth(*values: Typed) -> list[Typed]:
    depth = max(value.depth for value in values)
    return [value.lift(depth) for value in values]


def _with(a: Typed, data: Array) -> Typed:
    """Other numbers of the same kind."""
    return Typed(data, a.rank, a.row, a.identity, a.first)


def add(a: Typed, b: Typed) -> Typed:
    """a + b, of the same kind."""
    a, b = same_depth(a, b)
    if a.rank != b.rank or a.row != b.row:
        raise IllTyped(f"Expected two summands of the same kind, but got {a.kind} and {b.kind}.")
    if a.identity and b.identity:
        return _with(a, a.data + b.data)
    if a.identity or b.identity:
        a, b = _sized(a, b), _sized(b, a)
    _same_size(a, b, "added")
    return _with(a, np.add(a.data, b.data))


def negative(a: Typed) -> Typed:
    return _with(a, -a.data)


def multiply(a: Typed, b: Typed) -> Typed:
    """a b: a multiple, an inner product of row and column, an outer one of column and row, a matrix product."""
    a, b = same_depth(a, b)
    if a.rank == 0 or b.rank == 0:
        scalar, other = (a, b) if a.rank == 0 else (b, a)
        axes = 0 if other.identity else other.rank
        return _with(other, times(scalar.data.reshape((*scalar.data.shape, *[1] * axes)), other.data))
    if a.identity or b.identity:
        unit, other = (a, b) if a.identity else (b, a)
        axes = 0 if other.identity else other.rank
        return _with(other, unit.data.reshape((*unit.data.shape, *[1] * axes)) * other.data)
    kinds = (a.rank, b.rank)
    if kinds == (2, 2):
        _inner(a, b)
        return _with(a, a.data @ b.data)
    if kinds == (2, 1) and not b.row:
        _inner(a, b)
        return _with(b, (a.data @ b.data[..., None])[..., 0])
    if kinds == (1, 2) and a.row:
        _inner(a, b)
        return _with(a, (a.data[..., None, :] @ b.data)[..., 0, :])
    if kinds == (1, 1) and a.row and not b.row:
        _inner(a, b)
        return Typed(np.sum(a.data * b.data, axis=-1))
    if kinds == (1, 1) and b.row and not a.row:
        return Typed(a.data[..., :, None] * b.data[..., None, :], 2)
    raise IllTyped(
        f"Expected a product that is defined, but got {a.kind} times {b.kind}. Is a transpose missing, as in a^T b?"
    )


def times(a: Array, b: Array) -> Array:
    """Products of numbers, in which 0 times infinity is 0: a weight of 0 ends all."""
    result = np.multiply(a, b)
    if np.isnan(result).any():
        dead = ((a == 0) & ~np.isnan(b)) | ((b == 0) & ~np.isnan(a))
        result = np.where(dead, 0.0, result)
    return result


def divide(a: Typed, b: Typed) -> Typed:
    """a / b for a number b."""
    if b.rank != 0:
        raise IllTyped(f"Expected a number below a fraction, but got {b.kind}. A matrix is inverted, M^-1.")
    a, b = same_depth(a, b)
    axes = 0 if a.identity else a.rank
    return _with(a, np.divide(a.data, b.data.reshape((*b.data.shape, *[1] * axes))))


def power(a: Typed, exponent: Typed) -> Typed:
    """a to the power of a number; of a matrix, whole powers and the symmetric root."""
    a, exponent = same_depth(a, exponent)
    if exponent.rank:
        raise IllTyped(f"Expected a number as an exponent, but got {exponent.kind}.")
    if a.rank == 0:
        return Typed(np.power(a.data.astype(float), exponent.data))
    n = exponent.data.reshape(-1)[0]
    if a.rank == 2 and exponent.data.size == 1 and n == int(n):
        if a.identity:
            return _with(a, np.power(a.data.astype(float), n))
        _square(a, "raised to a power")
        try:
            return _with(a, np.linalg.matrix_power(a.data, int(n)))
        except np.linalg.LinAlgError:
            raise IllTyped("Expected a matrix that can be inverted, but got a singular one.") from None
    if a.rank == 2 and exponent.data.size == 1 and n == 0.5 and not a.identity:
        return _root(a)
    raise IllTyped(
        f"Expected a number to be raised to a power, but got {a.kind} to the power {float(n):g}. "
        "The square of a vector is r^T r or its squared norm."
    )


def transpose(a: Typed) -> Typed:
    if a.rank == 1:
        return Typed(a.data, 1, not a.row)
    if a.identity or a.rank == 0:
        return a
    return _with(a, np.swapaxes(a.data, -1, -2))


def apply(f: Callable[..., Any], name: str, a: Typed) -> Typed:
    """A function of a number."""
    if a.rank:
        raise IllTyped(f"Expected {name} to be taken of a number, but got {a.kind}.")
    return Typed(np.asarray(f(a.data)))


def factorial(a: Typed, step: int) -> Typed:
    """n!, or n!! if `step` is 2; (-1)!! is 1."""
    if a.rank:
        raise IllTyped(f"Expected a number before {'!' * step}, but got {a.kind}.")
    n = np.asarray(a.data, dtype=float)
    if (wrong := n[(n != np.round(n)) | (n < 1 - step)]).size:
        raise IllTyped(f"Expected whole numbers from {1 - step} before {'!' * step}, but got {wrong[0]:g}.")
    if step == 1:
        return Typed(gamma(n + 1))
    odd = np.where(n % 2 == 1, np.sqrt(2 / np.pi), 1.0)
    return Typed(odd * 2 ** (n / 2) * gamma(n / 2 + 1))


def log_det(a: Typed) -> tuple[Typed, Array]:
    """log |det a| and the sign of det a."""
    if a.rank != 2 or a.identity:
        size = " of a size that nothing says" if a.identity else ""
        raise IllTyped(f"Expected the determinant of a matrix, but got {a.kind}{size}.")
    _square(a, "given to det")
    sign, log = np.linalg.slogdet(a.data)
    return Typed(log), sign


def trace(a: Typed) -> Typed:
    if a.rank != 2 or a.identity:
        size = " of a size that nothing says" if a.identity else ""
        raise IllTyped(f"Expected the trace of a matrix, but got {a.kind}{size}.")
    _square(a, "given to tr")
    return Typed(np.trace(a.data, axis1=-2, axis2=-1))


def diagonal(a: Typed) -> Typed:
    """A diagonal matrix of a vector; of a matrix, what is left when all off its diagonal is set to 0."""
    if a.rank == 2 and not a.identity:
        _square(a, "given to diag")
        return Typed(a.data * np.eye(a.data.shape[-1]), 2)
    if a.rank != 1:
        raise IllTyped(f"Expected diag of a vector or a matrix, but got {a.kind}.")
    return Typed(a.data[..., :, None] * np.eye(a.data.shape[-1]), 2)


def norm(a: Typed) -> Typed:
    if a.rank != 1:
        raise IllTyped(f"Expected the length of a vector, but got double bars around {a.kind}.")
    return Typed(np.sqrt(np.sum(a.data**2, axis=-1)))


def stack(values: list[Typed]) -> Typed:
    """The entries of a list as one vector; vectors and matrices in it are laid out in a row."""
    if any(value.identity for value in values):
        raise IllTyped("Expected entries of a known size, but got the identity alone.")
    values = same_depth(*values)
    batch = np.broadcast_shapes(*(value.data.shape[: value.depth] for value in values))
    flat = [np.broadcast_to(v.data, (*batch, *v.event)).reshape((*batch, -1)) for v in values]
    return Typed(np.concatenate(flat, axis=-1), 1)


def entry(a: Typed, indices: list[Typed], what: str) -> Typed:
    """Entries of a vector (one index) or of a matrix (two; one takes a row), counted from 1, or from `first`."""
    if a.identity:
        raise IllTyped(f"Expected {what} to have a known size, but it is the identity alone.")
    if len(indices) > a.rank:
        raise IllTyped(f"Expected {what} to have as many indices as axes, but it is {a.kind}.")
    depth = max(a.depth, *(i.depth for i in indices))
    a = a.lift(depth)
    positions = [np.asarray(i.lift(depth).data) for i in indices]
    for position, size in zip(positions, a.event, strict=False):
        if (broken := position[~np.isfinite(position) | (position != np.round(position))]).size:
            raise IllTyped(f"Expected a whole number as an index of {what}, but got {broken[0]}.")
        last = a.first + size - 1
        if position.size and (position.min() < a.first or position.max() > last):
            wrong = int(position.max() if position.max() > last else position.min())
            raise IllTyped(f"Expected an index of {what} from {a.first} to {last}, but got {wrong}.")
    batch = np.broadcast_shapes(a.data.shape[:depth], *(p.shape for p in positions))
    data = np.broadcast_to(a.data, (*batch, *a.event))
    grid = list(np.ogrid[tuple(slice(n) for n in batch)])
    data = data[(*grid, *(np.broadcast_to(p, batch).astype(int) - a.first for p in positions))]
    return Typed(data, a.rank - len(positions))


def _sized(a: Typed, like: Typed) -> Typed:
    """The identity at the size of the other summand."""
    if not a.identity:
        return a
    _square(like, "added to the identity")
    return Typed(a.data[..., None, None] * np.eye(like.event[-1]), 2)


def _root(a: Typed) -> Typed:
    """The symmetric root of a symmetric matrix; NaN where an eigenvalue is negative."""
    _square(a, "under a root")
    if not np.allclose(a.data, np.swapaxes(a.data, -1, -2), rtol=1e-9, atol=1e-12):
        raise IllTyped("Expected a symmetric matrix under a root, but got one that is not.")
    values, vectors = np.linalg.eigh(a.data)
    return Typed((vectors * np.sqrt(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2), 2)


def _square(a: Typed, what: str) -> None:
    if len(a.event) == 2 and a.event[0] != a.event[1]:
        raise IllTyped(f"Expected a square matrix {what}, but got shape {a.event}.")


def _same_size(a: Typed, b: Typed, what: str) -> None:
    if a.event != b.event:
        raise IllTyped(f"Expected two of one size to be {what}, but got {a.kind} of shape {a.event} and {b.event}.")


def _inner(a: Typed, b: Typed) -> None:
    left, right = a.event[-1], b.event[0]
    if left != right:
        raise IllTyped(f"Expected sizes that fit in a product, but got shapes {a.event} and {b.event}.")
