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

from vaelib.derivation import GENERIC, Derivation, Line, Slip
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.elbo import bound_terms, density_times, elbo
from vaelib.estimate import Estimate
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


F1 = Derivation(
    "F1",
    "evidence = bound + KL to the posterior",
    draw=CurvedWitness.draw,
    assumptions=ABSOLUTE_CONTINUITY,
    source="Kingma and Welling 2014, equation (1); Jordan et al. 1999",
    lines=(
        Line(log_evidence),
        Line(E(q, log_evidence), reason="q integrates to one, and log p(x) does not depend on z"),
        Line(E(q, log_joint - log_post), reason="Bayes' rule, true at every z: p(x) = p(x,z) / p(z|x)"),
        Line(E(q, log_joint - log_q + log_q - log_post), reason="add and subtract log q(z)"),
        Line(E(q, log_joint - log_q) + E(q, log_q - log_post), reason="expectation is linear; both parts are finite"),
        Line(BOUND + KL(q, post), reason="definition of KL"),
    ),
    slips=(
        Slip(
            2,
            "no prior in the joint",
            "It looks like the prior is missing: p(x,z) = p(x|z) p(z).",
            E(q, log_lik - log_post),
        ),
        Slip(
            4,
            "KL to p(x|z)",
            "It looks like p(x|z) stands where the posterior p(z|x) belongs: Bayes' rule divides by p(z|x).",
            E(q, log_joint - log_q) + E(q, log_q - log_lik),
            real="a published note, third term",
        ),
        Slip(
            4,
            "sign of log q",
            "It looks like log q(z) was added, not subtracted, in the bound.",
            E(q, log_joint + log_q) + KL(q, post),
        ),
        Slip(5, "KL swapped", "It looks like KL(p(z|x) || q): the expectation is under q.", BOUND + KL(post, q)),
        Slip(
            5,
            "minus KL",
            "It looks like the gap is subtracted: the evidence lies above the bound.",
            BOUND - KL(q, post),
        ),
        Slip(5, "no KL", "It looks like the gap is dropped: then this is a bound, not an equality.", BOUND),
        Slip(
            5,
            "KL to the prior",
            "It looks like the gap is measured to the prior, not to the posterior.",
            BOUND + KL(q, prior),
        ),
        Slip(
            5,
            "q of another observation",
            "It looks like z is drawn from q(z|x') for another x' than the one in the integrand.",
            bound_under_another_q,
            real="a published note: E under q(z|x) of an integrand at x(i)",
        ),
    ),
)

F2 = Derivation(
    "F2",
    "the bound, multiplying by q/q",
    draw=CurvedWitness.draw,
    assumptions=ABSOLUTE_CONTINUITY,
    source="Kingma and Welling 2014, equations (2)-(3)",
    lines=(
        Line(log_evidence),
        Line(E(q, log_evidence), reason="log p(x) does not depend on z"),
        Line(E(q, log_lik + log_prior - log_post), reason="Bayes' rule, at every z"),
        Line(E(q, log_lik + log_prior - log_post + log_q - log_q), reason="multiply by q(z)/q(z) inside the logarithm"),
        Line(E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_post), reason="sort into three expectations"),
        Line(E(q, log_lik) - KL(q, prior) + KL(q, post), reason="definition of KL, twice"),
        Line(E(q, log_lik) - KL(q, prior), reason="KL is never negative", relation=">=", gap=KL(q, post)),
        Line(
            r"\mathbb{E}_{q}[\log p(x \mid z)] - \log\tfrac{1}{\sigma} - \tfrac12(\sigma^2 + \mu^2 - 1)",
            lambda w: elbo(E(q, log_lik).value(w), kl_divergence(w.q, w.model.prior)),
            reason="KL of Gaussians in closed form: this function trains a VAE",
        ),
    ),
    slips=(
        Slip(
            4,
            "p(x|z) in the third term",
            "It looks like p(x|z) stands where the posterior p(z|x) belongs: Bayes' rule put p(z|x) into the denominator.",
            E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_lik),
            real="a published note, third term",
        ),
        Slip(
            5,
            "plus KL to the prior",
            "It looks like the KL to the prior is added: it is a price, so it is subtracted.",
            E(q, log_lik) + KL(q, prior) + KL(q, post),
        ),
        Slip(
            5,
            "minus KL to the posterior",
            "It looks like the gap is subtracted; the evidence lies above the bound.",
            E(q, log_lik) - KL(q, prior) - KL(q, post),
        ),
        Slip(
            5,
            "expectation under the prior",
            "It looks like z is drawn from the prior in the first term, not from q.",
            E(prior, log_lik) - KL(q, prior) + KL(q, post),
        ),
        Slip(
            6, "a weaker bound", "It looks like the KL to the prior is counted twice.", E(q, log_lik) - 2 * KL(q, prior)
        ),
        Slip(6, "an upper bound", "It looks like the inequality is turned around.", relation="<="),
        Slip(
            7,
            "mean with the wrong sign",
            "It looks like the mean enters the KL with the wrong sign: mu^2 makes KL larger.",
            lambda w: E(q, log_lik).value(w) - kl_divergence(w.q, w.model.prior) + w.q.loc**2,
            real="a published note: 1 + ln sigma^2 + mu^2 - sigma^2",
        ),
    ),
)

