"""Errors planted in the solutions: a sample of those that `make mutants` tries, and the tool itself."""

from __future__ import annotations

import ast

import mutants
import pytest
from forms import some

from vaelib.judge import judge
from vaelib.reply import Answer
from vaelib.tasks import task

pytestmark = pytest.mark.filterwarnings("ignore")  # of the mutants
ASKED = mutants.asked([])


@pytest.mark.parametrize(("each", "_"), some([(each, 0) for each in ASKED], every=4), ids=[each.id for each in ASKED])
def test_mutant_is_rejected_or_known_to_be_equivalent(each: mutants.Task, _: int) -> None:
    """About five of each solution."""
    every = max(1, len(mutants.mutants(each)) // 5)
    count, left = mutants.survivors(each, every)
    assert count >= 5 and [mutant.name for mutant in left if not mutants.equivalent(mutant)] == []


@pytest.mark.parametrize("each", ASKED[:6], ids=lambda each: each.id)
def test_solution_is_right_before_it_is_changed(each: mutants.Task) -> None:
    before, source = mutants.solution(each)
    assert mutants.is_called_right(mutants.Mutant(each.id, 1, "", source), each, before)


def test_every_kind_of_change_is_made() -> None:
    says = {mutant.says for mutant in mutants.mutants(task("04.1"))}
    for kind in ("np.log -> np.exp", "2 -> 3", "loc_q - loc_p -> loc_q + loc_p", "loc_q -> loc_p"):
        assert kind in says, sorted(says)
    for mutant in mutants.mutants(task("02.3")):
        ast.parse(mutant.source)


def test_tame_questions_are_noticed() -> None:
    """With q = p alone, nearly every mutant of a KL would pass: the tool must say so."""
    each = task("04.1")
    before, _ = mutants.solution(each)
    tame = type(each)(**{**vars(each), "examples": each.examples[:1], "draw": None})  # type: ignore[attr-defined]
    passed = [mutant for mutant in mutants.mutants(each) if mutants.is_called_right(mutant, tame, before)]
    assert len(passed) > 5
    assert judge(tame, Answer(lambda *_: 0.0)).right
