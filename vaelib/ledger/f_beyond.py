r"""Chapter F, continued: the bound beyond its four routes.

One encoder for many x (F22), the data set instead of one x (F18, F19), other coordinates (F17), a second layer (F21), a
label that is given (F23) and a q that is bent (F24).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import Categorical, Normal
from vaelib.elbo import bound_terms
from vaelib.formula import Node, given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Interval
from vaelib.formula.worlds import Conditional, Decoder, Law, Table
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian
from vaelib.terms import E, log_joint, log_q, q
from vaelib.witnesses import CurvedWitness, LinearWitness, away_from_zero, generic_probabilities, linear_world

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

    @property
    def slope(self) -> Array:
        """A = Lambda^-1 W^T / c, so that A (x - b) is the posterior mean; shape (k, d)."""
        return np.linalg.solve(self.precision, self.model.loading.T) / self.model.noise_variance

    def scope(self) -> Scope:
        """p(x, z), the posterior's precision, its mean A x + a, and the data; x' is the batch in another order."""
        constant = -self.slope @ self.model.offset
        return Scope(
            worlds={"p": linear_world(self.model)},
            values={r"\Lambda": self.precision, "A": self.slope, "a": constant}
            | {"x": self.x, "x'": np.roll(self.x, 1, axis=0), "N": len(self.x)},
            ranges={"i": len(self.x), "j": self.model.latent_dim},
        )


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


def mean_gap(loc: str, variance: str = r"\mathrm{diag}(\Lambda)^{-1}", after: str = "") -> Node:
    """The mean over the data of the KL to the posterior from q = N(loc, variance)."""
    return tex(rf"\tfrac1N \sum_i \mathrm{{KL}}\left(N(z; {loc}, {variance}) \,\Vert\, p(z \mid x_i)\right){after}")


F22 = (
    derive(
        "F22",
        "one encoder for all x, or one search for each x",
        Encoders.draw,
        assumptions="x | z ~ N(W z + b, c I); q diagonal Gaussian; Lambda = I + W^T W / c, the posterior's precision",
        source="Cremer, Li and Duvenaud 2018; Gershman and Goodman 2014",
    )
    .start(
        given(r"\tfrac1N \sum_i \min_{m, s} \mathrm{KL}\left(N(m, s^2) \,\Vert\, p(z \mid x_i)\right)", smallest_gaps),
        why="a search for each x",
    )
    .eq(
        mean_gap("A x_i + a"),
        "one linear encoder gives each x its own best q",
        why="the posterior mean is linear in x; the best variances are 1/Lambda_jj, the same for every x",
        needs="an encoder that contains this function",
    )
    .slip("no bias", mean_gap("A x_i"), "the encoder has no bias: it must take off the offset b of the data.")
    .slip(
        "scale of the prior",
        mean_gap("A x_i + a", "I"),
        "q kept the prior's scale 1; the observation narrows it.",
    )
    .slip(
        "marginal variances",
        mean_gap("A x_i + a", r"\mathrm{diag}(\Lambda^{-1})"),
        "q has the posterior's marginal variances; the nearest independent q is narrower, 1/Lambda_jj.",
    )
    .slip(
        "shuffled batch",
        mean_gap("A x'_i + a"),
        "encoder and loss saw the batch in different orders: q of one x, posterior of another.",
        real="a published note: E under q(z|x) of an integrand at x(i)",
    )
    .eq(
        tex(r"\tfrac12\left[\sum_j \log\Lambda_{jj} - \log|\Lambda|\right]"),
        "the means agree; insert the variances",
        why="what is left no encoder can mend: it is the family's fault",
    )
    .slip(
        "no gap at all",
        tex("0"),
        "the best encoder is taken for exact: a diagonal q cannot follow correlations.",
    )
    .le(
        mean_gap(r"\bar m", after=r",\ \bar m = \tfrac1N \sum_i (A x_i + a)"),
        "the best encoder that ignores x is worse",
        why=r"the best constant is the mean of the means $m_i$; lost, by the encoder: $\frac12 \mathrm{tr}(\Lambda\,\mathrm{Cov}(m_i))$",
        gap=tex(
            r"\tfrac{1}{2N} \sum_i (A x_i + a - \bar m)^\top \Lambda (A x_i + a - \bar m),\ \bar m = \tfrac1N \sum_i (A x_i + a)"
        ),
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
        mean_gap("A x_1 + a"),
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

    def slope(self, u: Array) -> Array:
        """g'(u)."""
        return 1 + 3 * self.bend * u**2

    def scope(self) -> Scope:
        """p(x, z) and q, and the new coordinates with their slope; g(4.5) > 22 is far beyond q and the prior."""
        return Scope(
            worlds={"p": Decoder(self.model), "q": Law("z", self.q)},
            observed={"x": self.x},
            maps={"g": Map(self.z, of=("u",)), "g'": Map(self.slope, of=("u",))},
            spaces={"u": Interval(-4.5, 4.5)},
        )


