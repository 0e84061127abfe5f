"""KL(q || p) for every pair with a closed form: 60 digits, quadrature, torch.distributions, and the laws it obeys."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import oracles
import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st

from vaelib import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscretizedLogistic,
    Exponential,
    Gamma,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib._door import described
from vaelib.distributions import Distribution
from vaelib.distributions.divergence import CLOSED_FORMS

INF = math.inf


def covariance(size: int, seed: int, condition: float = 30.0) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    matrix = (rotation * np.geomspace(0.2, 0.2 * condition, size)) @ rotation.T
    return (matrix + matrix.T) / 2


TABLE_Q = np.array([[0.3, -1.2, 0.9, 0.1], [1.7, 0.2, -0.4, -2.0]])
TABLE_P = np.array([[-0.6, 0.4, 0.2, 1.3], [0.2, 0.5, -1.4, 0.7]])
LOC_Q, LOC_P = np.array([0.9, -1.4, 0.3]), np.array([-0.5, 0.4, 1.1])
SCALE_Q, SCALE_P = np.array([0.4, 1.7, 0.9]), np.array([1.3, 0.6, 2.2])
BATCH = np.array([[0.7], [2.6]])

# one witness a pair, generic: no gap, ratio or correlation is 0 or 1, sizes are distinct, batches broadcast
EXAMPLES: dict[tuple[type, type], tuple[Distribution, Distribution]] = {
    (Normal, Normal): (Normal(LOC_Q, SCALE_Q), Normal(LOC_P, SCALE_P * BATCH)),
    (DiagonalNormal, DiagonalNormal): (DiagonalNormal(LOC_Q, SCALE_Q), DiagonalNormal(LOC_P, SCALE_P * BATCH)),
    (DiagonalNormal, MultivariateNormal): (
        DiagonalNormal(LOC_Q, SCALE_Q * BATCH),
        MultivariateNormal(LOC_P, covariance(3, 1)),
    ),
    (MultivariateNormal, DiagonalNormal): (
        MultivariateNormal(LOC_Q, covariance(3, 2)),
        DiagonalNormal(LOC_P, SCALE_P * BATCH),
    ),
    (MultivariateNormal, MultivariateNormal): (
        MultivariateNormal(LOC_Q * BATCH, covariance(3, 3)),
        MultivariateNormal(LOC_P, covariance(3, 4)),
    ),
    (Bernoulli, Bernoulli): (Bernoulli(TABLE_Q), Bernoulli(TABLE_P)),
    (Categorical, Categorical): (Categorical(TABLE_Q), Categorical(TABLE_P)),
    (DiscretizedLogistic, DiscretizedLogistic): (
        DiscretizedLogistic(LOC_Q, SCALE_Q),
        DiscretizedLogistic(LOC_P, SCALE_P * BATCH),
    ),
    (Laplace, Laplace): (Laplace(LOC_Q, SCALE_Q), Laplace(LOC_P, SCALE_P * BATCH)),
    (Gamma, Gamma): (Gamma(SCALE_Q, 0.7), Gamma(SCALE_P * BATCH, 1.9)),
    (Gamma, Exponential): (Gamma(SCALE_Q * BATCH, 0.7), Exponential(SCALE_P)),
    (Exponential, Gamma): (Exponential(SCALE_Q), Gamma(SCALE_P * BATCH, 1.9)),
    (Exponential, Exponential): (Exponential(SCALE_Q), Exponential(SCALE_P * BATCH)),
    (Normal, Laplace): (Normal(LOC_Q, SCALE_Q), Laplace(LOC_P, SCALE_P * BATCH)),
    (Laplace, Normal): (Laplace(LOC_Q, SCALE_Q), Normal(LOC_P, SCALE_P * BATCH)),
    (Gamma, Normal): (Gamma(SCALE_Q, 0.7), Normal(LOC_P, SCALE_P * BATCH)),
    (Exponential, Normal): (Exponential(SCALE_Q), Normal(LOC_P, SCALE_P * BATCH)),
    (Normal, Gamma): (Normal(LOC_Q, SCALE_Q), Gamma(SCALE_P * BATCH, 1.9)),
    (Normal, Exponential): (Normal(LOC_Q, SCALE_Q), Exponential(SCALE_P * BATCH)),
    (Laplace, Gamma): (Laplace(LOC_Q, SCALE_Q), Gamma(SCALE_P * BATCH, 1.9)),
    (Laplace, Exponential): (Laplace(LOC_Q, SCALE_Q), Exponential(SCALE_P * BATCH)),
}
PARAMETERS = {
    Normal: ("loc", "scale"),
    DiagonalNormal: ("loc", "scale"),
    MultivariateNormal: ("loc", "covariance"),
    Bernoulli: ("logits",),
    Categorical: ("logits",),
    Laplace: ("loc", "scale"),
    DiscretizedLogistic: ("loc", "scale"),
    Gamma: ("concentration", "rate"),
    Exponential: ("rate",),
}
INFINITE = [(q, p) for q in (Normal, Laplace) for p in (Gamma, Exponential)]
FINITE = [pair for pair in EXAMPLES if pair not in INFINITE]
name_of = lambda pair: "-".join(family.__name__ for family in pair)  # noqa: E731
each_pair = pytest.mark.parametrize("pair", EXAMPLES, ids=name_of)
each_finite_pair = pytest.mark.parametrize("pair", FINITE, ids=name_of)
FLIPPED = {  # torch.distributions by our parameters
    Normal: td.Normal,
    DiagonalNormal: lambda loc, scale: td.Independent(td.Normal(loc, scale), 1),
    MultivariateNormal: lambda loc, covariance: td.MultivariateNormal(loc, covariance_matrix=covariance),
    Bernoulli: lambda logits: td.Bernoulli(logits=logits),
    Categorical: lambda logits: td.Categorical(logits=logits),
    DiscretizedLogistic: lambda loc, scale: oracles.LevelsOfALogistic(loc, scale).table,
    Laplace: td.Laplace,
    Gamma: td.Gamma,
    Exponential: td.Exponential,
}


def tensors(q: Distribution, requires_grad: bool = False) -> tuple[torch.Tensor, ...]:
    values = (np.array(getattr(q, name)) for name in PARAMETERS[type(q)])
    return tuple(torch.tensor(value, requires_grad=requires_grad) for value in values)


def as_torch(q: Distribution) -> Distribution:
    return type(q)(*tensors(q))


def test_every_closed_form_is_in_the_table() -> None:
    assert set(EXAMPLES) == set(CLOSED_FORMS)
    assert set(FINITE) | set(INFINITE) == set(EXAMPLES)


# ------------------------------------------------------------------------------------------- independent oracles


DENSITIES: dict[type, Callable[..., Any]] = {
    Normal: lambda x, m, s: mp.npdf(x, m, s),
    Laplace: lambda x, m, b: mp.exp(-abs(x - m) / b) / (2 * b),
    Gamma: lambda x, a, r: mp.exp(a * mp.log(r) + (a - 1) * mp.log(x) - r * x - mp.loggamma(a)),
    Exponential: lambda x, r: r * mp.exp(-r * x),
}
SCALAR_PAIRS = [pair for pair in FINITE if pair[0] in DENSITIES]


@pytest.mark.parametrize("pair", SCALAR_PAIRS, ids=name_of)
def test_kl_matches_quadrature(pair: tuple[type, type]) -> None:
    """The definition itself, the integral of q log(q/p), split at the kinks, at one entry of the witness."""
    q, p = EXAMPLES[pair]
    at = (1, 2)

    def entry(of: Distribution) -> list[float]:
        values = np.broadcast_arrays(*(getattr(of, name) for name in PARAMETERS[type(of)]), np.zeros((2, 3)))[:-1]
        return [mp.mpf(float(value[at])) for value in values]

    with mp.workdps(30):
        parameters_q, parameters_p = entry(q), entry(p)

        def integrand(x: Any) -> Any:
            weight = DENSITIES[type(q)](x, *parameters_q)
            return weight * mp.log(weight / DENSITIES[type(p)](x, *parameters_p)) if weight > 0 else mp.mpf(0)

        if pair[0] in (Gamma, Exponential):
            points = [0, 0.01, 0.3, 1, 4, 15, 60, 150]
        else:
            loc, scale = parameters_q
            kink = [parameters_p[0]] if pair[1] is Laplace else []
            reach = 12 if pair[0] is Normal else 60
            points = sorted([loc - reach * scale, loc - 3 * scale, loc, *kink, loc + 3 * scale, loc + reach * scale])
        integral = mp.quad(integrand, points)
    assert float(kl_divergence(q, p)[at]) == pytest.approx(float(integral), rel=1e-12)


def test_kl_of_vectors_matches_monte_carlo() -> None:
    for pair in FINITE:
        if pair[0] in (DiagonalNormal, MultivariateNormal):
            q, p = EXAMPLES[pair]
            if len(p.batch_shape) > len(q.batch_shape):
                p = DiagonalNormal(p.loc[0], p.scale[0])
            x = q.sample(50_000, rng=np.random.default_rng(8))
            log_ratio = q.log_prob(x) - p.log_prob(x)
            error = log_ratio.std(axis=0, ddof=1) / math.sqrt(len(x))
            assert np.all(np.abs(log_ratio.mean(axis=0) - kl_divergence(q, p)) < 4.5 * error)


@each_pair
def test_kl_matches_torch_distributions(pair: tuple[type, type]) -> None:
    q, p = EXAMPLES[pair]
    if DiagonalNormal in pair and MultivariateNormal in pair:
        oracle = [td.MultivariateNormal(*(torch.tensor(np.array(v)) for v in (d.loc, d.covariance))) for d in (q, p)]
    else:
        oracle = [FLIPPED[type(d)](*tensors(d)) for d in (q, p)]
    expected = td.kl_divergence(*oracle).numpy()
    value = kl_divergence(q, p)
    assert value.shape == np.broadcast_shapes(q.batch_shape, p.batch_shape)
    np.testing.assert_allclose(value, np.broadcast_to(expected, value.shape), rtol=1e-12)


@each_pair
def test_torch_kl_matches_numpy(pair: tuple[type, type]) -> None:
    q, p = EXAMPLES[pair]
    value = kl_divergence(as_torch(q), as_torch(p))
    assert isinstance(value, torch.Tensor)
    np.testing.assert_allclose(value.numpy(), kl_divergence(q, p), rtol=1e-13)
    np.testing.assert_allclose(as_torch(q).cross_entropy(as_torch(p)).numpy(), q.cross_entropy(p), rtol=1e-13)
    mixed = kl_divergence(q, as_torch(p))  # NumPy parameters beside tensors
    np.testing.assert_allclose(mixed.numpy(), kl_divergence(q, p), rtol=1e-13)


@each_finite_pair
def test_kl_is_cross_entropy_less_entropy(pair: tuple[type, type]) -> None:
    q, p = EXAMPLES[pair]
    np.testing.assert_allclose(q.cross_entropy(p) - q.entropy(), kl_divergence(q, p), rtol=1e-12)


@each_finite_pair
def test_cross_entropy_matches_monte_carlo(pair: tuple[type, type]) -> None:
    q, p = EXAMPLES[pair]
    expected = q.cross_entropy(p)
    missing = expected.ndim - len(q.batch_shape)
    x = q.sample((20_000,) + (1,) * missing, rng=np.random.default_rng(21))
    surprise = -p.log_prob(x)
    error = surprise.std(axis=0, ddof=1) / math.sqrt(20_000)
    assert np.all(np.abs(surprise.mean(axis=0) - expected) < 4.5 * error)


# ----------------------------------------------------------------------------------------- 60 digits: far apart


RATIOS = [1e-8, 3e-5, 0.02, 0.9, 1.1, 7.0, 4e4, 1e8]


@pytest.mark.parametrize("make", [np.float64, torch.tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("gap", [0.0, 1e-8, 0.7, 1e8])
def test_normal_and_laplace_match_60_digits_at_any_ratio(gap: float, make: Callable[..., Any]) -> None:
    for ratio, scale_p in itertools.product(RATIOS, [0.3, 1.7]):
        loc_p = -0.6
        arguments = (loc_p + gap, scale_p * ratio, loc_p, scale_p)
        m1, s1, m2, s2 = (make(value) for value in np.float64(arguments))
        for family, other, oracle in (
            (Normal, Normal, oracles.normal_normal),
            (Laplace, Laplace, oracles.laplace_laplace),
            (Normal, Laplace, oracles.normal_laplace),
            (Laplace, Normal, oracles.laplace_normal),
        ):
            value = kl_divergence(family(m1, s1), other(m2, s2))
            assert oracles.relative_error(float(value), oracle(*arguments)) < 1e-12
        value = kl_divergence(Exponential(s1), Exponential(s2))
        assert oracles.relative_error(float(value), oracles.exponential_exponential(*arguments[1::2])) < 1e-12


@pytest.mark.parametrize("make", [np.float64, torch.tensor], ids=["numpy", "torch"])
def test_gamma_matches_60_digits_at_any_ratio(make: Callable[..., Any]) -> None:
    for a_q, a_p, ratio in itertools.product([1e-2, 0.8, 13.0, 4e5], [3e-3, 1.0, 30.0, 5e4], RATIOS):
        arguments = np.float64([a_q, 0.7 * ratio, a_p, 0.7])
        a1, b1, a2, b2 = (make(value) for value in arguments)
        value = kl_divergence(Gamma(a1, b1), Gamma(a2, b2))
        assert oracles.relative_error(float(value), oracles.gamma_gamma(*arguments)) < 1e-12
    for a, scale in itertools.product([1e-2, 1.0, 9.9, 10.1, 1e4, 1e9], [0.3, 1e4]):
        mean, deviation = a / 0.7, math.sqrt(a) / 0.7
        arguments = np.float64([a, 0.7, mean + 0.1 * deviation, scale * deviation])
        a1, b1, m2, s2 = (make(value) for value in arguments)
        value = kl_divergence(Gamma(a1, b1), Normal(m2, s2))
        assert oracles.relative_error(float(value), oracles.gamma_normal(*arguments)) < 1e-12


def test_gamma_nearly_normal_keeps_its_digits() -> None:
    """KL to the Gaussian of equal moments falls like 1 / (3 a), far below the entropies it is the difference of."""
    for a in (11.0, 1e3, 2.0**30, 2.0**40):
        arguments = (a, 0.5, a / 0.5, math.sqrt(a) / 0.5)
        value = kl_divergence(Gamma(a, 0.5), Normal(*arguments[2:]))
        assert oracles.relative_error(value, oracles.gamma_normal(*arguments)) < 1e-12
        if a > 1e6:
            assert value == pytest.approx(1 / (3 * a), rel=1e-6)


LOGITS = [-1e4, -600.0, -37.0, -2.0, 1e-6, 0.7, 5.0, 41.0, 300.0, 1e4]


@pytest.mark.parametrize("make", [np.float64, torch.tensor], ids=["numpy", "torch"])
def test_bernoulli_and_categorical_match_60_digits_for_large_logits(make: Callable[..., Any]) -> None:
    for a, b in itertools.product(LOGITS, LOGITS):
        truth = oracles.bernoulli_bernoulli(a, b)
        if a != b and truth > 1e-290:
            value = kl_divergence(Bernoulli(make(np.float64(a))), Bernoulli(make(np.float64(b))))
            assert oracles.relative_error(float(value), truth) < 1e-13
    rng = np.random.default_rng(4)
    for spread_q, spread_p in itertools.product([0.1, 5.0, 100.0], [0.3, 40.0, 500.0, 1e4]):
        a, b = spread_q * rng.uniform(-1, 1, size=5), spread_p * rng.uniform(-1, 1, size=5)
        truth = oracles.categorical_categorical(a, b)
        value = kl_divergence(Categorical(make(a)), Categorical(make(b)))
        assert oracles.relative_error(float(value), truth) < 1e-12


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_multivariate_normal_matches_60_digits(make: Callable[..., Any]) -> None:
    rng = np.random.default_rng(3)
    for exponent in (-8.0, -1.0, 0.0, 5.0, 8.0):
        m1, m2 = rng.normal(size=4), rng.normal(size=4)
        s1, s2 = covariance(4, 5) * 10.0 ** (2 * exponent), covariance(4, 6)
        scales = 10.0 ** rng.uniform(-8, 8, size=4)  # a change of units alters nothing
        for units in (np.ones(4), scales):
            first, second = (unit_change(s, units) for s in (s1, s2))
            q, p = (MultivariateNormal(make(units * m), make(s)) for m, s in ((m1, first), (m2, second)))
            truth = oracles.multivariate_normal_kl(units * m1, first, units * m2, second)
            assert oracles.relative_error(float(kl_divergence(q, p)), truth) < 1e-12


def unit_change(matrix: np.ndarray, units: np.ndarray) -> np.ndarray:
    changed = matrix * units[:, None] * units
    return (changed + changed.T) / 2


def test_multivariate_normal_matches_60_digits_in_100_dimensions() -> None:
    rng = np.random.default_rng(2)
    m1, m2, s1, s2 = rng.normal(size=100), rng.normal(size=100), covariance(100, 7), covariance(100, 8)
    value = kl_divergence(MultivariateNormal(m1, s1), MultivariateNormal(m2, s2))
    assert oracles.relative_error(value, oracles.multivariate_normal_kl(m1, s1, m2, s2)) < 1e-12
    diagonal = DiagonalNormal(m1, np.sqrt(np.diagonal(s1)))
    full = MultivariateNormal(m1, np.diag(diagonal.scale**2))
    for p in (DiagonalNormal(m2, np.sqrt(np.diagonal(s2))), MultivariateNormal(m2, s2)):
        np.testing.assert_allclose(kl_divergence(diagonal, p), kl_divergence(full, p), rtol=1e-13)
        if isinstance(p, DiagonalNormal):
            q = MultivariateNormal(m1, s1)
            as_full = MultivariateNormal(m2, np.diag(p.scale**2))
            np.testing.assert_allclose(kl_divergence(q, p), kl_divergence(q, as_full), rtol=1e-13)


# ------------------------------------------------------------------------------------- 60 digits: nearly equal


STEPS = [sign * base * 10.0**-k for k in range(1, 13) for base in (1.0, 3.7) for sign in (1, -1)]
THRESHOLDS = [sign * t * (1 + e) for t in (0.02, 0.04, 0.1) for e in (-1e-9, 1e-9) for sign in (1, -1)]


@pytest.mark.parametrize("make", [np.float64, torch.tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("mean_step", [0.0, 0.4, 1e-9])
def test_nearly_equal_normals_keep_their_digits(mean_step: float, make: Callable[..., Any]) -> None:
    """mean_step: the gap of the means, in units of the gap of the scales, or 1e-9."""
    for step, scale_p in itertools.product(STEPS + THRESHOLDS, [0.83, 1.0, 2.9]):
        gap = mean_step * scale_p * (step if mean_step > 1e-3 else 1.0)
        arguments = np.float64([-0.6 + gap, scale_p * (1 + step), -0.6, scale_p])
        m1, s1, m2, s2 = (make(value) for value in arguments)
        truth = oracles.normal_normal(*arguments)
        value = kl_divergence(Normal(m1, s1), Normal(m2, s2))
        assert oracles.relative_error(float(value), truth) < 1e-12
        vector = kl_divergence(DiagonalNormal(m1[None], s1[None]), DiagonalNormal(m2[None], s2[None]))
        assert float(vector) == float(value)
        truth = oracles.laplace_laplace(*arguments)
        assert oracles.relative_error(float(kl_divergence(Laplace(m1, s1), Laplace(m2, s2))), truth) < 1e-12
        truth = oracles.exponential_exponential(arguments[1], arguments[3])
        assert oracles.relative_error(float(kl_divergence(Exponential(s1), Exponential(s2))), truth) < 1e-12


@pytest.mark.parametrize("a", [0.02, 0.9, 8.0, 300.0, 2e6])
def test_nearly_equal_gammas_keep_their_digits(a: float) -> None:
    for step, share in itertools.product(STEPS, [0.0, 0.6, -1.3]):
        arguments = (a * (1 + step), 1.9 * (1 + share * step), a, 1.9)
        value = kl_divergence(Gamma(*arguments[:2]), Gamma(*arguments[2:]))
        assert oracles.relative_error(value, oracles.gamma_gamma(*arguments)) < 1e-12


def test_nearly_equal_logits_keep_their_digits() -> None:
    rng = np.random.default_rng(6)
    for step, level in itertools.product(STEPS, [-300.0, -9.0, 0.2, 2.0, 40.0]):
        a, b = level + step, level
        if a != b:
            value = kl_divergence(Bernoulli(a), Bernoulli(b))
            assert oracles.relative_error(value, oracles.bernoulli_bernoulli(a, b)) < 1e-12
    for step, spread in itertools.product(STEPS, [0.3, 3.0, 60.0]):
        b = spread * rng.normal(size=5)
        a = b + step * rng.normal(size=5)
        value = kl_divergence(Categorical(a), Categorical(b))
        assert oracles.relative_error(value, oracles.categorical_categorical(a, b)) < 1e-12


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_nearly_equal_covariances_keep_their_digits(make: Callable[..., Any]) -> None:
    rng = np.random.default_rng(9)
    for step in STEPS:
        direction = rng.normal(size=(4, 4))
        s2 = covariance(4, 10)
        s1 = s2 + 0.03 * step * (direction + direction.T)
        m2 = rng.normal(size=4)
        m1 = m2 + 0.1 * step * rng.normal(size=4)
        truth = oracles.multivariate_normal_kl(m1, s1, m2, s2)
        value = kl_divergence(MultivariateNormal(make(m1), make(s1)), MultivariateNormal(make(m2), make(s2)))
        assert oracles.relative_error(float(value), truth) < 1e-12


# --------------------------------------------------------------------------------------------------- laws and edges


@each_pair
def test_kl_of_a_distribution_to_itself_is_exactly_zero(pair: tuple[type, type]) -> None:
    for d in EXAMPLES[pair]:
        for q in (d, as_torch(d)):
            assert not np.any(np.asarray(kl_divergence(q, q)))


real = st.floats(-1e6, 1e6)
scale = st.floats(1e-8, 1e8)
near_one = st.floats(-12, 0).map(lambda exponent: 1.0 + 10.0**exponent)
logit = st.one_of(st.floats(-1e4, 1e4), st.sampled_from([-INF, INF]))


@given(real, scale, real, scale, near_one)
def test_kl_is_never_negative_for_scalars(m: float, s: float, n: float, t: float, near: float) -> None:
    pairs = [
        (Normal(m, s), Normal(n, t)),
        (Normal(m, s), Normal(m, s * near)),
        (Laplace(m, s), Laplace(n, t)),
        (Laplace(m, s), Laplace(m * near, s * near)),
        (Exponential(s), Exponential(t)),
        (Exponential(s), Exponential(s * near)),
        (Gamma(s, t), Gamma(t, s)),
        (Gamma(s, t), Gamma(s * near, t * near)),
        (Gamma(s, t), Exponential(s)),
        (Exponential(t), Gamma(s, t)),
        (Gamma(s, t), Normal(s / t * near, math.sqrt(s) / t)),
        (Exponential(s), Normal(m, t)),
        (Normal(m, s), Laplace(n, t)),
        (Normal(m, s), Laplace(m, s * math.sqrt(2 / math.pi) * near)),
        (Laplace(m, s), Normal(n, t)),
        (Laplace(m, s), Normal(m, s * math.sqrt(2) * near)),
        (Normal(m, s), Gamma(s, t)),
    ]
    for q, p in pairs:
        assert kl_divergence(q, p) >= 0, (q, p)


@given(st.lists(logit, min_size=4, max_size=4), st.lists(logit, min_size=4, max_size=4), near_one)
def test_kl_is_never_negative_for_discrete(a: list[float], b: list[float], near: float) -> None:
    assert np.all(kl_divergence(Bernoulli(a), Bernoulli(b)) >= 0)
    assert np.all(kl_divergence(Bernoulli(a), Bernoulli(np.array(a) * near)) >= 0)
    q, p = (Categorical([0.3, *(min(entry, 1e4) for entry in row)]) for row in (a, b))
    for other in (p, Categorical(q.logits * near), q):
        value = kl_divergence(q, other)
        assert value >= 0
        excluded = np.any(np.isinf(other.logits) & ~np.isinf(q.logits))
        assert np.isinf(value) == excluded


@given(st.integers(1, 5), st.integers(0, 10**6), near_one)
def test_kl_is_never_negative_for_vectors(size: int, seed: int, near: float) -> None:
    rng = np.random.default_rng(seed)
    s1, s2 = (covariance(size, seed + k, condition=10.0 ** rng.uniform(0, 8)) for k in (0, 1))
    q, p = MultivariateNormal(rng.normal(size=size), s1), MultivariateNormal(rng.normal(size=size), s2)
    diagonal = DiagonalNormal(p.loc, np.sqrt(np.diagonal(s1)))
    for other in (p, MultivariateNormal(q.loc, s1 * near), diagonal):
        assert kl_divergence(q, other) >= 0
        assert kl_divergence(other, q) >= 0


def test_kl_is_infinite_where_q_gives_mass_to_what_p_excludes() -> None:
    for pair in INFINITE:
        q, p = EXAMPLES[pair]
        for value in (kl_divergence(q, p), q.cross_entropy(p), kl_divergence(as_torch(q), as_torch(p)).numpy()):
            assert value.shape == (2, 3)
            assert np.all(value == INF)
    for make in (np.asarray, torch.as_tensor):
        a = make(np.array([INF, -INF, INF, -INF, 0.3, 0.3, INF, -INF, -1e4]))
        b = make(np.array([INF, -INF, -INF, INF, INF, -INF, 0.3, 0.3, INF]))
        value = np.asarray(kl_divergence(Bernoulli(a), Bernoulli(b)))
        certain = [math.log1p(math.exp(-0.3)), math.log1p(math.exp(0.3))]
        np.testing.assert_allclose(value, [0, 0, INF, INF, INF, INF, *certain, INF], rtol=1e-15)
        cross_entropy = np.asarray(Bernoulli(a).cross_entropy(Bernoulli(b)))
        np.testing.assert_allclose(cross_entropy[[0, 1, 2, 3, 6, 7]], value[[0, 1, 2, 3, 6, 7]], rtol=1e-15)
        q, p = (
            Categorical.from_probs(make(np.array([0.5, 0.5, 0.0]))),
            Categorical.from_probs(make(np.array([0.2, 0.3, 0.5]))),
        )
        assert float(kl_divergence(q, p)) == pytest.approx(0.5 * math.log(0.25 / 0.06), rel=1e-14)
        assert float(kl_divergence(p, q)) == INF
        assert float(p.cross_entropy(q)) == INF
        assert float(kl_divergence(q, q)) == 0.0


def test_rows_of_a_table_are_judged_one_by_one() -> None:
    q = Categorical.from_probs([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    p = Categorical.from_probs([[0.5, 0.0, 0.5], [0.5 - 1e-9, 0.5 + 1e-9, 0.0], [1e-300, 0.5, 0.5]])
    value = kl_divergence(q, p)
    assert value[0] == INF
    assert value[1] == pytest.approx(2e-18, rel=1e-6)
    assert value[2] == pytest.approx(300 * math.log(10.0), rel=1e-14)


def test_mass_that_only_p_has_counts() -> None:
    """q certain of value 0, p nearly: KL is -log p(0), however small."""
    for epsilon in (0.4, 1e-5, 1e-12):
        value = kl_divergence(Categorical([0.0, -INF, -INF]), Categorical([0.0, math.log(epsilon), -INF]))
        assert value == pytest.approx(math.log1p(epsilon), rel=1e-13)


# ----------------------------------------------------------------------------------------------------- gradients


def small(family: type, *parameters: torch.Tensor) -> Any:
    """A law of the family; one on levels has six of them: each adds operations to the graph."""
    return family(*parameters, **({"levels": 6} if family is DiscretizedLogistic else {}))


@each_finite_pair
def test_kl_passes_gradcheck_to_second_order(pair: tuple[type, type]) -> None:
    q, p = EXAMPLES[pair]
    values = (*tensors(q, requires_grad=True), *tensors(p, requires_grad=True))
    split = len(PARAMETERS[type(q)])
    names = (*PARAMETERS[type(q)], *PARAMETERS[type(p)])

    def divergence(*arguments: torch.Tensor) -> torch.Tensor:
        arguments = tuple(
            (value + value.mT) / 2 if name == "covariance" else value
            for name, value in zip(names, arguments, strict=True)
        )
        return kl_divergence(small(pair[0], *arguments[:split]), small(pair[1], *arguments[split:]))

    assert torch.autograd.gradcheck(divergence, values)
    if Gamma not in pair and Categorical not in pair:
        assert torch.autograd.gradgradcheck(divergence, values, atol=1e-4)


def test_gradient_of_normal_kl_matches_its_closed_form_near_equality() -> None:
    loc = torch.tensor([0.3, 0.3 + 1e-7, 0.3 - 1e-3, 0.9], dtype=torch.float64, requires_grad=True)
    scale_q = (1.7 * (1 + torch.tensor([0.0, 1e-9, -0.019, 0.021], dtype=torch.float64))).requires_grad_()
    divergence = kl_divergence(Normal(loc, scale_q), Normal(0.3, 1.7))
    by_loc, by_scale = torch.autograd.grad(divergence.sum(), (loc, scale_q))
    torch.testing.assert_close(by_loc, (loc - 0.3) / 1.7**2, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(by_scale, scale_q / 1.7**2 - 1 / scale_q, rtol=1e-12, atol=1e-15)


def test_gradients_are_finite_at_equality_and_far_apart() -> None:
    for pair, (q, p) in EXAMPLES.items():
        if pair[0] is pair[1]:
            values = tensors(q, requires_grad=True)
            kl_divergence(pair[0](*values), as_torch(q)).sum().backward()
            for value in values:
                assert value.grad is not None
                assert float(value.grad.abs().max()) < 1e-14, pair  # the KL is least here
        if pair not in INFINITE:
            far = tuple(
                1e6 * v if n in ("loc", "logits") else v for n, v in zip(PARAMETERS[pair[0]], tensors(q), strict=True)
            )
            far = tuple(value.requires_grad_() for value in far)
            kl_divergence(pair[0](*far), as_torch(p)).sum().backward()
            assert all(value.grad is not None and value.grad.isfinite().all() for value in far), pair


def test_gradients_are_finite_for_certainties() -> None:
    a = torch.tensor([INF, -INF, 0.3, 0.3, INF, -1e4], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([0.3, 0.1, 1e4, INF, -INF, 1e4], dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(kl_divergence(Bernoulli(a), Bernoulli(b)).sum(), (a, b))
    assert all(gradient.isfinite().all() for gradient in gradients)
    a = torch.tensor([[0.3, -INF, 1e4], [0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[0.2, 0.4, -0.7], [0.1, -INF, 0.3]], dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(kl_divergence(Categorical(a), Categorical(b)).sum(), (a, b))
    assert all(gradient.isfinite().all() for gradient in gradients)


# ------------------------------------------------------------------------------------------- compilation, float32


TRAINING = [
    (DiagonalNormal, DiagonalNormal),
    (DiagonalNormal, MultivariateNormal),
    (Bernoulli, Bernoulli),
    (Laplace, Laplace),
]


def test_compiled_kl_is_whole_and_matches_eager() -> None:
    """Every closed form, construction included, without a warning; those of a VAE and some more through autograd."""
    others = [pair for pair in {form: pair for pair, form in CLOSED_FORMS.items()}.values() if pair not in TRAINING]
    arguments = {pair: (*tensors(q, pair in TRAINING), *tensors(p)) for pair, (q, p) in EXAMPLES.items()}
    leaves = [value for pair in TRAINING for value in arguments[pair] if value.requires_grad]

    def total(pairs: list[tuple[type, type]]) -> torch.Tensor:
        result = torch.zeros((), dtype=torch.float64)
        for family_q, family_p in pairs:
            group, split = arguments[family_q, family_p], len(PARAMETERS[family_q])
            divergence = kl_divergence(small(family_q, *group[:split]), small(family_p, *group[split:]))
            result = result + divergence.clamp(max=1e6).sum()
        return result

    assert {CLOSED_FORMS[pair] for pair in TRAINING + others} == set(CLOSED_FORMS.values())
    expected = torch.autograd.grad(total(TRAINING), leaves)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(total, fullgraph=True, backend="aot_eager")(TRAINING)
        gradients = torch.autograd.grad(compiled, leaves)
        graph = torch.compile(total, fullgraph=True, backend="eager")(others)
    torch.testing.assert_close(compiled, total(TRAINING), rtol=1e-13, atol=0)
    torch.testing.assert_close(graph, total(others), rtol=1e-13, atol=0)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-11, atol=1e-13)


def test_vmap_of_kl_matches_the_batch() -> None:
    loc, scale_q = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64) + 0.3

    def divergence(m: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return kl_divergence(DiagonalNormal(m, s), DiagonalNormal(torch.zeros_like(m), 1.0))

    batched = torch.func.vmap(divergence)(loc, scale_q)
    torch.testing.assert_close(batched, divergence(loc, scale_q), rtol=1e-14, atol=0)
    tangent = torch.func.jvp(divergence, (loc, scale_q), (torch.ones_like(loc), torch.zeros_like(loc)))[1]
    torch.testing.assert_close(tangent, loc.sum(-1), rtol=1e-12, atol=1e-13)


def test_float32_kl_stays_positive_and_close_to_float64() -> None:
    log_scale = torch.linspace(-9, 9, 41)
    loc = torch.linspace(-2, 2, 41)
    value = kl_divergence(DiagonalNormal(loc[:, None], log_scale.exp()[:, None]), DiagonalNormal([0.0], [1.0]))
    exact = kl_divergence(
        DiagonalNormal(loc.double()[:, None], log_scale.exp().double()[:, None]), DiagonalNormal([0.0], [1.0])
    )
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), exact, rtol=1e-6, atol=1e-7)
    nearly = kl_divergence(Normal(torch.tensor(0.0), torch.tensor(1.0) + 2e-7), Normal(0.0, 1.0))
    assert float(nearly) == pytest.approx((2 * 2.0**-23) ** 2, rel=1e-5)  # (scale - 1)^2


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (Normal(0.0, 1.0), DiagonalNormal([0.0], 1.0)),
        (Gamma(1.0, 1.0), Laplace(0.0, 1.0)),
        (Bernoulli(0.0), Categorical([0.0, 1.0])),
        (Categorical([0.0, 1.0]), Bernoulli(0.0)),
        (Bernoulli(0.0), Normal(0.0, 1.0)),
        (Bernoulli(0.0), Gamma(1.0, 1.0)),
        (Normal([0.0], 1.0), DiagonalNormal([0.0], 1.0)),
        (Normal([0.0], 1.0), MultivariateNormal([0.0], [[1.0]])),
        (Normal(0.0, 1.0), td.Normal(0.0, 1.0)),
        (3.0, Normal(0.0, 1.0)),
    ],
)
def test_pair_without_closed_form_is_refused_with_the_list(q: Any, p: Any) -> None:
    kinds = [type(d).__name__ if isinstance(d, Distribution) else described(d) for d in (q, p)]
    message = f"got q = {kinds[0]} and p = {kinds[1]}. These have one: Normal-Normal, DiagonalNormal-"
    with pytest.raises(TypeError, match=message) as error:
        kl_divergence(q, p)
    for family_q, family_p in CLOSED_FORMS:
        assert f"{family_q.__name__}-{family_p.__name__}" in str(error.value)
    if isinstance(q, Distribution):
        with pytest.raises(TypeError, match=r"closed-form cross-entropy, but got q = .* Estimate it"):
            q.cross_entropy(p)


@pytest.mark.parametrize(
    ("q", "p", "message"),
    [
        (
            DiagonalNormal(np.zeros(3), 1.0),
            DiagonalNormal(np.zeros(2), 1.0),
            r"`loc of q` .* size 2, but got shape \(3,\)",
        ),
        (MultivariateNormal(np.zeros(3), np.eye(3)), DiagonalNormal(np.zeros(1), 1.0), r"`loc of q` .* size 1"),
        (Categorical(np.zeros(3)), Categorical(np.zeros(4)), r"`logits of q` .* size 4, but got shape \(3,\)"),
        (Normal(np.zeros(3), 1.0), Normal(np.zeros(2), 1.0), r"Expected `q` and `p` .* \(3,\) and \(2,\)"),
        (Bernoulli(np.zeros(3)), Bernoulli(np.zeros(2)), r"Expected `q` and `p` .* \(3,\) and \(2,\)"),
        (Gamma(np.ones(3), 1.0), Normal(np.zeros(2), 1.0), r"Expected `q` and `p` .* \(3,\) and \(2,\)"),
        (
            DiscretizedLogistic(np.ones(3), 1.0),
            DiscretizedLogistic(np.zeros(2), 1.0),
            r"Expected `q` and `p` .* \(3,\) and \(2,\)",
        ),
        (Normal(np.ones(3), 1.0), Laplace(np.zeros(2), 1.0), r"Expected `point` and `loc` .* \(2,\) and \(3,\)"),
        (Normal(np.ones(3), 1.0), Gamma(np.ones(2), 1.0), r"Expected `q` and `p` .* \(3,\) and \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(q: Distribution, p: Distribution, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kl_divergence(q, p)
    with pytest.raises(ValueError, match=r"Expected `"):
        q.cross_entropy(p)
