r"""Answers in LaTeX: a formula of the arguments of an exercise, or the lines of a derivation.

They are read and evaluated beside the judge: what a submission sends is text of a bounded length. A formula may be
large in another way, a sum in a sum in a sum: such a one is refused before it is evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula import Scope, Unreadable, tex
from vaelib.formula.binders import Big, Derivative, Divergence, Entropy, Expectation, Integral
from vaelib.formula.tree import Bracket, Call, Function, Name, Negative, Node, Number, Product, Sum
from vaelib.quadrature import DoesNotConverge
from vaelib.reply import Arguments, NoReply, Reply, Respondent

MOST = 400  # parts of one formula
DEEPEST = 2  # means, integrals and sums inside each other
BINDERS = (Expectation, Integral, Divergence, Entropy, Big, Derivative)
OF_LAWS = (Expectation, Integral, Divergence, Entropy, Derivative)


def is_latex(text: str) -> bool:
    """Whether a text is a formula, and not a word."""
    return "\\" in text


def read(latex: str) -> Node:
    """The formula that is typed, if it is small enough to be evaluated; raises ValueError, in words."""
    try:
        node = tex(latex)
    except (Unreadable, RecursionError) as error:
        said = str(error).split("\n")[0] if isinstance(error, Unreadable) else "Too many brackets inside each other."
        raise ValueError(f"The LaTeX cannot be read. {said}") from None
    parts = list(node.walk())
    if len(parts) > MOST:
        raise ValueError(f"Expected a formula of at most {MOST} parts, but got one of {len(parts)}.")
    if _depth(node) > DEEPEST:
        raise ValueError(f"Expected at most {DEEPEST} means, sums or integrals inside each other, but got more.")
    if any(isinstance(part, Big) and part.over.upper is not None and _is_number(part.over.upper) for part in parts):
        raise ValueError("Expected a sum over an index up to a name, but got one up to a number.")
    return node


def _is_number(node: Node) -> bool:
    return not any(isinstance(part, Node) and not isinstance(part, Number) for part in node.walk())


def _depth(node: Node) -> int:
    deepest = max((_depth(child) for child in node.children()), default=0)
    return deepest + isinstance(node, BINDERS)


@dataclass
class Typeset:
    """A respondent whose formula in LaTeX, if it gave one, is evaluated on the arguments of each question.

    Args:
        inner: who is asked.
        scope: arguments -> what the names of a formula mean: one Scope, or one for each number that is returned.
            None for an exercise that reads no LaTeX.
    """

    inner: Respondent
    scope: Callable[..., Scope | list[Scope]] | None = None

    def ask(self, arguments: Arguments) -> Reply:
        reply = self.inner.ask(arguments)
        if not arguments or not isinstance(reply.value, str) or not is_latex(reply.value):
            return reply
        if self.scope is None:
            raise NoReply("no number", "Expected a function, but got LaTeX, which this exercise does not read.")
        try:
            return Reply(_evaluated(read(reply.value), self.scope(**arguments)))
        except ValueError as error:
            raise NoReply("no number", str(error)) from None

    def lines(self) -> list[tuple[str, str]]:
        return self.inner.lines()


def _evaluated(node: Node, scopes: Scope | list[Scope]) -> Any:
    """The value on one scope, or on each; raises ValueError in words."""
    if any(isinstance(part, OF_LAWS) for part in node.walk()):
        raise ValueError("Expected a formula of numbers, but got one with a mean, an integral or a divergence in it.")
    values = []
    for scope in scopes if isinstance(scopes, list) else [scopes]:
        try:
            with np.errstate(all="ignore"):
                found: Any = node.value(scope)
        except (IllTyped, DoesNotConverge, ArithmeticError) as error:
            said = str(error).split("\n")[0]
            raise ValueError(f"The formula has no value: {said}") from None
        values.append(np.asarray(getattr(found, "value", found), dtype=float))
    return np.stack(values) if isinstance(scopes, list) else values[0]


def shows_a_gap(node: Node) -> bool:
    r"""Is there the logarithm of a mean, or p(z | x) in means under q alone: a KL from q to the posterior?

    Example: shows_a_gap(tex(r"\log \int p(x, z)\,dz"))
    """
    parts = list(node.walk())
    if any(isinstance(part, Function) and part.name == "log" and _is_a_mean(part.body) for part in parts):
        return True
    laws = [part.law for part in parts if isinstance(part, Expectation) and part.law is not None]
    laws += [part.first for part in parts if isinstance(part, Divergence)]
    posterior = any(
        isinstance(part, Call) and "p" in _names(part.name) and any("x" in _names(given) for given in part.givens)
        for part in parts
    )
    return posterior and all("q" in _names(law) for law in laws)


def _is_a_mean(node: Node) -> bool:
    return _is_a_mean(node.body) if isinstance(node, Bracket) else isinstance(node, Expectation | Integral | Big)


def _names(node: Node) -> set[str]:
    return {part.base for part in node.walk() if isinstance(part, Name)}


def collected(node: Node) -> Counter[Any]:
    """A formula as {term: how often}, without order and without what is added and taken off again."""
    totals: Counter[Any] = Counter()
    for sign, term in _terms(node, 1):
        totals[_key(term)] += sign
    return Counter({term: number for term, number in totals.items() if number})


def _terms(node: Node, sign: int) -> Iterator[tuple[int, Node]]:
    if isinstance(node, Sum):
        for term in node.terms:
            yield from _terms(term, sign)
    elif isinstance(node, Negative):
        yield from _terms(node.body, -sign)
    elif isinstance(node, Bracket):
        yield from _terms(node.body, sign)
    elif isinstance(node, Product) and isinstance(node.factors[0], Number) and node.factors[0].text.isdigit():
        rest = node.factors[1:]
        yield from _terms(rest[0] if len(rest) == 1 else Product(rest), sign * min(int(node.factors[0].text), 10**6))
    else:
        yield sign, node


def _key(term: Node) -> Any:
    if isinstance(term, Expectation):
        return "E", term.law, frozenset(collected(term.body).items())
    return term
