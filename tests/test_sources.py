"""Works that a notebook names at its end are the ledger's, or listed here as beside it, or named in its text; and the
sources that it prints are those of the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable
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


# ------------------------------------------ 11 to 14, whose summary has a list: authors, "title", where and when: what

PRINTED_AND_LISTED = ("11", "12", "13", "14")
Work = tuple[str, str]  # surname of the first author, year


def named(text: str) -> set[Work]:
    """The works that a text names, as in "Alemi et al. 2018" or "(Tomczak and Welling 2018, section 2)"."""
    name = r"([A-ZÀ-Ž][\w-]+)"
    others = r"(?:(?:, [A-ZÀ-Ž][\w-]+)*,? and [A-ZÀ-Ž][\w-]+|\s+et\s+al\.)?"
    return set(re.findall(rf"{name}{others}\s+\(?(\d{{4}})\b", " ".join(text.split())))


def listed(text: str) -> list[Work]:
    """Those of a list: - A. Alemi et al., "Fixing a broken ELBO", ICML 2018."""
    works = []
    for entry in re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE):
        authors = re.split(r", \"|, [A-Z]\.| and | et al\.", entry)[0]
        works.append((authors.split()[-1], re.findall(r"\b(?:19|20)\d\d\b", entry)[-1]))
    return works


def unused(of_list: Iterable[Work], *texts: str) -> list[Work]:
    return sorted(set(of_list) - set().union(*map(named, texts)))


def ledger_ids(source: str) -> list[str]:
    """Those that the notebook imports from the ledger."""
    (line,) = re.findall(r"^from vaelib\.ledger import (.*)$", source, re.MULTILINE)
    return sorted(line.split(", "))


@pytest.mark.parametrize("number", PRINTED_AND_LISTED)
def test_sources_of_all_identities_are_printed_as_in_the_ledger(number: str) -> None:
    cells = cells_of(number)
    printed = "".join(output.text for output in cells["sources"].outputs)
    lines = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert lines == {id: LEDGER[id].source for id in ledger_ids(cells["setup"].source)}


@pytest.mark.parametrize("number", PRINTED_AND_LISTED)
def test_listed_sources_are_those_of_the_ledger_or_named_in_the_text(number: str) -> None:
    cells = cells_of(number)
    of_list = listed(cells["summary"].source.partition("**Sources**")[2])
    assert len(of_list) >= 4
    text = "\n".join(cell.source for id, cell in cells.items() if id != "summary")
    of_ledger = ";".join(LEDGER[id].source for id in ledger_ids(cells["setup"].source))
    assert unused(of_list, of_ledger, text) == []


def test_works_are_read_as_people_write_them() -> None:
    text = "as Ho et al. (2020) say; Tomczak and Welling 2018, section 2; Guo, Shamai and Verdú 2005; Vincent 2011"
    assert named(text) == {("Ho", "2020"), ("Tomczak", "2018"), ("Guo", "2005"), ("Vincent", "2011")}
    entries = (
        '- J. Ho, A. Jain and P. Abbeel, "Diffusion", NeurIPS 2020: the loss.\n'
        '- P.-A. Mattei and J. Frellsen, "MIWAE",\n  ICML 2019.\n'
        '- M. Rolínek et al., "PCA", CVPR 2019.\n- P. Vincent, "Scores", Neural Computation 23, 2011: P8.'
    )
    assert listed(entries) == [("Ho", "2020"), ("Mattei", "2019"), ("Rolínek", "2019"), ("Vincent", "2011")]


def test_work_that_is_not_used_or_has_another_year_is_found() -> None:
    works = listed('- I. Higgins et al., "beta-VAE", ICLR 2016.\n- A. Alemi et al., "ELBO", ICML 2018.')
    assert unused(works, "Higgins et al. 2017, equation (4)", "Alemi et al. (2018)") == [("Higgins", "2016")]
