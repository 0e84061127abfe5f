"""Twenty-five submissions, honest and otherwise: each gets what it deserves, and no one disturbs the others."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vaelib.cli import app
from vaelib.grade.limits import Limits
from vaelib.grade.marks import POINTS, Marks, grade, student_of, tasks_in, write_csv
from vaelib.grade.pages import class_page, student_page
from vaelib.judge import Feedback
from vaelib.tasks import tasks_of

IMPORTS = "import numpy as np\nfrom vaelib.exercise import check, hint, progress"
RIGHT_1 = """def kl_normal(loc_q, scale_q, loc_p, scale_p):
    return np.log(scale_p / scale_q) + (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5"""
WRONG_1 = RIGHT_1.replace("np.log(scale_p / scale_q) + ", "")
RIGHT_2 = """def kl_to_prior(loc, log_scale):
    return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale, axis=-1)"""
STUBS = "def kl_normal(*a):\n    raise NotImplementedError\n\ndef kl_to_prior(*a):\n    ..."
CHECK_1, CHECK_2 = 'check("04.1", kl_normal)', 'check("04.2", kl_to_prior)'
PEEKS = """import sys
def kl_normal(loc_q, scale_q, loc_p, scale_p):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            if callable(getattr(value, "truth", None)):
                return value.truth(loc_q, scale_q, loc_p, scale_p)
        frame = frame.f_back
    return 0.0"""
USES = """from vaelib import Normal, kl_divergence
def kl_normal(a, b, c, d):
    return kl_divergence(Normal(a, b), Normal(c, d))"""
LOOKS_UP = """def kl_normal(**_):
    from vaelib.tasks import task
    return task("04.1").truth(**_)"""
WRITES = """import os
for number in range(3, 20):
    try:
        os.write(number, b'{"right": true}' * 9)
    except OSError:
        pass"""
PRETENDS = """class N(float):
    __eq__ = lambda s, o: True
