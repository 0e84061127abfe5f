"""What a checkpoint must hold: whatever else is in it is refused in a sentence, before anything is used."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import config, records, same, tiny, weights

from vaelib.train import RunError, checkpoint, fit, load, payload

Spoil = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(config(epochs=2, validation=0.3), tiny(), out=folder)
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def nan(tensor: torch.Tensor) -> None:
    tensor.view(-1)[0] = float("nan")


def put(*path: Any) -> Spoil:
    """put("a", "b", value): saved["a"]["b"] = value."""

    def spoil(saved: dict[str, Any]) -> None:
        *keys, last, value = path
        for key in keys:
            saved = saved[key]
        saved[last] = value

    return spoil


BOTH: list[tuple[Spoil, str]] = [  # whether it is resumed or loaded
    (
        put("config", "flow", 3),
        r"the setting 'flow', which this vaelib does not know\. Was it written by a newer vaelib",
    ),
    (put("config", "objective", "vq"), "one of its settings is refused .*'vq'.*newer vaelib"),
    (put("config", "hidden", 5), "one of its settings is refused .*`hidden` to be widths"),
    (put("config", "latent_dim", "2"), "one of its settings is refused .*`latent_dim`"),
    (put("config", "beta", None), "one of its settings is refused .*`beta` to be finite"),
    (put("config", "layer_norm", "yes"), "one of its settings is refused .*`layer_norm` to be True or False"),
    (put("config", "data", None), "one of its settings is refused .*`data` to be digits"),
    (put("config", [1]), "its 'config' is not settings"),
    (put("data", "sha256", 5), "its 'data' is not the shape and the SHA-256"),
    (put("data", "image_shape", [3, "x"]), "its 'data' is not"),
    (put("data", "image_shape", []), "its 'data' is not"),
    (put("data", "unit", [0.0, 0.0]), "its 'data' is not"),
    (put("data", {}), "its 'data' is not"),
    (put("model", "decoder.out.bias", 3.0), "its 'model' is not a tensor for each name"),
    (put("model", "decoder.out.bias", torch.zeros(11)), r"'decoder.out.bias' in its model is float32 of shape \(11,\)"),
    (put("model", "decoder.out.bias", torch.zeros(12, dtype=torch.int64)), "is int64 of shape"),
    (put("model", "more", torch.zeros(1)), "its model has the unknown 'more'"),
    (lambda saved: saved["model"].pop("encoder.loc.bias"), "its model lacks 'encoder.loc.bias'"),
    (lambda saved: nan(saved["model"]["decoder.out.bias"]), "'decoder.out.bias' in its model holds NaN"),
    (put("epoch", -1), "its 'epoch' is not a count"),
]
RESUMED: list[tuple[Spoil, str]] = [
    (lambda saved: saved.pop("history"), "it has no 'history'"),
    (lambda saved: saved.pop("generator"), "it has no 'generator'"),
    (put("history", "garbage"), "its 'history' is not a record of numbers"),
    (put("history", [{}, {}]), "its 'history' is not a record of numbers"),
    (put("history", 0, "test_elbo", "x"), "its 'history' is not a record of numbers"),
    (put("history", 1, "epoch", 7), "its 'history' is not a record of numbers"),
    (lambda saved: saved["history"].pop(), "it counts 2 epochs and has records of 1"),
    (lambda saved: saved["history"][1].pop("validation_elbo"), "lacks the validation bound"),
    (put("step", True), "its 'step' is not a count"),
    (put("position", 99), "it has taken 99 minibatches of an epoch of 3"),
    (put("generator", torch.zeros(5)), "its 'generator' is not a vector of bytes"),
    (put("order", torch.full((23,), 99)), "its 'order' is not one of 23 training examples"),
    (put("order", torch.arange(22)), "its 'order' is not one of 23 training examples"),
    (put("sums", torch.zeros(2, dtype=torch.float64)), "its 'sums' is not three sums"),
    (put("optimizer", {}), "its optimizer lacks"),
    (put("optimizer", "decoder.out.bias", {}), "its 'optimizer' is not exp_avg, exp_avg_sq, step for each"),
    (put("optimizer", "decoder.out.bias", "exp_avg", torch.zeros(3)), "'decoder.out.bias exp_avg' in its optimizer is"),
]


def spoilt(folder: Path, name: str, spoil: Spoil) -> None:
    saved = copy.deepcopy(checkpoint.load(folder, name=name))
    spoil(saved)
    checkpoint.save(folder, saved, name)


REFUSAL = r"^Expected .*{}\.pt to be a whole checkpoint, but .*{}.*Put back a copy, or delete .* and train again\.$"


@pytest.mark.parametrize(("spoil", "message"), [*BOTH, *RESUMED])
def test_checkpoint_that_does_not_hold_what_it_should_is_not_resumed_and_not_touched(
    copied: Path, spoil: Spoil, message: str
) -> None:
    spoilt(copied, checkpoint.CHECKPOINT, spoil)
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    with pytest.raises(RunError, match=REFUSAL.format("checkpoint", message)):
        fit(config(epochs=4, validation=0.3), tiny(), out=copied, resume=True)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


@pytest.mark.parametrize(("spoil", "message"), BOTH)
def test_model_that_is_not_what_it_should_be_is_not_loaded(copied: Path, spoil: Spoil, message: str) -> None:
    spoilt(copied, checkpoint.BEST, spoil)
    with pytest.raises(RunError, match=REFUSAL.format("best", message)):
        load(copied)
    with pytest.raises(RunError, match=REFUSAL.format("best", message)):
        fit(config(epochs=4, validation=0.3), tiny(), out=copied, resume=True)


def test_what_training_writes_satisfies_the_schema(run: Path) -> None:
    assert payload.complaint(checkpoint.load(run), payload.WHOLE) is None
    assert payload.complaint(checkpoint.load(run, name=checkpoint.BEST), payload.BEST) is None


def test_checkpoint_of_before_there_were_units_is_read(copied: Path) -> None:
    spoilt(copied, checkpoint.CHECKPOINT, lambda saved: saved["data"].pop("unit"))
    spoilt(copied, checkpoint.BEST, lambda saved: saved["data"].pop("unit"))
    assert load(copied).unit.trivial
    assert fit(config(epochs=3, validation=0.3), tiny(), out=copied, resume=True).epoch == 3


def test_generator_of_another_device_is_seeded_afresh(copied: Path) -> None:
    """A GPU's random state is 16 bytes; the run goes on, though not bit for bit, which is said by the device."""
    spoilt(copied, checkpoint.CHECKPOINT, put("generator", torch.zeros(16, dtype=torch.uint8)))
    assert fit(config(epochs=3, validation=0.3), tiny(), out=copied, resume=True).epoch == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("data"), "to say what `data` the run is trained on, but it does not"),
        (lambda c: c.update(data=7), "holds a setting that is refused. .*`data`"),
        (lambda c: c.update(hidden="wide"), "holds a setting that is refused. .*`hidden`"),
        (lambda c: c.update(learning_rate="fast"), "holds a setting that is refused. .*`learning_rate`"),
        (lambda c: c.update(binarization=[1]), "holds a setting that is refused. .*`binarization`"),
    ],
)
def test_settings_that_were_spoilt_are_refused(copied: Path, change: Spoil, message: str) -> None:
    stored = json.loads((copied / "config.json").read_text())
    change(stored)
    (copied / "config.json").write_text(json.dumps(stored))
    with pytest.raises(RunError, match=message):
        load(copied)
    with pytest.raises(RunError, match=message):
        fit(config(epochs=3, validation=0.3), tiny(), out=copied, resume=True)


