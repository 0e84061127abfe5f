"""tools/minutes.py counts what a class part is made of, and writes the minutes into the title."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import minutes
import nbformat
import pytest

from vaelib.ledger import C1
from vaelib.tasks import task

TITLE = "# 03 A title\n\n**In class** 55 minutes: one 30, two\n25. **Run time** about 3 seconds."


def notebook(folder: Path, *cells: Any, name: str = "03_x.ipynb") -> Path:
    title = nbformat.v4.new_markdown_cell(TITLE, metadata={"tags": ["class"]})
    path = folder / name
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *cells]), path)
    return path


def text(source: str, *tags: str) -> Any:
    return nbformat.v4.new_markdown_cell(source, metadata={"tags": list(tags or ("class",))})


def code(source: str, *shown: dict[str, str], tags: tuple[str, ...] = ("class",), **metadata: Any) -> Any:
    outputs = [nbformat.v4.new_output("display_data", data=data) for data in shown]
    return nbformat.v4.new_code_cell(source, outputs=outputs, metadata={"tags": list(tags), **metadata})


def markdown(thing: Any) -> dict[str, str]:
    return {"text/markdown": thing._repr_markdown_()}


def added(folder: Path, *cells: Any) -> float:
    """Minutes that the cells add to those of the title alone."""
    return minutes.count(notebook(folder, *cells)).notebook - minutes.count(notebook(folder)).notebook


def test_words_a_formula_counting_as_one() -> None:
    assert minutes.words_of_prose("Two words, and $a formula$.\n| in a | table |") == 4


def test_rows_of_derivations_and_reports_are_told_apart() -> None:
    lines = len(C1.lines)
    report = C1.check()
    assert minutes.rows_of_tables(C1._repr_markdown_()) == (lines, 0)
    assert minutes.rows_of_tables(report._repr_markdown_()) == (0, 1)
    assert minutes.rows_of_tables(report.table._repr_markdown_()) == (0, lines)
    broken = C1.with_slip("strictly positive").check()._repr_markdown_()
    assert minutes.rows_of_tables(broken) == (0, lines)
    assert minutes.rows_of_tables(report.slips._repr_markdown_()) == (0, len(C1.slips))
    derivation, other = "| line | |\n|--:|:--|\n| 0 | a \\| b |\n| 1 | c |", "| here | there |\n|--|--|\n| a | b |"
    assert minutes.rows_of_tables(f"{derivation}\n\n{other}") == (2, 0)


@pytest.mark.parametrize(
    ("expected", "cells"),
    [
        (2, [text("word " * 240)]),
        (0, [text("word " * 240, "optional")]),
        (2, [code("", *[markdown(C1.chain(lines=(0, 1)))] * 3)]),
        (1, [code("", *[markdown(C1.check())] * 6)]),
        (3, [code("x = 1\n\n" * 60)]),
        (0, [code("x = 1\n" * 60, jupyter={"source_hidden": True})]),
        (0, [code("x = 1\n" * 60, tags=("setup",))]),
        (2, [code("prediction_a = ...\nprediction_b = ...")]),
        (1, [code("", {"image/png": ""})]),
        (task("03.a").minutes, [code('def kl(q, p):\n    ...\n\n\nkl = yours("03.a", kl)' + "\n# x" * 40)]),
    ],
)
def test_minutes_are_those_of_the_rule(expected: int, cells: list[Any], tmp_path: Path) -> None:
    assert added(tmp_path, *cells) == expected


def test_exercises_sessions_and_limits(tmp_path: Path) -> None:
    long = [text("word " * 120) for _ in range(80)]
    one, two, home = (minutes.count(notebook(tmp_path, *long, name=f"{n}_x.ipynb")) for n in ("03", "05", "00"))
    assert (one.exercises, two.exercises, home.exercises) == (15, 30, 0)
    assert (one.fits, two.fits, home.fits) == (False, True, False)
    assert one.sentence == "**In class** about 95 minutes: 80 with the notebook, 15 for the exercise."
    assert two.sentence == "**In class** two sessions of about 55 minutes: 80 with the notebook, 30 for the exercises."
    assert home.sentence == "**At home** about 80 minutes."


def test_title_is_written_once_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    path = notebook(tmp_path, text("word " * 600))
    assert minutes.write(path) and not minutes.write(path)
    said = minutes.count(path).sentence
    assert minutes.stated(path) == said
    assert nbformat.read(path, as_version=4).cells[0].source == f"# 03 A title\n\n{said} **Run time** about 3 seconds."
    path.write_text(path.read_text(encoding="utf-8").replace("In class", "At work"), encoding="utf-8")
    with pytest.raises(ValueError, match="with minutes in the first cell"):
        minutes.stated(path)


def test_table_names_what_the_student_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = notebook(tmp_path, code('kl = yours("03.a", kl)'))
    minutes.main([str(path)])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["tasks", "written"] and row.split()[-2:] == ["03.a", "2"]
