"""The tasks that a class does in the notebooks: each is judged rightly, named in its notebook once, and shown there."""

from __future__ import annotations

import functools
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from vaelib import exercise
from vaelib import notes as noted
from vaelib.exercise import case, check, hint, progress, solution, yours
from vaelib.feedback import Feedback
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, judge
from vaelib.reply import Answer
from vaelib.solution import as_typed, is_stub
from vaelib.task import Compute, Custom, Mistake, Sample, Task, placed
from vaelib.tasks import all_in_class, all_tasks, in_class, task

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
TASKS = list(all_in_class().values())
MISTAKES = [(each, mistake) for each in TASKS for mistake in each.mistakes]
by_task = pytest.mark.parametrize("each", TASKS, ids=lambda each: each.id)
by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and a kernel in which nothing was tried."""
    monkeypatch.chdir(tmp_path)
    for memory in (noted.kept, noted.said, noted.waiting, exercise.here, exercise.failed):
        memory.clear()  # type: ignore[attr-defined]
    return tmp_path


def kl(q: Any, p: Any) -> Any:
    return float(np.sum(q * np.log(q / p)))


def under_p(q: Any, p: Any) -> Any:
    return float(np.sum(p * (np.log(q) - np.log(p))))


def stub(q: Any, p: Any) -> Any:
    """KL(q || p) of two tables, in nats."""
    ...


# ------------------------------------------------------------------------------------------------------ every task


@by_task
def test_task_says_what_it_must(each: Task) -> None:
    assert re.fullmatch(r"\d\d\.[a-z]", each.id) and 2 <= each.minutes <= 12
    assert all("?" in text for text in each.hints), "a hint asks"
    assert each.next and len(each.next) < 130
    assert 2 <= len(each.mistakes) <= 10
    for mistake in each.mistakes:
        assert mistake.says.startswith("It looks like ") and len(mistake.says) < 150, mistake.name
    assert len({mistake.name for mistake in each.mistakes}) == len(each.mistakes)


@by_task
def test_course_own_answer_is_right_on_every_seed(each: Task) -> None:
    for seed in range(5):
        feedback = judge(each, Answer(each.own), seed)
        assert feedback.state == RIGHT, str(feedback)


@by_task
def test_stub_is_not_attempted(each: Task) -> None:
    blanks: list[Any] = [..., None]
    if not inspect.isclass(each.own):
        blanks += [lambda *_: None, lambda *_: ...]
    for blank in blanks:
        assert judge(each, Answer(blank)).state == NOT_ATTEMPTED


@pytest.mark.parametrize(("each", "mistake"), MISTAKES, ids=[f"{each.id}-{wrong.name}" for each, wrong in MISTAKES])
def test_mistake_is_rejected_in_its_own_words(each: Task, mistake: Mistake) -> None:
    for seed in range(3):
        wrong = mistake.made if isinstance(each, Sample) else placed(mistake.value)
        feedback = judge(each, Answer(wrong), seed)
        assert feedback.state == NOT_YET and mistake.says in feedback.lines, str(feedback)
        assert feedback.mistake == mistake.name and len(feedback.lines) <= 5


@by_task
def test_solution_is_short_bears_the_name_and_is_right_itself(each: Task) -> None:
    code = as_typed(each)
    assert re.match(rf"(def|class) {each.name}\b", code) and '"""' not in code and len(code.splitlines()) <= 12
    names = dict(vars(sys.modules[each.own.__module__]))
    exec(code, names)
    assert judge(each, Answer(names[each.name])).state == RIGHT


@by_task
def test_name_and_id_belong_to_no_exercise(each: Task) -> None:
    assert each.id not in all_tasks()
    assert each.name not in {other.name for other in all_tasks().values() if other.id[:2] == each.id[:2]}


# -------------------------------------------------------------------------------------------------- every notebook


def cells_with_yours(path: Path) -> dict[str, Any]:
    """Id of a task -> the cell that calls `yours` for it; a task that is called twice has a list."""
    found: dict[str, Any] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            for id in re.findall(r'\byours\("([^"]+)"', cell.source):
                assert id not in found, f"{id} is asked for twice"
                found[id] = cell
    return found


@by_notebook
def test_notebook_asks_for_each_of_its_tasks_once_with_a_stub_under_its_name(path: Path) -> None:
    found = cells_with_yours(path)
    assert sorted(found) == sorted(in_class(path.name[:2]))
    for id, cell in found.items():
        name = task(id).name
        assert "yours" in cell.metadata.get("tags", []), id
        assert re.search(rf'^{name} = yours\("{id}", {name}\)', cell.source, re.MULTILINE), id
        assert re.search(rf"^(def|class) {name}\b", cell.source, re.MULTILINE), id
        assert re.search(r"^ +\.\.\.$", cell.source, re.MULTILINE), "what the student writes is left open as ..."
        shown = "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        assert f"{id} is not written yet" in shown, "the stored output is that of the stub"


