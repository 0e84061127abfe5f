r"""Chapter K: rate, distortion and beta.

The rate is R = E_data KL(q(z|x) || p(z)), the distortion D = -E_data E_q[log p(x|z)], both in nats per example; the mean
over the data of the bound is -(D + R). Most lines are sums over tables: a table fits nothing, so nothing agrees by luck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from vaelib.derivation import Derivation, Line, Slip
from vaelib.distributions import Categorical, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import elbo
from vaelib.estimate import Estimate
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Conditional, Law, Mixture, Table
from vaelib.models import LinearGaussian
from vaelib.quadrature import gauss_hermite, gauss_hermite_multivariate, gauss_legendre, trapezoid
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


def two_divergences(w: Codes) -> float:
    """1/N sum_n KL(q_n || aggregate) + E_aggregate[log aggregate - log p]: the second mean is over the aggregate."""
    to_aggregate = np.mean(kl_table(w.codes, w.aggregate))
    return float(to_aggregate + np.sum(w.aggregate * (np.log(w.aggregate) - np.log(w.prior))))


def surgery_in_package(w: Codes) -> float:
    aggregate = categorical(w.aggregate)
    to_aggregate = kl_divergence(categorical(w.codes), categorical(np.broadcast_to(w.aggregate, w.codes.shape)))
    return float(to_aggregate.mean() + kl_divergence(aggregate, categorical(w.prior)))


K1 = Derivation(
    "K1",
    "surgery on the mean KL: information and marginal",
    draw=Codes.draw,
    assumptions="each example has weight 1/N; every q(z | x_n) is 0 wherever p(z) is",
    source="Hoffman and Johnson 2016, equation (7)",
    lines=(
        Line(r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p(z))", lambda w: w.rate),
        Line(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z \mid x_n)}\left[\log\tfrac{q(z \mid x_n)}{\bar q(z)} + \log\tfrac{\bar q(z)}{p(z)}\right]",
            four_logarithms,
            reason="add and subtract log q̄(z), the mean code",
        ),
        Line(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q(z)) + \mathbb{E}_{\bar q}\left[\log\tfrac{\bar q(z)}{p(z)}\right]",
            two_divergences,
            reason="linear; the second logarithm is free of n",
        ),
        Line(
            r"I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p), \quad I(n; z) = \mathrm{H}(\bar q) - \tfrac1N \sum_n \mathrm{H}(q(z \mid x_n))",
            lambda w: w.information + kl_table(w.aggregate, w.prior),
            reason="the mean KL to the mean is mutual information",
        ),
        Line(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            surgery_in_package,
            reason="both divergences in the package",
        ),
        Line(
            r"\log N + \mathrm{KL}(\bar q \,\Vert\, p)",
            lambda w: np.log(w.size) + kl_table(w.aggregate, w.prior),
            reason="to name one of N examples takes log N nats",
            relation="<=",
            gap=lambda w: np.sum(w.aggregate * entropy_table(w.which.T)),
        ),
    ),
    slips=(
        Slip(
            2,
            "mean under the prior",
            "It looks like the second mean is under the prior: the z are drawn from codes, so it is under their mixture.",
            lambda w: np.mean(kl_table(w.codes, w.aggregate)) + np.sum(w.prior * np.log(w.aggregate / w.prior)),
            latex=r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q(z)) + \mathbb{E}_{p}\left[\log\tfrac{\bar q(z)}{p(z)}\right]",
        ),
        Slip(
            3,
            "marginal KL swapped",
            "It looks like KL(p || q̄): the mean is over codes, so the mixture of codes comes first.",
            lambda w: w.information + kl_table(w.prior, w.aggregate),
            latex=r"I(n; z) + \mathrm{KL}(p \,\Vert\, \bar q)",
        ),
        Slip(
            3,
            "no mutual information",
            "It looks like only the mixture of the codes was compared with the prior: what tells the examples apart is lost.",
            lambda w: kl_table(w.aggregate, w.prior),
            latex=r"\mathrm{KL}(\bar q \,\Vert\, p)",
        ),
        Slip(
            3,
            "information subtracted",
            "It looks like the mutual information is subtracted: the rate pays for it.",
            lambda w: kl_table(w.aggregate, w.prior) - w.information,
            latex=r"\mathrm{KL}(\bar q \,\Vert\, p) - I(n; z)",
        ),
        Slip(
            3,
            "sum over examples",
            "It looks like the information was summed over the examples: all terms are means.",
            lambda w: w.size * w.information + kl_table(w.aggregate, w.prior),
            latex=r"N\, I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p)",
        ),
        Slip(
            3,
            "entropy of the mixture alone",
            "It looks like the entropy of each code was left out: information is the entropy that knowing n removes.",
            lambda w: entropy_table(w.aggregate) + kl_table(w.aggregate, w.prior),
            latex=r"\mathrm{H}(\bar q) + \mathrm{KL}(\bar q \,\Vert\, p)",
        ),
        Slip(
            5,
            "log N reached",
            "It looks like every code was taken to name its example: overlapping codes say less than log N.",
            relation="=",
        ),
        Slip(
            5,
            "log of the number of states",
            "It looks like the states of z were counted, not the examples: that bounds I too, but misses by another gap.",
            lambda w: np.log(w.prior.size) + kl_table(w.aggregate, w.prior),
            latex=r"\log K + \mathrm{KL}(\bar q \,\Vert\, p)",
        ),
    ),
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


def gaussian_rate(w: GaussianCodes) -> float:
    """1/N sum_n [log(s / s_n) + (s_n^2 + (m_n - m)^2) / (2 s^2) - 1/2], spelled out."""
    m, s = w.prior.loc, w.prior.scale
    return float(np.mean(np.log(s / w.scale) + (w.scale**2 + (w.loc - m) ** 2) / (2 * s**2) - 0.5))


def gaussian_split(w: GaussianCodes) -> Estimate:
    """1/N sum_n E_{q_n}[log q_n - log aggregate + log aggregate - log p], by the trapezoid rule."""

    def integrand(z: Array) -> Array:
        log_codes, log_aggregate = w.log_codes(z), w.log_aggregate(z)[:, None]
        inside = (log_codes - log_aggregate) + (log_aggregate - w.prior.log_prob(z)[:, None])
        return np.mean(np.exp(log_codes) * inside, axis=1)

    return trapezoid(integrand, -14.0, 14.0)


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


K2 = Derivation(
    "K2",
    "the same surgery with Gaussian codes",
    draw=GaussianCodes.draw,
    assumptions="q̄ is a mixture of N Gaussians, not a Gaussian",
    source="Hoffman and Johnson 2016; Tomczak and Welling 2018, section 2",
    lines=(
        Line(
            r"\tfrac1N \sum_n \left[\log\tfrac{s}{\sigma_n} + \tfrac{\sigma_n^2 + (\mu_n - m)^2}{2 s^2} - \tfrac12\right]",
            gaussian_rate,
        ),
        Line(
            r"\tfrac1N \sum_n \int q_n(z) \left[\log\tfrac{q_n(z)}{\bar q(z)} + \log\tfrac{\bar q(z)}{p(z)}\right] dz",
            gaussian_split,
            reason="definition of KL; add and subtract log q̄(z)",
        ),
        Line(
            r"\mathrm{H}(\bar q) - \tfrac1N \sum_n \tfrac12 \log(2\pi e \sigma_n^2) + \mathrm{KL}(\bar q \,\Vert\, p)",
            lambda w: gaussian_information(w) + aggregate_to_prior(w),
            reason="mean KL to the mixture = entropy less mean entropy",
        ),
        Line(
            r"\log N - \mathbb{E}_{\bar q}[\mathrm{H}(q(n \mid z))] + \mathrm{KL}(\bar q \,\Vert\, p)",
            lambda w: information_from_examples(w) + aggregate_to_prior(w),
            reason="mutual information is symmetric: which n, given z?",
        ),
        Line(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: kl_divergence(Normal(w.loc, w.scale), w.prior).mean(),
            reason="the mean KL that training pays",
        ),
    ),
    slips=(
        Slip(
            2,
            "Gaussian aggregate",
            "It looks like the mixture was replaced by a Gaussian of its mean and variance: that loses its bumps.",
            lambda w: gaussian_information(w) + kl_divergence(moment_matched(w), w.prior),
        ),
        Slip(
            2,
            "averaged parameters",
            "It looks like means and variances of the codes were averaged: a mixture averages the densities.",
            lambda w: (
                gaussian_information(w)
                + kl_divergence(Normal(float(w.loc.mean()), float(np.sqrt(np.mean(w.scale**2)))), w.prior)
            ),
        ),
        Slip(
            2,
            "no mutual information",
            "It looks like only the mixture of the codes was compared with the prior.",
            aggregate_to_prior,
            latex=r"\mathrm{KL}(\bar q \,\Vert\, p)",
        ),
        Slip(
            3,
            "sum instead of mixture",
            "It looks like the codes were added up without the 1/N: then q̄ integrates to N.",
            lambda w: information_from_examples(w) + aggregate_to_prior(w, mixture=w.loc.size),
        ),
        Slip(
            3,
            "log N for the information",
            "It looks like every z was taken to name its example: where codes overlap, some doubt about n stays.",
            lambda w: np.log(w.loc.size) + aggregate_to_prior(w),
            latex=r"\log N + \mathrm{KL}(\bar q \,\Vert\, p)",
        ),
    ),
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


K3 = Derivation(
    "K3",
    "the best prior is the aggregate posterior",
    draw=CodesAndPriors.draw,
    assumptions="the codes are held fixed; any prior may be chosen",
    source="Tomczak and Welling 2018, section 2; Hoffman and Johnson 2016",
    lines=(
        Line(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p) \quad \forall p",
            lambda w: np.mean(kl_table(w.codes[:, None], w.priors), axis=0),
        ),
        Line(
            r"-\tfrac1N \sum_n \mathrm{H}(q(z \mid x_n)) - \mathbb{E}_{\bar q}[\log p(z)]",
            lambda w: -np.mean(entropy_table(w.codes)) - np.log(w.priors) @ w.aggregate,
            reason="only the cross-entropy depends on p, through q̄",
        ),
        Line(
            r"I(n; z) + \mathrm{KL}(\bar q \,\Vert\, p)",
            lambda w: entropy_table(w.aggregate) - np.mean(entropy_table(w.codes)) + kl_table(w.aggregate, w.priors),
            reason="add and subtract H(q̄)",
        ),
        Line(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, \bar q)",
            lambda w: w.rate_under(w.aggregate),
            reason="KL(q̄ ‖ p) is never negative, and 0 at p = q̄",
            relation=">=",
            gap=lambda w: kl_table(w.aggregate, w.priors),
            equality=CodesAndPriors.draw_best,
        ),
    ),
    slips=(
        Slip(
            2,
            "minus the marginal KL",
            "It looks like the marginal KL is subtracted: a prior that misses the codes costs extra.",
            lambda w: entropy_table(w.aggregate) - np.mean(entropy_table(w.codes)) - kl_table(w.aggregate, w.priors),
            latex=r"I(n; z) - \mathrm{KL}(\bar q \,\Vert\, p)",
        ),
        Slip(
            3,
            "geometric mean",
            "It looks like logarithms of the codes were averaged: that is best for KL(p || q_n), the other direction.",
            lambda w: w.rate_under(geometric_mean(w)),
            latex=r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, g), \quad g \propto \prod_n q(z \mid x_n)^{1/N}",
        ),
        Slip(
            3,
            "uniform prior",
            "It looks like the flattest prior was taken to be the cheapest: cheapest is the one that follows the codes.",
            lambda w: w.rate_under(np.full(w.aggregate.shape, 1 / w.aggregate.size)),
        ),
        Slip(
            3,
            "nothing to pay",
            "It looks like the best prior makes the rate vanish: the information I stays to be paid.",
            lambda w: 0.0,
            latex=r"0",
        ),
        Slip(3, "an upper bound", "It looks like the inequality is turned around.", relation="<="),
    ),
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


K4 = Derivation(
    "K4",
    "information lies between H - D and the rate",
    draw=Channel.draw,
    assumptions="z depends on x alone; x is discrete, or H is a differential entropy",
    source="Alemi et al. 2018, equation (4)",
    lines=(
        Line(r"R = \mathbb{E}_{x}\,\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))", lambda w: w.rate),
        Line(
            r"I(x; z) = \mathrm{H}(x) + \mathrm{H}(z) - \mathrm{H}(x, z)",
            lambda w: w.information,
            reason="R - I = KL(q̄ ‖ p), never negative",
            relation=">=",
            gap=lambda w: kl_table(w.aggregate, w.prior),
        ),
        Line(
            r"H - D, \quad D = -\mathbb{E}_{x}\,\mathbb{E}_{q(z \mid x)}[\log p(x \mid z)]",
            lambda w: w.entropy - w.distortion,
            reason="I = H - H(x|z), and D is at least H(x|z)",
            relation=">=",
            gap=decoder_gap,
        ),
        Line(
            r"H + \mathbb{E}_{x}[\mathcal{L}] + R",
            lambda w: w.entropy + mean_bound(w) + w.rate,
            reason="the mean bound is -(D + R): where training stands",
        ),
    ),
    slips=(
        Slip(
            1,
            "rate below information",
            "It looks like the rate was taken to be at most the information: the prior can only add to the price.",
            relation="<=",
        ),
        Slip(
            1,
            "rate is information",
            "It looks like the KL term was read as mutual information: that holds only if the prior is the mixture of codes.",
            relation="=",
        ),
        Slip(
            2,
            "H plus D",
            "It looks like the distortion was added: it is what stays unknown of x, so it is subtracted.",
            lambda w: w.entropy + w.distortion,
            latex=r"H + D",
        ),
        Slip(
            2,
            "distortion above",
            "It looks like H - D was taken for an upper bound: a bad decoder makes D large and H - D small.",
            relation="<=",
        ),
        Slip(
            2,
            "no entropy of the data",
            "It looks like -D alone was compared with the information: the entropy of the data is missing.",
            lambda w: -w.distortion,
            latex=r"-D",
        ),
        Slip(
            3,
            "D minus R",
            "It looks like the bound was read as R - D: both count against it, the bound is -(D + R).",
            lambda w: w.entropy + (w.rate - w.distortion) + w.rate,
        ),
    ),
)


def log_ratios(w: Channel) -> Array:
    """E_q[log q(z)/p(z)], E_q[log q(x|z)/p(x|z)], E_q[log q(x,z)/(p(z) p(x|z))], all under q(x, z)."""
    of_z = np.log(w.aggregate / w.prior)[None, :]
    of_x = np.log(w.backward / w.decoder).T
    of_both = np.log(w.joint / (w.prior * w.decoder.T))
    return np.array([np.sum(w.joint * ratio) for ratio in (of_z, of_x, of_both)])


def three_divergences(w: Channel, first: Any = None, second: Any = None) -> Array:
    to_prior = kl_table(w.aggregate, w.prior) if first is None else first(w)
    to_decoder = decoder_gap(w) if second is None else second(w)
    return np.array([to_prior, to_decoder, to_prior + to_decoder])


K5 = Derivation(
    "K5",
    "what the sandwich leaves on either side",
    draw=Channel.draw,
    assumptions="as K4; all divergences finite",
    source="Alemi et al. 2018, appendix; Hoffman and Johnson 2016",
    lines=(
        Line(
            r"\left(R - I,\ I - (H - D),\ R + D - H\right)",
            lambda w: np.array(
                [w.rate - w.information, w.information - w.entropy + w.distortion, w.rate + w.distortion - w.entropy]
            ),
        ),
        Line(
            r"\mathbb{E}_{q(x, z)}\left(\log\tfrac{q(z)}{p(z)},\ \log\tfrac{q(x \mid z)}{p(x \mid z)},\ \log\tfrac{q(x, z)}{p(z)\,p(x \mid z)}\right)",
            log_ratios,
            reason="all four are means under q(x,z): collect logarithms",
        ),
        Line(
            r"\left(\mathrm{KL}(\bar q \,\Vert\, p),\ \mathbb{E}_{\bar q}\,\mathrm{KL}(q(x \mid z) \,\Vert\, p(x \mid z)),\ \text{their sum}\right)",
            three_divergences,
            reason="definition of KL; the logarithms add up",
        ),
        Line(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: np.array(
                [
                    kl_divergence(categorical(w.aggregate), categorical(w.prior)),
                    w.aggregate @ kl_divergence(categorical(w.backward), categorical(w.decoder)),
                    kl_divergence(categorical(w.joint.ravel()), categorical((w.prior * w.decoder.T).ravel())),
                ]
            ),
            reason="chain rule: the third is the KL of the joints",
        ),
    ),
    slips=(
        Slip(
            2,
            "marginal KL swapped",
            "It looks like KL(p || q̄): the mean is under what the encoder makes.",
            lambda w: three_divergences(w, first=lambda w: kl_table(w.prior, w.aggregate)),
        ),
        Slip(
            2,
            "mean under the prior",
            "It looks like z is drawn from the prior in the second gap: the z come from codes of data.",
            lambda w: three_divergences(w, second=lambda w: w.prior @ kl_table(w.backward, w.decoder)),
        ),
        Slip(
            2,
            "decoder KL swapped",
            "It looks like KL(p(x|z) || q(x|z)): x is drawn from the data, so q(x|z) comes first.",
            lambda w: three_divergences(w, second=lambda w: w.aggregate @ kl_table(w.decoder, w.backward)),
        ),
        Slip(
            2,
            "the two exchanged",
            "It looks like the two gaps were exchanged: the prior widens R - I, the decoder widens I - (H - D).",
            lambda w: three_divergences(w, first=decoder_gap, second=lambda w: kl_table(w.aggregate, w.prior)),
        ),
    ),
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


K6 = Derivation(
    "K6",
    "the slope of the best objective in beta is minus the rate",
    draw=ScalarCoder.draw,
    assumptions="the best code lies inside its family and moves smoothly with beta",
    source="envelope theorem; Alemi et al. 2018, section 2",
    lines=(
        Line(
            r"\frac{d}{d\beta} \max_q \left[-D - \beta R\right]",
            slope_of_the_maximum,
            step=0.04,
            order=3,  # asked for; the rule has one more
            resolution=1e-4,
        ),
        Line(
            r"\left.\frac{\partial}{\partial\beta}\left[-D(q) - \beta R(q)\right]\right|_{q = q^*(\beta)}",
            slope_at_fixed_code,
            reason="at the maximum, moving q changes nothing",
            resolution=1e-4,
        ),
        Line(
            r"-\tfrac12\left[\tfrac{w^2\,\overline{x^2}}{(w^2 + \beta c)^2} - \tfrac{w^2}{w^2 + \beta c} + \log\tfrac{w^2 + \beta c}{\beta c}\right]",
            lambda w: -best_rate(w),
            reason="linear in beta with slope -R; R written out",
        ),
        Line(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            lambda w: -package_rate(w),
            reason="the rate in the package",
        ),
    ),
    slips=(
        Slip(
            1,
            "code of another beta",
            "It looks like the code was optimal for another beta: only at the optimum does its motion not count.",
            lambda w: slope_at_fixed_code(w, at=1.6),
        ),
        Slip(2, "plus the rate", "It looks like the sign is lost: a larger beta lowers the best objective.", best_rate, latex="R"),
        Slip(
            2,
            "the distortion",
            "It looks like the slope was read off the other axis: beta multiplies the rate.",
            lambda w: -w.distortion(*w.best(w.beta)),
            latex="-D",
        ),
        Slip(
            2,
            "divided by beta",
            "It looks like beta was divided out: the objective is linear in beta, its slope has no beta left.",
            lambda w: -best_rate(w) / w.beta,
            latex=r"-\tfrac{1}{\beta} R",
        ),
    ),
)  # fmt: skip


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


def minus_beta_bound(w: Tempered) -> Array:
    """-E_q[log p(x|z)] + beta KL(q || N(0, I)) for each code, both spelled out."""
    m, c = w.model, w.model.noise_variance
    values = []
    for q in w.qs:
        residual = w.x - m.loading @ q.loc - m.offset
        square = residual @ residual + np.trace(m.loading @ q.covariance @ m.loading.T)
        missing = 0.5 * m.data_dim * (LOG_2PI + np.log(c)) + square / (2 * c)
        log_det = np.linalg.slogdet(q.covariance)[1]
        rate = 0.5 * (q.loc @ q.loc + np.trace(q.covariance) - m.latent_dim - log_det)
        values.append(missing + w.beta * rate)
    return np.array(values)


def tempered_expectation(w: Tempered, power: Any = lambda beta: 1 / beta) -> Estimate:
    """beta E_q[log q - log p(z) - log p(x|z)^power], by Gauss-Hermite: the integrand is quadratic in z."""
    m = w.model

    def under(q: MultivariateNormal) -> Estimate:
        def inside(z: Array) -> Array:
            return w.beta * (q.log_prob(z) - m.log_prior(z) - power(w.beta) * m.log_likelihood(w.x, z))

        return gauss_hermite_multivariate(inside, q.loc, np.linalg.cholesky(q.covariance))

    results = [under(q) for q in w.qs]
    return Estimate(np.array([r.value for r in results]), np.array([r.error for r in results]))


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


K7 = Derivation(
    "K7",
    "with beta, the best code is the posterior for noise beta c",
    draw=Tempered.draw,
    assumptions="linear Gaussian decoder with fixed noise variance c > 0, beta > 0; q any Gaussian",
    source="Higgins et al. 2017, equation (4); Lucas et al. 2019, section 4",
    lines=(
        Line(
            r"-\mathbb{E}_q[\log p(x \mid z)] + \beta\,\mathrm{KL}(q \,\Vert\, p(z)) \quad \forall q",
            minus_beta_bound,
        ),
        Line(
            r"\beta\,\mathbb{E}_q\left[\log q(z) - \log p(z) - \log p(x \mid z)^{1/\beta}\right]",
            tempered_expectation,
            reason="take beta out: the likelihood gets the power 1/beta",
        ),
        Line(
            r"\beta\,\mathrm{KL}(q \,\Vert\, p_{\beta c}(z \mid x)) - \beta \log Z_\beta",
            with_package_posterior,
            reason="N(x; Wz + b, cI)^(1/beta) has the shape of noise beta c",
        ),
        Line(
            r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \beta c M^{-1})), \quad M = W^\top W + \beta c I",
            beta_times_kl,
            reason="log Z_β is free of q; r = x - b: so q* is read off",
            relation="same_argmin",
        ),
    ),
    slips=(
        Slip(
            1,
            "power beta",
            "It looks like the likelihood was raised to beta: dividing by beta leaves the power 1/beta.",
            lambda w: tempered_expectation(w, power=lambda beta: beta),
            latex=r"\beta\,\mathbb{E}_q\left[\log q(z) - \log p(z) - \log p(x \mid z)^{\beta}\right]",
        ),
        Slip(
            2,
            "the exact posterior",
            "It looks like beta was ignored: with beta other than 1 the best code is not the posterior.",
            lambda w: with_package_posterior(w, lambda c, beta: c),
            latex=r"\beta\,\mathrm{KL}(q \,\Vert\, p_{c}(z \mid x)) - \beta \log Z_\beta",
        ),
        Slip(
            3,
            "beta ignored",
            "It looks like beta was ignored: with beta other than 1 the best code is not the posterior.",
            lambda w: beta_times_kl(w, lambda c, beta: c),
            latex=r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ c M^{-1})), \quad M = W^\top W + c I",
        ),
        Slip(
            3,
            "c divided by beta",
            "It looks like beta sharpens the code: a dearer KL makes the data count less, as more noise would.",
            lambda w: beta_times_kl(w, lambda c, beta: c / beta),
            latex=r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \tfrac{c}{\beta} M^{-1}))",
        ),
        Slip(
            3,
            "beta squared",
            "It looks like beta was taken for a factor on the standard deviation: it multiplies the variance c.",
            lambda w: beta_times_kl(w, lambda c, beta: beta**2 * c),
            latex=r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \beta^2 c M^{-1}))",
        ),
        Slip(
            3,
            "only the mean shrinks",
            "It looks like beta moved the mean alone: the covariance grows with beta too.",
            only_the_mean,
            latex=r"\beta\,\mathrm{KL}(q \,\Vert\, N(M^{-1} W^\top r,\ \Sigma_{\beta = 1}))",
        ),
        Slip(
            3,
            "equal after dropping the constant",
            "It looks like log Z was dropped under an equals sign: only the best q stays the same.",
            relation="=",
        ),
    ),
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


K9 = Derivation(
    "K9",
    "information, total correlation, single latents",
    draw=PairCodes.draw,
    assumptions="the prior factorizes over the latents; the codes need not",
    source="Chen et al. 2018, equation (2)",
    lines=(
        Line(
            r"\tfrac1N \sum_n \mathrm{KL}(q(z \mid x_n) \,\Vert\, p(z))",
            lambda w: np.mean(kl_table(flat(w.codes), w.prior.ravel())),
        ),
        Line(
            r"\tfrac1N \sum_n \mathbb{E}_{q(z \mid x_n)}\left[\log\tfrac{q(z \mid x_n)}{\bar q(z)} + \log\tfrac{\bar q(z)}{\prod_j \bar q(z_j)} + \log\tfrac{\prod_j \bar q(z_j)}{p(z)}\right]",
            three_parts,
            reason="add and subtract log q̄(z) and log Π q̄(z_j)",
        ),
        Line(
            r"I(n; z) + \mathrm{TC} + \sum_j \mathrm{KL}(\bar q(z_j) \,\Vert\, p(z_j)), \quad \mathrm{TC} = \sum_j \mathrm{H}(\bar q(z_j)) - \mathrm{H}(\bar q(z))",
            lambda w: w.information + total_correlation(w) + margins_to_prior(w),
            reason="p factorizes: the last part needs margins only",
        ),
        Line(
            r"\text{as computed by } \mathtt{kl\_divergence}",
            parts_in_package,
            reason="the three divergences in the package",
        ),
    ),
    slips=(
        Slip(
            2,
            "no total correlation",
            "It looks like the aggregate was taken to factorize: its latents depend on each other.",
            lambda w: w.information + margins_to_prior(w),
            latex=r"I(n; z) + \sum_j \mathrm{KL}(\bar q(z_j) \,\Vert\, p(z_j))",
        ),
        Slip(
            2,
            "minus total correlation",
            "It looks like the total correlation is subtracted: dependence among the latents costs extra.",
            lambda w: w.information - total_correlation(w) + margins_to_prior(w),
        ),
        Slip(
            2,
            "total correlation swapped",
            "It looks like KL(product of margins || q̄): the mean is under the aggregate, so it comes first.",
            lambda w: w.information + swapped_total_correlation(w) + margins_to_prior(w),
        ),
        Slip(
            2,
            "margins of single codes",
            "It looks like each code's own margins were compared with the prior: that counts the information twice.",
            lambda w: w.information + total_correlation(w) + single_codes_to_prior(w),
        ),
    ),
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


K10 = Derivation(
    "K10",
    "rate and distortion of a Gaussian source",
    draw=GaussianSource.draw,
    assumptions="x ~ N(0, λ), squared error, 0 < D < λ",
    source="Shannon 1959; Cover and Thomas 2006, theorem 10.3.2",
    lines=(
        Line(
            r"\left(\mathbb{E}_x\,\mathrm{KL}(q(z \mid x) \,\Vert\, q(z)),\ \mathbb{E}(x - z)^2\right), \quad q(z \mid x) = N\left((1 - \tfrac{D}{\lambda})\,x,\ D(1 - \tfrac{D}{\lambda})\right)",
            rate_and_error,
        ),
        Line(
            r"\left(\mathrm{h}(z) - \mathrm{h}(z \mid x),\ (\tfrac{D}{\lambda})^2 \lambda + D(1 - \tfrac{D}{\lambda})\right)",
            entropies_and_error,
            reason="z has variance λ - D; x and the noise are independent",
        ),
        Line(
            r"\left(\tfrac12 \log\tfrac{\lambda}{D},\ D\right)",
            lambda w: np.array([0.5 * np.log(w.variance / w.allowed), w.allowed]),
            reason="(λ - D) / (D (1 - D/λ)) = λ/D",
        ),
        Line(
            r"\left(\tfrac12 \log(1 + \tfrac{a^2 \lambda}{v}),\ D\right), \quad v = D - (1 - a)^2 \lambda",
            other_code,
            reason="z = a x + noise of the same error spends no less",
            relation="<=",
            equality=GaussianSource.draw_best,
        ),
    ),
    slips=(
        Slip(
            2,
            "no one half",
            "It looks like the 1/2 is missing: variances enter as squares of lengths.",
            lambda w: np.array([np.log(w.variance / w.allowed), w.allowed]),
            latex=r"\left(\log\tfrac{\lambda}{D},\ D\right)",
        ),
        Slip(
            2,
            "in bits",
            "It looks like log2 was taken: that is the rate in bits, all else is in nats.",
            lambda w: np.array([0.5 * np.log2(w.variance / w.allowed), w.allowed]),
            latex=r"\left(\tfrac12 \log_2\tfrac{\lambda}{D},\ D\right)",
        ),
        Slip(
            2,
            "noise added to x",
            "It looks like z = x + noise of variance D was used: shrinking x first needs fewer nats for the same error.",
            lambda w: np.array([0.5 * np.log1p(w.variance / w.allowed), w.allowed]),
            latex=r"\left(\tfrac12 \log(1 + \tfrac{\lambda}{D}),\ D\right)",
        ),
        Slip(
            3,
            "other codes do better",
            "It looks like the inequality is turned around: no code of this error needs fewer nats.",
            relation=">=",
        ),
    ),
)

CHAPTER = (K1, K2, K3, K4, K5, K6, K7, K9, K10)
