"""The course's own answer to a task in class, as a student would have typed it."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from typing import Any

from vaelib.task import Task


def as_typed(task: Task) -> str:
    """The source of the course's own answer under the task's name, without docstring and annotations.

    Raises:
        TypeError: the answer has no source, such as a built-in or a lambda.

    Example: print(as_typed(task("03.a")))
    """
    source = textwrap.dedent(inspect.getsource(task.own))
    (node,) = ast.parse(source).body
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        raise TypeError(
            f"Expected the truth of {task.id} to be a function or a class with a name, but got {task.own!r}."
        )
    lines = source.splitlines()
    bare = _bare(lines, node)
    head = f"class {task.name}({', '.join(map(ast.unparse, node.bases))}):" if isinstance(node, ast.ClassDef) else ""
    if isinstance(node, ast.FunctionDef):
        head = f"def {task.name}({ast.unparse(_unannotated(node.args))}):"
    return "\n".join([head, *bare]).rstrip()


def _bare(lines: list[str], node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """The body's lines, with their comments, without docstrings; of a class, with the heads of its methods."""
    dropped: set[int] = set()
    heads: dict[int, str] = {}
    for part in ast.walk(node):
        if not isinstance(part, ast.FunctionDef | ast.ClassDef):
            continue
        begins = _with_comments(lines, part.body[0].lineno - 1)
        if ast.get_docstring(part) is not None and len(part.body) > 1:
            ends = part.body[0].end_lineno or begins
            blank = next((i for i in range(ends, len(lines)) if lines[i].strip()), ends)
            dropped |= {*range(part.body[0].lineno - 1, blank)}
        if isinstance(part, ast.FunctionDef) or part is node:
            dropped |= {*range(part.lineno - 1, begins)}
        if isinstance(part, ast.FunctionDef) and part is not node:
            heads[part.lineno - 1] = " " * part.col_offset + f"def {part.name}({ast.unparse(_unannotated(part.args))}):"
    dropped |= {*range(node.lineno - 1)}  # decorators
    return [heads.get(i, line) for i, line in enumerate(lines) if i in heads or i not in dropped]


def _with_comments(lines: list[str], first: int) -> int:
    """The index of the first of the comments that come directly above a line, or of the line itself."""
    while lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return first


def _unannotated(arguments: ast.arguments) -> ast.arguments:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for argument in every:
        if argument is not None:
            argument.annotation = None
    return arguments


def is_stub(function: Any) -> bool:
    """Has the function no more than `...`, a docstring or NotImplementedError in it? Then it is still to be written.

    Example: is_stub(lambda: None)
    """

    def empty() -> None: ...

    code = getattr(function, "__code__", None) if type(function) is types.FunctionType else None
    if code is None:
        return False
    return len(code.co_code) <= len(empty.__code__.co_code) or "NotImplementedError" in code.co_names
