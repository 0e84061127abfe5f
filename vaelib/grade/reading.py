"""The code cells of a file that was handed in, whatever program wrote it.

Notebooks of formats 1 to 4 in any encoding of Unicode, and scripts exported by Jupyter, jupytext and VS Code. One cell
that is damaged costs that cell; a file that is something other than a notebook is named for what it is.
"""

from __future__ import annotations

import codecs
import io
import json
import logging
import re
import tokenize
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

CELLS = 2000  # more are not read
CODE = 5 << 20  # letters of code in one notebook
MARK = re.compile(r"^#\s*%%|^# In\[[\d \xa0*]*\]:?", re.MULTILINE)  # jupytext and VS Code; nbconvert
TEXT_CELL = re.compile(r"^#\s*%%.*\[(markdown|raw)\]|^#\s*%%.*\bcell_type=.(markdown|raw)")
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
KINDS = (  # how a file begins, and what it is
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"Rar!", "a .rar archive"),
    (b"7z\xbc\xaf", "a .7z archive"),
    (b"\x1f\x8b", "a .gz archive"),
    (b"BZh", "a .bz2 archive"),
    (b"\xfd7zXZ", "a .xz archive"),
    (b"PK", "a document of an office program"),
    (b"\xd0\xcf\x11\xe0", "a document of an office program"),
    (b"{\\rtf", "a document of an office program"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)


class Unreadable(ValueError):
    """Why a file holds no code cells, as a sentence for the teacher."""


@dataclass(frozen=True)
class Read:
    """A notebook that was read.

    Attributes:
        cells: sources of the code cells; one that is damaged is empty, so that the numbers stay right.
        texts: sources of the other cells. tags: of all cells, as often as they occur. notes: what was odd, in words.
    """

    cells: tuple[str, ...]
    texts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(content: bytes, name: str) -> Read:
    """The code cells of a file.

    Raises:
        Unreadable: the file is something else, or damaged; the message says what, and what to ask the student for.

    Example:
        >>> read(b"# %%\\nx = 1\\n# %% [markdown]\\n# text\\n", "ada.py").cells
        ('x = 1',)
    """
    if known := kind_of(content):
        raise Unreadable(known)
    if name.lower().endswith(".py"):
        return _script(*_script_text(content))
    text, notes = decoded(content)
    if MARK.search(text) and not text.lstrip().startswith("{"):
        return _script(text, notes)
    return _notebook(text, notes)


def kind_of(content: bytes) -> str:
    """What a file is that is not a notebook, by its beginning, as a sentence; empty if that does not tell."""
    if not content.strip(b"\x00\xff\xfe\xef\xbb\xbf \t\r\n"):
        return "The file is empty." if not content else "The file holds nothing but blanks."
    for beginning, kind in KINDS:
        if content.startswith(beginning):
            wanted = "Ask for a .zip" if "archive" in kind else "Ask for the notebook itself (.ipynb)"
            return f"This is {kind}. {wanted}."
    start = content[:1000].replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<!--")):
        return "This is a web page made from a notebook, or instead of it. Ask for the notebook (.ipynb)."
    return ""


def _bounded(read: Read) -> Read:
    size = sum(map(len, read.cells))
    if size > CODE:
        raise Unreadable(f"It holds {size / (1 << 20):.0f} MB of code, and not only answers. Are there data in a cell?")
    return read


def looks_like_a_notebook(content: bytes) -> bool:
    """Has the beginning of a file, of any name, the signs of a notebook?"""
    start = content[:4000].replace(b"\x00", b"")
    return start.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"{") and any(
        sign in content[:200_000].replace(b"\x00", b"") for sign in (b'"cells"', b'"worksheets"', b'"nbformat"')
    )


# ---------------------------------------------------------------------------------------------------------- text


def decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file in any encoding of Unicode, or else in Latin-1, which fits any bytes."""
    encoding = next((encoding for mark, encoding in BOMS if content.startswith(mark)), "")
    for candidate in [encoding] if encoding else ["utf-8", json.detect_encoding(content)]:
        try:
            text = content.decode(candidate)
        except UnicodeError:
            continue
        if "\x00" not in text:
            return text, () if candidate.startswith("utf-8") else (f"The file was read as {candidate.upper()}.",)
    return content.decode("latin-1"), ("The file is not in UTF-8; it was read as Latin-1.",)


def _script_text(content: bytes) -> tuple[str, tuple[str, ...]]:
    """A script may name its encoding in its first lines."""
    if not any(content.startswith(mark) for mark, _ in BOMS):
        try:
            encoding = tokenize.detect_encoding(io.BytesIO(content).readline)[0]
            return content.decode(encoding), ()
        except (SyntaxError, UnicodeError, LookupError):
            pass
    return decoded(content)


def _encodable(text: str) -> str:
    """Half of a surrogate pair, which JSON can spell, is written out: no file could hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# ------------------------------------------------------------------------------------------------------ notebooks


