r"""Chapter G: expectation maximization as coordinate ascent on the bound, and mean-field coordinate ascent (F14, F15).

Throughout, L(q, theta) = E_q[log p(x, z)] + H(q) is the bound as a function of both. An E step moves q with theta fixed,
an M step moves theta with q fixed. What a step gains is always written down as its `gap`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from vaelib.derivation import derive
from vaelib.distributions import Categorical, DiagonalNormal, MultivariateNormal, kl_divergence
from vaelib.em import (
    GaussianMixture,
    mixture_bound,
    mixture_e_step,
    mixture_m_step,
    ppca_e_step,
    ppca_m_step,
    ppca_maximum,
)
from vaelib.estimate import Estimate
from vaelib.formula import Node, given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.worlds import Law, Mixture, Table
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.quadrature import gauss_legendre
from vaelib.terms import KL, E, H, log_evidence, log_joint, post, prior, q
from vaelib.witnesses import (
    CurvedWitness,
    DiscreteWitness,
    LinearWitness,
    away_from_zero,
    generic_correlation,
    generic_loading,
    generic_noise_variance,
    generic_probabilities,
    generic_scale,
    linear_world,
)

Array = np.ndarray
Rng = np.random.Generator


# --------------------------------------------------------------------------------------------------------- E step, G1


@dataclass(frozen=True)
class DiscreteFamily:
    """One table and observation with six q: a line has one entry for each."""

    model: DiscreteLatent
    x: int
    qs: tuple[Categorical, ...]

    @classmethod
    def draw(cls, rng: Rng) -> DiscreteFamily:
        w = DiscreteWitness.draw(rng)
        return cls(w.model, w.x, tuple(DiscreteWitness.draw(rng).q for _ in range(6)))

    @classmethod
    def at_posterior(cls, rng: Rng) -> DiscreteFamily:
        w = cls.draw(rng)
        return replace(w, qs=(w.model.posterior(w.x),) * 6)

    def members(self) -> list[DiscreteWitness]:
        return [DiscreteWitness(self.model, self.x, q) for q in self.qs]


FREE = E(q, log_joint) + H(q)  # L(q, theta)

G1 = (
    derive(
        "G1",
        "E step: with theta fixed, the posterior maximizes the bound",
        DiscreteFamily.draw,
        assumptions="theta fixed; q is any distribution over z",
        source="Neal and Hinton 1998, lemma 1; Dempster, Laird and Rubin 1977",
    )
    .start(FREE, why="no posterior in it")
    .eq(
        log_evidence - KL(q, post),
        "F1: the evidence is the bound + its gap",
        why="only the KL has a q",
        needs="q = 0 where the posterior is 0",
    )
    .slip("plus the gap", log_evidence + KL(q, post), "the gap is added: the bound lies below.")
    .slip("gap swapped", log_evidence - KL(post, q), "the gap is KL(p(z|x) || q): the mean is under q.")
    .le(
        log_evidence,
        "KL is never negative",
        why="a ceiling that no q moves",
        gap=KL(q, post),
        equality=DiscreteFamily.at_posterior,
    )
    .slip(
        "any q attains the evidence",
        says="the E step is stated as an identity: true of every q, it singles out none.",
        relation="=",
        real="a published note: the E step given by E ln p = E E_q ln p",
    )
    .slip("an upper bound", says="the bound was put above the evidence.", relation=">=")
    .eq(
        E(post, log_joint) + H(post),
        "KL is zero at the posterior only",
        why="the best q, found without a search: there the bound touches",
        needs="a posterior that can be computed",
    )
    .slip("prior as the E step", E(prior, log_joint) + H(prior), "q was set to the prior: the E step looks at x.")
    .slip(
        "likelihood, normalized",
        tex(r"\sum_z r(z)\left[\log p(x, z) - \log r(z)\right],\ r(z) = \frac{p(x \mid z)}{\sum_{z'} p(x \mid z')}"),
        "q was set to p(x|z) over its sum: Bayes' rule multiplies by the prior first.",
    )
    .slip("no entropy", E(post, log_joint), "the entropy is missing: the bound is E[log p(x,z)] + H(q).")
)


# --------------------------------------------------------------------------------------- what one EM step gains, G2 and G4


@dataclass(frozen=True)
class TwoModels:
    """The same latent and observed values under two settings of theta (old, new), and one x."""

    old: DiscreteLatent
    new: DiscreteLatent
    x: int

    @classmethod
    def draw(cls, rng: Rng) -> TwoModels:
        old, new = DiscreteWitness.draw(rng).model, DiscreteWitness.draw(rng).model
        return cls(old, new, int(rng.integers(3)))

    def scope(self) -> Scope:
        """p(x, z) under theta, the old model, and under theta', the new one."""
        old, new = (Table(("z", "x"), model.joint) for model in (self.old, self.new))
        return Scope(worlds={r"p_\theta": old, r"p_{\theta'}": new}, observed={"x": self.x})


Q_RISES = r"Q(\theta' \mid \theta) - Q(\theta \mid \theta)"
WHAT_Q_IS = (
    r",\ Q(\theta' \mid \theta) = \mathbb{E}_{p_\theta(z \mid x)}[\log p_{\theta'}(x, z)]"
    r",\ Q(\theta \mid \theta) = \mathbb{E}_{p_\theta(z \mid x)}[\log p_\theta(x, z)]"
)

G2 = (
    derive(
        "G2",
        "the evidence rises at least as much as Q",
        TwoModels.draw,
        assumptions="p_new(z|x) > 0 wherever p_old(z|x) > 0; Q(theta' | theta) = E[log p_theta'(x,z)] under p_theta(z|x)",
        source="Dempster, Laird and Rubin 1977, theorem 1",
    )
    .start(tex(r"\log p_{\theta'}(x) - \log p_\theta(x)"), why="what we want to rise")
    .eq(
        tex(
            r"\mathbb{E}_{p_\theta(z \mid x)}\left[\log\tfrac{p_{\theta'}(x, z)}{p_{\theta'}(z \mid x)} - \log\tfrac{p_\theta(x, z)}{p_\theta(z \mid x)}\right]"
        ),
        "means of constants; Bayes' rule at every z, twice",
        why="brings in the joints",
        needs="the new posterior > 0 wherever the old one is",
    )
    .slip(
        "mean under the new posterior",
        tex(
            r"\mathbb{E}_{p_{\theta'}(z \mid x)}\left[\log\tfrac{p_{\theta'}(x, z)}{p_\theta(x, z)}\right] + \mathbb{E}_{p_\theta(z \mid x)}\left[\log\tfrac{p_\theta(z \mid x)}{p_{\theta'}(z \mid x)}\right]"
        ),
        "only the joints are averaged under the new posterior: q is the old one until the next E step.",
    )
    .eq(
        tex(
            rf"{Q_RISES} + \mathbb{{E}}_{{p_\theta(z \mid x)}}\left[\log\tfrac{{p_\theta(z \mid x)}}{{p_{{\theta'}}(z \mid x)}}\right]{WHAT_Q_IS}"
        ),
        "sort",
        why="joints to joints, posteriors to posteriors",
        needs="finite means",
    )
    .eq(
        tex(rf"{Q_RISES} + \mathrm{{KL}}(p_\theta(z \mid x) \,\Vert\, p_{{\theta'}}(z \mid x))"),
        "definition of KL",
        why="it has a sign",
    )
    .slip(
        "minus KL",
        tex(rf"{Q_RISES} - \mathrm{{KL}}(p_\theta(z \mid x) \,\Vert\, p_{{\theta'}}(z \mid x))"),
        "the KL is subtracted; then raising Q could lower the evidence.",
    )
    .slip(
        "KL swapped",
        tex(rf"{Q_RISES} + \mathrm{{KL}}(p_{{\theta'}}(z \mid x) \,\Vert\, p_\theta(z \mid x))"),
        "KL(new || old): the mean is under the old posterior.",
    )
    .ge(
        tex(Q_RISES),
        "KL is never negative",
        why="raising Q is enough to raise log p(x)",
        gap=tex(r"\mathrm{KL}(p_\theta(z \mid x) \,\Vert\, p_{\theta'}(z \mid x))"),
    )
    .slip(
        "KL dropped under =",
        says="the KL was dropped under an equals sign: the evidence rises by more than Q.",
        relation="=",
    )
    .slip("at most as much", says="the inequality points the wrong way.", relation="<=")
)


