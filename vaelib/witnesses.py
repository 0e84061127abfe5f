"""Generic witnesses: inputs drawn so that a wrong formula cannot pass by accident.

Zero means hide sign slips, equal scales hide missing terms, q equal to the posterior hides nearly everything. So means
stay away from zero, scales and their ratios from one, noise variances from 1/2, 1 and 2; dimensions differ from each
other and from one; covariances are not diagonal and loadings not orthogonal. Whole numbers are not perturbed when a
check measures the conditioning; floats are.

Generic witnesses are all of middling size, and a false inequality may hold on every one of them: an entropy is then
never negative, a divergence never above one. So each family also draws special ones, by the argument `kind`:

    narrow  q is narrow (the entropy of a continuous one is negative)
    wide    q is wide
    near    q is almost what it is compared with, the posterior or p; and x is measured in a large unit and comes from
            an unlikely z, so that densities exceed one and the posterior lies far from the prior
    far     q lies far away from the prior, or from p

A check mixes the kinds; a slip must be rejected on some witness, a true line holds on all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vaelib.derivation import GENERIC
from vaelib.distributions import Bernoulli, Categorical, DiagonalNormal, MultivariateNormal, Normal
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
    """Probability vectors along the last axis: no entry tiny, no two of a vector equal up to a few percent."""
    n = shape[-1]
    levels = (np.arange(n) + rng.uniform(0.2, 0.8, shape)) / n  # one in each of n intervals, then shuffled
    weights = np.exp(2.6 * rng.permuted(levels, axis=-1))
    return weights / weights.sum(axis=-1, keepdims=True)


def generic_correlation(rng: Rng, k: int) -> Array:
    """A correlation matrix u u^T + diag(1 - u^2): every correlation has size 0.2 to 0.64, eigenvalues are >= 0.36."""
    u = away_from_zero(rng, 0.45, 0.8, (k,))
    return np.outer(u, u) + np.diag(1 - u**2)


def generic_covariance(rng: Rng, k: int) -> Array:
    """A covariance of shape (k, k): generic scales, generic correlations."""
    scale = generic_scale(rng, (k,))
    return np.outer(scale, scale) * generic_correlation(rng, k)


def generic_loading(rng: Rng, d: int, k: int) -> Array:
    """A loading of shape (d, k), no entry near zero; the angles between its columns have cosines of size 0.2 to 0.9."""
    while True:
        loading = away_from_zero(rng, 0.3, 1.3, (d, k))
        directions = loading / np.linalg.norm(loading, axis=0)
        cosines = np.abs((directions.T @ directions)[np.tril_indices(k, -1)])
        if np.all((cosines >= 0.2) & (cosines <= 0.9)):
            return loading


@dataclass(frozen=True)
class NormalPair:
    """Two univariate Gaussians q and p that differ in mean and in scale."""

    q: Normal
    p: Normal

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> NormalPair:
        p_scale = generic_scale(rng)
        p_loc = away_from_zero(rng, 0.3, 1.5)
        if kind != GENERIC:
            return cls(_special_normal(rng, kind, p_loc, p_scale), Normal(p_loc, p_scale))
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
    def draw(cls, rng: Rng, k: int = 4, *, kind: str = GENERIC) -> DiagonalPair:
        return cls(*(DiagonalNormal(loc, scale) for loc, scale in _two_sides(rng, k, kind)))


@dataclass(frozen=True)
class MultivariatePair:
    """Two Gaussians with full covariances in three dimensions; every coordinate is a generic pair."""

    q: MultivariateNormal
    p: MultivariateNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 3, *, kind: str = GENERIC) -> MultivariatePair:
        sides = _two_sides(rng, k, kind)
        correlations = [generic_correlation(rng, k) for _ in sides]
        if kind == "near":
            correlations[1] = correlations[0]
        return cls(
            *(
                MultivariateNormal(loc, np.outer(scale, scale) * correlation)
                for (loc, scale), correlation in zip(sides, correlations, strict=True)
            )
        )


@dataclass(frozen=True)
class DiscreteWitness:
    """A model with tables, one observation, and some q that is not the posterior."""

    model: DiscreteLatent
    x: int
    q: Categorical

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3, *, kind: str = GENERIC) -> DiscreteWitness:
        prior = generic_probabilities(rng, (num_states,))
        likelihood = generic_probabilities(rng, (num_states, num_values))
        logits = np.log(generic_probabilities(rng, (num_states,)))
        x = int(rng.integers(num_values))
        if kind in ("narrow", "far"):
            favourite = int(rng.integers(num_states))
            logits[favourite] = logits.max() + rng.uniform(3, 5)
            if kind == "far":  # where the prior has next to no mass
                prior[favourite] *= 0.02
                prior = prior / prior.sum()
        model = DiscreteLatent(prior, likelihood)
        if kind == "wide":
            logits = 0.1 * logits
        if kind == "near":
            logits = model.log_joint(x, np.arange(num_states)) + away_from_zero(rng, 0.03, 0.1, (num_states,))
        return cls(model, x, Categorical(logits))


@dataclass(frozen=True)
class LinearWitness:
    """A linear-Gaussian model (k = 2, d = 3), one observation, and a full-covariance q that is not the posterior."""

    model: LinearGaussian
    x: Array
    q: MultivariateNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 2, d: int = 3, *, kind: str = GENERIC) -> LinearWitness:
        offset = away_from_zero(rng, 0.3, 1.0, (d,))
        model = LinearGaussian(generic_loading(rng, d, k), offset, generic_noise_variance(rng))
        _, x = model.sample(1, rng=rng)
        q = MultivariateNormal(away_from_zero(rng, 0.3, 1.2, (k,)), generic_covariance(rng, k))
        if kind == "near":
            unit = rng.uniform(0.01, 0.02)
            model = LinearGaussian(unit * model.loading, unit * model.offset, unit**2 * model.noise_variance)
            x = model.likelihood(away_from_zero(rng, 1.5, 2.5, (1, k))).transform(rng.standard_normal((1, d)))
            exact = model.posterior(x[0])
            moved = exact.loc + away_from_zero(rng, 0.02, 0.05, (k,)) * np.sqrt(exact.variance)
            q = MultivariateNormal(moved, exact.covariance * rng.uniform(1.03, 1.08))
        elif kind != GENERIC:
            q = MultivariateNormal(
                away_from_zero(rng, 3.0, 4.0, (k,)) if kind == "far" else q.loc,
                q.covariance * {"narrow": 0.01, "wide": 6.0, "far": 1.0}[kind],
            )
        return cls(model, x[0], q)


@dataclass(frozen=True)
class CurvedWitness:
    """A model with a curved decoder (d = 3), one observation, and a Gaussian q that is not the posterior."""

    model: CurvedGaussian
    x: Array
    q: Normal

    @classmethod
    def draw(cls, rng: Rng, d: int = 3, *, kind: str = GENERIC) -> CurvedWitness:
        parts = (
            away_from_zero(rng, 0.3, 1.2, (d,)),
            away_from_zero(rng, 0.3, 0.9, (d,)),
            away_from_zero(rng, 0.3, 1.0, (d,)),
        )
        variance = generic_noise_variance(rng)
        if kind == "near":
            z, width = away_from_zero(rng, 1.5, 2.5), rng.uniform(0.12, 0.2)  # of the posterior
            loading, curvature, offset = (rng.uniform(0.02, 0.05) * part for part in parts)
            curvature = 0.3 * np.abs(curvature) * np.sign(loading * z)  # the decoder does not turn back near z
            slope = loading + curvature * z
            model = CurvedGaussian(loading, curvature, offset, float(slope @ slope) / (width**-2 - 1))
            x = model.likelihood(z).transform(rng.standard_normal(d))
            return cls(model, x, _near(rng, nearest_normal(model, x)))
        model = CurvedGaussian(*parts, variance)
        _, x = model.sample(1, rng=rng)
        return cls(model, x[0], _scalar_q(rng, kind))


@dataclass(frozen=True)
class CurvedFamily:
    """One curved model and observation with eleven q: a line has one entry for each, as a search over q would see it.

    Among them are a narrow, a wide and a far one, and those nearest to the posteriors for five noise variances, so that
    two objectives with different optima have different best entries.
    """

    model: CurvedGaussian
    x: Array
    qs: tuple[Normal, ...]

    @classmethod
    def draw(cls, rng: Rng) -> CurvedFamily:
        generic = [CurvedWitness.draw(rng) for _ in range(3)]
        model, x = generic[0].model, generic[0].x
        noises = model.noise_variance * np.array([0.25, 0.5, 1.0, 2.0, 4.0])
        near = [_near(rng, nearest_normal(replace(model, noise_variance=float(c)), x)) for c in noises]
        special = [_scalar_q(rng, kind) for kind in ("narrow", "wide", "far")]
        return cls(model, x, (*(w.q for w in generic), *near, *special))

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
    def draw(cls, rng: Rng, d: int = 6, *, kind: str = GENERIC) -> BernoulliWitness:
        model = ScalarBernoulli(away_from_zero(rng, 0.4, 1.6, (d,)), away_from_zero(rng, 0.3, 1.2, (d,)))
        if kind == "near":
            x = Bernoulli(model.logits(away_from_zero(rng, 1.5, 2.5))).sample((), rng=rng).astype(int)
            return cls(model, x, _near(rng, nearest_normal(model, x)))
        _, x = model.sample(1, rng=rng)
        return cls(model, x[0].astype(int), _scalar_q(rng, kind))


def nearest_normal(model: CurvedGaussian | ScalarBernoulli, x: Array) -> Normal:
    """The Gaussian with the posterior's mean and variance."""

    def moment(f: Callable[[Array], Array]) -> float:
        return float(model.integrate(lambda z: f(z) * np.exp(model.log_posterior(x, z))))

    mean = moment(lambda z: z)
    return Normal(mean, np.sqrt(moment(lambda z: (z - mean) ** 2)))


