"""The two forms of the tests: together they are everything, once, and continuous integration runs both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from forms import part, some

ROOT = Path(__file__).resolve().parent.parent
TESTS = """
import pytest

@pytest.mark.seeds(5, short=2)
def test_each(seed): pass

@pytest.mark.seeds(5, short=2)
@pytest.mark.parametrize("case", "ab")
def test_range(case, seeds): assert list(seeds)

@pytest.mark.long
def test_long(): pass

def test_plain(): pass

@pytest.mark.parametrize("n", [0, pytest.param(1, marks=pytest.mark.long)])
def test_some(n): pass
"""
COLLECTED = {
    "short": {"each[0]", "each[1]", "range[a-seeds 0 to 1]", "range[b-seeds 0 to 1]", "plain", "some[0]"},
    "rest": {"each[2]", "each[3]", "each[4]", "range[a-seeds 2 to 4]", "range[b-seeds 2 to 4]", "long", "some[1]"},
    "all": {f"each[{n}]" for n in range(5)}
    | {"range[a-seeds 0 to 4]", "range[b-seeds 0 to 4]", "long", "plain", "some[0]", "some[1]"},
}


@pytest.fixture
def sample(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_sample=TESTS)
    return pytester


def collected(where: pytest.Pytester, *arguments: str) -> set[str]:
    result = where.runpytest_inprocess("-p", "forms", "--collect-only", "-q", *arguments)
    return {line.partition("::test_")[2] for line in result.outlines if "::test_" in line}


@pytest.mark.parametrize("form", COLLECTED)
def test_form_collects_its_part(sample: pytest.Pytester, form: str) -> None:
    assert collected(sample, f"--form={form}") == COLLECTED[form]


def test_short_form_is_what_pytest_runs_by_itself(sample: pytest.Pytester) -> None:
    assert collected(sample) == COLLECTED["short"]


def test_file_that_is_named_is_not_left_out(sample: pytest.Pytester) -> None:
    assert collected(sample, "test_sample.py") == COLLECTED["short"] | {"long", "some[1]"}


@pytest.mark.parametrize("form", COLLECTED)
def test_form_that_is_asked_for_is_that_of_a_file_that_is_named(sample: pytest.Pytester, form: str) -> None:
    assert collected(sample, f"--form={form}", "test_sample.py") == COLLECTED[form]


def test_mark_for_a_test_without_seeds_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.seeds(5, short=2)\ndef test_x(): pass")
    assert "uses no argument 'seeds'" in str(pytester.runpytest_inprocess("-p", "forms").stdout)


@pytest.mark.parametrize(("count", "short"), [(5, 5), (5, 0), (1, 1), (3, 7)])
def test_form_without_a_seed_is_refused(count: int, short: int) -> None:
    with pytest.raises(ValueError, match="1 <= short < count"):
        part(count, short, "short")


def test_every_third_case_is_in_the_short_form() -> None:
    kept = [case.values for case in some("abcdefg", every=3) if not case.marks]
    assert kept == [("a",), ("d",), ("g",)] and len(some("abcdefg", every=3)) == 7
    assert some([("a", 1)], every=3)[0].values == ("a", 1)


def test_continuous_integration_runs_both_forms_by_the_commands_of_people() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    typed = re.findall(r"^make (\S+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert typed == ["test", "test-rest"]
    assert re.search(r"^test-all: test test-rest ", makefile, re.MULTILINE)
    assert "`make test`" in (ROOT / "README.md").read_text(encoding="utf-8")
