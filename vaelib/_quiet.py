"""What surrounds a computation and must not change its result: NumPy's error state, a training step, a compiler."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


class _State(threading.local):
    """Of each thread; a compiler can read it, which it cannot do with a ContextVar."""

    trusted = False  # set by `_checks.unchecked`


state = _State()


def settled() -> bool:
    """Has a caller vouched for its arrays (`_checks.unchecked`), or is a compiler tracing, which cannot look?"""
    if state.trusted:
        return True
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


def quiet(function: Function) -> Function:
    """`function` with NumPy's floating-point errors off, whatever `np.seterr` says outside.

    An exponential that underflows to 0 is right, and so is the infinity of a logarithm of 0; the result speaks for
    itself. Tensors know no such state: where the first argument is one, or made of them, nothing is done.
    """

    @functools.wraps(function)
    def quietly(*args: Any, **kwargs: Any) -> Any:
        first, torch = args[0] if args else None, sys.modules.get("torch")
        if torch is not None and (
            isinstance(first, torch.Tensor) or getattr(first, "of_tensors", False) or torch.compiler.is_compiling()
        ):
            return function(*args, **kwargs)
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return quietly  # type: ignore[return-value]
