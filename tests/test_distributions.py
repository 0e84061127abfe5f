"""Every distribution through one table of examples, against scipy.stats, torch.distributions and 60 digits."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import oracles
import pytest
import scipy.special
import scipy.stats
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st

import vaelib
import vaelib.distributions as families
from vaelib import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscretizedLogistic,
    Exponential,
    Gamma,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib.distributions import Distribution

INF = math.inf


@dataclasses.dataclass(frozen=True)
class Example:
    """One family with parameters of distinct, broadcasting shapes, points to evaluate, and its two oracles."""

    family: type[Distribution]
    parameters: dict[str, np.ndarray]
    x: np.ndarray
    batch_shape: tuple[int, ...]
    event_shape: tuple[int, ...]
    scipy_log_prob: Callable[..., Any]  # (x, **parameters)
    torch_family: Callable[..., td.Distribution]  # (**parameters)
    noise_shape: tuple[int, ...] | None = None  # where it is not batch_shape + event_shape

    def numpy(self) -> Distribution:
        return self.family(**self.parameters)

    def tensors(self, dtype: torch.dtype = torch.float64, requires_grad: bool = False) -> dict[str, torch.Tensor]:
        make = {k: torch.tensor(v, dtype=dtype, requires_grad=requires_grad) for k, v in self.parameters.items()}
        return make

    def torch(self, dtype: torch.dtype = torch.float64) -> Distribution:
        return self.family(**self.tensors(dtype))


def full_covariance(size: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(size, size))
    return factor @ factor.T / size + 0.3 * np.eye(size)


def scipy_multivariate(x: np.ndarray, loc: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return np.stack([scipy.stats.multivariate_normal(m, covariance).logpdf(x[:, i]) for i, m in enumerate(loc)], -1)


COLUMN = np.array([[-1.3], [0.4]])
ROW = np.array([0.3, 2.2, 0.7])
RNG = np.random.default_rng(7)
EXAMPLES = [
    Example(
        Normal,
        {"loc": COLUMN, "scale": ROW},
        RNG.normal(size=(5, 2, 3)),
        (2, 3),
        (),
        lambda x, loc, scale: scipy.stats.norm.logpdf(x, loc, scale),
        td.Normal,
    ),
    Example(
        DiagonalNormal,
        {"loc": COLUMN, "scale": ROW},
        RNG.normal(size=(5, 2, 3)),
        (2,),
        (3,),
        lambda x, loc, scale: scipy.stats.norm.logpdf(x, loc, scale).sum(-1),
        lambda loc, scale: td.Independent(td.Normal(loc, scale), 1),
    ),
    Example(
        MultivariateNormal,
        {"loc": RNG.normal(size=(2, 4)), "covariance": full_covariance(4, seed=1)},
        RNG.normal(size=(5, 2, 4)),
        (2,),
        (4,),
        scipy_multivariate,
        lambda loc, covariance: td.MultivariateNormal(loc, covariance_matrix=covariance),
    ),
    Example(
        Bernoulli,
        {"logits": np.array([[-2.3, 0.4, 1.7], [0.2, -0.6, 5.0]])},
        RNG.integers(2, size=(5, 2, 3)).astype(float),
        (2, 3),
        (),
        lambda x, logits: scipy.stats.bernoulli.logpmf(x, scipy.special.expit(logits)),
        lambda logits: td.Bernoulli(logits=logits),
    ),
    Example(
        Categorical,
        {"logits": np.array([[-2.3, 0.4, 1.7, 0.1], [0.2, -INF, 5.0, -0.3]])},
        np.array([[0, 2], [1, 3], [3, 0], [2, 2], [1, 2]]),
        (2,),
        (),
        lambda x, logits: np.take_along_axis(scipy.special.log_softmax(logits, -1), x.T, -1).T,
        lambda logits: td.Categorical(logits=logits),
        (2, 4),
    ),
    Example(
        DiscretizedLogistic,
        {"loc": np.array([[-0.1], [0.4]]), "scale": np.array([0.02, 0.3, 1.7])},
        RNG.integers(256, size=(5, 2, 3)) / 255.0,
        (2, 3),
        (),
        lambda x, loc, scale: oracles.levels_of_a_logistic(x, loc, scale),
        oracles.LevelsOfALogistic,
    ),
    Example(
        Laplace,
        {"loc": COLUMN, "scale": ROW},
        RNG.normal(size=(5, 2, 3)),
        (2, 3),
        (),
        lambda x, loc, scale: scipy.stats.laplace.logpdf(x, loc, scale),
        td.Laplace,
    ),
    Example(
        Gamma,
        {"concentration": np.array([[0.4], [13.5]]), "rate": ROW},
        RNG.gamma(2.0, size=(5, 2, 3)),
        (2, 3),
        (),
        lambda x, concentration, rate: scipy.stats.gamma.logpdf(x, concentration, scale=1 / rate),
        td.Gamma,
    ),
    Example(
        Exponential,
        {"rate": ROW},
        RNG.exponential(size=(5, 3)),
        (3,),
        (),
        lambda x, rate: scipy.stats.expon.logpdf(x, scale=1 / rate),
        td.Exponential,
    ),
]
STEPS = (Bernoulli, DiscretizedLogistic)  # families of numbers between which there is nothing
each_family = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.family.__name__)
SCALARS = [example for example in EXAMPLES if example.family in (Normal, Laplace, Gamma, Exponential)]
each_scalar = pytest.mark.parametrize("example", SCALARS, ids=lambda example: example.family.__name__)
CDF = {
    Normal: lambda x, loc, scale: scipy.stats.norm.cdf(x, loc, scale),
    Laplace: lambda x, loc, scale: scipy.stats.laplace.cdf(x, loc, scale),
    Gamma: lambda x, concentration, rate: scipy.stats.gamma.cdf(x, concentration, scale=1 / rate),
    Exponential: lambda x, rate: scipy.stats.expon.cdf(x, scale=1 / rate),
}


def test_every_public_family_is_in_the_table() -> None:
    public = {getattr(families, name) for name in families.__all__ if name != "Distribution"}
    public = {member for member in public if isinstance(member, type) and issubclass(member, Distribution)}
    assert {example.family for example in EXAMPLES} == public
    assert len(public) == 9
    everywhere = {value for name in vaelib.__all__ if isinstance(value := getattr(vaelib, name), type)}
    assert public <= everywhere  # `from vaelib import ...` knows them all


# ------------------------------------------------------------------------------------------ against the two oracles


@each_family
def test_log_prob_matches_scipy(example: Example) -> None:
    expected = example.scipy_log_prob(example.x, **example.parameters)
    np.testing.assert_allclose(example.numpy().log_prob(example.x), expected, rtol=1e-12, atol=1e-15)


@each_family
def test_log_prob_and_entropy_match_torch_distributions(example: Example) -> None:
    oracle = example.torch_family(**example.tensors())
    x = torch.as_tensor(example.x)
    torch.testing.assert_close(example.torch().log_prob(x), oracle.log_prob(x), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(example.torch().entropy(), oracle.entropy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e.family is not Categorical], ids=lambda e: e.family.__name__
)
def test_mean_and_variance_match_torch_distributions(example: Example) -> None:
    oracle, ours = example.torch_family(**example.tensors()), example.torch()
    torch.testing.assert_close(ours.mean, oracle.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(ours.variance, oracle.variance, rtol=1e-12, atol=0)


@each_family
def test_torch_matches_numpy(example: Example) -> None:
    ours, theirs = example.numpy(), example.torch()
    noise = ours.draw_noise(6, rng=np.random.default_rng(3))
    pairs = [
        (ours.log_prob(example.x), theirs.log_prob(torch.as_tensor(example.x))),
        (ours.entropy(), theirs.entropy()),
        (ours.cross_entropy(ours), theirs.cross_entropy(theirs)),
    ]
    if example.family is not Gamma:
        pairs.append((ours.transform(noise), theirs.transform(torch.as_tensor(noise))))
    for array, tensor in pairs:
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-14, atol=1e-15)


@each_family
def test_float32_tensors_match_numpy_to_single_precision(example: Example) -> None:
    x = torch.as_tensor(example.x, dtype=None if example.family is Categorical else torch.float32)
    value = example.torch(torch.float32).log_prob(x)
    assert value.dtype == torch.float32
    np.testing.assert_allclose(value.numpy(), example.numpy().log_prob(example.x), rtol=1e-5, atol=1e-5)


@each_family
def test_shapes_match_batch_and_event(example: Example) -> None:
    for q, rng in ((example.numpy(), np.random.default_rng(0)), (example.torch(), torch.Generator())):
        assert q.batch_shape == example.batch_shape
        assert q.event_shape == example.event_shape
        assert tuple(q.entropy().shape) == example.batch_shape
        noise_shape = example.noise_shape or example.batch_shape + example.event_shape
        for sample_shape, leading in (((), ()), (6, (6,)), ((6, 7), (6, 7))):
            draws = q.sample(sample_shape, rng=rng)
            assert tuple(draws.shape) == leading + example.batch_shape + example.event_shape
            assert tuple(q.log_prob(draws).shape) == leading + example.batch_shape
            assert tuple(q.draw_noise(sample_shape, rng=rng).shape) == leading + noise_shape
        assert tuple(q.log_prob(example.x).shape) == example.x.shape[: example.x.ndim - len(example.event_shape)]


def test_numbers_make_a_scalar_distribution() -> None:
    q = Normal(0, 2)
    assert (q.batch_shape, q.event_shape) == ((), ())
    assert q.log_prob(1.0) == pytest.approx(-0.125 - math.log(2.0) - 0.5 * math.log(2 * math.pi), rel=1e-15)
    for value in (q.entropy(), Gamma(2, 3).log_prob(1.0), Bernoulli(0.3).entropy(), kl_divergence(q, Normal(1, 1))):
        assert isinstance(value, float)  # and no array of zero dimensions


# ----------------------------------------------------------------------------------------------- against 60 digits


@pytest.mark.parametrize("deviations", [0.0, 1e-8, 1.3, 40.0, 1e4, 1e8])
@pytest.mark.parametrize("scale", [3e-8, 0.7, 2.1e8])
def test_normal_log_prob_matches_60_digits_far_into_the_tail(deviations: float, scale: float) -> None:
    x, loc = 0.37 * scale + deviations * scale, 0.37 * scale
    value = Normal(loc, scale).log_prob(x)
    assert oracles.relative_error(value, oracles.normal_log_prob(x, loc, scale)) < 1e-13
    assert oracles.relative_error(Normal(loc, scale).entropy(), oracles.normal_entropy(loc, scale)) < 1e-13
    value = Laplace(loc, scale).log_prob(x)
    assert oracles.relative_error(value, oracles.laplace_log_prob(x, loc, scale)) < 1e-13
    assert oracles.relative_error(Laplace(loc, scale).entropy(), oracles.laplace_entropy(loc, scale)) < 1e-13


@pytest.mark.parametrize("make", [float, torch.tensor])
@pytest.mark.parametrize("logits", [-1e4, -745.0, -700.0, -50.0, -3.0, 1e-9, 0.4, 37.0, 709.0, 1e4])
def test_bernoulli_matches_60_digits_for_large_logits(logits: float, make: Callable[..., Any]) -> None:
    parameter = torch.tensor(logits, dtype=torch.float64) if make is torch.tensor else logits
    for x in (0.0, 1.0):
        expected = oracles.bernoulli_log_prob(x, logits)
        assert value_error(Bernoulli(parameter).log_prob(x), expected) < 1e-14
    assert value_error(Bernoulli(parameter).entropy(), oracles.bernoulli_entropy(logits)) < 1e-13


def value_error(value: Any, truth: Any) -> float:
    """Relative, but a truth below the smallest normal double counts as 0."""
    return oracles.relative_error(float(value), truth if abs(truth) > 3e-308 else 0.0 * truth + (float(value)))


@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0, 300.0, 1e4])
def test_categorical_matches_60_digits_for_large_logits(spread: float) -> None:
    logits = spread * np.array([0.3, -0.9, 1.0, -0.2, 0.45])
    q = Categorical(logits)
    for k in range(5):
        assert value_error(q.log_prob(k), oracles.categorical_log_prob(k, logits)) < 1e-13
    if spread < 1e3:
        assert value_error(q.entropy(), oracles.categorical_entropy(logits)) < 1e-12


@pytest.mark.parametrize("a", [1e-3, 0.4, 1.0, 2.5, 9.999, 10.001, 143.0, 1e5, 1e8])
def test_gamma_matches_60_digits(a: float) -> None:
    rate = 0.37
    q = Gamma(a, rate)
    assert oracles.relative_error(q.entropy(), oracles.gamma_entropy(a, rate)) < 1e-13
    for deviations in (-0.9, 0.8, 6.0):
        x = a / rate * math.exp(deviations * min(1.0, a**-0.5))
        assert oracles.relative_error(q.log_prob(x), oracles.gamma_log_prob(x, a, rate)) < 1e-12


def test_exponential_matches_60_digits() -> None:
    for rate in (1e-8, 0.37, 1e8):
        q = Exponential(rate)
        assert oracles.relative_error(q.entropy(), oracles.exponential_entropy(rate)) < 1e-14
        for x in (0.0, 0.31 / rate, 1e8 / rate):
            assert oracles.relative_error(q.log_prob(x), oracles.exponential_log_prob(x, rate)) < 1e-14


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_multivariate_normal_matches_60_digits_in_100_dimensions(make: Callable[..., Any]) -> None:
    rng = np.random.default_rng(5)
    loc, covariance = rng.normal(size=100), full_covariance(100, seed=6)
    x = loc + rng.normal(size=100) * 10.0 ** rng.uniform(-3, 3, size=100)
    q = MultivariateNormal(make(loc), make(covariance))
    truth = oracles.multivariate_normal_log_prob(x, loc, covariance)
    assert oracles.relative_error(float(q.log_prob(make(x))), truth) < 1e-12
    if make is np.asarray:
        entropy = oracles.multivariate_normal_entropy(loc, covariance)
        assert oracles.relative_error(q.entropy(), entropy) < 1e-12


def test_multivariate_normal_keeps_digits_for_coordinates_of_very_different_scales() -> None:
    scales = np.array([1e-8, 3e7, 2e-3, 5.0])
    covariance = full_covariance(4, seed=2) * scales[:, None] * scales
    covariance = (covariance + covariance.T) / 2
    loc, x = scales * [0.3, -0.4, 1.2, 0.9], scales * [2.3, 1e4, -0.3, 1e8]
    truth = oracles.multivariate_normal_log_prob(x, loc, covariance)
    assert oracles.relative_error(MultivariateNormal(loc, covariance).log_prob(x), truth) < 1e-12


# ------------------------------------------------------------------------------------------------------- the edges


def test_bernoulli_certainties_give_zero_and_minus_infinity() -> None:
    for q in (Bernoulli([-INF, INF]), Bernoulli(torch.tensor([-INF, INF])), Bernoulli.from_probs([0.0, 1.0])):
        np.testing.assert_array_equal(np.asarray(q.log_prob([0.0, 1.0])), [0.0, 0.0])
        np.testing.assert_array_equal(np.asarray(q.log_prob([1.0, 0.0])), [-INF, -INF])
        np.testing.assert_array_equal(np.asarray(q.entropy()), [0.0, 0.0])


def test_categorical_excluded_value_has_probability_zero() -> None:
    for q in (Categorical.from_probs([0.25, 0.0, 0.75]), Categorical.from_probs(torch.tensor([0.25, 0.0, 0.75]))):
        np.testing.assert_allclose(np.asarray(q.probs), [0.25, 0.0, 0.75], rtol=1e-7)
        assert q.log_prob(1) == -INF
        assert float(q.entropy()) == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75), rel=1e-7)


def test_from_probs_gives_back_the_probabilities() -> None:
    probs = np.array([[0.2, 0.5, 0.3], [0.1, 0.15, 0.75]])
    np.testing.assert_allclose(Categorical.from_probs(probs).probs, probs, rtol=1e-15)
    np.testing.assert_allclose(Bernoulli.from_probs(probs).probs, probs, rtol=1e-14)
    np.testing.assert_allclose(Bernoulli.from_probs(probs).mean, probs, rtol=1e-14)


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_positive_families_have_no_density_below_zero(make: Callable[..., Any]) -> None:
    x = make(np.array([-2.0, -1e-300, 0.0, 1.0, np.nan]))
    gamma = np.asarray(Gamma(make(np.array(2.5)), 3.0).log_prob(x))
    assert gamma[:3].tolist() == [-INF, -INF, -INF]
    assert math.isfinite(gamma[3])
    assert math.isnan(gamma[4])  # a hole in the data is not hidden
    assert float(Gamma(0.5, 3.0).log_prob(0.0)) == INF
    for at_one in (Gamma(make(np.array(1.0)), 3.0), Exponential(make(np.array(3.0)))):
        values = np.asarray(at_one.log_prob(x))
        assert values[:2].tolist() == [-INF, -INF]
        np.testing.assert_allclose(values[2:4], [math.log(3.0), math.log(3.0) - 3.0], rtol=1e-14)
        assert math.isnan(values[4])


# --------------------------------------------------------------------------------------------------------- gradients


@each_family
def test_log_prob_and_entropy_pass_gradcheck(example: Example) -> None:
    tensors = {k: v.clamp(min=-9.0).detach().requires_grad_() for k, v in example.tensors().items()}
    names = list(tensors)
    x = torch.as_tensor(example.x)

    def log_prob(*values: torch.Tensor) -> torch.Tensor:
        return example.family(**dict(zip(names, map(symmetrized, names, values), strict=True))).log_prob(x)

    def entropy(*values: torch.Tensor) -> torch.Tensor:
        return example.family(**dict(zip(names, map(symmetrized, names, values), strict=True))).entropy()

    assert torch.autograd.gradcheck(log_prob, tuple(tensors.values()))
    assert torch.autograd.gradcheck(entropy, tuple(tensors.values()))


def symmetrized(name: str, value: torch.Tensor) -> torch.Tensor:
    return (value + value.mT) / 2 if name == "covariance" else value


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.x.dtype == float and e.family not in STEPS])
def test_log_prob_gradient_in_x_passes_gradcheck(example: Example) -> None:
    x = torch.as_tensor(example.x).requires_grad_()
    assert torch.autograd.gradcheck(example.torch().log_prob, (x,))


SMOOTH = [e for e in EXAMPLES if e.family in (Normal, DiagonalNormal, MultivariateNormal, Laplace, Exponential)]


@pytest.mark.parametrize("example", SMOOTH, ids=lambda example: example.family.__name__)
def test_transform_passes_gradcheck(example: Example) -> None:
    names = list(example.parameters)
    noise = torch.as_tensor(example.numpy().draw_noise(4, rng=np.random.default_rng(1)))

    def transform(*values: torch.Tensor) -> torch.Tensor:
        return example.family(**dict(zip(names, map(symmetrized, names, values), strict=True))).transform(noise)

    assert torch.autograd.gradcheck(transform, tuple(example.tensors(requires_grad=True).values()))


def test_gradients_stay_finite_at_the_edges() -> None:
    logits = torch.tensor([-INF, -1e4, -40.0, 0.0, 40.0, 1e4, INF], dtype=torch.float64, requires_grad=True)
    for x in (torch.tensor([0.0, 0, 0, 1, 1, 1, 1]), torch.tensor([0.0, 1, 1, 0, 0, 0, 1])):
        (gradient,) = torch.autograd.grad(Bernoulli(logits).log_prob(x).sum(), logits)
        torch.testing.assert_close(gradient, x - torch.sigmoid(logits.detach()), rtol=0, atol=1e-15)
    (gradient,) = torch.autograd.grad(Bernoulli(logits).entropy().sum(), logits)
    assert gradient.isfinite().all()
    table = torch.tensor([0.3, -INF, 1.2, -800.0], dtype=torch.float64, requires_grad=True)
    for value in (Categorical(table).log_prob(2), Categorical(table).entropy()):
        (gradient,) = torch.autograd.grad(value, table)
        assert gradient.isfinite().all()
    x = torch.tensor([-1.0, 0.0, 0.5, 30.0, 1e-300], dtype=torch.float64)
    a = torch.tensor([[0.5], [3.0], [200.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(Gamma(a, 2.0).log_prob(x).clamp(-1e9, 1e9).sum(), a)
    assert gradient.isfinite().all()


# ---------------------------------------------------------------------------------------------- samples, transforms


@each_scalar
def test_transform_inverts_the_distribution_function_of_scipy(example: Example) -> None:
    q = example.numpy()
    noise = q.draw_noise(9, rng=np.random.default_rng(2))
    level = scipy.special.ndtr(noise) if q.noise == "normal" else noise
    np.testing.assert_allclose(CDF[example.family](q.transform(noise), **example.parameters), level, rtol=1e-12)


def test_transform_of_a_multivariate_normal_has_its_covariance() -> None:
    covariance = full_covariance(4, seed=3)
    q = MultivariateNormal(np.zeros(4), covariance)
    images = q.transform(np.eye(4))  # row j is column j of the factor
    np.testing.assert_allclose(images.T @ images, covariance, rtol=1e-13)
    batched = MultivariateNormal(np.zeros((2, 4)), np.stack([covariance, 4 * covariance]))
    np.testing.assert_allclose(batched.transform(np.eye(4)[:, None, :])[:, 1], 2 * images, rtol=1e-14)


def test_bernoulli_transform_inverts_the_distribution_function() -> None:
    for q in (Bernoulli.from_probs([0.3, 0.3, 0.3]), Bernoulli.from_probs(torch.tensor([0.3, 0.3, 0.3]))):
        assert np.asarray(q.transform(np.array([0.69, 0.71, 0.99]))).tolist() == [0.0, 1.0, 1.0]
    assert Bernoulli([-INF, INF]).transform([0.999, 0.001]).tolist() == [0.0, 1.0]


def test_categorical_transform_takes_the_largest_perturbed_logit() -> None:
    noise = np.array([[0.0, 0.9, 0.0], [0.0, 1.1, 0.0], [0.0, 0.0, 99.0]])
    for q in (Categorical([1.0, 0.0, -INF]), Categorical(torch.tensor([1.0, 0.0, -INF]))):
        assert np.asarray(q.transform(noise)).tolist() == [0, 1, 0]


@each_family
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_samples_match_moments_and_entropy_by_z_score(example: Example, kind: str) -> None:
    """E[log p(x)] = -entropy holds for the right law alone among its shifts and scalings that keep the support."""
    n = 20_000
    if kind == "numpy":
        q: Any = example.numpy()
        x = q.sample(n, rng=np.random.default_rng(11))
        log_prob, entropy = q.log_prob(x), q.entropy()
    else:
        q = example.torch()
        draws = q.sample(n, rng=torch.Generator().manual_seed(11))
        log_prob, entropy, x = q.log_prob(draws).numpy(), q.entropy().numpy(), draws.numpy()
    assert largest_z_score(log_prob, -entropy) < 4.5
    if example.family is Categorical:
        observed = np.eye(4)[x]
        assert largest_z_score(observed, np.asarray(q.probs)) < 4.5
        return
    mean, variance = np.asarray(q.mean), np.asarray(q.variance)
    assert largest_z_score(x, mean) < 4.5
    assert largest_z_score((x - mean) ** 2, variance) < 4.5
    if example.event_shape:
        white = np.moveaxis(x - mean, -1, 0)
        products = white[:, None] * white[None]  # (d, d, n, *batch)
        covariance = np.asarray(q.covariance)
        expected = np.moveaxis(np.broadcast_to(covariance, (*example.batch_shape, *covariance.shape[-2:])), 0, -1)
        assert largest_z_score(np.moveaxis(products, 2, 0), expected) < 4.5


def largest_z_score(samples: np.ndarray, expected: np.ndarray) -> float:
    deviation = samples.std(axis=0, ddof=1)
    gap = np.abs(samples.mean(axis=0) - expected)
    assert np.all(gap[deviation == 0] < 1e-12)
    spread = np.where(deviation == 0, 1.0, deviation) / math.sqrt(len(samples))
    return float(np.max(np.where(deviation == 0, 0.0, gap / spread)))


@each_scalar
def test_samples_match_the_distribution_function_of_scipy(example: Example) -> None:
    first = {name: np.broadcast_to(value, example.batch_shape).flat[0] for name, value in example.parameters.items()}
    x = example.family(**first).sample(4000, rng=np.random.default_rng(5))
    assert scipy.stats.kstest(x, lambda t: CDF[example.family](t, **first)).pvalue > 1e-5


@each_family
def test_sample_is_reproducible_and_carries_no_gradient(example: Example) -> None:
    q = example.family(**example.tensors(requires_grad=True))
    first, second = (q.sample(3, rng=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    first, second = (example.numpy().sample(3, rng=np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)


def test_samples_have_the_dtype_of_the_parameters() -> None:
    for dtype in (torch.float32, torch.float64):
        for example in EXAMPLES:
            drawn = example.torch(dtype).sample(2, rng=torch.Generator())
            assert drawn.dtype == (torch.int64 if example.family is Categorical else dtype)


class ZeroGenerator(np.random.Generator):
    """A generator whose uniform draws are all zero, which a real one gives once in 2^53."""

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        return np.zeros(size)


@pytest.mark.parametrize("q", [Laplace(0.0, 1.0), Exponential(1.0), Gamma(2.0, 1.0), Categorical([0.0, 1.0])])
def test_noise_of_zero_gives_finite_draws(q: Distribution) -> None:
    noise = q.draw_noise(3, rng=ZeroGenerator(np.random.PCG64(0)))
    assert np.isfinite(noise).all()
    assert np.isfinite(q.transform(noise)).all()
    least = 2.0**-53  # a generator draws multiples of it
    smallest = -math.log(-math.log(least)) if q.noise == "gumbel" else least
    assert (noise < smallest).all()


# --------------------------------------------------------------------------------------- kinds, dtypes, namespaces


def test_number_beside_a_tensor_takes_its_dtype() -> None:
    q = Normal(torch.zeros(3, dtype=torch.float32), 2.0)
    assert q.scale.dtype == torch.float32
    assert q.scale.shape == (3,)
    assert Normal(np.zeros(3), torch.ones(3)).loc.dtype == torch.float32
    assert Normal(torch.zeros(3, dtype=torch.float64), torch.ones(3)).scale.dtype == torch.float64
    assert Normal(torch.arange(3), 1).loc.dtype == torch.get_default_dtype()
    assert Normal([1, 2], 3).loc.dtype == np.float64
    assert Normal(np.zeros(2, dtype=np.float32), 1).loc.dtype == np.float64


def test_numpy_parameters_meet_a_tensor() -> None:
    x = torch.tensor([0.3, -0.4], requires_grad=True)
    for q in (Normal(0.0, 1.0), Laplace(0.0, 1.0), Gamma(2.0, 1.0), DiagonalNormal([0.0, 0.0], 1.0)):
        value = q.log_prob(x.abs())
        assert value.dtype == torch.float32
        assert value.requires_grad
    identity = MultivariateNormal(np.zeros(2), np.eye(2))
    torch.testing.assert_close(identity.log_prob(x), DiagonalNormal(torch.zeros(2), 1.0).log_prob(x))
    assert Categorical([0.1, 0.2]).log_prob(torch.tensor([0, 1])).shape == (2,)
    assert Bernoulli([0.1, 0.2]).log_prob(torch.tensor([True, False])).shape == (2,)


def test_gradient_reaches_the_network_through_every_parameter() -> None:
    for example in EXAMPLES:
        tensors = example.tensors(requires_grad=True)
        example.family(**tensors).log_prob(torch.as_tensor(example.x)).clamp(min=-1e6).sum().backward()
        for name, tensor in tensors.items():
            assert tensor.grad is not None, name
            assert tensor.grad.abs().sum() > 0, name


@each_family
def test_distribution_is_frozen_and_copies(example: Example) -> None:
    q = example.numpy()
    name = next(iter(example.parameters))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(q, name, 0.0)
    for other in (copy.deepcopy(q), pickle.loads(pickle.dumps(q)), dataclasses.replace(q)):
        np.testing.assert_array_equal(other.log_prob(example.x), q.log_prob(example.x))
    changed = dataclasses.replace(q, **{name: 1.5 * example.parameters[name]})
    assert not np.allclose(changed.entropy(), q.entropy()) or not np.allclose(
        changed.log_prob(example.x), q.log_prob(example.x)
    )


@given(
    hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=4, min_side=0),
    st.sampled_from([Normal, Laplace, Gamma]),
)
def test_shapes_broadcast_like_numpy(shapes: Any, family: type[Distribution]) -> None:
    first, second, x = (np.full(shape, 1.5) for shape in shapes.input_shapes)
    q = family(first, second)  # type: ignore[call-arg]
    assert q.batch_shape == np.broadcast_shapes(first.shape, second.shape)
    assert np.shape(q.log_prob(x)) == shapes.result_shape


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=2, max_side=4), st.integers(1, 4))
def test_vector_shapes_broadcast_like_numpy(shapes: Any, size: int) -> None:
    batch, other = shapes.input_shapes
    x = np.full((*other, size), 0.3)
    diagonal = DiagonalNormal(np.zeros((*batch, size)), 1.0)
    full = MultivariateNormal(np.zeros((*batch, size)), np.eye(size))
    for q in (diagonal, full, MultivariateNormal(np.zeros(size), np.broadcast_to(np.eye(size), (*batch, size, size)))):
        assert (q.batch_shape, q.event_shape) == (batch, (size,))
        assert np.shape(q.log_prob(x)) == shapes.result_shape
        np.testing.assert_allclose(q.log_prob(x), diagonal.log_prob(x), rtol=1e-14)


# ------------------------------------------------------------------------------------------- compilation, torch.func


TRAINING = (Normal, DiagonalNormal, MultivariateNormal, Bernoulli)


def test_compiled_graph_is_whole_and_matches_eager() -> None:
    """Construction, log_prob, entropy and transform, without a warning; what a VAE trains with through autograd too."""
    tensors = {e.family: e.tensors(requires_grad=e.family in TRAINING) for e in EXAMPLES}
    points = {e.family: torch.as_tensor(e.x) for e in EXAMPLES}
    noise = {e.family: torch.as_tensor(e.numpy().draw_noise(rng=np.random.default_rng(0))) for e in EXAMPLES}

    def total(chosen: tuple[type[Distribution], ...]) -> torch.Tensor:
        result = torch.zeros((), dtype=torch.float64)
        for family in chosen:
            q = family(**tensors[family])
            result = result + q.log_prob(points[family]).clamp(min=-1e6).sum()
            if family is not DiscretizedLogistic:  # whose entropy is a loop over 256 levels
                result = result + q.entropy().sum()
            if family is not Gamma:
                result = result + q.transform(noise[family]).sum()
        return result

    others = tuple(e.family for e in EXAMPLES if e.family not in TRAINING)
    leaves = [tensor for family in TRAINING for tensor in tensors[family].values()]
    expected = torch.autograd.grad(total(TRAINING), leaves)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(total, fullgraph=True, backend="aot_eager")(TRAINING)
        gradients = torch.autograd.grad(compiled, leaves)
        graph = torch.compile(total, fullgraph=True, backend="eager")(others)
    torch.testing.assert_close(compiled, total(TRAINING), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(graph, total(others), rtol=1e-13, atol=1e-13)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-12, atol=1e-13)


def test_compiled_function_returns_a_distribution_unchecked() -> None:
    """A look at a value would break the graph; a scale of -1 passes, and shows as NaN."""

    def encode(loc: torch.Tensor, scale: torch.Tensor) -> DiagonalNormal:
        return DiagonalNormal(loc, scale)

    compiled = torch.compile(encode, fullgraph=True, backend="aot_eager")
    q = compiled(torch.zeros(2, 3), torch.full((2, 3), -1.0))
    assert isinstance(q, DiagonalNormal)
    assert q.batch_shape == (2,)
    assert q.log_prob(torch.zeros(3)).isnan().all()
    with pytest.raises(ValueError, match=r"Expected `scale` to be finite and > 0 everywhere"):
        encode(torch.zeros(2, 3), torch.full((2, 3), -1.0))


def test_vmap_and_grad_match_a_loop() -> None:
    locs, scales = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64) + 0.2
    x = torch.randn(3, dtype=torch.float64)

    def surprise(loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        covariance = torch.diag(scale) + 0.1
        bits = Bernoulli(loc).log_prob((x > 0).double()).sum()
        return DiagonalNormal(loc, scale).log_prob(x) + MultivariateNormal(loc, covariance).log_prob(x) + bits

    batched = torch.func.vmap(torch.func.grad(surprise, argnums=(0, 1)))(locs, scales)
    for i in range(5):
        loc, scale = locs[i].clone().requires_grad_(), scales[i].clone().requires_grad_()
        surprise(loc, scale).backward()
        torch.testing.assert_close(batched[0][i], loc.grad)
        torch.testing.assert_close(batched[1][i], scale.grad)


@pytest.mark.gpu
def test_gpu_matches_cpu_without_waiting() -> None:
    """Copies are made first; then nothing may synchronize, a value check least of all."""
    for example in EXAMPLES:
        tensors = {name: tensor.cuda() for name, tensor in example.tensors().items()}
        x = torch.as_tensor(example.x).cuda()
        generator = torch.Generator("cuda").manual_seed(0)
        example.family(**tensors).log_prob(x)  # libraries are loaded on first use
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if example.family is not MultivariateNormal else "default")
        try:
            q = example.family(**tensors)
            value, entropy, drawn = q.log_prob(x), q.entropy(), q.sample(3, rng=generator)
            divergence = kl_divergence(q, q)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(value.cpu(), example.torch().log_prob(x.cpu()), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(entropy.cpu(), example.torch().entropy(), rtol=1e-12, atol=1e-12)
        assert drawn.device.type == "cuda"
        assert not divergence.any()


def test_import_without_torch_gives_numbers() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, vaelib\n"
        "q = vaelib.DiagonalNormal([0.1, 0.2], 0.5)\n"
        "print(float(vaelib.kl_divergence(q, vaelib.DiagonalNormal([0.0, 0.0], 1.0))))"
    )
    root = Path(__file__).resolve().parent.parent
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) == pytest.approx(-2 * math.log(0.5) + 0.25 + 0.025 - 1.0, rel=1e-12)


# ------------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: DiagonalNormal([0.0, 0.0], [1.0, -1.0]),
            r"Expected `scale` to be finite and > 0 everywhere, but got -1.0 at index \(1,\) of shape \(2,\). Did you"
            r" pass log_scale\?",
        ),
        (lambda: Normal(0.0, 0.0), r"Expected `scale` to be finite and > 0 everywhere, but got 0.0\."),
        (lambda: Normal(0.0, INF), r"Expected `scale` .* but got inf\."),
        (
            lambda: Normal([[0.0, np.nan]], 1.0),
            r"Expected `loc` to be finite everywhere, but got nan at index \(0, 1\)",
        ),
        (
            lambda: Normal(np.zeros(3), np.ones(2)),
            r"Expected `loc` and `scale` .* broadcast, but got \(3,\) and \(2,\)",
        ),
        (
            lambda: DiagonalNormal(0.0, 1.0),
            r"Expected `loc` to have a last axis, .* \(a batch of scalars is a Normal\)",
        ),
        (
            lambda: DiagonalNormal([0.0, 1.0], 1.0).log_prob([0.0]),
            r"Expected `x` to have a last axis of size 2, .*\(1,\)",
        ),
        (lambda: DiagonalNormal([0.0, 1.0], 1.0).transform(0.3), r"Expected `noise` to have a last axis of size 2"),
        (lambda: MultivariateNormal([0.0, 0.0], [1.0, 1.0]), r"Expected `covariance` to be square .* DiagonalNormal"),
        (lambda: MultivariateNormal([0.0], np.eye(2)), r"Expected `loc` to have a last axis of size 2"),
        (lambda: MultivariateNormal(0.0, np.eye(2)), r"Expected `loc` to have a last axis"),
        (
            lambda: MultivariateNormal([0.0, 0.0], [[1.0, 0.5], [0.2, 1.0]]),
            r"Expected `covariance` to be symmetric, but got 0.5 at index \(0, 1\)",
        ),
        (
            lambda: MultivariateNormal([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]),
            r"Expected `covariance` to be positive definite, but got a smallest eigenvalue of -1\.",
        ),
        (lambda: MultivariateNormal([0.0, 0.0], [[1.0, 0.0], [0.0, -1.0]]), r"Expected `diagonal of covariance`"),
        (
            lambda: MultivariateNormal(np.zeros((3, 2)), np.stack([np.eye(2)] * 2)),
            r"Expected `loc\[..., 0\]` and `covariance\[..., 0, 0\]` .* \(3,\) and \(2,\)",
        ),
        (lambda: Bernoulli([0.0, np.nan]), r"Expected `logits` to be a number everywhere, but got nan at index \(1,\)"),
        (
            lambda: Bernoulli([0.0, 1.0]).log_prob([0.0, 0.5]),
            r"Expected `x` to be 0 or 1 everywhere, but got 0.5 at index \(1,\) of shape \(2,\). Binarize grey values",
        ),
        (lambda: Bernoulli(0.0).log_prob(INF), r"Expected `x` to be 0 or 1 everywhere, but got inf"),
        (
            lambda: Bernoulli.from_probs(1.5),
            r"Expected `probs` to be between 0 and 1, but got 1.5. Did you pass logits",
        ),
        (lambda: Bernoulli(0.0).transform(1.0), r"Expected `noise` to be strictly between 0 and 1, but got 1.0"),
        (lambda: Categorical(0.0), r"Expected `logits` to have a last axis"),
        (lambda: Categorical([0.0, INF]), r"Expected `logits` to be below \+inf everywhere, but got inf"),
        (lambda: Categorical([[0.0, 1.0], [-INF, -INF]]), r"Expected `logits.max\(-1\)` to be finite, .* index \(1,\)"),
        (lambda: Categorical([0.0, 1.0]).log_prob(2), r"Expected `x` to be between 0 and 1, but got 2. Categories"),
        (lambda: Categorical.from_probs([0.5, 0.6]), r"Expected `probs.sum\(-1\)` to be 1, but got 1.1"),
        (lambda: Categorical.from_probs([1.5, -0.5]), r"Expected `probs` to be >= 0 everywhere, but got -0.5"),
        (lambda: Categorical([0.0, 1.0]).transform([0.3]), r"Expected `noise` to have a last axis of size 2"),
        (lambda: Gamma(-1.0, 1.0), r"Expected `concentration` to be finite and > 0"),
        (lambda: Gamma(1.0, 0.0), r"Expected `rate` to be finite and > 0 .* It is 1 / scale"),
        (lambda: Gamma(np.ones(2), np.ones(3)), r"Expected `concentration` and `rate`"),
        (lambda: Exponential(-2.0), r"Expected `rate` to be finite and > 0 .* It is 1 / mean"),
        (lambda: Laplace(0.0, 1.0).transform(-0.3), r"Expected `noise` to be strictly between 0 and 1, but got -0.3"),
        (lambda: Normal(np.zeros(2), 1.0).log_prob(np.zeros(3)), r"Expected `x` and `loc` .* \(3,\) and \(2,\)"),
    ],
)
def test_bad_argument_is_refused_with_its_cause(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: DiagonalNormal(t([0.0, 0.0]), t([1.0, -1.0])), r"`scale` .* -1.0 at index \(1,\) of shape \(2,\)"),
        (lambda t: Normal(t([0.0, np.nan]), 1.0), r"`loc` to be finite everywhere, but got nan at index \(1,\)"),
        (lambda t: Normal(t([0.0, -INF]), 1.0), r"`loc` to be finite everywhere, but got -inf at index \(1,\)"),
        (lambda t: Normal(t([0.0, 1.0]), t([1.0, np.nan])), r"`scale` to be finite and > 0 everywhere, but got nan"),
        (lambda t: Bernoulli(t([[0.0, np.nan]])), r"`logits` to be a number everywhere, but got nan at index \(0, 1\)"),
        (lambda t: Bernoulli(t([0.0, 1.0])).log_prob(t([0.1, 1.0])), r"`x` to be 0 or 1 everywhere, but got 0.1 at"),
        (lambda t: Bernoulli(t([0.0, 1.0])).log_prob(t([0.0, -1.0])), r"`x` to be 0 or 1 everywhere, but got -1.0"),
        (lambda t: Bernoulli(t([0.0, 1.0])).log_prob(t([np.nan, 1.0])), r"`x` to be 0 or 1 everywhere, but got nan"),
        (lambda t: MultivariateNormal(t([0.0, 0.0]), t([[1.0, 2.0], [2.0, 1.0]])), r"eigenvalue of -1\."),
        (lambda t: MultivariateNormal(t([0.0, 0.0]), t([[1.0, 0.5], [0.2, 1.0]])), r"symmetric, but got 0.5"),
        (lambda t: Categorical(t([-INF, -INF])), r"`logits.max\(-1\)` to be finite, but got -inf"),
        (
            lambda t: Categorical(t([0.0, 1.0])).log_prob(torch.tensor([0, -1])),
            r"`x` to be between 0 and 1, but got -1",
        ),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bad_tensor_from_a_network_is_refused(make: Callable[..., Any], message: str, dtype: torch.dtype) -> None:
    def tensor(values: Any) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, requires_grad=True)

    with pytest.raises(ValueError, match=message):
        make(tensor)


def test_values_that_only_overflow_a_sum_are_accepted() -> None:
    huge = torch.tensor([3e38, 3e38, -1.0])
    assert Normal(huge, 1.0).loc.shape == (3,)
    assert Normal(np.array([1.7e308, 1.7e308]), 1.0).loc.shape == (2,)
    assert Bernoulli(torch.tensor([INF, -INF])).logits.shape == (2,)  # their sum is NaN


@pytest.mark.parametrize(
    ("q", "rng", "message"),
    [
        (
            Normal(0.0, 1.0),
            torch.Generator(),
            r"numpy.random.Generator, since the parameters are NumPy arrays, but got torch",
        ),
        (Normal(torch.tensor(0.0), 1.0), np.random.default_rng(0), r"`rng` to be a torch.Generator, since .* tensors"),
        (Gamma(2.0, 1.0), np.random.RandomState(0), r"Make one with numpy.random.default_rng\(0\)"),
        (Gamma(torch.tensor(2.0), 1.0), 0, r"Make one with torch.Generator\(\).manual_seed\(0\)"),
    ],
)
def test_wrong_generator_is_refused(q: Distribution, rng: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        q.sample(2, rng=rng)


def test_wrong_kind_of_index_is_refused() -> None:
    for x in (np.array([0.0, 1.0]), torch.tensor([0.0, 1.0]), np.array([True, False])):
        with pytest.raises(
            TypeError, match="Expected `x` to hold integers, which category counted from 0, but got dtype"
        ):
            Categorical([0.1, 0.2]).log_prob(x)


def test_gamma_of_tensors_says_how_to_sample() -> None:
    with pytest.raises(
        NotImplementedError, match=r"torch has no inverse .* sample\(rng=...\) draws without a gradient"
    ):
        Gamma(torch.tensor(2.0), 1.0).transform(torch.tensor(0.3))


def test_base_class_is_not_made_by_itself() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Distribution()  # type: ignore[abstract]


def test_covariance_symmetric_to_rounding_is_accepted_and_made_symmetric() -> None:
    covariance = full_covariance(4, seed=8)
    rng = np.random.default_rng(9)
    shaken = covariance * (1.0 + 1e-15 * rng.normal(size=(4, 4)))
    q = MultivariateNormal(np.zeros(4), shaken)
    assert np.array_equal(q.covariance, q.covariance.T)
    np.testing.assert_allclose(q.covariance, covariance, rtol=1e-14)


EDGES = [
    Normal(1e-300, 1e-300),
    Normal(1e308, 1e308),
    Laplace(0.0, 1e308),
    Exponential(1e308),
    Gamma(0.01, 1e-300),
    Bernoulli(-1e3),
    Categorical([-1e3, 0.0]),
]


@pytest.mark.parametrize("family", [*(e.numpy() for e in EXAMPLES), *EDGES], ids=lambda family: type(family).__name__)
def test_sampling_raises_no_floating_point_error_of_numpy(family: Distribution) -> None:
    """The draws, at the edges of what can be written too, where some overflow or underflow."""
    with np.errstate(all="raise"):
        assert not np.isnan(family.sample(500, rng=np.random.default_rng(0))).any()
