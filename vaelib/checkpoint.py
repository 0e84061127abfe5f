"""A run on disk: what is written is written whole or not at all, and what is read is checked.

A folder holds `config.json`, `metrics.jsonl` (one line an epoch) and `checkpoint.pt`, from which training goes on.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from vaelib.config import RunError, TrainConfig

CONFIG, METRICS, CHECKPOINT = "config.json", "metrics.jsonl", "checkpoint.pt"


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
        temporary.unlink(missing_ok=True)
        kept = " The earlier one is untouched." if path.exists() else ""
        raise RunError(f"Could not write {path}: {error.strerror or error}. Is the disk full?{kept}") from error


def write_json(path: Path, content: Any) -> None:
    write(path, (json.dumps(content, indent=2) + "\n").encode())


def write_metrics(folder: Path, history: Iterable[dict[str, Any]]) -> None:
    """All lines anew; what stood there of epochs that are not in `history` is gone."""
    write(folder / METRICS, "".join(json.dumps(record) + "\n" for record in history).encode())


def append_metrics(folder: Path, record: dict[str, Any]) -> None:
    """One more line. A torn one is mended on resuming, which writes all lines anew from the checkpoint."""
    with open(folder / METRICS, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def save(folder: Path, payload: dict[str, Any]) -> None:
    """Write the checkpoint: tensors, numbers, strings, lists and dictionaries only, so that loading runs no code."""
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    write(folder / CHECKPOINT, buffer.getvalue())


def load(folder: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read the checkpoint of a run.

    Raises:
        RunError: there is none, or it is cut off or altered. PyTorch alone would load a flipped bit in silence; here
            the checksums that its zip format keeps for every tensor are compared.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        begun = " --resume" if (folder / CONFIG).is_file() else ""  # a run that stopped before its first checkpoint
        raise RunError(
            f"Expected a checkpoint at {path}, but there is none. Train first: vaelib train --out {folder}{begun}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"checksum of {damaged}")
        payload: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"Expected {path} to be a whole checkpoint, but it is cut off, altered, or none ({reason}). Put back a"
            f" copy, or delete {path.parent} and train again."
        ) from error
    missing = [key for key in ("config", "data", "model") if key not in payload]
    if missing:
        raise RunError(
            f"Expected {path} to be written by vaelib, but it has no {missing[0]!r}. Is it another program's?"
        )
    return payload


def begin(folder: Path, config: TrainConfig, about: dict[str, Any]) -> None:
    """Claim `folder` for a new run and write its config.json.

    Raises:
        RunError: the folder holds a run already, or cannot be made.
    """
    held = [name for name in (CONFIG, METRICS, CHECKPOINT) if (folder / name).exists()]
    if held:
        raise RunError(
            f"Expected {folder} to hold no run, but it has {held[0]}. Add --resume to go on with that run, or give"
            " another --out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Could not make the folder {folder}: {error.strerror}. Give another --out.") from error
    write_json(folder / CONFIG, {**config.as_dict(), **about})


def clear(folder: Path) -> None:
    """Forget the run in `folder`, if there is one; other files stay."""
    for name in (CHECKPOINT, METRICS, CONFIG):
        (folder / name).unlink(missing_ok=True)


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

    Raises:
        RunError: names each field that differs.
    """
    asked = config.as_dict()
    differing = [name for name, value in asked.items() if value != stored.get(name)]
    if "epochs" in differing and config.schedule != "cosine" and config.epochs > stored["epochs"]:
        differing.remove("epochs")
    if differing:
        listed = "; ".join(f"{name} was {stored.get(name)!r}, now {asked[name]!r}" for name in differing)
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


def _runs(folder: Path) -> str:
    found = sorted(str(path.parent) for path in folder.parent.glob(f"*/{CONFIG}"))
    return ", ".join(found[:5]) or "no run beside it"
