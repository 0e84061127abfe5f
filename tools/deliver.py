"""Copies that follow the course until somebody edits them.

A copy whose content nobody changed is replaced when its original changes. An edited copy is never written to: the new
original is laid beside it as NAME.new.ipynb, once. Running a notebook is not editing it; what counts is the text of its
cells.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = ".delivered.json"  # beside the copies: path -> fingerprint of the original last delivered there


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


def as_bytes(notebook: dict[str, Any]) -> bytes:
    """A notebook as it is stored."""
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def fingerprint(name: str, content: bytes) -> str:
    """A hash of the content; of a notebook, of the kind and the text of every cell.

    A notebook that can no longer be read matches nothing, and so is kept.
    """
    if name.endswith(".ipynb"):
        try:
            text = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(content)["cells"]]
        except (ValueError, KeyError, TypeError):
            return "unreadable"
        content = json.dumps(text).encode()
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> None:
    """All or nothing: an interruption leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def read_manifest(path: Path) -> dict[str, str]:
    """What was delivered before; where that is lost, nothing, and every copy that differs counts as edited."""
    try:
        delivered = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return delivered if isinstance(delivered, dict) else {}


def place_beside(path: Path, delivered: dict[str, str], folder: Path) -> Path:
    """NAME.new.ipynb, or NAME.new2.ipynb and so on where the reader has edited the one before."""
    number = 1
    while True:
        beside = path.with_name(f"{path.stem}.new{number if number > 1 else ''}{path.suffix}")
        name = beside.relative_to(folder).as_posix()
        if not beside.exists() or fingerprint(name, beside.read_bytes()) == delivered.get(name):
            return beside
        number += 1


def deliver(originals: Mapping[str, bytes], folder: Path) -> list[str]:
    """Bring the copies in `folder` up to date.

    Args:
        originals: path below the folder -> what should be there.

    Returns:
        one sentence for each copy that was made, updated, or kept because it is edited.
    """
    delivered = read_manifest(folder / MANIFEST)
    said = []
    for name, content in originals.items():
        offered, copy = fingerprint(name, content), folder / name
        current = fingerprint(name, copy.read_bytes()) if copy.exists() else None
        if current is None:
            write(copy, content)
            said.append(f"{name}: copied")
        elif current == offered:
            pass
        elif current == delivered.get(name):
            write(copy, content)
            said.append(f"{name}: updated, you had not changed it")
        elif offered == delivered.get(name):
            said.append(f"{name}: yours is kept as you left it")
        else:
            beside = place_beside(copy, delivered, folder)
            write(beside, content)
            delivered[beside.relative_to(folder).as_posix()] = offered
            said.append(f"{name}: yours is kept; the course has a new version, laid beside it as {beside.name}")
        delivered[name] = offered
    write(folder / MANIFEST, json.dumps(delivered, indent=1).encode())
    return said
