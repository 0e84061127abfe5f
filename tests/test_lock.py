"""Two runs in one folder: the second is refused, and a process that was killed holds nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from test_train import config, records, tiny

from vaelib.train import RunError, checkpoint, fit, lock

ROOT = Path(__file__).resolve().parent.parent
HOLD = """
import sys, time
from pathlib import Path
from vaelib.train import lock
with lock.held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_second_process_is_refused_for_a_new_run_and_for_resuming_and_a_killed_one_holds_nothing(
    tmp_path: Path,
) -> None:
    fit(config(epochs=2), tiny(), out=tmp_path / "old")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    (tmp_path / "new").mkdir()
    holders = [holder(tmp_path / "old"), holder(tmp_path / "new")]
    busy = r"Expected .* to be free, but another process is training in it\. .*another `out`"
    try:
        with pytest.raises(RunError, match=busy):
            fit(config(), tiny(), out=tmp_path / "old", resume=True)
        for out in ("new", "old"):  # the old one has a run in it, which might be continued if it were free
            with pytest.raises(RunError, match=busy):
                fit(config(), tiny(), out=tmp_path / out)
        with pytest.raises(RunError, match=busy):
            checkpoint.clear(tmp_path / "old")
    finally:
        for process in holders:
            process.kill()
            process.communicate()
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    assert list((tmp_path / "new").iterdir()) == []
    assert len(fit(config(), tiny(), out=tmp_path / "old", resume=True).history) == 4
    fit(config(), tiny(), out=tmp_path / "new")


@pytest.mark.parametrize("resume", [False, True])
def test_of_two_that_begin_together_one_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool) -> None:
    """Both are past the first look at the folder before either goes on."""
    if resume:
        fit(config(epochs=1), tiny(), out=tmp_path)
    both, outcomes = threading.Barrier(2), []
    plain = lock.held

    def together(folder: Path) -> Any:
        both.wait(30)
        return plain(folder)

    def train() -> None:
        try:
            fit(config(epochs=60), tiny(), out=tmp_path, resume=resume)
            outcomes.append("trained")
        except RunError as error:
            outcomes.append(str(error))

    monkeypatch.setattr(lock, "held", together)
    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.split()[0] for outcome in outcomes) == ["Expected", "trained"], outcomes
    assert [record["epoch"] for record in records(tmp_path)] == list(range(1, 61))


def test_lock_is_released_when_training_ends_or_fails(tmp_path: Path) -> None:
    def broken(state: Any, record: Any) -> None:
        raise ValueError("in the callback")

    with pytest.raises(ValueError, match="in the callback"):
        fit(config(), tiny(), out=tmp_path, callback=broken)
    fit(config(), tiny(), out=tmp_path, resume=True)
    with lock.held(tmp_path):
        pass
    assert not (tmp_path / lock.NAME).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there a file is locked in any case")
def test_file_is_locked_where_a_folder_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, where only what is open for writing can be locked."""
    import fcntl

    plain = fcntl.flock

    def as_on_nfs(descriptor: int, how: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EBADF, "Bad file descriptor")
        plain(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", as_on_nfs)
    with lock.held(tmp_path):
        assert (tmp_path / lock.NAME).exists()
        with pytest.raises(RunError, match="another process is training in it"), lock.held(tmp_path):
            pass
    with lock.held(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_file_system_without_locks_is_said_and_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="does not support locks: make sure that no second run"), lock.held(tmp_path):
        pass


def test_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"Could not open .*gone to lock it: No such file"), lock.held(tmp_path / "gone"):
        pass
