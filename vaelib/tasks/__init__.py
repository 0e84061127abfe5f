"""The exercises, one file a notebook: `task("04.2")`. A file is loaded when one of its exercises is asked for.

`TASKS` of a file are the exercises, which may be graded; `IN_CLASS`, if there is one, are the tasks that a class does
in the notebook itself, "04.a", with `yours`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from vaelib.task import Task, exercise_id

_NAMES = [found.name for found in pkgutil.iter_modules(__path__)]
FILES = {name[1:3]: name for name in _NAMES if re.match(r"n\d\d_", name)}  # "04": "n04_gaussian_kl"


@cache
def tasks_of(notebook: str) -> dict[str, Task]:
    """The exercises to a notebook ("04"), by id, in their order."""
    return _by_id(notebook, "TASKS")


@cache
def in_class(notebook: str) -> dict[str, Task]:
    """The tasks that a class does in the notebook itself, by id, "04.a"; they are never graded."""
    return _by_id(notebook, "IN_CLASS")


def _by_id(notebook: str, group: str) -> dict[str, Task]:
    tasks = getattr(importlib.import_module(f"{__name__}.{FILES[notebook]}"), group, ())
    found = {task.id: task for task in tasks}
    if len(found) < len(tasks) or len({task.name for task in tasks}) < len(tasks):
        raise ValueError(
            f"Expected each of {group} in {FILES[notebook]} to have another id and name, but some are alike."
        )
    if wrong := [id for id, task in found.items() if task.in_class != (group == "IN_CLASS") or id[:2] != notebook]:
        raise ValueError(
            f"Expected ids such as {notebook}.{'a' if group == 'IN_CLASS' else '1'} in {group}, but got {wrong[0]}."
        )
    return found


def all_tasks() -> dict[str, Task]:
    """Every exercise of the course, by id, in the order of the course."""
    return {id: task for notebook in sorted(FILES) for id, task in tasks_of(notebook).items()}


def all_in_class() -> dict[str, Task]:
    """Every task that is done in class, by id, in the order of the course."""
    return {id: task for notebook in sorted(FILES) for id, task in in_class(notebook).items()}


class UnknownExercise(ValueError):
    """There is no exercise with this id; what there is, is said in one line."""


def task(id: Any) -> Task:
    """The exercise with this id: "04.2", or what can only mean that, such as 4.2 or "4,2"; or the task in class.

    Raises UnknownExercise, a ValueError, in one line: "04.9? There are 04.1 to 04.4."
    """
    wanted = exercise_id(id)
    notebook = wanted[:2]
    if notebook not in FILES or wanted[2:3] != ".":
        first, *_, last = sorted(FILES)
        raise UnknownExercise(
            f'{wanted}? Expected the id of an exercise, such as "04.2", the second to notebook 04; '
            f"there are notebooks {first} to {last}."
        )
    known = in_class(notebook) if wanted[-1].isalpha() else tasks_of(notebook)
    if not known:
        raise UnknownExercise(f"{wanted}? There are no tasks to be done in class in notebook {notebook}.")
    if wanted not in known:
        ids = list(known)
        raise UnknownExercise(
            f"{wanted}? There are {ids[0]} to {ids[-1]}." if len(ids) > 1 else f"{wanted}? There is {ids[0]}."
        )
    return known[wanted]


def after(id: str, done: Callable[[str], bool]) -> Task | None:
    """The next exercise that is not done: in the same notebook, from there on; then in the following ones."""
    notebooks = sorted(FILES)
    place = notebooks.index(id[:2])
    here = list(tasks_of(id[:2]))
    at = here.index(id)
    ordered = [*here[at + 1 :], *here[:at]]
    for notebook in [*notebooks[place + 1 :], *notebooks[:place]]:
        found = next((each for each in ordered if not done(each)), None)
        if found is not None:
            return task(found)
        ordered = list(tasks_of(notebook))
    return next((task(each) for each in ordered if not done(each)), None)
