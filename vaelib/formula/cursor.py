"""A place in a list of tokens, and what every part of the reader needs: looking ahead, refusing, bounded depth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vaelib.formula.tokens import Token, Unreadable, tokens
from vaelib.formula.tree import Name, Node, Span

DEEPEST = 24  # brackets, arguments and operators inside each other
_PAIRS = {"(": ")", "[": "]", r"\{": r"\}", "{": "}"}
_CLOSERS = set(_PAIRS.values())
GREEK = frozenset(
    rf"\{letter}"
    for letter in (
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho "
        "varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi "
        "Psi Omega ell infty"
    ).split()
)


class Cursor:
    """The tokens of a source, and how far they are read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokens(source)
        self.at = 0
        self.depth = 0
        self.inside: list[str] = [""]  # the brackets that are open: "(", "|", "||", "call", "divergence"
        self.integrals: list[int] = [0]  # how many integrals wait for their dz, for each open bracket
        self.pending: Name | None = None  # a name that was read, and turned out to begin a call
        self.last: Node | None = None  # what was read last, to be shown with an error
        self.closing, self.lists = self._matched()

    def _matched(self) -> tuple[dict[int, int], set[int]]:
        """For each bracket that opens the one that closes it, and which brackets hold a comma themselves."""
        closing: dict[int, int] = {}
        lists: set[int] = set()
        waiting: list[tuple[int, str]] = []
        for i, token in enumerate(self.tokens):
            if token.text in _PAIRS and token.kind == "sign":
                waiting.append((i, _PAIRS[token.text]))
            elif token.text in _CLOSERS and waiting and waiting[-1][1] == token.text:
                closing[waiting.pop()[0]] = i
            elif token.text == "," and waiting:
                lists.add(waiting[-1][0])
        return closing, lists

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.peek()
        self.at += token.kind != "end"
        return token

    def accept(self, *texts: str) -> Token | None:
        token = self.peek()
        return self.next() if token.kind != "end" and token.text in texts else None

    def expect(self, text: str, why: str) -> Token:
        token = self.accept(text)
        return token if token is not None else self.refuse(f"Expected {text} {why}, but got {self.name_of()}.")

    def name_of(self, token: Token | None = None) -> str:
        token = token or self.peek()
        return "the end" if token.kind == "end" else token.text

    def refuse(self, message: str, token: Token | None = None) -> Token:
        token = token or self.peek()
        before = self.last.plain if self.last is not None else ""
        raise Unreadable(message, Span(self.source, token.start, token.end), before)

    def span(self, first: Token) -> Span:
        return Span(self.source, first.start, self.tokens[self.at - 1].end if self.at else first.end)

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """One level deeper, among the same brackets."""
        if self.depth >= DEEPEST:
            self.refuse(f"Expected at most {DEEPEST} levels of brackets and operators, but got more.")
        self.depth += 1
        yield
        self.depth -= 1

    @contextmanager
    def within(self, bracket: str) -> Iterator[None]:
        """Inside a bracket, where bars and dz have another meaning."""
        with self.deeper():
            self.inside.append(bracket)
            self.integrals.append(0)
            yield
            self.inside.pop()
            self.integrals.pop()

    def is_differential(self, ahead: int = 0) -> bool:
        """Whether the dz of an open integral comes next."""
        token, after = self.peek(ahead), self.peek(ahead + 1)
        if token.text not in ("d", r"\d") or not self.integrals[-1]:
            return False
        return after.kind == "letter" or after.text in GREEK | ACCENTS or (token.text == r"\d" and after.text == "{")

    # what the other parts of the reader know

    def sum(self) -> Node:
        raise NotImplementedError

    def product(self) -> Node:
        raise NotImplementedError

    def factor(self) -> Node:
        raise NotImplementedError

    def relation(self) -> Node:
        raise NotImplementedError

    def bracket(self, of_relation: bool = False) -> Node:
        raise NotImplementedError

    def script(self) -> Node:
        raise NotImplementedError

    def argument(self) -> Node:
        raise NotImplementedError

    def name(self) -> Node:
        raise NotImplementedError

    def starts_factor(self) -> bool:
        raise NotImplementedError


FONTS = frozenset(
    {r"\mathbf", r"\boldsymbol", r"\bm", r"\mathcal", r"\mathbb", r"\mathit", r"\pmb", r"\mathfrak", r"\vec"}
)
ACCENTS = FONTS | {r"\bar", r"\hat", r"\tilde", r"\widehat", r"\widetilde", r"\overline", r"\dot", r"\check"}
