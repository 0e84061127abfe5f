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
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from deliver import deliver
from lab import command, everything

from vaelib.ledger import LEDGER
from vaelib.tasks import all_tasks

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = secrets.token_hex(8)

pytestmark = [
    pytest.mark.long,  # nothing else needs what these need, and the other tests have the same pages without a browser
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


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """JupyterLab as `make lab` starts it the first time, on a reader's own copies in `folder`; yields its address."""
    home = folder.with_name("home")
    home.mkdir()
    deliver(everything(ROOT), folder)
    port = free_port()
    settings = [f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    quiet = ["--no-browser", "--ip=127.0.0.1", "--LabApp.news_url=", "--expose-app-in-browser"]
    server = subprocess.Popen(
        command([*settings, *quiet], root_user=hasattr(os, "geteuid") and os.geteuid() == 0),
        cwd=folder,
        env=os.environ | {"HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status?token={TOKEN}", server)
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("lab") / "work"
    with serving(folder) as address:
        cells = [nbformat.v4.new_code_cell("from vaelib.ledger import F1\nF1.steps()")]
        kernel = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "steps.ipynb")
        yield address


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


def drive(script: str, *arguments: str, seconds: float = 240) -> Any:
    done = subprocess.run(
        ["node", str(BROWSER / script), str(CHROMIUM), *arguments], capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_slider_of_notebook_05_moves_picture_and_number(address: str, tmp_path: Path) -> None:
    url = f"{address}/lab/tree/notebooks/05_elbo.ipynb?token={TOKEN}"
    seen = drive("lab.mjs", url, "def sliders():", str(tmp_path))
    assert seen["errors"] == []
    assert (
        seen["before"]["picture"].startswith("data:image/png") and seen["after"]["picture"] != seen["before"]["picture"]
    )
    assert "bound" in seen["before"]["text"] and seen["after"]["text"] != seen["before"]["text"]
    assert (tmp_path / "after.png").stat().st_size > 10_000


def test_wrong_answer_is_named_and_the_corrected_one_passes(address: str, tmp_path: Path) -> None:
    url = f"{address}/lab/tree/exercises/04_gaussian_kl.ipynb?token={TOKEN}"
    head = "def kl_normal(loc_q, scale_q, loc_p, scale_p):\n"
    wrong = head + "    return (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5"
    right = wrong.replace("return ", "return np.log(scale_p / scale_q) + ")
    said = drive("exercise.mjs", url, "cell-04-1", "cell-04-1-check", str(tmp_path), wrong, right)
    assert "Not yet." in said[0] and "It looks like the normalizers were taken to cancel" in said[0]
    assert said[1].startswith("Right: 04.1")
    assert (tmp_path / "answer-0.png").stat().st_size > 10_000


def test_jupyterlab_opens_on_the_start_page_whose_links_open_notebooks(tmp_path: Path) -> None:
    with serving(tmp_path / "work") as address:  # of its own: JupyterLab opens again what was open before
        seen = drive("start.mjs", f"{address}/?token={TOKEN}", str(tmp_path))
    assert (seen["path"], seen["heading"]) == ("START.ipynb", "Begin here")
    assert f"of {len(list(all_tasks()))}" in seen["output"] and "Traceback" not in seen["output"]
    assert seen["opened"] == "notebooks/00_start.ipynb"


def test_chain_is_uncovered_by_clicks_that_tell_first_the_rule_then_the_line(address: str, tmp_path: Path) -> None:
    found = drive("steps.mjs", f"{address}/lab/tree/steps.ipynb?token={TOKEN}&reset", "4", str(tmp_path))
    assert [each["button"] for each in found] == ["Show the rule", "Next line"] * 2 + ["Show the rule"]
    assert [each["rows"] for each in found] == [1, 1, 2, 2, 3]
    asked, told = ("Which rule gives the next line?" in each["text"] for each in found[:2])
    assert asked and not told and "The rule:" not in found[0]["text"] and "The rule:" in found[1]["text"]


def test_every_chain_of_the_ledger_fits_a_projector(address: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """1280 x 720, the sidebar open."""
    new = nbformat.v4
    shown = [
        new.new_output("display_data", {"text/markdown": one.chain()._repr_markdown_()}) for one in LEDGER.values()
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    cells = [new.new_code_cell("", outputs=[output]) for output in shown]
    folder = tmp_path_factory.getbasetemp().glob("lab*/work")
    nbformat.write(new.new_notebook(cells=cells, metadata={"kernelspec": kernel}), next(folder) / "chains.ipynb")
    seen = drive("reports.mjs", address, TOKEN, "chains.ipynb")["chains.ipynb"]
    assert (seen["tables"], seen["wide"]) == (len(LEDGER), []) and seen["sidebar"] > 200


def test_reports_fit_a_projector_with_the_sidebar_open(tmp_path: Path) -> None:
    """1280 x 720, with the outputs that are stored."""
    with serving(tmp_path / "work") as address:
        paths = sorted((tmp_path / "work" / "notebooks").glob("[0-9]*.ipynb"))
        for path in paths:
            shutil.copy(ROOT / "notebooks" / path.name, path)
        seen = drive("reports.mjs", address, TOKEN, *(f"notebooks/{path.name}" for path in paths), seconds=900)
    assert sum(one["tables"] for one in seen.values()) > 100
    assert all(one["sidebar"] > 200 for one in seen.values())
    assert not {name.split("/")[1]: one["wide"] for name, one in seen.items() if one["wide"]}
