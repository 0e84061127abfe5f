"""Every function in Python that is one edit away: a sign, an axis, a square, a logarithm, a name, a term too few.

    for edit in edits("def f(x):\\n    return x + 1\\n"):
        edit.kind, edit.line, edit.old, edit.says, edit.tree

The most plausible kinds come first. An edit is made on the syntax tree, so it knows its place; nothing is run here.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vaelib.nearest.habits import KINDS, WEAK, Words
from vaelib.nearest.rewriting import Path, rewritten

LONGEST = 70  # letters of a place that are quoted
LARGEST = 600  # nodes of a function in which edits are looked for


@dataclass(frozen=True)
class Edit:
    """One change of a function: its kind, the way to its place, and what is put there.

    Attributes:
        source: of the function as it was typed.
    """

    kind: str
    path: Path
    node: ast.AST
    replacement: ast.AST
    function: ast.FunctionDef
    source: str
    throughout: tuple[str, str] | None = None

    @property
    def old(self) -> str:
        """What was typed there, on one line; empty for a change throughout."""
        if self.throughout:
            return ""
        return " ".join((ast.get_source_segment(self.source, self.node) or ast.unparse(self.node)).split())

    @property
    def says(self) -> str:
        """The change itself, in words."""
        if self.throughout:
            return "`{}` and `{}` change places throughout".format(*self.throughout)
        return f"`{self.old}` becomes `{ast.unparse(self.replacement)}`"

    @property
    def line(self) -> int:
        """Within the source, from 1."""
        return int(self.node.lineno)  # type: ignore[attr-defined]

    @property
    def tree(self) -> ast.FunctionDef:
        """The whole function with the change made, ready to be compiled."""
        for part in ast.walk(self.replacement):
            if "lineno" in part._attributes and not hasattr(part, "lineno"):
                ast.copy_location(part, self.node)
        return put(self.function, self.path, self.replacement)  # type: ignore[return-value]


@dataclass(frozen=True)
class Place:
    """Where one change makes a function right.

    Attributes:
        path: the way from the function to the place.
        uses: the ways to where a variable that is set there is used, if a change fits there as well.
        code: what was typed there, or the name of that variable; empty where it is too long to be quoted.
        kind: of the change, of KINDS; empty where changes of several kinds fit. edit: the change, if only one fits.
    """

    line: int
    path: Path
    code: str
    kind: str
    edit: Edit | None
    uses: tuple[Path, ...] = ()

    @property
    def asks(self) -> str:
        """What a teacher would ask about the place, without the answer."""
        return KINDS.get(self.kind, "is this what you mean?")


def edits(source: str, modules: Iterable[str] = ()) -> list[Edit]:
    """Every single edit of the function that a source defines, each result once, the most plausible kinds first.

    Args:
        source: of the function, from `def` on.
        modules: names of libraries that it could use, should it use none: "np".

    Raises:
        ValueError: the source is not the definition of one function, or it is too large.
    """
    function = parsed(source)
    words = Words.of(function, names(function), modules)
    found: dict[tuple[Path, str], Edit] = {}
    for path, node in places(function):
        found[path, ast.dump(node)] = Edit("", path, node, node, function, source)
        for kind, new in rewritten(node, path, words):
            found.setdefault((path, ast.dump(new)), Edit(kind, path, node, new, function, source))
    found |= {((), f"{a}, {b}"): _throughout(function, a, b, source) for a, b in _pairs(function)}
    order = list(KINDS)
    return sorted((edit for edit in found.values() if edit.kind), key=lambda edit: order.index(edit.kind))


def parsed(source: str) -> ast.FunctionDef:
    """The one function that a source defines; raises ValueError, in words."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"Expected the source of a function, but got what is not Python ({error}).") from None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or body[0].decorator_list:
        raise ValueError("Expected the definition of one function, without decorators, and nothing else.")
    if sum(1 for _ in ast.walk(body[0])) > LARGEST:
        raise ValueError(f"Expected a function of at most {LARGEST} parts, but got a larger one.")
    return body[0]


def names(function: ast.FunctionDef) -> tuple[str, ...]:
    """What a function computes with: its parameters and the variables that it sets, in their order."""
    nodes = list(ast.walk(function))
    parameters = [node.arg for node in nodes if isinstance(node, ast.arg)]
    stored = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return tuple(name for name in dict.fromkeys([*parameters, *stored]) if not hasattr(builtins, name) and name != "_")