G4 = (
    derive(
        "G4",
        "Fisher's identity: evidence and Q have the same slope",
        lambda rng: CurvedWitness.draw(rng),  # generic ones alone: the steps suit parameters of order one
        assumptions="differentiation under the integral; theta = (offset b, log of the noise variance c)",
        source="Fisher 1925; Dempster, Laird and Rubin 1977, discussion",
    )
    .start(tex(r"\nabla_\theta \log p_\theta(x)"), needs="p_theta(x) > 0")
    .eq(
        tex(r"\frac{1}{p_\theta(x)} \int p_\theta(x, z)\,\nabla_\theta \log p_\theta(x, z)\,dz"),
        "differentiate under the integral; dp = p d log p",
        needs="the integrand's slope has an integrable bound",
    )
    .eq(
        tex(r"\mathbb{E}_{p_\theta(z \mid x)}\left[\nabla_\theta \log p_\theta(x, z)\right]"),
        "Bayes' rule: p(x,z) / p(x) is the posterior",
    )
    .slip(
        "mean under q",
        tex(r"\mathbb{E}_{q}\left[\nabla_\theta \log p_\theta(x, z)\right]"),
        "the score is averaged under an inexact q: then it is the slope of the bound.",
    )
    .slip(
        "mean under the prior",
        tex(r"\mathbb{E}_{p_\theta(z)}\left[\nabla_\theta \log p_\theta(x, z)\right]"),
        "z is drawn from the prior: it is what x says about z that counts.",
    )
    .slip(
        "no one half",
        tex(
            r"\mathbb{E}_{p_\theta(z \mid x)}\left[\tfrac1c (x - f(z))\right],\ \mathbb{E}_{p_\theta(z \mid x)}\left[\tfrac1c \|x - f(z)\|^2 - d\right]"
        ),
        "the 1/2 of the exponent is missing in the slope in log c.",
    )
    .eq(
        tex(
            r"\left. \nabla_{\theta'} \mathbb{E}_{p_\theta(z \mid x)}\left[\log p_{\theta'}(x, z)\right] \right|_{\theta' = \theta}"
        ),
        "the posterior is held fixed: this is the slope of Q",
        why="where bound and evidence touch, they share their slope",
    )
    .slip(
        "posterior differentiated, too",
        tex(r"\nabla_\theta\,\mathbb{E}_{p_\theta(z \mid x)}\left[\log p_\theta(x, z)\right]"),
        "the posterior moved along with theta: in Q it is held fixed.",
    )
)


# --------------------------------------------------------------------------------------- mixtures of Gaussians, G6 G9 G12


@dataclass(frozen=True)
class MixtureData:
    """A mixture (K = 3, d = 2), N = 14 observations, and responsibilities that are not the posterior's."""

    weights: Array
    loc: Array
    scale: Array
    x: Array  # (N, d)
    responsibilities: Array  # (N, K)

    @classmethod
    def draw(cls, rng: Rng) -> MixtureData:
        loc = np.array([[-1.5, 0.4], [1.2, 1.6], [0.8, -1.7]]) + rng.uniform(-0.4, 0.4, (3, 2))
        weights, scale = generic_probabilities(rng, (3,)), np.exp(rng.uniform(0.2, 0.6, 3))  # clusters that overlap
        _, x = GaussianMixture(weights, loc, scale).sample(14, rng=rng)
        moved = away_from_zero(rng, 0.3, 0.8, (3, 2))
        return cls(weights, loc + moved, scale, x, generic_probabilities(rng, (14, 3)))

    @property
    def model(self) -> GaussianMixture:
        return GaussianMixture(self.weights, self.loc, self.scale)

    @property
    def means(self) -> Array:
        """The means of the points, weighted by the responsibilities, shape (K, d)."""
        return np.stack([np.average(self.x, axis=0, weights=r) for r in self.responsibilities.T])

    def scope(self) -> Scope:
        """Points x_i with responsibilities r_ik, which q_i has as a law of z; q*_i and theta' are the package's steps.

        theta = (pi, mu, v) is the model, theta' what one round of EM makes of it; mu^- is mu, also where mu is updated.
        """
        (n, d), steps = self.x.shape, mixture_e_step(self.model, self.x)
        later = mixture_m_step(self.x, steps)
        return Scope(
            worlds={r"p_\theta": labelled(self.model), r"p_{\theta'}": labelled(later)}
            | {"q_": rows(self.responsibilities), "q^*_": rows(steps)},
            values={"x": self.x, "r": self.responsibilities, "N": n, "d": d, "K": len(self.weights)}
            | {r"w": self.weights, r"\mu": self.loc, r"\mu^-": self.loc, "v": self.scale**2},
            definitions={r"\pi_k": "w_k"},  # pi without an index is the number
            ranges={"i": n, "k": len(self.weights)},
        )


def labelled(model: GaussianMixture) -> Mixture:
    """p(x, z) of a mixture: z names the cluster."""
    parts = DiagonalNormal(model.loc, np.broadcast_to(model.scale[:, None], model.loc.shape))
    return Mixture("x", model.weights, parts, label="z")


def rows(table: Array) -> Callable[[Array], Law]:
    """q_i(z) for a table with one row for each i."""
    return lambda i: Law("z", Categorical(np.log(table)[i]))


Q = r"\tfrac1N \sum_{i,k} r_{ik}\left[\log\pi_k + \log N(x_i; \mu_k, v_k I)\right]"
STATISTICS = (
    r"s_k = \tfrac{1}{d N_k}\sum_i r_{ik}\|x_i - \bar x_k\|^2,\ \bar x_k = \tfrac{1}{N_k}\sum_i r_{ik} x_i,"
    r"\ N_k = \sum_i r_{ik}"
)


