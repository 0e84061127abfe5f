"""The inference gap and its two parts, on a linear Gaussian decoder, where both have closed forms."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from vaelib import DiagonalNormal, LinearGaussian, kl_divergence
from vaelib.evaluate import Gaps, gaps, inference_gaps
from vaelib.evaluate.gaps import best_posterior, standardized_noise
from vaelib.vae import VAE

PIXELS, LATENT_DIM, SCALE, N = 5, 3, 0.75, 7
THRESHOLD = 4.5


def linear(optimal: bool, scale: float | None = SCALE, hidden: tuple[int, ...] = ()) -> VAE:
    """A VAE of float64 whose posterior is correlated; its encoder gives the best q, or something else."""
    rng = torch.Generator().manual_seed(3)
    model = VAE(PIXELS, LATENT_DIM, hidden, scale, rng=rng).double()
    if hidden:
        return model
    encoder, loading, offset = model.encoder, model.decoder.out.weight, model.decoder.out.bias
    with torch.no_grad():
        loading.copy_(0.9 * torch.randn(loading.shape, generator=rng, dtype=torch.float64))
        offset.copy_(torch.randn(offset.shape, generator=rng, dtype=torch.float64))
        m = precision(model)
        encoder.loc.weight.copy_(torch.linalg.solve(m, loading.T))
        encoder.loc.bias.copy_(-encoder.loc.weight @ offset)
        encoder.log_scale.weight.zero_()
        encoder.log_scale.bias.copy_(7 * torch.atanh((SCALE / m.diagonal().sqrt()).log() / 7))
        if not optimal:
            encoder.loc.weight.mul_(0.8)
            encoder.loc.bias.add_(0.2)
            encoder.log_scale.bias.add_(torch.tensor([0.3, -0.4, 0.2]))
    return model


def precision(model: VAE) -> torch.Tensor:
    """M = W^T W + c I; the posterior's covariance is c M^-1."""
    loading = model.decoder.out.weight.detach()
    return loading.T @ loading + SCALE**2 * torch.eye(LATENT_DIM, dtype=torch.float64)


def twin(model: VAE) -> LinearGaussian:
    out = model.decoder.out
    return LinearGaussian(out.weight.detach().numpy(), out.bias.detach().numpy(), SCALE**2)


def examples(model: VAE, n: int = N) -> torch.Tensor:
    return torch.from_numpy(twin(model).sample(n, rng=np.random.default_rng(1))[1])


def in_numpy(q: DiagonalNormal) -> DiagonalNormal:
    return DiagonalNormal(q.loc.detach().numpy(), q.scale.detach().numpy())


def measured(module: Any, model: VAE, x: torch.Tensor, **options: Any) -> Gaps:
    return module.inference_gaps(model, x, twin(model).log_evidence(x.numpy()), **options)


def worst_z(module: Any, optimal: bool) -> float:
    """The largest |measured - exact| of approximation and amortization gap over examples and means, in units of the
    stated Monte Carlo error; 1e-3 nats are allowed for the search."""
    model = linear(optimal)
    x = examples(model)
    found, exact = measured(module, model, x), twin(model)
    m = precision(model)
    approximation = float(0.5 * (m.diagonal().log().sum() - torch.logdet(m)))  # KL(q* || p(z | x)), for every x
    inference = kl_divergence(in_numpy(model.encode(x)), exact.posterior(x.numpy()))
    amortization = inference - approximation
    assert approximation > 0.15 and (optimal or amortization.min() > 0.15)
    checks = [
        (found.log_evidence - found.best_elbo - approximation, found.best_elbo_error),
        (found.best_elbo - found.encoder_elbo - amortization, found.amortization_error),
        (found.log_evidence - found.encoder_elbo - inference, found.encoder_elbo_error),
    ]
    errors = found.monte_carlo_errors
    for name, value in (("approximation", approximation), ("amortization", amortization), ("inference", inference)):
        checks.append((getattr(found, name).value - np.mean(value), np.asarray(errors[name])))
    return max(float((np.maximum(abs(gap) - 1e-3, 0) / (error + 1e-12)).max()) for gap, error in checks)


def planted(old: str, new: str) -> ModuleType:
    """A copy of the module with one line of its source changed."""
    source = Path(str(gaps.__file__)).read_text()
    assert source.count(old) == 1 and old != new
    module = ModuleType("planted")
    sys.modules["planted"] = module  # dataclasses look their module up
    exec(compile(source.replace(old, new), "planted", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("optimal", [True, False])
def test_gaps_match_their_closed_forms(optimal: bool) -> None:
    assert worst_z(gaps, optimal) < THRESHOLD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return mean(self.log_evidence - self.best_elbo)", "return mean(self.log_evidence - self.encoder_elbo)"),
        ("return mean(self.best_elbo - self.encoder_elbo)", "return mean(self.encoder_elbo - self.best_elbo)"),
        ("for q in (encoder, best)", "for q in (best, encoder)"),
        ("elbo(of_best.mean(0), model.kl(best))", "elbo(of_best.mean(0), model.kl(encoder))"),
        ("(-bound().sum()).backward", "bound().sum().backward"),
        ("start.scale * growth.exp()", "start.scale * (0.5 * growth).exp() ** 0"),
        (".mean(0), model.kl(at))", ".mean(0), 2 * model.kl(at))"),
    ],
)
def test_closed_forms_see_planted_errors(old: str, new: str) -> None:
    assert worst_z(planted(old, new), optimal=False) > THRESHOLD


