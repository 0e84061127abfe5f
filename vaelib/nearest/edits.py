r"""Every formula that is one edit away: a sign turned round, p(z|x) for p(x|z), a lost logarithm, a factor, a term.

    for edit in edits(tex(r"\log\frac{\sigma_p}{\sigma_q} - \tfrac12"), Vocabulary.of([...])):
        edit.kind, edit.old.plain, edit.new.plain, edit.formula.latex

The most plausible kinds come first. An edit is made on the tree, so it knows its place and prints as it was typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from vaelib.formula.binders import (
    Big,
    Derivative,
    Divergence,
    Entropy,
    Expectation,
    ForAll,
    Integral,
    Over,
    Relation,
    Where,
)
from vaelib.formula.tree import (
    Bracket,
    Call,
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
    Subscript,
    Sum,
    Transpose,
)

Path = tuple[tuple[str, int], ...]
HALF = Quotient(Number("1"), Number("2"), "tfrac")
USUAL = (Name("k"), Name("d"), Name("n"), Name("N"), Name("K"))  # sizes, which are forgotten most
KINDS = {  # in order of plausibility, with what a teacher would say of the place
    "sign": "a sign is the other way round",
    "density": "another density belongs here",
    "KL swapped": "the two arguments of the divergence are swapped",
    "half or two": "a factor 1/2 or 2 is missing, or is one too many",
    "logarithm": "a logarithm is missing, or is one too many",
    "square": "a square is missing, or is one too many",
    "law": "the mean is under another law",
    "swapped throughout": "two names are swapped throughout",
    "name": "another name belongs here",
    "swapped here": "two names are swapped here",
    "dropped": "something here does not belong here",
    "upside down": "the quotient is upside down",
    "complement": "a probability and what it lacks to 1 are swapped",
    "logarithm's end": "the logarithm ends at another place",
    "brackets": "the minus sign is meant for all of the bracket, or for one term of it",
    "missing term": "a term is missing",
    "missing factor": "a factor is missing",
    "number": "the number is another one",
    "transposed": "a matrix is to be transposed or inverted, or is not",
}


@dataclass(frozen=True)
class Edit:
    """One change: what was there, what is there now, and the whole formula with it."""

    kind: str
    old: Node
    new: Node
    formula: Node
    path: Path = ()

    @property
    def says(self) -> str:
        """Where to look, without the answer."""
        return f"look at {self.old.plain}: {KINDS[self.kind]}"


@dataclass(frozen=True)
class Vocabulary:
    """What may be put into a formula: the densities, laws, names and terms of the chain that it belongs to."""

    densities: tuple[Call, ...]
    ratios: tuple[Quotient, ...]
    laws: tuple[Node, ...]
    names: tuple[Name, ...]
    terms: tuple[Node, ...]

    @classmethod
    def of(cls, formulas: Iterable[Node]) -> Vocabulary:
        """All that occurs in these formulas, and every density of the same letters."""
        formulas = tuple(formulas)
        nodes = [node for formula in formulas for node in formula.walk()]
        calls = [n for n in nodes if isinstance(n, Call) and _is_density(n)]
        laws = [n.law for n in nodes if isinstance(n, Expectation) and n.law is not None]
        laws += [side for n in nodes if isinstance(n, Divergence) for side in (n.first, n.second)]
        laws += [law for n in nodes if isinstance(n, Entropy) for law in n.laws]
        names = [n for n in nodes if isinstance(n, Name)]
        terms = [t for n in nodes if isinstance(n, Sum) for t in n.terms]
        terms += [n for n in nodes if isinstance(n, Divergence | Entropy)]
        terms += [Number("1"), HALF, *(name for name in names if name in USUAL), *USUAL]
        ratios = [n for n in nodes if isinstance(n, Quotient) and _is_ratio(n)]
        return cls(
            _unique([*calls, *_of_the_same_letters(calls)]),
            _unique([*ratios, *_importance_weights(calls)]),
            _unique([*laws, *(_as_law(call) for call in calls)]),
            _unique(names),
            _unique([_positive(term) for term in terms]),
        )


def edits(formula: Node, vocabulary: Vocabulary) -> list[Edit]:
    """Every single edit of a formula, each result once, the most plausible kinds first."""
    found: dict[Node, Edit] = {}
    for path, node in places(formula):
        for kind, new in _alternatives(node, vocabulary, bool(path)):
            whole = put(formula, path, new)
            if whole != formula and whole not in found:
                found[whole] = Edit(kind, node, new, whole, path)
    for a, b in _pairs(vocabulary.names):
        for path, node in places(formula):
            new = _swapped(node, a, b)
            whole = put(formula, path, new) if new != node else formula
            if whole != formula and whole not in found:
                found[whole] = Edit("swapped throughout" if not path else "swapped here", node, new, whole, path)
    whole = _laws_swapped(formula)
    if whole != formula and whole not in found:
        found[whole] = Edit("swapped throughout", formula, whole, whole)
    order = list(KINDS)
    return sorted(found.values(), key=lambda edit: order.index(edit.kind))


def _pairs(names: tuple[Name, ...]) -> Iterator[tuple[Node, Node]]:
    """Pairs of subscripts of one letter, q and p of sigma_q and sigma_p, which people swap throughout."""
    pairs = {
        frozenset((a.sub, b.sub))
        for a in names
        for b in names
        if a.base == b.base and a.sub is not None and b.sub is not None and a.sub != b.sub
    }
    for pair in sorted(pairs, key=lambda each: sorted(node.latex for node in each)):
        a, b = sorted(pair, key=lambda node: node.latex)
        yield a, b


def _swapped(node: Node, a: Node, b: Node) -> Node:
    """With a for b and b for a, in every subscript."""
    if isinstance(node, Name):
        return replace(node, sub=b if node.sub == a else a if node.sub == b else node.sub)
    return node.mapped(lambda part: _swapped(part, a, b))


def _laws_swapped(node: Node) -> Node:
    """With p for q and q for p."""
    if isinstance(node, Name) and node.base in ("p", "q"):
        return replace(node, base="q" if node.base == "p" else "p")
    return node.mapped(_laws_swapped)


# ------------------------------------------------------------------------------------------------------------- places


def places(formula: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every part that may be edited, with the way to it; not what an integral or a sum runs over."""
    yield path, formula
    if isinstance(formula, Name | Number | Over):
        return
    for f in fields(formula):
        if not f.compare or (isinstance(formula, Big | Integral | Derivative) and f.name in ("over", "variables")):
            continue
        if isinstance(formula, Call) and (f.name == "name" or (f.name != "parameters" and _is_density(formula))):
            continue
        if isinstance(formula, Relation) and f.name != "sides":
            continue
        part = getattr(formula, f.name)
        for i, child in enumerate(part if isinstance(part, tuple) else (part,)):
            if isinstance(formula, Relation) and i == 0:  # the name that is said to mean something
                continue
            if isinstance(child, Node) and not isinstance(child, Over | ForAll) and _is_said(formula, f.name, child):
                yield from places(child, (*path, (f.name, i)))


