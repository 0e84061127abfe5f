"""What a submission does that an honest one has no reason to: noted in words, never prevented.

Python itself reports what is opened, imported, started and connected to (PEP 578). A note is made where a student's own
code is the cause, and not a library that looks around while it is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

MOST = 20  # notes of one process
SECRET = ("vaelib.tasks", "vaelib.judge")
HARMLESS = ("ls", "dir", "pwd", "echo", "date", "nvidia-smi", "which", "true", "cat /proc/cpuinfo")  # commands
DEVICES = tuple(f"/dev/{name}" for name in "null urandom random shm tty stdin stdout stderr".split())
SYSTEM = (  # what libraries read to learn about the machine
    *"/usr /lib /bin /sys /etc/fonts /etc/localtime /etc/mime.types /etc/os-release /proc/self /proc/cpuinfo".split(),
    *"/proc/meminfo /proc/stat /proc/version /proc/sys /proc/mounts C:\\Windows".split(),
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")
FORKS = ("os.fork", "os.forkpty")
CONNECTS = tuple(f"socket.{name}" for name in "connect bind sendto getaddrinfo gethostbyname".split())
CHANGES = tuple(f"os.{name}" for name in "remove rename rmdir mkdir chmod chown link symlink truncate".split())
LOOKS = ("os.listdir", "os.scandir", "glob.glob", "os.walk")
SIGNALS = ("os.kill", "os.killpg")
REACHES = ("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.settrace", "sys.setprofile")


def watch(note: Callable[[str], None], own: Path, package: Path) -> None:
    """Notes what is odd from now on.

    Args:
        note: called with each note, at most MOST times.
        own: the folder of the submission. package: where its copy of vaelib lies.
    """
    readable = [*map(os.path.realpath, {sys.prefix, sys.base_prefix, str(package), *sys.path}), *DEVICES, *SYSTEM]
    readable += [f"/proc/{os.getpid()}"]
    readable += [each for each in (os.environ.get("VAELIB_DATA"), sysconfig.get_path("stdlib")) if each]
    folder, library = os.path.realpath(own), os.path.realpath(sysconfig.get_path("stdlib"))
    copy = str(package)
    made: set[str] = set()
    busy = False

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy or len(made) >= MOST or event not in HANDLED:
            return
        busy = True
        try:
            text = HANDLED[event](event, given)
            if text and text not in made and len(made) < MOST:
                made.add(text)
                note(text)
        except BaseException:
            pass  # a hook that raises would change what the student's code does
        finally:
            busy = False

    def within(path: str, folders: list[str]) -> bool:
        return any(path == each or path.startswith(each.rstrip(os.sep) + os.sep) for each in folders)

    def place(path: Any) -> str:
        """The absolute path; empty if it is a number of an open file, or no path."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        return os.path.realpath(path) if isinstance(path, str | os.PathLike) and path != "" else ""

    def frames() -> list[FrameType]:
        found: list[FrameType] = []
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and len(found) < 200:
            found.append(frame)
            frame = frame.f_back
        return found

    def of_student(frame: FrameType) -> bool:
        name = frame.f_code.co_filename
        return name.startswith("<cell ") or (within(os.path.abspath(name), [folder]) and not name.startswith(copy))

    def by_student() -> bool:
        """Is a student's code the cause, with nothing but Python's own library, and no import, between?"""
        for frame in frames():
            name = frame.f_code.co_filename
            if of_student(frame):
                return True
            of_python = name.startswith((library, copy)) and "-packages" not in name
            if name.startswith("<frozen importlib") or not (of_python or name.startswith("<")):
                return False
        return False

    def by_shell() -> bool:
        """Is it a command of the shell, `!command`?"""
        return any(frame.f_code.co_filename.startswith(copy) for frame in frames()[:8]) and while_asked()

    def while_asked() -> bool:
        """Is a student's code on the way at all, and no library being imported?"""
        for frame in frames():
            if of_student(frame):
                return True
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return False
        return False

    def opened(event: str, given: tuple[Any, ...]) -> str:
        path = place(given[0])
        mode, flags = given[1], given[2] if isinstance(given[2], int) else 0
        writes = bool(flags & WRITES) if mode is None else any(letter in str(mode) for letter in "wax+")
        if not path or within(path, [folder]) or within(path, list(DEVICES)):
            return ""
        if writes:
            return f"It opened {path} to write, outside its folder." if while_asked() else ""
        if within(path, readable) and not _of_others(path):
            return ""
        return f"It opened {path}, outside its folder." if while_asked() else ""

    def imported(event: str, given: tuple[Any, ...]) -> str:
        return f"It tried to import {given[0]}." if str(given[0]).startswith(SECRET) and while_asked() else ""

    def started(event: str, given: tuple[Any, ...]) -> str:
        command = given[1] if event == "subprocess.Popen" else given[0]
        words = command if isinstance(command, str | bytes) else " ".join(map(_plain, command or ()))
        text = _plain(words).removeprefix("/bin/sh -c ").strip()
        if text.startswith(HARMLESS) and not any(sign in text for sign in ";&|`$<>"):
            return ""
        return f"It started a process: {text[:100]}." if by_student() or by_shell() else ""

    def forked(event: str, given: tuple[Any, ...]) -> str:
        return "It forked a process." if by_student() else ""

    def connected(event: str, given: tuple[Any, ...]) -> str:
        text = ", ".join(_plain(part) for part in given if isinstance(part, str | bytes | tuple | int))[:100]
        return f"It used the network: {event.removeprefix('socket.')}({text})." if while_asked() else ""

    def changed(event: str, given: tuple[Any, ...]) -> str:
        paths = [place(part) for part in given[:2] if isinstance(part, str | bytes | os.PathLike)]
        outside = [path for path in paths if path and not within(path, [folder])]
        if event in ("os.symlink", "os.link") and paths:
            outside = [path for path in paths if not within(path, [folder])]
        return f"It changed {outside[0]}, outside its folder ({event})." if outside and while_asked() else ""

    def looked(event: str, given: tuple[Any, ...]) -> str:
        path = place(given[0] or ".") if given else ""
        if not path or (within(path, [folder, *readable]) and not _of_others(path)):
            return ""
        return f"It listed {path}, outside its folder." if by_student() else ""

    def signalled(event: str, given: tuple[Any, ...]) -> str:
        if event == "os.kill" and given[0] == os.getpid():
            return ""
        name = next((each.name for each in signal.Signals if each == given[1]), str(given[1]))
        return f"It sent {name} to another process." if while_asked() else ""

    def reached(event: str, given: tuple[Any, ...]) -> str:
        return f"It looked through the interpreter's own objects ({event})." if by_student() else ""

    def foreign(event: str, given: tuple[Any, ...]) -> str:
        return "It called the system through ctypes." if by_student() else ""

    handlers: dict[Callable[[str, tuple[Any, ...]], str], tuple[str, ...]] = {
        opened: ("open",),
        imported: ("import",),
        started: STARTS,
        forked: FORKS,
        connected: CONNECTS,
        changed: CHANGES,
        looked: LOOKS,
        signalled: SIGNALS,
        reached: REACHES,
        foreign: ("ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function"),
    }
    HANDLED = {event: handler for handler, events in handlers.items() for event in events}
    sys.addaudithook(hook)


def _of_others(path: str) -> bool:
    """A file of a vaelib that is not the copy in use."""
    parts = Path(path).parts
    return "vaelib" in parts and ("tasks" in parts or path.endswith(("judge.py", "exercise.py")))


def _plain(part: Any) -> str:
    return os.fsdecode(part) if isinstance(part, bytes) else str(part)
