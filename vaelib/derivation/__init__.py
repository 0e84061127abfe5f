"""Derivations: chains of lines that can be evaluated, and the check that finds the first step that does not follow.

`lines` (a line, a slip), `board` (how a chain is written), `derivation` (the chain), `checking` (how it is checked),
`compare` (relations, and a value with all that may be wrong about it), `rounding` (how far rounding moves a line),
`judging` (whether a relation holds between two values), `report`, `chain`, `changes` and `signs` (what people see).
Formulas (`vaelib.formula`) rest on `lines`, `compare` and `rounding`; the rest of this package rests on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaelib._lazy import handed_on

if TYPE_CHECKING:
    from vaelib.derivation.checking import GENERIC, SPECIAL, SlipResult, draw_witnesses
    from vaelib.derivation.derivation import Derivation, derive
    from vaelib.derivation.lines import IllTyped, Line, Slip

__all__ = [
    "GENERIC",
    "SPECIAL",
    "Derivation",
    "IllTyped",
    "Line",
    "Slip",
    "SlipResult",
    "derive",
    "draw_witnesses",
]

__getattr__, __dir__ = handed_on(
    __name__,
    {
        "checking": "GENERIC SPECIAL SlipResult draw_witnesses",
        "derivation": "Derivation derive",
        "lines": "IllTyped Line Slip",
    },
)
