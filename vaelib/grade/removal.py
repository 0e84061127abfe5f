"""In the process of a submission: what an exercise does not allow is removed from other libraries once they are loaded.

vaelib's own functions are not in the copy that runs here. NumPy's, SciPy's and others' are removed from every module
and class that holds them; while such a library loads more of itself, they are put back, since its modules may need
them. `explains` recognizes an error that comes from something that is not there.
"""

from __future__ import annotations

import importlib.machinery
import re
import sys
import types
from collections.abc import Sequence
from typing import Any

from vaelib import forbidden

MISSING = object()
TRIES = 3  # to remove everything, should a limit of time strike meanwhile; the next strikes a second later


class Removal:
    """Removes things from the loaded libraries, and from those that are loaded later.

    Args:
        kinds: of vaelib.forbidden.
    """

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self.names = forbidden.names(kinds)
        self._known = {(name.split(".")[0], name.rsplit(".", 1)[1]) for name in self.names if "." in name}
        self._libraries = {name.split(".")[0] for name in self.names} - {"vaelib"}
        self._taken: list[tuple[Any, str, Any]] = []  # owner, name, what it held
        self._loading = 0
        if self._libraries:
            sys.meta_path.insert(0, self)
            self._take()

    # ------------------------------------------------------------------------------------------------- what is there

    def _take(self) -> None:
        """Removes what is forbidden from every module that is loaded, under whatever name it is there.

        A limit of time may strike in the middle. It is heard when all is removed.
        """
        found: list[Any] = []
        struck: BaseException | None = None
        for _ in range(TRIES):
            try:
                found = found or [value for name in self.names if (value := _found(name)) is not MISSING]
                self._remove(found)
                break
            except BaseException as error:
                struck = error
        if struck is not None:
            raise struck

    def _remove(self, found: list[Any]) -> None:
        if not found:
            return
        held = {id(value) for value in found}
        for name, module in list(sys.modules.items()):
            if id(module) in held:
                self._taken.append((sys.modules, name, module))
                sys.modules[name] = None  # type: ignore[assignment] # importing it raises
            for key, value in list(getattr(module, "__dict__", {}).items()):
                if id(value) in held and not key.startswith("__"):
                    self._taken.append((module, key, value))
                    delattr(module, key)

    def _put_back(self) -> None:
        for owner, name, value in self._taken:
            if owner is sys.modules:
                sys.modules[name] = value
            else:
                setattr(owner, name, value)
        self._taken.clear()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Lets the module be found as ever, and puts everything back while it is loaded."""
        if name.split(".")[0] not in self._libraries:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        load = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            if self._loading == 0:
                self._put_back()
            self._loading += 1
            try:
                load(module)
            finally:
                self._loading -= 1
                if self._loading == 0:
                    self._take()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    # --------------------------------------------------------------------------------------------- what it leads to

    def explains(self, error: BaseException) -> str:
        """In words, what the error missed, if that is something that was removed."""
        for owner, name in _missed(error):
            if (owner, name) in self._known:
                what = next(n for n in self.names if n.split(".")[0] == owner and n.rsplit(".", 1)[1] == name)
                says = next((k.says for k in map(forbidden.KINDS.get, self.kinds) if k and what in k.names), "it")
                return f"`{owner}` has no `{name}` here: this exercise asks you to write {says} yourself."
        return ""


def _found(name: str) -> Any:
    """What is loaded under this name: a module, or what a module or class holds."""
    if sys.modules.get(name) is not None:
        return sys.modules[name]
    owner, _, last = name.rpartition(".")
    return vars(_found(owner)).get(last, MISSING) if owner and _found(owner) is not MISSING else MISSING


def _missed(error: BaseException) -> list[tuple[str, str]]:
    """(top package, name) of what an error says is not there."""
    if isinstance(error, AttributeError):
        owner = error.obj
        place = owner.__name__ if isinstance(owner, types.ModuleType) else getattr(type(owner), "__module__", "")
        return [(str(place).split(".")[0], str(error.name))]
    if isinstance(error, ImportError):
        parts = str(error.name).split(".")
        named = re.match(r"cannot import name '(\w+)'", str(error))
        return [(parts[0], named.group(1) if named else parts[-1])]
    if isinstance(error, NameError):  # of a function of vaelib that called what was taken out
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        module = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
        return [(str(module).split(".")[0], str(error.name))]
    return []
