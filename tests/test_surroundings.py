"""The same settings and seed give the same run, whatever the process has set; and what it has set comes back."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forms import some
from test_train import config, tiny

from vaelib import _cores
from vaelib._cores import cores
from vaelib._spoken import remark
from vaelib.cli.pictures import SHOWS, draw_run
from vaelib.evaluate import evaluate, held_out_pixels
from vaelib.train import fit, load, loop

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
        assert torch.get_default_device() == torch.device("meta")
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def set_to(get: Callable[[], Any], put: Callable[[Any], Any], value: Any) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(before)


@contextlib.contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


SURROUNDINGS: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "default dtype": default_dtype,
    "default device": default_device,
    "default device in a block": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "threads": lambda: set_to(torch.get_num_threads, torch.set_num_threads, 1),
    "more threads": lambda: set_to(torch.get_num_threads, torch.set_num_threads, 3),
    "matrix precision": lambda: set_to(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "deterministic": lambda: set_to(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "NumPy's errors": lambda: np.errstate(all="raise"),
    "warnings as errors": warnings_as_errors,
}
RUNS: dict[str, dict[str, Any]] = {
    "small": {"epochs": 2, "validation": 0.3},
    "two threads": {"epochs": 1, "hidden": (20_000,), "latent_dim": 1, "batch_size": 33, "layer_norm": False},
}


def outcome(settings: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """All that a run gives: weights, records, an evaluation; with a folder also what is loaded, and resumed."""
    state = fit(config(**settings), tiny(), out=folder)
    model = state.model
    if folder is not None:
        fit(config(**settings | {"epochs": settings["epochs"] + 1}), tiny(), out=folder, resume=True)
        model = load(folder, device="cpu")
        draw_run(folder, model, tiny(), "dynamic", state.history)
    result = evaluate(model, held_out_pixels(tiny(), "dynamic"), importance_samples=9)
    return {
        "weights": [value.numpy().copy() for value in state.model.state_dict().values()],
        "records": [{**record, "seconds": 0} for record in state.history],
        "evaluation": [result.log_evidence, result.activity, result.response],
    }


@cache
def expected(name: str, folder: Path | None) -> dict[str, Any]:
    return outcome(RUNS[name], folder)


@pytest.fixture(autouse=True)
def threads_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the larger run takes two threads; it would not with the rule for real ones."""
    monkeypatch.setattr(loop, "SMALL_STEP", 1e6)


# In the short form the first run only, in all surroundings.
@pytest.mark.parametrize(("around", "name"), some(itertools.product(SURROUNDINGS, RUNS), every=len(RUNS)))
def test_what_the_process_has_set_does_not_change_a_run(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str, around: str
) -> None:
    small = name == "small"
    wanted = expected(name, tmp_path_factory.getbasetemp() / "expected" if small else None)
    with SURROUNDINGS[around]():
        got = outcome(RUNS[name], tmp_path / "run" if small else None)
    assert got["records"] == wanted["records"]
    for key in ("weights", "evaluation"):
        for a, b in zip(got[key], wanted[key], strict=True):
            np.testing.assert_array_equal(a, b)


def test_callback_finds_what_its_own_process_has_set() -> None:
    seen: list[Any] = []
    with default_dtype(), torch.no_grad():
        fit(config(epochs=1), tiny(), callback=lambda *_: seen.append((torch.zeros(1).dtype, torch.is_grad_enabled())))
    assert seen == [(torch.float64, False)] * 2


def test_threads_are_those_of_the_machine_unless_the_environment_says_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    assert cores() == 6
    big = loop.init(config(**RUNS["two threads"]), tiny())
    assert loop.threads_for(big) == loop.THREADS
    for asked, given in {"2": 2, "1,4": 1, "9": 6, "": 6, "many": 6, "0": 6}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert cores() == given and _cores.given() == 6


def test_remark_is_a_warning_and_never_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="look here"):
        remark("look here")
    shown: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: shown.append(str(message)))
    with warnings_as_errors():
        remark("look here")
    assert shown == ["look here"]


@pytest.mark.parametrize("wrong", some(["module://no_such_thing", "nonsense"], every=2))
def test_pictures_need_no_backend_and_look_alike_under_any_style(wrong: str, tmp_path: Path) -> None:
    code = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from vaelib.plots import image_grid
import matplotlib
if len(sys.argv) > 2:
    matplotlib.rcParams.update({{"text.usetex": True, "font.size": 30, "savefig.dpi": 20, "axes.facecolor": "red"}})
from test_train import config, tiny
from vaelib.cli.pictures import draw_run
from vaelib.train import fit
state = fit(config(epochs=2), tiny())
draw_run(Path(sys.argv[1]), state.model, tiny(), "dynamic", state.history)
""".format(tests=str(ROOT / "tests"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, backend in (("plain", None), ("wrong", wrong)):
        (tmp_path / name).mkdir()
        changes = {} if backend is None else {"MPLBACKEND": backend}
        style = ["styled"] if backend else []
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name), *style],
            env=environment | changes,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    drawn = [[path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("plain", "wrong")]
    assert len(drawn[0]) == len(SHOWS) and drawn[0] == drawn[1]
