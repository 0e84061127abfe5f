"""Several processes follow the run of one, whatever comes between; and what cannot be is said once, in words."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mishaps import ENVIRONMENT, ROOT
from test_streaming import folder_of, levels, stops_after
from test_train import config, tiny
from tiny_run import several
from torch import Tensor, distributed
from typer.testing import CliRunner

from vaelib.cli import app
from vaelib.data import Data, load
from vaelib.train import RunError, TrainConfig, TrainState, checkpoint, engine, fit, init, loop, processes, window
from vaelib.train.engine import advance, eager, spread, take
from vaelib.train.processes import ALONE, Lost, Processes, asked, joined

UNIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
pytestmark = UNIX


def numbers(state: TrainState) -> dict[str, np.ndarray]:
    """Weights, moments, sums and random state."""
    moments = {
        f"{name} {key}": value.double().numpy()
        for name, parameter in state.model.named_parameters()
        for key, value in state.optimizer.state[parameter].items()
    }
    weights = {name: value.double().numpy() for name, value in state.model.state_dict().items()}
    return {**weights, **moments, "sums": state.sums.numpy(), "generator": state.generator.get_state().numpy()}


def close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], rtol=1e-12, atol=1e-12) for name in one
    )


def exact(**changes: Any) -> TrainConfig:
    """Settings of a run of 12 steps, two of which are of 3 examples, that rounding alone may change."""
    return config(**{"dtype": "float64", "batch_size": 11, "schedule": "cosine", "warmup": 2, **changes})


# ------------------------------------------------------------------------------------------------------------ the step


def weighed_alike(gradient: engine.Gradient, among: Processes) -> engine.Gradient:
    """The slip: shares of 5 and of 6 examples count as halves."""

    def shared(state: TrainState, x: Tensor, noise: Tensor) -> Any:
        gradients, info = gradient(state, x, noise)
        return [1 / among.count / (len(x) / 11) * value for value in gradients], info

    return spread(shared, among)


def with_noise_of_its_own(gradient: engine.Gradient, among: Processes) -> engine.Gradient:
    """The slip: each process takes the first rows of the noise."""
    return spread(lambda state, x, noise: gradient(state, x, noise.roll(among.rank, 1)), among)


def twenty_steps(data: Data, chosen: TrainConfig, among: Processes, way: Any = spread) -> dict[str, np.ndarray]:
    state = init(chosen, data)
    for _ in range(20):
        take(state, partial(advance, gradient=way(eager, among) if among.count > 1 else eager))
        if state.position == state.batches:
            state.epoch, state.position = state.epoch + 1, 0
    return numbers(state)


@pytest.mark.parametrize("objective", ["elbo", "dreg"])
@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.long)])
def test_processes_follow_the_run_of_one_for_twenty_steps(count: int, objective: str) -> None:
    """Minibatches of 11 split into 5 and 6, or 3, 4 and 4; in double precision they differ by 1e-12 at most.

    The fourth of an epoch has 7.
    """
    data, chosen = (
        tiny(n=40),
        exact(objective=objective, importance_samples=3, warmup=0),
    )  # the fourth of an epoch has 7

    def work(rank: int) -> list[dict[str, np.ndarray]]:
        with joined() as among:
            assert (among.rank, among.count, among.first) == (rank, count, rank == 0)
            return [twenty_steps(data, chosen, among, way) for way in (spread, weighed_alike, with_noise_of_its_own)]

    alone = twenty_steps(data, chosen, ALONE)
    found = several(count, work)
    assert [[close(run, alone) for run in runs] for runs in found] == [[True, False, False]] * count


def test_each_process_computes_its_share_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = engine.fused.loss

    def noted(model: Any, x: Tensor, *rest: Any) -> Any:
        sizes.append(len(x))
        return plain(model, x, *rest)

    monkeypatch.setattr(engine.fused, "loss", noted)

    def work(rank: int) -> list[int]:
        fit(exact(epochs=1), tiny(n=40))
        return sizes

    assert several(2, work) == [[5, 5, 5, 7], [6, 6, 6, 7]]


# ----------------------------------------------------------------------------------------------------------- whole runs


def trained(
    folder: Path, chosen: TrainConfig, data: Data, count: int, resume: bool = False, stop: int = -1
) -> list[Any]:
    """The run in so many processes; the last of them is asked to stop after so many questions."""

    def work(rank: int) -> Any:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(loop, "ASK_EVERY", 1)
            if stop >= 0:
                left = stop if rank == count - 1 else 10**9
                patched.setattr(loop, "asked_to_stop", lambda _: stops_after(left))
            said: list[str] = []
            out = folder if rank == 0 else folder.with_name("of another")
            state = fit(
                chosen, data, out=out, resume=resume, callback=lambda state, record: said.append(record.get("epoch", 0))
            )
            return numbers(state), said

    return several(count, work) if count > 1 else [work(0)]


def stored(folder: Path) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The numbers of a checkpoint, and the lines of the metrics."""
    saved = checkpoint.load(folder)
    parts = {**saved["model"], **{f"{a} {b}": t for a, part in saved["optimizer"].items() for b, t in part.items()}}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    arrays = {name: part.double().numpy() for name, part in parts.items()}
    plain = {"position": saved["position"], "epoch": saved["epoch"], "step": saved["step"]}
    return {**arrays, "order": saved["order"].numpy(), **{n: np.array(v) for n, v in plain.items()}}, lines


