"""What the tests of grading share: submissions of two lines, and an exercise that is made for a test."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaelib.grade import isolation
from vaelib.grade.collect import HandedIn
from vaelib.grade.limits import Limits
from vaelib.grade.submission import Asked, Submission
from vaelib.reply import NoReply
from vaelib.task import Compute

IMPORTS = "import numpy as np\nfrom vaelib.exercise import check, hint, progress"
RIGHT_1 = """def kl_normal(loc_q, scale_q, loc_p, scale_p):
    return np.log(scale_p / scale_q) + (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5"""
WRONG_1 = RIGHT_1.replace("np.log(scale_p / scale_q) + ", "")
RIGHT_2 = """def kl_to_prior(loc, log_scale):
    return 0.5 * np.sum(np.exp(2 * log_scale) + loc**2 - 1 - 2 * log_scale, axis=-1)"""
CHECK_1, CHECK_2 = 'check("04.1", kl_normal)', 'check("04.2", kl_to_prior)'
HONEST = (IMPORTS, RIGHT_1, CHECK_1, RIGHT_2, CHECK_2)
SHORT = Limits(cells=10.0, question=2.0, exercise=6.0, judging=5.0, processor=40, memory=2 << 30)


def handed_in(cells: tuple[str, ...] | list[str], student: str = "ada", notebook: str = "04") -> HandedIn:
    return HandedIn(student, f"{student}/{notebook}.ipynb", notebook, tuple(cells))


def exercise(name: str) -> Compute:
    """One that asks for what has this name, and is never judged."""
    about: dict[str, Any] = {"id": "00.9", "title": "", "level": "core", "minutes": 1, "hints": ("", "", "")}
    return Compute(name=name, truth=0.0, **about)


def submission(
    cells: list[str],
    kinds: tuple[str, ...] = (),
    kind: str = isolation.PLAIN,
    limits: Limits = SHORT,
    files: Path | None = None,
) -> Submission:
    """One that is run in this test's process, without a judge."""
    return Submission(HandedIn("ada", "ada.ipynb", "00", tuple(cells), files), kinds, limits, kind)


def reply(of: Submission, name: str, **arguments: Any) -> Any:
    """The value that it replies, or in words why it does not."""
    try:
        return Asked(of, exercise(name)).ask(arguments).value
    except NoReply as reason:
        return f"{reason.kind}: {reason.text}"


def source(function: Callable[..., Any]) -> str:
    """A function of a test as the text of a cell."""
    return inspect.getsource(function)
