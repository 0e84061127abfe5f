"""The second half of chapter F, and chapter G, against numbers from elsewhere: scipy, autograd, arithmetic by hand.

The coin of these tests: z in {0, 1} with p(z) = (1/2, 1/2), p(x = 1 | z) = (1/4, 3/4). So p(x = 1) = 1/2 and
p(z | x = 1) = (1/4, 3/4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import integrate, optimize, stats

from vaelib.derivation import Derivation
from vaelib.distributions import Categorical, Normal
from vaelib.ledger import f_beyond, g_em
from vaelib.ledger.f_beyond import F17, F18, F19, F21, F22, Bent, Candidates, Encoders, Tables, TwoLayers
from vaelib.ledger.g_em import (
    F14,
    F15,
    G1,
    G2,
    G4,
    G6,
    G7,
    G9,
    G11,
    G12,
    Amortized,
    Clusters,
    DiscreteFamily,
    MixtureData,
    PCAData,
    Target,
    TwoFactors,
    TwoModels,
    both_steps,
)
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian
from vaelib.witnesses import CurvedWitness

ALL = f_beyond.CHAPTER + g_em.CHAPTER
log = np.log
COIN = DiscreteLatent(np.array([0.5, 0.5]), np.array([[0.75, 0.25], [0.25, 0.75]]))


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every line on one witness; of a limit, at half its step."""
    results = (line.evaluate(witness, line.step and line.step / 2) for line in derivation.lines)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return getattr(result, "value", result)


def categorical(*p: float) -> Categorical:
    return Categorical(log(np.array(p)))


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(witnesses=5, seed=3)
    assert report.holds, str(report)
    numerical = any(line.step is not None for line in derivation.lines)  # there 2/3 is what halving a step leaves
    limit = 0.7 if numerical else 0.5
    assert report.worst.ratio < limit or settled(derivation, witnesses=5, seed=3).worst.ratio < limit
    assert [result.slip.name for result in report.slips if not result.rejected] == []


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_table_is_readable(derivation: Derivation) -> None:
    report = derivation.check(witnesses=1)
    bars = {line.count("|") for line in report.table._repr_markdown_().splitlines() if line.startswith("|")}
    assert bars == {8}
    assert all(len(line.reason) <= 60 for line in derivation.lines)
    assert all(slip.says.startswith("It looks like ") and len(slip.says) < 150 for slip in derivation.slips)
    assert derivation.source and derivation.assumptions


# ---------------------------------------------------------------------------------- the bound, beyond its routes


def test_f17_bound_matches_the_toy() -> None:
    toy = CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5)
    w = Bent(toy, np.array([1.0]), Normal(0.3, 0.4), 0.35)
    for line in values(F17, w):
        assert line == pytest.approx(-1.913655675, abs=1e-9)
    # with the Jacobian on q only, the bound loses E_q[log g'(u)]
    roots = optimize.root_scalar(lambda u: u + 0.35 * u**3 - 0.3, bracket=(-2, 2))
    assert w.z(np.array(roots.root)) == pytest.approx(0.3)
    lost, _ = integrate.quad(
        lambda u: stats.norm.pdf(u + 0.35 * u**3, 0.3, 0.4) * (1 + 1.05 * u**2) * log(1 + 1.05 * u**2), -3, 3
    )
    assert slip_value(F17, "Jacobian on q only", w) == pytest.approx(-1.913655675 - lost, abs=1e-8)


def test_f18_by_hand_when_encoder_and_data_fit_the_model() -> None:
    exact = np.array([[0.75, 0.25], [0.25, 0.75]])  # the posterior, one row for each x
    fitting = Tables(COIN, np.array([0.5, 0.5]), exact)
    np.testing.assert_allclose(values(F18, fitting), 0.0, atol=1e-15)
    # without z in the encoder: E KL(1/2, 1/2 || 1/4, 3/4) = log(2 / sqrt 3)
    blind = Tables(COIN, np.array([0.5, 0.5]), np.full((2, 2), 0.5))
    np.testing.assert_allclose(values(F18, blind)[:4], log(2 / np.sqrt(3)), rtol=1e-14)
    assert values(F18, blind)[4] == pytest.approx(0.0, abs=1e-15)
    skewed = replace(blind, data=np.array([0.2, 0.8]))
    entropy = stats.entropy([0.2, 0.8])
    assert slip_value(F18, "plus the entropy of the data", skewed) == pytest.approx(
        float(values(F18, skewed)[0]) + 2 * entropy, rel=1e-13
    )


