"""What a student reads: at most five lines (verdict, where, both numbers, what it looks like, what to do next).

Numbers are written as a person would write them, and `backticks` mark code: a notebook shows them as code, and plain
text leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vaelib._latex import marked, unmarked
from vaelib.reply import Seed, Tensor
from vaelib.task import Mistake, Task
from vaelib.values import Arguments, quoted

RIGHT, NOT_YET, NOT_ATTEMPTED, UNDECIDED = "right", "not yet", "not attempted", "undecided"
IN_FULL = 12  # an array of so many numbers is written out
NOISE = 1e-13  # of a computed number: less than that is zero with a rounding error


@dataclass(frozen=True)
class Feedback:
    """The verdict on an answer.

    Args:
        state: "right", "not yet", "not attempted" or "undecided".
        lines: what is said, with `backticks` around code; `text` has them without.
        mistake: the name of the known mistake.
        task: the exercise, "04.2".
        case: the arguments in which the answer failed; the second line tells of them.
        note: something about the check itself, such as a file that cannot be written.
        nearest: the kind of the one change that would make it right, if one was found.
        change: that change in words, for the third hint and for the teacher.
    """

    state: str
    lines: tuple[str, ...]
    mistake: str = ""
    task: str = ""
    case: Arguments | None = field(default=None, compare=False, repr=False)
    note: str = ""
    nearest: str = ""
    change: str = field(default="", repr=False)

    @property
    def right(self) -> bool:
        return self.state == RIGHT

    @property
    def text(self) -> tuple[str, ...]:
        """The lines as plain text."""
        return tuple(unmarked(line) for line in self.lines)

    def __bool__(self) -> bool:
        raise TypeError("Feedback has more than two states: ask for `.right`.")

    def __repr__(self) -> str:
        return "\n".join([*self.text, *([unmarked(self.note)] if self.note else [])])

    def _repr_markdown_(self) -> str:
        first, *rest = (marked(line) for line in self.lines)
        return "  \n".join([f"**{first}**", *rest, *([f"*{marked(self.note)}*"] if self.note else [])])


def right(task: Task, *lines: str) -> Feedback:
    return Feedback(RIGHT, (f"Right: {heading(task)}", *(line for line in lines if line)))


def not_yet(
    where: str, numbers: str = "", means: str = "", then: str = "", mistake: str = "", case: Arguments | None = None
) -> Feedback:
    lines = tuple(line for line in ("Not yet.", where, numbers, means, then) if line)
    return Feedback(NOT_YET, lines, mistake, case=case)


def looks_like(mistake: Mistake, task: Task, where: str, case: Arguments | None = None) -> Feedback:
    """A known mistake, in its own words."""
    return not_yet(where, means=mistake.says, then=mistake.next or task.next, mistake=mistake.name, case=case)


def heading(task: Task) -> str:
    """Id and title as a sentence that ends once: "00.1 Which estimate is broken?"."""
    return f"{task.id} {task.title}" + ("" if task.title[-1] in ".?!" else ".")


# --------------------------------------------------------------------------------------------------------- numbers


def number(value: Any, digits: int = 5, noise: float = NOISE) -> str:
    """As a person would write it: "-0" is 0, and so is what is no larger than `noise`."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return quoted(value, str)
    if array.ndim:
        return "[" + ", ".join(number(part, digits, noise) for part in array) + "]"
    single = array.item()
    if isinstance(single, int):  # True and False, too
        return str(single)
    if single != single:
        return "NaN"
    if abs(single) <= noise:
        return "0"
    if 1e5 <= abs(single) < 1e9:  # 123456, not 1.2346e+05
        digits = max(digits, len(str(int(abs(single)))))
    return f"{single:.{digits}g}"


def told_apart(first: Any, second: Any) -> tuple[str, str]:
    """Two numbers with as few digits as show that they differ, at least five."""
    pairs = ((number(first, digits), number(second, digits)) for digits in (5, 8, 11, 17))
    return next((pair for pair in pairs if pair[0] != pair[1]), (number(first), number(second)))


def short(value: Any, noise: float = 0.0) -> str:
    """An argument, or a value, in full if that is short."""
    if isinstance(value, np.random.Generator):
        return "a Generator"
    array = np.asarray(value)
    return number(array, noise=noise) if array.size <= IN_FULL else f"an array of shape {array.shape}"


def listed(items: Any) -> str:
    """ "1, 2 or 3"."""
    *first, last = map(str, items)
    return f"{', '.join(first)} or {last}" if first else last


# ------------------------------------------------------------------------------------------------------- arguments


def plain_arguments(question: Arguments) -> dict[str, Any]:
    """The arguments as the truth takes them: NumPy arrays, numbers, a Generator."""

    def plainly(argument: Any) -> Any:
        if isinstance(argument, Seed):
            return np.random.default_rng(argument.number)
        return argument.array if isinstance(argument, Tensor) else argument

    return {name: plainly(argument) for name, argument in question.items()}


def with_arguments(question: Arguments) -> str:
    """ "loc = 0, scale = [1, 2]"."""
    return ", ".join(f"{name} = {short(argument)}" for name, argument in plain_arguments(question).items())


def at(question: Arguments) -> str:
    return f" at {with_arguments(question)}" if question else ""


def is_easily_typed(question: Arguments) -> bool:
    """Can a person type the arguments as they are shown? Otherwise it is said how to get them."""
    return all(
        np.size(argument) <= IN_FULL / 2 and not isinstance(argument, np.random.Generator)
        for argument in plain_arguments(question).values()
    )


def both(question: Arguments, value: Any, truth: Any = None) -> str:
    """Both numbers with their inputs; of an array, the entry that differs most. Where nothing is asked, yours alone."""
    if truth is None or not question:
        return f"Yours is {short(value, NOISE)}{at(question)}."
    if value.ndim == 0:
        return f"Yours is {', expected '.join(told_apart(value, truth))}{at(question)}."
    distance = np.where(value == truth, 0.0, np.abs(value - truth) / np.maximum(1.0, np.abs(truth)))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(distance), np.inf, distance)), value.shape)
    entry = ", ".join(map(str, worst))
    return f"Entry [{entry}] of yours is {', expected '.join(told_apart(value[worst], truth[worst]))}{at(question)}."
