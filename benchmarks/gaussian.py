"""A Gaussian decoder on the grey digits: is the learned variance its optimum, and how many bits does a pixel cost?

python benchmarks/gaussian.py [--epochs 200] [--seeds 3]
"""

from __future__ import annotations

from typing import Any

import _record
import torch

from vaelib.data import dequantize_once, load
from vaelib.evaluate import evaluate, held_out_pixels, optimal_variance
from vaelib.train import TrainConfig, fit

SAMPLES = 1000


def measure(seed: int, epochs: int) -> dict[str, Any]:
    data = load("digits")
    config = TrainConfig(
        decoder="gaussian", binarization="dequantized", epochs=epochs, schedule="cosine", seed=seed, device="cpu"
    )
    state = fit(config, data)
    best = optimal_variance(state.model, torch.tensor(dequantize_once(data, data.train)), samples=20)
    test = held_out_pixels(data, "dequantized")
    levels = int(data.white) + 1
    result = evaluate(state.model, test, importance_samples=SAMPLES, treatment="dequantized", levels=levels)
    bits = result.bits_per_dimension
    assert bits is not None
    return {
        "seed": seed,
        "learned_variance": float(state.model.decoder.scale.detach()) ** 2,
        "optimal_variance": best.value,
        "nll_nats": result.nll.value,  # a density of pixels in [0, 1]: it may be negative
        "nll_standard_error": result.nll.error,
        "bits_per_pixel": bits.value,
        "bits_standard_error": bits.error,
        "active_units": result.active_units,
    }


def main() -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    rows = []
    for seed in range(asked.seeds):
        rows.append(measure(seed, asked.epochs))
        print("  ".join(f"{key} {value:.5g}" for key, value in rows[-1].items()), flush=True)
        _record.record("gaussian", rows, asked.record, epochs=asked.epochs, data="digits", importance_samples=SAMPLES)


if __name__ == "__main__":
    main()