def test_f19_matches_scipy_entropies() -> None:
    biased = DiscreteLatent(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.5, 0.5]]))
    w = Candidates(np.array([3, 1]), (COIN, biased, COIN, biased, COIN))
    expected = np.array([log(0.5), 0.75 * log(0.2) + 0.25 * log(0.8)])[[0, 1, 0, 1, 0]]
    for line in values(F19, w)[:4]:
        np.testing.assert_allclose(line, expected, rtol=1e-14)
    kl = np.array([stats.entropy([0.75, 0.25], p) for p in ([0.5, 0.5], [0.2, 0.8])])
    np.testing.assert_allclose(values(F19, w)[4], -kl[[0, 1, 0, 1, 0]], rtol=1e-13)
    np.testing.assert_allclose(
        slip_value(F19, "mean under the model", w)[:2], [-stats.entropy([0.5, 0.5]), -stats.entropy([0.2, 0.8])]
    )


def test_f21_by_hand() -> None:
    # z1 copies z2 with probability 3/4 in p, always uniform in q; x says nothing about z1 beyond the coin
    w = TwoLayers(
        np.array([0.5, 0.5]),
        np.array([[0.75, 0.25], [0.25, 0.75]]),
        np.array([[0.75, 0.25], [0.25, 0.75]]),
        1,
        np.array([0.25, 0.75]),
        np.full((2, 2), 0.5),
    )
    log_likelihood = 0.5 * log(0.25) + 0.5 * log(0.75)
    kl_2 = 0.25 * log(0.5) + 0.75 * log(1.5)
    kl_1 = log(2 / np.sqrt(3))
    for line in values(F21, w)[:4]:
        assert line == pytest.approx(log_likelihood - kl_2 - kl_1, rel=1e-13)
    assert values(F21, w)[4] == pytest.approx(log(0.5), rel=1e-13)
    assert slip_value(F21, "inner KL not averaged", w) == pytest.approx(log_likelihood - kl_2 - 2 * kl_1, rel=1e-13)
    assert slip_value(F21, "marginals only", w) == pytest.approx(log_likelihood - kl_2, rel=1e-13)


def test_f22_matches_a_numerical_search_for_each_x() -> None:
    w = Encoders.draw(np.random.default_rng(8))
    m = w.model
    sigma_x = m.loading @ m.loading.T + m.noise_variance * np.eye(3)
    covariance = np.eye(2) - m.loading.T @ np.linalg.solve(sigma_x, m.loading)
    gaps, constant = [], []
    locs = (w.x - m.offset) @ np.linalg.solve(sigma_x, m.loading)

    def kl(p: np.ndarray, loc: np.ndarray) -> float:
        s, precision = np.exp(p[2:]), np.linalg.inv(covariance)
        log_det = np.linalg.slogdet(covariance)[1] - 2 * p[2:].sum()
        return 0.5 * float((p[:2] - loc) @ precision @ (p[:2] - loc) + np.diag(precision) @ s**2 - 2 + log_det)

    for loc in locs:
        gaps.append(optimize.minimize(kl, np.zeros(4), (loc,)).fun)
    constant = optimize.minimize(lambda p: np.mean([kl(p, loc) for loc in locs]), np.zeros(4)).fun
    first, second, third, last = values(F22, w)
    np.testing.assert_allclose([first, second, third], np.mean(gaps), rtol=1e-7)
    assert last == pytest.approx(constant, rel=1e-7)
    same = Encoders.one_x(np.random.default_rng(8))  # a single x: the constant encoder loses nothing
    assert values(F22, same)[3] == pytest.approx(float(values(F22, same)[0]), rel=1e-12)


# --------------------------------------------------------------------------------------------- expectation steps


def test_g1_on_the_coin() -> None:
    w = DiscreteFamily(COIN, 1, (categorical(0.5, 0.5),) * 6)
    free, split, evidence, touch = values(G1, w)
    np.testing.assert_allclose(free, 0.5 * log(0.125) + 0.5 * log(0.375) + log(2), rtol=1e-14)
    np.testing.assert_allclose(split, log(0.5) - log(2 / np.sqrt(3)), rtol=1e-14)
    np.testing.assert_allclose(evidence, log(0.5), rtol=1e-14)
    np.testing.assert_allclose(touch, log(0.5), rtol=1e-14)
    np.testing.assert_allclose(slip_value(G1, "prior as the E step", w), free, rtol=1e-14)  # here q was the prior


