"""benchmarks/gpu.py, as far as it can be run without a GPU: its rows, its order, its file; not its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import _record
import gpu
import pytest
import torch

from vaelib.data import load as real_load


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    images = gpu.images
    monkeypatch.setattr(gpu, "DEVICE", "cpu")
    monkeypatch.setattr(gpu, "SECONDS", 0.0)
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    monkeypatch.setattr(gpu, "images", lambda binary=True, n=0: images(binary, 150))
    monkeypatch.setattr(gpu, "captured", lambda state, run: run)
    monkeypatch.setattr(gpu, "compiled", lambda state: gpu.eager)
    monkeypatch.setattr("vaelib.train.engine.compiled", lambda state: gpu.eager)
    monkeypatch.setattr("vaelib.train.engine.compiled_whole", lambda state: gpu.advance)
    monkeypatch.setattr(gpu, "load", lambda name: real_load("digits"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(_record, "hardware", dict)
    monkeypatch.setattr(_record, "RESULTS", tmp_path)
    monkeypatch.delenv("VAELIB_DATA", raising=False)
    return tmp_path


@pytest.mark.slow
def test_every_row_runs_and_is_written(on_the_cpu: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--record"])
    rows = json.loads((on_the_cpu / "gpu.json").read_text())["rows"]
    equal = [row for row in rows if "largest_difference" in row]
    assert len(equal) == 4 and all(row["largest_difference"] == 0 for row in equal)  # here it is the same step
    assert all(row["images_per_second"] > 0 for row in rows if "batch" in row) and len(rows) > 15
    assert rows[-1] == {"row": "MNIST", "skipped": "VAELIB_DATA is not set"}
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_time_limit_ends_between_two_rows(
    on_the_cpu: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "LIMIT", 0.0)
    gpu.main(["--record"])
    assert len(json.loads((on_the_cpu / "gpu.json").read_text())["rows"]) == 1
    assert "The time is up" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="Expected a CUDA device"):
        gpu.main([])
