r"""Chapter A: Bayes' rule, and models with a hidden variable.

A1 and A2 begin with a population that is counted, so that no probability is taken from the formula under test. A3 to A8
begin with the joint density or with an integral over it; the package's closed forms stand at the end of each chain. A9 and
A10 average posteriors, and chain them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaelib.derivation import Derivation, Line, Slip
from vaelib.distributions import MultivariateNormal
from vaelib.estimate import Estimate
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import JointGaussian, Table
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.quadrature import gauss_hermite, gauss_hermite_multivariate, gauss_legendre
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


A1 = Derivation(
    "A1",
    "Bayes' rule",
    draw=Population.draw,
    assumptions="p(x) > 0",
    source="Bayes 1763; Laplace 1774",
    lines=(
        Line(r"p(z \mid x)", at_x(lambda w: w.posterior), reason="among those with x, the share of each z"),
        Line(
            r"\frac{p(x, z)}{p(x)}",
            at_x(lambda w: w.joint / w.evidence),
            reason="definition of a conditional probability; needs p(x) > 0",
        ),
        Line(
            r"\frac{p(x \mid z)\,p(z)}{p(x)}",
            at_x(lambda w: w.likelihood * w.prior / w.evidence),
            reason="product rule: the joint is likelihood times prior",
        ),
        Line(
            r"\frac{p(x \mid z)\,p(z)}{\sum_{z'} p(x \mid z')\,p(z')}",
            at_x(lambda w: w.likelihood * w.prior / np.sum(w.likelihood * w.prior, axis=0)),
            reason="sum rule: p(x) adds up the joint over all z'",
        ),
        Line(
            r"\text{as computed by } \mathtt{DiscreteLatent.posterior}",
            lambda w: w.model.posterior(w.x).probs,
            reason="the same formula in the package",
        ),
        Line(
            r"p(x, z)",
            at_x(lambda w: w.joint),
            reason="p(x) is the same for every z: only a constant factor",
            relation="proportional",
        ),
    ),
    slips=(
        Slip(
            1,
            "divided by p(z)",
            "It looks like the joint was divided by p(z): that gives p(x|z), the condition the other way round.",
            at_x(lambda w: w.joint / w.prior),
            latex=r"\frac{p(x, z)}{p(z)}",
        ),
        Slip(
            2,
            "no prior",
            "It looks like the prior is missing: how common each z is counts as much as how well it explains x.",
            at_x(lambda w: w.likelihood / w.evidence),
            latex=r"\frac{p(x \mid z)}{p(x)}",
            real="a published note: p(z|x) = p(x|z) / p(x)",
        ),
        Slip(
            3,
            "no prior, normalized again",
            "It looks like the likelihood was normalized over z: it then adds up to one, but each z was taken to be equally common.",
            at_x(lambda w: w.likelihood / np.sum(w.likelihood, axis=0)),
            latex=r"\frac{p(x \mid z)}{\sum_{z'} p(x \mid z')}",
        ),
        Slip(
            5,
            "proportional to the likelihood",
            "It looks like the prior was taken to be flat: the posterior follows likelihood times prior.",
            at_x(lambda w: w.likelihood),
            latex=r"p(x \mid z)",
        ),
        Slip(
            5,
            "equal to the joint",
            "It looks like the joint was taken for the posterior: it still has to be divided by p(x).",
            relation="=",
        ),
    ),
)

A2 = Derivation(
    "A2",
    "product rule, both ways",
    draw=Population.draw,
    assumptions="p(x) > 0 and p(z) > 0 where a condition is set",
    source="definition of conditional probability",
    lines=(
        Line(r"p(x, z) \quad \forall x, z", lambda w: w.joint, reason="the share of those with both"),
        Line(
            r"p(z)\,p(x \mid z)",
            lambda w: w.prior * w.likelihood,
            reason="first the share with z, then among them the share with x",
        ),
        Line(
            r"p(x)\,p(z \mid x)",
            lambda w: w.evidence * w.posterior,
            reason="the same members, sorted by x first",
        ),
        Line(
            r"\text{as computed by } \mathtt{DiscreteLatent.joint}",
            lambda w: w.model.joint,
            reason="prior times likelihood in the package",
        ),
        Line(
            r"\exp\left(\log p(x) + \log p(z \mid x)\right)",
            lambda w: np.exp([(log_evidence + for_all_z(log_post)).value(column) for column in columns(w)]).T,
            reason="the other way in the package, with logarithms",
        ),
    ),
    slips=(
        Slip(
            1,
            "p(x) for p(z)",
            "It looks like p(x) and p(z) were exchanged: weight each condition by its own share.",
            lambda w: w.evidence * w.likelihood,
            latex=r"p(x)\,p(x \mid z)",
        ),
        Slip(
            1,
            "independence",
            "It looks like x and z were taken to be independent: then x would say nothing about z.",
            lambda w: w.prior * w.evidence,
            latex=r"p(z)\,p(x)",
        ),
        Slip(
            2,
            "p(z) for p(x)",
            "It looks like p(z) and p(x) were exchanged: what is conditioned on x is weighted by p(x).",
            lambda w: w.prior * w.posterior,
            latex=r"p(z)\,p(z \mid x)",
        ),
    ),
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


def log_integral_of_joint(w: LinearWitness) -> Estimate:
    """log of the integral of p(x|z) p(z), by Gauss-Hermite under a Gaussian 1.2 times as wide as the posterior.

    A rule under the prior would put nearly all nodes where nothing is.
    """
    center = w.model.posterior(w.x)
    nodes = MultivariateNormal(center.loc, 1.44 * center.covariance)

    def weighted(z: Array) -> Array:
        return np.exp(w.model.log_likelihood(w.x, z) + w.model.log_prior(z) - nodes.log_prob(z))

    return gauss_hermite_multivariate(weighted, nodes.loc, np.linalg.cholesky(nodes.covariance), n=16).log()


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


A3 = Derivation(
    "A3",
    "evidence of the linear-Gaussian model",
    draw=partial(LinearWitness.draw, k=2, d=2),  # square, so that W^T W for W W^T has a value
    assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
    source="Tipping and Bishop 1999, section 3.1",
    lines=(
        Line(
            r"\log \int N(x;\, W z + b,\, c I)\,N(z;\, 0, I)\,dz",
            log_integral_of_joint,
            reason="sum rule: z is integrated out of the joint",
        ),
        Line(
            r"-\tfrac12\left[\log|2\pi c I| + \log|\tfrac{1}{c} M| + \tfrac{1}{c}\left(\|r\|^2 - r^\top W M^{-1} W^\top r\right)\right]",
            square_completed,
            reason="complete the square in z; r = x - b, M = WᵀW + cI",
        ),
        Line(
            r"\log N(x;\, b,\, W W^\top + c I)",
            evidence_with(),
            reason="Woodbury's formula, and the one for determinants",
        ),
        Line(
            r"\text{as computed by } \mathtt{LinearGaussian.log\_evidence}",
            lambda w: w.model.log_evidence(w.x),
            reason="the same in the package, by Cholesky",
        ),
    ),
    slips=(
        Slip(
            2,
            "transposed product",
            "It looks like W was transposed: the covariance of x = W z + noise is W Wᵀ + c I, of size d by d.",
            evidence_with(inner=True),
            latex=r"\log N(x;\, b,\, W^\top W + c I)",
        ),
        Slip(
            2,
            "c squared",
            "It looks like c was taken for a standard deviation; here it is the variance already.",
            evidence_with(power=2),
            latex=r"\log N(x;\, b,\, W W^\top + c^2 I)",
        ),
        Slip(
            2,
            "no offset",
            "It looks like the mean of x was set to zero: E[W z + b] = b.",
            evidence_with(offset=0.0),
            latex=r"\log N(x;\, 0,\, W W^\top + c I)",
        ),
        Slip(
            2,
            "no noise",
            "It looks like only W z was counted: the noise adds c I to the covariance (a jitter does not replace it).",
            evidence_with(noise=1e-3),
            latex=r"\log N(x;\, b,\, W W^\top)",
        ),
    ),
)


# ------------------------------------------------------------------------------------------------ A4 and A5: normalized


def over_z(w: CurvedWitness, f: Callable[[Array], Array]) -> Estimate:
    """The integral of f by Gauss-Legendre panels; the evidence comes from another rule, the trapezoid."""
    return gauss_legendre(f, *w.model.latent_range)


def posterior_mass(w: CurvedWitness, prior: float = 1.0) -> Estimate:
    """The integral of p(x|z) p(z)^prior / p(x)."""
    m, evidence = w.model, w.model.log_evidence(w.x).value
    return over_z(w, lambda z: np.exp(m.log_likelihood(w.x, z) + prior * m.log_prior(z) - evidence))


def joint_mass(w: CurvedWitness) -> Estimate:
    """The integral of p(x, z) over z."""
    return over_z(w, lambda z: np.exp(w.model.log_joint(w.x, z)))


def likelihood_mass(w: CurvedWitness) -> Estimate:
    """The integral of p(x|z) over z, which may be anything."""
    return over_z(w, lambda z: np.exp(w.model.log_likelihood(w.x, z)))


A4 = Derivation(
    "A4",
    "the posterior integrates to one",
    draw=CurvedWitness.draw,
    assumptions="p(x) > 0",
    source="A1 and the sum rule; the integral and p(x) come from two quadrature rules",
    lines=(
        Line("1", lambda w: 1.0),
        Line(
            r"\frac{1}{p(x)} \int p(x, z)\,dz",
            lambda w: joint_mass(w) / np.exp(w.model.log_evidence(w.x).value),
            reason="sum rule: the integral of the joint over z is p(x)",
        ),
        Line(
            r"\int \frac{p(x \mid z)\,p(z)}{p(x)}\,dz",
            posterior_mass,
            reason="p(x) does not depend on z; product rule (A2)",
        ),
        Line(
            r"\int p(z \mid x)\,dz",
            lambda w: w.model.integrate(lambda z: np.exp(w.model.log_posterior(w.x, z))),
            reason="Bayes' rule (A1) at every z",
        ),
    ),
    slips=(
        Slip(
            1,
            "not divided by the evidence",
            "It looks like the joint was taken for the posterior: over z it integrates to p(x).",
            joint_mass,
            latex=r"\int p(x, z)\,dz",
        ),
        Slip(
            2,
            "no prior",
            "It looks like the prior is missing: without it nothing makes this integrate to one.",
            partial(posterior_mass, prior=0.0),
            latex=r"\int \frac{p(x \mid z)}{p(x)}\,dz",
            real="a published note: p(z|x) = p(x|z) / p(x)",
        ),
        Slip(
            3,
            "p(x|z) for p(z|x)",
            "It looks like p(x|z) was taken for a density in z: it integrates to one over x, not over z.",
            likelihood_mass,
            latex=r"\int p(x \mid z)\,dz",
            real="a published note: KL(q(z|x) || p(x|z))",
        ),
    ),
)

A5 = Derivation(
    "A5",
    "the evidence from any single z",
    draw=partial(LinearPoints.draw, k=3, d=5),
    assumptions="the posterior density is known and positive at z",
    source="Besag 1989; Chib 1995",
    lines=(
        Line(log_evidence),
        Line(for_all_z(log_joint - log_post), reason="product rule: p(x,z) = p(x) times the posterior"),
        Line(for_all_z(log_lik + log_prior - log_post), reason="product rule: the joint is likelihood times prior"),
    ),
    slips=(
        Slip(
            1,
            "p(x|z) for p(z|x)",
            "It looks like the joint was divided by p(x|z): that leaves the prior, which changes with z.",
            for_all_z(log_joint - log_lik),
            real="a published note: p(x|z) where the posterior belongs",
        ),
        Slip(
            2,
            "no prior",
            "It looks like the prior is missing: the joint is p(x|z) p(z).",
            for_all_z(log_lik - log_post),
        ),
        Slip(
            2,
            "plus the log-posterior",
            "It looks like the posterior was multiplied in; to get p(x) the joint is divided by it.",
            for_all_z(log_lik + log_prior + log_post),
        ),
    ),
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


A6 = Derivation(
    "A6",
    "the log-likelihood of a data set is a sum",
    draw=Observations.draw,
    assumptions="observations independent, from one distribution",
    source="Fisher 1922",
    lines=(
        Line(
            r"\log p(x_1, \ldots, x_N)",
            log_density_of_all,
            reason="one Gaussian vector; covariance block-diagonal",
        ),
        Line(
            r"\log \prod_{i=1}^{N} p(x_i)",
            lambda w: np.log(np.prod(np.exp(w.model.log_evidence(w.x)))),
            reason="independence: the joint density is a product",
        ),
        Line(
            r"\sum_{i=1}^{N} \log p(x_i)",
            lambda w: np.sum(w.model.log_evidence(w.x)),
            reason="the logarithm of a product is a sum",
        ),
    ),
    slips=(
        Slip(
            1,
            "sum of densities",
            "It looks like the densities were added: for independent observations they multiply.",
            lambda w: np.log(np.sum(np.exp(w.model.log_evidence(w.x)))),
            latex=r"\log \sum_{i=1}^{N} p(x_i)",
        ),
        Slip(
            2,
            "mean",
            "It looks like a mean stands for the sum: the same θ is best, but the value is N times too small.",
            lambda w: np.mean(w.model.log_evidence(w.x)),
            latex=r"\frac{1}{N} \sum_{i=1}^{N} \log p(x_i)",
        ),
        Slip(
            2,
            "a single term",
            "It looks like the sum was lost: one observation stands for the whole data set.",
            lambda w: w.model.log_evidence(w.x)[0],
            latex=r"\log p(x_i)",
            real="a published note: maximize log p(x(i)), with no sum",
        ),
        Slip(
            2,
            "logarithm of the mean",
            "It looks like the logarithm and the average were exchanged.",
            lambda w: np.log(np.mean(np.exp(w.model.log_evidence(w.x)))),
            latex=r"\log \frac{1}{N} \sum_{i=1}^{N} p(x_i)",
        ),
    ),
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


def from_precisions(w: LinearWitness, prior: float = 1.0) -> Array:
    """N(P^-1 W^T r / c, P^-1) with P = W^T W / c + prior I."""
    loading, c, residual = w.model.loading, w.model.noise_variance, w.x - w.model.offset
    precision = loading.T @ loading / c + prior * np.eye(w.model.latent_dim)
    return mean_and_covariance(np.linalg.solve(precision, loading.T @ residual / c), np.linalg.inv(precision))


def by_latent_matrix(w: LinearWitness, power: int = 1, scaled: bool = True, offset: float = 1.0) -> Array:
    """N(M^-1 W^T (x - offset b), c M^-1) with M = W^T W + c^power I; not `scaled`: covariance M^-1."""
    loading, c = w.model.loading, w.model.noise_variance
    m = loading.T @ loading + c**power * np.eye(w.model.latent_dim)
    mean = np.linalg.solve(m, loading.T @ (w.x - offset * w.model.offset))
    return mean_and_covariance(mean, (c if scaled else 1.0) * np.linalg.inv(m))


def by_data_matrix(w: LinearWitness, sign: float = -1.0) -> Array:
    """N(W^T S^-1 (x - b), I - W^T S^-1 W) with S = W W^T + c I."""
    loading, residual = w.model.loading, w.x - w.model.offset
    covariance = loading @ loading.T + w.model.noise_variance * np.eye(w.model.data_dim)
    gain = np.linalg.solve(covariance, loading).T
    return mean_and_covariance(gain @ residual, np.eye(w.model.latent_dim) + sign * gain @ loading)


def from_the_package(w: LinearWitness) -> Array:
    posterior = w.model.posterior(w.x)
    return mean_and_covariance(posterior.loc, posterior.covariance)


A7 = Derivation(
    "A7",
    "posterior of the linear-Gaussian model, in two forms",
    draw=LinearWitness.draw,
    assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
    source="Tipping and Bishop 1999, section 3.1; Woodbury 1950",
    lines=(
        Line(
            r"P^{-1} g,\quad P^{-1}",
            from_the_log_joint,
            reason="g, -P: slope and curvature of log p(x, z) in z, at 0",
        ),
        Line(
            r"P^{-1}\,\tfrac{1}{c} W^\top r,\quad P^{-1} = \left(\tfrac{1}{c} W^\top W + I\right)^{-1}",
            from_precisions,
            reason="likelihood gives WᵀW/c, prior gives I; r = x - b",
        ),
        Line(
            r"M^{-1} W^\top r,\quad c\,M^{-1},\quad M = W^\top W + c I",
            by_latent_matrix,
            reason="P = M / c",
        ),
        Line(
            r"W^\top \Sigma^{-1} r,\quad I - W^\top \Sigma^{-1} W,\quad \Sigma = W W^\top + c I",
            by_data_matrix,
            reason="Woodbury: d by d matrices for k by k",
        ),
        Line(
            r"\text{as computed by } \mathtt{LinearGaussian.posterior}",
            from_the_package,
            reason="the form with M in the package",
        ),
    ),
    slips=(
        Slip(
            1,
            "no prior",
            "It looks like the prior is missing: this is least squares, which does not shrink towards zero.",
            partial(from_precisions, prior=0.0),
            latex=r"(W^\top W)^{-1} W^\top r,\quad c\,(W^\top W)^{-1}",
        ),
        Slip(
            2,
            "covariance without c",
            "It looks like the covariance lost its factor c: with less noise the posterior must get narrower.",
            partial(by_latent_matrix, scaled=False),
            latex=r"M^{-1} W^\top r,\quad M^{-1}",
        ),
        Slip(
            2,
            "c squared",
            "It looks like c was taken for a standard deviation; here it is the variance already.",
            partial(by_latent_matrix, power=2),
            latex=r"M^{-1} W^\top r,\quad c\,M^{-1},\quad M = W^\top W + c^2 I",
        ),
        Slip(
            2,
            "no offset",
            "It looks like b was not subtracted: z explains only how x differs from b.",
            partial(by_latent_matrix, offset=0.0),
            latex=r"M^{-1} W^\top x,\quad c\,M^{-1}",
        ),
        Slip(
            3,
            "covariance grows",
            "It looks like the second term was added: an observation takes uncertainty away.",
            partial(by_data_matrix, sign=1.0),
            latex=r"W^\top \Sigma^{-1} r,\quad I + W^\top \Sigma^{-1} W",
        ),
    ),
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


def covariance_in_closed_form(w: CurvedWitness, curvature: float = 0.5) -> Array:
    m = w.model
    linear, curved = np.outer(m.loading, m.loading), np.outer(m.curvature, m.curvature)
    return m.noise_variance * np.eye(m.data_dim) + linear + curvature * curved


A8 = Derivation(
    "A8",
    "law of total covariance",
    draw=partial(CurvedWitness.draw, d=2),
    assumptions="finite second moments",
    source="Bishop 2006, exercise 2.8, for one dimension",
    lines=(
        Line(
            r"\mathbb{E}[x x^\top] - \mathbb{E}[x]\,\mathbb{E}[x]^\top",
            covariance_of_x,
            reason="definition of Cov(x), over z and noise together",
        ),
        Line(
            r"\mathbb{E}\left[\mathrm{Cov}(x \mid z)\right] + \mathrm{Cov}\left(\mathbb{E}[x \mid z]\right)",
            covariance_in_two_parts,
            reason="within each z, and between the means",
        ),
        Line(
            r"c I + w w^\top + \tfrac12 a a^\top",
            covariance_in_closed_form,
            reason="f(z) = b + w z + a z²/2; Var z = 1, Var z² = 2",
        ),
    ),
    slips=(
        Slip(
            1,
            "no noise",
            "It looks like the noise within each z was left out: x also varies when z is known.",
            partial(covariance_in_two_parts, within=0.0),
            latex=r"\mathrm{Cov}\left(\mathbb{E}[x \mid z]\right)",
        ),
        Slip(
            1,
            "only noise",
            "It looks like the means were left out: they move with z, and that spreads x.",
            partial(covariance_in_two_parts, between=0.0),
            latex=r"\mathbb{E}\left[\mathrm{Cov}(x \mid z)\right]",
        ),
        Slip(
            1,
            "c squared",
            "It looks like c was taken for a standard deviation; here it is the variance already.",
            partial(covariance_in_two_parts, power=2),
            latex=r"c^2 I + \mathrm{Cov}\left(\mathbb{E}[x \mid z]\right)",
        ),
        Slip(
            2,
            "decoder taken to be a line",
            "It looks like the curvature was left out: a bent decoder spreads x further.",
            partial(covariance_in_closed_form, curvature=0.0),
            latex=r"c I + w w^\top",
        ),
    ),
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


A9 = Derivation(
    "A9",
    "the model's posteriors average to its prior",
    draw=TableAndLine.draw,
    assumptions="x is drawn from the model itself, p(x); for the x of a data set it need not hold",
    source="Bishop 2006, equation 2.20 and exercise 2.8; Hoffman and Johnson 2016 for the aggregate posterior",
    lines=(
        Line(
            r"p(z),\quad \mathrm{Cov}(z)",
            lambda w: w.both(w.population.prior, np.eye(w.model.latent_dim)),
            reason="the prior of a table, and I of a Gaussian model",
        ),
        Line(
            r"\sum_x p(x, z),\quad \mathrm{Cov}(z) \text{ from the law of } (z, x)",
            lambda w: w.both(w.population.joint.sum(axis=1), moments_over_z_and_x(w)),
            reason="sum rule: x is added up, integrated out",
        ),
        Line(
            r"\sum_x p(x)\,p(z \mid x),\quad \mathbb{E}[\mathrm{Cov}(z \mid x)] + \mathrm{Cov}(\mathbb{E}[z \mid x])",
            lambda w: w.both((w.population.evidence * w.population.posterior).sum(axis=1), averaged_posterior(w)),
            reason="product rule (A2); law of total covariance (A8)",
        ),
        Line(
            r"\text{as computed by } \mathtt{log\_evidence}, \mathtt{posterior}",
            averaged_by_package,
            reason="the posteriors of the package, averaged",
        ),
    ),
    slips=(
        Slip(
            2,
            "another source of x",
            "It looks like x did not come from the model: then the posteriors average to something else, the aggregate posterior.",
            under_other_data,
            latex=r"\tfrac1M \sum_x p(z \mid x),\quad \ldots",
            real="published notes exchange data and model under the expectation",
        ),
        Slip(
            2,
            "means taken not to move",
            "It looks like Cov(E[z|x]) is missing: each posterior is narrower than the prior, but their means differ.",
            lambda w: w.both(w.population.prior, averaged_posterior(w, between=0.0)),
            latex=r"\ldots,\quad \mathbb{E}[\mathrm{Cov}(z \mid x)]",
        ),
        Slip(
            2,
            "posteriors taken to be points",
            "It looks like E[Cov(z|x)] is missing: one mean for each x, but every posterior has a width.",
            lambda w: w.both(w.population.prior, averaged_posterior(w, within=0.0)),
            latex=r"\ldots,\quad \mathrm{Cov}(\mathbb{E}[z \mid x])",
        ),
        Slip(
            2,
            "posteriors added, not averaged",
            "It looks like p(x) was left out: each posterior must count as often as its x occurs.",
            lambda w: w.both(w.population.posterior.sum(axis=1), averaged_posterior(w)),
            latex=r"\sum_x p(z \mid x),\quad \ldots",
        ),
    ),
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


def product_of_densities(*parts: str) -> Callable[[TwoObservations], Array]:
    """At each z, the product of some of: prior, p(x1|z), p(x2|z), p(z|x1), p(z|x2), and p(x1|z) again."""
    logs: dict[str, Callable[[TwoObservations], Array]] = {
        "prior": lambda w: w.model.log_prior(w.z),
        "likelihood 1": lambda w: w.model.log_likelihood(w.first, w.z),
        "likelihood 2": lambda w: w.model.log_likelihood(w.second, w.z),
        "posterior 1": lambda w: w.model.log_posterior(w.first, w.z),
        "posterior 2": lambda w: w.model.log_posterior(w.second, w.z),
    }
    return lambda w: np.exp(sum(logs[part](w) for part in parts))


def updated_twice(w: TwoObservations) -> Array:
    """N(m2, V2) at each z: each observation adds W^T W / c to the precision, starting from the prior's I."""
    m, c = w.model, w.model.noise_variance
    loc, precision = np.zeros(m.latent_dim), np.eye(m.latent_dim)
    for x in (w.first, w.second):
        shifted = precision @ loc + m.loading.T @ (x - m.offset) / c
        precision = precision + m.loading.T @ m.loading / c
        loc = np.linalg.solve(precision, shifted)
    return np.exp([gaussian_log_density(z, loc, np.linalg.inv(precision)) for z in w.z])


