"""Faults that are injected on purpose: each must be refused in words, or be survived without a trace.

    python tests/mishaps.py "killed at a random moment" --times 45

A fault is a function that injects it once into the empty folder that it is given, at a place that `rng` draws, and
raises AssertionError if things did not go as they should. The tests inject each a few times, benchmarks/faults.py many
times. Runs are tiny; what is compared after a fault is the whole checkpoint and all metrics but the times, bit for bit.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_run import (
    LEFT,
    PLAIN,
    QUICK,
    STREAMED,
    TWO,
    TWO_STREAMED,
    Way,
    await_epoch,
    begin,
    child,
    config,
    ended,
    grey,
    lasting,
    reference,
    require_equal,
    run,
    running,
    wait,
)

from vaelib import _files
from vaelib.data import Data, DataError, from_file, load
from vaelib.train import NotFinite, RunError, TrainConfig, TrainState, checkpoint, engine, fit, keeping, loop

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
Rng = np.random.Generator


@dataclass(frozen=True)
class Fault:
    """What is injected, and what should come of it."""

    inject: Callable[[Rng, Path], None]
    wanted: str  # "resumed", "refused" or "trained"
    apart: bool = False  # it needs a process of its own: it forks, or sets limits and signals


def inject(name: str, times: int, seed: int = 0, apart: bool | None = None) -> dict[str, Any]:
    """Inject a fault so many times; how often all went as it should, and what else happened, at most five of it."""
    if FAULTS[name].apart if apart is None else apart:
        command = [sys.executable, __file__, name, "--times", str(times), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result | {"said": done.stderr[-3000:]}
    rng, started = np.random.default_rng(seed), time.perf_counter()
    complaints = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(dir=QUICK) as folder:
            try:
                FAULTS[name].inject(rng, Path(folder))
            except Exception as error:
                complaints.append("".join(traceback.format_exception(error)[-3:]))
    return {
        "fault": name,
        "wanted": FAULTS[name].wanted,
        "times": times,
        "as_wanted": times - len(complaints),
        "seconds": round(time.perf_counter() - started, 2),
        "complaints": complaints[:5],
    }


@contextmanager
def refused(kind: type[Exception], message: str) -> Iterator[None]:
    try:
        yield
    except kind as error:
        assert re.search(message, str(error)), f"{message!r} is not in: {error}"
        assert str(error)[0].isupper() and str(error).endswith((".", "?")), f"Not a sentence: {error}"
    else:
        raise AssertionError(f"not refused: {message}")


# ----------------------------------------------------------------------------------------------- a process that dies


def killed(rng: Rng, folder: Path, way: Way = PLAIN) -> None:
    """SIGKILL in a random epoch, before the first and after the last too; then the run goes on.

    Of several processes any, or all: those that are left are asked to end, as torchrun does it.
    """
    every_step, epochs = bool(rng.integers(2)), config().epochs
    whole, seconds = reference(every_step, way)
    numbers = begin(folder / "run", every_step, way=way)
    await_epoch(folder / "run", int(rng.integers(-1, epochs + 1)), lambda: running(numbers[0]))
    time.sleep(rng.uniform(0, seconds / epochs))
    victims = [number for number in numbers if rng.integers(2)] or [numbers[int(rng.integers(len(numbers)))]]
    for number in victims:
        os.kill(number, signal.SIGKILL)
    left = [number for number in numbers if number not in victims]
    time.sleep(0.1 if left else 0.0)
    for number in left:
        os.kill(number, signal.SIGTERM)
    assert all(code in (0, -signal.SIGKILL) for code in ended(victims))
    codes = ended(left)
    assert all(code in (0, LEFT, -signal.SIGTERM) for code in codes), f"ended with {codes}"
    go_on(folder / "run", whole, way)


def killed_while_saving(rng: Rng, folder: Path) -> None:
    """SIGKILL at a random file that is written: half of it there, all of it, or with its new name already."""
    whole, _ = reference()
    where = ("half", "written", "renamed")[rng.integers(3)]
    countdown, share = int(rng.integers(1, 30)), rng.random()  # at least 30 files are written
    sync, replace = os.fsync, os.replace

    def die(here: str) -> None:
        nonlocal countdown
        countdown -= here == where
        if countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_sync(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        if where == "half" and countdown == 1:
            os.ftruncate(descriptor, int(share * size))
        die("half")
        sync(descriptor)

    def dying_replace(*names: Any) -> None:
        die("written")
        replace(*names)
        die("renamed")

    def work() -> None:
        os.fsync, os.replace = dying_sync, dying_replace
        _files._sync_folder = lambda folder: None
        run(folder / "run", every_step=True)

    assert wait(child(work)) == -signal.SIGKILL
    go_on(folder / "run", whole)


def go_on(folder: Path, whole: Path, way: Way = PLAIN) -> None:
    """Resume in a fresh process, by what lies in the folder alone; nothing may differ from the uninterrupted run."""
    assert ended(begin(folder, way=way)) == [0] * way.processes, "the run did not go on"
    require_equal(folder, whole)


COMMAND = (
    "--epochs 40 --hidden 8 --latent-dim 2 --batch-size 10 --binarization dynamic --validation 0.3 --warmup 3"
    " --schedule cosine --seed 4 --device cpu"
)


@functools.cache
def data_file() -> Path:
    """The tiny data as a file."""
    data, path = grey(), lasting() / "tiny.npy"
    np.save(path, np.concatenate([data.train, data.test]).reshape(-1, 3, 4))
    return path


@functools.cache
def uninterrupted(chosen: TrainConfig) -> Path:
    """The folder of a run on that file with these settings."""
    folder = lasting()
    assert wait(child(lambda: fit(chosen, load(chosen.data), out=folder))) == 0
    return folder


def command(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The real command."""
    arguments = ["-m", "vaelib", "train", "--data", str(data_file()), "--out", str(folder / "run"), *options]
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *arguments], **pipes, env=ENVIRONMENT, cwd=ROOT)


