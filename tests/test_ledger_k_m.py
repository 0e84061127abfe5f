"""Chapters K and M, and A11, against numbers from elsewhere: SciPy, scikit-learn, PyTorch, and arithmetic by hand."""

from __future__ import annotations

from itertools import product
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import integrate, optimize, stats
from sklearn.metrics import mutual_info_score

from vaelib.derivation import Derivation
from vaelib.distributions import MultivariateNormal, Normal
from vaelib.ledger import k_rate, m_missing
from vaelib.ledger.k_rate import (
    K1,
    K2,
    K3,
    K4,
    K5,
    K6,
    K7,
    K9,
    K10,
    K11,
    K12,
    K13,
    Channel,
    Codes,
    CodesAndPriors,
    GaussianCodes,
    GaussianSource,
    PairCodes,
    ScalarCoder,
    Tempered,
    Turned,
    TwoPixels,
    TwoPixelsApart,
)
from vaelib.ledger.m_missing import (
    A11,
    M1,
    M2,
    M3,
    M4,
    M5,
    Chain,
    HalfSeen,
    NoisyMixture,
    PartSeen,
    Resampling,
    move,
    resampled,
    sweep,
    transition,
)
from vaelib.models import CurvedGaussian, LinearGaussian
from vaelib.witnesses import LinearWitness

