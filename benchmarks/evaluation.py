"""What judging a model costs, beside the matrix products that it is made of.

python benchmarks/evaluation.py [--threads 1] [--rounds 9]

The model is the common one, 784-400-20. Products of the same shapes, and as many of them, on random numbers, take their
turns with the work itself in one process, round after round.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import _record
import _rows
import numpy as np
import torch
from _rows import HIDDEN, LATENT, PIXELS
from threadpoolctl import threadpool_limits
from training import begin, summary

from vaelib.evaluate import ais, annealed_bound, blocks, evaluate
from vaelib.evaluate import baseline as mixtures

SEED = 0
SAMPLES = 654  # of z for each example
ANNEALING: dict[str, Any] = {"temperatures": 20, "chains": 16, "leapfrog_steps": 5, "base": "prior"}
COMPONENTS, ITERATIONS = 200, 3


class Work(NamedTuple):
    """What is timed, and its matrix products alone."""

    whole: Callable[[], object]
    products: Callable[[], object]
    what: str


def decoding(latents: int, times: int, backward: bool) -> Callable[[], None]:
    """The products of so many latents through the decoder, and of the gradient in z, so many times."""
    draws = torch.Generator().manual_seed(SEED)
    z, h, logits = (torch.randn((latents, width), generator=draws) for width in (LATENT, HIDDEN, PIXELS))
    into, out = (torch.randn(shape, generator=draws) for shape in ((LATENT, HIDDEN), (HIDDEN, PIXELS)))
    to_h, to_logits, to_z = torch.empty_like(h), torch.empty_like(logits), torch.empty_like(z)

    def call() -> None:
        for _ in range(times):
            torch.mm(z, into, out=to_h)
            torch.mm(h, out, out=to_logits)
            if backward:
                torch.mm(logits, out.T, out=to_h)
                torch.mm(h, into.T, out=to_z)

    return call


def importance_weighting(problem: _rows.Problem) -> Work:
    model, x = _rows.network(), torch.from_numpy(problem.images[:100]).float()
    whole = functools.partial(evaluate, model, x, importance_samples=SAMPLES)
    samples = blocks.PIXELS_IN_A_BLOCK // (PIXELS * len(x))  # that a core decodes at once
    return Work(whole, decoding(samples * len(x), SAMPLES // samples, False), f"{SAMPLES * len(x):,} latents")


def annealing(problem: _rows.Problem) -> Work:
    model, x = _rows.network(), torch.from_numpy(problem.images[:20]).float()
    whole = functools.partial(annealed_bound, model, x, **ANNEALING)
    moves = ANNEALING["temperatures"] - 1  # of the chains that are weighed, and of those that tune their steps
    gradients = moves * ANNEALING["leapfrog_steps"]
    parts = [
        decoding(len(x) * ANNEALING["chains"], gradients, True),
        decoding(len(x) * ais.TUNING_CHAINS, gradients * -(-ais.TUNING_MOVES // ANNEALING["temperatures"]), True),
    ]
    what = f"{ANNEALING['temperatures']} temperatures, {len(x)} examples"
    return Work(whole, lambda: [part() for part in parts], what)


def mixture(problem: _rows.Problem) -> Work:
    x = problem.images.astype(np.float32)
    rng = np.random.default_rng(SEED)
    odds, joint = (rng.random(shape, np.float32) for shape in ((COMPONENTS, PIXELS), (len(x), COMPONENTS)))

    def whole() -> object:
        return mixtures.fit_mixture(x, COMPONENTS, rng=np.random.default_rng(SEED), iterations=ITERATIONS)

    def products() -> None:
        for _ in range(ITERATIONS):
            np.matmul(x, odds.T)
            np.matmul(joint.T, x)

    return Work(whole, products, f"{ITERATIONS} steps of EM, {COMPONENTS} components, {len(x):,} images")


ROWS = {"importance weighting": importance_weighting, "annealing": annealing, "mixture": mixture}


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(arguments: list[str] | None = None) -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args(arguments)
    begin(parser, asked)
    with threadpool_limits(asked.threads):  # NumPy has its own
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    problem = _rows.synthetic(False, SEED)
    rows = {name: make(problem) for name, make in ROWS.items()}
    times = {name: np.empty((asked.rounds, 2)) for name in rows}
    for work in rows.values():
        work.whole(), work.products()
    for number in range(asked.rounds):
        for name, work in rows.items():
            times[name][number] = seconds(work.whole), seconds(work.products)
    records = []
    for name, (whole, products) in ((name, found.T) for name, found in times.items()):
        ratio = summary(whole / products)
        records.append({"row": name, "work": rows[name].what, "seconds": summary(whole), "times_products": ratio})
        low, high = ratio["quartiles"]
        print(f"{name:<22}{np.median(whole):6.2f} s   {ratio['median']:.2f} ({low:.2f}-{high:.2f}) of its products")
    _record.record(f"evaluation-{asked.threads}", records, asked.record, seed=SEED, rounds=asked.rounds)


if __name__ == "__main__":
    main()
