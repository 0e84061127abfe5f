"""One step of training, and the ways to run it: as it is, compiled, spread over processes, or recorded once and
replayed as a CUDA graph.

`advance`, the step on the next minibatch, is what all of them do. A run is a choice of how the gradient is computed
(`Gradient`) and of how the step is executed (`runner`).
"""

from __future__ import annotations

import copy
import inspect
import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.adam import adam

from vaelib import _checks
from vaelib._spoken import option
from vaelib.objectives import Objective, Terms, loss
from vaelib.train import fused
from vaelib.train.config import RunError
from vaelib.train.processes import ALONE, Processes
from vaelib.train.state import (
    Randomness,
    StepInfo,
    TrainState,
    begin_epoch,
    draw,
    following,
    look_through,
    pixels,
    randomness,
    restore,
    snapshot,
)
from vaelib.vae import VAE

# (state, x, noise) -> the gradient of the loss for each parameter, and the means over the minibatch
Gradient = Callable[[TrainState, Tensor, Tensor], tuple[list[Tensor], StepInfo]]
Run = Callable[[TrainState], None]
FORGET_EVERY = 256  # steps; Adam's mean of gradients, which shrinks by a tenth, takes 400 across what `forget` cuts off
WARM_UP = 3  # steps before a capture, in which libraries allocate and choose what they will use


def step(state: TrainState, indices: Tensor, gradient: Gradient | None = None) -> StepInfo:
    """One step of Adam on the training examples at `indices` (batch,), an integer tensor on the device.

    Changes `state`: the model, the optimizer's moments, the generator. Nothing is copied to the host.

    Args:
        gradient: how the gradient is computed that the optimizer then follows; `eager` unless given.
    """
    x, noise = draw(state, indices)
    gradients, info = (gradient or eager)(state, x, noise)
    for parameter, its_gradient in zip(state.parameters, gradients, strict=True):
        parameter.grad = its_gradient
    follow(state, gradients)
    return info


@torch.no_grad()
def follow(state: TrainState, gradients: list[Tensor]) -> None:
    """Adam on all parameters: what `state.optimizer.step()` does, without what it looks up each time.

    Source: Kingma and Ba 2015, algorithm 1.
    """
    first, second, counts = moments(state)
    settings = state.optimizer.param_groups[0]
    (beta_1, beta_2), epsilon, rate = settings["betas"], settings["eps"], settings["lr"]
    adam(
        state.parameters,
        gradients,
        first,
        second,
        [],
        counts,
        fused=True,
        amsgrad=False,
        maximize=False,
        weight_decay=0.0,
        beta1=beta_1,
        beta2=beta_2,
        lr=rate,
        eps=epsilon,
    )


def moments(state: TrainState) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Of Adam: the running means of each gradient and of its square, and the steps taken, as the optimizer has them."""
    each = [state.optimizer.state[parameter] for parameter in state.parameters]
    return [at["exp_avg"] for at in each], [at["exp_avg_sq"] for at in each], [at["step"] for at in each]


def advance(state: TrainState, gradient: Gradient | None = None) -> None:
    """`step` on the next whole minibatch.

    All that it reads and writes are tensors of `state`: it can be replayed.
    """
    indices = following(state)
    account(state, step(state, indices, gradient), len(indices))


def account(state: TrainState, info: StepInfo, examples: int) -> None:
    """Add the step's means to the sums, and count on as long as these are finite, all on the device."""
    state.sums.add_(torch.stack(info), alpha=examples)
    state.first_bad_step.add_(state.sums.sum().isfinite())  # a sum that was once not finite stays so


def take(state: TrainState, run: Run) -> None:
    """The next minibatch of the epoch, by `run`; the last one, if it is smaller, by the plain step.

    Raises:
        ValueError: the epoch has no minibatch left. The next begins where `position` is 0.
    """
    if state.position == 0:
        begin_epoch(state)
    batch = len(state.offsets)
    rest = state.examples - state.position * batch
    if rest <= 0:
        raise ValueError(
            f"Expected `position` to be below {state.batches}, the minibatches of an epoch, but it is not."
        )
    look_through(state)
    if state.step % FORGET_EVERY == 0:
        forget(state)
    if rest >= batch:
        run(state)
    else:
        account(state, step(state, state.order[state.place : state.place + rest]), rest)
    state.position += 1
    state.step += 1


