"""In grading, too: what one change would make right is found beside the judge, and evaluated in the submission."""

from __future__ import annotations

import pytest
from grading import IMPORTS, RIGHT_1, RIGHT_2, SHORT, handed_in, submission

from vaelib import almost
from vaelib.grade import bench, pool
from vaelib.grade.bench import Bench
from vaelib.grade.collect import Found
from vaelib.grade.gradebook import Gradebook, Row, Scored
from vaelib.grade.marks import Marks
from vaelib.grade.names import Person
from vaelib.grade.pages import class_page, student_page, teacher_page
from vaelib.grade.submission import Asked, Submission
from vaelib.judge import NOT_YET, RIGHT, UNDECIDED, Feedback
from vaelib.reply import NoReply
from vaelib.task import Task
from vaelib.tasks import task, tasks_of

NEARLY_2 = RIGHT_2.replace("- 1 -", "+ 1 -").replace("    return", "    print('hello')\n    return")
ENDS = """import os, sys
def kl_to_prior(loc, log_scale):
    if sys._getframe().f_code.co_filename == "<one change>":
        os._exit(1)
    return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 + 1 - 2 * log_scale, axis=-1)"""


def graded(
    cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, list[Feedback]], list[dict[str, object]]]:
    """What a judge in this process says of each exercise, the last the last; and all its messages."""
    monkeypatch.setattr(almost, "SECONDS", 60.0)
    said: list[dict[str, object]] = []
    kind = pool.conditions(SHORT).kind
    Bench(handed_in(cells), 5, SHORT, kind, said.append, skipped=("04.3", "04.4")).judge_all()
    found: dict[str, list[Feedback]] = {}
    for message in said:
        if "feedback" in message:
            about: dict[str, object] = message["feedback"]  # type: ignore[assignment]
            found.setdefault(str(message["task"]), []).append(Feedback(**about))  # type: ignore[arg-type]
    return found, said


@pytest.mark.parametrize(("state", "times"), [(RIGHT, 1), (NOT_YET, 2)])
def test_only_what_is_not_right_is_judged_again_where_less_is_forbidden(
    state: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def judged(task: Task, answer: Asked, seed: int) -> Feedback:
        asked.append(task.id)
        return Feedback(state, (), mistake="a known one", task=task.id)

    monkeypatch.setattr(bench, "judge", judged)
    Bench(handed_in([IMPORTS], notebook="00"), 5, SHORT, pool.conditions(SHORT).kind, lambda said: None).judge_all()
    assert asked == [id for id in tasks_of("00") for _ in range(times)]


def test_check_that_fails_costs_its_exercise_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(task: Task, answer: Asked, seed: int) -> Feedback:
        if task.id == "04.1":
            raise ZeroDivisionError("odd")
        return Feedback(RIGHT, (), task=task.id)

    monkeypatch.setattr(bench, "judge", judged)
    found, said = graded([IMPORTS, RIGHT_1, RIGHT_2], monkeypatch)
    assert [found["04.1"][0].state, found["04.2"][0].state] == [UNDECIDED, RIGHT]
    assert "The check itself failed on this answer: ZeroDivisionError: odd" in str(found["04.1"][0].lines)
    assert "The check of 04.1 failed on the answer" in str(said[-1])


@pytest.mark.slow
def test_place_is_told_after_all_verdicts_and_the_change_to_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = graded([IMPORTS, RIGHT_1, NEARLY_2], monkeypatch)
    assert [each.right for each in found["04.1"]] == [True]
    first, last = found["04.2"]
    assert (first.state, first.nearest, last.state, last.nearest) == (NOT_YET, "", NOT_YET, "sign")
    assert "line 3 of kl_to_prior" in last.lines[-2] and "becomes" in last.change
    assert "becomes" not in str(last.lines)
    order = ["story" if "story" in each else "feedback" for each in said if {"story", "feedback"} & set(each)]
    assert order == ["feedback", "feedback", "story", "feedback", "story"]


@pytest.mark.slow
def test_process_that_ends_while_changes_are_tried_costs_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = graded([IMPORTS, RIGHT_1, ENDS], monkeypatch)
    assert found["04.1"][0].right and [each.nearest for each in found["04.2"]] == [""]
    assert "done" in said[-1]


@pytest.mark.slow
def test_submission_answers_for_another_source_and_keeps_its_own() -> None:
    asked = task("04.1")
    with submission([IMPORTS, RIGHT_1]) as of:
        source, line, modules = of.ask_source(asked)
        assert (source.strip(), line) == (RIGHT_1, 1) and "np" in modules
        question = asked.asked(0)[1]  # type: ignore[attr-defined]
        own = Asked(of, asked).ask(question).value
        other = Asked(of, asked, source.replace("- 0.5", "+ 0.5"), 1.0).ask(question).value
        assert other == pytest.approx(own + 1) and Asked(of, asked).ask(question).value == own
        with pytest.raises(NoReply, match="Expected"):
            Asked(of, asked, "import os", 1.0).ask(question)
        assert "hello" not in of.story.output.decode()


@pytest.mark.slow
def test_function_without_variants_has_no_source_for_the_judge() -> None:
    with submission([IMPORTS, RIGHT_1.replace("    return", "    open('x', 'w')\n    return")]) as of:
        with pytest.raises(NoReply, match="no source"):
            Submission.ask_source(of, task("04.1"))


def test_pages_count_the_kinds_of_changes_and_tell_the_teacher_alone_which() -> None:
    feedback = Feedback(NOT_YET, ("Not yet.", "Look at line 3."), task="04.2", nearest="sign", change="`a` becomes `b`")
    found = Found(handed_in([RIGHT_2]), (0, 0.0), False, True, "key")
    marks = Marks("ada", "ada.ipynb", {"04.2": feedback})
    row = Row("ada", Person("ada"), counted={"04": Scored(found, marks, 0.0)}, possible=2)
    book = Gradebook([row], ["04"], [], [], 5, "1", "today")
    assert "one change: sign" in class_page(book) and "becomes" not in class_page(book)
    assert "becomes" in teacher_page(book, [], {"ada": "ada"}) and "becomes" not in student_page(row)
