"""Run the real command with one line of the shipped source changed: python tests/mutate.py MODULE OLD NEW -- ARGUMENTS.

The change is made while Python loads the module, so the package itself runs, nothing is copied, and no file is touched
(an interrupted run leaves no mutation behind). OLD must stand in the source exactly once.
"""

from __future__ import annotations

import importlib.machinery
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NOT_ONCE = 70  # exit status of a mutation that does not fit the source any more


def install(module: str, old: str, new: str) -> None:
    """From now on `module` is loaded with `old` replaced by `new`."""
    spec = find_spec("vaelib")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    target = folder.joinpath(*module.split(".")).with_suffix(".py")
    source = target.read_text(encoding="utf-8")
    if source.count(old) != 1 or old == new:
        print(f"Expected {old!r} exactly once in {module}, but found it {source.count(old)} times.", file=sys.stderr)
        sys.exit(NOT_ONCE)
    mutated = source.replace(old, new).encode()
    loader: Any = importlib.machinery.SourceFileLoader
    get_data, path_stats = loader.get_data, loader.path_stats

    def mutated_data(self: Any, path: str) -> bytes:
        return mutated if Path(path) == target else get_data(self, path)

    def no_cached_bytecode(self: Any, path: str) -> Any:
        if Path(path) == target:
            raise OSError("mutated: compile it from source")
        return path_stats(self, path)

    loader.get_data, loader.path_stats = mutated_data, no_cached_bytecode


if __name__ == "__main__":
    separator = sys.argv.index("--")
    install(*sys.argv[1:separator])
    sys.argv = ["vaelib", *sys.argv[separator + 1 :]]
    runpy.run_module("vaelib", run_name="__main__", alter_sys=True)
