"""The browser edition: JupyterLab and the notebooks that need no PyTorch, in a folder for any web server.

It is made by `make site`, in html/lite, if site/settings.toml says where Pyodide is. Each notebook gets a cell that
installs the course into the browser: the wheel of the course lies beside the pages, NumPy and the like come with
Pyodide, and the rest, all pure Python, from the package index, when somebody runs that cell.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from pages import ROOT, WITHOUT_TORCH, Settings
from pin import direct_requirements

KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
FIRST = """\
# In the browser edition, this cell installs the course. The first time, it takes a minute or two.
%pip install -q {names}"""


def files() -> list[str]:
    """The notebooks and exercises of the browser edition, as paths in the repository."""
    found = [
        ROOT.glob(f"{folder}/{number}_*.ipynb") for folder in ("notebooks", "exercises") for number in WITHOUT_TORCH
    ]
    return [str(path.relative_to(ROOT)) for group in found for path in group]


def installed() -> list[str]:
    """What the first cell installs: the course, and what its notebooks import, without PyTorch."""
    names = {requirement.name for requirement in direct_requirements(("bench", "course", "site", "test"))}
    return ["vaelib", *sorted(names - {"torch", "numpy", "scipy"})]  # those two come with the course


def with_first_cell(notebook: str) -> str:
    """A notebook, as JSON, whose first code cell installs the course."""
    content = json.loads(notebook)
    source = FIRST.format(names=" ".join(installed())).splitlines(keepends=True)
    cell = {"cell_type": "code", "id": "in-the-browser", "metadata": {}, "source": source}
    first = next(i for i, one in enumerate(content["cells"]) if one["cell_type"] == "code")
    content["cells"].insert(first, cell | {"outputs": [], "execution_count": None})
    return json.dumps(content, indent=1, ensure_ascii=False)


def address(pyodide: str) -> str:
    """Where JupyterLite loads Pyodide from; what is a folder of the site lies beside the folder of JupyterLite.

    >>> address("pyodide"), address("https://a.org/full/")
    ('./../pyodide/pyodide.mjs', 'https://a.org/full/pyodide.mjs')
    """
    there = pyodide if "://" in pyodide else f"./../{pyodide}"
    return f"{there.rstrip('/')}/pyodide.mjs"


def collect(folder: Path, settings: Settings) -> None:
    """Writes what JupyterLite is built from: the notebooks, the wheel of the course, the address of Pyodide."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in files():
        target = folder / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(with_first_cell((ROOT / path).read_text(encoding="utf-8")), encoding="utf-8")
    said = {"litePluginSettings": {KERNEL: {"pyodideUrl": address(settings.pyodide)}}, "appName": "vaelib"}
    config = {"jupyter-lite-schema-version": 0, "jupyter-config-data": said}
    (folder / "jupyter-lite.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run(wheel, cwd=ROOT, check=True, capture_output=True)


def build(folder: Path, target: Path, settings: Settings) -> None:
    """Makes the browser edition in `target`; `folder` holds what it is made of.

    Raises:
        RuntimeError: JupyterLite could not be built; the end of what it wrote is in the message.
    """
    collect(folder, settings)
    wheels = [part for wheel in (folder / "wheels").glob("*.whl") for part in ("--piplite-wheels", str(wheel))]
    light = ["--apps", "lab", "--no-sourcemaps", "--no-unused-shared-packages", "--no-libarchive"]
    command = [sys.executable, "-m", "jupyterlite_core", "build", "--lite-dir", str(folder), "--contents", "files"]
    done = subprocess.run(
        [*command, "--output-dir", str(target), *light, *wheels],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"Expected JupyterLite to be built, but it failed:\n{done.stdout[-2000:]}")
