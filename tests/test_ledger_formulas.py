"""What the ledger shows is what it evaluates: few lines are functions, slips show themselves, LaTeX reads back."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaelib.ledger import LEDGER

_path = Path(__file__).resolve().parent.parent / "tools" / "ledger_counts.py"
_spec = importlib.util.spec_from_file_location("ledger_counts", _path)
assert _spec is not None and _spec.loader is not None
counts: Any = importlib.util.module_from_spec(_spec)
sys.modules["ledger_counts"] = counts
_spec.loader.exec_module(counts)

ENTRIES = list(counts.entries(LEDGER.values()))
LINES = [entry for entry in ENTRIES if " line " in entry.place]
SLIPS = [entry for entry in ENTRIES if " slip " in entry.place and not entry.relation_only]


def test_at_most_a_fifth_of_the_lines_is_given_by_a_function() -> None:
    kinds = Counter(entry.kind for entry in LINES)
    given = sum(number for kind, number in kinds.items() if kind not in (counts.FORMULA, counts.TERM))
    assert given <= 0.2 * len(LINES), kinds


def test_every_slip_shows_its_own_formula() -> None:
    assert [entry.place for entry in SLIPS if entry.latex == entry.instead_of or not entry.latex.strip()] == []
    assert [entry.place for entry in ENTRIES if "TODO" in entry.latex] == []


def test_every_step_of_a_numerical_derivative_is_a_power_of_two() -> None:
    """Otherwise z + h is wrong by the same amount for all z nearby, and copies of a witness do not show it (A12)."""
    steps = {f"{name} line {j}": line.step for name in LEDGER for j, line in enumerate(LEDGER[name].lines)}
    assert [place for place, step in steps.items() if step is not None and math.frexp(step)[0] != 0.5] == []
    assert sum(step is not None for step in steps.values()) > 20


@pytest.mark.parametrize("identity", LEDGER)
def test_latex_is_read_back_as_the_formula_that_it_shows(identity: str) -> None:
    derivation = LEDGER[identity]
    witnesses = [derivation.draw(np.random.default_rng([5, i])) for i in range(5)]
    found = [counts.misread(entry, witnesses) for entry in counts.entries([derivation])]
    assert [text for text in found if text] == []
