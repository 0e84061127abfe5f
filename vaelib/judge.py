"""The verdict on an answer: right, not yet, not attempted or undecided; and if not yet, what it looks like.

In this order: is there an answer, has it the right shape, is it true, is it a known mistake, does it break a law; else
the simplest case in which it differs. Feedback has at most five lines: the verdict, where, both numbers, what this
usually means, what to do next. A mistake that is not known gets no guess.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from vaelib._compare import Z_THRESHOLD, Verdict, compose
from vaelib._latex import prose
from vaelib.derivation import Derivation, Line
from vaelib.estimate import Estimate
from vaelib.reply import Arguments, NoReply, Reply, Respondent, Seed, Tensor
from vaelib.report import Row
from vaelib.task import Compute, Derive, Law, Mistake, Sample, Task
from vaelib.terms import Term, parse

Array = np.ndarray
RIGHT, NOT_YET, NOT_ATTEMPTED, UNDECIDED = "right", "not yet", "not attempted", "undecided"
COARSER = {"float64": 1.0, "float32": 2e4}  # tolerances, relative to double precision
LOOKS_LIKE = 1e-6  # a mistake is recognized more generously than the truth


@dataclass(frozen=True)
class Feedback:
    """What a student reads. `state` is "right", "not yet", "not attempted" or "undecided"."""

    state: str
    lines: tuple[str, ...]
    mistake: str = ""  # the name of the known mistake
    task: str = ""

    @property
    def right(self) -> bool:
        return self.state == RIGHT

    def __bool__(self) -> bool:
        raise TypeError("Feedback has more than two states: ask for `.right`.")

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_markdown_(self) -> str:
        first, *rest = (prose(line) for line in self.lines)
        return "  \n".join([f"**{first}**", *rest])


def not_yet(where: str, numbers: str = "", means: str = "", then: str = "", mistake: str = "") -> Feedback:
    return Feedback(NOT_YET, tuple(line for line in ("Not yet.", where, numbers, means, then) if line), mistake)


def looks_like(mistake: Mistake, task: Task, where: str) -> Feedback:
    """A known mistake, in its own words."""
    return not_yet(where, means=mistake.says, then=mistake.next or task.next, mistake=mistake.name)


def judge(task: Task, answer: Respondent, seed: int = 0) -> Feedback:
    """The verdict on an answer; what it does wrong is said, and nothing that it does raises."""
    try:
        return _judge(task, answer, seed)
    except NoReply as reason:
        return without_reply(task, reason)


def without_reply(task: Task, reason: NoReply) -> Feedback:
    if reason.kind == "not attempted":
        return Feedback(NOT_ATTEMPTED, (f"Not attempted: {task.id} {task.title}.", reason.text))
    then = {
        "raised": "Read the last line of the error first; then call your function by hand with these shapes.",
        "not allowed": "Write it yourself, from the formula; then compare the two.",
        "too slow": "Is there a loop that never ends, or one over what NumPy could do at once?",
    }.get(reason.kind, "The statement, and the docstring of the stub, say what is expected.")
    return not_yet(reason.text, then=then)


@singledispatch
def _judge(task: Task, answer: Respondent, seed: int) -> Feedback:
    raise TypeError(f"Expected a task, but got a {type(task).__name__}.")


# ------------------------------------------------------------------------------------------------------- computing


@_judge.register
def _compute(task: Compute, answer: Respondent, seed: int) -> Feedback:
    questions = task.asked(seed)
    replies = [answer.ask(question) for question in questions]
    truths = [expected(task.truth, question) for question in questions]
    if isinstance(truths[0], str):
        return _word(task, replies[0].value, truths[0])
    for question, reply, truth in zip(questions, replies, truths, strict=True):
        if isinstance(reply.value, str) or reply.value.shape != truth.shape:
            return _wrong_shape(task, question, reply, truth, questions, replies)
    allowed = [tolerance(task, question, reply) for question, reply in zip(questions, replies, strict=True)]
    good = [close(r.value, truth, allow) for r, truth, allow in zip(replies, truths, allowed, strict=True)]
    if all(good):
        return Feedback(RIGHT, (f"Right: {task.id} {task.title}.", _how_many(len(questions))))

    first = good.index(False)
    numbers = _both(questions[first], replies[first].value, None if task.secret else truths[first])
    for mistake in task.mistakes:
        wrong = [expected(mistake.value, question) for question in questions]
        if is_like(replies, wrong, truths, task.tolerance):
            return looks_like(mistake, task, numbers)
    if any(np.isnan(reply.value).any() for reply in replies):
        return not_yet(numbers, "NaN is no number: it never agrees with anything.", then=task.next)
    for question, reply in zip(questions, replies, strict=True):
        for rule in task.rules:
            if not rule.holds(reply.value, **plain_arguments(question)):
                return not_yet(_both(question, reply.value), means=rule.says, then=task.next)
    count = f"It differs in {good.count(False)} of {len(good)} cases; the first is shown." if len(good) > 1 else ""
    return not_yet(numbers, count, then=task.next)


def expected(truth: Any, question: Arguments) -> Any:
    """The value of a truth, or of a mistake, for one question: a float64 array, or a word."""
    with np.errstate(all="ignore"), warnings.catch_warnings():  # whatever the student has set
        warnings.simplefilter("ignore")
        value = truth(**plain_arguments(question)) if callable(truth) else truth
    if isinstance(value, str):
        return value
    return np.asarray(value.value if isinstance(value, Estimate) else value, dtype=float)


def plain_arguments(question: Arguments) -> dict[str, Any]:
    """The arguments as the truth takes them: NumPy arrays, numbers, a Generator."""

    def plainly(argument: Any) -> Any:
        if isinstance(argument, Seed):
            return np.random.default_rng(argument.number)
        return argument.array if isinstance(argument, Tensor) else argument

    return {name: plainly(argument) for name, argument in question.items()}


def tolerance(task: Compute, question: Arguments, reply: Reply) -> float:
    """What the coarsest number deserves, of the reply and of what it was computed from."""
    given = [str(np.asarray(argument).dtype) for argument in plain_arguments(question).values()]
    coarser = max(COARSER.get(precision, 1.0) for precision in (reply.precision, *given))
    return min(task.tolerance * coarser, max(task.tolerance, 0.02))


def close(value: Any, truth: Any, relative: float) -> bool:
    """Every entry agrees: |value - truth| <= relative max(1, |truth|). NaN agrees with nothing."""
    if value.shape != truth.shape:
        return False
    same_infinity = np.isinf(truth) & (value == truth)
    with np.errstate(invalid="ignore"):
        near = np.isfinite(truth) & (np.abs(value - truth) <= relative * np.maximum(1.0, np.abs(truth)))
    return bool(np.all(near | same_infinity))


def is_like(replies: Sequence[Reply], wrong: Sequence[Any], truths: Sequence[Any], least: float) -> bool:
    """Do the replies agree with a known mistake, in every case, and differ from the truth where that does?"""
    relative = [min(0.02, max(LOOKS_LIKE, least, 1e-9 * COARSER[reply.precision])) for reply in replies]
    alike = all(close(*without_nan(reply.value, w), r) for reply, w, r in zip(replies, wrong, relative, strict=True))
    return alike and any(not close(w, t, r) for w, t, r in zip(wrong, truths, relative, strict=True))


def without_nan(value: Any, wrong: Any) -> tuple[Any, Any]:
    """Both with zeros where both are NaN: a mistake may have no value there, and is recognized by that."""
    if value.shape != wrong.shape:
        return value, wrong
    both = np.isnan(value) & np.isnan(wrong)
    return np.where(both, 0.0, value), np.where(both, 0.0, wrong)


def _word(task: Compute, value: Any, truth: str) -> Feedback:
    if not isinstance(value, str):
        then = "The statement lists the words to choose from."
        return not_yet(f"Expected a word, but got {number(value)}.", then=then)
    if letters(value) == letters(truth):
        return Feedback(RIGHT, (f"Right: {task.id} {task.title}.",))
    for mistake in task.mistakes:
        if letters(value) == letters(mistake.value):
            return looks_like(mistake, task, f"Your answer: {value}.")
    return not_yet(f"Your answer: {value}.", then=task.next)


def letters(word: str) -> str:
    """Letters and digits alone, in lower case: "B, A" is "ba"."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _wrong_shape(
    task: Compute,
    question: Arguments,
    reply: Reply,
    truth: Array,
    questions: Sequence[Arguments],
    replies: Sequence[Reply],
) -> Feedback:
    if isinstance(reply.value, str):
        return not_yet(f"Expected numbers, but got the word {reply.value!r}.", then=task.next)
    where = f"Expected shape {truth.shape}, but got {reply.value.shape}{_at(question)}."
    for mistake in task.mistakes:
        wrong = [expected(mistake.value, q) for q in questions]
        if [w.shape for w in wrong] == [r.value.shape for r in replies if not isinstance(r.value, str)]:
            return looks_like(mistake, task, where)
    return not_yet(where, then="Print the shape at each line, and say which axis is summed.")


