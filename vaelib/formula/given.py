"""What is not arithmetic: an algorithm, a limit, a chain of samples, a call of the package, with its LaTeX."""

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
