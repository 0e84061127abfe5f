r"""The tree of a formula: what it is made of, how it is written, and the Python operators that build it.

    log(sigma_p / sigma_q) + spread - HALF        and        tex(r"\log\frac{\sigma_p}{\sigma_q} + s - \tfrac12")

are trees of the same kinds of node. A tree is what is on the board: brackets are nodes, and the operators put them
where precedence needs them, so that printing a node never asks what is around it. Nodes are immutable; two are equal if
they are built alike, wherever they were in their source and however a quotient or a space was set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar, NamedTuple

from vaelib import _latex
from vaelib.formula.rules import GAUSS, TRAPEZOID, Rule


class Span(NamedTuple):
    """Where a node was read: source[start:end]."""

    source: str
    start: int
    end: int

    def caret(self) -> str:
        """The line of the source in which the node starts, and a caret below its first character."""
        before = self.source[: self.start]
        left = before.rfind("\n") + 1
        right = self.source.find("\n", self.start)
        line = self.source[left : right if right >= 0 else None]
        cut = max(0, self.start - left - 60)
        return f"{line[cut : cut + 110]}\n{' ' * (self.start - left - cut)}^"


def style(default: Any) -> Any:
    """A field that changes how a node looks and not what it is: left out of equality."""
    return field(default=default, compare=False)


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """A part of a formula, and a formula itself."""

    where: Span | None = field(default=None, compare=False, kw_only=True)

    engine: ClassVar[Callable[..., Any]]  # what evaluates a tree; set by the package, which knows both
    crowd: ClassVar[Callable[..., Any]]  # what evaluates it on several witnesses at once; set likewise
    hearing: ClassVar[Callable[..., Any]]  # what puts definitions around a tree; set likewise
    single: ClassVar[bool] = False  # one thing, which may carry an exponent
    trailing: ClassVar[bool] = False  # it would take in a factor that follows
    __array_ufunc__ = None  # `np.float64(2) * node` is a node

    # ---------------------------------------------------------------------------------------- what it is

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return (type(self).__name__, *(getattr(self, f.name) for f in fields(self) if f.compare))

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Node) or self._hash != other._hash or self._key != other._key:
            return False
        self.__dict__["_key"] = other._key  # the next comparison finds the same parts, and goes no deeper
        return True

    def children(self) -> Iterator[Node]:
        """The nodes directly below, in the order in which they are written."""
        for part in self._key[1:]:
            for item in part if isinstance(part, tuple) else (part,):
                if isinstance(item, Node):
                    yield item

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        waiting: list[Node] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(list(node.children())))

    def mapped(self, f: Callable[[Node], Node], without: tuple[str, ...] = ()) -> Node:
        """With f of each node directly below; `without` names the fields that stay as they are."""
        changes: dict[str, Any] = {}
        for part_of in fields(self):
            part = getattr(self, part_of.name)
            if part_of.name in without:
                continue
            if isinstance(part, Node):
                new: Any = f(part)
            elif isinstance(part, tuple) and any(isinstance(item, Node) for item in part):
                new = tuple(f(item) if isinstance(item, Node) else item for item in part)
            else:
                continue
            if new != part:
                changes[part_of.name] = new
        return replace(self, **changes) if changes else self

    @property
    def free(self) -> frozenset[str]:
        r"""The names left open, as LaTeX: {r'\mu_q', 'z'}. Sums, integrals and expectations bind theirs."""
        return self.open(frozenset())

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        """The names left open where those of `bound` have a value."""
        return frozenset().union(*(child.open(bound) for child in self.children()))

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Every name that occurs, bases and subscripts each for themselves: what a value may depend on."""
        return frozenset().union(*(child.mentioned for child in self.children()))

    # ---------------------------------------------------------------------------------------- how it is written

    @property
    def latex(self) -> str:
        """As LaTeX, in the order in which it was typed."""
        raise NotImplementedError

    @property
    def plain(self) -> str:
        """As one readable line for a terminal."""
        return _latex.plain(self.latex)

    def __repr__(self) -> str:
        return f"tex({self.latex!r})"

    def _repr_latex_(self) -> str:
        return f"${self.latex}$"

    # ---------------------------------------------------------------------------------------- what it is worth

    def value(self, witness: Any, rule: Any = None) -> Any:
        """The value on a witness (or a Scope): a float, an array, or an Estimate where an integral was computed.

        Args:
            witness: an object with a method `scope()`, or a Scope.
            rule: the quadrature family, `TRAPEZOID` (the default) or `GAUSS`: lines that are compared take different
                ones, so that an error of a rule does not cancel.

        Raises IllTyped if the formula has no value here: a name that the scope does not know, a number added to a
        vector, an integral that does not converge.
        """
        return Node.engine(self, witness, rule)

    @property
    def said(self) -> tuple[Node, ...]:
        """What it says of its names after commas: definitions and quantifiers, which hold for the lines below, too."""
        return ()

    def among(self, said: tuple[Node, ...]) -> Node:
        """The formula with what others have said of its names; `Where` knows how."""
        return Node.hearing(self, said) if said else self

    def for_line(self, index: int, said: tuple[Node, ...] = ()) -> ByRule:
        """As the line of a derivation: neighboring lines take different rules."""
        return ByRule(self, GAUSS if index % 2 else TRAPEZOID, said)

    # ---------------------------------------------------------------------------------------- operators

    def __add__(self, other: Any) -> Node:
        return Sum((*_terms(self), *_terms(node(other))))

    def __radd__(self, other: Any) -> Node:
        return node(other) + self

    def __sub__(self, other: Any) -> Node:
        return Sum((*_terms(self), -node(other)))

    def __rsub__(self, other: Any) -> Node:
        return node(other) - self

    def __neg__(self) -> Node:
        return Negative(bracketed(self) if isinstance(self, Sum | Negative) else self)

    def __mul__(self, other: Any) -> Node:
        return product(self, node(other))

    def __rmul__(self, other: Any) -> Node:
        return product(node(other), self)

    def __matmul__(self, other: Any) -> Node:
        return product(self, node(other))

    def __truediv__(self, other: Any) -> Node:
        if isinstance(self, Negative):  # -a / b is written as a minus before the fraction
            return Negative(self.body / other)
        return Quotient(self, node(other))

    def __rtruediv__(self, other: Any) -> Node:
        return node(other) / self

    def __pow__(self, exponent: Any) -> Node:
        return Power(closed(self), node(exponent))

    def __or__(self, other: Any) -> Condition:
        return Condition((self,), (node(other),))

    def __getitem__(self, index: Any) -> Node:
        indices = tuple(node(i) for i in (index if isinstance(index, tuple) else (index,)))
        return Subscript(closed(self), indices[0] if len(indices) == 1 else Items(indices))

    @property
    def T(self) -> Node:
        """Transposed."""
        return Transpose(closed(self))


