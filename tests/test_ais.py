"""Annealed importance sampling, forwards and backwards, on a linear Gaussian decoder, whose p(x) is exact.

Each check takes the module that it judges, so that it is also run on copies with an error planted in the source.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from vaelib import LinearGaussian
from vaelib.evaluate import ais, annealed_bound, mean, sandwich, temperature_schedule
from vaelib.montecarlo import sample_mean, z_score
from vaelib.vae import VAE

PIXELS, LATENT_DIM, SCALE = 5, 3, 0.75
THRESHOLD = 4.5


def linear(width: float = 1.3) -> tuple[VAE, LinearGaussian]:
    """A linear Gaussian VAE and its exact twin; the encoder's q has a width of `width` times the best one's."""
    rng = torch.Generator().manual_seed(3)
    model = VAE(PIXELS, LATENT_DIM, (), SCALE, rng=rng).double()
    loading, offset = model.decoder.out.weight, model.decoder.out.bias
    with torch.no_grad():
        loading.copy_(0.6 * torch.randn(loading.shape, generator=rng, dtype=torch.float64))
        offset.copy_(torch.randn(offset.shape, generator=rng, dtype=torch.float64))
        m = loading.T @ loading + SCALE**2 * torch.eye(LATENT_DIM, dtype=torch.float64)
        encoder = model.encoder
        encoder.loc.weight.copy_(torch.linalg.solve(m, loading.T))
        encoder.loc.bias.copy_(-encoder.loc.weight @ offset)
        encoder.log_scale.weight.zero_()
        encoder.log_scale.bias.copy_(7 * torch.atanh((width * SCALE / m.diagonal().sqrt()).log() / 7))
    return model, LinearGaussian(loading.detach().numpy(), offset.detach().numpy(), SCALE**2)


def curvature(exact: LinearGaussian) -> np.ndarray:
    """A = W^T W / c: along the path from the prior, f_b is Gaussian with precision I + b A."""
    return exact.loading.T @ exact.loading / exact.noise_variance


def examples(exact: LinearGaussian, n: int = 2) -> torch.Tensor:
    return torch.from_numpy(exact.sample(n, rng=np.random.default_rng(1))[1])


@pytest.fixture(autouse=True)
def short_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any step size is right, so most tests need none that is good."""
    monkeypatch.setattr(ais, "TUNING_MOVES", 30)


def nothing() -> None:
    """In the place of a progress bar."""


# -------------------------------------------------------------------------------- the checks, on any copy of the module


def forward_z(module: Any, base: str = "prior") -> float:
    """z-score of E[w / p(x)] = 1. Weights are at most max p(x | z) from the prior; from a q wider than the posterior in
    every direction they are bounded as well: the variance is finite."""
    model, exact = linear()
    x = examples(exact)
    run = module.annealed_bound(model, x, temperatures=6, chains=6000, leapfrog_steps=3, base=base)
    ratio = np.exp(run.log_weights - exact.log_evidence(x.numpy()))
    return float(abs(z_score(sample_mean(ratio), 1.0)).max())


def backward_z(module: Any) -> float:
    """z-score of E_backward[p / (w + p)] = E_forward[w / (w + p)], p = p(x), with steps held fixed.

    The law of w backwards has 1/w times p(x) as its density under the law forwards (Crooks 2000), which says more than
    E[1/w] = 1/p(x). And it can be tested: both sides lie between 0 and 1, while 1/w may have no variance.
    """
    model, exact = linear()
    x, chains = examples(exact), 8000
    target, steps = module.Target(model, x, expanded(model.prior, len(x))), torch.full((5, len(x)), 0.6)
    z = torch.from_numpy(exact.posterior(x.numpy()).sample(chains, rng=np.random.default_rng(2)))
    rng = torch.Generator().manual_seed(0)
    schedule, log_p = temperature_schedule(6), torch.from_numpy(exact.log_evidence(x.numpy()))
    log_inverse, _ = module.anneal(target, target.at(z), schedule[::-1], steps, 3, rng, nothing)
    start = torch.randn(z.shape, generator=rng, dtype=z.dtype)
    log_weights, _ = ais.anneal(target, target.at(start), schedule, steps, 3, rng, nothing)
    backward = sample_mean(torch.sigmoid(log_inverse + log_p).numpy())
    forward = sample_mean(torch.sigmoid(log_weights - log_p).numpy())
    return float((abs(backward.value - forward.value) / np.hypot(backward.error, forward.error)).max())


