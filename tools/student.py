"""Pack the course for a class, without the solutions: python tools/student.py [FILE], by default student.zip.

Two files differ from the teacher's, and are made of them: README.md is docs/student.md, and the Makefile ends before
the teacher's targets. The truths in vaelib/tasks go along, since `check` needs them. Whoever reads those files finds
the answers; the teacher's guide says so.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIVEN = (
    "vaelib/*",  # with all that is below it
    "notebooks/[0-9]*.ipynb",
    "exercises/[0-9]*.ipynb",
    "tools/install.py",
    "tools/lab.py",
    "tools/deliver.py",
    "tools/start.py",
    "tools/ways.py",
    "pyproject.toml",
    "constraints.txt",
    "environment.yml",
    "LICENSE",
    "LICENSE-TEXT",
)
END_OF_MAKEFILE = "# ---- for those who teach"


def files() -> list[str]:
    """Tracked files that students get as they are, as paths relative to the course."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if any(fnmatchcase(name, pattern) for pattern in GIVEN))


def readme() -> str:
    """The page for students, with its links as seen from the folder above."""
    return (ROOT / "docs" / "student.md").read_text(encoding="utf-8").replace("](../", "](")


def makefile() -> str:
    """The targets that a student can use."""
    head, mark, _ = (ROOT / "Makefile").read_text(encoding="utf-8").partition(END_OF_MAKEFILE)
    if not mark:
        raise ValueError(f"Expected a line {END_OF_MAKEFILE!r} in the Makefile, to cut it there, but there is none.")
    return head.rstrip().replace("docs/student.md", "README.md") + "\n"


def contents() -> dict[str, bytes]:
    """The archive: path -> content."""
    made = {"README.md": readme().encode(), "Makefile": makefile().encode()}
    return dict(sorted(({name: (ROOT / name).read_bytes() for name in files()} | made).items()))


def pack(target: Path) -> int:
    """Writes the archive; how many files it holds. Equal files make an equal archive."""
    packed = contents()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in packed.items():
            entry = zipfile.ZipInfo(f"vaelib/{name}", date_time=(2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return len(packed)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "student.zip"
    print(f"{target}: {pack(target)} files, without solutions")
