"""Exact models against scipy, against each other, and against the numbers of a worked example."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.integrate
from scipy import stats

from vaelib import models
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.estimate import Estimate
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian, ScalarBernoulli
from vaelib.quadrature import gauss_hermite_multivariate

TABLE = DiscreteLatent([0.2, 0.5, 0.3], [[0.1, 0.6, 0.2, 0.1], [0.4, 0.3, 0.1, 0.2], [0.25, 0.05, 0.3, 0.4]])
LINEAR = LinearGaussian([[0.7, -0.4], [0.3, 1.1], [-0.9, 0.5]], [0.3, -0.6, 0.8], 0.35)
CURVED = CurvedGaussian([0.8, -0.5, 0.4], [0.6, 0.7, -0.3], [0.2, -0.4, 0.5], 0.3)
BERNOULLI = ScalarBernoulli([1.2, -0.7, 0.5, 1.5], [0.4, -0.6, 0.3, -1.0])
X3 = np.array([0.9, -1.3, 0.4])

TOY = CurvedGaussian([2.0], [0.0], [0.0], 0.5)  # z ~ N(0, 1), x | z ~ N(2 z, 1/2)
TOY_X = np.array([1.0])
TOY_Q = Normal(0.3, 0.4)


def within_five_standard_errors(samples: Any, mean: Any) -> None:
    samples = np.asarray(samples, dtype=float)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    z = (samples.mean(axis=0) - mean) / error
    assert np.all(np.abs(z) < 5), z


# ------------------------------------------------------------------------------------------------------- DiscreteLatent


def test_discrete_densities_match_the_tables() -> None:
    z = np.arange(3)
    for x in range(4):
        joint = TABLE.prior * TABLE.likelihood[:, x]
        np.testing.assert_allclose(np.exp(TABLE.log_joint(x, z)), joint, rtol=1e-15)
        np.testing.assert_allclose(TABLE.joint[:, x], joint, rtol=1e-15)
        assert np.exp(TABLE.log_evidence(x)) == pytest.approx(joint.sum(), rel=1e-15)
        np.testing.assert_allclose(np.exp(TABLE.log_posterior(x, z)), joint / joint.sum(), rtol=1e-14)
        np.testing.assert_allclose(TABLE.posterior(x).probs, joint / joint.sum(), rtol=1e-14)
        np.testing.assert_allclose(TABLE.log_prior(z) + TABLE.log_likelihood(x, z), np.log(joint), rtol=1e-15)
    assert sum(np.exp(TABLE.log_evidence(x)) for x in range(4)) == pytest.approx(1, rel=1e-15)


def test_discrete_integral_is_a_sum() -> None:
    integral = TABLE.integrate(lambda z: TABLE.prior[z] * z)
    assert (integral.value, integral.error) == (pytest.approx(0.5 + 0.6), 0.0)


def test_discrete_impossible_value_has_log_probability_minus_infinity() -> None:
    model = DiscreteLatent([0.5, 0.5], [[1.0, 0.0], [0.3, 0.7]])
    assert model.log_likelihood(1, 0) == -np.inf
    assert model.log_posterior(1, 0) == -np.inf and model.log_posterior(1, 1) == pytest.approx(0)


def test_discrete_samples_match_the_joint_table() -> None:
    n = 40_000
    z, x = TABLE.sample(n, rng=np.random.default_rng(0))
    assert z.shape == x.shape == (n,)
    counts = np.zeros((3, 4))
    np.add.at(counts, (z, x), 1)
    assert stats.chisquare(counts.ravel(), n * TABLE.joint.ravel()).pvalue > 1e-4
    swapped = DiscreteLatent(TABLE.prior, TABLE.likelihood[::-1])
    assert stats.chisquare(counts.ravel(), n * swapped.joint.ravel()).pvalue < 1e-9  # the test can fail


def test_discrete_sample_never_leaves_the_table() -> None:
    """A row may sum to a little less than one; the largest uniform number must still find a value."""

    class Largest(np.random.Generator):
        def random(self, *args: Any, **kwargs: Any) -> Any:
            return np.full(args, 1 - 2.0**-53)

    short = DiscreteLatent([1.0], [[1 / 3 - 3e-9, 1 / 3, 1 / 3]])
    _, x = short.sample(5, rng=Largest(np.random.PCG64(0)))
    assert set(x) == {2}


def test_discrete_sample_draws_no_value_of_probability_0() -> None:
    """The smallest uniform number is 0, which is not above the sum of the values before the first that is possible."""

    class Smallest(np.random.Generator):
        def random(self, *args: Any, **kwargs: Any) -> Any:
            return np.zeros(args)

    _, x = DiscreteLatent([1.0], [[0.0, 0.5, 0.5]]).sample(5, rng=Smallest(np.random.PCG64(0)))
    assert set(x) == {1}


@pytest.mark.parametrize(
    ("prior", "likelihood", "message"),
    [
        ([0.5, 0.6], np.eye(2), r"`prior.sum\(-1\)` to be 1"),
        ([0.5, 0.5], [[0.5, 0.4], [0.5, 0.5]], r"`likelihood.sum\(-1\)` to be 1"),
        ([1.5, -0.5], np.eye(2), "`prior` to be .* but got -0.5"),
        ([0.5, 0.5], np.eye(3), r"one row for each state of z, but got \(2,\) and \(3, 3\). Is the table transposed\?"),
        ([[0.5, 0.5]], np.eye(2), r"shape \(K,\)"),
    ],
)
def test_discrete_bad_tables_are_refused(prior: Any, likelihood: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiscreteLatent(prior, likelihood)


# ------------------------------------------------------------------------------------------------------- LinearGaussian


def test_linear_evidence_matches_scipy() -> None:
    covariance = LINEAR.loading @ LINEAR.loading.T + 0.35 * np.eye(3)
    oracle = stats.multivariate_normal(LINEAR.offset, covariance)
    assert LINEAR.log_evidence(X3) == pytest.approx(oracle.logpdf(X3), rel=1e-13)
    batch = np.stack([X3, -X3, 0 * X3])
    np.testing.assert_allclose(LINEAR.log_evidence(batch), oracle.logpdf(batch), rtol=1e-13)


def test_linear_likelihood_and_prior_match_scipy() -> None:
    z = np.array([[0.3, -0.8], [1.5, 0.2]])
    for row in z:
        mean = LINEAR.loading @ row + LINEAR.offset
        assert LINEAR.log_likelihood(X3, row) == pytest.approx(
            stats.norm.logpdf(X3, mean, np.sqrt(0.35)).sum(), rel=1e-13
        )
        assert LINEAR.log_prior(row) == pytest.approx(stats.norm.logpdf(row).sum(), rel=1e-13)
    np.testing.assert_allclose(LINEAR.log_joint(X3, z), LINEAR.log_prior(z) + LINEAR.log_likelihood(X3, z), rtol=1e-15)


def test_linear_posterior_matches_conditioning_of_the_joint_gaussian() -> None:
    gain = LINEAR.loading.T @ np.linalg.inv(LINEAR.loading @ LINEAR.loading.T + 0.35 * np.eye(3))
    posterior = LINEAR.posterior(X3)
    np.testing.assert_allclose(posterior.loc, gain @ (X3 - LINEAR.offset), rtol=1e-13)
    np.testing.assert_allclose(posterior.covariance, np.eye(2) - gain @ LINEAR.loading, rtol=1e-12, atol=1e-15)
    batch = LINEAR.posterior(np.stack([X3, -X3]))
    np.testing.assert_allclose(batch.loc[0], posterior.loc, rtol=1e-14)
    np.testing.assert_allclose(batch.loc[1], gain @ (-X3 - LINEAR.offset), rtol=1e-13)


def test_linear_posterior_obeys_bayes_at_every_z() -> None:
    z = 2 * np.random.default_rng(0).standard_normal((40, 2))
    candidates = LINEAR.log_joint(X3, z) - LINEAR.log_posterior(X3, z)
    np.testing.assert_allclose(candidates, LINEAR.log_evidence(X3), rtol=1e-13)


@pytest.mark.parametrize(
    "q",
    [
        MultivariateNormal(np.array([0.4, -0.9]), np.array([[0.7, 0.3], [0.3, 0.5]])),
        DiagonalNormal(np.array([0.4, -0.9]), np.array([0.6, 1.4])),
    ],
)
def test_linear_expected_log_likelihood_and_elbo_match_gauss_hermite(q: Any) -> None:
    covariance = q.covariance if isinstance(q, MultivariateNormal) else np.diag(q.scale**2)
    factor = np.linalg.cholesky(covariance)
    expected = gauss_hermite_multivariate(lambda z: LINEAR.log_likelihood(X3, z), q.loc, factor)
    bound = gauss_hermite_multivariate(lambda z: LINEAR.log_joint(X3, z) - q.log_prob(z), q.loc, factor)
    assert LINEAR.expected_log_likelihood(X3, q) == pytest.approx(expected.value, rel=1e-12)
    assert LINEAR.elbo(X3, q) == pytest.approx(bound.value, rel=1e-12)
    gap = kl_divergence(MultivariateNormal(q.loc, covariance), LINEAR.posterior(X3))
    assert LINEAR.elbo(X3, q) == pytest.approx(LINEAR.log_evidence(X3) - gap, rel=1e-12)


def test_linear_elbo_takes_batches() -> None:
    rng = np.random.default_rng(0)
    x, loc, scale = rng.standard_normal((5, 3)), rng.standard_normal((5, 2)), rng.uniform(0.4, 1.6, (5, 2))
    together = LINEAR.elbo(x, DiagonalNormal(loc, scale))
    alone = [LINEAR.elbo(x[i], DiagonalNormal(loc[i], scale[i])) for i in range(5)]
    assert together.shape == (5,)
    np.testing.assert_allclose(together, alone, rtol=1e-13)
    assert np.all(together < LINEAR.log_evidence(x))


def test_linear_elbo_at_the_posterior_is_the_evidence() -> None:
    assert LINEAR.elbo(X3, LINEAR.posterior(X3)) == pytest.approx(LINEAR.log_evidence(X3), rel=1e-13)


def test_linear_samples_have_the_right_moments() -> None:
    z, x = LINEAR.sample(40_000, rng=np.random.default_rng(1))
    assert z.shape == (40_000, 2) and x.shape == (40_000, 3)
    within_five_standard_errors(x, LINEAR.offset)
    within_five_standard_errors(z, 0.0)
    residual = x - LINEAR.offset
    within_five_standard_errors(residual[:, :, None] * residual[:, None, :], LINEAR.evidence.covariance)
    within_five_standard_errors(residual[:, :, None] * z[:, None, :], LINEAR.loading)
    within_five_standard_errors(z[:, :, None] * z[:, None, :], np.eye(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0, 3.0]], [1.0, 2.0, 3.0], 0.5), r"but got \(1, 3\) and \(3,\). Is the loading transposed\?"),
        (([1.0, 2.0], [1.0, 2.0], 0.5), r"`loading` of shape \(d, k\)"),
        (([[1.0], [2.0]], [1.0, 2.0], 0.0), r"`noise_variance` to be finite and > 0 everywhere, but got 0.0"),
        (([[1.0], [np.nan]], [1.0, 2.0], 0.5), r"`loading` to be finite everywhere, but got nan at index \(1, 0\)"),
        (([[1.0], [2.0]], [1.0, np.inf], 0.5), "`offset` to be finite everywhere"),
    ],
)
def test_linear_bad_parameters_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearGaussian(*arguments)


def test_linear_observation_of_the_wrong_size_is_refused_and_not_broadcast() -> None:
    q = DiagonalNormal(np.zeros(2), np.ones(2))
    for x in (1.0, np.ones(1), np.ones(2), np.ones((3, 1))):
        for call in (
            lambda x=x: LINEAR.posterior(x),
            lambda x=x: LINEAR.expected_log_likelihood(x, q),
            lambda x=x: LINEAR.elbo(x, q),
            lambda x=x: LINEAR.log_evidence(x),
        ):
            with pytest.raises(ValueError, match="`x` to have a last axis of size 3"):
                call()


def test_linear_dimensions() -> None:
    assert (LINEAR.latent_dim, LINEAR.data_dim) == (2, 3)


# ------------------------------------------------------------------------------------------------------- CurvedGaussian


def test_toy_numbers() -> None:
    """A worked example, to ten digits."""
    q = TOY_Q

    def under_q(f: Any) -> float:
        return float(TOY.integrate(lambda z: np.exp(q.log_prob(z)) * f(z)).value)

    evidence = float(TOY.log_evidence(TOY_X).value)
    log_likelihood = under_q(lambda z: TOY.log_likelihood(TOY_X, z))
    kl_prior = under_q(lambda z: q.log_prob(z) - TOY.log_prior(z))
    gap = under_q(lambda z: q.log_prob(z) - TOY.log_posterior(TOY_X, z))
    assert evidence == pytest.approx(-1.782088343, abs=5e-10)
    assert log_likelihood == pytest.approx(-1.372364943, abs=5e-10)
    assert kl_prior == pytest.approx(0.541290732, abs=5e-10)
    assert log_likelihood - kl_prior == pytest.approx(-1.913655675, abs=5e-10)
    assert gap == pytest.approx(0.131567332, abs=5e-10)
    z = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(TOY.log_posterior(TOY_X, z), stats.norm.logpdf(z, 4 / 9, 1 / 3), rtol=1e-12, atol=1e-12)


def test_curved_without_curvature_is_linear_gaussian() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        loading, offset, x = rng.standard_normal((3, 4))
        curved = CurvedGaussian(loading, np.zeros(4), offset, 0.7)
        linear = LinearGaussian(loading[:, None], offset, 0.7)
        z = rng.standard_normal(20)
        assert float(curved.log_evidence(x).value) == pytest.approx(linear.log_evidence(x), rel=1e-13)
        np.testing.assert_allclose(curved.log_joint(x, z), linear.log_joint(x, z[:, None]), rtol=1e-13)
        np.testing.assert_allclose(
            curved.log_posterior(x, z), linear.log_posterior(x, z[:, None]), rtol=1e-11, atol=1e-12
        )


def test_curved_likelihood_matches_scipy() -> None:
    z = 0.7
    mean = CURVED.offset + CURVED.loading * z + CURVED.curvature * z**2 / 2
    np.testing.assert_allclose(CURVED.decoder(z), mean, rtol=1e-15)
    assert CURVED.log_likelihood(X3, z) == pytest.approx(stats.norm.logpdf(X3, mean, np.sqrt(0.3)).sum(), rel=1e-13)
    assert CURVED.log_joint(X3, z) == pytest.approx(CURVED.log_likelihood(X3, z) + stats.norm.logpdf(z), rel=1e-14)
    assert CURVED.decoder(np.zeros((2, 5))).shape == (2, 5, 3)
    assert CURVED.data_dim == 3


@pytest.mark.parametrize(("model", "x"), [(CURVED, X3), (BERNOULLI, np.array([1, 0, 0, 1]))])
def test_scalar_latent_evidence_and_posterior_match_scipy_quadrature(model: Any, x: Any) -> None:
    def joint(z: float) -> float:
        return float(np.exp(model.log_joint(x, z)))

    evidence = scipy.integrate.quad(joint, -8, 8, epsabs=0, epsrel=1e-12, limit=200)[0]
    result = model.log_evidence(x)
    assert result.value == pytest.approx(np.log(evidence), rel=1e-11)
    assert result.error < 1e-12
    z = np.array([-1.0, 0.2, 1.4])
    np.testing.assert_allclose(np.exp(model.log_posterior(x, z)), [joint(point) / evidence for point in z], rtol=1e-11)
    assert model.integrate(lambda u: np.exp(model.log_posterior(x, u))).value == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("model", "x"), [(CURVED, X3), (BERNOULLI, np.array([1, 0, 0, 1]))])
def test_evidence_and_normalizer_of_the_posterior_come_from_different_rules(
    model: Any, x: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one rule for both an error in it would cancel in Bayes' rule, and no check would notice."""
    z = np.linspace(-1, 1, 5)
    evidence, posterior = float(model.log_evidence(x).value), model.log_posterior(x, z)
    with monkeypatch.context() as patch:
        patch.setattr(models, "log_trapezoid", lambda *_: Estimate(evidence + 1))
        np.testing.assert_array_equal(model.log_posterior(x, z), posterior)
        assert model.log_evidence(x).value == evidence + 1
    with monkeypatch.context() as patch:
        patch.setattr(models, "log_gauss_legendre", lambda *_: Estimate(evidence + 1))
        assert model.log_evidence(x).value == evidence
        np.testing.assert_allclose(model.log_posterior(x, z), posterior - 1, rtol=1e-12)


