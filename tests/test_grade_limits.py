"""Every machine: limits that are refused, systems without Unix' calls, a process that does not start; and deadlines."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from grading import HONEST, handed_in, reply, submission

from vaelib.grade import isolation, limits, pool, wire
from vaelib.grade.channel import Channel, Ended
from vaelib.grade.isolation import CannotGrade
from vaelib.grade.limits import Limits
from vaelib.grade.marks import grade_all

MACOS = """
def setrlimit(which, limits):
    if which == RLIMIT_AS:
        raise ValueError("current limit exceeds maximum limit")
def getrlimit(which):
    return (-1, -1)
RLIMIT_AS, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_CORE = range(4)
"""
WINDOWS = "raise ImportError('No module named resource')"


def shim(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """A module `resource` that the process of a submission finds before Python's own."""
    (folder / "resource.py").write_text(source)
    own = isolation.library_path()
    monkeypatch.setattr(isolation, "library_path", lambda: [str(folder), *own])


def test_memory_that_cannot_be_limited_is_said_and_grading_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shim(monkeypatch, tmp_path, MACOS)
    with submission(["x = 7.0"]) as running:
        assert reply(running, "x") == 7.0
    assert running.unset == ["memory", "the number of processes"] and running.story.damaged == ""
    monkeypatch.setattr(isolation, "available", lambda: [isolation.PLAIN])
    found = pool.conditions.__wrapped__(Limits())
    assert found.kind == isolation.PLAIN and found.unset == ("memory", "the number of processes")
    assert str(found).endswith("No limit could be set here on memory, the number of processes.")


def test_system_without_unix_calls_grades(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shim(monkeypatch, tmp_path, WINDOWS)
    for module, names in ((os, "killpg setsid getuid geteuid"), (isolation.signal, "SIGXCPU")):
        for name in names.split():
            monkeypatch.delattr(module, name)
    monkeypatch.setattr(isolation, "POSIX", False)
    monkeypatch.setattr(limits.sys, "platform", "win32")
    assert isolation.available() == [isolation.PLAIN]
    with submission(["x = 7.0", "import os\nos._exit(3)", "y = 8.0"]) as running:
        assert (reply(running, "x"), reply(running, "y")) == (7.0, 8.0)
        assert running.story.ended == {1: "the process ended with status 3"}
    assert running.unset[0] == "memory" and running.story.megabytes == 0.0


def test_limits_are_in_force_where_they_can_be_set() -> None:
    cells = ["import resource", "size = [float(x) for x in resource.getrlimit(resource.RLIMIT_AS)]"]
    with submission([*cells, "big = bytearray(3 << 30)\nafter = 7.0"]) as running:
        assert reply(running, "size").tolist() == [2 << 30, 2 << 30] and running.unset == []
        assert reply(running, "after") == 7.0 and "MemoryError" in running.story.errors[2]


def test_limits_of_a_class_leave_room_for_honest_work() -> None:
    half_a_gigabyte = "def large():\n    return float(np.ones(2**26).sum())"
    with submission([*HONEST, half_a_gigabyte], limits=Limits()) as of:
        assert reply(of, "large") == 2.0**26


def test_process_that_does_not_start_is_nobodys_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ImportError('numpy is broken here')")
    own = isolation.library_path()
    monkeypatch.setattr(isolation, "library_path", lambda: [str(tmp_path), *own])
    with pytest.raises(CannotGrade, match="does not start here: ImportError: numpy is broken here"), submission(["1"]):
        pass
    monkeypatch.setattr(pool, "conditions", pool.conditions.__wrapped__)
    with pytest.raises(CannotGrade, match="numpy is broken here"):
        grade_all([handed_in(HONEST)], 1, Limits())


def test_python_that_is_not_there_is_nobodys_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(CannotGrade, match="could not be started"), submission(["1"]):
        pass


def test_judge_that_does_not_start_is_nobodys_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pool, "conditions", lambda _: pool.Conditions(isolation.PLAIN, ()))
    monkeypatch.setattr(pool, "PACKAGE", tmp_path / "vaelib")
    (tmp_path / "vaelib").mkdir()
    (tmp_path / "vaelib" / "__init__.py").write_text("raise ImportError('broken')")
    with pytest.raises(CannotGrade, match="judges does not start: ImportError: broken"):
        grade_all([handed_in(HONEST)], 1, Limits())