def updated(mean: str = r"\bar x_k", variance: str = "s_k", weight: str = r"\tfrac{1}{N} N_k") -> Node:
    """Q with the parameters of the next model."""
    return tex(rf"{Q},\ \mu_k = {mean},\ v_k = {variance},\ \pi_k = {weight}")


def q_of_package(w: MixtureData, responsibilities: Array) -> float:
    """(1/N) sum_ik r_ik [log weights_k + log N(x_i; loc_k, variance_k I)] at what the package's M step returns."""
    new = mixture_m_step(w.x, responsibilities)
    return float(np.mean(np.sum(w.responsibilities * new.log_joint(w.x), axis=1)))


def hard(responsibilities: Array) -> Array:
    """All but a trace of each point to its likeliest cluster."""
    return 0.999 * np.eye(responsibilities.shape[1])[responsibilities.argmax(axis=1)] + 0.001 / 3


G6 = (
    derive(
        "G6",
        "M step of a Gaussian mixture, one parameter after the other",
        MixtureData.draw,
        assumptions="responsibilities r fixed, N_k = sum_i r_ik > 0; x | z = k ~ N(mu_k, v_k I), x in d dimensions",
        source="Bishop 2006, section 9.2.2; Dempster, Laird and Rubin 1977, section 4.3",
    )
    .start(tex(f"Q = {Q}"), why="a sum of logarithms, at last; per example", needs="r fixed")
    .eq(
        tex(
            r"\sum_k \tfrac{N_k}{N}\left[\log\pi_k - \tfrac d2\log 2\pi v_k - \tfrac{1}{2 v_k}\left(d s_k + \|\bar x_k - \mu_k\|^2\right)\right]"
            rf",\ {STATISTICS}"
        ),
        "spread around mu = spread around the mean + shift^2",
        why="three statistics of a cluster; mu_k is in one term only",
        needs="N_k > 0",
    )
    .slip(
        "no shift of the center",
        tex(
            r"\sum_k \tfrac{N_k}{N}\left[\log\pi_k - \tfrac d2\log 2\pi v_k - \tfrac{1}{2 v_k}\,d s_k\right]"
            rf",\ {STATISTICS}"
        ),
        "the spread around the mean was taken for the spread around mu: Steiner adds |mean - mu|^2.",
    )
    .le(
        tex(rf"{Q},\ \mu_k = \bar x_k"),
        "a square is smallest at zero",
        why=r"the best mean is the weighted mean; gained: $\sum_k \frac{N_k}{N} \frac{\Vert\bar x_k - \mu_k\Vert^2}{2 v_k}$",
        gap=tex(rf"\sum_k \tfrac{{N_k}}{{N}} \tfrac{{1}}{{2 v_k}} \|\bar x_k - \mu_k\|^2,\ {STATISTICS}"),
    )
    .le(
        tex(rf"{Q},\ \mu_k = \bar x_k,\ v_k = s_k"),
        "u - 1 - log u is never negative, zero at u = s/v = 1",
        why=r"the best variance is the weighted one; gained: $\sum_k \frac{N_k}{N} \frac d2 (u_k - 1 - \log u_k)$",
        needs="s_k > 0",
        gap=tex(
            r"\sum_k \tfrac{N_k}{N} \tfrac d2 \left(u_k - 1 - \log u_k\right),\ u_k = \tfrac{1}{v_k} s_k"
            rf",\ {STATISTICS}"
        ),
    )
    .le(
        updated(),
        "a KL between weights is never negative",
        why=r"the best weights are the shares; gained: $\mathrm{KL}(N_k / N \,\Vert\, \pi_k)$",
        needs="the weights sum to one",
        gap=tex(rf"\sum_k \tfrac{{N_k}}{{N}} \log\tfrac{{N_k}}{{N \pi_k}},\ {STATISTICS}"),
    )
    .slip(
        "divided by N, not by N_k",
        updated(mean=r"\tfrac1N \sum_i r_{ik} x_i"),
        "the mean of a cluster was divided by all points, not by the cluster's own.",
    )
    .slip(
        "variance around the old mean",
        updated(variance=r"\tfrac{1}{d N_k}\sum_i r_{ik}\|x_i - \mu^-_k\|^2"),
        "the variance was taken around the old mean.",
    )
    .slip(
        "variance not divided by d",
        updated(variance="d s_k"),
        "the squared distance was summed over d but not divided by d.",
    )
    .slip(
        "scale for variance",
        updated(variance=r"\sqrt{s_k}"),
        "the standard deviation was put where the variance belongs.",
    )
    .eq(
        given(
            rf"{Q} \text{{ as updated by }} \mathtt{{mixture\_m\_step}}", lambda w: q_of_package(w, w.responsibilities)
        ),
        "the same in the package",
    )
    .slip(
        "hard assignments",
        given(
            rf"{Q} \text{{ as updated by }} \mathtt{{mixture\_m\_step}} \text{{ of }} \mathtt{{argmax}}_k\, r_{{ik}}",
            lambda w: q_of_package(w, hard(w.responsibilities)),
        ),
        "each point was counted for its likeliest cluster alone: that is k-means.",
    )
    .slip(
        "equal weights",
        updated(weight=r"\tfrac{1}{K}"),
        "the weights stayed equal: they are the shares N_k / N.",
    )
    .slip(
        "unbiased variance",
        updated(variance=r"\tfrac{N_k}{N_k - 1} s_k"),
        "N_k - 1 was put for N_k: unbiased, but not the maximum.",
    )
)


def free(law: str, model: str) -> str:
    """The bound for a law of each z_i and a model, per example."""
    return rf"\tfrac1N \sum_i \left(\mathbb{{E}}_{{{law}}}\left[\log p_{{{model}}}(x_i, z)\right] + \mathrm{{H}}({law})\right)"


def free_of_package(w: MixtureData) -> float:
    return float(np.mean(mixture_bound(w.model, w.x, w.responsibilities)))


evidence, later_evidence = (rf"\tfrac1N \sum_i \log p_{{{theta}}}(x_i)" for theta in (r"\theta", r"\theta'"))

