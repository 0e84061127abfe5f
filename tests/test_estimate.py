"""An Estimate carries its error through sums, multiples and logarithms, and through nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaelib import Estimate

numbers = st.floats(-1e6, 1e6)
errors = st.floats(0, 1e3)


@given(numbers, errors, numbers, errors)
def test_sum_and_difference_add_errors(a: float, da: float, b: float, db: float) -> None:
    first, second = Estimate(a, da), Estimate(b, db)
    for result, value in ((first + second, a + b), (first - second, a - b)):
        assert result.value == value
        assert result.error == da + db


@given(numbers, errors, numbers, st.sampled_from([2, -3.5, 0, np.float64(0.25)]))
def test_constant_shifts_value_and_scales_error(a: float, da: float, b: float, c: float) -> None:
    estimate = Estimate(a, da, 7)
    for result, value, error in (
        (estimate + b, a + b, da),
        (b + estimate, a + b, da),
        (estimate - b, a - b, da),
        (b - estimate, b - a, da),
        (-estimate, -a, da),
        (estimate * c, a * c, da * abs(c)),
        (c * estimate, a * c, da * abs(c)),
    ):
        assert result == Estimate(value, error, 7)


def test_division_by_a_constant() -> None:
    assert Estimate(3.0, 0.5) / 4 == Estimate(0.75, 0.125)
    assert Estimate(3.0, 0.5) / -4 == Estimate(-0.75, 0.125)


def test_array_on_the_left_gives_one_estimate_and_not_an_array_of_them() -> None:
    estimate = Estimate(np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    for result in (np.array([1.0, 1.0]) + estimate, np.float64(1.0) + estimate):
        assert isinstance(result, Estimate)
        np.testing.assert_array_equal(result.value, [2.0, 3.0])
        np.testing.assert_array_equal(result.error, [0.1, 0.2])
    difference = np.array([1.0, 1.0]) - estimate
    assert isinstance(difference, Estimate)
    np.testing.assert_array_equal(difference.value, [0.0, -1.0])


def test_number_of_samples_is_that_of_the_weakest() -> None:
    assert (Estimate(1.0, 0.1, 100) + Estimate(1.0, 0.1, 40)).num_samples == 40
    assert (Estimate(1.0, 0.1, 100) - Estimate(1.0, 0.1)).num_samples == 100
    assert (Estimate(1.0) + Estimate(1.0)).num_samples is None
    assert Estimate(2.0, 0.1, 100).log().num_samples == 100


@given(st.floats(1e-6, 1e6), st.floats(0, 1e-3))
def test_log_has_relative_error(value: float, relative: float) -> None:
    result = Estimate(value, relative * value).log()
    assert result.value == pytest.approx(np.log(value), rel=1e-14, abs=1e-14)
    assert result.error == pytest.approx(relative, rel=1e-12, abs=1e-300)


def test_log_of_a_value_that_is_not_positive_is_nan_without_a_warning() -> None:
    result = Estimate(np.array([2.0, 0.0, -1.0, np.nan]), 0.1).log()
    np.testing.assert_array_equal(result.value, [np.log(2.0), np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(result.error, [0.05, np.nan, np.nan, np.nan])
    assert isinstance(Estimate(2.0).log().value, float)


def test_number_of_an_estimate_is_its_value() -> None:
    assert float(Estimate(2.5, 0.1)) == 2.5
    with pytest.raises(TypeError):
        float(Estimate(np.ones(2), 0.1))


def test_products_and_quotients_are_refused() -> None:
    with pytest.raises(TypeError, match="Products are not defined"):
        Estimate(1.0) * Estimate(1.0)  # type: ignore[operator]
    with pytest.raises(TypeError, match="Quotients are not defined"):
        Estimate(1.0) / Estimate(1.0)  # type: ignore[operator]


def test_text_states_value_error_and_samples() -> None:
    assert str(Estimate(-1.782088343, 1.2e-9)) == "-1.782088343 ± 1.2e-09"
    assert str(Estimate(0.5, 0.01, 20_000)) == "0.5 ± 1.0e-02 (20,000 samples)"
    assert str(Estimate(np.ones(3), np.array([0.1, 0.3, 0.2]))) == "array of shape (3,), error at most 3.0e-01"


def test_sum_of_shapes_that_would_make_a_third_is_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        Estimate(np.zeros((2, 1)), 0.1) + Estimate(np.zeros((1, 3)), 0.1)
