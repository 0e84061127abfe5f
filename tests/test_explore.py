"""Ways, walks and nearest training images: compared with encoder and decoder themselves, and with SciPy's distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from vaelib import explore
from vaelib.plots import runs
from vaelib.vae import VAE

RNG = np.random.default_rng(0)
X = (RNG.random((6, 12)) < 0.5).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> VAE:
    return VAE(12, 3, (8,), rng=torch.Generator().manual_seed(0))


def rebuilt(model: VAE, z: torch.Tensor) -> Any:
    return model.decode(z).mean.detach().numpy()


def test_ways_begin_and_end_at_reconstructions_and_pass_the_middle_of_the_codes(model: VAE) -> None:
    images = explore.between(model, X[:2], X[2:4], steps=5)
    assert images.shape == (2, 5, 12)
    start, end = model.encode(X[:2]).loc, model.encode(X[2:4]).loc
    for step, z in ((0, start), (4, end), (2, (start + end) / 2), (1, 0.75 * start + 0.25 * end)):
        np.testing.assert_allclose(images[:, step], rebuilt(model, z), atol=1e-6)


def test_walk_changes_one_latent_and_no_other(model: VAE) -> None:
    values = [-2.0, 0.0, 1.5, 2.0]
    images = explore.walk(model, X[0], [2, 0], values)
    assert images.shape == (2, 4, 12)
    for row, latent in enumerate((2, 0)):
        for step, value in enumerate(values):
            z = model.encode(X[0]).loc.detach().clone()
            z[latent] = value
            np.testing.assert_allclose(images[row, step], rebuilt(model, z), atol=1e-6)


def test_most_active_latents_are_those_of_the_largest_kl(model: VAE) -> None:
    q = model.encode(X)
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(q.loc, q.scale), normal(0.0, 1.0)).mean(0)
    order = [int(i) for i in kl.argsort(descending=True)]
    assert explore.most_active(model, X, 2) == order[:2] and explore.most_active(model, X, 9) == order


def test_nearest_agrees_with_scipy_in_one_piece_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    images, train = RNG.random((50, 7)), RNG.random((40, 7))
    expected = cdist(images, train)
    for at_once in (10**6, 90, 1):
        monkeypatch.setattr(explore, "AT_ONCE", at_once)
        index, distance = explore.nearest(images, train)
        np.testing.assert_array_equal(index, expected.argmin(1))
        np.testing.assert_allclose(distance, expected.min(1), rtol=1e-5)
    index, distance = explore.nearest(train[[7, 3]], train)
    assert list(index) == [7, 3] and list(distance) == [0.0, 0.0]  # a copy is found out


def test_what_does_not_fit_is_refused(model: VAE) -> None:
    for call, message in (
        (lambda: explore.between(model, X[:2], X[:3]), r"same shape \(n, pixels\), but got \(2, 12\) and \(3, 12\)"),
        (lambda: explore.between(model, X[0], X[1]), r"A single image is x\[None\]"),
        (lambda: explore.between(model, X[:1], X[1:2], steps=1), "`steps` to be at least 2"),
        (lambda: explore.walk(model, X, [0], [1.0]), r"a single image \(pixels,\), but got shape \(6, 12\)"),
        (lambda: explore.walk(model, X[0], [3], [1.0]), r"`latents` to be from 0 to 2, but got \[3\]"),
        (lambda: explore.nearest(X, X[:, :5]), r"the same pixels and m >= 1, but got \(6, 12\) and \(6, 5\)"),
        (lambda: explore.nearest(X, X[:0]), "m >= 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_pictures_say_which_image_is_which() -> None:
    images = RNG.random((2, 4, 6))
    ax = runs.ways(runs.figure(3, 3).subplots(), images, (2, 3))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["from", "to"] and list(ax.get_xticks()) == [1.0, 13.0]
    ax = runs.walks(runs.figure(3, 3).subplots(), images, [-1.0, 0.0, 1.0, 2.0], ["z4", "z2"], (2, 3))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["z4", "z2"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["-1.0", "+0.0", "+1.0", "+2.0"]
    ax = runs.neighbours(runs.figure(3, 3).subplots(), images[0], images[1], np.arange(4) + 0.5, (2, 3))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.5", "1.5", "2.5", "3.5"]
    canvas = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(canvas[:2, :3], 1.0 - images[0, 0].reshape(2, 3))  # above the sample, below its nearest
    np.testing.assert_allclose(canvas[3:, :3], 1.0 - images[1, 0].reshape(2, 3))
