"""What is on disk: written whole or not at all, and nothing damaged is read."""

from __future__ import annotations

import json
import os
import pickle
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelib import checkpoint
from vaelib.config import RunError, TrainConfig

PAYLOAD: dict[str, Any] = {
    "config": TrainConfig().as_dict(),
    "data": {"pixels": 12},
    "model": {"weight": torch.arange(5000.0), "bias": torch.ones(7)},
    "order": None,
}


def test_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    loaded = checkpoint.load(tmp_path)
    assert TrainConfig(**loaded["config"]) == TrainConfig() and loaded["order"] is None
    assert torch.equal(loaded["model"]["weight"], PAYLOAD["model"]["weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    checkpoint.write(tmp_path / "written", b"x")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_checkpoint_is_refused(tmp_path: Path, share: float) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    path = tmp_path / "checkpoint.pt"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"to be a whole checkpoint, but it is cut off, altered, or none .*train again"):
        checkpoint.load(tmp_path)


def test_flipped_bit_in_a_tensor_is_noticed(tmp_path: Path) -> None:
    """torch.load by itself takes it: this is why the checksums are compared."""
    checkpoint.save(tmp_path, PAYLOAD)
    path = tmp_path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    at = bytes(content).index(torch.arange(2000.0, 2010.0).numpy().tobytes())
    content[at + 2] ^= 1
    path.write_bytes(bytes(content))
    assert not torch.equal(torch.load(path, weights_only=True)["model"]["weight"], PAYLOAD["model"]["weight"])
    with pytest.raises(RunError, match=r"altered.*checksum of"):
        checkpoint.load(tmp_path)


def test_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({**PAYLOAD, "harm": Harmful()}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match="altered, or none"):
        checkpoint.load(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1])])
def test_other_files_are_no_checkpoints(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match="to be a whole checkpoint"):
        checkpoint.load(tmp_path)


def test_another_zip_and_another_program_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(RunError, match="to be a whole checkpoint"):
        checkpoint.load(tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match=r"written by vaelib, but it has no 'config'\. Is it another program's"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_full_disk_leaves_the_earlier_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def fill(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, fill)
    with pytest.raises(RunError, match=r"No space left on device\. Is the disk full\? The earlier one is untouched"):
        checkpoint.save(tmp_path, {**PAYLOAD, "order": torch.zeros(9)})
    monkeypatch.undo()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"Could not make the folder .*Give another --out"):
        checkpoint.begin(tmp_path / "file" / "run", TrainConfig(), {})
    with pytest.raises(RunError, match="Could not write"):
        checkpoint.write(tmp_path / "nowhere" / "x", b"")


@pytest.mark.parametrize("content", ["{", "[1, 2]", "3"])
def test_settings_that_cannot_be_read_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match="settings of a run as JSON"):
        checkpoint.read_config(tmp_path)


def test_missing_run_names_those_beside_it(tmp_path: Path) -> None:
    checkpoint.begin(tmp_path / "here", TrainConfig(), {"torch": "x"})
    with pytest.raises(RunError, match=r"there is no config.json\. Is the path right\? What exists: .*here"):
        checkpoint.read_config(tmp_path / "there")
    assert checkpoint.read_config(tmp_path / "here")["torch"] == "x"


def test_metrics_are_appended_and_rewritten(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        checkpoint.append_metrics(tmp_path, {"epoch": epoch})
    checkpoint.write_metrics(tmp_path, [{"epoch": 1}, {"epoch": 2}])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 1}, {"epoch": 2}]


def test_clear_removes_the_run_and_leaves_other_files(tmp_path: Path) -> None:
    checkpoint.begin(tmp_path, TrainConfig(), {})
    (tmp_path / "notes.txt").touch()
    checkpoint.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    checkpoint.clear(tmp_path / "nowhere")
