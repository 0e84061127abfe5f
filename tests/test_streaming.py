"""Training sets that stay on disk: what is read, in which order, how much memory it takes, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import differences
from typer.testing import CliRunner

from vaelib.cli import app
from vaelib.data import Data, DataError, load, stream
from vaelib.data.unit import Unit
from vaelib.train import TrainConfig, TrainState, checkpoint, engine, fit, init, loop, window
from vaelib.train.loop import Stopped

ROWS = 501


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 70 rows of 12 bytes, in blocks of 10: a training set of 451 takes 7 windows, the last one short."""
    monkeypatch.setattr(window, "BLOCKS", 7)
    monkeypatch.setattr(window, "BYTES", 70 * 12)


def levels(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    """Grey images of 3 x 4 bytes; the first two pixels say which row of the file it is."""
    images = np.random.default_rng(seed).integers(0, 256, (rows, 3, 4)).astype(np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(rows) // 256, np.arange(rows) % 256
    images[-1, 2, 3] = 255
    return images


def numbers(rows: Any) -> list[int]:
    """Which rows of the file these are."""
    return (np.asarray(rows)[:, 0].astype(int) * 256 + np.asarray(rows)[:, 1]).tolist()


def folder_of(path: Path, images: np.ndarray, cuts: tuple[int, ...] = (33, 34, 300)) -> Path:
    path.mkdir(exist_ok=True)
    for i, part in enumerate(np.split(images, cuts)):
        np.save(path / f"part{i:02}.npy", part)
    return path


def config(data: Data, **changes: Any) -> TrainConfig:
    small: dict[str, Any] = {
        "data": data.name,
        "binarization": "dynamic",
        "hidden": (8,),
        "latent_dim": 2,
        "batch_size": 10,
        "epochs": 3,
        "device": "cpu",
    }
    return TrainConfig(**{**small, **changes})


def seen(state: TrainState) -> list[list[int]]:
    """The rows of the file in each minibatch of an epoch; the model stays as it is."""
    found = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            engine, "step", lambda state, indices, *_: found.append(numbers(state.train[indices])) or info()
        )
        for _ in range(state.batches):
            engine.take(state, engine.advance)
    state.epoch, state.position = state.epoch + 1, 0
    return found


def info() -> Any:
    return engine.StepInfo(*torch.zeros(3, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------- the order


@pytest.mark.parametrize("whole", [True, False])
def test_epoch_reads_every_training_row_once_and_no_other(tmp_path: Path, whole: bool) -> None:
    images = levels()
    np.save(tmp_path / "one.npy", images)
    path = tmp_path / "one.npy" if whole else folder_of(tmp_path / "parts", images)
    data = load(str(path), stream=True)
    state = init(config(data, validation=0.1), data)
    assert len(state.held_out["validation"]) == 45 and len(data.test) == 50
    epochs = [list(chain(*seen(state))) for _ in range(3)]
    assert all(len(epoch) == len(set(epoch)) == ROWS - 95 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3 and set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert not set(epochs[0]) & set(numbers(data.test))


def test_files_of_a_folder_are_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", levels())
    alone, parts = load(str(tmp_path / "one.npy"), True), load(str(folder_of(tmp_path / "parts", levels())))
    assert alone.fingerprint() == parts.fingerprint()
    assert seen(init(config(alone), alone)) == seen(init(config(parts), parts))


def test_shuffle_reaches_as_far_as_is_said(tmp_path: Path) -> None:
    """A window holds whole blocks from all over the file, and its rows are not in the order of the file."""
    np.save(tmp_path / "one.npy", levels())
    data = load(str(tmp_path / "one.npy"), True)
    state = init(config(data), data)
    epoch = list(chain(*seen(state)))
    assert data.stream is not None and state.window is not None and state.window.block == 10
    windows = [sorted(epoch[i : i + 70]) for i in range(0, len(epoch), 70)]
    spans = [part[-1] - part[0] for part in windows[:-1]]
    assert min(spans) > ROWS / 2  # 70 rows, from a range of more than 250
    for part in windows[:-1]:
        places = np.searchsorted(data.stream.places(np.arange(len(data.stream))), part)
        assert (np.diff(places) == 1).sum() >= 55  # 63 neighbours in blocks of 10, less what blocks at the ends lose
    inside = np.diff(epoch)
    assert (inside == 1).mean() < 0.1


def test_held_out_rows_come_from_all_over_the_file() -> None:
    """Each of so many equal stretches gives one, at random: no period of the file meets the test set's."""
    whole = stream.Stream((stream.Shard(Path("x"), (1000, 4), np.dtype("u1"), 0),))
    rows = whole.spread_out(100, seed=0)
    assert (rows // 10 == np.arange(100)).all() and len(set(rows % 10)) == 10
    kept = whole.without(rows)
    assert sorted([*kept.places(np.arange(900)), *rows]) == list(range(1000))
    again = kept.without(np.array([0, 5, 899]))
    assert len(again) == 897 and not set(again.places(np.arange(897))) & {*rows, *kept.places(np.array([0, 5, 899]))}


@pytest.mark.parametrize("count", [1, 396, 432, 500, 600, 682, 700, 1080])
def test_stretches_are_the_whole_file(count: int) -> None:
    """No row is out of reach: not those at the end that are left over when the stretches are cut."""
    whole = stream.Stream((stream.Shard(Path("x"), (1080, 4), np.dtype("u1"), 0),))
    seen = np.stack([whole.spread_out(count, seed) for seed in range(60)])
    assert (np.diff(seen, axis=1) > 0).all() and seen.min() >= 0
    begins = 1080 * (count - 1) // count  # the last stretch
    assert begins <= seen[:, -1].min() and begins + 0.8 * (1079 - begins) <= seen[:, -1].max() < 1080


@pytest.mark.parametrize("batch", [1, 100, 128, 1000, 70000])
@pytest.mark.parametrize("row_bytes", [2, 784, 3136, 200_000])
def test_window_holds_whole_minibatches(batch: int, row_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rows = window.BLOCKS * window.rows_in_block(row_bytes, batch)
    assert rows % batch == 0 and rows * row_bytes < window.BYTES + window.BLOCKS * batch * row_bytes


def test_window_is_as_large_as_the_guide_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/practitioner.md: 64 blocks of about 1 MiB; of rows of 784 bytes 1,338 a block, 669 minibatches of 128."""
    monkeypatch.undo()
    assert window.BLOCKS == 64 and window.BYTES == 64 * 2**20
    assert window.rows_in_block(784, 128) == 1338 and 64 * 1338 == 669 * 128


def test_pixels_are_those_of_the_array_in_memory(tmp_path: Path) -> None:
    """In each dtype, whatever unit the networks see."""
    rng = np.random.default_rng(0)
    for i, array in enumerate(
        [
            rng.integers(0, 2, (60, 5)),
            rng.random((60, 5)) < 0.5,
            rng.random((60, 5)),
            rng.random((60, 5)).astype(">f4"),
            (1e5 + rng.random((60, 5))).astype(np.float64),
            rng.integers(200, 221, (60, 5)).astype(np.uint8),
        ]
    ):
        path = tmp_path / f"{i}.npy"
        np.save(path, array)
        data = load(str(path), stream=True)
        gaussian = config(data, decoder="gaussian", binarization="none")
        state = init(gaussian, data)
        assert state.window is not None and data.stream is not None
        order = state.window.order(0, 0)
        got = np.sort(state.unit.outward(state.train[order].double() / state.white).numpy(), axis=0)
        expected = (
            np.sort(array[data.stream.places(np.arange(len(data.stream)))].astype(np.float64), axis=0) / data.white
        )
        assert np.allclose(got, expected, rtol=1e-6 if state.unit == Unit() else 1e-10)


@pytest.mark.parametrize(
    ("pixels", "decoder", "mode", "values"),
    [
        ("bytes", "bernoulli", "dynamic", "interval"),
        ("bytes", "gaussian", "none", "interval"),
        ("bytes", "gaussian", "dequantized", "interval"),
        ("binary", "bernoulli", "none", "binary"),
        ("binary", "bernoulli", "dynamic", "binary"),  # there is nothing to draw
        ("floats", "gaussian", "none", "finite"),
        ("floats", "bernoulli", "dynamic", "interval"),
    ],
)
def test_pixels_are_scaled_and_judged_as_their_treatment_needs(
    pixels: str, decoder: str, mode: str, values: str, tmp_path: Path
) -> None:
    images = {"bytes": levels(60), "binary": levels(60) // 128, "floats": levels(60) / np.float32(255)}[pixels]
    np.save(tmp_path / "x.npy", images)
    streamed, whole = (load(str(tmp_path / "x.npy"), stream=stream) for stream in (True, False))
    state, other = (init(config(data, decoder=decoder, binarization=mode), data) for data in (streamed, whole))
    assert state.window is not None and state.window.stream.values == values
    assert state.white == other.white and state.train.dtype == other.train.dtype
    assert len(state.train) == len(state.order) == state.examples == 54  # not the 70 that there is room for


def test_what_is_held_out_is_as_large_as_the_guide_says() -> None:
    """docs/practitioner.md: a tenth, but at most 8 MiB as 32-bit floats, 2,674 rows of 784 pixels."""
    whole = stream.Stream((stream.Shard(Path("x"), (2_560_000, 784), np.dtype("u1"), 0),))
    assert whole.aside(0.1) == 2674 and whole.aside(0.001) == 2560 and whole.aside(1e-9) == 1


@pytest.mark.parametrize(
    "really", [False, pytest.param(True, marks=[pytest.mark.long, pytest.mark.slow])], ids=["as written", "compiled"]
)
def test_compiled_steps_see_the_rows_of_each_window(
    really: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs of seven windows and an odd minibatch; nothing asks at a step whether what it reads has changed."""
    if not really:
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    data = load(str(folder_of(tmp_path / "parts", levels())))
    chosen = config(data, dtype="float64", decoder="gaussian", binarization="dequantized", warmup=2, schedule="cosine")
    plain, whole = init(chosen, data), init(chosen, data)
    for state, run in ((plain, engine.advance), (whole, engine.compiled_whole(whole))):
        for _ in range(2 * state.batches):
            engine.take(state, run)
            if state.position == state.batches:
                state.epoch, state.position = state.epoch + 1, 0
    for a, b in zip(plain.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(plain.sums, whole.sums, rtol=1e-9, atol=1e-11)


# ------------------------------------------------------------------------------------------------- whole runs


def same(one: Path, other: Path) -> list[str]:
    return list(differences("run", *(checkpoint.load(path) for path in (one, other))))


@pytest.mark.parametrize(
    "changes", [{}, {"validation": 0.1, "patience": 2}, {"binarization": "none", "decoder": "gaussian"}]
)
def test_run_stopped_anywhere_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    data = load(str(folder_of(tmp_path / "parts", levels())))
    fit(config(data, **changes), data, out=tmp_path / "whole")
    for step in (1, 10, 50, 93):  # at the begin, within a window, in a second epoch
        out = tmp_path / str(step)
        with monkeypatch.context() as patched:
            patched.setattr(loop, "asked_to_stop", lambda _, step=step: stops_after(step))
            with pytest.raises(Stopped):
                fit(config(data, **changes), data, out=out)
        assert same(tmp_path / "whole", out)
        fit(config(data, **changes), data, out=out, resume=True)
        assert not same(tmp_path / "whole", out)


class stops_after:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_command_trains_evaluates_and_resumes_a_folder(tmp_path: Path) -> None:
    folder_of(tmp_path / "parts", levels())
    options = "--binarization dynamic --epochs 2 --hidden 8 --latent-dim 2 --device cpu"
    run = CliRunner().invoke
    first = run(app, f"train --data {tmp_path / 'parts'} --out {tmp_path / 'run'} {options}".split())
    assert first.exit_code == 0, first.output
    assert "451 examples to train on (from disk, a part at a time), 50 for test" in first.output
    more = run(app, f"train --out {tmp_path / 'run'} --resume --epochs 3".split())
    assert more.exit_code == 0, more.output
    judged = run(app, f"evaluate {tmp_path / 'run'} --importance-samples 10".split())
    assert judged.exit_code == 0, judged.output


def test_file_streams_if_it_is_large_or_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.npy"
    np.save(path, levels())
    assert load(str(path)).stream is None and load(str(path), True).stream is not None
    monkeypatch.setattr(stream, "memory", lambda: 4.0 * path.stat().st_size - 1)
    assert load(str(path)).stream is not None and load(str(path), False).stream is None
    few = load(str(path))
    assert few.examples == 451 and few.first(5, 5).examples == 5
    assert TrainConfig.suited_to(few, batch_size=1).epochs == 13


# -------------------------------------------------------------------------------------------------- what is refused


def test_numbers_that_are_not_right_are_named_with_file_and_row_while_training(tmp_path: Path) -> None:
    images = levels() / np.float32(255)
    for value, decoder, what in (
        (np.nan, "gaussian", "finite numbers"),
        (np.inf, "gaussian", "finite numbers"),
        (1.5, "bernoulli", "numbers from 0 to 1"),
    ):
        parts = folder_of(tmp_path / "parts", images)
        data = load(str(parts))
        treated = "none" if decoder == "gaussian" else "dynamic"
        assert data.stream is not None
        row = int(data.stream.places(np.array([len(data.stream) - 1]))[0])  # none that is held out
        spoiled = images.copy()
        spoiled[row, 1, 2] = value
        folder_of(parts, spoiled)
        with pytest.raises(
            DataError, match=rf"{what} .*part03\.npy, but row {row - 300} holds .* its number 6, both counted from 0"
        ):
            fit(config(data, decoder=decoder, binarization=treated), data, out=tmp_path / f"{decoder}{value}")


def test_grey_pixel_among_binary_ones_is_named(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 2, (60, 5)).astype(np.uint8)
    np.save(tmp_path / "x.npy", images)
    data = load(str(tmp_path / "x.npy"), True)
    images[:, 3] = 7
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(
        DataError, match=r"Expected 0 or 1 in .*x.npy, but row .* holds 7 as its number 3, both counted from 0"
    ):
        fit(config(data, binarization="auto"), data)


def test_nan_in_the_rows_looked_at_first_is_named_with_its_row(tmp_path: Path) -> None:
    images = levels() / 255
    images[450:] = np.nan
    np.save(tmp_path / "x.npy", images)
    with pytest.raises(DataError, match=r"finite numbers .*x.npy, but row 4[5-9]\d"):
        load(str(tmp_path / "x.npy"), True)


def test_file_cut_off_while_training_is_named(tmp_path: Path) -> None:
    parts = folder_of(tmp_path / "parts", levels())
    data = load(str(parts))
    content = (parts / "part02.npy").read_bytes()
    (parts / "part02.npy").write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"Expected 266 rows in .*part02.npy, but it ends in row 257, counted from 0"):
        fit(config(data), data)
    (parts / "part02.npy").unlink()
    with pytest.raises(DataError, match=r"Could not read .*part02.npy from row .* No such file"):
        fit(config(data), data)


def broken(folder: Path) -> dict[str, str]:
    """File or folder -> what is said of it."""
    (folder / "empty").mkdir()
    for name, other in (("wide", np.zeros((5, 7), np.uint8)), ("kind", np.zeros((5, 3, 4), np.float32))):
        np.save(folder_of(folder / name, levels()) / "zz.npy", other)
    packed = folder / "packed"
    packed.mkdir()
    np.savez(packed / "a.npz", levels())
    np.savez(folder / "one.npz", levels())
    np.save(folder / "labels.npy", np.arange(10))
    np.save(folder / "columns.npy", np.asfortranarray(levels()))
    np.save(folder / "dates.npy", np.zeros((5, 3), "M8[s]"))
    np.save(folder / "objects.npy", np.array([[None, 1], [2, 3]], object), allow_pickle=True)
    np.save(folder / "cut.npy", levels())
    whole = (folder / "cut.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[: 128 + 12 * 200 + 5])
    (folder / "long.npy").write_bytes(whole + b"x")
    (folder / "head.npy").write_bytes(whole[:40])
    (folder / "text.npy").write_text("1,2,3\n")
    np.save(folder / "none.npy", np.zeros((0, 4)))
    np.save(folder / "narrow.npy", np.zeros((5, 0)))
    np.save(folder / "single.npy", np.zeros((1, 4)))
    np.save(folder / "same.npy", np.full((30, 4), 0.5))
    return {
        "empty": "Expected .npy files in the folder .*empty, but there is none",
        "packed": "there is none. Its .npz files cannot be read a few rows at a time",
        "wide": r"one shape and dtype, but part00.npy has \(3, 4\) of uint8, and zz.npy has \(7,\) of uint8",
        "kind": r"one shape and dtype, but part00.npy has \(3, 4\) of uint8, and zz.npy has \(3, 4\) of float32",
        "one.npz": "is a .npz: its arrays are packed, and cannot be read a few rows at a time",
        "labels.npy": r"to have shape \(examples, ...\), with examples of many numbers, but got \(10,\)",
        "columns.npy": "it is saved column after column",
        "dates.npy": "to hold numbers, but its dtype is datetime64",
        "objects.npy": "to hold numbers, but its dtype is object",
        "cut.npy": "it is cut off in row 200, counted from 0",
        "long.npy": "more bytes follow",
        "head.npy": "its header could not be read",
        "text.npy": "its header could not be read",
        "missing.npy": "No such file",
        "none.npy": r"with examples of many numbers, but got \(0, 4\)",
        "narrow.npy": r"with examples of many numbers, but got \(5, 0\)",
        "single.npy": "to have at least two examples, but it has 1",
        "same.npy": "to vary, but every value is 0.5",
        "digits": "Expected a .npy file or a folder of them to stream, but digits is made in memory",
    }


def test_what_cannot_stream_is_refused_in_words(tmp_path: Path) -> None:
    for name, message in broken(tmp_path).items():
        with pytest.raises(DataError, match=message):
            load(name if name == "digits" else str(tmp_path / name), stream=True)
    with pytest.raises(DataError, match="is a folder, whose files stream"):
        load(str(tmp_path / "wide"), stream=False)


def test_treatment_that_needs_all_pixels_at_once_is_refused(tmp_path: Path) -> None:
    data = load(str(folder_of(tmp_path / "parts", levels())))
    with pytest.raises(DataError, match="stream from disk, but got fixed"):
        fit(config(data, binarization="fixed"), data, out=tmp_path / "run")
    with pytest.raises(DataError, match="share held out for validation"):
        fit(config(data, validation=0.0001), data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_does_not_go_on_with_another_file(tmp_path: Path) -> None:
    data = load(str(folder_of(tmp_path / "parts", levels())))
    fit(config(data), data, out=tmp_path / "run")
    other = load(str(folder_of(tmp_path / "others", levels(seed=1))))
    with pytest.raises(ValueError, match="is not the same, or has changed since"):
        fit(replace(config(data), epochs=4), other, out=tmp_path / "run", resume=True)


# ---------------------------------------------------------------------------------------------------------- memory

MEASURED = """
import sys
import numpy as np, torch
from vaelib.data import from_disk, Data
from vaelib.train import TrainConfig, init, engine, window
from vaelib.train.engine import take
from pathlib import Path

def most():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

before = most()
data = from_disk(Path(sys.argv[1]))
config = TrainConfig(data=data.name, binarization="dynamic", hidden=(8,), latent_dim=2, device="cpu", batch_size=4096)
state = init(config, data)
engine.step = lambda state, indices, *_: engine.StepInfo(*torch.zeros(3, dtype=torch.float64))
for _ in range(state.batches):
    take(state, engine.advance)
print(most() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in KiB there")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """627 MB, most of them a hole in the file, which takes no disk."""
    path = tmp_path / "large.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (800_000, 784))
    array[::100, 0] = 255
    array.flush()
    del array
    command = [sys.executable, "-c", MEASURED, str(path)]
    grown = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 64 < grown < 256