@by_notebook
def test_cell_with_the_solution_pasted_in_is_right(path: Path) -> None:
    for id, cell in cells_with_yours(path).items():
        each = task(id)
        names: dict[str, Any] = dict(vars(sys.modules[each.own.__module__]))
        exec(as_typed(each), names)
        pasted = names[each.name]
        call = next(line for line in cell.source.splitlines() if f'yours("{id}"' in line)
        exec(call, names | {"yours": yours}, names)
        assert names[each.name] is pasted


# ---------------------------------------------------------------------------------------------- what a student sees


def test_right_function_is_returned_and_the_verdict_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert yours("03.a", kl) is kl
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Right: 03.a The cost of a wrong forecast." and said[-1] == "The notebook goes on with your kl."
    assert not [line for line in said if "Next" in line]


def test_wrong_function_is_replaced_and_told_why(capsys: pytest.CaptureFixture[str]) -> None:
    given = yours("03.a", under_p)
    q, p = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    assert given is not under_p and given(q, p) == pytest.approx(kl(q, p), rel=1e-14)
    said = capsys.readouterr().out
    assert said.startswith("Not yet.") and "the average was taken under p" in said
    assert said.endswith("Until yours is right, the notebook goes on with the course's own kl.\n")
    assert isinstance(case("03.a"), dict)


