"""How often the nearest right function names the place of an error planted in a solution, and how often another place.

    python tools/nearest_mutants.py                  every twelfth mutant of every exercise: some minutes
    python tools/nearest_mutants.py --every 1 04.1   all of one exercise

A mutant that is called right, or that the exercise's list of mistakes knows, is counted and left. "Elsewhere" is a
place that neither holds the planted error nor lies in it: with the change there, the function is right as well.
"""

from __future__ import annotations

import argparse
import ast
import linecache
import time
import warnings
from collections import Counter
from typing import Any

import mutants
import numpy as np

from vaelib import almost
from vaelib.judge import judge
from vaelib.nearest.python import Place
from vaelib.nearest.rewriting import Path
from vaelib.reply import Answer
from vaelib.task import Task
from vaelib.variant import original


def defined(before: str, source: str, name: str) -> Any:
    """The function as a notebook would have it: its source can be found."""
    file, names = "<mutant>", {"__name__": "__mutant__"}
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(before, "<notebook>", "exec"), names)
    exec(compile(source, file, "exec"), names)
    return names[name]


def difference(a: ast.AST, b: ast.AST, path: Path = ()) -> Path:
    """The way to the smallest part in which two trees differ."""
    if type(a) is not type(b):
        return path
    parts = []
    for name, left in ast.iter_fields(a):
        right = getattr(b, name)
        if isinstance(left, list):
            if len(left) != len(right):
                return path
            pairs = [((name, i), x, y) for i, (x, y) in enumerate(zip(left, right, strict=True))]
        else:
            pairs = [((name, -1), left, right)]
        for step, x, y in pairs:
            if not isinstance(x, ast.AST) or not isinstance(y, ast.AST):
                if x != y:
                    return path
            elif ast.dump(x) != ast.dump(y):
                parts.append((step, x, y))
    if len(parts) != 1:
        return path
    step, x, y = parts[0]
    return path if isinstance(x, ast.operator | ast.cmpop | ast.expr_context) else difference(x, y, (*path, step))


def outcome(task: Task, function: Any, mutant: mutants.Mutant, right: str, seconds: float) -> tuple[str, Place | None]:
    feedback = judge(task, Answer(function, seconds=mutants.SECONDS))
    if feedback.right:
        return "called right", None
    if feedback.mistake:
        return "known mistake", None
    of = original(function)
    if of is None:
        return "no source", None
    found = almost.search(task, of.source, almost.variants(task, of), 0, seconds, of.modules)
    if found is None:
        return "silent", None
    planted = difference(ast.parse(mutant.source).body[0], ast.parse(right).body[0])
    ways = (found.path, *found.uses)
    shared = any(planted[: len(way)] == way or way[: len(planted)] == planted for way in ways)
    return ("named" if shared else "elsewhere"), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", help="exercises, such as 04.1")
    parser.add_argument("--every", type=int, default=12, help="tries every so many of the mutants")
    parser.add_argument("--seconds", type=float, default=almost.SECONDS, help="for one search")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    counts: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    took = []
    for task in mutants.asked(options.ids):
        before, right = mutants.solution(task)
        if not right.startswith("def "):
            continue
        here: Counter[str] = Counter()
        for mutant in mutants.mutants(task)[:: options.every]:
            try:
                function = defined(before, mutant.source, task.name)
            except Exception:
                continue
            started = time.process_time()
            result, found = outcome(task, function, mutant, right, options.seconds)
            took.append(time.process_time() - started)
            here[result] += 1
            if result in ("named", "elsewhere", "silent"):
                kind = (found.kind or "several") if found is not None else "-"
                kinds.setdefault(kind, Counter())[result] += 1
                said = f" -> line {found.line}, {found.code}, {kind}" if found is not None else ""
                print(f"  {result}: {mutant.name}{said}", flush=True)
        counts += here
        print(f"{task.id}: {dict(here)}", flush=True)
    print(
        dict(counts),
        {kind: dict(each) for kind, each in kinds.items()},
        f"{np.mean(took):.1f} s each, {np.quantile(took, 0.9):.1f} s for nine of ten",
    )


if __name__ == "__main__":
    main()
