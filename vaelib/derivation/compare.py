"""Relations and how they compose; a value with all that may be wrong about it; the outcome of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

from vaelib.derivation.rounding import EPS, jumps
from vaelib.estimate import Estimate

SAFETY = 16  # an allowance is this many times the largest change seen
CAUTION = 1000  # by how much the copies that nobody has looked at might have moved the line more than the first did
ROUNDING = 64  # and this many eps, relative to the value
RESOLUTION = 1e-6  # an allowance beyond this (relative to max(1, |value|)) decides nothing
COARSE_RESOLUTION = 1e-3  # the same where a line is computed in single precision
SAMPLED_RESOLUTION = 0.1  # the same for 4.5 standard errors of a sample mean
CARRIED = 0.2  # a sample mean decides nothing if one sample carries this share of its variance
Z_THRESHOLD = 4.5  # two-sided probability 7e-6 under the normal law
ORDER_SLACK = 1.5  # the error at half the step may be this many times error / 2^order


RELATIONS = ("=", ">=", "<=", ">", "<", "!=", "proportional", "up_to_constant", "same_argmin", "same_argmax")
INEQUALITIES = (">=", "<=", ">", "<")
BEST = {"same_argmin": ("least", 1.0), "same_argmax": ("largest", -1.0)}
MIN_ENTRIES = {"proportional": 2, "up_to_constant": 2, "same_argmin": 5, "same_argmax": 5}


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
    for weak in BEST:  # what differs by a constant has the same best entry
        if {first, second} == {"up_to_constant", weak}:
            return weak
    for weak, strict in ((">=", ">"), ("<=", "<")):
        if {first, second} == {weak, strict}:
            return strict
    return None


@dataclass(frozen=True)
class Value:
    """What a line evaluates to on one witness.

    `allowance` bounds the error of a deterministic value; `standard_error` is there for a sample mean only;
    `coarse` and `order` for a value that depends on a step size (`value` is at half the step of `coarse`). `carried` is
    the share of a sample's variance that one sample carries. An allowance beyond the `resolution` (relative to
    max(1, |value|)) decides nothing. `infinite` says that an infinity is meant. `jumps` measures how the value jumps by
    rounding, when that is asked. Where only some copies of the witness were looked at, `moved` is the part of the
    allowance that these account for, and `thorough` the allowance by all of them, when that is asked.
    """

    value: np.ndarray
    allowance: np.ndarray
    standard_error: np.ndarray | None = None
    coarse: np.ndarray | None = None
    order: int | None = None
    carried: np.ndarray | None = None
    resolution: float | None = None
    infinite: bool = False
    jumps: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)
    moved: np.ndarray | None = None
    thorough: Callable[[], np.ndarray] | None = field(default=None, repr=False, compare=False)

    @property
    def sampled(self) -> bool:
        return self.standard_error is not None

    @property
    def resolves(self) -> float:
        """The resolution, or what is usual for a value of this kind."""
        if self.resolution is not None:
            return self.resolution
        return SAMPLED_RESOLUTION if self.sampled else RESOLUTION

    def cautious(self) -> Value:
        """The same if the other copies move the line by far more than those that were looked at."""
        if self.moved is None:
            return self
        return replace(self, allowance=self.allowance + (CAUTION - 1) * self.moved)

    def settled(self) -> Value:
        """The same with all copies looked at."""
        if self.thorough is None:
            return self
        return replace(self, allowance=self.thorough(), moved=None, thorough=None)

    def blurred(self) -> Value:
        """The same with an allowance for its jumps, as far as the resolution goes."""
        if self.jumps is None:
            return self
        most = self.resolves * size_of(self.value)
        return replace(self, allowance=self.allowance + np.fmin(SAFETY * self.jumps(), most))


@dataclass(frozen=True)
class Comparison:
    """The verdict on one pair of values, with the entry that has the largest ratio of error to allowance."""

    verdict: Verdict
    error: float = 0.0
    allowance: float = 0.0
    index: tuple[int, ...] = ()
    note: str = ""
    sampled: bool = False  # then the error is |z|, and the allowance its threshold
    slack: float | None = None  # of an inequality: by how much it holds, negative where it does not
    decides: bool = True  # False where both sides are the same infinity throughout
    scale: float = 1.0  # max(1, |above|, |below|): what a resolution is relative to

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


def measure(
    evaluate: Callable[[Any], Any],
    witness: Any,
    copies: Sequence[Any],
    nearby: Callable[[Any], Any] | None = None,
    hasty: bool = False,
    prepare: Callable[[Sequence[Any]], None] | None = None,
) -> Value:
    """Value of a line, and its allowance: 16 x the largest change over the copies + 64 eps |value| + its own error.

    Args:
        evaluate: witness -> the line there, an Estimate if it has its own error.
        copies: witnesses that differ from this one by rounding.
        nearby: the same as `evaluate` where its error is not asked, if that is quicker.
        prepare: computes what `nearby` then knows, for several witnesses at once.
        hasty: go no further than the first copy that moves the line; `Value.settled` looks at the others.
    """
    nearby = nearby or evaluate
    with np.errstate(all="ignore"):
        result = evaluate(witness)
        if result is None:
            raise TypeError("Expected a line to return a number or an array, but got None. Is a `return` missing?")
        if isinstance(result, str) or np.iscomplexobj(result):
            raise TypeError(f"Expected a line to return real numbers, but got {result!r}.")
        estimate = result if isinstance(result, Estimate) else Estimate(result)
        given = np.asarray(estimate.value if isinstance(result, Estimate) else result)
        single = given.dtype.kind == "f" and given.dtype.itemsize < 8
        value = given.astype(float)
        if value.size == 0:
            raise ValueError(f"Expected a line with at least one entry, but got shape {value.shape}. Is a mask empty?")
        error = np.broadcast_to(np.asarray(estimate.error, dtype=float), value.shape)
        eps = float(np.finfo(given.dtype).eps) if single else EPS
        rounding = ROUNDING * eps * np.where(np.isfinite(value), np.abs(value), 0.0)
        if estimate.num_samples is not None:
            return Value(value, rounding, standard_error=error)
        seen = 0
        change = np.zeros(value.shape)
        while seen < len(copies) and not (hasty and change.any()):
            change = np.maximum(change, _change(nearby, copies[seen], value))
            seen += 1

        def thorough() -> np.ndarray:
            with np.errstate(all="ignore"):
                every = [change, *(_change(nearby, copies[k], value) for k in range(seen, len(copies)))]
                return np.asarray(SAFETY * np.maximum.reduce(every) + rounding + error)

        return Value(
            value,
            SAFETY * change + rounding + error,
            resolution=COARSE_RESOLUTION if single else None,
            jumps=cache(lambda: jumps(lambda w: _plain(nearby(w)), witness, prepare)),
            moved=SAFETY * change if seen < len(copies) else None,
            thorough=cache(thorough) if seen < len(copies) else None,
        )


def _change(evaluate: Callable[[Any], Any], copy: Any, value: np.ndarray) -> np.ndarray:
    """By how much a line moves from its value to that on a copy of the witness."""
    moved = _plain(evaluate(copy))
    if moved.shape != value.shape:
        raise ValueError(
            f"Expected the same shape on every copy of a witness, but got {value.shape} and {moved.shape}. "
            "Does the line draw at random, or branch on a rounding error?"
        )
    change = np.where(moved == value, 0.0, np.abs(moved - value))
    return np.where(change == change, change, np.inf)


def _plain(result: Any) -> np.ndarray:
    return np.asarray(result.value if isinstance(result, Estimate) else result, dtype=float)


def minus(above: Value, below: Value) -> Value:
    """The difference of two values (0 where both are the same infinity), with all that may be wrong about it."""

    def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.where(a == b, 0.0, a - b)

    both = (above, below)
    variances = [v.standard_error**2 for v in both if v.standard_error is not None]
    orders = [v.order for v in both if v.order is not None]
    shares = [v.carried for v in both if v.carried is not None]
    rough = [v.jumps for v in both if v.jumps is not None]
    moved = [v.moved for v in both if v.moved is not None]
    value = difference(above.value, below.value)

    def thorough() -> np.ndarray:
        return above.settled().allowance + below.settled().allowance + np.zeros(value.shape)

    return Value(
        value,
        above.allowance + below.allowance + np.zeros(value.shape),
        np.sqrt(sum(variances)) if variances else None,
        difference(*(v.value if v.coarse is None else v.coarse for v in both)) if orders else None,
        min(orders, default=None),
        np.maximum(*shares) if len(shares) == 2 else shares[0] if shares else None,
        max(above.resolves, below.resolves),
        jumps=(lambda: np.asarray(sum(part() for part in rough))) if rough else None,
        moved=np.asarray(sum(moved)) if moved else None,
        thorough=thorough if moved else None,
    )


def total_allowance(difference: Value) -> np.ndarray:
    """What a difference may be by error alone: allowance, 4.5 standard errors, what a step of this order leaves."""
    allowance = difference.allowance
    if difference.standard_error is not None:
        allowance = allowance + Z_THRESHOLD * difference.standard_error
    if difference.coarse is not None and difference.order is not None:
        allowance = allowance + ORDER_SLACK * np.abs(difference.coarse) / 2**difference.order
    return allowance


def size_of(value: np.ndarray) -> np.ndarray:
    """max(1, |value|), 1 where infinite: what a resolution is relative to."""
    size = np.abs(value)
    return np.where((size > 1) & (size < np.inf), size, 1.0)
