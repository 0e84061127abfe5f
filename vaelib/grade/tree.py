"""What was handed in, as a list of files: folders and zips alike, with a bound on everything, and no link followed.

A zip counts as a folder with its name. Its entries are unpacked into a private folder under numbers, so that no name
from a zip ever touches the file system.
"""

from __future__ import annotations

import os
import stat
import struct
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 1 << 20
FILE_LIMIT = 50 * MEGABYTE  # of one file; larger ones are refused before they are read
ZIP_LIMIT = 200 * MEGABYTE  # of all that one upload unpacks to, zips in zips included
ENTRIES = 20_000  # files and folders of one upload
DEPTH = 16  # folders in folders
ZIPS_IN_ZIPS = 3
RATIO = 200  # of an entry above a megabyte: text shrinks to a tenth, a bomb to a thousandth
DIRECTORY_LIMIT = 4 * MEGABYTE  # of a zip's table of contents, about 40,000 entries

SKIPPED_FOLDERS = frozenset({"__macosx", "__pycache__", "node_modules", "site-packages", "venv"})
SKIPPED_FILES = frozenset({"thumbs.db", "desktop.ini"})
FIRST = (".ipynb", ".py", ".zip")  # unpacked first, before a data set takes the room
DOCUMENTS = (".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".npz", ".whl", ".pt", ".pth", ".jar")  # zips, too


@dataclass(frozen=True)
class File:
    """A regular file that may be read. `parts` is its path below the root, as it is shown."""

    parts: tuple[str, ...]
    path: Path
    size: int
    when: float  # seconds since 1970: when it was last changed

    def start(self, size: int) -> bytes:
        """Its first bytes; raises OSError if it is a link or a pipe by now."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self.path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is not a regular file any more")
            return file.read(size)

    def read(self) -> bytes:
        """Its content; raises OSError if it is a link or a pipe by now, or longer than `FILE_LIMIT`."""
        content = self.start(FILE_LIMIT + 1)
        if len(content) > FILE_LIMIT:
            raise OSError(f"it is larger than {FILE_LIMIT // MEGABYTE} MB")
        return content


@dataclass
class Tree:
    """Everything below a root: files, folders (empty ones, too), and what could not be looked at, with the reason."""

    files: list[File] = field(default_factory=list)
    folders: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    zips: set[tuple[str, ...]] = field(default_factory=set)


def readable(name: str) -> str:
    """A file's name as text that can be shown and written, whatever bytes and control characters it has.

    >>> readable("Ada\\n")
    'Ada\ufffd'
    """
    text = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def skipped(name: str, folder: bool) -> bool:
    """Is this left behind by a program rather than handed in: `.ipynb_checkpoints`, `__MACOSX`, `._x`, `Thumbs.db`?"""
    return name.startswith(".") or name.lower() in (SKIPPED_FOLDERS if folder else SKIPPED_FILES)


def tree(root: Path, space: Path) -> Tree:
    """Everything below `root`, which is a folder, a zip or a single file; `space` is where zips are unpacked.

    Example:
        >>> tree(Path("submissions"), Path(tempfile.mkdtemp())).files  # doctest: +SKIP
        [File(parts=('ada', '04_gaussian_kl.ipynb'), ...)]
    """
    found = Tree()
    if root.is_dir():
        for entry in _listed(root, (), found):
            name = readable(entry.name)
            _Upload(found, space).take(Path(entry.path), (name,), 1)
    elif is_zip(root):
        _Upload(found, space).unpack(root, (), 1)
    else:
        _Upload(found, space).take(root, (readable(root.name),), 1)
    return found


def because(error: Exception) -> str:
    """What went wrong, without the path of a private copy that an error of the system would tell."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def is_zip(path: Path) -> bool:
    """By its first bytes, and not by its name: a zip may be called `04.ipynb`, and a Word document is a zip."""
    if path.suffix.lower() in DOCUMENTS:
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def _listed(folder: Path, parts: tuple[str, ...], found: Tree) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        found.problems.append((parts, f"This folder cannot be read: {error.strerror or error}."))
        return []


class _Upload:
    """One entry of the root, usually all that one student handed in: it has a budget."""

    def __init__(self, found: Tree, space: Path) -> None:
        self.found, self.space = found, space
        self.entries, self.bytes = ENTRIES, ZIP_LIMIT
        self.full = False

    def take(self, path: Path, parts: tuple[str, ...], depth: int) -> None:
        """A file, a folder with all that is in it, or a zip."""
        try:
            status = os.lstat(path)
        except OSError as error:
            self.problem(parts, f"It cannot be read: {error.strerror or error}.")
            return
        if skipped(path.name, stat.S_ISDIR(status.st_mode)) or not self.room(parts):
            return
        if stat.S_ISDIR(status.st_mode):
            self.folder(path, parts, depth)
        elif not stat.S_ISREG(status.st_mode):
            self.problem(parts, f"It is {_kind(status.st_mode)}, and no regular file.")
        elif status.st_size > FILE_LIMIT:
            self.problem(parts, f"It has {_size(status.st_size)}; files above {_size(FILE_LIMIT)} are not read.")
        elif is_zip(path):
            self.unpack(path, parts, 1)
        else:
            self.found.files.append(File(parts, path, status.st_size, status.st_mtime))

    def folder(self, path: Path, parts: tuple[str, ...], depth: int) -> None:
        self.found.folders.append(parts)
        if (path / "pyvenv.cfg").exists():
            return  # a virtual environment
        if depth >= DEPTH:
            self.problem(parts, f"Folders more than {DEPTH} deep are not looked into.")
            return
        for entry in _listed(path, parts, self.found):
            self.take(Path(entry.path), (*parts, readable(entry.name)), depth + 1)

    def room(self, parts: tuple[str, ...]) -> bool:
        self.entries -= 1
        if self.entries < 0 and not self.full:
            self.full = True
            self.problem(parts[:1], f"More than {ENTRIES:,} files and folders: the others are not looked at.")
        return self.entries >= 0

    def problem(self, parts: tuple[str, ...], reason: str) -> None:
        self.found.problems.append((parts, reason))

    # ------------------------------------------------------------------------------------------------------- zips

    def unpack(self, path: Path, parts: tuple[str, ...], level: int) -> None:
        """The entries of a zip, as if they lay in a folder with its name."""
        self.found.folders.append(parts)
        self.found.zips.add(parts)
        if level > ZIPS_IN_ZIPS:
            self.problem(parts, f"Zips in zips are opened {ZIPS_IN_ZIPS} deep, and not further.")
            return
        try:
            _require_small_directory(path)
            with zipfile.ZipFile(path) as archive:
                listed = archive.infolist()
                for info in sorted(listed, key=lambda info: not info.filename.lower().endswith(FIRST)):
                    self.entry(archive, info, parts, level)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, EOFError, NotImplementedError) as error:
            self.problem(parts, f"This zip cannot be opened: {because(error)}. Was it cut off while it was sent?")

    def entry(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, parts: tuple[str, ...], level: int) -> None:
        inside = [part for part in info.filename.replace("\\", "/").split("/") if part not in ("", ".")]
        where = (*parts, *(readable(part) for part in inside))
        if not inside or not self.room(where):
            return
        if ".." in inside or info.filename.startswith(("/", "\\")) or inside[0][1:2] == ":":
            self.problem(parts, f"The entry {readable(info.filename)} points outside the zip; it was left out.")
        elif any(skipped(part, True) for part in inside[:-1]) or skipped(inside[-1], info.is_dir()):
            return
        elif len(inside) > DEPTH:
            self.problem(parts, f"Folders more than {DEPTH} deep are not looked into.")
        elif info.is_dir():
            self.found.folders.append(where)
        elif stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            self.problem(where, f"It is {_kind(info.external_attr >> 16)}, and no regular file.")
        elif info.flag_bits & 1:
            self.problem(where, "It is encrypted with a password; ask for it without one.")
        elif info.file_size > FILE_LIMIT:
            self.problem(where, f"It has {_size(info.file_size)}; files above {_size(FILE_LIMIT)} are not read.")
        elif info.file_size > MEGABYTE and info.file_size > RATIO * max(info.compress_size, 1):
            self.problem(where, f"It would grow to {_size(info.file_size)} when unpacked, as a zip bomb does.")
        else:
            self.extract(archive, info, where, level)

    def extract(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: tuple[str, ...], level: int) -> None:
        limit = min(FILE_LIMIT, self.bytes)
        target = self.space / f"{len(os.listdir(self.space))}{Path(where[-1]).suffix.lower()[:8]}"
        try:
            with archive.open(info) as source:
                content = source.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
            self.problem(where, f"This entry of a zip cannot be unpacked: {because(error)}.")
            return
        if len(content) > limit:
            self.problem(where, f"This upload unpacks to more than {_size(ZIP_LIMIT)}; this file was left out.")
            return
        self.bytes -= len(content)
        target.write_bytes(content)
        if is_zip(target):
            self.unpack(target, where, level + 1)
        else:
            self.found.files.append(File(where, target, len(content), _moment(info)))


def _require_small_directory(path: Path) -> None:
    """Python reads the whole table of contents of a zip at once: how long it is, is looked up first."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - (1 << 16) - 64))
        end = file.read()
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or len(end) < at + 22:
        raise zipfile.BadZipFile("it has no table of contents")
    size = struct.unpack("<I", end[at + 12 : at + 16])[0]
    if b"PK\x06\x07" in end[:at][-20:] or size > DIRECTORY_LIMIT:
        raise zipfile.BadZipFile("it has too many entries")


def _moment(info: zipfile.ZipInfo) -> float:
    try:
        return time.mktime((*info.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0


def _kind(mode: int) -> str:
    names = {stat.S_IFLNK: "a link, which is not followed", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


def _size(count: int) -> str:
    return f"{count / MEGABYTE:,.0f} MB" if count < 10_000 * MEGABYTE else f"{count / (1 << 30):,.0f} GB"


def below(parts: tuple[str, ...], folder: tuple[str, ...]) -> bool:
    """Does the path lie in this folder, or is it the folder?"""
    return parts[: len(folder)] == folder


def ancestors(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The folders above, outermost first; the root is ()."""
    for end in range(len(parts)):
        yield parts[:end]
