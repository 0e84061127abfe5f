"""What an exercise forbids is noticed in the notebook as well: in the code of an answer, and while the answer runs.

In grading, forbidden things are not there (`grade/removal.py`). In a notebook nothing is taken away from NumPy, SciPy,
torch or the package, since the student works on with them. Instead the names that an answer's code uses are looked up,
as Python would look them up, and while it runs, a call of a forbidden function ends it. Nothing of the student's is
changed, and nothing stays behind.
"""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vaelib import forbidden
from vaelib.reply import Answer, NoReply
from vaelib.values import Arguments

MISSING = object()
DEEP = 200  # functions of an answer that are looked at


@dataclass
class Guarded(Answer):
    """An answer in this process that may not use what its exercise forbids.

    Args:
        kinds: of vaelib.forbidden, such as ("kl",).

    Example: judge(task("04.1"), Guarded(kl_normal, kinds=("kl",)))
    """

    kinds: tuple[str, ...] = ()
    _clean: set[int] = field(default_factory=set)

    def _value(self, arguments: Arguments, given: list[Any]) -> Any:
        if not self.kinds or not callable(self.content):
            return super()._value(arguments, given)
        self._look()
        with _watched(self.kinds):
            value = super()._value(arguments, given)
        self._look()  # the answer may have imported something
        return value

    def _look(self) -> None:
        loaded = len(sys.modules)
        if loaded in self._clean:
            return
        if found := used(self.content, self.kinds):
            raise NoReply("not allowed", found)
        self._clean = {loaded}


def used(answer: Any, kinds: tuple[str, ...]) -> str:
    """In words, what the answer's code names of these kinds; empty if nothing.

    Example: used(lambda q, p: scipy.special.rel_entr(q, p), ("kl",))
    """
    held = _held(kinds)
    return next((_says(held[id(thing)]) for thing in _things(answer) if id(thing) in held), "")


def _says(name: str) -> str:
    kind = next((kind for kind in forbidden.KINDS.values() if name in kind.names), None)
    what = kind.says if kind is not None else "it"
    return f"`{name.rpartition('.')[2]}` is used: this exercise asks you to write {what} yourself."


def _held(kinds: tuple[str, ...]) -> dict[int, str]:
    """Identity of what is forbidden and loaded -> its name. What is not loaded, no answer can have."""
    found = {name: _loaded(name) for name in forbidden.names(kinds)}
    return {id(thing): name for name, thing in found.items() if thing is not MISSING}


def _loaded(name: str) -> Any:
    if sys.modules.get(name) is not None:
        return sys.modules[name]
    owner, _, last = name.rpartition(".")
    holder = _loaded(owner) if owner else MISSING
    return MISSING if holder is MISSING else vars(holder).get(last, MISSING)


# ------------------------------------------------------------------------------------------------- what the code names


def _things(answer: Any) -> Iterator[Any]:
    """The answer and all that its code names, through the functions and classes that the student wrote."""
    waiting, seen = [answer], set[int]()
    while waiting and len(seen) < DEEP:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        for part in _parts(thing):
            if _is_own(part):
                waiting.append(part)
            else:
                yield part


def _is_own(thing: Any) -> bool:
    """Written by the student, so that its code is looked at, too."""
    if isinstance(thing, functools.partial | list | tuple | dict):
        return True
    kind = thing if isinstance(thing, type | types.FunctionType | types.MethodType) else type(thing)
    module = sys.modules.get(str(getattr(kind, "__module__", "")))
    file = getattr(module, "__file__", None) or ""
    of_others = "site-packages" in file or file.startswith((sys.base_prefix, str(_PACKAGE))) or module is builtins
    return not of_others and kind is not types.ModuleType


