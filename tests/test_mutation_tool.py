"""What `make mutation` plants where, as far as that can be seen without Cosmic Ray, which the tests do not install."""

from __future__ import annotations

from pathlib import Path

import mutation
import pytest
from mutation import Outcome
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


@pytest.mark.parametrize("module", [*mutation.GUARDS, *mutation.NARROWER])
def test_guards_are_files_of_tests(module: str) -> None:
    assert all((TESTS / f"test_{name}.py").is_file() for name in mutation.guards(module))


@pytest.mark.parametrize("module", mutation.NARROWER)
def test_narrower_guards_come_first(module: str) -> None:
    assert module in mutation.modules(["grade"])
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


MODULE = "def twice(x):\n    return (\n        x + x\n    )\n\n\ndef never(x):\n    return x - 1\n"
TESTED = """
import pytest
from vaelib.em import twice

@pytest.mark.parametrize("x", [1, 2])
def test_twice(x): assert twice(x) == 2 * x

def test_zero(): assert twice(0) == 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one module and its tests."""
    for name, content in (("vaelib/__init__.py", ""), ("vaelib/em.py", MODULE), ("tests/test_em.py", TESTED)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    forms = (TESTS / "forms.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(forms, encoding="utf-8")
    return tmp_path


def test_survey_finds_which_test_comes_to_which_line(project: Path) -> None:
    known = mutation.survey("em", project)
    each = [f"tests/test_em.py::test_{name}" for name in ("twice[1]", "twice[2]", "zero")]
    assert known.of("em", 3) == each and known.tests["em"].get(8, []) == [] and known.limit > 60


@pytest.mark.parametrize(
    ("old", "new", "seen"), [("x + x", "x - x", True), ("x + x", "x * 2", False), ("x - 1", "x", False)]
)
def test_error_is_noticed_by_the_tests_of_its_line(project: Path, old: str, new: str, seen: bool) -> None:
    known = mutation.survey("em", project)
    path = project / "vaelib" / "em.py"
    path.write_text(MODULE.replace(old, new), encoding="utf-8")
    assert mutation.noticed("em", 3, project, known) is seen


def test_tests_that_fail_without_an_error_are_refused(project: Path) -> None:
    (project / "vaelib" / "em.py").write_text(MODULE.replace("x + x", "x"), encoding="utf-8")
    with pytest.raises(SystemExit, match="Expected the tests of em to pass before an error is planted"):
        mutation.survey("em", project)


def test_table_counts_what_was_seen_and_what_nothing_can_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "EQUIVALENT", {("kl", "a", "b"): "the same"})
    found = [Outcome("kl", "a", "b", 1, False), Outcome("kl", "a", "c", 1, True), Outcome("em", "a", "c", 1, False)]
    table = mutation.table(mutation.rows(found))
    assert (
        "| kl | 2 | 1 | 1 | 0 |" in table and "| em | 1 | 0 | 0 | 1 |" in table and "| all | 3 | 1 | 1 | 1 |" in table
    )


def test_what_was_found_is_kept_by_module_in_the_order_of_the_guards(tmp_path: Path) -> None:
    kept = tmp_path / "mutation.json"
    assert mutation.recorded(kept) == []
    mutation.record(mutation.rows([Outcome("kl", "a", "b", 1, False), Outcome("em", "a", "b", 1, True)]), kept, seed=0)
    mutation.record(mutation.rows([Outcome("kl", "a", "b", 1, True)]), kept, seed=1)
    counts = [(row["module"], row["seen"], row["left"], row["seed"]) for row in mutation.recorded(kept)]
    assert counts == [("kl", 1, 0, 1), ("em", 1, 0, 0)]
