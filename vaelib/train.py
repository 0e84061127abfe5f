"""Training: `fit` runs the steps of `vaelib.engine` to the end, keeps the run on disk, and says what went wrong."""

from __future__ import annotations

import copy
import platform
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vaelib import _checks, checkpoint
from vaelib.config import RunError, TrainConfig, beta, learning_rate
from vaelib.data import Data
from vaelib.diagnose import NotFinite, blame, is_out_of_memory, out_of_memory
from vaelib.engine import Run, runner, step, take
from vaelib.objectives import loss
from vaelib.state import StepInfo, TrainState, available, build, init, restore, snapshot
from vaelib.vae import VAE, saturation

__all__ = ["NotFinite", "RunError", "StepInfo", "TrainConfig", "TrainState", "build", "fit", "init", "load", "step"]

LOOK_EVERY = 500  # steps between looks at whether all was finite; a look makes a GPU wait
HELD_OUT_NOISE_SEED = 0  # the same noise at every epoch: a test curve moves because the model does
HELD_OUT_ROWS = 10_000  # examples in one pass
HELD_OUT_DRAWS = 2_500  # of z in all, at least: a curve over a few test examples would else be mostly noise
SAVING_SHARE = 0.05  # of the time, at most, goes into checkpoints,
SAVE_EVERY = 60.0  # seconds, at the latest
THREADS = 4  # of the CPU, at most: more gain little at these sizes
SMALL_STEP = (
    2e8  # floating-point operations; below, a second CPU thread gains little, and costs a lot if its core is busy
)

Info = dict[str, Any]
Callback = Callable[[TrainState, Info], None]


def fit(
    config: TrainConfig,
    data: Data,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    callback: Callback | None = None,
) -> TrainState:
    """Train for `config.epochs` epochs, or until the validation bound has not improved for `config.patience` of them.

    With a validation set, the model that is returned, and loaded later, is that of the best epoch.

    Args:
        out: a folder to keep the run in: config.json, metrics.jsonl, checkpoint.pt. None: it is kept in memory alone.
        resume: go on with the run in `out`. On the CPU the result equals that of an uninterrupted run bit for bit.
        callback: called after each epoch with the state and the epoch's record, means in nats per example; and once
            before the first step, with an empty record.

    Raises:
        RunError, DataError: the run cannot be started as asked; nothing has been changed. Or memory does not suffice.
        NotFinite: NaN or an infinity turned up; the last good checkpoint stays.
        KeyboardInterrupt: Ctrl-C (or a termination signal) came. The step under way was finished, and the run saved.
    """
    state = init(config, data)
    folder = None if out is None else Folder(Path(out), data, resume)
    if resume and folder is None:
        raise RunError("Expected `out` to say which run to resume, but got None.")
    with asked_to_stop() as stop, suitable_threads(state), precision(state.config):
        if folder is not None:
            folder.open(state)
        if callback is not None:
            callback(state, {})
        if not finished(state):
            run = runner(state)
            while not finished(state):
                record = run_epoch(state, run, stop, save=None if folder is None else folder.save_in_time)
                if record is None:
                    if folder is not None:
                        folder.save(state)
                    raise KeyboardInterrupt
                state.history.append(record)
                if is_best(state.history):
                    state.best = copy.deepcopy(state.model.state_dict())
                if folder is not None:
                    folder.after_epoch(state)
                if callback is not None:
                    callback(state, record)
    if state.best is not None:
        state.model.load_state_dict(state.best)
    return state


