r"""Chapter K: rate, distortion and beta.

The rate is R = E_data KL(q(z|x) || p(z)), the distortion D = -E_data E_q[log p(x|z)], both in nats per example; the mean
over the data of the bound is -(D + R). Most lines are sums over tables: a table fits nothing, so nothing agrees by luck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation import derive
from vaelib.distributions import Categorical, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Conditional, Law, Mixture, Table
from vaelib.models import LinearGaussian
from vaelib.quadrature import gauss_hermite, gauss_legendre
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

    @property
    def rate(self) -> float:
        """1/N sum_n KL(q(z | x_n) || p(z))."""
        return float(np.mean(kl_table(self.codes, self.prior)))

    @property
    def information(self) -> float:
        """I(n; z) as a difference of entropies: what the code says about which example it was."""
        return float(entropy_table(self.aggregate) - np.mean(entropy_table(self.codes)))

    @property
    def which(self) -> Array:
        """q(n | z): which example, when the code is known; (N, K), columns sum to one."""
        return self.codes / (self.size * self.aggregate)

    def scope(self) -> Scope:
        """The codes q(z | x_n) of the examples, their mean, and the prior."""
        return Scope(
            worlds={
                "q": Conditional("z", ("x",), lambda x: Categorical(np.log(self.codes[x]))),
                r"\bar q": Table(("z",), self.aggregate),
                "p": Table(("z",), self.prior),
            },
            values={"x": np.arange(self.size), "N": self.size},
            ranges={"n": self.size},
        )


def four_logarithms(w: Codes) -> float:
    """1/N sum_n E_{q_n}[log q_n - log aggregate + log aggregate - log p]."""
    a = np.log(w.aggregate)
    return float(np.mean(np.sum(w.codes * (np.log(w.codes) - a + a - np.log(w.prior)), axis=1)))


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
    .start(tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p(z))"))
    .eq(
        tex(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z \mid x_n)}\left[\log\tfrac{q(z \mid x_n)}{\bar q(z)} + \log\tfrac{\bar q(z)}{p(z)}\right]"
        ),
        "add and subtract log q̄(z), the mean code",
    )
    .eq(
        tex(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q(z)) + \mathbb{E}_{\bar q}\left[\log\tfrac{\bar q(z)}{p(z)}\right]"
        ),
        "linear; the second logarithm is free of n",
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
        gap=lambda w: np.sum(w.aggregate * entropy_table(w.which.T)),
    )
    .slip(
        "log N reached",
        says="every code was taken to name its example: overlapping codes say less than log N.",
        relation="=",
    )
    .slip(
        "log of the number of states",
        given(
            r"\log K + \mathrm{KL}(\bar q \,\Vert\, p)", lambda w: np.log(w.prior.size) + kl_table(w.aggregate, w.prior)
        ),
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


def gaussian_information(w: GaussianCodes) -> Estimate:
    """H(aggregate) by Gauss-Legendre panels, less the mean of 1/2 log(2 pi e s_n^2)."""

    def integrand(z: Array) -> Array:
        log_aggregate = w.log_aggregate(z)
        return -np.exp(log_aggregate) * log_aggregate

    return gauss_legendre(integrand, -14.0, 14.0) - np.mean(0.5 * (LOG_2PI + 1) + np.log(w.scale))


def information_from_examples(w: GaussianCodes) -> Estimate:
    """log N - E_aggregate[H(q(n | z))]: how far a code narrows down which example it was."""

    def integrand(z: Array) -> Array:
        log_which = w.log_codes(z) - logsumexp(w.log_codes(z), axis=1, keepdims=True)
        return -np.exp(w.log_aggregate(z)) * np.sum(np.exp(log_which) * log_which, axis=1)

    return np.log(w.loc.size) - gauss_legendre(integrand, -14.0, 14.0)


def aggregate_to_prior(w: GaussianCodes, mixture: float = 1.0) -> Estimate:
    """The integral of aggregate (log aggregate - log p); `mixture` multiplies the density inside the logarithm."""

    def integrand(z: Array) -> Array:
        log_aggregate = w.log_aggregate(z)
        return np.exp(log_aggregate) * (np.log(mixture) + log_aggregate - w.prior.log_prob(z))

    return gauss_legendre(integrand, -14.0, 14.0)


def moment_matched(w: GaussianCodes) -> Normal:
    variance = np.mean(w.scale**2 + w.loc**2) - np.mean(w.loc) ** 2
    return Normal(float(np.mean(w.loc)), float(np.sqrt(variance)))


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
        )
    )
    .eq(
        tex(r"\tfrac1N \sum_n \int q_n(z) \left[\log\tfrac{q_n(z)}{\bar q(z)} + \log\tfrac{\bar q(z)}{p(z)}\right] dz"),
        "definition of KL; add and subtract log q̄(z)",
    )
    .eq(
        tex(r"\mathrm{H}(\bar q) - \tfrac1N \sum_n \tfrac12 \log(2\pi e \sigma_n^2) + \mathrm{KL}(\bar q \,\Vert\, p)"),
        "mean KL to the mixture = entropy less mean entropy",
    )
    .slip(
        "Gaussian aggregate",
        given("TODO", lambda w: gaussian_information(w) + kl_divergence(moment_matched(w), w.prior)),
        "the mixture was replaced by a Gaussian of its mean and variance: that loses its bumps.",
    )
    .slip(
        "averaged parameters",
        given(
            "TODO",
            lambda w: (
                gaussian_information(w)
                + kl_divergence(Normal(float(w.loc.mean()), float(np.sqrt(np.mean(w.scale**2)))), w.prior)
            ),
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
    )
    .slip(
        "sum instead of mixture",
        given("TODO", lambda w: information_from_examples(w) + aggregate_to_prior(w, mixture=w.loc.size)),
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

    def rate_under(self, prior: Array) -> float:
        """1/N sum_n KL(q(z | x_n) || prior)."""
        return float(np.mean(kl_table(self.codes, prior)))

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
                values={"x": np.arange(size), "N": size},
                ranges={"n": size},
            )
            for prior in self.priors
        ]


def geometric_mean(w: CodesAndPriors) -> Array:
    product = np.exp(np.mean(np.log(w.codes), axis=0))
    return product / product.sum()


K3 = (
    derive(
        "K3",
        "the best prior is the aggregate posterior",
        CodesAndPriors.draw,
        assumptions="the codes are held fixed; any prior may be chosen",
        source="Tomczak and Welling 2018, section 2; Hoffman and Johnson 2016",
    )
    .start(tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p) \quad \forall p"))
    .eq(
        tex(r"-\tfrac1N \sum_n \mathrm{H}(q(z \mid x_n)) - \mathbb{E}_{\bar q}[\log p(z)]"),
        "only the cross-entropy depends on p, through q̄",
    )
    .eq(
        given(
            r"I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p)",
            lambda w: entropy_table(w.aggregate) - np.mean(entropy_table(w.codes)) + kl_table(w.aggregate, w.priors),
        ),
        "add and subtract H(q̄)",
    )
    .slip(
        "minus the marginal KL",
        given(
            r"I(n; z) - \mathrm{KL}(\bar q \,\Vert\, p)",
            lambda w: entropy_table(w.aggregate) - np.mean(entropy_table(w.codes)) - kl_table(w.aggregate, w.priors),
        ),
        "the marginal KL is subtracted: a prior that misses the codes costs extra.",
    )
    .ge(
        tex(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q)"),
        "KL(q̄ ‖ p) is never negative, and 0 at p = q̄",
        gap=lambda w: kl_table(w.aggregate, w.priors),
        equality=CodesAndPriors.draw_best,
    )
    .slip(
        "geometric mean",
        given(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, g), \quad g \propto \prod_n q(z \mid x_n)^{1/N}",
            lambda w: w.rate_under(geometric_mean(w)),
        ),
        "logarithms of the codes were averaged: that is best for KL(p || q_n), the other direction.",
    )
    .slip(
        "uniform prior",
        given("TODO", lambda w: w.rate_under(np.full(w.aggregate.shape, 1 / w.aggregate.size))),
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
            values={"H": self.entropy, "R": self.rate, "D": self.distortion, "I": self.information},
            laws={"x": "q(x)"},
            joint="q",
        )


def mean_bound(w: Channel) -> float:
    """The mean over the data of the bound, by the package's own functions."""
    log_likelihood = np.sum(w.encoder * np.log(w.decoder.T), axis=1)
    kl = kl_divergence(categorical(w.encoder), categorical(np.broadcast_to(w.prior, w.encoder.shape)))
    return float(w.data @ elbo(log_likelihood, kl))


