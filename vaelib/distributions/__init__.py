"""Probability distributions on NumPy arrays and torch tensors, and `kl_divergence(q, p)`.

Every distribution is a frozen dataclass of its parameters. `batch_shape` is the shape of the independent distributions
it holds, `event_shape` that of one draw. Log-probabilities, entropies and divergences are in nats, of the batch shape.
"""

from vaelib.distributions.base import Distribution
from vaelib.distributions.discrete import Bernoulli, Categorical
from vaelib.distributions.divergence import kl_divergence
from vaelib.distributions.gaussian import DiagonalNormal, MultivariateNormal, Normal
from vaelib.distributions.levels import DiscretizedLogistic
from vaelib.distributions.scalar import Exponential, Gamma, Laplace

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "Distribution",
    "Exponential",
    "Gamma",
    "Laplace",
    "MultivariateNormal",
    "Normal",
    "kl_divergence",
]
