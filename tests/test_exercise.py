"""check, hint and progress, as a student calls them; and the file in which they note what was tried."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaelib import exercise
from vaelib.exercise import FILE, check, hint, progress
from vaelib.tasks import all_tasks


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def right(loc_q: Any, scale_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return np.log(scale_p / scale_q) + (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5


def no_logarithm(loc_q: Any, scale_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5


def notes() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(FILE).read_text(encoding="utf-8"))
    return content


def test_right_answer_is_right_and_noted() -> None:
    assert check("04.1", right).right
    assert notes()["04.1"]["state"] == "right" and "| 04.1 |" in repr(progress())


def test_stub_is_not_noted() -> None:
    check("04.1", ...)
    assert not Path(FILE).exists()


def test_what_was_right_once_stays_right() -> None:
    check("04.1", right)
    check("04.1", no_logarithm)
    assert notes()["04.1"]["state"] == "right" and notes()["04.1"]["tries"] == 2


def test_hints_escalate_and_stop_before_the_answer() -> None:
    shown = [repr(hint("04.1")) for _ in range(4)]
    assert [text[:12] for text in shown] == ["Hint 1 of 3.", "Hint 2 of 3.", "Hint 3 of 3.", "Hint 3 of 3."]
    assert shown[2] == shown[3]


def test_hint_starts_from_a_mistake_that_came_twice() -> None:
    check("04.1", no_logarithm)
    assert repr(hint("04.1")).startswith("Hint 1")
    check("04.1", no_logarithm)
    assert "The same twice. It looks like the normalizers" in repr(hint("04.1"))
    assert repr(hint("04.1")).startswith("Hint 2")


def test_progress_counts_what_is_left_and_never_says_that_all_is_done_before_it_is() -> None:
    total = len(all_tasks())
    check("04.1", right)
    check("04.2", no_logarithm)
    assert repr(progress()).startswith(f"1 of {total} right, {total - 1} left")
    assert "not yet" in repr(progress()) and "| left |" in repr(progress())
    assert progress()._repr_markdown_().startswith("**1 of")  # type: ignore[union-attr]


def test_progress_is_exported_as_a_file(folder: Path) -> None:
    check("04.1", right)
    path = progress(export=True)
    assert isinstance(path, Path) and json.loads(path.read_text())["04.1"]["tries"] == 1


def test_damaged_notes_are_moved_aside(folder: Path) -> None:
    Path(FILE).write_text("{")
    assert check("04.1", right).right
    assert (folder / ".vaelib-progress.damaged.json").read_text() == "{"
    assert list(notes()) == ["04.1"]


def test_folder_that_cannot_be_written_keeps_no_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuses)
    assert check("04.1", right).right


def test_time_is_counted_between_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1000.0, 1060.0, 100_000.0])
    monkeypatch.setattr(exercise.time, "time", lambda: next(clock))
    for _ in range(3):
        check("04.1", no_logarithm)
    assert notes()["04.1"]["seconds"] == 60 + exercise.IDLE


def test_check_says_where_it_cannot_interrupt_a_loop() -> None:
    said: list[str] = []
    worker = threading.Thread(target=lambda: said.append(str(check("04.1", right))))
    worker.start()
    worker.join()
    assert "could not be interrupted here" in said[0]


def test_feedback_is_shown_as_markdown() -> None:
    shown = check("04.1", no_logarithm)._repr_markdown_()
    assert shown.startswith("**Not yet.**  \n") and "\\_" in shown
