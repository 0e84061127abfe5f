"""What is no arithmetic: an algorithm, a limit, a chain of samples, a call of the package, with its LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vaelib import _latex


@dataclass(frozen=True)
class Given:
    """A line with LaTeX and a function of the witness; nothing compares the two."""

    latex: str
    function: Callable[..., Any]

    free: frozenset[str] = frozenset()

    @property
    def plain(self) -> str:
        return _latex.plain(self.latex)

    def value(self, witness: Any, *step: float) -> Any:
        """The function's value on a witness; of a limit or a difference quotient at a step."""
        return self.function(witness, *step)

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


@dataclass(frozen=True)
class Sampled:
    """A line that is the mean of samples: LaTeX, and a function (witness, rng, n) -> n samples."""

    latex: str
    function: Callable[..., Any]


@dataclass(frozen=True)
class Stepped:
    """A formula that holds in a limit: the scope of the witness depends on the step, `scope(step)`."""

    formula: Any

    @property
    def latex(self) -> str:
        text: str = self.formula.latex
        return text

    @property
    def plain(self) -> str:
        return _latex.plain(self.latex)

    @property
    def free(self) -> frozenset[str]:
        names: frozenset[str] = self.formula.free
        return names

    @property
    def said(self) -> tuple[Any, ...]:
        return tuple(self.formula.said)

    def value(self, witness: Any, step: float) -> Any:
        """The value where the step is as large as this."""
        return self.formula.value(witness.scope(step))

    def for_line(self, index: int, said: tuple[Any, ...] = ()) -> Stepped:
        """As the line of a derivation, with the rule and the definitions of that line."""
        return Stepped(self.formula.for_line(index, said))

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


def stepped(formula: Any) -> Stepped:
    r"""A line with a step whose formula is evaluated at that step: the witness says `scope(step)`.

    Example: stepped(tex(r"\mathrm{KL}(q \,\Vert\, p) / \varepsilon^2"))
    """
    if not hasattr(formula, "for_line"):
        raise TypeError(f"Expected a formula, tex(...) or a tree, but got {formula!r}.")
    return Stepped(formula)


def given(latex: Any, function: Callable[..., Any]) -> Given:
    r"""A line that is computed by a function and only described by its LaTeX.

    Args:
        latex: LaTeX, or a formula whose LaTeX it is.
        function: witness -> value; for a line with a step, (witness, step) -> value.

    Example: given(r"\text{as computed by } \mathtt{kl\_divergence}", lambda w: kl_divergence(w.q, w.p))
    """
    return Given(*_two(latex, function, "a function of the witness"))


def sampled(latex: Any, function: Callable[..., Any]) -> Sampled:
    r"""A line that is the mean of samples: function(witness, rng, n) returns n of them, along the first axis.

    Example: sampled(r"\tfrac1n \sum_i \log w_i", lambda w, rng, n: log_weights(w, rng, n))
    """
    return Sampled(*_two(latex, function, "a function of witness, rng and n"))


def _two(latex: Any, function: Any, kind: str) -> tuple[str, Callable[..., Any]]:
    text = latex if isinstance(latex, str) else getattr(latex, "latex", None)
    if not callable(function) or not isinstance(text, str):
        raise TypeError(f"Expected LaTeX and {kind}, but got {latex!r} and {function!r}. Are the two swapped?")
    return text, function
