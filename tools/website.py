"""Build the site of the course, from what is stored: `make site`. Nothing is run, and no network is needed.

The pages are collected in build/site/pages, and Sphinx makes build/site/html of them: every warning is an error.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from reference import ledger_pages
from start import Chapter, assumed, chapters

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "site"
MODULES = {
    "The words of a derivation": ("terms", "ledger", "derivation", "magic"),
    "Distributions and divergences": ("distributions", "kl", "quadrature", "montecarlo", "estimate"),
    "Models and bounds": ("models", "elbo", "em", "gradients", "witnesses"),
    "Training": ("data", "vae", "objectives", "train", "evaluate"),
    "Exercises": ("exercise",),
}


def notebook_page(path: Path) -> str:
    """A notebook as the site shows it: folded code stays folded, one title a page, a text for each picture.

    Raises:
        ValueError: a cell draws a picture, and does not begin with a comment that says what is to be seen.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    titled = False
    for cell in content["cells"]:
        metadata = cell["metadata"]
        if cell["cell_type"] == "markdown":
            source = "".join(cell["source"])
            if titled:
                source = re.sub(r"^# ", "## ", source, flags=re.MULTILINE)
            titled = titled or source.startswith("# ")
            cell["source"] = relinked(source)
        elif metadata.get("jupyter", {}).get("source_hidden"):
            metadata["tags"] = [*metadata.get("tags", []), "hide-input"]
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            metadata["mystnb"] = {"image": {"alt": seen(path, cell)}}
    return json.dumps(content)


def seen(path: Path, cell: dict[str, Any]) -> str:
    """What the picture of a cell shows, as its first line says."""
    first, *_ = "".join(cell["source"]).splitlines()
    if not first.startswith("# "):
        raise ValueError(
            f"Expected the cell {cell['id']} of {path.name} to begin with a comment that says what its picture shows, "
            f"but got {first!r}."
        )
    return re.sub(r"^# (Picture: )?", "", first).strip()


def relinked(text: str) -> str:
    """Links between the files of the repository, as links between the pages of the site."""
    text = re.sub(r"\]\((?:\.\./)*exercises/(\d\d_\w+)\.ipynb\)", r"](/exercises/\1.ipynb)", text)
    text = re.sub(r"\]\((?:\.\./)*notebooks/(\d\d_\w+)\.ipynb\)", r"](/notebooks/\1.ipynb)", text)
    text = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](/notebooks/\1.ipynb)", text)
    return text


def collect(pages: Path) -> None:
    """Writes the source of every page into an empty folder."""
    shutil.rmtree(pages, ignore_errors=True)
    (pages / "_static").mkdir(parents=True)
    shutil.copy(ROOT / "site" / "conf.py", pages)
    shutil.copy(ROOT / "site" / "course.css", pages / "_static")
    for folder in ("notebooks", "exercises"):
        (pages / folder).mkdir()
        for path in sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb")):
            (pages / folder / path.name).write_text(notebook_page(path), encoding="utf-8")
    for name, text in (ledger_pages(ROOT) | api_pages() | {"index": welcome(chapters(ROOT))}).items():
        target = pages / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def welcome(course: list[Chapter]) -> str:
    """The first page."""
    rows = "\n".join(
        f"| [{one.number}](notebooks/{one.file}) | {one.title} | {one.question} | {one.minutes} |" for one in course
    )
    notebooks = "\n".join(f"notebooks/{Path(one.file).stem}" for one in course)
    exercises = "\n".join(f"exercises/{Path(one.file).stem}" for one in course)
    text = (ROOT / "site" / "index.md").read_text(encoding="utf-8")
    return (
        text.replace("@TABLE@", f"| | notebook | it asks | time |\n|:--|:--|:--|:--|\n{rows}")
        .replace("@NOTEBOOKS@", notebooks)
        .replace("@EXERCISES@", exercises)
    )


def api_pages() -> dict[str, str]:
    """The package, module by module."""
    pages = {}
    listed = []
    for heading, modules in MODULES.items():
        listed += [f"\n## {heading}\n"]
        for module in modules:
            pages[f"api/{module}"] = f"# vaelib.{module}\n\n```{{eval-rst}}\n.. automodule:: vaelib.{module}\n```\n"
            listed.append(f"- [vaelib.{module}]({module}.md)")
    toc = "\n".join(name.removeprefix("api/") for name in pages)
    pages["api/index"] = f"# The package\n\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n" + "\n".join(listed) + "\n"
    return pages


def main() -> int:
    started = time.monotonic()
    pages, html = BUILD / "pages", BUILD / "html"
    collect(pages)
    shutil.rmtree(html, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html"]
    status = subprocess.run([*command, str(pages), str(html)], check=False).returncode
    if status == 0:
        size = sum(file.stat().st_size for file in html.rglob("*") if file.is_file())
        print(f"{html / 'index.html'}: {size / 1e6:.0f} MB, {time.monotonic() - started:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
