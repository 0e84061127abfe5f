"""Advice in the reader's own words: `decoder="gaussian"` in Python, `--decoder gaussian` at a shell.

An error is raised far below the command line, and the same error reaches people who never saw the command.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_at_a_shell: ContextVar[bool] = ContextVar("at_a_shell", default=False)


@contextmanager
def at_a_shell() -> Iterator[None]:
    """Whoever reads what is said inside typed a command."""
    token = _at_a_shell.set(True)
    try:
        yield
    finally:
        _at_a_shell.reset(token)


def option(name: str, value: object = None) -> str:
    """A setting as the reader would write it; without a value, its name alone.

    >>> option("batch_size", 64), option("resume", True), option("out")
    ('batch_size=64', 'resume=True', '`out`')
    >>> with at_a_shell():
    ...     option("batch_size", 64), option("resume", True), option("out")
    ('--batch-size 64', '--resume', '--out')
    """
    if not _at_a_shell.get():
        return f"`{name}`" if value is None else f"{name}={value!r}"
    typed = name.replace("_", "-")
    if value is False:
        return f"--no-{typed}"
    return f"--{typed}" if value is None or value is True else f"--{typed} {value}"


def quoted(path: object) -> str:
    """A path as one word of a command that can be pasted, spaces and all."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def remark(sentence: str) -> None:
    """Warn, and go on in any case: where warnings are errors, this one is shown all the same, and not raised."""
    try:
        warnings.warn(sentence, stacklevel=3)
    except UserWarning as warning:
        with contextlib.suppress(OSError, ValueError):  # where there is nowhere to show it
            warnings.showwarning(warning, UserWarning, __file__, 0)
