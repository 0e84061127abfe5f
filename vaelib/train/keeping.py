"""A run on disk: its folder is claimed, saved to in time, gone on with, and loaded."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vaelib._spoken import option, remark
from vaelib.data import Data
from vaelib.train import checkpoint, lock, payload
from vaelib.train.config import RunError, TrainConfig
from vaelib.train.history import best_record, finished
from vaelib.train.state import TrainState, available, build, restore, snapshot
from vaelib.train.surroundings import ordinary
from vaelib.vae import VAE

SAVING_SHARE = 0.05  # of the time, at most, goes into checkpoints,
SAVE_EVERY = 60.0  # seconds, at the latest


@dataclass
class Folder:
    """A run on disk."""

    path: Path
    data: Data
    resume: bool
    processes: int = 1
    fingerprint: str = ""
    saved_at: float = 0.0
    cost: float = 0.0  # seconds that the last checkpoint took
    best_epoch: int = 0  # whose model best.pt holds

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else trains in the folder inside."""
        if self.resume:
            checkpoint.read_config(self.path)  # there is a run
        else:
            try:
                checkpoint.make(self.path)
            except RunError:
                with lock.held(self.path) if self.path.is_dir() else nullcontext():  # that a run goes on is said first
                    raise
        with lock.held(self.path):
            yield

    @ordinary()
    def open(self, state: TrainState) -> None:
        """Claim the folder for a new run, or put `state` to where the run in it was left."""
        self.fingerprint = self.data.fingerprint()
        about = self.about(state)
        if self.resume:
            stored = checkpoint.read_config(self.path)
            checkpoint.require_same(self.path, state.config, stored, self.fingerprint)
            if (
                self.path / checkpoint.CHECKPOINT
            ).exists():  # without one it was stopped before the first, and begins again
                saved = checkpoint.load(self.path, state.config.device)
                begun = {**saved["config"], "data_sha256": saved["data"]["sha256"]}
                checkpoint.require_same(self.path, state.config, begun, self.fingerprint)
                self.require_fitting(state, saved)
                best = None
                if "validation_elbo" in best_record(saved["history"] or [{"epoch": 0}]):
                    best = checkpoint.load(self.path, state.config.device, checkpoint.BEST)["model"]
                    complaint = payload.unfit(best, state.model.state_dict())
                    checkpoint.require(self.path / checkpoint.BEST, complaint)
                restore(state, saved)
                state.history, state.best = saved["history"], best
                for sentence in checkpoint.not_bitwise(stored, {**state.config.as_dict(), **about}):
                    remark(sentence)
            elif (self.path / checkpoint.METRICS).exists() and (self.path / checkpoint.METRICS).stat().st_size:
                raise RunError(
                    f"Expected {checkpoint.CHECKPOINT} in {self.path}, from which to go on, but it is gone although"
                    f" {checkpoint.METRICS} tells of epochs. Put it back, or train again with another"
                    f" {option('out')}."
                )
            checkpoint.write_json(self.path / checkpoint.CONFIG, {**stored, **state.config.as_dict(), **about})
            checkpoint.write_metrics(self.path, state.history)
        else:
            checkpoint.begin(self.path, state.config, about)
        self.saved_at = time.perf_counter()

    def require_fitting(self, state: TrainState, saved: dict[str, Any]) -> None:
        """Refuse a checkpoint whose tensors cannot take the places of those in `state`, before any of them does."""
        path = self.path / checkpoint.CHECKPOINT
        if payload.unit_of(saved) != state.unit:
            raise RunError(
                f"Expected a run whose pixels were standardized as {state.unit}, but those of {self.path} were as"
                f" {payload.unit_of(saved)}. Did an older vaelib begin it? Train again with another {option('out')}."
            )
        now = snapshot(state)
        checkpoint.require(path, payload.unfit(saved["model"], now["model"]))
        pairs = (saved["optimizer"], now["optimizer"])
        ours, theirs = ({f"{a} {b}": t for a, parts in each.items() for b, t in parts.items()} for each in pairs)
        checkpoint.require(path, payload.unfit(ours, theirs, "optimizer"))
        checkpoint.require(path, payload.misplaced(saved, len(state.train), state.batches))

    def about(self, state: TrainState) -> dict[str, Any]:
        """What a run records beside its settings."""
        return {
            "image_shape": list(self.data.image_shape),
            "train_examples": state.examples,
            "streamed": state.window is not None,
            "test_examples": len(self.data.test),
            "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
            "data_sha256": self.fingerprint,
            "unit": [state.unit.offset, state.unit.scale],
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "processes": self.processes,
        }

    def save_in_time(self, state: TrainState) -> None:
        """A checkpoint within a long epoch."""
        if time.perf_counter() - self.saved_at >= SAVE_EVERY:
            self.save(state)

    def after_epoch(self, state: TrainState) -> None:
        """A checkpoint, unless the last one is so recent that saving would take more than its share of the time."""
        since = time.perf_counter() - self.saved_at
        if finished(state) or self.cost <= SAVING_SHARE * since or since >= SAVE_EVERY:
            self.save(state)
        checkpoint.append_metrics(self.path, state.history[-1])

    def save(self, state: TrainState) -> None:
        started = time.perf_counter()
        described = {
            "config": state.config.as_dict(),
            "data": {
                "image_shape": list(self.data.image_shape),
                "sha256": self.fingerprint,
                "unit": [state.unit.offset, state.unit.scale],
                "levels": self.data.levels,
            },
        }
        if state.best is not None:
            bounds = [record["validation_elbo"] for record in state.history]
            epoch = 1 + bounds.index(max(bounds))
            if epoch != self.best_epoch:  # before the checkpoint that counts on it
                checkpoint.save(self.path, {**described, "model": state.best, "epoch": epoch}, checkpoint.BEST)
                self.best_epoch = epoch
        checkpoint.save(self.path, {**described, **snapshot(state), "history": state.history})
        self.saved_at = time.perf_counter()
        self.cost = self.saved_at - started


@ordinary()
def load(folder: str | Path, device: str = "auto") -> VAE:
    """The trained model of a run; with a validation set, that of its best epoch.

    model = vaelib.train.load("runs/course")
    q = model.encode(x)                                  # x as in the data: (n, pixels), grey values in [0, 1]
    images = model.decode(q.loc).mean                    # reconstructions
    new = model.sample(16, rng=torch.Generator())        # a generator on the model's device

    Raises:
        RunError: there is no run in `folder`, or what is there is not whole.
    """
    folder = Path(folder)
    if folder.is_file():
        raise RunError(f"Expected the folder of a run, but {folder} is a file. Give the folder that holds it.")
    device, name = available(device), checkpoint.CHECKPOINT
    saved = checkpoint.load(folder, device)
    if "validation_elbo" in best_record(saved["history"] or [{"epoch": 0}]):
        name = checkpoint.BEST
        saved = checkpoint.load(folder, device, name)
    if (folder / checkpoint.CONFIG).is_file():
        stored = checkpoint.read_config(folder)
        if saved["data"]["sha256"] != stored.get("data_sha256") or saved["config"]["seed"] != stored.get("seed"):
            raise RunError(f"Expected the checkpoint in {folder} to be of the run in its config.json, but it is not.")
    shape, unit = tuple(saved["data"]["image_shape"]), payload.unit_of(saved)
    model = build(TrainConfig(**saved["config"]), shape, torch.Generator(), unit, saved["data"].get("levels")).to(
        device
    )
    checkpoint.require(folder / name, payload.unfit(saved["model"], model.state_dict()))
    model.load_state_dict(saved["model"])
    return model.eval().requires_grad_(False)