def run_epoch(
    state: TrainState,
    run: Run,
    stop: Callable[[], bool] = lambda: False,
    save: Callable[[TrainState], None] | None = None,
) -> Info | None:
    """The rest of the epoch under way, and its record; None if `stop` said so between two steps.

    Raises:
        NotFinite: after going through the epoch once more to find the first step and tensor that are not finite.
        RunError: memory does not suffice.
    """
    started = time.perf_counter()
    before = copy.deepcopy(snapshot(state))
    try:
        while state.position < state.batches:
            if stop():
                return None
            with explained_out_of_memory(state, before):
                take(state, run)
            if state.step % LOOK_EVERY == 0:
                _require(int(state.first_bad_step) > state.position)
            if save is not None:
                save(state)
        _require(int(state.first_bad_step) > state.position)
        train = (state.sums / len(state.train)).tolist()
        judged = {name: held_out_terms(state, name) for name in state.held_out}
    except ArithmeticError as error:
        bad = state.step - state.position + int(state.first_bad_step)
        restore(state, before)
        raise blame(state, bad) or error from error
    state.epoch, state.position = state.epoch + 1, 0
    return {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": learning_rate(state.config, state.epoch - 1),
        "beta": beta(state.config, state.epoch - 1),
        "binarization": state.config.binarization,
        "train_objective": train[0],
        "train_elbo": train[1] - train[2],
        "train_log_likelihood": train[1],
        "train_kl": train[2],
        **{f"{name}_{key}": value for name, terms in judged.items() for key, value in terms.items()},
        "seconds": round(time.perf_counter() - started, 3),
    }


@contextmanager
def explained_out_of_memory(state: TrainState, before: dict[str, Any]) -> Iterator[None]:
    """A minibatch that does not fit into memory becomes an error that names one that does."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        restore(state, before)
        raise out_of_memory(state) from error


def _require(finite: bool, where: str = "training") -> None:
    if not finite:
        raise FloatingPointError(
            f"A number was not finite in {where}, but going through the epoch again does not show where. Are there"
            " numbers in the data that are far too large?"
        )


@torch.no_grad()
def held_out_terms(state: TrainState, name: str) -> dict[str, float]:
    """Means over a held-out set: the ELBO, its two terms, and the share of saturated scales.

    Raises:
        FloatingPointError: one is not finite.
    """
    part = state.held_out[name]
    rng = torch.Generator(state.device).manual_seed(HELD_OUT_NOISE_SEED)
    sums = torch.zeros_like(state.sums)
    samples = -(-HELD_OUT_DRAWS // len(part))
    for x in part.split(HELD_OUT_ROWS):
        shape = (samples, len(x), state.config.latent_dim)
        noise = torch.randn(shape, generator=rng, device=x.device, dtype=x.dtype)
        with _checks.unchecked():
            _, terms = loss(state.model, x, noise)
            share = saturation(state.model.encoder(x))
        sums += torch.stack([terms.log_likelihood.sum(), terms.kl.sum(), len(x) * share])
    _require(bool(sums.isfinite().all()), f"the {name} set")
    log_likelihood, kl, saturated = (sums / len(part)).tolist()
    return {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl, "saturated": saturated}


def is_best(history: list[Info]) -> bool:
    """Is the last epoch the best so far by the validation bound? Without a validation set there is no best."""
    bounds = [record["validation_elbo"] for record in history if "validation_elbo" in record]
    return bool(bounds) and bounds.index(max(bounds)) == len(bounds) - 1


def best_record(history: list[Info]) -> Info:
    """The record of the epoch whose model a run returns: the best by the validation bound, without one the last."""
    return max(
        history, key=lambda record: record["validation_elbo"] if "validation_elbo" in record else record["epoch"]
    )


def finished(state: TrainState) -> bool:
    """Are all epochs done, or has the validation bound stopped improving?"""
    if state.epoch >= state.config.epochs:
        return True
    if state.config.patience is None or not state.history:
        return False
    bounds = [record["validation_elbo"] for record in state.history]
    return len(bounds) - 1 - bounds.index(max(bounds)) >= state.config.patience


# ----------------------------------------------------------------------------------------------------- where it runs


def threads_for(state: TrainState) -> int:
    """CPU threads that suit the size of a step: threads that wait for each other at every step can cost tenfold."""
    weights = sum(parameter.numel() for parameter in state.model.parameters())
    operations = 6 * weights * len(state.offsets) * state.config.importance_samples  # forward 2, backward 4
    return 1 if operations < SMALL_STEP else min(torch.get_num_threads(), THREADS)


@contextmanager
def suitable_threads(state: TrainState) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads_for(state))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def precision(config: TrainConfig) -> Iterator[None]:
    """TF32 only where it was asked for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that is asked between steps; the second one interrupts at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield lambda: False
        return
    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


