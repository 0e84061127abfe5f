"""The shape of the package: floors, no circles, what `import vaelib` loads; and what no file of the project may say.

A module imports only from lower floors. A floor with landings is written as several rows, and a module may also import
from a lower landing. A new module must be put on a row here, or the test fails: where it belongs is a decision.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "vaelib"

# (floor, modules). A package of many files, such as ledger, is one entry: among themselves, its modules must only not
# import in a circle. What lies lower than the rest of its package has an entry for itself, such as derivation.lines.
FLOORS: tuple[tuple[int, frozenset[str]], ...] = (
    (
        0,
        frozenset(
            {"_arrays", "_cores", "_files", "_latex", "_lazy", "_printable", "_quiet", "_spoken", "derivation.rounding"}
        ),
    ),
    (0, frozenset({"_breaks", "_door"})),
    (0, frozenset({"_checks", "_special", "estimate"})),
    (0, frozenset({"derivation.compare"})),
    (1, frozenset({"derivation.lines", "kl", "montecarlo", "quadrature"})),
    (1, frozenset({"distributions"})),
    (2, frozenset({"models"})),
    (2, frozenset({"formula"})),
    (2, frozenset({"derivation"})),
    (2, frozenset({"nearest", "witnesses"})),
    (3, frozenset({"elbo"})),
    (3, frozenset({"em", "gradients", "terms"})),
    (4, frozenset({"ledger", "plots"})),
    (4, frozenset({"check", "verify"})),
    (4, frozenset({"magic"})),
    (5, frozenset({"contained", "forbidden", "notes", "values"})),
    (5, frozenset({"reply", "task"})),
    (5, frozenset({"typeset"})),
    (5, frozenset({"bans", "feedback", "solution"})),
    (5, frozenset({"tasks", "variant"})),
    (5, frozenset({"agreement"})),
    (5, frozenset({"choices", "custom", "deriving", "sampling"})),
    (5, frozenset({"judge"})),
    (5, frozenset({"almost"})),
    (5, frozenset({"exercise"})),
    (5, frozenset({"data"})),
    (5, frozenset({"vae"})),
    (5, frozenset({"objectives"})),
    (6, frozenset({"train"})),
    (6, frozenset({"evaluate", "explore"})),
    (7, frozenset({"grade", "progress"})),
    (7, frozenset({"cli"})),
    (7, frozenset({"__main__"})),
)
ROW = {module: row for row, (_, modules) in enumerate(FLOORS) for module in modules}
FLOOR = {module: floor for floor, modules in FLOORS for module in modules}
TORCH = frozenset({"cli", "data", "evaluate", "explore", "objectives", "progress", "train", "vae"})
MATPLOTLIB = frozenset({"plots"})  # and floor 7, inside functions; data asks it there for its fonts
LATE = "vaelib.tasks.in_class_"  # answers in torch, imported when a class asks for them
TOP_FLOOR = 7


FLOOR_NAMES = {
    0: "what every computation rests on",
    1: "numbers that carry their error, distributions, lines",
    2: "formulas, derivations, exact models",
    3: "the words of the course",
    4: "the ledger, pictures, the check of one's own derivation",
    5: "exercises; the model and its data",
    6: "training and evaluation",
    7: "commands, grading",
}


def first_sentence(module: str) -> str:
    """How a module's docstring begins."""
    path = (ROOT / PACKAGE).joinpath(*module.split(".")).with_suffix(".py")
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=[.:;!?])\s", " ".join(doc.split()))[0].rstrip(".:;")


def floors() -> str:
    """The modules by floor, one line each, as they stand in the docstring of the package."""
    lines: list[str] = []
    for floor, name in FLOOR_NAMES.items():
        lines += ["", f"{floor}. {name}"]
        modules = [module for level, row in FLOORS if level == floor for module in sorted(row)]
        lines += [f"    {module:19} {first_sentence(module)}" for module in modules]
    return "\n".join(lines).strip("\n")


def test_the_docstring_of_the_package_names_every_module_by_floor() -> None:
    """`python tests/test_architecture.py` prints what it should say."""
    doc = ast.get_docstring(ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")))
    assert doc is not None and floors() in doc


def entry(name: str) -> str:
    """The name by which FLOORS knows a module: vaelib.ledger.bound -> ledger; the package itself -> ''."""
    below = name.partition(".")[2]
    return below if below in ROW else below.split(".")[0]


def imported(source: str, package: str, modules: frozenset[str], hands_on: bool) -> Iterator[tuple[str, bool, int]]:
    """Every import in the source of a module of `package`: (full dotted name, stands inside a function, line).

    `from package import name` yields package.name where that is a module, else the package. What is imported for the
    type checker alone (`if TYPE_CHECKING:`) is left out, since it never runs; but not in a package's `__init__`: it
    hands these names on when they are asked for.
    """

    def visit(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool, int]]:
        if (
            isinstance(node, ast.If)
            and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
            and not hands_on
        ):
            for other in node.orelse:
                yield from visit(other, inside)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, inside, node.lineno
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield (name if name in modules else base), inside, node.lineno
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    return visit(ast.parse(source), False)


