"""Integrals against exact polynomials, mpmath and scipy.integrate, and errors that are honest about themselves."""

from __future__ import annotations

from math import comb, prod
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gamma

from vaelib.quadrature import (
    DoesNotConverge,
    enumerate_states,
    gauss_hermite,
    gauss_hermite_multivariate,
    gauss_legendre,
    log_gauss_legendre,
    log_trapezoid,
    over_the_line,
    trapezoid,
)

RULES = (trapezoid, gauss_legendre)
LOG_RULES = (log_trapezoid, log_gauss_legendre)


def normal_moment(degree: int, loc: float, scale: float) -> float:
    """E[z^degree] for z ~ N(loc, scale^2), by the binomial theorem and double factorials."""
    terms = range(0, degree + 1, 2)
    return sum(comb(degree, k) * prod(range(1, k, 2)) * scale**k * loc ** (degree - k) for k in terms)


def log_density(z: Any) -> Any:
    """Two humps of different height, not normalized."""
    return -((z**2 - 2) ** 2) - 0.3 * z


def curved_density(z: Any) -> Any:
    return np.exp(log_density(z))


# ----------------------------------------------------------------------------------------------------- on the real line


@pytest.mark.parametrize("rule", RULES)
def test_integral_matches_mpmath_and_scipy(rule: Any) -> None:
    with mpmath.workdps(30):
        truth = mpmath.quad(lambda z: mpmath.exp(-((z**2 - 2) ** 2) - mpmath.mpf("0.3") * z), [-8, -1.5, 0, 1.5, 8])
    result = rule(curved_density, -8.0, 8.0)
    assert result.value == pytest.approx(float(truth), rel=1e-14)
    assert result.value == pytest.approx(scipy.integrate.quad(curved_density, -8, 8, epsabs=1e-13)[0], rel=1e-12)
    assert result.error <= 1e-13


@pytest.mark.parametrize("rule", LOG_RULES)
def test_logarithm_of_integral_matches_and_does_not_underflow(rule: Any) -> None:
    result = rule(log_density, -6.0, 6.0)
    shifted = rule(lambda z: log_density(z) - 1e4, -6.0, 6.0)
    huge = rule(lambda z: log_density(z) + 1e4, -6.0, 6.0)
    assert result.value == pytest.approx(np.log(trapezoid(curved_density, -6.0, 6.0).value), rel=1e-14)
    assert shifted.value == pytest.approx(result.value - 1e4, rel=1e-15)
    assert huge.value == pytest.approx(result.value + 1e4, rel=1e-15)
    assert max(result.error, shifted.error, huge.error) < 1e-11
    assert trapezoid(lambda z: np.exp(log_density(z) - 1e4), -6.0, 6.0).value == 0  # the plain rule does


def test_the_rules_of_a_model_agree_on_the_narrowest_posterior() -> None:
    """A spike of width 0.1 on [-14, 14]: at their default settings both rules keep thirteen digits, wherever it is."""
    truth = np.log(0.1 * np.sqrt(2 * np.pi))
    for loc in np.linspace(-3.1, 3.1, 41):
        for rule in LOG_RULES:
            value = rule(lambda z, loc=loc: -((z - loc) ** 2) / (2 * 0.1**2), -14.0, 14.0).value
            assert value == pytest.approx(truth, abs=5e-14)


@pytest.mark.parametrize("rule", LOG_RULES)
def test_logarithm_of_zero_is_minus_infinity_without_an_error(rule: Any) -> None:
    result = rule(lambda z: np.full(z.shape, -np.inf), -1.0, 1.0)
    assert result.value == -np.inf and result.error == 0


@pytest.mark.parametrize("rule", RULES)
def test_infinite_integral_has_no_nan_for_an_error(rule: Any) -> None:
    result = rule(lambda z: np.where(z > 0, np.inf, 0.0), -1.0, 1.0)
    assert result.value == np.inf and result.error == 0


