"""What a submission may take, and how a process sets its own limits: each where the system has it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vaelib.reply import SECONDS, TOTAL


@dataclass(frozen=True)
class Limits:
    """Of one submission.

    Args:
        cells: seconds for its cells. question, exercise: seconds for one question, for all of one exercise.
        judging: seconds of the processor for the verdict on one exercise, without what the submission takes itself.
        processor: seconds of the processor for one process of it. memory, file: bytes, of a process and of a file.
    """

    cells: float = 120.0
    question: float = SECONDS
    exercise: float = TOTAL
    judging: float = 60.0
    processor: int = 300
    memory: int = 4 << 30
    file: int = 64 << 20


def limit_this_process(limits: Limits, processes: int = 0) -> list[str]:
    """Sets the limits on this process and what it will start; in words, those that could not be set here.

    macOS refuses a limit on memory, Windows has none of them.

    Args:
        processes: how many this user may have in all; 0 for any number.
    """
    try:
        import resource
    except ImportError:
        return ["memory", "processor time", "the size of files", "the number of processes"]
    wanted = [
        ("memory", "RLIMIT_AS", (limits.memory, limits.memory)),
        ("processor time", "RLIMIT_CPU", (limits.processor, limits.processor + 5)),
        ("the size of files", "RLIMIT_FSIZE", (limits.file, limits.file)),
        ("core files", "RLIMIT_CORE", (0, 0)),
    ]
    if processes:
        wanted.append(("the number of processes", "RLIMIT_NPROC", (processes, processes)))
    unset = []
    for words, name, (soft, hard) in wanted:
        try:
            resource.setrlimit(getattr(resource, name), (soft, hard))
        except (AttributeError, ValueError, OSError):
            unset.append(words)
    return unset


def soften_memory(size: int) -> None:
    """A limit on this process's memory that what it starts may lift again, where the system has one."""
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, resource.getrlimit(resource.RLIMIT_AS)[1]))


# ------------------------------------------------------------------------------------------------ Linux: this process

_PDEATHSIG, _DUMPABLE, _SUBREAPER = 1, 4, 36  # the numbers of prctl(2)
_SIGKILL = 9


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
        return call(option, value, 0, 0, 0) == 0
    except (OSError, AttributeError):
        return False


def die_with_the_one_who_started_this(pid: int) -> None:
    """This process ends when the process `pid`, which started it, does; at once if it has ended already."""
    if _prctl(_PDEATHSIG, _SIGKILL) and os.getppid() not in (pid, 0):
        os._exit(1)


def close_to_others(closed: bool = True) -> bool:
    """Nobody but the administrator reads or writes this process's memory and pipes through /proc."""
    return _prctl(_DUMPABLE, 0 if closed else 1)


def adopt_orphans(adopt: bool = True) -> bool:
    """What loses its parent below this process becomes its child, so that it is found and ended."""
    return _prctl(_SUBREAPER, 1 if adopt else 0)


def children(pid: int) -> list[int]:
    """The children of a process, where the system tells (Linux)."""
    found = []
    for path in _processes():
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(path.name))
    return found


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    pending = [pid]
    while pending:
        below = children(pending.pop())
        found += below
        pending += below
    return found


def processes_of_this_user() -> int:
    """How many threads this user runs now; 0 where the system does not tell."""
    count = 0
    for path in _processes():
        with contextlib.suppress(OSError, AttributeError):
            if path.stat().st_uid == os.getuid():
                count += len(os.listdir(path / "task"))
    return count


def _processes() -> Iterable[Path]:
    root = Path("/proc")
    return [path for path in root.iterdir() if path.name.isdigit()] if sys.platform == "linux" else []


def peak_megabytes(pid: int) -> float:
    """The most memory that this process, or one below it, held so far, where the system tells (Linux)."""
    peak = 0.0
    for each in [pid, *descendants(pid)] if sys.platform == "linux" else []:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            status = Path(f"/proc/{each}/status").read_text(errors="replace").splitlines()
            held = next(line for line in status if line.startswith("VmHWM"))
            peak = max(peak, int(held.split()[1]) / 1024)
    return peak
