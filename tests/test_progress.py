"""Bars below a notebook's cell: they follow the work, and are gone when it ends, however it ends."""

from __future__ import annotations

from typing import Any

import pytest
from test_train import config, tiny

import vaelib.train
from vaelib import progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The widgets that a notebook would show; each notes its values, and whether it was closed."""
    bars: list[Any] = []

    def show(widget: Any) -> None:
        widget.history, widget.closed = [], False
        widget.observe(lambda change: widget.history.append(change["new"]), "value")
        close = widget.close

        def closing() -> None:
            widget.closed = True
            close()

        widget.close = closing
        bars.append(widget)

    monkeypatch.setattr(progress, "_show", show)
    return bars


def test_steps_yields_every_item_and_closes_its_bar(shown: list[Any]) -> None:
    assert list(progress.steps("abc", "spelling")) == ["a", "b", "c"]
    (bar,) = shown
    assert (bar.max, bar.description, bar.history, bar.closed) == (3, "spelling", [1, 2, 3], True)


def test_steps_of_a_generator_needs_a_total(shown: list[Any]) -> None:
    assert list(progress.steps((i for i in range(2)), "counting", total=2)) == [0, 1]
    assert shown[0].max == 2


def test_bar_is_closed_when_the_loop_breaks_or_raises(shown: list[Any]) -> None:
    for item in progress.steps([1, 2, 3], "some"):
        if item == 2:
            break
    with pytest.raises(ZeroDivisionError):
        for item in progress.steps([0], "none"):
            _ = 1 / item
    assert [bar.closed for bar in shown] == [True, True]


def test_watch_follows_the_epochs_and_shows_the_bound(shown: list[Any]) -> None:
    settings = config()
    state = vaelib.train.fit(settings, tiny(), callback=progress.Watch(settings.epochs))
    (bar,) = shown
    assert bar.history == list(range(1, settings.epochs + 1)) and bar.closed
    assert bar.description == f"epoch {settings.epochs}, test ELBO {state.history[-1]['test_elbo']:.1f} nats"
