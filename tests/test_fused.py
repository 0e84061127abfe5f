"""The loss in few passes is the loss: its value, its gradient and second derivatives, for each model that it knows."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from vaelib import objectives
from vaelib.distributions import Bernoulli, DiagonalNormal, kl_divergence
from vaelib.objectives import Objective
from vaelib.train import fused
from vaelib.vae import VAE

PIXELS, LATENT, BATCH = 12, 3, 7


def model(
    scale: float | str | None = None, hidden: tuple[int, ...] = (6,), image: tuple[int, ...] | None = None
) -> VAE:
    made = VAE(PIXELS, LATENT, hidden, scale, image_shape=image, rng=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    return made


def minibatch(samples: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randint(2, (BATCH, PIXELS), generator=rng).double()
    return x, torch.randn((samples, BATCH, LATENT), generator=rng, dtype=torch.float64)


NETWORKS = {"dense": model, "linear": lambda: model(hidden=()), "conv": lambda: model(image=(3, 4))}


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("beta", [1.0, 0.0, 2.5])
@pytest.mark.parametrize("network", NETWORKS)
def test_value_terms_and_gradient_are_those_of_the_formula(network: str, beta: float, samples: int) -> None:
    short, long = NETWORKS[network](), NETWORKS[network]()
    objective, (x, noise) = Objective("elbo", beta), minibatch(samples)
    assert fused.knows(short, objective)
    (value, terms), (expected, its) = fused.loss(short, x, noise, objective), objectives.loss(long, x, noise, objective)
    for mine, formula in zip((value, *terms), (expected, *its), strict=True):
        torch.testing.assert_close(mine, formula, rtol=1e-13, atol=1e-13)
    value.backward()
    expected.backward()
    for mine, formula in zip(short.parameters(), long.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, formula.grad, rtol=1e-11, atol=1e-13)


def curvature(loss: Callable[..., tuple[Tensor, objectives.Terms]]) -> list[Tensor]:
    """Hessian times a vector, for each parameter."""
    made, (x, noise) = model(), minibatch(2)
    parameters = list(made.parameters())
    value, _ = loss(made, x, noise, Objective("elbo", 1.5))
    gradient = torch.autograd.grad(value, parameters, create_graph=True)
    rng = torch.Generator().manual_seed(3)
    along = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in parameters]
    return list(torch.autograd.grad(sum((g * v).sum() for g, v in zip(gradient, along, strict=True)), parameters))


def test_second_derivatives_are_those_of_the_formula() -> None:
    for mine, formula in zip(curvature(fused.loss), curvature(objectives.loss), strict=True):
        torch.testing.assert_close(mine, formula, rtol=1e-10, atol=1e-12)
        assert formula.abs().max() > 1e-6


def test_single_precision_has_digits_of_a_small_divergence_and_of_a_sure_pixel() -> None:
    scale, sure = 1.0 + torch.tensor([[1e-3, -1e-4, 1e-5]]), torch.tensor([[1.0, 0.0]])
    logits = 60.0 * sure[None] - 30.0
    _, (_, log_likelihood, kl) = fused._Bound.apply(0.0 * scale, scale, logits, sure, 1.0)
    expected = Bernoulli(logits[0].double()).log_prob(sure.double()).sum(-1)
    torch.testing.assert_close(log_likelihood.double(), expected, rtol=1e-5, atol=0.0)
    q, p = (DiagonalNormal(torch.zeros(3).double(), each.double()) for each in (scale[0], torch.ones(3)))
    torch.testing.assert_close(kl.double(), kl_divergence(q, p)[None], rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("logit", [25.0, 39.9, 40.1, 700.0])
def test_double_precision_keeps_its_digits_where_the_logarithm_is_cut_short(logit: float) -> None:
    at = torch.tensor([[[logit, -logit]]], dtype=torch.float64)
    for pixel in (0.0, 1.0):
        x = torch.full((1, 2), pixel, dtype=torch.float64)
        one = torch.ones(1, 1, dtype=torch.float64)
        _, (_, log_likelihood, _) = fused._Bound.apply(0.0 * one, one, at, x, 1.0)
        torch.testing.assert_close(log_likelihood, Bernoulli(at[0]).log_prob(x).sum(-1), rtol=1e-15, atol=0.0)


@pytest.mark.parametrize("logit", [0.0, 3.0, 12.0, 18.0, 60.0])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_slope_of_a_sure_pixel_is_not_lost_in_single_precision(x: float, logit: float) -> None:
    for sign in (1.0, -1.0):
        at = torch.full((1, 1, 1), sign * logit, requires_grad=True)
        value, _ = fused._Bound.apply(torch.zeros(1, 1), torch.ones(1, 1), at, torch.full((1, 1), x), 1.0)
        value.backward()
        exact = torch.special.expit(torch.tensor((1 - 2 * x) * sign * logit).double()) * (1 - 2 * x)
        torch.testing.assert_close(at.grad.double().squeeze(), exact, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize(
    "made, objective",
    [
        (model("learned"), Objective("elbo")),
        (model(), Objective("iwae")),
        (model(), Objective("elbo-sampled")),
        (model(), Objective("elbo", free_bits=0.1)),
    ],
    ids=["Gaussian decoder", "iwae", "sampled", "free bits"],
)
def test_what_it_is_not_written_for_is_left_to_the_formula(made: VAE, objective: Objective) -> None:
    assert not fused.knows(made, objective)


def test_steps_go_the_short_way_and_end_where_the_formula_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    from test_engine import fresh, train

    from vaelib.train.engine import advance

    short = fresh(dtype="float64")
    long = copy.deepcopy(short)
    went = []
    monkeypatch.setattr(fused._Bound, "apply", lambda *of_it, real=fused._Bound.apply: went.append(1) or real(*of_it))
    train(short, advance)
    monkeypatch.setattr(fused, "knows", lambda *what: False)
    train(long, advance)
    assert len(went) == 9
    for mine, formula in zip(short.model.parameters(), long.model.parameters(), strict=True):
        torch.testing.assert_close(mine, formula, rtol=1e-9, atol=1e-11)