def test_trapezoid_is_exact_for_lines_and_falls_like_h_squared_at_a_kink() -> None:
    assert trapezoid(lambda z: 3 * z + 1, -1.0, 2.0, n=5).value == pytest.approx(7.5, rel=1e-15)
    fine = trapezoid(lambda z: z**2, 0.0, 1.0, n=10)
    assert fine.value - 1 / 3 == pytest.approx(1 / (6 * 20**2), rel=1e-9)  # h^2 / 12 (f'(1) - f'(0))
    assert fine.error == pytest.approx(1 / (6 * 10**2) - 1 / (6 * 20**2), rel=1e-9)
    errors = [trapezoid(lambda z: np.abs(z - 1 / 3), -1.0, 1.0, n=n).value - 10 / 9 for n in (20, 40, 80)]
    assert errors[0] > 1e-4 and errors[0] == pytest.approx(4 * errors[1]) == pytest.approx(16 * errors[2])


def test_trapezoid_uses_two_n_intervals_and_nests_them() -> None:
    seen: list[np.ndarray] = []

    def f(z: np.ndarray) -> np.ndarray:
        seen.append(z)
        return z**2

    trapezoid(f, 0.0, 1.0, n=3)
    assert len(seen) == 1  # the coarse rule takes every other node of the fine one
    np.testing.assert_allclose(seen[0], np.arange(7) / 6, rtol=1e-15)


@pytest.mark.parametrize(("rule", "n"), [(trapezoid, 12), (gauss_legendre, 2)])
def test_stated_error_bounds_the_true_one(rule: Any, n: int) -> None:
    """A coarse rule on a smooth integrand: the change from n to 2 n is the error of n, more than that of 2 n."""
    options = {"n": n} if rule is trapezoid else {"n": n, "panels": 3}
    truth = trapezoid(curved_density, -6.0, 6.0, n=2000).value
    result = rule(curved_density, -6.0, 6.0, **options)
    assert 0 < abs(result.value - truth) < result.error < 1.0


def test_gauss_legendre_is_exact_to_degree_2n_minus_1_on_each_panel() -> None:
    for n in (1, 2, 5):
        exact = gauss_legendre(lambda z, n=n: z ** (2 * n - 1) + 1, 0.0, 2.0, panels=1, n=n)
        assert exact.value == pytest.approx(2 ** (2 * n) / (2 * n) + 2, rel=1e-13)
        assert exact.error < 1e-12
        assert gauss_legendre(lambda z, n=n: z ** (2 * n), 0.0, 2.0, panels=1, n=n).error > 1e-9


def test_gauss_legendre_panels_are_doubled() -> None:
    sizes: list[int] = []

    def f(z: np.ndarray) -> np.ndarray:
        sizes.append(z.size)
        assert np.all((z > -1) & (z < 3)) and np.all(np.diff(z) > 0)
        return np.ones(z.size)

    assert gauss_legendre(f, -1.0, 3.0, panels=5, n=4).value == pytest.approx(4.0, rel=1e-14)
    assert sizes == [40, 20]


# ----------------------------------------------------------------------------------------------------- under a Gaussian


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (0.7, 1.3), (-1.2, 0.4)])
def test_gauss_hermite_is_exact_to_degree_4n_minus_1_and_not_beyond(n: int, loc: float, scale: float) -> None:
    rounding = 1e-14 * normal_moment(4 * n, loc, scale)
    for degree in (0, 1, 2, 4 * n - 2, 4 * n - 1):
        result = gauss_hermite(lambda z, k=degree: z**k, loc, scale, n=n)
        assert result.value == pytest.approx(normal_moment(degree, loc, scale), rel=1e-11, abs=rounding)
    beyond = gauss_hermite(lambda z: z ** (4 * n), loc, scale, n=n)
    truth = normal_moment(4 * n, loc, scale)
    missing = gamma(2 * n + 1) * scale ** (4 * n)  # the leading coefficient of the error: (2n)! sigma^(4n)
    assert truth - beyond.value == pytest.approx(missing, rel=1e-9, abs=10 * rounding)
    assert missing > 20 * rounding


