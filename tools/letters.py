"""The letters that do not exist, at the beginning of notebooks 00 and 01: python tools/letters.py [RUN]

Trains a VAE on the glyphs and keeps the run in the folder RUN (if a run is there, it is taken as it is), lets it draw
letters, and stores them as small pictures in the notebooks: attachments of text cells, which travel with a copy.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vaelib.data import Data
from vaelib.data import load as data
from vaelib.train import TrainConfig, fit, load

ROOT = Path(__file__).resolve().parent.parent
LETTERS, COLUMNS = 42, 14
MOST = 60_000  # bytes of the pictures of a notebook: students work on copies
Images = NDArray[np.float64]  # (n, height, width), ink 1 and paper 0


def trained(run: Path, letters: Data) -> Any:
    """The model of the run in this folder; trained there first if there is none."""
    if not (run / "config.json").exists():
        config = TrainConfig.suited_to(
            letters, hidden=(500, 200), latent_dim=16, epochs=10, learning_rate=2e-3, schedule="cosine"
        )
        fit(config, letters, out=run)
    return load(run)


def invented(model: Any, n: int, seed: int, side: int = 28) -> Images:
    """The means of the pixels, decoded from the first n draws of z from the prior."""
    z = np.random.default_rng(seed).standard_normal((n, model.latent_dim))
    return decoded(model, torch.from_numpy(z).float(), side)


def decoded(model: Any, z: Any, side: int = 28) -> Images:
    """The means of the pixels for each z, shape (n, latent_dim)."""
    with torch.no_grad():
        return np.asarray(model.decode(z).mean, dtype=float).reshape(len(z), side, side)


def walk(model: Any, first: Images, last: Images, steps: int) -> Images:
    """From one image, (1, height, width), to another: above in equal steps of the pixels, below in equal steps of z."""
    share = np.linspace(0, 1, steps)
    with torch.no_grad():
        start, end = (model.encode(torch.from_numpy(image.reshape(1, -1)).float()).loc for image in (first, last))
    z = torch.cat([torch.lerp(start, end, float(t)) for t in share])
    fade = (1 - share[:, None, None]) * first + share[:, None, None] * last
    return np.concatenate([fade, decoded(model, z, first.shape[1])])


def nearest(images: Images, examples: Images) -> NDArray[np.intp]:
    """For each image, the index of the example at the smallest Euclidean distance."""
    flat, known = images.reshape(len(images), -1), examples.reshape(len(examples), -1)
    squares = (known**2).sum(axis=1) - 2 * flat @ known.T
    return np.asarray(squares.argmin(axis=1))


def sheet(images: Images, columns: int = COLUMNS, scale: int = 2, gap: int = 6) -> bytes:
    """The images as a PNG of 16 shades, row by row, ink on paper."""
    n, height, width = images.shape
    high, wide = scale * height + gap, scale * width + gap
    paper = Image.new("L", (columns * wide, -(-n // columns) * high), 255)
    for i, image in enumerate(images):
        shades = Image.fromarray(np.uint8(255 - 255 * np.clip(image, 0, 1)))
        row, column = divmod(i, columns)
        paper.paste(
            shades.resize((scale * width, scale * height), Image.Resampling.BICUBIC), (column * wide, row * high)
        )
    content = io.BytesIO()
    paper.quantize(16).save(content, "PNG", optimize=True)
    return content.getvalue()


def attach(notebook: Path, cell: str, name: str, png: bytes) -> None:
    """Stores a picture in a text cell, which shows it as ![...](attachment:name)."""
    book = nbformat.read(notebook, as_version=4)
    (found,) = [each for each in book.cells if each.id == cell]
    if f"(attachment:{name})" not in found.source:
        raise ValueError(f"Expected the cell {cell} of {notebook.name} to show attachment:{name}, but it does not.")
    found.setdefault("attachments", {})[name] = {"image/png": base64.b64encode(png).decode()}
    size = sum(
        len(base64.b64decode(each["image/png"])) for c in book.cells for each in c.get("attachments", {}).values()
    )
    if size > MOST:
        raise ValueError(
            f"Expected the pictures of {notebook.name} to take {MOST} bytes at most, but they take {size}."
        )
    nbformat.write(book, notebook)


def main(run: Path) -> None:
    letters = data("glyphs")
    model = trained(run, letters)
    examples = np.asarray(letters.intensities(letters.train), dtype=float).reshape(-1, 28, 28)
    start, bayes = ROOT / "notebooks" / "00_start.ipynb", ROOT / "notebooks" / "01_bayes_rule.ipynb"
    attach(start, "letters", "letters.png", sheet(invented(model, LETTERS, seed=0)))
    unseen = np.asarray(letters.intensities(letters.test), dtype=float).reshape(-1, 28, 28)
    attach(start, "walk", "walk.png", sheet(walk(model, unseen[:1], unseen[1:2], COLUMNS)))
    drawn = invented(model, COLUMNS, seed=2)
    attach(bayes, "hook", "nearest.png", sheet(np.concatenate([drawn, examples[nearest(drawn, examples)]])))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "runs" / "letters"))
