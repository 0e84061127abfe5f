r"""Chapter F: the evidence lower bound. Four routes to it, its forms, and what it becomes for the usual decoders.

F1 to F6 are written in terms, on models whose evidence and posterior are exact. The evidence and the normalizer of the
posterior come from different quadrature rules, so an error in either is seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import expit

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import bound_terms, density_times, elbo
from vaelib.estimate import Estimate
from vaelib.formula import given, sampled, tex
from vaelib.models import LinearGaussian
from vaelib.quadrature import gauss_hermite_multivariate
from vaelib.terms import KL, E, H, log_E, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q
from vaelib.witnesses import (
    BernoulliWitness,
    CurvedFamily,
    CurvedWitness,
    DiscreteWitness,
    LinearPoints,
    LinearWitness,
    away_from_zero,
    generic_scale,
)

Array = np.ndarray
Rng = np.random.Generator
LOG_2PI = float(np.log(2 * np.pi))

BOUND = E(q, log_joint - log_q)
ABSOLUTE_CONTINUITY = "q(z) = 0 wherever p(z|x) = 0"


def either(rng: Rng, *, kind: str = GENERIC) -> DiscreteWitness | CurvedWitness:
    """A table or a curved Gaussian: the bound does not care whether z is discrete."""
    return (DiscreteWitness if rng.random() < 0.5 else CurvedWitness).draw(rng, kind=kind)


# ------------------------------------------------------------------------------------------------ four routes, F1 - F4


def elsewhere(witness: CurvedWitness) -> CurvedWitness:
    """The same witness with the q of another observation."""
    return replace(witness, q=Normal(0.7 - 0.5 * witness.q.loc, witness.q.scale))


def bound_under_another_q(witness: CurvedWitness) -> Any:
    """E under q(z | x') of the integrand at x, plus the gap: the encoder was fed another observation."""
    other = elsewhere(witness).q

    def integrand(z: Any) -> Any:
        return density_times(other.log_prob(z), witness.model.log_joint(witness.x, z) - witness.q.log_prob(z))

    return witness.model.integrate(integrand) + KL(q, post).value(witness)


F1 = (
    derive(
        "F1",
        "evidence = bound + KL to the posterior",
        CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY,
        source="Kingma and Welling 2014, equation (1); Jordan et al. 1999",
    )
    .start(log_evidence)
    .eq(E(q, log_evidence), "q integrates to one, and log p(x) does not depend on z")
    .eq(E(q, log_joint - log_post), "Bayes' rule, true at every z: p(x) = p(x,z) / p(z|x)")
    .slip("no prior in the joint", E(q, log_lik - log_post), "the prior is missing: p(x,z) = p(x|z) p(z).")
    .eq(E(q, log_joint - log_q + log_q - log_post), "add and subtract log q(z)")
    .eq(E(q, log_joint - log_q) + E(q, log_q - log_post), "expectation is linear; both parts are finite")
    .slip(
        "KL to p(x|z)",
        E(q, log_joint - log_q) + E(q, log_q - log_lik),
        "p(x|z) stands where the posterior p(z|x) belongs: Bayes' rule divides by p(z|x).",
        real="a published note, third term",
    )
    .slip("sign of log q", E(q, log_joint + log_q) + KL(q, post), "log q(z) was added, not subtracted, in the bound.")
    .eq(BOUND + KL(q, post), "definition of KL")
    .slip("KL swapped", BOUND + KL(post, q), "KL(p(z|x) || q): the expectation is under q.")
    .slip("minus KL", BOUND - KL(q, post), "the gap is subtracted: the evidence lies above the bound.")
    .slip("no KL", BOUND, "the gap is dropped: then this is a bound, not an equality.")
    .slip("KL to the prior", BOUND + KL(q, prior), "the gap is measured to the prior, not to the posterior.")
    .slip(
        "q of another observation",
        given("TODO", bound_under_another_q),
        "z is drawn from q(z|x') for another x' than the one in the integrand.",
        real="a published note: E under q(z|x) of an integrand at x(i)",
    )
)

F2 = (
    derive(
        "F2",
        "the bound, multiplying by q/q",
        CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY,
        source="Kingma and Welling 2014, equations (2)-(3)",
    )
    .start(log_evidence)
    .eq(E(q, log_evidence), "log p(x) does not depend on z")
    .eq(E(q, log_lik + log_prior - log_post), "Bayes' rule, at every z")
    .eq(E(q, log_lik + log_prior - log_post + log_q - log_q), "multiply by q(z)/q(z) inside the logarithm")
    .eq(E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_post), "sort into three expectations")
    .slip(
        "p(x|z) in the third term",
        E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_lik),
        "p(x|z) stands where the posterior p(z|x) belongs: Bayes' rule put p(z|x) into the denominator.",
        real="a published note, third term",
    )
    .eq(E(q, log_lik) - KL(q, prior) + KL(q, post), "definition of KL, twice")
    .slip(
        "plus KL to the prior",
        E(q, log_lik) + KL(q, prior) + KL(q, post),
        "the KL to the prior is added: it is a price, so it is subtracted.",
    )
    .slip(
        "minus KL to the posterior",
        E(q, log_lik) - KL(q, prior) - KL(q, post),
        "the gap is subtracted; the evidence lies above the bound.",
    )
    .slip(
        "expectation under the prior",
        E(prior, log_lik) - KL(q, prior) + KL(q, post),
        "z is drawn from the prior in the first term, not from q.",
    )
    .ge(E(q, log_lik) - KL(q, prior), "KL is never negative", gap=KL(q, post))
    .slip("a weaker bound", E(q, log_lik) - 2 * KL(q, prior), "the KL to the prior is counted twice.")
    .slip("an upper bound", says="the inequality is turned around.", relation="<=")
    .eq(
        tex(r"\mathbb{E}_{q}[\log p(x \mid z)] - \log\tfrac{1}{\sigma} - \tfrac12(\sigma^2 + \mu^2 - 1)"),
        "KL of Gaussians in closed form: this function trains a VAE",
    )
    .slip(
        "mean with the wrong sign",
        given("TODO", lambda w: E(q, log_lik).value(w) - kl_divergence(w.q, w.model.prior) + w.q.loc**2),
        "the mean enters the KL with the wrong sign: mu^2 makes KL larger.",
        real="a published note: 1 + ln sigma^2 + mu^2 - sigma^2",
    )
)

