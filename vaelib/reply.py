"""What an answer replies when it is asked: numbers and their precision, or the reason why there are none.

An answer may be a function, a number, an array, an Estimate, a SymPy expression, a word, or a list of lines. It is
asked for values only. What it returns is taken apart by exact type, so that no object can pass by redefining `==`.
"""

from __future__ import annotations

import importlib
import linecache
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np

from vaelib.estimate import Estimate
from vaelib.terms import Term

Arguments = Mapping[str, Any]
SECONDS = 10.0  # for one question
PRECISIONS = {"float64": 0, "float32": 1}  # the larger the coarser
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


class NoReply(Exception):
    """There is no value to judge. `kind` is "not attempted", "raised", "too slow", "no number" or "not allowed"."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


@dataclass(frozen=True)
class Reply:
    """A value, float64 of any shape or a word; the precision in which it was computed; its own error, if it has one."""

    value: Any
    precision: str = "float64"
    error: Any = None


@dataclass(frozen=True)
class Seed:
    """An argument that the answer receives as a NumPy Generator, made anew for every question."""

    number: int


@dataclass(frozen=True)
class Tensor:
    """An argument that the answer receives as a torch tensor; the array stands for it."""

    array: Any


class Respondent(Protocol):
    """Something that can be asked: an answer in this process, or one in a process of its own."""

    def ask(self, arguments: Arguments) -> Reply: ...
    def lines(self) -> list[tuple[str, str]]: ...


@dataclass
class Answer:
    """An answer in this process."""

    content: Any
    seconds: float = SECONDS
    total: float = TOTAL
    spent: float = 0.0  # seconds, on all questions so far

    def ask(self, arguments: Arguments) -> Reply:
        """The answer's reply to one question; raises NoReply."""
        if is_blank(self.content):
            raise NoReply("not attempted", "There is no answer yet.")
        handed_over = [_handed_over(argument) for argument in arguments.values()]  # may import torch: not on its time
        if self.spent > self.total:
            raise NoReply("too slow", f"All questions together took more than {self.total:g} s.")
        started = time.monotonic()
        try:
            with limited(self.seconds):
                return as_reply(self._value(arguments, handed_over))
        finally:
            self.spent += time.monotonic() - started

    def _value(self, arguments: Arguments, handed_over: list[Any]) -> Any:
        if _is_symbolic(self.content):
            return _evaluated(self.content, arguments)
        if not callable(self.content):
            return self.content
        try:
            value = self.content(*handed_over)
        except NotImplementedError:
            raise NoReply("not attempted", "The function is still the stub.") from None
        except (NoReply, KeyboardInterrupt, TooSlow):
            raise
        except BaseException as error:  # SystemExit too: a student's sys.exit() must not end the session
            raise NoReply("raised", where_it_was_raised(error)) from error
        if is_blank(value):
            raise NoReply("not attempted", f"The function returned {value!r}. Is a `return` missing?")
        return value

    def lines(self) -> list[tuple[str, str]]:
        """(relation, term as typed) of each line of a derivation; the relation of the first line is "="."""
        if is_blank(self.content) or (isinstance(self.content, Sequence) and any(map(is_blank, self.content))):
            raise NoReply("not attempted", "A line is still `...`.")
        if type(self.content) not in (list, tuple):
            raise NoReply("no number", f"Expected a list of lines, but got a {type(self.content).__name__}.")
        return [_line(item, number) for number, item in enumerate(self.content)]


def is_blank(value: Any) -> bool:
    return value is None or value is Ellipsis


def _line(item: Any, number: int) -> tuple[str, str]:
    relation, term = "=", item
    if type(item) in (tuple, list):
        words = [part for part in item if type(part) is str]
        terms = [part for part in item if type(part) is not str]
        if len(terms) != 1 or len(words) > 2:
            raise NoReply("no number", f"Line {number}: expected (relation, term, reason), but got {item!r}.")
        signs = [word.strip() for word in words if not any(letter.isalpha() for letter in word)]
        if [sign for sign in signs if sign not in RELATIONS]:
            raise NoReply("no number", f"Line {number}: expected one of {', '.join(RELATIONS)}, but got {signs[0]!r}.")
        relation = RELATIONS[signs[0]] if signs else "="
        (term,) = terms
    if type(term) in (int, float):
        return relation, repr(term)
    if type(term) is not Term:
        hint = " Terms are built from E, KL, H, log_lik, ..." if not callable(term) else " Call it, or leave it out."
        raise NoReply("no number", f"Line {number} is a {type(term).__name__}, not a term.{hint}")
    return relation, term.spelled


