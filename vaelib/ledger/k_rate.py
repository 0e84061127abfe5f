r"""Chapter K: rate, distortion and beta.

The rate is R = E_data KL(q(z|x) || p(z)), the distortion D = -E_data E_q[log p(x|z)], both in nats per example; the mean
over the data of the bound is -(D + R). Most lines are sums over tables: a table fits nothing, so nothing agrees by luck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation import derive
from vaelib.distributions import Categorical, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.formula import KL, E, Map, Parameter, Scope, given, symbols, tex, vector
from vaelib.formula.worlds import Conditional, JointGaussian, Law, Mixture, Table
from vaelib.models import LinearGaussian
from vaelib.witnesses import (
    LinearWitness,
    away_from_zero,
    generic_covariance,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
    linear_names,
    linear_world,
)

Array = np.ndarray
Rng = np.random.Generator
LOG_2PI = float(np.log(2 * np.pi))


def kl_table(q: Array, p: Array) -> Array:
    """sum_z q(z) log(q(z) / p(z)) along the last axis, spelled out."""
    return np.sum(q * np.log(q / p), axis=-1)


def entropy_table(q: Array) -> Array:
    """-sum_z q(z) log q(z) along the last axis."""
    return -np.sum(q * np.log(q), axis=-1)


def categorical(probabilities: Array) -> Categorical:
    return Categorical(np.log(probabilities))


# ------------------------------------------------------------------------------------------- surgery on the KL, K1 - K3


@dataclass(frozen=True)
class Codes:
    """The codes q(z | x_n) of N examples, and a prior p(z) that is none of their mixtures."""

    codes: Array  # (N, K), each row a distribution
    prior: Array  # (K,)

    @classmethod
    def draw(cls, rng: Rng, examples: int = 5, states: int = 4) -> Codes:
        return cls(generic_probabilities(rng, (examples, states)), generic_probabilities(rng, (states,)))

    @property
    def size(self) -> int:
        return len(self.codes)

    @property
    def aggregate(self) -> Array:
        """The aggregate posterior: the code of an example that was picked at random."""
        return self.codes.mean(axis=0)

    def scope(self) -> Scope:
        """The codes q(z | x_n) of the examples, their mean, which example q(n | z) it was, and the prior."""
        return Scope(
            worlds={
                "q": Table(("x", "z"), self.codes / self.size),
                r"\bar q": Table(("z",), self.aggregate),
                "p": Table(("z",), self.prior),
            },
            values={"x": np.arange(self.size), "N": self.size, "K": self.prior.size},
            ranges={"n": self.size},
        )


def surgery_in_package(w: Codes) -> float:
    aggregate = categorical(w.aggregate)
    to_aggregate = kl_divergence(categorical(w.codes), categorical(np.broadcast_to(w.aggregate, w.codes.shape)))
    return float(to_aggregate.mean() + kl_divergence(aggregate, categorical(w.prior)))


K1 = (
    derive(
        "K1",
        "surgery on the mean KL: information and marginal",
        Codes.draw,
        assumptions="each example has weight 1/N; every q(z | x_n) is 0 wherever p(z) is",
        source="Hoffman and Johnson 2016, equation (7)",
    )
    .start(tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p(z))"), why="the rate, which training pays")
    .eq(
        tex(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z \mid x_n)}\left[\log\tfrac{q(z \mid x_n)}{\bar q(z)} + \log\tfrac{\bar q(z)}{p(z)}\right]"
        ),
        "add and subtract log q̄(z), the mean code",
        why="q̄ is what the decoder meets",
        needs="q̄ > 0 wherever a code is",
    )
    .eq(
        tex(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q(z)) + \mathbb{E}_{\bar q}\left[\log\tfrac{\bar q(z)}{p(z)}\right]"
        ),
        "linear; the second logarithm is free of n",
        why="the mean over n and q(z | x_n) is the mean under q̄",
    )
    .slip(
        "mean under the prior",
        tex(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q(z)) + \mathbb{E}_{p}\left[\log\tfrac{\bar q(z)}{p(z)}\right]"
        ),
        "the second mean is under the prior: the z are drawn from codes, so it is under their mixture.",
    )
    .eq(
        tex(
            r"I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p), \quad I(n; z) = \mathrm{H}(\bar q) - \tfrac1N \sum_n \mathrm{H}(q(z \mid x_n))"
        ),
        "the mean KL to the mean is mutual information",
        why="two jobs of the rate, two names",
    )
    .slip(
        "marginal KL swapped",
        tex(r"I(n; z) + \mathrm{KL}(p \,\Vert\, \bar q)"),
        "KL(p || q̄): the mean is over codes, so the mixture of codes comes first.",
    )
    .slip(
        "no mutual information",
        tex(r"\mathrm{KL}(\bar q \,\Vert\, p)"),
        "only the mixture of the codes was compared with the prior: what tells the examples apart is lost.",
    )
    .slip(
        "information subtracted",
        tex(r"\mathrm{KL}(\bar q \,\Vert\, p) - I(n; z)"),
        "the mutual information is subtracted: the rate pays for it.",
    )
    .slip(
        "sum over examples",
        tex(r"N\, I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "the information was summed over the examples: all terms are means.",
    )
    .slip(
        "entropy of the mixture alone",
        tex(r"\mathrm{H}(\bar q) + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "the entropy of each code was left out: information is the entropy that knowing n removes.",
    )
    .eq(given(r"\text{as computed by } \mathtt{kl\_divergence}", surgery_in_package), "both divergences in the package")
    .le(
        tex(r"\log N + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "to name one of N examples takes log N nats",
        why="a limit that no encoder escapes: I = log N - H(n | z)",
        needs="weights 1/N",
        gap=tex(r"\mathbb{E}_{\bar q}[\mathrm{H}(q(n \mid z))]"),
    )
    .slip(
        "log N reached",
        says="every code was taken to name its example: overlapping codes say less than log N.",
        relation="=",
    )
    .slip(
        "log of the number of states",
        tex(r"\log K + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "the states of z were counted, not the examples: that bounds I too, but misses by another gap.",
    )
)


@dataclass(frozen=True)
class GaussianCodes:
    """Gaussian codes q(z | x_n) in one dimension, and a Gaussian prior; their mixture is not Gaussian."""

    loc: Array  # (N,)
    scale: Array  # (N,)
    prior: Normal

    @classmethod
    def draw(cls, rng: Rng, examples: int = 4) -> GaussianCodes:
        loc = rng.permutation(np.array([-1.8, -0.7, 0.6, 1.5])[:examples] + rng.uniform(-0.25, 0.25, examples))
        scale = np.exp(-rng.uniform(0.3, 1.3, examples))
        return cls(loc, scale, Normal(away_from_zero(rng, 0.3, 0.8), np.exp(rng.uniform(0.2, 0.6))))

    def log_codes(self, z: Array) -> Array:
        """log q(z | x_n), shape (nodes, N)."""
        return -0.5 * (LOG_2PI + ((z[:, None] - self.loc) / self.scale) ** 2) - np.log(self.scale)

    def log_aggregate(self, z: Array) -> Array:
        return logsumexp(self.log_codes(z), axis=1) - np.log(self.loc.size)

    def scope(self) -> Scope:
        """The codes q(z | x_n), also written q_n, their mean with its label n, and the prior N(m, s^2)."""
        low, high = np.min(self.loc - 12 * self.scale), np.max(self.loc + 12 * self.scale)
        mean = Mixture("z", np.full(self.loc.size, 1 / self.loc.size), Normal(self.loc, self.scale), low, high, "n")
        return Scope(
            worlds={
                "q": mean,
                "q_": lambda n: Law("z", Normal(self.loc[n], self.scale[n])),
                r"\bar q": mean.marginal("z"),
                "p": Law("z", self.prior),
            },
            values={r"\mu": self.loc, r"\sigma": self.scale, "m": self.prior.loc, "s": self.prior.scale}
            | {"N": self.loc.size},
            ranges={"n": self.loc.size},
        )


K2 = (
    derive(
        "K2",
        "the same surgery with Gaussian codes",
        GaussianCodes.draw,
        assumptions="q̄ is a mixture of N Gaussians, not a Gaussian",
        source="Hoffman and Johnson 2016; Tomczak and Welling 2018, section 2",
    )
    .start(
        tex(
            r"\tfrac1N \sum_n \left[\log\tfrac{s}{\sigma_n} + \tfrac{\sigma_n^2 + (\mu_n - m)^2}{2 s^2} - \tfrac12\right]"
        ),
        why="the mean KL of Gaussian codes in closed form (E1)",
    )
    .eq(
        tex(r"\tfrac1N \sum_n \int q_n(z) \left[\log\tfrac{q_n(z)}{\bar q(z)} + \log\tfrac{\bar q(z)}{p(z)}\right] dz"),
        "definition of KL; add and subtract log q̄(z)",
        why="as in K1, but q̄ has no closed form",
    )
    .eq(
        tex(r"\mathrm{H}(\bar q) - \tfrac1N \sum_n \tfrac12 \log(2\pi e \sigma_n^2) + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "mean KL to the mixture = entropy less mean entropy",
        why="the entropy of each code is known, that of the mixture is an integral",
    )
    .slip(
        "Gaussian aggregate",
        tex(
            r"\mathrm{H}(\bar q) - \tfrac1N \sum_n \tfrac12 \log(2\pi e \sigma_n^2) + \mathrm{KL}(N(\bar\mu, \bar v) \,\Vert\, p), \quad \bar v = \tfrac1N \sum_n (\sigma_n^2 + \mu_n^2) - \bar\mu^2, \quad \bar\mu = \tfrac1N \sum_n \mu_n"
        ),
        "the mixture was replaced by a Gaussian of its mean and variance: that loses its bumps.",
    )
    .slip(
        "averaged parameters",
        tex(
            r"\mathrm{H}(\bar q) - \tfrac1N \sum_n \tfrac12 \log(2\pi e \sigma_n^2) + \mathrm{KL}(N(\bar\mu, \bar v) \,\Vert\, p), \quad \bar v = \tfrac1N \sum_n \sigma_n^2, \quad \bar\mu = \tfrac1N \sum_n \mu_n"
        ),
        "means and variances of the codes were averaged: a mixture averages the densities.",
    )
    .slip(
        "no mutual information",
        tex(r"\mathrm{KL}(\bar q \,\Vert\, p)"),
        "only the mixture of the codes was compared with the prior.",
    )
    .eq(
        tex(r"\log N - \mathbb{E}_{\bar q}[\mathrm{H}(q(n \mid z))] + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "mutual information is symmetric: which n, given z?",
        why="H(q(n | z)) is the doubt that a code leaves about its example",
        needs="weights 1/N",
    )
    .slip(
        "sum instead of mixture",
        tex(
            r"\log N - \mathbb{E}_{\bar q}[\mathrm{H}(q(n \mid z))] + \mathbb{E}_{\bar q}\left[\log\tfrac{N\,\bar q(z)}{p(z)}\right]"
        ),
        "the codes were added up without the 1/N: then q̄ integrates to N.",
    )
    .slip(
        "log N for the information",
        tex(r"\log N + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "every z was taken to name its example: where codes overlap, some doubt about n stays.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(Normal(w.loc, w.scale), w.prior).mean(),
        ),
        "the mean KL that training pays",
    )
)


@dataclass(frozen=True)
class CodesAndPriors:
    """The codes of N examples, and several candidates for the prior."""

    codes: Array  # (N, K)
    priors: Array  # (J, K)

    @classmethod
    def draw(cls, rng: Rng, examples: int = 4, states: int = 5, candidates: int = 6) -> CodesAndPriors:
        return cls(generic_probabilities(rng, (examples, states)), generic_probabilities(rng, (candidates, states)))

    @classmethod
    def draw_best(cls, rng: Rng) -> CodesAndPriors:
        """The case of equality: every candidate is the mixture of the codes."""
        w = cls.draw(rng)
        return replace(w, priors=np.broadcast_to(w.aggregate, w.priors.shape).copy())

    @property
    def aggregate(self) -> Array:
        return self.codes.mean(axis=0)

    def members(self) -> list[Scope]:
        """The codes q(z | x_n) and their mean, with each of the priors."""
        size = len(self.codes)
        return [
            Scope(
                worlds={
                    "q": Conditional("z", ("x",), lambda x: Categorical(np.log(self.codes[x]))),
                    r"\bar q": Table(("z",), self.aggregate),
                    "p": Table(("z",), prior),
                },
                values={"x": np.arange(size), "N": size, "K": self.aggregate.size},
                ranges={"n": size, "m": size},
            )
            for prior in self.priors
        ]


K3 = (
    derive(
        "K3",
        "the best prior is the aggregate posterior",
        CodesAndPriors.draw,
        assumptions="the codes are held fixed; any prior may be chosen",
        source="Tomczak and Welling 2018, section 2; Hoffman and Johnson 2016",
    )
    .start(
        tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p) \quad \forall p"),
        why="the rate under any prior: what a learned prior may lower",
    )
    .eq(
        tex(r"-\tfrac1N \sum_n \mathrm{H}(q(z \mid x_n)) - \mathbb{E}_{\bar q}[\log p(z)]"),
        "only the cross-entropy depends on p, through q̄",
        why="p meets the codes only through their mean",
    )
    .eq(
        tex(
            r"I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p), \quad I(n; z) = \mathrm{H}(\bar q) - \tfrac1N \sum_n \mathrm{H}(q(z \mid x_n))"
        ),
        "add and subtract H(q̄)",
        why="one term holds p",
    )
    .slip(
        "minus the marginal KL",
        tex(r"I(n; z) - \mathrm{KL}(\bar q \,\Vert\, p)"),
        "the marginal KL is subtracted: a prior that misses the codes costs extra.",
    )
    .ge(
        tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q)"),
        "KL(q̄ ‖ p) is never negative, and 0 at p = q̄",
        why="so q̄ is the best prior, and I is what it still pays",
        gap=tex(r"\mathrm{KL}(\bar q \,\Vert\, p)"),
        equality=CodesAndPriors.draw_best,
    )
    .slip(
        "geometric mean",
        tex(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z \mid x_n)}\left[\log\tfrac{q(z \mid x_n)}{g(z) / G}\right], \quad g(z) = \prod_m q(z \mid x_m)^{1/N}, \quad G = \sum_z g(z)"
        ),
        "logarithms of the codes were averaged: that is best for KL(p || q_n), the other direction.",
    )
    .slip(
        "uniform prior",
        tex(r"\log K - \tfrac1N \sum_n \mathrm{H}(q(z \mid x_n))"),
        "the flattest prior was taken to be the cheapest: cheapest is the one that follows the codes.",
    )
    .slip("nothing to pay", tex(r"0"), "the best prior makes the rate vanish: the information I stays to be paid.")
    .slip("an upper bound", says="the inequality is turned around.", relation="<=")
)


# ----------------------------------------------------------------------------------------- rate and distortion, K4 - K5


@dataclass(frozen=True)
class Channel:
    """A law of the data, an encoder, a decoder and a prior, as tables; none of them fits another."""

    data: Array  # p_data(x), (M,)
    encoder: Array  # q(z | x), (M, K)
    decoder: Array  # p(x | z), (K, M)
    prior: Array  # p(z), (K,)

    @classmethod
    def draw(cls, rng: Rng, values: int = 5, states: int = 3) -> Channel:
        return cls(
            generic_probabilities(rng, (values,)),
            generic_probabilities(rng, (values, states)),
            generic_probabilities(rng, (states, values)),
            generic_probabilities(rng, (states,)),
        )

    @property
    def joint(self) -> Array:
        """q(x, z) = p_data(x) q(z | x), (M, K)."""
        return self.data[:, None] * self.encoder

    @property
    def aggregate(self) -> Array:
        """q(z) under the data, (K,)."""
        return self.joint.sum(axis=0)

    @property
    def backward(self) -> Array:
        """q(x | z) = q(x, z) / q(z), (K, M): the decoder that would fit this encoder."""
        return (self.joint / self.aggregate).T

    @property
    def rate(self) -> float:
        return float(self.data @ kl_table(self.encoder, self.prior))

    @property
    def distortion(self) -> float:
        return float(-np.sum(self.joint * np.log(self.decoder.T)))

    @property
    def entropy(self) -> float:
        """H of the data, in nats."""
        return float(entropy_table(self.data))

    @property
    def information(self) -> float:
        """H(x) + H(z) - H(x, z)."""
        return float(self.entropy + entropy_table(self.aggregate) - entropy_table(self.joint.ravel()))

    def scope(self) -> Scope:
        """q(x, z) of data and encoder, p(x, z) of prior and decoder; entropies are those under q."""
        return Scope(
            worlds={
                "q": Table(("x", "z"), self.joint),
                r"\bar q": Table(("z",), self.aggregate),
                "p": Table(("z", "x"), self.prior[:, None] * self.decoder),
            },
            values={"H": self.entropy, "R": self.rate, "D": self.distortion},
            laws={"x": "q(x)"},
            joint="q",
        )


def mean_bound(w: Channel) -> float:
    """The mean over the data of the bound, by the package's own functions."""
    log_likelihood = np.sum(w.encoder * np.log(w.decoder.T), axis=1)
    kl = kl_divergence(categorical(w.encoder), categorical(np.broadcast_to(w.prior, w.encoder.shape)))
    return float(w.data @ elbo(log_likelihood, kl))


