r"""Chapter A: Bayes' rule, and models with a hidden variable.

A1 and A2 begin with a population that is counted, so that no probability is taken from the formula under test. A3 to A8
begin with the joint density or with an integral over it; the package's closed forms stand at the end of each chain. A9 and
A10 average posteriors, and chain them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import derive
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import JointGaussian, Table
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.quadrature import gauss_hermite, gauss_hermite_multivariate
from vaelib.terms import for_all_z, log_evidence, log_joint, log_lik, log_post, log_prior
from vaelib.witnesses import CurvedWitness, LinearPoints, LinearWitness, linear_world

Array = np.ndarray
Rng = np.random.Generator


# ---------------------------------------------------------------------------------------- a population, A1 and A2


@dataclass(frozen=True)
class Population:
    """Each member has a hidden z and a visible x; `counts[z, x]` members are alike. One value x is observed."""

    counts: Array  # whole numbers, shape (K, M)
    x: int

    @classmethod
    def draw(cls, rng: Rng, num_states: int = 4, num_values: int = 3) -> Population:
        return cls(rng.integers(5, 90, (num_states, num_values)), int(rng.integers(num_values)))

    @property
    def joint(self) -> Array:
        """p(x, z): the share of each kind, shape (K, M)."""
        return self.counts / self.counts.sum()

    @property
    def prior(self) -> Array:
        """p(z): the share of each z, shape (K, 1)."""
        return self.counts.sum(axis=1, keepdims=True) / self.counts.sum()

    @property
    def evidence(self) -> Array:
        """p(x): the share of each x, shape (1, M)."""
        return self.counts.sum(axis=0, keepdims=True) / self.counts.sum()

    @property
    def likelihood(self) -> Array:
        """p(x | z): among those with z, the share of each x; shape (K, M)."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)

    @property
    def posterior(self) -> Array:
        """p(z | x): among those with x, the share of each z; shape (K, M)."""
        return self.counts / self.counts.sum(axis=0, keepdims=True)

    @property
    def model(self) -> DiscreteLatent:
        return DiscreteLatent(self.prior[:, 0], self.likelihood)

    def scope(self) -> Scope:
        """p(x, z) by counting, and the x that is observed."""
        return Scope(worlds={"p": Table(("z", "x"), self.joint)}, observed={"x": self.x})


def at_x(table: Any) -> Any:
    """The column of a table at the observed x, one entry for each z."""
    return lambda w: np.broadcast_to(table(w), w.counts.shape)[:, w.x]


A1 = (
    derive("A1", "Bayes' rule", Population.draw, assumptions="p(x) > 0", source="Bayes 1763; Laplace 1774")
    .start(given(r"p(z \mid x)", at_x(lambda w: w.posterior)), why="among those with x, the share of each z")
    .eq(
        given(r"\frac{p(x, z)}{p(x)}", at_x(lambda w: w.joint / w.evidence)),
        "definition of a conditional probability; needs p(x) > 0",
    )
    .slip(
        "divided by p(z)",
        given(r"\frac{p(x, z)}{p(z)}", at_x(lambda w: w.joint / w.prior)),
        "the joint was divided by p(z): that gives p(x|z), the condition the other way round.",
    )
    .eq(
        given(r"\frac{p(x \mid z)\,p(z)}{p(x)}", at_x(lambda w: w.likelihood * w.prior / w.evidence)),
        "product rule: the joint is likelihood times prior",
    )
    .slip(
        "no prior",
        given(r"\frac{p(x \mid z)}{p(x)}", at_x(lambda w: w.likelihood / w.evidence)),
        "the prior is missing: how common each z is counts as much as how well it explains x.",
        real="a published note: p(z|x) = p(x|z) / p(x)",
    )
    .eq(
        given(
            r"\frac{p(x \mid z)\,p(z)}{\sum_{z'} p(x \mid z')\,p(z')}",
            at_x(lambda w: w.likelihood * w.prior / np.sum(w.likelihood * w.prior, axis=0)),
        ),
        "sum rule: p(x) adds up the joint over all z'",
    )
    .slip(
        "no prior, normalized again",
        given(
            r"\frac{p(x \mid z)}{\sum_{z'} p(x \mid z')}", at_x(lambda w: w.likelihood / np.sum(w.likelihood, axis=0))
        ),
        "the likelihood was normalized over z: it then adds up to one, but each z was taken to be equally common.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{DiscreteLatent.posterior}", lambda w: w.model.posterior(w.x).probs),
        "the same formula in the package",
    )
    .proportional(given(r"p(x, z)", at_x(lambda w: w.joint)), "p(x) is the same for every z: only a constant factor")
    .slip(
        "proportional to the likelihood",
        given(r"p(x \mid z)", at_x(lambda w: w.likelihood)),
        "the prior was taken to be flat: the posterior follows likelihood times prior.",
    )
    .slip(
        "equal to the joint",
        says="the joint was taken for the posterior: it still has to be divided by p(x).",
        relation="=",
    )
)

