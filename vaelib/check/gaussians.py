r"""Where a document speaks of means and variances: Gaussian laws by their labels, \mu_q, \sigma_1, on random values.

A label is what hangs on \mu and \sigma: q, p, 0, 1, x, or nothing. Each has a Gaussian law, and p and q are two of
them, or the standard one. The observed variables depend on the latent one linearly, so that every density is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from vaelib.check.roles import GUIDE, LATENT
from vaelib.check.stated import Fixed, Shape, of_vectors, stated, values_of
from vaelib.formula import Scope
from vaelib.formula.rules import Rule
from vaelib.formula.spaces import Space
from vaelib.formula.typed import Typed
from vaelib.formula.worlds import JointGaussian

Array = np.ndarray
Values = Mapping[str, Typed]
STANDARD = "standard"
DIMENSIONS = ("J", "d", "D", "k", "n", "K", r"\ell", "M", "m")


@dataclass(frozen=True)
class Family:
    """How a document's Gaussians are meant.

    Args:
        labels: those of its means and variances; "" for none.
        model, guide: the label of p and of q, or STANDARD.
        size: of the latent variable, 0 for a number.
        diagonal: whether covariances are diagonal, as they are where \\sigma is beside \\Sigma.
        names: the variables.
        letters: other letters, a in N(x; a z, s^2), which get values.
        shapes: laws that the document states in formulas of these letters.
        turn: 0, or which other guide of the same kind is taken.
        matrices: whether x and z are vectors of different sizes, and W is a matrix; otherwise all are numbers.
    """

    labels: tuple[str, ...]
    model: str
    guide: str
    size: int
    diagonal: bool
    names: tuple[str, ...]
    letters: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    matrices: bool = False
    turn: int = 0


@dataclass(frozen=True, eq=False)
class Anywhere:
    """N(m, S) as a law of any one variable: N(z; m, S), N(x; m, S)."""

    law: JointGaussian
    variables: tuple[str, ...]

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        (value,) = targets.values()
        return self.law.log_prob({LATENT: value}, {}, rule)

    def space(self, target: str, givens: Values) -> Space | None:
        return self.law.space(LATENT, {})


@lru_cache(maxsize=128)
def gaussian_scope(family: Family, seed: int) -> Scope:
    """The names of a document's Gaussians on random values."""
    if family.matrices:
        return of_vectors(family.shapes, family.labels, family.letters, family.names, seed, family.turn)
    rng = np.random.default_rng([seed, 23])
    k = max(1, family.size)
    values: dict[str, Any] = {}
    moments: dict[str, tuple[Array, Array]] = {STANDARD: (np.zeros(k), np.eye(k))}
    for label in family.labels:
        mean = rng.normal(0, 0.8, k)
        scale = rng.uniform(0.6, 1.6, k)
        if family.turn and label == family.guide and not any(shape.place == GUIDE for shape in family.shapes):
            other = np.random.default_rng([seed, family.turn, 47])
            mean, scale = mean + other.normal(0, 0.5, k), scale * other.uniform(0.7, 1.4, k)
        root = np.diag(scale) if family.diagonal else np.diag(scale) + 0.3 * np.tril(rng.normal(size=(k, k)), -1)
        moments[label] = mean, root @ root.T
        end = f"_{{{label}}}" if label else ""
        number = family.size == 0
        values[rf"\mu{end}"] = float(mean[0]) if number else mean
        values[rf"\Sigma{end}"] = float(scale[0] ** 2) if number else root @ root.T
        if family.diagonal or number:
            values[rf"\sigma{end}"] = float(scale[0]) if number else scale
    values |= {letter: k for letter in DIMENSIONS}
    others = tuple(name for name in family.names if name != LATENT)

    def law(label: str) -> JointGaussian:
        mean, covariance = moments[label]
        return JointGaussian({LATENT: family.size}, mean, covariance)

    mean, covariance = moments[family.model]
    slopes = rng.normal(0, 0.7, (len(others), k))
    whole = np.block(
        [
            [covariance, covariance @ slopes.T],
            [slopes @ covariance, slopes @ covariance @ slopes.T + np.diag(rng.uniform(0.3, 1.2, len(others)))],
        ]
    )
    centre = np.concatenate([mean, slopes @ mean + rng.normal(size=len(others))])
    sizes = {LATENT: family.size, **dict.fromkeys(others, 0)}
    values |= values_of(family.letters, family.shapes, seed, family.turn)
    worlds: dict[str, Any] = {"p": JointGaussian(sizes, centre, whole), "q": Fixed(law(family.guide), others)}
    worlds |= {f"g_{{{_name(label)}}}": Anywhere(law(label), (LATENT, *others)) for label in moments}
    point = rng.normal(0, 0.8, k)
    observed: dict[str, Any] = {LATENT: float(point[0]) if family.size == 0 else point}
    observed |= {name: float(rng.normal()) for name in others}
    worlds |= stated(family.shapes, values, sizes, observed)
    return Scope(worlds=worlds, values=values, observed=observed, ranges={"j": k, "l": 1, "i": 1})


def _name(label: str) -> str:
    return rf"\mathrm{{{label or 'none'}}}" if label == STANDARD or not label else label


def law_name(label: str) -> str:
    """How a formula calls the law with a label."""
    return f"g_{{{_name(label)}}}"


def moved(family: Family, seed: int, name: str, places: int) -> list[Scope]:
    """The same names at several values of a variable, drawn at random, or with several guides."""
    where = gaussian_scope(family, seed)
    if name == GUIDE:
        return [gaussian_scope(replace(family, turn=turn), seed) for turn in range(places)]
    if name not in where.observed:
        return [where]
    rng = np.random.default_rng(29)
    shape = np.shape(where.observed[name])
    return [replace(where, observed={**where.observed, name: rng.normal(0, 0.8, shape)[()]}) for _ in range(places)]
