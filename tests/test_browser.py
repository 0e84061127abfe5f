"""A person's path through a notebook, in a real browser: open it in JupyterLab, run all cells, move a slider.

Needs Chromium, Node.js and `npm ci --prefix tests/browser`; continuous integration installs them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = secrets.token_hex(8)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or shutil.which("node") is None or not (BROWSER / "node_modules" / "playwright-core").exists(),
        reason="needs Chromium, Node.js and `npm ci --prefix tests/browser`",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab as `make lab` starts it, on a reader's own copies: (its address, the folder of the copies)."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "home").mkdir()
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    if any((ROOT / "exercises").glob("*.ipynb")):
        shutil.copytree(ROOT / "exercises", folder / "exercises", ignore=shutil.ignore_patterns("source"))
    port = free_port()
    settings = [f"--port={port}", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    quiet = ["--no-browser", "--ip=127.0.0.1", "--allow-root", "--LabApp.news_url=", "--expose-app-in-browser"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "lab", *settings, *quiet],
        env=os.environ | {"HOME": str(folder / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status?token={TOKEN}", server)
        yield address, folder
    finally:
        server.terminate()
        server.wait(20)


def wait_for(url: str, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        assert server.poll() is None, "JupyterLab ended before it answered"
        try:
            urllib.request.urlopen(url, timeout=2)
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(f"JupyterLab did not answer within {seconds} s")


def drive(script: str, *arguments: str) -> Any:
    done = subprocess.run(
        ["node", str(BROWSER / script), str(CHROMIUM), *arguments], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_slider_of_notebook_05_moves_picture_and_number(lab: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = lab
    url = f"{address}/lab/tree/notebooks/05_elbo.ipynb?token={TOKEN}"
    seen = drive("lab.mjs", url, "def sliders():", str(tmp_path))
    assert seen["errors"] == []
    assert (
        seen["before"]["picture"].startswith("data:image/png") and seen["after"]["picture"] != seen["before"]["picture"]
    )
    assert "bound" in seen["before"]["text"] and seen["after"]["text"] != seen["before"]["text"]
    assert (tmp_path / "after.png").stat().st_size > 10_000


def test_wrong_answer_is_named_and_the_corrected_one_passes(lab: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = lab
    url = f"{address}/lab/tree/exercises/04_gaussian_kl.ipynb?token={TOKEN}"
    head = "def kl_normal(loc_q, scale_q, loc_p, scale_p):\n"
    wrong = head + "    return (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5"
    right = wrong.replace("return ", "return np.log(scale_p / scale_q) + ")
    said = drive("exercise.mjs", url, "cell-04-1", "cell-04-1-check", str(tmp_path), wrong, right)
    assert "Not yet." in said[0] and "It looks like the normalizers were taken to cancel" in said[0]
    assert said[1].startswith("Right: 04.1")
    assert (tmp_path / "answer-0.png").stat().st_size > 10_000
