"""The rows of training.py that need another library: the same networks and the same images, in its own loop."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _rows import BATCH, LATENT, PIXELS, RATE, Problem, Row, Textbook, endless, layers, network, pixels
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from vaelib.vae import VAE, bounded

SCANNED = 20  # steps that JAX takes in one call


def jax_steps(problem: Problem, scan: bool) -> Row:
    """The same networks and loss in JAX, with Adam spelled out; one step a call, or `SCANNED` by `lax.scan`."""
    import jax
    import jax.numpy as jnp

    images = jnp.asarray(problem.images)
    zeros = jax.tree.map(jnp.zeros_like, jax_parameters(network()))

    def step(state: Any, indices: Any) -> tuple[Any, Any]:
        parameters, first, second, count, key = state
        key, for_noise, for_pixels = jax.random.split(key, 3)
        x = images[indices].astype(jnp.float32)
        if problem.dynamic:
            x = jax.random.bernoulli(for_pixels, x / 255.0).astype(jnp.float32)
        noise = jax.random.normal(for_noise, (BATCH, LATENT))
        value, gradient = jax.value_and_grad(jax_loss)(parameters, x, noise)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)
        rate, spread = RATE / (1.0 - 0.9**count), 1.0 / (1.0 - 0.999**count)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(spread * v) + 1e-8), parameters, first, second
        )
        return (parameters, first, second, count, key), value

    many = SCANNED if scan else 1
    run = jax.jit((lambda state, indices: jax.lax.scan(step, state, indices)) if scan else step, donate_argnums=0)
    state = (jax_parameters(network()), zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()), jax.random.key(0))
    rng = np.random.default_rng(1)

    def call() -> None:
        nonlocal state
        indices = rng.choice(len(problem.images), (many, BATCH) if scan else BATCH)
        state, value = run(state, indices)
        jax.block_until_ready((state, value))

    return Row(call, many * BATCH)


def jax_parameters(model: VAE) -> list[tuple[Any, Any]]:
    """(weight (in, out), bias) of each layer."""
    import jax.numpy as jnp

    return [
        (jnp.array(each.weight.detach().numpy().T), jnp.array(each.bias.detach().numpy())) for each in layers(model)
    ]


def jax_loss(parameters: list[tuple[Any, Any]], x: Any, noise: Any) -> Any:
    """`plain_loss` in JAX."""
    import jax
    import jax.numpy as jnp

    def layer(number: int, a: Any) -> Any:
        weight, bias = parameters[number]
        return a @ weight + bias

    h = jax.nn.relu(layer(0, x))
    loc, log_scale = layer(1, h), 7.0 * jnp.tanh(layer(2, h) / 7.0)
    logits = layer(4, jax.nn.relu(layer(3, loc + jnp.exp(log_scale) * noise)))
    surprise = (jax.nn.softplus(logits) - x * logits).sum() / len(x)
    return surprise + 0.5 * (loc**2 + jnp.exp(2.0 * log_scale) - 2.0 * log_scale - 1.0).sum() / len(x)


def tensors(problem: Problem) -> TensorDataset:
    return TensorDataset(torch.from_numpy(problem.images).float() / problem.white)


def pyro_svi(problem: Problem) -> Row:
    """Pyro's SVI with its sampled ELBO, fed by a DataLoader, validation off."""
    import pyro
    import pyro.distributions as dist

    pyro.clear_param_store()
    pyro.enable_validation(False)
    net = network()
    zeros, ones = torch.zeros(BATCH, LATENT), torch.ones(BATCH, LATENT)

    def model(x: Tensor) -> None:
        pyro.module("decoder", net.decoder)
        with pyro.plate("batch", len(x)):
            z = pyro.sample("z", dist.Normal(zeros, ones).to_event(1))
            logits = net.decoder.out(net.decoder.body(z))
            pyro.sample("x", dist.Bernoulli(logits=logits, validate_args=False).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", net.encoder)
        with pyro.plate("batch", len(x)):
            h = net.encoder.body(x)
            scale = bounded(net.encoder.log_scale(h)).exp()
            pyro.sample("z", dist.Normal(net.encoder.loc(h), scale).to_event(1))

    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": RATE}), loss=pyro.infer.Trace_ELBO())
    feed = endless(DataLoader(tensors(problem), batch_size=BATCH, shuffle=True))
    return Row(lambda: svi.step(pixels(problem, next(feed)[0])), BATCH)


def lightning_fit(problem: Problem) -> Row:
    """An epoch of Lightning's `Trainer.fit`, bars and checkpoints off; its setting up is in the time."""
    import logging
    import warnings

    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Textbook()

        def training_step(self, batch: list[Tensor], number: int) -> Tensor:
            return self.net(pixels(problem, batch[0]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    module, loader = Module(), DataLoader(tensors(problem), batch_size=BATCH, shuffle=True)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)

    def call() -> None:
        lightning.Trainer(max_epochs=1, accelerator="cpu", devices=1, **quiet).fit(module, loader)

    return Row(call, len(problem.images))


def pythae_epoch(problem: Problem) -> Row:
    """An epoch of Pythae's `BaseTrainer.train_step`, around the common networks."""
    import logging

    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    net, shape = network(), (1, 28, 28)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = net.encoder

        def forward(self, x: Tensor) -> Any:
            h = self.net.body(x.reshape(-1, PIXELS))
            return ModelOutput(embedding=self.net.loc(h), log_covariance=2.0 * bounded(self.net.log_scale(h)))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = net.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.net.out(self.net.body(z))).reshape(-1, *shape))

    class Model(PythaeVAE):
        def forward(self, inputs: Any, **settings: Any) -> Any:
            inputs["data"] = pixels(problem, inputs["data"]).reshape(-1, *shape)
            return super().forward(inputs, **settings)

    images = tensors(problem).tensors[0].reshape(-1, *shape)
    sizes = {"per_device_train_batch_size": BATCH, "learning_rate": RATE, "no_cuda": True}
    with tempfile.TemporaryDirectory() as folder:  # nothing is saved
        trainer = BaseTrainer(
            Model(VAEConfig(input_dim=shape, latent_dim=LATENT, reconstruction_loss="bce"), Encoder(), Decoder()),
            train_dataset=BaseDataset(images, torch.zeros(len(images))),
            training_config=BaseTrainerConfig(output_dir=folder, **sizes),
        )
        trainer.prepare_training()

    def call() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # its bar
            trainer.train_step(1)

    return Row(call, len(images))


ROWS: dict[str, Callable[[Problem], Row]] = {
    "jax jit": lambda problem: jax_steps(problem, scan=False),
    "jax scan": lambda problem: jax_steps(problem, scan=True),
    "pyro": pyro_svi,
    "lightning": lightning_fit,
    "pythae": pythae_epoch,
}
NEEDS = {"jax jit": "jax", "jax scan": "jax", "pyro": "pyro", "lightning": "lightning", "pythae": "pythae"}
