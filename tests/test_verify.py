"""The ledger as a whole, and what `vaelib verify` says of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vaelib import verify as verify_module
from vaelib.cli.console import show_verification
from vaelib.derivation import Derivation, Line, Slip
from vaelib.ledger import LEDGER, PUBLISHED
from vaelib.verify import CHAPTERS, as_json, select, verify, verify_published

EXPECTED = """A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 B1 B2 B3 B4 B5 B6 B7 B8 B9 B10
C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19 C20 C21 C22 C23 C24
D1 D2 D3 D4 D5 D6 D7 D8 D9 D10 D11 D12 D13
E1 E2 E3 E4 E5 E6 E7 E8 E9 E10 E11 E12 E13 E14 E15 E16 E17 E18 E19 E20 E21 E22
F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24
G1 G2 G3 G4 G5 G6 G7 G8 G9 G10 G11 G12 H1 H2 H3 H4 H5 H6 H7 H8 H9 H10 H11 H12 H13 H14 H15 H16 H17 H18 H19 H20
I1 I2 I3 I4 J1 J2 J3 J4 J5 J6 J7 J8 J9 J10 J11 J12 J13 J14 J15 J16 J17 J18 J19 J20
K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 L1 L2 L3 L4 L5 L6 L7 L8
M1 M2 M3 M4 M5 N1 N2 N3 N4 N5 N6 N7 N8 P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11""".split()


def quiet() -> Console:
    return Console(file=StringIO(), width=100)


def text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture
def broken_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """X1 is wrong, X2 has a slip that is none, X3 raises."""

    def chain(name: str, second: object, slip: object = None) -> Derivation:
        slips = () if slip is None else (Slip(1, "no slip at all", "It looks right.", slip),)  # type: ignore[arg-type]
        lines = (Line("a", lambda w: w), Line("b", second))  # type: ignore[arg-type]
        return Derivation(name, "a test", lambda rng: float(rng.uniform(1, 2)), lines, slips)

    def raises(_: float) -> float:
        raise ZeroDivisionError("on purpose")

    ledger = {
        "A1": chain("A1", lambda w: w + 1e-9),
        "A2": chain("A2", lambda w: w * 1.0, lambda w: 2 * w / 2),
        "A3": chain("A3", raises),
        "A4": chain("A4", lambda w: w * 1.0),
    }
    monkeypatch.setattr(verify_module, "LEDGER", ledger)
    monkeypatch.setattr(verify_module, "PUBLISHED", ())


def test_ledger_holds_the_identities_of_its_chapters() -> None:
    assert list(LEDGER) == EXPECTED
    assert {derivation.chapter for derivation in LEDGER.values()} == set(CHAPTERS)


def test_identities_are_importable_by_number() -> None:
    from vaelib import ledger

    assert ledger.F1 is LEDGER["F1"]
    with pytest.raises(AttributeError, match=r"Expected an identity of the ledger \(A1, .*but got 'Q7'"):
        _ = ledger.Q7


def test_every_identity_has_slips_a_source_or_assumptions_and_distinct_slip_names() -> None:
    for derivation in LEDGER.values():
        assert derivation.slips, derivation.id
        assert derivation.source or derivation.assumptions, derivation.id
        names = [(slip.line, slip.name) for slip in derivation.slips]
        assert len(set(names)) == len(names), derivation.id


@pytest.mark.parametrize("identity", list(LEDGER))
def test_slips_speak_as_a_teacher_would(identity: str) -> None:
    for slip in LEDGER[identity].slips:
        assert slip.says.startswith("It looks like "), (slip.name, slip.says)
        assert len(slip.says) < 160, slip.says


@pytest.mark.parametrize("identity", list(LEDGER))
def test_reasons_fit_a_table(identity: str) -> None:
    for line in LEDGER[identity].lines[1:]:
        assert 0 < len(line.reason) <= 62, line.reason


@pytest.mark.long  # the whole ledger on one more seed: test_brief_form_...; all witnesses: tests/test_ledger_*.py
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_verify_raises_no_false_alarm_on_other_seeds(seed: int) -> None:
    for result in verify(list(LEDGER), seed=seed):
        assert result.passed, result


def test_published_chains_break_where_known_and_nowhere_else() -> None:
    results = list(verify_published(seed=3, draws=4))
    assert len(results) == len(PUBLISHED)
    assert all(result.passed for result in results), results
    assert sum(bool(result.breaks_at) for result in results) >= 6


def test_select_knows_chapters_identities_and_refuses_the_rest() -> None:
    assert select([]) == EXPECTED
    assert select(["m", "c7"]) == ["C7", "M1", "M2", "M3", "M4", "M5"]
    with pytest.raises(
        ValueError, match=r"Expected a chapter \(A, B, C, .*, P\) or an identity such as F1, but got 'Z9'"
    ):
        select(["Z9"])


def test_verify_reports_what_is_wrong_and_goes_on(broken_ledger: None) -> None:
    wrong, survivor, raised, right = verify(["A1", "A2", "A3", "A4"])
    assert wrong.verdict == "broken" and not wrong.passed
    assert math.isclose(wrong.worst_error, 1e-9, rel_tol=1e-3) and wrong.worst_error > wrong.allowance
    assert survivor.verdict == "holds" and survivor.slips.survivors == ["no slip at all"] and not survivor.passed
    assert (
        raised.verdict == "broken" and "ZeroDivisionError: on purpose" in raised.note and "line 1 of A3" in raised.note
    )
    assert right.passed and right.slips.per_draw_rate == 1.0


def test_console_shows_failures_and_the_summary_fails(broken_ledger: None, monkeypatch: pytest.MonkeyPatch) -> None:
    console = quiet()
    summary = show_verification(console=console)
    assert not summary.passed
    assert (summary.identities, summary.holding, summary.slips, summary.rejected) == (4, 2, 1, 0)
    assert "A2: slip not rejected: no slip at all" in text(console)
    assert "A3 BROKEN: ZeroDivisionError" in text(console)


def test_tables_fit_a_terminal_of_80_columns() -> None:
    console = Console(file=StringIO(), width=80)
    show_verification(["A", "L1"], draws=1, console=console)
    assert max(map(len, text(console).splitlines())) <= 80


def test_brief_form_has_a_line_for_each_chapter_with_its_counts(broken_ledger: None) -> None:
    console = quiet()
    assert not show_verification(console=console, brief=True).passed
    assert text(console).splitlines()[0].split() == ["hold", "rejected", "time"]
    (line,) = (line for line in text(console).splitlines() if line.startswith("A "))
    assert line.split()[-8:-2] == ["2", "of", "4", "0", "of", "1"] and line.endswith(" s")
    assert "A2: slip not rejected: no slip at all" in text(console)


@pytest.mark.slow
def test_brief_form_of_the_whole_ledger_is_short_and_raises_no_false_alarm() -> None:
    console = Console(file=StringIO(), width=80)
    summary = show_verification(console=console, brief=True, seed=1, draws=2)
    assert summary.holding == summary.identities == len(LEDGER), text(console)
    lines = text(console).splitlines()
    assert [line[0] for line in lines if line[:1] in CHAPTERS and line[1:2] == " "] == list(CHAPTERS)
    assert len(lines) <= len(CHAPTERS) + 3 and max(map(len, lines)) <= 80


def test_json_has_the_contract_s_keys(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    assert show_verification(["C1", "F8"], draws=2, json_file=file, console=quiet()).passed
    report = json.loads(file.read_text())
    assert set(report) == {"identities", "published", "seconds"} and report["seconds"] > 0
    first, second = report["identities"]
    assert {"id", "title", "verdict", "chapter", "worst_error", "allowance", "slips", "seconds"} <= set(first)
    assert set(first["slips"]) == {"total", "rejected", "survivors", "per_draw_rate"}
    assert second["id"] == "F8" and second["sampled"] and second["allowance"] == 4.5


def test_json_has_no_infinity(broken_ledger: None) -> None:
    report = as_json(list(verify(["A3"])), [], 1.0)
    assert report["identities"][0]["worst_error"] is None
    json.dumps(report, allow_nan=False)


def test_json_into_a_missing_folder_is_refused_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Expected a file in an existing folder"):
        show_verification(["C1"], json_file=tmp_path / "none" / "report.json", console=quiet())


def test_a_published_chain_that_stops_breaking_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    mended = replace(PUBLISHED[0], derivation=replace(PUBLISHED[0].derivation, breaks_at=()))
    monkeypatch.setattr(verify_module, "PUBLISHED", (mended,))
    monkeypatch.setattr(verify_module, "LEDGER", {"C1": LEDGER["C1"]})
    console = quiet()
    summary = show_verification(draws=2, console=console, names=())
    assert summary.published == 1 and summary.as_expected == 0 and not summary.passed
    assert "breaks at [4], not at []" in text(console)


def test_seed_and_draws_reach_the_witnesses() -> None:
    first, again = (next(verify(["E1"], seed=5, draws=3)).worst_error for _ in range(2))
    other = next(verify(["E1"], seed=6, draws=3)).worst_error
    assert first == again != other
    assert np.isfinite([first, other]).all()


@pytest.mark.parametrize("width", [30, 40, 80])
def test_name_of_an_identity_is_shown_at_any_width(width: int) -> None:
    console = Console(file=StringIO(), width=width)
    show_verification(["F1"], draws=1, console=console)
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    first_words = LEDGER["F1"].title.split()[:2]
    assert all(word in shown for word in ("F1", "holds", *first_words)), shown


def test_several_processes_find_the_same_in_the_same_order() -> None:
    ids = ["C1", "E1", "A1"]
    alone, together = (list(verify(ids, draws=2, jobs=jobs)) for jobs in (1, 2))
    assert [replace(r, seconds=0.0) for r in alone] == [replace(r, seconds=0.0) for r in together]
    assert [r.id for r in together] == ids


def test_an_error_in_another_process_is_reported_as_here() -> None:
    unknown = list(verify(["A1", "A2"], draws=0, jobs=2))  # no witness at all
    assert [r.verdict for r in unknown] == ["broken", "broken"]
    assert all("at least one witness" in r.note for r in unknown)


@pytest.mark.parametrize(("identities", "cores", "jobs"), [(19, 4, 1), (20, 4, 4), (206, 1, 1), (206, 128, 61)])
def test_many_identities_get_a_process_for_each_core(
    monkeypatch: pytest.MonkeyPatch, identities: int, cores: int, jobs: int
) -> None:
    monkeypatch.setattr(verify_module, "cores", lambda: cores)
    assert verify_module.jobs_for(identities) == jobs


def test_processes_that_verify_do_not_load_what_trains() -> None:
    script = "import sys, vaelib.cli.course; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