def _near(rng: Rng, q: Normal) -> Normal:
    """A few percent of its width away."""
    scale = q.scale * np.exp(away_from_zero(rng, 0.02, 0.05))
    return Normal(q.loc + away_from_zero(rng, 0.02, 0.05) * q.scale, scale)


def _scalar_q(rng: Rng, kind: str) -> Normal:
    """A q for a latent variable with a standard normal prior."""
    loc, log_scale = away_from_zero(rng, 0.3, 1.0), -rng.uniform(0.2, 0.9)
    if kind == "narrow":
        log_scale = -rng.uniform(1.8, 2.5)
    elif kind == "wide":
        log_scale = rng.uniform(0.25, 0.45)
    elif kind == "far":
        loc = away_from_zero(rng, 2.5, 3.5)
    return Normal(loc, np.exp(log_scale))


def _special_normal(rng: Rng, kind: str, p_loc: Array, p_scale: Array) -> Normal:
    """A q to be compared with p."""
    if kind == "near":
        return _near(rng, Normal(p_loc, p_scale))
    loc = p_loc + away_from_zero(rng, 0.3, 1.5) * p_scale
    if kind == "narrow":
        return Normal(loc, np.exp(-rng.uniform(1.8, 2.5)))
    if kind == "wide":
        return Normal(loc, p_scale * np.exp(rng.uniform(1.0, 1.5)))
    return Normal(p_loc + away_from_zero(rng, 4.0, 6.0) * p_scale, p_scale * np.exp(away_from_zero(rng, 0.2, 0.9)))