F3 = (
    derive(
        "F3",
        "the bound, by Jensen's inequality",
        either,
        assumptions="q(z) > 0 wherever p(x,z) > 0",
        source="Jordan et al. 1999; Burda et al. 2016, section 2",
    )
    .start(log_evidence)
    .eq(tex(r"\log \int p(x, z)\,dz"), "sum rule: the marginal of the joint")
    .eq(log_E(q, log_joint - log_q), "multiply and divide by q(z): an expectation under q")
    .slip("weight without 1/q", log_E(q, log_joint), "the joint was not divided by q(z): then this is no p(x).")
    .slip("no prior in the weight", log_E(q, log_lik - log_q), "the weight lacks the prior p(z).")
    .ge(BOUND, "Jensen: the logarithm is concave", gap=KL(q, post))
    .slip("Jensen turned around", says="Jensen is used for a convex function: log is concave.", relation="<=")
    .slip("strict equality", says="log and expectation were exchanged: that costs the gap.", relation="=")
    .slip("no prior in the bound", E(q, log_lik - log_q), "the bound lacks the prior p(z).")
    .eq(log_evidence - KL(q, post), "what Jensen loses is KL(q || p(z|x))")
    .slip("gap to the prior", log_evidence - KL(q, prior), "the gap is measured to the prior; it is KL(q || p(z|x)).")
    .slip("gap swapped", log_evidence - KL(post, q), "the gap is KL(p(z|x) || q); the expectation is under q.")
)


def expectation_of(integrand: Any) -> Any:
    """Value of E[log q] - E_q[integrand(log joint, log evidence)] for each q of a family."""

    def value(family: CurvedFamily) -> Estimate:
        results = []
        for w in family.members():
            evidence = w.model.log_evidence(w.x).value

            def inside(z: Any, w: CurvedWitness = w, evidence: float = evidence) -> Any:
                return density_times(w.q.log_prob(z), integrand(w.model.log_joint(w.x, z), evidence))

            results.append(E(q, log_q).value(w) - w.model.integrate(inside))
        return Estimate(np.array([r.value for r in results]), np.array([r.error for r in results]))

    return value


quotient_without_log = expectation_of(lambda log_joint, log_evidence: log_joint / np.exp(log_evidence))
quotient_of_logs = expectation_of(lambda log_joint, log_evidence: log_joint / log_evidence)

