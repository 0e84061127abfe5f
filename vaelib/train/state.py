"""The state of training: all that the next step needs, as tensors that stay where they are.

A step reads and writes these tensors in place. That is what lets it be recorded once and replayed (see
`vaelib.train.engine`), and what lets a run be stopped anywhere and go on as if it had not been: all randomness (order
of examples, binarization, noise) comes from the one generator here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelib._spoken import option
from vaelib.data import (
    TRAIN_SEED,
    Data,
    Stream,
    binarization,
    binarize_once,
    dequantize_once,
    rounds_away,
    validation_split,
)
from vaelib.data import stream as on_disk
from vaelib.data.core import in_colour
from vaelib.data.unit import Unit, center_and_spread, suited_to
from vaelib.objectives import Objective
from vaelib.train import window
from vaelib.train.config import CHOICES, RunError, TrainConfig, beta, learning_rate
from vaelib.train.surroundings import ordinary, threads
from vaelib.train.window import Window
from vaelib.vae import VAE, start_at

RESIDENT = 0.5  # of a GPU's free memory, at most, is for the training set; a larger one stays on the host


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
    learning_rate: Tensor  # (), which the optimizer reads
    beta: Tensor  # (), the weight of the KL in this epoch
    generator: torch.Generator
    train: Tensor  # (examples, pixels), as stored, or in the networks' unit where that is another; or of the `window`
    white: float  # the number in `train` that means 1.0
    held_out: dict[str, Tensor]  # "test" and perhaps "validation": (examples, pixels), as the networks see them
    order: Tensor  # (examples,), the order of the epoch under way, or in the window
    cursor: Tensor  # (), where in `order` the next minibatch begins
    offsets: Tensor  # (batch,), 0, 1, 2, ...
    sums: Tensor  # (3,), of StepInfo over the examples seen in this epoch
    first_bad_step: Tensor  # (), of this epoch, from 1: after it `sums` are not finite. While all are, the coming step
    window: Window | None = None  # where the training set streams from disk: the part of it that is in `train`
    epoch: int = 0  # epochs completed
    step: int = 0  # steps taken
    position: int = 0  # minibatches of this epoch taken
    history: list[dict[str, Any]] = field(default_factory=list)  # one record for each epoch completed
    best: dict[str, Tensor] | None = None  # the model of the best epoch so far, by the validation bound

    @property
    def batches(self) -> int:
        """Minibatches in an epoch; the last may be smaller."""
        return -(-self.examples // self.config.batch_size)

    @property
    def examples(self) -> int:
        """In the training set."""
        return len(self.train if self.window is None else self.window.stream)

    @property
    def place(self) -> int:
        """Where in `order` the next minibatch begins, as the host knows it."""
        start = self.position * len(self.offsets)
        return start if self.window is None else start % len(self.order)

    @property
    def parameters(self) -> list[Tensor]:
        """Of the model, in its own order; asking the model walks through all its modules, at every step."""
        parameters: list[Tensor] = self.optimizer.param_groups[0]["params"]
        return parameters

    @property
    def unit(self) -> Unit:
        """Between the numbers of the data and those that the networks see."""
        return self.model.unit

    @property
    def objective(self) -> Objective:
        return Objective(self.config.objective, self.beta, self.config.free_bits)

    @property
    def device(self) -> torch.device:
        return self.sums.device

    @property
    def resident(self) -> bool:
        """Does the training set lie on the device?"""
        return self.train.device.type == self.device.type


@ordinary()
@threads()  # products are rounded by their number
def init(config: TrainConfig, data: Data) -> TrainState:
    """The state before the first step. What `config` leaves open ("auto") is decided here.

    With a Gaussian decoder, pixels that are not dequantized are standardized if a network would fit badly in their
    unit: if their root mean squared distance from the mean image of the training set is below 0.1 or above 50, or their
    mean is more than 10 of these away from 0. All others are taken as they are. See `vaelib.data.unit`.

    Raises:
        RunError, DataError: the device is missing, data and decoder do not fit each other, or memory does not suffice.
    """
    mode = binarization(data, config.decoder, config.binarization)
    config = dataclasses.replace(config, device=available(config.device), binarization=mode)
    rng = torch.Generator().manual_seed(config.seed)
    rows, validation = data.train, None
    stream = data.stream
    if config.validation and stream is not None:
        stream, validation = held_out_of(stream, data, config)
    elif config.validation:
        rows, validation = validation_split(data, config.validation, config.seed)
    train, white = as_trained(data, rows, mode)
    mean, deviation = center_and_spread(train)
    shift = 0.5 if mode == "dequantized" else 0.0
    mean, deviation = (mean + shift) / white, deviation / white
    unit = Unit()
    if config.decoder == "gaussian" and mode == "none":
        unit = suited_to(float(mean.mean()), deviation)
    if not unit.trivial:
        train, white = unit.inward(train.astype(np.float64) / white).astype(np.float32), 1.0
        mean, deviation = unit.inward(mean), deviation / unit.scale
    looked_through = None
    if stream is not None:
        looked_through, white = window.opened(data, stream, mode, unit, config.seed, config.batch_size)
        train = looked_through.rows.numpy()
    model = build(config, data.image_shape, rng, unit, data.levels)
    start_at(model, torch.from_numpy(mean).to(model.prior_loc.dtype), deviation or 1.0)
    model.to(config.device)
    seed = int(torch.randint(2**62, (), generator=rng))  # apart from the weights' own stream
    held_out = {"test": as_judged(data, data.test, mode, unit)}
    if validation is not None:
        held_out["validation"] = as_judged(data, validation, mode, unit)

    def number(value: float, dtype: torch.dtype) -> Tensor:
        return torch.full((), value, dtype=dtype, device=config.device)

    rate = number(config.learning_rate, torch.float32)
    return TrainState(
        config=config,
        model=model,
        optimizer=adam(model, rate),
        learning_rate=rate,
        beta=number(config.beta, model.prior_loc.dtype),
        generator=torch.Generator(config.device).manual_seed(seed),
        train=_placed(train, config.device) if looked_through is None else looked_through.rows,
        white=white,
        held_out={name: part.to(config.device, model.prior_loc.dtype) for name, part in held_out.items()},
        order=torch.zeros(len(train), dtype=torch.int64, device=config.device),
        cursor=number(0, torch.int64),
        offsets=torch.arange(min(config.batch_size, len(train)), device=config.device),
        sums=torch.zeros(3, device=config.device, dtype=torch.float64),
        first_bad_step=number(1, torch.int64),
        window=looked_through,
    )


@ordinary()
def build(
    config: TrainConfig,
    image_shape: tuple[int, ...],
    rng: torch.Generator,
    unit: Unit | None = None,
    levels: int | None = None,
) -> VAE:
    """The model that `config` describes, with starting weights drawn by `rng`, on the CPU.

    Args:
        image_shape: of an example. A convolutional network is for images, (height, width) or (height, width, 3); axes
            of size 1 beside these, where one channel is kept, are passed over.
        unit: of the data; a scale of the decoder that is fixed is in it.
        levels: of the data, which a discretized logistic decoder needs.

    Raises:
        RunError: the network is not for such images, or does not fit into memory.
    """
    unit = unit or Unit()
    scale: float | str | None = None if config.decoder == "bernoulli" else "learned"
    if config.decoder_scale is not None:
        scale = config.decoder_scale / unit.scale
    images = as_image(image_shape) if config.network == "conv" else None
    require_memory(config, image_shape)
    model = VAE(
        math.prod(image_shape),
        config.latent_dim,
        config.hidden,
        scale,
        config.layer_norm,
        levels=levels if config.decoder == "discretized-logistic" else None,
        image_shape=images,
        activation=config.activation,
        rng=rng,
    )
    model.unit = unit
    return model.to(getattr(torch, config.dtype))


def as_image(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """(height, width, 3) of images in colour, or (height, width), whichever axes of size 1 are beside these."""
    if in_colour(image_shape):
        return image_shape
    axes = tuple(size for size in image_shape if size > 1)
    if len(axes) != 2:
        other = "other than 1 or 3 numbers a pixel" if len(axes) > 2 else "one row of numbers"
        raise RunError(
            f"Expected images (height, width), or (height, width, 3) in colour, for `network` conv, but the data have"
            f" shape {image_shape}, which is {other}. Use {option('network', 'dense')}."
            + (" Is the fourth one opacity? Leave it out: array[..., :3]." if len(axes) == 3 and axes[2] == 4 else "")
        )
    return axes


def require_memory(config: TrainConfig, image_shape: tuple[int, ...]) -> None:
    """Refuse a network that this machine cannot hold: weights, gradients and two moments for each parameter.

    Asked before anything is allocated: systems promise more memory than they have, and end whoever uses it.
    """
    widths = [math.prod(image_shape), *config.hidden]
    if config.network == "conv":  # convolutions weigh little; what they make of an image is `features` numbers
        height, width, *_ = as_image(image_shape)
        halved = 2 ** len(config.hidden)
        widths = [config.hidden[-1] * -(-height // halved) * -(-width // halved)]
    weights = 2 * sum(a * b for a, b in itertools.pairwise(widths)) + 3 * widths[-1] * config.latent_dim
    needed, held = 4 * weights * (8 if config.dtype == "float64" else 4), memory(config.device)
    if needed > held:
        raise RunError(
            f"Expected the network's parameters, with {option('hidden')} {list(config.hidden)} and"
            f" {option('latent_dim')} {config.latent_dim:,}, to fit into memory, but with their gradients and moments"
            f" they need about {needed / 2**30:,.0f} GiB, and there are {held / 2**30:,.0f}. Use a smaller network."
        )


def memory(device: str) -> float:
    """Bytes of memory that there are in all; infinity where the system does not say."""
    if device == "cuda" and torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1])
    return on_disk.memory()


def adam(model: VAE, learning_rate: Tensor) -> torch.optim.Optimizer:
    """Adam with moments from the start: checkpoints, replays and the first step see one form."""
    on_gpu = learning_rate.is_cuda
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True, capturable=on_gpu)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # by nothing
    for moments in optimizer.state.values():
        moments["step"].zero_()
    return optimizer


def as_trained(data: Data, rows: np.ndarray, mode: str) -> tuple[np.ndarray, float]:
    """Training examples as they are kept on the device, and the number in them that means 1.0."""
    if mode == "fixed":
        return binarize_once(data, rows, TRAIN_SEED), 1.0
    if mode == "none" and data.binary:
        return (rows != 0).astype(np.uint8), 1.0  # bytes, with nothing left to divide by
    return rows, data.white + 1.0 if mode == "dequantized" else data.white  # v + u lies between 0 and white + 1


def as_judged(data: Data, part: np.ndarray, mode: str, unit: Unit | None = None) -> Tensor:
    """Held-out examples as the model is judged on them: binarized or dequantized once, or as they are; on the CPU.

    Args:
        unit: what is to be taken off. Without one, numbers that float32 would round too much stay in double precision.
    """
    if mode == "dequantized":
        return torch.tensor(dequantize_once(data, part))
    if mode != "none":
        return torch.tensor(binarize_once(data, part), dtype=torch.float32)
    if unit is not None and not unit.trivial:
        return torch.tensor(unit.inward(part.astype(np.float64) / data.white), dtype=torch.float32)
    exact = part / data.white if rounds_away(part) else data.intensities(part)
    return torch.tensor(exact)


def available(name: str) -> str:
    """The device of that name; "auto" is the GPU where there is one."""
    if name not in CHOICES["device"]:
        raise RunError(f"Expected the device to be {', '.join(CHOICES['device'])}, but got {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError(
            f"Expected a CUDA device, but PyTorch finds none. Use {option('device', 'cpu')}, or install PyTorch for"
            " CUDA."
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _placed(train: np.ndarray, device: str) -> Tensor:
    fits = device == "cpu" or train.nbytes <= RESIDENT * torch.cuda.mem_get_info()[0]
    return torch.tensor(train, device=device if fits else "cpu")


def held_out_of(stream: Stream, data: Data, config: TrainConfig) -> tuple[Stream, np.ndarray]:
    """A training set on disk without its validation set, and that: no more of it than fits beside everything else."""
    if not 0 < round(config.validation * len(stream)) < len(stream):
        validation_split(data, config.validation, config.seed)  # says what is wrong
    rows = stream.spread_out(stream.aside(config.validation), config.seed)
    return stream.without(rows), stream.pick(rows).astype(data.train.dtype)


class Randomness(NamedTuple):
    """What a step draws, beside the order of the examples."""

    uniform: Tensor | None  # (batch, pixels), in [0, 1), where pixels are binarized or dequantized at each visit
    noise: Tensor  # (K, batch, latent_dim), standard normal


def randomness(state: TrainState, examples: int) -> Randomness:
    """For so many examples."""
    config, rng, dtype = state.config, state.generator, state.model.prior_loc.dtype
    like: dict[str, Any] = {"generator": rng, "device": state.device, "dtype": dtype}
    treated = config.binarization in ("dynamic", "dequantized")
    uniform = torch.rand(examples, state.train.shape[1], **like) if treated else None
    return Randomness(uniform, torch.randn(config.importance_samples, examples, config.latent_dim, **like))


def pixels(state: TrainState, indices: Tensor, uniform: Tensor | None) -> Tensor:
    """The examples at `indices` (batch,), integers on the device, as the networks see them: (batch, pixels).

    They are binarized or dequantized by `uniform`, afresh at each visit, if they are to be: a pixel of probability p
    becomes 1 where it lies below p.
    """
    dtype = state.model.prior_loc.dtype
    x = state.train.index_select(0, indices.to(state.train.device)).to(state.device).to(dtype)
    if uniform is not None and state.config.binarization == "dequantized":
        x = x + uniform
    if state.white != 1.0:
        x = x / state.white
    if uniform is not None and state.config.binarization == "dynamic":
        x = (uniform < x).to(dtype)
    return x


def draw(state: TrainState, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The minibatch at `indices`, (batch, pixels), and the noise, (K, batch, latent_dim)."""
    random = randomness(state, len(indices))
    return pixels(state, indices, random.uniform), random.noise


