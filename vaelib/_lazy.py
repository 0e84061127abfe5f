"""Packages that hand names on: a name is loaded from its module when somebody asks for it (PEP 562).

So `from vaelib.derivation import derive` works although some modules of `vaelib.derivation` lie below others that
import it, and `import vaelib` loads neither SciPy nor PyTorch before they are needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def handed_on(
    package: str, homes: Mapping[str, str], modules: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and the `__dir__` of a package.

    Args:
        package: its `__name__`.
        homes: module below the package -> the names that it holds, with spaces between. No name may be that of a
            module: importing the module would put it in the place of what it holds.
        modules: those that may be asked for without an import, as `vaelib.train` may after `import vaelib`.

    Raises:
        AttributeError: from `__getattr__`, for a name that the package does not hand on.

    >>> load, names = handed_on("vaelib", {"estimate": "Estimate"}, "kl elbo")
    >>> load("Estimate").__module__, load("kl").__name__, names()
    ('vaelib.estimate', 'vaelib.kl', ['Estimate', 'elbo', 'kl'])
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def load(name: str) -> Any:
        if name in modules.split():
            return importlib.import_module(f"{package}.{name}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    def names() -> list[str]:
        return sorted({*home, *modules.split()})

    return load, names
