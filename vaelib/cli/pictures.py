"""The four pictures of a run: reconstructions, samples, the latent plane, the curves. Each is written whole or not."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaelib import plots
from vaelib.data import Data
from vaelib.evaluate import held_out_pixels
from vaelib.train import checkpoint
from vaelib.train.surroundings import ordinary
from vaelib.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWS = {  # file -> what is seen in it
    "reconstructions.png": "test images, and what the model makes of them",
    "samples.png": "images that the model invents",
    "latent.png": "where the encoder puts the test images",
    "curves.png": "the bound and its two terms, epoch by epoch",
}
SHOWN = 12  # test examples that are reconstructed
ROWS, COLUMNS = 6, 12  # of samples
POINTS = 1000  # test examples in the latent plane, at most: more would hide each other
SEED = 0
HOW = {
    "dynamic": "binarized: training set at each visit, test set once",
    "fixed": "binarized once",
    "none": "as they are",
    "dequantized": "dequantized: training set at each visit, test set once",
}


@ordinary()
@torch.no_grad()
def draw_run(folder: Path, model: VAE, data: Data, mode: str, history: Sequence[dict[str, Any]]) -> list[Path]:
    """Draw all four into `folder`; their paths. Nothing is picked by eye: the first test examples of each class."""
    pixels = held_out_pixels(data, mode)
    limits = (0.0, 1.0) if model.decoder.bernoulli else (float(pixels.min()), float(pixels.max()))
    with plots.plain():
        figures = {
            "reconstructions.png": _reconstructions(model, data, pixels, mode, limits),
            "samples.png": _samples(model, data, limits),
            "latent.png": _latent(model, data, pixels),
            "curves.png": _curves(data, mode, history),
        }
        for name, figure in figures.items():
            buffer = io.BytesIO()
            plots.save(buffer, figure)
            checkpoint.write(folder / name, buffer.getvalue())
    return [folder / name for name in figures]


def _reconstructions(model: VAE, data: Data, pixels: Tensor, mode: str, limits: tuple[float, float]) -> Figure:
    chosen = _one_of_each(data)
    x = pixels[chosen]
    rows = {"original": x.numpy()}
    if mode != "none":
        treated = "dequantized, x" if mode == "dequantized" else "binarized, x"
        rows = {"original": data.intensities(data.test[chosen]), treated: x.numpy()}
    rows["reconstruction"] = model.decode(model.encode(x).mean).mean.cpu().numpy()
    figure = plots.figure(9.0, 0.72 * len(rows) + 0.4)
    ax = plots.reconstructions(figure.subplots(), rows, data.image_shape, limits=limits)
    ax.set_title(
        "Test examples; reconstructed is the mean of p(x | z) at the posterior mean of z", loc="left", fontsize=11
    )
    return figure


def _samples(model: VAE, data: Data, limits: tuple[float, float]) -> Figure:
    rng = torch.Generator(model.device).manual_seed(SEED)
    z = model.prior.sample(ROWS * COLUMNS, rng=rng)
    images = model.decode(z).mean.cpu().numpy()
    figure = plots.figure(7.5, 4.1)
    ax = plots.image_grid(figure.subplots(), images, data.image_shape, COLUMNS, limits=limits)
    ax.set_title("Samples: z from the prior, the mean of p(x | z)", loc="left", fontsize=11)
    return figure


def _latent(model: VAE, data: Data, pixels: Tensor) -> Figure:
    loc = model.encode(pixels).loc.cpu().numpy()
    labels = None if data.test_labels is None else data.test_labels[:POINTS]
    figure = plots.figure(6.4, 6.2)
    ax = figure.subplots()
    if loc.shape[1] == 1:
        plots.histogram(ax, loc[:, 0])
        return figure
    first, second = sorted(int(u) for u in np.argsort(-loc.var(0), kind="stable")[:2])
    plots.latent_plane(ax, loc[:POINTS, [first, second]], labels, names=(f"z{first + 1}", f"z{second + 1}"))
    which = "" if loc.shape[1] == 2 else f":\nthe two most active of {loc.shape[1]} latents"
    ax.set_title(f"Where the encoder puts the test examples{which}", loc="left", fontsize=11)
    return figure


def _curves(data: Data, mode: str, history: Sequence[dict[str, Any]]) -> Figure:
    figure = plots.figure(12.0, 3.6)
    plots.curves(figure.subplots(1, 3), history)
    figure.suptitle(
        f"{_legible(Path(data.name).name)}; pixels {HOW[mode]}", x=0.01, ha="left", fontsize=11, color="0.35"
    )
    return figure


def _legible(name: str) -> str:
    """A file's name as text to draw: whatever its bytes are where it was read, and no dollar sign begins LaTeX."""
    return os.fsencode(name).decode("utf-8", "replace").replace("$", r"\$")


def _one_of_each(data: Data) -> list[int]:
    """The first test example of each class, then the second, ...; without labels, the first ones."""
    if data.test_labels is None:
        return list(range(min(SHOWN, len(data.test))))
    rank = np.zeros(len(data.test), int)
    for label in np.unique(data.test_labels):
        members = data.test_labels == label
        rank[members] = np.arange(members.sum())
    return [int(i) for i in np.lexsort((data.test_labels, rank))[:SHOWN]]
