"""What is kept while a grading runs: one line for each result, so that a crash loses only what was under way.

The first line of `journal.jsonl` says with which seed and version; the last one, that all was written. While it is
open, it is locked: two gradings into one folder do not mix.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from vaelib.grade.marks import Marks
from vaelib.judge import Feedback

NAME = "journal.jsonl"


@dataclass(frozen=True)
class Earlier:
    """What an earlier grading left in the journal."""

    seed: int
    version: str
    results: dict[str, Marks] = field(default_factory=dict)  # by the key of what was handed in
    finished: bool = False


class Journal:
    """`with Journal(out) as journal`: claims a folder; `begin` starts, `add` keeps a result, `finish` ends it.

    Raises:
        OSError: the file cannot be written, or another grading has it.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / NAME

    def __enter__(self) -> Journal:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self.file = os.fdopen(os.open(self.path, flags, 0o644), "r+b")
        try:
            _lock(self.file)
        except OSError:
            self.file.close()
            raise OSError(f"Expected {self.path.parent} to be free, but another grading writes into it.") from None
        content = self.path.read_bytes()
        self.earlier = _parsed(content)
        self.foreign = bool(content) and not content.startswith(b'{"seed"')
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()  # which unlocks it

    def begin(self, seed: int, version: str, kept: dict[str, Marks]) -> None:
        """Starts afresh with these results; what the journal held is replaced."""
        self.file.seek(0)
        self.file.truncate()
        self._line({"seed": seed, "version": version})
        for key, marks in kept.items():
            self.add(key, marks)

    def add(self, key: str, marks: Marks) -> None:
        self._line({"key": key, "marks": asdict(marks)})

    def finish(self) -> None:
        self._line({"finished": True})

    def _line(self, content: dict[str, Any]) -> None:
        self.file.write(json.dumps(content, default=str).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())


def _lock(file: IO[bytes]) -> None:
    """Raises OSError if another process has locked it; a lock ends with its process, however that ends."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        file.seek(1 << 30)  # a byte that nobody writes
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        file.seek(0)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _parsed(content: bytes) -> Earlier | None:
    """What the lines say; one that was cut off by a crash, or is no longer understood, is left out."""
    lines = []
    for line in content.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    if not lines or not isinstance(lines[0], dict) or not isinstance(lines[0].get("seed"), int):
        return None
    results: dict[str, Marks] = {}
    for line in lines[1:]:
        try:
            results[line["key"]] = _marks(line["marks"])
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    finished = any(isinstance(line, dict) and line.get("finished") is True for line in lines)
    return Earlier(lines[0]["seed"], str(lines[0].get("version")), results, finished)


def _marks(content: dict[str, Any]) -> Marks:
    """Marks from their JSON: lists become tuples, and numbers of cells numbers again."""
    values = {each.name: content[each.name] for each in fields(Marks)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    values["feedback"] = {
        id: Feedback(**{**feedback, "lines": tuple(feedback["lines"])}) for id, feedback in values["feedback"].items()
    }
    values["errors"] = {int(cell): str(text) for cell, text in values["errors"].items()}
    return Marks(**values)
