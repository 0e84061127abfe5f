"""What is no arithmetic: an algorithm, a limit, a call of the package, with the LaTeX that is shown for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vaelib import _latex


@dataclass(frozen=True)
class Given:
    """A line with LaTeX and a function of the witness; nothing compares the two."""

    latex: str
    function: Callable[[Any], Any]

    free: frozenset[str] = frozenset()

    @property
    def plain(self) -> str:
        return _latex.plain(self.latex)

    def value(self, witness: Any, rule: Any = None) -> Any:
        return self.function(witness)

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


def given(latex: str, function: Callable[[Any], Any]) -> Given:
    r"""A line that is computed by a function and only described by its LaTeX.

    Example: given(r"\text{as computed by } \mathtt{kl\_divergence}", lambda w: kl_divergence(w.q, w.p))
    """
    if not callable(function) or not isinstance(latex, str):
        raise TypeError(
            f"Expected LaTeX and a function of the witness, but got {latex!r} and {function!r}. Are the two swapped?"
        )
    return Given(latex, function)
