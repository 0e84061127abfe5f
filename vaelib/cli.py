"""The command line. Each command imports what it needs, so that `--help` is fast."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vaelib.estimate import Estimate
    from vaelib.evaluate import Evaluation
    from vaelib.train import TrainState

app = typer.Typer(
    help="Variational autoencoders: verify the derivations, train the model, bound its likelihood.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

LINES = 10  # of progress in a log file, where no bar is shown


def explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """What a user can mend is said in one sentence, without a traceback; a bug keeps its traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "vaelib":
                raise
            advice = "pip install -e '.[train]', in this project's folder"
            _fail(f"{error.name} is missing. Install what training needs: {advice}")
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            from vaelib.data import DataError
            from vaelib.train import NotFinite, RunError

            if not isinstance(error, DataError | RunError | NotFinite | OSError):
                raise
            _fail(str(error))

    return wrapped


def _fail(message: str) -> None:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1) from None


@app.command()
@explain_errors
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CHAPTER|ID]...", help="Such as F or E1; all if none")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the witnesses")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Witnesses for each identity")] = 8,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report there, too")] = None,
) -> None:
    """Check every identity line by line, and that every known slip is rejected. Exit status 0 only if all is well."""
    from vaelib.console import show_verification
    from vaelib.verify import select

    try:
        select(names or [])
    except ValueError as error:
        _fail(str(error))
    summary = show_verification(names or [], seed=seed, draws=draws, json_file=json_file)
    raise typer.Exit(0 if summary.passed else 1)


@app.command()
@explain_errors
def train(
    data: Annotated[str | None, typer.Option(help="digits, mnist, or a .npy or .npz file [default: digits]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [default: runs/ and the name of the data]")
    ] = None,
    decoder: Annotated[str | None, typer.Option(help="bernoulli (binary pixels) or gaussian")] = None,
    decoder_scale: Annotated[float | None, typer.Option(help="Of a Gaussian decoder; learned if not given")] = None,
    binarization: Annotated[str | None, typer.Option(help="Of grey pixels: dynamic, fixed or none")] = None,
    latent_dim: Annotated[int | None, typer.Option(help="Numbers in z")] = None,
    hidden: Annotated[str | None, typer.Option(help="Widths of the hidden layers: 500 or 200,200")] = None,
    layer_norm: Annotated[bool | None, typer.Option("--layer-norm/--no-layer-norm", help="In hidden layers")] = None,
    objective: Annotated[str | None, typer.Option(help="elbo or iwae")] = None,
    importance_samples: Annotated[int | None, typer.Option(help="Draws of z for each example and step")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the KL; 1 maximizes the ELBO")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a step")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of the learning rate: constant, cosine or burda")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is random")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, with its settings")] = False,
) -> None:
    """Train a VAE and draw its pictures. What is not given is chosen to suit the data, and written to config.json."""
    from vaelib.data import load
    from vaelib.pictures import draw_run
    from vaelib.train import RunError, TrainConfig, fit

    chosen: dict[str, Any] = {
        name: value
        for name, value in {
            "decoder": decoder,
            "decoder_scale": decoder_scale,
            "binarization": binarization,
            "latent_dim": latent_dim,
            "hidden": None if hidden is None else _widths(hidden),
            "layer_norm": layer_norm,
            "objective": objective,
            "importance_samples": importance_samples,
            "beta": beta,
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "seed": seed,
            "device": device,
        }.items()
        if value is not None
    }
    if resume:
        if out is None and data is None:
            raise RunError("Expected --out to say which run to resume, but it was not given.")
        out = out or _default_folder(data or "")
        stored = _stored_settings(out)
        loaded = load(data or stored["data"])
        config = TrainConfig(**{**stored, **chosen, "data": loaded.name})
    else:
        loaded = load(data or "digits")
        out = out or _default_folder(data or "digits")
        config = TrainConfig.suited_to(loaded, **chosen)
    with Bar(config.epochs) as bar:
        try:
            state = fit(config, loaded, out=out, resume=resume, callback=bar)
        except KeyboardInterrupt:
            bar.say(f"Saved. Go on with: vaelib train --out {out} --resume")
            raise
    paths = draw_run(out, state.model, loaded, state.config.binarization, state.history)
    last = state.history[-1]
    typer.echo(
        f"Test ELBO {last['test_elbo']:.2f} nats per example (log-likelihood {last['test_log_likelihood']:.2f},"
        f" KL {last['test_kl']:.2f}); {pixels_in_words(state.config.binarization)}."
    )
    if last["saturated"] > 0:
        typer.echo(f"Warning: {last['saturated']:.1%} of the posterior's scales are at their bounds.", err=True)
    typer.echo(f"Pictures: {', '.join(path.name for path in paths)} in {out}. Next: vaelib evaluate {out}")