def decoder_gap(w: Channel) -> float:
    """E_{q(z)} KL(q(x | z) || p(x | z))."""
    return float(w.aggregate @ kl_table(w.backward, w.decoder))


K4 = (
    derive(
        "K4",
        "information lies between H - D and the rate",
        Channel.draw,
        assumptions="z depends on x alone; x is discrete, or H is a differential entropy",
        source="Alemi et al. 2018, equation (4)",
    )
    .start(tex(r"R = \mathbb{E}_{x}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))"))
    .ge(
        given(r"I(x; z) = \mathrm{H}(x) + \mathrm{H}(z) - \mathrm{H}(x, z)", lambda w: w.information),
        "R - I = KL(q̄ ‖ p), never negative",
        gap=lambda w: kl_table(w.aggregate, w.prior),
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
        gap=decoder_gap,
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
        "the mean bound is -(D + R): where training stands",
    )
    .slip(
        "D minus R",
        given("TODO", lambda w: w.entropy + (w.rate - w.distortion) + w.rate),
        "the bound was read as R - D: both count against it, the bound is -(D + R).",
    )
)


def three_divergences(w: Channel, first: Any = None, second: Any = None) -> Array:
    to_prior = kl_table(w.aggregate, w.prior) if first is None else first(w)
    to_decoder = decoder_gap(w) if second is None else second(w)
    return np.array([to_prior, to_decoder, to_prior + to_decoder])