K4 = (
    derive(
        "K4",
        "information lies between H - D and the rate",
        Channel.draw,
        assumptions="z depends on x alone; x is discrete, or H is a differential entropy",
        source="Alemi et al. 2018, equation (4)",
    )
    .start(tex(r"R = \mathbb{E}_{x}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))"), why="known in training")
    .ge(
        tex(r"\mathrm{H}(x) + \mathrm{H}(z) - \mathrm{H}(x, z)"),
        "R - I = KL(q̄ ‖ p), never negative",
        why="the mutual information I(x; z); the prior need not fit the codes",
        needs="a finite KL",
        gap=tex(r"\mathrm{KL}(\bar q \,\Vert\, p(z))"),
    )
    .slip(
        "rate below information",
        says="the rate was taken to be at most the information: the prior can only add to the price.",
        relation="<=",
    )
    .slip(
        "rate is information",
        says="the KL term was read as mutual information: that holds only if the prior is the mixture of codes.",
        relation="=",
    )
    .ge(
        tex(r"H - D, \quad D = -\mathbb{E}_{x}\,\mathbb{E}_{q(z \mid x)}[\log p(x \mid z)]"),
        "I = H - H(x|z), and D is at least H(x|z)",
        why="the decoder need not fit the codes (Gibbs)",
        needs="H finite",
        gap=tex(r"\mathbb{E}_{\bar q}\left[\mathrm{KL}(q(x \mid z) \,\Vert\, p(x \mid z))\right]"),
    )
    .slip("H plus D", tex(r"H + D"), "the distortion was added: it is what stays unknown of x, so it is subtracted.")
    .slip(
        "distortion above",
        says="H - D was taken for an upper bound: a bad decoder makes D large and H - D small.",
        relation="<=",
    )
    .slip(
        "no entropy of the data",
        tex(r"-D"),
        "-D alone was compared with the information: the entropy of the data is missing.",
    )
    .eq(
        given(r"H + \mathbb{E}_{x}[\mathcal{L}] + R", lambda w: w.entropy + mean_bound(w) + w.rate),
        "the mean bound is -(D + R): where training is now",
        why="bound and rate are in every log file; here the bound is the package's",
    )
    .slip(
        "D minus R",
        tex(r"H + (R - D) + R"),
        "the bound was read as R - D: both count against it, the bound is -(D + R).",
    )
)