def put(formula: Node, path: Path, new: Node) -> Node:
    """The formula with another part at a place."""
    if not path:
        return new
    (name, i), *rest = path
    part = getattr(formula, name)
    child = part[i] if isinstance(part, tuple) else part
    changed = _fitting(formula, name, i, put(child, tuple(rest), new))
    value: Any = (*part[:i], changed, *part[i + 1 :]) if isinstance(part, tuple) else changed
    if isinstance(formula, Sum) and isinstance(changed, Sum):  # a term that became two
        value = (*part[:i], *changed.terms, *part[i + 1 :])
    changes: dict[str, Any] = {name: value}
    return replace(formula, **changes)


def _fitting(parent: Node, name: str, i: int, child: Node) -> Node:
    """In brackets, where it would otherwise be read in another way."""
    loose = isinstance(child, Sum | Negative)
    if isinstance(parent, Product) and (loose or (child.trailing and i + 1 < len(parent.factors))):
        return Bracket(child)
    if isinstance(parent, Negative | Big | Derivative | Function) and loose and not isinstance(child, Bracket):
        return Bracket(child)
    if isinstance(parent, Function) and isinstance(child, Product):
        return Bracket(child)
    if isinstance(parent, Power | Transpose | Subscript) and name in ("base", "body") and not child.single:
        return Bracket(child)
    return child


