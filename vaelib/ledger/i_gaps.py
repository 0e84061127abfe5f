r"""Chapter I: what a bound loses by approximation, and what by amortization.

Here are also the best Gaussian with independent coordinates (E12), the gap near the posterior (F20), and the bound
from above (F16).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import Categorical, DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.worlds import Law, Table
from vaelib.models import DiscreteLatent, LinearGaussian
from vaelib.terms import KL, E, log_evidence, log_joint, log_post, log_q, post, prior, q
from vaelib.witnesses import (
    CurvedWitness,
    DiscreteWitness,
    LinearWitness,
    away_from_zero,
    generic_covariance,
    generic_loading,
    generic_noise_variance,
    generic_scale,
    linear_world,
)

Array = np.ndarray
Rng = np.random.Generator


# ---------------------------------------------------------------------------- the best q with independent coordinates


@dataclass(frozen=True)
class FactorizedFamily:
    """A Gaussian p with a full covariance in three dimensions, and many q with independent coordinates."""

    p: MultivariateNormal
    loc: Array  # (n, k) of the q
    scale: Array

    @classmethod
    def draw(cls, rng: Rng, k: int = 3, n: int = 20) -> FactorizedFamily:
        loc = away_from_zero(rng, 0.3, 1.5, (k,))
        p = MultivariateNormal(loc, generic_covariance(rng, k))
        return cls(p, loc + away_from_zero(rng, 0.1, 0.8, (n, k)), generic_scale(rng, (n, k)))

    @property
    def precision(self) -> Array:
        return np.linalg.inv(self.p.covariance)

    def scope(self) -> Scope:
        """p = N(mu, Sigma) with Sigma^-1 = Lambda; of the q, means m_nj and variances v_nj, n for one of them."""
        n, k = self.loc.shape
        values = {r"\mu": self.p.loc, r"\Sigma": self.p.covariance, r"\Lambda": self.precision}
        return Scope(values={**values, "m": self.loc, "v": self.scale**2}, ranges={"n": n, "j": k})


def both(w: FactorizedFamily, q: DiagonalNormal, forward_q: DiagonalNormal | None = None) -> Array:
    """The package's KL(q || p) and KL(p || q), the second of another q if there is one; a row for each q."""
    n = len(w.loc)
    pair = kl_divergence(q, w.p), kl_divergence(w.p, q if forward_q is None else forward_q)
    return np.stack([np.broadcast_to(kl, (n,)) for kl in pair], axis=-1)


def centered(w: FactorizedFamily, scale: Array) -> DiagonalNormal:
    """The q with the means of p."""
    return DiagonalNormal(w.p.loc, scale)


def excess(w: FactorizedFamily) -> Array:
    """What each q pays for its variances, in KL of scalars, and for its means, in squared distances."""
    narrow, wide = 1 / np.sqrt(np.diag(w.precision)), np.sqrt(np.diag(w.p.covariance))
    shift = w.loc - w.p.loc
    along = np.linalg.solve(w.p.cholesky, shift.T)  # (k, n)
    reverse = kl_divergence(Normal(0.0, w.scale), Normal(0.0, narrow)).sum(-1) + 0.5 * (along**2).sum(0)
    forward = kl_divergence(Normal(0.0, wide), Normal(0.0, w.scale)).sum(-1) + 0.5 * ((shift / w.scale) ** 2).sum(1)
    return np.stack([reverse, forward], axis=-1)


RATIOS = (
    r"\sum_j \left(\Lambda_{jj} v_{nj} - 1 - \log(\Lambda_{jj} v_{nj})\right)",
    r"\sum_j \left(\frac{\Sigma_{jj}}{v_{nj}} - 1 - \log\frac{\Sigma_{jj}}{v_{nj}}\right)",
)
DISTANCES = (
    r"(m_n - \mu)^\top \Lambda\,(m_n - \mu)",
    r"\sum_j \frac{(m_{nj} - \mu_j)^2}{v_{nj}}",
)
CORRELATIONS = (
    r"\left(\sum_j \log\Lambda_{jj} - \log\det\Lambda\right)",
    r"\left(\sum_j \log\Sigma_{jj} - \log\det\Sigma\right)",
)


