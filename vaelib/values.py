"""What a returned object is worth: a word, or numbers in double precision; or, in words, why it is neither.

An object is taken apart by its exact type, so that none can pass by redefining `==`. Whatever it does while it is
looked at (a `__repr__` that raises, a list that contains itself) ends in a `NoReply`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from vaelib.estimate import Estimate

Arguments = Mapping[str, Any]
PRECISIONS = {"float64": 0, "float32": 1}  # the larger the coarser
LARGEST = 10**6  # numbers in one value
DEEPEST = 8  # lists in lists
LONGEST = 200  # letters of something that is quoted
LONGEST_FORMULA = 2000  # letters of a formula in LaTeX
WORDS = (str, np.str_)
SEQUENCES = (list, tuple, range)
NUMBERS = (bool, int, float, Fraction, Decimal)
ITERATED = ("generator", "map", "zip", "filter", "dict_values", "set", "frozenset", "deque")


class NoReply(Exception):
    """There is no value to judge. `kind` is "not attempted", "raised", "too slow", "no number" or "not allowed"."""

    question: Arguments | None = None  # what was asked

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class TooSlow(BaseException):
    """Raised inside an answer that takes too long; no `except Exception` of the answer catches it."""


@dataclass(frozen=True)
class Reply:
    """A value, float64 of any shape or a word; the precision in which it was computed; its own error, if it has one."""

    value: Any
    precision: str = "float64"
    error: Any = None


# ------------------------------------------------------------------------------------------- objects that misbehave


def quoted(value: Any, form: Callable[[Any], str] = repr) -> str:
    """`repr` or `str` of anything, on one line that can be printed; an object that refuses is named by its type."""
    try:
        text = form(value)
    except (KeyboardInterrupt, TooSlow):
        raise
    except BaseException:
        return f"an object of type {kind_of(value)}"
    return one_line(text)


def one_line(text: str, longest: int = LONGEST) -> str:
    """One line of at most `longest` letters: no line breaks, no control characters, nothing that cannot be encoded."""
    start = str.encode(text[: 4 * longest], "utf-8", "backslashreplace").decode()
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in start).split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def kind_of(value: Any) -> str:
    try:
        return one_line(type(value).__name__, 60)
    except (KeyboardInterrupt, TooSlow):
        raise
    except BaseException:
        return "object"


@contextmanager
def explained(what: str) -> Iterator[None]:
    """An exception inside becomes a NoReply that begins with `what`; Ctrl-C and the time limit get through."""
    try:
        yield
    except (NoReply, KeyboardInterrupt, TooSlow):
        raise
    except BaseException as error:
        raise NoReply("no number", f"{what} ({kind_of(error)}: {quoted(error, str)}).") from None


# ----------------------------------------------------------------------------------------------------------- values


def is_blank(value: Any) -> bool:
    """Nothing is there yet: None, `...`, or an empty text."""
    return value is None or value is Ellipsis or (type(value) in WORDS and not value.strip())


def as_reply(value: Any, arguments: Arguments | None = None) -> Reply:
    """What a returned value is worth; in a SymPy expression the arguments take the places of symbols."""
    with explained("The value could not be read"):
        word = _as_word(value)
        if word is not None:
            return Reply(one_line(word, LONGEST_FORMULA if "\\" in word else LONGEST))
        if type(value) is Estimate:
            return Reply(_array(value.value, arguments)[0], "float64", _array(value.error, arguments)[0])
        return Reply(*_array(value, arguments))


def _as_word(value: Any) -> str | None:
    """The word, or the letters of a list or an array one after the other; None if it is something else."""
    if type(value) is np.ndarray and value.dtype.kind == "U" and value.size <= LARGEST:
        value = value.ravel().tolist()
    if type(value) in (list, tuple) and value and all(type(part) in WORDS for part in value[:LONGEST]):
        value = " ".join(value[:LONGEST])
    return str(value) if type(value) in WORDS else None


def _array(value: Any, arguments: Arguments | None, depth: int = 0) -> tuple[Any, str]:
    """(float64 array, precision it was computed in)."""
    if depth > DEEPEST:
        raise NoReply("no number", f"The list holds lists more than {DEEPEST} deep, or contains itself.")
    if is_symbolic(value):
        value = evaluated(value, arguments or {})
    elif _is_matrix(value):
        value = value.tolist()
    if _is_tensor(value):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            raise NoReply("no number", "The value is in bfloat16: three digits are too few to be judged.")
        value = value.numpy()
    if type(value) is np.ndarray and value.dtype.kind == "O" and value.size <= LARGEST:
        value = value.tolist()
    if type(value) in SEQUENCES:
        return _array_of_parts(value, arguments, depth)
    if type(value) in NUMBERS:
        return np.array(_float(value)), "float64"
    if type(value) is not np.ndarray and type(value).__module__ != "numpy":
        hint = " Put list(...) around it." if kind_of(value) in ITERATED else ""
        raise NoReply("no number", f"Expected a number or an array, but got an object of type {kind_of(value)}.{hint}")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise NoReply("no number", f"Expected real numbers, but got an array of type {array.dtype}.")
    if str(array.dtype) == "float16":
        raise NoReply("no number", "The value is in half precision: three digits are too few to be judged.")
    _not_too_large(array.size)
    precision = str(array.dtype) if str(array.dtype) in PRECISIONS else "float64"
    return array.astype(float), precision


def _array_of_parts(values: Any, arguments: Arguments | None, depth: int) -> tuple[Any, str]:
    _not_too_large(len(values))
    parts = [_array(part, arguments, depth + 1) for part in values]
    if len({part.shape for part, _ in parts}) > 1:
        raise NoReply("no number", "The list holds parts of different shapes.")
    coarsest = max((precision for _, precision in parts), key=PRECISIONS.__getitem__, default="float64")
    _not_too_large(sum(part.size for part, _ in parts))
    return np.array([part for part, _ in parts], dtype=float), coarsest


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise NoReply("no number", "The number is too large for a float: beyond 1.8e308.") from None


def _not_too_large(size: int) -> None:
    if size > LARGEST:
        raise NoReply("no number", f"Expected an answer of a few numbers, but got {size:,} of them.")


def numbers_in(word: str) -> Any | None:
    """The numbers of a text, "3" or "1.25, 5.75" or "5/4", as an array; None if it holds anything else."""
    parts = word.strip("[]() ").replace(",", " ").split()
    try:
        numbers = [float(Fraction(part)) if "/" in part else float(part) for part in parts if len(part) <= 40]
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    if not numbers or len(numbers) < len(parts):
        return None
    return np.array(numbers[0] if len(numbers) == 1 else numbers)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and type(value) in (torch.Tensor, torch.nn.Parameter)


# ------------------------------------------------------------------------------------------------------------ SymPy


def is_symbolic(value: Any) -> bool:
    sympy = sys.modules.get("sympy")
    return sympy is not None and issubclass(type(value), sympy.Expr) and not issubclass(type(value), sympy.MatrixExpr)


def _is_matrix(value: Any) -> bool:
    sympy = sys.modules.get("sympy")
    return sympy is not None and issubclass(type(value), sympy.MatrixBase)


def evaluated(expression: Any, arguments: Arguments) -> float:
    """The number that a SymPy expression takes where its symbols have the values of the arguments, by name."""
    unknown = sorted(str(symbol) for symbol in expression.free_symbols if str(symbol) not in arguments)
    if unknown:
        there = f"the symbols here are {', '.join(arguments)}" if arguments else "a number is asked, without symbols"
        raise NoReply("no number", f"The expression contains {', '.join(unknown)}; {there}.")
    numbers = {symbol: float(arguments[str(symbol)]) for symbol in expression.free_symbols}
    number = expression.doit().evalf(20, subs=numbers)
    if not number.is_number or number.is_real is False:
        raise NoReply("no number", f"The expression does not become a real number: {number}.")
    return float(number)