x, z, p, q, q_bar = symbols(r"x z p q \bar{q}")
to_prior, to_decoder = KL(q_bar, p(z)), E(q_bar, KL(q(x | z), p(x | z)))  # what the prior misses, and the decoder

K5 = (
    derive(
        "K5",
        "what the sandwich leaves on either side",
        Channel.draw,
        assumptions="as K4; all divergences finite",
        source="Alemi et al. 2018, appendix; Hoffman and Johnson 2016",
    )
    .start(
        tex(
            r"\left(R - I,\ I - (H - D),\ R + D - H\right), \quad I = \mathrm{H}(x) + \mathrm{H}(z) - \mathrm{H}(x, z)"
        ),
        why="the two gaps of K4, and their sum",
    )
    .eq(
        tex(
            r"\mathbb{E}_{q(x, z)}\left(\log\tfrac{q(z)}{p(z)},\ \log\tfrac{q(x \mid z)}{p(x \mid z)},\ \log\tfrac{q(x, z)}{p(z)\,p(x \mid z)}\right)"
        ),
        "all four are means under q(x,z): collect logarithms",
        why="each gap is one expectation",
    )
    .eq(
        vector(to_prior, to_decoder, to_prior + to_decoder),
        "definition of KL; the logarithms add up",
        why="the first closes when the prior fits the codes, the second when the decoder does",
        needs="finite divergences",
    )
    .slip(
        "marginal KL swapped",
        vector(KL(p(z), q_bar), to_decoder, KL(p(z), q_bar) + to_decoder),
        "KL(p || q̄): the mean is under what the encoder makes.",
    )
    .slip(
        "mean under the prior",
        vector(
            to_prior,
            E(p(z), KL(q(x | z), p(x | z))),
            to_prior + E(p(z), KL(q(x | z), p(x | z))),
        ),
        "z is drawn from the prior in the second gap: the z come from codes of data.",
    )
    .slip(
        "decoder KL swapped",
        vector(
            to_prior,
            E(q_bar, KL(p(x | z), q(x | z))),
            to_prior + E(q_bar, KL(p(x | z), q(x | z))),
        ),
        "KL(p(x|z) || q(x|z)): x is drawn from the data, so q(x|z) comes first.",
    )
    .slip(
        "the two swapped",
        vector(to_decoder, to_prior, to_decoder + to_prior),
        "the two gaps were swapped: the prior widens R - I, the decoder widens I - (H - D).",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: np.array(
                [
                    kl_divergence(categorical(w.aggregate), categorical(w.prior)),
                    w.aggregate @ kl_divergence(categorical(w.backward), categorical(w.decoder)),
                    kl_divergence(categorical(w.joint.ravel()), categorical((w.prior * w.decoder.T).ravel())),
                ]
            ),
        ),
        "chain rule: the third is the KL of the joints",
        why="so the sum closes when both fit",
    )
)


