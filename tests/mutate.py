"""Run the real command with one line of the shipped source changed: python tests/mutate.py MODULE OLD NEW -- ARGUMENTS.

The change is made while Python loads the module, so the package itself runs, nothing is copied, and no file is touched
(an interrupted run leaves no mutation behind). OLD must stand in the source exactly once.

`outcome` does the same in a process that has NumPy, SciPy and what writes tables loaded, but nothing of the package.
"""

from __future__ import annotations

import importlib.machinery
import multiprocessing
import os
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NOT_ONCE = 70  # exit status of a mutation that does not fit the source any more
LIBRARIES = ["scipy.special", "scipy.linalg", "typer", "rich.console", "rich.progress", "rich.table"]
SECONDS = 300  # for a change after which the command does not end
SERVER: Any = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
SERVER.set_forkserver_preload(LIBRARIES)


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


def command(module: str, old: str, new: str, arguments: list[str]) -> None:
    """What `vaelib ARGUMENTS` does with the change; it ends the process."""
    install(module, old, new)
    sys.argv = ["vaelib", *arguments]
    runpy.run_module("vaelib", run_name="__main__", alter_sys=True)


def outcome(module: str, old: str, new: str, arguments: list[str], written: Path) -> tuple[int | None, str]:
    """The exit status of the command, and what it wrote (into `written`); the status is None if it took too long."""
    process = SERVER.Process(target=_writing, args=(written, module, old, new, arguments))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
    return process.exitcode, written.read_text(encoding="utf-8")


def _writing(written: Path, *given: Any) -> None:
    loaded = [name for name in sys.modules if name.split(".")[0] == "vaelib"]
    assert not loaded, f"Expected a process without the package, but it has loaded {loaded}."
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    command(*given)


if __name__ == "__main__":
    separator = sys.argv.index("--")
    command(*sys.argv[1:separator], sys.argv[separator + 1 :])
