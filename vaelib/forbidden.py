"""What an exercise does not allow, by kind: the functions, classes and methods that would give its answer away.

A task says `forbidden=("kl",)`. While its questions are asked in grading, nothing of that kind is there: vaelib's own
functions are taken out of the source, those of other libraries are removed after they are loaded. A kind names things
by where they are defined; every other name of the same object goes with them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Things that do the same.

    Args:
        says: what they are, in words: "the KL divergence".
        names: where they are defined, in vaelib or in another library that may or may not be installed.
    """

    says: str
    names: tuple[str, ...]


KINDS: dict[str, Kind] = {
    "kl": Kind(
        "the KL divergence",
        (
            *(
                f"vaelib.kl.{name}"  # all but `gamma_means`, which the Gamma's log-density needs
                for name in (
                    "normal multivariate_normal bernoulli categorical laplace exponential gamma laplace_normal "
                    "gamma_normal normal_laplace"
                ).split()
            ),
            "vaelib.distributions.divergence",
            "vaelib.distributions.divergence.kl_divergence",
            "vaelib.elbo.bound_terms",
            "scipy.special.rel_entr",
            "scipy.special.kl_div",
            "scipy.special.cython_special.rel_entr",
            "scipy.special.cython_special.kl_div",
            "scipy.stats.entropy",
            "torch.distributions.kl",
            "torch.distributions.kl.kl_divergence",
            "torch.nn.functional.kl_div",
            "torch.kl_div",
            "torch.nn.KLDivLoss",
            "jax.scipy.special.rel_entr",
            "jax.scipy.special.kl_div",
            "tensorflow_probability",
            "pyro.distributions.kl",
        ),
    ),
    "table": Kind("the posterior of a table", ("vaelib.models.DiscreteLatent",)),
    "linear": Kind(
        "the linear-Gaussian model",
        (
            "vaelib.models.LinearGaussian",
            "vaelib.models.CurvedGaussian",  # without curvature it is the same
            "vaelib.em.ppca_e_step",
            "vaelib.em.ppca_m_step",
            "vaelib.em.ppca_maximum",
        ),
    ),
    "importance": Kind("the importance-weighted bound", ("vaelib.elbo.importance_weighted_bound",)),
    "mixture": Kind(
        "a step of EM for mixtures",
        (
            "vaelib.em.mixture_e_step",
            "vaelib.em.mixture_m_step",
            "vaelib.em.mixture_bound",
            "vaelib.em.GaussianMixture",
            "sklearn.mixture.GaussianMixture",
            "sklearn.mixture.BayesianGaussianMixture",
        ),
    ),
    "gradients": Kind(
        "estimators of gradients",
        ("vaelib.gradients.pathwise", "vaelib.gradients.score_function", "vaelib.gradients.score"),
    ),
    "mean": Kind("the mean of a sample with its error", ("vaelib.montecarlo.sample_mean",)),
    "hermite": Kind(
        "nodes and weights of Gauss and Hermite",
        (
            "vaelib.quadrature.gauss_hermite",
            "vaelib.quadrature.gauss_hermite_multivariate",
            "vaelib.quadrature._hermite_rule",
            "numpy.polynomial.hermite_e.hermegauss",
            "numpy.polynomial.hermite.hermgauss",
            "scipy.special.roots_hermite",
            "scipy.special.roots_hermitenorm",
            "scipy.special.hermite",
            "scipy.special.hermitenorm",
            "sympy.integrals.quadrature.gauss_hermite",
        ),
    ),
    "bits": Kind("bits per dimension", ("vaelib.evaluate.bounds.bits_per_dimension",)),
    "chain": Kind("steps of a Markov chain", ("vaelib.ledger",)),
}


def names(kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Where everything of these kinds is defined.

    The ledger and the value of a formula, tex(...).value(...), compute all of it: they are part of each kind.
    """
    found = [name for kind in kinds for name in KINDS[kind].names]
    return tuple(dict.fromkeys([*found, "vaelib.ledger", "vaelib.formula.evaluate"])) if kinds else ()
