"""What a training run is asked to do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, get_args

from vaelib.data import NAMED, Data
from vaelib.objectives import OBJECTIVES
from vaelib.vae import ACTIVATIONS, Kind


class RunError(ValueError):
    """A run cannot be started, continued or read as asked. The message says what was expected and what to do."""


WIDTHS = "widths >= 1, such as 500 or 200,200"
STEPS = 6000  # of optimization suit a small network on your own data: epochs are chosen to make about so many


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run. The defaults are for the digits; `TrainConfig.suited_to` gives those for other data."""

    data: str = "digits"  # a name that vaelib.data.load knows, or the path of a .npy or .npz file, or of a folder
    binarization: str = "auto"  # dynamic, fixed, none, dequantized; auto: what suits data and decoder, or an error
    decoder: str = "bernoulli"  # or "gaussian", or "discretized-logistic", of grey levels and colours
    decoder_scale: float | None = None  # of a decoder that is not Bernoulli; None: learned, one number for all pixels
    latent_dim: int = 10  # all are used on the digits; 5 cost 0.2 nats, 20 gain nothing
    network: str = "dense"  # or "conv": 3 x 3 convolutions of stride 2
    hidden: tuple[int, ...] = (400,)  # the encoder's, from x to z; the decoder mirrors them. Widths, or channels
    activation: str = "relu"  # or tanh, of the hidden units
    layer_norm: bool = True  # 0.1 nats better on the digits, and keeps the latents of deeper networks alive
    objective: str = "elbo"  # or another of vaelib.objectives, such as iwae
    importance_samples: int = 1  # K, draws of z for each x and step
    beta: float = 1.0  # weight of the KL; only 1.0 maximizes the ELBO
    warmup: int = 0  # epochs in which beta rises in equal steps from 0
    free_bits: float = 0.0  # nats that the KL of each latent may take before it costs anything
    epochs: int = 400
    validation: float = 0.0  # share of the training set that is held out to choose the best epoch by
    patience: int | None = None  # epochs without a better validation bound after which training stops
    batch_size: int = 128
    learning_rate: float = 3e-3  # of Adam
    schedule: str = "constant"  # cosine: down to 0 over the epochs; burda: by 10^(-1/7) after 1, 3, 9, 27, ... passes
    seed: int = 0  # of the weights, the order of examples, the binarization and the noise
    dtype: str = "float32"  # or float64
    device: str = "auto"  # cuda where there is one, otherwise cpu
    compile: bool = False  # the step, by torch.compile: for long runs
    tf32: bool = False  # on a GPU: matrix products with 10 bits of mantissa, faster for batches of thousands

    def __post_init__(self) -> None:
        _expect(isinstance(self.hidden, Iterable) and not isinstance(self.hidden, str), self, "hidden", WIDTHS)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        known = f"{', '.join(NAMED)}, or the path of a file"
        _expect(isinstance(self.data, str) and bool(self.data), self, "data", known)
        for name in ("layer_norm", "compile", "tf32"):
            _expect(isinstance(getattr(self, name), bool), self, name, "True or False")
        for name, choices in CHOICES.items():
            _expect(getattr(self, name) in choices, self, name, " or ".join(choices))
        for name in ("latent_dim", "importance_samples", "epochs", "batch_size"):
            _expect(_whole(getattr(self, name), 1), self, name, "a whole number >= 1")
        _expect(_whole(self.warmup, 0), self, "warmup", "a whole number >= 0")
        _expect(_whole(self.seed, 0) and self.seed < 2**32, self, "seed", "a whole number from 0 to 2^32 - 1")
        for name in ("learning_rate", "decoder_scale"):
            value = getattr(self, name)
            optional = name == "decoder_scale"
            _expect((value is None and optional) or (_number(value) and value > 0), self, name, "finite and > 0")
        for name in ("beta", "free_bits"):
            _expect(_number(getattr(self, name)) and getattr(self, name) >= 0, self, name, "finite and >= 0")
        _expect(all(_whole(width, 1) for width in self.hidden), self, "hidden", WIDTHS)
        share = "a share of the training set, 0 <= share < 1"
        _expect(_number(self.validation) and 0 <= self.validation < 1, self, "validation", share)
        _expect(self.patience is None or _whole(self.patience, 1), self, "patience", "a whole number >= 1")
        weighted, linear = self.objective in ("iwae", "dreg"), self.decoder == "gaussian" and not self.hidden
        no_kl = f"with the objective {self.objective}, which has no KL"
        for good, name, rule in (
            (self.beta == 1.0 or not weighted, "beta", f"1 {no_kl}"),
            (self.warmup == 0 or not weighted, "warmup", f"0 {no_kl}"),
            (self.free_bits == 0 or self.objective in ("elbo", "elbo-exact"), "free_bits", "0 where the KL is sampled"),
            (self.objective != "elbo-exact" or linear, "objective", "elbo or another that samples z, unless the"
             " decoder is Gaussian and linear (no hidden layers), where the expected log-likelihood has a closed form"),
            (self.objective != "score-baseline" or self.importance_samples > 1, "importance_samples",
             ">= 2 with the objective score-baseline, where each sample is compared with the others"),
            (self.decoder_scale is None or self.decoder != "bernoulli", "decoder_scale",
             "left out with a Bernoulli decoder, which has none"),
            (self.patience is None or self.validation > 0, "patience", "left out without a validation set to watch"),
            (self.network == "dense" or bool(self.hidden), "hidden", "one or more channel counts with conv"),
            (self.activation == "relu" or bool(self.hidden), "activation", "left out without hidden layers"),
            (self.network == "dense" or not self.layer_norm, "layer_norm", "off with network conv, which has none"),
        ):  # fmt: skip
            _expect(good, self, name, rule)

    @staticmethod
    def suited_to(data: Data, **chosen: Any) -> TrainConfig:
        """The settings for these data, but for those that are chosen.

        - digits: the defaults above.
        - mnist: one hidden layer of 500 units, 20 latents, 30 epochs, as in Kingma and Welling 2014.
        - glyphs, glyphs62: hidden layers of 500 and 200 units, 16 latents, 10 epochs at a rate that falls to 0.
        - patches-rgb: 128 latents, 10 epochs of minibatches of 32 at a rate that falls to 0. The decoder's scale is one
          number that starts far above its optimum: some thousand steps get it there, some hundred do not.
        - your own data: the defaults, with as many epochs as make about 6,000 steps (at least 10, or 1
          where they stream from disk, and at most 400).
        - network conv: two convolutions of 32 and 64 channels.
        """
        suited: dict[str, Any] = {}
        if data.name == "mnist":
            suited = {"hidden": (500,), "latent_dim": 20, "layer_norm": False, "learning_rate": 1e-3, "epochs": 30}
        elif data.name in ("glyphs", "glyphs62"):
            suited = {"hidden": (500, 200), "latent_dim": 16, "learning_rate": 2e-3, "schedule": "cosine", "epochs": 10}
        elif data.name == "patches-rgb":
            suited = {"latent_dim": 128, "batch_size": 32, "learning_rate": 2e-3, "schedule": "cosine", "epochs": 10}
        elif data.name != "digits":
            steps_per_epoch = -(-data.examples // (chosen.get("batch_size") or TrainConfig.batch_size))
            least = 10 if data.stream is None else 1
            suited = {"epochs": min(400, max(least, round(STEPS / steps_per_epoch)))}
        if chosen.get("network") == "conv":
            suited |= {"hidden": (32, 64), "layer_norm": False, "learning_rate": 1e-3}
        return TrainConfig(**{**suited, **chosen, "data": data.name})

    def as_dict(self) -> dict[str, Any]:
        """For JSON and checkpoints, which know lists but no tuples."""
        return {**dataclasses.asdict(self), "hidden": list(self.hidden)}


CHOICES = {
    "binarization": ("auto", "dynamic", "fixed", "none", "dequantized"),
    "decoder": get_args(Kind),
    "network": ("dense", "conv"),
    "activation": tuple(ACTIVATIONS),
    "objective": tuple(OBJECTIVES),
    "schedule": ("constant", "cosine", "burda"),
    "dtype": ("float32", "float64"),
    "device": ("auto", "cpu", "cuda"),
}


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _expect(good: bool, config: TrainConfig, name: str, rule: str) -> None:
    if not good:
        raise RunError(f"Expected `{name}` to be {rule}, but got {getattr(config, name)!r}.")


def beta(config: TrainConfig, epoch: int) -> float:
    """The weight of the KL in an epoch, counted from 0: it rises from 0 in `warmup` equal steps to `config.beta`.

    Source: Sonderby et al. 2016, section 2.
    """
    return config.beta * min(1.0, epoch / config.warmup) if config.warmup else config.beta


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """The learning rate of an epoch, counted from 0.

    `burda` holds 10^(-i/7) of the initial rate for 3^i passes, i = 0 ... 7, 3,280 in all, and then the last.

    Source: Burda, Grosse and Salakhutdinov 2016, section 5.
    """
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / config.epochs))
    if config.schedule == "burda":
        stage, passes = 0, 1
        while stage < 7 and epoch >= passes:
            stage += 1
            passes += 3**stage
        return config.learning_rate * 10 ** (-stage / 7)
    return config.learning_rate