# ----------------------------------------------------------------------------------------------------------- values


def as_reply(value: Any) -> Reply:
    """What a returned value is worth; only exact types are understood."""
    if type(value) in (list, tuple) and value and all(type(part) is str for part in value):
        value = " ".join(value)
    if type(value) is str:
        return Reply(value.strip().lower())
    if type(value) is Estimate:
        return Reply(_array(value.value)[0], "float64", _array(value.error)[0])
    array, precision = _array(value)
    return Reply(array, precision)


def _array(value: Any) -> tuple[Any, str]:
    """(float64 array, precision it was computed in)."""
    if _is_symbolic(value):
        value = _evaluated(value, {})
    if _is_tensor(value):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            raise NoReply("no number", "The value is in bfloat16: three digits are too few to be judged.")
        value = value.numpy()
    if type(value) in (list, tuple):
        parts = [_array(part) for part in value]
        if len({part.shape for part, _ in parts}) > 1:
            raise NoReply("no number", "The list holds parts of different shapes.")
        coarsest = max((precision for _, precision in parts), key=PRECISIONS.__getitem__, default="float64")
        return np.array([part for part, _ in parts], dtype=float), coarsest
    if not (type(value) in (bool, int, float, np.ndarray) or type(value).__module__ == "numpy"):
        raise NoReply("no number", f"Expected a number or an array, but got an object of type {type(value).__name__}.")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise NoReply("no number", f"Expected real numbers, but got an array of type {array.dtype}.")
    if str(array.dtype) == "float16":
        raise NoReply("no number", "The value is in half precision: three digits are too few to be judged.")
    precision = str(array.dtype) if str(array.dtype) in PRECISIONS else "float64"
    return array.astype(float), precision


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and type(value) in (torch.Tensor, torch.nn.Parameter)


def _handed_over(argument: Any) -> Any:
    """A fresh copy, so that an answer that changes its argument changes nothing else."""
    if isinstance(argument, Seed):
        return np.random.default_rng(argument.number)
    if isinstance(argument, Tensor):
        return importlib.import_module("torch").as_tensor(np.array(argument.array))  # only such a task needs torch
    return np.array(argument) if isinstance(argument, np.ndarray) else argument


# ------------------------------------------------------------------------------------------------------------ SymPy


def _is_symbolic(value: Any) -> bool:
    sympy = sys.modules.get("sympy")
    return sympy is not None and isinstance(value, sympy.Expr)


def _evaluated(expression: Any, arguments: Arguments) -> Any:
    """The number that a SymPy expression takes where its symbols have the values of the arguments, by name."""
    unknown = sorted(str(symbol) for symbol in expression.free_symbols if str(symbol) not in arguments)
    if unknown:
        names = ", ".join(arguments)
        raise NoReply("no number", f"The expression contains {', '.join(unknown)}; the symbols here are {names}.")
    numbers = {symbol: float(arguments[str(symbol)]) for symbol in expression.free_symbols}
    number = expression.doit().evalf(20, subs=numbers)
    if not number.is_number or number.is_real is False:
        raise NoReply("no number", f"The expression does not become a real number: {number}.")
    return float(number)


# ------------------------------------------------------------------------------------------------------------- time


class TooSlow(BaseException):
    """Raised inside an answer that takes too long; no `except Exception` of the answer catches it."""


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
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent)
    own = [frame for frame in frames if not frame.filename.startswith(here) and "site-packages" not in frame.filename]
    text = f"{type(error).__name__}: {error}"
    if not own:
        return text
    source = (own[-1].line or linecache.getline(own[-1].filename, own[-1].lineno or 0)).strip()
    return f"{text} (line {own[-1].lineno} of {own[-1].name}: `{source}`)" if source else text
