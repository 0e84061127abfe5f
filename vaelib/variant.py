"""A function with another source, which can change nothing that the student has.

A variant sees copies of what the function's names stand for, so that it may count, collect or cache as it likes. Where
that cannot be promised, there is none: a closure, a function that reaches files or the screen, source that is not what
runs.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LONGEST = 10_000  # letters of a source
FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
REACHES = frozenset(  # files, the screen, other processes, settings: a function that names one has no variants
    """open input exec eval compile globals locals vars setattr delattr breakpoint exit quit __import__ display
    get_ipython check hint case progress save savez savez_compressed savetxt savefig dump to_csv write writelines
    write_text write_bytes tofile unlink remove rename replace mkdir rmdir system popen Popen run urlopen sleep show
    figure subplots subplot plot imshow seed manual_seed set_printoptions seterr __dict__ __globals__ __code__
    __setattr__""".split()
)
NUMBERS = (bytes, str, bool, int, float, complex, type(None))
LOOSE = (*NUMBERS, types.ModuleType, type, types.BuiltinFunctionType, types.FunctionType, np.ufunc)  # not copied


@dataclass(frozen=True)
class Original:
    """A function whose source is at hand: what is needed to make variants of it.

    Attributes:
        source: dedented, from the line of its `def` on. line: of that in its cell or file.
    """

    function: types.FunctionType
    source: str
    line: int
    inside: dict[str, Any] = field(repr=False)  # what its names, and those of the functions that it calls, stand for

    @property
    def modules(self) -> list[str]:
        """The names of the libraries that the function could use."""
        return [name for name, thing in self.inside.items() if isinstance(thing, types.ModuleType)]


def original(answer: Any) -> Original | None:
    """The function with its source; None if it has none to be relied on, or if its variants might do harm.

    Example: original(lambda x: x) is None
    """
    if type(answer) is not types.FunctionType or answer.__closure__ or hasattr(answer, "__wrapped__"):
        return None
    try:
        lines, line = inspect.getsourcelines(answer)
        source = textwrap.dedent("".join(lines))
        inside = _inside(answer)
        whole = len(source) <= LONGEST and source.startswith("def ") and _is_source_of(source, answer)
    except (OSError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return Original(answer, source, max(line, 1), inside) if whole and inside is not None else None


def variant(of: Original, source: str | ast.FunctionDef) -> types.FunctionType:
    """The function with this source and copies of what its names stand for; nothing is run.

    Raises:
        ValueError: the source does not define one function of the same name and parameters.
    """
    tree: Any = source if isinstance(source, str) else ast.Module([source], [])
    code = _code(tree, of.function)
    if code.co_varnames[: code.co_argcount] != of.function.__code__.co_varnames[: of.function.__code__.co_argcount]:
        raise ValueError("Expected a function of the same parameters.")
    return _with_copies(of, code)


def _code(source: Any, function: types.FunctionType) -> types.CodeType:
    """The code of the function that a source defines, compiled under the same rules."""
    flags = function.__code__.co_flags & FUTURE
    try:
        module = compile(source, "<one change>", "exec", flags=flags, dont_inherit=True)
    except (SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"Expected the source of a function, but got {type(error).__name__}: {error}.") from None
    codes = [each for each in module.co_consts if isinstance(each, types.CodeType)]
    if len(codes) != 1 or codes[0].co_name != function.__name__ or codes[0].co_freevars:
        raise ValueError(f"Expected the definition of {function.__name__}, and of nothing else.")
    return codes[0]


def _with_copies(of: Original, code: types.CodeType) -> types.FunctionType:
    names: dict[str, Any] = {"__name__": of.function.__globals__.get("__name__", ""), **of.inside}
    memory: dict[int, Any] = {}
    for name, thing in of.inside.items():
        if thing is of.function or _is_sibling(thing, of.function):
            its = code if thing is of.function else thing.__code__
            names[name] = _function(its, names, thing, memory)
        elif not isinstance(thing, LOOSE):
            names[name] = copy.deepcopy(thing, memory)
    return _function(code, names, of.function, memory)


def _function(code: types.CodeType, names: dict[str, Any], like: Any, memory: dict[int, Any]) -> types.FunctionType:
    made = types.FunctionType(code, names, like.__name__, copy.deepcopy(like.__defaults__, memory))
    made.__kwdefaults__ = copy.deepcopy(like.__kwdefaults__, memory)
    return made


# ------------------------------------------------------------------------------------------------------------ refusals


def _is_source_of(source: str, function: types.FunctionType) -> bool:
    """Does the source, as it is now, compile to what runs? A file may have been changed since it was loaded."""
    return _bytes(_code(source, function)) == _bytes(function.__code__)


def _bytes(code: types.CodeType) -> Any:
    consts = tuple(_bytes(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, consts


def _inside(function: types.FunctionType) -> dict[str, Any] | None:
    """What the names in the code stand for, those of the functions that it calls included; None if it may do harm."""
    found: dict[str, Any] = {
        name: thing for name, thing in function.__globals__.items() if isinstance(thing, types.ModuleType)
    }
    waiting = [function]
    while waiting:
        each = waiting.pop()
        for name in _names(each.__code__):
            if name in REACHES:
                return None
            thing: Any = function.__globals__.get(name)
            if isinstance(thing, types.ModuleType) and thing.__name__.startswith(("matplotlib", "IPython")):
                return None
            if name in found or name not in function.__globals__:
                continue
            found[name] = thing
            if _is_sibling(thing, function) and thing is not function:
                if thing.__closure__ or hasattr(thing, "__wrapped__"):
                    return None
                waiting.append(thing)
    return found


def _is_sibling(thing: Any, function: types.FunctionType) -> bool:
    return type(thing) is types.FunctionType and thing.__globals__ is function.__globals__


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)
