"""What only a GPU can tell: is the captured step the eager one, and how many images a second does it train on?

python benchmarks/gpu.py        (under nine minutes; from the source tree, with nothing installed but PyTorch and SciPy)

With VAELIB_DATA set, it also trains on the real MNIST and bounds its likelihood. The file is written after each row.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import _record
import numpy as np
import torch

from vaelib.data import Data, load
from vaelib.evaluate import evaluate, held_out_pixels
from vaelib.train import TrainConfig, TrainState, fit, init
from vaelib.train.engine import Run, advance, captured, compiled, eager, runner, take
from vaelib.train.loop import precision

SECONDS = 3.0  # of measuring for each row
WARM_UP = 20  # steps
LIMIT = 500.0  # seconds, after which no row is begun
PIXELS = 784
DEVICE = "cuda"


def images(binary: bool = True, n: int = 50_000) -> Data:
    """Bytes of MNIST's shape and brightness."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (n, PIXELS), dtype=np.uint8) * (rng.random(PIXELS) < 0.25)
    train = (grey > 127).astype(np.uint8) if binary else grey.astype(np.uint8)
    return Data("synthetic", train, train[:100], (28, 28), 1.0 if binary else 255.0, default_binarization="dynamic")


def state_of(data: Data, **changes: Any) -> TrainState:
    settings = {"hidden": (400,), "latent_dim": 20, "layer_norm": False, "learning_rate": 1e-3, "epochs": 10**6}
    return init(TrainConfig(**{"data": data.name, "device": DEVICE, **settings, **changes}), data)


# ---------------------------------------------------------------------------------------------------------- equality


def equality() -> Iterator[dict[str, Any]]:
    """Captured against eager after 20 steps with three learning rates and the same noise."""
    data = images(n=1100)  # eight whole minibatches and an odd one
    for name, changes in {
        "elbo": {"binarization": "none"},
        "dynamic binarization": {"data": "grey"},
        "dreg, K = 3": {"objective": "dreg", "importance_samples": 3},
        "compiled": {"compile": True},
    }.items():
        used = images(binary=False, n=1100) if changes.pop("data", None) else data
        finals = []
        for way in ("eager", "captured"):
            state = state_of(used, schedule="cosine", **{**changes, "epochs": 4})
            gradient = compiled(state) if changes.get("compile") and way == "captured" else eager
            run: Run = partial(advance, gradient=gradient)
            run = captured(state, run) if way == "captured" else run
            for _ in range(20):
                take(state, run)
                if state.position == state.batches:
                    state.epoch, state.position = state.epoch + 1, 0
            finals.append([p.detach().clone() for p in state.model.parameters()])
        difference = max(float((a - b).abs().max()) for a, b in zip(*finals, strict=True))
        yield {"row": f"captured against eager: {name}", "largest_difference": difference, "allowed": 1e-5}


# ------------------------------------------------------------------------------------------------------------- speed


def images_per_second(step: Callable[[], None], batch: int) -> tuple[float, float]:
    """Median and interquartile range over rounds of about a tenth of the time."""
    for _ in range(WARM_UP):
        step()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(WARM_UP):
        step()
    torch.cuda.synchronize()
    steps = max(5, int(WARM_UP * SECONDS / 10 / (time.perf_counter() - started)))
    rates = []
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        rates.append(steps * batch / (time.perf_counter() - started))
    low, middle, high = np.percentile(rates, [25, 50, 75])
    return float(middle), float(high - low)


def endless(state: TrainState, run: Run) -> Callable[[], None]:
    """Minibatch after minibatch, epoch after epoch, as `fit` takes them, without its looks and records."""

    def step() -> None:
        if len(state.train) - state.position * len(state.offsets) < len(state.offsets):
            state.epoch, state.position = state.epoch + 1, 0
        take(state, run)

    return step


