"""The verdict on an answer: right, not yet, not attempted or undecided; and if not yet, what it looks like.

In this order: is there an answer, has it the right shape, is it true, is it a known mistake, is it only imprecise, does
it break a law; otherwise the simplest case in which it differs. A mistake that is not known gets no guess.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vaelib.agreement import (
    NEARLY,
    ROUGH,
    ask,
    close,
    digits,
    distance,
    expected,
    fitted,
    is_like,
    swapped,
    tolerance,
)
from vaelib.choices import chosen, the_only_number
from vaelib.custom import judged_by_its_own
from vaelib.deriving import derived
from vaelib.feedback import (
    NOT_ATTEMPTED,
    NOT_YET,
    RIGHT,
    UNDECIDED,
    Feedback,
    at,
    both,
    heading,
    listed,
    looks_like,
    not_yet,
    number,
    plain_arguments,
    right,
    with_arguments,
)
from vaelib.reply import Arguments, NoReply, Reply, Respondent
from vaelib.sampling import agrees, sampled, z_scores
from vaelib.task import Compute, Custom, Derive, Sample, Task
from vaelib.typeset import Typeset
from vaelib.values import TooSlow, kind_of, quoted

__all__ = [
    "NOT_ATTEMPTED",
    "NOT_YET",
    "RIGHT",
    "UNDECIDED",
    "Feedback",
    "agrees",
    "expected",
    "judge",
    "our_fault",
    "with_case",
    "z_scores",
]


def judge(task: Task, answer: Respondent, seed: int = 0) -> Feedback:
    """The verdict on an answer; what it does wrong is said, and nothing that it does raises, but Ctrl-C.

    Args:
        task: the exercise.
        answer: is asked for values, never for a verdict.
        seed: of the questions that are drawn.

    Returns:
        Feedback of words alone, which can be stored and sent.

    Example: judge(task("04.1"), Answer(kl_normal)).right
    """
    return replace(with_case(task, answer, seed), case=None)


def with_case(task: Task, answer: Respondent, seed: int = 0) -> Feedback:
    """The same, with the arguments in which the answer failed as its `case`."""
    try:
        with np.errstate(all="ignore"):  # of what is computed here; an answer has its own settings
            return _judged(task, answer, seed)
    except NoReply as reason:
        return without_reply(task, reason)
    except TooSlow:
        return without_reply(task, NoReply("too slow", "It took too long and was interrupted."))
    except Exception as error:
        return our_fault(error)


def _judged(task: Task, answer: Respondent, seed: int) -> Feedback:
    match task:
        case Compute():
            return computed(task, answer, seed)
        case Sample():
            return sampled(task, answer, seed)
        case Derive():
            return derived(task, answer, seed)
        case Custom():
            return judged_by_its_own(task, answer)
    raise TypeError(f"Expected a task, but got a {type(task).__name__}.")


def without_reply(task: Task, reason: NoReply) -> Feedback:
    """What is said where there is no value to judge."""
    if reason.kind == "not attempted":
        return Feedback(NOT_ATTEMPTED, (f"Not attempted: {heading(task)}", reason.text))
    returns = f"What is handed over is `{task.name}`: its docstring, or the comment in its cell, says what it must be."
    if isinstance(task, Compute) and task.typeset is not None:
        returns = "The statement says which names a formula may have; the docstring, what a function returns."
    then = {
        "raised": "Call it yourself with these arguments, and print what goes into the line that fails.",
        "not allowed": "Write it yourself, from the formula; then compare the two.",
        "too slow": "Is there a loop that never ends, or one over what NumPy could do at once?",
    }.get(reason.kind, returns if reason.question else "The statement says what is expected.")
    called = reason.question if reason.kind in ("raised", "too slow") else None
    if called:
        return not_yet(f"The call was {task.name}({with_arguments(called)}).", reason.text, then=then, case=called)
    return not_yet(reason.text, then=then)


def our_fault(error: Exception) -> Feedback:
    """What is said where the checker itself fails: that it is not the student's fault, and what to report."""
    try:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f", {Path(last.filename).name}, line {last.lineno}"
    except Exception:
        where = ""
    what = f"This is a fault of the checker, not of your answer ({kind_of(error)}: {quoted(error, str)}{where})."
    return Feedback(UNDECIDED, ("Undecided.", what, "It does not count against you. Please show it to your teacher."))


# ------------------------------------------------------------------------------------------------------- computing


