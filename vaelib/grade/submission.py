"""One submission, asked from outside: its process, the limits on it, and what it replies."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from vaelib.grade import wire
from vaelib.grade.collect import HandedIn
from vaelib.reply import SECONDS, TOTAL, Arguments, NoReply, Reply
from vaelib.task import Task

RESTARTS = 5  # processes for one submission: a cell that ends the process is skipped in the next
OUTPUT = 64 << 10  # bytes of what a submission prints that are kept


@dataclass(frozen=True)
class Limits:
    """Of one submission: seconds for its cells, a question, an exercise, of the processor in all; bytes of memory."""

    cells: float = 120.0
    question: float = SECONDS
    exercise: float = TOTAL
    processor: int = 300
    memory: int = 4 << 30


class Ended(Exception):
    """The process is no more, or says nothing any more."""


@dataclass
class Submission:
    """`with Submission(handed_in, tasks) as submission`: its process runs until the end of the block.

    Attributes:
        errors: cell -> the error it raised. ended: cell -> why it ended the process. damaged: why it cannot be read.
    """

    handed_in: HandedIn
    tasks: list[Task]
    limits: Limits = field(default_factory=Limits)
    errors: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    damaged: str = ""
    output: bytes = b""
    _process: subprocess.Popen[bytes] | None = None
    _starts: int = 0
    _spent: dict[str, float] = field(default_factory=dict)
    _peak: float = 0.0

    def __enter__(self) -> Submission:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    # ------------------------------------------------------------------------------------------------- the process

    def _start(self) -> None:
        """Starts the process and runs its cells; a cell that ends it is skipped next time."""
        while self._starts < RESTARTS:
            self._starts += 1
            running = -1
            try:
                self._launch()
                until = time.monotonic() + self.limits.cells
                header, _ = self._receive(until)
                if "damaged" in header:
                    self.damaged = str(header["damaged"])
                    self._stop()
                    return
                self._send({"forbidden": sorted({name for task in self.tasks for name in task.forbidden})})
                while "ready" not in (header := self._receive(until)[0]):
                    running = int(header.get("cell", running))
                    if "error" in header:
                        self.errors[running] = str(header["error"])
                return
            except (Ended, wire.Broken, TypeError, ValueError) as reason:
                self._stop()
                if running in self.ended or running < 0:
                    self.damaged = str(reason)
                    return
                self.ended[running] = str(reason)
        self.damaged = f"{RESTARTS} processes ended while its cells ran"

    def _launch(self) -> None:
        read_questions, self._write = os.pipe()
        self._read, write_replies = os.pipe()
        self._folder = tempfile.TemporaryDirectory(prefix="vaelib-grade-")
        copy = Path(self._folder.name) / "submission.ipynb"  # so that it does not learn where the others lie
        cells = [{"cell_type": "code", "source": cell} for cell in self.handed_in.cells]
        copy.write_text(json.dumps({"cells": cells}), encoding="utf-8")
        if self.handed_in.files is not None:
            shutil.copytree(self.handed_in.files, self._folder.name, dirs_exist_ok=True)
        command = [sys.executable, "-m", "vaelib.grade.worker", str(copy)]
        command += [str(read_questions), str(write_replies), json.dumps(sorted(self.ended))]
        root = Path(__file__).resolve().parents[2]
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "VAELIB_DATA") if name in os.environ}
        one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            command,
            cwd=self._folder.name,
            env=keep | one | {"PYTHONPATH": str(root), "MPLBACKEND": "Agg", "HOME": self._folder.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(read_questions, write_replies),
            start_new_session=True,
            preexec_fn=self._limit,
        )
        os.close(read_questions)
        os.close(write_replies)
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._keep_output, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def _limit(self) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (self.limits.memory, self.limits.memory))
        resource.setrlimit(resource.RLIMIT_CPU, (self.limits.processor, self.limits.processor + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def _keep_output(self, stream: IO[bytes]) -> None:
        """Reads what is printed, so that the process does not wait, and keeps the beginning."""
        with stream:
            while chunk := stream.read1(1 << 16):  # type: ignore[attr-defined]
                if len(self.output) < OUTPUT:
                    self.output += chunk[: OUTPUT - len(self.output)]

    def _stop(self) -> None:
        """Ends the process and all that it started."""
        if self._process is None:
            return
        self.peak_megabytes()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait()
        self._listener.join(5)
        self._process = None
        os.close(self._write)
        os.close(self._read)
        self._folder.cleanup()

    def peak_megabytes(self) -> float:
        """The most memory that one of its processes held so far, where the system tells (Linux)."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text() if self._process else ""
            held = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            self._peak = max(self._peak, int(held.split()[1]) / 1024)
        except (OSError, StopIteration):
            pass
        return self._peak

    # -------------------------------------------------------------------------------------------------- messages

    def _send(self, header: dict[str, Any], payload: bytes = b"") -> None:
        try:
            with os.fdopen(os.dup(self._write), "wb") as file:
                wire.send(file, header, payload)
        except OSError as error:
            raise Ended("the process ended") from error

    def _receive(self, until: float) -> tuple[dict[str, Any], bytes]:
        return wire.receive(self._reader(until))

    def _reader(self, until: float) -> Callable[[int], bytes]:
        def read(size: int) -> bytes:
            content = b""
            while len(content) < size:
                left = until - time.monotonic()
                if left <= 0 or not select.select([self._read], [], [], left)[0]:
                    raise Ended("it took too long")
                chunk = os.read(self._read, size - len(content))
                if not chunk:
                    raise Ended(self._why_it_ended())
                content += chunk
            return content

        return read

    def _why_it_ended(self) -> str:
        assert self._process is not None
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if status == -signal.SIGXCPU or status == -signal.SIGKILL:
            return "it was ended by a limit on processor or memory"
        return f"the process ended with status {status}"

    def ask(self, task: Task, arguments: Arguments) -> Reply:
        described, payload = wire.packed(arguments)
        return wire.unpacked_reply(*self._asked(task, {"arguments": described, "lines": False}, payload))

    def ask_lines(self, task: Task) -> list[tuple[str, str]]:
        header, payload = self._asked(task, {"arguments": {}, "lines": True})
        if "lines" not in header:
            wire.unpacked_reply(header, payload)
            raise wire.Broken("no lines")
        lines = header["lines"]
        if not isinstance(lines, list) or not all(isinstance(line, list) and len(line) == 2 for line in lines):
            raise wire.Broken("lines that are none")
        return [(str(relation), str(text)[:2000]) for relation, text in lines[:100]]

    def _asked(self, task: Task, question: dict[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
        if self._spent.get(task.id, 0.0) > self.limits.exercise:
            raise NoReply("too slow", f"All questions together took more than {self.limits.exercise:g} s.")
        if self._process is None:
            raise NoReply("not attempted", f"The notebook could not be run: {self.damaged}.")
        about = {"id": task.id, "name": task.name, "forbidden": task.forbidden, "seconds": self.limits.question}
        started = time.monotonic()
        try:
            self._send(question | about, payload)
            return self._receive(started + self.limits.question + 5)
        except (Ended, wire.Broken) as reason:
            self._stop()
            self._start()  # for the other exercises
            raise NoReply("raised", f"While it was asked, {reason}.") from None
        finally:
            self._spent[task.id] = self._spent.get(task.id, 0.0) + time.monotonic() - started


@dataclass(frozen=True)
class Asked:
    """The answer of a submission to one exercise, as the judge asks it."""

    submission: Submission
    task: Task

    def ask(self, arguments: Arguments) -> Reply:
        try:
            return self.submission.ask(self.task, arguments)
        except wire.Broken as reason:
            raise NoReply("no number", f"What came back is {reason}.") from None

    def lines(self) -> list[tuple[str, str]]:
        try:
            return self.submission.ask_lines(self.task)
        except wire.Broken as reason:
            raise NoReply("no number", f"What came back is {reason}.") from None
