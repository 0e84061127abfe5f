"""The archive for a class: everything a student needs, no solution, and a README whose every line works there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import beginner
import nbformat
import pytest
import student
from forms import some

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the course's git repository"),
    pytest.mark.skipif(os.name == "nt", reason="types what is typed on Linux and macOS"),
]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `vaelib` that a student has after unpacking, in a folder with a space."""
    folder = tmp_path_factory.mktemp("a student's folder")
    student.pack(folder / "student.zip")
    with zipfile.ZipFile(folder / "student.zip") as archive:
        archive.extractall(folder)
    return folder / "vaelib"


@pytest.fixture(scope="module")
def readme(unpacked: Path) -> str:
    return (unpacked / "README.md").read_text(encoding="utf-8")


def commands(readme: str) -> list[str]:
    """The lines in the README's console blocks: what is typed, one command a line."""
    blocks = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_archive_holds_the_course_without_solutions(unpacked: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert len(names) == len(student.contents()) > 100
    assert {
        "README.md",
        "Makefile",
        "vaelib/exercise.py",
        "notebooks/05_elbo.ipynb",
        "exercises/05_elbo.ipynb",
    } <= names
    text = b"".join((unpacked / name).read_bytes() for name in names if name.endswith((".py", ".ipynb")))
    assert b"### BEGIN SOLUTION\n" not in text


def test_archive_holds_nothing_of_the_teacher_s(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir()}
    assert top == {
        *("vaelib", "notebooks", "exercises", "tools"),
        *("README.md", "Makefile", "pyproject.toml", "constraints.txt", "environment.yml", "LICENSE", "LICENSE-TEXT"),
    }
    assert {path.name for path in (unpacked / "tools").iterdir()} == {
        *("install.py", "lab.py", "deliver.py", "start.py", "ways.py"),
    }
    for folder in ("notebooks", "exercises"):
        assert {path.name[2:3] + path.suffix for path in (unpacked / folder).rglob("*")} == {"_.ipynb"}, folder


def test_equal_files_make_an_equal_archive(tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    student.pack(first)
    student.pack(second)
    assert first.read_bytes() == second.read_bytes()


def test_makefile_without_its_mark_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student, "END_OF_MAKEFILE", "# ---- nowhere")
    with pytest.raises(ValueError, match="Expected a line '# ---- nowhere' in the Makefile"):
        student.makefile()


def test_every_link_leads_to_a_file_that_is_there(unpacked: Path, readme: str) -> None:
    texts = {unpacked / "README.md": readme}
    for path in unpacked.glob("*/[0-9]*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts[path] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    plain = {path: re.sub(r"\$[^$]*\$", "", text) for path, text in texts.items()}  # a formula may look like a link
    links = [(path, link) for path, text in plain.items() for link in re.findall(r"\]\(([^)#\s]+)\)", text)]
    assert len(links) > 28
    dead = [
        (path.name, link)
        for path, link in links
        if not link.startswith(("http", "attachment:")) and not (path.parent / link).exists()
    ]
    assert not dead


def test_every_target_of_the_makefile_is_there_and_no_other_is_named(unpacked: Path, readme: str) -> None:
    """Each target is asked for with `make -n`, which says what it would type; the scripts in it must exist."""
    makefile = (unpacked / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert targets == {"help", "lab", "course"}
    assert set(re.findall(r"\bmake ([a-z]+)\b(?= |`|$)", readme + makefile)) & {"test", "student", "bench"} == set()
    told = subprocess.run(
        ["make", "--no-print-directory"], cwd=unpacked, check=True, capture_output=True, text=True
    ).stdout
    assert [line.split()[1] for line in told.splitlines()] == ["lab", "course"]
    for target in targets:
        dry = subprocess.run(["make", "-n", target], cwd=unpacked, check=True, capture_output=True, text=True).stdout
        assert all((unpacked / script).exists() for script in re.findall(r"tools/\w+\.py", dry))


def test_every_command_of_the_readme_is_one_that_was_tried(readme: str) -> None:
    """Lines for Windows say the same as those for Linux, and each of these is run by a test below."""
    typed = commands(readme)
    windows = [line for line in typed if "\\" in line or line.startswith("py ")]
    as_on_linux = [line.replace(".venv\\Scripts\\", ".venv/bin/").replace("\\", "/") for line in windows]
    as_on_linux = [line.replace("py -3 ", "python3 ") for line in as_on_linux]
    assert as_on_linux == BY_HAND
    conda = ["conda env create -f environment.yml", "conda activate vaelib", "python tools/lab.py"]
    assert [line for line in typed if line not in windows] == ["make lab", *BY_HAND, *conda, "make course"]


BY_HAND = [
    "python3 -m venv .venv",
    '.venv/bin/python -m pip install -c constraints.txt -e ".[course]"',
    ".venv/bin/python tools/lab.py",
]


@pytest.mark.slow
def test_installation_by_hand_works_and_make_does_not_repeat_it(unpacked: Path) -> None:
    """As in the README, with the packages of this environment in place of the network; then `make`."""
    where = {"cwd": unpacked, "env": beginner.environment(), "capture_output": True, "text": True}

    def type_in(command: str) -> str:
        done = subprocess.run(shlex.split(command), **where)  # type: ignore[call-overload]
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return str(done.stdout)

    make, install, open_lab = BY_HAND
    type_in(make.replace("python3", shlex.quote(sys.executable), 1))
    beginner.lend_packages(unpacked / ".venv")
    type_in(install)
    where_from = type_in('.venv/bin/python -c "import vaelib; print(vaelib.__file__)"').strip()
    assert Path(where_from).samefile(unpacked / "vaelib" / "__init__.py")
    assert "31 files copied into work/" in type_in(open_lab + " --copy-only")
    told = type_in(f"make lab ARGS=--copy-only PYTHON={shlex.quote(sys.executable)}")
    assert "The course is installed in .venv already" in told and "every copy is up to date" in told
    assert "Usage:" in type_in(".venv/bin/python -m vaelib.cli.course --help")
    assert "-m vaelib.cli.course" in type_in("make -n course")

    (unpacked / ".venv" / "installed").unlink()
    constraints = unpacked / "constraints.txt"
    constraints.write_text(re.sub(r"(?m)^rich==.*$", "rich==99.0", constraints.read_text()), encoding="utf-8")
    failed = subprocess.run(["make", "lab", f"PYTHON={sys.executable}"], **where)  # type: ignore[call-overload]
    assert failed.returncode != 0 and "Installing the course" in failed.stdout  # another version is another matter


@pytest.mark.slow
@pytest.mark.parametrize("given", some(["student.zip", "vaelib"], every=2))
def test_colab_cell_installs_from_a_folder_or_from_the_zip_and_may_run_twice(
    given: str, unpacked: Path, readme: str, tmp_path: Path
) -> None:
    """The cell, in IPython as on Colab, with a stand-in for Drive and the packages of this environment."""
    (cell,) = re.findall(r"```python\n(.*?google\.colab.*?)```", readme, re.DOTALL)
    drive = tmp_path / "content" / "drive" / "MyDrive"
    stand_in = tmp_path / "google" / "colab"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").write_text("class drive:\n    mount = staticmethod(print)\n", encoding="utf-8")
    cell = cell.replace("/content/drive/MyDrive", str(drive))
    script = tmp_path / "colab.py"
    script.write_text(
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        f"shell = InteractiveShell.instance()\nshell.run_cell({cell!r}).raise_error()\n"
        "shell.run_cell('import vaelib, sympy; print(\"here:\", vaelib.__file__)').raise_error()\n",
        encoding="utf-8",
    )
    drive.mkdir(parents=True)
    (drive / given).symlink_to(unpacked.parent / given)
    python = beginner.create_venv(tmp_path / "venv with a space")
    env = beginner.environment() | {"PYTHONPATH": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    for _ in range(2):
        done = subprocess.run([python, script], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"here: {python.parent.parent}" in done.stdout, done.stdout  # installed, not found by chance
    (drive / given).unlink()
    empty = subprocess.run([python, script], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert empty.returncode != 0 and "Upload the folder vaelib, or student.zip" in empty.stdout + empty.stderr
