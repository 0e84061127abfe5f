"""What was tried, exercise by exercise, in a file beside the notebook: `.vaelib-progress.json`, and nowhere else.

Nothing that happens to the file stops a check. A damaged one is kept beside; where none can be written, the notes last
as long as the kernel; and two kernels in one folder wait for one another. What is wrong is said once.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

FILE = ".vaelib-progress.json"
STATES = ("not attempted", "not yet", "right")
IN_MEMORY = "progress is kept only until the kernel ends."
WAIT, STALE = 1.0, 5.0  # seconds to wait for another kernel; age of a lock that was left behind


@dataclass(frozen=True)
class Note:
    """What is noted of one exercise. `mistake` is the last known mistake, made `repeated` times in a row."""

    state: str = STATES[0]
    tries: int = 0
    hints: int = 0
    mistake: str = ""
    repeated: int = 0
    seconds: float = 0.0  # of work, as far as the checks tell
    last: float = 0.0


Notes = dict[str, Note]
kept: Notes = {}  # in memory, for a folder that cannot be written
said: set[str] = set()
waiting: list[str] = []  # what is still to be said


def read() -> Notes:
    """The notes of this folder; what cannot be understood is left out, and the file is kept beside."""
    return _read()[0]


def change(id: str, how: Callable[[Note, Notes], Note]) -> Notes:
    """Replaces the note of one exercise by how(note, all notes), and writes the file in one step; returns the notes."""
    with _alone():
        notes, may_write = _read()
        notes[id] = how(notes.get(id, Note()), notes)
        if may_write and _written(notes):
            kept.clear()
        else:
            kept.update(notes)
    return notes


def export(path: Path) -> None:
    """Writes the notes to another file; raises OSError."""
    path.write_text(_as_json(read()), encoding="utf-8")


def to_be_said() -> str:
    """What went wrong with the file since the last call."""
    text = " ".join(waiting)
    waiting.clear()
    return text


def _read() -> tuple[Notes, bool]:
    """The notes; and may the file be written? Not if there is one that cannot be read: it may be all right tomorrow."""
    path = Path(FILE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return dict(kept), True
    except OSError as error:
        _say(f"The file {FILE} cannot be read ({_reason(error)}): {IN_MEMORY}")
        return dict(kept), False
    except (ValueError, RecursionError):
        return dict(kept), _put_aside(path, "is damaged")
    entries = content if isinstance(content, dict) else {}
    found = {str(id): _note(entry) for id, entry in entries.items()}
    notes = {id: note for id, note in found.items() if note is not None}
    if len(notes) == len(found) and isinstance(content, dict):
        return notes | kept, True
    return notes | kept, _put_aside(path, f"is damaged ({len(notes)} of its {len(found)} entries can be read)")


def _note(entry: Any) -> Note | None:
    """The note, if every field has the right type; fields of a later version are left out."""
    if not isinstance(entry, dict):
        return None
    known = {each.name: entry[each.name] for each in fields(Note) if each.name in entry}
    for name, value in known.items():
        if name in ("state", "mistake"):
            good = isinstance(value, str)
        elif name in ("seconds", "last"):
            good = type(value) in (int, float) and math.isfinite(value) and value >= 0
        else:
            good = type(value) is int and value >= 0
        if not good:
            return None
    return Note(**known) if known.get("state", STATES[0]) in STATES else None


def _put_aside(path: Path, what: str) -> bool:
    """Moves the file to a name that is free. Did that work?"""
    names = [path.with_suffix(f".damaged{'' if i == 1 else f'-{i}'}.json") for i in range(1, 100)]
    try:
        beside = next((name for name in names if not name.exists()), names[-1])
        path.replace(beside)
    except OSError as error:
        _say(f"The file {FILE} {what}, and cannot be moved ({_reason(error)}): {IN_MEMORY}")
        return False
    _say(f"The file {FILE} {what}. It is kept as {beside.name}, and a new one is begun.")
    return True


def _written(notes: Notes) -> bool:
    """In one step, so that a file is there whole or not at all."""
    path, beside = Path(FILE), Path(f"{FILE}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        beside.write_text(_as_json(notes), encoding="utf-8")
        beside.replace(path)
        return True
    except OSError as error:
        _say(f"The file {FILE} cannot be written ({_reason(error)}): {IN_MEMORY}")
    try:
        beside.unlink(missing_ok=True)
    except OSError:
        pass
    return False


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _say(text: str) -> None:
    if text not in said:
        said.add(text)
        waiting.append(text)


def _as_json(notes: Notes) -> str:
    return json.dumps({id: asdict(note) for id, note in sorted(notes.items())}, indent=1)


@contextmanager
def _alone() -> Iterator[None]:
    """No other kernel changes the file meanwhile; whoever cannot get the lock goes on without it."""
    lock = Path(FILE + ".lock")
    held = _claimed(lock)
    try:
        yield
    finally:
        if held:
            try:
                lock.unlink(missing_ok=True)
            except OSError:
                pass


def _claimed(lock: Path) -> bool:
    until = time.monotonic() + WAIT
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            return True
        except FileExistsError:
            if time.monotonic() > until:
                return _is_stale(lock)
            time.sleep(0.01)
        except OSError:  # a folder that cannot be written
            return False


def _is_stale(lock: Path) -> bool:
    """Was the lock left behind by a kernel that died? Then it is ours to remove."""
    try:
        return abs(time.time() - lock.stat().st_mtime) > STALE
    except OSError:
        return False
