"""How fast ways of training one VAE are: vaelib, plain PyTorch, other libraries, and the floor below all of them.

    python benchmarks/training.py --threads 1
    python benchmarks/training.py --threads 2 --binarization dynamic
    python benchmarks/training.py --rows "example,plain,vaelib eager,floor"

All rows run in one process, in turn, round after round, so that a slow moment of the machine falls on all of them. A
ratio is taken within each round; medians and quartiles are over rounds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import _peers
import _record
import _rows
import numpy as np
import torch
from numpy.typing import NDArray

from vaelib._cores import given

WARM_UP = 3  # calls before the clock starts: compilation, allocation
FLOOR, REFERENCE = "floor", "example"
SEED = 0
ROWS = {**_rows.ROWS, **_peers.ROWS}
PAIRS = (  # ratios that answer a question of their own
    ("plain + vaelib loss", "plain"),  # what do verified formulas cost?
    ("plain compiled + vaelib loss", "plain compiled"),
    ("vaelib eager", "plain"),  # what does the engine cost?
    ("vaelib compiled", "plain compiled"),
    ("vaelib compiled", "jax scan"),
    ("vaelib conv", "conv floor"),  # 1 is what its convolutions, products and Adam alone would take
    ("vaelib conv compiled", "conv floor"),
)


def measure(rows: Mapping[str, _rows.Row], rounds: int, seconds: float) -> dict[str, NDArray[np.float64]]:
    """Images per second of each row in each round, (rounds,). A row's turn takes about `seconds`."""
    calls = {}
    for name, row in rows.items():
        timed(row, WARM_UP)
        calls[name] = max(1, round(seconds / timed(row, WARM_UP) * WARM_UP))
    speeds: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds):
        for name in list(rows)[:: 1 if number % 2 == 0 else -1]:  # to and fro: a drift favors nobody
            speeds[name].append(calls[name] * rows[name].images / timed(rows[name], calls[name]))
    return {name: np.array(speed) for name, speed in speeds.items()}


def timed(row: _rows.Row, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        row.call()
    return time.perf_counter() - start


def summary(values: NDArray[np.float64]) -> dict[str, Any]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"median": float(median), "quartiles": [float(low), float(high)]}


def table(speeds: Mapping[str, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """One record a row, then one for each of `PAIRS` that was measured."""
    records: list[dict[str, Any]] = []
    for name, speed in speeds.items():
        records.append({"row": name, "images_per_second": summary(speed)})
        for key, base in (("of_floor", FLOOR), ("times_example", REFERENCE)):
            if base in speeds:
                records[-1][key] = summary(speed / speeds[base])
    for above, below in PAIRS:
        if above in speeds and below in speeds:
            records.append({"row": f"{above} / {below}", "ratio": summary(speeds[above] / speeds[below])})
    return records


def show(records: Sequence[Mapping[str, Any]]) -> None:
    def cell(record: Mapping[str, Any], key: str, digits: int) -> str:
        if key not in record:
            return ""
        low, high = record[key]["quartiles"]
        return f"{record[key]['median']:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"

    print(f"\n{'row':<32}{'images/s (quartiles)':<28}{'of the floor':<22}{'times the example'}")
    for record in records:
        if "absent" in record:
            print(f"{record['row']:<32}{record['absent']}")
        elif "ratio" in record:
            print(f"{record['row']:<48}{cell(record, 'ratio', 3)}")
        else:
            cells = [cell(record, *what) for what in (("images_per_second", 0), ("of_floor", 3), ("times_example", 2))]
            print(f"{record['row']:<32}{cells[0]:<28}{cells[1]:<22}{cells[2]}")


def pin(threads: int) -> None:
    """Keep to as many cores as threads: JAX would take every core that is free, whatever it is told."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def begin(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Refuse threads and rounds that cannot be, and keep to so many threads."""
    cores = given()
    if not 1 <= chosen.threads <= cores or chosen.rounds < 1:
        parser.error(
            f"Expected 1 to {cores} threads, one a core, and 1 round or more, but got {chosen.threads} threads"
            f" and {chosen.rounds} rounds."
        )
    pin(chosen.threads)


def installed(name: str) -> bool:
    return name not in _peers.NEEDS or importlib.util.find_spec(_peers.NEEDS[name]) is not None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5, help="for one row in one round")
    parser.add_argument("--binarization", choices=("none", "dynamic"), default="none")
    parser.add_argument("--rows", default=",".join(ROWS), help="which, with commas between them; default: all")
    chosen = parser.parse_args(arguments)
    names = [name.strip() for name in chosen.rows.split(",")]
    if unknown := set(names) - set(ROWS):
        parser.error(f"Expected rows out of {', '.join(ROWS)}, but got {', '.join(sorted(unknown))}.")
    begin(parser, chosen)

    torch.manual_seed(SEED)  # for the rows that draw, as many loops do, from the hidden generator
    problem = _rows.synthetic(chosen.binarization == "dynamic", SEED)
    rows, absent = {}, []
    for name in names:
        if installed(name):
            print(f"{name}: building", flush=True)
            rows[name] = ROWS[name](problem)
        else:
            absent.append({"row": name, "absent": "not installed"})
    records = table(measure(rows, chosen.rounds, chosen.seconds)) + absent
    show(records)

    packages = {"jax": "jax", "pyro": "pyro-ppl", "lightning": "lightning", "pythae": "pythae"}
    used = {packages[_peers.NEEDS[name]] for name in rows if name in _peers.NEEDS}
    whole = set(names) == set(ROWS)
    _record.record(
        f"training-{chosen.binarization}-{chosen.threads}" + ("" if whole else "-part"),
        records,
        chosen.record,
        binarization=chosen.binarization,
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        examples=len(problem.images),
        batch_size=_rows.BATCH,
        network=[_rows.PIXELS, _rows.HIDDEN, _rows.LATENT, _rows.HIDDEN, _rows.PIXELS],
        seed=SEED,
        flop_per_image=_rows.flop_per_image(),
        packages={package: importlib.metadata.version(package) for package in sorted(used)},
    )


if __name__ == "__main__":
    main()
