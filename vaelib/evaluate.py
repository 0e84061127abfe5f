"""How good a trained model is: bounds on log p(x) with their standard errors, and which latents are used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.data import Data, binarize_once
from vaelib.elbo import elbo, importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.vae import VAE, saturation

ROWS = 2**15  # latents that are decoded at once: memory stays bounded whatever is asked for
EXAMPLES = 100  # at once; each with ROWS / EXAMPLES samples of z
ACTIVE = 0.01  # variance of E_q[z_u] over x from which on the latent u counts as used


@dataclass(frozen=True)
class Evaluation:
    """Bounds on log p(x), one number for each example, in nats; the properties average over examples."""

    log_evidence: NDArray[np.float64]  # (examples,), the importance-weighted bound
    log_evidence_error: NDArray[np.float64]  # (examples,), its Monte Carlo standard error
    log_likelihood: NDArray[np.float64]  # (examples,), E_q[log p(x | z)]
    kl: NDArray[np.float64]  # (examples,), KL(q(z | x) || p(z))
    activity: NDArray[np.float64]  # (latent_dim,), variance over x of E_q[z]
    saturated: float  # share of posterior scales at their bounds
    importance_samples: int

    @property
    def nll(self) -> Estimate:
        """-log p(x), an upper bound on its mean, and the standard error over examples."""
        return mean(-self.log_evidence)

    @property
    def nll_monte_carlo_error(self) -> float:
        """Standard error of `nll` from the samples of z alone: what another seed would change on the same examples."""
        return float(np.sqrt((self.log_evidence_error**2).sum()) / len(self.log_evidence_error))

    @property
    def nll_bias(self) -> float:
        """About how much `nll` is too large for want of samples: half the mean variance of the logarithm.

        By the delta method. It is itself too small where a few rare samples carry the weight.
        """
        return float(0.5 * (self.log_evidence_error**2).mean())

    @property
    def elbo(self) -> Estimate:
        return mean(elbo(self.log_likelihood, self.kl))

    @property
    def rate(self) -> Estimate:
        """KL(q(z | x) || p(z)): nats that the code spends."""
        return mean(self.kl)

    @property
    def distortion(self) -> Estimate:
        """-E_q[log p(x | z)]: nats that are still missing when the code is known."""
        return mean(-self.log_likelihood)

    @property
    def active_units(self) -> int:
        """Latents whose posterior mean has a variance over x of more than 0.01 (Burda et al. 2016, section 5)."""
        return int((self.activity > ACTIVE).sum())

    def as_dict(self) -> dict[str, Any]:
        """For JSON, in nats per example."""
        estimates = {name: getattr(self, name) for name in ("nll", "elbo", "rate", "distortion")}
        return {
            "unit": "nats per example",
            "examples": len(self.log_evidence),
            "importance_samples": self.importance_samples,
            **{name: {"value": e.value, "standard_error": e.error} for name, e in estimates.items()},
            "nll_monte_carlo_error": self.nll_monte_carlo_error,
            "nll_bias": self.nll_bias,
            "active_units": self.active_units,
            "latent_dim": len(self.activity),
            "saturated": self.saturated,
        }


def mean(values: NDArray[np.float64]) -> Estimate:
    """Sample mean over examples with its standard error."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error), len(values))


def held_out_pixels(data: Data, mode: str) -> Tensor:
    """The test set as a model trained in that mode is judged on it, (examples, pixels), float32, on the CPU."""
    pixels = data.intensities(data.test) if mode == "none" else binarize_once(data, data.test)
    return torch.tensor(pixels, dtype=torch.float32)


@torch.no_grad()
def evaluate(
    model: VAE,
    x: Tensor,
    *,
    importance_samples: int = 5000,
    seed: int = 0,
    callback: Callable[[int], None] | None = None,
) -> Evaluation:
    """The ELBO and the importance-weighted bound on log p(x), for each x.

    L_K(x) = log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), with K draws z_k from q(z | x): its mean lies below log p(x),
    the closer the larger K. The K draws also average the ELBO's log-likelihood; its KL is in closed form.

    Args:
        model: a trained VAE. x: (examples, pixels), as `held_out_pixels` gives them.
        importance_samples: K.
        callback: told the number of examples done so far.

    Source: Burda, Grosse and Salakhutdinov 2016, equation (8).
    """
    if importance_samples < 1 or len(x) < 1:
        raise ValueError(f"Expected at least one sample and one example, but got {importance_samples} and {len(x)}.")
    rng = torch.Generator(model.device).manual_seed(seed)
    columns: list[Tensor] = []
    locs: list[Tensor] = []
    for start in range(0, len(x), EXAMPLES):
        some = x[start : start + EXAMPLES].to(model.device)
        q = model.encode(some)
        log_likelihood, log_weights = _weigh(model, some, importance_samples, rng)
        bound = importance_weighted_bound(log_weights, axis=0)
        # Delta method: the variance of log(mean w) is about that of the mean of w, relative to its square.
        relative = torch.exp(log_weights - bound)  # w / mean w
        error = (
            (relative.var(0) / importance_samples).sqrt()
            if importance_samples > 1
            else torch.full_like(bound, math.nan)
        )
        share = saturation(q).expand(len(some))
        columns.append(torch.stack([bound, error, log_likelihood.mean(0), model.kl(q), share.double()]))
        locs.append(q.loc)
        if callback is not None:
            callback(start + len(some))
    log_evidence, errors, log_likelihoods, kl, share = torch.cat(columns, 1).cpu().numpy()
    loc = torch.cat(locs).double()
    activity = loc.var(0, correction=0).cpu().numpy()
    return Evaluation(log_evidence, errors, log_likelihoods, kl, activity, float(share.mean()), importance_samples)


def _weigh(model: VAE, x: Tensor, samples: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """log p(x | z) and log w = log p(x | z) + log p(z) - log q(z | x), both (samples, examples), in float64."""
    q = model.encode(x)
    likelihoods, weights = [], []
    at_once = max(1, ROWS // len(x))
    for start in range(0, samples, at_once):
        count = min(at_once, samples - start)
        z = q.sample(count, rng=rng)  # (count, examples, latent_dim)
        log_likelihood = model.log_likelihood(x, z).double()
        likelihoods.append(log_likelihood)
        weights.append(log_likelihood + model.prior.log_prob(z).double() - q.log_prob(z).double())
    return torch.cat(likelihoods), torch.cat(weights)
