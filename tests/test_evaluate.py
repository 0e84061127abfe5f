"""Bounds on log p(x): against quadrature over a one-dimensional latent, and their stated errors against the spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vaelib import data
from vaelib.evaluate import Evaluation, evaluate, held_out_pixels, mean
from vaelib.vae import VAE

PIXELS, N = 6, 9


def model(latent_dim: int = 1, seed: int = 0, decoder_scale: float | None = None) -> VAE:
    rng = torch.Generator().manual_seed(seed)
    made = VAE(PIXELS, latent_dim, (8,), decoder_scale, rng=rng)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng)
        # q wider than the prior: the weights p(x | z) p(z) / q(z | x) are bounded, so their variance is finite and the
        # standard error means something. A q narrower than the posterior would understate it.
        made.encoder.log_scale.weight.mul_(0.2)
        made.encoder.log_scale.bias.fill_(0.4)
        made.encoder.loc.weight.mul_(0.5)
    return made.double()


def pixels(n: int = N) -> torch.Tensor:
    rng = torch.Generator().manual_seed(4)
    return (torch.rand((n, PIXELS), generator=rng) < 0.5).double()


@torch.no_grad()
def by_quadrature(made: VAE, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """log p(x) and the ELBO for each x, by the trapezoid rule over z in [-12, 12]."""
    z = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    h = float(z[1] - z[0])
    out = made.decoder.out(made.decoder.body(z[:, None]))
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    if made.decoder.bernoulli:
        log_likelihood = torch.stack([torch.distributions.Bernoulli(logits=out).log_prob(row).sum(-1) for row in x], 1)
    else:
        p = torch.distributions.Normal(out, made.decoder.fixed_scale)
        log_likelihood = torch.stack([p.log_prob(row).sum(-1) for row in x], 1)
    log_evidence = torch.logsumexp(log_likelihood + log_prior[:, None], 0) + math.log(h)
    h_x = made.encoder.body(x)
    scale = (7 * torch.tanh(made.encoder.log_scale(h_x) / 7)).exp()
    log_q = torch.distributions.Normal(made.encoder.loc(h_x)[:, 0], scale[:, 0]).log_prob(z[:, None])
    integrand = log_q.exp() * (log_likelihood + log_prior[:, None] - log_q)
    return log_evidence.numpy(), (h * integrand.sum(0)).numpy()


@pytest.mark.parametrize("decoder_scale", [None, 0.7])
def test_bounds_match_quadrature(decoder_scale: float | None) -> None:
    made = model(decoder_scale=decoder_scale)
    log_evidence, elbo = by_quadrature(made, pixels())
    result = evaluate(made, pixels(), importance_samples=20_000)
    gap = result.log_evidence - log_evidence
    assert (abs(gap) < 5 * result.log_evidence_error + 1e-9).all() and result.log_evidence_error.max() < 0.05
    np.testing.assert_allclose(result.log_likelihood - result.kl, elbo, atol=0.1)
    assert result.elbo.value == pytest.approx(elbo.mean(), abs=0.03)
    assert -result.nll.value == pytest.approx(log_evidence.mean(), abs=0.01)
    assert result.elbo.value < -result.nll.value


def test_stated_monte_carlo_error_and_bias_match_repetition() -> None:
    made, x = model(seed=2), pixels()
    truth = by_quadrature(made, x)[0].mean()
    runs = [evaluate(made, x, importance_samples=10, seed=seed) for seed in range(600)]
    values = np.array([run.nll.value for run in runs])
    stated = np.mean([run.nll_monte_carlo_error for run in runs])
    assert values.std() == pytest.approx(stated, rel=0.25)
    assert values.mean() + truth == pytest.approx(np.mean([run.nll_bias for run in runs]), rel=0.5)
    assert values.mean() > -truth  # in expectation an upper bound on the NLL


def test_bound_tightens_with_more_samples() -> None:
    made, x = model(seed=1), pixels()
    few = np.mean([evaluate(made, x, importance_samples=2, seed=seed).nll.value for seed in range(60)])
    many = np.mean([evaluate(made, x, importance_samples=64, seed=seed).nll.value for seed in range(60)])
    assert many < few - 0.005


def test_memory_stays_bounded_and_every_sample_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaelib.evaluate.ROWS", 50)
    monkeypatch.setattr("vaelib.evaluate.EXAMPLES", 4)
    made = model(latent_dim=3)
    decoded: list[int] = []
    plain = VAE.log_likelihood

    def watched(self: VAE, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        decoded.append(z.shape[0] * z.shape[1])
        return plain(self, x, z)

    monkeypatch.setattr(VAE, "log_likelihood", watched)
    done: list[int] = []
    result = evaluate(made, pixels(), importance_samples=31, callback=done.append)
    assert max(decoded) <= 50 and sum(decoded) == 31 * N and done == [4, 8, 9]
    assert result.log_evidence.shape == (N,)


def test_seed_decides_the_result() -> None:
    first, second, other = (evaluate(model(), pixels(), importance_samples=9, seed=seed) for seed in (0, 0, 1))
    assert (first.log_evidence == second.log_evidence).all() and (first.log_evidence != other.log_evidence).any()


def test_log_weights_far_below_zero_do_not_underflow() -> None:
    """exp(-2000) is 0 in any precision; the logarithm of the mean is not."""
    made = model(decoder_scale=0.01)
    result = evaluate(made.float(), pixels().float(), importance_samples=100)
    assert np.isfinite(result.log_evidence).all() and result.log_evidence.max() < -2000


def test_standard_errors_are_those_of_a_sample_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    estimate = mean(values)
    assert (
        estimate.value == 4.0 and estimate.error == pytest.approx(values.std(ddof=1) / 2) and estimate.num_samples == 4
    )
    assert math.isnan(mean(values[:1]).error)


def test_unused_latents_are_not_active() -> None:
    made = model(latent_dim=4)
    with torch.no_grad():
        made.encoder.loc.weight[2] = 0.0
        made.encoder.loc.bias[2] = 5.0
    result = evaluate(made, pixels(), importance_samples=1)
    loc = made.encode(pixels()).loc.detach().numpy()
    np.testing.assert_allclose(result.activity, loc.var(0), atol=1e-12)
    assert result.activity[2] == 0.0 and result.active_units == int((loc.var(0) > 0.01).sum()) <= 3


def test_json_names_what_it_holds() -> None:
    result = evaluate(model(), pixels(), importance_samples=10)
    content = result.as_dict()
    assert (content["unit"], content["examples"], content["importance_samples"]) == ("nats per example", N, 10)
    assert content["nll"] == {"value": result.nll.value, "standard_error": result.nll.error}
    assert content["elbo"]["value"] == pytest.approx(-content["rate"]["value"] - content["distortion"]["value"])
    assert (content["latent_dim"], content["saturated"]) == (1, 0.0)


def test_single_sample_has_no_monte_carlo_error() -> None:
    result = evaluate(model(), pixels(), importance_samples=1)
    assert math.isnan(result.nll_monte_carlo_error) and math.isfinite(result.nll.value)


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample and one example, but got 0 and 9"):
        evaluate(model(), pixels(), importance_samples=0)
    with pytest.raises(ValueError, match="at least one sample and one example, but got 5 and 0"):
        evaluate(model(), pixels()[:0], importance_samples=5)


def test_held_out_pixels_are_binary_unless_used_as_they_are() -> None:
    digits = data.load("digits")
    assert set(held_out_pixels(digits, "dynamic").unique().tolist()) == {0.0, 1.0}
    assert torch.equal(held_out_pixels(digits, "dynamic"), held_out_pixels(digits, "fixed"))
    np.testing.assert_array_equal(held_out_pixels(digits, "none").numpy(), digits.intensities(digits.test))


@pytest.mark.gpu
def test_evaluation_on_a_gpu_agrees_with_the_cpu() -> None:
    on_cpu: Evaluation = evaluate(model(), pixels(), importance_samples=5000)
    on_gpu = evaluate(model().cuda(), pixels(), importance_samples=5000)
    error = np.hypot(on_cpu.log_evidence_error, on_gpu.log_evidence_error)
    assert (abs(on_cpu.log_evidence - on_gpu.log_evidence) < 5 * error).all()
