"""The judge: what passes though it is written differently, what does not though it looks right, and what is said."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import sympy
import torch

from vaelib import Estimate, reply
from vaelib.agreement import ROUGH, distance, expected, is_like
from vaelib.feedback import number, told_apart
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, RIGHT, UNDECIDED, Feedback, agrees, judge, z_scores
from vaelib.ledger import F1, F2, F6
from vaelib.reply import Answer, NoReply, Reply, as_reply
from vaelib.sampling import _by_chance
from vaelib.task import Compute, Derive, Law, Mistake, Rule, Sample
from vaelib.tasks import all_tasks, task
from vaelib.terms import (
    KL,
    E,
    H,
    lik,
    log_E,
    log_evidence,
    log_joint,
    log_lik,
    log_post,
    log_prior,
    log_q,
    post,
    prior,
    q,
)
from vaelib.witnesses import CurvedWitness

HINTS = ("a?", "b?", "c?")
BOUND = E(q, log_lik) - KL(q, prior)


def compute(**changes: Any) -> Compute:
    settings: dict[str, Any] = {
        "id": "99.1",
        "title": "the square",
        "level": "core",
        "minutes": 5,
        "name": "square",
        "hints": HINTS,
        "truth": lambda x: x**2,
        "examples": ({"x": np.array([1.0, 2.0])},),
        "draw": lambda rng: {"x": rng.uniform(1.5, 3, 2)},
        "mistakes": (Mistake("doubled", "It looks like 2 x.", lambda x: 2 * x),),
    }
    return Compute(**settings | changes)


def verdict(answer: Any, each: Any = None) -> Feedback:
    return judge(each if each is not None else compute(), Answer(answer, seconds=1.0))


# --------------------------------------------------------------------------------------------- right, differently


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x * x,
        lambda values: np.exp(2 * np.log(values)),
        lambda x: [float(part) ** 2 for part in x],
        lambda x: tuple(x**2),
        lambda x: np.square(x, dtype=np.float32),
        lambda x: torch.as_tensor(x) ** 2,
        lambda x: torch.as_tensor(x, dtype=torch.float32) ** 2,
        lambda x: torch.as_tensor(x, requires_grad=True) if False else torch.tensor(x, requires_grad=True) ** 2,
        lambda x: [np.float64(x[0] ** 2), torch.tensor(x[1] ** 2)],
        lambda *x: x[0] ** 2,
    ],
)
def test_right_but_written_differently_passes(answer: Any) -> None:
    assert verdict(answer).state == RIGHT, str(verdict(answer))


def test_answer_to_float32_is_judged_as_float32_whatever_it_returns() -> None:
    given = np.array([0.1, 0.7], np.float32)
    each = compute(examples=({"x": given},), draw=None, truth=lambda x: np.asarray(x, float) ** 2)
    assert verdict(lambda x: (x**2).astype(float), each).right
    assert verdict(lambda x: (x**2).astype(float) * 1.001, each).state == NOT_YET


def test_precision_is_judged_at_what_it_deserves() -> None:
    assert "half precision" in str(verdict(lambda x: np.float16(x**2)))
    assert verdict(lambda x: np.float32(x**2 * (1 + 1e-3))).state == NOT_YET
    assert verdict(lambda x: x**2 * (1 + 1e-7)).state == NOT_YET


def test_expression_is_judged_by_the_numbers_it_takes() -> None:
    each = compute(examples=({"x": 1.0},), draw=lambda rng: {"x": float(rng.uniform(2, 3))})
    x = sympy.Symbol("x", positive=True)
    assert verdict(sympy.exp(2 * sympy.log(x)), each).right
    assert verdict(sympy.integrate(2 * x, x), each).right
    assert verdict(2 * x, each).mistake == "doubled"
    assert "the symbols here are x" in str(verdict(x * sympy.Symbol("y"), each))
    assert "does not become a real number" in str(verdict(sympy.log(-x), each))


@pytest.mark.parametrize(
    "answer", [0.5, np.float64(0.5), [0.5], Estimate(0.5, 0.01), sympy.Rational(1, 2), torch.tensor(0.5)]
)
def test_number_is_compared_with_a_number(answer: Any) -> None:
    each = compute(truth=0.5 if type(answer) is not list else [0.5], mistakes=())
    assert verdict(answer, each).right


def test_word_is_compared_with_a_word() -> None:
    each = compute(truth="posterior", mistakes=(Mistake("prior", "It looks like the prior.", "prior"),))
    assert verdict(" Posterior ", each).right
    assert verdict("B, A c", compute(truth="bac", mistakes=())).right
    assert verdict("prior", each).mistake == "prior"
    assert verdict(3, each).state == NOT_YET and verdict("evidence", each).mistake == ""


FOUR = np.array([1.25, 5.75, 3.25, 1.75])
CHOICES = ("pixels", "latents", "sign")


@pytest.mark.parametrize(
    "answer",
    [
        (Fraction(5, 4), Fraction(23, 4), Fraction(13, 4), Fraction(7, 4)),
        [Decimal("1.25"), Decimal("5.75"), 3.25, np.float32(1.75)],
        np.array([Fraction(5, 4), 5.75, Decimal("3.25"), sympy.Rational(7, 4)], dtype=object),
        [sympy.Rational(5, 4), 5.75, sympy.sqrt(3.25**2), 1.75],
        sympy.Matrix([1.25, 5.75, 3.25, 1.75]),
        FOUR[:, None],
        FOUR[None],
        ["1.25", "5.75", "3.25", "1.75"],
        np.array(["1.25", "5.75", "3.25", "1.75"]),
        "5/4, 23/4, 13/4, 7/4",
        "[1.25 5.75 3.25 1.75]",
        lambda: FOUR,
        np.longdouble([1.25, 5.75, 3.25, 1.75]),
        [torch.tensor(1.25), [5.75][0], np.array(3.25), 1.75],
    ],
)
def test_four_numbers_typed_by_hand_are_right_in_any_form(answer: Any) -> None:
    feedback = verdict(answer, compute(truth=FOUR, mistakes=()))
    assert feedback.right, str(feedback)


@pytest.mark.parametrize(
    "answer", [3, 3.0, "3", " 3 ", [3], np.array([[3]]), np.int8(3), Fraction(3), "line 3", "No. 3"]
)
def test_one_number_out_of_few_is_right_in_any_form(answer: Any) -> None:
    each = compute(truth=3, mistakes=(), choices=(1, 2, 3, 4))
    assert verdict(answer, each).right


@pytest.mark.parametrize("answer", [0, 5, 2.5, "three", "line 5", "3 or 4", "not 3", [3, 4], math.nan, "nan", ""])
def test_number_that_cannot_be_chosen_is_told_so(answer: Any) -> None:
    feedback = verdict(answer, compute(truth=3, mistakes=(), choices=(1, 2, 3, 4)))
    assert "Expected one of the numbers 1, 2, 3 or 4, but got" in str(feedback) or feedback.state == NOT_ATTEMPTED
    assert feedback.state == NOT_YET or answer == ""


@pytest.mark.parametrize(
    "answer",
    [
        "latents",
        "Latents.",
        "latent",
        "The latents were averaged",
        np.str_("LATENTS"),
        np.array("latents"),
        ["latents"],
    ],
)
def test_word_is_understood_inside_a_sentence(answer: Any) -> None:
    assert verdict(answer, compute(truth="latents", choices=CHOICES, mistakes=())).right


@pytest.mark.parametrize("answer", ["KL", "latents or pixels", "not the latents", "it isn't the latents", "", 3, "lat"])
def test_word_that_is_none_of_the_choices_is_told_so(answer: Any) -> None:
    feedback = verdict(answer, compute(truth="latents", choices=CHOICES, mistakes=()))
    assert not feedback.right
    assert "Expected one of the words pixels, latents or sign, but got" in str(feedback) or answer == ""


@pytest.mark.parametrize(
    "answer", ["bac", "B, A, C", "b < a < c", "b, then a, then c", ["b", "A", "c"], np.array(list("bac"))]
)
def test_order_of_letters_is_right_in_any_form(answer: Any) -> None:
    assert verdict(answer, compute(truth="bac", choices=tuple("abcd"), mistakes=())).right


@pytest.mark.parametrize(("answer", "told"), [("ba", True), ("bad", False), ("bbc", True), ("bax", True), (7, True)])
def test_form_of_an_order_is_told_only_where_it_is_wrong(answer: Any, told: bool) -> None:
    text = str(verdict(answer, compute(truth="bac", choices=tuple("abcd"), mistakes=())))
    assert ("Expected a word of 3 different letters from a to d, in their order, but got" in text) == told
    assert ("Your answer: bad." in text) != told


def test_choices_must_hold_the_truth() -> None:
    for choices in (("a", "b"), (1, 2)):
        with pytest.raises(ValueError, match="among its choices"):
            compute(truth="c" if choices == ("a", "b") else 3, choices=choices)


@pytest.mark.parametrize(
    "form", [lambda v: [v], lambda v: np.array([[v]]), lambda v: torch.tensor([v]), lambda v: (v,)]
)
def test_one_number_in_brackets_is_a_number(form: Any) -> None:
    each = compute(examples=({"x": 1.0},), draw=lambda rng: {"x": float(rng.uniform(2, 3))})
    assert verdict(lambda x: form(x**2), each).right
    assert verdict(lambda loc, rng: form(rng.normal(loc, 1.0, 10).mean()), mean_task()).right
    assert not verdict(lambda x: [x**2, x**2], each).right


def test_column_that_a_function_returns_is_told_its_shape() -> None:
    text = str(verdict(lambda x: x[:, None] ** 2))
    assert "Expected shape (2,), but got (2, 1)" in text and "an axis of length 1 too many" in text


WIDE = {"x": np.ones((3, 2)) * [1.0, 2.0]}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x: (x**2).sum(), "One number came, and 3 are asked: was an axis too many summed"),
        (lambda x: (x**2).mean(), "One number came, and 3 are asked: was an axis too many summed"),
        (lambda x: (x**2).sum(axis=1, keepdims=True), "There is an axis of length 1 too many"),
        (lambda x: (x**2).sum(axis=0), "Print the shape at each line, and say which axis is summed"),
        (lambda x: np.ones(7), "The docstring says how many numbers are asked"),
    ],
)
def test_advice_on_a_shape_fits_the_shape(answer: Any, says: str) -> None:
    each = compute(truth=lambda x: (x**2).sum(axis=1), examples=({"x": np.ones((1, 2))}, WIDE), draw=None)
    text = str(verdict(answer, each))
    assert says in text and "Expected shape (3,)" in text, text


def test_wrong_shape_is_a_known_mistake_only_with_its_values() -> None:
    total = Mistake("added up", "the examples were added up.", lambda x: (x**2).sum())
    each = compute(truth=lambda x: (x**2).sum(axis=1), examples=(WIDE,), draw=None, mistakes=(total,))
    assert verdict(lambda x: (x**2).sum(), each).mistake == "added up"
    assert verdict(lambda x: (x**2).mean(), each).mistake == ""


def three_arguments(**changes: Any) -> Compute:
    settings: dict[str, Any] = {
        "truth": lambda a, b, c: a / b + np.log(c),
        "examples": ({"a": 1.0, "b": 1.0, "c": 1.0},),
        "draw": lambda rng: dict(zip("abc", (float(each) for each in rng.uniform(1.5, 3, 3)), strict=True)),
        "mistakes": (),
    }
    return compute(**settings | changes)


def test_arguments_that_changed_places_are_named() -> None:
    feedback = verdict(lambda c, b, a: a / b + np.log(c), three_arguments())
    assert feedback.mistake == "arguments swapped"
    assert "That is right if a and c change places. The order is a, b, c." in str(feedback), str(feedback)


def test_arguments_are_said_to_have_changed_places_also_where_that_gives_nan() -> None:
    each = three_arguments(examples=({"a": -1.0, "b": 1.0, "c": 1.0},))
    assert verdict(lambda c, b, a: a / b + (np.log(c) if c > 0 else np.nan), each).mistake == "arguments swapped"


def test_other_wrong_answers_are_not_said_to_have_changed_places() -> None:
    for wrong in (lambda a, b, c: a / b - np.log(c), lambda a, b, c: np.nan, lambda a, b, c: a * b + np.log(c)):
        assert verdict(wrong, three_arguments()).mistake == ""
    adds_up = compute(truth=lambda a, b: np.log(a), examples=(), draw=lambda rng: {"a": rng.uniform(2, 3), "b": 1.0})
    assert verdict(lambda a, b: 0.0, adds_up).mistake == ""  # log b, but by chance
    symmetric = compute(
        truth=lambda a, b: a * b, examples=(), draw=lambda rng: {"a": rng.uniform(2, 3), "b": 1.5}, mistakes=()
    )
    assert verdict(lambda a, b: a + b, symmetric).mistake == ""


def test_expression_in_quotation_marks_is_told_to_lose_them() -> None:
    text = str(verdict("x * x", compute(examples=({"x": 1.0},), draw=None)))
    assert "got the text 'x * x'. Take the quotation marks away." in text, text


def test_axis_is_spoken_of_only_where_a_function_has_arrays() -> None:
    assert "axis" not in str(verdict([1.0, 2.0], compute(truth=FOUR, mistakes=())))
    assert "Expected 4 numbers, but got 2 numbers." in str(verdict([1.0, 2.0], compute(truth=FOUR, mistakes=())))
    each = compute(examples=({"x": 1.0},), truth=lambda x: np.array([x, x]), draw=None, mistakes=())
    assert "axis" not in str(verdict(lambda x: x, each)) and "docstring" in str(verdict(lambda x: x, each))


# ------------------------------------------------------------------------------------------------------- precision


def single(x: Any) -> Any:
    return [float(np.float32(part)) for part in np.asarray(x) ** 2]


def test_last_digits_are_not_asked_unless_they_are_the_point() -> None:
    feedback = verdict(single, compute(rough=True))
    assert feedback.right and "to 7 digits in all 9 cases. Float32, or a search? Precise enough here." in str(feedback)
    strict = str(verdict(single))
    assert "That is right to 7 digits in every case; at least 9 are asked." in strict and "float32" in strict
    assert "differs in" not in strict and verdict(single).mistake == ""
    one = compute(truth=math.pi, examples=(), draw=None, mistakes=())
    assert "That is right to 7 digits; at least 9 are asked." in str(verdict(float(np.float32(math.pi)), one))


def test_nan_is_passed_over_where_less_than_half_is_nan() -> None:
    wrong, truth = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.zeros(5)

    def like(nans: int, over_nan: bool = True) -> bool:
        replied = np.where(np.arange(5) < nans, np.nan, wrong)
        return is_like([Reply(replied)], [wrong], [truth], 1e-9, over_nan)

    assert like(0) and like(2) and not like(3) and not like(2, over_nan=False)


def test_result_of_a_numerical_search_is_right_where_the_digits_are_not_the_point() -> None:
    def search(x: Any) -> Any:
        return [scipy.optimize.minimize_scalar(lambda t, part=part: (t - part**2) ** 2).x for part in x]

    assert verdict(search, compute(rough=True)).right


@pytest.mark.parametrize(
    ("apart", "state", "says"), [(3e-7, RIGHT, "to 6 digits"), (2e-6, NOT_YET, "right to 5 digits")]
)
def test_rough_answer_is_right_up_to_a_millionth(apart: float, state: str, says: str) -> None:
    feedback = verdict(lambda x: x**2 * (1 + apart), compute(rough=True))
    assert feedback.state == state and says in str(feedback)


def test_known_mistake_that_is_small_is_found_before_precision_is_asked_about() -> None:
    small = Mistake("added", "It looks like a small number was added.", lambda x: x**2 + 3e-5)
    assert verdict(lambda x: x**2 + 3e-5, compute(rough=True, mistakes=(small,))).mistake == "added"


@pytest.mark.parametrize("each", [t for t in all_tasks().values() if isinstance(t, Compute)], ids=lambda each: each.id)
def test_every_known_mistake_is_farther_from_the_truth_than_a_rough_answer(each: Compute) -> None:
    """For each of 20 seeds some question tells them apart by ten times what is let through."""
    if not each.rough:
        return
    for seed in range(20):
        questions = each.asked(seed)
        truths = [expected(each.truth, question) for question in questions]
        for mistake in each.mistakes:
            wrong = [expected(mistake.value, question) for question in questions]
            apart = [distance(w, t) if w.shape == t.shape else np.inf for w, t in zip(wrong, truths, strict=True)]
            assert max(apart) > 10 * ROUGH, mistake.name


# ------------------------------------------------------------------------------------------------ wrong, cleverly


class Agreeable(np.ndarray):
    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return True


class Pretender:
    """Turns into whatever is asked for."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.array([1.0, 4.0])

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Float(float):
    def __sub__(self, other: Any) -> Any:
        return 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        Pretender(),
        np.zeros(2).view(Agreeable),
        [Float(1.0), Float(2.0)],
        np.array([1 + 0j, 4]),
        np.array([1.0, "4"], dtype=object),
        {"x": 1},
        np.array(["1", "4"]),
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_object_that_redefines_comparison_cannot_pass(wrong: Any) -> None:
    feedback = verdict(lambda x: wrong)
    assert feedback.state == NOT_YET and "Expected" in str(feedback)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_never_pass(wrong: float) -> None:
    assert verdict(lambda x: np.full(2, wrong)).state == NOT_YET
    assert verdict(wrong, compute(truth=2.0, mistakes=())).state == NOT_YET
    assert verdict(wrong, compute(truth=wrong, mistakes=())).right == math.isinf(wrong)


