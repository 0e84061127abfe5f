"""The one change that makes a function right: its place is named, the change at the third hint, and nothing guessed."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special

from vaelib import almost, exercise
from vaelib.almost import search, variants, with_place
from vaelib.bans import Guarded
from vaelib.exercise import check, hint
from vaelib.feedback import Feedback
from vaelib.judge import NOT_YET, with_case
from vaelib.nearest.python import Edit, edits, place
from vaelib.reply import Answer
from vaelib.tasks import task
from vaelib.terms import KL, E, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q
from vaelib.variant import original

pytestmark = pytest.mark.filterwarnings("ignore")  # of wrong answers
RIGHT = """def kl_to_prior(loc, log_scale):
    variance = np.exp(2 * log_scale)
    return 0.5 * (variance + loc**2 - 1 - 2 * log_scale).sum(axis=-1)
"""


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(almost, "SECONDS", 60.0)
    monkeypatch.setattr(almost, "EACH", 5.0)
    monkeypatch.chdir(tmp_path)
    yield
    for memory in (exercise.here, exercise.failed, exercise.nearest):
        memory.clear()  # type: ignore[attr-defined]


def written(source: str, name: str = "kl_to_prior", **names: Any) -> Any:
    """The function as a notebook has it."""
    file = f"<cell {len(linecache.cache)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names |= {"np": np, "__name__": "__main__"}
    exec(compile(source, file, "exec"), names)
    return names[name]


def told(answer: Any, id: str = "04.2") -> Feedback:
    feedback = with_case(task(id), Guarded(answer, kinds=task(id).forbidden))
    assert feedback.state == NOT_YET
    return with_place(task(id), answer, feedback)


CHANGED = [
    ("loc**2 - 1", "loc**2 + 1", "sign", "variance + loc**2 + 1"),
    ("loc**2", "loc", "square", "loc"),
    ("(2 * log_scale)", "(3 * log_scale)", "number", "3"),
    ("np.exp(2 * log_scale)", "2 * log_scale", "logarithm", "variance"),
    ("variance + loc**2", "loc + loc**2", "name", "loc"),
    (".sum(axis=-1)", ".max(axis=-1)", "sum or mean", "(variance + loc**2 - 1 - 2 * log_scale).max(axis=-1)"),
    ("2 * log_scale).sum", "2 / log_scale).sum", "operator", "2 / log_scale"),
]


@pytest.mark.parametrize(("was", "typed", "kind", "code"), CHANGED)
def test_place_of_one_mistake_is_asked_about_and_not_the_change(was: str, typed: str, kind: str, code: str) -> None:
    feedback = told(written(RIGHT.replace(was, typed)))
    assert (feedback.mistake, feedback.nearest) == ("", kind)
    said = feedback.lines[-2]
    assert f"`{code}`" in said and "of kl_to_prior" in said and len(feedback.lines) <= 5
    assert f"`{was}`" not in said


def test_line_is_that_of_the_cell_and_the_change_is_kept_for_later() -> None:
    feedback = told(written("\n\n" + RIGHT.replace("- 1 -", "+ 1 -")))
    assert "line 5 of kl_to_prior" in feedback.lines[-2]
    assert feedback.change == "in line 5 of kl_to_prior, `variance + loc**2 + 1` becomes `variance + loc ** 2 - 1`"


def test_two_mistakes_get_no_guess() -> None:
    feedback = told(written(RIGHT.replace("- 1 -", "+ 3 -").replace("(2 *", "(3 *")))
    assert feedback.nearest == "" and feedback.change == "" and "One change" not in str(feedback)


def test_change_is_said_at_the_third_hint_and_forgotten_with_a_right_answer() -> None:
    check("04.2", written(RIGHT.replace("- 1 -", "+ 1 -")))
    hints = [str(hint("04.2")) for _ in range(4)]
    assert ["One change" in each for each in hints] == [False, False, True, True]
    check("04.2", written(RIGHT))
    assert "One change" not in str(hint("04.2"))


def test_known_mistake_speaks_first() -> None:
    known = written(RIGHT.replace("np.exp(2 * log_scale)", "np.exp(log_scale)"))
    feedback = told(known)
    assert feedback.mistake and feedback.nearest == ""


def test_what_an_answer_prints_counts_and_collects_does_not_multiply(capsys: pytest.CaptureFixture[str]) -> None:
    does = "    global calls\n    calls += 1\n    seen.append(1)\n    print('hello')\n"
    source = RIGHT.replace("- 1 -", "+ 1 -").replace("    variance", f"{does}    variance", 1)
    answer = written(source, calls=0, seen=[])
    names = answer.__globals__
    feedback = with_case(task("04.2"), Answer(answer))
    calls, seen = names["calls"], len(names["seen"])
    capsys.readouterr()
    assert with_place(task("04.2"), answer, feedback).nearest == "sign"
    assert (names["calls"], len(names["seen"])) == (calls, seen) and names["kl_to_prior"] is answer
    assert capsys.readouterr().out == ""


def test_endless_variant_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(almost, "EACH", 0.05)
    source = RIGHT.replace("- 1 -", "+ 1 -").replace(
        "    variance", "    n = 0\n    while n < 3:\n        n = n + 1\n    variance", 1
    )
    assert told(written(source)).nearest == "sign"


def test_search_that_runs_out_of_time_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(almost, "SECONDS", 0.0)
    assert told(written(RIGHT.replace("- 1 -", "+ 1 -"))).nearest == ""


def test_search_whose_time_ends_while_it_confirms_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, confirmed = almost.judge, []

    def slow(*arguments: Any) -> Any:
        confirmed.append(1)
        return judged(*arguments)

    monkeypatch.setattr(almost, "judge", slow)
    monkeypatch.setattr(almost, "time", SimpleNamespace(monotonic=lambda: 1e9 * len(confirmed)))
    assert told(written(RIGHT.replace("- 1 -", "+ 1 -"))).nearest == "" and confirmed == [1]


def test_forbidden_function_does_not_become_the_nearest_right_answer() -> None:
    """A change inside an answer that calls what is forbidden is refused as the answer is."""
    source = "def kl_tables(q, p):\n    return kl_div(q, p).sum(axis=0)\n"
    answer = written(source, "kl_tables", kl_div=special.kl_div)
    plain = with_case(task("03.2"), Answer(answer))
    assert plain.case is not None and with_place(task("03.2"), answer, plain).nearest == ""


def test_full_precision_is_asked() -> None:
    """A number that is right to five digits is not what makes an answer right."""
    assert told(written(RIGHT.replace("0.5 *", "0.49999 *").replace("- 1 -", "+ 1 -"))).nearest == ""


def test_every_place_is_in_the_source_and_every_change_is_one_function() -> None:
    for edit in edits(RIGHT):
        assert isinstance(edit, Edit) and edit.tree.name == "kl_to_prior"
        assert edit.throughout or (edit.old in " ".join(RIGHT.split()) and 2 <= edit.line <= 3)


def test_search_is_silent_where_the_truth_takes_few_values() -> None:
    few = type(task("04.2"))(**{**vars(task("04.2")), "draw": None, "examples": task("04.2").examples[:1]})  # type: ignore[attr-defined]
    of = original(written(RIGHT.replace("- 1 -", "+ 1 -")))
    assert of is not None and search(few, of.source, variants(few, of), 0, 60.0) is None


# -------------------------------------------------------------------------------------------------------- derivations

GOAL = log_evidence - (E(q, log_lik) - KL(q, prior))
MADE = E(q, log_q - log_joint) + log_evidence
BROKEN = {
    "a sign": (MADE, E(q, log_q) - E(q, log_lik) + E(q, log_prior) + log_evidence, "sign"),
    "a law": (KL(q, post), E(post, log_q - log_post), "law"),
    "a sign in LaTeX": (KL(q, post), r"\mathbb{E}_q[\log q(z) + \log p(z \mid x)]", "sign"),
    "far away": (MADE, 3 * E(q, log_q) - E(q, log_lik), ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_first_broken_line_of_a_derivation_is_asked_about(name: str) -> None:
    above, broken, kind = BROKEN[name]
    steps = [KL(q, post), above, broken, GOAL] if above is MADE else [above, broken, GOAL]
    feedback = with_case(task("05.3"), Answer(steps))
    assert (feedback.state, feedback.mistake, feedback.nearest) == (NOT_YET, "", kind)
    assert ("one change" in str(feedback.lines)) == ("becomes" in feedback.change) == (kind != "")
    assert "becomes" not in str(feedback.lines) and len(feedback.lines) <= 5


def test_change_of_a_line_is_said_at_the_third_hint() -> None:
    check("05.3", [KL(q, post), E(post, log_q - log_post), GOAL])
    assert ["One change" in str(hint("05.3")) for _ in range(3)] == [False, False, True]


def test_what_is_less_plausible_counts_only_where_nothing_better_fits() -> None:
    every = edits("def f(a, b):\n    c = a * b\n    return c + 2 * a\n")

    def one(kind: str, line: int = 0) -> Edit:
        return next(edit for edit in every if edit.kind == kind and line in (0, edit.line))

    sign, number, term, factor, swapped = (
        one("sign", 2),
        one("number", 3),
        one("missing term", 2),
        one("missing factor", 3),
        one("swapped throughout"),
    )
    for better, worse in ((sign, number), (number, term), (number, factor), (term, swapped), (factor, swapped)):
        found = place([worse, better])
        assert found is not None and found.edit is better
    assert place([term, factor]) is None  # equally plausible, at two places
    assert place([swapped]) is not None and place([]) is None


def test_variable_in_an_index_is_an_index_and_not_a_name() -> None:
    found = edits("def f(x, i, j):\n    return x[i] + j\n")
    kinds = {edit.old: edit.kind for edit in found if edit.kind in ("axis", "name")}
    assert kinds == {"i": "axis", "x": "name", "j": "name"}
