"""How often each fault is refused or survived as it should be: the table of `tests/mishaps.py`, in larger numbers.

    python benchmarks/faults.py
    python benchmarks/faults.py --times 5 --only "full disk,labels as data"

A run that was killed, interrupted or out of disk goes on, and counts only if its checkpoint and metrics are those of an
uninterrupted run bit for bit. The exit status is 0 only if all went as it should.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import _record

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import mishaps

TIMES = 200  # of each fault, but for these, which take longer
FEWER = {
    "killed at a random moment": 100,
    "killed while saving": 100,
    "the command killed": 10,
    "the command interrupted": 5,
    "interrupted or terminated": 50,
    "streamed run killed": 60,
    "streamed run interrupted": 40,
    "one of two processes killed": 40,
    "two processes interrupted": 40,
    "two that stream: one killed": 20,
    "full disk": 50,
    "other number of threads": 20,
}


def main() -> None:
    parser = _record.parser(__doc__)
    parser.add_argument("--times", type=int, help=f"of each fault; else {TIMES}, or fewer where one takes long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(mishaps.FAULTS), help="names, with commas between")
    asked = parser.parse_args()
    names = asked.only.split(",")
    if unknown := [name for name in names if name not in mishaps.FAULTS]:
        parser.error(f"no fault is called {unknown[0]!r}; there are: {', '.join(mishaps.FAULTS)}")
    rows = []
    print(f"{'fault':<34}{'should be':<11}{'times':>6}{'as it should':>14}{'seconds':>9}")
    for name in names:
        row = mishaps.inject(name, asked.times or FEWER.get(name, TIMES), asked.seed, apart=True)
        said = row.pop("said")
        rows.append(row)
        print(f"{name:<34}{row['wanted']:<11}{row['times']:>6}{row['as_wanted']:>14}{row['seconds']:>9.1f}", flush=True)
        if row["complaints"]:
            print(*row["complaints"], said, sep="\n", file=sys.stderr)
        _record.record("faults", rows, asked.record, seed=asked.seed, platform=platform.platform())
    sys.exit(any(row["as_wanted"] < row["times"] for row in rows))


if __name__ == "__main__":
    main()