def _is_said(parent: Node, name: str, child: Node) -> bool:
    """Not a relation, unless it says what a name means."""
    return not isinstance(child, Relation) or (isinstance(parent, Where) and name == "clauses")


# ------------------------------------------------------------------------------------------------------ alternatives


def _alternatives(node: Node, words: Vocabulary, inside: bool) -> Iterator[tuple[str, Node]]:
    """What may take the place of a part, with the kind of the edit."""
    if isinstance(node, Relation):
        return
    if isinstance(node, Sum):
        yield from _of_a_sum(node, words)
    elif not inside or isinstance(node, Expectation | Integral | Bracket):
        yield from _with_a_term(node, words)
    if isinstance(node, Negative):
        yield "sign", node.body
    elif not inside:
        yield "sign", -node
    if isinstance(node, Product):
        yield from _of_a_product(node, words)
    if isinstance(node, Quotient):
        yield "half or two", replace(node, below=_times(Number("2"), node.below))
    if not isinstance(node, Items | Bracket | Where | Number) and not _is_law(node):
        yield "half or two", _times(HALF, node)
        yield "half or two", _times(Number("2"), node)
    match node:
        case Call() if _is_density(node):
            yield from (("density", other) for other in (*words.densities, *words.ratios))
            yield "logarithm", Function("log", node)
        case Divergence():
            yield "KL swapped", replace(node, first=node.second, second=node.first)
            yield from (("density", replace(node, first=law)) for law in words.laws)
            yield from (("density", replace(node, second=law)) for law in words.laws)
        case Entropy():
            yield from (("law", replace(node, laws=(law,))) for law in words.laws)
            if len(node.laws) == 2:
                yield "KL swapped", replace(node, laws=node.laws[::-1])
        case Expectation():
            yield from (("law", replace(node, law=law)) for law in words.laws)
            yield "dropped", node.body
            yield from _with_the_log_outside(node)
        case Function():
            yield from _of_a_function(node)
        case Quotient():
            yield "upside down", replace(node, above=node.below, below=node.above)
            yield "dropped", node.above
            yield "logarithm", Function("log", node)
            yield from _of_a_quotient(node, words)
        case Power():
            yield ("square" if node.exponent == Number("2") else "dropped"), node.base
        case Root():
            yield "square", node.body
        case Transpose():
            yield "transposed", node.body
        case Big() | Integral():
            if isinstance(node, Big):
                yield "dropped", node.body
            yield from _with_the_log_outside(node)
        case Number() if node.text.isdigit():
            yield from (("number", Number(str(n))) for n in (int(node.text) - 1, int(node.text) + 1) if n >= 0)
            yield "number", Number(str(2 * int(node.text)))
        case Name():
            yield from _of_a_name(node, words)
    if isinstance(node, Bracket) and not isinstance(node.body, Items):
        yield "square", Power(node, Number("2"))