F4 = (
    derive(
        "F4",
        "the q nearest to the posterior",
        CurvedFamily.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; every expectation is under q",
        source="Blei, Kucukelbir and McAuliffe 2017, section 2.2",
    )
    .start(KL(q, post))
    .eq(E(q, log_q) - E(q, log_post), "definition of KL")
    .eq(E(q, log_q) - E(q, log_lik + log_prior - log_evidence), "Bayes' rule: the logarithm of a quotient")
    .slip(
        "logarithm of the numerator only",
        given("TODO", quotient_without_log),
        "the logarithm covers only the numerator p(x|z) p(z).",
        real="a published note: log p(x|z)p(z) over p(x)",
    )
    .eq(E(q, log_q) - E(q, log_joint - log_evidence), "product rule: p(x|z) p(z) = p(x,z)")
    .slip(
        "quotient of logarithms",
        given("TODO", quotient_of_logs),
        "log(a/b) became log a / log b; it is log a - log b.",
        real="a published note: log p(z,x) over log p(x)",
    )
    .eq(E(q, log_q) - E(q, log_joint) + E(q, log_evidence), "expectation is linear")
    .slip(
        "minus log p(x)",
        E(q, log_q) - E(q, log_joint) - E(q, log_evidence),
        "the minus in front of the bracket did not reach log p(x).",
        real="a published note",
    )
    .eq(E(q, log_q) - E(q, log_joint) + log_evidence, "log p(x) does not depend on z")
    .slip(
        "minus log p(x), constant",
        E(q, log_q) - E(q, log_joint) - log_evidence,
        "the sign of log p(x) is wrong: minus a minus is a plus.",
        real="a published note",
    )
    .same_argmin(E(q, log_q) - E(q, log_joint), "log p(x) does not depend on q either: the same q is best")
    .slip("equal after dropping log p(x)", says="log p(x) was dropped under an equals sign.", relation="=")
    .slip("entropy dropped too", -E(q, log_joint), "E[log q] was dropped: it depends on q.")
    .slip("posterior for joint", E(q, log_q) - E(q, log_lik), "the prior was dropped together with log p(x).")
    .eq(-BOUND, "the negative bound: nothing intractable is left")
)


# -------------------------------------------------------------------------------------------- gradients and forms, F5-F7


def gradient_in_q(term: Any) -> Any:
    """Central differences of a term in (mu, log sigma) of q, as a function of the witness and the step."""

    def moved(w: CurvedWitness, d_loc: float, d_log_scale: float) -> CurvedWitness:
        return replace(w, q=Normal(w.q.loc + d_loc, w.q.scale * np.exp(d_log_scale)))

    def value(w: CurvedWitness, h: float) -> Array:
        ends = [((h, 0.0), (-h, 0.0)), ((0.0, h), (0.0, -h))]
        return np.array(
            [(term.value(moved(w, *up)).value - term.value(moved(w, *down)).value) / (2 * h) for up, down in ends]
        )

    return value


def pathwise_gradient(w: CurvedWitness) -> Estimate:
    """d/d(mu, log sigma) of KL(q || p(z|x)) = E_q[(d/dz)(-log p(x, z)) (dz/dmu, dz/dlog sigma)] - (0, 1)."""
    m, c = w.model, w.model.noise_variance

    def integrand(z: Array) -> Array:
        slope = m.loading + m.curvature * z[:, None]  # f'(z), shape (n, d)
        score = z - ((w.x - m.decoder(z)) * slope).sum(axis=1) / c  # -(d/dz) log p(x, z)
        return density_times(
            w.q.log_prob(z)[:, None], score[:, None] * np.stack([np.ones_like(z), z - w.q.loc], axis=1)
        )

    return m.integrate(integrand) - np.array([0.0, 1.0])


F5 = (
    derive(
        "F5",
        "the gradients of gap and bound are opposite",
        CurvedWitness.draw,
        assumptions="p does not depend on the parameters of q",
        source="Blei et al. 2017, section 2.2",
    )
    .start(
        given(r"\nabla_{\mu, \log\sigma}\,\mathrm{KL}(q \,\Vert\, p(z \mid x))", gradient_in_q(KL(q, post))),
        step=2e-3,
        resolution=1e-4,
    )
    .eq(
        given(r"-\nabla_{\mu, \log\sigma}\,\mathbb{E}_{q}[\log p(x, z) - \log q(z)]", gradient_in_q(-BOUND)),
        "their sum, log p(x), does not depend on q",
        step=2e-3,
        resolution=1e-4,
    )
    .slip("same sign", given("TODO", gradient_in_q(BOUND)), "the minus is missing: raising the bound lowers the gap.")
    .slip(
        "bound without prior", given("TODO", gradient_in_q(-E(q, log_lik - log_q))), "the bound lacks the prior p(z)."
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[-\partial_z \log p(x, z)\,(1,\ z - \mu)\right] - (0, 1)"),
        "differentiate through z = mu + sigma eps",
        resolution=1e-4,
    )
    .slip(
        "entropy's gradient dropped",
        given("TODO", lambda w: pathwise_gradient(w) + np.array([0.0, 1.0])),
        "the entropy log sigma + const was not differentiated.",
    )
)