A2 = (
    derive(
        "A2",
        "product rule, both ways",
        Population.draw,
        assumptions="p(x) > 0 and p(z) > 0 where a condition is set",
        source="definition of conditional probability",
    )
    .start(tex(r"p(x, z) \quad \forall x, z"), why="the share of those with both")
    .eq(tex(r"p(z)\,p(x \mid z)"), "first the share with z, then among them the share with x")
    .slip(
        "p(x) for p(z)",
        tex(r"p(x)\,p(x \mid z)"),
        "p(x) and p(z) were exchanged: weight each condition by its own share.",
    )
    .slip("independence", tex(r"p(z)\,p(x)"), "x and z were taken to be independent: then x would say nothing about z.")
    .eq(tex(r"p(x)\,p(z \mid x)"), "the same members, sorted by x first")
    .slip(
        "p(z) for p(x)",
        tex(r"p(z)\,p(z \mid x)"),
        "p(z) and p(x) were exchanged: what is conditioned on x is weighted by p(x).",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{DiscreteLatent.joint}", lambda w: w.model.joint),
        "prior times likelihood in the package",
    )
    .eq(tex(r"\exp\left(\log p(x) + \log p(z \mid x)\right)"), "the other way in the package, with logarithms")
)


def columns(w: Population) -> list[Population]:
    """The same population with each x observed in turn."""
    return [Population(w.counts, x) for x in range(w.counts.shape[1])]


# ------------------------------------------------------------------- the evidence of a linear-Gaussian model, A3


def gaussian_log_density(x: Array, loc: Array, covariance: Array) -> float:
    """-1/2 [log |2 pi S| + (x - m)^T S^-1 (x - m)], spelled out."""
    residual = x - loc
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return float(-0.5 * (log_det + residual @ np.linalg.solve(covariance, residual)))


def square_completed(w: LinearWitness) -> float:
    """The integral over z after completing the square: only k x k matrices."""
    loading, c = w.model.loading, w.model.noise_variance
    residual = w.x - w.model.offset
    m = loading.T @ loading + c * np.eye(w.model.latent_dim)
    explained = loading.T @ residual
    square = residual @ residual - explained @ np.linalg.solve(m, explained)
    log_det = w.model.data_dim * np.log(2 * np.pi * c) + np.linalg.slogdet(m / c)[1]
    return float(-0.5 * (log_det + square / c))


def evidence_with(offset: float = 1.0, power: int = 1, noise: float = 1.0, inner: bool = False) -> Any:
    """log N(x; offset b, W W^T + noise c^power I); `inner` puts W^T W for W W^T."""

    def value(w: LinearWitness) -> float:
        loading = w.model.loading
        square = loading.T @ loading if inner else loading @ loading.T
        covariance = square + noise * w.model.noise_variance**power * np.eye(w.model.data_dim)
        return gaussian_log_density(w.x, offset * w.model.offset, covariance)

    return value