def computed(task: Compute, answer: Respondent, seed: int) -> Feedback:
    """The verdict on a function, a number, an array or a word, compared with the truth on every question."""
    questions = task.asked(seed)
    answer = Typeset(answer, task.typeset)
    replies = [ask(answer, question) for question in questions]
    truths = [expected(task.truth, question) for question in questions]
    if isinstance(truths[0], str):
        return chosen(task, replies[0].value, truths[0])
    replies = [fitted(r, t, typed=not question) for r, t, question in zip(replies, truths, questions, strict=True)]
    if task.choices:
        value = replies[0].value
        value = the_only_number(value, task.choices) if isinstance(value, str) else value
        if value is None or np.shape(value) != () or float(value) not in task.choices:
            got = number(replies[0].value) if value is not None else repr(replies[0].value)
            return not_yet(f"Expected one of the numbers {listed(task.choices)}, but got {got}.")
        replies = [Reply(np.asarray(value))]
    misshapen = [
        (question, reply, truth)
        for question, reply, truth in zip(questions, replies, truths, strict=True)
        if isinstance(reply.value, str) or reply.value.shape != truth.shape
    ]
    if misshapen:
        telling = next((each for each in misshapen if 1 not in each[2].shape), misshapen[0])  # not (1,) for (B,)
        return _wrong_shape(task, *telling, questions, replies, truths)

    allowed = [tolerance(task, question, reply) for question, reply in zip(questions, replies, strict=True)]
    good = [close(r.value, truth, allow) for r, truth, allow in zip(replies, truths, allowed, strict=True)]
    if all(good):
        return right(task, _how_many(len(questions)))
    first = good.index(False)
    case = questions[first]
    numbers = both(case, replies[first].value, None if task.secret else truths[first])
    known = []
    for mistake in task.mistakes:
        known.append([expected(mistake.value, question) for question in questions])
        if is_like(replies, known[-1], truths, task.tolerance):
            return looks_like(mistake, task, numbers, case)
    for mistake, wrong in zip(task.mistakes, known, strict=True):  # after those that are NaN in the same places
        if is_like(replies, wrong, truths, task.tolerance, over_nan=True):
            return looks_like(mistake, task, numbers, case)
    if callable(task.truth) and (pair := swapped(task.truth, questions, replies, truths, task.tolerance)):
        means = f"That is right if `{pair[0]}` and `{pair[1]}` change places. The order is {', '.join(case)}."
        then = "Compare it with the first line of your function, and then the places of the two in your formula."
        return not_yet(numbers, means, then=then, mistake="arguments swapped", case=case)
    apart = max(distance(reply.value, truth) for reply, truth in zip(replies, truths, strict=True))
    if apart <= NEARLY:
        return _nearly(task, apart, max(allowed), len(questions), numbers, case)
    return _unknown(task, questions, replies, numbers, good)


def _nearly(task: Compute, apart: float, allowed: float, count: int, numbers: str, case: Arguments) -> Feedback:
    """Right but for the last digits: enough, unless the digits are the point, or too few are right."""
    enough = max(allowed, ROUGH) if task.rough else allowed
    if apart <= enough:
        return right(task, f"{_how_many(count, to=digits(apart))} Float32, or a search? Precise enough here.")
    where = " in every case" if count > 1 else ""
    return not_yet(
        numbers,
        f"That is right to {digits(apart)} digits{where}; at least {digits(enough)} are asked.",
        then="Is it float32, a search that stops early, or a small number that was added somewhere?",
        case=case,
    )


def _unknown(
    task: Compute, questions: Sequence[Arguments], replies: Sequence[Reply], numbers: str, good: Sequence[bool]
) -> Feedback:
    """A wrong answer that is not a known mistake: NaN, a law that it breaks, or where it differs."""
    for question, reply in zip(questions, replies, strict=True):
        if np.isnan(reply.value).any():
            means = "NaN comes from 0/0, from infinity less infinity, or from the logarithm of a negative number."
            return not_yet(
                both(question, reply.value), means, then="Find the line where it first appears.", case=question
            )
    for question, reply in zip(questions, replies, strict=True):
        for rule in task.rules:
            if not rule.holds(reply.value, **plain_arguments(question)):
                return not_yet(both(question, reply.value), means=rule.says, then=task.next, case=question)
    count = f"It differs in {good.count(False)} of {len(good)} cases; the first is shown." if len(good) > 1 else ""
    return not_yet(numbers, count, then=task.next, case=questions[good.index(False)])


def _wrong_shape(
    task: Compute,
    question: Arguments,
    reply: Reply,
    truth: Any,
    questions: Sequence[Arguments],
    replies: Sequence[Reply],
    truths: Sequence[Any],
) -> Feedback:
    if isinstance(reply.value, str):
        return not_yet(f"Expected numbers, but got the word {reply.value!r}.", then=task.next)
    if not question and truth.ndim <= 1 and reply.value.ndim <= 1:
        asked, got = (f"{size} number{'s' * (size != 1)}" for size in (truth.size, reply.value.size))
        where = f"Expected {asked}, but got {got}."
    else:
        where = f"Expected shape {truth.shape}, but got {reply.value.shape}{at(question)}."
    if not any(isinstance(each.value, str) for each in replies):
        for mistake in task.mistakes:
            wrong = [expected(mistake.value, q) for q in questions]
            if is_like(replies, wrong, truths, task.tolerance):
                return looks_like(mistake, task, where, question)
    return not_yet(where, then=_about_shape(reply.value.shape, truth.shape, question), case=question or None)


def _about_shape(got: tuple[int, ...], asked: tuple[int, ...], question: Arguments) -> str:
    """What to look for: one number for all, an axis of length 1 too many, the length of another axis, or the count."""
    lengths = {size for argument in plain_arguments(question).values() for size in np.shape(argument)}
    if not got and lengths:
        return f"One number came, and {np.prod(asked)} are asked: was an axis too many summed, or is a number left out?"
    if [size for size in got if size != 1] == [size for size in asked if size != 1] and len(got) > len(asked):
        return "There is an axis of length 1 too many: from `keepdims`, or from a column that should be a row?"
    if got and len(got) == len(asked) and set(got) <= lengths:
        return "Print the shape at each line, and say which axis is summed."
    where = "docstring" if question else "statement"
    return f"The {where} says how many numbers are asked, and in which order."


def _how_many(count: int, to: int = 0) -> str:
    precision = f" to {to} digits" if to else ""
    if count > 1:
        return f"It agrees with the truth{precision} in all {count} cases."
    return f"It agrees with the truth{precision}." if to else ""