def test_g2_by_hand() -> None:
    flat = DiscreteLatent(np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.5, 0.5]]))
    w = TwoModels(old=flat, new=DiscreteLatent(np.array([0.2, 0.8]), COIN.likelihood), x=1)
    # old: p(x) = 1/2, posterior (1/2, 1/2); new: joints 0.05 and 0.6, p(x) = 0.65
    assert values(G2, w)[:4] == pytest.approx([log(1.3)] * 4, rel=1e-13)
    gain = 0.5 * log(0.05) + 0.5 * log(0.6) - log(0.25)
    assert values(G2, w)[4] == pytest.approx(gain, rel=1e-13)
    kl = stats.entropy([0.5, 0.5], [0.05 / 0.65, 0.6 / 0.65])
    assert slip_value(G2, "minus KL", w) == pytest.approx(gain - kl, rel=1e-13)


def test_g4_matches_the_closed_form_of_a_straight_decoder() -> None:
    toy = CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5)
    w = CurvedWitness(toy, np.array([1.0]), Normal(0.3, 0.4))
    # log N(x; b, 4 + c): slope in b is x / 4.5, in log c it is c (x^2 / 4.5^2 - 1 / 4.5) / 2
    expected = [1 / 4.5, 0.5 * (1 / 4.5**2 - 1 / 4.5) / 2]
    exact = [1, 2]
    for i, line in enumerate(values(G4, w)):
        np.testing.assert_allclose(line, expected, rtol=1e-9 if i in exact else 1e-5)


# -------------------------------------------------------------------------------------------- maximization steps


def test_g6_maximum_is_found_by_a_numerical_search() -> None:
    w = MixtureData.draw(np.random.default_rng(4))

    def minus_q(p: np.ndarray) -> float:
        logits, loc, log_scale = p[:3], p[3:9].reshape(3, 2), p[9:]
        terms = np.column_stack(
            [
                stats.multivariate_normal(m, np.exp(2 * s) * np.eye(2)).logpdf(w.x)
                for m, s in zip(loc, log_scale, strict=True)
            ]
        )
        log_weights = logits - np.logaddexp.reduce(logits)
        return -float(np.mean(np.sum(w.responsibilities * (terms + log_weights), axis=1)))

    found = optimize.minimize(minus_q, np.concatenate([log(w.weights), w.loc.ravel(), log(w.scale)]))
    q_values = values(G6, w)
    assert q_values[0] == pytest.approx(q_values[1], rel=1e-13)
    assert np.all(np.diff(q_values[1:5]) > 0)
    assert q_values[4] == pytest.approx(-found.fun, abs=1e-8)
    assert q_values[5] == pytest.approx(-found.fun, abs=1e-8)


def test_g7_climbs_to_the_likelihood_of_scikit_learns_eigenvalues() -> None:
    w = PCAData.draw(np.random.default_rng(6))
    eigenvalues = np.sort(np.linalg.svd(w.x, compute_uv=False) ** 2 / 12)[::-1]
    c = eigenvalues[2:].mean()
    u = np.linalg.svd(w.x)[2][:2].T
    covariance = u @ np.diag(eigenvalues[:2] - c) @ u.T + c * np.eye(4)
    top = stats.multivariate_normal(np.zeros(4), covariance).logpdf(w.x).mean()
    line_values = values(G7, w)
    assert line_values[5:] == pytest.approx([top] * 3, rel=1e-12)
    assert line_values[0] == pytest.approx(
        stats.multivariate_normal(np.zeros(4), w.loading @ w.loading.T + w.noise_variance * np.eye(4))
        .logpdf(w.x)
        .mean(),
        rel=1e-12,
    )
    assert np.all(np.diff(line_values[:6]) > -1e-12)


def test_g9_on_two_clusters_by_hand() -> None:
    # one point at 0, unit clusters at -1 and 1 (d = 2): equal densities, so the posterior is the weights
    w = MixtureData(
        np.array([0.25, 0.75]),
        np.array([[-1.0, 0.0], [1.0, 0.0]]),
        np.array([1.0, 1.0]),
        np.array([[0.0, 0.0], [0.0, 2.0]]),
        np.full((2, 2), 0.5),
    )
    log_evidence = -log(2 * np.pi) - 0.5 * np.mean([1.0, 5.0])
    gap = stats.entropy([0.5, 0.5], [0.25, 0.75])
    line_values = values(G9, w)
    np.testing.assert_allclose(line_values[:3], log_evidence - gap, rtol=1e-13)
    np.testing.assert_allclose(line_values[3:5], log_evidence, rtol=1e-13)
    # after the M step both clusters sit at (0, 1) with variance 1/2: the responsibilities are exact again
    np.testing.assert_allclose(line_values[5:], -log(np.pi) - 1.0, rtol=1e-13)