def require_same_run(folder: Path, other: Path) -> None:
    (one, lines), (two, others) = stored(folder), stored(other)
    assert close(one, two)
    assert [line.keys() for line in lines] == [line.keys() for line in others]
    for line, expected in zip(lines, others, strict=True):
        for key in line.keys() - {"seconds"}:
            assert line[key] == (
                expected[key] if isinstance(line[key], str) else pytest.approx(expected[key], rel=1e-11)
            )


STREAMED = {"binarization": "dynamic", "batch_size": 10, "validation": 0.1, "epochs": 2, "warmup": 1}


@pytest.fixture(params=["in memory", "streamed"])
def problem(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainConfig, Data]:
    """Data in memory; and on disk, in windows of 70 rows."""
    if request.param == "in memory":
        return exact(validation=0.2), tiny(n=50)
    monkeypatch.setattr(window, "BLOCKS", 7)
    monkeypatch.setattr(window, "BYTES", 70 * 12)
    data = load(str(folder_of(tmp_path / "parts", levels(241), (33, 34, 100))))
    return exact(data=data.name, **STREAMED), data


def test_run_in_two_processes_is_that_of_one_and_the_first_alone_writes(
    problem: tuple[TrainConfig, Data], tmp_path: Path
) -> None:
    trained(tmp_path / "one", *problem, 1)
    found = trained(tmp_path / "two", *problem, 2)
    require_same_run(tmp_path / "two", tmp_path / "one")
    epochs = problem[0].epochs
    assert close(found[0][0], found[1][0]) and [said for _, said in found] == [list(range(epochs + 1)), []]
    assert not (tmp_path / "of another").exists()
    assert checkpoint.read_config(tmp_path / "two")["processes"] == 2


def test_run_goes_on_in_any_number_of_processes(problem: tuple[TrainConfig, Data], tmp_path: Path) -> None:
    """Two, then one, then two again, each stopped within an epoch; the last is asked, and all stop after one step."""
    whole, parts = tmp_path / "whole", tmp_path / "parts of it"
    trained(whole, *problem, 1)
    assert trained(parts, *problem, 2, stop=3) == ["Stopped: "] * 2
    assert checkpoint.load(parts)["step"] == 3
    with pytest.raises(loop.Stopped), pytest.warns(UserWarning, match="The processes were 2, now they are 1: sums are"):
        trained(parts, *problem, 1, resume=True, stop=4)
    assert checkpoint.load(parts)["step"] == 7
    trained(parts, *problem, 2, resume=True)
    require_same_run(parts, whole)


def test_validation_bound_of_the_first_decides_for_all(tmp_path: Path) -> None:
    """Processes on other machines may round otherwise; none may go on where another has stopped."""
    plain = loop.held_out_terms

    def work(rank: int) -> list[float]:
        bounds = itertools.count()

        def told(state: TrainState, name: str) -> dict[str, float]:
            return {**plain(state, name), "elbo": float(next(bounds)) * (1 if rank else -1)}

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(loop, "held_out_terms", told)
            state = fit(exact(validation=0.2, patience=2, epochs=9), tiny())
            return [record["validation_elbo"] for record in state.history]

    found = several(2, work)
    assert found[0] == found[1] and len(found[0]) == 3


