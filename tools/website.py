"""Build the site of the course, from what is stored: `make site`. Nothing is run, and no network is needed.

    python tools/website.py [FOLDER]

The pages are collected in FOLDER/pages, by default build/site/pages, and Sphinx makes FOLDER/html of them. Every
warning is an error.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import lite
from course_map import picture
from deliver import as_bytes, without_outputs
from in_browser import pack
from lab import linked
from pages import ROOT, Settings, Site
from reference import ledger_pages
from start import Chapter, chapters, start_page

MODULES = {
    "The words of a derivation": ("terms", "ledger", "derivation", "magic", "notes"),
    "Distributions and divergences": ("distributions", "kl", "quadrature", "montecarlo", "estimate", "sampling"),
    "Models and bounds": ("models", "elbo", "em", "gradients", "witnesses"),
    "Training": ("data", "vae", "objectives", "train", "evaluate", "explore"),
    "Exercises": ("exercise",),
}
GUIDES = ("docs/*.md", "notebooks/teach/*.md", "benchmarks/README.md", "CONTRIBUTING.md")
TRY = " With nothing installed, you can [check a derivation](/check.md) of your own, here in the browser."


def guides() -> list[str]:
    """The pages that are written as Markdown, as paths in the repository."""
    return [str(path.relative_to(ROOT)) for pattern in GUIDES for path in sorted(ROOT.glob(pattern))]


def notebooks() -> list[str]:
    found = [path for folder in ("notebooks", "exercises") for path in sorted((ROOT / folder).glob("[0-9]*.ipynb"))]
    return [str(path.relative_to(ROOT)) for path in found]


def collect(target: Path, settings: Settings) -> None:
    """Writes the source of every page into an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "_static").mkdir(parents=True)
    shutil.copy(ROOT / "site" / "conf.py", target)
    shutil.copy(ROOT / "site" / "course.css", target / "_static")
    shutil.copy(ROOT / "docs" / "gallery.png", target)
    course = chapters(ROOT)
    made = ledger_pages(ROOT) | api_pages() | lists(course)
    site = Site([*notebooks(), *guides(), *made, "index.md"], settings, target)
    for path in notebooks():
        made[path] = site.notebook(path)
        bare = without_outputs(json.loads((ROOT / path).read_text(encoding="utf-8")))
        made[f"files/{path}"] = as_bytes(bare).decode()
    for path in guides():
        made[path] = site.relinked(linked(ROOT / path), path)
    if settings.pyodide:
        for name in ("check.mjs", "check-worker.mjs"):
            shutil.copy(ROOT / "site" / name, target / "_static")
        pack(target / "_static" / "course.zip")
        made["check.md"] = (ROOT / "site" / "check.md").read_text("utf-8").replace("@PYODIDE@", settings.pyodide)
    made["index.md"] = site.relinked(welcome(course, settings), "index.md")
    for path, text in made.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")


def ways() -> str:
    """The ways through the course, as the start page in JupyterLab has them."""
    texts = [cell["source"] for cell in start_page(ROOT)["cells"] if cell["cell_type"] == "markdown"]
    titles = [text.splitlines()[0] for text in texts]
    return "\n\n".join(texts[titles.index("## The map") + 1 : titles.index("## How far you are")])


def welcome(course: list[Chapter], settings: Settings) -> str:
    """The first page."""
    rows = [
        f"| [{one.number}](notebooks/{one.file}) | {one.title} | {one.question} | {one.minutes} |" for one in course
    ]
    plans = [path for path in guides() if re.fullmatch(r"notebooks/teach/\D.*\.md", path)]
    parts = {
        "MAP": picture(course),
        "WAYS": ways(),
        "TABLE": "\n".join(["| no. | notebook | it asks | time |", "|:--|:--|:--|:--|", *rows]),
        "NOTEBOOKS": "\n".join(f"notebooks/{Path(one.file).stem}" for one in course),
        "CHECK": "check" if settings.pyodide else "",
        "TRY": TRY if settings.pyodide else "",
        "TEACHING": "\n".join(path.removesuffix(".md") for path in plans),
    }
    text = (ROOT / "site" / "index.md").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], text)


