"""A chain that a class uncovers line by line: which rule gives the next line? Then the rule, then the line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from vaelib._latex import prose
from vaelib.derivation.chain import Chain

WIDGET = "application/vnd.jupyter.widget-view+json"
RULE, LINE, AGAIN = "Show the rule", "Next line", "From the start"  # what a button says


@dataclass(frozen=True)
class Steps:
    """A chain under a button in a notebook that shows widgets; elsewhere the whole chain, as it is stored, too.

    Args:
        chain: what is uncovered.
        shown: how many of its lines are there.
        told: has the rule of the next one been named?
    """

    chain: Chain
    shown: int = 1
    told: bool = False
    _kept: list[Any] = field(default_factory=list, compare=False, repr=False)  # a widget lives as long as this does

    @property
    def button(self) -> str:
        """What a click would do."""
        if self.shown >= len(self.chain.lines):
            return AGAIN
        return LINE if self.told or not self._next().reason else RULE

    @property
    def next(self) -> Steps:
        """After a click."""
        if self.button == RULE:
            return replace(self, told=True)
        return replace(self, shown=1 if self.button == AGAIN else self.shown + 1, told=False)

    @property
    def text(self) -> str:
        """What is on the board now, in Markdown."""
        chain = replace(self.chain, lines=self.chain.lines[: self.shown])
        if self.shown >= len(self.chain.lines):
            below = ""
        elif self.told:
            line = self._next()
            below = f"**The rule:** {prose(line.reason)}." + (f" Why here: {prose(line.why)}." if line.why else "")
        else:
            below = "**Which rule gives the next line?**" if self._next().reason else "**What is the next line?**"
        return f"{chain._repr_markdown_()}\n\n{below}".rstrip()

    def _next(self) -> Any:
        return self.chain.derivation.lines[self.chain.lines[self.shown]]

    def __repr__(self) -> str:
        return repr(self.chain)

    def _repr_mimebundle_(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> dict[str, Any]:
        """The whole chain as Markdown and text; and, where there are widgets, the board with its button."""
        still: dict[str, Any] = {"text/plain": repr(self.chain), "text/markdown": self.chain._repr_markdown_()}
        try:
            box = board(self)
        except ImportError:  # a notebook without ipywidgets
            return still
        self._kept.append(box)
        return still | {WIDGET: {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}


def board(steps: Steps) -> Any:
    """A button and what it uncovers, of ipywidgets 7 or 8; raises ImportError without them."""
    from ipywidgets import Button, Layout, Output, VBox

    button, shown = Button(layout=Layout(width="auto")), Output()
    now = steps

    def show() -> None:
        button.description = now.button
        data = {"text/markdown": now.text, "text/plain": now.text}
        shown.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    def clicked(_: Any) -> None:
        nonlocal now
        now = now.next
        show()

    button.on_click(clicked)
    show()
    return VBox([shown, button])
