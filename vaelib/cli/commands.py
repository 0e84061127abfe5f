"""The command line. Each command imports what it needs, so that `--help` is fast."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaelib import _files
from vaelib._spoken import at_a_shell, quoted
from vaelib.cli.terminal import require_told, say, steady, warn
from vaelib.cli.together import launched, require_alone, together
from vaelib.evaluate.words import annealed_lines, gap_lines, lines, pixels_in_words, plus_minus
from vaelib.progress import Bar, progress_bar

if TYPE_CHECKING:
    from torch import Tensor

    from vaelib.data import Data
    from vaelib.evaluate import Evaluation
    from vaelib.train.processes import Processes
    from vaelib.vae import VAE

app = typer.Typer(
    help="Variational autoencoders: verify the derivations, train the model, bound its likelihood.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich takes a quarter of a second to load
)

LOOKED_AT = 1000  # test examples on which a trained model is looked at for collapse


def explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """What a user can mend is said in one sentence, without a traceback; a bug keeps its traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        steady()
        try:
            with at_a_shell(), warnings.catch_warnings():
                warnings.showwarning = lambda message, *_, **__: warn(f"Warning: {message}")
                _require_working_folder()
                command(*args, **kwargs)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "vaelib":
                raise
            advice = "pip install -e '.[train]', in this project's folder"
            _fail(f"{error.name} is missing. Install what training needs: {advice}")
        except KeyboardInterrupt:
            warn("Stopped.")
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            from vaelib.data import DataError
            from vaelib.train import NotFinite, RunError

            if not isinstance(error, DataError | RunError | NotFinite | FloatingPointError | OSError):
                raise
            _fail(str(error))

    return wrapped


def _fail(message: str) -> None:
    warn(f"Error: {message}")
    raise typer.Exit(1) from None


def _require_working_folder() -> None:
    """Libraries look for files in it, and end the process where it is gone."""
    try:
        os.getcwd()
    except OSError as error:
        _fail(
            f"Expected to run in a folder, but the one this shell is in cannot be read ({error.strerror}). Was it"
            " removed? Change to another: cd"
        )


@app.command()
@explain_errors
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CHAPTER|ID]...", help="Such as F or E1; all if none")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the witnesses")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Witnesses for each identity")] = 8,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes [default: one for each core, and one alone for few identities]")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report there, too")] = None,
) -> None:
    """Check every identity line by line, and that every known slip is rejected. Exit status 0 only if all is well."""
    from vaelib.cli.console import show_verification
    from vaelib.verify import jobs_for, select

    try:
        ids = select(names or [])
    except ValueError as error:
        _fail(str(error))
    jobs = jobs or jobs_for(len(ids))
    summary = show_verification(names or [], seed=seed, draws=draws, jobs=jobs, json_file=json_file)
    raise typer.Exit(0 if summary.passed else 1)


@app.command()
@explain_errors
def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help=".md, .tex, .ipynb, .py, or - for standard input")
    ],
    let: Annotated[list[str] | None, typer.Option(help="What a letter is, such as t=latent")] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write a page there that shows your document with a mark at each line")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report there, too")] = None,
) -> None:
    """Read derivations in your own documents, and say which line does not follow. Exit status 0 only if all follow."""
    import json

    from vaelib.check import as_dict, lines
    from vaelib.check import check as check_file
    from vaelib.check.page import page

    for file_ in (html_file, json_file):
        if file_ is not None and (file_.is_dir() or not file_.parent.is_dir()):
            _fail(f"Expected a file in an existing folder to write the report to, but got {file_}.")
    done = []
    try:
        for file in files:
            done.append(check_file(file, let or []))
            say("\n".join(lines(done[-1])))
    except ValueError as error:  # no document, or a role that is not known
        _fail(str(error))
    if json_file is not None:
        report = json.dumps({"files": [as_dict(checked) for checked in done]}, indent=2, ensure_ascii=False) + "\n"
        _files.write(json_file, report.encode("utf-8", "backslashreplace"))
    if html_file is not None:
        _files.write(html_file, page(done).encode("utf-8", "backslashreplace"))
    raise typer.Exit(0 if all(checked.follows and checked.judged for checked in done) else 1)


