"""Scores, draws, paths, information in EM, and logarithms, against SciPy, PyTorch, scikit-learn, and brute force."""

from __future__ import annotations

from itertools import chain, product
from typing import Any

import numpy as np
import pytest
import torch
from false_alarm import settled
from scipy import integrate, stats
from scipy.special import softmax
from sklearn.mixture import GaussianMixture as ReferenceMixture

from vaelib.derivation import Derivation
from vaelib.distributions import Normal
from vaelib.ledger import g_information, h_scores, i_affine, j_draws, j_paths, n_logs
from vaelib.ledger.g_information import G3, G5, G8, G10, Factors, Noise, OneWeight, Rounds
from vaelib.ledger.h_gradients import Smooth
from vaelib.ledger.h_scores import H3, H6, H8, H14, H15, H17, GammaDraw, Logits, TwoStages, Wave
from vaelib.ledger.i_affine import I3, LinearEncoder
from vaelib.ledger.j_draws import J6, J7, J9, J17, J19, Averaged, Fewer, Ladder, PriorLogits
from vaelib.ledger.j_importance import Weighted
from vaelib.ledger.j_paths import J11, J12, J15, J16, Heated, Orders, Stations
from vaelib.ledger.n_logs import N2, N3, FarOut, ManyPixels
from vaelib.witnesses import NormalPair

ALL = list(chain(*(m.CHAPTER for m in (g_information, h_scores, i_affine, j_draws, j_paths, n_logs))))
RNG = np.random.default_rng


def values(derivation: Derivation, witness: Any, *, lines: Any = None) -> list[Any]:
    """The value of these lines, or of every line, on one witness."""
    chosen = derivation.lines if lines is None else [derivation.lines[i] for i in lines]
    results = (line.evaluate(witness) for line in chosen)
    return [np.asarray(getattr(result, "value", result)) for result in results]


def at_step(derivation: Derivation, index: int, witness: Any, step: float) -> Any:
    """The value of a line with a step, at another step."""
    result = derivation.lines[index].evaluate(witness, step)
    return np.asarray(getattr(result, "value", result))


def slip_value(derivation: Derivation, name: str, witness: Any) -> Any:
    """The value of the line with the named slip in it."""
    slip = derivation.known_slip(name)
    result = slip.apply(derivation.lines[slip.line]).evaluate(witness)
    return np.asarray(getattr(result, "value", result))


@pytest.mark.parametrize("derivation", ALL, ids=lambda d: d.id)
def test_identity_holds_and_every_slip_is_rejected(derivation: Derivation) -> None:
    report = derivation.check(6, seed=3)
    assert report.holds, str(report)
    assert (
        report.worst.ratio < 0.85 or settled(derivation, 6, seed=3).worst.ratio < 0.85
    )  # 2/3 is what a limit of first order comes to
    assert [result.slip.name for result in report.slips if not result.rejected] == []


# ----------------------------------------------------------------------------------------------------- scores and draws


