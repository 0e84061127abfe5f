"""The second parts of chapters C and E against numbers from elsewhere: SciPy, mpmath, and arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import integrate, stats

from vaelib.derivation import Derivation, Line
from vaelib.distributions import Categorical, Exponential, Laplace, MultivariateNormal, Normal
from vaelib.formula import tex
from vaelib.ledger import c_geometry, e_geometry
from vaelib.ledger.c_divergence import TablePair
from vaelib.ledger.c_geometry import (
    A12,
    B4,
    C11,
    C17,
    C21,
    C24,
    Joint,
    MixtureAndGaussians,
    ThreeDraws,
    TwoMaps,
    Uncovered,
)
from vaelib.ledger.e_geometry import (
    D4,
    D7,
    E6,
    E10,
    E11,
    E16,
    Blocks,
    Box,
    FourLaws,
    Logits,
    Mapped,
    TwoFactors,
    Widths,
    generic_matrix,
)
from vaelib.models import DiscreteLatent

ALL = c_geometry.CHAPTER + e_geometry.CHAPTER


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness."""
    results = (line.evaluate(witness) for line in derivation.lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return np.asarray(getattr(result, "value", result))


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected_on_each_of_three_witnesses(derivation: Derivation) -> None:
    for seed in (11, 12, 13):
        report = derivation.check([derivation.draw(np.random.default_rng(seed))], seed=seed)
        assert report.holds, str(report)
        assert [result.slip.name for result in report.slips if not result.rejected] == []


# ----------------------------------------------------------------------------------------------------------- chapter C


def test_change_of_variables_matches_scipy() -> None:
    w = TwoMaps.draw(np.random.default_rng(3))
    for slope in (0.6, -0.6):  # a rising and a falling map
        w = replace(w, slope=slope)
        log_normal = stats.lognorm(s=0.6 * w.law.scale, scale=np.exp(slope * w.law.loc + w.shift))
        mean, covariance = w.matrix @ w.law3.loc + w.shift3, w.matrix @ w.law3.covariance @ w.matrix.T
        gaussian = stats.multivariate_normal(mean, covariance)
        expected = np.array([log_normal.logpdf(w.y), gaussian.logpdf(w.z3 @ w.matrix.T + w.shift3)])
        lines = list(A12.lines)
        for line in lines[1:3]:
            np.testing.assert_allclose(line.evaluate(w), expected, rtol=1e-11, atol=1e-11)
        for line in (lines[0], lines[3]):
            np.testing.assert_allclose(line.evaluate(w), expected, atol=1e-6)


def test_change_of_variables_slip_by_hand() -> None:
    """y = 2 z with z ~ N(0, 1): the density at 0 is that of N(0, 4), half of what it was."""
    w = TwoMaps.draw(np.random.default_rng(3))
    standard = MultivariateNormal(np.zeros(3), np.eye(3))
    w = replace(w, law3=standard, matrix=2 * np.eye(3), shift3=np.zeros(3), z3=np.zeros((5, 3)))
    right = A12.lines[2].evaluate(w)[1]
    np.testing.assert_allclose(right, stats.norm(0, 2).logpdf(0) * 3, rtol=1e-13)
    np.testing.assert_allclose(slip_value(A12, "Jacobian forgotten", w)[1] - right, 3 * np.log(2), rtol=1e-13)


def two_state_model() -> ThreeDraws:
    """p(z) = (1/2, 1/2), p(x=0|z) = 1/2 and 1/4: p(x) = 3/8."""
    model = DiscreteLatent(np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.25, 0.75]]))
    return ThreeDraws(model, 0, Categorical(np.zeros(2)))


