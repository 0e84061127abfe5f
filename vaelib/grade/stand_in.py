"""What a submission finds as `vaelib.exercise` while it is graded: what is checked is noted, and nothing is judged."""

from __future__ import annotations

from typing import Any

from vaelib.task import exercise_id

__all__ = ["Text", "case", "check", "hint", "progress", "solution", "yours"]

checked: dict[str, list[Any]] = {}  # by exercise, in order


class Text(str):
    """What is printed as it is."""

    __slots__ = ()


class Recorded:
    """What `check` returns here; it says "right", so that a loop or an assertion that waits for it goes on."""

    right = True
    state = "recorded"
    lines: tuple[str, ...] = ()
    mistake = ""

    def __repr__(self) -> str:
        return "recorded, not judged"


def check(id: Any, answer: Any = ..., seed: int = 0) -> Recorded:
    if answer is not ... and answer is not None:  # it was left out, or is still to be written
        checked.setdefault(exercise_id(id), []).append(answer)
    return Recorded()


def hint(id: Any) -> Text:
    return Text("Hints are given in class, not while an exercise is graded.")


def case(id: Any) -> dict[str, Any]:
    return {}


def progress(notebook: Any = None, *, all: bool = False, export: bool = False) -> Text:
    return Text("What was tried is noted in class, not while an exercise is graded.")


def solution(id: Any) -> Text:
    return Text("Solutions are shown in class, not while an exercise is graded.")


def yours(id: Any, function: Any = ...) -> Any:
    """A cell of the lesson that was copied along: what it holds is the student's, and is not graded."""
    return function
