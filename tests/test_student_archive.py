"""The archive for a class: everything a student needs, and no solution."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import student

ROOT = Path(__file__).resolve().parent.parent
in_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the course's git repository")


@in_git
def test_archive_holds_the_course_without_solutions(tmp_path: Path) -> None:
    target = tmp_path / "student.zip"
    count = student.pack(target)
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
        text = b"".join(archive.read(name) for name in names if name.endswith((".py", ".ipynb")))
    assert len(names) == count > 50
    assert {
        "vaelib/README.md",
        "vaelib/Makefile",
        "vaelib/vaelib/exercise.py",
        "vaelib/notebooks/05_elbo.ipynb",
    } <= set(names)
    assert not [name for name in names if "/source/" in name or "/tests/" in name or "/teach/" in name]
    assert b"### BEGIN SOLUTION\n" not in text


@in_git
def test_equal_files_make_an_equal_archive(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    student.pack(first)
    student.pack(second)
    assert first.read_bytes() == second.read_bytes()
