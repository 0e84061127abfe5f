"""One run, one writer: a lock on the folder of a run, held while it is trained.

With `flock` the folder itself is locked, and nothing is written into it. Where a folder cannot be locked (Windows, and
network file systems, which lock only files that are open for writing), an empty file `.lock` in it is. The system lets
go of either when the process ends, however it ends, so a killed process leaves no lock behind. On a file system that
does not support locks the run is trained without one, and a warning says so.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaelib._spoken import option, remark
from vaelib.train.config import RunError

NAME = ".lock"
HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, getattr(errno, "EDEADLOCK", errno.EDEADLK))
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP), errno.EINVAL)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else holds `folder` inside.

    Raises:
        RunError: somebody does, or the folder cannot be opened.
    """
    descriptor = _locked(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """A descriptor whose closing unlocks; None where the file system does not support locks."""
    attempts = [(folder / NAME, os.O_RDWR | os.O_CREAT)]
    if sys.platform != "win32":
        attempts.insert(0, (folder, os.O_RDONLY))
    for path, flags in attempts:
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise RunError(f"Could not open {path} to lock it: {error.strerror}. Check its permissions.") from error
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in HELD:
                raise RunError(
                    f"Expected {folder} to be free, but another process is training in it. Wait until it ends, stop it,"
                    f" or give another {option('out')}."
                ) from error
            if error.errno not in (*NO_LOCKS, errno.EBADF):
                raise RunError(f"Could not lock {path}: {error.strerror}.") from error
        else:
            return descriptor
    remark(f"The file system of {folder} does not support locks: make sure that no second run is trained in it.")
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
