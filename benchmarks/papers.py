"""Published results beside ours: Burda et al. 2016 (Table 1), Kingma and Welling 2014, Wu et al. 2017.

    python benchmarks/papers.py --compile --record           # what a CPU does in some hours; MNIST in $VAELIB_DATA
    python benchmarks/papers.py --rows all --to 7 --record   # everything, on a GPU

Each row is trained stage by stage and judged after each. Whatever is done is kept in --out, and the same command goes
on from there after it was stopped; `--table` shows and records what is there, and trains nothing.

What differs from Burda et al.: Adam has epsilon 1e-8, not 1e-4, and decays of 0.9 and 0.999 from moments of zero, where
their code has 0.99 and second moments that begin at one; examples are shuffled in each pass, where it kept one order;
all 60,000 training images are used, where it held 400 out; scales of q begin near 1/e. From Kingma and Welling: Adam
with rate 1e-3 where they have Adagrad, and pixels that are drawn 0 or 1 at each visit. The test set is drawn 0 or 1
once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _record
import numpy as np
import torch

from vaelib.data import Data, mnist
from vaelib.evaluate import annealed_bound, evaluate, held_out_pixels, sandwich
from vaelib.evaluate.bounds import as_pair
from vaelib.evaluate.bounds import mean as over_examples
from vaelib.train import RunError, TrainConfig, checkpoint, fit
from vaelib.vae import VAE

SAMPLES = 5000  # of z for the bound after the last stage, as in the paper
SAMPLES_BETWEEN = 500  # after the others
ANNEALING: dict[str, Any] = {"temperatures": 500, "chains": 16, "leapfrog_steps": 10, "base": "prior"}
ANNEALED, SIMULATED = 100, 25  # test digits, and digits of the model's own, between two bounds


def scheduled(stage: int) -> int:
    """Passes to the end of that stage of Burda's schedule."""
    return sum(3**i for i in range(stage + 1))


@dataclass(frozen=True)
class Row:
    """A result that was published, and how it is trained here."""

    source: str
    settings: dict[str, Any]
    nll: float | None = None  # -log p(x) of the test set in nats, as published
    active: int | None = None  # latents in use, as published
    stages: int = 7  # of the schedule, the last one, where that is Burda's; 3^i passes each
    on_a_cpu: int = 3  # stage that a CPU gets to in reasonable time
    annealed: bool = False  # is its likelihood bounded by annealing, too?

    def passes(self, stage: int) -> int:
        """Over the training set, from the start to the end of that stage."""
        return self.settings["epochs"] if "epochs" in self.settings else scheduled(stage)


def burda(objective: str, samples: int, nll: float, active: int, **more: Any) -> Row:
    network = {"hidden": (200, 200), "latent_dim": 50, "activation": "tanh", "layer_norm": False, "batch_size": 20}
    how = {"objective": objective, "importance_samples": samples, "learning_rate": 1e-3, "schedule": "burda"}
    return Row("Burda et al. 2016, Table 1", {**network, **how}, nll, active, **more)


AEVB: dict[str, Any] = {"hidden": (500,), "latent_dim": 20, "activation": "tanh", "layer_norm": False}
AEVB |= {"batch_size": 100, "learning_rate": 1e-3}
ROWS = {
    "vae-1": burda("elbo-sampled", 1, 86.76, 19, annealed=True),
    "aevb": Row("Kingma and Welling 2014, Figure 2", {**AEVB, "epochs": 100}, stages=0, on_a_cpu=0),
    "vae-5": burda("elbo-sampled", 5, 86.47, 20),
    "iwae-50": burda("iwae", 50, 84.78, 25, on_a_cpu=2, annealed=True),
    "iwae-5": burda("iwae", 5, 85.54, 22),
    "vae-50": burda("elbo-sampled", 50, 86.35, 20, on_a_cpu=2),
}
ON_A_CPU = ("vae-1", "aevb", "vae-5", "iwae-50")


def settings(name: str) -> dict[str, Any]:
    """Of a row, as JSON knows them."""
    return {**ROWS[name].settings, "hidden": list(ROWS[name].settings["hidden"])}


