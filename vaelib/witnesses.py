"""Generic witnesses: inputs drawn so that a wrong formula cannot pass by accident.

Zero means hide sign slips, equal scales hide missing terms, q equal to the posterior hides nearly everything. So means
stay away from zero, scales and their ratios from one, noise variances from 1/2, 1 and 2; dimensions differ from each
other and from one; covariances are not diagonal and loadings not orthogonal. Whole numbers are not perturbed when a
check measures the conditioning; floats are.

Generic witnesses are all of middling size, and a false inequality may hold on every one of them: an entropy is then
never negative, a divergence never above one. So each family also draws special ones, by the argument `kind`:

- `narrow`: q is narrow (the entropy of a continuous one is negative);
- `wide`: q is wide;
- `near`: q is almost what it is compared with, the posterior or p; and x is measured in a large unit and comes from an
  unlikely z, so that densities exceed one and the posterior lies far from the prior;
- `far`: q lies far away from the prior, or from p.

A check mixes the kinds; a slip must be rejected on some witness, a true line holds on all.

A witness says in `scope()` what the names of a formula mean on it, so that a line can be written as it is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC
from vaelib.distributions import Bernoulli, Categorical, DiagonalNormal, MultivariateNormal, Normal
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.spaces import Around
from vaelib.formula.worlds import Decoder, JointGaussian, Law, Table
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

    def scope(self) -> Scope:
        """Laws q and p of z with their moments; mu and sigma alone are those of q."""
        q, p = self.q, self.p
        values = {r"\mu_q": q.loc, r"\sigma_q": q.scale, r"\mu_p": p.loc, r"\sigma_p": p.scale}
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", p)},
            values={**values, **moment_names(q), "v_q": q.scale**2, "v_p": p.scale**2},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(q, lambda moved: replace(self, q=moved).scope()),
        )


@dataclass(frozen=True)
class DiagonalPair:
    """Two diagonal Gaussians in four dimensions."""

    q: DiagonalNormal
    p: DiagonalNormal

    @classmethod
    def draw(cls, rng: Rng, k: int = 4, *, kind: str = GENERIC) -> DiagonalPair:
        return cls(*(DiagonalNormal(loc, scale) for loc, scale in _two_sides(rng, k, kind)))

    def scope(self) -> Scope:
        """q = N(mu, diag v) and p = N(m, diag s), whole and coordinate by coordinate."""
        q, p, k = self.q, self.p, self.q.loc.size
        return Scope(
            worlds={"q": Law("z", q), "p": Law("z", p), "q_": coordinates(q), "p_": coordinates(p)},
            values={r"\mu": q.loc, "v": q.scale**2, "m": p.loc, "s": p.scale**2, "k": k},
            spaces={"z_": lambda j: Around(q.loc[j], q.scale[j])},
            ranges={"j": k},
        )


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

    def scope(self) -> Scope:
        """q and p over z = (z_1, z_2), where z_2 is the last coordinate."""
        q, p, k = self.q, self.p, self.q.loc.size
        values = {r"\mu_q": q.loc, r"\Sigma_q": q.covariance, r"\mu_p": p.loc, r"\Sigma_p": p.covariance}
        parts = {"z_1": k - 1, "z_2": 0}
        return Scope(
            worlds={"q": JointGaussian(parts, q.loc, q.covariance), "p": JointGaussian(parts, p.loc, p.covariance)},
            values={**values, "k": k},
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

    def scope(self) -> Scope:
        """The joint table p(x, z), the observation x, and q(z)."""
        return Scope(
            worlds={"p": Table(("z", "x"), self.model.joint), "q": Law("z", self.q)},
            observed={"x": self.x},
            laws={"": "q"},
            definitions={"w": r"\frac{p(x, z)}{q(z)}"},
        )


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

    def scope(self) -> Scope:
        """The joint Gaussian p(x, z), and q = N(m, S); r = x - b, M = W^T W + c I."""
        model, q = self.model, self.q
        return Scope(
            worlds={"p": linear_world(model), "q": Law("z", q)},
            observed={"x": self.x},
            values={**linear_names(model, self.x), "m": q.loc, r"\Sigma_q": q.covariance},
            laws={"": "q"},
        )


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

    def scope(self) -> Scope:
        """p(x, z) with a curved decoder f, and q = N(mu, sigma^2); theta' is a second theta, at first the same."""
        return self._scope(self.model)

    def _scope(self, later: CurvedGaussian) -> Scope:
        model, q = self.model, self.q
        theta = np.append(model.offset, np.log(model.noise_variance))
        return Scope(
            worlds={"p": Decoder(model), r"p_\theta": Decoder(model), r"p_{\theta'}": Decoder(later), "q": Law("z", q)},
            observed={"x": self.x},
            values={**moment_names(q), "m": q.loc, "s": q.scale, "w": model.loading, "a": model.curvature}
            | {"b": model.offset, "c": model.noise_variance, "d": model.data_dim, r"\theta": theta},
            maps={"f": Map(model.decoder, rank=1), "C": Map(self._covariance, rank=2)},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(q, lambda moved: replace(self, q=moved).scope())
            | {
                r"\theta": Parameter(theta, lambda moved: replace(self, model=self._model(moved))._scope(later)),
                r"\theta'": Parameter(theta, lambda moved: self._scope(self._model(moved))),
            },
        )

    def _covariance(self, z: Array) -> Array:
        """Cov(x | z), shape (..., d, d)."""
        return np.asarray(self.model.likelihood(z).variance[..., None] * np.eye(self.model.data_dim))

    def _model(self, theta: Array) -> CurvedGaussian:
        """The model with theta = (offset, log of the noise variance)."""
        return replace(self.model, offset=theta[:-1], noise_variance=float(np.exp(theta[-1])))