_PACKAGE = __file__.rpartition("bans")[0]


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, functools.partial):
        yield from (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, list | tuple | dict):
        yield from (each for each in (thing.values() if isinstance(thing, dict) else thing) if callable(each))
    elif isinstance(thing, types.MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, types.FunctionType):
        yield from _named(thing)
        yield from (thing.__defaults__ or ())
    elif isinstance(thing, type):
        yield from vars(thing).values()
    else:
        inside = getattr(thing, "__dict__", None)
        yield from (list(inside.values()) if isinstance(inside, dict) else ())
        yield from (getattr(thing, name) for name in ("pyfunc", "__wrapped__") if hasattr(type(thing), name))
        if _is_own(type(thing)):
            yield type(thing)


def _named(function: types.FunctionType) -> Iterator[Any]:
    """What the names in a function's code stand for, `torch.distributions.kl_divergence` step by step."""
    try:
        inside = inspect.getclosurevars(function).nonlocals
    except ValueError:  # a cell that is not filled yet
        inside = {}
    scope = {**vars(builtins), **function.__globals__, **inside}
    yield from _of_code(function.__code__, scope)


def _of_code(code: types.CodeType, scope: dict[str, Any]) -> Iterator[Any]:
    at: Any = MISSING
    imported: dict[str, Any] = {}
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLOSURE"):
            at = imported.get(step.argval, scope.get(step.argval, MISSING))
        elif step.opname == "LOAD_FAST":  # a parameter may have the name of anything
            at = imported.get(step.argval, MISSING)
        elif step.opname == "IMPORT_NAME":
            at = sys.modules.get(step.argval, MISSING)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"):
            owner = at
            at = inspect.getattr_static(owner, step.argval, MISSING) if _is_static(owner) else MISSING
            if step.opname == "IMPORT_FROM":
                yield at
                imported[step.argval] = at
                at = owner
                continue
        elif step.opname.startswith("STORE_") and isinstance(step.argval, str):
            imported[step.argval] = at
            continue
        elif step.opname in ("PRECALL", "CALL", "CACHE", "PUSH_NULL", "COPY", "SWAP", "EXTENDED_ARG"):
            continue
        else:
            at = MISSING
        if at is not MISSING:
            yield at
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):  # a function inside the function
            yield from _of_code(constant, scope | imported)


def _is_static(owner: Any) -> bool:
    """Are attributes looked up without running anything?"""
    return isinstance(owner, types.ModuleType | type)


# ------------------------------------------------------------------------------------------------------ while it runs


@contextmanager
def _watched(kinds: tuple[str, ...]) -> Iterator[None]:
    """A call of something forbidden raises NoReply, even where the answer catches what is raised inside it."""
    codes: dict[types.CodeType, str] = {}
    held: dict[int, str] = {}
    files: dict[str, str] = {}
    found: list[str] = []
    loaded = 0

    def look_again() -> None:
        nonlocal loaded
        loaded = len(sys.modules)
        held.update(_held(kinds))
        for name in held.values():
            thing = _loaded(name)
            if isinstance(thing, types.ModuleType):
                files[str(getattr(thing, "__file__", "")).removesuffix("__init__.py")] = name
            for function in vars(thing).values() if isinstance(thing, type) else [thing]:
                function = inspect.unwrap(getattr(function, "__func__", function))
                if isinstance(function, types.FunctionType):
                    codes[function.__code__] = name
        files.pop("", None)

    def called(frame: types.FrameType, event: str, argument: Any) -> None:
        if len(sys.modules) != loaded:
            look_again()
        name = None
        if event == "call":
            name = codes.get(frame.f_code)
            if name is None and frame.f_code.co_name != "<module>":  # loading a module is not using it
                name = next((n for file, n in files.items() if frame.f_code.co_filename.startswith(file)), None)
        elif event == "c_call":
            name = held.get(id(argument))
        if name is not None:
            found.append(name)
            sys.setprofile(None)
            raise NoReply("not allowed", _says(name))

    before = sys.getprofile()
    look_again()
    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(before)
        if found:
            raise NoReply("not allowed", _says(found[0]))
