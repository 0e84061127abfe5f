"""The site: its pages are made of what the repository holds, every link leads somewhere, every picture has a text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import course_map
import lab
import pages
import pytest
import website
from pages import Settings, Site
from start import Chapter, chapters

from vaelib.ledger import LEDGER

ROOT = Path(__file__).resolve().parent.parent
COURSE = chapters(ROOT)
SHOWN = re.compile(r"https?://")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site") / "pages"
    website.collect(target, Settings())
    return target


def test_every_notebook_exercise_identity_and_guide_has_a_page(collected: Path) -> None:
    for path in (*website.notebooks(), *website.guides(), *(f"ledger/{name}.md" for name in LEDGER)):
        assert (collected / path).stat().st_size > 200, path
    listed = "\n".join(
        path.read_text(encoding="utf-8") for path in collected.rglob("*.md") if "{toctree}" in path.read_text("utf-8")
    )
    for path in [*collected.rglob("*.md"), *collected.rglob("*.ipynb")]:
        name = path.relative_to(collected).with_suffix("")
        if name.parts[0] != "files" and str(name) not in ("index",):
            assert re.search(rf"^/?({name}|{name.name})$", listed, re.MULTILINE), f"{name} is in no list of pages"


def test_address_of_python_brings_the_page_that_checks(collected: Path, tmp_path: Path) -> None:
    """One setting: without it there is no such page, and nothing names it."""
    assert not (collected / "check.md").exists() and not (collected / "_static" / "course.zip").exists()
    bare = (collected / "index.md").read_text(encoding="utf-8")
    assert "\ncheck\n" not in bare and "check.md" not in bare and "@" not in bare
    website.collect(tmp_path / "pages", IN_BROWSER)
    assert f'data-pyodide="{IN_BROWSER.pyodide}"' in (tmp_path / "pages" / "check.md").read_text(encoding="utf-8")
    welcome = (tmp_path / "pages" / "index.md").read_text(encoding="utf-8")
    assert "\ncheck\n" in welcome and "(/check.md)" in welcome  # in the list of pages, and where one begins
    assert (tmp_path / "pages" / "_static" / "course.zip").stat().st_size > 100_000
    notebook = (tmp_path / "pages" / "notebooks" / "05_elbo.ipynb").read_text(encoding="utf-8")
    assert "lite/lab/index.html?path=notebooks/05_elbo.ipynb" in notebook


def test_no_page_holds_a_solution(collected: Path) -> None:
    assert not list(collected.rglob("exercises/source")) and not list(collected.rglob("mistakes"))
    for path in (collected / "exercises").glob("*.ipynb"):
        assert "### BEGIN SOLUTION" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", website.notebooks())
def test_every_picture_has_a_text(path: str, tmp_path: Path) -> None:
    shown = json.loads(Site([], Settings(), tmp_path).notebook(path))
    for cell in shown["cells"]:
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            text = cell["metadata"]["mystnb"]["image"]["alt"]
            assert len(text) > 12 and not text.startswith("#"), (path, cell["id"], text)


def test_picture_without_a_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"cell_type": "code", "id": "bare", "metadata": {}, "source": "draw()"}
    cell["outputs"] = [{"data": {"image/png": ""}}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"cell bare of a\.ipynb to begin with a comment"):
        Site([], Settings(), tmp_path).notebook("a.ipynb")


def test_attached_picture_becomes_a_file_beside_the_page(tmp_path: Path) -> None:
    shown = Site([], Settings(), tmp_path).notebook("notebooks/00_start.ipynb")
    assert "](00_start-letters.png)" in shown and "attachment" not in shown
    assert (tmp_path / "notebooks" / "00_start-letters.png").read_bytes().startswith(b"\x89PNG")


ADDRESS = Settings(repository="https://github.com/owner/name", branch="main")
IN_BROWSER = replace(ADDRESS, pyodide="https://example.org/pyodide/")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[05](../notebooks/05_elbo.ipynb)", "[05](/notebooks/05_elbo.ipynb)"),
        ("[05](../notebooks/05_elbo.ipynb#cell-id=f1)", "[05](#cell-05-f1)"),
        ("[`f1`](../notebooks/05_elbo.ipynb#cell-id=f1) [2]", "[`f1`](#cell-05-f1) [2]"),
        ("[student.md](student.md)", "[For students](/docs/student.md)"),  # a page has no name of a file
        ("[05_elbo.ipynb](../notebooks/05_elbo.ipynb)", "[05 The ELBO, four ways](/notebooks/05_elbo.ipynb)"),
        ("[all](../exercises)", "[all](/exercises/index.md)"),
        ("[s](student.md#install-and-begin)", "[s](/docs/student.md#install-and-begin)"),
        ("[MIT](../LICENSE)", "[MIT](https://github.com/owner/name/blob/main/LICENSE)"),
        ("[out](https://pytorch.org)", "[out](https://pytorch.org)"),
        ("`[a](../LICENSE)`", "`[a](../LICENSE)`"),
        ("```\nf[x](student.md)\n```", "```\nf[x](student.md)\n```"),
        ("[gone](nowhere.md)", "[gone](nowhere.md)"),  # left to Sphinx, which warns
    ],
)
def test_links_between_files_become_links_between_pages(text: str, shown: str, tmp_path: Path) -> None:
    known = ["notebooks/05_elbo.ipynb", "exercises/index.md", "docs/student.md"]
    assert Site(known, ADDRESS, tmp_path).relinked(text, "docs/teacher.md") == shown


def test_what_has_no_page_is_plain_text_as_long_as_the_repository_has_no_address(tmp_path: Path) -> None:
    assert (
        Site([], Settings(), tmp_path).relinked("[MIT](../LICENSE)", "docs/student.md").startswith("MIT (in the folder")
    )


def test_links_to_open_a_notebook_come_from_one_setting(tmp_path: Path) -> None:
    path = "notebooks/05_elbo.ipynb"
    assert "lite/" not in Site([], ADDRESS, tmp_path).launch(path)
    bare = Site([], Settings(), tmp_path).launch(path)
    assert "{download}" in bare and not SHOWN.search(bare)
    row = Site([], IN_BROWSER, tmp_path).launch(path)
    for part in (
        "https://colab.research.google.com/github/owner/name/blob/main/notebooks/05_elbo.ipynb",
        "https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/work/notebooks/05_elbo.ipynb",
        'pip install -q "vaelib[notebooks] @ git+https://github.com/owner/name"',
        "https://codespaces.new/owner/name",
        "../lite/lab/index.html?path=notebooks/05_elbo.ipynb",
    ):
        assert part in row
    assert "lite/" not in Site([], IN_BROWSER, tmp_path).launch("notebooks/09_vae.ipynb")  # it needs PyTorch


def test_addresses_are_written_in_the_settings_alone() -> None:
    assert replace(ADDRESS, repository="https://github.com/owner/name/").name == "owner/name"
    for name in ("index.md", "course.css"):
        assert not SHOWN.search((ROOT / "site" / name).read_text(encoding="utf-8"))


def test_what_the_theme_leaves_without_a_name_gets_one() -> None:
    bare = '<div class="sidebar-primary-items__start x"><summary><span class="toctree-toggle"></span></summary></div>'
    assert website.named(bare).count("aria-label") == 2
    assert website.named("<title>A — A</title>") == "<title>A</title>"
    assert website.named("<title>B — A</title>") == "<title>B — A</title>"
    assert "aria-label" not in website.named('<button title="Search" aria-label="Search">Search Ctrl+K</button>')


def test_map_shows_every_notebook_and_what_it_builds_on() -> None:
    drawn = course_map.picture(COURSE)
    assert drawn.count("<rect") == len(COURSE) and "<title" in drawn and "<desc" in drawn
    rows = course_map.depths(COURSE)
    for one in COURSE:
        assert all(rows[number] < rows[one.number] for number in one.after)
        assert f'href="notebooks/{Path(one.file).stem}.html"' in drawn
    assert drawn.count('class="arrow"') == len(course_map.needs(COURSE))
    boxes = list(course_map.places(COURSE).values())
    assert len(set(boxes)) == len(boxes)


def test_map_leaves_out_an_arrow_that_follows_from_others() -> None:
    def one(number: str, *after: str) -> Chapter:
        return Chapter(number, "", "", "", "", "", after)

    assert course_map.needs([one("00"), one("01", "00"), one("02", "00", "01")]) == [("00", "01"), ("01", "02")]


# ------------------------------------------------------------------------------------------------ the site as built


class Page(HTMLParser):
    """What a page refers to, and what can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.without_text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.ids |= {said["id"]} if "id" in said else set()
        if tag in ("a", "link") and "href" in said:
            (self.links if tag == "a" else self.loaded).append(said["href"])
        if tag in ("img", "script", "iframe", "source") and "src" in said:
            self.loaded.append(said["src"])
        if tag == "img" and not said.get("alt"):
            self.without_text.append(said.get("src", "?"))