G9 = (
    derive(
        "G9",
        "one round of EM: two half-steps up the same bound",
        MixtureData.draw,
        assumptions="q is any table of responsibilities; exact E and M steps; all values per example",
        source="Neal and Hinton 1998, theorem 2",
    )
    .start(tex(r"\mathcal{L}(q, \theta) = " + free("q_i", r"\theta")), why="one function of q and theta")
    .eq(given(r"\text{as computed by } \mathtt{mixture\_bound}", free_of_package), "the same in the package")
    .slip(
        "minus the entropy",
        tex(free("q_i", r"\theta").replace("+", "-")),
        "the entropy is subtracted: the bound is E[log p(x,z)] + H(q).",
    )
    .eq(
        tex(r"\tfrac1N \sum_i \left(\log p_\theta(x_i) - \mathrm{KL}(q_i(z) \,\Vert\, p_\theta(z \mid x_i))\right)"),
        "F1 for each example",
        why="only the KL has a q",
    )
    .slip(
        "KL summed, evidence averaged",
        tex(rf"{evidence} - \sum_i \mathrm{{KL}}(q_i(z) \,\Vert\, p_\theta(z \mid x_i))"),
        "the KL is summed over the examples and the evidence averaged.",
    )
    .slip(
        "KL swapped",
        tex(r"\tfrac1N \sum_i \left(\log p_\theta(x_i) - \mathrm{KL}(p_\theta(z \mid x_i) \,\Vert\, q_i(z))\right)"),
        "KL(p(z|x) || q): the mean is under q.",
    )
    .le(
        tex(r"\mathcal{L}(q^*, \theta) = " + free("q^*_i", r"\theta")),
        "E step: q* is the posterior under theta",
        why="the bound rises by the gap, which closes",
        needs="a posterior that can be computed",
        gap=tex(r"\tfrac1N \sum_i \mathrm{KL}(q_i(z) \,\Vert\, p_\theta(z \mid x_i))"),
    )
    .slip(
        "weights left out of the E step",
        tex(
            r"\tfrac1N \sum_i \sum_z t_i(z)\left[\log p_\theta(x_i, z) - \log t_i(z)\right],\ t_i(z) = \frac{p_\theta(x_i \mid z)}{\sum_{z'} p_\theta(x_i \mid z')}"
        ),
        "the responsibilities lack the weights: the posterior is prior times likelihood.",
    )
    .eq(
        tex(evidence),
        "G1: after an E step bound and evidence touch",
        why="the evidence stayed: theta did not move",
    )
    .slip(
        "touching without an E step",
        tex(later_evidence),
        "the evidence is that of the updated theta: they touch before the M step.",
    )
    .le(
        tex(r"\mathcal{L}(q^*, \theta') = " + free("q^*_i", r"\theta'")),
        "M step: theta' maximizes Q, and H(q*) stays (G6)",
        why="the floor rises",
        gap=tex(r"\tfrac1N \sum_i \mathbb{E}_{q^*_i}\left[\log p_{\theta'}(x_i, z) - \log p_\theta(x_i, z)\right]"),
    )
    .slip(
        "M step without responsibilities",
        tex(
            r"\tfrac1N \sum_i \left(\log\tfrac1K N(x_i; m, s I) + \mathrm{H}(q^*_i)\right),\ s = \tfrac{1}{d N}\sum_i \|x_i - m\|^2,\ m = \tfrac1N \sum_i x_i"
        ),
        "every cluster was fitted to all points alike.",
    )
    .le(
        tex(later_evidence),
        "KL is never negative: q* is the posterior of the old theta",
        why="the ceiling rises at least as much as the floor",
        gap=tex(r"\tfrac1N \sum_i \mathrm{KL}(p_\theta(z \mid x_i) \,\Vert\, p_{\theta'}(z \mid x_i))"),
    )
    .slip(
        "touching after the M step",
        says="bound and evidence are taken as equal after the M step: that needs another E step.",
        relation="=",
    )
)


@dataclass(frozen=True)
class Clusters:
    """Centers and points with no two centers nearly as close to a point; weights that would matter at scale 1."""

    weights: Array
    loc: Array
    x: Array

    @classmethod
    def draw(cls, rng: Rng) -> Clusters:
        while True:
            loc, x = rng.uniform(-2, 2, (3, 2)), rng.uniform(-2, 2, (7, 2))
            square = np.sort(np.sum((x[:, None] - loc) ** 2, axis=2), axis=1)
            if np.all(square[:, 1] - square[:, 0] > 0.5):
                return cls(generic_probabilities(rng, (3,)), loc, x)

    @property
    def square(self) -> Array:
        return np.sum((self.x[:, None] - self.loc) ** 2, axis=2)

    def scope(self) -> Scope:
        """Points x_i, centers mu_k; one entry for each point and each center."""
        n, k = self.square.shape
        return Scope(values={"x": self.x, r"\mu": self.loc}, ranges={"i": n, "k": k, "j": k}, every=("i", "k"))


def at_variance(w: Clusters, v: float) -> Array:
    """The responsibilities where each cluster has the variance v, from logarithms."""
    return np.asarray(softmax(np.log(w.weights) - w.square / (2 * v), axis=1))


def from_densities(w: Clusters, v: float) -> Array:
    density = w.weights * np.exp(-w.square / (2 * v))
    return density / density.sum(axis=1, keepdims=True)


G12 = (
    derive(
        "G12",
        "narrow clusters: EM becomes k-means",
        Clusters.draw,
        assumptions="one variance v for all clusters; no point has two nearest centers",
        source="Bishop 2006, section 9.3.2; MacQueen 1967",
    )
    .start(
        tex(r"\mathbb{1}\left[\|x_i - \mu_k\|^2 \le \min_j \|x_i - \mu_j\|^2\right]"), why="k-means: all to the nearest"
    )
    .eq(
        given(r"\lim_{v \to 0} \mathrm{softmax}_k\left(\log\pi_k - \|x_i - \mu_k\|^2 / 2v\right)", at_variance),
        "differences of squares, over 2v, outgrow log weights",
        exact=True,
        why="the E step of a mixture whose clusters have the variance v",
        needs="no ties",
        step=1 / 128,
    )
    .slip(
        "variance one",
        given(r"\mathrm{softmax}_k\left(\log\pi_k - \|x_i - \mu_k\|^2 / 2\right)", lambda w, v: at_variance(w, 1.0)),
        "the variance stayed at one: then the points near a border are shared.",
    )
    .slip(
        "farthest center",
        given(
            r"\lim_{v \to 0} \mathrm{softmax}_k\left(\log\pi_k + \|x_i - \mu_k\|^2 / 2v\right)",
            lambda w, v: softmax(np.log(w.weights) + w.square / (2 * v), axis=1),
        ),
        "a sign is lost: the nearest center has the largest exponent.",
    )
    .slip(
        "weights for distances",
        given(
            r"\mathbb{1}\left[\pi_k = \max_j \pi_j\right]",
            lambda w, v: np.tile((w.weights == w.weights.max()).astype(float), (len(w.x), 1)),
        ),
        "the largest cluster takes all: in the limit the weights do not count.",
    )
    .eq(
        given(
            r"\lim_{v \to 0} r_{ik}\ \text{as computed by } \mathtt{mixture\_e\_step}",
            lambda w, v: mixture_e_step(GaussianMixture(w.weights, w.loc, np.full(len(w.loc), np.sqrt(v))), w.x),
        ),
        "the same in the package",
        exact=True,
        needs="logarithms, since densities become 0/0",
        step=1 / 128,
    )
    .slip(
        "densities instead of logarithms",
        given(
            r"\lim_{v \to 0} \frac{\pi_k N(x_i; \mu_k, v I)}{\sum_j \pi_j N(x_i; \mu_j, v I)}\ \text{from densities, } v = 0.0025^2",
            lambda w, v: from_densities(w, v / 400),
        ),
        "densities were divided: far from every center that is 0/0.",
    )
)


# ----------------------------------------------------------------------------------------------- probabilistic PCA, G7