@app.command()
@explain_errors
def train(
    data: Annotated[
        str | None,
        typer.Option(
            help="digits, glyphs, glyphs62, mnist, patches, patches-rgb, a .npy or .npz file, a folder of .npy"
            " [default: digits]"
        ),
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help="Leave the training set on disk [default: if it is large]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [default: runs/ and the name of the data]")
    ] = None,
    decoder: Annotated[
        str | None, typer.Option(help="bernoulli (binary pixels), gaussian, or discretized-logistic (levels)")
    ] = None,
    decoder_scale: Annotated[
        float | None, typer.Option(help="Of a decoder that is not Bernoulli; learned if not given")
    ] = None,
    binarization: Annotated[
        str | None, typer.Option(help="Of grey pixels: dynamic, fixed, none; or dequantized, for a Gaussian decoder")
    ] = None,
    network: Annotated[str | None, typer.Option(help="dense or conv")] = None,
    latent_dim: Annotated[int | None, typer.Option(help="Numbers in z")] = None,
    hidden: Annotated[str | None, typer.Option(help="Widths: 500 or 200,200; channels of conv; or linear")] = None,
    activation: Annotated[str | None, typer.Option(help="Of hidden units: relu or tanh")] = None,
    layer_norm: Annotated[bool | None, typer.Option("--layer-norm/--no-layer-norm", help="In hidden layers")] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="elbo, elbo-sampled, elbo-exact, stl, iwae, dreg, score or score-baseline"),
    ] = None,
    importance_samples: Annotated[int | None, typer.Option(help="Draws of z for each example and step")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the KL; 1 maximizes the ELBO")] = None,
    warmup: Annotated[int | None, typer.Option(help="Epochs in which beta rises from 0")] = None,
    free_bits: Annotated[float | None, typer.Option(help="Nats that each latent's KL may take for nothing")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set")] = None,
    validation: Annotated[float | None, typer.Option(help="Share of the training set to choose the epoch by")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better bound")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a step")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of Adam")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of the learning rate: constant, cosine or burda")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is random")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64")] = None,
    compile_step: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="The step: half a minute or more at first, then up to 1.6 times as fast; convolutions gain little",
        ),
    ] = None,
    tf32: Annotated[bool | None, typer.Option("--tf32", help="GPU: faster, less precise products")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, with its settings")] = False,
) -> None:
    """Train a VAE and draw its pictures. What is not given is chosen to suit the data, and written to config.json."""
    chosen: dict[str, Any] = {
        name: value
        for name, value in {
            "decoder": decoder,
            "decoder_scale": decoder_scale,
            "binarization": binarization,
            "latent_dim": latent_dim,
            "hidden": None if hidden is None else _widths(hidden),
            "network": network,
            "activation": activation,
            "layer_norm": layer_norm,
            "objective": objective,
            "importance_samples": importance_samples,
            "beta": beta,
            "warmup": warmup,
            "free_bits": free_bits,
            "epochs": epochs,
            "validation": validation,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "seed": seed,
            "dtype": dtype,
            "device": device,
            "compile": compile_step,
            "tf32": tf32,
        }.items()
        if value is not None
    }
    with together() as processes:
        _train(chosen, data, stream, out, resume, processes)