def unfinished(q: Any, p: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("blank", [stub, ..., None, unfinished, lambda q, p: None], ids=str)
def test_stub_is_met_with_one_friendly_sentence(blank: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert yours("3a", blank)(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 1 and "goes on with the course's own kl" in said and 'hint("03.a")' in said


def test_forgotten_return_is_not_taken_for_a_stub(capsys: pytest.CaptureFixture[str]) -> None:
    def forgot(q: Any, p: Any) -> Any:
        np.sum(q * np.log(q / p))

    assert not is_stub(forgot) and callable(yours("03.a", forgot))
    assert "Is a return missing?" in capsys.readouterr().out


@pytest.mark.parametrize("given", [3, "kl", [kl], np.zeros(2), kl(np.ones(2) / 2, np.ones(2) / 2)], ids=str)
def test_what_is_no_function_is_replaced(given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert yours("03.a", given) is task("03.a").own
    assert "Expected a function" in (said := capsys.readouterr().out) or "Expected one function" in said


def test_endless_loop_is_ended_and_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def endless(q: Any, p: Any) -> Any:
        while True:
            pass

    monkeypatch.setattr(exercise, "Guarded", functools.partial(exercise.Guarded, seconds=0.2))
    assert yours("03.a", endless) is task("03.a").own
    assert "was interrupted" in capsys.readouterr().out


@pytest.mark.parametrize("typed", ["3a", "03a", "3.a", "03.A", " 03-a ", "Task 3a"])
def test_id_of_a_task_is_understood_however_it_is_typed(typed: str) -> None:
    assert task(typed).id == "03.a" and check(typed, kl).task == "03.a"


def test_other_ids_hand_back_what_was_given_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert yours("03.2", kl) is kl
    assert "03.2 is an exercise: check(" in capsys.readouterr().out
    assert yours("03.z", kl) is kl
    assert "03.z? There" in capsys.readouterr().out
    assert yours(kl, "03.a") == "03.a"
    assert "The id comes first" in capsys.readouterr().out


def test_hints_end_with_the_solution_which_only_tasks_in_class_show() -> None:
    assert [repr(hint("03.a"))[:12] for _ in range(3)] == ["Hint 1 of 3.", "Hint 2 of 3.", "Hint 3 of 3."]
    assert 'solution("03.a") shows' in repr(hint("03.a"))
    shown = solution("3a")
    assert repr(shown).startswith("def kl(q, p):\n    log_quotient = ")
    assert shown._repr_markdown_() == f"```python\n{shown!r}\n```"
    assert "def " not in repr(solution("03.2")) and "tasks in class only" in repr(solution("03.2"))
    assert "03.z? There" in repr(solution("03.z"))


def test_progress_has_a_group_for_the_class_and_counts_it_apart() -> None:
    total = len(all_tasks())
    check("03.a", kl)
    shown = repr(progress())
    assert f"In the whole course: 0 of {total}." in shown
    group = shown.split("In class: ")[1]
    assert group.startswith(f"1 of {len(in_class('03'))} right.") and "| 03.a |" in group
    assert "| 03.a |" not in shown.split("In class: ")[0]
    assert repr(progress("04")).count("| 03.a |") == 0


def test_verdict_is_markdown_in_a_notebook_and_the_next_cell_runs() -> None:
    code = """
from IPython.testing.globalipapp import start_ipython
from IPython.utils.capture import capture_output
shell = start_ipython()
shell.display_formatter.active_types = shell.display_formatter.format_types
from vaelib.exercise import yours
with capture_output() as captured:
    own = yours("03.a")
data = captured.outputs[0].data
assert "`kl`" in data["text/markdown"] and "`" not in data["text/plain"] and captured.stdout == "", captured
assert "torch" not in __import__("sys").modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ------------------------------------------------------------------------------------- tasks with a judge of their own


def double(x: Any) -> Any:
    """Twice as much."""
    # a comment that stays
    return 2 * x


def judge_double(answer: Any) -> Feedback | str | None:
    return None if answer(3.0) == 6.0 else "f(3) should be 6."


class Doubler:
    """A class, as torch modules are."""

    def __init__(self, by: float = 2) -> None:
        """Keep the factor."""
        self.by = by

    def forward(self, x: float) -> float:
        return self.by * x  # the whole of it


def custom(truth: Any = double, **changes: Any) -> Custom:
    about: dict[str, Any] = {"id": "03.b", "title": "Twice", "minutes": 3, "name": "twice", "hints": ("a?", "b?", "c?")}
    return Custom(**about | {"truth": truth, "judge": judge_double} | changes)


def test_judge_of_a_task_says_right_or_what_is_wrong() -> None:
    each = custom(judge=f"{__name__}:judge_double", truth=f"{__name__}:double")
    assert judge(each, Answer(each.own)).text == ("Right: 03.b Twice.",)
    assert judge(each, Answer(lambda x: x)).lines == ("Not yet.", "f(3) should be 6.", each.next)


@pytest.mark.parametrize("blank", [..., None, lambda x: None, lambda x: ..., unfinished])
def test_judge_of_a_task_meets_a_stub(blank: Any) -> None:
    answer = blank if blank is not unfinished else lambda x: unfinished(x, x)
    assert judge(custom(), Answer(answer)).state == NOT_ATTEMPTED


def test_judge_of_a_task_meets_what_raises_never_ends_or_is_no_function() -> None:
    def raises(x: Any) -> Any:
        return x["no"]

    def endless(x: Any) -> Any:
        while True:
            pass

    assert "TypeError" in str(judge(custom(), Answer(raises))) and 'x["no"]' in str(judge(custom(), Answer(raises)))
    assert "interrupted" in str(judge(custom(), Answer(endless, total=0.2)))
    assert "its name without brackets" in str(judge(custom(), Answer(6.0)))
    assert judge(custom(), Answer(lambda x: sys.exit())).state == NOT_YET


def test_class_is_handed_over_as_it_is_and_shown_without_its_docstrings() -> None:
    each = custom(truth=Doubler, name="Net", judge=lambda made: None if made(3).forward(1.0) == 3 else "no")
    assert judge(each, Answer(Doubler)).state == RIGHT
    assert as_typed(each) == (
        "class Net():\n    def __init__(self, by=2):\n        self.by = by\n\n"
        "    def forward(self, x):\n        return self.by * x  # the whole of it"
    )


def bare(
    x: float,
) -> float:
    # another comment
    return 2 * x


def test_comment_stays_in_a_solution_and_annotations_go() -> None:
    assert as_typed(custom()) == "def twice(x):\n    # a comment that stays\n    return 2 * x"
    assert as_typed(custom(bare)) == "def twice(x):\n    # another comment\n    return 2 * x"


def test_level_is_asked_of_exercises_and_ids_must_fit_their_group() -> None:
    with pytest.raises(ValueError, match=r"Expected a level for 03\.9"):
        Compute(id="03.9", title="x", minutes=3, name="x", hints=("", "", ""), truth=1.0)
    with pytest.raises(TypeError, match="has no answer"):
        _ = Task(id="03.b", title="x", minutes=3, name="x", hints=("", "", "")).own


def test_tasks_load_without_torch() -> None:
    code = "from vaelib.tasks import all_in_class; all_in_class(); import sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_task_is_counted_twice() -> None:
    assert max(Counter(each.id for each in TASKS).values(), default=1) == 1