def test_logarithm_of_an_estimate_by_hand() -> None:
    """Three coin tosses: the mean of (1/2 or 1/4) is 1/2, 5/12, 1/3, 1/4 with weights 1, 3, 3, 1 of 8."""
    logs = np.log([1 / 2, 5 / 12, 1 / 3, 1 / 4])
    expected = np.array([1, 3, 3, 1]) @ logs / 8
    w = two_state_model()
    result = values(B4, w)
    np.testing.assert_allclose(result[:2], np.log(3 / 8), rtol=1e-13)
    np.testing.assert_allclose(result[2:4], expected, rtol=1e-13)
    assert result[4] == pytest.approx(np.log(0.5 * 0.25) / 2, rel=1e-13)
    assert slip_value(B4, "sum for the mean", w) - expected == pytest.approx(np.log(3), rel=1e-12)


def test_pinsker_by_hand() -> None:
    """p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): TV = 1/4, KL = log(2)/4; only the first state leads."""
    w = TablePair(np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5]))
    result = values(C11, w)
    np.testing.assert_allclose(result[:3], 1 / 8, rtol=1e-13)
    coin = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    np.testing.assert_allclose(result[3:5], coin, rtol=1e-13)
    np.testing.assert_allclose(result[5:], np.log(2) / 4, rtol=1e-13)
    assert slip_value(C11, "bits for nats", w) == pytest.approx(0.25, rel=1e-13)
    assert C11.lines[5].gap.value(w) == pytest.approx(np.log(2) / 4 - coin, rel=1e-12)


def test_moment_matching_matches_scipy() -> None:
    w = MixtureAndGaussians.draw(np.random.default_rng(5))

    def p(z: float) -> float:
        return float(w.weights @ stats.norm(w.loc, w.scale).pdf(z))

    points = [float(loc) for loc in w.loc]
    mean, _ = integrate.quad(lambda z: z * p(z), -40, 40, points=points, epsabs=1e-12)
    second, _ = integrate.quad(lambda z: z**2 * p(z), -40, 40, points=points, epsabs=1e-12)
    assert (w.mean, w.variance) == pytest.approx((mean, second - mean**2), rel=1e-10)
    q = stats.norm(w.q_loc[0], w.q_scale[0])
    expected, _ = integrate.quad(lambda z: p(z) * (np.log(p(z)) - q.logpdf(z)), -40, 40, points=points, epsabs=1e-12)
    for line in C17.lines[:4]:
        assert np.asarray(line.evaluate(w).value)[0] == pytest.approx(expected, rel=1e-9)
    assert values(C17, w)[4] == pytest.approx(values(C17, w)[5], rel=1e-12)


def test_moments_of_two_equal_modes_by_hand() -> None:
    """Halves at -1 and 1 with variance 1/4: mean 0 and variance 1 + 1/4, not 1/4."""
    w = MixtureAndGaussians(0.5, np.array([-1.0, 1.0]), np.array([0.5, 0.5]), np.ones(6), np.ones(6))
    assert (w.mean, w.variance) == pytest.approx((0, 1.25))
    assert np.all(slip_value(C17, "mean of the variances", w) > values(C17, w)[5] + 1)


def test_mutual_information_matches_scipy() -> None:
    w = Joint.draw(np.random.default_rng(2))
    expected = stats.entropy(w.table.ravel(), np.outer(w.table.sum(1), w.table.sum(0)).ravel())
    np.testing.assert_allclose(values(C21, w), expected, rtol=1e-11)
    copy = Joint(DiscreteLatent(np.array([0.5, 0.5]), np.array([[0.75, 0.25], [0.25, 0.75]])))
    by_hand = np.log(2) - stats.entropy([0.75, 0.25])
    np.testing.assert_allclose([float(C21.lines[i].evaluate(copy)) for i in range(5)], by_hand, rtol=1e-12)