def invariance_z(module: Any) -> float:
    """Exact draws of f_b, moved a few times with a step so long that a third is rejected, keep mean and covariance."""
    model, exact = linear()
    x, b, chains = examples(exact), 0.4, 20_000
    precision = np.eye(LATENT_DIM) + b * curvature(exact)
    covariance = np.linalg.inv(precision)
    loc = b * (x.numpy() - exact.offset) @ exact.loading @ covariance / exact.noise_variance
    noise = np.random.default_rng(5).standard_normal((chains, len(x), LATENT_DIM))
    z = torch.from_numpy(loc + noise @ np.linalg.cholesky(covariance).T)
    target, rng = module.Target(model, x, expanded(model.prior, len(x))), torch.Generator().manual_seed(6)
    state, rejected = target.at(z), []
    for _ in range(4):
        state, probability = module.hamiltonian_move(target, state, b, torch.full((len(x),), 0.95), 4, rng)
        rejected.append(1 - float(probability.mean()))
    assert module is not ais or 0.1 < np.mean(rejected) < 0.7  # the step of acceptance has something to do
    gap = state.noise.numpy() - loc
    scores = [z_score(sample_mean(gap), 0.0), z_score(sample_mean(gap[..., :, None] * gap[..., None, :]), covariance)]
    return float(max(abs(score).max() for score in scores))


def energy_order(module: Any) -> float:
    """What the probability of rejection, at a fixed length of trajectory, deviates from an order of 2 in the step, in
    units of which `THRESHOLD` are half an order. A wrong force spoils this, but not the invariance."""
    model, exact = linear()
    x = examples(exact)
    target = module.Target(model, x, expanded(model.prior, len(x)))

    def rejected(step: float, leapfrog_steps: int) -> float:
        rng = torch.Generator().manual_seed(7)
        state = target.at(torch.randn((4000, len(x), LATENT_DIM), generator=rng, dtype=torch.float64))
        *_, probability = module.hamiltonian_move(target, state, 0.6, torch.full((len(x),), step), leapfrog_steps, rng)
        return 1 - float(probability.mean())

    return abs(math.log2(rejected(0.1, 4) / rejected(0.05, 8)) - 2) / 0.5 * THRESHOLD


def bracket_z(module: Any) -> float:
    """How far, in standard errors, the worse bound of the sandwich lies on the wrong side; negative if both are right.
    Infinite where one is right, but further off than such chains are."""
    model, exact = linear()
    found = module.sandwich(model, 300, temperatures=5, chains=2, leapfrog_steps=3)
    truth = exact.log_evidence(found.x.numpy())
    below, above = mean(found.forward.log_evidence - truth), mean(truth - found.backward)
    if min(below.value, above.value) < -5.0:
        return math.inf
    return float(max(below.value / below.error, above.value / above.error))


def expanded(prior: Any, n: int) -> Any:
    return type(prior)(prior.loc.expand(n, -1), prior.scale.expand(n, -1))


def planted(old: str, new: str) -> ModuleType:
    """A copy of the module with one line of its source changed."""
    source = Path(str(ais.__file__)).read_text()
    assert source.count(old) == 1 and old != new
    module = ModuleType("planted")
    sys.modules["planted"] = module  # dataclasses look their module up
    exec(compile(source.replace(old, new), "planted", "exec"), module.__dict__)
    module.__dict__["TUNING_MOVES"] = ais.TUNING_MOVES
    return module


# ------------------------------------------------------------------------------------------------------------ the tests


@pytest.mark.parametrize("base", ["prior", "encoder"])
def test_forward_weights_average_to_the_exact_evidence(base: str) -> None:
    assert forward_z(ais, base) < THRESHOLD


