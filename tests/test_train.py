"""Training: a step, a run, going on with a run bit for bit, stopping at NaN and at Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vaelib.data import Data, dequantize_once
from vaelib.data import load as load_data
from vaelib.evaluate import optimal_variance
from vaelib.objectives import loss
from vaelib.train import (
    NotFinite,
    RunError,
    TrainConfig,
    TrainState,
    checkpoint,
    engine,
    fit,
    history,
    init,
    keeping,
    load,
    loop,
    step,
)
from vaelib.train.config import beta, learning_rate
from vaelib.train.loop import run_epoch
from vaelib.train.state import draw
from vaelib.train.surroundings import cores

ROOT = Path(__file__).resolve().parent.parent


def tiny(seed: int = 0, n: int = 33) -> Data:
    """Two kinds of grey images of 3 x 4; 33 examples make a last minibatch of 3 with batches of 10."""
    rng = np.random.default_rng(seed)
    kinds = rng.random((2, 12)).round(1).astype(np.float32)
    grey = kinds[rng.integers(0, 2, n + 7)]
    return Data("tiny.npy", grey[:n], grey[n:], (3, 4), 1.0, default_binarization="dynamic")


def config(**changes: Any) -> TrainConfig:
    small: dict[str, Any] = {"data": "tiny.npy", "hidden": (8,), "latent_dim": 2, "batch_size": 10, "epochs": 4}
    return TrainConfig(**{**small, "device": "cpu", **changes})


def weights(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def records(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the times, which differ from run to run."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


# ---------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "`latent_dim` to be a whole number >= 1, but got 0"),
        ({"epochs": 2.5}, "`epochs` to be a whole number"),
        ({"epochs": True}, "`epochs` to be a whole number >= 1, but got True"),
        ({"hidden": (5, -1)}, "`hidden` to be widths >= 1"),
        ({"hidden": (), "network": "conv", "layer_norm": False}, "`hidden` to be one or more channel counts"),
        ({"network": "conv"}, "`layer_norm` to be off with network conv"),
        ({"warmup": -1}, "`warmup` to be a whole number >= 0"),
        ({"warmup": 3, "objective": "iwae"}, "`warmup` to be 0 with the objective iwae, which has no KL"),
        ({"free_bits": 0.1, "objective": "stl"}, "`free_bits` to be 0 where the KL is sampled"),
        ({"objective": "elbo-exact"}, "unless the decoder is Gaussian and linear"),
        ({"objective": "score-baseline"}, "`importance_samples` to be >= 2"),
        ({"validation": 1.0}, "`validation` to be a share of the training set"),
        ({"patience": 3}, "`patience` to be left out without a validation set"),
        ({"patience": 0, "validation": 0.1}, "`patience` to be a whole number >= 1"),
        ({"learning_rate": float("nan")}, "`learning_rate` to be finite and > 0, but got nan"),
        ({"beta": -1.0}, "`beta` to be finite and >= 0"),
        ({"beta": 2.0, "objective": "iwae"}, "`beta` to be 1 with the objective iwae, which has no KL"),
        ({"objective": "mse"}, "`objective` to be elbo or elbo-sampled or .* but got 'mse'"),
        ({"decoder": "laplace"}, "`decoder` to be bernoulli or gaussian"),
        ({"decoder_scale": 0.1}, "left out with a Bernoulli decoder"),
        ({"decoder": "gaussian", "decoder_scale": -0.1}, "`decoder_scale` to be finite and > 0"),
        ({"schedule": "linear"}, "`schedule` to be constant or cosine or burda"),
        ({"activation": "tanh", "hidden": ()}, "`activation` to be left out without hidden layers"),
        ({"activation": "gelu"}, "`activation` to be relu or tanh, but got 'gelu'"),
        ({"seed": -1}, "`seed` to be a whole number from 0 to"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        config(**changes)


def test_settings_suit_the_data_unless_chosen() -> None:
    assert TrainConfig.suited_to(tiny(), epochs=3).epochs == 3
    assert TrainConfig.suited_to(tiny()).epochs == 400
    assert TrainConfig.suited_to(tiny(n=90_000)).epochs == 10
    assert TrainConfig.suited_to(tiny(n=20_000), batch_size=50).epochs == 15
    mnist = Data("mnist", tiny().train, tiny().test, (3, 4), 1.0)
    chosen = TrainConfig.suited_to(mnist, latent_dim=5)
    assert (chosen.hidden, chosen.latent_dim, chosen.data) == ((500,), 5, "mnist")
    glyphs = Data("glyphs", tiny().train, tiny().test, (3, 4), 1.0)
    assert TrainConfig.suited_to(glyphs, epochs=2).hidden == (500, 200)
    digits = Data("digits", tiny().train, tiny().test, (3, 4), 1.0)
    assert TrainConfig.suited_to(digits) == TrainConfig()


def test_learning_rate_schedules_follow_their_formula() -> None:
    assert {learning_rate(config(), epoch) for epoch in range(4)} == {3e-3}
    cosine = [learning_rate(config(schedule="cosine", learning_rate=2.0), epoch) for epoch in range(5)]
    np.testing.assert_allclose(cosine, [2.0, 1 + 0.5**0.5, 1.0, 1 - 0.5**0.5, 0.0], atol=1e-15)
    burda = config(schedule="burda", learning_rate=1e-3, epochs=3280)
    stages = np.repeat(np.arange(8), 3 ** np.arange(8))
    assert len(stages) == 3280
    np.testing.assert_allclose([learning_rate(burda, e) for e in range(3280)], 1e-3 * 10.0 ** (-stages / 7))
    assert learning_rate(burda, 9999) == learning_rate(burda, 3279)


def test_beta_warms_up_in_equal_steps() -> None:
    assert [beta(config(beta=0.5, warmup=4), epoch) for epoch in range(6)] == [0, 0.125, 0.25, 0.375, 0.5, 0.5]
    assert beta(config(beta=0.5), 0) == 0.5


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RunError, match="a CUDA device, but PyTorch finds none"):
        init(config(device="cuda"), tiny())
    assert init(config(device="auto"), tiny()).config.device == "cpu"


# -------------------------------------------------------------------------------------------------------------- a step


def test_step_equals_adam_on_the_loss_by_hand() -> None:
    state, other = init(config(), tiny()), init(config(), tiny())
    indices = torch.tensor([3, 1, 4, 15, 9])
    info = step(state, indices)
    x, noise = draw(other, indices)
    adam = torch.optim.Adam(other.model.parameters(), lr=3e-3)
    value, terms = loss(other.model, x, noise)
    value.backward()
    adam.step()
    for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(torch.stack(info), torch.stack([-value, terms.log_likelihood.mean(), terms.kl.mean()]))
    assert not any(value.requires_grad for value in info)


def test_dynamic_binarization_draws_afresh_and_fixed_does_not() -> None:
    indices = torch.arange(33)
    state = init(config(), tiny())
    first, second = draw(state, indices)[0], draw(state, indices)[0]
    assert set(first.unique().tolist()) == {0.0, 1.0} and not torch.equal(first, second)
    mean = torch.stack([draw(state, indices)[0] for _ in range(2000)]).mean(0)
    grey = torch.from_numpy(tiny().train)
    assert ((mean - grey).abs() <= 5 * (grey * (1 - grey) / 2000).sqrt() + 1e-7).all()
    fixed = init(config(binarization="fixed"), tiny())
    assert torch.equal(draw(fixed, indices)[0], draw(fixed, indices)[0]) and fixed.config.binarization == "fixed"
    test = state.held_out["test"]
    assert torch.equal(fixed.held_out["test"], test) and set(test.unique().tolist()) == {0.0, 1.0}


def test_gaussian_decoder_sees_pixels_as_they_are() -> None:
    state = init(config(decoder="gaussian"), tiny())
    torch.testing.assert_close(draw(state, torch.arange(33))[0], torch.from_numpy(tiny().train))
    torch.testing.assert_close(state.held_out["test"], torch.from_numpy(tiny().test))
    assert state.config.binarization == "none"


def test_bytes_are_scaled_by_white() -> None:
    grey = (255 * tiny().train).astype(np.uint8)
    data = Data("tiny.npy", grey, grey, (3, 4), 255.0)
    state = init(config(decoder="gaussian"), data)
    assert state.train.dtype == torch.uint8
    torch.testing.assert_close(draw(state, torch.arange(33))[0], torch.from_numpy(grey / 255.0).float())


def test_noise_has_one_sample_for_each_k() -> None:
    assert draw(init(config(importance_samples=5), tiny()), torch.arange(3))[1].shape == (5, 3, 2)


# --------------------------------------------------------------------------------------------------------------- a run


def test_epoch_visits_every_example_once_and_averages_over_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    state = init(config(), tiny())
    seen: list[int] = []
    infos: list[tuple[int, Any]] = []
    plain = engine.step

    def watched(state: TrainState, indices: torch.Tensor, gradient: Any = None) -> Any:
        seen.extend(indices.tolist())
        infos.append((len(indices), plain(state, indices)))
        return infos[-1][1]

    monkeypatch.setattr(engine, "step", watched)
    record = run_epoch(state, engine.advance)
    assert record is not None
    assert sorted(seen) == list(range(33)) and seen != sorted(seen) and [n for n, _ in infos] == [10, 10, 10, 3]
    by_hand = sum(n * info.log_likelihood.item() for n, info in infos) / 33
    assert record["train_log_likelihood"] == pytest.approx(by_hand, rel=1e-6)
    assert record["train_elbo"] == pytest.approx(record["train_log_likelihood"] - record["train_kl"])
    assert record["test_elbo"] == pytest.approx(record["test_log_likelihood"] - record["test_kl"])
    assert (state.epoch, state.step, state.position, int(state.first_bad_step)) == (1, 4, 0, 5)


@pytest.mark.parametrize("changes", [{}, {"objective": "iwae", "importance_samples": 5}, {"decoder": "gaussian"}])
def test_training_improves_the_bound(changes: dict[str, Any]) -> None:
    history = fit(config(epochs=40, learning_rate=1e-2, **changes), tiny()).history
    assert len(history) == 40 and history[-1]["test_elbo"] > history[0]["test_elbo"] + 0.1


def test_learned_scale_nears_the_root_mean_squared_error() -> None:
    """At the optimum of one common scale, its square is E_q|x - loc|^2 / pixels."""
    rng = np.random.default_rng(0)
    noisy = (0.3 * rng.standard_normal((400, 6))).astype(np.float32)
    data = Data("noise.npy", noisy, noisy[:50], (6,), 1.0)
    state = fit(config(decoder="gaussian", epochs=60, batch_size=50, learning_rate=1e-2), data)
    assert state.model.decoder.scale.item() == pytest.approx(0.3, abs=0.03)


def test_seed_decides_the_run() -> None:
    first, second, other = (weights(fit(config(epochs=2, seed=seed), tiny())) for seed in (0, 0, 1))
    assert same(first, second) and not same(first, other)


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    fit(config(epochs=1), tiny())
    assert torch.equal(torch.get_rng_state(), before)


def test_step_reads_nothing_back_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """No .item(), no bool(tensor): value checks of the distributions, which look on the CPU, are off in a step."""
    state = init(config(), tiny())

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a tensor was read")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    for _ in range(4):
        engine.take(state, engine.advance)


def test_small_models_train_on_one_thread_and_give_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen: list[int] = []
    try:
        fit(
            config(epochs=1),
            tiny(),
            callback=lambda state, info: seen.append(torch.get_num_threads()) if info else None,
        )
        assert seen == [1] and torch.get_num_threads() == 2
        large = init(config(hidden=(100_000,), batch_size=33), tiny())
        assert loop.threads_for(large) == min(cores(), loop.THREADS)
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------ on disk, and going on


def test_run_writes_what_it_says_and_loads_in_one_line(tmp_path: Path) -> None:
    state = fit(config(), tiny(), out=tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "config.json", "metrics.jsonl"]
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (stored["binarization"], stored["device"], stored["image_shape"]) == ("dynamic", "cpu", [3, 4])
    assert stored["data_sha256"] == tiny().fingerprint() and stored["train_examples"] == 33
    assert [r["epoch"] for r in records(tmp_path / "run")] == [1, 2, 3, 4]
    assert {r["binarization"] for r in records(tmp_path / "run")} == {"dynamic"}
    model = load(tmp_path / "run")
    x = torch.from_numpy(tiny().test)
    assert torch.equal(model.encode(x).loc, state.model.encode(x).loc.detach())
    assert model.decode(torch.zeros(1, 2)).mean.shape == (1, 12)
    assert model.sample(5, rng=torch.Generator().manual_seed(0)).shape == (5, 12)
    assert not model.training and not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("changes", [{}, {"objective": "iwae", "importance_samples": 3}, {"binarization": "fixed"}])
def test_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = fit(config(**changes), tiny(), out=tmp_path / "whole")
    fit(config(epochs=2, **changes), tiny(), out=tmp_path / "parts")
    parts = fit(config(**changes), tiny(), out=tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(parts))
    assert torch.equal(whole.generator.get_state(), parts.generator.get_state())
    moments = [state.optimizer.state_dict()["state"] for state in (whole, parts)]
    assert all(same(moments[0][i], moments[1][i]) for i in moments[0]) and len(moments[0]) > 0
    assert records(tmp_path / "whole") == records(tmp_path / "parts")
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["epochs"] == 4


class Interrupting:
    """Sends the process a signal after so many steps, and again at each step after that if asked to."""

    def __init__(self, at: int, number: int, again: bool = False) -> None:
        self.at, self.number, self.again, self.plain = at, number, again, engine.step

    def __call__(self, state: TrainState, indices: torch.Tensor, gradient: Any = None) -> Any:
        info = self.plain(state, indices, gradient)
        if state.step + 1 == self.at or (self.again and state.step + 1 > self.at):
            os.kill(os.getpid(), self.number)
        return info


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", [4, 6, 7])  # at the end of the first epoch, and inside the second
def test_interrupt_saves_between_two_steps_and_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, at: int
) -> None:
    before = signal.getsignal(number)
    whole = fit(config(), tiny(), out=tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(engine, "step", Interrupting(at, number))
        with pytest.raises(loop.Stopped):
            fit(config(), tiny(), out=tmp_path / "parts")
    assert checkpoint.load(tmp_path / "parts")["step"] == at
    parts = fit(config(), tiny(), out=tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(parts)) and records(tmp_path / "whole") == records(tmp_path / "parts")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("asked", [True, False])
def test_compiler_that_was_ended_with_the_run_is_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """`timeout`, and whoever closes a terminal, ends all processes of a run, the compiler's among them."""

    def compiling(state: TrainState, indices: torch.Tensor, gradient: Any = None) -> Any:
        if asked:
            os.kill(os.getpid(), signal.SIGTERM)
        raise RunError("Expected the step to compile")

    monkeypatch.setattr(engine, "step", compiling)
    with pytest.raises(loop.Stopped if asked else RunError):
        fit(config(), tiny(), out=tmp_path / "run")
    monkeypatch.undo()
    if asked:
        assert len(fit(config(), tiny(), out=tmp_path / "run", resume=True).history) == config().epochs


