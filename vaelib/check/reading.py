r"""What a formula says, in the names of the witnesses: P_\theta(X | Z) becomes p(x | z), \mathbb{E}_{z\sim Q} a mean
under q(z), \sum_Z a sum over the latent variable, \mathcal{L}(\theta, \phi; x) what the document says it is.

The result is LaTeX for `vaelib.formula.tex`, and what had to be assumed. What could be read in two ways is read as the
`Options` say, so that all of them can be tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vaelib.check.gaussians import STANDARD, Family, law_name
from vaelib.check.latex import CannotRead, Items
from vaelib.check.roles import (
    GUIDE,
    LATENT,
    MODEL,
    NOISE,
    Called,
    Roles,
    call_at,
    closing,
    letter_of,
    text_of,
)
from vaelib.check.surface import FUNCTIONS

OLD, NEW, STAR, DATA = "o", "n", "s", "d"
_OPEN, _CLOSE = ("(", "[", r"\{"), (")", "]", r"\}")
_SCRIPTS = ("_", "^")
_INDICES = frozenset("ijklmnrt") | {r"\ell"}
_CONSTANTS = frozenset({r"\pi", "e", "I", r"\infty", r"\mu", r"\sigma", r"\Sigma", r"\epsilon", r"\varepsilon", "d"})


@dataclass(frozen=True)
class Options:
    r"""How to read what could be read in two ways.

    Args:
        law: of an expectation that names none.
        bare: what p alone is, in KL(q || p): p(z | x), p(z); or the variable that p and q are both laws of.
        usual: whether a name that the document does not define has its usual meaning, or minus that: a loss.
        reached: of which model q is the posterior, p or o; any law if empty.
        family: how the Gaussians are meant, if any are spoken of.
        logs: whether the letter of a variance is its logarithm, as networks return it.
        drawn: the law that samples are from, q or p.
        inside: whether the 2 of \log(a)^2 belongs to a.
        brackets: whether braces around a sum, which are not seen, are meant as brackets.
    """

    law: str = "q(z)"
    bare: str = "p(z | x)"
    usual: bool = True
    reached: str = ""
    family: Family | None = None
    brackets: bool = False
    logs: bool = False
    drawn: str = "q"
    inside: bool = True


@dataclass(frozen=True)
class Definition:
    """What a name stands for, and the parameters in its brackets, each with its mark."""

    body: Items
    formals: tuple[tuple[str, str], ...] = ()

    def fits(self, arguments: Sequence[tuple[str, str]]) -> bool:
        """Whether it is of the same variables, as far as they are said: L(x, z) is not L(x)."""
        mine, theirs = ({name for kind, name in part if not kind} for part in (self.formals, arguments))
        return not (mine and theirs) or mine == theirs


@dataclass
class Facts:
    """What a reading met."""

    unknown: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # law, bare, usual:NAME, gauss, samples, data, sum, integral, measure
    variables: set[str] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)  # of Gaussians
    mended: list[str] = field(default_factory=list)


USUAL: dict[str, str] = {
    r"\word.ELBO": "ELBO",
    r"\cal.L": "ELBO",
    "L": "ELBO",
    r"\cal.F": "-ELBO",
    "F": "-ELBO",
    r"\word.evidence": "evidence",
    r"\KL": "gap",
    r"\cal.J": "ELBO",
}


@dataclass(frozen=True)
class Formula:
    """A formula in the names of the witnesses, and what had to be assumed."""

    latex: str
    facts: Facts


def read(items: Items, roles: Roles, definitions: Mapping[str, Definition], options: Options) -> Formula:
    """The formula that these items say.

    Raises CannotRead: the message says what was expected.
    """
    reader = _Reader(roles, definitions, options)
    words = reader.walk(items, {}, {})
    return Formula(" ".join(_balanced(words, reader.facts)), reader.facts)


def name_at(items: Items, at: int, roles: Roles) -> tuple[str, list[tuple[str, str]], int] | None:
    r"""The name that begins here, such as \mathcal{L}(\theta, \phi; x) or R_1: its key, the parameters in its brackets
    with their marks, and the place behind it. None if nothing that can be given a name begins here."""
    first = items[at]
    if not isinstance(first, str):
        return None
    key = ""
    if first in (r"\hat", r"\tilde", r"\bar"):
        if at + 1 >= len(items) or not isinstance(items[at + 1], list):
            return None
        key, end = first + text_of(items[at + 1]), at + 2
    elif first == r"\KL" and at + 1 < len(items) and items[at + 1] in _OPEN:
        return None
    elif first.startswith((r"\cal.", r"\word.")) or (first.isalpha() and len(first) == 1) or first == r"\KL":
        key, end = first, at + 1
    elif first.startswith("\\") and first not in FUNCTIONS and first[1:].isalpha() and first not in _NO_NAMES:
        key, end = first, at + 1
    else:
        return None
    if key == r"\cal.N":
        return None
    arguments: list[tuple[str, str]] = []
    while end < len(items):
        if items[end] in _SCRIPTS and end + 1 < len(items) and isinstance(items[end + 1], list):
            inner = items[end + 1]
            marked = _parameters(inner, roles)
            if marked is None:
                key += str(items[end]) + text_of(inner)
            else:
                arguments += marked
            end += 2
        elif items[end] in ("'", "*"):
            key += str(items[end])
            end += 1
        else:
            break
    if end < len(items) and items[end] in ("(", "["):
        call = call_at([key, *items[end:]], 0)
        if call is not None:
            entries = [*call.targets, *call.givens, *call.parameters]
            if not entries or not all(_is_argument(entry, roles) for entry in entries):
                return None if first in roles.variables else (key, arguments, end)
            for entry in entries:
                marked = _parameters(entry, roles)
                if marked:
                    arguments += marked
                elif entry[0] in roles.densities:
                    arguments.append((roles.densities[str(entry[0])], _mark(entry[1:])))
                elif entry in ([r"\cal.D"], ["D"]):
                    arguments.append(("", "data"))
                elif letter_of(entry)[0] in roles.variables:
                    arguments.append(("", roles.variables[letter_of(entry)[0]]))
            end += call.end - 1
    return key, arguments, end


_NO_NAMES = {r"\frac", r"\sqrt", r"\cdot", r"\times", r"\top", r"\infty", r"\pi", r"\pm", r"\nabla", r"\partial"}
_NO_NAMES |= {r"\langle", r"\rangle", r"\dots", r"\ldots", r"\cdots", r"\le", r"\ge", r"\approx", r"\int", r"\const"}


def _is_argument(entry: Items, roles: Roles) -> bool:
    letter, _ = letter_of(entry)
    if not letter:
        if entry[:1] and entry[0] in roles.densities:
            call = call_at(entry, 0)
            return (call is not None and call.end == len(entry)) or entry[1:] == ["(", r"\cdot", ")"]
        together = len(entry) == 2 and all(letter_of([e])[0] for e in entry)
        return entry == [r"\cdot"] or (together and all(_is_argument([e], roles) for e in entry))
    known = letter in roles.parameters or letter in roles.variables or letter in roles.densities
    return known or letter in NOISE or letter.startswith((r"\cal.", r"\bb.")) or letter in "GDfg"


def _parameters(entry: Items, roles: Roles) -> list[tuple[str, str]] | None:
    r"""The parameters that an entry is made of, \theta^t as (\theta, o); None if it is not made of parameters alone."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(entry):
        item = entry[at]
        if item in (",", ";"):
            at += 1
            continue
        hat = item in (r"\hat", r"\tilde", r"\bar") and at + 1 < len(entry) and isinstance(entry[at + 1], list)
        if hat:
            letter, at = text_of(entry[at + 1]), at + 2
        elif isinstance(item, str):
            letter, at = item, at + 1
        else:
            return None
        if letter not in roles.parameters:
            return None
        scripts: Items = []
        while at < len(entry) and (entry[at] in _SCRIPTS or isinstance(entry[at], list) or entry[at] in ("'", "*")):
            scripts.append(entry[at])
            at += 1
        found.append(
            (MODEL if letter in (r"\theta", r"\Theta", r"\vartheta") else GUIDE, STAR if hat else _mark(scripts))
        )
    return found


