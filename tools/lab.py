"""Give the reader their own copies of notebooks and exercises, without outputs, and open JupyterLab on a start page.

    .venv/bin/python tools/lab.py [--teach] [--copy-only] [options of JupyterLab ...]

The copies lie in work/, which git ignores; tools/deliver.py says what happens to them when the course changes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from deliver import as_bytes, deliver, without_outputs
from start import NAME, start_page

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("notebooks", "exercises")
TEACH = "notebooks/teach"
LATE = "**If ten minutes late, skip**"
SHOWN = 5  # copies named one by one; more are counted


def originals(root: Path) -> dict[str, bytes]:
    """What a reader opens: path -> the notebook without its outputs."""
    paths = sorted(path for folder in FOLDERS for path in (root / folder).glob("*.ipynb"))
    notebooks = {path.relative_to(root).as_posix(): json.loads(path.read_bytes()) for path in paths}
    return {name: as_bytes(without_outputs(notebook)) for name, notebook in notebooks.items()}


def everything(root: Path) -> dict[str, bytes]:
    """The start page, the notebooks and the exercises."""
    return {NAME: as_bytes(start_page(root)), **originals(root)}


def for_teachers(root: Path) -> dict[str, bytes]:
    """Session plans, sheets of wrong answers and pictures for slides, where their links to the notebooks hold."""
    paths = sorted(path for path in (root / TEACH).rglob("*") if path.is_file())
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    return found | {name: linked(root / name).encode() for name in found if name.endswith(".md")}


def linked(page: Path) -> str:
    """The text of a page for teachers; in a session plan, the names of cells are links to them."""
    text = page.read_text(encoding="utf-8")
    notebook = next(page.parent.parent.glob(f"{page.stem}_*.ipynb"), None) if re.fullmatch(r"\d\d", page.stem) else None
    if notebook is None:
        return text
    cells = {cell["id"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]}

    def link(name: re.Match[str]) -> str:
        return f"[{name[0]}](../{notebook.name}#cell-id={name[1]})" if name[1] in cells else name[0]

    lines = []
    for line in text.split("\n"):
        columns = line.split("|", 3)
        if line.startswith("|") and len(columns) > 3:
            columns[2] = re.sub(r"`([^`]+)`", link, columns[2])
            line = "|".join(columns)
        elif line.startswith(LATE):
            line = re.sub(r"`([^`]+)`", link, line)
        lines.append(line)
    return "\n".join(lines)


def shown(said: list[str]) -> list[str]:
    """The sentences of a delivery, the many alike counted."""
    copied = [sentence for sentence in said if sentence.endswith(": copied")]
    if len(copied) <= SHOWN:
        return said
    return [f"{len(copied)} files copied into work/", *(sentence for sentence in said if sentence not in copied)]


def hide_the_teachers_tools(prefix: Path) -> None:
    """JupyterLab without nbgrader's and jupytext's menus: they are here for the tests. Your own settings are kept."""
    settings = prefix / "etc" / "jupyter" / "labconfig" / "page_config.json"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        hidden = {"@jupyter/nbgrader": True, "jupyterlab-jupytext": True}
        settings.write_text(json.dumps({"disabledExtensions": hidden}), encoding="utf-8")


def command(options: list[str], *, root_user: bool) -> list[str]:
    """The call of JupyterLab; it refuses to run for root, as whom one works in many containers, unless it is told."""
    allowed = ["--allow-root"] if root_user and "--allow-root" not in options else []
    return [sys.executable, "-m", "jupyterlab", f"--LabApp.default_url=/lab/tree/{NAME}", *allowed, *options]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teach", action="store_true", help="copy the session plans, too, into work/notebooks/teach")
    parser.add_argument("--copy-only", action="store_true", help="bring the copies up to date and stop there")
    options, for_jupyter = parser.parse_known_args()
    if options.teach and not (ROOT / TEACH).is_dir():
        parser.error(
            f"Expected session plans in {TEACH}, but there are none: students' copies of the course lack them."
        )
    work = ROOT / "work"
    wanted = everything(ROOT) | (for_teachers(ROOT) if options.teach else {})
    for sentence in shown(deliver(wanted, work)) or ["every copy is up to date"]:
        print(sentence)
    if options.copy_only:
        return 0
    hide_the_teachers_tools(Path(sys.prefix))
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    if root_user:
        print("You are root: JupyterLab is told to allow it (--allow-root)")
    print(f"Opening JupyterLab in work/, on {NAME}; Ctrl-C twice ends it", flush=True)
    server = subprocess.Popen(command(for_jupyter, root_user=root_user), cwd=work)
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            pass  # JupyterLab got it too, and asks whether it is meant


if __name__ == "__main__":
    sys.exit(main())
