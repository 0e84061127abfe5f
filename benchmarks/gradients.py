"""How much the encoder's gradient varies from draw to draw, for each estimator; and its signal against its noise.

A small VAE on the digits at three moments of its training, and a linear Gaussian one whose encoder is nearly right: one
minibatch each, and many independent draws of the noise.

- variance: trace of the covariance of the gradient, of one minibatch under one draw of its noise.
- signal: |E g|^2, estimated without bias. Estimators of one bound share E g, so all take it from the one that varies
  least.
- signal-to-noise ratio: sqrt(signal / variance). For many samples K that of the importance-weighted bound falls as
  K^-1/2 (Rainforth et al. 2018), and doubly reparameterized it rises as K^1/2 (Tucker et al. 2019): where the weights
  have finite moments, as in the linear Gaussian model, whose encoder is wider than the posterior.

    python benchmarks/gradients.py        # a few minutes; writes results/gradients.json
"""

from __future__ import annotations

import math
from typing import Any

import _record
import numpy as np
import torch
from torch import Tensor

from vaelib.data import load
from vaelib.objectives import Objective, loss
from vaelib.vae import VAE, start_at

SEED = 0
LATENT, HIDDEN = 2, (50,)
MOMENTS = {"start": 0, "middle": 300, "end": 3000}  # steps of Adam on the ELBO
BATCH, LEARNING_RATE = 100, 3e-3  # of training
EXAMPLES, DRAWS, BLOCKS = 10, 400, 20  # of measuring; the blocks give the errors
DIMENSIONS = 20  # of the linear Gaussian model's x and z
FEW, MANY = (1, 5, 50), (1, 5, 10, 50, 100, 200)  # samples K
SAMPLES = {"elbo": FEW, "elbo-sampled": FEW, "stl": FEW, "score": FEW, "score-baseline": FEW[1:]} | {
    name: MANY for name in ("iwae", "dreg")
}


