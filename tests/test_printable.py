"""What is printed can be shown: a terminal without Greek letters gets their names, and no error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vaelib._latex import plain
from vaelib._printable import printable
from vaelib.ledger import LEDGER

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("log σ² ≤ ½", "log sigma^2 <= (1/2)"),
        ("Σ⁻¹ μ̂ₙ", "Sigma^-1 mu_hat_n"),
        ("‖z‖² → ∞", "||z||^2 -> inf"),
        ("Wᵀẑ", "W^Tz_hat"),
        ("3 ± 0.1", "3 +- 0.1"),
        ("café 日", "cafe ?"),
        ("plain", "plain"),
    ],
)
def test_text_is_spelled_where_the_encoding_has_no_such_letters(text: str, spelled: str) -> None:
    assert printable(text, "ascii") == spelled
    assert printable(text, "utf-8") == text
    assert printable(text, "no such encoding") == spelled


def test_what_an_encoding_has_is_left_alone() -> None:
    assert printable("3 ± 0.1", "latin-1") == "3 ± 0.1"
    assert printable("μ ± 0.1", "latin-1") == "mu +- 0.1"


def test_every_formula_of_the_ledger_can_be_spelled() -> None:
    for derivation in LEDGER.values():
        for line in derivation.lines:
            spelled = printable(plain(line.latex) + line.reason + derivation.title, "ascii")
            assert spelled.isascii() and "?" not in spelled.replace(line.reason + derivation.title, ""), spelled


PROGRAM = """
from vaelib import Estimate
from vaelib.ledger import LEDGER
checked = LEDGER["F2"].check(1)
report = checked.table
print(report); print(checked.slips); print(repr(report)); print(Estimate(3.0, 0.1)); print(LEDGER["E1"].lines[1])
print(repr(str(report).splitlines()[1].index("verdict")))
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_reports_are_printed_in_any_encoding(encoding: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=env, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    text = run.stdout.decode(encoding)
    assert ("≥" in text) == (encoding == "utf-8")
    assert (">=" in text) == (encoding != "utf-8")