def command_when(folder: Path, rng: Rng) -> subprocess.Popen[str]:
    """The command under way, at a random moment of its training."""
    process = command(folder, *COMMAND.split())
    await_epoch(folder / "run", int(rng.integers(0, 25)), lambda: process.poll() is None)
    time.sleep(rng.uniform(0, 0.01))
    return process


def command_again(folder: Path) -> None:
    """Resume with the settings that the command chose, and compare with an uninterrupted run."""
    stored = checkpoint.read_config(folder / "run")
    chosen = TrainConfig(**{name: stored[name] for name in TrainConfig().as_dict()})
    again = child(lambda: fit(chosen, load(chosen.data), out=folder / "run", resume=True))
    assert wait(again) == 0, "the run did not go on"
    require_equal(folder / "run", uninterrupted(chosen))


def command_killed(rng: Rng, folder: Path) -> None:
    """The real command gets SIGKILL while it trains."""
    process = command_when(folder, rng)
    process.kill()
    process.communicate()
    command_again(folder)


def command_interrupted(rng: Rng, folder: Path) -> None:
    """The real command gets Ctrl-C: it saves, says how to go on, and what it says works."""
    process = command_when(folder, rng)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, (process.returncode, said)
    assert f"Saved. Go on with: vaelib train --out {folder / 'run'} --resume" in said and "Traceback" not in said, said
    again = command(folder, "--resume")
    _, said = again.communicate()
    assert again.returncode == 0, said
    command_again(folder)


def interrupted(rng: Rng, folder: Path, way: Way = PLAIN) -> None:
    """SIGINT or SIGTERM at a random moment after the first checkpoint: the step under way is finished, and saved.

    Of several processes any, or all, are asked.
    """
    whole, seconds = reference(every_step=False, way=way)
    numbers = begin(folder / "run", share=0.0, way=way)  # one checkpoint, after the first epoch
    await_epoch(folder / "run", int(rng.integers(1, config().epochs)), lambda: running(numbers[0]))
    time.sleep(rng.uniform(0, seconds / config().epochs))
    asked = [number for number in numbers if rng.integers(2)] or [numbers[int(rng.integers(len(numbers)))]]
    for number in asked:
        os.kill(number, (signal.SIGINT, signal.SIGTERM)[rng.integers(2)])
    codes = ended(numbers)
    assert all(code in (130, 0, -signal.SIGTERM) for code in codes), codes  # 0, SIGTERM: it had come to its end
    epochs = (folder / "run" / checkpoint.METRICS).read_bytes().count(b"\n")
    assert checkpoint.load(folder / "run")["epoch"] == epochs, "it did not save"
    go_on(folder / "run", whole, way)


# ------------------------------------------------------------------------------------------------------ a full disk


