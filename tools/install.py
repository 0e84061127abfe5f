"""Make .venv and install the course into it, with the versions of constraints.txt. `make` runs it; it is safe to rerun.

    python3 tools/install.py [EXTRAS], by default `course`; for the tests `course,test`

An installation made by hand, with pip, is found and left as it is.

Only the standard library is used, and nothing that an older Python could not parse, so that it can say what is missing.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOG = VENV / "install.log"
UNFINISHED = VENV / "unfinished"  # there while pip works: a package cut short can look installed and be half there
RECENT_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
CHECK = "--check"  # so called by the Python of .venv: is all there?
STEPS_TO_SHOW = ("Collecting ", "Downloading ", "Installing ")


def runs(python: object, code: str) -> bool:
    """Whether this interpreter exists and runs the code to its end."""
    try:
        return subprocess.call([str(python), "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def refuse_old_python() -> None:
    found = ".".join(str(part) for part in sys.version_info[:3])
    names = [name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)]
    better = [name for name in names if runs(name, RECENT_ENOUGH)]
    advice = f"You have {better[0]}: add PYTHON={better[0]} to the command." if better else "Install a newer one."
    sys.exit(f"Expected Python >= 3.11, but {sys.executable} is {found}. {advice}")


def unmet(wanted: str) -> list[str]:
    """Requirements of these extras that this Python lacks, or has in another version than constraints.txt names."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(re.findall(r"^([^#=]+)==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    lines, extras = list(project["dependencies"]), wanted.split(",")
    for extra in extras:  # an extra that needs another one brings that one along
        for line in project["optional-dependencies"][extra]:
            base = re.fullmatch(project["name"] + r"\[(.+)\]", line)
            extras += base[1].split(",") if base else []
            lines += [] if base else [line]
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in lines}
    return [name for name in sorted(names) if installed(name).partition("+")[0] != pins.get(name)]


def installed(name: str) -> str:
    """The version of a package, empty where it is missing."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def is_complete(extras: str) -> bool:
    """Whether .venv holds all of it already, this folder's package too, as after an installation by hand."""
    found = "import vaelib; print(vaelib.__file__)"
    calls = [[str(VENV_PYTHON), __file__, extras, CHECK], [str(VENV_PYTHON), "-c", found]]
    try:
        checked, told = (subprocess.run(call, cwd=VENV, capture_output=True, text=True) for call in calls)
    except OSError:
        return False
    return not checked.returncode and not told.returncode and Path(told.stdout.strip()).parent.parent.samefile(ROOT)


def create_venv() -> None:
    """A fresh .venv; what is left of a broken one goes."""
    print(f"Creating .venv with Python {sys.version.split()[0]}", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(f"{made.stdout}{made.stderr}\nCould not create .venv: the lines above say why.")


def pip(*arguments: str) -> None:
    """Run pip inside .venv: everything into the log, on a terminal its current step as one line that rewrites itself.

    Raises:
        SystemExit: pip failed; the end of the log is shown.
    """
    width = shutil.get_terminal_size().columns - 1
    live = sys.stdout.isatty()
    command = [str(VENV_PYTHON), "-m", "pip", "install", "-c", "constraints.txt", *arguments]
    with LOG.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        )
        for line in process.stdout or ():
            log.write(line)
            step = line.strip()
            if live and step.startswith(STEPS_TO_SHOW):
                print("\r" + step[:width].ljust(width), end="", flush=True)
    if live:
        print("\r" + " " * width + "\r", end="", flush=True)
    if process.wait():
        tail = "\n".join(LOG.read_text(encoding="utf-8").splitlines()[-15:])
        sys.exit(
            f"{tail}\n\npip stopped: the lines above say why (all of them: .venv/{LOG.name}). The usual causes are no "
            "network connection and a full disk. Then run the same command again."
        )


def main(extras: str) -> None:
    started = time.monotonic()
    if not UNFINISHED.exists() and is_complete(extras):
        print("The course is installed in .venv already", flush=True)
        return
    if UNFINISHED.exists() or not runs(VENV_PYTHON, "import pip; " + RECENT_ENOUGH):
        create_venv()
    UNFINISHED.touch()
    LOG.unlink(missing_ok=True)
    print("Installing the course into .venv: a few minutes the first time, about 1.5 GB", flush=True)
    pip("hatchling")  # the build tool, pinned like the rest; an isolated build would take the newest
    pip("--no-build-isolation", "-e", f".[{extras}]")
    UNFINISHED.unlink()
    print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older Python is to read a sentence
        refuse_old_python()
    extras = next((argument for argument in sys.argv[1:] if argument != CHECK), "course")
    if CHECK in sys.argv:
        sys.exit(bool(unmet(extras)))
    os.environ.pop("PIP_USER", None)  # it would make pip refuse to install into .venv
    try:
        main(extras)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing usable was left behind. Run the same command again.")
