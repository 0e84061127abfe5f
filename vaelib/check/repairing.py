r"""The nearest right line: the one change after which a line that does not follow does.

A change is tried on one setting of the judge, then on all of them, and those that are left on others that nobody looked
at before. A bound has another mark than its value: it is met where q is the posterior. What fits in several places is
not named.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from vaelib.check.chains import Line
from vaelib.check.defining import Defining
from vaelib.check.latex import CannotRead
from vaelib.check.options import Options
from vaelib.check.terms import BEST_PLACES
from vaelib.check.values import Side, text_of_side
from vaelib.check.verdicts import Judged, Unfit
from vaelib.check.worlds import settings
from vaelib.check.written import in_letters, typed
from vaelib.derivation import IllTyped
from vaelib.formula import Node, Unreadable
from vaelib.formula.binders import WRITTEN
from vaelib.nearest import sifted
from vaelib.nearest.search import WEAK, Repairs
from vaelib.quadrature import DoesNotConverge

SECONDS, TOTAL = 1.2, 2.5  # of the processor, for one line and for all lines of a document
FURTHER = 10  # settings on which a change must hold in the end
TURNED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<"}
NO_VALUE = (CannotRead, Unreadable, IllTyped, Unfit, DoesNotConverge, ArithmeticError, LookupError)


@dataclass(frozen=True)
class Wrong:
    """A line that does not follow, under the reading in which it was judged; or the one above it, turned round.

    Args:
        relation: of the other side to this one.
        sign: how the line's own relation is written.
        other: the side that stays as it is.
        side: the one that is changed.
        at: the term of it that is changed.
        turned: whether `side` is the line above.
    """

    relation: str
    sign: str
    other: Side
    side: Side
    options: Options
    at: int = 0
    turned: bool = False

    @property
    def node(self) -> Node:
        return self.side[self.at][2]

    def changed(self, node: Node) -> Side:
        """The line with another formula."""
        term, formula, _ = self.side[self.at]
        return [*self.side[: self.at], (term, formula, node), *self.side[self.at + 1 :]]


class Repairing(Defining):
    """What a line that does not follow should have been."""

    def repaired(self, result: Judged, lines: Sequence[Line]) -> Judged:
        """The same verdict with the nearest right line, if there is one; if not, with that of the line above."""
        if result.measure:
            return replace(result, repair=self._measured(result))
        if result.repair or result.above is None or result.options is None:
            return result
        start = time.process_time()
        try:
            return self._with_repair(result, lines, start + min(SECONDS, TOTAL - self.spent))
        finally:
            self.spent += time.process_time() - start

    def _with_repair(self, result: Judged, lines: Sequence[Line], until: float) -> Judged:
        assert result.above is not None and result.options is not None
        readings = dict.fromkeys((result.options, *self._options(result.above, result.line)))
        sides = (False,) if id(result.above) in self.wrong else (False, True)  # what is wrong already is not changed
        for options, turned in itertools.product(readings, sides):
            if time.process_time() > until:
                break
            with suppress(*NO_VALUE):
                for wrong in self._wrong(result, options, turned):
                    found = self._nearest(wrong, lines, until)
                    if found is not None:
                        words, kind = found
                        return replace(result, repair=words, kind=kind, repairs_above=turned and bool(words))
        return result

    def _wrong(self, result: Judged, options: Options, turned: bool) -> Iterator[Wrong]:
        """What can be changed: each term of a line whose values are exact."""
        assert result.above is not None
        above, below = (self._terms(line.items, options) for line in (result.above, result.line))
        used = {word for _, formula, _ in [*above, *below] for word in formula.facts.used}
        if any(formula.facts.unknown for _, formula, _ in [*above, *below]) or {"samples", "draws"} & used:
            return
        if turned:
            line, other, side = result.above, below, above
            relation = TURNED.get(result.relation, result.relation)
        else:
            line, other, side, relation = result.line, above, below, result.relation
        sign = WRITTEN.get(line.relation, line.relation)
        for at in range(len(side)):
            yield Wrong(relation, sign, other, side, options, at, turned)

    def _measured(self, result: Judged) -> str:
        """The integral over the variable that is integrated."""
        side = self._terms(result.line.items, result.options or Options())
        wrong = Wrong("=", "=", side, side, result.options or Options())
        return self._says(wrong.sign, side, wrong)

    def _nearest(self, wrong: Wrong, lines: Sequence[Line], until: float) -> tuple[str, str] | None:
        """The nearest right line as LaTeX, and the kind of the change; "" where several fit, None where none does."""
        if place := self._placed(wrong):
            return self._says(wrong.sign, place, wrong), "place"
        relation = self._relation(wrong)
        if relation and wrong.relation != "=":
            return self._says(relation, wrong.side, wrong), "relation"
        found = self._edits(wrong, lines, until)
        strong = replace(found, edits=tuple(edit for edit in found.edits if edit.kind not in WEAK))
        for repair in (strong, found):
            if repair.only is not None:
                return self._says(wrong.sign, wrong.changed(repair.only.formula), wrong), repair.only.kind
            if repair.edits:
                return "", ""
            if relation:
                return self._says(relation, wrong.side, wrong), "relation"
        return None

    def _says(self, relation: str, side: Side, wrong: Wrong) -> str:
        """A line in the letters of the document."""
        words = ["=" if relation == "up_to_constant" else relation]
        for i, (term, formula, node) in enumerate(side):
            written = {**self.written, **formula.facts.written}
            if "sum" in formula.facts.used and "integral" not in formula.facts.used:
                written[r"\int"] = r"\sum"
            sign = "-" if term.sign < 0 else "+" if i else ""
            words += [sign, typed(term.head), in_letters(node, written, self.roles)]
        words += [r"+ \text{const}"] if relation == "up_to_constant" else []
        return " ".join(word for word in words if word)

    def _placed(self, wrong: Wrong) -> Side | None:
        r"""With the \argmax of the other side, where it was left out."""
        (term, formula, node), others = wrong.side[0], {term.over for term, _, _ in wrong.other}
        if term.over or len(wrong.side) != 1 or len(wrong.other) != 1 or not others & BEST_PLACES:
            return None
        other = wrong.other[0][0]
        side = [(replace(term, over=other.over, by=other.by, head=other.head), formula, node)]
        return side if self._holds(wrong, wrong.relation, side, FURTHER) else None

    def _relation(self, wrong: Wrong) -> str:
        """The relation that would hold, as LaTeX: the one turned round, or for an equation that of a bound."""
        if wrong.turned or wrong.relation not in (*TURNED, "="):
            return ""
        for other in [TURNED[wrong.relation]] if wrong.relation in TURNED else [">=", "<="]:
            if wrong.relation != "=" or self._is_met(wrong, wrong.side):
                if self._holds(wrong, other, wrong.side, FURTHER):
                    return WRITTEN.get(other, other)
        return ""

    def _edits(self, wrong: Wrong, lines: Sequence[Line], until: float) -> Repairs:
        chain, known = (list(self._nodes(part, wrong.options)) for part in (lines, self.sound))
        return sifted(wrong.node, chain, self._tests(wrong, until), known)

    def _nodes(self, lines: Sequence[Line], options: Options) -> Iterator[Node]:
        for line in lines:
            with suppress(CannotRead, Unreadable):
                yield from (node for _, _, node in self._terms(line.items, options))

    def _tests(self, wrong: Wrong, until: float) -> Iterator[Callable[[Node], bool]]:
        if not any(term.over for term, _, _ in wrong.other) and not self._varies(wrong):
            yield lambda node: False
        if wrong.turned:  # f = f would say nothing
            yield lambda node: _nodes_of(wrong.changed(node)) != _nodes_of(wrong.other)
        for count in (1, 0, FURTHER):

            def passes(node: Node, count: int = count) -> bool:
                return time.process_time() < until and self._holds(wrong, wrong.relation, wrong.changed(node), count)

            yield passes
        if wrong.relation in TURNED:
            yield lambda node: self._is_met(wrong, wrong.changed(node))
            yield lambda node: not self._holds(wrong, "=", wrong.changed(node), 0)  # a bound that is none

    def _varies(self, wrong: Wrong) -> bool:
        """Where the goal is the same everywhere, nearly every constant would fit."""
        values = self._values([wrong.other], wrong.options)[0]
        return bool(np.ptp(values) > 1e-6 * max(1.0, float(np.abs(values).max())))

    def _is_met(self, wrong: Wrong, side: Side) -> bool:
        """Whether a bound is an equation where q is the posterior."""
        if "q" not in text_of_side(side):
            return False
        return self._holds(replace(wrong, options=replace(wrong.options, reached="p")), "=", side, 0)

    def _holds(self, wrong: Wrong, relation: str, side: Side, count: int) -> bool:
        """Whether a changed line follows: on so many settings, or on those of the judge."""
        bench = self if count <= len(self.settings) else replace(self, settings=settings(count=count))
        plan = self._plan([wrong.other, wrong.side])
        over = {term.over for each in (wrong.other, side) for term, _, _ in each}
        try:
            with np.errstate(all="ignore"):
                values = bench._values([wrong.other, side], wrong.options, count, plan)
                return self._judged(relation, values, 0.0, over, [wrong.other, side])[0] == "holds"
        except NO_VALUE:
            return False


def _nodes_of(side: Side) -> list[Node]:
    return [node for _, _, node in side]
