"""Messages to and from another process, through its standard input and output; sending has a deadline, too.

Two threads do the waiting, which works wherever there are pipes: Windows cannot wait for a pipe in any other way.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from typing import IO, Any

from vaelib.grade import wire

WAITING = 8  # messages that are read before they are asked for


class Ended(Exception):
    """The process has ended, or says nothing any more."""


class Channel:
    """What travels to and from a process that was started with pipes.

    Args:
        process: its stdin takes messages, its stdout gives them, its stderr is what it prints.
        limit: bytes of a message that it sends.
        keep: bytes of what it prints that are kept, the first ones.
    """

    def __init__(self, process: subprocess.Popen[bytes], limit: int = wire.LIMIT, keep: int = 64 << 10) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._limit, self._keep = limit, keep
        self._inbox: queue.Queue[wire.Message | Exception] = queue.Queue(WAITING)
        self._outbox: queue.Queue[tuple[bytes, threading.Event]] = queue.Queue(1)
        self._closed = threading.Event()
        self.printed = b""
        self._threads = [
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._write, args=(process.stdin,), daemon=True),
            threading.Thread(target=self._listen, args=(process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, until: float, header: dict[str, Any], payload: bytes = b"") -> None:
        """Sends a message; raises Ended if it was not taken until then, in time.monotonic()."""
        taken = threading.Event()
        try:
            self._outbox.put((wire.encoded(header, payload, wire.TRUSTED), taken), timeout=_left(until))
        except queue.Full:
            raise Ended("it did not read what it was sent") from None
        if not taken.wait(_left(until)) or self._closed.is_set():
            raise Ended("it did not read what it was sent")

    def receive(self, until: float) -> wire.Message:
        """The next message; raises Ended if there was none until then, Broken if it was none."""
        message = self._next(until)
        if isinstance(message, Exception):
            with contextlib.suppress(queue.Full):
                self._inbox.put_nowait(message)  # for whoever asks again
            raise message
        return message

    def _next(self, until: float) -> wire.Message | Exception:
        while not self._closed.is_set():  # another thread may close it in the meantime
            with contextlib.suppress(queue.Empty):
                return self._inbox.get(timeout=min(_left(until), 0.5))
            if not _left(until):
                raise Ended("it took too long")
        raise Ended("its pipes were closed")

    def close(self) -> None:
        """Ends the threads; the process must have ended before."""
        self._closed.set()
        for thread in self._threads:
            thread.join(2)

    def _read(self, stream: IO[bytes]) -> None:
        def read(size: int) -> bytes:
            content = bytearray()
            while len(content) < size:
                chunk = stream.read(size - len(content))
                if not chunk:
                    raise Ended("it closed its output")
                content += chunk
            return bytes(content)

        with stream:
            while not self._closed.is_set():
                message: wire.Message | Exception
                try:
                    message = wire.receive(read, self._limit)
                except Exception as error:  # what comes is not ours
                    message = error if isinstance(error, Ended | wire.Broken) else wire.Broken("no message")
                self._deliver(message)
                if isinstance(message, Exception):
                    return

    def _deliver(self, message: wire.Message | Exception) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                return self._inbox.put(message, timeout=0.2)

    def _write(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            while not self._closed.is_set():
                with contextlib.suppress(queue.Empty):
                    content, taken = self._outbox.get(timeout=0.2)
                    rest = memoryview(content)
                    while rest:
                        rest = rest[stream.write(rest) :]
                    taken.set()

    def _listen(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stream:
            while chunk := stream.read(1 << 16):
                if len(self.printed) < self._keep:
                    self.printed += chunk[: self._keep - len(self.printed)]


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0.0)