def listing(title: str, text: str, entries: dict[str, str]) -> str:
    """A page that lists others: path -> its line."""
    toc = "\n".join(f"/{Path(path).with_suffix('')}" for path in entries)
    lines = "\n".join(f"- [{line}](/{path})" for path, line in entries.items())
    return f"# {title}\n\n{text}\n\n{lines}\n\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"


def lists(course: list[Chapter]) -> dict[str, str]:
    """The pages of the exercises, and of the session plans."""
    exercises = {f"exercises/{one.file}": f"{one.number} {one.title}" for one in course}
    plans = {f"notebooks/teach/{one.number}.md": f"{one.number} {one.title}" for one in course}
    return {
        "exercises/index.md": listing(
            "Exercises",
            "The exercises of each notebook, with the cells that judge an answer. Download one, and write your answers "
            "into it; solutions are not on this site.",
            exercises,
        ),
        "notebooks/teach/index.md": listing(
            "Session plans",
            "A plan of 90 minutes for each session: what goes on the board, what to ask, the likeliest wrong answer. A "
            "number in brackets, such as [8], is shown beside its cell once all cells of the notebook were run.",
            {path: line for path, line in plans.items() if (ROOT / path).exists()},
        ),
    }


def api_pages() -> dict[str, str]:
    """The package, module by module."""
    pages = {}
    listed = []
    for heading, modules in MODULES.items():
        listed.append(f"\n## {heading}\n")
        for module in modules:
            pages[f"api/{module}.md"] = f"# vaelib.{module}\n\n```{{eval-rst}}\n.. automodule:: vaelib.{module}\n```\n"
            listed.append(f"- [vaelib.{module}]({module}.md)")
    toc = "\n".join(Path(path).stem for path in pages)
    pages["api/index.md"] = "\n".join(["# The package", *listed, "", "```{toctree}", ":hidden:", "", toc, "```", ""])
    return pages


# What the theme writes -> the same with the names that a screen reader needs.
NAMED = {
    '<summary><span class="toctree-toggle"': '<summary aria-label="Pages below"><span class="toctree-toggle"',
    'title="Search" aria-label="Search"': 'title="Search"',  # the name is what is seen, Search Ctrl+K
    '<summary aria-label="Toggle hidden content">': "<summary>",  # the name is what is seen, Show code
    '<div class="sidebar-primary-items__start': '<div role="navigation" aria-label="Course" '
    'class="sidebar-primary-items__start',
}


# What the theme brings along and the pages do without: its style sheet draws the icons, too, from one font.
UNUSED = (
    "_sources",
    "_static/locales",
    "_static/images",
    "_static/**/*.map",
    "_static/scripts/fontawesome*",
    "_static/vendor/*/*/fa-[br]*",
)


def named(html: str) -> str:
    """A page of the theme, with every part named as it looks, and without the script for 2,000 icons."""
    for before, after in NAMED.items():
        html = html.replace(before, after)
    html = re.sub(r"<title>(.+?) (?:&#8212;|—) \1</title>", r"<title>\1</title>", html)  # of the first page
    return re.sub(r'<script defer src="[^"]*/fontawesome\.js[^"]*"></script>\n', "", html)


def build(folder: Path, settings: Settings) -> int:
    """Makes the whole site; the exit status of Sphinx."""
    pages, html = folder / "pages", folder / "html"
    collect(pages, settings)
    shutil.rmtree(html, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(folder / "trees")]
    status = subprocess.run([*command, str(pages), str(html)], check=False).returncode
    for path in html.rglob("*.html"):
        path.write_text(named(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in {path for pattern in UNUSED for path in html.glob(pattern)}:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if settings.pyodide:
        lite.build(folder / "lite", html / "lite", settings)
    return status


def main() -> int:
    started = time.monotonic()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    status = build(folder, Settings.read())
    if status == 0:
        size = sum(file.stat().st_size for file in (folder / "html").rglob("*") if file.is_file())
        print(f"{folder / 'html' / 'index.html'}: {size / 1e6:.0f} MB, {time.monotonic() - started:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