def _notebook(text: str, notes: tuple[str, ...]) -> Read:
    if re.search(r"^(<<<<<<< |>>>>>>> )", text, re.MULTILINE):
        raise Unreadable("The file has the marks of a merge that git left unfinished (<<<<<<<). Ask for it again.")
    try:
        content = json.loads(text)
    except RecursionError:
        raise Unreadable("The file is nested too deeply to be a notebook.") from None
    except ValueError as error:
        cut = "The file seems to be cut off" if text.lstrip().startswith("{") else "This is not a notebook"
        if not isinstance(error, json.JSONDecodeError):
            raise Unreadable("The file has a number that is too long to be one of a notebook.") from None
        raise Unreadable(f"{cut}: as JSON, {error}. Ask for it again.") from None
    cells, version = _raw_cells(content)
    if len(cells) > CELLS:
        notes = (*notes, f"Of {len(cells):,} cells, the first {CELLS:,} were read.")
    language = _language(content)
    if language not in ("", "python", "python3", "ipython", "ipython3"):
        notes = (*notes, f"The notebook is for the language {_encodable(language)[:40]}, and not for Python.")
    code: list[str] = []
    texts: list[str] = []
    tags: list[str] = []
    for number, raw in enumerate(cells[:CELLS], start=1):
        try:
            kind, source, labels = _cell(raw, version)
        except Exception as error:  # whatever is wrong with a cell costs that cell
            notes = (*notes, f"Cell {number} of the file could not be read ({type(error).__name__}).")
            kind, source, labels = _kind(raw), "", []
        (code if kind == "code" else texts).append(_encodable(source))
        tags += labels
    return _bounded(Read(tuple(code), tuple(texts), tuple(tags), notes[:20]))


def _raw_cells(content: Any) -> tuple[list[Any], int]:
    """The cells of a notebook of any format, as they lie in the file, and the format."""
    if not isinstance(content, dict):
        raise Unreadable("This is JSON, but not a notebook: a notebook has cells.")
    version = content.get("nbformat")
    version = version if isinstance(version, int) and not isinstance(version, bool) else 4
    cells = content.get("cells")
    if cells is None and isinstance(content.get("worksheets"), list):
        sheets = [sheet for sheet in content["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet.get("cells"), list) for cell in sheet["cells"]]
        version = version if version in (2, 3) else 3
    if not isinstance(cells, list):
        raise Unreadable("This is JSON, but not a notebook: a notebook has cells.")
    return cells, version


def _language(content: dict[str, Any]) -> str:
    metadata = content.get("metadata")
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(part) if isinstance(metadata, dict) else None
        if isinstance(about, dict) and isinstance(about.get(key), str):
            return str(about[key]).lower()
    return ""


def _kind(raw: Any) -> str:
    """The kind of a cell that is damaged: code, unless it says otherwise."""
    kind = raw.get("cell_type") if isinstance(raw, dict) else None
    return "markdown" if kind in ("markdown", "raw", "heading") else "code"


def _cell(raw: Any, version: int) -> tuple[str, str, list[str]]:
    """Kind, source and tags of one cell; raises whatever its damage makes it raise."""
    if version < 4:
        raw = _of_format_4({"outputs": [], **raw}, version)
    kind, source = raw["cell_type"], raw["source"]
    if not isinstance(kind, str):
        raise TypeError(kind)
    source = source if isinstance(source, str) else "".join(source)
    metadata = raw.get("metadata")
    labels = metadata.get("tags") if isinstance(metadata, dict) else None
    return kind, source, [label for label in labels if isinstance(label, str)] if isinstance(labels, list) else []


def _of_format_4(raw: dict[str, Any], version: int) -> Any:
    """A cell of an older format, as nbformat converts it; what it says about the cell on the way is not shown."""
    import nbformat

    about: dict[str, Any] = {"nbformat": version, "nbformat_minor": 0, "metadata": {}}
    old = about | ({"cells": [raw]} if version == 1 else {"worksheets": [{"cells": [raw]}]})
    logger = logging.getLogger("traitlets")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        return nbformat.convert(nbformat.from_dict(old), 4)["cells"][0]
    finally:
        logger.setLevel(level)


# -------------------------------------------------------------------------------------------------------- scripts


def _script(text: str, notes: tuple[str, ...]) -> Read:
    """The cells of a script: between marks, or the whole of it if it has none."""
    text = _encodable(text.replace("\r\n", "\n").replace("\r", "\n"))
    starts = [match.start() for match in MARK.finditer(text)]
    bounds = [0, *starts, len(text)]
    code: list[str] = []
    texts: list[str] = []
    tags: list[str] = []
    for begin, end in pairwise(bounds):
        piece = text[begin:end]
        first, _, rest = piece.partition("\n") if begin in starts else ("", "", piece)
        tags += re.findall(r'"([\w-]+)"', first) if "tags=" in first else []
        if TEXT_CELL.match(first):
            texts.append(rest.strip("\n"))
        elif any(line.strip() and not line.lstrip().startswith("#") for line in rest.splitlines()):
            code.append(rest.strip("\n"))
    if len(code) > CELLS:
        notes = (*notes, f"Of {len(code):,} cells, the first {CELLS:,} were read.")
    notes = (*notes, "It was handed in as a script (.py).")
    return _bounded(Read(tuple(code[:CELLS]), tuple(texts[:CELLS]), tuple(tags), notes))