def for_both(form: str) -> Any:
    """A formula for KL(q || p), and with the other parts for KL(p || q)."""
    sides = zip(RATIOS, DISTANCES, CORRELATIONS, strict=True)
    return tex(r",\quad ".join(form.format(u=u, d=d, c=c) for u, d, c in sides) + r"\quad \forall n")


E12 = (
    derive(
        "E12",
        "the best Gaussian with independent coordinates, for either KL",
        FactorizedFamily.draw,
        assumptions="p = N(mu, Sigma), Lambda = Sigma^-1, q_n = N(m_n, diag(v_n)); first KL(q || p), then KL(p || q)",
        source="Bishop 2006, section 10.1.2; Turner and Sahani 2011",
    )
    .start(
        given(
            r"\mathrm{KL}(q_n \,\Vert\, p),\quad \mathrm{KL}(p \,\Vert\, q_n)",
            lambda w: both(w, DiagonalNormal(w.loc, w.scale)),
        ),
        why="by the package, for twenty q",
    )
    .eq(
        for_both(r"\tfrac12 {u} + \tfrac12 {d} + \tfrac12 {c}"),
        "KL of Gaussians (E4), sorted",
        why="variances, means, and what no q can help",
    )
    .slip("no 1/2", for_both(r"{u} + {d} + \tfrac12 {c}"), "the 1/2 of the Gaussian's exponent was lost.")
    .slip(
        "sign of log det",
        for_both(r"\tfrac12 {u} + \tfrac12 {d} - \tfrac12 {c}"),
        "the sign of the determinant's part is turned: then the smallest KL would be negative.",
    )
    .ge(
        for_both(r"\tfrac12 {c}"),
        "u - 1 - log u >= 0, and a squared distance too",
        why="zero at u = 1 and m = mu",
        gap=excess,
    )
    .slip(
        "a smaller bound",
        tex(r"0,\quad 0 \quad \forall n"),
        "zero was taken for the smallest KL: correlations keep it above zero.",
    )
    .eq(
        given(
            r"\mathrm{KL}(q^* \,\Vert\, p),\ v^*_j = 1 / \Lambda_{jj},\quad \mathrm{KL}(p \,\Vert\, q^+),\ v^+_j = \Sigma_{jj}",
            lambda w: both(w, centered(w, np.diag(w.precision) ** -0.5), centered(w, np.diag(w.p.covariance) ** 0.5)),
        ),
        "reached at m = mu and u = 1, by the package",
        why="KL(q || p) makes q narrow, KL(p || q) wide",
    )
    .slip(
        "variances swapped",
        given(
            r"\mathrm{KL}(q^* \,\Vert\, p),\ v^*_j = \Sigma_{jj},\quad \mathrm{KL}(p \,\Vert\, q^+),\ v^+_j = 1 / \Lambda_{jj}",
            lambda w: both(w, centered(w, np.diag(w.p.covariance) ** 0.5), centered(w, np.diag(w.precision) ** -0.5)),
        ),
        "Sigma_jj was taken for KL(q || p), and 1/Lambda_jj for KL(p || q): they belong the other way round.",
    )
    .slip(
        "inverse of the whole",
        given(
            r"\mathrm{KL}(q^* \,\Vert\, p),\ v^*_j = \Sigma_{jj},\quad \mathrm{KL}(p \,\Vert\, q^+),\ v^+_j = \Sigma_{jj}",
            lambda w: both(w, centered(w, np.diag(w.p.covariance) ** 0.5)),
        ),
        "1 / Sigma_jj was taken for Lambda_jj: the diagonal of an inverse is not the inverse diagonal.",
    )
    .slip(
        "standard deviations for variances",
        given(
            r"\mathrm{KL}(q^* \,\Vert\, p),\ v^*_j = 1 / \Lambda_{jj}^2,\quad \mathrm{KL}(p \,\Vert\, q^+),\ v^+_j = \Sigma_{jj}^2",
            lambda w: both(w, centered(w, 1 / np.diag(w.precision)), centered(w, np.diag(w.p.covariance))),
        ),
        "a variance was passed where a standard deviation is expected.",
    )
)