def disk_full(rng: Rng, folder: Path) -> None:
    """No file may grow beyond a limit, from a random epoch on: what was saved before stays, and the run goes on."""
    import resource  # not on Windows

    whole, _ = reference()
    epoch, share, metrics_too = int(rng.integers(1, 6)), rng.uniform(0, 0.95), bool(rng.integers(2))

    def work() -> None:
        def limit(state: TrainState, record: dict[str, Any]) -> None:
            if state.epoch == epoch:
                path = folder / "run" / (checkpoint.METRICS if metrics_too else checkpoint.CHECKPOINT)
                keeping.SAVING_SHARE = 0.0 if metrics_too else 1e9  # no checkpoint, so that the metrics meet the limit
                size = int((share if not metrics_too else 1) * path.stat().st_size)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        keeping.SAVING_SHARE, keeping.SAVE_EVERY = 1e9, 1e9
        with refused(RunError, r"^Could not write .*File too large\. Is there a limit on .* untouched"):
            fit(config(), grey(), out=folder / "run", callback=limit)

    assert wait(child(work)) == 0
    assert not list((folder / "run").glob(".*")), "something half-written is left"
    assert checkpoint.load(folder / "run")["epoch"] == epoch
    go_on(folder / "run", whole)


# -------------------------------------------------------------------------------------------------- a damaged file