def node(item: Any) -> Node:
    """A node as it is; a number as a node; what has a formula, such as a term, as that formula."""
    if isinstance(item, Node):
        return item
    if isinstance(formula := getattr(item, "formula", None), Node):
        return formula
    if isinstance(item, Fraction) and item.denominator != 1:
        above = node(abs(item.numerator))
        fraction = Quotient(above, node(item.denominator), "tfrac")
        return fraction if item.numerator >= 0 else Negative(fraction)
    if isinstance(item, Real) and not isinstance(item, bool):
        number = float(item)
        if number != number or abs(number) == float("inf"):
            raise ValueError(f"Expected a finite number in a formula, but got {number}.")
        text = str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(abs(number))
        if "e" in text:
            digits, exponent = text.split("e")
            size = node(float(digits)) * node(10) ** node(int(exponent))
            return size if number > 0 else Negative(size)
        return Negative(Number(text.lstrip("-"))) if number < 0 else Number(text)
    raise TypeError(f"Expected a formula or a number, but got {item!r}, a {type(item).__name__}.")


@dataclass(frozen=True)
class ByRule:
    """A formula as a line of a chain: its integrals are computed by one rule, whoever asks.

    Args:
        formula: what is written.
        rule: how its integrals are computed.
        also: what the lines above it have said of its names.
    """

    formula: Node
    rule: Rule
    also: tuple[Node, ...] = ()

    @property
    def latex(self) -> str:
        return self.formula.latex

    @property
    def free(self) -> frozenset[str]:
        return self.formula.free

    @property
    def said(self) -> tuple[Node, ...]:
        return self.formula.said

    @cached_property
    def whole(self) -> Node:
        """The formula with all that was said of its names."""
        return self.formula.among(self.also)

    def value(self, witness: Any, step: float | None = None) -> Any:
        """The value on a witness; of a limit at a step, where `witness.at(step)` says what the names mean."""
        return self.whole.value(witness if step is None else witness.at(step), self.rule)

    def bare_value(self, witness: Any, step: float | None = None) -> Any:
        """The value without its error, in a third of the time."""
        return Node.engine(self.whole, witness if step is None else witness.at(step), self.rule, bare=True)

    def prepare(self, witnesses: Sequence[Any], copies: Sequence[Any]) -> None:
        """Compute its values on all of these at once, as far as that can be; `value` then knows them."""
        Node.crowd(self.whole, witnesses, copies, self.rule)

    def for_line(self, index: int, said: tuple[Node, ...] = ()) -> ByRule:
        return self.formula.for_line(index, heard(self.also, said))


