"""What students hand in, as it comes: each kind becomes a notebook to grade or a reason in words; nobody is lost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from vaelib.grade import beside as beside_module
from vaelib.grade import tree as trees
from vaelib.grade import which
from vaelib.grade.collect import Collected, collect
from vaelib.grade.names import by_file, by_platform, how_alike
from vaelib.grade.reading import Read, Unreadable, read

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = "import numpy as np\nfrom vaelib.exercise import check, hint, progress"
RIGHT_1 = """def kl_normal(loc_q, scale_q, loc_p, scale_p):
    return np.log(scale_p / scale_q) + (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5"""
CHECK_1 = 'check("04.1", kl_normal)'
CELLS = [IMPORTS, RIGHT_1, CHECK_1]
OTHER = [IMPORTS, RIGHT_1 + "  # later", CHECK_1]
FIVE = [IMPORTS, "broken_line = 3", 'check("05.2", broken_line)']
STUBS = [IMPORTS, "def kl_normal(loc_q, scale_q, loc_p, scale_p):\n    '''Nats.'''\n    ...", CHECK_1]
LESSON = ["import numpy as np", "prediction = 'too small'", "1 + 1"]


def content(cells: list[Any], text: str = "", **more: Any) -> dict[str, Any]:
    """A notebook of format 4, with a cell of text first."""
    code = [
        {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
        if isinstance(cell, str)
        else cell
        for cell in cells
    ]
    texts = [{"cell_type": "markdown", "source": text, "metadata": {}}] if text else []
    return {"cells": [*texts, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}


def notebook(path: Path, cells: list[Any] = CELLS, encoding: str = "utf-8", **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(content(cells, **more), ensure_ascii=False).encode(encoding))


def raw(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def zipped(path: Path, entries: dict[str, bytes | str], **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for name, text in entries.items():
            archive.writestr(name, text)


def as_bytes(cells: list[Any] = CELLS) -> bytes:
    return json.dumps(content(cells)).encode()


def of_format_3(path: Path) -> None:
    sheet = [{"cell_type": "code", "input": cell, "language": "python", "outputs": []} for cell in CELLS]
    raw(path, json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": sheet}]}))


def percent(cells: list[str], mark: str = "# %%") -> str:
    return f"# coding: utf-8\n{mark} [markdown]\n# text check('05.1', x)\n" + "\n".join(f"{mark}\n{c}\n" for c in cells)


def exported(cells: list[str]) -> str:
    head = "#!/usr/bin/env python\n# coding: utf-8\n\n# # A title\n"
    return head + "\n".join(f"# In[{number or ' '}]:\n\n\n{cell}\n\n" for number, cell in enumerate(cells))


def encrypted(path: Path) -> None:
    """A zip whose entry says that it is encrypted."""
    zipped(path, {"04_gaussian_kl.ipynb": as_bytes()})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def linked_in_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("04_gaussian_kl.ipynb")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")


def nested(depth: int) -> bytes:
    inner = as_bytes()
    name = "04_gaussian_kl.ipynb"
    for _ in range(depth):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, inner)
        inner, name = buffer.getvalue(), "inner.zip"
    return inner


def course(folder: Path, worked: dict[str, list[str]], where: str = "exercises") -> None:
    """A whole course, with the given notebooks worked on."""
    for path in [*(ROOT / "exercises").glob("*.ipynb"), *(ROOT / "notebooks").glob("*.ipynb")]:
        raw(folder / path.parent.name / path.name, path.read_bytes())
    raw(folder / "vaelib" / "__init__.py", "")
    raw(folder / "vaelib" / "04_gaussian_kl.py", RIGHT_1)
    for name, cells in worked.items():
        notebook(folder / where / name, cells)


def old(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def twice(folder: Path) -> None:
    notebook(folder / "ada" / "04_gaussian_kl.ipynb")
    notebook(folder / "ada" / "04 second try.ipynb", OTHER)
    old(folder / "ada" / "04_gaussian_kl.ipynb", 1000)


MOODLE = "Ada Lovelace_101_assignsubmission_file_"
STEM = "04_gaussian_kl.ipynb"
Build = Callable[[Path], None]
# kind: (what is built, student -> exercises to grade, what is listed as not understood: (student, a part of why))
KINDS: dict[str, tuple[Build, dict[str, list[str]], list[tuple[str, str]]]] = {
    "a folder for each": (
        lambda f: [notebook(f / who / STEM) for who in ("ada", "bob")],  # type: ignore[dict-item, return-value]
        {"ada": ["04"], "bob": ["04"]},
        [],
    ),
    "one flat folder": (lambda f: notebook(f / "ada.ipynb"), {"ada": ["04"]}, []),
    "renamed, with blanks": (lambda f: notebook(f / "ada" / "my homework (final).ipynb"), {"ada": ["04"]}, []),
    "the ending in capitals": (lambda f: notebook(f / "ada" / "04_GAUSSIAN_KL.IPYNB"), {"ada": ["04"]}, []),
    "a browser added .txt": (lambda f: notebook(f / "ada" / (STEM + ".txt")), {"ada": ["04"]}, []),
    "named .json": (lambda f: notebook(f / "ada" / "homework.json"), {"ada": ["04"]}, []),
    "a byte order mark": (lambda f: notebook(f / "ada" / STEM, encoding="utf-8-sig"), {"ada": ["04"]}, []),
    "UTF-16": (lambda f: notebook(f / "ada" / STEM, encoding="utf-16"), {"ada": ["04"]}, []),
    "UTF-16 without a mark": (lambda f: notebook(f / "ada" / STEM, encoding="utf-16-le"), {"ada": ["04"]}, []),
    "UTF-32": (lambda f: notebook(f / "ada" / STEM, encoding="utf-32"), {"ada": ["04"]}, []),
    "Latin-1": (
        lambda f: notebook(f / "ada" / STEM, [IMPORTS, "# größer", RIGHT_1, CHECK_1], encoding="latin-1"),
        {"ada": ["04"]},
        [],
    ),
    "notebook format 3": (lambda f: of_format_3(f / "ada" / STEM), {"ada": ["04"]}, []),
    "a script of jupytext": (lambda f: raw(f / "ada" / "hw.py", percent(CELLS)), {"ada": ["04"]}, []),
    "a script of VS Code": (lambda f: raw(f / "ada" / "hw.py", percent(CELLS, "#%%")), {"ada": ["04"]}, []),
    "a script of nbconvert": (lambda f: raw(f / "ada" / "hw.py", exported(CELLS)), {"ada": ["04"]}, []),
    "a plain script": (lambda f: raw(f / "ada" / "hw.py", "\n".join(CELLS)), {"ada": ["04"]}, []),
    "a zip": (lambda f: zipped(f / "ada.zip", {STEM: as_bytes()}), {"ada": ["04"]}, []),
    "a zip with backslashes": (lambda f: zipped(f / "ada.zip", {"hw\\" + STEM: as_bytes()}), {"ada": ["04"]}, []),
    "a zip called .ipynb": (lambda f: zipped(f / "ada" / STEM, {STEM: as_bytes()}), {"ada": ["04"]}, []),
    "a zip in a zip": (lambda f: raw(f / "ada.zip", nested(2)), {"ada": ["04"]}, []),
    "zips without end": (lambda f: raw(f / "ada.zip", nested(9)), {"ada": []}, [("ada", "deep")]),
    "an encrypted zip": (lambda f: encrypted(f / "ada.zip"), {"ada": []}, [("ada", "password")]),
    "a zip that is cut off": (
        lambda f: raw(f / "ada.zip", nested(1)[:200]),
        {"ada": []},
        [("ada", "cannot be opened")],
    ),
    "a zip that climbs out": (
        lambda f: zipped(f / "ada.zip", {"../../x.ipynb": as_bytes(), STEM: as_bytes()}),
        {"ada": ["04"]},
        [("ada", "points outside")],
    ),
    "a zip bomb": (
        lambda f: zipped(f / "ada.zip", {STEM: b"0" * (20 << 20)}),
        {"ada": []},
        [("ada", "zip bomb")],
    ),
    "a link in a zip": (lambda f: linked_in_zip(f / "ada.zip"), {"ada": []}, [("ada", "a link")]),
    "Moodle's folders": (
        lambda f: notebook(f / "Course-Sheet 4-99" / MOODLE / STEM),
        {"Ada Lovelace": ["04"]},
        [],
    ),
    "Moodle's flat files": (lambda f: notebook(f / (MOODLE + STEM)), {"Ada Lovelace": ["04"]}, []),
    "Moodle's text beside a file": (
        lambda f: (
            notebook(f / MOODLE / STEM),
            raw(f / "Ada Lovelace_101_assignsubmission_onlinetext_" / "onlinetext.html", "<html>hello</html>"),
        )[0],
        {"Ada Lovelace": ["04"]},
        [],
    ),
    "two people of one name": (
        lambda f: (notebook(f / MOODLE / STEM), notebook(f / MOODLE.replace("101", "102") / STEM, OTHER))[0],
        {"Ada Lovelace": ["04"], "Ada Lovelace (102)": ["04"]},
        [],
    ),
    "Canvas' names": (
        lambda f: notebook(f / "lovelaceada_101_5678_04_gaussian_kl-2.ipynb"),
        {"lovelaceada": ["04"]},
        [],
    ),
    "Canvas' names, late": (lambda f: notebook(f / f"lovelaceada_LATE_101_5678_{STEM}"), {"lovelaceada": ["04"]}, []),
    "Google Classroom": (lambda f: notebook(f / "Ada Lovelace - 04_gaussian_kl.ipynb"), {"Ada Lovelace": ["04"]}, []),
    "a second download": (lambda f: notebook(f / "04_gaussian_kl - Ada (1).ipynb"), {"Ada": ["04"]}, []),
    "a folder called late": (
        lambda f: (notebook(f / "late" / "ada" / STEM), notebook(f / "bob" / STEM))[0],
        {"ada": ["04"], "bob": ["04"]},
        [],
    ),
    "sections": (
        lambda f: [notebook(f / p / STEM) for p in ("section 1/eve", "section 1/bob", "section 2/eve")],  # type: ignore
        {"section 1/bob": ["04"], "section 1/eve": ["04"], "section 2/eve": ["04"]},
        [],
    ),
    "a folder of their own in the folder": (
        lambda f: (notebook(f / "ada" / "my stuff" / "hw" / STEM), notebook(f / "bob" / STEM))[0],
        {"ada": ["04"], "bob": ["04"]},
        [],
    ),
    "a folder for each sheet": (
        lambda f: (notebook(f / "ada" / "week 4" / STEM), notebook(f / "ada" / "week 5" / "05_elbo.ipynb", FIVE))[0],
        {"ada": ["04", "05"]},
        [],
    ),
    "two sheets": (
        lambda f: (notebook(f / "ada" / STEM), notebook(f / "ada" / "05_elbo.ipynb", FIVE))[0],
        {"ada": ["04", "05"]},
        [],
    ),
    "two tries": (twice, {"ada": ["04", "04"]}, []),
    "a copy that is the same": (
        lambda f: (notebook(f / "ada" / STEM), notebook(f / "ada" / "copy" / STEM))[0],
        {"ada": ["04"]},
        [],
    ),
    "the course's new version beside it": (
        lambda f: (notebook(f / "ada" / STEM), notebook(f / "ada" / "04_gaussian_kl.new.ipynb", STUBS))[0],
        {"ada": ["04"]},
        [],
    ),
    "checkpoints and macOS": (
        lambda f: (
            notebook(f / "ada" / STEM),
            notebook(f / "ada" / ".ipynb_checkpoints" / "04_gaussian_kl-checkpoint.ipynb", OTHER),
            raw(f / "__MACOSX" / "ada" / f"._{STEM}", b"\x00\x05"),
            raw(f / "ada" / f"._{STEM}", b"\x00\x05"),
            raw(f / "ada" / ".DS_Store", b"x"),
        )[0],
        {"ada": ["04"]},
        [],
    ),
    "the whole course": (lambda f: course(f / "Ada Lovelace", {STEM: CELLS}), {"Ada Lovelace": ["04"]}, []),
    "the whole course, worked on in work": (
        lambda f: course(f / "Ada" / "vaelib-main", {STEM: CELLS}, "work/exercises"),
        {"Ada": ["04"]},
        [],
    ),
    "the course's folder in a folder called course": (
        lambda f: (course(f / "Course" / "vaelib", {STEM: CELLS}), notebook(f / "bob" / STEM))[0],
        {"Course": ["04"], "bob": ["04"]},
        [],
    ),
    "the whole course, untouched": (
        lambda f: (course(f / "Ada", {}), notebook(f / "bob" / STEM))[0],
        {"Ada": ["04"], "bob": ["04"]},
        [],
    ),
    "untouched": (lambda f: notebook(f / "ada" / STEM, STUBS), {"ada": ["04"]}, []),
    "a platform's folder and a file": (
        lambda f: (notebook(f / MOODLE / STEM), notebook(f / "Ada Lovelace.ipynb", OTHER))[0],
        {"Ada Lovelace": ["04", "04"]},
        [],
    ),
    "worked on in the course's new version": (
        lambda f: (notebook(f / "ada" / STEM, STUBS), notebook(f / "ada" / "04_gaussian_kl.new.ipynb"))[0],
        {"ada": ["04"]},
        [],
    ),
    "the lesson's notebook": (
        lambda f: notebook(f / "ada" / STEM, LESSON),
        {"ada": []},
        [("ada", "The wrong file: this is the notebook of the lesson")],
    ),
    "some other notebook": (
        lambda f: notebook(f / "ada" / "pandas.ipynb", ["import pandas"]),
        {"ada": []},
        [("ada", "none of the course's exercises")],
    ),
    "an empty folder": (lambda f: (f / "ada").mkdir(), {"ada": []}, [("ada", "The folder is empty")]),
    "an empty file": (lambda f: raw(f / "ada" / STEM, ""), {"ada": []}, [("ada", "empty")]),
    "cut off": (lambda f: raw(f / "ada" / STEM, as_bytes()[:100]), {"ada": []}, [("ada", "cut off")]),
    "a web page": (lambda f: raw(f / "ada" / STEM, "<!DOCTYPE html><p>"), {"ada": []}, [("ada", "a web page")]),
    "a merge left unfinished": (
        lambda f: raw(f / "ada" / STEM, '{"cells": [\n<<<<<<< HEAD\n"a"\n=======\n>>>>>>> x\n]}'),
        {"ada": []},
        [("ada", "git left unfinished")],
    ),
    "a list": (lambda f: raw(f / "ada" / STEM, "[1, 2]"), {"ada": []}, [("ada", "a notebook has cells")]),
    "a list in a list in a list": (
        lambda f: notebook(f / "ada" / STEM, [*CELLS, "kl_normal = " + "[" * 190 + "]" * 190, "(" * 9000]),
        {"ada": ["04"]},
        [],
    ),
    "data in a cell": (
        lambda f: notebook(f / "ada" / STEM, [*CELLS, "x = '" + "a" * (6 << 20) + "'"]),
        {"ada": []},
        [("ada", "6 MB of code")],
    ),
    "nested without end": (lambda f: raw(f / "ada" / STEM, "[" * 10**5), {"ada": []}, [("ada", "too deeply")]),
    "a PDF": (lambda f: raw(f / "ada.pdf", b"%PDF-1.7"), {"ada": []}, [("ada", "a PDF")]),
    "a .rar": (lambda f: raw(f / "ada" / "hw.rar", b"Rar!\x1a"), {"ada": []}, [("ada", ".rar archive")]),
    "one bad cell": (
        lambda f: notebook(f / "ada" / STEM, [IMPORTS, RIGHT_1, 7, {"cell_type": "code"}, CHECK_1]),  # type: ignore
        {"ada": ["04"]},
        [],
    ),
    "a pipe": (
        lambda f: ((f / "ada").mkdir(), os.mkfifo(f / "ada" / STEM))[0],
        {"ada": []},
        [("ada", "a pipe")],
    ),
    "a dangling link": (
        lambda f: ((f / "ada").mkdir(), (f / "ada" / STEM).symlink_to("nowhere"))[0],
        {"ada": []},
        [("ada", "a link")],
    ),
    "the neighbour's, by a link": (
        lambda f: (notebook(f / "bob" / STEM), (f / "ada").mkdir(), (f / "ada" / STEM).symlink_to(f / "bob" / STEM))[0],
        {"ada": [], "bob": ["04"]},
        [("ada", "a link")],
    ),
    "a link that goes round": (
        lambda f: (notebook(f / "ada" / STEM), (f / "ada" / "again").symlink_to(f / "ada"))[0],
        {"ada": ["04"]},
        [("ada", "a link")],
    ),
    "300 GB": (
        lambda f: ((f / "ada").mkdir(), os.truncate(_touched(f / "ada" / STEM), 300 << 30))[0],
        {"ada": []},
        [("ada", "300 GB")],
    ),
    "folders in folders without end": (
        lambda f: os.makedirs(f / "ada" / "/".join(["d"] * 300)),
        {"ada": []},
        [("ada", "deep")],
    ),
    "a name that is not UTF-8": (lambda f: notebook(f / os.fsdecode(b"M\xfcller.ipynb")), {"M\ufffdller": ["04"]}, []),
    "a text that names another exercise": (
        lambda f: notebook(f / "ada.ipynb", CELLS, text='Then `check("05.1", x)`, check("05.2", y), check("05.3", z)'),
        {"ada": ["04"]},
        [],
    ),
    "comments that name another exercise": (
        lambda f: notebook(f / "ada.ipynb", [*CELLS, '# check("05.1", x)\n"check(\'05.2\', y)"\n# check("05.3", z)']),
        {"ada": ["04"]},
        [],
    ),
    "no check, only the functions": (lambda f: notebook(f / "ada" / "x.ipynb", CELLS[:2]), {"ada": ["04"]}, []),
    "a helper beside it": (
        lambda f: (notebook(f / "ada" / STEM), raw(f / "ada" / "helper.py", "def kl_normal(): ..."))[0],
        {"ada": ["04"]},
        [],
    ),
    "one student's folder, with the names as handed out": (
        lambda f: (notebook(f / STEM), notebook(f / "05_elbo.ipynb", FIVE))[0],
        {"in": ["04", "05"]},
        [],
    ),
    "the whole course, not in a folder": (lambda f: course(f, {STEM: CELLS}), {"in": ["04"]}, []),
    "names before, behind and between": (
        lambda f: [  # type: ignore[arg-type, return-value]
            notebook(f / name)
            for name in ("04_gaussian_kl_ada.ipynb", "bob_04_gaussian_kl.ipynb", "04_eve.ipynb", "ex4-max.ipynb")
        ],
        {"ada": ["04"], "bob": ["04"], "eve": ["04"], "max": ["04"]},
        [],
    ),
    "numbers of students, and not of exercises": (
        lambda f: [notebook(f / f"student_0{number}.ipynb") for number in (3, 4, 5)],  # type: ignore
        {"student 03": ["04"], "student 04": ["04"], "student 05": ["04"]},
        [],
    ),
    "numbers of students whose work came late": (
        lambda f: [notebook(f / "late" / f"student_0{number}.ipynb") for number in (3, 4, 5)],  # type: ignore
        {"student 03": ["04"], "student 04": ["04"], "student 05": ["04"]},
        [],
    ),
    "a folder for each sheet, people in it": (
        lambda f: (notebook(f / "04" / "ada.ipynb"), notebook(f / "05" / "ada" / "05_elbo.ipynb", FIVE))[0],
        {"ada": ["04", "05"]},
        [],
    ),
    "one zip of everybody's": (
        lambda f: zipped(f / "all.zip", {f"{who}/{STEM}": as_bytes() for who in ("eve", "bob")}),
        {"bob": ["04"], "eve": ["04"]},
        [],
    ),
    "Moodle's zip, with zips in it": (
        lambda f: zipped(f / "Course-Sheet 4-99.zip", {MOODLE + "/hw.zip": nested(1)}),
        {"Ada Lovelace": ["04"]},
        [],
    ),
    "Canvas' zip": (lambda f: raw(f / "lovelaceada_101_5678_hw.zip", nested(1)), {"lovelaceada": ["04"]}, []),
    "GitHub Classroom": (
        lambda f: (notebook(f / "exercise-04-ada" / STEM), raw(f / "exercise-04-ada" / ".git" / "HEAD", "x"))[0],
        {"ada": ["04"]},
        [],
    ),
    "a folder, a file and a zip of one person": (
        lambda f: (
            notebook(f / "ada.ipynb"),
            notebook(f / "ada" / STEM, OTHER),
            zipped(f / "ada.zip", {STEM: as_bytes()}),
        )[0],
        {"ada": ["04", "04"]},
        [],
    ),
    "one notebook with two sheets": (
        lambda f: notebook(f / "ada.ipynb", [*CELLS, *(f'check("{id}", x)' for id in ("04.2", "04.3", "05.1")), *FIVE]),
        {"ada": ["04", "05"]},
        [],
    ),
    "no extension": (lambda f: notebook(f / "ada" / "notebook"), {"ada": ["04"]}, []),
    "notebook format 2": (
        lambda f: raw(
            f / "ada" / STEM,
            json.dumps({"nbformat": 2, "worksheets": [{"cells": [{"cell_type": "code", "input": c} for c in CELLS]}]}),
        ),
        {"ada": ["04"]},
        [],
    ),
    "half of a surrogate pair": (
        lambda f: raw(f / "ada" / STEM, json.dumps(content([*CELLS, "x = '\ud800'"]))),
        {"ada": ["04"]},
        [],
    ),
    "a cell that cannot be parsed": (
        lambda f: notebook(f / "ada.ipynb", [IMPORTS, "def kl_normal(:", 'check("04.1", kl_normal) if']),
        {"ada": ["04"]},
        [],
    ),
    "a virtual environment": (
        lambda f: (
            notebook(f / "ada" / STEM),
            raw(f / "ada" / "mine" / "pyvenv.cfg", ""),
            notebook(f / "ada" / "mine" / "x.ipynb", ["1"]),
        )[0],
        {"ada": ["04"]},
        [],
    ),
    "a Word document": (lambda f: zipped(f / "ada" / "hw.docx", {"x": "x"}), {"ada": []}, [("ada", "office program")]),
    "a number without end": (
        lambda f: raw(f / "ada" / STEM, '{"cells": [' + "1" * 9999),
        {"ada": []},
        [("ada", "too long")],
    ),
    "the teacher's list among them": (
        lambda f: (notebook(f / "ada.ipynb"), raw(f / "roster.csv", "name\nAda\n"))[0],
        {"ada": ["04"]},
        [("", "not a notebook")],
    ),
}


def _touched(path: Path) -> Path:
    path.touch()
    return path


def gathered(root: Path, space: Path, *exercises: str) -> Collected:
    space.mkdir(exist_ok=True)
    return collect(root, space, exercises)


def outcome(got: Collected) -> dict[str, list[str]]:
    return {
        student: [found.handed_in.notebook for found in got.found if found.handed_in.student == student]
        for student in sorted(got.people)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_submission_of_this_kind_is_graded_or_listed(kind: str, tmp_path: Path) -> None:
    build, expected, listed = KINDS[kind]
    (tmp_path / "in").mkdir()
    build(tmp_path / "in")
    started = time.monotonic()
    got = gathered(tmp_path / "in", tmp_path / "space")
    assert time.monotonic() - started < 10
    assert outcome(got) == expected, got
    said = [(unread.student, unread.reason) for unread in got.unread]
    for student, part in listed:
        assert any(student == who and part in why for who, why in said), said
    assert len(said) == len(listed), said


# ----------------------------------------------------------------------------------------------- what comes with it


def only(root: Path, tmp_path: Path, *exercises: str) -> Any:
    """The one notebook that is found."""
    (found,) = gathered(root, tmp_path / "space", *exercises).found
    return found


@pytest.mark.parametrize(
    "kind",
    [kind for kind, (_, expected, _) in KINDS.items() if [*expected.values()] == [["04"]] and kind != "untouched"],
)
def test_cells_are_those_that_were_typed(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    KINDS[kind][0](tmp_path / "in")
    cells = only(tmp_path / "in", tmp_path).handed_in.cells
    assert all(isinstance(cell, str) and cell.encode() is not None for cell in cells)
    if kind != "a cell that cannot be parsed":
        assert any(RIGHT_1 in cell for cell in cells), cells


def test_damaged_cell_costs_itself_and_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    odd = [
        7,
        None,
        [],
        {"cell_type": "code"},
        {"cell_type": "code", "source": 3},
        {"cell_type": "code", "source": ["a", 1]},
    ]
    raw(tmp_path / "in" / "ada.ipynb", json.dumps(content([IMPORTS, *odd, RIGHT_1, CHECK_1])))
    handed_in = only(tmp_path / "in", tmp_path).handed_in
    assert handed_in.cells == (IMPORTS, *[""] * len(odd), RIGHT_1, CHECK_1)
    assert sum("could not be read" in note for note in handed_in.notes) == len(odd)


def test_what_was_odd_is_noted(tmp_path: Path) -> None:
    words = {
        "latin": "read as Latin-1",
        "utf16": "UTF-16",
        "language": "for the language julia",
        "script": "as a script",
        "text": "`kl_normal` is defined in a cell of text",
    }
    notebook(tmp_path / "in" / "latin.ipynb", [*CELLS, "# größer"], encoding="latin-1")
    notebook(tmp_path / "in" / "utf16.ipynb", encoding="utf-16-be")
    notebook(tmp_path / "in" / "language.ipynb", metadata={"kernelspec": {"language": "julia"}})
    raw(tmp_path / "in" / "script.py", percent(CELLS))
    notebook(tmp_path / "in" / "text.ipynb", [IMPORTS, CHECK_1], text=RIGHT_1)
    got = gathered(tmp_path / "in", tmp_path / "space")
    notes = {found.handed_in.student: " ".join(found.handed_in.notes) for found in got.found}
    assert set(notes) == set(words)
    for student, part in words.items():
        assert part in notes[student], notes


def test_helper_comes_along_from_its_students_folder_alone(tmp_path: Path) -> None:
    notebook(tmp_path / "in" / "ada" / "hw" / STEM)
    raw(tmp_path / "in" / "ada" / "hw" / "helper.py", "mine")
    raw(tmp_path / "in" / "ada" / "hw" / "data" / "x.csv", "1")
    raw(tmp_path / "in" / "ada" / "hw" / "vaelib" / "__init__.py", "answers")
    raw(tmp_path / "in" / "ada" / "hw" / "vaelib.py", "answers")
    raw(tmp_path / "in" / "bob.ipynb", as_bytes())
    raw(tmp_path / "in" / "notes.csv", "the teacher's")
    notebook(tmp_path / "in" / f"lovelaceada_101_5678_{STEM}")
    raw(tmp_path / "in" / "lovelaceada_101_5679_helper.py", "hers")
    raw(tmp_path / "in" / "other_102_5679_helper.py", "not hers")
    got = {found.handed_in.student: found.handed_in for found in gathered(tmp_path / "in", tmp_path / "space").found}

    def beside(student: str) -> dict[str, str]:
        folder = got[student].files
        assert folder is not None and tmp_path / "space" in folder.parents
        return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}

    assert beside("ada") == {"helper.py": "mine", "data/x.csv": "1"}
    assert beside("lovelaceada") == {"helper.py": "hers"}
    assert got["bob"].files is None


def test_copies_are_made_before_anything_runs(tmp_path: Path) -> None:
    zipped(tmp_path / "in" / "ada.zip", {STEM: as_bytes(), "helper.py": "mine"})
    found = only(tmp_path / "in", tmp_path)
    (tmp_path / "in" / "ada.zip").unlink()
    assert found.handed_in.cells == tuple(CELLS) and (found.handed_in.files / "helper.py").read_text() == "mine"
    assert not list(tmp_path.rglob("x.ipynb"))


def test_files_beside_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook(tmp_path / "in" / "ada" / STEM)
    for number in range(9):
        raw(tmp_path / "in" / "ada" / f"{number}.csv", "1" * 100)
    monkeypatch.setattr(beside_module, "FILES", 4)
    found = only(tmp_path / "in", tmp_path)
    assert len(list(found.handed_in.files.iterdir())) == 4
    assert "2 more files beside the notebook were not copied." in found.handed_in.notes
    monkeypatch.setattr(beside_module, "BYTES", 250)
    (tmp_path / "again").mkdir()
    found = only(tmp_path / "in", tmp_path / "again")
    assert len(list(found.handed_in.files.iterdir())) == 2


def test_what_one_student_needs_lies_beside_and_is_copied(tmp_path: Path) -> None:
    """Two hundred files of 20 MiB together; larger ones are left out, by name."""
    notebook(tmp_path / "in" / "ada" / STEM)
    raw(tmp_path / "in" / "ada" / "a.bin", bytes(20 << 20))
    raw(tmp_path / "in" / "ada" / "b.bin", b"1")
    for number in range(200):
        raw(tmp_path / "in" / "ada" / f"{number}.csv".rjust(9, "c"), "")
    found = only(tmp_path / "in", tmp_path)
    names = {path.name for path in found.handed_in.files.iterdir()}
    assert len(names) == 200 and "a.bin" in names and "b.bin" not in names
    assert any(note.startswith("b.bin lay beside") for note in found.handed_in.notes)


def test_upload_is_bounded_in_files_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "ENTRIES", 20)
    monkeypatch.setattr(trees, "ZIP_LIMIT", 5000)
    zipped(tmp_path / "in" / "ada.zip", {"data.csv": os.urandom(4900), STEM: as_bytes(), "b.csv": os.urandom(900)})
    for number in range(30):
        raw(tmp_path / "in" / "bob" / f"{number:02}.csv", "1")
    notebook(tmp_path / "in" / "eve" / STEM)
    got = gathered(tmp_path / "in", tmp_path / "space")
    assert outcome(got) == {"ada": ["04"], "bob": [], "eve": ["04"]}  # notebooks are unpacked first
    said = " ".join(f"{unread.student}: {unread.reason}" for unread in got.unread)
    assert "ada: This upload unpacks to more than" in said and "bob: More than 20 files and folders" in said


def test_table_of_contents_of_a_zip_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped(tmp_path / "in" / "ada.zip", {f"{number}.csv": "1" for number in range(100)})
    monkeypatch.setattr(trees, "DIRECTORY_LIMIT", 100)
    (unread,) = gathered(tmp_path / "in", tmp_path / "space").unread
    assert "too many entries" in unread.reason


def test_key_changes_with_the_content_and_not_with_the_time(tmp_path: Path) -> None:
    def key(name: str) -> str:
        (tmp_path / name).mkdir()
        return str(only(tmp_path / "in", tmp_path / name).key)

    notebook(tmp_path / "in" / "ada" / STEM)
    first = key("1")
    old(tmp_path / "in" / "ada" / STEM, 1000)
    assert key("2") == first
    raw(tmp_path / "in" / "ada" / "helper.py", "x = 1")
    second = key("3")
    raw(tmp_path / "in" / "ada" / "helper.py", "x = 2")
    assert len({first, second, key("4")}) == 3


def test_untouched_notebooks_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    course(tmp_path / "in" / "Ada", {STEM: CELLS})
    for name in ("space", "asked"):
        (tmp_path / name).mkdir()
    got = collect(tmp_path / "in", tmp_path / "space")
    assert outcome(got) == {"Ada": ["04"]} and "left out: 00, 01, 02, 03, 05" in got.notes["Ada"][0]
    assert outcome(collect(tmp_path / "in", tmp_path / "asked", ["04", "05"])) == {"Ada": ["04", "05"]}


# ------------------------------------------------------------------------------------------------- which exercises


@pytest.mark.parametrize("path", sorted((ROOT / "exercises").glob("*.ipynb")), ids=lambda path: path.stem)
def test_exercises_as_handed_out_are_untouched_and_solutions_are_not(path: Path) -> None:
    handed_out = read(path.read_bytes(), path.name)
    solved = read((path.parent / "source" / f"{path.stem}.py").read_bytes(), "x.py")
    number = path.name[:2]
    assert which.numbers(handed_out, "x.ipynb") == which.numbers(solved, "x.py") == [number]
    assert not which.attempted(handed_out, number) and which.attempted(solved, number)
    assert not which.is_lesson(handed_out) and not which.is_lesson(solved)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_lessons_are_recognized_as_notebooks_and_as_scripts(path: Path) -> None:
    lesson = read(path.read_bytes(), path.name)
    assert which.is_lesson(lesson) and which.numbers(lesson, path.name) == []
    script = read(exported(list(lesson.cells)).encode(), "x.py")
    assert which.is_lesson(script)


@pytest.mark.parametrize(
    ("cells", "name", "expected"),
    [
        ([CHECK_1], "05_elbo.ipynb", ["04"]),
        (["1 + 1"], "05_elbo.ipynb", ["05"]),
        (["1 + 1"], "05-elbo (2).ipynb", ["05"]),
        (["1 + 1"], "ex 4 ada.ipynb", ["04"]),
        (["1 + 1"], "my notes 3.ipynb", []),
        (["1 + 1"], "2026-11-04.ipynb", []),
        ([RIGHT_1], "05 ada.ipynb", ["04"]),
        (["trained = [1]"], "x.ipynb", ["08"]),
        (["x.check('04.1', f)"], "x.ipynb", ["04"]),
        (["check(id='04.1', answer=f)"], "x.ipynb", ["04"]),
        (["x = !ls\n%time check('04.1', kl_normal)"], "x.ipynb", ["04"]),
        (["!ls\ncheck('04.1', kl_normal)"], "x.ipynb", ["04"]),
        (["hint('05.1')\nprint('check(\"05.1\", x)')"], "x.ipynb", []),
        (["check('99.9', f)"], "x.ipynb", []),
    ],
)
def test_exercises_are_told_by_code_then_by_full_name_then_by_functions(
    cells: list[str], name: str, expected: list[str]
) -> None:
    assert which.numbers(Read(tuple(cells)), name) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("def kl_normal(*a):\n    raise NotImplementedError", False),
        ("def kl_normal(*a):\n    pass", False),
        ("def kl_normal(*a):\n    return ...", False),
        ("kl_normal = ...", False),
        ("kl_normal = lambda *a: 0.0", True),
        ("def kl_normal(*a):\n    x[..., 0] = 1", True),
        ("def kl_normal(:", True),
        ("check('04.1', lambda *a: 0.0)", True),
        ("def mine(*a):\n    return 0.0\ncheck('04.1', mine)", True),
        ("check('04.1', kl_normal)", False),
        ("a = b = 1", False),
    ],
)
def test_touched_is_told_from_untouched(cell: str, expected: bool) -> None:
    assert which.attempted(Read((cell,)), "04") is expected


# ------------------------------------------------------------------------------------------------------------ names


def test_names_of_platforms_are_taken_apart() -> None:
    moodle = by_platform("Ada Lovelace_101_assignsubmission_file_04_gaussian_kl.ipynb")
    assert moodle is not None and moodle.rest == STEM and moodle.person.folder == MOODLE
    canvas = by_platform("lovelaceada_LATE_101_5678_04_gaussian_kl-2.ipynb")
    assert canvas is not None and (canvas.rest, canvas.late, canvas.version) == (STEM, True, 2)
    assert canvas.person.canvas == "101" and canvas.person.name == "lovelaceada"
    for name in ("ada_2024_04_gaussian_kl.ipynb", "04_gaussian_kl.ipynb", "Ada Lovelace", "ada_1_2_x.ipynb"):
        assert by_platform(name) is None


@pytest.mark.parametrize(
    ("name", "number", "student"),
    [
        ("04_gaussian_kl - Ada Lovelace.ipynb", "04", "Ada Lovelace"),
        ("Copy of 04_gaussian_kl - Ada.ipynb", "04", "Ada"),
        ("04_gaussian_kl (1).ipynb", "04", "04_gaussian_kl (1)"),
        ("Alex Hwang 04.ipynb", "04", "Alex Hwang"),
        ("student 07.ipynb", "04", "student 07"),
        ("04.ipynb", "04", "04"),
    ],
)
def test_student_is_found_in_the_name_of_a_file(name: str, number: str, student: str) -> None:
    assert by_file(name, number) == student


def test_names_are_as_alike_as_they_are() -> None:
    assert how_alike("Ada Lovelace", "LOVELACE, Ada") == 3
    assert how_alike("Müller", "Mueller") == how_alike("Müller", "muller") == 3
    assert how_alike("lovelaceada", "Ada Lovelace") == 2
    assert how_alike("Ada", "Ada Lovelace") == 1
    assert how_alike("Ada Smith", "Ada Lovelace") == how_alike("", "Ada") == how_alike("?", "!") == 0


def test_old_formats_are_read_as_nbformat_reads_them(tmp_path: Path) -> None:
    of_format_3(tmp_path / "old.ipynb")
    converted = nbformat.read(tmp_path / "old.ipynb", as_version=4)
    cells = tuple(cell.source for cell in converted.cells if cell.cell_type == "code")
    assert read((tmp_path / "old.ipynb").read_bytes(), "old.ipynb").cells == cells


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 99, os.urandom(999), b"PK\x03\x04" + os.urandom(99), b"{" * 10**6, b'{"a":' * 10**5]
)
def test_bytes_of_any_kind_are_refused_in_words(content: bytes, tmp_path: Path) -> None:
    raw(tmp_path / "in" / "ada" / STEM, content)
    got = gathered(tmp_path / "in", tmp_path / "space")
    assert not got.found and [unread.student for unread in got.unread] == ["ada"]
    with pytest.raises(Unreadable, match=r"\.$"):
        read(content, STEM)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets of this kind here")
def test_socket_is_named(tmp_path: Path) -> None:
    (tmp_path / "in" / "ada").mkdir(parents=True)
    here = os.getcwd()
    os.chdir(tmp_path / "in" / "ada")  # its path would be too long
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("04.ipynb")
            (unread,) = gathered(tmp_path / "in", tmp_path / "space").unread
    finally:
        os.chdir(here)
    assert "a socket" in unread.reason


def test_whatever_one_file_does_to_its_reader_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook(tmp_path / "in" / "ada.ipynb")
    notebook(tmp_path / "in" / "bob.ipynb", [*CELLS, "boom"])
    numbers = which.numbers

    def fragile(got: Read, name: str) -> list[str]:
        if "boom" in got.cells:
            raise RecursionError
        return numbers(got, name)

    monkeypatch.setattr(which, "numbers", fragile)
    got = gathered(tmp_path / "in", tmp_path / "space")
    assert outcome(got) == {"ada": ["04"], "bob": []}
    assert got.unread[0].reason == "It could not be understood (RecursionError)."


def test_two_entries_of_one_name_in_a_zip_stay_two(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "ada.zip", "w") as archive:
        for cells in (CELLS, OTHER, [*OTHER, "1 + 1"]):
            with pytest.warns(UserWarning) if cells is not CELLS else contextlib.nullcontext():
                archive.writestr(STEM, json.dumps(content(cells)))
    found = gathered(tmp_path / "in", tmp_path / "space").found
    assert len({each.handed_in.source for each in found}) == len({each.handed_in.cells for each in found}) == 3
