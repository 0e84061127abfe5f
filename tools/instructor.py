"""Write the instructor's notebooks, with solutions and hidden tests, as an nbgrader course: python tools/instructor.py

They go into instructor/, which git ignores. A notebook that you edited there is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from deliver import deliver
from make_exercises import ROOT, STUB, sources, with_solutions

FOLDER = "instructor"
CONFIG = f'''\
"""Settings of nbgrader for this course; nbgrader reads them in the folder in which it is called."""

import os
import sysconfig

# nbgrader calls alembic by its name, which the shell finds only in an activated environment
os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")

c = get_config()  # noqa: F821 - nbgrader defines it
c.CourseDirectory.course_id = "vaelib"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.Execute.timeout = 120
'''


def course() -> dict[str, bytes]:
    """The files of the nbgrader course: path below its folder -> content."""
    files = {"nbgrader_config.py": CONFIG.encode()}
    for source in sources():
        notebook = nbformat.writes(with_solutions(source)) + "\n"
        files[f"source/{source.stem}/{source.stem}.ipynb"] = notebook.encode()
    return files


def advice(assignment: str) -> str:
    """What to type next."""
    nbgrader = r"..\.venv\Scripts\nbgrader" if os.name == "nt" else "../.venv/bin/nbgrader"
    return f"""\
Next, for one of the fourteen:
  cd {FOLDER}
  {nbgrader} generate_assignment {assignment}
      writes release/{assignment}, for the students
  put what comes back into submitted/STUDENT/{assignment}/{assignment}.ipynb
  {nbgrader} autograde {assignment}
  {nbgrader} generate_feedback {assignment}
      writes feedback/STUDENT/{assignment}; the points: {nbgrader} export"""


def main(root: Path = ROOT) -> None:
    files = course()
    changed = [sentence for sentence in deliver(files, root / FOLDER) if not sentence.endswith(": copied")]
    print(f"{FOLDER}/source: {len(files) - 1} notebooks with solutions and hidden tests")
    for sentence in changed:
        print(sentence)
    print(advice("04_gaussian_kl"))


if __name__ == "__main__":
    main()