# ------------------------------------------------------------------------------------------- saving and going on


@dataclass
class Folder:
    """A run on disk."""

    path: Path
    data: Data
    resume: bool
    fingerprint: str = ""
    saved_at: float = 0.0
    cost: float = 0.0  # seconds that the last checkpoint took
    best_epoch: int = 0  # whose model best.pt holds

    def open(self, state: TrainState) -> None:
        """Claim the folder for a new run, or put `state` to where the run in it was left."""
        self.fingerprint = self.data.fingerprint()
        about = self.about(state)
        if self.resume:
            stored = checkpoint.read_config(self.path)
            checkpoint.require_same(self.path, state.config, stored, self.fingerprint)
            if (self.path / checkpoint.CHECKPOINT).exists():  # else it was stopped before the first: begin anew
                saved = checkpoint.load(self.path, state.config.device)
                if "optimizer" not in saved:
                    raise RunError(
                        f"Expected {checkpoint.CHECKPOINT} in {self.path}, but it is a copy of another file."
                    )
                begun = {**saved["config"], "data_sha256": saved["data"]["sha256"]}
                checkpoint.require_same(self.path, state.config, begun, self.fingerprint)
                restore(state, saved)
                state.history = saved["history"]
                if "validation_elbo" in best_record(state.history or [{"epoch": 0}]):
                    state.best = checkpoint.load(self.path, state.config.device, checkpoint.BEST)["model"]
                for sentence in checkpoint.not_bitwise(stored, {**state.config.as_dict(), **about}):
                    warnings.warn(sentence, stacklevel=2)
            elif (self.path / checkpoint.METRICS).exists() and (self.path / checkpoint.METRICS).stat().st_size:
                raise RunError(
                    f"Expected {checkpoint.CHECKPOINT} in {self.path}, from which to go on, but it is gone although"
                    f" {checkpoint.METRICS} tells of epochs. Put it back, or train anew with another --out."
                )
            checkpoint.write_json(self.path / checkpoint.CONFIG, {**stored, **state.config.as_dict(), **about})
            checkpoint.write_metrics(self.path, state.history)
        else:
            checkpoint.begin(self.path, state.config, about)
        self.saved_at = time.perf_counter()

    def about(self, state: TrainState) -> dict[str, Any]:
        """What a run records beside its settings."""
        return {
            "image_shape": list(self.data.image_shape),
            "train_examples": len(state.train),
            "test_examples": len(self.data.test),
            "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
            "data_sha256": self.fingerprint,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
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
            "data": {"image_shape": list(self.data.image_shape), "sha256": self.fingerprint},
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


def load(folder: str | Path, device: str = "auto") -> VAE:
    """The trained model of a run; with a validation set, that of its best epoch.

    model = vaelib.train.load("runs/course")
    q = model.encode(x)                                  # x as the model was trained: (n, pixels) in [0, 1]
    images = model.decode(q.loc).mean                    # reconstructions
    new = model.sample(16, rng=torch.Generator())        # a generator on the model's device
    """
    folder = Path(folder)
    if folder.is_file():
        raise RunError(f"Expected the folder of a run, but {folder} is a file. Give the folder that holds it.")
    saved = checkpoint.load(folder, available(device))
    if "validation_elbo" in best_record(saved.get("history") or [{"epoch": 0}]):
        saved = checkpoint.load(folder, available(device), checkpoint.BEST)
    if (folder / checkpoint.CONFIG).is_file():
        stored = checkpoint.read_config(folder)
        if saved["data"]["sha256"] != stored.get("data_sha256") or saved["config"]["seed"] != stored.get("seed"):
            raise RunError(f"Expected the checkpoint in {folder} to be of the run in its config.json, but it is not.")
    model = build(TrainConfig(**saved["config"]), tuple(saved["data"]["image_shape"]), torch.Generator())
    model.to(available(device)).load_state_dict(saved["model"])
    return model.eval().requires_grad_(False)
