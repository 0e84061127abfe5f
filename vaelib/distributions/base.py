"""What all distributions share: shapes, noise, samples, cross-entropy."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from vaelib import _checks
from vaelib._arrays import Array, Shape, detach, is_tensor, namespace
from vaelib._door import as_shape, described
from vaelib._quiet import quiet

QUIET = (  # what computes
    "log_prob entropy transform _expected_surprise mean_distance sample "
    "mean variance covariance cholesky probs log_probs"
).split()


class Distribution(ABC):
    """A batch of independent distributions of one family; a frozen dataclass of its parameters.

    Parameters are broadcast against each other. NumPy parameters (and numbers, and lists) become float64; tensors keep
    their dtype, device and gradient, and a number beside a tensor takes the tensor's. Tensors in half precision become
    float32, and so do the results.

    Attributes:
        support: where a draw lies: "real", "positive", "binary", "level", "index" or "vector".
        noise: what `transform` expects: "normal", "uniform" (on the open unit interval) or "gumbel".
    """

    of_tensors = False  # what the parameters are, once they are stored
    support: ClassVar[str]
    noise: ClassVar[str]

    def __init_subclass__(cls) -> None:
        """NumPy's error state is the caller's own: no method raises or warns because of it."""
        for name in QUIET:
            member = cls.__dict__.get(name)
            if isinstance(member, property) and member.fget is not None:
                setattr(cls, name, property(quiet(member.fget), doc=member.__doc__))
            elif callable(member):
                setattr(cls, name, quiet(member))

    @property
    @abstractmethod
    def _like(self) -> Array:
        """A parameter whose kind, dtype and device the draws share; its shape is that of the noise."""

    @property
    def batch_shape(self) -> Shape:
        """Shape of the independent distributions held together; of log_prob, entropy and KL too."""
        return tuple(self._like.shape)

    @property
    def event_shape(self) -> Shape:
        """Shape of one draw: () for a scalar."""
        return ()

    @abstractmethod
    def log_prob(self, x: Array) -> Array:
        """log p(x) in nats, for x of shape (..., *batch_shape, *event_shape) or one that broadcasts with it.

        Returns:
            Array of shape (..., *batch_shape).

        Raises:
            ValueError: the shape does not fit, or a value is impossible to judge (a grey pixel for a Bernoulli).
        """

    @abstractmethod
    def entropy(self) -> Array:
        """-E[log p(x)] in nats, of the batch shape; negative for a narrow density."""

    @abstractmethod
    def transform(self, noise: Array) -> Array:
        """The draw that standard noise of shape (..., *batch_shape, *event_shape) is turned into.

        Where the map is smooth, gradients flow to the parameters: this is the reparameterization.
        """

    @quiet
    def cross_entropy(self, p: Distribution) -> Array:
        """-E_q[log p(x)] in nats, of the batch shape, for this q; infinite where q puts mass where p has none.

        Raises:
            TypeError: no closed form is known for this pair of families.
        """
        result = p._expected_surprise(self) if isinstance(p, Distribution) else None
        if result is None:
            kind = type(p).__name__ if isinstance(p, Distribution) else described(p)
            raise TypeError(
                f"Expected a pair of distributions with a closed-form cross-entropy, but got q = {type(self).__name__}"
                f" and p = {kind}. Estimate it: -p.log_prob(q.sample(n, rng=rng)).mean(0)."
            )
        return result

    @abstractmethod
    def _expected_surprise(self, q: Any) -> Array | None:
        """-E_q[log p(x)] for this p; None where there is no closed form."""

    def draw_noise(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        """Independent standard noise of the kind and shape that `transform` expects.

        Args:
            sample_shape: how many draws, a number or a shape, before the batch's.
            rng: numpy.random.Generator for NumPy parameters, torch.Generator (on their device) for tensors.
        """
        _checks.generator(rng, self._like)
        shape = as_shape("sample_shape", sample_shape) + tuple(self._like.shape)
        if is_tensor(self._like):
            torch = sys.modules["torch"]
            draw = torch.randn if self.noise == "normal" else torch.rand
            noise = draw(shape, generator=rng, dtype=self._like.dtype, device=self._like.device)
        else:
            noise = rng.standard_normal(shape) if self.noise == "normal" else rng.random(shape)
        if self.noise == "normal":
            return noise
        # uniform draws are multiples of eps / 2, zero among them; zero becomes half a step, since logarithms are taken
        xp = namespace(noise)
        noise = noise + (noise == 0) * (0.25 * float(xp.finfo(noise.dtype).eps))
        return -xp.log(-xp.log(noise)) if self.noise == "gumbel" else noise

    def sample(self, sample_shape: int | Shape = (), *, rng: Any) -> Array:
        """Independent draws of shape (*sample_shape, *batch_shape, *event_shape), without a gradient.

        Args:
            sample_shape: how many draws, a number or a shape, before the batch's.
            rng: numpy.random.Generator for NumPy parameters, torch.Generator (on their device) for tensors.
        """
        return detach(self.transform(self.draw_noise(sample_shape, rng=rng)))

    def _store(self, **parameters: Array) -> None:
        """Set fields of a frozen dataclass, once, while it is made."""
        for name, value in parameters.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "of_tensors", is_tensor(value))
