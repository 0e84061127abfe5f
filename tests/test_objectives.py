"""Objectives: values against formulas, gradients against quadrature, enumeration and samples; wrong ones are seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from forms import some
from torch import Tensor, nn

import vaelib
from vaelib import Bernoulli, Categorical, DiagonalNormal
from vaelib.elbo import elbo, importance_weighted_bound
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.objectives import OBJECTIVES, Draws, Objective, loss
from vaelib.vae import LOG_SCALE_BOUND, VAE, bounded

BATCH, PIXELS, LATENT, K = 5, 7, 3, 4  # all distinct: no shape fits by accident
FIXED = 0.25  # scale of a Gaussian decoder; a binary fraction, the same in float32 and float64
SAMPLED = [name for name in OBJECTIVES if name != "elbo-exact"]
WITH_KL = ["elbo", "elbo-sampled", "stl", "score", "score-baseline"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(made: VAE, size: float = 0.1) -> VAE:
    """Away from the starting values, which are special; in float64."""
    made = made.double()
    rng = generator(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += size * torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
    return made


def model(scale: float | str | None = None, **kwargs: Any) -> VAE:
    return shaken(VAE(PIXELS, LATENT, (11, 6), scale, rng=generator(), **kwargs))


def batch(samples: int = K) -> tuple[Tensor, Tensor]:
    x = (torch.rand((BATCH, PIXELS), generator=generator(2), dtype=torch.float64) < 0.4).double()
    return x, torch.randn((samples, BATCH, LATENT), generator=generator(3), dtype=torch.float64)


def gradient(value: Tensor, made: VAE) -> Tensor:
    """d value / d parameters, all in one vector; zero where a parameter does not enter."""
    parameters = list(made.parameters())
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([g.ravel() for g in found])


def close(a: Any, b: Any, rtol: float = 1e-12, atol: float = 0.0) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


# ----------------------------------------------------------------------------------- values, by the formula spelled out


def spelled(made: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-likelihood (K, batch), KL (batch,), log p(z) - log q(z | x) (K, batch), by hand and torch.distributions."""
    h = made.encoder.body(x)
    loc, log_scale = made.encoder.loc(h), bounded(made.encoder.log_scale(h))
    kl = 0.5 * (loc**2 + torch.exp(2 * log_scale) - 1 - 2 * log_scale).sum(-1)
    z = loc + log_scale.exp() * noise
    out = made.decoder.out(made.decoder.body(z))
    if made.decoder.bernoulli:
        p: Any = torch.distributions.Bernoulli(logits=out)
    else:
        p = torch.distributions.Normal(out, bounded(made.decoder.log_scale).exp() if made.decoder.learned else FIXED)
    prior, q = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(loc, log_scale.exp())
    return p.log_prob(x).sum(-1), kl, (prior.log_prob(z) - q.log_prob(z)).sum(-1)


@pytest.mark.parametrize("scale", [None, FIXED, "learned"])
@pytest.mark.parametrize("beta", [1.0, 2.5])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_elbo_equals_the_formula_spelled_out(scale: float | str | None, beta: float, layer_norm: bool) -> None:
    made, (x, noise) = model(scale, layer_norm=layer_norm), batch()
    minimized, terms = loss(made, x, noise, Objective(beta=beta))
    log_likelihood, kl, _ = spelled(made, x, noise)
    close(terms.log_likelihood, log_likelihood.mean(0))
    close(terms.kl, kl)
    close(terms.elbo, log_likelihood.mean(0) - kl)
    close(terms.objective, log_likelihood.mean(0) - beta * kl)
    close(minimized, (beta * kl - log_likelihood.mean(0)).mean())


@pytest.mark.parametrize("name", SAMPLED)
def test_value_of_every_estimator_equals_minus_the_objective_spelled_out(name: str) -> None:
    beta = 2.5 if name in WITH_KL else 1.0
    made, (x, noise) = model(), batch()
    minimized, terms = loss(made, x, noise, Objective(name, beta=beta))
    log_likelihood, kl, log_ratio = spelled(made, x, noise)
    if name == "elbo":
        expected = log_likelihood.mean(0) - beta * kl
    elif name in ("iwae", "dreg"):
        expected = (log_likelihood + log_ratio).exp().mean(0).log()  # few and small enough to be summed as they are
    else:
        expected = (log_likelihood + beta * log_ratio).mean(0)
    close(terms.objective, expected)
    close(terms.log_likelihood, log_likelihood.mean(0))
    close(terms.kl, kl)
    close(minimized, -expected.mean())
    assert terms.objective.shape == terms.log_likelihood.shape == terms.kl.shape == (BATCH,)


