"""What `vaelib verify` and `make course` show of a verification: a progress bar, a table or a line for each chapter."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from vaelib.verify import CHAPTERS, PublishedResult, Result, as_json, select, verify, verify_published

NARROW = 60  # columns; below, a table has room for the verdicts alone
LEGEND = (
    "Each identity is a chain of lines, evaluated on random witnesses. error: the largest difference between two "
    "lines, beside what rounding and quadrature allow (for sample means |z|, beside 4.5). slips: known wrong lines, "
    "rejected.\n"
)

HEAD = f"{'':<44}{'hold':>9}{'rejected':>12}{'time':>9}"


@dataclass(frozen=True)
class Summary:
    """What a verification found, in numbers."""

    identities: int
    holding: int
    slips: int
    rejected: int
    published: int
    as_expected: int
    seconds: float

    @property
    def passed(self) -> bool:
        """True if every identity holds, every slip is rejected, every published chain breaks just where known."""
        return (self.holding, self.rejected, self.as_expected) == (self.identities, self.slips, self.published)

    def __str__(self) -> str:
        chains = (
            f"; {self.as_expected} of {self.published} published chains break where known" if self.published else ""
        )
        identities = f"{self.holding} of {self.identities} identities hold"
        slips = f"{self.rejected} of {self.slips} slips rejected"
        return f"{identities}; {slips}{chains}; {self.seconds:.1f} s"


def show_verification(
    names: Sequence[str] = (),
    *,
    seed: int = 0,
    draws: int = 8,
    jobs: int = 1,
    json_file: Path | None = None,
    console: Console | None = None,
    brief: bool = False,
) -> Summary:
    """Verify the ledger, show it, write the JSON file if one is given.

    Args:
        names: chapters and identities, such as "F" or "E1"; all if none.
        brief: a line for each chapter instead of a table, and no sum at the end.

    Raises:
        ValueError: a name is not in the ledger. FileNotFoundError: there is no folder for the JSON file.
    """
    console = console or Console()
    ids = select(names)
    if json_file is not None and (json_file.is_dir() or not json_file.parent.is_dir()):
        raise FileNotFoundError(f"Expected a file in an existing folder to write the report to, but got {json_file}.")
    console.print(HEAD if brief else LEGEND, highlight=False)
    start = time.perf_counter()
    results: list[Result] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("verifying", total=len(ids))
        for result in verify(ids, seed=seed, draws=draws, jobs=jobs):
            results.append(result)
            progress.update(task, advance=1, description=f"verifying {result.id}")
            if len(results) == len(ids) or ids[len(results)][0] != result.chapter:
                chapter = [r for r in results if r.chapter == result.chapter]
                shown = _chapter_line(chapter) if brief else _chapter_table(chapter, console.width < NARROW)
                progress.console.print(shown, highlight=False)
        published = [] if names else list(verify_published(seed=seed, draws=draws))
        if published:
            shown = _published_line(published) if brief else _published_table(published, console.width < NARROW)
            progress.console.print(shown, highlight=False)
    seconds = time.perf_counter() - start
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(results, published, seconds), indent=2) + "\n", encoding="utf-8")
    _print_failures(console, results, published)
    summary = Summary(
        identities=len(results),
        holding=sum(r.verdict == "holds" for r in results),
        slips=sum(r.slips.total for r in results),
        rejected=sum(r.slips.rejected for r in results),
        published=len(published),
        as_expected=sum(p.passed for p in published),
        seconds=seconds,
    )
    if not brief:
        console.print(str(summary), style="bold", highlight=False)
    return summary


def _line(name: str, holding: str, rejected: str, seconds: float, passed: bool) -> str:
    """A row of the brief form, 74 characters wide."""
    row = f"{name:<44}{holding:>9}{rejected:>12}{seconds:>7.1f} s"
    return row if passed else f"[bold red]{row}[/]"


def _chapter_line(results: Sequence[Result]) -> str:
    chapter = results[0].chapter
    holding = f"{sum(r.verdict == 'holds' for r in results)} of {len(results)}"
    rejected = f"{sum(r.slips.rejected for r in results)} of {sum(r.slips.total for r in results)}"
    passed = all(r.passed for r in results)
    return _line(f"{chapter} {CHAPTERS[chapter]}", holding, rejected, sum(r.seconds for r in results), passed)


def _published_line(results: Sequence[PublishedResult]) -> str:
    found = sum(p.passed for p in results)
    seconds = sum(p.seconds for p in results)
    return _line(
        "Published chains, broken where known", f"{found} of {len(results)}", "", seconds, found == len(results)
    )


def _chapter_table(results: Sequence[Result], narrow: bool = False) -> Table:
    chapter = results[0].chapter
    columns = ("verdict",) if narrow else ("verdict", "error", "allowed", "slips", "time")
    table = _table(f"{chapter}. {CHAPTERS[chapter]}", "identity", columns)
    for r in results:
        verdict = r.verdict if r.verdict == "holds" else f"[bold red]{r.verdict.upper()}[/]"
        slips = f"{r.slips.rejected}/{r.slips.total}"
        slips = slips if r.slips.rejected == r.slips.total else f"[bold red]{slips}[/]"
        error, allowed = f"{r.worst_error:.0e}", f"{r.allowance:.0e}"
        if r.sampled:
            error, allowed = f"|z| {r.worst_error:.1f}", f"{r.allowance:.1f}"
        cells = () if narrow else (error, allowed, slips, f"{r.seconds:.1f} s")
        table.add_row(r.id, r.title, verdict, *cells)
    return table


def _published_table(results: Sequence[PublishedResult], narrow: bool = False) -> Table:
    columns = ("expected",) if narrow else ("breaks at line", "expected")
    table = _table("Chains as published, mistakes included", "chain", columns)
    for p in results:
        found = ", ".join(map(str, p.broken)) or "none"
        table.add_row(p.id, p.title, *([] if narrow else [found]), "yes" if p.passed else "[bold red]NO[/]")
    return table


def _table(title: str, what: str, columns: Sequence[str]) -> Table:
    """A table that fits into 80 columns, one line for most rows."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, expand=True
    )
    table.add_column("", no_wrap=True)
    table.add_column(what, ratio=1)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_failures(console: Console, results: Sequence[Result], published: Sequence[PublishedResult]) -> None:
    for r in results:
        if r.verdict != "holds":
            console.print(f"{r.id} {r.verdict.upper()}: {r.note}", style="red", highlight=False, markup=False)
        for name in r.slips.survivors:
            console.print(f"{r.id}: slip not rejected: {name}", style="red", highlight=False, markup=False)
    for p in published:
        if not p.passed:
            console.print(f"{p.id}: breaks at {p.broken}, not at {p.breaks_at}. {p.note}", style="red", markup=False)