def _ratio(rng: Rng, log_scale: float) -> float:
    """A log-ratio of scales, 0.2 to 0.9 in size, after which the other scale too is away from one."""
    ratio = float(away_from_zero(rng, 0.2, 0.9))
    return ratio if abs(log_scale + ratio) >= 0.2 else -ratio


def _two_sides(rng: Rng, k: int, kind: str = GENERIC) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(loc, scale) of q and of p, each of shape (k,); every coordinate is a NormalPair."""
    pairs = [NormalPair.draw(rng, kind=kind) for _ in range(k)]

    def side(members: list[Normal]) -> tuple[Array, Array]:
        return np.array([m.loc for m in members]), np.array([m.scale for m in members])

    return side([pair.q for pair in pairs]), side([pair.p for pair in pairs])


@dataclass(frozen=True)
class LinearPoints:
    """A linear-Gaussian model, an observation, and fifty points z at which a line must hold, some far out."""

    model: LinearGaussian
    x: Array
    z: Array  # (50, k)

    @classmethod
    def draw(cls, rng: Rng, k: int = 2, d: int = 3, *, kind: str = GENERIC) -> LinearPoints:
        w = LinearWitness.draw(rng, k, d, kind=kind)
        return cls(w.model, w.x, 1.5 * rng.standard_normal((50, k)))
