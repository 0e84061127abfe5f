"""The file in which progress is kept: nothing that happens to it stops a check, and what is wrong is said once."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vaelib import exercise, notes
from vaelib.exercise import check, hint, progress
from vaelib.notes import FILE, Note

RIGHT = {"state": "right", "tries": 1}
ASIDE = ".vaelib-progress.damaged.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for memory in (notes.kept, notes.said, notes.waiting, exercise.here, exercise.failed):
        memory.clear()  # type: ignore[attr-defined]
    return tmp_path


def tried(id: str = "00.1") -> str:
    """What a check says besides its verdict."""
    feedback = check(id, "D")
    assert feedback.right and "Next: 00.2" in str(feedback)
    return feedback.note


DAMAGED = {
    "half": "{",
    "empty": "",
    "list": "[1]",
    "number": "3",
    "binary": "\x00\x01",
    "deep": "[" * 100_000,
    "no note": json.dumps({"00.2": 3}),
    "last is a word": json.dumps({"00.2": RIGHT | {"last": "2020"}}),
    "tries is a word": json.dumps({"00.2": RIGHT | {"tries": "x"}}),
    "tries is true": json.dumps({"00.2": RIGHT | {"tries": True}}),
    "tries below zero": json.dumps({"00.2": RIGHT | {"tries": -1}}),
    "state unknown": json.dumps({"00.2": {"state": "perfect"}}),
    "seconds NaN": json.dumps({"00.2": RIGHT | {"seconds": float("nan")}}),
    "mistake is a list": json.dumps({"00.2": RIGHT | {"mistake": []}}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_file_is_kept_beside_with_a_word(content: str, folder: Path) -> None:
    Path(FILE).write_text(content)
    said = tried()
    assert "is damaged" in said and f"It is kept as {ASIDE}" in said
    assert (folder / ASIDE).read_text() == content
    assert list(notes.read()) == ["00.1"] and tried() == ""


def test_bytes_that_are_no_text_are_kept_beside(folder: Path) -> None:
    Path(FILE).write_bytes(b"\xff\xfe\xff")
    assert "is damaged" in tried() and (folder / ASIDE).read_bytes() == b"\xff\xfe\xff"


def test_what_can_be_read_of_a_damaged_file_is_not_lost() -> None:
    Path(FILE).write_text(json.dumps({"04.1": RIGHT, "04.2": {"tries": "x"}}))
    assert "(1 of its 2 entries can be read)" in tried()
    assert notes.read()["04.1"].state == "right"


def test_second_damaged_file_does_not_replace_the_first(folder: Path) -> None:
    for content in ("{", "["):
        Path(FILE).write_text(content)
        notes.read()
    assert (folder / ASIDE).read_text() == "{" and (folder / ASIDE.replace("damaged", "damaged-2")).read_text() == "["


def test_setting_of_a_later_version_is_left_out() -> None:
    Path(FILE).write_text(json.dumps({"04.1": RIGHT | {"stars": 5}}))
    assert notes.read() == {"04.1": Note(state="right", tries=1)} and notes.to_be_said() == ""


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_folder_that_cannot_be_written_is_told_once_and_notes_live_on(
    error: OSError, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Path, "write_text", refuses)
    monkeypatch.setattr(os, "open", refuses)
    assert f"cannot be written ({error.strerror})" in tried() and tried() == ""
    assert [repr(hint("00.1"))[:6] for _ in range(2)] == ["Hint 1", "Hint 2"]
    assert repr(progress()).startswith("1 of 3 right")
    assert "cannot be written" in repr(progress(export=True))
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    tried()
    assert notes.read()["00.1"].tries == 3 and not notes.kept  # written as soon as that is possible


def test_file_that_cannot_be_read_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(FILE).write_text(json.dumps({"04.1": RIGHT}))
    read_text = Path.read_text

    def refuses(self: Path, *args: Any, **kwargs: Any) -> str:
        if self.name == FILE:
            raise PermissionError(13, "Permission denied")
        return read_text(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refuses)
        assert "cannot be read (Permission denied)" in tried()
    assert json.loads(Path(FILE).read_text()) == {"04.1": RIGHT}


def test_folder_that_is_gone_and_a_folder_in_the_place_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / FILE).mkdir()
    assert "cannot be read" in tried()
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "cannot be written" in tried() and "cannot be written" in repr(progress(export=True))


def test_clock_that_was_ahead_or_jumps_back_stops_no_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([900_000.0, 1000.0, 1060.0, 1030.0, 1090.0])
    monkeypatch.setattr(exercise.time, "time", lambda: next(clock))
    for _ in range(5):
        tried()
    assert notes.read()["00.1"].seconds == 60 + 60


def _many(folder: str, id: str) -> None:
    os.chdir(folder)
    for _ in range(40):
        notes.change(id, lambda note, _: replace(note, tries=note.tries + 1))
        notes.change("04.1", lambda note, _: replace(note, tries=note.tries + 1))


def test_two_kernels_at_once_lose_nothing(folder: Path) -> None:
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    kernels = [context.Process(target=_many, args=(str(folder), id)) for id in ("04.2", "04.3")]
    for kernel in kernels:
        kernel.start()
    for kernel in kernels:
        kernel.join(60)
    assert {id: note.tries for id, note in notes.read().items()} == {"04.1": 80, "04.2": 40, "04.3": 40}
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_lock_that_a_dead_kernel_left_behind_is_removed(folder: Path) -> None:
    lock = folder / (FILE + ".lock")
    lock.touch()
    os.utime(lock, (time.time() - 60,) * 2)
    tried()
    assert not lock.exists() and notes.read()["00.1"].tries == 1


def test_lock_of_a_living_kernel_is_left_alone(folder: Path) -> None:
    (folder / (FILE + ".lock")).touch()
    tried()
    assert (folder / (FILE + ".lock")).exists() and notes.read()["00.1"].tries == 1
