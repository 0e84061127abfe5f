"""The command line: `commands`, and what they show (`console`, `pictures`, `terminal`); `course` is `make course`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaelib._lazy import handed_on

if TYPE_CHECKING:
    from vaelib.cli.commands import app

__all__ = [
    "app",
]

__getattr__, __dir__ = handed_on(
    __name__,
    {
        "commands": "app",
    },
)
