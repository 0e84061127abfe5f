"""What a line says of a name, of a law or of a draw, where it claims nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from vaelib.check.chains import Chain, Line
from vaelib.check.gaussians import STANDARD, Family, gaussian_scope
from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import GAUSSIAN, leaves, moment_at, name_at
from vaelib.check.options import ALONE, USUAL, Definition, Formula, Options
from vaelib.check.reading import read
from vaelib.check.roles import (
    ENTROPY,
    GUIDE,
    INFORMATION,
    LATENT,
    MODEL,
    NOISE,
    Called,
    Roles,
    call_at,
    calls,
    letter_of,
    of_variables,
    text_of,
)
from vaelib.check.stated import LETTERS
from vaelib.check.stating import Stating, is_a_law, moments_alone, names_a_law
from vaelib.check.values import LOOSE, letters_in, moments, number_of
from vaelib.check.verdicts import GOOD, Judged, Unfit, sentence
from vaelib.check.written import in_letters, key, typed
from vaelib.derivation import IllTyped
from vaelib.formula import Node, Scope, Unreadable, tex
from vaelib.nearest import sifted

BEST = {r"\argmax", r"\argmin", r"\max", r"\min"}


class Defining(Stating):
    """Definitions, assumptions and draws."""

    def _names(self, items: Items) -> str:
        """The key of the name that this side is, or nothing."""
        if not items:
            return ""
        if items[0] in self.roles.densities:
            call = call_at(items, 0)
            entries = [*call.targets, *call.givens, *call.parameters] if call is not None else []
            if not entries or not all(letter_of(entry)[0] in self.roles.parameters for entry in entries):
                return ""
        if items[0] in self.roles.variables or self._is_information(items):
            return ""
        named = name_at(items, 0, self.roles)
        return named[0] if named is not None and named[2] == len(items) else ""

    def _is_information(self, items: Items) -> bool:
        """Whether this is H(q), H(X | Z) or I(X; Z), whose meaning is known."""
        call = call_at(items, 0) if items[0] in INFORMATION else None
        if call is None or call.end != len(items):
            return False
        of_laws = items[0] in ENTROPY and all(entry[0] in self.roles.densities for entry in call.targets)
        return of_laws or (of_variables(call) and not self.roles.has_guide)

    def _defines(self, name: Line, meaning: Line) -> Judged | None:
        """Whether the first relation of a chain says what a name means."""
        if meaning.relation in LOOSE:
            return self._assumes(name, meaning)
        if meaning.relation not in ("=", ":=") or not name.items or not meaning.items:
            return None
        operators = (r"\max", r"\min")
        if (
            name.items[0] in operators
            and meaning.items[0] == name.items[0]
            and name.items[1:2] == ["_"] == meaning.items[1:2]
        ):
            name, meaning = replace(name, items=name.items[3:]), replace(meaning, items=meaning.items[3:])
            known = {*self.definitions, *self.used, *USUAL}
            if not self._names(name.items) or self._names(name.items) in known:
                return None
        key = self._names(name.items)
        if not key and self._is_information(name.items) and _are_numbers(self.roles, meaning.items):
            return Judged(meaning, "definition", compared_with=name.source)
        if not key:
            return self._assumes(name, meaning)
        informs = call_at(name.items, 0) if key in INFORMATION - set(self.definitions) else None
        if informs is not None and of_variables(informs) and meaning.relation == "=":
            result = self.pair(name, "=", meaning)
            if result.verdict in GOOD:
                return result
        if key in self.used and meaning.relation == "=":
            return None  # it was used before, in its usual meaning
        if key in self.definitions:
            before = self.definitions[key]
            new = name_at(name.items, 0, self.roles)
            if new is not None and new[1] and before.formals:
                if Definition([], tuple(new[1])).of_the_model != before.of_the_model:
                    return self._redefined(name, meaning)
            result = self.pair(replace(name, items=list(name.items)), "=", meaning)
            if result.verdict in ("follows", "sloppy"):
                return result
            averaged = {"p_{d}", "data"} & self._read_used(meaning.items) - self._read_used(before.body)
            if averaged:
                return self._redefined(name, meaning)
            if result.verdict == "does not follow" and meaning.relation == "=" and self._same_kind(key, before, name):
                return None if not self._negated(name, meaning) else self._redefined(name, meaning)
            return self._redefined(name, meaning)
        if meaning.relation == "=" and _holds(meaning.items, _base(name.items)):
            twice = typed(_base(name.items))
            says = f"{twice} is on both sides: this defines nothing, and an update or an equation is not judged."
            return Judged(meaning, "no meaning", says, name.source)
        return self._redefined(name, meaning)

    def _redefined(self, name: Line, meaning: Line) -> Judged:
        self._tie(name, meaning)
        self.define(name.items, meaning.items, always=True)
        try:
            self._formulas(meaning.items, Options())
        except (CannotRead, Unreadable) as error:
            return Judged(meaning, "cannot be read", sentence(error))
        return Judged(meaning, "definition", compared_with=name.source)

    def _read_used(self, items: Items) -> set[str]:
        try:
            return {u for formula in self._formulas(items, Options()) for u in formula.facts.used}
        except (CannotRead, Unreadable):
            return set()

    def _same_kind(self, key: str, before: Definition, name: Line) -> bool:
        return key in (r"\word.ELBO", r"\cal.L", r"\KL") or len(key) > 1

    def _negated(self, name: Line, meaning: Line) -> bool:
        """Whether the name is now minus what it was: a bound that became a loss."""
        flipped = replace(name, items=["-", "(", *name.items, ")"])
        return self.pair(flipped, "=", meaning).verdict in ("follows", "sloppy")

    def _assumes(self, name: Line, meaning: Line) -> Judged | None:
        """p(z) = N(0, I), q(z) = p(z | x): what is assumed of a law claims nothing, unless it holds for every law."""
        items = name.items
        if items[:1] == [r"\log"]:
            items = items[1:]
            items = items[1:-1] if items[:1] == ["("] else items
        if not items or items[0] not in self.roles.densities:
            return None
        call = call_at(items, 0)
        if call is not None and call.end != len(items):
            return None
        if call is None and len(items) > 3:
            return None
        kind = self.roles.densities[str(items[0])]
        decodes = call is not None and bool(call.givens) and kind == MODEL
        if (label := self.label_of(meaning.items)) is not None and not decodes:
            self.assigned.setdefault(kind, label)
        if call is not None and is_a_law(meaning.items) and (stated := self.states(kind, call, name, meaning)):
            return stated
        result = self.pair(name, meaning.relation if meaning.relation in LOOSE else "=", meaning)
        known = text_of(items) in self.laws
        if is_a_law(meaning.items) and call is not None and self.is_the_law(name, call, meaning):
            self.laws.add(text_of(items))
            if not letters_in(meaning.items) & set(GAUSSIAN):
                self.assigned.setdefault(kind, STANDARD)
        if meaning.relation == ":=" and not (name.items[0] == r"\log" and result.verdict in GOOD):
            return Judged(meaning, "definition", "A law is defined here.", name.source)
        if result.verdict in GOOD:
            return result
        other = letters_in(meaning.items)
        written_out = not names_a_law(meaning.items) and not other & set(self.roles.densities)
        if known and written_out:  # which law it is was said: this claims what its density is
            return None if result.verdict == "does not follow" else result
        bayes = {r"\frac", "/", r"\int"} & set(meaning.items) and not names_a_law(meaning.items)
        of_guides = {self.roles.densities[sign] for sign in other if sign in self.roles.densities} == {GUIDE}
        names = self._facts_of(meaning.items).labels - {label for each in self.shapes.values() for label in each.labels}
        claimed = self.claims(kind, call) and not names
        if result.verdict == "does not follow" and (claimed or (kind == GUIDE and bayes and of_guides)):
            return None
        if call is not None and self._is_independence(call, kind, meaning.items):
            self.independent.append(
                {text_of(entry) for entry in (call.targets if len(call.targets) > 1 else call.givens)}
            )
            return Judged(meaning, "definition", "Independence is assumed here.", name.source)
        if kind == GUIDE:
            if call is not None and not call.givens and self._guides(meaning.items, given=True):
                self.averaged = True
            if MODEL in {self.roles.densities.get(sign) for sign in other}:
                self.reached = min(self.reached, name.block)
            return Judged(meaning, "definition", "A law is chosen here.", name.source)
        if call is not None and len(call.targets) > 2 and self._factors(meaning.items, MODEL):
            self.model = True
            return Judged(meaning, "definition", "A model is assumed here.", name.source)
        loose = meaning.relation in LOOSE and result.verdict == "does not follow"  # p(z) \propto \exp(-z^2 / 2)
        shaped = loose and not other & set(self.roles.densities) and not self.claims(kind, call)
        if shaped or other & set(GAUSSIAN) or names_a_law(meaning.items):
            return Judged(meaning, "definition", "A law is assumed here.", name.source)
        return result if result.verdict != "does not follow" else None

    def _tie(self, name: Line, meaning: Line) -> None:
        """Notes of which mean or scale a line says what it is, in other means, scales and letters."""
        signs = {sign for sign in leaves(meaning.items) if sign.isalpha() or sign[:1] == "\\"}
        plain = signs <= {*GAUSSIAN, *LETTERS, *self.roles.variables, r"\frac", r"\sqrt", r"\top", "I", "n", "N"}
        if name.items[0] in GAUSSIAN and signs and plain:
            with suppress(CannotRead):
                self.tied.add(moment_at(name.items, 0, self.roles, {})[1])

    def _ties(self, name: Line, meaning: Line) -> Judged | None:
        r"""1 / \sigma_n^2 = 1 / \sigma_0^2 + n / \sigma^2: an equation that says what a scale is."""
        if meaning.relation != "=" or not moments_alone(name.items):
            return None
        result = self.pair(name, "=", meaning)
        if result.verdict in GOOD:
            return result
        self.tied |= self._facts_of(name.items).labels
        return Judged(meaning, "definition", compared_with=name.source)

    def _not_put_in(self, items: Items) -> str:
        """What was assumed of the laws here, though no setting has it; empty if nothing was."""
        known = {label for shape in self.shapes.values() for label in shape.labels} if self.in_letters else set()
        if self.tied & (self._facts_of(items).labels | known):
            return "More was said of a mean or a scale that is spoken of here"
        if self.particular and self.in_letters:
            return "Numbers were given to letters"
        if self.averaged and self._guides(items, given=False):
            return "q(z) was said to be a mean of q(z | x)"
        if self._guides(items, given=True) and self._guides(items, given=False) and self._averages_over_data(items):
            return "q(z) beside q(z | x) may be its mean over the data"
        spoken = {
            text_of(entry) for call in calls(items, self.roles.densities) for entry in (*call.targets, *call.givens)
        }
        if any(names <= spoken for names in self.independent):
            return "Some variables were said to be independent"
        if self.model and self._of_three(items):
            return "The model was said to be a product"
        return ""

    def _averages_over_data(self, items: Items) -> bool:
        """Whether there is a mean over observed variables alone, E_{p(x)}[...]."""
        for i, item in enumerate(items):
            if isinstance(item, list):
                if self._averages_over_data(item):
                    return True
            elif item == r"\E" and items[i + 1 : i + 2] == ["_"]:
                names = {self.roles.variables[sign] for sign in leaves([items[i + 2]]) if sign in self.roles.variables}
                if names and LATENT not in names:
                    return True
        return False

    def _guides(self, items: Items, given: bool) -> bool:
        """Whether there is a q(z | x), or a q(z)."""
        guides = [letter for letter, kind in self.roles.densities.items() if kind == GUIDE]
        return any(bool(call.givens) == given for call in calls(items, guides))

    def _factors(self, items: Items, kind: str) -> list[Called]:
        """The densities of a product of nothing but densities of p, or of q; none if it is anything more."""
        found: list[Called] = []
        at = 0
        while at < len(items):
            call = call_at(items, at) if self.roles.densities.get(str(items[at])) == kind else None
            if call is None:
                return []
            found.append(call)
            at = call.end
        return found

    def _is_independence(self, call: Called, kind: str, items: Items) -> bool:
        """Whether p(y, z) = p(y) p(z) is said, but not of x and z alone, or p(x | y, z) = p(x | z)."""
        factors = self._factors(items, kind)
        if len(factors) == 1 and factors[0].targets == call.targets and factors[0].givens:
            other = factors[0]
            return len(other.givens) < len(call.givens) and all(entry in call.givens for entry in other.givens)
        if len(factors) < 2 or any(len(each.targets) != 1 or each.givens != call.givens for each in factors):
            return False
        names = {self.roles.variables.get(letter_of(entry)[0]) for entry in call.targets}
        usual = names == {LATENT, *self.roles.observed[:1]} and len(self.roles.observed) == 1
        found = sorted(text_of(each.targets[0]) for each in factors)
        return found == sorted(text_of(entry) for entry in call.targets) and not usual

    def _of_three(self, items: Items) -> bool:
        """Whether its densities are of three variables or more."""
        found = calls(items, self.roles.densities)
        return len({letter_of(entry) for call in found for entry in (*call.targets, *call.givens)}) > 2

    def foresee(self, found: Sequence[Chain]) -> None:
        """What names will mean that are used before they are defined, and which laws are stated behind their use."""
        self._foresee_laws(found)
        for chain in found:
            if len(chain.lines) > 1 and chain.lines[1].relation in ("=", ":="):
                self.define(chain.lines[0].items, chain.lines[1].items)
        self.later, self.definitions = self.definitions, {}
        self.foreseen = {key: meaning for key, meaning in self.later.items() if key in USUAL}
        self.later = {key: meaning for key, meaning in self.later.items() if key not in {*USUAL, "H", "I"}}

    def _foresee_laws(self, found: Sequence[Chain]) -> None:
        """Puts in the laws that the document states once, wherever that is, as in: where p(z) = N(0, 1)."""
        said: dict[str, list[tuple[str, Called, Chain]]] = {}
        for chain in found:
            name, law = chain.lines[0], chain.lines[-1]
            kind = self.roles.densities.get(str(name.items[0])) if len(chain.lines) == 2 and name.items else None
            call = call_at(name.items, 0) if kind is not None and law.relation == "=" and is_a_law(law.items) else None
            if kind is not None and call is not None and (place := self.place(kind, call)):
                said.setdefault(place, []).append((kind, call, chain))
        for statements in said.values():
            if len(statements) == 1:
                kind, call, chain = statements[0]
                self.states(kind, call, chain.lines[0], chain.lines[1])
        self.laws.clear()

    def define(self, name: Items, meaning: Items, always: bool = False) -> None:
        """Notes what a name means; what was noted first stays, unless it is said again."""
        sign = name[:1] == ["-"]
        name = name[1:] if sign else name
        key = self._names(name)
        weight = name[:1] == ["w"] and len(name) > 1  # w_k, w(x, z): an importance weight, and no parameter
        short = len(name) == 1 and name[0] in LETTERS and self.in_letters and not BEST & letters_in(meaning)
        if name and ((name[0] in self.roles.parameters and not weight and not short) or name[0] in GAUSSIAN):
            return
        if not key or (key in self.definitions and not always) or key == r"\cal.N":
            return
        if key.startswith(r"\word.") and key != r"\word.ELBO" and not always:
            return
        named = name_at(name, 0, self.roles)
        assert named is not None
        body = ["-", "(", *meaning, ")"] if sign else list(meaning)
        if key in {named_[0] for named_ in names_in(body, self.roles)}:
            return  # it would lead back to itself
        meaning_ = Definition(body, tuple(named[1]))
        before = self.definitions.get(key)
        for each in (before, meaning_):
            if before is not None and each is not None and each.of_the_model and before.formals:
                self.definitions[key + ALONE] = each
        self.definitions[key] = meaning_

    def _drawn(self, name: Line, meaning: Line) -> Judged | None:
        r"""z = \mu + \sigma \epsilon: whether it has the variance that it should have."""
        items = name.items[1] if name.items[:1] in ([r"\tilde"], [r"\hat"]) else name.items
        if len(items) != 1 or items[0] not in self.roles.variables or meaning.relation not in ("=", ":="):
            return None
        letters = letters_in(meaning.items)
        noise = letters & NOISE
        said = Judged(meaning, "definition", "A variable is drawn here.", name.source)
        first = meaning.items[0]
        if (
            noise
            and first in self.roles.densities
            and (call := call_at(meaning.items, 0))
            and call.end == len(meaning.items)
        ):
            says = "A value is drawn here, but the right side is a density."
            return Judged(meaning, "does not follow", says, name.source, repair=f"= {typed(['g', *meaning.items[1:]])}")
        if len(noise) != 1 or not letters & {r"\sigma", r"\Sigma"}:
            return said
        try:
            formula = read(meaning.items, self.roles, {}, Options())
            node = tex(formula.latex)
            label = next(iter(formula.facts.labels))
            others = letters_in(meaning.items) & {r"\Sigma"}
            family = Family((label,), STANDARD, label, 0, not others, (LATENT,))
            where = gaussian_scope(family, 0)
            values = [number_of(node, replace(where, observed={LATENT: float(noise_)})) for noise_ in (0, 1)]
        except (CannotRead, Unreadable, IllTyped, Unfit, StopIteration):
            return said
        end = f"_{{{label}}}" if label else ""
        mean, variance = (float(tex_value) for tex_value in moments(where, end))
        slope = values[1] - values[0]
        if abs(values[0] - mean) < 1e-9 and abs(slope**2 - variance) < 1e-9:
            return Judged(meaning, "follows", compared_with=name.source)
        if abs(values[0] - mean) < 1e-9 and abs(slope - variance) < 1e-9:
            says = "The noise is multiplied by the variance; then the variance of the result is its square."
            repair = self._rescaled(formula, node, where, (mean, variance))
            return Judged(meaning, "does not follow", says, name.source, (variance, slope**2), repair)
        return said

    def _rescaled(self, formula: Formula, node: Node, where: Scope, moments_: tuple[float, float]) -> str:
        """A draw with the variance that it should have."""
        mean, variance = moments_

        def passes(changed: Node) -> bool:
            with suppress(IllTyped, Unfit, ArithmeticError, ValueError):
                low, high = (number_of(changed, replace(where, observed={LATENT: value})) for value in (0.0, 1.0))
                return abs(low - mean) < 1e-9 and abs((high - low) ** 2 - variance) < 1e-9 and high > low
            return False

        only = sifted(node, [], [passes]).only
        if only is None:
            return ""
        noise = {key(LATENT): next((letter for letter in NOISE if letter in formula.facts.letters), r"\epsilon")}
        return f"= {in_letters(only.formula, {**formula.facts.written, **noise}, self.roles)}"


def _are_numbers(roles: Roles, items: Items) -> bool:
    """Whether 1 - p occurs, where p is not called, so that it is a number."""
    flat = [*leaves(items), "", ""]
    places = [i for i in range(2, len(flat)) if flat[i - 2 : i] == ["1", "-"] and flat[i] in roles.densities]
    return any(flat[i + 1] not in ("(", "[", "_") for i in places)


def _base(items: Items) -> Items:
    r"""A name without a power of it: \sigma of \sigma^2."""
    power = items[-1] if items[-2:-1] == ["^"] else None
    return items[:-2] if power is not None and re.fullmatch(r"(\\frac)?[\d./]+", text_of([power])) else items


def _holds(items: Items, name: Items) -> bool:
    """Whether a name is among the items, or a power of it; another one, that only begins like it, is not."""
    for i, item in enumerate(items):
        end = i + len(name)
        if isinstance(item, list) and _holds(item, name):
            return True
        following = items[end] if end < len(items) else ""
        same = items[i:end] == name and following not in ("_", "'", "(", "*")
        if same and (following != "^" or _base(items[i : end + 2]) == name):
            return True
    return False


def names_in(items: Items, roles: Roles) -> list[tuple[str, list[tuple[str, str]], int]]:
    found = []
    for i, item in enumerate(items):
        if isinstance(item, list):
            found += names_in(item, roles)
        elif named := name_at(items, i, roles):
            found.append(named)
    return found
