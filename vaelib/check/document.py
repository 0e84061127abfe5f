"""A document from beginning to end: its chains, who is who in it, and the verdict on each line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vaelib.check.chains import Chain, chains
from vaelib.check.constants import loosened
from vaelib.check.documents import Document, document
from vaelib.check.documents import read as read_document
from vaelib.check.judge import Judge
from vaelib.check.latex import CannotRead, Group, Items
from vaelib.check.names import GAUSSIAN, moment_at
from vaelib.check.roles import GUIDE, MODEL, Roles, call_at, roles_of, told
from vaelib.check.verdicts import Judged

_DISCRETE = re.compile(r"\bdiscrete\b", re.IGNORECASE)
_PARTICULAR = re.compile(r"\$\s*(?:\\sigma|[abcmrsvwxy])(?:\^2)?\s*=\s*-?[\d./]+\s*\$")  # $w = 2$
_EQUALITY = re.compile(r"\biff\b|only if|equality|tight")


@dataclass(frozen=True)
class Checked:
    """A document and the verdicts on its lines, in order.

    Args:
        name: of the file; "-" for standard input.
        reading: who is who, in one line.
        document: what was read.
    """

    name: str
    reading: str
    lines: tuple[Judged, ...]
    document: Document

    @property
    def total(self) -> int:
        """How many lines claim something: those with a relation to the one above."""
        return sum(judged.line.relation != "" for judged in self.lines)

    @property
    def judged(self) -> int:
        """How many of them have a verdict: they follow, do not follow, or say what a name means."""
        return sum(judged.judged for judged in self.lines if judged.line.relation)

    @property
    def follows(self) -> bool:
        """Whether all that was read follows, and anything was."""
        return not any(judged.verdict == "does not follow" for judged in self.lines)


def check(path: str, lets: Iterable[str] = ()) -> Checked:
    """The verdicts on the lines of a file; `-` is standard input.

    Args:
        lets: roles that are stated, such as "t=latent".

    Raises NotADocument for what is not text, OSError for what cannot be opened, ValueError for an unknown role.
    """
    return checked(read_document(path), lets)


def check_text(text: str, kind: str = "", lets: Iterable[str] = ()) -> Checked:
    r"""The same for a text: check_text(r"$$\log p(x) = \log \int p(x, z)\,dz$$").lines[1].verdict is "follows"."""
    return checked(document("-", text, kind), lets)


def checked(read: Document, lets: Iterable[str] = ()) -> Checked:
    judge, found = prepared(read, lets)
    lines = [judged for chain in found for judged in judge.chain(chain)]
    lines.sort(key=lambda judged: judged.line.block)  # a chain may have been interrupted by another
    return Checked(read.name, judge.roles.spoken(), tuple(lines), read)


def prepared(read: Document, lets: Iterable[str] = ()) -> tuple[Judge, list[Chain]]:
    """The chains of a document, and a judge who has looked through all of it."""
    found = loosened(chains(read))
    formulas = [line.items for chain in found for line in chain.lines]
    roles = roles_of(formulas, told([*_stated(read.text), *lets]))
    judge = Judge(roles)
    judge.labels, judge.scales = _labels(formulas, roles)
    judge.foresee(found)
    judge.reached = _reaches(found, roles, read.text)
    judge.particular = bool(_PARTICULAR.search(read.text))
    signs = {sign for items in formulas for sign in _leaves(items)}
    summed = any(_sums_over_states(items, roles) for items in formulas)
    judge.summed_only = r"\int" not in signs and (summed or bool(_DISCRETE.search(read.text)))
    return judge, found


def _sums_over_states(items: Items, roles: Roles) -> bool:
    r"""Whether a sum goes over the values of a variable, \sum_z or \sum_{z = 1}^K, and not over data."""
    for i, item in enumerate(items):
        if isinstance(item, list):
            if _sums_over_states(item, roles):
                return True
        elif item == r"\sum" and items[i + 1 : i + 2] == ["_"]:
            below = list(_leaves([items[i + 2]]))
            if (below[:1] and below[0] in roles.variables) or not set(below) & set("ijnl"):
                return True
    return False


def _stated(text: str) -> list[str]:
    """Roles that are stated in the document itself: <!-- check: t=latent --> or % check: t=latent."""
    return [
        word
        for line in text.split("\n")
        if "check:" in line and line.lstrip()[:1] in ("%", "<", "#")
        for word in line.partition("check:")[2].replace("-->", " ").replace(",", " ").split()
        if "=" in word
    ]


def _labels(formulas: Sequence[Items], roles: Roles) -> tuple[set[str], set[str]]:
    """The labels of all means and scales, and which letters stand for scales."""
    labels: set[str] = set()
    scales: set[str] = set()
    indices = dict.fromkeys(("i", "j", "k", "l", "d"), "parts")

    def look(items: Items) -> None:
        for i, item in enumerate(items):
            if isinstance(item, list):
                look(Group(item))
            elif item in GAUSSIAN and item not in roles.variables:
                try:
                    labels.add(moment_at(items, i, roles, indices)[1])
                except CannotRead:
                    continue
                scales.add(item)

    for items in formulas:
        look(items)
    return labels, scales


def _reaches(found: Sequence[Chain], roles: Roles, text: str) -> float:
    """The block from which on q may be a posterior of p, as the document says, q(z) = p(z | x); infinity if never.

    What is said behind a formula may belong to it, but not where it says when a bound is an equality.
    """
    rows = text.split("\n")
    for chain in found:
        if {GUIDE, MODEL} <= {_law(line.items, roles) for line in chain.lines if line.relation in ("", "=", ":=")}:
            first = chain.lines[0]
            around = "" if first.cell else " ".join(rows[max(0, first.row - 2) : first.row])
            return first.block - (0 if _EQUALITY.search(around) else 1)
    return math.inf


def _law(items: Items, roles: Roles) -> str:
    """Which density a side is, p or q; nothing if it is neither."""
    first = items[0] if items else None
    if isinstance(first, str) and first in roles.densities:
        call = call_at(items, 0)
        return roles.densities[first] if call is None or call.end == len(items) else ""
    return GUIDE if first == r"\hat" and len(items) > 1 and items[1][:1] in (["q"], ["Q"]) else ""


def _leaves(items: Items) -> Iterator[str]:
    for item in items:
        if isinstance(item, list):
            yield from _leaves(Group(item))
        else:
            yield item
