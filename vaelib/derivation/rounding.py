"""What rounding may do to a line: copies of a witness that differ in the last digits, and how far a line jumps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

EPS = float(np.finfo(float).eps)
NUM_COPIES = 4  # perturbed copies of a witness
WALKS = (1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2)  # relative step of a walk away from the witness
STEPS = range(-4, 5)
_SPREAD = {4: float(np.sqrt(70)), 6: float(np.sqrt(924))}  # of a difference of independent errors, by its order
STILL = 4 * EPS  # the jump, relative to max(1, |value|), of a line that did not move at all


def perturbed(item: Any, rng: np.random.Generator, size: float = 0.0, times: float = 1.0) -> Any:
    """A copy in which every float is changed by a random relative amount; integers, strings and functions stay.

    The amount is up to `times` the larger of `size` and 4 eps of the float's own precision.
    """

    def amount(precision: Any) -> float:
        return times * max(size, 4 * float(np.finfo(precision).eps))

    if isinstance(item, (bool, int, str)) or item is None:
        return item
    if isinstance(item, (float, np.floating)):
        precision = item.dtype if isinstance(item, np.floating) else float
        return type(item)(float(item) * (1 + amount(precision) * rng.uniform(-1, 1)))
    if isinstance(item, np.ndarray) and np.issubdtype(item.dtype, np.floating):
        return (item * (1 + amount(item.dtype) * rng.uniform(-1, 1, item.shape))).astype(item.dtype, copy=False)
    if isinstance(item, (tuple, list)):
        entries = [perturbed(entry, rng, size, times) for entry in item]
        return item._make(entries) if hasattr(item, "_make") else type(item)(entries)
    if isinstance(item, dict):
        return {key: perturbed(entry, rng, size, times) for key, entry in item.items()}
    if is_dataclass(item) and not isinstance(item, type):
        moved = {f.name: perturbed(getattr(item, f.name), rng, size, times) for f in fields(item) if f.init}
        return replace(item, **moved)
    return item


class Copies(Sequence[Any]):
    """Perturbed copies of a witness, each made when it is first asked for.

    Example:
        Copies(witness, np.random.default_rng(0))[1]
    """

    def __init__(self, witness: Any, rng: np.random.Generator, number: int = NUM_COPIES) -> None:
        self._witness, self._rng, self._number = witness, rng, number
        self._made: list[Any] = []

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self._number:
            raise IndexError(f"Expected a copy from 0 to {self._number - 1}, but got {index}.")
        while len(self._made) <= index:
            self._made.append(perturbed(self._witness, self._rng))
        return self._made[index]


def jumps(
    evaluate: Callable[[Any], np.ndarray], witness: Any, prepare: Callable[[Sequence[Any]], None] | None = None
) -> np.ndarray:
    """The size of a line's jumps, entry by entry, as its inputs walk away from the witness in small equal steps.

    A smooth function has next to no differences of order six over nine steps; what is left is rounding (More and Wild
    2011, "Estimating computational noise"). Walks of six lengths see it whether a jump comes with each change of the
    last digit or once in many. Differences that shrink with their order belong to a curve, and so do wild ones on a
    long walk after smooth ones on a shorter: neither counts. A line that does not move on any walk, because its inputs
    drown in something larger, may be off by as much as the last digits of a number near one.
    """
    with np.errstate(all="ignore"):
        value = np.asarray(evaluate(witness), dtype=float)
        found, rate, still = np.zeros(value.shape), np.zeros(value.shape), np.ones(value.shape, bool)
        for length, size in enumerate(WALKS):
            ways = [_way(witness, size, (length, side)) for side in range(2)]
            if prepare is not None:
                prepare([copy for way in ways for copy in way])
            walks = [_along_a_walk(evaluate, way, value) for way in ways]
            slopes = []
            for values in walks:
                if values is None:
                    continue
                jump, of_lower_order = (_size_of_differences(values, order) for order in (6, 4))
                reach = np.ptp(values, axis=0)
                wild = (jump > 0.05 * reach) & (rate * size > 0.03 * reach)  # the curve alone would go that far
                found = np.where((jump >= of_lower_order / 2) & ~wild, np.fmax(found, jump), found)
                slopes.append(np.where(jump < 0.01 * reach, reach / size, 0.0))
                still &= np.all(values == values[0], axis=0)
            rate = np.maximum.reduce([rate, *slopes])
        return np.where(still, STILL * np.maximum(1.0, np.abs(value)), found)


def _way(witness: Any, size: float, key: tuple[int, ...]) -> list[Any]:
    """Copies at equal steps to both sides of a witness, in one direction; none if those would not be witnesses."""
    try:
        return [perturbed(witness, np.random.default_rng(key), size, times) for times in STEPS if times]
    except (ValueError, ArithmeticError):  # a table that does not sum to one
        return []


def _along_a_walk(evaluate: Callable[[Any], np.ndarray], way: Sequence[Any], value: np.ndarray) -> np.ndarray | None:
    """The values along a way, that of the witness in the middle; None if there is no way."""
    try:
        values = [np.asarray(evaluate(copy), dtype=float) for copy in way]
        return np.stack([*values[: len(way) // 2], value, *values[len(way) // 2 :]]) if way else None
    except (ValueError, ArithmeticError):
        return None


def _size_of_differences(values: np.ndarray, order: int) -> np.ndarray:
    return np.sqrt(np.mean((np.diff(values, n=order, axis=0) / _SPREAD[order]) ** 2, axis=0))