BOTH = r",\ q_u(u) = q(g(u))\,g'(u),\ p_u(x, u) = p(x, g(u))\,g'(u)"

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
        tex(r"\int q(g(u))\left[\log p(x, g(u)) - \log q(g(u))\right] g'(u)\,du"),
        "substitute z = g(u), dz = g'(u) du",
    )
    .slip(
        "no Jacobian in the measure",
        tex(r"\int q(g(u))\left[\log p(x, g(u)) - \log q(g(u))\right] du"),
        "dz became du: the factor g'(u) is missing.",
    )
    .slip(
        "Jacobian upside down",
        tex(r"\int q(g(u))\left[\log p(x, g(u)) - \log q(g(u))\right] \frac{1}{g'(u)}\,du"),
        "dz = du / g'(u): it is dz = g'(u) du.",
    )
    .eq(
        tex(r"\int q_u(u)\left[\log p_u(x, u) - \log q_u(u)\right] du" + BOTH),
        "both densities gain g'(u): it cancels in the difference",
        needs="prior and q are both transformed",
    )
    .slip(
        "Jacobian on q only",
        tex(r"\int q_u(u)\left[\log p(x, g(u)) - \log q_u(u)\right] du" + BOTH),
        "only q was transformed: the prior is a density of z, too.",
    )
    .slip(
        "Jacobian on p only",
        tex(r"\int q_u(u)\left[\log p_u(x, u) - \log q(g(u))\right] du" + BOTH),
        "only the model was transformed; log q(u) needs log g'(u), too.",
    )
    .slip(
        "Jacobians add",
        tex(r"\int q_u(u)\left[\log p_u(x, u) - \log\frac{q(g(u))}{g'(u)}\right] du" + BOTH),
        "log g' was added for p and subtracted for q: both densities are multiplied by g'.",
    )
    .eq(
        tex(r"\int q_u(u) \log p(x \mid g(u))\,du - \mathrm{KL}(q(z) \,\Vert\, p(z))"),
        "the joint is decoder times prior, as in F2",
        why="so the KL too is the same in z and in u",
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
        why="a sum of four, of which one has no z",
    )
    .slip(
        "data left out",
        tex(r"\mathbb{E}_{D\,q}\left[\log q(z \mid x) - \log p(z) - \log p(x \mid z)\right]"),
        "log D(x) is missing: the joint of data and encoder has two factors.",
    )
    .eq(
        tex(r"-\mathrm{H}(D) - \mathbb{E}_{D}\left[\mathcal{L}(x)\right]"),
        "log D(x) has no z; what is left is minus the bound",
    )
    .slip(
        "plus the entropy of the data",
        tex(r"\mathrm{H}(D) - \mathbb{E}_{D}\left[\mathcal{L}(x)\right]"),
        "the entropy has the wrong sign: E[log D] is minus the entropy.",
    )
    .slip(
        "entropy of the data dropped under =",
        tex(r"-\mathbb{E}_{D}\left[\mathcal{L}(x)\right]"),
        "H(D) was dropped under an equals sign; it moves no optimum, but it is not zero.",
    )
    .slip(
        "mean under the model",
        tex(r"-\mathrm{H}(D) - \mathbb{E}_{p(x)}\left[\mathcal{L}(x)\right]"),
        "x is averaged under the model p(x); the mean is over the data.",
        real="a published note, in five places",
    )
    .eq(
        tex(
            r"-\mathrm{H}(D) - \mathbb{E}_{D}\left[\log p(x)\right] + \mathbb{E}_{D}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))"
        ),
        "F1 at each x: the bound is the evidence less its gap",
    )
    .slip(
        "minus the gap",
        tex(
            r"-\mathrm{H}(D) - \mathbb{E}_{D}\left[\log p(x)\right] - \mathbb{E}_{D}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))"
        ),
        "the gap is subtracted: the bound lies below the evidence, so its negative lies above.",
    )
    .ge(
        tex(r"\mathrm{KL}(D(x) \,\Vert\, p(x))"),
        "F19; a KL is never negative",
        why="raising the bounds pulls the model to the data",
        gap=tex(r"\mathbb{E}_{D}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z \mid x))"),
    )
    .slip("equal marginals", says="q is taken for the exact posterior at every x.", relation="=")
)


