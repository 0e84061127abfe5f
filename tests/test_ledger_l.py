"""Chapter L, with I2 and I4, against numbers from elsewhere: scikit-learn, scipy.optimize, torch, arithmetic by hand.

By hand: two observations (3, 0), (-3, 0) and two (0, 1), (0, -1) have mean 0 and S = diag(9/2, 1/2). With one latent
the discarded eigenvalue is c = 1/2, and the loading (2, 0).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import optimize, stats
from sklearn.decomposition import PCA

from vaelib.derivation import Derivation
from vaelib.distributions import DiagonalNormal, Normal
from vaelib.ledger import l_linear
from vaelib.ledger.l_linear import (
    I2,
    I4,
    L1,
    L2,
    L3,
    L4,
    L5,
    L6,
    L7,
    L8,
    Directions,
    LinearVAE,
    Turned,
    WrongChoice,
    difference,
    generic_data,
    maximum,
    spectrum,
)
from vaelib.models import CurvedGaussian, LinearGaussian
from vaelib.witnesses import CurvedFamily

ALL = l_linear.CHAPTER
CROSS = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
LOG_2PI = np.log(2 * np.pi)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The value of every deterministic line on one witness; a line with a step takes its own."""
    results = [line.evaluate(witness) for line in derivation.lines if line.samples is None]
    return [np.asarray(getattr(result, "value", result)) for result in results]


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    (slip,) = (s for s in derivation.slips if s.name == name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return np.asarray(getattr(result, "value", result))


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(seed=3)
    assert report.holds, str(report)
    assert report.worst.ratio < 0.5 or settled(derivation, seed=3).worst.ratio < 0.5  # far from a false alarm
    assert [result.slip.name for result in report.slips if not result.rejected] == []


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_table_is_readable(derivation: Derivation) -> None:
    report = derivation.check(witnesses=1)
    bars = {line.count("|") for line in report.table._repr_markdown_().splitlines() if line.startswith("|")}
    assert bars == {8}  # no bar of a formula or a reason ends a cell
    assert all(0 < len(line.reason) <= 60 for line in derivation.lines[1:])
    assert all(slip.says.startswith("It looks like ") and len(slip.says) < 150 for slip in derivation.slips)


# ------------------------------------------------------------------------------------------------ tools of the chapter


def test_generic_data_has_separated_eigenvalues() -> None:
    for seed in range(20):
        eigenvalues, directions = spectrum(generic_data(rng(seed)))
        ratios = eigenvalues[:-1] / eigenvalues[1:]
        assert 1.34 < ratios.min() and ratios.max() < 2.02
        np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-12)


def test_spectrum_and_maximum_match_arithmetic_and_scikit_learn() -> None:
    eigenvalues, directions = spectrum(CROSS)
    np.testing.assert_allclose(eigenvalues, [4.5, 0.5], rtol=1e-14)
    np.testing.assert_allclose(np.abs(directions), np.eye(2), atol=1e-14)
    top = maximum(CROSS, k=1)
    np.testing.assert_allclose(top.loading[:, 0], [2, 0], atol=1e-14)
    assert top.noise_variance == pytest.approx(0.5, rel=1e-14)
    x = generic_data(rng(4))
    by_library = PCA(2).fit(x).get_covariance() * (len(x) - 1) / len(x)
    np.testing.assert_allclose(maximum(x).evidence.covariance, by_library, rtol=1e-10)


@pytest.mark.parametrize(("order", "derivative"), [(1, np.cos(0.3)), (2, -np.sin(0.3))])
def test_difference_matches_the_derivative_and_shrinks_with_the_fourth_power(order: int, derivative: float) -> None:
    errors = [difference(lambda t: np.sin(0.3 + t), h, order).value - derivative for h in (0.2, 0.1)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)
    fine = difference(lambda t: np.sin(0.3 + t), 1e-4, order)
    assert abs(fine.value - derivative) < fine.error < 1e-6


# ------------------------------------------------------------------------------------------------ encoder, I2 and I4


def test_i2_best_encoder_matches_a_search() -> None:
    """scipy.optimize over V, a, log s of the mean bound finds what the formula says."""
    w = LinearVAE.draw(rng(1), d=3)

    def minus_bound(p: np.ndarray) -> float:
        loc = w.x @ p[:6].reshape(2, 3).T + p[6:8]
        return -float(np.mean(w.model.elbo(w.x, DiagonalNormal(loc, np.broadcast_to(np.exp(p[8:]), loc.shape)))))

    found = optimize.minimize(minus_bound, np.zeros(10), method="BFGS", options={"gtol": 1e-7})
    generic, best, full, evidence = values(I2, w)
    assert -found.fun == pytest.approx(float(best), abs=1e-8)
    m = w.model.loading.T @ w.model.loading + w.model.noise_variance * np.eye(2)
    np.testing.assert_allclose(found.x[:6].reshape(2, 3), np.linalg.inv(m) @ w.model.loading.T, atol=1e-4)
    np.testing.assert_allclose(np.exp(2 * found.x[8:]), w.model.noise_variance / np.diag(m), rtol=1e-4)
    assert generic < best < full
    law = stats.multivariate_normal(w.model.offset, w.model.evidence.covariance)
    assert float(evidence) == pytest.approx(law.logpdf(w.x).mean(), rel=1e-12)


