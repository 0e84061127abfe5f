"""What `make mutation` plants where, as far as that can be seen without Cosmic Ray, which the tests do not install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mutation
import pytest
from mutation import ROOT, Outcome
from test_architecture import FLOORS

TESTS = Path(__file__).parent
NOT_MUTATED = {
    "_breaks",
    "_cores",
    "_files",
    "_lazy",
    "_printable",
    "_quiet",
    "_spoken",
}  # files and words: other tests drive them


def test_everything_below_the_ledger_has_tests_that_guard_it() -> None:
    below = {name.split(".")[0] for floor, names in FLOORS for name in names if floor <= 3} - NOT_MUTATED
    assert below | {"judge", "reply", "grade"} <= set(mutation.GUARDS)


def test_every_module_is_guarded_by_what_holds_everywhere() -> None:
    assert mutation.EVERYWHERE and all((TESTS / f"test_{name}.py").is_file() for name in mutation.EVERYWHERE)
    for module in ("kl", "check.options", "grade.tables"):
        tests = mutation.test_commands(module)[0]
        assert {f"tests/test_{name}.py" for name in mutation.EVERYWHERE} < set(tests)


@pytest.mark.parametrize("module", [*mutation.GUARDS, *mutation.NARROWER])
def test_guards_are_files_of_tests(module: str) -> None:
    assert all((TESTS / f"test_{name}.py").is_file() for name in mutation.guards(module))


@pytest.mark.parametrize("module", mutation.NARROWER)
def test_narrower_guards_come_first(module: str) -> None:
    assert module in mutation.modules([module.split(".")[0]])
    assert mutation.guards(module) == mutation.NARROWER[module] != mutation.GUARDS[module.split(".")[0]]


def test_package_is_asked_for_with_all_that_it_holds() -> None:
    assert len(mutation.modules([])) == len(set(mutation.modules([])))
    assert mutation.modules(["kl"]) == ["kl"] and "formula.tree" in mutation.modules(["formula"])
    assert mutation.modules(["formula.tree"]) == ["formula.tree"]
    assert mutation.guards("formula.tree") == mutation.GUARDS["formula"]


@pytest.mark.parametrize("name", ["nothing", "formula.nothing", "ledger"])
def test_unknown_module_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match="Expected a module out of"):
        mutation.modules([name])


def test_types_are_told_from_what_is_computed() -> None:
    source = "def f(a: int | None) -> int | str:\n    b: int | None = 1 | 2\n    return b\n"
    lines = source.splitlines()
    typed = {lines[start[0] - 1][start[1] : end[1]] for start, end in mutation.where_types_are(source)}
    assert typed == {"int | None", "int | str"}


def test_tests_of_a_line_are_those_that_came_to_it_or_to_its_statement() -> None:
    known = mutation.Survey(1.0, {"kl": {3: ["a"], 5: ["b", "c"], 6: []}})
    assert [known.of("kl", line) for line in (2, 3, 4, 5, 7)] == [[], ["a"], ["a"], ["b", "c"], ["b", "c"]]
    assert known.of("em", 3) == []


MODULE = """
def twice(x):
    return x + x


def half(x):
    return x / 2


def never(x):
    return x - 1
"""
TESTED = """
import pytest
from vaelib.em import half, twice

CAME = []

@pytest.mark.parametrize("x", [1, 2])
def test_twice(x): assert twice(x) == 2 * x

@pytest.mark.long
def test_half(): assert half(3) == 1.5

def test_z_first(): CAME.append(twice(0))

