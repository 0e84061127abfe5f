"""How good a trained model is: bounds on log p(x) with their errors, what may be compared, and what has collapsed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.data import Data
from vaelib.distributions import DiagonalNormal, DiscretizedLogistic, Normal, kl_divergence
from vaelib.elbo import elbo, importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.evaluate.blocks import in_blocks
from vaelib.train.diagnose import at_bounds
from vaelib.train.state import as_judged
from vaelib.train.surroundings import ordinary, threads
from vaelib.vae import IN_WORDS, VAE, Kind, saturation

ROWS = 2**15  # latents that are drawn at once,
PIXELS = 2**25  # and pixels that they are decoded to, at most: memory stays bounded whatever is asked for
EXAMPLES = 100  # at once; each with ROWS / EXAMPLES samples of z
ACTIVE = 0.01  # variance of E_q[z_u] over x from which on the latent u counts as used
NEGLIGIBLE = 0.01  # nats; less is not news


@dataclass(frozen=True)
class Subject:
    """What an evaluation is about. Two evaluations can be compared if their subjects are the same."""

    likelihood: Kind  # of bits, of levels, or a density, "gaussian", whose nats depend on the pixels' unit
    treatment: str | None  # of the pixels: dynamic, fixed, none or dequantized; None: not said
    examples: int
    pixels: int
    sha256: str  # of the pixels


def subject(model: VAE, x: Tensor, treatment: str | None = None) -> Subject:
    """What an evaluation of `model` on x (examples, pixels), treated so, would be about."""
    digest = hashlib.sha256(np.ascontiguousarray(x.cpu().numpy(), dtype=np.float32).data).hexdigest()
    return Subject(model.decoder.kind, treatment, len(x), x.shape[-1], digest)


def require_comparable(a: Subject, b: Subject) -> None:
    """Refuse to compare what is not about the same thing.

    Raises:
        ValueError: the likelihoods, the numbers of examples, or the pixels differ.
    """
    if a.likelihood != b.likelihood:
        raise ValueError(
            f"Expected two models with one kind of likelihood to compare, but got {a.likelihood} and {b.likelihood}. A"
            " Bernoulli log-likelihood is the log-probability of bits, a discretized logistic one that of levels of"
            " grey or colour; a Gaussian one is a log-density, which shifts by log 2 nats a pixel when the pixels are"
            " measured in another unit, half as large. No difference of the two means anything. Bits per dimension of"
            " a discretized logistic and of a Gaussian on dequantized pixels may be compared: both bound what the"
            " levels cost."
        )
    if (a.examples, a.pixels) != (b.examples, b.pixels):
        raise ValueError(
            "Expected two evaluations of the same examples to compare, but got"
            f" {a.examples} of {a.pixels} pixels and {b.examples} of {b.pixels}."
        )
    if a.sha256 != b.sha256:
        raise ValueError(
            "Expected two evaluations of the same pixels to compare, but they differ: the pixels were treated as"
            f" {a.treatment or 'not said'} and as {b.treatment or 'not said'}. Train both models on data treated in the"
            " same way; and are these the same examples in the same order?"
        )


@dataclass(frozen=True)
class Evaluation:
    """Bounds on log p(x), one number for each example, in nats; the properties average over examples."""

    log_evidence: NDArray[np.float64]  # (examples,), the importance-weighted bound
    log_evidence_error: NDArray[np.float64]  # (examples,), its Monte Carlo standard error
    log_likelihood: NDArray[np.float64]  # (examples,), E_q[log p(x | z)]
    kl: NDArray[np.float64]  # (examples,), KL(q(z | x) || p(z))
    activity: NDArray[np.float64]  # (latent_dim,), variance over x of E_q[z]
    unit_kl: NDArray[np.float64]  # (latent_dim,), mean over x of the KL of each latent
    response: NDArray[np.float64]  # (examples,), KL(p(. | z) || p(. | z')), z' of another example; NaN for one example
    saturated: float  # share of posterior scales at their bounds
    importance_samples: int
    subject: Subject
    levels: int | None = None  # of grey that were dequantized
    decoder_scale: float | None = None  # that a Gaussian decoder has learned, in the unit of the pixels
    decoder_scale_at_bound: bool = False

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

    @property
    def bits_per_dimension(self) -> Estimate | None:
        """Of binary pixels, levels, or dequantized ones; None for a density without levels, which has none.

        See `bits_per_dimension`.
        """
        if self.subject.likelihood != "gaussian":
            return bits_per_dimension(self.nll, self.subject.pixels)
        return None if self.levels is None else bits_per_dimension(self.nll, self.subject.pixels, self.levels)

    def warnings(self) -> list[str]:
        """What is wrong with the model, in sentences; none if nothing is. A scale at its bound explains the others."""
        found = at_bounds(self.decoder_scale, self.decoder_scale_at_bound, self.saturated)
        units, limited = len(self.activity), bool(found)
        if self.unit_kl.max() < NEGLIGIBLE:
            found.append(
                f"Posterior collapse: q(z|x) equals the prior, with a KL below {NEGLIGIBLE} nats in each of the"
                f" {units} latents. z carries no news of x."
                + ("" if limited else " Try KL warm-up, free bits, or a weaker decoder.")
            )
        elif self.active_units == 0 and len(self.kl) > 1:
            found.append(
                f"Collapse: q(z|x) is nearly the same for every x; none of the {units} latents is active. The KL of"
                f" {self.rate.value:.2g} nats buys little news of x."
                + ("" if limited else " Do the inputs vary? Is beta large?")
            )
        if self.response.mean() < NEGLIGIBLE:  # False for NaN
            found.append(
                f"The decoder ignores z: p(x|z) moves by {self.response.mean():.1g} nats between the z of two examples."
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON, in nats per example."""
        estimates = {name: getattr(self, name) for name in ("nll", "elbo", "rate", "distortion")}
        bits = self.bits_per_dimension
        return {
            "unit": "nats per example",
            "likelihood": self.subject.likelihood,
            "examples": len(self.log_evidence),
            "importance_samples": self.importance_samples,
            **{name: as_pair(e) for name, e in estimates.items()},
            "nll_monte_carlo_error": number(self.nll_monte_carlo_error),
            "nll_bias": number(self.nll_bias),
            "bits_per_dimension": None if bits is None else as_pair(bits),
            "active_units": self.active_units,
            "latent_dim": len(self.activity),
            "decoder_response": number(self.response.mean()),
            "saturated": self.saturated,
            "decoder_scale": self.decoder_scale,
            "decoder_scale_at_bound": self.decoder_scale_at_bound,
            "warnings": self.warnings(),
        }


