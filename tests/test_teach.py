"""`python tools/teach.py` writes every page for the teacher that is made by a tool, and names what it cannot mend."""

from __future__ import annotations

from pathlib import Path

import pytest
import teach

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The tool, writing below another root, with the notebooks left alone."""
    monkeypatch.setattr(teach.minutes, "write", lambda path: False)
    monkeypatch.setattr(teach.plans, "update", lambda path: False)
    monkeypatch.setattr(teach, "written", lambda: {"page.md": "new"})
    monkeypatch.setattr(teach.syllabus, "page", lambda: "the syllabus")
    monkeypatch.setattr(teach.answers, "faults", lambda number: [])
    monkeypatch.setattr(teach, "ROOT", tmp_path)
    (tmp_path / teach.syllabus.PAGE).parent.mkdir(parents=True)
    return tmp_path


def test_pages_made_by_tools_are_those_beside_the_plans() -> None:
    made = teach.written()
    assert {"notebooks/teach/glossary.md", "notebooks/teach/identities.md", "notebooks/teach/notation.md"} <= set(made)
    assert len([name for name in made if "/mistakes/" in name]) == 15
    assert [name for name, text in made.items() if (ROOT / name).read_text(encoding="utf-8") != text] == []


def test_pages_are_written_once(quiet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert teach.main() == 0
    assert (quiet / teach.syllabus.PAGE).read_text(encoding="utf-8") == "the syllabus"
    assert "page.md: written" in capsys.readouterr().out
    assert teach.main() == 0
    assert capsys.readouterr().out == "everything is in step\n"


def test_what_only_a_person_can_mend_is_named(
    quiet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(teach.syllabus, "faults", lambda way: ["too long"] if way is teach.WAYS[0] else [])
    monkeypatch.setattr(teach.answers, "faults", lambda number: ["03: no answer"] if number == "03" else [])
    assert teach.main() == 1
    assert capsys.readouterr().out.endswith("too long\n03: no answer\n")
    assert not (quiet / teach.syllabus.PAGE).exists()