FREE_ENERGY = E(q, log_q) - E(q, log_joint)

F6 = (
    derive(
        "F6",
        "six forms of the bound",
        either,
        assumptions=ABSOLUTE_CONTINUITY,
        source="Kingma and Welling 2014, equations (2)-(3); Hoffman and Johnson 2016",
    )
    .start(E(q, log_lik) - KL(q, prior))
    .eq(E(q, log_joint) + H(q), "product rule; entropy H(q) = -E[log q]")
    .slip("minus entropy", E(q, log_joint) - H(q), "the entropy is subtracted: a broad q is rewarded.")
    .slip("double prior", E(q, log_joint) - KL(q, prior), "the prior is counted twice: the joint holds it already.")
    .eq(E(q, log_lik) - H(q, prior) + H(q), "KL = cross-entropy - entropy")
    .slip("plus cross-entropy", E(q, log_lik) + H(q, prior) + H(q), "the cross-entropy has the wrong sign.")
    .slip("KL twice", E(q, log_lik) - 2 * KL(q, prior), "the KL to the prior is subtracted twice.")
    .eq(log_evidence - KL(q, post), "F1")
    .slip("plus gap", log_evidence + KL(q, post), "the gap is added: the bound lies below the evidence.")
    .eq(-FREE_ENERGY, "the variational free energy is F = E[log q] - E[log p(x,z)]")
    .slip(
        "sign of the free energy", FREE_ENERGY, "the free energy was not negated: it is minimized, the bound maximized."
    )
    .eq(
        given(
            r"-\mathrm{KL}(q \,\Vert\, p(x, \cdot))",
            lambda w: w.model.integrate(
                lambda z: density_times(w.q.log_prob(z), w.model.log_joint(w.x, z) - w.q.log_prob(z))
            ),
        ),
        "KL to p(x, z), which is no density in z: any sign",
    )
    .eq(
        given(r"\text{as summed by } \mathtt{vaelib.elbo}", lambda w: bound_terms(w.model, w.x, w.q).elbo),
        "the same terms by the package's function",
    )
)


def log_weight(w: LinearPoints, q: Any) -> Array:
    """log p(x, z) - log q(z) at the points."""
    return w.model.log_joint(w.x, w.z) - q.log_prob(w.z)


def least_squares(w: LinearPoints) -> MultivariateNormal:
    """The posterior's covariance around the least-squares z, which forgets the prior."""
    loc, *_ = np.linalg.lstsq(w.model.loading, w.x - w.model.offset, rcond=None)
    return MultivariateNormal(loc, w.model.posterior(w.x).covariance)


def diagonal_only(w: LinearPoints) -> DiagonalNormal:
    posterior = w.model.posterior(w.x)
    return DiagonalNormal(posterior.loc, np.sqrt(np.diag(posterior.covariance)))


F7 = (
    derive(
        "F7",
        "tightness: at the posterior the weight is constant",
        LinearPoints.draw,
        assumptions="q is the exact posterior",
        source="Neal and Hinton 1998, lemma 1",
    )
    .start(tex(r"\log p(x)"))
    .eq(tex(r"\log p(x, z) - \log q(z) \quad \forall z,\ q(z) = p(z \mid x)"), "Bayes' rule: p(x,z) / p(z|x) = p(x)")
    .slip(
        "diagonal of the posterior",
        given("TODO", lambda w: log_weight(w, diagonal_only(w))),
        "the correlations of the posterior were dropped.",
    )
    .slip(
        "covariance without noise",
        given(
            "TODO",
            lambda w: log_weight(
                w,
                MultivariateNormal(
                    w.model.posterior(w.x).loc, w.model.posterior(w.x).covariance / w.model.noise_variance
                ),
            ),
        ),
        "the posterior covariance lacks the factor c.",
    )
    .slip(
        "least-squares mean",
        given("TODO", lambda w: log_weight(w, least_squares(w))),
        "the mean is the least-squares fit: the prior shrinks it.",
    )
    .eq(
        given(r"\mathcal{L}(q)", lambda w: w.model.elbo(w.x, w.model.posterior(w.x))),
        "the mean of a constant: the bound is the evidence",
    )
    .slip(
        "mean-field posterior",
        given("TODO", lambda w: w.model.elbo(w.x, diagonal_only(w))),
        "the correlations of the posterior were dropped.",
    )
)


