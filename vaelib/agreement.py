"""Do a value and the truth agree? And is a wrong value that of a known mistake?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from vaelib.estimate import Estimate
from vaelib.feedback import plain_arguments
from vaelib.reply import Respondent
from vaelib.task import Compute
from vaelib.values import Arguments, NoReply, Reply, numbers_in

COARSER = {"float64": 1.0, "float32": 2e4}  # tolerances, relative to double precision
ROUGH = 1e-6  # what float32, or a good numerical search, leaves: enough where the digits are not the point
NEARLY = 1e-4  # near enough for the question whether precision is all that is missing
LOOKS_LIKE = 1e-6  # a mistake is recognized more generously than the truth


def ask(answer: Respondent, question: Arguments) -> Reply:
    """The reply; a NoReply notes what was asked."""
    try:
        return answer.ask(question)
    except NoReply as reason:
        reason.question = question
        raise


def expected(truth: Any, question: Arguments) -> Any:
    """The value of a truth, or of a mistake, for one question: a float64 array, or a word."""
    with np.errstate(all="ignore"), warnings.catch_warnings():  # whatever the student has set
        warnings.simplefilter("ignore")
        value = truth(**plain_arguments(question)) if callable(truth) else truth
    if isinstance(value, str):
        return value
    return np.asarray(value.value if isinstance(value, Estimate) else value, dtype=float)


def fitted(reply: Reply, truth: Any, typed: bool = False) -> Reply:
    """The reply in the form of the truth, where there is no doubt what is meant.

    That is: one number in brackets where a number is asked; and of an answer that was typed by hand, not returned by a
    function, the numbers of a text, and a column or a row where a list is asked. What a function returns in another
    shape is left as it is: there the shape is a part of the answer.
    """
    value = reply.value
    if isinstance(value, str):
        numbers = numbers_in(value) if typed else None
        return reply if numbers is None else fitted(replace(reply, value=numbers), truth, typed)
    if truth.ndim == 0 and value.size == 1:
        return replace(reply, value=value.reshape(()))
    if typed and truth.ndim == 1 and value.shape in ((1, truth.size), (truth.size, 1)):
        return replace(reply, value=value.ravel())
    return reply


def tolerance(task: Compute, question: Arguments, reply: Reply) -> float:
    """What the coarsest number deserves, of the reply and of what it was computed from."""
    given = [str(np.asarray(argument).dtype) for argument in plain_arguments(question).values()]
    coarser = max(COARSER.get(precision, 1.0) for precision in (reply.precision, *given))
    return min(task.tolerance * coarser, max(task.tolerance, 0.02))


def close(value: Any, truth: Any, relative: float) -> bool:
    """Every entry agrees: |value - truth| <= relative max(1, |truth|). NaN agrees with nothing."""
    return value.shape == truth.shape and distance(value, truth) <= relative


def distance(value: Any, truth: Any) -> float:
    """The largest |value - truth| / max(1, |truth|); infinite where NaN or only one infinity is involved."""
    same_infinity = np.isinf(truth) & (value == truth)
    with np.errstate(all="ignore"):
        apart = np.abs(value - truth) / np.maximum(1.0, np.abs(truth))
    apart = np.where(same_infinity, 0.0, np.where(np.isfinite(truth) & np.isfinite(value), apart, np.inf))
    return float(np.max(apart, initial=0.0))


def digits(apart: float) -> int:
    """To how many digits do two numbers agree that are so far apart, relative to them?"""
    return int(-math.log10(max(apart, 1e-16)))


def is_like(
    replies: Sequence[Reply], wrong: Sequence[Any], truths: Sequence[Any], least: float, over_nan: bool = False
) -> bool:
    """Do the replies agree with a known mistake, in every case, and differ from the truth where that does?

    Args:
        over_nan: pass over the NaN that was replied, if most of it are numbers: one mistake may lead to the logarithm
            of a negative number or, written with an absolute value, to that of a positive one.
    """
    relative = [min(0.02, max(LOOKS_LIKE, least, 1e-9 * COARSER[reply.precision])) for reply in replies]
    found = list(zip((reply.value for reply in replies), wrong, truths, strict=True))
    if over_nan and 2 * sum(np.count_nonzero(np.isnan(value)) for value, *_ in found) < sum(
        value.size for value, *_ in found
    ):
        found = [but_for_nan(*each) for each in found]
    alike = all(close(*without_nan(value, w), r) for (value, w, _), r in zip(found, relative, strict=True))
    return alike and any(not close(w, t, r) for (_, w, t), r in zip(found, relative, strict=True))


def swapped(
    truth: Any, questions: Sequence[Arguments], replies: Sequence[Reply], truths: Sequence[Any], least: float
) -> tuple[str, str] | None:
    """Two arguments with which the truth gives the replies once they have changed places; None if there are none.

    A function is called by position, so this is what one gives that takes its arguments in another order.
    """
    for first, second in combinations(questions[0], 2):
        turned = [{**question, first: question[second], second: question[first]} for question in questions]
        try:
            wrong = [expected(truth, question) for question in turned]
        except Exception:  # the truth has no value there
            continue
        finite = sum(w.shape == t.shape and bool(np.isfinite(w).all()) for w, t in zip(wrong, truths, strict=True))
        constant = all(close(w, wrong[0], LOOKS_LIKE) for w in wrong)  # such as log(q.sum()): nothing is computed
        if 2 * finite > len(questions) and not constant and is_like(replies, wrong, truths, least):
            return first, second
    return None


def but_for_nan(value: Any, wrong: Any, truth: Any) -> tuple[Any, Any, Any]:
    """All three with zeros where the value is NaN, and the mistake's is not."""
    if not value.shape == wrong.shape == truth.shape:
        return value, wrong, truth
    alone = np.isnan(value) & ~np.isnan(wrong)
    return np.where(alone, 0.0, value), np.where(alone, 0.0, wrong), np.where(alone, 0.0, truth)


def without_nan(value: Any, wrong: Any) -> tuple[Any, Any]:
    """Both with zeros where both are NaN: a mistake may have no value there, and is recognized by that."""
    if value.shape != wrong.shape:
        return value, wrong
    both = np.isnan(value) & np.isnan(wrong)
    return np.where(both, 0.0, value), np.where(both, 0.0, wrong)
