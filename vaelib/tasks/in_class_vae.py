"""A VAE in six pieces, as a class writes it in notebook 09: the course's own answers, known mistakes, the judges."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vaelib.feedback import Feedback, looks_like, not_yet, number
from vaelib.task import placed
from vaelib.tasks.n09_vae import IN_CLASS

TASKS = {task.id: task for task in IN_CLASS}
PIXELS = 784

# ---------------------------------------------------------------------------------------------- the course's own six


class Encoder(nn.Module):
    """x (batch, inputs) -> loc and log_scale of q(z | x), each (batch, latents)."""

    def __init__(self, latents: int, inputs: int = 784, hidden: int = 400) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU())
        self.loc = nn.Linear(hidden, latents)
        self.log_scale = nn.Linear(hidden, latents)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.loc(h), self.log_scale(h)


def reparameterize(loc: Tensor, log_scale: Tensor, noise: Tensor) -> Tensor:
    """z = loc + scale * noise, (batch, latents)."""
    return loc + torch.exp(log_scale) * noise


class Decoder(nn.Module):
    """z (batch, latents) -> one logit a pixel, (batch, 784)."""

    def __init__(self, latents: int, hidden: int = 400) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, 784))

    def forward(self, z: Tensor) -> Any:
        return self.net(z)


def log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x | z) of each image, (batch,), in nats: x log s + (1 - x) log(1 - s), summed over pixels."""
    return (x * logits - nn.functional.softplus(logits)).sum(-1)


def kl(loc: Tensor, log_scale: Tensor) -> Tensor:
    """KL(q(z | x) || N(0, I)) of each image, (batch,), in nats."""
    variance = torch.exp(2 * log_scale)
    return 0.5 * (variance + loc**2 - 1 - 2 * log_scale).sum(-1)


