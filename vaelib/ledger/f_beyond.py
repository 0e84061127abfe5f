r"""Chapter F, continued: the bound beyond its four routes.

One encoder for many x (F22), the data set instead of one x (F18, F19), other coordinates (F17) and a second layer (F21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import Categorical, DiagonalNormal, Normal, kl_divergence
from vaelib.elbo import bound_terms, density_times
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.worlds import Conditional, Table
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian
from vaelib.quadrature import gauss_legendre, trapezoid
from vaelib.terms import E, log_joint, log_q, q
from vaelib.witnesses import (
    CurvedWitness,
    LinearWitness,
    generic_probabilities,
)

Array = np.ndarray
Rng = np.random.Generator


# ------------------------------------------------------------------------------- one encoder for the whole data set, F22


@dataclass(frozen=True)
class Encoders:
    """A linear-Gaussian model (k = 2, d = 3) and N = 9 observations; every q is a diagonal Gaussian."""

    model: LinearGaussian
    x: Array  # (N, d)

    @classmethod
    def draw(cls, rng: Rng) -> Encoders:
        w = LinearWitness.draw(rng)
        _, x = w.model.sample(9, rng=rng)
        return cls(w.model, x)

    @classmethod
    def one_x(cls, rng: Rng) -> Encoders:
        """The same observation nine times: then an encoder that does not look at x loses nothing."""
        w = cls.draw(rng)
        return cls(w.model, np.tile(w.x[:1], (9, 1)))

    @property
    def precision(self) -> Array:
        """Lambda = I + W^T W / c, the precision of the posterior, the same for every x; shape (k, k)."""
        return np.eye(self.model.latent_dim) + self.model.loading.T @ self.model.loading / self.model.noise_variance

    def encode(self, x: Array) -> Array:
        """The posterior mean as a linear function of x, Lambda^-1 W^T (x - b) / c; shape (N, k)."""
        residual = (x - self.model.offset) @ self.model.loading / self.model.noise_variance
        return np.linalg.solve(self.precision, residual.T).T


def mean_gap(w: Encoders, loc: Array, variance: Any) -> float:
    """(1/N) sum_i KL(N(loc_i, diag(variance)) || p(z | x_i))."""
    loc = np.broadcast_to(loc, (len(w.x), w.model.latent_dim))
    return float(np.mean(kl_divergence(DiagonalNormal(loc, np.sqrt(variance) + 0 * loc), w.model.posterior(w.x))))


def smallest_gaps(w: Encoders) -> float:
    """For each x its own search over m and log s, by Newton steps on the KL, written out as a function of both.

    KL = 1/2 [sum_j Lambda_jj s_j^2 - 2 log s_j + (m - mu)^T Lambda (m - mu) - k - log |Lambda|], mu from the package.
    """
    precision, k = w.precision, w.model.latent_dim
    gaps = []
    for mu in w.model.posterior(w.x).loc:
        m, log_s = np.zeros(k), np.zeros(k)
        for _ in range(12):
            m = m - np.linalg.solve(precision, precision @ (m - mu))
            slope = np.diag(precision) * np.exp(2 * log_s) - 1
            log_s = log_s - slope / (2 * np.diag(precision) * np.exp(2 * log_s))
        spread = np.sum(np.diag(precision) * np.exp(2 * log_s) - 2 * log_s)
        gaps.append(0.5 * (spread + (m - mu) @ precision @ (m - mu) - k - np.linalg.slogdet(precision)[1]))
    return float(np.mean(gaps))


def of_the_family(w: Encoders) -> float:
    """1/2 [sum_j log Lambda_jj - log |Lambda|]: what independent coordinates cost (Hadamard's inequality: >= 0)."""
    return 0.5 * float(np.sum(np.log(np.diag(w.precision))) - np.linalg.slogdet(w.precision)[1])


def of_the_constant(w: Encoders) -> float:
    """1/2 tr(Lambda Cov(m_i)): the spread of the posterior means, which an encoder that ignores x cannot follow."""
    centered = w.encode(w.x) - w.encode(w.x).mean(axis=0)
    return 0.5 * float(np.trace(w.precision @ centered.T @ centered) / len(w.x))


F22 = (
    derive(
        "F22",
        "one encoder for all x, or one search for each x",
        Encoders.draw,
        assumptions="x | z ~ N(W z + b, c I); q diagonal Gaussian; Lambda = I + W^T W / c, the posterior's precision",
        source="Cremer, Li and Duvenaud 2018; Gershman and Goodman 2014",
    )
    .start(
        given(r"\tfrac1N \sum_i \min_{m, s} \mathrm{KL}\left(N(m, s^2) \,\Vert\, p(z \mid x_i)\right)", smallest_gaps)
    )
    .eq(
        given(
            r"\tfrac1N \sum_i \mathrm{KL}\left(N(A x_i + a, s^2) \,\Vert\, p(z \mid x_i)\right),\ s_j^2 = 1/\Lambda_{jj}",
            lambda w: mean_gap(w, w.encode(w.x), 1 / np.diag(w.precision)),
        ),
        "one linear encoder gives each x its own best q",
    )
    .slip(
        "no bias",
        given("TODO", lambda w: mean_gap(w, w.encode(w.x + w.model.offset), 1 / np.diag(w.precision))),
        "the encoder has no bias: it must take off the offset b of the data.",
    )
    .slip(
        "scale of the prior",
        given("TODO", lambda w: mean_gap(w, w.encode(w.x), 1.0)),
        "q kept the prior's scale 1; the observation narrows it.",
    )
    .slip(
        "marginal variances",
        given("TODO", lambda w: mean_gap(w, w.encode(w.x), np.diag(np.linalg.inv(w.precision)))),
        "q has the posterior's marginal variances; the nearest independent q is narrower, 1/Lambda_jj.",
    )
    .slip(
        "shuffled batch",
        given("TODO", lambda w: mean_gap(w, np.roll(w.encode(w.x), 1, axis=0), 1 / np.diag(w.precision))),
        "encoder and loss saw the batch in different orders: q of one x, posterior of another.",
        real="a published note: E under q(z|x) of an integrand at x(i)",
    )
    .eq(
        given(r"\tfrac12\left[\sum_j \log\Lambda_{jj} - \log|\Lambda|\right]", of_the_family),
        "the means agree; what is left no encoder can mend",
    )
    .slip(
        "no gap at all",
        given("TODO", lambda w: 0.0),
        "the best encoder is taken for exact: a diagonal q cannot follow correlations.",
    )
    .le(
        given(
            r"\tfrac1N \sum_i \mathrm{KL}\left(N(\bar m, s^2) \,\Vert\, p(z \mid x_i)\right)",
            lambda w: mean_gap(w, w.encode(w.x).mean(axis=0), 1 / np.diag(w.precision)),
        ),
        "the best encoder that ignores x is worse",
        gap=of_the_constant,
        equality=Encoders.one_x,
    )
    .slip(
        "argmin at a single x",
        says="the minimum over functions was taken at one x, where a constant is as good as a function.",
        relation="=",
        real="a published blog post: argmin over (g, h) for one x",
    )
    .slip(
        "tuned to the first x",
        given("TODO", lambda w: mean_gap(w, w.encode(w.x[:1]), 1 / np.diag(w.precision))),
        "the constant was fitted to one example and used for all.",
    )
)


# --------------------------------------------------------------------------------------------------- other coordinates, F17


@dataclass(frozen=True)
class Bent:
    """A curved model, one observation and a q, and the bend a > 0 of new coordinates u: z = g(u) = u + a u^3."""

    model: CurvedGaussian
    x: Array
    q: Normal
    bend: float

    @classmethod
    def draw(cls, rng: Rng) -> Bent:
        w = CurvedWitness.draw(rng)
        return cls(w.model, w.x, w.q, float(rng.uniform(0.2, 0.5)))

    def z(self, u: Array) -> Array:
        return u + self.bend * u**3

    def log_slope(self, u: Array) -> Array:
        """log g'(u)."""
        return np.log(1 + 3 * self.bend * u**2)


U_RANGE = (-4.5, 4.5)  # g(4.5) > 22: far beyond q and the prior


def in_new_coordinates(joint: float = 1.0, density: float = 1.0, measure: float = 1.0, rule: Any = trapezoid) -> Any:
    r"""\int q_u [log p_u(x, u) - log q_u] du; the exponents of g' in the joint, in the logarithm of q, in the measure."""

    def value(w: Bent) -> Estimate:
        def integrand(u: Array) -> Array:
            z, log_slope = w.z(u), w.log_slope(u)
            log_p = w.model.log_joint(w.x, z) + joint * log_slope
            return density_times(w.q.log_prob(z) + measure * log_slope, log_p - (w.q.log_prob(z) + density * log_slope))

        return rule(integrand, *U_RANGE)

    return value


def split_in_new_coordinates(w: Bent) -> Estimate:
    """E_{q_u}[log p(x | g(u))] by quadrature in u, minus the closed form of KL(q || p(z)) in z."""

    def integrand(u: Array) -> Array:
        return density_times(w.q.log_prob(w.z(u)) + w.log_slope(u), w.model.log_likelihood(w.x, w.z(u)))

    return gauss_legendre(integrand, *U_RANGE) - kl_divergence(w.q, w.model.prior)


F17 = (
    derive(
        "F17",
        "the bound does not depend on the coordinates of z",
        Bent.draw,
        assumptions="z = g(u) with g smooth and strictly increasing; prior and q are both transformed",
        source="change of variables; KL is invariant, Kullback and Leibler 1951",
    )
    .start(E(q, log_joint - log_q))
    .eq(
        given(
            r"\int q(g(u))\left[\log p(x, g(u)) - \log q(g(u))\right] g'(u)\,du", in_new_coordinates(joint=0, density=0)
        ),
        "substitute z = g(u), dz = g'(u) du",
    )
    .slip(
        "no Jacobian in the measure",
        given("TODO", in_new_coordinates(joint=0, density=0, measure=0)),
        "dz became du: the factor g'(u) is missing.",
    )
    .slip(
        "Jacobian upside down",
        given("TODO", in_new_coordinates(joint=0, density=0, measure=-1)),
        "dz = du / g'(u): it is dz = g'(u) du.",
    )
    .eq(
        given(
            r"\int q_u(u)\left[\log p_u(x, u) - \log q_u(u)\right] du,\ q_u = q\,g',\ p_u = p\,g'",
            in_new_coordinates(rule=gauss_legendre),
        ),
        "both densities gain g'(u): it cancels in the difference",
    )
    .slip(
        "Jacobian on q only",
        given("TODO", in_new_coordinates(joint=0, rule=gauss_legendre)),
        "only q was transformed: the prior is a density of z, too.",
    )
    .slip(
        "Jacobian on p only",
        given("TODO", in_new_coordinates(density=0, rule=gauss_legendre)),
        "only the model was transformed; log q(u) needs log g'(u), too.",
    )
    .slip(
        "Jacobians add",
        given("TODO", in_new_coordinates(density=-1, rule=gauss_legendre)),
        "log g' was added for p and subtracted for q: both densities are multiplied by g'.",
    )
    .eq(
        given(
            r"\mathbb{E}_{q_u}\left[\log p(x \mid g(u))\right] - \mathrm{KL}(q \,\Vert\, p(z))",
            split_in_new_coordinates,
        ),
        "so the KL too is the same in z and in u",
    )
)


# --------------------------------------------------------------------------------------------- a whole data set, F18 and F19


@dataclass(frozen=True)
class Tables:
    """A discrete model (K = 3 states, M = 4 values), the shares of the values in the data, and q(z | x) as a table."""

    model: DiscreteLatent
    data: Array  # the empirical distribution of x, shape (M,)
    encoder: Array  # q(z | x), one row for each x, shape (M, K)

    @classmethod
    def draw(cls, rng: Rng) -> Tables:
        prior, likelihood = generic_probabilities(rng, (3,)), generic_probabilities(rng, (3, 4))
        return cls(
            DiscreteLatent(prior, likelihood), generic_probabilities(rng, (4,)), generic_probabilities(rng, (4, 3))
        )

    @property
    def evidence(self) -> Array:
        """p(x), shape (M,): column sums of the joint table."""
        return self.model.joint.sum(axis=0)

    @property
    def bounds(self) -> Array:
        """L(x) for each x, by the package's terms; shape (M,)."""
        return np.array([bound_terms(self.model, x, self.q(x)).elbo.value for x in range(self.data.size)])

    def q(self, x: int) -> Categorical:
        return Categorical(np.log(self.encoder[x]))

    def scope(self) -> Scope:
        """p(x, z), the law D(x) of the data, and q(z | x)."""
        return Scope(
            worlds={
                "p": Table(("z", "x"), self.model.joint),
                "D": Table(("x",), self.data),
                "q": Conditional("z", ("x",), lambda x: Categorical(np.log(self.encoder[x]))),
            },
            maps={r"\mathcal{L}": Map(lambda x: self.bounds[x], of=("x",))},
        )


def entropy(p: Array) -> float:
    return float(-np.sum(p * np.log(p)))


def four_logarithms(w: Tables) -> float:
    log_ratio = np.log(w.data)[:, None] + np.log(w.encoder) - np.log(w.model.prior) - np.log(w.model.likelihood.T)
    return float(np.sum(w.data[:, None] * w.encoder * log_ratio))


def mean_gap_to_posterior(w: Tables) -> float:
    """E_data KL(q(z|x) || p(z|x))."""
    return float(w.data @ [kl_divergence(w.q(x), w.model.posterior(x)) for x in range(w.data.size)])


F18 = (
    derive(
        "F18",
        "the bound of a data set as one KL between joints",
        Tables.draw,
        assumptions="x has finitely many values, each of them in the data; D is the empirical distribution of x",
        source="Zhao, Song and Ermon 2017; Hoffman and Johnson 2016",
    )
    .start(tex(r"\mathrm{KL}\left(D(x)\,q(z \mid x) \,\Vert\, p(z)\,p(x \mid z)\right)"))
    .eq(
        tex(r"\mathbb{E}_{D\,q}\left[\log D(x) + \log q(z \mid x) - \log p(z) - \log p(x \mid z)\right]"),
        "definition of KL; the logarithm of a product",
    )
    .slip(
        "data left out",
        given("TODO", lambda w: four_logarithms(w) + entropy(w.data)),
        "log D(x) is missing: the joint of data and encoder has two factors.",
    )
    .eq(
        tex(r"-\mathrm{H}(D) - \mathbb{E}_{D}\left[\mathcal{L}(x)\right]"),
        "log D(x) has no z; what is left is minus the bound",
    )
    .slip(
        "plus the entropy of the data",
        given("TODO", lambda w: entropy(w.data) - w.data @ w.bounds),
        "the entropy has the wrong sign: E[log D] is minus the entropy.",
    )
    .slip(
        "entropy of the data dropped under =",
        given("TODO", lambda w: -(w.data @ w.bounds)),
        "H(D) was dropped under an equals sign; it moves no optimum, but it is not zero.",
    )
    .slip(
        "mean under the model",
        given("TODO", lambda w: -entropy(w.data) - w.evidence @ w.bounds),
        "x is averaged under the model p(x); the mean is over the data.",
        real="a published note, in five places",
    )
    .eq(
        tex(
            r"-\mathrm{H}(D) - \mathbb{E}_{D}\left[\log p(x)\right] + \mathbb{E}_{D}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))"
        ),
        "F1 at each x: the evidence is the bound + its gap",
    )
    .slip(
        "minus the gap",
        given("TODO", lambda w: -entropy(w.data) - w.data @ np.log(w.evidence) - mean_gap_to_posterior(w)),
        "the gap is subtracted: the bound lies below the evidence, so its negative lies above.",
    )
    .ge(tex(r"\mathrm{KL}(D(x) \,\Vert\, p(x))"), "F19; a KL is never negative", gap=mean_gap_to_posterior)
    .slip("equal marginals", says="q is taken for the exact posterior at every x.", relation="=")
)


@dataclass(frozen=True)
class Candidates:
    """Counts of the values of x in a data set, and seven models that might have made it.

    Of the last two, one starves the rarest value and is otherwise right, one makes all values more alike: KL(p || D)
    likes the first, KL(D || p) the second.
    """

    counts: Array  # whole numbers, shape (M,)
    models: tuple[DiscreteLatent, ...]

    @classmethod
    def draw(cls, rng: Rng) -> Candidates:
        models = (
            DiscreteLatent(generic_probabilities(rng, (3,)), generic_probabilities(rng, (3, 4))) for _ in range(5)
        )
        counts = rng.permutation([2, 5, 9, 14]) + rng.integers(0, 3, 4)
        starved = np.where(counts == counts.min(), 0.001, counts)
        return cls(counts, (*models, around(rng, starved), around(rng, counts**0.25)))

    @property
    def share(self) -> Array:
        return self.counts / self.counts.sum()

    @property
    def evidence(self) -> Array:
        """p(x) under each model, shape (7, M)."""
        return np.stack([model.joint.sum(axis=0) for model in self.models])

    def members(self) -> list[Scope]:
        """Each model p_theta(x, z), the law D(x) of the data, and the data themselves."""
        data = np.repeat(np.arange(self.counts.size), self.counts)
        return [
            Scope(
                worlds={r"p_\theta": Table(("z", "x"), model.joint), "D": Table(("x",), self.share)},
                values={"x": data, "N": data.size},
                ranges={"i": data.size},
            )
            for model in self.models
        ]


def around(rng: Rng, weights: Array) -> DiscreteLatent:
    """A model in which p(x | z) is about proportional to the weights, whatever z is."""
    rows = weights * np.exp(rng.uniform(-0.1, 0.1, (3, weights.size)))
    return DiscreteLatent(generic_probabilities(rng, (3,)), rows / rows.sum(axis=1, keepdims=True))


def kl_to_models(w: Candidates) -> Array:
    return np.array([kl_divergence(Categorical(np.log(w.share)), Categorical(np.log(p))) for p in w.evidence])


F19 = (
    derive(
        "F19",
        "maximum likelihood is the model nearest to the data",
        Candidates.draw,
        assumptions="x has finitely many values; D is the empirical distribution of x, theta runs over seven models",
        source="Akaike 1973; the objective of Kingma and Welling 2014, section 2.1",
    )
    .start(tex(r"\tfrac1N \sum_i \log p_\theta(x_i)"))
    .eq(
        tex(r"\mathbb{E}_{D}\left[\log p_\theta(x)\right] = \sum_x D(x) \log p_\theta(x)"),
        "equal examples together: D(x) is the share of x",
    )
    .slip(
        "mean under the model",
        given("TODO", lambda w: np.sum(w.evidence * np.log(w.evidence), axis=1)),
        "x is drawn from the model: then this is minus the model's own entropy, and no data enter.",
        real="a published note, in five places",
    )
    .eq(tex(r"\mathbb{E}_{D}\left[\log D(x) - \log \tfrac{D(x)}{p_\theta(x)}\right]"), "add and subtract log D(x)")
    .eq(tex(r"-\mathrm{H}(D) - \mathrm{KL}(D \,\Vert\, p_\theta)"), "definitions of entropy and KL")
    .slip(
        "plus KL",
        given("TODO", lambda w: -entropy(w.share) + kl_to_models(w)),
        "the KL is added: a model away from the data has less likelihood.",
    )
    .slip(
        "KL swapped",
        given("TODO", lambda w: -entropy(w.share) - np.sum(w.evidence * np.log(w.evidence / w.share), axis=1)),
        "KL(p || D): the mean is over the data, so D stands first.",
    )
    .slip(
        "entropy dropped under =", given("TODO", lambda w: -kl_to_models(w)), "H(D) was dropped under an equals sign."
    )
    .same_argmax(tex(r"-\mathrm{KL}(D \,\Vert\, p_\theta)"), "H(D) does not depend on theta: the same theta is best")
    .slip(
        "nearest in the other direction",
        given("TODO", lambda w: -np.sum(w.evidence * np.log(w.evidence / w.share), axis=1)),
        "KL(p || D) is minimized: that ranks the models otherwise.",
    )
)


# -------------------------------------------------------------------------------------------------- two layers of z, F21


@dataclass(frozen=True)
class TwoLayers:
    """z2 -> z1 -> x with tables (K2 = 4, K1 = 3, M = 5), one x, and q(z1, z2 | x) = q(z2) q(z1 | z2)."""

    prior_2: Array  # p(z2), (K2,)
    prior_1: Array  # p(z1 | z2), (K2, K1)
    likelihood: Array  # p(x | z1), (K1, M)
    x: int
    q_2: Array  # q(z2), (K2,)
    q_1: Array  # q(z1 | z2), (K2, K1)

    @classmethod
    def draw(cls, rng: Rng) -> TwoLayers:
        def tables() -> tuple[Array, Array]:
            return generic_probabilities(rng, (4,)), generic_probabilities(rng, (4, 3))

        return cls(*tables(), generic_probabilities(rng, (3, 5)), int(rng.integers(5)), *tables())

    @property
    def q(self) -> Array:
        """q(z1, z2), shape (K2, K1)."""
        return self.q_2[:, None] * self.q_1

    @property
    def prior(self) -> Array:
        """p(z1, z2), shape (K2, K1)."""
        return self.prior_2[:, None] * self.prior_1

    @property
    def log_likelihood(self) -> float:
        """E_q[log p(x | z1)]."""
        return float(self.q.sum(axis=0) @ np.log(self.likelihood[:, self.x]))

    @property
    def flat(self) -> DiscreteLatent:
        """The same model with the pair (z2, z1) as one latent variable."""
        return DiscreteLatent(self.prior.ravel(), np.tile(self.likelihood, (self.prior_2.size, 1)))

    @property
    def kl_1(self) -> Array:
        """KL(q(z1 | z2) || p(z1 | z2)) for each z2, by the package; shape (K2,)."""
        return kl_divergence(Categorical(np.log(self.q_1)), Categorical(np.log(self.prior_1)))

    @property
    def kl_2(self) -> float:
        return float(kl_divergence(Categorical(np.log(self.q_2)), Categorical(np.log(self.prior_2))))

    def scope(self) -> Scope:
        """p(x, z_1, z_2) and q(z_1, z_2 | x), at the x that is observed."""
        joint = self.prior[:, :, None] * self.likelihood
        values = self.likelihood.shape[1]
        code = np.repeat(self.q[:, :, None], values, axis=2) / values
        names = ("z_2", "z_1", "x")
        return Scope(
            worlds={"p": Table(names, joint), "q": Table(names, code)},
            observed={"x": self.x},
            laws={"q": "q(z_1, z_2 | x)"},
        )


def table_kl(q_table: Array, p_table: Array) -> float:
    return float(np.sum(q_table * np.log(q_table / p_table)))


F21 = (
    derive(
        "F21",
        "two layers: the KL splits by the chain rule",
        TwoLayers.draw,
        assumptions="p(x, z1, z2) = p(x|z1) p(z1|z2) p(z2); q(z1, z2 | x) = q(z2 | x) q(z1 | z2, x)",
        source="Sønderby et al. 2016; Cover and Thomas 2006, theorem 2.5.3",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log p(x, z_1, z_2) - \log q(z_1, z_2 \mid x)\right]"))
    .eq(
        tex(
            r"\mathbb{E}_{q}\left[\log p(x \mid z_1)\right] - \mathrm{KL}\left(q(z_1, z_2 \mid x) \,\Vert\, p(z_1, z_2)\right)"
        ),
        "x depends on z1 alone; the pair has one KL",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q}\left[\log p(x \mid z_1) - \log\tfrac{q(z_2 \mid x)}{p(z_2)} - \log\tfrac{q(z_1 \mid z_2, x)}{p(z_1 \mid z_2)}\right]"
        ),
        "product rule, above and below",
    )
    .slip(
        "z1 without its parent",
        given(
            "TODO",
            lambda w: (
                w.log_likelihood
                - np.sum(w.q * (np.log(w.q_2 / w.prior_2)[:, None] + np.log(w.q_1 / (w.prior_2 @ w.prior_1))))
            ),
        ),
        "p(z1|z2) became p(z1): then the second ratio compares with the wrong prior.",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q}\left[\log p(x \mid z_1)\right] - \mathrm{KL}(q(z_2 \mid x) \,\Vert\, p(z_2)) - \mathbb{E}_{q(z_2 \mid x)}\,\mathrm{KL}(q(z_1 \mid z_2, x) \,\Vert\, p(z_1 \mid z_2))"
        ),
        "sum over z1 first, then over z2",
    )
    .slip(
        "upper layer averaged under the prior",
        given("TODO", lambda w: w.log_likelihood - w.kl_2 - w.prior_2 @ w.kl_1),
        "the inner KL is averaged over p(z2): z2 comes from q(z2|x).",
    )
    .slip(
        "inner KL not averaged",
        given("TODO", lambda w: w.log_likelihood - w.kl_2 - np.sum(w.kl_1)),
        "the KL of z1 was summed over z2 without the weights q(z2|x).",
    )
    .slip(
        "marginals only",
        given("TODO", lambda w: w.log_likelihood - w.kl_2 - table_kl(w.q.sum(axis=0), w.prior.sum(axis=0))),
        "z1 and z2 were taken for independent: KL of the marginals is less than the KL of the pair.",
    )
    .slip(
        "only the lower layer pays",
        given("TODO", lambda w: w.log_likelihood - w.q_2 @ w.kl_1),
        "the KL of z2 is missing: each layer pays for leaving its prior.",
    )
    .le(
        tex(r"\log p(x)"),
        "F1: missing is the KL to the joint posterior",
        gap=lambda w: kl_divergence(Categorical(np.log(w.q.ravel())), w.flat.posterior(w.x)),
    )
    .slip("an upper bound", says="the bound was put above the evidence.", relation=">=")
)

CHAPTER = (F17, F18, F19, F21, F22)
