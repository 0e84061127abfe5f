"""What the commands say: results in words, with their errors and what they are about."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaelib.estimate import Estimate
    from vaelib.evaluate.ais import Annealed, Sandwich
    from vaelib.evaluate.bounds import Evaluation
    from vaelib.evaluate.gaps import Gaps


def lines(result: Evaluation, mode: str) -> list[str]:
    """An evaluation in words."""
    estimates = {
        "NLL": (result.nll, f"upper bound on -log p(x), {result.importance_samples:,} samples"),
        "ELBO": (result.elbo, "lower bound on log p(x)"),
        "rate": (result.rate, "KL(q(z|x) || p(z))"),
        "distortion": (result.distortion, "-E_q[log p(x|z)]"),
    }
    error, bias, count = result.nll_monte_carlo_error, result.nll_bias, len(result.log_evidence)
    bits = result.bits_per_dimension
    return [
        f"Test set, {count:,} example{'s' * (count != 1)}, in nats per example, +- standard error over examples;"
        f" {pixels_in_words(mode)}.",
        *(f"  {name:<11}{e.value:9.2f} {plus_minus(e)}   {what}" for name, (e, what) in estimates.items()),
        f"Of the NLL, +- {error:.3f} comes from the samples of z alone, and about {bias:.3f} is bias upwards."
        if math.isfinite(error)
        else "One sample of z for each example tells nothing about its own error.",
        *([] if bits is None else [f"The NLL is {bits.value:.4f} {plus_minus(bits, 4)} bits per dimension."]),
        f"{result.active_units} of {len(result.activity)} latents are active.",
    ]


def annealed_lines(annealed: Annealed, bounds: Sandwich, change: Estimate, annealing: dict[str, Any]) -> list[str]:
    """Annealed sampling in words; `change` is what it adds to the importance-weighted bound."""
    steps, chains = annealing["temperatures"], annealing["chains"]
    lower, upper, gap = bounds.lower, bounds.upper, bounds.gap
    return [
        f"Annealed from q(z|x), {chains} chains of {steps} steps, {annealed.acceptance.mean():.0%} of moves accepted:",
        f"  {len(annealed.log_evidence)} test examples: log p(x) >= {annealed.lower.value:.2f}"
        f" {plus_minus(annealed.lower)}; less the importance-weighted bound, {change.value:+.3f}"
        f" {plus_minus(change, 3)}.",
        f"  {len(bounds.backward)} simulated ones: log p(x) from {lower.value:.2f} to {upper.value:.2f}, a gap of"
        f" {gap.value:.3f} {plus_minus(gap, 3)}.",
    ]


def gap_lines(gaps: Gaps) -> list[str]:
    """The inference gap and its parts in words."""
    parts = {
        "approximation": (gaps.approximation, "a Gaussian q with independent coordinates comes no closer"),
        "amortization": (gaps.amortization, "the encoder's q is not the best of these"),
    }
    inference, count = gaps.inference, len(gaps.log_evidence)
    return [
        f"log p(x) - ELBO on {count} test examples: {inference.value:.3f} {plus_minus(inference, 3)}. Of this,",
        *(f"  {name:<14}{e.value:9.3f} {plus_minus(e, 3)}   {why}" for name, (e, why) in parts.items()),
    ]


def plus_minus(estimate: Estimate, digits: int = 2) -> str:
    """The standard error; one example has none."""
    return f"+- {estimate.error:.{digits}f}" if math.isfinite(estimate.error) else "(no error: one example)"


def pixels_in_words(mode: str) -> str:
    """The binarization, for every printed result."""
    return {
        "dynamic": "pixels binarized: training set at each visit, test set once",
        "fixed": "pixels binarized once",
        "none": "pixels as they are",
        "dequantized": "pixels dequantized: training set at each visit, test set once",
    }[mode]