@dataclass(frozen=True)
class CurvedFamily:
    """One curved model and observation with twelve q: a line has one entry for each, as a search over q would see it.

    Among them are a narrow, a wide and a far one, and those nearest to the posteriors for five noise variances and for
    a prior four times as wide, so that two objectives with different optima have different best entries.
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
        near.append(_near(rng, _nearest_for_wide_prior(model, x, 4.0)))
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

    def scope(self) -> Scope:
        """p(x, z) with pixels of logits a_j(z), and q = N(mu, sigma^2)."""
        model, q = self.model, self.q
        return Scope(
            worlds={"p": Decoder(model), "q": Law("z", q)},
            observed={"x": self.x},
            values={**moment_names(q), "d": len(self.x)},
            ranges={"j": len(self.x)},
            maps={"a": Map(model.logits, rank=1)},
            laws={"": "q", **STANDARD_NOISE},
            parameters=moment_parameters(q, lambda moved: replace(self, q=moved).scope()),
        )


def nearest_normal(model: CurvedGaussian | ScalarBernoulli, x: Array) -> Normal:
    """The Gaussian with the posterior's mean and variance."""

    def moment(f: Callable[[Array], Array]) -> float:
        return float(model.integrate(lambda z: f(z) * np.exp(model.log_posterior(x, z))))

    mean = moment(lambda z: z)
    return Normal(mean, np.sqrt(moment(lambda z: (z - mean) ** 2)))


def _nearest_for_wide_prior(model: CurvedGaussian, x: Array, width: float) -> Normal:
    """The Gaussian nearest to the posterior for the prior N(0, width^2): with z = width * u, that of u is N(0, 1)."""
    of_u = replace(model, loading=width * model.loading, curvature=width**2 * model.curvature)
    q = nearest_normal(of_u, x)
    return Normal(width * q.loc, width * q.scale)


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

    def scope(self) -> Scope:
        """The joint Gaussian p(x, z), and the points z at which a line must hold."""
        return Scope(
            worlds={"p": linear_world(self.model)},
            observed={"x": self.x},
            values={**linear_names(self.model, self.x), "z": self.z},
        )


# ----------------------------------------------------------------------------------------- what several scopes say

STANDARD_NOISE = {r"\varepsilon": r"N(\varepsilon; 0, 1)"}


def moment_names(q: Normal) -> dict[str, Any]:
    """mu and sigma of a Gaussian q."""
    return {r"\mu": q.loc, r"\sigma": q.scale}


def moment_parameters(q: Normal, scope: Callable[[Normal], Scope]) -> dict[str, Parameter]:
    """Mean and scale of q as what a line can be differentiated by; `scope` is that of the witness with another q."""
    return {
        r"\mu": Parameter(q.loc, lambda loc: scope(Normal(loc, q.scale))),
        r"\sigma": Parameter(q.scale, lambda scale: scope(Normal(q.loc, scale))),
    }


def coordinates(law: DiagonalNormal) -> Callable[[Array], Law]:
    """q_j(z_j) of a law with independent coordinates."""
    return lambda j: Law("z", Normal(law.loc[j], law.scale[j]))


def linear_world(model: LinearGaussian) -> JointGaussian:
    """p(x, z) of a linear-Gaussian model."""
    loading, (d, k) = model.loading, model.loading.shape
    noise = model.noise_variance * np.eye(d)
    covariance = np.block([[np.eye(k), loading.T], [loading, loading @ loading.T + noise]])
    return JointGaussian({"z": k, "x": d}, np.concatenate([np.zeros(k), model.offset]), covariance)


def linear_names(model: LinearGaussian, x: Array) -> dict[str, Any]:
    """W, b, c, k, d; r = x - b, M = W^T W + c I, Sigma, the covariance of x; the posterior's mean and precision P."""
    loading, (d, k) = model.loading, model.loading.shape
    posterior = model.posterior(x)
    return {
        **{"W": loading, "b": model.offset, "c": model.noise_variance, "k": k, "d": d, "r": x - model.offset},
        "M": loading.T @ loading + model.noise_variance * np.eye(k),
        r"\Sigma": loading @ loading.T + model.noise_variance * np.eye(d),
        r"\hat z": posterior.loc,
        "P": loading.T @ loading / model.noise_variance + np.eye(k),
    }
