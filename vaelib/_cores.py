"""How many CPU cores there are to work with."""

from __future__ import annotations

import os


def given() -> int:
    """CPU cores that the system lets this process use; in a container or a queue often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """CPU cores to compute on: those that are given, or fewer if OMP_NUM_THREADS says so.

    Not `torch.get_num_threads()`: another part of the program may have set that, and sums are rounded by it.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(given(), int(asked)) if asked.isdecimal() and int(asked) else given()
