"""What a beginner's machine is for the tests: a .venv that finds the installed packages, and a pip without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

WITHOUT_NETWORK = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def environment() -> dict[str, str]:
    """The variables of a shell in which nothing of this test run's environment is active, and pip has no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "VIRTUAL_"))}
    return kept | WITHOUT_NETWORK


def lend_packages(venv: Path) -> None:
    """Let a fresh environment find the packages of this one, but not the course itself."""
    (purelib,) = venv.glob("lib/python*/site-packages")
    for old in purelib.glob("setuptools*"):  # the one that venv brings along would hide the one that is lent
        shutil.rmtree(old)
    folders = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    (purelib / "lent.pth").write_text("\n".join(folders) + "\n", encoding="utf-8")


def create_venv(venv: Path) -> Path:
    """A fresh environment with the packages of this one; the path of its Python."""
    base = Path(sysconfig.get_config_var("BINDIR")) / f"python{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([base if base.exists() else sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    lend_packages(venv)
    return venv / "bin" / "python"
