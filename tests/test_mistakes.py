"""The teacher's sheets of wrong answers: in step with slips and exercises, and linked from the session plans."""

from __future__ import annotations

from pathlib import Path

import mistakes
import pytest

NOTEBOOKS = mistakes.notebooks()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_sheet_is_in_step_with_slips_and_exercises(notebook: Path) -> None:
    stored = (mistakes.FOLDER / f"{notebook.name[:2]}.md").read_text(encoding="utf-8")
    assert stored == mistakes.sheet(notebook), "run tools/mistakes.py"
    assert stored.count("It looks like") >= 10
    bars = {line.replace(r"\|", "").count("|") for line in stored.splitlines() if line.startswith("|")}
    assert bars == {4}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_session_plan_links_its_sheet(notebook: Path) -> None:
    number = notebook.name[:2]
    plan = (mistakes.FOLDER.parent / f"{number}.md").read_text(encoding="utf-8")
    assert f"](mistakes/{number}.md)" in plan


def test_published_slips_are_marked() -> None:
    assert "**published**" in mistakes.sheet(next(path for path in NOTEBOOKS if path.name.startswith("01")))
