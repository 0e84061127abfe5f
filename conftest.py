"""Notebooks under test: nbval runs their cells; here is noted what each cell verified, for tests/test_notebooks.py.

A kernel reads the files in its startup folder before the first cell. That folder, and the notes, are temporary.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent
AFTER_THE_NOTEBOOKS = "what_ran"  # tests with this fixture need the notebooks run before them
Record = list[dict[str, Any]]


def pytest_configure(config: pytest.Config) -> None:
    folder = Path(tempfile.mkdtemp(prefix="vaelib-notebooks-"))
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "startup" / "record.py", startup)
    config.stash[NOTES] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[NOTES], ignore_errors=True)


NOTES = pytest.StashKey[Path]()


def environment(folder: Path, notebook: Path) -> dict[str, str]:
    """What a kernel must find in its environment to take notes."""
    return {"IPYTHONDIR": str(folder / "ipython"), "VAELIB_RECORD": str(folder / f"{notebook.stem}.jsonl")}


@pytest.hookimpl(tryfirst=True)  # before the kernel starts
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path.suffix == ".ipynb":
        os.environ |= environment(item.config.stash[NOTES], item.path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: AFTER_THE_NOTEBOOKS in getattr(item, "fixturenames", ()))  # stable: the others stay


@pytest.fixture(scope="session")
def what_ran(pytestconfig: pytest.Config) -> Callable[[Path], Record]:
    """notebook -> a line for each of its cells: source, identities verified, whether torch was loaded, seconds.

    A notebook that nbval did not run in this session, because it was not asked to, is run now.
    """
    folder = pytestconfig.stash[NOTES]

    def record(notebook: Path) -> Record:
        notes = folder / f"{notebook.stem}.jsonl"
        if not notes.exists():
            import nbformat
            from nbclient import NotebookClient

            env = os.environ | environment(folder, notebook)
            content = nbformat.read(notebook, as_version=4)
            client = NotebookClient(content, timeout=120, resources={"metadata": {"path": str(notebook.parent)}})
            client.comm_open_handlers.clear()  # of widgets; with them it may hang
            client.execute(env=env)
        return [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]

    return record
