"""Code cells, run as Jupyter runs them, with one difference: a statement that fails does not take the rest along.

A cell is read as Python first. If it is none, it is read as IPython reads it, with its magics and shell commands.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import importlib
import inspect
import linecache
import re
import subprocess
import sys
import traceback
import types
from dataclasses import dataclass, field
from typing import Any

from vaelib.grade.removal import Removal

AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
NO_EFFECT = (  # magics that install, show or measure something, and bind no name
    "matplotlib pip conda mamba micromamba uv debug pdb timeit pinfo pinfo2 pdoc psource pfile psearch prun lprun "
    "mprun memit check history bash sh script html HTML javascript js latex markdown svg SVG perl ruby system sx"
).split()
INSTALLER = r"(?:pip[\d.]*|conda|mamba|micromamba|uv|apt|apt-get|brew)\b"
# pip list; python -m pip install x
INSTALLS = re.compile(rf"\s*[\"']?{INSTALLER}|.*\b{INSTALLER}.*\binstall\b", re.DOTALL)
SHELL_SECONDS = 10.0


_IMPORTS = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Failure:
    """A statement that raised. `forbidden`: it missed something that the exercise does not allow."""

    cell: int
    statement: str  # its first line; empty if the whole cell could not be read
    error: str
    rest: bool = False  # something follows in the same cell
    forbidden: str = ""

    def __str__(self) -> str:
        if not self.statement:
            return f"Cell {self.cell + 1} could not be read: {self.error}"
        text = f"`{self.statement}` failed in cell {self.cell + 1}: {self.error}"
        return f"{text.rstrip('.')}. The rest of the cell was run." if self.rest else text


@dataclass
class Notebook:
    """The namespace of a notebook, and what failed in it.

    Attributes:
        failed: name -> the statement that would have bound it. unread: cells that could not be read -> their source.
    """

    removal: Removal
    failed: dict[str, Failure] = field(default_factory=dict)
    unread: dict[int, tuple[str, Failure]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self._module = types.ModuleType("__main__")
        self._shell: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running = 0
        self._flags = AWAIT  # of the compiler; a `from __future__ import` holds for the cells below, too
        sys.modules["__main__"] = self._module
        self.namespace = self._module.__dict__
        self.namespace |= {"get_ipython": self.shell, "display": lambda *_, **__: None}

    def run(self, index: int, source: str) -> list[Failure]:
        """Runs the cell; what failed in it."""
        self._running = index
        try:
            tree = self._read(index, source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            failure = Failure(index, "", said(error))
            self.unread[index] = (source, failure)
            return [failure]
        return self._run(index, tree)

    def _run(self, index: int, tree: ast.Module) -> list[Failure]:
        failures: list[Failure] = []
        statements = [part for node in tree.body for part in _parts(node)]
        for number, node in enumerate(statements):
            try:
                self._execute(node, _file(index), last=number == len(statements) - 1)
            except BaseException as error:  # whatever a student's code raises, SystemExit, too
                rest = number < len(statements) - 1
                statement = ast.unparse(node).splitlines()[0][:80] if isinstance(node, _IMPORTS) else _line(index, node)
                failure = Failure(index, statement, said(error), rest, self.removal.explains(error) or self.why(error))
                failures.append(failure)
                self.failed |= dict.fromkeys(bound(node), self.missing(error) or failure)  # the first cause
            else:
                for name in bound(node) if self.failed else ():
                    self.failed.pop(name, None)
        return failures

    def _read(self, index: int, source: str) -> ast.Module:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            if self.shell() is None:
                raise
            source = self.shell().transform_cell(source)
            tree = ast.parse(source)
        name = _file(index)
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        return tree

    def _execute(self, node: ast.stmt, filename: str, last: bool) -> None:
        shown = last and isinstance(node, ast.Expr)
        tree: ast.Expression | ast.Module = ast.Expression(node.value) if shown else ast.Module([node], [])  # type: ignore[attr-defined]
        code = compile(tree, filename, "eval" if shown else "exec", flags=self._flags, dont_inherit=True)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self._flags |= sum(getattr(__future__, alias.name).compiler_flag for alias in node.names)
        value = eval(code, self.namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            self._loop = self._loop or asyncio.new_event_loop()
            value = self._loop.run_until_complete(value)
        if shown and value is not None:
            self.namespace["_"] = value

    def why(self, error: BaseException) -> str:
        """Why a name is missing, if it is since something forbidden was."""
        missing = self.failed.get(error.name or "") if isinstance(error, NameError) else None
        return missing.forbidden if missing else ""

    def missing(self, error: BaseException | None) -> Failure | None:
        """The statement that should have bound the name that an error misses."""
        return self.failed.get(error.name or "") if isinstance(error, NameError) else None

    def absent(self, name: str) -> Failure | None:
        """Why nothing has this name: the statement that failed, or the cell that could not be read."""
        if name in self.failed:
            return self.failed[name]
        named = re.compile(rf"\b{re.escape(name)}\b")
        return next((failure for source, failure in self.unread.values() if named.search(source)), None)

    # -------------------------------------------------------------------------------------------------------- IPython

    def shell(self) -> Any:
        """IPython's shell on this namespace, started when it is first needed; None where IPython is not installed."""
        if self._shell is None:
            self._shell = _shell(self)
        return self._shell

    def timed(self, line: str, cell: str | None = None) -> None:
        """%time and %%time: what is timed is run as it is, and what it binds is kept."""
        self._run_inner("\n".join(part for part in (line, cell) if part))

    def captured(self, line: str, cell: str) -> None:
        """%%capture: the cell is run."""
        self._run_inner(cell)

    def _run_inner(self, source: str) -> None:
        tree = self._read(self._running, source)
        for failure in self._run(self._running, tree):
            raise RuntimeError(str(failure))