@dataclass(frozen=True)
class Work:
    """Where results are kept, and how exactly they are measured."""

    out: Path
    data: Data
    device: str = "auto"
    samples: int = SAMPLES
    between: int = SAMPLES_BETWEEN
    annealed: int = ANNEALED
    simulated: int = SIMULATED
    annealing: dict[str, Any] = field(default_factory=lambda: ANNEALING)
    compile: bool = False  # the steps of training: the same numbers but for rounding, and faster on a CPU

    def results(self, name: str) -> Path:
        return self.out / name / "results.json"

    def read(self, name: str) -> dict[str, Any]:
        path = self.results(name)
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"stages": {}}
        if found.get("settings", settings(name)) != settings(name):
            raise RunError(
                f"Expected {path} to be of {settings(name)}, but it is of {found['settings']}. Move it away."
            )
        return found

    def keep(self, name: str, found: dict[str, Any]) -> None:
        checkpoint.write_json(self.results(name), {**found, "settings": settings(name)})

    def train(self, name: str, last: int) -> None:
        """The row up to that stage, but for what is there already."""
        row = ROWS[name]
        for stage in range(min(last, row.stages) + 1):
            found = self.read(name)
            ends = stage == min(last, row.stages)
            samples = self.samples if ends else self.between
            judged = found["stages"].get(str(stage), {})
            needs_annealing = ends and row.annealed and "annealed" not in judged
            if judged.get("importance_samples", 0) >= samples and not needs_annealing:
                continue
            if any(int(done) > stage for done in found["stages"]):
                continue  # the weights of that stage are gone, and it was judged then
            model = self.model(name, stage)
            if judged.get("importance_samples", 0) < samples:
                judged = {**judged, **self.judge(model, samples)}
                self.keep(name, {**found, "stages": {**found["stages"], str(stage): judged}})
            if needs_annealing:
                judged = {**judged, "annealed": self.anneal(model, judged)}
                self.keep(name, {**found, "stages": {**found["stages"], str(stage): judged}})
            print(line(name, self.read(name)), flush=True)

    def model(self, name: str, stage: int) -> VAE:
        chosen = {**ROWS[name].settings, "epochs": ROWS[name].passes(stage), "binarization": "dynamic"}
        config = TrainConfig(data=self.data.name, device=self.device, compile=self.compile, **chosen)
        out = self.out / name / "run"
        return fit(config, self.data, out=out, resume=(out / checkpoint.CONFIG).is_file()).model

    def judge(self, model: VAE, samples: int) -> dict[str, Any]:
        result = evaluate(model, held_out_pixels(self.data, "dynamic"), importance_samples=samples, treatment="dynamic")
        return {
            "importance_samples": samples,
            "nll": as_pair(result.nll),
            "nll_bias": result.nll_bias,
            "elbo": as_pair(result.elbo),
            "active_units": result.active_units,
            "log_evidence": [round(float(value), 4) for value in result.log_evidence[: self.annealed]],
        }

    def anneal(self, model: VAE, judged: dict[str, Any]) -> dict[str, Any]:
        """log p(x) of the first test digits by annealing, less their importance-weighted bound."""
        x = held_out_pixels(self.data, "dynamic")[: self.annealed]
        annealed = annealed_bound(model, x, **self.annealing)
        weighted = np.array(judged["log_evidence"])
        bounds = sandwich(model, self.simulated, **self.annealing)
        return {
            **self.annealing,
            **annealed.as_dict(),
            "importance_weighted": as_pair(over_examples(weighted)),
            "importance_samples": judged["importance_samples"],
            "less_importance_weighted": as_pair(over_examples(annealed.log_evidence - weighted)),
            "gap_on_simulated": {**as_pair(bounds.gap), "examples": self.simulated},
        }


