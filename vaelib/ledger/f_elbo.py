r"""Chapter F: the evidence lower bound. Four routes to it, its forms, and what it becomes for the usual decoders.

F1 to F6 are written in terms, on models whose evidence and posterior are exact. The evidence and the normalizer of the
posterior come from different quadrature rules, so an error in either is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import DiagonalNormal, kl_divergence
from vaelib.elbo import bound_terms, elbo
from vaelib.formula import HALF, Node, absolute, function, given, log, norm, sampled, symbol, symbols, tex, tr
from vaelib.formula.scope import Scope
from vaelib.formula.spaces import States
from vaelib.formula.worlds import Law
from vaelib.models import LinearGaussian
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

BOUND = E(q, log_joint - log_q)
ABSOLUTE_CONTINUITY = "q(z) = 0 wherever p(z|x) = 0"


def either(rng: Rng, *, kind: str = GENERIC) -> DiscreteWitness | CurvedWitness:
    """A table or a curved Gaussian: the bound does not care whether z is discrete."""
    return (DiscreteWitness if rng.random() < 0.5 else CurvedWitness).draw(rng, kind=kind)


# ------------------------------------------------------------------------------------------------ four routes, F1 - F4


F1 = (
    derive(
        "F1",
        "evidence = bound + KL to the posterior",
        CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY,
        source="Kingma and Welling 2014, equation (1); Jordan et al. 1999",
    )
    .start(log_evidence)
    .eq(E(q, log_evidence), "mean of a constant", why="it lets q in", needs="q integrates to one")
    .eq(
        E(q, log_joint - log_post),
        "Bayes' rule, true at every z: p(x) = p(x,z) / p(z|x)",
        why="the integral becomes a ratio of densities",
        needs="p(z|x) > 0 wherever q(z) > 0",
    )
    .slip("no prior in the joint", E(q, log_lik - log_post), "the prior is missing: p(x,z) = p(x|z) p(z).")
    .eq(
        E(q, log_joint - log_q + log_q - log_post),
        "add and subtract log q(z)",
        why="two ratios with q can form",
        needs="q(z) > 0, true wherever we average",
    )
    .eq(
        E(q, log_joint - log_q) + E(q, log_q - log_post),
        "expectation is linear",
        why="the posterior is now in one term only",
        needs="both means are finite",
    )
    .slip(
        "KL to p(x|z)",
        E(q, log_joint - log_q) + E(q, log_q - log_lik),
        "p(x|z) was put where the posterior p(z|x) belongs: Bayes' rule divides by p(z|x).",
        real="a published note, third term",
    )
    .slip("sign of log q", E(q, log_joint + log_q) + KL(q, post), "log q(z) was added, not subtracted, in the bound.")
    .eq(
        BOUND + KL(q, post),
        "definition of KL",
        why="a KL is never negative",
        needs="both arguments are densities in z",
    )
    .slip("KL swapped", BOUND + KL(post, q), "KL(p(z|x) || q): the expectation is under q.")
    .slip("minus KL", BOUND - KL(q, post), "the gap is subtracted: the evidence lies above the bound.")
    .slip("no KL", BOUND, "the gap is dropped: then this is a bound, not an equality.")
    .slip("KL to the prior", BOUND + KL(q, prior), "the gap is measured to the prior, not to the posterior.")
    .slip(
        "q of another observation",
        tex(
            r"\mathbb{E}_{q'}\left[\log p(x, z) - \log q(z)\right] + \mathrm{KL}(q(z) \,\Vert\, p(z \mid x)), \quad q'(z) = N(z; 0.7 - \tfrac12\mu, \sigma^2)"
        ),
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
    .eq(E(q, log_evidence), "mean of a constant", why="it lets q in")
    .eq(
        E(q, log_lik + log_prior - log_post),
        "Bayes' rule, at every z",
        why="decoder and prior are what a VAE has; look at the posterior",
    )
    .eq(
        E(q, log_lik + log_prior - log_post + log_q - log_q),
        "multiply by q(z)/q(z) inside the logarithm",
        why="each density of z gets a partner",
    )
    .eq(
        E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_post),
        "logarithm of a product; expectation is linear",
        why="each ratio of densities of z has its own mean",
        needs="finite means",
    )
    .slip(
        "p(x|z) in the third term",
        E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_lik),
        "p(x|z) was put where the posterior p(z|x) belongs: Bayes' rule put p(z|x) into the denominator.",
        real="a published note, third term",
    )
    .eq(E(q, log_lik) - KL(q, prior) + KL(q, post), "definition of KL, twice", why="both have a sign")
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
    .ge(
        E(q, log_lik) - KL(q, prior),
        "KL is never negative",
        why="the dropped term alone needs the posterior",
        gap=KL(q, post),
    )
    .slip("a weaker bound", E(q, log_lik) - 2 * KL(q, prior), "the KL to the prior is counted twice.")
    .slip("an upper bound", says="the inequality points the wrong way.", relation="<=")
    .eq(
        tex(r"\mathbb{E}_{q}[\log p(x \mid z)] + \tfrac12(1 + \log\sigma^2 - \mu^2 - \sigma^2)"),
        "KL of Gaussians in closed form (E2)",
        why="a Gaussian integral needs no samples",
        needs="q = N(mu, sigma^2) and p(z) = N(0, 1)",
    )
    .slip(
        "mean with the wrong sign",
        tex(r"\mathbb{E}_{q}[\log p(x \mid z)] + \tfrac12(1 + \log\sigma^2 + \mu^2 - \sigma^2)"),
        "the mean enters the KL with the wrong sign: mu^2 makes KL larger.",
        real="a published note: 1 + ln sigma^2 + mu^2 - sigma^2",
    )
    .eq(
        given(
            r"\mathtt{elbo}\left(\mathbb{E}_{q}[\log p(x \mid z)],\ \mathtt{kl\_divergence}(q, p(z))\right)",
            lambda w: elbo(E(q, log_lik).value(w), kl_divergence(w.q, w.model.prior)),
        ),
        "as the package computes it",
        why="this function trains a VAE",
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
    .eq(
        tex(r"\log \int p(x, z)\,dz"),
        "sum rule: the marginal of the joint",
        why="it defines what we cannot compute",
    )
    .eq(
        log_E(q, log_joint - log_q),
        "multiply and divide by q(z): an expectation under q",
        why="the integral becomes a mean",
        needs="q(z) > 0 wherever p(x,z) > 0, or part of the integral is never visited",
    )
    .slip("weight without 1/q", log_E(q, log_joint), "the joint was not divided by q(z): then this is not p(x).")
    .slip("no prior in the weight", log_E(q, log_lik - log_q), "the weight lacks the prior p(z).")
    .ge(
        BOUND,
        "Jensen: the logarithm is concave",
        why="inside, it turns products into sums",
        gap=KL(q, post),
    )
    .slip("Jensen turned around", says="Jensen is used for a convex function: log is concave.", relation="<=")
    .slip("strict equality", says="log and expectation were swapped: that costs the gap.", relation="=")
    .slip("no prior in the bound", E(q, log_lik - log_q), "the bound lacks the prior p(z).")
    .eq(log_evidence - KL(q, post), "F1", why="what Jensen loses is the gap")
    .slip("gap to the prior", log_evidence - KL(q, prior), "the gap is measured to the prior; it is KL(q || p(z|x)).")
    .slip("gap swapped", log_evidence - KL(post, q), "the gap is KL(p(z|x) || q); the expectation is under q.")
)

F4 = (
    derive(
        "F4",
        "the q nearest to the posterior",
        CurvedFamily.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; every expectation is under q",
        source="Blei, Kucukelbir and McAuliffe 2017, section 2.2",
    )
    .start(KL(q, post))
    .eq(E(q, log_q) - E(q, log_post), "definition of KL", why="only the second mean needs the posterior")
    .eq(
        E(q, log_q) - E(q, log_lik + log_prior - log_evidence),
        "Bayes' rule: the logarithm of a quotient",
        why="the logarithm covers the whole quotient",
    )
    .slip(
        "logarithm of the numerator only",
        tex(
            r"\mathbb{E}_{q}\left[\log q(z)\right] - \mathbb{E}_{q}\left[\frac{\log\left(p(x \mid z)\,p(z)\right)}{p(x)}\right]"
        ),
        "the logarithm covers only the numerator p(x|z) p(z).",
        real="a published note: log p(x|z)p(z) over p(x)",
    )
    .eq(E(q, log_q) - E(q, log_joint - log_evidence), "product rule: p(x|z) p(z) = p(x,z)")
    .slip(
        "quotient of logarithms",
        tex(r"\mathbb{E}_{q}\left[\log q(z)\right] - \mathbb{E}_{q}\left[\frac{\log p(x, z)}{\log p(x)}\right]"),
        "log(a/b) became log a / log b; it is log a - log b.",
        real="a published note: log p(z,x) over log p(x)",
    )
    .eq(E(q, log_q) - E(q, log_joint) + E(q, log_evidence), "expectation is linear", why="minus a minus is a plus")
    .slip(
        "minus log p(x)",
        E(q, log_q) - E(q, log_joint) - E(q, log_evidence),
        "the minus in front of the bracket did not reach log p(x).",
        real="a published note",
    )
    .eq(E(q, log_q) - E(q, log_joint) + log_evidence, "mean of a constant", why="log p(x) does not depend on z")
    .slip(
        "minus log p(x), constant",
        E(q, log_q) - E(q, log_joint) - log_evidence,
        "the sign of log p(x) is wrong: minus a minus is a plus.",
        real="a published note",
    )
    .same_argmin(
        E(q, log_q) - E(q, log_joint),
        "a number without q does not move the minimum",
        why="this is not an equality",
        needs="a search over q, with p fixed",
    )
    .slip("equal after dropping log p(x)", says="log p(x) was dropped under an equals sign.", relation="=")
    .slip("entropy dropped too", -E(q, log_joint), "E[log q] was dropped: it depends on q.")
    .slip("posterior for joint", E(q, log_q) - E(q, log_lik), "the prior was dropped together with log p(x).")
    .eq(-BOUND, "the negative bound", why="nothing intractable is left")
)


# -------------------------------------------------------------------------------------------- gradients and forms, F5-F7


F5 = (
    derive(
        "F5",
        "the gradients of gap and bound are opposite",
        CurvedWitness.draw,
        assumptions="p does not depend on the parameters of q",
        source="Blei et al. 2017, section 2.2",
    )
    .start(tex(r"\nabla_{\mu, \log\sigma}\,\mathrm{KL}(q(z) \,\Vert\, p(z \mid x))"))
    .eq(
        tex(r"-\nabla_{\mu, \log\sigma}\,\mathbb{E}_{q}[\log p(x, z) - \log q(z)]"),
        "their sum, log p(x), does not depend on q",
        why="what one side gains the other loses",
    )
    .slip(
        "same sign",
        tex(r"\nabla_{\mu, \log\sigma}\,\mathbb{E}_{q}[\log p(x, z) - \log q(z)]"),
        "the minus is missing: raising the bound lowers the gap.",
    )
    .slip(
        "bound without prior",
        tex(r"-\nabla_{\mu, \log\sigma}\,\mathbb{E}_{q}[\log p(x \mid z) - \log q(z)]"),
        "the bound lacks the prior p(z).",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[-\partial_z \log p(x, z)\,(1,\ z - \mu)\right] - (0, 1)"),
        "differentiate through z = mu + sigma eps",
        why="as a VAE does it, with samples of z",
        needs="differentiation under the integral",
    )
    .slip(
        "entropy's gradient dropped",
        tex(r"\mathbb{E}_{q}\left[-\partial_z \log p(x, z)\,(1,\ z - \mu)\right]"),
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
    .eq(
        E(q, log_joint) + H(q),
        "product rule; entropy H(q) = -E[log q]",
        why="entropy is rewarded: q does not shrink to a point",
    )
    .slip("minus entropy", E(q, log_joint) - H(q), "the entropy is subtracted, but the bound rewards a broad q.")
    .slip("double prior", E(q, log_joint) - KL(q, prior), "the prior is counted twice: the joint holds it already.")
    .eq(E(q, log_lik) - H(q, prior) + H(q), "KL = cross-entropy - entropy (D3)")
    .slip("plus cross-entropy", E(q, log_lik) + H(q, prior) + H(q), "the cross-entropy has the wrong sign.")
    .slip("KL twice", E(q, log_lik) - 2 * KL(q, prior), "the KL to the prior is subtracted twice.")
    .eq(log_evidence - KL(q, post), "F1", why="all that cannot be computed is in one place")
    .slip("plus gap", log_evidence + KL(q, post), "the gap is added: the bound lies below the evidence.")
    .eq(-FREE_ENERGY, "minus the variational free energy, E[log q] - E[log p(x,z)]")
    .slip(
        "sign of the free energy", FREE_ENERGY, "the free energy was not negated: it is minimized, the bound maximized."
    )
    .eq(
        tex(r"-\int q(z) \log\frac{q(z)}{p(x, z)}\,dz"),
        "the same mean as an integral",
        why="it looks like minus a KL, but p(x, z) is not a density in z: it may have any sign",
    )
    .eq(
        given(r"\text{as summed by } \mathtt{vaelib.elbo}", lambda w: bound_terms(w.model, w.x, w.q).elbo),
        "the same terms by the package's function",
    )
)


F7 = (
    derive(
        "F7",
        "tightness: at the posterior the weight is constant",
        LinearPoints.draw,
        assumptions="q is the exact posterior, N(z^, c M^-1) with M = W^T W + c I",
        source="Neal and Hinton 1998, lemma 1",
    )
    .start(tex(r"\log p(x)"))
    .eq(
        tex(r"\log p(x, z) - \log q(z) \quad \forall z,\ q(z) = p(z \mid x)"),
        "Bayes' rule: p(x,z) / p(z|x) = p(x)",
        why="one sample is then as good as a thousand",
        needs="q is the posterior, correlations included",
    )
    .slip(
        "diagonal of the posterior",
        tex(r"\log p(x, z) - \log q(z) \quad \forall z,\ q(z) = N(z; \hat z, \mathrm{diag}(c M^{-1}))"),
        "the correlations of the posterior were dropped.",
    )
    .slip(
        "covariance without noise",
        tex(r"\log p(x, z) - \log q(z) \quad \forall z,\ q(z) = N(z; \hat z, M^{-1})"),
        "the posterior covariance lacks the factor c.",
    )
    .slip(
        "least-squares mean",
        tex(r"\log p(x, z) - \log q(z) \quad \forall z,\ q(z) = N(z; (W^\top W)^{-1} W^\top r, c M^{-1})"),
        "the mean is the least-squares fit: the prior shrinks it.",
    )
    .eq(
        tex(r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right],\ q(z) = p(z \mid x)"),
        "mean of a constant",
        why="the bound is the evidence",
    )
    .slip(
        "mean-field posterior",
        tex(r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right],\ q(z) = N(z; \hat z, \mathrm{diag}(c M^{-1}))"),
        "the correlations of the posterior were dropped.",
    )
)


# ------------------------------------------------------------------------------------------- linear-Gaussian, F8 and F9

W, m, b, c, x, d, k = symbols("W m b c x d k")
spread_of_q = symbol(r"\Sigma_q")
square, spread = norm(x - W @ m - b) ** 2, tr(W @ spread_of_q @ W.T)
constant = -d / 2 * log(2 * symbol(r"\pi") * c)


def sampled_log_likelihood(w: LinearWitness, rng: Rng, n: int) -> Array:
    z = w.q.transform(rng.standard_normal((n, w.model.latent_dim)))
    return w.model.log_likelihood(w.x, z)


F8 = (
    derive(
        "F8",
        "expected log-likelihood of a linear decoder",
        LinearWitness.draw,
        assumptions="x | z ~ N(W z + b, c I), q = N(m, Sigma_q)",
        source="Lucas et al. 2019, appendix; moments of a Gaussian",
    )
    .start(tex(r"\mathbb{E}_{N(m, \Sigma_q)}\left[\log N(x; W z + b, c I)\right]"))
    .eq(
        constant - (square + spread) / (2 * c),
        "E||u||^2 = ||E u||^2 + tr Cov u for u = x - W z - b",
    )
    .slip(
        "plug in the mean",
        constant - square / (2 * c),
        "the mean of q was put into the decoder: the spread of q costs too.",
    )
    .slip("c squared", constant - (square + spread) / (2 * c**2), "c was taken for a standard deviation.")
    .slip("no one half", constant - (square + spread) / c, "the factor 1/2 of the exponent is missing.")
    .slip(
        "mean over the data dimensions",
        constant - (square + spread) / (2 * c * d),
        "the square was averaged over d instead of summed.",
    )
    .slip("no constant", -(square + spread) / (2 * c), "-d/2 log(2 pi c) was dropped.")
    .slip(
        "constant once, not d times",
        -HALF * log(2 * symbol(r"\pi") * c) - (square + spread) / (2 * c),
        "the constant was counted for one dimension only.",
    )
    .slip(
        "trace of Sigma_q only",
        constant - (square + tr(spread_of_q)) / (2 * c),
        "the loading is missing in the trace: tr(W Sigma_q W^T).",
    )
    .eq(
        given(
            r"\mathtt{LinearGaussian.expected\_log\_likelihood}",
            lambda w: w.model.expected_log_likelihood(w.x, w.q),
        ),
        "the same formula in the package",
    )
    .eq(
        sampled(r"\frac1n \sum_i \log p(x \mid m + L\varepsilon_i),\ \Sigma_q = L L^\top", sampled_log_likelihood),
        "a sample mean; quadratic in a Gaussian: finite variance",
        num_samples=40_000,
    )
    .slip(
        "samples at the mean",
        sampled(
            r"\frac1n \sum_i \log p(x \mid m + 0.1\,\varepsilon_i)",
            lambda w, rng, n: w.model.log_likelihood(w.x, w.q.loc + 0.1 * rng.standard_normal((n, w.model.latent_dim))),
        ),
        "the noise was multiplied by 0.1 and not by L: z is nearly the mean in every sample.",
    )
    .slip(
        "covariance for its Cholesky factor",
        sampled(
            r"\frac1n \sum_i \log p(x \mid m + \Sigma_q\varepsilon_i)",
            lambda w, rng, n: w.model.log_likelihood(
                w.x, w.q.loc + rng.standard_normal((n, w.model.latent_dim)) @ w.q.covariance
            ),
        ),
        "the noise was multiplied by Sigma_q; it is L with Sigma_q = L L^T that gives samples this covariance.",
    )
)

explains = tex(r"\mathbb{E}_{q}[\log p(x \mid z)]")
size, log_volume = norm(m) ** 2, log(absolute(spread_of_q))
pays = HALF * (tr(spread_of_q) + size - k - log_volume)

F9 = (
    derive(
        "F9",
        "the whole bound of a linear-Gaussian model",
        LinearWitness.draw,
        assumptions="x | z ~ N(W z + b, c I), z ~ N(0, I), q = N(m, Sigma_q)",
        source="Lucas et al. 2019, equation (6)",
    )
    .start(tex(r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]"))
    .eq(explains - pays, "F8, and the KL to N(0, I) with a full covariance (E4)")
    .slip("beta = 2", explains - 2 * pays, "the KL is weighted twice.")
    .slip("plus KL", explains + pays, "the KL is added.")
    .slip(
        "no log-determinant",
        explains - HALF * (tr(spread_of_q) + size - k),
        "log|Sigma_q| is missing: without it q may shrink for free.",
    )
    .slip(
        "sign of the mean",
        explains - HALF * (tr(spread_of_q) - size - k - log_volume),
        "||m||^2 has the wrong sign.",
        real="a published note, for diagonal Sigma_q",
    )
    .slip(
        "diagonal log-determinant",
        explains - HALF * (tr(spread_of_q) + size - k - log(absolute(function("diag", spread_of_q)))),
        "log|Sigma_q| was taken from the diagonal of Sigma_q only.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{LinearGaussian.elbo}", lambda w: w.model.elbo(w.x, w.q)),
        "the same in the package",
    )
    .eq(tex(r"\log p(x) - \mathrm{KL}(q(z) \,\Vert\, p(z \mid x))"), "F1, with the exact evidence and posterior")
    .le(tex(r"\log p(x)"), "KL is never negative", gap=tex(r"\mathrm{KL}(q(z) \,\Vert\, p(z \mid x))"))
    .slip("lower than the bound", says="the evidence was put below its lower bound.", relation=">=")
)


# ---------------------------------------------------------------------------------- the losses people write, F10 to F12


def squared_error_and_kl(beta: str) -> Node:
    """-1/2c (squared error + beta KL), and what beta is."""
    return tex(
        rf"-\tfrac{{1}}{{2c}}\left(\mathbb{{E}}_{{q}}\|x - f(z)\|^2 + \beta\,\mathrm{{KL}}(q(z) \,\Vert\, p(z))\right),\ {beta}"
    )


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
            r"-\tfrac{d}{2}\log 2\pi c - \tfrac{1}{2c}\left(\mathbb{E}_{q}\|x - f(z)\|^2 + 2c\,\mathrm{KL}(q(z) \,\Vert\, p(z))\right)"
        ),
        "the logarithm of a Gaussian density, summed over d",
    )
    .slip(
        "constant dropped under =",
        tex(r"-\tfrac{1}{2c}\left(\mathbb{E}_{q}\|x - f(z)\|^2 + 2c\,\mathrm{KL}(q(z) \,\Vert\, p(z))\right)"),
        "-d/2 log(2 pi c) was dropped under an equals sign.",
    )
    .same_argmax(
        squared_error_and_kl(r"\beta = 2c"),
        "the constant does not move the best q",
        needs="c is not learned: it moves the constant",
    )
    .slip(
        "beta = c", squared_error_and_kl(r"\beta = c"), "beta was taken to be c; the 1/2 in the exponent makes it 2 c."
    )
    .slip(
        "plain MSE + KL",
        squared_error_and_kl(r"\beta = 1"),
        "squared error and KL are added with weight one: that is c = 1/2.",
    )
    .slip(
        "mean over pixels",
        tex(
            r"-\tfrac{1}{2c}\left(\tfrac1d \mathbb{E}_{q}\|x - f(z)\|^2 + \beta\,\mathrm{KL}(q(z) \,\Vert\, p(z))\right),\ \beta = 2c"
        ),
        "the squared error was averaged over d: the KL then weighs d times as much.",
    )
    .slip("beta = 2 c^2", squared_error_and_kl(r"\beta = 2c^2"), "c was taken for a standard deviation.")
)


def plus_kls(expected: str) -> Node:
    """An expectation, less the KL to the prior, plus the KL to the posterior: what is left of the evidence is it."""
    return tex(rf"{expected} - \mathrm{{KL}}(q(z) \,\Vert\, p(z)) + \mathrm{{KL}}(q(z) \,\Vert\, p(z \mid x))")


F11 = (
    derive(
        "F11",
        "Bernoulli decoder: the log-likelihood is minus the summed cross-entropy",
        BernoulliWitness.draw,
        assumptions="x in {0, 1}^d, pixels independent given z with logits a_j(z)",
        source="Kingma and Welling 2014, appendix C.1",
    )
    .start(log_evidence)
    .eq(E(q, log_lik) - KL(q, prior) + KL(q, post), "F2")
    .eq(
        plus_kls(r"\mathbb{E}_{q}\left[\sum_j \left(x_j a_j - \mathrm{softplus}(a_j)\right)\right]"),
        "log Be(x; sigmoid(a)) = x a - softplus(a), over pixels",
    )
    .slip(
        "mean over pixels",
        plus_kls(r"\mathbb{E}_{q}\left[\tfrac1d \sum_j \left(x_j a_j - \mathrm{softplus}(a_j)\right)\right]"),
        "the log-likelihood was averaged over pixels: the KL then weighs d times as much.",
    )
    .slip(
        "sign of the cross-entropy",
        plus_kls(r"-\mathbb{E}_{q}\left[\sum_j \left(x_j a_j - \mathrm{softplus}(a_j)\right)\right]"),
        "the cross-entropy was added, not subtracted.",
    )
    .slip(
        "black and white swapped",
        plus_kls(r"\mathbb{E}_{q}\left[\sum_j \left((1 - x_j)\,a_j - \mathrm{softplus}(a_j)\right)\right]"),
        "x and 1 - x are swapped.",
    )
    .slip(
        "decoder at the mean",
        plus_kls(r"\sum_j \left(x_j a_j(\mu) - \mathrm{softplus}(a_j(\mu))\right)"),
        "the decoder was evaluated at the mean of q only.",
    )
    .eq(
        plus_kls(
            r"\mathbb{E}_{q}\left[\sum_j \left(x_j \log\mathrm{sigmoid}(a_j) + (1 - x_j) \log\mathrm{sigmoid}(-a_j)\right)\right]",
        ),
        "binary cross-entropy is minus the log-likelihood",
        why="the loss that libraries offer; 1 - sigmoid(a) = sigmoid(-a)",
    )
    .slip(
        "cross-entropy added",
        plus_kls(
            r"-\mathbb{E}_{q}\left[\sum_j \left(x_j \log\mathrm{sigmoid}(a_j) + (1 - x_j) \log\mathrm{sigmoid}(-a_j)\right)\right]",
        ),
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

    @property
    def batches(self) -> Array:
        """Every batch, as the numbers of its examples from 1; shape (35, M)."""
        return 1 + np.array(list(combinations(range(len(self.x)), self.batch_size)))

    def scope(self) -> Scope:
        """L_i by the package, its parts l_i = E[log p(x_i | z)] and K_i, the KL; B is any batch with equal chances."""
        bounds = self.model.elbo(self.x, DiagonalNormal(self.loc, self.scale))
        return Scope(
            values={r"\mathcal{L}": bounds, r"\ell": self.log_likelihood, "K": self.kl}
            | {"N": len(self.x), "M": self.batch_size},
            worlds={"u": Law("B", AllAlike(len(self.batches)))},
            spaces={"B": States(self.batches)},
            laws={"B": "u(B)"},
            ranges={"i": len(self.x)},
        )


@dataclass(frozen=True)
class AllAlike:
    """The law under which each of n values is as likely as any other."""

    n: int

    def log_prob(self, value: Array) -> Array:
        return np.full(value.shape[:-1], -np.log(self.n))


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
    .start(tex(r"\sum_i \mathcal{L}_i"))
    .eq(
        tex(r"\mathbb{E}_{B}\left[\tfrac{N}{M} \sum_{i \in B} \mathcal{L}_i\right],\ \mathcal{L}_i = \ell_i - K_i"),
        "each example is in a share M/N of the batches",
        why="one batch is enough for an estimate without bias",
        needs="batches of one size, each with equal chances",
    )
    .slip(
        "no N/M",
        tex(r"\mathbb{E}_{B}\left[\sum_{i \in B} \mathcal{L}_i\right],\ \mathcal{L}_i = \ell_i - K_i"),
        "the batch sum was not scaled to the data set.",
    )
    .slip(
        "M/N",
        tex(r"\mathbb{E}_{B}\left[\tfrac{M}{N} \sum_{i \in B} \mathcal{L}_i\right],\ \mathcal{L}_i = \ell_i - K_i"),
        "the factor is upside down.",
    )
    .slip(
        "1/M",
        tex(r"\mathbb{E}_{B}\left[\tfrac{1}{M} \sum_{i \in B} \mathcal{L}_i\right],\ \mathcal{L}_i = \ell_i - K_i"),
        "a mean per example was taken for the sum over the data set.",
    )
    .slip(
        "KL not scaled",
        tex(r"\mathbb{E}_{B}\left[\tfrac{N}{M} \sum_{i \in B} \ell_i - \sum_{i \in B} K_i\right]"),
        "only the log-likelihood was scaled by N/M: the KL then counts too little.",
    )
    .eq(
        sampled(r"\tfrac{N}{M} \sum_{i \in B} \mathcal{L}_i \text{ on random batches}", sampled_batches),
        "a sample mean over batches: 35 values, finite variance",
        num_samples=20_000,
    )
    .slip(
        "mean per example",
        sampled(
            r"\tfrac{1}{M} \sum_{i \in B} \mathcal{L}_i \text{ on random batches}",
            lambda w, rng, n: sampled_batches(w, rng, n) / len(w.x),
        ),
        "a mean per example was taken for the sum over the data set.",
    )
)

CHAPTER = (F1, F2, F3, F4, F5, F6, F7, F8, F9, F10, F11, F12)
