"""Bring every page for the teacher in step with the notebooks: python tools/teach.py

Minutes in the title cells, numbers of cells in the plans, notation, common mistakes, syllabus, glossary and index are
written; what only a person can mend is named, and then the exit status is 1.
"""

from __future__ import annotations

import sys

import answers
import glossary
import identities
import minutes
import mistakes
import notation
import plans
import syllabus
from minutes import ROOT
from ways import WAYS

from vaelib.tasks import FILES


def written() -> dict[str, str]:
    """Page below the root -> what it should hold."""
    made = {
        notation.PAGE.relative_to(ROOT).as_posix(): notation.page(),
        glossary.PAGE.as_posix(): glossary.page(),
        identities.PAGE.as_posix(): identities.page(),
    }
    for notebook in mistakes.notebooks():
        path = mistakes.FOLDER / f"{notebook.name[:2]}.md"
        made[path.relative_to(ROOT).as_posix()] = mistakes.sheet(notebook)
    return made


def main() -> int:
    for notebook in mistakes.notebooks():
        minutes.write(notebook)
        plans.update(notebook)
    wrong = [sentence for way in WAYS for sentence in syllabus.faults(way)]
    made = written() | ({} if wrong else {syllabus.PAGE.as_posix(): syllabus.page()})
    for name, text in made.items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"{name}: written")
    wrong += [sentence for number in sorted(FILES) for sentence in answers.faults(number)]
    print("\n".join(wrong) or "everything is in step")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
