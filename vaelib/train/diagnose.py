"""What went wrong: the first step and tensor that is not finite, what did not fit into memory, a scale at its bound."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelib._spoken import option
from vaelib.train.config import RunError
from vaelib.train.engine import advance, eager, take
from vaelib.train.state import StepInfo, TrainState, draw

FAR = 1e6  # from where on a pixel, in the networks' unit, is what makes numbers overflow


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
    advice = f"A checkpoint from before, if there is one, stays. {remedy(state)}"
    while state.position < state.batches:
        if state.step < bad - 2:  # a bad update shows in the means of the step after it
            take(state, advance)
            continue
        tensor = first_not_finite(state)
        if tensor is not None:
            return NotFinite(state.step, tensor, advice)
    return None


def remedy(state: TrainState) -> str:
    """What to try against numbers that are not finite: the data, where they are far too large, or the learning rate."""
    largest = float(state.train.abs().max()) / state.white
    if not largest < FAR:
        return (
            f"The training set holds pixels as far away as {largest:.1g} times its usual spread. Are they right? Leave"
            " them out or clip them; all others are nearly 0 beside them."
        )
    scale = state.config.decoder_scale
    if scale is not None and scale / state.unit.scale < 1e-3:
        return f"The decoder's scale of {scale:g} is tiny beside the spread of the data. Try a larger one."
    return f"Try a smaller {option('learning_rate')}; it was {state.config.learning_rate:g}."


def at_bounds(decoder_scale: float | None, decoder_at_bound: bool, encoder_share: float) -> list[str]:
    """A sentence for each kind of scale that lies at its bound, with what to do; none in a sound model.

    Args:
        decoder_scale: learned, in the unit of the data; None where it is not learned.
        encoder_share: of the posterior's scales at their bounds.
    """
    found = []
    if decoder_scale is not None and decoder_at_bound:
        found.append(
            f"The decoder's scale, {decoder_scale:.2g}, is at its bound: the model cannot say how exactly it knows the"
            " pixels, and every bound on log p(x) is too low by as much. Do most pixels never vary, or are they levels"
            f" of grey? Leave the constant ones out, use {option('decoder', 'gaussian')} with"
            f" {option('binarization', 'dequantized')} for integers, or fix the scale with {option('decoder_scale')}."
        )
    if encoder_share > 0.0:
        found.append(
            f"{encoder_share:.1%} of the posterior's scales are at their bounds: the encoder would go further if it"
            " could. Do some pixels never vary, or does the decoder's scale vanish? Leave constant pixels out, or fix"
            f" the scale with {option('decoder_scale')}."
        )
    return found


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
        f"A batch of {size} fits: {option('batch_size', size)}, and another {option('out')}."
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