ALL = k_rate.CHAPTER + m_missing.CHAPTER
CODES = np.array([[0.9, 0.1], [0.3, 0.7]])  # their mean is (0.6, 0.4)
EVEN = np.array([0.5, 0.5])


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness."""
    lines = derivation.lines
    results = (line.evaluate(witness) for line in lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return getattr(result, "value", result)


def counts(table: np.ndarray) -> np.ndarray:
    """Scikit-learn wants whole numbers; every table here is one of hundredths."""
    return np.rint(100 * table).astype(int)


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    assert report.worst.ratio < 0.5 or settled(derivation, seed=3).worst.ratio < 0.5  # far from a false alarm
    assert [result.slip.name for result in report.slips if not result.rejected] == []


# ------------------------------------------------------------------------------------------------ chapter K


def test_k1_by_hand_and_scipy() -> None:
    rate = (stats.entropy(CODES[0], EVEN) + stats.entropy(CODES[1], EVEN)) / 2
    information = mutual_info_score(None, None, contingency=counts(CODES))
    marginal = 0.6 * log(1.2) + 0.4 * log(0.8)
    assert rate == pytest.approx(information + marginal, rel=1e-12)
    *lines, bound = values(K1, Codes(CODES, EVEN))
    np.testing.assert_allclose(lines, rate, rtol=1e-12)
    assert bound == pytest.approx(log(2) + marginal, rel=1e-12)
    assert slip_value(K1, "no mutual information", Codes(CODES, EVEN)) == pytest.approx(marginal, rel=1e-12)
    swapped = information + 0.5 * log(0.5 / 0.6) + 0.5 * log(0.5 / 0.4)
    assert slip_value(K1, "marginal KL swapped", Codes(CODES, EVEN)) == pytest.approx(swapped, rel=1e-12)


def test_k2_matches_scipy_integration() -> None:
    w = GaussianCodes(np.array([-1.0, 0.5]), np.array([0.4, 0.8]), Normal(0.3, 1.5))
    codes, prior = [stats.norm(-1.0, 0.4), stats.norm(0.5, 0.8)], stats.norm(0.3, 1.5)

    def integrand(z: float) -> float:
        return 0.5 * sum(c.pdf(z) * (c.logpdf(z) - prior.logpdf(z)) for c in codes)

    expected = integrate.quad(integrand, -9, 9, epsabs=1e-12, epsrel=1e-12)[0]
    np.testing.assert_allclose(values(K2, w), expected, rtol=1e-9)
    assert slip_value(K2, "sum instead of mixture", w) == pytest.approx(expected + log(2), rel=1e-9)


def test_k3_best_prior_is_the_mean_of_the_codes() -> None:
    *lines, best = values(K3, CodesAndPriors(CODES, np.array([EVEN, [0.6, 0.4], [0.2, 0.8]])))
    information = mutual_info_score(None, None, contingency=counts(CODES))
    for line in lines:
        np.testing.assert_allclose(line[1], information, rtol=1e-12)
        np.testing.assert_allclose(line[2], information + stats.entropy([0.6, 0.4], [0.2, 0.8]), rtol=1e-12)
    assert best == pytest.approx(information, rel=1e-12)


CHANNEL = Channel(np.array([0.4, 0.6]), CODES, np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([0.25, 0.75]))


def test_k4_and_k5_match_scipy_and_sklearn() -> None:
    joint = np.array([[0.36, 0.04], [0.18, 0.42]])
    rate = 0.4 * stats.entropy(CODES[0], [0.25, 0.75]) + 0.6 * stats.entropy(CODES[1], [0.25, 0.75])
    information = mutual_info_score(None, None, contingency=counts(joint))
    distortion = -(0.36 * log(0.7) + 0.04 * log(0.2) + 0.18 * log(0.3) + 0.42 * log(0.8))
    entropy = stats.entropy([0.4, 0.6])
    expected = [rate, information, entropy - distortion, entropy - distortion]
    np.testing.assert_allclose(values(K4, CHANNEL), expected, rtol=1e-12)
    assert rate > information > entropy - distortion
    to_prior = stats.entropy([0.54, 0.46], [0.25, 0.75])
    to_decoder = 0.54 * stats.entropy([2 / 3, 1 / 3], [0.7, 0.3]) + 0.46 * stats.entropy([4, 42], [0.2, 0.8])
    for line in values(K5, CHANNEL):
        np.testing.assert_allclose(line, [to_prior, to_decoder, to_prior + to_decoder], rtol=1e-11)
    assert slip_value(K4, "H plus D", CHANNEL) == pytest.approx(entropy + distortion, rel=1e-12)


def test_k6_slope_matches_a_numerical_optimum() -> None:
    w = ScalarCoder(1.2, 0.7, np.array([0.5, -1.4]), 1.8)

    def negative(code: Any) -> float:
        m, log_v = code
        v = np.exp(log_v)
        square = np.mean((w.x - 1.2 * m * w.x) ** 2) + 1.44 * v
        distortion = 0.5 * np.log(2 * np.pi * 0.7) + square / 1.4
        return float(distortion + 1.8 * 0.5 * np.mean((m * w.x) ** 2 + v - 1 - log_v))

    m, log_v = optimize.minimize(negative, [0.1, 0.0], tol=1e-12).x
    rate = 0.5 * np.mean((m * w.x) ** 2 + np.exp(log_v) - 1 - log_v)
    found = values(K6, w)
    np.testing.assert_allclose(found, -rate, rtol=1e-6)
    np.testing.assert_allclose(found[:2], [found[3]] * 2, rtol=1e-9)  # by differences
    assert found[2] == pytest.approx(found[3], rel=1e-12)
    assert slip_value(K6, "plus the rate", w) == pytest.approx(rate, rel=1e-6)


def test_k7_gradient_vanishes_at_the_stated_code() -> None:
    """By PyTorch's own densities and KL: the objective has no slope at N(M^-1 W^T r, beta c M^-1)."""
    w = Tempered.draw(np.random.default_rng(2))
    loading, c = torch.tensor(w.model.loading), w.model.noise_variance
    residual = torch.tensor(w.x - w.model.offset)
    matrix = loading.T @ loading + w.beta * c * torch.eye(2, dtype=torch.float64)
    mean = torch.linalg.solve(matrix, loading.T @ residual).requires_grad_()
    factor = torch.linalg.cholesky(w.beta * c * torch.linalg.inv(matrix)).detach().requires_grad_()
    lower = factor.tril()
    code = torch.distributions.MultivariateNormal(mean, scale_tril=lower)
    prior = torch.distributions.MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    )
    square = ((residual - loading @ mean) ** 2).sum() + ((loading @ lower) ** 2).sum()
    objective = square / (2 * c) + w.beta * torch.distributions.kl_divergence(code, prior)
    gradients = torch.autograd.grad(objective, (mean, factor))
    assert all(g.abs().max() < 1e-12 for g in gradients)
    # and there the lines have their least value: -beta log Z
    best = Tempered(
        w.model, w.x, w.beta, (MultivariateNormal(mean.detach().numpy(), (lower @ lower.T).detach().numpy()),) * 6
    )
    *first, last = values(K7, best)
    np.testing.assert_allclose(last, 0, atol=1e-12)
    constant = 1.5 * (np.log(2 * np.pi * c))  # of log p(x | z), d = 3
    np.testing.assert_allclose(first, np.full((3, 6), objective.item() + constant), rtol=1e-11)