@dataclass(frozen=True)
class AmortizedWitness:
    """A linear-Gaussian model (k = 2, d = 3), one observation, and the q that an encoder gives for it."""

    model: LinearGaussian
    x: Array
    q: DiagonalNormal

    @classmethod
    def draw(cls, rng: Rng) -> AmortizedWitness:
        w = LinearWitness.draw(rng)
        return cls(w.model, w.x, DiagonalNormal(away_from_zero(rng, 0.3, 1.2, (2,)), generic_scale(rng, (2,))))

    @classmethod
    def at_best(cls, rng: Rng) -> AmortizedWitness:
        """The encoder gives the best q of the family."""
        w = cls.draw(rng)
        return replace(w, q=w.best)

    @classmethod
    def uncorrelated(cls, rng: Rng) -> AmortizedWitness:
        """Orthogonal loadings: the posterior has independent coordinates."""
        w = cls.draw(rng)
        first, second = generic_loading(rng, 3, 2).T
        second = second - first * (first @ second) / (first @ first)
        model = LinearGaussian(np.stack([first, second], axis=1), w.model.offset, generic_noise_variance(rng))
        return replace(w, model=model)

    @property
    def precision(self) -> Array:
        """Lambda = I + W^T W / c, spelled out; (k, k)."""
        return np.eye(2) + self.model.loading.T @ self.model.loading / self.model.noise_variance

    @property
    def mean(self) -> Array:
        """Lambda^-1 W^T (x - b) / c."""
        pull = self.model.loading.T @ (self.x - self.model.offset) / self.model.noise_variance
        return np.linalg.solve(self.precision, pull)

    @property
    def best(self) -> DiagonalNormal:
        return DiagonalNormal(self.mean, np.diag(self.precision) ** -0.5)

    def bound(self, loc: Array, covariance: Array) -> Any:
        """The package's bound for N(loc, covariance)."""
        return self.model.elbo(self.x, MultivariateNormal(loc, covariance))

    def scope(self) -> Scope:
        """p(x, z), q = N(mu, diag sigma^2), q* = N(m, V*), posterior N(m, Lambda^-1), and L, the package's bound."""
        q = self.q
        return Scope(
            worlds={"p": linear_world(self.model), r"q_\varphi": Law("z", q), "q^*": Law("z", self.best)},
            observed={"x": self.x},
            values={r"\mu": q.loc, r"\sigma": q.scale, "m": self.mean, r"\Lambda": self.precision},
            ranges={"j": q.loc.size},
            maps={r"\mathcal{L}": Map(self.bound, of=("m", "V"))},
        )


BEST = r"\mathcal{L}\left(N(m,\ \mathrm{diag}(\Lambda)^{-1})\right)"
ENCODED = r"\mathcal{L}\left(N(\mu,\ \mathrm{diag}(\sigma)^2)\right)"
approximation = tex(r"\tfrac12\left(\sum_j \log \Lambda_{jj} - \log \det \Lambda\right)")
of_the_scale = tex(r"\tfrac12 \sum_j \left(\Lambda_{jj} \sigma_j^2 - 1 - \log(\Lambda_{jj} \sigma_j^2)\right)")

