"""A function with another source: the same names, copies of what they stand for, and none where it might do harm."""

from __future__ import annotations

import functools
import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaelib.variant import original, variant


def written(source: str, **names: Any) -> Any:
    """The last function that a cell defines."""
    file = f"<variant {len(linecache.cache)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names |= {"np": np, "__name__": "__main__"}
    before = set(names)
    exec(compile(source, file, "exec"), names)
    return [thing for name, thing in names.items() if name not in before and callable(thing)][-1]


def test_variant_computes_what_its_source_says() -> None:
    f = written("def f(x, y=2):\n    return x + y\n")
    of = original(f)
    assert of is not None and of.line == 1
    changed = variant(of, "def f(x, y=2):\n    return x - y\n")
    assert (changed(5), f(5)) == (3, 7)


def test_variant_calls_itself_and_copies_of_the_helpers() -> None:
    helper = "def helper(n):\n    seen.append(n)\n    return n\n\n"
    f = written(helper + "def f(n):\n    return 0 if n == 0 else helper(n) + f(n - 1)\n", seen=[])
    of = original(f)
    assert of is not None and of.line == 5
    changed = variant(of, "def f(n):\n    return 0 if n == 0 else helper(n) * 2 + f(n - 1)\n")
    assert changed(3) == 12 and f.__globals__["seen"] == [] and f.__globals__["f"] is f


def test_arrays_and_defaults_of_the_original_are_out_of_reach() -> None:
    source = "def f(i, found=[]):\n    table[i] += 1\n    found.append(i)\n    return table[i] + len(found)\n"
    f = written(source, table=np.zeros(3))
    of = original(f)
    assert of is not None and variant(of, source)(1) == 2 and variant(of, source)(1) == 2
    assert f.__globals__["table"].sum() == 0 and f.__defaults__ == ([],)


def closure() -> Any:
    factor = 2.0

    def f(x: float) -> float:
        return x * factor

    return f


REFUSED = {
    "closure": closure(),
    "lambda": lambda x: x,
    "builtin": len,
    "partial": functools.partial(int, base=2),
    "number": 3,
    "decorated": written("import functools\n\n@functools.lru_cache\ndef f(x):\n    return x\n"),
    "file": written("def f(x):\n    open('a', 'w')\n    return x\n"),
    "array on disk": written("def f(x):\n    np.save('a', x)\n    return x\n"),
    "file in a helper": written("def g(x):\n    open('a', 'w')\n\ndef f(x):\n    return g(x)\n"),
    "inside a function": written("def f(x):\n    def g():\n        open('a', 'w')\n    return x\n"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_might_do_harm_has_no_variants(name: str) -> None:
    assert original(REFUSED[name]) is None


def test_source_that_is_not_what_runs_is_refused() -> None:
    """A file, or a cell, that was changed after the function was made."""
    f = written("def f(x):\n    return x + 1\n")
    file = f.__code__.co_filename
    linecache.cache[file] = (0, None, ["def f(x):\n", "    return x + 2\n"], file)
    assert original(f) is None


def test_function_without_source_is_refused() -> None:
    names: dict[str, Any] = {}
    exec("def f(x):\n    return x\n", names)
    assert original(names["f"]) is None


@pytest.mark.parametrize(
    "source",
    [
        "def g(x):\n    return x\n",
        "def f(y):\n    return y\n",
        "x = 1\n",
        "def f(x:\n",
        "import os\ndef f(x):\n    return (lambda: 1)()\nclass A: pass\n",
    ],
)
def test_other_source_is_refused(source: str, tmp_path: Path) -> None:
    of = original(written("def f(x):\n    return x\n"))
    assert of is not None
    with pytest.raises(ValueError, match="Expected"):
        variant(of, source)
