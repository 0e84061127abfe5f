"""What an answer may not leave behind in a notebook: output without end, other settings, open figures."""

from __future__ import annotations

import io
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

import numpy as np

LINES, LETTERS = 20, 2000  # of what an answer prints that are passed on
PICTURES = 3  # and of what it displays


class Bounded(io.TextIOBase):
    """Passes the beginning of what is printed on, and counts the rest."""

    def __init__(self, target: TextIO) -> None:
        self.target = target
        self.lines = self.letters = self.dropped = 0

    def write(self, text: str) -> int:
        if self.lines >= LINES or self.letters >= LETTERS:
            self.dropped += len(text)
            return len(text)
        kept = "".join(text[: LETTERS - self.letters].splitlines(keepends=True)[: LINES - self.lines])
        self.lines += kept.count("\n")
        self.letters += len(kept)
        self.dropped += len(text) - len(kept)
        self.target.write(kept)
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self.target.flush()

    def close(self) -> None:
        """What lies behind stays open."""


class Traces:
    """What was held back, in words."""

    def __init__(self) -> None:
        self.printed: list[Bounded] = []
        self.figures = 0
        self.displayed = 0

    def __str__(self) -> str:
        dropped = sum(stream.dropped for stream in self.printed)
        parts = [f"{dropped:,} more letters that the answer printed are not shown."] if dropped else []
        if self.displayed > PICTURES:
            parts.append(f"{self.displayed - PICTURES:,} more pictures that the answer displayed are not shown.")
        if self.figures:
            parts.append(f"{self.figures} figure{'s' * (self.figures > 1)} that the answer opened are closed.")
        return " ".join(parts)


@contextmanager
def contained() -> Iterator[Traces]:
    """Whatever runs inside prints little, and settings of NumPy, warnings, modules, folder and figures are restored."""
    traces = Traces()
    modules, folder, limit = dict(sys.modules), _folder(), sys.getrecursionlimit()
    states = np.random.get_state(), random.getstate()
    open_before = _figures()
    out, err = Bounded(sys.stdout), Bounded(sys.stderr)
    traces.printed = [out, err]
    try:
        with warnings.catch_warnings(), np.printoptions(), np.errstate(), redirect_stdout(out), redirect_stderr(err):
            with _few_pictures(traces):
                yield traces
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        sys.setrecursionlimit(limit)
        _restore(modules)
        if folder and folder != _folder():
            os.chdir(folder)
        for figure in _figures() - open_before:
            sys.modules["matplotlib.pyplot"].close(figure)
            traces.figures += 1


@contextmanager
def _few_pictures(traces: Traces) -> Iterator[None]:
    """Of what a notebook is told to display, the first few pictures get through."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        yield
        return
    publish = shell.display_pub.publish

    def counted(*args: Any, **kwargs: Any) -> None:
        traces.displayed += 1
        if traces.displayed <= PICTURES:
            publish(*args, **kwargs)

    shell.display_pub.publish = counted
    try:
        yield
    finally:
        shell.display_pub.publish = publish


def _restore(modules: dict[str, Any]) -> None:
    """Modules that were taken away or blocked are there again; what was newly imported stays."""
    for name in [name for name, module in sys.modules.items() if module is None and name not in modules]:
        del sys.modules[name]
    sys.modules.update({name: module for name, module in modules.items() if sys.modules.get(name) is not module})


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _figures() -> set[Any]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None and hasattr(pyplot, "get_fignums") else set()
