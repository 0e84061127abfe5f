"""What is seen while training and evaluation run: a bar on a terminal or in a notebook, some lines in a log file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vaelib._spoken import option
from vaelib.evaluate.words import pixels_in_words

if TYPE_CHECKING:
    from vaelib.train import TrainState

T = TypeVar("T")

LINES = 10  # of progress in a log file, where no bar is shown
LONG = 600.0  # seconds of training that are left, from which on compiling pays


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
        with contextlib.suppress(OSError, ValueError, SystemExit):
            self.progress.stop()

    def __call__(self, state: TrainState, record: dict[str, Any]) -> None:
        if not record:
            self.state = state
            self.say(_beginning(state))
            return
        if record["epoch"] == 1 and (self.epochs - 1) * record["seconds"] > LONG and not state.config.compile:
            self.say(
                f"About {(self.epochs - 1) * record['seconds'] / 60:.0f} minutes to go;"
                f" {option('compile', True)} would save some."
            )
        text = (
            f"epoch {record['epoch']}/{self.epochs}  test ELBO {record['test_elbo']:.2f}"
            f" = log-likelihood {record['test_log_likelihood']:.2f} - KL {record['test_kl']:.2f} nats"
        )
        self.progress.update(self.task, description=text)
        if not self.console.is_terminal and state.epoch % max(1, self.epochs // LINES) == 0:
            self.say(text)

    def say(self, text: str) -> None:
        """Training goes on although nobody can read it: a terminal that was closed must not end a run."""
        with contextlib.suppress(OSError, ValueError, SystemExit):  # rich would exit where a pipe is closed
            self.console.print(text, markup=False, soft_wrap=True)


def _beginning(state: TrainState) -> str:
    import torch

    from vaelib.train import processes

    config, parameters = state.config, sum(p.numel() for p in state.model.parameters())
    widths = "-".join(map(str, (state.train.shape[1], *config.hidden, config.latent_dim)))
    sizes = ", ".join(f"{len(part):,} for {name}" for name, part in state.held_out.items())
    threads, count = torch.get_num_threads(), processes.present().count
    where = f"{threads} CPU thread{'s' * (threads > 1)}" if state.device.type == "cpu" else _gpu(state)
    where = where if count == 1 else f"{count} processes with {where} each"
    streamed = "" if state.window is None else " (from disk, a part at a time)"
    epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    compiling = (
        "\nBefore the first step, it is compiled: half a minute, and more beside other work." if config.compile else ""
    )
    return (
        f"{Path(config.data).name}: {state.examples:,} examples to train on{streamed}, {sizes};"
        f" {pixels_in_words(config.binarization)}.\n"
        f"{config.network.capitalize()} encoder {widths}, {config.decoder} decoder, {parameters:,} parameters, on"
        f" {where}; {epochs} of {state.batches} steps of {len(state.offsets)} at learning rate"
        f" {config.learning_rate:g} ({config.schedule}).{compiling}"
    )


def _gpu(state: TrainState) -> str:
    import torch

    held = "" if state.resident else ", the data on the host"
    tf32 = "TF32 on" if state.config.tf32 else f"TF32 off: {option('tf32', True)} is faster for batches of thousands"
    return f"{torch.cuda.get_device_name(state.device)} ({tf32}{held})"


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
        with contextlib.suppress(OSError, ValueError, SystemExit):
            self.progress.stop()


def steps(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """`for item in steps(items, "training")`: the items, with a bar below a notebook's cell that vanishes at the end.

    Args:
        total: how many items there are; needed only if `items` has no length.
    """
    from ipywidgets import IntProgress

    bar = IntProgress(max=len(items) if isinstance(items, Sized) else total or 0, description=name)
    bar.style.description_width = "initial"
    _show(bar)
    try:
        for item in items:
            yield item
            bar.value += 1
    finally:
        bar.close()


class Watch:
    """`fit(config, data, callback=Watch(config.epochs))`: a bar below a notebook's cell, with the last test ELBO."""

    def __init__(self, epochs: int) -> None:
        from ipywidgets import IntProgress

        self.bar = IntProgress(max=epochs, description="training")
        self.bar.style.description_width = "initial"
        _show(self.bar)

    def __call__(self, state: TrainState, record: dict[str, Any]) -> None:
        if record:
            self.bar.value = record["epoch"]
            self.bar.description = f"epoch {record['epoch']}, test ELBO {record['test_elbo']:.1f} nats"
        if self.bar.value == self.bar.max:
            self.bar.close()


def _show(widget: Any) -> None:
    from IPython.display import display

    display(widget)