def faults(html: Path) -> Iterator[str]:
    """Links that lead nowhere, pictures without a text, and what is loaded from a network."""
    read = {
        path: Page(path.read_text(encoding="utf-8")) for path in html.rglob("*.html") if "_static" not in path.parts
    }
    for path, page in read.items():
        name = path.relative_to(html)
        yield from (f"{name}: the picture {picture[:40]} has no text" for picture in page.without_text)
        for target in page.links + page.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    yield f"{name}: loads {target}"
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not place.exists():
                yield f"{name}: {target} leads nowhere"
            elif parts.fragment and place in read and unquote(parts.fragment) not in read[place].ids | {""}:
                yield f"{name}: {target} names no place on that page"


def test_faults_of_a_page_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="x"><a href="#x">1</a><a href="#y">2</a><a href="b.html">3</a><a href="https://a.b">4</a>'
        '<img src="a.html" alt=""><script src="https://a.b/c.js"></script>',
        encoding="utf-8",
    )
    assert list(faults(tmp_path)) == [
        "a.html: the picture a.html has no text",
        "a.html: #y names no place on that page",
        "a.html: b.html leads nowhere",
        "a.html: loads https://a.b/c.js",
    ]


def tools() -> str | None:
    """A Python that can build the site: this one, or none."""
    return sys.executable if all(find_spec(name) for name in ("sphinx", "myst_nb", "sphinx_book_theme")) else None


