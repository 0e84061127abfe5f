"""Every formula of the course, in notebooks, session plans and ledger, is one that KaTeX can typeset (so can MathJax).

KaTeX comes from npm: `npm ci --prefix tests/browser`, which continuous integration does.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_latex import LEDGER

from vaelib._latex import for_table

ROOT = Path(__file__).resolve().parent.parent
BROWSER = ROOT / "tests" / "browser"
MATH = re.compile(r"(?<!\\)\$\$(?P<display>.+?)\$\$|(?<!\\)\$(?P<inline>(?:[^$\n]|\n(?!\n))+?)(?<!\\)\$", re.DOTALL)
needs_katex = pytest.mark.skipif(
    shutil.which("node") is None or not (BROWSER / "node_modules" / "katex").exists(),
    reason="needs Node.js and `npm ci --prefix tests/browser`",
)


def formulas_in(text: str) -> Iterator[tuple[str, bool]]:
    """(LaTeX, stands on lines of its own) of each formula in Markdown; code is left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    for found in MATH.finditer(text):
        yield (found["display"] or found["inline"]), found["display"] is not None


def formulas() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")) + sorted((ROOT / "exercises").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            texts = [cell.source] if cell.cell_type == "markdown" else []
            texts += [output.data.get("text/markdown", "") for output in cell.get("outputs", []) if "data" in output]
            for text in texts:
                for latex, display in formulas_in(text):
                    yield {"where": f"{path.name}, cell {cell.id}", "latex": latex, "display": display}
    for path in [*sorted((ROOT / "notebooks" / "teach").glob("*.md")), ROOT / "README.md"]:
        for latex, display in formulas_in(path.read_text(encoding="utf-8")):
            yield {"where": path.name, "latex": latex, "display": display}
    for derivation in LEDGER:
        for item in (*derivation.lines, *derivation.slips):
            if item.latex:
                latex = for_table(item.latex).strip("$")
                yield {"where": f"{derivation.id}, {item!r}", "latex": latex, "display": False}


def refused_by_katex(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    command = ["node", str(BROWSER / "katex.mjs")]
    done = subprocess.run(command, input=json.dumps(found), capture_output=True, text=True, check=True)
    result: list[dict[str, Any]] = json.loads(done.stdout)
    return result


@needs_katex
def test_every_formula_is_typeset_by_katex() -> None:
    found = list(formulas())
    assert len(found) > 1000
    refused = refused_by_katex(found)
    assert not refused, "\n".join(f"{f['where']}: {f['latex']}: {f['error']}" for f in refused[:20])


@needs_katex
def test_katex_refuses_what_it_does_not_know() -> None:
    bad = [r"\frac{a}", r"\unknowncommand", r"\left( x", "x_1_2"]
    found = [{"where": "here", "latex": latex, "display": False} for latex in [*bad, r"\frac{a}{b}"]]
    assert [f["latex"] for f in refused_by_katex(found)] == bad


def test_formulas_are_found_in_markdown() -> None:
    text = "Costs 5\\$ and $a$, `$not$`\n$$b\n= c$$ then $d\n+ e$.\n```\n$no$\n```"
    assert list(formulas_in(text)) == [("a", False), ("b\n= c", True), ("d\n+ e", False)]
