"""The map of the notebooks as a picture, drawn from what each says that it needs: boxes, and an arrow for each need.

Boxes are links. Colours are those of the page, so that the map follows its dark mode.
"""

from __future__ import annotations

import re
import textwrap
from html import escape
from itertools import pairwise

from start import Chapter

WIDTH, HEIGHT = 176, 44  # of a box
ACROSS, DOWN = 28, 34  # between boxes
LETTERS = 22  # in a line of a box, which has two


def depths(course: list[Chapter]) -> dict[str, int]:
    """number -> how many notebooks come before it at least, along its longest chain of needs.

    >>> from start import Chapter
    >>> def one(number, *after): return Chapter(number, "", "", "", "", "", after)
    >>> depths([one("00"), one("01", "00"), one("02", "00", "01")])
    {'00': 0, '01': 1, '02': 2}
    """
    found: dict[str, int] = {}
    for one in course:
        found[one.number] = max((found[number] + 1 for number in one.after if number in found), default=0)
    return found


def needs(course: list[Chapter]) -> list[tuple[str, str]]:
    """(what is needed, by whom), without what follows from another arrow."""
    after = {one.number: set(one.after) for one in course}

    def behind(number: str) -> set[str]:
        return after.get(number, set()).union(*(behind(other) for other in after.get(number, ())))

    return [
        (number, one.number)
        for one in course
        for number in one.after
        if number in after and not any(number in behind(other) for other in one.after if other != number)
    ]


def places(course: list[Chapter]) -> dict[str, tuple[float, float]]:
    """number -> the middle of its box: a row for each depth, each row in the middle."""
    rows: dict[int, list[str]] = {}
    for number, depth in depths(course).items():
        rows.setdefault(depth, []).append(number)
    widest = max(len(row) for row in rows.values())
    found = {}
    for depth, row in rows.items():
        for i, number in enumerate(row):
            x = (i + (widest - len(row)) / 2) * (WIDTH + ACROSS) + WIDTH / 2
            found[number] = (x + 2, depth * (HEIGHT + DOWN) + HEIGHT / 2 + 2)
    return found


def arrow(at: dict[str, tuple[float, float]], below: str, above: str) -> str:
    """The path from a box to another; where it passes a row, it goes between the boxes."""
    (x0, y0), (x1, y1) = at[below], at[above]
    x, y = x0, y0 + HEIGHT / 2
    path = f"M{x:g} {y:g}"
    for middle in sorted({row for _, row in at.values() if y0 < row < y1}):
        row = sorted(place for place, here in at.values() if here == middle)
        gaps = [row[0] - (WIDTH + ACROSS) / 2, *((a + b) / 2 for a, b in pairwise(row)), row[-1] + (WIDTH + ACROSS) / 2]
        straight = x0 + (x1 - x0) * (middle - y0) / (y1 - y0)
        gap = min(gaps, key=lambda place: abs(place - straight))
        path += _curve(x, y, gap, middle - HEIGHT / 2) + f"V{middle + HEIGHT / 2:g}"
        x, y = gap, middle + HEIGHT / 2
    return path + _curve(x, y, x1, y1 - HEIGHT / 2 - 1)


def _curve(x0: float, y0: float, x1: float, y1: float) -> str:
    half = (y1 - y0) / 2
    return f"C{x0:g} {y0 + half:g} {x1:g} {y1 - half:g} {x1:g} {y1:g}"


def picture(course: list[Chapter]) -> str:
    """The map as SVG, with a title and a description for those who do not see it."""
    at = places(course)
    width = max(x for x, _ in at.values()) + WIDTH / 2 + 2
    height = max(y for _, y in at.values()) + HEIGHT / 2 + 2
    said = "; ".join(f"{one.number} builds on {' and '.join(one.after) or 'nothing'}" for one in course)
    parts = [
        f'<svg class="map" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="group"'
        ' aria-labelledby="map-title map-says">',
        '<title id="map-title">Map of the notebooks</title>',
        f'<desc id="map-says">{escape(said)}.</desc>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for below, above in needs(course):
        parts.append(f'<path class="arrow" marker-end="url(#tip)" d="{arrow(at, below, above)}"/>')
    for one in course:
        x, y = at[one.number]
        lines = textwrap.wrap(f"{one.number} {re.split('[:,]', one.title)[0]}", LETTERS)[:2]
        rows = "".join(
            f'<tspan x="{x:g}" y="{y + 5 + 18 * (i - (len(lines) - 1) / 2):g}">{escape(line)}</tspan>'
            for i, line in enumerate(lines)
        )
        parts.append(
            f'<a href="notebooks/{one.file.removesuffix(".ipynb")}.html">'
            f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            f'<text text-anchor="middle">{rows}</text></a>'
        )
    return "\n".join([*parts, "</svg>"])