@pytest.mark.parametrize("name", ["elbo", "elbo-sampled", "iwae"])
@pytest.mark.parametrize("scale", [None, "learned"])
def test_pathwise_gradient_equals_that_of_the_formula_for_every_parameter(name: str, scale: str | None) -> None:
    made, (x, noise) = model(scale), batch()
    log_likelihood, kl, log_ratio = spelled(made, x, noise)
    value = {
        "elbo": log_likelihood.mean(0) - kl,
        "elbo-sampled": (log_likelihood + log_ratio).mean(0),
        "iwae": (log_likelihood + log_ratio).logsumexp(0),
    }[name]
    parameters = dict(made.named_parameters())
    found = torch.autograd.grad(loss(made, x, noise, name)[0], list(parameters.values()))
    expected = torch.autograd.grad(-value.mean(), list(parameters.values()))
    for parameter, a, b in zip(parameters, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=parameter)
        assert float(a.abs().max()) > 0, parameter


def test_loss_calls_the_verified_kl_and_log_prob_once(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    kl, log_prob = vaelib.kl_divergence, Bernoulli.log_prob
    monkeypatch.setattr("vaelib.vae.kl_divergence", lambda q, p: called.append("kl") or kl(q, p))
    monkeypatch.setattr(Bernoulli, "log_prob", lambda p, x: called.append("log_prob") or log_prob(p, x))
    loss(model(), *batch())
    assert sorted(called) == ["kl", "log_prob"]


@pytest.mark.parametrize("name", SAMPLED)
def test_loss_in_float32_agrees_with_float64(name: str) -> None:
    made, (x, noise) = model(), batch()
    minimized, _ = loss(made, x, noise, name)
    double = gradient(minimized, made)
    single, _ = loss(made.float(), x.float(), noise.float(), name)
    assert single.dtype == torch.float32 and math.isclose(single.item(), minimized.item(), rel_tol=1e-5)
    error = gradient(single, made).double() - double
    assert error.norm() <= 1e-5 * double.norm()


# ------------------------------------------------------- gradients, by quadrature on a VAE of one latent and 67 weights
#
# The exact objective is an integral over z itself, with nothing reparameterized, and its densities are those of
# torch.distributions. What an estimator gives on average is a sum of its gradients over nodes in the noise (K = 2: over
# pairs of nodes), or a mean over samples.


def small() -> VAE:
    made = VAE(5, 1, (4,), rng=generator())
    made.encoder.body[1] = nn.Tanh()  # no weight without a gradient
    made.decoder.body[1] = nn.Tanh()  # smooth, so that the trapezoid rule converges faster than any power
    return shaken(made, 1.0)


def examples() -> Tensor:
    return torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 1, 1]], dtype=torch.float64)


def exact(made: VAE, x: Tensor, objective: Objective, intervals: int = 400) -> Tensor:
    """The objective, a mean over x, by the trapezoid rule on [-12, 12] (squared, for a bound with K = 2)."""
    z = torch.linspace(-12.0, 12.0, intervals + 1, dtype=x.dtype)[:, None, None]  # (nodes, 1, 1)
    h = made.encoder.body(x)
    q = torch.distributions.Normal(made.encoder.loc(h), bounded(made.encoder.log_scale(h)).exp())  # (batch, 1)
    log_q = q.log_prob(z)[..., 0]  # (nodes, batch)
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(z)[..., 0]
    p = torch.distributions.Bernoulli(logits=made.decoder.out(made.decoder.body(z)))
    log_likelihood = p.log_prob(x).sum(-1)
    weight = log_q.exp() * 24.0 / intervals
    if objective.name in ("iwae", "dreg"):
        log_w = log_likelihood + log_prior - log_q
        bound = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2.0)
        return (weight[:, None] * weight[None] * bound).sum((0, 1)).mean()
    kl = (weight * (log_q - log_prior)).sum(0).mean()
    if objective.free_bits:
        kl = torch.maximum(kl, torch.tensor(objective.free_bits, dtype=kl.dtype))
    return (weight * log_likelihood).sum(0).mean() - objective.beta * kl


