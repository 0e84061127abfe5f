"""Who belongs to the class: a list of names, or what Moodle and Canvas export; and which of them handed in what."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vaelib.grade.names import Person, how_alike
from vaelib.grade.sheet import Sheet, plain, read_sheet

FULL = ("full name", "student", "student name", "name", "names", "students", "display name", "vollständiger name",
        "nom complet", "nombre completo", "nome completo")  # fmt: skip
FIRST = ("first name", "firstname", "given name", "forename", "vorname", "prénom", "nombre", "nome")
LAST = ("last name", "lastname", "surname", "family name", "nachname", "nom", "apellido", "apellidos", "apellido(s)")
NUMBER = ("identifier", "id", "participant", "sis user id", "student id", "id number", "username", "sis login id",
          "login", "email", "email address", "e-mail", "mail")  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """One person on the roster; `row` has all its columns, by their heads as they are written there."""

    name: str
    row: Mapping[str, str] = field(default_factory=dict)
    again: str = ""  # what tells this person from another one of the same name

    @property
    def shown(self) -> str:
        """The name, and nobody else's."""
        return f"{self.name} ({self.again})" if self.again else self.name

    def get(self, *heads: str) -> str:
        """The first of these columns that there is, whatever the case of its head."""
        lower = {head.strip().lower(): value for head, value in self.row.items()}
        return next((lower[head].strip() for head in heads if lower.get(head, "").strip()), "")


@dataclass(frozen=True)
class Roster:
    """The class, in its order. `kind` is "moodle" or "canvas" for their own exports, otherwise "names"."""

    people: tuple[Listed, ...]
    kind: str = "names"
    heads: tuple[str, ...] = ()


@dataclass
class Matched:
    """Who on the roster is who among the submissions: shown name -> Listed; and remarks on what was not certain."""

    who: dict[str, Listed] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_roster(path: Path) -> Roster:
    """The class from a file: one name a line, or a table with a column of names, such as Moodle and Canvas export.

    Raises:
        ValueError: no name in it, or a table whose columns of names are not recognized.

    Example:
        >>> read_roster(Path("class.txt")).people[0].name  # doctest: +SKIP
        'Ada Lovelace'
    """
    sheet = read_sheet(path)
    heads = [head.strip().lower() for head in sheet.heads]
    if any(head in FULL or head in FIRST or head in LAST for head in heads):
        return _table(sheet, path)
    names = [name for line in sheet.lines if (name := _name_in(line))]
    if not names:
        raise ValueError(f"Expected names in the roster {path}, but found none.")
    return Roster(tuple(Listed(name) for name in dict.fromkeys(names)))


def _table(sheet: Sheet, path: Path) -> Roster:
    people: list[Listed] = []
    for row in sheet.rows:
        listed = Listed("", row)
        first, last = listed.get(*FIRST), listed.get(*LAST)
        name = f"{first} {last}".strip() if first and last else listed.get(*FULL) or f"{first} {last}".strip()
        if plain(name) and name.strip().lower() not in ("points possible", "student, test", "test student"):
            same = any(other.name == plain(name) for other in people)
            again = (listed.get(*NUMBER) or str(len(people) + 1)) if same else ""
            people.append(Listed(plain(name), row, again))
    if not people:
        raise ValueError(f"Expected names in the roster {path}, but its columns {', '.join(sheet.heads)} hold none.")
    heads = {head.strip().lower() for head in sheet.heads}
    kind = "moodle" if "identifier" in heads else "canvas" if {"student", "id"} <= heads else "names"
    return Roster(tuple(people), kind, tuple(sheet.heads))


def _name_in(line: str) -> str:
    """The name in a line without a head: all of it, "Lovelace, Ada" too; of several columns the first with letters."""
    parts = [part.strip() for part in next(csv.reader([line]), []) if part.strip()]
    if "\t" in line or ";" in line:
        parts = [part.strip(' "') for part in re.split(r"[\t;]", line) if part.strip(' "')]
        parts = [part for part in parts if re.search(r"[^\W\d_]", part) and "@" not in part][:1]
    elif len(parts) != 2 or any("@" in part or re.search(r"\d", part) for part in parts):
        parts = [part for part in parts if re.search(r"[^\W\d_]", part) and "@" not in part][:1]
    return plain(", ".join(parts))


def match(roster: Roster, people: Mapping[str, Person]) -> Matched:
    """Finds everybody who handed in on the roster: by number, by name, by login, and at last by a part of the name.

    Two submissions may be one person's ("Ada Lovelace", "Lovelace, Ada"). A part of a name decides only if it fits one
    person alone who was not found otherwise, and is remarked on.
    """
    matched = Matched()

    def unmatched() -> list[str]:
        return [shown for shown in people if shown not in matched.who]

    for shown, person in people.items():
        numbers = [one for one in roster.people if _same_number(person, one)]
        if len(numbers) == 1:
            matched.who[shown] = numbers[0]
    for least in (3, 2):
        for shown in unmatched():
            fit = [one for one in roster.people if how_alike(_own(shown, people), one.name) >= least]
            if len(fit) == 1:
                matched.who[shown] = fit[0]
            elif fit:
                names = ", ".join(one.name for one in fit)
                matched.remarks.append(f"{shown} may be any of several on the roster: {names}.")
    for shown in unmatched():
        logins = [one for one in roster.people if _own(shown, people).casefold() in _logins(one)]
        if len(logins) == 1:
            matched.who[shown] = logins[0]
    taken = [*matched.who.values()]
    free = [one for one in roster.people if one not in taken]
    fits = {shown: [one for one in free if how_alike(_own(shown, people), one.name)] for shown in unmatched()}
    for shown, fit in fits.items():
        if len(fit) == 1 and sum(fit[0] in others for others in fits.values()) == 1:
            matched.who[shown] = fit[0]
            matched.remarks.append(f"{shown} was taken for {fit[0].name} on the roster.")
    if strangers := unmatched():
        matched.remarks.append(f"Not on the roster: {', '.join(strangers)}.")
    return matched


def _own(shown: str, people: Mapping[str, Person]) -> str:
    """A name without the folders around it and the number behind it: "section 1/eve" is eve."""
    return people[shown].name.rpartition("/")[2]


def _same_number(person: Person, listed: Listed) -> bool:
    if person.moodle:
        return re.sub(r"\D", "", listed.get("identifier")) == person.moodle
    return bool(person.canvas) and listed.get("id") == person.canvas


def _logins(listed: Listed) -> set[str]:
    values = {listed.get(head).casefold() for head in NUMBER}
    return ({value.partition("@")[0] for value in values} | values) - {""}
