"""What a process has set must not change a result: training and evaluation run in the same surroundings always."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

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


def cores() -> int:
    """CPU cores that this process may use: what the system gives it, or fewer if OMP_NUM_THREADS says so.

    Not `torch.get_num_threads()`: another part of the program may have set that, and sums are rounded by it.
    """
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(given, int(asked)) if asked.isdecimal() and int(asked) else given
