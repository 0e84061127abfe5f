"""The one door for arrays and sizes: what comes becomes an array of real numbers of one kind, or is refused in words.

NumPy would turn much into numbers that means none: a masked entry, the imaginary part's absence, None, a date, the text
"1.5". Each is refused here, by the name of the argument, before anything is computed.
"""

from __future__ import annotations

import numbers
import operator
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from vaelib._arrays import Array, Shape, is_tensor
from vaelib._quiet import settled, state

WANTED = "real numbers: a number, a list, an array or a tensor"


def as_arrays(**named: Any) -> tuple[Array, ...]:
    """Floating-point arrays of one kind: tensors as soon as one value is a tensor, otherwise NumPy's.

    Numbers, lists and NumPy arrays beside a tensor take its dtype and device; tensors of several floating dtypes are
    promoted to the widest, and at least to float32: in half precision a log-probability overflows or loses its digits.
    Tensors of integers or booleans become floating.

    Example:
        x, loc = as_arrays(x=x, loc=self.loc)    # the names are for the errors

    Raises:
        TypeError, ValueError: a value is not made of real numbers, or of some that are hidden or lie elsewhere.
    """
    values = tuple(named.values())
    if _all_double(values) or _alike(values):
        return values
    tensors = {name: value for name, value in named.items() if is_tensor(value)}
    if not tensors:
        return tuple(_real(name, value) for name, value in named.items())
    torch = sys.modules["torch"]
    for name, tensor in tensors.items():
        _require_dense(name, tensor, tensors)
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors.values()) else torch.float32
    device = next(iter(tensors.values())).device
    return tuple(_as_tensor(torch, name, value, dtype, device) for name, value in named.items())


def as_numpy(**named: Any) -> tuple[np.ndarray, ...]:
    """float64 NumPy arrays, for what is computed with NumPy alone; tensors are copied to it.

    Raises:
        TypeError, ValueError: as `as_arrays`; and for a tensor that requires a gradient, which would be lost.
    """
    return tuple(_to_numpy(name, value) for name, value in named.items())


def as_integers(name: str, value: Any, like: Array) -> Array:
    """Whole numbers as int64, of the kind and on the device of `like`.

    Raises:
        TypeError: `value` holds something else, floats and booleans included.
    """
    if type(value) is np.ndarray and value.dtype is _WHOLE and not is_tensor(like):
        return value
    torch = sys.modules.get("torch")
    if is_tensor(value):
        if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:  # type: ignore[union-attr]
            raise _no_integers(name, "dtype " + str(value.dtype).removeprefix("torch."))
        _require_dense(name, value, {name: value})
        if is_tensor(like):
            return value.detach().to(device=like.device, dtype=torch.int64)  # type: ignore[union-attr]
        value = value.detach().cpu().numpy()
    raw = _raw(name, value)
    if raw.dtype.kind == "O" and all(isinstance(item, numbers.Integral) for item in raw.ravel().tolist()):
        raw = _from_objects(name, value, raw)
    elif raw.dtype.kind not in "iu":
        was_array = isinstance(value, np.ndarray | np.generic | list | tuple)
        raise _no_integers(name, f"dtype {raw.dtype}" if was_array else described(value))
    with np.errstate(all="ignore"):
        whole = np.clip(raw, -(2.0**62), 2.0**62).astype(np.int64)  # far beyond any size, which a check will say
    return torch.tensor(whole, device=like.device) if is_tensor(like) else whole  # type: ignore[union-attr]


def _no_integers(name: str, got: str) -> TypeError:
    return TypeError(f"Expected `{name}` to hold integers, which category counted from 0, but got {got}.")


