"""What is on disk: written whole or not at all, and nothing damaged is read."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import random
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelib.train import RunError, TrainConfig, checkpoint

PAYLOAD: dict[str, Any] = {
    "config": TrainConfig().as_dict(),
    "data": {"image_shape": [3, 4], "sha256": "abc", "unit": [0.0, 1.0]},
    "model": {"weight": torch.arange(5000.0), "bias": torch.ones(7)},
    "optimizer": {},
    "generator": torch.zeros(16, dtype=torch.uint8),
    "order": torch.arange(3),
    "sums": torch.zeros(3, dtype=torch.float64),
    "epoch": 0,
    "step": 0,
    "position": 0,
    "history": [],
}


def test_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    loaded = checkpoint.load(tmp_path)
    assert TrainConfig(**loaded["config"]) == TrainConfig() and loaded["order"].tolist() == [0, 1, 2]
    assert torch.equal(loaded["model"]["weight"], PAYLOAD["model"]["weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    checkpoint.write(tmp_path / "written", b"x")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def signed(body: bytes, version: int = 2) -> bytes:
    """A file with a right first line."""
    return f"vaelib checkpoint {version} sha256 {hashlib.sha256(body).hexdigest()}\n".encode() + body


def body(payload: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    return buffer.getvalue()


def refusal(folder: Path, content: bytes) -> str:
    """Puts `content` where the checkpoint is; what `load` says about it, in one paragraph with what to do."""
    (folder / "checkpoint.pt").write_bytes(content)
    with pytest.raises(
        RunError, match=r"^Expected .*checkpoint\.pt to be a whole checkpoint, but .*train again\.$"
    ) as info:
        checkpoint.load(folder)
    return str(info.value)


def test_first_line_names_version_and_digest_of_the_rest(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    content = (tmp_path / "checkpoint.pt").read_bytes()
    rest = content.split(b"\n", 1)[1]
    assert content == signed(rest)
    assert torch.load(io.BytesIO(rest), weights_only=True)["data"] == PAYLOAD["data"]


def test_every_flipped_byte_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    """The whole first line, and 200 places in the rest, of which torch.load by itself takes most in silence."""
    checkpoint.save(tmp_path, PAYLOAD)
    content = (tmp_path / "checkpoint.pt").read_bytes()
    header = content.index(b"\n") + 1
    rng = random.Random(0)
    silent = 0
    for at in [*range(header), *rng.sample(range(header, len(content)), 200)]:
        altered = bytearray(content)
        altered[at] ^= rng.randrange(1, 256)
        assert ("altered" in refusal(tmp_path, bytes(altered))) or at < header
        if at >= header:
            try:
                torch.load(io.BytesIO(bytes(altered[header:])), weights_only=True)
                silent += 1
            except Exception:
                pass
    assert silent > 100
    (tmp_path / "checkpoint.pt").write_bytes(content)
    checkpoint.load(tmp_path)


def test_flipped_bit_is_noticed_before_anything_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    content = bytearray((tmp_path / "checkpoint.pt").read_bytes())
    content[content.index(torch.arange(2000.0, 2010.0).numpy().tobytes()) + 2] ^= 1
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("it was unpickled"))
    said = refusal(tmp_path, bytes(content))
    assert re.search(
        r"its [\d,]+ bytes have SHA-256 \w{16}\.\.\., not \w{16}\.\.\. as its first line says\. It was cut", said
    )


def test_truncation_is_noticed_at_every_length(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, PAYLOAD)
    content = (tmp_path / "checkpoint.pt").read_bytes()
    header = content.index(b"\n") + 1
    assert "it is empty" in refusal(tmp_path, b"")
    for length in range(1, header - 1):
        assert "Its first line is cut off" in refusal(tmp_path, content[:length])
    for length in [header - 1, header, header + 1, *range(header + 2, len(content), 499), len(content) - 1]:
        assert "It was cut off or altered" in refusal(tmp_path, content[:length])
    assert "It was cut off or altered" in refusal(tmp_path, content + b"x")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (1, r"format is version 1, not 2\. Written by an older vaelib\? Use that one to read it"),
        (3, r"format is version 3, not 2\. Written by a newer vaelib\? Update vaelib"),
    ],
)
def test_other_versions_of_the_format_are_refused(tmp_path: Path, version: int, message: str) -> None:
    assert re.search(message, refusal(tmp_path, signed(body(PAYLOAD), version)))


def test_checkpoint_without_a_first_line_is_refused(tmp_path: Path) -> None:
    """As they were written before they had one; any other zip looks the same."""
    assert body(PAYLOAD).startswith(b"PK")
    assert "written by an earlier vaelib, or by another program" in refusal(tmp_path, body(PAYLOAD))


class Harmful:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder / "executed"),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("write", [body, pickle.dumps])
@pytest.mark.parametrize("sign", [signed, lambda content: content])
def test_checkpoint_runs_no_code(tmp_path: Path, write: Any, sign: Any) -> None:
    said = refusal(tmp_path, sign(write({**PAYLOAD, "harm": Harmful(tmp_path)})))
    assert ("not tensors and numbers alone" in said and "do not trust it" in said) == (sign is signed)
    assert "weights_only" not in said  # PyTorch advises to run the code
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"hello", b"\n", b"\x89PNG\r\n\x1a\n", pickle.dumps([1]), b"vaelib checkpoint\n"])
def test_files_of_other_programs_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "it does not begin as one. Its first line is cut off or altered, or" in refusal(tmp_path, content)


@pytest.mark.parametrize("payload", [{"state_dict": {}}, [1, 2], 3, "config", {"config": {}, "data": {}}])
def test_signed_file_without_a_model_is_refused(tmp_path: Path, payload: Any) -> None:
    missing = "model" if isinstance(payload, dict) and "data" in payload else "config"
    assert f"it has no '{missing}'. Is it another program's?" in refusal(tmp_path, signed(body(payload)))


def test_missing_and_unreadable_checkpoints_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"best\.pt, the best model of a run .*Was it deleted"):
        checkpoint.load(tmp_path, name=checkpoint.BEST)
    checkpoint.save(tmp_path, PAYLOAD)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(RunError, match=r"Could not read .*checkpoint\.pt: Permission denied"):
        checkpoint.load(tmp_path)


def test_memory_that_runs_out_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    checkpoint.save(tmp_path, PAYLOAD)
    monkeypatch.setattr(torch, "load", fill)
    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load(tmp_path)


def test_best_checkpoint_lies_beside_the_last(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, {**PAYLOAD, "epoch": 3}, checkpoint.BEST)
    checkpoint.save(tmp_path, {**PAYLOAD, "step": 5})
    assert checkpoint.load(tmp_path, name=checkpoint.BEST)["epoch"] == 3 and checkpoint.load(tmp_path)["step"] == 5
    with pytest.raises(RunError, match=r"to hold no run, but it has checkpoint\.pt"):
        checkpoint.begin(tmp_path, TrainConfig(), {})
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(RunError, match=r"to hold no run, but it has best\.pt"):
        checkpoint.begin(tmp_path, TrainConfig(), {})
    checkpoint.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


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
        checkpoint.save(tmp_path, {**PAYLOAD, "order": torch.arange(9)})
    monkeypatch.undo()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, r"Is the disk full\?"),
        (errno.EDQUOT, "share of the disk"),
        (errno.EFBIG, "limit on the size of files"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "disk that can be written"),
        (errno.EIO, "damaged"),
        (errno.EBUSY, ""),
    ],
)
def test_cause_that_is_suspected_fits_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cause: str
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RunError, match=rf"Could not write .*x: {os.strerror(number)}\..*{cause}") as caught:
        checkpoint.write(tmp_path / "x", b"1")
    assert ("disk full" in str(caught.value)) == (number == errno.ENOSPC)


@pytest.mark.skipif(os.name == "nt", reason="no umask")
@pytest.mark.parametrize("umask", [0o777, 0o477, 0o377])
@pytest.mark.parametrize("there", [True, False])
def test_umask_that_takes_away_reading_is_said_and_leaves_nothing(tmp_path: Path, umask: int, there: bool) -> None:
    folder = tmp_path / "run"
    if there:
        folder.mkdir()
    before = os.umask(umask)
    try:
        with pytest.raises(RunError, match=r"made without that permission, and is removed\. Is the umask too strict"):
            checkpoint.begin(folder, TrainConfig(), {})
    finally:
        os.umask(before)
    assert folder.exists() == there and (not there or list(folder.iterdir()) == [])


def test_command_to_paste_names_a_folder_with_a_space_as_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Train first: vaelib train --out '.*my run'$"):
        checkpoint.load(tmp_path / "my run")


def test_full_disk_is_said_where_metrics_are_appended(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(
        RunError, match=r"Could not write .*metrics\.jsonl: No space left .*Is the disk full.*resume=True"
    ):
        checkpoint.append_metrics(tmp_path, {"epoch": 1})


def test_interrupt_while_writing_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, PAYLOAD)

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, {**PAYLOAD, "order": torch.zeros(9)})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert len(checkpoint.load(tmp_path)["order"]) == 3


def test_what_a_killed_process_left_is_tidied_up_and_nothing_else(tmp_path: Path) -> None:
    others = [".hidden", "checkpoint.pt.1", ".checkpoint.pt.bak", ".notes.txt.12"]
    for tidied in (checkpoint.tidy, lambda folder: checkpoint.save(folder, PAYLOAD), checkpoint.clear):
        for name in (".checkpoint.pt.123", ".best.pt.7", ".config.json.9", ".metrics.jsonl.12", *others):
            (tmp_path / name).touch()
        tidied(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} - {"checkpoint.pt"} == set(others)


def test_folder_is_synced_after_the_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the name then outlives a power cut cannot be tested here; that the system is asked to, can."""
    calls: list[str] = []
    replace, sync = os.replace, os.fsync

    def watched_sync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def watched_replace(*args: Any) -> None:
        calls.append("replace")
        replace(*args)

    monkeypatch.setattr("os.fsync", watched_sync)
    monkeypatch.setattr("os.replace", watched_replace)
    checkpoint.write(tmp_path / "x", b"1")
    assert calls == ["file", "replace", "folder"]


