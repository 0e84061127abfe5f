"""Integrals and sums: what they go over, and where they end."""

from __future__ import annotations

import re

from vaelib.check.latex import CannotRead, Items
from vaelib.check.laws import Laws
from vaelib.check.names import CLOSE, OPEN, SCRIPTS, calls_below, leaves, measure_of, scripted, split_at
from vaelib.check.options import DRAWS, Bound, Marks
from vaelib.check.roles import LATENT, NOISE, letter_of, text_of

OF_SAMPLES = ("L", "K", "S", "M")  # how people call the number of samples, where data are N


class Ranges(Laws):
    """What goes over a variable or an index."""

    def count(self, items: Items) -> None:
        """Notes the upper ends of sums that are one letter."""
        for i, item in enumerate(items):
            if item in (r"\sum", r"\prod") and items[i + 1 : i + 2] == ["_"] and items[i + 3 : i + 4] == ["^"]:
                below, above = items[i + 2], items[i + 4]
                if isinstance(above, list) and len(above) == 1 and isinstance(above[0], str) and above[0].isalpha():
                    name = text_of(below[: below.index("=")]) if "=" in below else text_of(below)
                    self.counts.setdefault(above[0], self.index_kind(name, items[i + 5 :], above[0]))

    def is_stray(self, items: Items, at: int) -> bool:
        """Whether there is a dz here that no integral waits for."""
        after = items[at + 1] if at + 1 < len(items) else None
        known = isinstance(after, str) and (after in self.roles.variables or after in self.roles.parameters)
        ends = at + 2 >= len(items) or items[at + 2] in ("+", "-", ")", "]")
        return known and ends and self.waiting == 0

    def integral(self, items: Items, at: int, out: list[str], bound: dict[str, str], marks: Marks) -> int:
        end, below, above = at + 1, None, None
        while end + 1 < len(items) and items[end] in SCRIPTS:
            if items[end] == "_":
                below = items[end + 1]
            else:
                above = items[end + 1]
            end += 2
        self.facts.used.add("integral")
        measure = measure_of(items, end, self.roles)
        ends = [leaves(part or []) for part in (below, above)]
        if sum(r"\infty" in end for end in ends) == 1 and all(ends):
            raise CannotRead("Integrals over a part of the line, from or to infinity, are not judged yet.")
        limits = below is not None and above is not None and letter_of(below)[0] not in self.roles.variables
        if limits and measure is not None and r"\infty" not in [*leaves(below or []), *leaves(above or [])]:
            self.waiting += 1
            out += [r"\int", "_", "{", *self.walk(below or [], bound, marks), "}", "^", "{"]
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

    @staticmethod
    def negated(items: Items, at: int, out: list[str]) -> int:
        r"""\sum_x -f: the sign belongs to what the sum is taken of."""
        if items[at : at + 1] != ["-"]:
            return at
        out += ["(", "-", "1", ")"]
        return at + 1

    def sum(self, items: Items, at: int, out: list[str], bound: dict[str, str], marks: Marks) -> int:
        operator, end = str(items[at]), at + 1
        below: Items = []
        above: Items = []
        while end + 1 < len(items) and items[end] in SCRIPTS:
            inner = items[end + 1] if isinstance(items[end + 1], list) else [items[end + 1]]
            if items[end] == "_":
                below = inner
            else:
                above = inner
            end += 2
        name = text_of(below[: below.index("=")]) if "=" in below else text_of(below)
        letter = below[0] if below and isinstance(below[0], str) else ""
        if operator == r"\sum" and "=" in below and (state := self.state_of(name, items[end:])):
            bound[name] = "states"  # \sum_k q(z = k), \sum_{z=1}^K q(z)
            below, letter = [state], state
        several = [part[0] for part in split_at(below, (",",)) if len(part) == 1]
        if operator == r"\sum" and len(several) > 1 and all(name in self.roles.variables for name in several):
            self.facts.used.add("sum")
            self.facts.variables |= {self.roles.variables[str(name)] for name in several}
            for name in several:  # \sum_{x, z}
                out += [r"\int", "_", "{", self.spelled(str(name), "", [name], bound), "}"]
            return end
        if letter in self.roles.variables and r"\in" not in below and operator == r"\sum" and "=" not in below:
            self.facts.used.add("sum")
            self.facts.variables.add(self.roles.variables[letter])
            out += [r"\int", "_", "{", self.spelled(letter, text_of(below[2:3]), below, bound), "}"]
            return end
        if r"\in" in below and letter in self.roles.variables and self.roles.variables[letter] != LATENT:
            bound[letter] = "data"
            self.facts.used.add("data")
            self.facts.written["i"] = letter
            out += [operator, "_", "{", "i", "}"]
            return end
        if r"\in" in below:
            raise CannotRead(r"Sums over the elements of a data set, \sum_{x \in D}, are not judged yet.")
        if not name:
            raise CannotRead("Expected below the sum what it runs over, but got nothing there.")
        steps = [sub for letter, sub in scripted(items[end:]) if letter in self.roles.apart]
        if any(re.search(rf"\b{re.escape(name)}[-+]\d", sub) for sub in steps):
            raise CannotRead(f"Sums over the steps {name} of a chain of variables are not judged yet.")
        if self.counts.get(text_of(above)) == "draws":
            return self.over_draws(name, items, end, out, (bound, marks))
        kind = self.index_kind(name, items[end:], text_of(above))
        bound[name] = kind
        index = {"data": "i", "samples": "l", "parts": "j"}[kind]
        self.facts.written[index] = name
        self.facts.used.add(kind)
        if above:
            self.facts.used.add(f"{kind}:{text_of(above)}")
        out += [operator, "_", "{", index, "}"]
        return end

    def over_draws(self, name: str, items: Items, at: int, out: list[str], where: tuple[Bound, Marks]) -> int:
        r"""\sum_{k=1}^K f(z_k), of K draws that are taken together: f(z_1) + f(z_2)."""
        bound, marks = where
        end, depth = at, 0
        while end < len(items):
            depth += (items[end] in OPEN) - (items[end] in CLOSE)
            if depth < 0 or (depth == 0 and end > at and items[end] in ("+", "-")):
                break
            end += 1
        terms = [self.walk(items[at:end], {**bound, name: number}, marks) for number in DRAWS]
        out += ["(", *(word for term in terms for word in ("+", "(", *term, ")")), ")"]
        return end

    def state_of(self, name: str, body: Items) -> str:
        """The latent variable whose states an index counts, as in q(z = k), or which it is; "" if neither."""
        for call in calls_below(body, self.roles):
            for entry in [*call.targets, *call.givens]:
                letter, _ = letter_of(entry)
                is_it = entry == [name] or ("=" in entry and text_of(entry[entry.index("=") + 1 :]) == name)
                if is_it and self.roles.variables.get(letter) == LATENT:
                    return letter
        return ""

    def index_kind(self, name: str, body: Items, upper: str) -> str:
        """Whether an index counts data, samples of the latent variable, or components."""
        noisy = any(letter in NOISE and name == script.strip("()[]") for letter, script in scripted(body))
        if noisy and upper in OF_SAMPLES:
            self.noisy.add(name)
            return "samples"
        for call in calls_below(body, self.roles):
            for entry in [*call.targets, *call.givens, *call.parameters]:
                letter, _ = letter_of(entry)
                scripts = text_of([s for s in entry[1:] if isinstance(s, list)])
                if letter in self.roles.variables and name in scripts.strip("()[]").split(","):
                    alone = not (self.roles.has_guide or self.roles.observed)
                    return "samples" if self.roles.variables[letter] == LATENT and not alone else "data"
        for letter, scripts in scripted(body):
            if letter in self.roles.variables and name == scripts.strip("()[]"):
                if self.roles.variables[letter] != LATENT:
                    return "data"
                if upper in OF_SAMPLES[:1] or scripts == f"({name})":  # f(z^{(k)})
                    return "samples"
        return "parts"
