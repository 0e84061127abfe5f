"""Containers, Codespaces and Binder begin from the same files as `make lab`.

What is NOT tested: that Docker or Binder can build these. That needs their machines, and nobody has seen it. Tested is
that they name files, versions and commands that are there, and, step by step, that the commands work.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pin
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}


def instructions(text: str) -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line and line[0] != "#")]


def copied(text: str) -> list[str]:
    """What is copied into the container from the folder of the course."""
    return [name for word, rest in instructions(text) if word == "COPY" for name in rest.split()[:-1]]


def test_dockerfile_copies_what_is_there_and_what_the_installation_reads() -> None:
    names = copied(DOCKERFILE)
    assert [name for name in names if not (ROOT / name).exists()] == []
    before = DOCKERFILE.partition("RUN PIP_")[0]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = {"pyproject.toml", "constraints.txt", "tools/install.py", "vaelib"}
    needed |= set(re.findall(r'^readme = "(.+)"$', project, re.MULTILINE))
    needed |= set(json.loads(re.search(r"^license-files = (\[.*\])$", project, re.MULTILINE)[1]))  # type: ignore[index]
    assert needed <= set(copied(before))


def test_dockerfile_has_a_python_that_the_course_supports_and_starts_make_lab() -> None:
    found = dict(instructions(DOCKERFILE))
    version = re.search(r"FROM python:(\d+\.\d+)-slim AS base", DOCKERFILE)
    assert version and SpecifierSet(pin.requires_python()).contains(version[1])
    command = json.loads(found["CMD"])
    assert command[:2] == ["make", "lab"] and re.search(r"^lab:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert command[2].startswith("ARGS=") and "$(ARGS)" in (ROOT / "Makefile").read_text("utf-8")
    assert "0.0.0.0" in command[2]  # otherwise nothing outside the container reaches it


def test_what_is_not_tracked_stays_out_of_the_container() -> None:
    ignored = {line.rstrip("/") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()}
    assert {".git", ".venv", "work", "runs", "build", "instructor", "student.zip", "**/node_modules"} <= ignored
    assert not any((ROOT / name).exists() and name in copied(DOCKERFILE) for name in ignored)


def test_devcontainer_begins_with_the_same_stage_and_with_commands_that_exist() -> None:
    said = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    folder = ROOT / ".devcontainer"
    assert (folder / said["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / said["build"]["context"]).resolve() == ROOT
    assert re.search(rf"^FROM \S+ AS {said['build']['target']}$", DOCKERFILE, re.MULTILINE)
    makes, copies = (shlex.split(part) for part in said["postCreateCommand"].split("&&"))
    assert makes == ["make", ".venv/installed"] and "READY := .venv/installed\n" in (ROOT / "Makefile").read_text(
        "utf-8"
    )
    assert copies[1:] == ["tools/lab.py", "--copy-only"]
    assert said["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"].endswith("/.venv/bin/python")


def binder() -> dict[str, str]:
    read = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text(encoding="utf-8"))
    return {Requirement(line).name: str(Requirement(line).specifier) for line in read["dependencies"]}


def test_binder_has_what_a_student_needs_within_bounds_that_conda_can_meet() -> None:
    """The extra `notebooks`, since Binder brings Jupyter along; the build tool; and no exact version."""
    wanted = {"python": pin.requires_python(), "pip": ""}
    for requirement in pin.direct_requirements(("bench", "course", "mutation", "site", "test")):
        wanted[CONDA_NAMES.get(requirement.name, requirement.name)] = str(requirement.specifier)
    tools = {r.name: str(r.specifier) for r in pin.direct_requirements()}
    assert binder() == wanted | {"hatchling": tools["hatchling"]}
    assert not any("==" in specifier for specifier in binder().values())


@pytest.mark.skipif(os.name == "nt", reason="Binder runs Linux")
def test_binder_lays_out_the_copies(tmp_path: Path) -> None:
    """Its script, with a `python` that only notes what pip is asked, on a copy of the files."""
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    for name in ("notebooks", "exercises", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("source", "teach", "__pycache__"))
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "python"
    fake.write_text(f'#!/bin/sh\nif [ "$1" = -m ]; then echo "$@" > asked; else exec {sys.executable} "$@"; fi\n')
    fake.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([str(script)], cwd=tmp_path, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    assert (tmp_path / "asked").read_text().split() == "-m pip install --no-deps --no-build-isolation -e .".split()
    assert (tmp_path / "work" / "START.ipynb").exists()
    assert (tmp_path / "work" / "notebooks" / "05_elbo.ipynb").exists()
