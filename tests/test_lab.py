"""`make lab`: the reader's copies carry no outputs, follow the course, and are never written over once edited."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import deliver as copies
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


def deliver(course: Path, work: Path) -> list[str]:
    return copies.deliver(lab.originals(course), work)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    save(tmp_path / "notebooks" / "01_bayes.ipynb", notebook("1 + 1"))
    save(tmp_path / "notebooks" / "teach" / "01.ipynb", notebook("for the teacher"))
    save(tmp_path / "exercises" / "01_bayes.ipynb", notebook("answer = ..."))
    save(tmp_path / "exercises" / "source" / "01_solved.ipynb", notebook("answer = 42"))
    return tmp_path


@pytest.fixture
def work(course: Path) -> Path:
    deliver(course, course / "work")
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
    assert deliver(course, work) == []
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.ipynb")} == before


def test_unedited_copy_follows_the_original_even_when_it_was_run(course: Path, work: Path) -> None:
    copy = work / "notebooks" / "01_bayes.ipynb"
    save(copy, notebook("1 + 1", output="2"))  # run, saved, not edited
    save(course / "notebooks" / "01_bayes.ipynb", notebook("1 + 2"))
    assert deliver(course, work) == ["notebooks/01_bayes.ipynb: updated, you had not changed it"]
    assert sources(copy)[0] == "1 + 2"


def test_outputs_of_a_copy_stay_while_the_original_stays(course: Path, work: Path) -> None:
    copy = work / "notebooks" / "01_bayes.ipynb"
    save(copy, notebook("1 + 1", output="2"))
    deliver(course, work)
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

    assert deliver(course, work) == ["notebooks/01_bayes.ipynb: yours is kept as you left it"]
    assert copy.read_bytes() == mine and not beside.exists()

    save(course / "notebooks" / "01_bayes.ipynb", notebook("1 + 2"))
    (said,) = deliver(course, work)
    assert "yours is kept" in said and beside.name in said
    assert copy.read_bytes() == mine and sources(beside)[0] == "1 + 2"


def test_new_version_is_laid_beside_once(course: Path, work: Path) -> None:
    save(work / "notebooks" / "01_bayes.ipynb", notebook("mine"))
    save(course / "notebooks" / "01_bayes.ipynb", notebook("1 + 2"))
    deliver(course, work)
    (work / "notebooks" / "01_bayes.new.ipynb").unlink()  # read, merged, thrown away
    assert deliver(course, work) == ["notebooks/01_bayes.ipynb: yours is kept as you left it"]
    assert not (work / "notebooks" / "01_bayes.new.ipynb").exists()


def test_edited_new_version_is_not_written_over_either(course: Path, work: Path) -> None:
    folder = work / "notebooks"
    save(folder / "01_bayes.ipynb", notebook("mine"))
    save(course / "notebooks" / "01_bayes.ipynb", notebook("second edition"))
    deliver(course, work)
    save(course / "notebooks" / "01_bayes.ipynb", notebook("third edition"))
    deliver(course, work)
    assert sources(folder / "01_bayes.new.ipynb")[0] == "third edition"  # it was not edited, so it follows

    save(folder / "01_bayes.new.ipynb", notebook("now working in this one"))
    save(course / "notebooks" / "01_bayes.ipynb", notebook("fourth edition"))
    deliver(course, work)
    assert sources(folder / "01_bayes.new.ipynb")[0] == "now working in this one"
    assert sources(folder / "01_bayes.new2.ipynb")[0] == "fourth edition"


def test_file_that_was_there_before_the_first_delivery_is_kept(course: Path) -> None:
    mine = course / "work" / "notebooks" / "01_bayes.ipynb"
    save(mine, notebook("mine, from elsewhere"))
    deliver(course, course / "work")
    assert sources(mine)[0] == "mine, from elsewhere"
    assert sources(mine.with_name("01_bayes.new.ipynb"))[0] == "1 + 1"


def test_lost_or_damaged_manifest_costs_no_edit(course: Path, work: Path) -> None:
    save(work / "notebooks" / "01_bayes.ipynb", notebook("mine"))
    (work / copies.MANIFEST).write_text("{")
    deliver(course, work)
    assert sources(work / "notebooks" / "01_bayes.ipynb")[0] == "mine"
    assert sources(work / "notebooks" / "01_bayes.new.ipynb")[0] == "1 + 1"


def test_deleted_copy_comes_back_fresh(course: Path, work: Path) -> None:
    (work / "exercises" / "01_bayes.ipynb").unlink()
    assert deliver(course, work) == ["exercises/01_bayes.ipynb: copied"]


def test_text_follows_the_course_and_is_kept_once_edited(tmp_path: Path) -> None:
    plan = tmp_path / "notebooks" / "teach" / "05.md"
    assert copies.deliver({"notebooks/teach/05.md": b"one"}, tmp_path) == ["notebooks/teach/05.md: copied"]
    copies.deliver({"notebooks/teach/05.md": b"two"}, tmp_path)
    assert plan.read_bytes() == b"two"
    plan.write_bytes(b"two, and my notes")
    (said,) = copies.deliver({"notebooks/teach/05.md": b"three"}, tmp_path)
    assert plan.read_bytes() == b"two, and my notes" and "yours is kept" in said
    assert plan.with_name("05.new.md").read_bytes() == b"three"


def run_command(course: Path, *options: str) -> str:
    """The script, run as `make lab` runs it, in a folder that holds what it needs."""
    for name in ("lab.py", "deliver.py", "start.py", "ways.py"):
        script = course / "tools" / name
        script.parent.mkdir(exist_ok=True)
        script.write_bytes((lab.ROOT / "tools" / name).read_bytes())
    command = [sys.executable, course / "tools" / "lab.py", "--copy-only", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """The course's own notebooks and exercises, in a folder of their own."""
    for path in [*(lab.ROOT / "notebooks").glob("*.ipynb"), *(lab.ROOT / "exercises").glob("*.ipynb")]:
        save(tmp_path / path.parent.name / path.name, json.loads(path.read_text(encoding="utf-8")))
    return tmp_path


