r"""Chapter A: Bayes' rule, and models with a hidden variable.

A1 and A2 begin with a population that is counted, so that no probability is taken from the formula under test. A3 to A8
begin with the joint density or with an integral over it, and end with the package's closed forms. A9 and A10 average
posteriors, and chain them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import MultivariateNormal
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Either, JointGaussian, Law, Table
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.quadrature import gauss_hermite_multivariate
from vaelib.terms import for_all_z, log_evidence, log_joint, log_lik, log_post, log_prior
from vaelib.witnesses import CurvedWitness, LinearPoints, LinearWitness, linear_names, linear_world

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

    @property
    def states(self) -> Array:
        """Every z."""
        return np.arange(self.counts.shape[0])

    @property
    def values(self) -> Array:
        """Every x."""
        return np.arange(self.counts.shape[1])

    def scope(self) -> Scope:
        """p(x, z) by counting, and the x that is observed."""
        return Scope(worlds={"p": Table(("z", "x"), self.joint)}, observed={"x": self.x})


A1 = (
    derive("A1", "Bayes' rule", Population.draw, assumptions="p(x) > 0", source="Bayes 1763; Laplace 1774")
    .start(tex(r"p(z \mid x) \quad \forall z"), why="what we want: among those with x, the share of each z")
    .eq(
        tex(r"\frac{p(x, z)}{p(x)}"),
        "definition of a conditional probability",
        why="the joint is what we have",
        needs="p(x) > 0",
    )
    .slip(
        "divided by p(z)",
        tex(r"\frac{p(x, z)}{p(z)}"),
        "the joint was divided by p(z): that gives p(x|z), the condition the other way round.",
    )
    .eq(
        tex(r"\frac{p(x \mid z)\,p(z)}{p(x)}"),
        "product rule (A2): the joint is likelihood times prior",
        why="the model gives these two",
    )
    .slip(
        "no prior",
        tex(r"\frac{p(x \mid z)}{p(x)}"),
        "the prior is missing: how common each z is counts as much as how well it explains x.",
        real="a published note: p(z|x) = p(x|z) / p(x)",
    )
    .eq(
        tex(r"\frac{p(x \mid z)\,p(z)}{\sum_{z'} p(x \mid z')\,p(z')}"),
        "marginalization: the sum rule, then the product rule",
        why="p(x) is not given",
        needs="every z' counted once",
    )
    .slip(
        "no prior, normalized again",
        tex(r"\frac{p(x \mid z)}{\sum_{z'} p(x \mid z')}"),
        "the likelihood was normalized over z: it then adds up to one, but each z was taken to be equally common.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{DiscreteLatent.posterior}", lambda w: w.model.posterior(w.x).probs),
        "the same formula in the package",
    )
    .proportional(
        tex(r"p(x, z)"),
        "p(x) is the same for every z: only a constant factor",
        why="compare the z first, rescale later",
    )
    .slip(
        "proportional to the likelihood",
        tex(r"p(x \mid z)"),
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
    .start(tex(r"p(x, z) \quad \forall z, x"), why="the share of those with both: everything else follows from it")
    .eq(
        tex(r"p(z)\,p(x \mid z)"),
        "first the share with z, then among them the share with x",
        why="how the model generates",
        needs="p(z) > 0; where it is 0, both sides are 0",
    )
    .slip(
        "p(x) for p(z)",
        tex(r"p(x)\,p(x \mid z)"),
        "p(x) and p(z) were swapped: weight each condition by its own share.",
    )
    .slip("independence", tex(r"p(z)\,p(x)"), "x and z were taken to be independent: then x would say nothing about z.")
    .eq(tex(r"p(x)\,p(z \mid x)"), "the same members, sorted by x first", why="how we infer", needs="p(x) > 0")
    .slip(
        "p(z) for p(x)",
        tex(r"p(z)\,p(z \mid x)"),
        "p(z) and p(x) were swapped: what is conditioned on x is weighted by p(x).",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{DiscreteLatent.joint}", lambda w: w.model.joint),
        "prior times likelihood in the package",
    )
    .eq(
        given(
            r"\exp\left(\log p(x) + \log p(z \mid x)\right)",
            lambda w: np.exp([w.model.log_evidence(x) + w.model.log_posterior(x, w.states) for x in w.values]).T,
        ),
        "the other way in the package, with logarithms",
    )
)


# ------------------------------------------------------------------- the evidence of a linear-Gaussian model, A3


A3 = (
    derive(
        "A3",
        "evidence of the linear-Gaussian model",
        partial(LinearWitness.draw, k=2, d=2),  # square, so that W^T W for W W^T has a value
        assumptions="z ~ N(0, I), x | z ~ N(W z + b, c I), c > 0",
        source="Tipping and Bishop 1999, section 3.1",
    )
    .start(
        tex(r"\log \int N(x;\, W z + b,\, c I)\,N(z;\, 0, I)\,dz"),
        why="the definition: the sum rule integrates z out of the joint",
    )
    .eq(
        tex(
            r"-\tfrac12\left[d \log 2\pi c + \log|\tfrac{1}{c} M| "
            r"+ \tfrac{1}{c}\left(\|r\|^2 - r^\top W M^{-1} W^\top r\right)\right]"
        ),
        "complete the square in z, integrate the Gaussian",
        why="an integral we know; $r = x - b$, $M = W^\\top W + c I$",
        needs="c > 0",
    )
    .eq(
        tex(r"\log N(x;\, b,\, W W^\top + c I)"),
        "Woodbury's formula, and Sylvester's for determinants",
        why="a density we can name",
    )
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
        tex(r"\log N(x;\, b,\, W W^\top)"),
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
    .start(tex("1"), why="what a density has to give")
    .eq(
        tex(r"\frac{1}{p(x)} \int p(x, z)\,dz"),
        "marginalization: the integral of the joint over z is p(x)",
        why="brings in the joint",
        needs="0 < p(x) < ∞",
    )
    .slip(
        "not divided by the evidence",
        tex(r"\int p(x, z)\,dz"),
        "the joint was taken for the posterior: over z it integrates to p(x).",
    )
    .eq(
        tex(r"\int \frac{p(x \mid z)\,p(z)}{p(x)}\,dz"),
        "p(x) does not depend on z; product rule (A2)",
        why="one integrand",
    )
    .slip(
        "no prior",
        tex(r"\int \frac{p(x \mid z)}{p(x)}\,dz"),
        "the prior is missing: without it nothing makes this integrate to one.",
        real="a published note: p(z|x) = p(x|z) / p(x)",
    )
    .eq(tex(r"\int p(z \mid x)\,dz"), "Bayes' rule (A1) at every z", why="the claim")
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
    .start(log_evidence, why="holds no z")
    .eq(
        for_all_z(log_joint - log_post),
        "product rule: p(x,z) = p(x) times the posterior",
        why="the same number at every z, although each term changes",
        needs="the posterior density, normalizer included",
    )
    .slip(
        "p(x|z) for p(z|x)",
        for_all_z(log_joint - log_lik),
        "the joint was divided by p(x|z): that leaves the prior, which changes with z.",
        real="a published note: p(x|z) where the posterior belongs",
    )
    .eq(
        for_all_z(log_lik + log_prior - log_post),
        "product rule: the joint is likelihood times prior",
        why="what the model gives",
    )
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
        """p(x, z), the observations x_i, and X, all of them in one vector: between two the covariance is zero."""
        m, n = self.model, len(self.x)
        one = m.loading @ m.loading.T + m.noise_variance * np.eye(m.data_dim)
        together = MultivariateNormal(np.tile(m.offset, n), np.kron(np.eye(n), one))
        return Scope(
            worlds={"p": Either(linear_world(m), Law("X", together))},
            observed={"X": self.x.ravel()},
            values={"x": self.x, "N": n},
            ranges={"i": n},
        )


A6 = (
    derive(
        "A6",
        "the log-likelihood of a data set is a sum",
        Observations.draw,
        assumptions="observations independent, from one distribution",
        source="Fisher 1922",
    )
    .start(
        tex(r"\log p(X)"),
        why="what maximum likelihood maximizes; X is all of $x_1$ to $x_N$ in one vector",
    )
    .eq(
        tex(r"\log \prod_{i=1}^{N} p(x_i)"),
        "independence: the joint density is a product",
        why="one example at a time",
        needs="independence: an assumption, to be stated",
    )
    .slip(
        "sum of densities",
        tex(r"\log \sum_{i=1}^{N} p(x_i)"),
        "the densities were added: for independent observations they multiply.",
    )
    .eq(
        tex(r"\sum_{i=1}^{N} \log p(x_i)"),
        "the logarithm of a product is a sum",
        why="sums can be estimated from a part",
        needs="every density above 0",
    )
    .slip(
        "mean",
        tex(r"\frac{1}{N} \sum_{i=1}^{N} \log p(x_i)"),
        "a mean took the place of the sum: the same θ is best, but the value is N times too small.",
    )
    .slip(
        "a single term",
        tex(r"\log p(x_1)"),
        "the sum was lost: one observation speaks for the whole data set.",
        real="a published note: maximize log p(x(i)), with no sum",
    )
    .slip(
        "logarithm of the mean",
        tex(r"\log \frac{1}{N} \sum_{i=1}^{N} p(x_i)"),
        "the logarithm and the average were swapped.",
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
        given(r"P^{-1} g,\quad P^{-1}", from_the_log_joint),
        why="complete the square: g and -P are slope and curvature of log p(x, z) in z, at 0",
    )
    .eq(
        tex(r"P^{-1}\,\tfrac{1}{c} W^\top r,\quad P^{-1},\quad P = \tfrac{1}{c} W^\top W + I"),
        "likelihood gives WᵀW/c, prior gives I; r = x - b",
        why="read g and P off the exponent: precisions add",
    )
    .slip(
        "no prior",
        tex(r"(W^\top W)^{-1} W^\top r,\quad c\,(W^\top W)^{-1}"),
        "the prior is missing: this is least squares, which does not shrink towards zero.",
    )
    .eq(
        tex(r"M^{-1} W^\top r,\quad c\,M^{-1},\quad M = W^\top W + c I"),
        "P = M / c",
        why="inverts a k by k matrix",
        needs="c > 0",
    )
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
        why="where d is smaller than k",
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


def covariance_of_x(w: CurvedWitness) -> Array:
    """Moments of x = f(z) + sqrt(c) noise over z and the noise together; a polynomial of degree 4, so exact."""
    d = w.model.data_dim

    def moments(u: Array) -> Array:
        x = w.model.likelihood(u[:, 0]).transform(u[:, 1:])
        return np.concatenate([x[:, :, None], x[:, :, None] * x[:, None, :]], axis=2)

    first, second = np.split(
        gauss_hermite_multivariate(moments, np.zeros(1 + d), np.eye(1 + d), n=3).value, [1], axis=1
    )
    return second - first @ first.T


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
        tex(r"\mathbb{E}_{p(z)}[C(z)] + \mathrm{Cov}_{p(z)}(f(z))"),
        "the mean of the covariances + the covariance of the means",
        why="within each z, x has the mean f(z) and the covariance C(z) = c I",
    )
    .slip(
        "no noise",
        tex(r"\mathrm{Cov}_{p(z)}(f(z))"),
        "the noise within each z was left out: x also varies when z is known.",
    )
    .slip(
        "only noise",
        tex(r"\mathbb{E}_{p(z)}[C(z)]"),
        "the means were left out: they move with z, and that spreads x.",
    )
    .slip(
        "c squared",
        tex(r"c^2 I + \mathrm{Cov}_{p(z)}(f(z))"),
        "c was taken for a standard deviation; here it is the variance already.",
    )
    .eq(
        tex(r"c I + w w^\top + \tfrac12 a a^\top"),
        "f(z) = b + w z + a z²/2; Var z = 1, Var z² = 2",
        needs="z and z² uncorrelated: Cov(z, z²) = E[z³] = 0",
    )
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

    def scope(self) -> Scope:
        """p(x, z) of the table; of the model W, c, M, Sigma, and L, the rows of a Cholesky factor that make its z."""
        m, k = self.model, self.model.latent_dim
        crossed = np.block([[np.eye(k), m.loading.T], [m.loading, m.evidence.covariance]])
        return Scope(
            worlds={"p": Table(("z", "x"), self.population.joint)},
            values={**linear_names(m, m.offset), "I_k": np.eye(k), "L": np.linalg.cholesky(crossed)[:k]}
            | {"n": self.population.counts.shape[1]},
        )


def averaged_by_package(w: TableAndLine) -> Array:
    """The same with the package's evidence and posteriors: E[z|x] at x = b and one step along each axis."""
    p, m = w.population.model, w.model
    table = sum(np.exp(p.log_evidence(x)) * p.posterior(x).probs for x in w.population.values)
    steps = m.posterior(m.offset + np.eye(m.data_dim))
    slope = steps.loc - m.posterior(m.offset).loc  # row i: how E[z|x] changes with x_i
    covariance = steps.covariance[0] + slope.T @ m.evidence.covariance @ slope
    return np.column_stack([table, np.tile(covariance.ravel(), (len(table), 1))])