def _mark(scripts: Items) -> str:
    """Old, new or best, by what hangs on a name; "" for none."""
    text = text_of(scripts).replace("_", "").replace("^", "").strip("()[]")
    text = text.replace(r"\word.", "").strip("()[]")
    if not text or text in (r"\theta", r"\phi", r"\lambda", "0"):
        return ""
    if "+1" in text or "new" in text:
        return NEW
    if "*" in text or r"\hat" in text:
        return STAR
    if text in ("t", "k", "s", "n", "old", "(t)", "i", "l", "m", "'") or "old" in text:
        return OLD
    return ""


class _Reader:
    def __init__(self, roles: Roles, definitions: Mapping[str, Definition], options: Options) -> None:
        self.roles, self.definitions, self.options = roles, definitions, options
        self.facts = Facts()
        self.depth = 0
        self.in_law = False
        self.waiting = 0  # integrals whose dz is still to come
        self.counts: dict[str, str] = {}  # N, L: how many data and samples a sum goes over

    # ------------------------------------------------------------------------------------------------------ walking

    def walk(self, items: Items, bound: Mapping[str, str], marks: Mapping[tuple[str, str], str]) -> list[str]:
        """Words of LaTeX. bound: index -> its kind; marks: how the parameters of a name are called where it is used."""
        out: list[str] = []
        bound, items = dict(bound), list(items)
        self.count(items)
        at = 0
        while at < len(items):
            at = self.step(items, at, out, bound, marks)
        return out

    def step(self, items: Items, at: int, out: list[str], bound: dict[str, str], marks: Mapping) -> int:
        item = items[at]
        if isinstance(item, list):
            out += ["{", *self.walk(item, bound, marks), "}"]
            return at + 1
        if item in _SCRIPTS:
            inner = items[at + 1] if at + 1 < len(items) else []
            inner = inner if isinstance(inner, list) else [inner]
            if inner in ([r"\top"], ["T"], [r"\word.T"]):
                out += ["^", r"\top"]
            else:
                out += [item, "{", *self.walk(inner, bound, marks), "}"]
            return at + 2
        if item in GAUSSIAN and item not in self.roles.variables and not self.is_symbol(items, at):
            return self.moment(items, at, out, bound)
        if item in ("N", r"\cal.N") and (end := self.normal(items, at, out)):
            return end
        if item == "d" and self.is_stray(items, at):
            self.facts.mended.append("a measure where no integral is")
            return at + 2
        if item == r"\E":
            return self.expectation(items, at, out, bound, marks)
        if item == r"\langle":
            return self.angle(items, at, out, bound, marks)
        if item == r"\KL" and at + 1 < len(items) and items[at + 1] in _OPEN:
            return self.divergence(items, at, out, bound, marks)
        if item in (r"\H", r"\cal.H", r"\bb.H", "H") and at + 1 < len(items) and items[at + 1] in _OPEN:
            end = self.entropy(items, at, out, bound, marks)
            if end:
                return end
        if item == r"\int":
            return self.integral(items, at, out, bound, marks)
        if item in (r"\sum", r"\prod"):
            return self.sum(items, at, out, bound, marks)
        if item in self.roles.densities:
            end = self.density(items, at, out, bound, marks)
            if end:
                return end
        if item == r"\log" and at + 1 < len(items) and items[at + 1] == "(":
            close = closing(items, at + 1)
            if close > 0 and items[close + 1 : close + 2] == ["^"] and items[close + 2 : close + 3] != [[r"\top"]]:
                self.facts.used.add("power")
                power = ["^", "{", *self.walk(items[close + 2], bound, marks), "}"]
                body = ["(", *self.walk(items[at + 2 : close], bound, marks), ")"]
                if self.options.inside:
                    out += [r"\log", "(", *body, *power, ")"]
                else:
                    out += ["(", r"\log", *body, ")", *power]
                return close + 3
        if item in self.counts and self.counts[item] != "parts" and items[at + 1 : at + 2] != ["("]:
            out.append({"data": "N", "samples": "L"}[self.counts[item]])
            return at + 1
        if item in (r"\log", r"\exp") and at + 1 < len(items) and items[at + 1] == "_":
            return self.lost_letter(items, at, out, bound, marks)
        if item in (r"\nabla", r"\partial"):
            self.facts.used.add("gradient")
            out.append(item)
            return at + 1
        if item in (r"\max", r"\min", r"\argmax", r"\argmin"):
            raise CannotRead(f"Expected {item} in front of a term, but got it inside one.")
        if item in (r"\dots", r"\ldots", r"\cdots", r"\vdots"):
            raise CannotRead("Expected a formula, but got dots, which have no value.")
        if item == "d" and self.waiting and at + 1 < len(items) and isinstance(items[at + 1], str):
            if items[at + 1] in self.roles.variables:
                self.waiting -= 1
        if bound.get(item) == "random":
            out += ["Y", "(", LATENT, ")"]
            self.facts.variables.add(LATENT)
            return at + 1
        if item in NOISE:
            self.facts.used.add("noise")
            out.append(LATENT)
            return at + 1
        if item in self.roles.variables and not self.is_symbol(items, at) and not self.is_partition(items, at):
            return self.variable(items, at, out, bound)
        end = self.map_of(items, at, out, bound, marks) or self.symbol(items, at, out, bound, marks)
        if end:
            return end
        if item in (r"\pm", r"\mp"):
            self.facts.mended.append("both signs")
            depth, end = 0, at + 1
            while end < len(items):  # added and subtracted
                depth += (items[end] in _OPEN) - (items[end] in _CLOSE)
                if depth < 0 or (depth == 0 and items[end] in ("+", "-")):
                    break
                end += 1
            return end
        if item in (r"\Var", r"\Cov"):
            out.append(r"\mathrm{Var}" if item == r"\Var" else r"\mathrm{Cov}")
            if items[at + 1 : at + 2] != ["_"]:
                out += ["_", "{", *self.options.law.replace("|", r"\mid").split(), "}"]
                self.facts.used.add("law")
            return at + 1
        if item == r"\const":
            raise CannotRead("Expected a formula, but got a constant that nothing says the value of.")
        out.append(item)
        if item.isalpha() or item.startswith("\\"):
            self.facts.letters.add(item)
        return at + 1

    def count(self, items: Items) -> None:
        """Notes the upper ends of sums that are one letter."""
        for i, item in enumerate(items):
            if item in (r"\sum", r"\prod") and items[i + 1 : i + 2] == ["_"] and items[i + 3 : i + 4] == ["^"]:
                below, above = items[i + 2], items[i + 4]
                if isinstance(above, list) and len(above) == 1 and isinstance(above[0], str) and above[0].isalpha():
                    name = text_of(below[: below.index("=")]) if "=" in below else text_of(below)
                    self.counts.setdefault(above[0], self.index_kind(name, items[i + 5 :]))

    # ---------------------------------------------------------------------------------------------------- Gaussians

    def moment(self, items: Items, at: int, out: list[str], bound: Mapping) -> int:
        r"""\mu_{\phi,j}^{(i)}(x), \sigma_1^2, \Sigma_q^{-1}: a letter, its label, its index, its exponent."""
        base, label, index, exponents, end = moment_at(items, at, self.roles, bound)
        self.facts.used.add("gauss")
        self.facts.used.add(f"letter:{base}")
        self.facts.labels.add(label)
        if base == r"\sigma" and exponents == [["2"]] and not index and items[end : end + 1] in (["I"], [r"\bb.I"]):
            out += [r"\Sigma", *(["_", "{", label, "}"] if label else [])]
            return end + 1
        name = [base, *(["_", "{", label, "}"] if label else [])]
        if index:
            name = ["{", *name, "}", "_", "{", "j", "}"] if label else [base, "_", "{", "j", "}"]
        if base in (r"\Sigma", r"\sigma") and self.options.logs and not self.in_law:
            squared = any(text_of(exponent) == "2" for exponent in exponents)
            out += ["(", r"\log", *name, *(["^", "{", "2", "}"] if squared else []), ")"]
            return end
        out += name
        for exponent in exponents:
            out += ["^", r"\top"] if exponent == [r"\top"] else ["^", "{", *self.walk(exponent, bound, {}), "}"]
        return end

    def normal(self, items: Items, at: int, out: list[str]) -> int:
        """N(z; m, S) and N(m, S) as the law with the label of m; 0 if it is no normal law."""
        call = call_at(items, at)
        if call is None:
            return 0
        parts = [*call.targets, *call.givens, *call.parameters]
        if len(parts) not in (2, 3):
            return 0
        if len(parts) == 2 and not self.in_law:
            raise CannotRead(
                "Expected a density N(x; m, S) or a law of a mean, but got a law N(m, S) as if it were a number."
            )
        mean, variance = parts[-2:]
        if mean == ["0"] and variance in (["1"], ["I"], ["I", "_", [r"\ell"]], ["I", "_", ["d"]], ["I", "_", ["k"]]):
            label = STANDARD
        elif mean[0] in (r"\mu", "m"):
            label = moment_at(mean, 0, self.roles, {})[1]
            if any(item in (r"\sigma", r"\Sigma") for item in variance):
                i = next(i for i, item in enumerate(variance) if item in (r"\sigma", r"\Sigma"))
                if moment_at(variance, i, self.roles, {})[1] != label:
                    raise CannotRead("Expected the mean and the variance of one law, but got those of two.")
                power = variance[i] == r"\Sigma" or ["2"] in variance or any("2" in text_of([v]) for v in variance)
                if not power:
                    self.facts.mended.append("a standard deviation where the variance stands")
            self.facts.labels.add(label)
        else:
            raise CannotRead(f"Expected N(m, S) with a mean that has a name, but got {_shown(mean)}.")
        self.facts.used |= {"gauss", "normal"}
        out += [law_name(label), "(", LATENT, ")"]
        return call.end

    def is_stray(self, items: Items, at: int) -> bool:
        """Whether a dz stands here that no integral waits for."""
        after = items[at + 1] if at + 1 < len(items) else None
        known = isinstance(after, str) and (after in self.roles.variables or after in self.roles.parameters)
        ends = at + 2 >= len(items) or items[at + 2] in ("+", "-", ")", "]")
        return known and ends and self.waiting == 0

    # ---------------------------------------------------------------------------------------------------- densities

    def density(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        """p_\\theta(x | z), or p alone; 0 if it is neither."""
        letter = str(items[at])
        kind = self.roles.densities[letter]
        call = call_at(items, at)
        if call is not None:
            entries = [*call.targets, *call.givens, *call.parameters]
            if entries and all(_parameters(entry, self.roles) is not None for entry in entries):
                return 0  # Q(\theta, \theta^t)
            if all(len(e) == 1 and str(e[0]).replace(".", "").isdigit() for e in entries):
                return 0
            out += self.called(call, kind, bound, marks)
            return call.end
        end, scripts = at + 1, []
        while end < len(items) and (items[end] in _SCRIPTS or items[end] in ("'", "*")):
            taken = 2 if items[end] in _SCRIPTS else 1
            scripts += items[end : end + taken]
            end += taken
        if letter in ("P", "Q") and not self.roles.has_guide and kind == GUIDE:
            return 0
        out += self.bare(kind, scripts, marks)
        return end

    def bare(self, kind: str, scripts: Items, marks: Mapping) -> list[str]:
        """A density without its brackets, as a law."""
        mark = self.marked(kind, scripts, marks)
        inside = [i for s in scripts if isinstance(s, list) for i in s]
        if "|" in inside:
            return self.given_as_law(inside, mark, marks)
        if mark == DATA:
            return [f"{kind}_{{{DATA}}}", "(", self.first_observed(), ")"]
        name = kind + (f"_{{{mark}}}" if mark else "")
        self.facts.variables.add(LATENT)
        named = [self.roles.variables[i] for i in inside if i in self.roles.variables]
        if named:
            return [name, "(", ",".join(dict.fromkeys(named)), ")"]
        self.facts.used.add("bare")
        if self.options.bare in self.roles.observed:
            self.facts.variables.add(self.options.bare)
            if kind == GUIDE:
                self.facts.used.add("joint")
            return [name, "(", self.options.bare, ")"]
        if kind == GUIDE or not self.roles.observed or self.options.bare == "p(z)":
            return [name, "(", LATENT, ")"]
        self.facts.variables |= set(self.roles.observed)
        return [name, "(", LATENT, r"\mid", ",".join(self.roles.observed), ")"]

    def first_observed(self) -> str:
        return self.roles.observed[0] if self.roles.observed else LATENT

    def given_as_law(self, inside: Items, mark: str, marks: Mapping) -> list[str]:
        """Z|X,\\theta^t, the law of an expectation."""
        call = call_at(["p", "(", *inside, ")"], 0)
        assert call is not None
        return self.called(call, MODEL, {}, marks, mark)

    def marked(self, kind: str, scripts: Items, marks: Mapping) -> str:
        mark = ""
        text = text_of(scripts)
        if r"\word.data" in text or r"\word.true" in text or r"\cal.D" in text or text in ("_D", "_d"):
            return DATA if kind == MODEL else ""
        if kind == MODEL and text in ("^*", "*", "_*") and not self.roles.has_guide:
            return DATA
        for part in scripts:
            inner = part if isinstance(part, list) else [part]
            parameters = _parameters(inner, self.roles)
            if parameters:
                mark = next((m for _, m in parameters if m), mark)
            elif inner not in (["_"], ["^"]):
                mark = mark or (_mark(inner) if kind == GUIDE or text_of(inner) in ("old", "new", "*") else "")
        return marks.get((kind, mark), mark)

    def called(self, call: Called, kind: str, bound: Mapping, marks: Mapping, mark: str = "") -> list[str]:
        targets: list[str] = []
        givens: list[str] = []
        if mark == "":
            mark = self.marked(kind, call.scripts, marks)
        for found, entries in ((targets, call.targets), (givens, call.givens), (None, call.parameters)):
            for entry in entries:
                parameters = _parameters(entry, self.roles)
                if parameters is not None:
                    own = next((m for k, m in parameters), "")
                    if kind == MODEL or not mark:
                        mark = marks.get((kind, own), own) or mark
                    continue
                if found is None:
                    if letter_of(entry)[0] in self.roles.variables:
                        givens.append(self.entry(entry, bound))
                    continue
                found.append(self.entry(entry, bound))
        if not targets:
            raise CannotRead(f"Expected a density of a variable, but got one of parameters alone: {call.letter}.")
        name = kind + (f"_{{{mark}}}" if mark else "")
        self.facts.used.add(name)
        targets, givens = list(dict.fromkeys(targets)), list(dict.fromkeys(givens))
        givens = [g for g in givens if g not in targets]
        self.facts.variables |= {v for v in (*targets, *givens) if not v.startswith(r"\tilde")}
        self.facts.variables |= {v[7] for v in (*targets, *givens) if v.startswith(r"\tilde")}
        if kind == GUIDE and targets != [LATENT] and not targets[0].startswith(r"\tilde{z"):
            self.facts.used.add("joint")
        return [name, "(", ",".join(targets), *([r"\mid", ",".join(givens)] if givens else []), ")"]

    def entry(self, entry: Items, bound: Mapping) -> str:
        if entry == [r"\cdot"]:
            return LATENT
        letter, sub = letter_of(entry)
        if NOISE & set(_leaves(entry)):  # the map of the noise is a draw of the latent variable
            self.facts.used.add("noise")
            return LATENT
        if letter not in self.roles.variables or "=" in entry:
            raise CannotRead(f"Expected a variable in the brackets of a density, but got {_shown(entry)}.")
        return self.spelled(letter, sub, entry, bound)

    def spelled(self, letter: str, sub: str, entry: Items, bound: Mapping) -> str:
        name = self.roles.variables[letter]
        if letter in self.roles.apart and sub:
            digits = "".join(c if c.isalnum() else {"-": "m", "+": "p"}.get(c, "") for c in sub)
            return rf"{name}_{{\mathrm{{v{digits}}}}}" if digits else name
        scripts = text_of([s for s in entry[1:] if isinstance(s, list)]).strip("()[]")
        kind = bound.get(scripts, "") or bound.get(letter, "")
        if kind == "data":
            return rf"\tilde{{{name}}}_{{i}}"
        if kind == "samples":
            return rf"\tilde{{{name}}}_{{l}}"
        if kind == "parts":
            raise CannotRead("Densities of single components are not judged yet.")
        return name

    def variable(self, items: Items, at: int, out: list[str], bound: Mapping) -> int:
        letter = str(items[at])
        end = at + 1
        scripts: Items = []
        while end < len(items) and items[end] in _SCRIPTS and end + 1 < len(items):
            inner = items[end + 1]
            if items[end] == "^" and text_of(inner).strip("()[]") not in bound and not text_of(inner).startswith("("):
                break
            scripts += items[end : end + 2]
            end += 2
        sub = text_of(scripts[1:2]) if scripts[:1] == ["_"] else ""
        if bound.get(sub.strip("()[]")) == "parts":
            out += [self.roles.variables[letter], "_", "{", "j", "}"]
        else:
            out.append(self.spelled(letter, sub, [letter, *scripts], bound))
        self.facts.variables.add(self.roles.variables[letter])
        return end

    def is_partition(self, items: Items, at: int) -> bool:
        """Z_p: a name that a density hangs on is no variable."""
        return items[at + 1 : at + 2] == ["_"] and items[at + 2] in (["p"], ["q"])

    def lost_letter(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        r"""\log _\theta(x): the letter of the density was lost."""
        parameter = text_of(items[at + 2]) if at + 2 < len(items) else ""
        out.append(str(items[at]))
        if parameter in (r"\theta", r"\phi", r"\varphi") and at + 3 < len(items) and items[at + 3] in ("(", "["):
            self.facts.mended.append("a density whose letter was lost")
            call = call_at(["p" if parameter == r"\theta" else "q", *items[at + 3 :]], 0)
            if call is not None:
                out += self.called(call, MODEL if parameter == r"\theta" else GUIDE, bound, marks)
                return at + 2 + call.end
        return at + 1

    # -------------------------------------------------------------------------------------------------------- laws

    def law(self, items: Items, marks: Mapping) -> list[str]:
        r"""What hangs on an expectation: q, q(z|x), z \sim q, z|x,\theta."""
        laws: list[str] = []
        for part in _split(items, (",",)) if r"\sim" in items or "~" in items else [items]:
            noise = NOISE & set(_leaves(part))
            if r"\sim" in part:
                part = part[part.index(r"\sim") + 1 :]
            if not part:
                continue
            if noise:
                self.facts.used.add("noise")
                self.facts.variables.add(LATENT)
                laws += [",", "q", "(", LATENT, ")"] if laws[-1:] not in ([","], []) else ["q", "(", LATENT, ")"]
                continue
            if laws:
                laws.append(",")
            if part[0] in self.roles.densities:
                call = call_at(part, 0)
                if call is not None and call.end == len(part):
                    laws += self.called(call, self.roles.densities[str(part[0])], {}, marks)
                    continue
                if call is None:
                    laws += self.bare(self.roles.densities[str(part[0])], part[1:], marks)
                    continue
            if "|" in part and part[0] not in ("N", r"\cal.N"):
                laws += self.given_as_law(part, "", marks)
                continue
            letter, _ = letter_of(part)
            if letter in self.roles.variables and len(part) == 1:
                name = self.roles.variables[letter]
                self.facts.used.add("law")
                laws += ["q" if name == LATENT else f"p_{{{DATA}}}", "(", name, ")"]
                continue
            laws += self.walk_law(part, {}, marks)
        return laws

    def walk_law(self, part: Items, bound: Mapping, marks: Mapping) -> list[str]:
        before, self.in_law = self.in_law, True
        words = self.walk(part, bound, marks)
        self.in_law = before
        return words

    def expectation(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        end, law = at + 1, None
        while end + 1 < len(items) and items[end] in _SCRIPTS:
            if items[end] == "_":
                law = self.law(items[end + 1], marks)
            end += 2
        if not law:
            self.facts.used.add("law")
            law = self.options.law.replace("|", r"\mid").split()
        out += [r"\mathbb{E}", "_", "{", *law, "}"]
        if self.options.law and end < len(items) and "law" in self.facts.used:
            bound = {**bound, **self.random(items[end:])}
        if end < len(items) and items[end] in _OPEN:
            close = closing(items, end)
            if close > 0:
                out += ["[", *self.walk(items[end + 1 : close], bound, marks), "]"]
                return close + 1
        return end

    def random(self, items: Items) -> dict[str, str]:
        r"""The letter of E[y] and E[\log y], of which nothing is known: a positive random number."""
        close = closing(items, 0) if items[0] in _OPEN else -1
        letters = {item for item in _leaves(items[: close + 1]) if item.isalpha() and len(item) == 1}
        known = {*self.roles.variables, *self.roles.densities, *self.definitions, "e"}
        return {next(iter(letters)): "random"} if len(letters) == 1 and not letters & known else {}

    def angle(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        depth, end = 0, at
        while end < len(items):
            depth += (items[end] == r"\langle") - (items[end] == r"\rangle")
            if depth == 0:
                break
            end += 1
        law = items[end + 2] if items[end + 1 : end + 2] == ["_"] and end + 2 < len(items) else None
        rest: list[str] = []
        head = [r"\E", "_", law] if law is not None else [r"\E"]
        self.expectation([*head, "[", *items[at + 1 : end], "]"], 0, rest, bound, marks)
        out += rest
        return end + (3 if law is not None else 1)

    def divergence(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        close = closing(items, at + 1)
        if close < 0:
            raise CannotRead("Expected two laws in brackets after KL, but the bracket is never closed.")
        inside = items[at + 2 : close]
        parts = _split(inside, (r"\|",))
        for sign in ("|", ",", ":"):
            if len(parts) != 2:
                parts = _split(inside, (sign,))
        if len(parts) != 2:
            raise CannotRead(r"Expected two laws with \| between them after KL, but got something else.")
        laws = [self.one_law(part, bound, marks) for part in parts]
        if laws[0][:1] != laws[1][:1] and self._is_joint(laws[1]):  # of a law that is not normalized
            body = [r"\log", *laws[0], "-", r"\log", *laws[1]]
            out += [r"\mathbb{E}", "_", "{", *laws[0], "}", "[", *body, "]"]
        else:
            out += [r"\mathrm{KL}", "(", *laws[0], r"\|", *laws[1], ")"]
        return close + 1

    @staticmethod
    def _is_joint(law: list[str]) -> bool:
        """p(x, z): more than a law of the latent variable."""
        return len(law) > 2 and law[0].startswith(MODEL) and law[1] == "(" and law[2] != LATENT

    def one_law(self, part: Items, bound: Mapping, marks: Mapping) -> list[str]:
        if part[:1] and part[0] in self.roles.variables and len(part) == 1:
            self.facts.mended.append(f"{part[0]} for its law")
            return ["p", "(", self.roles.variables[str(part[0])], ")"]
        if part[:1] and part[0] in self.roles.densities and call_at(part, 0) is None:
            return self.bare(self.roles.densities[str(part[0])], part[1:], marks)
        return self.walk_law(part, bound, marks)

    def entropy(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        close = closing(items, at + 1)
        if close < 0:
            return 0
        parts = _split(items[at + 2 : close], (",",))
        if any(_parameters(part, self.roles) is not None for part in parts):
            return 0
        if not all(part and part[0] in self.roles.densities for part in parts):
            return 0
        laws = [" ".join(self.one_law(part, bound, marks)) for part in parts]
        out += [r"\mathrm{H}", "(", ", ".join(laws), ")"]
        return close + 1

    # ----------------------------------------------------------------------------------------- integrals and sums

    def integral(self, items: Items, at: int, out: list[str], bound: dict[str, str], marks: Mapping) -> int:
        end, below, above = at + 1, None, None
        while end + 1 < len(items) and items[end] in _SCRIPTS:
            if items[end] == "_":
                below = items[end + 1]
            else:
                above = items[end + 1]
            end += 2
        self.facts.used.add("integral")
        measure = _measure(items, end, self.roles)
        limits = below is not None and above is not None and letter_of(below)[0] not in self.roles.variables
        if limits and measure is not None and r"\infty" not in [*_leaves(below or []), *_leaves(above or [])]:
            self.waiting += 1
            out += [r"\int", "_", "{", *self.walk(below, bound, marks), "}", "^", "{"]
            out += [*self.walk(above or [], bound, marks), "}"]
            return end
        if measure is None:
            names = [below[0]] if below and below[0] in self.roles.variables else None
            if below and names is None and r"\sim" in below and below[0] in self.roles.variables:
                names = [below[0]]
            out += [r"\int", "_", "{", self.roles.variables[str(names[0])] if names else LATENT, "}"]
            return end
        where, letter = measure
        self.waiting += 1
        if letter in self.roles.parameters and letter not in self.roles.variables:
            self.facts.used.add(f"measure:{letter}")
            items[where + 1] = next((k for k, v in self.roles.variables.items() if v == LATENT), letter)
        if where == end:  # \int dz f
            self.waiting -= 1
            out += [r"\int", "d", self.roles.variables.get(str(items[where + 1]), str(items[where + 1]))]
            return where + 2
        out.append(r"\int")
        return end

    def sum(self, items: Items, at: int, out: list[str], bound: dict[str, str], marks: Mapping) -> int:
        operator, end = str(items[at]), at + 1
        below: Items = []
        above: Items = []
        while end + 1 < len(items) and items[end] in _SCRIPTS:
            inner = items[end + 1] if isinstance(items[end + 1], list) else [items[end + 1]]
            if items[end] == "_":
                below = inner
            else:
                above = inner
            end += 2
        name = text_of(below[: below.index("=")]) if "=" in below else text_of(below)
        letter = below[0] if below and isinstance(below[0], str) else ""
        if letter in self.roles.variables and r"\in" not in below and operator == r"\sum" and "=" not in below:
            self.facts.used.add("sum")
            self.facts.variables.add(self.roles.variables[letter])
            out += [r"\int", "_", "{", self.spelled(letter, text_of(below[2:3]), below, bound), "}"]
            return end
        if r"\in" in below and letter in self.roles.variables and self.roles.variables[letter] != LATENT:
            bound[letter] = "data"
            self.facts.used.add("data")
            out += [operator, "_", "{", "i", "}"]
            return end
        if r"\in" in below:
            raise CannotRead(r"Sums over the elements of a data set, \sum_{x \in D}, are not judged yet.")
        if not name:
            raise CannotRead("Expected below the sum what it runs over, but got nothing there.")
        kind = self.index_kind(name, items[end:])
        bound[name] = kind
        index = {"data": "i", "samples": "l", "parts": "j"}[kind]
        self.facts.used.add(kind)
        if above:
            self.facts.used.add(f"{kind}:{text_of(above)}")
        out += [operator, "_", "{", index, "}"]
        return end

    def index_kind(self, name: str, body: Items) -> str:
        """Whether an index counts data, samples of the latent variable, or components."""
        for call in _calls_below(body, self.roles):
            for entry in [*call.targets, *call.givens, *call.parameters]:
                letter, _ = letter_of(entry)
                scripts = text_of([s for s in entry[1:] if isinstance(s, list)])
                if letter in self.roles.variables and name in scripts.strip("()[]").split(","):
                    return "samples" if self.roles.variables[letter] == LATENT else "data"
        for letter, scripts in _scripted(body):
            if letter in self.roles.variables and name == scripts.strip("()[]"):
                if self.roles.variables[letter] != LATENT:
                    return "data"
        return "parts"

    def map_of(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        r"""f(z), of a function that nothing is said of; g(\epsilon, x), a draw of the latent variable. 0 if neither."""
        if items[at] not in ("f", "g", "h", "T", "t", "G") or self.is_symbol(items, at):
            return 0
        call = call_at(items, at)
        if call is None:
            return 0
        entries = [*call.targets, *call.givens, *call.parameters]
        if items[at] != "f" and any(NOISE & set(_leaves(entry)) for entry in entries):
            self.facts.used.add("noise")
            out.append(LATENT)
            return call.end
        if items[at] in ("f", "h", "g") and len(call.targets) == 1:
            self.facts.used.add("map")
            out += ["f", "(", *self.walk(call.targets[0], bound, marks), ")"]
            return call.end
        return 0

    # ------------------------------------------------------------------------------------------------------- names

    def is_symbol(self, items: Items, at: int) -> bool:
        named = name_at(items, at, self.roles)
        return named is not None and named[0] in self.definitions

    def symbol(self, items: Items, at: int, out: list[str], bound: Mapping, marks: Mapping) -> int:
        """A name that the document defines, or that has a usual meaning; 0 if it is neither."""
        named = name_at(items, at, self.roles)
        if named is None:
            return 0
        key, arguments, end = named
        if str(items[at]) in bound:
            out.append({"data": "i", "samples": "l", "parts": "j"}[bound[str(items[at])]])
            return at + 1
        definition = self.definitions.get(key)
        indexed = self.indexed(items[at:end], bound)
        if definition is not None and not definition.fits(arguments):
            likelihood = self.likelihood(definition, arguments)
            if likelihood:
                out += likelihood
                return end
            self.facts.unknown.append(_shown([key]))
            out.append("?")
            return end
        if definition is not None:
            if self.depth >= 12:
                raise CannotRead(f"Expected a definition that ends, but that of {key} leads back to itself.")
            self.depth += 1
            inner = {
                (kind, formal): actual
                for (kind, formal), (_, actual) in zip(definition.formals, arguments, strict=False)
                if formal != actual and kind
            }
            out += ["(", *self.walk(definition.body, {**bound, **indexed}, {**marks, **inner}), ")"]
            self.depth -= 1
            self.facts.used.add(f"defined:{key}")
            return end
        usual = USUAL.get(key)
        if usual:
            self.facts.used.add(f"usual:{key}")
            words = self.usual(usual, arguments, marks)
            out += words if self.options.usual else ["(", "-", *words, ")"]
            return end
        closed = items[end - 1] in (")", "]")
        called = closed and bool(arguments) and items[at] not in self.roles.parameters
        if key.startswith((r"\cal.", r"\word.")) or key == r"\KL" or (called and all(kind for kind, _ in arguments)):
            self.facts.unknown.append(key.removeprefix(r"\cal.").removeprefix(r"\word."))
            out.append("?")
            return end
        return 0

    def indexed(self, items: Items, bound: Mapping) -> dict[str, str]:
        """The variables in the brackets of a name that have the index of a sum: L(x^{(i)})."""
        kinds = {}
        for letter, scripts in _scripted(items):
            if letter in self.roles.variables and bound.get(scripts.strip("()[]")) == "data":
                name = self.roles.variables[letter]
                kinds |= {other: "data" for other, mine in self.roles.variables.items() if mine == name}
        return kinds

    def likelihood(self, definition: Definition, arguments: Sequence[tuple[str, str]]) -> list[str]:
        """L(x) where L(x, z) was said to be p(x, z): a likelihood of other variables."""
        body = definition.body
        call = call_at(body, 0) if body and body[0] in self.roles.densities else None
        if call is None or call.end != len(body) or (call.givens and len(call.targets) < 1):
            return []
        names = [name for kind, name in arguments if not kind]
        self.facts.variables |= set(names)
        return [self.roles.densities[str(body[0])], "(", ",".join(names), ")"]

    def usual(self, meaning: str, arguments: list[tuple[str, str]], marks: Mapping) -> list[str]:
        given = ",".join(self.roles.observed) or "x"
        self.facts.variables |= {*self.roles.observed, LATENT}
        p = next((marks.get((MODEL, m), m) for k, m in arguments if k == MODEL), "")
        q = next((marks.get((GUIDE, m), m) for k, m in arguments if k == GUIDE), "")
        p, q = MODEL + (f"_{{{p}}}" if p else ""), GUIDE + (f"_{{{q}}}" if q else "")
        if meaning == "evidence":
            return rf"( \log {p}({given}) )".split(" ")
        if meaning == "gap":
            return [rf"\mathrm{{KL}}({q}(z) \| {p}(z \mid {given}))"]
        elbo = rf"( \mathbb{{E}}_{{{q}(z)}}[ \log {p}({given},z) - \log {q}(z) ] )"
        return ["(", "-", elbo, ")"] if meaning.startswith("-") else [elbo]


# ------------------------------------------------------------------------------------------------------------- helpers


GAUSSIAN = (r"\mu", r"\sigma", r"\Sigma")


def moment_at(items: Items, at: int, roles: Roles, bound: Mapping[str, str]) -> tuple[str, str, bool, list[Items], int]:
    """A mean or a scale: its letter, its label, whether it has the index of a component, its exponents, the place behind."""
    base, label, index = str(items[at]), "", False
    exponents: list[Items] = []
    at += 1
    while at + 1 < len(items) and items[at] in _SCRIPTS:
        inner = items[at + 1] if isinstance(items[at + 1], list) else [items[at + 1]]
        if items[at] == "_":
            for part in _split(inner, (",",)):
                word = text_of(part)
                if bound.get(word) == "parts":
                    index = True
                elif len(part) > 1 and bound.get(text_of(part[-1:])) == "parts":
                    index, label = True, text_of(part[:-1])
                elif not (isinstance(part[0], str) and part[0] in roles.parameters):
                    label = word.removeprefix(r"\word.")
        else:
            if inner[:1] == ["("] and ")" in inner:  # (i)2
                inner = inner[inner.index(")") + 1 :]
            if bound.get(text_of(inner)) == "parts":
                index = True
            elif inner in ([r"\top"], ["T"], [r"\word.T"]):
                exponents.append([r"\top"])
            elif inner:
                exponents.append(inner)
        at += 2
    if at < len(items) and items[at] == "(":
        call = call_at([base, *items[at:]], 0)
        if call is not None:
            entries = [*call.targets, *call.givens, *call.parameters]
            letters = [letter_of(entry)[0] for entry in entries]
            if all(letter in roles.variables or letter in roles.parameters for letter in letters):
                at += call.end - 1
    if label and not (label.isalnum() and len(label) <= 4):
        raise CannotRead(f"Expected a label that names a law, but got {label}.")
    return base, label, index, exponents, at


def _scripted(items: Items) -> list[tuple[str, str]]:
    """Each letter with the text of the script behind it."""
    found: list[tuple[str, str]] = []
    for i, item in enumerate(items):
        if isinstance(item, list):
            found += _scripted(item)
        elif (
            items[i + 1 : i + 2] and items[i + 1] in _SCRIPTS and i + 2 < len(items) and isinstance(items[i + 2], list)
        ):
            found.append((item, text_of(items[i + 2])))
    return found


def _leaves(items: Items) -> list[str]:
    found: list[str] = []
    for item in items:
        found += _leaves(item) if isinstance(item, list) else [item]
    return found


def _calls_below(items: Items, roles: Roles):  # type: ignore[no-untyped-def]
    from vaelib.check.roles import calls

    return calls(items, roles.densities)


def _measure(items: Items, at: int, roles: Roles) -> tuple[int, str] | None:
    """The place of the dz that ends an integral whose body begins here, and its letter."""
    depth = waiting = 0
    for i in range(at, len(items)):
        item = items[i]
        depth += (item in _OPEN) - (item in _CLOSE)
        if depth < 0:
            return None
        if depth:
            continue
        if item == r"\int":
            waiting += 1
        after = items[i + 1] if i + 1 < len(items) else None
        if item == "d" and isinstance(after, str) and (after in roles.variables or after in roles.parameters):
            if waiting == 0:
                return i, after
            waiting -= 1
    return None


def _split(items: Items, signs: tuple[str, ...]) -> list[Items]:
    """The parts between signs outside of brackets."""
    parts: list[Items] = [[]]
    depth = 0
    for item in items:
        if isinstance(item, str):
            depth += (item in _OPEN) - (item in _CLOSE)
            if depth == 0 and item in signs:
                parts.append([])
                continue
        parts[-1].append(item)
    return [part for part in parts if part]


def _shown(items: Items) -> str:
    return text_of(items).replace(r"\word.", "").replace(r"\cal.", "")


def _balanced(words: list[str], facts: Facts) -> list[str]:
    """Brackets that a reader mends: one too many is dropped, one that lacks is added, a wrong one is turned."""
    pairs = {"(": ")", "[": "]", r"\{": r"\}", "{": "}"}
    stack: list[str] = []
    out: list[str] = []
    mended = False
    for word in words:
        if word in pairs:
            stack.append(word)
        elif word in pairs.values():
            if not stack:
                mended = True
                continue
            if word == "}" and stack[-1] != "{":
                while stack and stack[-1] != "{":
                    out.append(pairs[stack.pop()])
                    mended = True
                if stack:
                    stack.pop()
                    out.append(word)
                continue
            if word != "}" and stack[-1] == "{":
                mended = True
                continue
            opening = stack.pop()
            if pairs[opening] != word:
                mended = True
                word = pairs[opening]
        out.append(word)
    while stack:
        out.append(pairs[stack.pop()])
        mended = True
    if mended:
        facts.mended.append("a bracket")
    return out
