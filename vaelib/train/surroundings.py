"""What a process has set must not change a result: training and evaluation run in the same surroundings always."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from vaelib._cores import cores

CPU = torch.device("cpu")


@contextmanager
def ordinary() -> Iterator[None]:
    """PyTorch and NumPy as they are in a fresh process; what the caller had set is back afterwards.

    The default dtype and device, inference mode and `no_grad`, autocast, the precision of matrix products, and NumPy's
    errors. What costs time at each operation is undone only where it was set. Also a decorator: `@ordinary()`.
    """
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device() != CPU:
            stack.enter_context(CPU)
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(precision())
        torch.set_default_dtype(torch.float32)
        stack.callback(torch.set_default_dtype, before)
        yield


@contextmanager
def precision(tf32: bool = False) -> Iterator[None]:
    """Matrix products of float32 in full precision; TF32 only where it was asked for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def threads(count: int | None = None) -> Iterator[None]:
    """So many CPU threads, or as many as `cores`; and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
