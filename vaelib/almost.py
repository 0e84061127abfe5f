"""The one change that makes a wrong function right, looked for where no known mistake was found.

A change counts only if the function is then right on every question, at full precision, and on questions of another
seed. If several changes fit, and not at one place, nothing is said.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vaelib.agreement import ask, close, expected, fitted, tolerance
from vaelib.bans import Guarded
from vaelib.feedback import Feedback
from vaelib.judge import judge
from vaelib.nearest.habits import WEAK
from vaelib.nearest.python import Edit, Place, edits, place
from vaelib.reply import Answer, Arguments, NoReply, Reply, Respondent, Seed, can_interrupt
from vaelib.task import Compute, Sample, Task
from vaelib.variant import Original, original, variant

SECONDS = 2.0  # for the whole search
EACH = 0.3  # for one question to one changed function
REPEATS = 3  # draws of an estimator that a change is first tried on
SEVERAL = "one place"  # the kind, where changes of several kinds fit at one place
DIFFERENT = 4  # values of the truth, at least: of fewer, a wrong change may give all

Changed = Callable[[Edit, bool], Respondent]


def with_place(task: Task, answer: Any, feedback: Feedback, seed: int = 0) -> Feedback:
    """The feedback on a function that is wrong in no known way, with a question about the place of the mistake.

    Args:
        task: the exercise.
        answer: what was judged. It is not called; its variants are, on copies of all that they see.
        feedback: the verdict, which stays as it is where there is no single change, or it cannot be looked for.
        seed: of the questions.

    A search that does not end within SECONDS says nothing.

    Example: with_place(task("04.1"), kl_normal, judge(task("04.1"), Answer(kl_normal))).lines
    """
    if feedback.case is None or feedback.mistake or (of := original(answer)) is None or not can_interrupt():
        return feedback
    with _silence():
        found = search(task, of.source, variants(task, of), seed, SECONDS, of.modules)
    return feedback if found is None else told(feedback, found, of.line - 1, of.function.__name__)


def variants(task: Task, of: Original) -> Changed:
    """Edits as answers in this process, on copies of all that the function sees."""

    def changed(edit: Edit, quickly: bool) -> Respondent:
        function = variant(of, edit.tree)
        return Answer(function, EACH) if quickly else Guarded(function, EACH, SECONDS, kinds=task.forbidden)

    return changed


def told(feedback: Feedback, found: Place, above: int, name: str) -> Feedback:
    """The feedback with a place: a question about it as the last line but one, and the change, which is not shown.

    Args:
        above: lines above the function in its cell. name: of the function.
    """
    line = f"line {found.line + above} of {name}"
    where = f"{line}, `{found.code}`" if found.code else line
    change = f"in {line}, {found.edit.says}" if found.edit is not None else ""
    asks = f"One change would make it right. Look at {where}: {found.asks}"
    *first, then = feedback.lines
    return replace(feedback, lines=(*first, asks, then), nearest=found.kind or SEVERAL, change=change)


def search(
    task: Task, source: str, changed: Changed, seed: int, seconds: float, modules: Iterable[str] = ()
) -> Place | None:
    """The place where one edit of the source makes the answer right.

    Args:
        changed: (edit, quickly) -> the answer with that edit, to be asked; raises ValueError if there is none. Quickly
            means for one question, and without a look at what the exercise forbids: most edits fail at that already.
        modules: names of libraries that the function could use, should it use none.
    """
    until = time.monotonic() + seconds
    questions = _questions(task, seed)
    if not questions or time.monotonic() >= until:
        return None
    try:
        candidates = edits(source, modules)
    except ValueError:
        return None
    fit: list[Edit] = []
    for edit in candidates:
        if edit.kind in WEAK and any(each.kind not in WEAK for each in fit):
            break
        if time.monotonic() > until:
            return None
        if _is_right(task, changed, edit, questions[:1], quickly=True) and _is_right(task, changed, edit, questions):
            fit.append(edit)
    confirmed = [edit for edit in fit if time.monotonic() < until and judge(task, changed(edit, False), seed + 2).right]
    return place(confirmed) if time.monotonic() < until else None


def _questions(task: Task, seed: int) -> list[tuple[Arguments, Any]]:
    """What a change is tried on, with the truth: generic questions first, for most changes fail there at once."""
    if isinstance(task, Compute) and not task.choices and callable(task.truth):
        asked: list[Arguments] = [*reversed(task.asked(seed)), *task.asked(seed + 1)[len(task.examples) :]]
        truth = task.truth
    elif isinstance(task, Sample) and task.made is not None:
        asked = [
            question | {"rng": Seed(int(np.random.default_rng([seed, repeat]).integers(2**62)))}
            for question in task.examples
            for repeat in range(REPEATS)
        ]
        truth = task.made
    else:
        return []
    pairs = [(question, expected(truth, question)) for question in asked]
    values = {np.round(value, 12).tobytes() for _, value in pairs if not isinstance(value, str)}
    return pairs if len(values) >= DIFFERENT else []


def _is_right(
    task: Task, changed: Changed, edit: Edit, questions: list[tuple[Arguments, Any]], quickly: bool = False
) -> bool:
    """On every question, at the precision that the exercise asks."""
    try:
        answer = changed(edit, quickly)
        return all(_agrees(task, question, ask(answer, question), truth) for question, truth in questions)
    except (NoReply, ValueError, RecursionError):
        return False


def _agrees(task: Task, question: Arguments, reply: Reply, truth: Any) -> bool:
    reply = fitted(reply, truth)
    if isinstance(reply.value, str):
        return False
    relative = tolerance(task, question, reply) if isinstance(task, Compute) else 1e-9
    return close(reply.value, truth, relative)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What changed functions print, and what NumPy warns of in them, is not shown."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
