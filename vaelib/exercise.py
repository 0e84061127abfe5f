"""What a student calls: `check("04.2", answer)`, `hint("04.2")`, `progress()`.

What was tried is noted in a file beside the notebook, `.vaelib-progress.json`, and nowhere else.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vaelib._latex import prose
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, Feedback, judge
from vaelib.reply import Answer, can_interrupt
from vaelib.task import Task
from vaelib.tasks import all_tasks, task

__all__ = ["Text", "check", "hint", "progress"]

FILE = ".vaelib-progress.json"
IDLE = 20 * 60  # seconds without a check that are no work


@dataclass(frozen=True)
class Text:
    """What is printed as it is, and shown by a notebook as Markdown."""

    plain: str
    markdown: str = ""

    def __repr__(self) -> str:
        return self.plain

    def _repr_markdown_(self) -> str:
        return self.markdown or prose(self.plain)


@dataclass(frozen=True)
class Note:
    """What is noted of one exercise. `mistake` is the last known mistake, made `repeated` times in a row."""

    state: str = NOT_ATTEMPTED
    tries: int = 0
    hints: int = 0
    mistake: str = ""
    repeated: int = 0
    seconds: float = 0.0  # of work, as far as the checks tell
    last: float = 0.0


# ------------------------------------------------------------------------------------------------- what is called


def check(id: str, answer: Any, seed: int = 0) -> Feedback:
    """Is the answer right? If not, what does it look like?

    Args:
        id: of the exercise, "04.2".
        answer: a function, a number, an array, an Estimate, a SymPy expression, a word, or a list of lines.
        seed: of the questions that are drawn.
    """
    asked = task(id)
    feedback = replace(judge(asked, Answer(answer), seed), task=id)
    if not can_interrupt() and callable(answer):
        feedback = replace(feedback, lines=(*feedback.lines[:4], "(An endless loop could not be interrupted here.)"))
    if feedback.state != NOT_ATTEMPTED:
        _note(id, feedback)
    return feedback


def hint(id: str) -> Text:
    """The next of three hints; what a mistake that came twice calls for, first."""
    asked = task(id)
    notes = _read()
    note = notes.get(id, Note())
    known = next((m for m in asked.mistakes if m.name == note.mistake), None)
    if known is not None and note.repeated >= 2:
        notes[id] = replace(note, repeated=0)
        _write(notes)
        return Text(f"The same twice. {known.says} {known.next or asked.next}")
    index = min(note.hints, 2)
    notes[id] = replace(note, hints=min(note.hints + 1, 3))
    _write(notes)
    return Text(f"Hint {index + 1} of 3. {asked.hints[index]}")


def progress(export: bool = False) -> Text | Path:
    """What is done, what was tried, what is left, as a table; with `export`, a file to keep instead."""
    notes = _read()
    if export:
        path = Path("vaelib-progress.json").resolve()
        path.write_text(_as_json(notes), encoding="utf-8")
        return path
    tasks = all_tasks()
    rows = [_row(asked, notes.get(id, Note())) for id, asked in tasks.items()]
    done = sum(notes.get(id, Note()).state == RIGHT for id in tasks)
    left = sum(asked.minutes for id, asked in tasks.items() if notes.get(id, Note()).state != RIGHT)
    head = f"{done} of {len(tasks)} right, {len(tasks) - done} left, about {left} minutes."
    table = "\n".join(
        [f"**{head}**", "", "| | exercise | | tries | hints | minutes |", "|:--|:--|:--|--:|--:|--:|", *rows]
    )
    return Text(table.replace("**", ""), table)


def _row(asked: Task, note: Note) -> str:
    spent = f"{note.seconds / 60:.0f} of {asked.minutes}" if note.tries else f"{asked.minutes}"
    state = note.state if note.tries else "left"
    return f"| {asked.id} | {prose(asked.title)} | {state} | {note.tries} | {note.hints} | {spent} |"


# -------------------------------------------------------------------------------------------------- what is noted


def _note(id: str, feedback: Feedback) -> None:
    notes = _read()
    note = notes.get(id, Note())
    now = time.time()
    latest = max((other.last for other in notes.values()), default=0.0)
    worked = min(max(now - latest, 0.0), IDLE) if latest else 0.0
    again = feedback.mistake != "" and feedback.mistake == note.mistake
    notes[id] = replace(
        note,
        state=RIGHT if RIGHT in (note.state, feedback.state) else NOT_YET,
        tries=note.tries + 1,
        mistake=feedback.mistake,
        repeated=note.repeated + 1 if again else int(feedback.mistake != ""),
        seconds=note.seconds + worked,
        last=now,
    )
    _write(notes)


def _read() -> dict[str, Note]:
    """The notes; a file that cannot be read is moved aside, not written over."""
    path = Path(FILE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(id): Note(**note) for id, note in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        try:
            path.replace(path.with_suffix(".damaged.json"))
        except OSError:
            pass
        return {}


def _write(notes: dict[str, Note]) -> None:
    """In one step, so that a file is there whole or not at all; a folder that is read-only keeps no notes."""
    path, beside = Path(FILE), Path(FILE + ".new")
    try:
        beside.write_text(_as_json(notes), encoding="utf-8")
        beside.replace(path)
    except OSError:
        pass


def _as_json(notes: dict[str, Note]) -> str:
    return json.dumps({id: asdict(note) for id, note in sorted(notes.items())}, indent=1)
