"""The course's main job, `make course`: the derivations verified, and a VAE on real digits beside its baselines.

Each time, the run is made from scratch, in runs/course. PyTorch is imported where it is used: the processes that verify
import this file, too, and need none of it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vaelib.cli.commands import explain_errors
from vaelib.cli.console import show_verification
from vaelib.ledger import LEDGER
from vaelib.verify import jobs_for

if TYPE_CHECKING:
    from vaelib.data import Data
    from vaelib.evaluate import Evaluation, baseline
    from vaelib.train import TrainConfig

FOLDER = Path("runs") / "course"  # its own: a run of yours in runs/digits stays
COPIES = 20  # binarized copies of the training set, for the mixture; a VAE sees a fresh one in each epoch
COMPONENTS = 200
BASELINE_SEED = 0


def fit_baselines(data: Data) -> dict[str, baseline.BernoulliMixture]:
    """Independent pixels and a mixture of Bernoullis, on binarized copies of the training set."""
    import numpy as np

    from vaelib.data import binarize
    from vaelib.evaluate import baseline

    rng = np.random.default_rng(BASELINE_SEED)
    grey = data.intensities(data.train)
    x = np.concatenate([binarize(grey, rng) for _ in range(COPIES)])
    return {
        "independent pixels": baseline.independent_pixels(x),
        f"mixture of {COMPONENTS} Bernoullis": baseline.fit_mixture(x, COMPONENTS, rng=rng),
    }


@dataclass(frozen=True)
class Outcome:
    """Test negative log-likelihoods in nats per example; the VAE's is an upper bound."""

    evaluation: Evaluation
    baselines: dict[str, float]
    device: str

    @property
    def best_baseline(self) -> float:
        return min(self.baselines.values())


def train_digits(folder: Path = FOLDER, *, epochs: int | None = None, importance_samples: int = 5000) -> Outcome:
    """Train on the digits into `folder`, afresh; fit the baselines; print what each of them says about the test set."""
    import numpy as np

    from vaelib.cli.pictures import draw_run
    from vaelib.data import load
    from vaelib.evaluate import evaluate, held_out_pixels, mean
    from vaelib.evaluate.words import lines, pixels_in_words
    from vaelib.progress import Bar, progress_bar
    from vaelib.train import TrainConfig, checkpoint, fit

    checkpoint.clear(folder)
    data = load("digits")
    config = TrainConfig.suited_to(data, **({} if epochs is None else {"epochs": epochs}))
    with Bar(config.epochs) as bar:
        state = fit(config, data, out=folder, callback=bar)
    mode = state.config.binarization
    pixels = held_out_pixels(data, mode)
    with progress_bar("evaluating", len(pixels)) as advance:
        result = evaluate(state.model, pixels, importance_samples=importance_samples, treatment=mode, callback=advance)
    log_probs = {name: mixture.log_prob(pixels.numpy()) for name, mixture in fit_baselines(data).items()}
    draw_run(folder, state.model, data, mode, state.history)
    checkpoint.write_json(folder / "evaluation.json", {"data": "digits", "binarization": mode, **result.as_dict()})
    typer.echo("\n".join(lines(result, mode)))
    typer.echo(f"\nTest NLL on the same pixels, in nats per example ({pixels_in_words(mode)}):")
    for name, log_prob in log_probs.items():
        ahead = mean(result.log_evidence - log_prob.astype(np.float64))
        typer.echo(
            f"  {name:<27}{-log_prob.mean():6.2f}   the VAE is {ahead.value:+.2f} +- {ahead.error:.2f} nats better"
        )
    typer.echo(f"  {'VAE, an upper bound':<27}{result.nll.value:6.2f}")
    baselines = {name: -float(log_prob.mean()) for name, log_prob in log_probs.items()}
    return Outcome(result, baselines, config_device(state.config))


def config_device(config: TrainConfig) -> str:
    return {"cpu": "the CPU", "cuda": "the GPU"}[config.device]


@explain_errors
def main() -> None:
    """Verify, train, compare, sum up. Exit status 0 only if all is verified and the VAE is ahead of every baseline."""
    from vaelib.cli.pictures import SHOWS

    started = time.perf_counter()
    typer.echo("1. THE DERIVATIONS, LINE BY LINE\n")
    typer.echo("An identity is a chain of lines, evaluated on random numbers. Slips are known")
    typer.echo("wrong lines, and have to be rejected. vaelib verify shows them one by one.\n")
    verified = show_verification(jobs=jobs_for(len(LEDGER)), brief=True)
    typer.echo("\n2. A VAE ON HANDWRITTEN DIGITS\n")
    outcome = train_digits()
    ahead = outcome.evaluation.nll.value < outcome.best_baseline
    pictures = "\n".join(f"  {FOLDER / name}: {seen}" for name, seen in SHOWS.items())
    open_the_lab = r".venv\Scripts\python tools\lab.py" if os.name == "nt" else "make lab"
    typer.echo(
        f"""
SUMMARY, after {time.perf_counter() - started:.0f} s on {outcome.device}
  derivations  {verified.holding} of {verified.identities} identities hold, \
{verified.rejected} of {verified.slips} slips rejected
  VAE          test NLL at most {outcome.evaluation.nll.value:.2f} nats, \
{outcome.best_baseline:.2f} for the best baseline
PICTURES
{pictures}

NEXT  {open_the_lab}
      opens your own copies of the notebooks, and says where to begin"""
    )
    raise typer.Exit(0 if verified.passed and ahead else 1)


if __name__ == "__main__":
    typer.run(main)
