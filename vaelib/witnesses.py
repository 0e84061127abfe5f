"""Generic witnesses: inputs drawn so that a wrong formula cannot pass by accident.

Zero means hide sign slips, equal scales hide missing terms, q equal to the posterior hides nearly everything. So means
stay away from zero, scales and their ratios from one, noise variances from 1/2, 1 and 2; dimensions differ from each
other and from one; covariances are not diagonal and loadings not orthogonal. Whole numbers are not perturbed when a
check measures the conditioning; floats are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaelib.distributions import Categorical, DiagonalNormal, MultivariateNormal, Normal
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian, ScalarBernoulli

Array = np.ndarray
Rng = np.random.Generator


def away_from_zero(rng: Rng, least: float, most: float, shape: tuple[int, ...] = ()) -> Array:
    """Numbers of either sign with least <= |number| <= most."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(least, most, shape)


def generic_scale(rng: Rng, shape: tuple[int, ...] = ()) -> Array:
    """Scales with 0.2 <= |log scale| <= 0.9."""
    return np.exp(away_from_zero(rng, 0.2, 0.9, shape))


def generic_noise_variance(rng: Rng) -> float:
    """In one of the ranges [0.2, 0.4], [0.6, 0.9], [1.2, 1.7]: never near 1/2, 1 or 2."""
    low, high = [(0.2, 0.4), (0.6, 0.9), (1.2, 1.7)][rng.integers(3)]
    return float(rng.uniform(low, high))


def generic_probabilities(rng: Rng, shape: tuple[int, ...]) -> Array:
    """Probability vectors along the last axis, no entry tiny, no two near each other by construction."""
    weights = np.exp(rng.uniform(-1.3, 1.3, shape))
    return weights / weights.sum(axis=-1, keepdims=True)


def generic_covariance(rng: Rng, k: int) -> Array:
    """A covariance of shape (k, k) with correlations away from zero and eigenvalues between about 0.1 and 4."""
    lower = np.tril(away_from_zero(rng, 0.25, 0.6, (k, k)), -1) + np.diag(generic_scale(rng, (k,)))
    return lower @ lower.T


@dataclass(frozen=True)
class NormalPair:
    """Two univariate Gaussians q and p that differ in mean and in scale."""

    q: Normal
    p: Normal

    @classmethod
    def draw(cls, rng: Rng) -> NormalPair:
        p_scale = generic_scale(rng)
        p_loc = away_from_zero(rng, 0.3, 1.5)
        q_scale = p_scale * np.exp(_ratio(rng, np.log(p_scale)))
        q_loc = p_loc + away_from_zero(rng, 0.3, 1.5) * p_scale
        if abs(q_loc) < 0.3:
            q_loc = 2 * p_loc - q_loc
        return cls(Normal(q_loc, q_scale), Normal(p_loc, p_scale))


@dataclass(frozen=True)
class DiagonalPair:
    """Two diagonal Gaussians in four dimensions."""

    q: DiagonalNormal
    p: DiagonalNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 4) -> DiagonalPair:
        pairs = [NormalPair.draw(rng) for _ in range(k)]
        return cls(
            *(
                DiagonalNormal(np.array([d.loc for d in side]), np.array([d.scale for d in side]))
                for side in _sides(pairs)
            )
        )


@dataclass(frozen=True)
class MultivariatePair:
    """Two Gaussians with full covariances in three dimensions."""

    q: MultivariateNormal
    p: MultivariateNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 3) -> MultivariatePair:
        p_loc = away_from_zero(rng, 0.3, 1.5, (k,))
        q_loc = p_loc + away_from_zero(rng, 0.4, 1.5, (k,))
        return cls(
            MultivariateNormal(q_loc, generic_covariance(rng, k)), MultivariateNormal(p_loc, generic_covariance(rng, k))
        )


@dataclass(frozen=True)
class DiscreteWitness:
    """A model with tables, one observation, and some q that is not the posterior."""

    model: DiscreteLatent
    x: int
    q: Categorical

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3) -> DiscreteWitness:
        prior = generic_probabilities(rng, (num_states,))
        likelihood = generic_probabilities(rng, (num_states, num_values))
        logits = np.log(generic_probabilities(rng, (num_states,)))
        return cls(DiscreteLatent(prior, likelihood), int(rng.integers(num_values)), Categorical(logits))


@dataclass(frozen=True)
class LinearWitness:
    """A linear-Gaussian model (k = 2, d = 3), one observation, and a full-covariance q that is not the posterior."""

    model: LinearGaussian
    x: Array
    q: MultivariateNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 2, d: int = 3) -> LinearWitness:
        model = LinearGaussian(
            away_from_zero(rng, 0.3, 1.3, (d, k)), away_from_zero(rng, 0.3, 1.0, (d,)), generic_noise_variance(rng)
        )
        _, x = model.sample(1, rng=rng)
        q = MultivariateNormal(away_from_zero(rng, 0.3, 1.2, (k,)), generic_covariance(rng, k))
        return cls(model, x[0], q)


@dataclass(frozen=True)
class CurvedWitness:
    """A model with a curved decoder (d = 3), one observation, and a Gaussian q that is not the posterior."""

    model: CurvedGaussian
    x: Array
    q: Normal

    @classmethod
    def draw(cls, rng: Rng, d: int = 3) -> CurvedWitness:
        model = CurvedGaussian(
            away_from_zero(rng, 0.3, 1.2, (d,)),
            away_from_zero(rng, 0.3, 0.9, (d,)),
            away_from_zero(rng, 0.3, 1.0, (d,)),
            generic_noise_variance(rng),
        )
        _, x = model.sample(1, rng=rng)
        return cls(model, x[0], Normal(away_from_zero(rng, 0.3, 1.0), np.exp(-rng.uniform(0.2, 0.9))))


@dataclass(frozen=True)
class CurvedFamily:
    """One curved model and observation with six q: a line has one entry for each, as a search over q would see it."""

    model: CurvedGaussian
    x: Array
    qs: tuple[Normal, ...]

    @classmethod
    def draw(cls, rng: Rng) -> CurvedFamily:
        witnesses = [CurvedWitness.draw(rng) for _ in range(6)]
        return cls(witnesses[0].model, witnesses[0].x, tuple(w.q for w in witnesses))

    def members(self) -> list[CurvedWitness]:
        """One witness for each q."""
        return [CurvedWitness(self.model, self.x, q) for q in self.qs]


@dataclass(frozen=True)
class BernoulliWitness:
    """A one-dimensional latent with a Bernoulli decoder (d = 6), binary pixels, and a q that is not the posterior."""

    model: ScalarBernoulli
    x: Array  # whole numbers: a perturbed pixel would not be binary
    q: Normal

    @classmethod
    def draw(cls, rng: Rng, d: int = 6) -> BernoulliWitness:
        model = ScalarBernoulli(away_from_zero(rng, 0.4, 1.6, (d,)), away_from_zero(rng, 0.3, 1.2, (d,)))
        _, x = model.sample(1, rng=rng)
        return cls(model, x[0].astype(int), Normal(away_from_zero(rng, 0.3, 1.0), np.exp(-rng.uniform(0.2, 0.9))))


def _ratio(rng: Rng, log_scale: float) -> float:
    """A log-ratio of scales, 0.2 to 0.9 in size, after which the other scale too is away from one."""
    ratio = float(away_from_zero(rng, 0.2, 0.9))
    return ratio if abs(log_scale + ratio) >= 0.2 else -ratio


def _sides(pairs: list[NormalPair]) -> tuple[list[Normal], list[Normal]]:
    return [pair.q for pair in pairs], [pair.p for pair in pairs]