A3 = (
    derive(
        "A3",
        "evidence of the linear-Gaussian model",
        partial(LinearWitness.draw, k=2, d=2),
        assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
        source="Tipping and Bishop 1999, section 3.1",
    )
    .start(tex(r"\log \int N(x;\, W z + b,\, c I)\,N(z;\, 0, I)\,dz"), why="sum rule: z is integrated out of the joint")
    .eq(
        given(
            r"-\tfrac12\left[\log|2\pi c I| + \log|\tfrac{1}{c} M| + \tfrac{1}{c}\left(\|r\|^2 - r^\top W M^{-1} W^\top r\right)\right]",
            square_completed,
        ),
        "complete the square in z; r = x - b, M = WᵀW + cI",
    )
    .eq(tex(r"\log N(x;\, b,\, W W^\top + c I)"), "Woodbury's formula, and the one for determinants")
    .slip(
        "transposed product",
        tex(r"\log N(x;\, b,\, W^\top W + c I)"),
        "W was transposed: the covariance of x = W z + noise is W Wᵀ + c I, of size d by d.",
    )
    .slip(
        "c squared",
        tex(r"\log N(x;\, b,\, W W^\top + c^2 I)"),
        "c was taken for a standard deviation; here it is the variance already.",
    )
    .slip("no offset", tex(r"\log N(x;\, 0,\, W W^\top + c I)"), "the mean of x was set to zero: E[W z + b] = b.")
    .slip(
        "no noise",
        given(r"\log N(x;\, b,\, W W^\top)", evidence_with(noise=1e-3)),
        "only W z was counted: the noise adds c I to the covariance (a jitter does not replace it).",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{LinearGaussian.log\_evidence}", lambda w: w.model.log_evidence(w.x)),
        "the same in the package, by Cholesky",
    )
)


# ------------------------------------------------------------------------------------------------ A4 and A5: normalized


A4 = (
    derive(
        "A4",
        "the posterior integrates to one",
        CurvedWitness.draw,
        assumptions="p(x) > 0",
        source="A1 and the sum rule; the integral and p(x) come from two quadrature rules",
    )
    .start(tex("1"))
    .eq(tex(r"\frac{1}{p(x)} \int p(x, z)\,dz"), "sum rule: the integral of the joint over z is p(x)")
    .slip(
        "not divided by the evidence",
        tex(r"\int p(x, z)\,dz"),
        "the joint was taken for the posterior: over z it integrates to p(x).",
    )
    .eq(tex(r"\int \frac{p(x \mid z)\,p(z)}{p(x)}\,dz"), "p(x) does not depend on z; product rule (A2)")
    .slip(
        "no prior",
        tex(r"\int \frac{p(x \mid z)}{p(x)}\,dz"),
        "the prior is missing: without it nothing makes this integrate to one.",
        real="a published note: p(z|x) = p(x|z) / p(x)",
    )
    .eq(tex(r"\int p(z \mid x)\,dz"), "Bayes' rule (A1) at every z")
    .slip(
        "p(x|z) for p(z|x)",
        tex(r"\int p(x \mid z)\,dz"),
        "p(x|z) was taken for a density in z: it integrates to one over x, not over z.",
        real="a published note: KL(q(z|x) || p(x|z))",
    )
)

