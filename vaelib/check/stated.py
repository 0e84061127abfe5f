r"""Models that a document states in letters: p(z) = N(0, I), p(x | z) = N(W z + b, \sigma^2 I).

The letters get values at random, and with a prior and a decoder that is linear in z every density follows, also the
posterior. Where there is a matrix, x and z are vectors of different sizes, so that W^T W is not taken for W W^T.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib.check.roles import GUIDE, LATENT
from vaelib.derivation import IllTyped
from vaelib.formula import Scope, tex
from vaelib.formula.rules import Rule
from vaelib.formula.spaces import Space
from vaelib.formula.typed import Typed
from vaelib.formula.worlds import JointGaussian

Array = np.ndarray
PRIOR, DECODER, MARGINAL = "prior", "decoder", "marginal"
HEIGHT, WIDTH = 3, 2  # of W, where x = W z + b
MATRICES = frozenset({"W", "A", "B", "C", "F", "H", r"\Lambda", r"\Phi"})
SQUARES = frozenset({r"\Psi", r"\Gamma", "P", "R", "S", "V"})
VECTORS = frozenset("bcm")
LETTERS = MATRICES | SQUARES | VECTORS | set("arstuvw") | set(r"\alpha \beta \gamma \delta \kappa \lambda".split())
LETTERS |= set(r"\nu \rho \tau \omega".split())


@dataclass(frozen=True)
class Shape:
    """A law N(m, S) that a document states.

    Args:
        place: which law: PRIOR, DECODER or GUIDE; MARGINAL for that of an observed variable which has no latent one.
        mean, covariance: formulas in the names of the witnesses.
        of_formula: whether they are more than names, as in N(a z, s^2).
    """

    place: str
    mean: str
    covariance: str
    of_formula: bool

    @property
    def words(self) -> list[str]:
        """What its formulas are made of."""
        return f"{self.mean} {self.covariance}".split()

    @property
    def labels(self) -> set[str]:
        r"""What hangs on the means and scales in it: 0 of \mu_0."""
        found = re.findall(r"\\(?:mu|sigma|Sigma)(?: _ \{ (\S+) \})?", f"{self.mean} {self.covariance}")
        return set(found)


@dataclass(frozen=True, eq=False)
class Fixed:
    """One law of the latent variable, whatever is given with it."""

    law: JointGaussian
    others: tuple[str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        return (LATENT, *self.others)

    def log_prob(self, targets: Mapping[str, Typed], givens: Mapping[str, Typed], rule: Rule) -> Array:
        return self.law.log_prob({LATENT: targets[LATENT]}, {}, rule)

    def space(self, target: str, givens: Mapping[str, Typed]) -> Space | None:
        return self.law.space(LATENT, {})


def letters_of(words: Iterable[str], shapes: Iterable[Shape]) -> tuple[str, ...]:
    """Those that stand for numbers, vectors or matrices of which a document does not give the values."""
    stated = {word for shape in shapes for word in shape.words}
    return tuple(sorted(LETTERS & {*words, *stated}))


def value_of(letter: str, seed: int, size: int = 0) -> Any:
    """A positive number; with a size, a vector or a covariance of that size where the letter stands for one, or W."""
    rng = np.random.default_rng([seed, 31, *letter.encode()])
    if size and letter in SQUARES:
        return _covariance(rng, size)
    if size and letter in MATRICES | VECTORS:
        return rng.normal(0, 0.8, (HEIGHT, WIDTH) if letter in MATRICES else size)
    return float(rng.uniform(0.5, 1.7))


def values_of(
    letters: Iterable[str], shapes: Sequence[Shape], seed: int, turn: int = 0, sizes: tuple[int, int] = (0, 0)
) -> dict[str, Any]:
    """Values of letters. With another turn, those that the model does not speak of have other ones.

    Args:
        sizes: of the latent variable, and of the observed one.
    """
    of_model = {word for shape in shapes if shape.place != GUIDE for word in shape.words}
    prior = {word for shape in shapes if shape.place in (PRIOR, GUIDE) for word in shape.words}
    return {
        letter: value_of(
            letter,
            seed + (0 if letter in of_model else 1000 * turn),
            sizes[0] if letter in prior else sizes[1],
        )
        for letter in letters
    }


def of_vectors(
    shapes: Sequence[Shape],
    labels: Iterable[str],
    letters: Iterable[str],
    names: Iterable[str],
    seed: int,
    turn: int,
) -> Scope:
    """The names of a document in which x = W z + b + noise is spoken of."""
    prior = " ".join(f"{shape.mean} {shape.covariance} " for shape in shapes if shape.place in (PRIOR, GUIDE))
    values: dict[str, Any] = {"D": HEIGHT, "d": WIDTH, "k": WIDTH, "K": WIDTH}
    values |= values_of(letters, shapes, seed, turn, (WIDTH, HEIGHT))
    for label in labels:
        end, below = (f"_{{{label}}}", f" _ {{ {label} }}") if label else ("", "")
        rng = np.random.default_rng([seed, 41, *label.encode()])
        size = WIDTH if rf"\mu{below} " in prior or rf"\Sigma{below} " in prior else HEIGHT
        values |= {rf"\mu{end}": rng.normal(0, 0.8, size), rf"\Sigma{end}": _covariance(rng, size)}
        values[rf"\sigma{end}"] = float(rng.uniform(0.5, 1.7))
    sizes = {name: WIDTH if name == LATENT else HEIGHT for name in names}
    rng = np.random.default_rng([seed, 37])
    observed = {name: rng.normal(0, 0.8, size) for name, size in sizes.items()}
    return Scope(worlds=stated(shapes, values, sizes, observed), values=values, observed=observed)


def stated(
    shapes: Sequence[Shape], values: Mapping[str, Any], sizes: Mapping[str, int], observed: Mapping[str, Any]
) -> dict[str, Any]:
    """The model and the guide, as far as a document states them.

    Args:
        values: of the letters.
        sizes: of the variables, 0 for a number.
        observed: their values, of which the law of a guide may speak.

    Raises IllTyped for a decoder that is not linear in z.
    """
    known = {**values, **observed}
    laws = {shape.place: shape for shape in shapes}
    others = {name: size for name, size in sizes.items() if name != LATENT}
    found: dict[str, Any] = {}
    if PRIOR in laws:
        loc, covariance = _moments(laws[PRIOR], known, sizes, LATENT, np.zeros(max(1, sizes[LATENT])))
        offset, slope, noise = _decoder(laws.get(DECODER), known, sizes, others)
        spread = slope @ covariance
        whole = np.block([[covariance, spread.T], [spread, spread @ slope.T + noise]])
        names = {LATENT: sizes[LATENT], **others}
        found["p"] = JointGaussian(names, np.concatenate([loc, slope @ loc + offset]), whole)
    elif MARGINAL in laws:
        loc, covariance = _moments(laws[MARGINAL], known, sizes, next(iter(others)), np.zeros(1))
        found["p"] = JointGaussian(others, loc, covariance)
    if GUIDE in laws:
        loc, covariance = _moments(laws[GUIDE], known, sizes, LATENT, np.zeros(max(1, sizes[LATENT])))
        found["q"] = Fixed(JointGaussian({LATENT: sizes[LATENT]}, loc, covariance), tuple(others))
    return found


def _decoder(
    shape: Shape | None, known: Mapping[str, Any], sizes: Mapping[str, int], others: Mapping[str, int]
) -> tuple[Array, Array, Array]:
    """The offset, the slope and the noise of x = W z + b + noise: those that are stated, or any."""
    size, width = sum(max(1, n) for n in others.values()), max(1, sizes[LATENT])
    if shape is None:
        rng = np.random.default_rng([size, width, 43])
        return rng.normal(size=size), rng.normal(0, 0.7, (size, width)), np.diag(rng.uniform(0.3, 1.2, size))
    x, *more = others
    if more:
        raise IllTyped(f"Expected one observed variable beside N(m, S) in letters, but got {x}, {', '.join(more)}.")
    zero = np.zeros(width)
    offset, noise = _moments(shape, known, sizes, x, zero)
    slope = np.stack([_moments(shape, known, sizes, x, unit)[0] - offset for unit in np.eye(width)], axis=-1)
    there = _moments(shape, known, sizes, x, zero + 1.7)
    if not (np.allclose(there[0], offset + slope @ (zero + 1.7)) and np.allclose(there[1], noise)):
        raise IllTyped("Expected a decoder whose mean is linear in z, and whose variance does not depend on it.")
    return offset, slope, noise


def _moments(
    shape: Shape, known: Mapping[str, Any], sizes: Mapping[str, int], of: str, z: Array
) -> tuple[Array, Array]:
    """The mean and the covariance of a law of one variable, at a value of the latent one."""
    size = max(1, sizes[of])
    where = {**known, LATENT: z if sizes[LATENT] else float(z[0])}

    def computed(latex: str, expected: tuple[int, ...]) -> Array:
        found = tex(latex).value(Scope(values={**where, "O": np.zeros(expected)}))
        return np.broadcast_to(np.asarray(getattr(found, "value", found), dtype=float), expected)

    if sizes[of]:  # the zero matrix says how large an identity is
        return computed(shape.mean, (size,)), computed(f"O + ({shape.covariance})", (size, size))
    return computed(shape.mean, (size,)), computed(re.sub(r"\bI\b", "( 1 )", shape.covariance), (size, size))


def _covariance(rng: np.random.Generator, size: int) -> Array:
    root = np.eye(size) + 0.3 * rng.normal(size=(size, size))
    return root @ root.T
