"""One submission, asked from outside: its processes, the limits on them, and what they reply."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from vaelib.grade import box, isolation, wire
from vaelib.grade.channel import Channel, Ended
from vaelib.grade.collect import HandedIn
from vaelib.grade.isolation import CannotGrade
from vaelib.grade.limits import Limits, peak_megabytes, processes_of_this_user
from vaelib.reply import Arguments, NoReply, Reply
from vaelib.task import Task

RESTARTS = 5  # processes for one submission: a cell that ends the process is skipped in the next
STARTING = 120.0  # seconds until a process must say that it is there
ODD = 20  # notes of what looked odd that are kept
CODE = "import sys; sys.path[:0] = [{copy!r}]; sys.path[1:] = {path!r}; from vaelib.grade.worker import main; main()"
SPARE = 512  # processes that a submission may start, beyond those that the user has already


@cache
def font_lists() -> list[Path]:
    """The list of fonts that Matplotlib has made on this machine, so that no submission need make its own."""
    try:
        return sorted(Path(importlib.import_module("matplotlib").get_cachedir()).glob("fontlist-*.json"))
    except (ImportError, OSError, RuntimeError):
        return []


@dataclass
class Story:
    """What happened to a submission, gathered over all its processes.

    Attributes:
        errors: cell -> the first error in it. ended: cell -> why it ended the process. odd: what is worth a look.
        touched: something that an exercise does not allow was missed by a cell.
    """

    errors: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    damaged: str = ""
    odd: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    output: bytes = b""
    megabytes: float = 0.0

    def note(self, text: str) -> None:
        if text not in self.odd and len(self.odd) < ODD:
            self.odd.append(text)


@dataclass
class Submission:
    """`with Submission(handed_in, kinds) as submission`: a process that runs until the end of the block.

    Args:
        handed_in: the cells, and the files that lay beside them.
        kinds: what is not there while it runs, of vaelib.forbidden.
        kind: how it is kept apart, of isolation.available().
        story: of the submission, shared by all its processes.
        judged: its verdicts are known, so that a process that ends is not worth another.
    """

    handed_in: HandedIn
    kinds: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    kind: str = isolation.PLAIN
    story: Story = field(default_factory=Story)
    unset: list[str] = field(default_factory=list)
    judged: bool = False
    _folder: Path | None = None
    _channel: Channel | None = None
    _starts: int = 0
    _asked_so_far: int = 0
    _spent: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Submission:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # ------------------------------------------------------------------------------------------------- the process

    def _start(self) -> None:
        """Starts the process and runs its cells; a cell that ends it is skipped next time."""
        while self._starts < RESTARTS:
            self._starts += 1
            self._launch()
            running = -1
            try:
                until = time.monotonic() + self.limits.cells
                begin = {"cells": self.handed_in.cells, "skipped": sorted(self.story.ended), "kinds": self.kinds}
                self._send(until, begin)
                while "ready" not in (header := self._receive(until)[0]):
                    running = self._at(header, running)
                return
            except (Ended, wire.Broken, ValueError) as reason:
                why = self._why(reason)
                self.stop()
                if running in self.story.ended or running < 0:
                    self.story.damaged = why
                    return
                self.story.ended[running] = why
        self.story.damaged = f"{RESTARTS} processes ended while its cells ran"

    def _at(self, header: dict[str, Any], running: int) -> int:
        """Notes what is said of a cell; the cell that runs now."""
        cell = header.get("cell")
        if type(cell) is not int or not 0 <= cell < len(self.handed_in.cells):
            return running
        if forbidden := wire.text(header.get("forbidden", "")):
            if forbidden not in self.story.forbidden and len(self.story.forbidden) < ODD:
                self.story.forbidden.append(forbidden)
        elif "error" in header:
            self.story.errors.setdefault(cell, wire.text(header["error"]))
        return cell

    def _launch(self) -> None:
        """A process that has said that it is there; CannotGrade if none does, for then nobody can be graded."""
        for attempt in (1, 2, 3):
            folder = self._folder = isolation.new_folder()
            try:
                self._fill(folder)
                inside = Path(isolation.INSIDE) if self.kind == isolation.SANDBOX else folder
                code = CODE.format(copy=str(inside / "package"), path=isolation.library_path())
                self._process = isolation.start(self.kind, folder, code, self._settings())
                self._channel = Channel(self._process)
                header, _ = self._receive(time.monotonic() + STARTING)
                if header.get("hello") is not True:
                    raise wire.Broken("no greeting")
                self.unset = [wire.text(each) for each in header.get("unset", [])]
                return
            except CannotGrade:
                self.stop()
                raise
            except (Ended, wire.Broken, OSError) as reason:
                self.stop()
                said = self._last_words() or str(reason)
                if attempt == 3:
                    raise CannotGrade(f"The process that runs a submission does not start here: {said}") from reason

    def _fill(self, folder: Path) -> None:
        box.write(box.files(self.kinds), folder / "package")
        (folder / "work").mkdir()
        if self.handed_in.files is not None:
            ours = shutil.ignore_patterns(box.NAME)
            shutil.copytree(self.handed_in.files, folder / "work", symlinks=True, dirs_exist_ok=True, ignore=ours)

        if any("matplotlib" in cell or "plots" in cell for cell in self.handed_in.cells):
            for found in font_lists():
                (folder / "home").mkdir(exist_ok=True)
                shutil.copy(found, folder / "home")

    def _settings(self) -> str:
        now = processes_of_this_user()
        parent = 0 if self.kind == isolation.SANDBOX else os.getpid()
        return json.dumps(
            {"limits": asdict(self.limits), "processes": now + SPARE if now else 0, "parent": parent},
        )

    def stop(self) -> None:
        """Ends the process and all that it started; removes its folder, also of a process that did not start."""
        if self._channel is not None:
            self.peak_megabytes()
            isolation.stop(self._process)
            self._channel.close()
            self._printed = self._channel.printed
            if not self.story.output:
                self.story.output = self._printed
            self._channel = None
        if self._folder is not None:
            isolation.remove(self._folder)
            self._folder = None

    def peak_megabytes(self) -> float:
        """The most memory that one of its processes held so far, where the system tells (Linux)."""
        if self._channel is not None:
            self.story.megabytes = max(self.story.megabytes, peak_megabytes(self._process.pid))
        return self.story.megabytes

    def _last_words(self) -> str:
        lines = wire.text(getattr(self, "_printed", b"").decode(errors="replace"), 2000).strip().splitlines()
        return lines[-1] if lines else ""

    # -------------------------------------------------------------------------------------------------- messages

    def _send(self, until: float, header: dict[str, Any], payload: bytes = b"") -> None:
        assert self._channel is not None
        self._channel.send(until, header, payload)

    def _receive(self, until: float) -> wire.Message:
        """The next message that is not a note."""
        assert self._channel is not None
        while True:
            header, payload = self._channel.receive(until)
            if "odd" not in header:
                return header, payload
            self.story.note(wire.text(header["odd"]))

    def _why(self, reason: Exception) -> str:
        """Why the process can be used no longer, in words."""
        if "closed" not in str(reason):
            return str(reason)
        try:
            status = self._process.wait(5)
        except Exception:  # it goes on without its pipes
            return "it closed its pipe"
        killed = {-signal.SIGKILL, 128 + signal.SIGKILL} if hasattr(signal, "SIGKILL") else set()
        if hasattr(signal, "SIGXCPU"):
            killed |= {-signal.SIGXCPU, 128 + signal.SIGXCPU}
        if status in killed:
            return "it was ended by a limit on processor or memory"
        return f"the process ended with status {status}"

    def ask(self, task: Task, arguments: Arguments) -> Reply:
        described, payload = wire.packed(arguments)
        return self._asked(task, {"arguments": described, "lines": False}, payload, wire.unpacked_reply)

    def ask_changed(self, task: Task, source: str, arguments: Arguments, seconds: float) -> Reply:
        """What the answer with another source would reply."""
        described, payload = wire.packed(arguments)
        question = {"arguments": described, "lines": False, "changed": source, "seconds": seconds}
        return self._asked(task, question, payload, wire.unpacked_reply)

    def ask_source(self, task: Task) -> tuple[str, int, list[str]]:
        """The source of the answer, its line in its cell, and the names of libraries; raises NoReply."""
        return self._asked(task, {"arguments": {}, "lines": False, "changed": ""}, b"", wire.unpacked_source)

    def ask_lines(self, task: Task) -> list[tuple[str, str]]:
        return self._asked(task, {"arguments": {}, "lines": True}, b"", wire.unpacked_lines)

    def _asked(
        self,
        task: Task,
        question: dict[str, Any],
        payload: bytes,
        unpack: Callable[[dict[str, Any], bytes], Any],
    ) -> Any:
        if self._spent.get(task.id, 0.0) > self.limits.exercise:
            raise NoReply("too slow", f"All questions together took more than {self.limits.exercise:g} s.")
        if self._channel is None:
            raise NoReply("not attempted", f"The notebook could not be run: {self.story.damaged}.")
        self._asked_so_far += 1
        about = {"of": self._asked_so_far, "id": task.id, "name": task.name, "seconds": self.limits.question}
        started = time.monotonic()
        until = started + self.limits.question + 5
        try:
            self._send(until, about | question, payload)
            while (said := self._receive(until))[0].get("of") != self._asked_so_far:
                pass  # no reply to this question
            return unpack(*said)
        except wire.Broken as reason:
            raise NoReply("no number", f"What came back is {reason}.") from None
        except Ended as reason:
            why = self._why(reason)
            self.stop() if self.judged else self.restart()
            raise NoReply("raised", f"While it was asked, {why}.") from None
        finally:
            self._spent[task.id] = self._spent.get(task.id, 0.0) + time.monotonic() - started

    def restart(self) -> None:
        """Another process, for the other exercises."""
        self.stop()
        self._start()


@dataclass(frozen=True)
class Asked:
    """The answer of a submission to one exercise, as the judge asks it."""

    submission: Submission
    task: Task
    changed: str = ""  # the source that takes the place of the answer's own
    seconds: float = 0.0

    def ask(self, arguments: Arguments) -> Reply:
        if self.changed:
            return self.submission.ask_changed(self.task, self.changed, arguments, self.seconds)
        return self.submission.ask(self.task, arguments)

    def lines(self) -> list[tuple[str, str]]:
        return self.submission.ask_lines(self.task)
