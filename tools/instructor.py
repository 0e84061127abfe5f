"""Write what is for the teacher alone: python tools/instructor.py

The exercises with solutions and hidden tests are an nbgrader course. Below teach/ lie session plans and syllabus, and
for each notebook a page with the answers to all that it asks. Everything goes into instructor/, which git ignores. A
file that you edited there is kept.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import answers
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


def relinked(text: str, before: str, after: str) -> str:
    """A page that moves from the folder `before` to `after`, both below the root, with its links as seen from there.

    Example: relinked("[05](../05_elbo.ipynb)", "notebooks/teach", "instructor/teach")
    """

    def moved(link: re.Match[str]) -> str:
        path, mark, cell = link[1].partition("#")
        if not path or "://" in path:
            return link[0]
        there = os.path.relpath(os.path.normpath(PurePosixPath(before, path)), after)
        return f"]({PurePosixPath(*Path(there).parts)}{mark}{cell})"

    return re.sub(r"\]\(([^)\s]+)\)", moved, text)


def pages(root: Path = ROOT) -> dict[str, bytes]:
    """The plans and tables of notebooks/teach, and the answers to each notebook: path below the folder -> content."""
    teach = root / "notebooks" / "teach"
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(teach.glob("*.md"))}
    files = {f"teach/{name}": relinked(text, "notebooks/teach", f"{FOLDER}/teach") for name, text in found.items()}
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        text = relinked(answers.page(path.name[:2], root), "notebooks", f"{FOLDER}/teach/answers")
        files[f"teach/answers/{path.name[:2]}.md"] = text
    return {name: text.encode() for name, text in files.items()}


def advice(assignment: str) -> str:
    """What to type next."""
    nbgrader = r"..\.venv\Scripts\nbgrader" if os.name == "nt" else "../.venv/bin/nbgrader"
    return f"""\
Next, for one of the fifteen:
  cd {FOLDER}
  {nbgrader} generate_assignment {assignment}
      writes release/{assignment}, for the students
  put what comes back into submitted/STUDENT/{assignment}/{assignment}.ipynb
  {nbgrader} autograde {assignment}
  {nbgrader} generate_feedback {assignment}
      writes feedback/STUDENT/{assignment}; the points: {nbgrader} export"""


def main(root: Path = ROOT) -> None:
    files, teach = course(), pages()
    changed = [sentence for sentence in deliver(files | teach, root / FOLDER) if not sentence.endswith(": copied")]
    print(f"{FOLDER}/source: {len(files) - 1} notebooks with solutions and hidden tests")
    print(f"{FOLDER}/teach: session plans, syllabus, and in {FOLDER}/teach/answers the answers to each notebook")
    for sentence in changed:
        print(sentence)
    print(advice("04_gaussian_kl"))


if __name__ == "__main__":
    main()
