"""Works that a notebook names at its end are the ledger's or listed here as beside it; what it prints is up to date."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from test_notebooks import CLAIMS

from vaelib.ledger import LEDGER

ROOT = Path(__file__).resolve().parent.parent
# Works that no identity comes from: (first author, year).
BESIDE = {("Loaiza-Ganem", "2019"), ("Ghosh", "2020"), ("Kim", "2018"), ("Dinh", "2017"), ("Rezende", "2015")}
WORK = re.compile(r"\b([A-ZÀ-Ž][\w'-]+)\b.*?\b((?:19|20)\d\d)\b", re.DOTALL)


def works(text: str) -> set[tuple[str, str]]:
    """(first author, year) of each work, titles in asterisks: "Cremer, Li and Duvenaud, *Inference*, 2018 (gaps)"."""
    plain = re.sub(r"\*[^*]*\*|\([^)]*\)", "", text).replace("et al.", "and others")
    return {found.groups() for part in re.split(r"[;:]|\.\s", plain) for found in WORK.finditer(part)}


def not_of_the_ledger(text: str) -> set[tuple[str, str]]:
    return works(text) - set().union(*(works(identity.source) for identity in LEDGER.values())) - BESIDE


def cells_of(number: str) -> dict[str, nbformat.NotebookNode]:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


@pytest.mark.parametrize("number", ["07", "08", "09", "10"])
def test_works_that_a_summary_names_have_the_year_that_the_ledger_gives(number: str) -> None:
    typed = cells_of(number)["summary"].source.partition("**Sources**")[2].partition("**Next time.**")[0]
    assert len(works(typed)) >= 4, works(typed)
    assert not not_of_the_ledger(typed)


@pytest.mark.parametrize("number", ["09", "10"])
def test_printed_sources_are_those_of_every_identity_of_the_notebook(number: str) -> None:
    (output,) = cells_of(number)["sources-ledger"].outputs
    of_it = sorted(" ".join(CLAIMS[number]).split(), key=lambda id: (id[0], int(id[1:])))
    assert output.data["text/markdown"].splitlines() == [f"- {id}: {LEDGER[id].source}" for id in of_it]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Cremer, Li and Duvenaud, *Inference suboptimality*, 2019.", {("Cremer", "2019")}),
        ("Burda and others, *Autoencoders, 2016*, 2015 (theorem 1); Neal, 2001.", {("Burda", "2015")}),
        ("Neal, *Annealed importance sampling*, 2001, and Nobody, 2018.", {("Nobody", "2018")}),
        ("Those of each identity: Burda, Grosse and Salakhutdinov, 2016. Rezende et al. 2014, section 3", set()),
    ],
)
def test_wrong_year_and_unknown_author_are_noticed(text: str, found: set[tuple[str, str]]) -> None:
    assert not_of_the_ledger(text) == found


@pytest.mark.parametrize("work", sorted(BESIDE))
def test_work_beside_the_ledger_is_still_named_somewhere(work: tuple[str, str]) -> None:
    assert any(work in works(cells_of(number)["summary"].source) for number in ("07", "08", "09", "10"))
