"""The package as a submission finds it: a copy without the answers, and without what an exercise does not allow.

`vaelib.tasks` and `vaelib.judge` know the answers, so they are not in it; `vaelib.exercise` is one that only takes
notes. What is forbidden is taken out of the source: whoever looks for it in such a process finds it under no name.
"""

from __future__ import annotations

import ast
import importlib.util
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vaelib import forbidden

PACKAGE = Path(__file__).resolve().parents[1]
NAME = PACKAGE.name
KNOWS_ANSWERS = ("tasks/", "judge.py", "exercise.py")
NOT_NEEDED = ("check/", "nearest/", "magic.py")  # what reads people's documents
OF_GRADING = ("__init__", "audit", "cells", "limits", "removal", "stand_in", "wire", "worker")  # the rest stays outside
NAMES = b"Text, case, check, hint, progress, solution, yours"
STAND_IN = b'"""What is checked is noted."""\n\nfrom vaelib.grade.stand_in import ' + NAMES + b"\n"


@dataclass(frozen=True)
class File:
    """A file of the copy: its content, and the time stamp by which Python recognizes what it compiled."""

    content: bytes
    time: float


@cache
def files(kinds: tuple[str, ...] = ()) -> dict[str, File]:
    """The copy without what is of these kinds of `vaelib.forbidden`: path below the package -> file.

    The package is read once in a process, before anything of a submission runs.
    """
    removed = forbidden.names(kinds)
    found: dict[str, File] = {}
    sources: dict[str, str] = {}
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        if (
            path.is_file()
            and "__pycache__" not in path.parts
            and _belongs(name)
            and not _within(_dotted(name), removed)
        ):
            found[name] = File(path.read_bytes(), path.stat().st_mtime)
            if name.endswith(".py"):
                sources[name] = found[name].content.decode()
                found |= _compiled(path)
    for name, source in without(sources, removed).items():
        if source != sources[name]:
            found[name] = File(source.encode(), 0.0)
    found["exercise.py"] = File(STAND_IN, 0.0)
    return found


def write(files: dict[str, File], folder: Path) -> None:
    """Writes the copy to `folder`/vaelib."""
    for name, file in files.items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        os.utime(path, (file.time, file.time))


def _belongs(name: str) -> bool:
    if name.startswith("grade/"):
        return Path(name).stem in OF_GRADING
    return not name.startswith((*KNOWS_ANSWERS, *NOT_NEEDED))


def _compiled(path: Path) -> dict[str, File]:
    """What Python has compiled of it, if it has: then the submission need not wait for that."""
    stored = Path(importlib.util.cache_from_source(str(path)))
    try:
        return {stored.relative_to(PACKAGE).as_posix(): File(stored.read_bytes(), stored.stat().st_mtime)}
    except OSError:
        return {}


def _dotted(name: str) -> str:
    """The module that a file holds: "kl.py" -> "vaelib.kl"."""
    return ".".join([NAME, *Path(name).with_suffix("").parts]).removesuffix(".__init__")


def _within(dotted: str, removed: tuple[str, ...] | set[str]) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in removed)


# ------------------------------------------------------------------------------------------------ out of the source


def without(sources: dict[str, str], removed: tuple[str, ...]) -> dict[str, str]:
    """The sources without what is removed, and without the imports of it, under whatever name.

    A function that needs what is removed stays, and raises NameError when it is called.
    """
    gone = set(removed)
    if not any(name.split(".")[0] == NAME for name in gone):
        return sources
    trees = {name: ast.parse(source) for name, source in sources.items()}
    changed: set[str] = set()
    while True:  # a name that is imported from a module that imported it is removed in the next round
        before = len(gone)
        for name, tree in trees.items():
            stripper = _Stripper(_dotted(name), gone)
            stripper.visit(tree)
            if stripper.changed:
                changed.add(name)
        if len(gone) == before:
            break
    return {name: ast.unparse(trees[name]) if name in changed else source for name, source in sources.items()}


class _Stripper(ast.NodeTransformer):
    """Takes out of one module what is gone, and notes what is gone by that."""

    def __init__(self, module: str, gone: set[str]) -> None:
        self.module = module
        self.gone = gone
        self.changed = False

    def visit_Module(self, node: ast.Module) -> ast.Module:
        kept = [each for each in node.body if not self._is_gone(each)]
        self.changed |= len(kept) < len(node.body)
        node.body = kept
        self.generic_visit(node)
        return node

    def _is_gone(self, node: ast.stmt) -> bool:
        defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        return defines and f"{self.module}.{node.name}" in self.gone  # type: ignore[attr-defined]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_If(self, node: ast.If) -> ast.If:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return self._without(node, [alias for alias in node.names if not _within(alias.name, self.gone)])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return self._without(node, [a for a in node.names if not _within(f"{node.module}.{a.name}", self.gone)])

    def _without(self, node: ast.Import | ast.ImportFrom, kept: list[ast.alias]) -> ast.AST | None:
        for alias in node.names:
            if alias not in kept:
                self.changed = True
                self.gone.add(f"{self.module}.{alias.asname or alias.name}")
        node.names = kept
        return node if kept else None

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if ast.unparse(node.targets[0]) == "__all__" and isinstance(node.value, ast.List):
            kept = [each for each in node.value.elts if f"{self.module}.{getattr(each, 'value', '')}" not in self.gone]
            self.changed |= len(kept) < len(node.value.elts)
            node.value.elts = kept
        return node
