"""Whose a file is: the names that Moodle, Canvas and Google Classroom give, and names that are spelled in two ways."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import permutations
from pathlib import PurePath

from vaelib.grade.which import without_exercise

MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+_?(?P<rest>.*)$", re.IGNORECASE)
CANVAS = re.compile(r"^(?P<name>[^_\s]+)_(?P<late>late_)?(?P<id>\d+)_(?P<file>\d{3,})_(?P<rest>.+)$", re.IGNORECASE)
AGAIN = re.compile(r"-(\d+)(?=\.\w+$|$)")  # Canvas counts a second upload: 04_gaussian_kl-2.ipynb
LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})


@dataclass(frozen=True)
class Person:
    """Who handed something in, as far as names of files and folders tell.

    Attributes:
        name: as shown. moodle: the participant's number; folder: that of Moodle, whole. canvas: the ID in Canvas.
    """

    name: str
    moodle: str = ""
    folder: str = ""
    canvas: str = ""


@dataclass(frozen=True)
class Named:
    """What a name of a file or a folder says. `rest` is the file's own name, `version` counts uploads."""

    person: Person
    rest: str = ""
    late: bool = False
    version: int = 0


def by_platform(name: str) -> Named | None:
    """What Moodle or Canvas put into the name of a file or a folder; None if it is neither's.

    >>> by_platform("Ada Lovelace_101_assignsubmission_file_").person.moodle
    '101'
    >>> by_platform("lovelaceada_LATE_101_5678_04_gaussian_kl-2.ipynb").late
    True
    """
    if found := MOODLE.match(name):
        folder = name[: len(name) - len(found["rest"])]
        return Named(Person(found["name"].strip(), moodle=found["id"], folder=folder), found["rest"])
    if found := CANVAS.match(name):
        again = AGAIN.search(found["rest"])
        person = Person(found["name"], canvas=found["id"])
        rest = AGAIN.sub("", found["rest"])
        return Named(person, rest, late=bool(found["late"]), version=int(again[1]) if again else 0)
    return None


def by_file(name: str, number: str = "") -> str:
    """The student in the name of a file that lies in a flat folder: "04_gaussian_kl - Ada Lovelace.ipynb" is hers."""
    stem = re.sub(r"\.(ipynb|py|zip|json|txt|html?|pdf|docx?|odt|rar|7z|tgz|tar|gz)\b.*$", "", name, flags=re.I) or name
    return without_exercise(stem, number) or stem


def is_late(name: str) -> bool:
    """Does a folder's name say that what lies in it came late?"""
    return bool(re.fullmatch(r"(zu )?(late|too late|verspätet|spät|retard|tarde)([ _-]*(submissions?|abgaben?))?",
                             PurePath(name).stem.lower()))  # fmt: skip


# --------------------------------------------------------------------------------------------------------- spelling


def spellings(name: str) -> frozenset[tuple[str, ...]]:
    """The words of a name in alphabetical order, without case and accents; Müller is both muller and mueller.

    >>> spellings("Lovelace, Ada") == spellings("ada LOVELACE")
    True
    """
    folded = unicodedata.normalize("NFC", name).casefold()
    return frozenset(
        tuple(sorted(re.findall(r"[^\W_]+", _plain(text)))) for text in (folded, folded.translate(UMLAUTS))
    )


def _plain(text: str) -> str:
    split = unicodedata.normalize("NFKD", text.translate(LETTERS))
    return re.sub(r"[’'`´]", "", "".join(letter for letter in split if not unicodedata.combining(letter)))


def run_together(name: str) -> frozenset[str]:
    """All ways to write a name of up to four words as one, as Canvas does: "lovelaceada", "adalovelace"."""
    return frozenset("".join(order) for words in spellings(name) for order in permutations(words[:4]))


def how_alike(shown: str, listed: str) -> int:
    """3 if two names are the same but for order, case, accents; 2 run together; 1 if one lacks words of the other; 0.

    >>> how_alike("lovelaceada", "Ada Lovelace"), how_alike("Ada", "Lovelace, Ada"), how_alike("Bob", "Ada")
    (2, 1, 0)
    """
    mine, theirs = spellings(shown), spellings(listed)
    if () in mine or () in theirs:
        return 3 if shown == listed else 0
    if mine & theirs:
        return 3
    if run_together(shown) & run_together(listed):
        return 2
    pairs = [(set(one), set(other)) for one in mine for other in theirs]
    return 1 if any(one < other or other < one for one, other in pairs) else 0
