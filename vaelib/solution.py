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
    first = node.body[0].lineno - 1
    while lines[first - 1].lstrip().startswith("#"):  # a comment above the first statement belongs to the body
        first -= 1
    dropped: set[int] = set()
    heads: dict[int, str] = {}
    for part in ast.walk(node):
        if not isinstance(part, ast.FunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(part) is not None and len(part.body) > 1:
            dropped |= {*range(part.body[0].lineno - 1, part.body[0].end_lineno or 0)}
            dropped |= {i for i in range(part.body[0].lineno, part.body[1].lineno) if not lines[i].strip()}
        if isinstance(part, ast.FunctionDef) and part is not node:
            dropped |= {*range(part.lineno - 1, part.body[0].lineno - 1)}
            heads[part.lineno - 1] = " " * part.col_offset + f"def {part.name}({ast.unparse(_unannotated(part.args))}):"
    numbered = ((i, heads.get(i, line)) for i, line in enumerate(lines))
    return [line for i, line in numbered if i >= first and (i in heads or i not in dropped)]


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
