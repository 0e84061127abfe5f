"""Attacks on grading, each beside honest neighbours: nobody gets more than was earned, and nobody else gets less."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from forms import some
from grading import HONEST, IMPORTS, RIGHT_2, SHORT, WRONG_1, handed_in

from vaelib.grade import isolation, pool
from vaelib.grade.marks import Marks, grade_all

pytestmark = pytest.mark.slow
PLANT = "for each in tasks_of('04').values():\n    globals()[each.name] = each.truth"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the processes of others are found through /proc")

# name -> cells; 04.1 must never be right, and 04.2 must be right where it is written
CHEATS: dict[str, list[str]] = {
    "imports-the-tasks": ["from vaelib.tasks import tasks_of", PLANT],
    "unblocks-the-name": [
        "import sys\nsys.modules.pop('vaelib.tasks', None); from vaelib.tasks import tasks_of\n"
        "class Never(list): __contains__ = lambda self, name: False\nsys.modules['__main__'].asked_now = Never()\n"
        + PLANT
    ],
    "asks-another-python": [
        "import subprocess, sys\ncode = 'from vaelib.tasks import task; print(task(\"04.1\").truth(0., 1., 1., 2.))'\n"
        "def kl_normal(*a):\n    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "    return float(done.stdout)"
    ],
    "looks-through-closures": [
        "import vaelib, gc\ndef kl_normal(*a):\n    for each in gc.get_objects():\n"
        "        if getattr(each, '__name__', '') == 'kl_divergence':\n"
        "            return each(vaelib.Normal(*a[:2]), vaelib.Normal(*a[2:]))\n    return 0.0"
    ],
    "clears-the-guard": [
        "import sys\nfor name in ('asked_now', 'forbidden'):\n    getattr(sys.modules['__main__'], name, []).clear()\n"
        "from vaelib import Normal, kl_divergence\ndef kl_normal(*a):\n"
        "    return kl_divergence(Normal(*a[:2]), Normal(*a[2:]))"
    ],
    "takes-the-neighbours": [
        "import os, glob, re\ndef kl_normal(*a):\n    text = open(f'/proc/{os.getppid()}/cmdline').read()\n"
        "    for path in glob.glob(os.path.dirname(text.split(chr(0))[-2]) + '/../**/*.ipynb', recursive=True):\n"
        "        return 1.0\n    return 0.0"
    ],
    "writes-the-graders-memory": [
        "import os\nopen(f'/proc/{os.getppid()}/mem', 'r+b').close()\ndef kl_normal(*a):\n    return 0.0"
    ],
    "says-it-is-right": [
        'import os, struct\nfor number in range(3, 30):\n    d = b\'{"ready": true, "right": true}\'\n    try:\n'
        "        os.write(number, struct.pack('!II', len(d), 0) + d)\n    except OSError:\n        pass",
        WRONG_1,
    ],
    "plants-a-module": ["%%writefile numpy.py\nraise SystemExit", "%%writefile vaelib.py\nx = 1", WRONG_1],
}

# name -> (cells, is 04.2 right?); what these do must cost them no more than this, and their neighbours nothing
HURTS: dict[str, tuple[list[str], bool]] = {
    "reads-nothing": (
        [
            "import os, struct, time\nd = b'{\"ready\": true}'\nfor n in range(3, 30):\n    try:\n"
            "        os.write(n, struct.pack('!II', len(d), 0) + d)\n    except OSError:\n        pass\ntime.sleep(60)"
        ],
        False,
    ),
    "odd-letters": (["raise ValueError('\\ud800')", "def kl_normal(*a):\n    raise ValueError('\\ud800' * 999)"], True),
    "stops-its-parent": (["import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)"], True),
    "ends-its-parent": (["import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"], True),
    "interrupts-its-parent": (["import os, signal\nos.kill(os.getppid(), signal.SIGINT)"], True),
    "kills-its-group": (["import os, signal\nos.killpg(os.getpgid(os.getppid()), signal.SIGTERM)"], True),
    "daemon": (
        [
            "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        for n in range(100):\n"
            "            try:\n                os.close(n)\n            except OSError:\n                pass\n"
            "        os.execvp('sleep', ['sleep', '617'])\n    os._exit(0)"
        ],
        True,
    ),
    "many-errors": (
        [
            "import os, struct, json\nd = json.dumps({'cell': 0, 'error': 'x' * 900_000}).encode()\n"
            "for n in range(3, 30):\n    try:\n        for _ in range(30):\n"
            "            os.write(n, struct.pack('!II', len(d), 0) + d)\n    except OSError:\n        pass"
        ],
        True,
    ),
    "deep-replies": (
        [
            "import json, vaelib.grade.wire as wire\n"
            "wire.encoded = lambda *_, **__: wire.HEAD.pack(100_000, 0) + b'[' * 100_000"
        ],
        False,
    ),
    "endless-sizes": (
        ["import vaelib.grade.wire as wire\nwire.packed_reply = lambda reply: ({'shape': [float('inf')]}, b'')"],
        False,
    ),
    "unhashable": (
        ["import vaelib.grade.wire as w\nw.packed_reply = lambda _: ({'shape': [], 'precision': [{}]}, b'8' * 8)"],
        False,
    ),
    "odd-cells": (
        [
            "import os, struct, json\nfor cell in (10**9, -1, True, 1.5, None, [], {}, 'x'):\n"
            "    d = json.dumps({'cell': cell, 'error': 'forged'}).encode()\n    for n in range(3, 30):\n        try:\n"
            "            os.write(n, struct.pack('!II', len(d), 0) + d)\n        except OSError:\n            pass"
        ],
        True,
    ),
    "error-without-words": (
        [
            "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\n    __repr__ = __str__\n"
            "def kl_normal(*a):\n    raise Odd\nraise Odd"
        ],
        True,
    ),
    "class-that-raises": (
        [
            "class Odd:\n    @property\n    def __class__(self):\n        raise RuntimeError\n"
            "def kl_normal(*a):\n    return Odd()\ncheck('04.1', Odd())"
        ],
        True,
    ),
    "list-of-itself": (["knot = []\nknot.append(knot)\ndef kl_normal(*a):\n    return knot"], True),
    "endless-array": (["def kl_normal(*a):\n    return np.broadcast_to(1.0, (10**6, 10**6))"], True),
    "deep-folders": (["import os\nfor _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')"], True),
    "folder-becomes-a-link": (
        ["import os, shutil\nhere = os.getcwd()\nos.chdir('..')\nshutil.rmtree(here)\nos.symlink('/usr', here)"],
        True,
    ),
    "many-notes": (["import os, contextlib", *(f"open('/etc/{n}')" for n in range(40))], True),
}  # fmt: skip
ATTACKS = CHEATS | {name: cells for name, (cells, _) in HURTS.items()}
KINDS = [kind for kind in isolation.available() if kind != isolation.OTHER_USER]


def graded(kind: str) -> dict[str, Marks]:
    submissions = [handed_in(HONEST, "aaa")]
    for name, cells in ATTACKS.items():
        submissions.append(handed_in([IMPORTS, *cells, RIGHT_2], name))
    submissions += [handed_in(HONEST, "nnn"), handed_in(HONEST, "zzz")]
    came: list[str] = []
    marks = grade_all(submissions, 20261128, SHORT, 2, lambda mark: came.append(mark.student))
    assert sorted(came) == sorted(mark.student for mark in marks) == sorted([*ATTACKS, "aaa", "nnn", "zzz"])
    return {mark.student: mark for mark in marks}


@pytest.fixture(scope="module", params=some(KINDS, every=len(KINDS)))  # the best kind, and then the others
def marks(request: pytest.FixtureRequest) -> dict[str, Marks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "conditions", lambda _: pool.Conditions(request.param, ()))
        patch.setattr(pool, "SILENCE", 15.0)
        return graded(request.param)


@pytest.mark.parametrize("name", ["aaa", "nnn", "zzz"])
def test_honest_neighbours_have_their_grades(name: str, marks: dict[str, Marks]) -> None:
    assert [marks[name].feedback[id].state for id in ("04.1", "04.2")] == ["right", "right"]
    assert marks[name].odd == () and marks[name].errors == {} and marks[name].damaged == ""


@pytest.mark.parametrize("name", CHEATS)
def test_cheat_earns_nothing_and_keeps_what_was_earned(name: str, marks: dict[str, Marks]) -> None:
    assert not marks[name].feedback["04.1"].right, marks[name]
    assert marks[name].feedback["04.2"].right, marks[name]


@pytest.mark.parametrize("name", HURTS)
def test_attack_costs_its_own_exercise_at_most(name: str, marks: dict[str, Marks]) -> None:
    assert not marks[name].feedback["04.1"].right
    if HURTS[name][1]:
        lost = "judge was lost" in str(marks[name].notes)  # the answer counts, or it is told who ended the judge
        assert marks[name].feedback["04.2"].right or lost, marks[name]


def test_what_looked_odd_is_told(marks: dict[str, Marks]) -> None:
    for name in (
        "imports-the-tasks",
        "asks-another-python",
        "looks-through-closures",
        "takes-the-neighbours",
        "daemon",
    ):
        assert marks[name].odd, name
    assert "It tried to import vaelib.tasks." in marks["imports-the-tasks"].odd
    assert 1 <= len(marks["many-notes"].odd) <= 20
    assert all(len(note) <= 600 for mark in marks.values() for note in mark.odd)


def test_texts_can_be_written(marks: dict[str, Marks]) -> None:
    for mark in marks.values():
        lines = [line for feedback in mark.feedback.values() for line in feedback.lines]
        for text in [*mark.errors.values(), *mark.odd, *mark.notes, mark.damaged, mark.output, *lines]:
            text.encode()
            assert len(text) <= 1 << 16
    assert not any("forged" in text and cell != 1 for cell, text in marks["odd-cells"].errors.items())
    assert all(len(text) <= 700 for mark in marks.values() for text in mark.errors.values())


@LINUX
def test_no_process_of_a_submission_is_left(marks: dict[str, Marks]) -> None:
    assert marks["daemon"].feedback["04.2"].right
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert process.read_bytes() != b"sleep\x00617\x00"
        except OSError:
            continue


# ------------------------------------------------------------------------------------------------------- the judge


def test_derivation_that_takes_long_to_judge_costs_its_own_exercise() -> None:
    chain = "+".join(["KL(q, post)"] * 150)
    names = "from vaelib.terms import KL, E, H, log_E, log_evidence, log_joint, log_lik, log_post, log_prior, log_q"
    cells = [
        f"{names}, post, prior, q, for_all_z",
        f"to_the_bound = [log_evidence, {', '.join([f'({chain})'] * 40)}]",
        "repaired = [KL(q, post), E(q, for_all_z(log_lik)) if True else 0, log_evidence]",
        "broken_line = 3",
    ]
    limits = replace(SHORT, judging=2.0)
    slow, honest = grade_all([handed_in(cells, "slow", "05"), handed_in(HONEST, "zzz")], 3, limits, 2)
    assert "was given up" in str(slow.feedback["05.1"]), slow.feedback["05.1"]
    assert not slow.feedback["05.3"].right and slow.feedback["05.2"].state in ("right", "not yet")
    assert honest.feedback["04.1"].right and slow.seconds < 60


GRADER = """
import json, sys, time
from vaelib.grade.marks import grade_all
from vaelib.grade.collect import HandedIn
from vaelib.grade.limits import Limits
if __name__ == "__main__":
    loops = ("while True:\\n    pass",)
    print("begin", flush=True)
    everybody = [HandedIn(str(n), "", "04", loops if n else json.loads(sys.argv[1])) for n in range(6)]
    grade_all(everybody, 1, Limits(cells=60), 2, lambda marks: print(marks.student, flush=True))