@dataclass(frozen=True)
class Candidates:
    """Counts of the values of x in a data set, and seven models that might have made it.

    Of the last two, one starves the rarest value, one makes it six times as frequent, and both are otherwise right:
    KL(p || D) likes the first, KL(D || p) the second.
    """

    counts: Array  # whole numbers, shape (M,)
    models: tuple[DiscreteLatent, ...]

    @classmethod
    def draw(cls, rng: Rng) -> Candidates:
        models = (
            DiscreteLatent(generic_probabilities(rng, (3,)), generic_probabilities(rng, (3, 4))) for _ in range(5)
        )
        counts = rng.permutation(np.array([1, 14, 20, 26]) + np.array([0, 1, 1, 1]) * rng.integers(3, size=4))
        starved, spoiled = (np.where(counts == 1, weight, counts) for weight in (0.001, 6))
        return cls(counts, (*models, around(rng, starved), around(rng, spoiled)))

    @property
    def share(self) -> Array:
        return self.counts / self.counts.sum()

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
        why="a mean under a law of x",
    )
    .slip(
        "mean under the model",
        tex(r"\mathbb{E}_{p_\theta(x)}\left[\log p_\theta(x)\right]"),
        "x is drawn from the model: then this is minus the model's own entropy, and no data enter.",
        real="a published note, in five places",
    )
    .eq(
        tex(r"\mathbb{E}_{D}\left[\log D(x) - \log \tfrac{D(x)}{p_\theta(x)}\right]"),
        "add and subtract log D(x)",
        why="a KL can form",
        needs="p_theta(x) > 0 wherever D(x) > 0",
    )
    .eq(tex(r"-\mathrm{H}(D) - \mathrm{KL}(D \,\Vert\, p_\theta)"), "definitions of entropy and KL")
    .slip(
        "plus KL",
        tex(r"-\mathrm{H}(D) + \mathrm{KL}(D \,\Vert\, p_\theta)"),
        "the KL is added: a model away from the data has less likelihood.",
    )
    .slip(
        "KL swapped",
        tex(r"-\mathrm{H}(D) - \mathrm{KL}(p_\theta(x) \,\Vert\, D(x))"),
        "KL(p || D): the mean is over the data, so D comes first.",
    )
    .slip(
        "entropy dropped under =", tex(r"-\mathrm{KL}(D \,\Vert\, p_\theta)"), "H(D) was dropped under an equals sign."
    )
    .same_argmax(tex(r"-\mathrm{KL}(D \,\Vert\, p_\theta)"), "H(D) does not depend on theta: the same theta is best")
    .slip(
        "nearest in the other direction",
        tex(r"-\mathrm{KL}(p_\theta(x) \,\Vert\, D(x))"),
        "KL(p || D) is minimized: that ranks the models in another order.",
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


explains = r"\mathbb{E}_{q}\left[\log p(x \mid z_1)\right]"
upper = r"\mathrm{KL}(q(z_2 \mid x) \,\Vert\, p(z_2))"
lower = r"\mathrm{KL}(q(z_1 \mid z_2, x) \,\Vert\, p(z_1 \mid z_2))"

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
        tex(rf"{explains} - \mathrm{{KL}}\left(q(z_1, z_2 \mid x) \,\Vert\, p(z_1, z_2)\right)"),
        "F2 with the pair as z; x depends on z1 alone",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q}\left[\log p(x \mid z_1) - \log\tfrac{q(z_2 \mid x)}{p(z_2)} - \log\tfrac{q(z_1 \mid z_2, x)}{p(z_1 \mid z_2)}\right]"
        ),
        "product rule, above and below",
        why="each layer is compared with its own prior",
    )
    .slip(
        "z1 without its parent",
        tex(
            r"\mathbb{E}_{q}\left[\log p(x \mid z_1) - \log\tfrac{q(z_2 \mid x)}{p(z_2)} - \log\tfrac{q(z_1 \mid z_2, x)}{p(z_1)}\right]"
        ),
        "p(z1|z2) became p(z1): then the second ratio compares with the wrong prior.",
    )
    .eq(
        tex(rf"{explains} - {upper} - \mathbb{{E}}_{{q(z_2 \mid x)}}\,{lower}"),
        "sum over z1 first, then over z2",
        why="the KL of a pair is one KL and a mean of another",
    )
    .slip(
        "upper layer averaged under the prior",
        tex(rf"{explains} - {upper} - \mathbb{{E}}_{{p(z_2)}}\,{lower}"),
        "the inner KL is averaged over p(z2): z2 comes from q(z2|x).",
    )
    .slip(
        "inner KL not averaged",
        tex(rf"{explains} - {upper} - \sum_{{z_2}} {lower}"),
        "the KL of z1 was summed over z2 without the weights q(z2|x).",
    )
    .slip(
        "marginals only",
        tex(rf"{explains} - {upper} - \mathrm{{KL}}(q(z_1 \mid x) \,\Vert\, p(z_1))"),
        "z1 and z2 were taken for independent: KL of the marginals is less than the KL of the pair.",
    )
    .slip(
        "only the lower layer pays",
        tex(rf"{explains} - \mathbb{{E}}_{{q(z_2 \mid x)}}\,{lower}"),
        "the KL of z2 is missing: each layer pays for leaving its prior.",
    )
    .le(
        tex(r"\log p(x)"),
        "F1 for the pair",
        why="what is missing is the KL to the joint posterior",
        gap=tex(r"\mathrm{KL}\left(q(z_1, z_2 \mid x) \,\Vert\, p(z_1, z_2 \mid x)\right)"),
    )
    .slip("an upper bound", says="the bound was put above the evidence.", relation=">=")
)