K5 = (
    derive(
        "K5",
        "what the sandwich leaves on either side",
        Channel.draw,
        assumptions="as K4; all divergences finite",
        source="Alemi et al. 2018, appendix; Hoffman and Johnson 2016",
    )
    .start(tex(r"\left(R - I,\ I - (H - D),\ R + D - H\right)"))
    .eq(
        tex(
            r"\mathbb{E}_{q(x, z)}\left(\log\tfrac{q(z)}{p(z)},\ \log\tfrac{q(x \mid z)}{p(x \mid z)},\ \log\tfrac{q(x, z)}{p(z)\,p(x \mid z)}\right)"
        ),
        "all four are means under q(x,z): collect logarithms",
    )
    .eq(
        given(
            r"\left(\mathrm{KL}(\bar q \,\Vert\, p),\ \mathbb{E}_{\bar q}\,\mathrm{KL}(q(x \mid z) \,\Vert\, p(x \mid z)),\ \text{their sum}\right)",
            three_divergences,
        ),
        "definition of KL; the logarithms add up",
    )
    .slip(
        "marginal KL swapped",
        given("TODO", lambda w: three_divergences(w, first=lambda w: kl_table(w.prior, w.aggregate))),
        "KL(p || q̄): the mean is under what the encoder makes.",
    )
    .slip(
        "mean under the prior",
        given("TODO", lambda w: three_divergences(w, second=lambda w: w.prior @ kl_table(w.backward, w.decoder))),
        "z is drawn from the prior in the second gap: the z come from codes of data.",
    )
    .slip(
        "decoder KL swapped",
        given("TODO", lambda w: three_divergences(w, second=lambda w: w.aggregate @ kl_table(w.decoder, w.backward))),
        "KL(p(x|z) || q(x|z)): x is drawn from the data, so q(x|z) comes first.",
    )
    .slip(
        "the two exchanged",
        given(
            "TODO", lambda w: three_divergences(w, first=decoder_gap, second=lambda w: kl_table(w.aggregate, w.prior))
        ),
        "the two gaps were exchanged: the prior widens R - I, the decoder widens I - (H - D).",
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

    def objective(self, beta: float, code: tuple[float, float]) -> float:
        return -self.distortion(*code) - beta * self.rate(*code)


def slope_of_the_maximum(w: ScalarCoder, h: float) -> float:
    """d/dbeta of max_q [-D - beta R] by the five-point rule, of order 4; the best code moves along."""

    def best(step: int) -> float:
        beta = w.beta + step * h
        return w.objective(beta, w.best(beta))

    return (8 * (best(1) - best(-1)) - (best(2) - best(-2))) / (12 * h)


def slope_at_fixed_code(w: ScalarCoder, at: float = 1.0) -> float:
    """The slope in beta, a straight line, with the code held at the optimum for `at` times this beta."""
    code = w.best(at * w.beta)
    return w.objective(w.beta + 1, code) - w.objective(w.beta, code)


def best_rate(w: ScalarCoder) -> float:
    """R of the best code, written out in w, c and beta."""
    snr = w.slope**2 / (w.beta * w.noise_variance)  # w^2 / (beta c)
    moved = np.mean(w.x**2) * snr / (1 + snr) / (w.slope**2 + w.beta * w.noise_variance)
    return float(0.5 * (moved - snr / (1 + snr) + np.log1p(snr)))


def package_rate(w: ScalarCoder) -> float:
    m, v = w.best(w.beta)
    codes = Normal(m * w.x, np.full(w.x.shape, np.sqrt(v)))
    return float(np.mean(kl_divergence(codes, Normal(0.0, 1.0))))


K6 = (derive("K6", "the slope of the best objective in beta is minus the rate", ScalarCoder.draw, assumptions="the best code lies inside its family and moves smoothly with beta", source="envelope theorem; Alemi et al. 2018, section 2")
.start(given(r"\frac{d}{d\beta} \max_q \left[-D - \beta R\right]", slope_of_the_maximum), step=0.04, order=3, resolution=1e-4)
.eq(given(r"\left.\frac{\partial}{\partial\beta}\left[-D(q) - \beta R(q)\right]\right|_{q = q^*(\beta)}", slope_at_fixed_code), "at the maximum, moving q changes nothing", resolution=1e-4)
.slip("code of another beta", given("TODO", lambda w: slope_at_fixed_code(w, at=1.6)), "the code was optimal for another beta: only at the optimum does its motion not count.")
.eq(given(r"-\tfrac12\left[\tfrac{w^2\,\overline{x^2}}{(w^2 + \beta c)^2} - \tfrac{w^2}{w^2 + \beta c} + \log\tfrac{w^2 + \beta c}{\beta c}\right]", lambda w: -best_rate(w)), "linear in beta with slope -R; R written out")
.slip("plus the rate", given("R", best_rate), "the sign is lost: a larger beta lowers the best objective.")
.slip("the distortion", given("-D", lambda w: -w.distortion(*w.best(w.beta))), "the slope was read off the other axis: beta multiplies the rate.")
.slip("divided by beta", given(r"-\tfrac{1}{\beta} R", lambda w: -best_rate(w) / w.beta), "beta was divided out: the objective is linear in beta, its slope has no beta left.")
.eq(given(r"\text{as computed by } \mathtt{kl\_divergence}", lambda w: -package_rate(w)), "the rate in the package"))  # fmt: skip


@dataclass(frozen=True)
class Tempered:
    """A linear-Gaussian model, an observation, a weight beta of the KL, and ten Gaussian codes to compare.

    Four of them are nearly best for the noise variances c / beta, c, beta c and beta^2 c.
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


def tempered_model(w: Tempered, noise: Any = lambda c, beta: beta * c) -> LinearGaussian:
    return LinearGaussian(w.model.loading, w.model.offset, noise(w.model.noise_variance, w.beta))


def beta_times_kl(w: Tempered, noise: Any = lambda c, beta: beta * c) -> Array:
    """beta KL(q || N(M^-1 W^T r, c' M^-1)) with M = W^T W + c' I, spelled out; c' = beta c."""
    m, c = w.model, noise(w.model.noise_variance, w.beta)
    matrix = m.loading.T @ m.loading + c * np.eye(m.latent_dim)  # M
    mean = np.linalg.solve(matrix, m.loading.T @ (w.x - m.offset))
    values = []
    for q in w.qs:
        move = q.loc - mean
        log_det = np.linalg.slogdet(matrix @ q.covariance / c)[1]
        spread = np.trace(matrix @ q.covariance) / c + move @ matrix @ move / c
        values.append(0.5 * w.beta * (spread - m.latent_dim - log_det))
    return np.array(values)


def log_tempered_evidence(w: Tempered) -> float:
    """log of the integral of p(z) p(x|z)^(1/beta): the power of a Gaussian is a Gaussian of variance beta c."""
    d, c = w.model.data_dim, w.model.noise_variance
    powers = 0.5 * d * (LOG_2PI + np.log(w.beta * c)) - 0.5 * d / w.beta * (LOG_2PI + np.log(c))
    return float(powers + tempered_model(w).log_evidence(w.x))


def with_package_posterior(w: Tempered, noise: Any = lambda c, beta: beta * c) -> Array:
    """beta KL(q || posterior of the model whose noise variance is beta c) - beta log Z_beta."""
    best = tempered_model(w, noise).posterior(w.x)
    divergences = np.array([kl_divergence(q, best) for q in w.qs])
    return w.beta * divergences - w.beta * log_tempered_evidence(w)


def only_the_mean(w: Tempered) -> Array:
    """The covariance of the exact posterior with the mean of the tempered one."""
    best = MultivariateNormal(tempered_model(w).posterior(w.x).loc, w.model.posterior(w.x).covariance)
    return w.beta * np.array([kl_divergence(q, best) for q in w.qs])


K7 = (
    derive(
        "K7",
        "with beta, the best code is the posterior for noise beta c",
        Tempered.draw,
        assumptions="linear Gaussian decoder with fixed noise variance c > 0, beta > 0; q any Gaussian",
        source="Higgins et al. 2017, equation (4); Lucas et al. 2019, section 4",
    )
    .start(tex(r"-\mathbb{E}_q[\log p(x \mid z)] + \beta\,\mathrm{KL}(q \,\Vert\, p(z)) \quad \forall q"))
    .eq(
        tex(r"\beta\,\mathbb{E}_q\left[\log q(z) - \log p(z) - \log p(x \mid z)^{1/\beta}\right]"),
        "take beta out: the likelihood gets the power 1/beta",
    )
    .slip(
        "power beta",
        tex(r"\beta\,\mathbb{E}_q\left[\log q(z) - \log p(z) - \log p(x \mid z)^{\beta}\right]"),
        "the likelihood was raised to beta: dividing by beta leaves the power 1/beta.",
    )
    .eq(
        given(r"\beta\,\mathrm{KL}(q \,\Vert\, p_{\beta c}(z \mid x)) - \beta \log Z_\beta", with_package_posterior),
        "N(x; Wz + b, cI)^(1/beta) has the shape of noise beta c",
    )
    .slip(
        "the exact posterior",
        given(
            r"\beta\,\mathrm{KL}(q \,\Vert\, p_{c}(z \mid x)) - \beta \log Z_\beta",
            lambda w: with_package_posterior(w, lambda c, beta: c),
        ),
        "beta was ignored: with beta other than 1 the best code is not the posterior.",
    )
    .same_argmin(
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \beta c M^{-1})), \quad M = W^\top W + \beta c I"),
        "log Z_β is free of q; r = x - b: so q* is read off",
    )
    .slip(
        "beta ignored",
        tex(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ c M^{-1})), \quad M = W^\top W + c I"),
        "beta was ignored: with beta other than 1 the best code is not the posterior.",
    )
    .slip(
        "c divided by beta",
        given(
            r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \tfrac{c}{\beta} M^{-1}))",
            lambda w: beta_times_kl(w, lambda c, beta: c / beta),
        ),
        "beta sharpens the code: a dearer KL makes the data count less, as more noise would.",
    )
    .slip(
        "beta squared",
        given(
            r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \beta^2 c M^{-1}))",
            lambda w: beta_times_kl(w, lambda c, beta: beta**2 * c),
        ),
        "beta was taken for a factor on the standard deviation: it multiplies the variance c.",
    )
    .slip(
        "only the mean shrinks",
        given(r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \Sigma_{\beta = 1}))", only_the_mean),
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

    @property
    def information(self) -> float:
        return float(entropy_table(self.aggregate.ravel()) - np.mean(entropy_table(flat(self.codes))))