F3 = Derivation(
    "F3",
    "the bound, by Jensen's inequality",
    draw=either,
    assumptions="q(z) > 0 wherever p(x,z) > 0",
    source="Jordan et al. 1999; Burda et al. 2016, section 2",
    lines=(
        Line(log_evidence),
        Line(
            r"\log \int p(x, z)\,dz",
            lambda w: w.model.integrate(lambda z: np.exp(w.model.log_joint(w.x, z))).log(),
            reason="sum rule: the marginal of the joint",
        ),
        Line(log_E(q, log_joint - log_q), reason="multiply and divide by q(z): an expectation under q"),
        Line(BOUND, reason="Jensen: the logarithm is concave", relation=">=", gap=KL(q, post)),
        Line(log_evidence - KL(q, post), reason="what Jensen loses is KL(q || p(z|x))"),
    ),
    slips=(
        Slip(
            2,
            "weight without 1/q",
            "It looks like the joint was not divided by q(z): then this is no p(x).",
            log_E(q, log_joint),
        ),
        Slip(2, "no prior in the weight", "It looks like the weight lacks the prior p(z).", log_E(q, log_lik - log_q)),
        Slip(
            3,
            "Jensen turned around",
            "It looks like Jensen is used for a convex function: log is concave.",
            relation="<=",
        ),
        Slip(
            3, "strict equality", "It looks like log and expectation were exchanged: that costs the gap.", relation="="
        ),
        Slip(3, "no prior in the bound", "It looks like the bound lacks the prior p(z).", E(q, log_lik - log_q)),
        Slip(
            4,
            "gap to the prior",
            "It looks like the gap is measured to the prior; it is KL(q || p(z|x)).",
            log_evidence - KL(q, prior),
        ),
        Slip(
            4,
            "gap swapped",
            "It looks like the gap is KL(p(z|x) || q); the expectation is under q.",
            log_evidence - KL(post, q),
        ),
    ),
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

F4 = Derivation(
    "F4",
    "the q nearest to the posterior",
    draw=CurvedFamily.draw,
    assumptions=ABSOLUTE_CONTINUITY + "; every expectation is under q",
    source="Blei, Kucukelbir and McAuliffe 2017, section 2.2",
    lines=(
        Line(KL(q, post)),
        Line(E(q, log_q) - E(q, log_post), reason="definition of KL"),
        Line(E(q, log_q) - E(q, log_lik + log_prior - log_evidence), reason="Bayes' rule: the logarithm of a quotient"),
        Line(E(q, log_q) - E(q, log_joint - log_evidence), reason="product rule: p(x|z) p(z) = p(x,z)"),
        Line(E(q, log_q) - E(q, log_joint) + E(q, log_evidence), reason="expectation is linear"),
        Line(E(q, log_q) - E(q, log_joint) + log_evidence, reason="log p(x) does not depend on z"),
        Line(
            E(q, log_q) - E(q, log_joint),
            reason="log p(x) does not depend on q either: the same q is best",
            relation="same_argmin",
        ),
        Line(-BOUND, reason="the negative bound: nothing intractable is left"),
    ),
    slips=(
        Slip(
            2,
            "logarithm of the numerator only",
            "It looks like the logarithm covers only the numerator p(x|z) p(z).",
            quotient_without_log,
            real="a published note: log p(x|z)p(z) over p(x)",
        ),
        Slip(
            3,
            "quotient of logarithms",
            "It looks like log(a/b) became log a / log b; it is log a - log b.",
            quotient_of_logs,
            real="a published note: log p(z,x) over log p(x)",
        ),
        Slip(
            4,
            "minus log p(x)",
            "It looks like the minus in front of the bracket did not reach log p(x).",
            E(q, log_q) - E(q, log_joint) - E(q, log_evidence),
            real="a published note",
        ),
        Slip(
            5,
            "minus log p(x), constant",
            "It looks like the sign of log p(x) is wrong: minus a minus is a plus.",
            E(q, log_q) - E(q, log_joint) - log_evidence,
            real="a published note",
        ),
        Slip(
            6, "equal after dropping log p(x)", "It looks like log p(x) was dropped under an equals sign.", relation="="
        ),
        Slip(6, "entropy dropped too", "It looks like E[log q] was dropped: it depends on q.", -E(q, log_joint)),
        Slip(
            6,
            "posterior for joint",
            "It looks like the prior was dropped together with log p(x).",
            E(q, log_q) - E(q, log_lik),
        ),
    ),
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


F5 = Derivation(
    "F5",
    "the gradients of gap and bound are opposite",
    draw=CurvedWitness.draw,
    assumptions="p does not depend on the parameters of q",
    source="Blei et al. 2017, section 2.2",
    lines=(
        Line(
            r"\nabla_{\mu, \log\sigma}\,\mathrm{KL}(q \,\Vert\, p(z \mid x))",
            gradient_in_q(KL(q, post)),
            step=2e-3,
            resolution=1e-4,
        ),
        Line(
            r"-\nabla_{\mu, \log\sigma}\,\mathbb{E}_{q}[\log p(x, z) - \log q(z)]",
            gradient_in_q(-BOUND),
            reason="their sum, log p(x), does not depend on q",
            step=2e-3,
            resolution=1e-4,
        ),
        Line(
            r"\mathbb{E}_{q}\left[-\partial_z \log p(x, z)\,(1,\ z - \mu)\right] - (0, 1)",
            pathwise_gradient,
            reason="differentiate through z = mu + sigma eps",
            resolution=1e-4,
        ),
    ),
    slips=(
        Slip(
            1,
            "same sign",
            "It looks like the minus is missing: raising the bound lowers the gap.",
            gradient_in_q(BOUND),
        ),
        Slip(
            1,
            "bound without prior",
            "It looks like the bound lacks the prior p(z).",
            gradient_in_q(-E(q, log_lik - log_q)),
        ),
        Slip(
            2,
            "entropy's gradient dropped",
            "It looks like the entropy log sigma + const was not differentiated.",
            lambda w: pathwise_gradient(w) + np.array([0.0, 1.0]),
        ),
    ),
)

FREE_ENERGY = E(q, log_q) - E(q, log_joint)

F6 = Derivation(
    "F6",
    "six forms of the bound",
    draw=either,
    assumptions=ABSOLUTE_CONTINUITY,
    source="Kingma and Welling 2014, equations (2)-(3); Hoffman and Johnson 2016",
    lines=(
        Line(E(q, log_lik) - KL(q, prior)),
        Line(E(q, log_joint) + H(q), reason="product rule; entropy H(q) = -E[log q]"),
        Line(E(q, log_lik) - H(q, prior) + H(q), reason="KL = cross-entropy - entropy"),
        Line(log_evidence - KL(q, post), reason="F1"),
        Line(-FREE_ENERGY, reason="the variational free energy is F = E[log q] - E[log p(x,z)]"),
        Line(
            r"-\mathrm{KL}(q \,\Vert\, p(x, \cdot))",
            lambda w: w.model.integrate(
                lambda z: density_times(w.q.log_prob(z), w.model.log_joint(w.x, z) - w.q.log_prob(z))
            ),
            reason="KL to p(x, z), which is no density in z: any sign",
        ),
        Line(
            r"\text{as summed by } \mathtt{vaelib.elbo}",
            lambda w: bound_terms(w.model, w.x, w.q).elbo,
            reason="the same terms by the package's function",
        ),
    ),
    slips=(
        Slip(
            1,
            "minus entropy",
            "It looks like the entropy is subtracted: a broad q is rewarded.",
            E(q, log_joint) - H(q),
        ),
        Slip(
            1,
            "double prior",
            "It looks like the prior is counted twice: the joint holds it already.",
            E(q, log_joint) - KL(q, prior),
        ),
        Slip(
            2,
            "plus cross-entropy",
            "It looks like the cross-entropy has the wrong sign.",
            E(q, log_lik) + H(q, prior) + H(q),
        ),
        Slip(2, "KL twice", "It looks like the KL to the prior is subtracted twice.", E(q, log_lik) - 2 * KL(q, prior)),
        Slip(
            3,
            "plus gap",
            "It looks like the gap is added: the bound lies below the evidence.",
            log_evidence + KL(q, post),
        ),
        Slip(
            4,
            "sign of the free energy",
            "It looks like the free energy was not negated: it is minimized, the bound maximized.",
            FREE_ENERGY,
        ),
    ),
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


F7 = Derivation(
    "F7",
    "tightness: at the posterior the weight is constant",
    draw=LinearPoints.draw,
    assumptions="q is the exact posterior",
    source="Neal and Hinton 1998, lemma 1",
    lines=(
        Line(r"\log p(x)", lambda w: np.full(len(w.z), w.model.log_evidence(w.x))),
        Line(
            r"\log p(x, z) - \log q(z) \quad \forall z,\ q(z) = p(z \mid x)",
            lambda w: log_weight(w, w.model.posterior(w.x)),
            reason="Bayes' rule: p(x,z) / p(z|x) = p(x)",
        ),
        Line(
            r"\mathcal{L}(q)",
            lambda w: w.model.elbo(w.x, w.model.posterior(w.x)),
            reason="the mean of a constant: the bound is the evidence",
        ),
    ),
    slips=(
        Slip(
            1,
            "diagonal of the posterior",
            "It looks like the correlations of the posterior were dropped.",
            lambda w: log_weight(w, diagonal_only(w)),
        ),
        Slip(
            1,
            "covariance without noise",
            "It looks like the posterior covariance lacks the factor c.",
            lambda w: log_weight(
                w,
                MultivariateNormal(
                    w.model.posterior(w.x).loc, w.model.posterior(w.x).covariance / w.model.noise_variance
                ),
            ),
        ),
        Slip(
            1,
            "least-squares mean",
            "It looks like the mean is the least-squares fit: the prior shrinks it.",
            lambda w: log_weight(w, least_squares(w)),
        ),
        Slip(
            2,
            "mean-field posterior",
            "It looks like the correlations of the posterior were dropped.",
            lambda w: w.model.elbo(w.x, diagonal_only(w)),
        ),
    ),
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


F8 = Derivation(
    "F8",
    "expected log-likelihood of a linear decoder",
    draw=LinearWitness.draw,
    assumptions="x | z ~ N(W z + b, c I), q = N(m, S)",
    source="Lucas et al. 2019, appendix; moments of a Gaussian",
    lines=(
        Line(
            r"\mathbb{E}_{N(m, S)}\left[\log N(x; W z + b, c I)\right]",
            by_gauss_hermite(lambda w, z: w.model.log_likelihood(w.x, z)),
        ),
        Line(
            r"-\tfrac{d}{2}\log 2\pi c - \frac{\|x - W m - b\|^2 + \mathrm{tr}(W S W^\top)}{2c}",
            closed_log_likelihood,
            reason="E||u||^2 = ||E u||^2 + tr Cov u for u = x - W z - b",
        ),
        Line(
            r"\text{as computed by } \mathtt{LinearGaussian}",
            lambda w: w.model.expected_log_likelihood(w.x, w.q),
            reason="the same formula in the package",
        ),
        Line(
            r"\frac1n \sum_i \log p(x \mid m + L\varepsilon_i)",
            reason="a sample mean; quadratic in a Gaussian: finite variance",
            samples=sampled_log_likelihood,
            num_samples=40_000,
        ),
    ),
    slips=(
        Slip(
            1,
            "plug in the mean",
            "It looks like the mean of q was put into the decoder: the spread of q costs too.",
            lambda w: normalizer(w) - expected_square(w) / (2 * w.model.noise_variance),
        ),
        Slip(
            1,
            "c squared",
            "It looks like c was taken for a standard deviation.",
            lambda w: normalizer(w) - (expected_square(w) + spread(w)) / (2 * w.model.noise_variance**2),
        ),
        Slip(
            1,
            "no one half",
            "It looks like the factor 1/2 of the exponent is missing.",
            lambda w: normalizer(w) - (expected_square(w) + spread(w)) / w.model.noise_variance,
        ),
        Slip(
            1,
            "mean over the data dimensions",
            "It looks like the square was averaged over d instead of summed.",
            lambda w: (
                normalizer(w) - (expected_square(w) + spread(w)) / (2 * w.model.noise_variance * w.model.data_dim)
            ),
        ),
        Slip(
            1,
            "no constant",
            "It looks like -d/2 log(2 pi c) was dropped.",
            lambda w: closed_log_likelihood(w) - normalizer(w),
        ),
        Slip(
            1,
            "constant once, not d times",
            "It looks like the constant was counted for one dimension only.",
            lambda w: closed_log_likelihood(w) - normalizer(w) * (1 - 1 / w.model.data_dim),
        ),
        Slip(
            1,
            "trace of S only",
            "It looks like the loading is missing in the trace: tr(W S W^T).",
            lambda w: normalizer(w) - (expected_square(w) + np.trace(w.q.covariance)) / (2 * w.model.noise_variance),
        ),
        Slip(
            3,
            "samples at the mean",
            "It looks like the noise was not scaled: z is the mean in every sample.",
            samples=lambda w, rng, n: w.model.log_likelihood(
                w.x, w.q.loc + 0.1 * rng.standard_normal((n, w.model.latent_dim))
            ),
        ),
        Slip(
            3,
            "covariance for its Cholesky factor",
            "It looks like the noise was multiplied by S; it is L with S = L L^T that gives samples the covariance S.",
            samples=lambda w, rng, n: w.model.log_likelihood(
                w.x, w.q.loc + rng.standard_normal((n, w.model.latent_dim)) @ w.q.covariance
            ),
        ),
    ),
)


def kl_to_standard(w: LinearWitness, *, beta: float = 1.0, log_det: float = 1.0, mean: float = 1.0) -> float:
    """beta/2 [tr S + mean ||m||^2 - k - log_det log|S|]; with the defaults KL(N(m, S) || N(0, I))."""
    trace, square = np.trace(w.q.covariance), np.sum(w.q.loc**2)
    log_volume = np.linalg.slogdet(w.q.covariance)[1]
    return beta * 0.5 * float(trace + mean * square - w.model.latent_dim - log_det * log_volume)


F9 = Derivation(
    "F9",
    "the whole bound of a linear-Gaussian model",
    draw=LinearWitness.draw,
    assumptions="x | z ~ N(W z + b, c I), z ~ N(0, I), q = N(m, S)",
    source="Lucas et al. 2019, equation (6)",
    lines=(
        Line(
            r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]",
            by_gauss_hermite(lambda w, z: w.model.log_joint(w.x, z) - w.q.log_prob(z)),
        ),
        Line(
            r"\mathbb{E}_{q}[\log p(x \mid z)] - \tfrac12\left[\mathrm{tr}\,S + \|m\|^2 - k - \log|S|\right]",
            lambda w: closed_log_likelihood(w) - kl_to_standard(w),
            reason="F8, and the KL to N(0, I) with a full covariance (E4)",
        ),
        Line(
            r"\text{as computed by } \mathtt{LinearGaussian.elbo}",
            lambda w: w.model.elbo(w.x, w.q),
            reason="the same in the package",
        ),
        Line(
            r"\log p(x) - \mathrm{KL}(N(m, S) \,\Vert\, p(z \mid x))",
            lambda w: w.model.log_evidence(w.x) - kl_divergence(w.q, w.model.posterior(w.x)),
            reason="F1, with the exact evidence and posterior",
        ),
        Line(
            r"\log p(x)",
            lambda w: w.model.log_evidence(w.x),
            reason="KL is never negative",
            relation="<=",
            gap=lambda w: kl_divergence(w.q, w.model.posterior(w.x)),
        ),
    ),
    slips=(
        Slip(
            1,
            "beta = 2",
            "It looks like the KL is weighted twice.",
            lambda w: closed_log_likelihood(w) - kl_to_standard(w, beta=2),
        ),
        Slip(1, "plus KL", "It looks like the KL is added.", lambda w: closed_log_likelihood(w) + kl_to_standard(w)),
        Slip(
            1,
            "no log-determinant",
            "It looks like log|S| is missing: without it q may shrink for free.",
            lambda w: closed_log_likelihood(w) - kl_to_standard(w, log_det=0),
        ),
        Slip(
            1,
            "sign of the mean",
            "It looks like ||m||^2 has the wrong sign.",
            lambda w: closed_log_likelihood(w) - kl_to_standard(w, mean=-1),
            real="a published note, for diagonal S",
        ),
        Slip(
            1,
            "diagonal log-determinant",
            "It looks like log|S| was taken from the diagonal of S only.",
            lambda w: (
                closed_log_likelihood(w)
                - kl_to_standard(w)
                - 0.5 * float(np.linalg.slogdet(w.q.covariance)[1] - np.log(np.diag(w.q.covariance)).sum())
            ),
        ),
        Slip(4, "lower than the bound", "It looks like the evidence was put below its lower bound.", relation=">="),
    ),
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


def gaussian_constant(family: CurvedFamily) -> float:
    return -family.model.data_dim / 2 * float(LOG_2PI + np.log(family.model.noise_variance))


F10 = Derivation(
    "F10",
    "squared error + beta KL is a bound with noise c = beta / 2",
    draw=CurvedFamily.draw,
    assumptions="x | z ~ N(f(z), c I), c the same for every x and z",
    source="Higgins et al. 2017; Rybkin, Daniilidis and Levine 2021",
    lines=(
        Line(E(q, log_lik) - KL(q, prior)),
        Line(
            r"-\tfrac{d}{2}\log 2\pi c - \tfrac{1}{2c}\left(\mathbb{E}_{q}\|x - f(z)\|^2 + 2c\,\mathrm{KL}(q \,\Vert\, p(z))\right)",
            lambda f: scaled_loss(lambda m: 2 * m.noise_variance)(f) + gaussian_constant(f),
            reason="the logarithm of a Gaussian density, summed over d",
        ),
        Line(
            r"-\tfrac{1}{2c}\left(\mathbb{E}_{q}\|x - f(z)\|^2 + \beta\,\mathrm{KL}(q \,\Vert\, p(z))\right),\ \beta = 2c",
            scaled_loss(lambda m: 2 * m.noise_variance),
            reason="the constant does not move the best q",
            relation="same_argmax",
        ),
    ),
    slips=(
        Slip(
            1,
            "constant dropped under =",
            "It looks like -d/2 log(2 pi c) was dropped under an equals sign.",
            scaled_loss(lambda m: 2 * m.noise_variance),
        ),
        Slip(
            2,
            "beta = c",
            "It looks like beta was taken to be c; the 1/2 in the exponent makes it 2 c.",
            scaled_loss(lambda m: m.noise_variance),
        ),
        Slip(
            2,
            "plain MSE + KL",
            "It looks like squared error and KL are added with weight one: that is c = 1/2.",
            scaled_loss(lambda m: 1.0),
        ),
        Slip(
            2,
            "mean over pixels",
            "It looks like the squared error was averaged over d: the KL then weighs d times as much.",
            scaled_loss(lambda m: 2 * m.noise_variance, per_dimension=True),
        ),
        Slip(
            2,
            "beta = 2 c^2",
            "It looks like c was taken for a standard deviation.",
            scaled_loss(lambda m: 2 * m.noise_variance**2),
        ),
    ),
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


F11 = Derivation(
    "F11",
    "Bernoulli decoder: the log-likelihood is minus the summed cross-entropy",
    draw=BernoulliWitness.draw,
    assumptions="x in {0, 1}^d, pixels independent given z",
    source="Kingma and Welling 2014, appendix C.1",
    lines=(
        Line(log_evidence),
        Line(E(q, log_lik) - KL(q, prior) + KL(q, post), reason="F2"),
        Line(
            r"\mathbb{E}_{q}\left[\sum_j \left(x_j a_j - \mathrm{softplus}(a_j)\right)\right] - \mathrm{KL}(q \,\Vert\, p(z)) + \mathrm{KL}(q \,\Vert\, p(z \mid x))",
            cross_entropy_bound,
            reason="log Be(x; sigmoid(a)) = x a - softplus(a), over pixels",
        ),
        Line(
            r"-\mathbb{E}_{q}\left[\mathrm{BCE}\right] - \mathrm{KL}(q \,\Vert\, p(z)) + \mathrm{KL}(q \,\Vert\, p(z \mid x))",
            lambda w: -expected_bce(w) - kl_divergence(w.q, w.model.prior) + KL(q, post).value(w),
            reason="binary cross-entropy is minus the log-likelihood",
        ),
    ),
    slips=(
        Slip(
            2,
            "mean over pixels",
            "It looks like the log-likelihood was averaged over pixels: the KL then weighs d times as much.",
            lambda w: cross_entropy_bound(w, average=True),
        ),
        Slip(
            2,
            "sign of the cross-entropy",
            "It looks like the cross-entropy was added, not subtracted.",
            lambda w: cross_entropy_bound(w, sign=-1.0),
        ),
        Slip(
            2,
            "black and white exchanged",
            "It looks like x and 1 - x are exchanged.",
            lambda w: cross_entropy_bound(w, x=1 - w.x),
        ),
        Slip(
            2,
            "decoder at the mean",
            "It looks like the decoder was evaluated at the mean of q only.",
            lambda w: cross_entropy_bound(w, at_mean=True),
        ),
        Slip(
            3,
            "cross-entropy added",
            "It looks like the cross-entropy was added, not subtracted.",
            lambda w: expected_bce(w) - kl_divergence(w.q, w.model.prior) + KL(q, post).value(w),
        ),
    ),
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


F12 = Derivation(
    "F12",
    "data set and minibatch",
    draw=DataSet.draw,
    assumptions="x_1, ..., x_N independent; the batch uniform without replacement",
    source="Kingma and Welling 2014, equation (8)",
    lines=(
        Line(r"\sum_{i=1}^{N} \mathcal{L}_i", lambda w: np.sum(w.model.elbo(w.x, DiagonalNormal(w.loc, w.scale)))),
        Line(
            r"\mathbb{E}_{B}\left[\tfrac{N}{M} \sum_{i \in B} \mathcal{L}_i\right]",
            over_batches(lambda ll, kl, n, m: n / m * np.sum(elbo(ll, kl))),
            reason="each example is in a share M/N of the batches",
        ),
        Line(
            r"\tfrac{N}{M} \sum_{i \in B} \mathcal{L}_i \text{ on random batches}",
            reason="a sample mean over batches: 35 values, finite variance",
            samples=sampled_batches,
            num_samples=20_000,
        ),
    ),
    slips=(
        Slip(
            1,
            "no N/M",
            "It looks like the batch sum was not scaled to the data set.",
            over_batches(lambda ll, kl, n, m: np.sum(ll - kl)),
        ),
        Slip(
            1,
            "M/N",
            "It looks like the factor is upside down.",
            over_batches(lambda ll, kl, n, m: m / n * np.sum(ll - kl)),
        ),
        Slip(
            1,
            "1/M",
            "It looks like a mean per example stands for the sum over the data set.",
            over_batches(lambda ll, kl, n, m: np.sum(ll - kl) / m),
        ),
        Slip(
            1,
            "KL not scaled",
            "It looks like only the log-likelihood was scaled by N/M: the KL then counts too little.",
            over_batches(lambda ll, kl, n, m: n / m * np.sum(ll) - np.sum(kl)),
        ),
        Slip(
            2,
            "mean per example",
            "It looks like a mean per example stands for the sum over the data set.",
            samples=lambda w, rng, n: sampled_batches(w, rng, n) / len(w.x),
        ),
    ),
)

CHAPTER = (F1, F2, F3, F4, F5, F6, F7, F8, F9, F10, F11, F12)
