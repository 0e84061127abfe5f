"""The three places that state versions say the same: pyproject.toml, constraints.txt and environment.yml.

pyproject.toml holds lower bounds, constraints.txt the exact versions that the course is tested with. environment.yml
is for students with conda: exact where a computed number may depend on the version, lower bounds for the rest, which
conda-forge often gets later, and no test tools. What is tested: that the files agree, that they are complete, and
that the course's own .venv holds these versions. What is NOT tested: that conda can solve environment.yml. That needs
conda-forge itself, and nobody has run it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import pin
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}  # others have the same name on conda-forge
ONLY_CONDA = {"python", "pip"}
EXACT = {"numpy", "scipy", "torch", "mpmath", "sympy"}  # what computes: the same in conda as in constraints.txt


@dataclass(frozen=True)
class Versions:
    """What the three files say, each as name -> specifier as written, such as `>=2.0` or `==2.4.6`.

    `test` are the names in pyproject.toml that only the tests, the site and the mutations need.
    """

    pyproject: dict[str, str]
    constraints: dict[str, str]
    environment: dict[str, str]
    python: str
    test: frozenset[str]


def parse(lines: list[str]) -> dict[str, str]:
    """Requirements, one a line; a name that comes twice is an error, since one of the two would be ignored."""
    requirements = [Requirement(line) for line in lines]
    parsed = {canonicalize_name(requirement.name): str(requirement.specifier) for requirement in requirements}
    if len(parsed) != len(requirements):
        raise ValueError(
            f"Expected every name once, but got {sorted(canonicalize_name(r.name) for r in requirements)}."
        )
    return parsed


def read_constraints(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines()]
    return parse([line for line in lines if line and not line.startswith("#")])


def read_environment(text: str) -> dict[str, str]:
    return parse([entry for entry in yaml.safe_load(text)["dependencies"] if isinstance(entry, str)])


def read_versions() -> Versions:
    direct = {canonicalize_name(r.name): str(r.specifier) for r in pin.direct_requirements()}
    course = {canonicalize_name(r.name) for r in pin.direct_requirements(("bench", "mutation", "site", "test"))}
    return Versions(
        pyproject=direct,
        constraints=read_constraints((ROOT / "constraints.txt").read_text(encoding="utf-8")),
        environment=read_environment((ROOT / "environment.yml").read_text(encoding="utf-8")),
        python=pin.requires_python(),
        test=frozenset(set(direct) - course),
    )


def is_exact(specifier: str) -> bool:
    return specifier.startswith("==") and "," not in specifier and "+" not in specifier and "*" not in specifier


def disagreements(versions: Versions) -> list[str]:
    """Every way in which the three files do not say the same."""
    found = []
    for name, specifier in versions.pyproject.items():
        if not specifier.startswith(">=") or "," in specifier:
            found.append(f"pyproject.toml: {name}{specifier} is not a lower bound alone")
    for name, specifier in versions.constraints.items():
        if not is_exact(specifier):
            found.append(f"constraints.txt: {name}{specifier} is not an exact version that every platform has")
        if name.startswith(("nvidia-", "triton")):
            found.append(f"constraints.txt: {name} exists on some platforms only")
    if list(versions.constraints) != sorted(versions.constraints):
        found.append("constraints.txt: the names are not sorted")

    for name, bound in versions.pyproject.items():
        conda_name = CONDA_NAMES.get(name, name)
        pinned, in_conda = versions.constraints.get(name), versions.environment.get(conda_name)
        if pinned is None:
            found.append(f"constraints.txt: {name} is missing")
        elif not Requirement(name + bound).specifier.contains(pinned.removeprefix("=="), prereleases=True):
            found.append(f"constraints.txt: {name}{pinned} does not satisfy {bound} in pyproject.toml")
        if name in versions.test:
            if in_conda is not None:
                found.append(f"environment.yml: {conda_name} is a tool of the tests or the site, not for students")
        elif in_conda is None:
            found.append(f"environment.yml: {conda_name} is missing")
        elif name in EXACT and in_conda != pinned:
            found.append(f"environment.yml: {conda_name}{in_conda}, but constraints.txt: {name}{pinned}")
        elif name not in EXACT and in_conda != bound:
            found.append(f"environment.yml: {conda_name}{in_conda}, but pyproject.toml: {name}{bound}")

    expected = {CONDA_NAMES.get(name, name) for name in versions.pyproject} | ONLY_CONDA
    for name in sorted(set(versions.environment) - expected):
        found.append(f"environment.yml: {name} is not a dependency in pyproject.toml")
    if versions.environment.get("python") != versions.python:
        found.append(f"environment.yml: python{versions.environment.get('python')}, pyproject.toml: {versions.python}")
    return found


def test_three_files_agree() -> None:
    assert disagreements(read_versions()) == []


@pytest.mark.parametrize(
    ("file", "name", "specifier", "message"),
    [
        ("pyproject", "numpy", "==2.4.6", "numpy==2.4.6 is not a lower bound alone"),
        ("pyproject", "numpy", ">=2.0,<3", "numpy>=2.0,<3 is not a lower bound alone"),
        ("pyproject", "numpy", "", "numpy is not a lower bound alone"),
        ("pyproject", "scipy", ">=99", "does not satisfy >=99"),
        ("pyproject", "soupsieve", ">=1.0", "environment.yml: soupsieve is missing"),
        ("pyproject", "unheard-of", ">=1.0", "constraints.txt: unheard-of is missing"),
        ("constraints", "numpy", ">=2.4.6", "numpy>=2.4.6 is not an exact version"),
        ("constraints", "numpy", "==2.4.*", "numpy==2.4.* is not an exact version"),
        ("constraints", "torch", "==2.13.0+cpu", "torch==2.13.0+cpu is not an exact version"),
        ("constraints", "numpy", "==1.26.4", "numpy==1.26.4 does not satisfy >=2.0"),
        ("constraints", "numpy", "==2.4.7", "environment.yml: numpy==2.4.6, but constraints.txt: numpy==2.4.7"),
        ("constraints", "typer", None, "constraints.txt: typer is missing"),
        ("constraints", "nvidia-cublas", "==1.0", "nvidia-cublas exists on some platforms only"),
        ("constraints", "aaa", "==1.0", "the names are not sorted"),
        ("environment", "pytorch-cpu", "==2.12.0", "pytorch-cpu==2.12.0, but constraints.txt: torch==2.13.0"),
        ("environment", "pytorch-cpu", None, "environment.yml: pytorch-cpu is missing"),
        ("environment", "numpy", ">=2.4.6", "environment.yml: numpy>=2.4.6, but"),
        ("environment", "rich", "==15.0.0", "environment.yml: rich==15.0.0, but pyproject.toml: rich>=13"),
        ("environment", "rich", None, "environment.yml: rich is missing"),
        ("environment", "mypy", ">=1.11", "environment.yml: mypy is a tool of the tests or the site"),
        ("environment", "sphinx", ">=8.2", "environment.yml: sphinx is a tool of the tests or the site"),
        ("constraints", "sphinx", None, "constraints.txt: sphinx is missing"),
        ("environment", "tensorflow", "==2.0", "tensorflow is not a dependency"),
        ("environment", "python", ">=3.10", "environment.yml: python>=3.10, pyproject.toml: >=3.11"),
    ],
)
def test_disagreement_is_found(file: str, name: str, specifier: str | None, message: str) -> None:
    versions = read_versions()
    altered = {**getattr(versions, file), name: specifier}
    altered = {key: value for key, value in altered.items() if value is not None}
    found = disagreements(replace(versions, **{file: altered}))
    assert any(message in sentence for sentence in found), found


def test_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="every name once"):
        read_constraints("numpy==2.4.6\nNumPy==2.4.5\n")


def test_environment_installs_the_package_itself() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"]
    assert {"pip": ["-e ."]} in environment["dependencies"]


def differences(versions: dict[str, str], constraints: dict[str, str]) -> list[str]:
    """Where what is installed is not what constraints.txt says."""
    found = []
    for name, version in versions.items():
        if name not in constraints:
            found.append(f"{name}=={version} is installed for the course, but has no line in constraints.txt")
        elif constraints[name] != f"=={version}":
            found.append(f"{name}=={version} is installed, but constraints.txt says {constraints[name]}")
    return found


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not the environment that `make` builds")
def test_installed_versions_are_the_constraints() -> None:
    """Every package that the course brings in, direct or not, is pinned, and installed in that version."""
    course = pin.direct_requirements(("bench", "mutation", "site"))  # `site` is installed by those who build the site
    installed = pin.closure(course)
    assert len(installed) > len(course)
    assert differences(installed, read_versions().constraints) == []


def test_difference_to_installed_version_is_found() -> None:
    assert differences({"numpy": "2.4.6"}, {"numpy": "==2.4.6"}) == []
    assert "has no line" in differences({"numpy": "2.4.6"}, {})[0]
    assert "constraints.txt says ==2.4.5" in differences({"numpy": "2.4.6"}, {"numpy": "==2.4.5"})[0]


SUPPORTED = ("3.11.0", "3.11.9", "3.12.0", "3.13.0")


def shut_out(requires_python: dict[str, str]) -> list[str]:
    """The supported Pythons on which a pinned package does not install."""
    return [
        f"{name} requires Python {specifier}, which shuts out {python}"
        for name, specifier in requires_python.items()
        for python in SUPPORTED
        if not SpecifierSet(specifier).contains(python)
    ]


def test_every_pin_installs_on_every_supported_python() -> None:
    names = pin.closure(pin.direct_requirements(("bench", "mutation", "site")))
    assert shut_out({name: metadata.metadata(name)["Requires-Python"] or "" for name in names}) == []


def test_shut_out_python_is_found() -> None:
    assert shut_out({"a": ">=3.9", "b": ""}) == []
    assert shut_out({"a": ">=3.11.5"}) == ["a requires Python >=3.11.5, which shuts out 3.11.0"]
    assert shut_out({"a": ">=3.9,<3.13"}) == ["a requires Python >=3.9,<3.13, which shuts out 3.13.0"]


def test_closure_reaches_what_only_a_dependency_needs() -> None:
    installed = pin.closure([Requirement("matplotlib")])
    assert {"matplotlib", "numpy", "pillow"} <= set(installed)
    assert "torch" not in installed
    with pytest.raises(metadata.PackageNotFoundError):
        pin.closure([Requirement("unheard-of")])
