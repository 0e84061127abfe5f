"""The letters at the beginning of notebooks 00 and 01: drawn as said there, small, and shown where they lie."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import letters
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from vaelib.vae import VAE

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SIDE = 4


@pytest.fixture(scope="module")
def model() -> VAE:
    return VAE(SIDE**2, 2, (8,), rng=torch.Generator().manual_seed(0))


def test_invented_images_are_the_decoded_means_of_the_first_draws(model: VAE) -> None:
    z = torch.randn((5, 2), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = torch.sigmoid(model.decode(z).logits).numpy()
    assert np.allclose(letters.invented(model, 5, seed=3), expected, atol=1e-6)


def test_two_ways_begin_and_end_with_the_images_and_differ_between(model: VAE) -> None:
    rng = np.random.default_rng(0)
    first, last = rng.random((1, SIDE**2)), rng.random((1, SIDE**2))
    fade, way = np.split(letters.two_ways(model, first, last, steps=5), 2)
    assert np.allclose(fade[[0, -1]], np.concatenate([first, last])) and np.allclose(fade[2], (first[0] + last[0]) / 2)
    with torch.no_grad():
        ends = [model.decode(model.encode(end[0]).loc).mean.numpy() for end in (first, last)]
    assert np.allclose(way[[0, -1]], ends, atol=1e-6)
    assert not np.allclose(way[2], fade[2], atol=1e-2)


def test_sheet_shows_the_images_row_by_row_dark_on_light() -> None:
    ink = np.zeros((3, 16))
    ink[1] = 1
    content = letters.sheet(ink, (4, 4), columns=2, scale=2, gap=2)
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    assert picture.shape == (20, 20)
    assert picture[:8, 10:18].max() < 20  # the second is black
    assert min(picture[:8, :8].min(), picture[10:18, :8].min(), picture[10:, 10:].min()) > 235  # the others are paper


def book(folder: Path, text: str) -> Path:
    path = folder / "00_start.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="hook")]), path)
    return path


def test_attached_picture_is_in_the_cell_that_shows_it(tmp_path: Path) -> None:
    path = book(tmp_path, "![two letters](attachment:two.png)")
    letters.attach(path, "hook", "two.png", b"png")
    (cell,) = nbformat.read(path, as_version=4).cells
    assert base64.b64decode(cell.attachments["two.png"]["image/png"]) == b"png"


def test_picture_that_no_cell_shows_or_that_is_too_heavy_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = book(tmp_path, "![two letters](attachment:two.png)")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"attachment:three\.png"):
        letters.attach(path, "hook", "three.png", b"png")
    with pytest.raises(ValueError, match="60000 bytes at most, but they take 60001"):
        letters.attach(path, "hook", "two.png", b"x" * 60_001)
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_attachment_is_shown_described_and_small(path: Path) -> None:
    total = 0
    for cell in nbformat.read(path, as_version=4).cells:
        attached = cell.get("attachments", {})
        shown = dict(re.findall(r"!\[([^\]]+)\]\(attachment:([^)]+)\)", cell.source))
        assert set(attached) == set(shown.values()), cell.id
        assert all(len(words.split()) >= 6 for words in shown), f"{cell.id}: say what the picture shows"
        for picture in attached.values():
            content = base64.b64decode(picture["image/png"])
            Image.open(io.BytesIO(content)).verify()
            total += len(content)
    assert total <= letters.MOST
    assert (total > 0) == (path.name[:2] in ("00", "01"))
