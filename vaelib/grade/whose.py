"""Whose a file is, by where it lies: a folder for each student, sections of such folders, or one flat folder of files.

What Moodle and Canvas write into names comes first. Otherwise a folder is a student's as soon as files lie in it;
folders that hold only folders of students are sections, and those named after exercises or "late" tell nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vaelib.grade.names import Person, by_file, by_platform, is_late
from vaelib.grade.tree import Tree, ancestors
from vaelib.grade.which import is_exercise_folder

Parts = tuple[str, ...]
ENDING = re.compile(r"\.(ipynb|py|zip|pdf|docx?|odt|html?|txt|json|md|rar|7z|tgz|(tar\.)?gz|png|jpe?g)$", re.IGNORECASE)
SECTION = re.compile(r"(section|group|class|course|tutorial|batch|gruppe|kurs|klasse|groupe|grupo)\b.*", re.IGNORECASE)
SHEET = r"exercises?|homework|hw|assignment|sheet|week|lab|ex"
PREFIX = re.compile(rf"^({SHEET})[ _-]?\d{{1,2}}[ _-]+", re.IGNORECASE)  # as GitHub Classroom names folders


@dataclass(frozen=True)
class Owner:
    """Whose a file is. `home` is the folder that holds all that the student handed in; None in a flat folder."""

    person: Person
    home: Parts | None = None
    late: bool = False
    version: int = 0
    file: str = ""  # the file's own name, without what the platform put before it


class Owners:
    """Whose is what below a root: `Owners(tree, root).of(parts)`."""

    def __init__(self, found: Tree, root: Path) -> None:
        self.root = bare(root.resolve().name)
        self.is_file = root.is_file() and () not in found.zips
        self.numbers: dict[Parts, str] = {}  # file -> the exercises in it, as soon as that is known
        self.folders: set[Parts] = set(found.folders)
        self.files: dict[Parts, list[str]] = {}  # folder -> names of what lies in it and is not a folder
        every = [file.parts for file in found.files]
        every += [parts for parts, _ in found.problems if parts and parts not in self.folders]
        for parts in [*every, *self.folders]:
            self.folders.update(ancestors(parts))
        for parts in every:
            self.files.setdefault(parts[:-1], []).append(parts[-1])
        self.zips = found.zips
        self.inside: dict[Parts, list[Parts]] = {}
        for folder in sorted(self.folders - {()}):
            self.inside.setdefault(folder[:-1], []).append(folder)
        self._containers: dict[Parts, bool] = {}

    def of(self, parts: Parts) -> Owner:
        """Whose a file or a folder is."""
        late = any(is_late(part) for part in parts)
        for at, part in enumerate(parts):
            if named := by_platform(part):
                home = parts[: at + 1] if at + 1 < len(parts) or parts in self.folders else None
                return Owner(named.person, home, late or named.late, named.version, named.rest or parts[-1])
        if self.is_course(()):
            return Owner(Person(self.root), (), late, file=parts[-1])
        home = self._home(parts)
        name = self._flat(parts) if home is None else self._in_folder(home)
        return Owner(Person(name), home, late, file=parts[-1])

    def students(self) -> list[Parts]:
        """The folders that are students', empty ones included."""
        homes = [folder for folder in sorted(self.folders - {()}) if self._home(folder) == folder]
        platform = [folder for folder in sorted(self.folders - {()}) if by_platform(folder[-1])]
        return [] if self.is_course(()) else [*platform, *(home for home in homes if home not in platform)]

    # ------------------------------------------------------------------------------------------------------ folders

    def _home(self, parts: Parts) -> Parts | None:
        """The outermost folder on the way that is a student's."""
        for end in range(1, len(parts) + 1):
            folder = parts[:end]
            if folder in self.folders and not self.is_container(folder):
                return folder
        return None

    def is_course(self, folder: Parts) -> bool:
        """Is this a copy of the whole course, which is one student's?"""
        names = {each[-1].lower() for each in self.inside.get(folder, [])}
        return "exercises" in names and bool(names & {"notebooks", "vaelib", "work"})

    def is_container(self, folder: Parts) -> bool:
        """Does it hold students' folders or files of several students, and is nobody's?"""
        if folder not in self._containers:
            self._containers[folder] = self._decide(folder)
        return self._containers[folder]

    def _decide(self, folder: Parts) -> bool:
        name, files = bare(folder[-1]), self.files.get(folder, [])
        if by_platform(folder[-1]) or self.is_course(folder):
            return False
        if is_late(name) or is_exercise_folder(name):
            return True
        if SECTION.fullmatch(name) and (files or self.inside.get(folder)):
            return all(by_file(file) != bare(file) for file in files) or len(files) > 1
        if any(by_platform(each[-1]) for each in self.inside.get(folder, [])) or any(map(by_platform, files)):
            return True
        siblings = [each for each in self.inside[folder[:-1]] if not is_late(each[-1])]
        if self._is_evident(folder) or sum(map(self._is_evident, siblings)) > sum(map(self._is_section, siblings)):
            return False
        return any(map(self._is_section, siblings))

    def _is_evident(self, folder: Parts) -> bool:
        """Does somebody's work begin here: are there files, or nothing at all, or folders named after exercises?"""
        inside = self.inside.get(folder, [])
        named = any(is_late(each[-1]) or is_exercise_folder(each[-1]) for each in inside)
        return bool(self.files.get(folder)) or not inside or named or self.is_course(folder)

    def _is_section(self, folder: Parts) -> bool:
        return not self._is_evident(folder) and sum(map(self._is_evident, self.inside.get(folder, []))) > 1

    # -------------------------------------------------------------------------------------------------------- names

    def _around(self, folders: Parts) -> list[str]:
        """Folders as they are shown before a name: sections, but neither "late" nor what is named after exercises."""
        return [bare(part) for part in folders if not is_late(bare(part)) and not is_exercise_folder(part)]

    @cached_property
    def _shared(self) -> int:
        """How many folders are around all students, and so are left out."""
        around = [self._around(home[:-1]) for home in self.students()]
        around += [self._around(folder) for folder, names in self.files.items() if names and self._home(folder) is None]
        count = 0
        while len({tuple(each[: count + 1]) for each in around}) == 1 and all(len(each) > count for each in around):
            count += 1
        return count

    def _in_folder(self, home: Parts) -> str:
        name = by_file(home[-1]) if home in self.zips else PREFIX.sub("", home[-1]) or home[-1]
        if self.is_course(home) and name.lower().startswith("vaelib"):  # the course's own folder, in a zip of somebody
            around = self._around(home[:-1])
            return "/".join(around[self._shared :] or around[-1:] or [self.root])
        return "/".join([*self._around(home[:-1])[self._shared :], name])

    def _flat(self, parts: Parts) -> str:
        """The student in a file's own name; where it says nothing, what is around it."""
        name = by_file(parts[-1], self.numbers.get(parts, ""))
        if name != by_file(parts[-1]) and not self._number_is_the_exercises(parts):
            name = by_file(parts[-1])
        if name == bare(parts[-1]) and is_exercise_folder(name) and "(" not in name:
            name = self._nameless(parts)
        return "/".join([*self._around(parts[:-1])[self._shared :], name])

    def _number_is_the_exercises(self, parts: Parts) -> bool:
        """Is a number in the names of such files that of their exercises, "ada_04", and not of people, "student_04"?"""
        alike = [name for name in self.files[parts[:-1]] if _digits(name) == _digits(parts[-1])]
        return all(by_file(name, self.numbers.get((*parts[:-1], name), "")) != by_file(name) for name in alike)

    def _nameless(self, parts: Parts) -> str:
        inside = next((parts[:end] for end in range(len(parts) - 1, 0, -1) if parts[:end] in self.zips), None)
        if inside is not None:
            return bare(inside[-1])
        alone = not self.students() and all(is_exercise_folder(bare(name)) for name in self.files[parts[:-1]])
        return self.root if alone and not self.is_file else bare(parts[-1])


def _digits(name: str) -> str:
    return re.sub(r"\d+", "#", name.casefold())


def bare(name: str) -> str:
    """A name without the ending of a file that people hand in."""
    return ENDING.sub("", name) or name
