"""Plant errors in the source of the package, and see whether the tests notice: a table by module, and the survivors.

    python tools/mutation.py [--sample 10] [--seed 0] [--record] [MODULE ...]    # all of GUARDS unless named: hours

Cosmic Ray lists the places and plants the errors, one at a time, in a copy of the project; a sample is drawn of each
module. First those tests of the short form are run that came to the changed line when nothing was planted; if they
notice nothing, all tests that guard the module. A survivor computes the same (EQUIVALENT says why, for those that are
known), or shows that a test is missing.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benchmarks" / "results" / "mutation.json"

# module or package: the files of tests that guard it. "verify" is `vaelib verify`
GUARDS: dict[str, tuple[str, ...]] = {
    "_arrays": ("arrays", "special", "distributions"),
    "_checks": ("checks", "door", "distributions"),
    "_door": ("door", "arrays"),
    "_latex": ("latex", "chain"),
    "_special": ("special", "kl_divergence"),
    "kl": ("kl_divergence", "special"),
    "estimate": ("estimate", "montecarlo"),
    "montecarlo": ("montecarlo", "estimate"),
    "quadrature": ("quadrature",),
    "distributions": ("distributions", "kl_divergence", "montecarlo", "quadrature"),
    "models": ("models", "em", "verify"),
    "elbo": ("elbo", "objectives"),
    "em": ("em",),
    "gradients": ("gradients", "objectives"),
    "terms": ("terms", "ledger_formulas"),
    "formula": (
        *("formula_tree", "formula_reader", "formula_value", "formula_spaces", "formula_stack", "formula_places"),
        "verify",
    ),
    "derivation": ("compare", "derivation", "chain", "report", "fair", "reveal", "verify"),
    "witnesses": ("witnesses", "verify"),
    "nearest": ("nearest", "check_repairs"),
    "check": (
        *("check_verdicts", "check_chains", "check_documents", "check_repairs", "check_corpus"),
        *("check_inside", "check_shown"),
    ),
    "verify": ("verify", "cli"),
    "judge": ("judge", "variant", "answers"),
    "reply": ("judge", "notes", "answers"),
    "agreement": ("judge", "variant"),
    "sampling": ("sampling", "judge"),
    "almost": ("almost",),
    "grade": (
        *("grade", "grade_cells", "grade_wire", "grade_limits", "grade_forbidden", "grade_nearest", "gradebook"),
        "collect",
    ),
}
# the same of modules of a package whose tests are many
NARROWER: dict[str, tuple[str, ...]] = {
    # what is handed in, and whose it is
    **dict.fromkeys(
        [f"grade.{name}" for name in ("beside", "collect", "names", "reading", "roster", "tree", "which", "whose")],
        ("collect", "gradebook"),
    ),
    # the process of a submission, and what it is told and replies
    **dict.fromkeys(
        [f"grade.{name}" for name in ("cells", "removal", "stand_in", "submission", "wire", "worker")],
        ("grade_cells", "grade_wire", "grade_forbidden", "grade_limits", "grade"),
    ),
    "grade.audit": ("grade_honest", "grade_cells"),
    # of a function in Python, not of a formula
    **dict.fromkeys(["nearest.habits", "nearest.python", "nearest.rewriting"], ("nearest", "almost", "variant")),
    # of a page that somebody typed, or reads
    **dict.fromkeys(
        ["check.mathml", "check.page", "check.report", "formula.rows"], ("check_page", "check_magic", "check_shown")
    ),
    # what is written down
    **dict.fromkeys(
        [f"grade.{name}" for name in ("gradebook", "journal", "pages", "sheet", "shelf", "tables")], ("gradebook",)
    ),
}
EVERYWHERE = ("frozen",)  # of all modules
# (module, what is changed, what it becomes): why nothing can notice
EQUIVALENT = {
    ("_latex", 'self.at] == "."', 'self.at] is "."'): "Python keeps one object for each character of ASCII",
    ("check.comparing", 'word == "-"', 'word >= "-"'): "a sign is + or -, and + comes before - in ASCII",
    ("check.names", "end + 1 < len(items) and", "end * 1 < len(items) and"): "a script is always followed by its group",
    ("check.reading", "close = closing(items, at + 1)", "close = closing(items, at // 1)"): "a logarithm opens nothing",
    ("check.repairing", "wrong.options)[0]", "wrong.options)[ -1]"): "of one side, which is first and last",
    ("check.verdicts", 'if second == ":="', 'if second is ":="'): "Python keeps one object for each text of its source",
    ("check.worlds", 'drawn == "q"', 'drawn is "q"'): "Python keeps one object for each text of its source",
    ("derivation.changes", "rest, strict=True", "rest, strict=False"): "they are as long as one another, as is asked",
    ("derivation.reveal", "self.button == AGAIN", "self.button is AGAIN"): "the button is one of two names",
    ("formula.crowd", "self.groups, strict=True", "self.groups, strict=False"): "both are made from the same groups",
    ("formula.laws", "np.eye(of.event[0])", "np.eye(of.event[ -1])"): "of a vector's only axis",
    ("formula.logs", "np.exp(data[0])", "np.exp(data[ -1])"): "one logarithm is lifted, which is first and last",
    ("formula.operators", 'token.side == "open"', 'token.side >= "open"'): "nothing comes after open in the alphabet",
    ("formula.stack", "len(p) > 1 else 0", "len(p) > 1 else -1"): "of one probability, which is first and last",
    ("formula.worlds", "gap.ndim + 1 and", "gap.ndim // 1 and"): "the same number by a slower way",
    ("terms", 'sign == "-"', 'sign >= "-"'): "a sign is + or -, and + comes before - in ASCII",
}
NOTING = (sys.executable, "-m", "pytest", "-x", "-q")  # pytest, which notes in its cache what failed
PYTEST = (*NOTING, "-p", "no:cacheprovider")
SHORT = "--form=short"
MARGIN = 3.0  # tests may take this many times as long with an error as without, and a minute


@dataclass(frozen=True)
class Outcome:
    """A planted error, and whether the tests failed."""

    module: str
    before: str
    after: str
    line: int
    killed: bool

    @property
    def reason(self) -> str | None:
        """Why nothing can notice, if that is known."""
        known = ((old, new, why) for (name, old, new), why in EQUIVALENT.items() if name == self.module)
        return next((why for old, new, why in known if self.before.replace(old, new) == self.after), None)


def guards(module: str) -> tuple[str, ...]:
    """The tests of a module: its own, or those of its package."""
    return (NARROWER | GUARDS).get(module) or GUARDS[module.split(".")[0]]


def modules(asked: list[str]) -> list[str]:
    """The modules that are asked for, a package with all that it holds: formula -> formula.arithmetic, ..."""
    found: list[str] = []
    for name in asked or list(GUARDS):
        path = (ROOT / "vaelib").joinpath(*name.split("."))
        if name.split(".")[0] not in GUARDS or not (path.is_dir() or path.with_suffix(".py").is_file()):
            sys.exit(f"Expected a module out of {', '.join(GUARDS)}, or one inside of these, but got {name!r}.")
        inside = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        found += [f"{name}.{each.stem}" if path.is_dir() else name for each in inside if each.stem != "__init__"]
    return found


def copy_of_the_project(into: Path) -> None:
    """What git knows of, with what is not committed yet."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)


