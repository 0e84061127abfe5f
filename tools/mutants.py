"""Plant one error after the other in the solutions of the exercises, and list those that `check` still calls right.

    python tools/mutants.py [ID ...]       # such as 04.1; all exercises unless given: minutes

One node of a solution's syntax tree is changed at a time: an operator, a constant, a name, a function for its like, an
axis, an argument. A mutant that is called right either computes the same (EQUIVALENT says why, for those that are
known), or shows that the questions of its exercise are too tame.
"""

from __future__ import annotations

import ast
import builtins
import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import make_exercises as exercises

from vaelib.judge import judge
from vaelib.reply import Answer
from vaelib.task import Derive, Task
from vaelib.tasks import all_tasks, tasks_of

OPERATORS: dict[type[ast.AST], tuple[type[Any], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.Eq: (ast.NotEq,),
    ast.And: (ast.Or,),
}
LIKE: dict[str, tuple[str, ...]] = {
    "log": ("exp",),
    "exp": ("log",),
    "sqrt": ("square",),
    "square": ("sqrt",),
    "sum": ("mean",),
    "mean": ("sum",),
    "max": ("min",),
    "min": ("max",),
    "maximum": ("minimum",),
    "minimum": ("maximum",),
    "log1p": ("log",),
    "expm1": ("exp",),
    "std": ("var",),
    "var": ("std",),
    "cos": ("sin",),
    "sin": ("cos",),
    "argmax": ("argmin",),
}
SECONDS = 2.0  # for one question to a mutant

# Called right, and rightly so: why -> "exercise, line, was -> is".
EQUIVALENT: dict[str, tuple[str, ...]] = {
    "a list is as good as an array": (
        "00.2, line 12, np.array([scores.mean(), scores.std(d... -> [scores.mean(), scores.std(ddof=1) / ...",
        "00.3, line 13, np.array([loc + scale * nodes, weights]) -> [loc + scale * nodes, weights]",
        "01.2, line 18, np.array([loc, precision ** (-0.5)]) -> [loc, precision ** (-0.5)]",
        "03.3, line 14, np.array([mean, np.sqrt(inside + betw... -> [mean, np.sqrt(inside + between)]",
        "03.4, line 13, np.array([1.0]) -> [1.0]",
        "06.5, line 18, np.array([[posterior_mean, posterior_... -> [[posterior_mean, posterior_mean], [x...",
        "07.2, line 15, np.stack([slope, slope * noise, value... -> [slope, slope * noise, value * by_loc...",
        "08.3, line 16, np.array([total - threshold, threshol... -> [total - threshold, threshold / total]",
        "10.2, line 16, np.array([approximation, kl_divergenc... -> [approximation, kl_divergence(Diagona...",
        "11.3, line 20, torch.stack([rate, distortion, inform... -> [rate, distortion, information, misma...",
        "11.4, line 17, np.stack([-0.5 * np.log(ratio), 1 - r... -> [-0.5 * np.log(ratio), 1 - ratio]",
        "11.5, line 19, np.array([strong, weak]) -> [strong, weak]",
        "12.2, line 18, np.stack([mean, np.sqrt(variance)]) -> [mean, np.sqrt(variance)]",
        "14.1, line 15, np.array([pull / precision, 1 / preci... -> [pull / precision, 1 / precision]",
    ),
    "only its shape is used": (
        "00.2, line 12, scores -> probabilities",
        "04.4, line 15, loc_q -> tril_q",
        "04.4, line 15, loc_q -> loc_p",
        "04.4, line 15, loc_q -> tril_p",
        "04.4, line 15, loc_q -> spread",
        "04.4, line 15, loc_q -> gap",
        "06.3, line 15, x -> loc",
        "06.4, line 17, x -> responsibilities",
        "06.4, line 17, x -> square",
        "08.2, line 18, x -> residual",
        "09.2, line 12, logits -> x",
        "13.2, line 17, log_weights -> log_lik",
        "13.2, line 17, log_weights -> z",
        "13.2, line 17, log_weights -> log_prior",
        "13.2, line 17, log_weights -> log_q",
    ),
    "it is squared": (
        "01.3, line 14, value - slope * loc - offset -> offset - (value - slope * loc)",
        "02.2, line 17, value - mean -> mean - value",
        "02.3, line 14, loc_p - loc_q -> loc_q - loc_p",
        "03.3, line 13, locs - mean -> mean - locs",
        "04.1, line 11, loc_q - loc_p -> loc_p - loc_q",
        "04.4, line 13, loc_q - loc_p -> loc_p - loc_q",
        "06.3, line 14, x[:, None, :] - loc -> loc - x[:, None, :]",
        "06.4, line 15, x[:, None, :] - loc -> loc - x[:, None, :]",
        "07.1, line 5, mu - b -> b - mu",
        "08.2, line 15, x - loc @ loading.T - offset -> offset - (x - loc @ loading.T)",
        "10.3, line 15, 1 - 2 * z -> 2 * z - 1",
        "10.3, line 16, z - loc -> loc - z",
        "13.2, line 15, z - loc -> loc - z",
        "12.5, line 15, (x - offset)[seen] - w @ loc -> w @ loc - (x - offset)[seen]",
    ),
    "a standard normal number is as likely as its negative": (
        "02.2, line 14, loc + scale * rng.standard_normal(num... -> loc - scale * rng.standard_normal(num...",
    ),
    "the last axis is axis 1 here": (
        "03.2, line 12, -1 -> 1",
        "04.2, line 12, -1 -> 1",
        "09.2, line 13, -1 -> 1",
        "09.2, line 14, -1 -> 1",
        "13.3, line 13, -1 -> 1",
    ),
    "assumptions on a symbol change no value": (
        "07.1, line 1, sympy.symbols('mu sigma b', real=True) -> sympy.symbols('mu sigma b')",
        "07.1, line 1, True -> False",
        "08.4, line 1, sympy.symbols('lambda_1 lambda_2 nois... -> sympy.symbols('lambda_1 lambda_2 nois...",
        "08.4, line 1, True -> False",
        "12.3, line 1, sympy.symbols('x a c w', real=True) -> sympy.symbols('x a c w')",
        "12.3, line 1, True -> False",
    ),
    "True and False are 1 and 0": ("07.3, line 16, float(loc + scale * noise > 0) -> loc + scale * noise > 0",),
    "nothing that is drawn lies on the boundary": (
        "07.3, line 16, loc + scale * noise > 0 -> loc + scale * noise >= 0",
        "11.2, line 11, loc.var(dim=0, correction=0) > 0.01 -> loc.var(dim=0, correction=0) >= 0.01",
        "11.4, line 14, variances > level -> variances >= level",
    ),
    "the function is symmetric": (
        "08.3, line 15, np.maximum(eigenvalues[:latents], thr... -> np.maximum(threshold, eigenvalues[:la...",
        "09.2, line 12, torch.logaddexp(logits, torch.zeros_l... -> torch.logaddexp(torch.zeros_like(logi...",
        "12.4, line 13, np.minimum(1, weight[None, :] / weigh... -> np.minimum(weight[None, :] / weight[:...",
    ),
    "the divisor is left open by the statement": (
        "11.2, line 11, loc.var(dim=0, correction=0) -> loc.var(dim=0)",
        "11.2, line 11, 0 -> 1",
        "11.2, line 11, 0 -> -1",
    ),
    "what is summed over x first or last": ("11.3, line 19, aggregate -> joint", "11.5, line 18, two -> joint"),
    "within the precision that is asked": ("13.3, line 13, 1000000000.0 -> 1000000001.0",),
}


@dataclass(frozen=True)
class Mutant:
    """A solution with one node changed."""

    id: str
    line: int
    says: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.id}, line {self.line}, {self.says}"