def test_best_posterior_of_a_linear_decoder_matches_the_closed_form() -> None:
    """Mean-field optimum: the posterior's mean, and the inverse of the diagonal of its precision M / c."""
    model = linear(optimal=False)
    x = examples(model)
    q, remaining = best_posterior(model, x, tolerance=1e-7, rng=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(q.loc, twin(model).posterior(x.numpy()).loc, atol=2e-3)
    np.testing.assert_allclose(q.scale, (SCALE / precision(model).diagonal().sqrt()).expand(N, -1), rtol=2e-3)
    assert (remaining >= 0).all() and remaining.max() < 1e-5


def test_amortization_gap_is_zero_at_the_exact_encoder() -> None:
    model = linear(optimal=True)
    found = measured(gaps, model, examples(model))
    assert abs(found.best_elbo - found.encoder_elbo).max() < 1e-3
    assert found.amortization_error.max() < 0.01 < found.best_elbo_error.min()  # shared noise leaves little


def test_parts_add_up_and_the_best_q_is_not_worse_than_the_encoder() -> None:
    model = linear(True, scale=None, hidden=(6,))  # Bernoulli and curved
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(parameter)))
    x = (torch.rand((N, PIXELS), generator=torch.Generator().manual_seed(9)) < 0.5).double()
    found = inference_gaps(model, x, np.linspace(-3.0, -2.0, N), 0.1)
    total = found.approximation.value + found.amortization.value
    assert found.inference.value == pytest.approx(total, abs=1e-12)
    assert (found.best_elbo - found.encoder_elbo > -THRESHOLD * found.amortization_error - 1e-3).all()
    assert found.amortization.value > 0.05 and found.amortization.error > 0


def test_stated_errors_match_repetition_over_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear(optimal=False)
    x = examples(model, 3)
    found = best_posterior(model, x, rng=torch.Generator().manual_seed(0))
    monkeypatch.setattr(gaps, "best_posterior", lambda *args, **kwargs: found)  # searched for once
    runs = [measured(gaps, model, x, samples=200, seed=seed) for seed in range(60)]
    for name in ("approximation", "amortization", "inference"):
        spread = np.std([getattr(run, name).value for run in runs], ddof=1)
        stated = np.mean([run.monte_carlo_errors[name] for run in runs])
        assert stated == pytest.approx(spread, rel=0.4), name


def test_error_of_the_evidence_enters_only_what_contains_it() -> None:
    model = linear(optimal=False)
    x = examples(model, 4)
    sure = inference_gaps(model, x, np.zeros(4), samples=50, tolerance=1.0).monte_carlo_errors
    unsure = inference_gaps(model, x, np.zeros(4), np.full(4, 3.0), samples=50, tolerance=1.0).monte_carlo_errors
    assert unsure["amortization"] == sure["amortization"]
    for name in ("approximation", "inference"):
        assert unsure[name] == pytest.approx(np.hypot(sure[name], 3.0 / 2))


def test_noise_has_exactly_the_moments_of_a_standard_normal() -> None:
    noise = standardized_noise(16, torch.zeros(2, 7, dtype=torch.float64), torch.Generator().manual_seed(0))
    assert noise.shape == (28, 7)  # at least 4 for each latent
    np.testing.assert_allclose(noise.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(noise.T @ noise / 28, np.eye(7), atol=1e-13)


def test_blocks_cover_every_example_and_the_model_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear(optimal=False)
    x = examples(model)
    whole = measured(gaps, model, x, samples=100, tolerance=0.01)
    monkeypatch.setattr(gaps, "ROWS", 200)  # 3 x 64
    done: list[int] = []
    parts = measured(gaps, model, x, samples=100, tolerance=0.01, callback=done.append)
    assert done == [3, 6, 7]
    np.testing.assert_allclose(parts.best_elbo, whole.best_elbo, atol=6 * whole.best_elbo_error.max())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_json_names_what_it_holds() -> None:
    model = linear(optimal=False)
    found = measured(gaps, model, examples(model, 2), samples=20, tolerance=1.0)
    content = found.as_dict()
    assert (content["unit"], content["examples"]) == ("nats per example", 2)
    assert content["amortization"] == {
        "value": found.amortization.value,
        "standard_error": found.amortization.error,
        "monte_carlo_error": found.monte_carlo_errors["amortization"],
    }


def test_evidence_of_other_examples_is_refused() -> None:
    model = linear(optimal=True)
    with pytest.raises(ValueError, match="2 samples or more, but got 2 for 7 and 2000 samples"):
        inference_gaps(model, examples(model), np.zeros(2))


@pytest.mark.gpu
def test_gaps_on_a_gpu_match_their_closed_forms() -> None:
    model = linear(optimal=True)
    x, m = examples(model), precision(model)
    log_evidence = twin(model).log_evidence(x.numpy())
    found = inference_gaps(model.cuda(), x, log_evidence)
    expected = float(0.5 * (m.diagonal().log().sum() - torch.logdet(m)))
    error = found.monte_carlo_errors["approximation"]
    assert found.approximation.value == pytest.approx(expected, abs=THRESHOLD * error + 1e-3)
