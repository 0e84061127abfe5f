"""A run on disk: what is written is written whole or not at all, and what is read is checked before it is used.

A folder holds `config.json`, `metrics.jsonl` (one line an epoch) and `checkpoint.pt`, from which training goes on;
where training watches a validation bound, also `best.pt`, the checkpoint with the best one. A checkpoint begins with

    vaelib checkpoint 2 sha256 <digest>

that names the version of the format and the SHA-256 of all bytes after it, which are those of `torch.save`. What they
hold is checked by `vaelib.train.payload`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from vaelib import _files
from vaelib._spoken import option, quoted
from vaelib.train import lock, payload
from vaelib.train.config import RunError, TrainConfig

CONFIG, METRICS, CHECKPOINT, BEST = "config.json", "metrics.jsonl", "checkpoint.pt", "best.pt"
FILES = (CONFIG, METRICS, CHECKPOINT, BEST)
VERSION = 2  # of the checkpoint's format; 1 had no first line
FIRST_LINE = re.compile(rb"vaelib checkpoint ([1-9]\d{0,8}) sha256 ([0-9a-f]{64})")
DEFAULTS = TrainConfig().as_dict()
MAY_CHANGE = ("compile", "device", "threads", "processes")  # on resuming; the result is then not the same bit for bit
ADVICE = {
    errno.ENOSPC: "Is the disk full?",
    errno.EDQUOT: "Is your share of the disk used up?",
    errno.EFBIG: "Is there a limit on the size of files (ulimit -f)?",
    errno.EACCES: "Check the permissions, or give another folder.",
    errno.EPERM: "Check the permissions, or give another folder.",
    errno.EROFS: "Give a folder on a disk that can be written.",
    errno.ENOENT: "Was its folder removed?",
    errno.EISDIR: "There is a folder of that name: rename it.",
    errno.EIO: "Is the disk damaged, or gone?",
}


def why(error: OSError) -> str:
    """What the system says, and the likely cause where there is one."""
    return " ".join([f"{error.strerror or error}.", *filter(None, [ADVICE.get(error.errno or 0)])])


def write(path: Path, content: bytes) -> None:
    """`_files.write`, with the likely cause where it fails.

    Raises:
        RunError: it could not be written; the earlier file is still there, and nothing half-written.
    """
    try:
        _files.write(path, content)
    except OSError as error:
        kept = " The earlier one is untouched." if path.exists() else ""
        raise RunError(f"Could not write {path}: {why(error)}{kept}") from error


def tidy(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left behind."""
    for path in folder.glob(".*"):
        name, _, process = path.name[1:].rpartition(".")
        if name in FILES and process.isdecimal():
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    write(path, (json.dumps(content, indent=2) + "\n").encode())


def write_metrics(folder: Path, history: Iterable[dict[str, Any]]) -> None:
    """Every line once more; what was there of epochs that are not in `history` is gone."""
    write(folder / METRICS, "".join(json.dumps(record) + "\n" for record in history).encode())


def append_metrics(folder: Path, record: dict[str, Any]) -> None:
    """One more line. A torn one is mended on resuming, which writes all lines again from the checkpoint.

    Raises:
        RunError: it could not be written.
    """
    path = folder / METRICS
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise RunError(
            f"Could not write {path}: {why(error)} The checkpoint is untouched: mend this, and go on with"
            f" {option('resume', True)}."
        ) from error


