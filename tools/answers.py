"""What a teacher wants to have in the hand: the answers to a notebook. `python tools/answers.py NN` prints them.

Answers to the predictions and the solutions of the tasks in class are taken from the notebook and from vaelib/tasks;
those to what the summary invites to try are written by hand, in notebooks/teach/answers/NN.md. `make instructor` puts
the whole into instructor/teach/. `--check` names what no longer fits.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from minutes import ROOT
from plans import places
from sections import notebook

from vaelib.solution import as_typed
from vaelib.tasks import FILES, in_class

FOLDER = Path("notebooks") / "teach" / "answers"
LONGEST = 6  # lines of an answer


def tried(summary: str) -> list[str]:
    """What a summary invites to try, each as one line, without its number."""
    part = summary.partition("**Try**")[2].partition("**Exercise")[0]
    items = re.split(r"^\d\. |\(\d\) ", part, flags=re.MULTILINE)[1:]
    return [" ".join(item.split()) for item in items]


def written(page: str) -> list[tuple[str, str]]:
    """(what is asked, answer) of a page written by hand: "## the first words of the task ...", then the answer."""
    parts = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    split = [part.partition("\n") for part in parts]
    return [(" ".join(head.split()), body.strip()) for head, _, body in split]


def faults(number: str, root: Path = ROOT) -> list[str]:
    """Where the page written by hand and the notebook do not fit together: a sentence for each."""
    asked = tried(nbformat.read(notebook(number, root), as_version=4).cells[-1].source)
    path = root / FOLDER / f"{number}.md"
    answered = written(path.read_text(encoding="utf-8")) if path.exists() else []
    found = []
    if len(asked) != len(answered):
        found.append(f"{number}: expected {len(asked)} answers, one for each **Try**, but got {len(answered)}.")
    for task, (head, _) in zip(asked, answered, strict=False):
        begins = head.removesuffix("...").strip()
        if not task.startswith(begins) or len(begins.split()) < 4:
            found.append(f"{number}: expected an answer to {task[:60]!r}, but got one to {begins[:60]!r}.")
    return found


def question(cells: list[nbformat.NotebookNode], index: int) -> str:
    """What is asked above a prediction: from **Predict.** on, otherwise the last paragraph."""
    for cell in reversed(cells[:index]):
        if cell.cell_type == "markdown":
            _, found, rest = cell.source.rpartition("**Predict.**")
            asked = rest if found else cell.source.strip().split("\n\n")[-1]
            return " ".join(asked.replace("Put your answer in place of the dots.", "").split())
    return ""


def spoken(cell: nbformat.NotebookNode) -> str:
    """What a cell prints, as stored, without the line that says that nothing was predicted."""
    text = "".join(output.get("text", "") for output in cell.get("outputs", []) if output.output_type == "stream")
    lines = [line for line in text.splitlines() if not line.endswith("nothing yet")]
    return "\n".join(lines[:LONGEST])


def predictions(path: Path) -> list[str]:
    """Each prediction of a notebook with what came out, as lines of Markdown."""
    cells = nbformat.read(path, as_version=4).cells
    place = places(path)
    names: dict[str, int] = {}
    lines = []
    for index, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        for name in re.findall(r"\bcompare\(\s*(prediction\w*)", cell.source):
            if name in names:
                at = cells[names[name]]
                link = f"[{at.id}]({path.name}#cell-id={at.id}) {place[at.id]}"
                lines += [f"- {link}: {question(cells, names[name])}", ""]
                lines += [f"      {line}" for line in spoken(cell).splitlines()] + [""]
        names |= dict.fromkeys(re.findall(r"^(prediction\w*) = \.\.\.", cell.source, re.MULTILINE), index)
    return lines


def page(number: str, root: Path = ROOT) -> str:
    """All answers to one notebook, in Markdown."""
    path = notebook(number, root)
    lines = [f"# Answers to notebook {number}", ""]
    lines.append("For the teacher. A number in brackets is that of a cell after all cells were run once.")
    found = predictions(path)
    if found:
        lines += ["", "## Predictions, and what the next cells print", "", *found]
    tasks = in_class(number) if number in FILES else {}
    if tasks:
        lines += ["", "## Tasks in class"]
        for id, each in tasks.items():
            lines += ["", f"**{id} {each.title}** ({each.minutes} minutes)", "", "```python", as_typed(each), "```"]
    asked = tried(nbformat.read(path, as_version=4).cells[-1].source)
    by_hand = root / FOLDER / f"{number}.md"
    answered = written(by_hand.read_text(encoding="utf-8")) if by_hand.exists() else []
    if asked and not faults(number, root):
        lines += ["", "## What the summary invites to try"]
        for i, (task, (_, answer)) in enumerate(zip(asked, answered, strict=True), start=1):
            lines += ["", f"{i}. *{task}*" if "*" not in task else f"{i}. {task}", "", answer]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def main(arguments: list[str]) -> int:
    numbers = [each for each in arguments if each != "--check"] or sorted(FILES)
    found = [sentence for number in numbers for sentence in faults(number)]
    if "--check" in arguments:
        print("\n".join(found) or "every answer fits")
        return 1 if found else 0
    for number in numbers:
        print(page(number))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