def heard(before: tuple[Node, ...], said: tuple[Node, ...]) -> tuple[Node, ...]:
    """What is said of the names in a chain of which a line was replaced: what the old line said is still known."""
    return (*(clause for clause in before if clause not in said), *said)


# ------------------------------------------------------------------------------------------------------- arithmetic


@dataclass(frozen=True, eq=False, repr=False)
class Number(Node):
    """A number as it is typed: 2, 0.5."""

    single: ClassVar[bool] = True
    text: str

    @property
    def latex(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False, repr=False)
class Name(Node):
    r"""A letter or a word with all that hangs on it: \mu_q, z', \bar x_k, p^*, x^{(i)}, \mathbf{z}.

    Args:
        base: a letter, a command (\mu), or a word.
        sub: the subscript; whether it is an index or a part of the name is for the scope to say.
        marks: primes, stars and the like, in order.
        accents: \bar, \hat, \mathbf, ..., the outermost first.
        upper: an index above, in brackets.
    """

    single: ClassVar[bool] = True
    base: str
    sub: Node | None = None
    marks: str = ""
    accents: tuple[str, ...] = ()
    upper: Node | None = None

    def __call__(self, *arguments: Any, at: tuple[Any, ...] = ()) -> Call:
        """A call: p(x, z), p(x | z), or with parameters after a semicolon, p(x, at=(theta,))."""
        return Call(self, *_conditioned(arguments), tuple(node(a) for a in at))

    def __getitem__(self, index: Any) -> Name:
        indices = tuple(node(i) for i in (index if isinstance(index, tuple) else (index,)))
        return Name(self.base, indices[0] if len(indices) == 1 else Items(indices), self.marks, self.accents)

    @property
    def latex(self) -> str:
        text = self.base if len(self.base) == 1 or self.base.startswith("\\") else rf"\mathrm{{{self.base}}}"
        for accent in reversed(self.accents):
            text = rf"{accent}{{{text}}}" if not text.startswith(r"\mathrm") or accent != r"\mathrm" else text
        primes = "'" * (len(self.marks) - len(self.marks.lstrip("'")))
        upper = self.marks[len(primes) :] + (f"({self.upper.latex})" if self.upper is not None else "")
        text += primes
        text += f"_{{{self.sub.latex}}}" if self.sub is not None and len(self.sub.latex) > 1 else ""
        text += f"_{self.sub.latex}" if self.sub is not None and len(self.sub.latex) == 1 else ""
        return text + (f"^{{{upper}}}" if upper else "")

    @cached_property
    def key(self) -> str:
        """How the scope knows it."""
        return self.latex

    @cached_property
    def stem(self) -> Name:
        """Without the subscript."""
        return Name(self.base, None, self.marks, self.accents)

    @cached_property
    def letter(self) -> Name:
        """Without anything: of z', z_1 and \bar z it is z, a value of the same variable."""
        return Name(self.base)

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        if self.key in bound or self.stem.key in bound:
            return frozenset()
        indices = [index for index in (self.sub, self.upper) if index is not None]
        if any(index.mentioned & bound for index in indices):  # an entry of something larger
            return frozenset({self.stem.key})
        return frozenset({self.key})

    @cached_property
    def mentioned(self) -> frozenset[str]:
        below = self.sub.mentioned if self.sub is not None else frozenset()
        above = self.upper.mentioned if self.upper is not None else frozenset()
        return frozenset({self.key, self.stem.key, self.letter.key}) | below | above


@dataclass(frozen=True, eq=False, repr=False)
class Sum(Node):
    """a + b - c: its terms, a subtracted one as a Negative."""

    terms: tuple[Node, ...]

    @property
    def latex(self) -> str:
        first, *others = self.terms
        rest = (t.latex if isinstance(t, Negative) else f"+ {t.latex}" for t in others)
        return " ".join([first.latex, *(f"- {text[1:].lstrip()}" if text[0] == "-" else text for text in rest)])


@dataclass(frozen=True, eq=False, repr=False)
class Negative(Node):
    """-a."""

    trailing: ClassVar[bool] = True
    body: Node

    @property
    def latex(self) -> str:
        return f"-{self.body.latex}"