def test_second_interrupt_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(state: TrainState, indices: torch.Tensor, gradient: Any = None) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second signal should have interrupted")

    monkeypatch.setattr(engine, "step", twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(config(), tiny(), out=tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.pt").exists() and not isinstance(caught.value, loop.Stopped)


def test_end_of_the_terminal_is_ignored_where_it_is_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(engine, "step", Interrupting(2, signal.SIGHUP))
        assert fit(config(epochs=1), tiny()).epoch == 1
    finally:
        signal.signal(signal.SIGHUP, before)


def test_warm_up_that_is_longer_than_the_run_is_remarked() -> None:
    with pytest.warns(UserWarning, match=r"warm-up of 9 epochs is not over .* to 0\.333, not to 1\. .*`warmup`"):
        fit(config(epochs=4, warmup=9), tiny())


def test_held_out_pixels_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(config(epochs=1), tiny())
    decoded: list[int] = []
    whole.model.decoder.register_forward_pre_hook(lambda _, args: decoded.append(args[0].numel() // 2 * 12))
    monkeypatch.setattr(loop, "HELD_OUT_PIXELS", 60)
    terms = loop.held_out_terms(whole, "test")
    assert max(decoded) <= 60 and np.isfinite(list(terms.values())).all()


def test_training_works_outside_the_main_thread() -> None:
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(fit(config(epochs=1), tiny()).epoch))
    thread.start()
    thread.join()
    assert done == [1]


KILLED = """
import os, sys
sys.path[:0] = [{root!r}, {tests!r}]
import test_train as t
from vaelib.train import engine
from vaelib.train import keeping, loop
plain = engine.step
def step(state, indices, gradient=None):
    if state.step == 9:  # inside the third epoch of four
        os._exit(9)
    return plain(state, indices, gradient)
engine.step = step
keeping.SAVING_SHARE = 1e9
loop.fit(t.config(), t.tiny(), out={out!r})
"""


def test_killed_process_leaves_a_run_that_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(config(), tiny(), out=tmp_path / "whole")
    code = KILLED.format(root=str(ROOT), tests=str(ROOT / "tests"), out=str(tmp_path / "parts"))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with open(tmp_path / "parts" / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "torn')  # what a crash in the middle of a line leaves
    assert checkpoint.load(tmp_path / "parts")["epoch"] == 2
    parts = fit(config(), tiny(), out=tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(parts)) and records(tmp_path / "whole") == records(tmp_path / "parts")


def test_run_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    whole = fit(config(), tiny(), out=tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()
    with pytest.raises(RunError, match=r"checkpoint.pt in .*it is gone although metrics.jsonl tells of epochs"):
        fit(config(), tiny(), out=tmp_path / "run", resume=True)
    (tmp_path / "run" / "metrics.jsonl").unlink()
    assert same(weights(fit(config(), tiny(), out=tmp_path / "run", resume=True)), weights(whole))
    assert len(records(tmp_path / "run")) == 4


def test_complete_run_resumes_to_itself(tmp_path: Path) -> None:
    whole = fit(config(), tiny(), out=tmp_path / "run")
    assert same(weights(fit(config(), tiny(), out=tmp_path / "run", resume=True)), weights(whole))
    assert len(records(tmp_path / "run")) == 4


def test_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    fit(config(), tiny(), out=tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(RunError, match=r"to hold no run, but it has config.json. Add resume=True"):
        fit(config(seed=1), tiny(), out=tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "data", "message"),
    [
        ({"latent_dim": 3, "seed": 5}, tiny(), "latent_dim was 2, now 3; seed was 0, now 5"),
        ({"epochs": 3}, tiny(), r"epochs was 4, now 3\. Epochs can be added, not taken away"),
        ({}, tiny(seed=1), "tiny.npy is not the same, or has changed since"),
    ],
)
def test_run_does_not_go_on_with_other_settings_or_data(
    tmp_path: Path, changes: dict[str, Any], data: Data, message: str
) -> None:
    fit(config(), tiny(), out=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunError, match=message):
        fit(config(**changes), data, out=tmp_path, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_cosine_schedule_cannot_be_lengthened(tmp_path: Path) -> None:
    fit(config(schedule="cosine"), tiny(), out=tmp_path)
    with pytest.raises(RunError, match=r"epochs was 4, now 6. A cosine schedule depends on the number of epochs"):
        fit(config(schedule="cosine", epochs=6), tiny(), out=tmp_path, resume=True)


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="which run to resume, but got None"):
        fit(config(), tiny(), resume=True)
    with pytest.raises(RunError, match=r"Expected a run in .*but there is no config.json"):
        fit(config(), tiny(), out=tmp_path / "nowhere", resume=True)
    with pytest.raises(RunError, match=r"Expected a checkpoint at .*but there is none. Train first"):
        load(tmp_path / "nowhere")


def test_saving_takes_a_bounded_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))  # every look at the clock takes a second, so that saving seems slow
    monkeypatch.setattr(keeping, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    monkeypatch.setattr(keeping, "SAVE_EVERY", 1e9)
    monkeypatch.setattr(keeping, "SAVING_SHARE", 0.05)
    saved: list[int] = []
    monkeypatch.setattr(checkpoint, "save", lambda folder, payload, name="": saved.append(payload["epoch"]))
    fit(config(epochs=60), tiny(), out=tmp_path)
    assert saved[0] == 1 and saved[-1] == 60 and 3 <= len(saved) < 30


# ------------------------------------------------------------------------------------------------- a validation set


def with_bounds(monkeypatch: pytest.MonkeyPatch, bounds: list[float]) -> None:
    """Validation bounds as given, whatever the model."""
    real = loop.held_out_terms

    def scripted(state: TrainState, name: str) -> dict[str, float]:
        terms = real(state, name)
        return terms | {"elbo": bounds[state.epoch]} if name == "validation" else terms

    monkeypatch.setattr(loop, "held_out_terms", scripted)


WATCHED: dict[str, Any] = {"validation": 0.3, "patience": 2, "epochs": 8}


def test_validation_set_is_apart_from_training_and_drawn_by_the_seed() -> None:
    state, again, other = (init(config(validation=0.3, seed=seed, binarization="fixed"), tiny()) for seed in (0, 0, 1))
    assert len(state.train) == 23 and len(state.held_out["validation"]) == 10 and len(state.held_out["test"]) == 7
    assert torch.equal(state.held_out["validation"], again.held_out["validation"])
    assert not torch.equal(state.held_out["validation"], other.held_out["validation"])
    data = Data("ids.npy", np.arange(66, dtype=np.float32).reshape(33, 2), np.zeros((1, 2), np.float32), (2,), 1.0)
    state = init(config(validation=0.3, decoder="gaussian"), data)
    parts = [set(part[:, 0].tolist()) for part in (state.train, state.held_out["validation"])]
    assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 33


def test_training_stops_when_the_bound_stops_improving_and_keeps_the_best_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_bounds(monkeypatch, [-9.0, -8.0, -7.0, -7.5, -7.1, -1.0, -1.0, -1.0])
    seen: list[dict[str, torch.Tensor]] = []
    state = fit(config(**WATCHED), tiny(), out=tmp_path, callback=lambda s, info: seen.append(weights(s)))
    assert state.epoch == 5 and len(state.history) == 5  # two epochs after the best, the third
    assert same(weights(state), seen[3]) and not same(weights(state), seen[5])
    assert same({k: v for k, v in load(tmp_path).state_dict().items()}, seen[3])
    assert history.best_record(state.history)["epoch"] == 3
    assert checkpoint.load(tmp_path)["epoch"] == 5 and same(checkpoint.load(tmp_path)["model"], seen[5])


def test_run_with_a_validation_set_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_bounds(monkeypatch, [-9.0, -8.0, -8.5, -7.9, -8.1, -8.2, -1.0, -1.0])
    whole = fit(config(**WATCHED), tiny(), out=tmp_path / "whole")
    assert whole.epoch == 6
    for at in (5, 9, 14):  # inside the second, third and fifth epoch of three steps
        with monkeypatch.context() as patched:
            patched.setattr(engine, "step", Interrupting(at, signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                fit(config(**WATCHED), tiny(), out=tmp_path / "parts", resume=at > 5)
    parts = fit(config(**WATCHED), tiny(), out=tmp_path / "parts", resume=True)
    assert same(weights(whole), weights(parts)) and records(tmp_path / "whole") == records(tmp_path / "parts")
    again = fit(config(**WATCHED), tiny(), out=tmp_path / "parts", resume=True)
    assert again.epoch == 6 and same(weights(whole), weights(again))


def test_best_model_that_was_deleted_is_missed(tmp_path: Path) -> None:
    """The last model would else pass for the best."""
    fit(config(epochs=2, validation=0.3), tiny(), out=tmp_path)
    (tmp_path / "best.pt").unlink()
    with pytest.raises(
        RunError,
        match=r"Expected .*best.pt, the best model of a run .*Was it deleted",
    ):
        load(tmp_path)
    with pytest.raises(
        RunError,
        match=r"Expected .*best.pt, the best model of a run .*Was it deleted",
    ):
        fit(config(epochs=3, validation=0.3), tiny(), out=tmp_path, resume=True)


def test_without_a_validation_set_the_last_model_is_the_one(tmp_path: Path) -> None:
    state = fit(config(), tiny(), out=tmp_path)
    assert history.best_record(state.history)["epoch"] == 4 and not (tmp_path / "best.pt").exists()


# ------------------------------------------------------------------------------------------------ other than the usual


def test_gaussian_decoder_on_levels_learns_the_scale_of_its_errors() -> None:
    """Real digits, dequantized: the learned variance nears its closed-form optimum, the mean squared error under q."""
    data = load_data("digits")
    settings: dict[str, Any] = {"decoder": "gaussian", "binarization": "dequantized", "hidden": (50,), "latent_dim": 4}
    state = fit(TrainConfig(**settings, epochs=150, schedule="cosine", device="cpu"), data)
    best = optimal_variance(state.model, torch.tensor(dequantize_once(data, data.train)), samples=10)
    assert state.model.decoder.scale.item() ** 2 == pytest.approx(best.value, rel=0.05)
    assert 0.003 < best.value < 0.1


def test_training_in_double_precision_and_with_convolutions() -> None:
    grey = np.random.default_rng(0).random((40, 35)).round(1).astype(np.float32)
    data = Data("images.npy", grey, grey[:6], (5, 7), 1.0, default_binarization="dynamic")
    settings: dict[str, Any] = {"network": "conv", "hidden": (3, 4), "layer_norm": False, "dtype": "float64"}
    state = fit(config(**settings, epochs=30, learning_rate=1e-2), data)
    assert {parameter.dtype for parameter in state.model.parameters()} == {torch.float64}
    assert state.history[-1]["test_elbo"] > state.history[0]["test_elbo"]
    with pytest.raises(RunError, match=r"images \(height, width\), or .* for `network` conv, but .* shape \(35,\)"):
        init(config(**settings), Data("flat.npy", grey, grey, (35,), 1.0, default_binarization="dynamic"))


def test_long_epoch_is_saved_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaelib.train.keeping.SAVE_EVERY", 0.0)
    saved: list[tuple[int, int]] = []
    real = checkpoint.save
    monkeypatch.setattr(
        checkpoint,
        "save",
        lambda folder, content, *rest: (
            saved.append((content["epoch"], content["position"])),
            real(folder, content, *rest),
        ),
    )
    fit(config(epochs=1), tiny(), out=tmp_path)
    assert saved == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]


def test_resuming_under_another_number_of_threads_is_said(tmp_path: Path) -> None:
    fit(config(epochs=2), tiny(), out=tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["threads"] == 1 and stored["torch"] == torch.__version__
    (tmp_path / "config.json").write_text(json.dumps({**stored, "threads": 7}))
    with pytest.warns(UserWarning, match="7"):
        fit(config(), tiny(), out=tmp_path, resume=True)


# ------------------------------------------------------------------------------------------ numbers that are not finite


def poison(monkeypatch: pytest.MonkeyPatch, at: int, spoil: Any) -> None:
    """Call spoil(state) just before the step of that number, on every replay too."""
    plain = engine.step

    def step_with_accident(state: TrainState, indices: torch.Tensor, gradient: Any = None) -> Any:
        if state.step + 1 == at:
            spoil(state)
        return plain(state, indices, gradient)

    monkeypatch.setattr(engine, "step", step_with_accident)


def set_first(name: str, value: float) -> Any:
    def spoil(state: TrainState) -> None:
        with torch.no_grad():
            dict(state.model.named_parameters())[name].view(-1)[0] = value

    return spoil


@pytest.mark.parametrize(
    ("name", "value", "tensor"),
    [
        ("encoder.body.0.weight", float("nan"), "the output of encoder.body.0"),
        ("encoder.loc.bias", float("inf"), "the output of encoder.loc"),
        ("decoder.out.weight", float("nan"), "the output of decoder.out"),
    ],
)
def test_nan_stops_with_step_and_tensor_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float, tensor: str
) -> None:
    monkeypatch.setattr(keeping, "SAVING_SHARE", 1e9)
    poison(monkeypatch, 7, set_first(name, value))
    with pytest.raises(
        NotFinite, match=f"step 7 is the first .* in {tensor}. A checkpoint from before, if there is one, stays"
    ) as caught:
        fit(config(layer_norm=False), tiny(), out=tmp_path)
    assert (caught.value.step, caught.value.tensor) == (7, tensor)
    saved = checkpoint.load(tmp_path)
    assert saved["epoch"] == 1 and all(value.isfinite().all() for value in saved["model"].values())
    assert len(records(tmp_path)) == 1


def test_update_that_overflows_is_named_although_the_loss_was_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(state: TrainState) -> None:
        state.learning_rate.fill_(float("inf"))

    poison(monkeypatch, 4, spoil)  # the last step of the epoch: no later loss shows it
    with pytest.raises(NotFinite, match=r"step 4 .*the parameter .* after the update") as caught:
        fit(config(), tiny())
    assert caught.value.step == 4


def test_infinite_gradient_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(state: TrainState) -> None:
        # the hook outlives this step, and the count of steps goes up only after the backward pass
        state.model.decoder.out.bias.register_hook(lambda g: g * float("inf") if state.step == 1 else g)

    poison(monkeypatch, 2, spoil)
    with pytest.raises(NotFinite, match=r"step 2 .*the gradient of decoder.out.bias"):
        fit(config(), tiny())


def test_nan_in_the_data_is_named_as_the_minibatch() -> None:
    """Files with NaN are refused before; this is memory that went bad, or data made by hand."""

    def spoil(state: TrainState, info: Any) -> None:
        state.train[20, 3] = float("nan")

    with pytest.raises(NotFinite, match="in the minibatch x") as caught:
        fit(config(decoder="gaussian", epochs=1), tiny(), callback=spoil)
    assert 1 <= caught.value.step <= 4


def test_sums_are_looked_at_within_a_long_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOOK_EVERY", 3)
    taken: list[int] = []
    poison(monkeypatch, 2, set_first("decoder.out.weight", float("nan")))
    inner = engine.step
    monkeypatch.setattr(engine, "step", lambda state, *rest: taken.append(state.step) or inner(state, *rest))
    with pytest.raises(NotFinite, match="step 2 "):
        fit(config(batch_size=3), tiny())
    assert taken[:3] == [0, 1, 2] and taken[3] == 0  # stopped after three of eleven, then went through them again


def test_other_errors_are_not_taken_for_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(state: TrainState, name: str) -> Any:
        raise ValueError("something else")

    monkeypatch.setattr(loop, "held_out_terms", broken)
    with pytest.raises(ValueError, match="something else"):
        fit(config(), tiny())


# ------------------------------------------------------------------------------------------------------------ on a GPU


@pytest.mark.gpu
def test_training_on_a_gpu_agrees_with_the_cpu_on_the_first_loss(tmp_path: Path) -> None:
    state = fit(config(device="cuda", epochs=3), tiny(), out=tmp_path)
    assert state.model.device.type == "cuda" and state.train.device.type == "cuda"
    x = torch.from_numpy(tiny().test)
    on_cpu = load(tmp_path, device="cpu")
    torch.testing.assert_close(on_cpu.encode(x).loc, state.model.encode(x).loc.detach().cpu(), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_run_on_a_gpu_resumes_from_data_order_and_random_state(tmp_path: Path) -> None:
    whole = fit(config(device="cuda"), tiny(), out=tmp_path / "whole")
    fit(config(device="cuda", epochs=2), tiny(), out=tmp_path / "parts")
    parts = fit(config(device="cuda"), tiny(), out=tmp_path / "parts", resume=True)
    assert torch.equal(whole.generator.get_state(), parts.generator.get_state())
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_load_of_a_file_asks_for_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    file.touch()
    with pytest.raises(RunError, match=r"Expected the folder of a run, but .* is a file"):
        load(file)