# -------------------------------------------------------------------------------------------------- beta, K6 and K7


@dataclass(frozen=True)
class ScalarCoder:
    """p(x | z) = N(w z, c) in one dimension, N examples, codes q(z | x) = N(m x, v), and a weight beta of the KL."""

    slope: float
    noise_variance: float
    x: Array  # (N,)
    beta: float

    @classmethod
    def draw(cls, rng: Rng, examples: int = 5) -> ScalarCoder:
        beta = float(np.exp(away_from_zero(rng, 0.3, 1.0)))
        return cls(
            float(away_from_zero(rng, 0.5, 1.6)), generic_noise_variance(rng), away_from_zero(rng, 0.3, 2.0, (examples,)), beta
        )  # fmt: skip

    def best(self, beta: float) -> tuple[float, float]:
        """(m, v) at which -(D + beta R) is largest: K7 in one dimension."""
        precision = self.slope**2 + beta * self.noise_variance
        return self.slope / precision, beta * self.noise_variance / precision

    def distortion(self, m: float, v: float) -> float:
        square = np.mean((self.x - self.slope * m * self.x) ** 2) + self.slope**2 * v
        return float(0.5 * (LOG_2PI + np.log(self.noise_variance)) + square / (2 * self.noise_variance))

    def rate(self, m: float, v: float) -> float:
        return float(np.mean(0.5 * ((m * self.x) ** 2 + v - 1 - np.log(v))))

    def scope(self) -> Scope:
        """D and R of the code that is best for a beta, and the mean square of the examples."""
        rate, distortion = (
            lambda beta, price=price: np.vectorize(lambda b: price(*self.best(b)))(beta)
            for price in (self.rate, self.distortion)
        )
        return Scope(
            values={"w": self.slope, "c": self.noise_variance, r"\beta": self.beta, "x": self.x, "N": self.x.size},
            ranges={"n": self.x.size},
            maps={"R": Map(rate, (r"\beta",)), "D": Map(distortion, (r"\beta",))},
            parameters={r"\beta": Parameter(self.beta, lambda beta: replace(self, beta=float(beta)).scope())},
        )


def package_rate(w: ScalarCoder) -> float:
    m, v = w.best(w.beta)
    codes = Normal(m * w.x, np.full(w.x.shape, np.sqrt(v)))
    return float(np.mean(kl_divergence(codes, Normal(0.0, 1.0))))


K6 = (
    derive(
        "K6",
        "the slope of the best objective in beta is minus the rate",
        ScalarCoder.draw,
        assumptions="D(β) and R(β) are those of the best code for β, which lies inside its family and moves smoothly",
        source="envelope theorem; Alemi et al. 2018, section 2",
    )
    .start(
        tex(r"\frac{d}{d\beta} \left[-D(\beta) - \beta R(\beta)\right]"),
        why="how the best value of the objective falls; the best code moves along",
        needs="a smooth optimum",
    )
    .eq(
        tex(r"\left.\frac{\partial}{\partial b}\left[-D(\beta) - b R(\beta)\right]\right|_{b = \beta}"),
        "at the maximum, moving q changes nothing",
        why="the code is held, the price b alone moves: the envelope theorem",
        needs="an optimum inside the family",
    )
    .slip(
        "code of another beta",
        tex(r"\left.\frac{\partial}{\partial b}\left[-D(1.6\,\beta) - b R(1.6\,\beta)\right]\right|_{b = \beta}"),
        "the code was optimal for another beta: only at the optimum does its motion not count.",
    )
    .eq(
        tex(
            r"-\tfrac12\left[\tfrac{w^2 S}{(w^2 + \beta c)^2} - \tfrac{w^2}{w^2 + \beta c} + \log\tfrac{w^2 + \beta c}{\beta c}\right], \quad S = \tfrac1N \sum_n x_n^2"
        ),
        "linear in beta with slope -R; R written out",
        why="the slope is minus the rate",
    )
    .slip("plus the rate", tex(r"R(\beta)"), "the sign is lost: a larger beta lowers the best objective.")
    .slip("the distortion", tex(r"-D(\beta)"), "the slope was read off the other axis: beta multiplies the rate.")
    .slip(
        "divided by beta",
        tex(r"-\tfrac{1}{\beta} R(\beta)"),
        "beta was divided out: the objective is linear in beta, its slope has no beta left.",
    )
    .eq(given(r"\text{as computed by } \mathtt{kl\_divergence}", lambda w: -package_rate(w)), "the rate in the package")
)


