"""How many CPU cores there are to work with."""

from __future__ import annotations

import os


def cores() -> int:
    """CPU cores that this process may use: what the system gives it, or fewer if OMP_NUM_THREADS says so.

    Not `torch.get_num_threads()`: another part of the program may have set that, and sums are rounded by it.
    """
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(given, int(asked)) if asked.isdecimal() and int(asked) else given
