"""The course as a whole: what each notebook must have, what it claims to verify, and the session plans.

That the cells run is tested by nbval, which pytest calls on each notebook.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import minutes
import nbformat
import pytest
from minutes import lines_of_code, words_of_prose

from vaelib.derivation.reveal import WIDGET
from vaelib.ledger import LEDGER

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
TEACH = ROOT / "notebooks" / "teach"

# number: (identities of the class, of the optional parts)
CLAIMS = {
    "00": ("", "N4 N5 N8"),
    "01": ("A1 A2 A6 A10", "A4 A5 A7 A9"),
    "02": ("A3 B1 B2 B3 B5 E15 N6", "B6 B8"),
    "03": ("C1 C2 C4 C6 C7 C17 C24", "A12 B4 C5 C8 C11 C21"),
    "04": ("D2 D3 E1 E2 E4", "D1 D4 D7 E3 E6 E8 E9 E10 E11 E16"),
    "05": ("F1 F2 F3 F4 F5 F6 F7", "F17 F18 F19 F21 F22"),
    "06": ("G1 G2 G6 G9 G11", "F14 F15 G4 G7 G12"),
    "07": ("H1 H2 H7 H9 H19", "H4 H5 H11 H12 H13 H16 H18 H20"),
    "08": ("A8 F8 F9 I2 L2 L3 L4", "I4 L1 L7 L8"),
    "09": ("B7 D8 D9 D12 F10 F12 F23 H10", "C23 D13 F11 F13 K8 N7"),
    "10": ("E12 F22 F24 I1 J1 J2 J3 J14", "B10 F16 F20 J4 J5 J8 J10 J13 J18 J20"),
    "11": ("K1 K4 K7 K11 L5 L6", "K2 K3 K5 K6 K9 K10 K12 K13"),
    "12": ("A11 M1 M2 M3 M4", "M5"),
    "13": ("E2 D8 D9 F10 F11 F12 H10 J18 N1", ""),
    "14": ("P1 P2 P3 P4 P5 P6 P7 P10", "P8 P9 P11"),
}
# Identities that are in no notebook: `vaelib verify` checks them.
IN_NO_NOTEBOOK = """B9 C3 C9 C10 C12 C13 C14 C15 C16 C18 C19 C20 C22 D5 D6 D10 D11
E5 E7 E13 E14 E17 E18 E19 E20 E21 E22 G3 G5 G8 G10 H3 H6 H8 H14 H15 H17 I3
J6 J7 J9 J11 J12 J15 J16 J17 J19 N2 N3""".split()
WITHOUT_TORCH = "00 01 02 03 04 05 06 08".split()
HOMEWORK = "00"

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
Record = list[dict[str, Any]]


def number(path: Path) -> str:
    return path.name[:2]


def cells_of(path: Path) -> list[nbformat.NotebookNode]:
    return list(nbformat.read(path, as_version=4).cells)


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def code_of(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in cells_of(path) if cell.cell_type == "code"]


def test_the_course_has_its_fifteen_notebooks() -> None:
    assert [number(path) for path in NOTEBOOKS] == sorted(CLAIMS)
    claimed = set(" ".join(" ".join(pair) for pair in CLAIMS.values()).split())
    assert sorted([*claimed, *IN_NO_NOTEBOOK]) == sorted(LEDGER)


# ------------------------------------------------------------------------------------------------ what it must have


@by_notebook
def test_notebook_begins_with_question_objectives_and_minutes(path: Path) -> None:
    title = cells_of(path)[0]
    assert title.cell_type == "markdown" and title.id == "title"
    assert title.source.startswith(f"# {number(path)} ")
    for part in ("**Question.**", "**Afterwards you can**", "**Run time**", "**You need**"):
        assert part in title.source, part
    objectives = re.findall(r"^- ", title.source, re.MULTILINE)
    assert 3 <= len(objectives) <= 6
    assert re.search(r"about \d+ seconds on two CPU cores", title.source.replace("\n", " "))


@by_notebook
def test_title_states_the_minutes_of_the_rule_and_they_fit_the_session(path: Path) -> None:
    """`python tools/minutes.py --write` puts them there, and so does tools/notebooks.py."""
    found = minutes.count(path)
    assert minutes.stated(path) == found.sentence
    assert found.fits, found


@by_notebook
def test_second_cell_sets_up_in_a_few_lines(path: Path) -> None:
    first = code_of(path)[0]
    assert tags(first) == ["setup"] and first.id == "setup"
    assert lines_of_code(first.source) <= 30


@by_notebook
def test_cells_are_for_the_class_or_optional_and_have_speaking_names(path: Path) -> None:
    for cell in cells_of(path)[1:]:
        kinds = {"class", "optional", "setup"} & set(tags(cell))
        assert len(kinds) == 1, (cell.id, tags(cell))
        assert re.fullmatch(r"[a-z][a-z0-9-]*", cell.id), cell.id
        assert not re.fullmatch(r"[0-9a-f]{8}", cell.id), f"{cell.id} is a random id"


@by_notebook
def test_optional_parts_are_folded(path: Path) -> None:
    headings = [c for c in cells_of(path) if c.cell_type == "markdown" and "optional" in tags(c) and c.source[0] == "#"]
    assert bool(headings) == bool(CLAIMS[number(path)][1])
    for cell in headings:
        if cell.source.startswith("## "):
            assert cell.source.startswith("## Optional: ") and cell.metadata.get("jp-MarkdownHeadingCollapsed"), cell.id


@by_notebook
def test_notebook_uses_what_it_imports_but_for_what_it_offers_a_student(path: Path) -> None:
    cells = [cell.source for cell in code_of(path) if not cell.source.startswith("%%")]
    tree = ast.parse(re.sub(r"^(?=[%!])", "# ", "\n".join(cells), flags=re.MULTILINE))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    bound = {(name.asname or name.name).split(".")[0] for node in imports for name in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert bound - used <= {"check", "hint", "solution"}


@by_notebook
def test_one_picture_to_remember_is_stored_and_exported(path: Path) -> None:
    (cell,) = [cell for cell in code_of(path) if "picture" in tags(cell)]
    stored = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(stored) == 1, "the picture is one figure, and its output is stored"
    for suffix in ("svg", "pdf"):
        file = TEACH / "pictures" / f"{path.stem}.{suffix}"
        assert file.stat().st_size > 3000, file


@by_notebook
def test_sliders_have_a_tag_and_wait_until_the_mouse_is_released(path: Path) -> None:
    for cell in code_of(path):
        used = re.search(r"\binteract\(", cell.source)
        assert bool(used) == ("slider" in tags(cell)), cell.id
    source = "\n".join(cell.source for cell in code_of(path))
    if "interact(" in source:
        assert "continuous_update" in source


@by_notebook
def test_last_cell_sums_up_and_links_the_exercises(path: Path) -> None:
    last = cells_of(path)[-1]
    assert last.id == "summary" and "**Sources" in last.source
    assert f"](../exercises/{path.name})" in last.source


@by_notebook
def test_cells_are_short_and_prose_is_in_proportion(path: Path) -> None:
    words, code = 0, 0
    for cell in cells_of(path):
        if cell.cell_type == "markdown":
            words += words_of_prose(cell.source)
            assert words_of_prose(cell.source) <= 260, cell.id
        else:
            code += lines_of_code(cell.source)
            folded = cell.metadata.get("jupyter", {}).get("source_hidden", False)
            assert lines_of_code(cell.source) <= (32 if folded or "setup" in tags(cell) else 25), cell.id
    assert 3 <= words / code <= 12, f"{words / code:.1f} words a line of code"


@by_notebook
def test_stored_outputs_are_markdown_text_and_pictures(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    for cell in code_of(path):
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data", "execute_result", "error"), cell.id
            if output.output_type == "stream":
                assert output.name == "stdout", cell.id
            if output.output_type == "error":
                assert "raises-exception" in tags(cell), cell.id
            assert not {"text/html", "image/svg+xml", "application/pdf", WIDGET} & set(output.get("data", {})), cell.id


@by_notebook
def test_a_prediction_is_typed_before_the_answer_and_never_graded(path: Path) -> None:
    source = [cell.source for cell in code_of(path)]
    typed = [i for i, text in enumerate(source) if re.search(r"^prediction\w* = ", text, re.MULTILINE)]
    assert len(typed) >= 2
    for i in typed:
        assert any("prediction" in text for text in source[i + 1 : i + 4]), source[i]
    assert not re.search(r"^\s*assert [^#\n]*\bprediction\b", "\n".join(source), re.MULTILINE)


# ------------------------------------------------------------------------------------------------ what it verifies


@pytest.mark.slow
@by_notebook
def test_notebook_verifies_what_it_claims(path: Path, what_ran: Callable[[Path], Record]) -> None:
    in_class, optional = (set(ids.split()) for ids in CLAIMS[number(path)])
    kinds = {cell.source: tags(cell) for cell in code_of(path)}
    verified: dict[str, set[str]] = {"class": set(), "optional": set()}
    for cell in what_ran(path):
        for kind in set(kinds.get(cell["source"], [])) & set(verified):
            verified[kind].update(cell["verified"])
    assert in_class <= verified["class"], f"not verified in class: {sorted(in_class - verified['class'])}"
    missing = optional - verified["optional"] - verified["class"]
    assert not missing, f"not verified in the optional parts: {sorted(missing)}"


@pytest.mark.slow
@by_notebook
def test_torch_is_loaded_from_notebook_07_on(path: Path, what_ran: Callable[[Path], Record]) -> None:
    if number(path) in WITHOUT_TORCH:
        assert not any(cell["torch"] for cell in what_ran(path))
    else:
        assert what_ran(path)[-1]["torch"]


def test_kernel_that_another_test_starts_takes_no_notes(request: pytest.FixtureRequest) -> None:
    """Notes of two kernels in one file would read as a notebook that forgot what it had loaded."""
    (notes,) = [
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(ROOT / "conftest.py")
    ]
    before = dict(os.environ)
    notes.pytest_runtest_setup(SimpleNamespace(path=NOTEBOOKS[7], config=request.config))
    assert os.environ["VAELIB_RECORD"].endswith(f"{NOTEBOOKS[7].stem}.jsonl")
    notes.pytest_runtest_setup(request.node)
    assert "VAELIB_RECORD" not in os.environ and os.environ.get("IPYTHONDIR") == before.get("IPYTHONDIR")


# ------------------------------------------------------------------------------------------------ session plans


def sessions(text: str) -> list[list[list[str]]]:
    """The tables of a plan: rows of cells, without head and rule."""
    tables: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        row = [part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]]
        if row[:1] == ["min"]:
            inside = True
            tables.append([])
        elif inside and row and not set(row[0]) <= set("-:"):
            tables[-1].append(row)
        elif not row:
            inside = False
    return tables


@by_notebook
def test_session_plan_fills_ninety_minutes(path: Path) -> None:
    tables = sessions((TEACH / f"{number(path)}.md").read_text(encoding="utf-8"))
    assert len(tables) == minutes.SESSIONS.get(number(path), 1)
    for rows in tables:
        assert all(len(row) == 4 for row in rows)
        expected = 25 if number(path) == HOMEWORK else 90
        assert sum(int(row[0]) for row in rows) == expected
        assert len(rows) >= (6 if number(path) == HOMEWORK else 9)


@by_notebook
def test_session_plan_names_cells_that_exist_and_wrong_answers(path: Path) -> None:
    text = (TEACH / f"{number(path)}.md").read_text(encoding="utf-8")
    ids = {cell.id for cell in cells_of(path)}
    named = {name for rows in sessions(text) for row in rows for name in re.findall(r"`([^`]+)`", row[1])}
    assert named and named <= ids, named - ids
    asked = [row[3] for rows in sessions(text) for row in rows if "Likely:" in row[3]]
    assert len(asked) >= 4


@by_notebook
def test_session_plan_says_what_to_do_when_things_go_wrong(path: Path) -> None:
    text = (TEACH / f"{number(path)}.md").read_text(encoding="utf-8")
    for part in (
        "**Exercise.**",
        "**If ten minutes late, skip**",
        "**Homework.**",
        "**Without network.**",
        "**Without GPU.**",
        "**Thirty slow laptops.**",
    ):
        assert part in text, part
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or "exercises/" in link or (TEACH / link).exists(), link
    assert 400 <= len(text.split()) <= 1400


def test_tables_of_a_plan_are_read_as_written() -> None:
    table = (
        "| min | cells | on the board | ask |\n|--:|:--|:--|:--|\n| 5 | `a` | $p(x \\mid z)$ | b \\| c |\n\n| x | y |"
    )
    assert sessions(table) == [[["5", "`a`", r"$p(x \mid z)$", r"b \| c"]]]