# ------------------------------------------------------------------------------------------------ a label is given, F23


@dataclass(frozen=True)
class Labeled:
    """Tables (three labels y, four states z, five values x): p(y), p(z), p(x | z, y); one x, one y, and q(z | x, y)."""

    labels: Array  # p(y), (Y,)
    prior: Array  # p(z), (K,): the code does not know the label
    likelihood: Array  # p(x | z, y), (Y, K, M)
    x: int
    y: int
    code: Array  # q(z | x, y), (K,)

    @classmethod
    def draw(cls, rng: Rng) -> Labeled:
        labels, prior, code = (generic_probabilities(rng, (n,)) for n in (3, 4, 4))
        likelihood = generic_probabilities(rng, (3, 4, 5))
        return cls(labels, prior, likelihood, int(rng.integers(5)), int(rng.integers(3)), code)

    def scope(self) -> Scope:
        """p(y, z, x) and q(z), at the x and the y that are observed; x' is another image, y' another label."""
        joint = self.labels[:, None, None] * self.prior[:, None] * self.likelihood
        return Scope(
            worlds={"p": Table(("y", "z", "x"), joint), "q": Law("z", Categorical(np.log(self.code)))},
            observed={"x": self.x, "y": self.y},
        )


told = r"\mathbb{E}_{q}\left[\log p(x \mid z, y)\right]"
told_price = r"\mathrm{KL}(q(z) \,\Vert\, p(z))"
told_gap = r"\mathrm{KL}(q(z) \,\Vert\, p(z \mid x, y))"