def test_curved_evidence_is_a_density_in_x() -> None:
    model = CurvedGaussian([0.8], [0.6], [0.2], 0.3)
    x = np.linspace(-8, 14, 400)
    density = np.exp([float(model.log_evidence(np.array([v])).value) for v in x])
    assert density.sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-7)


def test_observation_beyond_the_range_of_the_prior_gets_an_honest_error() -> None:
    far = CurvedGaussian([1.0], [0.0], [0.0], 0.01)
    assert far.log_evidence(np.array([30.0])).error > 0.1  # its posterior lies at z = 29.7, outside [-14, 14]


def test_curved_samples_have_the_right_moments() -> None:
    z, x = CURVED.sample(40_000, rng=np.random.default_rng(2))
    assert z.shape == (40_000,) and x.shape == (40_000, 3)
    within_five_standard_errors(x, CURVED.offset + CURVED.curvature / 2)  # E z = 0, E z^2 = 1
    within_five_standard_errors((x - CURVED.decoder(z)) ** 2, 0.3)
    within_five_standard_errors(x * z[:, None], CURVED.loading)
    within_five_standard_errors(z**2, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0], [0.0, 0.0], 0.5), r"of one shape \(d,\), but got \(2,\), \(1,\) and \(2,\)"),
        ((1.0, 2.0, 0.0, 0.5), r"of one shape \(d,\)"),
        (([1.0], [1.0], [0.0], -0.5), "`noise_variance` to be finite and > 0 everywhere, but got -0.5"),
        (([1.0], [np.nan], [0.0], 0.5), "`curvature` to be finite everywhere"),
    ],
)
def test_curved_bad_parameters_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CurvedGaussian(*arguments)


