"""Draw the gallery of the README from a trained run: invented images, ways between test images, walks along latents.

    .venv/bin/vaelib train --data glyphs
    .venv/bin/python tools/gallery.py [RUN [FILE]]

RUN is by default runs/glyphs, FILE docs/gallery.png. Nothing is picked by eye: the first samples of a fixed seed, the
first test images, the latents that tell most.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from vaelib import explore, plots
from vaelib.data import Data, load
from vaelib.evaluate import held_out_pixels
from vaelib.train import checkpoint
from vaelib.train import load as load_model
from vaelib.vae import VAE

ROOT = Path(__file__).resolve().parent.parent
ROWS, COLUMNS = 6, 12
WAYS = 6
STEPS = 9


def figure(model: VAE, data: Data, mode: str) -> Figure:
    """Three grids side by side, six rows each."""
    pixels = held_out_pixels(data, mode)
    z = model.prior.sample(ROWS * COLUMNS, rng=torch.Generator(model.device).manual_seed(0))
    invented = model.decode(z).mean.detach().cpu().numpy()
    ends = pixels[: 2 * WAYS]
    ways = explore.between(model, ends[:WAYS], ends[WAYS:], STEPS)
    latents = explore.most_active(model, pixels[:1000], ROWS)
    walks = explore.walk(model, pixels[2 * WAYS], latents, np.linspace(-2.5, 2.5, STEPS))
    with plots.plain():
        drawn = plots.figure(12.0, 2.9)
        grids = drawn.subplots(1, 3, width_ratios=(COLUMNS, STEPS, STEPS))
        for ax, images, columns, title in zip(
            grids,
            (invented, ways.reshape(len(ends) // 2 * STEPS, -1), walks.reshape(len(latents) * STEPS, -1)),
            (COLUMNS, STEPS, STEPS),
            ("invented", "from one image to another", "along one latent each"),
            strict=True,
        ):
            plots.image_grid(ax, images, data.image_shape, columns).set_title(title, loc="left", fontsize=11)
    return drawn


def save(run: Path, file: Path) -> Path:
    """Write the gallery of that run; returns its path."""
    stored = checkpoint.read_config(run)
    data = load(stored["data"])
    checkpoint.require_same_data(run, data.name, data.fingerprint(), stored)
    drawn = figure(load_model(run, "cpu"), data, checkpoint.treatment(run, stored))
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "wb") as stream:
        plots.save(stream, drawn)
    return file


if __name__ == "__main__":
    run = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "glyphs"
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "gallery.png"
    print(save(run, file))
