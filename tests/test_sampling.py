"""Estimators: compared draw by draw where the draws are the same, otherwise by their law, with the stated power."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from vaelib.judge import NOT_YET, RIGHT, judge
from vaelib.reply import Answer
from vaelib.sampling import agrees, least
from vaelib.task import Law, Sample
from vaelib.tasks import all_tasks, task

SAMPLES = [each for each in all_tasks().values() if isinstance(each, Sample)]
by_sample = pytest.mark.parametrize("each", SAMPLES, ids=lambda each: each.id)


def bell(a: float) -> float:
    return float(np.exp(-a * a / 2) / np.sqrt(2 * np.pi))


def jump(baseline: Callable[[float, float], float], noise: Callable[[Any], float] | None = None) -> Any:
    def estimator(loc: float, scale: float, rng: Any) -> float:
        eps = rng.standard_normal() if noise is None else noise(rng)
        return float((loc + scale * eps > 0) - baseline(loc, scale)) * eps / scale

    return estimator


def best(loc: float, scale: float) -> float:
    return float(ndtr(loc / scale)) - loc / scale * bell(loc / scale)


WRONG_BASELINES = {
    "factor forgotten": lambda loc, scale: ndtr(loc / scale) - bell(loc / scale),
    "halved": lambda loc, scale: ndtr(loc / scale) - loc / scale * bell(loc / scale) / 2,
    "not standardized": lambda loc, scale: ndtr(loc) - loc * bell(loc),
    "scale twice": lambda loc, scale: ndtr(loc / scale) - loc / scale**2 * bell(loc / scale),
    "a little too large": lambda loc, scale: best(loc, scale) + 0.01,
    "a number": lambda loc, scale: 0.4,
}


@pytest.mark.parametrize("wrong", WRONG_BASELINES)
def test_wrong_baseline_is_found_draw_by_draw_and_gets_no_guess(wrong: str) -> None:
    for seed in range(3):
        feedback = judge(task("07.3"), Answer(jump(WRONG_BASELINES[wrong])), seed)
        assert feedback.state == NOT_YET and feedback.mistake == "", str(feedback)
        assert "with the same draws a right answer has" in str(feedback)


@pytest.mark.parametrize("factor", [0.5 / np.log(np.pi), 0.5 * np.log(np.pi) + 1e-3])
def test_wrong_normalizer_of_a_chain_is_found_draw_by_draw(factor: float) -> None:
    made = task("10.3").made  # type: ignore[attr-defined]
    shift = 0.5 * np.log(np.pi) - factor
    feedback = judge(task("10.3"), Answer(lambda loc, scale, steps, rng: made(loc, scale, steps, rng) + shift))
    assert feedback.state == NOT_YET and feedback.mistake == "", str(feedback)


@by_sample
def test_right_estimator_with_other_draws_is_right(each: Sample) -> None:
    """The Generator is turned on by a few numbers first: no draw is the same."""

    def other(*given: Any) -> Any:
        rng = given[-1]
        rng.random(3)
        return each.made(*given[:-1], rng)  # type: ignore[misc]

    feedback = judge(each, Answer(other))
    assert feedback.state == RIGHT and "would nearly always show" in str(feedback), str(feedback)


@by_sample
def test_made_has_the_law_of_the_task(each: Sample) -> None:
    """The right estimator draw by draw, and the law, come from two derivations: neither may be wrong alone."""
    assert each.made is not None
    for i, question in enumerate(each.examples):
        values = np.array([each.made(**question, rng=np.random.default_rng([i, n])) for n in range(4000)])
        assert agrees(values, each.law(**question))


def found_by(each: Sample) -> list[tuple[float, float]]:
    return [least(each.law(**question), each.repeats) for question in each.examples]


@by_sample
def test_statement_says_what_is_found(each: Sample) -> None:
    (source,) = (Path(__file__).resolve().parent.parent / "exercises" / "source").glob(f"{each.id[:2]}_*.py")
    text = re.sub(r"\n# ", " ", source.read_text(encoding="utf-8"))
    statement = text[text.index(f"## {each.id} ") :]
    found = re.search(r"off by ([\d.]+) standard deviations, or a deviation that is (\d+) % too large", statement)
    assert found is not None and f"{each.repeats:,} values" in statement
    bias, spread = (max(column) for column in zip(*found_by(each), strict=True))
    assert 0 <= float(found[1]) - bias < 0.01 and 0 <= float(found[2]) - 100 * spread < 1


@pytest.mark.parametrize(("shift", "stretch"), [(1.0, 0.0), (0.0, 1.0)], ids=["mean", "deviation"])
def test_least_is_found_with_99_percent(shift: float, stretch: float) -> None:
    law, n, times = Law(0.3, 2.0), 400, 2000
    bias, spread = least(law, n)
    rng = np.random.default_rng(5)
    drawn = rng.standard_normal((times, n)) * 2.0 * (1 + stretch * spread) + 0.3 + shift * bias * 2.0
    assert np.mean([not agrees(values, law) for values in drawn]) == pytest.approx(0.99, abs=0.009)
