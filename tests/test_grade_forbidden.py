"""What an exercise forbids is not there while it is asked: under no name, in no library; and the rest still works."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forms import some
from grading import CHECK_1, IMPORTS, RIGHT_1, reply, submission

from vaelib import forbidden
from vaelib.grade import box, isolation
from vaelib.grade.submission import CODE, Asked
from vaelib.judge import NOT_YET, expected, judge, plain_arguments
from vaelib.task import Compute
from vaelib.tasks import all_tasks, task

KINDS = [(), *((kind,) for kind in forbidden.KINDS)]


def in_the_copy(code: str, kinds: tuple[str, ...], folder: Path) -> list[str]:
    """Runs the code in a process like that of a submission; the last line that it prints."""
    box.write(box.files(kinds), folder / "package")
    begin = CODE.format(copy=str(folder / "package"), path=isolation.library_path()).split("from vaelib")[0]
    before = f"from vaelib.grade.removal import Removal; Removal({kinds!r})\n"
    command = [sys.executable, "-I", "-S", "-B", "-c", begin + before + code]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout.splitlines()[-1:]


def printed(code: str, kinds: tuple[str, ...], folder: Path) -> Any:
    return json.loads(in_the_copy(code, kinds, folder)[0])


# ------------------------------------------------------------------------------------------------- what is not there

EVERY_MODULE = """
import importlib, json, pkgutil, vaelib
failed, seen = {}, []
for found in pkgutil.walk_packages(vaelib.__path__, "vaelib."):
    if not found.name.startswith(("vaelib.__main__", "vaelib.cli")):
        try:
            seen.append(importlib.import_module(found.name).__name__)
        except Exception as error:
            failed[found.name] = repr(error)
