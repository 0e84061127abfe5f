"""Which exercises a file holds, whether anybody has worked on them, and whether it is the lesson's notebook instead.

Only code is looked at, as Python reads it: an exercise's number in a text, a comment or a string says nothing.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from vaelib.grade.reading import Read
from vaelib.tasks import FILES, all_tasks, tasks_of

STEMS = {number: name[1:] for number, name in FILES.items()}  # "04": "04_gaussian_kl"
LESSON_TAGS = frozenset({"class", "optional", "picture", "slider"})
CALL = re.compile(r"^[^#\"'\n]*?\bcheck\(\s*(?:id\s*=\s*)?[\"'](\d\d\.\d)[\"']", re.MULTILINE)
LONGEST = 200_000  # letters of a cell that is looked into
MAGIC = re.compile(r"^\s*[%!?].*$|^.*\?\s*$", re.MULTILINE)


def numbers(read: Read, name: str) -> list[str]:
    """The numbers of the exercise notebooks that a file holds, "04", the main one first; none if it holds none.

    In this order: the ids that its code passes to `check`; the full name of an exercise notebook in the file's name;
    the functions and variables that it defines; a bare number in the file's name.

    Example:
        >>> numbers(Read(('check("04.1", kl_normal)',)), "homework.ipynb")
        ['04']
    """
    trees = [_parsed(cell) for cell in read.cells]
    checked = {id for cell, tree in zip(read.cells, trees, strict=True) for id in _checked(cell, tree)}
    counts = Counter(id[:2] for id in checked if id in all_tasks())
    if counts:
        main = max(sorted(counts), key=lambda number: (counts[number], number == _by_name(name)))
        others = [each for each in sorted(counts) if each != main and 2 * counts[each] > len(tasks_of(each))]
        return [main, *others]
    if is_lesson(read):
        return []
    if full := _by_name(name, full=True):
        return [full]
    bound = {name for tree in trees if tree is not None for name in _bound(tree)}
    defined = Counter(id[:2] for id, task in all_tasks().items() if task.name in bound)
    if defined:
        return [max(sorted(defined), key=lambda number: (defined[number], number == _by_name(name)))]
    return [number] if (number := _by_name(name)) else []


def is_lesson(read: Read) -> bool:
    """Is this the notebook of a lesson, which has no answer to check? By its tags, or its typed predictions."""
    if any(_checked(cell, _parsed(cell)) for cell in read.cells):
        return False
    if sum(tag in LESSON_TAGS for tag in read.tags) >= 3:
        return True
    bound = [name for cell in read.cells if (tree := _parsed(cell)) is not None for name in _bound(tree)]
    return "prediction" in bound


def attempted(read: Read, number: str) -> bool:
    """Has anybody worked on the exercises of this notebook, or are they all as they were handed out?

    An answer counts as untouched where its function holds nothing but `...`, `pass` or NotImplementedError, its
    variable `...`, or its list an entry `...`. A cell that cannot be parsed was touched.
    """
    names = {task.name for task in tasks_of(number).values()}
    for cell in read.cells:
        tree = _parsed(cell)
        if tree is None:
            return True
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                if node.name in names and not _is_stub(node.body):
                    return True
            elif names & set(_bound(ast.Module([node], []))) and not _is_left_open(getattr(node, "value", None)):
                return True
        for call in _calls(tree):
            named = [keyword.value for keyword in call.keywords if keyword.arg != "id"]
            answer = next(iter([*call.args[1:], *named]), None)
            if answer is not None and not (isinstance(answer, ast.Name) and answer.id in names):
                return True
    return False


def in_text(read: Read, number: str) -> tuple[str, ...]:
    """Notes on answers that lie in a cell of text, and so are not run."""
    wanted = [task.name for task in tasks_of(number).values()]
    code = "\n".join(read.cells)
    return tuple(
        f"`{name}` is defined in a cell of text, which is not run."
        for name in wanted
        if not re.search(rf"\b{name}\b\s*[(=]", code)
        and any(re.search(rf"^\s*(def {name}\(|{name}\s*=[^=])", text, re.MULTILINE) for text in read.texts)
    )


# ----------------------------------------------------------------------------------------------------------- code


@lru_cache(256)
def _parsed(cell: str) -> ast.Module | None:
    """The cell as Python; magics are left out where they are in the way."""
    return _plain(cell) or _plain(MAGIC.sub("pass", cell))


@lru_cache(256)
def _plain(source: str) -> ast.Module | None:
    try:
        return ast.parse(source) if len(source) < LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "check" and (node.args or node.keywords):
                yield node


def _checked(cell: str, tree: ast.Module | None) -> list[str]:
    """The ids that a cell passes to `check`; in one that is not quite Python, by the looks of its lines."""
    if tree is None or _plain(cell) is None:
        return CALL.findall(cell)
    firsts = [call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "id"), None)
              for call in _calls(tree)]  # fmt: skip
    texts = [first.value for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)]
    return [text.strip() for text in texts if re.fullmatch(r"\d\d\.\d", text.strip())]


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that the top level of a cell gives a value."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for target in targets if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) else []:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _is_stub(body: list[ast.stmt]) -> bool:
    for node in body:
        if isinstance(node, ast.Pass):
            continue
        if isinstance(node, ast.Raise) and _name(node.exc).startswith("NotImplemented"):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring, or `...`
        if isinstance(node, ast.Return) and (node.value is None or _is_left_open(node.value)):
            continue
        return False
    return True


def _name(raised: ast.expr | None) -> str:
    """The name of an exception, called or not."""
    return getattr(raised.func if isinstance(raised, ast.Call) else raised, "id", "")


def _is_left_open(value: ast.expr | None) -> bool:
    if isinstance(value, ast.List | ast.Tuple):
        return any(_is_left_open(part) for part in value.elts)
    return isinstance(value, ast.Constant) and value.value is ...


# ----------------------------------------------------------------------------------------------------------- names


def _by_name(name: str, full: bool = False) -> str:
    """The number in a file's name: "04" of `ada_04_gaussian_kl-2.ipynb`, and of `ex4 ada.ipynb` unless `full`."""
    lower = name.lower()
    for number, stem in STEMS.items():
        if re.search(rf"(?<!\d){_spaced(stem)}", lower):
            return number
    if full:
        return ""
    lower = re.sub(r"\d{4}[-_. ]\d\d[-_. ]\d\d", "", lower)  # a date
    kinds = r"ex|exercises?|hw|homework|sheet|assignment|week|task"
    found = re.findall(rf"(?:^|[ _-])(\d\d)(?=[ _.-]|$)|(?<![a-z])(?:{kinds})[ _-]*(\d{{1,2}})(?!\d)", lower)
    known = [number for pair in found if (number := "".join(pair).zfill(2)) in FILES]
    return known[0] if known else ""


