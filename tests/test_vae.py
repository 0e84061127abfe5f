"""The model: what its networks return, the linear and the convolutional one, starting values, bounds on scales."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from vaelib import Bernoulli, DiagonalNormal, Normal
from vaelib.models import LinearGaussian
from vaelib.vae import LOG_SCALE_BOUND, VAE, bounded, saturation, start_at

BATCH, PIXELS, LATENT, K = 5, 7, 3, 4  # all distinct: no shape fits by accident
FIXED = 0.25  # scale of a Gaussian decoder; a binary fraction, the same in float32 and float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(
    scale: float | str | None = None, hidden: tuple[int, ...] = (11, 6), pixels: int = PIXELS, **kwargs: Any
) -> VAE:
    made = VAE(pixels, LATENT, hidden, scale, rng=generator(), **kwargs).double()
    rng = generator(1)
    with torch.no_grad():  # away from the starting values, which are special
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
    return made


def batch(samples: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    x = (torch.rand((BATCH, PIXELS), generator=generator(2), dtype=torch.float64) < 0.4).double()
    return x, torch.randn((samples, BATCH, LATENT), generator=generator(3), dtype=torch.float64)


def test_networks_return_distributions() -> None:
    x, noise = batch()
    q = model().encode(x)
    assert isinstance(q, DiagonalNormal) and q.batch_shape == (BATCH,) and q.event_shape == (LATENT,)
    assert isinstance(model().decode(noise), Bernoulli) and model().decode(noise).batch_shape == (K, BATCH, PIXELS)
    assert isinstance(model(0.5).decode(noise), Normal)
    assert model(0.5).decode(noise).scale.unique().tolist() == [0.5]
    assert model(1e-4).decode(noise).scale.unique().item() == pytest.approx(
        1e-4, rel=1e-6
    )  # what is fixed has no bound


@pytest.mark.parametrize(("name", "function"), [("relu", torch.relu), ("tanh", torch.tanh)])
def test_hidden_units_are_what_was_asked_for(name: str, function: Any) -> None:
    made, (x, noise) = model(activation=name), batch()
    weights = {key: value.detach() for key, value in made.named_parameters()}

    def layer(key: str, a: torch.Tensor) -> torch.Tensor:
        return a @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]

    h = function(layer("encoder.body.2", function(layer("encoder.body.0", x))))
    torch.testing.assert_close(made.encode(x).loc, layer("encoder.loc", h))
    h = function(layer("decoder.body.2", function(layer("decoder.body.0", noise))))
    torch.testing.assert_close(made.decode(noise).logits, layer("decoder.out", h))


def test_hidden_units_of_convolutions_are_what_was_asked_for() -> None:
    made = model(None, (4, 6), 35, image_shape=(5, 7), activation="tanh")
    assert {type(m) for m in made.modules()} & {torch.nn.ReLU, torch.nn.Tanh} == {torch.nn.Tanh}
    assert (
        sum(isinstance(m, torch.nn.Tanh) for m in made.modules()) == 4
    )  # two down, one up; and of the first layer behind z
    with pytest.raises(ValueError, match="Expected `activation` to be relu or tanh, but got 'gelu'"):
        model(activation="gelu")
    with pytest.raises(ValueError, match=r"but got \['relu'\]"):
        model(activation=["relu"])


def test_arrays_are_taken_where_tensors_are() -> None:
    x, noise = batch()
    made = model()
    torch.testing.assert_close(made.encode(x.numpy()).loc, made.encode(x).loc)
    torch.testing.assert_close(made.decode(noise[0].numpy()).logits, made.decode(noise[0]).logits)


def test_input_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`x` to have a last axis of size 7, but got shape \(2, 8\). Are the"):
        model().encode(np.zeros((2, 8)))
    with pytest.raises(ValueError, match=r"`z` to have a last axis of size 3, but got shape \(7,\)"):
        model().decode(np.zeros(7))


def test_samples_are_draws_from_the_decoder_and_repeatable() -> None:
    made = model()
    x = made.sample(4000, rng=generator(5))
    assert x.shape == (4000, PIXELS) and set(x.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(x, made.sample(4000, rng=generator(5))) and not x.requires_grad
    z = made.prior.sample(40_000, rng=generator(6))
    expected = made.decode(z).mean.mean(0)
    error = (expected * (1 - expected) / 4000).sqrt()
    assert ((x.mean(0) - expected).abs() < 5 * error).all()


def test_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (VAE(PIXELS, LATENT, (11,), rng=generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.encoder.loc.weight, other.encoder.loc.weight)


def test_decoder_starts_at_the_mean_image_and_encoder_inside_the_prior() -> None:
    made = VAE(PIXELS, LATENT, (11,), rng=generator())
    mean = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
    start_at(made, mean)
    torch.testing.assert_close(torch.sigmoid(made.decoder.out.bias), mean.clamp(0.001, 0.999))
    first = made.encoder.body[0]
    assert isinstance(first, torch.nn.Linear)
    torch.testing.assert_close(first(mean), torch.zeros(11), rtol=0, atol=1e-6)
    expected = bounded(torch.full((1, LATENT), -1.0)).exp()
    torch.testing.assert_close(made.encode(mean[None]).scale, expected)
    gaussian = VAE(PIXELS, LATENT, (11,), "learned", rng=generator())
    start_at(gaussian, 30 * mean)
    torch.testing.assert_close(gaussian.decoder.out.bias.detach(), 30 * mean)


def test_scales_are_bounded_and_saturation_is_reported() -> None:
    raw = torch.tensor([-1e6, -50.0, -1.0, 0.0, 1.0, 50.0, 1e6], requires_grad=True)
    log_scale = bounded(raw)
    assert float(log_scale.detach().abs().max()) <= LOG_SCALE_BOUND
    torch.testing.assert_close(log_scale[2:5], raw[2:5], rtol=0.01, atol=0)
    assert torch.autograd.grad(log_scale[3], raw)[0][3] == 1.0
    assert saturation(DiagonalNormal(torch.zeros(7), log_scale.detach().exp())).item() == pytest.approx(4 / 7)
    made = model()
    with torch.no_grad():
        made.encoder.log_scale.bias.fill_(1e4)
    q = made.encode(batch()[0])
    assert math.isfinite(made.kl(q).sum().item()) and saturation(q) == 1.0


# -------------------------------------------------------------------------------------------------------------- linear


def linear_gaussian(scale: float | str) -> tuple[VAE, LinearGaussian]:
    """A linear VAE, and the same decoder as the exact model."""
    made = model(scale, hidden=())
    out = made.decoder.out
    variance = float(made.decoder.scale.detach()) ** 2
    return made, LinearGaussian(out.weight.detach().numpy(), out.bias.detach().numpy(), variance)


def test_linear_vae_has_no_layer_but_the_three_maps() -> None:
    made = model(0.5, hidden=())
    x, noise = batch()
    names = {name for name, _ in made.named_parameters()}
    maps = ("encoder.loc", "encoder.log_scale", "decoder.out")
    assert names == {f"{layer}.{kind}" for layer in maps for kind in ("weight", "bias")}
    assert made.linear and not model().linear
    torch.testing.assert_close(made.encode(x).loc, x @ made.encoder.loc.weight.T + made.encoder.loc.bias)
    torch.testing.assert_close(made.decode(noise).mean, noise @ made.decoder.out.weight.T + made.decoder.out.bias)


@pytest.mark.parametrize("scale", [FIXED, "learned"])
def test_expected_log_likelihood_equals_the_linear_gaussian_model(scale: float | str) -> None:
    made, same = linear_gaussian(scale)
    x = torch.randn((BATCH, PIXELS), generator=generator(2), dtype=torch.float64)
    q = made.encode(x)
    arrays = DiagonalNormal(q.loc.detach().numpy(), q.scale.detach().numpy())
    found, expected = made.expected_log_likelihood(x, q).detach(), same.expected_log_likelihood(x.numpy(), arrays)
    assert found.shape == (BATCH,)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    narrow = DiagonalNormal(q.loc, 1e-9 * q.scale)  # no spread left: the log-likelihood at the mean
    torch.testing.assert_close(made.expected_log_likelihood(x, narrow), made.log_likelihood(x, q.loc))
    assert (made.log_likelihood(x, q.loc).detach() > found).all()


def test_expected_log_likelihood_agrees_with_samples() -> None:
    made, _ = linear_gaussian("learned")
    x = torch.randn((BATCH, PIXELS), generator=generator(2), dtype=torch.float64)
    q = made.encode(x)
    draws = made.log_likelihood(x, q.sample(20_000, rng=generator(3))).detach()
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - made.expected_log_likelihood(x, q).detach()).abs() < 4.5 * error).all()


@pytest.mark.parametrize(
    ("scale", "hidden", "what"), [(None, (), "a Bernoulli decoder"), (FIXED, (11,), "hidden layers")]
)
def test_expected_log_likelihood_without_a_closed_form_is_refused(scale: Any, hidden: Any, what: str) -> None:
    made, (x, _) = model(scale, hidden), batch()
    with pytest.raises(TypeError, match=f"Expected a linear Gaussian decoder.* but got {what}. Sample it: .* elbo"):
        made.expected_log_likelihood(x, made.encode(x))


def test_linear_vae_starts_at_the_mean_image_with_the_prior_s_mean() -> None:
    made = VAE(PIXELS, LATENT, (), "learned", rng=generator())
    mean = torch.arange(PIXELS) / 3.0
    start_at(made, mean)
    torch.testing.assert_close(made.decoder.out.bias.detach(), mean)
    q = made.encode(mean[None])
    torch.testing.assert_close(q.loc, torch.zeros(1, LATENT), rtol=0, atol=1e-6)
    torch.testing.assert_close(q.scale, bounded(torch.full((1, LATENT), -1.0)).exp())
    torch.testing.assert_close(made.encode(10 * mean[None]).scale, q.scale)  # whatever x is


# ------------------------------------------------------------------------------------------------------- convolutional

SHAPES = [(5, 7), (8, 8), (28, 28), (9, 4), (1, 6), (3, 1)]  # odd and even; heights and widths down to 1


def images(shape: tuple[int, int], scale: float | str | None = None, channels: tuple[int, ...] = (4, 6)) -> VAE:
    return model(scale, channels, math.prod(shape), image_shape=shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(4,), (4, 6), (2, 3, 5)])
def test_convolutional_vae_maps_images_to_latents_and_back(shape: tuple[int, int], channels: tuple[int, ...]) -> None:
    pixels, made = math.prod(shape), images(shape, channels=channels)
    x = torch.rand((BATCH, pixels), generator=generator(2), dtype=torch.float64).round()
    q = made.encode(x)
    assert q.batch_shape == (BATCH,) and q.event_shape == (LATENT,) and not made.linear
    z = q.sample(K, rng=generator(3))
    p = made.decode(z)
    assert isinstance(p, Bernoulli) and p.batch_shape == (K, BATCH, pixels)
    assert made.log_likelihood(x, z).shape == (K, BATCH)
    drawn = made.sample(2, rng=generator(4))
    assert drawn.shape == (2, pixels) and set(drawn.unique().tolist()) <= {0.0, 1.0}
    convolutions = [m for m in made.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    assert [m.in_channels for m in convolutions] == [1, *channels[:-1], *channels[::-1]]


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_convolutional_vae_treats_every_leading_axis_as_a_batch(shape: tuple[int, int]) -> None:
    made = images(shape)
    x = torch.rand((K, BATCH, made.pixels), generator=generator(2), dtype=torch.float64).round()
    z = torch.randn((2, K, BATCH, LATENT), generator=generator(3), dtype=torch.float64)
    for k in range(K):
        torch.testing.assert_close(made.encode(x).loc[k], made.encode(x[k]).loc, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(made.decode(z).logits[1, k], made.decode(z[1, k]).logits, rtol=1e-12, atol=1e-14)
    assert made.encode(x[0, 0]).loc.shape == (LATENT,) and made.decode(z[0, 0, 0]).logits.shape == (made.pixels,)
    torch.testing.assert_close(made.encode(x[0, 0]).loc, made.encode(x).loc[0, 0], rtol=1e-12, atol=1e-14)


def test_convolutional_vae_reads_and_writes_rows_of_pixels() -> None:
    """A convolution of 3 x 3 sees a neighbor in the next row, width pixels on, and none across the image."""
    height, width = 5, 7
    made = images((height, width), channels=(4,))
    x = torch.zeros((1, height * width), dtype=torch.float64, requires_grad=True)
    h = made.encoder.body(x).reshape(4, 3, 4)  # (channels, height, width) after one halving, rounded up
    seen = sum(torch.autograd.grad(h[c, 1, 2], x, retain_graph=True)[0].abs() for c in range(4))
    around = {(row, column) for row in (1, 2, 3) for column in (3, 4, 5)}  # of the pixel (2, 4)
    assert {divmod(i, width) for i in seen.reshape(-1).nonzero().ravel().tolist()} == around
    features = torch.zeros((1, 4 * 3 * 4), dtype=torch.float64, requires_grad=True)
    out = made.decoder.out(features)[0]
    near = torch.autograd.grad(out[2 * width + 4], features)[0].reshape(4, 3, 4).abs().sum(0)
    assert near.nonzero().tolist() == [[1, 2]]  # an even pixel hears of one feature alone


def test_every_parameter_of_a_convolutional_vae_has_a_gradient() -> None:
    made = images((5, 7), "learned")
    x = torch.rand((BATCH, 35), generator=generator(2), dtype=torch.float64)
    q = made.encode(x)
    z = q.transform(torch.randn((K, BATCH, LATENT), generator=generator(3), dtype=torch.float64))
    bound = (made.log_likelihood(x, z).mean(0) - made.kl(q)).mean()
    for (name, _), g in zip(made.named_parameters(), torch.autograd.grad(bound, list(made.parameters())), strict=True):
        assert float(g.abs().max()) > 0, name


def test_convolutional_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (VAE(35, LATENT, (4, 6), image_shape=(5, 7), rng=generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.encoder.body[0].weight, other.encoder.body[0].weight)


@pytest.mark.parametrize("channels", [(4,), (4, 6)])
def test_convolutional_decoder_starts_at_the_mean_brightness(channels: tuple[int, ...]) -> None:
    made = VAE(35, LATENT, channels, image_shape=(5, 7), rng=generator())
    mean = torch.linspace(0.0, 0.8, 35)
    start_at(made, mean)
    last = made.decoder.out[-1]
    assert isinstance(last, torch.nn.ConvTranspose2d) and last.bias is not None
    torch.testing.assert_close(torch.sigmoid(last.bias), torch.tensor([0.4]))
    assert made.encoder.log_scale.bias.tolist() == [-1.0] * LATENT
    gaussian = VAE(35, LATENT, channels, "learned", image_shape=(5, 7), rng=generator())
    start_at(gaussian, 30 * mean)
    torch.testing.assert_close(gaussian.decoder.out[-1].bias.detach(), torch.tensor([12.0]))


@pytest.mark.parametrize(("image_shape", "hidden"), [((5, 8), (3,)), ((5, 7), ())])
def test_convolutions_that_do_not_fit_the_images_are_refused(
    image_shape: tuple[int, int], hidden: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="Expected `image_shape` to hold 35 pixels, and at least one channel count"):
        VAE(35, 2, hidden, image_shape=image_shape, rng=torch.Generator())


@pytest.mark.parametrize("deviation", [0.2, 3.0])
def test_learned_scale_starts_at_the_deviation_of_the_data(deviation: float) -> None:
    made = VAE(5, 2, (4,), "learned", rng=torch.Generator().manual_seed(0))
    start_at(made, torch.zeros(5), deviation)
    assert made.decoder.scale.item() == pytest.approx(deviation, rel=1e-6)