from vaelib import *
print(json.dumps([failed, seen]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kinds", some([(tuple(forbidden.KINDS),), ((),)], every=2), ids=["everything", "nothing"])
def test_every_module_of_the_copy_loads(kinds: tuple[str, ...], tmp_path: Path) -> None:
    failed, seen = printed(EVERY_MODULE, kinds, tmp_path)
    assert failed == {}
    assert {"vaelib.distributions", "vaelib.models", "vaelib.vae", "vaelib.exercise"} <= set(seen)
    assert not {name for name in seen if name.startswith(("vaelib.tasks", "vaelib.judge", "vaelib.grade.submission"))}
    assert ("vaelib.ledger" in seen) == (not kinds)


@pytest.mark.parametrize("kinds", KINDS, ids=str)
def test_copy_has_no_answers(kinds: tuple[str, ...]) -> None:
    names = set(box.files(kinds))
    assert not {
        name
        for name in names
        if "tasks" in name or name.startswith("judge") or name in ("grade/pool.py", "grade/box.py")
    }
    assert b"stand_in" in box.files(kinds)["exercise.py"].content
    for name, file in box.files(kinds).items():
        if name.endswith(".py") and name.startswith("grade/"):
            assert b"truth" not in file.content, name


def test_stripping_takes_definitions_and_every_import_of_them() -> None:
    sources = {
        "a.py": "def f(): ...\ndef g(): ...\nclass C: ...",
        "b.py": "from vaelib.a import f as renamed, g\n__all__ = ['renamed', 'g']\ndef h(): return renamed()",
        "c.py": "from vaelib.b import renamed\nimport vaelib.a\n",
        "d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vaelib.a import C\nx = 1",
        "e.py": "def inside():\n    from vaelib.c import renamed",
    }
    left = box.without(sources, ("vaelib.a.f", "vaelib.a.C"))
    assert "def f" not in left["a.py"] and "class C" not in left["a.py"] and "def g" in left["a.py"]
    assert "import g" in left["b.py"] and "'renamed'" not in left["b.py"] and "f as" not in left["b.py"]
    assert left["c.py"] == "import vaelib.a"
    assert "import C" not in left["d.py"] and "x = 1" in left["d.py"]
    assert "pass" in left["e.py"] and "renamed" not in left["e.py"]
    assert box.without(sources, ("numpy.f",)) is sources


def test_names_of_other_libraries_are_right() -> None:
    """A name that is not there forbids nothing: each is found where its library is installed."""
    for name in {name for kind in forbidden.KINDS.values() for name in kind.names}:
        path, _, last = name.rpartition(".")
        if not path or importlib.util.find_spec(name.split(".")[0]) is None:
            continue
        owner = importlib.import_module(path)
        assert hasattr(owner, last) or importlib.util.find_spec(name) is not None, name


ALIASES = """
import json, sys
import torch, scipy.stats, scipy.spatial.distance, sklearn.mixture, scipy.special
left = []
for name, module in list(sys.modules.items()):
    if name.split(".")[0] in ("scipy", "torch", "vaelib"):
        for key in ("rel_entr", "kl_div", "kl_divergence", "KLDivLoss"):
            if key in getattr(module, "__dict__", {}):
                left.append(f"{name}.{key}")
try:
    import torch.distributions.kl
except ImportError as error:
    refused = str(error)
from scipy.stats import norm
left += [name for name in ("entropy",) if hasattr(scipy.stats, name)]
print(json.dumps([left, hasattr(torch.distributions, "kl"), refused, norm.entropy()]))
"""


@pytest.mark.slow
def test_other_names_of_a_forbidden_function_go_with_it(tmp_path: Path) -> None:
    left, has_module, refused, works = printed(ALIASES, ("kl",), tmp_path)
    assert left == [] and not has_module and "torch.distributions.kl" in refused
    assert works == pytest.approx(1.4189385)


STRUCK = """
import builtins, json, sys
import torch.distributions
from vaelib.grade import removal
calls = 0
def struck_once(owner, name):
    global calls
    calls += 1
    if calls == 2:
        raise TimeoutError
    builtins.delattr(owner, name)
removing = next(each for each in sys.meta_path if isinstance(each, removal.Removal))
removing._put_back()
before = hasattr(torch.distributions, "kl_divergence")
removal.delattr, heard = struck_once, False
try:
    removing._take()
except TimeoutError:
    heard = True
print(json.dumps([before, heard, hasattr(torch.distributions, "kl_divergence"), hasattr(torch.nn, "KLDivLoss")]))
"""


@pytest.mark.slow
def test_limit_of_time_that_strikes_while_things_are_removed_is_heard_when_all_are(tmp_path: Path) -> None:
    assert printed(STRUCK, ("kl",), tmp_path) == [True, True, False, False]


# ------------------------------------------------------------------------------- nothing with the right answer is left


def plainly(value: Any) -> Any:
    return np.asarray(value).tolist()


def answers_that_are_left(ids: list[str], kinds: tuple[str, ...], folder: Path) -> tuple[dict[str, list[str]], int]:
    """Exercise -> functions that answer it, in a process where these kinds are not there."""
    asked = {}
    for each in (task(id) for id in ids):
        assert isinstance(each, Compute)
        questions = each.asked(5)[-3:]
        given = [[plainly(value) for value in plain_arguments(question).values()] for question in questions]
        asked[each.id] = [[g, plainly(expected(each.truth, q))] for g, q in zip(given, questions, strict=True)]
    with_torch = any(id.startswith(("04", "09", "10", "13")) for id in ids)
    (folder / "asked.json").write_text(json.dumps([asked, with_torch]))
    script = (Path(__file__).parent / "scan_answers.py").read_text(encoding="utf-8")
    in_the_copy(script.replace("from __future__ import annotations", ""), kinds, folder)
    found, tried = json.loads((folder / "found.json").read_text())
    return found, tried


ASKED = [each for each in all_tasks().values() if each.forbidden and isinstance(each, Compute) and callable(each.truth)]
SETS: dict[tuple[str, ...], list[str]] = {}  # what is forbidden together: the exercises that forbid it
for each in ASKED:
    SETS.setdefault(tuple(sorted(each.forbidden)), []).append(each.id)
BY_LENGTH = sorted(SETS, key=lambda kinds: -len(SETS[kinds]))
# One exercise of each set, a third of which are in the short form; then the others, if there are any.
SCANS = [
    *some([(kinds, SETS[kinds][-1:]) for kinds in BY_LENGTH], every=3),
    *(pytest.param(kinds, SETS[kinds][:-1], marks=pytest.mark.long) for kinds in BY_LENGTH if SETS[kinds][:-1]),
]


def test_every_exercise_that_forbids_something_is_scanned() -> None:
    assert sorted(id for scan in SCANS for id in scan.values[1]) == sorted(each.id for each in ASKED)


@pytest.mark.slow
@pytest.mark.parametrize(("kinds", "ids"), SCANS, ids=["-".join([*scan.values[0], *scan.values[1]]) for scan in SCANS])
def test_no_function_that_is_left_answers_an_exercise(kinds: tuple[str, ...], ids: list[str], tmp_path: Path) -> None:
    found, tried = answers_that_are_left(ids, kinds, tmp_path)
    assert found == {id: [] for id in ids} and tried > 400


@pytest.mark.slow
def test_scan_finds_what_is_not_removed(tmp_path: Path) -> None:
    found, _ = answers_that_are_left(["03.2", "04.1"], (), tmp_path)
    assert {"scipy.special.rel_entr", "scipy.special.kl_div"} <= set(found["03.2"])
    assert "torch.distributions.kl_divergence" in found["04.1"]
    assert all(any(name.startswith("vaelib.") for name in names) for names in found.values())


# --------------------------------------------------------------------------------------------------- what is said of it

USES = """from vaelib import Normal, kl_divergence
def kl_normal(a, b, c, d):
    return kl_divergence(Normal(a, b), Normal(c, d))"""
BY_OTHER_NAMES = {
    "torch": "import torch\ndef kl_normal(*a):\n    q, p = (torch.distributions.Normal(*map(torch.tensor, x)) for x in "
    "(a[:2], a[2:]))\n    return torch.distributions.kl_divergence(q, p)",
    "module": "import vaelib.kl\ndef kl_normal(*a):\n    return vaelib.kl.normal(*a)",
    "name": "from vaelib.kl import normal as kl_normal",
    "inside": "def kl_normal(*a):\n    from vaelib.kl import normal\n    return normal(*a)",
    "ledger": "def kl_normal(*a):\n    from vaelib.ledger import LEDGER\n    return LEDGER",
    "reloaded": "import sys\nfor name in [n for n in sys.modules if 'vaelib' in n]:\n    del sys.modules[name]\n"
    + USES,
    "a method": "import torch\nfrom vaelib.vae import VAE\n"
    "model = VAE(4, 2, (3,), rng=torch.Generator())\n"
    "def kl_normal(*a):\n    return model.kl(model.encode(torch.zeros(1, 4)))",
}

BY_A_FORMULA = r"""from vaelib import Normal
from vaelib.formula import Scope, tex
from vaelib.formula.worlds import Law
def kl_normal(a, b, c, d):
    scope = Scope(worlds={"q": Law("z", Normal(a, b)), "p": Law("z", Normal(c, d))})
    return float(tex(r"\mathrm{KL}(q \,\Vert\, p)").value(scope).value)
"""


def test_formula_has_no_value_where_something_is_forbidden() -> None:
    """Otherwise tex("KL(q || p)").value(...) would be the package's own divergence under another name."""
    with submission([IMPORTS, BY_A_FORMULA, CHECK_1], ("kl",)) as running:
        feedback = judge(task("04.1"), Asked(running, task("04.1")), 3)
    assert feedback.state == NOT_YET, str(feedback)
    with submission([IMPORTS, BY_A_FORMULA, CHECK_1]) as running:
        assert judge(task("04.1"), Asked(running, task("04.1")), 3).right


@pytest.mark.parametrize("way", some(BY_OTHER_NAMES, every=2))
def test_forbidden_function_is_refused_in_words(way: str) -> None:
    with submission([IMPORTS, BY_OTHER_NAMES[way], CHECK_1], ("kl",)) as running:
        feedback = judge(task("04.1"), Asked(running, task("04.1")), 3)
    assert feedback.state == NOT_YET, str(feedback)
    assert "this exercise asks you to write" in str(feedback), str(feedback)
    assert "Write it yourself" in str(feedback)


def test_what_was_imported_beside_it_is_there_and_the_rest_of_the_notebook_counts() -> None:
    cells = [
        "import numpy as np\nfrom vaelib import Normal, kl_divergence\nimport torch, scipy.stats",
        RIGHT_1 + "\nassert abs(kl_divergence(Normal(0., 1.), Normal(1., 2.)) - kl_normal(0., 1., 1., 2.)) < 1e-9",
        "unit = float(Normal(0.0, 1.0).entropy())\nalso = float(scipy.stats.norm.entropy())",
        "mine = kl_divergence",
    ]
    with submission(cells, ("kl",)) as running:
        assert judge(task("04.1"), Asked(running, task("04.1")), 3).right
        assert reply(running, "unit") == reply(running, "also") == pytest.approx(1.4189385)
        assert reply(running, "mine").startswith("not allowed: `vaelib` has no `kl_divergence` here")
    assert running.story.errors == {} and running.story.forbidden == [
        "`vaelib` has no `kl_divergence` here: this exercise asks you to write the KL divergence yourself."
    ]