def test_curved_observation_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="`x` to have a last axis of size 3"):
        CURVED.log_likelihood(np.ones(2), 0.0)


# ------------------------------------------------------------------------------------------------------ ScalarBernoulli


def test_bernoulli_likelihood_matches_scipy() -> None:
    x, z = np.array([1, 0, 1, 1]), np.array([-0.4, 1.3])
    logits = BERNOULLI.slope * z[:, None] + BERNOULLI.bias
    oracle = stats.bernoulli(1 / (1 + np.exp(-logits))).logpmf(x).sum(axis=1)
    np.testing.assert_allclose(BERNOULLI.log_likelihood(x, z), oracle, rtol=1e-13)
    np.testing.assert_allclose(BERNOULLI.logits(z), logits, rtol=1e-15)


def test_bernoulli_evidence_sums_to_one_over_all_images() -> None:
    total = sum(np.exp(BERNOULLI.log_evidence(np.array(x)).value) for x in product([0, 1], repeat=4))
    assert total == pytest.approx(1, rel=1e-13)


def test_bernoulli_samples_match_the_evidence() -> None:
    n = 20_000
    z, x = BERNOULLI.sample(n, rng=np.random.default_rng(3))
    assert z.shape == (n,) and x.shape == (n, 4) and set(np.unique(x)) == {0.0, 1.0}
    codes = (x @ [8, 4, 2, 1]).astype(int)
    expected = [n * np.exp(BERNOULLI.log_evidence(np.array(image)).value) for image in product([0, 1], repeat=4)]
    assert stats.chisquare(np.bincount(codes, minlength=16), expected).pvalue > 1e-4
    within_five_standard_errors(x * z[:, None], [float(m) for m in _mean_of_x_z()])