@dataclass(frozen=True)
class PCAData:
    """N = 12 centered observations with eigenvalues well apart (d = 4), and a model (k = 2) to start from."""

    x: Array  # (N, d)
    loading: Array  # (d, k)
    noise_variance: float

    @classmethod
    def draw(cls, rng: Rng) -> PCAData:
        raw = rng.standard_normal((12, 4))
        u, _, vt = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)
        eigenvalues = np.array([3.0, 1.8, 0.8, 0.5]) * rng.uniform(0.85, 1.15, 4)
        x = u * np.sqrt(12 * eigenvalues) @ vt
        return cls(x, generic_loading(rng, 4, 2), generic_noise_variance(rng))

    @property
    def covariance(self) -> Array:
        """Sigma-bar, divided by N; shape (d, d)."""
        return self.x.T @ self.x / len(self.x)

    @property
    def model(self) -> LinearGaussian:
        return LinearGaussian(self.loading, np.zeros(4), self.noise_variance)

    def scope(self) -> Scope:
        """theta = (W, c), q_i by the package's E step; lambda are the eigenvalues of Sigma-bar, the largest first."""
        q = ppca_e_step(self.model, self.x)
        (n, d), k = self.x.shape, self.loading.shape[1]
        return Scope(
            worlds={
                r"p_\theta": linear_world(self.model),
                "q_": lambda i: Law("z", MultivariateNormal(q.loc[i], q.covariance[i])),
            },
            values={"x": self.x, "W": self.loading, "c": self.noise_variance, r"\bar\Sigma": self.covariance}
            | {"M": self.loading.T @ self.loading + self.noise_variance * np.eye(k), "N": n, "d": d, "k": k}
            | {r"\lambda": np.linalg.eigvalsh(self.covariance)[::-1]},
            ranges={"i": n, "j": d},
        )


def compact_step(loading: Array, c: float, s: Array) -> tuple[Array, float]:
    """W' and c' after one round of EM, from the covariance Sigma-bar alone: no example is looked at."""
    k = loading.shape[1]
    m = loading.T @ loading + c * np.eye(k)
    new = s @ loading @ np.linalg.inv(c * np.eye(k) + np.linalg.solve(m, loading.T @ s @ loading))
    return new, float(np.trace(s - s @ loading @ np.linalg.solve(m, new.T)) / len(s))


def climbed(w: PCAData, rounds: int = 80, step: Callable[..., tuple[Array, float]] = compact_step) -> float:
    """Mean log-evidence after many rounds, each from Sigma-bar alone."""
    loading, c = w.loading, w.noise_variance
    for _ in range(rounds):
        loading, c = step(loading, c, w.covariance)
    return mean_evidence(LinearGaussian(loading, np.zeros(len(loading)), c), w.x)


def mean_evidence(model: LinearGaussian, x: Array) -> float:
    return float(np.mean(model.log_evidence(x)))


def later_model(w: PCAData) -> LinearGaussian:
    return ppca_m_step(w.x, ppca_e_step(w.model, w.x))


def opened(w: PCAData) -> float:
    """The gap that the M step opens: mean of KL(old posterior || new posterior)."""
    return float(np.mean(kl_divergence(w.model.posterior(w.x), later_model(w).posterior(w.x))))


def at_the_top(rng: Rng) -> PCAData:
    w = PCAData.draw(rng)
    best = ppca_maximum(w.x, 2)
    return replace(w, loading=best.loading, noise_variance=best.noise_variance)


NEW_LOADING = r"W' = \bar\Sigma W (c I + M^{-1} W^\top \bar\Sigma W)^{-1}"
NEW_NOISE = r"c' = \tfrac1d \mathrm{tr}(\bar\Sigma - \bar\Sigma W M^{-1} W'^\top)"


MOMENTS = (
    r"A = \bar\Sigma W M^{-1},\ B = c M^{-1} + M^{-1} W^\top \bar\Sigma W M^{-1}"  # means of x m^T and of E[z z^T]
)


def inserted(noise: str = NEW_NOISE, loading: str = NEW_LOADING) -> Node:
    """The bound at the old posterior and the new parameters, from Sigma-bar alone."""
    square = r"\mathrm{tr}(\bar\Sigma - 2 A W'^\top + W' B W'^\top)"  # of the error of W' z
    return tex(
        rf"-\tfrac12\left[d \log 2\pi c' + \tfrac{{1}}{{c'}} {square} + \mathrm{{tr}}(B) - k - \log|c M^{{-1}}|\right]"
        rf",\ {noise},\ {loading},\ {MOMENTS}"
    )


def at_best_loading(noise: str) -> Node:
    """The log-evidence where W has the k largest eigenvalues, and what c is there."""
    return tex(
        rf"-\tfrac12\left[d \log 2\pi + \sum_{{j \le k}} \log\lambda_j + (d - k) \log c^* + d\right],\ c^* = {noise}"
    )


G7 = (
    derive(
        "G7",
        "EM for probabilistic PCA climbs to the eigenvalue solution",
        PCAData.draw,
        assumptions="k < d; x centered, Sigma-bar its covariance (over N); M = W^T W + c I; eigenvalues of Sigma-bar distinct",
        source="Tipping and Bishop 1999, section 3 and appendix B",
    )
    .start(tex(evidence), why="the evidence of the old theta = (W, c)")
    .eq(
        tex(r"\mathcal{L}(q, \theta) = " + free("q_i", r"\theta")),
        "E step, G1: q_i = N(M^-1 W^T x_i, c M^-1)",
        why="the gap closes",
    )
    .le(
        given(
            r"\mathcal{L}(q, \theta'),\ \theta' \text{ by } \mathtt{ppca\_m\_step}",
            lambda w: float(np.mean(later_model(w).elbo(w.x, ppca_e_step(w.model, w.x)))),
        ),
        "M step: a regression of x on an uncertain z",
        why="least squares, with E[z z^T] = m m^T + c M^-1",
        gap=lambda w: mean_evidence(later_model(w), w.x) - mean_evidence(w.model, w.x) - opened(w),
    )
    .eq(
        inserted(),
        "both steps in one: the posterior moments, inserted",
        why="no example is looked at, only Sigma-bar",
    )
    .slip(
        "noise over k",
        inserted(noise=NEW_NOISE.replace("d", "k")),
        "the noise variance was divided by k: it belongs to the d dimensions of x.",
    )
    .slip(
        "new loading twice",
        inserted(noise=NEW_NOISE.replace(r"\bar\Sigma W M", r"\bar\Sigma W' M")),
        "the new loading was put where the old one belongs: M and the moments are those of the E step.",
    )
    .slip(
        "posterior covariance dropped",
        inserted(loading=NEW_LOADING.replace("c I + ", "")),
        "the posterior mean was taken for z itself: its uncertainty, c I, belongs into E[z z^T].",
    )
    .le(
        tex(r"\tfrac1N \sum_i \log N(x_i; 0, W' W'^\top + c' I)"),
        "KL is never negative: next E step",
        why="the evidence never falls",
        gap=opened,
    )
    .le(
        at_best_loading(r"\tfrac{1}{d-k} \sum_{j > k} \lambda_j"),
        "no theta does better than the eigenvalue solution",
        why="log s + l/s >= log l + 1 for each eigenvalue l of Sigma-bar and s of the model",
        needs="positive eigenvalues",
        equality=at_the_top,
    )
    .slip(
        "noise from all eigenvalues",
        at_best_loading(r"\tfrac1d \sum_j \lambda_j"),
        "c is the mean of all eigenvalues: only the discarded ones are noise.",
    )
    .slip(
        "noise from the smallest eigenvalue",
        at_best_loading(r"\min_j \lambda_j"),
        "c is the smallest eigenvalue: it is the mean of all that are discarded.",
    )
    .eq(
        given(
            r"\tfrac1N \sum_i \log p(x_i)\ \text{by } \mathtt{ppca\_maximum}",
            lambda w: mean_evidence(ppca_maximum(w.x, 2), w.x),
        ),
        "the same from the package's model",
    )
    .eq(
        given(r"\tfrac1N \sum_i \log p(x_i)\ \text{after 80 rounds of EM}", climbed),
        "EM goes on until nothing is left to gain",
    )
    .slip(
        "one round only",
        given(r"\tfrac1N \sum_i \log p(x_i)\ \text{after one round of EM}", lambda w: climbed(w, 1)),
        "EM was stopped after one round.",
    )
    .slip(
        "noise never updated",
        given(
            r"\tfrac1N \sum_i \log p(x_i)\ \text{after 80 rounds with } c' = c",
            lambda w: climbed(w, step=lambda loading, c, s: (compact_step(loading, c, s)[0], c)),
        ),
        "the noise variance was kept: then EM climbs to another, lower top.",
    )
)


