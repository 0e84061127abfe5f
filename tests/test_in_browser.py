"""`vaelib check` in a browser: the archive that the page loads, and the page itself as far as it goes here.

Tested are the page and its worker in Chromium, with a stub in place of Python; the real Pyodide in Chromium, until it
asks for NumPy; and in Node the reading and setting of formulas by Pyodide, with empty modules for NumPy and SciPy.
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
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import in_browser
import pytest

from vaelib.check.mathml import as_mathml

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


NEEDED = pytest.mark.skipif(
    CHROMIUM is None or shutil.which("node") is None or not (BROWSER / "node_modules" / "pyodide").exists(),
    reason="needs Chromium, Node.js and `npm ci --prefix tests/browser`",
)
NUMBERS_LEFT_OUT = """
import math
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from unittest.mock import MagicMock
import vaelib

class Absent(ModuleType):
    "Stands for a module of NumPy or SciPy: each name in it is a class, and what calling one gives means nothing."
    __path__ = []
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("pi", "e", "inf", "nan"):
            return getattr(math, name)
        return type(name, (), {"__new__": lambda *a, **k: MagicMock()})

class Finder(MetaPathFinder, Loader):
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in ("numpy", "scipy") else None
    def create_module(self, spec):
        return Absent(spec.name)
    def exec_module(self, module):
        pass

sys.meta_path.append(Finder())
"""
READ = """
import json
from vaelib.check.documents import document
from vaelib.check.mathml import as_mathml
from vaelib.formula import tex
(derivation,) = (block.source for block in document("a.md", DERIVATION).blocks if block.display)
tree = tex(r"\\frac{\\log p(x) + 1}{2}")
json.dumps([sys.platform, derivation, type(tree).__name__, tree.latex, as_mathml(tree.latex)])
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server for a folder, on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page that checks a derivation, without the frame of the site; Python is expected in pyodide/."""
    (tmp_path / "_static").mkdir()
    for name in ("check.mjs", "check-worker.mjs"):
        shutil.copy(ROOT / "site" / name, tmp_path / "_static")
    in_browser.pack(tmp_path / "_static" / "course.zip")
    body = "<textarea" + (ROOT / "site" / "check.md").read_text(encoding="utf-8").partition("<textarea")[2]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Check</title><main><h1>Check</h1>'
    (tmp_path / "check.html").write_text(head + body.replace("@PYODIDE@", "pyodide"), encoding="utf-8")
    return tmp_path


def opened(folder: Path, last: str, *texts: str) -> dict[str, Any]:
    """What the page says until its state begins with `last`, and for each text that is put in."""
    with served(folder) as address:
        done = subprocess.run(
            ["node", str(BROWSER / "check.mjs"), str(CHROMIUM), f"{address}/check.html", last, *texts],
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    assert all(url.startswith((address, "about:", "blob:")) for url in seen["asked"])
    return seen


STUB = """
// Stands for Pyodide: everything that the worker asks for is there, and the judge says what it was given.
export async function loadPyodide({ indexURL }) {
  if (!indexURL.endsWith("/pyodide/")) throw new Error(`asked for ${indexURL}`);
  const judge = (text) => {
    if (text === "fail") throw new Error("the judge fell over");
    return text === "binary" ? ["", "Expected a text."] : [`<!doctype html><title>R</title><p>judged: ${text}</p>`, ""];
  };
  return {
    unpackArchive(archive, kind) {
      if (kind !== "zip" || archive.byteLength < 100000) throw new Error("no archive");
    },
    async loadPackage(names) {
      if (String(names) !== "numpy,scipy") throw new Error(`asked for ${names}`);
    },
    runPython: (code) => (code.trimEnd().endsWith("judge") ? judge : undefined),
  };
}
"""


@pytest.mark.long
@pytest.mark.slow
@NEEDED
def test_page_shows_what_the_judge_says_and_survives_its_failure(folder: Path) -> None:
    """The code of the page and of its worker in Chromium, with a stub in place of Python."""
    (folder / "pyodide").mkdir()
    (folder / "pyodide" / "pyodide.mjs").write_text(STUB, encoding="utf-8")
    seen = opened(folder, "Ready.", "$a = b$", "fail", "binary", "$c$")
    assert seen["said"][:3] == [
        "Loading Python ...",
        "The course is there. Loading NumPy and SciPy ...",
        "Ready.",
    ]
    assert seen["enabled"] and seen["faults"] == []
    first, failed, refused, again = seen["answers"]
    assert first == {"state": "Done. The report is below.", "report": "judged: $a = b$"}
    assert failed == {"state": "That did not work: the judge fell over", "report": ""}
    assert refused == {"state": "Expected a text.", "report": ""}
    assert again["report"] == "judged: $c$"


@pytest.mark.long
@pytest.mark.slow
@NEEDED
def test_page_without_python_says_where_it_was_looked_for(folder: Path) -> None:
    seen = opened(folder, "That did not work")
    assert not seen["enabled"] and "/pyodide/. Is there a network?" in seen["said"][-1]


@pytest.mark.long
@pytest.mark.slow
@NEEDED
def test_page_loads_python_and_the_course_and_says_what_is_missing(folder: Path) -> None:
    """With Pyodide itself, which comes without NumPy."""
    shutil.copytree(BROWSER / "node_modules" / "pyodide", folder / "pyodide")
    seen = opened(folder, "That did not work")
    assert seen["said"][:2] == ["Loading Python ...", "The course is there. Loading NumPy and SciPy ..."]
    assert "numpy" in seen["said"][-1].lower() and not seen["enabled"]


@pytest.mark.long
@pytest.mark.slow
@NEEDED
def test_formulas_are_read_and_set_by_python_in_a_browser(tmp_path: Path) -> None:
    """Pyodide in Node: the parser and the tree need no number, so empty modules do for NumPy and SciPy."""
    in_browser.pack(tmp_path / "course.zip")
    text = derivation().partition("</textarea")[0]
    (tmp_path / "script.py").write_text(f"{NUMBERS_LEFT_OUT}\nDERIVATION = {text!r}\n{READ}", encoding="utf-8")
    done = subprocess.run(
        ["node", str(BROWSER / "pyodide.mjs"), str(tmp_path / "course.zip"), str(tmp_path / "script.py")],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    platform, found, kind, latex, mathml = json.loads(done.stdout)
    assert (platform, kind, latex) == ("emscripten", "Quotient", r"\frac{\log p(x) + 1}{2}")
    assert found.count("&") == 4 and mathml == as_mathml(latex)