def test_folder_that_cannot_be_opened_is_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""

    def refuse(*args: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    checkpoint.write(tmp_path / "x", b"1")
    assert (tmp_path / "x").read_bytes() == b"1"


def test_unwritable_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"Could not make the folder .*Give another `out`"):
        checkpoint.begin(tmp_path / "file" / "run", TrainConfig(), {})
    with pytest.raises(RunError, match="Could not write"):
        checkpoint.write(tmp_path / "nowhere" / "x", b"")


@pytest.mark.parametrize("content", ["{", "[1, 2]", "3", "null", "[[1, 2]]x"])
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


# ----------------------------------------------------------------------------------------------- going on with a run


SMALL: dict[str, Any] = {"decoder": "gaussian", "device": "cpu", "epochs": 4}


def test_field_that_an_older_run_did_not_know_had_its_default(tmp_path: Path) -> None:
    stored = {**TrainConfig(**SMALL).as_dict(), "data_sha256": "abc"}
    del stored["beta"], stored["layer_norm"], stored["activation"]
    checkpoint.require_same(tmp_path, TrainConfig(**SMALL), stored, "abc")
    with pytest.raises(RunError, match=r"beta was 1\.0, now 3\.0\."):
        checkpoint.require_same(tmp_path, TrainConfig(**SMALL, beta=3.0), stored, "abc")


