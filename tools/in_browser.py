"""What the browser needs to check a derivation, as one archive: the checker, and the pure Python that it imports.

NumPy and SciPy are not in it: Pyodide brings its own builds.
"""

from __future__ import annotations

import zipfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORTED = ("latex2mathml", "markdown-it-py", "mdit-py-plugins", "mdurl")
LEFT_OUT = ("cli", "grade", "tasks", "train")  # not needed there; the truths of the exercises stay at home


def contents() -> dict[str, Path]:
    """Place in the archive -> file here. Licences of the packages go along, with their metadata."""
    found = {}
    for path in sorted((ROOT / "vaelib").rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and "__pycache__" not in parts and parts[1] not in LEFT_OUT:
            found["/".join(parts)] = path
    for name in IMPORTED:
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                found[file.as_posix()] = Path(str(file.locate()))
    return found


def pack(target: Path) -> int:
    """Writes the archive; its size in bytes. Equal files make an equal archive."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(contents().items()):
            entry = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return target.stat().st_size
