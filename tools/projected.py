"""Pictures as a projector needs them: 16:9, no text below 18 points on a slide that is 13.3 inches wide.

A kernel that runs a notebook for tools/notebooks.py calls `hook`: SVG and PDF are then drawn in this way, and PNG, for
the notebook itself, as its cell says. The text of an SVG stays text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from IPython.core import pylabtools
from matplotlib.figure import Figure
from matplotlib.text import Text

SIZE = (10.0, 5.625)  # inches; shown on a slide, it is 13.3 inches wide, and so is every letter
SMALLEST = 18 * SIZE[0] / (40 / 3)  # points in the picture that are 18 on the slide


@contextmanager
def enlarged(figure: Figure) -> Iterator[None]:
    """The figure in the size of a slide, with every text at least SMALLEST; as it was, afterwards."""
    size = figure.get_size_inches().copy()
    ticks = [(axis, axis.get_tick_params().get("labelsize")) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    drawn = [label.get_fontsize() for axis, _ in ticks for label in axis.get_ticklabels()[:1]]
    texts = [(text, text.get_fontsize()) for text in figure.findobj(Text)]
    figure.set_size_inches(*SIZE)
    for axis, _ in ticks:
        axis.set_tick_params(which="both", labelsize=max([SMALLEST, *drawn]))
    for text, points in texts:
        text.set_fontsize(max(SMALLEST, points))
    try:
        yield
    finally:
        figure.set_size_inches(*size)
        for axis, before in ticks:
            axis.set_tick_params(which="both", labelsize=before or matplotlib.rcParams["xtick.labelsize"])
        for text, points in texts:
            text.set_fontsize(points)


def hook() -> None:
    """From now on, IPython draws SVG and PDF for a projector."""
    matplotlib.rcParams["svg.hashsalt"] = "vaelib"
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["pdf.fonttype"] = 42  # letters that can be copied
    draw: Callable[..., Any] = pylabtools.print_figure

    def print_figure(fig: Figure, fmt: str = "png", **options: Any) -> Any:
        if fmt not in ("svg", "pdf"):
            return draw(fig, fmt, **options)
        with enlarged(fig):
            return draw(fig, fmt, **{**options, "bbox_inches": None})

    replacement: Any = print_figure
    pylabtools.print_figure = replacement
