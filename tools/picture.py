"""Draw the picture of the README: the evidence as a bar made of bound and gap, for four choices of q.

    .venv/bin/python tools/picture.py [FOLDER]

Writes evidence.png and evidence.svg to FOLDER, by default docs/. The same figure on the same versions gives the same
bytes, so that a changed file means a changed picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no window, whatever the machine

from matplotlib import pyplot
from matplotlib.figure import Figure

from vaelib.distributions import Normal
from vaelib.elbo import bound_terms
from vaelib.models import CurvedGaussian
from vaelib.plots import densities, evidence_bar

ROOT = Path(__file__).resolve().parent.parent


def figure() -> Figure:
    """z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1: the toy model of notebook 05, where everything can be computed."""
    model, x = CurvedGaussian(np.array([2.0]), np.zeros(1), np.zeros(1), 0.5), np.array([1.0])
    guesses = {
        "far off": Normal(1.0, 0.4),
        "too narrow": Normal(4 / 9, 0.1),
        "close": Normal(0.3, 0.4),
        "posterior": Normal(4 / 9, 1 / 3),
    }
    z = np.linspace(-1.2, 2.4, 400)
    drawn, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    densities(left, z, {name: np.exp(q.log_prob(z)) for name, q in guesses.items()})
    bounds = {name: float(bound_terms(model, x, q).elbo.value) for name, q in guesses.items()}
    evidence_bar(right, float(model.log_evidence(x).value), bounds)
    right.set_title("evidence = bound + gap: no q moves the line", fontsize=10, loc="left")
    return drawn


def save(folder: Path) -> list[Path]:
    """Write both files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = figure()
    with pyplot.rc_context({"svg.hashsalt": "vaelib"}):
        drawn.savefig(folder / "evidence.svg", metadata={"Date": None, "Creator": None})
    drawn.savefig(folder / "evidence.png", dpi=150, metadata={"Software": None})
    pyplot.close(drawn)
    return [folder / "evidence.png", folder / "evidence.svg"]


if __name__ == "__main__":
    for path in save(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"):
        print(path)
