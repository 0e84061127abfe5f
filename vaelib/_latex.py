r"""LaTeX and text for a Markdown table, and LaTeX as one readable line for a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_FUNCTIONS = (
    "log ln exp max min sup inf arg argmin argmax det tr rank diag sign sin cos tan sinh cosh tanh lim Pr Var Cov "
    "softplus sigmoid softmax mod gcd"
).split()
_SYMBOLS = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "Gamma": "Γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε", "zeta": "ζ"},
    **{"varepsilon": "ε", "theta": "θ", "vartheta": "θ", "Theta": "Θ", "kappa": "κ", "lambda": "λ", "Lambda": "Λ"},
    **{"mu": "μ", "nu": "ν", "xi": "ξ", "Xi": "Ξ", "pi": "π", "Pi": "Π", "rho": "ρ", "sigma": "σ", "Sigma": "Σ"},
    **{"tau": "τ", "phi": "φ", "varphi": "φ", "Phi": "Φ", "chi": "χ", "psi": "ψ", "Psi": "Ψ", "omega": "ω"},
    **{"Omega": "Ω", "eta": "η", "iota": "ι", "upsilon": "υ", "ell": "ℓ", "partial": "∂", "nabla": "∇", "infty": "∞"},
    **{"cdot": "·", "bullet": "•", "prime": "′", "forall": "∀", "exists": "∃", "emptyset": "∅", "hbar": "ℏ"},
    **{"langle": "⟨", "rangle": "⟩", "lvert": "|", "rvert": "|", "vert": "|", "lfloor": "⌊", "rfloor": "⌋"},
    **{"lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "top": "ᵀ", "ldots": "…", "cdots": "…", "dots": "…"},
    **{"lVert": "‖", "rVert": "‖", "|": "‖"},
}
_SPACED = {  # relations and operators, with a space on either side
    **{"ge": "≥", "geq": "≥", "le": "≤", "leq": "≤", "ne": "≠", "neq": "≠", "lt": "<", "gt": ">", "approx": "≈"},
    **{"equiv": "≡", "in": "∈", "notin": "∉", "subset": "⊂", "cup": "∪", "cap": "∩", "to": "→", "mapsto": "↦"},
    **{"rightarrow": "→", "leftarrow": "←", "Rightarrow": "⇒", "implies": "⇒", "iff": "⇔", "sim": "~", "propto": "∝"},
    **{"ll": "≪", "gg": "≫", "succ": "≻", "succeq": "⪰", "prec": "≺", "times": "×", "pm": "±", "mp": "∓"},
    **{"odot": "⊙", "otimes": "⊗", "oplus": "⊕", "circ": "∘", "Vert": "‖", "parallel": "‖", "setminus": "∖"},
}
_BIG = {"sum": "∑", "prod": "∏", "int": "∫"}
_HAT, _TILDE, _BAR, _DOT = "\u0302\u0303\u0304\u0307"
_ACCENTS = {"hat": _HAT, "widehat": _HAT, "tilde": _TILDE, "widetilde": _TILDE, "bar": _BAR, "dot": _DOT}
_ONE_ARGUMENT = (
    "mathrm mathbb mathcal mathbf mathtt mathsf mathit boldsymbol bm operatorname text textbf textit texttt textrm "
    "underline overline underbrace overbrace boxed mathop mathbin mathrel"
).split()
_NO_OUTPUT = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle limits nonumber"
).split()
_SPACE = {"quad", "qquad", ",", ";", ":", " ", ">"}
_VULGAR = {("1", "2"): "½", ("1", "3"): "⅓", ("2", "3"): "⅔", ("1", "4"): "¼", ("3", "4"): "¾", ("1", "8"): "⅛"}
_SUPERSCRIPTS = dict(zip("0123456789+-nki", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵏⁱ", strict=True)) | {"ᵀ": "ᵀ", "*": "*", "′": "′"}

# marks that are resolved when the line is complete
_WORD = "\x01"  # a space here if letters would touch
_APPLY = "\x02"  # after the name of a function: a space if a letter follows
_OVER = "\x03"  # after a quotient: a space if a letter or a bracket follows
_TIGHT = "\x04"  # no space here
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\s+|.", re.DOTALL)


def for_table(latex: str) -> str:
    """`$...$` that survives inside a Markdown table: a bare bar would end the cell, `<` could open a tag."""
    latex = latex.replace(r"\|", r"\Vert ").replace("|", r"\vert ").replace("<", r"\lt ").replace(">", r"\gt ")
    return "$" + " ".join(latex.split()) + "$"


def prose(text: str) -> str:
    """Text that means the same inside Markdown, in a table or out of it; `$...$` in it is mathematics."""
    pieces = _MATHEMATICS.split(" ".join(text.split()))
    return "".join(escaped(piece) if i % 2 == 0 else for_table(piece) for i, piece in enumerate(pieces))


def spoken(text: str) -> str:
    """The same text for a terminal."""
    pieces = _MATHEMATICS.split(" ".join(text.split()))
    return "".join(piece if i % 2 == 0 else plain(piece) for i, piece in enumerate(pieces))


_MATHEMATICS = re.compile(r"\$([^$]+)\$")


def escaped(text: str) -> str:
    """Plain words in Markdown: nothing in them is taken for a mark."""
    return re.sub(r"([\\|<>*_`$~#\[\]])", r"\\\1", text)


def marked(text: str) -> str:
    """`prose` in which `backticks` still mark code."""
    pieces = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(escaped(piece) if i % 2 == 0 else f"`{piece}`" for i, piece in enumerate(pieces))


def unmarked(text: str) -> str:
    """The text without the `backticks` around code."""
    return re.sub(r"`([^`]+)`", r"\1", text)


def plain(latex: str) -> str:
    r"""A readable one-line rendering: `\frac{a}{b + c}` becomes a/(b + c), `\sigma^2` becomes σ²."""
    text = _Reader(latex).whole()
    letter, end = r"[^\W_]", r"[^\W_]|[)\]}|‖′]"
    text = re.sub(rf"({end}){_WORD}+(?=[{_TIGHT}]*(?:{letter}|[∑∏∫√∇∂]))", r"\1 ", text)
    text = re.sub(rf"{_APPLY}{_WORD}*(?={letter}|[∑∏∫√∇∂½-¾⅓-⅞-])", " ", text)
    text = re.sub(rf"{_OVER}{_WORD}*(?={letter}|[(\[∑∏∫√∇∂‖|])", " ", text)
    text = re.sub(rf" *{_TIGHT} *", "", text)
    text = re.sub(f"[{_WORD}{_APPLY}{_OVER}]", "", text)
    text = re.sub(r"([(\[]) +", r"\1", text)
    return re.sub(r" +([)\],;])", r"\1", re.sub(r" {2,}", " ", text)).strip()


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table for a terminal, their columns as wide as they need to be."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c + " " * (w - width(c)) for c, w in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def bars(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def width(text: str) -> int:
    """How many columns of a terminal the text takes: an accent is printed above its letter."""
    return sum(not unicodedata.combining(character) for character in text)


class _Reader:
    """Reads LaTeX from left to right, one group at a time."""

    def __init__(self, latex: str) -> None:
        self.tokens = TOKEN.findall(latex)
        self.at = 0

    def whole(self) -> str:
        text = ""
        while self.at < len(self.tokens):  # once, unless a brace is closed that was never opened
            text += self.sequence()
        return text

    def sequence(self) -> str:
        """Everything up to the end of the group."""
        text = ""
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token == "}":
                break
            text += self.piece(token)
        return text

    def argument(self) -> str:
        """The next group or token."""
        self.skip_space()
        if self.at == len(self.tokens):
            return ""
        self.at += 1
        return self.piece(self.tokens[self.at - 1])

    def piece(self, token: str) -> str:
        if token == "{":
            return self.sequence()
        if token in "^_":
            return self.script(token)
        if token.isspace() or token in "~&":
            return " "
        if token.startswith("\\"):
            return self.command(token[1:])
        return token

    def script(self, mark: str) -> str:
        """Powers of digits are raised; `_q` stays; what is longer gets brackets."""
        inner = self.argument()
        bare = re.sub(f"[ {_WORD}{_APPLY}{_OVER}{_TIGHT}]", "", inner)
        if mark == "^" and bare and all(character in _SUPERSCRIPTS for character in bare):
            return _TIGHT + "".join(_SUPERSCRIPTS[character] for character in bare) + _WORD
        short = re.fullmatch(r"\w*[′*]?|\w*[(\[][^()\[\]]*[)\]]", _unmarked(inner))
        return _TIGHT + (f"{mark}{inner}" if short else f"{mark}({inner})") + _WORD

    def command(self, name: str) -> str:
        if name in ("frac", "tfrac", "dfrac"):
            return self.quotient(self.argument(), self.argument())
        if name == "sqrt":
            inner = self.argument()
            return _WORD + (f"√{inner}" if len(inner) == 1 else f"√({inner})") + _WORD
        if name in _ACCENTS:
            inner = self.argument()
            return inner + _ACCENTS[name] if len(inner) == 1 else inner
        if name in _ONE_ARGUMENT:
            inner = self.argument()
            return _WORD + inner + (_APPLY if len(inner) > 1 and not name.startswith("text") else "")
        if name in ("begin", "end"):
            self.argument()
            return " "
        spaced = self.skip_space() and self.tokens[self.at : self.at + 1] and self.tokens[self.at] in "+-=/<>"
        if name in _NO_OUTPUT:
            return self.no_delimiter(name)
        if name == "mid":
            return f"{_TIGHT}|{_TIGHT}"
        if name in _FUNCTIONS:
            return self.function(name)
        if name in _SPACED:
            return f" {_SPACED[name]} "
        if name in _BIG:
            return _WORD + _BIG[name] + (_APPLY if name == "int" else "")
        if name in _SPACE:
            return " "
        if name == "\\":
            return "; "
        if name == "!":
            return ""
        symbol = _SYMBOLS.get(name, name if len(name) == 1 else f"{_WORD}{name}{_APPLY}")
        return symbol + (" " if spaced else "")

    def skip_space(self) -> bool:
        """LaTeX drops the space after the name of a command. Was there one?"""
        start = self.at
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.at > start

    def no_delimiter(self, name: str) -> str:
        if name in ("left", "right") and self.at < len(self.tokens) and self.tokens[self.at] == ".":
            self.at += 1
        return ""

    def function(self, name: str) -> str:
        r"""`\log\frac{a}{b}` is log(a/b): on one line the quotient needs its brackets."""
        rest = [token for token in self.tokens[self.at : self.at + 3] if token not in (r"\,", r"\!", " ")]
        if rest and rest[0] in (r"\frac", r"\tfrac", r"\dfrac"):
            while self.tokens[self.at] != rest[0]:
                self.at += 1
            self.at += 1
            inner = self.quotient(self.argument(), self.argument())
            return f"{_WORD}{name}({inner}){_WORD}"
        return f"{_WORD}{name}{_APPLY}"

    def quotient(self, above: str, below: str) -> str:
        if (above, below) in _VULGAR:
            return _WORD + _VULGAR[above, below]
        core = _outside_brackets(above)
        if re.search(rf"[+\-=/{_APPLY}]", core):
            above = f"({above})"
        if not re.fullmatch(r"\d+|[^\W\d_](_\w+)?[⁰¹²³⁴-⁹ⁿ]*|\w", _unmarked(_outside_brackets(below))):
            below = f"({below})"
        return f"{_WORD}{above}/{below}{_OVER}"


def _unmarked(text: str) -> str:
    return re.sub(f"[{_WORD}{_APPLY}{_OVER}{_TIGHT}]", "", text)


def _outside_brackets(text: str) -> str:
    for _ in range(text.count("(") + text.count("[")):
        text = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", text)
    return text