def test_installed_package_is_not_on_the_path_of_a_submission() -> None:
    import vaelib

    assert str(Path(vaelib.__file__).parents[1]) not in isolation.library_path()
    assert any((Path(path) / "numpy").is_dir() for path in isolation.library_path())


# ---------------------------------------------------------------------------------------------------------- channels


def running(code: str) -> subprocess.Popen[bytes]:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-I", "-c", code], bufsize=0, **pipes)


def test_process_that_reads_nothing_is_given_up_in_time() -> None:
    process = running("import time; time.sleep(60)")
    channel = Channel(process)
    started = time.monotonic()
    with pytest.raises(Ended, match="did not read"):
        for _ in range(20):
            channel.send(started + 1.0, {"x": "y" * 10**6})
    assert time.monotonic() - started < 3.0
    with pytest.raises(Ended, match="too long"):
        channel.receive(time.monotonic() + 0.2)
    process.kill()
    channel.close()


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.write(1, b'x' * 100)",
        "import os; os.write(1, b'\\xff' * 8)",
        "import os, struct; d = b'[' * 100_000; os.write(1, struct.pack('!II', len(d), 0) + d)",
        "import os, struct; d = b'{\"x\": ' + b'9' * 10_000 + b'}'; os.write(1, struct.pack('!II', len(d), 0) + d)",
        "import os, struct; os.write(1, struct.pack('!II', 4, 0) + b'[\\xff]1')",
        "import os, struct; os.write(1, struct.pack('!II', 2, 0) + b'[]')",
    ],
)
def test_what_is_no_message_is_broken_and_nothing_else(code: str) -> None:
    process = running(code)
    channel = Channel(process)
    for _ in range(2):
        with pytest.raises((wire.Broken, Ended)):
            channel.receive(time.monotonic() + 10)
    process.wait()
    channel.close()


def test_who_waits_is_told_when_another_thread_closes_the_channel() -> None:
    process = running("import time; time.sleep(60)")
    channel = Channel(process)
    threading.Timer(0.3, lambda: (process.kill(), channel.close())).start()
    started = time.monotonic()
    with pytest.raises(Ended):
        channel.receive(started + 30)
    assert time.monotonic() - started < 5
    channel._inbox.queue.clear()
    with pytest.raises(Ended, match="were closed"):
        channel.receive(started + 30)


def test_flood_of_messages_waits_in_the_pipe_not_in_memory() -> None:
    process = running(
        "import os, struct\nd = b'{\"x\": \"' + b'y' * 500_000 + b'\"}'\n"
        "while True:\n    os.write(1, (struct.pack('!II', len(d), 0) + d))"
    )
    channel = Channel(process)
    time.sleep(1.0)
    assert channel._inbox.qsize() <= 8
    process.kill()
    channel.close()


# ----------------------------------------------------------------------------------------------------------- folders


def test_folder_is_removed_whatever_is_in_it(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    here = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(2000):
            os.mkdir("level")
            os.chdir("level")
    finally:
        os.chdir(here)
    (deep / "file").write_text("x")
    (deep / "link").symlink_to(tmp_path)
    (deep / "closed").mkdir()
    (deep / "closed" / "inner").mkdir()
    (deep / "closed").chmod(0o000)
    isolation.remove(deep)
    assert not deep.exists() and tmp_path.exists()


def test_link_in_the_place_of_a_folder_is_removed_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    isolation.remove(tmp_path / "link")
    isolation.remove(tmp_path / "never")
    assert not (tmp_path / "link").exists() and (tmp_path / "kept" / "file").read_text() == "x"


def test_stand_in_of_the_exercises_has_every_name_that_notebooks_import() -> None:
    from vaelib import exercise
    from vaelib.grade import box, stand_in

    imported = box.STAND_IN.decode().partition("import ")[2].strip().split(", ")
    assert sorted(imported) == sorted(stand_in.__all__)
    assert set(exercise.__all__) <= set(imported)
    for name in set(exercise.__all__) - {"Text"}:  # a call that works in class works where it is graded
        ours, theirs = (inspect.signature(getattr(module, name)) for module in (exercise, stand_in))
        assert ours.parameters == theirs.parameters, name