I1 = (
    derive(
        "I1",
        "inference gap = approximation gap + amortization gap",
        AmortizedWitness.draw,
        assumptions="q* is the best of the family for this x; here N(m, diag(1/Lambda_jj)), posterior N(m, Lambda^-1)",
        source="Cremer, Li and Duvenaud 2018, section 3",
    )
    .start(tex(rf"\log p(x) - {ENCODED}"), why="what the bound of the encoder's q loses")
    .eq(tex(r"\mathrm{KL}(q_\varphi \,\Vert\, p(z \mid x))"), "F1: the gap is a KL", why="never negative")
    .slip(
        "KL swapped",
        tex(r"\mathrm{KL}(p(z \mid x) \,\Vert\, q_\varphi)"),
        "KL(p(z|x) || q): the gap of the bound is averaged under q.",
    )
    .eq(
        tex(rf"\left[\log p(x) - {BEST}\right] + \left[{BEST} - {ENCODED}\right]"),
        "subtract and add the bound of the best q of the family",
        why="the family's fault, and the encoder's",
        needs="q* best for this x",
    )
    .eq(
        approximation + of_the_scale + tex(r"\tfrac12 (\mu - m)^\top \Lambda\,(\mu - m)"),
        "KL of Gaussians, sorted (E12)",
        why="zero only at the best q",
    )
    .slip(
        "no error of the mean",
        approximation + of_the_scale,
        "the encoder's mean was taken to be right: an encoder errs in mean and in scale.",
    )
    .slip(
        "diagonal of the precision only",
        approximation + of_the_scale + tex(r"\tfrac12 \sum_j \Lambda_{jj} (\mu_j - m_j)^2"),
        "correlations were left out of the mean's error: it is measured with the whole Lambda.",
    )
    .ge(
        approximation,
        "the amortization gap is never negative: q* is best",
        why="what is left if the encoder were perfect",
        gap=tex(f"{BEST} - {ENCODED}"),
        equality=AmortizedWitness.at_best,
    )
    .slip(
        "marginal variances as the best",
        tex(r"\log p(x) - \mathcal{L}\left(N(m,\ \mathrm{diag}(\Lambda^{-1}))\right)"),
        "Sigma_jj was taken for the best variance: that is best for KL(p || q), and a wider q pays more.",
    )
    .slip(
        "approximation gap as KL swapped",
        tex(r"\mathrm{KL}(p(z \mid x) \,\Vert\, q^*)"),
        "the approximation gap was measured by KL(p(z|x) || q*): the bound pays KL(q* || p(z|x)).",
    )
    .slip(
        "a trained encoder has no gap",
        says="the amortization gap was dropped: then the whole gap would be the family's fault.",
        relation="=",
    )
    .ge(
        tex("0"),
        "Hadamard; zero if the posterior has no correlations",
        why="independent coordinates may be enough",
        gap=lambda w: kl_divergence(w.best, w.model.posterior(w.x)),
        equality=AmortizedWitness.uncorrelated,
    )
)


# ----------------------------------------------------------------------------------- near the posterior, and from above


@dataclass(frozen=True)
class NearPosterior:
    """A table, one observation, and a direction g in which q leaves the posterior: q = p(z|x) (1 + eps g)."""

    model: DiscreteLatent
    x: int
    direction: Array  # (states,), any; centered by `g`

    @classmethod
    def draw(cls, rng: Rng) -> NearPosterior:
        while True:  # the next order, eps^3 E[g^3], shall not vanish by chance
            w = DiscreteWitness.draw(rng)
            found = cls(w.model, w.x, away_from_zero(rng, 0.4, 1.5, (w.model.prior.size,)))
            second, third, fourth = (found.posterior @ found.g**n for n in (2, 3, 4))
            if second >= 0.1 and abs(third) >= 0.07 * fourth:
                return found

    @property
    def posterior(self) -> Array:
        return self.model.posterior(self.x).probs

    @property
    def g(self) -> Array:
        return self.direction - self.posterior @ self.direction

    def scope(self) -> Scope:
        """Where the limit is: q is the posterior."""
        return self.at(0.0)

    def at(self, step: float) -> Scope:
        """p(x, z), the direction g, and q at this step."""
        q = Categorical(np.log(self.posterior * (1 + step * self.g)))
        return Scope(
            worlds={"p": Table(("z", "x"), self.model.joint), "q": Law("z", q)},
            observed={"x": self.x},
            values={r"\varepsilon": step},
            maps={"g": Map(lambda z: self.g[z])},
            definitions={"w": r"\frac{p(x, z)}{q(z)}"},
        )


# Each line is of the order of eps, and is judged by how it shrinks.
SMALL: Any = {"step": 1 / 64, "order": 1, "resolution": 0.05}