def save(folder: Path, content: dict[str, Any], name: str = CHECKPOINT) -> None:
    """Write a checkpoint: tensors, numbers, strings, lists and dictionaries only, so that loading runs no code."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getbuffer()
    line = f"vaelib checkpoint {VERSION} sha256 {hashlib.sha256(body).hexdigest()}\n"
    write(folder / name, b"".join((line.encode(), body)))
    tidy(folder)


def load(folder: Path, device: str | torch.device = "cpu", name: str = CHECKPOINT) -> dict[str, Any]:
    """Read a checkpoint of a run: all of what training goes on from, or, of `BEST`, the model and its epoch.

    Nothing is unpickled before version and SHA-256 are those that its first line promises: PyTorch alone would load a
    flipped bit in silence.

    Raises:
        RunError: there is none, it is cut off or altered, it does not hold what it should, or something else wrote it.
    """
    path = folder / name
    if not path.is_file():
        if name == BEST:
            raise RunError(
                f"Expected {path}, the best model of a run with a validation set, but it is missing. Was it deleted?"
                f" Put it back, or train again with another {option('out')}."
            )
        begun = " --resume" if (folder / CONFIG).is_file() else ""  # a run that stopped before its first checkpoint
        first = f"vaelib train --out {quoted(folder)}{begun}"
        raise RunError(f"Expected a checkpoint at {path}, but there is none. Train first: {first}")
    try:
        body = _verified(path.read_bytes(), path)
    except OSError as error:
        raise RunError(f"Could not read {path}: {why(error)}") from error
    try:
        content = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the digest is right: these bytes were written so, by whatever program
        raise _refusal(  # without PyTorch's words, which advise to run the code in it
            path,
            f"what follows its first line is not tensors and numbers alone ({type(error).__name__})",
            "It may hold code that runs on loading: do not trust it.",
        ) from error
    require(path, payload.complaint(content, payload.BEST if name == BEST else payload.WHOLE))
    return dict(content)


def require(path: Path, complaint: payload.Complaint | None) -> None:
    """Refuse the checkpoint at `path` if there is something to complain of."""
    if complaint is not None:
        raise _refusal(path, *complaint)


def _verified(content: bytes, path: Path) -> bytes:
    """What follows the first line, proven to be what was saved."""
    line, _, body = content.partition(b"\n")
    if not content:
        raise _refusal(path, "it is empty", "Was the disk full when it was copied?")
    if content.startswith(b"PK"):  # a bare zip, as torch.save writes it
        raise _refusal(
            path,
            "it has no first line with version and SHA-256",
            "It was written by an earlier vaelib, or by another program.",
        )
    match = FIRST_LINE.fullmatch(line)
    if match is None:
        raise _refusal(
            path, "it does not begin as one", "Its first line is cut off or altered, or it is another program's."
        )
    version = int(match[1])
    if version != VERSION:
        age, advice = ("a newer", "Update vaelib.") if version > VERSION else ("an older", "Use that one to read it.")
        raise _refusal(path, f"its format is version {version}, not {VERSION}", f"Written by {age} vaelib? {advice}")
    digest = hashlib.sha256(body).hexdigest()
    if digest.encode() != match[2]:
        raise _refusal(
            path,
            f"its {len(body):,} bytes have SHA-256 {digest[:16]}..., not {match[2].decode()[:16]}... as its first"
            " line says",
            "It was cut off or altered after it was saved.",
        )
    return body


def _refusal(path: Path, came: str, cause: str) -> RunError:
    return RunError(
        f"Expected {path} to be a whole checkpoint, but {came}. {cause} Put back a copy, or delete {path.parent} and"
        " train again."
    )


def begin(folder: Path, config: TrainConfig, about: dict[str, Any]) -> None:
    """Write the config.json of a new run into `folder`.

    Raises:
        RunError: the folder holds a run already, cannot be made, or what is written there could not be read.
    """
    make(folder)
    tidy(folder)
    write_json(folder / CONFIG, {**config.as_dict(), **about})
    if not _readable(folder / CONFIG):
        (folder / CONFIG).unlink()
        raise _unreadable(folder / CONFIG)


def make(folder: Path) -> None:
    """An empty folder for a new run, or one without a run in it.

    Raises:
        RunError: it holds a run already, or cannot be made.
    """
    held = [name for name in FILES if (folder / name).exists()]
    if held:
        raise RunError(
            f"Expected {folder} to hold no run, but it has {held[0]}. Add {option('resume', True)} to go on with that"
            f" run, or give another {option('out')}."
        )
    existed = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"Could not make the folder {folder}: {error.strerror}. Give another {option('out')}."
        ) from error
    if not existed and not _readable(folder):
        folder.rmdir()
        raise _unreadable(folder)


def _readable(path: Path) -> bool:
    """May the owner read and write what was just made, and enter it if it is a folder? Windows has other ways."""
    wanted = stat.S_IRUSR | stat.S_IWUSR | (stat.S_IXUSR if path.is_dir() else 0)
    return os.name == "nt" or path.stat().st_mode & wanted == wanted


def _unreadable(path: Path) -> RunError:
    return RunError(
        f"Expected to be able to read what is written, but {path} was made without that permission, and is removed."
        " Is the umask too strict? Set `umask 077` (you alone) or `umask 022` (others may read) and run again."
    )


def clear(folder: Path) -> None:
    """Forget the run in `folder`, if there is one; other files stay.

    Raises:
        RunError: it is being trained, or cannot be removed.
    """
    if not folder.is_dir():
        return
    with lock.held(folder):
        try:
            for name in reversed(FILES):
                (folder / name).unlink(missing_ok=True)
            tidy(folder)
        except OSError as error:
            raise RunError(f"Could not clear {folder}: {why(error)}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says: the fields of TrainConfig, checked, and what else is known about the run.

    What an older config.json does not mention had its default; `data` it always names.

    Raises:
        RunError: there is none, or it cannot be read as the settings of a run.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise RunError(
            f"Expected a run in {folder}, but there is no {CONFIG}. Is the path right? What exists: {_runs(folder)}."
        )
    try:
        content = dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RunError(f"Could not read {path}: {why(error)}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise RunError(
            f"Expected {path} to hold the settings of a run as JSON, but could not read it ({error})."
        ) from error
    if "data" not in content:
        raise RunError(f"Expected {path} to say what `data` the run is trained on, but it does not. Was it edited?")
    try:
        settings(content)
    except RunError as error:
        raise RunError(f"{path} holds a setting that is refused. {error} Was it edited?") from error
    return content


def treatment(folder: Path, stored: dict[str, Any]) -> str:
    """How the pixels of a run were treated, which its config.json says once it has begun."""
    mode = stored.get("binarization", "auto")
    if mode == "auto":
        raise RunError(
            f"Expected {folder / CONFIG} to say how the pixels were treated, as `binarization`, but got {mode!r}. Was"
            " it edited?"
        )
    return str(mode)


def settings(stored: dict[str, Any]) -> TrainConfig:
    """The settings among all that config.json holds."""
    return TrainConfig(**{name: stored[name] for name in DEFAULTS if name in stored})


def require_same(folder: Path, config: TrainConfig, stored: dict[str, Any], fingerprint: str) -> None:
    """A run goes on with the settings and data that it began with; only more epochs may be asked for.

    What an older config.json does not mention had its default. Where a run computes may change (see `not_bitwise`), and
    so may the name of the data: they are known by their fingerprint.

    Raises:
        RunError: names each field that differs.
    """
    asked, stored = config.as_dict(), {**DEFAULTS, **stored}
    differing = [name for name, value in asked.items() if value != stored[name] and name not in (*MAY_CHANGE, "data")]
    if "epochs" in differing and config.schedule != "cosine" and config.epochs > stored["epochs"]:
        differing.remove("epochs")
    if differing:
        listed = "; ".join(f"{name} was {stored[name]!r}, now {asked[name]!r}" for name in differing)
        reason = ""
        if "epochs" in differing:
            reason = (
                " A cosine schedule depends on the number of epochs from the start."
                if config.schedule == "cosine"
                else " Epochs can be added, not taken away."
            )
        raise RunError(
            f"Expected the settings with which {folder} began, but {listed}.{reason} Leave them out, or give another"
            f" {option('out')}."
        )
    require_same_data(folder, config.data, fingerprint, stored)


def require_same_data(folder: Path, name: str, fingerprint: str, stored: dict[str, Any]) -> None:
    """The data are those that the run was trained on.

    Raises:
        RunError: they are not.
    """
    if fingerprint != stored.get("data_sha256"):
        raise RunError(
            f"Expected the data with which {folder} was trained, but {name} is not the same, or has changed since. Put"
            f" it back, or train again with another {option('out')}."
        )


def not_bitwise(stored: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each way in which a resumed run cannot equal an uninterrupted one bit for bit.

    Args:
        stored: config.json of the run. now: the same entries of this process; what either does not mention is not
            compared.
    """
    stored = {"compile": False, "processes": 1, **stored}
    said = {
        "torch": "PyTorch was {}, now it is {}",
        "threads": "The CPU threads were {}, now they are {}",
        "processes": "The processes were {}, now they are {}",
        "device": "The device was {}, now it is {}",
        "compile": "Compilation was {}, now it is {}",
    }
    words = {True: "on", False: "off"}
    changed = [name for name in said if name in stored and name in now and stored[name] != now[name]]
    reason = ": sums are rounded in another order, so the result will not be the same bit for bit."
    return [
        said[name].format(*(words[v] if isinstance(v, bool) else v for v in (stored[name], now[name]))) + reason
        for name in changed
    ]


def _runs(folder: Path) -> str:
    found = sorted(str(path.parent) for path in folder.parent.glob(f"*/{CONFIG}"))
    return ", ".join(found[:5]) or "no run beside it"
