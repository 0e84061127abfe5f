"""How good a trained model is.

`bounds` has `evaluate` and what may be compared, `ais` bounds log p(x) from both sides, `gaps` says why the ELBO lies
below it, `baseline` is what a VAE must beat, and `words` tells the results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaelib._lazy import handed_on

if TYPE_CHECKING:
    from vaelib.evaluate.ais import Annealed, Sandwich, annealed_bound, sandwich, temperature_schedule
    from vaelib.evaluate.baseline import BernoulliMixture, fit_mixture, independent_pixels
    from vaelib.evaluate.bounds import (
        Evaluation,
        Subject,
        bits_per_dimension,
        combine,
        compare,
        evaluate,
        held_out_pixels,
        mean,
        optimal_variance,
        require_comparable,
        subject,
    )
    from vaelib.evaluate.gaps import Gaps, inference_gaps

__all__ = [
    "Annealed",
    "BernoulliMixture",
    "Evaluation",
    "Gaps",
    "Sandwich",
    "Subject",
    "annealed_bound",
    "bits_per_dimension",
    "combine",
    "compare",
    "evaluate",
    "fit_mixture",
    "held_out_pixels",
    "independent_pixels",
    "inference_gaps",
    "mean",
    "optimal_variance",
    "require_comparable",
    "sandwich",
    "subject",
    "temperature_schedule",
]

__getattr__, __dir__ = handed_on(
    __name__,
    {
        "ais": "Annealed Sandwich annealed_bound sandwich temperature_schedule",
        "baseline": "BernoulliMixture fit_mixture independent_pixels",
        "bounds": (
            "Evaluation Subject bits_per_dimension combine compare evaluate held_out_pixels mean "
            "optimal_variance require_comparable subject"
        ),
        "gaps": "Gaps inference_gaps",
    },
)
