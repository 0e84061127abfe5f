"""`vaelib check` in a browser: the archive that the page loads, and the page itself as far as it goes here.

What is NOT tested: a verdict. NumPy and SciPy for Pyodide are not among what can be installed for the tests; the page
fetches them from the address in site/settings.toml, and nobody has seen it judge a derivation.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import in_browser
import pytest

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
JUDGE = """
import sys
sys.path = [ARCHIVE, *(p for p in sys.path if p not in ("", ROOT))]
import markdown_it, latex2mathml, vaelib
from vaelib.check import check_text
from vaelib.check.page import page
assert all(ARCHIVE in module.__file__ for module in (vaelib, markdown_it, latex2mathml))
assert not {"torch", "rich", "typer", "matplotlib"} & set(sys.modules)
text = page([check_text(DERIVATION)])
print("does-not-follow" in text, text.count("<math"))
"""


def derivation() -> str:
    """The one that the page offers."""
    return (ROOT / "site" / "check.md").read_text(encoding="utf-8").partition("<textarea")[2].partition(">")[2]


def test_archive_is_enough_to_judge_the_derivation_of_the_page(tmp_path: Path) -> None:
    """In this Python, which has NumPy and SciPy: everything else comes from the archive."""
    archive = tmp_path / "course.zip"
    size = in_browser.pack(archive)
    assert size < 1_500_000
    unpacked = tmp_path / "course"
    zipfile.ZipFile(archive).extractall(unpacked)
    said = {"ARCHIVE": str(unpacked), "ROOT": str(ROOT), "DERIVATION": derivation().partition("</textarea")[0]}
    script = "\n".join([*(f"{name} = {value!r}" for name, value in said.items()), JUDGE])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    wrong, formulas = done.stdout.split()
    assert wrong == "True" and int(formulas) >= 5


def test_archive_has_licences_and_no_truths(tmp_path: Path) -> None:
    names = in_browser.contents()
    assert not any(name.startswith(("vaelib/tasks/", "vaelib/grade/")) for name in names)
    for package in ("latex2mathml", "markdown_it_py", "mdit_py_plugins", "mdurl"):
        metadata = next(name for name in names if re.fullmatch(rf"{package}-.+\.dist-info/METADATA", name))
        assert re.search(r"^(License|Classifier: License)\b.*MIT", names[metadata].read_text("utf-8"), re.MULTILINE)
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    in_browser.pack(first)
    in_browser.pack(second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(
    CHROMIUM is None or shutil.which("node") is None or not (BROWSER / "node_modules" / "pyodide").exists(),
    reason="needs Chromium, Node.js and `npm ci --prefix tests/browser`",
)
def test_page_loads_python_and_the_course_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "_static").mkdir()
    for name in ("check.mjs", "check-worker.mjs"):
        shutil.copy(ROOT / "site" / name, tmp_path / "_static")
    in_browser.pack(tmp_path / "_static" / "course.zip")
    shutil.copytree(BROWSER / "node_modules" / "pyodide", tmp_path / "pyodide")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        body = "<textarea" + (ROOT / "site" / "check.md").read_text(encoding="utf-8").partition("<textarea")[2]
        (tmp_path / "check.html").write_text(body.replace("@PYODIDE@", f"{address}/pyodide/"), encoding="utf-8")
        done = subprocess.run(
            ["node", str(BROWSER / "check.mjs"), str(CHROMIUM), f"{address}/check.html", "That did not work"],
            capture_output=True,
            text=True,
            timeout=200,
        )
    finally:
        server.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    assert seen["said"][:2] == ["Loading Python ...", "The course is there. Loading NumPy and SciPy ..."]
    assert "numpy" in seen["said"][-1].lower() and not seen["enabled"]
