"""A report is a table that adds up, on a terminal and as Markdown, and says what it does not show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from test_latex import LEDGER

from vaelib.derivation import Derivation, Line, Slip
from vaelib.derivation.compare import Verdict
from vaelib.derivation.report import Report


@dataclass(frozen=True)
class Numbers:
    a: float
    v: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Numbers:
        return cls(float(rng.uniform(1, 2)), rng.uniform(1, 2, 3))


def check(*lines: Line, witnesses: Any = 3, **options: Any) -> Report:
    return Derivation("T1", "a toy", Numbers.draw, lines, **options).check(witnesses)


ONE = Line("a", lambda w: w.a)
SAME = Line("a", lambda w: w.a, "the same")
UP = Line("a + 1", lambda w: w.a + 1, "a slip")


def cells(report: Report) -> list[list[str]]:
    """The cells of the Markdown table, split at every bar that is not escaped."""
    rows = [line for line in report.table._repr_markdown_().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_report_has_no_truth_value() -> None:
    """`assert derivation.check()` would pass for a broken derivation."""
    with pytest.raises(TypeError, match=r"Expected a comparison such as `report\.holds`.*report of T1"):
        bool(check(ONE, UP))


def test_verdict_of_a_report_is_its_worst() -> None:
    report = check(ONE, SAME, UP, SAME)
    assert report.verdicts == (Verdict.HOLDS, Verdict.HOLDS, Verdict.BROKEN, Verdict.HOLDS)
    assert report.verdict is Verdict.BROKEN and report.broken == (2,)
    assert report.worst is report.rows[2].comparison
    assert check(ONE, SAME).verdict is Verdict.HOLDS


def test_text_is_an_aligned_table_with_notes() -> None:
    text = str(
        check(ONE, UP, SAME, slips=(Slip(1, "one more", "It looks like one was added.", UP.value),))
    ).splitlines()
    assert text[0] == "T1 a toy: broken (3 witnesses, seed 0)"
    head = text[1]
    assert head.split() == ["line", "verdict", "formula", "reason", "value", "difference", "allowed"]
    for line, verdict in zip(text[2:5], ("start", "broken", "holds"), strict=True):
        assert line[head.index("verdict") :].startswith(verdict + " ")
    assert text[3][head.index("formula") :].startswith("= a + 1")
    assert text[3][head.index("difference") :].startswith("1 ")
    assert text[5:] == ["Line 1: It looks like one was added.", "Line 2: compared with line 0"]
    assert str(check(ONE, SAME, witnesses=1).table).startswith("T1 a toy: holds (1 witness, seed 0)")


def test_difference_is_that_of_the_two_values_beside_it() -> None:
    """The table is of one witness, the first that breaks; the verdict is over all."""
    witnesses = [Numbers(1.0, np.ones(3)), Numbers(2.0, np.ones(3)), Numbers(5.0, np.ones(3))]
    bent = Line("a^2", lambda w: w.a**2 if w.a > 1 else w.a)
    report = check(ONE, bent, witnesses=witnesses)
    assert report.shown_witness == 1
    assert report.rows[1].comparison.error == 20.0  # the worst, on the last witness
    assert [row[4] for row in cells(report)[1:]] == ["2", "4"]
    assert cells(report)[2][5] == "2"


def test_line_that_breaks_on_another_witness_says_so() -> None:
    witnesses = [Numbers(1.0, np.ones(3)), Numbers(2.0, np.ones(3))]
    first = Line("f", lambda w: w.a + (1.0 if w.a < 1.5 else 0.0))
    second = Line("s", lambda w: w.a + (3.0 if w.a > 1.5 else 0.0))
    report = check(ONE, first, second, witnesses=witnesses)
    assert report.shown_witness == 0 and report.broken == (1, 2)
    assert report.rows[2].here is not None and report.rows[2].here.verdict is Verdict.HOLDS
    assert report.rows[2].note.startswith("broken on another witness, by 3 (")
    assert "another witness" not in report.rows[1].note


def test_array_shows_one_entry_in_every_row() -> None:
    bent = Line("b", lambda w: w.v + np.array([0.0, 0.0, 1e-3]))
    report = check(
        Line("v", lambda w: w.v),
        Line("v", lambda w: 1 * w.v),
        bent,
        ONE,
        witnesses=[Numbers(1.0, np.array([1.0, 2, 3]))],
    )
    assert report.entry == (2,)
    assert [row[4] for row in cells(report)[1:]] == ["3 at [2]", "3 at [2]", "3.001 at [2]", "1"]
    whole = check(
        Line("v", lambda w: w.v), Line("v", lambda w: 1 * w.v), witnesses=[Numbers(1.0, np.array([1.0, 2, 3]))]
    )
    assert [row[4] for row in cells(whole)[1:]] == ["1 at [0]", "1 at [0]"]
    table = check(Line("m", lambda w: np.ones((2, 2))), Line("m", lambda w: np.array([[1, 1], [2, 1]])), witnesses=1)
    assert [row[4] for row in cells(table)[1:]] == ["1 at [1, 0]", "2 at [1, 0]"]


def test_entry_of_a_longer_array_does_not_spoil_a_shorter_one() -> None:
    long = Line("v", lambda w: np.ones(3))
    bent = Line("v", lambda w: np.array([1.0, 1.0, 2.0]))
    report = check(Line("1", lambda w: 1.0), long, bent, Line("1", lambda w: 1.0), witnesses=1)
    assert report.entry == (2,)
    for fewer in (1, 2):
        short = Line("s", lambda w, fewer=fewer: np.ones(fewer), relation="=")
        other = check(Line("1", lambda w: 1.0), bent, short, witnesses=1)
        assert [row[4] for row in cells(other)[1:]] == ["1", "2 at [2]", "1 at [0]"]


def test_shown_without_markdown_it_is_the_text_and_no_address() -> None:
    """A notebook stores the plain text too: an address of a function would change it on every run."""
    report = check(ONE, UP)
    assert repr(report) == str(report)
    assert repr(report.derivation) == str(report.derivation) and " at 0x" not in repr(report.derivation)
    assert repr(Slip(1, "no logarithm", "...", UP.value)) == "Slip(line 1: no logarithm)"
    assert repr(Line(r"\frac{a}{2}", lambda w: w.a / 2, relation=">=")) == "Line(>= a/2)"


def test_markdown_marks_trouble_with_words() -> None:
    rows = cells(check(ONE, UP, SAME))
    assert rows[0] == ["line", "verdict", "formula", "reason", "value", "difference", "allowed"]
    assert [row[1] for row in rows[1:]] == ["start", "**BROKEN**", "holds"]
    assert rows[2][2] == "$= a + 1$"


def test_markdown_table_survives_bars_and_angle_brackets() -> None:
    lines = (
        Line(r"\|a\| < |b|", lambda w: w.a, "p(x|z) <script> ||m||^2 *not bold*"),
        Line(r"a", lambda w: w.a + 1, "a < b", relation="<"),
        Line(r"a", lambda w: w.a, "a > b", relation=">"),
        Line(r"a", lambda w: w.a - 1, relation=">="),
        Line(r"a", lambda w: w.a, relation="<="),
        Line(r"a", lambda w: w.a + 1, relation="!="),
    )
    report = check(*lines, slips=(Slip(5, "s", "It looks like KL(p(z|x) || q) <0.", lambda w: w.a),))
    assert report.holds
    broken = report.derivation.with_line(5, Line("a", lambda w: w.a, relation="!=")).check(2)
    for each in (report, broken):
        rows = cells(each)
        assert {len(row) for row in rows} == {7} and len(rows) == 7
        assert not re.search(r"(?<!\\)[<]", each.table._repr_markdown_())
    assert [row[2].split(" ")[0] for row in cells(report)[2:]] == [r"$\lt", r"$\gt", r"$\ge", r"$\le", r"$\ne"]
    assert r"- Line 5: It looks like KL(p(z\|x) \|\| q) \<0;" in broken._repr_markdown_()


def test_notes_are_a_list_after_an_empty_line() -> None:
    lines = check(ONE, UP, SAME, UP, SAME)._repr_markdown_().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("- "))
    assert lines[first - 1] == "" and lines[1] == ""
    assert all(line.startswith("- Line ") for line in lines[first:]) and len(lines) - first == 2


def test_sampled_line_shows_z_and_its_threshold() -> None:
    line = Line("m", samples=lambda w, rng, n: w.a + rng.standard_normal(n), num_samples=100, resolution=1)
    row = cells(check(ONE, line))[2]
    assert row[5].startswith("z = ") and row[6] == "4.5"
    below = cells(check(line, ONE))[2]
    assert below[5].startswith("z = ") and below[6] == "4.5"


def test_line_that_was_not_judged_shows_its_value_and_no_difference() -> None:
    up = Line("a + 1", lambda w: w.a + 1, relation=">=")
    report = check(ONE, up, Line("a + 2", lambda w: w.a + 2, relation="<="), witnesses=[Numbers(1.0, np.ones(3))])
    assert cells(report)[3][1] == "**NOT JUDGED**" and cells(report)[3][4:] == ["3", "", ""]


def test_numbers_are_short() -> None:
    report = check(
        Line("x", lambda w: w.a / 3e7), Line("x", lambda w: w.a / 3e7 + 1e-4), witnesses=[Numbers(1.0, np.ones(3))]
    )
    assert [row[4] for row in cells(report)[1:]] == ["3.33333e-08", "0.000100033"]
    assert cells(report)[2][5] == "0.0001"
    assert len(cells(report)[2][6]) <= 7
    infinite = check(Line("x", lambda w: np.inf), Line("x", lambda w: np.nan), witnesses=1)
    assert [row[4] for row in cells(infinite)[1:]] == ["inf", "nan"]
    assert cells(infinite)[2][1] == "**BROKEN**"


def test_signs_of_constant_relations() -> None:
    five = Line("f", lambda w: np.arange(1.0, 6.0))
    rows = cells(check(five, Line("f", lambda w: 2 * np.arange(1.0, 6.0), relation="proportional")))
    assert rows[2][2] == r"$\propto f$"
    rows = cells(check(five, Line("f", lambda w: 2 + np.arange(1.0, 6.0), relation="same_argmin")))
    assert rows[2][2] == r"$\text{same argmin: } f$"
    rows = cells(check(five, Line("f", lambda w: 2 + np.arange(1.0, 6.0), relation="same_argmax")))
    assert rows[2][2] == r"$\text{same argmax: } f$"
    rows = cells(check(five, Line("f", lambda w: 2 + np.arange(1.0, 6.0), relation="up_to_constant")))
    assert rows[2][2] == r"$= \text{const} + f$"


def test_inequality_shows_both_sides_and_what_is_left_between_them() -> None:
    witnesses = [Numbers(1.0, np.array([5.0, 1.25, 3.0]))]
    below = Line("a", lambda w: w.a, relation=">=")
    row = cells(check(Line("v", lambda w: w.v), below, witnesses=witnesses))[2]
    assert row[5] == "1.25 ≥ 1, slack 0.25"  # the entry where least is left
    strict = check(ONE, Line("v", lambda w: w.v, relation="<"), witnesses=witnesses)
    assert "1 < 1.25, slack 0.25" in str(strict.table)
    row = cells(check(Line("v", lambda w: w.v), Line("2", lambda w: 2.0, relation=">="), witnesses=witnesses))[2]
    assert row[1] == "**BROKEN**" and row[5] == "0.75"


def test_limit_and_sample_mean_are_shown_as_approximate() -> None:
    limit = Line("b", lambda w, h: w.a + h**2, step=1e-2, resolution=1e-2)
    mean = Line("m", samples=lambda w, rng, n: w.a + rng.standard_normal(n))
    rows = cells(check(ONE, limit, SAME, mean))
    assert [row[2] for row in rows[2:]] == [r"$\approx b$", r"$\approx a$", r"$\approx m$"]
    assert "≈ b" in str(check(ONE, limit).table)


def test_summary_is_one_line() -> None:
    report = check(ONE, SAME)
    assert report.summary.startswith("T1 holds on 3 witnesses; largest difference 0, allowed")
    slip = Slip(1, "one more", "It looks like one was added.", UP.value)
    assert check(ONE, UP, slips=(slip,)).summary == "T1 is broken at line 1, on 3 witnesses: " + slip.says
    sampled = check(ONE, Line("m", samples=lambda w, rng, n: w.a + rng.standard_normal(n)), witnesses=1)
    assert re.fullmatch(r"T1 holds on 1 witness; largest \|z\| of a sample mean \d\.\d*, allowed 4\.5", sampled.summary)


def test_table_is_there_for_the_asking() -> None:
    report = check(ONE, UP)
    assert str(report.table) == str(report) and report.table._repr_markdown_() == report._repr_markdown_()


def test_a_check_that_holds_is_one_line_and_its_table_is_there_for_the_asking() -> None:
    report = check(ONE, SAME)
    assert str(report) == report.summary and len(str(report.table).splitlines()) == 4
    assert report._repr_markdown_().startswith("**T1 holds** on 3 witnesses; largest difference 0, allowed")


@pytest.mark.parametrize("derivation", LEDGER, ids=lambda d: d.id)
def test_report_of_every_derivation_of_the_ledger_is_legible(derivation: Derivation) -> None:
    report = derivation.check(1)
    assert report.as_expected
    text = str(report.table)
    assert "\\" not in text
    assert {len(row) for row in cells(report)} == {7}
    assert not re.search(r"(?<!\\)<(?!br>)", report.table._repr_markdown_())  # but for the end of a line
    widest = len("-1.23457e-13 at [0, 0, 0]")  # which digits rounding leaves depends on the processor
    for row in cells(report)[1:]:
        assert len(row[4]) <= widest and len(row[5]) <= (36 if "slack" in row[5] else 11) and len(row[6]) <= 9


def test_slips_show_themselves_as_a_table() -> None:
    slips = (
        Slip(1, "one more", "It looks like KL(p(z|x) || q).", UP.value, real="a note"),
        Slip(1, "none", "It looks like itself.", SAME.value),
    )
    tried = check(ONE, SAME, slips=slips).slips
    assert len(tried) == 2 and tried[0].rejected and not tried[1].rejected and [*tried] == [tried[0], tried[1]]
    head, rule, first, second = tried._repr_markdown_().splitlines()
    assert head == "| line | outcome | slip | what the check would say |" and rule.count("|") == 5
    assert first.startswith("| 1 | rejected | one more (a note) | ") and r"p(z\|x)" in first
    assert second.startswith("| 1 | NOT REJECTED | none | ")
    assert repr(tried).splitlines()[1] == "line 1, NOT REJECTED: none. It looks like itself."


def test_a_slip_is_put_in_by_its_name() -> None:
    chain = check(ONE, SAME, slips=(Slip(1, "one more", "It looks like one was added.", UP.value),)).derivation
    report = chain.with_slip("one more").check(2)
    assert report.broken == (1,) and report.rows[1].note == "It looks like one was added."
    with pytest.raises(ValueError, match=r"Expected one of the slips of T1 \('one more'\), but got 'none'"):
        chain.with_slip("none")
