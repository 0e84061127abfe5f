"""Attach the letters that do not exist to notebooks 00 and 01, drawn by a trained run.

    .venv/bin/vaelib train --data glyphs
    .venv/bin/python tools/letters.py [RUN]

RUN is by default runs/glyphs. The pictures are attachments of text cells, which travel with a student's copy. Nothing
is picked by eye: the first draws of z from fixed seeds, and the way between the first two test images.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import nbformat
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vaelib import explore
from vaelib.data import load as data
from vaelib.train import load
from vaelib.vae import VAE

ROOT = Path(__file__).resolve().parent.parent
START, BAYES = (ROOT / "notebooks" / name for name in ("00_start.ipynb", "01_bayes_rule.ipynb"))
COLUMNS, ROWS = 14, 3
MOST = 60_000  # bytes of the pictures of a notebook: students work on copies
Images = NDArray[np.floating]  # (n, pixels), ink 1 and paper 0


def invented(model: VAE, n: int, seed: int) -> Images:
    """The means of the pixels, decoded from the first n draws of z from the prior."""
    z = model.prior.sample(n, rng=torch.Generator(model.device).manual_seed(seed))
    return np.asarray(model.decode(z).mean.detach().cpu())


def two_ways(model: VAE, first: Images, last: Images, steps: int = COLUMNS) -> Images:
    """From one image, (1, pixels), to another: in equal steps of the pixels, and then in equal steps of z."""
    share = np.linspace(0, 1, steps)[:, None]
    return np.concatenate([(1 - share) * first + share * last, explore.between(model, first, last, steps)[0]])


def sheet(images: Images, shape: tuple[int, ...], columns: int = COLUMNS, scale: int = 2, gap: int = 6) -> bytes:
    """The images, row by row, as a PNG of 16 shades: ink on paper."""
    (height, width), rows = shape, -(-len(images) // columns)
    high, wide = scale * height + gap, scale * width + gap
    paper = Image.new("L", (columns * wide, rows * high), 255)
    for i, image in enumerate(images):
        shades = Image.fromarray(np.uint8(255 - 255 * np.clip(image.reshape(shape), 0, 1)))
        shades = shades.resize((scale * width, scale * height), Image.Resampling.BICUBIC)
        paper.paste(shades, (i % columns * wide, i // columns * high))
    content = io.BytesIO()
    paper.quantize(16).save(content, "PNG", optimize=True)
    return content.getvalue()


def attach(notebook: Path, cell: str, name: str, png: bytes) -> None:
    """Store a picture in the text cell that shows it as ![...](attachment:name).

    Raises:
        ValueError: the cell does not show it, or the pictures of the notebook would take too much; nothing is written.
    """
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
    letters, model = data("glyphs"), load(run, "cpu")
    shape, known, unseen = letters.image_shape, letters.intensities(letters.train), letters.intensities(letters.test)
    assert shape is not None
    drawn = invented(model, COLUMNS, seed=1)
    attach(START, "letters", "letters.png", sheet(invented(model, ROWS * COLUMNS, seed=0), shape))
    attach(START, "walk", "walk.png", sheet(two_ways(model, unseen[:1], unseen[1:2]), shape))
    attach(BAYES, "hook", "nearest.png", sheet(np.concatenate([drawn, known[explore.nearest(drawn, known)[0]]]), shape))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "glyphs")
