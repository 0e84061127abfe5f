r"""Who is to blame: the line that does not follow, or what a name in it was said to mean.

A bound is often defined with a slip, and used rightly further down, \log p(x) = \mathcal{L} + KL(q || p(z|x)). Where a
line does not follow with what the document says of \mathcal{L}, but does with the usual meaning of that letter, the
definition is blamed if one change makes it say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from vaelib.check.chains import Line
from vaelib.check.latex import CannotRead
from vaelib.check.options import USUAL, Options
from vaelib.check.repairing import Repairing, Wrong
from vaelib.check.verdicts import GOOD, Judged, composed_with, sentence
from vaelib.formula import Unreadable

FIXED = r"\word.ELBO"  # a name that means one thing only, up to its sign
SLIPS = ("sign", "KL swapped", "logarithm", "upside down")  # a bound with one of them is none


class Blaming(Repairing):
    """Lines beside definitions."""

    def compared(self, line: Line, good: list[tuple[Line, str]]) -> Judged:
        """A line beside the ones above it: the nearest first."""
        first: Judged | None = None
        for above, relation in reversed(good):
            composed = composed_with(relation, line.relation)
            broken = first is not None and first.verdict == "does not follow"
            if broken and line.relation == "=" and composed != "=" and id(good[-1][0]) not in self.wrong:
                composed = "="  # an inequality further up does not make an equality good
            if composed == "?":
                continue
            result = self.pair(above, composed, line)
            if result.verdict in ("follows", "sloppy"):
                return result
            if first is None or (first.verdict != "does not follow" and result.verdict == "does not follow"):
                first = result
        if first is not None:
            return first
        try:
            self._formulas(line.items, Options())
        except (CannotRead, Unreadable) as error:
            return Judged(line, "cannot be read", sentence(error))
        return Judged(line, "no meaning", "There is no line above that it can be compared with.")

    def weighed(self, result: Judged, good: list[tuple[Line, str]], lines: Sequence[Line]) -> Judged:
        """The same verdict, or another where a name that the line speaks of was defined wrongly."""
        if result.unsaid in self.foreseen:
            with self._undefined(result.unsaid):
                self.definitions[result.unsaid] = self.foreseen[result.unsaid]
                further = self.compared(result.line, good)
            return further if further.verdict == "does not follow" else result
        if result.verdict in ("no meaning", "definition"):
            return self._slipped(result, lines)
        if result.verdict != "does not follow" or result.above is None:
            return result
        for key in self._names_in(result.above, result.line):
            if key in USUAL:
                with self._undefined(key):
                    usual = self.compared(result.line, good)
                    sound = usual.verdict in GOOD and self._is_tight(usual)
                if sound:
                    if key in self.tainted or self._blamed(key, usual, result):
                        return usual
            elif key in self.tainted:
                says = f"It speaks of {key.split('.')[-1]}, which a line that does not follow has defined."
                return replace(result, verdict="no meaning", says=says, values=None)
        return result

    def noted(self, result: Judged, lines: Sequence[Line], at: int) -> None:
        """Keeps in mind which names this line has defined."""
        line = lines[at]
        wrong = result.verdict == "does not follow"
        for name, body in line.named:
            self.define(name, body)
            if wrong:
                self.tainted.add(self._names(name))
        if result.verdict == "definition":
            if line.relation == ":=" and (key := self._names(line.items)):
                if any(id(above) in self.wrong for above in lines[:at]):
                    self.tainted.add(key)
            elif at == 1 and (key := self._names(lines[0].items)):
                self.origins[key] = result, lines[0]
                self.tainted.discard(key)

    def _names_in(self, *lines: Line) -> Iterator[str]:
        """The names in some lines that the document defines."""
        used = {word for line in lines for word in self._read_used(line.items)}
        yield from sorted(word.removeprefix("defined:") for word in used if word.startswith("defined:"))

    @contextmanager
    def _undefined(self, key: str) -> Iterator[None]:
        """While a name has its usual meaning."""
        before, later, used = dict(self.definitions), dict(self.later), dict(self.used)
        self.definitions.pop(key, None)
        self.later.pop(key, None)
        try:
            yield
        finally:
            self.definitions, self.later, self.used = before, later, used

    def _blamed(self, key: str, usual: Judged, result: Judged) -> bool:
        """Whether one change makes a definition say what a line further down takes it to be; then it is blamed."""
        if key not in self.origins:
            return False
        origin, name = self.origins[key]
        with self._undefined(key):
            found = self._as_wrong(origin, name, usual.options or Options())
        if not found.repair or found.repairs_above:
            return False
        origin.verdict, origin.repair, origin.kind = "does not follow", found.repair, found.kind
        where = f"row {result.line.row}" + (f" of cell {result.line.cell}" if result.line.cell else "")
        origin.says = f"With this meaning of {key.split('.')[-1]}, {where} does not hold; with the usual one it does."
        self.wrong.add(id(origin.line))
        self.tainted.add(key)
        return True

    def _is_tight(self, usual: Judged) -> bool:
        """Whether it is an equation, or a bound that is met where q is the posterior: it does not hold by accident."""
        if usual.relation == "=" or usual.above is None or usual.options is None:
            return True
        above, below = (self._terms(line.items, usual.options) for line in (usual.above, usual.line))
        wrong = Wrong(usual.relation, "", above, below, usual.options)
        return self._is_met(wrong, below) or self._is_met(replace(wrong, other=below), above)

    def _as_wrong(self, origin: Judged, name: Line, options: Options) -> Judged:
        judged = Judged(origin.line, "does not follow", "", name.source, above=name, options=options, relation="=")
        return self.repaired(judged, [name, origin.line])

    def _slipped(self, result: Judged, lines: Sequence[Line]) -> Judged:
        """An ELBO that is none, but would be with one sign, divergence or logarithm put right."""
        if result.verdict == "definition":
            if len(lines) < 2 or result.line is not lines[1] or self._names(lines[0].items) != FIXED:
                return result
            above, options = lines[0], Options()
            with self._undefined(FIXED):
                usual = self.pair(above, "=", result.line)
                found = self._as_wrong(result, above, options) if usual.unsaid else result
        elif result.unsaid == FIXED and result.above is not None:
            found = self.repaired(replace(result, verdict="does not follow"), lines)
        else:
            return result
        if not found.repair or found.kind not in SLIPS:
            return result
        if result.verdict == "definition":
            self.tainted.add(FIXED)
        says = "It is not the evidence lower bound, but would be with one change."
        return replace(found, verdict="does not follow", says=says)