def kl_normal(*a):
    return N(0)"""
HUNGRY = "def kl_normal(*a):\n    return [np.ones(2**29) for _ in a]"

# name: (cells, state of 04.1, state of 04.2)
SUBMISSIONS: dict[str, tuple[list[str] | str, str, str]] = {
    "right": ([IMPORTS, RIGHT_1, CHECK_1, RIGHT_2, CHECK_2], "right", "right"),
    "wrong": ([IMPORTS, WRONG_1, CHECK_1, RIGHT_2, CHECK_2], "not yet", "right"),
    "stubs": ([IMPORTS, STUBS, CHECK_1, CHECK_2], "not attempted", "not attempted"),
    "broken-json": ('{"cells": [', "not attempted", "not attempted"),
    "empty": ("", "not attempted", "not attempted"),
    "no-notebook": ("[1, 2]", "not attempted", "not attempted"),
    "missing-cell": ([IMPORTS, RIGHT_1, CHECK_1], "right", "not attempted"),
    "no-check": ([IMPORTS, RIGHT_1, RIGHT_2], "right", "right"),
    "cheats-check": (
        [IMPORTS, "def check(*a):\n    return True\nprint('04.1 right. 2 of 2 points')", WRONG_1, CHECK_1, RIGHT_2],
        "not yet",
        "right",
    ),
    "patches-judge": (
        [
            IMPORTS,
            "import vaelib.judge, vaelib.exercise\nvaelib.judge.close = lambda *a: True\nvaelib.judge.judge = None\n"
            "np.abs = lambda x: 0 * x\nnp.all = lambda *a, **k: True",
            WRONG_1,
            CHECK_1,
            RIGHT_2,
        ],
        "not yet",
        "right",
    ),
    "exits": ([IMPORTS, RIGHT_1, "import os\nos._exit(0)", RIGHT_2], "right", "right"),
    "exits-when-asked": ([IMPORTS, "import os\ndef kl_normal(*a):\n    os._exit(1)", RIGHT_2], "not yet", "right"),
    "loops": ([IMPORTS, RIGHT_1, "while True:\n    pass", RIGHT_2], "right", "right"),
    "loops-when-asked": ([IMPORTS, "def kl_normal(*a):\n    while True:\n        pass", RIGHT_2], "not yet", "right"),
    "loops-and-catches": (
        [
            IMPORTS,
            "def kl_normal(*a):\n    while True:\n        try:\n            while True:\n                pass\n"
            "        except BaseException:\n            pass",
            RIGHT_2,
        ],
        "not yet",
        "right",
    ),
    "memory": ([IMPORTS, RIGHT_1, "hold = [np.ones(2**27) for _ in range(64)]", RIGHT_2], "right", "right"),
    "memory-when-asked": ([IMPORTS, HUNGRY, RIGHT_2], "not yet", "right"),
    "flood": ([IMPORTS, RIGHT_1, "for _ in range(200_000):\n    print('x' * 200)", RIGHT_2], "right", "right"),
    "huge-reply": ([IMPORTS, "def kl_normal(*a):\n    return np.ones(10**7)", RIGHT_2], "not yet", "right"),
    "peeks": ([IMPORTS, PEEKS, CHECK_1, RIGHT_2], "not yet", "right"),
    "forbidden": ([IMPORTS, USES, CHECK_1, RIGHT_2], "not yet", "right"),
    "syntax-error": ([IMPORTS, "def kl_normal(:\n    pass", RIGHT_2], "not attempted", "right"),
    "magic": (["%matplotlib inline\n!true\n" + IMPORTS, RIGHT_1, RIGHT_2], "right", "right"),
    "pretends": ([IMPORTS, PRETENDS, RIGHT_2], "not yet", "right"),
    "looks-up": ([IMPORTS, LOOKS_UP, RIGHT_2], "not yet", "right"),
    "forks": ([IMPORTS, RIGHT_1, "import subprocess\nsubprocess.Popen(['sleep', '600'])", RIGHT_2], "right", "right"),
    "help": ([IMPORTS, RIGHT_1 + "\nkl_normal?\n?check", CHECK_1, "%%bash\nls (", RIGHT_2], "right", "right"),
    "plays-after": ([IMPORTS, RIGHT_1, CHECK_1, 'check("04.1", lambda *a: 0.0)', RIGHT_2], "right", "right"),
    "sleeps": (
        [IMPORTS, "import time\n" + RIGHT_1.replace("    return", "    time.sleep(1.5)\n    return"), RIGHT_2],
        "not yet",
        "right",
    ),
    "writes-on-the-pipe": ([IMPORTS, WRONG_1, RIGHT_2, WRITES], "any", "any"),
}


POSSIBLE = sum(POINTS[each.level] for each in tasks_of("04").values())


def write(path: Path, cells: list[str] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(cells, str):
        path.write_text(cells)
        return
    code = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None} for cell in cells
    ]
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Marks]:
    folder = tmp_path_factory.mktemp("submissions")
    for name, (cells, _, _) in SUBMISSIONS.items():
        write(folder / name / "04_gaussian_kl.ipynb", cells)
    write(folder / "renamed" / "my homework (final).ipynb", SUBMISSIONS["right"][0])
    limits = Limits(cells=8.0, question=2.0, exercise=5.0, processor=40, memory=2 << 30)
    return {mark.student: mark for mark in grade(folder, seed=20261122, limits=limits, at_once=2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submission_gets_what_it_deserves(name: str, marks: dict[str, Marks]) -> None:
    _, first, second = SUBMISSIONS[name]
    states = [marks[name].feedback[id].state for id in ("04.1", "04.2")]
    assert first in (states[0], "any"), marks[name]
    assert second in (states[1], "any"), marks[name]


@pytest.mark.slow
def test_details_of_what_went_wrong_are_told(marks: dict[str, Marks]) -> None:
    assert (marks["renamed"].points, marks["renamed"].possible) == (4, POSSIBLE)
    assert marks["wrong"].feedback["04.1"].mistake == "no logarithm"
    assert marks["cheats-check"].feedback["04.1"].mistake == "no logarithm"
    assert "this exercise asks you to write the KL divergence yourself" in str(marks["forbidden"].feedback["04.1"])
    assert "interrupted" in str(marks["loops-when-asked"].feedback["04.1"])
    assert "SyntaxError" in marks["syntax-error"].errors[1]
    assert "too long" in marks["loops"].errors[2] and "status 0" in marks["exits"].errors[2]
    assert len(marks["flood"].output) <= 64 << 10
    assert all(mark.seconds < 60 for mark in marks.values())


@pytest.mark.slow
def test_nothing_that_a_submission_started_is_left(marks: dict[str, Marks]) -> None:
    assert marks["forks"].points == 4
    for process in Path("/proc").glob("[0-9]*/cmdline") if os.path.isdir("/proc") else []:
        try:
            assert process.read_bytes() != b"sleep\x00600\x00"
        except OSError:
            continue


@pytest.mark.slow
def test_pages_and_table_say_what_was_found(marks: dict[str, Marks], tmp_path: Path) -> None:
    everybody = list(marks.values())
    page = class_page(everybody)
    assert "<svg" in page and "no logarithm" in page and "the normalizers were taken to cancel" in page
    assert not any(name in page for name in ("cheats-check", "forks"))
    own = student_page(marks["wrong"])
    assert f"2 of {POSSIBLE} points" in own and "It looks like the normalizers" in own
    write_csv(everybody, tmp_path / "grades.csv")
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == len(SUBMISSIONS) + 1
    (row,) = (row for row in rows if row["student"] == "wrong")
    shown = [row[column] for column in ("points", "possible", "04.1", "04.1 looks like")]
    assert shown == ["2", str(POSSIBLE), "not yet", "no logarithm"]


@pytest.mark.slow
def test_command_writes_everything(tmp_path: Path) -> None:
    write(tmp_path / "in" / "ada.ipynb", SUBMISSIONS["right"][0])
    write(tmp_path / "in" / "bob.ipynb", SUBMISSIONS["wrong"][0])
    done = CliRunner().invoke(app, ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--seed", "7"])
    assert done.exit_code == 0, done.output
    assert "2 submissions graded, 0 of them could not be run to the end; seed 7." in done.output
    assert sorted(path.name for path in (tmp_path / "out" / "feedback").iterdir()) == ["ada.html", "bob.html"]
    assert (tmp_path / "out" / "class.html").exists()


def test_command_refuses_what_is_no_folder_of_notebooks(tmp_path: Path) -> None:
    run: Callable[..., Any] = CliRunner().invoke
    assert "Expected a folder" in run(app, ["grade", str(tmp_path / "none"), "--out", str(tmp_path)]).output
    assert "but found none" in " ".join(run(app, ["grade", str(tmp_path), "--out", str(tmp_path)]).output.split())


def test_notebook_is_recognized_by_ids_by_name_and_by_functions(tmp_path: Path) -> None:
    write(tmp_path / "a.ipynb", [CHECK_1])
    write(tmp_path / "04_x.ipynb", "{")
    write(tmp_path / "b.ipynb", [RIGHT_2])
    write(tmp_path / "c.ipynb", ["1 + 1"])
    found = {path.name: [task.id[:2] for task in tasks_in(path)][:1] for path in tmp_path.iterdir()}
    assert found == {"a.ipynb": ["04"], "04_x.ipynb": ["04"], "b.ipynb": ["04"], "c.ipynb": []}
    assert student_of(tmp_path / "ada" / "04.ipynb", tmp_path) == "ada"
    assert student_of(tmp_path / "ada.ipynb", tmp_path) == "ada"


@pytest.mark.slow
def test_names_of_any_kind_are_graded_and_no_page_is_written_over(tmp_path: Path) -> None:
    for folder in ("section 1/eve", "section 1/bob", "section 2/eve"):
        write(tmp_path / "in" / folder / "04.ipynb", [IMPORTS, RIGHT_1, CHECK_1])
    write(tmp_path / "in" / "__MACOSX" / "._04.ipynb", "x")
    odd = os.fsdecode(b"M\xfcller.ipynb")
    write(tmp_path / "in" / odd, [IMPORTS, RIGHT_1, CHECK_1])
    done = CliRunner().invoke(app, ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "4 submissions graded" in done.output and re.search(r"seed \d+\.", done.output)
    rows = (tmp_path / "out" / "grades.csv").read_text(encoding="utf-8-sig").splitlines()
    students = [row.split(",")[0] for row in rows[1:]]
    assert sorted(students) == ["M\ufffdller", "section 1/bob", "section 1/eve", "section 2/eve"]
    assert len(list((tmp_path / "out" / "feedback").glob("*.html"))) == 4


@pytest.mark.slow
def test_submission_does_not_learn_where_the_others_lie(tmp_path: Path) -> None:
    spy = (
        "import sys\ndef kl_normal(a, b, c, d):\n    return 0.0 if 'secret' in ' '.join(sys.argv) else "
        + RIGHT_1.split("return ")[1]
    )
    spy = spy.replace("loc_q", "a").replace("scale_q", "b").replace("loc_p", "c").replace("scale_p", "d")
    write(tmp_path / "secret" / "ada" / "04.ipynb", [IMPORTS, spy, CHECK_1])
    (mark,) = grade(tmp_path / "secret", seed=1)
    assert mark.feedback["04.1"].right, mark


def test_names_cannot_become_formulas_or_markup(tmp_path: Path) -> None:
    mark = Marks("=1+1<b>", "x.ipynb", {"04.1": Feedback("not yet", ("<script>",), "no logarithm", "04.1")})
    write_csv([mark], tmp_path / "grades.csv")
    assert "'=1+1" in (tmp_path / "grades.csv").read_text()
    assert not re.search("<b>=|<script>", student_page(mark))