# ----------------------------------------------------------------------------------- the VAE as partial, amortized EM, G11


@dataclass(frozen=True)
class Amortized:
    """N = 15 observations (d = 3), the best linear-Gaussian model (k = 2), and a linear encoder that is not exact.

    q(z | x) = N(A x + a, diag(s^2)); a step moves the parameters by `rate` times the gradient, too short to overshoot.
    """

    x: Array
    loading: Array
    offset: Array
    noise_variance: float
    a_matrix: Array  # (k, d)
    a: Array  # (k,)
    log_scale: Array  # (k,)
    rate: float = 0.0

    @classmethod
    def draw(cls, rng: Rng) -> Amortized:
        _, x = LinearWitness.draw(rng).model.sample(15, rng=rng)
        best = ppca_maximum(x, 2)
        rotation = np.linalg.qr(rng.standard_normal((2, 2)))[0]  # z has no preferred axes
        matrix, shift = 0.4 * away_from_zero(rng, 0.3, 1.0, (2, 3)), away_from_zero(rng, 0.3, 0.8, (2,))
        log_scale, c = -rng.uniform(0.3, 0.9, 2), best.noise_variance
        start = cls(x, best.loading @ rotation, best.offset, c, matrix, shift, log_scale)
        of_x, of_z = np.mean(np.sum(x**2, axis=1)), np.mean(np.sum(start.encoder.loc**2, axis=1))
        steepest = (np.sum(best.loading**2) / c + 1) * (of_x + 1) + (of_z + 2) / c  # bounds the curvature
        return replace(start, rate=float(0.2 / steepest))

    @property
    def model(self) -> LinearGaussian:
        return LinearGaussian(self.loading, self.offset, self.noise_variance)

    @property
    def encoder(self) -> DiagonalNormal:
        """q(z | x_i) for every i; loc of shape (N, k)."""
        loc = self.x @ self.a_matrix.T + self.a
        return DiagonalNormal(loc, np.exp(self.log_scale) + 0 * loc)

    @property
    def bound(self) -> float:
        """Mean of L(x_i), by the package's closed form."""
        return float(np.mean(self.model.elbo(self.x, self.encoder)))

    @property
    def theta(self) -> Array:
        """(W, b) in a row."""
        return np.append(self.loading, self.offset)

    @property
    def phi(self) -> Array:
        """(A, a, log s) in a row."""
        return np.concatenate([self.a_matrix.ravel(), self.a, self.log_scale])

    def at(self, theta: Array, phi: Array) -> Amortized:
        """With these parameters."""
        (d, k), n = self.loading.shape, self.a_matrix.size
        return replace(
            self,
            loading=theta[: d * k].reshape(d, k),
            offset=theta[d * k :],
            a_matrix=phi[:n].reshape(k, d),
            a=phi[n : n + k],
            log_scale=phi[n + k :],
        )

    def scope(self) -> Scope:
        """The bound L(theta, phi), its gradients g in both, and the evidence l(theta), as means over the data."""

        def of_both(f: Callable[[Amortized], Any], signature: str) -> Any:
            return np.vectorize(lambda theta, phi: f(self.at(theta, phi)), signature=signature)

        maps = {
            r"\mathcal{L}": Map(of_both(lambda w: w.bound, "(n),(m)->()"), of=(r"\theta", r"\varphi")),
            r"g_\varphi": Map(of_both(lambda w: flat(encoder_gradient(w)), "(n),(m)->(m)"), rank=1),
            r"g_\theta": Map(of_both(lambda w: flat(decoder_gradient(w)), "(n),(m)->(n)"), rank=1),
            r"\ell": Map(np.vectorize(lambda theta: self.at(theta, self.phi).evidence, signature="(n)->()")),
        }
        return Scope(values={r"\theta": self.theta, r"\varphi": self.phi, r"\eta": self.rate}, maps=maps)

    @property
    def evidence(self) -> float:
        """Mean of log p(x_i)."""
        return float(np.mean(self.model.log_evidence(self.x)))


def encoder_gradient(w: Amortized) -> tuple[Array, Array, Array]:
    """Of the mean bound in (A, a, log s)."""
    loc, variance = w.encoder.loc, np.exp(2 * w.log_scale)
    pull = (w.x - loc @ w.loading.T - w.offset) @ w.loading / w.noise_variance - loc  # (N, k)
    curvature = np.sum(w.loading**2, axis=0) / w.noise_variance + 1
    return pull.T @ w.x / len(w.x), pull.mean(axis=0), 1 - curvature * variance


def decoder_gradient(w: Amortized) -> tuple[Array, Array]:
    """Of the mean bound in (W, b)."""
    loc, variance = w.encoder.loc, np.exp(2 * w.log_scale)
    residual = w.x - loc @ w.loading.T - w.offset
    slope = residual.T @ loc / len(w.x) - w.loading * variance
    return slope / w.noise_variance, residual.mean(axis=0) / w.noise_variance


def flat(parts: tuple[Array, ...]) -> Array:
    return np.concatenate([part.ravel() for part in parts])


def encoder_step(w: Amortized) -> Amortized:
    """A partial E step: all q move at once, through the encoder they share."""
    return w.at(w.theta, w.phi + w.rate * flat(encoder_gradient(w)))


def decoder_step(w: Amortized) -> Amortized:
    """A partial M step."""
    return w.at(w.theta + w.rate * flat(decoder_gradient(w)), w.phi)


def both_steps(w: Amortized) -> Amortized:
    return decoder_step(encoder_step(w))


