"""What every test shares: no window opens, the same examples on every run, GPU tests only where there is a GPU."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Deterministic by default, so that a failure is there again on the next run; HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile("course", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "course"))

# Tests send these to programs that they start. Under nohup, or behind an & in a script, they would begin ignored.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

if importlib.util.find_spec("matplotlib"):
    import matplotlib

    matplotlib.use("Agg")  # not through MPLBACKEND, which the kernels of the notebooks would inherit


def has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not has_cuda():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """No figure outlives its test."""
    yield
    if importlib.util.find_spec("matplotlib"):
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close("all")
