"""What every benchmark writes beside its numbers: the command, the settings, the commit, the machine, the versions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelib._cores import given

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--record`, as that of every benchmark does: numbers are shown, and kept only when asked."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--record", action="store_true", help="write the numbers into benchmarks/results, too")
    return made


def record(name: str, rows: Sequence[Any], keep: bool, **settings: Any) -> None:
    """Write results/NAME.json. It may be called after each row: the file is replaced at once, never half written.

    Args:
        name: of the benchmark, and of its file.
        rows: what was measured, one dictionary a row. NaN is no JSON and is refused: write None.
        keep: whether `--record` was typed; nothing is written without it.
        settings: what the numbers depend on, the seed among them.
    """
    if not keep:
        return
    content = {
        "name": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(shlex.quote, sys.argv[1:])]),
        "settings": settings,
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain", "--", "vaelib", "benchmarks/*.py")),  # since that commit
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "rows": list(rows),
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    unfinished = RESULTS / f"{name}.json.tmp"
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(RESULTS / f"{name}.json")


def hardware() -> dict[str, Any]:
    """The processor, its cores that this process may use, torch's threads, memory, and the GPU if there is one."""
    return {
        "cpu": _cpu(),
        "cores": given(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu() -> str:
    """The model's name; platform.processor() is empty on most Linux systems."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _git(*arguments: str) -> str | None:
    """What git says; None where there is no git, or this is no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=HERE.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
