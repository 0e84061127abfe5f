"""Two promises of the notebooks: a prediction can be lost, and nobody who lacks something is told "You are ready"."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
READY_NOT_YET = True  # until `ready` looks at the versions
ABOVE = 3  # cells above a prediction in which its answer must not be


def plain(text: str) -> str:
    return " ".join(re.sub(r"[`*$\\{}]", " ", text).lower().split())


def literals(answer: ast.expr) -> list[str]:
    """The words or numbers that a call of `compare` gives as the answer, where they are typed and not computed."""
    if isinstance(answer, ast.IfExp):
        return [*literals(answer.body), *literals(answer.orelse)]
    if isinstance(answer, ast.Constant) and isinstance(answer.value, str | int | float):
        return [str(answer.value)]
    return []


def given_away(cells: list[Any]) -> list[str]:
    """Each prediction whose answer, as typed in `compare(prediction, ...)`, is in a cell above it.

    Left out is an answer out of several that are offered: the question has to name it.
    """
    found = []
    for at, cell in enumerate(cells):
        if cell.cell_type != "code" or not re.search(r"^prediction\w* = ", cell.source, re.MULTILINE):
            continue
        offered = re.findall(r'"([^"]+)"', cell.source.partition("#")[2])
        above = plain("\n".join(each.source for each in cells[max(0, at - ABOVE) : at]))
        code = [each.source for each in cells[at + 1 : at + 5] if each.cell_type == "code"]
        below = next((source for source in code if "compare(" in source), "")
        found += [
            f"{cell.id}: {each!r} is above it" for each in answers(below) if each not in offered and says(above, each)
        ]
    return found


def says(text: str, answer: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(plain(answer))}(?![\w.]*\w)", text) is not None


def answers(source: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)))]
    return [
        answer
        for call in calls
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "compare" and len(call.args) > 1
        for answer in literals(call.args[1])
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_answer_of_a_prediction_is_not_above_it(path: Path) -> None:
    found = given_away(nbformat.read(path, as_version=4).cells)
    assert found == []


def cells(*sources: str) -> list[Any]:
    new = {True: nbformat.v4.new_markdown_cell, False: nbformat.v4.new_code_cell}
    return [new[source.startswith("#")](source, id=f"c{i}") for i, source in enumerate(sources)]


@pytest.mark.parametrize(
    ("text", "offer", "answer"),
    [
        ("# It holds on the *line* of equal scales. Where?", "a place", '"on the line of equal scales"'),
        ("# At mu = 0, for every sigma. When?", "a condition", '"other" if worse else "at mu = 0, for every sigma"'),
        ("# It is 9 times as dear. How many times?", "a number", "9"),
    ],
)
def test_answer_that_is_given_away_is_found(text: str, offer: str, answer: str) -> None:
    assert given_away(cells(text, f"prediction = ...  # {offer}", f"compare(prediction, {answer})")) != []
    asked = cells("# Family or encoder? Nine?", f"prediction = ...  # {offer}", f"compare(prediction, {answer})")
    assert given_away(asked) == []


# ------------------------------------------------------------------------------------------------------------ ready


def readiness(version: Callable[[str], str], check: Callable[..., Any] | None = None) -> None:
    """Runs the cells of notebook 00 on the machine and the one called `ready`, with other answers about the machine."""
    by_id = {cell.id: cell.source for cell in nbformat.read(NOTEBOOKS[0], as_version=4).cells}
    ledger = importlib.import_module("vaelib.ledger").LEDGER
    names: dict[str, Any] = {**ledger, "sys": sys, "find_spec": find_spec, "version": version}
    if check is not None:
        names |= {id: Broken() for id in ledger}
    exec(by_id["machine-versions"], names)
    exec(by_id["ready"], names)


class Broken:
    """A derivation that comes out wrong."""

    holds = False

    def check(self, *_: Any, **__: Any) -> Any:
        return self


def test_machine_with_everything_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    readiness(lambda name: "99.0")
    assert capsys.readouterr().out.endswith("You are ready.\n")


@pytest.mark.parametrize(
    "lacking",
    [
        pytest.param(name, marks=pytest.mark.xfail(READY_NOT_YET, reason="NOT_YET", strict=True))
        for name in ("numpy", "matplotlib")
    ],
)
def test_machine_with_an_old_version_is_not_called_ready(lacking: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        readiness(lambda name: "0.0" if name == lacking else "99.0")
    assert "You are ready" not in capsys.readouterr().out


def test_machine_on_which_a_derivation_breaks_is_not_called_ready(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        readiness(lambda name: "99.0", check=Broken.check)
    assert "You are ready" not in capsys.readouterr().out