def test_no_finite_number_agrees_with_infinity() -> None:
    each = compute(truth=math.inf, mistakes=(Mistake("minus", "It looks like minus infinity.", -math.inf),))
    assert verdict(math.inf, each).right
    assert verdict(3.0, each).state == NOT_YET and verdict(3.0, each).mistake == ""
    assert verdict(-math.inf, each).mistake == "minus"


def test_entry_that_agrees_at_infinity_is_not_the_one_that_is_shown() -> None:
    each = compute(truth=lambda x: np.array([np.inf, 2.0]), mistakes=())
    assert "Entry [1] of yours is 3, expected 2" in str(verdict(lambda x: [np.inf, 3.0], each))


def test_mistake_without_a_value_is_recognized_by_that() -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        mistakes = (Mistake("log of a negative", "It looks like a log of x - 2.", lambda x: np.log(x - 2)),)
        feedback = verdict(lambda x: np.log(x - 2), compute(mistakes=mistakes))
    assert feedback.state == NOT_YET and feedback.mistake == "log of a negative"


def test_function_may_return_a_sympy_number() -> None:
    each = compute(examples=({"x": 1.0},), draw=lambda rng: {"x": float(rng.uniform(2, 3))})
    assert verdict(lambda x: sympy.Float(x) ** 2, each).right


