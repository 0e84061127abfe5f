"""How far a check is from a false alarm."""

from __future__ import annotations

from typing import Any
from unittest import mock

from vaelib.derivation import Derivation, lines
from vaelib.derivation.compare import Value, measure
from vaelib.derivation.report import Report


def settled(derivation: Derivation, *how: Any, **named: Any) -> Report:
    """The report of `derivation.check`, with all copies of each witness looked at.

    A check that holds stops at the first copy that moves a line. By how much that one moves it is chance, and depends
    on the processor's rounding; were the difference larger than allowed, the check would look at all copies.
    """

    def thorough(*args: Any, hasty: bool = False, **options: Any) -> Value:
        return measure(*args, **options)

    with mock.patch.object(lines, "measure", thorough):
        return derivation.check(*how, **named)
