"""A check blames the line that does not follow, says what it looks like, and can fail; each guard has a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from vaelib.derivation import Derivation, IllTyped, Line, Slip
from vaelib.derivation.compare import Verdict, measure
from vaelib.derivation.rounding import perturbed
from vaelib.distributions import Normal
from vaelib.estimate import Estimate
from vaelib.models import CurvedGaussian
from vaelib.terms import KL, E, H, lik, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q
from vaelib.witnesses import CurvedWitness

HOLDS, BROKEN, INCONCLUSIVE, NOT_JUDGED = Verdict.HOLDS, Verdict.BROKEN, Verdict.INCONCLUSIVE, Verdict.NOT_JUDGED


@dataclass(frozen=True)
class Two:
    """Two numbers between 1 and 2, and three more."""

    a: float
    b: float
    z: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Two:
        return cls(*rng.uniform(1, 2, 2), rng.uniform(1, 2, 3))


def product(w: Two) -> float:
    return w.a * w.b


def by_logarithms(w: Two) -> float:
    return float(np.exp(np.log(w.a) + np.log(w.b)))


def total(w: Two) -> float:
    return w.a + w.b


def plus(shift: float, f: Callable[[Two], Any] = product) -> Callable[[Two], Any]:
    return lambda w: f(w) + shift


def chain(*lines: Line, **options: Any) -> Derivation:
    return Derivation("T1", "a toy", Two.draw, lines, **options)


def verdicts(*lines: Line, **options: Any) -> tuple[Verdict, ...]:
    return chain(*lines, **options).check(3).verdicts


START = Line("a b", product)
RIGHT = Line(r"e^{\log a + \log b}", by_logarithms, "logarithm of a product")
WRONG = Line("a + b", total, "a slip")


# -------------------------------------------------------------------------------------------------------- who is blamed


def test_right_chain_holds() -> None:
    report = chain(START, RIGHT, START).check()
    assert report.verdicts == (HOLDS, HOLDS, HOLDS)
    assert report.holds and report.verdict is HOLDS and report.broken == () and report.as_expected


def test_wrong_line_is_blamed_and_the_right_line_after_it_is_not() -> None:
    report = chain(START, RIGHT, WRONG, RIGHT).check()
    assert report.verdicts == (HOLDS, HOLDS, BROKEN, HOLDS)
    assert report.broken == (2,) and not report.holds
    assert report.rows[3].compared_with == 1
    assert "compared with line 1" in report.rows[3].note


def test_wrong_line_that_repeats_a_wrong_line_is_blamed_too() -> None:
    assert verdicts(START, WRONG, WRONG, RIGHT) == (HOLDS, BROKEN, BROKEN, HOLDS)


def test_one_bad_witness_breaks_the_line() -> None:
    witnesses = [Two(1.5, 1.2, np.ones(3)), Two(2.0, 2.0, np.ones(3)), Two(1.1, 1.7, np.ones(3))]
    derivation = chain(START, WRONG)
    assert derivation.check(witnesses[1:2]).holds  # 2 * 2 = 2 + 2: a witness that is not generic
    report = derivation.check(witnesses[1:])
    assert report.broken == (1,) and report.shown_witness == 1
    assert report.num_witnesses == 2


def test_inconclusive_line_is_no_anchor() -> None:
    vague = Line("a b", lambda w: Estimate(product(w), 1e-3))
    report = chain(START, vague, RIGHT).check(2)
    assert report.verdicts == (HOLDS, INCONCLUSIVE, HOLDS)
    assert report.rows[2].compared_with == 0
    assert report.verdict is INCONCLUSIVE and not report.holds and not report.as_expected


def test_resolution_is_that_of_the_coarser_of_two_lines() -> None:
    vague = Line("a b", lambda w: Estimate(product(w), 1e-3), resolution=1e-2)
    assert verdicts(START, vague) == (HOLDS, HOLDS)
    assert verdicts(vague, START) == (HOLDS, HOLDS)
    assert verdicts(replace(vague, resolution=1e-4), START) == (HOLDS, INCONCLUSIVE)


def test_first_line_that_is_nan_is_broken_and_the_next_is_not_judged() -> None:
    report = chain(Line("?", lambda w: w.a * np.nan), RIGHT, RIGHT).check(2)
    assert report.verdicts == (BROKEN, NOT_JUDGED, HOLDS)
    assert "not a number" in report.rows[0].note
    assert "no line above" in report.rows[1].note
    assert report.rows[2].compared_with == 1


def test_nan_in_one_entry_breaks() -> None:
    line = Line("z", lambda w: np.array([1.0, np.nan, 1.0]))
    assert verdicts(line, Line("z", lambda w: np.ones(3))) == (BROKEN, NOT_JUDGED)
    report = chain(Line("z", lambda w: np.ones(3)), line).check(1)
    assert report.broken == (1,) and "NaN" in report.rows[1].note


# -------------------------------------------------------------------------------------------------- composing relations


def test_relations_compose_over_a_broken_line() -> None:
    below = Line("a b - 1", plus(-1), relation=">=")
    wrong = Line("a b + 1", plus(+1), relation=">=")
    assert verdicts(START, wrong, below) == (HOLDS, BROKEN, HOLDS)
    assert verdicts(START, wrong, Line("a b", product, relation="=")) == (HOLDS, BROKEN, HOLDS)
    assert chain(START, wrong, below).check(2).rows[2].relation == ">="


def test_relations_that_do_not_compose_are_not_judged() -> None:
    wrong = Line("a b + 1", plus(+1), relation=">=")
    upward = Line("a b + 2", plus(+2), relation="<=")
    report = chain(START, wrong, upward, upward).check(2)
    assert report.verdicts == (HOLDS, BROKEN, NOT_JUDGED, HOLDS)
    assert report.rows[2].note == "does not compose: '>=' then '<='"
    assert report.rows[3].compared_with == 2  # what was not judged may carry the next line
    assert report.rows[2].comparison.ratio == 0


def test_adjacent_lines_need_no_composition() -> None:
    below = Line("a b - 1", plus(-1), relation=">=")
    upward = Line("a b + 2", plus(+2), relation="<=")
    assert verdicts(START, below, upward) == (HOLDS, HOLDS, HOLDS)


@pytest.mark.parametrize(
    ("relation", "shift", "verdict"),
    [
        ("=", 0.0, HOLDS),
        (">=", -1.0, HOLDS),
        (">=", 1.0, BROKEN),
        ("<=", 1.0, HOLDS),
        ("<=", -1.0, BROKEN),
        (">", -1.0, HOLDS),
        (">", 0.0, BROKEN),
        ("<", 1.0, HOLDS),
        ("<", 0.0, BROKEN),
        ("!=", 1.0, HOLDS),
        ("!=", 0.0, BROKEN),
    ],
)
def test_relation_reads_from_the_line_above(relation: str, shift: float, verdict: Verdict) -> None:
    assert verdicts(START, Line("x", plus(shift), relation=relation))[1] is verdict


def test_proportional_and_same_argmin_lines() -> None:
    five = Line("f", lambda w: w.a * np.arange(5.0) ** 2 + 1)
    assert (
        verdicts(five, Line("c f", lambda w: w.b * (w.a * np.arange(5.0) ** 2 + 1), relation="proportional"))[1]
        is HOLDS
    )
    assert verdicts(five, Line("f + c", lambda w: w.a * np.arange(5.0) ** 2 + w.b, relation="same_argmin"))[1] is HOLDS
    assert verdicts(five, Line("f", lambda w: w.a * np.arange(5.0) ** 2 + w.b))[1] is BROKEN
    with pytest.raises(ValueError, match="at least 5 entries for `same_argmin`, but got 4") as error:
        verdicts(Line("f", lambda w: np.ones(4)), Line("f", lambda w: np.ones(4), relation="same_argmin"))
    assert "while comparing line 1 of T1 with line 0" in error.value.__notes__[0]


# ----------------------------------------------------------------------------------------------------------- the arrays


def test_array_holds_at_every_entry_and_the_table_shows_the_worst() -> None:
    def bent(w: Two) -> np.ndarray:
        return w.z**2 + np.array([0.0, 1e-3, 0.0])

    lines = (Line("z^2", lambda w: w.z * w.z), Line("z z", lambda w: w.z**2), Line("bent", bent))
    report = chain(*lines).check(2)
    assert report.verdicts == (HOLDS, HOLDS, BROKEN)
    assert report.rows[2].comparison.index == (1,) and report.entry == (1,)
    assert report.rows[2].comparison.error == pytest.approx(1e-3)
    assert str(report).count(" at [1]") == 3


def test_number_may_stand_beside_an_array() -> None:
    assert verdicts(START, Line("ab", lambda w: np.full(3, w.a * w.b)), START) == (HOLDS, HOLDS, HOLDS)


def test_shape_mismatch_names_the_lines() -> None:
    with pytest.raises(ValueError, match=r"got shapes \(3,\) and \(2,\)") as error:
        chain(Line("z", lambda w: w.z), Line("z'", lambda w: w.z[:2])).check(1)
    assert error.value.__notes__ == ["while comparing line 1 of T1 with line 0: z'"]


def test_error_inside_a_line_names_the_line() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        chain(START, Line(r"\frac{a}{0}", lambda w: 1 / 0)).check(1)
    assert error.value.__notes__ == [r"while evaluating line 1 of T1: \frac{a}{0}"]


# ----------------------------------------------------------------------------------------------------- gap and equality

MEANS = Line(r"\frac{a + b}{2}", lambda w: (w.a + w.b) / 2)


def geometric(w: Two) -> float:
    return float(np.sqrt(w.a * w.b))


def half_square(w: Two) -> float:
    return (np.sqrt(w.a) - np.sqrt(w.b)) ** 2 / 2


def equal_numbers(rng: np.random.Generator) -> Two:
    a = float(rng.uniform(1, 2))
    return Two(a, a, np.ones(3))


def test_gap_catches_a_weakened_bound() -> None:
    good = Line("g", geometric, relation=">=", gap=half_square)
    weak = replace(good, value=lambda w: geometric(w) - 0.1)
    assert verdicts(MEANS, good) == (HOLDS, HOLDS)
    assert verdicts(MEANS, replace(weak, gap=None)) == (HOLDS, HOLDS)  # alone, the inequality cannot see it
    report = chain(MEANS, weak).check(2)
    assert report.verdicts == (HOLDS, BROKEN)
    assert "what is lost is not the stated gap" in report.rows[1].note
    assert report.rows[1].comparison.error == pytest.approx(0.1)


def test_gap_of_an_upper_bound_is_what_is_added() -> None:
    start = Line("g", geometric)
    assert verdicts(start, replace(MEANS, relation="<=", gap=half_square))[1] is HOLDS
    assert verdicts(start, replace(MEANS, relation="<", gap=half_square))[1] is HOLDS
    assert verdicts(start, replace(MEANS, relation="<=", gap=lambda w: -half_square(w)))[1] is BROKEN


def test_violated_inequality_is_broken_whatever_its_gap() -> None:
    turned = Line("a + b", lambda w: (w.a + w.b) / 2, relation=">=", gap=lambda w: -half_square(w))
    report = chain(Line("g", geometric), turned).check(2)
    assert report.verdicts[1] is BROKEN and "stated gap" not in report.rows[1].note


def test_inconclusive_gap_is_not_passed_over() -> None:
    """The inequality holds with an error of zero; that must not hide that its gap is known to 1e-3 only."""
    line = Line("g", geometric, relation=">=", gap=lambda w: Estimate((w.a + w.b) / 2 - geometric(w), 1e-3))
    assert verdicts(MEANS, line) == (HOLDS, INCONCLUSIVE)


def test_gap_is_measured_to_the_anchor_across_equalities_only() -> None:
    good = Line("g", geometric, relation=">=", gap=half_square)
    weak = replace(good, value=lambda w: geometric(w) - 0.1)
    wrong_equality = Line("?", plus(5.0))
    wrong_inequality = Line("?", plus(5.0), relation=">=")
    assert verdicts(MEANS, wrong_equality, good) == (HOLDS, BROKEN, HOLDS)
    assert verdicts(MEANS, wrong_equality, weak) == (HOLDS, BROKEN, BROKEN)
    # the gap is stated to the line above; that is wrong and may lie anywhere, so only the composed relation is judged
    assert verdicts(MEANS, wrong_inequality, good) == (HOLDS, BROKEN, HOLDS)
    assert verdicts(MEANS, wrong_inequality, weak) == (HOLDS, BROKEN, HOLDS)


def test_equality_witness_catches_a_weakened_bound() -> None:
    good = Line("g", geometric, relation=">=", equality=equal_numbers)
    report = chain(MEANS, replace(good, value=lambda w: geometric(w) - 0.1)).check(2)
    assert verdicts(MEANS, good)[1] is HOLDS
    assert report.verdicts[1] is BROKEN and "no equality where there should be" in report.rows[1].note


def test_equality_witness_catches_a_strict_relation() -> None:
    strict = Line("g", geometric, relation=">", equality=equal_numbers)
    report = chain(MEANS, strict).check(2)
    assert report.verdicts[1] is BROKEN and "in the case of equality" in report.rows[1].note
    assert verdicts(MEANS, replace(strict, equality=None))[1] is HOLDS  # on generic witnesses it is strict


def test_equality_witness_catches_a_bound_that_fails_there_only() -> None:
    def too_high(w: Two) -> float:
        return geometric(w) + 0.1 * float(np.exp(-1e4 * (w.a - w.b) ** 2))

    line = Line("g", too_high, relation=">=", equality=equal_numbers)
    report = chain(MEANS, line).check([Two(1.0, 2.0, np.ones(3))])
    assert report.verdicts[1] is BROKEN and "in the case of equality" in report.rows[1].note


def test_gap_and_equality_slips_are_rejected() -> None:
    weak = {"value": lambda w: geometric(w) - 0.1}
    for guard in ({"gap": half_square}, {"equality": equal_numbers}):
        line = Line("g", geometric, relation=">=", **guard)
        slips = (Slip(1, "weak", "It looks like ...", **weak), Slip(1, "turned", "It looks like ...", relation="<="))
        report = chain(MEANS, line, slips=slips).check(2)
        assert report.holds and all(result.rejected for result in report.slips)
    unguarded = chain(MEANS, Line("g", geometric, relation=">="), slips=(Slip(1, "weak", "...", **weak),)).check(2)
    assert not unguarded.slips[0].rejected  # the equivalent mutant of the ledger: seen as a survivor, not hidden


def test_slip_to_an_equality_loses_the_gap() -> None:
    line = Line("g", geometric, relation=">=", gap=half_square, equality=equal_numbers)
    slipped = Slip(1, "equal", "...", relation="=").apply(line)
    assert slipped.gap is None and slipped.equality is None and slipped.relation == "="
    kept = Slip(1, "weak", "...", value=lambda w: 0.0).apply(line)
    assert kept.gap is line.gap and kept.equality is line.equality


# ---------------------------------------------------------------------------------------------------------- Monte Carlo


def noisy(shift: float = 0.0, deviation: float = 1.0) -> Callable[[Two, np.random.Generator, int], np.ndarray]:
    return lambda w, rng, n: product(w) + shift + deviation * rng.standard_normal(n)


def test_sample_mean_is_judged_by_z_and_a_shift_is_broken() -> None:
    report = chain(START, Line("m", samples=noisy(), num_samples=400, resolution=0.5)).check(4)
    assert report.holds
    assert report.rows[1].comparison.allowance == 4.5 and 0 < report.rows[1].comparison.error < 4.5
    shifted = chain(START, Line("m", samples=noisy(0.5), num_samples=400, resolution=0.5)).check(4)
    assert shifted.broken == (1,)
    assert shifted.rows[1].comparison.error == pytest.approx(0.5 * np.sqrt(1600), rel=0.2)  # that of the retry


def test_retry_at_four_n_decides_and_both_are_reported() -> None:
    calls: list[int] = []

    def unlucky(w: Two, rng: np.random.Generator, n: int) -> np.ndarray:
        calls.append(n)
        return product(w) + rng.standard_normal(n) + (1.0 if n == 400 else 0.0)

    report = chain(START, Line("m", samples=unlucky, num_samples=400, resolution=0.5)).check(1)
    assert report.holds and calls == [400, 1600]
    assert "|z| = 2" in report.rows[1].note and "at 400 samples" in report.rows[1].note
    assert report.rows[1].note.endswith("at 1,600")


def test_retry_of_a_broken_line_is_reported_too_and_there_is_only_one() -> None:
    calls: list[int] = []

    def wrong(w: Two, rng: np.random.Generator, n: int) -> np.ndarray:
        calls.append(n)
        return noisy(1.0)(w, rng, n)

    report = chain(START, Line("m", samples=wrong, num_samples=400, resolution=0.5)).check(1)
    assert report.broken == (1,) and calls == [400, 1600]
    assert "at 400 samples" in report.rows[1].note and "at 1,600" in report.rows[1].note


def test_retry_on_one_witness_is_reported_even_if_another_has_the_larger_z() -> None:
    witnesses = [Two(1.0, 1.0, np.ones(3)), Two(2.0, 1.0, np.ones(3))]

    def unlucky(w: Two, rng: np.random.Generator, n: int) -> np.ndarray:
        spread = np.tile([1.0, -1.0], n // 2)
        shift = {(1.0, 400): 1.0, (1.0, 1600): 0.0, (2.0, 400): 0.1}[w.a, n]  # |z| = 20, then 0; |z| = 2
        return product(w) + spread + shift

    report = chain(START, Line("m", samples=unlucky, num_samples=400, resolution=0.5)).check(witnesses)
    assert report.holds
    assert report.rows[1].comparison.error == pytest.approx(2.0, rel=0.01)
    assert "|z| = 19.97 at 400 samples, 0.00 at 1,600" in report.rows[1].note


def test_lucky_line_is_not_sampled_again() -> None:
    calls: list[int] = []

    def count(w: Two, rng: np.random.Generator, n: int) -> np.ndarray:
        calls.append(n)
        return noisy()(w, rng, n)

    assert chain(START, Line("m", samples=count, num_samples=400, resolution=0.5)).check(3).holds
    assert calls == [400] * 3


def test_sample_mean_is_no_anchor_where_an_exact_line_stands_above() -> None:
    sampled = Line("m", samples=noisy(), num_samples=100, resolution=0.5)
    report = chain(START, sampled, Line("a b", by_logarithms)).check(2)
    assert report.rows[2].compared_with == 0
    almost = Line("a b + 1e-9", plus(1e-9))
    assert verdicts(START, sampled, almost) == (HOLDS, HOLDS, BROKEN)  # far below a standard error


def test_sample_mean_is_the_anchor_where_nothing_exact_stands_above() -> None:
    sampled = Line("m", samples=noisy(), num_samples=400, resolution=0.5)
    assert verdicts(sampled, START) == (HOLDS, HOLDS)
    assert verdicts(sampled, Line("a b + 1", plus(1.0)))[1] is BROKEN


def test_two_sampled_lines_are_independent() -> None:
    seen: dict[str, np.ndarray] = {}

    def record(name: str) -> Callable[..., np.ndarray]:
        def samples(w: Two, rng: np.random.Generator, n: int) -> np.ndarray:
            seen[f"{name}{n}"] = rng.standard_normal(n)
            return product(w) + seen[f"{name}{n}"] + (5.0 if n == 100 else 0.0)

        return samples

    chain(
        START,
        Line("m", samples=record("first"), num_samples=100, resolution=0.5),
        Line("m", samples=record("second"), num_samples=100, resolution=0.5),
    ).check(1)
    assert len(seen) == 4
    assert not np.array_equal(seen["first100"], seen["second100"])
    assert not np.array_equal(seen["first400"][:100], seen["first100"])


def test_sampled_inequality_may_state_its_gap() -> None:
    below = {"samples": noisy(-1.0), "num_samples": 400, "resolution": 0.5, "relation": ">="}
    assert verdicts(START, Line("m", **below, gap=lambda w: 1.0))[1] is HOLDS
    assert verdicts(START, Line("m", **below, gap=lambda w: 2.0))[1] is BROKEN


def test_sample_mean_cannot_be_the_anchor_of_a_case_of_equality() -> None:
    sampled = Line(
        "m", samples=lambda w, rng, n: (w.a + w.b) / 2 + rng.standard_normal(n), num_samples=400, resolution=0.5
    )
    with pytest.raises(TypeError, match="'m' is a sample mean"):
        verdicts(sampled, Line("g", geometric, relation=">=", equality=equal_numbers))


def test_samples_of_the_wrong_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"return 400 samples \(first axis\), but got shape \(3, 400\)"):
        chain(START, Line("m", samples=lambda w, rng, n: np.ones((3, n)), num_samples=400, resolution=0.5)).check(1)


def test_sampled_slips_are_rejected_with_common_randomness() -> None:
    slips = (
        Slip(1, "shifted", "It looks like ...", samples=noisy(0.5)),
        Slip(1, "exactly wrong", "...", value=plus(0.1)),
    )
    report = chain(START, Line("m", samples=noisy(), num_samples=400, resolution=0.5), slips=slips).check(2)
    assert all(result.rejected and result.tried == 1 for result in report.slips)


# ------------------------------------------------------------------------------------------------ numerical derivatives


def central(f: Callable[[Any], Any]) -> Callable[[Two, float], float]:
    return lambda w, h: (f(w.a + h) - f(w.a - h)) / (2 * h)


def forward(f: Callable[[Any], Any]) -> Callable[[Two, float], float]:
    return lambda w, h: (f(w.a + h) - f(w.a)) / h


def test_numerical_derivative_is_judged_by_how_fast_its_error_shrinks() -> None:
    derivative = Line("f'", lambda w: np.cos(w.a))
    for difference, order in ((central(np.sin), 2), (forward(np.sin), 1)):
        options: dict[str, Any] = {"step": 1e-2, "order": order, "resolution": 1e-1}
        assert verdicts(Line("df", difference, **options), derivative)[1] is HOLDS
        assert verdicts(derivative, Line("df", difference, **options))[1] is HOLDS
        assert verdicts(derivative, Line("df", lambda w, h, d=difference: 1.01 * d(w, h), **options))[1] is BROKEN


def test_derivative_of_too_low_an_order_is_broken() -> None:
    """A one-sided difference under the name of a central one: the error halves where it should quarter."""
    line = Line("df", forward(np.sin), step=1e-2, order=2, resolution=1e-1)
    assert verdicts(Line("f'", lambda w: np.cos(w.a)), line)[1] is BROKEN


def test_value_of_a_stepped_line_is_that_at_half_the_step() -> None:
    steps: list[float] = []

    def record(w: Two, h: float) -> float:
        steps.append(h)
        return 1.0 + h

    report = chain(Line("1", lambda w: 1.0), Line("1 + h", record, step=1e-3, order=1, resolution=1e-2)).check(1)
    assert report.holds
    assert report.rows[1].shown == 1.0005
    assert Counter(steps) == {1e-3: 1, 5e-4: 5}  # once at the step; at half of it on the witness and four copies


def test_step_too_coarse_to_decide_is_inconclusive() -> None:
    line = Line("df", central(np.sin), step=1e-1)
    assert verdicts(Line("f'", lambda w: np.cos(w.a)), line)[1] is INCONCLUSIVE


# ---------------------------------------------------------------------------------------------------------------- slips

SLIPS = (
    Slip(1, "sum", "It looks like the logarithm of a sum.", total),
    Slip(2, "squared", "It looks like a b was squared.", lambda w: (w.a * w.b) ** 2),
)


def test_slips_are_rejected_at_the_first_witness_and_reevaluate_only_their_own_line() -> None:
    calls: Counter[str] = Counter()

    def counted(name: str, f: Callable[[Two], Any]) -> Callable[[Two], Any]:
        def value(w: Two) -> Any:
            calls[name] += 1
            return f(w)

        return value

    lines = (
        Line("0", counted("line 0", product)),
        Line("1", counted("line 1", by_logarithms)),
        Line("2", counted("line 2", product)),
    )
    slip = Slip(1, "sum", "...", counted("slip", total))
    draws: list[Two] = []

    def draw(rng: np.random.Generator) -> Two:
        draws.append(Two.draw(rng))
        return draws[-1]

    report = Derivation("T", "counted", draw, lines, (slip,)).check(6)
    assert len(draws) == 6
    assert calls == {f"line {j}": 6 * 2 for j in range(3)}  # each line once on each witness and on a copy of it
    assert report.slips[0].rejected and (report.slips[0].rejections, report.slips[0].tried) == (1, 1)
    assert calls["slip"] == 3  # its first copy does not move the sum, so that a second is looked at
    assert calls["line 0"] == calls["line 1"] == calls["line 2"] == 12
    assert report.slips is report.slips  # tried once
    str(report), report._repr_markdown_()
    assert calls["slip"] == 3 and calls["line 0"] == 12


def test_surviving_slip_is_tried_on_every_witness_and_said_so() -> None:
    harmless = Slip(1, "the same", "It looks like nothing.", lambda w: w.b * w.a)
    result = chain(START, RIGHT, slips=(harmless,)).check(5).slips[0]
    assert not result.rejected and (result.rejections, result.tried) == (0, 5)


def test_slip_that_only_some_witnesses_see_is_rejected_at_the_first_that_does() -> None:
    witnesses = [
        Two(2.0, 2.0, np.ones(3)),
        Two(2.0, 2.0, np.ones(3)),
        Two(1.5, 1.2, np.ones(3)),
        Two(1.0, 1.7, np.ones(3)),
    ]
    result = chain(START, RIGHT, slips=SLIPS[:1]).check(witnesses).slips[0]
    assert result.rejected and (result.rejections, result.tried) == (1, 3)


def test_slip_that_raises_is_an_error_and_no_rejection() -> None:
    slips = (
        Slip(1, "raises", "...", lambda w: 1 / 0),
        Slip(1, "wrong shape", "...", lambda w: w.z[:2]),
        Slip(1, "returns nothing", "...", lambda w: None),
        Slip(1, "ill-typed", "...", log_lik),
    )
    derivation = Derivation("T", "t", Two.draw, (Line("z", lambda w: w.z), Line("z", lambda w: 1 * w.z)), slips)
    for result, error in zip(
        derivation.check(2).slips, ("ZeroDivisionError", "ValueError", "TypeError", "IllTyped"), strict=True
    ):
        assert not result.rejected and result.rejections == 0
        assert result.error.startswith(error)


def test_inconclusive_slip_is_not_rejected() -> None:
    vague = Slip(1, "vague", "...", lambda w: Estimate(product(w), 1e-3))
    assert not chain(START, RIGHT, slips=(vague,)).check(2).slips[0].rejected


def test_slip_whose_relation_does_not_compose_is_an_error() -> None:
    sampled = Line("m", samples=noisy(-1), num_samples=400, relation=">=")
    last = Line("a b - 2", plus(-2), relation=">=")
    slips = (Slip(2, "turned", "...", relation="<="), Slip(2, "too high", "...", plus(+1)))
    turned, high = chain(START, sampled, last, slips=slips).check(2).slips
    assert not turned.rejected and "does not compose" in turned.error
    assert high.rejected  # against the exact line above the sampled one


def test_slip_after_a_sampled_line_is_judged_against_the_exact_one_above() -> None:
    sampled = Line("m", samples=noisy(), num_samples=100)
    slips = (Slip(2, "by 1e-9", "...", plus(1e-9)),)
    assert chain(START, sampled, RIGHT, slips=slips).check(2).slips[0].rejected


def test_slip_replaces_value_relation_and_formula() -> None:
    line = Line(log_evidence, reason="why", resolution=1e-3)
    slipped = Slip(1, "n", "s", E(q, log_q)).apply(line)
    assert slipped.latex == E(q, log_q).latex and slipped.reason == "why" and slipped.resolution == 1e-3
    assert Slip(1, "n", "s", lambda w: 0.0, latex="0").apply(line).latex == "0"
    assert Slip(1, "n", "s", lambda w: 0.0).apply(line).latex == line.latex
    turned = Slip(1, "n", "s", relation="<=").apply(line)
    assert turned.relation == "<=" and turned.formula is line.formula
    sampled = Slip(1, "n", "s", samples=noisy()).apply(line)
    assert sampled.samples is not None and sampled.value is None and sampled.latex == line.latex
    exact = Slip(1, "n", "s", lambda w: 0.0).apply(sampled)
    assert exact.samples is None


# ----------------------------------------------------------------------------------- your own line, and what it is like


def test_own_line_is_judged_and_its_slip_is_named() -> None:
    derivation = chain(START, RIGHT, Line("(ab)", product), slips=SLIPS)
    assert derivation.with_line(1, product).check().holds
    report = derivation.with_line(1, lambda w: w.b + w.a).check()
    assert report.broken == (1,)
    assert report.rows[1].note == "It looks like the logarithm of a sum."
    unknown = derivation.with_line(1, plus(0.5)).check()
    assert unknown.broken == (1,) and unknown.rows[1].note == ""  # an error that is not known gets no guess
    other_line = derivation.with_line(2, total).check()
    assert other_line.broken == (2,) and "logarithm of a sum" not in other_line.rows[2].note


def test_diagnosis_needs_the_same_value_on_every_witness() -> None:
    witnesses = [Two(1.5, 1.2, np.ones(3)), Two(2.0, 2.0, np.ones(3))]
    derivation = chain(START, RIGHT, slips=SLIPS[:1])
    like_on_one = derivation.with_line(1, lambda w: total(w) if w.a != w.b else 0.0)
    assert "logarithm of a sum" not in like_on_one.check(witnesses).rows[1].note
    raising = chain(START, RIGHT, slips=(Slip(1, "raises", "It looks like a crash.", lambda w: 1 / 0), SLIPS[0]))
    assert raising.with_line(1, total).check(2).rows[1].note == "It looks like the logarithm of a sum."


def test_diagnosis_of_a_coarse_line_uses_its_resolution() -> None:
    vague = Line("a b", lambda w: Estimate(product(w), 1e-3), resolution=1e-2)
    slip = Slip(1, "sum", "It looks like a sum.", lambda w: Estimate(total(w), 1e-3))
    derivation = chain(START, vague, slips=(slip,))
    assert derivation.with_line(1, lambda w: Estimate(total(w), 1e-3)).check(2).rows[1].note == "It looks like a sum."


def test_own_line_keeps_relation_gap_and_resolution_of_the_line_it_replaces() -> None:
    good = Line("g", geometric, "mean", ">=", gap=half_square, resolution=1e-3)
    mine = chain(MEANS, good).with_line(1, lambda w: geometric(w) - 0.1)
    assert mine.lines[1].relation == ">=" and mine.lines[1].resolution == 1e-3
    assert mine.check(2).broken == (1,)
    assert mine.lines[1].reason == "your line" and mine.lines[1].latex == r"\ldots"
    whole = chain(MEANS, good).with_line(1, Line("a b", product, "mine"))
    assert whole.lines[1].relation == "=" and whole.lines[1].gap is None
    with pytest.raises(IndexError, match="a line from 0 to 1, but got 2"):
        whole.with_line(2, product)
    with pytest.raises(IndexError, match="got -1"):
        whole.with_line(-1, product)


def test_own_function_is_shown_as_it_is_said() -> None:
    derivation = chain(START, RIGHT)
    assert derivation.with_line(1, product, latex="b a").lines[1].latex == "b a"
    assert derivation.with_line(1, product).lines[1].latex != "b a"


def test_slip_put_in_by_name_replaces_its_own_line_and_is_recognized() -> None:
    vague = Slip(1, "vague", "it is vague.", lambda w: Estimate(total(w), 1e-3))  # by its value alone: inconclusive
    derivation = chain(START, RIGHT, Line("(ab)", product), slips=(*SLIPS, vague))
    report = derivation.with_slip("squared").check(2)
    assert report.verdicts == (HOLDS, HOLDS, BROKEN) and report.rows[2].note == "It looks like a b was squared."
    assert derivation.with_slip("vague").check(2).rows[1].note == "It looks like it is vague."


def test_own_term_is_shown_as_it_is_evaluated() -> None:
    derivation = Derivation("T", "t", CurvedWitness.draw, (Line(log_evidence), Line(E(q, log_evidence))))
    mine = derivation.with_line(1, E(q, log_joint - log_post))
    assert mine.lines[1].latex == E(q, log_joint - log_post).latex
    assert mine.check(2).holds


# ----------------------------------------------------------------------------------------------------- published chains


def test_published_chain_breaks_exactly_where_it_is_known_to() -> None:
    lines = (START, WRONG, RIGHT, Line("(ab)^2", lambda w: (w.a * w.b) ** 2))
    assert chain(*lines, breaks_at=(1, 3)).check(2).as_expected
    for outside in (-1, len(lines), len(lines) + 1):
        with pytest.raises(ValueError, match=f"to be among 0 to {len(lines) - 1}, but got \\({outside},"):
            chain(*lines, breaks_at=(outside,))
    assert chain(*lines, breaks_at=[3, 1]).check(2).as_expected
    for other in ((), (1,), (3,), (1, 2), (1, 2, 3)):
        assert not chain(*lines, breaks_at=other).check(2).as_expected
    assert not chain(START, RIGHT, breaks_at=(1,)).check(2).as_expected  # a mistake that was repaired is noticed


def test_published_chain_with_a_line_that_is_not_judged_is_not_as_expected() -> None:
    wrong = Line("a b + 1", plus(+1), relation=">=")
    upward = Line("a b + 2", plus(+2), relation="<=")
    assert not chain(START, wrong, upward, breaks_at=(1,)).check(2).as_expected


# ------------------------------------------------------------------------------------------------------ ill-typed lines


def toy() -> CurvedWitness:
    """z ~ N(0, 1), x | z ~ N(2 z, 1/2), x = 1, q = N(0.3, 0.4^2)."""
    model = CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5)
    return CurvedWitness(model, np.array([1.0]), Normal(0.3, 0.4))


def on_the_toy(*lines: Line, **options: Any) -> Any:
    return Derivation("T", "toy", CurvedWitness.draw, lines, **options).check([toy()])


def test_line_with_z_left_free_is_ill_typed() -> None:
    report = on_the_toy(Line(log_evidence), Line(log_lik + log_prior - log_post), Line(E(q, log_joint - log_post)))
    assert report.verdicts == (HOLDS, BROKEN, HOLDS)
    assert report.rows[1].note.startswith("ill-typed: z is left free in log p(x|z), log p(z), log p(z|x)")
    assert "E(q, ...)" in report.rows[1].note
    assert report.rows[1].shown is None and report.rows[2].compared_with == 0


def test_kl_to_the_likelihood_is_ill_typed() -> None:
    report = on_the_toy(Line(KL(q, post)), Line(KL(q, lik)))
    assert report.broken == (1,)
    assert "KL(q, lik): p(x|z) is not a density in z: here it integrates to 0.5." in report.rows[1].note
    assert "`post`" in report.rows[1].note
    assert "H(q, lik)" in on_the_toy(Line(KL(q, post)), Line(H(q, lik))).rows[1].note
    assert "E(lik, ...)" in on_the_toy(Line(KL(q, post)), Line(E(lik, log_q))).rows[1].note
    assert report.worst.ratio == np.inf
    str(report), report._repr_markdown_()


def test_ill_typed_first_line_leaves_the_next_not_judged() -> None:
    report = on_the_toy(Line(log_lik), Line(log_evidence), Line(E(q, log_evidence)))
    assert report.verdicts == (BROKEN, NOT_JUDGED, HOLDS)


def test_line_that_is_ill_typed_on_a_later_witness_only() -> None:
    calls: list[int] = []

    def later(w: Two) -> float:
        calls.append(1)
        if len(calls) > 5:
            raise IllTyped("no density here")
        return product(w)

    report = chain(START, Line("?", later)).check(3)
    assert report.broken == (1,) and report.rows[1].note == "ill-typed: no density here"


def test_toy_numbers_of_the_published_slips() -> None:
    """The bound on the toy, and the third term of a published note, to ten digits."""
    report = on_the_toy(
        Line(log_evidence),
        Line(E(q, log_joint - log_q) + E(q, log_q - log_lik)),
        Line(E(q, log_lik) - KL(q, prior), relation=">=", gap=KL(q, post)),
        breaks_at=(1,),
    )
    assert report.as_expected
    values = [float(row.shown) for row in report.rows]
    assert values == pytest.approx([-1.782088343, -1.043938533, -1.913655675], abs=5e-10)


# ------------------------------------------------------------------------------------------------------ reproducibility


def test_same_seed_gives_the_same_report_and_another_seed_another() -> None:
    derivation = chain(START, RIGHT, Line("m", samples=noisy(), num_samples=100))
    first, again, other = (str(derivation.check(3, seed=seed)) for seed in (5, 5, 6))
    assert first == again
    assert first.replace("seed 5", "") != other.replace("seed 6", "")
    assert derivation.check(1, seed=5)._check.witnesses[0].a != derivation.check(1, seed=6)._check.witnesses[0].a


def test_more_witnesses_keep_the_first_ones() -> None:
    derivation = chain(START, RIGHT)
    few, many = derivation.check(2)._check.witnesses, derivation.check(5)._check.witnesses
    assert [(w.a, w.b) for w in few] == [(w.a, w.b) for w in many[:2]]
    assert len({w.a for w in many}) == 5


def test_copies_differ_from_each_other_and_between_witnesses() -> None:
    check = chain(START, RIGHT).check([Two(1.5, 1.2, np.ones(3))] * 2)._check
    moved = [(copy.a, copy.b, *copy.z) for copies in check.copies for copy in copies]
    assert [len(copies) for copies in check.copies] == [4, 4]
    assert len(set(moved)) == 8


def test_witnesses_may_be_a_numpy_integer_or_a_sequence() -> None:
    derivation = chain(START, RIGHT)
    assert derivation.check(np.int64(2)).num_witnesses == 2
    assert derivation.check((Two(1.5, 1.2, np.ones(3)),)).num_witnesses == 1
    with pytest.raises(ValueError, match="at least one witness, but got 0"):
        derivation.check(0)
    with pytest.raises(ValueError, match="at least one witness, but got an empty sequence"):
        derivation.check([])


def test_allowance_of_a_line_is_that_of_measure() -> None:
    witness = Two(1.5, 1.2, np.ones(3))
    report = chain(START, RIGHT).check([witness], seed=3)
    rng = np.random.default_rng([3, 0, 1])
    copies = [perturbed(witness, rng) for _ in range(4)]
    expected = sum(float(measure(f, witness, copies, hasty=True).allowance) for f in (product, by_logarithms))
    assert report.rows[1].comparison.allowance == expected


@pytest.mark.parametrize(("off", "verdict"), [(0.0, HOLDS), (1e-9, INCONCLUSIVE), (1.0, BROKEN)])
def test_copies_are_looked_at_until_the_verdict_is_clear(off: float, verdict: Verdict) -> None:
    """A line that its first copy moves by far less than the others do."""
    calls: list[float] = []

    def shaky(w: Two) -> float:
        calls.append(w.a)
        return {0: 1.0 + off, 1: 1.0 + off + 1e-13}.get(len(calls) - 1, 1.0 + off + 1e-5)

    report = chain(Line("1", lambda w: 1.0), Line("s", shaky)).check(1)
    assert report.rows[1].verdict is verdict
    assert len(calls) >= 5 if verdict is INCONCLUSIVE else len(calls) == 2


def test_argument_that_a_line_gets_wrong_is_refused_within_a_check() -> None:
    with pytest.raises(ValueError, match=r"`scale` to be finite and > 0 everywhere, but got -1\.0") as caught:
        chain(START, Line("N", lambda w: Normal(w.a, -1.0).log_prob(w.b))).check(1)
    assert "while evaluating line 1 of T" in caught.value.__notes__[0]


def test_lines_of_one_witness_are_evaluated_together_and_the_first_witness_last() -> None:
    order: list[tuple[int, float]] = []

    def noted(j: int) -> Callable[[Two], float]:
        def value(w: Two) -> float:
            order.append((j, w.a))
            return w.a * w.b

        return value

    drawn = [Two(a, 1.2, np.ones(3)) for a in (1.5, 2.5)]
    chain(Line("0", noted(0)), Line("1", noted(1))).check(drawn)
    assert [entry for entry in order if entry[1] in (1.5, 2.5)] == [(0, 2.5), (1, 2.5), (0, 1.5), (1, 1.5)]


# ------------------------------------------------------------------------------------------------ what is refused early


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Line("x", product, relation="=="), "`relation` to be one of =, >=, .* but got '=='"),
        (lambda: Line("x"), "LaTeX alone cannot be evaluated"),
        (lambda: Line("x", product, samples=noisy()), "either `value` or `samples`"),
        (lambda: Line("x", product, gap=product), "`gap` and `equality` on an inequality only, but got relation '='"),
        (lambda: Line("x", product, equality=equal_numbers, relation="same_argmin"), "on an inequality only"),
        (lambda: Line("x", samples=noisy(), relation=">=", equality=equal_numbers), "has samples. Use `gap`"),
        (lambda: Slip(1, "nothing", "..."), "slip 'nothing' to change the value or the relation, but got neither"),
        (lambda: Slip(1, "both", "...", product, samples=noisy()), "either `value` or `samples`, but got both"),
        (lambda: chain(START), "at least two lines in T1, but got 1"),
        (lambda: chain(START, RIGHT, slips=(Slip(0, "s", "...", total),)), "lines 1 to 1, but got line 0"),
        (lambda: chain(START, RIGHT, slips=(Slip(2, "s", "...", total),)), "lines 1 to 1, but got line 2"),
        (lambda: chain(START, RIGHT, breaks_at=(2,)), r"`breaks_at` of T1 to be among 0 to 1, but got \(2,\)"),
    ],
)
def test_bad_input_is_refused_with_the_reason(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_slip_with_an_unknown_relation_is_an_error_and_no_rejection() -> None:
    result = chain(START, RIGHT, slips=(Slip(1, "typo", "...", relation="=>"),)).check(1).slips[0]
    assert not result.rejected and "'=>'" in result.error


def test_lines_and_slips_may_be_lists_and_the_chapter_is_the_letter() -> None:
    derivation = Derivation("F12", "t", Two.draw, [START, RIGHT], list(SLIPS[:1]))
    assert isinstance(derivation.lines, tuple) and isinstance(derivation.slips, tuple)
    assert derivation.chapter == "F"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slip(1, "s", product, "It looks like ..."), "Are the two swapped"),  # type: ignore[arg-type]
        (lambda: chain(START, RIGHT).with_line(1, 3.0), "Is it a value that was computed already"),  # type: ignore[arg-type]
        (lambda: chain(START, RIGHT).check(3.5), r"but got one float: put it into \[ \]"),  # type: ignore[arg-type]
        (lambda: chain(START, Line("c", lambda w: w.a + 1j)).check(1), "Expected a line to return real numbers"),
        (lambda: chain(START, Line("c", lambda w: "a")).check(1), "Expected a line to return real numbers"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()
