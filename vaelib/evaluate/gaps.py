"""Why the ELBO lies below log p(x): because q is Gaussian, and because one network makes the q of every x.

    log p(x) - L(q_phi)  =  log p(x) - L(q*)  +  L(q*) - L(q_phi)
      inference gap         approximation gap    amortization gap

q_phi is the encoder's q(z | x), and q* the best Gaussian with independent coordinates for this one x.

Source: Cremer, Li and Duvenaud 2018, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.distributions import DiagonalNormal
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.evaluate.bounds import as_pair, at_once, mean
from vaelib.train.surroundings import ordinary
from vaelib.vae import VAE

ROWS = 2**11  # latents that are decoded at once: memory stays bounded, and progress is seen
SEARCH_SAMPLES = 64  # draws of noise on which q* is sought
RATES = (0.1, 0.03, 0.01, 0.003)  # of Adam; the next one where the last brings nothing more
WINDOW = 50  # steps between looks
WINDOWS = 20  # at most, at each rate

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Gaps:
    """The two gaps, in nats; arrays hold one number for each example, properties average over them."""

    log_evidence: Array  # (examples,), as it was given
    log_evidence_error: Array
    encoder_elbo: Array  # L(q_phi)
    encoder_elbo_error: Array
    best_elbo: Array  # L(q*)
    best_elbo_error: Array
    amortization_error: Array  # of best_elbo - encoder_elbo, which share their noise
    remaining: Array  # nats by which q* still rose in the last 50 steps of its search

    @property
    def approximation(self) -> Estimate:
        """log p(x) - L(q*): what a Gaussian with independent coordinates cannot be."""
        return mean(self.log_evidence - self.best_elbo)

    @property
    def amortization(self) -> Estimate:
        """L(q*) - L(q_phi): what the encoder falls short of that."""
        return mean(self.best_elbo - self.encoder_elbo)

    @property
    def inference(self) -> Estimate:
        """log p(x) - L(q_phi), the sum of the two."""
        return mean(self.log_evidence - self.encoder_elbo)

    @property
    def monte_carlo_errors(self) -> dict[str, float]:
        """Standard errors of the three means from the samples alone: what another seed would change."""
        variances = {
            "inference": self.log_evidence_error**2 + self.encoder_elbo_error**2,
            "approximation": self.log_evidence_error**2 + self.best_elbo_error**2,
            "amortization": self.amortization_error**2,
        }
        return {name: float(np.sqrt(v.sum()) / len(v)) for name, v in variances.items()}

    def as_dict(self) -> dict[str, Any]:
        """For JSON, in nats per example."""
        errors = self.monte_carlo_errors
        return {
            "unit": "nats per example",
            "examples": len(self.log_evidence),
            **{name: {**as_pair(getattr(self, name)), "monte_carlo_error": errors[name]} for name in errors},
            "largest_remaining_gain": float(self.remaining.max()),
        }


@ordinary()
def inference_gaps(
    model: VAE,
    x: Tensor,
    log_evidence: Array,
    log_evidence_error: Array | float = 0.0,
    *,
    samples: int = 2000,
    tolerance: float = 1e-3,
    seed: int = 0,
    callback: Callable[[int], None] | None = None,
) -> Gaps:
    """Split the gap between log p(x) and the ELBO, for each x.

    Both ELBOs are averaged over the same fresh noise, not that on which q* was found: an optimum looks too good on the
    noise that it is the optimum of. q* is found to within about `tolerance`, so the approximation gap is too large and
    the amortization gap too small by at most about that. A log p(x) that is itself a lower bound makes the
    approximation gap too small by its own distance from the truth.

    Args:
        x: (examples, pixels). log_evidence: log p(x), (examples,), from `evaluate`, `annealed_bound`, or exact.
        log_evidence_error: its Monte Carlo standard error, (examples,).
        samples: of z, for each of the two ELBOs. tolerance: see `best_posterior`.
        callback: told the number of examples done so far.
    """
    if len(log_evidence) != len(x) or len(x) < 1 or samples < 2:
        raise ValueError(
            "Expected one number of `log_evidence` for each of one or more examples, and 2 samples or more, but got"
            f" {len(log_evidence)} for {len(x)} and {samples} samples."
        )
    rng = torch.Generator(model.device).manual_seed(seed)
    columns = []
    rows = min(ROWS, at_once(model))
    block = max(1, rows // max(SEARCH_SAMPLES, 4 * model.latent_dim))
    for start in range(0, len(x), block):
        some = model.placed(x[start : start + block])
        best, remaining = best_posterior(model, some, tolerance=tolerance, rng=rng)
        with torch.no_grad():
            encoder = model.encode(some)
            drawn = []
            together = max(1, rows // len(some))
            for first in range(0, samples, together):
                noise = encoder.draw_noise(min(together, samples - first), rng=rng)
                drawn.append(torch.stack([model.log_likelihood(some, q.transform(noise)) for q in (encoder, best)]))
            of_encoder, of_best = torch.cat(drawn, 1).double()  # log p(x | z), (samples, examples) each
            columns.append(
                torch.stack(
                    [
                        elbo(of_encoder.mean(0), model.kl(encoder)),
                        standard_error(of_encoder),
                        elbo(of_best.mean(0), model.kl(best)),
                        standard_error(of_best),
                        standard_error(of_best - of_encoder),
                        remaining,
                    ]
                )
            )
        if callback is not None:
            callback(start + len(some))
    error = np.broadcast_to(np.asarray(log_evidence_error, dtype=np.float64), (len(x),))
    return Gaps(np.asarray(log_evidence, dtype=np.float64), error, *torch.cat(columns, 1).cpu().numpy())


@ordinary()
def best_posterior(
    model: VAE, x: Tensor, *, samples: int = SEARCH_SAMPLES, tolerance: float = 1e-3, rng: torch.Generator
) -> tuple[DiagonalNormal, Tensor]:
    """argmax_q L(q) over the DiagonalNormals, for each x by itself; the decoder stays as it is.

    Adam from q_phi on the ELBO over fixed noise, at four falling rates: to the next where 50 steps raise the mean ELBO
    by less than `tolerance`. The noise comes in pairs +e, -e and has covariance I, as exactly as numbers can: where log
    p(x | z) is quadratic in z, as for a linear Gaussian decoder, its mean over the noise is exact.

    Args:
        x: (examples, pixels). samples: draws of noise, the same for every x. tolerance: in nats per example.

    Returns:
        q*, (examples, latent_dim), and the nats that the last 50 steps brought, (examples,).
    """
    with torch.no_grad():
        start = model.encode(x)
    unit = start.scale.clamp(0.1, 1.0)  # steps in about the posterior's own width
    noise = standardized_noise(samples, start.loc, rng)[:, None]  # (K, 1, latent_dim)
    shift = torch.zeros_like(start.loc, requires_grad=True)
    growth = torch.zeros_like(start.loc, requires_grad=True)

    def q() -> DiagonalNormal:
        return DiagonalNormal(start.loc + unit * shift, start.scale * growth.exp())

    def bound() -> Tensor:
        at = q()
        return elbo(model.log_likelihood(x, at.transform(noise)).mean(0), model.kl(at))  # (examples,)

    with torch.no_grad():
        best, found = bound(), (shift.clone(), growth.clone())
    gain = torch.zeros_like(best)
    with torch.enable_grad():
        for rate in RATES:
            optimizer = torch.optim.Adam([shift, growth], lr=rate)
            for _ in range(WINDOWS):
                for _ in range(WINDOW):
                    (-bound().sum()).backward(inputs=[shift, growth])
                    optimizer.step()
                    optimizer.zero_grad()
                with torch.no_grad():
                    reached = bound()
                    gain = (reached - best).clamp(min=0.0)
                    better = (reached > best)[:, None]
                    best = torch.maximum(best, reached)
                    found = (torch.where(better, shift, found[0]), torch.where(better, growth, found[1]))
                if float(gain.mean()) < tolerance:
                    break
            with torch.no_grad():  # go on from the best place
                shift.copy_(found[0])
                growth.copy_(found[1])
    with torch.no_grad():
        return q(), gain.double()


def standardized_noise(samples: int, like: Tensor, rng: torch.Generator) -> Tensor:
    """Normal noise (K, latent_dim) with mean 0 and covariance I exactly, K even and at least 4 latent_dim."""
    latent_dim = like.shape[-1]
    half = torch.randn(
        (max(samples // 2, 2 * latent_dim), latent_dim), generator=rng, dtype=torch.float64, device=like.device
    )
    factor = torch.linalg.cholesky(half.T @ half / len(half))
    half = torch.linalg.solve_triangular(factor, half.T, upper=False).T
    return torch.cat([half, -half]).to(like.dtype)


def standard_error(samples: Tensor) -> Tensor:
    """Of the mean over the first axis."""
    return samples.std(0) / len(samples) ** 0.5
