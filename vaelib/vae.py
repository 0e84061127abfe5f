"""The variational autoencoder: two networks that return distributions. All randomness enters as an argument."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vaelib._door import as_arrays, count, described
from vaelib._quiet import settled
from vaelib.data.core import COLOURS, in_colour
from vaelib.data.unit import Unit
from vaelib.distributions import Bernoulli, DiagonalNormal, DiscretizedLogistic, Normal, kl_divergence

LOG_SCALE_BOUND = 7.0  # scales stay within e^-7 and e^7, a millionfold range: no exp overflows, no variance vanishes
SATURATED = 0.95  # of the bound; there tanh has lost nine tenths of its slope
Kind = Literal["bernoulli", "gaussian", "discretized-logistic"]
IN_WORDS: dict[Kind, str] = {
    "bernoulli": "Bernoulli",
    "gaussian": "Gaussian",
    "discretized-logistic": "discretized logistic",
}
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
Likelihood = Bernoulli | Normal | DiscretizedLogistic


class Encoder(nn.Module):
    """x (..., pixels) -> q(z | x), a DiagonalNormal over (..., latent_dim).

    Args:
        body: x -> features (..., width).
    """

    def __init__(self, body: nn.Module, width: int, latent_dim: int) -> None:
        super().__init__()
        self.body = body
        self.loc = linear(width, latent_dim)
        self.log_scale = linear(width, latent_dim)

    def forward(self, x: Tensor) -> DiagonalNormal:
        h = self.body(x)
        return DiagonalNormal(self.loc(h), bounded(self.log_scale(h)).exp())


class Decoder(nn.Module):
    """z (..., latent_dim) -> p(x | z): Bernoulli, Normal or DiscretizedLogistic, one for each pixel.

    Args:
        body: z -> features. out: features -> one number for each pixel, (..., pixels).
        scale: None for a Bernoulli decoder, a number for a Gaussian one of that fixed standard deviation, and "learned"
            for one number, common to all pixels, that is trained with the rest: its optimum is the root mean squared
            error.
        levels: of pixels that are stored as levels, 256 in bytes; then the scale is that of a logistic, cut into so
            many levels from 0 to 1. None: there are none.
    """

    fixed_scale: Tensor

    def __init__(
        self, body: nn.Module, out: nn.Module, scale: float | str | None = None, levels: int | None = None
    ) -> None:
        super().__init__()
        if levels is not None and scale is None:
            raise ValueError(f"Expected a `scale` beside `levels`, a number or 'learned', but got None with {levels}.")
        self.body, self.out, self.levels = body, out, levels
        self.bernoulli, self.learned = scale is None, isinstance(scale, str)
        if self.learned:
            self.log_scale = nn.Parameter(torch.zeros(()))
        elif scale is not None:
            self.register_buffer("fixed_scale", torch.tensor(float(scale)))

    @property
    def kind(self) -> Kind:
        """What it is a probability, or a density, of."""
        return "bernoulli" if self.bernoulli else "gaussian" if self.levels is None else "discretized-logistic"

    def forward(self, z: Tensor) -> Likelihood:
        # one row for each z: PyTorch's layers take three axes, too, but spend a percent of a step on them
        out = self.out(self.body(z.reshape(-1, z.shape[-1]))).view(*z.shape[:-1], -1)
        if self.bernoulli:
            return Bernoulli(out)
        return Normal(out, self.scale) if self.levels is None else DiscretizedLogistic(out, self.scale, self.levels)

    @property
    def scale(self) -> Tensor:
        """Of a Gaussian decoder, its standard deviation, or of a logistic one.

        One that is fixed is taken as given, one that is learned is bounded.
        """
        return bounded(self.log_scale).exp() if self.learned else self.fixed_scale


class VAE(nn.Module):
    """p(z) = N(0, I), decoder p(x | z), encoder q(z | x).

    `encode`, `decode`, `sample` and the likelihoods are in the unit of the data. `encoder` and `decoder`, the networks,
    are in that which `unit` makes of it (see `vaelib.data.unit`); most often the two are the same.

    Args:
        pixels: numbers in an example.
        latent_dim: numbers in z.
        hidden: widths of the encoder's hidden layers, from x to z; the decoder mirrors them. () makes a linear VAE.
        decoder_scale: None for a Bernoulli decoder; see `Decoder`.
        layer_norm: normalize each hidden layer (Ba, Kiros and Hinton 2016).
        levels: of pixels that are stored as levels, for a discretized logistic; see `Decoder`.
        image_shape: (height, width) of the images for a convolutional VAE, or (height, width, 3) in colour; `hidden`
            then counts the channels of convolutions of 3 x 3 and stride 2.
        activation: of the hidden units, relu or tanh.
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
        levels: int | None = None,
        image_shape: tuple[int, ...] | None = None,
        activation: str = "relu",
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        if activation not in tuple(ACTIVATIONS):
            raise ValueError(f"Expected `activation` to be {' or '.join(ACTIVATIONS)}, but got {activation!r}.")
        if image_shape is not None and (not hidden or math.prod(image_shape) != pixels):
            raise ValueError(
                f"Expected `image_shape` to hold {pixels} pixels, and at least one channel count in `hidden`, but got"
                f" {image_shape} and {hidden}."
            )
        if image_shape is not None and len(image_shape) != 2 and not in_colour(image_shape):
            raise ValueError(
                f"Expected `image_shape` to be (height, width), or (height, width, {COLOURS}) for colour, but got"
                f" {image_shape}."
            )
        self.pixels, self.latent_dim, self.linear = pixels, latent_dim, not hidden
        self.unit = Unit()
        if image_shape is None:
            networks = dense((pixels, *hidden, latent_dim), layer_norm, ACTIVATIONS[activation])
        else:
            networks = convolutions(image_shape, hidden, latent_dim, ACTIVATIONS[activation])
        width, body, back, out = networks
        self.encoder = Encoder(body, width, latent_dim)
        self.decoder = Decoder(back, out, decoder_scale, levels)
        self.register_buffer("prior_loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("prior_scale", torch.ones(latent_dim), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                assert module.bias is not None
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
        return self.encoder(self._input("x", self._inward(x), self.pixels))

    def decode(self, z: Any) -> Likelihood:
        """p(x | z) for z of shape (..., latent_dim); `.mean` is the picture to show."""
        p = self.decoder(self._input("z", z, self.latent_dim))
        if self.unit.trivial or not isinstance(p, Normal):
            return p
        return Normal(self.unit.outward(p.loc), p.scale * self.unit.scale)

    def log_likelihood(self, x: Tensor, z: Tensor, *, standardized: bool = False) -> Tensor:
        """log p(x | z) in nats, summed over pixels: x (batch, pixels), z (..., batch, latent_dim) -> (..., batch).

        Args:
            standardized: x is in the networks' unit, as a minibatch is in training, and so is the density.
        """
        as_it_is = standardized or self.unit.trivial
        if not as_it_is:
            x = self._inward(x)
        if not settled():
            x, z = self._input("x", x, self.pixels), self._input("z", z, self.latent_dim)
        if as_it_is:
            return self.decoder(z).log_prob(x).sum(-1)
        density = self.decoder(z).log_prob(x.to(self.prior_loc.dtype)).sum(-1)
        density = density.double()  # beside a shift that can be large
        return density + self.unit.log_jacobian(self.pixels)

    def expected_log_likelihood(self, x: Tensor, q: DiagonalNormal, *, standardized: bool = False) -> Tensor:
        """E_q[log p(x | z)] in nats, (batch,), in closed form, for a linear Gaussian decoder.

        log N(x; W m + b, c I) - tr(W S W^T) / (2 c), with q = N(m, S). Source: Lucas et al. 2019, equation (9).

        Raises:
            TypeError: the decoder is not linear, or not Gaussian.
        """
        if not self.linear or self.decoder.kind != "gaussian":
            kind = self.decoder.kind
            raise TypeError(
                "Expected a linear Gaussian decoder, for which the expectation has a closed form, but got "
                f"{'hidden layers' if kind == 'gaussian' else f'a {IN_WORDS[kind]} decoder'}. Sample it: objective"
                " elbo."
            )
        if not isinstance(q, DiagonalNormal):
            raise TypeError(f"Expected `q` to be a DiagonalNormal of vaelib, but got {described(q)}.")
        assert isinstance(self.decoder.out, nn.Linear)
        loading, scale = self.decoder.out.weight, self.decoder.scale  # (pixels, latent_dim), ()
        spread = q.variance @ (loading**2).sum(0)  # tr(W S W^T), (batch,)
        return self.log_likelihood(x, q.loc, standardized=standardized) - spread / (2.0 * scale**2)

    @property
    def learned_scale(self) -> float | None:
        """The scale that a decoder has learned, in the unit of the data; None if it has not.

        Of a Gaussian one it is the standard deviation, of a logistic one sqrt(3) / pi of that.
        """
        return float(self.decoder.scale.detach()) * self.unit.scale if self.decoder.learned else None

    @property
    def scale_at_bound(self) -> bool:
        """Does a learned scale lie at its bound? Then it is not the best one."""
        return self.decoder.learned and float(self.decoder.scale.detach().log().abs()) > SATURATED * LOG_SCALE_BOUND

    def placed(self, x: Tensor) -> Tensor:
        """x on the model's device, and in its precision unless an offset is still to be taken off."""
        return x.to(self.device, self.prior_loc.dtype if self.unit.trivial else x.dtype)

    def kl(self, q: DiagonalNormal) -> Tensor:
        """KL(q(z | x) || p(z)) in nats, (batch,), in closed form."""
        return kl_divergence(q, self.prior)

    @torch.no_grad()
    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        """n draws of x, (n, pixels): z from the prior, then x from the decoder. `rng` lives on the model's device."""
        z = self.prior.sample(count("n", n), rng=rng)
        return self.decode(z).sample(rng=rng)

    def _inward(self, x: Any) -> Any:
        """In the precision of x: in that of the model, a small spread far from 0 would be lost."""
        if self.unit.trivial:
            return x
        return self.unit.inward(x if isinstance(x, Tensor) else np.asarray(x))

    def _input(self, name: str, value: Any, size: int) -> Tensor:
        beside = {} if isinstance(value, Tensor) else {"the model": self.prior_loc}
        tensor = as_arrays(**{name: value}, **beside)[0].to(device=self.device, dtype=self.prior_loc.dtype)
        if tensor.ndim < 1 or tensor.shape[-1] != size:
            hint = ""
            if name == "x" and tensor.ndim > 0 and size == COLOURS * tensor.shape[-1]:
                hint = " Are these grey images, for a model of colour ones? numpy.repeat(x, 3, axis=-1) makes them so."
            elif name == "x" and tensor.ndim > 0 and tensor.shape[-1] == COLOURS * size:
                hint = (
                    " Are these colour images, for a model of grey ones? numpy.reshape(x, (len(x), -1, 3)).mean(-1)"
                    " makes them grey."
                )
            elif name == "x" and tensor.ndim > 1:
                hint = " Are the images flattened? x.reshape(len(x), -1) does it."
            raise ValueError(
                f"Expected `{name}` to have a last axis of size {size}, but got shape {tuple(tensor.shape)}.{hint}"
            )
        return tensor


@torch.no_grad()
def start_at(model: VAE, mean: Tensor, deviation: float = 1.0) -> None:
    """Set what looks at the data or the prior, before training.

    Args:
        mean: of the training set, (pixels,). deviation: root mean squared distance of its pixels from that mean.

    - The first layer sees pixels as distances from their mean.
    - The decoder starts at the mean image (its logit, with probabilities clipped to [0.001, 0.999], as Burda et al.
      2016 did), so that training need not learn first that corners are black. A convolutional one has one bias for
      all pixels, or for all of one colour, and starts at their mean. A learned scale starts at the deviation, its
      optimum then, and that of a logistic at the one that has this deviation.
    - The posterior starts narrower than the prior, at scales near 1/e: latents carry news from the first step, and
      fewer of them are given up early.
    """
    encoder, out = model.encoder, model.decoder.out
    if model.linear:
        encoder.log_scale.weight.zero_()  # as at the optimum; a scale that is exponential in x would start far off
    first = encoder.loc if model.linear else next(encoder.body.children())
    if isinstance(first, nn.Linear):
        first.bias.copy_(-first.weight @ mean)
    layer = out[0] if isinstance(out, OverImages) else out
    assert isinstance(layer, nn.Linear | nn.ConvTranspose2d) and layer.bias is not None
    bias = layer.bias
    start = mean if len(bias) == len(mean) else mean.reshape(-1, len(bias)).mean(0)
    bias.copy_(torch.logit(start, eps=1e-3) if model.decoder.bernoulli else start)
    if model.decoder.learned:
        spread = deviation if model.decoder.levels is None else deviation * math.sqrt(3.0) / math.pi
        model.decoder.log_scale.fill_(unbounded(math.log(spread)))
    encoder.log_scale.bias.sub_(1.0)


def saturation(q: DiagonalNormal) -> Tensor:
    """Share of scales that lie near their bounds, 0 in a sound model. There the encoder would leave if it could."""
    return (q.scale.log().abs() > SATURATED * LOG_SCALE_BOUND).to(q.scale.dtype).mean()


def bounded(log_scale: Tensor) -> Tensor:
    """Smoothly within +-LOG_SCALE_BOUND, and nearly the identity in between: there is a gradient everywhere."""
    return LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer whose weights are still to be drawn; PyTorch would draw them from its hidden generator."""
    return nn.utils.skip_init(nn.Linear, inputs, outputs)


def unbounded(log_scale: float) -> float:
    """The argument for which `bounded` gives this log-scale; one beyond the bounds is taken to lie close to them."""
    return LOG_SCALE_BOUND * math.atanh(min(0.9, max(-0.9, log_scale / LOG_SCALE_BOUND)))


Networks = tuple[int, nn.Module, nn.Module, nn.Module]  # width of the features, encoder's body, decoder's body and out


def dense(sizes: tuple[int, ...], layer_norm: bool, activation: type[nn.Module]) -> Networks:
    """Fully connected layers of these sizes, from x to z, and back."""
    *widths, latent_dim = sizes
    back = (latent_dim, *widths[:0:-1])
    return (
        widths[-1],
        mlp(widths, layer_norm, activation),
        mlp(back, layer_norm, activation),
        linear(back[-1], widths[0]),
    )


def mlp(sizes: Sequence[int], layer_norm: bool, activation: type[nn.Module]) -> nn.Sequential:
    """Linear, (LayerNorm,) activation for each pair of neighboring sizes."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [linear(inputs, outputs), *([nn.LayerNorm(outputs)] if layer_norm else []), activation()]
    return nn.Sequential(*layers)


class Axes(nn.Module):
    """Puts the axes of images, (examples, ...), in another order: (0, 3, 1, 2) moves the last one to the front."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(self.order)


class OverImages(nn.Sequential):
    """Layers for images of some shape, such as (channels, height, width), on the last axis: (..., n) -> (..., m)."""

    def __init__(self, shape: tuple[int, ...], layers: list[nn.Module]) -> None:
        super().__init__(*layers)
        self.shape = shape

    def forward(self, flat: Tensor) -> Tensor:
        images = super().forward(flat.reshape(-1, *self.shape))
        return images.reshape(*flat.shape[:-1], images[0].numel())


def convolutions(
    image_shape: tuple[int, ...], channels: tuple[int, ...], latent_dim: int, activation: type[nn.Module]
) -> Networks:
    """Convolutions of 3 x 3 and stride 2 on images, from x to z, and back.

    Each convolution halves height and width, rounding up; the decoder goes back through the same sizes. Colours are the
    last axis of an image, and the channels of the outermost convolutions.
    """
    colours = COLOURS if in_colour(image_shape) else 1
    sizes = [image_shape[:2]]  # (height, width) before the first convolution, and after each
    for _ in channels:
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    small = (channels[-1], *sizes[-1])
    down: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((colours, *channels)):
        down += [nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3, stride=2, padding=1), activation()]
    up: list[nn.Module] = []
    for (inputs, outputs), (before, after) in zip(
        itertools.pairwise((*channels[::-1], colours)), itertools.pairwise(sizes[::-1]), strict=True
    ):
        even = (after[0] - 2 * before[0] + 1, after[1] - 2 * before[1] + 1)  # 1 where the size was even, otherwise 0
        layer = nn.utils.skip_init(nn.ConvTranspose2d, inputs, outputs, 3, stride=2, padding=1, output_padding=even)
        up += [layer, activation()]
    *inner, last, _ = up
    features, grey = math.prod(small), colours == 1
    return (
        features,
        OverImages((1, *image_shape) if grey else image_shape, [*([] if grey else [Axes(0, 3, 1, 2)]), *down]),
        nn.Sequential(linear(latent_dim, features), activation(), OverImages(small, inner)),
        OverImages((channels[0], *sizes[1]), [last, *([] if grey else [Axes(0, 2, 3, 1)])]),
    )
