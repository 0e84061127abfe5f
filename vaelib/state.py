"""The state of training: all that the next step needs, as tensors that stay where they are.

A step reads and writes these tensors in place. That is what lets it be recorded once and replayed (see
`vaelib.engine`), and what lets a run be stopped anywhere and go on as if it had not been: all randomness (order of
examples, binarization, noise) comes from the one generator here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelib.config import CHOICES, RunError, TrainConfig, beta, learning_rate
from vaelib.data import TRAIN_SEED, Data, binarization, binarize_once, dequantize_once, validation_split
from vaelib.objectives import Objective
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
    train: Tensor  # (examples, pixels), as stored
    white: float  # the number in `train` that means 1.0
    held_out: dict[str, Tensor]  # "test" and perhaps "validation": (examples, pixels), as the model is judged on them
    order: Tensor  # (examples,), the order of the epoch under way
    cursor: Tensor  # (), where in `order` the next minibatch begins
    offsets: Tensor  # (batch,), 0, 1, 2, ...
    sums: Tensor  # (3,), of StepInfo over the examples seen in this epoch
    first_bad_step: Tensor  # (), of this epoch, from 1: after it `sums` are not finite. While all are, the coming step
    epoch: int = 0  # epochs completed
    step: int = 0  # steps taken
    position: int = 0  # minibatches of this epoch taken
    history: list[dict[str, Any]] = field(default_factory=list)  # one record for each epoch completed
    best: dict[str, Tensor] | None = None  # the model of the best epoch so far, by the validation bound

    @property
    def batches(self) -> int:
        """Minibatches in an epoch; the last may be smaller."""
        return -(-len(self.train) // self.config.batch_size)

    @property
    def parameters(self) -> list[Tensor]:
        """Of the model, in its own order; asking the model walks through all its modules, at every step."""
        parameters: list[Tensor] = self.optimizer.param_groups[0]["params"]
        return parameters

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


def init(config: TrainConfig, data: Data) -> TrainState:
    """The state before the first step. What `config` leaves open ("auto") is decided here.

    Raises:
        RunError, DataError: the device is missing, or data and decoder do not fit each other.
    """
    mode = binarization(data, config.decoder, config.binarization)
    config = dataclasses.replace(config, device=available(config.device), binarization=mode)
    rng = torch.Generator().manual_seed(config.seed)
    model = build(config, data.image_shape, rng)
    rows, validation = data.train, None
    if config.validation:
        rows, validation = validation_split(data, config.validation, config.seed)
    train, white = as_trained(data, rows, mode)
    mean, deviation = moments(train, white, 0.5 if mode == "dequantized" else 0.0)
    start_at(model, torch.from_numpy(mean).to(model.prior_loc.dtype), deviation)
    model.to(config.device)
    seed = int(torch.randint(2**62, (), generator=rng))  # apart from the weights' own stream
    held_out = {"test": as_judged(data, data.test, mode)}
    if validation is not None:
        held_out["validation"] = as_judged(data, validation, mode)

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
        train=torch.tensor(train, device=config.device if _fits(train, config.device) else "cpu"),
        white=white,
        held_out={name: part.to(config.device, model.prior_loc.dtype) for name, part in held_out.items()},
        order=torch.zeros(len(train), dtype=torch.int64, device=config.device),
        cursor=number(0, torch.int64),
        offsets=torch.arange(min(config.batch_size, len(train)), device=config.device),
        sums=torch.zeros(3, device=config.device, dtype=torch.float64),
        first_bad_step=number(1, torch.int64),
    )


def build(config: TrainConfig, image_shape: tuple[int, ...], rng: torch.Generator) -> VAE:
    """The model that `config` describes, with starting weights drawn by `rng`, on the CPU."""
    scale = None if config.decoder == "bernoulli" else (config.decoder_scale or "learned")
    pixels = int(np.prod(image_shape))
    images = None
    if config.network == "conv":
        if len(image_shape) != 2 or min(image_shape) < 2:
            raise RunError(
                f"Expected grey images (height, width) for `network` conv, but the data have shape {image_shape}. Use"
                " --network dense."
            )
        images = (image_shape[0], image_shape[1])
    model = VAE(pixels, config.latent_dim, config.hidden, scale, config.layer_norm, image_shape=images, rng=rng)
    return model.to(getattr(torch, config.dtype))


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


def moments(train: np.ndarray, white: float, shift: float) -> tuple[np.ndarray, float]:
    """Mean image of (train + shift) / white, and the root mean squared distance from it; 1 where nothing varies."""
    mean = train.mean(0, dtype=np.float64)
    variance = float(np.mean([np.mean((part - mean) ** 2) for part in np.array_split(train, -(-len(train) // 1000))]))
    return (mean + shift) / white, np.sqrt(variance) / white or 1.0


def as_judged(data: Data, part: np.ndarray, mode: str) -> Tensor:
    """Held-out examples as the model is judged on them: binarized or dequantized once, or as they are; on the CPU."""
    if mode == "dequantized":
        return torch.tensor(dequantize_once(data, part))
    return torch.tensor(data.intensities(part) if mode == "none" else binarize_once(data, part), dtype=torch.float32)


def available(name: str) -> str:
    """The device of that name; "auto" is the GPU where there is one."""
    if name not in CHOICES["device"]:
        raise RunError(f"Expected the device to be {', '.join(CHOICES['device'])}, but got {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("Expected a CUDA device, but PyTorch finds none. Use --device cpu, or install PyTorch for CUDA.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _fits(train: np.ndarray, device: str) -> bool:
    return device == "cpu" or train.nbytes <= RESIDENT * torch.cuda.mem_get_info()[0]


def draw(state: TrainState, indices: Tensor) -> tuple[Tensor, Tensor]:
    """The minibatch (batch, pixels), binarized or dequantized afresh if it is to be; the noise (K, batch, latent_dim).

    Args:
        indices: (batch,), integers on the device.
    """
    config, rng, dtype = state.config, state.generator, state.model.prior_loc.dtype
    x = state.train.index_select(0, indices.to(state.train.device)).to(state.device).to(dtype)
    if config.binarization == "dequantized":
        x = x + torch.rand(x.shape, generator=rng, device=x.device, dtype=dtype)
    if state.white != 1.0:
        x = x / state.white
    if config.binarization == "dynamic":
        x = torch.bernoulli(x, generator=rng)
    shape = (config.importance_samples, len(indices), config.latent_dim)
    return x, torch.randn(shape, generator=rng, device=x.device, dtype=dtype)


def begin_epoch(state: TrainState) -> None:
    """A fresh order, empty sums, and the learning rate and beta of the epoch."""
    shuffled = torch.randperm(len(state.train), generator=state.generator, device=state.device)
    state.order.copy_(shuffled)
    state.position = 0
    state.cursor.zero_()
    state.sums.zero_()
    state.first_bad_step.fill_(1)
    set_rates(state)


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


@torch.no_grad()
def restore(state: TrainState, saved: dict[str, Any]) -> None:
    """Put `state` back to where `snapshot` was taken; every tensor stays where it is, and takes the saved numbers."""
    state.model.load_state_dict(saved["model"])
    for name, parameter in state.model.named_parameters():
        for key, moment in state.optimizer.state[parameter].items():
            moment.copy_(saved["optimizer"][name][key])
    state.generator.set_state(saved["generator"].cpu())
    state.order.copy_(saved["order"])
    state.sums.copy_(saved["sums"])
    state.epoch, state.step, state.position = saved["epoch"], saved["step"], saved["position"]
    state.cursor.fill_(state.position * len(state.offsets))
    state.first_bad_step.fill_(state.position + 1)
    set_rates(state)