def test_g11_gradient_steps_match_autograd() -> None:
    w = Amortized.draw(np.random.default_rng(2))
    names = ("a_matrix", "a", "log_scale", "loading", "offset")
    p = {name: torch.tensor(getattr(w, name).copy(), requires_grad=True) for name in names}

    def bound() -> torch.Tensor:
        loc = torch.tensor(w.x) @ p["a_matrix"].T + p["a"]
        scale = torch.exp(p["log_scale"])
        q = torch.distributions.Normal(loc, scale.expand(loc.shape))
        kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
        residual = torch.tensor(w.x) - loc @ p["loading"].T - p["offset"]
        square = (residual**2).sum(1) + (p["loading"] ** 2 * scale**2).sum()
        c = w.noise_variance
        return (-1.5 * np.log(2 * np.pi * c) - square / (2 * c) - kl).mean()

    assert bound().item() == pytest.approx(w.bound, rel=1e-12)
    for group in (names[:3], names[3:]):  # first the encoder, then the decoder
        gradients = torch.autograd.grad(bound(), [p[name] for name in group])
        for name, gradient in zip(group, gradients, strict=True):
            p[name] = (p[name] + w.rate * gradient).detach().requires_grad_()
    assert bound().item() == pytest.approx(both_steps(w).bound, rel=1e-12)
    assert values(G11, w)[2] == pytest.approx(bound().item(), rel=1e-12)


def test_g11_starts_at_the_maximum_of_the_evidence() -> None:
    w = Amortized.draw(np.random.default_rng(2))
    start = w.model.log_evidence(w.x).mean()
    for seed in range(5):
        step = 0.01 * np.random.default_rng(seed).standard_normal(w.loading.shape)
        assert LinearGaussian(w.loading + step, w.offset, w.noise_variance).log_evidence(w.x).mean() < start


def test_g12_counts_the_nearest_center() -> None:
    w = Clusters(np.array([0.7, 0.3]), np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([[1.0, 0.0], [1.9, 5.0]]))
    for line in values(G12, w):
        np.testing.assert_allclose(line, [[1.0, 0.0], [0.0, 1.0]], atol=1e-12)
    shared = slip_value(G12, "variance one", w)
    odds = 0.7 / 0.3 * np.exp((4 - 1) / 2)  # squared distances 1 and 4
    assert shared[0, 0] == pytest.approx(odds / (1 + odds), rel=1e-13)
    assert np.all(slip_value(G12, "weights for distances", w) == [1.0, 0.0])


# ---------------------------------------------------------------------------------------------------- mean field


def test_f14_by_hand() -> None:
    # log joint: means over q2 = (1/2, 1/2) are the logs of geometric means, 0.12 and 0.06
    w = TwoFactors(np.array([[0.36, 0.04], [0.09, 0.04]]), np.array([0.5, 0.5]), np.full((6, 2), 0.5))
    np.testing.assert_allclose(w.best, [2 / 3, 1 / 3], rtol=1e-14)
    expected = 0.5 * log(0.12 * 0.06) + 2 * log(2)
    np.testing.assert_allclose(values(F14, w)[:3], np.full((3, 6), expected), rtol=1e-13)
    np.testing.assert_allclose(values(F14, w)[3], log(0.18) + log(2), rtol=1e-13)
    marginal = np.array([0.2, 0.065]) / 0.265  # of E[p] under q2, here also of the joint
    assert slip_value(F14, "logarithm of the mean", w)[0] == pytest.approx(w.bound(marginal), rel=1e-13)


def test_f15_with_correlation_one_half() -> None:
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)  # 1 / L_jj = 1 - 2/3 * 1/2 = 2/3
    w = Target(np.array([1.0, -2.0, 0.5]), correlation, np.zeros(3))
    for line in values(F15, w)[:3]:
        np.testing.assert_allclose(line.T, [[1.0, -2.0, 0.5], [2 / 3] * 3], rtol=1e-12)
    np.testing.assert_allclose(values(F15, w)[3][:, 1], 1.0)
    assert not np.allclose(slip_value(F15, "stopped after one sweep", w)[:, 0], w.loc)


def test_every_slip_of_em_that_is_a_model_stays_a_model() -> None:
    """A slip is wrong in value, not because it raises."""
    for derivation in ALL:
        for result in derivation.check(witnesses=2, seed=1).slips:
            assert result.error == "", (derivation.id, result)


def test_mixture_witness_is_generic() -> None:
    for seed in range(20):
        w = MixtureData.draw(np.random.default_rng(seed))
        assert np.abs(w.means - w.loc).max() > 0.1 and w.responsibilities.min() > 0.01
