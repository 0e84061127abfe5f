"""What an answer replies when it is asked: numbers and their precision, or the reason why there are none.

An answer may be a function, a number, an array, an Estimate, a SymPy expression, a word, or a list of lines. It is
asked for values only (`values.py` says what they are worth), and nothing that it does ends the session.
"""

from __future__ import annotations

import importlib
import linecache
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np

from vaelib.formula.rows import rows
from vaelib.terms import Term
from vaelib.values import (
    LONGEST_FORMULA,
    NUMBERS,
    PRECISIONS,
    WORDS,
    Arguments,
    NoReply,
    Reply,
    TooSlow,
    as_reply,
    evaluated,
    explained,
    is_blank,
    is_symbolic,
    kind_of,
    one_line,
    quoted,
)

__all__ = [
    "PRECISIONS",
    "Answer",
    "Arguments",
    "NoReply",
    "Reply",
    "Respondent",
    "Seed",
    "Tensor",
    "as_reply",
    "is_blank",
]

SECONDS = 10.0  # for one question
TOTAL = 60.0  # seconds, for all questions of one exercise
RELATIONS = {
    "=": "=",
    "==": "=",
    ">=": ">=",
    "≥": ">=",
    "=>": ">=",
    "<=": "<=",
    "≤": "<=",
    "=<": "<=",
    ">": ">",
    "<": "<",
}


@dataclass(frozen=True)
class Seed:
    """An argument that the answer receives as a NumPy Generator, a new one for every question."""

    number: int


@dataclass(frozen=True)
class Tensor:
    """An argument that the answer receives as a torch tensor; the array stands for it."""

    array: Any


class Respondent(Protocol):
    """Something that can be asked: an answer in this process, or one in another process."""

    def ask(self, arguments: Arguments) -> Reply: ...
    def lines(self) -> list[tuple[str, str]]: ...


@dataclass
class Answer:
    """An answer in this process. What it does to NumPy's handling of errors is undone after each question."""

    content: Any
    seconds: float = SECONDS
    total: float = TOTAL
    spent: float = 0.0  # seconds, on all questions so far
    errors: dict[str, Any] = field(default_factory=lambda: dict(np.geterr()))  # how the student wants 1/0 to be handled

    def ask(self, arguments: Arguments) -> Reply:
        """The answer's reply to one question; raises NoReply."""
        _require_answer(self.content, "the numbers")
        given = [handed_over(argument) for argument in arguments.values()]  # may import torch: not on its time
        if self.spent > self.total:
            raise NoReply("too slow", f"All questions together took more than {self.total:g} s.")
        started = time.monotonic()
        try:
            with limited(self.seconds), np.errstate(**self.errors):
                return as_reply(self._value(arguments, given), arguments)
        finally:
            self.spent += time.monotonic() - started

    def _value(self, arguments: Arguments, given: list[Any]) -> Any:
        if is_symbolic(self.content):
            with explained("The expression could not be evaluated"):
                return evaluated(self.content, arguments)
        if not callable(self.content):
            if arguments and not (type(self.content) in WORDS and "\\" in self.content):  # LaTeX is for the judge
                raise NoReply("no number", _no_function(self.content, arguments))
            return self.content
        try:
            value = self.content(*given)
        except NotImplementedError:
            raise NoReply("not attempted", "The function is still the stub.") from None
        except (NoReply, KeyboardInterrupt, TooSlow):
            raise
        except BaseException as error:  # SystemExit too: a student's sys.exit() must not end the session
            raise NoReply("raised", where_it_was_raised(error)) from error
        if is_blank(value):
            raise NoReply("not attempted", f"The function returned {quoted(value)}. Is a `return` missing?")
        return value

    def lines(self) -> list[tuple[str, str]]:
        """(relation, term as typed) of each line of a derivation; the relation of the first line is "="."""
        content = self.content
        _require_answer(content, "the lines")
        if type(content) in WORDS and "\\" in content:
            content = [content]
        if type(content) not in (list, tuple):
            raise NoReply("no number", f"Expected a list of lines, but got a {kind_of(content)}.")
        with limited(self.seconds), explained("The lines could not be read"):
            found: list[tuple[str, str]] = []
            for item in content:
                found += _lines(item, len(found))
            return found


def _require_answer(content: Any, what: str) -> None:
    if is_blank(content):
        raise NoReply("not attempted", "There is no answer yet.")
    if type(content) in (list, tuple) and any(item is None or item is Ellipsis for item in content):
        raise NoReply("not attempted", f"There is still a `...` among {what}.")