def _both(question: Arguments, value: Any, truth: Any = None) -> str:
    """Both numbers with their inputs; of an array, the entry that differs most. Where nothing is asked, yours alone."""
    if truth is None or not question:
        return f"Yours is {number(value)}{_at(question)}."
    if value.ndim == 0:
        return f"Yours is {', expected '.join(told_apart(value, truth))}{_at(question)}."
    with np.errstate(invalid="ignore"):
        distance = np.where(value == truth, 0.0, np.abs(value - truth) / np.maximum(1.0, np.abs(truth)))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(distance), np.inf, distance)), value.shape)
    entry = ", ".join(map(str, worst))
    both = ", expected ".join(told_apart(value[worst], truth[worst]))
    return f"Entry [{entry}] of yours is {both}{_at(question)}."


def _at(question: Arguments) -> str:
    shown = ", ".join(f"{name} = {_short(argument)}" for name, argument in plain_arguments(question).items())
    return f" at {shown}" if shown else ""


def _short(argument: Any) -> str:
    if isinstance(argument, np.random.Generator):
        return "a Generator"
    array = np.asarray(argument)
    if array.size > 6:
        return f"an array of shape {array.shape}"
    return number(array)


def told_apart(first: Any, second: Any) -> tuple[str, str]:
    """Two numbers with as few digits as show that they differ, at least five."""
    pairs = ((number(first, digits), number(second, digits)) for digits in (5, 8, 11, 17))
    return next((pair for pair in pairs if pair[0] != pair[1]), (number(first), number(second)))