def test_backward_weights_follow_the_law_of_the_forward_ones_times_the_exact_evidence() -> None:
    assert backward_z(ais) < THRESHOLD


def test_move_leaves_the_tempered_posterior_invariant() -> None:
    assert invariance_z(ais) < THRESHOLD


def test_energy_is_kept_to_second_order_in_the_step() -> None:
    assert energy_order(ais) < THRESHOLD


def test_sandwich_brackets_the_exact_evidence() -> None:
    assert bracket_z(ais) < -THRESHOLD


WEIGH = "        log_weights += (schedule[t] - schedule[t - 1]) * state.log_ratio\n"
MOVE = """        if t < len(schedule) - 1:
            state, probability = hamiltonian_move(target, state, schedule[t], steps[t - 1], leapfrog_steps, rng)
            acceptance += probability
            tick()
"""


@pytest.mark.parametrize(
    ("check", "old", "new"),
    [
        (forward_z, WEIGH + MOVE, MOVE + WEIGH),
        (backward_z, WEIGH + MOVE, MOVE + WEIGH),
        (energy_order, "b * at.gradient - at.noise  #", "at.noise - b * at.gradient  #"),
        (energy_order, "b * at.gradient - at.noise  #", "at.gradient - at.noise  #"),
        (invariance_z, ", generator=rng, **like) < probability", ", generator=rng, **like) < 2.0"),
        (energy_order, "noise = at.noise + size * momentum", "noise = at.noise - size * momentum"),
        (invariance_z, "-(log_base + b * state.log_ratio)", "-(log_base + state.log_ratio)"),
        (invariance_z, "+ 0.5 * momentum.double()", "+ 0.0 * momentum.double()"),
        (invariance_z, "        momentum = momentum + 0.5 * size * force(at)\n        noise", "        noise"),
        (forward_z, "log_base = -0.5 * ", "log_base = -1.0 * "),
        (bracket_z, "((exact[block] - base.loc) / base.scale).expand(self.chains, -1, -1)", "start + 0.0"),
        (bracket_z, "self.schedule[::-1], steps.flip(0)", "self.schedule, steps"),
        (bracket_z, "return Sandwich(x, forward, -importance", "return Sandwich(x, forward, importance"),
    ],
)  # fmt: skip
def test_checks_see_planted_errors(check: Callable[[Any], float], old: str, new: str) -> None:
    assert check(planted(old, new)) > THRESHOLD


def test_gap_shrinks_with_more_temperatures() -> None:
    model, _ = linear()
    gaps = [sandwich(model, 400, temperatures=t, chains=1, leapfrog_steps=2).gap for t in (4, 16, 64)]
    assert gaps[0].value > 2 * gaps[1].value > 4 * gaps[2].value > 0
    assert all(gap.value > 3 * gap.error for gap in gaps)


@pytest.mark.parametrize("base", ["prior", "encoder"])
def test_bound_of_a_curved_bernoulli_decoder_matches_quadrature(base: str) -> None:
    rng = torch.Generator().manual_seed(8)
    model = VAE(PIXELS, 1, (7,), rng=rng).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=rng)
        model.encoder.log_scale.weight.zero_()
        model.encoder.log_scale.bias.fill_(0.3)
    x = (torch.rand((3, PIXELS), generator=rng) < 0.5).double()
    z = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    with torch.no_grad():
        log_joint = model.log_likelihood(x, z[:, None, None]) + torch.distributions.Normal(0, 1).log_prob(z)[:, None]
    truth = (torch.logsumexp(log_joint, 0) + math.log(24 / 4000)).numpy()
    run = annealed_bound(model, x, temperatures=20, chains=400, leapfrog_steps=4, base=base)
    assert (abs(run.log_evidence - truth) < THRESHOLD * run.log_evidence_error).all()
    assert run.log_evidence_error.max() < 0.03