def test_infinite_divergence_by_hand() -> None:
    """p uniform on three of four states, q on all four: log 4/3 one way, infinite the other."""
    w = Uncovered(np.array([0.25, 0.25, 0.25, 0.25]), np.full(3, 1 / 3), Normal(0.5, 1.0), Exponential(1.0))
    finite, package, infinite, split, again = values(C24, w)
    assert finite[0] == pytest.approx(np.log(4 / 3), rel=1e-13)
    expected, _ = integrate.quad(
        lambda z: np.exp(-z) * (-z - stats.norm(0.5, 1).logpdf(z)), 0, 60, points=[0.5, 2], epsabs=1e-12
    )
    assert finite[1] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(package, finite, rtol=1e-12)
    for line in (infinite, split, again):
        assert np.all(line == np.inf)
    clipped = slip_value(C24, "clipped", w)[0]
    assert clipped == pytest.approx(np.sum(0.25 * np.log(0.25 / (np.array([1, 1, 1, 0]) / 3 + 1e-8))), rel=1e-12)


# ---------------------------------------------------------------------------------------------------- chapters D and E


def test_maximum_entropy_matches_scipy() -> None:
    w = FourLaws(
        MixtureAndGaussians(0.5, np.array([-2.0, 1.0]), np.array([0.7, 1.3]), np.ones(6), np.ones(6)),
        Laplace(0.4, 0.8),
        Exponential(1.7),
        Box(-0.6, 2.5),
    )
    laws = [stats.laplace(0.4, 0.8), stats.expon(scale=1 / 1.7), stats.uniform(-0.6, 2.5)]
    result = values(D4, w)
    np.testing.assert_allclose(result[0][1:], [law.entropy() for law in laws], rtol=1e-9)
    np.testing.assert_allclose(result[1], result[0], rtol=1e-10)
    for line in result[2:]:
        np.testing.assert_allclose(line[1:], [stats.norm(0, law.std()).entropy() for law in laws], rtol=1e-9)
    assert np.all(result[0] < result[5])


def test_scale_of_entropy_zero_matches_mpmath() -> None:
    with mpmath.workdps(30):
        narrow = float(1 / mpmath.sqrt(2 * mpmath.pi * mpmath.e))
    assert pytest.approx(narrow, rel=1e-15) == e_geometry.NARROW
    assert narrow == pytest.approx(0.2420, abs=5e-5)
    w = Widths(np.full(6, 0.3), narrow * np.array([0.1, 0.5, 1, 2, 3, 4]))
    result = values(D7, w)
    np.testing.assert_allclose(result[:4], np.tile(np.log([0.1, 0.5, 1, 2, 3, 4]), (4, 1)), atol=1e-12)
    np.testing.assert_allclose(result[3], stats.norm(0.3, w.scale).entropy(), atol=1e-14)
    wrong = slip_value(D7, "zero where the peak is 1", w)
    np.testing.assert_allclose(wrong - result[3], -0.5, rtol=1e-12)  # the e is worth half a nat


def test_affine_invariance_matches_scipy() -> None:
    w = Mapped.draw(np.random.default_rng(4))
    q, p = w.pair.q, w.pair.p
    log_det = np.linalg.slogdet(p.covariance)[1] - np.linalg.slogdet(q.covariance)[1]
    inverse = np.linalg.inv(p.covariance)
    gap = q.loc - p.loc
    expected = 0.5 * (np.trace(inverse @ q.covariance) + gap @ inverse @ gap - 3 + log_det)
    np.testing.assert_allclose(values(E6, w), expected, rtol=1e-11)
    image = w.image(q)
    draws = np.array([[0.3, -0.2, 0.5], [1.0, 0.1, -0.7]])
    left = stats.multivariate_normal(image.loc, image.covariance).logpdf(draws @ w.matrix.T + w.shift)
    right = stats.multivariate_normal(q.loc, q.covariance).logpdf(draws) - np.linalg.slogdet(w.matrix)[1]
    np.testing.assert_allclose(left, right, rtol=1e-11)


def test_generic_matrix_is_invertible_and_not_symmetric() -> None:
    for seed in range(20):
        matrix = generic_matrix(np.random.default_rng(seed), 3)
        assert np.linalg.cond(matrix) < 10
        assert np.abs(matrix - matrix.T).max() > 0.05