A5 = (
    derive(
        "A5",
        "the evidence from any single z",
        partial(LinearPoints.draw, k=3, d=5),
        assumptions="the posterior density is known and positive at z",
        source="Besag 1989; Chib 1995",
    )
    .start(log_evidence)
    .eq(for_all_z(log_joint - log_post), "product rule: p(x,z) = p(x) times the posterior")
    .slip(
        "p(x|z) for p(z|x)",
        for_all_z(log_joint - log_lik),
        "the joint was divided by p(x|z): that leaves the prior, which changes with z.",
        real="a published note: p(x|z) where the posterior belongs",
    )
    .eq(for_all_z(log_lik + log_prior - log_post), "product rule: the joint is likelihood times prior")
    .slip("no prior", for_all_z(log_lik - log_post), "the prior is missing: the joint is p(x|z) p(z).")
    .slip(
        "plus the log-posterior",
        for_all_z(log_lik + log_prior + log_post),
        "the posterior was multiplied in; to get p(x) the joint is divided by it.",
    )
)


# ------------------------------------------------------------------------------------------------ A6: a data set


@dataclass(frozen=True)
class Observations:
    """A linear-Gaussian model (k = 2, d = 3) and N = 4 observations."""

    model: LinearGaussian
    x: Array  # (N, d)

    @classmethod
    def draw(cls, rng: Rng) -> Observations:
        model = LinearWitness.draw(rng).model
        return cls(model, model.sample(4, rng=rng)[1])

    def scope(self) -> Scope:
        """p(x, z), and the observations x_i."""
        return Scope(
            worlds={"p": linear_world(self.model)}, values={"x": self.x, "N": len(self.x)}, ranges={"i": len(self.x)}
        )


def log_density_of_all(w: Observations) -> float:
    """All N observations as one Gaussian vector: between two of them the covariance is zero."""
    n = len(w.x)
    one = w.model.loading @ w.model.loading.T + w.model.noise_variance * np.eye(w.model.data_dim)
    return gaussian_log_density(w.x.ravel(), np.tile(w.model.offset, n), np.kron(np.eye(n), one))


A6 = (
    derive(
        "A6",
        "the log-likelihood of a data set is a sum",
        Observations.draw,
        assumptions="observations independent, from one distribution",
        source="Fisher 1922",
    )
    .start(given(r"\log p(x_1, \ldots, x_N)", log_density_of_all), why="one Gaussian vector; covariance block-diagonal")
    .eq(tex(r"\log \prod_{i=1}^{N} p(x_i)"), "independence: the joint density is a product")
    .slip(
        "sum of densities",
        tex(r"\log \sum_{i=1}^{N} p(x_i)"),
        "the densities were added: for independent observations they multiply.",
    )
    .eq(tex(r"\sum_{i=1}^{N} \log p(x_i)"), "the logarithm of a product is a sum")
    .slip(
        "mean",
        tex(r"\frac{1}{N} \sum_{i=1}^{N} \log p(x_i)"),
        "a mean stands for the sum: the same θ is best, but the value is N times too small.",
    )
    .slip(
        "a single term",
        given(r"\log p(x_i)", lambda w: w.model.log_evidence(w.x)[0]),
        "the sum was lost: one observation stands for the whole data set.",
        real="a published note: maximize log p(x(i)), with no sum",
    )
    .slip(
        "logarithm of the mean",
        tex(r"\log \frac{1}{N} \sum_{i=1}^{N} p(x_i)"),
        "the logarithm and the average were exchanged.",
    )
)


# ----------------------------------------------------------------------------- A7: the posterior of a linear-Gaussian model


def mean_and_covariance(mean: Array, covariance: Array) -> Array:
    """Both in one array of k + k^2 entries."""
    return np.concatenate([mean, np.ravel(covariance)])


def slope_and_curvature(w: LinearWitness) -> tuple[Array, Array]:
    """Gradient g and Hessian -P of log p(x, z) in z at z = 0: log p(x, z) = const + g.z - z.P z / 2.

    The function is quadratic, so differences with step one are exact.
    """
    steps = np.eye(w.model.latent_dim)

    def f(z: Array) -> Array:
        return w.model.log_joint(w.x, z)

    slope = (f(steps) - f(-steps)) / 2
    curvature = f(steps[:, None] + steps[None, :]) - f(steps)[:, None] - f(steps)[None, :] + f(0 * steps[0])
    return slope, curvature