def test_k9_matches_scipy() -> None:
    codes = np.array([[[0.4, 0.1], [0.2, 0.3]], [[0.1, 0.5], [0.3, 0.1]]])
    w = PairCodes(codes, np.array([0.3, 0.7]), EVEN)
    flat = np.outer([0.3, 0.7], EVEN).ravel()
    expected = np.mean([stats.entropy(c.ravel(), flat) for c in codes])
    np.testing.assert_allclose(values(K9, w), expected, rtol=1e-12)
    total = mutual_info_score(None, None, contingency=counts(codes.mean(axis=0)))
    assert slip_value(K9, "no total correlation", w) == pytest.approx(expected - total, rel=1e-12)


def test_k10_two_halvings_of_the_error() -> None:
    """lambda = 4, D = 1: one bit, log 2 nats; noise added to x would need 1/2 log 5."""
    w = GaussianSource(4.0, 1.0, gain=0.75)
    for line in values(K10, w):
        np.testing.assert_allclose(line, [log(2), 1], rtol=1e-12)
    np.testing.assert_allclose(slip_value(K10, "noise added to x", w), [log(5) / 2, 1], rtol=1e-12)
    assert values(K10, GaussianSource(4.0, 1.0, gain=0.9))[3][0] > log(2)


def test_k11_and_k12_two_equal_pixels_by_hand() -> None:
    """x1 = x2 (nearly), a coin: H(x) = log 2, and they share log 2, which a silent code leaves to be paid."""
    near = 1e-9
    data = np.array([[0.5 - near, near], [near, 0.5 - near]])
    silent = np.full((2, 2, 2), 0.5)
    strong = TwoPixels(data, silent, data[..., None] * EVEN)
    for line in values(K11, strong):
        assert line == pytest.approx(log(2), abs=1e-6)
    weak = TwoPixelsApart(data, silent, np.full((2, 2, 2), 0.125))
    for line in values(K12, weak):
        assert line == pytest.approx(2 * log(2), abs=1e-6)
    assert slip_value(K12, "nothing shared", weak) == pytest.approx(log(2), abs=1e-6)


def test_k12_what_pixels_share_is_scikit_learns_mutual_information_within_each_state() -> None:
    """Tables of hundredths within each of two equally likely states of z."""
    within = np.array([[[0.4, 0.1], [0.2, 0.3]], [[0.05, 0.15], [0.5, 0.3]]])  # q(x1, x2 | z), (K, 2, 2)
    joint = 0.5 * within.transpose(1, 2, 0)
    data = joint.sum(axis=-1)
    w = TwoPixelsApart(data, joint / data[..., None], np.full((2, 2, 2), 0.125))
    shared = np.mean([mutual_info_score(None, None, contingency=counts(table)) for table in within])
    apart = values(K12, w)[2] - slip_value(K12, "nothing shared", w)
    assert apart == pytest.approx(shared, rel=1e-10)


