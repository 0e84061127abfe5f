"""The exercises, one file a notebook: `task("04.2")`. A file is loaded when one of its exercises is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from vaelib.task import Task

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


def task(id: str) -> Task:
    """The exercise with this id, such as "04.2"."""
    notebook = str(id)[:2]
    known = tasks_of(notebook) if notebook in FILES else {}
    if id not in known:
        there = ", ".join(known) if known else f"{', '.join(f'{name}.1' for name in sorted(FILES))} and so on"
        raise ValueError(f"Expected the id of an exercise ({there}), but got {id!r}.")
    return known[id]