def from_the_log_joint(w: LinearWitness) -> Array:
    slope, curvature = slope_and_curvature(w)
    return mean_and_covariance(np.linalg.solve(-curvature, slope), np.linalg.inv(-curvature))


def from_the_package(w: LinearWitness) -> Array:
    posterior = w.model.posterior(w.x)
    return mean_and_covariance(posterior.loc, posterior.covariance)


A7 = (
    derive(
        "A7",
        "posterior of the linear-Gaussian model, in two forms",
        LinearWitness.draw,
        assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
        source="Tipping and Bishop 1999, section 3.1; Woodbury 1950",
    )
    .start(
        given(r"P^{-1} g,\quad P^{-1}", from_the_log_joint), why="g, -P: slope and curvature of log p(x, z) in z, at 0"
    )
    .eq(
        tex(r"P^{-1}\,\tfrac{1}{c} W^\top r,\quad P^{-1} = \left(\tfrac{1}{c} W^\top W + I\right)^{-1}"),
        "likelihood gives WᵀW/c, prior gives I; r = x - b",
    )
    .slip(
        "no prior",
        tex(r"(W^\top W)^{-1} W^\top r,\quad c\,(W^\top W)^{-1}"),
        "the prior is missing: this is least squares, which does not shrink towards zero.",
    )
    .eq(tex(r"M^{-1} W^\top r,\quad c\,M^{-1},\quad M = W^\top W + c I"), "P = M / c")
    .slip(
        "covariance without c",
        tex(r"M^{-1} W^\top r,\quad M^{-1}"),
        "the covariance lost its factor c: with less noise the posterior must get narrower.",
    )
    .slip(
        "c squared",
        tex(r"M^{-1} W^\top r,\quad c\,M^{-1},\quad M = W^\top W + c^2 I"),
        "c was taken for a standard deviation; here it is the variance already.",
    )
    .slip(
        "no offset",
        tex(r"M^{-1} W^\top x,\quad c\,M^{-1}"),
        "b was not subtracted: z explains only how x differs from b.",
    )
    .eq(
        tex(r"W^\top \Sigma^{-1} r,\quad I - W^\top \Sigma^{-1} W,\quad \Sigma = W W^\top + c I"),
        "Woodbury: d by d matrices for k by k",
    )
    .slip(
        "covariance grows",
        tex(r"W^\top \Sigma^{-1} r,\quad I + W^\top \Sigma^{-1} W"),
        "the second term was added: an observation takes uncertainty away.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{LinearGaussian.posterior}", from_the_package),
        "the form with M in the package",
    )
)


# ------------------------------------------------------------------------------------------------ A8: total covariance


def covariance_from(first_and_second: Array) -> Array:
    """E[u u^T] - E[u] E[u]^T from the array [E[u], E[u u^T]] of shape (d, 1 + d)."""
    mean, second = first_and_second[:, :1], first_and_second[:, 1:]
    return second - mean @ mean.T


def powers(u: Array) -> Array:
    """[u, u u^T] for u of shape (n, d): shape (n, d, 1 + d)."""
    return np.concatenate([u[:, :, None], u[:, :, None] * u[:, None, :]], axis=2)


def covariance_of_x(w: CurvedWitness) -> Array:
    """Moments of x = f(z) + sqrt(c) noise over z and the noise together; a polynomial of degree 4, so exact."""

    def moments(u: Array) -> Array:
        return powers(w.model.likelihood(u[:, 0]).transform(u[:, 1:]))

    d = w.model.data_dim
    return covariance_from(gauss_hermite_multivariate(moments, np.zeros(1 + d), np.eye(1 + d), n=3).value)


