"""Data in another unit: the same model, the same likelihood once its unit is accounted for, and the right diagnosis."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaelib.data import Data, DataError, from_file
from vaelib.data.unit import FAR, FITTING, Unit, center_and_spread, suited_to
from vaelib.evaluate import annealed_bound, evaluate, held_out_pixels, inference_gaps, optimal_variance, sandwich
from vaelib.train import NotFinite, RunError, TrainConfig, TrainState, checkpoint, fit, init, load

PIXELS = 6


def values(seed: int = 0, n: int = 120) -> np.ndarray:
    """Numbers around 0 with a spread of 1 in their first 100 rows, that two latents explain in part."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2)) @ rng.standard_normal((2, PIXELS)) + 0.3 * rng.standard_normal((n, PIXELS))
    mean, spread = center_and_spread(x[:100])
    return (x - mean.mean()) / spread


def data(factor: float = 1.0, offset: float = 0.0, dtype: Any = np.float32) -> Data:
    x = (factor * values() + offset).astype(dtype)
    return Data("own.npy", x[:100], x[100:], (PIXELS,), 1.0)


def config(**changes: Any) -> TrainConfig:
    small: dict[str, Any] = {"data": "own.npy", "hidden": (12,), "latent_dim": 2, "batch_size": 20, "epochs": 6}
    return TrainConfig(**{**small, "decoder": "gaussian", "device": "cpu", **changes})


@pytest.mark.filterwarnings("ignore:The pixels are standardized")
def trained(factor: float = 1.0, offset: float = 0.0, dtype: Any = np.float32, **changes: Any) -> TrainState:
    return fit(config(**changes), data(factor, offset, dtype))


# ---------------------------------------------------------------------------------------------------------- the unit


def test_unit_goes_there_and_back_and_its_jacobian_is_that_of_the_map() -> None:
    unit, x = Unit(-3.0, 0.25), values()
    np.testing.assert_allclose(unit.outward(unit.inward(x)), x, rtol=1e-12, atol=1e-14)
    density = -0.5 * unit.inward(x) ** 2 - 0.5 * math.log(2 * math.pi)
    by_hand = -0.5 * ((x + 3.0) / 0.25) ** 2 - math.log(0.25) - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(density.sum(1) + unit.log_jacobian(PIXELS), by_hand.sum(1), rtol=1e-12)


@pytest.mark.parametrize(
    ("offset", "deviation", "unit"),
    [
        (0.0, 1.0, Unit()),
        (0.1, 0.3, Unit()),
        (FAR * 0.3, 0.3, Unit()),
        (0.0, FITTING[0], Unit()),
        (0.0, FITTING[1], Unit()),
        (0.0, 0.0, Unit()),
        (0.0, 0.9 * FITTING[0], Unit(0.0, 0.9 * FITTING[0])),
        (5.0, 65535.0, Unit(5.0, 65535.0)),
        (1.01 * FAR * 0.3, 0.3, Unit(1.01 * FAR * 0.3, 0.3)),
        (1e6, 0.0, Unit(1e6, 1.0)),
    ],
)
def test_unit_is_taken_off_only_where_the_data_need_it(offset: float, deviation: float, unit: Unit) -> None:
    assert suited_to(offset, deviation) == unit


def test_spread_of_large_numbers_does_not_overflow() -> None:
    mean, spread = center_and_spread((1e30 * values()).astype(np.float32))
    expected = center_and_spread(values())
    assert spread == pytest.approx(1e30 * expected[1], rel=1e-6)
    np.testing.assert_allclose(mean, 1e30 * expected[0], rtol=1e-5, atol=1e24)


# ------------------------------------------------------------------------------------------------------ training in it

OTHERS = [(65535.0, 0.0), (1e-5, 0.0), (1e30, 0.0), (1.0, 1000.0), (1e-3, -7.0)]


@pytest.mark.parametrize(("factor", "offset"), OTHERS)
def test_data_in_another_unit_are_fitted_alike_and_the_likelihood_is_in_their_own(factor: float, offset: float) -> None:
    plain, other = trained(), trained(factor, offset, np.float64)
    shift = PIXELS * math.log(factor)
    for name in ("train_elbo", "test_elbo", "train_objective", "test_log_likelihood"):
        assert other.history[-1][name] + shift == pytest.approx(plain.history[-1][name], abs=1e-3)
    assert other.history[-1]["test_kl"] == pytest.approx(plain.history[-1]["test_kl"], abs=1e-3)
    assert other.history[-1]["decoder_scale"] / factor == pytest.approx(plain.history[-1]["decoder_scale"], rel=1e-3)
    assert not other.history[-1]["decoder_scale_at_bound"] and other.history[-1]["test_saturated"] == 0