"""


@LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_grader_that_is_ended_leaves_nothing_and_what_was_done_is_known(number: int, tmp_path: Path) -> None:
    (tmp_path / "grader.py").write_text(textwrap.dedent(GRADER))
    root = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "grader.py"), json.dumps(HONEST)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert [process.stdout.readline().strip() for _ in range(2)] == ["begin", "0"]  # the first is done, others are not
    time.sleep(2.0)
    below = isolation.descendants(process.pid)
    assert len(below) >= 3
    started = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=15)
    assert process.returncode != 0 and time.monotonic() - started < 10
    time.sleep(1.0)
    assert [pid for pid in below if _runs(pid)] == []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kind_of_process_that_does_not_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = isolation.start

    def picky(kind: str, *rest: Any) -> Any:
        if kind != isolation.PLAIN:
            raise isolation.CannotGrade("The process of a submission could not be started: as if not permitted.")
        return start(kind, *rest)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(isolation, "start", picky)
    monkeypatch.setattr(isolation, "available", lambda: [isolation.OTHER_USER, isolation.PLAIN])
    assert pool.conditions.__wrapped__(SHORT).kind == isolation.PLAIN
    assert list(tmp_path.iterdir()) == []


def test_error_of_done_ends_everything_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Exception):
        pass

    def full(mark: Marks) -> None:
        raise Full

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = isolation.children(os.getpid())  # of the tests that ran in this process earlier
    with pytest.raises(Full):
        grade_all([handed_in(HONEST, str(n)) for n in range(3)], 1, SHORT, 1, full)
    assert list(tmp_path.iterdir()) == []
    assert set(isolation.children(os.getpid())) <= set(before)


def test_right_answer_counts_where_another_exercise_forbids_what_it_uses() -> None:
    """09.1 forbids the package's bits, 09.2 the KL; an answer to 09.1 that uses the KL for something is asked again."""
    answer = (
        "def bits_per_pixel(nll, pixels, levels):\n    from vaelib import Normal, kl_divergence\n"
        "    zero = float(kl_divergence(Normal(0.0, 1.0), Normal(0.0, 1.0)))\n"
        "    return zero + nll / pixels / np.log(2) + np.log2(levels)"
    )
    (mark,) = grade_all([handed_in([IMPORTS, answer], "ada", "09")], 1, SHORT, 1)
    assert mark.feedback["09.1"].right, mark.feedback["09.1"]
