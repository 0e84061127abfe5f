"""What the last cell of a notebook invites to try, as changes that a test makes: tests/test_tries.py runs each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Try:
    """One change to a notebook.

    Args:
        cell: the id of the code cell that is changed.
        old: what is replaced in it, found there once; nothing if the try adds a line at the end of the cell.
        new: what is typed instead.
        until: the id of the last cell that is run then.
        sees: what the student finds, in a sentence.
    """

    cell: str
    old: str
    new: str
    until: str
    sees: str


# By the number of the notebook: one entry for each try of its summary, in that order.
TRIES: dict[str, list[Try]] = {}
