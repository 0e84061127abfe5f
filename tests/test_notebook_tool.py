"""tools/notebooks.py: what is stored is clean, and the picture to remember goes to the slides."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

import notebooks

PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"


def write(folder: Path, *cells: tuple[str, list[str]]) -> Path:
    content = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, metadata={"tags": tags}) for source, tags in cells]
    )
    path = folder / "42_answer.ipynb"
    nbformat.write(content, path)
    return path


@pytest.mark.slow
def test_picture_is_exported_and_equal_runs_store_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    path = write(tmp_path, (PICTURE, ["class"]), (PICTURE + "\n6 * 7", ["class", "picture"]))
    notebooks.run(path)
    slides = [tmp_path / "teach" / "pictures" / f"42_answer.{suffix}" for suffix in ("svg", "pdf")]
    first = [file.read_bytes() for file in (path, *slides)]
    assert first[1].startswith(b"<?xml") and first[2].startswith(b"%PDF")

    stored = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in stored.cells] == [1, 2]
    kinds = [set(output.data) for cell in stored.cells for output in cell.outputs if "data" in output]
    assert kinds == [{"image/png", "text/plain"}, {"image/png", "text/plain"}, {"text/plain"}]

    notebooks.run(path)
    assert [file.read_bytes() for file in (path, *slides)] == first


def test_notebook_that_warns_is_left_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, ("import warnings\nwarnings.warn('careful')", ["class"]))
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="a cell wrote to stderr"):
        notebooks.run(path)
    assert path.read_bytes() == before
