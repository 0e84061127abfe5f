"""Bounds on log p(x) against quadrature and exact models, their stated errors against the spread; what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr, roots_legendre

from vaelib import Estimate, LinearGaussian, data
from vaelib.evaluate import (
    Evaluation,
    bits_per_dimension,
    compare,
    evaluate,
    held_out_pixels,
    mean,
    optimal_variance,
    require_comparable,
    subject,
)
from vaelib.vae import LOG_SCALE_BOUND, VAE

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
    monkeypatch.setattr("vaelib.evaluate.bounds.ROWS", 50)
    monkeypatch.setattr("vaelib.evaluate.bounds.EXAMPLES", 4)
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


def test_memory_stays_bounded_for_large_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaelib.evaluate.bounds.PIXELS", 40)
    decoded: list[int] = []
    made = model(latent_dim=3, decoder_scale=0.5)
    made.decoder.register_forward_pre_hook(lambda _, args: decoded.append(args[0].numel() // 3 * PIXELS))
    evaluate(made, pixels(), importance_samples=31)
    optimal_variance(made, pixels(), samples=5)
    assert max(decoded) <= 40


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


def test_json_of_one_example_and_one_sample_holds_no_nan() -> None:
    content = evaluate(model(), pixels(1), importance_samples=1).as_dict()
    json.dumps(content, allow_nan=False)
    assert content["nll"]["standard_error"] is None and content["decoder_response"] is None


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


def test_dequantized_pixels_lie_in_the_cells_of_their_levels_and_are_drawn_once() -> None:
    digits = data.load("digits")
    x = held_out_pixels(digits, "dequantized")
    above = x.double().numpy() * 17 - digits.test  # u
    assert x.dtype == torch.float32 and above.min() > -1e-5 and above.max() < 1 + 1e-5
    assert above.mean() == pytest.approx(0.5, abs=0.01) and above.var() == pytest.approx(1 / 12, rel=0.03)
    assert torch.equal(x, held_out_pixels(digits, "dequantized"))


# ---------------------------------------------------------------------------------------------------------- comparisons


def linear(seed: int) -> tuple[VAE, LinearGaussian]:
    """A linear Gaussian VAE, whose q is wider than the posterior in every direction, and its exact twin."""
    rng = torch.Generator().manual_seed(seed)
    made = VAE(PIXELS, 2, (), 0.75, rng=rng).double()
    loading, offset = made.decoder.out.weight, made.decoder.out.bias
    with torch.no_grad():
        loading.copy_(0.6 * torch.randn(loading.shape, generator=rng, dtype=torch.float64))
        offset.fill_(0.4)
        made.encoder.loc.weight.mul_(0.2)
        made.encoder.log_scale.weight.mul_(0.1)
        made.encoder.log_scale.bias.fill_(0.4)
    return made, LinearGaussian(loading.detach().numpy(), offset.detach().numpy(), 0.75**2)


def test_comparison_matches_the_exact_difference_and_pairs_the_examples() -> None:
    (first, exact), (second, other) = linear(1), linear(2)
    x = pixels(40)
    a, b = (evaluate(made, x, importance_samples=4000, treatment="none") for made in (first, second))
    truth = exact.log_evidence(x.numpy()) - other.log_evidence(x.numpy())
    difference = compare(a, b)
    monte_carlo = math.hypot(a.nll_monte_carlo_error, b.nll_monte_carlo_error)
    assert abs(difference.value - truth.mean()) < 4.5 * monte_carlo and monte_carlo < 0.01 < abs(truth.mean())
    assert difference.error == pytest.approx(truth.std(ddof=1) / math.sqrt(40), rel=0.05)
    assert compare(b, a).value == -difference.value and compare(a, a) == Estimate(0.0, 0.0, 40)


def test_comparison_of_different_likelihoods_is_refused_in_words() -> None:
    a, b = (evaluate(model(decoder_scale=scale), pixels(), importance_samples=1) for scale in (None, 0.5))
    with pytest.raises(
        ValueError, match="one kind of likelihood to compare, but got bernoulli and gaussian"
    ) as refused:
        compare(a, b)
    assert "log-density, which shifts by" in str(refused.value)
    with pytest.raises(ValueError, match="but got gaussian and bernoulli"):
        compare(b, a)


def test_comparison_of_other_examples_is_refused() -> None:
    a, b = (evaluate(model(), pixels(n), importance_samples=1) for n in (5, 6))
    with pytest.raises(ValueError, match="the same examples to compare, but got 5 of 6 pixels and 6 of 6"):
        compare(a, b)


def test_comparison_of_differently_treated_pixels_is_refused() -> None:
    digits = data.load("digits")
    made = VAE(64, 2, (4,), "learned", rng=torch.Generator().manual_seed(0))
    grey, noisy = (subject(made, held_out_pixels(digits, mode), mode) for mode in ("none", "dequantized"))
    with pytest.raises(ValueError, match="but they differ: the pixels were treated as none and as dequantized"):
        require_comparable(grey, noisy)
    made = VAE(64, 2, (4,), rng=torch.Generator().manual_seed(0))
    visits, once = (subject(made, held_out_pixels(digits, mode), mode) for mode in ("dynamic", "fixed"))
    require_comparable(visits, once)  # two ways to train; judged on the same pixels


# ------------------------------------------------------------------------------------------------------------- collapse


def judged(made: VAE, n: int = N) -> Evaluation:
    return evaluate(made, pixels(n), importance_samples=2)


def sound(decoder_scale: float | None = None) -> VAE:
    """Three latents that look at x."""
    made = model(latent_dim=3, decoder_scale=decoder_scale)
    made.encoder.loc.weight.data.mul_(5.0)
    return made


def test_sound_model_earns_no_warning() -> None:
    assert judged(sound()).warnings() == [] and judged(sound()).active_units > 0


def test_posterior_equal_to_the_prior_is_called_collapse() -> None:
    made = model(latent_dim=3)
    with torch.no_grad():
        for layer in (made.encoder.loc, made.encoder.log_scale):
            layer.weight.zero_()
            layer.bias.zero_()
    result = judged(made)
    assert result.rate.value == 0.0 and result.active_units == 0
    (sentence,) = result.warnings()
    assert sentence.startswith(
        "Posterior collapse: q(z|x) equals the prior, with a KL below 0.01 nats in each of the 3"
    )
    made.encoder.loc.weight.data[1] = 0.5  # one latent is enough
    assert judged(made).warnings() == []


def test_posterior_that_is_the_same_for_every_x_is_called_collapse() -> None:
    made = model(latent_dim=3)
    with torch.no_grad():
        made.encoder.loc.weight.zero_()
        made.encoder.loc.bias.fill_(1.5)
    result = judged(made)
    assert result.rate.value > 1 and result.active_units == 0
    (sentence,) = result.warnings()
    assert sentence.startswith("Collapse: q(z|x) is nearly the same for every x; none of the 3 latents is active")
    assert judged(made, 1).warnings() == []  # one example does not tell


@pytest.mark.parametrize("decoder_scale", [None, 0.5])
def test_decoder_that_ignores_z_is_reported(decoder_scale: float | None) -> None:
    made = sound(decoder_scale)
    assert judged(made).warnings() == []
    with torch.no_grad():
        made.decoder.body[0].weight.zero_()
    result = judged(made)
    assert (result.response == 0).all()
    (sentence,) = result.warnings()
    assert sentence.startswith("The decoder ignores z: p(x|z) moves by 0 nats between the z of two examples")
    alone = judged(made, 1)
    assert np.isnan(alone.response).all() and alone.warnings() == []


def test_response_of_a_decoder_matches_torch() -> None:
    """z is fixed by a narrow q, so that the response can be computed from the means."""
    made = model(latent_dim=2, decoder_scale=0.6)
    with torch.no_grad():
        made.encoder.log_scale.weight.zero_()
        made.encoder.log_scale.bias.fill_(-12.0)  # a scale of 0.002
        result, f = judged(made), made.decode(made.encode(pixels()).loc).mean
    own, other = torch.distributions.Normal(f, 0.6), torch.distributions.Normal(f.roll(-1, 0), 0.6)
    expected = torch.distributions.kl_divergence(own, other).sum(-1).detach().numpy()
    np.testing.assert_allclose(result.response, expected, rtol=0.05, atol=1e-3)
    assert expected.max() > 0.1


def test_saturated_scales_are_reported_with_their_share() -> None:
    made = model(latent_dim=4)
    with torch.no_grad():
        made.encoder.log_scale.weight[1] = 0.0
        made.encoder.log_scale.bias[1] = -5 * LOG_SCALE_BOUND
    assert judged(made).warnings()[0].startswith("25.0% of the posterior's scales are at their bounds")


def test_kl_of_the_latents_adds_up_to_the_rate() -> None:
    result = judged(model(latent_dim=4))
    assert result.unit_kl.shape == (4,) and result.unit_kl.sum() == pytest.approx(result.rate.value, rel=1e-12)


# --------------------------------------------------------------------------------------------------- bits and variances


def test_fair_coins_cost_a_bit_and_uniform_levels_their_logarithm() -> None:
    coins = bits_per_dimension(Estimate(12 * math.log(2), 0.3, 7), pixels=12)
    assert coins.value == pytest.approx(1.0) and coins.error == pytest.approx(0.3 / (12 * math.log(2)))
    uniform_density = bits_per_dimension(Estimate(0.0, 0.0), pixels=12, levels=17)  # p(y) = 1 on the unit cube
    assert uniform_density.value == pytest.approx(math.log2(17)) and uniform_density.error == 0.0


def test_bits_of_dequantized_levels_bound_the_probability_of_the_levels() -> None:
    """One pixel of 5 levels under y ~ N(m, s^2): P(v) by normal integrals, E_u log p by Gauss-Legendre quadrature."""
    levels, loc, scale = 5, 0.37, 0.21
    nodes, weights = roots_legendre(40)
    v = np.arange(levels)
    y = (v[:, None] + (nodes + 1) / 2) / levels
    log_density = -0.5 * ((y - loc) / scale) ** 2 - math.log(scale * math.sqrt(2 * math.pi))
    nll = -(log_density @ weights) / 2
    bits = np.array([bits_per_dimension(Estimate(float(value)), 1, levels).value for value in nll])
    exact = -np.log2(ndtr(((v + 1) / levels - loc) / scale) - ndtr((v / levels - loc) / scale))
    assert (bits >= exact).all() and (bits - exact).max() < 0.5
    fine = bits_per_dimension(Estimate(0.5 * math.log(2 * math.pi * scale**2)), 1, 10_000)  # at the mode, narrow cells
    assert fine.value == pytest.approx(-math.log2(2 * ndtr(0.5 / 10_000 / scale) - 1), abs=1e-6)


def test_bits_are_told_only_where_pixels_have_levels() -> None:
    assert (bits := judged(model()).bits_per_dimension) is not None and 0.5 < bits.value < 3
    grey = model(decoder_scale=0.5)
    assert judged(grey).bits_per_dimension is None and judged(grey).as_dict()["bits_per_dimension"] is None
    result = evaluate(grey, pixels(), importance_samples=2, treatment="dequantized", levels=17)
    assert result.bits_per_dimension is not None
    assert result.bits_per_dimension.value == pytest.approx(
        result.nll.value / (PIXELS * math.log(2)) + math.log2(17), rel=1e-12
    )


def test_optimal_variance_matches_the_closed_form_of_a_linear_decoder() -> None:
    made, exact = linear(3)
    x = pixels(30)
    q = made.encode(x)
    spread = (exact.loading**2).sum(0)
    mean_f = q.loc.detach().numpy() @ exact.loading.T + exact.offset
    square = ((x.numpy() - mean_f) ** 2).sum(1) + q.variance.detach().numpy() @ spread  # E_q |x - f(z)|^2
    found = optimal_variance(made, x, samples=30_000)
    assert found.value == pytest.approx(square.mean() / PIXELS, rel=0.01)
    assert found.error == pytest.approx(square.std(ddof=1) / PIXELS / math.sqrt(30), rel=0.1)


def test_optimal_variance_maximizes_the_bound() -> None:
    made = model(latent_dim=2, decoder_scale=1.0)
    best = optimal_variance(made, pixels(), samples=4000, seed=3).value
    bounds = {}
    for factor in (0.8, 0.95, 1.0, 1.05, 1.25):
        made.decoder.fixed_scale.fill_(math.sqrt(best * factor))
        bounds[factor] = evaluate(made, pixels(), importance_samples=4000).elbo.value  # the same noise each time
    assert bounds[0.8] < bounds[0.95] < bounds[1.0] > bounds[1.05] > bounds[1.25]


def test_variance_of_a_bernoulli_decoder_is_refused() -> None:
    with pytest.raises(TypeError, match="Expected a Gaussian decoder, but got a Bernoulli one"):
        optimal_variance(model(), pixels())


@pytest.mark.gpu
def test_evaluation_on_a_gpu_agrees_with_the_cpu() -> None:
    on_cpu: Evaluation = evaluate(model(), pixels(), importance_samples=5000)
    on_gpu = evaluate(model().cuda(), pixels(), importance_samples=5000)
    error = np.hypot(on_cpu.log_evidence_error, on_gpu.log_evidence_error)
    assert (abs(on_cpu.log_evidence - on_gpu.log_evidence) < 5 * error).all()
