"""`make lab`: the reader's copies carry no outputs, follow the course, and are never written over once edited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lab
import nbformat
import pytest


def notebook(*sources: str, output: str = "42") -> dict[str, Any]:
    """A notebook that was run and stored, as an author leaves it."""
    cells = [
        nbformat.v4.new_code_cell(
            source,
            id=f"cell-{i}",
            execution_count=i + 1,
            metadata={"execution": {"iopub.status.busy": "now"}, "tags": ["kept"]},
            outputs=[nbformat.v4.new_output("stream", name="stdout", text=output)],
        )
        for i, source in enumerate(sources)
    ]
    cells.append(nbformat.v4.new_markdown_cell(r"$\log p(x)$", id="text"))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "widgets": {"state": {"a": 1}}}
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata=metadata)))


def save(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def sources(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]


@pytest.fixture
def course(tmp_path: Path) -> Path:
    save(tmp_path / "notebooks" / "01_bayes.ipynb", notebook("1 + 1"))
    save(tmp_path / "notebooks" / "teach" / "01.ipynb", notebook("for the teacher"))
    save(tmp_path / "exercises" / "01_bayes.ipynb", notebook("answer = ..."))
    save(tmp_path / "exercises" / "source" / "01_solved.ipynb", notebook("answer = 42"))
    return tmp_path


@pytest.fixture
def work(course: Path) -> Path:
    lab.deliver(course, course / "work")
    return course / "work"


def test_copies_have_no_outputs_and_are_valid(work: Path) -> None:
    copy = nbformat.read(work / "notebooks" / "01_bayes.ipynb", as_version=4)
    nbformat.validate(copy)
    cell = copy.cells[0]
    assert (cell.source, cell.outputs, cell.execution_count) == ("1 + 1", [], None)
    assert cell.id == "cell-0" and cell.metadata == {"tags": ["kept"]}
    assert copy.metadata.kernelspec.name == "python3" and "widgets" not in copy.metadata


def test_only_what_a_reader_opens_is_copied(work: Path) -> None:
    copies = {path.relative_to(work).as_posix() for path in work.rglob("*.ipynb")}
    assert copies == {"notebooks/01_bayes.ipynb", "exercises/01_bayes.ipynb"}


def test_second_delivery_changes_nothing(course: Path, work: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*.ipynb")}
    assert lab.deliver(course, work) == []
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.ipynb")} == before


def test_unedited_copy_follows_the_original_even_when_it_was_run(course: Path, work: Path) -> None:
    copy = work / "notebooks" / "01_bayes.ipynb"
    save(copy, notebook("1 + 1", output="2"))  # run, saved, not edited
    save(course / "notebooks" / "01_bayes.ipynb", notebook("1 + 2"))
    assert lab.deliver(course, work) == ["notebooks/01_bayes.ipynb: updated, you had not changed it"]
    assert sources(copy)[0] == "1 + 2"


def test_outputs_of_a_copy_stay_while_the_original_stays(course: Path, work: Path) -> None:
    copy = work / "notebooks" / "01_bayes.ipynb"
    save(copy, notebook("1 + 1", output="2"))
    lab.deliver(course, work)
    assert json.loads(copy.read_text())["cells"][0]["outputs"]


@pytest.mark.parametrize(
    "edited",
    [notebook("1 + 1000"), notebook("1 + 1", "my own cell"), {"cells": "damaged"}, []],
    ids=["cell changed", "cell added", "not a notebook", "not even an object"],
)
def test_edited_copy_is_never_written_over(course: Path, work: Path, edited: Any) -> None:
    copy = work / "notebooks" / "01_bayes.ipynb"
    beside = work / "notebooks" / "01_bayes.new.ipynb"
    save(copy, edited)
    mine = copy.read_bytes()

    assert lab.deliver(course, work) == ["notebooks/01_bayes.ipynb: yours is kept as you left it"]
    assert copy.read_bytes() == mine and not beside.exists()

    save(course / "notebooks" / "01_bayes.ipynb", notebook("1 + 2"))
    (said,) = lab.deliver(course, work)
    assert "yours is kept" in said and beside.name in said
    assert copy.read_bytes() == mine and sources(beside)[0] == "1 + 2"


def test_new_version_is_laid_beside_once(course: Path, work: Path) -> None:
    save(work / "notebooks" / "01_bayes.ipynb", notebook("mine"))
    save(course / "notebooks" / "01_bayes.ipynb", notebook("1 + 2"))
    lab.deliver(course, work)
    (work / "notebooks" / "01_bayes.new.ipynb").unlink()  # read, merged, thrown away
    assert lab.deliver(course, work) == ["notebooks/01_bayes.ipynb: yours is kept as you left it"]
    assert not (work / "notebooks" / "01_bayes.new.ipynb").exists()


def test_edited_new_version_is_not_written_over_either(course: Path, work: Path) -> None:
    folder = work / "notebooks"
    save(folder / "01_bayes.ipynb", notebook("mine"))
    save(course / "notebooks" / "01_bayes.ipynb", notebook("second edition"))
    lab.deliver(course, work)
    save(course / "notebooks" / "01_bayes.ipynb", notebook("third edition"))
    lab.deliver(course, work)
    assert sources(folder / "01_bayes.new.ipynb")[0] == "third edition"  # it was not edited, so it follows

    save(folder / "01_bayes.new.ipynb", notebook("now working in this one"))
    save(course / "notebooks" / "01_bayes.ipynb", notebook("fourth edition"))
    lab.deliver(course, work)
    assert sources(folder / "01_bayes.new.ipynb")[0] == "now working in this one"
    assert sources(folder / "01_bayes.new2.ipynb")[0] == "fourth edition"


def test_file_that_was_there_before_the_first_delivery_is_kept(course: Path) -> None:
    mine = course / "work" / "notebooks" / "01_bayes.ipynb"
    save(mine, notebook("mine, from elsewhere"))
    lab.deliver(course, course / "work")
    assert sources(mine)[0] == "mine, from elsewhere"
    assert sources(mine.with_name("01_bayes.new.ipynb"))[0] == "1 + 1"


def test_lost_or_damaged_manifest_costs_no_edit(course: Path, work: Path) -> None:
    save(work / "notebooks" / "01_bayes.ipynb", notebook("mine"))
    (work / lab.MANIFEST).write_text("{")
    lab.deliver(course, work)
    assert sources(work / "notebooks" / "01_bayes.ipynb")[0] == "mine"
    assert sources(work / "notebooks" / "01_bayes.new.ipynb")[0] == "1 + 1"


def test_deleted_copy_comes_back_fresh(course: Path, work: Path) -> None:
    (work / "exercises" / "01_bayes.ipynb").unlink()
    assert lab.deliver(course, work) == ["exercises/01_bayes.ipynb: copied"]


def test_command_copies_the_real_notebooks(tmp_path: Path) -> None:
    """The script, run as `make lab` runs it, on a copy of the course's own notebooks."""
    script = tmp_path / "tools" / "lab.py"
    script.parent.mkdir()
    script.write_bytes(Path(lab.__file__).read_bytes())
    originals = sorted((lab.ROOT / "notebooks").glob("*.ipynb"))
    for original in originals:
        save(tmp_path / "notebooks" / original.name, json.loads(original.read_text(encoding="utf-8")))
    subprocess.run([sys.executable, script, "--copy-only"], check=True, capture_output=True)
    copies = sorted((tmp_path / "work" / "notebooks").glob("*.ipynb"))
    assert [copy.name for copy in copies] == [original.name for original in originals]
    for original, copy in zip(originals, copies, strict=True):
        nbformat.validate(nbformat.read(copy, as_version=4))
        assert sources(copy) == sources(original)
        assert not any(cell.get("outputs") for cell in json.loads(copy.read_text(encoding="utf-8"))["cells"])


def test_teachers_tools_are_hidden_once_and_settings_of_ones_own_are_kept(tmp_path: Path) -> None:
    settings = tmp_path / "etc" / "jupyter" / "labconfig" / "page_config.json"
    lab.hide_the_teachers_tools(tmp_path)
    assert json.loads(settings.read_text())["disabledExtensions"]["@jupyter/nbgrader"] is True
    settings.write_text("{}")
    lab.hide_the_teachers_tools(tmp_path)
    assert settings.read_text() == "{}"