@dataclass(frozen=True)
class Tempered:
    """A linear-Gaussian model, an observation, a weight beta of the KL, and eleven Gaussian codes to compare.

    Four of them are nearly best for the noise variances c / beta, c, beta c and beta^2 c, and one has the mean of the
    third with the covariance of the second.
    """

    model: LinearGaussian
    x: Array
    beta: float
    qs: tuple[MultivariateNormal, ...]

    @classmethod
    def draw(cls, rng: Rng, k: int = 2, d: int = 3) -> Tempered:
        w = LinearWitness.draw(rng, k, d)
        codes = tuple(
            MultivariateNormal(away_from_zero(rng, 0.3, 1.2, (k,)), generic_covariance(rng, k)) for _ in range(6)
        )
        beta = float(np.exp(away_from_zero(rng, 0.3, 1.2)))
        noises = [w.model.noise_variance * beta**power for power in (-1, 0, 1, 2)]
        best = [LinearGaussian(w.model.loading, w.model.offset, c).posterior(w.x) for c in noises]
        best.append(MultivariateNormal(best[2].loc, best[1].covariance))
        near = [MultivariateNormal(q.loc, q.covariance * rng.uniform(1.02, 1.06)) for q in best]
        return cls(w.model, w.x, beta, (*codes, *near))

    def members(self) -> list[Scope]:
        """The model with each of the codes q; M = W^T W + beta c I."""
        model = self.model
        blurred = LinearGaussian(model.loading, model.offset, self.beta * model.noise_variance)
        names = {**linear_names(blurred, self.x), "c": model.noise_variance, r"\beta": self.beta}
        return [
            Scope(
                worlds={"p": linear_world(model), "q": Law("z", q), r"p_{\beta c}": linear_world(blurred)},
                observed={"x": self.x},
                values=names,
            )
            for q in self.qs
        ]


K7 = (
    derive(
        "K7",
        "with beta, the best code is the posterior for noise beta c",
        Tempered.draw,
        assumptions="linear Gaussian decoder with fixed noise variance c > 0, beta > 0; q any Gaussian",
        source="Higgins et al. 2017, equation (4); Lucas et al. 2019, section 4",
    )
    .start(
        tex(r"-\mathbb{E}_q[\log p(x \mid z)] + \beta\,\mathrm{KL}(q \,\Vert\, p(z)) \quad \forall q"),
        why="the loss at one x",
    )
    .eq(
        tex(r"\beta\,\mathbb{E}_q\left[\log q(z) - \log p(z) - \log p(x \mid z)^{1/\beta}\right]"),
        "take beta out: the likelihood gets the power 1/beta",
        why="it looks like a KL",
        needs="β > 0",
    )
    .slip(
        "power beta",
        tex(r"\beta\,\mathbb{E}_q\left[\log q(z) - \log p(z) - \log p(x \mid z)^{\beta}\right]"),
        "the likelihood was raised to beta: dividing by beta leaves the power 1/beta.",
    )
    .eq(
        tex(
            r"\beta\,\mathrm{KL}(q \,\Vert\, p_{\beta c}(z \mid x)) - \beta \log Z, \quad Z = p_{\beta c}(x)\,\frac{(2\pi\beta c)^{d/2}}{(2\pi c)^{d/(2\beta)}}"
        ),
        "N(x; Wz + b, cI)^(1/beta) has the shape of noise beta c",
        why="a posterior again; Z is the integral of $p(z)\\,p(x \\mid z)^{1/\\beta}$",
        needs="c fixed",
    )
    .slip(
        "the exact posterior",
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, p(z \mid x)) - \beta \log Z"),
        "beta was ignored: with beta other than 1 the best code is not the posterior.",
    )
    .same_argmin(
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \beta c M^{-1})), \quad M = W^\top W + \beta c I"),
        "log Z is free of q; r = x - b: so q* is read off",
        why="noise c under beta acts as noise beta c",
    )
    .slip(
        "beta ignored",
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ c M^{-1})), \quad M = W^\top W + c I"),
        "beta was ignored: with beta other than 1 the best code is not the posterior.",
    )
    .slip(
        "c divided by beta",
        tex(
            r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \tfrac{c}{\beta} M^{-1})), \quad M = W^\top W + \tfrac{c}{\beta} I"
        ),
        "beta sharpens the code: a dearer KL makes the data count less, as more noise would.",
    )
    .slip(
        "beta squared",
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \beta^2 c M^{-1})), \quad M = W^\top W + \beta^2 c I"),
        "beta was taken for a factor on the standard deviation: it multiplies the variance c.",
    )
    .slip(
        "only the mean shrinks",
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ c\,(W^\top W + c I)^{-1}))"),
        "beta moved the mean alone: the covariance grows with beta too.",
    )
    .slip(
        "equal after dropping the constant",
        says="log Z was dropped under an equals sign: only the best q stays the same.",
        relation="=",
    )
)


# --------------------------------------------------------------------------------------- total correlation, K9


@dataclass(frozen=True)
class PairCodes:
    """Codes over two discrete latents, q(z1, z2 | x_n), not factorized; a prior that is."""

    codes: Array  # (N, K1, K2)
    first: Array  # p(z1), (K1,)
    second: Array  # p(z2), (K2,)

    @classmethod
    def draw(cls, rng: Rng, examples: int = 4, sizes: tuple[int, int] = (3, 4)) -> PairCodes:
        joint = generic_probabilities(rng, (examples, sizes[0] * sizes[1])).reshape(examples, *sizes)
        return cls(joint, *(generic_probabilities(rng, (size,)) for size in sizes))

    @property
    def aggregate(self) -> Array:
        return self.codes.mean(axis=0)

    @property
    def prior(self) -> Array:
        return np.outer(self.first, self.second)

    @property
    def margins(self) -> tuple[Array, Array]:
        return self.aggregate.sum(axis=1), self.aggregate.sum(axis=0)

    def scope(self) -> Scope:
        """The codes q(z_1, z_2 | x_n), their mean, and the prior."""
        size = len(self.codes)
        return Scope(
            worlds={
                "q": Table(("x", "z_1", "z_2"), self.codes / size),
                r"\bar q": Table(("z_1", "z_2"), self.aggregate),
                "p": Table(("z_1", "z_2"), self.prior),
            },
            values={"x": np.arange(size), "N": size},
            ranges={"n": size},
        )


def parts_in_package(w: PairCodes) -> float:
    first, second = w.margins
    codes, aggregate = (categorical(table) for table in (w.codes.reshape(len(w.codes), -1), w.aggregate.ravel()))
    pairs = [
        (aggregate, categorical(np.outer(first, second).ravel())),
        (categorical(first), categorical(w.first)),
        (categorical(second), categorical(w.second)),
    ]
    information = np.mean([kl_divergence(categorical(code), aggregate) for code in codes.probs])
    return float(information + sum(kl_divergence(a, b) for a, b in pairs))


