"""What compiling needs is asked before anything is written, and named."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from test_train import config, tiny

from vaelib.train import RunError, compiler, fit, loop


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CXX", "CC"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_missing_compiler_is_named_before_anything_is_written(programs: Path) -> None:
    with pytest.raises(RunError, match=r"a C\+\+ compiler for compile=True, but none of .*Leave compile=True out"):
        fit(config(compile=True), tiny(), out=programs / "run")
    assert not (programs / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_compiler_must_run(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = compiler.names("cpu")[0]
    program(programs / name, "exit 1")  # a stub, as Apple's
    assert compiler.compiler("cpu") is None
    program(programs / name, "exit 0")
    assert compiler.compiler("cpu") == str(programs / name)
    monkeypatch.setenv("CXX", "mine")
    with pytest.raises(RunError, match="CXX=mine does not run"):
        compiler.require("cpu")


@pytest.mark.parametrize(
    ("platform", "device", "names"),
    [
        ("win32", "cpu", ("cl",)),
        ("linux", "cpu", ("g++",)),
        ("darwin", "cpu", ("clang++",)),
        ("linux", "cuda", ("gcc", "clang", "cc")),
    ],
)
def test_compilers_are_those_that_pytorch_would_try(
    programs: Path, monkeypatch: pytest.MonkeyPatch, platform: str, device: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert compiler.names(device) == names
    if device == "cpu":
        advice = {"win32": "Visual Studio", "linux": "g\\+\\+", "darwin": "xcode-select"}[platform]
        with pytest.raises(RunError, match=advice):
            compiler.require(device)


def test_missing_headers_and_triton_are_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "compiler", lambda device: "here")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(programs / "include"))
    with pytest.raises(RunError, match=r"Python's headers for compile=True, but there is no .*Python\.h"):
        compiler.require("cpu")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match="Triton, which writes the kernels for a GPU"):
        compiler.require("cuda")


def test_compilation_that_fails_is_a_sentence_and_the_run_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.exc import InductorError

    def fail(state: Any, processes: Any) -> Any:
        def run(state: Any) -> None:
            raise InductorError(RuntimeError("cc1plus: out of order"), None)

        return run

    monkeypatch.setattr(compiler, "require", lambda device: None)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "runner", fail)
        with pytest.raises(
            RunError, match=r"the step to compile, but PyTorch could not .*resume=True and compile=False"
        ):
            fit(config(compile=True), tiny(), out=tmp_path)
    state = fit(config(), tiny(), out=tmp_path, resume=True)
    assert state.epoch == 4 and (tmp_path / "checkpoint.pt").exists()
