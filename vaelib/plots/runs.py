"""Pictures of images, latents and curves. Functions take `ax`, draw, and return it; arrays come in as NumPy.

Colors are never alone: classes carry their label, curves differ in line style and are named where they end.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_backend = os.environ.get("MPLBACKEND")
try:
    import matplotlib
except ValueError:  # of a backend that it does not know; what is drawn here goes into files, and needs no window
    del os.environ["MPLBACKEND"]
    for _half in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        del sys.modules[_half]
    import matplotlib

    os.environ["MPLBACKEND"] = str(_backend)
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.style import context  # noqa: E402

Array = NDArray[Any]

INK, BLUE, ORANGE = "#222222", "#0072B2", "#D55E00"  # the last two of Okabe and Ito's, dark and light in grey
GAP = 1  # pixels of paper between two images


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window."""
    return Figure(figsize=(width, height), layout="constrained")


def save(file: BinaryIO, drawing: Figure) -> None:
    """Write a PNG; no version of matplotlib in it, so that equal pictures are equal files."""
    drawing.savefig(file, format="png", dpi=120, metadata={"Software": None})


@contextmanager
def plain() -> Iterator[None]:
    """Matplotlib's own looks inside, whatever the process or a matplotlibrc has set: fonts, LaTeX, sizes.

    A letter that its font lacks, in the name of a file, is drawn as a box without a warning.
    """
    with context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


# ---------------------------------------------------------------------------------------------------------- images


def displayable(images: Array, shape: Sequence[int]) -> Array:
    """(n, pixels) -> (n, height, width) or (n, height, width, 3). A vector becomes a square, or one row."""
    axes = tuple(shape)
    if len(axes) == 3 and axes[0] in (1, 3) and axes[2] not in (1, 3):  # channels first
        images = np.moveaxis(images.reshape(-1, *axes), 1, -1)
        axes = (axes[1], axes[2], axes[0])
    if len(axes) == 3 and axes[2] == 1:
        axes = axes[:2]
    if not (len(axes) == 2 or (len(axes) == 3 and axes[2] == 3)):
        pixels = math.prod(axes)
        side = math.isqrt(pixels)
        axes = (side, side) if side * side == pixels else (1, pixels)
    return images.reshape(-1, *axes)