@torch.no_grad()
def forget(state: TrainState) -> None:
    """Set to zero what Adam's means have long lost, on a CPU, before they leave the range of ordinary floats.

    A unit of a ReLU that has died gets no gradient any more. Its means shrink at each step, end below the smallest
    normal float, and stay there, where a CPU takes many times as long for every operation. What is cut off moves no
    weight: the mean of squares is far below epsilon^2, and so is the step that the mean of gradients would make.
    """
    if state.device.type != "cpu":
        return
    first, second, _ = moments(state)
    numbers = torch.finfo(first[0].dtype)
    for m, v in zip(first, second, strict=True):
        m.copy_(F.hardshrink(m, math.sqrt(numbers.tiny)))
        F.threshold(v, numbers.tiny / numbers.eps, 0.0, inplace=True)


def runner(state: TrainState, processes: Processes = ALONE) -> Run:
    """How this run executes `advance`: what its settings, its device and its processes call for."""
    alone = processes.count == 1
    if state.config.compile and alone and state.device.type == "cpu":
        return compiled_whole(state)
    gradient: Gradient = compiled(state) if state.config.compile else eager
    if not alone:
        return partial(advance, gradient=spread(gradient, processes))
    if state.device.type == "cuda" and state.resident:
        return captured(state, partial(advance, gradient=gradient))
    return partial(advance, gradient=gradient)


# ------------------------------------------------------------------------------------------- how a gradient is computed


def eager(state: TrainState, x: Tensor, noise: Tensor) -> tuple[list[Tensor], StepInfo]:
    """Operation by operation: the loss by its formulas, or the same in fewer passes where it is written out."""
    with _checks.unchecked():  # x was judged with its data set; NaN is noticed by `account`
        minimized, terms = fused.loss(state.model, x, noise, state.objective)
    gradients = torch.autograd.grad(minimized, state.parameters)
    return list(gradients), means(terms)


def means(terms: Terms) -> StepInfo:
    """Over the minibatch, without a gradient."""
    return StepInfo(*torch.stack(terms).detach().mean(1))


class _Loss(nn.Module):
    """The loss as a module's forward pass, which `torch.func` wants."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, noise: Tensor, objective: Objective) -> tuple[Tensor, StepInfo]:
        minimized, terms = loss(self.model, x, noise, objective)
        return minimized, means(terms)


Parameters = dict[str, Tensor]
# (parameters, x, noise, beta) -> the gradient of the loss by each parameter; the loss, and the means over the minibatch
Both = Callable[[Parameters, Tensor, Tensor, Tensor], tuple[Parameters, tuple[Tensor, StepInfo]]]


def _pure(state: TrainState) -> tuple[Both, Parameters]:
    """The loss and its gradient as a function of the parameters, and these, by name, in the model's own memory."""
    module = _Loss(state.model)
    parameters = {name: parameter.detach() for name, parameter in module.named_parameters()}
    buffers = dict(module.named_buffers())
    name, free_bits = state.config.objective, state.config.free_bits

    def minimized(parameters: Parameters, x: Tensor, noise: Tensor, beta: Tensor) -> tuple[Tensor, StepInfo]:
        arguments = (x, noise, Objective(name, beta, free_bits))
        result: tuple[Tensor, StepInfo] = torch.func.functional_call(module, (parameters, buffers), arguments)
        return result

    return torch.func.grad_and_value(minimized, has_aux=True), parameters


def compiled(state: TrainState) -> Gradient:
    """The same loss and its gradient in one compiled function. The first call takes 10 to 60 s."""
    pure, parameters = _pure(state)
    both = torch.compile(pure, fullgraph=True)

    def gradient(state: TrainState, x: Tensor, noise: Tensor) -> tuple[list[Tensor], StepInfo]:
        gradients, (_, info) = both(parameters, x, noise, state.beta)
        return list(gradients.values()), info

    return gradient


