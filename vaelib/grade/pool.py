"""Many submissions at a time: each with its own judge, a process that is ended when it goes astray.

Nothing that a submission does, or that judging it does, ends the grading of the others. What ends it is `CannotGrade`,
when no submission could be run here, and Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from vaelib.grade import isolation, wire
from vaelib.grade.bench import too_long
from vaelib.grade.box import PACKAGE
from vaelib.grade.channel import Channel, Ended
from vaelib.grade.collect import HandedIn
from vaelib.grade.isolation import CannotGrade
from vaelib.grade.limits import Limits, adopt_orphans, children, close_to_others
from vaelib.grade.submission import RESTARTS, Story, Submission
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, Feedback
from vaelib.tasks import tasks_of

SILENCE = 60.0  # seconds after which a judge that gives no sign of life is ended
TRIES = 2  # judges that may be lost before an exercise is under way


@dataclass
class Graded:
    """What became of one submission."""

    feedback: dict[str, Feedback] = field(default_factory=dict)  # by exercise
    story: Story = field(default_factory=Story)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Conditions:
    """Under which submissions run here: how they are kept apart, and the limits that could not be set, in words."""

    kind: str
    unset: tuple[str, ...]

    def __str__(self) -> str:
        without = f" No limit could be set here on {', '.join(self.unset)}." if self.unset else ""
        return isolation.SAYS[self.kind] + without


@cache
def conditions(limits: Limits | None = None) -> Conditions:
    """The best that works here, tried once; raises CannotGrade if nothing does."""
    reasons = []
    for kind in isolation.available():
        try:
            with Submission(HandedIn("", "", "00", ("1 + 1",)), (), limits or Limits(), kind) as trial:
                if not trial.story.damaged:
                    return Conditions(kind, tuple(trial.unset))
                reasons.append(trial.story.damaged)
        except CannotGrade as error:
            reasons.append(str(error))
    raise CannotGrade(reasons[-1])


class Judge:
    """A judge's process, and what was said to it."""

    def __init__(self) -> None:
        how: dict[str, Any] = {"start_new_session": True} if isolation.POSIX else {}
        if hasattr(subprocess, "CREATE_NEW_PROCESS_GROUP"):
            how["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP  # Ctrl-C is not for it
        self._folder = isolation.new_folder()  # for the folders of its submissions, should it leave one
        self._folder.chmod(0o711)
        root = str(PACKAGE.parent)
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"PYTHONPATH": paths} | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self._folder))
        command = [sys.executable, "-P", "-X", "utf8", "-m", "vaelib.grade.bench", str(os.getpid())]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, bufsize=0, env=os.environ | own, **pipes, **how)
        self.channel = Channel(self.process, wire.TRUSTED)
        try:
            self.channel.receive(time.monotonic() + SILENCE)
        except (Ended, wire.Broken) as reason:
            self.end()
            words = self.channel.printed.decode(errors="replace").strip().splitlines()
            raise CannotGrade(f"The process that judges does not start: {words[-1] if words else reason}") from reason

    def end(self) -> None:
        isolation.stop(self.process)
        self.channel.close()
        isolation.remove(self._folder)


