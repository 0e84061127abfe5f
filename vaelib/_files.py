"""A file is written whole or not at all: a reader, or a crash, sees the earlier one or the new one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file at `path`, or make it, in one act.

    Raises:
        OSError: it could not be written; the earlier file is still there, and nothing half-written.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "report.txt")
    >>> write(file, b"all follow")
    >>> file.read_bytes()
    b'all follow'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:  # also where a second Ctrl-C comes in between
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The new name outlives a power cut only once the folder is on disk too. Some systems open or sync no folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