K9 = (
    derive(
        "K9",
        "information, total correlation, single latents",
        PairCodes.draw,
        assumptions="the prior factorizes over the latents; the codes need not",
        source="Chen et al. 2018, equation (2)",
    )
    .start(
        tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z_1, z_2 \mid x_n) \,\Vert\, p(z_1, z_2))"),
        why="the rate, here with two latents",
    )
    .eq(
        tex(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z_1, z_2 \mid x_n)}\left[\log\tfrac{q(z_1, z_2 \mid x_n)}{\bar q(z_1, z_2)} + \log\tfrac{\bar q(z_1, z_2)}{\bar q(z_1)\,\bar q(z_2)} + \log\tfrac{\bar q(z_1)\,\bar q(z_2)}{p(z_1)\,p(z_2)}\right]"
        ),
        "add and subtract log q̄(z) and log Π q̄(z_j)",
        why="the mean code, and the product of its margins, come in",
        needs="p(z) = Π p(z_j)",
    )
    .eq(
        tex(
            r"I(n; z) + \mathrm{TC} + \mathrm{KL}(\bar q(z_1) \,\Vert\, p(z_1)) + \mathrm{KL}(\bar q(z_2) \,\Vert\, p(z_2)), \quad I(n; z) = \mathrm{H}(\bar q(z_1, z_2)) - \tfrac1N \sum_n \mathrm{H}(q(z_1, z_2 \mid x_n)), \quad \mathrm{TC} = \mathrm{H}(\bar q(z_1)) + \mathrm{H}(\bar q(z_2)) - \mathrm{H}(\bar q(z_1, z_2))"
        ),
        "p factorizes: the last part needs margins only",
        why="information, total correlation, and one term for each latent",
    )
    .slip(
        "no total correlation",
        tex(r"I(n; z) + \mathrm{KL}(\bar q(z_1) \,\Vert\, p(z_1)) + \mathrm{KL}(\bar q(z_2) \,\Vert\, p(z_2))"),
        "the aggregate was taken to factorize: its latents depend on each other.",
    )
    .slip(
        "minus total correlation",
        tex(
            r"I(n; z) - \mathrm{TC} + \mathrm{KL}(\bar q(z_1) \,\Vert\, p(z_1)) + \mathrm{KL}(\bar q(z_2) \,\Vert\, p(z_2))"
        ),
        "the total correlation is subtracted: dependence among the latents costs extra.",
    )
    .slip(
        "total correlation swapped",
        tex(
            r"I(n; z) + \mathrm{KL}(\bar q(z_1)\,\bar q(z_2) \,\Vert\, \bar q(z_1, z_2)) + \mathrm{KL}(\bar q(z_1) \,\Vert\, p(z_1)) + \mathrm{KL}(\bar q(z_2) \,\Vert\, p(z_2))"
        ),
        "KL(product of margins || q̄): the mean is under the aggregate, so it comes first.",
    )
    .slip(
        "margins of single codes",
        tex(
            r"I(n; z) + \mathrm{TC} + \tfrac1N \sum_n \left[\mathrm{KL}(q(z_1 \mid x_n) \,\Vert\, p(z_1)) + \mathrm{KL}(q(z_2 \mid x_n) \,\Vert\, p(z_2))\right]"
        ),
        "each code's own margins were compared with the prior: that counts the information twice.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{kl\_divergence}", parts_in_package),
        "all four divergences in the package",
    )
)


# ------------------------------------------------------------------------------------- the Gaussian source, K10


@dataclass(frozen=True)
class GaussianSource:
    """x ~ N(0, lambda), a mean squared error Delta below lambda, and the gain a of another code z = a x + noise."""

    variance: float  # lambda
    allowed: float  # Delta
    gain: float  # a; with noise variance Delta - (1 - a)^2 lambda > 0 it makes the same error

    @classmethod
    def draw(cls, rng: Rng) -> GaussianSource:
        variance = float(generic_scale(rng) ** 2)
        share = float(rng.uniform(0.15, 0.7))  # Delta / lambda
        most = np.sqrt(share)  # |1 - a| must stay below
        gain = 1 - share + float(away_from_zero(rng, 0.15, 0.6)) * (most - share)
        return cls(variance, share * variance, gain)

    @classmethod
    def draw_best(cls, rng: Rng) -> GaussianSource:
        w = cls.draw(rng)
        return replace(w, gain=1 - w.allowed / w.variance)

    def scope(self) -> Scope:
        """q(x, z) of the source and its best code, whose gain is 1 - Delta / lambda."""
        gain = 1 - self.allowed / self.variance
        cross, total = gain * self.variance, gain**2 * self.variance + self.allowed * gain
        return Scope(
            worlds={
                "q": JointGaussian({"x": 0, "z": 0}, np.zeros(2), np.array([[self.variance, cross], [cross, total]]))
            },
            values={r"\lambda": self.variance, r"\Delta": self.allowed, "a": self.gain},
            laws={"x": "q(x)"},
        )


K10 = (
    derive(
        "K10",
        "rate and distortion of a Gaussian source",
        GaussianSource.draw,
        assumptions="x ~ N(0, λ), squared error Δ, 0 < Δ < λ",
        source="Shannon 1959; Cover and Thomas 2006, theorem 10.3.2",
    )
    .start(
        tex(
            r"\left(\mathbb{E}_x\,\mathrm{KL}(q(z \mid x) \,\Vert\, q(z)),\ \mathbb{E}_{q(x, z)}[(x - z)^2]\right), \quad q(z \mid x) = N\left((1 - \tfrac{\Delta}{\lambda})\,x,\ \Delta\,(1 - \tfrac{\Delta}{\lambda})\right)"
        ),
        why="what a code spends and what it misses; it shrinks x first, then adds noise",
    )
    .eq(
        tex(
            r"\left(\tfrac12 \log[2\pi e\,(\lambda - \Delta)] - \tfrac12 \log[2\pi e \Delta\,(1 - \tfrac{\Delta}{\lambda})],\ (\tfrac{\Delta}{\lambda})^2 \lambda + \Delta\,(1 - \tfrac{\Delta}{\lambda})\right)"
        ),
        "z has variance λ - Δ; x and the noise are independent",
        why="the mean KL is h(z) - h(z | x), two entropies of Gaussians",
    )
    .eq(
        tex(r"\left(\tfrac12 \log\tfrac{\lambda}{\Delta},\ \Delta\right)"),
        "(λ - Δ) / (Δ (1 - Δ/λ)) = λ/Δ",
        why="Shannon's curve",
    )
    .slip(
        "no one half",
        tex(r"\left(\log\tfrac{\lambda}{\Delta},\ \Delta\right)"),
        "the 1/2 is missing: variances enter as squares of lengths.",
    )
    .slip(
        "in bits",
        tex(r"\left(\tfrac12 \log_2\tfrac{\lambda}{\Delta},\ \Delta\right)"),
        "log2 was taken: that is the rate in bits, everything here is in nats.",
    )
    .slip(
        "noise added to x",
        tex(r"\left(\tfrac12 \log(1 + \tfrac{\lambda}{\Delta}),\ \Delta\right)"),
        "z = x + noise of variance Δ was used: shrinking x first needs fewer nats for the same error.",
    )
    .le(
        tex(
            r"\left(\tfrac12 \log(1 + \tfrac{a^2 \lambda}{v}),\ (1 - a)^2 \lambda + v\right), \quad v = \Delta - (1 - a)^2 \lambda"
        ),
        "z = a x + noise of the same error spends no less",
        why="v is the variance of its noise",
        needs="v > 0",
        equality=GaussianSource.draw_best,
    )
    .slip(
        "other codes do better",
        says="the inequality is turned around: no code of this error needs fewer nats.",
        relation=">=",
    )
)

