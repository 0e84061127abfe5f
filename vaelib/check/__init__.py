r"""People's derivations, checked: a document goes in, and for each of its lines comes out whether it follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vaelib.check.chains import chains
from vaelib.check.documents import Document, NotADocument, document
from vaelib.check.documents import read as read_document
from vaelib.check.judging import Judge, Judged
from vaelib.check.roles import roles_of, told

__all__ = ["Checked", "NotADocument", "check", "check_text"]


@dataclass(frozen=True)
class Checked:
    """A document and the verdicts on its lines, in order."""

    name: str
    reading: str
    lines: tuple[Judged, ...]

    @property
    def total(self) -> int:
        """Lines, that is relations; what only starts a chain claims nothing."""
        return sum(judged.line.relation != "" for judged in self.lines)

    @property
    def judged(self) -> int:
        return sum(judged.judged for judged in self.lines if judged.line.relation)


def check(path: str, lets: Iterable[str] = ()) -> Checked:
    """The verdicts on the lines of a file; `-` is standard input."""
    return checked(read_document(path), lets)


def check_text(text: str, kind: str = "", lets: Iterable[str] = ()) -> Checked:
    """The same for a text."""
    return checked(document("-", text, kind), lets)


def checked(read_: Document, lets: Iterable[str] = ()) -> Checked:
    found = chains(read_)
    formulas = [line.items for chain in found for line in chain.lines]
    roles = roles_of(formulas, told(lets))
    judge = Judge(roles)
    flat = [sign for items in formulas for sign in _leaves(items)]
    judge.foresee(found)
    judge.labels, judge.scales = labels_of(formulas, roles)
    judge.reached = reaches(found, roles)
    judge.summed_only = r"\int" not in flat and r"\sum" in flat
    lines = [judged for chain in found for judged in judge.chain(chain)]
    return Checked(read_.name, roles.spoken(), tuple(lines))


def labels_of(formulas: list, roles) -> tuple[set[str], set[str]]:  # type: ignore[no-untyped-def]
    """The labels of all means and scales, and which letters stand for scales."""
    from vaelib.check.latex import CannotRead
    from vaelib.check.reading import moment_at

    labels: set[str] = set()
    scales: set[str] = set()

    def look(items: list) -> None:
        bound = {name: "parts" for name in ("i", "j", "k", "l", "d")}
        for i, item in enumerate(items):
            if isinstance(item, list):
                look(item)
            elif item in (r"\mu", r"\sigma", r"\Sigma") and item not in roles.variables:
                try:
                    labels.add(moment_at(items, i, roles, bound)[1])
                except CannotRead:
                    continue
                scales.add(item)

    for items in formulas:
        look(items)
    return labels, scales


def reaches(found: list, roles) -> bool:  # type: ignore[no-untyped-def]
    """Whether a document says somewhere that q is a posterior of p: q(z) = p(z | x)."""
    from vaelib.check.roles import GUIDE, MODEL, call_at

    for chain in found:
        kinds = set()
        for line in chain.lines:
            first = line.items[0] if line.items else None
            if isinstance(first, str) and first in roles.densities:
                call = call_at(line.items, 0)
                if call is None or call.end == len(line.items):
                    kinds.add(roles.densities[first])
            elif first == r"\hat" and len(line.items) > 1 and line.items[1][:1] in (["q"], ["Q"]):
                kinds.add(GUIDE)
        if {GUIDE, MODEL} <= kinds:
            return True
    return False


def _leaves(items: list) -> list[str]:
    found: list[str] = []
    for item in items:
        found += _leaves(item) if isinstance(item, list) else [item]
    return found