def test_changing_the_argument_does_not_help() -> None:
    def cheat(x: Any) -> Any:
        x[:] = 0.0
        return x

    assert verdict(cheat).state == NOT_YET
    given = np.array([1.0, 2.0])
    verdict(cheat, compute(examples=({"x": given},)))
    np.testing.assert_array_equal(given, [1.0, 2.0])


def test_right_on_symmetric_inputs_alone_is_wrong() -> None:
    each = compute(examples=({"x": np.array([2.0, 2.0])},))
    assert verdict(lambda x: x[::-1] ** 2, each).state == NOT_YET


# -------------------------------------------------------------------------------------------------- what is said


def test_known_mistake_is_named_and_an_unknown_one_gets_no_guess() -> None:
    known = verdict(lambda x: 2 * x)
    assert known.mistake == "doubled" and "It looks like 2 x." in str(known)
    unknown = verdict(lambda x: x**2 + (x > 2.5))
    assert unknown.mistake == "" and "It looks like" not in str(unknown) and "It differs in" in str(unknown)


def test_simplest_failing_case_is_shown_with_both_numbers_and_the_input() -> None:
    assert "Entry [1] of yours is 6, expected 4 at x = [1, 2]." in str(verdict(lambda x: x**2 + 2 * (x == 2)))


