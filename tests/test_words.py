"""Words that make a sentence hard to read, in all that people read: notebooks, README, docstrings, comments, errors."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent

# pattern: what to write instead
INSTEAD = {
    r"\banew\b": "again, a second time, a new one",
    r"(?<!there )\b(?:is|are|was) no (?!longer|more than|larger|smaller|less|better|worse|doubt)": "is not a ...",
    r"[,;] else (?!where)": "otherwise",
    r"\bexchanged?\b": "swapped",
    r"\bof (?:its|their|his|her) own\b": "its own ..., a separate ...",
    r"\b(?:stands?|stood)\b(?! for\b| in for\b| out\b| alone\b| ready\b)(?! up\b)": "is, is written, belongs",
}
FORBIDDEN = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in INSTEAD.items()}
# Part of a line: there the word is right.
ALLOWED = (
    "causes are no ",  # no network, no space
    "own error",  # a statement of its own error
    "what may stand there",  # the question of a notebook
)


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of what a person reads in a file: of Python, its strings and comments."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        for number, cell in enumerate(nbformat.reads(source, as_version=4).cells):
            lines = cell.source.splitlines()
            yield from ((number, line if cell.cell_type == "markdown" else line.partition("#")[2]) for line in lines)
    elif path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT) or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
                for offset, line in enumerate(token.string.splitlines()):
                    yield token.start[0] + offset, line
    else:
        yield from enumerate(source.splitlines(), start=1)


def found_in(path: Path) -> list[str]:
    return [
        f"{path.name}:{number}: {hit[0]!r} in {text.strip()[:100]!r}; better: {instead}"
        for number, text in words_of(path)
        for pattern, instead in FORBIDDEN.items()
        for hit in pattern.finditer(text)
        if not any(allowed in text for allowed in ALLOWED)
    ]


def read_by_people() -> list[Path]:
    patterns = ("*.md", "docs/*.md", "notebooks/*.ipynb", "notebooks/teach/*.md", "vaelib/**/*.py", "tools/*.py")
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", read_by_people(), ids=name)
def test_file_is_written_in_plain_words(path: Path) -> None:
    assert found_in(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "The file is written anew.",
        "It is no density.",
        "The first, else the second.",
        "Are the two exchanged?",
        "A process of its own.",
        "What stands there?",
    ],
)
def test_hard_words_are_found_wherever_people_read_them(text: str, tmp_path: Path) -> None:
    files = {
        "a.md": text,
        "b.py": f'def f():\n    """{text}"""',
        "c.py": f"x = 1  # {text}",
        "d.py": f'raise ValueError(f"{text}")',
    }
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell(f"x = 1  # {text}")]
    files["e.ipynb"] = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    for name, content in files.items():
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        assert len(found_in(path)) == (2 if name.endswith("ipynb") else 1), name


@pytest.mark.parametrize(
    "text",
    [
        "There is no network.",
        "It is no longer there.",
        "What z stands for.",
        "A statement of its own error.",
        "Or else.",
    ],
)
def test_plain_sentences_pass(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(text, encoding="utf-8")
    assert found_in(path) == []


def test_code_is_not_taken_for_words(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = (1, 2) if anew else (stands, 3), exchanged\n", encoding="utf-8")
    assert found_in(path) == []