@dataclass(frozen=True, eq=False, repr=False)
class Product(Node):
    r"""a b c, in this order; `spaces` is what is set between the factors."""

    factors: tuple[Node, ...]
    spaces: tuple[str, ...] = style(())

    @property
    def latex(self) -> str:
        text = self.factors[0].latex
        spaces = self.spaces if len(self.spaces) == len(self.factors) - 1 else (None,) * (len(self.factors) - 1)
        for left, right, space in zip(self.factors, self.factors[1:], spaces, strict=False):
            if space in (None, " ") and isinstance(right, Bracket) and isinstance(left, Name):
                space = r"\,"  # a bracket that follows a name at once would be its argument
            if space is None:
                letter = isinstance(left, Number) and not right.latex[:1].isdigit()
                space = " " if letter else r"\,"
            if space != r"\cdot" and right.latex[:1].isdigit():
                space = r"\cdot"
            text += " " + right.latex if space == " " else f"{space} {right.latex}"
        return text


@dataclass(frozen=True, eq=False, repr=False)
class Quotient(Node):
    r"""a over b, set as `frac`, `tfrac` or with a `slash`."""

    above: Node
    below: Node
    look: str = style("frac")

    @property
    def latex(self) -> str:
        if self.look == "slash":
            return f"{self.above.latex} / {self.below.latex}"
        above, below = self.above.latex, self.below.latex
        if self.look == "tfrac" and len(above) == len(below) == 1:
            return rf"\tfrac{{{above}}}{{{below}}}" if not (above + below).isdigit() else rf"\tfrac{above}{below}"
        return rf"\{self.look}{{{above}}}{{{below}}}"


@dataclass(frozen=True, eq=False, repr=False)
class Power(Node):
    """a to the power b; of a matrix to the power -1 it is the inverse."""

    base: Node
    exponent: Node

    @property
    def latex(self) -> str:
        exponent = self.exponent.latex
        base = self.base.latex
        if isinstance(self.base, Name) and (self.base.marks.strip("'") or self.base.upper is not None):
            base = f"{{{base}}}"  # two superscripts
        return f"{base}^{exponent}" if len(exponent) == 1 else f"{base}^{{{exponent}}}"


@dataclass(frozen=True, eq=False, repr=False)
class Factorial(Node):
    """n!, or with step 2 the product of every second number, n!! = n (n - 2) (n - 4) ..."""

    body: Node
    step: int = 1

    @property
    def latex(self) -> str:
        return self.body.latex + "!" * self.step


@dataclass(frozen=True, eq=False, repr=False)
class Transpose(Node):
    """Of a vector it is the row."""

    body: Node

    @property
    def latex(self) -> str:
        return rf"{self.body.latex}^\top"


@dataclass(frozen=True, eq=False, repr=False)
class Root(Node):
    """The square root, or that of another degree."""

    single: ClassVar[bool] = True
    body: Node
    degree: Node | None = None

    @property
    def latex(self) -> str:
        degree = f"[{self.degree.latex}]" if self.degree is not None else ""
        return rf"\sqrt{degree}{{{self.body.latex}}}"


@dataclass(frozen=True, eq=False, repr=False)
class Bracket(Node):
    """Brackets around one formula, `kind` being the one that opens."""

    single: ClassVar[bool] = True
    body: Node
    kind: str = style("(")

    @property
    def latex(self) -> str:
        return in_brackets(self.body.latex, self.kind)


@dataclass(frozen=True, eq=False, repr=False)
class Items(Node):
    """Several formulas with commas between them."""

    entries: tuple[Node, ...]

    @property
    def latex(self) -> str:
        return r",\ ".join(entry.latex for entry in self.entries)


@dataclass(frozen=True, eq=False, repr=False)
class Subscript(Node):
    """An entry of what is not a name: (A S)_{jj}, softmax(a)_1."""

    body: Node
    index: Node

    @property
    def latex(self) -> str:
        return f"{self.body.latex}_{{{self.index.latex}}}"


@dataclass(frozen=True, eq=False, repr=False)
class Absolute(Node):
    """Bars: the absolute value of a number, the determinant of a matrix."""

    single: ClassVar[bool] = True
    body: Node

    @property
    def latex(self) -> str:
        return rf"\left|{self.body.latex}\right|"


@dataclass(frozen=True, eq=False, repr=False)
class Norm(Node):
    """Double bars: the Euclidean length of a vector."""

    single: ClassVar[bool] = True
    body: Node

    @property
    def latex(self) -> str:
        return rf"\left\|{self.body.latex}\right\|"


