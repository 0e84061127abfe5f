"""From what came in to what is written down: tables, pages, roster, comments, and a second run that loses nothing.

Most tests judge with a stand-in that runs nothing; a few at the end go through the real one.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_collect import (
    CHECK_1,
    FIVE,
    IMPORTS,
    MOODLE,
    OTHER,
    RIGHT_1,
    STEM,
    STUBS,
    course,
    notebook,
    raw,
    zipped,
)
from typer.testing import CliRunner

from vaelib.cli import app
from vaelib.grade import grading, sheet, tables
from vaelib.grade.collect import HandedIn
from vaelib.grade.gradebook import OURS
from vaelib.grade.marks import Marks
from vaelib.grade.names import Person
from vaelib.grade.pages import page_names
from vaelib.grade.roster import match, read_roster
from vaelib.grade.sheet import plain, safe
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, Feedback
from vaelib.tasks import tasks_of

WRONG_1 = RIGHT_1.replace("np.log(scale_p / scale_q) + ", "")
WRONG = [IMPORTS, WRONG_1, CHECK_1]


def judged(handed_in: HandedIn) -> Marks:
    """A stand-in for the judge: 04.1 and 05.2 are right or wrong by their text."""
    text = "\n".join(handed_in.cells)
    blank = Feedback(NOT_ATTEMPTED, ("Not attempted.",))
    feedback = dict.fromkeys(tasks_of(handed_in.notebook), blank)
    if RIGHT_1 in text:
        feedback["04.1"] = Feedback(RIGHT, ("Right.",), task="04.1")
    elif "scale_q**2" in text:
        feedback["04.1"] = Feedback(
            NOT_YET, ("Not yet.", "It looks like a <logarithm> is missing."), "no logarithm", "04.1"
        )
    if "broken_line = 3" in text:
        feedback["05.2"] = Feedback(RIGHT, ("Right.",), task="05.2")
    errors = {0: "NameError: name 'x' is not defined"} if "crash" in text else {}
    odd = ("opened a file",) if "open(" in text else ()
    if "ours" in text:
        feedback = dict.fromkeys(feedback, Feedback(NOT_ATTEMPTED, (OURS,)))
    return Marks(handed_in.student, handed_in.source, feedback, errors, odd=odd)


class Judge:
    """Stands in for `grade_all`; `asked` are the sources that it was given, one list a run."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.stop_after: int | None = None

    def __call__(
        self, handed_in: Sequence[HandedIn], seed: int, limits: Any, at_once: int | None, done: Callable[[Marks], None]
    ) -> list[Marks]:
        self.asked.append([each.source for each in handed_in])
        for count, each in enumerate(handed_in):
            if count == self.stop_after:
                raise KeyboardInterrupt
            done(judged(each))
        return []


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    stand_in = Judge()
    monkeypatch.setattr(grading, "grade_all", stand_in)
    return stand_in


def graded(folder: Path, *options: str, out: str = "out", code: int = 0) -> str:
    done = CliRunner().invoke(app, ["grade", str(folder / "in"), "--out", str(folder / out), *options])
    assert done.exit_code == code, (done.output, done.exception)
    return " ".join(done.output.split("\n"))