def test_command_copies_the_real_notebooks_and_counts_them(real: Path) -> None:
    assert run_command(real).strip() == "31 files copied into work/"
    for folder in lab.FOLDERS:
        originals = sorted((lab.ROOT / folder).glob("*.ipynb"))
        made = sorted((real / "work" / folder).glob("*.ipynb"))
        assert [copy.name for copy in made] == [original.name for original in originals]
        for original, copy in zip(originals, made, strict=True):
            nbformat.validate(nbformat.read(copy, as_version=4))
            assert sources(copy) == sources(original)
            assert not any(cell.get("outputs") for cell in json.loads(copy.read_text(encoding="utf-8"))["cells"])
    nbformat.validate(nbformat.read(real / "work" / "START.ipynb", as_version=4))
    assert run_command(real).strip() == "every copy is up to date"


def test_teachers_get_the_plans_where_their_links_hold(real: Path) -> None:
    refused = subprocess.run([sys.executable, lab.__file__, "--help"], capture_output=True, text=True, check=True)
    assert "--teach" in refused.stdout
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        run_command(real, "--teach")
    assert "there are none" in stopped.value.stderr and not (real / "work").exists()
    plan = lab.ROOT / lab.TEACH / "05.md"
    shutil.copytree(lab.ROOT / lab.TEACH, real / lab.TEACH)
    run_command(real, "--teach")
    copy = real / "work" / lab.TEACH / "05.md"
    text = copy.read_text(encoding="utf-8")
    assert re.sub(r"\[(`[^`]+`)\]\([^)]*#cell-id=[^)]*\)", r"\1", text) == plan.read_text(encoding="utf-8")
    notebook = json.loads((real / "work" / "notebooks" / "05_elbo.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"] for cell in notebook["cells"]}
    linked = re.findall(r"`\]\(../05_elbo.ipynb#cell-id=([^)]+)\)", text)
    assert set(linked) <= cells and len(linked) > 50
    for link in re.findall(r"\]\(([^)#]+)[)#]", text):
        assert (copy.parent / link).exists(), link


def test_names_of_cells_in_a_plan_become_links_where_cells_are_named_and_nowhere_else(tmp_path: Path) -> None:
    save(tmp_path / "notebooks" / "01_bayes.ipynb", notebook("1 + 1"))
    page = tmp_path / "notebooks" / "teach" / "01.md"
    page.parent.mkdir()
    page.write_text("| 5 | `cell-0` [1], `plot` | `cell-0` |\n\n`cell-0`\n**If ten minutes late, skip** `cell-0` [1].")
    link = "[`cell-0`](../01_bayes.ipynb#cell-id=cell-0)"
    assert lab.linked(page) == (
        f"| 5 | {link} [1], `plot` | `cell-0` |\n\n`cell-0`\n**If ten minutes late, skip** {link} [1]."
    )
    assert lab.linked(page.rename(page.with_name("syllabus.md"))).startswith("| 5 | `cell-0` [1]")


@pytest.mark.parametrize(
    ("options", "root_user", "expected"),
    [
        ([], False, []),
        ([], True, ["--allow-root"]),
        (["--allow-root", "--port", "8889"], True, ["--allow-root", "--port", "8889"]),
        (["--no-browser"], False, ["--no-browser"]),
    ],
)
def test_jupyterlab_is_called_for_root_too_and_gets_the_options(
    options: list[str], root_user: bool, expected: list[str]
) -> None:
    call = lab.command(options, root_user=root_user)
    assert call[1:4] == ["-m", "jupyterlab", "--LabApp.default_url=/lab/tree/START.ipynb"]
    assert call[4:] == expected


def test_teachers_tools_are_hidden_once_and_settings_of_ones_own_are_kept(tmp_path: Path) -> None:
    settings = tmp_path / "etc" / "jupyter" / "labconfig" / "page_config.json"
    lab.hide_the_teachers_tools(tmp_path)
    assert json.loads(settings.read_text())["disabledExtensions"]["@jupyter/nbgrader"] is True
    settings.write_text("{}")
    lab.hide_the_teachers_tools(tmp_path)
    assert settings.read_text() == "{}"