def test_i4_entropy_matches_scipy_and_kl_torch() -> None:
    w = LinearVAE.draw(rng(2), d=3)
    bound, split, closed, minus_entropy = values(I4, w)
    law = stats.multivariate_normal(w.model.offset, w.model.evidence.covariance)
    assert float(minus_entropy) == pytest.approx(-law.entropy(), rel=1e-12)
    np.testing.assert_allclose([bound, split], [closed, closed], rtol=1e-11)
    # the mean KL from torch, over a large sample of x: 4.5 standard errors
    x = law.rvs(20_000, random_state=5)
    post, q = w.model.posterior(x), replace(w, x=x).q
    p = torch.distributions.MultivariateNormal(torch.tensor(post.loc), torch.tensor(np.array(post.covariance)))
    guess = torch.distributions.MultivariateNormal(torch.tensor(q.loc), torch.diag(torch.tensor(w.scale**2)))
    kl = torch.distributions.kl_divergence(guess, p).numpy()
    assert abs(kl.mean() - float(minus_entropy - closed)) < 4.5 * kl.std() / np.sqrt(len(x))


# ------------------------------------------------------------------------------------------------ pPCA, L1 to L3


def test_l1_gradient_matches_torch_autograd() -> None:
    w = Turned.draw(rng(3))
    x = torch.tensor(w.x)
    parts = [torch.tensor(np.asarray(a), requires_grad=True) for a in (w.model.loading, w.model.offset)]
    c = torch.tensor(w.model.noise_variance, dtype=torch.float64, requires_grad=True)
    sigma = parts[0] @ parts[0].T + c * torch.eye(5, dtype=torch.float64)
    torch.distributions.MultivariateNormal(parts[1], sigma).log_prob(x).mean().backward()
    gradient = np.concatenate([p.grad.numpy().ravel() for p in (*parts, c)])  # type: ignore[union-attr]
    by_differences, closed, at_maximum = values(L1, w)
    np.testing.assert_allclose(closed[:16], gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(by_differences, closed, atol=1e-6)
    np.testing.assert_allclose(at_maximum[16:], 0)


def test_l2_by_hand_and_by_scikit_learn() -> None:
    w = LinearVAE.draw(rng(5))
    hand = replace(w, x=CROSS, model=LinearGaussian(np.array([[1.0], [0.5]]), np.zeros(2), 0.7))
    np.testing.assert_allclose(values(L2, hand)[:3], -0.5 * (2 * LOG_2PI + np.log(4.5 * 0.5) + 2), rtol=1e-13)
    at_maximum, trace, formula, other = values(L2, w)
    covariance = PCA(2).fit(w.x).get_covariance() * (len(w.x) - 1) / len(w.x)
    best = stats.multivariate_normal(w.x.mean(axis=0), covariance).logpdf(w.x).mean()
    np.testing.assert_allclose([at_maximum, trace, formula], best, rtol=1e-12)
    assert other < best
    assert slip_value(L2, "trace forgotten", w) == pytest.approx(best + 5 / 2, rel=1e-12)


def test_l3_maximum_matches_a_search_over_linear_vaes() -> None:
    """Gradient ascent of the exact bound in torch, encoder and decoder free, ends at the eigenvalue formula."""
    w = LinearVAE.draw(rng(6))
    x = torch.tensor(w.x)
    start = [w.model.loading, w.model.offset, 0.0, w.weight, w.bias, np.log(w.scale)]
    p = [torch.tensor(np.asarray(a, dtype=float).copy(), requires_grad=True) for a in start]
    optimizer = torch.optim.LBFGS(p, max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        loading, offset, log_c, weight, bias, log_s = p
        loc, c, s = x @ weight.T + bias, log_c.exp(), log_s.exp()
        square = ((x - loc @ loading.T - offset) ** 2).sum(1) + ((loading**2) * s**2).sum()
        kl = 0.5 * (loc**2 + s**2 - 1 - 2 * log_s).sum(1)
        value = (2.5 * (LOG_2PI + log_c) + square / (2 * c) + kl).mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert -float(loss().detach()) == pytest.approx(float(values(L3, w)[0]), abs=1e-6)


# ------------------------------------------------------------------------------------------------ threshold, L4 to L8


def test_l4_threshold_by_hand() -> None:
    """One eigenvalue at 4.5, beta c = 1.5: w^2 = 3, and the profile at lambda/m + log(m / beta c) = 1 + log 3."""
    x = np.concatenate([CROSS, -CROSS])
    w = Directions(x, 0.75, 2.0, np.array([1.0]), np.array([0.4]), np.array([0.5]), np.array([[1.0], [0.2]]))
    rest = 0.5 / 1.5  # the direction without a latent
    expected = -(LOG_2PI + np.log(0.75)) - (1 + np.log(3.0) + rest)
    assert float(values(L4, w)[2]) == pytest.approx(expected, rel=1e-14)
    model = LinearGaussian(np.array([[np.sqrt(3.0)], [0.0]]), np.zeros(2), 0.75)
    q = DiagonalNormal(x[:, :1] * np.sqrt(3.0) / 4.5, np.full((8, 1), np.sqrt(1.5 / 4.5)))
    bound = model.expected_log_likelihood(x, q) - 2.0 * 0.5 * np.sum(q.loc**2 + q.scale**2 - 1 - np.log(q.scale**2), 1)
    assert bound.mean() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_l4_best_loading_matches_a_search(seed: int) -> None:
    w = Directions.draw(rng(seed))

    def minus_bound(loading: np.ndarray) -> float:
        return -float(L4.lines[1].evaluate(replace(w, loading=loading)))

    found = optimize.minimize(minus_bound, np.ones(3), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7})
    expected = np.maximum(spectrum(w.x)[0][:3] - w.threshold, 0)
    assert 0 < np.sum(expected > 0) < 3  # some direction lives, some is dead
    np.testing.assert_allclose(found.x**2, expected, atol=2e-3)
    assert -found.fun == pytest.approx(float(values(L4, w)[2]), abs=1e-6)


def test_l5_by_hand() -> None:
    w = LinearVAE.draw(rng(7), d=3)
    w = replace(w, model=replace(w.model, noise_variance=1.0))  # c = 1: the curvature is lambda - 1
    eigenvalues = np.linalg.eigvalsh(np.cov(w.x.T, bias=True))[::-1]
    for line in values(L5, w):
        np.testing.assert_allclose(line, eigenvalues - 1, atol=1e-5)
    np.testing.assert_allclose(slip_value(L5, "encoder frozen", w), -1.0, atol=1e-7)


def test_l6_constant_decoder_by_hand() -> None:
    model = CurvedGaussian(np.zeros(2), np.zeros(2), np.array([1.0, -1.0]), 0.5)
    family = CurvedFamily(model, np.array([1.5, -1.0]), (Normal(0.0, 1.0), Normal(1.0, 1.0), Normal(0.0, 0.5)))
    log_p = -LOG_2PI - np.log(0.5) - 0.25
    expected = log_p - np.array([0.0, 0.5, 0.5 * (0.25 - 1 + 2 * np.log(2))])
    for line in values(L6, family)[:3]:
        np.testing.assert_allclose(line, expected, atol=1e-10)
    np.testing.assert_allclose(slip_value(L6, "sign of the mean", family)[1], log_p + 0.5, rtol=1e-12)


def test_l7_cost_of_a_rotation_by_hand() -> None:
    """Columns of squared length 3 and 1, c = 1: M = diag(4, 2); at 45 degrees both diagonal entries are 3."""
    w = LinearVAE.draw(rng(8))
    loading = np.zeros((5, 2))
    loading[0, 0], loading[1, 1] = np.sqrt(3.0), 1.0
    w = replace(w, model=LinearGaussian(loading, np.zeros(5), 1.0), angle=np.pi / 4)
    evidence, turned, full, diagonal = values(L7, w)
    np.testing.assert_allclose([turned, full], evidence, rtol=1e-12)
    assert float(full - diagonal) == pytest.approx(0.5 * np.log(9 / 8), rel=1e-10)


def test_l8_saddle_by_hand() -> None:
    """The cross, made larger: keeping 2 of the eigenvalues (8, 2, ...) instead of 8 has curvature (8 - 2) / (2 c)."""
    x = np.concatenate([s * np.diag(np.sqrt(5 * np.array([8.0, 4.0, 2.0, 1.0, 0.9]))) for s in (1, -1)])
    w = WrongChoice(x, (2, 3), 0.5)
    by_differences, matrices, formula = values(L8, w)
    moves = [(i, j) for i in (2.0, 1.0) for j in (8.0, 4.0, 0.9)]
    expected = [(j - i) / (0.5 * i) for i, j in moves]
    np.testing.assert_allclose(formula[..., 0], 0)
    np.testing.assert_allclose(formula[..., 1].ravel(), expected, rtol=1e-12)
    np.testing.assert_allclose(matrices, formula, atol=1e-12)
    np.testing.assert_allclose(by_differences, formula, atol=1e-5)
