"""Pack the course for a class, without the solutions: python tools/student.py [FILE], by default student.zip.

What git tracks goes in, except what would give an answer away: exercises/source, the truths in vaelib/tasks stay, since
`check` needs them. Whoever reads those files finds the answers; the teacher's guide says so.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("exercises/source/", "tests/", "benchmarks/", ".ci/", "notebooks/teach/")


def files() -> list[str]:
    """Tracked files that students get, as paths relative to the course."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and not name.startswith(LEFT_OUT))


def pack(target: Path) -> int:
    """Writes the archive; how many files it holds. Equal files make an equal archive."""
    names = files()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(f"vaelib/{name}", date_time=(2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (ROOT / name).read_bytes())
    return len(names)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "student.zip"
    print(f"{target}: {pack(target)} files, without solutions")