def count(name: str, value: Any, least: int = 0) -> int:
    """A whole number, NumPy's included, that is at least `least`.

    Raises:
        TypeError: it is not a whole number. ValueError: it is too small.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):  # torch raises the last, of a tensor with several entries
        raise TypeError(f"Expected `{name}` to be a whole number, but got {described(value)}.") from None
    if number < least:
        raise ValueError(f"Expected `{name}` to be a whole number >= {least}, but got {number}.")
    return number


def as_shape(name: str, value: Any) -> Shape:
    """A number of draws, or a shape, as a shape."""
    if isinstance(value, tuple | list):
        return tuple(count(f"{name}[{i}]", size) for i, size in enumerate(value))
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return as_shape(name, value.tolist())
    return (count(name, value),)


def require_function(name: str, value: Any) -> None:
    """`value` can be called."""
    if not callable(value):
        raise TypeError(f"Expected `{name}` to be a function, but got {described(value)}.")


def precision(value: Any) -> float:
    """eps of the precision that `value` came in, before it was converted: what rounding it may carry.

    Example:
        precision(np.float32([0.1, 0.9])) == np.finfo(np.float32).eps
    """
    if is_tensor(value):
        return float(sys.modules["torch"].finfo(value.dtype).eps) if value.is_floating_point() else _EPS
    if isinstance(value, int | float):
        return _EPS
    dtype = _raw("value", value).dtype
    return max(_EPS, float(np.finfo(dtype).eps)) if dtype.kind == "f" else _EPS


_DOUBLE, _WHOLE = np.dtype(np.float64), np.dtype(np.int64)
_EPS = float(np.finfo(_DOUBLE).eps)


# ------------------------------------------------------------------------------------------------------------ tensors


def _alike(values: tuple[Any, ...]) -> bool:
    """Are these dense tensors of one dtype already, single or double? Training asks six times a step."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(values[0], torch.Tensor):
        return False
    dtype = values[0].dtype
    if dtype is not torch.float32 and dtype is not torch.float64:
        return False
    for value in values[1:]:
        if not isinstance(value, torch.Tensor) or value.dtype is not dtype:
            return False
    return (
        state.trusted
        or settled()
        or all(_is_dense(torch, value) and value.device == values[0].device for value in values)
    )


def _is_dense(torch: Any, tensor: Array) -> bool:
    return (
        tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_meta
        and not tensor.is_quantized
        and (type(tensor) is torch.Tensor or type(tensor).__name__ != "MaskedTensor")
    )


def _require_dense(name: str, tensor: Array, beside: dict[str, Array]) -> None:
    torch = sys.modules["torch"]
    if tensor.is_complex():
        raise TypeError(f"Expected `{name}` to be {WANTED}, but got a complex tensor. Take its .real or its .abs().")
    if type(tensor).__name__ == "MaskedTensor":
        raise ValueError(f"Expected `{name}` without a mask, but got a MaskedTensor. {_HIDDEN}")
    if tensor.is_meta:
        raise ValueError(f"Expected `{name}` to hold numbers, but got a tensor on the meta device, which has none.")
    if not _is_dense(torch, tensor):
        kind = "quantized" if tensor.is_quantized else "nested" if tensor.is_nested else "sparse"
        make = {"quantized": "x.dequantize()", "nested": "torch.nested.to_padded_tensor", "sparse": "x.to_dense()"}
        raise TypeError(f"Expected `{name}` to be a dense tensor, but got a {kind} one. {make[kind]} makes it dense.")
    first, there = next(((other, value) for other, value in beside.items() if value.device != tensor.device), (None, 0))
    if first is not None:
        raise ValueError(
            f"Expected `{name}` and `{first}` to be on one device, but got {tensor.device} and"
            f" {getattr(there, 'device', '')}. Move one with .to(device)."
        )


def _as_tensor(torch: Any, name: str, value: Any, dtype: Any, device: Any) -> Array:
    if is_tensor(value):
        return value if value.dtype == dtype else value.to(dtype)
    if isinstance(value, int | float):
        real = float(_real(name, value))
        return torch.full((), real, dtype=dtype, device=device)  # filled where it lives: nothing to copy to a GPU
    return torch.tensor(np.ascontiguousarray(_real(name, value)), dtype=dtype, device=device)


# -------------------------------------------------------------------------------------------------------------- NumPy

_HIDDEN = (
    "A mask would be lost on the way. Sum over what is observed, np.where(mask, 0, log_prob).sum(-1), or fill the gaps."
)


