"""Notebooks under test: nbval runs their cells; here is noted what each cell verified, for tests/test_notebooks.py.

A kernel reads the files in its startup folder before the first cell. That folder, and the notes, are temporary.

With `pytest -n 2 --dist loadfile --no-loadscope-reorder` files of tests run side by side, in processes that share the
notes, and in the order that is given here.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ("forms", "pytester")  # tests/forms.py: the short form of the tests, and the rest

ROOT = Path(__file__).resolve().parent
AFTER_THE_NOTEBOOKS = "what_ran"  # tests with this fixture need the notebooks run before them
Record = list[dict[str, Any]]


NOTES = pytest.StashKey[Path]()
OWN = dict(os.environ)  # what a person had set
SHARED = "VAELIB_TEST_NOTES"  # where the processes of one run find the notes
# Of the files; the short ones fill the gaps at the end.
LONGEST_FIRST = (
    *(
        "test_mutations.py",
        "test_tries.py",
        ".ipynb",
        "test_cli.py",
        "test_instructor.py",
        "test_grade_attacks.py",
        "test_faults.py",
    ),
    *("test_grade_forbidden.py", "test_grade.py", "test_fair.py", "test_tasks.py", "test_exercise_notebooks.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.stash[NOTES] = Path(os.environ[SHARED])
        return
    folder = Path(tempfile.mkdtemp(prefix="vaelib-notebooks-"))
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "startup" / "record.py", startup)
    config.stash[NOTES] = folder
    if getattr(config.option, "numprocesses", None):
        os.environ |= {SHARED: str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one thread for each


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[NOTES], ignore_errors=True)


def environment(folder: Path, notebook: Path) -> dict[str, str]:
    """What a kernel must find in its environment to take notes."""
    return {"IPYTHONDIR": str(folder / "ipython"), "VAELIB_RECORD": str(folder / f"{notebook.stem}.jsonl")}


@pytest.hookimpl(tryfirst=True)  # before the kernel starts
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A notebook's kernel takes notes; a kernel that another test starts afterwards must not add to them."""
    wanted = environment(item.config.stash[NOTES], item.path)
    for name in wanted:
        os.environ.pop(name, None)
    os.environ |= wanted if item.path.suffix == ".ipynb" else {name: OWN[name] for name in wanted if name in OWN}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    side_by_side = hasattr(config, "workerinput")

    def turn(item: pytest.Item) -> tuple[bool, int]:
        long = [i for i, name in enumerate(LONGEST_FIRST) if item.path.name.endswith(name)] if side_by_side else []
        looks_at_notes = item.path.name == "test_notebooks.py" if side_by_side else AFTER_THE_NOTEBOOKS in names(item)
        return looks_at_notes, long[0] if long else len(LONGEST_FIRST)

    items.sort(key=turn)  # stable: within a turn the order stays


def names(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def what_ran(pytestconfig: pytest.Config) -> Callable[[Path], Record]:
    """notebook -> a line for each of its cells: source, identities verified, whether torch was loaded, seconds.

    A notebook that nbval did not run in this session, because it was not asked to, is run now. One that it is running
    in another process is waited for.
    """
    folder = pytestconfig.stash[NOTES]

    def record(notebook: Path) -> Record:
        import nbformat
        from nbclient import NotebookClient

        notes = folder / f"{notebook.stem}.jsonl"
        content = nbformat.read(notebook, as_version=4)
        cells = sum(cell.cell_type == "code" for cell in content.cells)
        until = time.monotonic() + 120
        while (
            notes.exists() and len(notes.read_text(encoding="utf-8").splitlines()) < cells and time.monotonic() < until
        ):
            time.sleep(0.5)
        if not notes.exists():
            env = os.environ | environment(folder, notebook)
            client = NotebookClient(content, timeout=120, resources={"metadata": {"path": str(notebook.parent)}})
            client.comm_open_handlers.clear()  # of widgets; with them it may hang
            client.execute(env=env)
        return [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]

    return record