def as_pair(estimate: Estimate) -> dict[str, float | None]:
    """For JSON."""
    return {"value": number(estimate.value), "standard_error": number(estimate.error)}


def number(value: Any) -> float | None:
    """For JSON, which knows no NaN: None where there is no number, as for the standard error of one example."""
    return float(value) if math.isfinite(value) else None


def mean(values: NDArray[np.float64]) -> Estimate:
    """Sample mean over examples with its standard error."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error), len(values))


def combine(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """log 1/K sum_k w_k of (K, examples), and its standard error, both (examples,); NaN for K = 1.

    Delta method: the variance of log(mean w) is about that of the mean of w, relative to its square.
    """
    bound = importance_weighted_bound(log_weights, axis=0)
    relative = torch.exp(log_weights - bound)  # w / mean w
    if len(log_weights) < 2:
        return bound, torch.full_like(bound, math.nan)
    return bound, (relative.var(0) / len(log_weights)).sqrt()


def compare(a: Evaluation, b: Evaluation) -> Estimate:
    """Mean difference of log p(x), a - b, in nats per example, paired over the same examples: > 0 if a is better.

    Its standard error is that of the paired differences, so that what makes an example hard for both drops out. Both
    are lower bounds: with too few importance samples, the difference is in part one of their biases.

    Raises:
        ValueError: one likelihood is Bernoulli and the other Gaussian, or the pixels are not the same.
    """
    require_comparable(a.subject, b.subject)
    return mean(a.log_evidence - b.log_evidence)


def bits_per_dimension(nll: Estimate, pixels: int, levels: int | None = None) -> Estimate:
    """Nats per example to bits per dimension: of each of the D numbers of an example, three for a pixel in colour.

    - levels = None, for the probability of binary pixels or of levels, as from a discretized logistic: nll / (D log 2).
    - L levels v = 0, ..., L - 1, seen by the model as y = (v + u) / L with u uniform on [0, 1): a level is a cell of
      volume L^-D in y, so P(v) = E_u[p(y)] L^-D, and by Jensen log P(v) >= E_u[log p(y)] - D log L. In bits,
      nll / (D log 2) + log2 L, an upper bound on -log2 P(v) / D.

    A density on pixels without levels has no such number: it changes with their unit.

    Args:
        nll: -log p(x) in nats per example. pixels: D. levels: L, if p is a density on dequantized levels.

    Source: Theis, van den Oord and Bethge 2016, section 3.1.
    """
    bits = nll / (pixels * math.log(2.0))
    return bits if levels is None else bits + math.log2(levels)


@ordinary()
def held_out_pixels(data: Data, mode: str) -> Tensor:
    """The test set as a model trained in that mode is judged on it, (examples, pixels), on the CPU, in the data's unit.

    float32; float64 where that would lose what varies, as in a small spread far from 0.
    """
    return as_judged(data, data.test, mode)


@ordinary()
@torch.no_grad()
def evaluate(
    model: VAE,
    x: Tensor,
    *,
    importance_samples: int = 5000,
    treatment: str | None = None,
    levels: int | None = None,
    seed: int = 0,
    callback: Callable[[int], None] | None = None,
) -> Evaluation:
    """The ELBO and the importance-weighted bound on log p(x), for each x.

    L_K(x) = log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x), with K draws z_k from q(z | x): its mean lies below log p(x),
    the closer the larger K. The K draws also average the ELBO's log-likelihood; its KL is in closed form.

    Args:
        model: a trained VAE. x: (examples, pixels), as `held_out_pixels` gives them.
        importance_samples: K.
        treatment, levels: the mode of `held_out_pixels`, and the levels of dequantized data, for what is said of them.
        callback: told the number of examples done so far.

    Source: Burda, Grosse and Salakhutdinov 2016, equation (8).
    """
    if importance_samples < 1 or len(x) < 1:
        raise ValueError(f"Expected at least one sample and one example, but got {importance_samples} and {len(x)}.")
    rng, aside = (torch.Generator(model.device).manual_seed(seed) for _ in range(2))  # the bounds have a separate one
    columns: list[Tensor] = []
    units: list[Tensor] = []
    draws: list[Tensor] = []
    with threads():
        for some in x.split(min(EXAMPLES, at_once(model))):
            some = some.to(model.device)
            q = model.encode(some)
            log_likelihood, log_weights = _weigh(model, some, importance_samples, rng)
            share = saturation(q).expand(len(some))
            columns.append(torch.stack([*combine(log_weights), log_likelihood.mean(0), model.kl(q), share.double()]))
            units.append(torch.stack([q.loc, _unit_kl(model, q)]).double())
            draws.append(q.sample(rng=aside))
            if callback is not None:
                callback(sum(map(len, draws)))
        response = _response(model, torch.cat(draws), aside)
    log_evidence, errors, log_likelihoods, kl, share = torch.cat(columns, 1).cpu().numpy()
    loc, unit_kl = torch.cat(units, 1)  # (examples, latent_dim)
    return Evaluation(
        log_evidence=log_evidence,
        log_evidence_error=errors,
        log_likelihood=log_likelihoods,
        kl=kl,
        activity=loc.var(0, correction=0).cpu().numpy(),
        unit_kl=unit_kl.mean(0).cpu().numpy(),
        response=response,
        saturated=float(share.mean()),
        importance_samples=importance_samples,
        subject=subject(model, x, treatment),
        levels=levels,
        decoder_scale=model.learned_scale,
        decoder_scale_at_bound=model.scale_at_bound,
    )


def at_once(model: VAE) -> int:
    """Latents that may be drawn and decoded together."""
    return max(1, min(ROWS, PIXELS // model.pixels))


@ordinary()
@torch.no_grad()
def optimal_variance(model: VAE, x: Tensor, *, samples: int = 100, seed: int = 0) -> Estimate:
    """c* = 1/(N D) sum_n E_q |x_n - f(z)|^2: the best variance of a Gaussian decoder that all pixels share.

    With encoder and f fixed, the ELBO is -N D/2 (log 2 pi c + c*/c) and what does not depend on c. A scale that is
    learned ends at sqrt(c*).

    Args:
        x: (N, D). samples: of z, for each x.

    Returns:
        c*, in the unit of the pixels squared, with its standard error over examples.

    Raises:
        TypeError: the decoder is not Gaussian.

    Source: Rybkin, Daniilidis and Levine 2021.
    """
    if model.decoder.kind != "gaussian":
        kind = IN_WORDS[model.decoder.kind]
        raise TypeError(f"Expected a Gaussian decoder, but got a {kind} one, which has no noise variance.")
    rng = torch.Generator(model.device).manual_seed(seed)
    found = []
    for some in x.split(max(1, at_once(model) // samples)):
        some = some.to(model.device)
        z = model.encode(some).sample(samples, rng=rng)
        error = model.unit.inward(some.double()) - model.decoder(z).mean
        found.append((model.unit.scale * error).square().mean((0, -1)))
    return mean(torch.cat(found).cpu().numpy())


def _weigh(model: VAE, x: Tensor, samples: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """log p(x | z) and log w = log p(x | z) + log p(z) - log q(z | x), both (samples, examples), in float64."""
    q = model.encode(x)

    def weigh(z: Tensor) -> Tensor:
        log_likelihood = model.log_likelihood(x, z).double()
        return torch.stack([log_likelihood, log_likelihood + model.prior.log_prob(z).double() - q.log_prob(z).double()])

    found = []
    together = max(1, at_once(model) // len(x))
    for start in range(0, samples, together):
        z = q.sample(min(together, samples - start), rng=rng)  # (count, examples, latent_dim)
        found.append(in_blocks(weigh, z, model.pixels))
    log_likelihood, log_weights = torch.cat(found, 1)
    return log_likelihood, log_weights


def _unit_kl(model: VAE, q: DiagonalNormal) -> Tensor:
    """KL(q(z | x) || p(z)) of each latent, (examples, latent_dim)."""
    return kl_divergence(Normal(q.loc, q.scale), Normal(model.prior.loc, model.prior.scale))


def _response(model: VAE, z: Tensor, rng: torch.Generator) -> NDArray[np.float64]:
    """KL(p(. | z) || p(. | z')) in nats, (examples,), z' that of the next example: 0 if the decoder ignores z."""
    if len(z) < 2:
        return np.full(len(z), math.nan)
    found = []
    for own, other in zip(z.split(at_once(model)), z.roll(-1, 0).split(at_once(model)), strict=True):
        p, p_other = model.decoder(own), model.decoder(other)  # in the networks' unit: a KL has none
        if isinstance(p, DiscretizedLogistic):  # its KL is a sum over all levels: one draw tells as much
            x = p.sample(rng=rng)
            found.append((p.log_prob(x) - p_other.log_prob(x)).double().sum(-1))
        else:
            found.append(kl_divergence(p, p_other).double().sum(-1))
    return torch.cat(found).cpu().numpy()
