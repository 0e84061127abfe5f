"""The exercises as students get them: in step with their source, without solutions; the solutions are right."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import make_exercises as exercises
import nbformat
import numpy as np
import pytest

from vaelib.bans import Guarded
from vaelib.grade.marks import POINTS
from vaelib.judge import NOT_ATTEMPTED, RIGHT, judge, z_scores
from vaelib.reply import Answer
from vaelib.task import Sample
from vaelib.tasks import FILES, all_tasks, tasks_of

ROOT = Path(__file__).resolve().parent.parent
SOURCES = exercises.sources()
by_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def number(source: Path) -> str:
    return source.name[:2]


def namespace(cells: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code cells define, when they are run from top to bottom."""
    monkeypatch.chdir(folder)
    defined: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<{cell.id}>", "exec"), defined)
    return defined


def test_every_notebook_of_the_course_has_exercises() -> None:
    notebooks = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    assert {source.stem for source in SOURCES} <= set(notebooks)
    assert sorted(FILES) == [source.name[:2] for source in SOURCES]
    assert len(all_tasks()) >= 2 * len(SOURCES)


@by_source
def test_student_notebook_is_in_step_with_its_source(source: Path) -> None:
    stored = exercises.target(source).read_text(encoding="utf-8")
    assert stored == nbformat.writes(exercises.for_students(source)) + "\n", "run tools/make_exercises.py"


@by_source
def test_source_has_every_exercise_with_its_price_and_its_points(source: Path) -> None:
    notebook = exercises.with_solutions(source)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    graded = {c.metadata.nbgrader.grade_id: c for c in notebook.cells if "nbgrader" in c.metadata}
    for id, each in tasks_of(number(source)).items():
        statement = text[text.index(f"## {id} ") :]
        assert re.search(rf"\*{each.level.capitalize()}, {each.minutes} minutes\.\*", statement), id
        grade_id = id.replace(".", "-")  # nbgrader allows no dot
        solution, check = graded.pop(grade_id), graded.pop(f"{grade_id}-check")
        assert solution.metadata.nbgrader.solution and each.name in solution.source
        assert check.metadata.nbgrader.points == POINTS[each.level]
        assert check.source.startswith(f'check("{id}", {each.name})')
    assert not graded
    assert f"(../notebooks/{source.stem}.ipynb)" in text


@by_source
def test_hint_stands_ready_below_each_check_in_a_cell_that_can_be_edited(source: Path) -> None:
    """The cell with the check is locked: a line in it could not be changed."""
    cells = exercises.for_students(source).cells
    assert "import case, check, hint, progress" in next(cell.source for cell in cells if cell.cell_type == "code")
    for cell, below in itertools.pairwise(cells):
        if found := re.match(r'check\("(\d\d\.\d)"', cell.source):
            assert cell.metadata.editable is False
            assert below.source.startswith(f'# hint("{found[1]}")') and below.metadata.get("editable", True)


@by_source
def test_solutions_are_right(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defined = namespace(exercises.with_solutions(source).cells, tmp_path, monkeypatch)
    for id, each in tasks_of(number(source)).items():
        feedback = judge(each, Guarded(defined[each.name], kinds=each.forbidden), seed=5)
        assert feedback.state == RIGHT, f"{id}: {feedback}"


@by_source
def test_stubs_are_not_attempted_and_raise_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defined = namespace(exercises.for_students(source).cells, tmp_path, monkeypatch)
    for id, each in tasks_of(number(source)).items():
        assert judge(each, Answer(defined[each.name])).state == NOT_ATTEMPTED, id


@by_source
def test_no_solution_is_left_in_the_student_notebook(source: Path) -> None:
    given = nbformat.writes(exercises.for_students(source))
    for word in ("SOLUTION", "HIDDEN", "assert check"):
        assert word not in given
    text = source.read_text(encoding="utf-8")
    outside = re.sub(r"### BEGIN SOLUTION\n.*?### END SOLUTION", "", text, flags=re.DOTALL)
    for block in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", text, re.DOTALL):
        lines = [line.strip() for line in block.splitlines() if len(line.strip()) > 12 and line.strip() not in outside]
        assert not [line for line in lines if json.dumps(line)[1:-1] in given]


@by_source
def test_statements_are_short_and_stubs_have_a_docstring(source: Path) -> None:
    for cell in exercises.for_students(source).cells:
        if cell.cell_type == "markdown":
            assert len(cell.source.split()) <= 230, cell.source[:60]
        elif cell.source.startswith("def "):
            assert '"""' in cell.source and "Returns" in cell.source, cell.source[:60]


@by_source
def test_notebook_says_that_ready_made_functions_do_not_count(source: Path) -> None:
    if any(each.forbidden for each in tasks_of(source.name[:2]).values()):
        opening = exercises.for_students(source).cells[0].source
        assert re.search(r"ready-made|package's own models do not count", " ".join(opening.split()))


SAMPLES = [each for each in all_tasks().values() if isinstance(each, Sample)]


@pytest.mark.slow
@pytest.mark.seeds(75, short=15)
@pytest.mark.parametrize("each", SAMPLES, ids=lambda each: each.id)
def test_z_scores_of_a_right_estimator_are_standard_normal(
    each: Sample, seeds: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two z-scores of a check, over many checks of the solution: this is what its false alarms rest on."""
    (source,) = (path for path in SOURCES if number(path) == each.id[:2])
    estimator = namespace(exercises.with_solutions(source).cells, tmp_path, monkeypatch)[each.name]
    for case, question in enumerate(each.examples):
        law = each.law(**question)
        scores = []
        for seed in seeds:
            rngs = [np.random.default_rng([7, case, seed, repeat]) for repeat in range(each.repeats)]
            values = np.array([float(estimator(*question.values(), rng)) for rng in rngs])
            scores.append(z_scores(values, law))
        mean, spread = np.transpose(scores)
        allowed = 1 / np.sqrt(len(seeds))  # the standard error of a mean; that of a deviation is 0.7 of it
        for z in (mean, spread):
            assert abs(z.mean()) < 4.5 * allowed and abs(z.std() - 1) < 2.3 * allowed, (case, z.mean(), z.std())
            assert np.abs(z).max() < 4.5
