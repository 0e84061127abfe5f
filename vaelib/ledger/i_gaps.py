r"""Chapter I: what a bound loses by approximation, and what by amortization.

With them stand the best Gaussian with independent coordinates (E12), the gap near the posterior (F20), and the bound
from above (F16).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vaelib.derivation import derive
from vaelib.distributions import Categorical, DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.estimate import Estimate
from vaelib.formula import given, tex
from vaelib.formula.scope import Scope
from vaelib.formula.worlds import Law
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
    def qs(self) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.scale)

    def best(self, variance: Array) -> DiagonalNormal:
        return DiagonalNormal(self.p.loc, np.sqrt(variance))

    @property
    def precision(self) -> Array:
        return np.linalg.inv(self.p.covariance)

    def both(self, reverse: Any, forward: Any) -> Array:
        """Rows: KL(q || p), KL(p || q); a column for each q."""
        n = len(self.loc)
        return np.stack([np.broadcast_to(reverse, (n,)), np.broadcast_to(forward, (n,))])


def excess(w: FactorizedFamily) -> tuple[Array, Array]:
    """What a q pays for its variances and for its means, both (2, n)."""
    variance, shift = w.scale**2, w.loc - w.p.loc
    ratios = np.stack([np.diag(w.precision) * variance, np.diag(w.p.covariance) / variance])  # u, (2, n, k)
    for_means = np.stack([np.einsum("ni,ij,nj->n", shift, w.precision, shift), np.sum(shift**2 / variance, axis=1)])
    return 0.5 * np.sum(ratios - 1 - np.log(ratios), axis=-1), 0.5 * for_means


def unavoidable(w: FactorizedFamily) -> tuple[Any, Any]:
    """1/2 (sum_j log A_jj - log det A) for A the precision and A the covariance."""

    def value(matrix: Array) -> Any:
        return 0.5 * (np.log(np.diag(matrix)).sum() - np.linalg.slogdet(matrix)[1])

    return value(w.precision), value(w.p.covariance)


def excess_by_divergence(w: FactorizedFamily) -> Array:
    """The same in KL of scalars, for the variances, and in squared distances, for the means."""
    narrow, wide = 1 / np.sqrt(np.diag(w.precision)), np.sqrt(np.diag(w.p.covariance))
    shift = w.loc - w.p.loc
    reverse = kl_divergence(Normal(0.0, w.scale), Normal(0.0, narrow)).sum(-1)
    forward = kl_divergence(Normal(0.0, wide), Normal(0.0, w.scale)).sum(-1)
    along = np.linalg.solve(w.p.cholesky, shift.T)  # (k, n)
    return w.both(reverse + 0.5 * (along**2).sum(0), forward + 0.5 * ((shift / w.scale) ** 2).sum(1))


def sorted_terms(w: FactorizedFamily, sign: float = 1.0, half: float = 1.0) -> Array:
    variances, means = excess(w)
    return half * (variances + means) + w.both(*(sign * value for value in unavoidable(w)))


def optima(w: FactorizedFamily, swapped: bool = False) -> Array:
    """KL at v_j = 1 / Lambda_jj, and at v_j = Sigma_jj."""
    narrow, wide = w.best(1 / np.diag(w.precision)), w.best(np.diag(w.p.covariance))
    if swapped:
        narrow, wide = wide, narrow
    return w.both(kl_divergence(narrow, w.p), kl_divergence(w.p, wide))


SORTED = r"\tfrac12 \left(\sum_j \log A_{jj} - \log \det A\right)"

E12 = (
    derive(
        "E12",
        "the best Gaussian with independent coordinates, for either KL",
        FactorizedFamily.draw,
        assumptions="p = N(mu, Sigma), Lambda = Sigma^-1, q = N(m, diag(v)); at [0, .] KL(q || p), at [1, .] KL(p || q)",
        source="Bishop 2006, section 10.1.2; Turner and Sahani 2011",
    )
    .start(
        given(
            r"\mathrm{KL}(q \,\Vert\, p) \text{ and } \mathrm{KL}(p \,\Vert\, q)",
            lambda w: w.both(kl_divergence(w.qs, w.p), kl_divergence(w.p, w.qs)),
        )
    )
    .eq(
        given(r"\tfrac12 \sum_j (u_j - 1 - \log u_j) + \tfrac12 d^2 + " + SORTED, sorted_terms),
        "sort: u = Lambda_jj v_j, A = Lambda; u = Sigma_jj / v_j, ...",
    )
    .slip("no 1/2", given("TODO", lambda w: sorted_terms(w, half=2.0)), "the 1/2 of the Gaussian's exponent was lost.")
    .slip(
        "sign of log det",
        given("TODO", lambda w: sorted_terms(w, sign=-1.0)),
        "the sign of the determinant's part is turned: then the smallest KL would be negative.",
    )
    .ge(
        given(SORTED, lambda w: w.both(*unavoidable(w))),
        "u - 1 - log u >= 0, and a squared distance too",
        gap=excess_by_divergence,
    )
    .slip(
        "a smaller bound",
        given("TODO", lambda w: 0.0 * optima(w)),
        "zero was taken for the smallest KL: correlations keep it above zero.",
    )
    .eq(
        given(
            r"\mathrm{KL}(q^* \,\Vert\, p),\ v^*_j = 1 / \Lambda_{jj}, \text{ and } \mathrm{KL}(p \,\Vert\, q^+),\ v^+_j = \Sigma_{jj}",
            optima,
        ),
        "reached at m = mu and u = 1",
    )
    .slip(
        "variances exchanged",
        given("TODO", lambda w: optima(w, swapped=True)),
        "Sigma_jj was taken for KL(q || p), and 1/Lambda_jj for KL(p || q): they belong the other way round.",
    )
    .slip(
        "inverse of the whole",
        given(
            "TODO",
            lambda w: w.both(
                kl_divergence(w.best(np.diag(w.p.covariance)), w.p),
                kl_divergence(w.p, w.best(np.diag(w.p.covariance))),
            ),
        ),
        "1 / Sigma_jj was taken for Lambda_jj: the diagonal of an inverse is not the inverse diagonal.",
    )
    .slip(
        "standard deviations for variances",
        given(
            "TODO",
            lambda w: w.both(
                kl_divergence(DiagonalNormal(w.p.loc, 1 / np.diag(w.precision)), w.p),
                kl_divergence(w.p, DiagonalNormal(w.p.loc, np.diag(w.p.covariance))),
            ),
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
        return replace(w, q=w.best())

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

    def best(self, variance: Array | None = None) -> DiagonalNormal:
        return DiagonalNormal(self.mean, np.sqrt(1 / np.diag(self.precision) if variance is None else variance))

    def scope(self) -> Scope:
        """p(x, z), q = N(mu, diag sigma^2), and the posterior's mean m and precision Lambda."""
        q = self.q
        return Scope(
            worlds={"p": linear_world(self.model), "q": Law("z", q), r"q_\varphi": Law("z", q)},
            observed={"x": self.x},
            values={r"\mu": q.loc, r"\sigma": q.scale, "m": self.mean, r"\Lambda": self.precision},
            ranges={"j": q.loc.size},
        )