def test_information_of_a_gaussian_matches_torch() -> None:
    w = NormalPair(Normal(0.7, 0.6), Normal(0.0, 1.0))
    parameters = torch.tensor([0.7, 0.6], dtype=torch.float64)
    z = torch.linspace(-5.3, 6.7, 4001, dtype=torch.float64)

    def log_density(p: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Normal(p[0], p[1]).log_prob(z)

    slopes = torch.autograd.functional.jacobian(log_density, parameters).numpy()
    density = stats.norm(0.7, 0.6).pdf(z.numpy())
    spread = integrate.trapezoid(density[:, None, None] * slopes[:, :, None] * slopes[:, None, :], z.numpy(), axis=0)
    for line in values(H3, w):
        np.testing.assert_allclose(line, spread[[0, 0, 1], [0, 1, 1]], rtol=1e-7, atol=1e-8)


def test_covariance_of_steins_lemma_matches_scipy() -> None:
    w = Smooth(Normal(0.8, 0.7), 0.6, 0.9, -0.5, 0.4, 1.0)
    law = stats.norm(0.8, 0.7)
    covariance = law.expect(lambda z: (z - 0.8) * w.f(z))
    np.testing.assert_allclose(values(H6, w), covariance, rtol=1e-8)
    assert slip_value(H6, "no variance", w) == pytest.approx(covariance / 0.49, rel=1e-8)


def test_variances_of_both_estimators_of_a_wave_match_scipy() -> None:
    w = Wave(Normal(0.5, 1.2), 2.5)
    law = stats.norm(0.5, 1.2)

    def variance(f: Any) -> float:
        return law.expect(lambda z: f(z) ** 2) - law.expect(f) ** 2

    path, score = variance(w.slope), variance(lambda z: w.f(z) * (z - 0.5) / 1.44)
    np.testing.assert_allclose(values(H8, w), [path, path, score, score], rtol=1e-6)
    assert path > 4 * score


def test_gumbel_maximum_matches_softmax_of_scipy_and_brute_force() -> None:
    w = Logits(np.array([0.3, -1.2, 0.9, 0.1, -0.4]))
    for line in values(H14, w, lines=range(1, len(H14.lines))):
        np.testing.assert_allclose(line, softmax(w.logits), rtol=1e-9)
    counted = np.bincount(np.argmax(w.logits + stats.gumbel_r.rvs(size=(200_000, 5), random_state=1), axis=1))
    np.testing.assert_allclose(counted / 200_000, softmax(w.logits), atol=0.005)


def test_implicit_gradient_of_a_gamma_draw_matches_torch() -> None:
    a, b, c = 4.7, 0.6, 0.5
    shape = torch.full((400_000,), a, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    z = torch.distributions.Gamma(shape, torch.tensor(1.0, dtype=torch.float64)).rsample()
    (b * z**2 + torch.exp(-c * z)).sum().backward()
    slopes = shape.grad.numpy()  # f'(z) dz/da, by PyTorch's implicit reparameterization
    for line in values(H15, GammaDraw(a, b, c)):
        assert abs(slopes.mean() - line) < 5 * slopes.std() / np.sqrt(len(slopes))
    np.testing.assert_allclose(values(H15, GammaDraw(a, b, c)), values(H15, GammaDraw(a, b, c))[-1], rtol=1e-8)


def test_total_variance_matches_a_list_of_all_outcomes() -> None:
    w = TwoStages.draw(RNG(4))
    mean = (w.joint * w.values).sum()
    total = (w.joint * (w.values - mean) ** 2).sum()
    marginal = w.joint.sum(axis=1)
    given = (w.joint * w.values).sum(axis=1) / marginal
    np.testing.assert_allclose(values(H17, w)[:4], total, rtol=1e-12)
    assert values(H17, w)[4] == pytest.approx(marginal @ (given - mean) ** 2, rel=1e-12)


# ------------------------------------------------------------------------------------------------- weighted draws


def weights(w: Weighted) -> np.ndarray:
    joint = w.model.prior * w.model.likelihood[:, w.x]
    return joint / w.q.probs


def over_tuples(w: Weighted, draws: int) -> Any:
    """(probability, states) of every outcome of so many draws from q."""
    for outcome in product(range(w.q.probs.size), repeat=draws):
        z = np.array(outcome)
        yield np.prod(w.q.probs[z]), z


def bound(w: Weighted, draws: int) -> float:
    return sum(p * np.log(weights(w)[z].mean()) for p, z in over_tuples(w, draws))


def chosen(w: Weighted, draws: int) -> np.ndarray:
    law = np.zeros(w.q.probs.size)
    for p, z in over_tuples(w, draws):
        np.add.at(law, z, p * weights(w)[z] / weights(w)[z].sum())
    return law


def test_law_of_the_chosen_draw_matches_a_list_of_all_draws() -> None:
    w = Weighted.draw(RNG(1))
    joint = w.model.prior * w.model.likelihood[:, w.x]
    found = values(J6, w)
    assert found[0] == pytest.approx(stats.entropy(chosen(w, 3), joint / joint.sum()), rel=1e-10)
    np.testing.assert_allclose(found[1:3], np.log(joint.sum()) - bound(w, 3), rtol=1e-10)
    assert found[3] == pytest.approx(stats.entropy(w.q.probs, joint / joint.sum()), rel=1e-12)


def test_bias_of_self_normalized_weights_matches_a_list_of_all_draws() -> None:
    w = Averaged.draw(RNG(2))
    joint = w.model.prior * w.model.likelihood[:, w.x]
    exact = joint @ w.f / joint.sum()
    for draws in (2, 5):
        mean = sum(p * (weights(w)[z] @ w.f[z]) / weights(w)[z].sum() for p, z in over_tuples(w, draws))
        assert w.bias(draws) == pytest.approx(draws * (mean - exact), rel=1e-9)
        assert at_step(J7, 0, w, 1 / draws) == pytest.approx(draws * (mean - exact), rel=1e-9)
        assert at_step(J7, 1, w, 1 / draws) == pytest.approx(draws * (mean - exact), rel=1e-9)
    assert w.bias(2000) == pytest.approx(float(values(J7, w, lines=[4])[0]), rel=0.01)


def test_gradient_of_the_model_matches_torch() -> None:
    w = PriorLogits.draw(RNG(5))
    a = torch.tensor(w.a, dtype=torch.float64, requires_grad=True)
    likelihood, log_q = torch.tensor(w.model.likelihood[:, w.x]), torch.tensor(np.log(w.q.probs))
    log_weights = torch.log_softmax(a, 0) + likelihood.log() - log_q
    total = sum(p * (torch.logsumexp(log_weights[z], 0) - np.log(3)) for p, z in over_tuples(w, 3))
    total.backward()
    for index, line in enumerate(values(J9, w, lines=range(5))):
        np.testing.assert_allclose(line, a.grad.numpy(), rtol=1e-7, atol=1e-9, err_msg=str(index))


def test_jackknife_matches_a_list_of_all_draws() -> None:
    w = Fewer.draw(RNG(6))
    for draws in (3, 5):
        expected = draws * bound(w, draws) - (draws - 1) * bound(w, draws - 1)
        assert at_step(J17, 2, w, 1 / draws) == pytest.approx(expected, rel=1e-9)
        assert at_step(J17, 3, w, 1 / draws) == pytest.approx(expected, rel=1e-9)
    left = [abs(w.model.log_evidence(w.x) - w.jackknife(k)) for k in (32, 64)]
    assert left[0] / left[1] == pytest.approx(4, rel=0.2)


def test_ladder_of_bounds_and_roulette_match_a_list_of_all_draws() -> None:
    w = Ladder.draw(RNG(7))
    np.testing.assert_allclose(w.bounds(6), [bound(w, k) for k in range(1, 7)], rtol=1e-10)
    for index in (1, 2, 3):
        assert at_step(J19, index, w, 1 / 5) == pytest.approx(bound(w, 6), rel=1e-10)
    rng, ladder = RNG(0), w.bounds(4001)  # one run after the other: T by chance, each term over its own chance
    stop = np.minimum(np.floor(1 / rng.random(40_000)).astype(int), 4000)  # P(T >= k) = 1/k
    terms = np.cumsum(np.diff(ladder) * np.arange(1, 4001))
    runs = ladder[0] + terms[stop - 1]
    assert abs(runs.mean() - w.model.log_evidence(w.x)) < 5 * runs.std() / 200 + 1e-3


# ------------------------------------------------------------------------------------------------------ along a path


def test_bounds_of_other_orders_match_brute_force() -> None:
    w = Orders.draw(RNG(8))
    mean = [np.log(w.q.probs @ weights(w) ** (1 - order)) / (1 - order) for order in (0.0, w.alpha, w.beta)]
    np.testing.assert_allclose(values(J11, w, lines=range(3)), mean, rtol=1e-12)
    assert at_step(J11, 4, w, 1e-6) == pytest.approx(w.q.probs @ np.log(weights(w)), rel=1e-5)
    assert mean[0] > mean[1] > mean[2] > w.q.probs @ np.log(weights(w))


def test_upper_bound_of_squared_weights_matches_brute_force() -> None:
    w = Weighted.draw(RNG(9))
    found = values(J12, w)
    assert found[0] == pytest.approx(
        sum(p * np.log((weights(w)[z] ** 2).mean()) / 2 for p, z in over_tuples(w, 3)), rel=1e-10
    )
    np.testing.assert_allclose(found[1:4], np.log(w.q.probs @ weights(w) ** 2) / 2, rtol=1e-12)
    assert found[4] == pytest.approx(w.model.log_evidence(w.x), rel=1e-12)


def test_integral_along_the_path_matches_scipy() -> None:
    w = Heated.draw(RNG(10))
    log_likelihood = np.log(w.model.likelihood[:, w.x])

    def mean(t: float) -> float:
        return float(softmax(np.log(w.model.prior) + t * log_likelihood) @ log_likelihood)

    area, _ = integrate.quad(mean, 0, 1, epsabs=1e-12)
    np.testing.assert_allclose(values(J15, w)[:5], area, rtol=1e-9)
    assert values(J15, w)[5] == pytest.approx(mean(1.0), rel=1e-12)
    assert slip_value(J15, "prior all the way", w) == pytest.approx(mean(0.0), rel=1e-12)


def test_sums_on_either_side_match_brute_force() -> None:
    w = Stations.draw(RNG(11))
    laws = softmax(np.log(w.q.probs) + w.b[:, None] * np.log(weights(w)), axis=1)
    means = laws @ np.log(weights(w))
    left, right = np.diff(w.b) @ means[:-1], np.diff(w.b) @ means[1:]
    np.testing.assert_allclose(
        values(J16, w), [means[0], left, left, w.model.log_evidence(w.x), right, right], rtol=1e-10
    )


# ----------------------------------------------------------------------------------------------------- encoders and EM


def test_gap_of_a_linear_encoder_matches_torch_on_samples() -> None:
    w = LinearEncoder.draw(RNG(12))
    exact = w.at_best()
    x = w.model.evidence.transform(RNG(0).standard_normal((40_000, 3)))

    def law(encoder: LinearEncoder) -> Any:
        loc = torch.tensor(x @ encoder.weight.T + encoder.bias)
        return torch.distributions.MultivariateNormal(loc, torch.tensor(encoder.covariance))

    gaps = torch.distributions.kl_divergence(law(w), law(exact)).numpy()
    for line in values(I3, w)[:3]:
        assert abs(gaps.mean() - line) < 5 * gaps.std() / 200
    assert values(I3, exact)[2] == pytest.approx(0, abs=1e-12)


def test_observed_information_matches_torch() -> None:
    w = Noise.draw(RNG(13))
    nodes = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    centers, x = torch.tensor(w.model.decoder(nodes.numpy())), torch.tensor(w.x)

    def log_evidence(tau: torch.Tensor) -> torch.Tensor:
        density = torch.distributions.Normal(centers, torch.exp(tau / 2)).log_prob(x).sum(-1)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(nodes)
        return torch.logsumexp(density + prior, 0)

    tau = torch.tensor(np.log(w.model.noise_variance), dtype=torch.float64)
    information = -float(torch.autograd.functional.hessian(log_evidence, tau))
    np.testing.assert_allclose(values(G5, w), information, rtol=1e-6, atol=1e-7)


def test_speed_of_em_matches_a_long_run() -> None:
    w = OneWeight.draw(RNG(14))
    weight, errors = w.best + 1e-3, []
    for _ in range(6):
        weight = float(w.round(weight))
        errors.append(weight - w.best)
    rate = errors[-1] / errors[-2]
    np.testing.assert_allclose(values(G10, w, lines=[1, 2]), rate, rtol=5e-3)
    assert w.round(w.best) == pytest.approx(w.best, abs=1e-10)  # a fixed point


def test_rounds_of_em_match_scikit_learn() -> None:
    """Its spherical mixture, one round at a time, from the same start."""
    w = Rounds.draw(RNG(15))
    start = w.start.model
    reference = ReferenceMixture(
        3,
        covariance_type="spherical",
        weights_init=start.weights,
        means_init=start.loc,
        precisions_init=1 / start.scale**2,
        reg_covar=0.0,
        max_iter=1,
        warm_start=True,
        tol=0.0,
    )
    scores = []
    with pytest.warns(UserWarning):  # that it has not converged
        for _ in range(5):
            reference.fit(w.start.x)
            scores.append(reference.score(w.start.x))
    np.testing.assert_allclose(values(G3, w)[3], scores, rtol=1e-9)
    np.testing.assert_allclose(values(G3, w)[0][1:], scores[:-1], rtol=1e-9)


def test_m_step_of_factor_analysis_matches_a_search() -> None:
    w = Factors.draw(RNG(16))
    means, covariance = w.moments
    second = covariance + means.T @ means / len(w.x)

    def expected(loading: np.ndarray, psi: np.ndarray) -> float:
        error = ((w.x - means @ loading.T) ** 2).mean(axis=0) + np.diag(loading @ covariance @ loading.T)
        return float(-0.5 * np.sum(np.log(psi) + error / psi))

    found = values(G8, w)
    assert found[0] == pytest.approx(expected(w.loading, w.psi), rel=1e-12)
    assert found[1] == pytest.approx(expected(w.loading, w.psi), rel=1e-12)
    best = w.x.T @ means / len(w.x) @ np.linalg.inv(second)
    assert found[2] == pytest.approx(expected(best, w.psi), rel=1e-12)
    noise = ((w.x - means @ best.T) ** 2).mean(axis=0) + np.diag(best @ covariance @ best.T)
    np.testing.assert_allclose(found[4:], expected(best, noise), rtol=1e-12)
    rng = RNG(0)
    for _ in range(200):
        other = expected(best + 0.05 * rng.standard_normal(best.shape), noise * np.exp(0.1 * rng.standard_normal(4)))
        assert other < found[4]


# -------------------------------------------------------------------------------------------------------- logarithms


def test_tail_of_a_gaussian_matches_scipy_and_mpmath() -> None:
    mpmath = pytest.importorskip("mpmath")
    w = FarOut(np.array([7.3, 14.0, 61.0]))
    with mpmath.workdps(40):
        exact = [float(mpmath.log(mpmath.erfc(t / mpmath.sqrt(2)) / 2)) for t in w.t]
    for line in values(N2, w)[:4]:
        np.testing.assert_allclose(line, exact, rtol=1e-12)
    np.testing.assert_allclose(values(N2, w)[:4], [stats.norm.logsf(w.t)] * 4, rtol=1e-12)


@pytest.mark.parametrize("kind", ["narrow", "wide"])
def test_log_determinant_of_many_pixels_matches_numpy(kind: str) -> None:
    w = ManyPixels.draw(RNG(17), kind=kind)
    sign, log_det = np.linalg.slogdet(w.covariance)
    with np.errstate(over="ignore"):
        assert sign == 1 and np.linalg.det(w.covariance) in (0.0, np.inf)
    np.testing.assert_allclose(values(N3, w), log_det, rtol=1e-10)
