"""Patches of photographs in colour: bits per dimension of two decoders, beside what needs no latents.

    python benchmarks/colour.py [--epochs 5] [--seeds 3]

The test patches lie side by side in a part of the photographs that training never saw: standard errors are over them.
All rows bound the same thing, -log2 of the probability of a patch's bytes, divided by their number. Runs are kept in
--out, and the same command goes on from there after it was stopped.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import _record
import numpy as np

from vaelib.data import Data, dequantize_once, load
from vaelib.estimate import Estimate
from vaelib.evaluate import bits_per_dimension, evaluate, held_out_pixels, mean
from vaelib.train import TrainConfig, checkpoint, fit

SAMPLES = 200  # of z; more bring less than 0.001 bits
NETWORK: dict[str, Any] = {
    "network": "conv",
    "hidden": (16, 32),
    "latent_dim": 128,
    "layer_norm": False,
    "batch_size": 32,
}
DECODERS = {"discretized-logistic": "none", "gaussian": "dequantized"}  # and how the pixels are treated


def independent(data: Data) -> Estimate:
    """Each number by itself: how often it has which of 256 values in the training set, each counted once more."""
    counts = np.stack([(data.train == v).sum(0) for v in range(256)], 1) + 1.0  # (pixels, 256)
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    return bits_per_dimension(mean(-log_p[np.arange(data.pixels), data.test].sum(1)), data.pixels)


def full_covariance(data: Data, latents: int | None = None) -> Estimate:
    """A Gaussian with the mean and the covariance of the dequantized training set, or pPCA with so many latents.

    Source: Tipping and Bishop 1999, equations (12) to (14), for the maximum likelihood of pPCA.
    """
    train, test = (dequantize_once(data, part).astype(np.float64) for part in (data.train, data.test))
    center = train.mean(0)
    variances, directions = np.linalg.eigh(np.cov(train.T, bias=True))
    if latents is not None:
        variances[:-latents] = variances[:-latents].mean()
    square = ((test - center) @ directions) ** 2 / variances
    nll = 0.5 * (np.log(2.0 * math.pi * variances).sum() + square.sum(1))
    return bits_per_dimension(mean(nll), data.pixels, data.levels)


def trained(data: Data, decoder: str, seed: int, epochs: int, out: Path) -> dict[str, Any]:
    mode = DECODERS[decoder]
    config = TrainConfig(
        data=data.name, decoder=decoder, binarization=mode, epochs=epochs, schedule="cosine", learning_rate=2e-3,
        seed=seed, device="cpu", **NETWORK,
    )  # fmt: skip
    folder = out / f"{decoder}-{seed}"
    model = fit(config, data, out=folder, resume=(folder / checkpoint.CONFIG).is_file()).model
    levels = data.levels if mode == "dequantized" else None
    result = evaluate(
        model, held_out_pixels(data, mode), importance_samples=SAMPLES, treatment=mode, levels=levels, seed=seed
    )
    bits = result.bits_per_dimension
    assert bits is not None
    return {
        **row(decoder, bits),
        "seed": seed,
        "nll_nats": result.nll.value,
        "rate_nats": result.rate.value,
        "active_units": result.active_units,
        "decoder_scale": result.decoder_scale,
    }


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """The table of docs/practitioner.md: bits per dimension, of each seed where there are some."""
    lines = ["| model | bits per dimension | standard error over patches |", "|---|---|---|"]
    for name in dict.fromkeys(row["row"] for row in rows):
        of_it = [row for row in rows if row["row"] == name]
        bits, errors = (
            ", ".join(f"{row[key]:.2f}" for row in of_it) for key in ("bits_per_dimension", "standard_error")
        )
        lines.append(f"| {name} | {bits} | {errors} |")
    return lines


def row(name: str, bits: Estimate) -> dict[str, Any]:
    return {"row": name, "bits_per_dimension": bits.value, "standard_error": float(bits.error)}


def main() -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/colour"), help="where the runs are kept")
    asked = parser.parse_args()
    data, rows = load("patches-rgb"), []

    def keep(found: dict[str, Any]) -> None:
        rows.append(found)
        print("  ".join(f"{key} {value:.5g}" if key != "row" else f"{value:<22}" for key, value in found.items()))
        settings = {**NETWORK, "hidden": list(NETWORK["hidden"]), "epochs": asked.epochs}
        _record.record(
            "colour",
            rows,
            asked.record,
            data=data.name,
            test_patches=len(data.test),
            importance_samples=SAMPLES,
            **settings,
        )

    keep(row("independent", independent(data)))
    keep(row("pPCA", full_covariance(data, NETWORK["latent_dim"])))
    keep(row("full covariance", full_covariance(data)))
    for seed in range(asked.seeds):
        for decoder in DECODERS:
            keep(trained(data, decoder, seed, asked.epochs, asked.out))
    print("", *markdown(rows), sep="\n")


if __name__ == "__main__":
    main()