@dataclass(frozen=True, eq=False, repr=False)
class Function(Node):
    r"""A function with its own name: log, exp, softplus, sigmoid, softmax, tr, det, diag, max, min, sin, cos.

    Args:
        power: of \log^2 x, the 2. base: of \log_2 x, the 2.
    """

    name: str
    body: Node
    power: Node | None = None
    base: Node | None = None

    @property
    def trailing(self) -> bool:  # type: ignore[override]
        return not isinstance(self.body, Bracket)

    @property
    def latex(self) -> str:
        text = rf"\{self.name}" if self.name in LATEX_FUNCTIONS else rf"\mathrm{{{self.name}}}"
        text += f"_{{{self.base.latex}}}" if self.base is not None else ""
        text += f"^{{{self.power.latex}}}" if self.power is not None else ""
        body = self.body.latex
        tight = isinstance(self.body, Bracket | Absolute | Norm | Quotient)
        return f"{text}{body}" if tight and body[0] in "\\([" else f"{text} {body}"


LATEX_FUNCTIONS = frozenset({"log", "exp", "det", "max", "min", "sin", "cos", "tanh", "sinh", "cosh"})
FUNCTIONS = LATEX_FUNCTIONS | {"softplus", "sigmoid", "softmax", "tr", "diag", "expm1", "log1p"}


class Condition(NamedTuple):
    """x | z, on its way into a call."""

    targets: tuple[Node, ...]
    givens: tuple[Node, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Call(Node):
    r"""A density or a function with what it is taken at: p(x \mid z), N(x; m, S), f(z).

    If the scope knows the name as a value, it is a product with a bracket.
    """

    single: ClassVar[bool] = True
    name: Node
    targets: tuple[Node, ...]
    givens: tuple[Node, ...] = ()
    parameters: tuple[Node, ...] = ()
    kind: str = style("(")

    def open(self, bound: frozenset[str]) -> frozenset[str]:
        return frozenset().union(*(part.open(bound) for part in self.children() if part is not self.name))

    @property
    def latex(self) -> str:
        inner = ", ".join(t.latex for t in self.targets)
        inner += r" \mid " + ", ".join(g.latex for g in self.givens) if self.givens else ""
        inner += r";\, " + r",\, ".join(p.latex for p in self.parameters) if self.parameters else ""
        return self.name.latex + in_brackets(inner, self.kind)


# ------------------------------------------------------------------------------------------------------- brackets


CLOSING = {"(": ")", "[": "]", "{": r"\}"}


def in_brackets(text: str, kind: str = "(") -> str:
    r"""Text in brackets, which grow with it where it is higher than a line."""
    opening = r"\{" if kind == "{" else kind
    if any(tall in text for tall in (r"\frac", r"\sum", r"\int", r"\prod", r"\left", "^")):
        return rf"\left{opening}{text}\right{CLOSING[kind]}"
    return f"{opening}{text}{CLOSING[kind]}"


def bracketed(item: Node) -> Bracket:
    return Bracket(item)


def closed(item: Node) -> Node:
    """As the base of a power: in brackets, unless it is one thing."""
    return item if item.single else Bracket(item)


def as_factor(item: Node, last: bool) -> Node:
    """As a factor: in brackets, if it is a sum or would take in what follows."""
    return Bracket(item) if isinstance(item, Sum | Negative) or (item.trailing and not last) else item


def product(left: Node, right: Node) -> Node:
    """left times right; factors of products are listed, not nested, and a minus in front stays in front."""
    if isinstance(left, Negative):
        return Negative(product(left.body, right))
    factors = [*_factors(left), *_factors(right)]
    last = len(factors) - 1
    return Product(tuple(as_factor(factor, i == last) for i, factor in enumerate(factors)))


def _factors(item: Node) -> tuple[Node, ...]:
    return item.factors if isinstance(item, Product) else (item,)


def _terms(item: Node) -> tuple[Node, ...]:
    return item.terms if isinstance(item, Sum) else (item,)


def _conditioned(arguments: tuple[Any, ...]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Targets and givens of p(x, y | z, w), which Python reads as p(x, (y | z), w)."""
    targets: list[Node] = []
    givens: list[Node] = []
    for argument in arguments:
        if isinstance(argument, Condition):
            if givens:
                raise ValueError("Expected one condition in a call, p(x, y | z), but got two.")
            targets.extend(argument.targets)
            givens.extend(argument.givens)
        else:
            (givens if givens else targets).append(node(argument))
    return tuple(targets), tuple(givens)
