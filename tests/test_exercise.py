"""check, hint, case and progress, as a student calls them: what they say, and that nothing makes them raise."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaelib import almost, exercise
from vaelib import notes as noted
from vaelib.exercise import Text, case, check, hint, progress
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, UNDECIDED
from vaelib.notes import FILE
from vaelib.tasks import all_tasks
from vaelib.terms import KL, E, for_all_z, log_evidence, log_lik, prior, q


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and a kernel in which nothing was tried, and no time to look for what is near a wrong answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(almost, "SECONDS", 0.0)
    for memory in (noted.kept, noted.said, noted.waiting, exercise.here, exercise.failed, exercise.nearest):
        memory.clear()  # type: ignore[attr-defined]
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


def test_hints_escalate_and_end_with_what_else_to_do() -> None:
    shown = [repr(hint("04.1")) for _ in range(5)]
    assert [text[:12] for text in shown[:3]] == ["Hint 1 of 3.", "Hint 2 of 3.", "Hint 3 of 3."]
    assert "no hints to 04.1 beyond these three" in shown[3] and "04_gaussian_kl" in shown[3]
    assert shown[4] == shown[3]
    check("04.1", right)
    assert "your answer is right" in repr(hint("04.1"))


def test_hint_after_a_repeated_mistake_says_so_and_repeats_nothing() -> None:
    first = str(check("04.1", no_logarithm))
    assert repr(hint("04.1")).startswith("Hint 1 of 3.")
    for _ in range(2):
        check("04.1", no_logarithm)
    told = repr(hint("04.1"))
    assert told.startswith("That was the same mistake again (no logarithm). Hint 2 of 3.")
    assert not [line for line in first.splitlines()[1:] if line in told]
    assert repr(hint("04.1")).startswith("Hint 3 of 3.")


def test_progress_shows_what_was_tried_and_this_notebook() -> None:
    total = len(all_tasks())
    assert repr(progress()).startswith(f"Nothing was tried yet. In the whole course: 0 of {total}.")
    check("07.2", ...)
    check("04.1", right)
    check("04.2", no_logarithm)
    shown = repr(progress())
    assert shown.startswith(f"1 of 4 right, about 34 minutes left. In the whole course: 1 of {total}.")
    assert "not yet" in shown and "| left |" in shown and "| 07.2 |" not in shown
    assert repr(progress(all=True)).startswith(f"1 of {total} right") and "| 13.3 |" in repr(progress(all=True))
    assert progress()._repr_markdown_().startswith("**1 of")  # type: ignore[union-attr]


@pytest.mark.parametrize("notebook", ["04", 4, "4", "04.2", 4.1])
def test_progress_of_one_notebook_writes_nothing(notebook: Any, folder: Path) -> None:
    shown = repr(progress(notebook))
    assert len(re.findall(r"\| 04\.\d", shown)) == 4 and "| 05." not in shown
    assert list(folder.iterdir()) == []
    assert repr(progress("77")) == "There is no notebook 77. There are 00 to 14."


def test_progress_is_exported_as_a_file(folder: Path) -> None:
    check("04.1", right)
    path = progress(export=True)
    assert isinstance(path, Path) and json.loads(path.read_text())["04.1"]["tries"] == 1


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


# ------------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("typed", ["4.1", 4.1, " 04.1 ", "04-1", "4,1"])
def test_id_is_understood_however_it_is_typed(typed: Any) -> None:
    assert check(typed, right).right and list(notes()) == ["04.1"]
    assert repr(hint(typed)).startswith("Hint 1") and notes()["04.1"]["hints"] == 1


@pytest.mark.parametrize("typed", ["04.9", "77.1", "", None, 4, right, ["04.1"], np.zeros(3)])
def test_unknown_id_is_answered_in_one_line(typed: Any) -> None:
    checked = check(typed, right)
    for answer in (checked, hint(typed), case(typed)):
        assert len(repr(answer).splitlines()) == 1 and "there are " in repr(answer).lower()
    assert not checked.right and not Path(FILE).exists()


def test_arguments_in_the_wrong_order_are_told_so() -> None:
    assert repr(check(right, "04.1")) == 'The id comes first: check("04.2", answer).'
    assert "whole number" in repr(check("04.1", right, seed=-1)) and "whole number" in repr(check("04.1", right, "x"))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------- what comes next, the case


def test_next_exercise_is_named_after_a_right_answer() -> None:
    lines = str(check("04.1", right)).splitlines()
    assert lines[0] == "Right: 04.1 KL between two univariate Gaussians."
    assert lines[-1] == "Next: 04.2 KL of an encoder's output to N(0, I) (core), 1 of 4 done here."
    assert "Next: 00.2" in str(check("00.1", "D")) and "Right: 00.1 Which estimate is broken?\n" in str(
        check("00.1", "D")
    )
    assert "Next" not in str(check("04.1", no_logarithm))


def test_after_the_last_exercise_here_the_next_notebook_is_named() -> None:
    for id in ("04.2", "04.3", "04.4"):
        noted.change(id, lambda note, _: noted.Note(state="right"))
    assert str(check("04.1", right)).endswith(
        "4 of 4 done here. Next, in notebook 05: 05.1 From the evidence to the bound (core)."
    )
    for id in all_tasks():
        noted.change(id, lambda note, _: noted.Note(state="right"))
    assert str(check("04.1", right)).endswith("4 of 4 done here, and that was the last one of the course.")


def to_prior(loc: Any, log_scale: Any) -> Any:
    return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 - 1 - log_scale, axis=-1)


def test_case_repeats_what_the_check_has_shown() -> None:
    feedback = check("04.2", to_prior)
    assert 'case("04.2") returns these arguments.' in str(feedback)
    assert '`case("04.2")`' in feedback._repr_markdown_()
    found = case("04.2")
    assert isinstance(found, dict) and list(found) == ["loc", "log_scale"]
    entry, yours = str(feedback).split("Entry [")[1].split("] of yours is ")
    assert to_prior(*found.values())[int(entry)] == pytest.approx(float(yours.split(",")[0]), rel=1e-4)
    found["loc"][:] = 0
    assert np.any(case("04.2")["loc"])  # type: ignore[index]


def test_case_of_an_answer_that_raises_raises_again_and_is_gone_when_it_is_right() -> None:
    def mine(loc: Any, log_scale: Any) -> Any:
        if loc.shape[0] > 1:
            raise KeyError("no")
        return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale, axis=-1)

    text = str(check("04.2", mine))
    assert "The call was kl_to_prior(loc = [[" in text and "KeyError: 'no' (line " in text
    with pytest.raises(KeyError):
        mine(*case("04.2").values())  # type: ignore[union-attr]
    check("04.2", lambda loc, s: 0.5 * np.sum(np.exp(2 * s) + loc**2 - 1 - 2 * s, axis=-1))
    assert isinstance(case("04.2"), Text) and "No check of 04.2" in repr(case("04.2"))


def test_numbers_that_can_be_typed_are_shown_and_no_more_is_said() -> None:
    assert "case(" not in str(check("04.1", no_logarithm))


# -------------------------------------------------------------------------------------------------- nothing raises


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


class Faceless:
    @property
    def __class__(self) -> Any:
        raise ValueError

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class Nameless:
    def __repr__(self) -> str:
        raise ValueError


class Hostile:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __len__(self) -> int:
        raise RuntimeError

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise SystemExit


class Meta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError

    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise ValueError


class Odd(metaclass=Meta):
    pass


def raises(error: BaseException) -> Any:
    def mine(*_: Any) -> Any:
        raise error

    return mine


def endless() -> Any:
    while True:
        yield 1.0


def recursive(*arguments: Any) -> Any:
    return recursive(*arguments)


ITSELF: list[Any] = []
ITSELF.append(ITSELF)
DEEP: Any = 1.0
for _ in range(5000):
    DEEP = [DEEP]
VALUES = [
    Faceless(),
    Nameless(),
    Hostile(),
    Odd(),
    ITSELF,
    DEEP,
    np.broadcast_to(1.0, (10**6, 10**6)),
    endless(),
    10**5000,
]
VALUES += [np.array([None, 1]), {1: 2}, {1, 2}, b"x", 1j, "\ud800", np.float16(1), np.ma.masked, range(10**12), object]
HOSTILE: list[Any] = [*VALUES, *([value] for value in VALUES), *(lambda *_, value=value: value for value in VALUES)]
ERRORS = [
    Unspeakable(),
    SystemExit(2),
    GeneratorExit(),
    StopIteration(),
    MemoryError(),
    ValueError("\ud800\x1b[31m" * 9999),
]
HOSTILE += [recursive, Odd, *map(raises, ERRORS)]


@pytest.mark.parametrize("id", ["04.1", "04.2", "00.1", "05.1", "08.1", "07.3"])
def test_nothing_that_an_answer_is_or_does_raises(id: str) -> None:
    for answer in HOSTILE:
        feedback = check(id, answer)
        assert feedback.state in (NOT_YET, NOT_ATTEMPTED), str(feedback)
        assert len(feedback.lines) <= 5 and all(len(line) < 700 for line in feedback.lines)
        (repr(feedback) + feedback._repr_markdown_()).encode()
        hint(id)
    progress()


def test_no_line_of_a_derivation_raises() -> None:
    bound = E(q, log_lik) - KL(q, prior)
    for lines in ([log_evidence, E(q, for_all_z(log_lik)), (">=", bound)], [log_evidence, for_all_z(log_lik)]):
        assert check("05.1", lines).state == NOT_YET
    assert "Line 1 has no value.\nE(q, ...): for_all_z(...) is inside" in str(
        check("05.1", [log_evidence, E(q, for_all_z(log_lik)), (">=", bound)])
    )
    for line in (Nameless(), Hostile(), (Nameless(), Nameless()), ITSELF, 10**5000, np.float64(1), np.zeros(3)):
        assert check("05.1", [log_evidence, line, (">=", bound)]).state == NOT_YET


def test_ctrl_c_gets_through_and_everything_is_as_before(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        check("04.1", raises(KeyboardInterrupt()))
    assert not Path(FILE).exists() and Path.cwd() == folder


def test_fault_of_the_checker_is_called_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr("vaelib.judge.expected", broken)
    feedback = check("04.1", right)
    assert feedback.state == UNDECIDED and "a fault of the checker, not of your answer (KeyError: 'ours', " in str(
        feedback
    )
    assert not Path(FILE).exists()
    monkeypatch.setattr("vaelib.exercise.notes.change", broken)
    monkeypatch.undo()


def test_fault_in_noting_is_called_that_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr("vaelib.exercise.notes.change", broken)
    assert check("04.1", right).state == UNDECIDED