def step(encoder: Any, decoder: Any, optimizer: torch.optim.Optimizer, x: Tensor, noise: Tensor) -> float:
    """One step of the optimizer on a batch; returns the loss, in nats per image."""
    loc, log_scale = encoder(x)
    logits = decoder(reparameterize(loc, log_scale, noise))
    loss = -(log_likelihood(x, logits) - kl(loc, log_scale)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# --------------------------------------------------------------------------------- mistakes that are modules or steps


class ScaleItself(Encoder):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = super().forward(x)
        return loc, log_scale.exp()


class OneOutput(Encoder):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, _ = super().forward(x)
        return loc, loc


class StraightEncoder(Encoder):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body[0](x)
        return self.loc(h), self.log_scale(h)


class HiddenFromTheOptimizer(nn.Module):
    def __init__(self, latents: int, inputs: int = 784) -> None:
        super().__init__()
        self.parts = [Encoder(latents, inputs)]

    def forward(self, x: Tensor) -> Any:
        return self.parts[0](x)


class NeverNegative(Encoder):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = super().forward(x)
        return loc.relu(), log_scale


class Probabilities(Decoder):
    def forward(self, z: Tensor) -> Any:
        return torch.sigmoid(super().forward(z))


class StraightDecoder(Decoder):
    def forward(self, z: Tensor) -> Any:
        return self.net[2](self.net[0](z))


class NeverPaper(Decoder):
    def forward(self, z: Tensor) -> Any:
        return super().forward(z).relu()


def sigmoid_first(x: Tensor, logits: Tensor) -> Tensor:
    ink = torch.sigmoid(logits)
    return (torch.where(x > 0, ink, 1 - ink)).log().sum(-1)


def scale_for_variance(loc: Tensor, log_scale: Tensor) -> Tensor:
    return 0.5 * (log_scale.exp() + loc**2 - 1 - 2 * log_scale).sum(-1)


def _loss(encoder: Any, decoder: Any, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    loc, log_scale = encoder(x)
    return log_likelihood(x, decoder(reparameterize(loc, log_scale, noise))), kl(loc, log_scale)


def _stepping(
    loss: Callable[[Tensor, Tensor], Tensor], forget: bool = False, move: bool = True
) -> Callable[..., float]:
    """A step on loss(log-likelihood, KL)."""

    def one(encoder: Any, decoder: Any, optimizer: torch.optim.Optimizer, x: Tensor, noise: Tensor) -> float:
        value = loss(*_loss(encoder, decoder, x, noise))
        if not forget:
            optimizer.zero_grad()
        value.backward()
        if move:
            optimizer.step()
        return value.item()

    return one


never_forgets = _stepping(lambda fit, price: (price - fit).mean(), forget=True)
never_moves = _stepping(lambda fit, price: (price - fit).mean(), move=False)
climbs_down = _stepping(lambda fit, price: (fit - price).mean())
pays_for_kl = _stepping(lambda fit, price: -(fit + price).mean())
plain_autoencoder = _stepping(lambda fit, price: -fit.mean())
sums_over_images = _stepping(lambda fit, price: (price - fit).sum())

# -------------------------------------------------------------------------------------------------------- the judges


def judge_encoder(answer: Any) -> Feedback | str | None:
    """Two outputs of the right shape, of either sign, not affine in x, and with every weight known to the optimizer."""
    x = (torch.rand(64, PIXELS, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    net = _built(answer, 3)
    out = _output(net, x)
    if isinstance(out, Tensor) or len(out) != 2:
        return not_yet(f"Expected a pair, loc and log_scale, but got {_kind(out)}.", then=TASKS["09.a"].next)
    for name, part in zip(("loc", "log_scale"), out, strict=True):
        if not isinstance(part, Tensor) or part.shape != (64, 3):
            return not_yet(f"For 64 images and 3 latents, expected {name} of shape (64, 3), but got {_kind(part)}.")
    loc, log_scale = out
    for found, name in (
        (torch.equal(loc, log_scale), "one output for both"),
        (not bool((log_scale < 0).any()), "a scale, not its logarithm"),
        (not bool((loc < 0).any()), "loc is never negative"),
        (_affine(lambda part: torch.cat(net(part), -1), x), "nothing between the layers"),
        (_hides_weights(lambda part: torch.cat(net(part), -1), net, x), "layers that the optimizer does not see"),
    ):
        if found:
            return _looks_like("09.a", name, "Your encoder was built with 3 latents and given 64 images.")
    return None


def judge_decoder(answer: Any) -> Feedback | str | None:
    """One logit a pixel, of either sign and beyond 1, not affine in z."""
    z = 3 * torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    net = _built(answer, 3)
    logits = _output(net, z)
    if not isinstance(logits, Tensor) or logits.shape != (64, PIXELS):
        return not_yet(f"For 64 codes, expected logits of shape (64, {PIXELS}), but got {_kind(logits)}.")
    for found, name in (
        (bool(((logits > 0) & (logits < 1)).all()), "probabilities, not logits"),
        (not bool((logits < 0).any()), "logits are never negative"),
        (_affine(net, z), "nothing between the layers"),
        (_hides_weights(net, net, z), "layers that the optimizer does not see"),
    ):
        if found:
            return _looks_like("09.c", name, "Your decoder was built with 3 latents and given 64 codes.")
    return None


def judge_reparameterize(answer: Any) -> Feedback | str | None:
    return _compared("09.b", answer, ("loc", "log_scale", "noise"), _codes())


def judge_log_likelihood(answer: Any) -> Feedback | str | None:
    return _compared("09.d", answer, ("x", "logits"), _pixels())


def judge_kl(answer: Any) -> Feedback | str | None:
    return _compared("09.e", answer, ("loc", "log_scale"), (case[:2] for case in _codes()))


def judge_step(answer: Any) -> Feedback | str | None:
    """Two steps of plain gradient descent on a small VAE: the same losses, and the same weights afterwards."""
    losses, weights = _two_steps(step)
    got_losses, got = _two_steps(answer)
    where = "Two steps were taken with a small encoder and decoder, a batch of 5, and plain gradient descent."
    if torch.allclose(got, weights, rtol=1e-8, atol=1e-10) and torch.allclose(got_losses, losses, rtol=1e-8):
        return None
    for mistake in TASKS["09.f"].mistakes:
        wrong_losses, wrong = _two_steps(placed(mistake.value))
        if torch.allclose(got, wrong, rtol=1e-8, atol=1e-10) and torch.allclose(got_losses, wrong_losses, rtol=1e-8):
            return looks_like(mistake, TASKS["09.f"], where)
    if torch.allclose(got_losses[:1], losses[:1], rtol=1e-8):
        return not_yet(
            where, "The first loss is right, and the weights moved to a wrong place.", then=TASKS["09.f"].next
        )
    numbers = f"Expected {number(losses[0].item())} as the first loss, but got {number(got_losses[0].item())}."
    return not_yet(where, numbers, then=TASKS["09.f"].next)


# ---------------------------------------------------------------------------------------------------- what they share


def _codes() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """loc, log_scale, noise: simplest first, then generic ones."""
    rng = torch.Generator().manual_seed(0)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    yield zero, zero + 0.5, zero + 2
    yield zero + 1, zero, zero + 1
    for _ in range(4):
        loc, log_scale, noise = torch.randn(3, 4, 2, generator=rng, dtype=torch.float64)
        yield loc, log_scale, noise


def _pixels() -> Iterator[tuple[Tensor, Tensor]]:
    """x and logits: a fair coin, a few pixels, one that is sure and wrong."""
    rng = torch.Generator().manual_seed(0)
    yield torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    for sure in (1.0, 1.0, 40.0):
        x = (torch.rand(3, 5, generator=rng) < 0.5).double()
        x[0, 0], x[0, 1] = 0, 1
        logits = torch.randn(3, 5, generator=rng, dtype=torch.float64)
        logits[0, 0] = sure
        yield x, logits


def _compared(id: str, answer: Any, names: tuple[str, ...], cases: Iterator[tuple[Tensor, ...]]) -> Feedback | None:
    """The answer beside the course's own on each case; where they part, the known mistakes are asked."""
    task = TASKS[id]
    for case in cases:
        expected, got = task.own(*case), answer(*(part.clone() for part in case))
        if not isinstance(got, Tensor):
            return not_yet(f"Expected a tensor of shape {tuple(expected.shape)}, but got {_kind(got)}.", then=task.next)
        if _same(got, expected):
            continue
        shapes = ", ".join(f"{name} {tuple(part.shape)}" for name, part in zip(names, case, strict=True))
        where = f"This is about a call with {shapes}."
        for mistake in task.mistakes:
            if _same(got, placed(mistake.value)(*case)):
                return looks_like(mistake, task, where)
        if got.shape != expected.shape:
            return not_yet(where, f"Expected the shape {tuple(expected.shape)}, but got {tuple(got.shape)}.", task.next)
        numbers = f"Expected {_first(expected)}, but got {_first(got)}."
        return not_yet(where, numbers, then=task.next)
    return None


def _two_steps(one: Callable[..., Any]) -> tuple[Tensor, Tensor]:
    """The two losses, and all weights after the second step."""
    rng = torch.Generator().manual_seed(0)
    encoder, decoder = (copy.deepcopy(net) for net in _small())
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.05)
    losses = []
    for _ in range(2):
        x = (torch.rand(5, 6, generator=rng) < 0.5).double()
        noise = torch.randn(5, 2, generator=rng, dtype=torch.float64)
        losses.append(float(one(encoder, decoder, optimizer, x, noise)))
    weights = torch.cat([part.detach().flatten() for net in (encoder, decoder) for part in net.parameters()])
    return torch.tensor(losses, dtype=torch.float64), weights


def _small() -> tuple[nn.Module, nn.Module]:
    """An encoder of 6 pixels and 2 latents, and a decoder."""
    rng = torch.Generator().manual_seed(1)
    encoder, decoder = Encoder(2, inputs=6, hidden=7).double(), Decoder(2, hidden=7)
    decoder.net[2] = nn.Linear(7, 6)
    decoder.double()
    for weight in [*encoder.parameters(), *decoder.parameters()]:
        weight.data = 0.5 * torch.randn(weight.shape, generator=rng, dtype=torch.float64)
    return encoder, decoder


def _built(answer: Any, latents: int) -> nn.Module:
    """A network from the answer, with the same random weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = answer(latents)
    if not isinstance(net, nn.Module):
        raise TypeError(f"Expected a torch.nn.Module, but got {_kind(net)}.")
    return net


def _output(net: nn.Module, inputs: Tensor) -> Any:
    out = net(inputs)
    if out is None or out is ...:
        raise NotImplementedError
    return out


def _affine(net: Callable[[Tensor], Tensor], inputs: Tensor) -> bool:
    """Is f(a) + f(b) = f(a + b) + f(0)? Then there is no nonlinearity."""
    a, b = inputs[:32], inputs[32:]
    with torch.no_grad():
        return torch.allclose(net(a) + net(b), net(a + b) + net(0 * a), atol=1e-4)


def _hides_weights(net: Callable[[Tensor], Tensor], module: nn.Module, inputs: Tensor) -> bool:
    """With all weights that it owns up to at 0, does the output still depend on the input?"""
    kept = [weight.detach().clone() for weight in module.parameters()]
    with torch.no_grad():
        for weight in module.parameters():
            weight.zero_()
        out = net(inputs)
        for weight, value in zip(module.parameters(), kept, strict=True):
            weight.copy_(value)
    return bool((out != out[:1]).any())


def _same(got: Tensor, expected: Tensor) -> bool:
    return got.shape == expected.shape and torch.allclose(got.double(), expected.double(), rtol=1e-5, atol=1e-7)


def _looks_like(id: str, name: str, where: str) -> Feedback:
    (mistake,) = [mistake for mistake in TASKS[id].mistakes if mistake.name == name]
    return looks_like(mistake, TASKS[id], where)


def _kind(thing: Any) -> str:
    return f"a tensor of shape {tuple(thing.shape)}" if isinstance(thing, Tensor) else f"a {type(thing).__name__}"


def _first(values: Tensor) -> str:
    return number(values.detach().flatten()[:4].tolist())
