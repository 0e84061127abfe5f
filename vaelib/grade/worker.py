"""Runs one submission: its code cells, then questions, until the pipe is closed. Started by `submission` alone.

    python -m vaelib.grade.worker NOTEBOOK READ WRITE SKIPPED

READ and WRITE are numbers of open pipes, SKIPPED the cells that ended an earlier process, as JSON.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from vaelib.grade import wire
from vaelib.reply import Answer, NoReply

asked_now: list[str] = []  # names that the question under way does not allow


class Recorded:
    """What `check` returns here: nothing is judged inside."""

    right = False
    state = "recorded"

    def __repr__(self) -> str:
        return "recorded, not judged"


class Session:
    """The namespace of a submission, and what it passed to `check`."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.namespace: dict[str, Any] = {"__name__": "__main__", "display": lambda *_: None}
        stand_in = ModuleType("vaelib.exercise")  # nothing here may know an answer
        vars(stand_in).update(check=self.check, hint=lambda *_: None, progress=lambda *_, **__: None)
        sys.modules["vaelib.exercise"] = stand_in
        sys.modules["vaelib.tasks"] = None  # type: ignore[assignment] # importing it raises

    def check(self, id: str, answer: Any, seed: int = 0) -> Recorded:
        self.answers.setdefault(str(id), []).append(answer)
        return Recorded()

    def run(self, source: str) -> str:
        """Runs one cell; the last line of the error, if there is one."""
        try:
            if source.lstrip().startswith(("%%bash", "%%sh", "%%html", "%%javascript", "%%writefile")):
                return ""
            tree = ast.parse("\n".join(_without_magic(line) for line in source.splitlines()))
            exec(compile(tree, "<submission>", "exec"), self.namespace)
        except BaseException:
            return traceback.format_exc(limit=0).strip().splitlines()[-1][:300]
        return ""

    def answer(self, id: str, name: str) -> Any:
        """What was checked under the exercise's id, of several what has its name; else what has its name."""
        checked, named = self.answers.get(id, []), self.namespace.get(name)
        if not checked or any(answer is named for answer in checked):
            return named
        return checked[-1]


def _without_magic(line: str) -> str:
    """A line that only IPython understands (%time, !ls, help?) is left out."""
    text = line.strip()
    return "" if text.startswith(("%", "!", "?")) or text.endswith("?") else line


def code_cells(path: Path) -> list[str]:
    """Sources of the code cells; a notebook that is damaged has none."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell.get("cell_type") == "code"]


def forbid(names: list[str]) -> None:
    """Calls of these raise while a question is asked that does not allow them: "vaelib.kl_divergence", or a method."""
    for name in names:
        owner, attribute = _found(name)
        original = getattr(owner, attribute)
        guarded = _guarded(name, original)
        setattr(owner, attribute, guarded)
        if not isinstance(owner, type):  # the same function under the package's other names
            for other in list(sys.modules.values()):
                if getattr(other, "__name__", "").split(".")[0] == name.split(".")[0]:
                    for alias in [key for key, value in vars(other).items() if value is original]:
                        setattr(other, alias, guarded)


def _found(name: str) -> tuple[Any, str]:
    """The module or class that has it, and its name there."""
    path, _, attribute = name.rpartition(".")
    try:
        return importlib.import_module(path), attribute
    except ModuleNotFoundError:
        owner, inner = _found(path)
        return getattr(owner, inner), attribute


def _guarded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if name in asked_now:
            raise NoReply("not allowed", f"{name} was called: this exercise asks for what it does.")
        return original(*args, **kwargs)

    return guarded


def serve(session: Session, source: BinaryIO, target: BinaryIO) -> None:
    """Answers questions until there are no more."""

    def read(size: int) -> bytes:
        content = source.read(size)
        if len(content) < size:
            raise EOFError
        return content

    while True:
        try:
            question, payload = wire.receive(read)
        except EOFError:
            return
        answer = Answer(session.answer(question["id"], question["name"]), question["seconds"])
        asked_now[:] = question["forbidden"]
        try:
            if question["lines"]:
                wire.send(target, {"lines": answer.lines()})
            else:
                wire.send(target, *wire.packed_reply(answer.ask(wire.unpacked(question["arguments"], payload))))
        except NoReply as reason:
            wire.send(target, {"problem": reason.kind, "text": reason.text[:300]})
        except ValueError as error:  # too large to be sent
            wire.send(target, {"problem": "no number", "text": str(error)[:300]})
        finally:
            asked_now.clear()


def main() -> None:
    path, read, write, skipped = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    target = os.fdopen(write, "wb")
    try:
        cells = code_cells(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        wire.send(target, {"damaged": f"{type(error).__name__}: {error}"[:300]})
        return
    source = os.fdopen(read, "rb")
    wire.send(target, {"cells": len(cells)})
    begin, _ = wire.receive(source.read)
    forbid(begin["forbidden"])
    session = Session()
    for index, cell in enumerate(cells):
        wire.send(target, {"cell": index})
        raised = "" if index in skipped else session.run(cell)
        if raised:
            wire.send(target, {"cell": index, "error": raised})
    wire.send(target, {"ready": True})
    serve(session, source, target)


if __name__ == "__main__":
    main()
