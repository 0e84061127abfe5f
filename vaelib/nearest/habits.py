"""Kinds of mistakes in a function, in the words of a teacher; functions that are alike; what a function is made of."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

KINDS = {  # in order of plausibility, with what a teacher would ask about the place
    "sign": "is every sign right?",
    "order": "in which order are the two to be taken?",
    "square": "are squares and roots where they belong?",
    "logarithm": "are logarithms and exponentials where they belong?",
    "axis": "which axis is it to run over, and does that axis stay?",
    "sum or mean": "is it a sum, a mean, or something else of that sort?",
    "half or two": "is a factor 1/2 or 2 missing, or is there one too many?",
    "divisor": "by what is it divided, n or n - 1?",
    "brackets": "do the brackets begin and end where they should?",
    "function": "is this the right function?",
    "comparison": "is the comparison the right way round, and what happens at its boundary?",
    "operator": "is this the right operation?",
    "name": "is every name the right one?",
    "arguments": "are these the right arguments, in the right order?",
    "index": "is this the right part of the array?",
    "dropped": "does all of it belong here?",
    "transposed": "is a matrix to be transposed here, or is one that should not be?",
    "swapped throughout": "are two of the names swapped throughout?",
    "number": "is every number right?",
    "missing term": "is there a term missing?",
    "missing factor": "is there a factor missing?",
}
WEAK = {"number": 1, "missing term": 2, "missing factor": 2}  # they fit where something else was meant, the more so
LIKE = {
    "log": (("logarithm", "exp"), ("logarithm", "log2"), ("logarithm", "log1p")),
    "exp": (("logarithm", "log"), ("logarithm", "expm1")),
    "log2": (("logarithm", "log"),),
    "log10": (("logarithm", "log"),),
    "log1p": (("logarithm", "log"),),
    "expm1": (("logarithm", "exp"),),
    "sqrt": (("square", "square"),),
    "square": (("square", "sqrt"),),
    "sum": (("sum or mean", "mean"), ("sum or mean", "prod"), ("sum or mean", "max")),
    "mean": (("sum or mean", "sum"), ("sum or mean", "median"), ("sum or mean", "max")),
    "prod": (("sum or mean", "sum"),),
    "median": (("sum or mean", "mean"),),
    "max": (("sum or mean", "min"), ("sum or mean", "sum"), ("sum or mean", "mean")),
    "min": (("sum or mean", "max"),),
    "argmax": (("function", "argmin"),),
    "argmin": (("function", "argmax"),),
    "maximum": (("function", "minimum"),),
    "minimum": (("function", "maximum"),),
    "std": (("square", "var"),),
    "var": (("square", "std"),),
    "sin": (("function", "cos"),),
    "cos": (("function", "sin"),),
    "logaddexp": (("function", "maximum"),),
}
REDUCE = ("sum", "mean", "prod", "max", "min", "std", "var", "median", "logsumexp", "cumsum", "argmax", "argmin")
KINDS_OF_CALLS = dict.fromkeys(("log", "exp", "log2", "log10", "log1p", "expm1", "logsumexp"), "logarithm")
KINDS_OF_CALLS |= dict.fromkeys(("sqrt", "square"), "square") | dict.fromkeys(REDUCE[:9], "sum or mean")
MODULES = ("np", "numpy", "torch", "math", "jnp")
OPPOSITE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.Gt, ast.LtE, ast.GtE),
    ast.LtE: (ast.GtE, ast.Lt, ast.Gt),
    ast.Gt: (ast.Lt, ast.GtE, ast.LtE),
    ast.GtE: (ast.LtE, ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
PLUS = ast.Add | ast.Sub
TIMES = ast.Mult | ast.Div
LINEAR = PLUS | TIMES


@dataclass(frozen=True)
class Words:
    """What may be put into a function: its own names and attributes, the libraries that it uses, and how it says axis.

    Attributes:
        context: id of a node -> its parent. prefixes: of MODULES, those that the function uses, or might use.
    """

    names: tuple[str, ...]
    attributes: tuple[str, ...]
    prefixes: tuple[str, ...]
    axis: str
    context: dict[int, ast.AST]

    @classmethod
    def of(cls, function: ast.FunctionDef, names: tuple[str, ...], modules: Iterable[str] = ()) -> Words:
        nodes = list(ast.walk(function))
        context = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
        owned = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        used = [n.value.id for n in owned if isinstance(n.value, ast.Name) and n.value.id in MODULES]
        prefixes = used or [name for name in MODULES if name in modules]
        called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
        attributes = [n.attr for n in owned if n.value.id in names and id(n) not in called]  # type: ignore[attr-defined]
        axis = "dim" if "torch" in prefixes or "dim" in _keywords(nodes) else "axis"
        return cls(names, tuple(dict.fromkeys(attributes)), tuple(dict.fromkeys(prefixes)), axis, context)


def _keywords(nodes: list[ast.AST]) -> set[str | None]:
    return {node.arg for node in nodes if isinstance(node, ast.keyword)}
