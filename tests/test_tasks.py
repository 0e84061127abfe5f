"""All exercises, one by one: the truth passes, the stub is not attempted, each mistake is told in its own words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vaelib.agreement import close
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, expected, judge
from vaelib.reply import Answer
from vaelib.task import Compute, Derive, Mistake, Sample, Task, exercise_id
from vaelib.tasks import after, all_tasks, task

TASKS = list(all_tasks().values())
MISTAKES = [(each, mistake) for each in TASKS for mistake in each.mistakes]
by_task = pytest.mark.parametrize("each", TASKS, ids=lambda each: each.id)
by_mistake = pytest.mark.parametrize(
    ("each", "mistake"), MISTAKES, ids=[f"{each.id}-{mistake.name}" for each, mistake in MISTAKES]
)


def as_answer(each: Compute, truth: Any) -> Any:
    """A truth, or a mistake, as a student would hand it in: a function of positions, or the thing itself."""
    if not callable(truth):
        return truth
    names = list(each.asked(0)[0])
    return lambda *values: expected(truth, dict(zip(names, values, strict=True)))


def stub(*_: Any) -> Any:
    raise NotImplementedError


@by_task
def test_exercise_says_what_it_must(each: Task) -> None:
    assert re.fullmatch(r"\d\d\.\d", each.id) and 2 <= each.minutes <= 40
    assert all("?" in hint for hint in each.hints), "a hint asks"
    assert each.next and len(each.next) < 130
    for mistake in each.mistakes:
        assert mistake.says.startswith("It looks like ") and len(mistake.says) < 150, mistake.name
    assert len({mistake.name for mistake in each.mistakes}) == len(each.mistakes)


@by_task
def test_stub_is_not_attempted(each: Task) -> None:
    for blank in (..., None, stub, lambda *_: None) if not isinstance(each, Derive) else (..., None, [...]):
        assert judge(each, Answer(blank)).state == NOT_ATTEMPTED


@pytest.mark.seeds(20, short=2)
@pytest.mark.parametrize("each", [t for t in TASKS if isinstance(t, Compute)], ids=lambda each: each.id)
def test_truth_is_right_on_every_seed(each: Compute, seed: int) -> None:
    feedback = judge(each, Answer(as_answer(each, each.truth)), seed)
    assert feedback.state == RIGHT, str(feedback)


def tried(each: Task, mistake: Mistake) -> Callable[[int], Any]:
    """seed -> feedback on the mistake."""
    if isinstance(each, Compute):
        return lambda seed: judge(each, Answer(as_answer(each, mistake.value)), seed)
    if isinstance(each, Sample):
        return lambda seed: judge(each, Answer(mistake.made), seed)
    assert isinstance(each, Derive)
    return lambda seed: judge(each, Answer([each.start, (each.relation, mistake.value)]), seed)


@pytest.mark.seeds(20, short=2)
@by_mistake
def test_mistake_is_rejected_in_its_own_words_on_every_seed(each: Task, mistake: Mistake, seeds: range) -> None:
    for seed in seeds if not isinstance(each, Sample) else seeds[:3]:  # a sample takes longer
        feedback = tried(each, mistake)(seed)
        assert feedback.state == NOT_YET, str(feedback)
        assert feedback.mistake == mistake.name and mistake.says in feedback.lines, str(feedback)
        assert len(feedback.lines) <= 5


def test_unknown_exercise_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"^04\.9\? There are 04\.1 to 04\.4\.$"):
        task("04.9")
    with pytest.raises(ValueError, match=r"^77\.1\? .* there are notebooks 00 to 14"):
        task("77.1")


@pytest.mark.parametrize(
    "typed", ["4.1", 4.1, " 04.1 ", "04-1", "4,1", "04_1", "Exercise 4.1", "04.01", np.float64(4.1)]
)
def test_id_is_understood_however_it_is_typed(typed: Any) -> None:
    assert exercise_id(typed) == "04.1" and task(typed).id == "04.1"


@pytest.mark.parametrize("typed", ["", "4", 4, "4.1.1", "-4.1", None, [4, 1], "x04.1", np.nan])
def test_what_is_no_id_is_not_taken_for_one(typed: Any) -> None:
    with pytest.raises(ValueError, match="Expected the id of an exercise"):
        task(typed)


def test_course_leads_on_from_every_exercise_to_one_that_is_not_done() -> None:
    ids, done = list(all_tasks()), set[str]()
    at, seen = ids[0], [ids[0]]
    while (following := after(at, {*done, at}.__contains__)) is not None:
        done.add(at)
        at = following.id
        seen.append(at)
    assert seen == ids
    assert after("04.2", {"04.2", "04.3", "04.4"}.__contains__) == task("04.1")  # left out, in the same notebook
    assert after("04.4", {"04.1", "04.2", "04.3", "04.4"}.__contains__) == task("05.1")


def test_numbers_of_the_truth_are_not_in_the_hints() -> None:
    for each in TASKS:
        if isinstance(each, Compute) and isinstance(each.truth, (int, float)):
            shown = re.findall(r"-?\d+\.?\d*", " ".join(each.hints))
            assert f"{each.truth:g}" not in shown, each.id


def test_generic_questions_have_no_special_values() -> None:
    for each in TASKS:
        if isinstance(each, Compute) and each.draw is not None:
            for seed in range(3):
                for value in each.draw(np.random.default_rng(seed)).values():
                    if isinstance(value, float):
                        assert value not in (0.0, 1.0), each.id


LIKE_TRUTH = 1e-3  # what a student sees as equal
WITH_TIP = [each for each in TASKS if isinstance(each, Compute) and each.tip]


@pytest.mark.parametrize("each", WITH_TIP, ids=lambda each: each.id)
def test_known_mistake_fails_on_the_case_of_the_tip(each: Compute) -> None:
    """The closing line tells a student what to try: there a wrong formula must show."""
    truths = [expected(each.truth, case) for case in each.tip]
    passed = [
        mistake.name
        for mistake in each.mistakes
        if not mistake.next
        and all(close(expected(mistake.value, case), t, LIKE_TRUTH) for case, t in zip(each.tip, truths, strict=True))
    ]
    assert passed == [], f"{each.next} {[np.round(truth, 4).tolist() for truth in truths]}"


def test_every_function_that_is_asked_has_a_tip_with_numbers_but_for_one() -> None:
    asked = {each.id for each in TASKS if isinstance(each, Compute) and callable(each.truth)}
    assert asked - {each.id for each in WITH_TIP} == {"02.3"}  # a matrix: it says to begin with a diagonal one
