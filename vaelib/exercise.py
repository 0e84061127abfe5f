"""What a student calls: `check("04.2", answer)`, `hint("04.2")`, `case("04.2")`, `progress()`; in class `yours`.

None of them raises anything, whatever it is given, but Ctrl-C. What was tried is noted by `notes.py`.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vaelib import notes
from vaelib._latex import marked, prose, unmarked
from vaelib._printable import printable
from vaelib.almost import with_place
from vaelib.bans import Guarded
from vaelib.contained import contained
from vaelib.feedback import NOT_ATTEMPTED, NOT_YET, RIGHT, Feedback, is_easily_typed
from vaelib.judge import our_fault, with_case
from vaelib.notes import FILE, Note, Notes
from vaelib.reply import Arguments, can_interrupt, handed_over
from vaelib.solution import as_typed, is_stub
from vaelib.task import Task, exercise_id
from vaelib.tasks import FILES, UnknownExercise, after, all_in_class, all_tasks, task, tasks_of

__all__ = ["Text", "case", "check", "hint", "progress", "solution", "yours"]

IDLE = 20 * 60  # seconds without a check that do not count as work
EXPORT = FILE.removeprefix(".")

here: list[str] = []  # notebooks whose exercises were asked for in this kernel, the last one last
failed: dict[str, Arguments] = {}  # the arguments in which the last check of an exercise failed
nearest: dict[str, str] = {}  # the one change that would have made the answer of that check right


@dataclass(frozen=True)
class Text:
    """What is printed as it is, and shown by a notebook as Markdown."""

    plain: str
    markdown: str = ""

    def __repr__(self) -> str:
        return unmarked(self.plain)

    def _repr_markdown_(self) -> str:
        return self.markdown or marked(self.plain)


# --------------------------------------------------------------------------------------------------------- checking


def check(id: Any, answer: Any = ..., seed: int = 0) -> Feedback:
    """Is the answer right? If not, what does it look like?

    Args:
        id: of the exercise, "04.2"; 4.2 or "4,2" are understood, too.
        answer: a function, a number, an array, an Estimate, a SymPy expression, a word, or a list of lines.
        seed: of the questions that are drawn, a whole number >= 0.

    Example: check("04.1", kl_normal), with the function itself, not its value
    """
    asked = _task(id)
    if isinstance(asked, str):
        swapped = not callable(id) or type(answer) is not str
        return Feedback(NOT_ATTEMPTED, (asked if swapped else 'The id comes first: `check("04.2", answer)`.',))
    if type(seed) is not int or seed < 0:
        return Feedback(NOT_ATTEMPTED, ("Expected `seed` to be a whole number, 0 or larger.",), task=asked.id)
    try:
        with contained() as traces:
            feedback = replace(with_case(asked, Guarded(answer, kinds=asked.forbidden), seed), task=asked.id)
            with suppress(Exception):  # the verdict is there, and no search for what is near it may spoil it
                feedback = with_place(asked, answer, feedback, seed)
        return _noted(asked, _with_case(asked, feedback), [_uninterrupted(answer), str(traces)])
    except Exception as error:
        return replace(our_fault(error), task=asked.id)


def case(id: Any) -> dict[str, Any] | Text:
    """The arguments in which the last `check` of this exercise failed, by name; a fresh copy each time.

    Example: kl_to_prior(*case("04.2").values()) repeats the call
    """
    asked = _task(id)
    if isinstance(asked, str):
        return Text(asked)
    if asked.id not in failed:
        return Text(f"No check of {asked.id} in this notebook has failed on a case that could be shown.")
    return {name: handed_over(argument) for name, argument in failed[asked.id].items()}


def _with_case(asked: Task, feedback: Feedback) -> Feedback:
    """The failing case is kept, and where it is not written out in full, it is said how to get it."""
    failed.pop(asked.id, None)
    nearest.pop(asked.id, None)
    if feedback.change:
        nearest[asked.id] = feedback.change
    if not feedback.case:
        return feedback
    failed[asked.id] = feedback.case
    if is_easily_typed(feedback.case):
        return feedback
    verdict, where, *rest = feedback.lines
    return replace(feedback, lines=(verdict, f'{where} `case("{asked.id}")` returns these arguments.', *rest))


def _uninterrupted(answer: Any) -> str:
    return "" if can_interrupt() or not callable(answer) else "(An endless loop could not be interrupted here.)"


def _noted(asked: Task, feedback: Feedback, remarks: list[str]) -> Feedback:
    """The check is noted, and after a right answer the next exercise is named."""
    if feedback.state in (RIGHT, NOT_YET):
        noted = notes.change(asked.id, lambda note, others: _after_check(note, others, feedback))
        if feedback.right and not asked.in_class:
            feedback = replace(feedback, lines=(*feedback.lines, _what_next(asked, noted)))
    remarks.append(notes.to_be_said())
    return replace(feedback, note=" ".join(remark for remark in remarks if remark))


def _after_check(note: Note, others: Notes, feedback: Feedback) -> Note:
    now = time.time()
    latest = max((other.last for other in others.values() if other.last <= now), default=0.0)  # clocks may be set back
    again = feedback.mistake != "" and feedback.mistake == note.mistake
    return replace(
        note,
        state=RIGHT if RIGHT in (note.state, feedback.state) else NOT_YET,
        tries=note.tries + 1,
        mistake=feedback.mistake,
        repeated=note.repeated + 1 if again else int(feedback.mistake != ""),
        seconds=note.seconds + (min(now - latest, IDLE) if latest else 0.0),
        last=now,
    )


def _what_next(asked: Task, noted: Notes) -> str:
    def done(id: str) -> bool:
        return noted.get(id, Note()).state == RIGHT

    following = after(asked.id, done)
    number = asked.id[:2]
    ours = tasks_of(number)
    count = f"{sum(map(done, ours))} of {len(ours)} done here"
    if following is None:
        return f"{count}, and that was the last one of the course."
    if following.id in ours:
        return f"Next: {following.id} {following.title} ({following.level}), {count}."
    return f"{count}. Next, in notebook {following.id[:2]}: {following.id} {following.title} ({following.level})."


# --------------------------------------------------------------------------------------------------------- in class


def yours(id: Any, function: Any = ...) -> Any:
    """Your function, if it is right; otherwise the course's own, so that the notebook goes on. What it is, is shown.

    Args:
        id: of a task in class, "03.a"; "3a" and "03a" are understood, too.
        function: what you have written; judged as `check` judges it, within the same limits of time.

    Returns:
        A callable for the cells below. Where the id is not that of a task in class: what was handed over.

    Example: kl = yours("03.a", kl)
    """
    asked = _task(id)
    if isinstance(asked, str) or not asked.in_class:
        other = 'The id comes first, then the function: `kl = yours("03.a", kl)`.'
        if not isinstance(asked, str):
            other = f'{asked.id} is an exercise: `check("{asked.id}", {asked.name})` says whether your answer is right.'
        _show(Text(asked if isinstance(asked, str) and not callable(id) else other))
        return function
    feedback = check(asked.id, function)
    if feedback.right:
        _show(replace(feedback, lines=(*feedback.lines, f"The notebook goes on with your `{asked.name}`.")))
        return function
    ours = f"the notebook goes on with the course's own `{asked.name}`"
    if feedback.state == NOT_ATTEMPTED and (is_stub(function) or not callable(function)):
        _show(Text(f'{asked.id} is not written yet, and {ours} meanwhile. `hint("{asked.id}")` helps you to begin.'))
    else:
        _show(replace(feedback, lines=(*feedback.lines, f"Until yours is right, {ours}.")))
    return asked.own


def solution(id: Any) -> Text:
    """The course's own code of a task in class, to be read after you have tried."""
    asked = _task(id)
    if isinstance(asked, str):
        return Text(asked)
    if not asked.in_class:
        return Text(
            f'Solutions are shown of tasks in class only. `hint("{asked.id}")` helps with the exercise {asked.id}.'
        )
    code = as_typed(asked)
    return Text(code, f"```python\n{code}\n```")


