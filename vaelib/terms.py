r"""A small algebra in which lines about Bayes' rule and the bound are written, shown and evaluated.

    E(q, log_lik) - KL(q, prior)

is a term: it knows its LaTeX, its free variables and its value on a witness, so the formula that is shown *is* the
formula that is evaluated. A witness has a `model`, an observation `x` and a distribution `q`. The term's `formula` is
the same as a tree of `vaelib.formula`, in which everything else is written: `tex(...)`, and `given(...)` for what is no
arithmetic.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from vaelib._latex import plain
from vaelib.derivation import IllTyped
from vaelib.elbo import density_times
from vaelib.estimate import Estimate
from vaelib.formula import Node, given, tex

__all__ = [
    "KL",
    "Atom",
    "E",
    "Functional",
    "H",
    "Law",
    "Term",
    "for_all_z",
    "given",
    "lik",
    "log_E",
    "log_evidence",
    "log_joint",
    "log_lik",
    "log_post",
    "log_prior",
    "log_q",
    "parse",
    "post",
    "prior",
    "q",
    "tex",
]


@dataclass(frozen=True)
class Atom:
    """The logarithm of a density: log p(x|z), log q(z), ..."""

    name: str
    density: str  # LaTeX of the density itself
    at: Callable[[Any, Any], Any]  # (witness, z) -> value; z is None for an atom without z
    has_z: bool = True

    @property
    def latex(self) -> str:
        return rf"\log {self.density}"

    @property
    def spelled(self) -> str:
        return self.name

    @property
    def free(self) -> frozenset[str]:
        return frozenset("z") if self.has_z else frozenset()


@dataclass(frozen=True)
class Law:
    """A distribution over z, under which an expectation is taken; `lik` is there to be refused."""

    name: str
    density: str
    log_density: Atom
    normalized: bool = True

    def __repr__(self) -> str:
        return self.name

    def require_density(self, witness: Any, where: str) -> None:
        if self.normalized:
            return
        total = witness.model.integrate(lambda z: np.exp(self.log_density.at(witness, z)))
        raise IllTyped(
            f"{where}: p(x|z) is not a density in z: here it integrates to {float(total.value):.4g}. "
            "Is the posterior `post` meant?"
        )


@dataclass(frozen=True)
class Functional:
    """A number made from a law and perhaps a term: an expectation, a divergence, an entropy."""

    latex: str
    spelled: str  # as it is typed
    at: Callable[[Any, Any], Any]
    free: frozenset[str] = frozenset()
    is_sum: bool = False  # then a minus or a number in front needs brackets
    at_every_z: bool = False  # its value is one number for each z


@dataclass(frozen=True)
class Term:
    """A sum of multiples of atoms, functionals and 1. Build it with +, - and numbers."""

    parts: tuple[tuple[float, Atom | Functional], ...]

    __array_ufunc__ = None  # `np.float64(2) * term` is a term

    @property
    def latex(self) -> str:
        text = ""
        for coefficient, part in self.parts:
            sign = "-" if coefficient < 0 else "+" if text else ""
            size = abs(coefficient)
            factor = "" if size == 1 else f"{size:g}\\,"
            bracketed = isinstance(part, Functional) and part.is_sum and coefficient != 1
            written = rf"\left({part.latex}\right)" if bracketed else part.latex
            if part is _ONE:
                factor, written = f"{size:g}", ""
            text += f" {sign} {factor}{written}" if text else f"{sign}{factor}{written}"
        return text or "0"

    @property
    def spelled(self) -> str:
        """The term as it is typed, `E(q, log_lik) - KL(q, prior)`: `parse` makes the same term of it."""
        text = ""
        for coefficient, part in self.parts:
            size = repr(abs(coefficient))
            written = size if part is _ONE else part.spelled if size == "1.0" else f"{size} * {part.spelled}"
            sign = "-" if coefficient < 0 else "+"
            text += f" {sign} {written}" if text else f"-{written}" if sign == "-" else written
        return text or "0.0"

    @property
    def free(self) -> frozenset[str]:
        """The variables left open: {'z'} for log p(x|z), nothing for an expectation."""
        return frozenset().union(*(part.free for _, part in self.parts))

    @property
    def formula(self) -> Node:
        """The same as a formula, which has a value on every witness with a scope and combines with other formulas."""
        return tex(self.latex)

    def at(self, witness: Any, z: Any = None) -> Any:
        """Value at the points z; an Estimate where quadrature or a model's own error enters."""
        return sum((coefficient * part.at(witness, z) for coefficient, part in self.parts), start=0.0)

    def value(self, witness: Any) -> Any:
        """Value on a witness, in nats; one entry for each q on a witness with several (`qs`).

        Raises IllTyped if z is left free.
        """
        if self.free:
            open_atoms = [plain(part.latex) for _, part in self.parts if part.free]
            raise IllTyped(
                f"z is left free in {', '.join(open_atoms)}: put it inside an expectation, E(q, ...), "
                "or say for_all_z(...) if the line holds at every z"
            )
        if hasattr(witness, "members"):
            values = [_estimate(self._on(member)) for member in witness.members()]
            return Estimate(np.array([v.value for v in values]), np.array([v.error for v in values]))
        return self._on(witness)

    def _on(self, witness: Any) -> Any:
        try:
            return self.at(witness)
        except AttributeError as error:
            raise TypeError(
                f"Expected a witness with a model, an observation x and a distribution q, but got a "
                f"{type(witness).__name__} ({error}). Terms are for the chapters on Bayes' rule and the bound."
            ) from error

    def __add__(self, other: Term | float) -> Term:
        if isinstance(other, Node):
            return NotImplemented
        return Term(self.parts + _term(other).parts)

    __radd__ = __add__

    def __sub__(self, other: Term | float) -> Term:
        if isinstance(other, Node):
            return NotImplemented
        return self + (-_term(other))

    def __rsub__(self, other: float) -> Term:
        return _term(other) - self

    def __neg__(self) -> Term:
        return self * -1

    def __mul__(self, constant: float) -> Term:
        if isinstance(constant, Node):
            return NotImplemented
        if isinstance(constant, Term):
            raise TypeError(
                "Expected a number to multiply a term by, but got a term. Products of terms are not defined."
            )
        if not isinstance(constant, Real):
            raise TypeError(f"Expected a number to multiply a term by, but got {_described(constant)}.")
        return Term(tuple((float(constant) * coefficient, part) for coefficient, part in self.parts))

    __rmul__ = __mul__

    def __truediv__(self, constant: float) -> Term:
        if isinstance(constant, Node):
            return NotImplemented
        if isinstance(constant, Term):
            raise TypeError(
                "Expected a number to divide a term by, but got a term. Terms are logarithms: "
                "the logarithm of a quotient is a difference, log p - log q."
            )
        if not isinstance(constant, Real):
            raise TypeError(f"Expected a number to divide a term by, but got {_described(constant)}.")
        return self * (1 / constant)

    def __repr__(self) -> str:
        return f"Term({self.latex})"

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"


