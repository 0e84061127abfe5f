"""A linear VAE is probabilistic PCA: trained by `fit`, it reaches the maximum likelihood, which PCA gives exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linear_vae import K, config, exact_model, likelihood_of_pca, sample
from sklearn.decomposition import PCA

from vaelib import DiagonalNormal
from vaelib.train import fit, init


@pytest.mark.slow
def test_linear_vae_reaches_the_maximum_likelihood_of_pca() -> None:
    data = sample()
    state = fit(config(epochs=1500, seed=1), data)
    best = likelihood_of_pca(data.train)
    assert state.history[-1]["train_elbo"] == pytest.approx(best, abs=1e-3)
    trained = exact_model(state)
    assert trained.log_evidence(data.train).mean() == pytest.approx(best, abs=1e-3)
    spectrum = np.linalg.eigvalsh(np.cov(data.train.T, bias=True))[::-1]
    noise = spectrum[K:].mean()
    assert trained.noise_variance == pytest.approx(noise, rel=1e-2)
    squares = np.sort(np.linalg.svd(trained.loading)[1] ** 2)[::-1]
    np.testing.assert_allclose(squares, spectrum[:K] - noise, rtol=2e-2)


def test_exact_elbo_of_the_linear_vae_is_that_of_the_exact_model_and_below_its_evidence() -> None:
    data = sample()
    state = init(config(), data)
    x = torch.from_numpy(data.train)
    with torch.no_grad():
        q = state.model.encode(x)
        bound = (state.model.expected_log_likelihood(x, q) - state.model.kl(q)).numpy()
    model = exact_model(state)
    by_hand = model.elbo(data.train, DiagonalNormal(q.loc.numpy(), q.scale.numpy()))
    np.testing.assert_allclose(bound, by_hand, rtol=1e-12)
    assert (bound < model.log_evidence(data.train)).all()


def test_maximum_with_another_number_of_latents_is_far_away() -> None:
    """The check can fail; and 1e-3 does not hang on scikit-learn's n - 1."""
    x = sample().train
    best = likelihood_of_pca(x)
    assert likelihood_of_pca(x, K - 1) < best - 0.1 and likelihood_of_pca(x, K + 1) > best + 1e-2
    assert abs(float(PCA(K).fit(x).score(x)) - best) < 5e-4