def main() -> None:
    asked = _record.parser(__doc__).parse_args()
    rng = torch.Generator().manual_seed(SEED)
    data = load("digits")
    grey = torch.as_tensor(data.intensities(data.train), dtype=torch.float32)
    model = VAE(data.pixels, LATENT, HIDDEN, rng=rng)
    start_at(model, grey.mean(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    x = torch.bernoulli(grey[torch.randperm(len(grey), generator=rng)[:EXAMPLES]], generator=rng)

    rows: list[dict[str, Any]] = []
    done = 0
    for moment, steps in MOMENTS.items():
        bound = train(model, optimizer, grey, steps - done, rng)
        done = steps
        print(f"\n{moment}: {steps} steps" + (f", ELBO {bound:.1f} nats" if steps else ""))
        rows += [{"model": "digits", "moment": moment, "steps": steps} | row for row in table(model, x, rng)]
    print("\nlinear Gaussian")
    rows += [{"model": "linear Gaussian"} | row for row in table(*linear_gaussian(rng), rng)]
    _record.record(
        "gradients",
        rows,
        asked.record,
        seed=SEED,
        data="digits, dynamic binarization",
        latent_dim=LATENT,
        hidden=HIDDEN,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        dimensions=DIMENSIONS,
        examples=EXAMPLES,
        draws=DRAWS,
    )


def train(model: VAE, optimizer: torch.optim.Optimizer, grey: Tensor, steps: int, rng: torch.Generator) -> float:
    """So many steps on the ELBO; its mean over the last hundred."""
    bounds = []
    for _ in range(steps):
        x = torch.bernoulli(grey[torch.randint(len(grey), (BATCH,), generator=rng)], generator=rng)
        minimized, _ = loss(model, x, torch.randn((1, BATCH, LATENT), generator=rng))
        optimizer.zero_grad()
        minimized.backward()
        optimizer.step()
        bounds.append(-minimized.item())
    return float(np.mean(bounds[-100:])) if bounds else math.nan


@torch.no_grad()
def linear_gaussian(rng: torch.Generator) -> tuple[VAE, Tensor]:
    """z ~ N(0, I), x | z ~ N(z, I), and examples of it; q(z | x) = N(x / 2, 2/3 I), its weights off by 0.01.

    The posterior is N(x / 2, 1/2 I). Source: Rainforth et al. 2018, their toy model.
    """
    model = VAE(DIMENSIONS, DIMENSIONS, (), 1.0, rng=rng)
    model.decoder.out.weight.copy_(torch.eye(DIMENSIONS))
    for weight, value in ((model.encoder.loc.weight, torch.eye(DIMENSIONS) / 2), (model.encoder.log_scale.weight, 0.0)):
        weight.copy_(value + 0.01 * torch.randn(weight.shape, generator=rng))
    model.encoder.log_scale.bias.fill_(0.5 * math.log(2 / 3))
    return model, model.sample(EXAMPLES, rng=rng)


def table(model: VAE, x: Tensor, rng: torch.Generator) -> list[dict[str, Any]]:
    """Every estimator at every K: measured, completed and shown."""
    rows = with_ratio([measure(model, x, name, count, rng) for name, counts in SAMPLES.items() for count in counts])
    print(f"{'objective':<15} {'K':>4} {'variance':>20} {'signal / noise':>18}")
    for row in rows:
        variance = f"{row['variance']:11.3g} ± {row['variance_error']:6.1g}"
        ratio = "none seen" if row["snr"] is None else f"{row['snr']:9.3f} ± {row['snr_error']:.3f}"
        print(f"{row['objective']:<15} {row['samples']:>4} {variance} {ratio:>18}")
    for name in ("iwae", "dreg"):
        points = [(row["samples"], row["snr"]) for row in rows if row["objective"] == name and row["snr"]]
        large = [(count, snr) for count, snr in points if count >= 10]
        if len(large) > 1:
            print(f"{name}: signal / noise ~ K^{np.polyfit(*np.log(large).T, 1)[0]:+.2f} for K >= 10")
    return rows


def measure(model: VAE, x: Tensor, name: str, count: int, rng: torch.Generator) -> dict[str, Any]:
    """Variance and signal of the encoder's gradient, with jackknife errors over blocks of draws."""
    encoder = list(model.encoder.parameters())
    objective = Objective(name)

    def gradient() -> Tensor:
        minimized, _ = loss(model, x, torch.randn((count, len(x), model.latent_dim), generator=rng), objective)
        return torch.cat([g.ravel() for g in torch.autograd.grad(minimized, encoder)]).double()

    gradients = torch.stack([gradient() for _ in range(DRAWS)])
    variance, signal = summary(gradients)
    blocks = gradients.chunk(BLOCKS)
    left_out = [summary(torch.cat([*blocks[:b], *blocks[b + 1 :]])) for b in range(BLOCKS)]
    variance_error, signal_error = (math.sqrt((BLOCKS - 1) * np.var(values)) for values in zip(*left_out, strict=True))
    return {
        "objective": name,
        "samples": count,
        "variance": variance,
        "variance_error": variance_error,
        "signal": signal,
        "signal_error": signal_error,
    }


def summary(gradients: Tensor) -> tuple[float, float]:
    """Trace of the covariance, and |E g|^2, of gradients (draws, parameters)."""
    variance = gradients.var(0).sum()
    signal = gradients.mean(0).square().sum() - variance / len(gradients)  # less what the mean itself varies
    return float(variance), float(signal)


def with_ratio(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their signal-to-noise ratio and its error; None where no signal was seen."""

    def bound(row: dict[str, Any]) -> int:
        """What E g is the gradient of: the ELBO for every K, the importance-weighted bound of K samples."""
        return row["samples"] if row["objective"] in ("iwae", "dreg") else 1

    rows = []
    for row in measured:
        best = min((other for other in measured if bound(other) == bound(row)), key=lambda other: other["variance"])
        snr = math.sqrt(best["signal"] / row["variance"]) if best["signal"] > 0 else None
        error = snr and 0.5 * snr * math.hypot(
            best["signal_error"] / best["signal"], row["variance_error"] / row["variance"]
        )
        rows.append(row | {"snr": snr, "snr_error": error})
    return rows


if __name__ == "__main__":
    main()
