"""Two values with their allowances, and the verdict on a relation between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from vaelib.estimate import Estimate

EPS = float(np.finfo(float).eps)
NUM_COPIES = 4  # perturbed copies of a witness
PERTURBATION = 4 * EPS  # relative change of every float in a copy
SAFETY = 16  # an allowance is this many times the largest change seen
ROUNDING = 64 * EPS  # and this, relative to the value
RESOLUTION = 1e-6  # an allowance beyond this (relative to max(1, |value|)) decides nothing
Z_THRESHOLD = 4.5  # two-sided probability 7e-6 under the normal law
ORDER_SLACK = 1.5  # the error at half the step may be this many times error / 2^order

RELATIONS = ("=", ">=", "<=", ">", "<", "!=", "proportional", "same_argmin")
MIN_ENTRIES = {"proportional": 2, "same_argmin": 5}


class Verdict(Enum):
    """What a check says about a line. It has no truth value: four outcomes do not fit into two."""

    HOLDS = "holds"
    BROKEN = "broken"
    INCONCLUSIVE = "inconclusive"
    NOT_JUDGED = "not judged"

    def __bool__(self) -> bool:
        raise TypeError(
            f"Expected a comparison such as `verdict is Verdict.HOLDS`, but got the verdict '{self.value}' used as "
            "true or false. For an assert, use `report.holds`."
        )

    def __str__(self) -> str:
        return self.value


SEVERITY = (Verdict.HOLDS, Verdict.NOT_JUDGED, Verdict.INCONCLUSIVE, Verdict.BROKEN)


def worst_verdict(verdicts: list[Verdict]) -> Verdict:
    """Broken before inconclusive before not judged before holds."""
    return max(verdicts, key=SEVERITY.index, default=Verdict.HOLDS)


def compose(relations: list[str]) -> str | None:
    """The relation of the first to the last of a chain, or None: `>=` then `<=` proves nothing."""
    result: str | None = "="
    for relation in relations:
        result = _compose_two(result, relation)
    return result


def _compose_two(first: str | None, second: str) -> str | None:
    if first is None or first == "=":
        return None if first is None else second
    if second == "=" or (first == second and first != "!="):
        return first
    for weak, strict in ((">=", ">"), ("<=", "<")):
        if {first, second} == {weak, strict}:
            return strict
    return None


@dataclass(frozen=True)
class Value:
    """What a line evaluates to on one witness.

    `allowance` bounds the error of a deterministic value; `standard_error` is there for a sample mean only;
    `coarse` and `order` for a value that depends on a step size (`value` is at half the step of `coarse`).
    """

    value: np.ndarray
    allowance: np.ndarray
    standard_error: np.ndarray | None = None
    coarse: np.ndarray | None = None
    order: int | None = None

    @property
    def sampled(self) -> bool:
        return self.standard_error is not None


@dataclass(frozen=True)
class Comparison:
    """The verdict on one pair of values, with the entry that has the largest ratio of error to allowance."""

    verdict: Verdict
    error: float = 0.0
    allowance: float = 0.0
    index: tuple[int, ...] = ()
    note: str = ""
    sampled: bool = False  # then the error is |z|, and the allowance its threshold

    @property
    def ratio(self) -> float:
        """error / allowance; 0 for an exact agreement, infinite (or NaN made infinite) where nothing is allowed."""
        if self.error == 0:
            return 0.0
        ratio = self.error / self.allowance if self.allowance > 0 else np.inf
        return float(ratio) if ratio == ratio else np.inf

    @property
    def severity(self) -> tuple[int, float]:
        """Sorts comparisons: by verdict, then by ratio."""
        return SEVERITY.index(self.verdict), self.ratio


def perturbed(item: Any, rng: np.random.Generator) -> Any:
    """A copy in which every float is changed by a random relative 4 eps; integers, strings and functions stay."""
    if isinstance(item, (bool, int, str)) or item is None:
        return item
    if isinstance(item, (float, np.floating)):
        return float(item) * (1 + PERTURBATION * rng.uniform(-1, 1))
    if isinstance(item, np.ndarray) and np.issubdtype(item.dtype, np.floating):
        return item * (1 + PERTURBATION * rng.uniform(-1, 1, item.shape))
    if isinstance(item, (tuple, list)):
        entries = [perturbed(entry, rng) for entry in item]
        return item._make(entries) if hasattr(item, "_make") else type(item)(entries)
    if isinstance(item, dict):
        return {key: perturbed(entry, rng) for key, entry in item.items()}
    if is_dataclass(item) and not isinstance(item, type):
        return replace(item, **{f.name: perturbed(getattr(item, f.name), rng) for f in fields(item) if f.init})
    return item


def measure(evaluate: Callable[[Any], Any], witness: Any, copies: list[Any]) -> Value:
    """Value of a line, and its allowance: 16 x the largest change over the copies + 64 eps |value| + its own error."""
    with np.errstate(all="ignore"):
        result = evaluate(witness)
        if result is None:
            raise TypeError("Expected a line to return a number or an array, but got None. Is a `return` missing?")
        if isinstance(result, str) or np.iscomplexobj(result):
            raise TypeError(f"Expected a line to return real numbers, but got {result!r}.")
        estimate = result if isinstance(result, Estimate) else Estimate(result)
        value = np.asarray(estimate.value, dtype=float)
        if value.size == 0:
            raise ValueError(f"Expected a line with at least one entry, but got shape {value.shape}. Is a mask empty?")
        error = np.broadcast_to(np.asarray(estimate.error, dtype=float), value.shape)
        rounding = ROUNDING * np.where(np.isfinite(value), np.abs(value), 0.0)
        if estimate.num_samples is not None:
            return Value(value, rounding, standard_error=error)
        change = np.zeros(value.shape)
        for copy in copies:
            moved = evaluate(copy)
            moved = np.asarray(moved.value if isinstance(moved, Estimate) else moved, dtype=float)
            if moved.shape != value.shape:
                raise ValueError(
                    f"Expected the same shape on every copy of a witness, but got {value.shape} and {moved.shape}. "
                    "Does the line draw at random, or branch on a rounding error?"
                )
            change = np.maximum(change, np.nan_to_num(np.where(moved == value, 0.0, np.abs(moved - value)), nan=np.inf))
        return Value(value, SAFETY * change + rounding + error)


def minus(above: Value, below: Value) -> Value:
    """The difference of two values (0 where both are the same infinity), with all that may be wrong about it."""

    def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.where(a == b, 0.0, a - b)

    both = (above, below)
    variances = [v.standard_error**2 for v in both if v.standard_error is not None]
    orders = [v.order for v in both if v.order is not None]
    value = difference(above.value, below.value)
    return Value(
        value,
        above.allowance + below.allowance + np.zeros(value.shape),
        np.sqrt(sum(variances)) if variances else None,
        difference(*(v.value if v.coarse is None else v.coarse for v in both)) if orders else None,
        min(orders, default=None),
    )


def total_allowance(difference: Value) -> np.ndarray:
    """What a difference may be by error alone: allowance, 4.5 standard errors, what a step of this order leaves."""
    allowance = difference.allowance
    if difference.standard_error is not None:
        allowance = allowance + Z_THRESHOLD * difference.standard_error
    if difference.coarse is not None and difference.order is not None:
        allowance = allowance + ORDER_SLACK * np.abs(difference.coarse) / 2**difference.order
    return allowance


def judge(relation: str, above: Value, below: Value, resolution: float = RESOLUTION) -> Comparison:
    """Does `above relation below` hold, at every entry? A scalar is compared with each entry of an array."""
    a, b = above.value, below.value
    if a.shape != b.shape and a.ndim and b.ndim:
        raise ValueError(
            f"Expected two lines of the same shape (or one number), but got shapes {a.shape} and {b.shape}. "
            "Was an axis summed in one line only?"
        )
    with np.errstate(all="ignore"):
        if relation in MIN_ENTRIES:
            return _judge_constant(relation, above, below, resolution)
        gap = minus(above, below)
        difference, allowance = gap.value, total_allowance(gap)
        size = np.abs(difference)
        bad = {
            "=": ~(size <= allowance),
            "!=": ~(size > allowance),
            ">=": ~(difference >= -allowance),
            "<=": ~(difference <= allowance),
            ">": ~(difference > allowance),
            "<": ~(difference < -allowance),
        }[relation]
        error = {
            "=": size,
            "!=": np.where(bad, size, 0.0),
            ">=": np.maximum(-difference, 0),
            ">": np.maximum(-difference, 0),
            "<=": np.maximum(difference, 0),
            "<": np.maximum(difference, 0),
        }[relation]
        result = _summary(bad, size <= allowance, error, allowance, _scale(a, b), gap.sampled, resolution)
    if relation in (">", "<", "!=") and result.verdict is Verdict.BROKEN and np.all(size[bad] <= allowance[bad]):
        return replace(result, note=f"`{relation}` is strict, but here the two sides agree up to rounding")
    return result


def _judge_constant(relation: str, above: Value, below: Value, resolution: float) -> Comparison:
    """Is the difference (of the logarithms, for `proportional`) the same at every entry?

    Where both sides are the same infinity, the difference says nothing: such entries agree with any constant.
    """
    if relation == "proportional":
        if not (np.all(above.value > 0) and np.all(below.value > 0)):
            return Comparison(Verdict.BROKEN, np.inf, 0.0, note="`proportional` compares densities: values must be > 0")
        above, below = _logarithm(above), _logarithm(below)
    shape = np.broadcast_shapes(above.value.shape, below.value.shape)
    open_entries = np.broadcast_to(np.isinf(above.value) & (above.value == below.value), shape)
    entries = int(np.sum(~open_entries))
    if entries < MIN_ENTRIES[relation]:
        raise ValueError(
            f"Expected a line with at least {MIN_ENTRIES[relation]} entries for `{relation}`, but got {entries}. "
            "Evaluate it at several points: one difference is always constant."
        )
    difference = minus(above, below)
    allowance = total_allowance(difference)
    reference = np.unravel_index(int(np.argmin(np.where(open_entries, np.inf, allowance))), shape)
    error = np.where(open_entries, 0.0, np.abs(difference.value - difference.value[reference]))
    allowance = allowance + allowance[reference]
    scale = _scale(difference.value, above.value)
    bad = ~(error <= allowance)
    return _summary(bad, ~bad & ~open_entries, error, allowance, scale, difference.sampled, resolution)


def _logarithm(value: Value) -> Value:
    """log of a positive value; errors become relative."""
    return Value(
        np.log(value.value),
        value.allowance / value.value,
        None if value.standard_error is None else value.standard_error / value.value,
        None if value.coarse is None else np.log(value.coarse),
        value.order,
    )


def _scale(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """max(1, |a|, |b|), 1 where infinite: what a resolution is relative to."""
    return np.maximum(1, np.nan_to_num(np.maximum(np.abs(a), np.abs(b)), posinf=1.0, nan=1.0))


def _summary(
    bad: np.ndarray,
    small: np.ndarray,
    error: np.ndarray,
    allowance: np.ndarray,
    scale: np.ndarray,
    sampled: bool,
    resolution: float,
) -> Comparison:
    """The verdict over all entries, and the entry with the largest ratio among those that decide it.

    Where the difference is `small` (within the allowance) and the allowance beyond the resolution, nothing is decided.
    A sampled difference is reported as |z| against the threshold.
    """
    unclear = small & (allowance > resolution * scale) & (not sampled)
    broken = bad & ~unclear
    verdict = Verdict.BROKEN if broken.any() else Verdict.INCONCLUSIVE if unclear.any() else Verdict.HOLDS
    where = broken if broken.any() else unclear if unclear.any() else np.ones(bad.shape, bool)
    ratio = np.where(error == 0, 0.0, error / np.where(allowance > 0, allowance, np.finfo(float).tiny))
    if sampled:
        error, allowance = Z_THRESHOLD * ratio, np.full(bad.shape, Z_THRESHOLD)
    ratio = np.where(where, np.nan_to_num(ratio, nan=np.inf), -1.0)
    flat = int(np.argmax(ratio))
    index = tuple(int(i) for i in np.unravel_index(flat, ratio.shape)) if ratio.ndim else ()
    error, allowance = error.reshape(-1)[flat], allowance.reshape(-1)[flat]
    return Comparison(verdict, float(error), float(allowance), index, sampled=sampled)
