"""What is said of a line, and how the relations of a chain compose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vaelib.check.chains import Line
from vaelib.check.options import Options
from vaelib.derivation.compare import compose

GOOD = ("follows", "sloppy")
VERDICTS = ("start", "definition", "follows", "does not follow", "cannot be read", "no meaning", "sloppy")


@dataclass
class Judged:
    """A line and what is said of it.

    Args:
        verdict: one of VERDICTS.
        says: a sentence; empty where there is nothing to say.
        compared_with: the source of the line that it was compared with.
        values: of that line and of this one, on the first setting that tells them apart.
        repair: the nearest right line, with its relation, in the letters of the document; empty if none was found.
        above: the line that it was compared with.
        relation: to that line: "=" and ">=" together are ">=".
        options: under which reading.
        repairs_above: whether the repair is one of the line above, after which this one follows.
    """

    line: Line
    verdict: str
    says: str = ""
    compared_with: str = ""
    values: tuple[float, float] | None = None
    repair: str = ""
    measure: str = ""  # the variable of an integral that should be another one
    above: Line | None = None
    options: Options | None = None
    repairs_above: bool = False
    relation: str = ""
    unsaid: str = ""  # a name that was taken in its usual meaning, with which the line does not hold
    kind: str = ""  # of the change that the repair makes

    @property
    def judged(self) -> bool:
        return self.verdict in ("follows", "does not follow", "sloppy", "definition")


class Unfit(ValueError):
    """Two lines that cannot be compared; the message says why."""


class Idle(Unfit):
    """Two lines up to a constant, neither of which depends on what the constant may not depend on."""


class Unsaid(Unfit):
    """A line that does not hold with the usual meaning of a name that the document does not define."""

    def __init__(self, key: str) -> None:
        self.key = key
        name = key.split(".")[-1]
        super().__init__(f"Nothing says what {name} means, and with its usual meaning it does not hold.")


def composed_with(first: str, second: str) -> str:
    """Two relations in a row, "?" where nothing follows."""
    if "approx" in (first, second):
        return "approx" if {first, second} <= {"=", "approx"} else "?"
    if first == "?" or second in ("~", "in", "?"):
        return "?"
    second = "=" if second == ":=" else second
    first = "=" if first == ":=" else first
    return compose([first, second]) or "?"


def severity(result: Judged) -> int:
    """The charitable reading first: what has no meaning under one reading is not held against the writer."""
    return ("does not follow", "no meaning", "cannot be read").index(result.verdict)


def sentence(error: Exception) -> str:
    """What an error says, in the words of a document: its names are in no scope, but are said to mean something."""
    said = str(error).split("\n")[0]
    unknown = re.match(r"Expected a (?:name|law|density)\b.* that the scope knows.*?, but got ([^ ]+?)\.(?: |$)", said)
    return f"Nothing says what {unknown[1]} means." if unknown else said


def symbol_of(relation: str) -> str:
    return {"<=": "≤", ">=": "≥", "!=": "≠", "approx": "≈"}.get(relation, relation)