def solution(task: Task) -> tuple[str, str]:
    """What the notebook runs before the exercise, and the cell with its solution."""
    (source,) = (path for path in exercises.sources() if path.name[:2] == task.id[:2])
    before: list[str] = []
    wanted = task.id.replace(".", "-")
    for cell in exercises.with_solutions(source).cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if grade_id == wanted:
            return "\n".join(before), cell.source
        if cell.cell_type == "code" and not grade_id.endswith("-check") and "hint(" not in cell.source:
            before.append(cell.source)
    raise ValueError(f"Expected a cell with the solution to {task.id} in {source.name}, but found none.")


def mutants(task: Task) -> list[Mutant]:
    """All of a solution, in the order of its source; a change that gives no other source is left out."""
    _, source = solution(task)
    tree = ast.parse(source)
    plain = ast.unparse(tree)
    found: dict[str, Mutant] = {}
    for i, node in enumerate(ast.walk(tree)):
        for variant in _changed(node, tree):
            other = copy.deepcopy(tree)
            place = list(ast.walk(other))[i]
            _put(other, place, variant)
            text = ast.unparse(ast.fix_missing_locations(other))
            if text != plain:
                says = f"{_short(node)} -> {_short(variant)}"
                found.setdefault(text, Mutant(task.id, getattr(node, "lineno", 0), says, text))
    return list(found.values())


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _put(tree: ast.AST, place: ast.AST, variant: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is place:
                setattr(parent, name, variant)
                return
            if isinstance(value, list) and any(each is place for each in value):
                setattr(parent, name, [variant if each is place else each for each in value])
                return


def _changed(node: ast.AST, tree: ast.AST) -> Iterator[ast.AST]:
    """What may take the place of a node."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            yield from (ast.BinOp(left, other(), right) for other in OPERATORS.get(type(op), ()))
            yield from (left, right) if isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div) else (left,)
            if isinstance(op, ast.Sub | ast.Div):
                yield ast.BinOp(right, op, left)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield operand
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield from (ast.Compare(left, [other()], [right]) for other in OPERATORS.get(type(op), ()))
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(value=float() as value):
            others = (2 * value, value + 1, -value)
            yield from (ast.Constant(other) for other in others if other != value)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            for i in range(len(keywords)):
                yield ast.Call(function, arguments, keywords[:i] + keywords[i + 1 :])
            if len(arguments) == 2:
                yield ast.Call(function, arguments[::-1], keywords)
            if len(arguments) == 1 and not keywords:
                yield arguments[0]
        case ast.Attribute(value=value, attr=name):
            yield from (ast.Attribute(value, other, ast.Load()) for other in LIKE.get(name, ()))
            if name == "T":
                yield value
        case ast.Name(id=name, ctx=ast.Load()):
            yield from (ast.Name(other, ast.Load()) for other in LIKE.get(name, ()))
            if name not in LIKE:
                yield from (ast.Name(other, ast.Load()) for other in _names(tree) if other != name)


def _names(tree: ast.AST) -> list[str]:
    """What a solution computes with: its parameters and the variables that it sets."""
    parameters = [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return [name for name in dict.fromkeys([*parameters, *stored]) if not hasattr(builtins, name) and name != "rng"]


def is_called_right(mutant: Mutant, task: Task, before: str, seeds: range = range(2)) -> bool:
    """Does `check` call it right, on every seed?"""
    defined: dict[str, Any] = {"__name__": "__mutant__"}
    try:
        exec(compile(before, "<notebook>", "exec"), defined)
        exec(compile(mutant.source, "<solution>", "exec"), defined)
    except Exception:
        return False
    return all(judge(task, Answer(defined[task.name], seconds=SECONDS), seed).right for seed in seeds)


def equivalent(mutant: Mutant) -> str:
    """Why it computes the same, or as much as is asked; empty if no reason is known."""
    return next((why for why, names in EQUIVALENT.items() if mutant.name in names), "")


def survivors(task: Task, every: int = 1) -> tuple[int, list[Mutant]]:
    """How many mutants were tried, every so many of all, and which of them are called right."""
    before, _ = solution(task)
    tried = mutants(task)[::every]
    return len(tried), [mutant for mutant in tried if is_called_right(mutant, task, before)]


def asked(ids: list[str]) -> list[Task]:
    """Those with a formula to get wrong: no derivation, and no single number or word."""
    tasks = all_tasks() if not ids else {id: tasks_of(id[:2])[id] for id in ids}
    return [each for each in tasks.values() if not isinstance(each, Derive) and callable(getattr(each, "truth", len))]


def main(ids: list[str]) -> int:
    total, unknown = 0, 0
    for task in asked(ids):
        count, left = survivors(task)
        total += count
        for mutant in left:
            why = equivalent(mutant)
            unknown += not why
            print(f"{mutant.name}: {why or 'CALLED RIGHT'}", flush=True)
        print(f"{task.id}: {count} mutants, {len(left)} called right", flush=True)
    print(f"{total} mutants; called right without a known reason: {unknown}")
    return int(unknown > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main(sys.argv[1:]))
