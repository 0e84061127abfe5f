"""The exercises, one file a notebook: `task("04.2")`. A file is loaded when one of its exercises is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from vaelib.task import Task, exercise_id

FILES = {found.name[1:3]: found.name for found in pkgutil.iter_modules(__path__)}  # "04": "n04_gaussian_kl"


@cache
def tasks_of(notebook: str) -> dict[str, Task]:
    """The exercises to a notebook ("04"), by id, in their order."""
    module = importlib.import_module(f"{__name__}.{FILES[notebook]}")
    found = {task.id: task for task in module.TASKS}
    if len(found) < len(module.TASKS) or len({task.name for task in module.TASKS}) < len(module.TASKS):
        raise ValueError(
            f"Expected ids and names of their own for the exercises of {FILES[notebook]}, but some are alike."
        )
    return found


def all_tasks() -> dict[str, Task]:
    """Every exercise of the course, by id, in the order of the course."""
    return {id: task for notebook in sorted(FILES) for id, task in tasks_of(notebook).items()}


class UnknownExercise(ValueError):
    """There is no exercise with this id; what there is, is said in one line."""


def task(id: Any) -> Task:
    """The exercise with this id: "04.2", or what can only mean that, such as 4.2 or "4,2".

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
    known = tasks_of(notebook)
    if wanted not in known:
        first, *_, last = known
        raise UnknownExercise(f"{wanted}? There are {first} to {last}.")
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
