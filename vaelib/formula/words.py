r"""The words in which a formula is typed in Python; operators between names do the rest.

mu_q, sigma_q, mu_p, sigma_p = symbols(r"\mu_q \sigma_q \mu_p \sigma_p")
log(sigma_p / sigma_q) + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - HALF

x, z, p, q = symbols("x z p q")
E(q, log(p(x | z))) - KL(q, p(z))
"""

from __future__ import annotations

from typing import Any

from vaelib.formula.binders import (
    Big,
    Derivative,
    Divergence,
    Entropy,
    Expectation,
    ForAll,
    Integral,
    Mark,
    Over,
    Relation,
    Where,
)
from vaelib.formula.reader import tex
from vaelib.formula.tree import (
    Absolute,
    Bracket,
    Call,
    Function,
    Items,
    Name,
    Negative,
    Node,
    Norm,
    Number,
    Power,
    Product,
    Quotient,
    Root,
    Sum,
    node,
)

HALF = Quotient(Number("1"), Number("2"), "tfrac")


def symbols(text: str) -> tuple[Name, ...]:
    r"""Names, as LaTeX with spaces between: symbols(r"\mu_q \sigma_q z")."""
    names = [tex(part) for part in text.split()]
    for name, part in zip(names, text.split(), strict=True):
        if not isinstance(name, Name):
            raise ValueError(f"Expected names with spaces between them, but {part!r} is not one.")
    return tuple(name for name in names if isinstance(name, Name))


def symbol(text: str) -> Name:
    """One name."""
    (name,) = symbols(text)
    return name


def log(argument: Any) -> Node:
    """The natural logarithm."""
    return Function("log", _taken(argument))


def exp(argument: Any) -> Node:
    return Function("exp", _taken(argument))


def sqrt(argument: Any) -> Node:
    return Root(node(argument))


def function(name: str, argument: Any) -> Node:
    """softplus, sigmoid, sin, cos, ... of a number."""
    return Function(name, Bracket(node(argument)))


def tr(argument: Any) -> Node:
    """The trace of a matrix."""
    return Function("tr", Bracket(node(argument)))


def det(argument: Any) -> Node:
    """The determinant of a matrix."""
    return Function("det", _taken(argument))


def absolute(argument: Any) -> Node:
    return Absolute(node(argument))


def norm(argument: Any) -> Node:
    """The length of a vector."""
    return Norm(node(argument))


def vector(*entries: Any) -> Node:
    """Numbers as a vector."""
    return Bracket(Items(tuple(node(entry) for entry in entries)))


def E(law: Any, body: Any = None) -> Node:
    """The mean of `body` under a law: E(q, log(p(x, z))). With one argument it is under the law of the scope."""
    law, body = (None, law) if body is None else (node(law), body)
    return Expectation(node(body), law)


def Var(law: Any, body: Any) -> Node:
    """The variance of `body` under a law."""
    return Expectation(node(body), node(law), "Var")


def Cov(law: Any, first: Any, second: Any) -> Node:
    """The covariance of two under a law."""
    return Expectation(Items((node(first), node(second))), node(law), "Cov")


def KL(first: Any, second: Any) -> Node:
    """The divergence from the first law to the second, its mean taken under the first."""
    return Divergence(node(first), node(second))


def chi2(first: Any, second: Any) -> Node:
    """The chi-squared divergence, E under the first of first / second, less 1."""
    return Divergence(node(first), node(second), "chi2")


def H(*laws: Any) -> Node:
    """The entropy of a law; of two laws the cross-entropy."""
    if len(laws) not in (1, 2):
        raise TypeError(f"Expected one law or two, but got {len(laws)}.")
    return Entropy(tuple(node(law) for law in laws))


def over(index: Any, body: Any, lower: Any = None, upper: Any = None, kind: str = "sum") -> Node:
    """The sum of `body` over an index or a variable, from where to where unless the scope says it."""
    names = index if isinstance(index, tuple) else (index,)
    ends = (None if lower is None else node(lower), None if upper is None else node(upper))
    body = node(body)
    return Big(kind, Over(names, *ends), Bracket(body) if isinstance(body, Sum | Negative) else body)


def prod(index: Any, body: Any, lower: Any = None, upper: Any = None) -> Node:
    """The product of `body` over an index."""
    return over(index, body, lower, upper, "prod")


def integral(body: Any, *variables: Name, lower: Any = None, upper: Any = None) -> Node:
    """The integral of `body` over variables, over all of their space unless limits are given."""
    if not variables:
        raise TypeError("Expected the variable of an integral, integral(f, z), but got none.")
    ends = (None if lower is None else node(lower), None if upper is None else node(upper))
    body = node(body)
    return Integral(Bracket(body) if isinstance(body, Sum) else body, variables, *ends)


def grad(body: Any, *variables: Any, order: int = 1) -> Node:
    r"""The derivative by each of the variables; one of log \sigma may be asked for, too."""
    body = node(body)
    simple = body.single or isinstance(body, Function | Big | Expectation | Integral | Derivative)
    nodes = tuple(node(variable) for variable in variables)
    symbol = r"\nabla" if len(nodes) != 1 else r"\partial"
    return Derivative(body if simple else Bracket(body), nodes, order, symbol)


def N(*arguments: Any) -> Node:
    """The Gaussian density N(x, mean, variance), or the law N(mean, variance): never its scale."""
    if len(arguments) == 2:
        return Call(Name("N"), tuple(node(a) for a in arguments))
    if len(arguments) == 3:
        x, mean, variance = (node(a) for a in arguments)
        return Call(Name("N"), (x,), (), (mean, variance))
    raise TypeError(f"Expected N(x, mean, variance) or N(mean, variance), but got {len(arguments)} arguments.")


def mark(part: Any) -> Node:
    """What changed in this line: shown underlined."""
    return Mark(node(part))


def where(body: Any, *definitions: tuple[Name, Any]) -> Node:
    """A formula with what its names mean: where(c * log(m), (m, E(q, w)))."""
    clauses = tuple(Relation((name, node(meaning)), ("=",)) for name, meaning in definitions)
    return Where(node(body), clauses)


def for_all(*arguments: Any) -> Node:
    """A line that holds at every z: for_all(z, log(p(x, z)) - log(q(z)))."""
    *names, body = arguments
    return Where(node(body), (ForAll(tuple(names)),))


def _taken(argument: Any) -> Node:
    """What a function is taken of: in brackets where its end would not be seen."""
    body = node(argument)
    fine = body.single or isinstance(body, Quotient | Power | Big | Integral | Expectation)
    fine = fine or (isinstance(body, Function) and body.name == "det")
    return body if fine and not isinstance(body, Product) else Bracket(body)
