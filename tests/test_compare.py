"""The rule that decides: what a value may be off by, and what follows for a relation between two."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaelib.derivation.compare import Comparison, Value, Verdict, compose, measure, minus, worst_verdict
from vaelib.derivation.judging import judge
from vaelib.derivation.rounding import Copies, jumps, perturbed
from vaelib.distributions import MultivariateNormal, Normal
from vaelib.estimate import Estimate
from vaelib.witnesses import (
    BernoulliWitness,
    CurvedFamily,
    CurvedWitness,
    DiagonalPair,
    DiscreteWitness,
    LinearPoints,
    LinearWitness,
    MultivariatePair,
    NormalPair,
)

EPS = 2.0**-52
HOLDS, BROKEN, INCONCLUSIVE = Verdict.HOLDS, Verdict.BROKEN, Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class Witness:
    x: float
    v: np.ndarray
    n: int = 3


def exact(value: Any, allowance: Any = 0.0, **more: Any) -> Value:
    value = np.asarray(value, dtype=float)
    return Value(value, np.broadcast_to(np.asarray(allowance, dtype=float), value.shape), **more)


def sampled(value: Any, standard_error: Any, resolution: float | None = 1.0, **more: Any) -> Value:
    value = np.asarray(value, dtype=float)
    error = np.broadcast_to(np.asarray(standard_error, dtype=float), value.shape)
    return Value(value, np.zeros(value.shape), error, resolution=resolution, **more)


def stepped(fine: float, coarse: float, order: int) -> Value:
    return Value(np.asarray(fine), np.asarray(0.0), coarse=np.asarray(coarse), order=order)


# ------------------------------------------------------------------------------------------------------------- verdicts


def test_verdict_has_no_truth_value() -> None:
    for verdict in Verdict:
        with pytest.raises(TypeError, match=r"use `report\.holds`"):
            bool(verdict)
    assert str(Verdict.NOT_JUDGED) == "not judged"


def test_worst_verdict_is_the_one_that_matters_most() -> None:
    order = [Verdict.HOLDS, Verdict.NOT_JUDGED, Verdict.INCONCLUSIVE, Verdict.BROKEN]
    for i, worse in enumerate(order):
        for better in order[: i + 1]:
            assert worst_verdict([better, worse]) is worse
            assert worst_verdict([worse, better]) is worse
    assert worst_verdict([]) is HOLDS


@pytest.mark.parametrize(
    ("chain", "result"),
    [
        ([], "="),
        (["="], "="),
        (["=", ">="], ">="),
        ([">=", "="], ">="),
        ([">=", ">="], ">="),
        ([">=", ">"], ">"),
        ([">", ">="], ">"),
        (["<=", "<", "="], "<"),
        (["<", "<="], "<"),
        ([">", ">"], ">"),
        ([">=", "<="], None),
        (["<=", ">="], None),
        ([">=", "<"], None),
        ([">=", "<=", "="], None),
        ([">=", "<=", "<="], None),
        (["!=", "="], "!="),
        (["=", "!="], "!="),
        (["!=", "!="], None),  # a != b, b != c says nothing about a and c
        (["!=", ">"], None),
        (["proportional", "="], "proportional"),
        (["proportional", "proportional"], "proportional"),
        (["same_argmin", "same_argmin"], "same_argmin"),
        (["proportional", "same_argmin"], None),
        (["same_argmin", ">="], None),
        ([">=", "same_argmin"], None),
    ],
)
def test_relations_compose(chain: list[str], result: str | None) -> None:
    assert compose(chain) == result


@given(
    st.lists(st.sampled_from(["=", ">=", "<=", ">", "<", "!="]), max_size=4),
    st.lists(st.integers(-2, 2), min_size=5, max_size=5),
)
def test_composed_relation_is_implied_by_its_steps(chain: list[str], values: list[int]) -> None:
    """On whole numbers: whenever every step is true, so is the composed relation of the ends."""
    true: dict[str, Callable[[int, int], bool]] = {
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        "<": lambda a, b: a < b,
    }
    steps = zip(chain, values[:-1], values[1:], strict=False)
    composed = compose(chain)
    if composed is not None and all(true[relation](a, b) for relation, a, b in steps):
        assert true[composed](values[0], values[len(chain)])


# -------------------------------------------------------------------------------------------------------- the allowance


def copies_of(witness: Any, seed: int = 0, number: int = 4) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [perturbed(witness, rng) for _ in range(number)]


def test_allowance_is_sixteen_changes_plus_rounding_plus_own_error() -> None:
    witness = Witness(1.7, np.array([0.3, -2.0, 40.0]))
    copies = copies_of(witness)

    def line(w: Witness) -> Estimate:
        return Estimate(np.sin(1e3 * w.x) * w.v, np.array([1e-9, 0.0, 2e-9]))

    value = measure(line, witness, copies)
    changes = [np.abs(line(copy).value - line(witness).value) for copy in copies]
    expected = 16 * np.max(changes, axis=0) + 64 * EPS * np.abs(line(witness).value) + [1e-9, 0.0, 2e-9]
    np.testing.assert_array_equal(value.value, line(witness).value)
    np.testing.assert_allclose(value.allowance, expected, rtol=1e-15)
    assert np.all(np.max(changes, axis=0) > 0)
    assert any(np.any(change < np.max(changes, axis=0)) for change in changes)  # the largest change is a choice
    assert not value.sampled


def test_allowance_of_an_ill_conditioned_line_follows_the_conditioning() -> None:
    """sin of 10^6 radians, by two routes, has lost six digits: it is not called broken, and a slip in the ninth is."""
    for seed in range(50):
        witness = Witness(float(np.random.default_rng(seed).uniform(1, 2)), np.ones(1))
        copies = copies_of(witness, seed)
        direct = measure(lambda w: np.sin(1e6 * w.x), witness, copies)
        by_half_angle = measure(lambda w: 2 * np.sin(5e5 * w.x) * np.cos(5e5 * w.x), witness, copies)
        assert judge("=", direct, by_half_angle).verdict is HOLDS
        assert judge("=", direct, measure(lambda w: np.sin(1e6 * w.x) + 1e-7, witness, copies)).verdict is BROKEN


def test_infinite_value_is_no_change_and_no_allowance() -> None:
    witness = Witness(1.0, np.ones(2))
    value = measure(lambda w: np.array([np.inf * w.x, w.x]), witness, copies_of(witness))
    assert value.allowance[0] == 0
    assert judge("=", value, value).verdict is HOLDS


def test_value_that_is_infinite_on_a_copy_only_is_inconclusive() -> None:
    witness = Witness(1.0, np.ones(2))

    def at_the_edge(w: Witness) -> float:
        return 2.0 if w.x == 1.0 else np.inf

    value = measure(at_the_edge, witness, copies_of(witness))
    assert judge("=", value, exact(2.0)).verdict is INCONCLUSIVE


@pytest.mark.parametrize("own_error", [np.nan, 0.0])
def test_nan_on_a_copy_or_in_the_error_never_holds(own_error: float) -> None:
    witness = Witness(1.0, np.ones(2))
    value = measure(lambda w: Estimate(1.0 if w.x == 1.0 else np.nan, own_error), witness, copies_of(witness))
    assert judge("=", value, exact(1.0)).verdict is (BROKEN if np.isnan(own_error) else INCONCLUSIVE)


def test_sample_mean_is_evaluated_once_and_keeps_its_standard_error() -> None:
    witness = Witness(3.0, np.ones(2))
    calls: list[Any] = []

    def line(w: Witness) -> Estimate:
        calls.append(w)
        return Estimate(w.x, 0.1, 100)

    value = measure(line, witness, copies_of(witness))
    assert len(calls) == 1
    assert value.standard_error == 0.1
    assert value.allowance == 64 * EPS * 3.0


def test_infinite_sample_mean_gets_no_infinite_allowance() -> None:
    value = measure(lambda _: Estimate(np.inf, 1.0, 100), None, [])
    assert judge("=", value, exact(0.0)).verdict is BROKEN


def test_line_that_returns_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got None. Is a `return` missing\?"):
        measure(lambda w: None, Witness(1.0, np.ones(2)), [])


def test_line_without_entries_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one entry, but got shape \(0,\)"):
        measure(lambda w: w.v[w.v > 5], Witness(1.0, np.ones(2)), [])


def test_shape_that_depends_on_rounding_is_refused() -> None:
    witness = Witness(1.0, np.ones(2))
    with pytest.raises(ValueError, match=r"same shape on every copy of a witness, but got \(2,\) and \(3,\)"):
        measure(lambda w: np.ones(2 if w.x == 1.0 else 3), witness, copies_of(witness))


def test_hasty_measure_stops_at_the_first_copy_that_moves_the_line() -> None:
    looked: list[float] = []

    def line(w: Witness) -> float:
        looked.append(w.x)
        return 1.0 if len(looked) < 3 else 1.0 + 1e-12 * len(looked)

    witness = Witness(1.0, np.ones(2))
    hasty = measure(line, witness, copies_of(witness), hasty=True)
    assert len(looked) == 3  # the first copy moves nothing
    assert hasty.allowance == pytest.approx(16 * 3e-12 + 64 * EPS, rel=1e-3)
    assert hasty.settled().allowance == pytest.approx(16 * 5e-12 + 64 * EPS, rel=1e-3)
    assert len(looked) == 5 and hasty.settled().settled().thorough is None and len(looked) == 5
    assert measure(lambda w: 1.0, witness, copies_of(witness), hasty=True).thorough is None  # all were looked at


def test_copies_are_made_when_they_are_asked_for() -> None:
    witness = Witness(1.5, np.ones(2))
    copies, rng = Copies(witness, np.random.default_rng(3)), np.random.default_rng(3)
    one_by_one = [perturbed(witness, rng) for _ in range(4)]
    assert [c.x for c in copies] == [c.x for c in one_by_one] and len(copies) == 4
    assert copies[2].x == one_by_one[2].x
    with pytest.raises(IndexError, match="from 0 to 3, but got 4"):
        copies[4]


# -------------------------------------------------------------------------------------------------- perturbed witnesses


class Pair(NamedTuple):
    x: float
    n: int


def test_every_float_of_a_copy_moves_by_up_to_four_eps_and_nothing_else_does() -> None:
    def function(x: float) -> float:
        return x

    item = {
        "w": Witness(2.0, np.array([[1.0, -3.0]]), 7),
        "p": Pair(5.0, 2),
        "l": [1.5, "a", True, None, function, np.arange(3)],
    }
    copies = copies_of(item, number=200)
    relative = np.array(
        [
            [c["w"].x / 2 - 1, c["w"].v[0, 0] - 1, c["w"].v[0, 1] / -3 - 1, c["p"].x / 5 - 1, c["l"][0] / 1.5 - 1]
            for c in copies
        ]
    )
    assert np.all(np.abs(relative).max(axis=0) <= 4 * EPS)
    assert np.all(np.abs(relative).max(axis=0) > 2 * EPS)
    assert np.all(relative.min(axis=0) < 0) and np.all(relative.max(axis=0) > 0)
    for c in copies[:3]:
        assert type(c["p"]) is Pair and c["p"].n == 2 and c["w"].n == 7
        assert c["l"][1:5] == ["a", True, None, function]
        np.testing.assert_array_equal(c["l"][5], np.arange(3))


@pytest.mark.parametrize(
    "kind",
    [
        NormalPair,
        DiagonalPair,
        MultivariatePair,
        DiscreteWitness,
        LinearWitness,
        CurvedWitness,
        CurvedFamily,
        BernoulliWitness,
        LinearPoints,
    ],
)
def test_every_float_of_a_shipped_witness_is_perturbed(kind: Any) -> None:
    """A float that stays would leave a line's allowance too small."""

    def floats(item: Any) -> list[np.ndarray]:
        if isinstance(item, (float, np.ndarray)):
            array = np.asarray(item)
            return [array.ravel()] if array.dtype.kind == "f" else []
        if isinstance(item, tuple):
            return [leaf for entry in item for leaf in floats(entry)]
        given = [field.name for field in fields(item) if field.init] if is_dataclass(item) else []
        return [leaf for name in given for leaf in floats(getattr(item, name))]

    witness = kind.draw(np.random.default_rng(3))
    before = np.concatenate(floats(witness))
    after = np.array([np.concatenate(floats(copy)) for copy in copies_of(witness, number=12)])
    assert before.size >= 4
    assert np.all(np.any(after != before, axis=0) | (before == 0))
    np.testing.assert_allclose(after, np.broadcast_to(before, after.shape), rtol=5 * EPS)