def _of_a_sum(node: Sum, words: Vocabulary) -> Iterator[tuple[str, Node]]:
    terms = node.terms
    if len(terms) == 2 and terms[0] == Number("1") and isinstance(terms[1], Negative):
        yield "complement", terms[1].body
    for i, term in enumerate(terms):
        rest = (*terms[:i], *terms[i + 1 :])
        yield "sign", Sum((*terms[:i], _turned(term), *terms[i + 1 :]))
        yield "dropped", rest[0] if len(rest) == 1 else Sum(rest)
        if isinstance(term, Negative) and isinstance(term.body, Bracket) and isinstance(term.body.body, Sum):
            first, *others = term.body.body.terms
            yield "brackets", Sum((*terms[:i], _turned(first), *others, *terms[i + 1 :]))
        if isinstance(term, Negative):
            for end in range(i + 2, len(terms) + 1):
                inside = Bracket(Sum((term.body, *terms[i + 1 : end])))
                yield "brackets", Sum((*terms[:i], Negative(inside), *terms[end:]))
        if i and isinstance(_positive(term), Bracket):  # a - (b) for a(b)
            whole = _times_bracket(terms[i - 1], _positive(term))
            for joined in (whole, _turned(whole)):
                yield "brackets", _sum((*terms[: i - 1], joined, *terms[i + 1 :]))
    yield from _with_a_term(node, words)


def _with_a_term(node: Node, words: Vocabulary) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Bracket):
        return
    for term in words.terms:
        if term != node and term not in getattr(node, "terms", ()):
            yield "missing term", node + term
            yield "missing term", node - term


def _of_a_product(node: Product, words: Vocabulary) -> Iterator[tuple[str, Node]]:
    factors = node.factors
    for i, factor in enumerate(factors):
        rest = (*factors[:i], *factors[i + 1 :])
        kind = "half or two" if _is_half_or_two(factor) else "dropped"
        yield kind, rest[0] if len(rest) == 1 else Product(rest)
        if isinstance(factor, Function) and factor.name == "log" and i + 1 < len(factors):
            inside = Bracket(Product((_open(factor.body), *factors[i + 1 :])))
            longer = replace(factor, body=inside)
            yield "logarithm's end", longer if i == 0 else Product((*factors[:i], longer))
    for name in (*words.names, *USUAL, Number("2"), Name(r"\pi")):
        if name not in factors:
            yield "missing factor", Product((*factors, name))
    if any(isinstance(factor, Transpose) for factor in factors):
        for i in range(len(factors) - 1):
            yield "transposed", Product((*factors[:i], factors[i + 1], factors[i], *factors[i + 2 :]))


def _of_a_function(node: Function) -> Iterator[tuple[str, Node]]:
    if node.name != "log":
        return
    inside = _open(node.body)
    yield "logarithm", inside
    if isinstance(inside, Expectation | Integral | Big):
        yield "logarithm's end", replace(inside, body=replace(node, body=Bracket(_open(inside.body))))
    if not isinstance(inside, Call):  # of a variance, and not of a density
        yield "missing factor", replace(node, body=Bracket(Product((Number("2"), Name(r"\pi"), _factor(inside)))))
    if isinstance(inside, Product):
        for i in range(1, len(inside.factors)):
            taken, left = inside.factors[:i], inside.factors[i:]
            log = replace(node, body=taken[0] if i == 1 else Bracket(Product(taken)))
            yield "logarithm's end", Product((Bracket(log), *left))
            yield "logarithm's end", Product((*left, log))
    if isinstance(inside, Quotient):
        yield "logarithm's end", Quotient(replace(node, body=inside.above), inside.below)


def _with_the_log_outside(node: Expectation | Integral | Big) -> Iterator[tuple[str, Node]]:
    r"""\log E[f] for E[\log f]."""
    body = _open(node.body)
    if isinstance(body, Function) and body.name == "log":
        yield "logarithm's end", replace(body, body=Bracket(replace(node, body=_open(body.body))))


def _of_a_quotient(node: Quotient, words: Vocabulary) -> Iterator[tuple[str, Node]]:
    above, below = _open(node.above), _open(node.below)
    if isinstance(above, Function) and isinstance(below, Function) and above.name == below.name == "log":
        yield "logarithm's end", replace(above, body=Quotient(_open(above.body), _open(below.body)))
    for name in (*words.names, *USUAL):
        yield "missing factor", replace(node, below=Product((name, _factor(node.below))))


def _factor(node: Node) -> Node:
    return Bracket(node) if isinstance(node, Sum | Negative) else node


