"""E and M steps against scipy, scikit-learn, autograd, and arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as ScikitMixture

from vaelib.distributions import MultivariateNormal
from vaelib.em import (
    GaussianMixture,
    mixture_bound,
    mixture_e_step,
    mixture_m_step,
    ppca_e_step,
    ppca_m_step,
    ppca_maximum,
)
from vaelib.models import LinearGaussian

MIXTURE = GaussianMixture([0.2, 0.5, 0.3], [[-1.0, 0.5], [1.5, 1.0], [0.5, -2.0]], [0.6, 0.9, 1.3])


def data(n: int = 25, seed: int = 0) -> np.ndarray:
    return MIXTURE.sample(n, rng=np.random.default_rng(seed))[1]


def some_responsibilities(n: int = 25, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([1.0, 2.0, 3.0], n)


def linear_data(n: int = 40, seed: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    model = LinearGaussian(rng.normal(0, 1, (4, 2)), np.array([1.0, -2.0, 0.5, 3.0]), 0.4)
    return model.sample(n, rng=rng)[1]


# --------------------------------------------------------------------------------------------------------- mixtures


def test_mixture_densities_match_scipy() -> None:
    x = data()
    joint = np.column_stack(
        [
            w * stats.multivariate_normal(m, s**2 * np.eye(2)).pdf(x)
            for w, m, s in zip(MIXTURE.weights, MIXTURE.loc, MIXTURE.scale, strict=True)
        ]
    )
    np.testing.assert_allclose(MIXTURE.log_joint(x), np.log(joint), rtol=1e-12)
    np.testing.assert_allclose(MIXTURE.log_evidence(x), np.log(joint.sum(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(mixture_e_step(MIXTURE, x), joint / joint.sum(axis=1, keepdims=True), rtol=1e-12)


def test_mixture_samples_have_the_moments_of_the_mixture() -> None:
    z, x = MIXTURE.sample(200_000, rng=np.random.default_rng(3))
    np.testing.assert_allclose(np.bincount(z) / len(z), MIXTURE.weights, atol=5e-3)
    np.testing.assert_allclose(x.mean(axis=0), MIXTURE.weights @ MIXTURE.loc, atol=0.02)
    np.testing.assert_allclose(x[z == 2].std(axis=0), 1.3, atol=0.02)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_round_of_mixture_em_matches_scikit_learn() -> None:
    x = data(60)
    start = ScikitMixture(
        3,
        covariance_type="spherical",
        weights_init=MIXTURE.weights,
        means_init=MIXTURE.loc,
        precisions_init=1 / MIXTURE.scale**2,
        max_iter=1,
        reg_covar=0,
        tol=0,
    )
    assert issubclass(ConvergenceWarning, Warning)  # one round does not converge: that is what it says
    oracle = start.fit(x)
    new = mixture_m_step(x, mixture_e_step(MIXTURE, x))
    np.testing.assert_allclose(new.weights, oracle.weights_, rtol=1e-12)
    np.testing.assert_allclose(new.loc, oracle.means_, rtol=1e-12)
    np.testing.assert_allclose(new.scale**2, oracle.covariances_, rtol=1e-12)


def test_mixture_m_step_by_hand() -> None:
    x = np.array([[0.0], [2.0], [4.0]])
    new = mixture_m_step(x, np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    np.testing.assert_allclose(new.weights, [0.5, 0.5])
    np.testing.assert_allclose(new.loc[:, 0], [2 / 3, 10 / 3])  # (0 + 1) / 1.5 and (1 + 4) / 1.5
    np.testing.assert_allclose(new.scale**2, 8 / 9)  # (1 * 4/9 + 0.5 * 16/9) / 1.5


def test_mixture_m_step_is_where_autograd_finds_no_slope() -> None:
    x, r = data(), some_responsibilities()
    new = mixture_m_step(x, r)
    loc, log_scale, logits = (
        torch.tensor(a, requires_grad=True) for a in (new.loc, np.log(new.scale), np.log(new.weights))
    )
    square = ((torch.tensor(x)[:, None] - loc) ** 2).sum(2)
    log_joint = torch.log_softmax(logits, 0) - 2 * log_scale - square / (2 * torch.exp(2 * log_scale))
    (torch.tensor(r) * log_joint).sum().backward()
    for parameter in (loc, log_scale, logits):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), 0.0, atol=1e-12)


def test_mixture_bound_is_below_the_evidence_and_touches_at_the_posterior() -> None:
    x = data()
    evidence = MIXTURE.log_evidence(x)
    assert np.all(mixture_bound(MIXTURE, x, some_responsibilities()) < evidence)
    np.testing.assert_allclose(mixture_bound(MIXTURE, x, mixture_e_step(MIXTURE, x)), evidence, rtol=1e-12)


def test_mixture_bound_of_a_certain_assignment_is_the_log_joint() -> None:
    x = data()
    certain = np.eye(3)[np.arange(25) % 3]
    expected = MIXTURE.log_joint(x)[np.arange(25), np.arange(25) % 3]
    np.testing.assert_allclose(mixture_bound(MIXTURE, x, certain), expected, rtol=1e-12)
    excluded = GaussianMixture([1.0, 0.0], [[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0])  # log weight -inf, probability 0
    np.testing.assert_allclose(
        mixture_bound(excluded, x, mixture_e_step(excluded, x)), excluded.log_evidence(x), rtol=1e-12
    )


def test_mixture_em_is_monotone() -> None:
    x, model = data(80), GaussianMixture([0.4, 0.3, 0.3], [[0.0, 0.1], [0.2, 0.0], [0.1, -0.3]], [2.0, 1.5, 1.0])
    climb = []
    for _ in range(30):
        climb.append(model.log_evidence(x).mean())
        model = mixture_m_step(x, mixture_e_step(model, x))
    assert np.all(np.diff(climb) > -1e-13) and climb[-1] > climb[0] + 0.1


def test_narrow_clusters_give_zeros_and_ones_without_nan() -> None:
    narrow = GaussianMixture([0.2, 0.5, 0.3], MIXTURE.loc, [1e-3] * 3)
    x = data()
    nearest = np.argmin(((x[:, None] - MIXTURE.loc) ** 2).sum(axis=2), axis=1)
    np.testing.assert_array_equal(mixture_e_step(narrow, x), np.eye(3)[nearest])


def test_mixture_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"`loc` of shape \(K, d\).* For d = 1 write loc\[:, None\]"):
        GaussianMixture([0.5, 0.5], [0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"Expected `scale` to be finite and > 0"):
        GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 0.0])
    with pytest.raises(ValueError, match=r"last axis of size 2, but got shape \(4, 3\)"):
        MIXTURE.log_evidence(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="one row for each example"):
        mixture_m_step(data(5), some_responsibilities(4))
    with pytest.raises(ValueError, match="Divide each row by its sum"):
        mixture_m_step(data(4), np.full((4, 3), 0.5))
    with pytest.raises(ValueError, match="lost all its points"):
        mixture_m_step(data(4), np.tile([1.0, 0.0], (4, 1)))
    with pytest.raises(ValueError, match="on a single point"):
        mixture_m_step(data(4), np.eye(2)[[0, 0, 0, 1]])


# ------------------------------------------------------------------------------------------------ probabilistic PCA


def test_ppca_e_step_is_the_posterior_by_conditioning_the_joint_gaussian() -> None:
    x = linear_data()
    model = LinearGaussian(np.array([[1.0, 0.2], [-0.5, 0.8], [0.3, 1.1], [0.9, -0.4]]), np.ones(4), 0.7)
    gain = model.loading.T @ np.linalg.inv(model.loading @ model.loading.T + 0.7 * np.eye(4))
    q = ppca_e_step(model, x)
    np.testing.assert_allclose(q.loc, (x - 1) @ gain.T, rtol=1e-11)
    np.testing.assert_allclose(q.covariance[3], np.eye(2) - gain @ model.loading, rtol=1e-11)


@pytest.mark.parametrize("same_covariance", [True, False])
def test_ppca_m_step_is_where_autograd_finds_no_slope(same_covariance: bool) -> None:
    rng = np.random.default_rng(4)
    x = linear_data()
    roots = rng.normal(0, 0.5, (1 if same_covariance else len(x), 2, 2))
    covariance = np.broadcast_to(roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(2), (len(x), 2, 2))
    q = MultivariateNormal(rng.normal(0, 1, (len(x), 2)), covariance)
    new = ppca_m_step(x, q)
    loading, offset, log_c = (
        torch.tensor(a, requires_grad=True) for a in (new.loading, new.offset, np.asarray(np.log(new.noise_variance)))
    )
    residual = torch.tensor(x) - torch.tensor(q.loc) @ loading.T - offset
    spread = torch.einsum("dk,nkl,dl->n", loading, torch.tensor(covariance.copy()), loading)
    objective = -2 * log_c * len(x) - ((residual**2).sum(1) + spread).sum() / (2 * torch.exp(log_c))
    objective.backward()
    for parameter in (loading, offset, log_c):
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), 0.0, atol=1e-10)


def test_ppca_maximum_matches_scikit_learn() -> None:
    x = linear_data()
    n = len(x)
    best, oracle = ppca_maximum(x, 2), PCA(2, svd_solver="full").fit(x)
    covariance = oracle.get_covariance() * (n - 1) / n  # scikit-learn divides by N - 1
    np.testing.assert_allclose(best.loading @ best.loading.T + best.noise_variance * np.eye(4), covariance, rtol=1e-10)
    expected = stats.multivariate_normal(x.mean(axis=0), covariance).logpdf(x)
    np.testing.assert_allclose(best.log_evidence(x), expected, rtol=1e-10)


def test_ppca_em_is_monotone_and_ends_at_the_maximum() -> None:
    x = linear_data()
    model = LinearGaussian(np.random.default_rng(5).normal(0, 1, (4, 2)), np.zeros(4), 1.5)
    climb = []
    for _ in range(400):
        climb.append(model.log_evidence(x).mean())
        model = ppca_m_step(x, ppca_e_step(model, x))
    top = ppca_maximum(x, 2)
    assert np.all(np.diff(climb) > -1e-12)
    assert climb[-1] == pytest.approx(top.log_evidence(x).mean(), abs=1e-11)
    np.testing.assert_allclose(model.loading @ model.loading.T, top.loading @ top.loading.T, atol=1e-6)
    np.testing.assert_allclose(model.offset, x.mean(axis=0), atol=1e-6)


def test_ppca_errors_say_what_is_wrong() -> None:
    x = linear_data(6)
    with pytest.raises(ValueError, match="Was q computed from another batch"):
        ppca_m_step(x[:5], ppca_e_step(ppca_maximum(x, 2), x))
    with pytest.raises(ValueError, match="At k = d nothing is left over for the noise"):
        ppca_maximum(x, 4)
    with pytest.raises(ValueError, match="with N > d"):
        ppca_maximum(x[:4], 2)