def test_where_a_run_computes_may_change_and_nothing_else(tmp_path: Path) -> None:
    stored = {**TrainConfig(**SMALL).as_dict(), "data_sha256": "abc"}
    other = {**SMALL, "device": "cuda", "compile": True}
    checkpoint.require_same(tmp_path, TrainConfig(**other), stored, "abc")
    with pytest.raises(RunError, match=r"but latent_dim was 10, now 11; seed was 0, now 4\. Leave them out"):
        checkpoint.require_same(tmp_path, TrainConfig(**other, latent_dim=11, seed=4), stored, "abc")
    with pytest.raises(RunError, match="is not the same, or has changed since"):
        checkpoint.require_same(tmp_path, TrainConfig(**other), stored, "abd")


def test_what_makes_a_resumed_run_differ_is_said() -> None:
    here = {"torch": "2.13.0", "threads": 2, "device": "cpu", "compile": False, "parameters": 5}
    assert checkpoint.not_bitwise(here, {**here, "parameters": 6}) == []
    there = {"torch": "2.6.0", "threads": 1, "device": "cuda", "compile": True}
    said = checkpoint.not_bitwise(there, here)
    assert [sentence.split(":")[0] for sentence in said] == [
        "PyTorch was 2.6.0, now it is 2.13.0",
        "The CPU threads were 1, now they are 2",
        "The device was cuda, now it is cpu",
        "Compilation was on, now it is off",
    ]
    assert all(sentence.endswith("so the result will not be the same bit for bit.") for sentence in said)


def test_what_an_older_run_did_not_store_is_not_compared_except_compilation() -> None:
    here = {"torch": "2.13.0", "threads": 2, "device": "cpu", "compile": False}
    assert checkpoint.not_bitwise({}, here) == [] and checkpoint.not_bitwise(here, {}) == []
    assert [s[:30] for s in checkpoint.not_bitwise({}, {**here, "compile": True})] == ["Compilation was off, now it is"]


def test_epochs_can_be_added_and_not_taken_away_nor_under_a_cosine_schedule(tmp_path: Path) -> None:
    def go_on(before: int, now: int, schedule: str) -> None:
        stored = {**TrainConfig(**{**SMALL, "epochs": before, "schedule": schedule}).as_dict(), "data_sha256": "abc"}
        checkpoint.require_same(tmp_path, TrainConfig(**{**SMALL, "epochs": now, "schedule": schedule}), stored, "abc")

    go_on(4, 6, "constant")
    with pytest.raises(RunError, match=r"epochs was 6, now 4\. Epochs can be added, not taken away"):
        go_on(6, 4, "constant")
    with pytest.raises(RunError, match=r"epochs was 4, now 6\. A cosine schedule depends on the number of epochs"):
        go_on(4, 6, "cosine")
