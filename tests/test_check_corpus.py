"""What the checker says of the documents in tests/documents, word for word; and of right and of wrong ones."""

from __future__ import annotations

import pytest
from corpus import FOLDER, Case, cases, said

from vaelib.check import check_text

CASES = [
    pytest.param(case, id=f"{path.stem}: {case.title}") for path in sorted(FOLDER.glob("*.md")) for case in cases(path)
]


@pytest.mark.parametrize("case", CASES)
def test_a_document_is_judged_as_it_was_found_right(case: Case) -> None:
    assert said(case.text) == case.expected


def documents(name: str) -> list[str]:
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip("\n").split("\n=====\n")


@pytest.mark.parametrize("number", range(len(documents("right"))))
def test_a_right_document_is_not_accused(number: int) -> None:
    verdicts = [judged.verdict for judged in check_text(documents("right")[number]).lines]
    assert "does not follow" not in verdicts and {"follows", "sloppy"} & set(verdicts)


@pytest.mark.parametrize("number", range(len(documents("wrong"))))
def test_a_wrong_line_of_a_document_is_found(number: int) -> None:
    verdicts = [judged.verdict for judged in check_text(documents("wrong")[number]).lines]
    assert "does not follow" in verdicts