def image_grid(
    ax: Axes, images: Array, shape: Sequence[int], columns: int, *, limits: tuple[float, float] = (0.0, 1.0)
) -> Axes:
    """Images (n, pixels) in rows of `columns`, as ink on paper: `limits` are the values of white and of black."""
    tiles = displayable(np.asarray(images, float), shape)
    low, high = limits
    tiles = np.clip((tiles - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    if tiles.ndim == 3:  # grey; a colour image is not ink on paper
        tiles = 1.0 - tiles
    rows = -(-len(tiles) // columns)
    height, width = tiles.shape[1:3]
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *tiles.shape[3:]), 0.82)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = tile
    ax.imshow(canvas, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    return ax


def reconstructions(
    ax: Axes, rows: dict[str, Array], shape: Sequence[int], *, limits: tuple[float, float] = (0.0, 1.0)
) -> Axes:
    """One row of images for each name in `rows`, the name beside it."""
    columns = len(next(iter(rows.values())))
    image_grid(ax, np.concatenate(list(rows.values())), shape, columns, limits=limits)
    height = displayable(next(iter(rows.values())), shape).shape[1]
    ax.set_yticks([i * (height + GAP) + (height - 1) / 2 for i in range(len(rows))], list(rows))
    ax.tick_params(axis="y", length=0, labelsize=10)
    return ax


def ways(ax: Axes, images: Array, shape: Sequence[int], *, limits: tuple[float, float] = (0.0, 1.0)) -> Axes:
    """One row for each way from one image to another, (n, steps, pixels), as `explore.between` makes them."""
    rows, steps, _ = images.shape
    image_grid(ax, images.reshape(rows * steps, -1), shape, steps, limits=limits)
    _columns(ax, [0, steps - 1], ["from", "to"], images, shape)
    return ax


def walks(
    ax: Axes,
    images: Array,
    values: Sequence[float],
    names: Sequence[str],
    shape: Sequence[int],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Axes:
    """One row for each latent, its name beside it, and the value that it takes below each column.

    Args:
        images: (n, steps, pixels), as `explore.walk` makes them. values: (steps,). names: (n,).
    """
    reconstructions(ax, dict(zip(names, images, strict=True)), shape, limits=limits)
    _columns(ax, range(len(values)), [f"{value:+.1f}" for value in values], images, shape)
    ax.set_xlabel("value of that latent")
    return ax


def neighbours(
    ax: Axes,
    images: Array,
    nearest: Array,
    distances: Array,
    shape: Sequence[int],
    *,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Axes:
    """Images above the training images that are nearest to them, both (n, pixels), with the distances (n,) below."""
    reconstructions(ax, {"sample": images, "nearest": nearest}, shape, limits=limits)
    _columns(ax, range(len(images)), [f"{distance:.1f}" for distance in distances], images[None], shape)
    ax.set_xlabel("distance, root of the summed squared differences")
    return ax


def _columns(ax: Axes, which: Sequence[int], texts: Sequence[str], images: Array, shape: Sequence[int]) -> None:
    """Texts below some columns of a grid of images (rows, columns, pixels)."""
    width = displayable(images[0], shape).shape[2]
    ax.set_xticks([i * (width + GAP) + (width - 1) / 2 for i in which], list(texts))
    ax.tick_params(axis="x", length=0, labelsize=9)


# ---------------------------------------------------------------------------------------------------------- latents


def latent_plane(ax: Axes, loc: Array, labels: Array | None = None, *, names: tuple[str, str] = ("z₁", "z₂")) -> Axes:
    """Posterior means (n, 2). The circle holds 95 % of the prior.

    With labels, each point is written as its class, and the class's name is written once more at its median.
    """
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    radius = math.sqrt(-2.0 * math.log(0.05))
    ax.plot(radius * np.cos(angle), radius * np.sin(angle), color="0.6", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    corner = radius * math.sqrt(0.5)
    ax.annotate("95 % of\nthe prior", (corner, -corner), (6, -4), "data", "offset points", va="top", color="0.4")
    if labels is None:
        ax.scatter(loc[:, 0], loc[:, 1], s=8, color=BLUE, alpha=0.6, linewidths=0)
    else:
        _labelled_points(ax, loc, labels)
    ax.set_xlabel(f"{names[0]}, posterior mean")
    ax.set_ylabel(f"{names[1]}, posterior mean")
    ax.set_aspect("equal", adjustable="datalim")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def histogram(ax: Axes, loc: Array) -> Axes:
    """Posterior means (n,) of a single latent."""
    ax.hist(loc, bins=30, color="0.6", edgecolor=INK)
    ax.set_xlabel("the one latent, posterior mean")
    ax.set_ylabel("test examples")
    return ax


def _labelled_points(ax: Axes, loc: Array, labels: Array) -> None:
    classes = np.unique(labels)
    palette = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, len(classes)))  # dark to light in grey too
    for color, label in zip(palette, classes, strict=True):
        points = loc[labels == label]
        marker = f"${label}$"
        ax.scatter(points[:, 0], points[:, 1], s=26, marker=marker, color=color, alpha=0.75, linewidths=0)
    for color, label in zip(palette, classes, strict=True):
        middle = np.median(loc[labels == label], axis=0)
        box = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": color, "linewidth": 1.6}
        ax.annotate(str(label), middle, ha="center", va="center", fontsize=11, fontweight="bold", color=INK, bbox=box)


# ---------------------------------------------------------------------------------------------------------- curves


def curve(
    ax: Axes,
    epochs: Array,
    train: Array,
    test: Array,
    title: str,
    *,
    validation: Array | None = None,
    best: int | None = None,
) -> Axes:
    """One quantity over the epochs, for training and test examples: faint as recorded, strong as a running mean.

    The y axis leaves out the steep beginning.

    Args:
        validation: the same for the examples that the epoch is chosen by. best: the epoch whose model is kept.
    """
    window = 1 + len(epochs) // 25
    parts = {"train": (train, ORANGE, (0, (5, 1.5))), "test": (test, BLUE, "solid")}
    if validation is not None:
        parts["validation"] = (validation, INK, (0, (1, 1.5)))
    for values, color, style in parts.values():
        if window > 1:
            ax.plot(epochs, values, color=color, linewidth=0.7, alpha=0.3)
        ax.plot(epochs[window - 1 :], running_mean(values, window), color=color, linewidth=1.6, linestyle=style)
    late = np.concatenate([values[len(values) // 20 :] for values, *_ in parts.values()])
    margin = 0.08 * max(float(np.ptp(late)), 1e-3)
    ax.set_ylim(late.min() - margin, late.max() + margin)
    ends = sorted(((float(values[-1]), name, color) for name, (values, color, _) in parts.items()), key=lambda e: e[0])
    for (value, name, color), offset in zip(ends, range(-6 * (len(ends) - 1), 99, 12), strict=False):
        text = f" {name} {value:.2f}"
        how: dict[str, Any] = {"va": "center", "color": color, "annotation_clip": False}
        ax.annotate(text, (epochs[-1], value), (3, offset), "data", "offset points", **how)
    if best is not None:
        ax.axvline(best, color="0.5", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        text, where = f"best: {best} ", (best, 0.02)
        side = "right" if best > (epochs[0] + epochs[-1]) / 2 else "left"
        ax.text(
            *where, text if side == "right" else f" {text}", transform=ax.get_xaxis_transform(), ha=side, color="0.4"
        )
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_xlabel("epoch")
    ax.set_ylabel("nats per example")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def running_mean(values: Array, window: int) -> Array:
    """Mean of each `window` consecutive values, (n,) -> (n - window + 1,)."""
    return np.convolve(values, np.full(window, 1.0 / window), mode="valid")


def curves(axes: Sequence[Axes], history: Sequence[dict[str, Any]]) -> Sequence[Axes]:
    """The ELBO and its two terms over the epochs, from the records of a run.

    Where a validation set was watched, its curve is there, too, and the epoch with its best bound is marked.
    """
    epochs = np.array([record["epoch"] for record in history])
    watched = bool(history) and all("validation_elbo" in record for record in history)
    best = int(epochs[np.argmax([record["validation_elbo"] for record in history])]) if watched else None
    quantities = {"elbo": "ELBO = log-likelihood − KL", "log_likelihood": "log-likelihood", "kl": "KL to the prior"}
    for ax, (name, title) in zip(axes, quantities.items(), strict=True):
        train, test = (np.array([record[f"{part}_{name}"] for record in history]) for part in ("train", "test"))
        validation = np.array([record[f"validation_{name}"] for record in history]) if watched else None
        curve(ax, epochs, train, test, title, validation=validation, best=best)
    return axes


# ----------------------------------------------------------------------------------------------------------- a class


def states(ax: Axes, counts: Mapping[str, Mapping[str, int]]) -> Axes:
    """A bar for each exercise: how many are right, not yet, undecided, not attempted; each part says its number."""
    looks: dict[str, dict[str, Any]] = {
        "right": {"facecolor": BLUE},
        "not yet": {"facecolor": "#F0C9A8", "hatch": "///", "edgecolor": INK},
        "undecided": {"facecolor": "0.8", "hatch": "...", "edgecolor": INK},
        "not attempted": {"facecolor": "white", "edgecolor": INK},
    }
    for row, name in enumerate(counts):
        start = 0
        for state, look in looks.items():
            count = counts[name].get(state, 0)
            if count:
                ax.barh(row, count, 0.7, start, label=state, **look)
                ink = "white" if state == "right" else INK
                box = None if state == "right" else {"facecolor": "white", "edgecolor": "none", "pad": 1}
                ax.text(start + count / 2, row, str(count), ha="center", va="center", color=ink, bbox=box)
                start += count
    ax.set_yticks(range(len(counts)), list(counts))
    ax.invert_yaxis()
    ax.set_xlabel("submissions")
    drawn = {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    order = [state for state in looks if state in drawn]
    ax.legend([drawn[s] for s in order], order, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
