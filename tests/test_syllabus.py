"""The ways through the course: their cells exist, their sessions are not too long, and the syllabus is in step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import minutes
import nbformat
import pytest
import sections
import syllabus
from sections import halves, short
from ways import DAY, LONGEST, SEMESTER, WAYS, WORKSHOP, Part, Session, Way, parts

from vaelib.tasks import all_tasks

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
by_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_syllabus_is_written_from_the_ways() -> None:
    assert (ROOT / syllabus.PAGE).read_text(encoding="utf-8") == syllabus.page(), "python tools/syllabus.py writes it"


@by_way
def test_every_session_can_be_held(way: Way) -> None:
    """Each section exists, and no session is longer than 90 minutes by the rule of tools/minutes.py."""
    assert syllabus.faults(way) == []


@by_way
def test_cells_of_a_way_exist_and_belong_to_the_class(way: Way) -> None:
    for session in way.sessions:
        for part in session.parts:
            cells = {c.id: c for c in nbformat.read(sections.notebook(part.notebook), as_version=4).cells}
            for section in syllabus.chosen(part):
                assert section.cells and all("class" in cells[id].metadata.tags for id in section.cells), section.id
                assert section.title in cells[section.id].source


@by_way
def test_each_session_has_an_exercise_that_fits_to_its_notebooks(way: Way) -> None:
    for session in way.sessions:
        assert session.exercises and set(session.exercises) <= set(all_tasks())
        assert {id[:2] for id in session.exercises} <= {part.notebook for part in session.parts}
        assert all_tasks()[session.exercises[0]].minutes <= minutes.EXERCISES


def test_semester_has_every_section_once_and_every_exercise() -> None:
    held = [s for session in SEMESTER.sessions for part in session.parts for s in syllabus.chosen(part)]
    assert held == [s for path in NOTEBOOKS[1:] for s in sections.sections(path)]
    assert len(SEMESTER.sessions) == sum(minutes.count(path).sessions for path in NOTEBOOKS[1:])
    asked = [id for session in SEMESTER.sessions for id in session.exercises]
    assert sorted(asked) == [id for id in all_tasks() if not id.startswith("00")]


def test_ways_are_of_three_lengths() -> None:
    assert [len(way.sessions) for way in (SEMESTER, WORKSHOP, DAY)] == [17, 3, 4]


@by_notebook
def test_sections_hold_every_class_cell_but_title_and_notation(path: Path) -> None:
    every = [c.id for c in nbformat.read(path, as_version=4).cells[1:-1] if "class" in c.metadata.get("tags", [])]
    held = [id for section in sections.sections(path) for id in section.cells]
    assert held == [id for id in every if id in set(held)]
    assert set(every) - set(held) <= {"notation"}


def test_two_sessions_of_a_notebook_make_the_whole() -> None:
    for number in minutes.SESSIONS:
        first, second = halves(number)
        assert first and second and first + second == sections.sections(sections.notebook(number))


# ------------------------------------------------------------------------------------------------ faults are noticed


def small(folder: Path, words: int) -> Path:
    """A course with one notebook of two sections."""
    (folder / "notebooks").mkdir(parents=True)
    made = [
        nbformat.v4.new_markdown_cell("# 01 A", id="title"),
        nbformat.v4.new_markdown_cell(
            "So much for that.\n\n## 1. One (F1, 7 min)", id="one", metadata={"tags": ["class"]}
        ),
        nbformat.v4.new_code_cell("1", id="one-code", metadata={"tags": ["class"]}),
        nbformat.v4.new_markdown_cell("## Optional: more", id="more", metadata={"tags": ["optional"]}),
        nbformat.v4.new_code_cell("2", id="more-code", metadata={"tags": ["optional"]}),
        nbformat.v4.new_markdown_cell(
            "# Session 2: rest\n\n## 2. Two\n\n" + "word " * words, id="two", metadata={"tags": ["class"]}
        ),
        nbformat.v4.new_code_cell("3", id="two-code", metadata={"tags": ["class"]}),
        nbformat.v4.new_code_cell("4", id="two-more", metadata={"tags": ["class"]}),
        nbformat.v4.new_markdown_cell("## Summary", id="summary", metadata={"tags": ["class"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=made), folder / "notebooks" / "01_a.ipynb")
    return folder


def test_section_is_what_follows_a_heading_wherever_that_is_in_its_cell(tmp_path: Path) -> None:
    root = small(tmp_path, 240)
    one, two = sections.sections(sections.notebook("01", root))
    assert (one.id, one.title, one.cells, one.shown) == ("one", "One", ("one", "one-code"), "[1]")
    assert (two.title, two.cells, two.shown, two.count.notebook) == (
        "Two",
        ("two", "two-code", "two-more"),
        "[3] to [4]",
        2,
    )
    assert one.link() == "[One](../01_a.ipynb#cell-id=one)"
    assert halves("01", root) == ((one,), (two,))


def test_missing_section_and_a_session_that_is_too_long_are_named(tmp_path: Path) -> None:
    way = replace(WORKSHOP, sessions=(Session("Talk", parts("01 two")), Session("Gone", parts("01 one three"))))
    short_way = replace(WORKSHOP, sessions=(Session("Talk", parts("01 two")), Session("Half", (Part("01", half=1),))))
    long = small(tmp_path / "long", 120 * (LONGEST - minutes.EXERCISES + 2))
    assert syllabus.faults(short_way, small(tmp_path / "fits", 10)) == []
    too_long, gone = syllabus.faults(way, long)
    assert too_long == f"{way.name}, Talk: expected at most 90 minutes, but got 92."
    assert gone.endswith(
        "Gone: Expected a class cell of notebook 01, such as one of the headings one, two, but got 'three'."
    )
    assert syllabus.chosen(parts("01 one-code one")[0], long) == syllabus.chosen(parts("01 one")[0], long)
    with pytest.raises(ValueError, match="Expected one notebook with the number 02"):
        sections.notebook("02", long)


def test_headings_are_shown_without_numbers() -> None:
    assert short("3. Jensen (F3, 7 min)") == "Jensen" and short("Session 2: slips") == "slips"
    assert short("One encoder (F17, F19)") == "One encoder" and short("A guess (or two)") == "A guess (or two)"