def covariance_in_two_parts(w: CurvedWitness, within: float = 1.0, between: float = 1.0, power: int = 1) -> Array:
    """E[Cov(x|z)] + Cov(E[x|z]), each over z by a rule that is exact for polynomials."""
    variance = gauss_hermite(lambda z: w.model.likelihood(z).variance, 0.0, 1.0, n=3).value
    means = gauss_hermite(lambda z: powers(w.model.likelihood(z).mean), 0.0, 1.0, n=3).value
    return within * np.diag(variance) ** power + between * covariance_from(means)


A8 = (
    derive(
        "A8",
        "law of total covariance",
        partial(CurvedWitness.draw, d=2),
        assumptions="finite second moments",
        source="Bishop 2006, exercise 2.8, for one dimension",
    )
    .start(
        given(r"\mathbb{E}[x x^\top] - \mathbb{E}[x]\,\mathbb{E}[x]^\top", covariance_of_x),
        why="definition of Cov(x), over z and noise together",
    )
    .eq(
        given(
            r"\mathbb{E}\left[\mathrm{Cov}(x \mid z)\right] + \mathrm{Cov}\left(\mathbb{E}[x \mid z]\right)",
            covariance_in_two_parts,
        ),
        "within each z, and between the means",
    )
    .slip(
        "no noise",
        given(r"\mathrm{Cov}\left(\mathbb{E}[x \mid z]\right)", partial(covariance_in_two_parts, within=0.0)),
        "the noise within each z was left out: x also varies when z is known.",
    )
    .slip(
        "only noise",
        given(r"\mathbb{E}\left[\mathrm{Cov}(x \mid z)\right]", partial(covariance_in_two_parts, between=0.0)),
        "the means were left out: they move with z, and that spreads x.",
    )
    .slip(
        "c squared",
        given(r"c^2 I + \mathrm{Cov}\left(\mathbb{E}[x \mid z]\right)", partial(covariance_in_two_parts, power=2)),
        "c was taken for a standard deviation; here it is the variance already.",
    )
    .eq(tex(r"c I + w w^\top + \tfrac12 a a^\top"), "f(z) = b + w z + a z²/2; Var z = 1, Var z² = 2")
    .slip(
        "decoder taken to be a line",
        tex(r"c I + w w^\top"),
        "the curvature was left out: a bent decoder spreads x further.",
    )
)

# ------------------------------------------------------------------------------------ A9: posteriors average to the prior


@dataclass(frozen=True)
class TableAndLine:
    """A population that was counted, and a linear-Gaussian model: what holds for one must hold for the other."""

    population: Population
    model: LinearGaussian

    @classmethod
    def draw(cls, rng: Rng) -> TableAndLine:
        return cls(Population.draw(rng), LinearWitness.draw(rng).model)

    def both(self, table: Array, covariance: Array) -> Array:
        """p(z) of the table and the covariance of the model's z, in one array of K + k^2 entries."""
        return np.concatenate([np.ravel(table), np.ravel(covariance)])


def moments_over_z_and_x(w: TableAndLine) -> Array:
    """Cov(z) from the joint Gaussian of (z, x): z = L u, the first k rows of its Cholesky factor."""
    m, k = w.model, w.model.latent_dim
    crossed = np.block([[np.eye(k), m.loading.T], [m.loading, m.evidence.covariance]])
    factor = np.linalg.cholesky(crossed)[:k]
    return factor @ factor.T


def averaged_posterior(w: TableAndLine, between: float = 1.0, within: float = 1.0) -> Array:
    """E[Cov(z|x)] + Cov(E[z|x]) for x from the model; E[z|x] is linear in x."""
    m, k = w.model, w.model.latent_dim
    gain = np.linalg.solve(m.loading.T @ m.loading + m.noise_variance * np.eye(k), m.loading.T)
    covariance = m.loading @ m.loading.T + m.noise_variance * np.eye(m.data_dim)
    return within * (np.eye(k) - gain @ m.loading) + between * gain @ covariance @ gain.T


