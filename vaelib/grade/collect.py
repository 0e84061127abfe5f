"""All that was handed in, read and copied before the first submission runs; and all that was not understood, in words.

`collect` is the one door: a folder, a zip or a single notebook comes in, and exercise notebooks of students come out.
What cannot be graded is in `unread` with its reason, and everybody who handed in anything at all is in `people`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from vaelib.grade import which
from vaelib.grade.beside import beside
from vaelib.grade.names import Person
from vaelib.grade.reading import Read, Unreadable, kind_of, looks_like_a_notebook, read
from vaelib.grade.tree import File, Tree, because, tree
from vaelib.grade.whose import Owner, Owners, bare

START = 200_000  # bytes of a file of another name that are looked at
NAMED = 20  # things of one student that are listed as not understood
PLAUSIBLE = (".pdf", ".doc", ".docx", ".odt", ".html", ".htm", ".rar", ".7z", ".gz", ".tar", ".tgz", ".bz2", ".xz")


@dataclass(frozen=True)
class HandedIn:
    """One exercise notebook of one student, read and copied before the first submission runs."""

    student: str  # as shown
    source: str  # where it came from, as text
    notebook: str  # which exercises: "04"
    cells: tuple[str, ...]  # sources of its code cells, as typed
    files: Path | None = None  # a private copy of what lay beside the notebook (bounded); None if nothing did
    notes: tuple[str, ...] = ()  # what was odd about it, in words


@dataclass(frozen=True)
class Found:
    """A notebook that will be graded, with what the gradebook wants to know.

    Attributes:
        when: how to tell which of two came last: the platform's count of uploads, then the file's time.
        key: a hash of where it lay and of all that is in it; equal keys have equal grades, if the seed is equal.
    """

    handed_in: HandedIn
    when: tuple[int, float]
    late: bool
    attempted: bool
    key: str


@dataclass(frozen=True)
class Unread:
    """Something that was handed in and cannot be graded. `student` is empty if its name tells nobody's."""

    student: str
    source: str
    reason: str


@dataclass
class Collected:
    """What came in: everybody seen, the notebooks to grade, what was not understood, and notes for each student."""

    people: dict[str, Person] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Candidate:
    """A file that may be an exercise notebook."""

    file: File
    owner: Owner
    read: Read
    number: str
    attempted: bool
    script: bool


def collect(root: Path, space: Path, exercises: Sequence[str] = ()) -> Collected:
    """Everything that was handed in.

    Args:
        root: a folder, a zip, or one notebook. space: an empty folder for private copies, needed until all is graded.
        exercises: numbers of the exercise notebooks that are wanted, "04"; all that somebody worked on if empty.

    Example:
        >>> collect(Path("submissions"), space, ["04"]).found[0].handed_in.student  # doctest: +SKIP
        'Ada Lovelace'
    """
    zips, copies = space / "unpacked", space / "beside"
    zips.mkdir()
    copies.mkdir()
    entries = tree(root, zips)
    owners = Owners(entries, root)
    packages = {file.parts[:-1] for file in entries.files if file.parts[-1] == "__init__.py"}
    result = Collected()
    read_in: list[_Candidate] = []
    candidates: dict[str, list[_Candidate]] = {}
    refused: dict[str, list[tuple[int, Unread]]] = {}  # by student: how surely it is worth a line, and what
    names = _Names()

    def refuse(owner: Owner, source: str, reason: str, weight: int) -> None:
        student = names.shown(owner.person)
        refused.setdefault(student, []).append((weight, Unread(student, source, reason)))

    for file in entries.files:
        source = "/".join(file.parts)
        try:
            got = _candidates(file, owners, packages)
        except (Unreadable, OSError) as error:
            owner = owners.of(file.parts)
            name = owner.file.lower()
            weight = 2 if ".ipynb" in name or _in_doubt(name) else 1
            if weight == 1 and owner.home is None and not owner.person.canvas and not name.endswith(PLAUSIBLE):
                result.unread.append(Unread("", source, str(error)))  # a list or a note of the teacher, as like as not
                continue
            why = str(error) if isinstance(error, Unreadable) else f"It cannot be read: {because(error)}."
            refuse(owner, source, why, weight)
            continue
        except Exception as error:  # whatever is in one file, the others are read
            refuse(owners.of(file.parts), source, f"It could not be understood ({type(error).__name__}).", 2)
            continue
        read_in += got
        owners.numbers[file.parts] = got[0].number
    for each in read_in:
        owner = owners.of(each.file.parts)
        candidates.setdefault(names.shown(owner.person), []).append(replace(each, owner=owner))
    for parts, reason in entries.problems:
        if parts:
            refuse(owners.of(parts), "/".join(parts), reason, 2)
        else:
            result.unread.append(Unread("", bare(root.name), reason))
    for home in owners.students():
        names.shown(owners.of(home).person)
    result.people = names.people
    wanted = set(exercises) or {c.number for several in candidates.values() for c in several if c.attempted}
    for student in sorted(names.people, key=str.casefold):
        kept = _kept(student, candidates.get(student, []), wanted, bool(exercises), result)
        for candidate in kept:
            result.found.append(_found(student, candidate, entries, copies, result))
        _list_unread(student, refused.get(student, []), candidates.get(student, []), kept, result)
    return result


