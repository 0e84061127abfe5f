"""Images in colour: levels and their probabilities, what trains, what is refused, bits per dimension, pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import colour
import numpy as np
import oracles
import pytest
import scipy.stats
import sklearn.datasets
import torch
from forms import some
from PIL import Image
from sklearn.decomposition import PCA
from typer.testing import CliRunner

from vaelib import Bernoulli, DiscretizedLogistic, kl_divergence
from vaelib.cli import app
from vaelib.data import Data, DataError, dequantize_once, load, patches_rgb
from vaelib.data.core import binarization
from vaelib.estimate import Estimate
from vaelib.evaluate import bits_per_dimension, compare, evaluate, held_out_pixels, optimal_variance
from vaelib.train import RunError, TrainConfig, fit, init
from vaelib.train import load as load_model
from vaelib.train.state import build
from vaelib.vae import VAE, Axes, start_at

HEIGHT, WIDTH, N = 5, 7, 40
PIXELS = 3 * HEIGHT * WIDTH
LEVELS = np.arange(256) / 255.0


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bytes_in_colour(n: int = N, seed: int = 0) -> np.ndarray:
    """Flat squares, each of one colour that is dark or bright, and a little noise: there is something to learn."""
    rng = np.random.default_rng(seed)
    colour = rng.choice([40, 200], size=(n, 1, 1, 3))
    return (colour + rng.integers(-20, 21, size=(n, HEIGHT, WIDTH, 3))).astype(np.uint8)


def own(images: np.ndarray) -> Data:
    flat = images.reshape(len(images), -1)
    return Data("own.npy", flat[:-8], flat[-8:], images.shape[1:], 255.0)


def config(**changes: Any) -> TrainConfig:
    small = {"hidden": (12,), "latent_dim": 4, "layer_norm": False, "epochs": 30, "batch_size": 16, "device": "cpu"}
    return TrainConfig(
        **{"data": "own.npy", "decoder": "discretized-logistic", "learning_rate": 1e-2, **small, **changes}
    )


# --------------------------------------------------------------------------------------------- the discretized logistic


CASES = [(0.5, 0.1), (0.31, 9e-4), (-3.0, 0.05), (2.0, 0.002), (0.9973, 50.0), (0.2, 1e-5), (0.5 / 255, 0.003)]


@pytest.mark.parametrize(("loc", "scale"), CASES)
def test_probabilities_of_all_levels_sum_to_one(loc: float, scale: float) -> None:
    assert np.exp(DiscretizedLogistic(loc, scale).log_prob(LEVELS)).sum() == pytest.approx(1.0, abs=1e-13)
    single = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale)).log_prob(torch.tensor(LEVELS).float())
    assert single.dtype == torch.float32 and float(single.double().exp().sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(("loc", "scale"), CASES)
def test_log_probabilities_match_a_difference_at_2000_digits(loc: float, scale: float) -> None:
    levels = LEVELS[[0, 1, 2, 77, 128, 253, 254, 255]]
    if scale < 1e-4:  # the truth needs as many digits as there are in e^(1 / scale)
        levels = LEVELS[[50, 51, 52]]
    truth = oracles.levels_of_a_logistic(levels, loc, scale)
    np.testing.assert_allclose(DiscretizedLogistic(loc, scale).log_prob(levels), truth, rtol=2e-13, atol=1e-300)
    tensors = (torch.tensor(value, dtype=torch.float64) for value in (loc, scale))
    of_tensors = DiscretizedLogistic(*tensors).log_prob(torch.tensor(levels))
    torch.testing.assert_close(of_tensors, torch.tensor(truth), rtol=2e-13, atol=0)


def test_probabilities_match_scipy_where_its_difference_keeps_digits() -> None:
    q = DiscretizedLogistic(0.4, 0.15)
    below = scipy.stats.logistic.cdf((np.arange(1, 256) - 0.5) / 255, 0.4, 0.15)
    np.testing.assert_allclose(np.exp(q.log_prob(LEVELS)), np.diff([0.0, *below, 1.0]), rtol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_and_right_at_both_ends_and_far_away(dtype: torch.dtype) -> None:
    loc = torch.tensor([[-9.0], [-0.1], [0.0], [0.5], [1.0], [1.3], [40.0]], dtype=dtype, requires_grad=True)
    scale = torch.tensor([9e-4, 0.02, 1.0, 1e3], dtype=dtype, requires_grad=True)
    for x in (0.0, 1 / 255, 128 / 255, 254 / 255, 1.0):
        value = DiscretizedLogistic(loc, scale).log_prob(torch.tensor(x, dtype=dtype))
        gradients = torch.autograd.grad(value.sum(), (loc, scale))
        assert value.isfinite().all() and all(g.isfinite().all() for g in gradients)
        far = gradients[0].flatten()[[0, -1]]  # the slope pulls towards x; only at an end that is met is there none
        assert far[0] > 0 or x == 0.0
        assert far[1] < 0 or x == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-8, 1e-4, 3e-4, 1e-3, 0.1])
def test_variance_of_a_narrow_law_keeps_its_digits(scale: float, dtype: torch.dtype) -> None:
    """It was a difference of squares: negative where the law is narrow."""
    narrow = DiscretizedLogistic(torch.tensor(0.9, dtype=dtype), torch.tensor(scale, dtype=dtype)).variance
    exact = DiscretizedLogistic(0.9, scale)
    p = np.array([np.exp(exact.log_prob(v / 255)) for v in range(256)])
    expected = p @ (np.arange(256) / 255 - p @ np.arange(256) / 255) ** 2
    assert narrow >= 0 and abs(float(narrow) - expected) <= 1e-4 * expected + 1e-13


def test_two_levels_are_a_bernoulli() -> None:
    q = DiscretizedLogistic([0.3, 1.2], [0.2, 0.7], levels=2)
    same = Bernoulli([(0.3 - 0.5) / 0.2, (1.2 - 0.5) / 0.7])
    for x in (0.0, 1.0):
        np.testing.assert_allclose(q.log_prob(x), same.log_prob(x), rtol=1e-13)
    np.testing.assert_allclose(
        [q.mean, q.variance, q.entropy()], [same.mean, same.variance, same.entropy()], rtol=1e-12
    )


def test_what_is_no_level_is_refused_and_rounding_is_not() -> None:
    q = DiscretizedLogistic(0.5, 0.1)
    assert np.isfinite(q.log_prob(np.float32(100) / np.float32(255)))
    for x in (0.5, -1 / 255, 256 / 255, math.nan):
        with pytest.raises(ValueError, match=r"Expected `x` to be a level from 0 to 1 .* v / \(levels - 1\)"):
            q.log_prob(x)
    assert DiscretizedLogistic(0.5, 0.1, levels=17).log_prob(0.5) > q.log_prob(128 / 255)
    with pytest.raises(ValueError, match="`levels` to be a whole number >= 2, but got 1"):
        DiscretizedLogistic(0.5, 0.1, levels=1)
    with pytest.raises(ValueError, match="the same levels, but got 256 and 17"):
        kl_divergence(q, DiscretizedLogistic(0.5, 0.1, levels=17))


def test_transform_inverts_the_distribution_function_at_each_step() -> None:
    q = DiscretizedLogistic(0.4, 0.05, levels=9)
    cumulated = np.cumsum([float(np.exp(log_p)) for log_p in q._log_probs()])
    for v, end in enumerate(cumulated[:-1]):
        assert q.transform([end - 1e-9, end + 1e-9]).tolist() == [v / 8, (v + 1) / 8]


# ---------------------------------------------------------------------------------------------------- networks and data


def test_convolutions_see_colours_as_channels() -> None:
    """One pixel's red changes; what the first layer makes of it is that layer, applied by hand to (3, H, W)."""
    made = VAE(PIXELS, 2, (4, 6), "learned", levels=256, image_shape=(HEIGHT, WIDTH, 3), rng=generator())
    x = torch.rand(2, PIXELS, generator=generator(1))
    first, convolution = made.encoder.body[0], made.encoder.body[1]
    assert isinstance(first, Axes) and convolution.weight.shape == (4, 3, 3, 3)
    seen: list[torch.Tensor] = []
    convolution.register_forward_hook(lambda _, args, output: seen.extend([args[0], output]))
    assert made.encode(x).batch_shape == (2,)
    images = x.reshape(2, HEIGHT, WIDTH, 3)
    for channel in range(3):
        assert torch.equal(seen[0][:, channel], images[..., channel])
    p = made.decode(torch.zeros(5, 2))
    assert isinstance(p, DiscretizedLogistic) and p.batch_shape == (5, PIXELS)
    with torch.no_grad():
        made.decoder.out[0].weight.zero_()
        made.decoder.out[0].bias.copy_(torch.tensor([0.1, 0.5, 0.9]))
    shown = made.decode(torch.zeros(1, 2)).loc.reshape(-1, 3).unique(dim=0)
    assert len(shown) == 1 and shown[0].tolist() == pytest.approx([0.1, 0.5, 0.9])