def gained_by_encoder(w: Amortized) -> Estimate:
    """The integral of the slope along the encoder's step."""
    g = flat(encoder_gradient(w))
    return uphill(w.rate, lambda t: flat(encoder_gradient(w.at(w.theta, w.phi + t * g))) @ g)


def gained_by_decoder(w: Amortized) -> Estimate:
    g = flat(decoder_gradient(w))
    return uphill(w.rate, lambda t: flat(decoder_gradient(w.at(w.theta + t * g, w.phi))) @ g)


def uphill(rate: float, slope: Callable[[float], float]) -> Estimate:
    """Six points are enough for a slope that hardly bends."""
    return gauss_legendre(lambda ts: np.array([slope(t) for t in ts]), 0.0, rate, 1, 6)


def amortized_gap(w: Amortized) -> float:
    return float(np.mean(kl_divergence(w.encoder, w.model.posterior(w.x))))


NEW_PHI = r"\varphi' = \varphi + \eta\,g_\varphi(\theta, \varphi)"
NEW_THETA = r"\theta' = \theta + \eta\,g_\theta(\theta, \varphi')"

G11 = (
    derive(
        "G11",
        "the VAE as partial EM: the bound rises, the evidence need not",
        Amortized.draw,
        assumptions="steps small enough; exact expectations; q(z|x) = N(A x + a, s^2); theta starts at maximum likelihood; "
        "g_phi and g_theta are the gradients of L",
        source="Neal and Hinton 1998, section 3 (partial steps); Kingma and Welling 2014 (a shared encoder)",
    )
    .start(tex(r"\mathcal{L}(\theta, \varphi)"), why="the mean bound, with one encoder for all x")
    .le(
        tex(rf"\mathcal{{L}}(\theta, \varphi'),\ {NEW_PHI}"),
        "partial E step: uphill in the encoder",
        why="the gain is the integral of the slope along the step",
        needs="a step too short to overshoot",
        gap=gained_by_encoder,
    )
    .slip(
        "downhill in the encoder",
        tex(r"\mathcal{L}(\theta, \varphi'),\ \varphi' = \varphi - \eta\,g_\varphi(\theta, \varphi)"),
        "the sign of the encoder's step is lost: the bound is maximized, its negative minimized.",
    )
    .le(
        tex(rf"\mathcal{{L}}(\theta', \varphi'),\ {NEW_THETA},\ {NEW_PHI}"),
        "partial M step: uphill in the decoder",
        why="the decoder comes after the encoder",
        needs="a step too short to overshoot",
        gap=lambda w: gained_by_decoder(encoder_step(w)),
    )
    .slip(
        "downhill in the decoder",
        tex(rf"\mathcal{{L}}(\theta', \varphi'),\ {NEW_THETA.replace('+', '-')},\ {NEW_PHI}"),
        "the sign of the decoder's step is lost.",
    )
    .slip(
        "decoder's gradient at the old encoder",
        tex(rf"\mathcal{{L}}(\theta', \varphi'),\ \theta' = \theta + \eta\,g_\theta(\theta, \varphi),\ {NEW_PHI}"),
        "both steps were taken from the same point; here the decoder's comes after the encoder's.",
    )
    .le(
        tex(rf"\ell(\theta'),\ {NEW_THETA},\ {NEW_PHI}"),
        "F1: l is the mean evidence",
        why="a gap stays open, since q is not exact",
        gap=lambda w: amortized_gap(both_steps(w)),
    )
    .slip(
        "no gap left", says="the bound was taken for the evidence: only an exact E step closes the gap.", relation="="
    )
    .lt(
        tex(r"\ell(\theta)"),
        "theta was best: the evidence has fallen",
        why="only the bound is sure to rise",
        needs="theta starts at maximum likelihood",
    )
    .slip(
        "the evidence rises, too",
        says="the promise of EM was taken over: with inexact q only the bound is sure to rise.",
        relation=">=",
    )
)


# ------------------------------------------------------------------------------------- mean-field coordinate ascent, F14 F15


@dataclass(frozen=True)
class TwoFactors:
    """A joint p(x, z1, z2) at one x as a table (3, 4) of any sum below one, a q2, and six candidates for q1."""

    joint: Array  # p(x, z1, z2), (3, 4)
    q_2: Array  # (4,)
    candidates: Array  # q1, one a row, (6, 3)

    @classmethod
    def draw(cls, rng: Rng) -> TwoFactors:
        table = generic_probabilities(rng, (12,)).reshape(3, 4) * rng.uniform(0.05, 0.6)
        return cls(table, generic_probabilities(rng, (4,)), generic_probabilities(rng, (6, 3)))

    @classmethod
    def at_best(cls, rng: Rng) -> TwoFactors:
        w = cls.draw(rng)
        return replace(w, candidates=np.tile(w.best, (6, 1)))

    @property
    def mean_log_joint(self) -> Array:
        """E_{q2}[log p(x, z1, z2)] for each z1, shape (3,)."""
        return np.log(self.joint) @ self.q_2

    @property
    def best(self) -> Array:
        """q1 proportional to exp E_{q2}[log p(x, z1, z2)]."""
        return np.asarray(softmax(self.mean_log_joint))

    def members(self) -> list[Scope]:
        """For each candidate q_1: p(x, z_1, z_2), of which only the x at hand matters, the factors, and the best q_1."""
        rest = np.full_like(self.joint, (1 - self.joint.sum()) / self.joint.size)
        worlds = {
            "p": Table(("x", "z_1", "z_2"), np.stack([self.joint, rest])),
            "q_2": Law("z_2", Categorical(np.log(self.q_2))),
            "q_1^*": Law("z_1", Categorical(np.log(self.best))),
        }
        return [
            Scope(
                worlds={**worlds, "q_1": Law("z_1", Categorical(np.log(candidate)))},
                observed={"x": 0},
                values={r"\hat z_2": int(self.q_2.argmax())},
            )
            for candidate in self.candidates
        ]

    def bound(self, q_1: Array) -> float:
        """L(q1 q2) over all pairs of states."""
        q = q_1[:, None] * self.q_2
        return float(np.sum(q * (np.log(self.joint) - np.log(q))))


MEAN_LOG = r"\mathbb{E}_{q_2}[\log p(x, z_1, z_2)]"
NORMALIZER = rf",\ C = \sum_{{z_1}} \exp {MEAN_LOG}"


def at_factor(q_1: str, density: str) -> Node:
    """The bound where the first factor is this law."""
    return tex(rf"\mathbb{{E}}_{{{q_1}}}\left[{MEAN_LOG} - \log {density}\right] + \mathrm{{H}}(q_2)")