@app.command()
@explain_errors
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run")],
    importance_samples: Annotated[int, typer.Option(min=1, help="Draws of z for each test example")] = 5000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result there, too")] = None,
    data: Annotated[str | None, typer.Option(help="Where the data are now, if they were moved")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of z")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Bound log p(x) on the test set, with standard errors."""
    from vaelib import checkpoint
    from vaelib.data import load
    from vaelib.evaluate import evaluate as run
    from vaelib.evaluate import held_out_pixels
    from vaelib.train import RunError
    from vaelib.train import load as load_model

    if json_file is not None and not json_file.parent.is_dir():
        raise RunError(f"Expected a folder {json_file.parent} to write {json_file.name} into, but there is none.")
    stored = checkpoint.read_config(folder)
    model = load_model(folder, device)
    loaded = load(data or stored["data"])
    checkpoint.require_same_data(folder, loaded.name, loaded.fingerprint(), stored)
    pixels = held_out_pixels(loaded, stored["binarization"])
    with progress_bar("evaluating", len(pixels)) as advance:
        result = run(model, pixels, importance_samples=importance_samples, seed=seed, callback=advance)
    typer.echo("\n".join(lines(result, stored["binarization"])))
    if json_file is not None:
        about = {"data": stored["data"], "split": "test", "binarization": stored["binarization"], "seed": seed}
        checkpoint.write_json(json_file, {**about, "device": str(model.device), **result.as_dict()})


def lines(result: Evaluation, mode: str) -> list[str]:
    """An evaluation in words."""
    estimates = {
        "NLL": (result.nll, f"upper bound on -log p(x), {result.importance_samples:,} samples"),
        "ELBO": (result.elbo, "lower bound on log p(x)"),
        "rate": (result.rate, "KL(q(z|x) || p(z))"),
        "distortion": (result.distortion, "-E_q[log p(x|z)]"),
    }
    error, bias, count = result.nll_monte_carlo_error, result.nll_bias, len(result.log_evidence)
    return [
        f"Test set, {count:,} example{'s' * (count != 1)}, in nats per example, +- standard error over examples;"
        f" {pixels_in_words(mode)}.",
        *(f"  {name:<11}{e.value:9.2f} {_plus_minus(e)}   {what}" for name, (e, what) in estimates.items()),
        f"Of the NLL, +- {error:.3f} comes from the samples of z alone, and about {bias:.3f} is bias upwards.",
        f"{result.active_units} of {len(result.activity)} latents are active.",
    ]


def _plus_minus(estimate: Estimate) -> str:
    """The standard error; one example has none."""
    return f"+- {estimate.error:.2f}" if math.isfinite(estimate.error) else "(no error: one example)"


def pixels_in_words(mode: str) -> str:
    """The binarization, for every printed result."""
    return {
        "dynamic": "pixels binarized: training set at each visit, test set once",
        "fixed": "pixels binarized once",
        "none": "pixels as they are",
    }[mode]


class Bar:
    """Live progress of `fit`: its callback. On a terminal a bar that follows each step; in a log, some ten lines."""

    def __init__(self, epochs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(stderr=True, highlight=False)
        self.epochs = epochs
        self.state: TrainState | None = None
        bar = self

        class Following(Progress):
            """Asks the state for its step whenever it is drawn; training itself spends no time on the bar."""

            def get_renderables(self) -> Any:
                if bar.state is not None:
                    done = bar.state.epoch * bar.state.batches + bar.state.position
                    self.update(bar.task, completed=done, total=bar.epochs * bar.state.batches)
                yield from super().get_renderables()

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TimeRemainingColumn())
        self.progress = Following(*columns, console=self.console, disable=not self.console.is_terminal, transient=True)
        self.task = self.progress.add_task("training", total=None)

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def __call__(self, state: TrainState) -> None:
        if self.state is None:
            self.state = state
            self.say(_beginning(state))
            return
        record = state.history[-1]
        text = (
            f"epoch {record['epoch']}/{self.epochs}  test ELBO {record['test_elbo']:.2f}"
            f" = log-likelihood {record['test_log_likelihood']:.2f} - KL {record['test_kl']:.2f} nats"
        )
        self.progress.update(self.task, description=text)
        if not self.console.is_terminal and state.epoch % max(1, self.epochs // LINES) == 0:
            self.say(text)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def _beginning(state: TrainState) -> str:
    config, parameters = state.config, sum(p.numel() for p in state.model.parameters())
    widths = "-".join(map(str, (state.train.shape[1], *config.hidden, config.latent_dim)))
    return (
        f"{Path(config.data).name}: {len(state.train):,} examples to train on, {len(state.test):,} to test on;"
        f" {pixels_in_words(config.binarization)}.\n"
        f"Encoder {widths}, {config.decoder} decoder, {parameters:,} parameters, on {config.device}; {config.epochs}"
        f" epochs of {state.batches} steps at learning rate {config.learning_rate:g} ({config.schedule})."
    )


class progress_bar:
    """`with progress_bar(name, total) as advance`: advance(done) moves it. Shown on a terminal only."""

    def __init__(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self.progress = Progress(console=console, disable=not console.is_terminal, transient=True)
        self.task = self.progress.add_task(name, total=total)

    def __enter__(self) -> Callable[[int], None]:
        self.progress.start()
        return lambda done: self.progress.update(self.task, completed=done)

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()


def _widths(text: str) -> tuple[int, ...]:
    from vaelib.train import RunError

    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise RunError(
            f"Expected `hidden` to be widths with commas between, such as 500 or 200,200, but got {text!r}."
        ) from None


def _default_folder(data: str) -> Path:
    return Path("runs") / Path(data).stem


def _stored_settings(folder: Path) -> dict[str, Any]:
    from dataclasses import fields

    from vaelib.checkpoint import read_config
    from vaelib.train import TrainConfig

    stored = read_config(folder)
    return {field.name: stored[field.name] for field in fields(TrainConfig) if field.name in stored}