def inference_gap(w: AmortizedWitness) -> Any:
    return w.model.log_evidence(w.x) - w.model.elbo(w.x, w.q)


def approximation_gap(w: AmortizedWitness) -> Any:
    return 0.5 * (np.log(np.diag(w.precision)).sum() - np.linalg.slogdet(w.precision)[1])


def amortization_gap(w: AmortizedWitness, metric: Any = None) -> Any:
    ratios = np.diag(w.precision) * w.q.scale**2
    shift = w.q.loc - w.mean
    metric = w.precision if metric is None else metric(w.precision)
    return 0.5 * np.sum(ratios - 1 - np.log(ratios)) + 0.5 * shift @ metric @ shift


def two_gaps(w: AmortizedWitness, best: DiagonalNormal) -> Any:
    bound = w.model.elbo(w.x, best)
    return (w.model.log_evidence(w.x) - bound) + (bound - w.model.elbo(w.x, w.q))


APPROXIMATION = r"\tfrac12\left(\sum_j \log \Lambda_{jj} - \log \det \Lambda\right)"

I1 = (
    derive(
        "I1",
        "inference gap = approximation gap + amortization gap",
        AmortizedWitness.draw,
        assumptions="q* is the best of the family for this x; here N(m, diag(1/Lambda_jj)), posterior N(m, Lambda^-1)",
        source="Cremer, Li and Duvenaud 2018, section 3",
    )
    .start(given(r"\log p(x) - \mathcal{L}(q_\varphi)", inference_gap))
    .eq(tex(r"\mathrm{KL}(q_\varphi \,\Vert\, p(z \mid x))"), "F1: the gap is a KL")
    .slip(
        "KL swapped",
        given("TODO", lambda w: kl_divergence(w.model.posterior(w.x), w.q)),
        "KL(p(z|x) || q): the gap of the bound is averaged under q.",
    )
    .eq(
        given(
            r"\left[\log p(x) - \mathcal{L}(q^*)\right] + \left[\mathcal{L}(q^*) - \mathcal{L}(q_\varphi)\right]",
            lambda w: two_gaps(w, w.best()),
        ),
        "subtract and add the bound of the best q of the family",
    )
    .eq(
        given(
            APPROXIMATION
            + r" + \tfrac12 \sum_j (\Lambda_{jj} \sigma_j^2 - 1 - \log \Lambda_{jj} \sigma_j^2) + \tfrac12 (\mu - m)^\top \Lambda\,(\mu - m)",
            lambda w: approximation_gap(w) + amortization_gap(w),
        ),
        "KL of Gaussians, sorted (E12)",
    )
    .slip(
        "no error of the mean",
        given("TODO", lambda w: approximation_gap(w) + amortization_gap(w, lambda precision: 0 * precision)),
        "the encoder's mean was taken to be right: an encoder errs in mean and in scale.",
    )
    .slip(
        "diagonal of the precision only",
        given(
            "TODO", lambda w: approximation_gap(w) + amortization_gap(w, lambda precision: np.diag(np.diag(precision)))
        ),
        "correlations were left out of the mean's error: it is measured with the whole Lambda.",
    )
    .ge(
        given(APPROXIMATION, approximation_gap),
        "the amortization gap is never negative: q* is best",
        gap=lambda w: w.model.elbo(w.x, w.best()) - w.model.elbo(w.x, w.q),
        equality=AmortizedWitness.at_best,
    )
    .slip(
        "marginal variances as the best",
        given("TODO", lambda w: kl_divergence(w.best(np.diag(np.linalg.inv(w.precision))), w.model.posterior(w.x))),
        "Sigma_jj was taken for the best variance: that is best for KL(p || q), and a wider q pays more.",
    )
    .slip(
        "approximation gap as KL swapped",
        given("TODO", lambda w: kl_divergence(w.model.posterior(w.x), w.best())),
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
        gap=lambda w: kl_divergence(w.best(), w.model.posterior(w.x)),
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

    def q(self, h: float) -> Array:
        return self.posterior * (1 + h * self.g)

    def log_weights(self, h: float) -> Array:
        return self.model.log_joint(self.x, np.arange(self.g.size)) - np.log(self.q(h))


def scaled_bound_gap(w: NearPosterior, h: float) -> Any:
    """(log p(x) - L) / eps^2, with the rounding error that the division magnifies."""
    log_evidence = w.model.log_evidence(w.x)
    rounding = 8 * np.finfo(float).eps * (1 + np.abs(log_evidence))
    return Estimate(log_evidence - w.q(h) @ w.log_weights(h), rounding) / h**2


def scaled_variance(w: NearPosterior, h: float) -> Any:
    """Var_q(log w) / eps^2."""
    log_weights = w.log_weights(h) - w.model.log_evidence(w.x)
    return (w.q(h) @ log_weights**2 - (w.q(h) @ log_weights) ** 2) / h**2


LIMIT = 0.05  # of the order of eps, judged by how it shrinks

F20 = (
    derive(
        "F20",
        "near the posterior the gap is half the variance of log w",
        NearPosterior.draw,
        assumptions="q = p(z|x)(1 + eps g), E[g] = 0 under p(z|x), eps g > -1; eps goes to 0",
        source="second-order expansion of KL; compare Maddison et al. 2017, proposition 1",
    )
    .start(
        given(r"\left(\log p(x) - \mathcal{L}(q)\right) / \varepsilon^2", scaled_bound_gap),
        step=0.02,
        order=1,
        resolution=LIMIT,
    )
    .eq(
        given(
            r"\mathrm{KL}(q \,\Vert\, p(z \mid x)) / \varepsilon^2",
            lambda w, h: kl_divergence(Categorical(np.log(w.q(h))), w.model.posterior(w.x)) / h**2,
        ),
        "F1: the gap is a KL",
        step=0.02,
        order=1,
        resolution=LIMIT,
    )
    .eq(
        given(
            r"\mathbb{E}_{p(z \mid x)}\left[(1 + \varepsilon g) \log(1 + \varepsilon g)\right] / \varepsilon^2",
            lambda w, h: w.posterior @ ((1 + h * w.g) * np.log1p(h * w.g)) / h**2,
        ),
        "put q = p(z|x)(1 + eps g) into the KL",
        step=0.02,
        order=1,
        resolution=LIMIT,
    )
    .eq(
        given(r"\tfrac12 \mathbb{E}_{p(z \mid x)}\left[g^2\right]", lambda w: 0.5 * (w.posterior @ w.g**2)),
        "(1 + u) log(1 + u) = u + u^2/2 + O(u^3), and E[g] = 0",
    )
    .slip("no 1/2", given("TODO", lambda w: w.posterior @ w.g**2), "the 1/2 of the quadratic term was lost.")
    .slip(
        "first order",
        given("TODO", lambda w: w.posterior @ np.abs(w.g)),
        "the mean size of g stands for half its square: the first order vanishes, since E[g] = 0.",
    )
    .eq(
        given(r"\tfrac12 \mathrm{Var}_{q}(\log w) / \varepsilon^2", lambda w, h: 0.5 * scaled_variance(w, h)),
        "log w = log p(x) - log(1 + eps g) varies like eps g",
        step=0.02,
        order=1,
        resolution=LIMIT,
    )
    .slip(
        "variance without 1/2", given("TODO", scaled_variance), "the whole variance was taken: the gap is half of it."
    )
    .slip(
        "standard deviation",
        given("TODO", lambda w, h: 0.5 * np.sqrt(scaled_variance(w, h))),
        "a standard deviation stands for the variance.",
    )
    .slip(
        "second moment of log w",
        given("TODO", lambda w, h: 0.5 * (w.q(h) @ w.log_weights(h) ** 2) / h**2),
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
    .slip("bounds exchanged", says="the ELBO was taken for the upper bound: it lies below.", relation=">=")
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
        "KL(q || p(z|x)) stands above as well: the mean under the posterior gives KL(p(z|x) || q).",
    )
    .slip("minus KL", log_evidence - KL(post, q), "the KL is subtracted: the upper bound lies above log p(x).")
)

CHAPTER = (E12, F16, F20, I1)
