"""Training: `init` makes a state, `step` moves it by one minibatch, `fit` runs to the end and keeps the run on disk.

The whole data set lies on the device as one tensor. All randomness (order of examples, binarization, noise) comes from
the one generator in the state, so that a run can be stopped anywhere and goes on as if it had not been.
"""

from __future__ import annotations

import copy
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaelib import checkpoint
from vaelib.config import RunError, TrainConfig, learning_rate
from vaelib.data import TRAIN_SEED, Data, binarization, binarize_once
from vaelib.vae import VAE, loss, saturation, start_at

__all__ = ["NotFinite", "RunError", "StepInfo", "TrainConfig", "TrainState", "build", "fit", "init", "load", "step"]

LOOK_EVERY = 500  # steps between looks at whether the sums are still finite; a look makes a GPU wait
TEST_NOISE_SEED = 0  # the same noise at every epoch: a test curve moves because the model does
TEST_ROWS = 10_000  # test examples in one pass
TEST_DRAWS = 2_500  # of z in all, at least: a curve over a few test examples would else be mostly noise
SAVING_SHARE = 0.05  # of the time, at most, goes into checkpoints
SMALL_STEP = (
    2e8  # floating-point operations; below, a second CPU thread gains little, and costs a lot if its core is busy
)


class NotFinite(ArithmeticError):
    """Training met NaN or an infinity; `step` (from 1) and `tensor` say where first."""

    def __init__(self, step: int, tensor: str, advice: str) -> None:
        super().__init__(
            f"Training stopped: step {step} is the first with a number that is not finite, in {tensor}. {advice}"
        )
        self.step, self.tensor = step, tensor


class StepInfo(NamedTuple):
    """What a person may want to know of one step: means over the minibatch in nats, left on the device."""

    objective: Tensor
    log_likelihood: Tensor
    kl: Tensor


@dataclass
class TrainState:
    """What the next step needs."""

    config: TrainConfig
    model: VAE
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    train: Tensor  # (examples, pixels), as stored, on the device
    test: Tensor  # (examples, pixels), float32, binarized already if it is to be
    white: float  # the number in `train` that means 1.0
    sums: Tensor  # (3,), of StepInfo over the examples seen in this epoch
    epoch: int = 0  # epochs completed
    step: int = 0  # steps taken
    order: Tensor | None = None  # the examples in the order of the epoch under way
    position: int = 0  # minibatches of this epoch taken
    history: list[dict[str, Any]] = field(default_factory=list)  # one record for each epoch completed

    @property
    def batches(self) -> int:
        """Minibatches in an epoch; the last may be smaller."""
        return -(-len(self.train) // self.config.batch_size)


# ------------------------------------------------------------------------------------------------------------ a step


def init(config: TrainConfig, data: Data) -> TrainState:
    """The state before the first step. What `config` leaves open ("auto") is decided here.

    Raises:
        RunError, DataError: the device is missing, or data and decoder do not fit each other.
    """
    mode = binarization(data, config.decoder, config.binarization)
    config = dataclasses.replace(config, device=_device(config.device), binarization=mode)
    rng = torch.Generator().manual_seed(config.seed)
    model = build(config, data.pixels, rng)
    train, white = (data.train, data.white) if mode != "fixed" else (binarize_once(data, data.train, TRAIN_SEED), 1.0)
    test = data.intensities(data.test) if mode == "none" else binarize_once(data, data.test)
    start_at(model, torch.from_numpy(train.mean(0, dtype="float64") / white).float())
    model.to(config.device)
    seed = int(torch.randint(2**62, (), generator=rng))  # apart from the weights' own stream
    return TrainState(
        config=config,
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True),
        generator=torch.Generator(config.device).manual_seed(seed),
        train=torch.tensor(train, device=config.device),
        test=torch.tensor(test, device=config.device, dtype=torch.float32),
        white=white,
        sums=torch.zeros(3, device=config.device, dtype=torch.float64),
    )