def test_numbers_that_look_alike_are_shown_until_they_differ() -> None:
    assert "Entry [0] of yours is 1.000001, expected 1 at" in str(verdict(lambda x: x**2 * (1 + 1e-6)))


def test_where_nothing_is_asked_the_answer_is_not_given_away() -> None:
    feedback = verdict(2.25, compute(truth=7.5, mistakes=()))
    assert "Yours is 2.25." in str(feedback) and "7.5" not in str(feedback)


def test_rounded_mistake_is_named_where_rounding_is_allowed() -> None:
    mistakes = (Mistake("sum", "It looks like a sum.", 1 / 3),)
    assert verdict(0.33, compute(truth=0.5, mistakes=mistakes, tolerance=0.01)).mistake == "sum"


def test_mistake_is_named_only_if_it_explains_every_case() -> None:
    assert verdict(lambda x: np.where(x > 2.5, 0.0, 2 * x)).mistake == ""


def test_shape_is_looked_at_first() -> None:
    feedback = verdict(lambda x: np.sum(x**2))
    assert "Expected shape (2,), but got () at x = [1, 2]." in str(feedback)


def test_exception_is_shown_as_the_line_of_the_student() -> None:
    def mine(x: Any) -> Any:
        return x @ np.ones(3)

    text = str(verdict(mine))
    assert "ValueError" in text and "of mine: return x @ np.ones(3)" in text