def test_script_may_train_twice() -> None:
    def work(rank: int) -> list[float]:
        return [fit(exact(seed=seed), tiny()).history[-1]["test_elbo"] for seed in (0, 1)]

    assert several(2, work) == [pytest.approx(work(0), rel=1e-11)] * 2


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("mine", "count", "message"),
    [
        (lambda rank: (exact(free_bits=0.1, warmup=0), tiny()), 2, r"Expected `free_bits` to be 0 in 2 proc.*0\.1"),
        (lambda rank: (exact(batch_size=2), tiny()), 3, "at least one example .* but got 2 examples for 3 processes"),
        (lambda rank: (exact(), tiny(n=1)), 2, "at least one example .* but got 1 examples for 2 processes"),
        (lambda rank: (exact(seed=rank, beta=1.0 + rank), tiny()), 2, "asked for the same, but beta is 1.0 in pro.*"
         " 0, 2.0 in 1; seed is 0 in process 0, 1 in 1"),
        (lambda rank: (exact(), tiny(seed=rank)), 2, "the SHA-256 of the data is .* on the same data"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_is_refused_by_all_before_anything_is_written(
    mine: Any, count: int, message: str, tmp_path: Path
) -> None:
    found = several(count, lambda rank: fit(*mine(rank), out=tmp_path / "run"))
    assert len(set(found)) == 1 and not (tmp_path / "run").exists()
    with pytest.raises(AssertionError, match=f"RunError: .*{message}"):
        raise AssertionError(found[0])


PLACE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"RANK": "1"},
            "RANK and WORLD_SIZE in the environment, or neither, but RANK is set to '1' and WORLD_SIZE is not",
        ),
        ({"WORLD_SIZE": "2"}, "but WORLD_SIZE is set to '2' and RANK is not"),
        ({"RANK": "2", "WORLD_SIZE": "2", **PLACE}, "0 <= RANK < WORLD_SIZE .* RANK is '2' and WORLD_SIZE is '2'"),
        ({"RANK": "0", "WORLD_SIZE": "0", **PLACE}, "0 <= RANK < WORLD_SIZE"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x", **PLACE}, "a whole number >= 0 as LOCAL_RANK .* 'x'"),
        ({"RANK": "-1", "WORLD_SIZE": "2", **PLACE}, "whole numbers .* RANK is '-1'"),
        ({"RANK": "first", "WORLD_SIZE": "2", **PLACE}, "whole numbers .* RANK is 'first'"),
        (
            {"RANK": "0", "WORLD_SIZE": "2"},
            "MASTER_ADDR and MASTER_PORT .* the 2 processes meet, .* None and None",
        ),
        ({"RANK": "0", "WORLD_SIZE": "2", **PLACE, "MASTER_PORT": "0"}, "but got '127.0.0.1' and '0'"),
        ({"RANK": "0", "WORLD_SIZE": "2", **PLACE, "MASTER_PORT": "65536"}, "and '65536'"),
        ({"RANK": "0", "WORLD_SIZE": "2", **PLACE, "MASTER_ADDR": ""}, "but got '' and '29500'"),
    ],
)
def test_environment_that_is_not_whole_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=message):
        fit(config(), tiny())


def test_environment_says_who_is_who() -> None:
    assert asked({}) == asked({"RANK": "0", "WORLD_SIZE": "1"}) == (0, 1)
    assert asked({"RANK": "1", "WORLD_SIZE": "2", **PLACE, "MASTER_PORT": "65535"}) == (1, 2)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as that can be seen without a GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    processes.require_gpus("cuda", {"LOCAL_WORLD_SIZE": "2"})
    processes.require_gpus("cpu", {"LOCAL_WORLD_SIZE": "3"})
    with pytest.raises(RunError, match="a GPU for each of the 3 processes on this machine, but it has 2"):
        processes.require_gpus("cuda", {"LOCAL_WORLD_SIZE": "3"})


def test_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        for name, value in {"RANK": "0", "WORLD_SIZE": "2", **PLACE, "MASTER_PORT": str(port)}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(RunError, match=rf"at 127\.0\.0\.1:{port}\. Port {port} is taken\. Give another: torchrun"):
            fit(config(), tiny())