def table(work: Work) -> list[dict[str, Any]]:
    """A row for each result that was published: what is there of ours, after the last stage that was trained."""
    rows = []
    for name, row in ROWS.items():
        stages = work.read(name)["stages"]
        done = max(map(int, stages), default=None)
        last = stages.get(str(done), {})
        ours = last.get("nll", {}).get("value")
        rows.append(
            {
                "row": name,
                "source": row.source,
                "paper": row.nll,
                "paper_active": row.active,
                "ours": ours,
                "difference": None if ours is None or row.nll is None else ours - row.nll,
                "passes": 0 if done is None else row.passes(done),
                "passes_of_paper": row.passes(row.stages),
                "finished": done == row.stages,
                "rest": None if done == row.stages else f"python benchmarks/papers.py --rows {name} --to 7 --record",
                "settings": settings(name),
                "stages": {
                    stage: {key: value for key, value in judged.items() if key != "log_evidence"}
                    for stage, judged in sorted(stages.items(), key=lambda item: int(item[0]))
                },
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """The table of docs/practitioner.md: what was trained, beside the paper."""
    lines = ["| run | paper | ours | difference | passes over the data |", "|---|---|---|---|---|"]
    for row in rows:
        ours, paper, difference = ("" if row[key] is None else row[key] for key in ("ours", "paper", "difference"))
        numbers = [f"{value:.2f}" if value != "" else "" for value in (paper, ours)]
        numbers.append("" if difference == "" else f"{difference:+.2f}")
        done = f"{row['passes']:,} of {row['passes_of_paper']:,}"
        lines.append(f"| `{row['row']}` | {' | '.join(numbers)} | {done} |")
    return lines


def curves(rows: list[dict[str, Any]]) -> list[str]:
    """-log p(x) of the test set after each stage, with the latents in use, of the rows that have several."""
    several = [row for row in rows if len(row["stages"]) > 1]
    stages = sorted({stage for row in several for stage in row["stages"]}, key=int)
    if not stages:
        return []
    passes = [f"{scheduled(int(stage)):,}" for stage in stages]
    lines = [f"| after so many passes | {' | '.join(passes)} |", "|---" * (len(stages) + 1) + "|"]
    for row in several:
        found = [row["stages"].get(stage) for stage in stages]
        numbers = ["" if each is None else f"{each['nll']['value']:.2f} ({each['active_units']})" for each in found]
        lines.append(f"| `{row['row']}` | {' | '.join(numbers)} |")
    return lines


def annealings(rows: list[dict[str, Any]]) -> list[str]:
    """-log p(x) of the same test digits by both bounds, of the rows that were annealed after their last stage."""
    lines = []
    for row in rows:
        more = next(reversed(row["stages"].values()), {}).get("annealed")
        if more is None:
            continue
        weighted, annealed, less = (more[key] for key in ("importance_weighted", "lower", "less_importance_weighted"))
        lower_by = f"{less['value']:.2f} ± {less['standard_error']:.2f}"
        lines.append(f"| `{row['row']}` | {-weighted['value']:.2f} | {-annealed['value']:.2f} | {lower_by} |")
    return ["| run | by weighted samples | by annealing | lower by |", "|---|---|---|---|", *lines] if lines else []


def line(name: str, found: dict[str, Any]) -> str:
    """The last stage of a row in words."""
    row = ROWS[name]
    if not found["stages"]:
        return f"{name:<9} nothing yet"
    stage = max(map(int, found["stages"]))
    judged = found["stages"][str(stage)]
    nll, published = judged["nll"], "no number" if row.nll is None else f"{row.nll:.2f} ({row.active} active)"
    text = (
        f"{name:<9} paper {published:<18} ours {nll['value']:.2f} +- {nll['standard_error']:.2f}"
        f" ({judged['active_units']} active), ELBO {judged['elbo']['value']:.2f}, {row.passes(stage):,} of"
        f" {row.passes(row.stages):,} passes, {judged['importance_samples']:,} samples"
    )
    if "annealed" in judged:
        more = judged["annealed"]
        change, gap = more["less_importance_weighted"], more["gap_on_simulated"]
        text += (
            f"\n{'':<9} annealed, {more['examples']} digits: log p(x) >= {more['lower']['value']:.2f}, that is"
            f" {change['value']:+.3f} +- {change['standard_error']:.3f} beside the importance-weighted bound; gap of"
            f" two bounds on simulated digits {gap['value']:.3f}"
        )
    return text


def main(arguments: list[str] | None = None) -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--rows", default=",".join(ON_A_CPU), help=f"out of {', '.join(ROWS)}, or all")
    parser.add_argument("--to", type=int, help="last stage of Burda's schedule, 0 to 7; default: what suits a CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/papers"), help="where runs and results are kept")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true", help="train by compiled steps, as `vaelib train --compile`")
    parser.add_argument("--table", action="store_true", help="train nothing; show, and record, what is there")
    asked = parser.parse_args(arguments)
    names = list(ROWS) if asked.rows == "all" else asked.rows.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"Expected rows out of {', '.join(ROWS)}, but got {unknown[0]}.")
    if asked.to is not None and not 0 <= asked.to <= 7:
        parser.error(f"Expected --to to be a stage from 0 to 7, but got {asked.to}.")
    work = Work(asked.out, mnist(), asked.device, compile=asked.compile)
    for name in names:
        if not asked.table:
            work.train(name, ROWS[name].on_a_cpu if asked.to is None else asked.to)
            record(work, asked.record)
    for name in ROWS if asked.table else names:
        print(line(name, work.read(name)))
    if asked.table:
        rows = table(work)
        tables = [form(rows) for form in (markdown, curves, annealings)]
        print("", *("\n".join([*lines, ""]) for lines in tables), sep="\n")
    record(work, asked.record)


def record(work: Work, keep: bool) -> None:
    _record.record("papers", table(work), keep, seed=0, test_examples=len(work.data.test), data=work.data.name)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float32)
    main()
