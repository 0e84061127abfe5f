"""A command that several processes run together, as torchrun starts them: one speaks, and each may fail."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vaelib.train.processes import Processes


def launched(processes: int) -> str:
    """How a command begins that goes on with this one: as torchrun has started it on one machine, or alone."""
    here = os.environ.get("LOCAL_WORLD_SIZE") == str(processes)
    return f"torchrun --standalone --nproc-per-node={processes} -m vaelib" if processes > 1 and here else "vaelib"


def require_alone(command: str) -> None:
    """Refuse processes that would all do the same work; the first says so.

    Raises:
        typer.Exit: in the others. RunError: in the first.
    """
    from vaelib.train.config import RunError
    from vaelib.train.processes import asked

    rank, count = asked(os.environ)
    if rank > 0:
        raise typer.Exit(1)
    if count > 1:
        raise RunError(
            f"Expected one process, but got {count}: `vaelib {command}` does not share its work. Start it without"
            " torchrun; it uses the cores, or the GPU, of this machine."
        )


@contextmanager
def together() -> Iterator[Processes]:
    """The processes that run this command. Why they end is said once, and what only one of them knows, by that one.

    torchrun asks all others to end (SIGTERM) as soon as one has: that must not come before the words.

    Raises:
        typer.Exit: the first process has said, or will say, why.
    """
    from vaelib.train.processes import joined, lost

    def ended(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise lost(processes.count)

    with joined() as processes:
        if processes.count == 1:
            yield processes
            return
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ended)
        if not processes.first:
            warnings.showwarning = lambda *_, **__: None
        try:
            yield processes
        except typer.Exit:
            raise
        except BaseException as error:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if not processes.may_say(error):
                raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from None
            raise