def following(state: TrainState) -> Tensor:
    """The indices of the next whole minibatch, (batch,); `cursor` moves past them."""
    indices = state.order.index_select(0, state.cursor + state.offsets)
    state.cursor.add_(len(indices))
    return indices


def begin_epoch(state: TrainState) -> None:
    """A fresh order, empty sums, and the learning rate and beta of the epoch."""
    if state.window is None:
        shuffled = torch.randperm(len(state.train), generator=state.generator, device=state.device)
        state.order.copy_(shuffled)
    state.position = 0
    state.cursor.zero_()
    state.sums.zero_()
    state.first_bad_step.fill_(1)
    set_rates(state)


def look_through(state: TrainState) -> None:
    """Have the rows of the next minibatch in `train`, where the training set streams from disk."""
    if state.window is None:
        return
    at = (state.epoch, state.position * len(state.offsets) // len(state.order))
    if state.window.held != at:
        order = state.window.order(*at)
        state.order[: len(order)] = order.to(state.device)
        state.cursor.fill_(state.place)


def set_rates(state: TrainState) -> None:
    state.learning_rate.fill_(learning_rate(state.config, state.epoch))
    state.beta.fill_(beta(state.config, state.epoch))


# ------------------------------------------------------------------------------------------------ saving and restoring


def snapshot(state: TrainState) -> dict[str, Any]:
    """All that the coming steps depend on, as tensors and numbers (not copied)."""
    return {
        "model": state.model.state_dict(),
        "optimizer": {name: dict(state.optimizer.state[p]) for name, p in state.model.named_parameters()},
        "generator": state.generator.get_state(),
        "order": state.order,
        "sums": state.sums,
        "epoch": state.epoch,
        "step": state.step,
        "position": state.position,
    }


@ordinary()
@torch.no_grad()
def restore(state: TrainState, saved: dict[str, Any]) -> None:
    """Put `state` back to where `snapshot` was taken; every tensor stays where it is, and takes the saved numbers."""
    state.model.load_state_dict(saved["model"])
    for name, parameter in state.model.named_parameters():
        for key, moment in state.optimizer.state[parameter].items():
            moment.copy_(saved["optimizer"][name][key])
    generator = saved["generator"].cpu()
    if generator.shape == state.generator.get_state().shape:
        state.generator.set_state(generator)
    else:  # of another device, whose random numbers are others: the run goes on, though not bit for bit
        state.generator.manual_seed(saved["step"])
    state.order.copy_(saved["order"])
    state.sums.copy_(saved["sums"])
    state.epoch, state.step, state.position = saved["epoch"], saved["step"], saved["position"]
    state.cursor.fill_(state.place)
    state.first_bad_step.fill_(state.position + 1)
    set_rates(state)
