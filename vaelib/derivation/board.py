r"""A derivation written as on the board: a start, then line after line, and below each line the slips that spoil it.

    F2 = (
        derive("F2", "two forms of the bound", CurvedWitness.draw)
        .start(E(q, log_joint - log_q))
        .eq(E(q, log_lik) - KL(q, prior), "p(x, z) = p(x|z) p(z)", why="the prior and q form a KL")
        .slip("plus KL", E(q, log_lik) + KL(q, prior), "the KL was added: it is a cost.")
    )

Every method returns a new chain; nothing is changed in place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from vaelib.derivation.lines import Line
from vaelib.formula.given import Sampled

if TYPE_CHECKING:
    from vaelib.derivation.derivation import Derivation


class Board(ABC):
    """What a chain is continued by: one method for each relation, and `slip` for the line above it."""

    @abstractmethod
    def with_next(self, line: Line, breaks: bool) -> Derivation:
        """The chain with one line more."""

    def eq(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """`line above = formula`. For `about` see `line`."""
        return self.line("=", formula, rule, **about)

    def ge(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """`line above >= formula`; `gap` is what is lost, `equality` draws a witness on which nothing is."""
        return self.line(">=", formula, rule, **about)

    def le(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """`line above <= formula`."""
        return self.line("<=", formula, rule, **about)

    def gt(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """`line above > formula`."""
        return self.line(">", formula, rule, **about)

    def lt(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """`line above < formula`."""
        return self.line("<", formula, rule, **about)

    def ne(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """The line above differs from the formula, on every witness."""
        return self.line("!=", formula, rule, **about)

    def proportional(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """Over the entries of a line: the line above is a constant times the formula."""
        return self.line("proportional", formula, rule, **about)

    def up_to_constant(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """Over the entries of a line: the line above is a constant plus the formula."""
        return self.line("up_to_constant", formula, rule, **about)

    def same_argmin(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """Over the entries of a line: the same entry is the least."""
        return self.line("same_argmin", formula, rule, **about)

    def same_argmax(self, formula: Any, rule: str = "", **about: Any) -> Derivation:
        """Over the entries of a line: the same entry is the largest."""
        return self.line("same_argmax", formula, rule, **about)

    def line(
        self,
        relation: str,
        formula: Any,
        rule: str = "",
        *,
        why: str = "",
        needs: str = "",
        breaks: bool = False,
        **about: Any,
    ) -> Derivation:
        """The next line.

        Args:
            relation: `line above  relation  this line`, see `Line`.
            formula: a tree (`tex`, operators), a term, `given(latex, function)` or `sampled(latex, function)`.
            rule: what leads from the line above to this one.
            why: why one takes this step here.
            needs: what it takes for the step to be allowed.
            breaks: for a published chain with mistakes: this line is known not to follow.
            about: `gap`, `equality`, `num_samples`, `step`, `order`, `resolution`, `relative`, `infinite` of `Line`.
        """
        return self.with_next(written(formula, rule, relation=relation, why=why, needs=needs, **about), breaks)


def written(formula: Any, rule: str = "", **about: Any) -> Line:
    """A line of what is written on the board."""
    if isinstance(formula, Sampled):
        return Line(formula.latex, reason=rule, samples=formula.function, **about)
    return Line(formula, reason=rule, **about)
