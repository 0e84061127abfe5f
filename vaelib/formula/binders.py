r"""Nodes that bind a variable or make a statement: sums over an index, integrals, expectations, divergences, gradients,
relations, definitions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from vaelib.derivation.lines import IllTyped
from vaelib.formula.tree import (
    Call,
    Items,
    Name,
    Node,
    Product,
    Sum,
    in_brackets,
    style,
)

LATENT = "z"  # what a law is over if it is written without its variable, E_q: the latent variable of this course


def law_variables(law: Node | None) -> frozenset[str]:
    """The names that an expectation under this law binds."""
    if law is None:
        return frozenset({LATENT})
    if isinstance(law, Relation):
        return frozenset(n.key for n in law.sides[0].walk() if isinstance(n, Name))
    if isinstance(law, Product | Items):
        return frozenset().union(*(law_variables(part) for part in law.children()))
    if isinstance(law, Call) and not law.parameters and isinstance(law.name, Name) and law.name.base not in NORMAL:
        return frozenset(t.key for t in law.targets if isinstance(t, Name))
    if isinstance(law, Name) and law.base.startswith("\\var"):
        return frozenset({law.key})  # \varepsilon: the noise itself
    return frozenset({LATENT})


def open_of_law(law: Node | None, bound: frozenset[str]) -> frozenset[str]:
    """The names that a law leaves open; that of a density is not a variable."""
    if law is None or isinstance(law, Name):
        return frozenset()
    if isinstance(law, Relation | Product | Items):
        return frozenset().union(*(open_of_law(part, bound) for part in law.children()))
    return law.open(bound)


NORMAL = ("N", r"\mathcal{N}", r"\mathcal N")


@dataclass(frozen=True, eq=False, repr=False)
class Over(Node):
    r"""What a sum runs over: the indices or variables, from where to where, or under which condition (j \ne k)."""

    names: tuple[Name, ...]
    lower: Node | None = None
    upper: Node | None = None
    condition: Node | None = None

    @property
    def latex(self) -> str:
        if self.condition is not None:
            below = self.condition.latex
        else:
            below = ", ".join(name.latex for name in self.names)
            below += f"={self.lower.latex}" if self.lower is not None else ""
        below = f"_{{{below}}}" if len(below) > 1 else f"_{below}"
        return below + (f"^{{{self.upper.latex}}}" if self.upper is not None else "")

    @property
    def bound(self) -> frozenset[str]:
        return frozenset(name.key for name in self.names)


@dataclass(frozen=True, eq=False, repr=False)
class Big(Node):
    r"""A sum, product, maximum or minimum over an index. It takes one product: \sum_i a_i + b is (\sum_i a_i) + b."""

    operator: str  # sum, prod, max, min
    over: Over
    body: Node
    trailing: ClassVar[bool] = True

    @property
    def latex(self) -> str:
        return rf"\{self.operator}{self.over.latex} {self.body.latex}"

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        outside = self.over.open(bound | self.over.bound)
        return outside | self.body.open(bound | self.over.bound)


@dataclass(frozen=True, eq=False, repr=False)
class Integral(Node):
    r"""\int_a^b f dz, over all of the space of z where no limits are given. It takes all up to its dz."""

    body: Node
    variables: tuple[Name, ...]
    lower: Node | None = None
    upper: Node | None = None

    @property
    def latex(self) -> str:
        limits = f"_{{{self.lower.latex}}}" if self.lower is not None else ""
        limits += f"^{{{self.upper.latex}}}" if self.upper is not None else ""
        return rf"\int{limits} {self.body.latex}\," + r"\,".join(f"d{v.latex}" for v in self.variables)

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        limits = [side.open(bound) for side in (self.lower, self.upper) if side is not None]
        return self.body.open(bound | {v.key for v in self.variables}).union(*limits)


@dataclass(frozen=True, eq=False, repr=False)
class Expectation(Node):
    r"""The mean (kind `E`), variance (`Var`) or covariance (`Cov`) of a body under a law; without a law, under the
    default one of the scope.

    Args:
        law: q, q(z \mid x), z \sim q(z), N(m, S), \varepsilon; several as Items or a Product.
        brackets: "[" or "(", or "" where none are written: \mathbb{E}_q f.
    """

    body: Node
    law: Node | None = None
    kind: str = "E"
    brackets: str = style("[")

    @property
    def trailing(self) -> bool:  # type: ignore[override]
        return not self.brackets

    @property
    def single(self) -> bool:  # type: ignore[override]
        return bool(self.brackets)

    @property
    def latex(self) -> str:
        symbol = r"\mathbb{E}" if self.kind == "E" else rf"\mathrm{{{self.kind}}}"
        symbol += f"_{{{self.law.latex}}}" if self.law is not None else ""
        return symbol + (in_brackets(self.body.latex, self.brackets) if self.brackets else rf"\,{self.body.latex}")

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        inside = bound | law_variables(self.law)
        return self.body.open(inside) | open_of_law(self.law, inside)


@dataclass(frozen=True, eq=False, repr=False)
class Divergence(Node):
    r"""From the first law to the second: KL, or \chi^2."""

    first: Node
    second: Node
    kind: str = "KL"
    single: ClassVar[bool] = True

    @property
    def latex(self) -> str:
        symbol = r"\chi^2" if self.kind == "chi2" else rf"\mathrm{{{self.kind}}}"
        return symbol + in_brackets(rf"{self.first.latex} \,\Vert\, {self.second.latex}")

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        inside = bound | law_variables(self.first) | law_variables(self.second)
        return open_of_law(self.first, inside) | open_of_law(self.second, inside)


@dataclass(frozen=True, eq=False, repr=False)
class Entropy(Node):
    r"""H(q) = -E_q[log q], or with two laws the cross-entropy H(q, p) = -E_q[log p]; of variables, H(x, z)."""

    laws: tuple[Node, ...]
    symbol: str = style("H")
    single: ClassVar[bool] = True

    @property
    def latex(self) -> str:
        return rf"\mathrm{{{self.symbol}}}" + in_brackets(", ".join(law.latex for law in self.laws))

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        inside = bound.union(*(law_variables(law) for law in self.laws))
        return frozenset().union(*(open_of_law(law, inside) for law in self.laws))


@dataclass(frozen=True, eq=False, repr=False)
class Derivative(Node):
    r"""\nabla_{\mu,\sigma} f, \partial_z f, \frac{d}{dx} f: one entry for each variable if there are several.

    It takes one factor, or a function with its argument.
    """

    body: Node
    variables: tuple[Node, ...]
    order: int = 1
    trailing: ClassVar[bool] = True
    symbol: str = style(r"\partial")  # or \nabla, or "d" and "p" for a fraction of d or \partial

    @property
    def latex(self) -> str:
        order = f"^{self.order}" if self.order > 1 else ""
        if self.symbol in ("d", "p"):
            d = "d" if self.symbol == "d" else r"\partial "
            below = ", ".join(v.latex for v in self.variables)
            below = f"({below})" if len(self.variables) > 1 else below
            if isinstance(self.body, Product | Sum):
                return rf"\frac{{{d.strip()}{order} {self.body.latex}}}{{{d}{below}{order}}}"
            return rf"\frac{{{d.strip()}{order}}}{{{d}{below}{order}}} {self.body.latex}"
        below = r",\,".join(v.latex for v in self.variables)
        return rf"{self.symbol}{f'_{{{below}}}' if below else ''}{order} {self.body.latex}"


@dataclass(frozen=True, eq=False, repr=False)
class At(Node):
    r"""\left. f \right|_{x = a}: a formula at a place."""

    body: Node
    condition: Node
    single: ClassVar[bool] = True

    @property
    def latex(self) -> str:
        return rf"\left.{self.body.latex}\right|_{{{self.condition.latex}}}"

    def place(self) -> tuple[Name, Node]:
        """The name, and what is put in for it."""
        match self.condition:
            case Relation(sides=(Name() as name, place), signs=("=",)):
                return name, place
        raise IllTyped(f"Expected a place such as x = a, but got {self.condition.plain}.")

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        name, place = self.place()
        return self.body.open(bound | {name.key}) | place.open(bound)


@dataclass(frozen=True, eq=False, repr=False)
class Indicator(Node):
    r"""\mathbb{1}[z > 0]: 1 where the relation holds, otherwise 0."""

    condition: Node
    single: ClassVar[bool] = True

    @property
    def latex(self) -> str:
        return rf"\mathbb{{1}}\left[{self.condition.latex}\right]"


RELATIONS = {
    **{"=": "=", r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", "<": "<", ">": ">", r"\lt": "<"},
    **{r"\gt": ">", r"\ne": "!=", r"\neq": "!=", r"\sim": "~", r"\in": "in", r"\propto": "proportional"},
    **{r"\approx": "approx", r"\equiv": "=", r"\coloneqq": ":=", r"\triangleq": ":="},
}
WRITTEN = {
    **{"=": "=", "<=": r"\le", ">=": r"\ge", "<": "<", ">": ">", "!=": r"\ne", "~": r"\sim", "in": r"\in"},
    **{"proportional": r"\propto", "approx": r"\approx", ":=": r"\triangleq"},
}


@dataclass(frozen=True, eq=False, repr=False)
class Relation(Node):
    """a = b >= c: its sides, and the signs between them."""

    sides: tuple[Node, ...]
    signs: tuple[str, ...]

    @property
    def latex(self) -> str:
        text = self.sides[0].latex
        for sign, side in zip(self.signs, self.sides[1:], strict=True):
            text += f" {WRITTEN[sign]} {side.latex}"
        return text


@dataclass(frozen=True, eq=False, repr=False)
class ForAll(Node):
    r"""\forall z: the line holds at every z."""

    names: tuple[Name, ...]

    @property
    def latex(self) -> str:
        return r"\forall " + ", ".join(name.latex for name in self.names)


@dataclass(frozen=True, eq=False, repr=False)
class Where(Node):
    r"""A formula, and after commas what its names mean: f, \quad m = E[w], \ \forall z."""

    body: Node
    clauses: tuple[Node, ...]  # Relations whose first side is a name, and ForAlls

    @cached_property
    def meanings(self) -> dict[tuple[Node, ...], Node]:
        """The body with these clauses put in, for whoever evaluates it again and again."""
        return {}

    @property
    def latex(self) -> str:
        text = self.body.latex
        for clause in self.clauses:
            text += (r" \quad " if isinstance(clause, ForAll) else r",\quad ") + clause.latex
        return text

    @property
    def said(self) -> tuple[Node, ...]:
        return self.clauses

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        known = set(bound)
        names = frozenset[str]()
        for clause in self.clauses:
            if isinstance(clause, ForAll):
                known |= {name.key for name in clause.names}
            elif isinstance(clause, Relation):
                known |= clause.sides[0].open(frozenset())
        for clause in self.clauses:
            if isinstance(clause, Relation):
                names = names.union(*(side.open(frozenset(known)) for side in clause.sides[1:]))
        return names | self.body.open(frozenset(known))


def among(formula: Node, said: tuple[Node, ...]) -> Node:
    """The formula with what the lines above it said of its names; what it says itself goes first, then the latest."""
    own = formula.said
    latest = {clause.sides[0]: clause for clause in (*said, *own) if isinstance(clause, Relation)}
    others = (c for c in said if c not in own and not (isinstance(c, Relation) and latest[c.sides[0]] != c))
    every = sorted((*own, *others), key=lambda clause: isinstance(clause, Relation))
    body = formula.body if isinstance(formula, Where) else formula
    return Where(body, tuple(every)) if every else body


@dataclass(frozen=True, eq=False, repr=False)
class Mark(Node):
    """What changed in this line: underlined, and otherwise worth what is inside."""

    body: Node
    single: ClassVar[bool] = True

    @property
    def latex(self) -> str:
        return rf"\underline{{{self.body.latex}}}"
