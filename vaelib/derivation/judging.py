"""Whether a relation holds between two values, and what can be said where that is not clear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vaelib.derivation.compare import (
    BEST,
    CARRIED,
    INEQUALITIES,
    MIN_ENTRIES,
    RELATIONS,
    Z_THRESHOLD,
    Comparison,
    Value,
    Verdict,
    minus,
    size_of,
    total_allowance,
)
from vaelib.derivation.rounding import EPS


def judge(relation: str, above: Value, below: Value, relative: bool = False) -> Comparison:
    """Does `above relation below` hold, at every entry? A scalar is compared with each entry of an array.

    What breaks by no more than rounding can explain is inconclusive, unless accuracy `relative` to the values is asked.
    Where not all copies of a witness were looked at, they are as soon as they might make a difference.
    """
    if above.value.shape != below.value.shape and above.value.ndim and below.value.ndim:
        raise ValueError(
            f"Expected two lines of the same shape (or one number), but got shapes {above.value.shape} and "
            f"{below.value.shape}. Was an axis summed in one line only?"
        )
    result = _judge(relation, above, below)
    if above.moved is not None or below.moved is not None:
        if _is_clear(result, relation, above, below):
            return result
        above, below = above.settled(), below.settled()
        result = _judge(relation, above, below)
    if result.verdict is not Verdict.BROKEN or relative or above.sampled or below.sampled:
        return result
    if _too_far(result, above, below):
        return result
    again = _judge(relation, above.blurred(), below.blurred())
    if again.verdict is Verdict.BROKEN:
        return result
    digits = int(-np.log10(max(result.error / result.scale, EPS)))
    note = f"they agree to {digits} digits; the rest looks like rounding"
    return replace(result, verdict=Verdict.INCONCLUSIVE, note=note)


def _is_clear(result: Comparison, relation: str, above: Value, below: Value) -> bool:
    """Whether the verdict stays what it is if the copies that nobody looked at move the lines by far more."""
    both = above.cautious(), below.cautious()
    if result.verdict is Verdict.HOLDS and relation in ("=", ">=", "<=") and all(v.coarse is None for v in both):
        widest = sum(float(np.max(v.allowance)) for v in both)
        if widest <= max(v.resolves for v in both) and not (above.sampled or below.sampled):
            return True  # what holds goes on to hold with more allowance, if that is within the resolution
    again = _judge(relation, *both)
    return again.verdict is result.verdict and (result.verdict is Verdict.HOLDS or _too_far(result, above, below))


def _too_far(result: Comparison, above: Value, below: Value) -> bool:
    """Whether two values are too far apart for rounding, whatever the jumps."""
    far = result.error > 4 * max(above.resolves, below.resolves) * result.scale
    return result.verdict is Verdict.BROKEN and (far or result.error != result.error)


def _judge(relation: str, above: Value, below: Value) -> Comparison:
    if relation in BEST:
        return _judge_best(relation, above, below)
    if relation in MIN_ENTRIES:
        return _judge_constant(relation, above, below)
    if relation not in RELATIONS:
        raise KeyError(relation)
    with np.errstate(all="ignore"):
        gap = minus(above, below)
        difference, allowance = gap.value, total_allowance(gap)
        size = np.abs(difference)
        both = np.broadcast_arrays(above.value, below.value)
        undecided = np.isinf(both[0]) & (both[0] == both[1]) & (not (above.infinite or below.infinite))
        if undecided.all():
            note = "both sides are the same infinity at every entry, which decides nothing"
            return Comparison(Verdict.INCONCLUSIVE, note=note, decides=False)
        margin = -difference if relation in ("<=", "<") else difference  # by how much an inequality holds
        bad = {
            "=": ~(size <= allowance),
            "!=": ~(size > allowance),
            ">=": ~(margin >= -allowance),
            "<=": ~(margin >= -allowance),
            ">": ~(margin > allowance),
            "<": ~(margin > allowance),
        }[relation]
        ordered = relation in INEQUALITIES
        error = np.where(bad, size, 0.0) if relation == "!=" else np.maximum(-margin, 0) if ordered else size
        result = _summary(
            bad & ~undecided,
            (size <= allowance) & ~undecided,
            np.where(undecided, 0.0, error),
            allowance,
            np.maximum(*(size_of(value) for value in both)),
            gap,
            margin if ordered else None,
        )
        if result.verdict is Verdict.BROKEN and relation in (">", "<", "!=") and np.all(size[bad] <= allowance[bad]):
            return replace(result, note=f"`{relation}` is strict, but here the two sides agree up to rounding")
    return result


def _judge_constant(relation: str, above: Value, below: Value) -> Comparison:
    """Is the difference (of the logarithms, for `proportional`) the same at every entry?

    Where both sides are the same infinity, the difference says nothing: such entries agree with any constant.
    """
    with np.errstate(all="ignore"):
        if relation == "proportional":
            if not (np.all(above.value > 0) and np.all(below.value > 0)):
                note = "`proportional` compares densities: values must be > 0"
                return Comparison(Verdict.BROKEN, np.inf, 0.0, note=note)
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
        scale = np.maximum(size_of(difference.value), size_of(np.broadcast_to(above.value, shape)))
        bad = ~(error <= allowance)
        return _summary(bad, ~bad & ~open_entries, error, allowance, scale, difference)


def _judge_best(relation: str, above: Value, below: Value) -> Comparison:
    """Is the same entry the best one? A constant difference proves it; another best entry refutes it.

    Between the two, where the difference is not constant and yet the same entry of those shown is best, nothing is
    shown: further entries might tell.
    """
    result = _judge_constant(relation, above, below)
    if result.verdict is not Verdict.BROKEN or np.isnan(result.error):
        return result
    word, sign = BEST[relation]
    shape = np.broadcast_shapes(above.value.shape, below.value.shape)
    best = [_within_reach_of_the_least(side, sign, shape) for side in (above, below)]
    if np.any(best[0] & best[1]):
        note = f"not shown: the difference is not constant, but of these {best[0].size} the same one is {word}"
        return replace(result, verdict=Verdict.INCONCLUSIVE, note=note)
    return replace(result, note=f"another one is {word}")


def _within_reach_of_the_least(side: Value, sign: float, shape: tuple[int, ...]) -> np.ndarray:
    """The entries that may be the least one (the largest, for sign -1), as far as the allowances tell them apart."""
    value = np.broadcast_to(sign * side.value, shape)
    reach = np.broadcast_to(total_allowance(side), shape)
    return value - reach <= np.min(value + reach)


def _logarithm(value: Value) -> Value:
    """log of a positive value; errors become relative, and the allowance is final."""
    return replace(
        value,
        value=np.log(value.value),
        allowance=value.allowance / value.value,
        standard_error=None if value.standard_error is None else value.standard_error / value.value,
        coarse=None if value.coarse is None else np.log(value.coarse),
        jumps=None,
        moved=None,
        thorough=None,
    )


def _summary(
    bad: np.ndarray,
    small: np.ndarray,
    error: np.ndarray,
    allowance: np.ndarray,
    scale: np.ndarray,
    difference: Value,
    margin: np.ndarray | None = None,
) -> Comparison:
    """The verdict over all entries, and the entry with the largest ratio among those that decide it.

    Where the difference is `small` (within the allowance) and the allowance beyond the resolution, nothing is decided;
    nor where one sample carries the variance. A sampled difference is reported as |z| against the threshold. Of an
    inequality that holds, the entry with the least `margin` is reported.
    """
    sampled, too_wide = difference.sampled, small & (allowance > difference.resolves * scale)
    carried = np.zeros(bad.shape) if difference.carried is None else np.broadcast_to(difference.carried, bad.shape)
    unclear = too_wide | (carried > CARRIED)
    broken = bad & ~unclear
    verdict = Verdict.BROKEN if broken.any() else Verdict.INCONCLUSIVE if unclear.any() else Verdict.HOLDS
    where = broken if broken.any() else unclear if unclear.any() else np.ones(bad.shape, bool)
    ratio = np.where(error == 0, 0.0, error / np.where(allowance > 0, allowance, np.finfo(float).tiny))
    note = ""
    if sampled:
        if verdict is Verdict.INCONCLUSIVE:
            note = _without_power(unclear, carried, allowance, difference.resolves)
        error, allowance = Z_THRESHOLD * ratio, np.full(bad.shape, Z_THRESHOLD)
    order = np.nan_to_num(ratio, nan=np.inf)
    if margin is not None:
        order = np.where(error == 0, -np.nan_to_num(margin, nan=-np.inf), order)
    flat = int(np.argmax(np.where(where, order, -np.inf)))
    index = tuple(int(i) for i in np.unravel_index(flat, bad.shape)) if bad.ndim else ()
    return Comparison(
        verdict,
        float(error.reshape(-1)[flat]),
        float(allowance.reshape(-1)[flat]),
        index,
        note,
        sampled,
        slack=None if margin is None else float(margin.reshape(-1)[flat]),
        scale=float(np.broadcast_to(scale, bad.shape).reshape(-1)[flat]),
    )


def _without_power(unclear: np.ndarray, carried: np.ndarray, allowance: np.ndarray, resolution: float) -> str:
    """Why a sample mean decides nothing."""
    share = float(np.max(np.where(unclear, carried, 0.0)))
    if share > CARRIED:
        return (
            f"one sample carries {share:.0%} of the variance, so that neither the mean nor its error can be relied on: "
            "is the variance finite?"
        )
    widest = float(np.max(np.where(unclear, allowance, 0.0)))
    return (
        f"too few samples: {Z_THRESHOLD} standard errors are {widest:.2g}, and a difference of {resolution:g} (times "
        "the value, where that is larger than 1) should be seen"
    )
