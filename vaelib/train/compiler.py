"""What `torch.compile` needs on this machine, asked in a moment; a compilation that fails takes a minute to say so."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from vaelib._spoken import option
from vaelib.train.config import RunError

WITHOUT = "Leave {} out: the same run, operation by operation, takes up to 1.6 times as long."
HOW = {
    "win32": "Install the Build Tools for Visual Studio, and start from its command prompt, where cl is found.",
    "darwin": "Install Apple's command line tools: xcode-select --install.",
    "linux": "Install one: on Debian and Ubuntu, the package g++.",
}


def require(device: str) -> None:
    """Refuse `compile` where it cannot work.

    On the CPU it takes a C++ compiler, the one that the environment variable CXX names or the system's own, and
    Python's headers. On a GPU, Triton with a C compiler (CC) and the same headers.

    Raises:
        RunError: names what is missing, and what to do.
    """
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        raise _refusal("Triton, which writes the kernels for a GPU", "there is none in this Python", "Install it.")
    if compiler(device) is None:
        language, variable = ("C", "CC") if device == "cuda" else ("C++", "CXX")
        named = os.environ.get(variable)
        came = f"{variable}={named} does not run" if named else f"none of {', '.join(names(device))} is found or runs"
        raise _refusal(f"a {language} compiler", came, HOW.get(sys.platform, "Install one."))
    if not headers.is_file():
        advice = "Install them: on Debian and Ubuntu, the package python3-dev."
        raise _refusal("Python's headers", f"there is no {headers}", advice)


def failed(error: Exception) -> RunError:
    """PyTorch found everything, and could not compile the step all the same; its own words are a hundred lines."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return RunError(
        f"Expected the step to compile, but PyTorch could not ({said[:200].rstrip('.')}). Go on without:"
        f" {option('resume', True)} and {option('compile', False)}."
    )


def names(device: str) -> tuple[str, ...]:
    """The compilers that PyTorch would try, in its order."""
    named = os.environ.get("CC" if device == "cuda" else "CXX")
    if named:
        return (named,)
    if sys.platform == "win32":
        return ("cl",)
    if device == "cuda":
        return ("gcc", "clang", "cc")
    return ("clang++",) if sys.platform == "darwin" else ("g++",)


def compiler(device: str) -> str | None:
    """The first of them that is there and runs."""
    for name in names(device):
        path = shutil.which(name)
        if path is None:
            continue
        asked = [path, "/help" if Path(name).stem == "cl" else "--version"]
        try:  # what is there may be a mere stub: Apple's asks to install the real one
            subprocess.run(asked, capture_output=True, timeout=20, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return path
    return None


def _refusal(what: str, came: str, advice: str) -> RunError:
    flag = option("compile", True)
    return RunError(f"Expected {what} for {flag}, but {came}. {advice} Or: {WITHOUT.format(flag)}")