F14 = (
    derive(
        "F14",
        "the best factor of a factorized q",
        TwoFactors.draw,
        assumptions="q(z1, z2) = q1(z1) q2(z2), q2 fixed",
        source="Blei, Kucukelbir and McAuliffe 2017, equation (17); Bishop 2006, equation (10.9)",
    )
    .start(
        tex(
            r"\mathcal{L}(q_1 q_2) = \mathbb{E}_{q_1 q_2}\left[\log p(x, z_1, z_2) - \log q_1(z_1) - \log q_2(z_2)\right]"
        ),
        why="the bound; q2 is fixed",
    )
    .eq(
        at_factor("q_1", "q_1(z_1)"),
        "average over z2 first",
        why="the inner mean is a function of z1",
    )
    .eq(
        tex(r"-\mathrm{KL}(q_1 \,\Vert\, q_1^{*}) + \log C + \mathrm{H}(q_2)" + NORMALIZER),
        "that function is log (C q1*); C makes q1* sum to one",
        why="a KL appears",
    )
    .slip(
        "normalizer dropped",
        tex(r"-\mathrm{KL}(q_1 \,\Vert\, q_1^{*}) + \mathrm{H}(q_2)"),
        "log C was dropped under an equals sign: exp E[log p] does not sum to one.",
    )
    .slip(
        "KL with a plus",
        tex(r"\mathrm{KL}(q_1 \,\Vert\, q_1^{*}) + \log C + \mathrm{H}(q_2)" + NORMALIZER),
        "the KL is added: a q1 away from q1* lowers the bound.",
    )
    .le(
        at_factor("q_1^*", "q_1^*(z_1)"),
        "KL is never negative, and zero at q1*",
        why="the best factor",
        gap=tex(r"\mathrm{KL}(q_1 \,\Vert\, q_1^*)"),
        equality=TwoFactors.at_best,
    )
    .slip(
        "logarithm of the mean",
        tex(
            rf"\sum_{{z_1}} t(z_1)\left[{MEAN_LOG} - \log t(z_1)\right] + \mathrm{{H}}(q_2)"
            r",\ t(z_1) = \frac{\mathbb{E}_{q_2}[p(x, z_1, z_2)]}{\sum_{z_1'} \mathbb{E}_{q_2}[p(x, z_1', z_2)]}"
        ),
        "log E[p] was put for E[log p]: the marginal is not the best factor.",
    )
    .slip(
        "marginal of the posterior",
        at_factor(r"p(z_1 \mid x)", r"p(z_1 \mid x)"),
        "q1 was set to p(z1|x): the best factor depends on q2.",
    )
    .slip(
        "most probable z2 inserted",
        at_factor(r"p(z_1 \mid x, \hat z_2)", r"p(z_1 \mid x, \hat z_2)"),
        "z2 was put at its most probable value instead of averaged.",
    )
)


@dataclass(frozen=True)
class Target:
    """A Gaussian posterior N(mu, Sigma) in k = 3 dimensions, and where the sweeps start."""

    loc: Array
    covariance: Array
    start: Array

    @classmethod
    def draw(cls, rng: Rng) -> Target:
        scale = generic_scale(rng, (3,))
        covariance = np.outer(scale, scale) * generic_correlation(rng, 3)
        loc = away_from_zero(rng, 0.3, 1.5, (3,))
        return cls(loc, covariance, loc + away_from_zero(rng, 0.5, 1.5, (3,)))

    @property
    def precision(self) -> Array:
        return np.linalg.inv(self.covariance)

    def scope(self) -> Scope:
        """Mean mu, covariance Sigma, precision L, coordinate by coordinate."""
        return Scope(
            values={r"\mu": self.loc, r"\Sigma": self.covariance, "L": self.precision},
            ranges={"j": self.loc.size},
            every=("j",),
        )


def sweeps(w: Target, rounds: int = 120) -> Array:
    """Coordinate ascent: each factor in turn is set to N(mu_j - sum_i L_ji (m_i - mu_i) / L_jj, 1 / L_jj); (2, k)."""
    precision, m = w.precision, w.start.copy()
    for _ in range(rounds):
        for j in range(m.size):
            others = np.delete(precision[j] * (m - w.loc), j).sum()
            m[j] = w.loc[j] - others / precision[j, j]
    return np.stack([m, 1 / np.diag(precision)])


def coupled_the_other_way(w: Target) -> Target:
    """The target with the signs of all L_ji, j != i, changed."""
    return replace(w, covariance=np.linalg.inv(2 * np.diag(np.diag(w.precision)) - w.precision))


def explained(w: Target) -> Array:
    """c^T B^-1 c for each j: the part of Var(z_j) that the other coordinates explain, by regression on them."""
    parts = []
    for j in range(w.loc.size):
        rest = np.delete(np.arange(w.loc.size), j)
        c = w.covariance[j, rest]
        parts.append(c @ np.linalg.solve(w.covariance[np.ix_(rest, rest)], c))
    return np.array(parts)


AS_WIDE = tex(r"(\mu_j,\ \Sigma_{jj})")

F15 = (
    derive(
        "F15",
        "factorized Gaussians: right mean, too narrow",
        Target.draw,
        assumptions="p(z|x) = N(mu, Sigma), L = Sigma^-1 positive definite; q = q1 q2 q3",
        source="Bishop 2006, section 10.1.2; MacKay 2003, chapter 33",
    )
    .start(
        given(
            r"(m_j, v_j)\ \text{after 120 sweeps of}\ m_j \leftarrow \mu_j - \tfrac{1}{L_{jj}} \sum_{i \ne j} L_{ji}(m_i - \mu_i)",
            lambda w: sweeps(w).T,
        ),
        why="F14 in each coordinate, in turn",
    )
    .eq(
        tex(r"(\mu_j,\ 1 / L_{jj})"),
        "at rest L (m - mu) = 0; L is invertible, so m = mu",
        why="the right mean",
        needs="L positive definite, so that the sweeps come to rest",
    )
    .slip("marginal variances", AS_WIDE, "the factors have the marginal variances: each is narrower, 1/L_jj.")
    .slip(
        "stopped after one sweep",
        given(r"(m_j, v_j)\ \text{after one sweep}", lambda w: sweeps(w, 1).T),
        "the sweeps were stopped after one: each factor then waits for the others.",
    )
    .slip(
        "sign of the coupling",
        given(
            r"(m_j, v_j)\ \text{after 3 sweeps of}\ m_j \leftarrow \mu_j + \tfrac{1}{L_{jj}} \sum_{i \ne j} L_{ji}(m_i - \mu_i)",
            lambda w: sweeps(coupled_the_other_way(w), 3).T,
        ),
        "the coupling has the wrong sign: it is minus L_ji (m_i - mu_i).",
    )
    .eq(
        given(
            r"(\mu_j,\ \Sigma_{jj} - \Sigma_{j,-j} \Sigma_{-j,-j}^{-1} \Sigma_{-j,j})",
            lambda w: np.stack([w.loc, np.diag(w.covariance) - explained(w)], axis=1),
        ),
        "1/L_jj is the variance of z_j given all others",
    )
    .slip("nothing lost", AS_WIDE, "q is as wide as the posterior.")
    .le(
        AS_WIDE,
        "knowing the others can only narrow z_j",
        why="correlations are lost, so q is too narrow",
        gap=lambda w: np.stack([0 * w.loc, explained(w)], axis=1),
    )
    .slip(
        "as wide as the posterior", says="the widths are taken for equal: correlations make q narrower.", relation="="
    )
)

CHAPTER = (F14, F15, G1, G2, G4, G6, G7, G9, G11, G12)
