"""A student's cells are read as Jupyter reads them, and a statement that fails does not take the rest along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from grading import reply, submission

from vaelib.grade import cells, isolation
from vaelib.grade.cells import Failure
from vaelib.grade.submission import Submission

KINDS = [kind for kind in isolation.available() if kind != isolation.OTHER_USER]

# name of an answer -> the cells that make it; each answer is 7.0
IDIOMS: dict[str, list[str]] = {
    "comment_asks": ["def comment_asks():\n    return 7.0  # in nats?"],
    "docstring_asks": ['def docstring_asks():\n    """Which latents are active?"""\n    return 7.0'],
    "text_with_a_magic": ['TEXT = """\n%matplotlib inline\n!ls\nwhy?\n"""\ntext_with_a_magic = 7.0 * ("!ls" in TEXT)'],
    "modulo_first": ["def modulo_first():\n    return float(\n        15\n        % 8\n    )"],
    "unequal_first": ["unequal_first = 7.0 * (\n    3\n    != 4\n)"],
    "list_of_files": ["files = !ls", "list_of_files = 7.0 * ('own.txt' in list(files))"],
    "list_in_a_function": ["def list_in_a_function():\n    lines = !echo 7.0\n    return float(lines[0])"],
    "place": ["here = %pwd", "place = 7.0 * here.endswith('work')"],
    "variable_in_a_command": ["number = 7.0\nshown = !echo {number}", "variable_in_a_command = float(shown[0])"],
    "timed": ["%time timed = 7.0"],
    "timed_cell": ["%%time\ntimed_cell = 3.5\ntimed_cell += 3.5"],
    "captured": ["%%capture shown\nprint('x')\ncaptured = 7.0"],
    "measured": ["%timeit -n 1 sum(range(10))\nmeasured = 7.0"],
    "after_installing": ["!pip install seaborn\n%pip install seaborn\nafter_installing = 7.0"],
    "installing_quoted": [
        "said = !pip install 'seaborn>=0.13'",
        "more = !python -m pip install seaborn && echo done",
        "also = !cd /tmp; 'pip3.11' install x",
        "other = !echo pipeline install",
        "left_out = ['(not run while the notebook is graded)']",
        "installing_quoted = 7.0 * (said == more == also == left_out and other == ['pipeline install'])",
    ],
    "installing_alone": ["pip install seaborn", "installing_alone = 7.0"],
    "pictures": ["%matplotlib inline\n%config InlineBackend.figure_format = 'retina'\npictures = 7.0"],
    "extension": ["%load_ext autoreload\n%autoreload 2\nextension = 7.0"],
    "missing_extension": ["%load_ext nowhere\nmissing_extension = 7.0"],
    "help_asked": ["help_asked = 7.0\nhelp_asked?\n?print\nnp.log??"],
    "written": ["%%writefile helper.py\nVALUE = 7.0", "from helper import VALUE as written"],
    "appended": ["%%writefile o.py\nA = 3.0", "%%writefile -a o.py\nB = 4.0", "import o\nappended = o.A + o.B"],
    "beside": ["from beside_it import beside"],
    "read_from_a_file": ["read_from_a_file = float(open('own.txt').read())"],
    "awaited": ["import asyncio\nawait asyncio.sleep(0)\nawaited = await asyncio.sleep(0, 7.0)"],
    "awaited_in_a_loop": ["async def f():\n    yield 7.0", "awaited_in_a_loop = sum([x async for x in f()])"],
    "magic_alone_in_a_function": ["def magic_alone_in_a_function():\n    %time x = 7.0\n    return 7.0"],
    "shell_is_there": ["shell = get_ipython()\nshell_is_there = 7.0 * (shell is not None)"],
    "colab": ["if 'google.colab' in str(get_ipython()):\n    from google.colab import drive\ncolab = 7.0"],
    "annotations": ["from __future__ import annotations", "def annotations(x: Undefined = 7.0):\n    return x"],
    "underscore": ["3.5", "underscore = 2 * _"],
    "main": ["if __name__ == '__main__':\n    main = 7.0"],
    "dataclass": [
        "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    x: float = 7.0",
        "import pickle\ndataclass = pickle.loads(pickle.dumps(Pair())).x",
    ],
    "bash": ["%%bash\nls (", "bash = 7.0"],
    "unknown_magic": ["%tensorflow_version 2.x\nunknown_magic = 7.0"],
    "after_exit": ["import sys\nsys.exit()\nafter_exit = 7.0"],
    "after_a_failed_import": ["import seaborn as sns\nafter_a_failed_import = 7.0"],
    "with_a_failed_import": ["from math import nowhere, sqrt", "with_a_failed_import = sqrt(49.0)"],
    "several_imports": ["import nowhere_at_all, math", "several_imports = math.sqrt(49.0)"],
    "after_an_error_in_a_loop": ["for i in range(3):\n    1 / (1 - i)\nafter_an_error_in_a_loop = 7.0"],
    "latin": ["ä = 7.0\nlatin = ä\nprint('ä ∑ 🙂')"],
    "help_of_python": ["help(print)\nhelp_of_python = 7.0"],
    "input_is_empty": ["try:\n    input()\nexcept EOFError:\n    input_is_empty = 7.0"],
}  # fmt: skip
MISSING = [
    "import seaborn as sns\nfrom google.colab import drive",
    "def pretty():\n    return float(sns.color_palette()[0])",
    "given = drive.mount('/content')",
    "def lost(:\n    return 1.0",
    "def half(x):\n    return undefined + x",
]


@pytest.fixture(scope="module", params=KINDS)
def notebook(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submission]:
    files = tmp_path_factory.mktemp("files")
    (files / "own.txt").write_text("7.0")
    (files / "beside_it.py").write_text("beside = 7.0")
    (files / "vaelib").mkdir()
    (files / "vaelib" / "__init__.py").write_text("")  # a copy of the course, handed in with the notebook
    cells = ["import numpy as np", *(cell for cells in IDIOMS.values() for cell in cells), *MISSING]
    with submission(cells, kind=request.param, files=files) as running:
        yield running


@pytest.mark.parametrize("name", IDIOMS)
def test_idiom_gives_its_value(name: str, notebook: Submission) -> None:
    assert reply(notebook, name) == 7.0, notebook.story.errors


def test_what_failed_is_told_with_its_cause(notebook: Submission) -> None:
    assert notebook.story.damaged == "" and notebook.story.ended == {}
    pretty = reply(notebook, "pretty")
    assert pretty.startswith(
        "raised: NameError: name 'sns' is not defined, since `import seaborn as sns` failed in cell"
    )
    assert "No module named 'seaborn'" in pretty and "The rest of the cell was run." in pretty
    assert "`from google.colab import drive` failed" in reply(notebook, "given")
    assert reply(notebook, "lost").startswith("not attempted: There is no `lost`. Cell ")
    assert "SyntaxError" in reply(notebook, "lost")
    assert "since" not in reply(notebook, "half", x=np.ones(2)) and "undefined" in reply(notebook, "half", x=1.0)
    assert reply(notebook, "nothing_at_all") == "not attempted: There is no answer yet."


def test_each_cell_has_at_most_one_error(notebook: Submission) -> None:
    told = list(notebook.story.errors.values())
    assert "`import seaborn as sns` failed in cell" in " ".join(told)
    assert all(len(text) <= 300 for text in told)


def test_local_copy_of_the_course_is_not_taken_for_the_package() -> None:
    with submission(["from vaelib import Normal\nx = float(Normal(0.0, 1.0).entropy())"]) as running:
        assert reply(running, "x") == pytest.approx(1.4189385)


def test_output_is_kept_from_the_beginning_and_bounded(tmp_path: Path) -> None:
    with submission(["print('first')\nimport os\nos.system('echo second')", "print('x' * 10**6)"]) as running:
        assert reply(running, "nothing") == "not attempted: There is no answer yet."
    assert running.story.output.startswith(b"first\nsecond\n") and len(running.story.output) == 64 << 10


def test_cells_are_counted_from_one() -> None:
    assert str(Failure(2, "", "odd")) == "Cell 3 could not be read: odd"
    assert cells._file(2) == "<cell 3>"  # which a traceback shows
    assert str(Failure(2, "x = 1 / 0", "odd.", rest=True)) == (
        "`x = 1 / 0` failed in cell 3: odd. The rest of the cell was run."
    )