def plain(data: Data, batch: int) -> Callable[[], None]:
    """The loop that many write: data on the device, binary cross-entropy, Adam as it comes, `.item()` each step."""
    model = state_of(data).model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    train = torch.tensor(data.train, device=DEVICE)

    def step() -> None:
        x = train[torch.randint(len(train), (batch,), device=DEVICE)].float()
        h = model.encoder.body(x)
        loc, log_scale = model.encoder.loc(h), model.encoder.log_scale(h)
        z = loc + log_scale.exp() * torch.randn_like(loc)
        logits = model.decoder.out(model.decoder.body(z))
        reconstruction = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        loss = reconstruction - 0.5 * (1 + 2 * log_scale - loc**2 - (2 * log_scale).exp()).sum()
        optimizer.zero_grad()
        (loss / batch).backward()
        optimizer.step()
        loss.item()

    return step


def speed() -> Iterator[dict[str, Any]]:
    binary, grey = images(), images(binary=False)
    rows: list[tuple[str, int, dict[str, Any], str]] = [
        ("plain loop, .item() each step", 128, {}, "plain"),
        ("eager", 128, {}, "eager"),
        ("captured", 128, {}, "captured"),
        ("captured, dynamic binarization", 128, {"data": "grey"}, "captured"),
        ("captured, compiled", 128, {"compile": True}, "captured"),
        ("captured, TF32", 128, {"tf32": True}, "captured"),
        ("captured, K = 50", 20, {"objective": "iwae", "importance_samples": 50}, "captured"),
        ("captured, convolutional", 128, {"network": "conv", "hidden": (32, 64)}, "captured"),
        ("captured", 1024, {}, "captured"),
        ("eager", 8192, {}, "eager"),
        ("captured", 8192, {}, "captured"),
        ("captured, TF32", 8192, {"tf32": True}, "captured"),
        ("captured, compiled, TF32", 8192, {"tf32": True, "compile": True}, "captured"),
    ]
    for name, batch, changes, way in rows:
        data = grey if changes.get("data") else binary
        settings = {key: value for key, value in changes.items() if key != "data"}
        state = state_of(data, batch_size=batch, **settings)
        with precision(state.config):
            if way == "plain":
                step = plain(data, batch)
            else:
                step = endless(state, runner(state) if way == "captured" else partial(advance, gradient=eager))
            rate, spread = images_per_second(step, batch)
        yield {"row": name, "batch": batch, "images_per_second": rate, "interquartile_range": spread}


# ----------------------------------------------------------------------------------------------------------- a real run


def mnist() -> Iterator[dict[str, Any]]:
    """784-500-20, as in Kingma and Welling 2014: the test ELBO, the bound with 5,000 samples, the seconds."""
    if "VAELIB_DATA" not in os.environ:
        yield {"row": "MNIST", "skipped": "VAELIB_DATA is not set"}
        return
    data = load("mnist")
    started = time.perf_counter()
    state = fit(TrainConfig.suited_to(data, device=DEVICE, epochs=100), data)
    trained = time.perf_counter() - started
    last = state.history[-1]
    yield {"row": "MNIST, 100 epochs", "seconds": trained, "test_elbo": last["test_elbo"], "test_kl": last["test_kl"]}
    started = time.perf_counter()
    result = evaluate(state.model, held_out_pixels(data, state.config.binarization), importance_samples=5000)
    yield {
        "row": "MNIST, 10,000 test images, 5,000 samples each",
        "seconds": time.perf_counter() - started,
        "nll": result.nll.value,
        "standard_error": result.nll.error,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _record.parser(__doc__).parse_args(arguments)
    if not torch.cuda.is_available():
        raise SystemExit("Expected a CUDA device, but PyTorch finds none.")
    started, done = time.perf_counter(), []
    for part in (equality, speed, mnist):
        for row in part():
            done.append(row)
            print(
                "  ".join(
                    f"{key} {value:,.6g}" if isinstance(value, float) else str(value) for key, value in row.items()
                )
            )
            _record.record("gpu", done, asked.record, seconds_a_row=SECONDS)
            if time.perf_counter() - started > LIMIT:
                print("The time is up; these are the rows so far.")
                return


if __name__ == "__main__":
    main()
