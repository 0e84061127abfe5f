"""The verdict on one submission, and the process in which it is reached: `python -m vaelib.grade.bench`.

A judge evaluates what students wrote, so it has limits, too, and may be ended: what is judged by then is known to the
one who started it, and another judge goes on with the next exercise.
"""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from vaelib import almost
from vaelib.grade import isolation, wire
from vaelib.grade.collect import HandedIn
from vaelib.grade.isolation import CannotGrade
from vaelib.grade.limits import (
    Limits,
    adopt_orphans,
    close_to_others,
    die_with_the_one_who_started_this,
    soften_memory,
)
from vaelib.grade.submission import Asked, Story, Submission
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, UNDECIDED, Feedback, judge
from vaelib.nearest.python import Edit
from vaelib.reply import NoReply
from vaelib.task import Task
from vaelib.tasks import tasks_of

BEAT = 1.0  # seconds between two signs of life
MEMORY = 4 << 30  # bytes that a judge may take

Say = Callable[[dict[str, Any]], None]


class Overtime(BaseException):
    """A verdict took too much of the processor; no `except Exception` on the way catches it."""


@contextlib.contextmanager
def overtime(seconds: float) -> Iterator[None]:
    """Raises Overtime in the block after so many seconds of this process's own work, where the system can."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expired(number: int, frame: FrameType | None) -> None:
        raise Overtime

    before = signal.signal(signal.SIGPROF, expired)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


@dataclass
class Bench:
    """Judges the exercises of one submission, one after the other, and says each verdict as it is reached.

    The first process of the submission lacks whatever any of its exercises forbids. An answer that is right there is
    right. Any other is asked again in a process that lacks only what its own exercise forbids.
    """

    handed_in: HandedIn
    seed: int
    limits: Limits
    kind: str
    say: Say
    skipped: tuple[str, ...] = ()  # exercises that are judged already
    story: Story = field(default_factory=Story)
    _open: dict[tuple[str, ...], Submission] = field(default_factory=dict)

    def judge_all(self) -> None:
        asked = tasks_of(self.handed_in.notebook).values()
        tasks = [task for task in asked if task.id not in self.skipped]
        together = tuple(sorted({kind for task in asked for kind in task.forbidden}))
        wrong: list[tuple[Task, Feedback]] = []
        try:
            self._submission(together)
            for task in tasks:
                self.say({"at": task.id})
                feedback = self._judged(task, together)
                if feedback.state != RIGHT and self._deserves_more(task, together, feedback):
                    feedback = self._judged(task, task.forbidden)
                self.say({"feedback": as_json(feedback), "task": task.id})
                if feedback.state == NOT_YET and not feedback.mistake and not feedback.nearest:
                    wrong.append((task, feedback))
            self.say({"story": story_as_json(self.story)})
            for task, feedback in wrong:
                if (nearer := self._with_place(task, feedback, together)) is not feedback:
                    self.say({"feedback": as_json(nearer), "task": task.id})
        finally:
            for submission in self._open.values():
                submission.stop()
        self.say({"done": True, "story": story_as_json(self.story)})

    def _submission(self, kinds: tuple[str, ...]) -> Submission:
        if kinds not in self._open:
            story = self.story if not self._open else Story(ended=dict(self.story.ended), odd=self.story.odd)
            found = Submission(self.handed_in, kinds, self.limits, self.kind, story)
            self._open[kinds] = found
            found.__enter__()
        return self._open[kinds]

    def _deserves_more(self, task: Task, together: tuple[str, ...], feedback: Feedback) -> bool:
        if tuple(sorted(task.forbidden)) == together:
            return False
        return feedback.state != NOT_ATTEMPTED or bool(self.story.forbidden)

    def _judged(self, task: Task, kinds: tuple[str, ...]) -> Feedback:
        """The verdict; what judging it raises costs this exercise alone."""
        kinds = tuple(sorted(kinds))
        try:
            with overtime(self.limits.judging):
                return judge(task, Asked(self._submission(kinds), task), self.seed)
        except CannotGrade:
            raise
        except Overtime:
            self._open[kinds].restart()
            return Feedback(NOT_YET, ("Not yet.", *too_long(self.limits)), task=task.id)
        except Exception as error:
            why = wire.text(f"{type(error).__name__}: {_words(error)}")
            self.story.note(f"The check of {task.id} failed on the answer: {why}")
            return Feedback(UNDECIDED, ("Undecided.", f"The check itself failed on this answer: {why}"), task=task.id)

    def _with_place(self, task: Task, feedback: Feedback, together: tuple[str, ...]) -> Feedback:
        """The feedback with a question about the place where one change makes the answer right, if there is one.

        The verdicts are known by now: a submission that does harm here loses nothing but this question.
        """
        submission = self._open.get(tuple(sorted(task.forbidden)), self._open[together])
        submission.judged = True

        def changed(edit: Edit, quickly: bool) -> Asked:
            return Asked(submission, task, ast.unparse(edit.tree), almost.EACH)

        try:
            with overtime(self.limits.judging):
                source, line, modules = submission.ask_source(task)
                found = almost.search(task, source, changed, self.seed, almost.SECONDS, modules)
        except (NoReply, Overtime, ValueError, RecursionError, MemoryError):
            return feedback
        return feedback if found is None else almost.told(feedback, found, line - 1, task.name)


def too_long(limits: Limits) -> tuple[str, str]:
    return (
        f"The verdict on this answer took more than {limits.judging:g} s and was given up.",
        "Write it shorter: is there a term that is repeated again and again?",
    )


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(no words)"


# ------------------------------------------------------------------------------------------------------- as messages


def as_json(feedback: Feedback) -> dict[str, Any]:
    lines = [wire.text(line, 2000) for line in feedback.lines]
    near = {"nearest": feedback.nearest, "change": wire.text(feedback.change, 1000)}
    return {"state": feedback.state, "lines": lines, "mistake": feedback.mistake} | near


def story_as_json(story: Story) -> dict[str, Any]:
    return asdict(story) | {"output": wire.text(story.output.decode(errors="replace"), 1 << 16)}


def main() -> None:
    """Judges what comes through standard input, until nothing comes any more."""
    parent = int(sys.argv[1])
    die_with_the_one_who_started_this(parent)
    close_to_others()
    adopt_orphans()
    soften_memory(MEMORY)
    with contextlib.suppress(AttributeError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with lock:
            target.write(wire.encoded(message, limit=wire.TRUSTED))
            target.flush()

    def read(size: int) -> bytes:
        content = source.read(size)
        if len(content) < size:
            os._exit(0)  # nobody is there any more
        return content

    def beat() -> None:
        while True:
            time.sleep(BEAT)
            with contextlib.suppress(OSError, ValueError):
                say({"alive": True})

    threading.Thread(target=beat, daemon=True).start()
    say({"hello": True})
    while True:
        given, _ = wire.receive(read, wire.TRUSTED)
        files = given["files"] and Path(given["files"])
        handed_in = HandedIn("", "", given["notebook"], tuple(given["cells"]), files or None)
        try:
            limits, skipped = Limits(**given["limits"]), tuple(given["skipped"])
            Bench(handed_in, given["seed"], limits, given["kind"], say, skipped).judge_all()
        except CannotGrade as error:
            say({"cannot": str(error)})
        except BaseException as error:
            say({"failed": wire.text(f"{type(error).__name__}: {_words(error)}")})
        isolation.sweep()


if __name__ == "__main__":
    main()
