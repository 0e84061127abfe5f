"""Two forms of the tests: the short one, which `make test` runs, and the rest; `make test-all` runs both.

    @pytest.mark.long                  # left to the rest
    @pytest.mark.seeds(20, short=4)    # seeds 0 to 3 in the short form, 4 to 19 in the rest
    some(CASES, every=3)               # for parametrize: every third case in the short form, the others are long

A test with the second mark takes `seed`, and is run once for each, or `seeds`, a range to loop over. So the two forms
together run everything once. `pytest --form=all` runs it in one go. A file that is named on the command line without a
form (`pytest notebooks/09_vae.ipynb`) is run whatever its marks say, on the seeds of the short form.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

SHORT, REST, ALL = "short", "rest", "all"
# Run in the short form: together they go through the set-up of a notebook without and with PyTorch, widgets, pictures
# and a verdict of each kind. Every notebook is run in the rest.
QUICK_NOTEBOOKS = ("00_start", "03_kl_and_jensen", "07_gradients")


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "which part of the tests; default: short, and all of a file that is named"
    parser.addoption("--form", choices=(SHORT, REST, ALL), help=about)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: left out of the short form; see tests/forms.py")
    config.addinivalue_line("markers", "seeds(count, short): takes `seed` or `seeds`, fewer of them in the short form")


def form(config: pytest.Config) -> str:
    """The one that was asked for, or the short one."""
    return config.getoption("form") or SHORT


def part(count: int, short: int, chosen: str) -> range:
    """The seeds of a form, out of `count`.

    >>> part(20, 4, "short"), part(20, 4, "rest")
    (range(0, 4), range(4, 20))
    """
    if not 1 <= short < count:
        raise ValueError(f"Expected the mark seeds(count, short) with 1 <= short < count, but got {count} and {short}.")
    return {SHORT: range(short), REST: range(short, count), ALL: range(count)}[chosen]


def some(cases: Iterable[Any], every: int) -> list[Any]:
    """Cases for `parametrize`: every so many, the first among them, is in the short form, the others are long."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*value, marks=[pytest.mark.long] if i % every else []) for i, value in enumerate(values)]


@pytest.hookimpl(trylast=True)  # after the other arguments: their ids come first
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if mark := metafunc.definition.get_closest_marker("seeds"):
        seeds = part(*mark.args, **mark.kwargs, chosen=form(metafunc.config))
        if "seed" in metafunc.fixturenames:
            metafunc.parametrize("seed", seeds)
        else:
            metafunc.parametrize("seeds", [seeds], ids=[f"seeds {seeds[0]} to {seeds[-1]}"])


def is_long(item: pytest.Item) -> bool:
    """Left out of the short form, by its mark or because it needs a notebook that takes long."""
    notebook = item.path if item.path.suffix == ".ipynb" else None
    if "what_ran" in getattr(item, "fixturenames", ()):
        notebook = item.callspec.params["path"]  # type: ignore[attr-defined]
    return bool(item.get_closest_marker("long")) or (notebook is not None and notebook.stem not in QUICK_NOTEBOOKS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = form(config)
    files = [] if config.getoption("form") else config.args
    named = {Path(argument.split("::")[0]).resolve() for argument in files}

    def is_wanted(item: pytest.Item) -> bool:
        if chosen == SHORT:
            return not is_long(item) or item.path in named
        return is_long(item) or item.get_closest_marker("seeds") is not None

    if chosen != ALL:
        config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
        items[:] = [item for item in items if is_wanted(item)]