def where_types_are(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where types are written, which nobody evaluates: an error planted there changes nothing."""
    for node in ast.walk(ast.parse(source)):
        typed: list[Any] = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        for each in filter(None, typed):
            yield (each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)


def sample(module: str, count: int, seed: int, copy: Path) -> list[Any]:
    """Mutations of one module, drawn with a seed."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import WorkDB, use_db

    path = copy / "vaelib" / Path(*module.split(".")).with_suffix(".py")
    typed = list(where_types_are(path.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder, use_db(Path(folder) / "all.sqlite", WorkDB.Mode.create) as database:
        init([path], database, {})
        found = [item.mutations[0] for item in database.work_items]
    told = [each for each in found if not any(start <= each.start_pos < end for start, end in typed)]
    told.sort(key=lambda each: (each.operator_name, each.occurrence))
    return random.Random(f"{seed} {module}").sample(told, min(count, len(told)))


def test_commands(module: str) -> list[list[str]]:
    """What must succeed: the tests of the module, and `vaelib verify` where it guards it."""
    names = [*guards(module), *EVERYWHERE]
    files = [f"tests/test_{name}.py" for name in names if name != "verify" or module == "verify"]
    commands = [[*PYTEST, *files]]
    if "verify" in guards(module) and module != "verify":
        commands.append([sys.executable, "-m", "vaelib", "verify"])
    return commands


def status(command: list[str], copy: Path, limit: float | None = None, **more: str) -> int | None:
    """With which the command ended in the copy; None where it took longer than `limit` seconds."""
    surroundings = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"} | more
    try:
        return subprocess.run(command, cwd=copy, env=surroundings, capture_output=True, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        return None


@dataclass
class Survey:
    """What is known of a module's tests without an error."""

    limit: float  # seconds that their short form may take with one
    tests: dict[
        str, dict[int, list[str]]
    ]  # module: line: those of the short form that come there, as pytest names them
    whole: float | None = None  # seconds that all of them may take; None until they were run

    def of(self, module: str, line: int) -> list[str]:
        """The tests that come to that line, or to the nearest line above that any comes to."""
        lines = self.tests.get(module, {})
        return next((lines[above] for above in range(line, 0, -1) if lines.get(above)), [])


def timed(commands: list[list[str]], module: str, copy: Path, **more: str) -> float:
    """The time limit of these commands, which must succeed as long as no error is planted."""
    began = time.monotonic()
    if any(status(command, copy, None, **more) != 0 for command in commands):
        sys.exit(f"Expected the tests of {module} to pass before an error is planted, but they fail.")
    return MARGIN * (time.monotonic() - began) + 60.0


def survey(module: str, copy: Path) -> Survey:
    """Run the short form of the tests, and note which of them comes where."""
    from coverage import CoverageData

    where = copy / "where.coverage"
    tests, *others = test_commands(module)
    noting = [*tests, SHORT, f"--cov={copy / 'vaelib'}", "--cov-context=test", "--cov-report="]
    limit = timed([noting, *others], module, copy, COVERAGE_FILE=str(where))
    data = CoverageData(str(where))
    data.read()
    found = {}
    for path in data.measured_files():
        name = ".".join(Path(path).relative_to(copy / "vaelib").with_suffix("").parts)
        lines = data.contexts_by_lineno(path)
        found[name] = {line: sorted({test.rpartition("|")[0] for test in came} - {""}) for line, came in lines.items()}
    where.unlink()
    return Survey(limit, found)


Planted = Callable[[], AbstractContextManager[Any]]  # inside, there is the error


def noticed(module: str, line: int, planted: Planted, copy: Path, known: Survey) -> bool:
    """Do the tests fail, or take too long, with the error that is planted in that line?

    What fails must succeed without the error, otherwise it says nothing.
    """
    if nearest := known.of(module, line):
        listed, cache = copy / "nearest.txt", copy / "nearest-cache"
        listed.write_text("\n".join(nearest), encoding="utf-8")
        shutil.rmtree(cache, ignore_errors=True)
        with planted():
            ended = status([*NOTING, "-o", f"cache_dir={cache}", SHORT, f"@{listed}"], copy, known.limit)
        if ended is None:
            return True
        failed = cache / "v" / "cache" / "lastfailed"
        if ended == 1 and failed.is_file():
            listed.write_text("\n".join(json.loads(failed.read_text(encoding="utf-8"))), encoding="utf-8")
            if status([*PYTEST, SHORT, f"@{listed}"], copy) == 0:
                return True
    if known.whole is None:
        known.whole = timed(test_commands(module), module, copy)
    with planted():
        return any(status(command, copy, known.whole) != 0 for command in test_commands(module))


def outcomes(module: str, count: int, seed: int, copy: Path, known: Survey) -> Iterator[Outcome]:
    """Each error of the sample, planted, tested and taken out again."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    for mutation in sample(module, count, seed, copy):
        operator = get_operator(mutation.operator_name)(**mutation.operator_args)
        planted = partial(use_mutation, mutation.module_path, operator, mutation.occurrence)
        with planted() as (before, after):
            pairs = zip(before.splitlines(), after.splitlines(), strict=False)
        line, (old, new) = next((at, pair) for at, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
        yield Outcome(module, old.strip(), new.strip(), line, noticed(module, line, planted, copy, known))


Row = dict[str, Any]  # of a module: how many errors were planted, seen, known to be equivalent, and left


def rows(found: list[Outcome]) -> list[Row]:
    """By module."""
    result = []
    for name in dict.fromkeys(each.module for each in found):
        these = [each for each in found if each.module == name]
        seen = sum(each.killed for each in these)
        same = sum(each.reason is not None and not each.killed for each in these)
        left = len(these) - seen - same
        result.append({"module": name, "planted": len(these), "seen": seen, "equivalent": same, "left": left})
    return result


def table(rows: list[Row]) -> str:
    """A row for each module, and one for all."""
    counts = ("planted", "seen", "equivalent", "left")
    together = {"module": "all"} | {key: sum(row[key] for row in rows) for key in counts}
    lines = [f"| module | {' | '.join(counts)} |", "|---|--:|--:|--:|--:|"]
    return "\n".join(
        lines + [f"| {' | '.join(str(row[key]) for key in ('module', *counts))} |" for row in [*rows, together]]
    )


def recorded(path: Path = RECORD) -> list[Row]:
    """What was found and kept before, by module."""
    return list(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else []


def record(new: list[Row], path: Path = RECORD, **settings: Any) -> None:
    """Keep these rows, each with its settings, in place of what was kept of the same modules."""
    kept = {row["module"]: row for row in recorded(path)} | {row["module"]: row | settings for row in new}
    ordered = [kept[name] for name in modules([]) if name in kept]
    content = {
        "name": "mutation",
        "command": "python tools/mutation.py --record --sample SAMPLE MODULE",
        "rows": ordered,
    }
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--sample", type=int, default=10, help="errors in each module (default: 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help=f"keep the counts in {RECORD.relative_to(ROOT)}")
    parser.add_argument("--table", action="store_true", help="plant nothing; show what was kept")
    asked = parser.parse_args()
    if asked.table:
        print(table(recorded()))
        return
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    commit = head.stdout.strip()
    found: list[Outcome] = []
    surveys: dict[tuple[str, ...], Survey] = {}  # one for all modules that the same tests guard
    with tempfile.TemporaryDirectory(prefix="vaelib-mutation-") as folder:
        copy = Path(folder)
        copy_of_the_project(copy)
        for module in modules(asked.modules):
            if guards(module) not in surveys:
                surveys[guards(module)] = survey(module, copy)
            for each in outcomes(module, asked.sample, asked.seed, copy, surveys[guards(module)]):
                found.append(each)
                if not each.killed:
                    why = each.reason or "left"
                    print(f"{module}:{each.line}: {each.before}  ->  {each.after}  ({why})", flush=True)
            done = [each for each in found if each.module == module]
            print(f"{module}: {sum(each.killed for each in done)} of {len(done)} seen", flush=True)
            if asked.record:
                record(rows(done), sample=asked.sample, seed=asked.seed, commit=commit)
    print(table(rows(found)))


if __name__ == "__main__":
    main()