@pytest.mark.parametrize("hidden", [(4,), (4, 6)])
def test_decoder_starts_at_the_mean_of_each_colour_and_at_the_spread(hidden: tuple[int, ...]) -> None:
    made = VAE(PIXELS, 2, hidden, "learned", levels=256, image_shape=(HEIGHT, WIDTH, 3), rng=generator())
    start_at(made, torch.tensor([0.2, 0.4, 0.6]).repeat(HEIGHT * WIDTH), 0.25)
    torch.testing.assert_close(made.decoder.out[0].bias.detach(), torch.tensor([0.2, 0.4, 0.6]))
    scale = float(made.decoder.scale.detach())
    assert scipy.stats.logistic(scale=scale).std() == pytest.approx(0.25, rel=1e-5)


def test_patches_of_test_and_training_share_no_pixel_and_test_patches_tile() -> None:
    data = load("patches-rgb")
    assert data.image_shape == (32, 32, 3) and data.levels == 256 and data.test.shape == (130, 3072)
    photographs = sklearn.datasets.load_sample_images().images
    tile = data.test[1].reshape(32, 32, 3)  # the second of the first row, 480 pixels from the left
    assert np.array_equal(tile, photographs[0][:32, 512:544]) and data.test_labels[1] == 0
    assert np.array_equal(data.test[-1].reshape(32, 32, 3), photographs[1][384:416, 608:640])
    seen = {row.tobytes() for row in data.test}
    assert len(seen) == 130 and not any(row.tobytes() in seen for row in data.train)
    few = patches_rgb(8, train=50)
    for piece, label in zip(few.train[:10], few.train_labels[:10], strict=True):  # each lies left of column 480
        left = np.lib.stride_tricks.sliding_window_view(photographs[label][:, :480], (8, 8, 3))[:, :, 0]
        assert (left == piece.reshape(8, 8, 3)).all((2, 3, 4)).any()
    assert np.array_equal(few.train, patches_rgb(8, train=50).train)
    with pytest.raises(DataError, match="`side` to be a whole number from 2 to 100, but got 101"):
        patches_rgb(101)


