"""The rows of training.py: ways to train one VAE, 784-400-20-400-784 with ReLU, batch 128, Adam with rate 1e-3.

A row is a call that takes one or more steps, and the number of images that a call trains on. Each row feeds itself, as
such a loop does; all draw from the same images.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from vaelib import _checks, objectives
from vaelib.data import Data
from vaelib.train import TrainConfig, TrainState, init
from vaelib.train.engine import runner, take
from vaelib.train.state import begin_epoch
from vaelib.vae import VAE

PIXELS, HIDDEN, LATENT, BATCH, RATE = 784, 400, 20, 128, 1e-3
CONVOLUTIONAL: dict[str, Any] = {"network": "conv", "hidden": (32, 64)}
IMAGES = 78 * BATCH  # no odd last minibatch: every step of every row is the same work

Loss = Callable[[VAE, Tensor, Tensor], tuple[Tensor, Any]]


class Row(NamedTuple):
    call: Callable[[], object]
    images: float  # that a call trains on


@dataclass(frozen=True)
class Problem:
    images: NDArray[np.uint8]  # (IMAGES, PIXELS): 0 and 1, or grey bytes
    dynamic: bool  # grey bytes, of which every step draws binary ones

    @property
    def white(self) -> float:
        return 255.0 if self.dynamic else 1.0


def synthetic(dynamic: bool, seed: int = 0) -> Problem:
    """Bright in the middle and dark at the edges, 15 % ink, about as MNIST; no pixel is always off."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[-1:1:28j, -1:1:28j]
    mean = (0.02 + 0.7 * np.exp(-4.0 * (down**2 + across**2))).ravel()
    return Problem(rng.binomial(255 if dynamic else 1, mean, (IMAGES, PIXELS)).astype(np.uint8), dynamic)


def network(seed: int = 0) -> VAE:
    return VAE(PIXELS, LATENT, (HIDDEN,), rng=torch.Generator().manual_seed(seed))


def layers(model: nn.Module) -> list[nn.Linear]:
    """The five of them, from x to x."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def flop_per_image() -> int:
    """A multiply-add is 2; forward, weights' gradient, input's gradient; x itself needs no gradient."""
    sizes = [layer.weight.numel() for layer in layers(network())]
    return 2 * (3 * sum(sizes) - sizes[0])


def minibatches(problem: Problem, seed: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """x (BATCH, PIXELS) and noise (1, BATCH, LATENT), in a fresh order each epoch, from one tensor."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(problem.images)
    while True:
        for indices in torch.randperm(len(images), generator=rng).split(BATCH):
            x = images.index_select(0, indices).float()
            if problem.dynamic:
                x = (torch.rand(x.shape, generator=rng) < x.div_(255.0)).float()  # as `bernoulli`, faster
            yield x, torch.randn((1, BATCH, LATENT), generator=rng)


# ------------------------------------------------------------------------------------------ one step and its two losses


def plain_loss(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Any]:
    """The negative ELBO in nats per example, as one writes it by hand in PyTorch, and its terms."""
    h = model.encoder.body(x)
    loc, log_scale = model.encoder.loc(h), 7.0 * torch.tanh(model.encoder.log_scale(h) / 7.0)
    logits = model.decoder.out(model.decoder.body(loc + log_scale.exp() * noise[0]))
    surprise = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    kl = 0.5 * (loc**2 + (2.0 * log_scale).exp() - 2.0 * log_scale - 1.0).sum() / len(x)
    return surprise + kl, (-surprise, kl)


def vaelib_loss(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Any]:
    """The same number by vaelib's formulas."""
    return objectives.loss(model, x, noise)


class WithLoss(nn.Module):
    """A model whose forward pass is its loss, which is what `functional_call` wants."""

    def __init__(self, model: VAE, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Any]:
        return self.loss(self.model, x, noise)


