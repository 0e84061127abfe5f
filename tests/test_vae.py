"""The model and its loss: the formula spelled out, gradients, starting values, bounds on scales."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import vaelib
from vaelib import Bernoulli, DiagonalNormal, Normal
from vaelib.vae import LOG_SCALE_BOUND, VAE, bounded, loss, saturation, start_at

BATCH, PIXELS, LATENT, K = 5, 7, 3, 4  # all distinct: no shape fits by accident
FIXED = 0.25  # scale of a Gaussian decoder; a binary fraction, the same in float32 and float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(scale: float | str | None = None, **kwargs: Any) -> VAE:
    made = VAE(PIXELS, LATENT, (11, 6), scale, rng=generator(), **kwargs).double()
    with torch.no_grad():  # away from the starting values, which are special
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator(1), dtype=parameter.dtype)
    return made


def batch(samples: int = K) -> tuple[torch.Tensor, torch.Tensor]:
    x = (torch.rand((BATCH, PIXELS), generator=generator(2), dtype=torch.float64) < 0.4).double()
    return x, torch.randn((samples, BATCH, LATENT), generator=generator(3), dtype=torch.float64)


def spelled(made: VAE, x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-likelihood (K, batch), KL (batch,) and log-weights (K, batch) by hand and by torch.distributions."""
    h = made.encoder.body(x)
    loc, log_scale = made.encoder.loc(h), bounded(made.encoder.log_scale(h))
    kl = 0.5 * (loc**2 + torch.exp(2 * log_scale) - 1 - 2 * log_scale).sum(-1)
    z = loc + log_scale.exp() * noise
    out = made.decoder.out(made.decoder.body(z))
    if made.decoder.bernoulli:
        p: Any = torch.distributions.Bernoulli(logits=out)
    else:
        p = torch.distributions.Normal(out, bounded(made.decoder.log_scale).exp() if made.decoder.learned else FIXED)
    log_likelihood = p.log_prob(x).sum(-1)
    prior, q = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(loc, log_scale.exp())
    return log_likelihood, kl, log_likelihood + (prior.log_prob(z) - q.log_prob(z)).sum(-1)


@pytest.mark.parametrize("scale", [None, FIXED, "learned"])
@pytest.mark.parametrize("beta", [1.0, 2.5])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_loss_equals_the_formula_spelled_out(scale: float | str | None, beta: float, layer_norm: bool) -> None:
    made, (x, noise) = model(scale, layer_norm=layer_norm), batch()
    minimized, terms = loss(made, x, noise, beta=beta)
    log_likelihood, kl, _ = spelled(made, x, noise)
    torch.testing.assert_close(terms.log_likelihood, log_likelihood.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(terms.kl, kl, rtol=1e-12, atol=0)
    torch.testing.assert_close(terms.elbo, log_likelihood.mean(0) - kl, rtol=1e-12, atol=0)
    torch.testing.assert_close(minimized, (beta * kl - log_likelihood.mean(0)).mean(), rtol=1e-12, atol=0)
    assert terms.objective.shape == terms.log_likelihood.shape == terms.kl.shape == (BATCH,)


def test_importance_weighted_loss_equals_the_formula_spelled_out() -> None:
    made, (x, noise) = model(), batch()
    minimized, terms = loss(made, x, noise, objective="iwae")
    weights = spelled(made, x, noise)[2].exp()  # few and small enough to be summed as they are
    torch.testing.assert_close(terms.objective, weights.mean(0).log(), rtol=1e-12, atol=0)
    torch.testing.assert_close(minimized, -weights.mean(0).log().mean(), rtol=1e-12, atol=0)


def test_importance_weighted_bound_lies_above_the_elbo_of_the_same_samples() -> None:
    made, (x, noise) = model(), batch(50)
    assert (loss(made, x, noise, objective="iwae")[1].objective > spelled(made, x, noise)[2].mean(0)).all()


def test_loss_calls_the_verified_kl_and_log_prob(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    kl, log_prob = vaelib.kl_divergence, Bernoulli.log_prob
    monkeypatch.setattr("vaelib.vae.kl_divergence", lambda q, p: called.append("kl") or kl(q, p))
    monkeypatch.setattr(Bernoulli, "log_prob", lambda p, x: called.append("log_prob") or log_prob(p, x))
    loss(model(), *batch())
    assert sorted(called) == ["kl", "log_prob"]


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
@pytest.mark.parametrize("scale", [None, "learned"])
def test_gradient_equals_that_of_the_formula_for_every_parameter(objective: str, scale: str | None) -> None:
    made, (x, noise) = model(scale), batch()
    parameters = dict(made.named_parameters())
    found = torch.autograd.grad(loss(made, x, noise, objective=objective)[0], list(parameters.values()))
    log_likelihood, kl, log_weights = spelled(made, x, noise)
    value = log_likelihood.mean(0) - kl if objective == "elbo" else log_weights.logsumexp(0)
    expected = torch.autograd.grad(-value.mean(), list(parameters.values()))
    for name, a, b in zip(parameters, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)
        assert float(a.abs().max()) > 0, name


def test_loss_in_float32_agrees_with_float64() -> None:
    made, (x, noise) = model(), batch()
    double = loss(made, x, noise)[0].item()
    assert math.isclose(loss(made.float(), x.float(), noise.float())[0].item(), double, rel_tol=1e-5)


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
    x, noise = batch()
    assert math.isfinite(loss(made, x, noise)[0].item()) and saturation(made.encode(x)) == 1.0


@pytest.mark.gpu
def test_loss_on_a_gpu_agrees_with_the_cpu() -> None:
    made, (x, noise) = model(), batch()
    expected = loss(made, x, noise)[0].item()
    assert math.isclose(loss(made.cuda(), x.cuda(), noise.cuda())[0].item(), expected, rel_tol=1e-10)