def test_process_that_does_not_come_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "JOIN", processes.timedelta(seconds=0.5))
    found = several(3, lambda rank: fit(config(), tiny()) if rank < 2 else "ill")
    missed = r"RunError: (Could not meet the other processes|Expected 3 processes to meet) at 127\.0\.0\.1"
    meeting = rf"{missed}|Lost: Expected the 3"  # the second, if the first has ended before it
    assert all(re.match(meeting, text) for text in found[:2]), found  # which of the two is a matter of a moment

    def late(rank: int) -> Any:
        """All have reached the place of meeting, but one goes no further."""
        if rank == 2:
            next(distributed.rendezvous("env://"))
            time.sleep(2)
            return None
        return fit(config(), tiny())

    found = several(3, late)
    assert (
        "RunError: Expected 3 processes to meet at 127.0.0.1" in found[0] and "but after 0 s 2 had not come" in found[0]
    )


def test_two_processes_of_one_rank_are_refused() -> None:
    def work(rank: int) -> Any:
        os.environ["RANK"] = str(min(rank, 1))
        return fit(config(), tiny())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(processes, "JOIN", processes.timedelta(seconds=1))
        found = several(3, work)
    assert any(
        "RunError: Expected 3 processes with different ranks" in text and "two have RANK 1" in text for text in found
    )


# ----------------------------------------------------------------------------------------------- a process that is gone


@pytest.mark.parametrize("dead", [0, 1])
def test_process_that_is_killed_ends_the_others_in_words(dead: int, tmp_path: Path) -> None:
    def work(rank: int) -> Any:
        def die(state: TrainState, run: Any) -> None:
            if rank == dead and state.step == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            take(state, run)

        loop.take = die
        return fit(exact(), tiny(), out=tmp_path / "run")

    started = time.monotonic()
    found = several(2, work)
    assert found[dead] is None and found[1 - dead].startswith("Lost: Expected the 2 processes of this run to go on")
    assert time.monotonic() - started < 20
    with pytest.warns(UserWarning, match="The processes were 2, now they are 1"):
        fit(exact(), tiny(), out=tmp_path / "run", resume=True)
    fit(exact(), tiny(), out=tmp_path / "whole")
    require_same_run(tmp_path / "run", tmp_path / "whole")


def test_process_that_ends_while_all_meet_is_lost_and_not_late() -> None:
    def work(rank: int) -> Any:
        if rank == 1:
            return fit(config(), tiny())
        server = next(distributed.rendezvous("env://"))[0]
        while not server.check(["vaelib/0/0/here 1"]):
            time.sleep(0.01)
        os._exit(0)

    assert several(2, work)[1].startswith("Lost: Expected the 2 processes of this run to go on together")


def test_others_hear_of_an_error_of_the_first(tmp_path: Path) -> None:
    fit(exact(), tiny(), out=tmp_path / "run")
    found = several(2, lambda rank: fit(exact(), tiny(), out=tmp_path / "run"))
    assert "RunError: Expected" in found[0] and "to hold no run, but it has config.json" in found[0]
    assert found[1].startswith("Lost: ")


def test_error_of_memory_is_not_taken_for_a_lost_process() -> None:
    with pytest.raises(torch.OutOfMemoryError), processes.answered(2):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(Lost, match="the 2 processes"), processes.answered(2):
        raise RuntimeError("Connection closed by peer")