# ------------------------------------------------------------------------------------------- linear-Gaussian, F8 and F9


def expected_square(w: LinearWitness) -> float:
    """||x - W m - b||^2."""
    return float(np.sum((w.x - w.model.loading @ w.q.loc - w.model.offset) ** 2))


def spread(w: LinearWitness) -> float:
    """tr(W S W^T)."""
    return float(np.trace(w.model.loading @ w.q.covariance @ w.model.loading.T))


def normalizer(w: LinearWitness) -> float:
    """-d/2 log(2 pi c)."""
    return -w.model.data_dim / 2 * float(LOG_2PI + np.log(w.model.noise_variance))


def by_gauss_hermite(f: Any) -> Any:
    """E_q[f(w, z)] on the product grid: exact, because the integrand is quadratic in z."""
    return lambda w: gauss_hermite_multivariate(lambda z: f(w, z), w.q.loc, np.linalg.cholesky(w.q.covariance))


def sampled_log_likelihood(w: LinearWitness, rng: Rng, n: int) -> Array:
    z = w.q.transform(rng.standard_normal((n, w.model.latent_dim)))
    return w.model.log_likelihood(w.x, z)


def closed_log_likelihood(w: LinearWitness) -> float:
    return normalizer(w) - (expected_square(w) + spread(w)) / (2 * w.model.noise_variance)


F8 = (
    derive(
        "F8",
        "expected log-likelihood of a linear decoder",
        LinearWitness.draw,
        assumptions="x | z ~ N(W z + b, c I), q = N(m, S)",
        source="Lucas et al. 2019, appendix; moments of a Gaussian",
    )
    .start(tex(r"\mathbb{E}_{N(m, S)}\left[\log N(x; W z + b, c I)\right]"))
    .eq(
        tex(r"-\tfrac{d}{2}\log 2\pi c - \frac{\|x - W m - b\|^2 + \mathrm{tr}(W S W^\top)}{2c}"),
        "E||u||^2 = ||E u||^2 + tr Cov u for u = x - W z - b",
    )
    .slip(
        "plug in the mean",
        given("TODO", lambda w: normalizer(w) - expected_square(w) / (2 * w.model.noise_variance)),
        "the mean of q was put into the decoder: the spread of q costs too.",
    )
    .slip(
        "c squared",
        given("TODO", lambda w: normalizer(w) - (expected_square(w) + spread(w)) / (2 * w.model.noise_variance**2)),
        "c was taken for a standard deviation.",
    )
    .slip(
        "no one half",
        given("TODO", lambda w: normalizer(w) - (expected_square(w) + spread(w)) / w.model.noise_variance),
        "the factor 1/2 of the exponent is missing.",
    )
    .slip(
        "mean over the data dimensions",
        given(
            "TODO",
            lambda w: (
                normalizer(w) - (expected_square(w) + spread(w)) / (2 * w.model.noise_variance * w.model.data_dim)
            ),
        ),
        "the square was averaged over d instead of summed.",
    )
    .slip(
        "no constant",
        given("TODO", lambda w: closed_log_likelihood(w) - normalizer(w)),
        "-d/2 log(2 pi c) was dropped.",
    )
    .slip(
        "constant once, not d times",
        given("TODO", lambda w: closed_log_likelihood(w) - normalizer(w) * (1 - 1 / w.model.data_dim)),
        "the constant was counted for one dimension only.",
    )
    .slip(
        "trace of S only",
        given(
            "TODO",
            lambda w: normalizer(w) - (expected_square(w) + np.trace(w.q.covariance)) / (2 * w.model.noise_variance),
        ),
        "the loading is missing in the trace: tr(W S W^T).",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{LinearGaussian}", lambda w: w.model.expected_log_likelihood(w.x, w.q)),
        "the same formula in the package",
    )
    .eq(
        sampled(r"\frac1n \sum_i \log p(x \mid m + L\varepsilon_i)", sampled_log_likelihood),
        "a sample mean; quadratic in a Gaussian: finite variance",
        num_samples=40_000,
    )
    .slip(
        "samples at the mean",
        sampled(
            "TODO",
            lambda w, rng, n: w.model.log_likelihood(w.x, w.q.loc + 0.1 * rng.standard_normal((n, w.model.latent_dim))),
        ),
        "the noise was not scaled: z is the mean in every sample.",
    )
    .slip(
        "covariance for its Cholesky factor",
        sampled(
            "TODO",
            lambda w, rng, n: w.model.log_likelihood(
                w.x, w.q.loc + rng.standard_normal((n, w.model.latent_dim)) @ w.q.covariance
            ),
        ),
        "the noise was multiplied by S; it is L with S = L L^T that gives samples the covariance S.",
    )
)