def expected_gradient(made: VAE, x: Tensor, objective: Objective, intervals: int = 180) -> Tensor:
    """Mean gradient of the estimator with K = 2, by the trapezoid rule over pairs of noises in [-9, 9]^2."""
    node = torch.linspace(-9.0, 9.0, intervals + 1, dtype=x.dtype)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(node).exp() * 18.0 / intervals
    noise = torch.cartesian_prod(node, node).T[:, :, None].expand(-1, -1, len(x))  # (2, pairs, batch)
    weight = torch.outer(density, density).reshape(-1, 1).expand(-1, len(x))  # (pairs, batch)
    many = x.repeat(len(weight), 1)
    objective_of_each = loss(made, many, noise.reshape(2, -1, 1), objective)[1].objective
    return gradient((weight.reshape(-1) * objective_of_each).sum() / len(x), made)


def quadrature_error(objective: Objective) -> float:
    """The largest difference of a mean gradient from the exact one, as a share of the largest entry."""
    made, x = small(), examples()
    truth = gradient(exact(made, x, objective), made)
    return float((expected_gradient(made, x, objective) - truth).abs().max() / truth.abs().max())


def largest_z(objective: Objective, blocks: int = 100, repeats: int = 150) -> float:
    """|z| of the mean of blocks' gradients (K = 2) against the exact one, the largest over the parameters."""
    made, x, rng = small(), examples(), generator(4)
    truth = gradient(exact(made, x, objective), made)
    many = x.repeat(repeats, 1)
    draws = torch.stack(
        [
            -gradient(
                loss(made, many, torch.randn((2, len(many), 1), generator=rng, dtype=x.dtype), objective)[0], made
            )
            for _ in range(blocks)
        ]
    )
    error = draws.std(0) / math.sqrt(blocks)
    error += 1e-12  # some entries have no variance, only rounding
    return float(((draws.mean(0) - truth).abs() / error).max())


CASES = [
    Objective("elbo"),
    Objective("elbo", beta=2.5),
    Objective("elbo", free_bits=1.5),  # below the mean KL, above that of one example
    Objective("elbo", free_bits=3.0),  # above: the KL has no gradient
    *(Objective(name, beta=2.5) for name in WITH_KL if name != "elbo"),
    Objective("iwae"),
    Objective("dreg"),
]
THRESHOLD = 4.5


@pytest.mark.parametrize("objective", CASES, ids=str)
def test_exact_gradient_does_not_depend_on_the_number_of_nodes(objective: Objective) -> None:
    made, x = small(), examples()
    coarse, fine = (exact(made, x, objective, n) for n in (400, 600))
    close(coarse, fine, rtol=1e-12)
    close(gradient(coarse, made), gradient(fine, made), rtol=0, atol=1e-12)
    assert (gradient(fine, made) != 0).all() or objective.free_bits


@pytest.mark.parametrize("objective", CASES, ids=str)
def test_mean_gradient_of_every_estimator_equals_quadrature(objective: Objective) -> None:
    assert quadrature_error(objective) < 1e-11


@pytest.mark.parametrize("objective", CASES, ids=str)
def test_gradient_over_samples_agrees_with_quadrature(objective: Objective) -> None:
    assert largest_z(objective) <= THRESHOLD


# ------------------------------------------------------------------------------------------------------ wrong gradients


def kl_added(draws: Draws, objective: Objective) -> Any:
    log_likelihood = draws.log_likelihood(draws.z).mean(0)
    return elbo(log_likelihood, -draws.kl, objective.beta), log_likelihood


def beta_on_the_likelihood(draws: Draws, objective: Objective) -> Any:
    log_likelihood = draws.log_likelihood(draws.z).mean(0)
    return objective.beta * log_likelihood - draws.kl, log_likelihood


def free_bits_for_each_example(draws: Draws, objective: Objective) -> Any:
    log_likelihood = draws.log_likelihood(draws.z).mean(0)
    return elbo(log_likelihood, draws.kl.clamp(min=objective.free_bits)), log_likelihood


