"""The instructor's notebooks as an nbgrader course: nbgrader itself releases, grades and comments them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import instructor
import make_exercises
import pytest
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.nbgraderformat import reads
from nbgrader.nbgraderformat.common import ValidationError
from traitlets.config import Config

from vaelib.grade.marks import POINTS
from vaelib.tasks import tasks_of

SCRIPTS = Path(sysconfig.get_path("scripts"))
SETS = [source.stem for source in make_exercises.sources()]
by_pip = pytest.mark.skipif(
    not any(SCRIPTS.glob("alembic*")), reason="nbgrader calls alembic, whose script lies not beside this Python"
)


def possible(name: str) -> int:
    return sum(POINTS[task.level] for task in tasks_of(name[:2]).values())


def hand_in(course: Path, name: str) -> None:
    """One student hands in the solutions, the other what was given out."""
    for student, folder in (("all", "source"), ("nothing", "release")):
        target = course / "submitted" / student / name
        target.mkdir(parents=True)
        shutil.copy(course / folder / name / f"{name}.ipynb", target)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make instructor` writes; for reading."""
    folder = tmp_path_factory.mktemp("written")
    instructor.main(folder)
    return folder / instructor.FOLDER


@pytest.fixture
def course(written: Path, tmp_path: Path) -> Path:
    """A copy of it to work in."""
    return Path(shutil.copytree(written, tmp_path / instructor.FOLDER))


def test_there_is_one_notebook_with_solutions_for_each_set(written: Path) -> None:
    found = {path.relative_to(written).as_posix() for path in written.rglob("*.ipynb")}
    assert found == {f"source/{name}/{name}.ipynb" for name in SETS} and len(SETS) == 15
    for name in SETS:
        assert "### BEGIN SOLUTION" in (written / "source" / name / f"{name}.ipynb").read_text(encoding="utf-8")


def test_edited_notebook_of_the_instructor_is_kept(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = course / "source" / SETS[0] / f"{SETS[0]}.ipynb"
    mine.write_text(mine.read_text(encoding="utf-8").replace("## 00.1", "## My own 00.1"), encoding="utf-8")
    before = mine.read_bytes()
    instructor.main(course.parent)
    assert mine.read_bytes() == before and "yours is kept" in capsys.readouterr().out


@pytest.mark.parametrize("name", SETS)
def test_nbgrader_accepts_the_metadata_of_every_cell(written: Path, name: str) -> None:
    reads((written / "source" / name / f"{name}.ipynb").read_text(encoding="utf-8"), as_version=4)
    students = (make_exercises.ROOT / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8")
    reads(students, as_version=4)
    with pytest.raises(ValidationError):  # what was wrong once: a dot in an id
        reads(re.sub(r'"grade_id": "(\d\d)-', r'"grade_id": "\1.', students), as_version=4)


@by_pip
@pytest.mark.long  # short: the same steps without the commands, in the next test
@pytest.mark.slow
def test_commands_shown_run_without_an_activated_environment(course: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `make instructor` tells people to type, typed; the shell's own PATH has nothing of the environment."""
    name = "04_gaussian_kl"
    shown = re.findall(r"\S*nbgrader\S* ([a-z_]+ ?\S*)$", instructor.advice(name), re.MULTILINE)
    verbs = [command.split()[0] for command in shown]
    assert verbs == ["generate_assignment", "autograde", "generate_feedback", "export"]
    bare = {**os.environ, "PATH": "/usr/bin:/bin"} if os.name != "nt" else dict(os.environ)
    for command in shown:
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command.split()], cwd=course, env=bare, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        if command.startswith("generate_assignment"):
            hand_in(course, name)
    rows = [line.split(",") for line in (course / "grades.csv").read_text(encoding="utf-8").splitlines()]
    scores = {row[rows[0].index("student_id")]: float(row[rows[0].index("score")]) for row in rows[1:]}
    assert scores == {"all": possible(name), "nothing": 0.0}


@by_pip
@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [SETS[2:3], pytest.param([*SETS[:2], *SETS[3:]], marks=pytest.mark.long)], ids=["one set", "the others"]
)
def test_nbgrader_gives_full_points_for_solutions_and_none_for_what_was_given_out(
    names: list[str], course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([str(SCRIPTS), os.environ["PATH"]]))
    settings = Config()
    exec(
        compile(instructor.CONFIG, "nbgrader_config.py", "exec"), {"get_config": lambda: settings}
    )  # the settings as nbgrader reads them
    settings.CourseDirectory.root = str(course)
    settings.CourseDirectory.db_url = f"sqlite:///{course / 'gradebook.db'}"
    api = NbGraderAPI(CourseDirectory(config=settings), config=settings)
    for name in names:
        assert api.generate_assignment(name)["success"], name
        hand_in(course, name)
        for student, points in (("all", possible(name)), ("nothing", 0)):
            done = api.autograde(name, student)
            assert done["success"], done["log"]
            graded = api.get_submission(name, student)
            assert (graded["score"], graded["max_score"]) == (points, possible(name)), (name, student)
            assert not graded["needs_manual_grade"]
        told = api.generate_feedback(name)
        assert told["success"], told["log"]
        assert (course / "feedback" / "nothing" / name / f"{name}.html").stat().st_size > 10_000
