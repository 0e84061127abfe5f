"""Write notebooks/teach/syllabus.md, the three ways through the course with their cells: python tools/syllabus.py

The ways are data, in tools/ways.py; minutes are those of tools/minutes.py. `--check` writes nothing and names what no
longer fits: a section that is gone, a session that is too long.
"""

from __future__ import annotations

import sys
from pathlib import Path

from minutes import EXERCISES, ROOT
from sections import Section, find, halves, notebook, sections
from start import assumed, chapters
from ways import LONGEST, SEMESTER, WAYS, Part, Session, Way

from vaelib.tasks import task

PAGE = Path("notebooks") / "teach" / "syllabus.md"


def chosen(part: Part, root: Path = ROOT) -> tuple[Section, ...]:
    """The sections of a part, each once; raises ValueError for one that its notebook lacks."""
    if part.half:
        return halves(part.notebook, root)[part.half - 1]
    if part.sections:
        return tuple(dict.fromkeys(find(part.notebook, id, root) for id in part.sections))
    return sections(notebook(part.notebook, root))


def minutes(session: Session, root: Path = ROOT) -> int:
    """How long a session takes, with 15 minutes for its exercises."""
    return EXERCISES + sum(section.count.notebook for part in session.parts for section in chosen(part, root))


def faults(way: Way, root: Path = ROOT) -> list[str]:
    """What does not fit: one sentence for each session that cannot be held as it is written."""
    found = []
    for session in way.sessions:
        try:
            taken = minutes(session, root)
        except ValueError as error:
            found.append(f"{way.name}, {session.title}: {error}")
            continue
        if taken > LONGEST:
            found.append(f"{way.name}, {session.title}: expected at most {LONGEST} minutes, but got {taken}.")
    return found


def laid_out(number: int, session: Session, root: Path = ROOT) -> list[str]:
    """One session: its head, its sections in a table, its exercises."""
    lines = [f"**{number}. {session.title}**, {minutes(session, root)} minutes", ""]
    lines += ["| notebook | section | cells | minutes |", "|:--|:--|:--|--:|"]
    for part in session.parts:
        for section in chosen(part, root):
            lines.append(f"| {section.notebook} | {section.link()} | {section.shown} | {section.count.notebook} |")
    if session.exercises:
        first, *rest = (f"{id} {task(id).title} ({task(id).minutes} min)" for id in session.exercises)
        lines += ["", f"Exercise: {first}." + (f" Afterwards: {'; '.join(rest)}." if rest else "")]
    return [*lines, ""]


def told(way: Way, root: Path = ROOT) -> list[str]:
    """One way: for whom, to what end, session by session, and what it leaves out."""
    lines = [f"## {way.name}", "", f"For {way.whom}. At the end you can {way.ends}.", "", way.before, ""]
    for number, session in enumerate(way.sessions, start=1):
        lines += laid_out(number, session, root)
    if way.without:
        builds = assumed(way.notebooks, chapters(root))
        lines += ["What it leaves out, each told in a sentence:", ""]
        for left_out, sentence in way.without.items():
            of = f" (for {', '.join(builds[left_out])})" if left_out in builds else ""
            lines.append(f"- {left_out}{of}: {sentence}")
        lines.append("")
    return lines


HEAD = f"""# Syllabus

A section opens in JupyterLab with a click, if this page is open
there as a preview. The numbers in brackets are those that JupyterLab, VS Code and Colab show beside a cell after all
cells were run once. Minutes are counted by the rule of `tools/minutes.py`, {EXERCISES} of each session for exercises.

## What you should bring

Calculus and linear algebra of a first year, probability with densities and expectations, and some Python with NumPy.
Notebook 00 asks eight questions to find out, about logarithms, expectations, conditional probabilities, a change of
variables, Gaussians, the Cholesky factor, the chain rule, and broadcasting. Each has a refresher. PyTorch is needed
from notebook 07 on.

## What the course leads to

A model that draws digits that nobody has written, trained by a loss of which you can derive every term. On the way:
why the evidence is hard, what a wrong belief costs, the bound by several routes, gradients through random draws, a
linear VAE that can be solved on paper, bounds from both sides, collapse and its cures, missing pixels, and an audit of
code with planted bugs. The formulas are checked by the computer as soon as they are written, and so are your own.
"""


def page(root: Path = ROOT) -> str:
    """The syllabus, in Markdown."""
    lines = [HEAD]
    lines += ["## The notebooks", "", "| no. | notebook | it asks | builds on |", "|:--|:--|:--|:--|"]
    for one in chapters(root):
        question = one.question.replace("|", "\\|")
        lines.append(
            f"| [{one.number}](../{one.file}) | {one.title} | {question} | {', '.join(one.after) or 'nothing'} |"
        )
    lines.append("")
    for way in WAYS:
        lines += told(way, root)
    lines += [
        "## To hold a session",
        "",
        f"For the {len(SEMESTER.sessions)} sessions of the semester there are plans, minute by minute: "
        + ", ".join(f"[{number}]({number}.md)" for number in ["00", *SEMESTER.notebooks])
        + ".",
        "",
        "[Glossary](glossary.md), [notation](notation.md), [index of the identities](identities.md), "
        "[how grading works](grading.md).",
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    found = [sentence for way in WAYS for sentence in faults(way)]
    for sentence in found:
        print(sentence)
    if not found and "--check" not in arguments:
        (ROOT / PAGE).write_text(page(), encoding="utf-8")
        print(f"{PAGE.as_posix()}: written")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
