"""The index of the identities: complete, in step with ledger, notebooks and exercises, and written by its tool."""

from __future__ import annotations

import re
from pathlib import Path

import identities
import nbformat
import pytest
from identities import PRACTISED, Place, parted, statement, taught
from test_notebooks import CLAIMS, IN_NO_NOTEBOOK

from vaelib.ledger import LEDGER

ROOT = Path(__file__).resolve().parent.parent
PAGE = identities.page()
NAMED = identities.named()


def test_index_is_written_by_its_tool() -> None:
    assert (ROOT / identities.PAGE).read_text(encoding="utf-8") == PAGE, "python tools/identities.py writes it"


def test_index_has_a_row_for_each_identity_in_the_order_of_the_ledger() -> None:
    assert re.findall(r"^\| ([A-P]\d+) \|", PAGE, re.MULTILINE) == list(LEDGER) and len(LEDGER) == 206
    assert {id[0] for id in LEDGER} == set(identities.CHAPTERS)


@pytest.mark.parametrize("number", CLAIMS)
def test_index_names_the_places_that_the_notebook_claims(number: str) -> None:
    for kind, ids in zip(("class", "optional"), CLAIMS[number], strict=True):
        for id in ids.split():
            (place,) = [place for place in NAMED[id] if place.notebook == number]
            assert place.kind == kind or kind == "optional", (id, place)


def test_identity_is_taught_in_a_notebook_that_claims_it() -> None:
    assert [id for id, places in NAMED.items() if not places] == sorted(IN_NO_NOTEBOOK, key=list(LEDGER).index)
    for id, places in NAMED.items():
        if places:
            first = taught(places)
            assert id in " ".join(CLAIMS[first.notebook]).split(), (id, first)


def test_every_link_leads_to_a_cell_that_names_the_identity() -> None:
    sources = {
        (path.name, cell.id): cell.source
        for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells
    }
    rows = re.findall(r"^\| ([A-P]\d+) \|(.*)$", PAGE, re.MULTILINE)
    for id, row in rows:
        links = re.findall(r"\(\.\./([^)#]+)#cell-id=([^)]+)\)", row)
        assert links or (id in IN_NO_NOTEBOOK and "| in no notebook |" in row)
        assert all(re.search(rf"\b{id}\b", sources[link]) for link in links), id


def test_every_exercise_says_what_it_practises() -> None:
    assert set(identities.known()) == set(PRACTISED), "say in PRACTISED what each practises"
    assert set(" ".join(PRACTISED.values()).split()) <= set(LEDGER)


def test_statement_is_a_true_relation_of_two_lines() -> None:
    said = {id: statement(derivation) for id, derivation in LEDGER.items()}
    assert said["F1"].startswith(r"\log p(x) = \mathbb{E}_{q}")
    assert said["F2"].startswith(r"\log p(x) \ge \mathbb{E}_{q}\left[\log p(x \mid z)\right] - \mathrm{KL}")
    assert said["A1"].endswith(r"\quad \forall z") and said["A1"].startswith(r"p(z \mid x) = ")
    assert not [id for id, text in said.items() if r"\mathtt" in text]
    assert len(set(said.values())) == len(said)


def test_lines_between_which_nothing_follows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(identities.STATED, "F10", (0, 0))
    monkeypatch.setitem(identities.STATED, "G4", (3, 1))
    with pytest.raises(ValueError, match="Expected line 1 of G4 to follow from line 3"):
        statement(LEDGER["G4"])


def test_what_a_line_says_of_its_names_goes_to_the_end() -> None:
    assert parted(r"p_y(y),\quad y = g(z)") == ("p_y(y)", r",\quad y = g(z)")
    assert parted(r"p(z) \quad \forall z") == ("p(z)", r" \quad \forall z")
    assert parted(r"P^{-1} g,\quad P^{-1}") == (r"P^{-1} g,\quad P^{-1}", "")


def test_first_place_in_class_is_where_an_identity_is_taught() -> None:
    early, late = Place("03", "a", "x", "optional", "[9]"), Place("10", "b", "y", "class", "[2]")
    assert taught([early, late]) == late and taught([early]) == early
    assert early.link == "[03 9](../a#cell-id=x), optional"
