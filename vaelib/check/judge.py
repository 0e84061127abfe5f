r"""Verdicts: each line is evaluated beside the one above it, on every setting, under every reading.

A line that does not follow is compared with the good lines above it, too, and those that follow from it are not blamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from vaelib.check.blaming import Blaming
from vaelib.check.chains import Chain, Line
from vaelib.check.latex import CannotRead
from vaelib.check.options import Options
from vaelib.check.stating import is_a_law, is_a_product_of_laws
from vaelib.check.terms import BEST_PLACES
from vaelib.check.values import letters_in
from vaelib.check.verdicts import Judged, Unfit, composed_with, sentence
from vaelib.derivation import IllTyped
from vaelib.formula import Unreadable

GRADIENT = {r"\nabla", r"\partial"}


class Judge(Blaming):
    """The lines of a document, one after the other."""

    def chain(self, chain: Chain) -> list[Judged]:
        """The verdicts of a chain, in order."""
        with np.errstate(all="ignore"):  # what is infinite decides nothing
            return self._chain(chain)

    def _chain(self, chain: Chain) -> list[Judged]:
        done: list[Judged] = []
        good: list[tuple[Line, str]] = []  # lines that may be compared with, with the relation of the last to each
        for i, line in enumerate(chain.lines):
            try:
                result = self._about_something(self.line(line, good, chain.lines, i))
            except Exception as error:  # no document may end a run
                says = f"The checker itself failed at this line ({type(error).__name__}), which is its own fault."
                result = Judged(line, "cannot be read", says)
            with suppress(Exception):  # then nothing is said, but the verdict stays
                result = self.weighed(result, good, chain.lines)
            if result.verdict == "does not follow":
                with suppress(Exception):
                    result = self.repaired(result, chain.lines)
            done.append(result)
            self.noted(result, chain.lines, i)
            good = [(above, composed_with(relation, line.relation or "=")) for above, relation in good]
            if result.verdict == "does not follow":
                self.wrong.add(id(line))
            elif result.verdict in ("start", "definition", "follows"):
                self.sound.append(line)
            if result.verdict != "cannot be read":
                good.append((line, "="))
        return done

    def line(self, line: Line, good: list[tuple[Line, str]], lines: Sequence[Line], at: int) -> Judged:
        if line.fault:
            return Judged(line, "cannot be read", line.fault)
        if line.relation == "":
            return self._start(line, lines)
        if line.relation == "~" and at == 1 and (drawn := self.drawn_from(lines[0], line)):
            return drawn
        named = self.label_of(line.items) is not None
        if line.relation in ("~", "in") or (self._names_what_is_drawn(line, lines, at) and named):
            return Judged(line, "definition", "A statement about a law.")
        if at == 1 and (drawn := self._drawn(lines[0], line)):
            return drawn
        if at == 1 and (defined := self._defines(lines[0], line) or self._ties(lines[0], line)):
            return self._with_its_measure(self._excused(defined))
        if at and line.relation in ("=", ":=") and is_a_law(line.items) and named:
            return Judged(line, "definition", "A law is assumed here.", lines[at - 1].source)
        if line.relation == ":=" and self._names(line.items):
            self.define(line.items, lines[at - 1].items, always=True)
            return Judged(line, "definition", compared_with=lines[at - 1].source)
        line = replace(line, relation="=") if line.relation == ":=" else line
        result = self.compared(line, good)
        if result.verdict in ("cannot be read", "no meaning") and self._names_what_is_drawn(line, lines, at):
            return Judged(line, "definition", "A statement about a law.")
        if result.verdict == "does not follow" and line.premise:
            says = "A condition, or one of two statements that are said to be equivalent: it claims nothing by itself."
            return replace(result, verdict="no meaning", says=says, values=None)
        if (
            result.verdict == "does not follow"
            and line.items == ["0"]
            and any(GRADIENT & letters_in(each.items) for each in lines[:at])
        ):
            says = "A condition: where it is met is the place that is looked for."
            return replace(result, verdict="no meaning", says=says, values=None)
        if result.verdict == "does not follow" and is_a_product_of_laws(line.items) and not self.in_letters:
            says = "Laws are named here for the first time: then this says what p and q are."
            return replace(result, verdict="no meaning", says=says, values=None)
        return self._with_its_measure(self._excused(result))

    def _with_its_measure(self, result: Judged) -> Judged:
        r"""The same; but an integral over \phi of a density of z is told of once."""
        if not result.measure or result.measure in self.measured:
            return result
        self.measured.add(result.measure)
        says = f"The integral is over {result.measure}, which is not a variable of what is integrated."
        return replace(result, verdict="does not follow", says=says)

    def _excused(self, result: Judged) -> Judged:
        """The same; but where something was assumed that is not put in, a line may hold with that."""
        above = [] if result.above is None else result.above.items
        if result.verdict != "does not follow" or not (assumed := self._not_put_in([*above, *result.line.items])):
            return result
        says = f"{assumed}, and that is not put in: with it, this may hold."
        return replace(result, verdict="no meaning", says=says, values=None)

    def _names_what_is_drawn(self, line: Line, lines: Sequence[Line], at: int) -> bool:
        """Whether z ~ q(z) goes on with the name of a law, = N(m, S), and with nothing more."""
        if not at or line.relation != "=" or lines[at - 1].relation != "~":
            return False
        return lines[at - 1].items[0] in self.roles.densities and is_a_law(line.items)

    def _about_something(self, result: Judged) -> Judged:
        r"""\argmax_q f where f does not depend on q says nothing."""
        places = BEST_PLACES | {rf"\{place}" for place in BEST_PLACES}
        if result.verdict not in ("definition", "follows") or not places & letters_in(result.line.items[:1]):
            return result
        try:
            side = self._terms(result.line.items, Options())
            (values,) = self._values([side], Options(), 2)
        except (CannotRead, Unreadable, IllTyped, Unfit):
            return result
        if side[0][1].facts.unknown or not np.all(np.ptp(values, axis=1) < 1e-12):
            return result
        says = "What is made largest or least does not depend on what it is varied over."
        return replace(result, verdict="does not follow", says=says)

    def _start(self, line: Line, lines: Sequence[Line]) -> Judged:
        if [each.relation for each in lines[1:2]] == ["~"]:
            return Judged(line, "start")  # x | z, which is drawn from a law
        try:
            self._formulas(line.items, Options())
        except (CannotRead, Unreadable) as error:
            if not (len(lines) > 1 and self._names(line.items)):
                return Judged(line, "cannot be read", sentence(error))
        return Judged(line, "start")