def _train(
    chosen: dict[str, Any],
    data: str | None,
    stream: bool | None,
    out: Path | None,
    resume: bool,
    processes: Processes,
) -> None:
    """What `train` does in one of the processes, most often the only one."""
    from vaelib.cli.pictures import draw_run
    from vaelib.evaluate import evaluate as judge
    from vaelib.evaluate import held_out_pixels
    from vaelib.train import RunError, Stopped, TrainConfig, fit
    from vaelib.train.checkpoint import CHECKPOINT, CONFIG
    from vaelib.train.history import best_record

    if resume:
        if out is None and data is None:
            raise RunError("Expected --out to say which run to resume, but it was not given.")
        folder = out = out or _default_folder(data or "")
        stored, streamed = processes.told(lambda: _stored(folder))
        loaded = _load(stored["data"], data, streamed if stream is None else stream)
        config = TrainConfig(**{**stored, **chosen, "data": loaded.name})
    else:
        data = "digits" if data is None else data
        loaded = _load(data, data, stream)
        out = out or _default_folder(data)
        config = TrainConfig.suited_to(loaded, **chosen)
    if not processes.first:
        fit(config, loaded, resume=resume, out=out)
        return
    said: list[str] = []
    with Bar(config.epochs) as bar, warnings.catch_warnings():

        def show(message: object, *_: object, **__: object) -> None:
            said.append(_advice(str(message)))
            bar.say(f"Warning: {message}")

        warnings.showwarning = show
        again = f"Go on with: {launched(processes.count)} train --out {quoted(out)} --resume"
        try:
            state = fit(config, loaded, out=out, resume=resume, callback=bar)
        except Stopped:
            bar.say(f"Saved. {again}")
            raise
        except KeyboardInterrupt:  # a second one, or before the first step
            if (out / CHECKPOINT).is_file():
                bar.say(f"Stopped at once; the last checkpoint stays. {again}")
            else:
                begun = (out / CONFIG).is_file()
                bar.say(f"Stopped before the first checkpoint. {again}" if begun else "Nothing was written.")
            raise
    paths = draw_run(out, state.model, loaded, state.config.binarization, state.history)
    last = best_record(state.history)
    if len(state.history) < state.config.epochs or "validation_elbo" in last:
        say(f"The model is that of epoch {last['epoch']} of {len(state.history)}, by its validation bound.")
    say(
        f"Test ELBO {last['test_elbo']:.2f} nats per example (log-likelihood {last['test_log_likelihood']:.2f},"
        f" KL {last['test_kl']:.2f}); {pixels_in_words(state.config.binarization)}."
    )
    quick = judge(state.model, held_out_pixels(loaded, state.config.binarization)[:LOOKED_AT], importance_samples=2)
    for sentence in quick.warnings():
        if _advice(sentence) not in said:
            warn(f"Warning: {sentence}")
    say(f"Pictures: {', '.join(path.name for path in paths)} in {out}. Next: vaelib evaluate {quoted(out)}")
    require_told(f"The run is finished, and saved with its pictures in {out}.")


