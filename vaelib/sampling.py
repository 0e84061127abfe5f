"""The verdict on an estimator: draw by draw where its draws are those of the right one, by mean and spread elsewhere.

Both are called with equal Generators. If the answer makes the same draws, each of its values must be the right one, and
a wrong value may be that of a known mistake. If it draws in another way, its values have the same law or they have
not: mean and spread of many calls are compared with the exact ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vaelib.agreement import COARSER, ROUGH, ask, distance, fitted
from vaelib.derivation.compare import Z_THRESHOLD
from vaelib.feedback import Feedback, at, looks_like, not_yet, number, plain_arguments, right, told_apart
from vaelib.reply import Reply, Respondent, Seed
from vaelib.task import Arguments, Law, Sample

Array = np.ndarray
PAIRED = 200  # calls on each case in which every value is compared with the right one
ALIKE_SOMEWHERE, ALIKE_EVERYWHERE = 0.95, 0.75  # correlations that only an estimator with the same draws has
POWER = 2.326  # deviations: with 99 % probability a normal number lies no farther below its mean


@dataclass
class Calls:
    """What an answer gave on one case, call after call; each has a Generator that can be made again."""

    question: Arguments
    seed: list[int]
    values: Array = field(default_factory=lambda: np.zeros(0))
    precision: str = "float64"

    def arguments(self, repeat: int) -> Arguments:
        return self.question | {"rng": Seed(int(np.random.default_rng([*self.seed, repeat]).integers(2**62)))}

    def extend(self, task: Sample, answer: Respondent, count: int) -> Feedback | None:
        """Calls the answer until there are `count` values; what is said if one is not a number."""
        values = list(self.values)
        for repeat in range(len(values), count):
            asked = self.arguments(repeat)
            reply = fitted(ask(answer, asked), np.array(0.0))
            if repeat == 0 and not _same_again(reply, ask(answer, asked)):
                where = "Two calls with equal Generators gave different values."
                then = "Draw from the Generator that is handed over, and from no other."
                return not_yet(where, then=then, case=asked)
            if isinstance(reply.value, str) or reply.value.shape != ():
                got = "a word" if isinstance(reply.value, str) else f"shape {reply.value.shape}"
                return not_yet(f"Expected one number, but got {got}{at(self.question)}.", then=task.next, case=asked)
            values.append(float(reply.value))
            self.precision = reply.precision
        self.values = np.array(values)
        broken = ~np.isfinite(self.values)
        if np.any(broken):
            where = f"{np.count_nonzero(broken)} of {count} calls gave NaN or infinity{at(self.question)}."
            return not_yet(where, then=task.next, case=self.arguments(int(np.argmax(broken))))
        return None

    def by(self, estimator: Callable[..., Any]) -> Array:
        """What an estimator of the task gives with the same Generators."""
        calls = (plain_arguments(self.arguments(repeat)) for repeat in range(len(self.values)))
        with np.errstate(all="ignore"):
            return np.array([float(estimator(**call)) for call in calls])

    def equal(self, values: Array) -> Array:
        """In which calls is the value this one, up to rounding?"""
        allowed = max(ROUGH, 1e-9 * COARSER.get(self.precision, 1.0))
        return np.array([distance(a, b) <= allowed for a, b in zip(self.values, values, strict=True)])


def sampled(task: Sample, answer: Respondent, seed: int) -> Feedback:
    cases = [Calls(question, [seed, index]) for index, question in enumerate(task.examples)]
    if task.made is not None:
        for case in cases:
            if (refused := case.extend(task, answer, min(PAIRED, task.repeats))) is not None:
                return refused
        if (verdict := _draw_by_draw(task, cases)) is not None:
            return verdict
    for case in cases:
        if (refused := case.extend(task, answer, task.repeats)) is not None:
            return refused
    return _by_law(task, cases)


def _draw_by_draw(task: Sample, cases: list[Calls]) -> Feedback | None:
    """The verdict where the answer makes the draws of the right estimator, or of a known mistake; otherwise None."""
    assert task.made is not None
    truths = [case.by(task.made) for case in cases]
    if all(np.all(case.equal(truth)) for case, truth in zip(cases, truths, strict=True)):
        return right(task, f"{len(cases) * len(truths[0])} calls gave the right value, draw by draw.")
    case, truth = next(
        (case, truth) for case, truth in zip(cases, truths, strict=True) if not np.all(case.equal(truth))
    )
    differs = case.arguments(int(np.argmin(case.equal(truth))))
    (mean, true_mean), (deviation, true_deviation) = (
        told_apart(f(case.values), f(truth)) for f in (np.mean, _deviation)
    )
    where = (
        f"Over {len(truth)} calls its mean is {mean} and its standard deviation {deviation}; with the same draws a "
        f"right answer has {true_mean} and {true_deviation}{at(case.question)}."
    )
    for mistake in task.mistakes:
        if mistake.made is not None and all(np.all(each.equal(each.by(mistake.made))) for each in cases):
            return looks_like(mistake, task, where, differs)
    alike = [_correlation(each.values, truth) for each, truth in zip(cases, truths, strict=True)]
    if max(alike) >= ALIKE_SOMEWHERE or min(alike) >= ALIKE_EVERYWHERE:
        means = "The draws are the right ones; what is computed from them is not."
        return not_yet(where, means, then=task.next, case=differs)
    return None


def _deviation(values: Array) -> Any:
    return values.std(ddof=1)


def _correlation(a: Array, b: Array) -> float:
    """0 where one of the two does not vary."""
    product = a.std() * b.std()
    return float(np.mean((a - a.mean()) * (b - b.mean())) / product) if product > 0 else 0.0


def _by_law(task: Sample, cases: list[Calls]) -> Feedback:
    if all(agrees(case.values, task.law(**case.question)) for case in cases):
        return right(task, _calls(task))
    calls = next(case for case in cases if not agrees(case.values, task.law(**case.question)))
    question, sample, case = calls.question, calls.values, calls.arguments(0)
    law = task.law(**question)
    mean, deviation = sample.mean(), _deviation(sample)
    where = (
        f"Over {len(sample)} calls its mean is {number(mean)} and its standard deviation {number(deviation)}, "
        f"expected {number(law.mean)} and {number(law.deviation)}{at(question)}."
    )
    for mistake in task.mistakes:
        if all(agrees(each.values, mistake.value(**each.question)) for each in cases):
            return looks_like(mistake, task, where, case)
    if deviation <= 1e-12 * max(1.0, abs(mean)) and law.deviation > 0:
        then = "Draw from the Generator that is handed over; it is another one each time."
        where = f"Every call gives the same value, {number(mean)}{at(question)}."
        return not_yet(where, then=then, case=case)
    return not_yet(where, _by_chance(law, len(sample)), then=task.next, case=case)


def _same_again(first: Reply, second: Reply) -> bool:
    if isinstance(first.value, str) or isinstance(second.value, str):
        return True
    return np.array_equal(first.value, fitted(second, first.value).value, equal_nan=True)


def z_scores(values: Array, law: Law) -> tuple[float, float]:
    """Of the mean and of the variance, each about N(0, 1) if the values have the law."""
    n = len(values)
    if law.deviation == 0:
        exact = np.all(np.abs(values - law.mean) <= 1e-9 * max(1.0, abs(law.mean)))
        return (0.0, 0.0) if exact else (np.inf, np.inf)
    mean = (values.mean() - law.mean) / (law.deviation / np.sqrt(n))
    spread = _relative_spread(law, n)
    ratio = np.cbrt(values.var(ddof=1) / law.deviation**2)  # Wilson and Hilferty: far more normal than the variance
    return float(mean), float((ratio - (1 - spread**2 / 9)) / (spread / 3))


def _relative_spread(law: Law, n: int) -> float:
    """Standard deviation of the variance of n values, relative to the variance itself."""
    return float(np.sqrt((law.kurtosis - (n - 3) / (n - 1)) / n))


def agrees(values: Array, law: Law) -> bool:
    return bool(np.all(np.isfinite(values))) and all(abs(z) <= Z_THRESHOLD for z in z_scores(values, law))


def least(law: Law, n: int) -> tuple[float, float]:
    """The least bias, in standard deviations, and the least excess of the deviation, that n calls find nearly always.

    With a probability of 99 %, that is, for a law of this kurtosis whose mean or deviation is off by so much.

    Example: least(Law(0.0, 1.0), 400) is about (0.34, 0.27)
    """
    bias = (Z_THRESHOLD + POWER) / np.sqrt(n)
    third, center = _relative_spread(law, n) / 3, 1 - _relative_spread(law, n) ** 2 / 9
    room = center - POWER * third
    factor = ((center + Z_THRESHOLD * third) / room) ** 1.5 if room > 0 else np.inf
    return float(bias), float(factor - 1)


def _by_chance(law: Law, n: int) -> str:
    """How far chance alone moves mean and standard deviation, in the numbers that the student has just read."""
    if law.deviation == 0:
        return "Every call must give the same value here."
    mean = Z_THRESHOLD * law.deviation / np.sqrt(n)
    spread = _relative_spread(law, n)
    low, high = (
        law.deviation * max(0.0, 1 - spread**2 / 9 + sign * Z_THRESHOLD * spread / 3) ** 1.5 for sign in (-1, 1)
    )
    return (
        f"Chance alone leaves the mean of {n} calls between {number(law.mean - mean, 3)} and "
        f"{number(law.mean + mean, 3)}, and their standard deviation between {number(low, 3)} and {number(high, 3)}."
    )


def _calls(task: Sample) -> str:
    cases = len(task.examples)
    where = f" in each of {cases} cases" if cases > 1 else ""
    found = [least(task.law(**question), task.repeats) for question in task.examples]
    bias, spread = (max(column) for column in zip(*found, strict=True))
    return (
        f"Mean and standard deviation agree{where}: {task.repeats} calls would nearly always show a mean that is off "
        f"by {bias:.2f} deviations, or a deviation that is {100 * spread:.0f} % too large."
    )
