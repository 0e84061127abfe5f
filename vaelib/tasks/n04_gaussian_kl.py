r"""Exercises to notebook 04: the KL between Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaelib.distributions import Normal, kl_divergence
from vaelib.task import Compute, Mistake, Rule
from vaelib.witnesses import NormalPair, away_from_zero, generic_scale

Rng = np.random.Generator

NEVER_NEGATIVE = Rule(
    "A KL is never negative: E_q[log(q/p)] averages to zero or more. Yours is negative here.",
    lambda value, **_: bool(np.all(value >= -1e-12)),
)


def _one_pair(rng: Rng) -> dict[str, Any]:
    pair = NormalPair.draw(rng)
    names = ("loc_q", "scale_q", "loc_p", "scale_p")
    return dict(zip(names, map(float, (pair.q.loc, pair.q.scale, pair.p.loc, pair.p.scale)), strict=True))


def _kl(loc_q: Any, scale_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return kl_divergence(Normal(loc_q, scale_q), Normal(loc_p, scale_p))


def _shift(loc_q: Any, loc_p: Any, scale_p: Any) -> Any:
    return (loc_q - loc_p) ** 2 / (2 * scale_p**2)


ONE_DIMENSION = Compute(
    id="04.1",
    title="KL between two univariate Gaussians",
    level="core",
    minutes=10,
    name="kl_normal",
    truth=_kl,
    examples=(
        {"loc_q": 0.0, "scale_q": 1.0, "loc_p": 0.0, "scale_p": 1.0},
        {"loc_q": 1.0, "scale_q": 1.0, "loc_p": 0.0, "scale_p": 1.0},
        {"loc_q": 0.0, "scale_q": 2.0, "loc_p": 0.0, "scale_p": 1.0},
    ),
    draw=_one_pair,
    rules=(NEVER_NEGATIVE,),
    mistakes=(
        Mistake(
            "no logarithm",
            "It looks like the normalizers were taken to cancel: log(scale_p / scale_q) is missing.",
            lambda loc_q, scale_q, loc_p, scale_p: scale_q**2 / (2 * scale_p**2) + _shift(loc_q, loc_p, scale_p) - 0.5,
            real="a published note",
        ),
        Mistake(
            "KL swapped",
            "It looks like KL(p || q): the expectation is under the first argument, q.",
            lambda loc_q, scale_q, loc_p, scale_p: _kl(loc_p, scale_p, loc_q, scale_q),
        ),
        Mistake(
            "variance for scale",
            "It looks like the scales were taken for variances: here scale is the standard deviation.",
            lambda loc_q, scale_q, loc_p, scale_p: _kl(loc_q, np.sqrt(scale_q), loc_p, np.sqrt(scale_p)),
        ),
        Mistake(
            "minus the square of the means",
            "It looks like the squared distance of the means is subtracted: it makes the two differ more, so it adds.",
            lambda loc_q, scale_q, loc_p, scale_p: (
                _kl(loc_q, scale_q, loc_p, scale_p) - 2 * _shift(loc_q, loc_p, scale_p)
            ),
            real="a published note",
        ),
        Mistake(
            "no minus one half",
            "It looks like the entropy's 1/2 is missing: at q = p a KL is zero.",
            lambda **w: _kl(**w) + 0.5,
        ),
        Mistake(
            "minus KL",
            "It looks like the sign is turned: this is what an ELBO adds, and KL itself is never negative.",
            lambda **w: -_kl(**w),
        ),
    ),
    hints=(
        "Which expectation is a KL, and under which of the two distributions is it taken?",
        "What is E_q[(z - loc_p)^2]? It has two parts: one from the spread of q, one from the distance of the means.",
        "Write log q(z) - log p(z) as three terms: normalizers, q's square, p's square. What is the mean of each?",
    ),
    next="Set q = p: every right formula gives zero there. Then move one number at a time.",
    forbidden=("vaelib.kl_divergence",),
)


def _encoder(rng: Rng) -> dict[str, Any]:
    return {"loc": away_from_zero(rng, 0.3, 1.5, (3, 4)), "log_scale": np.log(generic_scale(rng, (3, 4)))}


def _to_standard(loc: Any, log_scale: Any) -> Any:
    return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale, axis=-1)


TO_THE_PRIOR = Compute(
    id="04.2",
    title="KL of an encoder's output to N(0, I)",
    level="core",
    minutes=10,
    name="kl_to_prior",
    truth=_to_standard,
    examples=(
        {"loc": np.array([[0.0, 0.0]]), "log_scale": np.array([[0.0, 0.0]])},
        {"loc": np.array([[1.0, 2.0]]), "log_scale": np.array([[0.0, 0.0]])},
        {"loc": np.array([[0.0, 0.0]]), "log_scale": np.array([[0.5, -0.5]])},
    ),
    draw=_encoder,
    rules=(NEVER_NEGATIVE,),
    mistakes=(
        Mistake(
            "plus the square of the mean, as printed",
            "It looks like loc^2 has a sign as once printed: in -1/2 sum(1 + log var - loc^2 - var) it is minus.",
            lambda loc, log_scale: _to_standard(loc, log_scale) - np.sum(loc**2, axis=-1),
            real="a published note",
        ),
        Mistake(
            "log_scale taken for log_var",
            "It looks like log_scale was taken for the log-variance: the variance is exp(2 log_scale).",
            lambda loc, log_scale: _to_standard(loc, log_scale / 2),
            real="several public repositories",
        ),
        Mistake(
            "mean over latents",
            "It looks like the latents are averaged: a KL of independent coordinates is a sum, in nats per example.",
            lambda loc, log_scale: _to_standard(loc, log_scale) / loc.shape[-1],
            real="several public repositories",
        ),
        Mistake(
            "no one half",
            "It looks like the factor 1/2 is missing in front of the sum.",
            lambda loc, log_scale: 2 * _to_standard(loc, log_scale),
        ),
        Mistake(
            "summed over the examples, too",
            "It looks like the sum runs over the examples as well: one number is returned for each of them.",
            lambda loc, log_scale: np.sum(_to_standard(loc, log_scale)),
        ),
    ),
    hints=(
        "Which of the two Gaussians has which mean and which scale here?",
        "What becomes of the formula in one dimension when p = N(0, 1)? What is the variance in terms of log_scale?",
        "The coordinates are independent: what does that do to the KL, and which axis holds the latents?",
    ),
    next="Take one example with one latent, and put in loc = 0, log_scale = 0: what must come out?",
    forbidden=("vaelib.kl_divergence",),
)

TASKS = (ONE_DIMENSION, TO_THE_PRIOR)