@app.command()
@explain_errors
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run")],
    importance_samples: Annotated[int, typer.Option(min=1, help="Draws of z for each test example")] = 5000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result there, too")] = None,
    data: Annotated[str | None, typer.Option(help="Where the data are now, if they were moved")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws of z")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    against: Annotated[Path | None, typer.Option(metavar="DIR", help="A run to compare with, pixel for pixel")] = None,
    ais: Annotated[bool, typer.Option("--ais", help="Check the bound by annealed sampling, on a few examples")] = False,
    gaps: Annotated[bool, typer.Option("--gaps", help="Say why the ELBO is below log p(x), on a few examples")] = False,
) -> None:
    """Bound log p(x) on the test set, with standard errors."""
    import numpy as np

    from vaelib.evaluate import compare, held_out_pixels, mean, require_comparable, subject
    from vaelib.evaluate import evaluate as run
    from vaelib.evaluate.ais import annealed_bound, sandwich
    from vaelib.evaluate.bounds import as_pair
    from vaelib.evaluate.gaps import inference_gaps
    from vaelib.train import RunError, checkpoint
    from vaelib.train import load as load_model

    def read(folder: Path) -> tuple[VAE, Tensor, str, int | None]:
        """The model of a run, the pixels it is judged on, how they were treated, the levels of grey they had."""
        stored = checkpoint.read_config(folder)
        model, mode = load_model(folder, device), checkpoint.treatment(folder, stored)
        loaded = _load(stored["data"], data, stored.get("streamed", False))
        checkpoint.require_same_data(folder, loaded.name, loaded.fingerprint(), stored)
        return model, held_out_pixels(loaded, mode), mode, loaded.levels if mode == "dequantized" else None

    def judge(name: str, model: VAE, pixels: Tensor, mode: str, levels: int | None) -> Evaluation:
        with progress_bar(name, len(pixels)) as advance:
            return run(
                model,
                pixels,
                importance_samples=importance_samples,
                treatment=mode,
                levels=levels,
                seed=seed,
                callback=advance,
            )

    require_alone("evaluate")
    if json_file is not None and not json_file.parent.is_dir():
        raise RunError(f"Expected a folder {json_file.parent} to write {json_file.name} into, but there is none.")
    model, pixels, mode, levels = read(folder)
    about = {"data": checkpoint.read_config(folder)["data"], "split": "test", "binarization": mode, "seed": seed}
    other = None if against is None else read(against)
    if other is not None:
        try:
            require_comparable(subject(model, pixels, mode), subject(other[0], other[1], other[2]))
        except ValueError as error:
            _fail(str(error))
    result = judge("evaluating", model, pixels, mode, levels)
    say("\n".join(lines(result, mode)))
    for warning in result.warnings():
        warn(f"Warning: {warning}")
    content: dict[str, Any] = {**about, "device": str(model.device), **result.as_dict()}
    few = pixels[:A_FEW]
    if other is not None:
        difference = compare(result, judge(f"evaluating {against}", *other))
        say(f"log p(x) less that of {against}: {difference.value:+.3f} {plus_minus(difference, 3)}, paired.")
        content["against"] = {"run": str(against), "difference": as_pair(difference)}
    annealed = None
    if ais:
        with progress_bar(f"annealing {len(few)} test examples", 100) as advance:
            annealed = annealed_bound(model, few, **ANNEALING, seed=seed, callback=advance)
        with progress_bar(f"annealing {A_FEW} simulated examples", 100) as advance:
            bounds = sandwich(model, A_FEW, **ANNEALING, seed=seed, callback=advance)
        change = mean(annealed.log_evidence - result.log_evidence[: len(few)])
        say("\n".join(annealed_lines(annealed, bounds, change, ANNEALING)))
        if change.value > 3.0 * change.error:
            warn(f"Warning: importance weighting is too low by about {change.value:.2f} nats or more.")
        if bounds.gap.value > LARGE_GAP:
            warn("Warning: the two bounds are far apart: the chains do not find the posterior.")
        content["annealed"] = {**ANNEALING, **annealed.as_dict(), "less_importance_weighted": as_pair(change)}
        content["sandwich_on_simulated_data"] = {**ANNEALING, **bounds.as_dict()}
    if gaps:
        known, known_error = result.log_evidence[: len(few)], result.log_evidence_error[: len(few)]
        if annealed is not None:  # both are lower bounds: the higher one
            higher = annealed.log_evidence > known
            known = np.where(higher, annealed.log_evidence, known)
            known_error = np.where(higher, annealed.log_evidence_error, known_error)
        with progress_bar(f"fitting q to each of {len(few)} examples", len(few)) as advance:
            parts = inference_gaps(model, few, known, known_error, seed=seed, callback=advance)
        say("\n".join(gap_lines(parts)))
        if parts.approximation.value < 0:
            warn(
                "Warning: a gap below 0 says that the bound on log p(x) is far too low: add --ais, or more"
                " --importance-samples."
            )
        content["gaps"] = parts.as_dict()
    if json_file is not None:
        checkpoint.write_json(json_file, content)
    require_told("" if json_file is None else f"All of it is in {json_file}.")