def test_why_a_run_ends_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first; by another what the first does not know; that one is lost, by one of those that are left."""
    monkeypatch.setattr(processes, "HEAR", 0.05)

    def say(*errors: tuple[int, BaseException]) -> list[bool]:
        store = distributed.HashStore()  # type: ignore[attr-defined]
        return [Processes(rank, 3, store).may_say(error) for rank, error in errors]

    bad, other, gone = RunError("no such file"), RunError("the disk is full"), Lost("one is lost")
    assert say((0, bad), (1, bad), (2, bad)) == [True, False, False]
    assert say((0, bad), (1, gone), (2, other)) == [True, False, True]
    assert say((1, gone), (2, gone)) == [True, False]
    assert say((1, other), (0, gone)) == [True, True]
    assert say((1, KeyboardInterrupt()), (0, KeyboardInterrupt())) == [False, True]
    assert Processes(1, 2).may_say(bad)


# ---------------------------------------------------------------------------------------------------------- the command

SMALL = "--epochs 3 --hidden 8 --latent-dim 2 --batch-size 200 --device cpu --seed 4"


def commanded(options: str, rank_fails: int = -1) -> list[tuple[int, str, str]]:
    """Exit status, standard output and error of the command in two processes."""

    def work(rank: int) -> tuple[int, str, str]:
        words = options.split() + (["--data", "nowhere.npy"] if rank == rank_fails else [])
        done = CliRunner().invoke(app, ["train", *words])
        return done.exit_code, done.stdout, done.stderr

    return several(2, work)


@pytest.mark.slow
@pytest.mark.long
def test_command_trains_in_two_processes_and_the_first_alone_speaks(tmp_path: Path) -> None:
    (first, said, told), (other, *nothing) = commanded(f"{SMALL} --out {tmp_path / 'run'}")
    assert (first, other, nothing) == (0, 0, ["", ""])
    assert "Test ELBO" in said and "on 2 processes with 1 CPU thread each" in told
    assert (tmp_path / "run" / "samples.png").exists()
    (first, _, told), (other, *nothing) = commanded(f"--resume --epochs 4 --out {tmp_path / 'run'}")
    assert (first, other, nothing) == (0, 0, ["", ""]) and "epoch 4/4" in told


def test_command_says_why_it_ends_once(tmp_path: Path) -> None:
    (first, _, said), (other, *nothing) = commanded(f"{SMALL} --free-bits 0.1 --out {tmp_path / 'run'}")
    assert (first, other, nothing) == (1, 1, ["", ""])
    assert said.startswith("Error: Expected `free_bits` to be 0 in 2 processes") and "Traceback" not in said
    (first, _, said), (other, _, own) = commanded(f"{SMALL} --out {tmp_path / 'run'}", rank_fails=1)
    assert (first, other) == (1, 1) and "one of them has ended" in said
    assert own.startswith("Error: ") and "nowhere.npy" in own and own.count("\n") == 1


def test_evaluation_in_several_processes_is_refused_once(tmp_path: Path) -> None:
    def work(rank: int) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["evaluate", str(tmp_path)])
        return done.exit_code, done.stderr

    (first, said), other = several(2, work)
    assert first == 1 and "Expected one process, but got 2: `vaelib evaluate` does not share its work" in said
    assert other == (1, "")


def test_process_that_comes_late_to_its_end_still_hears_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first keeps the place where words are left: it must not end before the other has read them."""
    asked_at_once = Processes.may_say

    def late(self: Processes, error: BaseException) -> bool:
        time.sleep(2 * self.rank)
        return asked_at_once(self, error)

    monkeypatch.setattr(Processes, "may_say", late)
    (first, _, said), (other, *nothing) = commanded(f"{SMALL} --free-bits 0.1 --out {tmp_path / 'run'}")
    assert (first, other, nothing) == (1, 1, ["", ""]) and said.startswith("Error: Expected `free_bits`")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_process_of_torchrun_that_is_killed_ends_the_run_in_words_within_30_s(rank: int, tmp_path: Path) -> None:
    launcher, numbers = torchrun(tmp_path / "run", "--epochs 100000")
    started = time.monotonic()
    os.kill(numbers[rank], signal.SIGKILL)
    _, said = launcher.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert said.count("Error: Expected the 2 processes of this run to go on together") == 1, said
    assert checkpoint.load(tmp_path / "run")["epoch"] > 0


@pytest.mark.slow
@pytest.mark.long
def test_torchrun_that_is_interrupted_saves_the_run(tmp_path: Path) -> None:
    launcher, _ = torchrun(tmp_path / "run", "--epochs 100000")
    launcher.send_signal(signal.SIGINT)
    _, said = launcher.communicate(timeout=60)
    assert said.count(f"Saved. Go on with: {AGAIN} train --out {tmp_path / 'run'} --resume\nStopped.\n") == 1, said
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert checkpoint.load(tmp_path / "run")["epoch"] == len(lines) > 0


AGAIN = "torchrun --standalone --nproc-per-node=2 -m vaelib"


def torchrun(folder: Path, options: str) -> tuple[subprocess.Popen[str], list[int]]:
    """The real command in two processes, after its first epoch; the numbers of these, by rank."""
    words = ["--standalone", "--nproc-per-node=2", "-m", "vaelib", "train", *SMALL.split(), *options.split()]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *words, "--out", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=ROOT,
    )
    while not ((folder / "metrics.jsonl").exists() and (folder / "checkpoint.pt").exists()):
        assert launcher.poll() is None
        time.sleep(0.05)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True)
    found = {}
    for number in map(int, children.stdout.split()):
        environment = Path(f"/proc/{number}/environ").read_text().split("\0")
        found.update({int(e[5:]): number for e in environment if e.startswith("RANK=")})
    return launcher, [found[0], found[1]]
