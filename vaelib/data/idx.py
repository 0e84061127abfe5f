"""MNIST: found on this machine or downloaded, and proven to be MNIST either way."""

from __future__ import annotations

import errno
import gzip
import hashlib
import math
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaelib._spoken import option, remark
from vaelib.data.core import Array, Data, DataError


@dataclass(frozen=True)
class IdxFile:
    """One of the four files of MNIST, by what it must hold."""

    name: str
    shape: tuple[int, ...]
    sha256: str  # of the uncompressed file: the same whoever compressed it

    @property
    def header(self) -> bytes:
        """Two zeros, 8 for unsigned bytes, the number of axes; then each axis in four bytes, most significant first."""
        return bytes([0, 0, 8, len(self.shape)]) + b"".join(size.to_bytes(4, "big") for size in self.shape)

    @property
    def size(self) -> int:
        return len(self.header) + math.prod(self.shape)


MNIST = {
    "train": IdxFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_labels": IdxFile(
        "train-labels-idx1-ubyte", (60000,), "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "test": IdxFile(
        "t10k-images-idx3-ubyte", (10000, 28, 28), "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "test_labels": IdxFile(
        "t10k-labels-idx1-ubyte", (10000,), "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
TIMEOUT = 30.0  # seconds without a byte after which a mirror counts as unreachable


def mnist() -> Data:
    """MNIST, 60,000 and 10,000 handwritten digits of 28 x 28 bytes.

    Each file is looked for in the folder that VAELIB_DATA names (see `own_folders`), then in the user's cache,
    compressed (.gz) or not, and is otherwise downloaded into the cache. The SHA-256 of its uncompressed content is
    checked every time. A VAELIB_DATA that does not hold the files is named in a warning, and in the error where nothing
    helps.

    Source: LeCun, Bottou, Bengio and Haffner 1998.
    """
    lacking = not_in_own_folder()
    if lacking:
        remark(lacking)
    arrays = {key: _read_mnist(file) for key, file in MNIST.items()}
    train, test = (arrays[key].reshape(len(arrays[key]), -1) for key in ("train", "test"))
    shape = MNIST["train"].shape[1:]
    train_labels, test_labels = (arrays[key].astype(np.int64) for key in ("train_labels", "test_labels"))
    return Data("mnist", train, test, shape, 255.0, train_labels, test_labels, default_binarization="dynamic")


def mnist_is_here() -> bool:
    """Are all four files in one of the folders, so that nothing would be downloaded?"""
    folders = mnist_folders()
    return all(_found(file, folders) for file in MNIST.values())


def own_folders() -> list[Path]:
    """Where in VAELIB_DATA the files may lie: in `mnist`, as torchvision lays them out, or in the folder itself."""
    named = os.environ.get("VAELIB_DATA")
    if not named:
        return []
    folder = Path(os.path.expanduser(named))
    return [folder / "mnist", folder / "MNIST" / "raw", folder / "mnist" / "MNIST" / "raw", folder / "raw", folder]


def not_in_own_folder() -> str:
    """A sentence about a VAELIB_DATA that lacks some of the files, or nothing."""
    folders = own_folders()
    missing = [file.name for file in MNIST.values() if _found(file, folders) is None]
    if not folders or not missing:
        return ""
    named = f"VAELIB_DATA={os.environ['VAELIB_DATA']}"
    if not folders[-1].is_dir():
        return f"{named} is not a folder that exists, and MNIST is looked for elsewhere. Is the path right?"
    which = "the files of MNIST" if len(missing) == len(MNIST) else ", ".join(missing)
    return (
        f"{named} does not hold {which}, neither in mnist, in MNIST/raw, nor in the folder itself, compressed (.gz) or"
        " not: looked for elsewhere."
    )


def mnist_folders() -> list[Path]:
    """Where the files of MNIST are looked for, in this order; a download goes into the last."""
    import pooch

    return [*own_folders(), Path(pooch.os_cache("vaelib")) / "mnist"]


def _found(file: IdxFile, folders: list[Path]) -> Path | None:
    paths = (folder / name for folder in folders for name in (file.name, file.name + ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _read_mnist(file: IdxFile) -> Array:
    folders = mnist_folders()
    path = _found(file, folders) or _download(file, folders[-1])
    return _parse(_verified(path, file), file)


def _parse(content: bytes, file: IdxFile) -> Array:
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def _verified(path: Path, file: IdxFile) -> bytes:
    """The uncompressed content of `path`, proven to be that of `file`."""
    remedy = f"Delete {path} and run again; it is then downloaded afresh."
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"Expected {path} to be a whole gzip file, but it is cut off or damaged ({error}). {remedy}"
        ) from error
    except OSError as error:
        raise DataError(f"Could not read {path}: {error.strerror}. Check its permissions.") from error
    if len(content) != file.size:
        state = "cut off" if len(content) < file.size else "another file, or has something appended"
        raise DataError(
            f"Expected {path} to hold {file.size:,} bytes uncompressed, for shape {file.shape}, but it holds"
            f" {len(content):,}: it is {state}. {remedy}"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise DataError(
            f"Expected {path} to have SHA-256 {file.sha256} uncompressed, but it has {digest}: its content was"
            f" altered, or it is another data set in the same format. {remedy}"
        )
    if not content.startswith(file.header):
        raise DataError(f"Expected {path} to begin with the header of an IDX file of shape {file.shape}. {remedy}")
    return content


def _download(file: IdxFile, folder: Path) -> Path:
    """Fetch `file` from the first mirror that has it, check it, and only then give it its name in `folder`."""
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would advise to write down the hash that is checked here anyway
    name = file.name + ".gz"
    failures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
            for mirror in MIRRORS:
                try:
                    with DownloadBar(name) as bar:
                        fetch = pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)
                        fetched = Path(pooch.retrieve(mirror + name, None, name, temporary, downloader=fetch))
                    _verified(fetched, file)
                except (OSError, DataError) as error:  # whatever requests raises is an OSError
                    if getattr(error, "errno", None) == errno.ENOSPC:
                        raise
                    arrived = isinstance(error, DataError)
                    reason = "arrived cut off or altered" if arrived else type(error).__name__
                    failures.append(f"{mirror}{name}: {reason}")
                    (Path(temporary) / name).unlink(missing_ok=True)
                    continue
                os.replace(fetched, folder / name)
                return folder / name
    except OSError as error:
        raise DataError(
            f"Could not write to {folder}: {error.strerror}. Make room there, or put the four files of MNIST into"
            " FOLDER/mnist and set VAELIB_DATA=FOLDER."
        ) from error
    lacking = not_in_own_folder()
    raise DataError(
        f"MNIST is not on this machine, and {name} could not be downloaded ({'; '.join(failures)}). Is there a network?"
        f" Otherwise get the four files ({', '.join(f.name + '.gz' for f in MNIST.values())}) from one of these"
        f" addresses by other means and put them into {folder}, or into FOLDER/mnist with VAELIB_DATA=FOLDER set."
        f" {option('data', 'digits')} needs no network." + (f" {lacking}" if lacking else "")
    )


class DownloadBar:
    """A progress bar that `pooch` can drive; shown on a terminal, silent elsewhere."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.total = 0
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(name, total=None)

    def __enter__(self) -> DownloadBar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, size: int) -> None:
        self._progress.update(self._task, total=self.total, advance=size)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.refresh()
