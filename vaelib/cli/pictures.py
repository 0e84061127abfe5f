"""The pictures of a run: what the model rebuilds and invents, ways through its latents, the curves."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib import explore
from vaelib.data import Data
from vaelib.evaluate import held_out_pixels
from vaelib.plots import runs
from vaelib.train import checkpoint
from vaelib.train.state import as_judged
from vaelib.train.surroundings import ordinary
from vaelib.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
SHOWS = {  # file -> what is seen in it
    "reconstructions.png": "test images, and what the model makes of them",
    "samples.png": "images that the model invents",
    "nearest.png": "samples beside their nearest training images",
    "ways.png": "from one test image to another, through the latents",
    "walks.png": "what happens if a single latent changes",
    "latent.png": "where the encoder puts the test images",
    "curves.png": "the bound and its two terms, epoch by epoch",
}
SHOWN = 12  # test examples that are reconstructed
ROWS, COLUMNS = 6, 12  # of samples
WAYS, STEPS = 5, 10  # from one image to another
WALKED = 6  # latents, at most
VALUES = np.linspace(-2.5, 2.5, 11)  # of a latent; under the prior, 99 % lie between
POINTS = 1000  # test examples in the latent plane, at most: more would hide each other
COMPARED = 500  # test images whose nearest training images say what is usual
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
    """Draw all of them into `folder`; their paths. Nothing is picked by eye: the first test examples of each class."""
    pixels = held_out_pixels(data, mode)
    limits = (0.0, 1.0) if model.decoder.bernoulli else (float(pixels.min()), float(pixels.max()))
    with runs.plain():
        figures = {
            "reconstructions.png": _reconstructions(model, data, pixels, mode, limits),
            "samples.png": _samples(model, data, limits),
            "nearest.png": _nearest(model, data, pixels, mode, limits),
            "ways.png": _ways(model, data, pixels, limits),
            "walks.png": _walks(model, data, pixels, limits),
            "latent.png": _latent(model, data, pixels),
            "curves.png": _curves(data, mode, history),
        }
        for name, figure in figures.items():
            buffer = io.BytesIO()
            runs.save(buffer, figure)
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
    figure = runs.figure(9.0, 0.72 * len(rows) + 0.4)
    ax = runs.reconstructions(figure.subplots(), rows, data.image_shape, limits=limits)
    ax.set_title(
        "Test examples; reconstructed is the mean of p(x | z) at the posterior mean of z", loc="left", fontsize=11
    )
    return figure


def _samples(model: VAE, data: Data, limits: tuple[float, float]) -> Figure:
    figure = runs.figure(7.5, 4.1)
    ax = runs.image_grid(figure.subplots(), _invented(model, ROWS * COLUMNS), data.image_shape, COLUMNS, limits=limits)
    ax.set_title("Samples: z from the prior, the mean of p(x | z)", loc="left", fontsize=11)
    return figure


def _invented(model: VAE, n: int) -> Array:
    """(n, pixels), always the same; the first of many are those of few."""
    z = model.prior.sample(n, rng=torch.Generator(model.device).manual_seed(SEED))
    return model.decode(z).mean.cpu().numpy()


def _nearest(model: VAE, data: Data, pixels: Tensor, mode: str, limits: tuple[float, float]) -> Figure:
    binary = model.decoder.bernoulli
    train = data.intensities(data.train) if binary else as_judged(data, data.train, mode).numpy()
    test = data.intensities(data.test[:COMPARED]) if binary else pixels[:COMPARED].numpy()
    images = _invented(model, ROWS * COLUMNS)[:SHOWN]
    index, distances = explore.nearest(images, train)
    usual = float(np.median(explore.nearest(test, train)[1]))
    figure = runs.figure(9.0, 2.5)
    ax = runs.neighbours(figure.subplots(), images, train[index], distances, data.image_shape, limits=limits)
    seen = "training images" if data.stream is None else f"among {len(train):,} training images"
    ax.set_title(
        f"Samples and their nearest {seen}; a test image is {usual:.1f} from its nearest (median)",
        loc="left",
        fontsize=11,
    )
    return figure


def _ways(model: VAE, data: Data, pixels: Tensor, limits: tuple[float, float]) -> Figure:
    ends = _one_of_each(data)
    rows = min(WAYS, len(ends) // 2) or 1  # a single test image goes to itself
    first, last = ends[: 2 * rows : 2], ends[1 : 2 * rows : 2] or ends[:1]
    images = explore.between(model, pixels[first], pixels[last], STEPS)
    figure = runs.figure(7.5, 0.72 * rows + 0.7)
    ax = runs.ways(figure.subplots(), images, data.image_shape, limits=limits)
    ax.set_title("From one test example to another: mean of p(x | z), z on a straight line", loc="left", fontsize=11)
    return figure


def _walks(model: VAE, data: Data, pixels: Tensor, limits: tuple[float, float]) -> Figure:
    latents = explore.most_active(model, pixels[:POINTS], WALKED)
    images = explore.walk(model, pixels[0], latents, VALUES)
    figure = runs.figure(8.0, 0.72 * len(latents) + 0.9)
    names = [f"z{latent + 1}" for latent in latents]
    ax = runs.walks(figure.subplots(), images, list(VALUES), names, data.image_shape, limits=limits)
    ax.set_title("One latent changes, the others stay as for the first test example", loc="left", fontsize=11)
    return figure


def _latent(model: VAE, data: Data, pixels: Tensor) -> Figure:
    loc = model.encode(pixels).loc.cpu().numpy()
    labels = None if data.test_labels is None else data.test_labels[:POINTS]
    if labels is not None and data.classes:
        labels = np.array(data.classes)[labels]
    figure = runs.figure(6.4, 6.2)
    ax = figure.subplots()
    if loc.shape[1] == 1:
        runs.histogram(ax, loc[:, 0])
        return figure
    first, second = sorted(int(u) for u in np.argsort(-loc.var(0), kind="stable")[:2])
    runs.latent_plane(ax, loc[:POINTS, [first, second]], labels, names=(f"z{first + 1}", f"z{second + 1}"))
    which = "" if loc.shape[1] == 2 else f":\nthe two most active of {loc.shape[1]} latents"
    ax.set_title(f"Where the encoder puts the test examples{which}", loc="left", fontsize=11)
    return figure


def _curves(data: Data, mode: str, history: Sequence[dict[str, Any]]) -> Figure:
    figure = runs.figure(12.0, 3.6)
    runs.curves(figure.subplots(1, 3), history)
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
