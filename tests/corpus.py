r"""Small documents, and what the checker says of each of their lines: tests/documents/*.md.

    python tests/corpus.py tests/documents/bounds.md            # what it says now
    python tests/corpus.py --write tests/documents/bounds.md    # and keep that: read the difference before you do

A file holds cases. Below "=== a title" is a document, and below "---" a verdict for each of its lines. What belongs to
a line is below its verdict: what is said, the nearest right line, and how the line was read, in the names of the
witnesses.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from vaelib.check import repairing
from vaelib.check.document import prepared
from vaelib.check.documents import document
from vaelib.check.judge import Judge
from vaelib.check.latex import CannotRead
from vaelib.check.options import Options
from vaelib.check.verdicts import Judged
from vaelib.formula import Unreadable

FOLDER = Path(__file__).parent / "documents"


@dataclass(frozen=True)
class Case:
    """A document, and what is expected of it."""

    title: str
    text: str
    expected: str


def cases(path: Path) -> list[Case]:
    """The cases of a file, in order."""
    found = []
    for part in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, expected = part.partition("\n---\n")
        title, _, text = head.partition("\n")
        found.append(Case(title.strip(), text.strip("\n"), expected.strip("\n")))
    return found


@mock.patch.multiple(repairing, SECONDS=60.0, TOTAL=60.0)  # what is found may not depend on the machine
def said(text: str) -> str:
    """What the checker says of a document: the verdict of each line, and below it what belongs to the line."""
    judge, found = prepared(document("-", text, "markdown"))
    lines = [(judged, _read(judge, judged)) for chain in found for judged in judge.chain(chain)]
    lines.sort(key=lambda each: each[0].line.block)
    words: list[str] = []
    for judged, reading in lines:  # now, since a later line may have blamed a definition
        words.append(judged.verdict)
        words += [f"    says    {judged.says}"] if judged.says else []
        words += [f"    repair  {judged.repair}"] if judged.repair else []
        words += [f"    reads   {reading}"] if reading else []
    return "\n".join(words)


def _read(judge: Judge, judged: Judged) -> str:
    """The formula of a line in the names of the witnesses, as it is read where it is; nothing if it is not."""
    try:
        side = judge._terms(judged.line.items, judged.options or Options())
    except (CannotRead, Unreadable):
        return ""
    formula = " ".join(f"{_sign(term.sign)} {term.over} {formula.latex}" for term, formula, _ in side)
    return " ".join(f"{judged.line.relation} {formula}".split())


def _sign(sign: float) -> str:
    return "-" if sign < 0 else "+"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    for path in asked.files:
        parts = [f"=== {case.title}\n{case.text}\n---\n{said(case.text)}\n" for case in cases(path)]
        if asked.write:
            path.write_text("\n".join(parts), encoding="utf-8")
        else:
            sys.stdout.write("\n".join(parts))


if __name__ == "__main__":
    main()