def averaged_by_package(w: TableAndLine) -> Array:
    """The same with the package's evidence and posteriors: E[z|x] at x = b and one step along each axis."""
    p, m = w.population.model, w.model
    table = sum(np.exp(p.log_evidence(x)) * p.posterior(x).probs for x in range(w.population.counts.shape[1]))
    steps = m.posterior(m.offset + np.eye(m.data_dim))
    slope = steps.loc - m.posterior(m.offset).loc  # row i: how E[z|x] changes with x_i
    return w.both(table, steps.covariance[0] + slope.T @ m.evidence.covariance @ slope)


def under_other_data(w: TableAndLine) -> Array:
    """x equally often each, as if from another source than the model."""
    return w.both(w.population.posterior.mean(axis=1), averaged_posterior(w))


A9 = (
    derive(
        "A9",
        "the model's posteriors average to its prior",
        TableAndLine.draw,
        assumptions="x is drawn from the model itself, p(x); for the x of a data set it need not hold",
        source="Bishop 2006, equation 2.20 and exercise 2.8; Hoffman and Johnson 2016 for the aggregate posterior",
    )
    .start(
        given(r"p(z),\quad \mathrm{Cov}(z)", lambda w: w.both(w.population.prior, np.eye(w.model.latent_dim))),
        why="the prior of a table, and I of a Gaussian model",
    )
    .eq(
        given(
            r"\sum_x p(x, z),\quad \mathrm{Cov}(z) \text{ from the law of } (z, x)",
            lambda w: w.both(w.population.joint.sum(axis=1), moments_over_z_and_x(w)),
        ),
        "sum rule: x is added up, integrated out",
    )
    .eq(
        given(
            r"\sum_x p(x)\,p(z \mid x),\quad \mathbb{E}[\mathrm{Cov}(z \mid x)] + \mathrm{Cov}(\mathbb{E}[z \mid x])",
            lambda w: w.both((w.population.evidence * w.population.posterior).sum(axis=1), averaged_posterior(w)),
        ),
        "product rule (A2); law of total covariance (A8)",
    )
    .slip(
        "another source of x",
        given(r"\tfrac1M \sum_x p(z \mid x),\quad \ldots", under_other_data),
        "x did not come from the model: then the posteriors average to something else, the aggregate posterior.",
        real="published notes exchange data and model under the expectation",
    )
    .slip(
        "means taken not to move",
        given(
            r"\ldots,\quad \mathbb{E}[\mathrm{Cov}(z \mid x)]",
            lambda w: w.both(w.population.prior, averaged_posterior(w, between=0.0)),
        ),
        "Cov(E[z|x]) is missing: each posterior is narrower than the prior, but their means differ.",
    )
    .slip(
        "posteriors taken to be points",
        given(
            r"\ldots,\quad \mathrm{Cov}(\mathbb{E}[z \mid x])",
            lambda w: w.both(w.population.prior, averaged_posterior(w, within=0.0)),
        ),
        "E[Cov(z|x)] is missing: one mean for each x, but every posterior has a width.",
    )
    .slip(
        "posteriors added, not averaged",
        given(
            r"\sum_x p(z \mid x),\quad \ldots",
            lambda w: w.both(w.population.posterior.sum(axis=1), averaged_posterior(w)),
        ),
        "p(x) was left out: each posterior must count as often as its x occurs.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{log\_evidence}, \mathtt{posterior}", averaged_by_package),
        "the posteriors of the package, averaged",
    )
)


# --------------------------------------------------------------------------------------- A10: one observation at a time


