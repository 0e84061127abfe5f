"""Run notebooks and store their outputs: python tools/notebooks.py [NOTEBOOK ...], all of notebooks/ if none is named.

Stored are pictures (in 64 shades, which keeps them light), text and Markdown. What would differ from run to run goes:
timings, the state of widgets, and the output of a widget's cell (a view without its state shows as an error; a static
picture is shown beside every slider). A notebook that fails, or writes to stderr, is left as it was.

The cell tagged `picture` draws what people should remember: it is also written, for slides, to teach/pictures/ as SVG
and PDF (`projected.py`), without a date, so that a changed file means a changed picture. `--pictures` runs a notebook
as far as that cell, and stores nothing else. The session plan gets the cells' numbers.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import time
from html import escape
from pathlib import Path

import nbformat
from minutes import write
from nbclient import NotebookClient
from PIL import Image
from plans import update

ROOT = Path(__file__).resolve().parent.parent
FOR_SLIDES = {"image/svg+xml": "svg", "application/pdf": "pdf"}
BEFORE = f"""
%matplotlib inline
import sys
sys.path.insert(0, {str(ROOT / "tools")!r})
import projected
projected.hook()
sys.path.pop(0)
del projected, sys
%config InlineBackend.figure_formats = ["png", "svg", "pdf"]
"""
WIDGET = "application/vnd.jupyter.widget-view+json"


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without all that changes from run to run or from machine to machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        if any(WIDGET in output.get("data", {}) and not still(output) for output in cell.outputs):
            cell.outputs = []
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET, None)
        cell.outputs = merged(cell.outputs)
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = lighter(output.data["image/png"])
    return notebook


def still(output: nbformat.NotebookNode) -> bool:
    """Does what a widget shows come with a version that can be stored, such as the whole chain of `F1.steps()`?"""
    return "text/markdown" in output.get("data", {})


def merged(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Neighboring pieces of one stream as one piece: where the kernel cut them is chance."""
    result: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = result[-1] if result else None
        if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def lighter(png: str) -> str:
    """A picture, in base64, with 64 shades instead of millions."""
    content = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.quantize(64, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def slides(notebook: nbformat.NotebookNode) -> dict[str, bytes]:
    """The picture to remember, {"svg": content, "pdf": content}; takes these formats out of every output."""
    found: dict[str, bytes] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for mime, suffix in FOR_SLIDES.items():
                content = output.get("data", {}).pop(mime, None)
                if content is not None and "picture" in cell.metadata.get("tags", []):
                    found[suffix] = (
                        base64.b64decode(content) if suffix == "pdf" else legible(titled(content, cell)).encode()
                    )
    return found


def titled(svg: str, cell: nbformat.NotebookNode) -> str:
    """The picture with its text for those who do not see it: what the first line of its cell says."""
    text = re.sub(r"^# (Picture: )?", "", cell.source.splitlines()[0]).strip()
    return re.sub(
        r"<svg\b[^>]*>", lambda tag: f'{tag[0][:-1]} role="img">\n <title>{escape(text)}</title>', svg, count=1
    )


def legible(svg: str) -> str:
    """The picture with letters that every font has; matplotlib takes blackboard letters from a font that it alone has.

    Raises:
        ValueError: a letter has a place that is not known here; a slide would show an empty box.
    """
    text = re.sub(r"font-family: 'STIXNonUnicode'\">\ue156", '">\N{MATHEMATICAL DOUBLE-STRUCK CAPITAL E}', svg)
    if odd := re.search("[\ue000-\uf8ff]", text):
        raise ValueError(f"Expected letters that every font has, but got {odd[0]!r}: name it in tools/notebooks.py.")
    return text


def complaints(notebook: nbformat.NotebookNode) -> list[str]:
    """What the cells wrote to stderr, warnings among it."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]


def run(path: Path, pictures_alone: bool = False) -> float:
    """Run one notebook in its own folder and store it, or only its picture for slides; seconds taken."""
    notebook = nbformat.read(path, as_version=4)
    if pictures_alone:
        last = max(i for i, cell in enumerate(notebook.cells) if "picture" in cell.metadata.get("tags", []))
        del notebook.cells[last + 1 :]
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE))
    started = time.monotonic()
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}})
    client.comm_open_handlers.clear()  # it need not act for widgets: their outputs are not stored, and it may hang
    client.execute()
    seconds = time.monotonic() - started
    notebook.cells.pop(0)
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    if written := complaints(notebook):
        sys.exit(f"{path.name}: a cell wrote to stderr, so nothing was stored:\n{written[0]}")
    folder = path.parent / "teach" / "pictures"
    for suffix, content in slides(notebook).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{path.stem}.{suffix}").write_bytes(content)
    if not pictures_alone:
        nbformat.write(clean(notebook), path)
    return seconds


if __name__ == "__main__":
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # of the pictures
    alone = "--pictures" in sys.argv
    named = [Path(name) for name in sys.argv[1:] if not name.startswith("--")]
    for path in named or sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        print(f"{path.name}: {run(path, alone):.1f} s", flush=True)
        if alone:
            continue
        if write(path):
            print(f"{path.name}: minutes of its title updated")
        if update(path):
            print(f"teach/{path.name[:2]}.md: numbers of its cells updated")
