"""Pictures: `diagrams` draws exact models and the bound, `runs` a trained model and its course."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaelib._lazy import handed_on

if TYPE_CHECKING:
    from vaelib.plots.diagrams import (
        LabeledValues,
        densities,
        evidence_band,
        evidence_bar,
        graphical_model,
        jensen,
        labeled,
        signed,
        term_rows,
    )
    from vaelib.plots.runs import (
        curve,
        curves,
        displayable,
        figure,
        histogram,
        image_grid,
        latent_plane,
        plain,
        reconstructions,
        running_mean,
        save,
        states,
    )

__all__ = [
    "LabeledValues",
    "curve",
    "curves",
    "densities",
    "displayable",
    "evidence_band",
    "evidence_bar",
    "figure",
    "graphical_model",
    "histogram",
    "image_grid",
    "jensen",
    "labeled",
    "latent_plane",
    "plain",
    "reconstructions",
    "running_mean",
    "save",
    "signed",
    "states",
    "term_rows",
]

__getattr__, __dir__ = handed_on(
    __name__,
    {
        "diagrams": (
            "LabeledValues densities evidence_band evidence_bar graphical_model jensen labeled signed term_rows"
        ),
        "runs": (
            "curve curves displayable figure histogram image_grid latent_plane plain reconstructions "
            "running_mean save states"
        ),
    },
)