def flat(tables: Array) -> Array:
    return tables.reshape(len(tables), -1)


def total_correlation(w: PairCodes) -> float:
    """KL(q(z1, z2) || q(z1) q(z2)) = H(z1) + H(z2) - H(z1, z2), for the aggregate."""
    return float(sum(entropy_table(m) for m in w.margins) - entropy_table(w.aggregate.ravel()))


def margins_to_prior(w: PairCodes) -> float:
    return float(sum(kl_table(m, p) for m, p in zip(w.margins, (w.first, w.second), strict=True)))


def three_parts(w: PairCodes) -> float:
    """The three logarithms, each averaged over the whole table."""
    margins = np.outer(*w.margins)
    inside = np.log(w.codes / w.aggregate) + np.log(w.aggregate / margins) + np.log(margins / w.prior)
    return float(np.mean(np.sum(w.codes * inside, axis=(1, 2))))


def parts_in_package(w: PairCodes) -> float:
    first, second = w.margins
    pairs = [
        (w.aggregate.ravel(), np.outer(first, second).ravel()),
        (first, w.first),
        (second, w.second),
    ]
    return w.information + float(sum(kl_divergence(categorical(a), categorical(b)) for a, b in pairs))


def swapped_total_correlation(w: PairCodes) -> float:
    return float(kl_table(np.outer(*w.margins).ravel(), w.aggregate.ravel()))