def without_exercise(text: str, number: str = "") -> str:
    """A name without what says which exercises it is; a bare number is taken off only if it is theirs, with its zero.

    >>> without_exercise("04_gaussian_kl - Ada Lovelace"), without_exercise("student 07", "04")
    ('Ada Lovelace', 'student 07')
    """
    for stem in STEMS.values():
        text = re.sub(rf"(?<![\dA-Za-z]){_spaced(stem)}(?![A-Za-z])", " ", text, flags=re.IGNORECASE)
    noise = r"copy of|kopie von|copia de|copie de|copy|final|solutions?|exercises?|homework|assignment|submission|hw|ex"
    mine = f"0?{int(number)}" if number else "(?!)"
    text = re.sub(rf"(?<![^\W_])({noise})[ _-]*({mine})?(?![^\W_])", " ", text, flags=re.IGNORECASE)
    text = re.sub(rf"(?<![^\W_]){number or '(?!)'}(?![^\W_])", " ", text)
    text = re.sub(r"\(\s*\d?\s*\)|\.new\d*$", " ", text)
    return re.sub(r"[\s_]+", " ", text).strip(" -_.,()")


def _spaced(stem: str) -> str:
    return re.sub("_", "[ _-]+", stem)


def is_exercise_folder(name: str) -> bool:
    """Is a folder named after exercises ("week 4", "04", "hw5", "exercises"), and not after a person?"""
    lower = name.lower().removesuffix(".zip")
    kinds = r"week|hw|homework|exercises?|ex|sheet|part|task|assignment|lab|unit|notebooks?|submissions?|work|session"
    return bool(re.fullmatch(rf"({kinds})?[ _.-]*\d{{0,2}}", lower)) or any(
        re.fullmatch(rf"{_spaced(stem)}[ _-]*(\(?\d\)?)?", lower) for stem in STEMS.values()
    )
