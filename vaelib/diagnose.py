"""What went wrong: the first step and tensor that is not finite, the batch that would have fitted into memory."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelib.config import RunError
from vaelib.engine import advance, eager, take
from vaelib.state import StepInfo, TrainState, draw


class NotFinite(ArithmeticError):
    """Training met NaN or an infinity; `step` (from 1) and `tensor` say where first."""

    def __init__(self, step: int, tensor: str, advice: str) -> None:
        super().__init__(
            f"Training stopped: step {step} is the first with a number that is not finite, in {tensor}. {advice}"
        )
        self.step, self.tensor = step, tensor


def blame(state: TrainState, bad: int) -> NotFinite | None:
    """Go on from `state`, step by step, until a tensor is not finite.

    Args:
        state: put back to before it happened. bad: the first step whose means were not finite, or the one after the
            last.
    """
    advice = f"The last good checkpoint stays. Try a smaller --learning-rate; it was {state.config.learning_rate:g}."
    while state.position < state.batches:
        if state.step < bad - 2:  # a bad update shows in the means of the step after it
            take(state, advance)
            continue
        tensor = first_not_finite(state)
        if tensor is not None:
            return NotFinite(state.step, tensor, advice)
    return None


def first_not_finite(state: TrainState) -> str | None:
    """Take one step and name its first tensor that is not finite, in the order in which they are computed."""
    found: list[str] = []

    def look(name: str, tensor: Tensor | None) -> None:
        if not found and tensor is not None and not bool(tensor.isfinite().all()):
            found.append(name)

    model, means = state.model, torch.zeros_like(state.sums)
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
        means.copy_(state.sums)
        take(state, advance)
        for name, value in zip(StepInfo._fields, state.sums - means, strict=True):
            look(f"the {name}", value)
        for name, parameter in model.named_parameters():
            look(f"the gradient of {name}", parameter.grad)
        for name, parameter in model.named_parameters():
            look(f"the parameter {name} after the update", parameter)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a type for it; the CPU's allocator says it in words."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory(state: TrainState) -> RunError:
    """The error for a minibatch that does not fit into memory; it names one that does."""
    size = len(state.offsets)
    while size > 1:
        size //= 2
        if fits(state, size):
            break
    else:
        size = 0
    advice = (
        f"A batch of {size} fits: --batch-size {size}, and another --out."
        if size
        else "Not even one fits: use a smaller model."
    )
    return RunError(
        f"Expected {len(state.offsets)} examples a step (importance_samples {state.config.importance_samples}) to"
        f" fit into the memory of {state.config.device}, but these do not. {advice}"
    )


def fits(state: TrainState, size: int) -> bool:
    """Can the gradient on `size` examples be computed?"""
    if state.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        x, noise = draw(state, state.offsets[:size])
        eager(state, x, noise)
    except RuntimeError as error:
        if is_out_of_memory(error):
            return False
        raise
    return True