def test_k13_quarter_turn_swaps_two_latents_by_hand() -> None:
    of = LinearWitness(
        LinearGaussian(np.array([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]]), np.zeros(3), 1.0),
        np.array([1.0, -1.0, 0.5]),
        MultivariateNormal(np.array([0.3, -0.2]), np.diag([0.25, 0.5])),
    )
    w = Turned(of, np.array([[0.0, -1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(w.q.loc, [0.2, 0.3], atol=1e-15)
    np.testing.assert_allclose(w.q.covariance, np.diag([0.5, 0.25]), atol=1e-15)
    for line in values(K13, w):
        assert line == pytest.approx(of.model.elbo(of.x, of.q), rel=1e-12)


# ------------------------------------------------------------------------------------------------ A11 and chapter M


def test_a11_matches_scipy_and_one_gaussian_by_hand() -> None:
    same = NoisyMixture(EVEN, np.array([1.0, 1.0]), np.array([2.0, 2.0]), 4.0, np.array([3.0, -1.0]))
    for line in values(A11, same):
        np.testing.assert_allclose(line, [2.0, 0.0], atol=1e-7)  # half way to the mean 1
    two = NoisyMixture(np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([0.5, 0.8]), 0.6, np.array([0.4]))
    noise = stats.norm(scale=np.sqrt(0.6))

    def joint(z: float) -> float:
        prior = 0.3 * stats.norm.pdf(z, -1, 0.5) + 0.7 * stats.norm.pdf(z, 2, 0.8)
        return float(prior * noise.pdf(0.4 - z))

    total, first = (integrate.quad(f, -8, 9, epsabs=1e-12, limit=200)[0] for f in (joint, lambda z: z * joint(z)))
    for line in values(A11, two):
        np.testing.assert_allclose(line, first / total, rtol=1e-6)


def test_m1_matches_scipy_conditioning() -> None:
    w = HalfSeen.draw(np.random.default_rng(4))
    covariance = w.model.loading @ w.model.loading.T + w.model.noise_variance * np.eye(5)
    joint = stats.multivariate_normal(w.model.offset, covariance)
    seen = stats.multivariate_normal(w.model.offset[w.seen], covariance[np.ix_(w.seen, w.seen)])
    expected = joint.logpdf(w.completed) - seen.logpdf(w.x[w.seen])
    for line in values(M1, w):
        np.testing.assert_allclose(line, expected, rtol=1e-9)


def test_m1_one_pixel_by_hand() -> None:
    """Two pixels x = z + noise, c = 1: correlation 1/2. Seen x_1 = 2, the other is N(1, 3/2)."""
    model = LinearGaussian(np.ones((2, 1)), np.zeros(2), 1.0)
    w = HalfSeen(model, np.array([2.0, 9.0]), np.array([0]), np.array([1]), np.array([[0.0], [1.0], [3.0]]))
    expected = stats.norm(1, np.sqrt(1.5)).logpdf([0, 1, 3])
    for line in values(M1, w):
        np.testing.assert_allclose(line, expected, rtol=1e-9)
    np.testing.assert_allclose(slip_value(M1, "the marginal", w), stats.norm(0, np.sqrt(2)).logpdf([0, 1, 3]))
    np.testing.assert_allclose(slip_value(M1, "one z plugged in", w), stats.norm(1, 1).logpdf([0, 1, 3]))
    np.testing.assert_allclose(slip_value(M1, "zeros encoded", w), stats.norm(2 / 3, np.sqrt(4 / 3)).logpdf([0, 1, 3]))


TINY = Chain(EVEN, np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([[0.9, 0.1], [0.3, 0.7]]), 0, CODES)


def stationary(kernel: np.ndarray) -> np.ndarray:
    """The left eigenvector of eigenvalue one, by LAPACK."""
    eigenvalues, vectors = np.linalg.eig(kernel.T)
    vector = np.real(vectors[:, np.argmin(np.abs(eigenvalues - 1))])
    return vector / vector.sum()


def test_m2_by_hand_and_eigenvector() -> None:
    """p(z | x_o = 0) = (2/3, 1/3), so x_m = 0 has probability 2/3 0.9 + 1/3 0.3 = 0.7."""
    for line in values(M2, TINY):
        np.testing.assert_allclose(line, [0.7, 0.3], rtol=1e-12)
    np.testing.assert_allclose(stationary(transition(TINY)), [0.7, 0.3], rtol=1e-10)
    pseudo = stationary(transition(TINY, TINY.encoder))
    np.testing.assert_allclose(slip_value(M2, "pseudo-Gibbs in the long run", TINY), pseudo, rtol=1e-10)
    assert abs(pseudo[0] - 0.7) > 0.02


def test_m3_eigenvector_is_the_joint_posterior() -> None:
    w = Chain.draw(np.random.default_rng(6))
    kernel = sweep(w, move(w))
    np.testing.assert_allclose(kernel.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(stationary(kernel).reshape(4, 5), w.target, rtol=1e-9)
    for line in values(M3, w):
        np.testing.assert_allclose(line, w.target, rtol=1e-9)


def test_m4_matches_scipy_for_a_line_and_integration_for_a_curve() -> None:
    straight = CurvedGaussian(np.array([1.0, -0.5, 0.8]), np.zeros(3), np.array([0.2, 0.4, -0.3]), 0.3)
    w = PartSeen(straight, np.array([0.7, 5.0, -0.4]), Normal(0.3, 0.5), missing=1)
    rows = np.array([1.0, 0.8])
    law = stats.multivariate_normal([0.2, -0.3], np.outer(rows, rows) + 0.3 * np.eye(2))
    *lines, bound = values(M4, w)
    np.testing.assert_allclose(lines, law.logpdf([0.7, -0.4]), rtol=1e-9)
    seen = LinearGaussian(rows[:, None], np.array([0.2, -0.3]), 0.3)
    code = MultivariateNormal(np.array([0.3]), np.array([[0.25]]))
    assert bound == pytest.approx(float(seen.elbo(np.array([0.7, -0.4]), code)), rel=1e-10)
    bent = PartSeen.draw(np.random.default_rng(1))

    def joint(z: float) -> float:
        mean = bent.model.decoder(z)[bent.seen]
        sd = np.sqrt(bent.model.noise_variance)
        return float(stats.norm.pdf(z) * np.prod(stats.norm.pdf(bent.x[bent.seen], mean, sd)))

    expected = np.log(integrate.quad(joint, -9, 9, epsabs=1e-14, limit=200)[0])
    np.testing.assert_allclose(values(M4, bent)[:4], expected, rtol=1e-8)


def test_m5_enumeration_matches_every_sequence_of_draws() -> None:
    w = Resampling(np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.3, 0.4]))
    law = np.zeros(3)
    for draws in product(range(3), repeat=6):
        weights = w.weights[list(draws)]
        law += np.prod(w.proposal[list(draws)]) * np.bincount(draws, weights / weights.sum(), minlength=3)
    np.testing.assert_allclose(resampled(w, 6), 6 * (law - w.target), rtol=1e-10)


def test_m5_limit_by_hand() -> None:
    """Weights 5/3, 1, 1/2; chi-square 5/6 + 3/10 + 1/10 - 1 = 7/30."""
    w = Resampling(np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.3, 0.4]))
    expected = np.array([0.5 * (7 / 30 - 2 / 3), 0.3 * 7 / 30, 0.2 * (7 / 30 + 1 / 2)])
    assert expected.sum() == pytest.approx(0, abs=1e-15)
    for line in values(M5, w):
        np.testing.assert_allclose(line, expected, atol=1e-4)
