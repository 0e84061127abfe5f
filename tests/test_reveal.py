"""A chain that is uncovered line by line: what each click shows, and what stays where no widget can be shown."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import nbformat
import pytest

import notebooks
from vaelib.derivation import derive
from vaelib.derivation.reveal import AGAIN, LINE, RULE, WIDGET, Steps, board
from vaelib.formula import tex
from vaelib.ledger import C1, F1
from vaelib.witnesses import DiscreteWitness


def texts(steps: Steps, clicks: int) -> list[str]:
    found = [steps.text]
    for _ in range(clicks):
        steps = steps.next
        found.append(steps.text)
    return found


def test_rule_is_asked_for_then_told_then_the_line_is_shown() -> None:
    first, second, third = texts(F1.steps(), 2)
    rule = F1.lines[1].reason
    assert first.endswith("**Which rule gives the next line?**") and "| 1 |" not in first and rule not in first
    assert "**The rule:**" in second and "| 1 |" not in second
    assert "| 1 |" in third and "| 2 |" not in third


def test_clicks_lead_to_the_whole_chain_and_back_to_the_start() -> None:
    steps, clicks = F1.steps(), 0
    while steps.button != AGAIN:
        assert steps.button in (RULE, LINE)
        steps, clicks = steps.next, clicks + 1
    assert steps.text == F1.chain()._repr_markdown_()
    assert clicks == sum(1 + bool(line.reason) for line in F1.lines[1:])
    assert steps.next == F1.steps()


def test_line_without_a_rule_comes_at_once() -> None:
    chain = derive("X", "twice", DiscreteWitness.draw).start(tex("1 + 1")).eq(tex("2"), "")
    steps = chain.steps()
    assert steps.button == LINE and steps.text.endswith("**What is the next line?**")
    assert steps.next.button == AGAIN


def test_some_lines_are_uncovered_in_their_order() -> None:
    steps = C1.steps(lines=(0, 2))
    assert C1.lines[2].reason.split()[0] in steps.next.text.split("**The rule:**")[1]
    assert steps.next.next.text == C1.chain(lines=(0, 2))._repr_markdown_()
    with pytest.raises(IndexError, match="Expected lines of C1"):
        C1.steps(lines=(0, 99))


def test_button_of_the_widget_does_what_it_says() -> None:
    box = board(F1.steps())
    shown, button = box.children
    for expected in texts(F1.steps(), 3):
        (output,) = shown.outputs
        assert output["data"]["text/markdown"] == expected
        button.click()


def test_still_version_is_beside_the_widget_and_alone_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"text/markdown": F1.chain()._repr_markdown_(), "text/plain": repr(F1.chain())}
    steps = F1.steps()
    bundle = steps._repr_mimebundle_()
    assert {key: bundle[key] for key in whole} == whole and repr(steps) == whole["text/plain"]
    (box,) = steps._kept  # what the frontend asks for is what ipywidgets itself sends
    assert bundle[WIDGET] == box._repr_mimebundle_()[WIDGET]
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "ipywidgets":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert F1.steps()._repr_mimebundle_() == whole


def test_stored_is_the_still_version_alone() -> None:
    def output(*kinds: str) -> nbformat.NotebookNode:
        return nbformat.v4.new_output("display_data", data={kind: "x" for kind in kinds})

    steps, slider = (nbformat.v4.new_code_cell(source) for source in ("F1.steps()", "interact(f)"))
    steps.outputs = [output(WIDGET, "text/markdown", "text/plain")]
    slider.outputs = [output(WIDGET, "text/plain"), output("text/plain")]
    stored = notebooks.clean(nbformat.v4.new_notebook(cells=[steps, slider]))
    assert set(stored.cells[0].outputs[0].data) == {"text/markdown", "text/plain"} and stored.cells[1].outputs == []


@pytest.mark.slow
def test_notebook_with_steps_stores_the_whole_chain(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("from vaelib.ledger import F1\nF1.steps()", metadata={"tags": ["class"]})
    path = tmp_path / "42_answer.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    notebooks.run(path)
    (output,) = nbformat.read(path, as_version=4).cells[0].outputs
    assert output.data == {"text/markdown": F1.chain()._repr_markdown_(), "text/plain": repr(F1.chain())}
