"""Twenty-five submissions, honest and otherwise: each gets what it deserves, and no one disturbs the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from forms import some

from vaelib.grade.collect import HandedIn, collect
from vaelib.grade.gradebook import points_of
from vaelib.grade.isolation import CannotGrade
from vaelib.grade.limits import Limits
from vaelib.grade.marks import Marks, grade_all, grade_one
from vaelib.grade.pool import Pool

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
    "forgot-the-answer": (
        [IMPORTS, RIGHT_1, 'check("04.1")', 'check("04.1", None)', RIGHT_2, 'check("04.2", ...)'],
        "right",
        "right",
    ),
    "another-name": (
        [IMPORTS, "check(4.1, abs)", RIGHT_1.replace("kl_normal", "mine"), "check(4.1, mine)", RIGHT_2],
        "right",
        "right",
    ),
    "plays-after": ([IMPORTS, RIGHT_1, CHECK_1, 'check("04.1", lambda *a: 0.0)', RIGHT_2], "right", "right"),
    "sleeps": (
        [IMPORTS, "import time\n" + RIGHT_1.replace("    return", "    time.sleep(1.5)\n    return"), RIGHT_2],
        "not yet",
        "right",
    ),
    "writes-on-the-pipe": ([IMPORTS, WRONG_1, RIGHT_2, WRITES], "any", "any"),
}


def write(path: Path, cells: list[str] | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(cells, str):
        path.write_text(cells)
        return
    code = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None} for cell in cells
    ]
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


SHORT = [*list(SUBMISSIONS)[::4], "forks"]  # all that are graded where no long test asks for the others


@pytest.fixture(scope="module")
def marks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Marks]:
    here = [item for item in request.session.items if item.path == request.path]
    names = list(SUBMISSIONS) if any(item.get_closest_marker("long") for item in here) else SHORT
    folder = tmp_path_factory.mktemp("submissions")
    for name in names:
        cells, _, _ = SUBMISSIONS[name]
        write(folder / name / "04_gaussian_kl.ipynb", cells)
    write(folder / "renamed" / "my homework (final).ipynb", SUBMISSIONS["right"][0])
    limits = Limits(cells=8.0, question=2.0, exercise=5.0, processor=40, memory=2 << 30)
    found = collect(folder, tmp_path_factory.mktemp("space")).found
    return {mark.student: mark for mark in grade_all([each.handed_in for each in found], 20261122, limits, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", some(SUBMISSIONS, every=4))
def test_submission_gets_what_it_deserves(name: str, marks: dict[str, Marks]) -> None:
    _, first, second = SUBMISSIONS[name]
    states = [marks[name].feedback[id].state for id in ("04.1", "04.2")]
    assert first in (states[0], "any"), marks[name]
    assert second in (states[1], "any"), marks[name]


@pytest.mark.long
@pytest.mark.slow
def test_details_of_what_went_wrong_are_told(marks: dict[str, Marks]) -> None:
    assert points_of(marks["renamed"]) == 4
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
    assert points_of(marks["forks"]) == 4
    for process in Path("/proc").glob("[0-9]*/cmdline") if os.path.isdir("/proc") else []:
        try:
            assert process.read_bytes() != b"sleep\x00600\x00"
        except OSError:
            continue


@pytest.mark.slow
def test_submission_does_not_learn_where_the_others_lie(tmp_path: Path) -> None:
    spy = (
        "import sys\ndef kl_normal(a, b, c, d):\n    return 0.0 if 'secret' in ' '.join(sys.argv) else "
        + RIGHT_1.split("return ")[1]
    )
    spy = spy.replace("loc_q", "a").replace("scale_q", "b").replace("loc_p", "c").replace("scale_p", "d")
    write(tmp_path / "secret" / "ada" / "04.ipynb", [IMPORTS, spy, CHECK_1])
    (tmp_path / "space").mkdir()
    (found,) = collect(tmp_path / "secret", tmp_path / "space").found
    mark = grade_one(found.handed_in, 1, Limits())
    assert mark.feedback["04.1"].right, mark


@pytest.mark.parametrize(("asked", "expected"), [(None, 3), (2, 2)])
def test_so_many_are_graded_at_a_time_as_there_are_cores_for_this_process(
    asked: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container these are fewer than the machine has, and submissions side by side would run out of time."""
    told: list[int] = []

    class NoPool(Pool):
        def __init__(self, submissions: list[HandedIn], seed: int, limits: Limits, at_once: int) -> None:
            told.append(at_once)
            raise CannotGrade("nothing is run here")

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setattr("vaelib.grade.marks.Pool", NoPool)
    with pytest.raises(CannotGrade, match="nothing is run here"):
        grade_all([], 5, at_once=asked)
    assert told == [expected]