F20 = (
    derive(
        "F20",
        "near the posterior the gap is half the variance of log w",
        NearPosterior.draw,
        assumptions="q = p(z|x)(1 + eps g), E[g] = 0 under p(z|x), eps g > -1; w = p(x,z) / q(z); eps goes to 0",
        source="second-order expansion of KL; compare Maddison et al. 2017, proposition 1",
    )
    .start(
        tex(r"\left(\log p(x) - \mathbb{E}_{q}[\log w]\right) / \varepsilon^2"),
        why="the gap vanishes like eps^2",
        **SMALL,
    )
    .eq(
        tex(r"\mathrm{KL}(q \,\Vert\, p(z \mid x)) / \varepsilon^2"),
        "F1: the gap is a KL",
        exact=True,
        why="the evidence is gone",
        **SMALL,
    )
    .eq(
        tex(r"\mathbb{E}_{p(z \mid x)}\left[(1 + \varepsilon g(z)) \log(1 + \varepsilon g(z))\right] / \varepsilon^2"),
        "put q = p(z|x)(1 + eps g) into the KL",
        exact=True,
        why="a function of eps g alone",
        needs="eps g > -1",
        **SMALL,
    )
    .eq(
        tex(r"\tfrac12 \mathbb{E}_{p(z \mid x)}\left[g(z)^2\right]"),
        "(1 + u) log(1 + u) = u + u^2/2 + O(u^3), and E[g] = 0",
        why="the first order vanishes",
        needs="E[g] = 0",
    )
    .slip(
        "no 1/2",
        tex(r"\mathbb{E}_{p(z \mid x)}\left[g(z)^2\right]"),
        "the 1/2 of the quadratic term was lost.",
    )
    .slip(
        "first order",
        tex(r"\mathbb{E}_{p(z \mid x)}\left[|g(z)|\right]"),
        "the mean size of g was taken for half its square: the first order vanishes, since E[g] = 0.",
    )
    .eq(
        tex(r"\tfrac12 \mathrm{Var}_{q}(\log w) / \varepsilon^2"),
        "log w = log p(x) - log(1 + eps g) varies like eps g",
        why="what one can measure",
        **SMALL,
    )
    .slip(
        "variance without 1/2",
        tex(r"\mathrm{Var}_{q}(\log w) / \varepsilon^2"),
        "the whole variance was taken: the gap is half of it.",
    )
    .slip(
        "standard deviation",
        tex(r"\tfrac12 \sqrt{\mathrm{Var}_{q}(\log w)} / \varepsilon"),
        "a standard deviation was taken for the variance.",
    )
    .slip(
        "second moment of log w",
        tex(r"\tfrac12 \mathbb{E}_{q}\left[(\log w)^2\right] / \varepsilon^2"),
        "the mean of log w was not taken off: log p(x) then counts as variation.",
    )
)

F16 = (
    derive(
        "F16",
        "the evidence between a lower and an upper bound",
        CurvedWitness.draw,
        assumptions="q(z) > 0 wherever p(z|x) > 0, and the other way round; both KL finite",
        source="Ji and Shen 2019; Dieng et al. 2017 for other upper bounds",
    )
    .start(E(q, log_joint - log_q))
    .le(log_evidence, "F1: the gap is KL(q || p(z|x)) >= 0", gap=KL(q, post))
    .slip("bounds swapped", says="the ELBO was taken for the upper bound: it lies below.", relation=">=")
    .le(E(post, log_joint - log_q), "the same log-weight, averaged under the posterior", gap=E(post, log_post - log_q))
    .slip(
        "averaged under q",
        E(q, log_joint - log_q),
        "the log-weight was averaged under q: that is the lower bound again.",
    )
    .slip(
        "averaged under the prior",
        E(prior, log_joint - log_q),
        "prior samples were taken for posterior samples: then nothing is bounded from above.",
    )
    .eq(E(post, log_evidence) + E(post, log_post - log_q), "Bayes' rule: p(x,z) = p(x) p(z|x); linear")
    .eq(log_evidence + KL(post, q), "definition of KL, the other way round")
    .slip(
        "KL not swapped",
        log_evidence + KL(q, post),
        "KL(q || p(z|x)) was added above as well: the mean under the posterior gives KL(p(z|x) || q).",
    )
    .slip("minus KL", log_evidence - KL(post, q), "the KL is subtracted: the upper bound lies above log p(x).")
)

CHAPTER = (E12, F16, F20, I1)
