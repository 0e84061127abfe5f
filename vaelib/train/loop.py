"""Training: `fit` runs the steps of `engine` to the end, keeps the run on disk, and says what went wrong."""

from __future__ import annotations

import copy
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vaelib import _checks
from vaelib._cores import cores
from vaelib._spoken import option, remark
from vaelib.data import Data
from vaelib.objectives import loss
from vaelib.train import compiler
from vaelib.train.config import RunError, TrainConfig, beta, learning_rate
from vaelib.train.diagnose import at_bounds, blame, is_out_of_memory, out_of_memory
from vaelib.train.engine import Run, require_spreadable, runner, take
from vaelib.train.history import Info, best_record, finished, is_best
from vaelib.train.keeping import Folder
from vaelib.train.processes import ALONE, Processes, joined, require_gpus
from vaelib.train.state import TrainState, available, init, restore, snapshot
from vaelib.train.surroundings import ordinary, precision, threads
from vaelib.vae import saturation

ASK_EVERY = 10  # steps between agreements of several processes on whether to stop
LOOK_EVERY = 500  # steps between looks at whether all was finite; a look makes a GPU wait
HELD_OUT_NOISE_SEED = 0  # the same noise at every epoch: a test curve moves because the model does
HELD_OUT_ROWS = 10_000  # examples in one pass,
HELD_OUT_PIXELS = 2**25  # and pixels that are decoded in it, at most
HELD_OUT_DRAWS = 2_500  # of z in all: a curve over a few test examples would otherwise be mostly noise
THREADS = 4  # of the CPU, at most: more gain little at these sizes
SMALL_STEP = (
    2e8  # floating-point operations; below, a second CPU thread gains little, and costs a lot if its core is busy
)

