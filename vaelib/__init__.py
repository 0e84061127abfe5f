"""Variational autoencoders, derived line by line and verified number by number."""

from vaelib.derivation import Derivation, Line, Slip
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
from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian

__all__ = [
    "Bernoulli",
    "Categorical",
    "CurvedGaussian",
    "Derivation",
    "DiagonalNormal",
    "DiscreteLatent",
    "Estimate",
    "Exponential",
    "Gamma",
    "Laplace",
    "Line",
    "LinearGaussian",
    "MultivariateNormal",
    "Normal",
    "Slip",
    "kl_divergence",
]
