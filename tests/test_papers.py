"""benchmarks/papers.py: what it trains is what it says, it goes on where it was stopped, its table adds up."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import _record
import numpy as np
import papers
import pytest

from vaelib.data import Data
from vaelib.evaluate import evaluate, held_out_pixels
from vaelib.train import RunError, TrainConfig, checkpoint, load

ANNEALING = {"temperatures": 4, "chains": 2, "leapfrog_steps": 2, "base": "prior"}


def few() -> Data:
    rng = np.random.default_rng(0)
    grey = rng.integers(256, size=(50, 12)).astype(np.uint8)
    return Data("mnist", grey[:40], grey[40:], (3, 4), 255.0, default_binarization="dynamic")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> papers.Work:
    for name, row in papers.ROWS.items():  # the same, with smaller networks
        changes = {"hidden": (6,) * len(row.settings["hidden"]), "latent_dim": 3}
        monkeypatch.setitem(papers.ROWS, name, dataclasses.replace(row, settings={**row.settings, **changes}))
    return papers.Work(tmp_path, few(), "cpu", 30, 5, annealed=4, simulated=2, annealing=ANNEALING)


def test_rows_are_what_the_paper_trained() -> None:
    for name, row in papers.ROWS.items():
        config = TrainConfig(data="mnist", **{"epochs": 1, **row.settings})
        assert (config.activation, config.layer_norm, config.learning_rate) == ("tanh", False, 1e-3)
        if name == "aevb":
            assert (config.hidden, config.latent_dim, config.batch_size, row.passes(0)) == ((500,), 20, 100, 100)
            continue
        kind, samples = name.split("-")
        assert config.objective == {"vae": "elbo-sampled", "iwae": "iwae"}[kind]
        assert config.importance_samples == int(samples) and config.schedule == "burda"
        assert (config.hidden, config.latent_dim, config.batch_size) == ((200, 200), 50, 20)
        assert [row.passes(stage) for stage in range(8)] == [1, 4, 13, 40, 121, 364, 1093, 3280]


def test_stages_are_judged_and_the_last_one_more_exactly(work: papers.Work) -> None:
    work.train("vae-1", 2)
    stages = work.read("vae-1")["stages"]
    assert [stages[stage]["importance_samples"] for stage in "012"] == [5, 5, 30]
    model = load(work.out / "vae-1" / "run", "cpu")
    result = evaluate(model, held_out_pixels(work.data, "dynamic"), importance_samples=30)
    assert stages["2"]["nll"]["value"] == result.nll.value
    assert checkpoint.read_config(work.out / "vae-1" / "run")["epochs"] == 13
    annealed = stages["2"]["annealed"]
    assert "annealed" not in stages["1"] and annealed["examples"] == 4
    difference = annealed["lower"]["value"] - result.log_evidence[:4].mean()
    assert annealed["less_importance_weighted"]["value"] == pytest.approx(difference, abs=1e-3)


def test_work_goes_on_where_it_was_stopped(work: papers.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dataclasses.replace(work, out=work.out / "whole")
    whole.train("iwae-5", 2)
    judge = papers.Work.judge

    def stopped(self: papers.Work, *arguments: object) -> object:
        if self.read("iwae-5")["stages"].keys() >= {"0"}:
            raise KeyboardInterrupt
        return judge(self, *arguments)

    monkeypatch.setattr(papers.Work, "judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        work.train("iwae-5", 2)
    monkeypatch.setattr(papers.Work, "judge", judge)
    before = work.results("iwae-5").read_bytes()
    work.train("iwae-5", 2)
    assert work.read("iwae-5") == whole.read("iwae-5") and before != work.results("iwae-5").read_bytes()
    monkeypatch.setattr(papers.Work, "judge", stopped)  # nothing is left to be done
    work.train("iwae-5", 2)
    work.train("iwae-5", 1)


def test_table_has_every_row_and_what_is_left(work: papers.Work) -> None:
    work.train("vae-5", 1)
    rows = {row["row"]: row for row in papers.table(work)}
    assert rows.keys() == papers.ROWS.keys() and rows["iwae-50"]["ours"] is None
    mine = rows["vae-5"]
    assert mine["difference"] == mine["ours"] - 86.47 and (mine["passes"], mine["passes_of_paper"]) == (4, 3280)
    assert mine["rest"] == "python benchmarks/papers.py --rows vae-5 --to 7 --record" and not mine["finished"]
    json.dumps(list(rows.values()), allow_nan=False)
    assert "4 of 3,280 passes" in papers.line("vae-5", work.read("vae-5"))
    assert papers.line("vae-50", work.read("vae-50")).endswith("nothing yet")


def test_results_of_other_settings_are_refused(work: papers.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.train("aevb", 0)
    row = papers.ROWS["aevb"]
    other = dataclasses.replace(row, settings={**row.settings, "activation": "relu"})
    monkeypatch.setitem(papers.ROWS, "aevb", other)
    with pytest.raises(RunError, match=r"results.json to be of .*'relu'.* but it is of .*'tanh'.* Move it away"):
        papers.table(work)


def test_steps_are_compiled_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, work: papers.Work) -> None:
    asked: list[bool] = []

    def noted(config: TrainConfig, *data: object, **how: object) -> object:
        asked.append(config.compile)
        raise KeyboardInterrupt

    monkeypatch.setattr(papers, "mnist", few)
    monkeypatch.setattr(papers, "fit", noted)
    for more in ([], ["--compile"]):
        with pytest.raises(KeyboardInterrupt):
            papers.main(["--rows", "aevb", "--out", str(work.out), *more])
    assert asked == [False, True]


def test_curve_has_a_column_for_each_stage(work: papers.Work) -> None:
    work.train("vae-5", 1)
    work.train("iwae-5", 0)
    assert papers.curves([row for row in papers.table(work) if row["row"] == "iwae-5"]) == []
    heading, _, mine = papers.curves(papers.table(work))
    assert heading == "| after so many passes | 1 | 4 |"
    first, last = (work.read("vae-5")["stages"][stage] for stage in "01")
    assert mine.startswith(f"| `vae-5` | {first['nll']['value']:.2f} ({first['active_units']}) |")
    assert mine.endswith(f"| {last['nll']['value']:.2f} ({last['active_units']}) |")


def test_annealed_rows_have_both_bounds_and_their_difference() -> None:
    def pair(value: float) -> dict[str, float]:
        return {"value": value, "standard_error": 0.125}

    bounds = {"importance_weighted": pair(-91.5), "lower": pair(-90.25), "less_importance_weighted": pair(1.25)}
    earlier = {**bounds, "lower": pair(-95.0)}
    rows = [
        {"row": "plain", "stages": {"0": {}}},
        {"row": "not begun", "stages": {}},
        {"row": "annealed", "stages": {"0": {"annealed": earlier}, "1": {"annealed": bounds}}},
    ]
    assert papers.annealings(rows)[2:] == ["| `annealed` | 91.50 | 90.25 | 1.25 ± 0.12 |"]
    assert papers.annealings(rows[:2]) == []


def test_command_shows_and_records_what_is_there(
    work: papers.Work, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work.train("vae-1", 1)
    monkeypatch.setattr(papers, "mnist", few)
    monkeypatch.setattr(_record, "RESULTS", work.out / "results")
    papers.main(["--table", "--out", str(work.out)])
    shown = capsys.readouterr().out
    assert "vae-1 " in shown and not (work.out / "results").exists()
    for form in (papers.markdown, papers.curves, papers.annealings):
        lines = form(papers.table(work))
        assert len(lines) > 2 and "\n".join(lines) in shown
    papers.main(["--table", "--out", str(work.out), "--record"])
    recorded = json.loads((work.out / "results" / "papers.json").read_text(encoding="utf-8"))
    assert recorded["rows"] == json.loads(json.dumps(papers.table(work)))
    for wrong in (["--rows", "vae-7"], ["--to", "8"]):
        with pytest.raises(SystemExit):
            papers.main(wrong)


def test_table_of_the_docs_is_what_was_recorded() -> None:
    """`python benchmarks/papers.py --table --record` prints and records it."""
    root = Path(__file__).resolve().parents[1]
    rows = json.loads((root / "benchmarks" / "results" / "papers.json").read_text(encoding="utf-8"))["rows"]
    docs = (root / "docs" / "practitioner.md").read_text(encoding="utf-8")
    assert all("\n".join(form(rows)) in docs for form in (papers.markdown, papers.curves, papers.annealings))
    assert f"{papers.SAMPLES:,} weighted samples" in docs and f"first {papers.ANNEALED} test digits" in docs
    assert [row["row"] for row in rows] == list(papers.ROWS)