class Pool:
    """Threads, each with a judge, that take submissions until there are none, or until they are stopped."""

    def __init__(self, submissions: list[HandedIn], seed: int, limits: Limits, at_once: int) -> None:
        self._submissions, self._seed, self._limits = submissions, seed, limits
        self._kind = conditions(limits).kind
        self._left: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(submissions)):
            self._left.put(index)
        self._results: queue.SimpleQueue[tuple[int, Graded | BaseException]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._judges: dict[int, Judge] = {}
        at_once = min(at_once, len(submissions))
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(at_once)]

    def results(self) -> Iterator[tuple[int, Graded]]:
        """(index, what became of it), as they finish; whatever interrupts this ends all processes."""
        before = set(children(os.getpid()))
        adopts, closed = adopt_orphans(), close_to_others()
        try:
            for thread in self._threads:
                thread.start()
            for _ in self._submissions:
                index, graded = self._next()
                if isinstance(graded, BaseException):
                    raise graded
                yield index, graded
        finally:
            self._stopped.set()
            for judge in list(self._judges.values()):
                judge.end()
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(10)
            if adopts:
                isolation.sweep(but=before)
                adopt_orphans(False)
            if closed:
                close_to_others(False)

    def _next(self) -> tuple[int, Graded | BaseException]:
        while True:
            with contextlib.suppress(queue.Empty):  # Windows notices Ctrl-C only between two waits
                return self._results.get(timeout=0.5)

    def _work(self) -> None:
        me = threading.get_ident()
        try:
            while not self._stopped.is_set():
                try:
                    index = self._left.get_nowait()
                except queue.Empty:
                    break
                try:
                    self._results.put((index, self._graded(me, self._submissions[index])))
                except BaseException as error:  # CannotGrade, or a fault of the grader: both are told aloud
                    self._results.put((index, error))
                    break
        finally:
            if me in self._judges:
                self._judges.pop(me).end()

    def _graded(self, me: int, handed_in: HandedIn) -> Graded:
        started = time.monotonic()
        graded = Graded()
        tasks = list(tasks_of(handed_in.notebook))
        lost = 0
        while set(tasks) - set(graded.feedback) and not self._stopped.is_set():
            if me not in self._judges:
                self._judges[me] = Judge()
            under_way: list[str] = []
            try:
                self._follow(self._judges[me], handed_in, graded, under_way)
                break
            except (Ended, wire.Broken) as reason:
                self._judges.pop(me).end()
                if set(tasks) <= set(graded.feedback):
                    break  # all verdicts are there; only what is near them was still looked for
                lost += 1
                graded.notes.append(f"{under_way[-1] if under_way else 'Its cells'}: the judge was lost, {reason}.")
                if under_way:
                    feedback = Feedback(NOT_YET, ("Not yet.", *too_long(self._limits)), task=under_way[-1])
                    graded.feedback[under_way[-1]] = feedback
                elif lost >= TRIES:
                    graded.story.damaged = f"while its cells ran, {reason}"
                    break
        for id in tasks:
            blank = Feedback(NOT_ATTEMPTED, ("Could not be graded.",), task=id)
            graded.feedback[id] = graded.feedback.pop(id, blank)  # in their order
        graded.seconds = time.monotonic() - started
        return graded

    def _follow(self, judge: Judge, handed_in: HandedIn, graded: Graded, under_way: list[str]) -> None:
        """Hands the submission to a judge and notes what it says; raises Ended if it is lost, in time or altogether."""
        files = str(handed_in.files.resolve()) if handed_in.files is not None else ""
        about = {"notebook": handed_in.notebook, "cells": handed_in.cells, "files": files}
        how = {"seed": self._seed, "limits": asdict(self._limits), "kind": self._kind}
        judge.channel.send(time.monotonic() + SILENCE, about | how | {"skipped": list(graded.feedback)})
        limits = self._limits
        stage = 2 * RESTARTS * limits.cells + 2 * limits.exercise + 4 * limits.judging + SILENCE
        until = time.monotonic() + stage
        while True:
            message, _ = judge.channel.receive(min(until, time.monotonic() + SILENCE))
            if "cannot" in message:
                raise CannotGrade(message["cannot"])
            if "failed" in message:
                raise Ended(message["failed"])
            if "at" in message:
                under_way.append(message["at"])
                until = time.monotonic() + stage
            elif "feedback" in message:
                said = message["feedback"]
                id = message["task"]
                near = {"nearest": said["nearest"], "change": said["change"]}
                graded.feedback[id] = Feedback(said["state"], tuple(said["lines"]), said["mistake"], id, **near)
            elif "story" in message:
                graded.story = story_of(message["story"])
                if "done" in message:
                    return


def story_of(said: dict[str, Any]) -> Story:
    """The story as a judge tells it, whose keys became words on the way."""
    cells = {name: {int(cell): text for cell, text in said[name].items()} for name in ("errors", "ended")}
    return Story(**(said | cells | {"output": said["output"].encode()}))
