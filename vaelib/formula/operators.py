r"""How what comes in front is read: functions, sums, integrals, expectations, divergences, derivatives.

What each of them takes, stated once: a function with a bracket takes the bracket; without one it takes the product that
follows, up to +, -, a relation or the next operator, so \log p(x) p(z) is log(p(x) p(z)) and \log \frac1N \sum_i a_i is
the log of the mean. A sum takes one product. An integral takes all up to its dz. An expectation takes its bracket. A
derivative takes one factor.
"""

from __future__ import annotations

from vaelib.formula.binders import (
    At,
    Big,
    Derivative,
    Divergence,
    Entropy,
    Expectation,
    Indicator,
    Integral,
    Mark,
    Over,
    Relation,
)
from vaelib.formula.cursor import GREEK, Cursor
from vaelib.formula.tokens import Token
from vaelib.formula.tree import (
    FUNCTIONS,
    Absolute,
    Bracket,
    Function,
    Items,
    Name,
    Negative,
    Node,
    Number,
    Product,
    Quotient,
    Sum,
)

_OPENERS = ("(", "[", r"\{")
_LETTER_FONTS = (r"\mathbb", r"\mathbf", r"\mathcal", r"\boldsymbol")


class Operators(Cursor):
    """A sign that is written in front of what it works on."""

    def operator(self) -> str:
        """Which operator begins here, or nothing."""
        token, after = self.peek(), self.peek(1)
        text = token.text
        if token.kind == "word" or token.kind == "command":
            plain = text.removeprefix("\\")
            if text in (r"\sum", r"\prod", r"\int", r"\left."):
                return plain
            if plain in ("max", "min") and after.text == "_":
                return plain
            if plain in FUNCTIONS:
                return "function"
            if plain in ("KL", "Var", "Cov", "E"):
                return plain
            if token.kind == "word" and plain in ("H", "h") and after.text in _OPENERS:
                return "H"
            if text in (r"\nabla", r"\partial"):
                return "derivative"
            if text in (r"\frac", r"\tfrac") and self._differential_fraction():
                return "fraction"
            if text in (r"\underline", r"\underset"):
                return plain
            if text == r"\chi" and after.text == "^" and self.peek(2).text == "2" and self.peek(3).text in _OPENERS:
                return "chi2"
        letter, behind = self._letter()
        if letter in ("E", "V") and text in _LETTER_FONTS:
            return {"E": "E", "V": "Var"}[letter]
        if letter == "E" and behind.text in ("_", "["):
            return "E"
        if letter == "D" and behind.text == "_" and self._subscript_word() == "KL":
            return "D_KL"
        if letter == "H" and behind.text in _OPENERS and not behind.spaced:
            return "H"
        if letter in ("1", "I") and text in _LETTER_FONTS and behind.text in ("[", "("):
            return "indicator"
        if token.text == "1" and after.text == "[" and not after.apart:
            return "indicator"
        if token.text == "." and token.side == "open":
            return "at"
        return ""

    def _letter(self) -> tuple[str, Token]:
        """The letter here, with its font or without, and the token behind it."""
        token = self.peek()
        if token.text in _LETTER_FONTS:
            braces = self.peek(1).text == "{"
            letter, behind = self.peek(1 + braces), self.peek(2 + 2 * braces)
            return letter.text, behind
        return (token.text, self.peek(1)) if token.kind in ("letter", "word") else ("", self.peek(1))

    def _skip_letter(self) -> None:
        if self.next().text in _LETTER_FONTS:
            braces = self.next().text == "{"
            if braces:
                self.next()
                self.expect("}", "after the letter")

    def _subscript_word(self) -> str:
        """The word in a subscript that follows the letter here: KL of D_{KL}, D_{\rm KL}, D_\text{KL}."""
        at = self.at
        while self.tokens[at].text != "_":
            at += 1
        letters = ""
        for token in self.tokens[at + 1 : at + 5]:
            letters += token.text if token.kind in ("letter", "word") else ""
            if token.kind not in ("letter", "word") and token.text != "{":
                break
        return letters

    def operation(self, kind: str) -> Node:
        """The operator that begins here, with what it takes."""
        first = self.peek()
        with self.deeper():
            node = self._operation(kind)
        object.__setattr__(node, "where", self.span(first))
        return node

    def _operation(self, kind: str) -> Node:
        match kind:
            case "function":
                return self._function()
            case "sum" | "prod" | "max" | "min":
                self.next()
                return Big(kind, self._over(), self._taken("a sum"))
            case "int":
                return self._integral()
            case "E" | "Var" | "Cov":
                return self._expectation(kind)
            case "KL" | "D_KL" | "chi2":
                return self._divergence(kind)
            case "H":
                symbol = "h" if self.peek().text == "h" else "H"
                self._skip_letter()
                return self._entropy(symbol)
            case "derivative":
                return self._derivative()
            case "fraction":
                return self._fraction()
            case "indicator":
                self._skip_letter()
                inner = self.bracket(of_relation=True)
                assert isinstance(inner, Bracket)
                return Indicator(inner.body)
            case "underline":
                self.next()
                return Mark(self.argument())
            case "underset":
                return self._underset()
        return self._at()

    def _taken(self, who: str) -> Node:
        if not self.starts_factor():
            self.refuse(f"Expected what {who} is taken of, but got {self.name_of()}.")
        return self.product()

    # ---------------------------------------------------------------------------------------------------- functions

    def _function(self) -> Node:
        first = self.next()
        name = first.text.removeprefix("\\")
        power = base = None
        while token := self.accept("^", "_"):
            script = self.script()
            if token.text == "^":
                power = script
            else:
                base = script
        if self.peek().text in (*_OPENERS, "{"):
            body = self._in_brackets(name)
            if name in ("log", "exp", "sin", "cos") and self.peek().text == "^":
                self.refuse(
                    rf"Expected brackets that say what is raised, but got \{name}(...)^: write "
                    rf"(\{name} a)^2 or \{name}(a^2)."
                )
            return Function(name, body, power, base)
        return Function(name, self.taken_without_bracket(name), power, base)

    def _in_brackets(self, name: str) -> Node:
        """What a function is taken of, in brackets or in braces: these are not seen, so nothing may follow them."""
        opening = self.peek()
        if opening.text != "{":
            return self.bracket()
        body = self.argument()
        if isinstance(body, Bracket | Absolute):
            return body
        if isinstance(body, Sum | Negative | Relation):
            self.refuse("Expected brackets, but got braces around a sum: they are not seen.", opening)
        if self.starts_factor() and not self.operator():
            self.refuse(f"Expected brackets, since braces are not seen: {name} a b can be {name}(a b) or ({name} a) b.")
        return body

    def taken_without_bracket(self, who: str) -> Node:
        """The product that follows, up to the next operator; a number alone is never all of it."""
        first = self.peek()
        factors: list[Node] = []
        spaces: list[str] = []
        while True:
            token = self.peek()
            if self.accept(r"\cdot", r"\times"):
                token = self.peek()
                spaces_here = r"\cdot"
            else:
                spaces_here = r"\," if token.spaced else " "
            if not self.starts_factor():
                break
            settled = bool(factors) and not all(_is_number(f) for f in factors)
            if settled and self.operator():
                break
            if settled and token.text in _OPENERS:
                if self.at in self.lists:
                    break
                self.refuse(
                    f"Expected brackets around what the {who} is taken of, but got a bracket behind it: it can be "
                    f"{who}(a (b)) or ({who} a)(b)."
                )
            spaces.append(spaces_here)
            factors.append(self.factor())
            self.last = factors[-1]
        if not factors:
            self.refuse(f"Expected what the {who} is taken of, but got {self.name_of()}.")
        if self.peek().text == "/":
            self.refuse(f"Expected a fraction or brackets, but got a slash: {who} a / b can be two things.")
        return factors[0] if len(factors) == 1 else Product(tuple(factors), tuple(spaces[1:]), where=self.span(first))

    # ------------------------------------------------------------------------------------------- sums and integrals

    def _over(self) -> Over:
        lower = upper = condition = None
        names: tuple[Name, ...] = ()
        first = self.peek()
        while token := self.accept("_", "^"):
            if token.text == "^":
                upper = self.script()
                continue
            below = self.script()
            if isinstance(below, Relation):
                left, right = below.sides[0], below.sides[-1]
                names = self._names(left, first)
                if below.signs == ("=",):
                    lower = right
                else:
                    condition = below
            else:
                names = self._names(below, first)
        if not names:
            self.refuse("Expected below the sum what it runs over, \\sum_i, but got nothing there.", first)
        return Over(names, lower, upper, condition, where=self.span(first))

    def _names(self, node: Node, place: Token) -> tuple[Name, ...]:
        parts = node.entries if isinstance(node, Items) else (node,)
        names = tuple(part for part in parts if isinstance(part, Name))
        if len(names) != len(parts):
            self.refuse(f"Expected names to run over or to integrate over, but got {node.plain}.", place)
        return names

    def _integral(self) -> Node:
        first = self.next()
        lower = upper = None
        while token := self.accept("_", "^"):
            script = self.script()
            lower, upper = (script, upper) if token.text == "_" else (lower, script)
        self.integrals[-1] += 1
        variables = self._differentials()
        if variables:  # the measure comes first
            self.integrals[-1] -= 1
            return Integral(self._taken("an integral"), variables, lower, upper)
        if lower is not None and upper is None and isinstance(lower, Name):  # \int_z f
            body = self._taken("an integral")
            variables = self._differentials() or (lower,)
            self.integrals[-1] -= 1
            return Integral(body, variables, None, None)
        body = self.sum()
        variables = self._differentials(one=self.integrals[-1] > 1)  # the others are of the integrals around it
        if not variables:
            self.refuse("Expected the dz of this integral, but it does not come.", first)
        self.integrals[-1] -= 1
        return Integral(body, variables, lower, upper)

    def _differentials(self, one: bool = False) -> tuple[Name, ...]:
        names: list[Name] = []
        while self.is_differential() and not (one and names):
            self.next()
            braces = self.accept("{")
            name = self.name()
            if braces:
                self.expect("}", "after the variable")
            assert isinstance(name, Name)
            names.append(name)
        return tuple(names)

    # ------------------------------------------------------------------------------------------ laws and divergences

    def _expectation(self, kind: str) -> Node:
        self._skip_letter()
        return self._mean_of(kind, self.script() if self.accept("_") else None)

    def _mean_of(self, kind: str, law: Node | None) -> Node:
        opening = self.peek().text
        if opening not in _OPENERS:
            return Expectation(self.taken_without_bracket("mean"), law, kind, "")
        inner = self.bracket()
        assert isinstance(inner, Bracket)
        if opening == "(" and self.peek().text == "^" and kind == "E":
            self.refuse("Expected square brackets that say what is raised: E[(a)^2] or (E[a])^2.")
        return Expectation(inner.body, law, kind, "(" if opening == "(" else "[")

    def _underset(self) -> Node:
        r"""\underset{z \sim q}{\mathbb{E}}[f]: the law below the sign."""
        self.next()
        law = self.script()
        self.expect("{", "before what is written above the law")
        if self.operator() != "E":
            self.refuse(r"Expected an expectation, \underset{z \sim q}{\mathbb{E}}, but got " + self.name_of() + ".")
        self._skip_letter()
        self.expect("}", "after the sign of the expectation")
        return self._mean_of("E", law)

    def _divergence(self, kind: str) -> Node:
        if kind == "chi2":
            self.at += 3
        elif kind == "D_KL":
            self._skip_letter()
            self.next()
            self.at = self.closing.get(self.at, self.at) + 1  # the letters KL say what is known
        else:
            self.next()
        name = "chi2" if kind == "chi2" else "KL"
        if self.peek().text == "{":  # \KL{q}{p}
            return Divergence(self.argument(), self.argument(), name)
        opening = self.peek()
        if self.accept(*_OPENERS) is None:
            self.refuse(f"Expected two laws in brackets after {name}, but got {self.name_of()}.")
        with self.within("divergence"):
            first = self.product()
            if not self._separator():
                self.refuse(r"Expected \Vert between the two laws, but got " + self.name_of() + ".")
            second = self.product()
        self.close(opening)
        return Divergence(first, second, name)

    def _separator(self) -> bool:
        if self.accept(r"\|", ","):
            return True
        if self.accept("|", r"\mid"):
            self.accept("|", r"\mid")
            return True
        return False

    def close(self, opening: Token) -> None:
        """The bracket that closes `opening`."""
        expected = {"(": ")", "[": "]", r"\{": r"\}", "{": "}"}[opening.text]
        if not self.accept(expected):
            self.refuse(f"Expected {expected} to close the {opening.text} opened before, but got {self.name_of()}.")

    def _entropy(self, symbol: str) -> Node:
        inner = self.bracket()
        assert isinstance(inner, Bracket)
        laws = inner.body.entries if isinstance(inner.body, Items) else (inner.body,)
        return Entropy(laws, symbol)

    # -------------------------------------------------------------------------------------------------- derivatives

    def _derivative(self) -> Node:
        symbol = self.next().text
        variables: tuple[Node, ...] = ()
        order = 1
        while token := self.accept("_", "^"):
            script = self.script()
            if token.text == "_":
                variables = script.entries if isinstance(script, Items) else (script,)
            else:
                order = self._order(script)
        return Derivative(self.factor(), variables, order, symbol)

    def _order(self, script: Node) -> int:
        if not (isinstance(script, Number) and script.text.isdigit()):
            self.refuse(f"Expected the order of a derivative, a number, but got {script.plain}.")
        assert isinstance(script, Number)
        return int(script.text)

    def _differential_fraction(self) -> bool:
        r"""Whether \frac{d}{dx} or \frac{\partial f}{\partial x} begins here."""
        above = self.at + 1
        braces = self.tokens[above].text == "{"
        if braces and above not in self.closing:
            return False
        below = self.closing[above] + 1 if braces else above + 1
        if below + 2 >= len(self.tokens) or self.tokens[below].text != "{":
            return False
        d, e, variable = self.tokens[above + braces], self.tokens[below + 1], self.tokens[below + 2]
        named = variable.kind == "letter" or variable.text in GREEK or variable.text == "("
        return d.text == e.text and d.text in ("d", r"\partial") and named

    def _fraction(self) -> Node:
        self.next()
        braces = self.accept("{")
        symbol = "d" if self.next().text == "d" else "p"
        order, body = 1, None
        if braces:
            if self.accept("^"):
                order = self._order(self.script())
            if self.peek().text != "}":
                with self.within("("):
                    body = self.product()
            self.expect("}", "after what is differentiated")
        self.expect("{", "before what it is differentiated by")
        self.next()
        with self.within("("):
            if self.peek().text == "(":
                inner = self.bracket()
                assert isinstance(inner, Bracket)
                variables = inner.body.entries if isinstance(inner.body, Items) else (inner.body,)
            else:
                variables = (self.name(),)
            if self.accept("^") and self._order(self.script()) != order:
                self.refuse("Expected the same order above and below in a derivative.")
        self.expect("}", "after what it is differentiated by")
        return Derivative(self.factor() if body is None else body, variables, order, symbol)

    def _at(self) -> Node:
        first = self.next()
        with self.within("("):
            body = self.sum()
        bar = self.peek()
        if not (self.accept("|") and bar.side == "close"):
            self.refuse(r"Expected \right| to close the \left. opened before, but got " + self.name_of() + ".", first)
        self.expect("_", "with the place at which it is taken")
        return At(body, self.script())


def _is_number(node: Node) -> bool:
    r"""A number, pi and e among them, or one over something: \frac1N."""
    return (
        isinstance(node, Number)
        or node in (Name(r"\pi"), Name("e"))
        or (isinstance(node, Quotient) and isinstance(node.above, Number) and isinstance(node.below, Number | Name))
    )