def compiled_whole(state: TrainState) -> Run:
    """`advance` of this state in one compiled function: the same pixels, loss, gradient and Adam, nothing between them.

    It reads and writes the tensors of `state` and the optimizer's own, so that a run can go on with or without it.
    Random numbers are drawn before each call, by the generator of `state`. The first call takes half a minute or more.

    Source: Kingma and Ba 2015, algorithm 1.
    """
    pure, parameters = _pure(state)
    first, second, counts = moments(state)
    settings = state.optimizer.param_groups[0]  # as `follow` reads them
    (beta_1, beta_2), epsilon, dtype = settings["betas"], settings["eps"], state.model.prior_loc.dtype
    written = [[_with_an_axis(tensor) for tensor in each] for each in (parameters.values(), first, second)]

    def whole(random: Randomness, rate: Tensor, least: Tensor) -> None:
        x = pixels(state, following(state), random.uniform)
        read = {name: value.view(parameters[name].shape) for name, value in zip(parameters, written[0], strict=True)}
        gradients, (_, info) = pure(read, x, random.noise, state.beta)
        for parameter, m, v, found in zip(*written, gradients.values(), strict=True):
            gradient = found.view(parameter.shape)
            m.lerp_(gradient, 1 - beta_1)
            v.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
            parameter.sub_(rate * m / (v.sqrt() + least))
        for count in counts:
            count.add_(1.0)
        account(state, info, len(x))

    together = _compiled_once(whole)
    rate, least = torch.empty((2,), dtype=dtype)

    @torch.no_grad()
    def run(same: TrainState) -> None:
        steps = counts[0].item() + 1.0  # outside the graph, which would compute the two corrections for each weight
        root = math.sqrt(1 - beta_2**steps)
        rate.fill_(state.learning_rate.item() * root / (1 - beta_1**steps))
        least.fill_(epsilon * root)
        together(randomness(state, len(state.offsets)), rate, least)

    return run


def _with_an_axis(tensor: Tensor) -> Tensor:
    """The same memory, with an axis at least: what a compiled function writes into a float64 without one is lost.

    Seen in PyTorch 2.13 on a CPU; float32 is written.
    """
    return tensor.view(1) if tensor.ndim == 0 else tensor


def _compiled_once(function: Callable[..., None]) -> Callable[..., None]:
    """`function` compiled at its first call, for arguments that keep their shapes, dtypes and settings ever after.

    By default each call asks first whether all is as it was, which takes a twentieth of a small step. A run's whole
    minibatches are alike, and what is compiled here is not shared with another run (`isolate_recompiles`). On Linux the
    calls of the kernels are compiled, too. An older PyTorch, which cannot keep runs apart, does neither.
    """
    chosen: dict[str, Any] = {}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
        options = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe, "cpp_wrapper": sys.platform == "linux"}
        chosen = {"isolate_recompiles": True, "options": options}
    return torch.compile(function, fullgraph=True, dynamic=False, **chosen)


def spread(gradient: Gradient, processes: Processes) -> Gradient:
    """Each process takes its share of the minibatch; gradients and means are summed over processes.

    All processes hold the same state, draw the same minibatch, with the same noise, and take the same step, so a run in
    several processes follows the run in one but for rounding. `take` gives only whole minibatches to it: the last one
    of an epoch, if it is smaller, is taken by each process as a whole.
    """
    rank, count = processes.rank, processes.count

    def shared(state: TrainState, x: Tensor, noise: Tensor) -> tuple[list[Tensor], StepInfo]:
        mine = slice(len(x) * rank // count, len(x) * (rank + 1) // count)
        weight = len(x[mine]) / len(x)
        gradients, info = gradient(state, x[mine], noise[:, mine])
        parts = [*gradients, torch.stack(info)]
        together = weight * torch.cat([part.reshape(-1) for part in parts])
        processes.add_up(together)
        summed = together.split([part.numel() for part in parts])
        *gradients, info = (flat.view_as(part) for flat, part in zip(summed, parts, strict=True))
        return gradients, StepInfo(*info)

    return shared


def require_spreadable(state: TrainState, processes: Processes) -> None:
    """Refuse a run whose minibatches cannot be shared by so many processes.

    Raises:
        RunError: it has free bits, which see the whole minibatch; or fewer examples in one than there are processes.
    """
    batch, count = len(state.offsets), processes.count
    if state.config.free_bits and count > 1:
        raise RunError(
            f"Expected `free_bits` to be 0 in {count} processes, since free bits see the whole minibatch, but got"
            f" {state.config.free_bits}. Train in one process, or without free bits."
        )
    if batch < count:
        raise RunError(
            f"Expected at least one example of a minibatch for each process, but got {batch} examples for {count}"
            f" processes. Use fewer processes, or a larger {option('batch_size')} if there are so many examples."
        )


# ---------------------------------------------------------------------------------------------- recorded and replayed


def captured(state: TrainState, run: Run) -> Run:
    """`run` as one CUDA graph: the host asks once for the whole step, not for each of its hundred kernels.

    The steps that warm up are undone, so that a captured run and an eager run begin alike.

    Source: https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """
    before = copy.deepcopy(snapshot(state))
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            state.cursor.zero_()
            run(state)
    torch.cuda.current_stream().wait_stream(aside)
    graph: Any = torch.cuda.CUDAGraph()
    graph.register_generator_state(state.generator)
    with torch.cuda.graph(graph):
        run(state)
    restore(state, before)
    return lambda state: graph.replay()