def test_what_fits_is_left_as_it_is() -> None:
    state = init(config(), data())
    assert state.unit == Unit() and state.model.unit.trivial
    torch.testing.assert_close(state.train, torch.from_numpy(data().train), rtol=0, atol=0)


def test_standardizing_is_said(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.warns(UserWarning, match=r"standardized, \(x - .*\) / 1e\+05.*in that unit all the same"):
        fit(config(epochs=1), data(1e5))
    recwarn.clear()
    fit(config(epochs=1), data())
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:The pixels are standardized")
def test_kept_model_takes_and_gives_the_unit_of_the_data(tmp_path: Path) -> None:
    factor, offset = 1e4, 3e6
    there = data(factor, offset, np.float64)
    state = fit(config(epochs=80, learning_rate=1e-2), there, out=tmp_path)
    model = load(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["unit"] == [state.unit.offset, state.unit.scale]
    assert checkpoint.load(tmp_path)["data"]["unit"] == [state.unit.offset, state.unit.scale]
    x = held_out_pixels(there, "none")
    torch.testing.assert_close(model.encode(x).loc, state.model.encode(x).loc.detach())
    p = model.decode(model.encode(x).loc)
    error = (p.mean.double() - x).square().mean().sqrt().item()
    assert error < 0.8 * there.test.std() and p.scale.max().item() == pytest.approx(error, rel=0.5)
    drawn = model.sample(2000, rng=torch.Generator().manual_seed(0)).double()
    assert drawn.mean().item() == pytest.approx(there.train.mean(), abs=0.2 * there.train.std())
    assert (drawn - drawn.mean(0)).square().mean().sqrt().item() == pytest.approx(there.train.std(0).mean(), rel=0.3)


@pytest.mark.filterwarnings("ignore:The pixels are standardized")
@pytest.mark.parametrize(("factor", "offset"), [(65535.0, 0.0), (1e-5, 0.0), (1.0, 1e6)])
def test_every_bound_is_in_the_unit_of_the_data(factor: float, offset: float) -> None:
    """The density of a model that stays as it is, asked for in two units: they differ by the Jacobian, exactly."""
    there = data(factor, offset, np.float64)
    state = fit(config(), there)
    model, x = state.model, held_out_pixels(there, "none")
    plain = init(config(), data()).model
    plain.load_state_dict(model.state_dict())
    inward, shift = model.unit.inward(x.double()).float(), model.unit.log_jacobian(PIXELS)
    for chosen in (model, plain):
        chosen.requires_grad_(False)
    ours, theirs = evaluate(model, x, importance_samples=20), evaluate(plain, inward, importance_samples=20)
    near: dict[str, Any] = {"rtol": 1e-5, "atol": 2e-3}
    np.testing.assert_allclose(ours.log_evidence, theirs.log_evidence + shift, **near)
    np.testing.assert_allclose(ours.log_likelihood, theirs.log_likelihood + shift, **near)
    np.testing.assert_allclose(ours.response, theirs.response, **near)
    assert ours.decoder_scale == pytest.approx(model.unit.scale * float(theirs.decoder_scale or 0))
    best = optimal_variance(model, x).value
    assert best == pytest.approx(optimal_variance(plain, inward).value * model.unit.scale**2, rel=1e-3)
    quick: dict[str, Any] = {"temperatures": 3, "chains": 2, "leapfrog_steps": 2}
    x, inward = x.double(), model.unit.inward(x.double())
    both = ((model.double(), x), (plain.double(), inward))  # in single precision a move may be accepted in one only
    annealed = [annealed_bound(m, part[:3], **quick).log_evidence for m, part in both]
    np.testing.assert_allclose(annealed[0], annealed[1] + shift, rtol=1e-6, atol=1e-6)
    split = [
        inference_gaps(m, part[:3], known.log_evidence[:3], samples=50)
        for m, part, known in ((model, x, ours), (plain, inward, theirs))
    ]
    np.testing.assert_allclose(split[0].encoder_elbo, split[1].encoder_elbo + shift, rtol=1e-3, atol=0.05)
    drawn = sandwich(model, 5, **quick)
    assert abs(model.unit.inward(drawn.x.double())).max() < 30


@pytest.mark.filterwarnings("ignore:The pixels are standardized")
def test_run_in_another_unit_resumes_bit_for_bit(tmp_path: Path) -> None:
    there = data(1e5)
    whole = fit(config(validation=0.2), there, out=tmp_path / "whole")
    fit(config(validation=0.2, epochs=3), there, out=tmp_path / "parts")
    parts = fit(config(validation=0.2), there, out=tmp_path / "parts", resume=True)
    ours, theirs = whole.model.state_dict(), parts.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    quick = [[{**record, "seconds": 0} for record in state.history] for state in (whole, parts)]
    assert quick[0] == quick[1]


@pytest.mark.filterwarnings("ignore:The pixels are standardized")
@pytest.mark.filterwarnings("ignore:The pixels are standardized")
def test_run_of_before_there_were_units_is_not_gone_on_with_in_another(tmp_path: Path) -> None:
    fit(config(epochs=1), data(1e5), out=tmp_path)
    saved = checkpoint.load(tmp_path)
    del saved["data"]["unit"]
    checkpoint.save(tmp_path, saved)
    with pytest.raises(RunError, match=r"standardized as Unit\(.*were as Unit\(offset=0\.0, scale=1\.0\)"):
        fit(config(epochs=2), data(1e5), out=tmp_path, resume=True)


def test_fixed_scale_is_in_the_unit_of_the_data() -> None:
    state = fit(config(decoder_scale=3e4, epochs=1), data(1e5))
    p = state.model.decode(torch.zeros(1, 2))
    assert p.scale.max().item() == p.scale.min().item() == pytest.approx(3e4) and state.model.learned_scale is None
    assert "decoder_scale" not in state.history[-1]


def test_small_spread_far_from_zero_is_kept_from_a_file(tmp_path: Path) -> None:
    """float32 has steps of 8 near 1e8: all that varies would be gone."""
    np.save(tmp_path / "a.npy", values() + 1e8)
    loaded = from_file(tmp_path / "a.npy")
    assert loaded.train.dtype == np.float64 and held_out_pixels(loaded, "none").dtype == torch.float64
    state = init(TrainConfig.suited_to(loaded, decoder="gaussian"), loaded)
    assert state.train.dtype == torch.float32 and state.train.std().item() == pytest.approx(1.0, abs=0.3)
    assert len(state.train.unique()) > 0.9 * state.train.numel()
    np.save(tmp_path / "b.npy", values())
    assert from_file(tmp_path / "b.npy").train.dtype == np.float32


def test_numbers_beyond_single_precision_are_refused_by_hand_too() -> None:
    with pytest.raises(DataError, match=r"fit 32-bit floats, but got .*e\+300\. Rescale"):
        data(1e300, dtype=np.float64)


# ------------------------------------------------------------------------------------------------- the right diagnosis


def test_scale_at_its_bound_is_reported_at_each_epoch_and_at_the_end() -> None:
    def shrink(state: TrainState, record: dict[str, Any]) -> None:
        if record:
            with torch.no_grad():
                state.model.decoder.log_scale.fill_(-30.0)

    with pytest.warns(UserWarning, match=r"The decoder's scale, 0\.0009.*, is at its bound: .*`decoder_scale`"):
        state = fit(config(epochs=3), data(), callback=shrink)
    assert [record["decoder_scale_at_bound"] for record in state.history] == [False, True, True]
    assert state.history[0]["decoder_scale"] > 0.1 > 1e-3 > state.history[-1]["decoder_scale"]


def test_saturated_posterior_is_reported_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaelib.train.loop.saturation", lambda q: torch.tensor(0.25))
    with pytest.warns(UserWarning, match=r"25\.0% of the posterior's scales are at their bounds: .*Leave constant"):
        fit(config(epochs=1), data())


def test_collapse_of_a_model_whose_scale_is_at_its_bound_is_not_blamed_on_beta() -> None:
    state = init(config(), data())
    with torch.no_grad():
        state.model.decoder.log_scale.fill_(-30.0)
        state.model.encoder.loc.weight.zero_()
    said = " ".join(evaluate(state.model, held_out_pixels(data(), "none"), importance_samples=2).warnings())
    assert "The decoder's scale, 0.00091, is at its bound" in said and "none of the 2 latents is active" in said
    assert "beta" not in said
    with torch.no_grad():
        state.model.decoder.log_scale.fill_(0.0)
    said = " ".join(evaluate(state.model, held_out_pixels(data(), "none"), importance_samples=2).warnings())
    assert "Is beta large?" in said


def test_outlier_is_named_and_not_the_learning_rate() -> None:
    x = values().astype(np.float32)
    x[3, 2] = 1e25
    spoilt = Data("own.npy", x[:100], x[100:], (PIXELS,), 1.0)
    state = init(config(layer_norm=False), data())
    state.train = torch.from_numpy(spoilt.train)
    with pytest.raises(NotFinite, match=r"pixels as far away as 1e\+25 times its usual spread") as caught:
        from vaelib.train.engine import runner
        from vaelib.train.loop import run_epoch

        run_epoch(state, runner(state))
    assert "learning" not in str(caught.value)
