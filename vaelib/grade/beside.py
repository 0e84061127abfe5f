"""What lay beside a notebook, helpers and data, copied for it: from its student's folder alone, and bounded."""

from __future__ import annotations

from pathlib import Path

from vaelib.grade.names import by_platform
from vaelib.grade.tree import File, Tree, below
from vaelib.grade.whose import Owner

FILES = 200  # that are copied for one notebook
BYTES = 20 << 20


def beside(notebook: File, owner: Owner, entries: Tree, copies: Path) -> tuple[Path | None, list[str]]:
    """A copy of what lay beside a notebook, as a new folder in `copies`; None if nothing did; and what was left out.

    Notebooks are left out, and so is all that is called vaelib: a copy of the package would come before the real one.
    """
    folder = notebook.parts[:-1]
    if owner.person.canvas and owner.home is None:
        return _copied(_same_upload(notebook, owner, entries), copies)
    if owner.home is None or not below(folder, owner.home):
        return None, []
    chosen = [
        (file, file.parts[len(folder) :])
        for file in entries.files
        if file != notebook and below(file.parts[:-1], folder) and len(file.parts) > len(folder)
    ]
    return _copied(chosen, copies)


def _same_upload(notebook: File, owner: Owner, entries: Tree) -> list[tuple[File, tuple[str, ...]]]:
    """In Canvas' flat folder: the files of the same student, under the names that they had."""
    return [
        (file, (named.rest,))
        for file in entries.files
        if file.parts[:-1] == notebook.parts[:-1]
        and file != notebook
        and (named := by_platform(file.parts[-1])) is not None
        and named.person == owner.person
    ]


def _copied(chosen: list[tuple[File, tuple[str, ...]]], copies: Path) -> tuple[Path | None, list[str]]:
    room, notes = BYTES, []
    target = copies / str(len(list(copies.iterdir())))
    count = 0
    for file, parts in chosen:
        if ".ipynb" in parts[-1].lower() or "vaelib" in {part.lower().removesuffix(".py") for part in parts}:
            continue
        if count >= FILES or file.size > room:
            notes.append(
                f"{'/'.join(parts)} lay beside the notebook and was not copied: at most {FILES} files and"
                f" {BYTES >> 20} MiB are copied for one notebook."
            )
            continue
        try:
            content = file.read()
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            notes.append(f"{'/'.join(parts)[:80]} lay beside the notebook and could not be copied: {error.strerror}.")
            continue
        room -= len(content)
        count += 1
    if len(notes) > 3:
        notes = [*notes[:3], f"{len(notes) - 3} more files beside the notebook were not copied."]
    return (target if count else None), notes
