"""The sources of a notebook: printed from the ledger in it, and its list of titles names nothing that is not used."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
import pytest

from vaelib.ledger import LEDGER

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("1[1-4]_*.ipynb"))
by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
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


def cells_of(path: Path) -> dict[str, nbformat.NotebookNode]:
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


def ledger_ids(source: str) -> list[str]:
    """Those that the notebook imports from the ledger."""
    (line,) = re.findall(r"^from vaelib\.ledger import (.*)$", source, re.MULTILINE)
    return sorted(line.split(", "))


@by_notebook
def test_sources_of_all_identities_are_printed_as_in_the_ledger(path: Path) -> None:
    cells = cells_of(path)
    printed = "".join(output.text for output in cells["sources"].outputs)
    lines = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert lines == {id: LEDGER[id].source for id in ledger_ids(cells["setup"].source)}


@by_notebook
def test_listed_sources_are_those_of_the_ledger_or_named_in_the_text(path: Path) -> None:
    cells = cells_of(path)
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