def rows(path: Path) -> dict[str, dict[str, str]]:
    return {row["student"]: row for row in table(path)}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Ada is right, Bob wrong, Eve handed in an empty file."""
    notebook(tmp_path / "in" / "Ada" / STEM)
    notebook(tmp_path / "in" / "Bob" / STEM, WRONG)
    raw(tmp_path / "in" / "Eve" / STEM, "")
    return tmp_path


# ------------------------------------------------------------------------------------------------------------ tables


def test_table_has_one_row_for_each_student_and_says_what_happened(three: Path, judge: Judge) -> None:
    said = graded(three, "--seed", "7")
    assert "2 students graded, 1 handed in nothing that could be graded; seed 7." in said
    assert "Eve: Eve/04_gaussian_kl.ipynb: The file is empty." in said
    found = rows(three / "out" / "grades.csv")
    assert list(found) == ["Ada", "Bob", "Eve"]
    shown = [found["Bob"][head] for head in ("points", "possible", "04.1", "04.1 looks like", "04.2", "seed")]
    assert shown == ["0", "8", "not yet", "no logarithm", "not attempted", "7"]
    assert (found["Ada"]["points"], found["Eve"]["points"]) == ("2", "")  # nothing was read, and that is no zero
    assert "The file is empty." in found["Eve"]["note"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", found["Ada"]["date"]) and found["Ada"]["version"]


def test_named_mistake_earns_the_share_that_was_asked_for(three: Path, judge: Judge) -> None:
    graded(three, "--partial", "0.25")
    assert rows(three / "out" / "grades.csv")["Bob"]["points"] == "0.5"


def test_row_sums_all_notebooks_and_one_of_several_tries_counts(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / "ada" / STEM)
    notebook(tmp_path / "in" / "ada" / "05_elbo.ipynb", FIVE)
    notebook(tmp_path / "in" / "bob" / "04 first.ipynb")
    notebook(tmp_path / "in" / "bob" / "04 second.ipynb", WRONG)
    os.utime(tmp_path / "in" / "bob" / "04 first.ipynb", (1e9, 1e9))
    graded(tmp_path)
    best = rows(tmp_path / "out" / "grades.csv")
    assert (best["ada"]["points"], best["ada"]["04.1"], best["ada"]["05.2"]) == ("3", "right", "right")
    assert int(best["ada"]["possible"]) > int(best["bob"]["possible"]) == 8
    assert best["bob"]["points"] == "2" and "the best one counts" in best["bob"]["note"]
    assert "04 second.ipynb (does not count)" in best["bob"]["files"]
    graded(tmp_path, "--keep", "last", out="last")
    last = rows(tmp_path / "last" / "grades.csv")["bob"]
    assert (last["points"], last["keep"]) == ("0", "last")


def test_only_the_exercises_that_were_asked_for_are_graded(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / "ada" / STEM)
    notebook(tmp_path / "in" / "ada" / "05_elbo.ipynb", FIVE)
    course(tmp_path / "in" / "bob", {})
    notebook(tmp_path / "in" / "eve" / "05_elbo.ipynb", FIVE)
    graded(tmp_path, "--exercise", "4")
    assert judge.asked == [["ada/04_gaussian_kl.ipynb", "bob/exercises/04_gaussian_kl.ipynb"]]
    found = rows(tmp_path / "out" / "grades.csv")
    assert not [head for head in found["ada"] if head.startswith("05")]
    assert (found["bob"]["points"], found["eve"]["points"], found["eve"]["possible"]) == ("0", "", "8")
    assert "not asked for here: 05" in found["eve"]["note"]


def test_late_is_a_flag_and_no_part_of_the_name(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / "late" / "ada" / STEM)
    notebook(tmp_path / "in" / f"lovelaceada_LATE_101_5678_{STEM}")
    notebook(tmp_path / "in" / "bob" / STEM)
    assert "2 late" in graded(tmp_path)
    found = rows(tmp_path / "out" / "grades.csv")
    assert {name: row["late"] for name, row in found.items()} == {"ada": "late", "bob": "", "lovelaceada": "late"}


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        " =1+1",
        "+1",
        "-1",
        "@x",
        "\t=1",
        "\r=1",
        "＝1+1",
        "＋1",
        "－1",
        "＠x",
        "x;=1+1",
        "x; ＝1",
        "x|=1",
        "x\n=1",
    ],
)
def test_no_text_becomes_a_formula_in_any_spreadsheet(text: str, tmp_path: Path, judge: Judge) -> None:
    written = safe(text)
    for cell in re.split(r"[;|\n\t]", written):
        assert cell.strip()[:1] not in set("=+-@＝＋－＠"), written
    assert "\n" not in written and "\t" not in written
    if text.strip() == text and not re.search(r"[;|\n]", text):
        assert plain(written) == text


def test_every_cell_is_quoted_and_names_stay_text(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / "=1+1<b>" / STEM, WRONG)
    graded(tmp_path)
    content = (tmp_path / "out" / "grades.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") and b'"\'=1+1<b>"' in content
    for line in content.decode("utf-8-sig").splitlines():
        assert (
            line.startswith('"') and line.endswith('"') and not re.search(r'(^|,)[^",]', re.sub('"[^"]*"', '""', line))
        )
    pages = [path.read_text() for path in (tmp_path / "out").rglob("*.html")]
    assert len(pages) == 3 and not [
        page for page in pages if "<b>=" in page or "=1+1<b>" in page or "<logarithm>" in page
    ]


def test_file_that_is_nobodys_has_a_row_without_a_student(three: Path, judge: Judge) -> None:
    raw(three / "in" / "notes.xyz", "mine")
    graded(three, "--seed", "7")
    found = rows(three / "out" / "grades.csv")[""]
    assert found["files"] == "notes.xyz" and "not a notebook" in found["note"]
    others = {"files", "note", "keep", "seed", "version", "date"}
    assert (found["keep"], found["seed"]) == ("best", "7") and not any(
        value for head, value in found.items() if head not in others
    )


# ------------------------------------------------------------------------------------------------ Moodle and Canvas


def test_moodle_gets_its_worksheet_and_its_zip_of_pages(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / MOODLE / STEM, WRONG)
    graded(tmp_path)
    (row,) = table(tmp_path / "out" / "moodle.csv")
    assert (row["Identifier"], row["Full name"], row["Grade"], row["Maximum Grade"]) == (
        "Participant 101",
        "Ada Lovelace",
        "0",
        "8",
    )
    assert "It looks like a <logarithm> is missing." in row["Feedback comments"]
    with zipfile.ZipFile(tmp_path / "out" / "feedback_moodle.zip") as archive:
        assert archive.namelist() == [f"{MOODLE}/feedback.html"]
        assert "Feedback for Ada Lovelace" in archive.read(archive.namelist()[0]).decode()


def test_pages_for_moodle_go_where_nothing_comes_from_there_any_more(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / MOODLE / STEM)
    graded(tmp_path)
    assert (tmp_path / "out" / "feedback_moodle.zip").exists()
    (tmp_path / "in" / MOODLE).rename(tmp_path / "in" / "ada")
    graded(tmp_path)
    assert not (tmp_path / "out" / "feedback_moodle.zip").exists()


def test_moodles_own_worksheet_keeps_its_columns(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / MOODLE / STEM)
    heads = "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Feedback comments,Mine"
    lines = [
        "Participant 100,Zoe Zuse,z@x.org,No submission,,10.00,Yes,,z",
        "Participant 101,LOVELACE Ada,a@x.org,ok,,10.00,Yes,,a",
    ]
    raw(tmp_path / "roster.csv", "\n".join([heads, *lines]))
    assert "Missing:   Zoe Zuse" in graded(tmp_path, "--roster", str(tmp_path / "roster.csv"))
    got = table(tmp_path / "out" / "moodle.csv")
    assert [row["Identifier"] for row in got] == ["Participant 100", "Participant 101"]
    assert [row["Grade"] for row in got] == ["", "2.5"] and [row["Mine"] for row in got] == [
        "z",
        "a",
    ]  # 2 of 8, out of 10
    assert got[1]["Full name"] == "LOVELACE Ada" and got[1]["Maximum Grade"] == "10.00"


def test_canvas_gets_its_columns_and_the_points_that_are_possible(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / f"lovelaceada_101_5678_{STEM}")
    raw(
        tmp_path / "canvas.csv",
        'Student,ID,SIS User ID,SIS Login ID,Section,Sheet 4 (77)\n"    Points Possible",,,,,8\n'
        '"Zuse, Zoe",100,s0,zz,A,\n"Lovelace, Ada",101,s1,al,A,\n"Student, Test",,,,,\n',
    )
    graded(tmp_path, "--roster", str(tmp_path / "canvas.csv"), "--assignment", "Sheet 4 (77)")
    got = table(tmp_path / "out" / "canvas.csv")
    assert [tuple(row.values()) for row in got] == [
        ("    Points Possible", "", "", "", "", "8"),
        ("Zuse, Zoe", "100", "s0", "zz", "A", ""),
        ("Lovelace, Ada", "101", "s1", "al", "A", "2"),
    ]
    assert list(got[0])[-1] == "Sheet 4 (77)"


# ------------------------------------------------------------------------------------------------------------ roster


@pytest.mark.parametrize(
    ("roster", "shown", "name"),
    [
        ("Ada Lovelace\n", "ada lovelace", "Ada Lovelace"),
        ("Lovelace, Ada\n", "Ada Lovelace", "Lovelace, Ada"),
        ("name\nLovelace, Ada\n", "Ada Lovelace", "Lovelace, Ada"),
        ("Name;Mail\nJosé Núñez;j@x.org\n", "nunez_jose", "José Núñez"),
        ("First name,Last name,Email address\nJürgen,Müller,jm@x.org\n", "Juergen Mueller", "Jürgen Müller"),
        ("Nachname\tVorname\nMüller\tJürgen\n", "MULLER Jurgen", "Jürgen Müller"),
        ('Student,ID\n"Lovelace, Ada",7\n', "lovelaceada", "Lovelace, Ada"),
        ("name,login\nAda Lovelace,alove\n", "alove", "Ada Lovelace"),
        ("name,email\nAda Lovelace,al9@x.org\n", "al9", "Ada Lovelace"),
        ("Ada King Lovelace\nBob\n", "Ada Lovelace", "Ada King Lovelace"),
        ("Ada Lovelace,17,a@x.org\n", "Ada Lovelace", "Ada Lovelace"),
        ("Søren Ærø\n", "Soren Aero", "Søren Ærø"),
        ("Seán O’Brien\n", "sean o'brien", "Seán O’Brien"),
        ("section\nx\n", "Ada", None),
        ("Ada Smith\nAda Jones\n", "Ada", None),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_roster_finds_a_name_in_its_spellings(
    roster: str, shown: str, name: str | None, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "roster").write_bytes(roster.encode(encoding))
    matched = match(read_roster(tmp_path / "roster"), {shown: Person(shown)})
    assert (matched.who[shown].name if shown in matched.who else None) == name
    assert name is not None or f"Not on the roster: {shown}." in matched.remarks


def test_roster_orders_the_table_and_says_who_is_missing_and_who_is_not_on_it(three: Path, judge: Judge) -> None:
    raw(three / "class.txt", "Zoe\nBob\nLovelace, Ada\n")
    said = graded(three, "--roster", str(three / "class.txt"))
    assert "Missing:   Zoe" in said and "Not on the roster: Eve." in said
    assert "Ada was taken for Lovelace, Ada on the roster." in said
    found = rows(three / "out" / "grades.csv")
    assert list(found) == ["Zoe", "Bob", "Lovelace, Ada", "Eve"]
    assert found["Zoe"]["note"] == "Nothing was handed in." and "Not on the roster." in found["Eve"]["note"]


def test_two_people_of_one_name_on_the_roster_stay_two(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / MOODLE.replace("101", "102") / STEM)
    raw(tmp_path / "r.csv", "Identifier,Full name\nParticipant 101,Ada Lovelace\nParticipant 102,Ada Lovelace\n")
    graded(tmp_path, "--roster", str(tmp_path / "r.csv"))
    found = rows(tmp_path / "out" / "grades.csv")
    assert {name: row["points"] for name, row in found.items()} == {
        "Ada Lovelace": "",
        "Ada Lovelace (Participant 102)": "2",
    }


def test_two_spellings_of_one_person_are_one_row(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "in" / "Ada Lovelace" / STEM)
    notebook(tmp_path / "in" / "Lovelace Ada" / "05_elbo.ipynb", FIVE)
    raw(tmp_path / "class.txt", "Ada Lovelace\n")
    graded(tmp_path, "--roster", str(tmp_path / "class.txt"))
    assert {name: row["points"] for name, row in rows(tmp_path / "out" / "grades.csv").items()} == {"Ada Lovelace": "3"}


# -------------------------------------------------------------------------------------------------------- once more


def test_second_run_keeps_the_seed_and_the_table_and_says_what_changed(three: Path, judge: Judge) -> None:
    graded(three, "--seed", "11")
    before = (three / "out" / "grades.csv").read_bytes()
    notebook(three / "in" / "Bob" / STEM)
    said = graded(three)
    assert "seed 11." in said and "Bob: 04.1 not yet -> right" in said and "Ada" not in said.partition("Changed:")[2]
    (kept,) = (three / "out").glob("grades.2*.csv")
    assert kept.read_bytes() == before and re.fullmatch(r"grades\.\d{4}-\d\d-\d\dT\d{4}\.csv", kept.name)
    assert len(list((three / "out").glob("feedback.2*"))) == 1
    assert "Nothing has changed" in graded(three) and len(list((three / "out").glob("grades.2*.csv"))) == 2
    (three / "out" / "journal.jsonl").unlink()
    for name in ("class.html", "teacher.html", "moodle.csv", "canvas.csv"):
        (three / "out" / name).unlink()
    for path in (three / "out").glob("feedback*"):
        path.rename(three / path.name)
    assert "seed 11." in graded(three)  # from the table alone


def test_table_is_read_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "LIMIT", 8)
    raw(tmp_path / "names.csv", "Name\nada")
    assert sheet.read_sheet(tmp_path / "names.csv").lines == ("Name", "ada")
    raw(tmp_path / "names.csv", "Name\nanna")
    with pytest.raises(ValueError, match="to be a table of at most"):
        sheet.read_sheet(tmp_path / "names.csv")


def test_table_that_a_spreadsheet_saved_is_understood(three: Path, judge: Judge) -> None:
    graded(three, "--seed", "11")
    path = three / "out" / "grades.csv"
    found = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    found[0] = [re.sub(r"^0(\d\.\d)$", r"\1", head) for head in found[0]]
    path.write_text("\n".join(";".join(row) for row in found), encoding="utf-16")
    assert "Nothing has changed" in graded(three) and rows(path)["Ada"]["seed"] == "11"


def test_comments_are_created_once_and_merged_at_each_run(three: Path, judge: Judge) -> None:
    graded(three)
    path = three / "out" / "comments.csv"
    assert [row["student"] for row in table(path)] == ["Ada", "Bob", "Eve"]
    mine = "student;comment;points\nBob;Nice idea, see me.;0,5\nAda;;\nZed;Who?;1\n"
    path.write_text(mine, encoding="utf-16")
    said = graded(three)
    assert path.read_text(encoding="utf-16") == mine
    assert "comments.csv has a comment for Zed, who is not in the table." in said
    row = rows(three / "out" / "grades.csv")["Bob"]
    assert (row["points"], row["comment"], row["points added"]) == ("0.5", "Nice idea, see me.", "0.5")
    page = (three / "out" / "feedback" / "Bob.html").read_text()
    assert "Nice idea, see me." in page and "0.5 of 8 points, 0.5 of them given by your teacher" in page
    assert "Nice idea" in rows_of(three / "out" / "moodle.csv", "Full name")["Bob"]["Feedback comments"]


def rows_of(path: Path, head: str) -> dict[str, dict[str, str]]:
    return {row[head]: row for row in table(path)}


@pytest.mark.parametrize(
    "text", ["student,comment,points\nBob,x,many\n", "who,what\nBob,x\n", "student,comment,points\nBob,x,inf\n"]
)
def test_comments_that_are_not_understood_are_refused_before_anything_runs(
    text: str, three: Path, judge: Judge
) -> None:
    graded(three)
    before = (three / "out" / "grades.csv").read_bytes()
    (three / "out" / "comments.csv").write_text(text)
    assert "Expected" in graded(three, code=1)
    assert len(judge.asked) == 1 and (three / "out" / "grades.csv").read_bytes() == before


def test_stopped_grading_is_resumed_where_it_was(three: Path, judge: Judge) -> None:
    judge.stop_after = 1
    said = graded(three, "--seed", "5", code=130)
    assert "Go on with the same command and --resume" in said and not (three / "out" / "grades.csv").exists()
    judge.stop_after = None
    said = graded(three, "--resume")
    assert judge.asked[1] == ["Bob/04_gaussian_kl.ipynb"] and "1 results kept" in said and "seed 5." in said
    assert rows(three / "out" / "grades.csv")["Ada"]["points"] == "2"
    notebook(three / "in" / "Ada" / STEM, OTHER)  # what has changed is graded again
    raw(three / "in" / "Bob" / "helper.py", "x = 1")
    graded(three, "--resume")
    assert judge.asked[2] == ["Ada/04_gaussian_kl.ipynb", "Bob/04_gaussian_kl.ipynb"]
    graded(three, "--resume")
    assert judge.asked[3] == []
    assert "Leave out one of --seed and --resume" in graded(three, "--resume", "--seed", "6", code=1)
    assert len(judge.asked) == 4


def test_killed_grading_leaves_its_results(three: Path) -> None:
    program = (
        "import os, signal, test_gradebook as t\nfrom vaelib.grade import grading\n"
        "def kill(handed_in, seed, limits, at_once, done):\n"
        "    done(t.judged(handed_in[0]))\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "grading.grade_all = kill\n"
        f"t.graded(t.Path({str(three)!r}), '--seed', '5')"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == -signal.SIGKILL
    lines = (three / "out" / "journal.jsonl").read_text().splitlines()
    assert [*json.loads(lines[0])] == ["seed", "version"] and len(lines) == 2
    with (three / "out" / "journal.jsonl").open("a") as file:
        file.write('{"key": "cut o')
    stand_in = Judge()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grading, "grade_all", stand_in)
        assert "1 results kept" in graded(three, "--resume")
    assert stand_in.asked == [["Bob/04_gaussian_kl.ipynb"]]


def test_what_the_grader_failed_on_gets_no_zero_and_is_tried_again(three: Path, judge: Judge) -> None:
    notebook(three / "in" / "Bob" / STEM, [*WRONG, "# ours"])
    said = graded(three, code=3)
    assert "NO GRADE could be given to these, and none got a 0 for it: Bob." in said
    row = rows(three / "out" / "grades.csv")["Bob"]
    assert (row["points"], row["04.1"]) == ("", "not graded")
    graded(three, "--resume", code=3)
    assert judge.asked[1] == ["Bob/04_gaussian_kl.ipynb"]


# ------------------------------------------------------------------------------------------------ where it is written


def linked(folder: Path) -> None:
    (folder / "mine.csv").write_text("mine")
    (folder / "out").mkdir()
    (folder / "out" / "grades.csv").symlink_to(folder / "mine.csv")


def link_to_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to(folder / "elsewhere")


def journal_of_another(folder: Path) -> None:
    raw(folder / "out" / "journal.jsonl", "my diary\n")


REFUSED: dict[str, tuple[Callable[[Path], Any], list[str], str]] = {
    "a file": (lambda f: raw(f / "out", "x"), [], "is a file"),
    "a link": (link_to_folder, [], "is a link"),
    "grades.csv is a link": (linked, [], "is a link"),
    "feedback is a file": (lambda f: raw(f / "out" / "feedback", "x"), [], "something else"),
    "a page of somebody else": (lambda f: raw(f / "out" / "class.html", "mine"), [], "Choose another folder"),
    "a table of somebody else": (lambda f: raw(f / "out" / "grades.csv", "a,b\n1,2\n"), [], "its columns are others"),
    "a journal of somebody else": (journal_of_another, [], "something else"),
    "exercises that do not exist": (lambda f: None, ["--exercise", "44"], "Expected --exercise"),
    "a rule that does not exist": (lambda f: None, ["--keep", "worst"], "Expected --keep"),
    "no roster": (lambda f: None, ["--roster", "nowhere.csv"], "Expected --roster"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_bad_options_are_refused_before_anything_runs(kind: str, three: Path, judge: Judge) -> None:
    build, options, why = REFUSED[kind]
    build(three)
    before = {path: path.read_bytes() for path in three.rglob("*") if path.is_file()}
    said = graded(three, *options, code=1)
    assert why in said and "Submissions run" not in said
    assert judge.asked == []
    assert {path: path.read_bytes() for path in three.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("options", [["--partial", "2"], ["--partial", "-1"], ["--at-once", "0"], ["--seed", "-1"]])
def test_numbers_out_of_range_are_refused(options: list[str], three: Path, judge: Judge) -> None:
    graded(three, *options, code=2)
    assert judge.asked == [] and not (three / "out").exists()


def test_out_among_the_submissions_is_refused(three: Path, judge: Judge) -> None:
    for out in ("in", "in/out", "in/../in/out"):
        assert "outside the submissions" in graded(three, out=out, code=1)
    assert judge.asked == [] and not (three / "in" / "out").exists()


def test_folder_that_another_grading_writes_into_is_refused(three: Path, judge: Judge) -> None:
    from vaelib.grade.journal import Journal

    (three / "out").mkdir()
    with Journal(three / "out"):
        assert "another grading writes into it" in graded(three, code=1)
    graded(three)


def test_lock_of_windows_is_behind_all_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a lock keeps everybody from reading the byte; the journal is read by whoever likes to see how far it is."""
    from vaelib.grade.journal import Journal

    locked = []

    def locking(file: int, how: str, count: int) -> None:
        locked.append((os.lseek(file, 0, os.SEEK_CUR), how, count))

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK="at once"))
    with Journal(tmp_path) as journal:
        journal.begin(3, "1", {})
    assert locked == [(1 << 30, "at once", 1)]
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["seed"] == 3


