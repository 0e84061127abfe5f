"""The verdict on an estimator: it is called many times, and mean and spread of what it returns are compared exactly."""

from __future__ import annotations

import numpy as np

from vaelib._compare import Z_THRESHOLD
from vaelib.agreement import ask, fitted
from vaelib.feedback import Feedback, at, looks_like, not_yet, number, right
from vaelib.reply import Reply, Respondent, Seed
from vaelib.task import Law, Sample

Array = np.ndarray


def sampled(task: Sample, answer: Respondent, seed: int) -> Feedback:
    cases = []
    for index, question in enumerate(task.examples):
        values = []
        for repeat in range(task.repeats):
            rng = Seed(int(np.random.default_rng([seed, index, repeat]).integers(2**62)))
            asked = question | {"rng": rng}
            reply = fitted(ask(answer, asked), np.array(0.0))
            if repeat == 0 and not _same_again(reply, ask(answer, asked)):
                where = "Two calls with equal Generators gave different values."
                then = "Draw from the Generator that is handed over, and from no other."
                return not_yet(where, then=then, case=asked)
            if isinstance(reply.value, str) or reply.value.shape != ():
                got = "a word" if isinstance(reply.value, str) else f"shape {reply.value.shape}"
                return not_yet(f"Expected one number, but got {got}{at(question)}.", then=task.next, case=asked)
            values.append(float(reply.value))
        cases.append((question, np.array(values)))
    if all(agrees(values, task.law(**question)) for question, values in cases):
        return right(task, _calls(task))
    question, sample = next(case for case in cases if not agrees(case[1], task.law(**case[0])))
    case = question | {"rng": Seed(int(np.random.default_rng([seed, 0, 0]).integers(2**62)))}
    broken = np.count_nonzero(~np.isfinite(sample))
    if broken:
        where = f"{broken} of {len(sample)} calls gave NaN or infinity{at(question)}."
        return not_yet(where, then=task.next, case=case)
    law = task.law(**question)
    mean, deviation = sample.mean(), sample.std(ddof=1)
    where = (
        f"Over {len(sample)} calls its mean is {number(mean)} and its standard deviation {number(deviation)}, "
        f"expected {number(law.mean)} and {number(law.deviation)}{at(question)}."
    )
    for mistake in task.mistakes:
        if all(agrees(values, mistake.value(**question)) for question, values in cases):
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
    return f"Mean and standard deviation agree{where}, as closely as {task.repeats} calls can tell."
