r"""%%check, a cell of LaTeX: each line typeset, with its verdict and, where it does not follow, the nearest right line.

    %load_ext vaelib

    %%check                  any model and any q, as `vaelib check` reads a document
    %%check F1               on the witnesses of identity F1; and whether it starts and ends as F1 does
    %%check F                on the witnesses of the first identity of chapter F
    %%check scope=mine       on a Scope, or on a witness, of your own
    %%check --let t=latent   who is who, where it cannot be seen

Nothing that is typed raises: what cannot be read is said in a sentence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from vaelib._latex import escaped
from vaelib.check import Checked, check_text, coverage, lines
from vaelib.check.report import MARKED, named
from vaelib.derivation import Derivation, Line, draw_witnesses
from vaelib.derivation.compare import RELATIONS, Verdict
from vaelib.derivation.lines import IllTyped
from vaelib.formula import Node, Scope, Unreadable, tex
from vaelib.formula.rows import rows, split
from vaelib.ledger import LEDGER
from vaelib.nearest import repairs

WITNESSES = 6
USAGE = "%%check, %%check F1, %%check F, %%check scope=NAME, or %%check --let t=latent"


@dataclass(frozen=True)
class Said:
    """What a cell shows: Markdown where there is a page, plain text elsewhere."""

    markdown: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


def load(shell: Any) -> None:
    """Makes %%check known to an IPython shell."""

    def check(line: str, cell: str) -> None:
        from IPython.display import display

        display(said(line, cell, shell.user_ns))

    check.__doc__ = __doc__
    shell.register_magic_function(check, magic_kind="cell", magic_name="check")


def said(line: str, cell: str, names: Mapping[str, Any]) -> Said:
    """What is said of a cell: the options behind %%check, what is below them, and the names of the user."""
    try:
        return _said(line.split(), cell, names)
    except (ValueError, IllTyped) as error:
        return _sentence(str(error))
    except RecursionError:
        return _sentence("Expected a formula, but got one with too many brackets inside each other.")
    except Exception as error:  # of an object of the user's, or a fault of ours
        return _sentence(f"It could not be checked ({type(error).__name__}: {error}).")


def _sentence(text: str) -> Said:
    return Said(f"```text\n{text}\n```" if "\n" in text else escaped(text), text)


def _said(words: Sequence[str], cell: str, names: Mapping[str, Any]) -> Said:
    if not cell.strip():
        raise ValueError(f"Expected LaTeX below %%check, line by line, but got nothing. It is used as {USAGE}.")
    lets = [word for option, word in pairwise(words) if option == "--let"]
    rest = [word for i, word in enumerate(words) if word != "--let" and (i == 0 or words[i - 1] != "--let")]
    if len(rest) > 1 or (rest and lets) or words[-1:] == ["--let"]:
        raise ValueError(f"Expected {USAGE}, but got {' '.join(words)!r}.")
    if not rest:
        return _document(_as_document(cell), lets)
    if rest[0].startswith("scope="):
        name = rest[0].removeprefix("scope=")
        if name not in names:
            raise ValueError(f"Expected `scope=` with a name that is defined here, but there is no {name!r}.")
        return _on_witnesses(cell, name, _drawn(names[name], name), None)
    identity = LEDGER.get(rest[0]) or next((d for d in LEDGER.values() if d.chapter == rest[0]), None)
    if identity is None:
        raise ValueError(f"Expected an identity or a chapter of the ledger, such as F1 or F, but got {rest[0]!r}.")
    return _on_witnesses(cell, identity.id, identity.draw, identity if rest[0] == identity.id else None)


def _drawn(given: Any, name: str) -> Callable[..., Any]:
    """A draw of what the user has: a Scope, a witness, or a function that draws one."""
    if isinstance(given, Scope) or hasattr(type(given), "scope"):
        return lambda rng: given
    draw = getattr(given, "draw", given)
    if callable(draw) and len(inspect.signature(draw).parameters) >= 1:
        return draw
    kind = type(given).__name__
    raise ValueError(f"Expected {name} to be a Scope, a witness or a function that draws one, but it is a {kind}.")


# ------------------------------------------------------------------------------------------------ as a document


def _as_document(cell: str) -> str:
    """A cell as Markdown: bare LaTeX is a display, and each of its rows a line."""
    if "$" in cell or r"\[" in cell or r"\begin" in cell:
        return cell
    text = cell.strip() if r"\\" in cell else "\\\\\n".join(row for row in cell.split("\n") if row.strip())
    return f"$${text}$$\n"


def _document(text: str, lets: Sequence[str]) -> Said:
    checked = check_text(text, "markdown", lets)
    plain = "\n".join([f"Read as: {checked.reading}", *lines(checked)[1:]])
    return Said("\n\n".join(_markdown(checked)), plain)


def _markdown(checked: Checked) -> list[str]:
    """Each line typeset, with its verdict behind it."""
    found: list[str] = []
    row: list[Any] = []
    for judged, after in zip(checked.lines, [*checked.lines[1:], None], strict=True):
        row.append(judged)
        if after is not None and (after.line.row, after.line.source) == (judged.line.row, judged.line.source):
            continue
        parts = split(judged.line.source)
        if len(parts) != len(row):
            parts = [judged.line.source, *[""] * (len(row) - 1)]
        found += [_marked(part, each) for part, each in zip(parts, row, strict=True)]
        row = []
    return [*found, f"{coverage(checked)} Read as: {escaped(checked.reading)}."]


def _marked(latex: str, judged: Any) -> str:
    sign, word = MARKED[judged.verdict]
    shown = f"$\\displaystyle {latex.replace('$', '').strip()}$" if latex.strip() else ""
    if judged.verdict == "does not follow":
        text = f"{shown}   **{sign} {word}**"
        if judged.values is not None:
            text += f": {judged.values[0]:.6g} there, {judged.values[1]:.6g} here"
        elif judged.says:
            text += f": {escaped(judged.says)}"
        return text + (f"\n\n> {named(judged)}: $\\displaystyle {judged.repair}$" if judged.repair else "")
    remark = f": {escaped(judged.says)}" if judged.verdict in ("cannot be read", "no meaning", "sloppy") else ""
    return f"{shown}   {sign} {word}{remark}" if word else shown


# ---------------------------------------------------------------------------------------------------- on witnesses


def _on_witnesses(cell: str, name: str, draw: Callable[..., Any], identity: Derivation | None) -> Said:
    chain = _chain(cell, name, draw)
    report = chain.check(WITNESSES)
    parts = [(report.table._repr_markdown_(), str(report.table))]
    for index in report.broken:
        right = _repaired(chain, index)
        if right is not None:
            says = f"nearest right line {index}:"
            parts.append((f"{says} $\\displaystyle = {right.latex}$", f"{says} = {right.plain}"))
    if identity is not None:
        parts += [(escaped(text), text) for text in _reached(chain, identity)]
    return Said("\n\n".join(markdown for markdown, _ in parts), "\n".join(text for _, text in parts))


def _chain(cell: str, name: str, draw: Callable[..., Any]) -> Derivation:
    found: list[Line] = []
    for number, (relation, latex) in enumerate(rows(cell)):
        if found and not relation:
            raise ValueError(f"Expected a relation such as = at the beginning of line {number}, but got {latex}.")
        if relation and relation not in RELATIONS:
            raise ValueError(f"Expected one of {', '.join(RELATIONS)} in line {number}, but got {relation}.")
        try:
            found.append(Line(tex(latex), relation=relation or "="))
        except Unreadable as error:
            raise ValueError(f"Line {number} cannot be read. {error}") from None
    if len(found) < 2:
        raise ValueError("Expected at least two lines, a start and what follows from it, but got one.")
    return Derivation("your derivation", f"on the witnesses of {name}", draw, tuple(found))


def _repaired(chain: Derivation, index: int) -> Node | None:
    line = chain.lines[index]
    if line.relation != "=":
        return None
    nodes = [each.formula.formula for each in chain.lines]  # type: ignore[union-attr]
    witnesses = draw_witnesses(chain.draw, WITNESSES, 1)
    with np.errstate(all="ignore"):
        only = repairs(nodes[index], chain.lines[index - 1].evaluate, witnesses, nodes).only
    return None if only is None else only.formula


def _reached(chain: Derivation, identity: Derivation) -> list[str]:
    """Whether the first and the last line are worth what those of an identity are, sample means left out."""
    exact = [line for line in identity.lines if line.samples is None and line.step is None]
    found = []
    for at, what in ((0, "first"), (-1, "last")):
        goal = replace(exact[at], relation="=", gap=None, equality=None)
        mine = replace(chain.lines[at], relation="=")
        same = Derivation(identity.id, what, identity.draw, (goal, mine)).check(WITNESSES).verdict is Verdict.HOLDS
        found.append(f"The {what} line is {'' if same else 'not '}that of {identity.id}.")
    return found
