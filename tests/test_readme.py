"""What README.md shows in Python is run: the callbacks for TensorBoard and W&B with stand-ins for both."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from test_train import config, tiny

import vaelib.train

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def block(word: str) -> str:
    """The one Python block of the README that contains `word`."""
    (found,) = (text for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if word in text)
    return found


class Noting(ModuleType):
    """Stands in for a logging library: notes what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[tuple[Any, ...]] = []

    def SummaryWriter(self, folder: str) -> Noting:
        return self

    def init(self, **settings: Any) -> Noting:
        assert settings["config"]["epochs"] == 4
        return self

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.told.append((name, value, step))

    def log(self, info: dict[str, Any], step: int) -> None:
        self.told.extend((name, value, step) for name, value in info.items() if isinstance(value, float))


@pytest.mark.parametrize(("module", "word"), [("torch.utils.tensorboard", "SummaryWriter"), ("wandb", "import wandb")])
def test_callbacks_of_the_readme_log_every_epoch(
    module: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Noting(module)
    monkeypatch.setitem(sys.modules, module, library)
    monkeypatch.chdir(tmp_path)
    exec(block(word), {"vaelib": vaelib, "config": config(), "data": tiny()})
    assert [step for name, _, step in library.told if name == "test_elbo"] == [4, 8, 12, 16]
    assert {"train_elbo", "test_kl", "learning_rate"} <= {name for name, _, _ in library.told}
    assert (tmp_path / "runs" / "mine" / "checkpoint.pt").exists()


def test_three_lines_of_the_readme_load_encode_and_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny()
    monkeypatch.chdir(tmp_path)
    vaelib.train.fit(config(), data, out="runs/course")
    lines = [line.removeprefix(">>> ") for line in block("vaelib.train.load").splitlines()]
    names: dict[str, Any] = {"vaelib": vaelib, "torch": torch, "x": data.test}
    exec("\n".join(lines), names)
    assert names["images"].shape == (7, 12) and names["new"].shape == (16, 12)


RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
SHOWN = {
    "the well-known example's style": ["example"],
    "Pyro, Lightning, Pythae": ["pyro", "lightning", "pythae"],
    "written by hand in PyTorch": ["plain"],
    "`vaelib train` ": ["vaelib eager"],
    "`vaelib train --compile`": ["vaelib compiled"],
    "JAX, 20 steps in one call": ["jax scan"],
}


@pytest.mark.parametrize("line", SHOWN)
def test_speeds_in_the_readme_are_those_that_were_measured(line: str) -> None:
    (row,) = (text for text in README.splitlines() if text.startswith(f"| {line}"))
    told = [cell.strip() for cell in row.strip("|").split("|")[-2:]]
    for threads, cell in zip((1, 2), told, strict=True):
        rows = json.loads((RESULTS / f"training-none-{threads}.json").read_text(encoding="utf-8"))["rows"]
        measured = {row["row"]: row["of_floor"]["median"] for row in rows if "of_floor" in row}
        assert cell == ", ".join(f"{measured[name]:.2f}" for name in SHOWN[line])


def test_exercise_in_the_readme_answers_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = block("from vaelib.exercise import check")
    typed = [line.removeprefix(">>> ") for line in text.splitlines() if line.startswith(">>> ")]
    shown = [line for line in text.splitlines() if not line.startswith(">>> ")]
    names: dict[str, Any] = {}
    exec(typed[0], names)
    assert repr(eval(typed[1], names)).splitlines() == shown
