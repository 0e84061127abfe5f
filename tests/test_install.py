"""What `make` does before anything else: it installs what is missing, and sees what is there."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import install
import pytest

COURSE = Path(install.__file__).resolve().parent.parent
PYPROJECT = """
[project]
name = "vaelib"
dependencies = ["numpy>=2.0"]
[project.optional-dependencies]
train = ["rich>=13"]
notebooks = ["vaelib[train]", "sympy>=1.12"]
course = ["vaelib[notebooks]", "jupyter>=1.0"]
"""
NAMES = ("numpy", "rich", "sympy", "jupyter")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course whose pins are what is installed here."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    pins = [f"{name}=={metadata.version(name)}" for name in NAMES]
    (tmp_path / "constraints.txt").write_text("# pins\n" + "\n".join(pins) + "\n", encoding="utf-8")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    return tmp_path


def test_nothing_is_unmet_where_every_pin_is_installed(folder: Path) -> None:
    assert install.unmet("course") == []


@pytest.mark.parametrize(
    ("line", "instead", "missing"),
    [
        ("numpy==", "numpy==1.0", "numpy"),
        ("rich==", "rich==1.0", "rich"),  # two extras away
        ("jupyter==", "", "jupyter"),
    ],
)
def test_another_version_is_unmet(folder: Path, line: str, instead: str, missing: str) -> None:
    path = folder / "constraints.txt"
    lines = [instead if text.startswith(line) else text for text in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert install.unmet("course") == [missing]


def test_package_that_is_not_installed_is_unmet(folder: Path) -> None:
    path = folder / "pyproject.toml"
    path.write_text(PYPROJECT.replace('"rich>=13"', '"rich>=13", "unheard-of>=1"'), encoding="utf-8")
    assert install.unmet("train") == ["unheard-of"]


def test_local_label_of_a_version_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = install.installed
    monkeypatch.setattr(install, "installed", lambda name: installed(name) + "+cpu")
    assert install.unmet("course") == []


def test_check_is_the_exit_status_of_the_script(folder: Path) -> None:
    script = folder / "tools" / "install.py"
    script.parent.mkdir()
    script.write_bytes(Path(install.__file__).read_bytes())
    assert subprocess.run([sys.executable, script, "course", install.CHECK]).returncode == 0
    (folder / "constraints.txt").write_text("", encoding="utf-8")
    assert subprocess.run([sys.executable, script, "course", install.CHECK]).returncode == 1


def test_course_without_an_environment_is_not_complete(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "VENV", folder / ".venv")
    monkeypatch.setattr(install, "VENV_PYTHON", folder / ".venv" / "bin" / "python")
    assert not install.is_complete("course")


@pytest.mark.skipif(Path(sys.prefix) != COURSE / ".venv", reason="not the environment that `make` builds")
def test_package_of_another_folder_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is met, but `import vaelib` finds the course elsewhere."""
    monkeypatch.setattr(install, "VENV", Path(sys.prefix))
    monkeypatch.setattr(install, "VENV_PYTHON", Path(sys.executable))
    assert not install.is_complete("course")
    monkeypatch.setattr(install, "ROOT", COURSE)
    assert install.is_complete("course")
