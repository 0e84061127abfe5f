"""What a checkpoint must hold: one schema, by which everything that is read is checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vaelib.data.unit import Unit
from vaelib.train.config import RunError, TrainConfig

FIELDS = frozenset(TrainConfig().as_dict())
MEASURED = [f"{part}_{name}" for part in ("train", "test") for name in ("elbo", "log_likelihood", "kl")]
MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq"})
NEWER = "Was it written by a newer vaelib?"
STRANGE = "Did another program write it?"

Complaint = tuple[str, str]  # what came, and the likely cause


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _tensors(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _data(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    shape, unit, levels = value.get("image_shape"), value.get("unit", [0.0, 1.0]), value.get("levels")
    return (
        isinstance(shape, list)
        and bool(shape)
        and all(_count(size) and size for size in shape)
        and isinstance(value.get("sha256"), str)
        and isinstance(unit, list)
        and len(unit) == 2
        and all(map(_number, unit))
        and unit[1] > 0
        and (levels is None or (_count(levels) and levels >= 2))
    )


def _history(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(record, dict)
        and record.get("epoch") == epoch
        and all(_number(record.get(name)) for name in MEASURED)
        and all(_number(record[name]) for name in record.keys() & {"validation_elbo"})
        for epoch, record in enumerate(value, 1)
    )


def _vector(dtype: torch.dtype) -> Callable[[object], bool]:
    return lambda value: isinstance(value, Tensor) and value.dtype == dtype and value.ndim == 1


Schema = Mapping[str, tuple[Callable[[object], bool], str]]
MODEL: Schema = {
    "config": (lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value), "settings"),
    "data": (_data, "the shape and the SHA-256 of the data"),
    "model": (_tensors, "a tensor for each name"),
}
BEST: Schema = {**MODEL, "epoch": (_count, "a count")}
WHOLE: Schema = {
    **BEST,
    "step": (_count, "a count"),
    "position": (_count, "a count"),
    "optimizer": (
        lambda value: isinstance(value, dict) and all(_tensors(v) and v.keys() == MOMENTS for v in value.values()),
        f"{', '.join(sorted(MOMENTS))} for each parameter",
    ),
    "generator": (_vector(torch.uint8), "a vector of bytes"),
    "order": (_vector(torch.int64), "a vector of integers"),
    "sums": (lambda value: _vector(torch.float64)(value) and value.shape == (3,), "three sums"),  # type: ignore[attr-defined]
    "history": (_history, "a record of numbers for each epoch, in order"),
}


def complaint(payload: object, schema: Schema) -> Complaint | None:
    """What is wrong with what a checkpoint holds, before any of it is used; None if nothing is."""
    for key in schema:
        if not isinstance(payload, dict) or key not in payload:
            return f"it has no {key!r}", "Is it another program's?"
    assert isinstance(payload, dict)
    for key, (good, what) in schema.items():
        if not good(payload[key]):
            return f"its {key!r} is not {what}", STRANGE
    unknown = sorted(payload["config"].keys() - FIELDS)
    if unknown:
        return f"it has the setting {unknown[0]!r}, which this vaelib does not know", NEWER
    try:
        config = TrainConfig(**payload["config"])
    except RunError as error:
        return f"one of its settings is refused ({error})", NEWER
    if "history" in schema:
        if payload["epoch"] != len(payload["history"]):
            return f"it counts {payload['epoch']} epochs and has records of {len(payload['history'])}", STRANGE
        if config.validation and any("validation_elbo" not in record for record in payload["history"]):
            return "a record in its 'history' lacks the validation bound", STRANGE
    return None


def unfit(saved: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str = "model") -> Complaint | None:
    """How saved tensors differ from those whose place they take, in names, shapes and kind; or that one is not finite.

    Args:
        saved: by name. expected: what the settings and the data call for.
    """
    differing = sorted(saved.keys() ^ expected.keys())
    if differing:
        where = "lacks" if differing[0] in expected else "has the unknown"
        return f"its {what} {where} {differing[0]!r}", f"Its settings describe another model. {STRANGE}"
    for name, tensor in saved.items():
        if tensor.shape != expected[name].shape or tensor.dtype.is_floating_point != (
            expected[name].dtype.is_floating_point
        ):
            return (
                f"{name!r} in its {what} is {_kind(tensor)}, not {_kind(expected[name])}",
                f"Its settings describe another model. {STRANGE}",
            )
        if not bool(tensor.isfinite().all()):
            return f"{name!r} in its {what} holds NaN or an infinity", "Was it altered, or did training go wrong?"
    return None


def misplaced(payload: Mapping[str, Any], examples: int, batches: int) -> Complaint | None:
    """Does the order of examples belong to a training set of this size, and the place in it to so many minibatches?"""
    order = payload["order"]
    if len(order) != examples or (order.numel() and not 0 <= int(order.min()) <= int(order.max()) < examples):
        return f"its 'order' is not one of {examples:,} training examples", STRANGE
    if payload["position"] > batches:
        return f"it has taken {payload['position']} minibatches of an epoch of {batches}", STRANGE
    return None


def unit_of(payload: Mapping[str, Any]) -> Unit:
    """The unit of the data, as it was kept; an older checkpoint does not mention it, and had none."""
    return Unit(*payload["data"].get("unit", (0.0, 1.0)))


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