def test_deep_nesting_in_settings_is_refused(copied: Path) -> None:
    (copied / "config.json").write_text("[" * 100_000)
    with pytest.raises(RunError, match="could not read it"):
        checkpoint.read_config(copied)


def test_run_whose_data_were_moved_goes_on_bit_for_bit(tmp_path: Path) -> None:
    import dataclasses

    whole = fit(config(), tiny(), out=tmp_path / "whole")
    fit(config(epochs=2), tiny(), out=tmp_path / "parts")
    moved = dataclasses.replace(tiny(), name="elsewhere.npy")
    parts = fit(config(data="elsewhere.npy"), moved, out=tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(parts)) and records(tmp_path / "whole") == records(tmp_path / "parts")
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["data"] == "elsewhere.npy"
    other = dataclasses.replace(tiny(seed=1), name="elsewhere.npy")
    with pytest.raises(RunError, match="is not the same, or has changed since"):
        fit(config(data="elsewhere.npy"), other, out=tmp_path / "parts", resume=True)


@pytest.mark.parametrize("changes", [{"latent_dim": 2_000_000_000}, {"hidden": (10**9, 10**9)}, {"latent_dim": 10**30}])
def test_network_that_no_machine_holds_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(RunError, match=r"parameters, with `hidden` .*to fit into memory, but .*GiB.*smaller network"):
        fit(config(**changes), tiny(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_large_convolutional_network_is_counted_too(tmp_path: Path) -> None:
    changes = {"network": "conv", "layer_norm": False, "hidden": (4, 8), "latent_dim": 10**12}
    with pytest.raises(RunError, match="to fit into memory"):
        fit(config(**changes), tiny())