def offences(sources: dict[str, str]) -> list[str]:
    """All that is wrong with the imports of a package, given as {path below vaelib, without .py: source}.

    The package's own `__init__` is the list of public names: it may import whatever needs no torch, and nothing below
    the top floor may import from it, for that is a circle.
    """
    names = {path: f"{PACKAGE}.{path}".replace("/", ".").removesuffix(".__init__") for path in sources}
    modules = frozenset(names.values())
    edges: dict[str, set[str]] = {}
    found: list[str] = []
    for path, source in sorted(sources.items()):
        name, here = names[path], entry(names[path])
        if name.endswith(".utils"):
            found.append(f"{name}: a module is named after what it is about, not utils")
        if here and here not in ROW:
            found.append(f"{name}: stands on no floor; put it into FLOORS")
            continue
        on_top = bool(here) and FLOOR[here] == TOP_FLOOR
        hands_on = path.endswith("__init__")
        package = name if hands_on else name.rpartition(".")[0]
        for target, inside, line in imported(source, package, modules, hands_on):
            if target.split(".")[0] == "torch" and name.startswith(LATE):
                continue
            complaint = complaint_about(here, target, inside, on_top)
            if complaint:
                found.append(f"{name}:{line}: {complaint}")
            if target.split(".")[0] == PACKAGE:
                edges.setdefault(name, set()).add(target)
    return found + circles(edges)