# ----------------------------------------------------------- what a code is worth to two kinds of decoder, K11 and K12


@dataclass(frozen=True)
class TwoPixels:
    """Two pixels that depend on each other, a code q(z | x_1, x_2), and a model p(z) p(x_1 | z) p(x_2 | x_1, z)."""

    data: Array  # p_data(x_1, x_2), (M1, M2)
    encoder: Array  # q(z | x_1, x_2), (M1, M2, K)
    model: Array  # p(x_1, x_2, z), (M1, M2, K): any table is such a product

    @classmethod
    def draw(cls, rng: Rng, first: int = 2, second: int = 3, states: int = 4) -> TwoPixels:
        data = generic_probabilities(rng, (first * second,)).reshape(first, second)
        model = generic_probabilities(rng, (first * second * states,)).reshape(first, second, states)
        return cls(data, generic_probabilities(rng, (first, second, states)), model)

    @classmethod
    def draw_silent(cls, rng: Rng) -> TwoPixels:
        """The case of equality: the code says nothing and is the prior, and the decoder is the law of the data."""
        w = cls.draw(rng)
        prior = generic_probabilities(rng, (w.encoder.shape[-1],))
        return cls(w.data, np.broadcast_to(prior, w.encoder.shape).copy(), w.data[..., None] * prior)

    @property
    def joint(self) -> Array:
        """q(x_1, x_2, z) = p_data(x_1, x_2) q(z | x_1, x_2), (M1, M2, K)."""
        return self.data[..., None] * self.encoder

    @property
    def prior(self) -> Array:
        return self.model.sum(axis=(0, 1))

    @property
    def rate(self) -> float:
        return float(np.sum(self.data * kl_table(self.encoder, self.prior)))

    def scope(self) -> Scope:
        """q of data and code, and p of prior and decoder; entropies are those under q."""
        variables = ("x_1", "x_2", "z")
        return Scope(
            worlds={
                "q": Table(variables, self.joint),
                r"\bar q": Table(("z",), self.joint.sum(axis=(0, 1))),
                "p": Table(variables, self.model),
            },
            values={"R": self.rate},
            joint="q",
        )


def best_decoder_in_package(w: TwoPixels) -> float:
    """D + R with the decoder q(x_1, x_2 | z), by the package's own functions."""
    aggregate = w.joint.sum(axis=(0, 1))
    log_likelihood = np.sum(w.encoder * (np.log(w.joint) - np.log(aggregate)), axis=-1)
    kl = kl_divergence(categorical(w.encoder), categorical(np.broadcast_to(w.prior, w.encoder.shape)))
    return -float(np.sum(w.data * elbo(log_likelihood, kl)))


K11 = (
    derive(
        "K11",
        "a decoder that sees the pixels before has no need of a code",
        TwoPixels.draw,
        assumptions="two pixels; the decoder is any p(x1|z) p(x2|x1,z); all divergences finite",
        source="Chen et al. 2017",
    )
    .start(
        tex(r"D + R, \quad D = -\mathbb{E}_{q(x_1, x_2, z)}[\log p(x_1 \mid z) + \log p(x_2 \mid x_1, z)]"),
        why="what training pays: minus the mean bound",
    )
    .ge(
        tex(r"\mathrm{H}(x_1, x_2, z) - \mathrm{H}(z) + R"),
        "the best decoder is q(x1|z) q(x2|x1,z)",
        why="D is at least H(x1, x2 | z), and this decoder may be any law of two pixels",
        needs="no limit on the decoder",
        gap=tex(r"\mathbb{E}_{\bar q}[\mathrm{KL}(q(x_1, x_2 \mid z) \,\Vert\, p(x_1, x_2 \mid z))]"),
    )
    .slip(
        "entropy of x and z",
        tex(r"\mathrm{H}(x_1, x_2, z) + R"),
        "the entropy of z was counted with the pixels: D is what is unknown of x once z is known.",
    )
    .slip(
        "an upper bound",
        says="the inequality is turned around: no decoder pays less than the entropy of x given z.",
        relation="<=",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{elbo} \text{ with the best decoder}", best_decoder_in_package),
        "the package's bound",
    )
    .eq(
        tex(r"\mathrm{H}(x_1, x_2) + \mathrm{KL}(\bar q \,\Vert\, p(z))"),
        "R = I + KL(q̄ ‖ p) (K1), and I = H(x) - H(x | z)",
        why="the information is paid in R and saved in D: it has gone",
    )
    .slip(
        "information saved and not paid",
        tex(r"\mathrm{H}(x_1, x_2, z) - \mathrm{H}(z) + \mathrm{KL}(\bar q \,\Vert\, p(z))"),
        "the information was taken off D and not put into R: what a code says has to be sent.",
    )
    .slip(
        "information paid twice",
        tex(r"\mathrm{H}(x_1, x_2) + R"),
        "the whole rate was added to H: the decoder gets the information back.",
    )
    .slip(
        "marginal KL swapped",
        tex(r"\mathrm{H}(x_1, x_2) + \mathrm{KL}(p(z) \,\Vert\, \bar q)"),
        "KL(p || q̄): the mean is over codes, so their mixture comes first.",
    )
    .ge(
        tex(r"\mathrm{H}(x_1, x_2)"),
        "a KL is never negative; 0 for q = p(z), R = 0",
        why="a code that says nothing does as well as any: nothing rewards using z",
        gap=tex(r"\mathrm{KL}(\bar q \,\Vert\, p(z))"),
        equality=TwoPixels.draw_silent,
    )
    .slip(
        "pixels taken apart",
        tex(r"\mathrm{H}(x_1) + \mathrm{H}(x_2)"),
        "the pixels were taken as independent: this decoder has seen the first when it comes to the second.",
    )
)


@dataclass(frozen=True)
class TwoPixelsApart(TwoPixels):
    """As `TwoPixels`, but the decoder is p(x_1 | z) p(x_2 | z)."""

    @classmethod
    def draw(cls, rng: Rng, first: int = 2, second: int = 3, states: int = 4) -> TwoPixelsApart:
        w = TwoPixels.draw(rng, first, second, states)
        return cls(w.data, w.encoder, cls.product(rng, first, second, generic_probabilities(rng, (states,))))

    @staticmethod
    def product(rng: Rng, first: int, second: int, prior: Array) -> Array:
        one, two = (generic_probabilities(rng, (prior.size, size)) for size in (first, second))
        return np.einsum("ki,kj,k->ijk", one, two, prior)


