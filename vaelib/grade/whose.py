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
SECTION = re.compile(r"(section|group|class|course|tutorial|batch|gruppe|kurs|klasse|groupe|grupo)\b.*", re.IGNORECASE)


@dataclass(frozen=True)
class Owner:
    """Whose a file is. `home` is the folder that holds all that the student handed in; None in a flat folder."""

    person: Person
    home: Parts | None = None
    late: bool = False
    version: int = 0
    file: str = ""  # the file's own name, without what the platform put before it


class Owners:
    """Whose is what below a root: `Owners(tree, root).of(parts, number)`."""

    def __init__(self, found: Tree, root: Path) -> None:
        self.root = bare(root.resolve().name)
        self.given_alone = not root.is_dir()
        self.folders: set[Parts] = set(found.folders)
        self.files: dict[Parts, list[str]] = {}  # folder -> names of what lies in it and is no folder
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

    def of(self, parts: Parts, number: str = "") -> Owner:
        """Whose a file or folder is; `number` is that of the exercises in the file, which its name may have, too."""
        late = any(is_late(part) for part in parts)
        for at, part in enumerate(parts):
            if named := by_platform(part):
                home = parts[: at + 1] if at + 1 < len(parts) or parts in self.folders else None
                return Owner(named.person, home, late or named.late, named.version, named.rest or parts[-1])
        if self.is_course(()):
            return Owner(Person(self.root), (), late, file=parts[-1])
        home = self._home(parts)
        if home is not None:
            shown = [bare(part) for part in home if not is_late(part)]
            if home in self.zips:
                shown[-1] = by_file(home[-1], number)
            return Owner(Person("/".join(shown[len(self.shared) :])), home, late, file=parts[-1])
        return Owner(Person(self._flat(parts, number)), None, late, file=parts[-1])

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

    @cached_property
    def shared(self) -> list[str]:
        """Folders around all students, which would stand before each name: left out."""
        around = [[bare(part) for part in home[:-1] if not is_late(part)] for home in self.students()]
        flat: list[list[str]] = [[] for folder, names in self.files.items() if names and self._home(folder) is None]
        common: list[str] = []
        for layer in zip(*around, *flat, strict=False):
            if len(set(layer)) > 1:
                break
            common.append(layer[0])
        return common

    def _flat(self, parts: Parts, number: str) -> str:
        """The student in a file's own name; where it says nothing, the zip or the course around it."""
        stem, own = bare(parts[-1]), by_file(parts[-1], number)
        around = [part for part in parts[:-1] if not is_late(part) and not is_exercise_folder(part)]
        around = [bare(part) for part in around][len(self.shared) :]
        if own == stem and is_exercise_folder(stem):
            inside = next((parts[:end] for end in range(len(parts) - 1, 0, -1) if parts[:end] in self.zips), None)
            if inside is not None:
                own = bare(inside[-1])
            elif (self.given_alone or any(map(is_exercise_folder, parts[:-1]))) and len(parts) > 1:
                own = self.root
            elif self.given_alone and self.root != stem:
                own = self.root
        return "/".join([*around, own])


def bare(name: str) -> str:
    """A name without the ending of a notebook, a script or a zip."""
    return re.sub(r"\.(ipynb|py|zip)$", "", name, flags=re.IGNORECASE)
