"""What a training set costs that stays on disk: images per second beside the same images in memory.

python benchmarks/streaming.py [--rounds 9] [--threads 1] [--rows 200000]

Both take their turns in one process, round after round; a turn is as many steps as a window has minibatches, so that
each turn of the streamed run reads one window. The file is written just before, and lies in the system's cache.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import _record
import numpy as np
import torch
from training import summary

from vaelib.data import load
from vaelib.train import TrainConfig, TrainState, init
from vaelib.train.engine import Run, runner, take
from vaelib.train.surroundings import ordinary

PIXELS, BATCH = 784, 128
SEED = 0


def write(path: Path, rows: int) -> None:
    """Grey images with the ink of digits, as far as speed is concerned."""
    rng = np.random.default_rng(SEED)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (rows, PIXELS))
    for part in np.array_split(array, -(-rows // 10_000)):
        part[:] = rng.integers(0, 256, part.shape) * (rng.random(part.shape) < 0.2)
    array.flush()


def state_of(path: Path, stream: bool) -> TrainState:
    data = load(str(path), stream)
    return init(
        TrainConfig(
            data=data.name,
            binarization="dynamic",
            hidden=(400,),
            latent_dim=20,
            layer_norm=False,
            batch_size=BATCH,
            learning_rate=1e-3,
            device="cpu",
        ),
        data,
    )


def turn(state: TrainState, run: Run, steps: int) -> float:
    """Images per second over so many steps."""
    started, seen = time.perf_counter(), 0
    for _ in range(steps):
        seen += min(BATCH, state.examples - state.position * BATCH)
        take(state, run)
        if state.position == state.batches:
            state.epoch, state.position = state.epoch + 1, 0
    return seen / (time.perf_counter() - started)


@ordinary()
def main() -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=200_000)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        write(path, asked.rows)
        states = {name: state_of(path, name == "streamed") for name in ("in memory", "streamed")}
        runs = {name: runner(state) for name, state in states.items()}
        window = states["streamed"].window
        assert window is not None
        steps = len(window.rows) // BATCH
        speeds: dict[str, list[float]] = {name: [] for name in states}
        for number in range(asked.rounds + 1):
            for name in list(states)[:: 1 if number % 2 else -1]:
                speed = turn(states[name], runs[name], steps)
                if number:  # the first round warms up
                    speeds[name].append(speed)
    rows: list[dict[str, Any]] = [
        {"row": name, "images_per_second": summary(np.array(speed))} for name, speed in speeds.items()
    ]
    ratio = np.array(speeds["streamed"]) / np.array(speeds["in memory"])
    rows.append({"row": "streamed / in memory", "ratio": summary(ratio)})
    for row in rows:
        print(row)
    _record.record(
        "streaming", rows, asked.record, rounds=asked.rounds, threads=asked.threads, images=asked.rows, seed=SEED,
        steps_in_a_turn=steps,
    )  # fmt: skip


if __name__ == "__main__":
    main()
