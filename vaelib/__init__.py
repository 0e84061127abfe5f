"""Variational autoencoders, derived line by line and verified number by number."""

from vaelib.distributions import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    Exponential,
    Gamma,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib.estimate import Estimate

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiagonalNormal",
    "Estimate",
    "Exponential",
    "Gamma",
    "Laplace",
    "MultivariateNormal",
    "Normal",
    "kl_divergence",
]