def test_gauss_hermite_error_is_that_of_half_the_nodes() -> None:
    result = gauss_hermite(lambda z: z**4, 0.0, 1.0, n=2)  # 4 nodes: exact; 2 nodes: 1 instead of 3
    assert result.value == pytest.approx(3.0, rel=1e-14) and result.error == pytest.approx(2.0, rel=1e-14)


def test_gauss_hermite_matches_trapezoid_on_a_smooth_integrand() -> None:
    loc, scale = 0.4, 0.8

    def weighted(z: np.ndarray) -> np.ndarray:
        return np.exp(-((z - loc) ** 2) / (2 * scale**2)) / (scale * np.sqrt(2 * np.pi)) * np.cos(z)

    truth = np.cos(loc) * np.exp(-(scale**2) / 2)
    assert gauss_hermite(np.cos, loc, scale).value == pytest.approx(truth, rel=1e-14)
    assert trapezoid(weighted, loc - 12 * scale, loc + 12 * scale).value == pytest.approx(truth, rel=1e-14)


def test_gauss_hermite_multivariate_matches_moments() -> None:
    loc = np.array([0.5, -1.0, 0.3])
    factor = np.array([[1.2, 0.0, 0.0], [0.4, 0.7, 0.0], [-0.3, 0.5, 0.9]])
    second = gauss_hermite_multivariate(lambda z: z[:, :, None] * z[:, None, :], loc, factor, n=2)
    np.testing.assert_allclose(second.value, np.outer(loc, loc) + factor @ factor.T, rtol=1e-13)
    assert second.error.shape == (3, 3) and second.error.max() < 1e-13
    mean = gauss_hermite_multivariate(lambda z: z, loc, factor, n=1)
    np.testing.assert_allclose(mean.value, loc, rtol=1e-13)
    characteristic = gauss_hermite_multivariate(lambda z: np.exp(z @ np.array([0.3, 0.2, -0.4])), loc, factor, n=6)
    t = np.array([0.3, 0.2, -0.4])
    assert characteristic.value == pytest.approx(np.exp(t @ loc + t @ factor @ factor.T @ t / 2), rel=1e-12)


def test_gauss_hermite_multivariate_in_one_dimension_is_gauss_hermite() -> None:
    single = gauss_hermite(np.sin, 0.3, 0.7, n=5)
    product = gauss_hermite_multivariate(lambda z: np.sin(z[:, 0]), np.array([0.3]), np.array([[0.7]]), n=5)
    assert product.value == pytest.approx(single.value, rel=1e-14)
    assert product.error == pytest.approx(single.error, rel=1e-6, abs=1e-16)


# -------------------------------------------------------------------------------------------------------------- for all


def test_enumeration_is_the_sum_and_has_no_error() -> None:
    table = np.arange(12.0).reshape(4, 3)
    result = enumerate_states(lambda z: table[z], 4)
    np.testing.assert_array_equal(result.value, table.sum(axis=0))
    np.testing.assert_array_equal(result.error, np.zeros(3))
    single = enumerate_states(lambda z: z**2, 5)
    assert single.value == 30 and single.error == 0 and np.ndim(single.error) == 0


@given(st.floats(-3, 3), st.floats(0.1, 3))
def test_every_rule_integrates_arrays_entry_by_entry(shift: float, scale: float) -> None:
    def f(z: np.ndarray) -> np.ndarray:
        return np.exp(-(z[:, None] ** 2)) * np.array([1.0, scale])

    for rule in RULES:
        result = rule(f, -9.0, 9.0)
        np.testing.assert_allclose(result.value, np.sqrt(np.pi) * np.array([1.0, scale]), rtol=1e-13)
        assert result.error.shape == (2,)
    for log_rule in LOG_RULES:
        result = log_rule(lambda z: np.log(np.array([1.0, scale])) - z[:, None] ** 2 + shift, -9.0, 9.0)
        np.testing.assert_allclose(result.value, 0.5 * np.log(np.pi) + shift + np.log([1.0, scale]), atol=1e-13)
    result = gauss_hermite(lambda z: z[:, None] * np.array([1.0, 2.0]), shift, scale)
    np.testing.assert_allclose(result.value, [shift, 2 * shift], atol=1e-13)


