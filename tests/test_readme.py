"""What README.md shows in Python is run: the callbacks for TensorBoard and W&B with stand-ins for both."""

from __future__ import annotations

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