def kl_to_standard(w: LinearWitness, *, beta: float = 1.0, log_det: float = 1.0, mean: float = 1.0) -> float:
    """beta/2 [tr S + mean ||m||^2 - k - log_det log|S|]; with the defaults KL(N(m, S) || N(0, I))."""
    trace, square = np.trace(w.q.covariance), np.sum(w.q.loc**2)
    log_volume = np.linalg.slogdet(w.q.covariance)[1]
    return beta * 0.5 * float(trace + mean * square - w.model.latent_dim - log_det * log_volume)


F9 = (
    derive(
        "F9",
        "the whole bound of a linear-Gaussian model",
        LinearWitness.draw,
        assumptions="x | z ~ N(W z + b, c I), z ~ N(0, I), q = N(m, S)",
        source="Lucas et al. 2019, equation (6)",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]"))
    .eq(
        tex(r"\mathbb{E}_{q}[\log p(x \mid z)] - \tfrac12\left[\mathrm{tr}\,S + \|m\|^2 - k - \log|S|\right]"),
        "F8, and the KL to N(0, I) with a full covariance (E4)",
    )
    .slip(
        "beta = 2",
        given("TODO", lambda w: closed_log_likelihood(w) - kl_to_standard(w, beta=2)),
        "the KL is weighted twice.",
    )
    .slip("plus KL", given("TODO", lambda w: closed_log_likelihood(w) + kl_to_standard(w)), "the KL is added.")
    .slip(
        "no log-determinant",
        given("TODO", lambda w: closed_log_likelihood(w) - kl_to_standard(w, log_det=0)),
        "log|S| is missing: without it q may shrink for free.",
    )
    .slip(
        "sign of the mean",
        given("TODO", lambda w: closed_log_likelihood(w) - kl_to_standard(w, mean=-1)),
        "||m||^2 has the wrong sign.",
        real="a published note, for diagonal S",
    )
    .slip(
        "diagonal log-determinant",
        given(
            "TODO",
            lambda w: (
                closed_log_likelihood(w)
                - kl_to_standard(w)
                - 0.5 * float(np.linalg.slogdet(w.q.covariance)[1] - np.log(np.diag(w.q.covariance)).sum())
            ),
        ),
        "log|S| was taken from the diagonal of S only.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{LinearGaussian.elbo}", lambda w: w.model.elbo(w.x, w.q)),
        "the same in the package",
    )
    .eq(tex(r"\log p(x) - \mathrm{KL}(N(m, S) \,\Vert\, p(z \mid x))"), "F1, with the exact evidence and posterior")
    .le(tex(r"\log p(x)"), "KL is never negative", gap=lambda w: kl_divergence(w.q, w.model.posterior(w.x)))
    .slip("lower than the bound", says="the evidence was put below its lower bound.", relation=">=")
)


# ---------------------------------------------------------------------------------- the losses people write, F10 to F12


def squared_error(w: CurvedWitness) -> Estimate:
    """E_q ||x - f(z)||^2, summed over the d data dimensions."""
    return w.model.integrate(lambda z: density_times(w.q.log_prob(z), ((w.x - w.model.decoder(z)) ** 2).sum(axis=-1)))


def scaled_loss(beta: Any, over: Any = lambda m: 2 * m.noise_variance, per_dimension: bool = False) -> Any:
    """-(squared error + beta KL) / (2 c) for each q of a family; beta and the divisor are functions of the model."""

    def value(family: CurvedFamily) -> Estimate:
        results = []
        for w in family.members():
            error = squared_error(w) / (w.model.data_dim if per_dimension else 1)
            results.append(-(error + beta(w.model) * kl_divergence(w.q, w.model.prior)) / over(w.model))
        return Estimate(np.array([r.value for r in results]), np.array([r.error for r in results]))

    return value


