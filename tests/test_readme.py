"""What README.md and docs/ show: Python is run, commands are parsed, links are followed, numbers are looked up.

The commands in docs/student.md, which is the students' README, are tried in test_student_archive.py.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import instructor
import pytest
import typer
from test_train import config, tiny

import vaelib.train
from vaelib.cli import app
from vaelib.ledger import LEDGER
from vaelib.tasks import all_tasks

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
by_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def block(page: str, word: str) -> str:
    """The one Python block of the page that contains `word`."""
    (found,) = (text for text in re.findall(r"```python\n(.*?)```", TEXTS[page], re.DOTALL) if word in text)
    return found


def typed(page: str) -> list[str]:
    """The lines of the page's console blocks."""
    return "".join(re.findall(r"```console\n(.*?)```", TEXTS[page], re.DOTALL)).splitlines()


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
def test_callbacks_log_every_epoch(module: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Noting(module)
    monkeypatch.setitem(sys.modules, module, library)
    monkeypatch.chdir(tmp_path)
    exec(block("practitioner.md", word), {"vaelib": vaelib, "config": config(), "data": tiny()})
    assert [step for name, _, step in library.told if name == "test_elbo"] == [4, 8, 12, 16]
    assert {"train_elbo", "test_kl", "learning_rate"} <= {name for name, _, _ in library.told}
    assert (tmp_path / "runs" / "mine" / "checkpoint.pt").exists()


def test_trained_model_is_loaded_encodes_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    exec(block("practitioner.md", "TrainConfig.suited_to"), names)  # the digits, and the settings that suit them
    monkeypatch.chdir(tmp_path)
    few = vaelib.train.TrainConfig.suited_to(names["data"], epochs=1, hidden=(8,), device="cpu")
    vaelib.train.fit(few, names["data"], out="runs/digits")
    exec(block("practitioner.md", "vaelib.train.load"), names)
    assert names["images"].shape == names["x"].shape == (297, 64) and names["new"].shape == (16, 64)


RESULTS = ROOT / "benchmarks" / "results"
SHOWN = {
    "the well-known example's style": ["example"],
    "Pyro, Lightning, Pythae": ["pyro", "lightning", "pythae"],
    "written by hand in PyTorch": ["plain"],
    "`vaelib train` ": ["vaelib eager"],
    "`vaelib train --compile`": ["vaelib compiled"],
    "JAX, 20 steps in one call": ["jax scan"],
}


@pytest.mark.parametrize("line", SHOWN)
def test_speeds_are_those_that_were_measured(line: str) -> None:
    (row,) = (text for text in TEXTS["practitioner.md"].splitlines() if text.startswith(f"| {line}"))
    told = [cell.strip() for cell in row.strip("|").split("|")[-2:]]
    for threads, cell in zip((1, 2), told, strict=True):
        rows = json.loads((RESULTS / f"training-none-{threads}.json").read_text(encoding="utf-8"))["rows"]
        measured = {row["row"]: row["of_floor"]["median"] for row in rows if "of_floor" in row}
        assert cell == ", ".join(f"{measured[name]:.2f}" for name in SHOWN[line])


JUDGED = {
    "the importance-weighted bound": "importance weighting",
    "annealing": "annealing",
    "a mixture of 200 Bernoullis": "mixture",
}


@pytest.mark.parametrize("line", JUDGED)
def test_costs_of_judging_are_those_that_were_measured(line: str) -> None:
    (row,) = (text for text in TEXTS["practitioner.md"].splitlines() if text.startswith(f"| {line}"))
    measured = []
    for threads in (1, 2):
        rows = json.loads((RESULTS / f"evaluation-{threads}.json").read_text(encoding="utf-8"))["rows"]
        measured.append(next(each for each in rows if each["row"] == JUDGED[line])["times_products"]["median"])
    assert [cell.strip() for cell in row.strip("|").split("|")[-2:]] == [f"{value:.2f}" for value in measured]


@pytest.mark.parametrize("word", ["from vaelib.ledger", "from vaelib.exercise"])
def test_examples_of_the_readme_answer_as_shown(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = block("README.md", word)
    exec(code, {})
    shown = re.search(re.escape(code) + r"```\n.*?```text\n(.*?)```", TEXTS["README.md"], re.DOTALL)
    assert shown is not None and len(shown[1]) > 60
    printed = capsys.readouterr().out
    assert shown[1] in printed
    if "exercise" in word:
        assert shown[1] == printed


def test_counts_in_the_readme_are_those_of_the_course() -> None:
    slips = sum(len(derivation.slips) for derivation in LEDGER.values())
    notebooks = len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    for words in (
        f"**{len(LEDGER)} identities** that",
        f"with {slips} wrong lines",
        f"**{len(all_tasks())} exercises.**",
        f"**{notebooks} notebooks**",
        f"{len(LEDGER)} of {len(LEDGER)} identities hold, {slips} of {slips} slips rejected",
    ):
        assert words in " ".join(TEXTS["README.md"].split()), words


@by_page
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXTS[path.name])
    assert links and not [link for link in links if not link.startswith("http") and not (path.parent / link).exists()]


@by_page
def test_every_target_of_make_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", TEXTS[path.name], re.MULTILINE)
    assert set(named) <= targets and named


def test_every_call_of_vaelib_is_understood() -> None:
    """Parsed as the command line parses it, without running it."""
    lines = [line.split("#")[0] for page in TEXTS for line in typed(page) if "bin/vaelib" in line]
    assert len(lines) >= 7
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in lines:
        _, name, *arguments = shlex.split(line)
        assert commands[name].make_context(name, arguments).params, line
    with pytest.raises(Exception, match="No such option"):
        commands["train"].make_context("train", ["--binarisation", "dynamic"])


def test_teachers_page_has_the_commands_of_nbgrader() -> None:
    shown = [line.strip() for line in typed("teacher.md") if "nbgrader" in line]
    told = [line.strip() for line in instructor.advice("04_gaussian_kl").splitlines()]
    assert shown == [line for line in (*told, "../.venv/bin/nbgrader export") if line.startswith("../.venv")]
    assert told[-1].endswith("../.venv/bin/nbgrader export")