def test_nothing_to_grade_leaves_no_folder(tmp_path: Path, judge: Judge) -> None:
    (tmp_path / "in").mkdir()
    said = graded(tmp_path, out="a/b", code=1)
    assert "but found none" in said and "Submissions run" not in said
    assert not (tmp_path / "a").exists()
    done = CliRunner().invoke(app, ["grade", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "does not exist" in " ".join(done.output.split())


def test_single_notebook_and_single_zip_are_graded(tmp_path: Path, judge: Judge) -> None:
    notebook(tmp_path / "ada.ipynb")
    zipped(tmp_path / "class.zip", {f"{who}/{STEM}": (tmp_path / "ada.ipynb").read_bytes() for who in ("eve", "bob")})
    zipped(tmp_path / "carl.zip", {STEM: (tmp_path / "ada.ipynb").read_bytes()})
    for given, expected in (("ada.ipynb", ["ada"]), ("class.zip", ["bob", "eve"]), ("carl.zip", ["carl"])):
        out = tmp_path / f"out {given}"
        done = CliRunner().invoke(app, ["grade", str(tmp_path / given), "--out", str(out)])
        assert done.exit_code == 0 and "Submissions run" in done.output, done.output
        assert list(rows(out / "grades.csv")) == expected


def test_terminal_without_umlauts_is_written_to(tmp_path: Path) -> None:
    raw(tmp_path / "in" / "Jürgen" / STEM, "")
    command = [sys.executable, "-m", "vaelib", "grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Jurgen" in done.stdout and (tmp_path / "out" / "feedback" / "Jürgen.html").exists()


# ------------------------------------------------------------------------------------------------------------- pages


def test_names_of_pages_are_short_allowed_and_nobody_elses() -> None:
    students = [
        "x/y",
        "x_y",
        "x_y 2",
        "X_Y",
        "con",
        "NUL.txt",
        "a.",
        "..",
        "",
        "é",
        "e\u0301",
        "ß",
        "ss",
        "字" * 300,
        "a" * 400,
    ]
    names = page_names(students)
    assert len({name.casefold() for name in names.values()}) == len(set(students))
    for name in names.values():
        assert 0 < len(name.encode()) < 140 and not re.search(r'[<>:"/\\|?*\x00-\x1f]|[. ]$', name), name
        assert name.split(".")[0].lower() not in ("con", "nul")


def test_pages_tell_the_student_the_teacher_and_the_class_what_each_should_see(three: Path, judge: Judge) -> None:
    notebook(three / "in" / "Bob" / STEM, ["import seaborn  # crash", *WRONG, "open('x')"])
    raw(three / "class.txt", "Ada\nBob\nEve\nZoe Missing\nZed\n")
    zipped(three / "in" / "Zed.zip", {"Secret.ipynb": "x"})
    (three / "in" / "Zed.zip").write_bytes((three / "in" / "Zed.zip").read_bytes().replace(b"Secret", b"secret", 1))
    said = graded(three, "--roster", str(three / "class.txt"))
    out = three / "out"
    own = (out / "feedback" / "Bob.html").read_text()
    assert "Code cell 1 (`import seaborn  # crash`): NameError" in own and "0 of 8 points" in own
    assert "The file is empty." in (out / "feedback" / "Eve.html").read_text()
    assert not (out / "feedback" / "Zoe Missing.html").exists()
    teacher = (out / "teacher.html").read_text()
    assert all(
        text in teacher for text in ("Zoe Missing", "Eve/04_gaussian_kl.ipynb", "opened a file", "The file is empty")
    )
    assert "Bob: opened a file" in said and "opened a file" in rows(out / "grades.csv")["Bob"]["worth a look"]
    whole = (out / "class.html").read_text()
    assert "<svg" in whole and "no logarithm" in whole and "1 on the roster handed in nothing" in whole
    assert "The file is empty" in whole
    assert "Zed: Zed.zip/Secret.ipynb" in said and "cannot be unpacked: File name in directory 'Secret.ipynb'" in said
    assert not [name for name in ("Ada", "Bob", "Eve", "Zoe", "Zed", "Secret", "secret") if name in whole]


# ------------------------------------------------------------------------------------------------- the real judge


@pytest.mark.slow
def test_submissions_as_they_come_go_through_the_real_judge(tmp_path: Path) -> None:
    notebook(tmp_path / "in" / MOODLE / STEM, encoding="utf-16")
    zipped(tmp_path / "in" / "bob.zip", {f"hw/{STEM}": (tmp_path / "in" / MOODLE / STEM).read_bytes()})
    notebook(tmp_path / "in" / "wrong" / STEM, WRONG)
    helped = [IMPORTS + "\nfrom helper import kl_normal", CHECK_1]
    notebook(tmp_path / "in" / "helped" / STEM, helped)
    raw(tmp_path / "in" / "helped" / "helper.py", f"import numpy as np\n{RIGHT_1}")
    notebook(tmp_path / "in" / "bad cell" / STEM, [IMPORTS, 7, RIGHT_1, CHECK_1])
    notebook(tmp_path / "in" / "stubs" / STEM, STUBS)
    started = time.monotonic()
    graded(tmp_path, "--seed", "7")
    assert time.monotonic() - started < 120
    found = rows(tmp_path / "out" / "grades.csv")
    assert {name: row["points"] for name, row in found.items()} == {
        "Ada Lovelace": "2",
        "bob": "2",
        "wrong": "0",
        "helped": "2",
        "bad cell": "2",
        "stubs": "0",
    }
    assert found["wrong"]["04.1 looks like"] == "no logarithm"
    assert "Cell 2 of the file could not be read" in found["bad cell"]["note"]


def test_comment_reaches_a_student_who_is_on_the_roster_and_handed_in() -> None:
    names = ["Ada Lovelace", "Eve Adler", "Ada Lovelace"]  # as collected, and as listed
    matched, remarks = tables.matched_comments([("Ada Lovelace", "Well done.", 0.5)], names)
    assert matched == {"Ada Lovelace": ("Well done.", 0.5)} and not remarks


def test_points_are_scaled_to_the_worksheet_of_moodle() -> None:
    assert tables._scaled(6.0, 8, "100.00") == 75.0 and tables._scaled(6.0, 8, "8") == 6.0
    assert tables._scaled(6.0, 8, "") == 6.0 and tables._scaled(6.0, 0, "100") == 6.0
    assert safe("-") == "-" and safe("-1+1") == "'-1+1"
