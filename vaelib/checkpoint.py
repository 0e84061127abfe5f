"""A run on disk: what is written is written whole or not at all, and what is read is checked before it is used.

A folder holds `config.json`, `metrics.jsonl` (one line an epoch) and `checkpoint.pt`, from which training goes on;
where training watches a validation bound, also `best.pt`, the checkpoint with the best one. A checkpoint begins with

    vaelib checkpoint 2 sha256 <digest>

that names the version of the format and the SHA-256 of all bytes after it, which are those of `torch.save`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from vaelib.config import RunError, TrainConfig

CONFIG, METRICS, CHECKPOINT, BEST = "config.json", "metrics.jsonl", "checkpoint.pt", "best.pt"
FILES = (CONFIG, METRICS, CHECKPOINT, BEST)
VERSION = 2  # of the checkpoint's format; 1 had no first line
FIRST_LINE = re.compile(rb"vaelib checkpoint ([1-9]\d{0,8}) sha256 ([0-9a-f]{64})")
DEFAULTS = TrainConfig().as_dict()
MAY_CHANGE = ("compile", "device", "threads")  # on resuming; the result is then not the same bit for bit


def write(path: Path, content: bytes) -> None:
    """Replace the file at `path` by `content` in one act: a reader, or a crash, sees the old one or the new one.

    Raises:
        RunError: it could not be written; the old file is still there, and nothing half-written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        kept = " The earlier one is untouched." if path.exists() else ""
        raise RunError(f"Could not write {path}: {error.strerror or error}. Is the disk full?{kept}") from error
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


def tidy(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left behind."""
    for path in folder.glob(".*"):
        name, _, process = path.name[1:].rpartition(".")
        if name in FILES and process.isdecimal():
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    write(path, (json.dumps(content, indent=2) + "\n").encode())


def write_metrics(folder: Path, history: Iterable[dict[str, Any]]) -> None:
    """All lines anew; what stood there of epochs that are not in `history` is gone."""
    write(folder / METRICS, "".join(json.dumps(record) + "\n" for record in history).encode())


def append_metrics(folder: Path, record: dict[str, Any]) -> None:
    """One more line. A torn one is mended on resuming, which writes all lines anew from the checkpoint.

    Raises:
        RunError: it could not be written.
    """
    path = folder / METRICS
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise RunError(
            f"Could not write {path}: {error.strerror or error}. Is the disk full? Make room and go on with --resume;"
            " the checkpoint is untouched."
        ) from error


def save(folder: Path, payload: dict[str, Any], name: str = CHECKPOINT) -> None:
    """Write a checkpoint: tensors, numbers, strings, lists and dictionaries only, so that loading runs no code."""
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    content = buffer.getbuffer()
    line = f"vaelib checkpoint {VERSION} sha256 {hashlib.sha256(content).hexdigest()}\n"
    write(folder / name, b"".join((line.encode(), content)))
    tidy(folder)


def load(folder: Path, device: str | torch.device = "cpu", name: str = CHECKPOINT) -> dict[str, Any]:
    """Read a checkpoint of a run.

    Nothing is unpickled before version and SHA-256 are those that its first line promises: PyTorch alone would load a
    flipped bit in silence.

    Raises:
        RunError: there is none, it is cut off or altered, or something else wrote it.
    """
    path = folder / name
    if not path.is_file():
        if name == BEST:
            raise RunError(
                f"Expected {path}, the best model of a run with a validation set, but it is missing. Was it deleted?"
                " Put it back, or train anew with another --out."
            )
        begun = " --resume" if (folder / CONFIG).is_file() else ""  # a run that stopped before its first checkpoint
        raise RunError(
            f"Expected a checkpoint at {path}, but there is none. Train first: vaelib train --out {folder}{begun}"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"Could not read {path}: {error.strerror or error}. Check its permissions.") from error
    body = _verified(content, path)
    try:
        payload = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the digest is right: these bytes were written so, by whatever program
        raise _refusal(  # without PyTorch's words, which advise to run the code in it
            path,
            f"what follows its first line is not tensors and numbers alone ({type(error).__name__})",
            "It may hold code that runs on loading: do not trust it.",
        ) from error
    missing = [key for key in ("config", "data", "model") if not isinstance(payload, dict) or key not in payload]
    if missing:
        raise _refusal(path, f"it has no {missing[0]!r}", "Is it another program's?")
    return dict(payload)


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
    """Claim `folder` for a new run and write its config.json.

    Raises:
        RunError: the folder holds a run already, or cannot be made.
    """
    held = [name for name in FILES if (folder / name).exists()]
    if held:
        raise RunError(
            f"Expected {folder} to hold no run, but it has {held[0]}. Add --resume to go on with that run, or give"
            " another --out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Could not make the folder {folder}: {error.strerror}. Give another --out.") from error
    tidy(folder)
    write_json(folder / CONFIG, {**config.as_dict(), **about})


def clear(folder: Path) -> None:
    """Forget the run in `folder`, if there is one; other files stay."""
    for name in reversed(FILES):
        (folder / name).unlink(missing_ok=True)
    tidy(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says, the fields of TrainConfig and what else is known about the run."""
    path = folder / CONFIG
    if not path.is_file():
        raise RunError(
            f"Expected a run in {folder}, but there is no {CONFIG}. Is the path right? What exists: {_runs(folder)}."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"Expected {path} to hold the settings of a run as JSON, but could not read it ({error})."
        ) from error


def require_same(folder: Path, config: TrainConfig, stored: dict[str, Any], fingerprint: str) -> None:
    """A run goes on with the settings and data that it began with; only more epochs may be asked for.

    What an older config.json does not mention had its default. Where a run computes may change; see `not_bitwise`.

    Raises:
        RunError: names each field that differs.
    """
    asked, stored = config.as_dict(), {**DEFAULTS, **stored}
    differing = [name for name, value in asked.items() if value != stored[name] and name not in MAY_CHANGE]
    if "epochs" in differing and config.schedule != "cosine" and config.epochs > stored["epochs"]:
        differing.remove("epochs")
    if differing:
        listed = "; ".join(f"{name} was {stored[name]!r}, now {asked[name]!r}" for name in differing)
        why = ""
        if "epochs" in differing:
            why = (
                " A cosine schedule depends on the number of epochs from the start."
                if config.schedule == "cosine"
                else " Epochs can be added, not taken away."
            )
        raise RunError(
            f"Expected the settings with which {folder} began, but {listed}.{why} Leave them out, or give another"
            " --out."
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
            " it back, or train anew with another --out."
        )


def not_bitwise(stored: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each way in which a resumed run cannot equal an uninterrupted one bit for bit.

    Args:
        stored: config.json of the run. now: the same entries of this process; what either does not mention is not
            compared.
    """
    stored = {"compile": False, **stored}
    said = {
        "torch": "PyTorch was {}, now it is {}",
        "threads": "The CPU threads were {}, now they are {}",
        "device": "The device was {}, now it is {}",
        "compile": "Compilation was {}, now it is {}",
    }
    words = {True: "on", False: "off"}
    changed = [name for name in said if name in stored and name in now and stored[name] != now[name]]
    why = ": sums are rounded in another order, so the result will not be the same bit for bit."
    return [
        said[name].format(*(words[v] if isinstance(v, bool) else v for v in (stored[name], now[name]))) + why
        for name in changed
    ]


def _runs(folder: Path) -> str:
    found = sorted(str(path.parent) for path in folder.parent.glob(f"*/{CONFIG}"))
    return ", ".join(found[:5]) or "no run beside it"
