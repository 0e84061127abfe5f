"""A linear VAE against the maximum likelihood of probabilistic PCA, which is known: how far does each objective get?

python benchmarks/linear_vae.py [--seeds 5]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from vaelib import LinearGaussian
from vaelib.data import Data
from vaelib.train import TrainConfig, TrainState, fit

D, K, N = 6, 2, 200


def sample() -> Data:
    """A strong direction and a weaker one above the noise; offsets of different sizes."""
    rng = np.random.default_rng(3)
    loading = rng.standard_normal((D, K)) * [2.0, 0.9]
    _, x = LinearGaussian(loading, rng.standard_normal(D), 0.3).sample(N + 1, rng=rng)
    return Data("linear.npy", x[:N], x[N:], (D,), 1.0)


def config(**changes: Any) -> TrainConfig:
    linear = {"hidden": (), "layer_norm": False, "decoder": "gaussian", "latent_dim": K, "dtype": "float64"}
    run = {"batch_size": N, "epochs": 3000, "learning_rate": 0.1, "schedule": "cosine", "device": "cpu"}
    return TrainConfig(**{"data": "linear.npy", **linear, **run, "objective": "elbo-exact", **changes})


def likelihood_of_pca(x: np.ndarray, latents: int = K) -> float:
    """Mean log-likelihood at the maximum, by scikit-learn, which divides by n - 1 where the maximum divides by n."""
    covariance = PCA(latents).fit(x).get_covariance() * (len(x) - 1) / len(x)
    _, log_det = np.linalg.slogdet(covariance)
    centered = x - x.mean(0)
    square = np.einsum("ni,ij,nj->n", centered, np.linalg.inv(covariance), centered).mean()
    return float(-0.5 * (D * np.log(2 * np.pi) + log_det + square))


def exact_model(state: TrainState) -> LinearGaussian:
    """The generative model that was trained, whose evidence is known."""
    out, scale = state.model.decoder.out, state.model.decoder.scale
    assert isinstance(out, torch.nn.Linear)
    return LinearGaussian(out.weight.detach().numpy(), out.bias.detach().numpy(), float(scale.detach()) ** 2)


WAYS: dict[str, dict[str, Any]] = {
    "exact ELBO, decayed": {},
    "exact ELBO, constant rate": {"schedule": "constant", "learning_rate": 0.01},
    "sampled, decayed": {"objective": "elbo"},
    "sampled, constant rate": {"objective": "elbo", "schedule": "constant", "learning_rate": 0.01},
    "sticking the landing, decayed": {"objective": "stl"},
}


def main() -> None:
    import _record

    parser = _record.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    seeds = asked.seeds
    data, rows = sample(), []
    best = likelihood_of_pca(data.train)
    print(f"{'nats below the maximum likelihood of pPCA':<42}{'evidence':>10}{'worst':>10}")
    for way, changes in WAYS.items():
        distances = [
            best - float(exact_model(fit(config(seed=seed, **changes), data)).log_evidence(data.train).mean())
            for seed in range(seeds)
        ]
        rows.append({"way": way, "distance": float(np.median(distances)), "worst": max(distances), **changes})
        print(f"{way:<42}{rows[-1]['distance']:10.1e}{rows[-1]['worst']:10.1e}", flush=True)
        _record.record(
            "linear_vae", rows, asked.record, seeds=seeds, examples=N, pixels=D, latents=K, epochs=3000, best=best
        )


if __name__ == "__main__":
    main()
