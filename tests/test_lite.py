"""The browser edition: JupyterLite with the notebooks that need no PyTorch.

Tested is that it is built, that Chromium opens a notebook of it, and that its kernel fetches Pyodide from the address
in the settings and nothing from elsewhere. What is NOT tested: running a cell. That needs the builds of NumPy and SciPy
of the full Pyodide, which cannot be had here; nobody has seen a notebook run in it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import lite
import pytest
from pages import WITHOUT_TORCH, Settings

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_it_has_the_notebooks_without_pytorch_and_their_exercises() -> None:
    assert len(lite.files()) == 2 * len(WITHOUT_TORCH)
    for path in lite.files():
        assert "import torch" not in (ROOT / path).read_text(encoding="utf-8"), path


@pytest.mark.parametrize("path", lite.files())
def test_a_cell_that_installs_the_course_comes_before_all_other_code(path: str) -> None:
    before = json.loads((ROOT / path).read_text(encoding="utf-8"))
    after = json.loads(lite.with_first_cell((ROOT / path).read_text(encoding="utf-8")))
    first = next(cell for cell in after["cells"] if cell["cell_type"] == "code")
    assert "".join(first["source"]).splitlines()[1].startswith("%pip install -q vaelib ")
    after["cells"].remove(first)
    assert after == before


def test_what_is_installed_is_what_the_notebooks_need_without_pytorch() -> None:
    assert {"vaelib", "ipywidgets", "latex2mathml", "matplotlib", "scikit-learn", "sympy"} <= set(lite.installed())
    assert not {"torch", "jupyter", "pytest", "sphinx", "numpy"} & set(lite.installed())


@pytest.mark.parametrize(
    ("setting", "address"),
    [
        ("pyodide", "./../pyodide/pyodide.mjs"),
        ("pyodide/", "./../pyodide/pyodide.mjs"),
        ("https://a.org/full/", "https://a.org/full/pyodide.mjs"),
    ],
)
def test_pyodide_is_looked_for_at_the_address_of_the_settings(setting: str, address: str) -> None:
    assert lite.address(setting) == address


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(find_spec("jupyterlite_core") is None, reason="needs the site's tools: make site")
@pytest.mark.skipif(
    CHROMIUM is None or shutil.which("node") is None or not (BROWSER / "node_modules" / "pyodide").exists(),
    reason="needs Chromium, Node.js and `npm ci --prefix tests/browser`",
)
def test_notebook_opens_and_its_kernel_fetches_pyodide_from_there_alone(tmp_path: Path) -> None:
    html = tmp_path / "html"
    lite.build(tmp_path / "lite", html / "lite", Settings(pyodide="pyodide"))
    size = sum(path.stat().st_size for path in (html / "lite").rglob("*") if path.is_file())
    assert size < 30e6, f"{size / 1e6:.0f} MB"
    (wheel,) = (html / "lite" / "pypi").glob("vaelib-*-py3-none-any.whl")
    assert "vaelib/check/mathml.py" in zipfile.ZipFile(wheel).namelist()
    shutil.copytree(BROWSER / "node_modules" / "pyodide", html / "pyodide")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=html))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        url = f"{address}/lite/lab/index.html?path=notebooks/05_elbo.ipynb"
        done = subprocess.run(
            ["node", str(BROWSER / "lite.mjs"), str(CHROMIUM), url, "pyodide.asm.wasm"],
            capture_output=True,
            text=True,
            timeout=200,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    assert "%pip install -q vaelib" in seen["cell"]
    assert f"{address}/pyodide/pyodide.asm.wasm" in seen["asked"]
    assert [url for url in seen["asked"] if not url.startswith((address, "data:", "blob:"))] == []