def _no_function(content: Any, arguments: Arguments) -> str:
    """What is said to somebody who hands over f(x) for f; or a number, a list, a word where a function is asked."""
    if type(content) in NUMBERS or issubclass(type(content), np.number):
        got = f"the number {quoted(content, '{:.6g}'.format)}"
    elif type(content) in WORDS:
        got = f"the word {quoted(content)}"
    elif type(content) in (list, tuple) and any(callable(part) or is_symbolic(part) for part in content):
        return f"Expected one function or expression, but got a {kind_of(content)} of {len(content)}."
    else:
        got = f"an object of type {kind_of(content)}"
    symbols = "sympy" in sys.modules and not any(
        isinstance(value, np.ndarray | Tensor | Seed) for value in arguments.values()
    )
    or_expression = f", or an expression in {', '.join(arguments)}," if symbols else ","
    if type(content) in WORDS and any(sign in str(content) for sign in "+-*/("):
        return f"Expected a function{or_expression} but got the text {quoted(content)}. Take the quotation marks away."
    return (
        f"Expected a function{or_expression} but got {got}. "
        "Hand over the function itself, its name without brackets, not the value that it returns."
    )


def _lines(item: Any, number: int) -> list[tuple[str, str]]:
    """The line that an item is; of LaTeX, the lines: it may hold several, and crosses as text that begins with a $."""
    parts = [item] if type(item) in WORDS else list(item) if type(item) in (list, tuple) else []
    typed = [str(part) for part in parts if type(part) in WORDS and "\\" in part]
    if not typed or any(type(part) not in WORDS for part in parts):
        return [_line(item, number)]
    sign = parts[0].strip() if len(parts) > 1 and parts[0].strip() in RELATIONS else ""
    try:
        found = rows(typed[0])
    except ValueError as error:
        raise NoReply("no number", f"Line {number}: {error}") from None
    for offset, (relation, latex) in enumerate(found):
        if len(latex) >= LONGEST_FORMULA:
            most = f"Expected lines of fewer than {LONGEST_FORMULA} letters"
            raise NoReply("no number", f"{most}, but line {number + offset} has {len(latex)}.")
        if relation and relation not in RELATIONS.values():
            expected = ", ".join(dict.fromkeys(RELATIONS.values()))
            raise NoReply("no number", f"Line {number + offset}: expected one of {expected}, but got {relation!r}.")
    signs = [RELATIONS[sign] if sign and i == 0 else relation or "=" for i, (relation, _) in enumerate(found)]
    return [(relation, f"${latex}") for relation, (_, latex) in zip(signs, found, strict=True)]


def _line(item: Any, number: int) -> tuple[str, str]:
    relation, term = "=", item
    if type(item) in (tuple, list):
        words = [part for part in item if type(part) is str]
        terms = [part for part in item if type(part) is not str]
        if len(terms) != 1 or len(words) > 2:
            raise NoReply("no number", f"Line {number}: expected (relation, term, reason), but got {quoted(item)}.")
        signs = [word.strip() for word in words if not any(letter.isalpha() for letter in word)]
        if [sign for sign in signs if sign not in RELATIONS]:
            expected = ", ".join(RELATIONS)
            raise NoReply("no number", f"Line {number}: expected one of {expected}, but got {quoted(signs[0])}.")
        relation = RELATIONS[signs[0]] if signs else "="
        (term,) = terms
    if is_blank(term):
        raise NoReply("not attempted", f"There is still a `...` in line {number}.")
    if type(term) in NUMBERS or type(term).__module__ == "numpy":
        return relation, repr(float(as_reply(term).value))
    if type(term) is not Term:
        hint = " Terms are built from E, KL, H, log_lik, ..." if not callable(term) else " Call it, or leave it out."
        raise NoReply("no number", f"Line {number} is a {kind_of(term)}, not a term.{hint}")
    return relation, term.spelled


def handed_over(argument: Any) -> Any:
    """A fresh copy, so that an answer that changes its argument changes nothing else."""
    if isinstance(argument, Seed):
        return np.random.default_rng(argument.number)
    if isinstance(argument, Tensor):
        return importlib.import_module("torch").as_tensor(np.array(argument.array))  # only such a task needs torch
    return np.array(argument) if isinstance(argument, np.ndarray) else argument


# ------------------------------------------------------------------------------------------------------------- time


def can_interrupt() -> bool:
    """Can an endless loop be interrupted here? It takes a Unix timer, and the main thread."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupts what runs inside after `seconds`, and again each second, should it be caught."""
    if not can_interrupt():
        yield
        return

    def expired(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before: Callable[..., Any] | int | None = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    except TooSlow:
        raise NoReply("too slow", f"It took more than {seconds:g} s and was interrupted.") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def where_it_was_raised(error: BaseException) -> str:
    """The exception and the line of the student's own code that it came from."""
    text = f"{kind_of(error)}: {quoted(error, str)}".removesuffix(": ")
    with explained(text):
        here = str(Path(__file__).parent)
        frames = traceback.extract_tb(sys.exc_info()[2])
        own = [each for each in frames if not each.filename.startswith(here) and "site-packages" not in each.filename]
        if not own:
            return text
        source = (own[-1].line or linecache.getline(own[-1].filename, own[-1].lineno or 0)).strip()
        return f"{text} (line {own[-1].lineno} of {own[-1].name}: `{one_line(source)}`)" if source else text
