"""Give the reader their own copies of the notebooks and exercises, without outputs, and open JupyterLab on them.

    .venv/bin/python tools/lab.py [--copy-only] [options of JupyterLab ...]

The copies stand in work/, which git ignores. A copy whose cells nobody changed follows the course: when the original
changes, it is replaced. An edited copy is never written to: the new original is laid beside it as NAME.new.ipynb, once.
Running a notebook is not editing it; what counts is the text of the cells.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("notebooks", "exercises")
MANIFEST = ".delivered.json"  # path below work/ -> fingerprint of the original last delivered there


def without_outputs(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook as its author wrote it: no outputs, no counters, no saved state of widgets."""
    cells = []
    for cell in notebook["cells"]:
        cell = {**cell, "metadata": {k: v for k, v in cell.get("metadata", {}).items() if k != "execution"}}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        cells.append(cell)
    metadata = {key: value for key, value in notebook.get("metadata", {}).items() if key != "widgets"}
    return {**notebook, "cells": cells, "metadata": metadata}


def fingerprint(notebook: dict[str, Any]) -> str:
    """A hash of the kind and the text of every cell."""
    text = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()


def fingerprint_of_copy(path: Path) -> str:
    """The same for a file of the reader's; a file that is no notebook any more matches nothing, and so is kept."""
    try:
        return fingerprint(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError):
        return "unreadable"


def write(path: Path, content: dict[str, Any]) -> None:
    """All or nothing: an interruption leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def read_manifest(path: Path) -> dict[str, str]:
    """What was delivered before; where that is lost, nothing, and every copy that differs counts as edited."""
    try:
        delivered: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return delivered


def place_beside(path: Path, delivered: dict[str, str], work: Path) -> Path:
    """NAME.new.ipynb, or NAME.new2.ipynb and so on where the reader has edited the one before."""
    number = 1
    while True:
        beside = path.with_name(f"{path.stem}.new{number if number > 1 else ''}.ipynb")
        if not beside.exists() or fingerprint_of_copy(beside) == delivered.get(beside.relative_to(work).as_posix()):
            return beside
        number += 1


def deliver(root: Path, work: Path) -> list[str]:
    """Bring the copies in `work` up to date with the notebooks in `root`.

    Returns:
        one sentence for each copy that was made, updated, or kept because it is edited.
    """
    delivered = read_manifest(work / MANIFEST)
    said = []
    for original in sorted(path for folder in FOLDERS for path in (root / folder).glob("*.ipynb")):
        name = original.relative_to(root).as_posix()
        notebook = without_outputs(json.loads(original.read_text(encoding="utf-8")))
        offered, copy = fingerprint(notebook), work / name
        current = fingerprint_of_copy(copy) if copy.exists() else None
        if current is None:
            write(copy, notebook)
            said.append(f"{name}: copied")
        elif current == offered:
            pass
        elif current == delivered.get(name):
            write(copy, notebook)
            said.append(f"{name}: updated, you had not changed it")
        elif offered == delivered.get(name):
            said.append(f"{name}: yours is kept as you left it")
        else:
            beside = place_beside(copy, delivered, work)
            write(beside, notebook)
            delivered[beside.relative_to(work).as_posix()] = offered
            said.append(f"{name}: yours is kept; the course has a new version, laid beside it as {beside.name}")
        delivered[name] = offered
    write(work / MANIFEST, delivered)
    return said


def hide_the_teachers_tools(prefix: Path) -> None:
    """JupyterLab without nbgrader's and jupytext's menus: they are here for the tests. Your own settings are kept."""
    settings = prefix / "etc" / "jupyter" / "labconfig" / "page_config.json"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        hidden = {"@jupyter/nbgrader": True, "jupyterlab-jupytext": True}
        settings.write_text(json.dumps({"disabledExtensions": hidden}), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copy-only", action="store_true", help="bring the copies up to date and stop there")
    options, for_jupyter = parser.parse_known_args()
    work = ROOT / "work"
    for sentence in deliver(ROOT, work) or ["every copy is up to date"]:
        print(sentence)
    if options.copy_only:
        return 0
    hide_the_teachers_tools(Path(sys.prefix))
    print("Opening JupyterLab in work/; Ctrl-C twice ends it", flush=True)
    server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *for_jupyter], cwd=work)
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            pass  # JupyterLab got it too, and asks whether it is meant


if __name__ == "__main__":
    sys.exit(main())
