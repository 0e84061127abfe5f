"""The variational autoencoder: two networks that return distributions, and the loss that trains them.

The loss calls the same `kl_divergence` and `log_prob` that the derivations verify: the formula that was verified is the
formula that trains. All randomness enters as an argument.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vaelib.distributions import Bernoulli, DiagonalNormal, Normal, kl_divergence
from vaelib.elbo import elbo, importance_weighted_bound

LOG_SCALE_BOUND = 7.0  # scales stay within e^-7 and e^7, a millionfold range: no exp overflows, no variance vanishes
SATURATED = 0.95  # of the bound; there tanh has lost nine tenths of its slope


class Terms(NamedTuple):
    """What the loss is made of, in nats per example, shape (batch,)."""

    objective: Tensor  # what is maximized: the ELBO, the beta-weighted one, or the importance-weighted bound
    log_likelihood: Tensor  # E_q[log p(x | z)] by K samples, summed over pixels
    kl: Tensor  # KL(q(z | x) || p(z)) in closed form, summed over latents

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, whatever the objective was."""
        return elbo(self.log_likelihood, self.kl)


class Encoder(nn.Module):
    """x (..., pixels) -> q(z | x), a DiagonalNormal over (..., latent_dim)."""

    def __init__(self, pixels: int, hidden: tuple[int, ...], latent_dim: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.body = mlp((pixels, *hidden), layer_norm)
        self.loc = linear(hidden[-1], latent_dim)
        self.log_scale = linear(hidden[-1], latent_dim)

    def forward(self, x: Tensor) -> DiagonalNormal:
        h = self.body(x)
        return DiagonalNormal(self.loc(h), bounded(self.log_scale(h)).exp())


class Decoder(nn.Module):
    """z (..., latent_dim) -> p(x | z): Bernoulli or Normal, one for each pixel.

    `scale` is None for a Bernoulli decoder, a number for a Gaussian one of that fixed standard deviation, and "learned"
    for one number, common to all pixels, that is trained with the rest: its optimum is the root mean squared error.
    """

    fixed_scale: Tensor

    def __init__(
        self,
        latent_dim: int,
        hidden: tuple[int, ...],
        pixels: int,
        scale: float | str | None = None,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.body = mlp((latent_dim, *hidden), layer_norm)
        self.out = linear(hidden[-1], pixels)
        self.bernoulli, self.learned = scale is None, isinstance(scale, str)
        if self.learned:
            self.log_scale = nn.Parameter(torch.zeros(()))
        elif scale is not None:
            self.register_buffer("fixed_scale", torch.tensor(float(scale)))

    def forward(self, z: Tensor) -> Bernoulli | Normal:
        out = self.out(self.body(z))
        return Bernoulli(out) if self.bernoulli else Normal(out, self.scale)

    @property
    def scale(self) -> Tensor:
        """Standard deviation of a Gaussian decoder; a fixed one is taken as given, a learned one is bounded."""
        return bounded(self.log_scale).exp() if self.learned else self.fixed_scale


class VAE(nn.Module):
    """p(z) = N(0, I), decoder p(x | z), encoder q(z | x).

    Args:
        pixels: numbers in an example.
        latent_dim: numbers in z.
        hidden: widths of the encoder's hidden layers, from x to z; the decoder mirrors them.
        decoder_scale: None for a Bernoulli decoder; see `Decoder`.
        layer_norm: normalize each hidden layer (Ba, Kiros and Hinton 2016).
        rng: draws the starting weights, uniform as Glorot and Bengio (2010) give them; biases are zero.
    """

    prior_loc: Tensor
    prior_scale: Tensor

    def __init__(
        self,
        pixels: int,
        latent_dim: int,
        hidden: tuple[int, ...],
        decoder_scale: float | str | None = None,
        layer_norm: bool = False,
        *,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.pixels, self.latent_dim = pixels, latent_dim
        self.encoder = Encoder(pixels, hidden, latent_dim, layer_norm)
        self.decoder = Decoder(latent_dim, hidden[::-1], pixels, decoder_scale, layer_norm)
        self.register_buffer("prior_loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("prior_scale", torch.ones(latent_dim), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=rng)
                nn.init.zeros_(module.bias)

    @property
    def prior(self) -> DiagonalNormal:
        return DiagonalNormal(self.prior_loc, self.prior_scale)

    @property
    def device(self) -> torch.device:
        return self.prior_loc.device

    def encode(self, x: Any) -> DiagonalNormal:
        """q(z | x) for x of shape (..., pixels), a tensor or an array."""
        return self.encoder(self._input("x", x, self.pixels))

    def decode(self, z: Any) -> Bernoulli | Normal:
        """p(x | z) for z of shape (..., latent_dim); `.mean` is the picture to show."""
        return self.decoder(self._input("z", z, self.latent_dim))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) in nats, summed over pixels: x (batch, pixels), z (..., batch, latent_dim) -> (..., batch)."""
        return self.decoder(z).log_prob(x).sum(-1)

    def kl(self, q: DiagonalNormal) -> Tensor:
        """KL(q(z | x) || p(z)) in nats, (batch,), in closed form."""
        return kl_divergence(q, self.prior)

    @torch.no_grad()
    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        """n draws of x, (n, pixels): z from the prior, then x from the decoder. `rng` lives on the model's device."""
        z = self.prior.sample(n, rng=rng)
        return self.decode(z).sample(rng=rng)

    def _input(self, name: str, value: Any, size: int) -> Tensor:
        tensor = torch.as_tensor(value, dtype=self.prior_loc.dtype, device=self.device)
        if tensor.ndim < 1 or tensor.shape[-1] != size:
            raise ValueError(
                f"Expected `{name}` to have a last axis of size {size}, but got shape {tuple(tensor.shape)}."
                + (
                    " Are the images flattened? x.reshape(len(x), -1) does it."
                    if name == "x" and tensor.ndim > 1
                    else ""
                )
            )
        return tensor


def loss(model: VAE, x: Tensor, noise: Tensor, *, objective: str = "elbo", beta: float = 1.0) -> tuple[Tensor, Terms]:
    """The number to minimize, and its terms for each example. Pure: the same arguments give the same result.

    - objective "elbo": -mean_x [ 1/K sum_k log p(x | z_k) - beta KL(q(z | x) || p(z)) ]
    - objective "iwae": -mean_x log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)

    with z_k = loc + scale * noise_k.

    Args:
        x: (batch, pixels). noise: (K, batch, latent_dim), standard normal.
        beta: weight of the KL; only 1 maximizes a bound on log p(x).

    Source: Kingma and Welling 2014, equation (10); Burda, Grosse and Salakhutdinov 2016, equation (8).
    """
    q = model.encoder(x)
    z = q.transform(noise)  # (K, batch, latent_dim)
    kl = model.kl(q)  # (batch,)
    log_likelihood = model.log_likelihood(x, z)  # (K, batch)
    if objective == "iwae":
        log_weights = log_likelihood + model.prior.log_prob(z) - q.log_prob(z)
        maximized = importance_weighted_bound(log_weights, axis=0)
    else:
        maximized = elbo(log_likelihood.mean(0), kl, beta)
    return -maximized.mean(), Terms(maximized, log_likelihood.mean(0), kl)


@torch.no_grad()
def start_at(model: VAE, mean: Tensor) -> None:
    """Set the biases that look at the data or the prior, before training. `mean` is the training set's, (pixels,).

    - The first layer sees pixels as distances from their mean.
    - The decoder starts at the mean image (its logit, with probabilities clipped to [0.001, 0.999], as Burda et al.
      2016 did), so that training need not learn first that corners are black.
    - The posterior starts narrower than the prior, at scale 1/e: latents carry news from the first step, and fewer of
      them are given up early.
    """
    first = model.encoder.body[0]
    assert isinstance(first, nn.Linear)
    first.bias.copy_(-first.weight @ mean)
    model.decoder.out.bias.copy_(torch.logit(mean, eps=1e-3) if model.decoder.bernoulli else mean)
    model.encoder.log_scale.bias.fill_(-1.0)


def saturation(q: DiagonalNormal) -> Tensor:
    """Share of scales that lie near their bounds, 0 in a sound model. There the encoder would leave if it could."""
    return (q.scale.log().abs() > SATURATED * LOG_SCALE_BOUND).to(q.scale.dtype).mean()


def bounded(log_scale: Tensor) -> Tensor:
    """Smoothly within +-LOG_SCALE_BOUND, and nearly the identity in between: there is a gradient everywhere."""
    return LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose weights are still to be drawn; PyTorch would draw them from its hidden generator."""
    return nn.utils.skip_init(nn.Linear, inputs, outputs)


def mlp(sizes: tuple[int, ...], layer_norm: bool) -> nn.Sequential:
    """Linear, (LayerNorm,) ReLU for each pair of neighboring sizes."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [linear(inputs, outputs), *([nn.LayerNorm(outputs)] if layer_norm else []), nn.ReLU()]
    return nn.Sequential(*layers)
