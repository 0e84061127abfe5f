r"""What a formula says, in the names of the witnesses: P_\theta(X | Z) becomes p(x | z), \mathbb{E}_{z\sim Q} a mean
under q(z), \sum_Z a sum over the latent variable, \mathcal{L}(\theta, \phi; x) what the document says it is.

The result is LaTeX for `vaelib.formula.tex`, and what had to be assumed. What could be read in two ways is read as the
`Options` say, so that all of them can be tried.
"""

from __future__ import annotations

from collections.abc import Mapping

from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import CLOSE, DOTS, GAUSSIAN, OPEN, SCRIPTS
from vaelib.check.options import DRAWS, FREE, Bound, Definition, Facts, Formula, Marks, Options
from vaelib.check.roles import INFORMATION, LATENT, MODEL, NOISE, Roles, closing
from vaelib.check.symbols import Symbols


def read(items: Items, roles: Roles, definitions: Mapping[str, Definition], options: Options) -> Formula:
    """The formula that these items say.

    Raises CannotRead: the message says what was expected.
    """
    reader = _Reader(roles, definitions, options)
    words = reader.walk(items, {}, {})
    return Formula(" ".join(_balanced(words, reader.facts)), reader.facts)


class _Reader(Symbols):
    """Reads from left to right, each item once."""

    def walk(self, items: Items, bound: Bound, marks: Marks) -> list[str]:
        """Words of LaTeX. bound: index -> its kind; marks: how the parameters of a name are called where it is used."""
        out: list[str] = []
        bound, items = dict(bound), list(items)
        self.count(items)
        at = 0
        while at < len(items):
            at = self.step(items, at, out, bound, marks)
        return out

    def step(self, items: Items, at: int, out: list[str], bound: dict[str, str], marks: Marks) -> int:
        item = items[at]
        if isinstance(item, list):
            out += ["{", *self.walk(item, bound, marks), "}"]
            return at + 1
        if item in SCRIPTS:
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
        if item == r"\KL" and at + 1 < len(items) and items[at + 1] in OPEN:
            return self.divergence(items, at, out, bound, marks)
        if item in INFORMATION and at + 1 < len(items) and items[at + 1] in OPEN:
            end = self.entropy(items, at, out, bound, marks)
            if end:
                return end
        if item == r"\int":
            return self.negated(items, self.integral(items, at, out, bound, marks), out)
        if item in (r"\sum", r"\prod"):
            return self.negated(items, self.sum(items, at, out, bound, marks), out)
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
            out.append({"data": "N", "samples": "L", "draws": str(len(DRAWS))}[self.counts[item]])
            self.facts.written[out[-1]] = item
            return at + 1
        if item in (r"\log", r"\exp") and at + 1 < len(items) and items[at + 1] == "_":
            return self.lost_letter(items, at, out, bound, marks)
        if item in (r"\nabla", r"\partial"):
            self.facts.used.add("gradient")
            out.append(item)
            return at + 1
        if item in (r"\max", r"\min", r"\argmax", r"\argmin"):
            raise CannotRead(f"Expected {item} in front of a term, but got it inside one.")
        if item in DOTS:
            raise CannotRead("Expected a formula, but got dots, which have no value.")
        if item == "d" and self.waiting and at + 1 < len(items) and isinstance(items[at + 1], str):
            if items[at + 1] in self.roles.variables:
                self.waiting -= 1
        if bound.get(item) == "random":
            out += ["Y", "(", LATENT, ")"]
            self.facts.written[f"Y({LATENT})"] = item
            self.facts.variables.add(LATENT)
            return at + 1
        if item in NOISE:
            self.facts.used.add("noise")
            self.facts.letters.add(item)
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
                depth += (items[end] in OPEN) - (items[end] in CLOSE)
                if depth < 0 or (depth == 0 and items[end] in ("+", "-")):
                    break
                end += 1
            return end
        if item in (r"\Var", r"\Cov"):
            out.append(r"\mathrm{Var}" if item == r"\Var" else r"\mathrm{Cov}")
            if (call := self.conditional(items, at + 1)) is not None:
                law = self.called(call, MODEL, bound, marks)
                out += ["_", "{", *law, "}", "[", *self.walk(call.targets[0], bound, marks), "]"]
                return call.end + at
            if items[at + 1 : at + 2] != ["_"] and self.options.law == FREE:
                out += ["_", "{", *self.law_of_all(items[at + 1 :]), "}"]
                self.facts.used.add("law")
            elif items[at + 1 : at + 2] != ["_"]:
                out += ["_", "{", *self.options.law.replace("|", r"\mid").split(), "}"]
                self.facts.used.add("law")
            return at + 1
        if item == r"\const":
            raise CannotRead("Expected a formula, but got a constant that nothing says the value of.")
        out.append(item)
        if item.isalpha() or item.startswith("\\"):
            self.facts.letters.add(item)
        return at + 1


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