def _to_numpy(name: str, value: Any) -> np.ndarray:
    if not is_tensor(value):
        return _real(name, value)
    _require_dense(name, value, {name: value})
    if value.requires_grad:
        raise TypeError(
            f"Expected `{name}` without a gradient, which NumPy cannot carry on, but got a tensor that requires one."
            f" Pass {name}.detach()."
        )
    return value.to(device="cpu", dtype=sys.modules["torch"].float64).numpy()


def _all_double(values: tuple[Any, ...]) -> bool:
    """Are these what they would become? Most often they are: the package's own calls pass on what was checked."""
    for value in values:
        if type(value) is not np.ndarray or value.dtype is not _DOUBLE:
            return False
    return True


def _real(name: str, value: Any) -> np.ndarray:
    """A float64 array, of whatever NumPy makes an array of, as long as it consists of real numbers."""
    kind = type(value)
    if kind is np.ndarray and value.dtype is _DOUBLE:
        return value
    if kind is float or kind is np.float64:
        return np.array(value)
    raw = _raw(name, value)
    if raw.dtype.kind in "fiub":
        with np.errstate(all="ignore"):  # a longdouble may overflow
            return raw.astype(np.float64, copy=False)
    if raw.dtype.kind == "O":
        return _from_objects(name, value, raw)
    raise _unwanted(name, value if raw.ndim == 0 and not isinstance(value, np.ndarray | np.generic) else raw)


def _raw(name: str, value: Any) -> np.ndarray:
    """What NumPy makes of `value` in its own dtype, which says what it was."""
    if type(value) is np.ndarray:
        return value
    for part in _parts(value):
        if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
            hidden = int(np.ma.getmaskarray(part).sum())
            raise ValueError(f"Expected `{name}` without a mask, but got {hidden} masked entries. {_HIDDEN}")
        if part is not value and is_tensor(part):
            raise TypeError(
                f"Expected `{name}` to be {WANTED}, but got a list of tensors. torch.stack(list) makes one of them."
            )
    try:
        return np.asarray(value)
    except Exception as error:  # whatever a foreign object raises when it is asked for its numbers
        raise _unwanted(name, value, f" ({error})") from error


def _parts(value: Any) -> Iterator[Any]:
    """`value`, or what is in it where it is a list of lists."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _from_objects(name: str, value: Any, raw: np.ndarray) -> np.ndarray:
    """Python's own numbers, fractions and decimals among them; nothing that merely can be read as a number."""
    found = np.empty(raw.size)
    for i, item in enumerate(raw.ravel().tolist() if raw.ndim else [raw.item()]):
        if not isinstance(item, numbers.Real | Decimal) and not (
            isinstance(item, np.generic) and item.dtype.kind in "fiub"
        ):
            raise _unwanted(name, item, f" at index {i}" if raw.ndim else "")
        try:
            found[i] = float(item)
        except (ArithmeticError, ValueError, TypeError) as error:
            raise _unwanted(name, item, f" ({error})") from error
    return found.reshape(raw.shape)


def _unwanted(name: str, value: Any, where: str = "") -> TypeError:
    hint = {
        "c": " Take its .real or its absolute value.",
        "M": " Dates have no unit here: divide their distances by np.timedelta64(1, 'D'), say.",
        "m": " Divide by np.timedelta64(1, 's'), say.",
        "U": " Convert text with float(text).",
        "S": " Convert text with float(text).",
        "V": " Choose one field.",
    }.get(np.asarray(value).dtype.kind if isinstance(value, np.ndarray | np.generic | str | complex) else "", "")
    if hasattr(value, "toarray"):
        hint = " Is it a sparse matrix? .toarray() makes it dense."
    return TypeError(f"Expected `{name}` to be {WANTED}, but got {described(value)}{where}.{hint}")


def described(value: Any) -> str:
    """What came, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}" if value.ndim else f"{value.dtype} {value.item()!r}"
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        text = repr(value)
        return text if len(text) <= 40 else text[:37] + "..."
    if is_tensor(value):
        return f"a tensor of shape {tuple(value.shape)}"
    kind = type(value)
    whole = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    article = "an" if whole[0].lower() in "aeio" else "a"
    return f"{article} {whole}" if not isinstance(value, type) else f"the class {value.__qualname__}"