def build(config: TrainConfig, pixels: int, rng: torch.Generator) -> VAE:
    """The model that `config` describes, with starting weights drawn by `rng`, on the CPU."""
    scale = None if config.decoder == "bernoulli" else (config.decoder_scale or "learned")
    return VAE(pixels, config.latent_dim, config.hidden, scale, config.layer_norm, rng=rng)


def step(state: TrainState, indices: Tensor) -> StepInfo:
    """One step of Adam on the training examples at `indices` (batch,), an integer tensor on the device.

    Changes `state`: the model, the optimizer's moments, the generator, the count of steps. Nothing is copied to the
    host.
    """
    x, noise = draw(state, indices)
    minimized, terms = loss(state.model, x, noise, objective=state.config.objective, beta=state.config.beta)
    state.optimizer.zero_grad(set_to_none=True)
    minimized.backward()
    state.optimizer.step()
    state.step += 1
    return StepInfo(-minimized.detach(), terms.log_likelihood.detach().mean(), terms.kl.detach().mean())


def draw(state: TrainState, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The minibatch, binarized afresh if it is to be, (batch, pixels), and the noise, (K, batch, latent_dim)."""
    config, rng = state.config, state.generator
    x = state.train.index_select(0, indices).float() / state.white
    if config.binarization == "dynamic":
        x = torch.bernoulli(x, generator=rng)
    shape = (config.importance_samples, len(indices), config.latent_dim)
    return x, torch.randn(shape, generator=rng, device=x.device)


def _device(name: str) -> str:
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("Expected a CUDA device, but PyTorch finds none. Use --device cpu, or install PyTorch for CUDA.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


# ----------------------------------------------------------------------------------------------------------- a run


def fit(
    config: TrainConfig,
    data: Data,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    callback: Callable[[TrainState], None] | None = None,
) -> TrainState:
    """Train for `config.epochs` epochs.

    Args:
        out: a folder to keep the run in: config.json, metrics.jsonl, checkpoint.pt. None: it is kept in memory alone.
        resume: go on with the run in `out`. On the CPU the result equals that of an uninterrupted run bit for bit.
        callback: called with the state before the first step and after each epoch, whose record is `history[-1]`.

    Raises:
        RunError, DataError: the run cannot be started as asked; nothing has been changed.
        NotFinite: NaN or an infinity turned up; the last good checkpoint stays.
        KeyboardInterrupt: Ctrl-C (or a termination signal) came. The step under way was finished, and the run saved.
    """
    state = init(config, data)
    folder = None if out is None else Path(out)
    fingerprint = "" if folder is None else data.fingerprint()
    if resume:
        if folder is None:
            raise RunError("Expected `out` to say which run to resume, but got None.")
        _resume(state, folder, fingerprint)
    elif folder is not None:
        checkpoint.begin(folder, state.config, about(state, data, fingerprint))
    saved_at, cost = time.perf_counter(), 0.0
    if callback is not None:
        callback(state)
    with asked_to_stop() as stop, suitable_threads(state):
        while state.epoch < state.config.epochs:
            record = run_epoch(state, stop)
            if record is None:
                if folder is not None:
                    checkpoint.save(folder, payload(state, fingerprint))
                raise KeyboardInterrupt
            state.history.append(record)
            now = time.perf_counter()
            if folder is not None:
                if state.epoch == state.config.epochs or cost <= SAVING_SHARE * (now - saved_at):
                    checkpoint.save(folder, payload(state, fingerprint))
                    saved_at = time.perf_counter()
                    cost = saved_at - now
                checkpoint.append_metrics(folder, record)
            if callback is not None:
                callback(state)
    return state


def run_epoch(state: TrainState, stop: Callable[[], bool] = lambda: False) -> dict[str, Any] | None:
    """The rest of the epoch under way, and its record; None if `stop` said so between two steps.

    Raises:
        NotFinite: after going through the epoch once more to find the first step and tensor that are not finite.
    """
    started = time.perf_counter()
    before = copy.deepcopy(snapshot(state))
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.config, state.epoch)
    try:
        while state.position < state.batches:
            if stop():
                return None
            indices = next_minibatch(state)
            info = step(state, indices)
            state.sums += len(indices) * torch.stack(info)
            if state.step % LOOK_EVERY == 0:
                _require_finite(state.sums)
        train = (state.sums / len(state.train)).tolist()
        _require_finite(torch.tensor(train))
        test, saturated = held_out_terms(state)
        _require_finite(torch.tensor(test))
    except (ValueError, FloatingPointError) as error:  # a distribution refuses NaN with a ValueError on the CPU
        restore(state, before)
        raise blame(state) or error from error
    state.epoch, state.position, state.order = state.epoch + 1, 0, None
    state.sums.zero_()
    return {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": learning_rate(state.config, state.epoch - 1),
        "binarization": state.config.binarization,
        "train_objective": train[0],
        "train_elbo": train[1] - train[2],
        "train_log_likelihood": train[1],
        "train_kl": train[2],
        "test_elbo": test[0] - test[1],
        "test_log_likelihood": test[0],
        "test_kl": test[1],
        "saturated": saturated,
        "seconds": round(time.perf_counter() - started, 3),
    }


def next_minibatch(state: TrainState) -> Tensor:
    """The indices of the next minibatch; at the start of an epoch, in a fresh order."""
    if state.order is None:
        state.order = torch.randperm(len(state.train), generator=state.generator, device=state.train.device)
    size = state.config.batch_size
    indices = state.order[state.position * size : (state.position + 1) * size]
    state.position += 1
    return indices


@torch.no_grad()
def held_out_terms(state: TrainState) -> tuple[list[float], float]:
    """Means over the test set of the log-likelihood and the KL, and the share of saturated scales."""
    rng = torch.Generator(state.train.device).manual_seed(TEST_NOISE_SEED)
    sums = torch.zeros_like(state.sums)
    samples = -(-TEST_DRAWS // len(state.test))
    for x in state.test.split(TEST_ROWS):
        noise = torch.randn((samples, len(x), state.config.latent_dim), generator=rng, device=x.device)
        _, terms = loss(state.model, x, noise)
        share = saturation(state.model.encoder(x))
        sums += torch.stack([terms.log_likelihood.sum(), terms.kl.sum(), len(x) * share])
    log_likelihood, kl, saturated = (sums / len(state.test)).tolist()
    return [log_likelihood, kl], saturated


@contextmanager
def suitable_threads(state: TrainState) -> Iterator[None]:
    """One CPU thread while a small model trains: threads that wait for each other at every step can cost tenfold."""
    before = torch.get_num_threads()
    weights = sum(parameter.numel() for parameter in state.model.parameters())
    operations = 6 * weights * state.config.batch_size * state.config.importance_samples  # forward 2, backward 4
    torch.set_num_threads(1 if operations < SMALL_STEP else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def snapshot(state: TrainState) -> dict[str, Any]:
    """All that the coming steps depend on, as tensors and numbers (not copied)."""
    return {
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "generator": state.generator.get_state(),
        "epoch": state.epoch,
        "step": state.step,
        "order": state.order,
        "position": state.position,
        "sums": state.sums,
    }


def restore(state: TrainState, saved: dict[str, Any]) -> None:
    """Put `state` back to where `snapshot` was taken."""
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.generator.set_state(saved["generator"].cpu())
    state.epoch, state.step, state.position = saved["epoch"], saved["step"], saved["position"]
    state.order, state.sums = saved["order"], saved["sums"]


def about(state: TrainState, data: Data, fingerprint: str) -> dict[str, Any]:
    """What a run records beside its settings."""
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    return {
        "image_shape": list(data.image_shape),
        "train_examples": len(data.train),
        "test_examples": len(data.test),
        "parameters": parameters,
        "data_sha256": fingerprint,
        "torch": torch.__version__,
    }


def payload(state: TrainState, fingerprint: str) -> dict[str, Any]:
    """The checkpoint."""
    described = {"pixels": state.train.shape[1], "sha256": fingerprint}
    return {"config": state.config.as_dict(), "data": described, **snapshot(state), "history": state.history}


def _resume(state: TrainState, folder: Path, fingerprint: str) -> None:
    stored = checkpoint.read_config(folder)
    checkpoint.require_same(folder, state.config, stored, fingerprint)
    if (folder / checkpoint.CHECKPOINT).exists():  # else it was stopped before the first: begin anew
        saved = checkpoint.load(folder, state.config.device)
        restore(state, saved)
        state.history = saved["history"]
    checkpoint.write_json(folder / checkpoint.CONFIG, {**stored, **state.config.as_dict()})
    checkpoint.write_metrics(folder, state.history)


def load(folder: str | Path, device: str = "auto") -> VAE:
    """The trained model of a run.

    model = vaelib.train.load("runs/course")
    q = model.encode(x)                                  # x as the model was trained: (n, pixels) in [0, 1]
    images = model.decode(q.loc).mean                    # reconstructions
    new = model.sample(16, rng=torch.Generator())        # a generator on the model's device
    """
    if Path(folder).is_file():
        raise RunError(f"Expected the folder of a run, but {folder} is a file. Give the folder that holds it.")
    saved = checkpoint.load(Path(folder), _device(device))
    config = TrainConfig(**saved["config"])
    model = build(config, saved["data"]["pixels"], torch.Generator()).to(_device(device))
    model.load_state_dict(saved["model"])
    return model.eval().requires_grad_(False)


# ----------------------------------------------------------------------------------------- numbers that are not finite


def _require_finite(sums: Tensor) -> None:
    """A sum is not finite once a term was not, so one look tells about all steps since the epoch began."""
    if not bool(sums.isfinite().all()):
        raise FloatingPointError


def blame(state: TrainState) -> NotFinite | None:
    """Go on from `state`, looking at every tensor of every step, until one is not finite."""
    advice = f"The last good checkpoint stays. Try a smaller --learning-rate; it was {state.config.learning_rate:g}."
    while state.position < state.batches:
        tensor = first_not_finite(state, next_minibatch(state))
        if tensor is not None:
            return NotFinite(state.step, tensor, advice)
    return None


def first_not_finite(state: TrainState, indices: Tensor) -> str | None:
    """Take one step and name its first tensor that is not finite, in the order in which they are computed."""
    found: list[str] = []

    def look(name: str, tensor: Tensor | None) -> None:
        if not found and tensor is not None and not bool(tensor.isfinite().all()):
            found.append(name)

    model, at = state.model, state.step + 1
    for name, parameter in model.named_parameters():
        look(f"the parameter {name}", parameter)
    hooks = [
        model.encoder.register_forward_pre_hook(lambda module, args: look("the minibatch x", args[0])),
        model.decoder.register_forward_pre_hook(lambda module, args: look("the latents z", args[0])),
    ]
    for name, module in model.named_modules():
        if not list(module.children()):
            hooks.append(
                module.register_forward_hook(lambda _, args, output, name=name: look(f"the output of {name}", output))
            )
    try:
        for name, value in zip(StepInfo._fields, step(state, indices), strict=True):
            look(f"the {name}", value)
        for name, parameter in model.named_parameters():
            look(f"the gradient of {name}", parameter.grad)
        for name, parameter in model.named_parameters():
            look(f"the parameter {name} after the update", parameter)
    except ValueError:  # a distribution refused what was found
        pass
    finally:
        for hook in hooks:
            hook.remove()
    state.step = at
    return found[0] if found else None
