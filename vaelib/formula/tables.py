r"""Independent variables with finitely many values each, as one vector z: z_j is the value of the j-th.

Independent("z", tables)                      q(z), a product
Independent("z", tables).coordinate           q_j(z_j): for the family "q_" of a scope
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula.rules import Rule
from vaelib.formula.spaces import Space, States
from vaelib.formula.worlds import Values, asked

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Independent:
    """k independent variables with values 0, ..., n - 1.

    Args:
        variable: the name of the vector of all of them.
        tables: probabilities, shape (k, n); each row sums to one.
    """

    variable: str
    tables: Array

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.variable,)

    @cached_property
    def states(self) -> Array:
        """Every value of the vector, shape (n^k, k)."""
        k, n = np.shape(self.tables)
        return np.array(list(product(range(n), repeat=k)))

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        if givens or set(targets) != {self.variable} or targets[self.variable].rank != 1:
            raise IllTyped(f"Expected a density of the vector {self.variable}, but got {asked(targets, givens)}.")
        value = targets[self.variable].data.astype(int)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.tables)[np.arange(value.shape[-1]), value].sum(axis=-1))

    def space(self, target: str, givens: Values) -> Space:
        return States(self.states)

    def coordinate(self, j: Array) -> Coordinate:
        """The j-th of them, from 0, as a law by itself."""
        return Coordinate(self.variable, self.tables, j)


@dataclass(frozen=True, eq=False)
class Coordinate:
    """One of several independent variables, or each of a batch of them."""

    variable: str
    tables: Array
    j: Array

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.variable,)

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        if givens or set(targets) != {self.variable}:
            raise IllTyped(f"Expected a density of {self.variable} alone, but got {asked(targets, givens)}.")
        value = targets[self.variable].data.astype(int)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.tables)[self.j, value])

    def space(self, target: str, givens: Values) -> Space:
        return States.count(np.shape(self.tables)[1])