F23 = (
    derive(
        "F23",
        "the bound when a label is given (conditional VAE)",
        Labeled.draw,
        assumptions="p(x,z|y) = p(z) p(x|z,y): the prior does not know the label; q(z) is short for q(z|x,y)",
        source="Sohn, Lee and Yan 2015; Kingma et al. 2014 for labels that are partly known",
    )
    .start(tex(r"\log p(x) - \log p(y)"), why="what it would be worth to know the label, at most")
    .ge(
        tex(r"\log p(x \mid y)"),
        "Bayes' rule with x and y; a probability of y is at most 1",
        why="with 26 equally frequent letters the label saves at most log 26 nats",
        gap=tex(r"-\log p(y \mid x)"),
    )
    .slip(
        "the label counted as an outcome",
        tex(r"\log p(x, y)"),
        "y was taken for an outcome, p(x, y): what is given is not paid for.",
    )
    .slip("the label saves nothing", says="x was taken to tell y for certain, at every x.", relation="=")
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log p(x, z \mid y) - \log p(z \mid x, y)\right]"),
        "F1 with y behind every bar: Bayes' rule at every z",
        needs="p(z|x,y) > 0 wherever q(z) > 0",
    )
    .slip(
        "posterior without the label",
        tex(r"\mathbb{E}_{q}\left[\log p(x, z \mid y) - \log p(z \mid x)\right]"),
        "y is missing from the posterior: once it is given, it is given in every density.",
    )
    .eq(
        tex(rf"{told} - \mathrm{{KL}}(q(z) \,\Vert\, p(z \mid y)) + {told_gap}"),
        "product rule; add and subtract log q(z)",
        why="as in F2, and the prior is one given the label",
    )
    .slip(
        "decoder not told",
        tex(
            rf"\mathbb{{E}}_{{q}}\left[\log p(x \mid z)\right] - \mathrm{{KL}}(q(z) \,\Vert\, p(z \mid y)) + {told_gap}"
        ),
        "the decoder was not told the label: p(x|z) is a mean over all labels.",
    )
    .eq(
        tex(rf"{told} - {told_price} + {told_gap}"),
        "z is independent of y under the prior",
        why="so the same N(0, I) serves every label",
        needs="p(z|y) = p(z)",
    )
    .slip(
        "a prior for each image",
        tex(rf"{told} - \mathrm{{KL}}(q(z) \,\Vert\, p(z \mid x)) + {told_gap}"),
        "the KL was taken to p(z|x): the prior has not seen the image.",
    )
    .slip(
        "minus the gap",
        tex(rf"{told} - {told_price} - {told_gap}"),
        "the gap is subtracted: log p(x|y) lies above the bound.",
    )
    .ge(
        tex(rf"{told} - {told_price}"),
        "a KL is never negative",
        why="what a conditional VAE maximizes",
        gap=tex(told_gap),
    )
    .slip(
        "price of the label added",
        tex(rf"{told} - {told_price} - \log p(y)"),
        "log p(y) was put into the bound: p(x|y) has no factor p(y), neither paid nor refunded.",
    )
    .slip("the exact value", says="the gap was dropped: q is the posterior only by luck.", relation="=")
)


# ----------------------------------------------------------------------------------------------------- a q that is bent, F24


@dataclass(frozen=True)
class Flow:
    """z = g(u) = asinh(sinh(u) + t), u from a Gaussian: far out z is about u, and in between the line is stretched."""

    base: Normal
    push: float  # t

    def z(self, u: Array) -> Array:
        return np.arcsinh(np.sinh(u) + self.push)

    def slope(self, u: Array) -> Array:
        """g'(u)."""
        return np.cosh(u) / np.hypot(1.0, np.sinh(u) + self.push)

    def log_prob(self, z: Array) -> Array:
        """log q(z), by the map back, u = asinh(sinh(z) - t), and by *its* slope."""
        u = np.arcsinh(np.sinh(z) - self.push)
        return np.asarray(self.base.log_prob(u) + np.log(np.cosh(z) / np.hypot(1.0, np.sinh(z) - self.push)))


