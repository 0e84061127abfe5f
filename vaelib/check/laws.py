"""Expectations, divergences and entropies, with the laws they are under."""

from __future__ import annotations

from collections.abc import Iterator

from vaelib.check.densities import Densities
from vaelib.check.gaussians import STANDARD, law_name
from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import DOTS, OPEN, SCRIPTS, leaves, parameters_of, scripted, split_at
from vaelib.check.options import DATA, DRAWS, FREE, Bound, Marks
from vaelib.check.roles import ENTROPY, LATENT, MODEL, NOISE, Called, call_at, closing, letter_of, of_variables


class Laws(Densities):
    """What is a mean under a law."""

    def law(self, items: Items, bound: Bound, marks: Marks) -> list[str]:
        r"""What hangs on an expectation: q, q(z|x), z \sim q, z|x,\theta."""
        laws: list[str] = []
        if letter := self.number_of_draws(items):
            self.counts[letter] = "draws"
            self.facts.used.add("draws")
            law = self.law(items[items.index(r"\sim") :], bound, marks)
            return [",".join(" ".join(law).replace(f"( {LATENT}", f"( {LATENT}_{n}") for n in DRAWS)]
        for part in split_at(items, (",",)) if r"\sim" in items or "~" in items else [items]:
            noise = NOISE & set(leaves(part))
            if r"\sim" in part:
                part = part[part.index(r"\sim") + 1 :]
            if not part:
                continue
            if noise and self.options.law == FREE and len(part) == 1:  # E_\epsilon
                self.facts.used |= {"noise", "law", "gauss", "normal"}
                laws += [law_name(STANDARD), "(", LATENT, ")"]
                continue
            if noise:
                self.facts.used |= {"noise", "law"} if len(part) == 1 else {"noise"}
                self.facts.variables.add(LATENT)
                of_data = self.roles.amortized and f"p_{{{DATA}}}" in laws  # z is made from the noise and x
                law = ["q", "(", LATENT, *([r"\mid", ",".join(self.roles.observed)] if of_data else []), ")"]
                laws += [",", *law] if laws[-1:] not in ([","], []) else law
                continue
            if laws:
                laws.append(",")
            if part[0] in self.roles.densities:
                call = call_at(part, 0)
                if call is not None and call.end == len(part):
                    laws += self.called(call, self.roles.densities[str(part[0])], bound, marks)
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
                letter = "p" if self.options.law == FREE else "q" if name == LATENT else f"p_{{{DATA}}}"
                laws += [letter, "(", name, ")"]
                continue
            laws += self.walk_law(part, {}, marks)
        return laws

    def number_of_draws(self, items: Items) -> str:
        r"""The letter K of z_1, \dots, z_K \sim q and z_{1:K} \sim q, which are K draws together; "" if it is one."""
        drawn = items[: items.index(r"\sim")] if r"\sim" in items else []
        last = [sign for sign in leaves(drawn) if sign not in ("(", ")")][-1:]
        together = bool(DOTS & set(drawn)) or ":" in leaves(drawn)
        return last[0] if together and last and last[0].isalpha() else ""

    def walk_law(self, part: Items, bound: Bound, marks: Marks) -> list[str]:
        before, self.in_law = self.in_law, True
        words = self.walk(part, bound, marks)
        self.in_law = before
        return words

    def expectation(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        end, law, counts = at + 1, None, dict(self.counts)
        while end + 1 < len(items) and items[end] in SCRIPTS:
            if items[end] == "_":
                law = self.law(items[end + 1], bound, marks)
            end += 2
        if not law and (call := self.conditional(items, end)) is not None:
            law = self.called(call, MODEL, bound, marks)
            out += [r"\mathbb{E}", "_", "{", *law, "}", "[", *self.walk(call.targets[0], bound, marks), "]"]
            return call.end + end - 1
        if not law and end < len(items) and (letter := self.draws_in(items[end:])):
            self.counts[letter] = "draws"
            self.facts.used.add("draws")
            law = [",".join(f"q ( {LATENT}_{number} )" for number in DRAWS)]
        if not law and self.options.law == FREE:
            self.facts.used.add("law")
            law = self.law_of_all(items[end:])
        if not law:
            self.facts.used.add("law")
            law = self.options.law.replace("|", r"\mid").split()
        out += [r"\mathbb{E}", "_", "{", *law, "}"]
        if self.options.law and end < len(items) and "law" in self.facts.used:
            bound = {**bound, **self.random(items[end:])}
        if end < len(items) and items[end] in OPEN:
            close = closing(items, end)
            if close > 0:
                out += ["[", *self.walk(items[end + 1 : close], bound, marks), "]"]
                self.counts = counts
                return close + 1
        return end

    def draws_in(self, items: Items) -> str:
        r"""The K of \sum_{k=1}^K f(z_k) in the bracket that begins here, of draws from q; "" if there is none."""
        close = closing(items, 0) if items[0] in OPEN else -1
        body = items[: max(close, 0)]
        for i, sign in enumerate(body):
            ends = body[i + 1 : i + 5]
            if sign != r"\sum" or len(ends) < 4 or ends[0] != "_" or ends[2] != "^" or not self.roles.has_guide:
                continue
            index, upper = leaves([ends[1]])[:1], leaves([ends[3]])
            drawn = [scripts.strip("()[]") for letter, scripts in scripted(body) if self.is_latent(letter)]
            if len(upper) == 1 and upper[0].isalpha() and index and index[0] in drawn:
                return upper[0]
        return ""

    def is_latent(self, letter: str) -> bool:
        return self.roles.variables.get(letter) == LATENT

    def law_of_all(self, items: Items) -> list[str]:
        """p of all that is random in the bracket that begins here: p(x) of E[x], p(z) of E[E[x | z]]."""
        close = closing(items, 0) if items and items[0] in OPEN else -1
        body = items[1 : max(close, 1)]
        if NOISE & set(leaves(body)):
            self.facts.used |= {"gauss", "normal"}
            return [law_name(STANDARD), "(", LATENT, ")"]
        names = list(dict.fromkeys(self.free_in(body)))
        self.facts.variables |= set(names)
        return ["p", "(", ",".join(names), ")"] if names else []

    def free_in(self, items: Items) -> Iterator[str]:
        """The variables that no mean inside is taken over."""
        at = 0
        while at < len(items):
            item = items[at]
            call = self.conditional(items, at + 1) if item in (r"\E", r"\Var", r"\Cov") else None
            if call is not None:
                yield from (self.roles.variables[letter_of(entry)[0]] for entry in call.givens)
                at += call.end
            elif isinstance(item, list):
                yield from self.free_in(item)
            elif item in self.roles.variables:
                yield self.roles.variables[item]
            at += 1

    def conditional(self, items: Items, at: int) -> Called | None:
        """p(z | x) of E[z | x] and Var[z | x]; None where no variable is given."""
        call = call_at(["p", *items[at:]], 0) if at < len(items) and items[at] in OPEN else None
        if call is None or len(call.targets) != 1 or not call.givens or call.parameters:
            return None
        known = all(letter_of(entry)[0] in self.roles.variables for entry in (*call.targets, *call.givens))
        return call if known else None

    def random(self, items: Items) -> dict[str, str]:
        r"""The letter of E[y] and E[\log y], of which nothing is known: a positive random number."""
        close = closing(items, 0) if items[0] in OPEN else -1
        letters = {item for item in leaves(items[: close + 1]) if item.isalpha() and len(item) == 1}
        known = {*self.roles.variables, *self.roles.densities, *self.definitions, "e"}
        return {next(iter(letters)): "random"} if len(letters) == 1 and not letters & known else {}

    def angle(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
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

    def divergence(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        close = closing(items, at + 1)
        if close < 0:
            raise CannotRead("Expected two laws in brackets after KL, but the bracket is never closed.")
        inside = items[at + 2 : close]
        parts = split_at(inside, (r"\|",))
        for sign in ("|", ",", ":"):
            if len(parts) != 2:
                parts = split_at(inside, (sign,))
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

    def one_law(self, part: Items, bound: Bound, marks: Marks) -> list[str]:
        if part and part[0] in self.roles.variables and len(part) == 1:
            self.facts.mended.append(f"{part[0]} for its law")
            return ["p", "(", self.roles.variables[str(part[0])], ")"]
        if part and part[0] in self.roles.densities and call_at(part, 0) is None:
            return self.bare(self.roles.densities[str(part[0])], part[1:], marks)
        return self.walk_law(part, bound, marks)

    def entropy(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        close = closing(items, at + 1)
        if close < 0:
            return 0
        call = call_at(items, at)
        defined = self.roles.has_guide and str(items[at]) in self.definitions
        known = call is not None and all(entry[0] in self.roles.variables for entry in call.targets)
        if call is not None and of_variables(call) and known and not defined:
            out += self.information(call)
            return call.end
        parts = split_at(items[at + 2 : close], (",",))
        if items[at] not in ENTROPY or any(parameters_of(part, self.roles) is not None for part in parts):
            return 0
        if not all(part and (part[0] in self.roles.densities or part[0] in ("N", r"\cal.N")) for part in parts):
            return 0
        laws = [" ".join(self.one_law(part, bound, marks)) for part in parts]
        out += [r"\mathrm{H}", "(", ", ".join(laws), ")"]
        return close + 1

    def information(self, call: Called) -> list[str]:
        """H(X | Z) and I(X; Z), means under the joint law of all that they speak of."""
        first, second, given = (
            [self.roles.variables[str(entry[0])] for entry in part]
            for part in (call.targets, call.parameters, call.givens)
        )
        if call.letter[-1] == "I" and not second:
            first, second = first[:1], first[1:]
        self.facts.variables |= {*first, *second, *given}
        self.facts.used.add("information")

        def density(names: list[str]) -> list[str]:
            return [r"\log", "p", "(", ",".join(names), *([r"\mid", ",".join(given)] if given else []), ")"]

        body = density([*first, *second])
        if call.letter[-1] == "I":
            body += ["-", *density(first), "-", *density(second)]
        mean = [r"\mathbb{E}", "_", "{", "p", "(", ",".join([*first, *second, *given]), ")", "}", "[", *body, "]"]
        return ["(", *([] if call.letter[-1] == "I" else ["-"]), *mean, ")"]
