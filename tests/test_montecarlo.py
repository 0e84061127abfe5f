"""Sample means that know their error, and sample sizes that see what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vaelib import Estimate
from vaelib.montecarlo import largest_share, sample_mean, samples_for_power, z_score


def test_sample_mean_matches_scipy() -> None:
    samples = np.random.default_rng(0).gamma(2.0, size=(500, 3))
    estimate = sample_mean(samples)
    np.testing.assert_allclose(estimate.value, samples.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(estimate.error, stats.sem(samples, axis=0), rtol=1e-13)
    assert estimate.num_samples == 500
    assert sample_mean([1, 2, 4]).error == pytest.approx(stats.sem([1, 2, 4]))


@pytest.mark.parametrize("samples", [[], [1.0], 1.0, np.ones((1, 5))])
def test_one_sample_has_no_standard_error(samples: object) -> None:
    with pytest.raises(ValueError, match="at least two samples along the first axis, but got shape"):
        sample_mean(samples)


def test_largest_share_is_that_of_one_sample() -> None:
    """Of 0, 0, 0, 1 with mean 1/4 the last has 9/16 of the squares' sum, which is 12/16."""
    samples = np.array([[0.0, 2.0, 1.0], [0.0, 2.0, -1.0], [0.0, 2.0, 1.0], [1.0, 2.0, -1.0]])
    np.testing.assert_allclose(largest_share(samples), [0.75, 0.0, 0.25], rtol=1e-15)
    assert largest_share(np.random.default_rng(3).standard_normal(100_000)) < 0.001
    with pytest.raises(ValueError, match="samples along the first axis, but got shape"):
        largest_share([])


def test_z_score_is_calibrated() -> None:
    """Of 4,000 z-scores of true statements, the distribution is N(0, 1)."""
    rng = np.random.default_rng(1)
    z = z_score(sample_mean(rng.standard_normal((400, 4000)) * 3 + 7), 7.0)
    assert stats.kstest(z, "norm").pvalue > 0.01
    assert np.std(z) == pytest.approx(1, abs=0.04)
    assert np.abs(z).max() < 4.5


def test_z_score_of_a_wrong_reference_grows_with_the_sample() -> None:
    samples = np.random.default_rng(2).standard_normal(10_000)
    assert z_score(sample_mean(samples), 0.2) == pytest.approx(-20, abs=3)
    assert z_score(Estimate(3.0, 0.5), 2.0) == 2.0


@pytest.mark.parametrize(("effect", "deviation", "power"), [(0.1, 1.0, 0.99), (0.5, 2.0, 0.99), (0.3, 1.0, 0.9)])
def test_samples_for_power_matches_the_normal_law(effect: float, deviation: float, power: float) -> None:
    def power_at(n: int) -> float:
        shift = effect * np.sqrt(n) / deviation
        return float(stats.norm.sf(4.5 - shift) + stats.norm.cdf(-4.5 - shift))

    n = samples_for_power(effect, deviation, power)
    assert power_at(n) >= power > power_at(n - 1)


def test_samples_for_power_are_enough_in_practice() -> None:
    n = samples_for_power(0.5, 1.0)
    samples = np.random.default_rng(3).standard_normal((n, 3000)) + 0.5
    rejected = np.mean(np.abs(z_score(sample_mean(samples), 0.0)) > 4.5)
    assert 0.975 < rejected < 0.998  # t with n - 1 = 186 degrees of freedom, not the normal law


def test_samples_for_power_scales_and_is_at_least_two() -> None:
    assert samples_for_power(0.01, 1.0) == pytest.approx(100 * samples_for_power(0.1, 1.0), rel=0.01)
    assert samples_for_power(1e6, 1.0) == 2
    assert samples_for_power(0.1, 1.0, threshold=3.0) < samples_for_power(0.1, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "`effect` and `deviation` to be > 0, but got 0.0 and 1.0"),
        ((0.1, -1.0), "to be > 0, but got 0.1 and -1.0"),
        ((0.1, float("nan")), "`deviation` to be finite"),
        ((0.1, 1.0, 1.0), "`power` to be at least 0.5 and below 1, but got 1.0"),
        ((0.1, 1.0, 0.3), "but got 0.3"),
    ],
)
def test_impossible_plan_is_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        samples_for_power(*arguments)