def stepper(model: VAE, loss: Loss, compiled: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """(x, noise) -> the loss, after a step of fused Adam: the step that both losses are compared in."""
    module = WithLoss(model, loss)
    parameters = dict(module.named_parameters())
    values = {name: parameter.detach() for name, parameter in parameters.items()}  # the same memory
    adam = torch.optim.Adam(parameters.values(), lr=torch.tensor(RATE), fused=True)

    def pure(values: dict[str, Tensor], x: Tensor, noise: Tensor) -> tuple[Tensor, Any]:
        return torch.func.functional_call(module, values, (x, noise))

    graph = torch.compile(torch.func.grad_and_value(pure, has_aux=True), fullgraph=True) if compiled else None

    def step(x: Tensor, noise: Tensor) -> Tensor:
        if graph is not None:
            gradient, (value, _) = graph(values, x, noise)
        else:
            with _checks.unchecked():  # as vaelib trains
                value, _ = module(x, noise)
            gradient = dict(zip(parameters, torch.autograd.grad(value, list(parameters.values())), strict=True))
        for name, parameter in parameters.items():
            parameter.grad = gradient[name]
        adam.step()
        return value.detach()

    return step


def plain(problem: Problem, loss: Loss = plain_loss, compiled: bool = False) -> Row:
    step, feed = stepper(network(), loss, compiled), minibatches(problem)
    return Row(lambda: step(*next(feed)), BATCH)


def engine_state(problem: Problem, **settings: Any) -> TrainState:
    common = {"data": "synthetic", "hidden": (HIDDEN,), "latent_dim": LATENT, "layer_norm": False, "device": "cpu"}
    common |= {"batch_size": BATCH, "learning_rate": RATE, "binarization": "dynamic" if problem.dynamic else "none"}
    data = Data("synthetic", problem.images, problem.images[:BATCH], (28, 28), problem.white)
    return init(TrainConfig(**{**common, **settings}), data)


def engine(problem: Problem, **settings: Any) -> Row:
    """vaelib's own step, as `vaelib train` takes it."""
    state = engine_state(problem, **settings)
    run = runner(state)
    begin_epoch(state)

    def call() -> None:
        if state.position == state.batches:
            begin_epoch(state)
        take(state, run)

    return Row(call, BATCH)


# ---------------------------------------------------------------------------------------------------------- the floors


def products(model: VAE) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(a, b, out) of each matrix product in a step, on random numbers; the weights' gradients go to `.grad`."""
    rng = torch.Generator().manual_seed(1)
    found = []
    for layer in layers(model):
        weight = layer.weight.detach()
        x = torch.randn((BATCH, layer.in_features), generator=rng)
        dy = torch.randn((BATCH, layer.out_features), generator=rng)
        weight_gradient = layer.weight.grad = torch.empty_like(weight)
        found += [(x, weight.T, torch.empty_like(dy)), (dy.T, x, weight_gradient)]
        if layer.in_features != PIXELS:  # the images need no gradient
            found.append((dy, weight, torch.empty_like(x)))
    return found


def convolved(model: VAE) -> list[Callable[[], object]]:
    """The convolutions of a step, forward and backward, on random numbers."""
    seen: list[tuple[Any, Tensor, Tensor]] = []  # a layer, and the shapes of what it takes and gives
    each = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [one.register_forward_hook(lambda layer, x, y: seen.append((layer, *x, y))) for one in each]
    with torch.no_grad():
        model.decoder(model.encoder(torch.zeros(BATCH, PIXELS)).loc)
    for hook in hooks:
        hook.remove()
    calls: list[Callable[[], object]] = []
    for number, (layer, before, after) in enumerate(seen):
        x, dy, weight = torch.randn_like(before), torch.randn_like(after), layer.weight.detach()
        transposed = isinstance(layer, nn.ConvTranspose2d)
        how = (layer.stride, layer.padding, layer.dilation, transposed, layer.output_padding, layer.groups)
        gradients = (dy, x, weight, layer.bias.shape, *how, [number > 0, True, True])
        calls.append(partial(torch.ops.aten.convolution, x, weight, layer.bias.detach(), *how))
        calls.append(partial(torch.ops.aten.convolution_backward, *gradients))
    return calls


def gemms(problem: Problem, adam: bool = False) -> Row:
    """The products alone, or with Adam on all parameters: what a step costs with PyTorch's kernels, at least."""
    return bare(network(), adam)


def conv_floor(problem: Problem) -> Row:
    """The same of the convolutional model: its convolutions, its products and Adam."""
    return bare(engine_state(problem, **CONVOLUTIONAL).model, True)


def bare(model: VAE, adam: bool) -> Row:
    """The products and convolutions of a step, with nothing between them."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    todo, more = products(model), convolved(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)

    def call() -> None:
        for a, b, out in todo:
            torch.mm(a, b, out=out)
        for convolution in more:
            convolution()
        if adam:
            optimizer.step()

    return Row(call, BATCH)


def peak(problem: Problem) -> Row:
    """Images whose arithmetic equals one product of 1024 x 1024 matrices."""
    rng = torch.Generator().manual_seed(1)
    a, b = torch.randn((2, 1024, 1024), generator=rng)
    out = torch.empty_like(a)
    return Row(lambda: torch.mm(a, b, out=out), 2 * 1024**3 / flop_per_image())


# ------------------------------------------------------------------------------------------- how it is usually written


class PerItem(Dataset[tuple[Tensor, int]]):
    """One image at a time, turned from bytes into a float tensor when asked for, as image libraries do it."""

    def __init__(self, problem: Problem) -> None:
        self.images, self.white = problem.images.reshape(-1, 28, 28, 1), problem.white

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images[index].copy()).permute(2, 0, 1).contiguous()  # (1, 28, 28)
        return image.to(torch.float32).div(self.white), 0


class Textbook(nn.Module):
    """The VAE as tutorials write it: log-variances without a bound, probabilities instead of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean = nn.Linear(PIXELS, HIDDEN), nn.Linear(HIDDEN, LATENT)
        self.log_variance = nn.Linear(HIDDEN, LATENT)
        self.back, self.out = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, PIXELS)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.hidden(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        scale = torch.exp(0.5 * log_variance)
        z = mean + torch.randn_like(scale) * scale
        probabilities = torch.sigmoid(self.out(F.relu(self.back(z))))
        surprise = F.binary_cross_entropy(probabilities, x, reduction="sum")
        return surprise - 0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())


