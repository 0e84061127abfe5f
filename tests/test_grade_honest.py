"""The course's own solutions, graded as submissions: all are right, and nothing about them looks odd."""

from __future__ import annotations

import make_exercises as exercises
import pytest
from forms import some
from grading import HONEST, handed_in, reply, submission

from vaelib.grade import isolation, pool
from vaelib.grade.limits import Limits
from vaelib.grade.marks import Marks, grade_all, grade_one

SOURCES = exercises.sources()


def cells_of(notebook: exercises.nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def marks(request: pytest.FixtureRequest) -> dict[str, Marks]:
    """Of the sources that the tests of this run ask for, graded side by side."""
    asked = {item.callspec.params.get("source") for item in request.session.items if hasattr(item, "callspec")}
    solved = [handed_in(cells_of(exercises.with_solutions(s)), s.stem, s.name[:2]) for s in SOURCES if s in asked]
    return {mark.student: mark for mark in grade_all(solved, 5, Limits())}


@pytest.mark.slow
@pytest.mark.parametrize("source", some(SOURCES, every=4), ids=lambda source: source.stem)
def test_solutions_are_right_and_look_honest(source: exercises.Path, marks: dict[str, Marks]) -> None:
    mark = marks[source.stem]
    assert {id: feedback.state for id, feedback in mark.feedback.items() if not feedback.right} == {}
    assert (mark.odd, mark.notes, mark.errors, mark.damaged) == ((), (), {}, "")


@pytest.mark.slow
def test_stubs_are_not_attempted() -> None:
    given = handed_in(cells_of(exercises.for_students(SOURCES[4])), "eve")
    mark = grade_one(given, 5, Limits())
    assert {feedback.state for feedback in mark.feedback.values()} == {"not attempted"} and mark.odd == ()


# ------------------------------------------------------------------------------------------------------- what is odd

ODD = {
    "open('/etc/shadow')": "It opened /etc/shadow, outside its folder.",
    "open('../stolen.txt', 'w')": "",  # the folder above is still its own
    "open('/nowhere/written', 'a')": "It opened /nowhere/written to write, outside its folder.",
    "import vaelib.judge": "It tried to import vaelib.judge.",
    "import subprocess\nsubprocess.run(['sleep', '0'])": "It started a process: sleep 0.",
    "import os\nos.system('sleep 0; id')": "It started a process: sleep 0; id.",
    "!id -u": "It started a process: id -u.",
    "import socket\nsocket.create_connection(('192.0.2.1', 9), timeout=0.1)": "It used the network: ",
    "import ctypes\nctypes.CDLL(None)": "It called the system through ctypes.",
    "import os, signal\nos.kill(os.getppid(), 0)": "It sent 0 to another process.",
    "import gc\ngc.get_objects()": "It looked through the interpreter's own objects (gc.get_objects).",
    "import os\nos.listdir('/etc')": "It listed /etc, outside its folder.",
    "import pathlib\nlist(pathlib.Path('/etc').glob('*'))": "It listed /etc, outside its folder.",
    "import os\nos.remove('/nowhere/x')": "It changed /nowhere/x, outside its folder (os.remove).",
    "import os\nif os.fork() == 0:\n    os._exit(0)": "It forked a process.",
}
HARMLESS = [
    "import os\nos.listdir('.')\nos.mkdir('mine')\nopen('mine/x', 'w').write('1')\nos.remove('mine/x')",
    "import tempfile\nwith tempfile.NamedTemporaryFile('w') as file:\n    file.write('x')",
    "import json, pathlib\npathlib.Path('a.json').write_text(json.dumps([1]))\njson.load(open('a.json'))",
    "!ls\n!pwd\nfiles = !ls\n!pip install x",
    "import os\nos.cpu_count(), os.getpid(), os.environ.get('HOME')",
    "import inspect, json\ninspect.getsource(json.dumps)",
    "import asyncio\nawait asyncio.sleep(0)",
    "import numpy as np\nnp.save('x.npy', np.ones(3))\nnp.load('x.npy')\nnp.show_config()",
    "import scipy.stats, scipy.optimize\nscipy.optimize.minimize(lambda x: (x**2).sum(), [1.0]).x",
    "import warnings, traceback, random, datetime\nwarnings.warn('x')",
    "import vaelib.ledger, vaelib.exercise, vaelib.quadrature",
]


@pytest.fixture(scope="module")
def noted() -> list[str]:
    cells = list(ODD)
    with submission(["import numpy as np", *HARMLESS, "x = 7.0"]) as running:
        assert reply(running, "x") == 7.0
        assert running.story.odd == [] and running.story.errors == {}
    with submission(cells) as running:
        assert reply(running, "x").startswith("not attempted")
    return running.story.odd


@pytest.mark.parametrize("cell", ODD)
def test_what_is_odd_is_said_in_words(cell: str, noted: list[str]) -> None:
    assert not ODD[cell] or any(note.startswith(ODD[cell]) for note in noted), noted
    assert not any("stolen" in note for note in noted)


def test_conditions_are_said_once_in_words() -> None:
    found = pool.conditions()
    assert found is pool.conditions() and found.kind in isolation.available()
    assert str(found).startswith(isolation.SAYS[found.kind])


def test_student_sees_no_other_process_and_no_other_file_in_the_sandbox() -> None:
    if pool.conditions().kind != isolation.SANDBOX:
        pytest.skip("there is no bubblewrap here")
    looks = (
        "import os, glob\nlooked = [float(len([n for n in os.listdir('/proc') if n.isdigit()])),"
        " float(os.path.exists('/etc/shadow')), float(len(glob.glob('/submission/*'))),"
        " float(len(glob.glob('/home/*') + glob.glob('/mnt/*')))]"
    )
    connects = "    socket.create_connection(('127.0.0.1', 22), 1)\n    net = 1.0\nexcept OSError:\n    net = 0.0"
    network = f"import socket\ntry:\n{connects}"
    readonly = "import numpy\ntry:\n    open(numpy.__file__, 'a')\n    ro = 1.0\nexcept OSError:\n    ro = 0.0"
    with submission([looks, network, readonly], kind=isolation.SANDBOX) as running:
        processes, shadow, own, others = reply(running, "looked").tolist()
        assert processes <= 2 and shadow == 0.0 and own == 4.0 and others == 0.0
        assert reply(running, "net") == 0.0 and reply(running, "ro") == 0.0


def test_honest_submission_is_quick() -> None:
    """Two numbers: it starts no more than one process, and waits for nothing."""
    mark = grade_one(handed_in(HONEST), 5, Limits())
    assert mark.feedback["04.1"].right and mark.seconds < 15
