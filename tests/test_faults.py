"""Never silently wrong: what goes wrong is refused in words, or leaves no trace once the run goes on.

The faults are in tests/mishaps.py; benchmarks/faults.py injects more of each. A run that was killed is resumed, and its
weights, moments, random state and metrics must be those of a run that was not, bit for bit.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
import torch
from mishaps import FAULTS, inject
from tiny_run import Way, begin, config, ended, grey, require_equal

from vaelib import train
from vaelib.data import Data, DataError, from_file
from vaelib.train import RunError, checkpoint, fit

UNIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
SLOW = pytest.mark.slow
LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("name", "times"),
    [
        pytest.param("killed at a random moment", 5, marks=[UNIX, SLOW]),
        pytest.param("killed at a random moment", 30, marks=[UNIX, SLOW, LONG]),
        pytest.param("killed while saving", 3, marks=[UNIX, SLOW]),
        pytest.param("killed while saving", 15, marks=[UNIX, SLOW, LONG]),
        pytest.param("the command killed", 5, marks=[UNIX, SLOW, LONG]),  # short: killed in the process of the tests
        pytest.param("the command interrupted", 1, marks=[UNIX, SLOW, LONG]),  # short: in test_cli
        pytest.param("interrupted or terminated", 3, marks=[UNIX, SLOW]),
        pytest.param("streamed run killed", 3, marks=[UNIX, SLOW]),
        pytest.param("streamed run killed", 15, marks=[UNIX, SLOW, LONG]),
        pytest.param("streamed run interrupted", 5, marks=[UNIX, SLOW, LONG]),
        pytest.param("one of two processes killed", 2, marks=[UNIX, SLOW]),
        pytest.param("one of two processes killed", 10, marks=[UNIX, SLOW, LONG]),
        pytest.param("two processes interrupted", 5, marks=[UNIX, SLOW, LONG]),
        pytest.param("two that stream: one killed", 5, marks=[UNIX, SLOW, LONG]),
        pytest.param("full disk", 4, marks=[UNIX, SLOW]),
        ("checkpoint with a flipped byte", 50),
        ("checkpoint cut off", 20),
        ("checkpoint of another version", 5),
        ("checkpoint with code in it", 3),
        ("memory exhausted", 8),
        ("NaN or infinity in the data", 20),
        ("NaN or infinity in memory", 3),
        ("labels as data", 20),
        ("levels that wrapped around", 5),
        ("bytes in other types and layouts", 3),
        ("odd but right data", 8),
        ("other number of threads", 2),
    ],
)
def test_fault_is_refused_in_words_or_leaves_no_trace(name: str, times: int) -> None:
    result = inject(name, times)
    assert result["as_wanted"] == result["times"] == times, "\n".join([*result["complaints"], result.get("said", "")])


def test_every_fault_is_tested() -> None:
    marks = test_fault_is_refused_in_words_or_leaves_no_trace.pytestmark  # type: ignore[attr-defined]
    cases = next(mark for mark in marks if mark.name == "parametrize").args[1]
    assert {getattr(case, "values", case)[0] for case in cases} == set(FAULTS)


# --------------------------------------------------------------------------------------- the injector is itself tested


def test_injector_counts_what_does_not_go_as_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_verified", lambda content, path: content.partition(b"\n")[2])  # digest ignored
    result = inject("checkpoint with a flipped byte", 40)
    assert result["as_wanted"] < 35 and any("not refused" in text for text in result["complaints"])


def slow_to_delete(*ignored: Any) -> list[object]:
    """What takes a while to delete, and Ctrl-C meanwhile."""
    result = [object() for _ in range(3_000_000)]
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    return result


@UNIX
def test_ctrl_c_while_the_result_of_a_run_is_deleted_is_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_run, "run", slow_to_delete)
    assert ended(begin(tmp_path, way=Way(processes=2))) == [130, 130]


@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        ("generator", lambda saved: saved["generator"].__setitem__(100, saved["generator"][100] ^ 1)),
        ("optimizer", lambda saved: next(iter(saved["optimizer"].values()))["exp_avg_sq"].view(-1)[0].add_(1e-4)),
        ("model", lambda saved: saved["model"]["decoder.out.bias"][3].mul_(1 + 2e-7)),
        ("order", lambda saved: saved["order"].copy_(saved["order"].roll(1))),
        ("position", lambda saved: saved.update(position=saved["position"] + 1)),
        ("history", lambda saved: saved["history"][1].update(test_elbo=0.0)),
    ],
)
def test_comparison_of_runs_notices_any_difference(tmp_path: Path, key: str, spoil: Any) -> None:
    for name in ("one", "other"):
        fit(config(epochs=2), grey(), out=tmp_path / name)
    require_equal(tmp_path / "one", tmp_path / "other")
    saved = checkpoint.load(tmp_path / "one")
    spoil(saved)
    checkpoint.save(tmp_path / "one", saved)
    with pytest.raises(AssertionError, match=rf"checkpoint\.pt\.{key}"):
        require_equal(tmp_path / "one", tmp_path / "other")


def test_comparison_of_runs_notices_files_left_behind(tmp_path: Path) -> None:
    for name in ("one", "other"):
        fit(config(epochs=2), grey(), out=tmp_path / name)
    (tmp_path / "one" / ".checkpoint.pt.17").touch()
    with pytest.raises(AssertionError):
        require_equal(tmp_path / "one", tmp_path / "other")


# -------------------------------------------------------------------------------------- single cases, with their words


def test_batch_larger_than_the_data_is_one_batch_of_all() -> None:
    large, all_of_them = (fit(config(batch_size=size, epochs=2), grey()) for size in (1000, 23))
    assert large.batches == all_of_them.batches == 1 and len(large.train) == 23
    assert large.history[-1]["test_elbo"] == all_of_them.history[-1]["test_elbo"]


@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian"])
def test_one_example_trains_and_loads(tmp_path: Path, decoder: str) -> None:
    one = grey(n=1)
    state = fit(config(decoder=decoder, validation=0.0), one, out=tmp_path)
    assert state.step == 7 and np.isfinite(state.history[-1]["test_elbo"])
    assert train.load(tmp_path).sample(2, rng=torch.Generator()).shape == (2, 12)
    with pytest.raises(
        DataError, match=r"to leave at least one of the 1 training examples of tiny\.npy on either side"
    ):
        fit(config(), one)


def test_file_with_one_example_is_refused_for_there_is_nothing_to_test_on(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", grey().train[:1])
    with pytest.raises(DataError, match=r"at least two examples, but got \(1, 12\)"):
        from_file(tmp_path / "a.npy")


def test_pixels_that_never_vary_are_reproduced() -> None:
    """A Gaussian decoder's scale must not shrink to nothing, nor a Bernoulli decoder's logits grow without end."""
    constant = np.tile(np.float32([0, 1, 1, 0, 1, 0]), (20, 1))
    data = Data("constant", constant, constant[:5], (2, 3), 1.0)
    for decoder in ("bernoulli", "gaussian"):
        chosen = config(decoder=decoder, epochs=80, schedule="constant", validation=0.0, learning_rate=0.05)
        state = fit(chosen, data)
        assert all(np.isfinite(record["test_elbo"]) for record in state.history)
        assert state.history[-1]["test_elbo"] > state.history[0]["test_elbo"]
        mean = state.model.decode(torch.zeros(1, 2)).mean
        torch.testing.assert_close(mean, torch.from_numpy(constant[:1]), atol=0.05, rtol=0)


def test_run_that_was_written_before_checkpoints_had_a_digest_is_refused_and_kept(tmp_path: Path) -> None:
    fit(config(), grey(), out=tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(RunError, match="written by an earlier vaelib, or by another program"):
        fit(config(), grey(), out=tmp_path, resume=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
