"""Standard output and error as they are: in any encoding, closed, full, or not there. No result is lost to that."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

import typer

from vaelib._printable import printable

_lost: list[str] = []  # why standard output could not be written, first of all


def steady() -> None:
    """What the terminal cannot show is spelled (\\u2265), never an error; what is not there swallows all.

    To be called once, before a command writes anything.
    """
    _lost.clear()
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # as under pythonw, and after `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A line of the result on standard output; if that is gone, it is remembered, and the command goes on."""
    if _lost:
        return
    try:
        typer.echo(printable(text))
    except (OSError, ValueError) as error:
        _lost.append(getattr(error, "strerror", None) or str(error))
        with contextlib.suppress(OSError, ValueError):  # or the interpreter tries once more, on its way out
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """A line on standard error, if there is one."""
    with contextlib.suppress(OSError, ValueError):
        typer.echo(printable(text, getattr(sys.stderr, "encoding", None)), err=True)


def require_told(done: str) -> None:
    """End with exit status 1 if some of the result could not be said.

    Args:
        done: what has been done all the same, in a sentence.
    """
    if _lost:
        warn(f"Error: Could not write to standard output: {_lost[0]}. {done}")
        raise typer.Exit(1)