K12 = (
    derive(
        "K12",
        "a decoder with independent pixels pays for what they share",
        TwoPixelsApart.draw,
        assumptions="two pixels, independent given z in the decoder; all divergences finite",
        source="K11 for a smaller family of decoders; Chen et al. 2017",
    )
    .start(
        tex(r"D + R, \quad D = -\mathbb{E}_{q(x_1, x_2, z)}[\log p(x_1 \mid z) + \log p(x_2 \mid z)]"),
        why="what training pays, with the decoder of this course",
    )
    .ge(
        tex(r"\mathrm{H}(x_1, z) - \mathrm{H}(z) + \mathrm{H}(x_2, z) - \mathrm{H}(z) + R"),
        "the best decoder is q(x1|z) q(x2|z)",
        why="each pixel has only z to go by",
        gap=tex(
            r"\mathbb{E}_{\bar q}[\mathrm{KL}(q(x_1 \mid z) \,\Vert\, p(x_1 \mid z)) + \mathrm{KL}(q(x_2 \mid z) \,\Vert\, p(x_2 \mid z))]"
        ),
    )
    .slip(
        "decoder that has seen the first pixel",
        tex(r"\mathrm{H}(x_1, x_2, z) - \mathrm{H}(z) + R"),
        "the second pixel was allowed to look at the first: here it has only z to go by, and more is lost.",
    )
    .slip(
        "an upper bound",
        says="the inequality is turned around: no such decoder pays less.",
        relation="<=",
    )
    .eq(
        tex(
            r"\mathrm{H}(x_1, x_2) + I_z + \mathrm{KL}(\bar q \,\Vert\, p(z)), \quad I_z = \mathrm{H}(x_1, z) + \mathrm{H}(x_2, z) - \mathrm{H}(z) - \mathrm{H}(x_1, x_2, z)"
        ),
        "add and subtract H(x1, x2 | z); then as in K11",
        why="I_z = I(x1; x2 | z): what the pixels still share when z is known",
    )
    .slip(
        "nothing shared",
        tex(r"\mathrm{H}(x_1, x_2) + \mathrm{KL}(\bar q \,\Vert\, p(z))"),
        "z was taken to explain everything that the pixels share: that is what the code is paid for.",
    )
    .slip(
        "shared without z",
        tex(
            r"\mathrm{H}(x_1, x_2) + I + \mathrm{KL}(\bar q \,\Vert\, p(z)), \quad I = \mathrm{H}(x_1) + \mathrm{H}(x_2) - \mathrm{H}(x_1, x_2)"
        ),
        "I(x1; x2) was taken without z: that is the price of a code that says nothing.",
    )
    .slip(
        "sign of the shared part",
        tex(
            r"\mathrm{H}(x_1, x_2) - I_z + \mathrm{KL}(\bar q \,\Vert\, p(z)), \quad I_z = \mathrm{H}(x_1, z) + \mathrm{H}(x_2, z) - \mathrm{H}(z) - \mathrm{H}(x_1, x_2, z)"
        ),
        "what the pixels share is subtracted: a decoder that cannot use it pays for it.",
    )
)


# ------------------------------------------------------------------------------------------- turned latents, K13


@dataclass(frozen=True)
class Turned:
    """A linear-Gaussian model with a Gaussian code, and a rotation Q of the latents."""

    of: LinearWitness
    rotation: Array  # Q, (k, k)

    @classmethod
    def draw(cls, rng: Rng) -> Turned:
        angle = float(away_from_zero(rng, 0.3, 1.2))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return cls(LinearWitness.draw(rng), turn)

    @property
    def model(self) -> LinearGaussian:
        """The decoder that undoes the turn: W Q^T."""
        m = self.of.model
        return LinearGaussian(m.loading @ self.rotation.T, m.offset, m.noise_variance)

    @property
    def q(self) -> MultivariateNormal:
        """The code of Q z."""
        q, turn = self.of.q, self.rotation
        return MultivariateNormal(turn @ q.loc, turn @ q.covariance @ turn.T)

    def scope(self) -> Scope:
        """The model p and the code q = N(m, S) of z; p' with weights W Q^T, and q', the code of Q z."""
        scope = self.of.scope()
        return Scope(
            worlds={
                **scope.worlds,
                "p'": linear_world(self.model),
                "q'": Law("z", self.q),
                r"\tilde q": Law("z", MultivariateNormal(self.q.loc, np.diag(self.q.variance))),
                r"\hat q": Law("z", MultivariateNormal(self.q.loc, self.of.q.covariance)),
            },
            observed={"x": self.of.x},
            values={**scope.values, "Q": self.rotation},
        )


K13 = (
    derive(
        "K13",
        "turned latents have the same bound",
        Turned.draw,
        assumptions="z ~ N(0, I), Q a rotation (here k = 2); p'(x|z) = p(x|Q^T z), q' the law of Qz, q̃ = q' without covariances",
        source="Locatello et al. 2019; Rolínek et al. 2019",
    )
    .start(tex(r"\mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\Vert\, p(z))"), why="the bound")
    .eq(
        tex(
            r"-\tfrac{d}{2} \log(2\pi c) - \tfrac{1}{2c}\left[\|r - W Q^\top Q m\|^2 + \mathrm{tr}(W Q^\top Q \Sigma_q Q^\top Q W^\top)\right] - \tfrac12\left[\mathrm{tr}(Q \Sigma_q Q^\top) + \|Q m\|^2 - k - \log \det(Q \Sigma_q Q^\top)\right]"
        ),
        "Gaussian closed forms; Q^T Q = I put in everywhere",
        why="lengths, traces and determinants do not notice a rotation",
        needs="Q^T Q = I",
    )
    .slip(
        "decoder not turned back",
        tex(
            r"-\tfrac{d}{2} \log(2\pi c) - \tfrac{1}{2c}\left[\|r - W Q m\|^2 + \mathrm{tr}(W Q \Sigma_q Q^\top W^\top)\right] - \tfrac12\left[\mathrm{tr}(Q \Sigma_q Q^\top) + \|Q m\|^2 - k - \log \det(Q \Sigma_q Q^\top)\right]"
        ),
        "the latents were turned and the decoder was not: it must undo the turn, W Q^T.",
    )
    .eq(
        tex(r"\mathbb{E}_{q'}[\log p'(x \mid z)] - \mathrm{KL}(q' \,\Vert\, p'(z))"),
        "read it as the bound of p' with the code q'",
        why="no data and no bound can say which of the two it was: no axis of z is special",
        needs="a prior that does not notice Q",
    )
    .slip(
        "code not turned",
        tex(r"\mathbb{E}_{q}[\log p'(x \mid z)] - \mathrm{KL}(q \,\Vert\, p'(z))"),
        "the decoder was turned and the code was not: both change together.",
    )
    .slip(
        "only the mean turned",
        tex(r"\mathbb{E}_{\hat q}[\log p'(x \mid z)] - \mathrm{KL}(\hat q \,\Vert\, p'(z))"),
        "the mean of the code was turned and its covariance was not: it becomes QΣ_qQᵀ.",
    )
    .slip(
        "covariances dropped",
        tex(r"\mathbb{E}_{\tilde q}[\log p'(x \mid z)] - \mathrm{KL}(\tilde q \,\Vert\, p'(z))"),
        "the turned code was made diagonal: a family of diagonal codes does have axes.",
    )
)

CHAPTER = (K1, K2, K3, K4, K5, K6, K7, K9, K10, K11, K12, K13)
