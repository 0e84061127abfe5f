"""What an answer leaves behind in a notebook: little output, and no setting, figure or missing module."""

from __future__ import annotations

import os
import random
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vaelib.contained import LETTERS, LINES, PICTURES, contained
from vaelib.exercise import check


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_beginning_of_what_is_printed_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with contained() as traces:
        print("here")
        print("there", file=sys.stderr)
    assert capsys.readouterr() == ("here\n", "there\n") and str(traces) == ""


@pytest.mark.parametrize(
    ("printed", "lines", "letters"),
    [(lambda: [print(i) for i in range(100_000)], LINES, 50), (lambda: print("x" * 10**7), 0, LETTERS)],
)
def test_output_without_end_is_cut_and_counted(
    printed: Any, lines: int, letters: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with contained() as traces:
        printed()
    shown = capsys.readouterr().out
    assert shown.count("\n") == lines and len(shown) == letters
    assert "more letters that the answer printed are not shown." in str(traces)


def test_note_of_a_check_tells_what_was_held_back(capsys: pytest.CaptureFixture[str]) -> None:
    def talks(*_: Any) -> float:
        print("a line\n" * 1000)
        plt.figure()
        return 0.0

    feedback = check("04.1", talks)
    assert capsys.readouterr().out.count("\n") == LINES
    assert (
        "letters that the answer printed are not shown. 11 figures that the answer opened are closed." in feedback.note
    )
    assert feedback.note in str(feedback) and plt.get_fignums() == []


def test_few_pictures_are_displayed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    publisher = SimpleNamespace(publish=shown.append)
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(display_pub=publisher))
    monkeypatch.setitem(sys.modules, "IPython", notebook)  # type: ignore[arg-type]

    def draws(*_: Any) -> float:
        publisher.publish("a picture")
        return 0.0

    assert "8 more pictures that the answer displayed are not shown." in check("04.1", draws).note
    assert len(shown) == PICTURES and publisher.publish == shown.append


def test_streams_survive_being_closed(capsys: pytest.CaptureFixture[str]) -> None:
    with contained():
        sys.stdout.close()
    print("still here")
    assert "still here" in capsys.readouterr().out


def test_settings_are_as_before(folder: Path) -> None:
    def state() -> tuple[Any, ...]:
        precision = np.get_printoptions()["precision"]
        ids = [id(sys.modules.get(name)) for name in ("numpy.linalg", "vaelib.tasks.n07_gradients", "json")]
        draws = np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index, union-attr]
        return np.geterr(), precision, list(warnings.filters), os.getcwd(), sys.getrecursionlimit(), ids, draws

    figure = plt.figure()
    before = state()
    linalg = sys.modules["numpy.linalg"]
    with contained():
        np.seterr(all="raise")
        np.set_printoptions(precision=1)
        warnings.simplefilter("error")
        np.random.seed(3)
        random.seed(3)
        os.chdir("/")
        sys.setrecursionlimit(4321)
        sys.modules["numpy.linalg"] = None  # type: ignore[assignment]
        sys.modules["nowhere.to.be.found"] = None  # type: ignore[assignment]
        sys.modules.pop("json", None)
        assert state() != before
    assert state() == before and sys.modules["numpy.linalg"] is linalg
    assert "nowhere.to.be.found" not in sys.modules
    assert plt.get_fignums() == [figure.number]  # type: ignore[attr-defined]


def test_settings_are_restored_after_ctrl_c(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), contained():
        os.chdir("/")
        raise KeyboardInterrupt
    assert Path.cwd() == folder


def test_state_of_errors_changes_neither_judge_nor_notebook() -> None:
    def careless(loc_q: Any, scale_q: Any, loc_p: Any, scale_p: Any) -> Any:
        np.seterr(all="raise")
        warnings.simplefilter("error")
        return np.log(scale_p / scale_q) + (scale_q**2 + (loc_q - loc_p) ** 2) / (2 * scale_p**2) - 0.5

    before = np.geterr()
    assert check("04.1", careless).right and np.geterr() == before