def _of_a_name(node: Name, words: Vocabulary) -> Iterator[tuple[str, Node]]:
    if _is_law(node):
        yield from (("law", law) for law in words.laws)
    for name in words.names:
        alike = (name.base == node.base) != (name.sub == node.sub and node.sub is not None)
        if name != node and alike:
            yield "name", name
    yield "square", Power(node, Number("2"))
    yield "square", Root(node)
    yield "complement", Bracket(Sum((Number("1"), Negative(node))))
    yield "transposed", Power(node, Negative(Number("1")))
    yield "transposed", Transpose(node)


# ------------------------------------------------------------------------------------------------------------- helpers


def _is_density(call: Call) -> bool:
    """p(x|z) and its like: of names, and neither a function of a formula nor a Gaussian with its moments."""
    names = all(isinstance(part, Name) for part in (*call.targets, *call.givens))
    return names and isinstance(call.name, Name) and call.name.base in "pqrPQ" and len(call.name.base) == 1


def _is_law(node: Node) -> bool:
    return isinstance(node, Name) and node.base in ("p", "q", "r", "P", "Q")


def _of_the_same_letters(calls: list[Call]) -> Iterator[Call]:
    """p(x|z), p(z|x), p(x, z), p(z) and p(x) of one p, where two variables occur; given c, where three."""
    for call in calls:
        names = (*call.targets, *call.givens)
        for common in ((),) if len(names) == 2 else ((name,) for name in call.givens) if len(names) == 3 else ():
            a, b = (name for name in names if name not in common)
            for targets, givens in (((a,), (b,)), ((b,), (a,)), ((a, b), ()), ((a,), ()), ((b,), ())):
                yield replace(call, targets=targets, givens=(*givens, *common))


def _is_ratio(node: Quotient) -> bool:
    return all(isinstance(part, Call) and _is_density(part) for part in (node.above, node.below))


def is_odd(node: Node) -> bool:
    """A quotient of densities of different variables, which hardly anybody means: p(x) / q(z)."""
    if not isinstance(node, Quotient):
        return False
    above, below = (part.body if isinstance(part, Bracket) else part for part in (node.above, node.below))
    densities = all(isinstance(part, Call) and _is_density(part) for part in (above, below))
    return densities and not set(above.targets) & set(below.targets)  # type: ignore[attr-defined]


def _importance_weights(calls: list[Call]) -> Iterator[Quotient]:
    """p(x, z) / q(z), for the densities of two letters."""
    joints = [call for call in _of_the_same_letters(calls) if len(call.targets) == 2]
    for joint in joints:
        for law in calls:
            if len(law.targets) == 1 and law.name != joint.name and law.targets[0] in joint.targets:
                yield Quotient(joint, law)


def _as_law(call: Call) -> Node:
    return call


def _positive(term: Node) -> Node:
    return term.body if isinstance(term, Negative) else term


def _turned(term: Node) -> Node:
    return term.body if isinstance(term, Negative) else Negative(Bracket(term) if isinstance(term, Sum) else term)


def _open(node: Node) -> Node:
    return node.body if isinstance(node, Bracket) and not isinstance(node.body, Items) else node


def _times(number: Node, node: Node) -> Node:
    if isinstance(node, Negative):
        return Negative(_times(number, node.body))
    return Product(
        (number, *(node.factors if isinstance(node, Product) else (Bracket(node) if isinstance(node, Sum) else node,)))
    )


def _times_bracket(node: Node, bracket: Node) -> Node:
    """A product with a bracket; what takes in what follows it, an integral or a sum, takes it in."""
    if isinstance(node, Negative):
        return Negative(_times_bracket(node.body, bracket))
    if isinstance(node, Big | Integral):
        return replace(node, body=_times_bracket(node.body, bracket))
    return Product((*(node.factors if isinstance(node, Product) else (node,)), bracket))


def _sum(terms: tuple[Node, ...]) -> Node:
    return terms[0] if len(terms) == 1 else Sum(terms)


def _is_half_or_two(node: Node) -> bool:
    return node == Number("2") or node == HALF


def _unique(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(items))
