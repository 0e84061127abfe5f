r"""Lines up to a constant: \log p(z | x) = \log p(x, z) + \text{const}, p(z | x) \propto p(x, z).

What a constant does not depend on is seldom said. It is the variable whose density the first side is; without one the
latent variable, where a side speaks of one of its values; then q, then an observed variable, then the model. The first
of these on which a side depends decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vaelib.check.chains import Chain, Line
from vaelib.check.comparing import Comparing
from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import leaves
from vaelib.check.options import Options
from vaelib.check.roles import ENTROPY, GUIDE, LATENT, MODEL, call_at
from vaelib.check.terms import BEST_PLACES
from vaelib.check.values import LOOSE, letters_in
from vaelib.check.verdicts import GOOD, Judged
from vaelib.formula import Unreadable

CONSTANT = r"\const"
LETTERS = ("C", "c")  # that stand for a constant where a document has them behind a + at the end of lines alone
PLACES = ([r"\argmax"], [r"\argmin"])  # which no constant changes
_OPEN, _CLOSE = ("(", "[", r"\{", r"\langle"), (")", "]", r"\}", r"\rangle")


def loosened(found: Sequence[Chain]) -> list[Chain]:
    """The same chains, where "= ... + const" is a relation, and the line what is before the constant."""
    letters = tuple(letter for letter in LETTERS if _is_only_added(found, letter))
    return [replace(chain, lines=_loosened(chain.lines, (CONSTANT, *letters))) for chain in found]


def _loosened(lines: Sequence[Line], signs: Sequence[str]) -> list[Line]:
    bodies = [_without(line.items, signs) for line in lines]
    loose = [body is not None and body[:1] not in PLACES for body in bodies]
    relations = [
        "up_to_constant" if line.relation == "=" and any(loose[max(0, i - 1) : i + 1]) else line.relation
        for i, line in enumerate(lines)
    ]
    result = []
    for i, (line, body) in enumerate(zip(lines, bodies, strict=True)):
        beside = relations[max(1, i) : i + 2]  # the relations to the lines above and below
        if body is not None and beside and (not loose[i] or set(beside) <= set(LOOSE)):
            line = replace(line, items=body)
        result.append(replace(line, relation=relations[i]))
    return result


def _without(items: Items, signs: Sequence[str]) -> Items | None:
    """A side without the constant that is added to it, or None where there is none."""
    depth = 0
    for i, item in enumerate(items):
        depth += (item in _OPEN) - (item in _CLOSE)
        if depth or item not in signs or items[i + 1 : i + 2] not in ([], ["+"], ["-"]):
            continue
        if i and items[i - 1] in ("+", "-") and i > 1:
            return [*items[: i - 1], *items[i + 1 :]]
        if not i and len(items) > 1:
            return items[2:] if items[1] == "+" else items[1:]
    return None


def _is_only_added(found: Sequence[Chain], letter: str) -> bool:
    """Whether a letter is nothing but the end of sums: then nothing says what it is."""
    lines = [line.items for chain in found for line in chain.lines]
    ends = sum(items[-2:] == ["+", letter] for items in lines)
    return 0 < ends == sum(leaves(items).count(letter) for items in lines)


class UpToConstants(Comparing):
    """Whether two lines differ by a constant, or by a constant factor."""

    def pair(self, above: Line, relation: str, below: Line) -> Judged:
        """Whether `above relation below` holds on every setting, under some reading."""
        if relation not in LOOSE:
            return super().pair(above, relation, below)
        if self._are_places(above, below):
            return replace(super().pair(above, "=", below), relation=relation)
        first: Judged | None = None
        for names in self._along(above, below):
            results = [self.read_in_all_ways(above, relation, below, name) for name in names]
            if results[0] is None:
                continue
            good = next((each for each in results if each is not None and each.verdict in GOOD), None)
            if good is None or (first is not None and first.verdict != "does not follow"):
                first = first or results[0]
            elif first is None:
                return good
            else:
                says = "It holds for a constant that may depend on q, and what this one may depend on is not said."
                return replace(first, verdict="no meaning", says=says, values=None)
        return first or Judged(below, "no meaning", "Neither side depends on anything: two numbers always differ so.")

    def _along(self, above: Line, below: Line) -> Iterator[list[str]]:
        """What a constant may be meant not to depend on, the likeliest first."""
        items = above.items[1:] if above.items[:1] == [r"\log"] else above.items
        call = call_at(items, 0) if items and items[0] in self.roles.densities else None
        if call is not None and call.end == len(items):
            entries = [str(entry[0]) for entry in (*call.targets, *call.givens) if entry]
            if named := [self.roles.variables[letter] for letter in entries if letter in self.roles.variables]:
                yield named
                return
        yield [LATENT, *self.roles.observed]
        observed = [[name] for name in self.roles.observed]
        guides = {letter for letter, kind in self.roles.densities.items() if kind == GUIDE}
        averaged = {r"\E", r"\KL", *ENTROPY, *guides} & letters_in([*above.items, *below.items])
        yield from [[GUIDE], *observed] if averaged else [*observed, [GUIDE]]
        yield [MODEL]

    def _are_places(self, *lines: Line) -> bool:
        """Whether both sides are where something is largest or least, which no constant changes."""
        try:
            return all({term.over for term, _, _ in self._terms(line.items, Options())} & BEST_PLACES for line in lines)
        except (CannotRead, Unreadable):
            return False
