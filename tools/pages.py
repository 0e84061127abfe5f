"""Pages of the site that are written elsewhere: notebooks, exercises, guides. They get links, and texts for pictures.

Pages keep the places that their files have in the repository, so that most links lead where they should.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
import shutil
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Code, which stays as it is, or a link; the text of a link may be code.
LINK = re.compile(
    r"^ *```.*?^ *```|`[^`\n]+`|(?<!!)\[(?P<label>[^\[\]]*)\]\((?P<to>[^()\s:]+)\)", re.MULTILINE | re.DOTALL
)
FOLDERS = {"notebooks": "index.md", "exercises": "exercises/index.md", "notebooks/teach": "notebooks/teach/index.md"}
FILES = {".svg", ".pdf"}  # handed out with the page that links to them
WITHOUT_TORCH = ("00", "01", "02", "03", "04", "05", "06", "08")  # these run in a browser


@dataclass(frozen=True)
class Settings:
    """What site/settings.toml says: addresses, and nothing else."""

    repository: str = ""
    branch: str = "main"
    pyodide: str = ""

    @classmethod
    def read(cls) -> Settings:
        return cls(**tomllib.loads((ROOT / "site" / "settings.toml").read_text(encoding="utf-8")))

    @property
    def name(self) -> str:
        """OWNER/NAME, as Colab and Binder want it."""
        return "/".join(self.repository.rstrip("/").split("/")[-2:])


@dataclass(frozen=True)
class Site:
    """What there is to link to. `pages` are paths in the repository, such as docs/student.md."""

    pages: Collection[str]
    settings: Settings
    target: Path  # the folder of the pages

    def relinked(self, text: str, page: str) -> str:
        """The text of a page with its links between files made links of the site.

        What is a file of the repository and no page of the site becomes a link to the repository, or plain text.
        """
        return LINK.sub(lambda found: found[0] if found["to"] is None else self._link(found, page), text)

    def _link(self, found: re.Match[str], page: str) -> str:
        label = found["label"]
        path, mark, anchor = found["to"].partition("#")
        if not path or path.startswith("/"):
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        place = FOLDERS.get(place, place)
        if label.endswith((".md", ".ipynb")) and place.endswith(label) and (ROOT / place).is_file():
            label = title(ROOT / place)
        if place in self.pages and anchor.startswith("cell-id="):  # JupyterLab's way to name a cell
            return f"[{label}](#{target(place, anchor.removeprefix('cell-id='))})"
        if place in self.pages:
            return f"[{label}](/{place}{mark}{anchor})"
        if not (ROOT / place).exists() or place.startswith(".."):
            return found[0]
        if (ROOT / place).suffix in FILES:
            (self.target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / place, self.target / place)
            return f"[{label}](/{place})"
        if self.settings.repository:
            return f"[{label}]({self.settings.repository.rstrip('/')}/blob/{self.settings.branch}/{place})"
        return f"{label} (in the folder of the course)"

    def notebook(self, path: str) -> str:
        """A notebook as the site shows it: folded code stays folded, one title a page, a text for each picture.

        Each cell can be linked to, by its id.

        Raises:
            ValueError: a cell draws a picture, and does not begin with a comment that says what is to be seen.
        """
        content = json.loads((ROOT / path).read_text(encoding="utf-8"))
        titled = False
        shown: list[dict[str, Any]] = []
        for cell in content["cells"]:
            metadata = cell["metadata"]
            here = f"({target(path, cell['id'])})=\n"
            if cell["cell_type"] == "markdown":
                source = "".join(cell["source"])
                if titled:
                    source = re.sub(r"^# ", "## ", source, flags=re.MULTILINE)
                elif source.startswith("# "):
                    titled = True
                    source += f"\n\n{self.launch(path)}"
                cell["source"] = here + self.relinked(self._unpacked(source, cell, path), path)
            else:
                shown.append({"cell_type": "markdown", "id": f"at-{len(shown)}", "metadata": {}, "source": here})
            if cell["cell_type"] == "code" and metadata.get("jupyter", {}).get("source_hidden"):
                metadata["tags"] = [*metadata.get("tags", []), "hide-input"]
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
                metadata["mystnb"] = {"image": {"alt": seen(path, cell)}}
            shown.append(cell)
        return json.dumps(content | {"cells": shown})

    def _unpacked(self, source: str, cell: dict[str, Any], path: str) -> str:
        """The text of a cell with its attached pictures as files beside the page."""
        for name, data in cell.pop("attachments", {}).items():
            file = f"{Path(path).stem}-{name}"
            place = self.target / posixpath.dirname(path) / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(base64.b64decode(data["image/png"]))
            source = source.replace(f"(attachment:{name})", f"({file})")
        return source

    def launch(self, path: str) -> str:
        """Where a notebook can be opened: a row of links below its title."""
        links = [f"{{download}}`Download </files/{path}>`"]
        if self.settings.repository:
            name, branch = self.settings.name, self.settings.branch
            links += [
                f"[Colab](https://colab.research.google.com/github/{name}/blob/{branch}/{path})",
                f"[Binder](https://mybinder.org/v2/gh/{name}/{branch}?urlpath=lab/tree/work/{path})",
                f"[Codespaces](https://codespaces.new/{name})",
            ]
        if self.settings.pyodide and Path(path).name[:2] in WITHOUT_TORCH:
            up = "../" * path.count("/")
            links.append(f'<a href="{up}lite/lab/index.html?path={path}">In the browser</a>')
        row = "{.launch}\nThis notebook: " + " · ".join(links)
        if self.settings.repository:
            install = f'%pip install -q "vaelib[notebooks] @ git+{self.settings.repository}"'
            row += f"\n\n{{.launch}}\nIn Colab, run `{install}` first."
        return row


def title(path: Path) -> str:
    """What a page is called: its first heading."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "".join(json.loads(text)["cells"][0]["source"])
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1] if found else path.name


def target(path: str, cell: str) -> str:
    """The name of a cell on the whole site, which is also its place on the page of its notebook.

    >>> target("notebooks/05_elbo.ipynb", "f1-check"), target("exercises/05_elbo.ipynb", "setup")
    ('cell-05-f1-check', 'cell-exercises-05-setup')
    """
    folder, _, name = path.rpartition("/")
    return f"cell-{'' if folder == 'notebooks' else f'{folder}-'}{name[:2]}-{cell}".lower()


def seen(path: str, cell: dict[str, Any]) -> str:
    """What the picture of a cell shows, as its first line says."""
    first, *_ = "".join(cell["source"]).splitlines()
    if not first.startswith("# "):
        raise ValueError(
            f"Expected the cell {cell['id']} of {Path(path).name} to begin with a comment that says what its picture "
            f"shows, but got {first!r}."
        )
    return re.sub(r"^# (Picture: )?", "", first).strip()