def example(problem: Problem) -> Row:
    """A DataLoader over single items, the default Adam, and `.item()` at each step."""
    model = Textbook()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    feed = endless(DataLoader(PerItem(problem), batch_size=BATCH, shuffle=True))
    losses = []

    def call() -> None:
        images, _ = next(feed)
        adam.zero_grad()
        loss = model(pixels(problem, images))
        loss.backward()
        losses.append(loss.item())
        adam.step()

    return Row(call, BATCH)


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def pixels(problem: Problem, images: Tensor) -> Tensor:
    x = images.reshape(-1, PIXELS)
    return x.bernoulli() if problem.dynamic else x


# ------------------------------------------------------------------------------------------------------------ the table

ROWS: dict[str, Callable[[Problem], Row]] = {
    "example": example,
    "plain": plain,
    "plain + vaelib loss": lambda problem: plain(problem, vaelib_loss),
    "plain compiled": lambda problem: plain(problem, compiled=True),
    "plain compiled + vaelib loss": lambda problem: plain(problem, vaelib_loss, compiled=True),
    "vaelib eager": lambda problem: engine(problem, compile=False),
    "vaelib compiled": lambda problem: engine(problem, compile=True),
    "vaelib conv": lambda problem: engine(problem, compile=False, **CONVOLUTIONAL),
    "vaelib conv compiled": lambda problem: engine(problem, compile=True, **CONVOLUTIONAL),
    "conv floor": conv_floor,
    "floor": lambda problem: gemms(problem, adam=True),
    "gemms": gemms,
    "sgemm peak": peak,
}