def test_after_it(): assert CAME == [0] and half(0) == 0
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one module and its tests."""
    monkeypatch.setattr(mutation, "EVERYWHERE", ())
    for name, content in (("vaelib/__init__.py", ""), ("vaelib/em.py", MODULE), ("tests/test_em.py", TESTED)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    forms = (TESTS / "forms.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(forms, encoding="utf-8")
    return tmp_path


@contextmanager
def planted(project: Path, old: str, new: str) -> Iterator[None]:
    path = project / "vaelib" / "em.py"
    assert old in MODULE
    path.write_text(MODULE.replace(old, new), encoding="utf-8")
    yield
    path.write_text(MODULE, encoding="utf-8")


def seen(project: Path, old: str, new: str, known: mutation.Survey) -> bool:
    line = 1 + next(number for number, line in enumerate(MODULE.splitlines()) if old in line)
    return mutation.noticed("em", line, partial(planted, project, old, new), project, known)


def test_survey_finds_which_test_comes_to_which_line(project: Path) -> None:
    known = mutation.survey("em", project)
    each = [f"tests/test_em.py::test_{name}" for name in ("twice[1]", "twice[2]", "z_first")]
    assert known.of("em", 3) == each and known.of("em", 7) == ["tests/test_em.py::test_after_it"]
    assert known.tests["em"].get(11, []) == [] and known.limit > 60 and known.whole is None


@pytest.mark.long
def test_error_is_noticed_by_the_tests_of_its_line(project: Path) -> None:
    known = mutation.Survey(60.0, {"em": {3: [f"tests/test_em.py::test_twice[{x}]" for x in (1, 2)]}})
    assert seen(project, "x + x", "x - x", known)
    assert known.whole is None  # all the others were not asked


NEAREST = {
    "of the line": ["tests/test_em.py::test_after_it"],
    "that fail without the error, too": ["tests/test_em.py::test_after_it", "tests/test_em.py::test_z_first"],
    "that are not there": ["tests/test_em.py::test_nothing"],
}


@pytest.mark.long
@pytest.mark.parametrize("tests", NEAREST)
def test_all_tests_decide_where_the_nearest_do_not(project: Path, tests: str) -> None:
    """Half of 3 is asked by a long test alone; tests that fail by themselves say nothing."""
    known = mutation.Survey(60.0, {"em": {7: NEAREST[tests]}})
    assert not seen(project, "x / 2", "x * 0.5", known)
    assert seen(project, "x / 2", "x // 2", known)
    assert known.whole is not None


@pytest.mark.long
def test_error_that_takes_for_ever_is_noticed(project: Path) -> None:
    known = mutation.Survey(30.0, {"em": {3: ["tests/test_em.py::test_twice[1]"]}})
    assert seen(project, "return x + x", "while True: pass", known)


@pytest.mark.long
@pytest.mark.parametrize("name", ["twice", "half"])
def test_tests_that_fail_without_an_error_are_refused(project: Path, name: str) -> None:
    """Those of the short form at once, the others before they are asked."""
    tested = TESTED.replace(f"assert {name}(", f"assert not {name}(")
    (project / "tests" / "test_em.py").write_text(tested, encoding="utf-8")
    with pytest.raises(SystemExit, match="Expected the tests of em to pass before an error is planted"):
        if name == "twice":
            mutation.survey("em", project)
        else:
            seen(project, "x - 1", "x", mutation.Survey(60.0, {}))


def test_table_counts_what_was_seen_and_what_nothing_can_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "EQUIVALENT", {("kl", "a", "b"): "the same"})
    found = [Outcome("kl", "a", "b", 1, False), Outcome("kl", "a", "c", 1, True), Outcome("em", "a", "c", 1, False)]
    table = mutation.table(mutation.rows(found))
    assert (
        "| kl | 2 | 1 | 1 | 0 |" in table and "| em | 1 | 0 | 0 | 1 |" in table and "| all | 3 | 1 | 1 | 1 |" in table
    )


def test_what_nothing_can_notice_is_still_in_the_source() -> None:
    for (module, before, after), reason in mutation.EQUIVALENT.items():
        source = (ROOT / "vaelib" / Path(*module.split(".")).with_suffix(".py")).read_text(encoding="utf-8")
        (line,) = (line.strip() for line in source.splitlines() if before in line)
        assert Outcome(module, line, line.replace(before, after), 1, False).reason == reason
        assert Outcome(module, line, line + " + 1", 1, False).reason is None


def test_what_was_found_is_kept_by_module_in_the_order_of_the_guards(tmp_path: Path) -> None:
    kept = tmp_path / "mutation.json"
    assert mutation.recorded(kept) == []
    mutation.record(mutation.rows([Outcome("kl", "a", "b", 1, False), Outcome("em", "a", "b", 1, True)]), kept, seed=0)
    mutation.record(mutation.rows([Outcome("kl", "a", "b", 1, True)]), kept, seed=1)
    counts = [(row["module"], row["seen"], row["left"], row["seed"]) for row in mutation.recorded(kept)]
    assert counts == [("kl", 1, 0, 1), ("em", 1, 0, 0)]
