"""Annealed importance sampling: log p(x) bounded from below and, for simulated data, from above as well.

A chain walks from a distribution that can be sampled, r(z), to the posterior along the path

    f_b(z) = r(z)^(1 - b) p(x, z)^b,    0 = b_0 < b_1 < ... < b_T = 1,

and its weight is log w = sum_t (b_t - b_(t-1)) log [p(x, z_(t-1)) / r(z_(t-1))]. First the weight where the chain
is, then the move, which leaves f_(b_t) invariant: so E[w] = p(x), and E[log w] <= log p(x), however badly the moves
mix. Backwards from an exact posterior sample, E[1/w] = 1/p(x), and so E[log w] >= log p(x).

Source: Neal 2001; Grosse, Ghahramani and Adams 2015 (both directions); Wu, Burda, Salakhutdinov and Grosse 2017 (VAEs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.distributions import DiagonalNormal
from vaelib.elbo import importance_weighted_bound
from vaelib.estimate import Estimate
from vaelib.evaluate.bounds import as_pair, at_once, combine, mean, number
from vaelib.train.surroundings import ordinary
from vaelib.vae import VAE

ROWS = 2**14  # chains that walk at once
ACCEPTANCE = 0.65  # of moves, near the best for Hamiltonian ones (Beskos et al. 2013; Neal 2011, section 4.4)
TUNING_CHAINS = 10
TUNING_MOVES = 100  # of each of these chains, at least
TUNING_GAIN = 0.2  # change of the log of the step size for each unit of acceptance too much
JITTER = 0.2  # relative; a trajectory of one fixed length may be a full turn of some coordinate, and leads nowhere
FAR = 100.0  # standard deviations of r; a trajectory that goes there has diverged

Callback = Callable[[int], None]


@dataclass(frozen=True)
class Annealed:
    """Lower bounds on log p(x), in nats, by chains that started at samples of r."""

    log_weights: NDArray[np.float64]  # (chains, examples)
    acceptance: NDArray[np.float64]  # (examples,), mean probability of a move; NaN where a single temperature has none

    @property
    def log_evidence(self) -> NDArray[np.float64]:
        """log 1/K sum_k w_k over the K chains, (examples,); its mean is at most log p(x)."""
        return self._combined[0]

    @property
    def log_evidence_error(self) -> NDArray[np.float64]:
        """Monte Carlo standard error of `log_evidence`, (examples,), by the delta method; NaN for a single chain."""
        return self._combined[1]

    @property
    def lower(self) -> Estimate:
        """Mean of `log_evidence` over examples and its standard error."""
        return mean(self.log_evidence)

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of `lower` from the chains alone: what another seed would change on the same examples."""
        return float(np.sqrt((self.log_evidence_error**2).sum()) / len(self.log_evidence_error))

    def as_dict(self) -> dict[str, Any]:
        """For JSON, in nats per example."""
        return {
            "examples": len(self.log_evidence),
            "lower": {**as_pair(self.lower), "monte_carlo_error": number(self.monte_carlo_error)},
            "acceptance": number(self.acceptance.mean()),
        }

    @cached_property
    def _combined(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        bound, error = combine(torch.from_numpy(self.log_weights))
        return bound.numpy(), error.numpy()


@dataclass(frozen=True)
class Sandwich:
    """log p(x) between two bounds, in nats, for examples that the model itself has drawn."""

    x: Tensor  # (examples, pixels), what was drawn, on the model's device
    forward: Annealed
    backward: NDArray[np.float64]  # (examples,), -log 1/K sum_k 1/w_k; its mean is at least log p(x)
    backward_acceptance: NDArray[np.float64]  # (examples,)

    @property
    def lower(self) -> Estimate:
        return self.forward.lower

    @property
    def upper(self) -> Estimate:
        """Mean over examples with its standard error. The chains of one example share their start: they give none."""
        return mean(self.backward)

    @property
    def gap(self) -> Estimate:
        """upper - lower, paired over examples. The mean of log p(x) is off either bound by at most so much."""
        return mean(self.backward - self.forward.log_evidence)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, in nats per example."""
        return {
            **self.forward.as_dict(),
            "upper": as_pair(self.upper),
            "gap": as_pair(self.gap),
            "backward_acceptance": number(self.backward_acceptance.mean()),
        }


@ordinary()
def annealed_bound(
    model: VAE,
    x: Tensor,
    *,
    temperatures: int = 500,
    chains: int = 16,
    leapfrog_steps: int = 10,
    base: str = "prior",
    seed: int = 0,
    callback: Callback | None = None,
) -> Annealed:
    """A lower bound on log p(x) for each x, by annealed importance sampling with Hamiltonian moves.

    The step size of each move is tuned towards an acceptance of 0.65 by separate chains, for each example and
    temperature, and then held: a step size that listened to the chains that are weighed would break E[w] = p(x).

    Args:
        model: a trained VAE. x: (examples, pixels).
        temperatures: T, steps from b = 0 to b = 1. chains: K, for each example. leapfrog_steps: in each move.
        base: what the chains start from, and the path with it. "prior": w is bounded by max_z p(x | z), so that its
            variance is finite, and nothing depends on the encoder: an independent check of the importance-weighted
            bound. "encoder": q(z | x) is closer, so fewer temperatures will do, but where it misses a part of the
            posterior, the chains may miss it too.
        callback: told the percentage done so far.

    Returns:
        Annealed. The work is that of about temperatures * chains * leapfrog_steps gradients of log p(x | z).

    Raises:
        ValueError: there is nothing to do, or no such base.
    """
    walk = _Walk(model, temperatures, chains, leapfrog_steps, base, seed)
    forward, _, _ = walk.over(x, None, callback)
    return forward


@ordinary()
def sandwich(
    model: VAE,
    n: int,
    *,
    temperatures: int = 500,
    chains: int = 16,
    leapfrog_steps: int = 10,
    base: str = "prior",
    seed: int = 0,
    callback: Callback | None = None,
) -> Sandwich:
    """Bounds on log p(x) from below and above, for n examples drawn by the model: z ~ p(z), x ~ p(x | z).

    Only for these is a sample of the exact posterior known: the z that x was drawn from. The gap between the bounds
    says how well `annealed_bound` does with the same arguments; on other data as far as they are like the simulated.

    Args:
        n: examples to draw. The others: see `annealed_bound`.

    Source: Grosse, Ghahramani and Adams 2015; Wu et al. 2017.
    """
    walk = _Walk(model, temperatures, chains, leapfrog_steps, base, seed)
    with torch.no_grad():
        z = model.prior.sample(n, rng=walk.rng)  # (n, latent_dim)
        x = model.decode(z).sample(rng=walk.rng)
    forward, log_inverse_weights, acceptance = walk.over(x, z, callback)
    return Sandwich(x, forward, -importance_weighted_bound(log_inverse_weights, axis=0), acceptance)


def temperature_schedule(temperatures: int) -> list[float]:
    """b_0 = 0, ..., b_T = 1, dense at both ends: a sigmoid of T + 1 equidistant numbers from -4 to 4, rescaled.

    Source: Wu et al. 2017.
    """
    s = [1.0 / (1.0 + math.exp(-4.0 * (2.0 * t / temperatures - 1.0))) for t in range(temperatures + 1)]
    return [(value - s[0]) / (s[-1] - s[0]) for value in s]


# ----------------------------------------------------------------------------------------------------------- one move


class State(NamedTuple):
    """Where the chains are, in the coordinates noise = (z - loc) / scale of r, in which r is N(0, I)."""

    noise: Tensor  # (chains, examples, latent_dim)
    log_ratio: Tensor  # (chains, examples), log p(x, z) - log r(z), float64
    gradient: Tensor  # of log_ratio in noise, (chains, examples, latent_dim)


class Target(NamedTuple):
    """What defines the path for some examples."""

    model: VAE
    x: Tensor  # (examples, pixels)
    base: DiagonalNormal  # r(z), (examples, latent_dim)

    def at(self, noise: Tensor) -> State:
        with torch.enable_grad():
            noise = noise.detach().requires_grad_()
            z = self.base.transform(noise)
            log_ratio = self.model.log_likelihood(self.x, z) + self.model.prior.log_prob(z) - self.base.log_prob(z)
            (gradient,) = torch.autograd.grad(log_ratio.sum(), noise)
        return State(noise.detach(), log_ratio.detach().double(), gradient)


def energy(state: State, momentum: Tensor, b: float) -> Tensor:
    """-log f_b(z) + |momentum|^2 / 2 up to a constant, (chains, examples), in float64."""
    log_base = -0.5 * state.noise.double().square().sum(-1)
    return -(log_base + b * state.log_ratio) + 0.5 * momentum.double().square().sum(-1)


def hamiltonian_move(
    target: Target, state: State, b: float, step: Tensor, leapfrog_steps: int, rng: torch.Generator
) -> tuple[State, Tensor]:
    """A fresh momentum, a leapfrog trajectory, and acceptance with probability min(1, exp(-change of energy)).

    Reversible with respect to f_b. A trajectory that diverges is given up where it is; its reverse would be, too.

    Args:
        step: the step size for each example, (examples,).

    Returns:
        The new state, and the probability with which the move was accepted, (chains, examples).

    Source: Neal 2011, section 3.
    """

    def force(at: State) -> Tensor:
        return b * at.gradient - at.noise  # the gradient of log f_b

    shape = state.log_ratio.shape
    like: dict[str, Any] = {"dtype": state.noise.dtype, "device": state.noise.device}
    jitter = 1.0 + JITTER * (2.0 * torch.rand(shape, generator=rng, **like) - 1.0)
    size = (step.to(**like) * jitter)[..., None]
    start = momentum = torch.randn(state.noise.shape, generator=rng, **like)
    at, inside = state, state.noise.abs().amax(-1) < FAR  # from far away no move is reversible: the chain stays
    for _ in range(leapfrog_steps):
        momentum = momentum + 0.5 * size * force(at)
        noise = at.noise + size * momentum
        inside = inside & (noise.abs().amax(-1) < FAR)
        at = target.at(torch.where(inside[..., None], noise, state.noise))
        momentum = momentum + 0.5 * size * force(at)
    change = energy(at, momentum, b) - energy(state, start, b)
    probability = torch.where(inside, torch.exp(-change.clamp(min=0.0)), 0.0).nan_to_num(0.0)
    accepted = torch.rand(shape, generator=rng, **like) < probability
    return State(
        torch.where(accepted[..., None], at.noise, state.noise),
        torch.where(accepted, at.log_ratio, state.log_ratio),
        torch.where(accepted[..., None], at.gradient, state.gradient),
    ), probability


def anneal(
    target: Target,
    state: State,
    schedule: list[float],
    steps: Tensor,
    leapfrog_steps: int,
    rng: torch.Generator,
    tick: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """Walk along the schedule: weigh, move, weigh, ..., weigh. Backwards, from b = 1 to 0, it gives -log w.

    Args:
        steps: step sizes at the inner temperatures, in the order of the schedule, (len(schedule) - 2, examples).

    Returns:
        log w, (chains, examples), and the mean acceptance, (examples,).
    """
    log_weights = torch.zeros_like(state.log_ratio)
    acceptance = torch.zeros_like(log_weights)
    for t in range(1, len(schedule)):
        log_weights += (schedule[t] - schedule[t - 1]) * state.log_ratio
        if t < len(schedule) - 1:
            state, probability = hamiltonian_move(target, state, schedule[t], steps[t - 1], leapfrog_steps, rng)
            acceptance += probability
            tick()
    return log_weights, acceptance.mean(0) / len(steps) if len(steps) else torch.full_like(acceptance[0], math.nan)


def tuned_steps(
    target: Target,
    schedule: list[float],
    moves: int,
    leapfrog_steps: int,
    rng: torch.Generator,
    tick: Callable[[], None],
) -> Tensor:
    """Step sizes for each inner temperature and example, (len(schedule) - 2, examples).

    Separate chains walk forward, with `moves` moves at each temperature. After each, the step grows where more than
    0.65 of the moves were accepted, and shrinks where less were.
    """
    examples, latent_dim = target.base.loc.shape
    like: dict[str, Any] = {"dtype": target.base.loc.dtype, "device": target.base.loc.device}
    state = target.at(torch.randn((TUNING_CHAINS, examples, latent_dim), generator=rng, **like))
    log_step = torch.full((examples,), -0.25 * math.log(latent_dim), **like)  # the scaling of Beskos et al. 2013
    found = []
    for b in schedule[1:-1]:
        for _ in range(moves):
            state, probability = hamiltonian_move(target, state, b, log_step.exp(), leapfrog_steps, rng)
            log_step = log_step + TUNING_GAIN * (probability.mean(0).to(**like) - ACCEPTANCE)
            tick()
        found.append(log_step.exp())
    return torch.stack(found) if found else torch.zeros((0, examples), **like)


# ----------------------------------------------------------------------------------------------------- many examples


class _Walk:
    """The settings of a run, over blocks of examples."""

    def __init__(self, model: VAE, temperatures: int, chains: int, leapfrog_steps: int, base: str, seed: int) -> None:
        if min(temperatures, chains, leapfrog_steps) < 1:
            raise ValueError(
                "Expected at least one temperature, chain and leapfrog step, but got "
                f"{temperatures}, {chains} and {leapfrog_steps}."
            )
        if base not in ("prior", "encoder"):
            raise ValueError(f"Expected `base` to be prior or encoder, where the chains start, but got {base!r}.")
        self.model, self.chains, self.leapfrog_steps, self.base = model, chains, leapfrog_steps, base
        self.schedule = temperature_schedule(temperatures)
        self.tuning_moves = -(-TUNING_MOVES // temperatures)  # at each temperature
        self.rng = torch.Generator(model.device).manual_seed(seed)

    @torch.no_grad()
    def over(
        self, x: Tensor, exact: Tensor | None, callback: Callback | None
    ) -> tuple[Annealed, NDArray[np.float64], NDArray[np.float64]]:
        """Forward from r; and backward from `exact`, (examples, latent_dim), posterior samples, where they are known.

        Returns:
            What the forward chains found; -log w of the backward chains, (chains, examples), and their acceptance.
        """
        if len(x) < 1:
            raise ValueError(f"Expected at least one example, but got shape {tuple(x.shape)}.")
        together = max(1, min(ROWS, at_once(self.model)) // max(self.chains, TUNING_CHAINS))
        blocks = [slice(start, start + together) for start in range(0, len(x), together)]
        inner, moved = len(self.schedule) - 2, 0
        total = len(blocks) * inner * (self.tuning_moves + (1 if exact is None else 2))

        def tick() -> None:
            nonlocal moved
            moved += 1
            if callback is not None:
                callback(100 * moved // total)

        forward, backward = [], []
        for block in blocks:
            some = self.model.placed(x[block])
            base = self._base(some)
            target = Target(self.model, some, base)
            steps = tuned_steps(target, self.schedule, self.tuning_moves, self.leapfrog_steps, self.rng, tick)
            start = base.draw_noise(self.chains, rng=self.rng)
            walk = (self.leapfrog_steps, self.rng, tick)
            forward.append(anneal(target, target.at(start), self.schedule, steps, *walk))
            if exact is not None:
                start = ((exact[block] - base.loc) / base.scale).expand(self.chains, -1, -1)
                backward.append(anneal(target, target.at(start), self.schedule[::-1], steps.flip(0), *walk))
        log_inverse_weights, acceptance = _joined(backward) if backward else (np.zeros((0, 0)), np.zeros(0))
        return Annealed(*_joined(forward)), log_inverse_weights, acceptance

    def _base(self, x: Tensor) -> DiagonalNormal:
        if self.base == "encoder":
            return self.model.encode(x)
        prior, shape = self.model.prior, (len(x), self.model.latent_dim)
        return DiagonalNormal(prior.loc.expand(shape), prior.scale.expand(shape))


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return tuple(torch.cat(column, -1).double().cpu().numpy() for column in zip(*parts, strict=True))  # type: ignore[return-value]
