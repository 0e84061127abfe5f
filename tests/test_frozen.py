"""A dataclass of the package is frozen, unless it collects something as it goes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vaelib"
COLLECTS = {
    "bans": {"Guarded"},
    "check.chains": {"Chain"},
    "check.options": {"Facts"},
    "check.surface": {"Surface"},
    "check.values": {"Bench"},
    "check.verdicts": {"Judged"},
    "grade.bench": {"Bench"},
    "grade.cells": {"Notebook"},
    "grade.collect": {"Collected"},
    "grade.gradebook": {"Gradebook", "Row"},
    "grade.grading": {"Outcome"},
    "grade.pool": {"Graded"},
    "grade.roster": {"Matched"},
    "grade.submission": {"Story", "Submission"},
    "grade.tree": {"Tree"},
    "reply": {"Answer"},
    "sampling": {"Calls"},
    "train.keeping": {"Folder"},
    "train.state": {"TrainState"},
    "train.window": {"Window"},
    "typeset": {"Typeset"},
}


def not_frozen(source: str) -> Iterator[str]:
    """The names of the dataclasses that can be written to."""
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.ClassDef):
            how = [ast.unparse(decorator) for decorator in each.decorator_list]
            if any(name.startswith("dataclass") and "frozen=True" not in name for name in how):
                yield each.name


def test_only_what_collects_can_be_written_to() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if names := set(not_frozen(path.read_text(encoding="utf-8"))):
            found[".".join(path.relative_to(PACKAGE).with_suffix("").parts)] = names
    assert found == COLLECTS


@pytest.mark.parametrize("decorator", ["dataclass", "dataclass()", "dataclass(order=True)", "dataclass(frozen=False)"])
def test_dataclass_that_can_be_written_to_is_found(decorator: str) -> None:
    assert list(not_frozen(f"@{decorator}\nclass A:\n    x: int\n")) == ["A"]
    assert list(not_frozen("@dataclass(frozen=True)\nclass A:\n    x: int\n")) == []