def complaint_about(here: str, target: str, inside: bool, on_top: bool) -> str:
    """What is wrong with one import, or nothing. `here` is an entry of FLOORS, or '' for the package itself."""
    top, there = target.split(".")[0], entry(target)
    if top == "torch" and here not in TORCH:
        return "imports torch above the torch line"
    if top == "matplotlib" and not (here in MATPLOTLIB or (inside and (on_top or here == "data"))):
        return "imports matplotlib; pictures belong in diagrams or plots"
    if top == "pandas":
        return "imports pandas, which is no dependency"
    if top != PACKAGE:
        return ""
    if inside and not on_top:
        return f"imports {target} inside a function, which dodges the floors"
    if not there:
        return "" if on_top else f"imports from {PACKAGE} itself, a circle; name the module"
    if there not in ROW:
        return f"imports {target}, which stands on no floor"
    if not here:
        return f"{PACKAGE} imports {target}, which needs torch" if there in TORCH else ""
    if here != there and ROW[there] >= ROW[here]:
        return f"imports {target}, which is not on a lower floor"
    return ""


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Each circle of imports once, by depth-first search; within a package of many files the floors say nothing."""
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append("circle: " + " -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                visit(target, [*path, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    return found


def package_sources() -> dict[str, str]:
    folder = ROOT / PACKAGE
    files = sorted(folder.rglob("*.py"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_package_imports_only_from_lower_floors() -> None:
    sources = package_sources()
    assert {"__init__", "estimate"} <= set(sources)  # the check looks where the modules are
    assert offences(sources) == []


NOT_LOWER = "imports vaelib.elbo, which is not on a lower floor"
IN_FUNCTION = "inside a function, which dodges the floors"


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"kl": "\nfrom vaelib.elbo import f", "elbo": ""}, f"vaelib.kl:2: {NOT_LOWER}"),
        ({"kl": "from vaelib import elbo", "elbo": ""}, NOT_LOWER),
        ({"kl": "from . import elbo", "elbo": ""}, NOT_LOWER),
        ({"kl": "from .elbo import f", "elbo": ""}, NOT_LOWER),
        ({"kl": "import vaelib.elbo as e", "elbo": ""}, NOT_LOWER),
        ({"kl": "if True:\n    from vaelib.elbo import f", "elbo": ""}, NOT_LOWER),
        ({"kl": "import vaelib.quadrature"}, "imports vaelib.quadrature, which is not on a lower floor"),
        ({"elbo": "from vaelib.ledger.bound import F1"}, "imports vaelib.ledger.bound, which is not on a lower floor"),
        ({"ledger/bound": "from ..verify import run"}, "imports vaelib.verify, which is not on a lower floor"),
        ({"elbo": "def f():\n    from vaelib.models import M"}, f"vaelib.elbo:2: imports vaelib.models {IN_FUNCTION}"),
        ({"elbo": "class C:\n    def f(self):\n        import vaelib.kl"}, IN_FUNCTION),
        ({"elbo": "try:\n    import torch\nexcept ImportError:\n    pass"}, "imports torch above the torch line"),
        ({"_arrays": "def f():\n    from torch import nn"}, "imports torch above the torch line"),
        ({"__init__": "from vaelib.train import fit"}, "imports vaelib.train, which needs torch"),
        ({"__init__": "from . import train", "train": ""}, "imports vaelib.train, which needs torch"),
        ({"__init__": "import torch"}, "imports torch above the torch line"),
        ({"elbo": "from vaelib import Normal"}, "imports from vaelib itself, a circle"),
        ({"elbo": "from . import Normal"}, "imports from vaelib itself, a circle"),
        ({"train": "import matplotlib.pyplot as plt"}, "imports matplotlib; pictures belong in diagrams or plots"),
        ({"cli": "from matplotlib import pyplot"}, "imports matplotlib; pictures belong in diagrams or plots"),
        ({"data": "import matplotlib"}, "imports matplotlib; pictures belong in diagrams or plots"),
        ({"vae": "def f():\n    import matplotlib"}, "imports matplotlib; pictures belong in diagrams or plots"),
        ({"verify": "import pandas as pd"}, "imports pandas"),
        ({"novel": ""}, "vaelib.novel: stands on no floor"),
        ({"cli": "from vaelib import novel", "novel": ""}, "imports vaelib.novel, which stands on no floor"),
        ({"utils": ""}, "not utils"),
        ({"ledger/utils": ""}, "not utils"),
        ({"derivation/lines": "from .board import Board", "derivation/board": ""}, "not on a lower floor"),
        ({"formula/laws": "from vaelib.derivation import Line", "derivation/__init__": ""}, "not on a lower floor"),
        (
            {
                "derivation/__init__": "if TYPE_CHECKING:\n    from vaelib.derivation.board import Board",
                "derivation/board": "from vaelib.derivation import Derivation",
            },
            "circle: vaelib.derivation -> vaelib.derivation.board",
        ),
        (
            {"ledger/a": "from .b import x", "ledger/b": "from .a import y"},
            "circle: vaelib.ledger.a -> vaelib.ledger.b",
        ),
        (
            {"ledger/__init__": "from . import a", "ledger/a": "from vaelib.ledger import ALL"},
            "circle: vaelib.ledger ->",
        ),
    ],
)
def test_offence_is_found(sources: dict[str, str], message: str) -> None:
    found = offences(sources)
    assert any(message in offence for offence in found), found


@pytest.mark.parametrize(
    "sources",
    [
        {"__init__": "from vaelib.kl import f\nfrom . import ledger", "kl": "", "ledger/__init__": ""},
        {"kl": "from vaelib import _checks", "_checks": "from vaelib._arrays import namespace", "_arrays": ""},
        {"elbo": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n    import vaelib.train"},
        {"train": "import torch\nfrom vaelib.vae import VAE", "vae": "from torch import nn"},
        {"cli": "def f():\n    import torch\n    from matplotlib import pyplot\n    from vaelib import train, Normal"},
        {"plots": "import matplotlib.pyplot as plt\ndef f():\n    import scipy.stats"},
        {"formula/laws": "from vaelib.derivation.lines import Line", "derivation/lines": "", "derivation/__init__": ""},
        {"data": "def fonts():\n    import matplotlib"},
        {"ledger/__init__": "from . import a", "ledger/a": "from ._x import y\nfrom ..kl import f", "ledger/_x": ""},
    ],
)
def test_sound_imports_are_not_called_offences(sources: dict[str, str]) -> None:
    assert offences(sources) == []


def test_no_module_stands_on_two_floors() -> None:
    names = [module for _, modules in FLOORS for module in modules]
    assert len(names) == len(set(names))
    assert [floor for floor, _ in FLOORS] == sorted(floor for floor, _ in FLOORS)


def test_public_names_are_there_and_others_are_not() -> None:
    import vaelib

    assert all(getattr(vaelib, name).__name__ == name for name in vaelib.__all__)
    assert set(vaelib.__all__) <= set(dir(vaelib))
    assert not {"Any", "TYPE_CHECKING", "annotations", "importlib"} & set(dir(vaelib))
    with pytest.raises(AttributeError, match="module 'vaelib' has no attribute 'Norml'"):
        vaelib.Norml  # noqa: B018


LAZY = ("", "cli", "derivation", "evaluate", "plots", "train")


@pytest.mark.parametrize("package", LAZY)
def test_names_that_a_package_hands_on_are_those_that_the_type_checker_sees(package: str) -> None:
    """And none is the name of a module: importing the module would put it in the place of the function."""
    folder = ROOT / PACKAGE / package
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    (seen,) = (node for node in tree.body if isinstance(node, ast.If))
    names = sorted(alias.name for node in seen.body if isinstance(node, ast.ImportFrom) for alias in node.names)
    module = importlib.import_module(f"{PACKAGE}.{package}".rstrip("."))
    assert names == sorted(module.__all__) and set(names) <= set(dir(module))
    assert not set(names) & {path.stem for path in folder.iterdir()}
    assert all(getattr(module, name) is not None for name in names)
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'Norml'"):
        module.Norml  # noqa: B018


def test_names_stay_what_they_are_when_their_modules_are_loaded() -> None:
    """`vaelib.train.fit` is the function, in whatever order things are imported; in a fresh interpreter."""
    code = """