def place(found: list[Edit]) -> Place | None:
    """Where the function goes wrong, if the edits that make it right agree on that; None if they do not.

    They agree where one place holds all the others, or where a variable is set in one and used in the other. A number,
    a term or a factor that is missing, and a change throughout count only if nothing more plausible fits. The change
    itself is named if all are at one place and of one kind.
    """
    best = min((_credit(edit) for edit in found), default=0)
    fit = [edit for edit in found if _credit(edit) == best]
    uses = [edit for edit in fit if any(_sets(other, edit) for other in fit)]
    fit = [edit for edit in fit if edit not in uses]
    if not fit or (fit[0].throughout and len(fit) > 1):
        return None
    widest = min((edit.path for edit in fit), key=len)
    if any(edit.path[: len(widest)] != widest for edit in fit):
        return None
    outer = next(edit for edit in fit if edit.path == widest)
    code = uses[0].old if uses else outer.old if len(outer.old) <= LONGEST else ""
    kind = fit[0].kind if len({edit.kind for edit in fit}) == 1 else ""
    change = fit[0] if kind and not uses else None
    return Place(outer.line, widest, code, kind, change, tuple(edit.path for edit in uses))


def _credit(edit: Edit) -> int:
    """0 for a kind that is what was meant wherever it fits; the more, the less is to be thought of it."""
    return 3 if edit.throughout else WEAK.get(edit.kind, 0)


def _sets(edit: Edit, other: Edit) -> bool:
    """Is the one in the statement that sets the variable at which the other is?"""
    if not isinstance(other.node, ast.Name) or edit.throughout:
        return False
    statement: ast.AST = edit.function
    for name, i in edit.path:
        part = getattr(statement, name)
        statement = part if i < 0 else part[i]
        if isinstance(statement, ast.Assign):
            stored = [
                node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)
            ]
            return other.node.id in stored and edit.path[: len(other.path)] != other.path
    return False


# -------------------------------------------------------------------------------------------------------------- places


def places(function: ast.FunctionDef) -> Iterator[tuple[Path, ast.AST]]:
    """Every expression and assignment in the body that may be edited, with the way to it."""
    for i, statement in enumerate(function.body):
        is_docstring = i == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_docstring:
            yield from _below(statement, (("body", i),))


def _below(node: ast.AST, path: Path) -> Iterator[tuple[Path, ast.AST]]:
    if isinstance(node, ast.expr | ast.AugAssign | ast.comprehension | ast.slice):
        if hasattr(node, "lineno"):
            yield path, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "targets", "target", "ctx", "args") and not isinstance(
            node, ast.Call
        ):
            continue
        if isinstance(node, ast.JoinedStr):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                yield from _below(child, (*path, (name, i if isinstance(value, list) else -1)))


def put(node: ast.AST, path: Path, new: ast.AST) -> ast.AST:
    """The tree with another part at a place; what is not on the way there is shared."""
    if not path:
        return new
    (name, i), *rest = path
    part = getattr(node, name)
    other = copy.copy(node)
    if i < 0:
        setattr(other, name, put(part, tuple(rest), new))
    else:
        setattr(other, name, [*part[:i], put(part[i], tuple(rest), new), *part[i + 1 :]])
    return other


# ---------------------------------------------------------------------------------------------------- names throughout


def _pairs(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Pairs of parameters; and of endings, "*_q" and "*_p", that several parameters have."""
    parameters = [arg.arg for arg in function.args.args]
    for i, a in enumerate(parameters):
        for b in parameters[i + 1 :]:
            yield a, b
    endings: dict[str, list[str]] = {}
    for name in parameters:
        stem, _, ending = name.rpartition("_")
        if stem:
            endings.setdefault(ending, []).append(stem)
    shared = [(a, b) for a in endings for b in endings if a < b and len(set(endings[a]) & set(endings[b])) > 1]
    yield from (("*_" + a, "*_" + b) for a, b in shared)


def _throughout(function: ast.FunctionDef, a: str, b: str, source: str) -> Edit:
    """With a for b and b for a in the body; of "*_q" and "*_p", in every name that ends so."""
    other = copy.deepcopy(function)
    turned = {a: b, b: a}
    parameters = {arg.arg for arg in function.args.args}
    for node in ast.walk(other):
        if isinstance(node, ast.Name) and node.id in parameters:
            stem, _, ending = node.id.rpartition("_")
            swapped = turned.get(node.id, f"{stem}{turned.get(f'*_{ending}', '')[1:]}")
            node.id = swapped if swapped in parameters else node.id
    return Edit("swapped throughout", (), function, other, function, source, (a, b))
