"""The answers for the teacher: one for each thing that a summary invites to try, and what the page is made of."""

from __future__ import annotations

import re
from pathlib import Path

import answers
import nbformat
import pytest
from instructor import pages, relinked

from vaelib.tasks import FILES, in_class

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("number", sorted(FILES))
def test_answers_written_by_hand_fit_what_the_summary_invites_to_try(number: str) -> None:
    """`python tools/answers.py --check` says what does not fit."""
    assert answers.faults(number) == []


@pytest.mark.parametrize("number", sorted(FILES))
def test_page_has_an_answer_to_each_prediction_and_each_task_in_class(number: str) -> None:
    cells = nbformat.read(answers.notebook(number), as_version=4).cells
    page = answers.page(number)
    asked = [c.id for c in cells if c.cell_type == "code" and re.search(r"^prediction\w* = \.\.\.", c.source, re.M)]
    compared = "\n".join(c.source for c in cells).count("compare(prediction")
    told = re.findall(r"^- \[([a-z0-9-]+)\]\(", page, re.MULTILINE)
    assert set(told) <= set(asked) and len(told) >= min(len(asked), compared)
    assert all(f"**{id} " in page for id in in_class(number))
    assert "nothing yet" not in page
    assert "## What the summary invites to try" in page


def test_answers_are_short_and_whole_sentences() -> None:
    for path in sorted((ROOT / answers.FOLDER).glob("*.md")):
        for head, answer in answers.written(path.read_text(encoding="utf-8")):
            assert head.endswith("...") and 5 <= len(answer.split()) <= 120 and answer.endswith("."), (path.name, head)
            assert answer.count("$") % 2 == 0, (path.name, head)


def test_answer_to_another_task_and_a_missing_one_are_named(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / answers.FOLDER).mkdir(parents=True)
    tries = "1. Draw four more samples now.\n2. Make the step\n   smaller once more."
    summary = f"## Summary\n\n**Try** (5 minutes each)\n\n{tries}\n\n**Exercises** x"
    cells = [nbformat.v4.new_markdown_cell("# 01", id="title"), nbformat.v4.new_markdown_cell(summary, id="summary")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks" / "01_a.ipynb")
    page = tmp_path / answers.FOLDER / "01.md"
    assert answers.faults("01", tmp_path) == ["01: expected 2 answers, one for each **Try**, but got 0."]
    page.write_text(
        "# A\n\n## Draw four more samples ...\n\nYes.\n\n## Make the step smaller ...\n\nNo.\n", encoding="utf-8"
    )
    assert answers.faults("01", tmp_path) == []
    page.write_text(page.read_text(encoding="utf-8").replace("four more", "five more"), encoding="utf-8")
    (sentence,) = answers.faults("01", tmp_path)
    assert "expected an answer to 'Draw four more samples now.', but got one to 'Draw five more samples'" in sentence


def test_tries_are_read_from_a_list_and_from_a_line() -> None:
    assert answers.tried("**Try** (5 minutes each): (1) One, $f(2)$. (2) Two\nthree. **Exercises** (4)") == [
        "One, $f(2)$.",
        "Two three.",
    ]


def test_pages_of_the_instructor_lead_where_they_led() -> None:
    found = pages()
    assert {f"teach/answers/{number}.md" for number in FILES} | {"teach/05.md", "teach/syllabus.md"} <= set(found)
    for name, content in found.items():
        folder = (ROOT / "instructor" / name).parent
        for link in re.findall(r"\]\(([^)#\s]+)", content.decode()):
            target = Path(*(folder / link).parts)
            inside = target.resolve().relative_to(ROOT)
            within = inside.relative_to("instructor").as_posix() if inside.parts[0] == "instructor" else ""
            assert link.startswith("http") or within in found or (ROOT / inside).exists(), (name, link)


def test_links_are_written_as_seen_from_the_new_folder() -> None:
    moved = relinked("[a](../05.ipynb#cell-id=x) [b](https://a.b/c) [c](06.md) [d](#here)", "n/teach", "i/teach/deep")
    assert moved == "[a](../../../n/05.ipynb#cell-id=x) [b](https://a.b/c) [c](../../../n/teach/06.md) [d](#here)"