def single_codes_to_prior(w: PairCodes) -> float:
    """1/N sum_n sum_j KL(q(z_j | x_n) || p(z_j)): each code's own margins."""
    return float(np.mean(kl_table(w.codes.sum(axis=2), w.first)) + np.mean(kl_table(w.codes.sum(axis=1), w.second)))


K9 = (
    derive(
        "K9",
        "information, total correlation, single latents",
        PairCodes.draw,
        assumptions="the prior factorizes over the latents; the codes need not",
        source="Chen et al. 2018, equation (2)",
    )
    .start(
        given(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p(z))",
            lambda w: np.mean(kl_table(flat(w.codes), w.prior.ravel())),
        )
    )
    .eq(
        given(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z \mid x_n)}\left[\log\tfrac{q(z \mid x_n)}{\bar q(z)} + \log\tfrac{\bar q(z)}{\prod_j \bar q(z_j)} + \log\tfrac{\prod_j \bar q(z_j)}{p(z)}\right]",
            three_parts,
        ),
        "add and subtract log q̄(z) and log Π q̄(z_j)",
    )
    .eq(
        given(
            r"I(n; z) + \mathrm{TC} + \sum_j \mathrm{KL}(\bar q(z_j) \,\Vert\, p(z_j)), \quad \mathrm{TC} = \sum_j \mathrm{H}(\bar q(z_j)) - \mathrm{H}(\bar q(z))",
            lambda w: w.information + total_correlation(w) + margins_to_prior(w),
        ),
        "p factorizes: the last part needs margins only",
    )
    .slip(
        "no total correlation",
        given(
            r"I(n; z) + \sum_j \mathrm{KL}(\bar q(z_j) \,\Vert\, p(z_j))", lambda w: w.information + margins_to_prior(w)
        ),
        "the aggregate was taken to factorize: its latents depend on each other.",
    )
    .slip(
        "minus total correlation",
        given("TODO", lambda w: w.information - total_correlation(w) + margins_to_prior(w)),
        "the total correlation is subtracted: dependence among the latents costs extra.",
    )
    .slip(
        "total correlation swapped",
        given("TODO", lambda w: w.information + swapped_total_correlation(w) + margins_to_prior(w)),
        "KL(product of margins || q̄): the mean is under the aggregate, so it comes first.",
    )
    .slip(
        "margins of single codes",
        given("TODO", lambda w: w.information + total_correlation(w) + single_codes_to_prior(w)),
        "each code's own margins were compared with the prior: that counts the information twice.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{kl\_divergence}", parts_in_package),
        "the three divergences in the package",
    )
)