_ONE = Functional("1", "1", lambda witness, z: 1.0)


def _term(item: Any) -> Term:
    if isinstance(item, Term):
        return item
    if isinstance(item, Real) and not isinstance(item, bool):
        return Term(((float(item), _ONE),))
    raise TypeError(f"Expected a term such as log_lik, E(q, ...) or KL(q, prior), but got {_described(item)}.")


def _described(item: Any) -> str:
    if isinstance(item, Law):
        return f"the distribution {item.name} (its logarithm is log_{item.name})"
    return repr(item)


def _atom(name: str, density: str, at: Callable[[Any, Any], Any], has_z: bool = True) -> Atom:
    return Atom(name, density, at, has_z)


_LIK = _atom("log_lik", r"p(x \mid z)", lambda w, z: w.model.log_likelihood(w.x, z))
_PRIOR = _atom("log_prior", "p(z)", lambda w, z: w.model.log_prior(z))
_JOINT = _atom("log_joint", "p(x, z)", lambda w, z: w.model.log_joint(w.x, z))
_POST = _atom("log_post", r"p(z \mid x)", lambda w, z: w.model.log_posterior(w.x, z))
_Q = _atom("log_q", "q(z)", lambda w, z: w.q.log_prob(z))
_EVIDENCE = _atom("log_evidence", "p(x)", lambda w, z: w.model.log_evidence(w.x), has_z=False)

log_lik, log_prior, log_joint, log_post, log_q, log_evidence = (
    Term(((1.0, atom),)) for atom in (_LIK, _PRIOR, _JOINT, _POST, _Q, _EVIDENCE)
)

q = Law("q", "q(z)", _Q)
prior = Law("prior", "p(z)", _PRIOR)
post = Law("post", r"p(z \mid x)", _POST)
lik = Law("lik", r"p(x \mid z)", _LIK, normalized=False)

