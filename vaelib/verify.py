"""Run the ledger: identities on their witnesses, slips against their lines, published chains with their mistakes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from vaelib._cores import cores
from vaelib.derivation import Derivation
from vaelib.derivation.compare import Verdict
from vaelib.ledger import LEDGER, PUBLISHED

FEW = 20  # identities, which one process has verified before another has begun
MOST = 61  # processes: Windows waits for no more
CHAPTERS = {
    "A": "Bayes' rule and latent-variable models",
    "B": "The evidence",
    "C": "KL and Jensen",
    "D": "Entropy, cross-entropy and log-likelihood",
    "E": "KL between Gaussians",
    "F": "The evidence lower bound (ELBO)",
    "G": "Expectation maximization",
    "H": "Gradients of expectations",
    "I": "Gaps of inference",
    "J": "Importance-weighted and annealed bounds",
    "K": "Rate, distortion and beta",
    "L": "Linear VAE, probabilistic PCA and collapse",
    "M": "Missing and noisy data",
    "N": "Numerics",
    "P": "Chains of latents",
}


@dataclass(frozen=True)
class Slips:
    """How many slips were tried and rejected; `per_draw_rate` is the share of the witnesses tried that rejected."""

    total: int
    rejected: int
    survivors: list[str]
    per_draw_rate: float


@dataclass(frozen=True)
class Result:
    """One identity of the ledger. `worst_error` and `allowance` belong to the comparison with the largest ratio.

    If that comparison is `sampled` (Monte Carlo), they are |z| and its threshold; otherwise they have the line's unit.
    """

    id: str
    title: str
    chapter: str
    verdict: str
    worst_error: float
    allowance: float
    slips: Slips
    seconds: float
    sampled: bool = False
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict == Verdict.HOLDS.value and self.slips.rejected == self.slips.total


@dataclass(frozen=True)
class PublishedResult:
    """One published chain: the lines at which it is known to break, and those at which it did."""

    id: str
    title: str
    breaks_at: list[int]
    broken: list[int]
    as_expected: bool
    seconds: float
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.as_expected


def select(names: Sequence[str]) -> list[str]:
    """Ids of the ledger for names such as "F" (a chapter) or "e1" (an identity), in ledger order; all for no names."""
    wanted = set()
    for name in names:
        found = [i for i in LEDGER if name.upper() in (i, LEDGER[i].chapter)]
        if not found:
            raise ValueError(
                f"Expected a chapter ({', '.join(CHAPTERS)}) or an identity such as F1, but got {name!r}. "
                f"The ledger holds {', '.join(LEDGER)}."
            )
        wanted.update(found)
    return [i for i in LEDGER if i in wanted or not names]


def verify(ids: Iterable[str], *, seed: int = 0, draws: int = 8, jobs: int = 1) -> Iterator[Result]:
    """Check identities one by one, in order; one that raises is reported as broken, with the error as its note.

    With several `jobs` they are spread over as many processes, which takes a second or two to begin with. A script that
    asks for that needs `if __name__ == "__main__":`, since the processes import it.
    """
    names, one = list(ids), partial(_verify_one, seed=seed, draws=draws)
    if min(jobs, len(names)) < 2:
        yield from map(one, names)
        return
    with ProcessPoolExecutor(min(jobs, len(names)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(one, names)


def jobs_for(identities: int) -> int:
    """Processes that suit so many: one for each core, or one alone where others would not be worth their beginning."""
    return 1 if identities < FEW else min(cores(), MOST)


def _verify_one(identity: str, *, seed: int, draws: int) -> Result:
    start = time.perf_counter()
    try:
        return _check(LEDGER[identity], seed, draws, start)
    except Exception as error:
        return _raised(LEDGER[identity], error, time.perf_counter() - start)


def verify_published(*, seed: int = 0, draws: int = 8) -> Iterator[PublishedResult]:
    """Check that each published chain breaks at its known mistakes and nowhere else."""
    for published in PUBLISHED:
        chain = published.derivation
        start = time.perf_counter()
        try:
            report = chain.check(draws, seed)
            broken, as_expected, note = list(report.broken), report.as_expected, ""
        except Exception as error:
            broken, as_expected, note = [], False, _sentence(error)
        seconds = time.perf_counter() - start
        yield PublishedResult(chain.id, chain.title, list(chain.breaks_at), broken, as_expected, seconds, note)


def as_json(results: Sequence[Result], published: Sequence[PublishedResult], seconds: float) -> dict[str, Any]:
    """The report as plain data; a note appears only where there is something to say."""
    return {
        "identities": [_plain(asdict(result)) for result in results],
        "published": [_plain(asdict(result)) for result in published],
        "seconds": seconds,
    }


def _check(derivation: Derivation, seed: int, draws: int, start: float) -> Result:
    report = derivation.check(draws, seed)
    tried = report.slips
    survivors = [f"{t.slip.name} ({t.error})" if t.error else t.slip.name for t in tried if not t.rejected]
    evaluations = sum(result.tried for result in tried)
    rate = sum(result.rejections for result in tried) / evaluations if evaluations else 1.0
    slips = Slips(len(tried), len(tried) - len(survivors), survivors, rate)
    notes = [f"line {i}: {row.note}" for i, row in enumerate(report.rows) if row.verdict is not Verdict.HOLDS]
    worst = report.worst
    return Result(
        derivation.id,
        derivation.title,
        derivation.chapter,
        report.verdict.value,
        worst.error,
        worst.allowance,
        slips,
        time.perf_counter() - start,
        worst.sampled,
        "; ".join(notes),
    )


def _raised(derivation: Derivation, error: Exception, seconds: float) -> Result:
    slips = Slips(len(derivation.slips), 0, [slip.name for slip in derivation.slips], 0.0)
    chapter, broken, note = derivation.chapter, Verdict.BROKEN.value, _sentence(error)
    return Result(derivation.id, derivation.title, chapter, broken, math.inf, 0.0, slips, seconds, note=note)


def _sentence(error: Exception) -> str:
    return " ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Without an empty note; an infinite error becomes null, which JSON has and infinity it has not."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return {key: value for key, value in finite.items() if key != "note" or value}