def ratio_upside_down(draws: Draws, objective: Objective) -> Any:
    log_likelihood = draws.log_likelihood(draws.z)
    return elbo(log_likelihood, draws.log_ratio(draws.z, draws.q), objective.beta).mean(0), log_likelihood.mean(0)


def path_dropped(draws: Draws, objective: Objective) -> Any:
    z = draws.z.detach()
    log_likelihood = draws.log_likelihood(z)
    return elbo(log_likelihood, -draws.log_ratio(z, draws.q), objective.beta).mean(0), log_likelihood.mean(0)


def mean_of_logarithms(draws: Draws, objective: Objective) -> Any:
    log_likelihood = draws.log_likelihood(draws.z)
    return (log_likelihood + draws.log_ratio(draws.z, draws.q)).mean(0), log_likelihood.mean(0)


def doubly(power: int, density: str) -> Callable[[Draws, Objective], Any]:
    """v_k^power on the encoder's path, and a density that does ("q") or does not ("fixed_q") carry a gradient."""

    def wrong(draws: Draws, objective: Objective) -> Any:
        z = draws.z
        share = torch.softmax(draws.log_likelihood(z) + draws.log_ratio(z, draws.q), 0).detach()
        z = z.detach() + share[..., None] ** (power - 1) * (z - z.detach())
        log_likelihood = draws.log_likelihood(z)
        return importance_weighted_bound(log_likelihood + draws.log_ratio(z, getattr(draws, density))), log_likelihood

    return wrong


def by_score(
    baseline: Callable[[Tensor], Any] = lambda f: 0.0,
    sign: float = 1.0,
    attached: bool = False,
    likelihood: bool = True,
) -> Callable[[Draws, Objective], Any]:
    """The score function with a baseline or a sign of its own, f not detached, or the decoder's gradient left out."""

    def wrong(draws: Draws, objective: Objective) -> Any:
        z = draws.z.detach()
        log_likelihood = draws.log_likelihood(z)
        f = elbo(log_likelihood, -draws.log_ratio(z, draws.fixed_q), objective.beta)
        f = f if attached else f.detach()
        surrogate = sign * (f - baseline(f)) * draws.q.log_prob(z) + likelihood * log_likelihood
        return surrogate.mean(0), log_likelihood.mean(0)

    return wrong


def without_its_own(f: Tensor) -> Tensor:
    return f.sum(0) - f