def said(error: BaseException) -> str:
    """The last line of an error: its kind and its words, whatever they do."""
    try:
        return traceback.format_exception_only(error)[-1].strip()[:300]
    except BaseException:
        return type(error).__name__


def _file(index: int) -> str:
    """The name under which a cell is compiled."""
    return f"<cell {index + 1}>"


def _line(index: int, node: ast.stmt) -> str:
    return linecache.getline(_file(index), node.lineno).strip()[:80]


def _parts(node: ast.stmt) -> list[ast.stmt]:
    """An import of several names is as many imports, of which one may fail."""
    if isinstance(node, ast.Import) and len(node.names) > 1:
        return [ast.copy_location(ast.Import([alias]), node) for alias in node.names]
    if isinstance(node, ast.ImportFrom) and len(node.names) > 1:
        return [ast.copy_location(ast.ImportFrom(node.module, [alias], node.level), node) for alias in node.names]
    return [node]


def bound(node: ast.AST) -> set[str]:
    """The names that a statement would bind."""
    found: set[str] = set()
    pending: list[ast.AST] = [node]
    while pending:
        each = pending.pop()
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(each.name)
            continue  # what is inside is not bound here
        if isinstance(each, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.split(".")[0] for alias in each.names}
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            found.add(each.id)
        pending += [] if isinstance(each, ast.Lambda) else ast.iter_child_nodes(each)
    return found


# ----------------------------------------------------------------------------------------------------------- IPython


def _shell(notebook: Notebook) -> Any:
    """IPython's shell on the notebook's namespace; None where IPython is not installed."""
    try:
        interactive = importlib.import_module("IPython.core.interactiveshell")
        config = importlib.import_module("traitlets.config").Config()
    except ImportError:
        return None
    config.HistoryManager.enabled = False
    shell = interactive.InteractiveShell.instance(config=config, user_module=notebook._module)
    for name in NO_EFFECT:
        shell.register_magic_function(lambda line, cell=None: None, "line_cell", name)
    shell.register_magic_function(notebook.timed, "line_cell", "time")
    shell.register_magic_function(notebook.captured, "cell", "capture")
    shell.system = shell.system_piped = shell.system_raw = lambda command: print(_run_in_shell(shell, command))
    shell.getoutput = lambda command, split=True, depth=0: _lines(_run_in_shell(shell, command), split)
    return shell


def _run_in_shell(shell: Any, command: str) -> str:
    """What a shell command prints; what installs something is left out, and a long one is ended."""
    text = shell.var_expand(command, depth=2)
    if INSTALLS.match(text):
        return "(not run while the notebook is graded)"
    try:
        how: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(text, shell=True, timeout=SHELL_SECONDS, check=False, **how)
    except (OSError, subprocess.SubprocessError) as error:
        return said(error)
    return str(done.stdout.decode("utf-8", "replace").rstrip("\n"))


def _lines(text: str, split: bool) -> Any:
    return importlib.import_module("IPython.utils.text").SList(text.splitlines()) if split else text