def test_distribution_class_is_not_taken_for_a_witness() -> None:
    assert perturbed(Normal, np.random.default_rng(0)) is Normal
    assert isinstance(
        perturbed(MultivariateNormal(np.ones(2), np.eye(2)), np.random.default_rng(0)), MultivariateNormal
    )


# ------------------------------------------------------------------------------------------------------------ relations

D = 1e-3  # far beyond the allowance
A = 1e-9  # the allowance


@pytest.mark.parametrize(
    ("relation", "difference", "verdict"),
    [
        ("=", 0.0, HOLDS),
        ("=", 0.9 * A, HOLDS),
        ("=", -0.9 * A, HOLDS),
        ("=", 1.1 * A, BROKEN),
        ("=", -1.1 * A, BROKEN),
        (">=", D, HOLDS),
        (">=", 0.0, HOLDS),
        (">=", -0.9 * A, HOLDS),
        (">=", -1.1 * A, BROKEN),
        ("<=", -D, HOLDS),
        ("<=", 0.9 * A, HOLDS),
        ("<=", 1.1 * A, BROKEN),
        (">", 1.1 * A, HOLDS),
        (">", 0.9 * A, BROKEN),  # a strict relation holds only beyond the allowance
        (">", 0.0, BROKEN),
        (">", -D, BROKEN),
        ("<", -1.1 * A, HOLDS),
        ("<", -0.9 * A, BROKEN),
        ("<", 0.0, BROKEN),
        ("<", D, BROKEN),
        ("!=", 1.1 * A, HOLDS),
        ("!=", -1.1 * A, HOLDS),
        ("!=", 0.9 * A, BROKEN),
        ("!=", 0.0, BROKEN),
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_relation_is_judged_against_the_allowance_of_both_sides(
    relation: str, difference: float, verdict: Verdict, size: int
) -> None:
    above = exact(np.full(size, difference), 0.25 * A)
    below = exact(np.zeros(size), 0.75 * A)
    result = judge(relation, above, below)
    assert result.verdict is verdict
    if relation in ("=", ">=", "<=") and verdict is BROKEN and abs(difference) != D:
        assert result.error == pytest.approx(1.1 * A) and result.allowance == pytest.approx(A)
        assert result.ratio == pytest.approx(1.1)


def test_equality_within_rounding_under_a_strict_relation_says_so() -> None:
    assert "strict" in judge(">", exact(1.0, A), exact(1.0)).note
    assert "strict" in judge("!=", exact(1.0, A), exact(1.0)).note
    assert judge(">", exact(1.0, A), exact(2.0)).note == ""


@pytest.mark.parametrize("relation", ["=", ">=", "<=", ">", "<", "!="])
@pytest.mark.parametrize("other", [0.0, np.nan, np.inf])
def test_nan_breaks_every_relation(relation: str, other: float) -> None:
    for pair in ((np.nan, other), (other, np.nan)):
        result = judge(relation, exact(pair[0]), exact(pair[1]))
        assert result.verdict is BROKEN
    several = judge(relation, exact([2.0, np.nan]), exact([1.0, 1.0]))
    assert several.verdict is BROKEN


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
@pytest.mark.parametrize("relation", ["=", ">=", "<=", ">", "<", "!="])
def test_same_infinity_decides_nothing(relation: str, infinity: float) -> None:
    alone = judge(relation, exact(infinity), exact(infinity))
    assert alone.verdict is INCONCLUSIVE and not alone.decides and "same infinity at every entry" in alone.note
    below = {"=": 1.0, ">=": 0.0, "<=": 2.0, ">": 0.0, "<": 2.0, "!=": 0.0}[relation]
    assert judge(relation, exact([infinity, 1.0]), exact([infinity, below])).verdict is HOLDS
    wrong = {"=": 0.0, ">=": 2.0, "<=": 0.0, ">": 1.0, "<": 1.0, "!=": 1.0}[relation]
    assert judge(relation, exact([infinity, 1.0]), exact([infinity, wrong])).verdict is BROKEN


def test_infinity_that_is_claimed_is_equal() -> None:
    for relation, verdict in (("=", HOLDS), (">=", HOLDS), ("<=", HOLDS), (">", BROKEN), ("<", BROKEN), ("!=", BROKEN)):
        assert judge(relation, exact(np.inf), exact(np.inf, infinite=True)).verdict is verdict
    assert judge("=", exact(np.inf), exact(1.0, infinite=True)).verdict is BROKEN


def test_infinite_and_finite_differ() -> None:
    for relation, verdict in (("=", BROKEN), (">=", HOLDS), ("<=", BROKEN), (">", HOLDS), ("<", BROKEN), ("!=", HOLDS)):
        assert judge(relation, exact(np.inf), exact(1.0)).verdict is verdict
    assert judge("=", exact(np.inf), exact(-np.inf)).verdict is BROKEN


def test_allowance_beyond_the_resolution_is_inconclusive_unless_the_difference_is_beyond_it_too() -> None:
    for relation in ("=", ">=", "<=", ">", "<", "!="):
        assert judge(relation, exact(1.0, 2e-6), exact(1.0)).verdict is INCONCLUSIVE
    assert judge("=", exact(1.0, 2e-6), exact(1.1)).verdict is BROKEN
    assert judge(">=", exact(1.0, 2e-6), exact(0.9)).verdict is HOLDS
    assert judge(">", exact(1.0, 2e-6), exact(0.9)).verdict is HOLDS
    assert judge("=", exact(1.0, 0.9e-6), exact(1.0)).verdict is HOLDS
    assert judge("=", exact(1.0, 2e-6), exact(1.0, resolution=1e-5)).verdict is HOLDS


def test_resolution_is_relative_to_large_values_and_absolute_below_one() -> None:
    assert judge("=", exact(1e4, 5e-3), exact(1e4)).verdict is HOLDS
    assert judge("=", exact(1e4, 5e-2), exact(1e4)).verdict is INCONCLUSIVE
    assert judge("=", exact(1e-9, 5e-7), exact(1e-9)).verdict is HOLDS


def test_infinite_allowance_decides_nothing() -> None:
    assert judge("=", exact(1.0, np.inf), exact(1.0)).verdict is INCONCLUSIVE
    assert judge(">", exact(1.0, np.inf), exact(1.0)).verdict is INCONCLUSIVE


# --------------------------------------------------------------------------------------------------------------- arrays


def test_relation_holds_at_every_entry_and_the_worst_is_named() -> None:
    above = exact([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], A)
    wrong = exact([[0.0, 2 * A, 0.0], [0.0, 0.0, 5 * A]])
    result = judge("=", above, wrong)
    assert result.verdict is BROKEN
    assert result.index == (1, 2)
    assert result.error == 5 * A and result.ratio == pytest.approx(5)


def test_broken_entry_is_named_before_an_inconclusive_one() -> None:
    result = judge("=", exact([0.0, 0.0], [1e-3, A]), exact([0.9e-3, 2 * A]))
    assert result.verdict is BROKEN and result.index == (1,)
    assert judge("=", exact([0.0, 0.0], [1e-3, A]), exact([0.0, 0.9 * A])).verdict is INCONCLUSIVE
    assert judge("=", exact([0.0, 0.0], [1e-3, A]), exact([0.0, 0.9 * A])).index == (0,)


def test_scalar_is_compared_with_every_entry() -> None:
    scalar, array = exact(1.0, A), exact([1.0, 1.0, 1.0])
    for above, below in ((scalar, array), (array, scalar)):
        assert judge("=", above, below).verdict is HOLDS
    assert judge("=", scalar, exact([1.0, 1.1, 1.0])).index == (1,)


@pytest.mark.parametrize("shapes", [((3,), (2,)), ((3,), (1,)), ((2, 3), (3,)), ((2, 3), (3, 2))])
def test_shapes_that_differ_are_refused_and_not_broadcast(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"same shape .* Was an axis summed in one line only\?"):
        judge("=", exact(np.ones(shapes[0])), exact(np.ones(shapes[1])))


# ----------------------------------------------------------------------------------------- proportional and same_argmin


def test_proportional_means_a_constant_ratio() -> None:
    density = np.exp(-(np.linspace(-1, 1, 6).reshape(2, 3) ** 2))
    assert judge("proportional", exact(density, 1e-14), exact(7 * density, 1e-14)).verdict is HOLDS
    wrong = 7 * density.copy()
    wrong[1, 0] *= 1.01
    result = judge("proportional", exact(density, 1e-14), exact(wrong, 1e-14))
    assert result.verdict is BROKEN
    assert result.error == pytest.approx(np.log(1.01))
    assert len(result.index) == 2
    assert judge("proportional", exact(density, 1e-14), exact(density + 0.1, 1e-14)).verdict is BROKEN


@pytest.mark.parametrize(("jump", "verdict"), [(1e-8, BROKEN), (1e-6, INCONCLUSIVE)])
def test_jumps_of_a_density_are_relative_to_it(jump: float, verdict: Verdict) -> None:
    density = np.array([1000.0, 2000.0, 4000.0])
    above = exact(density, 1e-11, jumps=lambda: np.full(3, jump))
    result = judge("proportional", above, exact(density * [1.0, 1.0, 1 + 1e-9], 1e-11))
    assert result.verdict is verdict and result.error == pytest.approx(1e-9, rel=1e-3)


def test_proportional_refuses_values_that_are_no_densities() -> None:
    result = judge("proportional", exact([1.0, 0.0]), exact([1.0, 1.0]))
    assert result.verdict is BROKEN and "values must be > 0" in result.note
    assert judge("proportional", exact([1.0, 2.0]), exact([-1.0, -2.0])).verdict is BROKEN
    assert judge("proportional", exact([1.0, np.nan]), exact([1.0, 2.0])).verdict is BROKEN


def test_proportional_allowance_is_relative() -> None:
    """1e-12 beside values of 1e-6 is 1e-6 of them."""
    above, below = exact([1e-6, 2e-6], 1e-12), exact([1e-6, 2e-6 * (1 + 5e-7)])
    assert judge("proportional", above, below).verdict is HOLDS
    assert judge("proportional", above, exact([1e-6, 2e-6 * (1 + 5e-6)])).verdict is BROKEN


def test_same_argmin_means_a_constant_difference() -> None:
    objective = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    assert judge("same_argmin", exact(objective, 1e-14), exact(objective - 17, 1e-14)).verdict is HOLDS
    assert judge("same_argmin", exact(objective, 1e-3), exact(objective)).verdict is INCONCLUSIVE
    assert judge("same_argmin", exact(objective, 1e-14), exact([1.0, 2.0, np.nan, 3.0, 4.0])).verdict is BROKEN


def test_difference_that_is_not_constant_refutes_an_argmin_only_where_another_entry_is_best() -> None:
    objective = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    twice = judge("same_argmin", exact(objective, 1e-14), exact(2 * objective, 1e-14))
    assert (
        twice.verdict is INCONCLUSIVE and "not shown" in twice.note and "of these 5 the same one is least" in twice.note
    )
    bent = objective - 17
    bent[3] -= 0.501  # now below the second entry
    result = judge("same_argmin", exact(objective, 1e-14), exact(bent, 1e-14))
    assert result.verdict is BROKEN and result.note == "another one is least"
    assert judge("same_argmin", exact(objective, 1e-14), exact(bent, 0.01)).verdict is INCONCLUSIVE  # within reach
    assert judge("up_to_constant", exact(objective, 1e-14), exact(2 * objective, 1e-14)).verdict is BROKEN


def test_largest_and_least_are_told_apart() -> None:
    objective = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    curved = exact(objective**2, 1e-14)
    assert judge("same_argmax", exact(objective, 1e-14), curved).verdict is INCONCLUSIVE
    turned = exact(-objective, 1e-14)
    assert judge("same_argmin", exact(objective, 1e-14), turned).verdict is BROKEN
    at_one_end = exact([3.0, 1.0, 4.0, 1.5, 1.2], 1e-14)  # the same least, another largest
    assert judge("same_argmin", exact(objective, 1e-14), at_one_end).verdict is INCONCLUSIVE
    assert judge("same_argmax", exact(objective, 1e-14), at_one_end).verdict is BROKEN


def test_same_argmin_allows_for_the_error_of_the_entry_it_refers_to() -> None:
    objective = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    off = objective + 1.5 * A * np.array([0, 0, 1, 0, 0])
    assert judge("same_argmin", exact(objective, A), exact(off)).verdict is HOLDS
    assert judge("up_to_constant", exact(objective, A), exact(off)).verdict is HOLDS
    assert judge("up_to_constant", exact(objective, A), exact(objective + 2.5 * (off - objective))).verdict is BROKEN


def test_same_argmin_index_is_that_of_the_array() -> None:
    grid = np.arange(6.0).reshape(2, 3)
    bent = grid + 5
    bent[1, 2] += 1e-3
    assert judge("same_argmin", exact(grid, 1e-14), exact(bent, 1e-14)).index == (1, 2)


def test_same_infinity_agrees_with_any_constant() -> None:
    """A q outside the support: both objectives are infinite there, and the best q is the same."""
    above = exact([np.inf, 3.0, 1.0, 4.0, 1.5, 9.0], 1e-14)
    assert judge("same_argmin", above, exact([np.inf, 13.0, 11.0, 14.0, 11.5, 19.0], 1e-14)).verdict is HOLDS
    assert judge("same_argmin", above, exact([0.0, 13.0, 11.0, 14.0, 11.5, 19.0], 1e-14)).verdict is BROKEN
    assert judge("up_to_constant", above, exact([np.inf, 13.0, 11.0, 14.0, 11.5, 18.0], 1e-14)).verdict is BROKEN


@pytest.mark.parametrize(("relation", "least"), [("proportional", 2), ("same_argmin", 5)])
def test_constant_difference_needs_entries(relation: str, least: int) -> None:
    value = exact(np.arange(1.0, least))
    with pytest.raises(ValueError, match=f"at least {least} entries for `{relation}`, but got {least - 1}"):
        judge(relation, value, value)
    enough = exact(np.arange(1.0, least + 1))
    assert judge(relation, enough, enough).verdict is HOLDS


def test_same_infinities_do_not_count_as_entries() -> None:
    value = exact([np.inf, 1.0, 2.0, 3.0, 4.0])
    with pytest.raises(ValueError, match="at least 5 entries for `same_argmin`, but got 4"):
        judge("same_argmin", value, value)


# -------------------------------------------------------------------------------------------------- sampled and stepped


def test_sample_mean_is_judged_by_z() -> None:
    for z, verdict in ((4.4, HOLDS), (-4.4, HOLDS), (4.6, BROKEN), (-4.6, BROKEN)):
        for pair in ((sampled(1 + 0.1 * z, 0.1), exact(1.0)), (exact(1 + 0.1 * z), sampled(1.0, 0.1))):
            result = judge("=", *pair)
            assert result.verdict is verdict
            assert result.sampled and result.allowance == 4.5
            assert result.error == pytest.approx(abs(z))


def test_two_sample_means_add_variances() -> None:
    result = judge("=", sampled(0.0, 3.0), sampled(10.0, 4.0))
    assert result.error == pytest.approx(2.0)


def test_sampled_inequality_counts_the_violation_only() -> None:
    assert judge(">=", sampled(5.0, 0.1), exact(1.0)).error == 0
    assert judge(">=", sampled(0.0, 0.1), exact(1.0)).verdict is BROKEN
    assert judge(">=", sampled(0.7, 0.1), exact(1.0)).verdict is HOLDS


def test_sampled_line_without_power_is_inconclusive_with_the_reason() -> None:
    result = judge("=", sampled(1.0, 10.0), exact(1.0))
    assert result.verdict is INCONCLUSIVE and "4.5 standard errors are 45" in result.note
    assert judge("=", sampled(1.0, 10.0), exact(100.0)).verdict is BROKEN
    assert judge(">=", sampled(100.0, 10.0), exact(1.0)).verdict is HOLDS  # far enough above
    assert judge("=", sampled(1.0, 0.02, resolution=None), exact(1.0)).verdict is HOLDS  # 0.1, unless it is stated
    assert judge("=", sampled(1.0, 0.03, resolution=None), exact(1.0)).verdict is INCONCLUSIVE
    assert judge("=", sampled(10.0, 0.1, resolution=None), exact(10.0)).verdict is HOLDS  # relative to large values


def test_one_sample_that_carries_the_variance_decides_nothing() -> None:
    for below in (1.0, 7.0):
        result = judge("=", sampled(1.0, 0.1, carried=np.asarray(0.6)), exact(below))
        assert result.verdict is INCONCLUSIVE and "one sample carries 60% of the variance" in result.note
    assert judge("=", sampled(1.0, 0.1, carried=np.asarray(0.1)), exact(1.0)).verdict is HOLDS


def test_exact_agreement_of_a_sample_mean_has_z_zero() -> None:
    result = judge("=", sampled(0.0, 0.0), exact(0.0))
    assert result.verdict is HOLDS and result.error == 0 and result.ratio == 0


def test_nan_standard_error_breaks() -> None:
    assert judge("=", sampled(1.0, np.nan), exact(1.0)).verdict is BROKEN


def test_sampled_same_argmin_and_proportional_keep_their_standard_error() -> None:
    objective = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    noisy = objective + np.array([0.1, -0.1, 0.2, 0.0, -0.2])
    for relation in ("same_argmin", "proportional"):
        assert judge(relation, sampled(noisy, 0.1), exact(objective)).verdict is HOLDS
        assert judge(relation, sampled(noisy, 0.01), exact(objective)).allowance == 4.5
    assert judge("proportional", sampled(noisy, 0.01), exact(objective)).verdict is BROKEN
    assert judge("up_to_constant", sampled(noisy, 0.01), exact(objective)).verdict is BROKEN


def test_step_error_must_shrink_at_its_order() -> None:
    """Error 8e-4 at h: at h/2 an error of order 2 is 2e-4, of order 1 is 4e-4; a wrong formula's stays."""
    truth = exact(1.0, resolution=1e-2)
    assert judge("=", stepped(1 + 2e-4, 1 + 8e-4, 2), truth).verdict is HOLDS
    assert judge("=", truth, stepped(1 + 2e-4, 1 + 8e-4, 2)).verdict is HOLDS
    assert judge("=", stepped(1 + 2.9e-4, 1 + 8e-4, 2), truth).verdict is HOLDS
    assert judge("=", stepped(1 + 3.1e-4, 1 + 8e-4, 2), truth).verdict is BROKEN
    assert judge("=", stepped(1 + 4e-4, 1 + 8e-4, 2), truth).verdict is BROKEN
    assert judge("=", stepped(1 + 4e-4, 1 + 8e-4, 1), truth).verdict is HOLDS
    assert judge("=", stepped(1 + 8e-4, 1 + 8e-4, 1), truth).verdict is BROKEN


def test_two_stepped_lines_are_judged_by_the_lower_order() -> None:
    above, below = stepped(1 + 2e-4, 1 + 8e-4, 2), stepped(1 - 2e-4, 1 - 4e-4, 1)
    result = judge("=", above, replace(below, resolution=1e-2))
    assert result.verdict is HOLDS
    assert result.allowance == pytest.approx(1.5 * 1.2e-3 / 2)


def test_step_whose_error_says_nothing_is_inconclusive() -> None:
    """A slip smaller than the error of the step is not seen, and the check says so instead of passing it."""
    assert judge("=", stepped(1 + 2e-4, 1 + 8e-4, 2), exact(1.0)).verdict is INCONCLUSIVE


def test_difference_carries_all_that_may_be_wrong() -> None:
    a = Value(np.asarray(3.0), np.asarray(0.1), np.asarray(3.0), np.asarray(3.5), 2)
    b = Value(np.asarray(1.0), np.asarray(0.2), np.asarray(4.0))
    difference = minus(a, b)
    assert (difference.value, difference.allowance, difference.standard_error) == (2.0, pytest.approx(0.3), 5.0)
    assert (difference.coarse, difference.order) == (2.5, 2)
    assert minus(exact(np.inf), exact(np.inf)).value == 0


@pytest.mark.parametrize("often", [300.0, 1e3, 1e4])
def test_jumps_that_are_far_apart_grow_with_the_line(often: float) -> None:
    """They show on long walks only, where the line itself goes far: that alone does not call them a curve."""

    def line(w: float) -> float:
        return w + 2e-4 * math.floor(w * often)

    once, larger = (float(jumps(lambda w, times=times: times * line(w), 1.2345)) for times in (1.0, 1000.0))
    assert 4e-5 < once < 2e-4 and larger == pytest.approx(1000 * once, rel=1e-6)


def test_ratio_of_a_comparison() -> None:
    assert Comparison(HOLDS, 0.0, 0.0).ratio == 0
    assert Comparison(BROKEN, 1.0, 0.0).ratio == np.inf
    assert Comparison(BROKEN, np.nan, 1.0).ratio == np.inf
    assert Comparison(BROKEN, np.inf, np.inf).ratio == np.inf
    assert Comparison(HOLDS, 1.0, 4.0).ratio == 0.25
    assert Comparison(BROKEN, 0.0, 1.0).severity > Comparison(INCONCLUSIVE, 1.0, 1.0).severity
    assert Comparison(INCONCLUSIVE, 0.0, 1.0).severity > Comparison(HOLDS, 1.0, 1.0).severity
    assert Comparison(HOLDS, 1.0, 1.0).severity > Comparison(HOLDS, 0.5, 1.0).severity


def test_unknown_relation_is_an_error() -> None:
    with pytest.raises(KeyError):
        judge("~", exact(1.0), exact(1.0))


def test_difference_jumps_as_much_as_its_two_sides() -> None:
    smooth, rough = exact(2.0, 0.0), exact(1.0, 0.0, jumps=lambda: np.array(0.25))
    assert minus(smooth, smooth).jumps is None
    for above, below, expected in [(rough, smooth, 0.25), (smooth, rough, 0.25), (rough, rough, 0.5)]:
        together = minus(above, below).jumps
        assert together is not None and float(together()) == expected