A10 = Derivation(
    "A10",
    "one observation at a time",
    draw=TwoObservations.draw,
    assumptions="given z, the observations are independent",
    source="Laplace 1774; Bishop 2006, section 2.3.5",
    lines=(
        Line(
            r"p(z \mid x_1, x_2) \quad \forall z",
            lambda w: np.exp(w.stacked.log_posterior(np.concatenate([w.first, w.second]), w.z)),
            reason="both at once, as one vector (A7)",
        ),
        Line(
            r"p(x_1, x_2 \mid z)\,p(z)",
            lambda w: np.exp(w.stacked.log_joint(np.concatenate([w.first, w.second]), w.z)),
            relation="proportional",
            reason="Bayes' rule; p(x₁, x₂) holds no z",
        ),
        Line(
            r"p(x_2 \mid z)\,p(x_1 \mid z)\,p(z)",
            product_of_densities("likelihood 2", "likelihood 1", "prior"),
            reason="given z, the observations are independent",
        ),
        Line(
            r"p(x_2 \mid z)\,p(z \mid x_1)",
            product_of_densities("likelihood 2", "posterior 1"),
            relation="proportional",
            reason="Bayes' rule for x₁: its posterior is the new prior",
        ),
        Line(
            r"N(z;\, m_2, V_2),\quad V_2^{-1} = V_1^{-1} + \tfrac1c W^\top W",
            updated_twice,
            relation="proportional",
            reason="precisions add, once for each observation",
        ),
    ),
    slips=(
        Slip(
            2,
            "first observation lost",
            "It looks like only x₂ was used: x₁ still tells about z.",
            product_of_densities("likelihood 2", "prior"),
            latex=r"p(x_2 \mid z)\,p(z)",
        ),
        Slip(
            3,
            "prior counted twice",
            "It looks like both posteriors were multiplied: each contains the prior, which is to be used once.",
            product_of_densities("posterior 2", "posterior 1"),
            latex=r"p(z \mid x_2)\,p(z \mid x_1)",
        ),
        Slip(
            3,
            "prior dropped",
            "It looks like the prior was dropped: likelihoods alone do not make a posterior.",
            product_of_densities("likelihood 2", "likelihood 1"),
            latex=r"p(x_2 \mid z)\,p(x_1 \mid z)",
        ),
        Slip(
            3,
            "first observation counted twice",
            "It looks like x₁ was used twice: p(z|x₁) contains its likelihood already.",
            product_of_densities("likelihood 2", "likelihood 1", "posterior 1"),
            latex=r"p(x_2 \mid z)\,p(x_1 \mid z)\,p(z \mid x_1)",
        ),
        Slip(
            3,
            "equal sign",
            "It looks like a normalizer was forgotten: p(x₂|z) p(z|x₁) still has to be divided by p(x₂|x₁).",
            relation="=",
        ),
    ),
)

CHAPTER = (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10)