@app.command()
@explain_errors
def grade(
    submissions: Annotated[Path, typer.Argument(help="A folder, a zip or a notebook, just as they came")],
    out: Annotated[Path, typer.Option(help="Folder for grades.csv, class.html, teacher.html, feedback/ and more")],
    exercise: Annotated[
        list[str] | None, typer.Option(metavar="NN", help="Grade these exercises only, such as 04; may be repeated")
    ] = None,
    roster: Annotated[Path | None, typer.Option(help="The class: names, or what Moodle or Canvas export")] = None,
    keep: Annotated[str, typer.Option(help="Which of several notebooks counts: best or last")] = "best",
    partial: Annotated[float, typer.Option(min=0, max=1, help="Share of the points for a mistake with a name")] = 0.0,
    resume: Annotated[bool, typer.Option("--resume", help="Grade only what is new or changed since")] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the questions [default: that of the grading before, or a new one]")
    ] = None,
    assignment: Annotated[str, typer.Option(help="The head of the column in canvas.csv")] = "",
    at_once: Annotated[int | None, typer.Option(min=1, help="Submissions at a time [default: the cores]")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="That the cells of a submission may take")] = 120.0,
    memory: Annotated[float, typer.Option(min=1, help="GiB that a submission may take")] = 4.0,
) -> None:
    """Grade exercises: scores, a page of feedback for each student, and the mistakes of the class."""
    import secrets

    from vaelib.grade import report
    from vaelib.grade.grading import Options, exercise_numbers
    from vaelib.grade.grading import grade as run
    from vaelib.grade.isolation import CannotGrade
    from vaelib.grade.limits import Limits
    from vaelib.grade.shelf import GradingError

    if keep not in ("best", "last"):
        _fail(f"Expected --keep to be best or last, but got {keep!r}.")
    try:
        options = Options(
            exercises=exercise_numbers(exercise or []),
            seed=seed,
            keep=keep,
            partial=partial,
            resume=resume,
            roster=roster,
            assignment=assignment,
            at_once=at_once,
            limits=Limits(cells=seconds, memory=int(memory * 2**30)),
        )
        with progress_bar("grading", 100) as advance:
            outcome = run(
                submissions,
                out,
                options,
                version=_version(),
                fresh_seed=lambda: secrets.randbelow(10**6),
                say=say,
                progress=lambda done, total: advance(100 * done // max(total, 1)),
            )
    except GradingError as error:
        _fail(str(error))
    except CannotGrade as error:
        say(f"NOTHING MORE IS GRADED: the grader itself failed, not the students. {error}")
        raise typer.Exit(3) from None
    except KeyboardInterrupt:
        say("Stopped; what is graded is kept. Go on with the same command and --resume.")
        raise
    for line in report.lines(outcome, out):
        say(line)
    raise typer.Exit(3 if outcome.book.failed else 0)


def _version() -> str:
    """Of the package, as it is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("vaelib")
    except PackageNotFoundError:
        return "not installed"


A_FEW = 50  # examples for what takes long
LARGE_GAP = 1.0  # nats between the two bounds; more, and neither says much
ANNEALING: dict[str, Any] = {"temperatures": 100, "chains": 8, "leapfrog_steps": 5, "base": "encoder"}


def _widths(text: str) -> tuple[int, ...]:
    from vaelib.train import RunError

    try:
        return () if text == "linear" else tuple(int(width) for width in text.split(","))
    except ValueError:
        raise RunError(
            f"Expected `hidden` to be widths with commas between, such as 500 or 200,200, but got {text!r}."
        ) from None


def _default_folder(data: str) -> Path:
    return Path("runs") / Path(data).stem


def _advice(sentence: str) -> str:
    """What follows the numbers: the same remark on other examples is said once."""
    return sentence.partition(": ")[2] or sentence


def _load(named: str, moved: str | None, stream: bool | None) -> Data:
    """The data of a run, `named` in its config.json, or where they are now; streaming from disk if they did."""
    from vaelib.data import NAMED, DataError, load

    try:
        return load(moved or named, stream)
    except DataError as error:
        if moved is None and named not in NAMED and not Path(named).exists():
            raise DataError(f"{error} If the file was moved, say where it is now: --data FILE") from error
        raise


def _stored(folder: Path) -> tuple[dict[str, Any], bool]:
    """The settings of the run in that folder, and whether it left its training set on disk."""
    from vaelib.train.checkpoint import read_config, settings

    stored = read_config(folder)
    return settings(stored).as_dict(), stored.get("streamed", False)