@pytest.fixture(scope="module")
def html() -> Path:
    """The site. One that is there already, in build/site/html, is taken if it is newer than all it is made of."""
    built = ROOT / "build" / "site" / "html"
    sources = [*map(ROOT.joinpath, (*website.notebooks(), *website.guides())), *(ROOT / "site").iterdir()]
    sources += [*(ROOT / "vaelib").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    index = built / "index.html"
    if index.exists() and index.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return built
    if tools() is None:
        pytest.skip("needs the site's tools: make site")
    made = subprocess.run([sys.executable, "tools/website.py"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-3000:]  # a warning is an error
    return built


@pytest.mark.long
@pytest.mark.slow
def test_site_is_built_without_a_warning_and_every_link_resolves(html: Path) -> None:
    assert list(faults(html)) == []
    size = sum(path.stat().st_size for path in html.rglob("*") if path.is_file())
    assert size < 25e6, f"{size / 1e6:.1f} MB"


@pytest.mark.long
@pytest.mark.slow
def test_every_cell_that_a_plan_names_is_a_link_that_leads_to_this_cell(html: Path) -> None:
    for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        cells = [cell["id"] for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
        shown = (html / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        places = [shown.find(f'id="{pages.target(f"notebooks/{notebook.name}", cell)}"') for cell in cells]
        assert min(places) > 0 and places == sorted(places), notebook.name  # one place each, in their order
        plan = ROOT / "notebooks" / "teach" / f"{notebook.name[:2]}.md"
        named = re.findall(rf"]\(\.\./{notebook.name}#cell-id=([^)]+)\)", lab.linked(plan))
        page = (html / "notebooks" / "teach" / f"{notebook.name[:2]}.html").read_text(encoding="utf-8")
        linked = re.findall(rf'href="\.\./{notebook.stem}\.html#cell-\d\d-([^"]+)"', page)
        assert len(named) > 10 and sorted(linked) == sorted(name.lower() for name in named)


@pytest.mark.long
@pytest.mark.slow
def test_every_formula_was_set(html: Path) -> None:
    for path in html.rglob("*.html"):
        if path.parent.name == "api":  # docstrings are plain text
            continue
        text = re.sub(
            r"<(pre|code|annotation)\b.*?</\1>|alttext=\"[^\"]*\"", "", path.read_text("utf-8"), flags=re.DOTALL
        )
        assert not re.search(r"\$\$|\\(frac|mathbb|mid|log)\b", text), path.relative_to(html)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BROWSER = ROOT / "tests" / "browser"
KINDS = (
    *("index", "notebooks/05_elbo", "exercises/04_gaussian_kl", "exercises/index", "ledger/F2", "ledger/F"),
    *("ledger/index", "ledger/names", "ledger/formulas", "notebooks/teach/glossary", "notebooks/teach/notation"),
    *("notebooks/teach/05", "notebooks/teach/syllabus", "docs/student", "docs/teacher", "docs/practitioner"),
    *("api/kl", "api/index", "search"),
)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(
    CHROMIUM is None or shutil.which("node") is None or not (BROWSER / "node_modules" / "axe-core").exists(),
    reason="needs Chromium, Node.js and `npm ci --prefix tests/browser`",
)
def test_pages_are_accessible_fit_the_screen_and_are_found(html: Path) -> None:
    """axe-core on each kind of page, at 1280 and at 390 pixels, light and dark; nothing is wider than the screen."""
    done = subprocess.run(
        ["node", str(BROWSER / "site.mjs"), str(CHROMIUM), html.as_uri(), *(f"{kind}.html" for kind in KINDS)],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["pages"] == 4 * len(KINDS) and seen["faults"] == []
    assert seen["asked"] == []  # nothing but files was loaded
    assert seen["missing"] == []  # and none of them was not there
    assert any("jensen" in title.lower() for title in seen["found"])