def test_stated_errors_match_repetition_over_seeds() -> None:
    model, exact = linear()
    x = examples(exact, 3)
    runs = [annealed_bound(model, x, temperatures=10, chains=100, leapfrog_steps=1, seed=seed) for seed in range(40)]
    spread = np.array([run.log_evidence for run in runs]).std(0, ddof=1)
    stated = np.mean([run.log_evidence_error for run in runs], axis=0)
    np.testing.assert_allclose(stated, spread, rtol=0.4)  # 40 runs: 11 % of spread's own error, and three examples
    of_means = np.std([run.lower.value for run in runs], ddof=1)
    assert np.mean([run.monte_carlo_error for run in runs]) == pytest.approx(of_means, rel=0.4)


def test_standard_error_of_the_gap_matches_repetition_over_seeds() -> None:
    model, _ = linear()
    gaps = [sandwich(model, 40, temperatures=5, chains=2, leapfrog_steps=1, seed=seed).gap for seed in range(40)]
    assert np.mean([gap.error for gap in gaps]) == pytest.approx(np.std([gap.value for gap in gaps], ddof=1), rel=0.4)


@pytest.mark.parametrize("temperatures", [3, 60])
def test_steps_are_tuned_towards_the_acceptance(temperatures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples need different steps here: the decoder's noise is common, but the posterior bends with z."""
    monkeypatch.undo()  # the usual number of moves
    rng = torch.Generator().manual_seed(1)
    model = VAE(30, 4, (20,), 0.2, rng=rng).double()
    x = model.sample(6, rng=rng)
    run = annealed_bound(model, x, temperatures=temperatures, chains=50, leapfrog_steps=3)
    assert (abs(run.acceptance - ais.ACCEPTANCE) < (0.2 if temperatures == 3 else 0.08)).all()


def test_steps_do_not_listen_to_the_chains_that_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, exact = linear()
    tuned: list[torch.Tensor] = []
    plain, walked = ais.tuned_steps, ais.anneal

    def watched(*args: Any) -> torch.Tensor:
        tuned.append(plain(*args))
        return tuned[-1]

    used: list[torch.Tensor] = []

    def watched_walk(target: Any, state: Any, schedule: Any, steps: torch.Tensor, *args: Any) -> Any:
        result = walked(target, state, schedule, steps, *args)
        used.append(steps.clone())
        return result

    monkeypatch.setattr(ais, "tuned_steps", watched)
    monkeypatch.setattr(ais, "anneal", watched_walk)
    few = annealed_bound(model, examples(exact), temperatures=4, chains=2, leapfrog_steps=1)
    many = annealed_bound(model, examples(exact), temperatures=4, chains=9, leapfrog_steps=1)
    assert few.log_weights.shape == (2, 2) and many.log_weights.shape == (9, 2)
    assert torch.equal(tuned[0], tuned[1]) and torch.equal(used[0], tuned[0]) and torch.equal(used[1], tuned[1])


def test_diverging_trajectory_is_rejected_and_stays_finite() -> None:
    rng = torch.Generator().manual_seed(0)
    model = VAE(9, 2, (8,), 1e-4, rng=rng)
    x = model.sample(3, rng=rng)
    target = ais.Target(model, x, expanded(model.prior, 3))
    state = target.at(torch.randn((4, 3, 2), generator=rng))
    moved, probability = ais.hamiltonian_move(target, state, 1.0, torch.full((3,), 1e6), 10, rng)
    assert torch.equal(moved.noise, state.noise) and (probability == 0).all()
    run = annealed_bound(model, x, temperatures=10, chains=4, leapfrog_steps=5)
    assert np.isfinite(run.log_weights).all() and np.isfinite(run.acceptance).all()


def test_schedule_rises_from_zero_to_one_and_is_dense_at_both_ends() -> None:
    b = np.array(temperature_schedule(40))
    assert (b[0], b[-1], len(b)) == (0.0, 1.0, 41) and (np.diff(b) > 0).all()
    np.testing.assert_allclose(b, 1 - b[::-1], atol=1e-15)
    assert np.diff(b)[0] < 0.3 * np.diff(b)[20]
    assert temperature_schedule(1) == [0.0, 1.0]


def test_single_temperature_is_importance_sampling_from_the_prior() -> None:
    model, exact = linear()
    x = examples(exact)
    run = annealed_bound(model, x, temperatures=1, chains=7, seed=4)
    z = torch.Generator().manual_seed(4)
    torch.randn((ais.TUNING_CHAINS, len(x), LATENT_DIM), generator=z, dtype=torch.float64)
    noise = torch.randn((7, len(x), LATENT_DIM), generator=z, dtype=torch.float64)
    np.testing.assert_allclose(run.log_weights, exact.log_likelihood(x.numpy(), noise.numpy()), rtol=1e-12)
    assert np.isnan(run.acceptance).all()


def test_blocks_cover_every_example_and_progress_ends_at_100(monkeypatch: pytest.MonkeyPatch) -> None:
    model, exact = linear()
    x = examples(exact, 5)
    monkeypatch.setattr(ais, "ROWS", 400)
    done: list[int] = []
    run = annealed_bound(model, x, temperatures=10, chains=200, leapfrog_steps=2, callback=done.append)
    assert run.log_weights.shape == (200, 5) and run.acceptance.shape == (5,)
    assert (abs(run.log_evidence - exact.log_evidence(x.numpy())) < THRESHOLD * run.log_evidence_error).all()
    assert done == sorted(done) and done[-1] == 100
    found = sandwich(model, 5, temperatures=5, chains=200, leapfrog_steps=1, callback=done.append)
    assert found.backward.shape == found.backward_acceptance.shape == (5,) and done[-1] == 100


def test_seed_decides_the_result_and_the_model_is_left_alone() -> None:
    model, exact = linear()
    x = examples(exact)
    before = [parameter.clone() for parameter in model.parameters()]
    with torch.no_grad():
        runs = [
            annealed_bound(model, x, temperatures=3, chains=2, leapfrog_steps=1, seed=seed).log_weights
            for seed in (0, 0, 1)
        ]
    assert (runs[0] == runs[1]).all() and (runs[0] != runs[2]).all()
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.parameters(), strict=True))