def _mean_of_x_z() -> Any:
    def integrand(z: Any) -> Any:
        return np.exp(-(z**2) / 2)[:, None] / np.sqrt(2 * np.pi) * z[:, None] / (1 + np.exp(-BERNOULLI.logits(z)))

    return BERNOULLI.integrate(integrand).value


def test_bernoulli_grey_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        BERNOULLI.log_likelihood(np.array([0.5, 0, 1, 1]), 0.0)


@pytest.mark.parametrize(
    ("slope", "bias", "message"),
    [
        ([1.0, 2.0], [1.0], r"of one shape \(d,\), but got \(2,\) and \(1,\)"),
        (1.0, 1.0, r"of one shape \(d,\)"),
        ([np.inf], [1.0], "`slope` to be finite everywhere"),
    ],
)
def test_bernoulli_bad_parameters_are_refused(slope: Any, bias: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScalarBernoulli(slope, bias)


def test_models_are_compared_by_identity_and_can_be_kept_in_sets() -> None:
    assert len({TABLE, LINEAR, CURVED, BERNOULLI}) == 4
    assert CURVED != CurvedGaussian(CURVED.loading, CURVED.curvature, CURVED.offset, 0.3)


def test_model_without_a_likelihood_says_so() -> None:
    with pytest.raises(NotImplementedError):
        models._ScalarLatent().log_likelihood(1.0, 0.0)
