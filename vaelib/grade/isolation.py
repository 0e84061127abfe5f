"""How a submission is kept apart: in a bubblewrap sandbox, as another user, or as a plain process.

A sandbox sees the Python installation, read-only, and one folder; no network, no other process, no other file. Another
user (when the grader runs as root) reads what everybody may read, and can neither write the grader's files nor reach
its processes. A plain process can do what the grader's user can.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vaelib.grade.box import PACKAGE
from vaelib.grade.limits import children, descendants

SANDBOX, OTHER_USER, PLAIN = "sandbox", "other user", "plain process"
SAYS = {
    SANDBOX: "Submissions run in a bubblewrap sandbox: no network, and no file but their own.",
    OTHER_USER: "Submissions run as the user `nobody`: they can read what everybody may read, and use the network.",
    PLAIN: "Submissions run as plain processes of your user: they can read and write your files, and use the network.",
}
NOBODY = 65534
INSIDE = "/submission"  # where a sandbox finds the folder of its submission
POSIX = os.name == "posix"
SYSTEM = "/usr /bin /sbin /lib /lib32 /lib64 /nix/store /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d".split()
SETTINGS = "/etc/alternatives /etc/fonts /etc/localtime /etc/mime.types /etc/passwd".split()


class CannotGrade(Exception):
    """The grader itself cannot work here; no student gets a grade for that."""


def library_path() -> list[str]:
    """Where a submission finds Python's library and the installed packages, but not the installed vaelib.

    Paths that were added for a package under development, vaelib's among them, are left out.
    """
    ours = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found = []
    for entry in sys.path:
        path = Path(entry)
        of_python = entry in ours or path.name in ("lib-dynload", "site-packages", "dist-packages", "DLLs")
        zipped = path.suffix == ".zip" and path.is_relative_to(sys.base_prefix)
        if entry and (of_python or zipped):
            found.append(entry)
    return found


def start(kind: str, folder: Path, code: str, argument: str) -> subprocess.Popen[bytes]:
    """Starts Python on `code` with its work in `folder`/work; its first argument is `argument`.

    Nothing of the grader's environment, path or open files is handed over.
    """
    for name in ("work", "home", "temporary"):
        (folder / name).mkdir(exist_ok=True)
    inside = Path(INSIDE) if kind == SANDBOX else folder
    environment = _environment(inside)
    python = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-u", "-c", code, argument]
    how: dict[str, Any] = {"cwd": folder / "work", "env": environment}
    if kind == SANDBOX:
        python = [*_sandbox(folder, inside, environment), *python]
    if POSIX:
        how["start_new_session"] = True
    if kind == OTHER_USER:
        how |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for below in [folder, *folder.rglob("*")]:
            os.chown(below, NOBODY, NOBODY, follow_symlinks=False)
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        return subprocess.Popen(python, bufsize=0, **pipes, **how)
    except OSError as error:
        raise CannotGrade(f"The process of a submission could not be started: {error}.") from error


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process, its group, and what it started in other groups; what fled from it is found as an orphan."""
    below = descendants(process.pid)
    if POSIX:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    end(below)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)


def end(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def sweep(but: Iterable[int] = ()) -> int:
    """Ends the children of this process but those in `but`, and what these leave behind; how many there were.

    For a process that has adopted the orphans of what it started, and starts nothing else.
    """
    kept, ended = set(but), 0
    for _ in range(200):  # each round may bring new orphans
        found = [pid for pid in children(os.getpid()) if pid not in kept]
        if not found:
            return ended
        for pid in found:
            end([pid, *descendants(pid)])
        for pid in found:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
        ended += len(found)
        time.sleep(0.005)
    return ended


def remove(folder: Path) -> None:
    """Removes a folder of a submission, however deep it is, and whatever took its place; never raises."""
    for _ in range(100_000):  # in each round a folder is flattened by one level
        try:
            if folder.is_symlink() or not folder.is_dir():
                return folder.unlink(missing_ok=True)
            entries = list(os.scandir(folder))
            if not entries:
                return folder.rmdir()
            for number, entry in enumerate(entries):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                for inner in os.scandir(entry.path):
                    if inner.is_dir(follow_symlinks=False):
                        os.rename(inner.path, folder / f"{time.monotonic_ns()}-{number}")
                    else:
                        os.unlink(inner.path)
                os.rmdir(entry.path)
        except OSError:
            return shutil.rmtree(folder, ignore_errors=True)


def _environment(inside: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "SYSTEMROOT", "VAELIB_DATA") if name in os.environ}
    kept["PATH"] = os.environ.get("PATH", "") if not POSIX else "/usr/bin:/bin"
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    home, temporary = str(inside / "home"), str(inside / "temporary")
    folders = {"HOME": home, "USERPROFILE": home, "IPYTHONDIR": home, "MPLCONFIGDIR": home}
    folders |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary)
    return kept | one | folders | {"MPLBACKEND": "Agg"}


def _sandbox(folder: Path, inside: Path, environment: dict[str, str]) -> list[str]:
    """The command of bubblewrap before Python's own."""
    seen = {*SYSTEM, *SETTINGS, sys.prefix, sys.base_prefix, sys.exec_prefix, *library_path()}
    seen |= {environment[name] for name in ("VAELIB_DATA",) if name in environment}
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in sorted(seen):  # a folder before what lies in it
        command += ["--ro-bind-try", path, path]
    for hidden in (PACKAGE, *(PACKAGE.parent / name for name in ("exercises", "tests", "notebooks"))):
        if hidden.is_dir() and any(hidden.is_relative_to(each) for each in seen):
            command += ["--tmpfs", str(hidden)]  # an installed vaelib is not seen, nor what lies beside its source
    if not any(Path(path).is_relative_to("/tmp") for path in seen):
        command += ["--symlink", str(inside / "temporary"), "/tmp"]
    command += ["--proc", "/proc", "--dev", "/dev", "--bind", str(folder), str(inside), "--chdir", str(inside / "work")]
    return [*command, "--"]


def available() -> list[str]:
    """The kinds that may work here, the best first."""
    found = [SANDBOX] if sys.platform == "linux" and shutil.which("bwrap") else []
    if POSIX and hasattr(os, "geteuid") and os.geteuid() == 0:
        found.append(OTHER_USER)
    return [*found, PLAIN]


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="grade-"))