def test_single_chain_has_no_monte_carlo_error() -> None:
    model, exact = linear()
    run = annealed_bound(model, examples(exact), temperatures=3, chains=1, leapfrog_steps=1)
    assert math.isnan(run.monte_carlo_error) and math.isfinite(run.lower.error)
    assert run.as_dict()["lower"]["monte_carlo_error"] is None


def test_json_names_what_it_holds() -> None:
    model, _ = linear()
    found = sandwich(model, 3, temperatures=3, chains=2, leapfrog_steps=1)
    content = found.as_dict()
    assert content["examples"] == 3 and 0 < content["acceptance"] < 1 and 0 < content["backward_acceptance"] < 1
    assert content["lower"]["value"] == found.lower.value
    assert content["gap"] == {"value": found.gap.value, "standard_error": found.gap.error}
    assert content["upper"]["value"] - content["lower"]["value"] == pytest.approx(content["gap"]["value"])


def test_bad_requests_are_refused() -> None:
    model, exact = linear()
    with pytest.raises(ValueError, match="at least one temperature, chain and leapfrog step, but got 5, 0 and 2"):
        annealed_bound(model, examples(exact), temperatures=5, chains=0, leapfrog_steps=2)
    with pytest.raises(ValueError, match="`base` to be prior or encoder, where the chains start, but got 'posterior'"):
        annealed_bound(model, examples(exact), base="posterior")
    with pytest.raises(ValueError, match="at least one example, but got shape"):
        annealed_bound(model, examples(exact)[:0])


@pytest.mark.gpu
def test_bound_on_a_gpu_matches_the_exact_evidence() -> None:
    model, exact = linear()
    x = examples(exact)
    run = annealed_bound(model.cuda(), x, temperatures=20, chains=500)
    assert (abs(run.log_evidence - exact.log_evidence(x.numpy())) < THRESHOLD * run.log_evidence_error).all()