# ------------------------------------------------------------------------------------------------------------- training


KINDS = [("discretized-logistic", "auto"), ("gaussian", "dequantized")]
TRAINED = [(network, *kind) for network in ("conv", "dense") for kind in KINDS]


@pytest.mark.parametrize(("network", "decoder", "mode"), some(TRAINED, every=4))
def test_colour_trains_with_both_networks_and_decoders(network: str, decoder: str, mode: str) -> None:
    data = own(bytes_in_colour(80))
    state = fit(config(network=network, decoder=decoder, binarization=mode, epochs=120), data)
    treatment = state.config.binarization
    levels = 256 if treatment == "dequantized" else None
    result = evaluate(state.model, held_out_pixels(data, treatment), importance_samples=20, levels=levels)
    bits = result.bits_per_dimension
    known, alone = math.log2(41), math.log2(82)  # the cost of equally likely values, when the colour is known, or not
    assert bits is not None and known - 0.1 < bits.value < alone - 0.3
    assert result.subject.likelihood == decoder
    drawn = state.model.sample(3, rng=generator())
    if decoder == "discretized-logistic":
        steps = drawn * 255
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)


def test_a_step_of_the_logistic_decoder_has_the_gradient_of_the_sum_over_cells() -> None:
    """The loss of `init`'s model against torch.distributions' own table of levels, from a model in double precision."""
    data = own(bytes_in_colour())
    model = init(config(dtype="float64"), data).model
    x, z = torch.tensor(data.train[:3] / 255.0), torch.randn(3, 4, generator=generator(), dtype=torch.float64)
    out = model.decoder.out(model.decoder.body(z))
    table = oracles.LevelsOfALogistic(out, model.decoder.scale.expand(out.shape))
    expected = table.log_prob(x).sum(-1)
    torch.testing.assert_close(model.log_likelihood(x, z), expected, rtol=1e-9, atol=0)
    weights = list(model.decoder.parameters())
    ours = torch.autograd.grad(model.log_likelihood(x, z).sum(), weights)
    theirs = torch.autograd.grad(expected.sum(), weights)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_run_in_colour_goes_on_and_is_loaded_with_its_levels(tmp_path: Path) -> None:
    digits = load("digits")  # 17 levels, not 256
    settings = {"data": "digits", "epochs": 1, "hidden": (8,)}
    whole = fit(config(**{**settings, "epochs": 2}), digits)
    fit(config(**settings), digits, out=tmp_path / "run")
    state = fit(config(**{**settings, "epochs": 2}), digits, out=tmp_path / "run", resume=True)
    model = load_model(tmp_path / "run", "cpu")
    assert model.decoder.levels == 17 and model.decoder.kind == "discretized-logistic"
    for a, b, c in zip(model.parameters(), state.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(b, c)


# ------------------------------------------------------------------------------------------------------ what is refused


def test_settings_that_do_not_fit_colour_are_refused_in_words() -> None:
    data = own(bytes_in_colour())
    for mode in ("auto", "dynamic"):
        with pytest.raises(DataError, match=r"grey or binary images for a Bernoulli decoder, but own.npy is in colour"):
            binarization(data, "bernoulli", mode)
    with pytest.raises(DataError, match=r"`binarization` to be none for a discretized logistic .* but got dequantized"):
        init(config(binarization="dequantized"), data)
    floats = Data("floats.npy", data.train / 255.0, data.test / 255.0, data.image_shape, 1.0)
    with pytest.raises(
        DataError, match=r"Expected levels, whole numbers .* floats.npy is stored as float64. Save it as"
    ):
        init(config(), floats)
    with pytest.raises(RunError, match="`decoder_scale` to be left out with a Bernoulli decoder"):
        config(decoder="bernoulli", decoder_scale=0.1)
    fixed = init(config(decoder_scale=0.05), data).model
    assert float(fixed.decoder.scale) == pytest.approx(0.05) and fixed.learned_scale is None
    with pytest.raises(RunError, match=r"objective"):
        config(objective="elbo-exact", hidden=())
    with pytest.raises(TypeError, match=r"a linear Gaussian decoder.* but got a discretized logistic decoder"):
        linear = init(config(hidden=()), data).model
        linear.expected_log_likelihood(torch.zeros(1, PIXELS), linear.encode(torch.zeros(1, PIXELS)))
    with pytest.raises(TypeError, match="a Gaussian decoder, but got a discretized logistic one"):
        optimal_variance(fixed, torch.zeros(1, PIXELS))
    with pytest.raises(ValueError, match="`scale` beside `levels`"):
        VAE(PIXELS, 2, (4,), None, levels=256, rng=generator())


def test_channels_first_are_refused_with_what_to_do(tmp_path: Path) -> None:
    images = bytes_in_colour().transpose(0, 3, 1, 2)
    np.save(tmp_path / "first.npy", images)
    for stream in (False, True):
        with pytest.raises(
            DataError, match=r"first.npy in colour .* \(height, width, 3\), but got \(3, 5, 7\)"
        ) as said:
            load(str(tmp_path / "first.npy"), stream)
        assert "array.transpose(0, 2, 3, 1)" in str(said.value) and "(5, 7, 3)" in str(said.value)
    np.save(tmp_path / "last.npy", images.transpose(0, 2, 3, 1))
    assert load(str(tmp_path / "last.npy")).image_shape == (5, 7, 3)


def test_other_channels_do_not_convolve() -> None:
    with pytest.raises(RunError, match=r"other than 1 or 3 numbers a pixel. .* Leave it out: array\[\.\.\., :3\]"):
        build(config(network="conv"), (5, 7, 4), generator(), levels=256)
    with pytest.raises(ValueError, match=r"`image_shape` to be \(height, width\), or \(height, width, 3\)"):
        VAE(70, 2, (4,), "learned", image_shape=(5, 7, 2), rng=generator())


def test_grey_for_a_model_of_colour_and_colour_for_one_of_grey_are_told_apart() -> None:
    colour = VAE(PIXELS, 2, (4,), "learned", levels=256, rng=generator())
    grey = VAE(PIXELS // 3, 2, (4,), "learned", levels=256, rng=generator())
    x = torch.zeros(2, PIXELS)
    with pytest.raises(ValueError, match="Are these grey images, for a model of colour ones"):
        colour.encode(x[:, ::3])
    with pytest.raises(ValueError, match="Are these colour images, for a model of grey ones"):
        grey.encode(x)
    assert colour.encode(np.repeat(x[:, ::3].numpy(), 3, axis=-1)).batch_shape == (2,)
    assert grey.encode(np.reshape(x.numpy(), (len(x), -1, 3)).mean(-1)).batch_shape == (2,)


# --------------------------------------------------------------------------------------------------- bits per dimension


def test_bits_per_dimension_of_levels_are_minus_log2_of_their_probability() -> None:
    """A decoder that ignores z has log p(x) in closed form; 3 numbers a pixel count as three dimensions."""
    data = own(bytes_in_colour())
    model = init(config(decoder_scale=0.1), data).model
    with torch.no_grad():
        model.decoder.out.weight.zero_()
        for layer in (model.encoder.loc, model.encoder.log_scale):  # q is the prior
            layer.weight.zero_()
            layer.bias.zero_()
    x = held_out_pixels(data, "none")
    q = DiscretizedLogistic(model.decoder.out.bias.detach().numpy(), 0.1)
    expected = -q.log_prob(x.numpy()).sum(1) / (PIXELS * math.log(2))
    result = evaluate(model, x, importance_samples=2)
    bits = result.bits_per_dimension
    assert bits is not None and bits.value == pytest.approx(expected.mean(), rel=1e-5)
    assert result.as_dict()["likelihood"] == "discretized-logistic" and (result.response == 0).all()


def test_dequantized_bits_bound_those_of_the_levels() -> None:
    """A uniform density on [0, 1] and equal probabilities of 256 levels both cost 8 bits, by one formula."""
    uniform = Estimate(0.0, 0.0, 1)  # -log density of 1
    assert bits_per_dimension(uniform, PIXELS, 256).value == 8.0
    assert bits_per_dimension(Estimate(PIXELS * math.log(256), 0.0, 1), PIXELS).value == pytest.approx(8.0, rel=1e-12)
    data = own(bytes_in_colour(400))
    v, y = data.train.astype(float), dequantize_once(data, data.train).astype(float)
    center, spread = y.mean(), y.std()
    density = scipy.stats.norm(center, spread)
    cell = np.log(density.cdf((v + 1) / 256) - density.cdf(v / 256))  # what the density gives the cell of a level
    of_density = bits_per_dimension(Estimate(-density.logpdf(y).sum(1).mean(), 0.0, 1), PIXELS, 256).value
    assert of_density >= bits_per_dimension(Estimate(-cell.sum(1).mean(), 0.0, 1), PIXELS).value - 1e-4


def test_baselines_are_those_of_scipy_and_scikit_learn() -> None:
    """What benchmarks/colour.py compares with, on patches small enough for a covariance of full rank."""
    data = patches_rgb(4, train=600)
    train, test = (dequantize_once(data, part).astype(float) for part in (data.train, data.test))
    covariance = np.cov(train.T, bias=True)
    by_scipy = scipy.stats.multivariate_normal(train.mean(0), covariance).logpdf(test)
    found = colour.full_covariance(data)
    assert found.value == pytest.approx(-by_scipy.mean() / (48 * math.log(2)) + 8, rel=1e-9)
    assert found.error == pytest.approx(by_scipy.std(ddof=1) / math.sqrt(len(test)) / (48 * math.log(2)), rel=1e-9)
    of_pca = PCA(5).fit(train)
    of_pca.noise_variance_ *= 599 / 600  # scikit-learn divides by n - 1
    of_pca.explained_variance_ *= 599 / 600
    expected = -of_pca.score(test) / (48 * math.log(2)) + 8
    assert colour.full_covariance(data, 5).value == pytest.approx(expected, rel=1e-9)
    shares = [(np.sum(data.train[:, 7] == v) + 1) / 856 for v in data.test[:, 7]]
    alone = Data("one.npy", data.train[:, 7:8], data.test[:, 7:8], (1,), 255.0)
    assert colour.independent(alone).value == pytest.approx(-np.log2(shares).mean(), rel=1e-12)


def test_table_of_the_docs_is_what_was_recorded() -> None:
    """`python benchmarks/colour.py --record` prints and records it."""
    root = Path(__file__).resolve().parents[1]
    rows = json.loads((root / "benchmarks" / "results" / "colour.json").read_text(encoding="utf-8"))["rows"]
    assert "\n".join(colour.markdown(rows)) in (root / "docs" / "practitioner.md").read_text(encoding="utf-8")


def test_levels_are_not_compared_with_densities() -> None:
    data = own(bytes_in_colour())
    found = []
    for decoder, mode in (("discretized-logistic", "none"), ("gaussian", "none")):
        model = init(config(decoder=decoder, binarization=mode), data).model
        found.append(evaluate(model, held_out_pixels(data, mode), importance_samples=2))
    with pytest.raises(ValueError, match=r"but got discretized-logistic and gaussian.*Bits per dimension"):
        compare(*found)
    assert found[1].bits_per_dimension is None


# -------------------------------------------------------------------------------------------------------------- command


def test_command_trains_evaluates_and_draws_in_colour(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", bytes_in_colour(60))
    run, out = CliRunner().invoke, str(tmp_path / "run")
    asked = ["train", "--data", str(tmp_path / "own.npy"), "--decoder", "discretized-logistic", "--network", "conv"]
    trained = run(
        app, [*asked, "--hidden", "6", "--latent-dim", "3", "--epochs", "12", "--out", out, "--device", "cpu"]
    )
    assert trained.exit_code == 0, trained.output
    for name in ("reconstructions", "samples", "nearest", "ways", "walks"):
        shown = np.asarray(Image.open(tmp_path / "run" / f"{name}.png").convert("RGB")).astype(int)
        assert np.ptp(shown, axis=-1).max() > 15, name  # red, green and blue differ somewhere
    judged = run(app, ["evaluate", out, "--importance-samples", "10", "--device", "cpu"])
    assert judged.exit_code == 0 and "bits per dimension" in judged.stdout, judged.output
    refused = run(app, ["train", "--data", str(tmp_path / "own.npy"), "--out", str(tmp_path / "other")])
    assert refused.exit_code == 1 and "--decoder discretized-logistic" in " ".join(refused.output.split())
    assert not (tmp_path / "other").exists()


def test_dark_bytes_in_colour_train_as_they_are(tmp_path: Path) -> None:
    """255 is white of a byte in colour, also where none is brighter than 84; grey bytes leave it open."""
    dark = np.random.default_rng(0).integers(0, 85, (40, 4, 4, 3)).astype(np.uint8)
    np.save(tmp_path / "dark.npy", dark)
    assert load(str(tmp_path / "dark.npy")).white == 255 and load(str(tmp_path / "dark.npy"), stream=True).white == 255
    np.save(tmp_path / "grey.npy", dark[..., 0])
    with pytest.raises(DataError, match=r"in colour, as bytes of shape \(examples, height, width, 3\)"):
        load(str(tmp_path / "grey.npy"))