def test_product_of_gaussians_by_hand() -> None:
    """N(z; 0, 1) N(z; 2, 1/3): precisions 1 + 3, center 6/4, factor N(0; 2, 4/3)."""
    w = TwoFactors(0.0, 1.0, 2.0, 1 / 3, np.array([-1.0, 0.0, 1.5, 2.0]))
    assert (w.m, w.C) == pytest.approx((1.5, 0.25))
    expected = stats.norm(0, 1).pdf(w.z) * stats.norm(2, np.sqrt(1 / 3)).pdf(w.z)
    for line in values(E10, w):
        np.testing.assert_allclose(line, expected, rtol=1e-12)
    factor = stats.norm(2, np.sqrt(4 / 3)).pdf(0)
    np.testing.assert_allclose(slip_value(E10, "factor forgotten", w) * factor, expected, rtol=1e-12)


def test_chain_rule_of_gaussians_matches_the_inverse_covariance() -> None:
    """The variance of z_2 given z_1 is one over the last entry of the precision."""
    w = Blocks.draw(np.random.default_rng(6))
    slopes = []
    for name, law in (("q", w.q), ("p", w.p)):
        precision = np.linalg.inv(law.covariance)
        assert tex(f"V_{name}").value(w) == pytest.approx(1 / precision[2, 2], rel=1e-11)
        slopes.append(-precision[2, :2] / precision[2, 2])
    np.testing.assert_allclose(tex(r"\Delta").value(w), slopes[0] - slopes[1], rtol=1e-10)
    inverse = np.linalg.inv(w.p.covariance)
    gap = w.q.loc - w.p.loc
    log_det = np.linalg.slogdet(w.p.covariance)[1] - np.linalg.slogdet(w.q.covariance)[1]
    expected = 0.5 * (np.trace(inverse @ w.q.covariance) + gap @ inverse @ gap - 3 + log_det)
    np.testing.assert_allclose(values(E11, w), expected, rtol=1e-11)


def test_discrete_divergence_matches_scipy() -> None:
    w = Logits(np.log([9.0, 1.0]), np.log([1.0, 2, 3, 4, 10]), np.log([5.0, 4, 3, 2, 1]))
    q, p = np.array([1, 2, 3, 4, 10]) / 20, np.array([5, 4, 3, 2, 1]) / 15
    without_last = np.array([1, 2, 3, 4, 0]) / 10
    expected = [stats.entropy([0.1, 0.9], [0.5, 0.5]), stats.entropy(q, p), stats.entropy(without_last, p)]
    for line in values(E16, w):
        np.testing.assert_allclose(line, expected, rtol=1e-12)
    assert slip_value(E16, "heads only", w)[0] == pytest.approx(0.9 * np.log(1.8), rel=1e-12)
    assert slip_value(E16, "swapped", w)[2] == np.inf


# -------------------------------------------------------------------------- an error in the package is seen, and blamed


@pytest.mark.parametrize(
    ("owner", "name", "derivation", "broken"),
    [
        (c_geometry, "importance_weighted_bound", B4, (3,)),
        (c_geometry, "package_divergence", C11, (6,)),
        (c_geometry, "package_divergence", C21, (1,)),
        (c_geometry, "kl_divergence", C24, (1,)),
        (Normal, "entropy", D4, (5,)),
        (Normal, "entropy", D7, (3,)),
        (e_geometry, "kl_divergence", E11, (4,)),
        (e_geometry, "kl_divergence", E16, (2,)),
    ],
)
def test_error_in_the_package_breaks_the_derivation(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, derivation: Derivation, broken: tuple[int, ...]
) -> None:
    right = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **options: 1.01 * right(*args, **options))
    report = derivation.check(witnesses=3)
    assert report.broken == broken, str(report)


def test_a_finite_value_for_an_infinite_divergence_is_broken() -> None:
    report = C24.with_line(4, Line("1e6", lambda w: np.full(2, 1e6), "a large number")).check(witnesses=2)
    assert report.broken == (4,)
