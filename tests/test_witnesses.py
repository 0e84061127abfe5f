"""Witnesses are generic: over 500 draws nothing comes near the special values at which a wrong formula is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vaelib.derivation import draw_witnesses
from vaelib.distributions import Categorical, kl_divergence
from vaelib.elbo import bound_terms
from vaelib.witnesses import (
    BernoulliWitness,
    CurvedFamily,
    CurvedWitness,
    DiagonalPair,
    DiscreteWitness,
    LinearPoints,
    LinearWitness,
    MultivariatePair,
    NormalPair,
    away_from_zero,
    generic_correlation,
    generic_covariance,
    generic_loading,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
)

DRAWS = 500
SLACK = 1 - 1e-12  # rounding at the edge of a range


def draws(kind: Any, number: int = DRAWS, **options: Any) -> list[Any]:
    return [kind.draw(np.random.default_rng([11, i]), **options) for i in range(number)]


def scales(distribution: Any) -> Any:
    return np.sqrt(distribution.variance)


def correlations(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(covariance))
    return np.abs(covariance / np.outer(scale, scale))[np.tril_indices(len(covariance), -1)]


def assert_generic_pair(q: Any, p: Any) -> None:
    assert np.all(np.abs(q.loc) >= 0.3 * SLACK) and np.all(np.abs(p.loc) >= 0.3 * SLACK)
    assert np.all(np.abs(q.loc - p.loc) >= 0.3 * SLACK * scales(p))
    assert np.all(np.abs(np.log(scales(q))) >= 0.2 * SLACK) and np.all(np.abs(np.log(scales(p))) >= 0.2 * SLACK)
    assert np.all(np.abs(np.log(scales(q) / scales(p))) >= 0.2 * SLACK)


@pytest.mark.parametrize("kind", [NormalPair, DiagonalPair, MultivariatePair])
def test_pairs_differ_in_mean_and_scale_and_from_the_standard_normal(kind: Any) -> None:
    for w in draws(kind):
        assert_generic_pair(w.q, w.p)


def test_pairs_come_on_every_side() -> None:
    """Both signs of every mean, and scales on either side of one and of each other."""
    for values in zip(
        *[
            (w.q.loc, w.p.loc, np.log(w.q.scale), np.log(w.p.scale), np.log(w.q.scale / w.p.scale), w.q.loc - w.p.loc)
            for w in draws(NormalPair)
        ],
        strict=True,
    ):
        assert 0.2 < np.mean(np.array(values) > 0) < 0.8


def test_dimensions_are_distinct_and_above_one() -> None:
    dims = {
        "diagonal pair": DiagonalPair.draw(np.random.default_rng(0)).q.loc.size,
        "multivariate pair": MultivariatePair.draw(np.random.default_rng(0)).q.loc.size,
    }
    linear = LinearWitness.draw(np.random.default_rng(0)).model
    table = DiscreteWitness.draw(np.random.default_rng(0)).model
    assert dims == {"diagonal pair": 4, "multivariate pair": 3}
    assert (linear.latent_dim, linear.data_dim) == (2, 3)
    assert table.likelihood.shape == (4, 3)
    assert CurvedWitness.draw(np.random.default_rng(0)).x.shape == (3,)
    assert BernoulliWitness.draw(np.random.default_rng(0)).x.shape == (6,)


def test_dimensions_may_be_chosen() -> None:
    rng = np.random.default_rng(0)
    assert DiagonalPair.draw(rng, k=2).q.loc.shape == (2,)
    assert MultivariatePair.draw(rng, k=5).p.covariance.shape == (5, 5)
    assert LinearWitness.draw(rng, k=3, d=5).model.loading.shape == (5, 3)
    assert LinearPoints.draw(rng, k=3, d=5).z.shape == (50, 3)
    assert DiscreteWitness.draw(rng, num_states=5, num_values=2).model.likelihood.shape == (5, 2)
    assert CurvedWitness.draw(rng, d=2).x.shape == (2,)
    assert BernoulliWitness.draw(rng, d=4).x.shape == (4,)


def test_covariances_are_not_diagonal() -> None:
    for w in draws(MultivariatePair):
        for covariance in (w.q.covariance, w.p.covariance):
            assert np.all((correlations(covariance) >= 0.2) & (correlations(covariance) <= 0.65))
            assert np.linalg.eigvalsh(covariance).min() > 1e-2
        assert not np.allclose(correlations(w.q.covariance), correlations(w.p.covariance), rtol=1e-3)


def test_linear_models_are_generic() -> None:
    for w in draws(LinearWitness):
        loading = w.model.loading
        cosine = abs(loading[:, 0] @ loading[:, 1]) / np.prod(np.linalg.norm(loading, axis=0))
        assert 0.2 <= cosine <= 0.9
        assert np.all(np.abs(loading) >= 0.3) and np.all(np.abs(w.model.offset) >= 0.3)
        assert np.all(np.abs(w.q.loc) >= 0.3)
        assert np.all(np.abs(np.log(scales(w.q))) >= 0.2 * SLACK)  # the prior's scale is one
        assert np.all(correlations(w.q.covariance) >= 0.2)
        assert_not_special(w.model.noise_variance)
        assert kl_divergence(w.q, w.model.posterior(w.x)) > 0.1


def assert_not_special(noise_variance: float) -> None:
    for special in (0.5, 1.0, 2.0):
        assert abs(noise_variance - special) >= 0.099


def test_curved_models_are_generic() -> None:
    for w in draws(CurvedWitness):
        for part in (w.model.loading, w.model.curvature, w.model.offset, w.q.loc):
            assert np.all(np.abs(part) >= 0.3)
        assert abs(np.log(w.q.scale)) >= 0.2 * SLACK
        assert_not_special(w.model.noise_variance)


@pytest.mark.parametrize(("kind", "least"), [(CurvedWitness, 3e-3), (DiscreteWitness, 3e-3), (BernoulliWitness, 1e-3)])
def test_q_is_never_the_posterior(kind: Any, least: float) -> None:
    """The gap is what most slips hide behind: it is far beyond any allowance on every draw."""
    gaps = [float(bound_terms(w.model, w.x, w.q).gap.value) for w in draws(kind)]
    assert min(gaps) > least
    assert np.median(gaps) > 0.3


def test_family_shares_the_model_and_has_as_many_different_q_as_same_argmin_needs() -> None:
    for w in draws(CurvedFamily, 50):
        members = w.members()
        assert len(members) >= 5
        assert all(member.model is w.model and member.x is w.x for member in members)
        assert (
            len({float(member.q.loc) for member in members})
            == len({float(member.q.scale) for member in members})
            == len(members)
        )


def test_tables_are_generic() -> None:
    for w in draws(DiscreteWitness):
        for table in (w.model.prior, w.model.likelihood, w.q.probs):
            assert np.all(table >= 0.01)
            assert np.diff(np.sort(np.log(table), axis=-1), axis=-1).min() > 0.2
            np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-14)
        assert isinstance(w.x, int) and 0 <= w.x < 3
    assert {w.x for w in draws(DiscreteWitness, 50)} == {0, 1, 2}


def test_order_of_generic_probabilities_is_random() -> None:
    rng = np.random.default_rng(0)
    largest = np.bincount(generic_probabilities(rng, (2000, 4)).argmax(axis=1), minlength=4)
    assert np.all(np.abs(largest - 500) < 100)


def test_bernoulli_models_are_generic() -> None:
    for w in draws(BernoulliWitness):
        assert np.all(np.abs(w.model.slope) >= 0.4) and np.all(np.abs(w.model.bias) >= 0.3)
        assert np.all(np.abs(w.q.loc) >= 0.3) and abs(np.log(w.q.scale)) >= 0.2 * SLACK
        assert w.x.dtype.kind == "i" and set(np.unique(w.x)) <= {0, 1}


def test_points_are_those_of_a_linear_witness() -> None:
    w = LinearPoints.draw(np.random.default_rng(0))
    assert w.z.shape == (50, 2) and w.x.shape == (3,)
    assert np.abs(w.z).max() > 3


def test_away_from_zero() -> None:
    numbers = away_from_zero(np.random.default_rng(0), 0.3, 1.5, (10_000,))
    assert np.abs(numbers).min() >= 0.3 and np.abs(numbers).max() <= 1.5
    assert 0.47 < np.mean(numbers > 0) < 0.53
    assert away_from_zero(np.random.default_rng(0), 0.3, 1.5).shape == ()


def test_generic_scale_and_noise() -> None:
    log_scale = np.log(generic_scale(np.random.default_rng(0), (5000,)))
    assert np.all((np.abs(log_scale) >= 0.2 * SLACK) & (np.abs(log_scale) <= 0.9 / SLACK))
    rng = np.random.default_rng(0)
    variances = np.array([generic_noise_variance(rng) for _ in range(2000)])
    assert np.abs(variances[:, None] - [0.5, 1.0, 2.0]).min() >= 0.099
    assert [np.sum((variances > a) & (variances < b)) > 500 for a, b in ((0.2, 0.4), (0.6, 0.9), (1.2, 1.7))] == [
        True
    ] * 3


def test_generic_matrices() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 3, 5):
        for _ in range(100):
            correlation = generic_correlation(rng, k)
            np.testing.assert_allclose(np.diag(correlation), 1, rtol=1e-14)
            assert np.linalg.eigvalsh(correlation).min() >= 0.36 * SLACK
            assert np.all((correlations(correlation) >= 0.2) & (correlations(correlation) <= 0.64 / SLACK))
            covariance = generic_covariance(rng, k)
            assert np.all(np.abs(np.log(np.diag(covariance)) / 2) >= 0.2 * SLACK)
            np.testing.assert_array_equal(covariance, covariance.T)
            loading = generic_loading(rng, k + 1, k)
            assert loading.shape == (k + 1, k) and np.abs(loading).min() >= 0.3


def test_draws_are_reproducible_and_differ() -> None:
    for kind in (NormalPair, MultivariatePair, LinearWitness, CurvedWitness):
        same = [np.asarray(kind.draw(np.random.default_rng(5)).q.loc) for _ in range(2)]
        np.testing.assert_array_equal(*same)
        assert not np.array_equal(same[0], np.asarray(kind.draw(np.random.default_rng(6)).q.loc))


# ---------------------------------------------------------------------------------------------------- special witnesses

FAMILIES = [NormalPair, DiagonalPair, MultivariatePair, DiscreteWitness, LinearWitness, CurvedWitness, BernoulliWitness]


def special(family: Any, kind: str, number: int = 60) -> list[Any]:
    return [family.draw(np.random.default_rng([12, i]), kind=kind) for i in range(number)]


def to_reference(w: Any) -> float:
    """KL from q to what `far` is far from: p of a pair, the prior of a model."""
    if hasattr(w, "p"):
        return float(np.max(kl_divergence(w.q, w.p)))
    prior = w.model.prior
    return float(kl_divergence(w.q, Categorical(np.log(prior)) if isinstance(prior, np.ndarray) else prior))


@pytest.mark.parametrize("family", FAMILIES)
def test_narrow_and_wide_are_on_either_side_of_a_middling_entropy(family: Any) -> None:
    low, high = (
        np.array([float(np.mean(w.q.entropy())) for w in special(family, kind)]) for kind in ("narrow", "wide")
    )
    if family is DiscreteWitness:
        assert high.min() > 1.3 and low.max() < 0.5  # log 4 is 1.386
    else:
        assert low.max() < 0 < 1 < high.min()


@pytest.mark.parametrize("family", FAMILIES)
def test_far_lies_far_away(family: Any) -> None:
    assert min(to_reference(w) for w in special(family, "far")) > 2


@pytest.mark.parametrize("family", FAMILIES)
def test_near_is_nearly_but_not_quite_what_it_is_compared_with(family: Any) -> None:
    for w in special(family, "near"):
        if hasattr(w, "p"):
            gap = np.max(kl_divergence(w.q, w.p))
        elif isinstance(w, LinearWitness):
            gap = kl_divergence(w.q, w.model.posterior(w.x))
        else:
            gap = bound_terms(w.model, w.x, w.q).gap.value
        assert 1e-5 < gap < 0.02


def test_near_has_densities_above_one_and_a_posterior_far_from_the_prior() -> None:
    assert min(float(w.model.log_evidence(w.x)) for w in special(LinearWitness, "near")) > 0
    for w in special(CurvedWitness, "near"):
        assert float(w.model.log_evidence(w.x)) > 0 and to_reference(w) > 1


@pytest.mark.parametrize("seed", range(3))
def test_near_has_the_posterior_width_that_was_drawn(seed: int) -> None:
    """At the z that was drawn, the decoder is nearly a line: p(z | x) has precision 1 + |slope|^2 / c there."""
    rng = np.random.default_rng(seed)
    for least, most in ((0.3, 1.2), (0.3, 0.9), (0.3, 1.0)):  # loading, curvature, offset, before they are made small
        away_from_zero(rng, least, most, (3,))
    generic_noise_variance(rng)
    z, width = away_from_zero(rng, 1.5, 2.5), rng.uniform(0.12, 0.2)
    model = CurvedWitness.draw(np.random.default_rng(seed), kind="near").model
    slope = model.loading + model.curvature * z
    assert 1 + slope @ slope / model.noise_variance == pytest.approx(width**-2, rel=1e-12)


def test_check_mixes_kinds_by_seed_and_keeps_the_generic_first() -> None:
    kinds: list[str] = []

    def draw(rng: np.random.Generator, *, kind: str = "generic") -> float:
        kinds.append(kind)
        return float(rng.random())

    drawn = draw_witnesses(draw, 10, 3)
    mixed = ["generic", "narrow", "generic", "wide", "generic", "near", "generic", "far", "generic", "narrow"]
    assert kinds == mixed
    assert draw_witnesses(draw, 4, 3) == drawn[:4]
    assert draw_witnesses(lambda rng: float(rng.random()), 4, 3) == drawn[:4]  # no argument `kind`: all alike
    for family in FAMILIES:
        first = draw_witnesses(family.draw, 1, 3)[0]
        np.testing.assert_array_equal(
            np.asarray(first.q.entropy()), np.asarray(family.draw(np.random.default_rng([3, 0])).q.entropy())
        )