@dataclass(frozen=True)
class FlowWitness:
    """A model with a curved decoder, one observation, and a q that is a bent Gaussian."""

    model: CurvedGaussian
    x: Array
    q: Flow

    @classmethod
    def draw(cls, rng: Rng) -> FlowWitness:
        w = CurvedWitness.draw(rng)
        return cls(w.model, w.x, Flow(w.q, float(away_from_zero(rng, 0.8, 2.0))))

    def scope(self) -> Scope:
        """p(x, z), the base q_0(u), the flow's q(z), and the map g with its slope."""
        flow = self.q
        reach = 9 * float(flow.base.scale) + 3
        middle = float(flow.base.loc)
        return Scope(
            worlds={"p": Decoder(self.model), "q_0": Law("u", flow.base), "q": Law("z", flow)},
            observed={"x": self.x},
            maps={"g": Map(flow.z, of=("u",)), "g'": Map(flow.slope, of=("u",))},
            spaces={"z": Interval(middle - reach, middle + reach), "u": Interval(middle - reach, middle + reach)},
        )


F24 = (
    derive(
        "F24",
        "the bound of a flow: the logarithm of its slope",
        FlowWitness.draw,
        assumptions="z = g(u) with g smooth and strictly increasing, u ~ q_0; q is the law of z",
        source="Rezende and Mohamed 2015, equation (15); Tabak and Turner 2013",
    )
    .start(tex(r"\log p(x)"))
    .ge(
        tex(r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]"),
        "F1: true of every q",
        why="q may have two hills, if we can write down its density",
        gap=tex(r"\mathrm{KL}(q(z) \,\Vert\, p(z \mid x))"),
    )
    .slip("an upper bound", says="the bound was put above the evidence.", relation="<=")
    .eq(
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, g(u)) - \log q(g(u))\right]"),
        "z = g(u): a mean under q is a mean over the noise u",
        why="draws of u are easy, and g is ours",
    )
    .slip(
        "noise not sent through",
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, u) - \log q(g(u))\right]"),
        "the model was asked at u: the latent is z = g(u).",
    )
    .eq(
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, g(u)) - \log q_0(u) + \log g'(u)\right]"),
        "change of variables (A12): q(g(u)) = q_0(u) / g'(u)",
        why="where the line is stretched, the density is thinner",
        needs="g'(u) > 0",
    )
    .slip(
        "no log of the slope",
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, g(u)) - \log q_0(u)\right]"),
        "log g'(u) is missing: the density of z was taken to be that of u.",
    )
    .slip(
        "sign of the log of the slope",
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, g(u)) - \log q_0(u) - \log g'(u)\right]"),
        "log g'(u) has the wrong sign: a stretched density is thinner, so -log q gains log g'.",
    )
    .slip(
        "base density at z",
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, g(u)) - \log q_0(g(u)) + \log g'(u)\right]"),
        "q_0 was asked at z = g(u): it is a density of u.",
    )
    .slip(
        "slope without its logarithm",
        tex(r"\mathbb{E}_{q_0}\left[\log p(x, g(u)) - \log q_0(u) + g'(u)\right]"),
        "the slope was added without its logarithm.",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q_0}\left[\log p(x, g(u))\right] + \mathrm{H}(q_0) + \mathbb{E}_{q_0}\left[\log g'(u)\right]"
        ),
        "linear; -E[log q_0(u)] is the entropy of the noise",
        why="the entropy of q is that of the noise, plus the mean log of the slope",
    )
    .slip(
        "minus the entropy",
        tex(
            r"\mathbb{E}_{q_0}\left[\log p(x, g(u))\right] - \mathrm{H}(q_0) + \mathbb{E}_{q_0}\left[\log g'(u)\right]"
        ),
        "the entropy was subtracted: -E[log q] is the entropy, and the bound likes it large.",
    )
)

CHAPTER = (F17, F18, F19, F21, F22, F23, F24)
