"""Tables that spreadsheets read and write: every cell quoted, no text that becomes a formula; read back tolerantly."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vaelib.grade.reading import decoded

LIMIT = 20 << 20  # bytes of a table that is read
FORMULA = "=+-@"


@dataclass(frozen=True)
class Sheet:
    """A table that was read: the heads, the rows by head, and the lines as they are."""

    heads: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[str, ...]


def safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula, whatever it takes for the separator of cells.

    >>> safe("=1+1"), safe("x;=1+1"), safe("Ada")
    ("'=1+1", "x;'=1+1", 'Ada')
    """
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    if line.strip() in ("-", "+"):  # a platform's word for nothing
        return line
    guarded = re.sub(r"(?<=[;|])(\s*)(.)", lambda m: m[1] + ("'" if _starts(m[2]) else "") + m[2], line)
    return f"'{guarded}" if _starts(text.strip()[:1]) or (text[:1] in "\t\r\n" and text) else guarded


def _starts(letter: str) -> bool:
    """Does a formula begin with it, or with its full-width variant?"""
    return bool(letter) and unicodedata.normalize("NFKC", letter)[:1] in FORMULA


def plain(text: str) -> str:
    """What `safe` was given, without blanks around it."""
    text = text.strip()
    return text[1:].strip() if text[:1] == "'" and (_starts(text[1:2].strip()) or text[1:2].isspace()) else text


def number(value: float | None) -> str:
    """Points as a spreadsheet reads them; nothing for what was not graded."""
    return "" if value is None else f"{value:g}"


def written(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes a table for spreadsheets: UTF-8 with the mark that they look for, every cell quoted."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)


def read_sheet(path: Path) -> Sheet:
    """A table in any encoding, with commas, semicolons or tabs; raises ValueError if it is too large, and OSError."""
    with path.open("rb") as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise ValueError(f"Expected {path} to be a table of at most {LIMIT >> 20} MB, but it is larger.")
    if content.startswith(b"PK"):
        raise ValueError(
            f"Expected {path} to be a table as text (.csv), but got a file of a spreadsheet. Save it as CSV."
        )
    text, _ = decoded(content)
    lines = tuple(line for line in text.splitlines() if line.strip())
    if not lines:
        return Sheet((), (), ())
    counts = {mark: lines[0].count(mark) for mark in ",;\t"}
    mark = max(counts, key=lambda each: counts[each])
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) if any(map(str.strip, row))]
    except csv.Error as error:
        raise ValueError(f"Expected {path} to be a table, but it cannot be read: {error}.") from None
    heads = tuple(head.strip() for head in table[0])
    if len(heads) == 1:  # a list with a head: a comma belongs to the name
        table = [[mark.join(row)] for row in table]
    rows = tuple(dict(zip(heads, [*row, *[""] * len(heads)], strict=False)) for row in table[1:])
    return Sheet(heads, rows, lines)
