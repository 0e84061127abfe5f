"""The page on which JupyterLab opens: it says what the notebooks say, its links lead somewhere, its cell runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import start
from ways import WAYS

from vaelib import exercise

ROOT = Path(__file__).resolve().parent.parent
COURSE = start.chapters(ROOT)
PAGE = start.start_page(ROOT)
TEXT = "\n".join(cell["source"] for cell in PAGE["cells"] if cell["cell_type"] == "markdown")


def test_map_has_a_row_for_each_notebook_with_what_its_title_cell_says() -> None:
    rows = [line for line in TEXT.splitlines() if re.match(r"\| \[\d\d\]", line)]
    assert len(rows) == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb"))) == 15
    for row, one in zip(rows, COURSE, strict=True):
        title = "".join(json.loads((ROOT / "notebooks" / one.file).read_text(encoding="utf-8"))["cells"][0]["source"])
        assert f"# {one.number} {one.title}\n" in title and one.question in " ".join(title.split())
        assert f"({'notebooks/' + one.file})" in row and f"(exercises/{one.file})" in row and one.minutes in row
        assert row.count("|") - row.count("\\|") == 7


def test_every_notebook_builds_on_earlier_ones_alone() -> None:
    """As it is printed: where no number stands in "You need", the map would say that it builds on nothing."""
    for one in COURSE:
        assert bool(one.after) == (one.number != "00"), one
        assert all(number < one.number for number in one.after), one
    assert {one.number: one.after for one in COURSE}["09"] == ("05", "07")


def test_ways_name_what_they_leave_out() -> None:
    for way in WAYS:
        assert set(start.assumed(way.notebooks, COURSE)) <= set(way.without), way.name
        assert not set(way.without) & set(way.notebooks)
        assert all(f"[{number}]" in start.way(way, ROOT, COURSE).partition("Left out")[2] for number in way.without)
    assert start.assumed(["01", "03", "04", "05", "09"], COURSE) == {"07": ["09"]}


def test_ways_are_shown_with_the_headings_of_their_sections() -> None:
    for way in WAYS:
        assert f"**{way.name}**" in TEXT
        for session in way.sessions:
            assert f"*{session.title}*: " in TEXT
            for part in session.parts:
                path = next(ROOT.glob(f"notebooks/{part.notebook}_*.ipynb"))
                for id, title in (start.heading(path, id) for id in part.sections):
                    assert f"[{title}](notebooks/{path.name}#cell-id={id})" in TEXT
    assert "[Bayes' rule, line by line](notebooks/01_bayes_rule.ipynb#cell-id=product-rule)" in TEXT
    assert "[05](notebooks/05_elbo.ipynb) (second session)" in TEXT


def test_cell_inside_a_section_names_the_section() -> None:
    path = ROOT / "notebooks" / COURSE[1].file
    assert start.heading(path, "bayes-check") == start.heading(path, "product-rule")
    assert start.heading(path, "bayes-check") == ("product-rule", "Bayes' rule, line by line")


def test_section_that_is_gone_is_named() -> None:
    path = ROOT / "notebooks" / COURSE[1].file
    for id in ("nowhere", "setup"):
        with pytest.raises(ValueError, match=f"Expected a cell '{id}' below a heading in {path.name}"):
            start.heading(path, id)


def test_every_link_leads_to_a_file_of_the_course() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) > 40
    assert not [link for link in links if not (ROOT / link.partition("#")[0]).exists()]


def test_cell_shows_the_progress_noted_beside_the_exercises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exercises").mkdir()
    monkeypatch.chdir(tmp_path / "exercises")
    exercise.check("05.2", 3)
    monkeypatch.chdir(tmp_path)
    (code,) = (cell["source"] for cell in PAGE["cells"] if cell["cell_type"] == "code")
    names: dict[str, Any] = {}
    for _ in range(2):  # running it twice is no mistake
        exec(code, names)
        assert Path.cwd() == tmp_path
    assert "1 of" in repr(names["noted"]) and "05.2" in repr(names["noted"])


def test_notebook_without_a_part_of_its_title_cell_is_named(tmp_path: Path) -> None:
    good = "# 03 A title\n\n**Question.** Why?\n\n**Afterwards you can** x\n\n**In class** 55 minutes: a 55.\n"
    for text, missing in (
        (good, r"a line \*\*You need\*\*"),
        (good.replace("**Question.**", "") + "**You need** 01.", r"\*\*Question"),
        (good.replace("In class", "At work") + "**You need** 01.", "its minutes"),
    ):
        path = tmp_path / "03_title.ipynb"
        path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": text}]}), encoding="utf-8")
        with pytest.raises(ValueError, match=f"Expected the first cell of 03_title.ipynb to hold {missing}"):
            start.chapter(path)


def test_bar_in_a_question_does_not_break_the_map() -> None:
    row = start.table([replace(COURSE[0], question="What is p(x|z)?")]).splitlines()[-1]
    assert r"p(x\|z)" in row