# ------------------------------------------------------------------------------------- the Gaussian source, K10


@dataclass(frozen=True)
class GaussianSource:
    """x ~ N(0, lambda), a mean squared error D below lambda, and the gain a of another code z = a x + noise."""

    variance: float  # lambda
    allowed: float  # D
    gain: float  # a; with noise variance D - (1 - a)^2 lambda > 0 it makes the same error

    @classmethod
    def draw(cls, rng: Rng) -> GaussianSource:
        variance = float(generic_scale(rng) ** 2)
        share = float(rng.uniform(0.15, 0.7))  # D / lambda
        most = np.sqrt(share)  # |1 - a| must stay below
        gain = 1 - share + float(away_from_zero(rng, 0.15, 0.6)) * (most - share)
        return cls(variance, share * variance, gain)

    @classmethod
    def draw_best(cls, rng: Rng) -> GaussianSource:
        w = cls.draw(rng)
        return replace(w, gain=1 - w.allowed / w.variance)

    @property
    def forward(self) -> tuple[float, float]:
        """Gain and noise variance of the best code: (1 - D/lambda, D (1 - D/lambda))."""
        gain = 1 - self.allowed / self.variance
        return gain, self.allowed * gain

    @property
    def other(self) -> tuple[float, float]:
        return self.gain, self.allowed - (1 - self.gain) ** 2 * self.variance