F10 = (
    derive(
        "F10",
        "squared error + beta KL is a bound with noise c = beta / 2",
        CurvedFamily.draw,
        assumptions="x | z ~ N(f(z), c I), c the same for every x and z",
        source="Higgins et al. 2017; Rybkin, Daniilidis and Levine 2021",
    )
    .start(E(q, log_lik) - KL(q, prior))
    .eq(
        tex(
            r"-\tfrac{d}{2}\log 2\pi c - \tfrac{1}{2c}\left(\mathbb{E}_{q}\|x - f(z)\|^2 + 2c\,\mathrm{KL}(q \,\Vert\, p(z))\right)"
        ),
        "the logarithm of a Gaussian density, summed over d",
    )
    .slip(
        "constant dropped under =",
        given("TODO", scaled_loss(lambda m: 2 * m.noise_variance)),
        "-d/2 log(2 pi c) was dropped under an equals sign.",
    )
    .same_argmax(
        tex(
            r"-\tfrac{1}{2c}\left(\mathbb{E}_{q}\|x - f(z)\|^2 + \beta\,\mathrm{KL}(q \,\Vert\, p(z))\right),\ \beta = 2c"
        ),
        "the constant does not move the best q",
    )
    .slip(
        "beta = c",
        given("TODO", scaled_loss(lambda m: m.noise_variance)),
        "beta was taken to be c; the 1/2 in the exponent makes it 2 c.",
    )
    .slip(
        "plain MSE + KL",
        given("TODO", scaled_loss(lambda m: 1.0)),
        "squared error and KL are added with weight one: that is c = 1/2.",
    )
    .slip(
        "mean over pixels",
        given("TODO", scaled_loss(lambda m: 2 * m.noise_variance, per_dimension=True)),
        "the squared error was averaged over d: the KL then weighs d times as much.",
    )
    .slip(
        "beta = 2 c^2",
        given("TODO", scaled_loss(lambda m: 2 * m.noise_variance**2)),
        "c was taken for a standard deviation.",
    )
)


def cross_entropy_bound(
    w: BernoulliWitness, *, x: Array | None = None, sign: float = 1.0, average: bool = False, at_mean: bool = False
) -> Estimate:
    """E_q sum_j [x_j a_j - softplus(a_j)] - KL(q || p(z)) + KL(q || p(z|x)), spelled out; the keywords make its slips."""
    x = w.x if x is None else x

    def log_likelihood(z: Any) -> Any:
        a = w.model.logits(z)
        per_pixel = x * a - np.logaddexp(0, a)
        return sign * (per_pixel.mean(axis=-1) if average else per_pixel.sum(axis=-1))

    if at_mean:
        expected = Estimate(log_likelihood(w.q.loc))
    else:
        expected = w.model.integrate(lambda z: density_times(w.q.log_prob(z), log_likelihood(z)))
    return expected - kl_divergence(w.q, w.model.prior) + KL(q, post).value(w)


def expected_bce(w: BernoulliWitness) -> Estimate:
    """E_q sum_j [-x_j log s_j - (1 - x_j) log(1 - s_j)] with s_j = sigmoid(a_j): binary cross-entropy as it is taught."""

    def bce(z: Any) -> Any:
        s = expit(w.model.logits(z))
        return -(np.where(w.x == 1, np.log(s), np.log1p(-s))).sum(axis=-1)

    return w.model.integrate(lambda z: density_times(w.q.log_prob(z), np.where(np.isfinite(bce(z)), bce(z), 0.0)))


F11 = (
    derive(
        "F11",
        "Bernoulli decoder: the log-likelihood is minus the summed cross-entropy",
        BernoulliWitness.draw,
        assumptions="x in {0, 1}^d, pixels independent given z",
        source="Kingma and Welling 2014, appendix C.1",
    )
    .start(log_evidence)
    .eq(E(q, log_lik) - KL(q, prior) + KL(q, post), "F2")
    .eq(
        tex(
            r"\mathbb{E}_{q}\left[\sum_j \left(x_j a_j - \mathrm{softplus}(a_j)\right)\right] - \mathrm{KL}(q \,\Vert\, p(z)) + \mathrm{KL}(q \,\Vert\, p(z \mid x))"
        ),
        "log Be(x; sigmoid(a)) = x a - softplus(a), over pixels",
    )
    .slip(
        "mean over pixels",
        given("TODO", lambda w: cross_entropy_bound(w, average=True)),
        "the log-likelihood was averaged over pixels: the KL then weighs d times as much.",
    )
    .slip(
        "sign of the cross-entropy",
        given("TODO", lambda w: cross_entropy_bound(w, sign=-1.0)),
        "the cross-entropy was added, not subtracted.",
    )
    .slip(
        "black and white exchanged",
        given("TODO", lambda w: cross_entropy_bound(w, x=1 - w.x)),
        "x and 1 - x are exchanged.",
    )
    .slip(
        "decoder at the mean",
        given("TODO", lambda w: cross_entropy_bound(w, at_mean=True)),
        "the decoder was evaluated at the mean of q only.",
    )
    .eq(
        given(
            r"-\mathbb{E}_{q}\left[\mathrm{BCE}\right] - \mathrm{KL}(q \,\Vert\, p(z)) + \mathrm{KL}(q \,\Vert\, p(z \mid x))",
            lambda w: -expected_bce(w) - kl_divergence(w.q, w.model.prior) + KL(q, post).value(w),
        ),
        "binary cross-entropy is minus the log-likelihood",
    )
    .slip(
        "cross-entropy added",
        given("TODO", lambda w: expected_bce(w) - kl_divergence(w.q, w.model.prior) + KL(q, post).value(w)),
        "the cross-entropy was added, not subtracted.",
    )
)


