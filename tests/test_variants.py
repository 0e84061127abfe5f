"""Right answers written differently pass; known mistakes, as students write them, are named; others get no guess."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from forms import some

from vaelib.judge import NOT_YET, RIGHT, judge
from vaelib.reply import Answer
from vaelib.tasks import all_tasks, task

FILES = sorted((Path(__file__).resolve().parent / "variants").glob("v[0-9][0-9].py"))


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


MODULES = [module(path) for path in FILES]
Case = tuple[str, int, Any]


def cases(name: str) -> list[Case]:
    """(exercise, number, answer) of every answer in the files' tables of this name."""
    tables = [getattr(each, name, {}) for each in MODULES]
    return [(id, i, answer) for table in tables for id, answers in table.items() for i, answer in enumerate(answers)]


CORRECT, UNKNOWN, KNOWN = cases("VARIANTS"), cases("WRONG"), cases("KNOWN")


def ids(found: list[Case]) -> list[str]:
    return [f"{id}-{i}" for id, i, _ in found]


@pytest.mark.parametrize(("id", "_", "answer"), some(CORRECT, every=2), ids=ids(CORRECT))
def test_right_but_written_differently_passes(id: str, _: int, answer: Any) -> None:
    feedback = judge(task(id), Answer(answer), seed=3)
    assert feedback.state == RIGHT, str(feedback)


@pytest.mark.parametrize(("id", "_", "answer"), some(UNKNOWN, every=2), ids=ids(UNKNOWN))
def test_wrong_answer_that_is_no_known_mistake_gets_no_guess(id: str, _: int, answer: Any) -> None:
    feedback = judge(task(id), Answer(answer), seed=3)
    assert feedback.state == NOT_YET and feedback.mistake == "", str(feedback)
    assert len(feedback.lines) <= 5


@pytest.mark.parametrize(("id", "_", "named"), KNOWN, ids=ids(KNOWN))
def test_known_mistake_is_named_however_it_is_written(id: str, _: int, named: tuple[str, Any]) -> None:
    """With both numbers where it first shows, also where the answer is NaN elsewhere."""
    name, answer = named
    for seed in range(3, 6):
        feedback = judge(task(id), Answer(answer), seed)
        assert feedback.state == NOT_YET and feedback.mistake == name, str(feedback)
        assert "expected" in feedback.lines[1], str(feedback)


def test_core_exercises_have_three_variants_and_all_have_wrong_answers() -> None:
    there = {path.stem[1:] for path in FILES}
    for id, each in all_tasks().items():
        if id[:2] in there:
            assert each.level == "warm-up" or sum(case[0] == id for case in CORRECT) >= 3, id
            assert sum(case[0] == id for case in UNKNOWN) >= 2, id