def rate_and_error(w: GaussianSource) -> Estimate:
    """(E_x KL(q(z|x) || q(z)), E (x - z)^2) of the best code, by Gauss-Hermite over x."""
    gain, noise = w.forward
    marginal = Normal(0.0, np.sqrt(gain**2 * w.variance + noise))

    def inside(x: Array) -> Array:
        code = Normal(gain * x, np.full(x.shape, np.sqrt(noise)))
        return np.stack([kl_divergence(code, marginal), (x - gain * x) ** 2 + noise], axis=1)

    return gauss_hermite(inside, 0.0, np.sqrt(w.variance))


def entropies_and_error(w: GaussianSource) -> Array:
    """(h(z) - h(z|x), ...) from 1/2 log(2 pi e v)."""
    gain, noise = w.forward
    total = gain**2 * w.variance + noise
    entropies = [0.5 * (LOG_2PI + 1 + np.log(v)) for v in (total, noise)]
    return np.array([entropies[0] - entropies[1], (1 - gain) ** 2 * w.variance + noise])


def other_code(w: GaussianSource) -> Array:
    gain, noise = w.other
    return np.array([0.5 * np.log1p(gain**2 * w.variance / noise), (1 - gain) ** 2 * w.variance + noise])


K10 = (
    derive(
        "K10",
        "rate and distortion of a Gaussian source",
        GaussianSource.draw,
        assumptions="x ~ N(0, λ), squared error, 0 < D < λ",
        source="Shannon 1959; Cover and Thomas 2006, theorem 10.3.2",
    )
    .start(
        given(
            r"\left(\mathbb{E}_x\,\mathrm{KL}(q(z \mid x) \,\Vert\, q(z)),\ \mathbb{E}(x - z)^2\right), \quad q(z \mid x) = N\left((1 - \tfrac{D}{\lambda})\,x,\ D(1 - \tfrac{D}{\lambda})\right)",
            rate_and_error,
        )
    )
    .eq(
        given(
            r"\left(\mathrm{h}(z) - \mathrm{h}(z \mid x),\ (\tfrac{D}{\lambda})^2 \lambda + D(1 - \tfrac{D}{\lambda})\right)",
            entropies_and_error,
        ),
        "z has variance λ - D; x and the noise are independent",
    )
    .eq(
        given(
            r"\left(\tfrac12 \log\tfrac{\lambda}{D},\ D\right)",
            lambda w: np.array([0.5 * np.log(w.variance / w.allowed), w.allowed]),
        ),
        "(λ - D) / (D (1 - D/λ)) = λ/D",
    )
    .slip(
        "no one half",
        given(
            r"\left(\log\tfrac{\lambda}{D},\ D\right)", lambda w: np.array([np.log(w.variance / w.allowed), w.allowed])
        ),
        "the 1/2 is missing: variances enter as squares of lengths.",
    )
    .slip(
        "in bits",
        given(
            r"\left(\tfrac12 \log_2\tfrac{\lambda}{D},\ D\right)",
            lambda w: np.array([0.5 * np.log2(w.variance / w.allowed), w.allowed]),
        ),
        "log2 was taken: that is the rate in bits, all else is in nats.",
    )
    .slip(
        "noise added to x",
        given(
            r"\left(\tfrac12 \log(1 + \tfrac{\lambda}{D}),\ D\right)",
            lambda w: np.array([0.5 * np.log1p(w.variance / w.allowed), w.allowed]),
        ),
        "z = x + noise of variance D was used: shrinking x first needs fewer nats for the same error.",
    )
    .le(
        given(
            r"\left(\tfrac12 \log(1 + \tfrac{a^2 \lambda}{v}),\ D\right), \quad v = D - (1 - a)^2 \lambda", other_code
        ),
        "z = a x + noise of the same error spends no less",
        equality=GaussianSource.draw_best,
    )
    .slip(
        "other codes do better",
        says="the inequality is turned around: no code of this error needs fewer nats.",
        relation=">=",
    )
)

CHAPTER = (K1, K2, K3, K4, K5, K6, K7, K9, K10)
