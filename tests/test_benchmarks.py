"""benchmarks/training.py: its rows do the same work, its ratios are taken within rounds, and it runs to the end."""

from __future__ import annotations

import copy
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import _peers
import _record
import _rows
import evaluation
import training

from vaelib.train import TrainState, step
from vaelib.train import state as state_module
from vaelib.train.state import draw
from vaelib.vae import VAE

BENCHMARKS = Path(training.__file__).parent
STEPS = 5


@pytest.fixture(scope="module", params=[False, True], ids=["binary", "grey"])
def problem(request: pytest.FixtureRequest) -> _rows.Problem:
    whole = _rows.synthetic(request.param)
    assert len(whole.images) % _rows.BATCH == 0  # no step is smaller than another
    return _rows.Problem(whole.images[: 3 * _rows.BATCH], whole.dynamic)


def gradient(loss: _rows.Loss, model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, list[Tensor]]:
    value, _ = loss(model, x, noise)
    return value.detach(), list(torch.autograd.grad(value, list(model.parameters())))


def assert_close(actual: Iterable[Tensor | None], expected: Iterable[Tensor | None]) -> None:
    """Each tensor's difference is small against its norm.

    In float64: in float32 a ReLU's input that is 0 but for rounding changes a gradient by 1e-4.
    """
    for one, other in zip(actual, expected, strict=True):
        assert one is not None and other is not None and one.dtype == torch.float64
        assert float((one - other).detach().norm()) <= 1e-9 * float(other.detach().norm())


# ---------------------------------------------------------------------------------------------------------- same work


def test_data_have_the_ink_of_mnist(problem: _rows.Problem) -> None:
    assert problem.images.dtype == np.uint8 and problem.images.shape == (3 * _rows.BATCH, 784)
    assert 0.13 <= problem.images.mean() / problem.white <= 0.20
    x, noise = next(_rows.minibatches(problem))
    assert x.shape == (128, 784) and noise.shape == (1, 128, 20)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert 0.13 <= float(x.mean()) <= 0.20