Callback = Callable[[TrainState, Info], None]


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a signal came; the step under way was finished, and the run saved if it has a folder."""


def fit(
    config: TrainConfig,
    data: Data,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    callback: Callback | None = None,
) -> TrainState:
    """Train for `config.epochs` epochs, or until the validation bound has not improved for `config.patience` of them.

    With a validation set, the model that is returned, and loaded later, is that of the best epoch. What else the
    process has set for PyTorch and NumPy does not change the run (see `vaelib.train.surroundings`); OMP_NUM_THREADS
    may. Data in a unit in which a network fits badly are standardized, and whatever is reported is in their own unit
    all the same (see `init`).

    Called in each of several processes that torchrun has started, `fit` trains one run in all of them, each computing
    its share of every minibatch; the result differs by rounding from that of one process. All return the same state.

    Args:
        out: a folder to keep the run in: config.json, metrics.jsonl, checkpoint.pt. None: it is kept in memory alone.
            It is locked until the run ends: of two runs at once, the second is refused. Of several processes, only the
            first uses it.
        resume: go on with the run in `out`, in any number of processes. On the CPU the result equals that of an
            uninterrupted run bit for bit if their number is the same.
        callback: called after each epoch with the state and the epoch's record, means in nats per example; and once
            before the first step, with an empty record. Of several processes, the first alone calls it.

    Raises:
        RunError, DataError: the run cannot be started as asked; nothing has been changed. Or memory does not suffice,
            or another process is gone.
        NotFinite: NaN or an infinity turned up; the last good checkpoint stays.
        Stopped: a KeyboardInterrupt. Ctrl-C, or a signal that asks to end, came. The step under way was finished, and
            the run saved.
    """
    if resume and out is None:
        raise RunError("Expected `out` to say which run to resume, but got None.")
    if config.compile:
        compiler.require(available(config.device))
    with joined() as processes:
        if processes.count > 1:
            require_gpus(available(config.device), os.environ)
        state = init(config, data)
        require_spreadable(state, processes)
        processes.require_same(demands(state, data, resume) if processes.count > 1 else {})
        folder = None if out is None or not processes.first else Folder(Path(out), data, resume, processes.count)
        with (
            asked_to_stop(processes) as stop,
            threads(threads_for(state)),
            nullcontext() if folder is None else folder.locked(),
        ):
            train(state, folder, processes, stop, callback if processes.first else None)
    take_best(state)
    last = best_record(state.history)
    at_bound = bool(last.get("decoder_scale_at_bound"))
    if processes.first:
        for sentence in at_bounds(last.get("decoder_scale"), at_bound, last.get("test_saturated", 0.0)):
            remark(sentence)
    return state


def train(
    state: TrainState,
    folder: Folder | None,
    processes: Processes,
    stop: Callable[[], bool],
    callback: Callback | None,
) -> None:
    """From the first step, or from where the run in `folder` was left, to the last.

    Raises:
        Stopped: `stop` said so in one of the processes.
    """
    if folder is not None:
        folder.open(state)
    share(state, processes)
    if processes.first:
        for sentence in remarks(state):
            remark(sentence)
    if callback is not None:
        callback(state, {})

    def asked() -> bool:
        return state.position % ASK_EVERY == 0 and processes.any(stop())

    run: Run | None = None
    save = None if folder is None else folder.save_in_time
    while not finished(state):
        run = run or start(state, processes)
        try:
            record = run_epoch(state, run, stop if processes.count == 1 else asked, save=save)
        except RunError:
            if processes.count > 1 or not stop():
                raise
            record = None  # what was asked to stop ended the compiler, too
        if record is None:
            if folder is not None:
                folder.save(state)
            processes.any(False)  # none leaves before the run is saved: torchrun would end the others
            raise Stopped
        note(state, processes.told(partial(dict, record)))
        if folder is not None:
            folder.after_epoch(state)
        if callback is not None:
            callback(state, state.history[-1])


def demands(state: TrainState, data: Data, resume: bool) -> dict[str, Any]:
    """What must be the same in all processes of a run; the data may lie in another place."""
    settings = {name: value for name, value in state.config.as_dict().items() if name != "data"}
    return {**settings, "resume": resume, "the SHA-256 of the data": data.fingerprint(), "PyTorch": torch.__version__}


@ordinary()
def share(state: TrainState, processes: Processes) -> None:
    """Put all processes to where the first one is, which may have resumed a run."""
    if processes.count == 1:
        return
    saved, history, best = processes.told(lambda: (snapshot(state), state.history, state.best))
    if not processes.first:
        restore(state, saved)
        state.history, state.best = history, best


def remarks(state: TrainState) -> list[str]:
    """What somebody should know before the first step, in sentences."""
    config, unit, found = state.config, state.unit, []
    if not unit.trivial:
        found.append(
            f"The pixels are standardized, (x - {unit.offset:.4g}) / {unit.scale:.4g}, since a network would fit badly"
            " in the unit of the data. Likelihoods, reconstructions and samples are in that unit all the same."
        )
    if config.warmup >= config.epochs and config.warmup:
        reached = beta(config, config.epochs - 1)
        found.append(
            f"The warm-up of {config.warmup} epochs is not over when the {config.epochs} epochs of the run are: beta"
            f" gets to {reached:.3g}, not to {config.beta:g}. Use a shorter {option('warmup')}, or more"
            f" {option('epochs')}."
        )
    return found


@ordinary()
def start(state: TrainState, processes: Processes) -> Run:
    """How the run executes its steps; recording one on a GPU belongs to it."""
    with precision(state.config.tf32):
        return runner(state, processes)


@ordinary()
def note(state: TrainState, record: Info) -> None:
    """Append the record, and keep the model if it is the best so far."""
    state.history.append(record)
    if is_best(state.history):
        state.best = copy.deepcopy(state.model.state_dict())


@ordinary()
def take_best(state: TrainState) -> None:
    if state.best is not None:
        state.model.load_state_dict(state.best)


@ordinary()
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
        with precision(state.config.tf32):
            while state.position < state.batches:
                if stop():
                    return None
                with explained(state, before):
                    take(state, run)
                if state.step % LOOK_EVERY == 0:
                    _require(int(state.first_bad_step) > state.position)
                if save is not None:
                    save(state)
            _require(int(state.first_bad_step) > state.position)
            train = (state.sums / state.examples).tolist()
            judged = {name: held_out_terms(state, name) for name in state.held_out}
    except ArithmeticError as error:
        bad = state.step - state.position + int(state.first_bad_step)
        restore(state, before)
        raise blame(state, bad) or error from error
    state.epoch, state.position = state.epoch + 1, 0
    shift = state.unit.log_jacobian(state.train.shape[1])
    scale = state.model.learned_scale
    learned = {} if scale is None else {"decoder_scale": scale, "decoder_scale_at_bound": state.model.scale_at_bound}
    return {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": learning_rate(state.config, state.epoch - 1),
        "beta": beta(state.config, state.epoch - 1),
        "binarization": state.config.binarization,
        "train_objective": train[0] + shift,
        "train_elbo": train[1] - train[2] + shift,
        "train_log_likelihood": train[1] + shift,
        "train_kl": train[2],
        **{f"{name}_{key}": value for name, terms in judged.items() for key, value in terms.items()},
        **learned,
        "seconds": round(time.perf_counter() - started, 3),
    }


@contextmanager
def explained(state: TrainState, before: dict[str, Any]) -> Iterator[None]:
    """What a machine cannot do becomes an error that says what it can: a minibatch that fits, a step as it is."""
    try:
        yield
    except RuntimeError as error:
        if state.config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            restore(state, before)
            raise compiler.failed(error) from error
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
    """Means over a held-out set: the ELBO, its two terms, and the share of saturated scales; in the unit of the data.

    Raises:
        FloatingPointError: one is not finite.
    """
    part = state.held_out[name]
    rng = torch.Generator(state.device).manual_seed(HELD_OUT_NOISE_SEED)
    sums = torch.zeros_like(state.sums)
    at_once = max(1, HELD_OUT_PIXELS // part.shape[1])
    samples = max(1, min(-(-HELD_OUT_DRAWS // len(part)), at_once // len(part)))
    for x in part.split(min(HELD_OUT_ROWS, at_once)):
        shape = (samples, len(x), state.config.latent_dim)
        noise = torch.randn(shape, generator=rng, device=x.device, dtype=x.dtype)
        with _checks.unchecked():
            _, terms = loss(state.model, x, noise)
            share = saturation(state.model.encoder(x))
        sums += torch.stack([terms.log_likelihood.sum(), terms.kl.sum(), len(x) * share])
    _require(bool(sums.isfinite().all()), f"the {name} set")
    log_likelihood, kl, saturated = (sums / len(part)).tolist()
    log_likelihood += state.unit.log_jacobian(part.shape[1])
    return {"elbo": log_likelihood - kl, "log_likelihood": log_likelihood, "kl": kl, "saturated": saturated}


# ----------------------------------------------------------------------------------------------------- where it runs


def threads_for(state: TrainState) -> int:
    """CPU threads that suit the size of a step: threads that wait for each other at every step can cost tenfold."""
    weights = sum(parameter.numel() for parameter in state.model.parameters())
    operations = 6 * weights * len(state.offsets) * state.config.importance_samples  # forward 2, backward 4
    return 1 if operations < SMALL_STEP else min(cores(), THREADS)


@contextmanager
def asked_to_stop(processes: Processes = ALONE) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that is asked between steps; the second one interrupts at once.

    So are a request to terminate, and the end of the terminal, unless it is ignored, as under nohup. Several processes
    are sent such requests more than once, by torchrun and by whoever ended it: there only Ctrl-C interrupts.
    """
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        if received and (processes.count == 1 or number == signal.SIGINT):
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield lambda: False
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