BETA = 2.5
WRONG: dict[str, tuple[Objective, Callable[[Draws, Objective], Any]]] = {
    "the KL is added": (Objective("elbo"), kl_added),
    "beta on the likelihood": (Objective("elbo", beta=BETA), beta_on_the_likelihood),
    "free bits for each example": (Objective("elbo", free_bits=1.5), free_bits_for_each_example),
    "log q - log p": (Objective("elbo-sampled", beta=BETA), ratio_upside_down),
    "the path is dropped": (Objective("stl", beta=BETA), path_dropped),
    "mean of logarithms": (Objective("iwae"), mean_of_logarithms),
    "v for v^2": (Objective("dreg"), doubly(1, "fixed_q")),
    "v^3 for v^2": (Objective("dreg"), doubly(3, "fixed_q")),
    "the density keeps its gradient": (Objective("dreg"), doubly(2, "q")),
    "the likelihood's gradient is left out": (Objective("score", beta=BETA), by_score(likelihood=False)),
    "the sign of the score": (Objective("score", beta=BETA), by_score(sign=-1.0)),
    "f is not detached": (Objective("score", beta=BETA), by_score(attached=True)),
    "a baseline with its own sample": (Objective("score-baseline", beta=BETA), by_score(lambda f: f.mean(0))),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradient_is_rejected_by_quadrature_and_by_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, wrong = WRONG[name]
    monkeypatch.setitem(OBJECTIVES, objective.name, wrong)
    assert quadrature_error(objective) > 1e-3
    assert largest_z(objective) > 2 * THRESHOLD


@pytest.mark.parametrize("right", [by_score(), by_score(without_its_own)], ids=["score", "score-baseline"])
def test_score_function_of_the_wrong_ones_is_else_right(right: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "score", right)  # what is rejected above is rejected for what its name says
    assert quadrature_error(Objective("score", beta=BETA)) < 1e-11
    monkeypatch.setitem(OBJECTIVES, "dreg", doubly(2, "fixed_q"))
    assert quadrature_error(Objective("dreg")) < 1e-11


@pytest.mark.parametrize(("name", "count"), [("score", 1), ("score", 2), ("score-baseline", 2), ("score-baseline", 3)])
def test_score_function_gradient_equals_enumeration_for_a_discrete_latent(name: str, count: int) -> None:
    table = DiscreteLatent([0.2, 0.5, 0.3], [[0.1, 0.6, 0.2, 0.1], [0.3, 0.2, 0.4, 0.1], [0.25, 0.05, 0.3, 0.4]])
    states, x = np.arange(3), 2
    log_prior = torch.tensor(table.log_prior(states))
    log_likelihood = torch.tensor(table.log_likelihood(x, states), requires_grad=True)
    logits = torch.tensor([0.7, -0.4, 0.1], dtype=torch.float64, requires_grad=True)
    z = torch.cartesian_prod(*[torch.arange(3)] * count).reshape(-1, count).T  # (K, 3^K): every way to draw K states
    draws: Any = SimpleNamespace(
        z=z,
        noise=z,
        q=Categorical(logits),
        fixed_q=Categorical(logits.detach()),
        log_likelihood=lambda z: log_likelihood[z],
        log_ratio=lambda z, q: log_prior[z] - q.log_prob(z),
    )
    maximized, _ = OBJECTIVES[name](draws, Objective(name, beta=BETA))
    probability = torch.softmax(logits, 0)
    value = (probability.detach()[z].prod(0) * maximized).sum()
    truth = (probability * (log_likelihood + BETA * (log_prior - probability.log()))).sum()
    close(value, truth)
    found, expected = (torch.autograd.grad(v, (logits, log_likelihood)) for v in (value, truth))
    close(found, expected, rtol=1e-12, atol=1e-15)


# ---------------------------------------------------------------------------------- a linear Gaussian VAE: closed forms


def linear_gaussian(scale: float | str = FIXED) -> tuple[VAE, LinearGaussian]:
    """A linear VAE, and the same model in closed form."""
    made = shaken(VAE(PIXELS, 2, (), scale, rng=generator()), 0.3)
    out = made.decoder.out
    return made, LinearGaussian(
        out.weight.detach().numpy(), out.bias.detach().numpy(), float(made.decoder.scale.detach()) ** 2
    )


def at_the_posterior() -> VAE:
    """A linear VAE whose loadings are orthogonal, so that the posterior is diagonal, and whose encoder gives it."""
    made, _ = linear_gaussian()
    with torch.no_grad():
        weight = torch.linalg.qr(made.decoder.out.weight)[0] * torch.tensor([1.7, 0.6], dtype=torch.float64)
        made.decoder.out.weight.copy_(weight)
        shrink = 1 / ((weight**2).sum(0) + FIXED**2)  # M^-1, of a diagonal M = W^T W + c I
        made.encoder.loc.weight.copy_(shrink[:, None] * weight.T)
        made.encoder.loc.bias.copy_(-made.encoder.loc.weight @ made.decoder.out.bias)
        made.encoder.log_scale.weight.zero_()
        log_scale = 0.5 * torch.log(FIXED**2 * shrink)
        made.encoder.log_scale.bias.copy_(LOG_SCALE_BOUND * torch.atanh(log_scale / LOG_SCALE_BOUND))
    return made


class Loss(nn.Module):
    """The loss as a module, for what calls modules."""

    def __init__(self, made: VAE, objective: Objective | str) -> None:
        super().__init__()
        self.made, self.objective = made, objective

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return loss(self.made, x, noise, self.objective)[0]


@pytest.mark.parametrize("scale", [FIXED, "learned"])
def test_exact_elbo_equals_that_of_the_linear_gaussian_model(scale: float | str) -> None:
    made, same = linear_gaussian(scale)
    x, noise = torch.randn((BATCH, PIXELS), generator=generator(5), dtype=torch.float64), torch.zeros(1, BATCH, 2)
    q = made.encode(x)
    arrays = DiagonalNormal(q.loc.detach().numpy(), q.scale.detach().numpy())
    minimized, terms = loss(made, x, noise, "elbo-exact")
    close(terms.objective.detach(), torch.tensor(same.elbo(x.numpy(), arrays)))
    close(terms.log_likelihood.detach(), torch.tensor(same.expected_log_likelihood(x.numpy(), arrays)))
    close(minimized, -terms.objective.mean())
    module = Loss(made, Objective("elbo-exact", beta=BETA))
    names, parameters = zip(*module.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(
        lambda *new: torch.func.functional_call(module, dict(zip(names, new, strict=True)), (x, noise)), parameters
    )


@pytest.mark.parametrize("free_bits", [0.0, 0.4])
def test_elbo_equals_the_exact_one_on_nodes_that_integrate_squares(free_bits: float) -> None:
    made, _ = linear_gaussian("learned")
    x = torch.randn((BATCH, PIXELS), generator=generator(5), dtype=torch.float64)
    nodes = math.sqrt(2.0) * torch.cat([torch.eye(2), -torch.eye(2)]).double()  # mean 0, covariance I
    noise = nodes[:, None].expand(-1, BATCH, -1)
    sampled, exactly = (loss(made, x, noise, Objective(name, BETA, free_bits))[0] for name in ("elbo", "elbo-exact"))
    close(sampled, exactly)
    close(gradient(sampled, made), gradient(exactly, made), rtol=1e-10, atol=1e-12)


VARIES = {"stl": False, "dreg": False, "score-baseline": False, "elbo": True, "elbo-sampled": True, "score": True}


@pytest.mark.parametrize(("name", "varies"), VARIES.items())
def test_encoder_gradient_at_the_exact_posterior_varies_or_not(name: str, varies: bool) -> None:
    """The log-weights are all log p(x) there. `elbo-sampled` is also `stl` with the density not detached."""
    made, rng = at_the_posterior(), generator(6)
    x = torch.randn((BATCH, PIXELS), generator=rng, dtype=torch.float64)
    encoder = list(made.encoder.parameters())
    gradients = torch.stack(
        [
            torch.cat([g.ravel() for g in torch.autograd.grad(loss(made, x, noise, name)[0], encoder)])
            for noise in torch.randn((50, K, BATCH, 2), generator=rng, dtype=torch.float64)
        ]
    )
    if varies:
        assert gradients.std(0).max() > 0.1
    else:
        assert gradients.abs().max() < 1e-10


def test_bound_at_the_exact_posterior_is_the_evidence_for_every_draw() -> None:
    made = at_the_posterior()
    x, noise = torch.randn((BATCH, PIXELS), generator=generator(7), dtype=torch.float64), batch()[1][..., :2]
    out = made.decoder.out
    same = LinearGaussian(out.weight.detach().numpy(), out.bias.detach().numpy(), FIXED**2)
    for name in ("elbo-exact", "elbo-sampled", "stl", "iwae", "dreg", "score", "score-baseline"):
        found = loss(made, x, noise, name)[1].objective.detach()
        close(found, torch.tensor(same.log_evidence(x.numpy())), rtol=1e-11)


def test_exact_elbo_is_refused_where_there_is_no_closed_form() -> None:
    x, noise = batch()
    with pytest.raises(TypeError, match=r"linear Gaussian decoder.*got hidden layers"):
        loss(model(FIXED), x, noise, "elbo-exact")
    with pytest.raises(TypeError, match=r"linear Gaussian decoder.*got a Bernoulli decoder"):
        loss(VAE(PIXELS, LATENT, (), rng=generator()).double(), x, noise, "elbo-exact")


# ----------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("name", ["iwae", "dreg"])
def test_importance_weighted_bound_lies_above_the_sampled_elbo_of_the_same_draws(name: str) -> None:
    made, (x, noise) = model(), batch(50)
    assert (loss(made, x, noise, name)[1].objective > loss(made, x, noise, "elbo-sampled")[1].objective).all()


@pytest.mark.parametrize(("name", "like"), [("iwae", "elbo-sampled"), ("dreg", "stl")])
def test_importance_weighted_bound_of_one_sample_is_the_sampled_elbo(name: str, like: str) -> None:
    made, (x, noise) = model(), batch(1)
    one, other = (loss(made, x, noise, chosen)[0] for chosen in (name, like))
    close(one, other)
    close(gradient(one, made), gradient(other, made), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", WITH_KL)
def test_beta_as_a_tensor_agrees_with_beta_as_a_number(name: str) -> None:
    made, (x, noise) = model(), batch()
    number, tensor = (
        loss(made, x, noise, Objective(name, beta=beta))[0] for beta in (BETA, torch.tensor(BETA, dtype=torch.float64))
    )
    assert number == tensor and torch.equal(gradient(number, made), gradient(tensor, made))
    assert number != loss(made, x, noise, name)[0]


def test_no_free_bits_is_the_elbo() -> None:
    made, (x, noise) = model(), batch()
    plain, free = (loss(made, x, noise, Objective(free_bits=bits))[0] for bits in (0.0, 1e-12))
    assert loss(made, x, noise)[0] == plain
    close(plain, free)
    close(gradient(plain, made), gradient(free, made), rtol=1e-10, atol=1e-13)


def test_free_bits_stop_the_gradient_of_latents_below_them_alone() -> None:
    made, (x, noise) = model(), batch()
    q = made.encode(x)
    of_each = 0.5 * (q.loc**2 + q.scale**2 - 1 - 2 * q.scale.log()).mean(0)  # (latent_dim,)
    low, bits, high = of_each.sort().values.tolist()
    bits = (bits + high) / 2  # above two of the three
    terms = loss(made, x, noise, Objective(free_bits=bits))[1]
    charged = (terms.log_likelihood - terms.objective).mean()
    close(charged, torch.tensor(2 * bits + high, dtype=torch.float64))
    assert low < bits < high
    for layer in (made.encoder.loc, made.encoder.log_scale):
        found, plain = (torch.autograd.grad(v, layer.bias, retain_graph=True)[0] for v in (charged, of_each.sum()))
        close(found, torch.where(of_each > bits, plain, 0.0), rtol=1e-10)
        assert (found != 0).sum() == 1
    close(terms.kl.mean(), of_each.sum())  # what is reported is the KL itself


@pytest.mark.parametrize("name", SAMPLED)
def test_gradient_by_torch_func_equals_that_by_autograd(name: str) -> None:
    made, (x, noise) = model(), batch()
    module = Loss(made, name)
    parameters = dict(module.named_parameters())
    found = torch.func.grad(lambda p: torch.func.functional_call(module, p, (x, noise)))(parameters)
    close(torch.cat([g.ravel() for g in found.values()]), gradient(module(x, noise), made), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", some(SAMPLED, every=3))
def test_loss_traces_into_one_graph_with_the_same_gradient(name: str) -> None:
    made, (x, noise) = model(), batch()
    module = Loss(made, Objective(name))
    torch.compiler.reset()
    compiled = torch.compile(module, backend="eager", fullgraph=True)(x, noise)
    close(compiled, module(x, noise))
    close(gradient(compiled, made), gradient(module(x, noise), made), rtol=1e-10, atol=1e-13)


# ------------------------------------------------------------------------------------------------------------- refusals


def test_unknown_objective_is_refused_with_the_list() -> None:
    x, noise = batch()
    for ask in (lambda: Objective("elbow"), lambda: loss(model(), x, noise, "elbow")):
        with pytest.raises(ValueError, match=r"Expected an objective out of elbo, .*, dreg, .*, but got 'elbow'"):
            ask()


def test_what_an_objective_would_ignore_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`beta` to be 1 with 'dreg', which has no KL, but got 2.5"):
        Objective("dreg", beta=2.5)
    with pytest.raises(ValueError, match=r"`free_bits` with elbo or elbo-exact.* got 0.1 with 'stl'"):
        Objective("stl", free_bits=0.1)
    for bits in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"`free_bits` to be finite and >= 0, but got"):
            Objective(free_bits=bits)


def test_baseline_from_a_single_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples, each a baseline for the others, but got 1"):
        loss(model(), *batch(1), "score-baseline")


@pytest.mark.gpu
@pytest.mark.parametrize("name", SAMPLED)
def test_loss_on_a_gpu_agrees_with_the_cpu(name: str) -> None:
    made, (x, noise) = model(), batch()
    expected = loss(made, x, noise, name)[0].item()
    assert math.isclose(loss(made.cuda(), x.cuda(), noise.cuda(), name)[0].item(), expected, rel_tol=1e-10)