@functools.cache
def saved() -> bytes:
    """A checkpoint, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        fit(config(epochs=1, warmup=0), grey(), out=folder)
        return (Path(folder) / checkpoint.CHECKPOINT).read_bytes()


def refuse_checkpoint(folder: Path, content: bytes) -> None:
    (folder / checkpoint.CHECKPOINT).write_bytes(content)
    with refused(RunError, r"to be a whole checkpoint, but .* Put back a copy, or delete"):
        checkpoint.load(folder)


def flipped(rng: Rng, folder: Path) -> None:
    """One byte of a checkpoint changed, its first line included."""
    content = bytearray(saved())
    first_line = content.index(b"\n") + 1
    at = int(rng.integers(first_line if rng.integers(4) == 0 else len(content)))
    content[at] ^= int(rng.integers(1, 256))
    refuse_checkpoint(folder, bytes(content))


def truncated(rng: Rng, folder: Path) -> None:
    """A checkpoint cut off at a random length, zero included."""
    refuse_checkpoint(folder, saved()[: int(rng.integers(len(saved())))])


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder / "executed"),)


def harmful(rng: Rng, folder: Path) -> None:
    """A checkpoint with code in it, under a right digest."""
    checkpoint.save(folder, {"config": {}, "data": {}, "model": [0] * int(rng.integers(9)) + [Harmful(folder)]})
    with refused(RunError, "not tensors and numbers alone .*do not trust it"):
        checkpoint.load(folder)
    assert not (folder / "executed").exists()


def versions(rng: Rng, folder: Path) -> None:
    """A checkpoint of another format version, older or newer."""
    body = saved().split(b"\n", 1)[1]
    version = int(rng.choice([1, *range(3, 100)]))
    line = saved().split(b"\n", 1)[0].replace(b"checkpoint 2", b"checkpoint %d" % version)
    refuse_checkpoint(folder, body if rng.integers(2) else line + b"\n" + body)


# ------------------------------------------------------------------------------------------------------------ memory


def memory_exhausted(rng: Rng, folder: Path) -> None:
    """Memory for so many examples only: the message names a batch that fits, and it does fit."""
    batch, room = int(rng.integers(4, 30)), int(rng.integers(0, 4))
    plain = engine.fused.loss
    cuda, after, calls = bool(rng.integers(2)), int(rng.integers(0, 7)), 0  # seven steps at least

    def hungry(model: Any, x: torch.Tensor, *rest: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after and len(x) > room:
            if cuda:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes.")
        return plain(model, x, *rest)

    engine.fused.loss = hungry
    try:
        wanted = rf"A batch of ([1-{room}]) fits: batch_size=\1, and another" if room else "Not even one .*fits"
        with refused(RunError, rf"Expected .*\b{min(batch, 23)} examples.* to fit into the memory of cpu, .*{wanted}"):
            fit(config(batch_size=batch), grey(), out=folder / "run")
        if room:
            after = 0
            fit(config(batch_size=room), grey())
    finally:
        engine.fused.loss = plain


# -------------------------------------------------------------------------------------------------------------- data


def not_a_number(rng: Rng, folder: Path) -> None:
    """NaN or an infinity somewhere in a file, or in data made by hand: refused, with its place and the count."""
    array = rng.random((20, 4, 3)).astype(("f2", "f4", ">f8")[rng.integers(3)])
    count = int(rng.integers(1, 9))
    places = sorted(rng.choice(array.size, count, replace=False))
    array.flat[places] = rng.choice([np.nan, np.inf, -np.inf], count)
    by_hand = bool(rng.integers(2))
    array = array.reshape(20, 12) if by_hand else array
    first = ", ".join(str(int(i)) for i in np.unravel_index(places[0], array.shape))
    more = f", and {count - 1} more that are not finite" if count > 1 else ""
    with refused(DataError, rf"finite everywhere, but got (nan|-?inf) at index \({first}\){more}\. Remove"):
        if by_hand:
            Data("own", *[(array, np.zeros_like(array)), (np.zeros_like(array), array)][rng.integers(2)], (4, 3), 1.0)
        else:
            np.save(folder / "a.npy", array)
            from_file(folder / "a.npy")


def not_a_number_in_memory(rng: Rng, folder: Path) -> None:
    """A training example goes bad in memory at a random epoch: training stops, and the last checkpoint is good."""
    epoch, place = int(rng.integers(0, 6)), (int(rng.integers(23)), int(rng.integers(12)))

    def spoil(state: TrainState, record: dict[str, Any]) -> None:
        if state.epoch == epoch:
            state.train[place] = (np.nan, np.inf)[rng.integers(2)]

    keeping.SAVING_SHARE = 1e9
    with refused(NotFinite, "is the first with a number that is not finite, in the minibatch x"):
        fit(config(decoder="gaussian"), grey(), out=folder, callback=spoil)
    if epoch:
        good = checkpoint.load(folder)
        assert good["epoch"] == epoch and all(value.isfinite().all() for value in good["model"].values())


def labels_as_data(rng: Rng, folder: Path) -> None:
    """Class labels handed in as images, in any of the shapes in which they are kept."""
    n, classes = int(rng.integers(30, 300)), int(rng.integers(2, 12))
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n)])
    shape = [(-1,), (-1, 1), (-1, 1, 1)][rng.integers(3)]
    array = labels.reshape(shape).astype(["u1", "i8", ">i2", "f4"][rng.integers(4)])
    if rng.integers(4) == 0:
        array = np.eye(max(classes, 3))[labels]
    np.savez(folder / "a.npz", a=array)
    with refused(DataError, "look like (one-hot )?labels"):
        from_file(folder / "a.npz")


def bytes_in_disguise(rng: Rng, folder: Path) -> None:
    """The same bytes in other types and orders of memory: uint8 arithmetic that wraps, a strange layout, would show."""
    plain = rng.integers(0, 256, (30, 4, 3)).astype(np.uint8)
    plain[0, 0, :2] = 0, 255
    array = plain.astype([">i8", "<u2", "i4", "u1", ">u4"][rng.integers(5)])
    array = [np.asfortranarray(array), np.repeat(array, 2, 1)[:, ::2], array[::-1][::-1].copy("F")][rng.integers(3)]
    records = []
    for name, content in (("plain", plain), ("other", array), ("floats", plain / 255)):
        np.savez(folder / f"{name}.npz", train=content, test=content[:7])
        data = from_file(folder / f"{name}.npz")
        decoder = {"decoder": "gaussian", "binarization": "none", "validation": 0.0}
        records.append(fit(config(epochs=2, warmup=1, data=data.name, **decoder), data).history[-1])
        assert (data.levels == 256) == (name != "floats")
    values = [[r[key] for key in ("train_elbo", "test_elbo", "test_kl")] for r in records]
    assert values[0] == values[1] and np.allclose(values[0], values[2], rtol=1e-4), values


def wrapped(rng: Rng, folder: Path) -> None:
    """Levels that wrapped around in uint8 beyond white."""
    levels = rng.integers(0, 17, (9, 12)).astype(np.uint8)
    levels[rng.integers(9), rng.integers(12)] = 0
    with refused(DataError, "between 0 and `white`, 16, but got .* Did they wrap around"):
        Data("own", levels - np.uint8(rng.integers(1, 17)), levels, (3, 4), 16.0)


def odd(rng: Rng, folder: Path) -> None:
    """What is unusual but right trains: pixels that never vary, one example, a batch larger than the data, a last
    minibatch of one, a single latent; with either decoder, on floats or levels."""
    n = int(rng.choice([1, 2, 11, 21]))
    levels = rng.integers(0, 17, (n + 3, 12)).astype(np.uint8)
    levels[:, rng.random(12) < rng.choice([0.0, 0.5, 1.0])] = 0
    levels[:, rng.random(12) < 0.3] = 16
    parts = (levels[:n], levels[n:])
    data = Data("own", *parts, (3, 4), 16.0)
    if rng.integers(2):
        data = Data("own", *(data.intensities(part) for part in parts), (3, 4), 1.0)
    decoder = ("bernoulli", "gaussian")[rng.integers(2)]
    mode = "dynamic" if decoder == "bernoulli" else "dequantized" if data.levels and rng.integers(2) else "none"
    chosen = config(
        decoder=decoder,
        binarization=mode,
        latent_dim=int(rng.integers(1, 3)),
        batch_size=int(rng.choice([1, 5, 10, 1000])),
        validation=0.0,
        layer_norm=bool(rng.integers(2)),
        activation=("relu", "tanh")[rng.integers(2)],
    )
    state = fit(chosen, data, out=folder / "run")
    assert state.step == state.epoch * -(-n // chosen.batch_size) and len(state.history) == chosen.epochs
    numbers = [value for record in state.history for value in record.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all() and all(p.isfinite().all() for p in state.model.parameters())
    x = torch.as_tensor(data.intensities(data.test))
    assert keeping.load(folder / "run").decode(state.model.encode(x).loc).mean.isfinite().all()


def other_threads(rng: Rng, folder: Path) -> None:
    """Going on with another number of CPU threads works, and says that the result may differ in the last bits."""
    counts = [int(count) for count in rng.choice([1, 2, 3], 2, replace=False)]
    before, small = loop.cores, loop.SMALL_STEP
    loop.SMALL_STEP = 0.0  # or a model of this size trains on one
    try:
        for epochs, count in zip((2, 3), counts, strict=True):
            loop.cores = lambda count=count: count
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                fit(config(epochs=epochs, schedule="constant"), grey(), out=folder / "run", resume=epochs == 3)
        expected = f"The CPU threads were {counts[0]}, now they are {counts[1]}: .* not be the same bit for bit"
        assert sum(bool(re.match(expected, str(one.message))) for one in said) == 1, said
    finally:
        loop.SMALL_STEP, loop.cores = small, before


FAULTS = {
    "killed at a random moment": Fault(killed, "resumed", apart=True),
    "killed while saving": Fault(killed_while_saving, "resumed", apart=True),
    "the command killed": Fault(command_killed, "resumed", apart=True),
    "the command interrupted": Fault(command_interrupted, "resumed", apart=True),
    "interrupted or terminated": Fault(interrupted, "resumed", apart=True),
    "streamed run killed": Fault(partial(killed, way=STREAMED), "resumed", apart=True),
    "streamed run interrupted": Fault(partial(interrupted, way=STREAMED), "resumed", apart=True),
    "one of two processes killed": Fault(partial(killed, way=TWO), "resumed", apart=True),
    "two processes interrupted": Fault(partial(interrupted, way=TWO), "resumed", apart=True),
    "two that stream: one killed": Fault(partial(killed, way=TWO_STREAMED), "resumed", apart=True),
    "full disk": Fault(disk_full, "resumed", apart=True),
    "checkpoint with a flipped byte": Fault(flipped, "refused"),
    "checkpoint cut off": Fault(truncated, "refused"),
    "checkpoint of another version": Fault(versions, "refused"),
    "checkpoint with code in it": Fault(harmful, "refused"),
    "memory exhausted": Fault(memory_exhausted, "refused"),
    "NaN or infinity in the data": Fault(not_a_number, "refused"),
    "NaN or infinity in memory": Fault(not_a_number_in_memory, "refused"),
    "labels as data": Fault(labels_as_data, "refused"),
    "levels that wrapped around": Fault(wrapped, "refused"),
    "bytes in other types and layouts": Fault(bytes_in_disguise, "trained"),
    "odd but right data": Fault(odd, "trained"),
    "other number of threads": Fault(other_threads, "resumed"),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    importlib.import_module("torch._dynamo")  # an optimizer's first step loads it: once here, not in each child
    print(json.dumps(inject(asked.fault, asked.times, asked.seed, apart=False)))