import vaelib.train.loop, vaelib.evaluate.bounds, vaelib.plots.diagrams, vaelib.derivation.chain, vaelib.cli.commands
from vaelib.cli import app
from vaelib.derivation import Derivation, IllTyped, Line, Slip, derive
from vaelib.evaluate import evaluate, inference_gaps, sandwich
from vaelib.plots import densities, image_grid
from vaelib.train import NotFinite, RunError, TrainConfig, TrainState, build, fit, init, load, step
import vaelib
assert vaelib.train.fit is fit and vaelib.evaluate.evaluate is evaluate and vaelib.plots.image_grid is image_grid
assert vaelib.Line is Line and vaelib.derivation.Derivation is vaelib.Derivation is type(vaelib.ledger.F1)
assert callable(app) and all(map(callable, (fit, init, load, step, evaluate, sandwich, derive, densities)))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_module_that_completion_offers_is_loaded_when_it_is_asked_for() -> None:
    """In a fresh interpreter: a module that another test has loaded would be there anyway."""
    code = "import vaelib; print(*(name for name in dir(vaelib) if getattr(vaelib, name, None) is None))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
    code = "import vaelib; print(vaelib.train.load.__name__, vaelib.ledger.F1.id)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["load", "F1"]


def test_ledger_offers_its_identities() -> None:
    from vaelib import ledger

    assert {"A1", "F1", "LEDGER", "PUBLISHED"} <= set(dir(ledger))
    assert not {"pkgutil", "a_bayes"} & set(dir(ledger))


def test_import_loads_no_heavy_package() -> None:
    """In a fresh interpreter. What loads only numpy and scipy.special also loads in a browser's Python."""
    heavy = ("torch", "matplotlib", "pandas", "sklearn", "IPython", "typer", "rich", "scipy.stats", "scipy.integrate")
    look = f"print(*(name for name in {heavy!r} if name in sys.modules), 'numpy' in sys.modules)"
    code = f"import sys; from vaelib import *; {look}"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


# ---------------------------------------------------------------- what no file of the project may contain

PRIVATE = {
    "a directory of one machine": re.compile(r"(?<![\w.~)}>*-])/(?:home|root|work|Users)/[\w.]|\b[A-Z]:\\+Users\\"),
    "a package registry": re.compile(
        r"\b(?:pypi|pythonhosted|piwheels|anaconda|npmjs|crates|rubygems)\.(?:org|io|com)\b|\bdownload\.pytorch\.org\b|\bjsdelivr\.net\b"
    ),
    "a temporary file of a kernel": re.compile(r"ipykernel_\d"),
}
GENERATED = re.compile(
    r"\.(?:git|venv|coverage.*|\w+_cache|hypothesis|ipynb_checkpoints)|__pycache__|node_modules|work|runs|build|dist|.*\.egg-info"
)


def private_passages(text: str) -> list[str]:
    return [f"{kind}: {match.group()}" for kind, pattern in PRIVATE.items() for match in pattern.finditer(text)]


def project_files() -> Iterator[Path]:
    """Every file that belongs to the project; by walking, since a copy of the project may be no git repository."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if not GENERATED.fullmatch(name)]
        yield from (Path(folder) / name for name in names if not GENERATED.fullmatch(name))


def test_no_file_names_a_private_directory_or_a_registry() -> None:
    found = {}
    read = 0
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        read += 1
        if passages := private_passages(text):
            found[path.relative_to(ROOT).as_posix()] = passages
    assert read > 10
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /" + "home/ada/course",
        "'/" + "root/.cache'",
        "C:\\" + "Users\\ada",
        "https://py" + "pi.org/simple",
        "https://download.pytorch" + ".org/whl/cpu",
        "/tmp/ipykernel" + "_123/4.py",
    ],
)
def test_private_passage_is_found(text: str) -> None:
    assert private_passages(text)


@pytest.mark.parametrize(
    "text", ["work/notebooks", "./work/notebooks", "~/work/x", "and/or", "https://pytorch.org/get-started"]
)
def test_ordinary_passage_is_not_called_private(text: str) -> None:
    assert private_passages(text) == []


def test_no_placeholder_is_left_in_the_pages() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        assert not re.findall(r"@[A-Z]+@|FILL IN|TODO", (ROOT / page).read_text(encoding="utf-8")), page


if __name__ == "__main__":
    print(floors())
