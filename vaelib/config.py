"""What a training run is asked to do."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from vaelib.data import Data


class RunError(ValueError):
    """A run cannot be started, continued or read as asked. The message says what was expected and what to do."""


STEPS = 6000  # of optimization suit a small network on your own data: epochs are chosen to make about so many


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run. The defaults are for the digits; `TrainConfig.suited_to` gives those for other data."""

    data: str = "digits"  # "digits", "mnist" or the path of a .npy or .npz file
    binarization: str = "auto"  # dynamic, fixed or none; auto: what suits data and decoder, or an error
    decoder: str = "bernoulli"  # or "gaussian"
    decoder_scale: float | None = None  # of a Gaussian decoder; None: learned, one number for all pixels
    latent_dim: int = 10  # all are used on the digits; 5 cost 0.2 nats, 20 gain nothing
    hidden: tuple[int, ...] = (400,)  # the encoder's, from x to z; the decoder mirrors them
    layer_norm: bool = True  # 0.1 nats better on the digits, and keeps the latents of deeper networks alive
    objective: str = "elbo"  # or "iwae", the importance-weighted bound
    importance_samples: int = 1  # K, draws of z for each x and step
    beta: float = 1.0  # weight of the KL; only 1.0 maximizes the ELBO
    epochs: int = 400
    batch_size: int = 100
    learning_rate: float = 3e-3  # of Adam
    schedule: str = "constant"  # cosine: down to 0 over the epochs; burda: by 10^(-1/7) after 1, 3, 9, 27, ... passes
    seed: int = 0  # of the weights, the order of examples, the binarization and the noise
    device: str = "auto"  # cuda where there is one, else cpu

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, choices in CHOICES.items():
            _expect(getattr(self, name) in choices, self, name, " or ".join(choices))
        for name in ("latent_dim", "importance_samples", "epochs", "batch_size"):
            value = getattr(self, name)
            _expect(isinstance(value, int) and value >= 1, self, name, "a whole number >= 1")
        for name in ("learning_rate", "decoder_scale"):
            value = getattr(self, name)
            _expect(value is None or 0 < value < float("inf"), self, name, "finite and > 0")
        _expect(0 <= self.beta < float("inf"), self, "beta", "finite and >= 0")
        _expect(isinstance(self.seed, int) and self.seed >= 0, self, "seed", "a whole number >= 0")
        widths = all(isinstance(width, int) and width >= 1 for width in self.hidden)
        _expect(bool(self.hidden) and widths, self, "hidden", "one or more widths >= 1, such as 500 or 200,200")
        _expect(
            self.beta == 1.0 or self.objective == "elbo",
            self,
            "beta",
            "1 with the objective iwae, which has no KL term",
        )
        _expect(
            self.decoder_scale is None or self.decoder == "gaussian",
            self,
            "decoder_scale",
            "left out with a Bernoulli decoder, which has none",
        )

    @staticmethod
    def suited_to(data: Data, **chosen: Any) -> TrainConfig:
        """The settings for these data, but for those that are chosen.

        - digits: the defaults above.
        - mnist: one hidden layer of 500 units, 20 latents, 30 epochs, as in Kingma and Welling 2014.
        - your own data: the defaults, with as many epochs as make about 6,000 steps (at least 10, at most 400).
        """
        if data.name == "mnist":
            suited: dict[str, Any] = {
                "hidden": (500,),
                "latent_dim": 20,
                "layer_norm": False,
                "learning_rate": 1e-3,
                "epochs": 30,
            }
        elif data.name == "digits":
            suited = {}
        else:
            steps_per_epoch = -(-len(data.train) // chosen.get("batch_size", TrainConfig.batch_size))
            suited = {"epochs": min(400, max(10, round(STEPS / steps_per_epoch)))}
        return TrainConfig(**{**suited, **chosen, "data": data.name})

    def as_dict(self) -> dict[str, Any]:
        """For JSON and checkpoints, which know lists but no tuples."""
        return {**dataclasses.asdict(self), "hidden": list(self.hidden)}


CHOICES = {
    "binarization": ("auto", "dynamic", "fixed", "none"),
    "decoder": ("bernoulli", "gaussian"),
    "objective": ("elbo", "iwae"),
    "schedule": ("constant", "cosine", "burda"),
    "device": ("auto", "cpu", "cuda"),
}


def _expect(good: bool, config: TrainConfig, name: str, rule: str) -> None:
    if not good:
        raise RunError(f"Expected `{name}` to be {rule}, but got {getattr(config, name)!r}.")


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