@dataclass(frozen=True)
class DataSet:
    """A linear-Gaussian model, N = 7 observations with a q for each, and minibatches of M = 3."""

    model: LinearGaussian
    x: Array  # (N, d)
    loc: Array  # (N, k)
    scale: Array  # (N, k)
    batch_size: int = 3

    @classmethod
    def draw(cls, rng: Rng) -> DataSet:
        w = LinearWitness.draw(rng)
        _, x = w.model.sample(7, rng=rng)
        return cls(w.model, x, away_from_zero(rng, 0.3, 1.2, (7, 2)), generic_scale(rng, (7, 2)))

    @property
    def log_likelihood(self) -> Array:
        """E_q[log p(x_i | z)], shape (N,)."""
        return self.model.expected_log_likelihood(self.x, DiagonalNormal(self.loc, self.scale))

    @property
    def kl(self) -> Array:
        """KL(q_i || p(z)), shape (N,)."""
        return kl_divergence(DiagonalNormal(self.loc, self.scale), self.model.prior)


def over_batches(batch_value: Any) -> Any:
    """Mean over all C(7, 3) = 35 equally likely batches of batch_value(terms of the batch, N, M)."""

    def value(w: DataSet) -> float:
        n, m = len(w.x), w.batch_size
        batches = (np.array(indices) for indices in combinations(range(n), m))
        return float(np.mean([batch_value(w.log_likelihood[b], w.kl[b], n, m) for b in batches]))

    return value


def sampled_batches(w: DataSet, rng: Rng, n: int) -> Array:
    bounds = elbo(w.log_likelihood, w.kl)
    batches = rng.permuted(np.tile(np.arange(len(w.x)), (n, 1)), axis=1)[:, : w.batch_size]
    return len(w.x) / w.batch_size * bounds[batches].sum(axis=1)


F12 = (
    derive(
        "F12",
        "data set and minibatch",
        DataSet.draw,
        assumptions="x_1, ..., x_N independent; the batch uniform without replacement",
        source="Kingma and Welling 2014, equation (8)",
    )
    .start(given(r"\sum_{i=1}^{N} \mathcal{L}_i", lambda w: np.sum(w.model.elbo(w.x, DiagonalNormal(w.loc, w.scale)))))
    .eq(
        given(
            r"\mathbb{E}_{B}\left[\tfrac{N}{M} \sum_{i \in B} \mathcal{L}_i\right]",
            over_batches(lambda ll, kl, n, m: n / m * np.sum(elbo(ll, kl))),
        ),
        "each example is in a share M/N of the batches",
    )
    .slip(
        "no N/M",
        given("TODO", over_batches(lambda ll, kl, n, m: np.sum(ll - kl))),
        "the batch sum was not scaled to the data set.",
    )
    .slip(
        "M/N", given("TODO", over_batches(lambda ll, kl, n, m: m / n * np.sum(ll - kl))), "the factor is upside down."
    )
    .slip(
        "1/M",
        given("TODO", over_batches(lambda ll, kl, n, m: np.sum(ll - kl) / m)),
        "a mean per example stands for the sum over the data set.",
    )
    .slip(
        "KL not scaled",
        given("TODO", over_batches(lambda ll, kl, n, m: n / m * np.sum(ll) - np.sum(kl))),
        "only the log-likelihood was scaled by N/M: the KL then counts too little.",
    )
    .eq(
        sampled(r"\tfrac{N}{M} \sum_{i \in B} \mathcal{L}_i \text{ on random batches}", sampled_batches),
        "a sample mean over batches: 35 values, finite variance",
        num_samples=20_000,
    )
    .slip(
        "mean per example",
        sampled("TODO", lambda w, rng, n: sampled_batches(w, rng, n) / len(w.x)),
        "a mean per example stands for the sum over the data set.",
    )
)

CHAPTER = (F1, F2, F3, F4, F5, F6, F7, F8, F9, F10, F11, F12)