@pytest.mark.parametrize("name", ["importance weighting", "annealing"])
def test_products_of_an_evaluation_are_as_many_as_it_takes(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(evaluation.ANNEALING, "temperatures", 5)
    monkeypatch.setattr(evaluation.ais, "TUNING_MOVES", 10)
    monkeypatch.setattr(evaluation, "SAMPLES", 200)
    monkeypatch.setattr("vaelib.evaluate.bounds.in_blocks", lambda function, z, pixels: function(z))  # in one thread
    work = evaluation.ROWS[name](_rows.synthetic(False))
    counts = []
    for call in (work.whole, work.products):
        with FlopCounterMode(display=False) as counter:
            call()
        counts.append(counter.get_total_flops())
    assert counts[1] <= counts[0] <= 1.05 * counts[1]  # the encoder, and the two ends of a chain, are what it has more


def test_minibatches_of_grey_images_are_drawn_afresh() -> None:
    problem = _rows.Problem(np.full((_rows.BATCH, _rows.PIXELS), 40, np.uint8), dynamic=True)
    feed = _rows.minibatches(problem)
    inks = [next(feed)[0].sum() for _ in range(3)]  # the same images each time, in another order
    assert len({float(ink) for ink in inks}) == 3


def test_plain_and_vaelib_losses_agree_while_training(problem: _rows.Problem) -> None:
    plain, ours = _rows.network(), _rows.network()
    steps = (_rows.stepper(plain, _rows.plain_loss, False), _rows.stepper(ours, _rows.vaelib_loss, False))
    values = []
    for x, noise in itertools.islice(_rows.minibatches(problem), STEPS):
        exact = copy.deepcopy(plain).double(), x.double(), noise.double()
        expected, its_gradient = gradient(_rows.plain_loss, *exact)
        value, actual = gradient(_rows.vaelib_loss, *exact)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        assert_close(actual, its_gradient)
        values.append([take(x, noise) for take in steps])
        torch.testing.assert_close(*values[-1], rtol=1e-5, atol=0)
        torch.testing.assert_close(values[-1][0], expected.float(), rtol=1e-5, atol=0)
    assert values[-1][0] < values[0][0] - 10.0  # and it learns


def test_step_of_vaelib_equals_the_plain_step(problem: _rows.Problem) -> None:
    state = _rows.engine_state(problem, dtype="float64")
    plain = copy.deepcopy(state.model)
    take = _rows.stepper(plain, _rows.plain_loss, False)
    for start in (5, 140, 200):
        indices = torch.arange(start, start + _rows.BATCH)
        at = state.generator.get_state()
        x, noise = draw(state, indices)
        state.generator.set_state(at)
        info = step(state, indices)
        torch.testing.assert_close(-info.objective, take(x, noise), rtol=1e-12, atol=0)
    assert_close((p.grad for p in state.model.parameters()), (p.grad for p in plain.parameters()))
    assert_close(state.model.parameters(), plain.parameters())


def test_textbook_loss_equals_the_plain_one_where_scales_agree(problem: _rows.Problem) -> None:
    """With a constant scale the bound on it makes no difference but to its number."""
    model, textbook = _rows.network(), _rows.Textbook()
    constant = torch.linspace(-2.0, 1.0, _rows.LATENT)
    with torch.no_grad():
        model.encoder.log_scale.weight.zero_()
        model.encoder.log_scale.bias.copy_(constant)
        for mine, theirs in zip(_rows.layers(model), _rows.layers(textbook), strict=True):
            theirs.weight.copy_(mine.weight)
            theirs.bias.copy_(mine.bias)
        textbook.log_variance.bias.copy_(2.0 * 7.0 * torch.tanh(constant / 7.0))
    x, _ = next(_rows.minibatches(problem))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        summed = textbook(x)
        torch.manual_seed(3)
        noise = torch.randn(1, _rows.BATCH, _rows.LATENT)
    value, _ = _rows.plain_loss(model, x, noise)
    torch.testing.assert_close(summed / len(x), value, rtol=1e-5, atol=0)


def test_jax_loss_equals_the_plain_one(problem: _rows.Problem) -> None:
    jax = pytest.importorskip("jax")
    model = _rows.network().double()
    x, noise = (tensor.double() for tensor in next(_rows.minibatches(problem)))
    value, gradients = gradient(_rows.plain_loss, model, x, noise)
    with jax.enable_x64(True):
        theirs, slopes = jax.value_and_grad(_peers.jax_loss)(_peers.jax_parameters(model), x.numpy(), noise[0].numpy())
        slopes = [torch.from_numpy(np.array(part.T)) for pair in slopes for part in pair]
    assert float(theirs) == pytest.approx(float(value), rel=1e-12)
    assert_close(slopes, gradients)


@pytest.mark.parametrize(
    "name", ["example", "plain", "plain + vaelib loss", "vaelib eager", "vaelib conv", "conv floor", "floor"]
)
def test_rows_go_on_over_the_end_of_an_epoch(name: str, problem: _rows.Problem) -> None:
    row = _rows.ROWS[name](problem)
    assert row.images == _rows.BATCH
    for _ in range(4):  # there are three minibatches
        row.call()


def test_vaelib_rows_begin_an_epoch_when_one_is_over(problem: _rows.Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def begin_epoch(state: TrainState) -> None:
        begun.append(state.position)
        state_module.begin_epoch(state)

    monkeypatch.setattr(_rows, "begin_epoch", begin_epoch)
    row = _rows.engine(problem)
    for _ in range(7):
        row.call()
    assert begun == [0, 3, 3]


@pytest.mark.parametrize("name", list(_peers.NEEDS))
def test_rows_of_other_libraries_run(name: str, problem: _rows.Problem) -> None:
    pytest.importorskip(_peers.NEEDS[name])
    row = _peers.ROWS[name](problem)
    row.call()
    assert row.images in (_rows.BATCH, _peers.SCANNED * _rows.BATCH, len(problem.images))


# --------------------------------------------------------------------------------------------------------------- FLOP


@pytest.mark.parametrize("loss", [_rows.plain_loss, _rows.vaelib_loss])
def test_flop_per_image_equals_torch_counter(loss: _rows.Loss, problem: _rows.Problem) -> None:
    model = _rows.network()
    with FlopCounterMode(display=False) as counter:
        gradient(loss, model, *next(_rows.minibatches(problem)))
    assert counter.get_total_flops() == _rows.BATCH * _rows.flop_per_image() == _rows.BATCH * 3_280_000


def test_products_of_the_floor_are_those_of_a_step() -> None:
    model = _rows.network()
    todo = _rows.products(model)
    assert sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in todo) == _rows.BATCH * _rows.flop_per_image()
    with FlopCounterMode(display=False) as counter:
        outs = [torch.mm(a, b) for a, b, _ in todo]
    assert counter.get_total_flops() == _rows.BATCH * _rows.flop_per_image()
    assert [out.shape for out in outs] == [out.shape for _, _, out in todo]
    gradients = {id(layer.weight.grad) for layer in _rows.layers(model)}
    assert len(gradients & {id(out) for _, _, out in todo}) == 5  # Adam reads what the products wrote


def test_floor_adds_adam_on_all_parameters_to_the_products(problem: _rows.Problem) -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        _rows.ROWS["floor"](problem).call()
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::mm"] == 14 and counts["aten::_fused_adam_"] == 1
    assert sum(parameter.numel() for parameter in _rows.network().parameters()) == 652_824


def test_floor_of_the_convolutional_model_does_what_a_step_computes(problem: _rows.Problem) -> None:
    row = _rows.ROWS["conv floor"](problem)
    with FlopCounterMode(display=False) as of_the_floor:
        row.call()
    state = _rows.engine_state(problem, **_rows.CONVOLUTIONAL)
    with FlopCounterMode(display=False) as of_a_step:
        step(state, state.offsets)
    assert of_the_floor.get_total_flops() == of_a_step.get_total_flops() > _rows.BATCH * 10_000_000


# ------------------------------------------------------------------------------------------------- measuring, writing


def test_ratios_are_taken_within_rounds() -> None:
    floor, plain = np.array([100.0, 400.0, 200.0]), np.array([90.0, 100.0, 60.0])  # ratios 0.9, 0.25, 0.3
    records = training.table({"floor": floor, "example": floor / 4, "plain": plain, "plain + vaelib loss": plain / 2})
    assert [record["row"] for record in records][3:] == ["plain + vaelib loss", "plain + vaelib loss / plain"]
    assert records[2]["images_per_second"] == {"median": 90.0, "quartiles": [75.0, 95.0]}
    assert records[2]["of_floor"]["median"] == pytest.approx(0.3)
    assert records[2]["of_floor"]["quartiles"] == pytest.approx([0.275, 0.6])
    assert records[2]["times_example"]["quartiles"] == pytest.approx([1.1, 2.4])
    assert records[4]["ratio"]["median"] == 0.5


def test_measure_takes_rows_in_turn_and_counts_their_images() -> None:
    calls: list[str] = []

    def row(name: str, images: float) -> _rows.Row:
        return _rows.Row(lambda: calls.append(name), images)

    speeds = training.measure({"a": row("a", 10), "b": row("b", 20)}, rounds=4, seconds=0.0)  # one call a turn
    assert "".join(calls[4 * training.WARM_UP :]) == "abbaabba"  # to and fro
    assert all(speed.shape == (4,) and (speed > 0).all() for speed in speeds.values())


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Results go to a temporary folder, and the process keeps its cores."""
    monkeypatch.setattr(_record, "RESULTS", tmp_path)
    monkeypatch.setattr(training, "pin", lambda threads: None)
    return tmp_path


def test_training_writes_its_table_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training.main(["--rounds", "1", "--seconds", "0.02", "--rows", "floor,plain", "--record"])
    (path,) = here.iterdir()
    assert path.name == "training-none-1-part.json"  # results of all rows are not replaced by those of two
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["settings"]["rounds"] == 1 and content["settings"]["flop_per_image"] == 3_280_000
    assert content["hardware"] and content["versions"]["torch"] == torch.__version__
    floor, plain = content["rows"]
    assert (floor["row"], plain["row"]) == ("floor", "plain")
    assert floor["of_floor"]["median"] == 1.0
    speeds = [row["images_per_second"]["median"] for row in (floor, plain)]
    assert plain["of_floor"]["median"] == pytest.approx(speeds[1] / speeds[0]) and "times_example" not in plain
    assert f"{speeds[1]:,.0f}" in capsys.readouterr().out


def test_numbers_are_shown_and_kept_only_when_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training.main(["--rounds", "1", "--seconds", "0.02", "--rows", "floor"])
    assert "floor" in capsys.readouterr().out and not list(here.iterdir())


@pytest.mark.parametrize("name", [path.stem for path in sorted(BENCHMARKS.glob("[!_]*.py"))])
def test_every_benchmark_knows_record(name: str) -> None:
    help_text = subprocess.run(
        [sys.executable, f"{name}.py", "--help"], cwd=BENCHMARKS, capture_output=True, text=True, check=True
    )
    assert "--record" in help_text.stdout


def test_training_names_what_is_not_installed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(_peers.NEEDS, "pythae", "a_library_that_nobody_has")
    training.main(["--rounds", "1", "--seconds", "0.02", "--rows", "floor,pythae", "--record"])
    (path,) = here.iterdir()
    assert json.loads(path.read_text(encoding="utf-8"))["rows"][1] == {"row": "pythae", "absent": "not installed"}
    assert "not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "floor,keras"], "Expected rows out of example, plain, "),
        (["--rows", "floor,keras"], "but got keras."),
        (["--threads", "5000"], "one a core, and 1 round or more, but got 5000 threads and 15 rounds."),
        (["--rounds", "0"], "but got 1 threads and 0 rounds."),
    ],
)
def test_training_refuses_what_it_cannot_do(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        training.main(arguments)
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(here.iterdir())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux alone")
def test_pin_keeps_to_as_many_cores_as_threads() -> None:
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    try:
        training.pin(1)
        assert len(os.sched_getaffinity(0)) == 1 == torch.get_num_threads()
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