@dataclass(frozen=True)
class TwoObservations:
    """A linear-Gaussian model, two observations of the same hidden z, and points z at which a line must hold."""

    model: LinearGaussian
    first: Array
    second: Array
    z: Array  # (12, k)

    @classmethod
    def draw(cls, rng: Rng) -> TwoObservations:
        model = LinearWitness.draw(rng).model
        hidden = rng.standard_normal(model.latent_dim)
        first, second = model.likelihood(np.tile(hidden, (2, 1))).transform(rng.standard_normal((2, model.data_dim)))
        return cls(model, first, second, 0.8 * rng.standard_normal((12, model.latent_dim)))

    @property
    def stacked(self) -> LinearGaussian:
        """The model of both observations as one vector of 2 d numbers."""
        m = self.model
        return LinearGaussian(np.tile(m.loading, (2, 1)), np.tile(m.offset, 2), m.noise_variance)

    def scope(self) -> Scope:
        """p(x_1, x_2, z), the points z, and the moments of z after one observation and after both."""
        m, stacked, k, d = self.model, self.stacked, self.model.latent_dim, self.model.data_dim
        joint = linear_world(stacked)
        first, both = m.posterior(self.first), stacked.posterior(np.concatenate([self.first, self.second]))
        return Scope(
            worlds={"p": JointGaussian({"z": k, "x_1": d, "x_2": d}, joint.loc, joint.covariance)},
            observed={"x_1": self.first, "x_2": self.second},
            values={"z": self.z, "m_2": both.loc, "V_1": first.covariance, "V_2": both.covariance}
            | {"W": m.loading, "c": m.noise_variance},
        )


def updated_twice(w: TwoObservations) -> Array:
    """N(m2, V2) at each z: each observation adds W^T W / c to the precision, starting from the prior's I."""
    m, c = w.model, w.model.noise_variance
    loc, precision = np.zeros(m.latent_dim), np.eye(m.latent_dim)
    for x in (w.first, w.second):
        shifted = precision @ loc + m.loading.T @ (x - m.offset) / c
        precision = precision + m.loading.T @ m.loading / c
        loc = np.linalg.solve(precision, shifted)
    return np.exp([gaussian_log_density(z, loc, np.linalg.inv(precision)) for z in w.z])


A10 = (
    derive(
        "A10",
        "one observation at a time",
        TwoObservations.draw,
        assumptions="given z, the observations are independent",
        source="Laplace 1774; Bishop 2006, section 2.3.5",
    )
    .start(tex(r"p(z \mid x_1, x_2) \quad \forall z"), why="both at once, as one vector (A7)")
    .proportional(tex(r"p(x_1, x_2 \mid z)\,p(z)"), "Bayes' rule; p(x₁, x₂) holds no z")
    .eq(tex(r"p(x_2 \mid z)\,p(x_1 \mid z)\,p(z)"), "given z, the observations are independent")
    .slip("first observation lost", tex(r"p(x_2 \mid z)\,p(z)"), "only x₂ was used: x₁ still tells about z.")
    .proportional(tex(r"p(x_2 \mid z)\,p(z \mid x_1)"), "Bayes' rule for x₁: its posterior is the new prior")
    .slip(
        "prior counted twice",
        tex(r"p(z \mid x_2)\,p(z \mid x_1)"),
        "both posteriors were multiplied: each contains the prior, which is to be used once.",
    )
    .slip(
        "prior dropped",
        tex(r"p(x_2 \mid z)\,p(x_1 \mid z)"),
        "the prior was dropped: likelihoods alone do not make a posterior.",
    )
    .slip(
        "first observation counted twice",
        tex(r"p(x_2 \mid z)\,p(x_1 \mid z)\,p(z \mid x_1)"),
        "x₁ was used twice: p(z|x₁) contains its likelihood already.",
    )
    .slip(
        "equal sign",
        says="a normalizer was forgotten: p(x₂|z) p(z|x₁) still has to be divided by p(x₂|x₁).",
        relation="=",
    )
    .proportional(
        given(r"N(z;\, m_2, V_2),\quad V_2^{-1} = V_1^{-1} + \tfrac1c W^\top W", updated_twice),
        "precisions add, once for each observation",
    )
)

CHAPTER = (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10)