_SHORT = {"q": "q", "prior": "p(z)", "post": r"p(z \mid x)", "lik": r"p(x \mid z)"}


def E(law: Law, term: Term) -> Term:
    r"""Expectation of a term under a law, E_q[...] = \int q(z) ... dz, by the model's own sum or quadrature."""
    law, term = _law(law, "E"), _term(term)

    def at(witness: Any, _: Any) -> Any:
        _require_one_number(term, f"E({law.name}, ...)")
        law.require_density(witness, f"E({law.name}, ...)")
        return witness.model.integrate(
            lambda z: density_times(law.log_density.at(witness, z), _plain(term, witness, z))
        )

    latex = rf"\mathbb{{E}}_{{{_SHORT[law.name]}}}\left[{term.latex}\right]"
    return Term(((1.0, Functional(latex, f"E({law.name}, {term.spelled})", at)),))


def log_E(law: Law, term: Term) -> Term:
    r"""Logarithm of the expectation of exp(term): log E_q[p(x,z)/q(z)] is log_E(q, log_joint - log_q)."""
    law, term = _law(law, "log_E"), _term(term)

    def at(witness: Any, _: Any) -> Any:
        _require_one_number(term, f"log_E({law.name}, ...)")
        law.require_density(witness, f"log_E({law.name}, ...)")

        def weighted(z: Any) -> Any:  # where the law has no mass, nothing is drawn, whatever the term is there
            log_density = law.log_density.at(witness, z)
            with np.errstate(invalid="ignore"):
                return np.exp(np.where(log_density > -np.inf, log_density + _plain(term, witness, z), -np.inf))

        return witness.model.integrate(weighted).log()

    latex = rf"\log \mathbb{{E}}_{{{_SHORT[law.name]}}}\left[{_quotient(term)}\right]"
    return Term(((1.0, Functional(latex, f"log_E({law.name}, {term.spelled})", at)),))


def KL(first: Law, second: Law) -> Term:
    r"""Kullback-Leibler divergence by its definition, \int q log(q/p) dz; both must be densities in z."""
    first, second = _law(first, "KL"), _law(second, "KL")

    def at(witness: Any, _: Any) -> Any:
        for law in (first, second):
            law.require_density(witness, f"KL({first.name}, {second.name})")

        def integrand(z: Any) -> Any:
            log_first = first.log_density.at(witness, z)
            return density_times(log_first, log_first - second.log_density.at(witness, z))

        return witness.model.integrate(integrand)

    latex = rf"\mathrm{{KL}}\left({_SHORT[first.name]} \,\Vert\, {_SHORT[second.name]}\right)"
    return Term(((1.0, Functional(latex, f"KL({first.name}, {second.name})", at)),))


def H(law: Law, reference: Law | None = None) -> Term:
    """Entropy H(q) = -E_q[log q]; with a second law the cross-entropy H(q, p) = -E_q[log p]."""
    law = _law(law, "H")
    reference = law if reference is None else _law(reference, "H")
    cross = -E(law, Term(((1.0, reference.log_density),)))
    names = _SHORT[law.name] + ("" if reference is law else f", {_SHORT[reference.name]}")

    def at(witness: Any, _: Any) -> Any:
        for each in (law, reference):
            each.require_density(witness, "H(" + ", ".join(dict.fromkeys((law.name, reference.name))) + ")")
        return cross.value(witness)

    spelled = f"H({law.name})" if reference is law else f"H({law.name}, {reference.name})"
    return Term(((1.0, Functional(rf"\mathrm{{H}}\left({names}\right)", spelled, at)),))


def for_all_z(term: Term, points: int = 25) -> Term:
    """The term at many z, for a line that holds at every z: the witness's own `z`, or the states, or [-3, 3]."""
    term = _term(term)

    def at(witness: Any, _: Any) -> Any:
        z = getattr(witness, "z", None)
        if z is None:
            prior_table = getattr(witness.model, "prior", None)
            z = np.arange(prior_table.size) if isinstance(prior_table, np.ndarray) else np.linspace(-3, 3, points)
        value = term.at(witness, z)
        if isinstance(value, Estimate):
            value, error = np.broadcast_arrays(value.value, value.error)
            return Estimate(value + np.zeros(len(z)), error + np.zeros(len(z)))
        return value + np.zeros(len(z))

    several = len(term.parts) > 1 or term.latex.startswith("-")
    spelled = f"for_all_z({term.spelled})"
    return Term(((1.0, Functional(rf"{term.latex} \quad \forall z", spelled, at, is_sum=several, at_every_z=True)),))


