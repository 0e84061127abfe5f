r"""LaTeX as a tree: `tex(r"\log\frac{\sigma_p}{\sigma_q} + \mathbb{E}_q[f(z)]")`.

What could be read in two ways is refused, or read in one way that is stated:

- `a / 2c` is a / (2c): a denominator behind a slash takes the letters that follow, not calls or brackets.
- `\log p(x) p(z)` is log(p(x) p(z)); see `operators`.
- A name with a round bracket at once behind it is a call; with a space command between, a product: `\mu\,(x - y)`.
  Where the scope knows the name as a value, the call is a product after all.
- `|...|` after an operand within a call is a condition, elsewhere it opens an absolute value (a determinant).
- Behind a comma, `m = ...` says what a name means, `\forall z` that the line holds at every z.
- `^\top` and `^T` transpose; `N(x; m, S)` has a variance, not a scale.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from vaelib.formula.binders import RELATIONS, ForAll, Relation, Where
from vaelib.formula.cursor import ACCENTS, FONTS, GREEK
from vaelib.formula.operators import Operators
from vaelib.formula.tokens import Token
from vaelib.formula.tree import (
    Absolute,
    Bracket,
    Call,
    Factorial,
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
    Subscript,
    Sum,
    Transpose,
)

_MARKS = {"*", "+", "'", r"\star", r"\dagger", "-"}
_FRACTIONS = (r"\frac", r"\tfrac")


@lru_cache(maxsize=4096)
def tex(source: str) -> Node:
    r"""The formula that this LaTeX shows.

    Example: tex(r"\tfrac12 \log 2\pi\sigma^2").value(scope)

    Raises:
        Unreadable: it is not a formula of this course, or could be read in two ways; says where, what was expected, and
            how the part before was read. Nothing is executed.
    """
    if not isinstance(source, str):
        raise TypeError(f"Expected LaTeX as a string, but got {source!r}, a {type(source).__name__}.")
    return Reader(source).formula()


class Reader(Operators):
    """Reads from left to right, each token once."""

    def formula(self) -> Node:
        """A line: a formula or a chain of relations, then what its names mean."""
        first = self.peek()
        entries: list[Node] = []
        clauses: list[Node] = []
        while True:
            if self.accept(r"\forall"):
                clauses.append(self._for_all())
            else:
                entry = self.relation()
                (clauses if entries and _defines(entry) else entries).append(entry)
            if self.peek().text != r"\forall" and not self.accept(","):
                break
        if self.peek().kind != "end":
            self._explain_stop()
        if not entries:
            self.refuse("Expected a formula before \\forall, but got none.", first)
        body = entries[0] if len(entries) == 1 else Items(tuple(entries))
        return Where(body, tuple(clauses), where=self.span(first)) if clauses else body

    def _explain_stop(self) -> None:
        token = self.peek()
        if token.text in (")", "]", r"\}", "}"):
            self.refuse(f"Expected an end or an operator, but got {token.text}, which closes nothing.")
        if token.kind == "word" or token.text in (r"\ldots", r"\cdots", r"\dots"):
            self.refuse(f"Expected a formula, but got {token.text!r}: words and dots have no value. Is `given` meant?")
        self.refuse(f"Expected an operator, a relation or the end, but got {token.text}.")

    def _for_all(self) -> Node:
        names = [self._plain_name()]
        while self.peek().text == "," and self.peek(1).kind == "letter" and self.peek(2).text in (",", "", "'", "_"):
            self.next()
            names.append(self._plain_name())
        return ForAll(tuple(names))

    def _plain_name(self) -> Name:
        name = self.name()
        assert isinstance(name, Name)
        return name

    def relation(self) -> Node:
        first = self.peek()
        sides = [self.sum()]
        signs: list[str] = []
        while self.peek().text in RELATIONS and self.peek().kind != "end":
            signs.append(RELATIONS[self.next().text])
            sides.append(self.sum())
        return Relation(tuple(sides), tuple(signs), where=self.span(first)) if signs else sides[0]

    def sum(self) -> Node:
        first = self.peek()
        terms: list[Node] = []
        sign = self.accept("-", "+")
        while True:
            term = self.product()
            terms.append(Negative(term, where=self.span(sign)) if sign and sign.text == "-" else term)
            self.last = terms[-1]
            sign = self.accept("-", "+")
            if not sign:
                break
        return Sum(tuple(terms), where=self.span(first)) if len(terms) > 1 else terms[0]

    def product(self) -> Node:
        first = self.peek()
        factors = [self.factor()]
        spaces: list[str] = []
        while True:
            token = self.peek()
            if self.accept(r"\cdot", r"\times"):
                spaces.append(r"\cdot")
                factors.append(self.factor())
            elif self.accept("/"):
                above = factors[0] if len(factors) == 1 else Product(tuple(factors), tuple(spaces))
                factors, spaces = [Quotient(above, self._denominator(above), "slash", where=self.span(first))], []
            elif self.starts_factor():
                if token.text == "{" and self.tokens[self.at - 1].text == "}":
                    self.refuse("Expected an operator between two groups in braces, but got none: is \\frac missing?")
                if token.kind == "number" and factors:
                    self.refuse("Expected a number in front, or \\cdot before it, but got it behind another factor.")
                spaces.append(r"\," if token.spaced else " ")
                factors.append(self.factor())
                if isinstance(_first(factors[-1]), Number):
                    self.refuse("Expected a number in front, or \\cdot before it, but got it in braces.", token)
                if isinstance(inner := factors[-1], Product):  # braces are not seen
                    factors[-1:] = inner.factors
                    spaces.extend(inner.spaces)
            else:
                break
            self.last = factors[-1]
        if len(factors) == 1:
            return factors[0]
        return Product(tuple(factors), tuple(spaces), where=self.span(first))

    def _denominator(self, above: Node) -> Node:
        """What comes after a slash: one factor, and the letters that follow a letter or a number."""
        first = self.peek()
        factors = [self.factor()]
        if factors[0].trailing:
            self.refuse(
                "Expected a fraction or brackets, but got an operator behind a slash: where does it end?", first
            )
        plain = isinstance(factors[0], Number | Name) or (
            isinstance(factors[0], Power) and isinstance(factors[0].base, Number | Name)
        )
        while plain and self.starts_factor() and not self.operator() and not self.peek().spaced:
            token = self.peek()
            if not (token.kind == "letter" or token.text in GREEK | ACCENTS):
                break
            if isinstance(above, Number) and isinstance(factors[0], Number):
                self.refuse(
                    f"Expected a fraction, but got {above.text}/{factors[0].text} with a letter behind it: is it in "
                    r"the denominator or not? Write \tfrac or brackets."
                )
            name = self.name()
            if self.peek().text == "(" and not self.peek().spaced:
                assert isinstance(name, Name)
                self.pending = name
                break
            factors.append(self._raised(name, token))
        if len(factors) == 1:
            return factors[0]
        return Product(tuple(factors), (" ",) * (len(factors) - 1), where=self.span(first))

    def starts_factor(self) -> bool:
        """Whether a factor begins here, rather than an operator, a closing bracket or the end."""
        token = self.peek()
        if self.pending is not None:
            return True
        if token.kind == "end" or self.is_differential():
            return False
        if token.kind in ("number", "letter"):
            return True
        if token.kind == "word":
            return token.text.isalnum()
        if token.text in ("|", r"\|"):
            if token.side:
                return token.side == "open"
            return self.inside[-1] not in ("|", "||", "call", "divergence")
        if token.text == ".":
            return token.side == "open"
        if token.kind == "command":
            return token.text in GREEK | ACCENTS or token.text in (*_FRACTIONS, r"\sqrt") or bool(self.operator())
        return token.text in ("(", "[", "{", r"\{")

    def factor(self) -> Node:
        kind = "" if self.pending is not None else self.operator()
        if not kind:
            return self.power()
        first = self.peek()
        node = self.operation(kind)
        if node.single or (isinstance(node, Function) and isinstance(node.body, Bracket)):
            return self._raised(node, first)
        return node

    def power(self) -> Node:
        first = self.peek()
        node, self.pending = self.pending or self._atom(), None
        if isinstance(node, Name) and self.peek().text == "(" and not self.peek().spaced:
            node = self._call(node)
        return self._raised(node, first)

    def _raised(self, node: Node, first: Token) -> Node:
        while token := self.accept("^", "_"):
            if token.text == "_":
                node = self._below(node, first)
                continue
            if isinstance(node, Power):
                self.refuse("Expected one exponent, but got a second one: use brackets.", token)
            if self.accept(r"\top", "T"):
                node = Transpose(node, where=self.span(first))
                continue
            exponent = self.script()
            transposed = isinstance(exponent, Name) and exponent.key in (r"\top", r"\mathrm{T}", "T")
            node = (
                Transpose(node, where=self.span(first)) if transposed else Power(node, exponent, where=self.span(first))
            )
        if self.peek().text == "!":
            node = self._factorial(node, first)
        if self.peek().text == "'":
            self.refuse("Expected a prime behind a name only, but got it behind something else.")
        return node

    def _factorial(self, node: Node, first: Token) -> Node:
        """n! and (2k - 1)!!, of one thing: n^2! could be two."""
        if not isinstance(node, Number | Name | Bracket):
            self.refuse("Expected a number, a name or brackets before !, but got something else.")
        step = 0
        while step < 2 and self.accept("!"):
            step += 1
        return Factorial(node, step, where=self.span(first))

    def _below(self, node: Node, first: Token) -> Node:
        r"""A subscript: \sigma^2_q is \sigma_q^2, and a length may be marked as the Euclidean one."""
        script = self.script()
        if isinstance(node, Name) and node.sub is None:
            return replace(node, sub=script)
        base = node.base if isinstance(node, Power) else node.body if isinstance(node, Transpose) else None
        if isinstance(base, Name) and base.sub is None:
            inner = replace(base, sub=script)
            if isinstance(node, Power):
                return Power(inner, node.exponent, where=self.span(first))
            return Transpose(inner, where=self.span(first))
        if isinstance(node, Norm):
            if script != Number("2"):
                self.refuse(
                    f"Expected the Euclidean length, but got {node.plain} with a subscript {script.plain}.", first
                )
            return node
        return Subscript(node, script, where=self.span(first))

    def _atom(self) -> Node:
        token = self.peek()
        if token.kind == "number":
            self.next()
            if self.peek().text == "e" and not self.peek().apart and self.peek(1).text in ("-", "+"):
                self.refuse(f"Expected a power of ten, {token.text} \\cdot 10^{{...}}, but got {token.text}e.", token)
            return Number(token.text, where=self.span(token))
        if token.text in (*_FRACTIONS, r"\sqrt"):
            return self._root() if token.text == r"\sqrt" else self._quotient()
        if token.text in ("(", "[", r"\{"):
            return self.bracket()
        if token.text == "{":
            inner = self.argument()
            if isinstance(inner, Sum | Negative | Relation):
                self.refuse("Expected brackets, but got braces around a sum: they are not seen.", token)
            if isinstance(inner, Name) and inner.base in "EHDV" and self.peek().text in ("_", "[", "("):
                self.refuse(f"Expected {inner.base} without braces, but got it in braces.", token)
            return inner
        if token.text in ("|", r"\|"):
            return self._bars()
        if token.kind in ("letter", "word") or token.text in GREEK | ACCENTS:
            return self.name()
        if token.kind == "command" and token.text not in RELATIONS:
            self.refuse(f"Expected a formula, but got {token.text}, which is not known here.")
        self.refuse(f"Expected a formula, but got {self.name_of()}.")
        raise AssertionError

    def _quotient(self) -> Node:
        token = self.next()
        return Quotient(self.argument(), self.argument(), token.text[1:], where=self.span(token))

    def _root(self) -> Node:
        token = self.next()
        degree = None
        opening = self.peek()
        if self.accept("["):
            with self.within("("):
                degree = self.sum()
            self.close(opening)
        return Root(self.argument(), degree, where=self.span(token))

    def bracket(self, of_relation: bool = False) -> Node:
        opening = self.next()
        with self.within("("):
            entries = [self.relation() if of_relation else self.sum()]
            while self.accept(","):
                entries.append(self.sum())
        self.close(opening)
        body = entries[0] if len(entries) == 1 else Items(tuple(entries))
        return Bracket(body, opening.text.lstrip("\\"), where=self.span(opening))

    def _bars(self) -> Node:
        opening = self.next()
        double = opening.text == r"\|" or (self.peek().text == "|" and self.peek().side != "close")
        if double and opening.text == "|":
            self.next()
        with self.within("||" if double else "|"):
            body = self.sum()
        closed = self.accept(r"\|", "|") if double else self.accept("|")
        if closed and double and closed.text == "|":
            closed = self.accept("|")
        if not closed:
            self.refuse(f"Expected a bar to close this one, but got {self.name_of()}.", opening)
        return Norm(body, where=self.span(opening)) if double else Absolute(body, where=self.span(opening))

    def _call(self, name: Name) -> Node:
        opening = self.next()
        parts: list[list[Node]] = [[], [], []]
        with self.within("call"):
            part = 0
            while True:
                parts[part].append(self.relation())
                if self.accept(","):
                    continue
                if part == 0 and self.accept("|", r"\mid"):
                    part = 1
                elif part < 2 and self.accept(";"):
                    part = 2
                else:
                    break
        self.close(opening)
        targets, givens, parameters = (tuple(p) for p in parts)
        node = Call(name, targets, givens, parameters, opening.text, where=name.where)
        object.__setattr__(node, "where", self.span(self.tokens[self.at - 1]) if name.where is None else name.where)
        return node

    # -------------------------------------------------------------------------------------------- names and scripts

    def name(self) -> Node:
        """A letter, with accents in front and subscripts, primes and stars behind."""
        first = self.peek()
        accents: list[str] = []
        braces = 0
        while self.peek().text in ACCENTS:
            accents.append(self.next().text)
            while self.accept("{"):
                braces += 1
        token = self.next()
        if not (token.kind == "letter" or (token.kind == "word" and token.text) or token.text in GREEK):
            self.refuse(f"Expected a letter, but got {self.name_of(token)}.", token)
        if token.kind == "word" and not (token.text.isalnum() or token.text in GREEK):
            self.refuse(f"Expected a formula, but got the words {token.text!r}, which have no value.", token)
        if token.text == "d" and self.peek().kind == "letter" and not self.peek().apart and not self.integrals[-1]:
            self.refuse(f"Expected an integral before d{self.peek().text}, or a space if d is a factor.", token)
        base = token.text
        self._refuse_a_word(token)
        if base == "E" and r"\mathbb" in accents:
            self.refuse("Expected a letter, but got the sign of an expectation.", token)
        for _ in range(braces):
            self.expect("}", f"after {base}: an accent is read over one letter")
        sub = upper = None
        marks = ""
        while True:
            if self.accept("'"):
                marks += "'"
            elif self.peek().text == "_" and sub is None:
                self.next()
                sub = self.script()
            elif self.peek().text == "^" and (mark := self._mark()):
                marks += mark
            elif self.peek().text == "^" and upper is None and self._upper_index():
                self.at += 2
                inner = self.bracket()
                assert isinstance(inner, Bracket)
                upper = inner.body
                self.expect("}", "after an index above")
            else:
                break
        # fonts inside other accents come last, so that equal names have one spelling
        accents.sort(key=lambda accent: accent in FONTS)
        word = token.kind == "word"
        return Name(
            base.lstrip("\\") if word and base.lstrip("\\").isalpha() and len(base) == 1 else base,
            sub,
            marks,
            tuple(accents) + ((r"\mathrm",) if word and len(base) == 1 else ()),
            upper,
            where=self.span(first),
        )

    def _refuse_a_word(self, token: Token) -> None:
        """argmax in plain letters is not a product of six."""
        run = 0
        while token.kind == "letter" and self.peek(run).kind == "letter" and not self.peek(run).apart:
            run += 1
        if run >= 2 and all(self.peek(i).text.isascii() for i in range(run)):
            word = token.text + "".join(self.peek(i).text for i in range(run))
            self.refuse(f"Expected letters with spaces between, or \\mathrm{{{word}}}, but got the word {word}.", token)

    def _mark(self) -> str:
        """A star, a prime or a plus above, if that is what the superscript here is; then it is read."""
        at = self.at + 1
        braces = self.tokens[at].text == "{"
        end = self.closing.get(at, at) if braces else at + 1
        inner = self.tokens[at + braces : end]
        if not inner or len(inner) > 12:
            return ""
        letters = "".join(token.text for token in inner)
        word = len(letters) > 2 and letters.isalpha()
        if not (all(token.text in _MARKS for token in inner) or word):
            return ""
        self.at = end + braces
        return letters

    def _upper_index(self) -> bool:
        """Whether {(i)} comes next, an index above."""
        at = self.at + 1
        if self.tokens[at].text != "{" or self.tokens[at + 1].text != "(":
            return False
        return self.closing.get(at + 1, -2) + 1 == self.closing.get(at, -1)

    def script(self) -> Node:
        """What is written below or above: in braces, or one sign."""
        token = self.peek()
        if token.text == "{":
            opening = self.next()
            with self.within("("):
                entries = [self.relation()]
                while self.accept(","):
                    entries.append(self.relation())
            self.close(opening)
            return entries[0] if len(entries) == 1 else Items(tuple(entries))
        return self._single(r"Expected a letter, a digit or braces, but got ")

    def argument(self) -> Node:
        """The argument of a command: in braces, or one sign."""
        opening = self.peek()
        if self.accept("{"):
            with self.within("("):
                node = self.relation()
            self.close(opening)
            return node
        return self._single("Expected an argument, but got ")

    def _single(self, message: str) -> Node:
        token = self.peek()
        if token.kind == "number" and token.text.isdigit() and len(token.text) > 1:  # \frac12: one digit each
            self.tokens[self.at] = Token("number", token.text[1:], token.start + 1, token.end)
            return Number(token.text[0])
        if token.kind == "number":
            self.next()
            return Number(token.text)
        if token.kind in ("letter", "word") or token.text in GREEK:
            self.next()
            if token.kind == "word" and not token.text.isalnum():
                self.refuse(f"Expected a formula, but got the words {token.text!r}, which have no value.", token)
            upright = token.kind == "word" and len(token.text) == 1
            return Name(token.text, accents=(r"\mathrm",) if upright else (), where=self.span(token))
        if token.text in ACCENTS:
            return self.name()
        if token.text in (*_FRACTIONS, r"\sqrt"):
            with self.deeper():
                return self._atom()
        self.refuse(message + self.name_of() + ".")
        raise AssertionError


def _first(node: Node) -> Node:
    """What comes first in a product."""
    while isinstance(node, Product):
        node = node.factors[0]
    return node


def _defines(entry: Node) -> bool:
    """m = ..., behind a comma; s^2 = ... says what s^2 means, not s."""
    if not (isinstance(entry, Relation) and entry.signs[0] in ("=", ":=")):
        return False
    name = entry.sides[0]
    return isinstance(name, Name | Call) or (isinstance(name, Power) and isinstance(name.base, Name))