def test_exit_and_endless_loop_end_the_answer_and_nothing_else() -> None:
    def leaves(x: Any) -> Any:
        raise SystemExit(3)

    def hangs(x: Any) -> Any:
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                pass

    assert "SystemExit" in str(verdict(leaves))
    started = time.monotonic()
    assert "more than 1 s" in str(verdict(hangs))
    assert time.monotonic() - started < 5


def test_ctrl_c_is_not_swallowed() -> None:
    def interrupted(x: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict(interrupted)


def test_time_before_the_answer_begins_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first import of torch, for an argument, can take longer than an answer may."""
    handed_over = reply.handed_over

    def slow(argument: Any) -> Any:
        time.sleep(1.2)
        return handed_over(argument)

    monkeypatch.setattr(reply, "handed_over", slow)
    assert verdict(lambda x: x**2, compute(draw=None)).right


def test_prints_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def talks(x: Any) -> Any:
        print("here")
        return x**2

    assert verdict(talks).right and "here" in capsys.readouterr().out


def test_feedback_is_no_truth_value_and_has_at_most_five_lines() -> None:
    with pytest.raises(TypeError, match="more than two states"):
        bool(verdict(2))
    for answer in (lambda x: x, lambda x: 2 * x, lambda x: x[:1], lambda x: 1 / 0, 3, "a", ...):
        assert len(verdict(answer).lines) <= 5


# ------------------------------------------------------------------------------------------------------ estimators


def mean_task(**changes: Any) -> Sample:
    """The mean of ten numbers N(loc, 1)."""

    def wrong(loc: float, rng: Any) -> float:
        return float(rng.normal(loc, 1.0))

    settings: dict[str, Any] = {
        "id": "99.2",
        "title": "a mean",
        "level": "core",
        "minutes": 5,
        "name": "mean",
        "hints": HINTS,
        "law": lambda loc: Law(loc, math.sqrt(0.1)),
        "examples": ({"loc": 0.7}, {"loc": -2.0}),
        "mistakes": (Mistake("one", "It looks like one sample.", lambda loc: Law(loc, 1.0), made=wrong),),
    }
    return Sample(**settings | changes)


def test_estimator_is_judged_by_mean_and_spread() -> None:
    assert verdict(lambda loc, rng: rng.normal(loc, 1.0, 10).mean(), mean_task()).right
    assert verdict(lambda loc, rng: rng.normal(loc, 1.0), mean_task()).mistake == "one"
    assert verdict(lambda loc, rng: loc, mean_task()).state == NOT_YET  # the truth itself is no estimator
    assert verdict(lambda loc, rng: rng.normal(loc + 0.1, 1.0, 10).mean(), mean_task()).mistake == ""
    assert verdict(lambda loc, rng: np.nan, mean_task()).state == NOT_YET
    assert verdict(lambda loc, rng: rng.normal(loc, 1.0, 10), mean_task()).state == NOT_YET


def test_z_scores_of_a_right_estimator_are_standard_normal() -> None:
    rng = np.random.default_rng(0)
    law = Law(0.3, 2.0)
    scores = np.array([z_scores(rng.normal(0.3, 2.0, 400), law) for _ in range(2000)])
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(scores.std(axis=0), 1, atol=0.08)
    assert np.mean(np.abs(scores) > 2) == pytest.approx(0.0455, abs=0.012)


def test_right_estimator_passes_a_thousand_times() -> None:
    """Two z-scores beyond 4.5 with probability 6.8e-6 each: among 2,000, none is expected."""
    rng = np.random.default_rng(1)
    assert all(agrees(rng.normal(0.3, 2.0, 400), Law(0.3, 2.0)) for _ in range(1000))


def test_estimator_with_a_randomness_of_its_own_is_told_so() -> None:
    fixed = verdict(lambda loc, rng: loc + np.random.default_rng(0).normal(), mean_task())
    assert "Every call gives the same value" in str(fixed)
    global_one = verdict(lambda loc, rng: np.random.normal(loc, 1.0, 10).mean(), mean_task())
    assert "Two calls with equal Generators gave different values" in str(global_one)


def test_settings_of_the_student_do_not_reach_the_judge() -> None:
    each = compute(mistakes=(Mistake("log", "It looks like a log.", lambda x: np.log(x - 1)),))
    with np.errstate(all="raise"):
        assert verdict(lambda x: x**2, each).right and verdict(lambda x: x**2 + 1, each).state == NOT_YET


def test_time_of_all_questions_together_is_limited() -> None:
    def slow(x: Any) -> Any:
        time.sleep(0.3)
        return x**2

    assert "All questions together took more than 1 s" in str(judge(compute(), Answer(slow, total=1.0)))


def test_letters_may_come_as_a_list() -> None:
    assert verdict(["b", "A", "c"], compute(truth="bac", mistakes=())).right


def test_what_is_expected_stays_secret_where_it_is_asked() -> None:
    feedback = verdict(lambda x: x**2 + 1, compute(secret=True))
    assert "Entry" not in str(feedback) and "expected" not in str(feedback)


def test_estimator_without_spread_is_compared_exactly() -> None:
    assert agrees(np.full(10, 0.1), Law(0.1, 0.0)) and not agrees(np.full(10, 0.11), Law(0.1, 0.0))


# ----------------------------------------------------------------------------------------------------- derivations


TO_THE_BOUND = task("05.1")

ROUTES: dict[str, list[Any]] = {
    "three lines": [log_evidence, BOUND + KL(q, post), (">=", BOUND)],
    "KL split": [
        log_evidence,
        E(q, log_evidence),
        E(q, log_joint - log_post),
        (E(q, log_joint - log_q + log_q - log_post), "add and subtract"),
        E(q, log_joint - log_q) + KL(q, post),
        (">=", E(q, log_joint - log_q), "a KL is never negative"),
        BOUND,
    ],
    "Jensen": [log_evidence, log_E(q, log_joint - log_q), (">=", E(q, log_joint - log_q)), BOUND],
    "other signs": [log_evidence, ("==", BOUND + KL(q, post)), (" ≥ ", BOUND, "a KL is never negative")],
    "twice at least": [
        log_evidence,
        E(q, log_joint - log_q) + KL(q, post),
        (">=", E(q, log_joint - log_q)),
        (">=", BOUND),
    ],
    "entropies": [log_evidence, ("=", E(q, log_joint) + H(q) + KL(q, post)), (">=", E(q, log_joint) + H(q)), BOUND],
    "tuple": (log_evidence, E(q, log_lik + log_prior - log_post), BOUND - KL(q, post) + 2 * KL(q, post), (">=", BOUND)),
}


@pytest.mark.parametrize("route", ROUTES)
def test_route_of_any_length_passes(route: str) -> None:
    feedback = judge(TO_THE_BOUND, Answer(ROUTES[route]))
    assert feedback.right, str(feedback)


WRONG: list[tuple[list[Any], str]] = [
    ([log_evidence, log_evidence, (">=", BOUND)], "at least 3 lines that differ"),
    ([log_evidence, (">=", BOUND), BOUND], "at least 3 lines that differ"),
    ([log_evidence, 2 * log_evidence - log_evidence, (">=", BOUND)], "at least 3 lines that differ"),
    ([log_evidence, (">=", E(q, log_lik) - 2 * KL(q, prior) + KL(q, prior)), BOUND], "at least 3 lines that differ"),
    ([log_evidence, (">=", -KL(q, prior) + E(q, log_lik)), BOUND], "at least 3 lines that differ"),
    ([log_evidence, E(q, log_joint - log_post), ("~", BOUND)], "expected one of =, ==, >=, ≥, =>"),
    ([log_evidence, E(q, log_evidence), (">=", BOUND)], "line 1 does not show what is lost here"),
    ([log_evidence, E(prior, log_joint - log_post), (">=", BOUND)], "line 1 does not show what is lost here"),
    ([log_evidence, E(post, log_joint - log_post), (">=", BOUND)], "line 1 does not show what is lost here"),
    ([log_evidence, BOUND + KL(q, post), (">=", E(q, log_joint) + H(q))], "should be E(q, log_lik) - KL(q, prior)"),
    ([E(q, log_evidence), BOUND + KL(q, post), (">=", BOUND)], "Line 0 is worth as much as the start"),
    ([log_evidence, BOUND + KL(q, post), ("<=", BOUND)], "It follows with the sign turned, '>='"),
    ([log_evidence, (">=", BOUND)], "Expected at least 3 lines that differ, one rule each, but got 2"),
    ([log_evidence, E(q, log_joint - log_lik)], "Line 1 does not follow from line 0"),
    ([log_evidence, E(q, log_lik - log_post)], "Line 1 does not follow from line 0"),
    ([log_joint, BOUND], "Line 0 has no value"),
    ([log_evidence, log_joint - log_post], "Line 1 has no value"),
    ([log_evidence, BOUND + KL(q, lik)], "Line 1 has no value"),
    ([log_evidence, BOUND], "Line 1 does not follow from line 0"),
    ([log_evidence, ("<=", BOUND)], "Line 1 does not follow from line 0"),
    ([log_evidence, (">=", E(q, log_lik) + KL(q, prior))], "Line 1 does not follow from line 0"),
    ([log_evidence, (">=", BOUND), ("<=", log_evidence)], "Line 2 does not compose"),
    ([log_evidence, E(q, log_joint - log_post)], "the last one is not the goal"),
    ([log_evidence, (">=", E(q, log_lik) - 2 * KL(q, prior))], "the last one is not the goal"),
    ([log_evidence, BOUND + KL(q, post)], "the last one is not the goal"),
    ([BOUND, (">=", BOUND)], "Line 0 does not follow from the given start"),
    ([log_evidence, BOUND + KL(post, q), (">=", BOUND)], "Line 1 does not follow from line 0"),
    ([log_evidence, BOUND + KL(q, prior), (">=", BOUND)], "Line 1 does not follow from line 0"),
    ([log_evidence, BOUND - KL(q, post), BOUND], "Line 1 does not follow from line 0"),
    ([log_evidence, BOUND + KL(q, post), BOUND], "Line 2 does not follow from line 1"),
    ([log_evidence, E(prior, log_lik), (">=", BOUND)], "Line 1 does not follow from line 0"),
    ([log_evidence, E(q, log_joint) - H(q) + KL(q, post)], "Line 1 does not follow from line 0"),
    ([log_evidence, log_E(q, log_joint), (">=", BOUND)], "Line 1 does not follow from line 0"),
    ([log_evidence, "the bound"], "Line 1 is a str, not a term. Terms are built from E, KL"),
    ([log_evidence, KL], "Line 1 is a function, not a term. Call it, or leave it out."),
    ([log_evidence], "Expected a list of lines, but got 1 line"),
    ([], "Expected a list of lines, but got 0 lines"),
]


@pytest.mark.parametrize(("lines", "says"), WRONG, ids=[says for _, says in WRONG])
def test_wrong_route_stops_at_its_line(lines: list[Any], says: str) -> None:
    feedback = judge(TO_THE_BOUND, Answer(lines))
    assert feedback.state == NOT_YET and says in str(feedback), str(feedback)
    assert len(feedback.lines) <= 5


@pytest.mark.parametrize(
    ("middle", "shown"),
    [
        (r"\mathbb{E}_q[\log p(x)]", False),
        (r"\mathbb{E}_{p(z)}[\log p(x,z) - \log p(z \mid x)]", False),
        (r"\mathbb{E}_{z \sim p(z \mid x)}[\log p(x,z) - \log p(z \mid x)]", False),
        (r"\mathbb{E}_{z \sim q}[\log p(x,z) - \log p(z \mid x)]", True),
        (r"\mathbb{E}_q[\log p(x,z) - \log q(z)] + \mathrm{KL}(q \Vert p(z \mid x))", True),
        (r"\log \mathbb{E}_q\left[\frac{p(x,z)}{q(z)}\right]", True),
        (r"\log \int p(x \mid z)\, p(z)\,dz", True),
    ],
)
def test_loss_in_latex_must_be_seen_in_the_line_above(middle: str, shown: bool) -> None:
    lines = rf"\log p(x) = {middle} \\ \ge \mathbb{{E}}_q[\log p(x \mid z)] - \mathrm{{KL}}(q \Vert p(z))"
    feedback = judge(TO_THE_BOUND, Answer(lines))
    assert feedback.right == shown, str(feedback)
    assert shown or "line 1 does not show what is lost here" in str(feedback)


def test_wrong_line_is_recognized_as_a_slip_of_the_ledger() -> None:
    feedback = judge(TO_THE_BOUND, Answer([log_evidence, E(q, log_joint - log_q) + E(q, log_q - log_lik)]))
    assert "p(x|z) was put where the posterior p(z|x) belongs" in str(feedback)
    assert " against " in str(feedback)


def test_equality_as_goal_is_not_reached_by_a_bound() -> None:
    each = Derive(
        id="99.3",
        title="equal",
        level="core",
        minutes=5,
        name="d",
        hints=HINTS,
        start=log_evidence,
        goal=BOUND + KL(q, post),
        relation="=",
        draw=CurvedWitness.draw,
        known=(F1, F2, F6),
    )
    assert judge(each, Answer([log_evidence, E(q, log_joint - log_post), BOUND + KL(q, post)])).right
    lines = [log_evidence, E(q, log_evidence), (">=", BOUND + KL(q, post))]
    assert "together say '>='; the goal is '='" in str(judge(each, Answer(lines)))


def test_blank_line_is_not_attempted() -> None:
    assert judge(TO_THE_BOUND, Answer([log_evidence, ...])).state == NOT_ATTEMPTED


def test_reply_keeps_the_error_of_an_estimate() -> None:
    reply = as_reply(Estimate(0.5, 0.01, 10))
    assert (reply.value, reply.error) == (0.5, 0.01)
    with pytest.raises(NoReply, match="different shapes"):
        as_reply([[1.0], [1.0, 2.0]])
    with pytest.raises(NoReply, match="bfloat16"):
        as_reply(torch.ones(2, dtype=torch.bfloat16))


# ------------------------------------------------------------------------------------------------------ how it reads


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-0.0, "0"),
        (-1.1102e-16, "0"),
        (3e-151, "0"),
        (1e-6, "1e-06"),
        (0.5, "0.5"),
        (123456.0, "123456"),
        (-2400.25, "-2400.2"),
        (1e12, "1e+12"),
        (math.nan, "NaN"),
        (True, "True"),
        (7, "7"),
        (np.array([True, False]), "[True, False]"),
        (np.array([[1.0, -0.0], [2.5, np.inf]]), "[[1, 0], [2.5, inf]]"),
    ],
)
def test_number_is_written_as_a_person_would(value: Any, shown: str) -> None:
    assert number(value) == shown


def test_large_numbers_that_differ_are_told_apart() -> None:
    assert told_apart(1234567.0, 1234567.25) == ("1234567", "1234567.2")


def test_small_input_is_not_called_zero() -> None:
    each = compute(examples=({"x": np.array([1e-20, -0.0])},), draw=None, mistakes=())
    assert "at x = [1e-20, 0]." in str(verdict(lambda x: x + 1, each))


def test_arrays_of_twelve_numbers_are_shown_and_larger_ones_are_described() -> None:
    for size, shown in ((12, "at x = [1, 1, 1,"), (13, "at x = an array of shape (13,).")):
        each = compute(examples=({"x": np.ones(size)},), draw=None, mistakes=())
        assert shown in str(verdict(lambda x: x + 1, each))


def test_title_that_asks_ends_once() -> None:
    each = compute(title="Which one?", truth=3.0, mistakes=())
    assert str(verdict(3, each)) == "Right: 99.1 Which one?"
    assert str(verdict(..., each)).startswith("Not attempted: 99.1 Which one?\n")


def test_backticks_are_code_in_a_notebook_and_nowhere_shown() -> None:
    feedback = verdict(lambda x: None)
    assert "Is a return missing?" in str(feedback) and "Is a `return` missing?" in feedback._repr_markdown_()
    odd = Feedback(NOT_YET, ("a ` b", "`a_b` and c_d ``", "<b>`<i>`"))
    assert odd._repr_markdown_() == r"**a \` b**  " + "\n" + r"`a_b` and c\_d \`\`  " + "\n" + r"\<b\>`<i>`"
    assert odd.text == ("a ` b", "a_b and c_d ``", "<b><i>")


def test_feedback_of_the_judge_can_be_stored() -> None:
    for answer in (lambda x: x, lambda x: 1 / 0, lambda x: x**2, 3.0):
        feedback = verdict(answer)
        assert Feedback(**json.loads(json.dumps(asdict(feedback)))).state == feedback.state


def test_call_is_shown_with_its_arguments_after_an_error() -> None:
    text = str(verdict(lambda: 1.0))
    assert "The call was square(x = [1, 2])." in text and "takes 0 positional arguments but 1 was given" in text
    assert "The call was square(x = [1, 2])." in str(verdict(lambda x: x @ np.ones(3)))


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (3.5, "the number 3.5"),
        (np.float64(0), "the number 0"),
        ("x", "the word 'x'"),
        ([1.0], "an object of type list"),
    ],
)
def test_value_in_the_place_of_a_function_is_told_so(answer: Any, got: str) -> None:
    text = str(verdict(answer))
    assert f", but got {got}. Hand over the function itself" in text and "Expected a function" in text
    assert "What is handed over is square" in text


def test_pair_of_expressions_is_told_that_one_is_asked() -> None:
    each = compute(examples=({"x": 1.0},), draw=None)
    assert "Expected one function or expression, but got a tuple of 2." in str(verdict((2, sympy.Symbol("x")), each))


def test_iterator_is_told_to_become_a_list() -> None:
    for wrong in (lambda x: (part**2 for part in x), lambda x: map(abs, x), lambda x: set(x)):
        assert "Put list(...) around it." in str(verdict(wrong))


def test_nan_is_explained_where_it_comes_up() -> None:
    text = str(verdict(lambda x: x**2 if x[0] < 1.5 else x * np.nan))
    assert "NaN comes from" in text and "Entry" not in text and "Yours is [NaN, NaN] at x = [" in text


def test_spread_of_an_estimator_is_told_in_its_own_numbers() -> None:
    text = str(verdict(lambda loc, rng: rng.normal(loc + 0.5, 1.0, 10).mean(), mean_task()))
    found = re.search(r"Chance alone leaves the mean of 400 calls between (\S+) and (\S+), and", text)
    assert found is not None
    reach = 4.5 * 0.1**0.5 / 20
    assert [float(found[i]) for i in (1, 2)] == pytest.approx([0.7 - reach, 0.7 + reach], abs=1e-3)
    right = str(verdict(lambda loc, rng: rng.normal(loc, 1.0, 10).mean(), mean_task()))
    assert "|z|" not in text + right and "400 calls would nearly always show" in right


def test_bounds_of_chance_are_those_of_the_verdict() -> None:
    """A spread just inside the bounds that are told passes, and one just outside does not."""
    law, n = Law(0.0, 1.0), 400
    (told,) = re.findall(r"deviation between (\S+) and (\S+)\.$", _by_chance(law, n))
    low, high = map(float, told)  # to three digits
    values = np.random.default_rng(0).standard_normal(n)
    values = (values - values.mean()) / values.std(ddof=1)
    assert agrees(values * (low + 0.01), law) and not agrees(values * (low - 0.01), law)
    assert agrees(values * (high - 0.01), law) and not agrees(values * (high + 0.01), law)


def test_calls_that_gave_nan_are_counted() -> None:
    text = str(verdict(lambda loc, rng: np.nan if rng.random() < 0.5 else loc, mean_task()))
    assert re.search(r"\d+ of 400 calls gave NaN or infinity at loc = 0.7\.", text)


def test_fault_of_the_checker_is_not_blamed_on_the_answer() -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    law = judge(mean_task(law=broken), Answer(lambda loc, rng: rng.normal(loc)))
    truth = judge(compute(truth=broken), Answer(lambda x: x))
    rule = judge(compute(rules=(Rule("x", broken),), mistakes=()), Answer(lambda x: x))
    for feedback in (law, truth, rule):
        assert feedback.state == UNDECIDED and "a fault of the checker, not of your answer (Zero" in str(feedback)