def number(value: Any, digits: int = 5) -> str:
    """As a person would write it."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return str(value)
    if array.ndim == 0:
        return f"{array.item():.{digits}g}"
    return "[" + ", ".join(number(part, digits) for part in array) + "]"


def _how_many(count: int) -> str:
    return f"It agrees with the truth in all {count} cases." if count > 1 else ""


# -------------------------------------------------------------------------------------------------------- sampling


@_judge.register
def _sample(task: Sample, answer: Respondent, seed: int) -> Feedback:
    cases = []
    for index, question in enumerate(task.examples):
        values = []
        for repeat in range(task.repeats):
            rng = Seed(int(np.random.default_rng([seed, index, repeat]).integers(2**62)))
            reply = answer.ask(question | {"rng": rng})
            if repeat == 0 and not _same_again(reply, answer.ask(question | {"rng": rng})):
                where = "Two calls with equal Generators gave different values."
                return not_yet(where, then="Draw from the Generator that is handed over, and from no other.")
            if isinstance(reply.value, str) or reply.value.shape != ():
                shape = "a word" if isinstance(reply.value, str) else f"shape {reply.value.shape}"
                return not_yet(f"Expected one number, but got {shape}{_at(question)}.", then=task.next)
            values.append(float(reply.value))
        cases.append((question, np.array(values)))
    if all(agrees(values, task.law(**question)) for question, values in cases):
        return Feedback(RIGHT, (f"Right: {task.id} {task.title}.", _calls(task)))
    question, sample = next(case for case in cases if not agrees(case[1], task.law(**case[0])))
    law = task.law(**question)
    mean, deviation = sample.mean(), sample.std(ddof=1)
    where = (
        f"Over {len(sample)} calls its mean is {number(mean)} and its standard deviation {number(deviation)}, "
        f"expected {number(law.mean)} and {number(law.deviation)}{_at(question)}."
    )
    for mistake in task.mistakes:
        if all(agrees(values, mistake.value(**question)) for question, values in cases):
            return looks_like(mistake, task, where)
    if deviation == 0 and law.deviation > 0:
        then = "Draw from the Generator that is handed over; it is another one each time."
        return not_yet(f"Every call gives the same value, {number(mean)}{_at(question)}.", then=then)
    of_mean, of_spread = z_scores(sample, law)
    off = f"In standard errors, the mean is off by {number(of_mean)} and the variance by {number(of_spread)}."
    return not_yet(where, off, then=task.next)


def _same_again(first: Reply, second: Reply) -> bool:
    return isinstance(first.value, str) or np.array_equal(first.value, second.value, equal_nan=True)


def z_scores(values: Array, law: Law) -> tuple[float, float]:
    """Of the mean and of the variance, each about N(0, 1) if the values have the law."""
    n = len(values)
    if law.deviation == 0:
        exact = np.all(np.abs(values - law.mean) <= 1e-9 * max(1.0, abs(law.mean)))
        return (0.0, 0.0) if exact else (np.inf, np.inf)
    mean = (values.mean() - law.mean) / (law.deviation / np.sqrt(n))
    spread = np.sqrt((law.kurtosis - (n - 3) / (n - 1)) / n)  # of the sample variance, relative
    ratio = np.cbrt(values.var(ddof=1) / law.deviation**2)  # Wilson and Hilferty: far more normal than the variance
    return float(mean), float((ratio - (1 - spread**2 / 9)) / (spread / 3))


def agrees(values: Array, law: Law) -> bool:
    return bool(np.all(np.isfinite(values))) and all(abs(z) <= Z_THRESHOLD for z in z_scores(values, law))


def _calls(task: Sample) -> str:
    return f"Mean and spread agree over {task.repeats} calls in each of {len(task.examples)} cases, |z| at most 4.5."


# --------------------------------------------------------------------------------------------------------- deriving


@_judge.register
def _derive(task: Derive, answer: Respondent, seed: int) -> Feedback:
    typed = answer.lines()
    if len(typed) < 2:
        count = f"{len(typed)} line" + "s" * (len(typed) != 1)
        return not_yet(f"Expected a list of lines, but got {count}.", then=f"Begin with {task.start.spelled}.")
    lines = []
    for index, (relation, text) in enumerate(typed):
        try:
            lines.append(Line(parse(text), relation=relation))
        except ValueError as error:
            return not_yet(f"Line {index} is no term.", str(error), then=task.next)
    return _on_the_way(task, lines, seed)


def _on_the_way(task: Derive, lines: list[Line], seed: int) -> Feedback:
    """The first line that does not begin where it should, follow, compose, or arrive."""
    chain = Derivation(task.id, task.title, task.draw, (Line(task.start), *lines))
    report = chain.check(8, seed)
    if report.verdict is Verdict.INCONCLUSIVE:
        report = chain.check(32, seed + 1)  # more witnesses, among them some that decide
    for index, row in enumerate(report.rows[1:]):
        if compose([line.relation for line in lines[: index + 1]]) is None:
            then = "A bound downwards and then one upwards: together the two say nothing."
            return not_yet(f"Line {index} does not compose with the lines above it.", then=then)
        if row.verdict is Verdict.HOLDS:
            continue
        if row.verdict is Verdict.INCONCLUSIVE:
            where = f"Line {index}: the check could not decide, its own error is too large."
            return Feedback(UNDECIDED, ("Undecided.", where, "This does not count against you."))
        if row.shown is None:
            return not_yet(f"Line {index} has no value.", row.note.removeprefix("ill-typed: "), then=task.next)
        above = f"line {index - 1}" if index else "the given start"
        where = f"Line {index} does not follow from {above}: {_values(report.rows, index)}"
        mistake = _known_line(task, lines[index], seed)
        if mistake is None:
            return not_yet(where, then=task.next)
        return looks_like(mistake, task, where)
    return _arrival(task, lines, seed)


def _arrival(task: Derive, lines: list[Line], seed: int) -> Feedback:
    end = Derivation(task.id, "arrival", task.draw, (Line(task.goal), Line(lines[-1].formula)))
    if not end.check(8, seed).holds:
        return not_yet(
            "Every line follows, but the last one is not the goal.",
            f"The goal is {task.goal.spelled}.",
            then="Which term is still to be rewritten, or dropped?",
        )
    between = {line.latex for line in lines} - {task.start.latex, task.goal.latex}
    if len(between) < task.least - 2:
        then = "Which rule leads from one line to the next? Write down what it changes."
        few = "Every line follows, but too few stand between start and goal: one rule a line,"
        return not_yet(f"{few} {task.least - 2} at least.", then=then)
    arrived = compose([line.relation for line in lines])
    if arrived != task.relation:
        then = "Which line loses something, and what is it?"
        return not_yet(f"The lines together say {arrived!r}; the goal is {task.relation!r}.", then=then)
    return Feedback(RIGHT, (f"Right: {task.id} {task.title}.", f"{len(lines)} lines, each follows from the one above."))


def _values(rows: Sequence[Row], index: int) -> str:
    """The line's value against that of the line above, where they differ most, on the witness that the report shows."""
    line, above = (np.ravel(_value(row.shown)) for row in (rows[index + 1], rows[index]))
    if line.shape != above.shape:
        return f"{line.size} numbers against {above.size}."
    worst = int(np.argmax(np.abs(line - above)))
    return f"{line[worst]:.4f} against {above[worst]:.4f}."


def _known_line(task: Derive, line: Line, seed: int) -> Mistake | None:
    """The known mistake that is worth the same as the line on every witness."""
    slips = [slip for derivation in task.known for slip in derivation.slips if isinstance(slip.value, Term)]
    known = [*task.mistakes, *(Mistake(slip.name, slip.says, slip.value, real=slip.real) for slip in slips)]
    witnesses = [task.draw(np.random.default_rng([seed, i])) for i in range(4)]
    return next((mistake for mistake in known if _same(mistake.value, line, witnesses)), None)


def _same(term: Term, line: Line, witnesses: Sequence[Any]) -> bool:
    try:
        return all(close(_value(term.value(w)), _value(line.evaluate(w)), LOOKS_LIKE) for w in witnesses)
    except TypeError:  # ill-typed on such a witness
        return False


def _value(value: Any) -> Array:
    return np.asarray(getattr(value, "value", value), dtype=float)
