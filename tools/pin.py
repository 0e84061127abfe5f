"""Write constraints.txt: one exact version for everything that installing the course brings in.

Run it in an environment that holds the versions wanted (CONTRIBUTING.md says how to get one):

    .venv/bin/python tools/pin.py

It walks from the direct dependencies in pyproject.toml through the metadata of what is installed. What pip would not
bring in is left out, and so are the packages that only another platform needs (colorama, appnope, pywinpty).
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The exact versions that the course is tested with. Written by tools/pin.py; do not edit by hand.
# For pip: `pip install -c constraints.txt ...`. For conda, environment.yml names the same versions.
"""


def read_project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def requires_python() -> str:
    """The lower bound on Python, such as `>=3.11`."""
    return str(read_project()["requires-python"])


def direct_requirements(left_out: Collection[str] = ("bench",)) -> list[Requirement]:
    """The dependencies named in pyproject.toml, base and extras, without the package itself.

    Args:
        left_out: extras that do not count; `bench` holds what the benchmarks compare with, which no pin is for.
    """
    project = read_project()
    extras = [lines for name, lines in project["optional-dependencies"].items() if name not in left_out]
    requirements = [Requirement(line) for group in (project["dependencies"], *extras) for line in group]
    return [requirement for requirement in requirements if requirement.name != project["name"]]


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Everything the requirements bring in here, name -> installed version, without local labels such as `+cpu`.

    Raises:
        importlib.metadata.PackageNotFoundError: something needed is not installed.
    """
    versions: dict[str, str] = {}
    visited: set[tuple[str, str]] = set()
    pending = list(requirements)
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) in visited:
                continue
            visited.add((name, extra))
            distribution = metadata.distribution(name)
            versions[name] = distribution.version.partition("+")[0]
            needed = [Requirement(line) for line in distribution.requires or []]
            pending += [r for r in needed if r.marker is None or r.marker.evaluate({"extra": extra})]
    return versions


def main() -> None:
    versions = closure(direct_requirements())
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"constraints.txt: {len(lines)} exact versions")


if __name__ == "__main__":
    main()
