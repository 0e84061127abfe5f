"""A derivation is written as on the board, and shown as on the board: formula, what changed, rule, why, needs."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from vaelib.derivation import Derivation, Line, Slip, derive
from vaelib.derivation.changes import underlined
from vaelib.formula import given, mark, sampled, tex
from vaelib.ledger import E1, F1, LEDGER
from vaelib.witnesses import NormalPair

START = derive("T1", "a toy", NormalPair.draw, assumptions="$a \\ne 0$", source="a note").start(
    tex(r"(\mu_q - \mu_p)^2")
)
TOY = (
    START.eq(
        tex(r"\mu_q^2 - 2\mu_q\mu_p + \mu_p^2"), "the square of a difference", why="no bracket is left", needs="nothing"
    )
    .slip("no middle term", tex(r"\mu_q^2 + \mu_p^2"), "the middle term was forgotten.")
    .slip("the other way", says="the relation is turned round.", relation="!=")
    .ge(tex(r"\mu_q^2 - 2\mu_q\mu_p"), "a square is dropped", gap=tex(r"\mu_p^2"))
    .eq(given(r"\text{as computed}", lambda w: w.q.loc**2 - 2 * w.q.loc * w.p.loc), "the package")
    .eq(
        sampled(r"\tfrac1n\sum_i a_i", lambda w, rng, n: w.q.loc * (w.q.loc - 2 * w.p.loc) + rng.standard_normal(n)),
        "a mean",
        resolution=1.0,
    )
)


def test_the_board_writes_lines_and_slips() -> None:
    assert [line.relation for line in TOY.lines] == ["=", "=", ">=", "=", "="]
    assert [line.reason for line in TOY.lines][1:3] == ["the square of a difference", "a square is dropped"]
    assert (TOY.lines[1].why, TOY.lines[1].needs) == ("no bracket is left", "nothing")
    assert [(slip.line, slip.name) for slip in TOY.slips] == [(1, "no middle term"), (1, "the other way")]
    assert TOY.slips[0].says == "It looks like the middle term was forgotten."
    report = TOY.check()
    assert report.holds and all(slip.rejected for slip in report.slips)


def test_a_line_may_be_known_to_break() -> None:
    chain = START.eq(tex(r"\mu_q^2"), "wrong", breaks=True).eq(tex(r"(\mu_q - \mu_p)^2"), "right")
    assert chain.breaks_at == (1,) and chain.check().as_expected
    assert TOY.line("=", tex("0"), "wrong", breaks=True).breaks_at == (5,)


def test_a_chain_that_has_no_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected T2 to begin with `\.start"):
        derive("T2", "a toy", NormalPair.draw).eq(tex("1"), "a rule")


def test_the_words_of_every_slip_are_added_once() -> None:
    for says in ("one was added.", "It looks like one was added."):
        assert TOY.slip("one more", tex("0"), says).slips[-1].says == "It looks like one was added."
    with pytest.raises(TypeError, match=r"Are the two swapped\?"):
        given(lambda w: 0.0, r"\text{swapped}")  # type: ignore[arg-type]


def test_nothing_is_changed_in_place() -> None:
    before = (TOY.lines, TOY.slips)
    TOY.eq(tex("0"), "more").slip("less", tex("1"), "more is less.")
    assert (TOY.lines, TOY.slips) == before


def test_what_a_line_says_of_its_names_holds_below_it() -> None:
    chain = (
        derive("T3", "a toy", NormalPair.draw).start(tex(r"a^2,\quad a = \mu_q - \mu_p")).eq(tex(r"a\, a"), "a square")
    )
    assert chain.check().holds
    other = chain.eq(tex(r"a + \mu_p^2 - \mu_p^2 + 1 - 1,\quad a = (\mu_q - \mu_p)^2"), "its own definition goes first")
    assert other.check().holds


def test_a_chain_is_shown_without_the_columns_that_say_nothing() -> None:
    text = str(TOY).splitlines()
    assert text[0] == "T1: a toy (a ≠ 0)"
    assert text[1].split() == ["line", "formula", "rule", "why", "here", "needs"]
    assert text[3].startswith("1     = μ_q² - 2 μ_q μ_p + μ_p²")
    assert str(TOY.chain(lines=range(2, 4))).splitlines()[1].split() == ["line", "formula", "rule"]
    assert repr(TOY) == str(TOY) and " at 0x" not in repr(TOY)


def test_markdown_underlines_what_changed() -> None:
    rows = [re.split(r"(?<!\\)\|", row)[1:-1] for row in F1._repr_markdown_().splitlines() if row.startswith("|")]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert r"\underline{\mathrm{KL}(q \,\Vert\, p(z \mid x))}" in rows[-1][1]
    assert r"\underline" not in rows[2][1]  # the first line has nothing above it


def test_some_lines_are_shown_on_request() -> None:
    assert len(str(F1.chain(lines=range(3))).splitlines()) == 5
    assert str(F1.chain(lines=slice(1, 3))) == str(F1.chain(lines=(1, 2)))
    assert r"\underline" not in F1.chain(lines=(2, 5))._repr_markdown_()  # they are no neighbors
    assert len(str(F1.chain(lines=())).splitlines()) == 2  # the title, and the heads of the columns
    with pytest.raises(IndexError, match=f"Expected lines of F1 from 0 to {len(F1.lines) - 1}, but got 99"):
        F1.chain(lines=(1, 99))
    with pytest.raises(TypeError, match=r"Expected lines as in `lines=range\(3\)`"):
        F1.chain(lines=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("lines", [(2, 0), (0, 2, 2), slice(None, None, -1)])
def test_lines_are_shown_from_top_to_bottom(lines: Any) -> None:
    """C1 says 0 <= KL; read upwards, its signs would say that KL is 0."""
    with pytest.raises(ValueError, match="Expected lines of C1 from top to bottom, each once, but got"):
        LEDGER["C1"].chain(lines=lines)


CHANGES = [
    (r"a + b", r"a + c", r"a + \underline{c}"),
    (r"a - b", r"a - b + c", r"a - b + \underline{c}"),
    (r"\mathbb{E}_{q}[f]", r"\mathbb{E}_{q}[f + g]", r"\mathbb{E}_{q}[f + \underline{g}]"),
    (r"\mathbb{E}_{q}[f]", r"\mathbb{E}_{p}[f]", r"\mathbb{E}_{p}[f]"),  # all of it is new
    (r"\frac{a}{b}", r"\frac{a}{c}", r"\frac{a}{\underline{c}}"),
    (r"x", r"y", r"y"),
    (r"a + b", r"a + b", r"a + b"),
    (r"a", r"\underline{a} + b", r"\underline{a} + b"),  # marked by hand
    (r"a", r"a + b,\quad b = 2", r"a + \underline{b},\quad b = 2"),
    (r"\text{words}", r"a + b", r"a + b"),
]


def signs(markdown: str, column: int) -> list[str]:
    """The relation with which each formula of a table begins, in LaTeX."""
    formulas = [
        re.split(r"(?<!\\)\|", row)[column].strip() for row in markdown.splitlines() if re.match(r"\| \d+ \|", row)
    ]
    return [re.match(r"\$(=|\\approx|\\ge|\\le|\\lt|>)? ?", formula)[1] or "" for formula in formulas]  # type: ignore[index]


@pytest.mark.parametrize("derivation", [TOY, *(LEDGER[id] for id in ("A12", "B10", "C23"))], ids=lambda d: d.id)
def test_chain_and_report_write_the_same_relations(derivation: Derivation) -> None:
    """A mean of samples, or a limit that is not taken, is near what is beside it: neither table says "="."""
    chain = signs(derivation._repr_markdown_(), 2)
    assert r"\approx" in chain and chain == signs(derivation.check(1).table._repr_markdown_(), 3)


def test_line_below_a_mean_of_samples_is_near_it_too() -> None:
    chain = TOY.eq(given(r"\text{again}", lambda w: w.q.loc**2 - 2 * w.q.loc * w.p.loc), "the package")
    assert signs(chain._repr_markdown_(), 2) == ["", "=", r"\ge", "=", r"\approx", r"\approx"]
    assert "≈ again" in repr(chain)


def test_what_holds_before_the_limit_is_shown_as_an_equation() -> None:
    def with_steps(exact: bool) -> list[str]:
        below = given(r"\text{below}", lambda w, h: w.q.loc + h)
        chain = derive("T4", "a toy", NormalPair.draw).start(below, step=0.1, order=1)
        chain = chain.eq(below, "a rule", step=0.1, order=1, exact=exact).eq(tex(r"\mu_q"), "the limit")
        return signs(chain._repr_markdown_(), 2) + signs(chain.chain(lines=(0, 2))._repr_markdown_(), 2)

    assert with_steps(True) == ["", "=", r"\approx", "", r"\approx"]
    assert with_steps(False) == ["", r"\approx", r"\approx", "", r"\approx"]
    with pytest.raises(ValueError, match="Expected `exact` on an equation only"):
        START.ge(tex("0"), "a square", exact=True)


@pytest.mark.parametrize("id, index", [("F20", 1), ("F20", 2), ("B10", 2), ("J3", 2), ("J8", 2)])
def test_step_that_is_called_exact_holds_far_from_the_limit(id: str, index: int) -> None:
    line, above = LEDGER[id].lines[index], LEDGER[id].lines[index - 1]
    witness = LEDGER[id].draw(np.random.default_rng(2))
    step = 2 * (above.step or 0.0)
    below = line.evaluate(witness, step) if line.step else line.evaluate(witness)
    values = [np.asarray(getattr(v, "value", v)) for v in (above.evaluate(witness, step), below)]
    assert line.exact and above.step and np.allclose(*values, rtol=1e-7)


def test_line_is_called_exact_only_where_it_would_be_shown_as_near() -> None:
    for derivation in LEDGER.values():
        for above, line in zip(derivation.lines, derivation.lines[1:], strict=False):
            assert not line.exact or line.rough or above.rough, (derivation.id, line.reason)


def test_relation_over_lines_that_are_left_out_is_composed() -> None:
    assert signs(TOY.chain(lines=(1, 3))._repr_markdown_(), 2) == ["=", r"\ge"]
    assert signs(TOY.chain(lines=(0, 3, 4))._repr_markdown_(), 2) == ["", r"\ge", r"\approx"]
    up_again = TOY.line("<=", given("0", lambda w: 0.0), "nothing follows")
    assert signs(up_again.chain(lines=(1, 5))._repr_markdown_(), 2) == ["=", ""]


@pytest.mark.parametrize("above, below, shown", CHANGES)
def test_the_part_that_changed_is_found(above: str, below: str, shown: str) -> None:
    assert underlined(above, tex(below) if "underline" not in below else mark(tex("a")) + tex("b")) == shown


def test_underlining_changes_no_value() -> None:
    """What is underlined is read again as the same formula."""
    witness = NormalPair.draw(np.random.default_rng(1))
    for above, below in zip(E1.lines[1:], E1.lines[2:4], strict=False):
        shown = underlined(above.formula, below.formula)
        bare = re.sub(r"\\underline\{", "{", shown)
        again = tex(bare).value(witness)
        assert getattr(again, "value", again) == pytest.approx(float(getattr(v := below.evaluate(witness), "value", v)))


@pytest.mark.parametrize("derivation", LEDGER.values(), ids=lambda d: d.id)
def test_every_chain_of_the_ledger_is_legible(derivation: Derivation) -> None:
    text, markdown = str(derivation), derivation._repr_markdown_()
    assert "\\" not in text and " at 0x" not in text
    assert not re.search(r"(?<!\\)<", markdown.replace("$<br>$", ""))  # where a formula goes on in the next line
    rows = [row for row in markdown.splitlines() if row.startswith("|")]
    assert len(rows) == len(derivation.lines) + 2
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_a_line_of_the_old_form_is_still_a_line() -> None:
    line = Line("a", lambda w: w.q.loc, "a rule")
    chain = Derivation(
        "T4",
        "a toy",
        NormalPair.draw,
        (line, line),
        (Slip(1, "one more", "It looks like one.", lambda w: w.q.loc + 1),),
    )
    assert chain.check().holds and chain.check().slips[0].rejected
    assert "a rule" in str(chain)