@pytest.mark.parametrize("rule", [*RULES, *LOG_RULES])
def test_integrand_that_is_constant_or_summed_is_refused(rule: Any) -> None:
    for f in (lambda z: 1.0, lambda z: np.ones(3)):
        with pytest.raises(ValueError, match=r"one entry for each node.*np\.full\(len\(z\), constant\)"):
            rule(f, 0.0, 1.0)


def test_integrand_of_the_other_rules_is_checked_too() -> None:
    for call in (
        lambda: gauss_hermite(lambda z: 1.0, 0.0, 1.0),
        lambda: gauss_hermite_multivariate(lambda z: z.sum(), np.zeros(2), np.eye(2)),
        lambda: enumerate_states(lambda z: 1.0, 3),
    ):
        with pytest.raises(ValueError, match="one entry for each node"):
            call()


@pytest.mark.parametrize("interval", [(1.0, 1.0), (1.0, 0.0), (-np.inf, 1.0), (0.0, np.nan)])
@pytest.mark.parametrize("rule", [*RULES, *LOG_RULES])
def test_interval_must_be_finite_and_ordered(rule: Any, interval: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="finite interval with a < b, but got a = "):
        rule(lambda z: z, *interval)


@pytest.mark.parametrize("rule", RULES)
def test_integrand_that_works_in_place_is_refused_and_spoils_nothing(rule: Any) -> None:
    """The nodes are remembered: one integrand that writes into them would change every later integral."""

    def in_place(z: np.ndarray) -> np.ndarray:
        z += 1
        return z

    before = rule(np.cos, 0.0, 1.25).value
    with pytest.raises(ValueError, match="read-only"):
        rule(in_place, 0.0, 1.25)
    assert rule(np.cos, 0.0, 1.25).value == before


def test_interval_may_be_given_as_arrays_without_axes() -> None:
    assert trapezoid(lambda z: z, np.array(0.0), np.array(2.0)).value == pytest.approx(2.0)
    assert gauss_hermite(lambda z: z, np.array(0.5), np.array(2.0)).value == pytest.approx(0.5)


# ------------------------------------------------------------------------------------------------------- the whole line


def test_integral_over_the_line_is_the_trapezoid_where_the_integrand_has_decayed() -> None:
    calls: list[int] = []

    def bell(z: np.ndarray) -> np.ndarray:
        calls.append(len(z))
        return np.exp(-(z**2) / 2)

    whole = over_the_line(bell, -14, 14)
    assert whole == trapezoid(bell, -14, 14) and len(calls) == 2  # no second range is tried
    assert whole.value == pytest.approx(np.sqrt(2 * np.pi), rel=1e-14)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_integral_that_does_not_converge_is_refused_in_words(power: float) -> None:
    message = r"converges, but it does not: .* over \[-14, 14\], .* over \[-21, 21\], .* over \[-31\.5, 31\.5\]"
    with pytest.raises(DoesNotConverge, match=message):
        over_the_line(lambda z: (1 + np.abs(z)) ** -power, -14, 14)
    with pytest.raises(DoesNotConverge, match=message):
        over_the_line(lambda z: np.stack([np.exp(-(z**2)), (1 + np.abs(z)) ** -power], axis=1), -14, 14)
    with pytest.raises(DoesNotConverge, match="inf"), np.errstate(over="ignore"):
        over_the_line(lambda z: np.exp(10 * z**2), -14, 14)


@pytest.mark.parametrize("power", [1.25, 1.5, 2.0])
def test_integral_that_decays_slowly_states_what_may_be_missing(power: float) -> None:
    exact = 2 / (power - 1)
    found = over_the_line(lambda z: (1 + np.abs(z)) ** -power, -14, 14)
    assert abs(found.value - exact) < found.error < 4 * abs(found.value - exact)


def test_posterior_wider_than_the_range_is_noticed() -> None:
    for variance, least in ((25.0, 1e-4), (4.0, 1e-13)):
        found = over_the_line(lambda z, variance=variance: np.exp(-(z**2) / (2 * variance)), -14, 14)
        assert found.error >= abs(found.value - np.sqrt(2 * np.pi * variance)) > least
