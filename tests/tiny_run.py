"""A training run so small that it can be killed a hundred times, and the comparison of two runs bit for bit."""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import pickle
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelib.data import Data, load
from vaelib.train import TrainConfig, TrainState, checkpoint, fit, keeping, window
from vaelib.train.processes import Lost

LEFT = 3  # exit status of a process that was left by another
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a folder in memory: a kill leaves there what it left


def grey(seed: int = 0, n: int = 33) -> Data:
    """Two kinds of grey images of 3 x 4."""
    rng = np.random.default_rng(seed)
    kinds = rng.random((2, 12)).round(1).astype(np.float32)
    images = kinds[rng.integers(0, 2, n + 7)]
    return Data("tiny.npy", images[:n], images[n:], (3, 4), 1.0, default_binarization="dynamic")


def config(**changes: Any) -> TrainConfig:
    """All that a resumed run could forget: an odd last batch, a rate and a beta that change, a best epoch."""
    small: dict[str, Any] = {
        "data": "tiny.npy",
        "hidden": (8,),
        "latent_dim": 2,
        "batch_size": 10,
        "epochs": 7,
        "schedule": "cosine",
        "warmup": 3,
        "validation": 0.3,
        "device": "cpu",
    }
    return TrainConfig(**{**small, **changes})


def lasting() -> Path:
    """An empty folder that is there until this process ends."""
    holder = tempfile.TemporaryDirectory(dir=QUICK)
    atexit.register(holder.cleanup)  # not in children, which end by _exit
    return Path(holder.name)


@dataclass(frozen=True)
class Way:
    """How a run is made: its training set in memory or on disk, in one process or in two."""

    streamed: bool = False
    processes: int = 1


PLAIN, STREAMED, TWO, TWO_STREAMED = Way(), Way(streamed=True), Way(processes=2), Way(streamed=True, processes=2)


@functools.cache
def on_disk() -> Data:
    """The same images in three files, which are read in windows of 20 rows."""
    data, folder = grey(n=113), lasting()
    for i, part in enumerate(np.split(np.concatenate([data.train, data.test]).reshape(-1, 3, 4), [31, 50])):
        np.save(folder / f"part{i}.npy", part)
    return load(str(folder))


@functools.cache
def reference(every_step: bool = True, way: Way = PLAIN) -> tuple[Path, float]:
    """The folder of an uninterrupted run, and the seconds that it took."""
    folder = lasting()
    started = time.perf_counter()
    assert ended(begin(folder, every_step, way=way)) == [0] * way.processes
    return folder, time.perf_counter() - started


def begin(folder: Path, every_step: bool = False, share: float = 1e9, way: Way = PLAIN) -> list[int]:
    """`run` in processes of its own, whose numbers are returned."""
    if way.streamed:
        on_disk()  # once, not in each process

    def work(rank: int = 0) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run(folder, every_step, share, way)

    return [child(work)] if way.processes == 1 else begin_several(way.processes, work)


def ended(numbers: list[int]) -> list[int]:
    """The exit status of each."""
    return [wait(number) for number in numbers]


def run(folder: Path, every_step: bool = False, share: float = 1e9, way: Way = PLAIN) -> TrainState:
    """Begin the run in `folder`, or go on with it; a checkpoint after each epoch, or after each step."""
    keeping.SAVING_SHARE, keeping.SAVE_EVERY = share, 0.0 if every_step else 1e9
    data, chosen = grey(), config()
    if way.streamed:
        window.BLOCKS, window.BYTES = 2, 20 * 48
        data = on_disk()
        chosen = config(data=data.name, binarization="dynamic")
    return fit(chosen, data, out=folder, resume=(folder / checkpoint.CONFIG).exists())


def child(work: Callable[[], Any]) -> int:
    """`work` in a process of its own, whose number is returned.

    It ends with 0, or 130 after Ctrl-C, LEFT if another process of the run is gone, 1 after any other error. Ctrl-C may
    come while the result of `work` is deleted, too, and must not get out of here, into a second life of the parent.
    """
    number = os.fork()
    if number == 0:
        code = 1
        try:
            try:
                work()
                code = 0
            except KeyboardInterrupt:
                code = 130
            except Lost:
                code = LEFT
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        except BaseException:
            os._exit(130)
    return number


def wait(number: int) -> int:
    """The exit status of a child; minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def begin_several(count: int, work: Callable[[int], Any]) -> list[int]:
    """`work(rank)` in so many processes that find each other by their environment, as those of torchrun do."""
    importlib.import_module("torch._dynamo")  # an optimizer's first step loads it: once here, not in each process
    port = free_port()

    def one(rank: int) -> None:
        torch.set_num_threads(1)  # the threads of the parent are not there any more: to wait for them has no end
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        os.environ.update(OMP_NUM_THREADS="1")
        work(rank)

    return [child(functools.partial(one, rank)) for rank in range(count)]


def several(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(rank)` returns in each of so many processes, or the error that it raises; None if it was killed."""
    with tempfile.TemporaryDirectory(dir=QUICK) as folder:

        def noted(rank: int) -> None:
            try:
                found = work(rank)
            except BaseException as error:
                found = f"{type(error).__name__}: {error}"
            (Path(folder) / str(rank)).write_bytes(pickle.dumps(found))

        for number in begin_several(count, noted):
            wait(number)
        paths = [Path(folder) / str(rank) for rank in range(count)]
        return [pickle.loads(path.read_bytes()) if path.exists() else None for path in paths]


def await_epoch(folder: Path, epoch: int, running: Callable[[], bool]) -> None:
    """Wait until the metrics of so many epochs are there, or for epoch 0 the settings; -1: for nothing."""
    path = folder / (checkpoint.METRICS if epoch else checkpoint.CONFIG)
    while epoch >= 0 and running() and not (path.exists() and path.read_bytes().count(b"\n") >= epoch):
        time.sleep(0.0005)


def running(number: int) -> bool:
    """Is the child still at work?"""
    return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def require_equal(folder: Path, other: Path) -> None:
    """Both runs hold the same numbers, and no files that the other has not."""
    pictures = {path.name for path in folder.glob("*.png")}
    assert {path.name for path in folder.iterdir()} - pictures == {path.name for path in other.iterdir()}
    for name in (checkpoint.CHECKPOINT, checkpoint.BEST):
        if (other / name).exists():
            differing = list(differences(name, *(checkpoint.load(at, name=name) for at in (folder, other))))
            assert not differing, differing
    lines = [list(map(json.loads, (at / checkpoint.METRICS).read_text().splitlines())) for at in (folder, other)]
    assert not list(differences(checkpoint.METRICS, *lines))


def differences(where: str, one: Any, other: Any) -> Iterator[str]:
    """Where two checkpoints differ, but for the times and the path of the data."""
    if isinstance(one, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield where
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f"{where}: {one.keys() ^ other.keys()}"
        for key in one.keys() & other.keys() - {"seconds"}:
            yield from differences(f"{where}.{key}", one[key], other[key])
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield f"{where}: {len(one)} and {len(other)}"
        for i, (a, b) in enumerate(zip(one, other, strict=False)):
            yield from differences(f"{where}[{i}]", a, b)
    elif one != other:
        yield f"{where}: {one} and {other}"
