"""What students hand in, as it comes: each kind becomes a notebook to grade or a reason in words; nobody is lost."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaelib.grade.collect import Collected, collect

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
    "the whole course, untouched": (
        lambda f: (course(f / "Ada", {}), notebook(f / "bob" / STEM))[0],
        {"Ada": ["04"], "bob": ["04"]},
        [],
    ),
    "untouched": (lambda f: notebook(f / "ada" / STEM, STUBS), {"ada": ["04"]}, []),
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
    "nested without end": (lambda f: raw(f / "ada" / STEM, "[" * 10**5), {"ada": []}, [("ada", "too deeply")]),
    "a PDF": (lambda f: raw(f / "ada.pdf", b"%PDF-1.7"), {"ada.pdf": []}, [("ada.pdf", "a PDF")]),
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
