"""What a reading may choose between, what it met, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vaelib.check.gaussians import Family
from vaelib.check.latex import Items

ALONE = "|"  # behind the key of a name that is of the model's parameters alone, where another is not
OLD, NEW, STAR, DATA = "o", "n", "s", "d"
FREE = "free"  # the law of a mean that names none: that of all which is random in it
DRAWS = ("1", "2")  # of z_1, ..., z_K, taken together: what holds for all K holds for two
Bound = Mapping[
    str, str
]  # index of a sum -> its kind: data, samples, parts, the number of a draw; a letter that is random -> random
Marks = Mapping[tuple[str, str], str]  # (p or q, mark of a parameter) -> how it is marked where a name is used


@dataclass(frozen=True)
class Options:
    r"""How to read what could be read in two ways.

    Args:
        law: of an expectation that names none; FREE for the model's law of what it is a mean of.
        bare: what p alone is, in KL(q || p): p(z | x), p(z); or the variable that p and q are both laws of.
        usual: whether a name that the document does not define has its usual meaning, or minus that: a loss.
        reached: of which model q is the posterior, p or o; any law if empty.
        family: how the Gaussians are meant, if any are spoken of.
        logs: whether the letter of a variance is its logarithm, as networks return it.
        drawn: the law that samples are from, q or p.
        inside: whether the 2 of \log(a)^2 belongs to a.
        brackets: whether braces around a sum, which are not seen, are meant as brackets.
        along: what the constant in "= ... + const" may not depend on: a variable, q (the guide) or p (the model).
    """

    law: str = "q(z)"
    bare: str = "p(z | x)"
    usual: bool = True
    reached: str = ""
    family: Family | None = None
    brackets: bool = False
    logs: bool = False
    drawn: str = "q"
    inside: bool = True
    along: str = ""


@dataclass(frozen=True)
class Definition:
    """What a name stands for, and the parameters in its brackets, each with its mark."""

    body: Items
    formals: tuple[tuple[str, str], ...] = ()

    @property
    def of_the_model(self) -> bool:
        """Whether it is said to be of the model's parameters alone: \\ell(\\theta), beside \\ell(q, \\theta)."""
        return {kind for kind, _ in self.formals if kind} == {"p"}

    def fits(self, arguments: Sequence[tuple[str, str]]) -> bool:
        """Whether it is of the same variables, as far as they are said: L(x, z) is not L(x)."""
        mine, theirs = ({name for kind, name in part if not kind} for part in (self.formals, arguments))
        return not (mine and theirs) or mine == theirs


@dataclass
class Facts:
    """What a reading met."""

    unknown: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # law, bare, usual:NAME, gauss, samples, data, sum, integral, measure
    variables: set[str] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)  # of Gaussians
    written: dict[str, str] = field(default_factory=dict)  # how the document spells a name of the witnesses
    mended: list[str] = field(default_factory=list)


USUAL: dict[str, str] = {
    r"\word.ELBO": "ELBO",
    r"\cal.L": "ELBO",
    "L": "ELBO",
    r"\cal.F": "-ELBO",
    "F": "-ELBO",
    r"\word.evidence": "evidence",
    r"\KL": "gap",
    r"\cal.J": "ELBO",
}


@dataclass(frozen=True)
class Formula:
    """A formula in the names of the witnesses, and what had to be assumed."""

    latex: str
    facts: Facts
