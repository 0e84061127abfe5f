r"""A formula of numbers in another arithmetic: in many decimal digits, or in floats just as it is typed.

in_decimals(tex(r"-\tfrac12(1 + \ell - \mu^2 - e^{\ell})"))          what it is worth, rounded once, at the end
in_floats(tex(r"-\tfrac12(1 + \ell - \mu^2 - e^{\ell})"), np.float32)    what a program makes of it

A tree that is evaluated as usual takes detours that lose no digits (the log of a sum is a log-sum-exp). Here each
operation is carried out in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import lru_cache, reduce
from operator import add, mul
from typing import Any, Protocol

import numpy as np

from vaelib import _latex
from vaelib.derivation.lines import IllTyped
from vaelib.formula.binders import Mark, Relation, Where
from vaelib.formula.definitions import define_all
from vaelib.formula.scope import Scope
from vaelib.formula.tree import (
    Absolute,
    Bracket,
    Function,
    Items,
    Name,
    Negative,
    Node,
    Number,
    Power,
    Product,
    Quotient,
    Root,
    Sum,
    heard,
)


class Arithmetic(Protocol):
    """How numbers are held."""

    @property
    def said(self) -> str:
        """What the LaTeX says of it."""
        ...

    def number(self, value: Any) -> Any: ...
    def function(self, name: str, value: Any) -> Any: ...


@dataclass(frozen=True)
class Decimals:
    """Decimal numbers of so many digits."""

    digits: int
    said: str = ""

    def number(self, value: Any) -> Decimal:
        return Decimal(value) if isinstance(value, str) else Decimal(float(value))

    def function(self, name: str, value: Decimal) -> Decimal:
        match name:
            case "log":
                return value.ln()
            case "log1p":
                return (1 + value).ln()
            case "expm1":
                return value.exp() - 1
            case "softplus":
                return (1 + value.exp()).ln()
        return value.sqrt() if name == "sqrt" else value.exp()


@dataclass(frozen=True)
class Floats:
    """Floats of one kind, np.float32 or np.float64."""

    kind: Any

    @property
    def said(self) -> str:
        return rf" \text{{ in {np.dtype(self.kind).name}}}"

    def number(self, value: Any) -> Any:
        return self.kind(value)

    def function(self, name: str, value: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.logaddexp(self.kind(0), value) if name == "softplus" else getattr(np, name)(value)


@dataclass(frozen=True)
class Computed:
    """A formula as a line, with the arithmetic in which it is computed."""

    formula: Node
    arithmetic: Arithmetic
    also: tuple[Node, ...] = ()  # what the lines above have said of its names

    @property
    def latex(self) -> str:
        return self.formula.latex + self.arithmetic.said

    @property
    def plain(self) -> str:
        return _latex.plain(self.latex)

    @property
    def free(self) -> frozenset[str]:
        return self.formula.free

    @property
    def said(self) -> tuple[Node, ...]:
        return self.formula.said

    def for_line(self, index: int, said: tuple[Node, ...] = ()) -> Computed:
        """As the line of a chain: no rule is needed, for there is no integral."""
        return replace(self, also=heard(self.also, said))

    def value(self, witness: Any) -> Any:
        """A float; for a family of witnesses one for each member."""
        if hasattr(witness, "members"):
            return np.array([self.value(member) for member in witness.members()])
        scope = witness if isinstance(witness, Scope) else witness.scope()
        with _precise(self.arithmetic), np.errstate(all="ignore"):
            return float(_worth(_spelled_out(self.formula, self.also), scope, self.arithmetic))

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


def in_decimals(formula: Node, digits: int = 50) -> Computed:
    """The formula with exact copies of the numbers of a scope, in so many decimal digits, rounded once at the end."""
    return Computed(formula, Decimals(digits))


def in_floats(formula: Node, kind: Any = np.float64) -> Computed:
    """The formula as a program computes it that types it as it is written."""
    return Computed(formula, Floats(kind))


@lru_cache(maxsize=256)
def _spelled_out(formula: Node, also: tuple[Node, ...]) -> Node:
    """With all that was said of its names put in."""
    node = formula.among(also)
    if isinstance(node, Where):
        node = define_all(node.body, tuple(clause for clause in node.clauses if isinstance(clause, Relation)))
    return node


@contextmanager
def _precise(arithmetic: Arithmetic) -> Iterator[None]:
    with localcontext() as context:
        context.prec = arithmetic.digits if isinstance(arithmetic, Decimals) else context.prec
        yield


def _worth(node: Node, scope: Scope, a: Arithmetic) -> Any:
    def worth(part: Node) -> Any:
        return _worth(part, scope, a)

    match node:
        case Number():
            return a.number(node.text)
        case Name() if node.key in scope.values or node.key in scope.observed:
            return a.number(scope.values.get(node.key, scope.observed.get(node.key)))
        case Name(base="e", sub=None):
            return a.function("exp", a.number("1"))
        case Bracket() | Mark():
            return worth(node.body)
        case Sum():
            return reduce(add, map(worth, node.terms))
        case Negative():
            return -worth(node.body)
        case Product():
            return reduce(mul, map(worth, node.factors))
        case Quotient():
            return worth(node.above) / worth(node.below)
        case Power(base=Name(base="e", sub=None)) if "e" not in scope.values:
            return a.function("exp", worth(node.exponent))
        case Power():
            return worth(node.base) ** worth(node.exponent)
        case Root(degree=None):
            return a.function("sqrt", worth(node.body))
        case Absolute():
            return abs(worth(node.body))
        case Function(name="max" | "min", body=Bracket(body=Items(entries=entries))):
            return (max if node.name == "max" else min)(map(worth, entries))
        case Function(name="log" | "exp" | "softplus" | "log1p" | "expm1", power=None, base=None):
            return a.function(node.name, worth(node.body))
    raise IllTyped(f"Expected arithmetic of numbers that the scope knows, but got {node.plain}.")