def _show(what: Any) -> None:
    """As Markdown in a notebook, as text elsewhere."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(what)
    else:
        print(printable(repr(what)))


# -------------------------------------------------------------------------------------------------- hints, progress


def hint(id: Any) -> Text:
    """The next of three hints, the third with the one change that is missing; after it, what else there is to do."""
    asked = _task(id)
    if isinstance(asked, str):
        return Text(asked)
    before = notes.read().get(asked.id, Note())
    notes.change(asked.id, lambda note, _: replace(note, hints=min(note.hints + 1, 3), repeated=0))
    if before.hints >= 3:
        text = _no_more_hints(asked, before)
    else:
        again = f"That was the same mistake again ({before.mistake}). " if before.repeated >= 2 else ""
        text = f"{again}Hint {before.hints + 1} of 3. {asked.hints[before.hints]}"
    change = f"One change is missing in your last answer: {nearest[asked.id]}." if asked.id in nearest else ""
    return Text(" ".join(filter(None, [text, change if before.hints >= 2 else "", notes.to_be_said()])))


def _no_more_hints(asked: Task, note: Note) -> str:
    if note.state == RIGHT:
        return f"You have seen the three hints to {asked.id}, and your answer is right."
    number = asked.id[:2]
    if asked.in_class:
        return f'These were the three hints to {asked.id}. `solution("{asked.id}")` shows how the course does it.'
    text = (
        f"There are no hints to {asked.id} beyond these three. Look up its formulas in notebook {number} "
        f"({FILES[number][1:]}), do the smallest case on paper, and then show your teacher how far you came."
    )
    return f'{text} `case("{asked.id}")` returns the numbers at which you failed.' if asked.id in failed else text


def progress(notebook: Any = None, *, all: bool = False, export: bool = False) -> Text | Path:
    """What is done, what was tried and what is left, as a table: of this notebook, and of all exercises tried so far.

    Args:
        notebook: "04" or 4, for the exercises of that notebook alone.
        all: every exercise of the course.
        export: writes the notes to a file, vaelib-progress.json, and returns its path; otherwise nothing is written.
    """
    noted = notes.read()
    if export:
        return _exported()
    tasks, lesson = all_tasks(), all_in_class()
    number = "" if notebook is None else _notebook(notebook)
    if number is None:
        return Text(f"There is no notebook {exercise_id(notebook)}. There are {min(FILES)} to {max(FILES)}.")

    def shown(ids: Any) -> list[str]:
        if number:
            return [id for id in ids if id[:2] == number]
        ours = {*here[-1:]}
        return [id for id in ids if all or id[:2] in ours or noted.get(id, Note()).tries or noted.get(id, Note()).hints]

    return _table(tasks, shown(tasks), lesson, shown(lesson), noted)


def _exported() -> Text | Path:
    try:
        path = Path(EXPORT).resolve()
        notes.export(path)
    except OSError as error:
        return Text(f"{EXPORT} cannot be written here ({error.strerror or type(error).__name__}).")
    return path


def _table(
    tasks: dict[str, Task], shown: list[str], lesson: dict[str, Task], in_class: list[str], noted: Notes
) -> Text:
    def right(ids: Any) -> int:
        return sum(noted.get(id, Note()).state == RIGHT for id in ids)

    left = sum(tasks[id].minutes for id in shown if noted.get(id, Note()).state != RIGHT)
    head = f"{right(shown)} of {len(shown)} right, about {left} minutes left." if shown else "Nothing was tried yet."
    if len(shown) < len(tasks):
        head += f" In the whole course: {right(tasks)} of {len(tasks)}."
    lines = [f"**{head}**"]
    if shown:
        lines += ["", *_top("exercise"), *(_row(tasks[id], noted.get(id, Note())) for id in shown)]
    if in_class:
        lines += ["", f"**In class: {right(in_class)} of {len(in_class)} right.**", ""]
        lines += [*_top("task"), *(_row(lesson[id], noted.get(id, Note())) for id in in_class)]
    if len(shown) < len(tasks):
        lines += ["", "`progress(all=True)` shows every exercise."]
    lines += [text for text in [notes.to_be_said()] if text]
    table = "\n".join(lines)
    return Text(table.replace("**", ""), table)


def _top(what: str) -> list[str]:
    return [f"| | {what} | | tries | hints | minutes so far | minutes planned |", "|:--|:--|:--|--:|--:|--:|--:|"]


def _row(asked: Task, note: Note) -> str:
    spent = f"{note.seconds / 60:.0f}" if note.tries else ""
    state = note.state if note.tries else "left"
    return f"| {asked.id} | {prose(asked.title)} | {state} | {note.tries} | {note.hints} | {spent} | {asked.minutes} |"


def _task(id: Any) -> Task | str:
    """The exercise; or, where there is none, what there is, in one line."""
    try:
        found = task(id)
    except UnknownExercise as error:
        return str(error)
    here.append(found.id[:2])
    return found


def _notebook(typed: Any) -> str | None:
    """The number of a notebook, "04", for 4, "4", "04" and for the id of an exercise; None if there is none."""
    text = exercise_id(typed)[:2].strip(".")
    number = f"{int(text):02d}" if text.isdecimal() else ""
    return number if number in FILES else None