class _Names:
    """Everybody who was seen, under a name that is theirs alone."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}

    def shown(self, person: Person) -> str:
        number = person.moodle or person.canvas
        for name in (person.name, f"{person.name} ({number})"):
            known = self.people.setdefault(name, person)
            if number and not (known.moodle or known.canvas):
                self.people[name] = known = person
            if not number or (known.moodle, known.canvas) == (person.moodle, person.canvas):
                break
        return name


# ------------------------------------------------------------------------------------------------------- candidates


def _candidates(file: File, owners: Owners, packages: set[tuple[str, ...]]) -> list[_Candidate]:
    """The exercise notebooks in one file; raises Unreadable if there is none, and OSError."""
    owner = owners.of(file.parts)
    name = owner.file.lower()
    script = name.endswith(".py")
    if script and file.parts[:-1] in packages:
        raise Unreadable("This is a part of a Python package.")
    if not (".ipynb" in name or script or looks_like_a_notebook(start := file.start(START))):
        if known := kind_of(start):
            raise Unreadable(known)
        raise Unreadable("This is not a notebook.")
    got = read(file.read(), name)
    numbers = which.numbers(got, name)
    if not numbers:
        if which.is_lesson(got):
            raise Unreadable("The wrong file: this is the notebook of the lesson, and not that of the exercises.")
        raise Unreadable("It holds none of the course's exercises.")
    return [_Candidate(file, owner, got, number, which.attempted(got, number), script) for number in numbers]


def _in_doubt(name: str) -> bool:
    return name.endswith((".zip", ".rar", ".7z", ".gz", ".tgz", ".tar"))


def _kept(
    student: str, candidates: list[_Candidate], wanted: set[str], chosen: bool, result: Collected
) -> list[_Candidate]:
    """Those of one student's notebooks that are graded.

    Copies that are alike count once. Notebooks that nobody touched, such as the new version that the course lays beside
    an edited one, do not count if the student worked on another one, unless those exercises were asked for.
    """
    notes = result.notes.setdefault(student, [])
    others = sorted({c.number for c in candidates} - wanted) if chosen else []
    if others:
        notes.append(f"Handed in, but not asked for here: {', '.join(others)}.")
    mine = [c for c in candidates if c.number in wanted or not chosen]
    notebooks = [c for c in mine if not c.script]
    covered = {c.number for c in notebooks}
    scripts = [c for c in mine if c.script and (c.number not in covered or _checks(c))]  # the others are helpers
    by_number: dict[str, list[_Candidate]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for candidate in sorted([*notebooks, *scripts], key=_when, reverse=True):
        if (candidate.number, candidate.read.cells) not in seen:
            seen.add((candidate.number, candidate.read.cells))
            by_number.setdefault(candidate.number, []).append(candidate)
    kept: list[_Candidate] = []
    for several in by_number.values():
        good = [c for c in several if c.attempted]
        kept += good or several[:1]
    worked = [c for c in kept if c.attempted]
    if not chosen:
        untouched = sorted({c.number for c in kept if not c.attempted})
        if worked:
            kept = worked
        elif len(untouched) > 1:
            kept = [c for c in kept if c.number in wanted]
        left = [number for number in untouched if number not in {c.number for c in kept}]
        if left:
            notes.append(f"As they were handed out, and left out: {', '.join(left)}.")
    return sorted(kept, key=lambda c: (c.number, _when(c)))


def _checks(candidate: _Candidate) -> bool:
    return any("check(" in cell for cell in candidate.read.cells)


def _when(candidate: _Candidate) -> tuple[int, float]:
    return candidate.owner.version, candidate.file.when


def _list_unread(
    student: str,
    refused: Iterable[tuple[int, Unread]],
    candidates: list[_Candidate],
    kept: list[_Candidate],
    result: Collected,
) -> None:
    """Of somebody whose notebooks are graded, only what looks like another one; of the others, everything."""
    listed = [unread for weight, unread in refused if weight > 1 or not kept]
    if kept:
        listed = [unread for unread in listed if not unread.reason.startswith("The wrong file")]
    if len(listed) > NAMED:
        rest = Unread(student, "", f"{len(listed) - NAMED} more files that could not be graded.")
        listed = [*listed[:NAMED], rest]
    if not listed and not kept:
        about = result.notes.get(student)
        reason = "None of the notebooks was worked on." if candidates else "The folder is empty."
        listed = [Unread(student, "", reason if not (candidates and about) else about[-1])]
    result.unread += listed


# ------------------------------------------------------------------------------------------------ what is handed on


def _found(student: str, candidate: _Candidate, entries: Tree, copies: Path, result: Collected) -> Found:
    source = "/".join(candidate.file.parts)
    taken = {each.handed_in.source for each in result.found}
    names = [
        source,
        f"{source} ({candidate.number})",
    ]  # one file with the exercises of two notebooks; or two of one name
    source = next(name for name in chain(names, (f"{names[1]} {n}" for n in count(2))) if name not in taken)
    notes = [*candidate.read.notes, *which.in_text(candidate.read, candidate.number)]
    files, said = beside(candidate.file, candidate.owner, entries, copies)
    handed_in = HandedIn(student, source, candidate.number, candidate.read.cells, files, tuple([*notes, *said]))
    if candidate.owner.late:
        result.late.add(student)
    return Found(handed_in, _when(candidate), candidate.owner.late, candidate.attempted, _key(handed_in))


def _key(handed_in: HandedIn) -> str:
    about = [handed_in.source, handed_in.notebook, handed_in.cells]
    total = hashlib.sha256(json.dumps(about).encode())
    if handed_in.files is not None:
        for path in sorted(handed_in.files.rglob("*")):
            if path.is_file():
                total.update(json.dumps([path.relative_to(handed_in.files).as_posix(), path.stat().st_size]).encode())
                total.update(path.read_bytes())
    return total.hexdigest()


def with_student(found: Found, student: str) -> Found:
    """The same notebook under another name, such as the one on the roster."""
    return replace(found, handed_in=replace(found.handed_in, student=student))