def _require_one_number(term: Term, where: str) -> None:
    if any(isinstance(part, Functional) and part.at_every_z for _, part in term.parts):
        raise IllTyped(
            f"{where}: for_all_z(...) is inside an expectation, which takes the mean over z itself. "
            "Leave for_all_z out there; around a whole line it says that the line holds at every z"
        )


_ATOMS = {atom.name: Term(((1.0, atom),)) for atom in (_LIK, _PRIOR, _JOINT, _POST, _Q, _EVIDENCE)}
_LAWS = {law.name: law for law in (q, prior, post, lik)}
_OPERATORS: dict[str, Callable[..., Term]] = {"E": E, "log_E": log_E, "KL": KL, "H": H, "for_all_z": for_all_z}


def parse(text: str) -> Term:
    """The term that is typed as `text`. Only the words of this algebra, numbers, +, -, * and / are understood.

    Raises ValueError for anything else, whatever Python would make of it; nothing is executed.
    """
    try:
        return _term(_parsed(ast.parse(text, mode="eval").body))
    except (SyntaxError, TypeError, RecursionError, MemoryError, ZeroDivisionError) as error:
        raise ValueError(f"Expected a term such as E(q, log_lik) - KL(q, prior), but got {text!r}: {error}") from error


def _parsed(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.Name(id=name) if name in _ATOMS:
            return _ATOMS[name]
        case ast.Name(id=name) if name in _LAWS:
            return _LAWS[name]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _OPERATORS:
            return _OPERATORS[name](*(_parsed(argument) for argument in arguments))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_parsed(operand)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op, right=right):
            return _ARITHMETIC[type(op)](_parsed(left), _parsed(right))
    raise ValueError(
        f"Expected the words of the algebra ({', '.join([*_ATOMS, *_LAWS, *_OPERATORS])}), numbers, +, -, "
        f"* and /, but got {ast.unparse(node)!r}."
    )


def collected(term: Term) -> dict[Any, float]:
    """The term as {what is multiplied: its number}, like parts together, inside expectations too, and no zeros.

    Order does not count, and neither does what is added and taken off again: `2 * log_q - log_q` is collected as log_q.
    """
    numbers: dict[Any, list[float]] = {}
    for coefficient, part in term.parts:
        key = part.name if isinstance(part, Atom) else _collected_inside(ast.parse(part.spelled, mode="eval").body)
        numbers.setdefault(key, []).append(coefficient)
    totals = {key: (sum(each), sum(map(abs, each))) for key, each in numbers.items()}
    return {key: float(f"{total:.12g}") for key, (total, size) in totals.items() if abs(total) > 1e-12 * size}


def _collected_inside(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return (node.func.id, *(_collected_inside(argument) for argument in node.args))
    if isinstance(node, ast.Name) and node.id in _LAWS:
        return node.id
    if isinstance(node, ast.Constant):
        return "1"
    return frozenset(collected(_term(_parsed(node))).items())


def same_step(above: Term, below: Term) -> bool:
    """Do two lines differ in nothing but order and padding? Then the second is not a step from the first.

    >>> same_step(log_evidence, 2 * log_evidence - log_evidence)
    True
    >>> same_step(KL(q, prior), E(q, log_q) - E(q, log_prior))
    False
    """
    return collected(above) == collected(below)


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _law(item: Any, where: str) -> Law:
    if isinstance(item, Law):
        return item
    hint = " Terms are logarithms; a distribution is written without log_." if isinstance(item, Term) else ""
    raise TypeError(f"Expected {where}(...) to get a distribution (q, prior, post), but got {item!r}.{hint}")


def _estimate(value: Any) -> Estimate:
    return value if isinstance(value, Estimate) else Estimate(value)


def _plain(term: Term, witness: Any, z: Any) -> Any:
    """The value without its error: inside an integral only the integral's own error is carried."""
    return _estimate(term.at(witness, z)).value


def _quotient(term: Term) -> str:
    """exp of a sum of logarithms as a quotient of densities, where it is one."""
    if not all(isinstance(part, Atom) and abs(c) == 1 for c, part in term.parts):
        return rf"\exp\left({term.latex}\right)"
    above = r"\,".join(part.density for c, part in term.parts if c > 0 and isinstance(part, Atom)) or "1"
    below = r"\,".join(part.density for c, part in term.parts if c < 0 and isinstance(part, Atom))
    return rf"\frac{{{above}}}{{{below}}}" if below else above
