"""Pictures of exact models and of the bound. Each function draws on `ax` and returns it; values are in nats.

What differs in color differs in brightness, in hatching or in line style too, and carries a word: a picture can be
printed in grey. A formula used as a label is LaTeX between dollar signs, within what matplotlib itself can typeset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke

from vaelib.terms import Term

BOUND = "#1f5f8b"  # dark: what can be computed
GAP = "#f2c14e"  # light and hatched: what cannot
INK = "#222222"
_DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
_SHADES = (INK, BOUND, "#c2571a", "#6b6b6b", "#9a7d0a")
_SLACK = 1e-9  # a bound may exceed the evidence by a rounding error

LabeledValues = Sequence[tuple[str, float]]


def graphical_model(ax: Axes, inference: bool = True) -> Axes:
    """The VAE as a graph: solid arrows generate, dashed arrows infer, grey is observed, the plate repeats N times."""
    places = {"z": (0, 2), "x": (0, 0), r"\theta": (1.9, 0.4)}
    arrows = [("z", "x", "-", -0.3 if inference else 0), (r"\theta", "x", "-", 0)]
    labels = {r"p_\theta(x|z)": (0.4, 1.1), "N": (1, -0.6), "p(z)": (0.42, 2.1)}
    if inference:
        places[r"\varphi"] = (-1.9, 1.6)
        arrows += [("x", "z", "--", -0.3), (r"\varphi", "z", "--", 0)]
        labels[r"q_\varphi(z|x)"] = (-1.15, 0.8)
    for start, end, style, bend in arrows:
        arrow = {"arrowstyle": "-|>", "ls": style, "lw": 1.8, "color": INK, "shrinkA": 19, "shrinkB": 19}
        arrow["connectionstyle"] = f"arc3,rad={bend}"
        ax.annotate("", places[end], places[start], arrowprops=arrow)
    for name, (x, y) in places.items():
        ring = "none" if "\\" in name else INK  # parameters are not random variables
        ax.add_patch(Circle((x, y), 0.33, facecolor="lightgrey" if name == "x" else "white", edgecolor=ring))
        ax.text(x, y, f"${name}$", ha="center", va="center", fontsize=15)
    ax.add_patch(Rectangle((-1.25, -0.7), 2.5, 3.3, fill=False))
    for label, place in labels.items():
        ax.text(*place, f"${label}$", fontsize=11)
    ax.axis((-2.5, 2.5, -0.8, 2.7))
    ax.set_axis_off()
    return ax


def labeled(terms: Iterable[Term], witness: Any) -> list[tuple[str, float]]:
    """(LaTeX between dollar signs, value on the witness) of each term, for the functions below."""
    values = ((term, term.value(witness)) for term in terms)
    return [(f"${term.latex}$", float(getattr(value, "value", value))) for term, value in values]


def densities(ax: Axes, z: Any, curves: Mapping[str, Any], variable: str = "z") -> Axes:
    """Densities over one variable, each a line with its own style, named in a legend.

    Args:
        z: points, shape (n,).
        curves: name -> density at the points, shape (n,).
    """
    z = np.asarray(z)
    for i, (name, density) in enumerate(curves.items()):
        style, shade = _DASHES[i % len(_DASHES)], _SHADES[i % len(_SHADES)]
        ax.plot(z, np.asarray(density), linestyle=style, color=shade, linewidth=2, label=name)
    ax.set_xlabel(f"${variable}$")
    ax.set_ylabel(f"density, per unit of ${variable}$")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return _clean(ax)


def evidence_bar(ax: Axes, log_evidence: float, bounds: Mapping[str, float], bottom: float | None = None) -> Axes:
    """The evidence as a bar made of bound and gap: a column for each q below one line, log p(x).

    Args:
        log_evidence: log p(x), in nats.
        bounds: name of q -> its bound, in nats; none may exceed log p(x).
        bottom: where the axis begins (log p(x) is a level, not a length); lowered if a bound needs it.
    """
    _require_below(log_evidence, bounds)
    lowest = min(bounds.values())
    margin = max(0.5, 0.4 * (log_evidence - lowest))
    bottom = lowest - margin if bottom is None else min(bottom, lowest - 0.05 * margin)
    height = log_evidence - bottom
    for i, bound in enumerate(bounds.values()):
        ax.bar(i, bound - bottom, 0.62, bottom, color=BOUND, label="bound")
        ax.bar(i, log_evidence - bound, 0.62, bound, color=GAP, edgecolor=INK, hatch="//", linewidth=0.8, label="gap")
        inside = bound - bottom > 0.16 * height
        place, side = (bound - 0.03 * height, "top") if inside else (bottom + 0.01 * height, "bottom")
        number = ax.text(i, place, f"bound\n{signed(bound)}", ha="center", va=side, color="white" if inside else INK)
        if not inside:
            number.set_path_effects([withStroke(linewidth=3, foreground="white")])
        ax.text(i, log_evidence + 0.02 * height, f"gap {signed(log_evidence - bound)}", ha="center", va="bottom")
    ax.axhline(log_evidence, color=INK, linestyle="--", linewidth=1.5)
    ax.annotate(
        rf"$\log p(x)$ = {signed(log_evidence)}",
        (0.99, log_evidence + 0.13 * height),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
    )
    ax.set_xticks(range(len(bounds)), list(bounds))
    ax.set_xlim(-0.6, len(bounds) - 0.4)
    ax.set_ylim(bottom, log_evidence + 0.24 * height)
    ax.set_ylabel("nats")
    return _clean(ax)


def evidence_band(ax: Axes, parameter: Any, bounds: Any, log_evidence: float, name: str = "mean of $q$") -> Axes:
    """The same bar for every value of a parameter of q: bound below, gap above it, log p(x) a line on top.

    Args:
        parameter: shape (n,), in ascending order. bounds: shape (n,), in nats.
    """
    parameter, bounds = np.asarray(parameter), np.asarray(bounds)
    _require_below(log_evidence, {f"{name} {value:.4g}": bound for value, bound in zip(parameter, bounds, strict=True)})
    ax.fill_between(parameter, bounds.min(), bounds, facecolor=BOUND, label="bound")
    gap = {"facecolor": GAP, "edgecolor": INK, "hatch": "//", "linewidth": 0.8}
    ax.fill_between(parameter, bounds, log_evidence, label="gap").set(**gap)
    ax.axhline(log_evidence, color=INK, linestyle="--", linewidth=1.5)
    ax.set_xlabel(name)
    ax.set_ylabel("nats")
    ax.set_xlim(parameter[0], parameter[-1])
    ax.set_ylim(bounds.min(), log_evidence + 0.12 * (log_evidence - bounds.min()))
    ax.legend(loc="lower right", framealpha=1)
    return _clean(ax)


def _number(ax: Axes, start: float, end: float, y: float, level: float, pad: float) -> None:
    """The value of a bar behind its end, or inside it where the number would lie on the dashed line."""
    side = -1 if end < start else 1
    width = 10 * pad  # of "-1.91"
    covers = pad / 2 < side * (level - end) < width and abs(end - start) > width
    at, align = (end - side * pad, side) if covers else (end + side * pad, -side)
    number = ax.text(at, y, signed(end - start), ha="left" if align < 0 else "right", va="center", fontsize=8)
    outline = BOUND if covers and side < 0 else "white"
    number.set(color="white" if outline == BOUND else INK, path_effects=[withStroke(linewidth=3, foreground=outline)])


def term_rows(ax: Axes, lines: Mapping[str, LabeledValues], level: float, level_name: str = r"$\log p(x)$") -> Axes:
    """A derivation as a picture: a block for each line, a row for each of its terms, laid end to end from zero.

    Where the terms of a line arrive is marked by a triangle. It is on the dashed line if the line has the value
    `level`; otherwise an arrow says by how much it falls short of it or goes beyond.

    Args:
        lines: name of the line -> its terms, as (label, value in nats) pairs.
        level: the value that the lines are compared with, in nats.
    """
    if not lines or not all(lines.values()):
        raise ValueError("Expected lines of at least one term each, but got a line (or a chain) without terms.")
    reach = [0.0, level, *(x for terms in lines.values() for x in np.cumsum([value for _, value in terms]))]
    left, right = min(reach), max(reach)
    pad = 0.012 * (right - left)
    ticks: dict[float, str] = {}
    y = 0.0
    for block, (name, terms) in enumerate(lines.items()):
        top, end = y, 0.0
        for label, value in terms:
            start, end = end, end + value
            style = {"facecolor": BOUND} if value < 0 else {"facecolor": GAP, "hatch": "//", "edgecolor": INK}
            for patch in ax.barh(y, value, 0.6, start):
                patch.set(**style)
            _number(ax, start, end, y, level, pad)
            if y > top:
                ax.plot([start, start], [y - 1, y], color=INK, linewidth=0.8)
            ticks[y] = label
            y += 1
        bottom = y - 0.4 if _arrival(ax, end, level, y - 0.5, pad) else y - 0.85
        if block % 2:
            ax.axhspan(top - 0.45, bottom + 0.4, color="#f1f1f1", zorder=0)
        ax.text(1.02, top, name, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
        y = bottom + 0.85
    ax.axvline(level, color=INK, linestyle="--", linewidth=1.2)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.text(level, -0.75, f"{level_name} = {signed(level)}", ha="center", va="bottom", fontsize=9)
    ax.set_yticks(list(ticks), list(ticks.values()), fontsize=9)
    ax.set_ylim(y - 0.4, -0.7)
    ax.set_xlim(left - 0.12 * (right - left), right + 0.12 * (right - left))
    ax.set_xlabel("nats")
    ax.tick_params(axis="y", length=0)
    return _clean(ax)


def jensen(ax: Axes, weights: Any, probabilities: Any) -> Axes:
    """Why log E[w] >= E[log w]: points on the logarithm, their mean, and the gap between curve and mean.

    Args:
        weights: w > 0, shape (n,).
        probabilities: of each weight, shape (n,), summing to one; the area of a point is its probability.
    """
    weights, probabilities = np.asarray(weights, dtype=float), np.asarray(probabilities, dtype=float)
    if weights.shape != probabilities.shape or not np.all(weights > 0):
        raise ValueError(
            f"Expected positive weights and as many probabilities, but got shapes {weights.shape} and "
            f"{probabilities.shape}, smallest weight {weights.min(initial=np.inf):.3g}."
        )
    if abs(probabilities.sum() - 1) > 1e-3:
        raise ValueError(f"Expected probabilities that sum to one, but got {probabilities.sum():.6g}.")
    mean, mean_log = probabilities @ weights, probabilities @ np.log(weights)
    seen = probabilities > 1e-3
    curve = np.geomspace(weights[seen].min(), weights[seen].max(), 200)
    ax.plot(curve, np.log(curve), color=INK, linewidth=1)
    ax.scatter(weights[seen], np.log(weights[seen]), 1500 * probabilities[seen], color=BOUND, alpha=0.6, linewidth=0)
    ax.plot([mean, mean], [mean_log, np.log(mean)], color=GAP, linewidth=5, solid_capstyle="butt")
    texts = (
        rf"$\log\,\mathbb{{E}}[w]$ = {signed(np.log(mean))}",
        rf"$\mathbb{{E}}[\log\,w]$ = {signed(mean_log)}, gap {signed(np.log(mean) - mean_log)}",
    )
    for value, text, marker, below in zip((np.log(mean), mean_log), texts, "s^", (4, 12), strict=True):
        ax.plot(mean, value, marker=marker, color=INK, markersize=7)
        ax.annotate(text, (mean, value), xytext=(14, -below), textcoords="offset points", va="center")
    ax.set_xlabel("weight $w$")
    ax.set_ylabel(r"$\log\,w$, nats")
    return _clean(ax)


def signed(value: float) -> str:
    """Two decimals with a true minus sign, and none before a zero: the only number format of these pictures."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def _require_below(log_evidence: float, bounds: Mapping[str, float]) -> None:
    if not bounds:
        raise ValueError("Expected at least one bound to draw, but got none.")
    for name, bound in bounds.items():
        if not bound <= log_evidence + _SLACK:
            raise ValueError(
                f"Expected a bound of at most log p(x) = {log_evidence:.6g} nats, but got {bound:.6g} for {name!r}. "
                "Is it the bound of another x, or was the KL added instead of subtracted?"
            )


def _arrival(ax: Axes, end: float, level: float, y: float, pad: float) -> bool:
    """Marks where a line arrives; away from the level, says by how much in a separate row. Returns whether away."""
    away = abs(end - level) > 5e-3
    y += 0.3 if away else 0.0
    ax.plot(end, y, marker="^", color=INK, markersize=6, clip_on=False, gid="arrival")
    if away:
        ax.annotate("", (level, y), (end, y), arrowprops={"arrowstyle": "<->", "color": INK, "linewidth": 0.9})
        words = f"short by {signed(level - end)}" if end < level else f"beyond by {signed(end - level)}"
        ax.text(max(end, level) + 2 * pad, y, words, ha="left", va="center", fontsize=8)
    return away


def _clean(ax: Axes) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    return ax
