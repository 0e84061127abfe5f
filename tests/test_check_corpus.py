"""What the checker says of the documents in tests/documents, word for word."""

from __future__ import annotations

import pytest
from corpus import FOLDER, Case, cases, said

CASES = [
    pytest.param(case, id=f"{path.stem}: {case.title}") for path in sorted(FOLDER.glob("*.md")) for case in cases(path)
]


@pytest.mark.parametrize("case", CASES)
def test_a_document_is_judged_as_it_was_found_right(case: Case) -> None:
    assert said(case.text) == case.expected
