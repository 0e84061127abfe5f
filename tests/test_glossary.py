"""The glossary: each word occurs in the notebook it names, and the page is written by its tool."""

from __future__ import annotations

import re
from pathlib import Path

import glossary
import nbformat
import pytest
from glossary import WORDS, Word, introduced

ROOT = Path(__file__).resolve().parent.parent


def test_page_is_written_from_the_list() -> None:
    assert (ROOT / glossary.PAGE).read_text(encoding="utf-8") == glossary.page(), "python tools/glossary.py writes it"


def test_each_word_occurs_in_the_notebook_that_introduces_it() -> None:
    where = glossary.where()
    assert {word.name: where[word.name] for word in WORDS if word.notebook not in where[word.name]} == {}


def test_words_differ_and_each_is_said_in_a_sentence() -> None:
    assert len({word.name for word in WORDS}) == len({word.says for word in WORDS}) == len(WORDS) > 50
    for word in WORDS:
        assert word.says.endswith(".") and 6 <= len(word.says.split()) <= 40, word.name
        assert word.says.count("$") % 2 == 0, word.name


def test_every_link_leads_to_a_cell_with_the_word() -> None:
    page = (ROOT / glossary.PAGE).read_text(encoding="utf-8")
    sources = {
        (path.name, cell.id): cell.source
        for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells
    }
    named = {word.name: word for word in WORDS}
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|.*\(\.\./([^)#]+)#cell-id=([^)]+)\)", page, re.MULTILINE)
    assert len(rows) == len(WORDS)
    for name, file, id in rows:
        assert named[name].pattern.search(sources[file, id]), name


def test_word_is_introduced_where_it_is_marked_first_and_otherwise_where_it_is_used_first() -> None:
    cells = [("a", "The prior, in passing."), ("b", "It is called the *prior*."), ("c", "The joint. A **prior**.")]
    assert introduced(Word("prior", "", "01"), cells) == "b"
    assert introduced(Word("joint", "", "01"), cells) == "c"
    assert introduced(Word("posterior", "", "01"), cells) is None
    assert introduced(Word("rate", "", "01"), [("a", "It is separate.")]) is None


def test_word_that_its_notebook_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Word("ELBO", "The lower bound on the evidence that is climbed.", "01", r"\bELBO\b")
    monkeypatch.setattr(glossary, "WORDS", (wrong,))
    with pytest.raises(
        ValueError, match="Expected 'ELBO' in the text of notebook 01, but it is not there; it occurs in"
    ):
        glossary.page()