A9 = (
    derive(
        "A9",
        "the model's posteriors average to its prior",
        TableAndLine.draw,
        assumptions="x is drawn from the model itself, p(x); for the x of a data set it need not hold",
        source="Bishop 2006, equation 2.20 and exercise 2.8; Hoffman and Johnson 2016 for the aggregate posterior",
    )
    .start(
        tex(r"p(z),\quad I_k \quad \forall z"),
        why="the prior of a table, and the covariance of z in a Gaussian model",
    )
    .eq(
        tex(r"\sum_x p(x, z),\quad L L^\top"),
        "sum rule: x is added up, integrated out",
        why="the law of (z, x) together; there z = L u with standard normal u",
    )
    .eq(
        tex(r"\sum_x p(x)\,p(z \mid x),\quad c\,M^{-1} + G \Sigma G^\top,\quad G = M^{-1} W^\top"),
        "product rule (A2); law of total covariance (A8)",
        why="$c M^{-1}$ within each posterior (A7); their means $G(x - b)$ move with x",
        needs="x from the model",
    )
    .slip(
        "another source of x",
        tex(r"\tfrac1n \sum_x p(z \mid x),\quad c\,M^{-1} + G \Sigma G^\top"),
        "x did not come from the model: then the posteriors average to something else, the aggregate posterior.",
        real="published notes take the data for the model under the expectation",
    )
    .slip(
        "means taken not to move",
        tex(r"\sum_x p(x)\,p(z \mid x),\quad c\,M^{-1}"),
        "Cov(E[z|x]) is missing: each posterior is narrower than the prior, but their means differ.",
    )
    .slip(
        "posteriors taken to be points",
        tex(r"\sum_x p(x)\,p(z \mid x),\quad G \Sigma G^\top"),
        "E[Cov(z|x)] is missing: one mean for each x, but every posterior has a width.",
    )
    .slip(
        "posteriors added, not averaged",
        tex(r"\sum_x p(z \mid x),\quad c\,M^{-1} + G \Sigma G^\top"),
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
        """p(x_1, x_2, z), the points z, and the moments of z after the first observation."""
        m, k, d = self.model, self.model.latent_dim, self.model.data_dim
        joint, first = linear_world(self.stacked), m.posterior(self.first)
        return Scope(
            worlds={"p": JointGaussian({"z": k, "x_1": d, "x_2": d}, joint.loc, joint.covariance)},
            observed={"x_1": self.first, "x_2": self.second},
            values={"z": self.z, "m_1": first.loc, "V_1": first.covariance}
            | {"W": m.loading, "b": m.offset, "c": m.noise_variance},
        )


A10 = (
    derive(
        "A10",
        "one observation at a time",
        TwoObservations.draw,
        assumptions="given z, the observations are independent",
        source="Laplace 1774; Bishop 2006, section 2.3.5",
    )
    .start(tex(r"p(z \mid x_1, x_2) \quad \forall z"), why="what we want: both at once, as one vector (A7)")
    .proportional(
        tex(r"p(x_1, x_2 \mid z)\,p(z)"),
        "Bayes' rule; p(x₁, x₂) holds no z",
        why="the joint is what we have",
        needs="p(x₁, x₂) > 0",
    )
    .eq(
        tex(r"p(x_2 \mid z)\,p(x_1 \mid z)\,p(z)"),
        "given z, the observations are independent",
        why="one factor for each observation",
        needs="independence given z, not without it",
    )
    .slip("first observation lost", tex(r"p(x_2 \mid z)\,p(z)"), "only x₂ was used: x₁ still tells about z.")
    .proportional(
        tex(r"p(x_2 \mid z)\,p(z \mid x_1)"),
        "Bayes' rule for x₁: its posterior is the new prior",
        why="all that x₁ said is in its posterior; p(x₁) holds no z",
        needs="p(x₁) > 0",
    )
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
        tex(
            r"N(z;\, m_2, V_2),\quad m_2 = V_2\,\left(V_1^{-1} m_1 + \tfrac1c W^\top (x_2 - b)\right),"
            r"\quad V_2 = \left(V_1^{-1} + \tfrac1c W^\top W\right)^{-1}"
        ),
        "the square as for A7, with N(m₁, V₁) for the prior",
        why="in numbers; $m_1$ and $V_1$ are what the first observation left",
        needs="the Gaussian model",
    )
)

CHAPTER = (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10)
